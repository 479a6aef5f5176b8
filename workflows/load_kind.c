/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the kinds, and what each kind must, may and by default does hold. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/load_internal.h"

#include <string.h>

/* --- options --- */

static void on_wait_key(struct loader *l, const struct entry *e, void *arg)
{
    struct select_options *o = arg;
    if (strcmp(e->key->name, "for") == 0)
        load_count(l, e, 1, &o->wait_for);
    else if (load_duration(l, e, &o->wait_at_most_ms) && o->wait_at_most_ms == 0)
        load_expected_as(l, e->value, "at_most", "longer than nothing");
}

static void load_wait(struct loader *l, struct select_options *o, const struct entry *e)
{
    o->wait_for = 0;
    o->wait_at_most_ms = 0;
    if (is_null(e->value) && (e->inherited || e->value->len > 0))
        return;
    if (e->value->kind != NODE_MAP || e->value->len == 0)
        load_expected(l, e);
    else
        load_mapping(l, e->value, &schema_wait, "wait", on_wait_key, o);
}

void load_select_key(struct loader *l, struct step *s, const struct entry *e)
{
    static const char *const modes[] = {"max", "min"}, *const promotes[] = {"complete", "early"};
    struct select_options *o = s->select;
    const char *key = e->key->name;
    uint32_t mode = 0;
    if (o == NULL) /* the step's kind is not known */
        return;
    if (strcmp(key, "metric") == 0) {
        o->metric = load_words(l, e);
        if (o->metric != NULL && *o->metric == '\0')
            load_expected(l, e);
    } else if (strcmp(key, "mode") == 0) {
        if (load_choice(l, e, modes, ARRAY_LEN(modes), &mode))
            o->min = mode == 1;
    } else if (strcmp(key, "at_least") == 0) {
        o->has_at_least = load_number(l, e, &o->at_least);
    } else if (strcmp(key, "at_most") == 0) {
        o->has_at_most = load_number(l, e, &o->at_most);
    } else if (strcmp(key, "top") == 0) {
        load_count(l, e, 1, &o->top);
    } else if (strcmp(key, "min_models") == 0) {
        load_count(l, e, 0, &o->min_models);
    } else if (strcmp(key, "promote") == 0) {
        if (load_choice(l, e, promotes, ARRAY_LEN(promotes), &mode))
            o->early = mode == 1;
    } else if (strcmp(key, "wait") == 0) {
        load_wait(l, o, e);
    } else if (strcmp(key, "min_delta") == 0) {
        if (load_number(l, e, &o->min_delta) && o->min_delta < 0)
            load_expected_as(l, e->value, "min_delta", "at least 0");
    } else {
        o->has_tolerate = load_count(l, e, 0, &o->tolerate);
    }
}

/* A written null takes a default away. */
static void load_count_or_null(struct loader *l, const struct entry *e, uint32_t *ret,
                               uint32_t blank)
{
    if (is_null(e->value) && (e->inherited || e->value->len > 0))
        *ret = blank;
    else
        load_count(l, e, 1, ret);
}

void load_aggregate_key(struct loader *l, struct step *s, const struct entry *e)
{
    struct aggregate_options *o = s->aggregate;
    uint32_t method = 0;
    if (o == NULL)
        return;
    if (strcmp(e->key->name, "of") == 0)
        o->of = load_words(l, e);
    else if (strcmp(e->key->name, "quorum") == 0)
        load_count_or_null(l, e, &o->quorum, 1);
    else if (strcmp(e->key->name, "split") == 0)
        load_count_or_null(l, e, &o->split, 0);
    else if (load_choice(l, e, method_names, METHOD_COMMAND, &method))
        o->method = (enum method)method;
}

bool expr_calls_status(const struct expr *e)
{
    if (e->op == EXPR_CALL && e->function <= FN_ALWAYS)
        return true;
    for (uint32_t i = 0; i < e->n_args; i++) { /* as deep as the parser allows */
        if (expr_calls_status(e->args[i]))
            return true;
    }
    return false;
}

/* --- what a kind must hold --- */

static void require(struct loader *l, const struct step *s, const char *what, const char *example)
{
    diag_error(l->d, s->span, "missing-key", "step '%s' of kind %s needs %s", s->name,
               step_kind_names[s->kind], what);
    if (example != NULL)
        diag_hint(l->d, "%s", example);
}

static void default_output(struct loader *l, struct step *s, const char *name, const char *path)
{
    struct output *o = arena_alloc(l->a, sizeof(*o));
    struct text *t = arena_alloc(l->a, sizeof(*t));
    t->source = arena_strdup(l->a, path);
    t->len = (uint32_t)strlen(path);
    t->span = s->span;
    *o = (struct output){
        .name = load_shared_name(l, name, strlen(name)), .path = t, .span = s->span};
    s->outputs = o;
    s->n_outputs = 1;
}

