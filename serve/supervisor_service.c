/* SPDX-License-Identifier: Apache-2.0 */
/* A service's phases (switch.h): what each asks for and what ends it. service_run() may be called at any time and any number of times. */
#include "base/arena.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "serve/supervisor_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    UP_LIMIT_US = 30000000,      /* HAProxy's check agrees with ours by then */
    GATEWAY_LIMIT_US = 10000000, /* a gateway that does not answer is not waited for longer */
};

/* --- wishes --- */

struct want *want_hold(struct want *w)
{
    if (w) {
        w->refs++;
    }
    return w;
}

void want_drop(struct want *w)
{
    if (w && --w->refs == 0) {
        arena_free(w->arena);
        free(w->json);
        free(w);
    }
}

struct want *want_read(const char *json, int64_t generation, struct err *err)
{
    struct want *w = xcalloc(1, sizeof(*w));
    *w = (struct want){.refs = 1, .arena = arena_new(), .generation = generation};
    w->json = xstrdup(json);
    if (spec_decode(json, strlen(json), w->arena, &w->spec, err) < 0) {
        want_drop(w);
        return NULL;
    }
    return w;
}

bool want_has(const struct want *w, const struct group *g)
{
    for (uint32_t i = 0; w && i < w->spec.n_models; i++) {
        struct digest key = model_key(&w->spec, &w->spec.models[i]);
        if (digest_eq(&key, &g->key)) {
            return true;
        }
    }
    return false;
}

struct group *service_group(struct service *s, const struct digest *key)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        if (digest_eq(&s->groups.items[i]->key, key)) {
            return s->groups.items[i];
        }
    }
    return NULL;
}

static uint32_t at_first(const struct service_spec *spec, uint32_t now)
{
    uint32_t n = spec->replicas > 0 ? spec->replicas : 1;
    if (spec->scales) {
        n = spec->scale_min > 0 ? spec->scale_min : 1; /* one shows that it can be ready */
    }
    return n > now ? n : now;
}

static uint32_t at_last(const struct service_spec *spec, uint32_t now)
{
    if (!spec->scales) {
        return spec->replicas > 0 ? spec->replicas : 1;
    }
    uint32_t n = now < spec->scale_min ? spec->scale_min : now;
    return spec->scale_max > 0 && n > spec->scale_max ? spec->scale_max : n;
}

static void start_groups(struct service *s, struct want *w)
{
    for (uint32_t i = 0; i < w->spec.n_models; i++) {
        struct digest key = model_key(&w->spec, &w->spec.models[i]);
        struct group *g = service_group(s, &key);
        if (!g) {
            g = group_new(s, w, i, NULL);
        } else if (!want_has(s->live, g)) {
            group_use(g, w, i);
        }
        g->failures = 0;
        free(g->problem);
        g->problem = NULL;
        group_resize(g, at_first(&w->spec, want_has(s->live, g) ? g->target : 0));
    }
}

/* Whatever neither of the two has. Both may be NULL. */
static void retire_but(struct service *s, const struct want *one, const struct want *other)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        struct group *g = s->groups.items[i];
        if (!g->retired && !want_has(one, g) && !want_has(other, g)) {
            group_retire(g);
            view_changed(s);
        }
    }
}

/* What was ended for the sake of one that failed comes back. */
static void restore_live(struct service *s)
{
    for (uint32_t i = 0; s->live && i < s->live->spec.n_models; i++) {
        struct digest key = model_key(&s->live->spec, &s->live->spec.models[i]);
        struct group *g = service_group(s, &key);
        if (!g) {
            g = group_new(s, s->live, i, NULL);
        }
        group_resize(g, g->target > 0 ? at_last(&s->live->spec, g->target)
                                      : at_first(&s->live->spec, 0));
    }
}

static void sweep_groups(struct service *s)
{
    for (size_t i = s->groups.len; i-- > 0;) {
        struct group *g = s->groups.items[i];
        if (g->retired && g->slots.len == 0) {
            s->groups.items[i] = s->groups.items[--s->groups.len];
            group_free(g);
            view_changed(s);
        }
    }
}

/* --- phases --- */

/* Of what it has, nothing serves (any more). */
static bool gone(const struct service *s, const struct want *w)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        const struct group *g = s->groups.items[i];
        if (want_has(w, g) && !g->retired) {
            return false;
        }
    }
    return w->spec.n_models > 0;
}

