/* SPDX-License-Identifier: Apache-2.0 */
/* Removing many. Rows of entries lie in the order of their making, which is that of their age; names in `keys` and counts of objects lie in the order of digests, each on a page of its own. So an
 * entry goes in two steps: its rows, while what it named is written down in `given_up`, one after another; then, many thousands at a time and in the order of heads, the names and the counts, so that
 * a page is written once and not for each. Until then an object counts one name too many, which keeps it, and a name in `keys` leads to no entry.
 * How far the second step is, is written down with each slice: meta "gc.queue" is "LAST KIND HEAD ID": of the rows up to LAST all up to the item KIND HEAD ID is done. When nothing is
 * left of them, the rows go. Whoever is cut off is gone on with. */
#include "base/db.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 1 << 19 /* entries */ };
enum item_kind { ITEM_KEY, ITEM_OBJECT, ITEM_NONE };

struct item {
    int64_t head,
        id; /* id: of the row in given_up, and of the item in it: several objects of one entry may have one head */
    struct digest digest;
    uint64_t bytes; /* of a key: the entry */
    uint8_t kind;   /* enum item_kind */
    uint8_t object; /* enum object_kind */
};

struct queue {
    struct write write;
    struct gc *gc;
    VEC(struct item) items;
    int64_t last;     /* the newest row that is worked on */
    int64_t row;      /* being read */
    size_t at, to;    /* items done before this slice, and with it */
    struct item done; /* kind, head and id of the last that was done before us */
    struct freed freed;
    bool emptied;
};

int gc_queue_add(struct db *db, int64_t entry, const struct entry_taken *e, struct err *err)
{
    int64_t rc = db_run(db, SQL_GC_QUEUE_ADD, err, "ibb", entry, e->key.bytes, (size_t)DIGEST_SIZE,
                        sb_text(&e->result), e->result.len);

    return rc < 0 ? (int)rc : 0;
}

static int by_place(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->head != y->head) {
        return x->head < y->head ? -1 : 1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

static int add_object(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    struct queue *q = arg;

    *vec_push(&q->items) = (struct item){.head = object_head(d, kind),
                                         .id = q->row++,
                                         .digest = *d,
                                         .bytes = bytes,
                                         .kind = ITEM_OBJECT,
                                         .object = (uint8_t)kind};
    return 0;
}

static void read_row(struct queue *q, struct db_row *row)
{
    struct item key = {.bytes = (uint64_t)db_i64(row, 1), .kind = ITEM_KEY};
    struct err err = {0};
    size_t len;

    q->row = db_i64(row, 0) << 20;
    key.id = q->row++;
    const void *data = db_blob(row, 2, &len);
    if (data && len == DIGEST_SIZE) {
        memcpy(key.digest.bytes, data, DIGEST_SIZE);
        key.head = digest_head(&key.digest);
        *vec_push(&q->items) = key;
    }
    data = db_blob(row, 3, &len);
    if (result_each_object(data ? data : "", data ? len : 0, add_object, q, &err) < 0) {
        log_debug("gc", "entry %" PRIu64 ": %s", key.bytes, err.msg);
    }
}

/* How far those before us came. */
static int read_place(struct queue *q, struct store *s, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    int rc = gc_meta_get(s, "gc.queue", &text, err);
    char *p = text.data;

    if (rc == 0 && p && *p) {
        q->last = strtoll(p, &p, 10);
        q->done.kind = (uint8_t)strtol(p, &p, 10);
        q->done.head = strtoll(p, &p, 10);
        q->done.id = strtoll(p, &p, 10);
    }
    return rc;
}

/* The rows up to q->last, or as many as are taken at once: q->last is then the last of those. */
static int read_queue(struct queue *q, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    bool begun = q->last > 0;
    int rc = db_query(store_db(q->gc->store), SQL_GC_QUEUE_READ, &row, err, "ii",
                      begun ? q->last : INT64_MAX, begun ? INT64_MAX : (int64_t)AT_ONCE);

    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        read_row(q, row);
        q->last = begun ? q->last : db_i64(row, 0);
    }
    if (rc < 0) {
        return rc;
    }
    if (q->items.len > 0) {
        qsort(q->items.items, q->items.len, sizeof(*q->items.items), by_place);
    }
    while (begun && q->at < q->items.len && by_place(&q->items.items[q->at], &q->done) <= 0) {
        q->at++;
    }
    return 0;
}

