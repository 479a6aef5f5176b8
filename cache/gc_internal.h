/* SPDX-License-Identifier: Apache-2.0 */
/* What the files gc*.c share. */
#ifndef WF_CACHE_GC_INTERNAL_H
#define WF_CACHE_GC_INTERNAL_H

#include "base/vec.h"
#include "cache/entries_internal.h"
#include "cache/gc.h"
#include "cache/id_map.h"
#include "cache/store_internal.h"

struct str;

/* Others wait at most so long for one slice, and for the checkpoint that may follow it. */
enum { GC_SLICE_US = 8000 };

struct gc_live_run {
    char id[ID_LEN + 1];
    int64_t seq; /* of its journal, read so far */
};
struct gc_total {
    uint64_t entries, objects, bytes;
};

struct gc {
    struct store *store;
    const struct gc_options *o;
    struct gc_report report;
    struct id_map live;  /* entries that live runs use, or may; and what is published */
    int64_t oldest_live; /* when the oldest live run began; now when there is none */
    VEC(struct gc_live_run) runs;
    int64_t looked_us;      /* when live runs were last looked for */
    int64_t deadline_us;    /* monotonic; 0: none */
    struct gc_total before; /* when it began */
    uint64_t seen;          /* entries looked at, for progress */
    bool stopped;           /* by progress or the deadline */
    bool any_live;
    bool unread;            /* something in doubt could not be read, and stays in doubt */
    struct id_map given_up; /* dry run: how often each object's row was released */
};

/* Commits one slice and then sleeps as long as it took while others are there: they come in between. */
int gc_slice(struct gc *g, struct write *w, struct err *err);
/* Tells progress; true: stop. */
bool gc_stop(struct gc *g);
/* For an `apply`: since `began_us` (monotonic) as much was done as one slice may. */
bool gc_slice_full(int64_t began_us);
/* The same, with the time that unlinking will take. */
bool gc_freed_full(int64_t began_us, const struct freed *f);
int gc_total_get(struct gc *g, struct gc_total *ret, struct err *err);

/* gc_meta: small values kept between runs of gc. Text is added to `ret` (empty: none). */
int gc_meta_get(struct store *s, const char *name, struct str *ret, struct err *err);
int gc_meta_put(struct db *db, const char *name, const char *value, struct err *err);
int gc_meta_put_now(struct gc *g, const char *name, const char *value, struct err *err);

/* gc_remove.c: entries. */
struct gc_used {
    int64_t id, at;
};
/* In use by somebody who is alive, as far as can be known, or published. */
bool gc_in_use(const struct gc *g, const struct gc_used *u);
/* The next rows of `hits` after `after`; fewer than GC_WALK: the end. Negative: error. */
enum { GC_WALK = 4096 };
int gc_walk(struct gc *g, int64_t after, struct gc_used *ret, struct err *err);
/* Removes these in slices, each with all it names, as long as a cap is passed. */
int gc_remove_while_over(struct gc *g, const struct gc_used *items, size_t count, struct err *err);
/* Removes these in slices; what they name is left to gc_queue(); `walked` >= 0 is written down as where the walk stands with the last of them. */
int gc_remove_all(struct gc *g, const struct gc_used *items, size_t count, int64_t walked,
                  struct err *err);
bool gc_over(const struct gc *g); /* a cap */
uint64_t gc_surplus(
    const struct gc *g); /* entries that must at least go for the caps, as far as can be told */
int gc_remove_unused(struct gc *g, struct err *err);
int gc_remove_over(struct gc *g, struct err *err);
/* gc_rounds.c: both, in a walk that goes on where the last one stood: for stores too large to be walked in the time there is. */
int gc_remove_rounds(struct gc *g, struct err *err);

/* gc_queue.c: what a removed entry named is cleared later, many at a time. gc_queue(): now. */
int gc_queue_add(struct db *db, int64_t entry, const struct entry_taken *e, struct err *err);
int gc_queue(struct gc *g, struct err *err);
/* The objects that are still counted for entries which are gone. */
int gc_pending(struct store *s,
               int (*fn)(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg),
               void *arg, struct err *err);

/* gc_live.c: who lives, and what they use; what is published. gc_look_again(): at most once a second. gc_anybody(): whether a run is alive; asked at the beginning of a transaction, for
 * `freed.spare` (see store_settle()). */
bool gc_anybody(struct gc *g);
int gc_find_live(struct gc *g, struct err *err);
int gc_find_published(struct gc *g, struct err *err);
int gc_look_again(struct gc *g, struct err *err);
/* gc_fold.c: last hits from the runs' blobs of used entries into `hits`. */
int gc_fold(struct gc *g, struct err *err);
int64_t gc_used_id(const void *used, size_t index); /* of a run's blob */
/* gc_runs.c: the history of runs that are long over. After gc_fold(). */
int gc_runs(struct gc *g, struct err *err);
/* gc_stray.c: files that no row names. */
int gc_strays(struct gc *g, struct err *err);
void gc_clear_live(struct gc *g); /* the locks' files of imports and adoptions that were killed */
/* gc_space.c: gives the database's free pages back, where there are many. */
int gc_space(struct gc *g, struct err *err);
/* gc_verify.c: hashes what an unclean start left in doubt; gc_trust() forgets the doubt, after gc_strays() and with no run alive. */
int gc_verify(struct gc *g, struct err *err);
int gc_trust(struct gc *g, struct err *err);
/* gc_dry.c: as entry_remove(), but only counting. */
int gc_dry_remove(struct gc *g, int64_t id, struct freed *freed, struct err *err);

#endif
