/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing by the key's first bytes (a SHA-256: as good as any hash), linear probing, at most half full. */
#include "engine/keys.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 256 };

void keys_done(struct keys *k)
{
    free(k->keys);
    free(k->slots);
    free(k->waiters);
    memset(k, 0, sizeof(*k));
}

static size_t start_of(const struct keys *k, const struct digest *d)
{
    uint64_t h;

    memcpy(&h, d->bytes, sizeof(h));
    return (size_t)h & (k->slot_count - 1);
}

static size_t slot_of(const struct keys *k, const struct digest *d)
{
    size_t at = start_of(k, d);

    while (k->slots[at] != 0 && !digest_eq(&k->keys[k->slots[at] - 1], d)) {
        at = (at + 1) & (k->slot_count - 1);
    }
    return at;
}

static void grow(struct keys *k)
{
    uint32_t *old = k->slots;
    size_t count = k->slot_count;

    k->slot_count = count ? count * 2 : FIRST_SLOTS;
    k->slots = xcalloc(k->slot_count, sizeof(*k->slots));
    for (size_t i = 0; i < count; i++) {
        if (old[i] != 0) {
            k->slots[slot_of(k, &k->keys[old[i] - 1])] = old[i];
        }
    }
    free(old);
}

uint32_t keys_find(const struct keys *k, const struct digest *d)
{
    return k->slot_count == 0 ? UINT32_MAX : k->slots[slot_of(k, d)] - 1;
}

bool keys_same(const struct keys *k, uint32_t instance, const struct digest *d)
{
    return k->keys && digest_eq(&k->keys[instance], d);
}

/* An instance whose key changed gives up its old one. */
static void forget(struct keys *k, uint32_t instance)
{
    size_t at = slot_of(k, &k->keys[instance]), next;

    if (k->slots[at] != instance + 1) {
        return;
    }
    /* Linear probing: what follows in the same run of slots is put in again. */
    k->slots[at] = 0;
    k->used--;
    for (next = (at + 1) & (k->slot_count - 1); k->slots[next] != 0;
         next = (next + 1) & (k->slot_count - 1)) {
        uint32_t moved = k->slots[next];
        k->slots[next] = 0;
        k->slots[slot_of(k, &k->keys[moved - 1])] = moved;
    }
}

void keys_put(struct keys *k, const struct digest *d, uint32_t instance)
{
    size_t at;

    if (!k->keys) {
        k->keys = xcalloc(k->n ? k->n : 1, sizeof(*k->keys));
    }
    if ((k->used + 1) * 2 > k->slot_count) {
        grow(k);
    }
    if (!digest_is_zero(&k->keys[instance]) && !digest_eq(&k->keys[instance], d)) {
        forget(k, instance);
    }
    at = slot_of(k, d);
    k->used += k->slots[at] == 0;
    k->keys[instance] = *d;
    k->slots[at] = instance + 1;
}

struct waiters *keys_waiters(struct keys *k, uint32_t instance)
{
    if (!k->waiters) {
        k->waiters = xmalloc((k->n ? k->n : 1) * sizeof(*k->waiters));
        memset(k->waiters, 0xff, (k->n ? k->n : 1) * sizeof(*k->waiters));
    }
    return &k->waiters[instance];
}

bool keys_waited_for(const struct keys *k, uint32_t instance)
{
    return k->waiters && k->waiters[instance].head != UINT32_MAX;
}
