/* SPDX-License-Identifier: Apache-2.0 */
/* One run of a plan: asks the cache, starts attempts, journals what happens, ends. */
#ifndef WF_ENGINE_RUN_H
#define WF_ENGINE_RUN_H

#include "engine/plan.h"
#include "engine/state.h"
#include "steps/attempt.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct container_options;
struct entry;
struct err;
struct loop;
struct remote_progress;
struct run;
struct store;

enum run_cache_mode { RUN_CACHE_USE, RUN_CACHE_OFF /* --no-cache: neither asks nor stores */ };
struct run_options {
    const struct plan *plan;
    const char *text;
    size_t text_len; /* the file's bytes, recorded with the run */
    struct store *store;
    struct loop *loop;
    uint32_t max_parallel; /* 0: the workflow's, else the processors */
    enum run_cache_mode cache;
    bool refresh_all;
    const char *const *refresh;
    size_t n_refresh;                /* words: step or instance names */
    const char *only, *from, *until; /* partial runs (semantics 35); at most one is set */
    const char *trigger;             /* "manual" */
    const struct container_options *containers;
    struct executor *mock; /* tests: every executor kind runs on it */
    /* The shared cache (cache/remote.h); NULL or "": none. Borrowed for run_open(). */
    const char *remote, *remote_token;
    bool remote_readonly;
    bool keep_serving; /* services stay up after the run: see run_serve() */
    /* The run has ended, and so many results are still being sent to the shared cache; run_interrupt() leaves them. May be NULL. */
    void (*on_upload)(struct run *r, uint32_t waiting, void *arg);
    /* Subscribers are told after apply(); the event is borrowed. Hits come one by one unless want_hits is false (then only counts move). */
    void (*on_event)(struct run *r, const struct event *e, void *arg);
    bool want_hits;
    void (*on_done)(struct run *r,
                    void *arg); /* everything is journalled; the loop may be stopped */
    void *arg;
};
/* Checks what can be checked before anything runs (inputs exist, secrets present, programs of the machine), takes ownership by lock, records the run. Negative: err, nothing was recorded. */
int run_open(const struct run_options *o, struct run **ret, struct err *err);
void run_start(struct run *r);
/* First call: what runs may finish, nothing new starts. Second (or hard): what runs is ended (TERM, grace, KILL). */
void run_interrupt(struct run *r, const char *because, bool hard);
void run_close(struct run *r);

const char *run_id(const struct run *r);
const struct plan *run_plan(const struct run *r);
const struct run_state *run_state_of(const struct run *r);
/* What came from the shared cache and went there (cache/remote.h). */
void run_shared(const struct run *r, struct remote_progress *ret);
int64_t run_saved_ms(const struct run *r); /* sum of the durations that hits spared */
bool run_succeeded(const struct run *r);
/* Why the store could not be written any more (the run was stopped by it: exit 4); NULL: it could. */
const char *run_store_problem(const struct run *r);
/* After on_done: keeps the services of a run with keep_serving up, until run_interrupt() ends them or another wf takes them over. on_over is called once. False: there is nothing to keep. */
bool run_serve(struct run *r, void (*on_over)(struct run *r, const char *why, void *arg),
               void *arg);
/* The run's services: step's instance, address (NULL: not up, or it ends with the run) and the promotion that serves (0: none). */
void run_each_service(const struct run *r,
                      void (*fn)(uint32_t instance, const char *endpoint, uint32_t promotion,
                                 void *arg),
                      void *arg);
/* A step failed because this machine has no container engine that works. */
bool run_engine_problem(const struct run *r);
uint32_t run_first_failure(const struct run *r); /* instance, UINT32_MAX: none */
/* The running attempts, for the display: calls fn with instance, since when (us), the log's fd or -1, and how long it took last time (ms, 0: unknown). */
void run_each_running(struct run *r,
                      void (*fn)(uint32_t instance, int64_t since_us, int log_fd,
                                 int64_t expected_ms, void *arg),
                      void *arg);
/* The entry that an instance reused, as long as the run is open; NULL: it reused none. */
const struct entry *run_entry(const struct run *r, uint32_t instance);
/* The instances that wait for another run, for the display: what for, in words. */
void run_each_waiting(struct run *r, void (*fn)(uint32_t instance, const char *because, void *arg),
                      void *arg);
/* The result of an instance that succeeded or was reused, decoded; NULL otherwise. */
const struct result *run_result(struct run *r, uint32_t instance);

#endif
