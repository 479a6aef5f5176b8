/* SPDX-License-Identifier: Apache-2.0 */
/* Services in the graph (semantics 31, 33). A run writes what it wants into the store and hears from the supervisor how it stands; it carries out nothing itself. A service's instance is queued until something is wanted, running until the
 * run's end. Those that need it are let go when the last promotion is live (`on_promotion: first`: when any is). Each change is one pass: question asked -> spec built -> row written -> supervisor told; what comes meanwhile leads to another. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/store.h"
#include "engine/promotions.h"
#include "engine/run_impl.h"
#include "engine/service_spec.h"
#include "serve/client.h"
#include "serve/desired.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After this time a service that does not end is left to the supervisor, with a word. */
enum { END_MS = 30000 };

struct service {
    struct run *run;
    uint32_t step, instance;
    struct service *next;
    bool released;         /* all it needs but its models is there */
    bool final;            /* no other promotion will come in this run */
    bool busy;             /* a question is being answered, or a row is being written */
    bool again;            /* something changed meanwhile */
    bool live;             /* the wanted generation serves */
    bool up;               /* some generation does */
    bool failed;           /* it did not get ready */
    bool first_told, told; /* followers were let go */
    bool ended;            /* the row says that it is down, or somebody else's */
    bool ending;
    bool was_kept;                     /* before this run took it over */
    const struct promotion *promotion; /* the promoter's; NULL: none yet */
    /* What is wanted. */
    int64_t id, generation; /* 0: nothing yet */
    uint32_t number;        /* of the promotion */
    char *endpoint;
    char *why; /* it failed to get ready, while another promotion may come */
    uint32_t live_promotion;
    int64_t since_us;
    /* While busy: */
    struct write write;
    struct arena *arena;
    struct question question;
    struct service_spec spec;
    bool down; /* the row is to say: not wanted */
};

struct services {
    struct run *run;
    struct service *first;
    struct serve_client *client;
    struct timer *timer;
    bool draining, gave_up;
    void (*on_over)(struct run *r, const char *why, void *arg);
    void *arg;
};

static void advance(struct service *s);

bool services_is_soft(const struct step *m, uint32_t need)
{
    if (m->serve) {
        return m->serve->from == need;
    }
    return m->aggregate && m->aggregate->online && m->aggregate->from[0] == need;
}

static const struct step *model_of(const struct service *s)
{
    return &s->run->wf->steps[s->step];
}

static struct service *find_step(const struct run *r, uint32_t step)
{
    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        if (s->step == step) {
            return s;
        }
    }
    return NULL;
}

static bool is_over(const struct service *s)
{
    return s->run->instances[s->instance].phase == PHASE_OVER;
}

/* --- followers --- */

/* The service that an instance of a step with on_promotion: each follows. */
static struct service *followed(const struct run *r, uint32_t step)
{
    const struct step *m = &r->wf->steps[step];

    for (uint32_t k = 0; k < m->n_needs; k++) {
        if (step_is_service(&r->wf->steps[m->needs[k].step])) {
            return find_step(r, m->needs[k].step);
        }
    }
    return NULL;
}

static bool is_final(const struct service *s);

static void again(struct run *r, uint32_t instance, uint32_t promotion)
{
    struct instance *i = &r->instances[instance];
    char payload[40];

    (void)snprintf(payload, sizeof(payload), "{\"promotion\":%u}", promotion);
    emit(r, EVENT_AGAIN, instance, payload, strlen(payload));
    i->result = NULL;
    i->entry = NULL;
    i->committed = i->dropped = i->warned = i->shared_asked = false;
    i->attempts = 0;
    i->promotion = promotion;
    ask_push(r, instance);
}

bool services_hold(struct run *r, uint32_t instance)
{
    const struct step *m = step_of(r, instance);
    uint8_t state = r->state.instances[instance].state;
    bool ran = state == INSTANCE_SUCCEEDED || state == INSTANCE_CACHED || state == INSTANCE_FAILED;
    const struct service *s = m->on_promotion == ON_PROMOTION_EACH && ran && !r->stopping
                                  ? followed(r, r->plan->instances[instance].step)
                                  : NULL;

    if (!s || is_over(s)) {
        return false;
    }
    if (s->live && s->live_promotion != r->instances[instance].promotion) {
        again(r, instance, s->live_promotion);
        return true;
    }
    if (s->live && is_final(s)) {
        return false;
    }
    r->instances[instance].phase = PHASE_HELD;
    return true;
}

