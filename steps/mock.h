/* SPDX-License-Identifier: Apache-2.0 */
/* A mock executor with a virtual clock, for tests of the scheduler: each job's behaviour is scripted by its instance's name; it shows loss, duplicates, late success and unknown submits. */
#ifndef WF_STEPS_MOCK_H
#define WF_STEPS_MOCK_H

#include "steps/executor.h"

struct mock_script {
    const char *step;   /* instance name, or "*" */
    uint32_t attempt;   /* 0: any */
    int64_t takes_ms;   /* virtual; negative: runs until it is stopped */
    struct job_end end; /* times are filled in; started_at_ms and ended_at_ms are virtual */
    bool
        writes_outputs; /* each of job->outputs gets "STEP ATTEMPT\n", below $WF_OUT or its mount */
    const char *metrics; /* what an output whose path ends in metrics.json gets instead; NULL */
    const char *text;    /* what the others get instead; NULL */
    bool ignores_term;
    bool submit_fails,
        submit_unknown; /* unknown: submit reports ERR_TIMEOUT, yet the job runs: `find` sees it */
    bool ends_twice;    /* a duplicate end is delivered, unless the first one released the handle */
};
/* Of the scripts that fit a job the most exact counts: step and attempt, step, "*" and attempt, "*". A job without a script succeeds
 * after 1 ms. The virtual clock begins at 0 and jumps to the next end when the loop has nothing else to do (pool work is waited for);
 * ends of the same time come in the order of their submits. Scripts are copied; the texts in them are borrowed until close. */
int mock_executor_open(struct loop *l, const struct mock_script *scripts, size_t count,
                       struct executor **ret, struct err *err);
int64_t mock_now(struct executor *x);
/* The virtual clock also stands still while busy() is true. */
void mock_wait_for(struct executor *x, bool (*busy)(void *arg), void *arg);
uint32_t mock_started(struct executor *x, const char *step); /* how often */
uint32_t mock_peak(struct executor *x);                      /* most at once */

#endif
