/* SPDX-License-Identifier: Apache-2.0 */
/* A run's life from outside: opened (checked, owned, recorded), started, looked at, closed. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/redact.h"
#include "base/units.h"
#include "cache/statcache.h"
#include "cache/store.h"
#include "engine/compiled.h"
#include "engine/leftovers.h"
#include "engine/run_impl.h"
#include "engine/worktree.h"
#include "steps/container.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum { DRAIN_MS = 10000 };

/* --- opening --- */

static void init_steps(struct run *r)
{
    const struct plan *p = r->plan;

    r->steps = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*r->steps));
    r->marks = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*r->marks));
    r->released = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*r->released));
    for (uint32_t s = 0; s < r->wf->n_steps; s++) {
        struct step_state *st = &r->steps[s];
        const struct step *m = &r->wf->steps[s];
        st->waits = p->waits[s] + (m->finally ? 1 : 0); /* for the end of all else */
        st->open = p->first[s + 1] - p->first[s];
        st->parked = (struct queue){NONE, NONE};
        st->bad = NONE;
        st->waits -= needs_open(r, s);
        if (step_is_service(m)) {
            services_open(r, s);
            for (uint32_t k = 0; k < m->n_needs; k++) {
                st->waits -= services_is_soft(m, m->needs[k].step);
            }
        } else {
            *(m->finally ? &r->open_finally : &r->open_main) += st->open;
        }
        for (uint32_t k = 0; m->select && k < m->select->n_from; k++) {
            r->steps[m->select->from[k]].candidate = true;
        }
        if (m->select && m->select->early) {
            promote_open(r, s);
        } else if (m->serve && m->serve->from != NONE) {
            promote_open(r, m->serve->from);
        }
        passed_step(r, s);
    }
}

static bool reads_step(const struct step *m, uint32_t step)
{
    for (uint32_t k = 0; k < m->n_reads; k++) {
        if (m->reads[k]->root == ROOT_STEPS && m->reads[k]->step == step) {
            return true;
        }
    }
    return false;
}

/* Semantics 15: a failure of a step is borne where every step that reads it is a select. */
static void init_tolerant(struct run *r)
{
    for (uint32_t s = 0; s < r->wf->n_steps; s++) {
        bool selects = false, others = false;
        uint32_t end = r->plan->follower_start[s + 1];
        for (uint32_t k = r->plan->follower_start[s]; k < end && !others; k++) {
            const struct step *f = &r->wf->steps[r->plan->followers[k]];
            if (f->kind == KIND_SELECT) {
                selects = true;
            } else {
                others = f->kind == KIND_AGGREGATE || reads_step(f, s);
            }
        }
        r->steps[s].tolerant = selects && !others;
        passed_step(r, s);
    }
}

static void init_arrays(struct run *r)
{
    uint32_t n = r->plan->n;

    state_init(&r->state, n);
    r->instances = xcalloc((size_t)n + 1, sizeof(*r->instances));
    r->next = xmalloc(((size_t)n + 1) * sizeof(*r->next));
    r->keys.n = n;
    r->models_fd = -1;
    r->to_ask = r->ready = r->starved = (struct queue){NONE, NONE};
    r->first_failure = NONE;
    r->results = arena_new();
    r->params = xcalloc((size_t)r->wf->n_params + 1, sizeof(*r->params));
    for (uint32_t k = 0; k < r->wf->n_params; k++) {
        r->params[k] = r->wf->params[k].value;
    }
    r->secrets = xcalloc((size_t)r->wf->n_secrets + 1, sizeof(*r->secrets));
    init_steps(r);
    init_tolerant(r);
}

static int open_executor(struct run *r, enum executor_kind kind, struct err *err)
{
    static const struct container_options none = {0};
    int rc;

    if (r->world.executors[kind]) {
        return 0;
    }
    if (r->o.mock) {
        r->world.executors[kind] = r->o.mock;
        return 0;
    }
    switch (kind) {
    case EXECUTOR_PROCESS:
        rc = process_executor_open(r->o.loop, &r->opened[kind], err);
        break;
    case EXECUTOR_CONTAINER:
        rc = container_executor_open(r->o.loop, r->o.store,
                                     r->o.containers ? r->o.containers : &none, &r->opened[kind],
                                     err);
        break;
    default:
        return err_set(err, ERR_UNSUPPORTED, 0, "the executor '%s' is not supported yet",
                       executor_kind_names[kind]);
    }
    r->world.executors[kind] = r->opened[kind];
    return rc;
}

static int open_executors(struct run *r, struct err *err)
{
    for (uint32_t s = 0; s < r->wf->n_steps; s++) {
        int rc = open_executor(r, r->wf->steps[s].executor, err);
        if (rc < 0) {
            return err_wrap(err, "step '%s'", r->wf->steps[s].name);
        }
        passed_step(r, s);
    }
    return 0;
}