/* The service has moved on, or come to its end. */
static void let_held_go(struct service *s)
{
    struct run *r = s->run;

    for (uint32_t k = r->plan->follower_start[s->step]; k < r->plan->follower_start[s->step + 1];
         k++) {
        uint32_t f = r->plan->followers[k];
        for (uint32_t i = r->plan->first[f];
             r->wf->steps[f].on_promotion == ON_PROMOTION_EACH && i < r->plan->first[f + 1]; i++) {
            if (r->instances[i].phase == PHASE_HELD) {
                sched_over(r, i);
            }
        }
    }
}

static void let_go(struct service *s, bool first)
{
    struct run *r = s->run;

    for (uint32_t k = r->plan->follower_start[s->step]; k < r->plan->follower_start[s->step + 1];
         k++) {
        uint32_t f = r->plan->followers[k];
        const struct step *m = &r->wf->steps[f];
        if (services_is_soft(m, s->step) || (m->on_promotion != ON_PROMOTION_LAST) != first) {
            continue;
        }
        for (uint32_t i = r->plan->first[f]; i < r->plan->first[f + 1]; i++) {
            r->instances[i].promotion = s->live_promotion;
        }
        if (--r->steps[f].waits == 0) {
            r->released[r->released_end++] = f;
        }
    }
    sched_wake(r);
}

static void let_all_go(struct service *s)
{
    if (!s->first_told) {
        s->first_told = true;
        let_go(s, true);
    }
    if (!s->told) {
        s->told = true;
        s->run->steps[s->step].ready = true;
        let_go(s, false);
    }
}

void services_over(struct run *r, uint32_t step)
{
    struct service *s = find_step(r, step);

    if (s) {
        let_all_go(s);
        let_held_go(s);
        for (struct service *o = r->services->first; o; o = o->next) {
            if (model_of(o)->aggregate && services_is_soft(model_of(o), step)) {
                advance(o);
            }
        }
    }
}

/* --- ends --- */

static void fail(struct service *s, const char *text)
{
    struct run *r = s->run;

    s->failed = true;
    if (!is_over(s)) {
        fail_instance(r, s->instance, "failed", text);
    }
    sched_wake(r);
}

static void end_well(struct service *s, bool kept)
{
    CLEANUP(sb_done) struct str out = {0};
    struct run *r = s->run;
    struct jsonw w;

    if (is_over(s)) {
        return;
    }
    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_bool(&w, "stored", false);
    jw_kv_i64(&w, "duration_ms", (mono_us() - s->since_us) / 1000);
    if (s->endpoint) {
        jw_kv_text(&w, "endpoint", s->endpoint);
    }
    if (kept) {
        jw_kv_bool(&w, "kept", true);
    }
    jw_end_object(&w);
    emit(r, EVENT_SUCCEEDED, s->instance, sb_text(&out), out.len);
    sched_over(r, s->instance);
}

/* --- how it stands --- */

static void emit_serving(struct service *s, const struct service_row *row)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_text(&w, "state", service_state_names[row->state]);
    if (row->endpoint) {
        jw_kv_text(&w, "endpoint", row->endpoint);
    }
    jw_kv_i64(&w, "promotion", row->live_promotion);
    if (row->error) {
        jw_kv_text(&w, "error", row->error);
    }
    jw_end_object(&w);
    emit(s->run, EVENT_SERVING, s->instance, sb_text(&out), out.len);
}

/* Is the service an aggregate stands on done with its promotions? */
static bool is_final(const struct service *s)
{
    const struct step *m = model_of(s);

    if (!m->aggregate) {
        return s->final;
    }
    const struct service *under = find_step(s->run, m->aggregate->from[0]);
    return under && under->told && under->live && !is_over(under);
}

