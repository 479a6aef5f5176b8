/* SPDX-License-Identifier: Apache-2.0 */
/* needs: {train: each} (semantics 12): a step's branches are those of the other's matrix, times its own matrix. Of several such needs all must have the same branches.
 * needs: {select: each}: a branch for each model that may be chosen, by the axis `choice`; those beyond what is chosen are skipped by a condition.
 * Chains of them are followed without recursion; circles are left to the order of steps, which reports them. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "workflows/load_internal.h"
#include "workflows/matrix_impl.h"

#include <stdlib.h>
#include <string.h>

enum { BRANCHES_MAX = 100000, AXES_MAX = 64 };

static bool says_each(const struct node_pair *p)
{
    return p->value->kind == NODE_SCALAR && strcmp(p->value->text, "each") == 0;
}

bool load_fans_out(const struct step_facts *f)
{
    const struct node *n = f->needs;
    for (uint32_t i = 0; n != NULL && n->kind == NODE_MAP && i < n->len; i++) {
        if (says_each(&n->pairs[i]))
            return true;
    }
    return false;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

bool facts_each(const struct step_facts *f, uint32_t step)
{
    return f->n_each > 0 && bsearch(&step, f->each, f->n_each, sizeof(*f->each), by_number) != NULL;
}

/* --- what may be gone along --- */

static const struct node_pair *each_pair(const struct step_facts *f, const char *name)
{
    for (uint32_t i = 0; i < f->needs->len; i++) {
        if (strcmp(f->needs->pairs[i].key, name) == 0)
            return &f->needs->pairs[i];
    }
    return &f->needs->pairs[0];
}

static bool is_service_kind(const struct step *s)
{
    return s->kind == KIND_SERVE || (s->aggregate != NULL && s->aggregate->online);
}

/* Whether a step of this kind can have branches. */
static bool can_fan_out(struct loader *l, const struct step *s, struct span at)
{
    const struct schema_key *matrix = schema_find(&schema_step, "matrix");
    if ((matrix->kinds & (1u << s->kind)) != 0 && !is_service_kind(s))
        return true;
    diag_error(l->d, at, "bad-value", "step '%s' of kind %s cannot have branches", s->name,
               step_kind_names[s->kind]);
    diag_hint(l->d, "leave 'each' out: it waits for all of them");
    return false;
}

static bool can_be_followed(struct loader *l, const struct step *of, struct span at)
{
    if (is_service_kind(of)) {
        diag_error(l->d, at, "bad-value", "step '%s' is a service and has no branches", of->name);
        diag_hint(l->d, "on_promotion: each runs a step once per promotion");
        return false;
    }
    return true;
}

/* Finds the steps under `needs` that say each; names that are none are reported with the other needs. */
static void gather_each(struct loader *l, uint32_t index)
{
    const struct step *s = &l->wf->steps[index];
    struct step_facts *f = &l->facts[index];
    const struct node_pair *second = NULL;
    VEC(uint32_t) list = {0};
    for (uint32_t i = 0; i < f->needs->len; i++) {
        const struct node_pair *p = &f->needs->pairs[i];
        uint32_t of = says_each(p) ? load_step_index(l, p->key) : NONE;
        if (of == NONE || of == index || !can_fan_out(l, s, p->value->span) ||
            !can_be_followed(l, &l->wf->steps[of], p->value->span))
            continue;
        if (l->wf->steps[of].select == NULL)
            *vec_push(&list) = of;
        else if (f->chosen_of == 0)
            f->chosen_of = of + 1;
        else
            second = p;
        if (f->chosen_of > 0 && list.len > 0)
            second = p;
    }
    if (second != NULL) {
        diag_error(l->d, second->value->span, "bad-value",
                   "step '%s' goes along the models of a select step: it can go along nothing else",
                   s->name);
        vec_clear(&list);
    }
    if (list.len > 0) {
        qsort(list.items, list.len, sizeof(*list.items), by_number);
        f->each = arena_memdup(l->tmp, list.items, list.len * sizeof(*list.items));
        f->n_each = (uint32_t)list.len;
    }
    vec_done(&list);
}

