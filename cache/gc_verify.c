/* SPDX-License-Identifier: Apache-2.0 */
/* After an unclean start: what an earlier boot wrote and never synced is hashed once here, so that doubt ends. Its batches are forgotten only when no entry of them is left
 * unverified and no unnamed file either. */
#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"
#include "cache/store_internal.h"

#include <stdlib.h>

enum { WALK = 256 };

struct verified {
    struct write write;
    struct gc *gc;
    int64_t good[WALK], bad[WALK];
    size_t n_good, n_bad;
    uint64_t removed;
    struct freed freed;
};

static int apply_verified(struct write *w, struct db *db, struct err *err)
{
    struct verified *v = CONTAINER_OF(w, struct verified, write);

    v->removed = 0;
    freed_begin(&v->freed, gc_anybody(v->gc));
    for (size_t i = 0; i < v->n_good; i++) {
        int64_t rc = db_run(db, SQL_ENTRY_VERIFIED, err, "i", v->good[i]);
        if (rc < 0) {
            return (int)rc;
        }
    }
    for (size_t i = 0; i < v->n_bad; i++) {
        int rc = entry_remove(v->gc->store, db, v->bad[i], &v->freed, err);
        if (rc < 0) {
            return rc;
        }
        v->removed += (uint64_t)rc;
    }
    FAILPOINT("gc.verified");
    return 0;
}

static void verified_committed(struct write *w)
{
    struct verified *v = CONTAINER_OF(w, struct verified, write);

    freed_unlink(v->gc->store, &v->freed);
}

/* The next rows behind *at: hashed where in doubt. 1: there are more. */
static int verify_some(struct gc *g, struct verified *v, int64_t *at, struct err *err)
{
    struct entry rows[WALK];
    struct arena *a = arena_new();
    size_t n = 0;

    v->n_good = v->n_bad = 0;
    int rc = entry_after(g->store, *at, WALK, a, rows, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct digest bad;
        *at = rows[i].id;
        if (!rows[i].verify) {
            continue;
        }
        enum object_state state = entry_check_hashed(g->store, &rows[i], &bad);
        if (state == OBJECT_GOOD) {
            v->good[v->n_good++] = rows[i].id;
        } else if (state == OBJECT_UNREADABLE) { /* stays in doubt */
            g->unread = true;
        } else {
            v->bad[v->n_bad++] = rows[i].id;
        }
    }
    arena_free(a);
    if (rc == 0 && v->n_good + v->n_bad > 0) {
        rc = gc_slice(g, &v->write, err);
        if (rc == 0) {
            g->report.entries_removed += v->removed;
            g->report.objects_removed += v->freed.objects;
            g->report.bytes_removed += v->freed.bytes;
        }
    }
    return rc < 0 ? rc : n == WALK;
}

int gc_verify(struct gc *g, struct err *err)
{
    struct verified *v = g->store->doubtful_count > 0 ? xcalloc(1, sizeof(*v)) : NULL;
    int64_t at = 0;
    int rc = v ? 1 : 0;

    while (rc == 1 && !gc_stop(g)) {
        v->write = (struct write){
            .apply = apply_verified, .committed = verified_committed, .urgent = true};
        v->gc = g;
        rc = verify_some(g, v, &at, err);
    }
    if (v) {
        freed_done(&v->freed);
    }
    free(v);
    return rc < 0 ? rc : 0;
}

static int apply_trust(struct write *w, struct db *db, struct err *err)
{
    struct verified *v = CONTAINER_OF(w, struct verified, write);
    const struct store *s = v->gc->store;

    for (size_t i = 0; i < s->doubtful_count; i++) {
        int64_t rc = db_run(db, SQL_BATCH_VERIFIED, err, "i", s->doubtful[i]);
        if (rc < 0) {
            return (int)rc;
        }
    }
    return 0;
}

int gc_trust(struct gc *g, struct err *err)
{
    struct verified v = {.write = {.apply = apply_trust, .urgent = true}, .gc = g};

    return g->store->doubtful_count > 0 ? gc_slice(g, &v.write, err) : 0;
}
