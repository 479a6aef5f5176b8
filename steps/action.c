/* SPDX-License-Identifier: Apache-2.0 */
/* The static half of an action; action.h shows its form. Members stand in the order of their names' bytes. */
#include "steps/action.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/vec.h"
#include "workflows/expr.h"
#include "workflows/model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* The version of wf's own code behind each kind: raised when a built-in's answer changes. */
static const int kind_versions[KIND_COUNT] = {
    [KIND_COMMAND] = 1, [KIND_INGEST] = 1,    [KIND_TRAIN] = 1,    [KIND_SELECT] = 1,
    [KIND_SERVE] = 1,   [KIND_AGGREGATE] = 1, [KIND_WORKFLOW] = 1, [KIND_APPROVE] = 1,
};

struct work {
    const struct workflow *wf;
    const struct step *step;
    const struct matrix_row *row;
    struct scope scope;
    struct jsonw w;
    VEC(struct action_value) values;
    int rc;
    struct err *err;
};

static void add_value(struct work *k, const char *root, const char *name, const struct value *v)
{
    CLEANUP(sb_done) struct str text = {0};

    value_interpolate(v, &text);
    *vec_push(&k->values) =
        (struct action_value){.text = arena_printf(k->scope.arena, "%s.%s", root, name),
                              .value = arena_memdup(k->scope.arena, sb_text(&text), text.len + 1)};
}

static void add_all_params(struct work *k)
{
    for (uint32_t p = 0; p < k->wf->n_params; p++) {
        add_value(k, "params", k->wf->params[p].name, &k->wf->params[p].value);
    }
}

static void add_axes(struct work *k, const char *only)
{
    for (uint32_t n = 0; k->row && n < k->row->n; n++) {
        if (!only || strcmp(only, k->row->axes[n]) == 0) {
            add_value(k, "matrix", k->row->axes[n], &k->row->values[n]);
        }
    }
}

/* The value behind a name that is known before anything runs. All else enters the action when the step is ready. */
static void on_name(struct expr *e, bool in_default, void *arg)
{
    struct work *k = arg;
    const struct expr_name *name = &e->name;

    (void)in_default;
    if (name->root == ROOT_MATRIX) {
        add_axes(k, name->text);
    } else if (name->root == ROOT_PARAMS && name->member < k->wf->n_params) {
        const struct param *p = &k->wf->params[name->member];
        add_value(k, "params", p->name, &p->value);
    } else if (name->root == ROOT_PARAMS && name->text) {
        for (uint32_t p = 0; p < k->wf->n_params; p++) {
            if (strcmp(k->wf->params[p].name, name->text) == 0) {
                add_value(k, "params", name->text, &k->wf->params[p].value);
            }
        }
    } else if (name->root == ROOT_PARAMS) {
        add_all_params(k);
    }
}

/* An expression that computes from params and axes counts by what it gives: a param it reads without effect is no difference. What needs more than
 * these counts by the names in it, and so does a bare name, for that is what `explain` can say best. False: by its names. */
static bool add_computed(struct work *k, const struct expr *e)
{
    CLEANUP(sb_done) struct str name = {0};
    struct value v;

    if (e->op == EXPR_NAME || (expr_uses(e) & ~(uint32_t)(USES_PARAMS | USES_MATRIX)) != 0) {
        return false;
    }
    if (expr_eval(e, &k->scope, &v, NULL) != 0) {
        return false; /* said when the step starts */
    }
    sb_puts(&name, "expression.");
    sb_add(&name, e->source.data, e->source.len);
    CLEANUP(sb_done) struct str text = {0};
    struct jsonw w;
    jw_init(&w, &text, false);
    value_json(&v, &w); /* with its type: a list is several words where a string is one */
    *vec_push(&k->values) =
        (struct action_value){.text = arena_memdup(k->scope.arena, sb_text(&name), name.len + 1),
                              .value = arena_memdup(k->scope.arena, sb_text(&text), text.len + 1)};
    return true;
}

