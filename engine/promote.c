/* SPDX-License-Identifier: Apache-2.0 */
/* Promotion (semantics 28-30): a select step whose choice is served decides again after each candidate (`promote: early`), and once more when it has ended. A choice that differs from what stands becomes a numbered promotion: its models are
 * placed (on the pool), then the row is written, then the event is told and the services hear of it. One at a time per select: what comes meanwhile only leads to another decision. What stands is read anew for each decision,
 * because other runs and rollbacks promote too; the row is written only where it still stands. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/failpoint.h"
#include "cache/store.h"
#include "engine/promote_impl.h"
#include "serve/desired.h"
#include "serve/models.h"

#include <stdlib.h>
#include <string.h>

struct promoter {
    struct run *run;
    uint32_t step, instance; /* the select */
    struct promoter *next;
    struct candidates candidates;
    bool dirty;  /* to be decided again */
    bool over;   /* the select has ended: what is decided now is final */
    bool failed; /* …not well: nothing more is decided */
    bool told;   /* the services know that it is final */
    bool busy;   /* models are being placed, or the row is being written */
    bool waited; /* `wait: at_most` has passed */
    bool warned; /* that a later run's choice stands */
    struct timer *timer;
    VEC(struct arena *)
    arenas; /* of all promotions known here: services may still be writing what an earlier one was */
    struct promotion standing; /* the newest that stands; number 0: none */
    struct promotion current;  /* what this run has handed to its services; number 0: nothing yet */
    /* While busy: */
    struct write write;
    struct arena *next_arena;
    struct promotion wanted;
    uint32_t after; /* what stood when it was decided */
    struct err err;
    int rc;
    uint32_t number;
    enum promotion_outcome outcome;
};

static const struct step *step_of_select(const struct promoter *p)
{
    return &p->run->wf->steps[p->step];
}

/* --- what stands --- */

static int read_standing(struct promoter *p, struct err *err)
{
    struct run *r = p->run;
    struct arena *a = arena_new();
    struct promotion found = {0};
    int rc = promotion_newest(r->o.store, r->wf->name, step_of_select(p)->name, a, &found, err);

    if (rc == 0 && found.number != p->standing.number) {
        *vec_push(&p->arenas) = a;
        p->standing = found;
        return 0;
    }
    if (rc == 1) {
        p->standing = (struct promotion){0};
    }
    arena_free(a);
    return rc < 0 ? rc : 0;
}

/* Does a service serve from it, of an earlier run too? */
static bool is_served(const struct promoter *p)
{
    struct run *r = p->run;
    bool served = false;

    for (uint32_t s = 0; s < r->wf->n_steps && !served; s++) {
        const struct step *m = &r->wf->steps[s];
        if (m->serve && m->serve->from == p->step) {
            struct arena *a = arena_new();
            struct service_row row;
            served = desired_find(r->o.store, r->wf->name, m->name, a, &row, NULL) == 0 &&
                     row.wanted != NULL;
            arena_free(a);
        }
        passed_step(r, s);
    }
    return served;
}

/* Who gives way only to a better one: what this run promoted or what took its place meanwhile, else what an earlier run left up. */
static const struct promotion *incumbents(const struct promoter *p)
{
    if (p->standing.number == 0) {
        return NULL;
    }
    return p->current.number > 0 || is_served(p) ? &p->standing : NULL;
}

/* --- telling --- */

static void tell_event(struct promoter *p, const struct promotion *of)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_i64(&w, "number", of->number);
    jw_kv_text(&w, "reason", promotion_reason_names[of->reason]);
    jw_key(&w, "models");
    jw_array(&w);
    for (uint32_t n = 0; n < of->n_models; n++) {
        jw_object(&w);
        jw_kv_text(&w, "name", of->models[n].name);
        jw_kv_text(&w, "slug", of->models[n].slug);
        jw_key(&w, "metric");
        jw_real(&w, of->models[n].metric);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    emit(p->run, EVENT_PROMOTION, p->instance, sb_text(&out), out.len);
}

static void failed(struct promoter *p, const char *text)
{
    if (!p->warned) {
        emit_warning(p->run, p->instance, text);
    }
    if (p->over && !p->told) {
        p->told = true;
        services_unpromoted(p->run, p->step, text);
    }
}

/* The services go on with it. */
static void hand_over(struct promoter *p, const struct promotion *to)
{
    p->current = *to;
    p->told = p->over && !p->dirty;
    services_promoted(p->run, p->step, &p->current, p->told);
}

/* --- carrying it out --- */

