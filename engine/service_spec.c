/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/service_spec.h"

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/store.h"
#include "serve/models.h"
#include "steps/program.h"

#include <stdlib.h>
#include <string.h>

/* --- values for expressions --- */

static struct value object(struct arena *a, uint32_t room)
{
    return (struct value){.type = VALUE_OBJECT,
                          .keys = arena_calloc(a, (size_t)room + 1, sizeof(struct slice)),
                          .items = arena_calloc(a, (size_t)room + 1, sizeof(struct value))};
}

static void put(struct value *o, const char *key, struct value v)
{
    o->keys[o->count] = slice_str(key);
    o->items[o->count++] = v;
}

static int put_json(struct value *o, const char *key, const char *json, struct arena *a,
                    struct err *err)
{
    struct value v = object(a, 0);
    int rc = json ? value_parse_json(json, strlen(json), a, &v, err) : 0;

    if (rc == 0) {
        put(o, key, v);
    }
    return rc;
}

static struct value number(struct arena *a, double n)
{
    CLEANUP(sb_done) struct str text = {0};
    struct jsonw w;
    struct value v = value_null();

    jw_init(&w, &text, false);
    jw_real(&w, n);
    (void)value_parse_json(arena_strdup(a, sb_text(&text)), text.len, a, &v, NULL);
    return v;
}

static const char *inner_path(const struct result_output *o, struct arena *a)
{
    return arena_printf(a, "/wf/model/%s/%s", o->name, fs_basename(o->path));
}

/* As result_main_output() has it for results. */
static const struct result_output *main_output(const struct promoted_model *m)
{
    struct result r = {.n_outputs = m->n_outputs,
                       .outputs = (struct result_output *)(uintptr_t)m->outputs};

    return result_main_output(&r);
}

static bool is_served(const struct result_output *o)
{
    return strcmp(o->name, "metrics") != 0;
}

static const char *host_path(struct store *s, const struct result_output *o, struct arena *a)
{
    CLEANUP(cleanup_free) char *path = models_path(s, o);

    return arena_strdup(a, path);
}

int service_model_value(struct store *s, const struct promoted_model *m, uint32_t promotion,
                        bool container, struct arena *a, struct value *ret, struct err *err)
{
    struct value v = object(a, 8), outputs = object(a, m->n_outputs);
    const struct result_output *best = main_output(m);
    int rc;

    for (uint32_t n = 0; n < m->n_outputs; n++) {
        const struct result_output *o = &m->outputs[n];
        if (is_served(o)) {
            struct value path = value_text(container ? inner_path(o, a) : host_path(s, o, a));
            path.path = true;
            put(&outputs, o->name, path);
            if (o == best) {
                put(&v, "path", path);
            }
        }
    }
    put(&v, "name", value_text(m->name));
    put(&v, "slug", value_text(m->slug));
    put(&v, "metric", number(a, m->metric));
    put(&v, "promotion", number(a, promotion));
    put(&v, "outputs", outputs);
    rc = put_json(&v, "metrics", m->metrics_json, a, err);
    rc = rc == 0 ? put_json(&v, "matrix", m->matrix_json, a, err) : rc;
    if (rc == 0) {
        *ret = v;
    }
    return rc;
}

void service_replica_value(struct arena *a, struct value *ret)
{
    struct value v = object(a, 3);

    put(&v, "socket", value_text(SPEC_SOCKET));
    put(&v, "port", value_text(SPEC_PORT));
    put(&v, "index", value_text(SPEC_INDEX));
    *ret = v;
}

/* --- programs --- */

struct making {
    const struct world *w;
    const struct step *step;
    struct program_options o;
    struct arena *a;
};

/* Another step's output lies among the models: it stays as long as the service does. */
static int place(void *arg, const struct output_ref *ref, const char **ret, struct err *err)
{
    struct making *m = arg;
    char *path = NULL;
    int rc = models_place(m->w->store, ref->output, &path, err);

    if (rc == 0) {
        *ret = arena_strdup(m->a, path);
        free(path);
    }
    return rc;
}

static const struct spec_secret *secrets(const struct making *m)
{
    struct spec_secret *list = arena_calloc(m->a, (size_t)m->step->n_secrets + 1, sizeof(*list));

    for (uint32_t n = 0; n < m->step->n_secrets; n++) {
        const struct secret_use *use = &m->step->secrets[n];
        const struct secret *s = &m->w->wf->secrets[use->secret];
        list[n].name = use->env;
        list[n].env = s->name; /* by which the run hands its value over */
    }
    return list;
}