static void collect(struct work *k, struct text *t)
{
    if (!t || !(t->uses & (USES_PARAMS | USES_MATRIX))) {
        return;
    }
    for (uint32_t n = 0; n < t->n_parts; n++) {
        struct expr *e = t->parts[n].literal ? NULL : t->parts[n].expr;
        if (e && !add_computed(k, e)) {
            expr_each_name(e, on_name, k);
        }
    }
}

static void collect_values(struct work *k)
{
    const struct step *s = k->step;

    collect(k, s->run);
    for (uint32_t n = 0; n < s->n_command; n++) {
        collect(k, s->command[n]);
    }
    for (uint32_t n = 0; n < s->n_env && !step_is_builtin(s); n++) {
        collect(k, s->env[n].value);
    }
    for (uint32_t n = 0; n < s->n_inputs; n++) {
        collect(k, s->inputs[n].path);
    }
    collect(k, s->workdir);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* An array of names, sorted. */
static void write_names(struct work *k, const char *key, const char **names, uint32_t count)
{
    if (count == 0) {
        return;
    }
    qsort(names, count, sizeof(*names), compare_texts);
    jw_key(&k->w, key);
    jw_array(&k->w);
    for (uint32_t n = 0; n < count; n++) {
        jw_text(&k->w, names[n]);
    }
    jw_end_array(&k->w);
}

/* A path that may hold params and axes: with its value. */
static const char *eval_path(struct work *k, const struct text *t)
{
    CLEANUP(sb_done) struct str out = {0};

    if (t->n_parts == 0) {
        return t->source;
    }
    if (k->rc == 0) {
        k->rc = text_eval_string(t, &k->scope, &out, k->err);
        if (k->rc > 0) {
            k->rc = err_set(k->err, ERR_INVALID, 0, "'%s' cannot be known before the step runs",
                            t->source);
        }
    }
    return arena_memdup(k->scope.arena, sb_text(&out), out.len + 1);
}

static int by_output_name(const void *a, const void *b)
{
    const struct output *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static void write_outputs(struct work *k)
{
    uint32_t count = k->step->n_outputs;

    if (count == 0) {
        return;
    }
    const struct output **sorted = arena_calloc(k->scope.arena, count, sizeof(*sorted));
    for (uint32_t n = 0; n < count; n++) {
        sorted[n] = &k->step->outputs[n];
    }
    qsort(sorted, count, sizeof(*sorted), by_output_name);
    jw_key(&k->w, "outputs");
    jw_array(&k->w);
    for (uint32_t n = 0; n < count; n++) {
        const struct output *o = sorted[n];
        jw_object(&k->w);
        jw_kv_text(&k->w, "name", o->name);
        if (o->non_empty) {
            jw_kv_bool(&k->w, "non_empty", true);
        }
        jw_kv_text(&k->w, "path", eval_path(k, o->path));
        if (o->sha256) {
            jw_kv_text(&k->w, "sha256", o->sha256);
        }
        jw_end_object(&k->w);
    }
    jw_end_array(&k->w);
}

static void write_from(struct work *k, uint32_t n_from, const uint32_t *from)
{
    jw_key(&k->w, "from");
    jw_array(&k->w);
    for (uint32_t n = 0; n < n_from; n++) {
        jw_text(&k->w, k->wf->steps[from[n]].name);
    }
    jw_end_array(&k->w);
}

static void write_real(struct work *k, const char *key, double v)
{
    jw_key(&k->w, key);
    jw_real(&k->w, v);
}

static void write_select(struct work *k, const struct select_options *o)
{
    if (o->has_at_least) {
        write_real(k, "at_least", o->at_least);
    }
    if (o->has_at_most) {
        write_real(k, "at_most", o->at_most);
    }
    write_from(k, o->n_from, o->from);
    jw_kv_text(&k->w, "metric", o->metric);
    jw_kv_i64(&k->w, "min_models", o->min_models);
    jw_kv_text(&k->w, "mode", o->min ? "min" : "max");
    if (o->has_tolerate) {
        jw_kv_i64(&k->w, "tolerate", o->tolerate);
    }
    jw_kv_i64(&k->w, "top", o->top);
}

/* Under `time` and `change` the source stands in the key by where it is, and what is compared is the newest entry with that key: so only entries of one policy and one measure may share it, or bytes
 * would be compared with records. ttl and threshold are the reader's. */
static void write_freshness(struct work *k, const struct cache_options *o)
{
    if (o->policy == CACHE_CHANGE) {
        jw_kv_text(&k->w, "measure", measure_names[o->measure]);
        if (o->measure == MEASURE_COMMAND) {
            jw_kv_text(&k->w, "measure_command", o->measure_command);
        }
    }
    if (o->policy == CACHE_CHANGE || o->policy == CACHE_TIME) {
        jw_kv_text(&k->w, "policy", o->policy == CACHE_CHANGE ? "change" : "time");
    }
}

static void write_options(struct work *k)
{
    const struct step *s = k->step;

    if (!s->select && !s->aggregate && !s->source) {
        return;
    }
    jw_key(&k->w, "options");
    jw_object(&k->w);
    if (s->select) {
        write_select(k, s->select);
    } else if (s->aggregate) {
        write_from(k, s->aggregate->n_from, s->aggregate->from);
        jw_kv_text(&k->w, "method", method_names[s->aggregate->method]);
        if (s->aggregate->of) {
            jw_kv_text(&k->w, "of", s->aggregate->of);
        }
    } else {
        write_freshness(k, &s->cache);
        if (s->source_sha256) {
            jw_kv_text(&k->w, "sha256", s->source_sha256);
        }
    }
    jw_end_object(&k->w);
}

static void write_platform(struct work *k)
{
    static const struct {
        const char *machine, *name;
    } known[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};
    struct utsname u;

    uname(&u);
    const char *machine = u.machine;
    for (size_t n = 0; n < ARRAY_LEN(known); n++) {
        if (strcmp(known[n].machine, machine) == 0) {
            machine = known[n].name;
        }
    }
    jw_kv_text(&k->w, "platform", arena_printf(k->scope.arena, "linux/%s", machine));
}

static bool names_wf_step(const struct step *s)
{
    bool found = s->run && strstr(s->run->source, "WF_STEP");

    for (uint32_t n = 0; n < s->n_command && !found; n++) {
        found = strstr(s->command[n]->source, "WF_STEP");
    }
    return found;
}

static void write_wf_env(struct work *k)
{
    bool step = names_wf_step(k->step);
    uint32_t axes = k->row ? k->row->n : 0;
    VEC(struct action_value) vars = {0};

    if (!step && axes == 0) {
        return;
    }
    for (uint32_t n = 0; n < axes; n++) {
        CLEANUP(sb_done) struct str text = {0};
        char *name = arena_printf(k->scope.arena, "WF_MATRIX_%s", k->row->axes[n]);
        for (char *c = name; *c; c++) {
            *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        }
        value_interpolate(&k->row->values[n], &text);
        *vec_push(&vars) =
            (struct action_value){name, arena_memdup(k->scope.arena, sb_text(&text), text.len + 1)};
    }
    if (step) {
        *vec_push(&vars) = (struct action_value){"WF_STEP", k->row ? k->row->name : k->step->name};
    }
    jw_key(&k->w, "wf_env");
    CLEANUP(sb_done) struct str object = {0};
    action_values(&object, vars.items, vars.len);
    jw_raw(&k->w, sb_text(&object), object.len);
    vec_done(&vars);
}

static void write_env(struct work *k)
{
    VEC(struct action_value) env = {0};

    if (k->step->n_env == 0) {
        return;
    }
    for (uint32_t n = 0; n < k->step->n_env; n++) {
        *vec_push(&env) =
            (struct action_value){k->step->env[n].name, k->step->env[n].value->source};
    }
    jw_key(&k->w, "env");
    CLEANUP(sb_done) struct str object = {0};
    action_values(&object, env.items, env.len);
    jw_raw(&k->w, sb_text(&object), object.len);
    vec_done(&env);
}

static void write_shell(struct work *k)
{
    if (!k->step->run) {
        return;
    }
    if (k->step->n_shell == 0) {
        jw_kv_text(&k->w, "shell", k->step->shell ? k->step->shell : "sh");
        return;
    }
    jw_key(&k->w, "shell");
    jw_array(&k->w);
    for (uint32_t n = 0; n < k->step->n_shell; n++) {
        jw_text(&k->w, k->step->shell_args[n]);
    }
    jw_end_array(&k->w);
}

static void write_value_names(struct work *k)
{
    const struct step *s = k->step;
    const char **names = arena_calloc(k->scope.arena, s->n_values + 1, sizeof(*names));

    for (uint32_t n = 0; n < s->n_values; n++) {
        names[n] = s->values[n].from_stdout
                       ? arena_printf(k->scope.arena, "%s: stdout", s->values[n].name)
                       : s->values[n].name;
    }
    write_names(k, "value_names", names, s->n_values);
}

static void write_secrets(struct work *k)
{
    const struct step *s = k->step;
    const char **names = arena_calloc(k->scope.arena, s->n_secrets + 1, sizeof(*names));

    for (uint32_t n = 0; n < s->n_secrets; n++) {
        names[n] = s->secrets[n].env;
    }
    write_names(k, "secrets", names, s->n_secrets);
}

/* command … platform */
static void write_first_half(struct work *k)
{
    const struct step *s = k->step;
    struct jsonw *w = &k->w;

    if (s->n_command > 0) {
        jw_key(w, "command");
        jw_array(w);
        for (uint32_t n = 0; n < s->n_command; n++) {
            jw_name(w, s->command[n]->source, s->command[n]->len);
        }
        jw_end_array(w);
    }
    if (!step_is_builtin(s)) {
        write_env(k);
    }
    jw_kv_i64(w, "format", ACTION_FORMAT);
    if (s->resources.gpu > 0) {
        jw_kv_i64(w, "gpu", s->resources.gpu);
    }
    jw_kv_text(w, "kind", step_kind_names[s->kind]);
    jw_kv_i64(w, "kind_version", kind_versions[s->kind]);
    jw_kv_text(w, "network", network_mode_names[s->network]);
    write_options(k);
    write_outputs(k);
    if (s->executor == EXECUTOR_PROCESS && (s->run || s->n_command > 0)) {
        write_platform(k);
    }
}

/* script … workdir */
static void write_second_half(struct work *k)
{
    const struct step *s = k->step;
    struct jsonw *w = &k->w;

    if (s->run) {
        jw_key(w, "script");
        jw_name(w, s->run->source, s->run->len);
    }
    write_secrets(k);
    write_shell(k);
    write_value_names(k);
    collect_values(k);
    if (k->values.len > 0) {
        CLEANUP(sb_done) struct str object = {0};
        action_values(&object, k->values.items, k->values.len);
        jw_key(w, "values");
        jw_raw(w, sb_text(&object), object.len);
    }
    if (s->cache.version) {
        jw_kv_text(w, "version", s->cache.version);
    }
    if (!step_is_builtin(s)) {
        write_wf_env(k);
    }
    if (s->workdir) {
        jw_kv_text(w, "workdir", s->workdir->source);
    }
}

int action_work(const struct workflow *wf, const struct step *step, const struct matrix_row *row,
                struct str *out, struct err *err)
{
    struct arena *arena = arena_new();
    struct value *params = arena_calloc(arena, wf->n_params + 1, sizeof(*params));
    size_t before = out->len;

    for (uint32_t n = 0; n < wf->n_params; n++) {
        params[n] = wf->params[n].value;
    }
    struct work k = {
        .wf = wf,
        .step = step,
        .row = row,
        .scope = {.arena = arena, .wf = wf, .step = step, .params = params, .row = row},
        .err = err};
    jw_init(&k.w, out, false);
    jw_object(&k.w);
    write_first_half(&k);
    write_second_half(&k);
    jw_end_object(&k.w);
    vec_done(&k.values);
    arena_free(arena);
    if (k.rc != 0) {
        sb_truncate(out, before);
        return k.rc;
    }
    return 0;
}
