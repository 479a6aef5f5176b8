/* SPDX-License-Identifier: Apache-2.0 */
/* What is not taken. A live run's own blob is written at its end; until then its journal tells what it reused, all that was made or hit since it began is younger than it, and
 * what the runs before it of the same plan and workflow used it may be about to. Between a hit and its record in the journal lie 20 ms, and what a run does not store (--no-cache, cache: false) it may
 * have found in the store as another's: so while runs are alive entries go, but files stay until all those runs have ended.
 * Published: what the newest successful run of a workflow handed out; where that run left a publishing step aside, what an earlier one of the same plan did. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/gc_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_AGAIN_US = 1000000,
    PUBLISHES =
        0x80, /* of a plan's `names`, a byte for each instance behind their count (engine/prior.h) */
};

int64_t gc_used_id(const void *used, size_t index)
{
    const unsigned char *p = (const unsigned char *)used + index * 8;
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return (int64_t)v;
}

static void keep(int64_t id, void *arg)
{
    struct gc *g = arg;

    if (id > 0) {
        *id_map_put(&g->live, id) = 1;
    }
}

static int keep_all(struct gc *g, struct db_row *row, struct err *err)
{
    int rc;

    while ((rc = db_step(row, err)) == 1) {
        size_t len;
        const void *used = db_blob(row, 0, &len);
        for (size_t i = 0; used && i < len / 8; i++) {
            keep(gc_used_id(used, i), g);
        }
    }
    return rc;
}

/* --- live runs --- */

/* 1: known, 0: just begun, not written yet. */
static int keep_of_earlier(struct gc *g, const char *run, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(db_row_done) struct db_row *plan = NULL;
    CLEANUP(db_row_done) struct db_row *workflow = NULL;
    struct db *db = store_db(g->store);

    int rc = db_query(db, SQL_GC_LIVE, &row, err, "t", run);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc <= 0) {
        return rc;
    }
    int64_t started = db_i64(row, 2);
    if (started < g->oldest_live) {
        g->oldest_live = started;
    }
    rc = db_query(db, SQL_GC_USED_PLAN, &plan, err, "i", db_i64(row, 1));
    rc = rc < 0 ? rc : keep_all(g, plan, err);
    rc = rc < 0 ? rc : db_query(db, SQL_GC_USED_WORKFLOW, &workflow, err, "t", db_text(row, 0));
    rc = rc < 0 ? rc : keep_all(g, workflow, err);
    return rc < 0 ? rc : 1;
}

static int keep_of_run(struct gc *g, const char *run, struct err *err)
{
    struct gc_live_run *known = NULL;
    int rc;

    for (size_t i = 0; i < g->runs.len && !known; i++) {
        known = text_eq(g->runs.items[i].id, run) ? &g->runs.items[i] : NULL;
    }
    if (!known) {
        rc = keep_of_earlier(g, run, err);
        if (rc <= 0) {
            return rc;
        }
        known = vec_push(&g->runs);
        *known = (struct gc_live_run){.seq = 0};
        memcpy(known->id, run, ID_LEN);
    }
    return g->o->live_entries ? g->o->live_entries(g->store, run, &known->seq, keep, g, err) : 0;
}

int gc_find_live(struct gc *g, struct err *err)
{
    CLEANUP(cleanup_free) char *path = store_path(g->store, "live");
    DIR *dir = opendir(path);
    struct dirent *e;
    int rc = 0;

    if (!dir && errno != ENOENT) {
        return err_set(err, ERR_IO, errno, "cannot see which runs are alive: %s", path);
    }
    g->any_live = false;
    while (dir && rc >= 0 && (e = readdir(dir))) {
        if (strlen(e->d_name) != ID_LEN || !store_is_live(g->store, e->d_name)) {
            continue;
        }
        g->any_live = true;
        int64_t began = id_time_ms(e->d_name);
        if (began >= 0 && began < g->oldest_live) {
            g->oldest_live = began;
        }
        rc = keep_of_run(g, e->d_name, err);
    }
    if (dir) {
        closedir(dir);
    }
    g->looked_us = mono_us();
    return rc < 0 ? rc : 0;
}

bool gc_anybody(struct gc *g)
{
    CLEANUP(cleanup_free) char *path = store_path(g->store, "live");
    DIR *dir = opendir(path);
    struct dirent *e;
    bool found = !dir && errno != ENOENT; /* who cannot look takes nothing */

    while (dir && !found && (e = readdir(dir))) {
        found = strlen(e->d_name) == ID_LEN && store_is_live(g->store, e->d_name);
    }
    if (dir) {
        closedir(dir);
    }
    return found;
}

int gc_look_again(struct gc *g, struct err *err)
{
    return mono_us() - g->looked_us < LOOK_AGAIN_US ? 0 : gc_find_live(g, err);
}

/* --- published --- */

/* Of the instances that publish and have no entry yet: theirs in this run. True: each has one. */
static bool keep_published(struct gc *g, const unsigned char *tags, size_t n, bool *found,
                           const void *used, size_t len)
{
    bool all = true;

    for (size_t i = 0; i < n; i++) {
        if (!(tags[i] & PUBLISHES) || found[i]) {
            continue;
        }
        int64_t id = i < len / 8 ? gc_used_id(used, i) : 0;
        keep(id, g);
        found[i] = id > 0;
        all = all && found[i];
    }
    return all;
}

static int keep_of_workflow(struct gc *g, const char *workflow, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *names = NULL;
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(cleanup_free) bool *found = NULL;
    struct db *db = store_db(g->store);
    int64_t plan = 0;
    const unsigned char *tags = NULL;
    size_t len, n = 0;
    bool all = false;

    int rc = db_query(db, SQL_GC_SUCCEEDED, &row, err, "t", workflow);
    while (rc >= 0 && !all && (rc = db_step(row, err)) == 1) {
        if (!tags) {
            plan = db_i64(row, 0);
            rc = db_query(db, SQL_PLAN_GET, &names, err, "i", plan);
            if (rc < 0 || (rc = db_step(names, err)) != 1) {
                return rc;
            }
            const unsigned char *blob = db_blob(names, 1, &len);
            n = blob && len >= 4
                    ? blob[0] | (size_t)blob[1] << 8 | (size_t)blob[2] << 16 | (size_t)blob[3] << 24
                    : 0;
            if (n == 0 || n > len - 4) {
                return 0;
            }
            tags = blob + 4;
            found = xcalloc(n, sizeof(*found));
        }
        if (db_i64(row, 0) == plan) {
            const void *used = db_blob(row, 1, &len);
            all = keep_published(g, tags, n, found, used, used ? len : 0);
        }
    }
    return rc;
}

int gc_find_published(struct gc *g, struct err *err)
{
    CLEANUP(cleanup_free) char *workflow = xstrdup("");
    int rc;

    do {
        CLEANUP(db_row_done) struct db_row *row = NULL;
        rc = db_query(store_db(g->store), SQL_GC_WORKFLOW, &row, err, "t", workflow);
        rc = rc < 0 ? rc : db_step(row, err);
        const char *next = rc == 1 ? db_text(row, 0) : NULL;
        if (!next) {
            break;
        }
        char *copy = xstrdup(next);
        free(workflow);
        workflow = copy;
        rc = keep_of_workflow(g, workflow, err);
    } while (rc >= 0);
    return rc < 0 ? rc : 0;
}
