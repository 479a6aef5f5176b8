/* SPDX-License-Identifier: Apache-2.0 */
/* Names in expressions: which are known where, and what they stand for. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "workflows/check_internal.h"

#include <string.h>

static const struct place_rule {
    const char *what;
    uint32_t roots;
} place_rules[PLACE_COUNT] = {
    [PLACE_RUN] = {"run", USES_PARAMS | USES_ENV | USES_MATRIX | USES_INPUTS | USES_OUTPUTS |
                              USES_STEPS | USES_SOURCE | USES_RUN | USES_MODEL | USES_REPLICA},
    [PLACE_COMMAND] = {"command", USES_PARAMS | USES_ENV | USES_MATRIX | USES_INPUTS |
                                      USES_OUTPUTS | USES_STEPS | USES_SOURCE | USES_RUN |
                                      USES_MODEL | USES_REPLICA},
    [PLACE_ENV] = {"env", USES_PARAMS | USES_MATRIX | USES_INPUTS | USES_OUTPUTS | USES_STEPS |
                              USES_SOURCE | USES_RUN | USES_MODEL | USES_REPLICA},
    [PLACE_IMAGE] = {"image", USES_PARAMS | USES_MATRIX},
    [PLACE_WORKDIR] = {"workdir", USES_PARAMS | USES_ENV | USES_MATRIX | USES_INPUTS | USES_STEPS |
                                      USES_MODEL | USES_REPLICA},
    [PLACE_SOURCE] = {"source", USES_PARAMS | USES_ENV | USES_MATRIX | USES_STEPS},
    [PLACE_INPUT] = {"inputs", USES_PARAMS | USES_MATRIX | USES_STEPS},
    [PLACE_OUTPUT] = {"an output's path", USES_PARAMS | USES_MATRIX},
    [PLACE_PUBLISH] = {"publish", USES_PARAMS | USES_MATRIX},
    [PLACE_READY] = {"ready.run", USES_PARAMS | USES_ENV | USES_INPUTS | USES_STEPS | USES_RUN |
                                      USES_MODEL | USES_REPLICA},
    [PLACE_TOKENS] = {"limits.rate.tokens", USES_PARAMS},
    [PLACE_IF] = {"if", USES_PARAMS | USES_ENV | USES_MATRIX | USES_STEPS | USES_RUN},
};

/* Says that `name` is not a `what`, with the nearest of `count` words read by `word(i)`. */
#define SUGGEST(c, name, count, expression)                                                        \
    do {                                                                                           \
        VEC(const char *) words_ = {0};                                                            \
        for (uint32_t i = 0; i < (count); i++)                                                     \
            *vec_push(&words_) = (expression);                                                     \
        diag_did_you_mean((c)->l->d, suggest_nearest((name), words_.items, words_.len));           \
        vec_done(&words_);                                                                         \
    } while (0)

/* --- the step's own names --- */

static void name_param(struct check *c, struct expr *e)
{
    struct loader *l = c->l;
    ptrdiff_t i = map_find(&l->param_names, e->name.text, strlen(e->name.text));
    if (i >= 0) {
        e->name.member = (uint32_t)i;
        l->param_used[i] = true;
        return;
    }
    diag_error(l->d, e->span, "unknown-param", "'%.60s' is not a param", e->name.text);
    suggest_from_map(l, e->name.text, &l->param_names);
}

static void name_env(struct check *c, struct expr *e)
{
    const struct step *s = c->step;
    for (uint32_t i = 0; i < s->n_env; i++) {
        if (strcmp(s->env[i].name, e->name.text) == 0)
            return;
    }
    diag_error(c->l->d, e->span, "unknown-env", "'%.60s' is not in the env of step '%s'",
               e->name.text, s->name);
    SUGGEST(c, e->name.text, s->n_env, s->env[i].name);
}

static bool row_has(const struct matrix_row *row, const char *axis)
{
    for (uint32_t i = 0; i < row->n; i++) {
        if (strcmp(row->axes[i], axis) == 0)
            return true;
    }
    return false;
}

