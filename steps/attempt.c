/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an attempt on the loop; attempt_impl.h shows its states. Between begin and end at most one of these is under way: a fetch, work on the pool, a job, the masking of what
 * a job left in its pipe. */
#include "steps/attempt.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/store.h"
#include "steps/action.h"
#include "steps/asker.h"
#include "steps/attempt_impl.h"
#include "steps/mask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* After the end of its process tree a step's log is drained for so long. */
#define DRAIN_MS 1000

static void submit(struct attempt *a);

/* --- the end --- */

static void release(struct attempt *a)
{
    if (a->handle) {
        a->executor->ops->release(a->executor, a->handle);
        a->handle = NULL;
    }
    mask_free(a->mask);
    timer_free(a->timer);
    source_fetch_free(a->fetch);
    if (a->stdout_fd >= 0) {
        close(a->stdout_fd);
    }
    if (a->box) {
        store_discard(a->w->store, a->box);
    }
    if (a->slot) {
        slot_give(a->slots, a->slot, a->outcome == ATTEMPT_SUCCEEDED && a->ended);
        a->slot = NULL;
    }
    vec_done(&a->places);
    vec_done(&a->mounts);
    vec_done(&a->uses);
    arena_free(a->arena);
    free(a);
}

void attempt_free(struct attempt *a)
{
    if (!a || a->freed) {
        return;
    }
    a->on_end = NULL;
    if (a->in_pool) {
        a->freed = true; /* the pool still has it: freed when that is done */
        return;
    }
    release(a);
}

static void renew_copies(struct attempt *a)
{
    for (size_t n = 0; n < a->uses.len; n++) {
        const struct copy_use *u = &a->uses.items[n];
        if (u->sum == UINT64_MAX || (a->outcome != ATTEMPT_SUCCEEDED && !copy_unchanged(u))) {
            copy_renew(a->slots, u);
        }
    }
}

static void fill_result(struct attempt *a)
{
    struct result *r = &a->result;

    r->began_at_ms =
        a->have_source && a->source.began_at_ms ? a->source.began_at_ms : a->began_at_ms;
    r->duration_ms = (mono_us() - a->started_us) / 1000;
    r->cpu_us = a->job_end.cpu_us;
    r->max_rss_kib = a->job_end.max_rss_kib;
    r->run = a->w->run;
    r->measure = a->q->measure;
}

static void end(struct attempt *a)
{
    bool ok = a->outcome == ATTEMPT_SUCCEEDED;
    char text[sizeof(a->err.msg) + 300];

    a->ended = true;
    if (a->timer) {
        timer_stop(a->timer);
    }
    if (!ok) {
        keep_log_file(a);
        snprintf(text, sizeof(text), "step '%s' %s", a->i.name, a->err.msg);
    } else {
        fill_result(a);
    }
    renew_copies(a);
    struct attempt_end e = {.outcome = a->outcome,
                            .exit_code = a->submitted && a->job_end.outcome == JOB_EXITED
                                             ? a->job_end.exit_code
                                         : ok ? 0
                                              : -1,
                            .signal = a->job_end.signal,
                            .error = ok ? NULL : secrets_hide(a, text),
                            .result = ok ? &a->result : NULL,
                            .store = ok && a->store,
                            .why_not = a->why_not,
                            .started_at_ms = a->began_at_ms,
                            .duration_ms = (mono_us() - a->started_us) / 1000,
                            .storing_us = a->storing_us,
                            .cpu_us = a->job_end.cpu_us,
                            .max_rss_kib = a->job_end.max_rss_kib,
                            .log = a->log,
                            .stragglers = a->job_end.stragglers};
    attempt_fn fn = a->on_end;
    a->on_end = NULL;
    if (fn) {
        fn(a, &e, a->arg); /* may free it */
    }
}

static void nothing(void *arg)
{
    (void)arg;
}

static void on_later(void *arg)
{
    struct attempt *a = arg;

    a->in_pool = false;
    if (a->freed) {
        release(a);
    } else {
        end(a);
    }
}

void attempt_fail(struct attempt *a, enum attempt_outcome outcome)
{
    a->outcome = a->cancelled ? ATTEMPT_CANCELLED : outcome;
    a->in_pool = true;
    loop_work(a->w->loop, nothing, on_later, a);
}

/* "failed: …" as the second half of "step 'x' …". */
static void say(struct attempt *a)
{
    struct err e = a->err;

    err_set(&a->err, e.code ? e.code : ERR_INTERNAL, 0, "failed: %s", e.msg);
}

