/* SPDX-License-Identifier: Apache-2.0 */
/* Answers the names in expressions: inputs, outputs, steps, env, source and run. Params and matrix are the evaluator's own. */
#include "steps/scope.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "steps/slug.h"

#include <string.h>

/* What a name under PATHS_KEY stands for: never a path of this machine. */
#define PLACEHOLDER "/wf/path"

static struct value path_value(const char *text)
{
    struct value v = value_text(text);

    v.path = true;
    return v;
}

static struct value new_list(struct arena *a, uint32_t count)
{
    return (struct value){.type = VALUE_LIST,
                          .items = arena_calloc(a, count ? count : 1, sizeof(struct value)),
                          .count = count};
}

static struct value new_object(struct arena *a, uint32_t count)
{
    struct value v = new_list(a, count);

    v.type = VALUE_OBJECT;
    v.keys = arena_calloc(a, count ? count : 1, sizeof(*v.keys));
    return v;
}

static void add_member(struct value *object, const char *key, struct value v)
{
    object->keys[object->count] = slice_str(key);
    object->items[object->count++] = v;
}

/* --- inputs and outputs --- */

static const char *input_path(const struct step_scope *s, const struct seen_input *in)
{
    if (in->kind == 'a') {
        return "";
    }
    if (s->form == PATHS_KEY) {
        return PLACEHOLDER;
    }
    if (s->form == PATHS_HOST) {
        return in->path ? in->path : "";
    }
    if (in->rel) {
        return arena_printf(s->scope.arena, "/workspace/%s", in->rel);
    }
    return arena_printf(s->scope.arena, "/inputs/%s", in->name ? in->name : "");
}

static int resolve_input(struct step_scope *s, const struct expr_name *name, struct value *ret,
                         struct err *err)
{
    uint32_t index = name->member, found = 0;

    for (uint32_t k = 0; index == NONE && name->text && k < s->step->n_inputs; k++) {
        if (text_eq(s->step->inputs[k].name, name->text)) {
            index = k;
        }
    }
    if (index >= s->step->n_inputs) {
        return err_set(err, ERR_INVALID, 0, "there is no input '%s'", name->text ? name->text : "");
    }
    if (s->form == PATHS_KEY) {
        *ret = path_value(PLACEHOLDER);
        return 0;
    }
    struct value list = new_list(s->scope.arena, s->n_inputs);
    for (uint32_t k = 0; k < s->n_inputs; k++) {
        if (s->inputs[k].input == index) {
            list.items[found++] = path_value(input_path(s, &s->inputs[k]));
        }
    }
    list.count = found;
    list.path = true;
    *ret = s->step->inputs[index].glob || found != 1 ? list : list.items[0];
    return 0;
}

static int resolve_output(struct step_scope *s, const struct expr_name *name, struct value *ret,
                          struct err *err)
{
    uint32_t index = name->member;
    const char *below = NULL;

    for (uint32_t k = 0; index == NONE && name->text && k < s->step->n_outputs; k++) {
        if (strcmp(s->step->outputs[k].name, name->text) == 0) {
            index = k;
        }
    }
    if (index >= s->step->n_outputs) {
        return err_set(err, ERR_INVALID, 0, "there is no output '%s'",
                       name->text ? name->text : "");
    }
    if (s->form == PATHS_KEY || !s->out_dir) {
        *ret = path_value(PLACEHOLDER);
        return 0;
    }
    int rc = scope_text(s, s->step->outputs[index].path, &below, err);
    if (rc == 0) {
        size_t dir = strlen(s->out_dir), len = strlen(below);
        char *path = arena_alloc(s->scope.arena, dir + len + 2);
        memcpy(path, s->out_dir, dir);
        path[dir] = '/';
        memcpy(path + dir + 1, below, len);
        *ret = path_value(path);
    }
    return rc;
}

/* --- other steps --- */

