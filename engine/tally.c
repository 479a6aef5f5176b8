/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tally.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/entries.h"
#include "cache/id_map.h"
#include "cache/result.h"
#include "cache/statements.h"
#include "cache/store.h"
#include "engine/prior.h"
#include "engine/state.h"

#include <stdlib.h>
#include <string.h>

enum {
    RECORDS_MAX = 2000000, /* instances looked at: then no further run is */
    FEW = 3,               /* attempts of which nothing is said */
};

struct spared {
    int64_t ms;
    uint64_t bytes;
};

struct tally {
    struct store *store;
    struct arena *arena, *scratch;
    struct map by_name; /* "workflow\nstep" -> index + 1 into steps */
    VEC(struct tally_step) steps;
    struct tally_count all;
    uint32_t runs;
    uint64_t records;
    struct id_map known; /* entry -> index + 1 into spared */
    VEC(struct spared) spared;
    /* Of the run being read: */
    const char *workflow;
    uint32_t n;
    uint32_t *step_of;  /* instance -> index of its step */
    uint8_t *reason_of; /* instance -> enum reason + 1; 0: did not run */
    int64_t plan;       /* step_of is that plan's */
};

/* --- what an entry spares --- */

static int add_bytes(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    (void)d;
    (void)kind;
    *(uint64_t *)arg += bytes;
    return 0;
}

static struct spared spared_by(struct tally *t, int64_t id)
{
    int64_t *at = id_map_put(&t->known, id);

    if (*at == 0) {
        struct entry e = {0};
        struct spared s = {0};
        if (entry_get(t->store, id, t->scratch, &e, NULL) == 0) {
            s.ms = e.duration_ms;
            result_each_object(e.data, e.data_len, add_bytes, &s.bytes, NULL);
        }
        *vec_push(&t->spared) = s;
        *at = (int64_t)t->spared.len;
    }
    return t->spared.items[*at - 1];
}

/* --- reasons --- */

/* Our own writer made these payloads: a quote inside a text is escaped, so such a piece stands only where it is meant. */
static const char *after(const char *payload, const char *piece)
{
    const char *at = payload ? strstr(payload, piece) : NULL;

    return at ? at + strlen(piece) : NULL;
}

static bool is_word(const char *at, const char *word)
{
    return at && strncmp(at, word, strlen(word)) == 0 && at[strlen(word)] == '"';
}

/* As it was recorded where the decision was made. */
static enum reason reason_of(const char *started)
{
    const char *code = after(started, "\"reason\":\"");

    for (int i = 0; i < REASON_COUNT; i++) {
        if (is_word(code, reason_codes[i])) {
            return (enum reason)i;
        }
    }
    return REASON_OTHER;
}

/* --- records --- */

static struct tally_count *count_of(struct tally *t, uint32_t instance)
{
    return &t->steps.items[t->step_of[instance]].count;
}

static void add_hit(struct tally *t, struct tally_count *c, int64_t entry)
{
    struct spared s = spared_by(t, entry);

    c->hits++;
    c->saved_ms += s.ms;
    c->saved_bytes += s.bytes;
}

static void add_success(struct tally *t, struct tally_count *c, const struct event *e,
                        const char *payload)
{
    const char *took = after(payload, "\"duration_ms\":"),
               *storing = after(payload, "\"storing_us\":");

    (void)t;
    c->ran_ms += took ? strtoll(took, NULL, 10) : 0;
    c->storing_us += storing ? strtoll(storing, NULL, 10) : 0;
    c->stored += e->entry > 0;
}

static int on_event(const struct event *e, void *arg)
{
    struct tally *t = arg;

    if (e->instance >= t->n || (e->type != EVENT_STARTED && e->type != EVENT_HIT &&
                                e->type != EVENT_SUCCEEDED && e->type != EVENT_FAILED)) {
        return 0;
    }
    struct tally_count *c = count_of(t, e->instance);
    if (e->type == EVENT_HIT) {
        t->records++;
        add_hit(t, c, e->entry);
        return 0;
    }
    char *payload = e->payload_len ? arena_strndup(t->scratch, e->payload, e->payload_len) : NULL;
    if (e->type == EVENT_STARTED && t->reason_of[e->instance] == 0) {
        t->records++;
        enum reason why = reason_of(payload);
        t->reason_of[e->instance] = (uint8_t)(why + 1);
        c->misses[why]++;
    } else if (e->type == EVENT_SUCCEEDED) {
        add_success(t, c, e, payload);
    } else if (e->type == EVENT_FAILED) {
        c->failed++;
    }
    return 0;
}

/* --- runs --- */

static uint32_t step_index(struct tally *t, const char *name)
{
    CLEANUP(sb_done) struct str key = {0};
    const char *branch = strchr(name, '[');
    size_t len = branch ? (size_t)(branch - name) : strlen(name);

    sb_printf(&key, "%s\n", t->workflow);
    sb_add(&key, name, len);
    uintptr_t known = (uintptr_t)map_get(&t->by_name, sb_text(&key), key.len);
    if (known == 0) {
        *vec_push(&t->steps) = (struct tally_step){
            .workflow = arena_strdup(t->arena, t->workflow),
            .step = arena_strndup(t->arena, name, len),
        };
        known = t->steps.len;
        map_put(&t->by_name, arena_strndup(t->arena, sb_text(&key), key.len), key.len,
                (void *)known);
    }
    return (uint32_t)known - 1;
}