/* --- taking what a job left --- */

static void on_collected(void *arg)
{
    struct attempt *a = arg;

    a->in_pool = false;
    if (a->freed) {
        release(a);
        return;
    }
    if (a->err.code != ERR_NONE) {
        a->outcome = ATTEMPT_FAILED;
        say(a);
    }
    end(a);
}

static void collect_timed(void *arg)
{
    struct attempt *a = arg;
    int64_t began = mono_us();

    collect(a, &a->err);
    a->storing_us = mono_us() - began;
}

static void log_is_whole(void *arg)
{
    struct attempt *a = arg;

    if (a->outcome != ATTEMPT_SUCCEEDED) {
        end(a);
    } else if (a->host && !collect_is_large(a)) {
        collect_timed(a);
        on_collected(a);
    } else {
        a->in_pool = true;
        loop_work(a->w->loop, collect_timed, on_collected, a);
    }
}

static void judge(struct attempt *a, const struct job_end *e)
{
    CLEANUP(sb_done) struct str limit = {0};

    a->outcome = ATTEMPT_FAILED;
    if (a->cancelled) {
        a->outcome = ATTEMPT_CANCELLED;
        err_set(&a->err, ERR_CANCELLED, 0, "was cancelled");
    } else if (a->timed_out) {
        a->outcome = ATTEMPT_TIMED_OUT;
        add_duration(&limit, a->step->timeout_ms);
        err_set(&a->err, ERR_TIMEOUT, 0, "ran longer than its timeout of %s and was ended",
                sb_text(&limit));
    } else if (e->outcome == JOB_EXITED && e->exit_code == 0) {
        a->outcome = ATTEMPT_SUCCEEDED;
    } else if (e->outcome == JOB_EXITED) {
        err_set(&a->err, ERR_IO, 0, "exited with code %d%s%s", e->exit_code, e->message ? ": " : "",
                e->message ? e->message : "");
    } else if (e->outcome == JOB_SIGNALLED) {
        err_set(&a->err, ERR_IO, 0, "was killed by signal %d (%s)", e->signal,
                strsignal(e->signal));
    } else if (e->outcome == JOB_OOM) {
        a->outcome = ATTEMPT_OOM;
        if (a->step->resources.memory > 0) {
            add_size(&limit, a->step->resources.memory);
        }
        err_set(&a->err, ERR_IO, 0, "was killed, probably out of memory%s%s%s",
                limit.len ? " (its limit is " : "", sb_text(&limit), limit.len ? ")" : "");
    } else if (e->outcome == JOB_LOST) {
        a->outcome = ATTEMPT_LOST;
        err_set(&a->err, ERR_IO, 0, "was lost: %s",
                e->message ? e->message : "nobody knows how it ended");
    } else {
        a->outcome = ATTEMPT_REFUSED;
        err_set(&a->err, ERR_USAGE, 0, "could not be started: %s",
                e->message ? e->message : "the executor did not say why");
    }
}

static void on_job_end(const struct job_end *e, void *arg)
{
    struct attempt *a = arg;

    if (a->timer) {
        timer_stop(a->timer);
    }
    a->job_over = true;
    a->job_end = *e;
    a->job_end.message = NULL;
    if (e->started_at_ms > 0) {
        a->began_at_ms = e->started_at_ms;
    }
    judge(a, e);
    if (a->executor->ops->collect && a->outcome == ATTEMPT_SUCCEEDED &&
        a->executor->ops->collect(a->executor, &a->job, &a->err) != 0) {
        a->outcome = ATTEMPT_LOST;
        say(a);
    }
    if (a->mask) {
        mask_finish(a->mask, DRAIN_MS, log_is_whole, a);
    } else {
        log_is_whole(a);
    }
}

/* --- the job --- */

static void on_timeout(void *arg)
{
    struct attempt *a = arg;

    if (a->handle && !a->job_over) {
        a->timed_out = true;
        a->executor->ops->stop(a->executor, a->handle, a->step->grace_ms);
    }
}

/* The copies as they are now, to compare with after the step. */
static void note_copies(struct attempt *a)
{
    for (size_t n = 0; n < a->places.len; n++) {
        struct copy *c = a->places.items[n].copy;
        if (c) {
            *vec_push(&a->uses) = (struct copy_use){c, c->generation, c->st, c->sum, c->path};
        }
    }
}

