/* SPDX-License-Identifier: Apache-2.0 */
/* The question to the cache: inputs, references and values put together as an action, and its key. Hits pass through here only, so this path allocates in the arena alone. */
#include "steps/question.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/http.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/entries.h"
#include "cache/statcache.h"
#include "steps/action.h"
#include "steps/aggregate.h"
#include "steps/asker.h"
#include "steps/container.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct asker *asker_new(const struct world *w)
{
    struct asker *k = xcalloc(1, sizeof(*k));

    k->w = w;
    k->arena = arena_new();
    k->facts = xcalloc(w->wf->n_steps + 1, sizeof(struct facts *));
    k->memos = xcalloc(MEMO_SLOTS, sizeof(*k->memos));
    k->programs = xcalloc(MEMO_SLOTS, sizeof(*k->programs));
    k->dir_len = strlen(w->wf->dir);
    k->dir_fd = open(w->wf->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->walked, NULL);
    return k;
}

void asker_free(struct asker *k)
{
    if (!k) {
        return;
    }
    for (size_t n = 0; n < k->prepared.len; n++) {
        struct prepared *p = k->prepared.items[n].value;
        if (p) {
            vec_done(&p->specs.v);
            arena_free(p->arena);
        }
    }
    for (struct memo *m = k->filled; m; m = m->next) {
        free(m->key);
        free(m->found);
    }
    asker_forget_walks(k);
    looks_free(k);
    if (k->http) {
        http_close(k->http);
    }
    if (k->dir_fd >= 0) {
        close(k->dir_fd);
    }
    free(k->memos);
    free(k->programs);
    free(k->facts);
    map_done(&k->prepared);
    map_done(&k->fetched);
    map_done(&k->shells);
    map_done(&k->images);
    map_done(&k->published);
    sb_done(&k->text);
    sb_done(&k->action);
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->walked);
    arena_free(k->arena);
    free(k);
}

struct prepared *prepared_find(struct asker *k, uint32_t instance)
{
    return k->n_prepared > 0 ? map_get(&k->prepared, (const char *)&instance, sizeof(instance))
                             : NULL;
}

/* The map cannot forget one key: its value becomes NULL, and the whole is emptied with the last. */
void prepared_drop(struct asker *k, struct prepared *p)
{
    ptrdiff_t at = map_find(&k->prepared, (const char *)&p->index, sizeof(p->index));

    if (at >= 0) {
        k->prepared.items[at].value = NULL;
        k->prepared.items[at].key = arena_memdup(k->arena, &p->index, sizeof(p->index));
    }
    vec_done(&p->specs.v);
    arena_free(p->arena);
    if (--k->n_prepared == 0) {
        map_done(&k->prepared);
    }
}

/* --- the parts of an action --- */

struct ask {
    struct asker *k;
    const struct instance_ref *i;
    struct arena *a;
    struct step_scope scope;
    const struct facts *facts;
    struct specs specs;
    VEC(struct action_step) steps;
    VEC(struct action_value) values;
    bool path_dependent;
    const char *why_not;
};

static void add_output(struct ask *q, const char *ref, const struct output_ref *o)
{
    *vec_push(&q->steps) =
        (struct action_step){.ref = ref,
                             .branch = row_branch(&q->k->w->wf->steps[o->step], o->row, q->a),
                             .path = o->output->path,
                             .kind = o->output->kind,
                             .exec = o->output->executable,
                             .digest = o->output->digest};
}

/* With its type: a list is several words where a string that reads like it is one. */
static void add_value(struct ask *q, const char *text, const struct value *v)
{
    struct str *out = &q->k->text;
    struct jsonw w;

    sb_clear(out);
    jw_init(&w, out, false);
    value_json(v, &w);
    *vec_push(&q->values) =
        (struct action_value){text, arena_memdup(q->a, sb_text(out), out->len + 1)};
}

