/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas and calls: a call waits in its replica's queue for one of at most CONNECTIONS connections. */
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "serve/gateway_conn.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONNECTIONS = 256, /* to one replica at once; further calls wait */
    FAILING_MS = 5000, /* a replica that brought no answer is asked last so long */
};

uint64_t upstream_now(const struct upstream *u)
{
    return uv_now(loop_uv(u->loop)) + 1;
}

static void queue_add(struct call **first, struct call **last, struct call *c)
{
    c->prev = *last;
    c->next = NULL;
    *(*last ? &(*last)->next : first) = c;
    *last = c;
}

static void queue_drop(struct call **first, struct call **last, struct call *c)
{
    *(c->prev ? &c->prev->next : first) = c->next;
    *(c->next ? &c->next->prev : last) = c->prev;
    c->prev = c->next = NULL;
}

/* Calls */

void server_hold(struct server *r)
{
    r->refs++;
}

void call_end(struct call *call, const struct call_result *result)
{
    struct server *r = call->replica;
    call_fn on_done = call->on_done;
    void *arg = call->arg;

    r->load--;
    if (result->outcome == CALL_ANSWERED) {
        r->failed_at = 0;
        r->hangs = false;
    } else if (!result->stale) {
        r->failed_at = upstream_now(r->up);
        r->hangs = false; /* it fails at once now */
    }
    sb_done(&call->head);
    free(call);
    on_done(result, arg);
}

void server_serve(struct server *r)
{
    if (r->serving) {
        return; /* by a caller of ours */
    }
    r->serving = true;
    while (r->waiting && (r->resting.last || r->n_conns < CONNECTIONS)) {
        struct call *call = r->waiting;
        queue_drop(&r->waiting, &r->waiting_end, call);
        if (r->resting.last) {
            conn_reuse(r, call);
        } else {
            conn_open(r, call);
        }
    }
    r->serving = false;
}

static void serve_all(struct upstream *u)
{
    for (struct server *r = u->replicas, *next; r; r = next) {
        server_hold(r);
        server_serve(r);
        next = r->next;
        server_unref(r);
    }
}

/* Those that were asked for in this turn of the loop. */
static void on_start(void *arg)
{
    struct upstream *u = arg;

    if (u->freed) {
        u->freed = false;
        serve_all(u);
    }
    while (u->fresh) {
        struct call *call = u->fresh;
        struct server *r = call->replica;
        queue_drop(&u->fresh, &u->fresh_end, call);
        call->fresh = false;
        queue_add(&r->waiting, &r->waiting_end, call);
        server_hold(r);
        server_serve(r);
        server_unref(r);
    }
}

struct call *call_start(struct server *r, const struct call_request *q, call_fn on_done, void *arg)
{
    struct call *call = xcalloc(1, sizeof(*call));

    *call = (struct call){.replica = r,
                          .fresh = true,
                          .body = q->body,
                          .max_answer = q->max_answer,
                          .on_done = on_done,
                          .arg = arg};
    sb_reserve(&call->head, q->head.len + 48);
    sb_add(&call->head, q->head.data, q->head.len);
    if (q->body.data) {
        sb_puts(&call->head, "Content-Length: ");
        sb_u64(&call->head, q->body.len);
        sb_puts(&call->head, "\r\n");
    }
    sb_puts(&call->head, "\r\n");
    r->load++;
    queue_add(&r->up->fresh, &r->up->fresh_end, call);
    loop_idle_post(r->up->start);
    return call;
}

void call_cancel(struct call *call, bool hung)
{
    struct server *r = call->replica;

    if (hung) {
        r->failed_at = upstream_now(r->up);
        r->hangs = true;
    }
    server_hold(r);
    r->load--;
    if (call->conn) {
        conn_close(call->conn);
        if (r->waiting) { /* not here: those may fail, and their owners be told */
            r->up->freed = true;
            loop_idle_post(r->up->start);
        }
    } else if (call->fresh) {
        queue_drop(&r->up->fresh, &r->up->fresh_end, call);
    } else {
        queue_drop(&r->waiting, &r->waiting_end, call);
    }
    sb_done(&call->head);
    free(call);
    server_unref(r);
}

/* Replicas */

struct server *upstream_server(struct upstream *u, const struct gateway_replica *a)
{
    for (struct server *r = u->replicas; r; r = r->next) {
        if (text_eq(r->socket, a->socket) && (a->socket || r->port == a->port)) {
            r->refs++;
            return r;
        }
    }
    struct server *r = xcalloc(1, sizeof(*r));
    *r = (struct server){.up = u,
                         .next = u->replicas,
                         .refs = 1,
                         .socket = a->socket ? xstrdup(a->socket) : NULL,
                         .port = a->port};
    if (u->replicas) {
        u->replicas->prev = r;
    }
    u->replicas = r;
    return r;
}

void server_unref(struct server *r)
{
    if (--r->refs > 0) {
        return;
    }
    while (r->resting.first) {
        conn_close(r->resting.first);
    }
    *(r->prev ? &r->prev->next : &r->up->replicas) = r->next;
    if (r->next) {
        r->next->prev = r->prev;
    }
    free(r->socket);
    free(r);
}

uint32_t server_load(const struct server *r)
{
    return r->load;
}

bool server_hangs(const struct server *r)
{
    return r->hangs;
}

bool server_failing(const struct server *r)
{
    return r->failed_at && upstream_now(r->up) - r->failed_at < FAILING_MS;
}

struct upstream *upstream_new(struct loop *l)
{
    struct upstream *u = xcalloc(1, sizeof(*u));

    u->loop = l;
    u->sweep = timer_new(l, conn_sweep, u);
    u->retry = timer_new(l, conn_retry, u);
    u->start = loop_idle_new(l, on_start, u);
    return u;
}

void upstream_free(struct upstream *u)
{
    if (u) {
        WF_ASSERT(!u->replicas);
        timer_free(u->sweep);
        timer_free(u->retry);
        loop_idle_free(u->start);
        free(u);
    }
}
