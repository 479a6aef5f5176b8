/* SPDX-License-Identifier: Apache-2.0 */
/* The steps in topological order; each instance is asked as a run would ask it, and decided by the same code (decide.h). What depends on a step that will run is undecided: its key cannot be known. */
#include "engine/dry.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/adopt.h"
#include "cache/statcache.h"
#include "cache/store.h"
#include "engine/decide.h"
#include "steps/attempt.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

const char *const dry_verdict_names[DRY_VERDICT_COUNT] = {
    [DRY_HIT] = "hit",
    [DRY_RUN] = "run",
    [DRY_UNDECIDED] = "undecided",
    [DRY_SKIP] = "skip",
};

enum { ASKING_MAX = 64 };

struct dry_state { /* of a step */
    bool open;     /* some branch will run, or is undecided */
    bool maybe;    /* it may yet be skipped: its condition, or that of one it needs, is not known */
    bool skipped;  /* all branches are */
    bool success;
    uint32_t runs; /* a branch that will run, else one that may; UINT32_MAX: none */
};
struct dry {
    struct dry_options o;
    const struct plan *plan;
    const struct workflow *wf;
    struct arena *arena;
    struct world world;
    struct value *params;
    struct asker *asker;
    struct decider decider;
    struct executor *processes;
    struct dry_step *steps;        /* per instance */
    const struct result **results; /* per instance; of hits */
    const struct entry **entries;
    struct dry_state *states;
    uint32_t asking;
    struct err problem; /* of the store */
};
struct pending {
    struct dry *dry;
    uint32_t instance;
    struct err err;
    bool failed;
};

/* --- the world as steps see it --- */

static void world_branch(void *arg, uint32_t step, uint32_t row, struct branch_view *ret)
{
    struct dry *d = arg;
    uint32_t i = d->plan->first[step] + row;
    struct result *decoded;

    *ret = (struct branch_view){.row = &d->wf->steps[step].rows[row], .status = BRANCH_PENDING};
    if (d->steps[i].verdict == DRY_SKIP) {
        ret->status = BRANCH_SKIPPED;
    } else if (d->steps[i].verdict == DRY_HIT && d->entries[i]) {
        if (!d->results[i]) {
            decoded = arena_alloc(d->arena, sizeof(*decoded));
            if (result_decode(d->entries[i]->data, d->entries[i]->data_len, d->arena, decoded,
                              NULL) == 0) {
                d->results[i] = decoded;
            }
        }
        ret->status = BRANCH_CACHED;
        ret->result = d->results[i];
        ret->entry = d->entries[i]->id;
    }
}

static bool world_status(void *arg, uint32_t step, enum expr_function which)
{
    const struct dry *d = arg;

    return which == FN_ALWAYS || (which == FN_SUCCESS && d->states[step].success);
}

static const char *world_run_status(void *arg)
{
    (void)arg;
    return "succeeded";
}

static uint64_t world_epoch(void *arg)
{
    (void)arg;
    return 0;
}

/* --- one instance --- */

static void settle(struct dry *d, uint32_t i, enum dry_verdict verdict, const char *why)
{
    d->steps[i].verdict = verdict;
    d->steps[i].why = why;
    if (verdict == DRY_RUN && !causes_known(d->decider.causes, i)) {
        causes_set(d->decider.causes, i, UINT32_MAX, "will run", why);
    }
}

static void answered(struct dry *d, uint32_t i, const struct question *q)
{
    struct decision dec;
    struct err err = {0};

    d->steps[i].inputs = q->inputs;
    d->steps[i].n_inputs = q->n_inputs;
    d->steps[i].has_key = q->memoized;
    d->steps[i].key = q->key;
    if (d->o.want_questions) {
        d->steps[i].question = arena_memdup(d->arena, q, sizeof(*q));
    }
    if (decide(&d->decider, i, q, d->arena, &dec, &err) < 0) {
        if (d->problem.code == ERR_NONE) {
            d->problem = err;
        }
        settle(d, i, DRY_RUN, "the store cannot be read");
        return;
    }
    if (dec.verdict == VERDICT_HIT) {
        d->entries[i] = dec.entry;
        d->steps[i].entry = dec.entry->id;
        const char *adopted = adopt_sentence(dec.entry->data, dec.entry->data_len, d->arena);
        settle(d, i, DRY_HIT,
               adopted    ? arena_printf(d->arena, "reused: %s", adopted)
               : dec.note ? dec.note
                          : "reused");
        return;
    }
    decide_why(&d->decider, i, q, &d->world, d->arena, &dec);
    d->steps[i].differences = dec.differences;
    d->steps[i].n_differences = dec.n_differences;
    settle(d, i, DRY_RUN, decision_reason(&dec, d->arena));
}