static void name_matrix(struct check *c, struct expr *e)
{
    const struct step *s = c->step;
    if (!s->is_matrix) {
        diag_error(c->l->d, e->span, "unknown-name", "step '%s' has no matrix", s->name);
        return;
    }
    if (s->n_rows == 0)
        return;
    for (uint32_t r = 0; r < s->n_rows; r++) {
        if (row_has(&s->rows[r], e->name.text))
            return;
    }
    diag_error(c->l->d, e->span, "unknown-axis",
               "'%.60s' is not an axis of the matrix of step '%s'", e->name.text, s->name);
    SUGGEST(c, e->name.text, s->rows[0].n, s->rows[0].axes[i]);
}

static void name_input(struct check *c, struct expr *e)
{
    const struct step *s = c->step;
    uint32_t named = 0;
    for (uint32_t i = 0; i < s->n_inputs; i++) {
        if (s->inputs[i].name != NULL && strcmp(s->inputs[i].name, e->name.text) == 0) {
            e->name.member = i;
            return;
        }
        named += s->inputs[i].name != NULL;
    }
    diag_error(c->l->d, e->span, "unknown-input", "'%.60s' is not a named input of step '%s'",
               e->name.text, s->name);
    if (named == 0 && s->n_inputs > 0)
        diag_hint(c->l->d, "give it a name: inputs: {%.60s: path}", e->name.text);
    SUGGEST(c, e->name.text, s->n_inputs, s->inputs[i].name ? s->inputs[i].name : "");
}

static uint32_t find_output(const struct step *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        if (strcmp(s->outputs[i].name, name) == 0)
            return i;
    }
    return NONE;
}

static void name_output(struct check *c, struct expr *e, const struct step *s)
{
    e->name.member = find_output(s, e->name.text);
    if (e->name.member != NONE)
        return;
    diag_error(c->l->d, e->span, "unknown-output", "'%.60s' is not an output of step '%s'",
               e->name.text, s->name);
    if (s->kind == KIND_SELECT)
        diag_hint(c->l->d, "a select step has models: steps.%s.models", s->name);
    else if (step_is_service(s))
        diag_hint(c->l->d, "a service has an address: steps.%s.endpoint", s->name);
    SUGGEST(c, e->name.text, s->n_outputs, s->outputs[i].name);
}

static void name_run(struct check *c, struct expr *e)
{
    static const char *const members[] = {"id",     "trigger", "scheduled_at",
                                          "status", "failed",  "started_at"};
    uint32_t known = c->step->finally ? ARRAY_LEN(members) : 3;
    for (uint32_t i = 0; i < known; i++) {
        if (strcmp(members[i], e->name.text) == 0) {
            if (c->place != PLACE_IF && c->step->uncacheable == NULL)
                c->step->uncacheable = arena_printf(c->l->a, "names run.%s", members[i]);
            return;
        }
    }
    diag_error(c->l->d, e->span, "unknown-name", "run has no '%.60s'", e->name.text);
    for (uint32_t i = known; i < ARRAY_LEN(members); i++) {
        if (strcmp(members[i], e->name.text) == 0)
            diag_hint(c->l->d, "only steps under finally see it");
    }
    SUGGEST(c, e->name.text, known, members[i]);
}

static void name_source(struct check *c, struct expr *e)
{
    if (c->step->kind != KIND_INGEST) {
        diag_error(c->l->d, e->span, "unknown-name", "step '%s' of kind %s has no source",
                   c->step->name, step_kind_names[c->step->kind]);
    } else if (strcmp(e->name.text, "path") != 0) {
        diag_error(c->l->d, e->span, "unknown-name", "source has no '%.60s'", e->name.text);
        diag_hint(c->l->d, "source.path is where the fetched data lies");
    }
}

