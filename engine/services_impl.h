/* SPDX-License-Identifier: Apache-2.0 */
/* The services of a run from inside: services.c (what comes to them from outside: release, promotions, the supervisor's word), services_follow.c (those that need them), services_want.c (what is wanted is worked out and written),
 * services_end.c (the end of the run, and after it). Loop thread. */
#ifndef WF_ENGINE_SERVICES_IMPL_H
#define WF_ENGINE_SERVICES_IMPL_H

#include "cache/store.h"
#include "engine/promotions.h"
#include "engine/run_impl.h"
#include "engine/service_spec.h"
#include "serve/client.h"
#include "serve/desired.h"

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

static inline const struct step *service_model(const struct service *s)
{
    return &s->run->wf->steps[s->step];
}
static inline bool service_is_over(const struct service *s)
{
    return s->run->instances[s->instance].phase == PHASE_OVER;
}

/* --- services.c --- */
struct service *services_find(const struct run *r, uint32_t step); /* NULL: it is none */
void service_advance(struct service *s); /* wants what is to be served now, if that can be said */
void service_fail_step(struct service *s, const char *text);
void service_on_row(struct service *s, const struct service_row *row);
int services_connect(struct services *all, struct err *err); /* to the supervisor; harmless twice */

/* --- services_follow.c --- */
/* Is nothing more to come of it in this run: of an aggregate, of the service it stands on? */
bool service_is_final(const struct service *s);
void service_let_go(struct service *s, bool first); /* on_promotion: first and each, or last */
void service_let_all_go(struct service *s);
void service_let_held_go(struct service *s); /* it has moved on, or come to its end */

/* --- services_want.c --- */
void service_want(struct service *s);   /* s is not busy */
void service_unwant(struct service *s); /* the same: its row says so; s->busy until then */
/* It is up and kept; so it stays when a run without --keep-serving takes it over. */
bool service_is_kept(const struct service *s);

#endif