static int open_channels(struct attempt *a, struct err *err)
{
    a->job.log_fd = a->slot->log_fd;
    for (uint32_t n = 0; n < a->step->n_values; n++) {
        if (a->step->values[n].from_stdout && a->stdout_fd < 0) {
            a->stdout_fd = memfd_create("stdout", MFD_CLOEXEC);
            if (a->stdout_fd < 0) {
                return err_set(err, ERR_IO, errno, "cannot capture the standard output");
            }
            a->job.stdout_fd = a->stdout_fd;
        }
    }
    if (a->step->n_secrets == 0) {
        return 0;
    }
    return mask_open(a->w->loop, secrets_of(a), a->step->n_secrets, a->slot->log_fd, &a->mask,
                     &a->job.log_fd, err);
}

static int hand_over(struct attempt *a, struct err *err)
{
    const struct executor_ops *ops = a->executor->ops;
    int rc = open_channels(a, err);

    rc = rc == 0 && ops->stage ? ops->stage(a->executor, &a->job, err) : rc;
    if (rc != 0) {
        return rc;
    }
    note_copies(a);
    a->submitted = true;
    a->began_at_ms = now_ms();
    rc = ops->submit(a->executor, &a->job, on_job_end, a, &a->handle, err);
    if (rc == -ERR_TIMEOUT && ops->find) {
        /* Nobody said whether it was started: look before anything is done twice. */
        int found = ops->find(a->executor, &a->job, on_job_end, a, &a->handle, err);
        rc = found == 0 ? 0 : rc;
        if (rc == 0) {
            *err = (struct err){0};
        }
    }
    if (rc == 0 && a->step->timeout_ms > 0) {
        a->timer = timer_new(a->w->loop, on_timeout, a);
        timer_start(a->timer, a->step->timeout_ms, 0);
    }
    return rc;
}

static void submit(struct attempt *a)
{
    if (a->cancelled) {
        err_set(&a->err, ERR_CANCELLED, 0, "was cancelled");
        attempt_fail(a, ATTEMPT_CANCELLED);
        return;
    }
    if (hand_over(a, &a->err) != 0) {
        bool lost = a->err.code == ERR_TIMEOUT;
        a->submitted = false;
        say(a);
        attempt_fail(a, lost ? ATTEMPT_LOST : ATTEMPT_FAILED);
    }
}

static void lay_out_in_pool(void *arg)
{
    struct attempt *a = arg;

    lay_out(a, true, &a->err);
}

static void on_laid_out(void *arg)
{
    struct attempt *a = arg;

    a->in_pool = false;
    if (a->freed) {
        release(a);
    } else if (a->err.code != ERR_NONE) {
        say(a);
        attempt_fail(a, ATTEMPT_FAILED);
    } else {
        submit(a);
    }
}

/* Everything it needs is known: files are laid out, the job is built and handed over. */
static void begin_job(struct attempt *a)
{
    a->scope.source_path = !a->have_source || !a->source.path ? NULL
                           : a->host                          ? a->source.path
                                                              : "/inputs/source";
    if (build_job(a, &a->err) != 0) {
        bool disk = a->err.code == ERR_IO;
        say(a);
        attempt_fail(a, disk ? ATTEMPT_FAILED : ATTEMPT_REFUSED);
        return;
    }
    int rc = a->places.len > 0 ? lay_out(a, false, &a->err) : 0;
    if (rc < 0) {
        say(a);
        attempt_fail(a, ATTEMPT_FAILED);
    } else if (rc > 0) {
        a->in_pool = true;
        loop_work(a->w->loop, lay_out_in_pool, on_laid_out, a);
    } else {
        submit(a);
    }
}

/* --- built-in kinds --- */

static void builtin_in_pool(void *arg)
{
    struct attempt *a = arg;

    builtin_work(a, &a->err);
}

static void begin_builtin_work(struct attempt *a)
{
    a->in_pool = true;
    loop_work(a->w->loop, builtin_in_pool, on_collected, a);
}

static void begin_builtin(struct attempt *a)
{
    int rc = builtin_begin(a, &a->err);

    if (rc < 0) {
        say(a);
        attempt_fail(a, ATTEMPT_FAILED);
    } else if (rc == 0) {
        begin_builtin_work(a);
    }
}

static void facts_in_pool(void *arg)
{
    struct attempt *a = arg;

    ingest_facts(a, &a->err);
}

