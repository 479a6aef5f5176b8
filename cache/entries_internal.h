/* SPDX-License-Identifier: Apache-2.0 */
/* What entries*.c and housekeeping share. */
#ifndef WF_CACHE_ENTRIES_INTERNAL_H
#define WF_CACHE_ENTRIES_INTERNAL_H

#include "base/str.h"
#include "base/vec.h"
#include "cache/entries.h"
#include "cache/objects.h"

struct db;

/* The row id of an object: the first bytes of its digest; a tree is counted apart from a file of the same content. */
int64_t object_head(const struct digest *d, enum object_kind kind);
/* Is it there as it should be? By stat; hashed where that differs. */
bool object_there(struct store *s, const struct digest *d, uint64_t bytes, enum object_kind kind);

/* Up to `max` rows with ids above `after`, ascending. */
int entry_after(struct store *s, int64_t after, size_t max, struct arena *a, struct entry *ret,
                size_t *ret_count, struct err *err);
/* As entry_check_objects(), always by digest, and nothing is posted. */
enum object_state entry_check_hashed(struct store *s, const struct entry *e,
                                     struct digest *ret_bad);

/* A file that no row names any more. */
struct freed_file {
    struct digest digest;
    uint64_t bytes;
};
/* What a removal freed; added to. NULL in entry_remove(): the files stay, as strays that gc sweeps later. They are unlinked only when the rows are gone for good: a transaction that never commits
 * must take nothing along, least of all a folder's list, which alone tells what else the folder names. */
struct freed {
    uint64_t objects, bytes; /* files */
    int64_t rows,
        row_bytes; /* rows of objects, by object_release() alone: for `totals`, which its caller keeps */
    bool
        spare; /* set by the caller: runs are alive that may need the files still; they stay, made younger than those runs, as strays */
    VEC(struct freed_file) files; /* to be unlinked */
};
/* At the beginning of `apply`: nothing is freed yet. */
void freed_begin(struct freed *f, bool spare);
/* In `committed`: unlinks the files, and takes back from the sums what was not there. */
void freed_unlink(struct store *s, struct freed *f);
void freed_done(struct freed *f); /* fits CLEANUP() */
/* Inside a transaction: removes the entry and, as the last who names them, its work and its objects' rows; the files are left to freed_unlink(). 1: it was there, 0: it was not, negative. */
int entry_remove(struct store *s, struct db *db, int64_t id, struct freed *freed, struct err *err);

/* Both leave `totals` to their caller (store_totals()). The same in two parts, for gc_queue.c: first the entry with all but its name in `keys` and its objects, later those. All-zero before the first use. */
struct entry_taken {
    struct str result; /* encoded */
    int64_t work;
    bool has_identity;
    struct digest identity, key;
};
int entry_take(struct db *db, int64_t id, struct entry_taken *ret,
               struct err *err); /* 1, 0 or negative, as above */
int store_totals(struct db *db, int64_t entries, int64_t objects, int64_t bytes, struct err *err);
void entry_taken_done(struct entry_taken *e); /* fits CLEANUP() */
int object_release(struct store *s, struct db *db, const struct digest *d, uint64_t bytes,
                   enum object_kind kind, struct freed *freed, struct err *err);

#endif
