/* SPDX-License-Identifier: Apache-2.0 */
/* A shared cache from outside, and when it is left alone: after an outage for a while, after several wrong answers for good, after a refused upload as far as sending goes. Whatever follows from an answer
 * is done at the end of the loop's turn, by on_idle(). */
#include "cache/remote.h"

#include "base/err.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/remote_internal.h"
#include "cache/store_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_MS = 2000,
    STALL_MS = 10000,
    PAUSE_MS = 60000,
    MINUTE_MS = 60000,
    LIES_MAX = 3,
    KNOWN_MAX = 1 << 20, /* digests, 16 bytes each */
};

static void on_idle(void *arg)
{
    struct remote *r = arg;

    if (remote_off(r)) {
        asks_give_up(r);
        pushes_give_up(r);
    } else if (r->no_uploads) {
        pushes_give_up(r);
    }
    asks_tell(r);
    pushes_fill(r);
    transfer_fill(r);
    if (r->push_idle_due && r->n_pushes == 0 && r->pushed == r->to_push.len) {
        r->push_idle_due = false;
        vec_clear(&r->to_push);
        r->pushed = 0;
        if (r->o.on_idle) {
            r->o.on_idle(r->o.arg);
        }
    }
}

int remote_open(const struct remote_options *o, struct remote **ret, struct err *err)
{
    struct remote *r = xcalloc(1, sizeof(*r));

    r->o = *o;
    r->o.connect_ms = o->connect_ms ? o->connect_ms : CONNECT_MS;
    r->o.stall_ms = o->stall_ms ? o->stall_ms : STALL_MS;
    r->o.pause_ms = o->pause_ms ? o->pause_ms : PAUSE_MS;
    int rc = remote_parse(r, o->url, err);
    r->o.url = r->o.token = NULL; /* copied in their parts */
    if (rc < 0) {
        remote_close(r);
        return rc;
    }
    r->idle = loop_idle_new(o->loop, on_idle, r);
    *ret = r;
    return 0;
}

static void forget(char *secret)
{
    if (secret) {
        explicit_bzero(secret, strlen(secret));
    }
    free(secret);
}

void remote_close(struct remote *r)
{
    if (!r) {
        return;
    }
    r->closing = true;
    if (r->idle) {
        asks_close(r);
        pushes_give_up(r);
        transfer_drop_all(r, NULL);
        loop_idle_free(r->idle);
    }
    http_close(r->http);
    s3_free(r->s3);
    vec_done(&r->to_push);
    id_map_done(&r->known);
    free(r->name);
    free(r->base);
    free(r->user);
    forget(r->password);
    forget(r->bearer);
    free(r->bucket);
    free(r->prefix);
    free(r);
}

const char *remote_name(const struct remote *r)
{
    return r->name;
}

bool remote_writes(const struct remote *r)
{
    return !r->o.read_only && !r->no_uploads;
}

void remote_progress(const struct remote *r, struct remote_progress *ret)
{
    *ret = r->progress;
    ret->waiting = (uint32_t)(r->to_push.len - r->pushed) + r->n_pushes;
    for (const struct remote_ask *k = r->asks; k; k = asks_next(k)) {
        ret->asking++;
    }
    for (const struct transfer *t = r->active; t; t = t->next) {
        ret->fetched_bytes += t->got;
    }
}

/* --- trouble --- */

bool remote_off(const struct remote *r)
{
    return r->off_until_us != 0 && mono_us() < r->off_until_us;
}

static void warn(struct remote *r, bool *told, const char *text)
{
    if (!*told && r->o.on_warning && !r->closing) {
        r->o.on_warning(text, r->o.arg);
    }
    *told = true;
}

