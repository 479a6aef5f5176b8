/* SPDX-License-Identifier: Apache-2.0 */
/* A store too large to be walked in the time there is after a run: the walk goes on where the last one stood, round after round. Each round counts the entries by the day of their last use; from
 * what the last round counted follows how old an entry must be to go for the caps. So the order is that of days, not of moments. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DAYS = 1000 };
#define DAY_MS INT64_C(86400000)

struct round {
    struct gc *gc;
    int64_t at;            /* where the walk stands */
    int64_t bound;         /* used before this: goes while a cap is passed; 0: not known yet */
    int64_t first_day;     /* of counts[0] */
    uint64_t counts[DAYS]; /* of this round, before `at`; older ones count with the first */
};

/* In meta "gc.round": position, bound, first day, then the counts up to the last that is not zero. */
static int read_round(struct round *r, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    int rc = gc_meta_get(r->gc->store, "gc.round", &text, err);
    char *p = text.data;

    r->first_day = now_ms() / DAY_MS - DAYS + 30;
    if (rc < 0 || !p) {
        return rc;
    }
    r->at = strtoll(p, &p, 10);
    r->bound = strtoll(p, &p, 10);
    int64_t first = strtoll(p, &p, 10);
    for (int64_t day = first; *p; day++) {
        char *end;
        uint64_t n = strtoull(p, &end, 10);
        if (end == p) {
            break;
        }
        p = end;
        int64_t i = day < r->first_day ? 0 : day - r->first_day;
        r->counts[i < DAYS ? i : DAYS - 1] += n;
    }
    return 0;
}

static int write_round(const struct round *r, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    size_t last = DAYS;

    while (last > 0 && r->counts[last - 1] == 0) {
        last--;
    }
    sb_printf(&text, "%" PRId64 " %" PRId64 " %" PRId64, r->at, r->bound, r->first_day);
    for (size_t i = 0; i < last; i++) {
        sb_printf(&text, " %" PRIu64, r->counts[i]);
    }
    FAILPOINT("gc.round");
    return gc_meta_put_now(r->gc, "gc.round", sb_text(&text), err);
}

static void count(struct round *r, const struct gc_used *u)
{
    int64_t i = u->at / DAY_MS - r->first_day;

    r->counts[i < 0 ? 0 : i < DAYS ? i : DAYS - 1]++;
}

/* All was walked: the days that hold what must go. */
static void end_round(struct round *r)
{
    uint64_t surplus = gc_surplus(r->gc), sum = 0;
    size_t i = 0;

    while (i < DAYS && sum < surplus) {
        sum += r->counts[i++];
    }
    r->bound = (r->first_day + (int64_t)i) * DAY_MS;
    r->at = 0;
    memset(r->counts, 0, sizeof(r->counts));
}

static bool goes(const struct round *r, const struct gc_used *u, int64_t unused_before,
                 bool *ret_for_cap)
{
    *ret_for_cap = u->at >= unused_before;
    return (u->at < unused_before || (u->at < r->bound && gc_over(r->gc))) && !gc_in_use(r->gc, u);
}

/* One stretch of rows. */
static int walk_some(struct round *r, struct gc_used *rows, struct gc_used *found, int *ret_n,
                     struct err *err)
{
    struct gc *g = r->gc;
    int64_t unused_before = g->o->unused_for_ms > 0 ? now_ms() - g->o->unused_for_ms : INT64_MIN;
    size_t n_old = 0, n_cap = 0;
    int n = gc_walk(g, r->at, rows, err), rc;

    if (n < 0) {
        return n;
    }
    /* Too old from the front, for a cap from the back. */
    for (int i = 0; i < n; i++) {
        bool for_cap;
        if (goes(r, &rows[i], unused_before, &for_cap)) {
            found[for_cap ? GC_WALK - ++n_cap : n_old++] = rows[i];
        }
    }
    rc = gc_remove_all(g, found, n_old, -1, err);
    if (rc == 0 && !g->stopped) {
        rc = gc_remove_all(g, found + GC_WALK - n_cap, n_cap, -1, err);
    }
    /* Cut short, the stretch is walked again: what is gone does not come up a second time. */
    for (int i = 0; i < n && rc == 0 && !g->stopped; i++) {
        bool for_cap;
        if (!goes(r, &rows[i], unused_before, &for_cap)) {
            count(r, &rows[i]);
        }
        r->at = rows[i].id;
    }
    *ret_n = n;
    return rc;
}

int gc_remove_rounds(struct gc *g, struct err *err)
{
    CLEANUP(cleanup_free) struct gc_used *rows = xcalloc(GC_WALK, sizeof(*rows));
    CLEANUP(cleanup_free) struct gc_used *found = xcalloc(GC_WALK, sizeof(*found));
    CLEANUP(cleanup_free) struct round *r = xcalloc(1, sizeof(*r));
    int n = GC_WALK, rc;

    r->gc = g;
    rc = read_round(r, err);
    while (rc == 0 && n == GC_WALK && !gc_stop(g)) {
        rc = walk_some(r, rows, found, &n, err);
    }
    if (rc == 0 && !g->stopped) {
        end_round(r);
        g->stopped = gc_over(g); /* the next round has a bound */
    }
    return rc < 0 ? rc : write_round(r, err);
}
