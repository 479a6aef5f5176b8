/* SPDX-License-Identifier: Apache-2.0 */
/* What HAProxy tells is looked at only while somebody waits for it: a new replica that is to be up, an old one that still has requests, a canary, a service that scales. */
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "serve/client.h"
#include "serve/supervisor_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SWITCH_MS = 25,
    DRAIN_MS = 100,
    SCALE_MS = 1000,
    DRAIN_MAX_US = 60000000, /* requests that last longer are broken off by the replica's end */
    CALM_US = 30000000,      /* fewer replicas would have done for so long */
    CANARY_EARLY = 100,      /* answers that are enough to end a bad one before its time */
};

typedef void (*slot_fn)(struct slot *s, void *arg);

static void each_slot(struct supervisor *u, slot_fn fn, void *arg)
{
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        for (size_t k = 0; k < s->groups.len; k++) {
            struct group *g = s->groups.items[k];
            for (size_t n = g->slots.len; n-- > 0;) {
                fn(g->slots.items[n], arg);
            }
        }
    }
}

/* --- when --- */

static void find_draining(struct slot *s, void *arg)
{
    const struct replica *r = s->replica;
    if (r && r->drain && r->state == REPLICA_READY) {
        *(bool *)arg = true;
    }
}

/* 0: nobody waits. */
static int64_t pace(struct supervisor *u)
{
    int64_t ms = 0;
    bool draining = false;
    for (size_t i = 0; i < u->services.len; i++) {
        const struct service *s = u->services.items[i];
        if (s->phase == PHASE_UP || s->phase == PHASE_GATEWAYS || s->phase == PHASE_MOVE) {
            return SWITCH_MS;
        }
        if (s->phase == PHASE_CANARY || (s->live && s->live->spec.scales)) {
            ms = SCALE_MS;
        }
    }
    each_slot(u, find_draining, &draining);
    return draining ? DRAIN_MS : ms;
}

static void on_timer(void *arg);

static void plan_next(struct supervisor *u)
{
    int64_t ms = pace(u);
    if (ms > 0 && !u->ended) {
        timer_start(u->look_timer, ms, 0);
    }
}

/* --- one look --- */

static void mark(struct slot *s, void *arg)
{
    struct replica *r = s->replica;
    (void)arg;
    if (r) {
        r->seen_sessions = 0;
        r->seen_up = false;
        /* What is told from now on is true of it as one that gets nothing new. */
        r->drains = r->drain && view_is_done(s->group->service) && gateways_left(s->group->service);
    }
}

static struct group *find_group(struct supervisor *u, const char *backend)
{
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        for (size_t k = 0; k < s->groups.len; k++) {
            if (strcmp(s->groups.items[k]->backend, backend) == 0) {
                return s->groups.items[k];
            }
        }
    }
    return NULL;
}

static void on_look(const struct proxy_look *l, void *arg)
{
    struct group *g = find_group(arg, l->backend);
    if (!g) {
        return;
    }
    if (l->server == 0) {
        g->queued = l->queued;
        g->requests = l->requests;
        g->errors = l->errors;
        return;
    }
    for (size_t i = 0; i < g->slots.len; i++) {
        struct replica *r = g->slots.items[i]->replica;
        if (r && r->server == l->server) {
            /* Who is still connected to a service that goes can ask it for nothing more. */
            r->seen_sessions = g->service->going ? l->sessions - l->idle : l->sessions;
            r->seen_up = l->up;
        }
    }
}

static void settle(struct slot *s, void *arg)
{
    struct replica *r = s->replica;
    (void)arg;
    if (!r) {
        return;
    }
    r->up = r->seen_up && r->state == REPLICA_READY;
    if (!r->drain || r->state != REPLICA_READY) {
        return;
    }
    bool late = mono_us() - r->drain_since_us > DRAIN_MAX_US;
    if (late || (r->drains && r->seen_sessions == 0)) {
        slot_stop(s);
    }
}

/* --- canaries --- */

static const struct group *best_of(struct service *s, const struct want *w)
{
    if (!w || w->spec.n_models == 0) {
        return NULL;
    }
    struct digest key = model_key(&w->spec, &w->spec.models[0]);
    return service_group(s, &key);
}

static void look_again(void *arg)
{
    struct supervisor *u = arg;
    u->writes--;
    supervisor_look(u);
    supervisor_soon(u);
}

