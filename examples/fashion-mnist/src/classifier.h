/* SPDX-License-Identifier: Apache-2.0 */
/* A kind of classifier, and its model file. The file: struct model_header, then what the kind's own save() writes, then a checksum of all that. */
#ifndef FASHION_CLASSIFIER_H
#define FASHION_CLASSIFIER_H

#include "dataset.h"

#include <stdint.h>
#include <stdio.h>

/* What a training is told; a kind looks only at what concerns it. */
struct settings {
    uint32_t epochs;     /* softmax, mlp: passes over the training set */
    uint32_t hidden;     /* mlp: units of its hidden layer */
    uint32_t batch;      /* softmax, mlp: images per step */
    uint32_t trees;      /* forest */
    uint32_t neighbours; /* knn */
    uint32_t threads;
    uint64_t seed;
};

struct classifier {
    const char *name, *title;
    double published; /* accuracy on the 10,000 test images in Table 3 of arXiv:1708.07747 */
    struct settings defaults;
    /* The model is owned by the caller, until free(). Equal settings and data give an equal model. */
    void *(*train)(const struct settings *s, const struct split *data);
    /* n images -> n x CLASSES probabilities. */
    void (*predict)(const void *model, const uint8_t *images, size_t n, float *ret);
    void (*save)(const void *model, FILE *out, const char *path);
    void *(*load)(FILE *in, const char *path, uint32_t pixels);
    void (*free)(void *model);
    /* The settings that concern it, as members of a JSON object. */
    void (*describe)(const struct settings *s, FILE *json);
};

extern const struct classifier softmax_classifier, mlp_classifier, forest_classifier,
    knn_classifier;

/* NULL when there is no such kind. */
const struct classifier *classifier_find(const char *name);
const char *classifier_names(void); /* "softmax, mlp, …" */

void model_save(const struct classifier *c, const void *model, uint32_t pixels, const char *path);
/* Ends the program, saying why, when the file is not whole. The model is owned by the caller; `pixels` of the images it was trained on. */
void *model_load(const char *path, const struct classifier **ret_kind, uint32_t *ret_pixels);

#endif
