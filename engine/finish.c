/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping and ending: what a failure stops, what a signal stops, publication, `finally`, the last write, cleaning up. Stages: main -> finally -> settling (commits, publications) -> ending (the run's row) ->
 * uploading (to the shared cache) -> cleaning (on the pool) -> over. */
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/statcache.h"
#include "cache/store.h"
#include "engine/compiled.h"
#include "engine/run_impl.h"
#include "engine/worktree.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SYNC_EVERY_S = 60 };

/* --- stopping --- */

static void cancel_waiting(struct run *r, uint32_t instance, const char *because)
{
    struct instance *i = &r->instances[instance];
    uint8_t state = r->state.instances[instance].state;

    if (i->phase == PHASE_OVER || i->phase == PHASE_RUNNING || i->phase == PHASE_SERVICE ||
        i->phase == PHASE_HELD || instance_ended((enum instance_state)state)) {
        return;
    }
    if (i->phase == PHASE_RETRY && i->task) {
        task_free(i->task);
    } else if (i->phase == PHASE_ASKING && i->task && i->task->holds) {
        i->task->cancelled = true; /* its slot comes back with the answer */
    }
    emit_because(r, EVENT_CANCELLED, instance, because);
    sched_over(r, instance);
}

void finish_cancel_branches(struct run *r, uint32_t step, const char *because)
{
    for (uint32_t i = r->plan->first[step]; i < r->plan->first[step + 1]; i++) {
        struct task *t = r->instances[i].task;
        if (r->instances[i].phase == PHASE_RUNNING && t) {
            attempt_stop(t, because, false);
        } else {
            cancel_waiting(r, i, because);
        }
    }
}

static void end_what_runs(struct run *r, const char *because, bool hard, bool finally)
{
    for (struct task *t = r->tasks, *next; t; t = next) {
        next = t->next;
        if (r->instances[t->instance].phase == PHASE_RUNNING &&
            (finally || !step_of(r, t->instance)->finally)) {
            attempt_stop(t, because, hard);
        }
    }
}

void finish_stop(struct run *r, const char *because, bool end)
{
    if (!r->stopping) {
        r->stopping = true;
        r->because = xstrdup(because);
        emit_because(r, EVENT_RUN_STOPPING, NONE, because);
        for (uint32_t i = 0; i < r->plan->n; i++) {
            if (!step_of(r, i)->finally) {
                cancel_waiting(r, i, r->because);
            }
        }
    }
    services_stop(r, because);
    if (end) {
        end_what_runs(r, because, false, false);
    }
    shared_stop(r);
    sched_wake(r);
}

static void cancel_finally(struct run *r, const char *because)
{
    for (uint32_t i = 0; i < r->plan->n; i++) {
        if (step_of(r, i)->finally) {
            cancel_waiting(r, i, because);
        }
    }
}

void run_interrupt(struct run *r, const char *because, bool hard)
{
    if (r->stage >= STAGE_SETTLING) {
        shared_give_up(r);
        services_let_down(r);
        return;
    }
    r->interrupts++;
    r->cancelled = true;
    finish_stop(r, because, false);
    if (hard || r->interrupts >= 2) {
        end_what_runs(r, because, r->interrupts >= 3, r->interrupts >= 2);
    }
    if (r->interrupts >= 2) {
        r->no_finally = true;
        if (r->stage == STAGE_FINALLY) {
            cancel_finally(r, because);
        }
    }
    sched_wake(r);
}

void finish_failed(struct run *r, uint32_t instance)
{
    r->failed = true;
    if (r->first_failure == NONE) {
        r->first_failure = instance;
    }
    if (r->wf->on_failure == FAILURE_STOP && !r->stopping && !step_of(r, instance)->finally) {
        CLEANUP(cleanup_free)
        char *because = xasprintf("%s failed", r->plan->instances[instance].name);
        finish_stop(r, because, true);
    }
}

void finish_broken(const struct err *err, void *arg)
{
    struct run *r = arg;

    r->failed = true;
    r->no_finally = true;
    r->store_problem = xstrdup(err->msg);
    emit_warning(r, NONE, err->msg);
    finish_stop(r, "the store could not be written", false);
    end_what_runs(r, "the store could not be written", false, true);
}

/* --- publishing --- */

struct publishing {
    struct run *run;
    uint32_t instance;
    const struct result *result, *before;
    struct arena *arena; /* of before; NULL: none */
    struct str changed;
    int rc;
    struct err err;
};

bool finish_publishes(const struct step *m)
{
    for (uint32_t k = 0; k < m->n_outputs; k++) {
        if (m->outputs[k].publish) {
            return true;
        }
    }
    return false;
}

static void publish_work(void *arg)
{
    struct publishing *p = arg;

    p->rc = step_publish(&p->run->world, &p->run->plan->instances[p->instance], p->result,
                         p->before, &p->changed, &p->err);
}

static void publish_done(void *arg)
{
    struct publishing *p = arg;
    struct run *r = p->run;

    r->publishing--;
    r->publishing_pool--;
    r->epoch++;
    if (p->rc < 0 && !r->closing) {
        CLEANUP(cleanup_free)
        char *text = xasprintf("the outputs of %s could not be published: %s",
                               r->plan->instances[p->instance].name, p->err.msg);
        r->failed = true;
        emit_warning(r, p->instance, text);
    }
    if (p->changed.len > 0 && !r->closing) {
        bool several = strchr(sb_text(&p->changed), ',') != NULL;
        CLEANUP(cleanup_free)
        char *text = xasprintf("%s %s changed since %s published; %s replaced",
                               sb_text(&p->changed), several ? "were" : "was",
                               several ? "they were" : "it was", several ? "they are" : "it is");
        emit_warning(r, p->instance, text);
    }
    if (p->arena) {
        arena_free(p->arena);
    }
    sb_done(&p->changed);
    free(p);
    sched_wake(r);
}

/* What the instance made when it was last known to: so that a target which somebody changed since is told from one that is only out of date. */
static void find_before(struct publishing *p)
{
    const struct entry *e = prior_entry(p->run->decider.prior, p->instance);
    struct result *before;

    if (!e) {
        return;
    }
    p->arena = arena_new();
    before = arena_calloc(p->arena, 1, sizeof(*before));
    if (result_decode(e->data, e->data_len, p->arena, before, NULL) == 0) {
        p->before = before;
    }
}

void finish_publish(struct run *r, uint32_t instance)
{
    const struct result *result;
    struct publishing *p;

    if (!finish_publishes(step_of(r, instance)) || (r->inside && !r->inside[instance])) {
        return;
    }
    result = run_result(r, instance);
    if (!result) {
        return;
    }
    p = xcalloc(1, sizeof(*p));
    p->run = r;
    p->instance = instance;
    p->result = result;
    find_before(p);
    r->publishing++;
    r->publishing_pool++;
    loop_work(r->o.loop, publish_work, publish_done, p);
}

/* --- the end --- */

static void begin_finally(struct run *r)
{
    r->stage = STAGE_FINALLY;
    if (r->no_finally) {
        cancel_finally(r, r->because ? r->because : "interrupted");
        return;
    }
    /* The model has them last. */
    for (uint32_t s = r->wf->n_steps - r->wf->n_finally; s < r->wf->n_steps; s++) {
        if (r->wf->steps[s].finally && --r->steps[s].waits == 0) {
            r->released[r->released_end++] = s;
        }
    }
    sched_wake(r);
}

static const char *final_status(const struct run *r)
{
    return r->cancelled ? "cancelled" : r->failed ? "failed" : "succeeded";
}

static void *used_blob(const struct run *r, size_t *ret_len)
{
    size_t n = r->plan->n;
    unsigned char *used = xmalloc(n ? n * 8 : 1);

    for (size_t i = 0; i < n; i++) {
        uint64_t id = (uint64_t)r->state.instances[i].entry;
        for (size_t b = 0; b < 8; b++) {
            used[i * 8 + b] = (unsigned char)(id >> (8 * b));
        }
    }
    *ret_len = n * 8;
    return used;
}

static char *summary(const struct run *r)
{
    struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    jw_key(&w, "counts");
    jw_object(&w);
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        jw_kv_i64(&w, instance_state_names[s], r->state.counts[s]);
    }
    jw_end_object(&w);
    jw_kv_i64(&w, "saved_ms", r->saved_ms);
    if (r->first_failure != NONE) {
        jw_kv_text(&w, "first_failure", r->plan->instances[r->first_failure].name);
    }
    jw_end_object(&w);
    return sb_take(&out);
}

