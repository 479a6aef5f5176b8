/* SPDX-License-Identifier: Apache-2.0 */
/* Past runs: rows of `runs`, and whole runs by replaying their journal through state_apply() alone. */
#include "engine/history.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cache/entries.h"
#include "cache/statements.h"
#include "cache/store.h"
#include "engine/prior.h"
#include "engine/promotions.h"
#include "workflows/model.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUMMARY_MAX = 1 << 20,
    PAYLOAD_MAX = 8 << 20,
    RUNS_LOOKED_AT = 5,
    SLICE = 4096,
};
/* Columns of RUN_GET and RUN_LIST*. */
enum {
    C_ID,
    C_WORKFLOW,
    C_FILE,
    C_PLAN,
    C_STATUS,
    C_TRIGGER,
    C_PARAMS,
    C_GIT,
    C_STARTED,
    C_ENDED,
    C_OWNER,
    C_USED,
    C_SUMMARY,
    C_VERSION
};

/* --- rows --- */

static void read_summary(const char *text, struct run_row *r)
{
    CLEANUP(cleanup_json) json_t *j = NULL;
    json_t *counts;

    if (!text || json_read(text, strlen(text), SUMMARY_MAX, &j, NULL) < 0) {
        return;
    }
    counts = json_object_get(j, "counts");
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        r->counts[s] =
            (uint32_t)json_integer_value(json_object_get(counts, instance_state_names[s]));
    }
    r->saved_ms = json_integer_value(json_object_get(j, "saved_ms"));
}

static void read_row(struct store *s, struct db_row *row, struct run_row *r)
{
    memset(r, 0, sizeof(*r));
    r->id = db_text(row, C_ID);
    r->workflow = db_text(row, C_WORKFLOW);
    r->file = db_text(row, C_FILE);
    r->status = db_text(row, C_STATUS);
    r->trigger = db_text(row, C_TRIGGER);
    r->params = db_text(row, C_PARAMS);
    r->git = db_text(row, C_GIT);
    r->wf_version = db_text(row, C_VERSION);
    r->started_ms = db_i64(row, C_STARTED);
    r->ended_ms = db_i64(row, C_ENDED);
    read_summary(db_text(row, C_SUMMARY), r);
    if (r->status && strcmp(r->status, "running") == 0 && !store_is_live(s, r->id)) {
        r->status = "interrupted";
    }
}

int history_list(struct store *s, const char *workflow, uint32_t limit,
                 bool (*fn)(const struct run_row *r, void *arg), void *arg, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct db *db = store_db(s);
    int rc;

    if (!db) {
        return 0;
    }
    rc = workflow ? db_query(db, SQL_RUN_LIST_WORKFLOW, &row, err, "ti", workflow, (int64_t)limit)
                  : db_query(db, SQL_RUN_LIST, &row, err, "i", (int64_t)limit);
    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        struct run_row r;
        read_row(s, row, &r);
        if (!fn(&r, arg)) {
            return 0;
        }
    }
    return rc < 0 ? rc : 0;
}

static int latest(struct store *s, char ret_id[32], struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = store_db(s) ? db_query(store_db(s), SQL_RUN_LIST, &row, err, "i", (int64_t)1) : 0;

    if (rc < 0 || (row && (rc = db_step(row, err)) < 0)) {
        return rc;
    }
    if (rc != 1) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "there are no runs in this store yet: start one with `wf run FILE`");
    }
    (void)snprintf(ret_id, 32, "%s", db_text(row, 0));
    return 0;
}

