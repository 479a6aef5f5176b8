/* SPDX-License-Identifier: Apache-2.0 */
/* `steps` and `finally`: each step starts as a copy of its kind's defaults, then its own keys are applied in file order. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "workflows/load_internal.h"
#include "workflows/matrix.h"

#include <string.h>

typedef void (*key_fn)(struct loader *l, struct step *s, const struct entry *e);

/* --- keys of one or two lines --- */

static void key_run(struct loader *l, struct step *s, const struct entry *e)
{
    s->run = load_text_of(l, e->value, "run", e->key->type, step_shell_is_posix(s));
    if (s->run != NULL && s->run->source[strspn(s->run->source, " \t\n")] == '\0')
        diag_error(l->d, e->value->span, "bad-value", "the script is empty");
}

static void key_command(struct loader *l, struct step *s, const struct entry *e)
{
    const struct node *n = e->value;
    if (n->kind != NODE_LIST || n->len == 0) {
        load_expected(l, e);
        if (n->kind == NODE_SCALAR && n->type != SCALAR_NULL)
            diag_hint(l->d, "write a script as run");
        return;
    }
    struct text **list = arena_calloc(l->a, n->len, sizeof(*list));
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->len; i++) {
        list[count] = load_text_of(l, n->items[i], "command", "a list of texts", false);
        count += list[count] != NULL;
    }
    s->command = list;
    s->n_command = count;
}

static void key_image(struct loader *l, struct step *s, const struct entry *e)
{
    s->image = is_null(e->value) ? NULL : load_text(l, e);
}

static void key_description(struct loader *l, struct step *s, const struct entry *e)
{
    s->description = load_words(l, e);
}

static void key_labels(struct loader *l, struct step *s, const struct entry *e)
{
    load_labels(l, e, &s->n_labels, &s->labels);
}

static void key_workdir(struct loader *l, struct step *s, const struct entry *e)
{
    s->workdir = load_text(l, e);
}

static bool known_scheme(const char *url)
{
    static const char *const known[] = {"http://",     "https://",   "s3://",      "git+https://",
                                        "git+http://", "git+ssh://", "git+git://", "git+file://"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (text_starts(url, known[i]))
            return true;
    }
    return false;
}

static void key_source(struct loader *l, struct step *s, const struct entry *e)
{
    s->source = load_text(l, e);
    const char *at = s->source != NULL ? s->source->source : "";
    bool url = strstr(at, "://") != NULL && strcspn(at, "$") > strcspn(at, ":");
    if (url && !known_scheme(at)) {
        diag_error(l->d, e->value->span, "bad-value",
                   "'source' must be a path, http(s)://, s3:// or git+https://, not '%.60s'", at);
        if (text_starts(at, "git://") || text_starts(at, "ssh://"))
            diag_hint(l->d, "write git+%.60s", at);
    } else if (s->source != NULL && s->source->len == 0) {
        load_expected(l, e);
    }
}

static void key_sha256(struct loader *l, struct step *s, const struct entry *e)
{
    load_sha256(l, e, &s->source_sha256);
}

static void key_timeout(struct loader *l, struct step *s, const struct entry *e)
{
    if (load_duration(l, e, &s->timeout_ms) && s->timeout_ms == 0)
        load_expected_as(l, e->value, "timeout", "longer than nothing");
}

static void key_grace(struct loader *l, struct step *s, const struct entry *e)
{
    load_duration(l, e, &s->grace_ms);
}

static void key_continue(struct loader *l, struct step *s, const struct entry *e)
{
    load_bool(l, e, &s->continue_on_error);
}

static void key_fail_fast(struct loader *l, struct step *s, const struct entry *e)
{
    load_bool(l, e, &s->fail_fast);
}

static void key_max_parallel(struct loader *l, struct step *s, const struct entry *e)
{
    load_count(l, e, 1, &s->max_parallel);
}

static void key_pull(struct loader *l, struct step *s, const struct entry *e)
{
    uint32_t v = 0;
    if (load_choice(l, e, pull_policy_names, PULL_COUNT, &v))
        s->pull = (enum pull_policy)v;
}

static void key_network(struct loader *l, struct step *s, const struct entry *e)
{
    uint32_t v = 0;
    if (load_choice(l, e, network_mode_names, NETWORK_COUNT, &v))
        s->network = (enum network_mode)v;
}

