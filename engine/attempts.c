/* SPDX-License-Identifier: Apache-2.0 */
/* An attempt from its first event to its last: started, ended, tried again, its result kept and published. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/explain.h"
#include "engine/run_impl.h"
#include "engine/worktree.h"
#include "steps/action.h"

#include <stdlib.h>
#include <string.h>

enum {
    WHY_MAX = 100
}; /* differences that the journal keeps; `wf explain --run` finds the others again */

static const char *const outcome_kinds[] = {
    [ATTEMPT_SUCCEEDED] = "succeeded", [ATTEMPT_FAILED] = "failed", [ATTEMPT_TIMED_OUT] = "timeout",
    [ATTEMPT_CANCELLED] = "cancelled", [ATTEMPT_LOST] = "lost",     [ATTEMPT_OOM] = "oom",
    [ATTEMPT_REFUSED] = "refused",
};

/* --- failures --- */

/* Semantics 15: the step says so, or only a select reads it that bears with so many. */
static bool is_tolerated(struct run *r, uint32_t instance)
{
    const struct step *m = step_of(r, instance);
    uint32_t step = r->plan->instances[instance].step;
    uint32_t failed = r->steps[step].n_failed + 1;

    if (m->continue_on_error) {
        return true;
    }
    if (needs_bears(r, instance)) {
        return true;
    }
    if (!r->steps[step].tolerant) {
        return false;
    }
    for (uint32_t k = r->plan->follower_start[step]; k < r->plan->follower_start[step + 1]; k++) {
        const struct step *f = &r->wf->steps[r->plan->followers[k]];
        if (f->kind == KIND_SELECT && f->select && f->select->has_tolerate &&
            failed > f->select->tolerate) {
            return false;
        }
    }
    return true;
}

static void failure_payload(const struct attempt_end *end, const char *kind, const char *error,
                            bool tolerated, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, false);
    jw_object(&w);
    if (end && end->exit_code >= 0) {
        jw_kv_i64(&w, "exit_code", end->exit_code);
    }
    if (end && end->signal > 0) {
        jw_kv_i64(&w, "signal", end->signal);
    }
    jw_kv_text(&w, "error", error ? error : "the step failed");
    jw_kv_text(&w, "kind", kind);
    if (end) {
        jw_kv_i64(&w, "duration_ms", end->duration_ms);
        if (end->log) {
            jw_kv_text(&w, "log_file", end->log);
        }
        if (end->stragglers > 0) {
            jw_kv_i64(&w, "stragglers", end->stragglers);
        }
    }
    if (tolerated) {
        jw_kv_bool(&w, "tolerated", true);
    }
    jw_end_object(&w);
}

/* Final: nobody tries again. */
static void fail_for_good(struct run *r, uint32_t instance, bool tolerated)
{
    uint32_t step = r->plan->instances[instance].step;
    const struct step *m = step_of(r, instance);

    sched_over(r, instance);
    if (m->fail_fast && m->is_matrix && !r->steps[step].fail_fast) {
        CLEANUP(cleanup_free)
        char *because = xasprintf("%s failed", r->plan->instances[instance].name);
        r->steps[step].fail_fast = true;
        finish_cancel_branches(r, step, because);
    }
    if (!tolerated) {
        finish_failed(r, instance);
    }
}

void fail_instance(struct run *r, uint32_t instance, const char *kind, const char *error)
{
    CLEANUP(sb_done) struct str out = {0};
    bool tolerated = is_tolerated(r, instance);

    failure_payload(NULL, kind, error, tolerated, &out);
    emit(r, EVENT_FAILED, instance, sb_text(&out), out.len);
    fail_for_good(r, instance, tolerated);
    /* An input that is not there is an error before anything runs (semantics 18). */
    if (!r->checked && !r->stopping && !tolerated && checks_missing(r, instance)) {
        finish_stop(r, error, true);
    }
}

/* --- retry --- */

static bool code_matches(const struct retry *t, int code)
{
    for (uint32_t k = 0; k < t->n_codes; k++) {
        if (code >= t->codes[k].from && code <= t->codes[k].to) {
            return true;
        }
    }
    return false;
}

static bool retry_wanted(const struct run *r, const struct task *t, const struct attempt_end *end)
{
    const struct retry *o = &step_of(r, t->instance)->retry;
    uint32_t step = r->plan->instances[t->instance].step;

    if (t->number > o->limit || t->cancelled || r->steps[step].fail_fast ||
        (r->stopping && !step_of(r, t->instance)->finally) || journal_broken(r->journal)) {
        return false;
    }
    switch (end->outcome) {
    case ATTEMPT_FAILED:
        return o->on_any || (end->exit_code >= 0 && code_matches(o, end->exit_code));
    case ATTEMPT_TIMED_OUT:
        return o->on_any || o->on_timeout;
    case ATTEMPT_LOST:
        return o->on_any || o->on_lost;
    case ATTEMPT_OOM:
        return o->on_any || o->on_oom;
    default:
        return false;
    }
}

