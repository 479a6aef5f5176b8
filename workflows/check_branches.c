/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of branches: what a reference to a matrix step gives is one item per branch, and a branch that reads it mostly wants one. What is surely wrong with the
 * matrix as written is an error here already. */
#include "base/mem.h"
#include "base/str.h"
#include "workflows/check_internal.h"
#include "workflows/value_impl.h"

#include <stdlib.h>
#include <string.h>

/* The step whose branches' results `e` lists in a text of `by`; NULL: it is no such list, or was reported. */
static const struct step *listed(const struct loader *l, const struct step *by,
                                 const struct expr *e)
{
    const struct expr_name *n = &e->name;
    if (e->op != EXPR_NAME || n->root != ROOT_STEPS || n->step == NONE || n->branch != NULL)
        return NULL;
    if (n->field != FIELD_OUTPUTS && n->field != FIELD_VALUES && n->field != FIELD_METRICS)
        return NULL;
    const struct step *s = &l->wf->steps[n->step];
    if (facts_each(&l->facts[by - l->wf->steps], n->step))
        return NULL; /* the branch that belongs to it */
    return s->is_matrix && s->n_rows > 0 ? s : NULL;
}

static const struct value *axis_value(const struct matrix_row *row, const char *axis)
{
    for (uint32_t i = 0; i < row->n; i++) {
        if (text_eq(row->axes[i], axis))
            return &row->values[i];
    }
    return NULL;
}

/* --- errors --- */

static void check_index(struct loader *l, const struct step *s, const struct expr *e)
{
    const struct step *of = listed(l, s, e->args[0]);
    const struct expr *by = e->args[1];
    if (of == NULL || by->op != EXPR_NAME || by->name.root != ROOT_MATRIX || by->name.text == NULL)
        return;
    const char *axis = by->name.text;
    for (uint32_t r = 0; r < s->n_rows; r++) {
        const struct value *v = axis_value(&s->rows[r], axis);
        if (v == NULL)
            continue;
        if (!value_is_number(v) && (v->type == VALUE_STRING || v->type == VALUE_BOOL)) {
            CLEANUP(sb_done) struct str text = {0};
            value_interpolate(v, &text);
            diag_error(l->d, by->span, "bad-index",
                       "a list of branches is indexed by whole numbers from 0, and '%s' of %s is "
                       "'%.60s'",
                       axis, s->rows[r].name, sb_text(&text));
            diag_hint(l->d,
                      "to go on branch by branch say needs: {%s: each} in place of the axis '%s', "
                      "and leave the index out",
                      of->name, axis);
            return;
        }
        CLEANUP(cleanup_free)
        char *digits = v->type == VALUE_NUMBER ? xstrndup(v->text.data, v->text.len) : NULL;
        char *end = digits;
        unsigned long at = digits != NULL ? strtoul(digits, &end, 10) : 0;
        if (end == digits || *end != '\0' || digits[0] == '-' || at < of->n_rows)
            continue;
        diag_error(l->d, by->span, "bad-index",
                   "there is no item %lu: step '%s' has %u branch%s, the first is item 0", at,
                   of->name, of->n_rows, of->n_rows == 1 ? "" : "es");
        return;
    }
}

/* As deep as the expression: EXPR_MAX_DEPTH at most. */
static void check_expr(struct loader *l, const struct step *s, const struct expr *e)
{
    if (e->op == EXPR_INDEX && e->n_args == 2)
        check_index(l, s, e);
    for (uint32_t i = 0; i < e->n_args; i++)
        check_expr(l, s, e->args[i]);
}

static void check_text(struct loader *l, const struct step *s, const struct text *t)
{
    for (uint32_t i = 0; t != NULL && (t->uses & USES_STEPS) != 0 && i < t->n_parts; i++) {
        if (t->parts[i].expr != NULL)
            check_expr(l, s, t->parts[i].expr);
    }
}