static char *params_json(const struct workflow *wf)
{
    struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    for (uint32_t k = 0; k < wf->n_params; k++) {
        jw_key(&w, wf->params[k].name);
        value_json(&wf->params[k].value, &w);
    }
    jw_end_object(&w);
    CLEANUP(sb_done) struct str shown = {0}; /* for people: what steps get is in the plan */
    if (redact_urls(sb_text(&out), &shown)) {
        sb_done(&out);
        return sb_take(&shown);
    }
    return sb_take(&out);
}

static void init_world(struct run *r)
{
    const char *path = getenv("PATH");
    struct world *w = &r->world;

    w->loop = r->o.loop;
    w->store = r->o.store;
    w->statcache = statcache_new(r->o.store);
    w->wf = r->wf;
    w->params = r->params;
    w->run = r->id;
    w->trigger = r->o.trigger ? r->o.trigger : "manual";
    w->scheduled_at_ms = now_ms();
    w->work_dir = r->work_dir;
    w->path_env = path ? path : "/usr/local/bin:/usr/bin:/bin";
    w->secrets = (const char *const *)r->secrets;
    sched_world(r);
}

static int own(struct run *r, struct err *err)
{
    struct journal_calls calls = {.on_success = on_committed,
                                  .on_quiet = sched_wake_quiet,
                                  .on_broken = finish_broken,
                                  .arg = r};
    struct journal_run row;
    int rc = store_live(r->o.store, r->id, &r->live_fd, err);

    if (rc < 0) {
        return rc;
    }
    store_settle(r->o.store);
    flight_open(r);
    rc = fs_mkdirs(r->work_dir, 0700, err);
    if (rc < 0) {
        return rc;
    }
    r->params_json = params_json(r->wf);
    row = (struct journal_run){.plan = r->plan,
                               .trigger = r->world.trigger,
                               .params = r->params_json,
                               .text = r->o.text,
                               .text_len = r->o.text_len,
                               .started_ms = r->world.scheduled_at_ms};
    r->journal = journal_new(r->o.store, r->o.loop, r->id, &row, &calls);
    return 0;
}

static int prepare(struct run *r, struct err *err)
{
    const struct run_options *o = &r->o;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int rc;

    r->max_parallel = o->max_parallel       ? o->max_parallel
                      : r->wf->max_parallel ? r->wf->max_parallel
                      : cpus > 0            ? (uint32_t)cpus
                                            : 1;
    rc = decider_init(&r->decider, o->store, r->plan, o->cache == RUN_CACHE_OFF, o->refresh_all,
                      o->refresh, o->n_refresh, err);
    rc = rc < 0 ? rc : shared_open(r, err);
    rc = rc < 0 ? rc : open_executors(r, err);
    rc = rc < 0 ? rc : partial_open(r, err);
    rc = rc < 0 ? rc : checks_before(r, err);
    if (rc < 0) {
        return rc;
    }
    r->asker = asker_new(&r->world);
    r->slots = slots_new(&r->world);
    return own(r, err);
}

int run_open(const struct run_options *o, struct run **ret, struct err *err)
{
    struct run *r = xcalloc(1, sizeof(*r));
    char below[ID_LEN + 8];
    int rc;

    r->o = *o;
    r->plan = o->plan;
    r->wf = r->world.wf = o->plan->wf;
    r->live_fd = -1;
    id_new(r->id);
    (void)snprintf(below, sizeof(below), "work/%s", r->id);
    r->work_dir = store_path(o->store, below);
    r->idle = loop_idle_new(o->loop, sched_turn, r);
    init_arrays(r);
    init_world(r);
    rc = prepare(r, err);
    if (rc < 0) {
        run_close(r);
        return rc;
    }
    *ret = r;
    return 0;
}

/* --- starting --- */

static void compile_work(void *arg)
{
    struct run *r = arg;

    /* The plan is otherwise immutable; `unsaved` is read by nobody else once the run has begun. */
    compiled_save(r->o.store, (struct plan *)(uintptr_t)r->plan);
}

static void compile_done(void *arg)
{
    struct run *r = arg;

    r->compiled_busy = false;
    sched_wake(r);
}

static void on_deadline(void *arg)
{
    struct run *r = arg;
    CLEANUP(sb_done) struct str text = {0};

    sb_puts(&text, "the run took longer than its timeout of ");
    add_duration(&text, r->wf->timeout_ms);
    r->failed = true;
    emit_warning(r, NONE, sb_text(&text));
    finish_stop(r, sb_text(&text), true);
}

static void reap_leftovers(struct run *r)
{
    leftovers_end(r->o.store);
    for (int k = 0; k < EXECUTOR_COUNT; k++) {
        if (r->opened[k] && r->opened[k]->ops->reap) {
            r->opened[k]->ops->reap(r->opened[k], r->o.store);
        }
    }
}

