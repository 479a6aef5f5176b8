/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/data/dump.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/model.h"

#include <stdio.h>
#include <string.h>

/* --- small members, left out at their defaults --- */

static void put_text(struct jsonw *w, const char *key, const struct text *t)
{
    if (t == NULL)
        return;
    jw_key(w, key);
    jw_bytes(w, t->source, t->len);
}

static void put_word(struct jsonw *w, const char *key, const char *word)
{
    if (word != NULL)
        jw_kv_text(w, key, word);
}

static void put_number(struct jsonw *w, const char *key, int64_t v)
{
    if (v != 0)
        jw_kv_i64(w, key, v);
}

static void put_flag(struct jsonw *w, const char *key, bool v)
{
    if (v)
        jw_kv_bool(w, key, v);
}

static void put_value(struct jsonw *w, const char *key, const struct value *v)
{
    jw_key(w, key);
    value_json(v, w);
}

/* --- parts of a step --- */

static void put_needs(struct jsonw *w, const struct workflow *wf, const struct step *s)
{
    if (s->n_needs == 0)
        return;
    jw_key(w, "needs");
    jw_array(w);
    for (uint32_t i = 0; i < s->n_needs; i++) {
        const struct need *n = &s->needs[i];
        char line[256], mode[32] = "";
        if (n->mode == NEED_COUNTED)
            snprintf(mode, sizeof(mode), " %u", n->count);
        else if (n->mode != NEED_ALL)
            snprintf(mode, sizeof(mode), " %s", need_mode_names[n->mode]);
        snprintf(line, sizeof(line), "%s%s%s%s", wf->steps[n->step].name,
                 n->declared ? " declared" : "", n->order_only ? " order" : "", mode);
        jw_text(w, line);
    }
    jw_end_array(w);
}

static void put_reads(struct jsonw *w, const struct workflow *wf, const struct step *s)
{
    if (s->n_reads == 0)
        return;
    jw_key(w, "reads");
    jw_array(w);
    for (uint32_t i = 0; i < s->n_reads; i++) {
        const struct expr_name *n = s->reads[i];
        char line[400];
        if (n->root == ROOT_STEPS)
            snprintf(line, sizeof(line), "steps.%s.%s #%d %s",
                     n->branch ? n->branch : wf->steps[n->step].name, step_field_name(n->field),
                     n->member == NONE ? -1 : (int)n->member, n->text ? n->text : "");
        else
            snprintf(line, sizeof(line), "%s #%d %s", expr_root_name(n->root),
                     n->member == NONE ? -1 : (int)n->member, n->text ? n->text : "");
        jw_text(w, line);
    }
    jw_end_array(w);
}

