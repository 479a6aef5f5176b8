/* SPDX-License-Identifier: Apache-2.0 */
/* A service's specification as JSON and back. Members that say nothing (0, false, NULL, empty) are left out. */
#include "serve/spec.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { SPEC_MAX = 64 << 20 };

/* --- writing --- */

static void put_text(struct jsonw *w, const char *key, const char *text)
{
    if (text) {
        jw_kv_text(w, key, text);
    }
}

static void put_i64(struct jsonw *w, const char *key, int64_t v)
{
    if (v != 0) {
        jw_kv_i64(w, key, v);
    }
}

static void put_real(struct jsonw *w, const char *key, double v)
{
    if (v != 0 && isfinite(v)) {
        jw_key(w, key);
        jw_real(w, v);
    }
}

static void put_bool(struct jsonw *w, const char *key, bool v)
{
    if (v) {
        jw_kv_bool(w, key, true);
    }
}

static void put_texts(struct jsonw *w, const char *key, const char *const *texts)
{
    if (!texts) {
        return;
    }
    jw_key(w, key);
    jw_array(w);
    for (; *texts; texts++) {
        jw_text(w, *texts);
    }
    jw_end_array(w);
}

static void put_program(struct jsonw *w, const struct spec_program *p)
{
    jw_key(w, "program");
    jw_object(w);
    put_texts(w, "argv", p->argv);
    put_text(w, "script", p->script);
    put_texts(w, "env", p->env);
    put_text(w, "workdir", p->workdir);
    put_text(w, "image", p->image);
    put_i64(w, "network", p->network);
    put_i64(w, "cpu", p->resources.cpu_milli);
    put_i64(w, "memory", (int64_t)p->resources.memory);
    put_i64(w, "gpu", p->resources.gpu);
    if (p->n_secrets) {
        jw_key(w, "secrets");
        jw_array(w);
        for (uint32_t i = 0; i < p->n_secrets; i++) {
            jw_object(w);
            jw_kv_text(w, "name", p->secrets[i].name);
            put_text(w, "env", p->secrets[i].env);
            put_text(w, "file", p->secrets[i].file);
            jw_end_object(w);
        }
        jw_end_array(w);
    }
    if (p->n_mounts) {
        jw_key(w, "mounts");
        jw_array(w);
        for (uint32_t i = 0; i < p->n_mounts; i++) {
            jw_object(w);
            jw_kv_text(w, "host", p->mounts[i].host);
            jw_kv_text(w, "inner", p->mounts[i].inner);
            jw_end_object(w);
        }
        jw_end_array(w);
    }
    jw_end_object(w);
}

