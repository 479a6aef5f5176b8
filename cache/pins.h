/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned entries: housekeeping leaves them. */
#ifndef WF_CACHE_PINS_H
#define WF_CACHE_PINS_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

/* In one transaction, blocking, on a store without a loop. `why`: for listings, "" for none; of one that is pinned already it is replaced. *ret_count: how many of them are there and pinned
 * now (were pinned till now). */
int pins_set(struct store *s, const int64_t *ids, size_t count, const char *why, size_t *ret_count,
             struct err *err);
int pins_clear(struct store *s, const int64_t *ids, size_t count, size_t *ret_count,
               struct err *err);

#endif