static void key_executor(struct loader *l, struct step *s, const struct entry *e)
{
    uint32_t v = 0;
    if (is_null(e->value)) {
        s->executor = EXECUTOR_AUTO;
    } else if (load_choice(l, e, executor_kind_names + 1, EXECUTOR_COUNT - 1, &v)) {
        s->executor = (enum executor_kind)(v + 1);
        if (s->executor > EXECUTOR_CONTAINER)
            diag_error(l->d, e->value->span, "not-supported",
                       "the executor '%s' is not supported yet", executor_kind_names[s->executor]);
    }
}

static void key_on_promotion(struct loader *l, struct step *s, const struct entry *e)
{
    uint32_t v = 0;
    if (load_choice(l, e, on_promotion_names, ON_PROMOTION_COUNT, &v))
        s->on_promotion = (enum on_promotion)v;
}

static const char **name_list(struct loader *l, const struct entry *e, uint32_t *ret_count)
{
    const struct node *n = e->value;
    const char **list = arena_calloc(l->a, n->len + 1, sizeof(*list));
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->len; i++) {
        struct entry item = {.key = e->key, .value = n->items[i]};
        list[count] = load_words(l, &item);
        count += list[count] != NULL;
    }
    *ret_count = count;
    return list;
}

static void key_pass_env(struct loader *l, struct step *s, const struct entry *e)
{
    if (e->value->kind != NODE_LIST) {
        load_expected(l, e);
        return;
    }
    s->pass_env = name_list(l, e, &s->n_pass_env);
    for (uint32_t i = 0; i < s->n_pass_env; i++) {
        if (!valid_variable(s->pass_env[i]))
            diag_error(l->d, e->value->items[i]->span, "bad-name",
                       "'%.60s' is not a name for a variable", s->pass_env[i]);
    }
}

static void key_shell(struct loader *l, struct step *s, const struct entry *e)
{
    if (e->value->kind == NODE_LIST && e->value->len > 0) {
        s->shell_args = name_list(l, e, &s->n_shell);
        s->shell = NULL;
        return;
    }
    const char *name = e->value->kind == NODE_LIST ? NULL : load_words(l, e);
    if (name == NULL || *name == '\0' || strpbrk(name, " \t") != NULL) {
        if (name != NULL || e->value->kind == NODE_LIST)
            load_expected(l, e);
        if (name != NULL && *name != '\0')
            diag_hint(l->d, "write a list: [bash, -eu]");
        return;
    }
    s->shell = name;
    s->n_shell = 0;
}

static void key_if(struct loader *l, struct step *s, const struct entry *e)
{
    const struct node *n = e->value;
    if (n->kind != NODE_SCALAR || n->type == SCALAR_NULL) {
        load_expected(l, e);
        return;
    }
    struct span at = n->span;
    if (!n->plain && !n->block)
        at.col--;
    s->condition = expr_parse_bare(n->text, n->len, at, l->a, l->d);
    s->condition_has_status = s->condition != NULL && expr_calls_status(s->condition);
}

/* Keys that the step's end looks at, when all of them are known. */
static void key_later(struct loader *l, struct step *s, const struct entry *e)
{
    (void)l;
    (void)s;
    (void)e;
}

static const struct key_handler {
    const char *name;
    key_fn fn;
} handlers[] = {
    {"run", key_run},
    {"command", key_command},
    {"inputs", load_inputs},
    {"outputs", load_outputs},
    {"values", load_values},
    {"env", load_env},
    {"image", key_image},
    {"cache", load_cache},
    {"if", key_if},
    {"retry", load_retry},
    {"resources", load_resources},
    {"timeout", key_timeout},
    {"grace", key_grace},
    {"description", key_description},
    {"labels", key_labels},
    {"executor", key_executor},
    {"pull", key_pull},
    {"pass_env", key_pass_env},
    {"secrets", load_secret_uses},
    {"workdir", key_workdir},
    {"shell", key_shell},
    {"network", key_network},
    {"max_parallel", key_max_parallel},
    {"fail_fast", key_fail_fast},
    {"continue_on_error", key_continue},
    {"source", key_source},
    {"sha256", key_sha256},
    {"metric", load_select_key},
    {"mode", load_select_key},
    {"at_least", load_select_key},
    {"at_most", load_select_key},
    {"top", load_select_key},
    {"min_models", load_select_key},
    {"tolerate", load_select_key},
    {"promote", load_select_key},
    {"wait", load_select_key},
    {"min_delta", load_select_key},
    {"of", load_aggregate_key},
    {"method", load_aggregate_key},
    {"quorum", load_aggregate_key},
    {"split", load_aggregate_key},
    {"listen", load_listen},
    {"limits", load_limits},
    {"replicas", load_serve_key},
    {"ready", load_serve_key},
    {"address", load_serve_key},
    {"balance", load_serve_key},
    {"shard_by", load_serve_key},
    {"canary", load_serve_key},
    {"scale", load_serve_key},
    {"lifetime", load_serve_key},
    {"replace", load_serve_key},
    {"on_promotion", key_on_promotion},
    {"kind", key_later},
    {"needs", key_later},
    {"from", key_later},
    {"publish", key_later},
    {"matrix", key_later},
};

