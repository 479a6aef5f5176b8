/* SPDX-License-Identifier: Apache-2.0 */
/* Free pages are used again by what comes next; only where a quarter of the database is free they are given back, from its end, until it is an eighth. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"

#include <stdio.h>

enum { LEAST = 4096 /* pages: 16 MiB */, PAGE = 4096, STEP = 32 };

struct space {
    struct write write;
    int64_t pages, free;
};

static int one_number(struct db *db, int statement, int64_t *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, statement, &row, err, "");

    rc = rc < 0 ? rc : db_step(row, err);
    *ret = rc == 1 ? db_i64(row, 0) : 0;
    return rc < 0 ? rc : 0;
}

static int look(struct db *db, struct space *s, struct err *err)
{
    int rc = one_number(db, SQL_DB_PAGES, &s->pages, err);

    return rc < 0 ? rc : one_number(db, SQL_DB_FREE, &s->free, err);
}

static bool enough(const struct space *s)
{
    return s->free < LEAST || s->free * 8 <= s->pages;
}

static int apply_space(struct write *w, struct db *db, struct err *err)
{
    struct space *s = CONTAINER_OF(w, struct space, write);
    int64_t began = mono_us(), before;
    char sql[64];
    int rc;

    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", STEP);
    do {
        rc = look(db, s, err);
        before = s->free;
        rc = rc < 0 ? rc : db_exec(db, sql, err);
        rc = rc < 0 ? rc : look(db, s, err);
        FAILPOINT("gc.space");
    } while (rc == 0 && s->free < before && !enough(s) && !gc_slice_full(began));
    if (rc == 0 && s->free >= before) {
        s->free = 0; /* made by a wf that could not: nothing more can be done */
    }
    return rc;
}

int gc_space(struct gc *g, struct err *err)
{
    struct space s = {.write = {.apply = apply_space, .urgent = true}};
    int rc = look(store_db(g->store), &s, err);
    int64_t before = s.pages;

    if (rc < 0 || s.free < LEAST || s.free * 4 <= s.pages) {
        return rc;
    }
    do {
        rc = gc_slice(g, &s.write, err);
    } while (rc == 0 && !enough(&s) && !gc_stop(g));
    if (rc == 0 && before > s.pages) {
        g->report.database_freed += (uint64_t)(before - s.pages) * PAGE;
    }
    return rc;
}
