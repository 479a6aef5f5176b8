/* SPDX-License-Identifier: Apache-2.0 */
/* knn: the share of each class among the nearest training images (Euclidean distance of the pixels). "Training" keeps the images; the work is in predicting. */
#include "classifier.h"
#include "util.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

/* Distances are taken of this many training images at a time: the block and its products stay in the cache's reach. */
enum { BLOCK = 2000, MAX_NEIGHBOURS = 100 };

struct neighbours {
    uint32_t pixels, count, k;
    uint8_t *labels, *images; /* one allocation: the images follow the labels */
};
struct near {
    float distance;
    uint32_t label;
};
/* One query's nearest so far, nearest first. */
struct nearest {
    uint32_t count;
    struct near items[MAX_NEIGHBOURS];
};

static struct neighbours *neighbours_new(uint32_t pixels, uint32_t count, uint32_t k)
{
    struct neighbours *m = xcalloc(1, sizeof(*m));
    *m = (struct neighbours){.pixels = pixels, .count = count, .k = k};
    m->labels = xcalloc(count, (size_t)pixels + 1);
    m->images = m->labels + count;
    return m;
}

static void *knn_train(const struct settings *s, const struct split *data)
{
    struct neighbours *m = neighbours_new(data->pixels, data->count, s->neighbours);
    memcpy(m->labels, data->labels, data->count);
    memcpy(m->images, data->images, (size_t)data->count * data->pixels);
    openblas_set_num_threads((int)s->threads);
    return m;
}

static void to_floats(const uint8_t *bytes, size_t n, float *ret)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = (float)bytes[i] / 255;
}

static void remember(struct nearest *q, uint32_t k, float distance, uint32_t label)
{
    if (q->count == k && distance >= q->items[k - 1].distance)
        return;
    uint32_t at = q->count < k ? q->count++ : k - 1;
    for (; at > 0 && q->items[at - 1].distance > distance; at--)
        q->items[at] = q->items[at - 1];
    q->items[at] = (struct near){distance, label};
}

/* |a - b|^2 = |a|^2 - 2 a b + |b|^2, and |a|^2 is the same for all neighbours of a. */
static void search_block(const struct neighbours *m, uint32_t first, uint32_t n, float *block,
                         const float *queries, size_t count, float *products, struct nearest *found)
{
    to_floats(m->images + (size_t)first * m->pixels, (size_t)n * m->pixels, block);
    blasint pixels = (blasint)m->pixels;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)count, (blasint)n, pixels, -2,
                queries, pixels, block, pixels, 0, products, (blasint)n);
    for (uint32_t j = 0; j < n; j++) {
        const float *image = block + (size_t)j * m->pixels;
        float square = 0;
        for (uint32_t p = 0; p < m->pixels; p++)
            square += image[p] * image[p];
        for (size_t i = 0; i < count; i++)
            remember(&found[i], m->k, products[i * n + j] + square, m->labels[first + j]);
    }
}

static void knn_predict(const void *model, const uint8_t *images, size_t n, float *ret)
{
    const struct neighbours *m = model;
    float *queries = xcalloc(n * m->pixels, sizeof(float));
    float *block = xcalloc((size_t)BLOCK * m->pixels, sizeof(float));
    float *products = xcalloc(n * BLOCK, sizeof(float));
    struct nearest *found = xcalloc(n, sizeof(*found));
    to_floats(images, n * m->pixels, queries);
    for (uint32_t first = 0; first < m->count; first += BLOCK) {
        uint32_t some = m->count - first < BLOCK ? m->count - first : BLOCK;
        search_block(m, first, some, block, queries, n, products, found);
    }
    memset(ret, 0, n * CLASSES * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < found[i].count; k++)
            ret[i * CLASSES + found[i].items[k].label] += 1.0f / (float)found[i].count;
    }
    free(queries);
    free(block);
    free(products);
    free(found);
}

static void knn_free(void *model)
{
    struct neighbours *m = model;
    free(m->labels);
    free(m);
}

static void knn_save(const void *model, FILE *out, const char *path)
{
    const struct neighbours *m = model;
    file_write(out, &m->count, sizeof(m->count), path);
    file_write(out, &m->k, sizeof(m->k), path);
    file_write(out, m->labels, (size_t)m->count * ((size_t)m->pixels + 1), path);
}

static void *knn_load(FILE *in, const char *path, uint32_t pixels)
{
    uint32_t count = 0, k = 0;
    file_read(in, &count, sizeof(count), path);
    file_read(in, &k, sizeof(k), path);
    if (count < 1 || count > 10000000 || k < 1 || k > MAX_NEIGHBOURS)
        die("'%s' is damaged: %u neighbours of %u images", path, k, count);
    struct neighbours *m = neighbours_new(pixels, count, k);
    file_read(in, m->labels, (size_t)count * ((size_t)pixels + 1), path);
    for (uint32_t i = 0; i < count; i++) {
        if (m->labels[i] >= CLASSES)
            die("'%s' is damaged: a label of %u", path, m->labels[i]);
    }
    openblas_set_num_threads(1);
    return m;
}

static void knn_describe(const struct settings *s, FILE *json)
{
    fprintf(json, "\"neighbours\": %u", s->neighbours);
}

const struct classifier knn_classifier = {
    .name = "knn",
    .title = "nearest neighbours",
    .published = 0.854,
    .defaults = {.neighbours = 5},
    .train = knn_train,
    .predict = knn_predict,
    .save = knn_save,
    .load = knn_load,
    .free = knn_free,
    .describe = knn_describe,
};
