/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a workflow's runs as the next run needs it. */
#include "engine/prior.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/statements.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLICE = 4096,       /* entries read in one pass */
    RUNS_LOOKED_AT = 3, /* of the workflow, where this plan's own runs say nothing */
};

struct prior {
    struct store *store;
    struct arena *arena; /* entries */
    uint32_t n, missing;
    int64_t *ids;
    struct entry **slices;
};

/* --- the formats --- */

int64_t used_get(const void *used, uint32_t instance)
{
    const unsigned char *p = (const unsigned char *)used + (size_t)instance * 8;
    uint64_t v = 0;

    for (int i = 7; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return (int64_t)v;
}

static bool publishes(const struct step *s)
{
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        if (s->outputs[i].publish) {
            return true;
        }
    }
    return false;
}

void names_encode(const struct plan *p, struct str *out)
{
    for (int i = 0; i < 4; i++) {
        sb_putc(out, (char)(p->n >> (8 * i) & 0xff));
    }
    sb_reserve(out, p->n + p->names_len);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct step *s = &p->wf->steps[p->instances[i].step];
        sb_putc(out, (char)((unsigned)s->kind | (unsigned)s->executor << 4 |
                            (publishes(s) ? NAMES_PUBLISHES : 0)));
    }
    sb_add(out, p->names, p->names_len);
}

bool names_decode(const void *blob, size_t len, struct names *ret)
{
    const unsigned char *b = blob;
    struct names names;

    if (!b || len < 4) {
        return false;
    }
    names.n = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    if (names.n > len - 4) {
        return false;
    }
    names.tags = b + 4;
    names.text = (const char *)b + 4 + names.n;
    names.len = len - 4 - names.n;
    if (names.len > 0 && names.text[names.len - 1] != '\0') {
        return false;
    }
    *ret = names;
    return true;
}

/* --- ids --- */

static int find_plan(struct db *db, const struct digest *d, int64_t *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_PLAN_FIND, &row, err, "b", d->bytes, sizeof(d->bytes));

    if (rc < 0) {
        return rc;
    }
    rc = db_step(row, err);
    *ret = rc == 1 ? db_i64(row, 0) : 0;
    return rc < 0 ? rc : 0;
}

static void take_id(struct prior *p, uint32_t instance, int64_t id)
{
    if (id > 0 && p->ids[instance] == 0) {
        p->ids[instance] = id;
        p->missing--;
    }
}

static int take_own(struct prior *p, struct db *db, int64_t plan, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_RUN_USED_BY_PLAN, &row, err, "i", plan);

    if (rc < 0 || (rc = db_step(row, err)) != 1) {
        return rc;
    }
    size_t len;
    const void *used = db_blob(row, 1, &len);
    for (uint32_t i = 0; used && i < p->n && i < len / 8; i++) {
        take_id(p, i, used_get(used, i));
    }
    return 0;
}

static void index_names(const struct plan *plan, struct map *index)
{
    for (uint32_t i = 0; i < plan->n; i++) {
        map_put_text(index, plan->instances[i].name, &plan->instances[i]);
    }
}

static int take_by_name(struct prior *p, struct db *db, int64_t plan, const void *used, size_t len,
                        const struct map *index, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct names names;
    const void *blob;
    size_t blob_len;
    int rc = db_query(db, SQL_PLAN_GET, &row, err, "i", plan);

    if (rc < 0 || (rc = db_step(row, err)) != 1) {
        return rc;
    }
    blob = db_blob(row, 1, &blob_len);
    if (!names_decode(blob, blob_len, &names)) {
        return 0;
    }
    const char *at = names.text, *end = names.text + names.len;
    for (uint32_t i = 0; i < names.n && i < len / 8 && at < end; i++) {
        size_t name_len = strlen(at);
        const struct instance_ref *ref = map_get(index, at, name_len);
        if (ref) {
            take_id(p, ref->index, used_get(used, i));
        }
        at += name_len + 1;
    }
    return 0;
}

static int take_others(struct prior *p, struct db *db, const struct plan *plan, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(map_done) struct map index = {0};
    int rc = db_query(db, SQL_RUN_USED_BY_WORKFLOW, &row, err, "ti", plan->wf->name,
                      (int64_t)RUNS_LOOKED_AT);

    while (rc >= 0 && p->missing > 0 && (rc = db_step(row, err)) == 1) {
        size_t len;
        const void *used = db_blob(row, 2, &len);
        if (index.len == 0) {
            index_names(plan, &index);
        }
        if (used) {
            rc = take_by_name(p, db, db_i64(row, 1), used, len, &index, err);
        }
    }
    return rc < 0 ? rc : 0;
}

int prior_open(struct store *s, const struct plan *plan, struct prior **ret, struct err *err)
{
    struct prior *p = xcalloc(1, sizeof(*p));
    struct db *db = store_db(s);
    int64_t id = 0;
    int rc = 0;

    p->store = s;
    p->n = p->missing = plan->n;
    p->ids = xcalloc(plan->n ? plan->n : 1, sizeof(*p->ids));
    p->slices = xcalloc(plan->n / SLICE + 1, sizeof(*p->slices));
    p->arena = arena_new();
    if (db) {
        rc = find_plan(db, &plan->digest, &id, err);
    }
    if (rc == 0 && id > 0) {
        rc = take_own(p, db, id, err);
    }
    if (rc == 0 && db && p->missing > 0) {
        rc = take_others(p, db, plan, err);
    }
    if (rc < 0) {
        prior_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void prior_free(struct prior *p)
{
    if (p) {
        arena_free(p->arena);
        free(p->ids);
        free(p->slices);
        free(p);
    }
}

int64_t prior_id(const struct prior *p, uint32_t instance)
{
    return p->ids[instance];
}

const struct entry *prior_entry(struct prior *p, uint32_t instance)
{
    uint32_t slice = instance / SLICE, from = slice * SLICE;
    struct entry *e;

    if (p->ids[instance] == 0) {
        return NULL;
    }
    if (!p->slices[slice]) {
        uint32_t count = p->n - from < SLICE ? p->n - from : SLICE;
        p->slices[slice] = arena_calloc(p->arena, count, sizeof(struct entry));
        /* What cannot be read was never there: the question is then asked by key. */
        if (entry_get_many(p->store, p->ids + from, count, p->arena, p->slices[slice], NULL) < 0) {
            memset(p->slices[slice], 0, count * sizeof(struct entry));
        }
    }
    e = &p->slices[slice][instance - from];
    return e->id ? e : NULL;
}

void prior_forget(struct prior *p, uint32_t instance)
{
    if (p->slices[instance / SLICE]) {
        p->slices[instance / SLICE][instance % SLICE].id = 0;
    }
}