/* Outputs of one branch: the one named, or all. */
static int add_branch(struct ask *q, const char *ref, const struct expr_name *name, uint32_t row,
                      struct err *err)
{
    const struct step *other = &q->k->w->wf->steps[name->step];
    struct branch_view view;
    const char *wanted =
        name->member < other->n_outputs ? other->outputs[name->member].name : name->text;

    if (!scope_listed(q->k->w, q->i, name->step, row, &view)) {
        return 0;
    }
    for (uint32_t n = 0; n < view.result->n_outputs; n++) {
        struct output_ref o = {name->step, row, &view.result->outputs[n]};
        if (!wanted) {
            add_output(q, arena_printf(q->a, "%s.%s", ref, o.output->name), &o);
        } else if (strcmp(o.output->name, wanted) == 0) {
            add_output(q, ref, &o);
            return 0;
        }
    }
    return wanted ? err_set(err, ERR_NOT_FOUND, 0, "step '%s' made no output '%s'", other->name,
                            wanted)
                  : 0;
}

/* All outputs of the models that a select step chose: a model's path leads to one of them. */
static int add_models(struct ask *q, const char *ref, const struct expr_name *name, struct err *err)
{
    struct branch_view view;
    struct value stored;
    const char *text = NULL;

    if (!scope_branch(q->k->w, name->step, 0, &view) ||
        !(text = result_value_find(view.result, "models"))) {
        return 0;
    }
    int rc = value_parse_json(text, strlen(text), q->a, &stored, err);
    *vec_push(&q->values) = (struct action_value){ref, text};
    for (uint32_t n = 0; rc == 0 && n < stored.count; n++) {
        const struct value *model = value_member(&stored.items[n], "name", 4);
        uint32_t step, row;
        if (!model || !scope_find_instance(q->k->w->wf,
                                           arena_strndup(q->a, model->text.data, model->text.len),
                                           &step, &row)) {
            continue;
        }
        struct expr_name all = {.field = FIELD_OUTPUTS, .step = step, .member = NONE};
        rc = add_branch(q, arena_printf(q->a, "%s[%u]", ref, n), &all, row, err);
    }
    return rc;
}

static int add_chain(struct ask *q, const struct expr *chain)
{
    struct chain_read r = {0};
    int rc = chain_read(&q->scope, chain, &r);

    if (rc != 0) {
        return rc;
    }
    for (size_t n = 0; n < r.n_outputs; n++) {
        add_output(q, r.outputs[n].ref, &r.outputs[n].output);
    }
    if (r.json) {
        *vec_push(&q->values) = (struct action_value){r.text, r.json};
    }
    return 0;
}

static int add_read(struct ask *q, uint32_t index, struct err *err)
{
    const struct expr_name *name = q->facts->reads[index];
    const char *ref = q->facts->read_texts[index];
    struct ref_rows rows;
    int rc = 0;

    if (q->facts->chains[index] && add_chain(q, q->facts->chains[index]) >= 0) {
        return 0; /* absent: as below */
    }
    if (name->field == FIELD_MODELS) {
        return add_models(q, ref, name, err);
    }
    if (name->field != FIELD_OUTPUTS) {
        struct value v;
        rc = q->scope.scope.resolve(q->scope.scope.arg, name, &v, err);
        if (rc == 0) {
            add_value(q, ref, &v);
        }
        return rc < 0 ? rc : 0; /* absent: its not being there is what the key says */
    }
    rc = scope_rows(q->k->w, q->i, name->step, name->branch, &rows, err);
    for (uint32_t row = rows.first; rc == 0 && row < rows.end; row++) {
        rc = add_branch(q, ref, name, row, err);
    }
    return rc;
}

