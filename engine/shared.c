/* SPDX-License-Identifier: Apache-2.0 */
/* A run and the shared cache: what may be shared, when it is asked (after a miss here, before a slot is taken), what is sent (an attempt's entry, once it is committed), and how the end of a run waits for
 * that. */
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/remote.h"
#include "engine/run_impl.h"
#include "steps/action.h"

#include <stdlib.h>

enum { UPLOAD_QUIET_MS = 500, UPLOAD_WAIT_MS = 10 * 60 * 1000 };

/* After the run's end it is told, but no longer part of the record. */
static void late_warning(struct run *r, const char *text)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_text(&w, "text", text);
    jw_end_object(&w);
    struct event e = {.type = EVENT_WARNING,
                      .instance = NONE,
                      .at_us = now_us(),
                      .payload = sb_text(&out),
                      .payload_len = (uint32_t)out.len};
    if (r->o.on_event) {
        r->o.on_event(r, &e, r->o.arg);
    }
}

static void on_warning(const char *text, void *arg)
{
    struct run *r = arg;

    if (r->state.ended) {
        late_warning(r, text);
    } else {
        emit_warning(r, NONE, text);
    }
}

static void on_idle(void *arg)
{
    sched_wake(arg);
}

int shared_open(struct run *r, struct err *err)
{
    struct remote_options o = {.url = r->o.remote,
                               .token = r->o.remote_token,
                               .read_only = r->o.remote_readonly,
                               .store = r->o.store,
                               .loop = r->o.loop,
                               .on_warning = on_warning,
                               .on_idle = on_idle,
                               .arg = r};

    if (!o.url || !*o.url || r->decider.off) {
        return 0;
    }
    return remote_open(&o, &r->remote, err);
}

void shared_close(struct run *r)
{
    remote_close(r->remote);
    r->remote = NULL;
    timer_free(r->upload_timer);
    id_map_done(&r->fetched);
}

/* Not where the result is this machine's own: an identity names places on it, a host's tools are not in the key, and what is made with a secret may hold it. */
static bool may_share(const struct run *r, uint32_t instance, bool has_identity)
{
    const struct step *m = step_of(r, instance);

    if (has_identity || m->cache.shared == SHARED_NO) {
        return false;
    }
    return m->cache.shared == SHARED_YES ||
           ((m->executor == EXECUTOR_CONTAINER || step_is_builtin(m)) && m->n_secrets == 0);
}

/* --- asking --- */

struct asking {
    struct run *run;
    uint32_t instance;
};

static void on_answer(const struct remote_found *found, void *arg)
{
    struct asking *a = arg;
    struct run *r = a->run;
    uint32_t i = a->instance;

    free(a);
    r->fetching--;
    if (r->closing) {
        return;
    }
    if (r->instances[i].phase == PHASE_ASKING) { /* else it was cancelled meanwhile */
        if (found) {
            *id_map_put(&r->fetched, (int64_t)i + 1) = (int64_t)found->bytes;
            ask_push(r, i); /* and now finds it here */
        } else {
            sched_ready(r, i);
        }
    }
    sched_wake(r);
}

bool shared_ask(struct run *r, uint32_t instance, const struct question *q)
{
    const struct step *m = step_of(r, instance);
    struct instance *i = &r->instances[instance];
    struct asking *a;

    if (!r->remote || i->shared_asked || !may_share(r, instance, q->has_identity)) {
        return false;
    }
    struct remote_question rq = {.key = q->key,
                                 .work_digest = q->work,
                                 .action = q->action,
                                 .action_len = q->action_len,
                                 .work = q->work_json,
                                 .work_len = q->work_len,
                                 .workflow = r->wf->name,
                                 .step = r->plan->instances[instance].name,
                                 .not_before_ms =
                                     m->cache.ttl_ms > 0 ? now_ms() - m->cache.ttl_ms : 0};
    i->shared_asked = true;
    a = xcalloc(1, sizeof(*a));
    *a = (struct asking){r, instance};
    if (!remote_ask(r->remote, &rq, on_answer, a)) {
        free(a);
        return false;
    }
    i->phase = PHASE_ASKING;
    r->fetching++;
    return true;
}

bool shared_fetched(const struct run *r, uint32_t instance, uint64_t *ret_bytes)
{
    const int64_t *bytes =
        r->fetched.len > 0 ? id_map_get(&r->fetched, (int64_t)instance + 1) : NULL;

    *ret_bytes = bytes ? (uint64_t)*bytes : 0;
    return bytes != NULL;
}

void shared_stop(struct run *r)
{
    if (r->remote) {
        remote_give_up_asking(r->remote);
    }
}

/* --- sending --- */

void shared_push(struct run *r, const struct success *s)
{
    if (r->remote && s->ret_entry != 0 && may_share(r, s->instance, s->entry.has_identity)) {
        remote_push(r->remote, s->ret_entry);
    }
}

static void on_too_long(void *arg)
{
    shared_give_up(arg);
}

/* A short wait is not worth a word. */
static void on_wait(void *arg)
{
    struct run *r = arg;
    struct remote_progress p;

    remote_progress(r->remote, &p);
    timer_free(r->upload_timer);
    r->upload_timer = timer_new(r->o.loop, on_too_long, r);
    timer_start(r->upload_timer, UPLOAD_WAIT_MS, 0);
    if (r->o.on_upload) {
        r->o.on_upload(r, p.waiting, r->o.arg);
    }
}

bool shared_wait(struct run *r)
{
    struct remote_progress p = {0};

    if (r->remote) {
        remote_progress(r->remote, &p);
    }
    if (p.waiting == 0) {
        return false;
    }
    if (!r->upload_timer) {
        r->upload_timer = timer_new(r->o.loop, on_wait, r);
        timer_start(r->upload_timer, UPLOAD_QUIET_MS, 0);
    }
    return true;
}

void shared_give_up(struct run *r)
{
    if (r->remote) {
        remote_give_up_pushing(r->remote);
        sched_wake(r);
    }
}

void run_shared(const struct run *r, struct remote_progress *ret)
{
    *ret = (struct remote_progress){0};
    if (r->remote) {
        remote_progress(r->remote, ret);
    }
}
