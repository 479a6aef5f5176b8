/* SPDX-License-Identifier: Apache-2.0 */
/* The table `services`: what is wanted (written by runs, rollback and `wf services stop`) and how it stands (written by the supervisor alone). One row per service step and workflow; the row and its
 * port stay when it is down, so that its address is stable. */
#ifndef WF_SERVE_DESIRED_H
#define WF_SERVE_DESIRED_H

#include "serve/spec.h"

#include <stdint.h>

struct arena;
struct db;
struct err;
struct store;

enum service_state {
    SERVICE_DOWN,      /* not wanted, nothing runs */
    SERVICE_STARTING,  /* wanted, nothing serves yet */
    SERVICE_LIVE,      /* the wanted generation serves */
    SERVICE_SWITCHING, /* an earlier generation serves while the wanted one starts or takes over */
    SERVICE_FAILED, /* the wanted generation did not get ready; `live_generation` > 0: the one that goes on serving */
    SERVICE_STATE_COUNT
};
extern const char *const service_state_names[SERVICE_STATE_COUNT]; /* "down", "starting", … */

struct service_row {
    int64_t id;
    const char *workflow, *step;
    int64_t generation; /* counts what was wanted; 0: never anything */
    const char *wanted; /* service_spec as JSON; NULL: down */
    const char *run;    /* that wants it; its death ends a service that is not kept */
    bool keep;
    uint16_t port; /* as chosen or asked for; 0: none yet */
    /* The supervisor's: */
    enum service_state state;
    int64_t state_generation; /* that `state` speaks of */
    int64_t live_generation;
    uint32_t live_promotion;
    const char *endpoint; /* "http://127.0.0.1:8080"; NULL: none yet */
    const char *error;    /* one sentence; NULL */
    int64_t changed_at_ms;
};

/* --- in a write transaction (writer thread) --- */
/* Wants this from now on; the generation rises unless content and run are as they were (then *ret_generation is the present one). A service whose run `s->run` started earlier than the present owner's is refused
 * with ERR_BUSY: a run that started earlier never replaces the choice of one that started later (run ids sort by time). */
int desired_want(struct db *db, const struct service_spec *s, int64_t *ret_id,
                 int64_t *ret_generation, struct err *err);
/* How service `id` was wanted with a promotion that `select` had made, as JSON; 1: that is not known (any more). The caller's connection. */
int desired_spec(struct store *s, int64_t id, const char *select, uint32_t promotion,
                 struct arena *a, const char **ret, struct err *err);
/* Not wanted any more. `run` not NULL: only if that run owns it. */
int desired_down(struct db *db, int64_t id, const char *run, struct err *err);
/* The supervisor's columns. */
int desired_status(struct db *db, const struct service_row *row, struct err *err);

/* --- reading (the caller's connection) --- */
int desired_find(struct store *s, const char *workflow, const char *step, struct arena *a,
                 struct service_row *ret, struct err *err); /* 1: there is none */
int desired_each(struct store *s, struct arena *a,
                 int (*fn)(const struct service_row *row, void *arg), void *arg, struct err *err);

#endif