/* Whether `name` is one of the words; else it is reported, with the nearest. */
static bool name_one_of(struct check *c, const struct expr *e, const char *const *words,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(words[i], e->name.text) == 0)
            return true;
    }
    diag_error(c->l->d, e->span, "unknown-name", "%s has no '%.60s'", expr_root_name(e->name.root),
               e->name.text);
    SUGGEST(c, e->name.text, count, words[i]);
    return false;
}

static struct expr *part_of(struct check *c, const struct expr *e, enum expr_op op)
{
    struct expr *part = arena_calloc(c->l->a, 1, sizeof(*part));
    part->op = op;
    part->span = e->span;
    part->source = e->source;
    part->depth = 1;
    part->name = (struct expr_name){.step = NONE, .member = NONE};
    return part;
}

/* model.NAME of a step that goes along a choice is steps.SELECT.models[matrix.choice].NAME. Its parts are looked at afterwards, as those of any expression. */
static void name_chosen(struct check *c, struct expr *e)
{
    struct loader *l = c->l;
    const struct step *select = &l->wf->steps[c->facts->chosen_of - 1];
    struct expr *models = part_of(c, e, EXPR_NAME), *at = part_of(c, e, EXPR_NAME);
    struct expr *one = part_of(c, e, EXPR_INDEX);
    models->name.root = ROOT_STEPS;
    models->name.field = FIELD_MODELS;
    models->name.branch = select->name;
    at->name.root = ROOT_MATRIX;
    at->name.text = load_shared_name(l, "choice", strlen("choice"));
    struct expr *parts[] = {models, at};
    one->args = arena_memdup(l->a, parts, sizeof(parts));
    one->n_args = 2;
    one->depth = 2;
    e->op = EXPR_MEMBER;
    e->literal = value_text(e->name.text);
    e->args = arena_memdup(l->a, &one, sizeof(one));
    e->n_args = 1;
    e->depth = 3;
    c->chosen = true;
}

static void name_model(struct check *c, struct expr *e)
{
    static const char *const members[] = {"path",    "name",   "slug",    "metric",
                                          "metrics", "matrix", "outputs", "promotion"};
    const struct step *s = c->step;
    if (c->facts->chosen_of > 0) {
        if (name_one_of(c, e, members, ARRAY_LEN(members) - 1))
            name_chosen(c, e);
    } else if (s->kind != KIND_SERVE) {
        diag_error(c->l->d, e->span, "bad-place",
                   "'model' is for serve steps, and step '%s' is of kind %s", s->name,
                   step_kind_names[s->kind]);
        diag_hint(c->l->d,
                  "a select step's models are steps.NAME.models; needs: {NAME: each} runs a "
                  "step for each of them");
    } else if (c->facts->from == NULL) {
        diag_error(c->l->d, e->span, "unknown-name", "step '%s' has no model: it has no from",
                   s->name);
        diag_hint(c->l->d, "name the select step under from, or hand a file over with inputs");
    } else {
        name_one_of(c, e, members, ARRAY_LEN(members));
    }
}

static void name_replica(struct check *c, struct expr *e)
{
    static const char *const members[] = {"socket", "port", "index"};
    const struct step *s = c->step;
    if (s->kind != KIND_SERVE) {
        diag_error(c->l->d, e->span, "bad-place",
                   "'replica' is for serve steps, and step '%s' is of kind %s", s->name,
                   step_kind_names[s->kind]);
        return;
    }
    if (!name_one_of(c, e, members, ARRAY_LEN(members)))
        return;
    bool socket = s->serve == NULL || s->serve->address == ADDRESS_SOCKET;
    if (socket && strcmp(e->name.text, "port") == 0) {
        diag_error(c->l->d, e->span, "bad-place", "a replica of step '%s' has a socket, no port",
                   s->name);
        diag_hint(c->l->d, "use replica.socket, or say address: port");
    } else if (!socket && strcmp(e->name.text, "socket") == 0) {
        diag_error(c->l->d, e->span, "bad-place", "a replica of step '%s' has a port, no socket",
                   s->name);
        diag_hint(c->l->d, "use replica.port, or leave address out");
    }
}

