/* SPDX-License-Identifier: Apache-2.0 */
/* Which entries go: those unused for long, then the least recently used until the caps hold. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FINE = 16384,   /* least recently used ones, removed in that order near the cap */
    MOST = 1 << 20, /* far from it: as many known at a time, removed in the order of their rows */
    FAR = 1024,
};

/* --- the caps --- */

/* With so much more gone than is reported yet. */
static bool over_by(const struct gc *g, uint64_t removed, uint64_t bytes)
{
    removed += g->report.entries_removed;
    bytes += g->report.bytes_removed;
    return (g->o->max_entries > 0 && g->before.entries > g->o->max_entries + removed) ||
           (g->o->max_size > 0 && g->before.bytes > g->o->max_size + bytes);
}

bool gc_over(const struct gc *g)
{
    return over_by(g, 0, 0);
}

uint64_t gc_surplus(const struct gc *g)
{
    uint64_t kept = g->before.entries - g->report.entries_removed, by_bytes = 0, by_count = 0;
    uint64_t bytes =
        g->before.bytes > g->report.bytes_removed ? g->before.bytes - g->report.bytes_removed : 0;

    if (g->o->max_entries > 0 && kept > g->o->max_entries) {
        by_count = kept - g->o->max_entries;
    }
    if (g->o->max_size > 0 && bytes > g->o->max_size) {
        by_bytes =
            (uint64_t)((double)kept * (double)(bytes - g->o->max_size) / (double)bytes * 7 / 8) + 1;
    }
    return by_count > by_bytes ? by_count : by_bytes;
}

/* --- removing --- */

struct removal {
    struct write write;
    struct gc *gc;
    const struct gc_used *items;
    size_t count, done;
    bool while_over; /* all at once, and no more than must */
    int64_t walked;  /* >= 0: written down as the position of the walk, with the last item */
    uint64_t removed;
    struct freed freed;
    struct entry_taken taken;
};

static int pinned(struct db *db, int64_t id, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_PIN_GET, &row, err, "i", id);

    return rc < 0 ? rc : db_step(row, err);
}

bool gc_in_use(const struct gc *g, const struct gc_used *u)
{
    return u->at >= g->oldest_live || id_map_get(&g->live, u->id) != NULL;
}

static int remove_one(struct removal *r, struct db *db, const struct gc_used *u, struct err *err)
{
    /* A live run may have used it since it was chosen. */
    int rc = gc_in_use(r->gc, u) ? 1 : pinned(db, u->id, err);

    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    if (r->gc->o->dry_run) {
        rc = gc_dry_remove(r->gc, u->id, &r->freed, err);
    } else if (r->while_over) {
        rc = entry_remove(r->gc->store, db, u->id, &r->freed, err);
    } else {
        rc = entry_take(db, u->id, &r->taken, err);
    }
    if (rc <= 0) {
        return rc;
    }
    r->removed++;
    return r->gc->o->dry_run || r->while_over ? 0 : gc_queue_add(db, u->id, &r->taken, err);
}

/* As many as the time of one slice allows; at least one. */
static int apply_removal(struct write *w, struct db *db, struct err *err)
{
    struct removal *r = CONTAINER_OF(w, struct removal, write);
    int64_t began = mono_us();
    char text[32];

    r->removed = 0;
    r->done = 0;
    freed_begin(&r->freed, gc_anybody(r->gc));
    while (r->done < r->count && (r->done == 0 || !gc_freed_full(began, &r->freed)) &&
           (!r->while_over || over_by(r->gc, r->removed, r->freed.bytes))) {
        int rc = remove_one(r, db, &r->items[r->done], err);
        if (rc < 0) {
            return rc;
        }
        r->done++;
        FAILPOINT("gc.remove");
    }
    if (r->gc->o->dry_run) {
        return 0;
    }
    if (!r->while_over && store_totals(db, -(int64_t)r->removed, 0, 0, err) < 0) {
        return -(int)ERR_IO;
    }
    if (r->walked < 0 || r->done < r->count) {
        return 0;
    }
    snprintf(text, sizeof(text), "%" PRId64, r->walked);
    FAILPOINT("gc.walk");
    return gc_meta_put(db, "gc.walk", text, err);
}