static void refused(struct dry *d, uint32_t i, const struct err *err)
{
    if (err->code == ERR_BUSY) { /* only a run may find out: it fetches and keeps things */
        settle(d, i, DRY_UNDECIDED, arena_strdup(d->arena, err->msg));
        return;
    }
    settle(d, i, DRY_RUN, arena_printf(d->arena, "it will fail: %s", err->msg));
}

static void on_ready(const struct err *err, void *arg)
{
    struct pending *p = arg;

    p->dry->asking--;
    if (err) {
        p->failed = true;
        p->err = *err;
    }
}

static void wait_below(struct dry *d, uint32_t count)
{
    while (d->asking > count) {
        (void)uv_run(loop_uv(d->o.loop), UV_RUN_ONCE);
    }
}

/* True: it is settled; false: its inputs are being read. */
static bool ask(struct dry *d, uint32_t i, struct pending **ret)
{
    const struct instance_ref *ref = &d->plan->instances[i];
    struct question q = {0};
    struct err err = {0};
    int rc = question_ask(d->asker, ref, d->arena, &q, &err);

    if (rc == 1) {
        *ret = xcalloc(1, sizeof(**ret));
        (*ret)->dry = d;
        (*ret)->instance = i;
        wait_below(d, ASKING_MAX);
        d->asking++;
        question_work(d->asker, ref, on_ready, *ret);
        return false;
    }
    if (rc < 0) {
        refused(d, i, &err);
    } else {
        answered(d, i, &q);
    }
    return true;
}

static void ask_again(struct dry *d, struct pending *p)
{
    const struct instance_ref *ref = &d->plan->instances[p->instance];
    struct question q = {0};
    struct err err = {0};
    int rc = p->failed ? -1 : question_ask(d->asker, ref, d->arena, &q, &err);

    if (p->failed) {
        refused(d, p->instance, &p->err);
    } else if (rc < 0) {
        refused(d, p->instance, &err);
    } else if (rc == 0) {
        answered(d, p->instance, &q);
    } else {
        settle(d, p->instance, DRY_UNDECIDED, "its inputs change while they are read");
    }
    free(p);
}

/* --- a step --- */

/* All candidates of a select are skipped. */
static bool nothing_to_choose(const struct dry *d, const struct step *m)
{
    bool nothing = m->select && m->select->n_from > 0;

    for (uint32_t k = 0; nothing && k < m->select->n_from; k++) {
        nothing = d->states[m->select->from[k]].skipped;
    }
    return nothing;
}

static const char *name_of(uint32_t instance, const void *arg)
{
    const struct plan *p = arg;

    return p->instances[instance].name;
}

/* What all branches of a step wait for: "it depends on features, which may run because ingest will run because input a.csv: content changed (…)". */
struct waiting {
    const char *why;
    uint32_t from; /* the instance; UINT32_MAX: none */
    const struct why_link *chain;
    size_t n_chain;
};

static void wait_for(struct dry *d, uint32_t need, struct waiting *ret)
{
    struct why_link *chain = NULL;
    uint32_t from = d->states[need].runs;
    size_t n = causes_chain(d->decider.causes, from, name_of, d->plan, d->arena, &chain);

    ret->from = from;
    ret->chain = chain;
    ret->n_chain = n;
    if (n == 0) {
        ret->why =
            arena_printf(d->arena, "it depends on %s, which will run", d->wf->steps[need].name);
        return;
    }
    /* The step first, the branch and what is behind it after that. */
    const char *sentence = chain_sentence(chain, n, d->arena);
    size_t len = strlen(chain[0].step);
    ret->why = arena_printf(d->arena, "it depends on %s, which%s", chain[0].step, sentence + len);
}