static const struct spec_mount *mounts(const struct making *m, const struct program *p,
                                       const struct promoted_model *model, uint32_t *ret_count)
{
    size_t room = p->n_mounts + (model ? model->n_outputs : 0);
    struct spec_mount *list = arena_calloc(m->a, room + 1, sizeof(*list));
    uint32_t count = 0;

    for (size_t n = 0; n < p->n_mounts; n++) {
        list[count++] = (struct spec_mount){p->mounts[n].host, p->mounts[n].inner};
    }
    for (uint32_t n = 0; p->image && model && n < model->n_outputs; n++) {
        const struct result_output *o = &model->outputs[n];
        if (is_served(o)) {
            list[count++] =
                (struct spec_mount){host_path(m->w->store, o, m->a), inner_path(o, m->a)};
        }
    }
    *ret_count = count;
    return list;
}

static const char *const *environment(const struct making *m, const struct program *p,
                                      const struct promoted_model *model, const char *path)
{
    size_t count = 0;

    while (p->env[count]) {
        count++;
    }
    const char **env = arena_calloc(m->a, count + 4, sizeof(*env));
    memcpy(env, p->env, count * sizeof(*env));
    if (model) {
        env[count++] = arena_printf(m->a, "WF_MODEL_NAME=%s", model->slug);
    }
    if (path) {
        env[count++] = arena_printf(m->a, "WF_MODEL=%s", path);
    }
    return env;
}

static void add_text(struct digest_ctx *c, const char *text)
{
    digest_add(c, text ? text : "", text ? strlen(text) + 1 : 1);
}

/* What it is: the model's files, the program, and the files the step reads. */
static struct digest content(const struct spec_program *p, const struct question *q,
                             const struct promoted_model *model)
{
    struct digest_ctx *c = digest_new();
    struct digest d;

    digest_begin(c);
    add_text(c, "wf-replica-1");
    for (size_t n = 0; p->argv && p->argv[n]; n++) {
        add_text(c, p->argv[n]);
    }
    add_text(c, p->script);
    for (size_t n = 0; p->env[n]; n++) {
        add_text(c, p->env[n]);
    }
    add_text(c, p->workdir);
    add_text(c, p->image);
    digest_add(c, &p->network, sizeof(p->network));
    digest_add(c, &p->resources.cpu_milli, sizeof(p->resources.cpu_milli));
    digest_add(c, &p->resources.memory, sizeof(p->resources.memory));
    digest_add(c, &p->resources.gpu, sizeof(p->resources.gpu));
    for (uint32_t n = 0; n < p->n_mounts; n++) {
        add_text(c, p->mounts[n].host);
        add_text(c, p->mounts[n].inner);
    }
    for (uint32_t n = 0; q && n < q->n_inputs; n++) {
        digest_add(c, &q->inputs[n].digest, sizeof(q->inputs[n].digest));
    }
    if (model) {
        digest_add(c, &model->content, sizeof(model->content));
    }
    digest_end(c, &d);
    digest_free(c);
    return d;
}

static int make_program(struct making *m, const struct promoted_model *model,
                        struct spec_program *ret, struct err *err)
{
    struct program p;
    int rc = program_build(&m->o, m->a, &p, err);

    if (rc != 0) {
        return rc;
    }
    const struct value *path = m->o.model ? value_member(m->o.model, "path", 4) : NULL;
    *ret = (struct spec_program){
        .argv = p.argv,
        .script = p.script,
        .env = environment(m, &p, model,
                           path ? arena_strndup(m->a, path->text.data, path->text.len) : NULL),
        .n_secrets = m->step->n_secrets,
        .secrets = secrets(m),
        .workdir = p.workdir,
        .image = p.image,
        .network = m->step->network,
        .resources = m->step->resources,
    };
    ret->mounts = mounts(m, &p, model, &ret->n_mounts);
    return 0;
}

/* The smoke test runs on this machine, wherever the replica does: its model's files are those of here. */
static int make_ready(struct making *m, const struct promoted_model *model,
                      const struct promotion *p, struct spec_model *ret, struct err *err)
{
    const struct text *t = m->step->serve->ready_run;
    struct value value;
    int rc = t && model
                 ? service_model_value(m->w->store, model, p->number, false, m->a, &value, err)
                 : 0;

    if (!t || rc != 0) {
        return rc;
    }
    m->o.model = model ? &value : NULL;
    rc = program_script(&m->o, t, m->a, &ret->ready_script, err);
    m->o.model = NULL;
    return rc;
}

static int make_model(struct making *m, const struct promotion *p, uint32_t n,
                      struct spec_model *ret, struct err *err)
{
    const struct promoted_model *model = p ? &p->models[n] : NULL;
    struct value value;
    int rc = model ? service_model_value(m->w->store, model, p->number,
                                         m->step->executor == EXECUTOR_CONTAINER, m->a, &value, err)
                   : 0;