static key_fn find_handler(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
        if (strcmp(handlers[i].name, name) == 0)
            return handlers[i].fn;
    }
    return NULL;
}

/* --- facts --- */

bool facts_own(const struct step_facts *f, const struct schema_key *key)
{
    size_t i = (size_t)(key - schema_step.keys);
    return (f->own[i / 8] & (1u << (i % 8))) != 0;
}

bool facts_own_name(const struct step_facts *f, const char *name)
{
    const struct schema_key *key = schema_find(&schema_step, name);
    return key != NULL && facts_own(f, key);
}

struct span facts_place(const struct step *s, const struct step_facts *f, const char *key)
{
    for (uint32_t i = 0; f->node != NULL && i < f->node->len; i++) {
        if (strcmp(f->node->pairs[i].key, key) == 0)
            return f->node->pairs[i].key_span;
    }
    return s->span;
}

static void note_own(struct step_facts *f, const struct entry *e)
{
    size_t i = (size_t)(e->key - schema_step.keys);
    f->own[i / 8] |= (uint8_t)(1u << (i % 8));
    const char *key = e->key->name;
    if (strcmp(key, "needs") == 0)
        f->needs = e->value;
    else if (strcmp(key, "from") == 0)
        f->from = e->value;
    else if (strcmp(key, "publish") == 0)
        f->publish = e->value;
    else if (strcmp(key, "matrix") == 0)
        f->matrix = e->value;
}

/* Fields that null sets back, and where they lie. */
static bool reset_key(struct step *s, const char *name)
{
    static const struct {
        const char *name;
        size_t at, size;
    } fields[] = {
#define FIELD(key, member) {key, offsetof(struct step, member), sizeof(((struct step *)0)->member)}
        FIELD("image", image),
        FIELD("cache", cache),
        FIELD("retry", retry),
        FIELD("resources", resources),
        FIELD("timeout", timeout_ms),
        FIELD("grace", grace_ms),
        FIELD("executor", executor),
        FIELD("workdir", workdir),
        FIELD("network", network),
        FIELD("pull", pull),
        FIELD("if", condition),
        FIELD("inputs", n_inputs),
        FIELD("env", n_env),
        FIELD("secrets", n_secrets),
        FIELD("labels", n_labels),
        FIELD("pass_env", n_pass_env),
        FIELD("source", source),
        FIELD("max_parallel", max_parallel),
        FIELD("on_promotion", on_promotion),
#undef FIELD
    };
    struct step blank;
    load_blank_step(&blank, s->kind);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strcmp(fields[i].name, name) == 0) {
            memcpy((char *)s + fields[i].at, (const char *)&blank + fields[i].at, fields[i].size);
            return true;
        }
    }
    return false;
}

void load_step_key(struct loader *l, struct step *s, struct step_facts *facts,
                   const struct entry *e)
{
    if (facts != NULL)
        note_own(facts, e);
    size_t i = (size_t)(e->key - schema_step.keys);
    WF_ASSERT(i < MAX_STEP_KEYS);
    if (l->handlers[i] == NULL)
        l->handlers[i] = find_handler(e->key->name);
    WF_ASSERT(l->handlers[i] != NULL);
    /* A written null takes a default away; a key with nothing after it is a slip. */
    if (is_null(e->value) && (e->inherited || e->value->len > 0) && reset_key(s, e->key->name))
        return;
    l->handlers[i](l, s, e);
}

/* --- a step --- */

