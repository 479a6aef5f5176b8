/* SPDX-License-Identifier: Apache-2.0 */
/* Who is promoted (semantics 28-29). Each candidate's result is looked at once, and then kept in its place by metric: a decision after each of ten thousand branches must not read ten thousand results. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/promote_impl.h"
#include "steps/aggregate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct select_options *options_of(const struct candidates *c)
{
    return c->run->wf->steps[c->select].select;
}

static uint32_t instance_of(const struct candidates *c, const struct candidate *k)
{
    return c->run->plan->first[k->step] + k->row;
}

/* --- candidates --- */

void candidates_open(struct candidates *c, struct run *r, uint32_t select)
{
    const struct select_options *o = r->wf->steps[select].select;
    uint32_t at = 0;

    *c = (struct candidates){.run = r, .select = select};
    c->first = xcalloc((size_t)o->n_from + 1, sizeof(*c->first));
    c->asked = xcalloc((size_t)o->n_from + 1, sizeof(*c->asked));
    for (uint32_t k = 0; k < o->n_from; k++) {
        c->n += r->wf->steps[o->from[k]].n_rows;
    }
    c->all = xcalloc((size_t)c->n + 1, sizeof(*c->all));
    c->passed = xcalloc((size_t)c->n + 1, sizeof(*c->passed));
    c->fresh = xcalloc((size_t)c->n + 1, sizeof(*c->fresh));
    for (uint32_t k = 0; k < o->n_from; k++) {
        c->first[k] = at;
        for (uint32_t row = 0; row < r->wf->steps[o->from[k]].n_rows; row++) {
            c->all[at++] = (struct candidate){.step = o->from[k], .row = row};
        }
    }
}

void candidates_close(struct candidates *c)
{
    free(c->all);
    free(c->first);
    free(c->asked);
    free(c->passed);
    free(c->fresh);
}

static void note(struct candidates *c, uint32_t n)
{
    if (!c->all[n].seen) {
        c->all[n].seen = true;
        c->fresh[c->n_fresh++] = n;
    }
}

void candidates_note(struct candidates *c, uint32_t instance)
{
    const struct select_options *o = options_of(c);
    uint32_t step = c->run->plan->instances[instance].step;

    for (uint32_t k = 0; k < o->n_from; k++) {
        if (o->from[k] == step) {
            note(c, c->first[k] + (instance - c->run->plan->first[step]));
        }
    }
}

void candidates_note_all(struct candidates *c)
{
    for (uint32_t n = 0; n < c->n; n++) {
        uint8_t state = c->run->state.instances[instance_of(c, &c->all[n])].state;
        if (state == INSTANCE_SUCCEEDED || state == INSTANCE_CACHED) {
            note(c, n);
        }
    }
}

static bool is_stored(const struct candidates *c, uint32_t n)
{
    const struct run *r = c->run;
    uint32_t i = instance_of(c, &c->all[n]);

    if (r->state.instances[i].state == INSTANCE_SUCCEEDED && !r->instances[i].committed) {
        journal_hurry(r->journal);
        return false;
    }
    return true;
}

static bool is_asked(const struct candidates *c, uint32_t step)
{
    const struct run *r = c->run;

    for (uint32_t i = r->plan->first[step]; i < r->plan->first[step + 1]; i++) {
        uint8_t phase = r->instances[i].phase;
        if (phase == PHASE_TO_ASK || phase == PHASE_ASKING) {
            return false;
        }
    }
    return true;
}

bool candidates_settled(const struct candidates *c, bool all)
{
    const struct select_options *o = options_of(c);

    for (uint32_t k = 0; k < o->n_from; k++) {
        bool begun = c->run->instances[c->run->plan->first[o->from[k]]].phase != PHASE_IDLE;
        if (!c->asked[k] && begun && !is_asked(c, o->from[k])) {
            return false;
        }
        c->asked[k] = c->asked[k] || begun;
    }
    for (uint32_t n = 0; all && n < c->n; n++) {
        if (!is_stored(c, n)) {
            return false;
        }
    }
    return true;
}

/* By how much a is better than b; negative: worse. */
static double ahead(const struct select_options *o, double a, double b)
{
    return o->min ? b - a : a - b;
}

/* Better, and by that much: 0.85 is ahead of 0.8 by 0.05, whatever binary fractions make of it. */
static bool better(const struct select_options *o, double a, double b, double by)
{
    double d = ahead(o, a, b), blur = 1e-12 * fmax(fabs(a), fabs(b));

    return d > 0 && d >= by - blur;
}

