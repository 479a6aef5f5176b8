/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy with real replicas (tests/servers/replica.c), callers in threads, and the proxy's questions as blocking calls. One rig per test process. */
#ifndef WF_TESTS_INTEGRATION_PROXY_RIG_H
#define WF_TESTS_INTEGRATION_PROXY_RIG_H

#include "base/err.h"
#include "serve/proxy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RIG_REPLICAS = 6, RIG_LOOKS = 64, RIG_THREADS = 16 };

struct rig_look {
    char backend[32];
    uint32_t server;
    bool up;
    uint32_t sessions, queued;
    uint64_t requests, errors;
};
struct rig {
    struct loop *loop;
    struct proxy *proxy;
    char dir[64];     /* "/tmp/wf-proxy-XXXXXX" */
    char run_dir[80]; /* dir/run */
    char store[80];   /* dir/a store: with a blank */
    char socket[RIG_REPLICAS][104];
    struct child *replica[RIG_REPLICAS];
    uint16_t port, port2;
    int restarts, restart_failures;
    char restart_error[200];
    bool done;
    struct err err;
    struct rig_look looks[RIG_LOOKS];
    size_t n_looks;
};
void rig_open(struct rig *r);
void rig_close(struct rig *r);
void rig_open_proxy(struct rig *r);
void rig_start_replica(struct rig *r, int i); /* its name is r<i> */
void rig_kill_replica(struct rig *r, int i);
/* Applies and waits; false: r->err says why not. */
bool rig_apply(struct rig *r, const struct proxy_state *s);
void rig_look_now(struct rig *r);
const struct rig_look *rig_seen(const struct rig *r, const char *backend, uint32_t server);
/* Runs the loop, looking again and again, until `fn` holds; fails the test after 10 s. */
void rig_until(struct rig *r, bool (*fn)(struct rig *r), const char *what);
void rig_run_ms(struct rig *r, int64_t ms); /* the loop */
pid_t rig_master(const struct rig *r);      /* of haproxy.pid */
pid_t rig_worker(const struct rig *r);      /* the present worker's, asked at its socket */
uint16_t rig_free_port(const char *host);

/* One request on a connection of its own. */
struct reply {
    int status;      /* 0: none came */
    char text[4096]; /* all of it */
    char body[1024];
};
struct request {
    const char *host; /* NULL: 127.0.0.1 */
    uint16_t port;
    const char *path, *headers; /* "Name: value\r\n"… or NULL */
    size_t body_len;            /* > 0: a POST */
};
struct reply rig_ask(const struct request *q);
struct reply rig_get(uint16_t port, const char *path);

/* Callers in threads, each with one request after the other. */
struct load;
struct load_result {
    uint64_t requests, failed; /* no answer, or not 200 */
    uint64_t by_name[RIG_REPLICAS];
    char first_failure[200];
};
struct load_options {
    uint16_t port;
    const char *path;
    int threads;
    bool fresh;      /* a connection for each request */
    size_t body_len; /* > 0: POST */
    int think_us;    /* between requests */
};
struct load *load_start(const struct load_options *o);
void load_end(struct load *l, struct load_result *ret);

#endif
