/* SPDX-License-Identifier: Apache-2.0 */
/* With all steps there: every text's names are resolved, and each step gets its needs, its reads and why it cannot be memoized. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "workflows/check_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- words in texts --- */

static bool name_char(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           ch == '_';
}

bool check_has_word(const struct text *t, const char *word)
{
    size_t len = strlen(word);
    const char *p = t->source, *end = t->source + t->len;
    while ((p = memmem(p, (size_t)(end - p), word, len)) != NULL) {
        bool before = p > t->source && name_char(p[-1]);
        bool after = p + len < end && name_char(p[len]);
        if (!before && !after)
            return true;
        p += len;
    }
    return false;
}

bool check_memoized(const struct step *s)
{
    if (s->cache.policy == CACHE_OFF || s->finally)
        return false;
    return s->n_outputs > 0 || s->n_values > 0 || s->cache.stated;
}

/* What changes with every attempt keeps a result from being used again (semantics 23). */
static void note_uncacheable(struct check *c, const struct text *t)
{
    static const char *const words[] = {"WF_RUN", "WF_ATTEMPT"};
    if (c->step->uncacheable != NULL || memmem(t->source, t->len, "WF_", 3) == NULL)
        return;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (check_has_word(t, words[i])) {
            c->step->uncacheable = arena_printf(c->l->a, "names %s", words[i]);
            return;
        }
    }
}

/* --- a shell that is none of ours --- */

static bool row_values_plain(const struct step *s, const char *axis)
{
    for (uint32_t r = 0; r < s->n_rows; r++) {
        for (uint32_t i = 0; i < s->rows[r].n; i++) {
            enum value_type type = s->rows[r].values[i].type;
            if (strcmp(s->rows[r].axes[i], axis) == 0 && type != VALUE_NUMBER && type != VALUE_BOOL)
                return false;
        }
    }
    return true;
}

/* Numbers, booleans, params with an enum, and paths hold nothing that another language's quoting would need. */
static bool is_plain(const struct check *c, const struct expr *e)
{
    const struct param *p;
    switch (e->op) {
    case EXPR_LITERAL:
        return e->literal.type == VALUE_NUMBER || e->literal.type == VALUE_BOOL;
    case EXPR_NAME:
        if (e->name.root == ROOT_PARAMS && e->name.member < c->l->wf->n_params) {
            p = &c->l->wf->params[e->name.member];
            return p->type != PARAM_STRING || p->is_enum;
        }
        if (e->name.root == ROOT_MATRIX)
            return e->name.text != NULL && row_values_plain(c->step, e->name.text);
        if (e->name.root == ROOT_STEPS)
            return e->name.field == FIELD_OUTPUTS || e->name.field == FIELD_CACHED ||
                   e->name.field == FIELD_STATUS;
        if (e->name.root == ROOT_MODEL)
            return e->name.text != NULL &&
                   (strcmp(e->name.text, "path") == 0 || strcmp(e->name.text, "slug") == 0 ||
                    strcmp(e->name.text, "promotion") == 0 || strcmp(e->name.text, "metric") == 0);
        return e->name.root == ROOT_INPUTS || e->name.root == ROOT_OUTPUTS ||
               e->name.root == ROOT_SOURCE || e->name.root == ROOT_REPLICA;
    case EXPR_CALL:
        return e->function == FN_LENGTH || e->function == FN_HASH_FILES ||
               e->function == FN_CONTAINS || e->function == FN_STARTS_WITH ||
               e->function == FN_ENDS_WITH;
    case EXPR_NOT:
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
        return true;
    default:
        return false;
    }
}

void check_foreign_shell(struct check *c, const struct text *script)
{
    for (uint32_t i = 0; i < script->n_parts; i++) {
        const struct expr *e = script->parts[i].expr;
        if (e == NULL || is_plain(c, e))
            continue;
        diag_error(c->l->d, e->span, "shell-text",
                   "in a script for '%s' only numbers, true/false, enum params and paths may stand "
                   "as ${{ }}",
                   c->step->n_shell > 0 ? c->step->shell_args[0] : c->step->shell);
        diag_hint(c->l->d, "hand it over with env and read the variable");
    }
}

/* --- texts of a step --- */

static void check_text(struct check *c, struct text *t, enum place place)
{
    if (t == NULL)
        return;
    if (place <= PLACE_ENV)
        note_uncacheable(c, t);
    if (t->n_parts == 0)
        return;
    c->place = place;
    if ((t->uses & USES_STATUS) != 0)
        diag_error(c->l->d, t->span, "bad-place",
                   "success(), failure(), cancelled() and always() are for 'if'");
    c->chosen = false;
    text_each_name(t, check_name_in, c);
    if (c->chosen)
        t->uses = (t->uses & ~(uint32_t)USES_MODEL) | USES_STEPS | USES_MATRIX;
}

