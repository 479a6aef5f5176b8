/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/id_map.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void id_map_done(struct id_map *m)
{
    free(m->items);
    memset(m, 0, sizeof(*m));
}

void id_map_clear(struct id_map *m)
{
    if (m->items) {
        memset(m->items, 0, m->cap * sizeof(*m->items));
    }
    m->len = 0;
}

/* Where the key stands, or would. */
static struct id_item *slot(const struct id_map *m, int64_t key)
{
    uint64_t h = (uint64_t)key * 0x9e3779b97f4a7c15U;
    size_t at = (size_t)(h >> 20) & (m->cap - 1);

    while (m->items[at].key != 0 && m->items[at].key != key) {
        at = (at + 1) & (m->cap - 1);
    }
    return &m->items[at];
}

int64_t *id_map_get(const struct id_map *m, int64_t key)
{
    struct id_item *item = m->cap ? slot(m, key) : NULL;

    return item && item->key != 0 ? &item->value : NULL;
}

int64_t *id_map_put(struct id_map *m, int64_t key)
{
    if ((m->len + 1) * 2 > m->cap) {
        struct id_map more = {.cap = m->cap ? m->cap * 2 : 64};
        more.items = xcalloc(more.cap, sizeof(*more.items));
        for (size_t i = 0; i < m->cap; i++) {
            if (m->items[i].key != 0) {
                *slot(&more, m->items[i].key) = m->items[i];
            }
        }
        more.len = m->len;
        free(m->items);
        *m = more;
    }
    struct id_item *item = slot(m, key);
    if (item->key == 0) {
        *item = (struct id_item){key, 0};
        m->len++;
    }
    return &item->value;
}