/* What select and aggregate read of the steps under `from`. */
static int add_from(struct ask *q, struct err *err)
{
    const struct step *s = q->scope.step;
    const struct workflow *wf = q->k->w->wf;
    struct from_list list;

    if (!s->select && !s->aggregate) {
        return 0;
    }
    int rc = from_collect(q->k->w, q->i, q->a, &list, err);
    for (size_t n = 0; rc == 0 && n < list.count; n++) {
        const struct from_item *item = &list.items[n];
        const char *name = wf->steps[item->step].rows[item->row].name;
        if (item->output) {
            struct output_ref o = {item->step, item->row, item->output};
            add_output(q,
                       arena_printf(q->a, "steps.%s.outputs.%s", wf->steps[item->step].name,
                                    item->output->name),
                       &o);
        }
        if (item->output || !item->result) {
            continue;
        }
        struct expr_name all = {.field = FIELD_OUTPUTS, .step = item->step, .member = NONE};
        rc = add_branch(q, arena_printf(q->a, "steps.%s.outputs", wf->steps[item->step].name), &all,
                        item->row, err);
        if (s->select) {
            const char *text = arena_printf(q->a, "steps.%s.metrics", name);
            *vec_push(&q->values) =
                (struct action_value){text, item->result->metrics ? item->result->metrics : "null"};
        }
    }
    return rc;
}

/* hashFiles(): the digest of what the patterns match, as a value of the action. */
static int on_hash_files(void *arg, const struct value *patterns, uint32_t count, struct value *ret,
                         struct err *err)
{
    struct ask *q = arg;
    CLEANUP(sb_done) struct str name = {0};
    int rc = hash_patterns(q->k->w, q->a, patterns, count, ret, err);

    if (rc != 0) {
        return rc;
    }
    sb_puts(&name, "hashFiles(");
    for (uint32_t n = 0; n < count; n++) {
        sb_puts(&name, n > 0 ? ", " : "");
        value_interpolate(&patterns[n], &name);
    }
    sb_putc(&name, ')');
    *vec_push(&q->values) =
        (struct action_value){arena_strndup(q->a, name.data, name.len),
                              arena_strndup(q->a, ret->text.data, ret->text.len)};
    return 0;
}

/* Evaluates expressions for what their evaluation tells: a dependence on paths, files hashed. What fails here fails in the attempt, with a sentence. */
static void probe_text(struct ask *q, const struct text *t)
{
    for (uint32_t n = 0; t && n < t->n_parts; n++) {
        struct value v;
        if (!t->parts[n].literal && t->parts[n].expr->op != EXPR_NAME &&
            expr_eval(t->parts[n].expr, &q->scope.scope, &v, NULL) < 0) {
            q->path_dependent = true;
        }
    }
}

static void probe_texts(struct ask *q)
{
    const struct step *s = q->scope.step;

    q->scope.scope.path_dependent = &q->path_dependent;
    probe_text(q, s->run);
    for (uint32_t n = 0; n < s->n_command; n++) {
        probe_text(q, s->command[n]);
    }
    for (uint32_t n = 0; n < s->n_env; n++) {
        probe_text(q, s->env[n].value);
    }
    probe_text(q, s->workdir);
    if (q->path_dependent && !q->why_not) {
        q->why_not = "an expression depends on how a path of this machine reads";
    }
}

/* --- putting it together --- */

/* One thing looked at -> what the step sees, and what the action says of it. */
static void add_seen(struct question *ret, struct action_input *in, const struct spec *s,
                     const struct looked *l, const char *path, const char *rel)
{
    ret->inputs[ret->n_inputs] = (struct seen_input){.input = s->input,
                                                     .source = s->kind == SPEC_SOURCE,
                                                     .path = path,
                                                     .rel = rel,
                                                     .name = s->name,
                                                     .kind = l->exists ? l->kind : 'a',
                                                     .exec = l->exec,
                                                     .st = l->st,
                                                     .digest = l->digest,
                                                     .bytes = l->bytes,
                                                     .files = l->files,
                                                     .stamp = l->stamp};
    in[ret->n_inputs++] = (struct action_input){.name = s->name,
                                                .path = rel,
                                                .kind = l->exists ? l->kind : 'a',
                                                .exec = l->exec,
                                                .digest = l->digest};
}

