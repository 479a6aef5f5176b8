/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow in a temporary folder with a store, a loop and the process executor: enough to ask for and to run single steps, in the order a test wants. */
#ifndef WF_TESTS_STEPS_ROOM_H
#define WF_TESTS_STEPS_ROOM_H

#include "base/err.h"
#include "steps/attempt.h"
#include "steps/question.h"
#include "steps/world.h"

#include <stdbool.h>
#include <stdint.h>

struct room {
    char dir[64];
    char *flow; /* the workflow's folder */
    struct arena *arena;
    struct loop *loop;
    bool borrowed_loop;
    struct store *store;
    struct statcache *statcache;
    struct workflow *wf;
    struct value *params;
    struct world world;
    struct asker *asker;
    struct slots *slots;
    struct branch_view **views; /* [step][row] */
    struct executor *process;
    const char *secrets[8];
    uint64_t epoch;
    bool refuse_success; /* what success() answers is false */
    /* Of the last question and attempt. */
    struct question q;
    struct arena *qa;
    struct err err;
    enum attempt_outcome outcome;
    int exit_code, signal;
    bool stored, ended;
    char error[1200], why_not[400], log[400];
    const struct result *result; /* copied; lives as long as the room */
    struct attempt *running;
};

void room_open(struct room *r, const char *yaml);
/* On a loop with a container executor of the caller's. */
void room_open_with(struct room *r, const char *yaml, struct loop *l, struct executor *container);
void room_close(struct room *r);
void room_write(struct room *r, const char *rel, const char *text);
char *room_path(struct room *r,
                const char *rel); /* below the workflow's folder; lives with the room */
bool room_reads(struct room *r, const char *path,
                const char *text); /* the file holds exactly that */

struct instance_ref room_instance(struct room *r, const char *name);
/* Asks until there is an answer. 0: r->q; negative: r->err. */
int room_ask(struct room *r, const char *name);
/* Asks and runs; the branch has succeeded or failed for later steps. */
enum attempt_outcome room_run(struct room *r, const char *name);
/* Begins without waiting; room_wait() ends it. */
void room_begin(struct room *r, const char *name);
enum attempt_outcome room_wait(struct room *r);
/* The text of an output's object. */
const char *room_output(struct room *r, const struct result *result, const char *name);
void room_key(struct room *r, const char *name, char hex[65]);

#endif
