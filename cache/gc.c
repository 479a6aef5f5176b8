/* SPDX-License-Identifier: Apache-2.0 */
/* The course of housekeeping: fold the last hits in, find out who lives, remove what was long unused, then the least recently used until the caps hold, then files without a name.
 * Reading is done without a lock; every removal is a short transaction, and the time it took is slept. Where a bounded gc stopped walking is kept in `meta`. */
#include "cache/gc.h"

#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"
#include "cache/store_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WALK = 4096,     /* rows read at once */
    PER_SLICE = 128, /* entries removed in one transaction */
    OLDEST = 16384,  /* least recently used ones known at a time */
    STAT_DAYS = 60,  /* folders of the stat cache unused for so long are forgotten */
};

int gc_slice(struct gc *g, struct write *w, struct err *err)
{
    int64_t began = mono_us();
    int rc = store_write_now(g->store, w, err);
    int64_t took = mono_us() - began;
    if (g->o->on_slice) {
        g->o->on_slice(took, g->o->arg);
    }
    struct timespec pause = {.tv_sec = took / 1000000, .tv_nsec = (took % 1000000) * 1000};

    nanosleep(&pause, NULL);
    return rc;
}

bool gc_stop(struct gc *g)
{
    if (!g->stopped && g->o->progress &&
        !g->o->progress(g->seen, g->report.entries_removed, g->o->arg)) {
        g->stopped = true;
    }
    return g->stopped;
}

int gc_meta_get(struct store *s, const char *name, struct str *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    int rc = db_query(store_db(s), SQL_META_GET, &row, err, "t", name);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc == 1) {
        const char *text = db_text(row, 0);
        sb_puts(ret, text ? text : "");
    }
    return rc < 0 ? rc : 0;
}

int gc_meta_put(struct db *db, const char *name, const char *value, struct err *err)
{
    int64_t rc = db_run(db, SQL_META_PUT, err, "tt", name, value);

    return rc < 0 ? (int)rc : 0;
}

/* --- removing --- */

struct used {
    int64_t id, at;
};

struct removal {
    struct write write;
    struct gc *gc;
    const struct used *items;
    size_t count;
    int64_t walked; /* >= 0: written down as the position of the walk */
    uint64_t removed;
    struct freed freed;
};

static int pinned(struct db *db, int64_t id, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_PIN_GET, &row, err, "i", id);

    return rc < 0 ? rc : db_step(row, err);
}

static int remove_one(struct removal *r, struct db *db, int64_t id, struct err *err)
{
    int rc = pinned(db, id, err);

    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    rc = r->gc->o->dry_run ? gc_dry_remove(r->gc, id, &r->freed, err)
                           : entry_remove(r->gc->store, db, id, &r->freed, err);
    if (rc == 1) {
        r->removed++;
    }
    return rc;
}

static int apply_removal(struct write *w, struct db *db, struct err *err)
{
    struct removal *r = CONTAINER_OF(w, struct removal, write);
    char text[32];

    r->removed = 0;
    r->freed = (struct freed){0};
    for (size_t i = 0; i < r->count; i++) {
        int rc = remove_one(r, db, r->items[i].id, err);
        if (rc < 0) {
            return rc;
        }
        FAILPOINT("gc.remove");
    }
    if (r->walked < 0 || r->gc->o->dry_run) {
        return 0;
    }
    snprintf(text, sizeof(text), "%" PRId64, r->walked);
    return gc_meta_put(db, "gc.walk", text, err);
}

static int remove_some(struct gc *g, const struct used *items, size_t count, int64_t walked,
                       uint64_t *ret_removed, struct err *err)
{
    struct removal r = {.write = {.apply = apply_removal, .urgent = true},
                        .gc = g,
                        .items = items,
                        .count = count,
                        .walked = walked};

    int rc = g->o->dry_run ? apply_removal(&r.write, store_db(g->store), err)
                           : gc_slice(g, &r.write, err);
    if (rc < 0) {
        return rc;
    }
    g->report.entries_removed += r.removed;
    g->report.objects_removed += r.freed.objects;
    g->report.bytes_removed += r.freed.bytes;
    *ret_removed = r.removed;
    return 0;
}

/* In use by somebody who is alive, as far as can be known. */
static bool in_use(const struct gc *g, const struct used *u)
{
    return u->at >= g->oldest_live || id_map_get(&g->live, u->id) != NULL;
}