static int by_prefix(struct store *s, const char *word, char ret_id[32], struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    char from[ID_LEN + 1] = "", to[ID_LEN + 2], found[32];
    size_t len = strlen(word);
    int rc = 0;

    for (size_t i = 0; i < len && i < ID_LEN; i++) {
        from[i] = (char)toupper((unsigned char)word[i]);
        from[i + 1] = '\0';
    }
    (void)snprintf(to, sizeof(to), "%s~", from); /* above every letter of an id */
    if (store_db(s) && len > 0 && len <= ID_LEN) {
        rc = db_query(store_db(s), SQL_RUN_PREFIX, &row, err, "tt", from, to);
        rc = rc < 0 ? rc : db_step(row, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (rc == 0) {
        return err_set(err, ERR_NOT_FOUND, 0, "there is no run '%s': `wf runs` lists them", word);
    }
    (void)snprintf(found, sizeof(found), "%s", db_text(row, 0));
    rc = db_step(row, err);
    if (rc != 0) {
        return rc < 0 ? rc
                      : err_set(err, ERR_USAGE, 0,
                                "several runs begin with '%s' (%s, %s): write more of the id", word,
                                found, db_text(row, 0));
    }
    memcpy(ret_id, found, sizeof(found));
    return 0;
}

/* The run of the same workflow that began `steps_back` runs earlier. */
static int earlier(struct store *s, int64_t steps_back, char id[32], struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(store_db(s), SQL_RUN_BEFORE, &row, err, "ti", id, steps_back - 1);

    rc = rc < 0 ? rc : db_step(row, err);
    if (rc == 0) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "its workflow has no %lld earlier run%s than %s: `wf runs` lists them",
                       (long long)steps_back, steps_back == 1 ? "" : "s", id);
    }
    if (rc == 1) {
        (void)snprintf(id, 32, "%s", db_text(row, 0));
    }
    return rc < 0 ? rc : 0;
}

const char *history_git_of(struct store *s, const char *run, struct arena *a)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!store_db(s) || db_query(store_db(s), SQL_RUN_GET, &row, NULL, "t", run) < 0 ||
        db_step(row, NULL) <= 0 || !db_text(row, C_GIT)) {
        return NULL;
    }
    return arena_strdup(a, db_text(row, C_GIT));
}

int history_resolve(struct store *s, const char *word, char ret_id[32], struct err *err)
{
    CLEANUP(cleanup_free) char *base = xstrdup(strcmp(word, "previous") == 0 ? "latest~1" : word);
    char *tilde = strchr(base, '~'), *end, id[32];
    long back = 0;
    int rc;

    if (tilde) {
        back = strtol(tilde + 1, &end, 10);
        if (tilde[1] < '0' || tilde[1] > '9' || *end || back < 0 || back > 1000000) {
            return err_set(err, ERR_USAGE, 0,
                           "'%s' names no run: behind ~ stands how many runs earlier, as in "
                           "latest~1",
                           word);
        }
        *tilde = '\0';
    }
    rc = strcmp(base, "latest") == 0 ? latest(s, id, err) : by_prefix(s, base, id, err);
    rc = rc == 0 && back > 0 ? earlier(s, back, id, err) : rc;
    if (rc == 0) {
        memcpy(ret_id, id, sizeof(id));
    }
    return rc;
}

int history_unfinished(struct store *s, const char *workflow, char ret_id[32], struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = store_db(s) ? db_query(store_db(s), SQL_RUN_UNFINISHED, &row, err, "") : 0;

    while (row && rc >= 0 && (rc = db_step(row, err)) == 1) {
        const char *id = db_text(row, 0);
        if ((!workflow || text_eq(workflow, db_text(row, 1))) && !store_is_live(s, id)) {
            (void)snprintf(ret_id, 32, "%s", id);
            return 0;
        }
    }
    return rc < 0 ? rc : 1;
}

/* --- one instance in the newest runs --- */

static int index_of(struct store *s, int64_t plan, const char *instance, uint32_t *ret,
                    struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct names names;
    const void *blob;
    size_t len;
    int rc = db_query(store_db(s), SQL_PLAN_GET, &row, err, "i", plan);

    if (rc < 0 || (rc = db_step(row, err)) != 1) {
        return rc < 0 ? rc : 1;
    }
    blob = db_blob(row, 1, &len);
    if (!names_decode(blob, len, &names)) {
        return 1;
    }
    const char *at = names.text, *end = names.text + names.len;
    for (uint32_t i = 0; i < names.n && at < end; i++) {
        if (strcmp(at, instance) == 0) {
            *ret = i;
            return 0;
        }
        at += strlen(at) + 1;
    }
    return 1;
}