/* --- joining --- */

struct axis_order {
    const char *name;
    uint32_t at;
};

static int by_name(const void *a, const void *b)
{
    const struct axis_order *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* A row's axes and values in an order that does not depend on how they stand; with `values` false only the axes. */
static void row_key(const struct matrix_row *row, bool values, struct str *key)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_free)
    struct axis_order *order = xcalloc((size_t)row->n + 1, sizeof(*order));
    for (uint32_t i = 0; i < row->n; i++)
        order[i] = (struct axis_order){row->axes[i], i};
    qsort(order, row->n, sizeof(*order), by_name);
    sb_clear(key);
    for (uint32_t i = 0; i < row->n; i++) {
        sb_printf(key, "%s%s", i > 0 ? ", " : "", order[i].name);
        if (!values)
            continue;
        sb_clear(&text);
        value_interpolate(&row->values[order[i].at], &text);
        sb_printf(key, "=%zu:", text.len);
        sb_add(key, sb_text(&text), text.len);
    }
}

static bool same_axes(struct loader *l, const struct step *s, struct span at,
                      const struct step *first, const struct step *other)
{
    CLEANUP(sb_done) struct str a = {0};
    CLEANUP(sb_done) struct str b = {0};
    if (first->n_rows == 0 || other->n_rows == 0)
        return true;
    row_key(&first->rows[0], false, &a);
    row_key(&other->rows[0], false, &b);
    if (strcmp(sb_text(&a), sb_text(&b)) == 0)
        return true;
    diag_error(l->d, at, "matrix",
               "step '%s' goes along '%s' and '%s', which must have the same axes: %.80s and %.80s",
               s->name, first->name, other->name, sb_text(&a), sb_text(&b));
    return false;
}

/* Whether each branch of `of` has a counterpart; the first that has none is reported. */
static bool covers(struct loader *l, const struct step *s, struct span at, const struct step *of,
                   const struct step *by)
{
    CLEANUP(sb_done) struct str key = {0};
    struct map rows = {0};
    const struct matrix_row *lone = NULL;
    for (uint32_t i = 0; i < by->n_rows; i++) {
        row_key(&by->rows[i], true, &key);
        map_put(&rows, arena_memdup(l->tmp, sb_text(&key), key.len + 1), key.len, NULL);
    }
    for (uint32_t i = 0; lone == NULL && i < of->n_rows; i++) {
        row_key(&of->rows[i], true, &key);
        if (map_find(&rows, sb_text(&key), key.len) < 0)
            lone = &of->rows[i];
    }
    map_done(&rows);
    if (lone == NULL)
        return true;
    diag_error(l->d, at, "matrix",
               "step '%s' goes along '%s' and '%s', and no branch of '%s' belongs to %.100s",
               s->name, of->name, by->name, by->name, lone->name);
    return false;
}

/* --- the product --- */

static bool has_axis(const struct matrix_row *row, const char *axis)
{
    for (uint32_t i = 0; i < row->n; i++) {
        if (strcmp(row->axes[i], axis) == 0)
            return true;
    }
    return false;
}

/* Axes of its own with names of their own, within bounds. */
static bool fits(struct loader *l, const struct step *s, struct span at, const struct step *along)
{
    uint64_t count = (uint64_t)s->n_rows * along->n_rows;
    for (uint32_t r = 0; r < s->n_rows; r++) {
        for (uint32_t i = 0; along->n_rows > 0 && i < s->rows[r].n; i++) {
            if (!has_axis(&along->rows[0], s->rows[r].axes[i]))
                continue;
            diag_error(l->d, at, "matrix",
                       "'%.60s' is an axis of step '%s' and of '%s', which it goes along",
                       s->rows[r].axes[i], s->name, along->name);
            diag_hint(l->d, "an own matrix multiplies, so its axes need other names");
            return false;
        }
    }
    if (count <= BRANCHES_MAX)
        return true;
    diag_error(l->d, at, "matrix", "step '%s' would have more than %d branches", s->name,
               BRANCHES_MAX);
    return false;
}