static void check_texts(struct check *c)
{
    struct step *s = c->step;
    check_text(c, s->run, PLACE_RUN);
    for (uint32_t i = 0; i < s->n_command; i++)
        check_text(c, s->command[i], PLACE_COMMAND);
    for (uint32_t i = 0; i < s->n_env; i++)
        check_text(c, s->env[i].value, PLACE_ENV);
    check_text(c, s->image, PLACE_IMAGE);
    check_text(c, s->workdir, PLACE_WORKDIR);
    check_text(c, s->source, PLACE_SOURCE);
    for (uint32_t i = 0; i < s->n_inputs; i++) {
        c->may_miss = s->inputs[i].optional;
        check_text(c, s->inputs[i].path, PLACE_INPUT);
    }
    c->may_miss = false;
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        check_text(c, s->outputs[i].path, PLACE_OUTPUT);
        check_text(c, s->outputs[i].publish, PLACE_PUBLISH);
    }
    if (s->serve != NULL)
        check_text(c, s->serve->ready_run, PLACE_READY);
    const struct limit_options *limits = s->serve       ? &s->serve->limits
                                         : s->aggregate ? &s->aggregate->limits
                                                        : NULL;
    if (limits != NULL)
        check_text(c, limits->tokens, PLACE_TOKENS);
    c->place = PLACE_IF;
    if (s->condition != NULL)
        expr_each_name(s->condition, check_name_in, c);
    if (s->run != NULL && s->run->n_parts > 0 && !step_shell_is_posix(s))
        check_foreign_shell(c, s->run);
}

/* --- all steps --- */

static void clear_reads(struct check *c)
{
    for (size_t i = 0; i < c->read_texts.len; i++)
        free(c->read_texts.items[i]);
    vec_clear(&c->read_texts);
    map_done(&c->read_keys);
    c->read_keys = (struct map){0};
    vec_clear(&c->reads);
}

static void check_step(struct check *c, uint32_t index)
{
    struct loader *l = c->l;
    c->index = index;
    c->step = &l->wf->steps[index];
    c->facts = &l->facts[index];
    vec_clear(&c->needs);
    clear_reads(c);
    check_needs_key(c);
    check_texts(c);
    c->step->n_needs = (uint32_t)c->needs.len;
    if (c->needs.len > 0)
        c->step->needs = arena_memdup(l->a, c->needs.items, c->needs.len * sizeof(*c->needs.items));
    c->step->n_reads = (uint32_t)c->reads.len;
    if (c->reads.len > 0)
        c->step->reads =
            arena_memdup(l->a, c->reads.items, c->reads.len * sizeof(struct expr_name *));
}

void check_names(struct loader *l)
{
    uint32_t n = l->wf->n_steps;
    struct check c = {.l = l,
                      .stamp = arena_calloc(l->tmp, (size_t)n + 1, sizeof(uint32_t)),
                      .slot = arena_calloc(l->tmp, (size_t)n + 1, sizeof(uint32_t))};
    for (uint32_t i = 0; i < n; i++)
        check_step(&c, i);
    clear_reads(&c);
    vec_done(&c.needs);
    vec_done(&c.reads);
    vec_done(&c.read_texts);
}

/* --- what select and aggregate expect of others --- */

static const struct output *find_output(const struct step *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        if (strcmp(s->outputs[i].name, name) == 0)
            return &s->outputs[i];
    }
    return NULL;
}

static void check_select(struct loader *l, const struct step *s, const struct step_facts *f)
{
    for (uint32_t i = 0; i < s->select->n_from; i++) {
        const struct step *from = &l->wf->steps[s->select->from[i]];
        if (find_output(from, "metrics") == NULL) {
            diag_error(l->d, facts_place(s, f, "from"), "missing-output",
                       "step '%s' chooses from '%s', which has no output named metrics", s->name,
                       from->name);
            diag_hint(l->d, "add it there: outputs: {metrics: metrics.json}, a JSON object");
        }
    }
}

static void check_combined(struct loader *l, const struct step *s, const struct step_facts *f,
                           const struct step *from)
{
    const char *of = s->aggregate->of;
    struct span at = facts_place(s, f, of != NULL ? "of" : "from");
    if (of != NULL && find_output(from, of) == NULL)
        diag_error(l->d, at, "unknown-output", "'%.60s' is not an output of step '%s'", of,
                   from->name);
    else if (of == NULL && from->n_outputs == 0)
        diag_error(l->d, at, "missing-output", "step '%s' has no outputs to combine", from->name);
    else if (of == NULL && from->n_outputs > 1)
        diag_error(l->d, at, "missing-key", "step '%s' has several outputs: say which one with of",
                   from->name);
}

static void check_aggregate(struct loader *l, const struct step *s, const struct step_facts *f)
{
    const struct aggregate_options *o = s->aggregate;
    if (o->online)
        return;
    bool one_select = o->n_from == 1 && l->wf->steps[o->from[0]].kind == KIND_SELECT;
    if (o->method == METHOD_BEST && o->n_from > 0 && !one_select)
        diag_error(l->d, facts_place(s, f, "method"), "bad-value",
                   "method best takes from one select step");
    if (o->method == METHOD_COMMAND && o->of == NULL)
        return;
    for (uint32_t i = 0; i < o->n_from; i++) {
        const struct step *from = &l->wf->steps[o->from[i]];
        if (step_is_service(from))
            continue; /* reported with the services */
        if (from->kind != KIND_SELECT || from->select == NULL) {
            check_combined(l, s, f, from);
            continue;
        }
        for (uint32_t k = 0; k < from->select->n_from; k++)
            check_combined(l, s, f, &l->wf->steps[from->select->from[k]]);
    }
}

void check_kinds(struct loader *l)
{
    for (uint32_t i = 0; i < l->wf->n_steps; i++) {
        const struct step *s = &l->wf->steps[i];
        if (s->kind == KIND_SELECT && s->select != NULL)
            check_select(l, s, &l->facts[i]);
        else if (s->kind == KIND_AGGREGATE && s->aggregate != NULL)
            check_aggregate(l, s, &l->facts[i]);
    }
}
