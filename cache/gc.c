/* SPDX-License-Identifier: Apache-2.0 */
/* The course of housekeeping: fold the last hits in, find out who lives, remove what was long unused, then the least recently used until the caps hold, then files without a name,
 * the history of old runs, free pages. Reading is done without a lock; every removal is a short transaction, and while runs live as long as it took is slept. Where a walk stands is kept in
 * `meta`. */
#include "cache/gc.h"

#include "base/db.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"
#include "cache/sources.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    STAT_DAYS = 60,          /* folders of the stat cache unused for so long are forgotten */
    WALKED_AT_ONCE = 200000, /* a larger store is walked in rounds where time is bounded */
    LEAST_PAUSE_US = 1000,   /* whoever waits for the lock gets it */
    UNLINK_US = 15,          /* what one takes, about */
};

/* --- slices --- */

bool gc_slice_full(int64_t began_us)
{
    return mono_us() - began_us >= GC_SLICE_US;
}

bool gc_freed_full(int64_t began_us, const struct freed *f)
{
    return gc_slice_full(began_us - UNLINK_US * (int64_t)f->files.len);
}

int gc_slice(struct gc *g, struct write *w, struct err *err)
{
    int64_t began = mono_us();
    int rc = store_write_now(g->store, w, err);
    int64_t took = mono_us() - began;

    if (g->o->on_slice) {
        g->o->on_slice(took, g->o->arg);
    }
    store_log_to_disk(g->store);
    took = g->any_live || took < LEAST_PAUSE_US ? took : LEAST_PAUSE_US;
    struct timespec pause = {.tv_sec = took / 1000000, .tv_nsec = (took % 1000000) * 1000};
    nanosleep(&pause, NULL);
    return rc;
}

bool gc_stop(struct gc *g)
{
    if (g->deadline_us > 0 && mono_us() >= g->deadline_us) {
        g->stopped = true;
    }
    if (!g->stopped && g->o->progress &&
        !g->o->progress(g->seen, g->report.entries_removed, g->o->arg)) {
        g->stopped = true;
    }
    return g->stopped;
}

/* --- small values --- */

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

struct meta_write {
    struct write write;
    const char *name, *value;
};

static int apply_meta(struct write *w, struct db *db, struct err *err)
{
    struct meta_write *m = CONTAINER_OF(w, struct meta_write, write);

    return gc_meta_put(db, m->name, m->value, err);
}

int gc_meta_put_now(struct gc *g, const char *name, const char *value, struct err *err)
{
    struct meta_write m = {.write = {.apply = apply_meta, .urgent = true}, name, value};

    return gc_slice(g, &m.write, err);
}

int gc_total_get(struct gc *g, struct gc_total *ret, struct err *err)
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

/* --- the course --- */

static int apply_tidy(struct write *w, struct db *db, struct err *err)
{
    (void)w;
    int64_t day = now_ms() / 86400000;
    int64_t rc = db_run(db, SQL_BATCH_FORGET, err, "");

    rc = rc < 0 ? rc : db_run(db, SQL_STAT_FORGET, err, "i", day - STAT_DAYS);
    return rc < 0 ? (int)rc : 0;
}

static int remove_entries(struct gc *g, struct err *err)
{
    if (g->deadline_us > 0 && g->before.entries > WALKED_AT_ONCE) {
        return gc_remove_rounds(g, err);
    }
    int rc = gc_remove_unused(g, err);
    return rc < 0 ? rc : gc_remove_over(g, err);
}

/* What is done after the entries, when there is time. */
static int clear_rest(struct gc *g, struct err *err)
{
    struct write tidy = {.apply = apply_tidy, .urgent = true};
    struct sources_size copies;
    int rc = gc_runs(g, err);

    if (rc == 0 && !g->stopped) {
        sources_clear(g->store, g->o->unused_for_ms, g->o->dry_run, g->deadline_us, &copies);
        g->report.sources_removed = copies.copies;
        g->report.source_bytes_removed = copies.bytes;
    }
    rc = rc < 0 || g->stopped ? rc : gc_strays(g, err);
    if (rc < 0 || g->stopped || g->o->dry_run) {
        return rc;
    }
    gc_clear_live(g);
    /* Only a whole sweep for strays ends doubt. */
    rc = g->any_live || g->unread || g->deadline_us > 0 ? 0 : gc_trust(g, err);
    rc = rc < 0 ? rc : gc_slice(g, &tidy, err);
    rc = rc < 0 ? rc : gc_space(g, err);
    if (g->deadline_us == 0) {
        store_sweep(g->store);
    }
    return rc;
}