static void settle(struct service *s)
{
    if (is_over(s) || !s->live) {
        return;
    }
    if (!s->first_told) {
        s->first_told = true;
        let_go(s, true);
    }
    if (!s->told && is_final(s)) {
        s->told = true;
        s->run->steps[s->step].ready = true;
        let_go(s, false);
        for (struct service *o = s->run->services->first; o; o = o->next) {
            if (o != s) {
                settle(o); /* depth 2: an aggregate stands on a serve step, never on another */
            }
        }
        sched_wake(s->run);
    }
    let_held_go(s);
}

static void on_row(struct service *s, const struct service_row *row)
{
    struct run *r = s->run;
    bool mine = row->run && strcmp(row->run, r->id) == 0;

    if (s->ending) {
        s->ended = s->ended || row->state == SERVICE_DOWN || !mine;
        sched_wake(r);
        return;
    }
    if (s->busy || s->generation == 0 || row->state_generation < s->generation) {
        return; /* speaks of what was wanted before */
    }
    s->up = row->live_generation > 0;
    if (row->endpoint && (!s->endpoint || strcmp(s->endpoint, row->endpoint) != 0)) {
        free(s->endpoint);
        s->endpoint = xstrdup(row->endpoint);
    }
    if (row->state == SERVICE_LIVE && !s->live) {
        s->live = true;
        s->live_promotion = row->live_promotion;
        emit_serving(s, row);
        settle(s);
    } else if (row->state == SERVICE_LIVE && row->live_promotion != s->live_promotion) {
        s->live_promotion = row->live_promotion; /* by a rollback */
        emit_serving(s, row);
        settle(s);
    } else if (row->state == SERVICE_FAILED && !s->failed && !s->live) {
        emit_serving(s, row);
        if (s->final || model_of(s)->aggregate) {
            fail(s, row->error ? row->error : "the service did not get ready");
        } else {
            s->failed = true; /* for good, should no other promotion come */
            free(s->why);
            s->why = xstrdup(row->error ? row->error : "the promoted models did not get ready");
            emit_warning(r, s->instance, s->why);
        }
    } else if (row->state == SERVICE_DOWN && s->live) {
        s->live = false;
        fail(s, "the service was stopped from outside");
    }
}

static void on_event(const struct serve_event *e, void *arg)
{
    struct services *all = arg;
    struct run *r = all->run;

    for (struct service *s = all->first; s; s = s->next) {
        if (e->news == NEWS_STATE && s->id == e->row.id && s->id != 0) {
            on_row(s, &e->row);
        } else if (e->news == NEWS_NOTE && (e->service == 0 || e->service == s->id) && s->id != 0) {
            if (r->state.ended) {
                emit_late(r, s->instance, e->text);
            } else {
                emit_warning(r, s->instance, e->text);
            }
            if (e->service == 0) {
                return; /* once */
            }
        }
    }
    if (all->on_over) { /* kept after the run */
        bool up = false;
        for (struct service *s = all->first; s; s = s->next) {
            bool taken = e->news == NEWS_STATE && s->id == e->row.id && e->row.run &&
                         strcmp(e->row.run, r->id) != 0;
            bool down = e->news == NEWS_STATE && s->id == e->row.id && e->row.state == SERVICE_DOWN;
            s->ended = s->ended || taken || down;
            up = up || (s->generation > 0 && !s->ended);
        }
        if (!up) {
            void (*fn)(struct run *, const char *, void *) = all->on_over;
            all->on_over = NULL;
            fn(r, "another run or a command took the services over", all->arg);
        }
    }
}

static int open_client(struct services *all, struct err *err)
{
    struct run *r = all->run;

    if (all->client) {
        return 0;
    }
    struct serve_secret *secrets = xcalloc((size_t)r->wf->n_secrets + 1, sizeof(*secrets));
    size_t count = 0;
    for (uint32_t n = 0; n < r->wf->n_secrets; n++) {
        if (r->secrets[n]) {
            secrets[count++] = (struct serve_secret){r->wf->secrets[n].name, r->secrets[n]};
        }
    }
    struct serve_client_options o = {.loop = r->o.loop,
                                     .store = r->o.store,
                                     .run = r->id,
                                     .secrets = secrets,
                                     .n_secrets = count,
                                     .on_event = on_event,
                                     .arg = all};
    int rc = serve_client_open(&o, &all->client, err);
    free(secrets);
    return rc;
}

