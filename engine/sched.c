/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness by counters, between steps: a step's `open` branches count down; at zero its followers' `waits` count down; at zero all branches of the follower are looked at (skipped, or asked).
 * Queues: to_ask (inputs are looked at, the cache is asked; takes no slot), ready (misses that want a slot, first come first served), a list per step for branches above the matrix' max_parallel,
 * and `starved` for what does not fit beside what runs: whoever states resources queues behind it, so that nobody starves; who states none goes past. Each instance is in one list at a time,
 * and everything is linear in instances and edges. */
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/run_impl.h"
#include "steps/aggregate.h"

#include <string.h>

enum {
    ASKS_PER_TURN = 512, /* some milliseconds: what ended meanwhile is then looked at */
    ASKING_MAX = 64,     /* questions that read files on the pool at once */
    FETCHING_MAX = 256,  /* questions to the shared cache at once */
};

/* --- queues --- */

void queue_push(struct run *r, struct queue *q, uint32_t instance)
{
    r->next[instance] = NONE;
    if (q->tail == NONE) {
        q->head = instance;
    } else {
        r->next[q->tail] = instance;
    }
    q->tail = instance;
}

uint32_t queue_pop(struct run *r, struct queue *q)
{
    uint32_t i = q->head;

    if (i != NONE) {
        q->head = r->next[i];
        if (q->head == NONE) {
            q->tail = NONE;
        }
    }
    return i;
}

static void queue_push_front(struct run *r, struct queue *q, uint32_t instance)
{
    r->next[instance] = q->head;
    q->head = instance;
    if (q->tail == NONE) {
        q->tail = instance;
    }
}

/* --- a step's needs have ended: which branches go on? --- */

static bool all_skipped(const struct run *r, uint32_t step)
{
    uint32_t n = r->wf->steps[step].n_rows;

    return n > 0 && r->steps[step].n_skipped == n;
}

/* Whether something untolerated happened in a step or above it. */
static bool bad(const struct run *r, uint32_t step)
{
    return r->steps[step].n_bad > 0 || r->steps[step].failure;
}

/* "train[model=mlp] failed"; owned by the caller. */
static char *fate(const struct run *r, uint32_t instance)
{
    uint8_t state = r->state.instances[instance].state;

    return xasprintf("%s %s%s", r->plan->instances[instance].name,
                     state == INSTANCE_FAILED ? "" : "was ", instance_state_names[state]);
}

/* A select waits for the end of its candidates, not for their success; but where all were skipped there is nothing to choose from. */
static bool nothing_to_choose(const struct run *r, const struct step *m)
{
    bool nothing = m->select && m->select->n_from > 0;

    for (uint32_t k = 0; nothing && k < m->select->n_from; k++) {
        nothing = all_skipped(r, m->select->from[k]);
    }
    return nothing;
}

/* default() and `optional` bear with a skipped step, not with a failure that nobody tolerates. The step in question, or NONE. */
static uint32_t covered_bad(const struct run *r, const struct step *m)
{
    for (uint32_t k = 0; k < m->n_reads; k++) {
        const struct expr_name *n = m->reads[k];
        if (n->root == ROOT_STEPS && n->step != NONE && n->covered && n->field != FIELD_STATUS &&
            n->field != FIELD_CACHED && bad(r, n->step)) {
            return n->step;
        }
    }
    return NONE;
}

static void judge_needs(struct run *r, uint32_t step)
{
    const struct step *m = &r->wf->steps[step];
    uint32_t required = 0, skipped = 0;
    bool required_bad = false, any_bad = false;

    for (uint32_t k = 0; k < m->n_needs; k++) {
        const struct need *need = &m->needs[k];
        enum need_answer answer = needs_answer(r, step, need->step);
        if (bad(r, need->step) && answer != NEED_MET && answer != NEED_BY_BRANCH &&
            !services_is_soft(m, need->step)) {
            any_bad = true;
            if (r->steps[step].bad == NONE) {
                r->steps[step].bad = r->steps[need->step].bad;
            }
        }
        if (need->order_only || answer == NEED_BY_BRANCH || services_is_soft(m, need->step)) {
            continue;
        }
        required++;
        if (answer == NEED_MET || answer == NEED_UNMET) {
            required_bad |= answer == NEED_UNMET;
            continue;
        }
        required_bad |= bad(r, need->step);
        skipped += all_skipped(r, need->step);
    }
    required_bad |= any_bad && covered_bad(r, m) != NONE;
    r->steps[step].success =
        !required_bad && (required == 0 || skipped < required) && !nothing_to_choose(r, m);
    r->steps[step].failure = any_bad;
}

