/* SPDX-License-Identifier: Apache-2.0 */
/* Partial runs (semantics 35): --only, --from, --until choose steps. A step outside is not run: what somebody inside reads of it is its key's entry, else the newest of this workflow ('stale'), else an error
 * before anything runs. Whether a key has an entry is `wf plan`'s answer (dry.h). */
#include "base/err.h"
#include "base/mem.h"
#include "engine/dry.h"
#include "engine/run_impl.h"
#include "workflows/expr.h"

#include <stdlib.h>
#include <string.h>

static void mark(uint32_t instance, void *arg)
{
    ((bool *)arg)[instance] = true;
}

static void mark_step(struct run *r, uint32_t step, uint32_t *queue, uint32_t *end, bool *seen)
{
    if (seen[step] || r->wf->steps[step].finally) {
        return;
    }
    seen[step] = true;
    queue[(*end)++] = step;
    for (uint32_t i = r->plan->first[step]; i < r->plan->first[step + 1]; i++) {
        r->inside[i] = true;
    }
}

/* All that the step needs (up), or all that needs it. */
static void close_over(struct run *r, uint32_t start, bool up)
{
    uint32_t *queue = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*queue));
    bool *seen = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*seen));
    uint32_t at = 0, end = 0;

    seen[start] = true; /* its branches are chosen by the word */
    queue[end++] = start;
    while (at < end) {
        uint32_t s = queue[at++];
        if (up) {
            for (uint32_t k = 0; k < r->wf->steps[s].n_needs; k++) {
                mark_step(r, r->wf->steps[s].needs[k].step, queue, &end, seen);
            }
        } else {
            for (uint32_t k = r->plan->follower_start[s]; k < r->plan->follower_start[s + 1]; k++) {
                mark_step(r, r->plan->followers[k], queue, &end, seen);
            }
        }
    }
    free(queue);
    free(seen);
}

static bool step_inside(const struct run *r, uint32_t step)
{
    for (uint32_t i = r->plan->first[step]; i < r->plan->first[step + 1]; i++) {
        if (r->inside[i]) {
            return true;
        }
    }
    return false;
}

/* Where instances outside of it that somebody inside needs have their results. */
static int find_outside(struct run *r, const struct dry *d, uint32_t needed, uint32_t by,
                        struct err *err)
{
    for (uint32_t i = r->plan->first[needed]; i < r->plan->first[needed + 1]; i++) {
        const struct dry_step *known;
        if (r->inside[i] || r->outside_entry[i] != 0) {
            continue;
        }
        if (step_is_service(step_of(r, i))) {
            return err_set(err, ERR_USAGE, 0,
                           "step '%s' needs the service '%s', which is outside of this run: a "
                           "service lives as long as a run does; take it in with `--from %s`",
                           r->wf->steps[by].name, step_of(r, i)->name, step_of(r, i)->name);
        }
        known = dry_of(d, i);
        if (known->verdict == DRY_HIT) {
            r->outside_entry[i] = known->entry;
        } else if (known->verdict == DRY_SKIP) {
            continue;
        } else if (prior_entry(r->decider.prior, i)) {
            r->outside_entry[i] = prior_id(r->decider.prior, i);
            r->stale[i] = true;
        } else {
            return err_set(err, ERR_USAGE, 0,
                           "step '%s' needs what %s makes, and that %s: first run `wf "
                           "run %s --until %s`",
                           r->wf->steps[by].name, r->plan->instances[i].name,
                           prior_id(r->decider.prior, i) != 0 ? "is no longer kept"
                                                              : "was never made",
                           r->wf->file, r->wf->steps[needed].name);
        }
    }
    return 0;
}

/* Order alone is not all where default() covers what is read: it covers a skipped step, not one that is left aside. */
static bool reads(const struct step *m, uint32_t step)
{
    for (uint32_t k = 0; k < m->n_reads; k++) {
        const struct expr_name *n = m->reads[k];
        if (n->root == ROOT_STEPS && n->step == step && n->field != FIELD_STATUS &&
            n->field != FIELD_CACHED) {
            return true;
        }
    }
    return false;
}

static int find_all_outside(struct run *r, struct err *err)
{
    struct dry_options o = {.plan = r->plan,
                            .store = r->o.store,
                            .loop = r->o.loop,
                            .containers = r->world.executors[EXECUTOR_CONTAINER]};
    struct dry *d;
    int rc = dry_open(&o, &d, err);

    if (rc < 0) {
        return rc;
    }
    for (uint32_t s = 0; s < r->wf->n_steps && rc == 0; s++) {
        const struct step *m = &r->wf->steps[s];
        for (uint32_t k = 0; k < m->n_needs && rc == 0 && step_inside(r, s); k++) {
            if (!m->needs[k].order_only || reads(m, m->needs[k].step)) {
                rc = find_outside(r, d, m->needs[k].step, s, err);
            }
        }
    }
    dry_close(d);
    return rc;
}

int partial_open(struct run *r, struct err *err)
{
    const char *word = r->o.only ? r->o.only : r->o.from ? r->o.from : r->o.until;
    const char *option = r->o.only ? "only" : r->o.from ? "from" : "until";
    uint32_t step;
    bool any_outside = false;

    if (!word) {
        return 0;
    }
    r->inside = xcalloc((size_t)r->plan->n + 1, sizeof(*r->inside));
    r->outside_entry = xcalloc((size_t)r->plan->n + 1, sizeof(*r->outside_entry));
    r->stale = xcalloc((size_t)r->plan->n + 1, sizeof(*r->stale));
    step = workflow_find_step(r->wf, word, strcspn(word, "["));
    if (plan_match(r->plan, word, mark, r->inside) == 0 || step == NONE) {
        return plan_no_match(r->plan, option, word, err);
    }
    if (!r->o.only) {
        close_over(r, step, r->o.until != NULL);
    }
    for (uint32_t i = 0; i < r->plan->n; i++) {
        any_outside |= !r->inside[i];
    }
    return any_outside ? find_all_outside(r, err) : 0;
}

void partial_settle(struct run *r, uint32_t instance)
{
    int64_t id = r->outside_entry[instance];
    const char *option = r->o.only ? "only" : r->o.from ? "from" : "until";
    const char *word = r->o.only ? r->o.only : r->o.from ? r->o.from : r->o.until;
    struct entry *e;
    struct err err = {0};

    if (id == 0) {
        CLEANUP(cleanup_free)
        char *because = xasprintf("outside of this run (--%s %s)", option, word);
        emit_because(r, EVENT_SKIPPED, instance, because);
        sched_over(r, instance);
        return;
    }
    e = arena_alloc(r->decider.arena, sizeof(*e));
    if (entry_get(r->o.store, id, r->decider.arena, e, &err) != 0) {
        CLEANUP(cleanup_free)
        char *text = xasprintf("what it made before is no longer kept: first run `wf run %s "
                               "--until %s`",
                               r->wf->file, step_of(r, instance)->name);
        fail_instance(r, instance, "failed", text);
        return;
    }
    emit_hit(r, instance, e, NULL, false);
    if (r->stale[instance]) {
        CLEANUP(cleanup_free)
        char *text = xasprintf(
            "stale: %s is used as an earlier run made it, although what it reads has changed; `wf "
            "run %s --until %s` makes it anew",
            r->plan->instances[instance].name, r->wf->file, step_of(r, instance)->name);
        emit_warning(r, instance, text);
    }
    sched_over(r, instance);
}
