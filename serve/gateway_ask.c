/* SPDX-License-Identifier: Apache-2.0 */
/* One member asked: the whole request, or its parts, a few of them at once over its replicas. A part whose connection broke is asked once more, of another replica where there is one: inference can be done twice. */
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "serve/gateway_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    PARTS_PER_REPLICA =
        2,         /* under way at once, of one request: the next is there when one is answered */
    STALE_MAX = 3, /* kept connections that turned out closed, for one part */
    ANSWER_MAX = 256 << 20,
};

struct part {
    struct ask *ask;
    struct part *prev, *next;
    uint32_t index;
    unsigned stale;
    bool retried;
    struct server *replica;
    struct call *call;
    struct str body; /* of a part; else the request's own is sent */
};

static uint32_t part_count(const struct ask *a)
{
    return a->job->cut.count ? a->job->cut.count : 1;
}

static void part_free(struct part *p)
{
    struct ask *a = p->ask;

    *(p->prev ? &p->prev->next : &a->parts) = p->next;
    if (p->next) {
        p->next->prev = p->prev;
    }
    sb_done(&p->body);
    free(p);
    a->in_flight--;
}

static void stop_parts(struct ask *a, bool hung)
{
    while (a->parts) {
        call_cancel(a->parts->call, hung);
        part_free(a->parts);
    }
}

/* Takes `why`. */
static void fail(struct ask *a, enum ask_failure failure, int status, char *why)
{
    stop_parts(a, failure == FAIL_TIMEOUT);
    a->state = ASK_FAILED;
    a->failure = failure;
    a->status = status;
    a->why = why;
    job_ask_ended(a->job);
}

/* Reading the answers: pure. */
static void read_answers(void *arg)
{
    struct ask *a = arg;
    uint32_t n = part_count(a);
    struct err err = {0};
    CLEANUP(cleanup_free) char *what = xasprintf("the answer of '%s'", a->member->is->slug);
    int rc = 0;

    for (uint32_t i = 0; i < n && rc == 0; i++) {
        rc = form_read(slice_of(sb_text(&a->bodies[i]), a->bodies[i].len), a->job->v1, FORM_ANSWER,
                       what, &a->forms[i], &err);
    }
    if (rc == 0 && n > 1) {
        rc = form_join(a->forms, n, what, &a->store, &a->joined, &err);
    }
    if (rc) {
        a->why = xstrdup(err.msg);
    }
}

static void after_reading(struct ask *a)
{
    if (a->why) {
        fail(a, FAIL_WRONG, 0, a->why);
        return;
    }
    a->answer = part_count(a) > 1 ? &a->joined : &a->forms[0];
    a->state = ASK_ANSWERED;
    job_ask_ended(a->job);
}

static void on_read(void *arg)
{
    struct ask *a = arg;

    a->job->busy--;
    after_reading(a);
}

static void all_answered(struct ask *a)
{
    size_t size = 0;

    for (uint32_t i = 0; i < part_count(a); i++) {
        size += a->bodies[i].len;
    }
    a->state = ASK_READING;
    if (size > READ_ON_POOL) {
        a->job->busy++;
        loop_work(a->job->jobs->loop, read_answers, on_read, a);
    } else {
        read_answers(a);
        after_reading(a);
    }
}

static void on_answer(const struct call_result *r, void *arg);

static void send_part(struct part *p, const struct server *except)
{
    struct ask *a = p->ask;
    const struct job *j = a->job;
    const char *head = a->member->heads[j->v1];
    const struct str *body = j->cut.count ? &p->body : &j->text;
    struct call_request q = {.head = slice_of(head, strlen(head)),
                             .body = slice_of(sb_text(body), body->len),
                             .max_answer = ANSWER_MAX};

    p->replica = member_pick(a->member, except);
    p->call = call_start(p->replica, &q, on_answer, p);
}

static void send_more(struct ask *a)
{
    uint32_t window = a->member->is->n_replicas * PARTS_PER_REPLICA;

    while (a->next < part_count(a) && a->in_flight < window) {
        struct part *p = xcalloc(1, sizeof(*p));
        *p = (struct part){.ask = a, .next = a->parts, .index = a->next++};
        if (a->parts) {
            a->parts->prev = p;
        }
        a->parts = p;
        a->in_flight++;
        if (a->job->cut.count) {
            form_part(&a->job->cut, p->index, &p->body);
        }
        send_part(p, NULL);
    }
}

/* Is it worth another try? */
static bool again(struct part *p, const struct call_result *r)
{
    if (r->stale && p->stale < STALE_MAX) {
        p->stale++;
        return true;
    }
    bool broken = r->outcome == CALL_UNREACHABLE || r->outcome == CALL_BROKEN;
    if (!broken || p->retried || p->ask->member->is->n_replicas < 2) {
        return false;
    }
    p->retried = true;
    return true;
}

static void on_answer(const struct call_result *r, void *arg)
{
    struct part *p = arg;
    struct ask *a = p->ask;

    if (r->outcome != CALL_ANSWERED && again(p, r)) {
        send_part(p, p->replica);
        return;
    }
    if (r->outcome == CALL_ANSWERED && r->status == 200) {
        a->bodies[p->index] = *r->body;
        *r->body = (struct str){0};
        part_free(p);
        if (++a->answered == part_count(a)) {
            all_answered(a);
        } else {
            send_more(a);
        }
        return;
    }
    part_free(p);
    if (r->outcome == CALL_ANSWERED) {
        fail(a, FAIL_STATUS, r->status, reply_status_text(a, r->status, r->body));
        return;
    }
    fail(a, r->outcome == CALL_WRONG ? FAIL_WRONG : FAIL_UNREACHABLE, 0,
         xasprintf("'%s' cannot be asked: %s", a->member->is->slug, r->why));
}

void ask_start(struct ask *a)
{
    uint32_t n = part_count(a);

    if (a->doubtful && member_busy(a->member)) {
        fail(a, FAIL_TIMEOUT, 0, xasprintf("'%s' does not answer at present", a->member->is->slug));
        return;
    }
    if (a->member->is->n_replicas == 0) {
        fail(a, FAIL_UNREACHABLE, 0, xasprintf("'%s' has no replica", a->member->is->slug));
        return;
    }
    a->bodies = xcalloc(n, sizeof(*a->bodies));
    a->forms = xcalloc(n, sizeof(*a->forms));
    send_more(a);
}

void ask_stop(struct ask *a, bool timeout)
{
    if (a->state == ASK_RUNNING) {
        fail(a, timeout ? FAIL_TIMEOUT : FAIL_UNREACHABLE, 0,
             xasprintf("'%s' did not answer within %g s", a->member->is->slug,
                       (double)a->job->ensemble->config.timeout_ms / 1000));
    }
}

void ask_done(struct ask *a)
{
    stop_parts(a, false);
    for (uint32_t i = 0; a->bodies && i < part_count(a); i++) {
        sb_done(&a->bodies[i]);
        form_done(&a->forms[i]);
    }
    form_done(&a->joined);
    sb_done(&a->store);
    free(a->bodies);
    free(a->forms);
    free(a->why);
}
