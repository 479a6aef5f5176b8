/* SPDX-License-Identifier: Apache-2.0 */
/* The tables `promotions` and `barred`. Models are kept as JSON: {"name","slug","matrix","metrics","metric","content","entry","run","git","provenance","outputs":[{"name","path","kind","executable","digest","bytes","object_bytes"}]}. */
#include "engine/promotions.h"

#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/statements.h"
#include "cache/store.h"
#include "workflows/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const promotion_reason_names[PROMOTION_REASON_COUNT] = {
    [PROMOTED_EARLY] = "early", [PROMOTED_FINAL] = "final", [PROMOTED_ROLLBACK] = "rollback"};

/* --- models as JSON --- */

static void write_output(const struct result_output *o, struct jsonw *w)
{
    jw_object(w);
    jw_kv_text(w, "name", o->name);
    jw_kv_text(w, "path", o->path);
    jw_kv_text(w, "kind", o->kind == OBJECT_TREE ? "folder" : "file");
    jw_kv_bool(w, "executable", o->executable);
    jw_key(w, "digest");
    jw_digest(w, &o->digest);
    jw_kv_i64(w, "bytes", (int64_t)o->bytes);
    jw_kv_i64(w, "object_bytes", (int64_t)o->object_bytes);
    jw_end_object(w);
}

static void raw_or_null(struct jsonw *w, const char *key, const char *json)
{
    jw_key(w, key);
    if (json && *json) {
        jw_raw(w, json, strlen(json));
    } else {
        jw_null(w);
    }
}

void promoted_model_json(const struct promoted_model *m, struct jsonw *w)
{
    jw_object(w);
    jw_kv_text(w, "name", m->name);
    jw_kv_text(w, "slug", m->slug);
    raw_or_null(w, "matrix", m->matrix_json);
    raw_or_null(w, "metrics", m->metrics_json);
    jw_key(w, "metric");
    jw_real(w, m->metric);
    jw_key(w, "content");
    jw_digest(w, &m->content);
    jw_kv_i64(w, "entry", m->entry);
    jw_kv_text(w, "run", m->run);
    raw_or_null(w, "git", m->git_json);
    raw_or_null(w, "provenance", m->provenance_json);
    jw_key(w, "outputs");
    jw_array(w);
    for (uint32_t n = 0; n < m->n_outputs; n++) {
        write_output(&m->outputs[n], w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static const char *text_of(const json_t *o, const char *key, struct arena *a)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? arena_strdup(a, text) : NULL;
}

/* Its numbers are as they were written. */
static const char *json_of(const struct value *o, const char *key, struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    const struct value *v = value_member(o, key, strlen(key));
    struct jsonw w;

    if (!v || v->type == VALUE_NULL) {
        return NULL;
    }
    jw_init(&w, &out, false);
    value_json(v, &w);
    return arena_strdup(a, sb_text(&out));
}

static bool digest_member(const json_t *o, const char *key, struct digest *ret)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text && strncmp(text, "sha256:", 7) == 0 &&
           digest_parse(text + 7, strlen(text + 7), ret);
}

static bool read_output(const json_t *o, struct arena *a, struct result_output *ret)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));

    ret->name = text_of(o, "name", a);
    ret->path = text_of(o, "path", a);
    ret->kind = kind && strcmp(kind, "folder") == 0 ? OBJECT_TREE : OBJECT_FILE;
    ret->executable = json_is_true(json_object_get(o, "executable"));
    ret->bytes = (uint64_t)json_integer_value(json_object_get(o, "bytes"));
    ret->object_bytes = (uint64_t)json_integer_value(json_object_get(o, "object_bytes"));
    return ret->name && ret->path && digest_member(o, "digest", &ret->digest);
}

static bool read_model(const json_t *o, const struct value *v, struct arena *a,
                       struct promoted_model *ret)
{
    const json_t *outputs = json_object_get(o, "outputs");
    struct result_output *list = arena_calloc(a, json_array_size(outputs) + 1, sizeof(*list));
    bool good = digest_member(o, "content", &ret->content);

    ret->name = text_of(o, "name", a);
    ret->slug = text_of(o, "slug", a);
    ret->matrix_json = json_of(v, "matrix", a);
    ret->metrics_json = json_of(v, "metrics", a);
    ret->metric = json_number_value(json_object_get(o, "metric"));
    ret->entry = json_integer_value(json_object_get(o, "entry"));
    ret->run = text_of(o, "run", a);
    ret->git_json = json_of(v, "git", a);
    ret->provenance_json = json_of(v, "provenance", a);
    ret->n_outputs = (uint32_t)json_array_size(outputs);
    ret->outputs = list;
    for (uint32_t n = 0; good && n < ret->n_outputs; n++) {
        good = read_output(json_array_get(outputs, n), a, &list[n]);
    }
    return good && ret->name && ret->slug;
}