static void join_row(struct loader *l, const char *step, const struct matrix_row *along,
                     const struct matrix_row *own, struct matrix_row *ret)
{
    CLEANUP(sb_done) struct str name = {0};
    *ret = *along;
    if (own->n > 0) {
        uint32_t n = along->n + own->n;
        const char **axes = arena_calloc(l->a, n, sizeof(*axes));
        struct value *values = arena_calloc(l->a, n, sizeof(*values));
        for (uint32_t i = 0; i < n; i++) {
            const struct matrix_row *from = i < along->n ? along : own;
            uint32_t k = i < along->n ? i : i - along->n;
            axes[i] = from->axes[k];
            values[i] = from->values[k];
        }
        *ret = (struct matrix_row){.n = n, .axes = axes, .values = values};
    }
    matrix_row_name(step, ret, &name);
    ret->name = arena_strndup(l->a, sb_text(&name), name.len);
}

/* The branches of the first, each times the own ones. */
static void multiply(struct loader *l, struct step *s, const struct step *along)
{
    uint32_t count = s->n_rows * along->n_rows, at = 0;
    struct matrix_row *rows = arena_calloc(l->a, (size_t)count + 1, sizeof(*rows));
    for (uint32_t i = 0; i < along->n_rows; i++) {
        for (uint32_t k = 0; k < s->n_rows; k++)
            join_row(l, s->name, &along->rows[i], &s->rows[k], &rows[at++]);
    }
    s->rows = rows;
    s->n_rows = count;
    s->is_matrix = true;
}

/* --- along a choice --- */

/* The steps that a select step takes from, as they stand in the file; NULL past the last. */
static const struct node *from_node(const struct step_facts *f, uint32_t i)
{
    const struct node *n = f->from;
    if (n == NULL || n->kind == NODE_MAP || i >= (n->kind == NODE_LIST ? n->len : 1))
        return NULL;
    return n->kind == NODE_LIST ? n->items[i] : n;
}

/* What has its branches first: the i-th; NONE past the last, the step itself where a name is none. */
static uint32_t before(struct loader *l, uint32_t index, uint32_t i)
{
    const struct step_facts *f = &l->facts[index];
    if (f->chosen_of == 0)
        return i < f->n_each ? f->each[i] : NONE;
    const struct node *n = from_node(&l->facts[f->chosen_of - 1], i);
    uint32_t of = n != NULL && n->kind == NODE_SCALAR ? load_step_index(l, n->text) : index;
    return n == NULL ? NONE : of == NONE ? index : of;
}

/* At most `top`, and no more than there are candidates. */
static uint32_t choices(struct loader *l, const struct step *select)
{
    const struct step_facts *f = &l->facts[select - l->wf->steps];
    uint64_t candidates = 0;
    for (uint32_t i = 0; from_node(f, i) != NULL; i++) {
        const struct node *n = from_node(f, i);
        uint32_t of = n->kind == NODE_SCALAR ? load_step_index(l, n->text) : NONE;
        candidates += of != NONE ? l->wf->steps[of].n_rows : 0;
    }
    return select->select->top < candidates ? select->select->top : (uint32_t)candidates;
}

static void skip_beyond(struct loader *l, struct step *s, const struct step *select, struct span at)
{
    CLEANUP(sb_done) struct str text = {0};
    sb_printf(&text, "length(default(steps['%s'].models, '')) > matrix.choice", select->name);
    struct expr *there = expr_parse_bare(sb_text(&text), text.len, at, l->a, l->d);
    if (there == NULL || s->condition == NULL) {
        s->condition = there;
        return;
    }
    /* The own condition last, because it is what `and` gives. */
    struct expr *both = arena_calloc(l->a, 1, sizeof(*both));
    struct expr *args[] = {there, s->condition};
    *both = *s->condition;
    both->op = EXPR_AND;
    both->depth =
        (uint8_t)(1 + (there->depth > s->condition->depth ? there->depth : s->condition->depth));
    both->n_args = 2;
    both->args = arena_memdup(l->a, args, sizeof(args));
    s->condition = both;
}