int64_t history_last_entry(struct store *s, const char *workflow, const char *instance,
                           struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = store_db(s) ? db_query(store_db(s), SQL_RUN_USED_BY_WORKFLOW, &row, err, "ti",
                                    workflow, (int64_t)RUNS_LOOKED_AT)
                         : 0;

    while (row && rc >= 0 && (rc = db_step(row, err)) == 1) {
        uint32_t at;
        size_t len;
        const void *used = db_blob(row, 2, &len);
        if (used && index_of(s, db_i64(row, 1), instance, &at, err) == 0 && at < len / 8 &&
            used_get(used, at) != 0) {
            return used_get(used, at);
        }
    }
    return rc < 0 ? rc : 0;
}

int64_t history_expected(struct store *s, const char *workflow, const char *instance)
{
    int64_t id = history_last_entry(s, workflow, instance, NULL);
    struct arena *a;
    struct entry e = {0};

    if (id <= 0) {
        return 0;
    }
    a = arena_new();
    if (entry_get(s, id, a, &e, NULL) != 0) {
        e.duration_ms = 0;
    }
    arena_free(a);
    return e.duration_ms;
}

/* --- replay --- */

struct replay {
    struct store *store;
    struct arena *arena;
    struct past_run *run;
    struct run_state state;
    VEC(const char *) warnings;
    VEC(struct promotion) promotions;
};

static const char *keep_payload(struct replay *p, const struct event *e)
{
    return e->payload_len ? arena_strndup(p->arena, e->payload, e->payload_len) : NULL;
}

static int on_event(const struct event *e, void *arg)
{
    struct replay *p = arg;

    if (state_apply(&p->state, e) < 0) {
        return 0; /* a duplicate, or of a newer wf */
    }
    if (e->type == EVENT_WARNING) {
        CLEANUP(cleanup_json) json_t *j = NULL;
        if (json_read(e->payload ? e->payload : "", e->payload_len, PAYLOAD_MAX, &j, NULL) == 0 &&
            json_string_value(json_object_get(j, "text"))) {
            *vec_push(&p->warnings) =
                arena_strdup(p->arena, json_string_value(json_object_get(j, "text")));
        }
        return 0;
    }
    if (e->instance >= p->run->n) {
        return 0;
    }
    struct past_step *s = &p->run->steps[e->instance];
    if (e->type == EVENT_STARTED) {
        s->started = keep_payload(p, e);
        s->ended = NULL;
    } else if (e->type == EVENT_HIT) {
        /* Not what it waited for, or failed with before. A document: it came from the shared cache, or evidence. */
        s->ended = event_hit_has_document(e) ? keep_payload(p, e) : NULL;
    } else if (e->type == EVENT_SUCCEEDED || e->type == EVENT_FAILED || e->type == EVENT_SKIPPED ||
               e->type == EVENT_CANCELLED || e->type == EVENT_WAITING) {
        s->ended = keep_payload(p, e);
    }
    return 0;
}

static int replay_events(struct replay *p, const char *id, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(store_db(p->store), SQL_EVENT_LIST, &row, err, "ti", id, (int64_t)0);

    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        size_t len;
        const void *records = db_blob(row, 1, &len);
        rc = event_decode_each(records, len, on_event, p, err);
    }
    return rc < 0 ? err_wrap(err, "run %s", id) : 0;
}

/* --- what came of the steps --- */

static void take_output(struct arena *a, const char *name, const json_t *o,
                        struct result_output *out)
{
    const char *digest = json_string_value(json_object_get(o, "digest"));
    const char *path = json_string_value(json_object_get(o, "path"));
    const char *kind = json_string_value(json_object_get(o, "kind"));

