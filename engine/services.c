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
#include "engine/services_impl.h"

#include <stdlib.h>
#include <string.h>

struct service *services_find(const struct run *r, uint32_t step)
{
    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        if (s->step == step) {
            return s;
        }
    }
    return NULL;
}

void services_over(struct run *r, uint32_t step)
{
    struct service *s = services_find(r, step);

    if (s) {
        service_let_all_go(s);
        service_let_held_go(s);
        for (struct service *o = r->services->first; o; o = o->next) {
            if (service_model(o)->aggregate && services_is_soft(service_model(o), step)) {
                service_advance(o);
            }
        }
    }
}

/* --- how it stands --- */

void service_fail_step(struct service *s, const char *text)
{
    struct run *r = s->run;

    s->failed = true;
    if (!service_is_over(s)) {
        fail_instance(r, s->instance, "failed", text);
    }
    sched_wake(r);
}

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

static void settle(struct service *s)
{
    if (service_is_over(s) || !s->live) {
        return;
    }
    if (!s->first_told) {
        s->first_told = true;
        service_let_go(s, true);
    }
    if (!s->told && service_is_final(s)) {
        s->told = true;
        s->run->steps[s->step].ready = true;
        service_let_go(s, false);
        for (struct service *o = s->run->services->first; o; o = o->next) {
            if (o != s) {
                settle(o); /* depth 2: an aggregate stands on a serve step, never on another */
            }
        }
        sched_wake(s->run);
    }
    service_let_held_go(s);
}

void service_on_row(struct service *s, const struct service_row *row)
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
        if (s->final || service_model(s)->aggregate) {
            service_fail_step(s, row->error ? row->error : "the service did not get ready");
        } else {
            s->failed = true; /* for good, should no other promotion come */
            free(s->why);
            s->why = xstrdup(row->error ? row->error : "the promoted models did not get ready");
            emit_warning(r, s->instance, s->why);
        }
    } else if (row->state == SERVICE_DOWN && s->live) {
        s->live = false;
        service_fail_step(s, "the service was stopped from outside");
    }
}

static void on_event(const struct serve_event *e, void *arg)
{
    struct services *all = arg;
    struct run *r = all->run;

    for (struct service *s = all->first; s; s = s->next) {
        if (e->news == NEWS_STATE && s->id == e->row.id && s->id != 0) {
            service_on_row(s, &e->row);
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

int services_connect(struct services *all, struct err *err)
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

void service_advance(struct service *s)
{
    struct run *r = s->run;
    const struct step *m = service_model(s);

    if (!s->released || service_is_over(s) || s->ending || r->closing) {
        return;
    }
    if (m->serve && m->serve->from != NONE && !s->promotion) {
        return;
    }
    if (m->aggregate) {
        const struct service *under = services_find(r, m->aggregate->from[0]);
        if (under && service_is_over(under)) {
            CLEANUP(cleanup_free)
            char *text = xasprintf("%s did not get ready", service_model(under)->name);
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
    service_want(s);
}

void services_release(struct run *r, uint32_t instance)
{
    struct service *s = services_find(r, r->plan->instances[instance].step);

    r->instances[instance].phase = PHASE_SERVICE;
    s->released = true;
    s->final = s->final || (service_model(s)->serve && service_model(s)->serve->from == NONE);
    if (s->final && service_model(s)->serve && service_model(s)->serve->from != NONE &&
        !s->promotion) {
        emit_because(r, EVENT_SKIPPED, instance, "there is no model to serve");
        sched_over(r, instance);
        return;
    }
    service_advance(s);
}

void services_promoted(struct run *r, uint32_t select, const struct promotion *p, bool final)
{
    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        const struct step *m = service_model(s);
        if (!m->serve || m->serve->from != select) {
            continue;
        }
        bool same = s->generation > 0 && s->number == p->number;
        s->promotion = p;
        s->final = final;
        if (same && s->failed && final) {
            service_fail_step(s, s->why ? s->why : "the promoted models did not get ready");
        } else if (same) {
            settle(s);
        } else {
            s->live = s->failed = false;
            service_advance(s);
        }
    }
}

void services_unpromoted(struct run *r, uint32_t select, const char *why)
{
    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        const struct step *m = service_model(s);
        if (!m->serve || m->serve->from != select || service_is_over(s)) {
            continue;
        }
        s->final = true;
        if (s->since_us == 0) {
            emit_because(r, EVENT_SKIPPED, s->instance, why);
            sched_over(r, s->instance);
        } else {
            service_fail_step(s, why);
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
    const struct service *s = services_find(arg, step);

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
