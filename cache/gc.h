/* SPDX-License-Identifier: Apache-2.0 */
/* Housekeeping: entries unused for long, then the least recently hit until the caps hold, then objects nobody names (engine.md 20). Short transactions beside running workflows; can be
 * interrupted anywhere. */
#ifndef WF_CACHE_GC_H
#define WF_CACHE_GC_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;

struct gc_options {
    int64_t unused_for_ms; /* 0: no bound */
    uint64_t max_size;     /* bytes of objects; 0: no bound */
    uint64_t max_entries;  /* 0: no bound */
    bool dry_run;
    bool (*progress)(uint64_t entries_seen, uint64_t entries_removed,
                     void *arg); /* false: stop after this slice. May be NULL */
    void (*on_slice)(int64_t us, void *arg); /* how long others were kept waiting. May be NULL */
    void *arg;
};
struct gc_report {
    uint64_t entries_kept, entries_removed, objects_removed, bytes_removed, bytes_kept,
        stray_objects;
    bool complete;
};
int cache_gc(struct store *s, const struct gc_options *o, struct gc_report *ret, struct err *err);

struct cache_stats {
    uint64_t entries, objects, object_bytes, database_bytes;
    int64_t oldest_ms, newest_ms;
    uint64_t runs, hits, misses; /* over the newest 1000 runs the store remembers */
    int64_t saved_ms;
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
