/* SPDX-License-Identifier: Apache-2.0 */
/* Other runs on the store. A miss that has its slot takes a claim on its key (claims.h) before it begins; where another run has it, the instance gives its slot back and waits, and other instances go on. While anybody
 * waits a timer looks whether the claims are free, soon after the beginning of a wait and then more seldom. Whoever finds its claim free is asked again from the beginning: it hits what was made, or, where nothing was stored
 * (the other failed, was cancelled, died), one of those that wait takes over.
 *
 * What waits holds neither a slot nor a claim, so that two runs never wait for each other (unless their own steps have started them: then the circle is found, and left by doing the work here too); its timeout has not begun; a signal cancels it like any other that is queued. */
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/vec.h"
#include "engine/claims.h"
#include "engine/run_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MIN_MS = 2,
    LOOK_MAX_MS = 50, /* a claim that is free is seen within this time */
    TELL_MS = 200,    /* a shorter wait is not worth a line */
    TELL_AGAIN_MS = 1000,
};

struct wait {
    uint32_t instance;
    struct digest key;
    int64_t since_us, looked_us; /* looked_us: when it was last seen who holds it; 0: never */
    char run[ID_LEN + 1];
    char *because; /* owned; NULL: nothing was told yet */
};
struct flight {
    struct claims *claims;
    struct timer *timer;
    bool timing;
    VEC(struct wait) waits;
    VEC(uint32_t) through; /* instances that waited in a circle, and wait no more */
};

/* Results of one source are found by its identity, whatever its content is now. */
static const struct digest *claimed(const struct question *q)
{
    return q->has_identity ? &q->identity : &q->key;
}

static void wait_done(struct wait *w)
{
    free(take_ptr(w->because));
}

void flight_open(struct run *r)
{
    r->flight = xcalloc(1, sizeof(*r->flight));
    r->flight->claims = claims_new(r->o.store, r->id, r->wf->name, r->live_fd);
}

void flight_close(struct run *r)
{
    struct flight *f = take_ptr(r->flight);

    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->waits.len; i++) {
        wait_done(&f->waits.items[i]);
    }
    vec_done(&f->waits);
    vec_done(&f->through);
    timer_free(f->timer);
    claims_free(f->claims);
    free(f);
}

enum flight_word flight_claim(struct task *t)
{
    struct run *r = t->run;
    struct claims *c = r->flight->claims;
    const char *name = r->plan->instances[t->instance].name;

    if (!t->question.memoized || r->decider.off ||
        step_of(r, t->instance)->cache.policy == CACHE_OFF) {
        return FLIGHT_FREE; /* it stores nothing that anybody could wait for */
    }
    if (claims_take(c, claimed(&t->question), t->instance, name)) {
        return claims_alone(c) ? FLIGHT_ALONE : FLIGHT_FREE;
    }
    for (size_t i = 0; i < r->flight->through.len; i++) {
        if (r->flight->through.items[i] == t->instance) {
            return FLIGHT_FREE;
        }
    }
    if (claims_ours(c, claimed(&t->question))) {
        CLEANUP(cleanup_free)
        char *text = xasprintf("%s is the very work of the step that started this run: it is done "
                               "here as well, without waiting for that",
                               name);
        emit_warning(r, t->instance, text);
        return FLIGHT_FREE;
    }
    return FLIGHT_ELSEWHERE;
}

void flight_release(struct run *r, uint32_t instance)
{
    if (r->flight) {
        claims_release(r->flight->claims, instance);
    }
}

/* --- waiting --- */

static void emit_waiting(struct run *r, const struct wait *w, const struct claim_holder *who)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw j;

    jw_init(&j, &out, false);
    jw_object(&j);
    if (who) {
        jw_key(&j, "on");
        jw_object(&j);
        jw_kv_text(&j, "run", who->run);
        jw_kv_text(&j, "workflow", who->workflow);
        jw_kv_text(&j, "step", who->step);
        jw_end_object(&j);
    }
    jw_kv_text(&j, "because", w->because);
    jw_end_object(&j);
    emit(r, EVENT_WAITING, w->instance, sb_text(&out), out.len);
}

