/* SPDX-License-Identifier: Apache-2.0 */
/* What entries*.c and housekeeping share. */
#ifndef WF_CACHE_ENTRIES_INTERNAL_H
#define WF_CACHE_ENTRIES_INTERNAL_H

#include "cache/entries.h"

struct db;

/* The row id of an object: the first bytes of its digest; a tree is counted apart from a file of the same content. */
int64_t object_head(const struct digest *d, enum object_kind kind);
/* Is it there as it should be? By stat; hashed where that differs. */
bool object_there(struct store *s, const struct digest *d, uint64_t bytes, enum object_kind kind);

/* What a removal freed; added to. */
struct freed {
    uint64_t objects, bytes;
};
/* Inside a transaction: removes the entry and, as the last who names them, its work, its objects' rows and files. 1: it was there, 0: it was not, negative. */
int entry_remove(struct store *s, struct db *db, int64_t id, struct freed *freed, struct err *err);

#endif
