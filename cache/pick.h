/* SPDX-License-Identifier: Apache-2.0 */
/* The entries a user means: by key, by who made them, by age. Reading only, in short steps. */
#ifndef WF_CACHE_PICK_H
#define WF_CACHE_PICK_H

#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;

/* All that is said must hold; all-zero: every entry. */
struct pick {
    const char *key;        /* the first hex digits, lower case */
    const char *workflow;   /* its name */
    const char *step;       /* a step with all its branches, or one branch */
    int64_t made_before_ms; /* 0: whenever */
    int64_t used_before_ms; /* 0: whenever; of the last hit that is known */
};
struct picked {
    int64_t id;
    struct digest key;
    const char *workflow, *step; /* borrowed for the call; may be NULL */
    int64_t made_at_ms, used_at_ms;
    bool pinned;
};
/* Oldest first. fn: false stops. */
int cache_pick(struct store *s, const struct pick *p, bool (*fn)(const struct picked *e, void *arg),
               void *arg, struct err *err);
/* The newest entry whose key begins with `hex`. 0: one key; 1: none; 2: several keys begin so; negative. */
int cache_pick_key(struct store *s, const char *hex, int64_t *ret_id, struct digest *ret_key,
                   struct err *err);

#endif