static void write_end(struct run *r)
{
    const char *status = final_status(r);
    char payload[64];
    size_t used_len;
    void *used;
    struct event e = {.type = EVENT_RUN_ENDED, .instance = NONE, .at_us = now_us()};

    (void)snprintf(payload, sizeof(payload), "{\"status\":\"%s\"}", status);
    e.payload = payload;
    e.payload_len = (uint32_t)strlen(payload);
    r->stage = STAGE_ENDING;
    (void)state_apply(&r->state, &e);
    if (!journal_broken(r->journal)) {
        used = used_blob(r, &used_len);
        journal_end(r->journal, &e, status, used, used_len, summary(r),
                    worktree_dirty(r->worktree));
    }
    if (r->o.on_event) {
        r->o.on_event(r, &e, r->o.arg);
    }
}

/* Marks the store as synced at most once a minute, over all processes: the time of an empty file says when it was. */
static bool sync_is_due(struct store *s)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "synced");
    struct stat st;
    int64_t now = now_ms() / 1000;

    return stat(path, &st) != 0 || st.st_mtim.tv_sec > now ||
           now - st.st_mtim.tv_sec >= SYNC_EVERY_S;
}

/* On the pool. The store is marked as synced by clean_done(), for which little is left to write then. */
static void clean_work(void *arg)
{
    struct run *r = arg;

    store_sweep(
        r->o.store); /* first: what is gone before it was ever written costs the disk nothing */
    if (r->sync_due) {
        CLEANUP(cleanup_close) int fd = open(store_dir(r->o.store), O_RDONLY | O_CLOEXEC);
        (void)(fd >= 0 && syncfs(fd) != 0);
    }
}