/* A list cannot be a part of one path. */
static void check_input(struct loader *l, const struct step *s, const struct text *t)
{
    if (t->n_parts < 2 || (t->uses & USES_STEPS) == 0)
        return;
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const struct expr *e = t->parts[i].expr;
        const struct step *of = e != NULL ? listed(l, s, e) : NULL;
        if (of == NULL)
            continue;
        diag_error(l->d, e->span, "bad-value",
                   "step '%s' has a matrix: this is the list of what its branches made, which "
                   "cannot be a part of one path",
                   of->name);
        diag_hint(l->d, "choose one branch: steps['%s']", of->rows[0].name);
    }
}

void check_branches(struct loader *l)
{
    for (uint32_t i = 0; i < l->wf->n_steps; i++) {
        const struct step *s = &l->wf->steps[i];
        check_text(l, s, s->run);
        for (uint32_t k = 0; k < s->n_command; k++)
            check_text(l, s, s->command[k]);
        for (uint32_t k = 0; k < s->n_env; k++)
            check_text(l, s, s->env[k].value);
        for (uint32_t k = 0; k < s->n_inputs; k++) {
            check_text(l, s, s->inputs[k].path);
            check_input(l, s, s->inputs[k].path);
        }
        check_text(l, s, s->workdir);
        check_text(l, s, s->serve != NULL ? s->serve->ready_run : NULL);
        check_text(l, s, s->source);
        if (s->condition != NULL && (expr_uses(s->condition) & USES_STEPS) != 0)
            check_expr(l, s, s->condition);
    }
}

/* --- the warning --- */

/* An axis that both have: then "my own branch" means something. */
static const char *shared_axis(const struct step *a, const struct step *b)
{
    const struct matrix_row *row = &a->rows[0];
    for (uint32_t i = 0; i < row->n; i++) {
        if (axis_value(&b->rows[0], row->axes[i]) != NULL)
            return row->axes[i];
    }
    return NULL;
}

/* `for x in ${{ … }}` goes through all of them. */
static bool is_gone_through(const struct text *t, uint32_t part)
{
    const struct text_part *p = part > 0 ? &t->parts[part - 1] : NULL;
    return p != NULL && p->literal != NULL && p->len >= 4 &&
           memcmp(p->literal + p->len - 4, " in ", 4) == 0;
}

static void warn_text(struct loader *l, const struct step *s, const struct text *t,
                      struct span *last)
{
    for (uint32_t i = 0; t != NULL && (t->uses & USES_STEPS) != 0 && i < t->n_parts; i++) {
        const struct expr *e = t->parts[i].expr;
        const struct step *of = e != NULL ? listed(l, s, e) : NULL;
        if (of == NULL || of->n_rows < 2 || e->name.field == FIELD_METRICS ||
            is_gone_through(t, i) || shared_axis(s, of) == NULL)
            continue;
        if (e->span.line == last->line && e->span.col == last->col)
            continue; /* one text of several steps */
        *last = e->span;
        diag_warn(l->d, e->span, "every-branch",
                  "this gives every branch's output, not only that of the branch with the same "
                  "'%s'",
                  shared_axis(s, of));
        int n = (int)(e->source.len < 80 ? e->source.len : 80);
        diag_hint(l->d,
                  "for one say needs: {%s: each} in place of that axis; for all of them write "
                  "%.*s.*",
                  of->name, n, e->source.data);
    }
}

void check_branches_warn(struct loader *l)
{
    struct span last = {0};
    for (uint32_t i = 0; i < l->wf->n_steps; i++) {
        const struct step *s = &l->wf->steps[i];
        if (!s->is_matrix || s->n_rows < 2)
            continue;
        warn_text(l, s, s->run, &last);
        for (uint32_t k = 0; k < s->n_command; k++)
            warn_text(l, s, s->command[k], &last);
        for (uint32_t k = 0; k < s->n_env; k++)
            warn_text(l, s, s->env[k].value, &last);
    }
}