void service_fail(struct service *s, const char *text)
{
    CLEANUP(cleanup_free) char *why = xstrdup(text); /* it may be a part of what goes now */
    if (!s->next) {
        return;
    }
    free(s->error);
    s->error = xasprintf("%s%s", why,
                         !s->live ? ""
                         : s->phase == PHASE_CLEAR || gone(s, s->live)
                             ? "; the earlier one is started again"
                             : "; the earlier one goes on serving");
    s->failed_generation = s->next->generation;
    want_drop(s->next);
    s->next = NULL;
    supervisor_log("%s: %s", service_name(s), s->error); /* its run hears of it with the state */
    service_event(s, SWITCH_FAILED);
}

static char *impossible(const struct service_spec *spec)
{
    if (spec->address == ADDRESS_FIXED && (spec->n_models > 1 || at_first(spec, 0) > 1)) {
        return xasprintf("only one replica of one model can listen at port %u; let the program "
                         "listen where $WF_SOCKET or $PORT says (address: socket or port)",
                         spec->fixed_port);
    }
    return NULL;
}

static void enter_start(struct service *s)
{
    CLEANUP(cleanup_free) char *why = impossible(&s->next->spec);
    if (why) {
        service_fail(s, why);
        return;
    }
    start_groups(s, s->next);
    retire_but(s, s->live, s->next);
    view_changed(s);
}

static void commit(struct service *s)
{
    want_drop(s->live);
    s->live = s->next;
    s->next = NULL;
    s->failed_generation = 0;
    free(s->error);
    s->error = NULL;
    for (uint32_t i = 0; i < s->live->spec.n_models; i++) {
        struct digest key = model_key(&s->live->spec, &s->live->spec.models[i]);
        struct group *g = service_group(s, &key);
        if (g) { /* since its start */
            group_use(g, s->live, i);
            group_resize(g, at_last(&s->live->spec, g->target));
        }
    }
    service_save(s);
    view_changed(s);
    gateways_sync(s);
    if (s->live->spec.aggregate) {
        gateway_sync(s);
    }
}

static void enter_rest(struct service *s, enum switch_event event)
{
    if (event != SWITCH_AGREED) {
        restore_live(s);
    }
    retire_but(s, s->live, NULL);
    view_changed(s);
}

void service_event(struct service *s, enum switch_event event)
{
    enum phase from = s->phase;
    if (!switch_step(&s->phase, event)) {
        return;
    }
    s->phase_since_us = mono_us();
    s->run_again = true;
    log_debug("serve", "%s: %s -> %s", service_name(s), phase_names[from], phase_names[s->phase]);
    switch (s->phase) {
    case PHASE_START:
        enter_start(s);
        break;
    case PHASE_CLEAR:
        retire_but(s, s->next, NULL);
        view_changed(s);
        break;
    case PHASE_UP:
        looks_need(s->sup);
        break;
    case PHASE_CANARY:
        s->canary_since_us = 0;
        view_changed(s);
        looks_need(s->sup);
        break;
    case PHASE_MOVE:
        view_changed(s);
        break;
    case PHASE_GATEWAYS:
        commit(s);
        break;
    case PHASE_REST:
    case PHASE_COUNT:
    default:
        enter_rest(s, event);
    }
}

/* --- what ends a phase --- */

static bool all_gone_but(const struct service *s, const struct want *w)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        const struct group *g = s->groups.items[i];
        for (size_t k = 0; k < g->slots.len && !want_has(w, g); k++) {
            return false;
        }
    }
    return true;
}

/* True: one of those that do not serve yet cannot; that was told. */
static bool fails(struct service *s)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        const struct group *g = s->groups.items[i];
        if (g->problem && want_has(s->next, g) && !want_has(s->live, g)) {
            service_fail(s, g->problem);
            return true;
        }
    }
    return false;
}

static void check_start(struct service *s)
{
    bool ready = true;
    for (size_t i = 0; i < s->groups.len; i++) {
        const struct group *g = s->groups.items[i];
        if (want_has(s->next, g)) {
            /* One that serves already may just be starting a replica again. */
            ready = ready && (want_has(s->live, g) ? group_up(g) > 0 : group_ready(g));
        }
    }
    if (view_is_done(s) && s->refused.code != ERR_NONE) {
        service_fail(s, s->refused.msg);
    } else if (ready && view_is_done(s)) {
        service_event(s, SWITCH_READY);
    }
}