static int read_models(const char *text, struct arena *a, struct promotion *p, struct err *err)
{
    CLEANUP(cleanup_json) json_t *list = NULL;
    size_t len = text ? strlen(text) : 0;
    struct value values;
    int rc = json_read(text ? text : "", len, len, &list, err);

    rc = rc < 0 ? rc : value_parse_json(text, len, a, &values, err);
    if (rc < 0) {
        return err_wrap(err, "promotion %u of '%s'", p->number, p->step);
    }
    struct promoted_model *models = arena_calloc(a, json_array_size(list) + 1, sizeof(*models));
    p->n_models = (uint32_t)json_array_size(list);
    p->models = models;
    for (uint32_t n = 0; n < p->n_models; n++) {
        if (n >= values.count ||
            !read_model(json_array_get(list, n), &values.items[n], a, &models[n])) {
            return err_set(err, ERR_CORRUPT, 0,
                           "promotion %u of '%s' cannot be read from the store", p->number,
                           p->step);
        }
    }
    return 0;
}

/* --- rows --- */

static int read_row(struct db_row *row, struct arena *a, struct promotion *ret, struct err *err)
{
    const char *reason = db_text(row, 5);
    size_t len = 0;
    const void *content = db_blob(row, 6, &len);

    *ret = (struct promotion){.workflow = arena_strdup(a, db_text(row, 0)),
                              .step = arena_strdup(a, db_text(row, 1)),
                              .number = (uint32_t)db_i64(row, 2),
                              .at_ms = db_i64(row, 3),
                              .run = arena_strdup(a, db_text(row, 4)),
                              .withdrawn = db_i64(row, 7) != 0};
    for (int k = 0; k < PROMOTION_REASON_COUNT; k++) {
        if (reason && strcmp(reason, promotion_reason_names[k]) == 0) {
            ret->reason = (enum promotion_reason)k;
        }
    }
    if (len == sizeof(ret->content)) {
        memcpy(&ret->content, content, len);
    }
    return read_models(db_text(row, 8), a, ret, err);
}

/* 0: one row; 1: none. */
static int first_row(struct db_row *row, struct arena *a, struct promotion *ret, struct err *err)
{
    int rc = db_step(row, err);

    return rc < 0 ? rc : rc == 0 ? 1 : read_row(row, a, ret, err);
}

/* --- writing --- */

struct state {
    bool there, withdrawn, rollback;
    char run[64];
};

static int read_state(struct db *db, const char *workflow, const char *step, uint32_t number,
                      struct state *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct state s = {0};

    int rc = db_query(db, SQL_PROMOTION_STATE, &row, err, "tti", workflow, step, (int64_t)number);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc == 1) {
        s.there = true;
        s.withdrawn = db_i64(row, 0) != 0;
        s.rollback = text_eq(db_text(row, 1), promotion_reason_names[PROMOTED_ROLLBACK]);
        (void)snprintf(s.run, sizeof(s.run), "%s", db_text(row, 2));
    }
    if (rc >= 0) {
        *ret = s;
    }
    return rc < 0 ? rc : 0;
}

/* The newest that stands: its number (0: none) and content. */
static int read_newest(struct db *db, const char *workflow, const char *step, uint32_t *ret_number,
                       struct digest *ret_content, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    size_t len = 0;

    *ret_number = 0;
    int rc = db_query(db, SQL_PROMOTION_NEWEST, &row, err, "tt", workflow, step);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc == 1) {
        const void *content = db_blob(row, 6, &len);
        *ret_number = (uint32_t)db_i64(row, 2);
        *ret_content = (struct digest){0};
        if (len == sizeof(*ret_content)) {
            memcpy(ret_content, content, len);
        }
    }
    return rc < 0 ? rc : 0;
}

