/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway of an online aggregate: a process of its own (`wf gateway CONFIG`) on a unix socket behind HAProxy. It sends each request to every member, straight to their replicas, and combines the answers. Speaks the Open Inference
 * Protocol v2 (REST) and v1 `:predict`. Members change by a new file and SIGHUP; requests under way end with the members they began with.
 *
 * CONFIG is JSON, written by gateway_write(): {"generation":7,"socket":"/run/…/g","name":"ensemble","method":"mean","quorum":1,"split":0,"max_body":67108864,"timeout_ms":30000,
 *   "command":[…],"env":[…],"members":[{"slug":"mlp","name":"train[model=mlp]","metric":0.88,"replicas":[{"socket":"/run/…/r1"},{"port":18001}]}]}
 * GET /wf/generation on its socket answers two numbers, "7 6": the generation that new requests use - that is how a switch is known to be done - and the oldest one that a request under way still uses: replicas that only older
 * generations name have nothing to do any more. A half-sent request has not begun. */
#ifndef WF_SERVE_GATEWAY_H
#define WF_SERVE_GATEWAY_H

#include "workflows/model.h"

#include <stdint.h>

struct err;

struct gateway_replica {
    const char *socket; /* NULL: 127.0.0.1:port */
    uint16_t port;
};
struct gateway_member {
    const char *slug, *name;
    double metric;
    uint32_t n_replicas;
    const struct gateway_replica *replicas;
};
struct gateway_config {
    int64_t generation;
    const char *socket;
    const char *name; /* of the model, as callers know it: the step's */
    enum method method;
    uint32_t quorum, split;
    uint64_t max_body;                       /* 0: 64 MiB */
    int64_t timeout_ms;                      /* of a member's answer; 0: 30 s */
    const char *const *command, *const *env; /* METHOD_COMMAND; NULL-terminated */
    uint32_t n_members;                      /* best first; 0: answers 503 */
    const struct gateway_member *members;
};
/* Replaces the file atomically. */
int gateway_write(const char *path, const struct gateway_config *c, struct err *err);
/* Until TERM (requests under way are answered first). Blocking; returns an exit code. */
int gateway_run(const char *path);

#endif
