/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a run with services: those that are ready stay until all else has ended, then go, or are kept (semantics 33). */
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/services_impl.h"

#include <stdlib.h>
#include <string.h>

/* After this time a service that does not end is left to the supervisor, with a word. */
enum { END_MS = 30000 };

bool services_settled(const struct run *r)
{
    for (const struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        if (!service_is_over(s) && !s->told) {
            return false;
        }
    }
    return true;
}

void services_stop(struct run *r, const char *because)
{
    for (struct service *s = r->services ? r->services->first : NULL; s; s = s->next) {
        if (!service_is_over(s) && !s->told) {
            emit_because(r, EVENT_CANCELLED, s->instance, because);
            sched_over(r, s->instance);
        }
        service_let_held_go(s);
    }
}

static void end_well(struct service *s, bool kept)
{
    CLEANUP(sb_done) struct str out = {0};
    struct run *r = s->run;
    struct jsonw w;

    if (service_is_over(s)) {
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
        } else if (s->was_kept && service_is_kept(s)) {
            s->ended =
                true; /* from an earlier `wf run --keep-serving`: goes on with what is promoted now */
        } else {
            s->ended = !all->client; /* nobody was there to start it */
            service_unwant(s);
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

void services_let_down(struct run *r)
{
    struct services *all = r->services;

    for (struct service *s = all ? all->first : NULL; s; s = s->next) {
        if (s->generation > 0 && !s->ended && !s->busy && !s->ending) {
            service_unwant(s);
        }
    }
}