static void put_inputs(struct jsonw *w, const struct step *s)
{
    if (s->n_inputs == 0)
        return;
    jw_key(w, "inputs");
    jw_array(w);
    for (uint32_t i = 0; i < s->n_inputs; i++) {
        const struct input *in = &s->inputs[i];
        jw_object(w);
        put_word(w, "name", in->name);
        put_text(w, "path", in->path);
        put_flag(w, "optional", in->optional);
        put_flag(w, "glob", in->glob);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void put_outputs(struct jsonw *w, const struct step *s)
{
    if (s->n_outputs == 0)
        return;
    jw_key(w, "outputs");
    jw_array(w);
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        const struct output *o = &s->outputs[i];
        jw_object(w);
        jw_kv_text(w, "name", o->name);
        put_text(w, "path", o->path);
        put_flag(w, "non_empty", o->non_empty);
        put_word(w, "sha256", o->sha256);
        put_text(w, "publish", o->publish);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void put_rows(struct jsonw *w, const struct step *s)
{
    if (!s->is_matrix)
        return;
    jw_key(w, "branches");
    jw_array(w);
    for (uint32_t i = 0; i < s->n_rows; i++)
        jw_text(w, s->rows[i].name);
    jw_end_array(w);
    put_number(w, "max_parallel", s->max_parallel);
    put_flag(w, "fail_fast", s->fail_fast);
}

static void put_process(struct jsonw *w, const struct workflow *wf, const struct step *s)
{
    put_text(w, "run", s->run);
    if (s->n_command > 0) {
        jw_key(w, "command");
        jw_array(w);
        for (uint32_t i = 0; i < s->n_command; i++)
            jw_text(w, s->command[i]->source);
        jw_end_array(w);
    }
    put_text(w, "image", s->image);
    put_text(w, "workdir", s->workdir);
    if (s->shell == NULL || strcmp(s->shell, "sh") != 0)
        put_word(w, "shell", s->n_shell > 0 ? s->shell_args[0] : s->shell);
    if (s->n_env > 0) {
        jw_key(w, "env");
        jw_object(w);
        for (uint32_t i = 0; i < s->n_env; i++)
            put_text(w, s->env[i].name, s->env[i].value);
        jw_end_object(w);
    }
    for (uint32_t i = 0; i < s->n_pass_env; i++)
        jw_kv_text(w, "pass_env", s->pass_env[i]);
    for (uint32_t i = 0; i < s->n_secrets; i++)
        jw_kv_text(w, s->secrets[i].env, wf->secrets[s->secrets[i].secret].name);
    if (s->network != NETWORK_HOST)
        jw_kv_text(w, "network", network_mode_names[s->network]);
    if (s->pull != PULL_MISSING)
        jw_kv_text(w, "pull", pull_policy_names[s->pull]);
}

static void put_policies(struct jsonw *w, const struct step *s)
{
    const struct retry *r = &s->retry;
    if (r->limit > 0) {
        jw_key(w, "retry");
        jw_object(w);
        jw_kv_i64(w, "limit", r->limit);
        put_number(w, "delay_ms", r->delay_ms);
        jw_kv_i64(w, "max_delay_ms", r->max_delay_ms);
        jw_key(w, "backoff");
        jw_real(w, r->backoff);
        jw_kv_bool(w, "any", r->on_any);
        put_flag(w, "timeout", r->on_timeout);
        put_flag(w, "lost", r->on_lost);
        put_flag(w, "oom", r->on_oom);
        for (uint32_t i = 0; i < r->n_codes; i++)
            put_number(w, "from", r->codes[i].from * 1000 + r->codes[i].to);
        jw_end_object(w);
    }
    put_number(w, "timeout_ms", s->timeout_ms);
    if (s->grace_ms != 10000)
        jw_kv_i64(w, "grace_ms", s->grace_ms);
    put_flag(w, "continue_on_error", s->continue_on_error);
    put_number(w, "cpu_milli", s->resources.cpu_milli);
    put_number(w, "memory", (int64_t)s->resources.memory);
    put_number(w, "gpu", s->resources.gpu);
    const struct cache_options *c = &s->cache;
    if (c->stated || c->policy != CACHE_CONTENT) {
        jw_key(w, "cache");
        jw_object(w);
        jw_kv_text(w, "policy", cache_policy_names[c->policy]);
        put_number(w, "ttl_ms", c->ttl_ms);
        if (c->policy == CACHE_CHANGE) {
            jw_kv_text(w, "measure", measure_names[c->measure]);
            put_word(w, "command", c->measure_command);
            jw_key(w, "threshold");
            jw_real(w, c->threshold);
        }
        put_word(w, "version", c->version);
        if (c->shared != SHARED_UNSTATED)
            jw_kv_bool(w, "shared", c->shared == SHARED_YES);
        jw_end_object(w);
    }
}

static void put_from(struct jsonw *w, const struct workflow *wf, const uint32_t *from, uint32_t n)
{
    jw_key(w, "from");
    jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        jw_text(w, wf->steps[from[i]].name);
    jw_end_array(w);
}

static void put_real(struct jsonw *w, const char *key, double v)
{
    if (v == 0)
        return;
    jw_key(w, key);
    jw_real(w, v);
}

static void put_traffic(struct jsonw *w, const struct listen_options *at,
                        const struct limit_options *o)
{
    put_word(w, "host", at->host);
    put_number(w, "port", at->port);
    put_number(w, "concurrent", o->concurrent);
    put_number(w, "queue", o->queue);
    put_real(w, "rate_anonymous", o->rate_anonymous);
    put_real(w, "rate_authenticated", o->rate_authenticated);
    put_text(w, "tokens", o->tokens);
}

static void put_serve(struct jsonw *w, const struct workflow *wf, const struct serve_options *o)
{
    static const char *const addresses[] = {
        [ADDRESS_SOCKET] = "socket", [ADDRESS_PORT] = "port", [ADDRESS_FIXED] = "fixed"};
    if (o->from != NONE)
        put_from(w, wf, &o->from, 1);
    jw_kv_i64(w, "replicas", o->replicas);
    put_word(w, "ready_path", o->ready_path);
    put_text(w, "ready_run", o->ready_run);
    jw_kv_i64(w, "ready_timeout_ms", o->ready_timeout_ms);
    jw_kv_text(w, "address", addresses[o->address]);
    put_number(w, "fixed_port", o->fixed_port);
    jw_kv_text(w, "balance", balance_names[o->balance]);
    put_traffic(w, &o->listen, &o->limits);
    if (o->canary_share > 0) {
        put_real(w, "canary_share", o->canary_share);
        jw_kv_i64(w, "canary_for_ms", o->canary_for_ms);
        put_real(w, "canary_max_errors", o->canary_max_errors);
    }
    put_word(w, "shard_header", o->shard_header);
    put_flag(w, "shard_uri", o->shard_uri);
    if (o->scales) {
        jw_kv_i64(w, "scale_min", o->scale_min);
        jw_kv_i64(w, "scale_max", o->scale_max);
        jw_kv_i64(w, "scale_target", o->scale_target);
    }
    put_flag(w, "keep", o->keep);
    put_flag(w, "first_stop", o->first_stop);
}

static void put_kind(struct jsonw *w, const struct workflow *wf, const struct step *s)
{
    put_text(w, "source", s->source);
    put_word(w, "source_sha256", s->source_sha256);
    if (s->select != NULL) {
        const struct select_options *o = s->select;
        put_from(w, wf, o->from, o->n_from);
        put_word(w, "metric", o->metric);
        put_flag(w, "min", o->min);
        jw_kv_i64(w, "top", o->top);
        jw_kv_i64(w, "min_models", o->min_models);
        if (o->has_at_least) {
            jw_key(w, "at_least");
            jw_real(w, o->at_least);
        }
        if (o->has_at_most) {
            jw_key(w, "at_most");
            jw_real(w, o->at_most);
        }
        if (o->has_tolerate)
            jw_kv_i64(w, "tolerate", o->tolerate);
        put_flag(w, "early", o->early);
        put_number(w, "wait_for", o->wait_for);
        put_number(w, "wait_at_most_ms", o->wait_at_most_ms);
        put_real(w, "min_delta", o->min_delta);
    }
    if (s->serve != NULL)
        put_serve(w, wf, s->serve);
    if (s->aggregate != NULL) {
        put_from(w, wf, s->aggregate->from, s->aggregate->n_from);
        put_word(w, "of", s->aggregate->of);
        jw_kv_text(w, "method", method_names[s->aggregate->method]);
        if (s->aggregate->online) {
            jw_kv_bool(w, "online", true);
            put_traffic(w, &s->aggregate->listen, &s->aggregate->limits);
            jw_kv_i64(w, "quorum", s->aggregate->quorum);
            put_number(w, "split", s->aggregate->split);
        }
    }
    if (s->on_promotion != ON_PROMOTION_LAST)
        jw_kv_text(w, "on_promotion", on_promotion_names[s->on_promotion]);
}

static void put_step(struct jsonw *w, const struct workflow *wf, const struct step *s)
{
    jw_object(w);
    jw_kv_text(w, "name", s->name);
    jw_kv_text(w, "kind", step_kind_names[s->kind]);
    jw_kv_text(w, "executor", executor_kind_names[s->executor]);
    put_flag(w, "finally", s->finally);
    put_word(w, "description", s->description);
    for (uint32_t i = 0; i < s->n_labels; i++)
        jw_kv_text(w, s->labels[i].name, s->labels[i].value);
    put_kind(w, wf, s);
    put_process(w, wf, s);
    put_rows(w, s);
    put_inputs(w, s);
    put_outputs(w, s);
    for (uint32_t i = 0; i < s->n_values; i++)
        jw_kv_text(w, s->values[i].name, s->values[i].from_stdout ? "stdout" : "file");
    if (s->condition != NULL) {
        jw_key(w, "if");
        jw_bytes(w, s->condition->source.data, s->condition->source.len);
        put_flag(w, "if_has_status", s->condition_has_status);
    }
    put_policies(w, s);
    put_needs(w, wf, s);
    put_reads(w, wf, s);
    put_word(w, "uncacheable", s->uncacheable);
    jw_end_object(w);
}

void dump_workflow(const struct workflow *wf, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, true);
    jw_object(&w);
    jw_kv_text(&w, "name", wf->name);
    put_word(&w, "description", wf->description);
    for (uint32_t i = 0; i < wf->n_labels; i++)
        jw_kv_text(&w, wf->labels[i].name, wf->labels[i].value);
    put_number(&w, "max_parallel", wf->max_parallel);
    put_number(&w, "timeout_ms", wf->timeout_ms);
    if (wf->on_failure != FAILURE_CONTINUE)
        jw_kv_text(&w, "on_failure", failure_mode_names[wf->on_failure]);
    jw_key(&w, "params");
    jw_object(&w);
    for (uint32_t i = 0; i < wf->n_params; i++)
        put_value(&w, wf->params[i].name, &wf->params[i].value);
    jw_end_object(&w);
    jw_key(&w, "steps");
    jw_array(&w);
    for (uint32_t i = 0; i < wf->n_steps; i++)
        put_step(&w, wf, &wf->steps[i]);
    jw_end_array(&w);
    jw_key(&w, "order");
    jw_array(&w);
    for (uint32_t i = 0; i < wf->n_order; i++)
        jw_text(&w, wf->steps[wf->order[i]].name);
    jw_end_array(&w);
    jw_end_object(&w);
    sb_putc(out, '\n');
}