int gc_pending(struct store *s,
               int (*fn)(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg),
               void *arg, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct queue q = {0};
    int rc = read_place(&q, s, err);

    rc = rc < 0 ? rc
                : db_query(store_db(s), SQL_GC_QUEUE_READ, &row, err, "ii", INT64_MAX, INT64_MAX);
    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        bool begun = db_i64(row, 0) <= q.last;
        vec_clear(&q.items);
        read_row(&q, row);
        for (size_t i = 0; rc >= 0 && i < q.items.len; i++) {
            const struct item *item = &q.items.items[i];
            if (item->kind == ITEM_OBJECT && !(begun && by_place(item, &q.done) <= 0)) {
                rc = fn(&item->digest, item->bytes, (enum object_kind)item->object, arg);
            }
        }
    }
    vec_done(&q.items);
    return rc < 0 ? rc : 0;
}

static int release(struct queue *q, struct db *db, const struct item *i, struct err *err)
{
    if (i->kind == ITEM_KEY) {
        int64_t rc = db_run(db, SQL_KEY_FORGET, err, "ii", i->head, (int64_t)i->bytes);
        return rc < 0 ? (int)rc : 0;
    }
    return object_release(q->gc->store, db, &i->digest, i->bytes, (enum object_kind)i->object,
                          &q->freed, err);
}

static int apply_queue(struct write *w, struct db *db, struct err *err)
{
    struct queue *q = CONTAINER_OF(w, struct queue, write);
    int64_t began = mono_us();
    char text[100];

    freed_begin(&q->freed, gc_anybody(q->gc));
    for (q->to = q->at; q->to < q->items.len && !gc_freed_full(began, &q->freed); q->to++) {
        int rc = release(q, db, &q->items.items[q->to], err);
        if (rc < 0) {
            return rc;
        }
        FAILPOINT("gc.release");
    }
    const struct item *i = q->to > 0 ? &q->items.items[q->to - 1] : &q->done;
    snprintf(text, sizeof(text), "%" PRId64 " %d %" PRId64 " %" PRId64, q->last,
             q->to == q->items.len ? ITEM_NONE : i->kind, i->head, i->id);
    FAILPOINT("gc.queue");
    int rc = store_totals(db, 0, -q->freed.rows, -q->freed.row_bytes, err);
    return rc < 0 ? rc : gc_meta_put(db, "gc.queue", text, err);
}

static void queue_committed(struct write *w)
{
    struct queue *q = CONTAINER_OF(w, struct queue, write);

    freed_unlink(q->gc->store, &q->freed);
}

/* All is released: the rows themselves. */
static int apply_empty(struct write *w, struct db *db, struct err *err)
{
    struct queue *q = CONTAINER_OF(w, struct queue, write);
    int64_t began = mono_us(), n = 1;

    while (n == 1 && !gc_slice_full(began)) {
        n = db_run(db, SQL_GC_QUEUE_DONE, err, "i", q->last);
    }
    FAILPOINT("gc.empty");
    q->emptied = n == 0;
    return n < 0 ? (int)n : q->emptied ? gc_meta_put(db, "gc.queue", "", err) : 0;
}

static int release_all(struct queue *q, struct err *err)
{
    struct gc *g = q->gc;
    int rc = 0;

    q->write = (struct write){.apply = apply_queue, .committed = queue_committed, .urgent = true};
    while (rc == 0 && q->at < q->items.len && !gc_stop(g)) {
        rc = gc_slice(g, &q->write, err);
        if (rc == 0) {
            q->at = q->to;
            g->report.objects_removed += q->freed.objects;
            g->report.bytes_removed += q->freed.bytes;
        }
    }
    return rc;
}

/* One batch. 1: there was one. */
static int work_off(struct gc *g, struct err *err)
{
    struct queue q = {.gc = g};
    int rc = read_place(&q, g->store, err);

    if (rc == 0 && !(q.last > 0 && q.done.kind == ITEM_NONE)) {
        rc = read_queue(&q, err);
    }
    rc = rc < 0 || q.last == 0 ? rc : release_all(&q, err);
    q.write = (struct write){.apply = apply_empty, .urgent = true};
    while (rc == 0 && q.last > 0 && q.at == q.items.len && !q.emptied && !gc_stop(g)) {
        rc = gc_slice(g, &q.write, err);
    }
    vec_done(&q.items);
    freed_done(&q.freed);
    return rc < 0 ? rc : q.last > 0;
}

int gc_queue(struct gc *g, struct err *err)
{
    int rc = g->o->dry_run || g->store->read_only ? 0 : 1;

    while (rc == 1 && !gc_stop(g)) {
        rc = work_off(g, err);
    }
    return rc < 0 ? rc : 0;
}