/* --- wanting --- */

static int apply_want(struct write *w, struct db *db, struct err *err)
{
    struct service *s = CONTAINER_OF(w, struct service, write);

    if (s->down) {
        return desired_down(db, s->id, s->run->id, err);
    }
    bool stands = true;
    int rc = s->spec.select ? promotion_stands(db, s->spec.workflow, s->spec.select,
                                               s->spec.promotion, &stands, err)
                            : 0;
    if (rc == 0 && !stands) {
        rc = err_set(err, ERR_BUSY, 0, "promotion %u of '%s' was rolled back before it served",
                     s->spec.promotion, s->spec.select);
    }
    return rc < 0 ? rc : desired_want(db, &s->spec, &s->id, &s->generation, err);
}

static void done_busy(struct service *s)
{
    s->busy = false;
    if (s->arena) {
        arena_free(take_ptr(s->arena));
    }
    s->run->publishing--; /* the run's end waits for it as for a publication */
}

static void started(struct service *s)
{
    static const char payload[] =
        "{\"attempt\":1,\"verdict\":\"uncacheable\",\"executor\":\"service\"}";

    if (s->since_us == 0) {
        s->since_us = mono_us();
        emit(s->run, EVENT_STARTED, s->instance, payload, sizeof(payload) - 1);
    }
}

/* Where what is wanted is what was wanted (by a rollback), no news will come of it. */
static void look_at_row(struct service *s)
{
    struct arena *a = arena_new();
    struct service_row row;

    if (desired_find(s->run->o.store, s->run->wf->name, model_of(s)->name, a, &row, NULL) == 0) {
        on_row(s, &row);
    }
    arena_free(a);
}

static void wanted(struct write *w, const struct err *err)
{
    struct service *s = CONTAINER_OF(w, struct service, write);
    struct run *r = s->run;
    struct err e = {0};

    done_busy(s);
    if (r->closing) {
        return;
    }
    if (err) {
        fail(s, err->msg);
    } else if (s->down) {
        serve_client_look(r->services->client);
    } else if (open_client(r->services, &e) < 0) {
        r->engine_problem = true;
        fail(s, e.msg);
    } else {
        s->live = false;
        serve_client_look(r->services->client);
        look_at_row(s);
        if (s->again && !s->ending) {
            s->again = false;
            advance(s);
        }
    }
    sched_wake(r);
}

static void post(struct service *s)
{
    s->write = (struct write){.apply = apply_want, .done = wanted, .urgent = true};
    store_post(s->run->o.store, &s->write);
}

/* A service that is up and kept stays so when a run without --keep-serving takes it over. */
static bool is_kept(struct service *s)
{
    struct arena *a = arena_new();
    struct service_row row;
    bool kept =
        desired_find(s->run->o.store, s->run->wf->name, model_of(s)->name, a, &row, NULL) == 0 &&
        row.wanted && row.keep;

    arena_free(a);
    return kept;
}

static void build(struct service *s, const struct question *q)
{
    struct run *r = s->run;
    struct err err = {0};

    if (promote_hold(r, &err) < 0 ||
        service_spec_build(&r->world, r->asker, &r->plan->instances[s->instance], q, s->promotion,
                           s->arena, &s->spec, &err) != 0) {
        done_busy(s);
        fail(s, err.msg);
        return;
    }
    if (s->generation == 0) {
        s->was_kept = is_kept(s);
    }
    s->spec.keep = r->o.keep_serving || s->was_kept;
    s->number = s->spec.promotion;
    if (model_of(s)->serve && model_of(s)->serve->keep && !s->spec.keep && s->since_us == 0) {
        emit_warning(
            r, s->instance,
            "lifetime: keep needs `wf run --keep-serving`; the service ends with this run");
    }
    started(s);
    post(s);
}

static void ask(struct service *s);

static void on_ready(const struct err *err, void *arg)
{
    struct service *s = arg;

    if (s->run->closing) {
        done_busy(s);
    } else if (err) {
        struct err e = *err;
        done_busy(s);
        s->run->engine_problem = s->run->engine_problem || e.code == ERR_ENGINE;
        fail(s, e.msg);
    } else {
        ask(s);
    }
    sched_wake(s->run);
}