/* A step of its own for the product: as many branches as models may be chosen. */
static void expand_chosen(struct loader *l, uint32_t index)
{
    struct step *s = &l->wf->steps[index];
    struct step_facts *f = &l->facts[index];
    const struct step *select = &l->wf->steps[f->chosen_of - 1];
    struct span at = each_pair(f, select->name)->value->span;
    struct step along = {.name = select->name, .is_matrix = true, .n_rows = choices(l, select)};
    const char **axes = arena_alloc(l->a, sizeof(*axes));
    axes[0] = load_shared_name(l, "choice", strlen("choice"));
    along.rows = arena_calloc(l->tmp, (size_t)along.n_rows + 1, sizeof(*along.rows));
    for (uint32_t i = 0; i < along.n_rows; i++) {
        struct value *v = arena_alloc(l->a, sizeof(*v));
        const char *digits = arena_printf(l->a, "%u", i);
        *v = value_number_text(slice_str(digits));
        along.rows[i] = (struct matrix_row){.n = 1, .axes = axes, .values = v};
    }
    if (!fits(l, s, at, &along))
        return;
    multiply(l, s, &along);
    skip_beyond(l, s, select, at);
}

/* With the branches of all that it goes along there. */
static void expand(struct loader *l, uint32_t index)
{
    struct step *s = &l->wf->steps[index];
    const struct step_facts *f = &l->facts[index];
    const struct step *along = NULL;
    bool fine = true;
    if (f->chosen_of > 0) {
        expand_chosen(l, index);
        return;
    }
    for (uint32_t i = 0; i < f->n_each && fine; i++) {
        const struct step *of = &l->wf->steps[f->each[i]];
        struct span at = each_pair(f, of->name)->value->span;
        if (!of->is_matrix)
            continue; /* one branch: each is all */
        if (along == NULL || (of->n_rows == 0 && l->o->allow_missing_params))
            along = of; /* in `wf check` a matrix may hang on a param that has no value yet */
        else if (along->n_rows > 0 || !l->o->allow_missing_params)
            fine = same_axes(l, s, at, along, of) && covers(l, s, at, along, of) &&
                   covers(l, s, at, of, along);
    }
    if (along == NULL || !fine || !fits(l, s, each_pair(f, along->name)->value->span, along))
        return;
    multiply(l, s, along);
}

/* --- all of them, those they go along first --- */

enum mark { UNSEEN, OPEN, DONE };

static void expand_from(struct loader *l, uint32_t root, unsigned char *marks)
{
    struct visit {
        uint32_t step, next;
    };
    VEC(struct visit) stack = {0};
    marks[root] = OPEN;
    *vec_push(&stack) = (struct visit){root, 0};
    while (stack.len > 0) {
        struct visit *v = &stack.items[stack.len - 1];
        uint32_t of = before(l, v->step, v->next++);
        if (of == NONE) {
            expand(l, v->step);
            marks[v->step] = DONE;
            stack.len--;
            continue;
        }
        if (marks[of] != UNSEEN)
            continue;
        marks[of] = OPEN;
        *vec_push(&stack) = (struct visit){of, 0};
    }
    vec_done(&stack);
}

void load_each(struct loader *l)
{
    uint32_t n = l->wf->n_steps;
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        if (load_fans_out(&l->facts[i])) {
            gather_each(l, i);
            any = any || l->facts[i].n_each > 0 || l->facts[i].chosen_of > 0;
        }
    }
    if (!any)
        return;
    CLEANUP(cleanup_free) unsigned char *marks = xcalloc((size_t)n + 1, 1);
    for (uint32_t i = 0; i < n; i++) {
        if (marks[i] == UNSEEN && (l->facts[i].n_each > 0 || l->facts[i].chosen_of > 0))
            expand_from(l, i, marks);
    }
}
