/* SPDX-License-Identifier: Apache-2.0 */
/* What the files gc*.c share. */
#ifndef WF_CACHE_GC_INTERNAL_H
#define WF_CACHE_GC_INTERNAL_H

#include "cache/entries_internal.h"
#include "cache/gc.h"
#include "cache/id_map.h"

struct str;

struct gc {
    struct store *store;
    const struct gc_options *o;
    struct gc_report report;
    struct id_map live;     /* entries that live runs use, or may */
    int64_t oldest_live;    /* when the oldest live run began; now when there is none */
    uint64_t seen;          /* entries looked at, for progress */
    bool stopped;           /* by progress */
    struct id_map given_up; /* dry run: how often each object's row was released */
    bool any_live;
};

/* Commits one slice and then sleeps as long as it took: others come in between. */
int gc_slice(struct gc *g, struct write *w, struct err *err);
/* Tells progress; true: stop. */
bool gc_stop(struct gc *g);

/* gc_meta: small values kept between runs of gc. Text is added to `ret` (empty: none). */
int gc_meta_get(struct store *s, const char *name, struct str *ret, struct err *err);
int gc_meta_put(struct db *db, const char *name, const char *value, struct err *err);

/* gc_live.c: who lives, and what they use. */
int gc_find_live(struct gc *g, struct err *err);
/* gc_fold.c: last hits from the runs' blobs of used entries into `hits`. */
int gc_fold(struct gc *g, struct err *err);
int64_t gc_used_id(const void *used, size_t index); /* of a run's blob */
/* gc_stray.c: files that no row names. */
int gc_strays(struct gc *g, struct err *err);
/* gc_verify.c: hashes what an unclean start left in doubt; gc_trust() forgets the doubt, after gc_strays() and with no run alive. */
int gc_verify(struct gc *g, struct err *err);
int gc_trust(struct gc *g, struct err *err);
/* gc_dry.c: as entry_remove(), but only counting. */
int gc_dry_remove(struct gc *g, int64_t id, struct freed *freed, struct err *err);

#endif
