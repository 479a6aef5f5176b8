/* SPDX-License-Identifier: Apache-2.0 */
/* A run as `wf show --json` and `--summary` print it (docs: the reference of the command line). Streams: what history_write() has written it forgets. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "engine/history.h"
#include "engine/prior.h"

#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_MAX = 8 << 20, PART = 128, OUT_MAX = 48 << 10 };

static void put_value(struct jsonw *w, const char *json)
{
    if (json && *json) {
        jw_raw(w, json, strlen(json));
    } else {
        jw_null(w);
    }
}

static void put_json(struct jsonw *w, const char *key, const json_t *j)
{
    char *text = j ? json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;

    jw_key(w, key);
    put_value(w, text);
    free(text);
}

/* "train[model=mlp,lr=0.1]" -> {"model":"mlp","lr":"0.1"}; values outside the plain letters stand as JSON strings already. */
static void put_matrix(struct jsonw *w, const char *name)
{
    const char *at = strchr(name, '[');

    if (!at) {
        return;
    }
    JW_KEY(w, "matrix");
    jw_object(w);
    while (*at && *at != ']') {
        const char *key = ++at, *value;
        size_t key_len = strcspn(key, "="), len = 0;
        CLEANUP(cleanup_free) char *axis = xstrndup(key, key_len);
        value = key + key_len + (key[key_len] == '=');
        if (*value == '"') {
            for (len = 1; value[len] && value[len] != '"'; len++) {
                len += value[len] == '\\' && value[len + 1];
            }
            len += value[len] == '"';
        } else {
            len = strcspn(value, ",]");
        }
        jw_key(w, axis);
        if (*value == '"') {
            jw_raw(w, value, len);
        } else {
            jw_bytes(w, value, len);
        }
        at = value + len;
        if (*at != ',' && *at != ']') {
            break;
        }
    }
    jw_end_object(w);
}

static void put_cache(struct jsonw *w, const struct past_step *s, const json_t *started,
                      const json_t *ended)
{
    const char *verdict = json_string_value(json_object_get(started, "verdict"));
    json_t *why = json_object_get(started, "why"), *note = json_object_get(started, "note");

    if (s->status.state == INSTANCE_CACHED) {
        verdict = "hit";
        why = NULL;
        note = json_object_get(ended, "note");
    }
    if (!verdict) {
        return;
    }
    JW_KEY(w, "cache");
    jw_object(w);
    JW_KEY(w, "verdict");
    jw_text(w, verdict);
    if (!digest_is_zero(&s->key)) {
        JW_KEY(w, "key");
        jw_digest(w, &s->key);
    }
    if (s->result && s->result->run) {
        JW_KEY(w, "made_by");
        jw_text(w, s->result->run);
    }
    if (s->result && s->result->origin) {
        jw_kv_text(w, "made_in", s->result->origin);
    }
    if (s->status.state == INSTANCE_CACHED && json_is_true(json_object_get(ended, "shared"))) {
        jw_kv_bool(w, "shared", true);
        put_json(w, "fetched_bytes", json_object_get(ended, "fetched_bytes"));
    }
    if (note) {
        put_json(w, "note", note);
    }
    if (why) {
        put_json(w, "why", why);
    } else {
        JW_KEY(w, "why");
        put_value(w, "[]");
    }
    jw_end_object(w);
}

static void put_output(struct jsonw *w, const struct result_output *o)
{
    jw_key(w, o->name);
    jw_object(w);
    JW_KEY(w, "digest");
    jw_digest(w, &o->digest);
    JW_KEY(w, "bytes");
    jw_i64(w, (int64_t)o->bytes);
    JW_KEY(w, "path");
    jw_text(w, o->path);
    JW_KEY(w, "kind");
    jw_text(w, o->kind == OBJECT_TREE ? "folder" : "file");
    jw_end_object(w);
}

static void put_result(struct jsonw *w, const struct result *r)
{
    JW_KEY(w, "outputs");
    jw_object(w);
    for (uint32_t k = 0; k < r->n_outputs; k++) {
        put_output(w, &r->outputs[k]);
    }
    jw_end_object(w);
    JW_KEY(w, "values");
    jw_object(w);
    for (uint32_t k = 0; k < r->n_values; k++) {
        jw_kv_text(w, r->values[k].name, r->values[k].text);
    }
    jw_end_object(w);
    JW_KEY(w, "metrics");
    put_value(w, r->metrics ? r->metrics : "{}");
    if (r->source) {
        JW_KEY(w, "source");
        put_value(w, r->source);
    }
}

static void put_end(struct jsonw *w, const struct past_step *s, const json_t *ended)
{
    static const char *const members[] = {"exit_code", "signal", "error", "because", "note"};

    if (s->status.state == INSTANCE_SUCCEEDED || s->status.state == INSTANCE_CACHED) {
        JW_KEY(w, "exit_code");
        jw_i64(w, 0);
    }
    bool reused = s->status.state == INSTANCE_CACHED; /* its note is the cache's */
    for (size_t k = 0; ended && !reused && k < ARRAY_LEN(members); k++) {
        const json_t *j = json_object_get(ended, members[k]);
        if (j) {
            put_json(w, members[k], j);
        }
    }
    if (s->status.tolerated) {
        JW_KEY(w, "tolerated");
        jw_bool(w, true);
    }
    if (s->log_file) {
        JW_KEY(w, "log_file");
        jw_text(w, s->log_file);
    }
}

