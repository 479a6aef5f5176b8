/* SPDX-License-Identifier: Apache-2.0 */
/* Needs that are not `all` (semantics 11, 12). any and N: met at the first, the N-th success; the follower sees the branches that had ended well by then. each: a branch follows its own partner, whatever the others do. Steps that have neither
 * never come here. Linear in branches. */
#include "base/err.h"
#include "base/mem.h"
#include "engine/run_impl.h"
#include "steps/scope.h"

#include <stdlib.h>
#include <string.h>

/* One need of `by` on the branches of `on`. */
struct edge {
    uint32_t by, on;
    enum need_mode mode;
    uint32_t count;         /* any is 1 */
    uint32_t succeeded;     /* branches of `on` */
    bool met, over;         /* counted: enough have succeeded; `on` has ended in all branches */
    bool *seen;             /* counted, once met: rows of `on` that the follower sees */
    uint32_t *partner;      /* each: of a row of `by`, the row of `on` */
    uint32_t *start, *rows; /* each: of a row of `on`, the rows of `by` (n_rows + 1) */
    struct edge *next;      /* in needs.first */
    struct edge *next_on;   /* of the same `on` */
};

struct needs {
    struct edge *first;
    struct edge **on;  /* per step: edges on it */
    bool *released;    /* per step: what it needs besides partners is there */
    char **no_success; /* per step that waits for partners: why no branch goes on, or NULL */
    char **missing;
};

/* --- opening --- */

static void pair_rows(struct run *r, struct edge *e)
{
    const struct step *by = &r->wf->steps[e->by], *on = &r->wf->steps[e->on];
    struct ref_rows rows;

    e->partner = xcalloc((size_t)by->n_rows + 1, sizeof(*e->partner));
    e->start = xcalloc((size_t)on->n_rows + 2, sizeof(*e->start));
    e->rows = xcalloc((size_t)by->n_rows + 1, sizeof(*e->rows));
    for (uint32_t row = 0; row < by->n_rows; row++) {
        const struct instance_ref *ref = &r->plan->instances[r->plan->first[e->by] + row];
        /* The loader saw to it that each has one. */
        e->partner[row] =
            scope_rows(&r->world, ref, e->on, NULL, &rows, NULL) == 0 ? rows.first : 0;
        e->start[e->partner[row] + 2]++;
    }
    for (uint32_t k = 2; k < on->n_rows + 2; k++) {
        e->start[k] += e->start[k - 1];
    }
    for (uint32_t row = 0; row < by->n_rows; row++) {
        e->rows[e->start[e->partner[row] + 1]++] = row;
    }
}

uint32_t needs_open(struct run *r, uint32_t step)
{
    const struct step *m = &r->wf->steps[step];
    uint32_t each = 0;

    for (uint32_t k = 0; k < m->n_needs; k++) {
        const struct need *n = &m->needs[k];
        if (n->mode == NEED_ALL) {
            continue;
        }
        if (!r->needs) {
            r->needs = xcalloc(1, sizeof(*r->needs));
            r->needs->on = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*r->needs->on));
            r->needs->released = xcalloc((size_t)r->wf->n_steps + 1, sizeof(bool));
            r->needs->no_success = xcalloc((size_t)r->wf->n_steps + 1, sizeof(char *));
            r->needs->missing = xcalloc((size_t)r->wf->n_steps + 1, sizeof(char *));
        }
        struct edge *e = xcalloc(1, sizeof(*e));
        e->by = step;
        e->on = n->step;
        e->mode = n->mode;
        e->count = n->mode == NEED_ANY ? 1 : n->count;
        e->next = r->needs->first;
        r->needs->first = e;
        e->next_on = r->needs->on[e->on];
        r->needs->on[e->on] = e;
        if (e->mode == NEED_EACH) {
            pair_rows(r, e);
            each++;
        }
    }
    return each;
}

void needs_close(struct run *r)
{
    if (!r->needs) {
        return;
    }
    for (struct edge *e = r->needs->first, *next; e; e = next) {
        next = e->next;
        free(e->seen);
        free(e->partner);
        free(e->start);
        free(e->rows);
        free(e);
    }
    for (uint32_t s = 0; s < r->wf->n_steps; s++) {
        free(r->needs->no_success[s]);
        free(r->needs->missing[s]);
    }
    free(r->needs->no_success);
    free(r->needs->missing);
    free(r->needs->on);
    free(r->needs->released);
    free(take_ptr(r->needs));
}

/* --- looking --- */

static struct edge *find(const struct run *r, uint32_t by, uint32_t on)
{
    struct edge *e = r->needs ? r->needs->on[on] : NULL;

    while (e && e->by != by) {
        e = e->next_on;
    }
    return e;
}

static bool succeeded(const struct run *r, uint32_t instance)
{
    uint8_t s = r->state.instances[instance].state;

    return s == INSTANCE_SUCCEEDED || s == INSTANCE_CACHED;
}

