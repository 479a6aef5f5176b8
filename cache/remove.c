/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/remove.h"

#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"
#include "cache/store_internal.h"

enum { PER_SLICE = 128 };

struct removal {
    struct write write;
    struct gc *gc;
    const struct remove_options *o;
    const int64_t *ids;
    size_t count;
    struct remove_report slice;
    struct freed freed;
};

/* 1: a row, *ret its first column; 0: none. */
static int look(struct db *db, int statement, int64_t id, int64_t *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, statement, &row, err, "i", id);

    rc = rc < 0 ? rc : db_step(row, err);
    *ret = rc == 1 ? db_i64(row, 0) : 0;
    return rc;
}

static int remove_one(struct removal *r, struct db *db, int64_t id, struct err *err)
{
    struct remove_report *n = &r->slice;
    int64_t ignored, used = 0;
    int pinned = look(db, SQL_PIN_GET, id, &ignored, err);
    int rc = pinned < 0 ? pinned : look(db, SQL_HIT_GET, id, &used, err);

    if (rc < 0) {
        return rc;
    }
    if (pinned == 1 && !r->o->force) {
        n->pinned++;
        return 0;
    }
    if (used >= r->gc->oldest_live || id_map_get(&r->gc->live, id)) {
        n->in_use++;
        return 0;
    }
    rc = r->o->dry_run ? gc_dry_remove(r->gc, id, &r->freed, err)
                       : entry_remove(r->gc->store, db, id, &r->freed, err);
    if (rc < 0) {
        return rc;
    }
    n->removed += rc == 1;
    n->gone += rc == 0;
    FAILPOINT("remove.entry");
    return 0;
}

static int apply_removal(struct write *w, struct db *db, struct err *err)
{
    struct removal *r = CONTAINER_OF(w, struct removal, write);

    r->slice = (struct remove_report){0};
    freed_begin(&r->freed, gc_anybody(r->gc));
    for (size_t i = 0; i < r->count; i++) {
        int rc = remove_one(r, db, r->ids[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static void removal_committed(struct write *w)
{
    struct removal *r = CONTAINER_OF(w, struct removal, write);

    freed_unlink(r->gc->store, &r->freed);
}

static void add_report(struct remove_report *to, const struct removal *r)
{
    const struct remove_report *n = &r->slice;

    to->removed += n->removed;
    to->objects += r->freed.objects;
    to->bytes += r->freed.bytes;
    to->pinned += n->pinned;
    to->in_use += n->in_use;
    to->gone += n->gone;
}

int cache_remove(struct store *s, const int64_t *ids, size_t count, const struct remove_options *o,
                 struct remove_report *ret, struct err *err)
{
    struct gc_options go = {.dry_run = o->dry_run, .live_entries = o->live_entries};
    struct gc g = {.store = s, .o = &go, .oldest_live = now_ms()};
    struct remove_report report = {.complete = true};
    int rc = 0;

    for (size_t from = 0; rc == 0 && report.complete && from < count; from += PER_SLICE) {
        size_t n = count - from < PER_SLICE ? count - from : PER_SLICE;
        struct removal r = {
            .write = {.apply = apply_removal, .committed = removal_committed, .urgent = true},
            .gc = &g,
            .o = o,
            .ids = ids + from,
            .count = n};
        rc = gc_find_live(&g, err); /* a run may have begun since */
        if (rc == 0) {
            rc = o->dry_run ? apply_removal(&r.write, store_db(s), err)
                            : gc_slice(&g, &r.write, err);
        }
        if (rc == 0) {
            add_report(&report, &r);
            report.complete = !o->progress || o->progress(from + n, report.removed, o->arg);
        }
        freed_done(&r.freed);
    }
    id_map_done(&g.live);
    id_map_done(&g.given_up);
    vec_done(&g.runs);
    if (rc == 0) {
        *ret = report;
    }
    return rc;
}

int cache_fold_hits(struct store *s, struct err *err)
{
    struct gc_options go = {0};
    struct gc g = {.store = s, .o = &go, .oldest_live = now_ms()};
    int lock = -1;

    if (!store_db(s) || s->read_only) {
        return 0;
    }
    int rc = store_live(s, "gc", &lock, err);
    if (rc == 0) {
        rc = gc_fold(&g, err);
        store_unlive(s, "gc", lock);
    }
    id_map_done(&g.live);
    vec_done(&g.runs);
    return rc;
}
