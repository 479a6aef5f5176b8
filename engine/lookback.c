/* SPDX-License-Identifier: Apache-2.0 */
/* Runs from the newest on, each by its names and its journal; what a newer run says of an instance stands. */
#include "engine/lookback.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "cache/statements.h"
#include "cache/store.h"
#include "engine/history.h"
#include "engine/plan.h"
#include "engine/prior.h"
#include "engine/state.h"

#include <stdlib.h>
#include <string.h>

enum { RUNS_FAR = 10, RUNS_NEAR = 3, NOTE_MAX = 1 << 20 };
static const size_t bytes_far = 64 << 20, bytes_near = 8 << 20;

enum outcome {
    OUTCOME_NONE,  /* not begun in any run looked at */
    OUTCOME_BEGUN, /* and no end is known */
    OUTCOME_KEPT,
    OUTCOME_NOT_STORED,
    OUTCOME_FAILED,
    OUTCOME_CANCELLED,
};
struct past {
    int64_t entry;
    uint8_t outcome; /* enum outcome */
    uint8_t run;     /* index into runs */
    bool settled;    /* by a newer run than the one being read */
    const char *note;
};
struct lookback {
    uint32_t n;
    struct past *items;
    char runs[RUNS_FAR][32];
    struct arena *arena;
};

/* --- one run --- */

struct reading {
    struct lookback *l;
    uint8_t run;
    uint32_t n;
    uint32_t *instances; /* of the run's instances: which of the plan's; UINT32_MAX: none */
    size_t left;
};

static const char *note_of(struct reading *r, const struct event *e)
{
    CLEANUP(cleanup_json) json_t *j = NULL;

    if (e->payload_len == 0 || json_read(e->payload, e->payload_len, NOTE_MAX, &j, NULL) < 0) {
        return NULL;
    }
    const char *text = json_string_value(json_object_get(j, "note"));
    return text ? arena_strdup(r->l->arena, text) : NULL;
}

static int on_event(const struct event *e, void *arg)
{
    struct reading *r = arg;
    uint32_t i = e->instance < r->n ? r->instances[e->instance] : UINT32_MAX;
    struct past *p = i != UINT32_MAX ? &r->l->items[i] : NULL;

    if (!p || p->settled) {
        return 0;
    }
    enum outcome before = (enum outcome)p->outcome;
    switch (e->type) {
    case EVENT_STARTED:
        p->outcome = OUTCOME_BEGUN;
        break;
    case EVENT_HIT:
        p->outcome = OUTCOME_KEPT;
        p->entry = e->entry;
        break;
    case EVENT_SUCCEEDED:
        p->outcome = e->entry > 0 ? OUTCOME_KEPT : OUTCOME_NOT_STORED;
        p->entry = e->entry;
        p->note = e->entry > 0 ? NULL : note_of(r, e);
        break;
    case EVENT_FAILED:
        p->outcome = OUTCOME_FAILED;
        break;
    case EVENT_CANCELLED:
        p->outcome = before == OUTCOME_NONE ? OUTCOME_NONE : OUTCOME_CANCELLED;
        break;
    default:
        return 0;
    }
    p->run = r->run;
    return 0;
}

static void read_events(struct reading *r, struct db *db, const char *run)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_EVENT_LIST, &row, NULL, "ti", run, (int64_t)0);

    while (rc >= 0 && r->left > 0 && (rc = db_step(row, NULL)) == 1) {
        size_t len;
        const void *records = db_blob(row, 1, &len);
        r->left -= len < r->left ? len : r->left;
        rc = records ? event_decode_each(records, len, on_event, r, NULL) : 0;
    }
}

/* Which of the plan's instances each of the run's is, by name. */
static bool match_names(struct reading *r, struct db *db, int64_t plan, const struct map *index)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct names names;
    size_t len;

    if (db_query(db, SQL_PLAN_GET, &row, NULL, "i", plan) < 0 || db_step(row, NULL) != 1) {
        return false;
    }
    const void *blob = db_blob(row, 1, &len);
    if (!names_decode(blob, len, &names)) {
        return false;
    }
    r->n = names.n;
    r->instances = xcalloc(names.n ? names.n : 1, sizeof(*r->instances));
    const char *at = names.text, *end = names.text + names.len;
    for (uint32_t i = 0; i < names.n; i++) {
        size_t name_len = at < end ? strlen(at) : 0;
        const struct instance_ref *ref = at < end ? map_get(index, at, name_len) : NULL;
        r->instances[i] = ref ? ref->index : UINT32_MAX;
        at += at < end ? name_len + 1 : 0;
    }
    return true;
}