/* What decides for all its branches alike. */
static bool settle_by_needs(struct dry *d, uint32_t step, enum dry_verdict *ret,
                            struct waiting *wait)
{
    const struct step *m = &d->wf->steps[step];
    uint32_t required = 0, skipped = 0;

    if (m->finally) {
        *ret = DRY_UNDECIDED;
        wait->why = m->cache.policy == CACHE_OFF
                        ? "it runs when all else has ended; not memoized: it stands under finally"
                        : "it runs when all else has ended";
        if (!m->condition) {
            *ret = DRY_RUN;
        }
        return true;
    }
    for (uint32_t k = 0; k < m->n_needs; k++) {
        required += !m->needs[k].order_only;
        skipped += !m->needs[k].order_only && d->states[m->needs[k].step].skipped;
    }
    d->states[step].success = (required == 0 || skipped < required) && !nothing_to_choose(d, m);
    for (uint32_t k = 0; k < m->n_needs; k++) {
        uint32_t need = m->needs[k].step;
        bool asks = m->condition || !m->needs[k].declared;
        if (d->states[need].open && asks) {
            *ret = DRY_UNDECIDED;
            wait_for(d, need, wait);
            return true;
        }
    }
    return false;
}

static bool reads_open(struct dry *d, uint32_t step, enum dry_verdict *ret, struct waiting *wait)
{
    const struct step *m = &d->wf->steps[step];

    for (uint32_t k = 0; k < m->n_reads; k++) {
        const struct expr_name *name = m->reads[k];
        if (name->root != ROOT_STEPS || name->step == NONE) {
            continue;
        }
        if (d->states[name->step].open) {
            *ret = DRY_UNDECIDED;
            wait_for(d, name->step, wait);
            return true;
        }
    }
    return false;
}

/* A needed output of a skipped step, not covered by default(). */
static bool reads_skipped(struct dry *d, uint32_t step, const char **why)
{
    const struct step *m = &d->wf->steps[step];

    for (uint32_t k = 0; k < m->n_needs; k++) {
        uint32_t need = m->needs[k].step;
        if (!m->needs[k].order_only && !m->needs[k].declared && d->states[need].skipped) {
            *why = arena_printf(d->arena, "%s is skipped", d->wf->steps[need].name);
            return true;
        }
    }
    return false;
}

/* Undecided because of what it depends on, yet no answer of the cache would be taken. */
static bool runs_anyway(const struct dry *d, uint32_t i, const char **ret_why)
{
    const struct step *m = &d->wf->steps[d->plan->instances[i].step];

    if (m->condition || m->finally) {
        return false;
    }
    for (uint32_t k = 0; k < m->n_needs; k++) {
        const struct dry_state *need = &d->states[m->needs[k].step];
        if (need->maybe || (!m->needs[k].order_only && need->skipped)) {
            return false;
        }
    }
    *ret_why = decide_blind(&d->decider, i);
    return *ret_why != NULL;
}

static bool condition_false(struct dry *d, uint32_t i)
{
    const struct step *m = &d->wf->steps[d->plan->instances[i].step];
    bool yes = d->states[d->plan->instances[i].step].success;
    struct err err = {0};

    if (m->condition && step_condition(&d->world, &d->plan->instances[i], &yes, &err) < 0) {
        refused(d, i, &err);
        return true;
    }
    if (!yes) {
        settle(d, i, DRY_SKIP, m->condition ? "`if` is false" : "what it needs is skipped");
    }
    return !yes;
}

