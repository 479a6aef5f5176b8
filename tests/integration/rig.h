/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow's folder, a store, a loop and the mock executor, for tests of the engine. What happens is written into a log, one line per event: "started a 1", "hit a", "failed a failed", "skipped b a was skipped", "promotion select 2 early b 0.9 a 0.8". */
#ifndef WF_TESTS_RIG_H
#define WF_TESTS_RIG_H

#include "base/str.h"
#include "engine/run.h"
#include "steps/mock.h"

#include <stdbool.h>
#include <stdint.h>

struct rig {
    char dir[64]; /* of the workflow; the store is dir/store */
    struct loop *loop;
    struct store *store;
    struct executor *mock;
    struct str log;
    char status[16];
    uint32_t counts[INSTANCE_STATE_COUNT];
    struct str states; /* "name=state\n" */
    char first_failure[128];
    int64_t saved_ms;
    struct err *err; /* of the last rig_run() that returned negative */
    /* Called for each event with the run; may interrupt it. */
    void (*hook)(struct rig *r, struct run *run, const struct event *e, const char *name);
    struct run *run;
    bool done;
    bool writes_first; /* the virtual clock waits for what is being written to the store */
};

/* `scripts` is borrowed until rig_close(). */
void rig_open(struct rig *r, const struct mock_script *scripts, size_t count);
void rig_close(struct rig *r);
/* Writes a file below the workflow's folder. */
void rig_file(struct rig *r, const char *name, const char *text);
/* Runs `yaml` to its end: 0; negative: it could not be opened (r->err). Fields of `o` that a rig knows are filled in. */
int rig_run(struct rig *r, const char *yaml, const struct run_options *o);
/* "succeeded", "skipped", …, or "?" */
const char *rig_state(struct rig *r, const char *instance);
uint32_t rig_count(struct rig *r, const char *line_start); /* lines of the log that begin so */
bool rig_before(struct rig *r, const char *first, const char *then);
/* A fresh mock with other scripts for the next run. */
void rig_scripts(struct rig *r, const struct mock_script *scripts, size_t count);

#endif
