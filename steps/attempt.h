/* SPDX-License-Identifier: Apache-2.0 */
/* One try of one instance: surroundings made (folder, script, inputs, environment), handed to an executor, bounded by its timeout, outputs and values taken. Built-in kinds (select, aggregate without a
 * script, ingest without one) run here too, without an executor. */
#ifndef WF_STEPS_ATTEMPT_H
#define WF_STEPS_ATTEMPT_H

#include "cache/result.h"
#include "steps/question.h"
#include "steps/world.h"

#include <stdbool.h>
#include <stdint.h>

struct attempt;
struct err;
struct slots;

enum attempt_outcome {
    ATTEMPT_SUCCEEDED,
    ATTEMPT_FAILED,
    ATTEMPT_TIMED_OUT,
    ATTEMPT_CANCELLED,
    ATTEMPT_LOST,
    ATTEMPT_OOM,
    ATTEMPT_REFUSED /* an evaluation error, an unknown image: not retried */
};
struct attempt_end {
    enum attempt_outcome outcome;
    int exit_code, signal; /* -1 / 0 where there is none */
    const char *error;     /* one sentence; NULL when it succeeded. Borrowed for the call */
    const struct result
        *result; /* of a success: outputs are in the store; borrowed until attempt_free() */
    bool
        store; /* the result may be memoized; else `why_not` says why ("input train.csv changed while the step ran") */
    const char *why_not;
    int64_t started_at_ms, duration_ms;
    int64_t
        storing_us; /* of it, after the program's end: outputs hashed and put into the store, inputs looked at again */
    uint64_t cpu_us, max_rss_kib;
    const char *
        log; /* path of the log file below the store, NULL: empty, or an object (result->has_log) */
    int stragglers;
};
typedef void (*attempt_fn)(struct attempt *a, const struct attempt_end *end, void *arg);

/* Slots keep what attempts reuse: an attempt folder renamed for the next one, an open log file, a script file. One per run. */
struct slots *slots_new(const struct world *w);
void slots_free(struct slots *s);
/* Where the next attempt of a step with a program writes its log while it runs: a path below the store, borrowed until that
 * attempt began; NULL: cannot be told. */
const char *slots_next_log(struct slots *s);

/* Starts attempt number `number` (1…) of an instance whose question was answered with a miss. `q` is borrowed until on_end returned. on_end is called once, from the loop, never before this returns. Negative: it could not even be begun
 * (err says why: disk full, …). `keep`: results are to be memoized (outputs go into the store as objects either way). */
int attempt_start(const struct world *w, struct slots *s, struct asker *k,
                  const struct instance_ref *i, uint32_t number, const struct question *q,
                  bool keep, attempt_fn on_end, void *arg, struct attempt **ret, struct err *err);
/* Ends it: TERM, KILL after the step's grace (0 with `hard`). on_end comes with ATTEMPT_CANCELLED. */
void attempt_cancel(struct attempt *a, bool hard);
void attempt_free(struct attempt *a);        /* after on_end; or before: kills and never calls it */
int attempt_log_fd(const struct attempt *a); /* for the display's last line; -1: none. Borrowed */

/* Evaluates `if` of an instance. 0: *ret; negative: err. Without a status function, success() && is put before it. */
int step_condition(const struct world *w, const struct instance_ref *i, bool *ret, struct err *err);
/* Publishes an instance's outputs (semantics 22): temporary name + rename; equal content is not touched. Blocking (pool). `before`: what the instance made when it last ran (NULL: unknown); with it, targets
 * that were replaced although they held something that no run made are named in *ret_changed ("a.txt, b.txt"). */
int step_publish(const struct world *w, const struct instance_ref *i, const struct result *r,
                 const struct result *before, struct str *ret_changed, struct err *err);

#endif
