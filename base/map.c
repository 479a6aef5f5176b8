/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing over 32-bit indices; at most two thirds of the slots are taken. */
#include "base/map.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

void map_done(struct map *m)
{
    free(m->items);
    free(m->slots);
    *m = (struct map){0};
}

/* The slot that holds the key, or the empty one where it belongs. */
static size_t find_slot(const struct map *m, const char *key, size_t key_len, uint64_t hash)
{
    size_t mask = m->slot_count - 1;

    for (size_t at = (size_t)hash & mask;; at = (at + 1) & mask) {
        if (m->slots[at] == 0) {
            return at;
        }
        const struct map_item *item = &m->items[m->slots[at] - 1];
        if (item->hash == hash && item->key_len == key_len &&
            (key_len == 0 || memcmp(item->key, key, key_len) == 0)) {
            return at;
        }
    }
}

static void grow_slots(struct map *m)
{
    size_t count = m->slot_count ? m->slot_count * 2 : 16;
    size_t mask = count - 1;

    free(m->slots);
    m->slots = xcalloc(count, sizeof(*m->slots));
    m->slot_count = count;
    for (size_t i = 0; i < m->len; i++) {
        size_t at = (size_t)m->items[i].hash & mask;
        while (m->slots[at] != 0) {
            at = (at + 1) & mask;
        }
        m->slots[at] = (uint32_t)(i + 1);
    }
}

bool map_put(struct map *m, const char *key, size_t key_len, void *value)
{
    if ((m->len + 1) * 3 > m->slot_count * 2) {
        grow_slots(m);
    }
    uint64_t hash = hash_bytes(key, key_len);
    size_t slot = find_slot(m, key, key_len, hash);

    if (m->slots[slot] != 0) {
        m->items[m->slots[slot] - 1].value = value;
        return false;
    }
    WF_ASSERT(m->len < UINT32_MAX - 1);
    if (m->len == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 8;
        m->items = xreallocarray(m->items, m->cap, sizeof(*m->items));
    }
    m->items[m->len++] = (struct map_item){key, key_len, hash, value};
    m->slots[slot] = (uint32_t)m->len;
    return true;
}

ptrdiff_t map_find(const struct map *m, const char *key, size_t key_len)
{
    if (m->len == 0) {
        return -1;
    }
    size_t slot = find_slot(m, key, key_len, hash_bytes(key, key_len));

    return (ptrdiff_t)m->slots[slot] - 1;
}

void *map_get(const struct map *m, const char *key, size_t key_len)
{
    ptrdiff_t at = map_find(m, key, key_len);

    return at < 0 ? NULL : m->items[at].value;
}