/* The steps of a plan's instances. 1: it is not known. */
static int read_plan(struct tally *t, int64_t plan, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct names names;
    size_t len;
    int rc = db_query(store_db(t->store), SQL_PLAN_GET, &row, err, "i", plan);

    rc = rc < 0 ? rc : db_step(row, err);
    if (rc <= 0) {
        return rc < 0 ? rc : 1;
    }
    const void *blob = db_blob(row, 1, &len);
    if (!names_decode(blob, len, &names)) {
        return 1;
    }
    t->n = names.n;
    free(t->step_of);
    t->step_of = xcalloc(names.n + 1, sizeof(*t->step_of));
    const char *at = names.text, *end = names.text + names.len;
    for (uint32_t i = 0; i < names.n && at < end; i++) {
        t->step_of[i] = step_index(t, at);
        at += strlen(at) + 1;
    }
    t->plan = plan;
    return 0;
}

static int read_events(struct tally *t, const char *run, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(store_db(t->store), SQL_EVENT_LIST, &row, err, "ti", run, INT64_C(0));

    free(t->reason_of);
    t->reason_of = xcalloc((size_t)t->n + 1, 1);
    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        size_t len;
        const void *records = db_blob(row, 1, &len);
        rc = event_decode_each(records, len, on_event, t, err);
        arena_free(t->scratch);
        t->scratch = arena_new();
    }
    return rc < 0 ? err_wrap(err, "run %s", run) : 0;
}

static int read_runs(struct tally *t, const char *workflow, uint32_t runs, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct db *db = store_db(t->store);
    int rc = workflow
                 ? db_query(db, SQL_RUN_LIST_WORKFLOW, &row, err, "ti", workflow, (int64_t)runs)
                 : db_query(db, SQL_RUN_LIST, &row, err, "i", (int64_t)runs);

    while (rc >= 0 && t->records < RECORDS_MAX && (rc = db_step(row, err)) == 1) {
        int64_t plan = db_i64(row, 3);
        t->workflow = db_text(row, 1);
        rc = plan == t->plan && t->plan != 0 ? 0 : read_plan(t, plan, err);
        if (rc == 0) {
            rc = read_events(t, db_text(row, 0), err);
            t->runs++;
        }
    }
    return rc < 0 ? rc : 0;
}

static void add_count(struct tally_count *sum, const struct tally_count *c)
{
    sum->hits += c->hits;
    sum->failed += c->failed;
    sum->stored += c->stored;
    sum->saved_ms += c->saved_ms;
    sum->saved_bytes += c->saved_bytes;
    sum->ran_ms += c->ran_ms;
    sum->storing_us += c->storing_us;
    for (int i = 0; i < REASON_COUNT; i++) {
        sum->misses[i] += c->misses[i];
    }
}

static int by_saved(const void *a, const void *b)
{
    const struct tally_step *x = a, *y = b;

    if (x->count.saved_ms != y->count.saved_ms) {
        return x->count.saved_ms > y->count.saved_ms ? -1 : 1;
    }
    int by_workflow = strcmp(x->workflow, y->workflow);
    return by_workflow != 0 ? by_workflow : strcmp(x->step, y->step);
}

int tally_open(struct store *s, const char *workflow, uint32_t runs, struct tally **ret,
               struct err *err)
{
    struct tally *t = xcalloc(1, sizeof(*t));
    int rc = 0;

    t->store = s;
    t->arena = arena_new();
    t->scratch = arena_new();
    if (store_db(s)) {
        rc = read_runs(t, workflow, runs, err);
    }
    if (rc < 0) {
        tally_free(t);
        return rc;
    }
    for (size_t i = 0; i < t->steps.len; i++) {
        add_count(&t->all, &t->steps.items[i].count);
    }
    if (t->steps.len > 0) {
        qsort(t->steps.items, t->steps.len, sizeof(*t->steps.items), by_saved);
    }
    *ret = t;
    return 0;
}

void tally_free(struct tally *t)
{
    if (!t) {
        return;
    }
    arena_free(t->arena);
    arena_free(t->scratch);
    map_done(&t->by_name);
    id_map_done(&t->known);
    vec_done(&t->steps);
    vec_done(&t->spared);
    free(t->step_of);
    free(t->reason_of);
    free(t);
}

uint32_t tally_runs(const struct tally *t)
{
    return t->runs;
}

const struct tally_count *tally_all(const struct tally *t)
{
    return &t->all;
}

const struct tally_step *tally_steps(const struct tally *t, size_t *ret_count)
{
    *ret_count = t->steps.len;
    return t->steps.items;
}

uint64_t tally_misses(const struct tally_count *c)
{
    uint64_t sum = 0;

    for (int i = 0; i < REASON_COUNT; i++) {
        sum += c->misses[i];
    }
    return sum;
}

bool tally_costs_more(const struct tally_count *c)
{
    return c->stored >= FEW && c->storing_us > c->saved_ms * 1000;
}