    out->name = arena_strdup(a, name);
    out->path = arena_strdup(a, path ? path : name);
    out->kind = kind && strcmp(kind, "folder") == 0 ? OBJECT_TREE : OBJECT_FILE;
    out->executable = json_is_true(json_object_get(o, "executable"));
    out->bytes = (uint64_t)json_integer_value(json_object_get(o, "bytes"));
    if (digest && text_starts(digest, "sha256:")) {
        (void)digest_parse(digest + 7, strlen(digest + 7), &out->digest);
    }
}

/* The result as its event tells it: for what was not stored, or is no longer kept. */
static const struct result *result_of_event(struct replay *p, const char *payload)
{
    CLEANUP(cleanup_json) json_t *j = NULL;
    struct result *r;
    json_t *outputs, *values, *item;
    const char *name;
    size_t k = 0;

    if (!payload || json_read(payload, strlen(payload), PAYLOAD_MAX, &j, NULL) < 0) {
        return NULL;
    }
    r = arena_alloc(p->arena, sizeof(*r));
    outputs = json_object_get(j, "outputs");
    values = json_object_get(j, "values");
    r->n_outputs = (uint32_t)json_object_size(outputs);
    r->outputs = arena_calloc(p->arena, json_object_size(outputs) + 1, sizeof(*r->outputs));
    json_object_foreach(outputs, name, item)
    {
        take_output(p->arena, name, item, &r->outputs[k++]);
    }
    r->n_values = (uint32_t)json_object_size(values);
    r->values = arena_calloc(p->arena, json_object_size(values) + 1, sizeof(*r->values));
    k = 0;
    json_object_foreach(values, name, item)
    {
        const char *text = json_string_value(item);
        r->values[k].name = arena_strdup(p->arena, name);
        r->values[k++].text = arena_strdup(p->arena, text ? text : "");
    }
    if (json_is_object(json_object_get(j, "metrics"))) {
        char *text =
            json_dumps(json_object_get(j, "metrics"), JSON_COMPACT | JSON_REAL_PRECISION(17));
        r->metrics = text ? arena_strdup(p->arena, text) : NULL;
        free(text);
    }
    item = json_object_get(j, "log");
    const char *log = json_string_value(json_object_get(item, "digest"));
    if (log && text_starts(log, "sha256:")) {
        r->has_log = digest_parse(log + 7, strlen(log + 7), &r->log);
        r->log_bytes = (uint64_t)json_integer_value(json_object_get(item, "bytes"));
    }
    r->duration_ms = json_integer_value(json_object_get(j, "duration_ms"));
    const char *run = json_string_value(json_object_get(j, "run"));
    r->run = arena_strdup(p->arena, run ? run : p->run->row.id);
    return r;
}

static void take_key(struct past_step *s)
{
    const char *at = s->started ? strstr(s->started, "\"key\":\"sha256:") : NULL;

    if (digest_is_zero(&s->key) && at && strlen(at) >= 14 + DIGEST_HEX) {
        (void)digest_parse(at + 14, DIGEST_HEX, &s->key);
    }
}

static void take_log_file(struct replay *p, struct past_step *s)
{
    CLEANUP(cleanup_json) json_t *j = NULL;
    const char *log;

    if (!s->ended || !strstr(s->ended, "\"log_file\"") ||
        json_read(s->ended, strlen(s->ended), PAYLOAD_MAX, &j, NULL) < 0) {
        return;
    }
    log = json_string_value(json_object_get(j, "log_file"));
    if (log) {
        CLEANUP(cleanup_free) char *path = fs_join(store_dir(p->store), log);
        s->log_file = arena_strdup(p->arena, path);
    }
}