void remote_outage(struct remote *r, const char *why)
{
    CLEANUP(sb_done) struct str text = {0};

    r->off_until_us = mono_us() + r->o.pause_ms * 1000;
    if (r->probe) {
        sb_clear(r->probe);
        sb_printf(r->probe, "the shared cache %s cannot be used: %s", r->name, why);
    }
    sb_printf(&text,
              "the shared cache %s cannot be used for now, so that steps run here (%s); it is left "
              "alone for ",
              r->name, why);
    if (r->o.pause_ms % MINUTE_MS == 0) { /* a setting, not a measurement */
        sb_printf(&text, "%" PRId64 "m", r->o.pause_ms / MINUTE_MS);
    } else {
        add_duration(&text, r->o.pause_ms);
    }
    warn(r, &r->told_outage, sb_text(&text));
    loop_idle_post(r->idle);
}

void remote_lied(struct remote *r, const char *what)
{
    bool enough = ++r->lies >= LIES_MAX;
    CLEANUP(cleanup_free)
    char *text = xasprintf(
        "the shared cache %s gave a wrong answer, which was not used (%s): the step runs here",
        r->name, what);

    if (enough) {
        r->off_until_us = INT64_MAX;
    }
    warn(r, &r->told_lie, text);
    loop_idle_post(r->idle);
}

void remote_upload_refused(struct remote *r, int status, const char *why)
{
    const char *advice =
        status >= 500
            ? "the server itself failed: see its log, and whether its disk is full or its folder "
              "may be written"
            : "where it is only to be read, say --remote-readonly";
    CLEANUP(cleanup_free)
    char *text = xasprintf("the shared cache %s does not take results (%s): nothing more is sent "
                           "to it in this run; %s",
                           r->name, why, advice);

    r->no_uploads = true;
    warn(r, &r->told_upload, text);
    loop_idle_post(r->idle);
}

void remote_disk_problem(struct remote *r, const char *why)
{
    CLEANUP(cleanup_free)
    char *text = xasprintf(
        "what came from the shared cache %s could not be stored, so that the step runs here: %s",
        r->name, why);

    warn(r, &r->told_disk, text);
}

/* --- what is known of cas/ --- */

static int64_t known_key(const struct digest *d)
{
    int64_t head = digest_head(d);

    return head ? head : 1;
}

void remote_know(struct remote *r, const struct digest *d, int what)
{
    if (r->known.len < KNOWN_MAX) {
        *id_map_put(&r->known, known_key(d)) = what;
    }
}

int remote_knows(const struct remote *r, const struct digest *d)
{
    const int64_t *found = id_map_get(&r->known, known_key(d));

    return found ? (int)*found : 0;
}

/* --- a look --- */

struct probe {
    struct remote *remote;
    enum answer answer;
    bool done;
};

static void probed(struct transfer *t, enum answer a, const struct str *body)
{
    struct probe *p = t->owner;

    (void)body;
    p->answer = a;
    p->done = true;
    loop_stop(t->remote->o.loop); /* at the end of this turn: trouble is noted before */
}

int remote_probe(struct remote *r, struct str *out, struct err *err)
{
    CLEANUP(sb_done) struct str trouble = {0};
    struct probe p = {.remote = r};
    struct digest zero = {0};
    struct transfer *t = transfer_new(r, GET_DOCUMENT, "ac", &zero, REMOTE_DOCUMENT_MAX);
    int64_t began = mono_us();

    t->any = true;
    t->done = probed;
    t->owner = &p;
    r->probe = &trouble;
    r->off_until_us = 0;
    transfer_queue(t);
    loop_run(r->o.loop);
    r->probe = NULL;
    if (!p.done || (p.answer != ANSWER_GOOD && p.answer != ANSWER_ABSENT)) {
        return err_set(err, ERR_NET, 0, "%s", trouble.len > 0 ? sb_text(&trouble) : "no answer");
    }
    sb_printf(out, "%s answers in ", r->name);
    add_duration(out, (mono_us() - began) / 1000);
    sb_puts(out, r->o.read_only ? ", read only" : "; reading it was tried, not writing");
    return 0;
}
