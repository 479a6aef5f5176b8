/* SPDX-License-Identifier: Apache-2.0 */
/* Questions. An instance is asked as soon as it is ready, because a hit needs no slot; what is a miss waits for a slot and is asked again when it has one: so inputs are looked at right before they are used, and a
 * hundred thousand waiting steps hold no question in memory. Where the second answer has the first one's key nothing is looked up again. */
#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cache/store.h"
#include "engine/run_impl.h"

#include <stdlib.h>
#include <string.h>

enum { SCRATCH_MAX = 256 << 10 };

struct task *task_new(struct run *r, uint32_t instance)
{
    struct task *t = xcalloc(1, sizeof(*t));

    t->run = r;
    t->instance = instance;
    t->next = r->tasks;
    if (r->tasks) {
        r->tasks->prev = t;
    }
    r->tasks = t;
    r->instances[instance].task = t;
    return t;
}

void task_free(struct task *t)
{
    struct run *r = t->run;

    if (r->instances[t->instance].task == t) {
        r->instances[t->instance].task = NULL;
    }
    if (t->prev) {
        t->prev->next = t->next;
    } else {
        r->tasks = t->next;
    }
    if (t->next) {
        t->next->prev = t->prev;
    }
    if (t->arena) {
        arena_free(t->arena);
    }
    timer_free(t->timer);
    free(t->because);
    free(t);
}

void ask_push(struct run *r, uint32_t instance)
{
    r->instances[instance].phase = PHASE_TO_ASK;
    queue_push(r, &r->to_ask, instance);
    sched_wake(r);
}

/* --- two with one key --- */

/* True: the instance waits for another that works on the same key. Else it leads. */
static bool wait_or_lead(struct run *r, uint32_t instance, const struct digest *key)
{
    uint32_t leader = keys_find(&r->keys, key);
    struct waiters *w;
    struct queue list;

    if (leader == instance) {
        return false;
    }
    if (leader != NONE) {
        uint8_t state = r->state.instances[leader].state;
        bool works = !instance_ended((enum instance_state)state);
        bool commits = state == INSTANCE_SUCCEEDED && !r->instances[leader].committed;
        if (works || commits) {
            w = keys_waiters(&r->keys, leader);
            r->instances[instance].phase = PHASE_WAITING;
            list = (struct queue){w->head, w->tail};
            queue_push(r, &list, instance);
            *w = (struct waiters){list.head, list.tail};
            if (commits) {
                journal_hurry(r->journal);
            }
            return true;
        }
    }
    keys_put(&r->keys, key, instance);
    return false;
}

void ask_release_waiters(struct run *r, uint32_t instance, bool found)
{
    struct waiters *w, all;
    struct queue list;

    if (!keys_waited_for(&r->keys, instance)) {
        return;
    }
    w = keys_waiters(&r->keys, instance);
    all = *w;
    *w = (struct waiters){NONE, NONE};
    list = (struct queue){all.head, all.tail};
    for (uint32_t i = queue_pop(r, &list); i != NONE; i = queue_pop(r, &list)) {
        if (r->instances[i].phase != PHASE_WAITING) {
            continue; /* cancelled meanwhile */
        }
        ask_push(r, i);
        if (!found) {
            /* There is nothing to hit: this one works now, and the others wait for it. */
            keys_put(&r->keys, &r->keys.keys[instance], i);
            *keys_waiters(&r->keys, i) = (struct waiters){list.head, list.tail};
            return;
        }
    }
}

/* --- answers --- */

static void hit(struct run *r, uint32_t instance, const struct question *q,
                const struct decision *d)
{
    emit_hit(r, instance, d->entry, d->note, q->has_identity);
    if (r->state.instances[instance].state == INSTANCE_CACHED) {
        finish_publish(r, instance);
    }
    sched_over(r, instance);
}

/* Dropping an entry removes objects that nobody else names, and what comes next may well make the same ones again: so the question is put once more when the drop is committed. */
struct dropping {
    struct write write;
    struct run *run;
    uint32_t instance;
};

static int apply_nothing(struct write *w, struct db *db, struct err *err)
{
    (void)w;
    (void)db;
    (void)err;
    return 0;
}

static void dropped(struct write *w, const struct err *err)
{
    struct dropping *d = (struct dropping *)w;
    struct run *r = d->run;

    (void)err;
    r->asking--;
    if (!r->closing && r->instances[d->instance].phase == PHASE_ASKING) {
        ask_push(r, d->instance);
    }
    free(d);
    sched_wake(r);
}

/* True: something was dropped, and the instance is asked again after that. */
static bool wait_for_drop(struct run *r, uint32_t instance, const struct decision *d)
{
    struct dropping *wait;

    if (!d->warning) {
        return false;
    }
    emit_warning(r, instance, d->warning);
    if (r->instances[instance].dropped) {
        return false; /* once is enough */
    }
    r->instances[instance].dropped = true;
    wait = xcalloc(1, sizeof(*wait));
    wait->write = (struct write){.apply = apply_nothing, .done = dropped, .urgent = true};
    wait->run = r;
    wait->instance = instance;
    r->instances[instance].phase = PHASE_ASKING;
    r->asking++;
    store_post(r->o.store, &wait->write);
    return true;
}