static int placed(struct step_scope *s, const struct output_ref *ref, struct value *ret,
                  struct err *err)
{
    const char *path = PLACEHOLDER;
    int rc = 0;

    if (s->place) {
        rc = s->place(s->arg, ref, &path, err);
    }
    if (rc == 0) {
        *ret = path_value(path);
    }
    return rc;
}

static int all_outputs(struct step_scope *s, uint32_t step, uint32_t row, const struct result *r,
                       struct value *ret, struct err *err)
{
    struct value object = new_object(s->scope.arena, r->n_outputs);

    object.count = 0;
    for (uint32_t k = 0; k < r->n_outputs; k++) {
        struct output_ref ref = {step, row, &r->outputs[k]};
        struct value v;
        int rc = placed(s, &ref, &v, err);
        if (rc != 0) {
            return rc;
        }
        add_member(&object, r->outputs[k].name, v);
    }
    *ret = object;
    return 0;
}

static int one_metric(struct step_scope *s, const struct expr_name *name, const struct step *step,
                      const struct result *r, struct value *ret, struct err *err)
{
    struct value all;

    if (!r->metrics) {
        return err_set(err, ERR_NOT_FOUND, 0, "step '%s' has no metrics", step->name);
    }
    int rc = value_parse_json(r->metrics, strlen(r->metrics), s->scope.arena, &all, err);
    if (rc != 0 || !name->text) {
        *ret = rc == 0 ? all : *ret;
        return rc;
    }
    const struct value *v = value_member(&all, name->text, strlen(name->text));
    if (!v) {
        return err_set(err, ERR_NOT_FOUND, 0, "step '%s' has no metric '%s'", step->name,
                       name->text);
    }
    *ret = *v;
    return 0;
}

static struct value all_values(struct step_scope *s, const struct result *r)
{
    struct value object = new_object(s->scope.arena, r->n_values);

    object.count = 0;
    for (uint32_t k = 0; k < r->n_values; k++) {
        add_member(&object, r->values[k].name, value_text(r->values[k].text));
    }
    return object;
}

/* One stored model of a select step, with paths of here and now in place of the outputs' names. */
static int one_model(struct step_scope *s, const struct value *stored, struct value *ret,
                     const char **ret_slug, struct err *err)
{
    const struct value *name = value_member(stored, "name", 4);
    struct value model = new_object(s->scope.arena, stored->count + 3), outputs;
    struct branch_view view;
    uint32_t step, row;

    if (!name || name->type != VALUE_STRING) {
        return err_set(err, ERR_CORRUPT, 0, "the stored choice of models cannot be read");
    }
    const char *text = arena_strndup(s->scope.arena, name->text.data, name->text.len);
    if (!scope_find_instance(s->w->wf, text, &step, &row) ||
        !scope_branch(s->w, step, row, &view)) {
        return err_set(err, ERR_NOT_FOUND, 0, "the chosen model '%s' is not there in this run",
                       text);
    }
    int rc = all_outputs(s, step, row, view.result, &outputs, err);
    if (rc != 0) {
        return rc;
    }
    const struct result_output *main_output = result_main_output(view.result);
    const struct value *path =
        main_output ? value_member(&outputs, main_output->name, strlen(main_output->name)) : NULL;
    model.count = 0;
    for (uint32_t k = 0; k < stored->count; k++) {
        if (!slice_eq(stored->keys[k], slice_str("outputs"))) {
            model.keys[model.count] = stored->keys[k];
            model.items[model.count++] = stored->items[k];
        }
    }
    add_member(&model, "outputs", outputs);
    add_member(&model, "path", path ? *path : value_null());
    *ret_slug = model_slug(&s->w->wf->steps[step], row, s->scope.arena);
    *ret = model;
    return 0;
}

