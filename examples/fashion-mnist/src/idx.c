/* SPDX-License-Identifier: Apache-2.0 */
#include "idx.h"

#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bounds that keep every product of dimensions far inside 32 bits and every allocation small. */
enum { MAX_COUNT = 10 * 1000 * 1000, MAX_SIDE = 1024 };

static void take(struct idx *x, void *data, size_t len)
{
    int n = gzread(x->file, data, (unsigned)len);
    if (n < 0) {
        int code = 0;
        die("%s", gzerror(x->file, &code)); /* begins with the path */
    }
    if ((size_t)n != len && x->count == 0)
        die("'%s' ends within its header", x->path);
    if ((size_t)n != len)
        die("'%s' ends too early: its header promises %u items", x->path, x->count);
}

static uint32_t take_number(struct idx *x)
{
    uint8_t b[4];
    take(x, b, sizeof(b));
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void idx_open(struct idx *x, const char *folder, const char *name, uint32_t dimensions)
{
    *x = (struct idx){.rows = 1, .cols = 1};
    if (asprintf(&x->path, "%s/%s.gz", folder, name) < 0)
        die("out of memory");
    x->file = gzopen(x->path, "rb");
    if (!x->file)
        die("cannot open '%s'; is '%s' the folder of the dataset (Debian: dataset-fashion-mnist)?",
            x->path, folder);
    gzbuffer(x->file, 1 << 17);
    uint32_t magic = take_number(x), expected = 0x800 | dimensions;
    if (magic != expected)
        die("'%s' is not an IDX file of %u dimension%s: its first bytes are %#x, not %#x", x->path,
            dimensions, dimensions == 1 ? "" : "s", magic, expected);
    x->count = take_number(x);
    if (dimensions == 3) {
        x->rows = take_number(x);
        x->cols = take_number(x);
    }
    if (x->count < 1 || x->count > MAX_COUNT)
        die("'%s' says it holds %u items; expected 1 to %d", x->path, x->count, MAX_COUNT);
    if (x->rows < 1 || x->rows > MAX_SIDE || x->cols < 1 || x->cols > MAX_SIDE)
        die("'%s' says its images are %u x %u; expected at most %d x %d", x->path, x->rows, x->cols,
            MAX_SIDE, MAX_SIDE);
}

void idx_read(struct idx *x, void *items, uint32_t n)
{
    if (n > x->count - x->taken)
        die("'%s' holds only %u items", x->path, x->count);
    take(x, items, (size_t)n * x->rows * x->cols);
    x->taken += n;
}

void idx_close(struct idx *x)
{
    uint8_t more;
    int n = gzread(x->file, &more, 1);
    if (n > 0)
        die("'%s' is longer than the %u items of its header", x->path, x->count);
    if (n < 0 || gzclose(x->file) != Z_OK)
        die("'%s' is damaged: its checksum is wrong", x->path);
    free(x->path);
    *x = (struct idx){0};
}