/* A branch whose decision cannot be known yet, or is the same for all. */
static void settle_alike(struct dry *d, uint32_t i, enum dry_verdict verdict,
                         const struct waiting *wait)
{
    const char *blind;

    if (verdict == DRY_UNDECIDED && step_is_service(&d->wf->steps[d->plan->instances[i].step])) {
        settle(d, i, DRY_RUN, "it is a service, up while the run lasts");
        return;
    }
    if (verdict == DRY_UNDECIDED && runs_anyway(d, i, &blind)) {
        settle(d, i, DRY_RUN, blind);
        return;
    }
    settle(d, i, verdict, wait->why);
    d->steps[i].chain = wait->chain;
    d->steps[i].n_chain = wait->n_chain;
    if (verdict == DRY_UNDECIDED && wait->from != UINT32_MAX) {
        causes_set(d->decider.causes, i, wait->from, "may run", NULL);
    }
}

/* Of a step that is undecided: may more than its result be open? */
static bool may_be_skipped(const struct dry *d, uint32_t step)
{
    const struct step *m = &d->wf->steps[step];
    bool yes = m->condition != NULL;

    for (uint32_t k = 0; k < m->n_needs && !yes; k++) {
        yes = d->states[m->needs[k].step].maybe;
    }
    return yes;
}

static void count_branches(struct dry *d, uint32_t step)
{
    uint32_t first = d->plan->first[step], end = d->plan->first[step + 1], may = UINT32_MAX;
    struct dry_state *st = &d->states[step];
    bool skippable = may_be_skipped(d, step);

    st->skipped = end > first;
    st->runs = UINT32_MAX;
    for (uint32_t i = first; i < end; i++) {
        enum dry_verdict v = d->steps[i].verdict;
        st->open |= v == DRY_RUN || v == DRY_UNDECIDED;
        st->maybe |= v == DRY_UNDECIDED && skippable;
        st->skipped &= v == DRY_SKIP;
        st->runs = v == DRY_RUN && st->runs == UINT32_MAX ? i : st->runs;
        may = v == DRY_UNDECIDED && may == UINT32_MAX ? i : may;
    }
    st->runs = st->runs == UINT32_MAX ? may : st->runs;
}

static void decide_step(struct dry *d, uint32_t step)
{
    uint32_t first = d->plan->first[step], end = d->plan->first[step + 1];
    VEC(struct pending *) waiting = {0};
    struct waiting wait = {.from = UINT32_MAX};
    enum dry_verdict verdict = DRY_UNDECIDED;
    bool all = settle_by_needs(d, step, &verdict, &wait) || reads_open(d, step, &verdict, &wait);

    if (!all && reads_skipped(d, step, &wait.why)) {
        verdict = DRY_SKIP;
        all = true;
    }
    for (uint32_t i = first; i < end; i++) {
        struct pending *p;
        if (all) {
            settle_alike(d, i, verdict, &wait);
        } else if (step_is_service(&d->wf->steps[step])) {
            settle(d, i, DRY_RUN, "it is a service, up while the run lasts");
        } else if (!condition_false(d, i) && !ask(d, i, &p)) {
            *vec_push(&waiting) = p;
        }
    }
    wait_below(d, 0);
    for (size_t k = 0; k < waiting.len; k++) {
        ask_again(d, waiting.items[k]);
    }
    vec_done(&waiting);
    count_branches(d, step);
}

/* --- life --- */

static int open_world(struct dry *d, struct err *err)
{
    struct world *w = &d->world;
    const char *path = getenv("PATH");
    int rc = process_executor_open(d->o.loop, &d->processes, err);

    if (rc < 0) {
        return rc;
    }
    d->params = xcalloc((size_t)d->wf->n_params + 1, sizeof(*d->params));
    for (uint32_t k = 0; k < d->wf->n_params; k++) {
        d->params[k] = d->wf->params[k].value;
    }
    *w = (struct world){.loop = d->o.loop,
                        .store = d->o.store,
                        .statcache = statcache_new(d->o.store),
                        .wf = d->wf,
                        .params = d->params,
                        .run = "",
                        .trigger = "manual",
                        .scheduled_at_ms = now_ms(),
                        .look_only = true,
                        .one_try = d->o.one_try,
                        .path_env = path ? path : "/usr/local/bin:/usr/bin:/bin",
                        .branch = world_branch,
                        .status = world_status,
                        .run_status = world_run_status,
                        .epoch = world_epoch,
                        .arg = d};
    w->executors[EXECUTOR_PROCESS] = d->processes;
    w->executors[EXECUTOR_CONTAINER] = d->o.containers;
    w->work_dir = store_dir(d->o.store);
    d->asker = asker_new(w);
    return 0;
}