static void removal_committed(struct write *w)
{
    struct removal *r = CONTAINER_OF(w, struct removal, write);

    freed_unlink(r->gc->store, &r->freed);
}

static int remove_listed(struct removal *r, struct err *err)
{
    struct gc *g = r->gc;
    int rc = 0;

    r->write =
        (struct write){.apply = apply_removal, .committed = removal_committed, .urgent = true};
    while (rc == 0 && r->count > 0 && (!r->while_over || gc_over(g)) && !gc_stop(g)) {
        rc = gc_look_again(g, err);
        if (rc == 0) {
            rc = g->o->dry_run ? apply_removal(&r->write, store_db(g->store), err)
                               : gc_slice(g, &r->write, err);
        }
        if (rc == 0) {
            g->report.entries_removed += r->removed;
            g->report.objects_removed += r->freed.objects;
            g->report.bytes_removed += r->freed.bytes;
            r->items += r->done;
            r->count -= r->done;
        }
    }
    entry_taken_done(&r->taken);
    freed_done(&r->freed);
    return rc;
}

int gc_remove_all(struct gc *g, const struct gc_used *items, size_t count, int64_t walked,
                  struct err *err)
{
    struct removal r = {.gc = g, .items = items, .count = count, .walked = walked};

    return remove_listed(&r, err);
}

int gc_remove_while_over(struct gc *g, const struct gc_used *items, size_t count, struct err *err)
{
    struct removal r = {.gc = g, .items = items, .count = count, .while_over = true, .walked = -1};

    return remove_listed(&r, err);
}

int gc_walk(struct gc *g, int64_t after, struct gc_used *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int n = 0;
    int rc = db_query(store_db(g->store), SQL_HIT_WALK, &row, err, "ii", after, (int64_t)GC_WALK);

    while (rc >= 0 && n < GC_WALK && (rc = db_step(row, err)) == 1) {
        ret[n++] = (struct gc_used){db_i64(row, 0), db_i64(row, 1)};
    }
    g->seen += (uint64_t)n;
    return rc < 0 ? rc : n;
}

/* --- unused for long --- */

/* Where the walk stands, for whoever goes on. */
static int leave_walk(struct gc *g, int64_t before, int64_t at, struct err *err)
{
    char text[32];

    if (at == before || g->o->dry_run) {
        return 0;
    }
    snprintf(text, sizeof(text), "%" PRId64, at);
    return gc_meta_put_now(g, "gc.walk", text, err);
}

int gc_remove_unused(struct gc *g, struct err *err)
{
    int64_t before = now_ms() - g->o->unused_for_ms, at = 0, written;
    CLEANUP(sb_done) struct str position = {0};
    CLEANUP(cleanup_free) struct gc_used *rows = NULL;
    VEC(struct gc_used) found = {0};
    int n = GC_WALK, rc = 0;

    if (g->o->unused_for_ms <= 0) {
        return 0;
    }
    if (!g->o->dry_run) {
        rc = gc_meta_get(g->store, "gc.walk", &position, err);
        at = strtoll(sb_text(&position), NULL, 10);
    }
    rows = xcalloc(GC_WALK, sizeof(*rows));
    written = at;
    while (rc == 0 && n == GC_WALK && !gc_stop(g)) {
        n = gc_walk(g, at, rows, err);
        if (n < 0) {
            rc = n;
            break;
        }
        vec_clear(&found);
        for (int i = 0; i < n; i++) {
            if (rows[i].at < before && !gc_in_use(g, &rows[i])) {
                *vec_push(&found) = rows[i];
            }
        }
        /* At the end the next walk begins anew. */
        int64_t to = n < GC_WALK ? 0 : rows[n - 1].id;
        if (found.len > 0) {
            rc = gc_remove_all(g, found.items, found.len, to, err);
            written = g->stopped ? written : to;
        }
        if (!g->stopped) {
            at = to;
        }
    }
    vec_done(&found);
    rc = rc < 0 ? rc : leave_walk(g, written, at, err);
    return rc < 0 ? rc : gc_queue(g, err);
}