static int models(struct step_scope *s, const struct result *r, struct value *ret, struct err *err)
{
    const char *text = result_value_find(r, "models");
    struct value stored;

    if (!text) {
        return err_set(err, ERR_NOT_FOUND, 0, "the step chose no models");
    }
    int rc = value_parse_json(text, strlen(text), s->scope.arena, &stored, err);
    if (rc != 0) {
        return rc;
    }
    struct value list = new_list(s->scope.arena, stored.count);
    const char **slugs =
        arena_calloc(s->scope.arena, stored.count ? stored.count : 1, sizeof(*slugs));
    for (uint32_t k = 0; k < stored.count && rc == 0; k++) {
        rc = one_model(s, &stored.items[k], &list.items[k], &slugs[k], err);
    }
    if (rc != 0) {
        return rc;
    }
    slugs_make_unique(slugs, stored.count, s->scope.arena);
    for (uint32_t k = 0; k < stored.count; k++) {
        add_member(&list.items[k], "slug", value_text(slugs[k]));
    }
    *ret = list;
    return 0;
}

static const char *member_name(const struct step *step, const struct expr_name *name)
{
    if (name->member != NONE && name->field == FIELD_OUTPUTS && name->member < step->n_outputs) {
        return step->outputs[name->member].name;
    }
    if (name->member != NONE && name->field == FIELD_VALUES && name->member < step->n_values) {
        return step->values[name->member].name;
    }
    return name->text;
}

/* A field of one branch that has a result. */
static int branch_field(struct step_scope *s, const struct expr_name *name, uint32_t row,
                        const struct result *r, struct value *ret, struct err *err)
{
    const struct step *step = &s->w->wf->steps[name->step];
    const char *member = member_name(step, name);

    switch (name->field) {
    case FIELD_OUTPUTS:
        if (!member) {
            return all_outputs(s, name->step, row, r, ret, err);
        } else {
            struct output_ref ref = {name->step, row, result_output_find(r, member)};
            if (!ref.output) {
                return err_set(err, ERR_NOT_FOUND, 0, "step '%s' made no output '%s'", step->name,
                               member);
            }
            return placed(s, &ref, ret, err);
        }
    case FIELD_VALUES:
        if (!member) {
            *ret = all_values(s, r);
            return 0;
        } else {
            const char *text = result_value_find(r, member);
            if (!text) {
                return err_set(err, ERR_NOT_FOUND, 0, "step '%s' gave no value '%s'", step->name,
                               member);
            }
            *ret = value_text(text);
            return 0;
        }
    case FIELD_METRICS:
        return one_metric(s, name, step, r, ret, err);
    case FIELD_MODELS:
        return models(s, r, ret, err);
    default:
        return err_set(err, ERR_UNSUPPORTED, 0, "steps.%s.%s is not supported yet", step->name,
                       step_field_name(name->field));
    }
}

/* How bad a status is for the step as a whole. */
static int status_rank(enum branch_status status)
{
    static const int ranks[] = {
        [BRANCH_SUCCEEDED] = 0, [BRANCH_CACHED] = 0, [BRANCH_PENDING] = 1, [BRANCH_SKIPPED] = 2,
        [BRANCH_CANCELLED] = 3, [BRANCH_LOST] = 4,   [BRANCH_FAILED] = 5,
    };

    return ranks[status];
}

static void step_status(struct step_scope *s, const struct expr_name *name,
                        const struct ref_rows *rows, struct value *ret)
{
    enum branch_status worst = BRANCH_SUCCEEDED;
    bool cached = true;

    for (uint32_t row = rows->first; row < rows->end; row++) {
        struct branch_view view;
        scope_branch(s->w, name->step, row, &view);
        cached = cached && view.status == BRANCH_CACHED;
        if (status_rank(view.status) > status_rank(worst)) {
            worst = view.status;
        }
    }
    *ret =
        name->field == FIELD_STATUS ? value_text(branch_status_names[worst]) : value_bool(cached);
}