/* Of a git repository of this machine the commit is read: edits that are not committed are easily taken to be part of it. */
static void warn_dirty(struct ask *q, const struct spec *s, struct question *ret)
{
    const struct source_facts *f = fetched_find(q->k, q->i->index);

    if (f && f->dirty) {
        ret->warning = arena_printf(q->a,
                                    "the work tree of %s has changes that are not committed: they "
                                    "are no part of the source, which is commit %.10s",
                                    source_public_url(s->path, q->a), f->commit);
    }
}

static int add_spec(struct ask *q, struct spec *s, struct question *ret, struct action_parts *p,
                    struct action_input *in, struct err *err)
{
    const char *dir = q->k->w->wf->dir;

    if (s->kind == SPEC_GLOB) {
        if (!ret->globs) {
            ret->globs = arena_calloc(q->a, q->scope.step->n_inputs, sizeof(*ret->globs));
        }
        ret->globs[ret->n_globs++] = (struct seen_glob){s->input, s->path};
        for (size_t n = 0; n < s->n_matches; n++) {
            const char *m = arena_strdup(q->a, s->matches[n]);
            bool absolute = *m == '/';
            add_seen(ret, in, s, &s->match_looked[n],
                     absolute ? m : arena_printf(q->a, "%s/%s", dir, m), absolute ? NULL : m);
        }
        return 0;
    }
    int rc = s->kind == SPEC_KNOWN ? 0 : spec_check(s, s->path, &s->looked, err);
    if (rc != 0) {
        return rc;
    }
    if (s->kind == SPEC_PROGRAM) {
        if (s->looked.exists && s->looked.kind == 'f') {
            p->program = &s->looked.digest;
        }
        ret->program = s->path;
        return 0;
    }
    if (s->kind == SPEC_WORD && !s->looked.exists) {
        return 0;
    }
    bool url = s->kind == SPEC_SOURCE && source_is_url(s->path);
    const char *path = s->located ? NULL : url ? source_public_url(s->path, q->a) : s->path;
    add_seen(ret, in, s, &s->looked, path, s->rel);
    if (s->kind == SPEC_SOURCE) {
        warn_dirty(q, s, ret);
        ret->measure = s->measure ? arena_strdup(q->a, s->measure) : NULL;
        ret->measure_why = s->measure_why ? arena_strdup(q->a, s->measure_why) : NULL;
        ret->has_identity = s->located;
    }
    return 0;
}

static size_t count_inputs(const struct specs *specs)
{
    size_t count = 0;

    for (size_t n = 0; n < specs->v.len; n++) {
        count += specs->v.items[n].kind == SPEC_GLOB ? specs->v.items[n].n_matches : 1;
    }
    return count;
}

static int set_work(struct ask *q, struct question *ret, struct err *err)
{
    const struct instance_ref *i = q->i;

    if (!digest_is_zero(&i->work) && i->work_json) {
        ret->work = i->work;
        ret->work_json = i->work_json;
        ret->work_len = i->work_len;
        return 0;
    }
    struct str *out = &q->k->text;
    sb_clear(out);
    int rc = action_work(q->k->w->wf, q->scope.step, q->scope.scope.row, out, err);
    if (rc == 0) {
        ret->work_len = out->len;
        ret->work_json = arena_memdup(q->a, out->data, out->len + 1);
        digest_of(out->data, out->len, &ret->work);
    }
    return rc;
}

/* The shell that runs a script, where nothing else is the program. */
static void find_shell(struct ask *q, struct question *ret)
{
    const struct step *s = q->scope.step;
    const char *cwd = NULL;

    if (!q->facts->host || !s->run || step_cwd(&q->scope, &cwd, NULL) != 0) {
        return;
    }
    const char *name = s->n_shell > 0 ? s->shell_args[0] : s->shell ? s->shell : "sh";
    const char *found = shell_find(q->k, name, cwd, step_path_env(&q->scope));
    ret->program = found ? arena_strdup(q->a, found) : NULL;
}

