/* SPDX-License-Identifier: Apache-2.0 */
#include "classifier.h"

#include "util.h"

#include <stdlib.h>
#include <string.h>

#define MODEL_MAGIC "FASHMDL2"
enum { MAX_PIXELS = 1 << 20 };

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

/* FNV-1a, eight bytes at a time: against damage, not against an enemy. */
static uint64_t checksum(const char *data, size_t len)
{
    uint64_t sum = 0xcbf29ce484222325u, word = 0;
    for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        sum = (sum ^ word) * 0x100000001b3u;
    }
    for (; len > 0; data++, len--)
        sum = (sum ^ (uint8_t)*data) * 0x100000001b3u;
    return sum;
}

void model_save(const struct classifier *c, const void *model, uint32_t pixels, const char *path)
{
    struct model_header h = {.pixels = pixels, .classes = CLASSES};
    memcpy(h.magic, MODEL_MAGIC, sizeof(h.magic));
    strncpy(h.kind, c->name, sizeof(h.kind) - 1);
    char *data = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&data, &len);
    if (!memory)
        die("out of memory for '%s'", path);
    file_write(memory, &h, sizeof(h), path);
    c->save(model, memory, path);
    file_close(memory, path);
    uint64_t sum = checksum(data, len);
    FILE *out = file_open(path, "wb");
    file_write(out, data, len, path);
    file_write(out, &sum, sizeof(sum), path);
    file_close(out, path);
    free(data);
}

void *model_load(const char *path, const struct classifier **ret_kind, uint32_t *ret_pixels)
{
    struct model_header h;
    uint64_t sum;
    size_t len = 0;
    char *data = file_load(path, &len);
    if (len < sizeof(h) + sizeof(sum) || memcmp(data, MODEL_MAGIC, sizeof(h.magic)) != 0)
        die("'%s' was not written by fashion-train", path);
    len -= sizeof(sum);
    memcpy(&h, data, sizeof(h));
    memcpy(&sum, data + len, sizeof(sum));
    if (checksum(data, len) != sum)
        die("'%s' is damaged: its checksum is not that of its content", path);
    h.kind[sizeof(h.kind) - 1] = '\0';
    const struct classifier *c = classifier_find(h.kind);
    if (!c)
        die("'%s' is of the unknown kind '%s'", path, h.kind);
    if (h.classes != CLASSES || h.pixels < 1 || h.pixels > MAX_PIXELS)
        die("'%s' is for images of %u pixels and %u classes", path, h.pixels, h.classes);
    FILE *in = fmemopen(data, len, "rb");
    if (!in || fseek(in, (long)sizeof(h), SEEK_SET) != 0)
        die("out of memory for '%s'", path);
    void *model = c->load(in, path, h.pixels);
    if (fgetc(in) != EOF)
        die("'%s' is longer than its model", path);
    fclose(in);
    free(data);
    *ret_kind = c;
    *ret_pixels = h.pixels;
    return model;
}
