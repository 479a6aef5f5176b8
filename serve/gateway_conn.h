/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway's client: connections (gateway_conn.c) and what waits for them (gateway_upstream.c). */
#ifndef WF_SERVE_GATEWAY_CONN_H
#define WF_SERVE_GATEWAY_CONN_H

#include "serve/gateway_answer.h"
#include "serve/gateway_upstream.h"

#include <uv.h>

enum { READ_SIZE = 64 << 10, IDLE_SWEEP_MS = 10000, BACKLOG_RETRY_MS = 5 };

enum conn_state { CONN_CONNECTING, CONN_BACKLOG, CONN_BUSY, CONN_REST };

struct conn {
    uv_poll_t poll;
    struct server *replica;
    struct conn *prev, *next; /* in `resting`, `full` or nowhere */
    struct call *call;        /* NULL at rest */
    enum conn_state state;
    int fd;
    bool used;      /* has answered before */
    bool polled;    /* poll is initialised */
    int events;     /* waited for */
    uint64_t since; /* at rest, or in the backlog's queue */
    size_t sent;    /* of head and body; SIZE_MAX: the server does not take the rest */
    struct answer answer;
};

struct call {
    struct server *replica;
    struct conn *conn; /* NULL: waits */
    bool fresh;        /* in upstream.fresh, else in the replica's queue */
    struct call *prev, *next;
    struct str head;
    struct slice body;
    size_t max_answer;
    call_fn on_done;
    void *arg;
};

struct conn_list {
    struct conn *first, *last;
};

struct server {
    struct upstream *up;
    struct server *prev, *next;
    unsigned refs;
    char *socket; /* NULL: port */
    uint16_t port;
    uint32_t n_conns; /* all of them */
    uint32_t load;
    struct conn_list resting;           /* oldest first */
    struct call *waiting, *waiting_end; /* for a connection */
    bool serving;                       /* the queue is being served: no further down the stack */
    uint64_t failed_at;                 /* 0: its last request was answered */
    bool hangs;
};

struct upstream {
    struct loop *loop;
    struct server *replicas;
    struct conn_list full; /* CONN_BACKLOG */
    struct timer *sweep, *retry;
    struct loop_idle *start; /* calls are begun, and failures told, from the loop */
    struct call *fresh, *fresh_end;
    bool sweeping, retrying, freed; /* freed: connections went while calls may wait for one */
    char buffer[READ_SIZE];
};

uint64_t upstream_now(const struct upstream *u); /* ms; never 0 */

/* A new connection for this call. What goes wrong is told to the call, maybe before this returns. */
void conn_open(struct server *r, struct call *call);
/* The one at rest that was used last takes the call. */
void conn_reuse(struct server *r, struct call *call);
void conn_close(struct conn *c);
/* Timers, of a struct upstream: closes what has rested for long; tries again where a queue was full. */
void conn_sweep(void *upstream);
void conn_retry(void *upstream);

/* The call is over: tells its owner. `result->body` belongs to the caller. */
void call_end(struct call *call, const struct call_result *result);
/* A connection has become free, or may be made. */
void server_serve(struct server *r);
void server_hold(struct server *r);

#endif