/* Of the entries of some instances: those at hand, and the others from the store. */
static int find_entries(struct replay *p, const struct history_known *known, uint32_t from,
                        uint32_t count, struct entry *ret, struct err *err)
{
    CLEANUP(cleanup_free) int64_t *ids = xcalloc(count, sizeof(*ids));
    uint32_t unknown = 0;
    int rc = 0;

    for (uint32_t i = 0; i < count; i++) {
        ids[i] = p->run->steps[from + i].status.entry;
        const struct entry *e = known && ids[i] ? known->entry(from + i, known->arg) : NULL;
        bool same = e && e->id == ids[i];
        unknown += ids[i] && !same;
        ids[i] = same ? 0 : ids[i];
    }
    if (unknown > 0) {
        rc = entry_get_many(p->store, ids, count, p->arena, ret, err);
    }
    for (uint32_t i = 0; known && i < count && rc >= 0; i++) {
        if (ids[i] == 0 && p->run->steps[from + i].status.entry) {
            ret[i] = *known->entry(from + i, known->arg);
        }
    }
    return rc;
}

static void take_entry(struct replay *p, struct past_step *s, const struct entry *e)
{
    struct result *r;

    s->key = e->key;
    r = arena_alloc(p->arena, sizeof(*r));
    if (result_decode(e->data, e->data_len, p->arena, r, NULL) == 0) {
        s->result = r;
    }
}

int history_fill(struct store *store, struct past_run *run, uint32_t from, uint32_t count,
                 const struct history_known *known, struct arena *a, struct err *err)
{
    struct replay rest = {.store = store, .arena = a, .run = run}, *p = &rest;
    struct entry *entries = xcalloc(count, sizeof(*entries));
    int rc = find_entries(p, known, from, count, entries, err);

    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        struct past_step *s = &run->steps[from + i];
        s->duration_ms = s->status.ended_us > s->status.started_us
                             ? (s->status.ended_us - s->status.started_us) / 1000
                             : 0;
        if (entries[i].id) {
            take_entry(p, s, &entries[i]);
        }
        if (!s->result && s->status.state == INSTANCE_SUCCEEDED) {
            s->result = result_of_event(p, s->ended);
        }
        take_key(s);
        take_log_file(p, s);
    }
    free(entries);
    return rc < 0 ? rc : 0;
}

static void find_first_failure(struct past_run *run)
{
    run->first_failure = UINT32_MAX;
    for (uint32_t i = 0; i < run->n; i++) {
        const struct instance_status *st = &run->steps[i].status;
        if ((st->state == INSTANCE_FAILED || st->state == INSTANCE_LOST) && !st->tolerated &&
            (run->first_failure == UINT32_MAX ||
             st->ended_us < run->steps[run->first_failure].status.ended_us)) {
            run->first_failure = i;
        }
    }
}

/* --- loading --- */

static const char *copy(struct arena *a, const char *text)
{
    return text ? arena_strdup(a, text) : NULL;
}

static int load_row(struct replay *p, const char *id, int64_t *ret_plan, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct run_row *r = &p->run->row;
    int rc = store_db(p->store) ? db_query(store_db(p->store), SQL_RUN_GET, &row, err, "t", id) : 0;

    if (rc < 0 || (row && (rc = db_step(row, err)) < 0)) {
        return rc;
    }
    if (rc == 0) {
        return err_set(err, ERR_NOT_FOUND, 0, "there is no run '%s': `wf runs` lists them", id);
    }
    read_row(p->store, row, r);
    *ret_plan = db_i64(row, C_PLAN);
    const char **texts[] = {&r->id,      &r->workflow, &r->file, &r->status,
                            &r->trigger, &r->params,   &r->git,  &r->wf_version};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        *texts[i] = copy(p->arena, *texts[i]);
    }
    return 0;
}

