/* SPDX-License-Identifier: Apache-2.0 */
/* Memory freed all at once. Two kinds:
 *  - a plain arena (chunks from malloc; under a sanitizer one malloc per object, so that every overrun is seen);
 *  - an image arena: one reserved range at a fixed address, so that the whole of it can be written to a file and mapped
 *    again by a later process at the same place, pointers included. One per process. All that is put into it may point
 *    only into it (no string literals, no static tables, no heap): arena_image_save() verifies that by looking at every
 *    aligned word, and refuses otherwise. */
#ifndef WF_BASE_ARENA_H
#define WF_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct err;

struct arena *arena_new(void);
/* NULL when the address range is taken or the platform has none (then use arena_new()). */
struct arena *arena_new_image(void);
void arena_free(struct arena *a);

void *arena_alloc(struct arena *a, size_t size); /* aligned to 16, zeroed */
void *arena_calloc(struct arena *a, size_t count, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len);
void *arena_memdup(struct arena *a, const void *data, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const struct arena *a); /* bytes */
bool arena_is_image(const struct arena *a);

/* Writes the image with its root pointer to `path` (temporary name + rename). `tag` (32 bytes) is compared on load.
 * Positive 1: refused, because something in it points outside (nothing is written). */
int arena_image_save(const struct arena *a, const void *root, const unsigned char tag[32],
                     const char *path, struct err *err);
/* Maps `path` copy-on-write at the fixed address. 0: *ret_arena (owned by the caller) and *ret_root are set.
 * Positive 1: no usable image (absent, another tag, damaged: a sum of 256 bits over all of it is checked, which finds rot and torn files but is no proof against a forger; or the range is taken). */
int arena_image_load(const char *path, const unsigned char tag[32], struct arena **ret_arena,
                     void **ret_root, struct err *err);
/* Gives back the memory of a large loaded image (20 MiB and more) that nobody changed or will change: what is looked at again is read from its file. From the first call on, writing into what was loaded is a
 * crash. `inside`: any pointer into the image; harmless for all but loaded ones. */
void arena_image_forget(const void *inside);

#endif
