/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a mapping: duplicate keys, and merge keys (own keys win, earlier maps of a list win). */
#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "workflows/yaml_internal.h"

#include <string.h>

/* Pairs up to which comparing beats hashing. */
enum { SMALL_MAP = 12 };

struct pairs {
    struct node_pair *items;
    size_t len, cap;
};

static bool same_key(const struct node_pair *a, const struct node_pair *b)
{
    return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

static void refuse_duplicate(const struct node_pair *again, const struct node_pair *first,
                             struct diags *d)
{
    diag_error(d, again->key_span, "duplicate-key", "the key '%.80s' stands here a second time",
               again->key);
    diag_hint(d, "first in line %u", first->key_span.line);
}

/* The pair of an equal key among the first `count`, or NULL. `seen` is used once the map is not small. */
static const struct node_pair *find_pair(const struct pairs *p, struct map *seen,
                                         const struct node_pair *key)
{
    if (p->len <= SMALL_MAP) {
        for (size_t i = 0; i < p->len; i++) {
            if (same_key(&p->items[i], key))
                return &p->items[i];
        }
        return NULL;
    }
    for (size_t i = seen->len; i < p->len; i++)
        map_put(seen, p->items[i].key, p->items[i].key_len, NULL);
    ptrdiff_t at = map_find(seen, key->key, key->key_len);
    return at >= 0 ? &p->items[at] : NULL;
}

static void merge_map(struct pairs *into, struct map *seen, const struct node *from)
{
    for (uint32_t i = 0; i < from->len; i++) {
        if (find_pair(into, seen, &from->pairs[i]) == NULL)
            *vec_push(into) = from->pairs[i];
    }
}

static void merge_value(struct pairs *into, struct map *seen, const struct node_pair *merge,
                        struct diags *d)
{
    const struct node *v = merge->value;
    if (v->kind == NODE_MAP) {
        merge_map(into, seen, v);
        return;
    }
    bool fine = v->kind == NODE_LIST;
    for (uint32_t i = 0; fine && i < v->len; i++) {
        fine = v->items[i]->kind == NODE_MAP;
        if (fine)
            merge_map(into, seen, v->items[i]);
    }
    if (!fine)
        diag_error(
            d, merge->key_span, "yaml-merge",
            "'<<' takes a mapping or a list of mappings, mostly as an alias such as *common");
}

void yaml_close_map(struct node *map, struct node_pair *pairs, size_t count, struct arena *a,
                    struct diags *d)
{
    struct pairs own = {0};
    struct map seen = {0};
    const struct node_pair *merge = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct node_pair *first = pairs[i].merge ? merge : find_pair(&own, &seen, &pairs[i]);
        if (first != NULL)
            refuse_duplicate(&pairs[i], first, d);
        else if (pairs[i].merge)
            merge = &pairs[i];
        else
            *vec_push(&own) = pairs[i];
    }
    if (merge != NULL)
        merge_value(&own, &seen, merge, d);
    map->len = (uint32_t)own.len;
    if (own.len > 0)
        map->pairs = arena_memdup(a, own.items, own.len * sizeof(*own.items));
    map_done(&seen);
    vec_done(&own);
}