static int collect(struct gc *g, struct err *err)
{
    int rc = g->store->read_only ? 0 : gc_fold(g, err);

    rc = rc < 0 ? rc : gc_find_live(g, err);
    rc = rc < 0 ? rc : gc_find_published(g, err);
    rc = rc < 0 ? rc : gc_queue(g, err); /* of a gc that was cut short */
    rc = rc < 0 ? rc : gc_total_get(g, &g->before, err);
    rc = rc < 0 || g->o->dry_run || g->deadline_us > 0 ? rc : gc_verify(g, err);
    rc = rc < 0 || g->stopped ? rc : remove_entries(g, err);
    if (rc < 0) {
        return rc;
    }
    uint64_t named_bytes = g->report.bytes_removed;
    if (!g->stopped) {
        rc = clear_rest(g, err);
    }
    g->report.entries_kept = g->before.entries - g->report.entries_removed;
    g->report.bytes_kept = g->before.bytes > named_bytes ? g->before.bytes - named_bytes : 0;
    g->report.complete = !g->stopped;
    return rc;
}

int cache_gc(struct store *s, const struct gc_options *o, struct gc_report *ret, struct err *err)
{
    struct gc g = {.store = s, .o = o, .oldest_live = now_ms(), .looked_us = mono_us()};
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
    if (o->within_ms > 0) {
        g.deadline_us = mono_us() + o->within_ms * 1000;
    }
    s->small_checkpoints = true;
    rc = collect(&g, err);
    s->small_checkpoints = false;
    if (lock >= 0) {
        store_unlive(s, "gc", lock);
    }
    id_map_done(&g.live);
    id_map_done(&g.given_up);
    vec_done(&g.runs);
    if (rc == 0) {
        *ret = g.report;
    }
    return rc;
}

/* --- by itself, after a run --- */

static void mark(const char *stamp, bool complete)
{
    CLEANUP(cleanup_close)
    int fd = open(stamp, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0) {
        (void)!fchmod(fd, complete ? 0600 : 0400);
        (void)futimens(fd, NULL);
    }
}

/* When it was last done, by the time of an empty file: one stat tells. Its mode tells whether all was done: 0600, else there is more. A new store has nothing to tidy yet. */
static bool due(const char *stamp)
{
    struct stat st;
    int64_t now = now_ms() / 1000;

    if (stat(stamp, &st) != 0) {
        mark(stamp, true);
        return false;
    }
    return st.st_mtim.tv_sec > now ||
           now - st.st_mtim.tv_sec >= (st.st_mode & S_IWUSR ? TIDY_EVERY_S : TIDY_AGAIN_S);
}

static uint64_t cap(uint64_t given, uint64_t otherwise)
{
    return given == 0 ? otherwise : given == UINT64_MAX ? 0 : given;
}

static int64_t age(int64_t given, int64_t otherwise)
{
    return given == 0 ? otherwise : given == INT64_MAX ? 0 : given;
}

bool cache_tidy(struct store *s, const struct tidy_options *o)
{
    CLEANUP(cleanup_free) char *stamp = store_path(s, "tidied");
    struct gc_options go = {
        .max_size = cap(o->max_size, TIDY_MAX_SIZE),
        .max_entries = cap(o->max_entries, 0),
        .unused_for_ms = age(o->unused_for_ms, TIDY_UNUSED_MS),
        .runs_for_ms = age(o->runs_for_ms, TIDY_RUNS_MS),
        .within_ms = TIDY_WITHIN_MS,
        .kept_runs = o->kept_runs,
        .live_entries = o->live_entries,
    };
    struct gc_report report;
    struct err err = {0};

    bool wanted = go.max_size > 0 || go.max_entries > 0 || go.unused_for_ms > 0 ||
                  (o->runs_for_ms > 0 && o->runs_for_ms != INT64_MAX);
    if (!wanted || !s->db || s->read_only || !due(stamp)) {
        return false;
    }
    /* First of all, so that what fails or is killed is not tried again by every run. */
    mark(stamp, false);
    FAILPOINT("gc.tidy");
    if (cache_gc(s, &go, &report, &err) < 0) {
        log_debug("gc", "%s", err.msg);
        return true;
    }
    mark(stamp, report.complete);
    return true;
}
