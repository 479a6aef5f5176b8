/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the supervisor. It compares what is wanted (the table `services`) with what it has, and goes the difference, step by step; whatever happens, service_run() looks again what is to be done next.
 *   supervisor.c          its life: the lock, rows, runs that are gone, the end
 *   supervisor_control.c  clients
 *   supervisor_service.c  a service's phases (switch.h)
 *   supervisor_publish.c  what is told of it
 *   supervisor_group.c    the replicas of one model: how many, started again
 *   supervisor_view.c     what HAProxy is to know
 *   supervisor_look.c     what HAProxy tells: who is up, who still has requests, canaries, scaling
 *   supervisor_gateway.c  gateways' configurations
 *   supervisor_take.c     what an earlier supervisor left: service files and records
 *   activator.c           requests that come while nothing runs */
#ifndef WF_SERVE_SUPERVISOR_IMPL_H
#define WF_SERVE_SUPERVISOR_IMPL_H

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"
#include "serve/desired.h"
#include "serve/proxy.h"
#include "serve/replica.h"
#include "serve/switch.h"

#include <stdbool.h>
#include <stdint.h>

struct activator;
struct arena;
struct http_call;
struct jsonw;
struct loop;
struct loop_idle;
struct service;
struct store;
struct timer;
struct watch;

/* A wish, decoded; shared by those who go by it. */
struct want {
    unsigned refs;
    struct arena *arena;
    struct service_spec spec; /* of an aggregate: with the gateway as its only model */
    int64_t generation;
    char *json;
};
struct want *want_read(const char *json, int64_t generation, struct err *err);
struct want *want_hold(struct want *w); /* NULL is fine */
void want_drop(struct want *w);

struct slot { /* a replica's place */
    struct group *group;
    uint32_t index;
    struct replica *replica; /* NULL: waits to be started (timer) */
    struct timer *timer;
    unsigned failures; /* since it was up for long */
    bool leaving;
};
struct group { /* the replicas of one model */
    struct service *service;
    struct want *want; /* by which it starts replicas */
    uint32_t model;    /* in it */
    struct digest key; /* equal keys: equal replicas */
    char backend[32];
    uint32_t next_server;
    uint32_t target; /* replicas */
    VEC(struct slot *) slots;
    bool retired;
    unsigned failures; /* starts that failed before it served */
    char *problem;     /* it does not get ready; NULL */
    /* At the last look: */
    uint32_t sessions, queued;
    uint64_t requests, errors;
    int64_t calm_since_us; /* fewer replicas would do */
};

struct view { /* a service as HAProxy is told of it */
    struct arena *arena;
    bool listens;
    struct proxy_service service;
    uint32_t n_backends;
    struct proxy_backend *backends;
};

struct service {
    struct supervisor *sup;
    int64_t id;
    char *workflow, *step, *run;
    char *name; /* "workflow/step" */
    bool keep, going, running, run_again;
    uint16_t port;
    struct want *wanted, *live, *next; /* wanted NULL: it is to go */
    int64_t failed_generation;
    char *error; /* why; NULL */
    enum phase phase;
    int64_t phase_since_us;
    VEC(struct group *) groups;
    uint32_t names; /* of backends given in this generation */

    /* view */
    struct view *accepted; /* NULL: HAProxy knows nothing of it */
    uint64_t view_wanted, view_done;
    struct err refused; /* code ERR_NONE: the last one was taken */
    struct timer *view_again;
    bool told_refused;

    /* published */
    struct service_row row; /* strings are owned */
    bool written;

    /* an aggregate */
    char *config;                         /* path */
    int64_t config_written;               /* number of the configuration; 0: none */
    int64_t config_agreed, config_oldest; /* what new requests use, and the oldest under way */
    struct digest config_content;
    struct http_call *config_call;
    struct timer *config_timer;
    int64_t config_told_us, config_wait_ms;

    struct timer *linger;
    struct activator *activator;
    int64_t canary_since_us;                 /* 0: HAProxy does not lead requests there yet */
    uint64_t canary_requests, canary_errors; /* as they stood then */
};

struct secret_value {
    char *run, *name, *value;
};

struct supervisor {
    struct loop *loop;
    struct store *store;
    const struct supervise_options *options;
    struct replica_ground ground;
    char *run_dir, *dir; /* sockets; the store's serve/ */
    struct proxy *proxy;
    struct control *control;
    VEC(struct service *) services;
    VEC(struct secret_value) secrets;
    struct loop_idle *idle; /* apply, quit */
    struct service *applying;
    bool applying_all;
    struct view *offered;
    uint64_t offered_view;
    struct timer *look_timer;
    bool looking, ended, closing;
    bool expected; /* who started us has not called yet */
    int lock_fd, inotify_fd;
    struct watch *lock_watch; /* is the store still there? */
    struct timer *end_timer;
    size_t writes;  /* under way */
    size_t orphans; /* that are being ended */
};