static enum step_kind read_kind(struct loader *l, const struct node *step)
{
    const struct node *n = node_get(step, "kind");
    if (n == NULL)
        return KIND_COMMAND;
    struct node_pair p = {.key = "kind", .key_span = n->span};
    struct entry e = {.key = schema_find(&schema_step, p.key), .value = n};
    const char *word = load_words(l, &e);
    for (uint32_t i = 0; word != NULL && i < KIND_COUNT; i++) {
        if (strcmp(step_kind_names[i], word) != 0)
            continue;
        if (i == KIND_WORKFLOW || i == KIND_APPROVE)
            diag_error(l->d, n->span, "not-supported", "kind '%s' is not supported yet", word);
        return (enum step_kind)i;
    }
    if (word != NULL) {
        diag_error(l->d, n->span, "unknown-kind", "'%.60s' is not a kind of step", word);
        diag_did_you_mean(l->d, suggest_nearest(word, step_kind_names, KIND_COUNT));
    }
    return KIND_COUNT;
}

static void refuse_for_kind(struct loader *l, const struct step *s, const struct node_pair *p,
                            const struct schema_key *key)
{
    diag_error(l->d, p->key_span, "kind-key", "a step of kind %s does not take '%s'",
               step_kind_names[s->kind], p->key);
    uint32_t count = 0, last = 0;
    for (uint32_t i = 0; i < KIND_COUNT; i++) {
        if ((key->kinds & (1u << i)) != 0) {
            count++;
            last = i;
        }
    }
    if (count == 1)
        diag_hint(l->d, "it is a key of kind: %s", step_kind_names[last]);
    else if (s->kind == KIND_SERVE && strcmp(p->key, "cache") == 0)
        diag_hint(l->d, "services are never memoized");
    else if (s->kind == KIND_SERVE && strcmp(p->key, "timeout") == 0)
        diag_hint(l->d, "ready: {path: /…, timeout: 5m} bounds its start");
    else if (s->kind == KIND_SERVE && strcmp(p->key, "matrix") == 0)
        diag_hint(l->d, "a service runs one server per model that its select step promotes");
}

static void own_keys(struct loader *l, struct step *s, struct step_facts *f, bool any_kind)
{
    /* The shell first: how a script is read depends on it. */
    const struct node *shell = node_get(f->node, "shell");
    if (shell != NULL) {
        struct entry e = {.key = schema_find(&schema_step, "shell"), .value = shell};
        key_shell(l, s, &e);
    }
    for (uint32_t i = 0; i < f->node->len; i++) {
        const struct node_pair *p = &f->node->pairs[i];
        struct entry e = {
            .key = load_key(l, &schema_step, p, "a step"), .value = p->value, .at = p->key_span};
        if (e.key == NULL)
            f->unknown_keys = true;
        else if (!any_kind && (e.key->kinds & (1u << s->kind)) == 0)
            refuse_for_kind(l, s, p, e.key);
        else if (p->value != shell || strcmp(p->key, "shell") != 0)
            load_step_key(l, s, f, &e);
        else
            note_own(f, &e);
    }
}

static void inherited_keys(struct loader *l, struct step *s, const struct step_facts *f,
                           const struct prototype *p)
{
    for (uint32_t i = 0; i < p->n_keys; i++) {
        const struct default_key *d = &p->keys[i];
        bool merged = strcmp(d->key->name, "env") == 0;
        for (uint32_t k = 0; k < d->n_nodes; k++) {
            struct entry e = {
                .key = d->key, .value = d->nodes[k], .at = d->nodes[k]->span, .inherited = true};
            if (merged || node_get(f->node, d->key->name) == NULL)
                load_step_key(l, s, NULL, &e);
        }
    }
}

void load_mark_param(struct expr *e, bool in_default, void *arg)
{
    struct loader *l = arg;
    const char *name = e->name.root == ROOT_PARAMS ? e->name.text : NULL;
    ptrdiff_t i = name != NULL ? map_find(&l->param_names, name, strlen(name)) : -1;
    (void)in_default;
    if (i >= 0)
        l->param_used[i] = true;
}

/* A matrix is evaluated on its own; that it uses a param is noted here. Depth is capped by the reader. */
static void mark_params(struct loader *l, const struct node *n)
{
    if (n->kind == NODE_SCALAR && strstr(n->text, "${{") != NULL) {
        struct text *t = load_text_of(l, n, "matrix", "a value", false);
        if (t != NULL)
            text_each_name(t, load_mark_param, l);
    }
    for (uint32_t i = 0; n->kind != NODE_SCALAR && i < n->len; i++)
        mark_params(l, n->kind == NODE_LIST ? n->items[i] : n->pairs[i].value);
}

