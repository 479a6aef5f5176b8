/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from byte strings to pointers; iteration is in insertion order. Open addressing; no removal but of all.
 * Keys are NOT copied: they live as long as the map (arena, or inside the value). An all-zero struct is empty. */
#ifndef WF_BASE_MAP_H
#define WF_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_item {
    const char *key;
    size_t key_len;
    uint64_t hash;
    void *value;
};
struct map {
    struct map_item *items; /* in insertion order, `len` of them */
    size_t len, cap;
    uint32_t *slots; /* index + 1 into items */
    size_t slot_count;
};

void map_done(struct map *m); /* values are the caller's */
/* Sets key to value, replacing what stood there. Returns true when the key is new. */
bool map_put(struct map *m, const char *key, size_t key_len, void *value);
void *map_get(const struct map *m, const char *key, size_t key_len); /* NULL: absent */
/* The index in `items`, or -1. For maps whose values may be NULL. */
ptrdiff_t map_find(const struct map *m, const char *key, size_t key_len);
static inline bool map_put_text(struct map *m, const char *key, void *value)
{
    return map_put(m, key, __builtin_strlen(key), value);
}
static inline void *map_get_text(const struct map *m, const char *key)
{
    return map_get(m, key, __builtin_strlen(key));
}

#endif