static bool is_time_to_tell(const struct wait *w, int64_t now)
{
    return now - w->since_us >= TELL_MS * 1000 &&
           (w->looked_us == 0 || now - w->looked_us >= TELL_AGAIN_MS * 1000);
}

/* True: whom it waits for waits for us. */
static bool in_circle(struct run *r, const struct wait *w)
{
    struct claims *c = r->flight->claims;
    const char *name = r->plan->instances[w->instance].name;

    if (w->looked_us == 0) {
        claims_wait(c, &w->key, w->instance, name);
    }
    if (!claims_circle(c, &w->key)) {
        return false;
    }
    CLEANUP(cleanup_free)
    char *text = xasprintf("%s is worked on by a step whose own run waits for the step that "
                           "started this one: it is done here as well, without waiting for that",
                           name);
    emit_warning(r, w->instance, text);
    *vec_push(&r->flight->through) = w->instance;
    return true;
}

/* Says whom it waits for; again when that is another one by now. */
static void tell(struct run *r, struct wait *w, int64_t now)
{
    struct claim_holder who;
    bool known;

    w->looked_us = now;
    known = claims_who(r->flight->claims, &w->key, &who);
    if (w->because && (!known || strcmp(w->run, who.run) == 0)) {
        return;
    }
    free(w->because);
    w->because = known ? xasprintf("waits for run %s (%s), step %s, which works on the same",
                                   who.run, who.workflow, who.step)
                       : xstrdup("waits for another run, which works on the same");
    (void)snprintf(w->run, sizeof(w->run), "%s", known ? who.run : "");
    emit_waiting(r, w, known ? &who : NULL);
}

static void on_look(void *arg);

/* An eighth of what the youngest has waited for. */
static void look_later(struct run *r)
{
    struct flight *f = r->flight;
    int64_t now = mono_us(), ms = LOOK_MAX_MS;

    for (size_t i = 0; i < f->waits.len; i++) {
        int64_t age = (now - f->waits.items[i].since_us) / 8000;
        ms = age < ms ? age : ms;
    }
    if (!f->timer) {
        f->timer = timer_new(r->o.loop, on_look, r);
    }
    f->timing = true;
    timer_start(f->timer, ms > LOOK_MIN_MS ? ms : LOOK_MIN_MS, 0);
}

static void on_look(void *arg)
{
    struct run *r = arg;
    struct flight *f = r->flight;
    int64_t now = mono_us();
    size_t kept = 0;

    f->timing = false;
    /* What is told to subscribers may cancel, but adds nobody: who waits comes from a turn. */
    for (size_t i = 0; i < f->waits.len; i++) {
        struct wait *w = &f->waits.items[i];
        bool waits = r->instances[w->instance].phase == PHASE_ELSEWHERE; /* else cancelled */
        bool look = waits && is_time_to_tell(w, now);
        if (waits && claims_held(f->claims, &w->key) && !(look && in_circle(r, w))) {
            if (look) {
                tell(r, w, now);
            }
            f->waits.items[kept++] = *w;
            continue;
        }
        claims_unwait(f->claims, w->instance);
        wait_done(w);
        if (waits && r->instances[w->instance].phase == PHASE_ELSEWHERE) {
            ask_push(r, w->instance);
        }
    }
    f->waits.len = kept;
    if (kept > 0) {
        look_later(r);
    }
}

void flight_wait(struct run *r, uint32_t instance, const struct question *q)
{
    struct flight *f = r->flight;

    r->instances[instance].phase = PHASE_ELSEWHERE;
    *vec_push(&f->waits) =
        (struct wait){.instance = instance, .key = *claimed(q), .since_us = mono_us()};
    if (!f->timing || f->waits.len == 1) {
        look_later(r);
    }
}

void run_each_waiting(struct run *r, void (*fn)(uint32_t instance, const char *because, void *arg),
                      void *arg)
{
    struct flight *f = r->flight;

    for (size_t i = 0; f && i < f->waits.len; i++) {
        const struct wait *w = &f->waits.items[i];
        if (w->because && r->instances[w->instance].phase == PHASE_ELSEWHERE) {
            fn(w->instance, w->because, arg);
        }
    }
}
