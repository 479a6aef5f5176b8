/* SPDX-License-Identifier: Apache-2.0 */
/* A run from inside, shared by run.c (opening, closing), checks.c (before anything runs), sched.c (readiness, queues, slots), ask.c (questions and answers), flight.c (other runs), attempts.c (start, retry, end), finish.c
 * (stopping, finally, the end), partial.c and emit.c (events). One thread: the loop's. No recursion: whatever follows from an event is put into a queue, and sched_turn() works the queues off. */
#ifndef WF_ENGINE_RUN_IMPL_H
#define WF_ENGINE_RUN_IMPL_H

#include "base/arena.h"
#include "base/id.h"
#include "cache/id_map.h"
#include "engine/decide.h"
#include "engine/journal.h"
#include "engine/keys.h"
#include "engine/run.h"

struct flight;
struct loop_idle;
struct needs;
struct promoter;
struct promotion;
struct remote;
struct service;
struct services;
struct statcache;
struct timer;

/* Where an instance is on its way; its state (state.h) says what became of it. */
enum phase {
    PHASE_IDLE,      /* its step is not released yet */
    PHASE_TO_ASK,    /* in run->to_ask */
    PHASE_ASKING,    /* its inputs are being read; has a task */
    PHASE_READY,     /* in run->ready */
    PHASE_PARKED,    /* in its step's list (max_parallel) or run->starved (resources) */
    PHASE_WAITING,   /* another instance works on the same key */
    PHASE_ELSEWHERE, /* another run does */
    PHASE_RUNNING,   /* holds a slot; has a task */
    PHASE_RETRY,     /* waits for its time; has a task */
    PHASE_SERVICE,   /* a service, from its release to the end of the run */
    PHASE_HELD,      /* on_promotion: each; has ended for one, and waits for the next */
    PHASE_OVER
};

struct queue {           /* by run->next */
    uint32_t head, tail; /* UINT32_MAX: empty */
};

/* What an instance needs while something is under way for it. */
struct task {
    struct run *run;
    uint32_t instance, number; /* of the attempt */
    struct arena *arena;       /* the question's */
    struct question question;
    struct attempt *attempt;
    struct timer *timer;
    int64_t since_us;
    bool holds;               /* a slot and resources */
    bool keep;                /* its result goes into the cache */
    bool cancelled;           /* we asked for its end */
    char *because;            /* owned */
    struct task *prev, *next; /* in run->tasks */
};

struct instance {
    const struct result *result; /* decoded; NULL: not yet, or none */
    const struct entry *entry;   /* of a hit */
    struct task *task;
    uint8_t phase;     /* enum phase */
    bool committed;    /* its success is in the store */
    bool dropped;      /* what it used was damaged, and it was asked again */
    bool warned;       /* of its source: once, however often it is asked */
    bool shared_asked; /* the shared cache was asked for it */
    uint32_t attempts;
    uint32_t promotion; /* on_promotion: each: which it ran for last */
};

struct step_state {
    uint32_t waits, open, running; /* needs to end, branches to end, attempts that run */
    uint32_t n_bad;                /* branches that failed untolerated, were lost or cancelled */
    uint32_t n_failed, n_skipped;
    struct queue parked;
    bool success, failure; /* as success() and failure() answer it */
    uint32_t
        bad; /* the branch that failed untolerated, or that everything bad above comes from; NONE */
    bool fail_fast; /* a branch failed, the others are cancelled */
    bool tolerant;  /* only a select reads it */
    bool candidate; /* a select chooses from it */
    bool ready;     /* a service whose followers were let go */
};

enum run_stage {
    STAGE_MAIN,
    STAGE_FINALLY,
    STAGE_DRAINING, /* services end */
    STAGE_SETTLING,
    STAGE_ENDING,
    STAGE_UPLOADING,
    STAGE_CLEANING,
    STAGE_OVER
};

struct run {
    struct run_options o;
    const struct plan *plan;
    const struct workflow *wf;
    char id[ID_LEN + 1];
    int live_fd;
    char *work_dir, *params_json;
    struct world world;
    struct value *params;
    char **secrets;
    struct executor *opened[EXECUTOR_COUNT];
    struct asker *asker;
    struct slots *slots;
    struct decider decider;
    struct journal *journal;
    struct worktree *worktree; /* NULL until something runs */
    struct run_state state;
    struct arena *results; /* what attempts made */
    struct arena *scratch; /* questions answered at once */
    struct loop_idle *idle;
    struct timer *deadline;

