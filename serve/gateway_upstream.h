/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: the client of model servers. A small one of our own, because libcurl's costs two to three times the processor per request, and because only who holds the connections knows whether a request may have reached a server.
 * Connections are kept: per replica those in use and those at rest, the youngest used first. Loop thread only. */
#ifndef WF_SERVE_GATEWAY_UPSTREAM_H
#define WF_SERVE_GATEWAY_UPSTREAM_H

#include "base/str.h"
#include "serve/gateway.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct upstream; /* all replicas' connections */
struct server;   /* one address; counted references */
struct call;     /* one request under way */

struct upstream *upstream_new(struct loop *l);
/* No call is under way and no replica held any more. */
void upstream_free(struct upstream *u);
/* The replica of that address, known already or new; a reference is the caller's. */
struct server *upstream_server(struct upstream *u, const struct gateway_replica *address);
void server_unref(struct server *r);

/* Requests under way or waiting for a connection. */
uint32_t server_load(const struct server *r);
/* It let a request wait for too long, and has answered none since. */
bool server_hangs(const struct server *r);
/* Its last request brought no answer, a moment ago: another one is asked first. */
bool server_failing(const struct server *r);

enum call_outcome {
    CALL_ANSWERED,
    CALL_UNREACHABLE, /* no connection could be made: the request has not been read */
    CALL_BROKEN,      /* closed before the end of the answer */
    CALL_WRONG,       /* no HTTP, or too large */
};
struct call_result {
    enum call_outcome outcome;
    int status; /* CALL_ANSWERED */
    bool
        stale; /* CALL_BROKEN: on a kept connection, before the first byte: it may just have grown old */
    const char *why;  /* other than CALL_ANSWERED: "connection refused" … */
    struct str *body; /* may be taken; else kept by the connection for the next answer */
};
typedef void (*call_fn)(const struct call_result *r, void *arg);

struct call_request {
    struct slice head; /* complete but for Content-Length and the empty line */
    struct slice body; /* borrowed until the end; data NULL: none, and no Content-Length */
    size_t max_answer;
};
/* on_done is called once, from the loop, never before this returns. `head` is copied. */
struct call *call_start(struct server *r, const struct call_request *q, call_fn on_done, void *arg);
/* on_done is not called; the connection is closed. `hung`: the server has had time enough, count it as failing. */
void call_cancel(struct call *c, bool hung);

#endif