/* delay x backoff^(n-1), at most max_delay. */
static int64_t retry_delay(const struct retry *o, uint32_t number)
{
    double ms = (double)o->delay_ms, most = o->max_delay_ms > 0 ? (double)o->max_delay_ms : 6e5;

    for (uint32_t k = 1; k < number && ms < most; k++) {
        ms *= o->backoff > 0 ? o->backoff : 1;
    }
    return (int64_t)(ms < most ? ms : most);
}

static void on_retry(void *arg)
{
    struct task *t = arg;
    struct run *r = t->run;
    uint32_t i = t->instance;

    task_free(t);
    sched_ready(r, i);
}

static void retry_later(struct run *r, uint32_t instance, int64_t delay_ms)
{
    CLEANUP(sb_done) struct str out = {0};
    struct task *t = task_new(r, instance);

    sb_printf(&out, "{\"delay_ms\":%lld}", (long long)delay_ms);
    emit(r, EVENT_RETRY, instance, sb_text(&out), out.len);
    r->instances[instance].phase = PHASE_RETRY;
    t->timer = timer_new(r->o.loop, on_retry, t);
    timer_start(t->timer, delay_ms, 0);
}

/* --- the end of an attempt --- */

static void ended_cancelled(struct run *r, struct task *t)
{
    uint32_t i = t->instance;

    emit_because(r, EVENT_CANCELLED, i, t->because ? t->because : "cancelled");
    sched_over(r, i);
}

static void ended_badly(struct run *r, struct task *t, const struct attempt_end *end)
{
    CLEANUP(sb_done) struct str out = {0};
    uint32_t i = t->instance;
    bool again = retry_wanted(r, t, end);
    bool tolerated = !again && is_tolerated(r, i);

    failure_payload(end, outcome_kinds[end->outcome], end->error, tolerated, &out);
    emit(r, EVENT_FAILED, i, sb_text(&out), out.len);
    if (again) {
        retry_later(r, i, retry_delay(&step_of(r, i)->retry, t->number));
    } else {
        fail_for_good(r, i, tolerated);
    }
}

static const struct result *copy_result(struct run *r, const struct result *from)
{
    CLEANUP(sb_done) struct str bytes = {0};
    struct result *copy = arena_alloc(r->results, sizeof(*copy));
    struct err err = {0};

    result_encode(from, &bytes);
    WF_ASSERT(result_decode(sb_text(&bytes), bytes.len, r->results, copy, &err) == 0);
    return copy;
}

static void success_payload(const struct task *t, const struct attempt_end *end,
                            const struct result *result, bool keep, struct str *out)
{
    struct jsonw w;
    const char *note = end->why_not;

    jw_init(&w, out, false);
    jw_object(&w);
    if (!keep) {
        jw_kv_bool(&w, "stored", false);
        if (t->keep && note) {
            jw_kv_text(&w, "note", note);
        }
    }
    if (end->log) {
        jw_kv_text(&w, "log_file", end->log);
    }
    jw_kv_i64(&w, "storing_us", end->storing_us);
    if (end->stragglers > 0) {
        jw_kv_i64(&w, "stragglers", end->stragglers);
    }
    result_json(result, &w);
    jw_end_object(&w);
}

static void ended_well(struct run *r, struct task *t, const struct attempt_end *end)
{
    CLEANUP(sb_done) struct str payload = {0};
    uint32_t i = t->instance;
    const struct question *q = &t->question;
    const struct result *result = copy_result(r, end->result);
    bool keep = t->keep && end->store;
    struct success s = {.instance = i, .publish = finish_publishes(step_of(r, i)), .keep = keep};

    success_payload(t, end, result, keep, &payload);
    s.arena = take_ptr(t->arena);
    s.payload = arena_strndup(s.arena, sb_text(&payload), payload.len);
    s.payload_len = (uint32_t)payload.len;
    s.entry = (struct entry_new){.key = q->key,
                                 .has_identity = q->has_identity,
                                 .identity = q->identity,
                                 .workflow = r->wf->name,
                                 .step = r->plan->instances[i].name,
                                 .action = q->action,
                                 .action_len = q->action_len,
                                 .work_digest = q->work,
                                 .work = q->work_json,
                                 .work_len = q->work_len,
                                 .result = result};
    r->instances[i].result = result;
    r->publishing += s.publish; /* until on_committed() begins it */
    emit_success(r, &s);
    sched_over(r, i);
    if (s.publish || keys_waited_for(&r->keys, i)) {
        journal_hurry(r->journal);
    }
}