static int load_names(struct replay *p, int64_t plan, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct names names;
    size_t len = 0;
    const void *blob;
    int rc = db_query(store_db(p->store), SQL_PLAN_GET, &row, err, "i", plan);

    if (rc < 0 || (rc = db_step(row, err)) < 0) {
        return rc;
    }
    blob = rc == 1 ? db_blob(row, 1, &len) : NULL;
    if (!names_decode(blob, len, &names)) {
        return err_set(err, ERR_CORRUPT, 0, "the names of the steps of run %s are not readable",
                       p->run->row.id);
    }
    p->run->n = names.n;
    p->run->steps = arena_calloc(p->arena, (size_t)names.n + 1, sizeof(*p->run->steps));
    char *text = arena_memdup(p->arena, names.text, names.len ? names.len : 1);
    size_t at = 0;
    for (uint32_t i = 0; i < names.n && at < names.len; i++) {
        struct past_step *s = &p->run->steps[i];
        unsigned kind = names.tags[i] & 0xf, executor = names.tags[i] >> 4 & 7;
        size_t bare = strcspn(text + at, "[");
        s->name = text + at;
        /* Branches of a step stand together: they share its name. */
        if (i > 0 && strlen(s[-1].step) == bare && strncmp(s[-1].step, s->name, bare) == 0) {
            s->step = s[-1].step;
        } else {
            s->step = s->name[bare] ? arena_strndup(p->arena, s->name, bare) : s->name;
        }
        s->kind = kind < KIND_COUNT ? step_kind_names[kind] : "command";
        s->executor = executor < EXECUTOR_COUNT ? executor_kind_names[executor] : "process";
        at += strlen(s->name) + 1;
    }
    return 0;
}

static int load_all(struct replay *p, const char *id, struct err *err)
{
    int64_t plan = 0;
    int rc = load_row(p, id, &plan, err);

    rc = rc < 0 ? rc : load_names(p, plan, err);
    if (rc < 0) {
        return rc;
    }
    state_init(&p->state, p->run->n);
    rc = replay_events(p, id, err);
    for (uint32_t i = 0; i < p->run->n; i++) {
        p->run->steps[i].status = p->state.instances[i];
    }
    return rc;
}

static int take_promotion(const struct promotion *promotion, void *arg)
{
    struct replay *p = arg;

    *vec_push(&p->promotions) = *promotion;
    return 0;
}

static int load_promotions(struct replay *p, struct err *err)
{
    struct past_run *run = p->run;
    int rc = promotions_of_run(p->store, run->row.workflow, run->row.id, p->arena, take_promotion,
                               p, err);

    if (p->promotions.len > 0) {
        run->promotions = arena_memdup(p->arena, p->promotions.items,
                                       p->promotions.len * sizeof(*p->promotions.items));
        run->n_promotions = p->promotions.len;
    }
    vec_done(&p->promotions);
    return rc;
}

int history_load_bare(struct store *s, const char *id, struct arena *a, struct past_run *ret,
                      struct err *err)
{
    struct past_run run = {0};
    struct replay p = {.store = s, .arena = a, .run = &run};
    int rc = load_all(&p, id, err);

    rc = rc < 0 ? rc : load_promotions(&p, err);
    if (rc >= 0) {
        find_first_failure(&run);
        memcpy(run.row.counts, p.state.counts, sizeof(run.row.counts));
        run.n_warnings = p.warnings.len;
        run.warnings = p.warnings.len ? arena_memdup(a, p.warnings.items,
                                                     p.warnings.len * sizeof(const char *))
                                      : NULL;
        *ret = run;
    }
    vec_done(&p.warnings);
    state_done(&p.state);
    return rc < 0 ? rc : 0;
}

int history_load(struct store *s, const char *id, struct arena *a, struct past_run *ret,
                 struct err *err)
{
    struct past_run run;
    int rc = history_load_bare(s, id, a, &run, err);

    for (uint32_t i = 0; rc >= 0 && i < run.n; i += SLICE) {
        rc = history_fill(s, &run, i, run.n - i < SLICE ? run.n - i : SLICE, NULL, a, err);
    }
    if (rc >= 0) {
        *ret = run;
    }
    return rc;
}