static bool all_up(const struct service *s, const struct want *w)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        const struct group *g = s->groups.items[i];
        if (!want_has(w, g) || want_has(s->live, g)) {
            continue;
        }
        for (size_t k = 0; k < g->slots.len; k++) {
            const struct slot *slot = g->slots.items[k];
            if (!slot->leaving && (!slot->replica || !slot->replica->up)) {
                return false;
            }
        }
    }
    return true;
}

static bool wants_canary(const struct service *s)
{
    if (s->next->spec.canary_share <= 0 || s->next->spec.n_models == 0 || !s->live ||
        s->live->spec.n_models == 0) {
        return false;
    }
    struct digest is = model_key(&s->next->spec, &s->next->spec.models[0]),
                  was = model_key(&s->live->spec, &s->live->spec.models[0]);
    return !digest_eq(&is, &was);
}

static void check_up(struct service *s)
{
    if (all_up(s, s->next)) {
        service_event(s, wants_canary(s) ? SWITCH_TRY : SWITCH_UP);
    } else if (mono_us() - s->phase_since_us > UP_LIMIT_US) {
        service_fail(s, "its models are ready, but HAProxy's own check does not find them so; see "
                        "serve/haproxy.log in the store");
    }
}

static void check_move(struct service *s)
{
    if (!view_is_done(s)) {
        return;
    }
    if (s->refused.code != ERR_NONE) {
        service_fail(s, s->refused.msg);
    } else {
        service_event(s, SWITCH_APPLIED);
    }
}

/* Something else is wanted than what is being prepared, or than what is live. */
static void check_wish(struct service *s)
{
    struct want *at = s->next ? s->next : s->live;
    if (s->phase >= PHASE_MOVE || at == s->wanted ||
        s->failed_generation == s->wanted->generation ||
        (at && at->generation == s->wanted->generation)) {
        return;
    }
    want_drop(s->next);
    s->next = want_hold(s->wanted);
    bool instead = s->next->spec.first_stop || s->next->spec.address == ADDRESS_FIXED;
    service_event(s, instead && !all_gone_but(s, s->next) ? SWITCH_INSTEAD : SWITCH_BESIDE);
}

static void take_down(struct service *s)
{
    if (!s->going) {
        s->going = true;
        s->phase = PHASE_REST;
        want_drop(s->next);
        want_drop(s->live);
        s->next = s->live = NULL;
        s->failed_generation = 0;
        free(s->error);
        s->error = NULL;
        retire_but(s, NULL, NULL);
        service_unsave(s);
        view_changed(s);
        gateways_sync(s);
    }
}

bool service_is_over(const struct service *s)
{
    return !s->wanted && s->groups.len == 0 && view_is_done(s) &&
           (!s->accepted || !s->accepted->listens) && s->sup->applying != s &&
           s->row.state == SERVICE_DOWN && s->written;
}

static void run_once(struct service *s)
{
    sweep_groups(s);
    if (!s->wanted) {
        take_down(s);
        return;
    }
    s->going = false;
    check_wish(s);
    bool prepares = s->phase == PHASE_START || s->phase == PHASE_UP || s->phase == PHASE_CANARY;
    if (prepares && fails(s)) {
        return;
    }
    switch (s->phase) {
    case PHASE_CLEAR:
        if (all_gone_but(s, s->next)) {
            service_event(s, SWITCH_CLEARED);
        }
        break;
    case PHASE_START:
        check_start(s);
        break;
    case PHASE_UP:
        check_up(s);
        break;
    case PHASE_MOVE:
        check_move(s);
        break;
    case PHASE_GATEWAYS:
        if (gateways_agree(s) || mono_us() - s->phase_since_us > GATEWAY_LIMIT_US) {
            service_event(s, SWITCH_AGREED);
        }
        break;
    case PHASE_REST:
    case PHASE_CANARY: /* supervisor_look.c */
    case PHASE_COUNT:
    default:
        break;
    }
}

void service_run(struct service *s)
{
    if (s->running) {
        s->run_again = true;
        return;
    }
    s->running = true;
    do {
        s->run_again = false;
        run_once(s);
    } while (s->run_again);
    s->running = false;
    service_activate(s);
    service_publish(s);
    supervisor_soon(s->sup);
}
