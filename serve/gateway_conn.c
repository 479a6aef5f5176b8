/* SPDX-License-Identifier: Apache-2.0 */
/* A connection has one call at a time, writes it at once as far as the socket takes it, and reads until its answer is whole. At rest it is watched: when its server closes it, it goes; what a server says unasked closes it too. */
#include "serve/gateway_conn.h"

#include "base/loop.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    IDLE_MS = 30000,   /* a connection at rest is closed */
    BACKLOG_MS = 2000, /* a unix socket's queue is full: nothing tells when it no longer is */
};

static void list_add(struct conn_list *l, struct conn *c)
{
    c->prev = l->last;
    c->next = NULL;
    *(l->last ? &l->last->next : &l->first) = c;
    l->last = c;
}

static void list_drop(struct conn_list *l, struct conn *c)
{
    *(c->prev ? &c->prev->next : &l->first) = c->next;
    *(c->next ? &c->next->prev : &l->last) = c->prev;
    c->prev = c->next = NULL;
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    free(c);
}

void conn_close(struct conn *c)
{
    struct server *r = c->replica;

    if (c->state == CONN_REST) {
        list_drop(&r->resting, c);
    } else if (c->state == CONN_BACKLOG) {
        list_drop(&r->up->full, c);
    }
    r->n_conns--;
    answer_done(&c->answer);
    if (c->polled) {
        uv_poll_stop(&c->poll);
        close(c->fd);
        uv_close((uv_handle_t *)&c->poll, on_closed);
        return;
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    free(c);
}

static void conn_wait(struct conn *c, int events)
{
    if (c->events != events) {
        c->events = events;
        uv_poll_start(&c->poll, events, on_ready);
    }
}

static void conn_fail(struct conn *c, enum call_outcome outcome, const char *why)
{
    struct call *call = c->call;
    struct server *r = c->replica;
    bool stale = outcome == CALL_BROKEN && c->used && c->answer.state == ANSWER_HEAD &&
                 c->answer.head.len == 0;
    struct str none = {0};
    struct call_result result = {.outcome = outcome, .stale = stale, .why = why, .body = &none};

    server_hold(r);
    conn_close(c);
    if (call) {
        call_end(call, &result);
    }
    server_serve(r);
    server_unref(r);
}

void conn_sweep(void *arg)
{
    struct upstream *u = arg;
    bool any = false;

    for (struct server *r = u->replicas; r; r = r->next) {
        while (r->resting.first && upstream_now(u) - r->resting.first->since >= IDLE_MS) {
            conn_close(r->resting.first);
        }
        any = any || r->resting.first;
    }
    u->sweeping = any;
    if (!any) {
        timer_stop(u->sweep);
    }
}

static void conn_rest(struct conn *c)
{
    struct upstream *u = c->replica->up;

    c->call = NULL;
    c->used = true;
    c->state = CONN_REST;
    c->since = upstream_now(u);
    list_add(&c->replica->resting, c);
    conn_wait(c, UV_READABLE);
    if (!u->sweeping) {
        u->sweeping = true;
        timer_start(u->sweep, IDLE_SWEEP_MS, IDLE_SWEEP_MS);
    }
}

/* The answer is whole, or cannot become so. */
static void conn_answered(struct conn *c, bool more)
{
    struct call *call = c->call;
    struct server *r = c->replica;

    if (c->answer.state == ANSWER_WRONG) {
        conn_fail(c, CALL_WRONG, c->answer.wrong);
        return;
    }
    /* What follows an answer unasked, or a request that was not read to its end, leaves nothing to build on. */
    bool keep = c->answer.keep && !more && c->sent == call->head.len + call->body.len;
    struct call_result result = {
        .outcome = CALL_ANSWERED, .status = c->answer.status, .body = &c->answer.body};
    struct str body = c->answer.body;
    c->answer.body = (struct str){0};
    result.body = &body;
    server_hold(r);
    c->call = NULL;
    answer_clear(&c->answer);
    if (keep) {
        conn_rest(c);
    } else {
        conn_close(c);
    }
    call_end(call, &result);
    sb_done(&body);
    server_serve(r);
    server_unref(r);
}

static void conn_write(struct conn *c)
{
    struct call *call = c->call;
    size_t total = call->head.len + call->body.len;

    while (c->sent < total) {
        struct iovec iov[2];
        int n = 0;
        size_t skip = c->sent;
        if (skip < call->head.len) {
            iov[n++] = (struct iovec){call->head.data + skip, call->head.len - skip};
            skip = 0;
        } else {
            skip -= call->head.len;
        }
        if (skip < call->body.len) {
            union {
                const char *from;
                void *to;
            } body = {.from = call->body.data + skip}; /* an iovec has no const */
            iov[n++] = (struct iovec){body.to, call->body.len - skip};
        }
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
        ssize_t wrote = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0 && errno == EAGAIN) {
            conn_wait(c, UV_READABLE | UV_WRITABLE);
            return;
        }
        if (wrote < 0) {
            /* It may have answered (413, say) before it closed: reading tells. */
            c->sent = SIZE_MAX;
            break;
        }
        c->sent += (size_t)wrote;
    }
    conn_wait(c, UV_READABLE);
}

