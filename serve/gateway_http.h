/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: HTTP as callers see it. libmicrohttpd on the loop, its epoll descriptor watched; a request whose answer is not there yet is suspended. Loop thread only. */
#ifndef WF_SERVE_GATEWAY_HTTP_H
#define WF_SERVE_GATEWAY_HTTP_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct jobs;
struct loop;
struct ensemble;
struct str;
struct web;

struct web_options {
    struct loop *loop;
    struct jobs *jobs;
    int listen_fd;                           /* taken over, also on failure */
    struct ensemble *(*ensemble)(void *arg); /* the one for a new request; borrowed */
    void (*on_idle)(void *arg);              /* after web_stop(): no request is left */
    void *arg;
};
int web_open(const struct web_options *o, struct web **ret, struct err *err);
/* No new connections; those that are kept alive end with their next answer. */
void web_stop(struct web *w);
/* No request is under way. */
void web_free(struct web *w);

/* What a request without a body is about. */
enum route_kind {
    ROUTE_NONE,
    ROUTE_NOW,     /* answered from what is known */
    ROUTE_ABOUT,   /* GET /v2/models/NAME: the best member is asked about its inputs and outputs */
    ROUTE_INFER,   /* POST, v2 */
    ROUTE_PREDICT, /* POST, v1 */
};
struct route {
    enum route_kind kind;
    int status;        /* ROUTE_NOW */
    const char *allow; /* 405: the methods it has */
    bool retry_after;
};
/* Pure but for the replicas' state: writes the answer of ROUTE_NOW, or an error, into `out`. */
struct route route_find(struct ensemble *s, const char *method, const char *path, struct str *out);
/* GET /v2/models/NAME; `member`: what the best one says of itself, NULL. */
void route_about(const struct ensemble *s, const struct str *member, struct str *out);

#endif
