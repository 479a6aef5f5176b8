/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: a workflow's steps expanded into instances, flat arrays with uint32 indices, immutable. Lives with its model in one arena. Edges are kept between steps (a matrix of 1,000 that needs a matrix of
 * 1,000 is one edge, not a million): an instance is ready when every step its step needs has ended in all branches. */
#ifndef WF_ENGINE_PLAN_H
#define WF_ENGINE_PLAN_H

#include "base/digest.h"
#include "steps/world.h"
#include "workflows/load.h"
#include "workflows/model.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct diags;
struct err;
struct store;

struct plan {
    const struct workflow *wf;
    struct digest
        digest; /* of {build, the file's bytes, params}: equal plans have equal instances */
    uint32_t n;
    struct instance_ref
        *instances;  /* grouped by step in model order, rows in matrix order; index = position */
    uint32_t *first; /* n_steps + 1: a step's instances are first[s] … first[s+1]-1 */
    uint32_t *waits; /* per step: how many steps it needs */
    uint32_t *follower_start; /* n_steps + 1 */
    uint32_t *followers;      /* steps that need it */
    const char *names;
    uint64_t names_len; /* all instances' names, NUL-separated, in order: what history keeps */
    struct arena *
        unsaved; /* its arena, while its compiled form is not written yet (compiled.h); else NULL */
};

struct plan_options {
    struct load_options load;
    struct store *store; /* compiled plans are kept in its plans/; NULL: none */
    bool always_parse;   /* check, graph: never from a compiled plan */
};
/* A file and params -> plan, from its compiled form where there is one (named by the digest of build, text and params; checked by digest, deleted at will), else parsed, expanded and compiled for the next time.
 * 0: *ret_arena (owned by the caller; frees model and plan) and *ret_plan. 1: diagnostics with errors in d. Negative: err (file not found, bad -p). *ret_text (may be NULL): the file's bytes, owned by the caller. */
int plan_open(const struct plan_options *o, struct diags *d, struct arena **ret_arena,
              struct plan **ret_plan, char **ret_text, size_t *ret_text_len, struct err *err);
/* The instance of this name; UINT32_MAX: none. A step's bare name is its first when it has but one. */
uint32_t plan_find(const struct plan *p, const char *name);
/* Every instance that a user's word means (semantics 8): a step's name (all branches) or an instance's. Calls fn; returns how many. */
uint32_t plan_match(const struct plan *p, const char *word, void (*fn)(uint32_t index, void *arg),
                    void *arg);
/* For each step: is it meant by the word, or needed by it, over any number of steps? Owned by the caller. */
bool *plan_needed(const struct plan *p, const char *word);
/* The error for a word after --OPTION that means none, with the nearest name. */
int plan_no_match(const struct plan *p, const char *option, const char *word, struct err *err);

#endif