static void check_canary(struct service *s)
{
    const struct group *g = best_of(s, s->next);
    if (s->phase != PHASE_CANARY || !view_is_done(s) || !g) {
        return;
    }
    if (s->refused.code != ERR_NONE) {
        service_fail(s, s->refused.msg);
        return;
    }
    if (!s->canary_since_us) {
        s->canary_since_us = mono_us();
        s->canary_requests = g->requests;
        s->canary_errors = g->errors;
        return;
    }
    uint64_t requests = g->requests - s->canary_requests, errors = g->errors - s->canary_errors;
    bool over = mono_us() - s->canary_since_us >= s->next->spec.canary_for_ms * 1000;
    bool bad = (double)errors > s->next->spec.canary_max_errors * (double)requests;
    if (bad && (over || requests >= CANARY_EARLY)) {
        CLEANUP(cleanup_free)
        char *why = xasprintf("its canary was rolled back: %llu of %llu answers of %s were errors "
                              "(5xx), more than the %g%% allowed",
                              (unsigned long long)errors, (unsigned long long)requests,
                              s->next->spec.models[0].name, s->next->spec.canary_max_errors * 100);
        bool (*undo)(struct store *, const struct service_spec *, const struct service_spec *,
                     void (*)(void *), void *) = s->sup->options->on_canary;
        if (s->live && undo &&
            undo(s->sup->store, &s->next->spec, &s->live->spec, look_again, s->sup)) {
            s->sup->writes++;
        }
        service_fail(s, why);
    } else if (over) {
        service_event(s, SWITCH_GOOD);
    }
}

/* --- scaling --- */

static uint32_t needed(const struct service_spec *spec, uint64_t load)
{
    uint32_t target = spec->scale_target > 0 ? spec->scale_target : 1;
    uint64_t n = (load + target - 1) / target;
    /* To nothing only where its requests can be held: those for the service as a whole. */
    uint32_t least = spec->scale_min > 0 || spec->n_models == 1 ? spec->scale_min : 1;
    uint32_t most = spec->scale_max > 0 ? spec->scale_max : 1;
    return n < least ? least : n > most ? most : (uint32_t)n;
}

static void scale(struct service *s, struct group *g)
{
    uint64_t load = g->queued;
    for (size_t i = 0; i < g->slots.len; i++) {
        const struct replica *r = g->slots.items[i]->replica;
        load += r ? r->seen_sessions : 0;
    }
    load += s->activator ? activator_held(s->activator) : 0;
    uint32_t n = needed(&s->live->spec, load);
    if (n > g->target) {
        group_resize(g, n);
    } else if (n == g->target) {
        g->calm_since_us = 0;
    } else if (!g->calm_since_us) {
        g->calm_since_us = mono_us();
    } else if (mono_us() - g->calm_since_us > CALM_US) {
        g->calm_since_us = 0;
        group_resize(g, n);
    }
}

static void check_scale(struct service *s)
{
    if (!s->live || !s->live->spec.scales || s->phase != PHASE_REST) {
        return;
    }
    for (size_t i = 0; i < s->groups.len; i++) {
        if (want_has(s->live, s->groups.items[i])) {
            scale(s, s->groups.items[i]);
        }
    }
}

/* --- the rhythm --- */

static void on_looked(const struct err *err, void *arg)
{
    struct supervisor *u = arg;
    u->looking = false;
    if (err) {
        log_debug("serve", "%s", err->msg);
    } else {
        each_slot(u, settle, NULL);
        for (size_t i = 0; i < u->services.len; i++) {
            check_canary(u->services.items[i]);
            check_scale(u->services.items[i]);
        }
    }
    for (size_t i = 0; i < u->services.len; i++) {
        service_run(u->services.items[i]);
    }
    control_answer(u->control);
    plan_next(u);
}

static void on_timer(void *arg)
{
    struct supervisor *u = arg;
    if (u->looking) {
        return;
    }
    u->looking = true;
    each_slot(u, mark, NULL);
    proxy_look(u->proxy, on_look, on_looked, u);
}

void looks_need(struct supervisor *u)
{
    if (!u->look_timer) {
        u->look_timer = timer_new(u->loop, on_timer, u);
    }
    if (!u->looking) {
        timer_start(u->look_timer, SWITCH_MS, 0);
    }
}

void looks_now(struct supervisor *u)
{
    looks_need(u);
    if (!u->looking) {
        timer_start(u->look_timer, 0, 0);
    }
}