/* The next rows of `hits` after `after`; fewer than WALK: the end. Negative: error. */
static int read_walk(struct gc *g, int64_t after, struct used *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int n = 0;
    int rc = db_query(store_db(g->store), SQL_HIT_WALK, &row, err, "ii", after, (int64_t)WALK);

    while (rc >= 0 && n < WALK && (rc = db_step(row, err)) == 1) {
        ret[n++] = (struct used){db_i64(row, 0), db_i64(row, 1)};
    }
    g->seen += (uint64_t)n;
    return rc < 0 ? rc : n;
}

/* --- unused for long --- */

static int remove_listed(struct gc *g, const struct used *items, size_t count, int64_t walked,
                         struct err *err)
{
    uint64_t removed;
    size_t from = 0;
    int rc = 0;

    do {
        size_t n = count - from < PER_SLICE ? count - from : PER_SLICE;
        bool last = from + n == count;
        rc = remove_some(g, items + from, n, last ? walked : -1, &removed, err);
        from += n;
    } while (rc == 0 && from < count && !gc_stop(g));
    return rc;
}

static int remove_unused(struct gc *g, struct err *err)
{
    int64_t before = now_ms() - g->o->unused_for_ms;
    CLEANUP(sb_done) struct str position = {0};
    CLEANUP(cleanup_free) struct used *rows = xcalloc(WALK, sizeof(*rows));
    VEC(struct used) found = {0};
    int n = WALK;
    int rc = g->o->unused_for_ms > 0 && !g->o->dry_run
                 ? gc_meta_get(g->store, "gc.walk", &position, err)
                 : 0;
    int64_t at = rc == 0 ? strtoll(sb_text(&position), NULL, 10) : 0;

    while (rc == 0 && g->o->unused_for_ms > 0 && n == WALK && !gc_stop(g)) {
        n = read_walk(g, at, rows, err);
        if (n < 0) {
            rc = n;
            break;
        }
        vec_clear(&found);
        for (int i = 0; i < n; i++) {
            if (rows[i].at < before && !in_use(g, &rows[i])) {
                *vec_push(&found) = rows[i];
            }
        }
        at = n > 0 ? rows[n - 1].id : at;
        /* At the end the next walk begins anew. */
        int64_t walked = n < WALK ? 0 : at;
        if (found.len > 0 || (g->o->progress && !g->o->dry_run)) {
            rc = remove_listed(g, found.items, found.len, walked, err);
        }
    }
    vec_done(&found);
    return rc;
}

/* --- caps --- */

struct total {
    uint64_t entries, objects, bytes;
};

static int read_total(struct gc *g, struct total *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    int rc = db_query(store_db(g->store), SQL_TOTAL_GET, &row, err, "");
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc < 0) {
        return rc;
    }
    ret->entries = (uint64_t)db_i64(row, 0);
    ret->objects = (uint64_t)db_i64(row, 1);
    ret->bytes = (uint64_t)db_i64(row, 2);
    return 0;
}

static bool over(const struct gc *g, const struct total *at_start)
{
    /* entries_removed and bytes_removed count from the same moment as at_start */
    return (g->o->max_entries > 0 &&
            at_start->entries > g->o->max_entries + g->report.entries_removed) ||
           (g->o->max_size > 0 && at_start->bytes > g->o->max_size + g->report.bytes_removed);
}

static int by_age(const void *a, const void *b)
{
    const struct used *x = a, *y = b;

    return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x->id > y->id) - (x->id < y->id);
}

/* A heap whose root is the youngest of the oldest known. */
static void sift_down(struct used *heap, size_t count)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < count && by_age(&heap[child + 1], &heap[child]) > 0) {
            child++;
        }
        if (child >= count || by_age(&heap[child], &heap[at]) <= 0) {
            return;
        }
        struct used swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

static void heap_add(struct used *heap, size_t *count, const struct used *u)
{
    if (*count < OLDEST) {
        size_t at = (*count)++;
        heap[at] = *u;
        while (at > 0 && by_age(&heap[at], &heap[(at - 1) / 2]) > 0) {
            struct used swap = heap[at];
            heap[at] = heap[(at - 1) / 2];
            heap[(at - 1) / 2] = swap;
            at = (at - 1) / 2;
        }
    } else if (by_age(u, &heap[0]) < 0) {
        heap[0] = *u;
        sift_down(heap, OLDEST);
    }
}

/* The least recently used of all that are younger than `after`, oldest first. */
static int find_oldest(struct gc *g, const struct used *after, struct used *heap, size_t *ret_count,
                       struct err *err)
{
    CLEANUP(cleanup_free) struct used *rows = xcalloc(WALK, sizeof(*rows));
    int64_t at = 0;
    size_t count = 0;
    int n = WALK;