static int insert(struct db *db, const struct promotion *p, uint32_t *ret_number, struct err *err)
{
    CLEANUP(sb_done) struct str models = {0};
    struct db_row *row = NULL;
    struct jsonw w;
    int64_t last = 0;

    int rc = db_query(db, SQL_PROMOTION_LAST, &row, err, "tt", p->workflow, p->step);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc == 1) {
        last = db_i64(row, 0);
    }
    db_row_done(&row);
    if (rc < 0) {
        return rc;
    }
    jw_init(&w, &models, false);
    jw_array(&w);
    for (uint32_t n = 0; n < p->n_models; n++) {
        promoted_model_json(&p->models[n], &w);
    }
    jw_end_array(&w);
    rc = (int)db_run(db, SQL_PROMOTION_INSERT, err, "ttiittbt", p->workflow, p->step, last + 1,
                     p->at_ms, p->run, promotion_reason_names[p->reason], (const void *)&p->content,
                     sizeof(p->content), sb_text(&models));
    if (rc < 0) {
        return rc;
    }
    *ret_number = (uint32_t)last + 1;
    return 0;
}

/* 1: a model of it is barred. */
static int any_barred(struct db *db, const struct promotion *p, struct err *err)
{
    int rc = 0;

    for (uint32_t n = 0; n < p->n_models && rc == 0; n++) {
        CLEANUP(db_row_done) struct db_row *row = NULL;
        rc = db_query(db, SQL_BARRED_GET, &row, err, "ttb", p->workflow, p->step,
                      (const void *)&p->models[n].content, sizeof(struct digest));
        rc = rc < 0 ? rc : db_step(row, err);
    }
    return rc;
}

int promotion_add(struct db *db, const struct promotion *p, uint32_t after, uint32_t *ret_number,
                  enum promotion_outcome *ret, struct err *err)
{
    struct digest content;
    struct state state;
    uint32_t newest;
    int rc = read_newest(db, p->workflow, p->step, &newest, &content, err);

    rc = rc < 0 ? rc : read_state(db, p->workflow, p->step, newest, &state, err);
    if (rc < 0) {
        return rc;
    }
    if (newest > 0 && digest_eq(&content, &p->content)) {
        *ret_number = newest;
        *ret = PROMOTION_SAME;
        return 0;
    }
    /* Ids sort by time: the choice of a run that started later stands, unless a person took it away. */
    if (newest > 0 && !state.rollback && strcmp(state.run, p->run) > 0) {
        return err_set(err, ERR_BUSY, 0,
                       "run %s, which started later, has promoted models of '%s' meanwhile: its "
                       "choice stays",
                       state.run, p->step);
    }
    rc = newest != after ? 1 : any_barred(db, p, err);
    if (rc == 0) {
        rc = insert(db, p, ret_number, err);
        *ret = rc == 0 ? PROMOTION_NEW : *ret;
    } else if (rc == 1) {
        *ret = PROMOTION_STALE;
        rc = 0;
    }
    return rc;
}

static bool has_content(const struct promotion *p, const struct digest *content)
{
    for (uint32_t n = 0; n < p->n_models; n++) {
        if (digest_eq(&p->models[n].content, content)) {
            return true;
        }
    }
    return false;
}

static int bar_models(struct db *db, const struct promotion *from, const struct promotion *to,
                      struct err *err)
{
    int64_t n = 0;

    for (uint32_t k = 0; k < from->n_models && n >= 0; k++) {
        const struct promoted_model *m = &from->models[k];
        if (!has_content(to, &m->content)) {
            n = db_run(db, SQL_BARRED_PUT, err, "ttbti", from->workflow, from->step,
                       (const void *)&m->content, sizeof(m->content), m->name,
                       (int64_t)from->number);
        }
    }
    for (uint32_t k = 0; k < to->n_models && n >= 0; k++) {
        n = db_run(db, SQL_BARRED_DROP, err, "ttb", to->workflow, to->step,
                   (const void *)&to->models[k].content, sizeof(struct digest));
    }
    return n < 0 ? (int)n : 0;
}

int promotion_rollback(struct db *db, const struct promotion *from, const struct promotion *to,
                       int64_t at_ms, uint32_t *ret_number, struct err *err)
{
    struct promotion p = *to;
    struct digest content;
    uint32_t newest;
    int rc = read_newest(db, from->workflow, from->step, &newest, &content, err);

    if (rc == 0 && newest != from->number) {
        rc = err_set(err, ERR_BUSY, 0,
                     "models of '%s' were promoted just now: promotion %u has taken the place of "
                     "%u; look at `wf models` and roll back again",
                     from->step, newest, from->number);
    }
    rc = rc < 0 ? rc : bar_models(db, from, to, err);
    if (rc == 0) {
        rc = (int)db_run(db, SQL_PROMOTION_WITHDRAW, err, "tti", from->workflow, from->step,
                         (int64_t)from->number);
    }
    if (rc < 0) {
        return rc;
    }
    p.at_ms = at_ms;
    p.reason = PROMOTED_ROLLBACK;
    p.withdrawn = false;
    return insert(db, &p, ret_number, err);
}