    struct instance *instances;
    uint32_t *next;
    struct step_state *steps;
    struct queue to_ask, ready, starved;
    uint32_t *released; /* steps to look at, in order; each comes once */
    uint32_t released_at, released_end;
    bool *marks; /* per step; scratch, false between uses */
    struct keys keys;
    struct remote *remote;      /* the shared cache; NULL: none */
    struct id_map fetched;      /* bytes, by instance + 1, of what came from it */
    struct timer *upload_timer; /* while the end waits for what is sent */
    uint32_t fetching;          /* questions to it */
    struct flight *flight;
    struct needs *needs; /* NULL: all are `all` */
    struct promoter *promoters;
    uint32_t promoting;        /* promotions being placed or written */
    int models_fd;             /* of models_hold(); -1: not yet, or not any more */
    struct services *services; /* NULL: the workflow has none */
    struct task *tasks;
    uint32_t asked, asking, running, max_parallel, open_main, open_finally;
    struct resources machine, in_use;
    uint64_t epoch;

    /* Partial runs (NULL: all of it). */
    bool *inside;
    int64_t *outside_entry; /* of an instance outside that somebody inside reads */
    bool *stale;

    enum run_stage stage;
    uint32_t publishing;      /* successes whose outputs are to be published, until they are */
    uint32_t publishing_pool; /* of them, on the pool */
    uint32_t interrupts;
    bool stopping;  /* nothing new starts (but finally) */
    bool cancelled; /* by a user */
    bool failed;    /* a failure that nobody tolerates, a publish, a deadline */
    bool no_finally;
    char *because; /* of stopping */
    char *store_problem;
    uint32_t first_failure;
    bool engine_problem; /* a step failed because no container engine can be used */
    int64_t started_us, saved_ms;
    bool compiled_busy, sync_due, closing, checked;
};

static inline const struct step *step_of(const struct run *r, uint32_t instance)
{
    return &r->wf->steps[r->plan->instances[instance].step];
}
static inline struct step_state *step_state_of(struct run *r, uint32_t instance)
{
    return &r->steps[r->plan->instances[instance].step];
}

/* Passes over all steps call it for each: a large plan's image gives back what was looked at, so that its whole is never in memory at once. */
static inline void passed_step(const struct run *r, uint32_t step)
{
    if (step % 8192 == 8191) {
        arena_image_forget(r->plan);
    }
}

/* --- emit.c: events; each applies, journals and tells subscribers --- */
void emit(struct run *r, enum event_type type, uint32_t instance, const char *payload, size_t len);
void emit_because(struct run *r, enum event_type type, uint32_t instance, const char *because);
void emit_warning(struct run *r, uint32_t instance, const char *text);
/* A warning about services that outlive the run: its journal is closed, so subscribers alone are told. */
void emit_late(struct run *r, uint32_t instance, const char *text);
/* note: the evidence in words, NULL: none; keep: it goes into the journal too (of few steps: a hit without takes 12 bytes there). */
void emit_hit(struct run *r, uint32_t instance, const struct entry *e, const char *note, bool keep);
/* Journalled with its cache entry: takes ownership of s->arena; s->payload is told to subscribers. */
void emit_success(struct run *r, struct success *s);

/* --- sched.c --- */
void queue_push(struct run *r, struct queue *q, uint32_t instance);
uint32_t queue_pop(struct run *r, struct queue *q); /* UINT32_MAX: empty */
void sched_release(struct run *r, uint32_t step);   /* its needs have ended */
void sched_ready(struct run *r, uint32_t instance); /* to be started when a slot is free */
void sched_over(struct run *r, uint32_t instance);  /* its state is final: counters go down */
/* A branch whose partners have ended: `bad` (NONE: none) is one that did not succeed. */
void sched_branch(struct run *r, uint32_t instance, uint32_t bad, const char *missing,
                  const char *no_success);
void sched_claim(struct run *r, struct task *t);
void sched_unclaim(struct run *r, struct task *t);
void sched_wake(struct run *r);   /* a turn at the end of this turn of the loop */
void sched_wake_quiet(void *run); /* as a callback */
void sched_turn(void *run);
void sched_world(struct run *r); /* fills the callbacks of r->world */

/* --- needs.c: any, N and each --- */
/* Registers what of the step's needs is not `all`; how many of them no counter of the step waits for. */
uint32_t needs_open(struct run *r, uint32_t step);
void needs_close(struct run *r);
enum need_answer {
    NEED_BY_STEP,   /* as its branches all together ended */
    NEED_BY_BRANCH, /* each */
    NEED_MET,
    NEED_UNMET
};
enum need_answer needs_answer(const struct run *r, uint32_t by, uint32_t on);
/* Is the end of all of `on` nothing to `by`'s counter, because it was counted before, or never is? */
bool needs_counted(const struct run *r, uint32_t by, uint32_t on);
/* May `by` see this row of `on`? Of any and N those that had succeeded when it was met. */
bool needs_sees(const struct run *r, uint32_t by, uint32_t on, uint32_t row);
bool needs_bears(const struct run *r, uint32_t instance);
/* The step is released: true where its branches wait for partners, and are looked at one by one. */
bool needs_release(struct run *r, uint32_t step, const char *missing, const char *no_success);
void needs_over(struct run *r, uint32_t instance);

