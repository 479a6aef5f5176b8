/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of references and rows that name one another, in one snapshot of the database. What is off is mended by the difference found, not by the value: runs that add and remove meanwhile are not undone by
 * it. A folder whose list cannot be read hides what it names: then a count may be too high without anybody being able to tell, and is left alone. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"
#include "cache/verify_internal.h"

#include <inttypes.h>
#include <string.h>

enum { PER_SLICE = 256 };

/* One row to be mended. */
struct mend {
    int statement; /* of a difference SQL_COUNT: see `object` */
    bool object;   /* a difference in objects, else in works */
    int64_t id, by;
    int64_t bytes; /* of an object's row that is to be made; -1: there is one */
    struct digest blob;
};
struct rows {
    struct verify *v;
    struct id_map objects, works; /* head -> how many name it */
    bool hidden;                  /* some folder's list could not be read */
    struct id_map lacking;  /* heads of objects that are named and have no row -> their bytes */
    bool measuring;         /* the second walk, which looks for those */
    struct id_map measured; /* folders that it looked into */
    VEC(struct mend) mends;
    size_t from;
    bool totals; /* to be summed up anew */
    struct write write;
};

static void count(struct id_map *m, int64_t head)
{
    if (head) {
        (*id_map_put(m, head))++;
    }
}

static void count_one(struct rows *r, int64_t head, uint64_t bytes)
{
    int64_t *lacking = r->measuring ? id_map_get(&r->lacking, head) : NULL;

    if (lacking) {
        *lacking = (int64_t)bytes;
    }
    if (!r->measuring) {
        count(&r->objects, head);
    }
}

static int count_listed(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct rows *r = arg;

    (void)err;
    if (e->kind == 'f' || e->kind == 'x') {
        count_one(r, object_head(&e->digest, OBJECT_FILE), e->bytes);
    }
    return 0;
}

/* A folder counts its files once, however many name it. */
static int count_object(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    struct rows *r = arg;
    CLEANUP(sb_done) struct str text = {0};
    int64_t head = object_head(d, kind);
    struct id_map *trees = r->measuring ? &r->measured : &r->objects;
    bool first = kind == OBJECT_TREE && !id_map_get(trees, head);

    count_one(r, head, bytes);
    if (first && r->measuring) {
        count(&r->measured, head);
    }
    if (first && (object_manifest(r->v->store, d, &text, NULL) < 0 ||
                  manifest_each(sb_text(&text), text.len, count_listed, r, NULL) < 0)) {
        r->hidden = true;
    }
    return 0;
}

static int count_entries(struct rows *r, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(r->v->store->db, SQL_VERIFY_ENTRIES, &row, err, "");

    while (rc >= 0 && !verify_stop(r->v) && (rc = db_step(row, err)) == 1) {
        size_t len;
        const void *data = db_blob(row, 1, &len);
        if (!r->measuring) {
            count(&r->works, db_i64(row, 2));
        }
        if (result_each_object(data ? data : "", data ? len : 0, count_object, r, NULL) < 0) {
            r->hidden = true;
        }
    }
    /* What housekeeping removed and has not cleared yet still counts. */
    return rc < 0 ? rc : gc_pending(r->v->store, count_object, r, err);
}

/* --- counts --- */

static void off(struct rows *r, bool object, int64_t head, int64_t found, int64_t expected)
{
    struct verify *v = r->v;

    /* A work that is not there was told of with the entry that lacks it. */
    if (found > expected && object ? r->hidden : !object && found == 0) {
        return;
    }
    *vec_push(&r->mends) = (struct mend){.statement = SQL_COUNT,
                                         .object = object,
                                         .id = head,
                                         .by = expected - found,
                                         .bytes = found == 0 ? 0 : -1};
    if (object && found == 0) {
        *id_map_put(&r->lacking, head) = 0;
    }
    verify_found(v, VERIFY_COUNT, NULL, NULL, v->o->repair,
                 "the row %016" PRIx64 " of %s is counted %" PRId64 " times and named %" PRId64
                 " times",
                 (uint64_t)head, object ? "objects" : "works", found, expected);
}

/* Rows against `named`; then what is named and has none. */
static int compare(struct rows *r, bool object, struct id_map *named, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc =
        db_query(r->v->store->db, object ? SQL_VERIFY_OBJECTS : SQL_VERIFY_WORKS, &row, err, "");

    while (rc >= 0 && !verify_stop(r->v) && (rc = db_step(row, err)) == 1) {
        int64_t head = db_i64(row, 0), found = db_i64(row, 1);
        int64_t *expected = id_map_get(named, head);
        if (head != 0 && found != (expected ? *expected : 0)) {
            off(r, object, head, found, expected ? *expected : 0);
        }
        if (expected) {
            *expected = 0;
        }
    }
    for (size_t i = 0; rc >= 0 && i < named->cap && !r->v->stopped; i++) {
        if (named->items[i].key != 0 && named->items[i].value != 0) {
            off(r, object, named->items[i].key, 0, named->items[i].value);
        }
    }
    return rc < 0 ? rc : 0;
}

/* --- rows that name one another --- */

static const struct link {
    int find, mend; /* find: the entry's id, then a digest where there is one */
    const char *text;
} links[] = {
    {SQL_VERIFY_LOST_HITS, SQL_VERIFY_DROP_HIT, "a last hit is noted of the entry"},
    {SQL_VERIFY_LOST_PINS, SQL_VERIFY_DROP_PIN, "a pin is on the entry"},
    {SQL_VERIFY_LOST_IDENTITIES, SQL_VERIFY_DROP_IDENTITY, "an identity leads to the entry"},
    {SQL_VERIFY_NO_HIT, SQL_VERIFY_ADD_HIT, NULL},
    {SQL_VERIFY_NO_IDENTITY, SQL_VERIFY_ADD_IDENTITY, NULL},
};