/* --- supervisor.c --- */
void supervisor_look(struct supervisor *u); /* at the rows */
void supervisor_soon(
    struct supervisor *u); /* applies views, sees whether all is over, from the loop */
/* Into the supervisor's log alone. */
void supervisor_log(const char *fmt, ...) WF_PRINTF(1, 2);
void supervisor_note(struct supervisor *u, int64_t service, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
struct service *supervisor_find(struct supervisor *u, const char *workflow, const char *step);
void supervisor_hello(struct supervisor *u, const char *run); /* a run's line is there */
void supervisor_bye(struct supervisor *u, const char *run);   /* …is gone */
struct service *service_new(struct supervisor *u, const struct service_row *row);
void service_free(struct service *s);
void service_activate(struct service *s); /* its activator: made, led to a replica, removed */
void service_describe(const struct service *s, struct jsonw *w); /* for `ask` */

/* --- supervisor_control.c --- */
struct control;
int control_open(struct supervisor *u, struct control **ret, struct err *err);
void control_close(struct control *c); /* and its socket */
void control_tell(struct control *c, const char *text, size_t len);
bool control_has_run(const struct control *c, const char *run);
bool control_in_use(const struct control *c);
const char *control_path(const struct control *c);
void control_answer(struct control *c); /* to those that ask how it stands, after a look */

/* --- supervisor_service.c --- */
void service_run(struct service *s);
void service_event(struct service *s, enum switch_event event);
void service_fail(struct service *s, const char *text); /* what is being prepared */
void service_publish(struct service *s);
bool service_is_over(const struct service *s);
const char *service_name(const struct service *s); /* for messages */
bool want_has(const struct want *w, const struct group *g);
struct group *service_group(struct service *s, const struct digest *key);
bool service_serves(const struct service *s); /* its live models can be asked */

/* --- supervisor_group.c --- */
struct digest model_key(const struct service_spec *s, const struct spec_model *m);
struct group *group_new(struct service *s, struct want *w, uint32_t model, const char *backend);
void group_use(struct group *g, struct want *w, uint32_t model);
void group_resize(struct group *g,
                  uint32_t target); /* starts what is missing, lets go what is too much */
void group_retire(struct group *g); /* all of it goes */
void group_adopt(struct group *g, const struct replica_record *rec);
void group_free(struct group *g); /* forgets replicas: those that run go on */
bool group_ready(const struct group *g);
uint32_t group_up(const struct group *g);
void slot_stop(struct slot *s); /* it has no requests any more */

/* --- supervisor_view.c --- */
void view_changed(struct service *s);
bool view_is_done(const struct service *s);
void views_apply(struct supervisor *u);     /* the next one, if none is under way */
void views_apply_all(struct supervisor *u); /* at the start: all at once */
void view_free(struct view *v);

/* --- supervisor_look.c --- */
void looks_need(struct supervisor *u); /* there is something to look for */
void looks_now(struct supervisor *u);  /* once */

/* --- supervisor_gateway.c --- */
void gateways_sync(struct service *over);        /* its models or replicas changed */
bool gateways_agree(const struct service *over); /* new requests go where they should */
bool gateways_left(const struct service *over);  /* so do all that are under way */
void gateway_sync(struct service *aggregate);
void gateway_begin(struct service *aggregate,
                   const struct replica *r); /* its process is about to start */
void want_make_gateway(struct want *w, struct store *s, int64_t service);

/* --- supervisor_take.c --- */
void service_save(struct service *s); /* what is live */
void service_unsave(struct service *s);
int supervisor_take(struct supervisor *u, struct err *err);

/* --- activator.c --- */
/* Listens at a new socket; a connection waits until activator_open() names a replica, then bytes go both ways. on_wait: somebody came. Those that wait longer than limit_ms get 503. */
int activator_new(struct loop *l, const char *path, int64_t limit_ms, void (*on_wait)(void *arg),
                  void *arg, struct activator **ret, struct err *err);
const char *activator_path(const struct activator *a);
void activator_open(struct activator *a, const char *socket, uint16_t port);
size_t activator_held(const struct activator *a); /* connections, waiting or not */
void activator_free(struct activator *a);

#endif
