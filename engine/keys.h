/* SPDX-License-Identifier: Apache-2.0 */
/* Which instance of a run works on a key: two with the same key are one attempt and one hit. Holds only keys that were missed. */
#ifndef WF_ENGINE_KEYS_H
#define WF_ENGINE_KEYS_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All-zero but for n: empty. */
struct keys {
    uint32_t n;          /* instances */
    struct digest *keys; /* per instance, zero: none; made at the first miss */
    uint32_t *slots;     /* instance + 1 */
    size_t slot_count, used;
    struct waiters {
        uint32_t head, tail; /* of a list by run->next; UINT32_MAX: empty */
    } * waiters;             /* per leading instance; made when somebody waits */
};
void keys_done(struct keys *k);
/* The instance that took the key last; UINT32_MAX: none. */
uint32_t keys_find(const struct keys *k, const struct digest *d);
void keys_put(struct keys *k, const struct digest *d, uint32_t instance);
/* True: this instance asked with this very key before. */
bool keys_same(const struct keys *k, uint32_t instance, const struct digest *d);
struct waiters *keys_waiters(struct keys *k, uint32_t instance); /* makes the table */
bool keys_waited_for(const struct keys *k, uint32_t instance);

#endif