static bool reads_branch(const struct run *r, const struct expr_name *name, uint32_t *ret)
{
    for (uint32_t i = r->plan->first[name->step]; i < r->plan->first[name->step + 1]; i++) {
        if (strcmp(r->plan->instances[i].name, name->branch) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool succeeded(const struct run *r, uint32_t instance)
{
    uint8_t s = r->state.instances[instance].state;

    return s == INSTANCE_SUCCEEDED || s == INSTANCE_CACHED;
}

/* What one reference misses: "train was skipped" (owned by the caller), or NULL. */
static char *reads_nothing(const struct run *r, const struct step *m, const struct expr_name *name)
{
    uint32_t branch, first = r->plan->first[name->step], end = r->plan->first[name->step + 1];

    if (name->branch) {
        return reads_branch(r, name, &branch) && !succeeded(r, branch) ? fate(r, branch) : NULL;
    }
    for (uint32_t i = first; i < end; i++) {
        if (succeeded(r, i)) {
            return NULL;
        }
    }
    if (first == end || m->kind == KIND_SELECT) {
        return NULL;
    }
    return r->steps[name->step].bad != NONE ? fate(r, r->steps[name->step].bad)
           : all_skipped(r, name->step)
               ? xasprintf("%s was skipped", r->wf->steps[name->step].name)
               : xasprintf("%s did not succeed", r->wf->steps[name->step].name);
}

/* The first read output that is not there, in words (owned by the caller), or NULL. */
static char *unreadable(const struct run *r, uint32_t step)
{
    const struct step *m = &r->wf->steps[step];
    char *missing = NULL;

    for (uint32_t k = 0; k < m->n_needs; k++) {
        r->marks[m->needs[k].step] =
            !m->needs[k].order_only && needs_answer(r, step, m->needs[k].step) != NEED_BY_BRANCH;
    }
    for (uint32_t k = 0; k < m->n_reads && !missing; k++) {
        const struct expr_name *name = m->reads[k];
        if (name->root == ROOT_STEPS && name->step != NONE && r->marks[name->step] &&
            !name->covered &&
            (name->field == FIELD_OUTPUTS || name->field == FIELD_VALUES ||
             name->field == FIELD_METRICS)) {
            missing = reads_nothing(r, m, name);
        }
    }
    for (uint32_t k = 0; k < m->n_needs; k++) {
        r->marks[m->needs[k].step] = false;
    }
    return missing;
}

/* Why success() is false, for people: the first thing that went wrong. Owned by the caller. */
static char *why_not(const struct run *r, uint32_t step)
{
    const struct step *m = &r->wf->steps[step];
    bool nothing = nothing_to_choose(r, m);
    uint32_t covered = covered_bad(r, m);

    for (uint32_t k = 0; k < m->n_needs; k++) {
        uint32_t need = m->needs[k].step;
        enum need_answer answer = needs_answer(r, step, need);
        if (answer == NEED_UNMET) {
            uint32_t wanted = m->needs[k].mode == NEED_ANY ? 1 : m->needs[k].count;
            return xasprintf("fewer than %u of %s succeeded", wanted, r->wf->steps[need].name);
        }
        if (answer == NEED_BY_STEP && (!m->needs[k].order_only || nothing) && bad(r, need) &&
            r->steps[need].bad != NONE) {
            return fate(r, r->steps[need].bad);
        }
    }
    if (covered != NONE && r->steps[covered].bad != NONE) {
        return fate(r, r->steps[covered].bad);
    }
    for (uint32_t k = 0; k < m->n_needs; k++) {
        uint32_t need = m->needs[k].step;
        if ((!m->needs[k].order_only || nothing) && all_skipped(r, need)) {
            return xasprintf("%s was skipped", r->wf->steps[need].name);
        }
    }
    return xstrdup("`if` is false");
}

static void skip(struct run *r, uint32_t instance, const char *because)
{
    emit_because(r, EVENT_SKIPPED, instance, because);
    sched_over(r, instance);
}

static void look_at(struct run *r, uint32_t instance, const char *missing, const char *no_success)
{
    const struct step *m = step_of(r, instance);
    struct err err = {0};
    bool yes = m->finally || r->steps[r->plan->instances[instance].step].success;

    if (m->condition && step_condition(&r->world, &r->plan->instances[instance], &yes, &err) < 0) {
        fail_instance(r, instance, "refused", err.msg);
    } else if (!yes) {
        skip(r, instance, no_success ? no_success : "`if` is false");
    } else if (missing) {
        skip(r, instance, missing);
    } else if (step_is_service(m)) {
        services_release(r, instance);
    } else {
        ask_push(r, instance);
    }
}

static void step_over(struct run *r, uint32_t step)
{
    if (step_is_service(&r->wf->steps[step])) {
        services_over(r, step);
        return;
    }
    for (uint32_t k = r->plan->follower_start[step]; k < r->plan->follower_start[step + 1]; k++) {
        uint32_t f = r->plan->followers[k];
        if (!services_is_soft(&r->wf->steps[f], step) && !needs_counted(r, f, step) &&
            --r->steps[f].waits == 0) {
            r->released[r->released_end++] = f;
        }
    }
}

static void release_branch(struct run *r, uint32_t i, const char *missing, const char *no_success)
{
    if (r->instances[i].phase != PHASE_IDLE) {
        return; /* cancelled before it was ready */
    }
    if (r->inside && !r->inside[i]) {
        partial_settle(r, i);
    } else if (r->stopping && !step_of(r, i)->finally) {
        emit_because(r, EVENT_CANCELLED, i, r->because);
        sched_over(r, i);
    } else {
        look_at(r, i, missing, no_success);
    }
}

void sched_release(struct run *r, uint32_t step)
{
    const struct step *m = &r->wf->steps[step];
    CLEANUP(cleanup_free) char *missing = NULL;
    CLEANUP(cleanup_free) char *no_success = NULL;
    uint32_t first = r->plan->first[step], end = r->plan->first[step + 1];

    judge_needs(r, step);
    if (first == end) {
        step_over(r, step); /* a matrix without branches has succeeded */
        return;
    }
    missing = m->n_needs > 0 ? unreadable(r, step) : NULL;
    no_success = !m->finally && !r->steps[step].success ? why_not(r, step) : NULL;
    if (needs_release(r, step, missing, no_success)) {
        return;
    }
    for (uint32_t i = first; i < end; i++) {
        release_branch(r, i, missing, no_success);
    }
}

void sched_branch(struct run *r, uint32_t instance, uint32_t bad_one, const char *missing,
                  const char *no_success)
{
    CLEANUP(cleanup_free) char *why = bad_one != NONE ? fate(r, bad_one) : NULL;
    struct step_state *s = step_state_of(r, instance);
    bool success = s->success, failure = s->failure;

    /* success() and failure() of its `if` are the branch's own. */
    s->success = success && !why;
    s->failure = failure || (why && r->state.instances[bad_one].state != INSTANCE_SKIPPED);
    release_branch(r, instance, missing ? missing : why, no_success ? no_success : why);
    s->success = success;
    s->failure = failure;
}

/* --- an instance's state is final --- */

/* The first one counts, but a failure before the cancelling that it brought about. */
static void note_bad(const struct run *r, struct step_state *s, uint32_t instance)
{
    bool cancelled = r->state.instances[instance].state == INSTANCE_CANCELLED;

    if (s->n_bad++ == 0 || (!cancelled && r->state.instances[s->bad].state == INSTANCE_CANCELLED)) {
        s->bad = instance;
    }
}

/* A candidate that no select can rank is left out there; it is told here, while others still train. */
static void judge_candidate(struct run *r, uint32_t instance)
{
    uint32_t step = r->plan->instances[instance].step;
    const struct result *result = NULL;

    for (uint32_t k = r->plan->follower_start[step]; k < r->plan->follower_start[step + 1]; k++) {
        const struct step *f = &r->wf->steps[r->plan->followers[k]];
        bool from = false;
        for (uint32_t n = 0; f->select && n < f->select->n_from && !from; n++) {
            from = f->select->from[n] == step;
        }
        result = from && !result ? run_result(r, instance) : result;
        CLEANUP(cleanup_free)
        char *why = from && result ? select_unusable(f->select, result->metrics) : NULL;
        if (why) {
            CLEANUP(cleanup_free)
            char *text = xasprintf("%s leaves out %s, which %s", f->name,
                                   r->plan->instances[instance].name, why);
            emit_warning(r, instance, text);
        }
    }
}

void sched_over(struct run *r, uint32_t instance)
{
    const struct instance_status *st = &r->state.instances[instance];
    struct step_state *s = step_state_of(r, instance);
    bool found = st->state == INSTANCE_CACHED;

    if (r->instances[instance].phase == PHASE_OVER || services_hold(r, instance)) {
        return;
    }
    r->instances[instance].phase = PHASE_OVER;
    if (s->candidate && succeeded(r, instance)) {
        judge_candidate(r, instance);
    }
    switch (st->state) {
    case INSTANCE_FAILED:
    case INSTANCE_LOST:
        s->n_failed++;
        if (!st->tolerated) {
            note_bad(r, s, instance);
        }
        break;
    case INSTANCE_CANCELLED:
        note_bad(r, s, instance);
        break;
    case INSTANCE_SKIPPED:
        s->n_skipped++;
        break;
    default:
        break;
    }
    if (st->state != INSTANCE_SUCCEEDED) { /* after a success its commit lets them go */
        ask_release_waiters(r, instance, found);
    }
    if (!step_is_service(step_of(r, instance))) {
        *(step_of(r, instance)->finally ? &r->open_finally : &r->open_main) -= 1;
    }
    if (r->promoters) {
        promote_over(r, instance);
    }
    if (r->needs) {
        needs_over(r, instance);
    }
    if (--s->open == 0) {
        step_over(r, r->plan->instances[instance].step);
    }
    sched_wake(r);
}

/* --- slots and resources --- */

static bool wants_resources(const struct step *m)
{
    return m->resources.cpu_milli || m->resources.memory || m->resources.gpu;
}

static bool fits(const struct run *r, const struct step *m)
{
    const struct resources *want = &m->resources, *used = &r->in_use, *all = &r->machine;

    return used->cpu_milli + want->cpu_milli <= all->cpu_milli &&
           used->memory + want->memory <= all->memory && used->gpu + want->gpu <= all->gpu;
}

void sched_claim(struct run *r, struct task *t)
{
    const struct step *m = step_of(r, t->instance);

    t->holds = true;
    r->running++;
    step_state_of(r, t->instance)->running++;
    r->in_use.cpu_milli += m->resources.cpu_milli;
    r->in_use.memory += m->resources.memory;
    r->in_use.gpu += m->resources.gpu;
}

void sched_unclaim(struct run *r, struct task *t)
{
    const struct step *m = step_of(r, t->instance);
    struct step_state *s = step_state_of(r, t->instance);
    uint32_t parked;

    if (!t->holds) {
        return;
    }
    t->holds = false;
    r->running--;
    s->running--;
    r->in_use.cpu_milli -= m->resources.cpu_milli;
    r->in_use.memory -= m->resources.memory;
    r->in_use.gpu -= m->resources.gpu;
    while ((parked = queue_pop(r, &s->parked)) != NONE &&
           r->instances[parked].phase != PHASE_PARKED) {
        /* cancelled while it waited */
    }
    if (parked != NONE) {
        r->instances[parked].phase = PHASE_READY;
        queue_push_front(r, &r->ready, parked); /* it waited longest */
    }
    sched_wake(r);
}

void sched_ready(struct run *r, uint32_t instance)
{
    r->instances[instance].phase = PHASE_READY;
    queue_push(r, &r->ready, instance);
    sched_wake(r);
}

static void start_starved(struct run *r)
{
    while (r->running < r->max_parallel && r->starved.head != NONE) {
        uint32_t i = r->starved.head;
        bool waits = r->instances[i].phase == PHASE_PARKED; /* else it was cancelled */
        if (waits && !fits(r, step_of(r, i))) {
            return;
        }
        (void)queue_pop(r, &r->starved);
        if (waits) {
            ask_begin(r, i);
        }
    }
}

/* Before the first attempt of the run. False: an input is not there, and the run stops. */
static bool checked(struct run *r)
{
    struct err err = {0};

    if (r->checked || r->ready.head == NONE || r->stopping) {
        return true;
    }
    r->checked = true;
    if (checks_late(r, &err) == 0) {
        return true;
    }
    r->failed = true;
    emit_warning(r, NONE, err.msg);
    finish_stop(r, err.msg, true);
    return false;
}

static void start_ready(struct run *r)
{
    if (!checked(r)) {
        return;
    }
    start_starved(r);
    while (r->running < r->max_parallel) {
        uint32_t i = queue_pop(r, &r->ready);
        if (i == NONE) {
            return;
        }
        const struct step *m = step_of(r, i);
        struct step_state *s = step_state_of(r, i);
        if (r->instances[i].phase != PHASE_READY) {
            continue; /* cancelled while it waited */
        }
        if (m->max_parallel > 0 && s->running >= m->max_parallel) {
            r->instances[i].phase = PHASE_PARKED;
            queue_push(r, &s->parked, i);
        } else if (wants_resources(m) && (r->starved.head != NONE || !fits(r, m))) {
            r->instances[i].phase = PHASE_PARKED;
            queue_push(r, &r->starved, i);
        } else {
            ask_begin(r, i);
        }
    }
}

/* --- turns --- */

void sched_wake(struct run *r)
{
    if (r->stage != STAGE_OVER && !r->closing) {
        loop_idle_post(r->idle);
    }
}

void sched_wake_quiet(void *arg)
{
    sched_wake(arg);
}

static bool may_ask(const struct run *r)
{
    return r->to_ask.head != NONE && r->asking < ASKING_MAX && r->fetching < FETCHING_MAX;
}

void sched_turn(void *arg)
{
    struct run *r = arg;
    uint32_t asks = 0;

    if (r->closing) {
        return;
    }
    for (;;) {
        if (r->released_at < r->released_end) {
            sched_release(r, r->released[r->released_at]);
            passed_step(r, r->released_at++);
        } else if (asks < ASKS_PER_TURN && may_ask(r)) {
            uint32_t i = queue_pop(r, &r->to_ask);
            if (r->instances[i].phase == PHASE_TO_ASK) {
                ask_one(r, i);
                asks++;
                passed_step(r, r->asked++);
            }
        } else {
            break;
        }
    }
    if (r->promoters) {
        promote_turn(r);
    }
    start_ready(r);
    if (r->released_at < r->released_end || may_ask(r)) {
        sched_wake(r);
    }
    finish_check(r);
}

/* --- what steps see of the run --- */

static enum branch_status branch_status_of(uint8_t state)
{
    switch (state) {
    case INSTANCE_SUCCEEDED:
        return BRANCH_SUCCEEDED;
    case INSTANCE_CACHED:
        return BRANCH_CACHED;
    case INSTANCE_FAILED:
        return BRANCH_FAILED;
    case INSTANCE_SKIPPED:
        return BRANCH_SKIPPED;
    case INSTANCE_CANCELLED:
        return BRANCH_CANCELLED;
    case INSTANCE_LOST:
        return BRANCH_LOST;
    default:
        return BRANCH_PENDING;
    }
}

static void world_branch(void *arg, uint32_t step, uint32_t row, struct branch_view *ret)
{
    struct run *r = arg;
    uint32_t i = r->plan->first[step] + row;
    const struct instance_status *s = &r->state.instances[i];

    *ret = (struct branch_view){.row = &r->wf->steps[step].rows[row],
                                .status = r->steps[step].ready && s->state == INSTANCE_RUNNING
                                              ? BRANCH_SUCCEEDED /* semantics 31 */
                                              : branch_status_of(s->state),
                                .tolerated = s->tolerated,
                                .result = run_result(r, i),
                                .entry = s->entry};
}

static bool world_status(void *arg, uint32_t step, enum expr_function which)
{
    const struct run *r = arg;
    bool finally = r->wf->steps[step].finally;

    switch (which) {
    case FN_SUCCESS:
        return finally ? !r->failed && !r->cancelled : r->steps[step].success;
    case FN_FAILURE:
        return finally ? r->failed : r->steps[step].failure;
    case FN_CANCELLED:
        return r->cancelled;
    default:
        return true;
    }
}

static bool world_sees(void *arg, uint32_t by, uint32_t on, uint32_t row)
{
    return needs_sees(arg, by, on, row);
}

static const char *world_run_status(void *arg)
{
    const struct run *r = arg;

    return r->cancelled ? "cancelled" : r->failed ? "failed" : "succeeded";
}

static uint64_t world_epoch(void *arg)
{
    return ((const struct run *)arg)->epoch;
}

void sched_world(struct run *r)
{
    r->world.branch = world_branch;
    r->world.sees = world_sees;
    r->world.status = world_status;
    r->world.run_status = world_run_status;
    r->world.epoch = world_epoch;
    r->world.arg = r;
}
