/* SPDX-License-Identifier: Apache-2.0 */
/* Housekeeping: entries unused for long, then the least recently hit until the caps hold, then files nobody names, the history of old runs, and the database's free pages (engine.md 20). Short
 * transactions beside running workflows; can be interrupted anywhere.
 * Never taken: what live runs use, what is pinned, and what the newest successful runs of each workflow published. (Promotions will be one more root in gc_live.c.) */
#ifndef WF_CACHE_GC_H
#define WF_CACHE_GC_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;

/* The entries a live run has used so far, as its journal tells: calls add for each in records after *seq, which it moves on. Given by whoever knows the journal (engine/used.h). */
typedef int gc_live_entries(struct store *s, const char *run, int64_t *seq,
                            void (*add)(int64_t entry, void *arg), void *arg, struct err *err);

struct gc_options {
    int64_t unused_for_ms; /* 0: no bound */
    uint64_t max_size;     /* bytes of objects; 0: no bound */
    uint64_t max_entries;  /* 0: no bound */
    int64_t
        runs_for_ms; /* runs that began longer ago are forgotten, but for the newest of each workflow; 0: no bound */
    uint32_t kept_runs; /* so many; 0: GC_KEPT_RUNS */
    bool dry_run;
    int64_t within_ms; /* stops in time, and goes on there the next time; 0: to the end */
    gc_live_entries *live_entries; /* NULL: known only from the runs before */
    bool (*progress)(uint64_t entries_seen, uint64_t entries_removed,
                     void *arg);             /* false: stop after this slice. May be NULL */
    void (*on_slice)(int64_t us, void *arg); /* how long others were kept waiting. May be NULL */
    void *arg;
};
enum { GC_KEPT_RUNS = 20 };
struct gc_report {
    uint64_t entries_kept, entries_removed, objects_removed, bytes_removed, bytes_kept,
        stray_objects;
    uint64_t runs_removed, plans_removed; /* of the history; files of their logs go along */
    uint64_t sources_removed, source_bytes_removed; /* copies of git repositories unused so long */
    uint64_t database_freed;                        /* bytes the database file became smaller by */
    bool complete;
};
int cache_gc(struct store *s, const struct gc_options *o, struct gc_report *ret, struct err *err);

/* After a run: the same within bounds, when it is due. All-zero takes the defaults below; UINT64_MAX and INT64_MAX: no bound; without
 * any for entries, and without one of one's own for runs, nothing is done at all. */
struct tidy_options {
    uint64_t max_size, max_entries;
    int64_t unused_for_ms, runs_for_ms;
    uint32_t kept_runs;
    gc_live_entries *live_entries;
};
#define TIDY_MAX_SIZE UINT64_C(20000000000)
#define TIDY_UNUSED_MS (INT64_C(30) * 86400000)
#define TIDY_RUNS_MS (INT64_C(90) * 86400000)
enum {
    TIDY_WITHIN_MS = 200,
    TIDY_EVERY_S = 3600, /* once all was looked at */
    TIDY_AGAIN_S = 60,   /* while there is more to do */
};
/* No run of this process may be open. One stat where nothing is due; else at most about TIDY_WITHIN_MS of the caller's thread. Best effort: what fails is in the debug log. True: it worked. */
bool cache_tidy(struct store *s, const struct tidy_options *o);

/* What the store holds. What the cache did is told by engine/tally.h. */
struct cache_stats {
    uint64_t entries, objects, object_bytes, database_bytes;
    uint64_t sources, source_bytes; /* copies of git repositories */
    int64_t oldest_ms, newest_ms;
};
int cache_stats(struct store *s, struct cache_stats *ret, struct err *err);

/* One line of `wf cache ls`, newest first. fn: false stops. */
struct cache_row {
    int64_t id;
    const char *key;
    const char *workflow, *step;
    int64_t made_at_ms, last_hit_ms, duration_ms;
    uint64_t bytes;
    bool pinned;
    const char *pin; /* why it is pinned; NULL: it is not, "" nobody said */
};
int cache_list(struct store *s, const char *workflow, const char *step, uint32_t limit,
               bool (*fn)(const struct cache_row *r, void *arg), void *arg, struct err *err);

#endif