static void on_end(struct attempt *a, const struct attempt_end *end, void *arg)
{
    struct task *t = arg;
    struct run *r = t->run;

    r->epoch++;
    sched_unclaim(r, t);
    if (end->outcome != ATTEMPT_SUCCEEDED) { /* else when its entry is committed */
        flight_release(r, t->instance);
    }
    /* A retry makes a task of its own. */
    r->instances[t->instance].task = NULL;
    if (end->outcome == ATTEMPT_SUCCEEDED) {
        ended_well(r, t, end);
    } else if (end->outcome == ATTEMPT_CANCELLED ||
               (t->cancelled && end->outcome != ATTEMPT_LOST)) {
        ended_cancelled(r, t);
    } else {
        ended_badly(r, t, end);
    }
    t->attempt = NULL;
    attempt_free(a);
    task_free(t);
    sched_wake(r);
}

void on_committed(const struct success *s, void *arg)
{
    struct run *r = arg;
    struct instance *i = &r->instances[s->instance];

    i->committed = true;
    flight_release(r, s->instance);
    r->state.instances[s->instance].entry = s->ret_entry;
    if (s->ret_problem) {
        CLEANUP(cleanup_free)
        char *text =
            xasprintf("the result of %s could not be stored, so that it runs again next time: %s",
                      r->plan->instances[s->instance].name, s->ret_problem);
        emit_warning(r, s->instance, text);
    }
    ask_release_waiters(r, s->instance, s->ret_entry != 0);
    shared_push(r, s);
    if (s->publish) {
        r->publishing--;
        if (!journal_broken(r->journal)) {
            finish_publish(r, s->instance);
        }
    }
    sched_wake(r);
}

/* --- the beginning --- */

static void started_payload(struct task *t, const struct decision *d, struct str *out)
{
    const struct step *m = step_of(t->run, t->instance);
    struct jsonw w;

    jw_init(&w, out, false);
    jw_object(&w);
    jw_kv_i64(&w, "attempt", t->number);
    jw_kv_text(&w, "executor", executor_kind_names[m->executor]);
    if (t->question.memoized) {
        jw_key(&w, "key");
        jw_digest(&w, &t->question.key);
    }
    jw_kv_text(&w, "verdict", verdict_names[d->verdict]);
    jw_kv_text(&w, "reason", reason_codes[d->reason]);
    if (d->note) {
        jw_kv_text(&w, "note", d->note);
    }
    if (!step_is_builtin(m)) {
        jw_kv_text(&w, "live_log", slots_next_log(t->run->slots));
    }
    if (d->n_differences > 0) {
        jw_key(&w, "why");
        jw_array(&w);
        for (size_t k = 0; k < d->n_differences && k < WHY_MAX; k++) {
            difference_json(&d->differences[k], &w);
        }
        jw_end_array(&w);
        if (d->n_differences > WHY_MAX) {
            jw_kv_i64(&w, "why_more", (int64_t)(d->n_differences - WHY_MAX));
        }
        jw_kv_i64(&w, "against", d->against);
    }
    jw_end_object(&w);
}

void attempt_begin(struct task *t, struct decision *d)
{
    struct run *r = t->run;
    CLEANUP(sb_done) struct str payload = {0};
    const struct instance_ref *ref = &r->plan->instances[t->instance];
    struct err err = {0};

    decide_why(&r->decider, t->instance, &t->question, &r->world, t->arena, d);
    t->number = ++r->instances[t->instance].attempts;
    t->keep = t->question.memoized && !r->decider.off && d->verdict != VERDICT_DISABLED &&
              d->verdict != VERDICT_UNCACHEABLE;
    r->instances[t->instance].phase = PHASE_RUNNING;
    r->worktree = r->worktree ? r->worktree : worktree_look(r->o.loop, r->wf->dir);
    t->since_us = mono_us();
    started_payload(t, d, &payload);
    emit(r, EVENT_STARTED, t->instance, sb_text(&payload), payload.len);
    if (t->cancelled) { /* by a subscriber, before there was anything to end */
        flight_release(r, t->instance);
        sched_unclaim(r, t);
        ended_cancelled(r, t);
        task_free(t);
        return;
    }
    if (attempt_start(&r->world, r->slots, r->asker, ref, t->number, &t->question, t->keep, on_end,
                      t, &t->attempt, &err) < 0) {
        struct attempt_end end = {.outcome = err.code == ERR_INVALID || err.code == ERR_UNSUPPORTED
                                                 ? ATTEMPT_REFUSED
                                                 : ATTEMPT_FAILED,
                                  .exit_code = -1,
                                  .error = err.msg};
        flight_release(r, t->instance);
        sched_unclaim(r, t);
        r->instances[t->instance].task = NULL;
        ended_badly(r, t, &end);
        task_free(t);
    }
}

void attempt_stop(struct task *t, const char *because, bool hard)
{
    t->cancelled = true;
    if (!t->because || hard) {
        free(t->because);
        t->because = xstrdup(because);
    }
    if (t->attempt) {
        attempt_cancel(t->attempt, hard);
    }
}