enum need_answer needs_answer(const struct run *r, uint32_t by, uint32_t on)
{
    const struct edge *e = find(r, by, on);

    return !e                     ? NEED_BY_STEP
           : e->mode == NEED_EACH ? NEED_BY_BRANCH
           : e->met               ? NEED_MET
                                  : NEED_UNMET;
}

bool needs_counted(const struct run *r, uint32_t by, uint32_t on)
{
    const struct edge *e = find(r, by, on);

    return e && (e->mode == NEED_EACH || e->met);
}

bool needs_sees(const struct run *r, uint32_t by, uint32_t on, uint32_t row)
{
    const struct edge *e = find(r, by, on);

    return !e || !e->seen || e->seen[row];
}

/* Semantics 15: is a failure of this branch borne because enough others can still succeed, for every step that needs it so? */
bool needs_bears(const struct run *r, uint32_t instance)
{
    uint32_t on = r->plan->instances[instance].step;
    uint32_t end = r->plan->follower_start[on + 1];
    bool any = false;

    for (uint32_t k = r->plan->follower_start[on]; r->needs && k < end; k++) {
        const struct edge *e = find(r, r->plan->followers[k], on);
        uint32_t left = r->steps[on].open - 1; /* besides this one */
        if (!e || e->mode == NEED_EACH || (!e->met && e->succeeded + left < e->count)) {
            return false;
        }
        any = true;
    }
    return any;
}

/* --- each --- */

/* The partners of a branch: 1 all have ended, 0 one has not. *ret_bad: one that did not succeed, NONE. */
static bool partners_over(const struct run *r, uint32_t instance, uint32_t *ret_bad)
{
    uint32_t step = r->plan->instances[instance].step;
    uint32_t row = instance - r->plan->first[step];
    const struct step *m = &r->wf->steps[step];

    *ret_bad = NONE;
    for (uint32_t k = 0; k < m->n_needs; k++) {
        const struct edge *e =
            m->needs[k].mode == NEED_EACH ? find(r, step, m->needs[k].step) : NULL;
        if (!e) {
            continue;
        }
        uint32_t partner = r->plan->first[e->on] + e->partner[row];
        if (r->instances[partner].phase != PHASE_OVER) {
            return false;
        }
        bool tolerated = r->state.instances[partner].tolerated && m->needs[k].order_only;
        if (!succeeded(r, partner) && !tolerated && *ret_bad == NONE) {
            *ret_bad = partner;
        }
    }
    return true;
}

static void try_branch(struct run *r, uint32_t instance)
{
    uint32_t step = r->plan->instances[instance].step, bad;

    if (r->instances[instance].phase == PHASE_IDLE && partners_over(r, instance, &bad)) {
        if (bad != NONE && !r->state.instances[bad].tolerated &&
            r->state.instances[bad].state != INSTANCE_SKIPPED) {
            r->steps[step].failure = true;
            r->steps[step].bad = r->steps[step].bad == NONE ? bad : r->steps[step].bad;
        }
        sched_branch(r, instance, bad, r->needs->missing[step], r->needs->no_success[step]);
    }
}

bool needs_release(struct run *r, uint32_t step, const char *missing, const char *no_success)
{
    const struct step *m = &r->wf->steps[step];
    bool each = false;

    for (uint32_t k = 0; r->needs && k < m->n_needs; k++) {
        each |= m->needs[k].mode == NEED_EACH;
    }
    if (!each) {
        return false;
    }
    r->needs->released[step] = true;
    r->needs->missing[step] = missing ? xstrdup(missing) : NULL;
    r->needs->no_success[step] = no_success ? xstrdup(no_success) : NULL;
    for (uint32_t i = r->plan->first[step]; i < r->plan->first[step + 1]; i++) {
        try_branch(r, i);
    }
    return true;
}

/* --- a branch has ended --- */

static void meet(struct run *r, struct edge *e)
{
    uint32_t n = r->wf->steps[e->on].n_rows;

    e->met = true;
    e->seen = xcalloc((size_t)n + 1, sizeof(*e->seen));
    for (uint32_t row = 0; row < n; row++) {
        e->seen[row] = succeeded(r, r->plan->first[e->on] + row);
    }
    if (--r->steps[e->by].waits == 0) {
        r->released[r->released_end++] = e->by;
    }
}

void needs_over(struct run *r, uint32_t instance)
{
    uint32_t on = r->plan->instances[instance].step;
    uint32_t row = instance - r->plan->first[on];
    bool good = succeeded(r, instance);

    for (struct edge *e = r->needs->on[on]; e; e = e->next_on) {
        if (e->mode == NEED_EACH) {
            for (uint32_t k = e->start[row]; r->needs->released[e->by] && k < e->start[row + 1];
                 k++) {
                try_branch(r, r->plan->first[e->by] + e->rows[k]);
            }
        } else if (good && ++e->succeeded == e->count) {
            meet(r, e);
        }
    }
}