static void conn_read(struct conn *c)
{
    struct upstream *u = c->replica->up;

    for (int round = 0; round < 16; round++) {
        ssize_t n = read(c->fd, u->buffer, sizeof(u->buffer));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (c->state == CONN_REST) {
            conn_close(c);
            return;
        }
        if (n <= 0) {
            answer_end(&c->answer);
            if (c->answer.state == ANSWER_DONE) {
                conn_answered(c, false);
            } else {
                conn_fail(c, CALL_BROKEN, "the connection was closed before the end of the answer");
            }
            return;
        }
        size_t taken = answer_feed(&c->answer, u->buffer, (size_t)n);
        if (c->answer.state >= ANSWER_DONE) {
            conn_answered(c, taken < (size_t)n);
            return;
        }
        if ((size_t)n < sizeof(u->buffer)) {
            return;
        }
    }
}

static void conn_begin(struct conn *c)
{
    c->state = CONN_BUSY;
    c->sent = 0;
    c->answer.max_body = c->call->max_answer;
    conn_write(c);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct conn *c = poll->data;

    if (c->state == CONN_CONNECTING) {
        int sys = 0;
        socklen_t len = sizeof(sys);
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &sys, &len);
        if (sys || status < 0) {
            conn_fail(c, CALL_UNREACHABLE, strerror(sys ? sys : EIO));
            return;
        }
        conn_begin(c);
        return;
    }
    if (c->state == CONN_BUSY && events & UV_WRITABLE && c->sent != SIZE_MAX) {
        conn_write(c);
    }
    if (status < 0 || events & (UV_READABLE | UV_DISCONNECT)) {
        conn_read(c);
    }
}

static int dial_unix(struct conn *c)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    memcpy(to.sun_path, c->replica->socket, strlen(c->replica->socket));
    if (c->fd < 0) {
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    return c->fd < 0 ? -1 : connect(c->fd, (const struct sockaddr *)&to, sizeof(to));
}

static int dial_port(struct conn *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(c->replica->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return -1;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return connect(c->fd, (const struct sockaddr *)&to, sizeof(to));
}

static void conn_connected(struct conn *c, bool already)
{
    struct upstream *u = c->replica->up;

    if (uv_poll_init(loop_uv(u->loop), &c->poll, c->fd) != 0) {
        conn_fail(c, CALL_UNREACHABLE, "the descriptor cannot be watched");
        return;
    }
    c->poll.data = c;
    c->polled = true;
    if (already) {
        conn_begin(c);
    } else {
        c->state = CONN_CONNECTING;
        conn_wait(c, UV_WRITABLE);
    }
}

/* A unix socket connects at once or not at all; EAGAIN: its queue is full. */
static void conn_dial(struct conn *c)
{
    struct upstream *u = c->replica->up;
    int rc = c->replica->socket ? dial_unix(c) : dial_port(c);

    if (rc == 0 || errno == EINPROGRESS) {
        conn_connected(c, rc == 0);
    } else if (errno == EAGAIN && c->fd >= 0 && c->replica->socket) {
        c->state = CONN_BACKLOG;
        c->since = upstream_now(u);
        list_add(&u->full, c);
        if (!u->retrying) {
            u->retrying = true;
            timer_start(u->retry, BACKLOG_RETRY_MS, BACKLOG_RETRY_MS);
        }
    } else {
        conn_fail(c, CALL_UNREACHABLE, strerror(errno));
    }
}

/* Each once; what a callback takes out of the list meanwhile is gone from it. */
void conn_retry(void *arg)
{
    struct upstream *u = arg;
    size_t count = 0;

    for (struct conn *c = u->full.first; c; c = c->next) {
        count++;
    }
    for (; count > 0 && u->full.first; count--) {
        struct conn *c = u->full.first;
        list_drop(&u->full, c);
        c->state = CONN_CONNECTING;
        if (dial_unix(c) == 0) {
            conn_connected(c, true);
        } else if (errno != EAGAIN) {
            conn_fail(c, CALL_UNREACHABLE, strerror(errno));
        } else if (upstream_now(u) - c->since >= BACKLOG_MS) {
            conn_fail(c, CALL_UNREACHABLE, "its queue of connections is full");
        } else {
            c->state = CONN_BACKLOG;
            list_add(&u->full, c);
        }
    }
    u->retrying = u->full.first != NULL;
    if (!u->retrying) {
        timer_stop(u->retry);
    }
}

void conn_open(struct server *r, struct call *call)
{
    struct conn *c = xcalloc(1, sizeof(*c));

    *c = (struct conn){.replica = r, .call = call, .fd = -1, .state = CONN_CONNECTING};
    call->conn = c;
    r->n_conns++;
    conn_dial(c);
}

void conn_reuse(struct server *r, struct call *call)
{
    struct conn *c = r->resting.last;

    list_drop(&r->resting, c);
    call->conn = c;
    c->call = call;
    conn_begin(c);
}
