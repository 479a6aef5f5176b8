/* SPDX-License-Identifier: Apache-2.0 */
/* Past runs (and live ones of other processes), read from the journal. */
#ifndef WF_ENGINE_HISTORY_H
#define WF_ENGINE_HISTORY_H

#include "base/digest.h"
#include "cache/result.h"
#include "engine/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct entry;
struct err;
struct jsonw;
struct new_file;
struct promotion;
struct store;

struct run_row {
    const char *id, *workflow, *file,
        *status /* "running" only while its owner lives, else "interrupted" */, *trigger, *params,
        *git, *wf_version;
    int64_t started_ms, ended_ms, saved_ms;
    uint32_t counts[INSTANCE_STATE_COUNT];
};
/* Newest first; workflow NULL: all. fn: false stops. Strings are borrowed for the call. */
int history_list(struct store *s, const char *workflow, uint32_t limit,
                 bool (*fn)(const struct run_row *r, void *arg), void *arg, struct err *err);
/* "latest", "previous" (the run before it of the same workflow), an id or a unique prefix, each with ~N behind it (the Nth run before of its workflow) -> id. ERR_NOT_FOUND, ERR_USAGE (ambiguous). */
int history_resolve(struct store *s, const char *word, char ret_id[32], struct err *err);
/* What the run's row says of git, as JSON; NULL: nothing. Lives in `a`. */
const char *history_git_of(struct store *s, const char *run, struct arena *a);

struct past_step {
    const char *name, *step, *kind, *executor;
    struct instance_status status;
    const char *started, *ended; /* payloads (JSON) of its last STARTED and its end; NULL */
    const struct result
        *result;       /* of its entry, when that is still there; else from the event; NULL */
    struct digest key; /* of the entry used or made, or of its last attempt; zero: none */
    int64_t duration_ms;
    const char *log_file; /* absolute; NULL: see result->log, or there is none */
};
struct past_run {
    struct run_row row;
    uint32_t n;
    struct past_step *steps;
    const char *const *warnings;
    size_t n_warnings;
    const struct promotion *promotions; /* that it made, by step and number */
    size_t n_promotions;
    uint32_t first_failure;
};
/* The whole run by replay. Everything lives in `a`. */
int history_load(struct store *s, const char *id, struct arena *a, struct past_run *ret,
                 struct err *err);
/* Entries that the caller has in memory, so that they are not read again: the one that an instance used, or NULL. They outlive the call. */
struct history_known {
    const struct entry *(*entry)(uint32_t instance, void *arg);
    void *arg;
};
/* The same in parts, for what is only passed over: without what came of the steps (key, result, duration_ms, log_file), which history_fill() adds for some of them, in an arena
 * that may go when they were seen. */
int history_load_bare(struct store *s, const char *id, struct arena *a, struct past_run *ret,
                      struct err *err);
int history_fill(struct store *s, struct past_run *run, uint32_t from, uint32_t count,
                 const struct history_known *known /* or NULL */, struct arena *a, struct err *err);
/* As `wf show --json` and `--summary` print it (cli.md). Streams: 100,000 steps cost well under a second. */
void history_json(const struct past_run *r, struct jsonw *w);
/* The same text of a run that is not loaded, in little memory; on one line, with its end. */
int history_write(struct store *s, const char *id, const struct history_known *known /* or NULL */,
                  struct new_file *f, struct err *err);
/* The entry an instance used or made in the newest runs of its workflow (explain); 0: none. `wf plan` and misses use it. */
int64_t history_last_entry(struct store *s, const char *workflow, const char *instance,
                           struct err *err);
/* How long an instance took when it last ran, ms; 0: unknown. */
int64_t history_expected(struct store *s, const char *workflow, const char *instance);
/* Runs that never ended and whose owner is dead, newest first. */
int history_unfinished(struct store *s, const char *workflow, char ret_id[32],
                       struct err *err); /* 0 found, 1 none */

#endif
