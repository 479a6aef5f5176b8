/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: one request's way. gateway_http.c takes it in, a job (gateway_job.c) asks the members (gateway_ask.c) and combines what they say. Loop thread only, but for what is marked pure. */
#ifndef WF_SERVE_GATEWAY_IMPL_H
#define WF_SERVE_GATEWAY_IMPL_H

#include "serve/gateway_combine.h"
#include "serve/gateway_config.h"
#include "serve/gateway_form.h"
#include "serve/gateway_upstream.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct commands;
struct loop;
struct timer;

/* A configuration in use; requests hold the one they began with. */
struct member {
    const struct gateway_member *is;
    struct server **replicas;
    uint32_t next;        /* replica, of equally loaded ones */
    const char *heads[2]; /* of a request, by v1: up to Content-Length */
    const char *paths[2];
    const char *about; /* the same, of GET /v2/models/SLUG */
};
struct ensemble {
    unsigned refs;
    struct ensemble *older, *newer; /* of those in use */
    struct arena *arena;
    struct gateway_config config;
    struct member *members;
};
/* `before`: the one that new requests have used so far; NULL. */
int ensemble_open(const char *path, struct upstream *u, struct ensemble *before,
                  struct ensemble **ret, struct err *err);
struct ensemble *ensemble_ref(struct ensemble *s);
void ensemble_unref(struct ensemble *s); /* NULL is fine */
/* The least loaded replica, of those that did answer lately before others; `except`: only where there is no other. NULL: it has none. */
struct server *member_pick(struct member *m, const struct server *except);
/* It has a replica of which nothing bad is known. */
bool member_up(const struct member *m);
bool ensemble_ready(const struct ensemble *s);
/* The generation of the oldest one that a request under way uses. */
int64_t ensemble_oldest(const struct ensemble *s);
/* All its replicas let a request wait for too long and have answered none since. It is asked, one request at a time, and not waited for where the others suffice. */
bool member_hangs(const struct member *m);
bool member_busy(const struct member *m);

/* What jobs share. */
struct jobs {
    struct loop *loop;
    struct commands *commands;
    struct job *first, *last; /* by deadline */
    struct timer *timer;
    uint32_t count;
};
void jobs_init(struct jobs *j, struct loop *l);
/* Ends what goes on behind answers that have been given: calls of members that are not waited for. */
void jobs_drop(struct jobs *j);
void jobs_done(struct jobs *j); /* none is left */

struct reply {
    int status;
    struct str *body;    /* may be taken */
    const char *members; /* "mlp,softmax"; NULL: none */
    bool retry_after;
};
typedef void (*reply_fn)(const struct reply *r, void *arg);
/* Takes `text`. on_reply is called once, maybe before this returns. */
void job_start(struct jobs *jobs, struct ensemble *s, bool v1, struct str *text, reply_fn on_reply,
               void *arg);

/* GET /v2/models/NAME: what the first member that says so says of its inputs and outputs. */
void about_start(struct jobs *jobs, struct ensemble *s, reply_fn on_reply, void *arg);

/* One member's part of a job. */
enum ask_state { ASK_RUNNING, ASK_READING, ASK_ANSWERED, ASK_FAILED };
enum ask_failure { FAIL_NONE, FAIL_UNREACHABLE, FAIL_STATUS, FAIL_WRONG, FAIL_TIMEOUT };
struct part;
struct ask {
    struct job *job;
    struct member *member;
    enum ask_state state;
    bool doubtful; /* not waited for */
    enum ask_failure failure;
    int status; /* FAIL_STATUS */
    char *why;  /* of a failure: a clause that begins with the member's name */
    uint32_t next, in_flight, answered;
    struct part *parts; /* under way */
    struct str *bodies; /* of the answers, in order */
    struct form *forms;
    struct str store;
    struct form joined;
    const struct form *answer;
};
struct job {
    struct jobs *jobs;
    struct job *prev, *next;
    struct ensemble *ensemble;
    bool v1, replied, finishing;
    struct str text;
    struct form form;
    struct form_parts cut; /* count 0: not cut */
    uint64_t deadline;
    struct ask *asks;
    uint32_t pending; /* asks */
    uint32_t busy;    /* work on the pool, a command */
    reply_fn on_reply;
    void *arg;
    /* results of work */
    int status;
    struct str out;
    struct str names; /* members used */
    struct combine_input input;
};
void ask_start(struct ask *a);
/* Ends what is under way; `timeout`: because the time is over. Nothing happens to one that has ended. */
void ask_stop(struct ask *a, bool timeout);
void ask_done(struct ask *a);
/* An ask has ended. */
void job_ask_ended(struct job *j);
/* Work of this size is done on the pool, so that other requests need not wait: some milliseconds. */
enum { READ_ON_POOL = 256 << 10, COMBINE_ON_POOL = 64 << 10 };

/* The answer where too few members answered. */
void reply_too_few(const struct job *j, struct str *out, int *ret_status);
/* What an ask's failure is called, from a model server's own answer. */
char *reply_status_text(const struct ask *a, int status, const struct str *body);

/* Own commands (METHOD_COMMAND): each a process, a few at once, others wait. */
struct commands *commands_new(struct loop *l);
void commands_free(struct commands *c); /* none is left */
/* `printed`: what it wrote, NULL: it failed, see `why`. */
typedef void (*command_fn)(struct str *printed, bool timeout, const char *why, void *arg);
/* Takes `input`. on_done is called once, from the loop. */
void command_start(struct commands *c, const struct gateway_config *config, struct str *input,
                   command_fn on_done, void *arg);

#endif
