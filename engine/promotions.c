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

static const char *json_of(const json_t *o, const char *key, struct arena *a)
{
    const json_t *v = json_object_get(o, key);

    if (!v || json_is_null(v)) {
        return NULL;
    }
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    const char *copy = text ? arena_strdup(a, text) : NULL;
    free(text);
    return copy;
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

static bool read_model(const json_t *o, struct arena *a, struct promoted_model *ret)
{
    const json_t *outputs = json_object_get(o, "outputs");
    struct result_output *list = arena_calloc(a, json_array_size(outputs) + 1, sizeof(*list));
    bool good = digest_member(o, "content", &ret->content);

    ret->name = text_of(o, "name", a);
    ret->slug = text_of(o, "slug", a);
    ret->matrix_json = json_of(o, "matrix", a);
    ret->metrics_json = json_of(o, "metrics", a);
    ret->metric = json_number_value(json_object_get(o, "metric"));
    ret->entry = json_integer_value(json_object_get(o, "entry"));
    ret->run = text_of(o, "run", a);
    ret->git_json = json_of(o, "git", a);
    ret->provenance_json = json_of(o, "provenance", a);
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
    int rc = json_read(text ? text : "", len, len, &list, err);

    if (rc < 0) {
        return err_wrap(err, "promotion %u of '%s'", p->number, p->step);
    }
    struct promoted_model *models = arena_calloc(a, json_array_size(list) + 1, sizeof(*models));
    p->n_models = (uint32_t)json_array_size(list);
    p->models = models;
    for (uint32_t n = 0; n < p->n_models; n++) {
        if (!read_model(json_array_get(list, n), a, &models[n])) {
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

int promotion_add(struct db *db, const struct promotion *p, uint32_t *ret_number, bool *ret_new,
                  struct err *err)
{
    CLEANUP(sb_done) struct str models = {0};
    struct db_row *row = NULL;
    struct jsonw w;
    int64_t newest = 0;
    bool same = false, later = false;

    int rc = db_query(db, SQL_PROMOTION_NEWEST_ANY, &row, err, "tt", p->workflow, p->step);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc == 1) {
        size_t len = 0;
        const void *content = db_blob(row, 6, &len);
        const char *reason = db_text(row, 5);
        newest = db_i64(row, 2);
        same = db_i64(row, 7) == 0 && len == sizeof(p->content) &&
               memcmp(content, &p->content, len) == 0;
        /* Ids sort by time: the choice of a run that started later stands. */
        later = strcmp(db_text(row, 4), p->run) > 0 && p->reason != PROMOTED_ROLLBACK &&
                strcmp(reason, promotion_reason_names[PROMOTED_ROLLBACK]) != 0;
    }
    db_row_done(&row);
    if (rc < 0) {
        return rc;
    }
    if (same) {
        *ret_number = (uint32_t)newest;
        *ret_new = false;
        return 0;
    }
    if (later) {
        return err_set(err, ERR_BUSY, 0,
                       "a run that started later has promoted models of '%s' meanwhile", p->step);
    }
    jw_init(&w, &models, false);
    jw_array(&w);
    for (uint32_t n = 0; n < p->n_models; n++) {
        promoted_model_json(&p->models[n], &w);
    }
    jw_end_array(&w);
    rc = (int)db_run(db, SQL_PROMOTION_INSERT, err, "ttiittbt", p->workflow, p->step, newest + 1,
                     p->at_ms, p->run, promotion_reason_names[p->reason], (const void *)&p->content,
                     sizeof(p->content), sb_text(&models));
    if (rc < 0) {
        return rc;
    }
    *ret_number = (uint32_t)newest + 1;
    *ret_new = true;
    return 0;
}

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

int promotion_barred(struct store *s, const char *workflow, const char *step,
                     const struct digest *model, bool *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    int rc = db_query(store_db(s), SQL_BARRED_GET, &row, err, "ttb", workflow, step,
                      (const void *)model, sizeof(*model));
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc >= 0) {
        *ret = rc == 1;
        rc = 0;
    }
    return rc;
}
