/* SPDX-License-Identifier: Apache-2.0 */
/* A hit writes nothing: here the time of an entry's last use is taken from the blobs of the runs that ended since. Runs are read in the order of their ids; one that is still
 * under way is passed over, written down and looked at again the next time. All of it can be repeated: a time is only ever raised. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"
#include "cache/store_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    IN_MEMORY = 1 << 20, /* entries gathered before they are written */
    PER_SLICE = 4096,
};

struct fold {
    struct gc *gc;
    struct id_map at; /* entry -> last use */
    char last[ID_LEN + 1];
    struct str open; /* runs passed over, each with a blank behind it */
};

static void gather(struct fold *f, struct db_row *row, int column, int64_t at)
{
    size_t len;
    const void *used = db_blob(row, column, &len);

    for (size_t i = 0; used && i < len / 8; i++) {
        int64_t id = gc_used_id(used, i);
        if (id == 0) {
            continue;
        }
        int64_t *known = id_map_put(&f->at, id);
        if (*known < at) {
            *known = at;
        }
    }
}

/* --- writing --- */

struct fold_write {
    struct write write;
    struct fold *fold;
    const struct id_item *from, *to;
    bool last;
};

static int apply_fold(struct write *w, struct db *db, struct err *err)
{
    struct fold_write *f = CONTAINER_OF(w, struct fold_write, write);

    for (const struct id_item *i = f->from; i < f->to; i++) {
        if (i->key != 0 && db_run(db, SQL_HIT_RAISE, err, "ii", i->key, i->value) < 0) {
            return -(int)ERR_IO;
        }
    }
    if (!f->last) {
        return 0;
    }
    FAILPOINT("gc.fold");
    int rc = gc_meta_put(db, "gc.runs", f->fold->last, err);
    return rc < 0 ? rc : gc_meta_put(db, "gc.open", sb_text(&f->fold->open), err);
}

static int compare_items(const void *a, const void *b)
{
    const struct id_item *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

/* In the order of the rows. The position goes with the last of them. */
static int write_gathered(struct fold *f, struct err *err)
{
    struct id_item *items = f->at.items;
    size_t count = f->at.cap, from = 0;
    int rc = 0;

    if (count > 0) {
        qsort(items, count, sizeof(*items), compare_items);
    }
    while (from < count && items[from].key == 0) {
        from++;
    }
    do {
        size_t to = count - from > PER_SLICE ? from + PER_SLICE : count;
        struct fold_write w = {.write = {.apply = apply_fold, .urgent = true},
                               .fold = f,
                               .from = items ? items + from : NULL,
                               .to = items ? items + to : NULL,
                               .last = to == count};
        rc = gc_slice(f->gc, &w.write, err);
        from = to;
    } while (rc == 0 && from < count);
    id_map_clear(&f->at);
    return rc;
}

/* --- reading --- */

static bool under_way(const struct fold *f, const char *run, const char *status)
{
    return status && strcmp(status, "running") == 0 && store_is_live(f->gc->store, run);
}

static void pass_over(struct fold *f, const char *run)
{
    sb_puts(&f->open, run);
    sb_putc(&f->open, ' ');
}

/* Those that were under way the last time. */
static int read_open(struct fold *f, struct err *err)
{
    CLEANUP(sb_done) struct str before = {0};
    char *rest, *run;

    int rc = gc_meta_get(f->gc->store, "gc.open", &before, err);
    rest = before.data;
    while (rc >= 0 && (run = strsep(&rest, " "))) {
        CLEANUP(db_row_done) struct db_row *row = NULL;
        if (!*run) {
            continue;
        }
        rc = db_query(store_db(f->gc->store), SQL_GC_RUN, &row, err, "t", run);
        rc = rc < 0 ? rc : db_step(row, err);
        if (rc == 1 && under_way(f, run, db_text(row, 0))) {
            pass_over(f, run);
        } else if (rc == 1) {
            gather(f, row, 3, db_is_null(row, 2) ? db_i64(row, 1) : db_i64(row, 2));
        }
    }
    return rc < 0 ? rc : 0;
}

/* The next few runs. 1: there were some. */
static int read_some(struct fold *f, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    bool any = false;
    char after[ID_LEN + 1];

    memcpy(after, f->last, sizeof(after));
    int rc = db_query(store_db(f->gc->store), SQL_GC_RUNS, &row, err, "t", after);
    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        const char *run = db_text(row, 0);
        if (!run || strlen(run) != ID_LEN) {
            continue;
        }
        any = true;
        memcpy(f->last, run, ID_LEN + 1);
        if (under_way(f, run, db_text(row, 1))) {
            pass_over(f, run);
        } else {
            gather(f, row, 4, db_is_null(row, 3) ? db_i64(row, 2) : db_i64(row, 3));
        }
    }
    return rc < 0 ? rc : any;
}

int gc_fold(struct gc *g, struct err *err)
{
    struct fold f = {.gc = g};
    CLEANUP(sb_done) struct str last = {0};
    bool any = false;

    int rc = gc_meta_get(g->store, "gc.runs", &last, err);
    if (last.len == ID_LEN) {
        memcpy(f.last, last.data, ID_LEN);
    }
    rc = rc < 0 ? rc : read_open(&f, err);
    while (rc >= 0 && !gc_stop(g) && (rc = read_some(&f, err)) == 1) {
        any = true;
        if (f.at.len >= IN_MEMORY || gc_stop(g)) {
            rc = write_gathered(&f, err);
        }
    }
    if (rc >= 0 && (any || f.at.len > 0)) {
        rc = write_gathered(&f, err);
    }
    id_map_done(&f.at);
    sb_done(&f.open);
    return rc < 0 ? rc : 0;
}