static void put_models(struct jsonw *w, const struct service_spec *s)
{
    jw_key(w, "models");
    jw_array(w);
    for (uint32_t i = 0; i < s->n_models; i++) {
        const struct spec_model *m = &s->models[i];
        jw_object(w);
        jw_kv_text(w, "name", m->name);
        jw_kv_text(w, "slug", m->slug);
        put_real(w, "metric", m->metric);
        jw_key(w, "content");
        jw_digest(w, &m->content);
        put_program(w, &m->program);
        put_text(w, "ready_script", m->ready_script);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void put_retry(struct jsonw *w, const struct retry *r)
{
    jw_key(w, "retry");
    jw_object(w);
    put_i64(w, "limit", r->limit);
    put_i64(w, "delay_ms", r->delay_ms);
    put_i64(w, "max_delay_ms", r->max_delay_ms);
    put_real(w, "backoff", r->backoff);
    jw_end_object(w);
}

static void put_limits(struct jsonw *w, const struct limit_options *l)
{
    jw_key(w, "limits");
    jw_object(w);
    put_i64(w, "concurrent", l->concurrent);
    put_i64(w, "queue", l->queue);
    put_real(w, "rate_anonymous", l->rate_anonymous);
    put_real(w, "rate_authenticated", l->rate_authenticated);
    jw_end_object(w);
}

static void put_serve(struct jsonw *w, const struct service_spec *s)
{
    put_models(w, s);
    put_i64(w, "replicas", s->replicas);
    put_text(w, "ready_path", s->ready_path);
    put_i64(w, "ready_timeout_ms", s->ready_timeout_ms);
    put_i64(w, "grace_ms", s->grace_ms);
    put_retry(w, &s->retry);
    put_i64(w, "address", s->address);
    put_i64(w, "fixed_port", s->fixed_port);
    put_i64(w, "balance", s->balance);
    put_text(w, "shard_header", s->shard_header);
    put_bool(w, "shard_uri", s->shard_uri);
    put_real(w, "canary_share", s->canary_share);
    put_real(w, "canary_max_errors", s->canary_max_errors);
    put_i64(w, "canary_for_ms", s->canary_for_ms);
    put_bool(w, "scales", s->scales);
    put_i64(w, "scale_min", s->scale_min);
    put_i64(w, "scale_max", s->scale_max);
    put_i64(w, "scale_target", s->scale_target);
    put_bool(w, "first_stop", s->first_stop);
}

static void put_aggregate(struct jsonw *w, const struct service_spec *s)
{
    put_text(w, "over", s->over);
    put_i64(w, "method", s->method);
    put_texts(w, "command", s->command);
    put_texts(w, "command_env", s->command_env);
    put_text(w, "command_script", s->command_script);
    put_i64(w, "quorum", s->quorum);
    put_i64(w, "split", s->split);
}

void spec_encode(const struct service_spec *s, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, false);
    jw_object(&w);
    put_bool(&w, "aggregate", s->aggregate);
    jw_kv_text(&w, "workflow", s->workflow);
    jw_kv_text(&w, "step", s->step);
    put_text(&w, "run", s->run);
    put_i64(&w, "promotion", s->promotion);
    put_text(&w, "select", s->select);
    put_text(&w, "host", s->listen.host);
    put_i64(&w, "port", s->listen.port);
    put_limits(&w, &s->limits);
    put_text(&w, "tokens_file", s->tokens_file);
    put_bool(&w, "keep", s->keep);
    if (s->aggregate) {
        put_aggregate(&w, s);
    } else {
        put_serve(&w, s);
    }
    jw_end_object(&w);
}

struct digest spec_content(const struct service_spec *s)
{
    CLEANUP(sb_done) struct str text = {0};
    struct service_spec plain = *s;
    struct digest d;
    plain.run = NULL;
    plain.promotion = 0;
    spec_encode(&plain, &text);
    digest_of(text.data, text.len, &d);
    return d;
}

/* --- reading --- */

struct reader {
    struct arena *a;
    const char *bad; /* the first member that is none of ours; NULL: all were */
};

static void refuse(struct reader *r, const char *key)
{
    if (!r->bad) {
        r->bad = key;
    }
}

static const char *get_text(struct reader *r, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!v) {
        return NULL;
    }
    if (!json_is_string(v)) {
        refuse(r, key);
        return NULL;
    }
    return arena_strndup(r->a, json_string_value(v), json_string_length(v));
}

static const char *need_text(struct reader *r, const json_t *o, const char *key)
{
    const char *text = get_text(r, o, key);
    if (!text) {
        refuse(r, key);
    }
    return text ? text : "";
}

static int64_t get_int(struct reader *r, const json_t *o, const char *key, int64_t max)
{
    const json_t *v = json_object_get(o, key);
    if (!v) {
        return 0;
    }
    int64_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || n > max) {
        refuse(r, key);
        return 0;
    }
    return n;
}

static uint32_t get_u32(struct reader *r, const json_t *o, const char *key)
{
    return (uint32_t)get_int(r, o, key, UINT32_MAX);
}

static double get_real(struct reader *r, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (v && !json_is_number(v)) {
        refuse(r, key);
    }
    return json_number_value(v);
}

static bool get_bool(struct reader *r, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (v && !json_is_boolean(v)) {
        refuse(r, key);
    }
    return json_is_true(v);
}

