/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that need a service: let go when its last promotion is live, at the first one, or run once per promotion. */
#include "engine/services_impl.h"

#include <stdio.h>
#include <string.h>

bool services_is_soft(const struct step *m, uint32_t need)
{
    if (m->serve) {
        return m->serve->from == need;
    }
    return m->aggregate && m->aggregate->online && m->aggregate->from[0] == need;
}

/* Is the service an aggregate stands on done with its promotions? */
bool service_is_final(const struct service *s)
{
    const struct step *m = service_model(s);

    if (!m->aggregate) {
        return s->final;
    }
    const struct service *under = services_find(s->run, m->aggregate->from[0]);
    return under && under->told && under->live && !service_is_over(under);
}

/* The service that an instance of a step with on_promotion: each follows. */
static struct service *followed(const struct run *r, uint32_t step)
{
    const struct step *m = &r->wf->steps[step];

    for (uint32_t k = 0; k < m->n_needs; k++) {
        if (step_is_service(&r->wf->steps[m->needs[k].step])) {
            return services_find(r, m->needs[k].step);
        }
    }
    return NULL;
}

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

    if (!s || service_is_over(s)) {
        return false;
    }
    if (s->live && s->live_promotion != r->instances[instance].promotion) {
        again(r, instance, s->live_promotion);
        return true;
    }
    if (s->live && service_is_final(s)) {
        return false;
    }
    r->instances[instance].phase = PHASE_HELD;
    return true;
}

/* The service has moved on, or come to its end. */
void service_let_held_go(struct service *s)
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

void service_let_go(struct service *s, bool first)
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

void service_let_all_go(struct service *s)
{
    if (!s->first_told) {
        s->first_told = true;
        service_let_go(s, true);
    }
    if (!s->told) {
        s->told = true;
        s->run->steps[s->step].ready = true;
        service_let_go(s, false);
    }
}