/* --- the least recently used --- */

static int by_age(const void *a, const void *b)
{
    const struct gc_used *x = a, *y = b;

    return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x->id > y->id) - (x->id < y->id);
}

static int by_row(const void *a, const void *b)
{
    const struct gc_used *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* The oldest known, as a heap whose root is the youngest of them. */
struct oldest {
    struct gc_used *items;
    size_t count, cap;
};

static void swap(struct gc_used *a, struct gc_used *b)
{
    struct gc_used other = *a;

    *a = *b;
    *b = other;
}

static void sift_down(struct oldest *h)
{
    for (size_t at = 0, child; (child = 2 * at + 1) < h->count; at = child) {
        if (child + 1 < h->count && by_age(&h->items[child + 1], &h->items[child]) > 0) {
            child++;
        }
        if (by_age(&h->items[child], &h->items[at]) <= 0) {
            return;
        }
        swap(&h->items[child], &h->items[at]);
    }
}

static void add_oldest(struct oldest *h, const struct gc_used *u)
{
    if (h->count < h->cap) {
        size_t at = h->count++;
        h->items[at] = *u;
        for (; at > 0 && by_age(&h->items[at], &h->items[(at - 1) / 2]) > 0; at = (at - 1) / 2) {
            swap(&h->items[at], &h->items[(at - 1) / 2]);
        }
    } else if (by_age(u, &h->items[0]) < 0) {
        h->items[0] = *u;
        sift_down(h);
    }
}

/* The least recently used of all that are younger than `after`. */
static int find_oldest(struct gc *g, const struct gc_used *after, struct oldest *h, struct err *err)
{
    CLEANUP(cleanup_free) struct gc_used *rows = xcalloc(GC_WALK, sizeof(*rows));
    int64_t at = 0;
    int n = GC_WALK;

    h->count = 0;
    while (n == GC_WALK && !gc_stop(g)) {
        n = gc_walk(g, at, rows, err);
        if (n < 0) {
            return n;
        }
        for (int i = 0; i < n; i++) {
            if (by_age(&rows[i], after) > 0 && !gc_in_use(g, &rows[i])) {
                add_oldest(h, &rows[i]);
            }
        }
        at = n > 0 ? rows[n - 1].id : at;
    }
    return 0;
}

/* Far from the cap all that are found must go: then in the order of their rows, which lie side by side. Near it one after another by age, so that no more go than must. */
int gc_remove_over(struct gc *g, struct err *err)
{
    struct gc_used after = {INT64_MIN, INT64_MIN};
    int rc = 0;

    while (rc == 0 && gc_over(g) && !gc_stop(g)) {
        uint64_t surplus = gc_surplus(g);
        bool far = surplus >= FAR;
        struct oldest h = {.cap = far ? (surplus < MOST ? (size_t)surplus : MOST) : FINE};
        h.items = xcalloc(h.cap, sizeof(*h.items));
        rc = find_oldest(g, &after, &h, err);
        if (rc < 0 || h.count == 0 || g->stopped) {
            free(h.items); /* all that is left is in use */
            break;
        }
        after = h.items[0];
        qsort(h.items, h.count, sizeof(*h.items), far ? by_row : by_age);
        rc = far ? gc_remove_all(g, h.items, h.count, -1, err)
                 : gc_remove_while_over(g, h.items, h.count, err);
        rc = rc < 0 || !far ? rc : gc_queue(g, err); /* only now is known what that came to */
        free(h.items);
    }
    return rc;
}
