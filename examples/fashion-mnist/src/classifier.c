/* SPDX-License-Identifier: Apache-2.0 */
#include "classifier.h"

#include "util.h"

#include <string.h>

#define MODEL_MAGIC "FASHMDL1"

struct model_header {
    char magic[8];
    char kind[16];
    uint32_t pixels, classes;
};

static const struct classifier *const kinds[] = {&softmax_classifier, &mlp_classifier,
                                                 &forest_classifier, &knn_classifier};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

const struct classifier *classifier_find(const char *name)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    }
    return NULL;
}

const char *classifier_names(void)
{
    return "softmax, mlp, forest, knn";
}

void model_save(const struct classifier *c, const void *model, uint32_t pixels, const char *path)
{
    struct model_header h = {.pixels = pixels, .classes = CLASSES};
    memcpy(h.magic, MODEL_MAGIC, sizeof(h.magic));
    strncpy(h.kind, c->name, sizeof(h.kind) - 1);
    FILE *out = file_open(path, "wb");
    file_write(out, &h, sizeof(h), path);
    c->save(model, out, path);
    file_close(out, path);
}

void *model_load(const char *path, uint32_t pixels, const struct classifier **ret_kind)
{
    struct model_header h;
    FILE *in = file_open(path, "rb");
    file_read(in, &h, sizeof(h), path);
    if (memcmp(h.magic, MODEL_MAGIC, sizeof(h.magic)) != 0 || h.classes != CLASSES)
        die("'%s' was not written by fashion-train", path);
    h.kind[sizeof(h.kind) - 1] = '\0';
    const struct classifier *c = classifier_find(h.kind);
    if (!c)
        die("'%s' is of the unknown kind '%s'", path, h.kind);
    if (h.pixels != pixels)
        die("'%s' was trained on images of %u pixels, not of %u", path, h.pixels, pixels);
    void *model = c->load(in, path, pixels);
    if (fgetc(in) != EOF)
        die("'%s' is longer than its model", path);
    fclose(in);
    *ret_kind = c;
    return model;
}
