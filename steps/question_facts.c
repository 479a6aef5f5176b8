/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every branch of a step: the references that enter its action, the words of its script that may name files, and whether it can be memoized at all. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "steps/action.h"
#include "steps/asker.h"

#include <string.h>

bool step_is_builtin(const struct step *s)
{
    bool own_command = s->run || s->n_command > 0;

    return s->kind == KIND_SELECT ||
           ((s->kind == KIND_AGGREGATE || s->kind == KIND_INGEST) && !own_command);
}

static const char *reason_not(const struct step *s)
{
    if (s->cache.policy == CACHE_OFF) {
        return "cache: false";
    }
    if (s->uncacheable) {
        return s->uncacheable;
    }
    if (s->kind == KIND_SERVE || s->kind == KIND_APPROVE || s->kind == KIND_WORKFLOW) {
        return "steps of this kind are never memoized";
    }
    if (s->on_promotion == ON_PROMOTION_EACH) {
        return "it runs once per promotion";
    }
    if (!s->cache.stated && s->finally) {
        return "it stands under `finally`";
    }
    if (!s->cache.stated && !step_is_builtin(s) && s->n_outputs == 0 && s->n_values == 0) {
        return "it declares no outputs or values";
    }
    return NULL;
}

struct collect {
    const struct workflow *wf;
    struct arena *a;
    struct facts *f;
    VEC(const struct expr_name *) reads;
    VEC(const struct expr *) chains; /* beside reads */
    VEC(const char *) texts;         /* beside reads */
    struct map seen;                 /* by text: a fan-in names thousands of steps */
};

static const char *read_text(const struct workflow *wf, const struct expr_name *n, struct arena *a)
{
    const struct step *s = &wf->steps[n->step];
    const char *member = n->text;

    if (n->field == FIELD_OUTPUTS && n->member < s->n_outputs) {
        member = s->outputs[n->member].name;
    } else if (n->field == FIELD_VALUES && n->member < s->n_values) {
        member = s->values[n->member].name;
    }
    const char *name = n->branch ? n->branch : s->name, *field = step_field_name(n->field);
    size_t len[3] = {strlen(name), strlen(field), member ? strlen(member) : 0};
    char *text = arena_alloc(a, len[0] + len[1] + len[2] + 9), *p = text;
    p = memcpy(p, "steps.", 6);
    p = mempcpy(p + 6, name, len[0]);
    *p++ = '.';
    p = mempcpy(p, field, len[1]);
    if (member) {
        *p++ = '.';
        memcpy(p, member, len[2]);
    }
    return text;
}

static void add_read(struct collect *c, const struct expr_name *name, const struct expr *chain,
                     const char *text)
{
    *vec_push(&c->reads) = name;
    *vec_push(&c->chains) = chain;
    *vec_push(&c->texts) = text;
}

/* `chain`: what is taken of the name; NULL: the whole. Each once. */
static void add_once(struct collect *c, const struct expr_name *name, const struct expr *chain)
{
    if (name->root != ROOT_STEPS || name->step == NONE) {
        return;
    }
    const char *text = read_text(c->wf, name, c->a);
    const char *key =
        chain ? arena_printf(c->a, "in %.*s", (int)chain->source.len, chain->source.data) : text;
    if (map_put_text(&c->seen, key, NULL)) {
        add_read(c, name, chain, text);
    }
}

static bool takes_part(const struct expr *e)
{
    return e->op == EXPR_MEMBER || e->op == EXPR_INDEX || e->op == EXPR_EACH;
}

/* The name below `.member`, `[index]` and `.*`, where it is what another step has; NULL: e is no such chain. */
static const struct expr_name *chain_name(const struct expr *e)
{
    if (!takes_part(e)) {
        return NULL;
    }
    while (takes_part(e)) {
        e = e->args[0];
    }
    bool other = e->op == EXPR_NAME && e->name.root == ROOT_STEPS && e->name.step != NONE;
    bool data = e->name.field == FIELD_MODELS || e->name.field == FIELD_METRICS ||
                e->name.field == FIELD_VALUES || e->name.field == FIELD_OUTPUTS;
    return other && data ? &e->name : NULL;
}

/* As deep as expressions are: EXPR_MAX_DEPTH. */
static void collect_expr(struct collect *c, const struct expr *e)
{
    const struct expr_name *name = chain_name(e);

    if (!name) {
        if (e->op == EXPR_NAME) {
            add_once(c, &e->name, NULL);
        }
        for (uint32_t k = 0; k < e->n_args; k++) {
            collect_expr(c, e->args[k]);
        }
        return;
    }
    add_once(c, name, e);
    for (; takes_part(e); e = e->args[0]) {
        if (e->op == EXPR_INDEX) {
            collect_expr(c, e->args[1]);
        }
    }
}

static void collect_text(struct collect *c, const struct text *t)
{
    for (uint32_t k = 0; k < t->n_parts; k++) {
        if (!t->parts[k].literal) {
            collect_expr(c, t->parts[k].expr);
        }
    }
}