static json_t *read_payload(const char *text)
{
    json_t *j = NULL;

    return text && json_read(text, strlen(text), PAYLOAD_MAX, &j, NULL) == 0 ? j : NULL;
}

static void put_step(struct jsonw *w, const struct past_step *s)
{
    CLEANUP(cleanup_json) json_t *started = read_payload(s->started);
    CLEANUP(cleanup_json) json_t *ended = read_payload(s->ended);
    bool ran = s->status.started_us > 0 && s->status.state != INSTANCE_SKIPPED &&
               (s->status.attempts > 0 || s->status.state == INSTANCE_CACHED);

    jw_object(w);
    JW_KEY(w, "name");
    jw_text(w, s->name);
    JW_KEY(w, "step");
    jw_text(w, s->step);
    JW_KEY(w, "kind");
    jw_text(w, s->kind);
    put_matrix(w, s->name);
    JW_KEY(w, "status");
    jw_text(w, instance_state_names[s->status.state]);
    JW_KEY(w, "attempts");
    jw_i64(w, s->status.attempts);
    JW_KEY(w, "started_at");
    jw_time(w, ran ? s->status.started_us / 1000 : 0);
    JW_KEY(w, "duration_seconds");
    jw_seconds(w, s->duration_ms);
    JW_KEY(w, "executor");
    jw_text(w, s->executor);
    put_end(w, s, ended);
    put_cache(w, s, started, ended);
    if (s->result) {
        put_result(w, s->result);
    }
    jw_end_object(w);
}

static void put_counts(struct jsonw *w, const struct run_row *r)
{
    jw_key(w, "counts");
    jw_object(w);
    for (int s = INSTANCE_SUCCEEDED; s < INSTANCE_STATE_COUNT; s++) {
        jw_kv_i64(w, instance_state_names[s], r->counts[s]);
    }
    jw_end_object(w);
}

static void put_head(struct jsonw *w, const struct past_run *r)
{
    jw_object(w);
    jw_kv_text(w, "run", r->row.id);
    jw_kv_text(w, "workflow", r->row.workflow);
    jw_kv_text(w, "file", r->row.file);
    jw_kv_text(w, "status", r->row.status);
    jw_kv_text(w, "trigger", r->row.trigger);
    jw_kv_time(w, "started_at", r->row.started_ms);
    jw_kv_time(w, "ended_at", r->row.ended_ms);
    jw_key(w, "git");
    put_value(w, r->row.git);
    jw_key(w, "params");
    put_value(w, r->row.params);
    put_counts(w, &r->row);
    jw_key(w, "saved_seconds");
    jw_seconds(w, r->row.saved_ms);
    if (r->first_failure != UINT32_MAX) {
        jw_kv_text(w, "first_failure", r->steps[r->first_failure].name);
    }
    jw_key(w, "warnings");
    jw_array(w);
    for (size_t k = 0; k < r->n_warnings; k++) {
        jw_text(w, r->warnings[k]);
    }
    jw_end_array(w);
    jw_key(w, "steps");
    jw_array(w);
}

static void put_tail(struct jsonw *w)
{
    jw_end_array(w);
    jw_end_object(w);
}

void history_json(const struct past_run *r, struct jsonw *w)
{
    put_head(w, r);
    for (uint32_t i = 0; i < r->n; i++) {
        put_step(w, &r->steps[i]);
    }
    put_tail(w);
}

/* --- in parts --- */

/* All but the last byte, at which the JSON writer looks. */
static void pass_on(struct str *out, struct new_file *f)
{
    char last = out->data[out->len - 1];

    new_file_add(f, out->data, out->len - 1);
    sb_clear(out);
    sb_putc(out, last);
}

static int write_part(struct store *s, struct past_run *run, uint32_t from, uint32_t count,
                      const struct history_known *known, struct jsonw *w, struct new_file *f,
                      struct err *err)
{
    struct arena *a = arena_new();
    int rc = history_fill(s, run, from, count, known, a, err);

    for (uint32_t i = from; i < from + count && rc >= 0; i++) {
        put_step(w, &run->steps[i]);
        run->steps[i].result = NULL; /* they live in the arena of this part */
        run->steps[i].log_file = NULL;
        if (w->out->len > OUT_MAX) {
            pass_on(w->out, f);
        }
    }
    arena_free(a);
    return rc;
}

int history_write(struct store *s, const char *id, const struct history_known *known,
                  struct new_file *f, struct err *err)
{
    CLEANUP(sb_done) struct str out = {0};
    struct arena *a = arena_new();
    struct past_run run;
    struct jsonw w;
    int rc = history_load_bare(s, id, a, &run, err);

    if (rc >= 0) {
        jw_init(&w, &out, false);
        put_head(&w, &run);
        for (uint32_t i = 0; i < run.n && rc >= 0; i += PART) {
            rc = write_part(s, &run, i, run.n - i < PART ? run.n - i : PART, known, &w, f, err);
        }
        put_tail(&w);
        sb_putc(&out, '\n');
        new_file_add(f, out.data, out.len);
    }
    arena_free(a);
    return rc < 0 ? rc : 0;
}