static void mark_synced(struct run *r)
{
    CLEANUP(cleanup_free) char *stamp = store_path(r->o.store, "synced");
    struct err err = {0};

    if (store_sync(r->o.store, &err) < 0) {
        log_debug("run", "sync: %s", err.msg);
        return;
    }
    CLEANUP(cleanup_close) int fd = open(stamp, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    (void)(fd >= 0 && futimens(fd, NULL) != 0);
}

static void clean_done(void *arg)
{
    struct run *r = arg;

    if (r->sync_due && !r->closing) {
        mark_synced(r);
    }
    r->stage = STAGE_OVER;
    promote_release(r);
    if (r->o.on_done && !r->closing) {
        r->o.on_done(r, r->o.arg);
    }
}

static void clean(struct run *r)
{
    r->stage = STAGE_CLEANING;
    if (r->deadline) {
        timer_stop(r->deadline);
    }
    /* Attempts' folders lie in the run's: they are let go first. */
    slots_free(take_ptr(r->slots));
    store_discard(r->o.store, r->work_dir);
    statcache_save(r->world.statcache);
    r->sync_due =
        (journal_made_entries(r->journal) || r->fetched.len > 0) && sync_is_due(r->o.store);
    if (r->sync_due) {
        loop_work(r->o.loop, clean_work, clean_done, r);
    } else { /* nothing else is going on, and threads cost more than a few files */
        store_sweep(r->o.store);
        clean_done(r);
    }
}

void finish_check(struct run *r)
{
    bool quiet = r->running == 0 && r->asking == 0 && r->fetching == 0 && r->publishing == 0 &&
                 r->promoting == 0;

    if (r->fetching > 0 && (r->stage == STAGE_MAIN ? r->open_main : r->open_finally) == 0) {
        shared_stop(r); /* whoever asked was cancelled meanwhile */
    }
    if (r->stage == STAGE_MAIN && r->open_main == 0 && quiet && services_settled(r) &&
        (r->stopping || !promote_busy(r))) {
        begin_finally(r);
    }
    if (r->stage == STAGE_FINALLY && r->open_finally == 0 && quiet) {
        r->stage = STAGE_DRAINING;
    }
    if (r->stage == STAGE_DRAINING && services_end(r) && quiet) {
        r->stage = STAGE_SETTLING;
    }
    if (r->stage == STAGE_SETTLING && quiet) {
        journal_hurry(r->journal);
        if (journal_quiet(r->journal)) {
            write_end(r);
        }
    }
    if (r->stage == STAGE_ENDING && journal_quiet(r->journal) && !r->compiled_busy) {
        r->stage = STAGE_UPLOADING;
    }
    if (r->stage == STAGE_UPLOADING && !shared_wait(r)) {
        clean(r);
    }
}