static int resolve_step(struct step_scope *s, const struct expr_name *name, struct value *ret,
                        struct err *err)
{
    struct ref_rows rows;
    struct branch_view view;
    int rc = scope_rows(s->w, s->i, name->step, name->branch, &rows, err);

    if (rc != 0) {
        return rc;
    }
    if (name->field == FIELD_STATUS || name->field == FIELD_CACHED) {
        step_status(s, name, &rows, ret);
        return 0;
    }
    if (name->field == FIELD_ENDPOINT) {
        const char *at = s->w->endpoint ? s->w->endpoint(s->w->arg, name->step) : NULL;
        *ret = value_text(at ? at : "");
        return at || s->form == PATHS_KEY ? 0 : 1;
    }
    if (!rows.list) {
        if (!scope_branch(s->w, name->step, rows.first, &view)) {
            return 1;
        }
        return branch_field(s, name, rows.first, view.result, ret, err);
    }
    struct value list = new_list(s->scope.arena, rows.end - rows.first);
    list.count = 0;
    for (uint32_t row = rows.first; row < rows.end && rc == 0; row++) {
        if (scope_listed(s->w, s->i, name->step, row, &view)) {
            rc = branch_field(s, name, row, view.result, &list.items[list.count++], err);
        }
    }
    if (rc == 0 && list.count == 0 && rows.end > rows.first) {
        return 1;
    }
    list.path = name->field == FIELD_OUTPUTS;
    if (rc == 0) {
        *ret = list;
    }
    return rc;
}

/* --- env, source, run --- */

static int resolve_env(struct step_scope *s, const struct expr_name *name, struct value *ret,
                       struct err *err)
{
    for (uint32_t k = 0; name->text && k < s->step->n_env; k++) {
        if (strcmp(s->step->env[k].name, name->text) == 0) {
            return text_eval(s->step->env[k].value, &s->scope, ret, err);
        }
    }
    return err_set(err, ERR_INVALID, 0, "env has no '%s'", name->text ? name->text : "");
}

static int resolve_source(struct step_scope *s, const struct expr_name *name, struct value *ret,
                          struct err *err)
{
    if (name->text && strcmp(name->text, "path") != 0) {
        return err_set(err, ERR_INVALID, 0, "there is no source.%s", name->text);
    }
    *ret = path_value(s->form == PATHS_KEY || !s->source_path ? PLACEHOLDER : s->source_path);
    return 0;
}

static struct value failed_steps(struct step_scope *s)
{
    const struct workflow *wf = s->w->wf;
    struct value list = {.type = VALUE_LIST};
    uint32_t room = 0;

    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t k = 0; k < wf->n_steps; k++) {
            for (uint32_t row = 0; row < wf->steps[k].n_rows; row++) {
                struct branch_view view;
                scope_branch(s->w, k, row, &view);
                if (view.status != BRANCH_FAILED && view.status != BRANCH_LOST) {
                    continue;
                }
                if (pass == 0) {
                    room++;
                } else if (list.count < room) {
                    list.items[list.count++] = value_text(wf->steps[k].rows[row].name);
                }
            }
        }
        if (pass == 0) {
            list = new_list(s->scope.arena, room);
            list.count = 0;
        }
    }
    return list;
}

static int resolve_run(struct step_scope *s, const struct expr_name *name, struct value *ret,
                       struct err *err)
{
    const char *what = name->text ? name->text : "";
    char time[32];

    if (strcmp(what, "id") == 0) {
        *ret = value_text(s->w->run);
    } else if (strcmp(what, "trigger") == 0) {
        *ret = value_text(s->w->trigger ? s->w->trigger : "manual");
    } else if (strcmp(what, "status") == 0 && s->w->run_status) {
        *ret = value_text(s->w->run_status(s->w->arg));
    } else if (strcmp(what, "failed") == 0) {
        *ret = failed_steps(s);
    } else if (strcmp(what, "started_at") == 0 || strcmp(what, "scheduled_at") == 0) {
        int64_t ms = id_time_ms(s->w->run);
        if (what[1] == 'c' && s->w->scheduled_at_ms > 0) {
            ms = s->w->scheduled_at_ms;
        }
        format_time(ms, time);
        *ret = value_text(arena_strdup(s->scope.arena, time));
    } else {
        return err_set(err, ERR_INVALID, 0, "there is no run.%s", what);
    }
    return 0;
}