static void on_facts(void *arg)
{
    struct attempt *a = arg;

    a->in_pool = false;
    if (a->freed) {
        release(a);
    } else if (a->err.code != ERR_NONE) {
        say(a);
        attempt_fail(a, ATTEMPT_FAILED);
    } else {
        begin_job(a);
    }
}

void attempt_go_on(struct attempt *a)
{
    if (step_is_builtin(a->step)) {
        begin_builtin_work(a);
    } else {
        a->in_pool = true;
        loop_work(a->w->loop, facts_in_pool, on_facts, a);
    }
}

/* --- begin --- */

static int prepare_builtin(struct attempt *a, struct err *err)
{
    const char **outputs = arena_calloc(a->arena, a->step->n_outputs + 1, sizeof(*outputs));
    int rc = 0;

    for (uint32_t n = 0; n < a->step->n_outputs && rc == 0; n++) {
        rc = scope_text(&a->scope, a->step->outputs[n].path, &outputs[n], err);
    }
    a->job.outputs = outputs;
    if (a->step->kind == KIND_INGEST) {
        a->box = slots_new_name(a->slots, 'c', a->arena);
    }
    return rc;
}

static struct attempt *attempt_new(const struct world *w, struct slots *s, struct asker *k,
                                   const struct instance_ref *i, uint32_t number,
                                   const struct question *q, bool keep)
{
    struct attempt *a = xcalloc(1, sizeof(*a));

    a->w = w;
    a->slots = s;
    a->k = k;
    a->i = *i;
    a->step = &w->wf->steps[i->step];
    a->number = number;
    a->q = q;
    a->keep = keep;
    a->arena = arena_new();
    a->i.name = arena_strdup(a->arena, i->name);
    a->stdout_fd = -1;
    a->began_at_ms = now_ms();
    a->started_us = mono_us();
    a->outcome = ATTEMPT_SUCCEEDED;
    id_new(a->token);
    return a;
}

int attempt_start(const struct world *w, struct slots *s, struct asker *k,
                  const struct instance_ref *i, uint32_t number, const struct question *q,
                  bool keep, attempt_fn on_end, void *arg, struct attempt **ret, struct err *err)
{
    struct attempt *a = attempt_new(w, s, k, i, number, q, keep);
    bool builtin = step_is_builtin(a->step);
    int rc = 0;

    a->host = a->step->executor == EXECUTOR_PROCESS;
    a->executor = w->executors[a->step->executor];
    step_scope_init(&a->scope, w, &a->i, a->host ? PATHS_HOST : PATHS_CONTAINER, a->arena);
    a->scope.place = attempt_place;
    a->scope.hash_files = hash_files_now;
    a->scope.arg = a;
    a->scope.inputs = q->inputs;
    a->scope.n_inputs = q->n_inputs;
    if (!builtin && !a->executor) {
        rc =
            err_set(err, ERR_UNSUPPORTED, 0, "step '%s' needs the executor '%s', which is not here",
                    i->name, executor_kind_names[a->step->executor]);
    } else {
        rc = builtin ? prepare_builtin(a, err) : slot_take(s, &a->slot, err);
    }
    if (rc != 0) {
        release(a);
        return rc;
    }
    *ret = a;
    a->on_end = on_end;
    a->arg = arg;
    if (builtin) {
        begin_builtin(a);
        return 0;
    }
    rc = a->step->source ? ingest_begin(a, &a->err) : 0;
    if (rc < 0) {
        say(a);
        attempt_fail(a, ATTEMPT_REFUSED);
    } else if (rc == 0 && a->step->source) {
        attempt_go_on(a);
    } else if (rc == 0) {
        begin_job(a);
    }
    return 0;
}

void attempt_cancel(struct attempt *a, bool hard)
{
    if (a->ended || a->job_over) {
        return; /* it is being put away already */
    }
    a->cancelled = true;
    if (a->handle) {
        a->executor->ops->stop(a->executor, a->handle, hard ? 0 : a->step->grace_ms);
    } else if (a->fetch && !a->in_pool && !a->submitted) {
        source_fetch_free(a->fetch);
        a->fetch = NULL;
        err_set(&a->err, ERR_CANCELLED, 0, "was cancelled");
        attempt_fail(a, ATTEMPT_CANCELLED);
    }
}

int attempt_log_fd(const struct attempt *a)
{
    return a->slot ? a->slot->log_fd : -1;
}
