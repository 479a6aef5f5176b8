/* SPDX-License-Identifier: Apache-2.0 */
/* What the files verify*.c share. */
#ifndef WF_CACHE_VERIFY_INTERNAL_H
#define WF_CACHE_VERIFY_INTERNAL_H

#include "base/vec.h"
#include "cache/entries_internal.h"
#include "cache/id_map.h"
#include "cache/verify.h"

/* A file below objects/ to be hashed, and what came of it. */
struct hashing {
    struct digest digest;
    uint64_t bytes; /* that were read */
    enum { HASH_GOOD, HASH_UNSEALED, HASH_MISSING, HASH_DAMAGED, HASH_UNREADABLE } state;
    int sys; /* why it could not be read */
};
struct verify {
    struct store *store;
    const struct verify_options *o;
    struct verify_report report;
    struct id_map
        seen; /* by object_head(): of files, their bytes + SEEN_BYTES or SEEN_BAD; of trees SEEN_GOOD or SEEN_BAD */
    VEC(struct hashing) jobs;
    int64_t told_us;
    bool stopped;
};
enum { SEEN_ASKED = 1, SEEN_BAD = 2, SEEN_GOOD = 3, SEEN_BYTES = 4 };

/* Tells progress when it is due; true: stop. */
bool verify_stop(struct verify *v);
void verify_found(struct verify *v, enum verify_kind kind, const struct entry *e,
                  const struct digest *object, bool repaired, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* verify_hash.c: one file; all jobs, which are then empty. `on_done` gets each, on the caller's thread, unless stopped. */
void verify_hash(struct store *s, struct hashing *h);
void verify_hash_all(struct verify *v, void (*on_done)(struct verify *v, const struct hashing *h));
/* verify_rows.c: counts and rows that name one another. */
int verify_rows(struct verify *v, struct err *err);

#endif
