/* SPDX-License-Identifier: Apache-2.0 */
/* What a run would do now (`wf plan`), and why (`wf explain`). Changes nothing, not even timestamps: works on a read-only store. */
#ifndef WF_ENGINE_DRY_H
#define WF_ENGINE_DRY_H

#include "cache/explain.h"
#include "engine/plan.h"
#include "steps/question.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dry;
struct err;
struct executor;
struct loop;

enum dry_verdict {
    DRY_HIT,
    DRY_RUN,
    DRY_UNDECIDED /* it depends on a step that will run */,
    DRY_SKIP,
    DRY_VERDICT_COUNT
};
extern const char *const dry_verdict_names[DRY_VERDICT_COUNT];
struct dry_step {
    enum dry_verdict verdict;
    const char *
        why; /* one sentence: "never ran", "input train.csv: content changed (… → …)", "not memoized: …", "it depends on ingest, which will run because input a.csv: content changed (…)" */
    const struct difference *differences;
    size_t n_differences; /* against the newest earlier action of this instance */
    const struct why_link
        *chain; /* of one that is undecided: what it depends on, down to the root */
    size_t n_chain;
    const char *not_known; /* of one that is undecided, after dry_known(): what more may differ */
    struct digest key;
    bool has_key;
    int64_t entry;
    const struct question *question; /* with want_questions, where it was asked; NULL */
    const struct seen_input *inputs;
    uint32_t n_inputs; /* what it would read (found ones included) */
};
struct dry_options {
    const struct plan *plan;
    struct store *store;
    struct loop *loop;
    struct executor *containers;
    bool no_cache, refresh_all;
    bool want_questions; /* kept in dry_step */
    bool one_try;        /* a source that does not answer at once is not waited for */
    const char *
        only; /* a step or branch: only what it is and needs is decided, the rest stays undecided; NULL: all */
    const char *const *refresh;
    size_t n_refresh;
};
int dry_open(const struct dry_options *o, struct dry **ret,
             struct err *err); /* blocking: runs the loop until all is decided */
void dry_close(struct dry *d);
/* Of a step that is undecided because of others: the differences that no other step can change any more (its work: text, params, environment), into its dry_step. */
void dry_known(struct dry *d, uint32_t instance);
const struct dry_step *dry_of(const struct dry *d, uint32_t instance);

#endif
