/* SPDX-License-Identifier: Apache-2.0 */
/* What a step sees of the run around it: given by the engine, read here. steps/ never looks up at the engine. */
#ifndef WF_STEPS_WORLD_H
#define WF_STEPS_WORLD_H

#include "cache/result.h"
#include "steps/executor.h"
#include "workflows/model.h"

#include <stdbool.h>
#include <stdint.h>

struct executor;
struct loop;
struct statcache;
struct store;

enum branch_status {
    BRANCH_PENDING,
    BRANCH_SUCCEEDED,
    BRANCH_CACHED,
    BRANCH_FAILED,
    BRANCH_SKIPPED,
    BRANCH_CANCELLED,
    BRANCH_LOST
};
extern const char
    *const branch_status_names[]; /* "succeeded" for BRANCH_CACHED too (semantics 13) */
struct branch_view {
    const struct matrix_row *row;
    enum branch_status status;
    bool tolerated;              /* failed, and allowed to */
    const struct result *result; /* NULL unless succeeded or cached */
    int64_t entry;               /* cache entry behind it, 0: none */
};

/* One per run. Everything borrowed; outlives all attempts. */
struct world {
    struct loop *loop;
    struct store *store;
    struct statcache *statcache;
    const struct workflow *wf;
    const struct value *params;
    const char *run;     /* id */
    const char *trigger; /* "manual", … */
    int64_t scheduled_at_ms;
    bool look_only;       /* a dry run: nothing may be written, not even into the store */
    bool one_try;         /* with look_only: who asks waits for the answer and not for a server */
    const char *work_dir; /* store/work/RUN, absolute */
    struct executor *executors[EXECUTOR_COUNT]; /* NULL: not there */
    const char *path_env;                       /* PATH handed to host steps */
    /* While the question of a service is asked: what model.NAME and replica.NAME are; else NULL. */
    const struct value *model, *replica;
    const char *const *secrets; /* by workflow secret index: the value, NULL: missing */
    /* The branches of a step, in matrix order. */
    void (*branch)(void *arg, uint32_t step, uint32_t row, struct branch_view *ret);
    /* May `by` see this branch? NULL: all. (needs: any and N see those that had ended when they were met.) */
    bool (*sees)(void *arg, uint32_t by, uint32_t step, uint32_t row);
    /* success()/failure()/cancelled() as seen by `step` (semantics 13); in `finally`, of the run. */
    bool (*status)(void *arg, uint32_t step, enum expr_function which);
    const char *(*run_status)(
        void *arg); /* "succeeded", "failed", "cancelled" so far: run.status in finally */
    /* Counts every end of an attempt and every publish of this run: what was looked up earlier than the last of these is looked up again (question.h). */
    uint64_t (*epoch)(void *arg);
    /* Where a service answers ("http://127.0.0.1:8080"); NULL: it is not up. May be NULL: there are no services. */
    const char *(*endpoint)(void *arg, uint32_t step);
    void *arg;
};

/* One instance: a branch of a step. */
struct instance_ref {
    uint32_t step, row, index; /* index: in the plan */
    const char *name;          /* train[model=mlp] */
    struct digest work;        /* of its work document; zero: not computed */
    const char *work_json;
    size_t work_len;
};

#endif
