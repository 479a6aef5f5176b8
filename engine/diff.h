/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two runs: the workflow's text, params, commit, and step by step what went into it and what came of it. Steps whose result is the same cache entry are never read, so that two runs of
 * 100,000 steps cost what differs between them. Blocking; changes nothing. */
#ifndef WF_ENGINE_DIFF_H
#define WF_ENGINE_DIFF_H

#include "cache/explain.h"
#include "engine/history.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct run_diff;
struct store;

struct step_diff {
    const struct past_step *old, *now;     /* NULL: not in that run */
    const char *old_verdict, *new_verdict; /* "hit", "miss", …; NULL: it never began */
    bool same; /* of what it did and what came of it nothing differs; then nothing else is filled */
    struct difference *inputs; /* of the two stored actions */
    size_t n_inputs;
    const char *inputs_note; /* why they are not known where the keys differ, or are gone; NULL */
    struct difference *results; /* "status", "error", "output", "value", "metric" */
    size_t n_results;
};
/* Ids as history_resolve() gives them. */
int run_diff_open(struct store *s, const char *old_id, const char *new_id, struct run_diff **ret,
                  struct err *err);
void run_diff_close(struct run_diff *d);
const struct past_run *
run_diff_old(const struct run_diff *d); /* bare, until its steps are given to fn */
const struct past_run *run_diff_new(const struct run_diff *d);
/* "workflow" (by line, or as a whole where a text is not kept), "name", "file", "param", "git", "wf", "status". */
const struct difference *run_diff_head(const struct run_diff *d, size_t *ret_count);
/* Every step, in the order of the new run, then those only in the old one. `s` lives for the call. fn: negative stops. */
int run_diff_each(struct run_diff *d, int (*fn)(const struct step_diff *s, void *arg), void *arg,
                  struct err *err);

#endif
