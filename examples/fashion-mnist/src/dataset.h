/* SPDX-License-Identifier: Apache-2.0 */
/* The dataset as the steps hand it on: a folder with train.data, test.data and description.json (for people).
 * A .data file: struct split_header, one label byte per image, then the images' bytes, image after image.
 * Readers map it, so the pages are shared by all steps that run at once and none is copied. */
#ifndef FASHION_DATASET_H
#define FASHION_DATASET_H

#include <stddef.h>
#include <stdint.h>

#define SPLIT_MAGIC "FASHION1"
enum { CLASSES = 10 };

/* Little-endian, as every machine is that this example is built for. */
struct split_header {
    char magic[8];
    uint32_t count, rows, cols, classes;
};

struct split {
    uint32_t count;  /* images */
    uint32_t pixels; /* of each */
    const uint8_t *labels;
    const uint8_t *images;
    void *map;
    size_t map_len;
};

extern const char *const class_names[CLASSES];

/* Maps FOLDER/NAME.data and checks it; ends the program when it is not what it should be. */
void split_open(struct split *s, const char *folder, const char *name);
void split_close(struct split *s);

#endif
