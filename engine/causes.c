/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/causes.h"

#include "base/arena.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { NO_FROM = UINT32_MAX };

struct cause {
    uint32_t from, root, depth; /* depth 0: a root */
    const char *text, *verb;    /* verb NULL: nothing was told */
};
struct causes {
    uint32_t n;
    struct cause *items; /* NULL: nothing was told of any */
    struct arena *arena;
};

struct causes *causes_new(uint32_t n)
{
    struct causes *c = xcalloc(1, sizeof(*c));

    c->n = n;
    return c;
}

void causes_free(struct causes *c)
{
    if (c) {
        if (c->arena) {
            arena_free(c->arena);
        }
        free(c->items);
        free(c);
    }
}

void causes_set(struct causes *c, uint32_t instance, uint32_t from, const char *verb,
                const char *text)
{
    static const char common[] = "never ran"; /* of a hundred thousand: one copy */

    if (!c->items) {
        c->items = xcalloc(c->n ? c->n : 1, sizeof(*c->items));
        c->arena = arena_new();
    }
    bool follows = from != NO_FROM && from != instance && causes_known(c, from);
    const struct cause *before = follows ? &c->items[from] : NULL;
    c->items[instance] =
        (struct cause){.from = follows ? from : NO_FROM,
                       .root = follows ? before->root : instance,
                       .depth = follows ? before->depth + 1 : 0,
                       .verb = verb,
                       .text = !text                       ? NULL
                               : strcmp(text, common) == 0 ? common
                                                           : arena_strdup(c->arena, text)};
}

bool causes_known(const struct causes *c, uint32_t instance)
{
    return c->items && instance < c->n && c->items[instance].verb;
}

size_t causes_chain(const struct causes *c, uint32_t instance,
                    const char *(*name)(uint32_t instance, const void *arg), const void *arg,
                    struct arena *a, struct why_link **ret)
{
    if (!causes_known(c, instance)) {
        return 0;
    }
    uint32_t links = c->items[instance].depth + 1;
    uint32_t n = links < CHAIN_SHOWN ? links : CHAIN_SHOWN, at = instance;
    struct why_link *list = arena_calloc(a, n, sizeof(*list));

    for (uint32_t i = 0; i < n; i++) {
        if (i == n - 1) {
            at = c->items[instance].root;
            list[i].between = links - n;
        }
        list[i].step = arena_strdup(a, name(at, arg));
        list[i].verb = c->items[at].verb;
        list[i].why = c->items[at].text ? arena_strdup(a, c->items[at].text) : NULL;
        at = c->items[at].from;
    }
    *ret = list;
    return n;
}
