/* SPDX-License-Identifier: Apache-2.0 */
/* The history of runs that are long over: their events, their rows, plans nobody names any more, and the folders of runs that have no row. What a run made stays: entries know which run that was.
 * A run's id begins with its time, so old ones stand first. Events go before their run: one that was cut off is found again. */
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64, TIME_LEN = 10 };
#define DAY_MS INT64_C(86400000)

struct old_run {
    char id[ID_LEN + 1];
    int64_t plan;
};

struct forgetting {
    struct write write;
    struct gc *gc;
    VEC(struct old_run) runs;
    size_t done;
    uint64_t removed, plans;
};

/* The least id of a run that began then. */
static void id_of_time(int64_t ms, char out[TIME_LEN + 1])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    for (int i = TIME_LEN - 1; i >= 0; i--) {
        out[i] = digits[ms & 31];
        ms >>= 5;
    }
    out[TIME_LEN] = '\0';
}

static int64_t run_one(struct db *db, int statement, const char *run, struct err *err)
{
    return db_run(db, statement, err, "t", run);
}

/* 1: all of it is gone, 0: there was no time for all. */
static int forget(struct forgetting *f, struct db *db, const struct old_run *r, int64_t began,
                  struct err *err)
{
    int64_t n;

    while ((n = run_one(db, SQL_GC_EVENT_FORGET, r->id, err)) > 0) {
        FAILPOINT("gc.events");
        if (gc_slice_full(began)) {
            return 0;
        }
    }
    /* The text is kept with the first run of a plan. */
    n = n < 0 ? n : run_one(db, SQL_GC_TEXT_HAND_ON, r->id, err);
    n = n < 0 ? n : run_one(db, SQL_GC_RUN_FORGET, r->id, err);
    FAILPOINT("gc.run");
    if (n >= 0) {
        f->removed++;
        n = db_run(db, SQL_GC_PLAN_FORGET, err, "i", r->plan);
        f->plans += n > 0 ? (uint64_t)n : 0;
    }
    return n < 0 ? (int)n : 1;
}

static int apply_forget(struct write *w, struct db *db, struct err *err)
{
    struct forgetting *f = CONTAINER_OF(w, struct forgetting, write);
    int64_t began = mono_us();
    int rc = 1;

    f->removed = f->plans = 0;
    f->done = 0;
    while (rc == 1 && f->done < f->runs.len && !gc_slice_full(began)) {
        rc = forget(f, db, &f->runs.items[f->done], began, err);
        f->done += rc == 1;
    }
    return rc < 0 ? rc : 0;
}

/* Runs after `after` that may go, but live ones. */
static int find_old(struct forgetting *f, const char *before, char after[ID_LEN + 1],
                    struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int64_t kept = f->gc->o->kept_runs ? f->gc->o->kept_runs : GC_KEPT_RUNS;
    int rc = db_query(store_db(f->gc->store), SQL_GC_OLD_RUNS, &row, err, "ttii", after, before,
                      kept, (int64_t)AT_ONCE);

    vec_clear(&f->runs);
    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        const char *id = db_text(row, 0);
        if (!id || strlen(id) != ID_LEN) {
            continue;
        }
        memcpy(after, id, ID_LEN + 1);
        if (!store_is_live(f->gc->store, id)) {
            struct old_run *r = vec_push(&f->runs);
            *r = (struct old_run){.plan = db_i64(row, 1)};
            memcpy(r->id, id, ID_LEN);
        }
    }
    return rc;
}

/* In slices, each as long as one may be. */
static int forget_found(struct forgetting *f, struct err *err)
{
    struct gc *g = f->gc;
    int rc = 0;

    if (g->o->dry_run) {
        g->report.runs_removed += f->runs.len;
        return 0;
    }
    while (rc == 0 && f->runs.len > 0 && !gc_stop(g)) {
        rc = gc_slice(g, &f->write, err);
        if (rc == 0) {
            g->report.runs_removed += f->removed;
            g->report.plans_removed += f->plans;
            f->runs.len -= f->done;
            memmove(f->runs.items, f->runs.items + f->done, f->runs.len * sizeof(*f->runs.items));
        }
    }
    return rc;
}

static int forget_runs(struct gc *g, struct err *err)
{
    struct forgetting f = {.write = {.apply = apply_forget, .urgent = true}, .gc = g};
    char before[TIME_LEN + 1], after[ID_LEN + 1] = "", last[ID_LEN + 1];
    int rc = 0;

    if (g->o->runs_for_ms <= 0) {
        return 0;
    }
    id_of_time(now_ms() - g->o->runs_for_ms, before);
    do {
        memcpy(last, after, sizeof(last));
        rc = find_old(&f, before, after, err);
        rc = rc < 0 ? rc : forget_found(&f, err);
    } while (rc == 0 && strcmp(last, after) != 0 && !gc_stop(g));
    vec_done(&f.runs);
    return rc;
}

/* --- folders --- */

/* 1: known, 0: not. */
static int run_known(struct gc *g, const char *run, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(store_db(g->store), SQL_GC_RUN, &row, err, "t", run);

    return rc < 0 ? rc : db_step(row, err);
}

/* Logs of runs that are not known any more; work folders of runs that were killed. A run that begins just now holds its lock before it makes anything, and is younger than a day. */
static int clear_folders(struct gc *g, const char *name, bool known_stay, struct err *err)
{
    CLEANUP(cleanup_free) char *path = store_path(g->store, name);
    DIR *dir = opendir(path);
    struct dirent *e;
    int rc = 0;

    while (dir && rc >= 0 && !gc_stop(g) && (e = readdir(dir))) {
        int64_t began = strlen(e->d_name) == ID_LEN ? id_time_ms(e->d_name) : -1;
        if (began < 0 || began > now_ms() - DAY_MS || store_is_live(g->store, e->d_name)) {
            continue;
        }
        rc = known_stay ? run_known(g, e->d_name, err) : 0;
        if (rc == 0) {
            CLEANUP(cleanup_free) char *folder = fs_join(path, e->d_name);
            struct err own = {0};
            FAILPOINT("gc.folder");
            if (fs_remove_tree(folder, &own) < 0) {
                log_debug("gc", "%s", own.msg);
            }
        }
    }
    if (dir) {
        closedir(dir);
    }
    return rc < 0 ? rc : 0;
}

int gc_runs(struct gc *g, struct err *err)
{
    int rc = forget_runs(g, err);

    if (rc < 0 || g->o->dry_run || g->stopped) {
        return rc;
    }
    rc = clear_folders(g, "logs", true, err);
    return rc < 0 || g->stopped ? rc : clear_folders(g, "work", false, err);
}