static void ask(struct service *s)
{
    struct run *r = s->run;
    const struct instance_ref *ref = &r->plan->instances[s->instance];
    struct value model, replica;
    struct err err = {0};
    int rc = 0;

    service_replica_value(s->arena, &replica);
    if (s->promotion && s->promotion->n_models > 0) {
        rc = service_model_value(r->o.store, &s->promotion->models[0], s->promotion->number, false,
                                 s->arena, &model, &err);
        r->world.model = &model;
    }
    r->world.replica = &replica;
    rc = rc == 0 ? question_ask(r->asker, ref, s->arena, &s->question, &err) : rc;
    r->world.model = r->world.replica = NULL;
    if (rc == 1) {
        question_work(r->asker, ref, on_ready, s);
    } else if (rc < 0) {
        done_busy(s);
        r->engine_problem = r->engine_problem || err.code == ERR_ENGINE;
        fail(s, err.msg);
    } else {
        build(s, &s->question);
    }
}

static void advance(struct service *s)
{
    struct run *r = s->run;
    const struct step *m = model_of(s);

    if (!s->released || is_over(s) || s->ending || r->closing) {
        return;
    }
    if (m->serve && m->serve->from != NONE && !s->promotion) {
        return;
    }
    if (m->aggregate) {
        const struct service *under = find_step(r, m->aggregate->from[0]);
        if (under && is_over(under)) {
            CLEANUP(cleanup_free)
            char *text = xasprintf("%s did not get ready", model_of(under)->name);
            emit_because(r, s->since_us == 0 ? EVENT_SKIPPED : EVENT_CANCELLED, s->instance, text);
            sched_over(r, s->instance);
            return;
        }
        if (s->generation > 0) {
            settle(s);
            return; /* it follows its service by itself */
        }
    }
    if (s->busy) {
        s->again = true;
        return;
    }
    s->busy = true;
    s->down = false;
    r->publishing++;
    s->arena = arena_new();
    if (m->serve || m->aggregate->method == METHOD_COMMAND) {
        ask(s);
    } else {
        build(s, NULL);
    }
}

void services_release(struct run *r, uint32_t instance)
{
    struct service *s = find_step(r, r->plan->instances[instance].step);

    r->instances[instance].phase = PHASE_SERVICE;
    s->released = true;
    s->final = s->final || (model_of(s)->serve && model_of(s)->serve->from == NONE);
    if (s->final && model_of(s)->serve && model_of(s)->serve->from != NONE && !s->promotion) {
        emit_because(r, EVENT_SKIPPED, instance, "there is no model to serve");
        sched_over(r, instance);
        return;
    }
    advance(s);
}

void services_promoted(struct run *r, uint32_t select, const struct promotion *p, bool final)
{
    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        const struct step *m = model_of(s);
        if (!m->serve || m->serve->from != select) {
            continue;
        }
        bool same = s->generation > 0 && s->number == p->number;
        s->promotion = p;
        s->final = final;
        if (same && s->failed && final) {
            fail(s, s->why ? s->why : "the promoted models did not get ready");
        } else if (same) {
            settle(s);
        } else {
            s->live = s->failed = false;
            advance(s);
        }
    }
}

void services_unpromoted(struct run *r, uint32_t select, const char *why)
{
    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        const struct step *m = model_of(s);
        if (!m->serve || m->serve->from != select || is_over(s)) {
            continue;
        }
        s->final = true;
        if (s->since_us == 0) {
            emit_because(r, EVENT_SKIPPED, s->instance, why);
            sched_over(r, s->instance);
        } else {
            fail(s, why);
        }
    }
}

/* --- the end --- */

bool services_settled(const struct run *r)
{
    for (const struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        if (!is_over(s) && !s->told) {
            return false;
        }
    }
    return true;
}

void services_stop(struct run *r, const char *because)
{
    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        if (!is_over(s) && !s->told) {
            emit_because(r, EVENT_CANCELLED, s->instance, because);
            sched_over(r, s->instance);
        }
        let_held_go(s);
    }
}

static void on_end_timeout(void *arg)
{
    struct services *all = arg;

    all->gave_up = true;
    sched_wake(all->run);
}