static void place_models(void *arg)
{
    struct promoter *p = arg;

    for (uint32_t n = 0; n < p->wanted.n_models && p->rc == 0; n++) {
        const struct promoted_model *m = &p->wanted.models[n];
        for (uint32_t k = 0; k < m->n_outputs && p->rc == 0; k++) {
            CLEANUP(cleanup_free) char *path = NULL;
            if (model_is_main(&m->outputs[k])) {
                p->rc = models_place(p->run->o.store, &m->outputs[k], &path, &p->err);
            }
        }
    }
    FAILPOINT("promote.placed");
}

static void finished(struct promoter *p)
{
    struct run *r = p->run;

    p->busy = false;
    r->promoting--;
    if (r->closing) {
        return;
    }
    *vec_push(&p->arenas) = take_ptr(p->next_arena);
    if (p->rc < 0) {
        failed(p, p->err.msg);
        p->warned |= p->err.code == ERR_BUSY;
    } else if (p->outcome == PROMOTION_STALE) {
        p->dirty = true;
    } else {
        p->wanted.number = p->number;
        p->standing = p->wanted;
        FAILPOINT("promote.written");
        if (p->outcome == PROMOTION_NEW) {
            tell_event(p, &p->wanted);
        }
        hand_over(p, &p->wanted);
    }
    sched_wake(r);
}

static int apply_promotion(struct write *w, struct db *db, struct err *err)
{
    struct promoter *p = CONTAINER_OF(w, struct promoter, write);

    return promotion_add(db, &p->wanted, p->after, &p->number, &p->outcome, err);
}

static void written(struct write *w, const struct err *err)
{
    struct promoter *p = CONTAINER_OF(w, struct promoter, write);

    if (err) {
        p->rc = -(int)err->code;
        p->err = *err;
    }
    finished(p);
}

static void placed(void *arg)
{
    struct promoter *p = arg;

    if (p->rc < 0 || p->run->closing) {
        finished(p);
        return;
    }
    p->write = (struct write){.apply = apply_promotion, .done = written, .urgent = true};
    store_post(p->run->o.store, &p->write);
}

static void promote(struct promoter *p, const struct choice *c, struct arena *a)
{
    struct run *r = p->run;
    struct err err = {0};

    if (promote_hold(r, &err) < 0) {
        arena_free(a);
        failed(p, err.msg);
        return;
    }
    p->wanted = (struct promotion){.workflow = r->wf->name,
                                   .step = step_of_select(p)->name,
                                   .at_ms = now_ms(),
                                   .run = r->id,
                                   .reason = p->over ? PROMOTED_FINAL : PROMOTED_EARLY,
                                   .content = models_content(c->models, c->count),
                                   .n_models = c->count,
                                   .models = c->models};
    p->after = p->standing.number;
    p->next_arena = a;
    p->rc = 0;
    p->err = (struct err){0};
    p->busy = true;
    r->promoting++;
    loop_work(r->o.loop, place_models, placed, p);
}

/* --- when --- */

static void on_waited(void *arg)
{
    struct promoter *p = arg;

    p->waited = p->dirty = true;
    sched_wake(p->run);
}

/* Semantics 30: the first promotion waits. */
static bool must_wait(struct promoter *p, uint32_t passed)
{
    const struct select_options *o = step_of_select(p)->select;

    if (p->over || p->waited || p->current.number > 0 ||
        (o->wait_for == 0 && o->wait_at_most_ms == 0) ||
        (o->wait_for > 0 && passed >= o->wait_for)) {
        return false;
    }
    if (passed > 0 && !p->timer && o->wait_at_most_ms > 0) {
        p->timer = timer_new(p->run->o.loop, on_waited, p);
        timer_start(p->timer, o->wait_at_most_ms, 0);
    }
    return true;
}

/* Of a partial run without the select: what stands is served. */
static void adopt_standing(struct promoter *p)
{
    if (p->standing.number > 0) {
        hand_over(p, &p->standing);
    } else {
        failed(p, "nothing has been promoted yet");
    }
}

static void decide_final(struct promoter *p, const struct choice *c, struct arena *a)
{
    const struct select_options *o = step_of_select(p)->select;
    uint32_t least = o->min_models > 0 ? o->min_models : 1;

    if (c->count >= least) {
        promote(p, c, a);
        return;
    }
    CLEANUP(cleanup_free)
    char *text = xasprintf("only %u of its models may be promoted, and %u must: the others were "
                           "rolled back (`wf models allow %s` lets them be chosen again)",
                           c->count, least, step_of_select(p)->name);
    arena_free(a);
    failed(p, text);
}