/* --- other steps' names --- */

static void unknown_step(struct check *c, struct expr *e)
{
    diag_error(c->l->d, e->span, "unknown-step", "'%.60s' is not a step", e->name.branch);
    suggest_from_map(c->l, e->name.branch, &c->l->step_names);
}

/* The step, and whether the name is one branch's; NONE: reported. */
static uint32_t find_target(struct check *c, struct expr *e, bool *ret_branch)
{
    const char *name = e->name.branch;
    *ret_branch = false;
    uint32_t whole = load_step_index(c->l, name);
    if (whole != NONE)
        return whole;
    const char *bracket = strchr(name, '[');
    ptrdiff_t at =
        bracket != NULL ? map_find(&c->l->step_names, name, (size_t)(bracket - name)) : -1;
    if (at < 0) {
        unknown_step(c, e);
        return NONE;
    }
    const struct step *s = &c->l->wf->steps[at];
    for (uint32_t r = 0; r < s->n_rows; r++) {
        if (s->is_matrix && strcmp(s->rows[r].name, name) == 0) {
            *ret_branch = true;
            return (uint32_t)at;
        }
    }
    diag_error(c->l->d, e->span, "unknown-branch", "'%.100s' is not a branch of step '%s'", name,
               s->name);
    SUGGEST(c, name, s->n_rows, s->rows[i].name);
    return NONE;
}

static void name_value(struct check *c, struct expr *e, const struct step *s)
{
    for (uint32_t i = 0; i < s->n_values; i++) {
        if (strcmp(s->values[i].name, e->name.text) == 0) {
            e->name.member = i;
            return;
        }
    }
    diag_error(c->l->d, e->span, "unknown-value", "'%.60s' is not a value of step '%s'",
               e->name.text, s->name);
    if (s->n_values == 0)
        diag_hint(c->l->d, "name it there: values: [%.60s]", e->name.text);
    SUGGEST(c, e->name.text, s->n_values, s->values[i].name);
}

static void name_endpoint(struct check *c, struct expr *e, const struct step *s)
{
    struct loader *l = c->l;
    if (!step_is_service(s)) {
        diag_error(l->d, e->span, "unknown-name",
                   "step '%s' of kind %s is no service and has no endpoint", s->name,
                   step_kind_names[s->kind]);
    } else if (e->name.text != NULL) {
        diag_error(l->d, e->span, "unknown-name", "steps.%s.endpoint has no '%.60s'", s->name,
                   e->name.text);
    } else if (c->place > PLACE_ENV) {
        diag_error(l->d, e->span, "bad-place", "'steps.%s.endpoint' cannot be used in %s", s->name,
                   place_rules[c->place].what);
        diag_hint(l->d, "it is for run, command and env");
    } else if (c->step->network == NETWORK_NONE && c->step->executor == EXECUTOR_CONTAINER) {
        diag_error(l->d, e->span, "bad-value",
                   "with network: none step '%s' cannot reach the endpoint of '%s'", c->step->name,
                   s->name);
    } else if (c->step->uncacheable == NULL) {
        c->step->uncacheable = arena_strdup(l->a, "names an endpoint");
    }
}