static void begin_end(struct services *all)
{
    struct run *r = all->run;

    all->draining = true;
    all->timer = timer_new(r->o.loop, on_end_timeout, all);
    timer_start(all->timer, END_MS, 0);
    for (struct service *s = all->first; s; s = s->next) {
        if (s->generation == 0) {
            s->ended = true;
        } else if (r->o.keep_serving && !r->cancelled) {
            s->ended = true;
        } else if (s->was_kept && is_kept(s)) {
            s->ended =
                true; /* from an earlier `wf run --keep-serving`: goes on with what is promoted now */
        } else {
            s->ending = true;
            s->ended = !all->client; /* nobody was there to start it */
            s->down = true;
            s->busy = true;
            r->publishing++;
            post(s);
        }
    }
}

bool services_end(struct run *r)
{
    struct services *all = r->services;
    bool done = true;

    if (!all) {
        return true;
    }
    if (!all->draining) {
        begin_end(all);
    }
    for (struct service *s = all->first; s; s = s->next) {
        done = done && (s->ended || all->gave_up) && !s->busy;
    }
    if (!done) {
        return false;
    }
    timer_free(take_ptr(all->timer));
    for (struct service *s = all->first; s; s = s->next) {
        if (all->gave_up && !s->ended) {
            emit_warning(r, s->instance,
                         "the service has not ended yet; the supervisor goes on with that");
        }
        if (s->generation > 0) {
            end_well(s, !s->ending);
        }
    }
    return true;
}

/* --- kept after the run --- */

bool run_serve(struct run *r, void (*on_over)(struct run *r, const char *why, void *arg), void *arg)
{
    bool any = false;

    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        bool mine = s->generation > 0 && !s->ending && (s->live || s->up);
        s->ended = !mine;
        any = any || mine;
    }
    if (any && r->o.keep_serving) {
        r->services->on_over = on_over;
        r->services->arg = arg;
    }
    return any && r->o.keep_serving;
}

/* A signal while they are kept. */
static void downed(struct write *w, const struct err *err)
{
    struct service *s = CONTAINER_OF(w, struct service, write);

    s->busy = false;
    if (!err && !s->run->closing) {
        serve_client_look(s->run->services->client);
    }
}

void services_let_down(struct run *r)
{
    struct services *all = r->services;

    for (struct service *s = all ? all->first : NULL; s; s = s->next) {
        if (s->generation > 0 && !s->ended && !s->busy && !s->ending) {
            s->ending = s->down = s->busy = true;
            s->write = (struct write){.apply = apply_want, .done = downed, .urgent = true};
            store_post(r->o.store, &s->write);
        }
    }
}

void run_each_service(const struct run *r,
                      void (*fn)(uint32_t instance, const char *endpoint, uint32_t promotion,
                                 void *arg),
                      void *arg)
{
    for (const struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        fn(s->instance, s->live && !s->ending ? s->endpoint : NULL, s->live_promotion, arg);
    }
}

/* --- opening and closing --- */

static const char *endpoint(void *arg, uint32_t step)
{
    const struct service *s = find_step(arg, step);

    return s && s->live ? s->endpoint : NULL;
}

void services_open(struct run *r, uint32_t step)
{
    if (r->plan->first[step] == r->plan->first[step + 1]) {
        return;
    }
    if (!r->services) {
        r->services = xcalloc(1, sizeof(*r->services));
        r->services->run = r;
        r->world.endpoint = endpoint;
    }
    struct service *s = xcalloc(1, sizeof(*s));
    s->run = r;
    s->step = step;
    s->instance = r->plan->first[step];
    s->next = r->services->first;
    r->services->first = s;
}

void services_close(struct run *r)
{
    if (!r->services) {
        return;
    }
    store_flush(r->o.store); /* our writes point into what is freed now */
    serve_client_close(r->services->client);
    timer_free(r->services->timer);
    for (struct service *s = r->services->first, *next; s; s = next) {
        next = s->next;
        if (s->arena) {
            arena_free(s->arena);
        }
        free(s->endpoint);
        free(s->why);
        free(s);
    }
    free(take_ptr(r->services));
}