int promotion_stands(struct db *db, const char *workflow, const char *step, uint32_t number,
                     bool *ret, struct err *err)
{
    struct state state;
    int rc = read_state(db, workflow, step, number, &state, err);

    if (rc == 0) {
        *ret = state.there && !state.withdrawn;
    }
    return rc;
}

int promotion_allow(struct db *db, const char *workflow, const char *step, const char *name,
                    uint32_t *ret_count, struct err *err)
{
    int64_t n = db_run(db, SQL_BARRED_FORGET, err, "ttt", workflow, step, name);

    if (n < 0) {
        return (int)n;
    }
    *ret_count = (uint32_t)n;
    return 0;
}

/* --- reading --- */

int promotion_newest(struct store *s, const char *workflow, const char *step, struct arena *a,
                     struct promotion *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!store_db(s)) {
        return 1;
    }
    int rc = db_query(store_db(s), SQL_PROMOTION_NEWEST, &row, err, "tt", workflow, step);
    return rc < 0 ? rc : first_row(row, a, ret, err);
}

int promotion_find(struct store *s, const char *workflow, const char *step, uint32_t number,
                   struct arena *a, struct promotion *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!store_db(s)) {
        return 1;
    }
    int rc =
        db_query(store_db(s), SQL_PROMOTION_GET, &row, err, "tti", workflow, step, (int64_t)number);
    return rc < 0 ? rc : first_row(row, a, ret, err);
}

static int each(struct db_row *row, struct arena *a,
                int (*fn)(const struct promotion *p, void *arg), void *arg, struct err *err)
{
    struct promotion p;
    int rc;

    while ((rc = db_step(row, err)) > 0) {
        rc = read_row(row, a, &p, err);
        rc = rc < 0 ? rc : fn(&p, arg);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

int promotions_each(struct store *s, const char *workflow, const char *step, struct arena *a,
                    int (*fn)(const struct promotion *p, void *arg), void *arg, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!store_db(s)) {
        return 0;
    }
    int rc = db_query(store_db(s), SQL_PROMOTION_LIST, &row, err, "tt", workflow, step);
    return rc < 0 ? rc : each(row, a, fn, arg, err);
}

int promotions_of_run(struct store *s, const char *workflow, const char *run, struct arena *a,
                      int (*fn)(const struct promotion *p, void *arg), void *arg, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!store_db(s)) {
        return 0;
    }
    int rc = db_query(store_db(s), SQL_PROMOTION_OF_RUN, &row, err, "tt", workflow, run);
    return rc < 0 ? rc : each(row, a, fn, arg, err);
}

int promotions_before(struct store *s, const char *workflow, const char *step, uint32_t number,
                      struct arena *a, int (*fn)(const struct promotion *p, void *arg), void *arg,
                      struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!store_db(s)) {
        return 0;
    }
    int rc = db_query(store_db(s), SQL_PROMOTION_BEFORE, &row, err, "tti", workflow, step,
                      (int64_t)number);
    return rc < 0 ? rc : each(row, a, fn, arg, err);
}

int promotion_steps_each(struct store *s,
                         int (*fn)(const char *workflow, const char *step, void *arg), void *arg,
                         struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!store_db(s)) {
        return 0;
    }
    int rc = db_query(store_db(s), SQL_PROMOTION_STEPS, &row, err, "");
    while (rc >= 0 && (rc = db_step(row, err)) > 0) {
        rc = fn(db_text(row, 0), db_text(row, 1), arg);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

int barred_each(struct store *s, const char *workflow, const char *step,
                int (*fn)(const struct barred_model *b, void *arg), void *arg, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!store_db(s)) {
        return 0;
    }
    int rc = db_query(store_db(s), SQL_BARRED_LIST, &row, err, "tt", workflow, step);
    while (rc >= 0 && (rc = db_step(row, err)) > 0) {
        size_t len = 0;
        const void *model = db_blob(row, 2, &len);
        struct barred_model b = {.workflow = db_text(row, 0),
                                 .step = db_text(row, 1),
                                 .name = db_text(row, 3),
                                 .number = (uint32_t)db_i64(row, 4)};
        if (len == sizeof(b.model)) {
            memcpy(&b.model, model, len);
        }
        rc = fn(&b, arg);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}
