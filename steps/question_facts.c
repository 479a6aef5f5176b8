/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every branch of a step: the references that enter its action, the words of its script that may name files, and whether it can be memoized at all. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
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

static void on_name(struct expr *e, bool in_default, void *arg)
{
    struct collect *c = arg;

    (void)in_default;
    if (e->name.root != ROOT_STEPS || e->name.step == NONE) {
        return;
    }
    for (size_t k = 0; k < c->reads.len; k++) {
        const struct expr_name *n = c->reads.items[k];
        if (n->step == e->name.step && n->field == e->name.field && n->member == e->name.member &&
            text_eq(n->branch, e->name.branch) && text_eq(n->text, e->name.text)) {
            return;
        }
    }
    *vec_push(&c->reads) = &e->name;
}

/* `names`: its references are collected here, not taken from the loader's list. */
static void look_at_text(struct collect *c, struct text *t, bool names)
{
    const uint32_t outside = USES_INPUTS | USES_OUTPUTS | USES_STEPS | USES_SOURCE;

    if (!t || t->n_parts == 0) {
        return;
    }
    if (names && (t->uses & USES_STEPS)) {
        text_each_name(t, on_name, c);
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
            struct expr *e = (struct expr *)(uintptr_t)t->parts[p].expr;
            if (e && !(e->op == EXPR_NAME && e->name.field == FIELD_OUTPUTS)) {
                struct text one = {.uses = t->uses, .n_parts = 1, .parts = &t->parts[p]};
                text_each_name(&one, on_name, c);
            }
        }
    }
}

static void take_reads(struct collect *c)
{
    c->f->n_reads = (uint32_t)c->reads.len;
    if (c->reads.len > 0) {
        c->f->reads = arena_memdup(c->a, c->reads.items, c->reads.len * sizeof(*c->reads.items));
        c->f->read_texts = arena_calloc(c->a, c->reads.len, sizeof(*c->f->read_texts));
    }
    for (size_t k = 0; k < c->reads.len; k++) {
        c->f->read_texts[k] = read_text(c->wf, c->reads.items[k], c->a);
    }
    vec_done(&c->reads);
}

/* Inputs are left out: what they take of other steps' outputs enters the key as inputs, and only that part of it. */
static void collect_reads(struct collect *c, const struct step *s)
{
    if (c->f->builtin) { /* their `from` is taken care of on its own; no text is handed to a program */
        look_at_text(c, s->source, true);
        take_reads(c);
        return;
    }
    bool of_inputs = inputs_read_steps(s);

    look_at_text(c, s->run, of_inputs);
    for (uint32_t k = 0; k < s->n_command; k++) {
        look_at_text(c, s->command[k], of_inputs);
    }
    for (uint32_t k = 0; k < s->n_env; k++) {
        look_at_text(c, s->env[k].value, of_inputs);
    }
    look_at_text(c, s->workdir, of_inputs);
    look_at_text(c, s->source, of_inputs);
    if (of_inputs) {
        reads_of_inputs(c, s);
    } else {
        for (uint32_t k = 0; k < s->n_reads; k++) { /* the loader's list has each once */
            if (s->reads[k]->root == ROOT_STEPS) {
                *vec_push(&c->reads) = s->reads[k];
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