static void finish_matrix(struct loader *l, struct step *s, const struct step_facts *f)
{
    struct scope scope = load_scope(l);
    scope.step = s;
    s->is_matrix = f->matrix != NULL;
    if (s->is_matrix)
        mark_params(l, f->matrix);
    matrix_expand(s, f->matrix, &scope, l->a, l->d);
    if (!s->is_matrix && !load_fans_out(f) && (s->max_parallel > 0 || s->fail_fast)) {
        const char *key = s->max_parallel > 0 ? "max_parallel" : "fail_fast";
        if (facts_own_name(f, key))
            diag_error(l->d, facts_place(s, f, key), "kind-key", "'%s' is for a step with a matrix",
                       key);
    }
}

static void load_step(struct loader *l, uint32_t index)
{
    struct step *s = &l->wf->steps[index];
    struct step_facts *f = &l->facts[index];
    const char *name = s->name;
    struct span span = s->span;
    bool finally = s->finally;
    enum step_kind kind = f->node != NULL ? read_kind(l, f->node) : KIND_COMMAND;
    bool known = kind != KIND_COUNT;
    const struct prototype *p = load_prototype(l, known ? kind : KIND_COMMAND);
    *s = p->base;
    if (s->select != NULL)
        s->select = arena_memdup(l->a, s->select, sizeof(*s->select));
    if (s->aggregate != NULL)
        s->aggregate = arena_memdup(l->a, s->aggregate, sizeof(*s->aggregate));
    if (s->serve != NULL)
        s->serve = arena_memdup(l->a, s->serve, sizeof(*s->serve));
    s->name = name;
    s->span = span;
    s->finally = finally;
    if (f->node == NULL) {
        matrix_expand(s, NULL, NULL, l->a, l->d);
        return;
    }
    inherited_keys(l, s, f, p);
    own_keys(l, s, f, !known);
    finish_matrix(l, s, f);
    if (known)
        finish_kind(l, s, f);
    finish_cache(l, s, f);
    if (f->publish != NULL)
        load_publish(l, s, f->publish);
}

/* --- all steps --- */

static uint32_t count_steps(struct loader *l, const struct node *n, const char *key)
{
    if (n == NULL)
        return 0;
    if (n->kind == NODE_MAP)
        return n->len;
    load_expected_as(l, n, key, "a mapping of step names to steps");
    if (n->kind == NODE_LIST)
        diag_hint(l->d, "write %s: {name: {run: …}}, without dashes", key);
    return 0;
}

static void name_steps(struct loader *l, const struct node *n, uint32_t count, bool finally)
{
    struct workflow *wf = l->wf;
    for (uint32_t i = 0; i < count; i++) {
        const struct node_pair *p = &n->pairs[i];
        struct step *s = &wf->steps[wf->n_steps];
        s->name = arena_strndup(l->a, p->key, p->key_len);
        s->span = p->key_span;
        s->finally = finally;
        check_name(l, p->key_span, "a step", s->name);
        if (!map_put_text(&l->step_names, s->name, NULL)) {
            diag_error(l->d, p->key_span, "duplicate-step", "'%s' is a step already", s->name);
            diag_hint(l->d, "names are shared by steps and finally");
            /* Indices must agree with the names' table. */
            continue;
        }
        if (p->value->kind == NODE_MAP)
            l->facts[wf->n_steps].node = p->value;
        else
            load_expected_as(l, p->value, s->name, "a mapping: a step, such as {run: echo hello}");
        wf->n_steps++;
        wf->n_finally += finally;
    }
}

void load_steps(struct loader *l, const struct node *steps, const struct node *finally)
{
    uint32_t n = count_steps(l, steps, "steps"), m = count_steps(l, finally, "finally");
    l->wf->steps = arena_calloc(l->a, (size_t)n + m + 1, sizeof(struct step));
    l->facts = arena_calloc(l->tmp, (size_t)n + m + 1, sizeof(struct step_facts));
    name_steps(l, steps, n, false);
    name_steps(l, finally, m, true);
    for (uint32_t i = 0; i < l->wf->n_steps; i++)
        load_step(l, i);
}