struct found_runs {
    uint32_t n, max;
    char (*ids)[32];
};

static bool take_run(const struct run_row *row, void *arg)
{
    struct found_runs *f = arg;

    (void)snprintf(f->ids[f->n], sizeof(f->ids[f->n]), "%s", row->id);
    return ++f->n < f->max;
}

static int64_t plan_of(struct db *db, const char *run)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    return db_query(db, SQL_RUN_GET, &row, NULL, "t", run) >= 0 && db_step(row, NULL) == 1
               ? db_i64(row, 3)
               : 0;
}

struct lookback *lookback_open(struct store *s, const struct plan *p, bool far)
{
    struct lookback *l = xcalloc(1, sizeof(*l));
    CLEANUP(map_done) struct map index = {0};
    struct found_runs runs = {.max = far ? RUNS_FAR : RUNS_NEAR, .ids = l->runs};
    size_t left = far ? bytes_far : bytes_near;
    struct db *db = store_db(s);

    l->n = p->n;
    l->items = xcalloc(p->n ? p->n : 1, sizeof(*l->items));
    l->arena = arena_new();
    /* The run that asks may stand there already: it has begun nothing that it asks about. */
    if (!db || history_list(s, p->wf->name, runs.max, take_run, &runs, NULL) < 0 || runs.n == 0) {
        return l;
    }
    for (uint32_t i = 0; i < p->n; i++) {
        map_put_text(&index, p->instances[i].name, &p->instances[i]);
    }
    for (uint32_t k = 0; k < runs.n && left > 0; k++) {
        struct reading r = {.l = l, .run = (uint8_t)k, .left = left};
        if (match_names(&r, db, plan_of(db, l->runs[k]), &index)) {
            read_events(&r, db, l->runs[k]);
        }
        left = r.left;
        free(r.instances);
        for (uint32_t i = 0; i < l->n; i++) {
            l->items[i].settled = l->items[i].outcome != OUTCOME_NONE;
        }
    }
    return l;
}

void lookback_free(struct lookback *l)
{
    if (l) {
        arena_free(l->arena);
        free(l->items);
        free(l);
    }
}

int64_t lookback_entry(const struct lookback *l, uint32_t instance)
{
    return l->items[instance].entry;
}

const char *lookback_note(const struct lookback *l, uint32_t instance, struct arena *a,
                          bool *ret_failed)
{
    const struct past *p = &l->items[instance];
    const char *run = l->runs[p->run];

    *ret_failed = p->outcome != OUTCOME_NOT_STORED;
    switch ((enum outcome)p->outcome) {
    case OUTCOME_BEGUN:
        return arena_printf(a, "its last attempt has not ended (run %s)", run);
    case OUTCOME_NOT_STORED:
        return arena_printf(a, "it ran, but its result was not stored (run %s): %s", run,
                            p->note ? p->note : "it was not memoized in that run");
    case OUTCOME_FAILED:
        return arena_printf(a, "its last attempt failed (run %s), and nothing is kept of a failure",
                            run);
    case OUTCOME_CANCELLED:
        return arena_printf(a, "its last attempt was cancelled (run %s)", run);
    case OUTCOME_NONE:
    case OUTCOME_KEPT:
        break;
    }
    return NULL;
}

int64_t lookback_used(struct store *s, const char *run, const char *instance)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(db_row_done) struct db_row *plan = NULL;
    struct db *db = store_db(s);
    struct names names;
    size_t used_len, len;

    if (!db || db_query(db, SQL_RUN_GET, &row, NULL, "t", run) < 0 || db_step(row, NULL) != 1 ||
        db_query(db, SQL_PLAN_GET, &plan, NULL, "i", db_i64(row, 3)) < 0 ||
        db_step(plan, NULL) != 1) {
        return 0;
    }
    const void *used = db_blob(row, 11, &used_len);
    const void *blob = db_blob(plan, 1, &len);
    if (!used || !names_decode(blob, len, &names)) {
        return 0;
    }
    const char *at = names.text, *end = names.text + names.len;
    for (uint32_t i = 0; i < names.n && i < used_len / 8 && at < end; i++) {
        if (strcmp(at, instance) == 0) {
            return used_get(used, i);
        }
        at += strlen(at) + 1;
    }
    return 0;
}