static int assemble(struct ask *q, const struct image *image, struct question *ret, struct err *err)
{
    size_t room = count_inputs(&q->specs);
    struct action_input *in = arena_calloc(q->a, room + 1, sizeof(*in));
    struct action_parts p = {.image = image ? &image->digest : NULL, .inputs = in};
    int rc = set_work(q, ret, err);

    ret->arena = q->a;
    ret->inputs = arena_calloc(q->a, room + 1, sizeof(*ret->inputs));
    for (size_t n = 0; n < q->specs.v.len && rc == 0; n++) {
        rc = add_spec(q, &q->specs.v.items[n], ret, &p, in, err);
    }
    for (uint32_t n = 0; n < q->facts->n_reads && rc == 0; n++) {
        rc = add_read(q, n, err);
    }
    rc = rc == 0 ? add_from(q, err) : rc;
    if (rc != 0) {
        return rc;
    }
    if (q->facts->complex || q->facts->files) {
        probe_texts(q);
    }
    find_shell(q, ret);
    p.n_inputs = ret->n_inputs;
    p.steps = q->steps.items;
    p.n_steps = q->steps.len;
    p.values = q->values.items;
    p.n_values = q->values.len;
    p.work = ret->work;
    sb_clear(&q->k->action);
    action_write(&p, &q->k->action);
    ret->action_len = q->k->action.len;
    ret->action = arena_memdup(q->a, q->k->action.data, q->k->action.len + 1);
    action_key(ret->action, ret->action_len, &ret->key);
    ret->identity =
        ret->key; /* under time and change the action holds where the source is, not what */
    ret->why_not = q->why_not;
    ret->memoized = q->why_not == NULL;
    return 0;
}

/* Takes over what the pool saw, where it is still what is asked. */
static void take_prepared(struct specs *specs, const struct specs *seen)
{
    for (size_t n = 0; specs->v.len == seen->v.len && n < specs->v.len; n++) {
        struct spec *to = &specs->v.items[n];
        const struct spec *from = &seen->v.items[n];
        if (to->kind == from->kind && text_eq(to->path, from->path) && to->kind != SPEC_KNOWN) {
            to->looked = from->looked;
            to->matches = from->matches;
            to->match_looked = from->match_looked;
            to->n_matches = from->n_matches;
            to->measure = from->measure;
            to->measure_why = from->measure_why;
        }
    }
}

int question_ask(struct asker *k, const struct instance_ref *i, struct arena *a,
                 struct question *ret, struct err *err)
{
    struct ask q = {.k = k, .i = i, .a = a};
    const struct image *image = NULL;
    struct question made = {0};

    asker_begin(k);
    step_scope_init(&q.scope, k->w, i, PATHS_KEY, a);
    q.scope.hash_files = on_hash_files;
    q.scope.arg = &q;
    q.facts = facts_get(k, i, a);
    q.why_not = q.facts->why_not;
    int rc = q.scope.step->image && !q.facts->host && !q.facts->builtin
                 ? image_find(k, &q.scope, &image, err)
                 : 0;
    rc = rc == 0 ? specs_build(k, q.facts, &q.scope, &q.specs, err) : rc;
    if (rc == 0) {
        struct prepared *p = prepared_find(k, i->index);
        if (p) {
            take_prepared(&q.specs, &p->specs);
        }
        rc = specs_look(k, &q.specs, err);
        if (rc == 0) {
            rc = assemble(&q, image, &made, err);
        }
        if (p) {
            prepared_drop(k, p);
        }
    }
    if (rc == 0) {
        *ret = made;
    }
    vec_done(&q.specs.v);
    vec_done(&q.steps);
    vec_done(&q.values);
    return rc;
}
