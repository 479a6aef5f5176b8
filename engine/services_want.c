/* SPDX-License-Identifier: Apache-2.0 */
/* One change of a service: its question is asked, its spec built, its row written, the supervisor told. What comes meanwhile leads to another. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/units.h"
#include "engine/services_impl.h"

#include <stdlib.h>
#include <string.h>

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

    if (desired_find(s->run->o.store, s->run->wf->name, service_model(s)->name, a, &row, NULL) ==
        0) {
        service_on_row(s, &row);
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
        service_fail_step(s, err->msg);
    } else if (s->down) {
        serve_client_look(r->services->client);
    } else if (services_connect(r->services, &e) < 0) {
        r->engine_problem = true;
        service_fail_step(s, e.msg);
    } else {
        s->live = false;
        serve_client_look(r->services->client);
        look_at_row(s);
        if (s->again && !s->ending) {
            s->again = false;
            service_advance(s);
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
bool service_is_kept(const struct service *s)
{
    struct arena *a = arena_new();
    struct service_row row;
    bool kept = desired_find(s->run->o.store, s->run->wf->name, service_model(s)->name, a, &row,
                             NULL) == 0 &&
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
        service_fail_step(s, err.msg);
        return;
    }
    if (s->generation == 0) {
        s->was_kept = service_is_kept(s);
    }
    s->spec.keep = r->o.keep_serving || s->was_kept;
    s->number = s->spec.promotion;
    if (service_model(s)->serve && service_model(s)->serve->keep && !s->spec.keep &&
        s->since_us == 0) {
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
        service_fail_step(s, e.msg);
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
        service_fail_step(s, err.msg);
    } else {
        build(s, &s->question);
    }
}

void service_want(struct service *s)
{
    const struct step *m = service_model(s);

    s->busy = true;
    s->down = false;
    s->run->publishing++;
    s->arena = arena_new();
    if (m->serve || m->aggregate->method == METHOD_COMMAND) {
        ask(s);
    } else {
        build(s, NULL);
    }
}

void service_unwant(struct service *s)
{
    s->ending = s->down = s->busy = true;
    s->run->publishing++;
    post(s);
}
