/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy, the traffic layer: one per store. Its configuration and maps are rendered whole from a struct proxy_state, judged (haproxy -c) and written before HAProxy is told anything. Maps, servers and the end of
 * a backend are commands; a reload (loss-free, some 0.1 s) is needed for a backend that is new and whatever else changes: so a backend is best made before its servers are ready, and they are added later. HAProxy's
 * state is only a copy of ours. Names in its files are generated; the only foreign texts are header names (tokens of RFC 9110, checked), paths, slugs and addresses, all checked letter by letter. Loop thread only. */
#ifndef WF_SERVE_PROXY_H
#define WF_SERVE_PROXY_H

#include "workflows/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct proxy;

struct proxy_server {
    uint32_t
        id; /* unique in its backend and never reused there: shards stay where they are; the name is r<id> */
    const char *socket; /* unix; NULL: 127.0.0.1:port */
    uint16_t port;
    bool drain; /* finishes what it has, gets nothing new */
};
struct proxy_backend {
    char name[32]; /* [a-z0-9_]: "s3g7_0" */
    enum balance balance;
    const char *shard_header; /* a token */
    bool shard_uri;
    const char
        *check_path; /* "/…" without blanks or control characters; NULL: a connection is enough */
    uint32_t maxconn;   /* per server; 0: none */
    uint32_t maxqueue;  /* requests that wait, of the whole backend; more get 503; 0: none */
    int64_t timeout_ms; /* of an answer; 0: 60 s */
    uint32_t n_servers;
    const struct proxy_server *servers;
};
struct proxy_route {
    const char *slug; /* of /v2/models/SLUG/… and /v1/models/SLUG… */
    char backend[32];
};
struct proxy_service {
    int64_t id;
    const char *host;
    uint16_t port;
    char backend[32]; /* all other requests; "": none yet, 503 with Retry-After */
    uint32_t n_routes;
    const struct proxy_route *routes;
    char canary[32]; /* a share of the requests for `backend` goes here; "": none */
    uint32_t canary_percent;
    double rate_anonymous, rate_authenticated; /* per second; 0: none */
    const char *tokens_file;                   /* read by us, handed over as digests; NULL */
    const char *activator; /* unix socket requests go to while `backend` has no server up; NULL */
};
struct proxy_state {
    uint32_t n_services;
    const struct proxy_service *services;
    uint32_t n_backends;
    const struct proxy_backend *backends;
};

struct proxy_options {
    struct loop *loop;
    const char *dir;     /* below the store: configuration, maps, pid file, log */
    const char *run_dir; /* short (80 bytes), 0700, plain letters: sockets */
    /* HAProxy was found dead and is started again with the last state (NULL err), or cannot be (err). */
    void (*on_restart)(const struct err *err, void *arg);
    void *arg;
};
/* Finds HAProxy (WF_HAPROXY, PATH, /usr/sbin), adopts one that runs for this store, else starts none yet. ERR_NOT_FOUND with the mend. */
int proxy_open(const struct proxy_options *o, struct proxy **ret, struct err *err);
/* Makes HAProxy agree with `s` (copied; token files are read now): starts it, changes it by commands, or reloads it; ends when what it says it has agrees. on_done (once, from the loop): err NULL, or why not: then the
 * earlier state goes on ("127.0.0.1:8080 is taken by another program", a refused configuration). One at a time; of those that wait only the newest is carried out, and the others end with its outcome.
 * A new server gets requests at once, its first check comes some milliseconds later: name it in a backend that is routed to when it is ready. A server that is left out gets nothing new; HAProxy forgets it when its last connection is gone.
 * A HAProxy that hangs is replaced. Callbacks may call anything but proxy_stop() and proxy_close(). */
void proxy_apply(struct proxy *p, const struct proxy_state *s,
                 void (*on_done)(const struct err *err, void *arg), void *arg);
struct proxy_look {
    const char *backend; /* of a server; or of the backend itself (server 0) */
    uint32_t server;
    bool
        up; /* its last check has passed (an unchecked one is not up); of a backend: it has a server */
    uint32_t
        sessions; /* in flight, over all workers. One that a reload left behind counts at least 1 as long as callers are connected to it: they may send one more request, which goes where it went */
    uint32_t idle;             /* of sessions: what counts for callers' connections alone */
    uint32_t queued;           /* waiting requests */
    uint64_t requests, errors; /* answers since proxy_open(), over reloads; and of them 5xx */
};
/* Asks for all servers and backends; fn is called for each, then on_done. An error: HAProxy does not run, or does not answer. */
void proxy_look(struct proxy *p, void (*fn)(const struct proxy_look *l, void *arg),
                void (*on_done)(const struct err *err, void *arg), void *arg);
/* Ends HAProxy (soft: after what is in flight, at most grace_ms), removes its files. Blocking for that long. What was under way is not heard of any more. proxy_close() is still to be called. */
void proxy_stop(struct proxy *p, int64_t grace_ms);
void proxy_close(struct proxy *p); /* HAProxy goes on */
/* For `wf doctor`: path and version, owned by the caller; NULL: not installed. */
char *proxy_find(char **ret_version);

#endif
