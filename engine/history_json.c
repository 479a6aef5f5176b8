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
#include "engine/promotions.h"

#include <stdlib.h>
#include <string.h>

enum { PART = 128, OUT_MAX = 48 << 10 };

static void put_value(struct jsonw *w, const char *json)
{
    if (json && *json) {
        jw_raw(w, json, strlen(json));
    } else {
        jw_null(w);
    }
}

static void put_slice(struct jsonw *w, const char *key, struct json_slice value)
{
    if (value.at) {
        jw_key(w, key);
        jw_raw(w, value.at, value.len);
    }
}

/* What the journal's records of a step's start and end say. */
enum started_member { STARTED_VERDICT, STARTED_NOTE, STARTED_WHY, STARTED_COUNT };
static const char *const started_members[STARTED_COUNT] = {"verdict", "note", "why"};
enum ended_member {
    ENDED_EXIT_CODE,
    ENDED_SIGNAL,
    ENDED_ERROR,
    ENDED_BECAUSE,
    ENDED_NOTE,
    ENDED_SHARED,
    ENDED_FETCHED,
    ENDED_COUNT
};
static const char *const ended_members[ENDED_COUNT] = {
    "exit_code", "signal", "error", "because", "note", "shared", "fetched_bytes"};

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

static void put_cache(struct jsonw *w, const struct past_step *s, const struct json_slice *started,
                      const struct json_slice *ended)
{
    bool reused = s->status.state == INSTANCE_CACHED;
    struct json_slice verdict = started[STARTED_VERDICT], why = started[STARTED_WHY];

    if (reused) {
        verdict = (struct json_slice){"\"hit\"", 5};
    }
    if (!verdict.at) {
        return;
    }
    JW_KEY(w, "cache");
    jw_object(w);
    put_slice(w, "verdict", verdict);
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
    if (reused && ended[ENDED_SHARED].at && ended[ENDED_SHARED].at[0] == 't') {
        jw_kv_bool(w, "shared", true);
        put_slice(w, "fetched_bytes", ended[ENDED_FETCHED]);
    }
    put_slice(w, "note", reused ? ended[ENDED_NOTE] : started[STARTED_NOTE]);
    put_slice(w, "why", !reused && why.at ? why : (struct json_slice){"[]", 2});
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

static void put_end(struct jsonw *w, const struct past_step *s, const struct json_slice *ended)
{
    if (s->status.state == INSTANCE_SUCCEEDED || s->status.state == INSTANCE_CACHED) {
        JW_KEY(w, "exit_code");
        jw_i64(w, 0);
    }
    /* The note of a reused one is the cache's. */
    for (int k = 0; k <= ENDED_NOTE && s->status.state != INSTANCE_CACHED; k++) {
        put_slice(w, ended_members[k], ended[k]);
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

static void put_step(struct jsonw *w, const struct past_step *s)
{
    struct json_slice started[STARTED_COUNT], ended[ENDED_COUNT];
    bool ran = s->status.started_us > 0 && s->status.state != INSTANCE_SKIPPED &&
               (s->status.attempts > 0 || s->status.state == INSTANCE_CACHED);

    json_members(s->started, started_members, STARTED_COUNT, started);
    json_members(s->ended, ended_members, ENDED_COUNT, ended);
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

static void put_promotion(struct jsonw *w, const struct promotion *p)
{
    jw_object(w);
    jw_kv_i64(w, "number", p->number);
    jw_kv_time(w, "at", p->at_ms);
    jw_kv_text(w, "reason", promotion_reason_names[p->reason]);
    jw_kv_text(w, "step", p->step);
    jw_key(w, "models");
    jw_array(w);
    for (uint32_t n = 0; n < p->n_models; n++) {
        jw_object(w);
        jw_kv_text(w, "name", p->models[n].name);
        jw_key(w, "metric");
        jw_real(w, p->models[n].metric);
        jw_kv_text(w, "slug", p->models[n].slug);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static void put_tail(struct jsonw *w, const struct past_run *r)
{
    jw_end_array(w);
    jw_key(w, "promotions");
    jw_array(w);
    for (size_t n = 0; n < r->n_promotions; n++) {
        put_promotion(w, &r->promotions[n]);
    }
    jw_end_array(w);
    jw_end_object(w);
}

void history_json(const struct past_run *r, struct jsonw *w)
{
    put_head(w, r);
    for (uint32_t i = 0; i < r->n; i++) {
        put_step(w, &r->steps[i]);
    }
    put_tail(w, r);
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
        put_tail(&w, &run);
        sb_putc(&out, '\n');
        new_file_add(f, out.data, out.len);
    }
    arena_free(a);
    return rc < 0 ? rc : 0;
}
