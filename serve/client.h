/* SPDX-License-Identifier: Apache-2.0 */
/* A run's (or a command's) line to the store's supervisor: starts it where none is alive, tells it to look at what is wanted, hears how services stand. Events, no polling; loop thread only.
 * The line is also the run's sign of life: when it breaks and live/RUN is free, services of that run that are not kept are ended after LINGER_MS, unless a new run has taken them over. */
#ifndef WF_SERVE_CLIENT_H
#define WF_SERVE_CLIENT_H

#include "serve/desired.h"

#include <jansson.h>
#include <stddef.h>

struct err;
struct loop;
struct serve_client;
struct store;

enum { LINGER_MS = 30000 };

/* A replica's restart, HAProxy's death, a promotion that failed: things a user should hear of, as one sentence. */
enum serve_news { NEWS_STATE, NEWS_NOTE };
struct serve_event {
    enum serve_news news;
    int64_t service;        /* id; 0: all */
    struct service_row row; /* NEWS_STATE; wanted is NULL */
    const char *text;       /* NEWS_NOTE */
};
struct serve_secret { /* a variable's value for spec_secret.env */
    const char *name, *value;
};

struct serve_client_options {
    struct loop *loop;
    struct store *store;
    const char *run; /* NULL: a command that only looks or changes */
    const struct serve_secret *secrets;
    size_t n_secrets;
    void (*on_event)(const struct serve_event *e, void *arg); /* borrowed for the call */
    void *arg;
};
/* Connects, or starts a supervisor first (in its own session, `wf supervise`, log in store/serve/supervisor.log). A line that breaks is made again, with a new supervisor where needed; on_event then hears every state anew.
 * ERR_NOT_FOUND: HAProxy is not installed, and how to get it. Connecting itself goes on in the background. */
int serve_client_open(const struct serve_client_options *o, struct serve_client **ret,
                      struct err *err);
/* What is wanted has been committed: look at it. NULL (none could be opened) is fine. */
void serve_client_look(struct serve_client *c);
void serve_client_close(struct serve_client *c);
/* Is a supervisor alive? Without starting one. */
bool serve_alive(struct store *s);

/* What only the supervisor knows, as an array with an object per service: {"id":7,"replicas_up":2,"replicas_wanted":2,"requests":120,"errors":0,"models":[{"name":…,"slug":…,"up":1,"wanted":1,"log":…}]}. NULL when none is alive
 * or it does not answer within limit_ms. Owned by the caller. Blocking. */
json_t *serve_ask(struct store *s, int64_t limit_ms);

struct supervise_options {
    struct store *store;
    struct loop *loop;
    /* A canary was given up: `tried` was wanted, `live` goes on serving (both borrowed for the call). done(arg) from the loop when the registry has been changed, and what is wanted with it. False: nothing is to be changed, and done is not called. */
    bool (*on_canary)(struct store *s, const struct service_spec *tried,
                      const struct service_spec *live, void (*done)(void *arg), void *arg);
};
/* The supervisor itself: `wf supervise`, until nothing is desired. Blocking; returns an exit code. Takes live/serve.lock; 0 at once when another holds it. */
int supervise(const struct supervise_options *o);

#endif