static void insert(struct candidates *c, uint32_t n)
{
    const struct select_options *o = options_of(c);
    uint32_t low = 0, high = c->n_passed;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const struct candidate *at = &c->all[c->passed[mid]];
        double d = ahead(o, at->metric, c->all[n].metric);
        if (d > 0 || (!(d < 0) && c->passed[mid] < n)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    memmove(&c->passed[low + 1], &c->passed[low], (c->n_passed - low) * sizeof(*c->passed));
    c->passed[low] = n;
    c->n_passed++;
}

bool candidates_look(struct candidates *c)
{
    struct arena *a = arena_new();
    uint32_t left = 0, count = c->n_fresh;

    for (uint32_t k = 0; k < count; k++) {
        uint32_t n = c->fresh[k];
        struct candidate *it = &c->all[n];
        const struct result *result = run_result(c->run, instance_of(c, it));
        if (!is_stored(c, n)) {
            c->fresh[left++] = n;
            continue;
        }
        if (!result) {
            continue;
        }
        it->content = model_content(result, c->run->wf->steps[it->step].rows[it->row].name);
        it->passes = select_metric(options_of(c), result->metrics, a, &it->metric);
        if (it->passes) {
            insert(c, n);
        }
    }
    c->n_fresh = left;
    arena_free(a);
    return left < count;
}

/* --- barred --- */

struct barred {
    struct digest *items;
    size_t len, cap;
};

static int add_barred(const struct barred_model *m, void *arg)
{
    struct barred *b = arg;

    if (b->len == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 8;
        b->items = xreallocarray(b->items, b->cap, sizeof(*b->items));
    }
    b->items[b->len++] = m->model;
    return 0;
}

static void barred_done(struct barred *b)
{
    free(b->items);
}

static bool is_barred(const struct barred *b, const struct digest *model)
{
    for (size_t n = 0; n < b->len; n++) {
        if (digest_eq(&b->items[n], model)) {
            return true;
        }
    }
    return false;
}

/* --- the choice --- */

struct pick {
    const struct promoted_model *old;  /* of an earlier promotion; NULL */
    const struct candidate *candidate; /* of this run, which counts more; NULL */
    double metric;
    const struct digest *content;
};
struct picks {
    const struct select_options *o;
    struct pick *items;
    uint32_t count, top;
};

static bool has_pick(const struct picks *p, const struct digest *content)
{
    for (uint32_t n = 0; n < p->count; n++) {
        if (digest_eq(p->items[n].content, content)) {
            return true;
        }
    }
    return false;
}

/* Adds it, or puts it in the place of the worst where it is better by min_delta. Of equals who came first stays first. False: it is not good enough. */
static bool consider(struct picks *p, const struct pick *m)
{
    uint32_t at = p->count;

    if (at == p->top) {
        if (!better(p->o, m->metric, p->items[--at].metric, p->o->min_delta)) {
            return false;
        }
    } else {
        p->count++;
    }
    for (; at > 0 && ahead(p->o, m->metric, p->items[at - 1].metric) > 0; at--) {
        p->items[at] = p->items[at - 1];
    }
    p->items[at] = *m;
    return true;
}

/* This run's candidate of that content, best one that passes first; NULL: none has ended. */
static const struct candidate *find_candidate(const struct candidates *c,
                                              const struct digest *content)
{
    for (uint32_t n = 0; n < c->n_passed; n++) {
        if (digest_eq(&c->all[c->passed[n]].content, content)) {
            return &c->all[c->passed[n]];
        }
    }
    for (uint32_t n = 0; n < c->n; n++) {
        if (c->all[n].seen && digest_eq(&c->all[n].content, content)) {
            return &c->all[n];
        }
    }
    return NULL;
}

/* What serves: as this run's candidate where it is one, else as it was recorded, under the name that the metric has now. */
static void consider_old(struct picks *p, const struct candidates *c,
                         const struct promoted_model *old, bool over, struct arena *a)
{
    const struct candidate *mine = find_candidate(c, &old->content);
    struct pick pick = {.old = old, .candidate = mine, .content = &old->content};

    if (mine ? !mine->passes : over && !(p->o->min_delta > 0)) {
        return;
    }
    if (mine) {
        pick.metric = mine->metric;
    } else if (!select_metric(p->o, old->metrics_json, a, &pick.metric)) {
        return;
    }
    (void)consider(p, &pick);
}

static void consider_new(struct picks *p, const struct candidates *c, const struct barred *barred,
                         uint32_t *ret_passed)
{
    bool full = false;

    *ret_passed = 0;
    for (uint32_t n = 0; n < c->n_passed; n++) {
        const struct candidate *k = &c->all[c->passed[n]];
        struct pick pick = {.candidate = k, .metric = k->metric, .content = &k->content};
        if (barred->len > 0 && is_barred(barred, &k->content)) {
            continue;
        }
        (*ret_passed)++;
        full =
            full || (!has_pick(p, &k->content) && !consider(p, &pick)); /* the others are worse */
    }
}

int choose(const struct candidates *c, const struct promotion *before, bool over, struct arena *a,
           struct choice *ret, struct err *err)
{
    CLEANUP(barred_done) struct barred barred = {0};
    const struct step *s = &c->run->wf->steps[c->select];
    struct picks p = {.o = s->select, .top = s->select->top > 0 ? s->select->top : 1};
    uint32_t most = before ? before->n_models : 0;
    int rc = barred_each(c->run->o.store, c->run->wf->name, s->name, add_barred, &barred, err);

    if (rc < 0) {
        return rc;
    }
    most = p.top < c->n_passed + most ? p.top : c->n_passed + most;
    p.items = arena_calloc(a, (size_t)most + 1, sizeof(*p.items));
    for (uint32_t n = 0; before && n < before->n_models; n++) {
        if (!is_barred(&barred, &before->models[n].content)) {
            consider_old(&p, c, &before->models[n], over, a);
        }
    }
    consider_new(&p, c, &barred, &ret->passed);
    ret->count = p.count;
    ret->models = arena_calloc(a, (size_t)p.count + 1, sizeof(*ret->models));
    for (uint32_t n = 0; n < p.count; n++) {
        if (p.items[n].candidate) {
            model_of_candidate(c->run, p.items[n].candidate, a, &ret->models[n]);
        } else {
            ret->models[n] = *p.items[n].old;
            ret->models[n].metric = p.items[n].metric;
        }
    }
    models_unique_slugs(ret->models, ret->count, a);
    return 0;
}