    m->o.model = model ? &value : NULL;
    rc = rc == 0 ? make_program(m, model, &ret->program, err) : rc;
    if (rc == 0) {
        ret->name = model ? model->name : m->step->name;
        ret->slug = model ? model->slug : m->step->name;
        ret->metric = model ? model->metric : 0;
        ret->content = content(&ret->program, m->o.q, model);
    }
    m->o.model = NULL;
    rc = rc == 0 ? make_ready(m, model, p, ret, err) : rc;
    return rc == 0 ? 0 : err_wrap(err, "service '%s'", m->step->name);
}

/* --- the whole --- */

static int tokens_path(struct making *m, const struct limit_options *l, const char **ret,
                       struct err *err)
{
    struct step_scope scope;
    const char *path = NULL;

    if (!l->tokens) {
        return 0;
    }
    step_scope_init(&scope, m->w, m->o.i, PATHS_HOST, m->a);
    int rc = scope_text(&scope, l->tokens, &path, err);
    if (rc == 0) {
        *ret = path[0] == '/' ? path : arena_printf(m->a, "%s/%s", m->w->wf->dir, path);
    }
    return rc;
}

static int fill_serve(struct making *m, const struct promotion *p, struct service_spec *ret,
                      struct err *err)
{
    const struct serve_options *o = m->step->serve;
    uint32_t count = p ? p->n_models : 1;
    struct spec_model *models = arena_calloc(m->a, (size_t)count + 1, sizeof(*models));
    int rc = tokens_path(m, &o->limits, &ret->tokens_file, err);

    for (uint32_t n = 0; n < count && rc == 0; n++) {
        rc = make_model(m, p, n, &models[n], err);
    }
    ret->promotion = p ? p->number : 0;
    ret->select = p ? p->step : NULL;
    ret->n_models = count;
    ret->models = models;
    ret->listen = o->listen;
    ret->limits = o->limits;
    ret->replicas = o->replicas > 0 ? o->replicas : 1;
    ret->ready_path = o->ready_path;
    ret->ready_timeout_ms = o->ready_timeout_ms;
    ret->grace_ms = m->step->grace_ms;
    ret->retry = m->step->retry;
    ret->address = o->address;
    ret->fixed_port = o->fixed_port;
    ret->balance = o->balance;
    ret->shard_header = o->shard_header;
    ret->shard_uri = o->shard_uri;
    ret->canary_share = o->canary_share;
    ret->canary_max_errors = o->canary_max_errors;
    ret->canary_for_ms = o->canary_for_ms;
    ret->scales = o->scales;
    ret->scale_min = o->scale_min;
    ret->scale_max = o->scale_max;
    ret->scale_target = o->scale_target;
    ret->first_stop = o->first_stop;
    return rc;
}

/* The gateway starts it from a folder of its own: it begins where a step does. */
static const char *const *start_in(const char *const *argv, const char *dir, struct arena *a)
{
    static const char *const shell[] = {"/bin/sh", "-c", "cd -- \"$0\" && exec \"$@\""};
    size_t n = 0, at = ARRAY_LEN(shell);

    while (argv[n]) {
        n++;
    }
    const char **all = arena_calloc(a, at + n + 2, sizeof(*all));
    memcpy(all, shell, sizeof(shell));
    all[at++] = dir;
    memcpy(all + at, argv, n * sizeof(*all));
    return all;
}

static int fill_aggregate(struct making *m, struct service_spec *ret, struct err *err)
{
    const struct aggregate_options *o = m->step->aggregate;
    struct spec_program p = {0};
    int rc = tokens_path(m, &o->limits, &ret->tokens_file, err);

    ret->aggregate = true;
    ret->over = m->w->wf->steps[o->from[0]].name;
    ret->method = o->method;
    ret->listen = o->listen;
    ret->limits = o->limits;
    ret->quorum = o->quorum > 0 ? o->quorum : 1;
    ret->split = o->split;
    ret->grace_ms = m->step->grace_ms;
    if (rc == 0 && o->method == METHOD_COMMAND) {
        rc = make_program(m, NULL, &p, err);
        ret->command = rc == 0 ? start_in(p.argv, p.workdir, m->a) : NULL;
        ret->command_env = p.env;
        ret->command_script = p.script;
    }
    return rc;
}

int service_spec_build(const struct world *w, struct asker *k, const struct instance_ref *i,
                       const struct question *q, const struct promotion *p, struct arena *a,
                       struct service_spec *ret, struct err *err)
{
    struct value replica;
    struct making m = {.w = w, .step = &w->wf->steps[i->step], .a = a};
    int rc;

    service_replica_value(a, &replica);
    m.o = (struct program_options){
        .w = w, .asker = k, .i = i, .q = q, .replica = &replica, .place = place, .arg = &m};
    *ret = (struct service_spec){.workflow = w->wf->name, .step = m.step->name, .run = w->run};
    rc = m.step->serve ? fill_serve(&m, p, ret, err) : fill_aggregate(&m, ret, err);
    return rc;
}