/* --- ask.c --- */
struct task *task_new(struct run *r, uint32_t instance);
void task_free(struct task *t);
void ask_push(struct run *r, uint32_t instance);
void ask_one(struct run *r, uint32_t instance);   /* popped from to_ask */
void ask_begin(struct run *r, uint32_t instance); /* a slot is free: asks again, then starts */
void ask_release_waiters(struct run *r, uint32_t instance, bool found);

/* --- flight.c: of all runs on the store one works on a key --- */
void flight_open(struct run *r); /* live/RUN is held */
void flight_close(struct run *r);
enum flight_word {
    FLIGHT_FREE,  /* nobody else works on it; a claim is held where there is something to claim */
    FLIGHT_ALONE, /* the same, and what was looked up before holds still */
    FLIGHT_ELSEWHERE /* another run works on it */
};
/* t's question is answered and t holds a slot. Until the attempt's end is committed, or flight_release(). */
enum flight_word flight_claim(struct task *t);
void flight_release(struct run *r, uint32_t instance); /* harmless without a claim */
/* The instance, which holds no slot, is asked again when nobody else works on it any more. */
void flight_wait(struct run *r, uint32_t instance, const struct question *q);

/* --- shared.c: the shared cache --- */
int shared_open(struct run *r, struct err *err);
void shared_close(struct run *r);
/* True: it is asked for a result that is not here, and the instance goes on with the answer. */
bool shared_ask(struct run *r, uint32_t instance, const struct question *q);
bool shared_fetched(const struct run *r, uint32_t instance, uint64_t *ret_bytes);
void shared_stop(struct run *r); /* what is being asked ends soon */
void shared_push(struct run *r, const struct success *s);
bool shared_wait(struct run *r); /* something is still being sent */
void shared_give_up(struct run *r);

/* --- promote.c: what a select chose goes into the registry, and to the services --- */
void promote_open(struct run *r, uint32_t step); /* of a select; harmless twice */
void promote_over(struct run *r,
                  uint32_t instance); /* a candidate, or the select itself, has ended */
void promote_turn(struct run *r);
bool promote_busy(const struct run *r);
int promote_hold(struct run *r,
                 struct err *err); /* from now on no model's file is swept; harmless twice */
void promote_release(struct run *r);
void promote_close(struct run *r);

/* --- services.c: serve steps and online aggregates. They are released when all they need but their models is there, run until the run's end, and count neither as open nor as running. --- */
void services_open(struct run *r, uint32_t step);
void services_close(struct run *r);
/* Does `step` wait for `need` in its own way (its models), not by a counter? */
bool services_is_soft(const struct step *m, uint32_t need);
void services_release(struct run *r, uint32_t instance);
/* What is to be served from now on; `p` is borrowed until the next call for this select. */
void services_promoted(struct run *r, uint32_t select, const struct promotion *p, bool final);
/* There will be no (further) promotion in this run. */
void services_unpromoted(struct run *r, uint32_t select, const char *why);
/* on_promotion: each: true where the instance, which has ended, runs again or may have to. */
bool services_hold(struct run *r, uint32_t instance);
bool services_settled(const struct run *r);             /* each is ready or has ended */
void services_stop(struct run *r, const char *because); /* those that are not ready yet */
void services_over(struct run *r, uint32_t step);       /* its instance's state is final */
void services_let_down(struct run *r);                  /* kept ones, after the run */
/* Ends them, or leaves them up; true when that is done. */
bool services_end(struct run *r);

/* --- attempts.c --- */
/* t->question is answered and t holds a slot. */
void attempt_begin(struct task *t, struct decision *d);
void attempt_stop(struct task *t, const char *because, bool hard);
/* A step that failed before (or without) an attempt. */
void fail_instance(struct run *r, uint32_t instance, const char *kind, const char *error);
void on_committed(const struct success *s, void *run);

/* --- finish.c --- */
void finish_failed(struct run *r, uint32_t instance); /* a failure that nobody tolerates */
void finish_stop(struct run *r, const char *because, bool end_what_runs);
void finish_cancel_branches(struct run *r, uint32_t step, const char *because);
void finish_check(struct run *r);
bool finish_publishes(const struct step *m);
void finish_publish(struct run *r, uint32_t instance); /* on the pool; harmless without `publish` */
void finish_broken(const struct err *err, void *run);

/* --- checks.c, partial.c --- */
int checks_before(struct run *r, struct err *err);
int checks_late(struct run *r, struct err *err); /* before the first attempt */
void checks_name(struct run *r); /* warns where another file has its name (semantics 34) */
bool checks_missing(struct run *r, uint32_t instance); /* an input of it is not there */
int partial_open(struct run *r, struct err *err);
/* An instance outside of a partial run: its entry, or it is skipped. */
void partial_settle(struct run *r, uint32_t instance);

#endif