static const char *const *get_texts(struct reader *r, const json_t *o, const char *key)
{
    const json_t *list = json_object_get(o, key);
    if (!list) {
        return NULL;
    }
    if (!json_is_array(list)) {
        refuse(r, key);
        return NULL;
    }
    const char **texts = arena_calloc(r->a, json_array_size(list) + 1, sizeof(*texts));
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (json_is_string(v)) {
            texts[i] = arena_strndup(r->a, json_string_value(v), json_string_length(v));
        } else {
            refuse(r, key);
            texts[i] = "";
        }
    }
    return texts;
}

/* An array of objects; NULL and 0 when it is absent. */
static const json_t *get_list(struct reader *r, const json_t *o, const char *key, uint32_t *ret_n)
{
    const json_t *list = json_object_get(o, key);
    if (list && (!json_is_array(list) || json_array_size(list) > UINT32_MAX)) {
        refuse(r, key);
        list = NULL;
    }
    *ret_n = (uint32_t)json_array_size(list);
    return list;
}

static void get_digest(struct reader *r, const json_t *o, const char *key, struct digest *ret)
{
    static const char prefix[] = "sha256:";
    const char *text = json_string_value(json_object_get(o, key));
    size_t skip = sizeof(prefix) - 1;
    if (!text || strncmp(text, prefix, skip) != 0 ||
        !digest_parse(text + skip, strlen(text) - skip, ret)) {
        refuse(r, key);
    }
}

static void get_program(struct reader *r, const json_t *model, struct spec_program *p)
{
    const json_t *o = json_object_get(model, "program");
    if (!json_is_object(o)) {
        refuse(r, "program");
        return;
    }
    p->argv = get_texts(r, o, "argv");
    p->script = get_text(r, o, "script");
    p->env = get_texts(r, o, "env");
    p->workdir = get_text(r, o, "workdir");
    p->image = get_text(r, o, "image");
    p->network = (enum network_mode)get_int(r, o, "network", NETWORK_COUNT - 1);
    p->resources.cpu_milli = get_u32(r, o, "cpu");
    p->resources.memory = (uint64_t)get_int(r, o, "memory", INT64_MAX);
    p->resources.gpu = get_u32(r, o, "gpu");
    const json_t *list = get_list(r, o, "secrets", &p->n_secrets);
    struct spec_secret *secrets = arena_calloc(r->a, p->n_secrets, sizeof(*secrets));
    for (uint32_t i = 0; i < p->n_secrets; i++) {
        const json_t *s = json_array_get(list, i);
        secrets[i].name = need_text(r, s, "name");
        secrets[i].env = get_text(r, s, "env");
        secrets[i].file = get_text(r, s, "file");
    }
    p->secrets = secrets;
    list = get_list(r, o, "mounts", &p->n_mounts);
    struct spec_mount *mounts = arena_calloc(r->a, p->n_mounts, sizeof(*mounts));
    for (uint32_t i = 0; i < p->n_mounts; i++) {
        const json_t *m = json_array_get(list, i);
        mounts[i].host = need_text(r, m, "host");
        mounts[i].inner = need_text(r, m, "inner");
    }
    p->mounts = mounts;
}

static void get_models(struct reader *r, const json_t *o, struct service_spec *s)
{
    const json_t *list = get_list(r, o, "models", &s->n_models);
    struct spec_model *models = arena_calloc(r->a, s->n_models, sizeof(*models));
    for (uint32_t i = 0; i < s->n_models; i++) {
        const json_t *m = json_array_get(list, i);
        models[i].name = need_text(r, m, "name");
        models[i].slug = need_text(r, m, "slug");
        models[i].metric = get_real(r, m, "metric");
        get_digest(r, m, "content", &models[i].content);
        get_program(r, m, &models[i].program);
        models[i].ready_script = get_text(r, m, "ready_script");
    }
    s->models = models;
}