static void decide_now(struct promoter *p)
{
    const struct promotion *before;
    struct err err = {0};
    struct choice c = {0};

    if (read_standing(p, &err) < 0) {
        failed(p, err.msg);
        return;
    }
    if (p->run->inside && !p->run->inside[p->instance]) {
        adopt_standing(p);
        return;
    }
    struct arena *a = arena_new();
    before = incumbents(p);
    if (choose(&p->candidates, before, p->over, a, &c, &err) < 0) {
        arena_free(a);
        failed(p, err.msg);
        return;
    }
    struct digest content = models_content(c.models, c.count);
    bool unchanged = before && c.count > 0 && digest_eq(&content, &before->content);
    if (unchanged && (p->over || before->number != p->current.number)) {
        arena_free(a);
        hand_over(p, before);
    } else if (unchanged || (!p->over && (c.passed == 0 || must_wait(p, c.passed)))) {
        arena_free(a);
    } else if (p->over) {
        decide_final(p, &c, a);
    } else {
        promote(p, &c, a);
    }
}

void promote_turn(struct run *r)
{
    for (struct promoter *p = r->promoters; p && !r->stopping; p = p->next) {
        if (p->failed || p->busy || (!p->dirty && p->candidates.n_fresh == 0) ||
            !candidates_settled(&p->candidates, p->over)) {
            continue;
        }
        if (candidates_look(&p->candidates) || p->dirty) {
            p->dirty = false;
            decide_now(p);
        }
    }
}

/* In a partial run neither the select nor who serves from it may take part. */
static bool takes_part(const struct promoter *p)
{
    const struct run *r = p->run;

    if (!r->inside || r->inside[p->instance]) {
        return true;
    }
    for (uint32_t s = 0; s < r->wf->n_steps; s++) {
        const struct step *m = &r->wf->steps[s];
        if (m->serve && m->serve->from == p->step && r->inside[r->plan->first[s]]) {
            return true;
        }
    }
    return false;
}

static void select_over(struct promoter *p, bool good)
{
    struct run *r = p->run;
    uint8_t state = r->state.instances[p->instance].state;

    p->over = true;
    p->failed = !good;
    p->dirty = good;
    if (good) {
        candidates_note_all(&p->candidates);
        return;
    }
    CLEANUP(cleanup_free)
    char *text = xasprintf("%s %s%s", r->plan->instances[p->instance].name,
                           state == INSTANCE_FAILED ? "" : "was ", instance_state_names[state]);
    p->told = true;
    services_unpromoted(r, p->step, text);
}

void promote_over(struct run *r, uint32_t instance)
{
    uint32_t step = r->plan->instances[instance].step;
    uint8_t state = r->state.instances[instance].state;
    bool good = state == INSTANCE_SUCCEEDED || state == INSTANCE_CACHED;

    for (struct promoter *p = r->promoters; p; p = p->next) {
        const struct select_options *o = r->wf->steps[p->step].select;
        if (p->instance == instance && takes_part(p)) {
            select_over(p, good);
        }
        for (uint32_t k = 0; good && o->early && !p->over && k < o->n_from; k++) {
            if (o->from[k] == step && takes_part(p)) {
                candidates_note(&p->candidates, instance);
            }
        }
    }
}

/* --- opening and closing --- */

void promote_open(struct run *r, uint32_t step)
{
    struct promoter *p;

    if (r->plan->first[step] == r->plan->first[step + 1]) {
        return;
    }
    for (p = r->promoters; p; p = p->next) {
        if (p->step == step) {
            return;
        }
    }
    p = xcalloc(1, sizeof(*p));
    p->run = r;
    p->step = step;
    p->instance = r->plan->first[step];
    candidates_open(&p->candidates, r, step);
    p->next = r->promoters;
    r->promoters = p;
}

int promote_hold(struct run *r, struct err *err)
{
    return r->models_fd >= 0 ? 0 : models_hold(r->o.store, &r->models_fd, err);
}

void promote_release(struct run *r)
{
    cleanup_close(&r->models_fd);
    r->models_fd = -1;
}

bool promote_busy(const struct run *r)
{
    for (const struct promoter *p = r->promoters; p; p = p->next) {
        if (p->busy || (!p->failed && (p->dirty || p->candidates.n_fresh > 0))) {
            return true;
        }
    }
    return false;
}

void promote_close(struct run *r)
{
    for (struct promoter *p = r->promoters, *next; p; p = next) {
        next = p->next;
        timer_free(p->timer);
        candidates_close(&p->candidates);
        for (size_t n = 0; n < p->arenas.len; n++) {
            arena_free(p->arenas.items[n]);
        }
        vec_done(&p->arenas);
        if (p->next_arena) {
            arena_free(p->next_arena);
        }
        free(p);
    }
    promote_release(r);
    r->promoters = NULL;
}