static void decide_all(struct dry *d)
{
    CLEANUP(cleanup_free) bool *needed = d->o.only ? plan_needed(d->plan, d->o.only) : NULL;

    for (uint32_t k = 0; k < d->wf->n_steps; k++) {
        uint32_t step = d->wf->order ? d->wf->order[k] : k;
        if (!needed || needed[step]) {
            decide_step(d, step);
            continue;
        }
        for (uint32_t i = d->plan->first[step]; i < d->plan->first[step + 1]; i++) {
            d->steps[i].verdict = DRY_UNDECIDED;
        }
    }
}

int dry_open(const struct dry_options *o, struct dry **ret, struct err *err)
{
    struct dry *d = xcalloc(1, sizeof(*d));
    uint32_t n = o->plan->n;
    int rc;

    d->o = *o;
    d->plan = o->plan;
    d->wf = o->plan->wf;
    d->arena = arena_new();
    d->steps = xcalloc((size_t)n + 1, sizeof(*d->steps));
    d->results = xcalloc((size_t)n + 1, sizeof(*d->results));
    d->entries = xcalloc((size_t)n + 1, sizeof(*d->entries));
    d->states = xcalloc((size_t)d->wf->n_steps + 1, sizeof(*d->states));
    rc = decider_init(&d->decider, o->store, o->plan, o->no_cache, o->refresh_all, o->refresh,
                      o->n_refresh, err);
    d->decider.read_only = true;
    rc = rc < 0 ? rc : open_world(d, err);
    if (rc == 0) {
        decide_all(d);
    }
    if (rc == 0 && d->problem.code != ERR_NONE) {
        if (err) {
            *err = d->problem;
        }
        rc = -(int)d->problem.code;
    }
    if (rc < 0) {
        dry_close(d);
        return rc;
    }
    *ret = d;
    return 0;
}

void dry_close(struct dry *d)
{
    if (!d) {
        return;
    }
    asker_free(d->asker);
    if (d->processes && d->processes->ops->close) {
        d->processes->ops->close(d->processes);
    }
    statcache_free(d->world.statcache);
    decider_done(&d->decider);
    arena_free(d->arena);
    free(d->params);
    free(d->steps);
    free(d->results);
    free(d->entries);
    free(d->states);
    free(d);
}

/* The steps it waits for, as a list of words. */
static const char *open_needs(const struct dry *d, const struct step *m, struct arena *a)
{
    enum { NAMED = 5 };
    CLEANUP(sb_done) struct str s = {0};
    uint32_t n = 0;

    for (uint32_t k = 0; k < m->n_needs; k++) {
        uint32_t need = m->needs[k].step;
        if (d->states[need].open && n++ < NAMED) {
            sb_printf(&s, "%s%s", s.len > 0 ? ", " : "", d->wf->steps[need].name);
        }
    }
    if (n > NAMED) {
        sb_printf(&s, " and %u more", n - NAMED);
    }
    return s.len > 0 ? arena_strdup(a, sb_text(&s)) : NULL;
}

void dry_known(struct dry *d, uint32_t instance)
{
    struct dry_step *s = &d->steps[instance];
    const struct instance_ref *ref = &d->plan->instances[instance];
    struct decision dec = {.verdict = VERDICT_MISS};
    const char *open = open_needs(d, &d->wf->steps[ref->step], d->arena);

    if (s->verdict != DRY_UNDECIDED || !open || s->not_known) {
        return;
    }
    decide_known(&d->decider, instance, d->arena, &dec);
    s->differences = dec.differences;
    s->n_differences = dec.n_differences;
    s->not_known = arena_printf(d->arena, "its inputs are not compared before %s has run", open);
}

const struct dry_step *dry_of(const struct dry *d, uint32_t instance)
{
    return &d->steps[instance];
}
