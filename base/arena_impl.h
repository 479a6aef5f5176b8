/* SPDX-License-Identifier: Apache-2.0 */
/* What arena.c (allocation) and arena_image.c (the file) share. Nobody else includes this. */
#ifndef WF_BASE_ARENA_IMPL_H
#define WF_BASE_ARENA_IMPL_H

#include <stdbool.h>
#include <stddef.h>

/* Far from where Linux puts programs, libraries and stacks (0x55…, 0x7f…), and from the sanitizers' shadows. */
#define IMAGE_BASE ((size_t)0x200000000000)
#define IMAGE_SIZE ((size_t)16 << 30)
/* The file's header; the same bytes of the range hold it in memory, so that a file is mapped as one piece. */
#define IMAGE_HEADER 4096

struct arena_chunk; /* a block from malloc, in a list */

struct arena {
    char *next, *end; /* the free room of the current chunk, or of what is committed of the image */
    size_t used;
    bool image;
    struct arena_chunk *chunks; /* plain: newest first */
    size_t chunk_size;          /* plain: the next chunk's */
};

/* Reserves the range without memory; NULL when it is taken. The arena's room begins behind the header. */
struct arena *arena_reserve_image(void);
/* The image's bytes as they go into a file, header first. */
char *arena_image_bytes(const struct arena *a, size_t *ret_len);

#endif