/* model.path, replica.socket …: known once a model was promoted and a replica starts; in the key they stand for themselves. */
static int resolve_member(const struct step_scope *s, const struct value *object,
                          const struct expr_name *name, struct value *ret, struct err *err)
{
    const char *text = name->text ? name->text : "";
    const struct value *v = object ? value_member(object, text, strlen(text)) : NULL;

    if (!object && s->form == PATHS_KEY) {
        *ret = value_text("");
        return 0;
    }
    if (!v) {
        return err_set(err, ERR_NOT_FOUND, 0, "there is no %s.%s here", expr_root_name(name->root),
                       text);
    }
    *ret = *v;
    return 0;
}

static int resolve(void *arg, const struct expr_name *name, struct value *ret, struct err *err)
{
    struct step_scope *s = arg;

    switch (name->root) {
    case ROOT_INPUTS:
        return resolve_input(s, name, ret, err);
    case ROOT_OUTPUTS:
        return resolve_output(s, name, ret, err);
    case ROOT_STEPS:
        return resolve_step(s, name, ret, err);
    case ROOT_ENV:
        return resolve_env(s, name, ret, err);
    case ROOT_SOURCE:
        return resolve_source(s, name, ret, err);
    case ROOT_RUN:
        return resolve_run(s, name, ret, err);
    case ROOT_MODEL:
        return resolve_member(s, s->model, name, ret, err);
    case ROOT_REPLICA:
        return resolve_member(s, s->replica, name, ret, err);
    default:
        return err_set(err, ERR_UNSUPPORTED, 0, "%s is not known here", expr_root_name(name->root));
    }
}

static int status(void *arg, enum expr_function which, bool *ret, struct err *err)
{
    struct step_scope *s = arg;

    (void)err;
    *ret = which == FN_ALWAYS || s->w->status(s->w->arg, s->i->step, which);
    return 0;
}

static int hash_files(void *arg, const struct value *patterns, uint32_t count, struct value *ret,
                      struct err *err)
{
    struct step_scope *s = arg;

    if (!s->hash_files) {
        return err_set(err, ERR_UNSUPPORTED, 0, "hashFiles() cannot be used here");
    }
    return s->hash_files(s->arg, patterns, count, ret, err);
}

void step_scope_init(struct step_scope *s, const struct world *w, const struct instance_ref *i,
                     enum path_form form, struct arena *a)
{
    const struct step *step = &w->wf->steps[i->step];

    *s = (struct step_scope){
        .w = w, .step = step, .i = i, .form = form, .model = w->model, .replica = w->replica};
    s->scope = (struct scope){.arena = a,
                              .wf = w->wf,
                              .step = step,
                              .params = w->params,
                              .row = i->row < step->n_rows ? &step->rows[i->row] : NULL,
                              .resolve = resolve,
                              .status = status,
                              .hash_files = hash_files,
                              .arg = s};
}

int scope_text(struct step_scope *s, const struct text *t, const char **ret, struct err *err)
{
    CLEANUP(sb_done) struct str out = {0};

    if (t->n_parts == 0) {
        *ret = t->source;
        return 0;
    }
    int rc = text_eval_string(t, &s->scope, &out, err);
    if (rc > 0) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "'%s' reads what a skipped step would have made; cover it with default()",
                       t->source);
    }
    if (rc == 0) {
        *ret = arena_memdup(s->scope.arena, sb_text(&out), out.len + 1);
    }
    return rc;
}