static int follow_links(struct rows *r, const struct link *l, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(r->v->store->db, l->find, &row, err, "");

    while (rc >= 0 && !verify_stop(r->v) && (rc = db_step(row, err)) == 1) {
        struct mend m = {.statement = l->mend, .id = db_i64(row, 0)};
        size_t len;
        const void *blob = db_blob(row, 1, &len);
        if (blob && len == DIGEST_SIZE) {
            memcpy(m.blob.bytes, blob, DIGEST_SIZE);
        }
        *vec_push(&r->mends) = m;
        if (l->text) {
            verify_found(r->v, VERIFY_DANGLING, NULL, NULL, r->v->o->repair,
                         "%s %" PRId64 ", which is not there", l->text, m.id);
        } else {
            verify_found(r->v, VERIFY_DANGLING, NULL, NULL, r->v->o->repair,
                         "the entry %" PRId64 " lacks a row of its own (%s)", m.id,
                         l->find == SQL_VERIFY_NO_HIT ? "its last hit" : "its identity");
        }
    }
    return rc < 0 ? rc : 0;
}

static int compare_totals(struct rows *r, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(r->v->store->db, SQL_VERIFY_TOTALS, &row, err, "");

    rc = rc < 0 ? rc : db_step(row, err);
    if (rc == 1 && db_i64(row, 0) != 1) {
        r->totals = true;
        verify_found(r->v, VERIFY_TOTALS, NULL, NULL, r->v->o->repair,
                     "the sums of entries, objects and bytes are not those of the rows");
    }
    return rc < 0 ? rc : 0;
}

/* --- mending --- */

static int mend_count(struct rows *r, struct db *db, const struct mend *m, struct err *err)
{
    int64_t rc;

    r->totals = r->totals || m->object;
    if (m->object && m->bytes >= 0) {
        rc = db_run(db, SQL_VERIFY_ADD_OBJECT, err, "iii", m->id, m->by, m->bytes);
        return rc < 0 ? (int)rc : 0;
    }
    rc = db_run(db, m->object ? SQL_VERIFY_MEND_OBJECT : SQL_VERIFY_MEND_WORK, err, "ii", m->id,
                m->by);
    /* No longer named: the file, where there is one, is a stray that gc sweeps. */
    rc = rc < 0 ? rc
                : db_run(db, m->object ? SQL_VERIFY_DROP_OBJECT : SQL_VERIFY_DROP_WORK, err, "i",
                         m->id);
    return rc < 0 ? (int)rc : 0;
}

static int apply_mends(struct write *w, struct db *db, struct err *err)
{
    struct rows *r = CONTAINER_OF(w, struct rows, write);
    size_t to = r->from + PER_SLICE < r->mends.len ? r->from + PER_SLICE : r->mends.len;
    int64_t rc = 0;

    for (size_t i = r->from; i < to && rc >= 0; i++) {
        const struct mend *m = &r->mends.items[i];
        if (m->statement == SQL_COUNT) {
            rc = mend_count(r, db, m, err);
        } else if (m->statement == SQL_VERIFY_DROP_IDENTITY ||
                   m->statement == SQL_VERIFY_ADD_IDENTITY) {
            rc = db_run(db, m->statement, err, "ib", m->id, m->blob.bytes, (size_t)DIGEST_SIZE);
        } else {
            rc = db_run(db, m->statement, err, "i", m->id);
        }
        FAILPOINT("verify.mend");
    }
    if (rc >= 0 && to == r->mends.len && r->totals) {
        rc = db_run(db, SQL_VERIFY_SUM, err, "");
    }
    return rc < 0 ? (int)rc : 0;
}

/* How large are the objects whose rows are lacking? Their names tell. */
static int measure(struct rows *r, struct err *err)
{
    if (r->lacking.len == 0 || !r->v->o->repair) {
        return 0;
    }
    r->measuring = true;
    int rc = count_entries(r, err);
    for (size_t i = 0; i < r->mends.len; i++) {
        struct mend *m = &r->mends.items[i];
        const int64_t *bytes = m->object && m->bytes >= 0 ? id_map_get(&r->lacking, m->id) : NULL;
        m->bytes = bytes ? *bytes : m->bytes;
    }
    return rc;
}

static int read_all(struct rows *r, struct err *err)
{
    int rc = count_entries(r, err);

    rc = rc < 0 || r->v->stopped ? rc : compare(r, true, &r->objects, err);
    rc = rc < 0 || r->v->stopped ? rc : measure(r, err);
    rc = rc < 0 || r->v->stopped ? rc : compare(r, false, &r->works, err);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(links) && !r->v->stopped; i++) {
        rc = follow_links(r, &links[i], err);
    }
    return rc < 0 || r->v->stopped ? rc : compare_totals(r, err);
}

int verify_rows(struct verify *v, struct err *err)
{
    struct rows r = {.v = v};
    int rc = db_exec(v->store->db, "BEGIN", err);

    if (rc == 0) {
        rc = read_all(&r, err);
        db_rollback(v->store->db);
    }
    r.write = (struct write){.apply = apply_mends, .urgent = true};
    bool mend = v->o->repair && !v->stopped;
    while (rc == 0 && mend && (r.from < r.mends.len || (r.totals && r.mends.len == 0))) {
        rc = store_write_now(v->store, &r.write, err);
        r.from += PER_SLICE;
        if (r.mends.len == 0) {
            break;
        }
    }
    id_map_done(&r.objects);
    id_map_done(&r.works);
    id_map_done(&r.lacking);
    id_map_done(&r.measured);
    vec_done(&r.mends);
    return rc;
}