static void get_serve(struct reader *r, const json_t *o, struct service_spec *s)
{
    const json_t *retry = json_object_get(o, "retry");
    get_models(r, o, s);
    s->replicas = get_u32(r, o, "replicas");
    s->ready_path = get_text(r, o, "ready_path");
    s->ready_timeout_ms = get_int(r, o, "ready_timeout_ms", INT64_MAX);
    s->grace_ms = get_int(r, o, "grace_ms", INT64_MAX);
    s->retry.limit = get_u32(r, retry, "limit");
    s->retry.delay_ms = get_int(r, retry, "delay_ms", INT64_MAX);
    s->retry.max_delay_ms = get_int(r, retry, "max_delay_ms", INT64_MAX);
    s->retry.backoff = get_real(r, retry, "backoff");
    s->address = (enum address_mode)get_int(r, o, "address", ADDRESS_FIXED);
    s->fixed_port = (uint16_t)get_int(r, o, "fixed_port", UINT16_MAX);
    s->balance = (enum balance)get_int(r, o, "balance", BALANCE_COUNT - 1);
    s->shard_header = get_text(r, o, "shard_header");
    s->shard_uri = get_bool(r, o, "shard_uri");
    s->canary_share = get_real(r, o, "canary_share");
    s->canary_max_errors = get_real(r, o, "canary_max_errors");
    s->canary_for_ms = get_int(r, o, "canary_for_ms", INT64_MAX);
    s->scales = get_bool(r, o, "scales");
    s->scale_min = get_u32(r, o, "scale_min");
    s->scale_max = get_u32(r, o, "scale_max");
    s->scale_target = get_u32(r, o, "scale_target");
    s->first_stop = get_bool(r, o, "first_stop");
}

static void get_aggregate(struct reader *r, const json_t *o, struct service_spec *s)
{
    s->over = get_text(r, o, "over");
    s->method = (enum method)get_int(r, o, "method", METHOD_COUNT - 1);
    s->command = get_texts(r, o, "command");
    s->command_env = get_texts(r, o, "command_env");
    s->command_script = get_text(r, o, "command_script");
    s->quorum = get_u32(r, o, "quorum");
    s->split = get_u32(r, o, "split");
}

int spec_decode(const char *json, size_t len, struct arena *a, struct service_spec *ret,
                struct err *err)
{
    CLEANUP(cleanup_json) json_t *o = NULL;
    struct reader r = {.a = a};
    struct service_spec s = {0};
    struct err why = {0};
    if (json_read(json, len, SPEC_MAX, &o, &why) < 0) {
        return err_set(err, ERR_CORRUPT, 0, "a service's stored description cannot be read: %s",
                       why.msg);
    }
    const json_t *limits = json_object_get(o, "limits");
    s.aggregate = get_bool(&r, o, "aggregate");
    s.workflow = need_text(&r, o, "workflow");
    s.step = need_text(&r, o, "step");
    s.run = get_text(&r, o, "run");
    s.promotion = get_u32(&r, o, "promotion");
    s.select = get_text(&r, o, "select");
    s.listen.host = get_text(&r, o, "host");
    s.listen.port = (uint16_t)get_int(&r, o, "port", UINT16_MAX);
    s.limits.concurrent = get_u32(&r, limits, "concurrent");
    s.limits.queue = get_u32(&r, limits, "queue");
    s.limits.rate_anonymous = get_real(&r, limits, "rate_anonymous");
    s.limits.rate_authenticated = get_real(&r, limits, "rate_authenticated");
    s.tokens_file = get_text(&r, o, "tokens_file");
    s.keep = get_bool(&r, o, "keep");
    if (s.aggregate) {
        get_aggregate(&r, o, &s);
    } else {
        get_serve(&r, o, &s);
    }
    if (r.bad) {
        return err_set(err, ERR_CORRUPT, 0,
                       "a service's stored description has no proper '%s'; run its workflow again",
                       r.bad);
    }
    *ret = s;
    return 0;
}