static void finish_ingest(struct loader *l, struct step *s, const struct step_facts *f)
{
    bool process = s->run != NULL || s->command != NULL;
    if (s->source == NULL && !facts_own_name(f, "source"))
        require(l, s, "a source", "for example source: data/train.csv");
    if (process)
        return;
    if (s->n_outputs == 0 && !facts_own_name(f, "outputs")) {
        default_output(l, s, "data", "data");
    } else if (s->n_outputs != 1 || strcmp(s->outputs[0].name, "data") != 0) {
        diag_error(l->d, facts_place(s, f, "outputs"), "bad-value",
                   "without run or command the one output of an ingest step is 'data'");
        diag_hint(l->d, "write {data: path}, or leave outputs out");
    }
    if (s->n_values > 0)
        diag_error(l->d, facts_place(s, f, "values"), "bad-value",
                   "values need run or command to write them");
}

static bool has_output(const struct step *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        if (strcmp(s->outputs[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Whether a serve step is among those it takes from; what they are is looked up in their text, because they may stand later in the file. */
static bool takes_from_serve(struct loader *l, const struct step_facts *f)
{
    const struct node *n = f->from;
    uint32_t count = n == NULL ? 0 : n->kind == NODE_LIST ? n->len : 1;
    for (uint32_t i = 0; i < count; i++) {
        const struct node *name = n->kind == NODE_LIST ? n->items[i] : n;
        uint32_t at = name->kind == NODE_SCALAR ? load_step_index(l, name->text) : NONE;
        const struct node *kind =
            at != NONE && l->facts[at].node != NULL ? node_get(l->facts[at].node, "kind") : NULL;
        if (kind != NULL && kind->kind == NODE_SCALAR &&
            strcmp(kind->text, step_kind_names[KIND_SERVE]) == 0)
            return true;
    }
    return false;
}

static void finish_aggregate(struct loader *l, struct step *s, const struct step_facts *f)
{
    struct aggregate_options *o = s->aggregate;
    bool process = s->run != NULL || s->command != NULL;
    if (f->from == NULL)
        require(l, s, "from: the steps whose outputs are combined", NULL);
    o->online = takes_from_serve(l, f);
    finish_online(l, s, f);
    if (process) {
        if (facts_own_name(f, "method"))
            diag_error(l->d, facts_place(s, f, "method"), "bad-value",
                       "a step has either a method or a script of its own");
        o->method = METHOD_COMMAND;
        return;
    }
    if (o->method == METHOD_COUNT) {
        if (!facts_own_name(f, "method"))
            require(l, s, "a method (mean, vote, union, concat, best) or run", NULL);
        o->method = METHOD_MEAN;
    }
    if (o->online)
        return;
    if (s->n_outputs == 0 && !facts_own_name(f, "outputs"))
        default_output(l, s, "result", "result.json");
    else if (s->n_outputs != 1)
        diag_error(l->d, facts_place(s, f, "outputs"), "bad-value", "method %s makes one output",
                   method_names[o->method]);
    if (s->n_values > 0)
        diag_error(l->d, facts_place(s, f, "values"), "bad-value",
                   "values need run or command to write them");
}

static void finish_select(struct loader *l, struct step *s, const struct step_facts *f)
{
    struct select_options *o = s->select;
    if (f->from == NULL)
        require(l, s, "from: the steps to choose from", NULL);
    if (o->metric == NULL && !facts_own_name(f, "metric"))
        require(l, s, "a metric", "for example metric: accuracy");
    if (o->has_at_least && o->has_at_most && o->at_least > o->at_most)
        diag_error(l->d, facts_place(s, f, "at_most"), "bad-value",
                   "at_most is below at_least: nothing can pass");
    if (o->min_models > o->top)
        diag_error(l->d, facts_place(s, f, "min_models"), "bad-value",
                   "min_models is more than top keeps");
    if (o->early || (o->wait_for == 0 && o->wait_at_most_ms == 0))
        return;
    if (facts_own_name(f, "wait")) {
        diag_error(l->d, facts_place(s, f, "wait"), "bad-value",
                   "'wait' is for promote: early; without it step '%s' waits for all", s->name);
        return;
    }
    o->wait_for = 0; /* a default for those that promote early */
    o->wait_at_most_ms = 0;
}

/* --- where it runs --- */

/* An image that only params make up is known now; an empty one is none. */
static void settle_image(struct loader *l, struct step *s)
{
    if (s->image == NULL || (s->image->uses & ~(uint32_t)USES_PARAMS) != 0)
        return;
    if (s->image->n_parts == 0) {
        if (s->image->len == 0)
            s->image = NULL;
        return;
    }
    struct scope scope = load_scope(l);
    CLEANUP(sb_done) struct str out = {0};
    /* A wrong name is reported where names are checked. */
    if (text_eval_string(s->image, &scope, &out, NULL) == 0 && out.len == 0)
        s->image = NULL;
}

static void finish_executor(struct loader *l, struct step *s, const struct step_facts *f)
{
    settle_image(l, s);
    if (s->executor == EXECUTOR_CONTAINER && s->image == NULL) {
        diag_error(l->d, s->span, "missing-key", "step '%s' has executor: container and no image",
                   s->name);
    } else if (s->executor == EXECUTOR_PROCESS && s->image != NULL) {
        /* The nearer word wins: a default for containers holds for those that are some. Both on the step are a slip, unless a param decides. */
        bool image = facts_own_name(f, "image"), executor = facts_own_name(f, "executor");
        const struct node *word = executor ? node_get(f->node, "executor") : NULL;
        if (image && word != NULL && word->kind == NODE_SCALAR &&
            strstr(word->text, "${{") == NULL) {
            diag_error(l->d, facts_place(s, f, "executor"), "bad-value",
                       "a step with an image runs in a container, not as a process");
            diag_hint(l->d, "leave out one of them; image: null removes a default");
        }
        if (image && !executor)
            s->executor = EXECUTOR_CONTAINER;
        else
            s->image = NULL;
    }
    if (s->executor == EXECUTOR_AUTO)
        s->executor = s->image != NULL ? EXECUTOR_CONTAINER : EXECUTOR_PROCESS;
    /* A default for containers holds for those that are some; on the step itself a process refuses it. */
    if (s->executor == EXECUTOR_PROCESS && !facts_own_name(f, "network"))
        s->network = NETWORK_HOST;
}

/* What only a process of the user's would heed. */
static void refuse_process_keys(struct loader *l, struct step *s, const struct step_facts *f)
{
    static const char *const keys[] = {"image",    "pull",    "executor", "env",
                                       "pass_env", "secrets", "workdir",  "shell",
                                       "network",  "inputs",  "resources"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (s->source != NULL && strcmp(keys[i], "secrets") == 0)
            continue; /* the fetching uses them */
        if (facts_own_name(f, keys[i]) && !(strcmp(keys[i], "image") == 0 && s->image == NULL))
            diag_error(l->d, facts_place(s, f, keys[i]), "kind-key",
                       "'%s' is for run or command, and step '%s' has neither", keys[i], s->name);
    }
    s->image = NULL;
    s->executor = EXECUTOR_PROCESS;
}

/* A variable has one meaning. */
static void check_secret_names(struct loader *l, const struct step *s, const struct step_facts *f)
{
    for (uint32_t i = 0; i < s->n_secrets; i++) {
        for (uint32_t k = 0; k < s->n_env; k++) {
            if (strcmp(s->secrets[i].env, s->env[k].name) == 0)
                diag_error(l->d, facts_place(s, f, "secrets"), "bad-value",
                           "the variable '%s' is both a secret and in env", s->env[k].name);
        }
    }
}

static void finish_process(struct loader *l, struct step *s, const struct step_facts *f)
{
    bool run = facts_own_name(f, "run"), command = facts_own_name(f, "command");
    if (run && command) {
        diag_error(l->d, facts_place(s, f, "command"), "bad-value",
                   "step '%s' has both run and command: keep one", s->name);
    } else if (!run && !command && !f->unknown_keys &&
               (s->kind == KIND_COMMAND || s->kind == KIND_TRAIN)) {
        require(l, s, "run or command", "for example run: echo hello");
    }
    if (command && facts_own_name(f, "shell"))
        diag_error(l->d, facts_place(s, f, "shell"), "bad-value",
                   "'shell' is for run; a command runs without a shell");
    check_secret_names(l, s, f);
    if (s->image != NULL) /* it may be dropped here, before names are looked at */
        text_each_name(s->image, load_mark_param, l);
    if (run || command || s->kind == KIND_COMMAND || s->kind == KIND_TRAIN || s->kind == KIND_SERVE)
        finish_executor(l, s, f);
    else
        refuse_process_keys(l, s, f);
}

void finish_kind(struct loader *l, struct step *s, const struct step_facts *f)
{
    if (s->finally && s->condition == NULL && !facts_own_name(f, "if")) {
        s->condition = l->always;
        s->condition_has_status = true;
    }
    if (s->kind == KIND_WORKFLOW || s->kind == KIND_APPROVE)
        return; /* refused already */
    if (s->kind == KIND_SELECT)
        s->executor = EXECUTOR_PROCESS;
    else
        finish_process(l, s, f);
    if (s->kind == KIND_INGEST)
        finish_ingest(l, s, f);
    if (s->kind == KIND_AGGREGATE)
        finish_aggregate(l, s, f);
    if (s->kind == KIND_SELECT)
        finish_select(l, s, f);
    if (s->kind == KIND_SERVE)
        finish_serve(l, s, f);
    if (s->kind == KIND_TRAIN && !has_output(s, "metrics"))
        require(l, s, "an output named metrics, a JSON object",
                "for example outputs: {model: model.bin, metrics: metrics.json}");
}