    while (n == WALK && !gc_stop(g)) {
        n = read_walk(g, at, rows, err);
        if (n < 0) {
            return n;
        }
        for (int i = 0; i < n; i++) {
            if (by_age(&rows[i], after) > 0 && !in_use(g, &rows[i])) {
                heap_add(heap, &count, &rows[i]);
            }
        }
        at = n > 0 ? rows[n - 1].id : at;
    }
    qsort(heap, count, sizeof(*heap), by_age);
    *ret_count = count;
    return 0;
}

/* Entries are removed a few at a time near the cap, so that no more go than must. */
static int remove_over(struct gc *g, const struct total *at_start, struct err *err)
{
    CLEANUP(cleanup_free) struct used *heap = xcalloc(OLDEST, sizeof(*heap));
    struct used after = {INT64_MIN, INT64_MIN};
    uint64_t removed;

    while (over(g, at_start) && !gc_stop(g)) {
        size_t count, from = 0;
        int rc = find_oldest(g, &after, heap, &count, err);
        if (rc < 0 || count == 0) {
            return rc; /* all that is left is in use */
        }
        while (from < count && over(g, at_start) && !gc_stop(g)) {
            uint64_t kept = at_start->entries - g->report.entries_removed;
            uint64_t surplus =
                g->o->max_entries > 0 && kept > g->o->max_entries ? kept - g->o->max_entries : 0;
            size_t n = surplus > 1 ? (surplus < PER_SLICE ? (size_t)surplus : PER_SLICE) : 1;
            n = surplus == 0 && g->o->max_size > 0 ? 8 : n;
            n = n < count - from ? n : count - from;
            rc = remove_some(g, heap + from, n, -1, &removed, err);
            if (rc < 0) {
                return rc;
            }
            from += n;
        }
        after = heap[count - 1];
    }
    return 0;
}

/* --- the course --- */

static int apply_tidy(struct write *w, struct db *db, struct err *err)
{
    (void)w;
    int64_t day = now_ms() / 86400000;
    int64_t rc = db_run(db, SQL_BATCH_FORGET, err, "");

    rc = rc < 0 ? rc : db_run(db, SQL_STAT_FORGET, err, "i", day - STAT_DAYS);
    return rc < 0 ? (int)rc : 0;
}

static int collect(struct gc *g, struct err *err)
{
    struct total before = {0}, start;
    int rc = g->store->read_only ? 0 : gc_fold(g, err);

    rc = rc < 0 ? rc : gc_find_live(g, err);
    rc = rc < 0 ? rc : read_total(g, &before, err);
    start = before;
    rc = rc < 0 || g->o->dry_run ? rc : gc_verify(g, err);
    rc = rc < 0 ? rc : remove_unused(g, err);
    rc = rc < 0 ? rc : remove_over(g, &start, err);
    if (rc < 0) {
        return rc;
    }
    uint64_t named_bytes = g->report.bytes_removed;
    if (!g->stopped) {
        rc = gc_strays(g, err);
    }
    if (rc == 0 && !g->stopped && !g->o->dry_run) {
        rc = g->any_live ? 0 : gc_trust(g, err);
        struct write tidy = {.apply = apply_tidy, .urgent = true};
        rc = rc < 0 ? rc : gc_slice(g, &tidy, err);
        store_sweep(g->store);
    }
    g->report.entries_kept = before.entries - g->report.entries_removed;
    g->report.bytes_kept = before.bytes > named_bytes ? before.bytes - named_bytes : 0;
    g->report.complete = !g->stopped;
    return rc;
}

int cache_gc(struct store *s, const struct gc_options *o, struct gc_report *ret, struct err *err)
{
    struct gc g = {.store = s, .o = o, .oldest_live = now_ms()};
    int lock = -1;

    if (!s->db) { /* a store that is not there has nothing to clear */
        *ret = (struct gc_report){.complete = true};
        return 0;
    }
    if (s->read_only && !o->dry_run) {
        return err_set(err, ERR_DENIED, 0, "the store %s was opened for reading only", s->dir);
    }
    int rc = s->read_only ? 0 : store_live(s, "gc", &lock, err);
    if (rc < 0) {
        return err && err->code == ERR_BUSY
                   ? err_set(err, ERR_BUSY, 0,
                             "another `wf cache gc` is at work on the store %s: let it end", s->dir)
                   : rc;
    }
    rc = collect(&g, err);
    if (lock >= 0) {
        store_unlive(s, "gc", lock);
    }
    id_map_done(&g.live);
    id_map_done(&g.given_up);
    if (rc == 0) {
        *ret = g.report;
    }
    return rc;
}