/* `names`: its references are collected here, not taken from the loader's list. */
static void look_at_text(struct collect *c, const struct text *t, bool names)
{
    const uint32_t outside = USES_INPUTS | USES_OUTPUTS | USES_STEPS | USES_SOURCE;

    if (!t || t->n_parts == 0) {
        return;
    }
    if (names && (t->uses & USES_STEPS)) {
        collect_text(c, t);
    }
    c->f->files = c->f->files || (t->uses & USES_FILES);
    for (uint32_t k = 0; (t->uses & outside) && k < t->n_parts; k++) {
        const struct expr *e = t->parts[k].expr;
        if (!t->parts[k].literal && e->op != EXPR_NAME && (expr_uses(e) & outside)) {
            c->f->complex = true;
        }
    }
}

static bool inputs_read_steps(const struct step *s)
{
    for (uint32_t k = 0; k < s->n_inputs; k++) {
        if (s->inputs[k].path->uses & USES_STEPS) {
            return true;
        }
    }
    return false;
}

/* A value in an input's path is read; an output is not, it is the input. */
static void reads_of_inputs(struct collect *c, const struct step *s)
{
    for (uint32_t k = 0; k < s->n_inputs; k++) {
        const struct text *t = s->inputs[k].path;
        for (uint32_t p = 0; (t->uses & USES_STEPS) && p < t->n_parts; p++) {
            const struct expr *e = t->parts[p].literal ? NULL : t->parts[p].expr;
            if (e && !(e->op == EXPR_NAME && e->name.field == FIELD_OUTPUTS)) {
                collect_expr(c, e);
            }
        }
    }
}

static void take_reads(struct collect *c)
{
    size_t n = c->reads.len;

    c->f->n_reads = (uint32_t)n;
    if (n > 0) {
        c->f->reads = arena_memdup(c->a, c->reads.items, n * sizeof(*c->reads.items));
        c->f->chains = arena_memdup(c->a, c->chains.items, n * sizeof(*c->chains.items));
        c->f->read_texts = arena_memdup(c->a, c->texts.items, n * sizeof(*c->texts.items));
    }
    vec_done(&c->reads);
    vec_done(&c->chains);
    vec_done(&c->texts);
    map_done(&c->seen);
}

/* Does an expression do more than name what it reads? Then the loader's list of names says too much. */
static bool text_computes(const struct text *t)
{
    for (uint32_t k = 0; t && (t->uses & USES_STEPS) && k < t->n_parts; k++) {
        const struct expr *e = t->parts[k].literal ? NULL : t->parts[k].expr;
        if (e && e->op != EXPR_NAME && (expr_uses(e) & USES_STEPS)) {
            return true;
        }
    }
    return false;
}

static bool step_computes(const struct step *s)
{
    bool yes = text_computes(s->run) || text_computes(s->workdir) || text_computes(s->source);

    for (uint32_t k = 0; k < s->n_command && !yes; k++) {
        yes = text_computes(s->command[k]);
    }
    for (uint32_t k = 0; k < s->n_env && !yes; k++) {
        yes = text_computes(s->env[k].value);
    }
    return yes;
}

/* Inputs are left out: what they take of other steps' outputs enters the key as inputs, and only that part of it. */
static void collect_reads(struct collect *c, const struct step *s)
{
    if (c->f->builtin) { /* their `from` is taken care of on its own; no text is handed to a program */
        look_at_text(c, s->source, true);
        take_reads(c);
        return;
    }
    bool own = inputs_read_steps(s) || step_computes(s);

    look_at_text(c, s->run, own);
    for (uint32_t k = 0; k < s->n_command; k++) {
        look_at_text(c, s->command[k], own);
    }
    for (uint32_t k = 0; k < s->n_env; k++) {
        look_at_text(c, s->env[k].value, own);
    }
    look_at_text(c, s->workdir, own);
    look_at_text(c, s->source, own);
    if (own) {
        reads_of_inputs(c, s);
    } else {
        for (uint32_t k = 0; k < s->n_reads; k++) { /* the loader's list has each once */
            if (s->reads[k]->root == ROOT_STEPS) {
                add_read(c, s->reads[k], NULL, read_text(c->wf, s->reads[k], c->a));
            }
        }
    }
    take_reads(c);
}

struct facts *facts_get(struct asker *k, const struct instance_ref *i, struct arena *a)
{
    const struct step *s = &k->w->wf->steps[i->step];
    bool keep = s->n_rows > 1;

    if (keep && k->facts[i->step]) {
        return k->facts[i->step];
    }
    struct collect c = {.wf = k->w->wf, .a = keep ? k->arena : a};
    struct facts *f = arena_calloc(c.a, 1, sizeof(*f));
    c.f = f;
    f->builtin = step_is_builtin(s);
    f->host = !f->builtin && s->executor == EXECUTOR_PROCESS;
    f->why_not = reason_not(s);
    collect_reads(&c, s);
    if (keep) {
        k->facts[i->step] = f;
    }
    return f;
}