void run_start(struct run *r)
{
    char payload[64];

    r->started_us = mono_us();
    (void)snprintf(payload, sizeof(payload), "{\"steps\":%u,\"max_parallel\":%u}", r->plan->n,
                   r->max_parallel);
    emit(r, EVENT_RUN_STARTED, NONE, payload, strlen(payload));
    checks_name(r);
    for (uint32_t s = 0; s < r->wf->n_steps; s++) {
        if (r->steps[s].waits == 0) {
            r->released[r->released_end++] = s;
        }
    }
    if (r->wf->timeout_ms > 0) {
        r->deadline = timer_new(r->o.loop, on_deadline, r);
        timer_start(r->deadline, r->wf->timeout_ms, 0);
    }
    if (r->plan->unsaved) {
        r->compiled_busy = true;
        loop_work(r->o.loop, compile_work, compile_done, r);
    }
    reap_leftovers(r);
    sched_wake(r);
}

/* --- closing --- */

static void close_executors(struct run *r)
{
    for (int k = 0; k < EXECUTOR_COUNT; k++) {
        struct executor *x = r->opened[k];
        if (x && x->ops->drain) {
            x->ops->drain(x, DRAIN_MS);
        }
        if (x && x->ops->close) {
            x->ops->close(x);
        }
    }
}

/* A run closed before its end: what it has under way ends first; nothing is told any more. */
static void close_early(struct run *r)
{
    for (struct task *t = r->tasks, *next; t; t = next) {
        next = t->next;
        if (t->attempt) {
            attempt_free(take_ptr(t->attempt));
        }
        t->holds = false;
        if (r->instances[t->instance].phase != PHASE_ASKING) {
            task_free(t);
        }
    }
    shared_stop(r);
    while (r->asking > 0 || r->fetching > 0 || r->publishing_pool > 0 || r->compiled_busy ||
           r->promoting > 0 || r->stage == STAGE_CLEANING) {
        (void)uv_run(loop_uv(r->o.loop), UV_RUN_ONCE);
    }
}

void run_close(struct run *r)
{
    if (!r) {
        return;
    }
    r->closing = true;
    close_early(r);
    services_close(r);
    promote_close(r);
    needs_close(r);
    shared_close(r);
    journal_free(r->journal);
    slots_free(r->slots);
    asker_free(r->asker);
    close_executors(r);
    flight_close(r);
    if (r->live_fd >= 0) {
        store_unlive(r->o.store, r->id, r->live_fd);
    }
    statcache_free(r->world.statcache);
    decider_done(&r->decider);
    keys_done(&r->keys);
    state_done(&r->state);
    loop_idle_free(r->idle);
    timer_free(r->deadline);
    arena_free(r->results);
    if (r->scratch) {
        arena_free(r->scratch);
    }
    for (uint32_t k = 0; r->secrets && k < r->wf->n_secrets; k++) {
        if (r->secrets[k]) {
            explicit_bzero(r->secrets[k], strlen(r->secrets[k]));
        }
        free(r->secrets[k]);
    }
    free(r->secrets);
    free(r->params);
    free(r->params_json);
    free(r->work_dir);
    free(r->instances);
    free(r->next);
    free(r->steps);
    free(r->marks);
    free(r->released);
    free(r->inside);
    free(r->outside_entry);
    free(r->stale);
    worktree_free(r->worktree);
    free(r->because);
    free(r->store_problem);
    free(r);
}

/* --- looking --- */

const char *run_id(const struct run *r)
{
    return r->id;
}

const struct plan *run_plan(const struct run *r)
{
    return r->plan;
}

const struct run_state *run_state_of(const struct run *r)
{
    return &r->state;
}

int64_t run_saved_ms(const struct run *r)
{
    return r->saved_ms;
}

bool run_succeeded(const struct run *r)
{
    return r->state.ended && strcmp(r->state.status, "succeeded") == 0 && !r->store_problem;
}

const char *run_store_problem(const struct run *r)
{
    return r->store_problem;
}

bool run_engine_problem(const struct run *r)
{
    return r->engine_problem;
}

uint32_t run_first_failure(const struct run *r)
{
    return r->first_failure;
}

void run_each_running(struct run *r,
                      void (*fn)(uint32_t instance, int64_t since_us, int log_fd,
                                 int64_t expected_ms, void *arg),
                      void *arg)
{
    for (struct task *t = r->tasks; t; t = t->next) {
        if (t->attempt) {
            const struct entry *before = prior_entry(r->decider.prior, t->instance);
            fn(t->instance, t->since_us, attempt_log_fd(t->attempt),
               before ? before->duration_ms : 0, arg);
        }
    }
}

const struct entry *run_entry(const struct run *r, uint32_t instance)
{
    return r->instances[instance].entry;
}

const struct result *run_result(struct run *r, uint32_t instance)
{
    struct instance *i = &r->instances[instance];
    struct result *decoded;
    struct err err = {0};

    if (!i->result && i->entry) {
        decoded = arena_alloc(r->results, sizeof(*decoded));
        if (result_decode(i->entry->data, i->entry->data_len, r->results, decoded, &err) == 0) {
            i->result = decoded;
        }
    }
    return i->result;
}