/* The question of an instance that holds no slot is answered. Texts of `d` die with the caller's arena. */
static void answered(struct run *r, uint32_t instance, const struct question *q, struct arena *a)
{
    struct decision d;
    struct err err = {0};

    if (r->stopping && !step_of(r, instance)->finally) {
        emit_because(r, EVENT_CANCELLED, instance, r->because);
        sched_over(r, instance);
        return;
    }
    if (decide(&r->decider, instance, q, a, &d, &err) < 0) {
        fail_instance(r, instance, "failed", err.msg);
        return;
    }
    if (q->warning && !r->instances[instance].warned) {
        r->instances[instance].warned = true;
        emit_warning(r, instance, q->warning);
    }
    if (d.verdict == VERDICT_HIT) {
        hit(r, instance, q, &d);
    } else if (wait_for_drop(r, instance, &d)) {
        return;
    } else if (d.verdict != VERDICT_MISS ||
               (!wait_or_lead(r, instance, &q->key) && !shared_ask(r, instance, q))) {
        sched_ready(r, instance);
    }
}

/* No attempt comes of it now. */
static void give_back(struct task *t)
{
    struct run *r = t->run;

    flight_release(r, t->instance);
    sched_unclaim(r, t);
    task_free(t);
}

/* The question of an instance that holds a slot is answered. */
static void answered_in_slot(struct task *t)
{
    struct run *r = t->run;
    struct decision d = {.verdict = VERDICT_MISS};
    struct err err = {0};
    uint32_t i = t->instance;
    enum flight_word others = flight_claim(t);

    if (others == FLIGHT_ALONE && t->question.memoized && !t->question.has_identity &&
        step_of(r, i)->cache.ttl_ms == 0 && keys_same(&r->keys, i, &t->question.key) &&
        keys_find(&r->keys, &t->question.key) == i) {
        attempt_begin(t, &d); /* asked and missed a moment ago */
        return;
    }
    /* Asked with the claim in hand: what another run made before it let go is found now. */
    if (decide(&r->decider, i, &t->question, t->arena, &d, &err) < 0) {
        give_back(t);
        fail_instance(r, i, "failed", err.msg);
    } else if (d.verdict == VERDICT_HIT) {
        flight_release(r, i);
        sched_unclaim(r, t);
        hit(r, i, &t->question, &d);
        task_free(t);
    } else if (wait_for_drop(r, i, &d) ||
               (d.verdict == VERDICT_MISS && wait_or_lead(r, i, &t->question.key))) {
        give_back(t);
    } else if (d.verdict == VERDICT_MISS && others == FLIGHT_ELSEWHERE) {
        flight_wait(r, i, &t->question);
        give_back(t);
    } else {
        attempt_begin(t, &d);
    }
}

/* --- asking --- */

static void on_ready(const struct err *err, void *arg);

/* The step cannot run: an input is missing, an expression fails. */
static void refuse(struct task *t, const struct err *err)
{
    struct run *r = t->run;
    uint32_t i = t->instance;

    sched_unclaim(r, t);
    task_free(t);
    r->engine_problem = r->engine_problem || err->code == ERR_ENGINE;
    fail_instance(r, i, "refused", err->msg);
}

static void ask_task(struct task *t)
{
    struct run *r = t->run;
    const struct instance_ref *ref = &r->plan->instances[t->instance];
    struct err err = {0};
    int rc;

    memset(&t->question, 0, sizeof(t->question));
    rc = question_ask(r->asker, ref, t->arena, &t->question, &err);
    if (rc == 1) {
        r->instances[t->instance].phase = PHASE_ASKING;
        r->asking++;
        question_work(r->asker, ref, on_ready, t);
    } else if (rc < 0) {
        refuse(t, &err);
    } else if (t->holds) {
        answered_in_slot(t);
    } else {
        answered(r, t->instance, &t->question, t->arena);
        task_free(t);
    }
}

static void on_ready(const struct err *err, void *arg)
{
    struct task *t = arg;
    struct run *r = t->run;
    bool ended = instance_ended((enum instance_state)r->state.instances[t->instance].state);

    r->asking--;
    if (r->closing) {
        task_free(t);
        return;
    }
    if (ended || (t->cancelled && r->stopping)) { /* cancelled while its inputs were read */
        uint32_t i = t->instance;
        sched_unclaim(r, t);
        task_free(t);
        if (!ended) {
            emit_because(r, EVENT_CANCELLED, i, r->because ? r->because : "cancelled");
            sched_over(r, i);
        }
    } else if (err) {
        refuse(t, err);
    } else {
        ask_task(t);
    }
    sched_wake(r);
}

static struct arena *scratch_of(struct run *r)
{
    if (r->scratch && arena_used(r->scratch) > SCRATCH_MAX) {
        arena_free(take_ptr(r->scratch));
    }
    if (!r->scratch) {
        r->scratch = arena_new();
    }
    return r->scratch;
}

void ask_one(struct run *r, uint32_t instance)
{
    const struct instance_ref *ref = &r->plan->instances[instance];
    struct arena *a = scratch_of(r);
    struct question q = {0};
    struct err err = {0};
    int rc = question_ask(r->asker, ref, a, &q, &err);

    if (rc < 0) {
        r->engine_problem = r->engine_problem || err.code == ERR_ENGINE;
        fail_instance(r, instance, "refused", err.msg);
    } else if (rc == 0) {
        answered(r, instance, &q, a);
    } else {
        struct task *t = task_new(r, instance);
        t->arena = arena_new();
        r->instances[instance].phase = PHASE_ASKING;
        r->asking++;
        question_work(r->asker, ref, on_ready, t);
    }
}

void ask_begin(struct run *r, uint32_t instance)
{
    struct task *t = task_new(r, instance);

    t->arena = arena_new();
    sched_claim(r, t);
    r->instances[instance].phase = PHASE_RUNNING;
    ask_task(t);
}
