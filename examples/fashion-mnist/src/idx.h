/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one gzipped IDX file (big-endian header: two zero bytes, the type, the number of dimensions, then each dimension; then the bytes). */
#ifndef FASHION_IDX_H
#define FASHION_IDX_H

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

struct idx {
    gzFile file;
    char *path;
    uint32_t count;      /* images or labels */
    uint32_t rows, cols; /* 1 and 1 for labels */
    uint32_t taken;      /* read so far */
};

/* Opens FOLDER/NAME.gz and checks its header: `dimensions` is 3 for images, 1 for labels. All of these end the program when something is wrong. */
void idx_open(struct idx *x, const char *folder, const char *name, uint32_t dimensions);
/* The next n items (rows x cols bytes each). */
void idx_read(struct idx *x, void *items, uint32_t n);
/* Checks that the file ends here, and that its checksum is right. */
void idx_close(struct idx *x);

#endif
