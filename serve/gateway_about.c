/* SPDX-License-Identifier: Apache-2.0 */
/* The model's description. Its inputs and outputs are those of the best member that tells them; members are asked one after the other, not for long, and if none tells the lists are empty. */
#include "base/loop.h"
#include "base/mem.h"
#include "serve/gateway_http.h"
#include "serve/gateway_impl.h"

#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 2000, ABOUT_MAX = 1 << 20 };

struct about {
    struct jobs *jobs;
    struct ensemble *ensemble;
    uint32_t member;
    struct call *call;
    struct timer *timer;
    reply_fn on_reply;
    void *arg;
};

static void end(struct about *a, const struct str *said)
{
    CLEANUP(sb_done) struct str out = {0};
    struct reply r = {.status = 200, .body = &out};

    route_about(a->ensemble, said, &out);
    a->on_reply(&r, a->arg);
    timer_free(a->timer);
    ensemble_unref(a->ensemble);
    a->jobs->count--;
    free(a);
}

static void ask_next(struct about *a);

static void on_answer(const struct call_result *r, void *arg)
{
    struct about *a = arg;

    a->call = NULL;
    if (r->outcome == CALL_ANSWERED && r->status == 200) {
        end(a, r->body);
        return;
    }
    a->member++;
    ask_next(a);
}

static void on_time(void *arg)
{
    struct about *a = arg;

    call_cancel(a->call, true);
    end(a, NULL);
}

static void ask_next(struct about *a)
{
    struct server *to = NULL;

    for (; a->member < a->ensemble->config.n_members; a->member++) {
        to = member_pick(&a->ensemble->members[a->member], NULL);
        if (to) {
            break;
        }
    }
    if (!to) {
        end(a, NULL);
        return;
    }
    const char *head = a->ensemble->members[a->member].about;
    struct call_request q = {.head = slice_of(head, strlen(head)), .max_answer = ABOUT_MAX};
    a->call = call_start(to, &q, on_answer, a);
}

void about_start(struct jobs *jobs, struct ensemble *s, reply_fn on_reply, void *arg)
{
    struct about *a = xcalloc(1, sizeof(*a));

    *a =
        (struct about){.jobs = jobs, .ensemble = ensemble_ref(s), .on_reply = on_reply, .arg = arg};
    jobs->count++;
    a->timer = timer_new(jobs->loop, on_time, a);
    timer_start(a->timer, WAIT_MS, 0);
    ask_next(a);
}