static bool name_field(struct check *c, struct expr *e, const struct step *s)
{
    struct loader *l = c->l;
    struct expr_name *n = &e->name;
    size_t errors = l->d->errors;
    switch (n->field) {
    case FIELD_OUTPUTS:
    case FIELD_VALUES:
        if (n->text == NULL)
            diag_error(l->d, e->span, "unknown-name",
                       "say which of the %s of step '%s': steps.%s.%s.NAME",
                       step_field_name(n->field), s->name, s->name, step_field_name(n->field));
        else if (n->field == FIELD_OUTPUTS)
            name_output(c, e, s);
        else
            name_value(c, e, s);
        break;
    case FIELD_METRICS:
        if (find_output(s, "metrics") == NONE)
            diag_error(l->d, e->span, "unknown-name", "step '%s' has no output named metrics",
                       s->name);
        break;
    case FIELD_MODELS:
        if (s->kind != KIND_SELECT)
            diag_error(l->d, e->span, "unknown-name",
                       "step '%s' of kind %s has no models: a select step has", s->name,
                       step_kind_names[s->kind]);
        break;
    case FIELD_ENDPOINT:
        name_endpoint(c, e, s);
        break;
    case FIELD_STATUS:
    case FIELD_CACHED:
    default:
        if (n->text != NULL)
            diag_error(l->d, e->span, "unknown-name", "steps.%s.%s has no '%.60s'", s->name,
                       step_field_name(n->field), n->text);
        break;
    }
    return l->d->errors == errors;
}

static void name_step(struct check *c, struct expr *e, bool in_default)
{
    struct expr_name *n = &e->name;
    bool branch = n->step != NONE && n->branch != NULL;
    uint32_t target = n->step; /* a shared text was resolved for another step */
    if (target == NONE)
        target = find_target(c, e, &branch);
    if (target == NONE)
        return;
    const struct step *s = &c->l->wf->steps[target];
    if (target == c->index) {
        diag_error(c->l->d, e->span, "cycle", "step '%s' refers to itself", s->name);
        diag_hint(c->l->d, "its own outputs are outputs.NAME");
        return;
    }
    if (s->finally && !c->step->finally) {
        diag_error(c->l->d, e->span, "bad-place",
                   "step '%s' stands under finally and runs after '%s'", s->name, c->step->name);
        return;
    }
    if (!name_field(c, e, s))
        return;
    n->step = target;
    n->covered = in_default || c->may_miss;
    if (!branch)
        n->branch = NULL;
    check_add_need(c, target, false, n->field == FIELD_STATUS || n->covered);
    /* Where a service answers is no part of a result: the step is not memoized. */
    if (c->place != PLACE_IF && n->field != FIELD_ENDPOINT)
        check_add_read(c, n);
}

static void refuse_place(struct check *c, const struct expr *e)
{
    const char *root = expr_root_name(e->name.root), *what = place_rules[c->place].what;
    diag_error(c->l->d, e->span, "bad-place", "'%s' cannot be used in %s", root, what);
    if (e->name.root == ROOT_ENV && c->place == PLACE_ENV)
        diag_hint(c->l->d, "a variable may not be made from another one; use params");
}

void check_name_in(struct expr *e, bool in_default, void *arg)
{
    struct check *c = arg;
    enum expr_root root = e->name.root;
    if ((place_rules[c->place].roots & (1u << root)) == 0) {
        refuse_place(c, e);
        return;
    }
    if (root == ROOT_STEPS) {
        name_step(c, e, in_default);
        return;
    }
    if (e->name.text == NULL) {
        /* `matrix` and `params` as a whole, for toJSON() */
        if (root == ROOT_MATRIX && c->step->is_matrix)
            return;
        diag_error(c->l->d, e->span, "unknown-name", "say which of %s: %s.NAME",
                   expr_root_name(root), expr_root_name(root));
        return;
    }
    switch (root) {
    case ROOT_PARAMS:
        name_param(c, e);
        break;
    case ROOT_ENV:
        name_env(c, e);
        break;
    case ROOT_MATRIX:
        name_matrix(c, e);
        break;
    case ROOT_INPUTS:
        name_input(c, e);
        if (e->name.member != NONE)
            check_add_read(c, &e->name);
        break;
    case ROOT_OUTPUTS:
        name_output(c, e, c->step);
        break;
    case ROOT_RUN:
        name_run(c, e);
        break;
    case ROOT_SOURCE:
        name_source(c, e);
        break;
    case ROOT_MODEL:
        name_model(c, e);
        break;
    case ROOT_REPLICA:
        name_replica(c, e);
        break;
    default:
        break;
    }
}
