/* SPDX-License-Identifier: Apache-2.0 */
#include "dataset.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

const char *const class_names[CLASSES] = {"T-shirt/top", "trouser",   "pullover", "dress",
                                          "coat",        "sandal",    "shirt",    "sneaker",
                                          "bag",         "ankle boot"};

static void *map_file(const char *path, size_t *ret_len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        die("cannot open '%s': %s", path, strerror(errno));
    if ((size_t)st.st_size < sizeof(struct split_header))
        die("'%s' is too short to be a dataset", path);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        die("cannot map '%s': %s", path, strerror(errno));
    close(fd);
    *ret_len = (size_t)st.st_size;
    return map;
}

void split_open(struct split *s, const char *folder, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s.data", folder, name) < 0)
        die("out of memory");
    *s = (struct split){0};
    s->map = map_file(path, &s->map_len);
    const struct split_header *h = s->map;
    if (memcmp(h->magic, SPLIT_MAGIC, sizeof(h->magic)) != 0 || h->classes != CLASSES)
        die("'%s' was not written by fashion-ingest", path);
    s->count = h->count;
    s->pixels = h->rows * h->cols;
    if (s->map_len != sizeof(*h) + s->count + (size_t)s->count * s->pixels)
        die("'%s' has not the size that its header says", path);
    s->labels = (const uint8_t *)(h + 1);
    s->images = s->labels + s->count;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->labels[i] >= CLASSES)
            die("'%s' holds an unknown label, %u", path, s->labels[i]);
    }
    free(path);
}

void split_close(struct split *s)
{
    if (s->map)
        munmap(s->map, s->map_len);
    *s = (struct split){0};
}
