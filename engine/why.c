/* SPDX-License-Identifier: Apache-2.0 */
/* Why an instance runs: its action beside the one it used last, and from each difference that comes from another step the way to that step's own reason. Of a step that runs now the reason was told a moment
 * ago (causes.h); of one that is reused but holds something else than last time it is read from the store: what the step used in the run that made our earlier result, and what it uses now. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/manifest.h"
#include "engine/decide.h"
#include "engine/lookback.h"
#include "steps/action.h"

#include <stdlib.h>
#include <string.h>

enum {
    FOLLOWED = 200,       /* differences whose way is looked for */
    LOOKED_UP_NEAR = 16,  /* ways read from the store, within a run */
    LOOKED_UP_FAR = 1000, /* by a command that explains */
    FILES_NEAR = 1000,    /* of a folder that is walked again within a run */
    BRANCHES = 1000,      /* of a step, looked at for the one meant */
};

static const char *const gone =
    "the result it had is no longer in the store (removed by `wf cache gc` or `wf cache rm`, or "
    "found damaged)";

/* --- against the earlier action --- */

struct looking {
    const struct question *q;
    const struct world *w;
    uint64_t most;
};

/* The list of a folder as it is now. */
static int look(const struct digest *d, struct str *out, void *arg)
{
    const struct looking *l = arg;

    for (uint32_t i = 0; i < l->q->n_inputs; i++) {
        const struct seen_input *in = &l->q->inputs[i];
        uint64_t bytes, files;
        struct digest now;
        if (in->kind != 'd' || !in->path || in->files > l->most || !digest_eq(&in->digest, d)) {
            continue;
        }
        sb_clear(out);
        if (manifest_of_input(in->path, l->w->statcache, out, &bytes, &files, NULL) != 0) {
            return 1;
        }
        digest_of(sb_text(out), out->len, &now);
        return digest_eq(&now, d) ? 0 : 1;
    }
    return 1;
}

static const struct lookback *lookback(struct decider *d)
{
    if (!d->lookback) {
        d->lookback = lookback_open(d->store, d->plan, d->read_only);
    }
    return d->lookback;
}

/* Which part of the action it is (cache/explain_words.c). */
static enum reason reason_of_part(const char *part)
{
    static const struct {
        const char *part;
        enum reason reason;
    } parts[] = {
        {"input", REASON_INPUT},      {"source", REASON_INPUT},    {"output", REASON_STEP},
        {"step", REASON_STEP},        {"value", REASON_STEP},      {"param", REASON_PARAM},
        {"expression", REASON_PARAM}, {"matrix", REASON_PARAM},    {"env", REASON_ENV},
        {"secret", REASON_ENV},       {"image", REASON_IMAGE},     {"platform", REASON_IMAGE},
        {"version", REASON_VERSION},  {"measure", REASON_MEASURE},
    };

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (text_eq(part, parts[i].part)) {
            return parts[i].reason;
        }
    }
    return REASON_WORK; /* script, command, program and whatever else the work document holds */
}

static void compare(struct decider *d, uint32_t instance, const struct question *q,
                    const struct world *w, struct arena *a, struct decision *dec)
{
    const char *action = NULL, *work = NULL;
    int64_t id = prior_id(d->prior, instance);

    if (id == 0) {
        id = lookback_entry(lookback(d), instance);
    }
    if (id == 0) {
        bool failed = false;
        dec->note = lookback_note(lookback(d), instance, a, &failed);
        dec->reason = !dec->note ? REASON_NEVER : failed ? REASON_FAILED : REASON_NOT_STORED;
        dec->note = dec->note ? dec->note : "never ran";
        return;
    }
    if (entry_action(d->store, id, a, &action, &work, NULL) != 0 || !action) {
        dec->note = gone;
        dec->reason = REASON_GONE;
        return;
    }
    if (explain_diff(action, work, q->action, q->work_json, a, &dec->differences,
                     &dec->n_differences, NULL) < 0) {
        dec->n_differences = 0;
    }
    if (dec->n_differences == 0) {
        dec->note = gone;
        dec->reason = REASON_GONE;
        return;
    }
    dec->against = id;
    dec->reason = reason_of_part(dec->differences[0].part);
    struct looking l = {q, w, d->read_only ? UINT64_MAX : FILES_NEAR};
    explain_inside(d->store, dec->differences, dec->n_differences, a, look, &l);
}

void decide_known(struct decider *d, uint32_t instance, struct arena *a, struct decision *dec)
{
    const struct instance_ref *ref = &d->plan->instances[instance];
    const char *action = NULL, *then = NULL, *now = ref->work_json;
    CLEANUP(sb_done) struct str text = {0};
    int64_t id = store_db(d->store) ? prior_id(d->prior, instance) : 0;

    if (id == 0 && store_db(d->store)) {
        id = lookback_entry(lookback(d), instance);
    }
    if (!now && action_work(d->plan->wf, &d->plan->wf->steps[ref->step],
                            &d->plan->wf->steps[ref->step].rows[ref->row], &text, NULL) == 0) {
        now = sb_text(&text);
    }
    if (id == 0 || !now || entry_action(d->store, id, a, &action, &then, NULL) != 0 || !action ||
        explain_diff(action, then, action, now, a, &dec->differences, &dec->n_differences, NULL) <
            0) {
        dec->n_differences = 0;
        return;
    }
    dec->against = id;
}

/* Where an input lies that the action calls by its name alone: outside of the workflow's folder. */
static void add_path(const struct question *q, struct arena *a, struct difference *diff)
{
    const struct seen_input *found = NULL;

    if (strcmp(diff->part, "input") != 0 || !diff->name || diff->path || diff->from) {
        return;
    }
    for (uint32_t i = 0; i < q->n_inputs; i++) {
        const struct seen_input *in = &q->inputs[i];
        if (in->path && !in->rel && text_eq(in->name, diff->name)) {
            if (found) {
                return; /* of several with one name it may be any */
            }
            found = in;
        }
    }
    diff->path = found ? arena_strdup(a, found->path) : NULL;
}

/* --- which step a difference comes from --- */

static const struct map *names(struct decider *d)
{
    const struct plan *p = d->plan;

    if (d->by_name.len == 0) {
        for (uint32_t i = 0; i < p->n; i++) {
            map_put_text(&d->by_name, p->instances[i].name, &p->instances[i]);
        }
        for (uint32_t s = 0; s < p->wf->n_steps; s++) { /* a matrix by its first branch */
            if (p->first[s] < p->first[s + 1] && !map_get_text(&d->by_name, p->wf->steps[s].name)) {
                map_put_text(&d->by_name, p->wf->steps[s].name, &p->instances[p->first[s]]);
            }
        }
    }
    return &d->by_name;
}

static bool made(const struct decider *d, const struct world *w, uint32_t instance,
                 const char *digest)
{
    const struct instance_ref *ref = &d->plan->instances[instance];
    struct branch_view view;
    char hex[DIGEST_HEX + 1];

    w->branch(w->arg, ref->step, ref->row, &view);
    for (uint32_t k = 0; view.result && k < view.result->n_outputs; k++) {
        digest_hex(&view.result->outputs[k].digest, hex);
        if (text_starts(digest, "sha256:") && strncmp(digest + 7, hex, DIGEST_HEX) == 0) {
            return true;
        }
    }
    return false;
}

/* Of a step's branches the one that made this content. */
static uint32_t branch_that_made(const struct decider *d, const struct world *w, uint32_t step,
                                 const char *digest)
{
    uint32_t first = d->plan->first[step], end = d->plan->first[step + 1];

    if (end - first == 1) {
        return first;
    }
    for (uint32_t i = first; digest && i < end && i - first < BRANCHES; i++) {
        if (made(d, w, i, digest)) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* The step whose output an input is: `inputs: {x: ${{ steps.a.outputs.o }}}`. */
static uint32_t step_of_input(const struct step *m, const struct question *q, const char *name)
{
    for (uint32_t i = 0; i < q->n_inputs; i++) {
        const struct seen_input *in = &q->inputs[i];
        if (in->path || in->input >= m->n_inputs || !text_eq(in->name, name)) {
            continue;
        }
        const struct text *t = m->inputs[in->input].path;
        for (uint32_t k = 0; k < t->n_parts; k++) {
            const struct expr *e = t->parts[k].literal ? NULL : t->parts[k].expr;
            if (e && e->op == EXPR_NAME && e->name.root == ROOT_STEPS && e->name.step != NONE) {
                return e->name.step;
            }
        }
    }
    return UINT32_MAX;
}

static uint32_t upstream(struct decider *d, uint32_t instance, const struct question *q,
                         const struct world *w, const struct difference *diff)
{
    const struct step *m = &d->plan->wf->steps[d->plan->instances[instance].step];
    uint32_t step = UINT32_MAX;

    if (diff->from) {
        const struct instance_ref *ref = map_get_text(names(d), diff->from);
        if (ref && strcmp(ref->name, diff->from) == 0) {
            return ref->index;
        }
        step = ref ? ref->step : UINT32_MAX;
    } else if (strcmp(diff->part, "input") == 0 && diff->name && diff->now) {
        step = step_of_input(m, q, diff->name);
    }
    return step == UINT32_MAX ? UINT32_MAX : branch_that_made(d, w, step, diff->now);
}

/* --- through the store --- */

static const char *made_in(struct store *s, int64_t id, struct arena *a)
{
    struct entry e = {0};
    struct result r;

    return id > 0 && entry_get(s, id, a, &e, NULL) == 0 && e.id &&
                   result_decode(e.data, e.data_len, a, &r, NULL) == 0
               ? r.run
               : NULL;
}

/* One step's earlier entry beside its present one. True: it goes on with *ret_from, whose output differs. */
static bool store_link(struct store *s, int64_t was, int64_t is, struct arena *a,
                       struct why_link *link, const char **ret_from)
{
    const char *old = NULL, *old_work = NULL, *now = NULL, *now_work = NULL;
    struct difference *list;
    size_t n;

    if (was == 0 || entry_action(s, was, a, &old, &old_work, NULL) != 0 || !old ||
        entry_action(s, is, a, &now, &now_work, NULL) != 0 || !now ||
        explain_diff(old, old_work, now, now_work, a, &list, &n, NULL) < 0) {
        return false; /* its earlier result is no longer kept: the way ends here */
    }
    if (n == 0) {
        link->why = "the same work gave another result";
        return false;
    }
    explain_inside(s, list, n, a, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        if (!list[i].from) {
            link->why = difference_sentence(&list[i], a);
            return false;
        }
    }
    *ret_from = list[0].from;
    link->why = difference_sentence(&list[0], a); /* should the way end here */
    return true;
}

/* `is`: the entry that `name` uses now; `before`: our entry of then. */
static size_t chain_from_store(struct store *s, const char *name, int64_t is, int64_t before,
                               struct arena *a, struct why_link **ret)
{
    struct why_link *list = arena_calloc(a, CHAIN_SHOWN, sizeof(*list));
    const char *then = made_in(s, before, a);
    size_t n = 0;

    while (n < CHAIN_SHOWN && then && is > 0) {
        int64_t was = lookback_used(s, then, name);
        const char *now = made_in(s, is, a), *from = NULL;
        if (was == is || !now) {
            break;
        }
        if (n > 0) {
            list[n - 1].why = NULL; /* the way goes on */
        }
        list[n] = (struct why_link){.step = name, .verb = "ran", .run = now};
        if (!store_link(s, was, is, a, &list[n++], &from)) {
            break;
        }
        then = made_in(s, was, a);
        is = lookback_used(s, now, from);
        name = from;
    }
    *ret = list;
    return n;
}

/* --- the way to the root --- */

static const char *name_of(uint32_t instance, const void *arg)
{
    const struct plan *p = arg;

    return p->instances[instance].name;
}

static void follow(struct decider *d, uint32_t from, const struct world *w, struct arena *a,
                   int64_t against, struct difference *diff)
{
    struct why_link *chain = NULL;
    struct branch_view view;
    const struct instance_ref *ref = &d->plan->instances[from];

    if (causes_known(d->causes, from)) {
        diff->n_chain = causes_chain(d->causes, from, name_of, d->plan, a, &chain);
    } else if (against > 0 && d->looked_up < (d->read_only ? LOOKED_UP_FAR : LOOKED_UP_NEAR)) {
        d->looked_up++;
        w->branch(w->arg, ref->step, ref->row, &view);
        diff->n_chain = chain_from_store(d->store, ref->name, view.entry, against, a, &chain);
    }
    diff->chain = chain;
}

/* The reason of a difference in words, its own way included. */
static const char *whole_reason(const struct difference *diff, struct arena *a)
{
    const char *first = difference_sentence(diff, a);

    return diff->n_chain == 0
               ? first
               : arena_printf(a, "%s (%s)", first, chain_sentence(diff->chain, diff->n_chain, a));
}

void decide_why(struct decider *d, uint32_t instance, const struct question *q,
                const struct world *w, struct arena *a, struct decision *dec)
{
    uint32_t through = UINT32_MAX;
    const char *own = NULL;

    if (dec->verdict == VERDICT_MISS && !dec->note) {
        if (store_db(d->store)) {
            compare(d, instance, q, w, a, dec);
        } else {
            dec->note = "never ran";
        }
    }
    for (size_t i = 0; i < dec->n_differences && i < FOLLOWED; i++) {
        struct difference *diff = &dec->differences[i];
        add_path(q, a, diff);
        uint32_t from = upstream(d, instance, q, w, diff);
        if (from != UINT32_MAX) {
            follow(d, from, w, a, dec->against, diff);
            diff->from = diff->from ? diff->from : d->plan->instances[from].name;
        }
        bool runs = from != UINT32_MAX && causes_known(d->causes, from);
        through = runs && through == UINT32_MAX ? from : through;
        own = !runs && !own ? whole_reason(diff, a) : own;
    }
    if (dec->n_differences == 0) {
        own = decision_reason(dec, a);
    }
    causes_set(d->causes, instance, own ? UINT32_MAX : through, d->read_only ? "will run" : "ran",
               own);
}

const char *decision_reason(const struct decision *dec, struct arena *a)
{
    switch (dec->verdict) {
    case VERDICT_REFRESHED:
        return "--refresh";
    case VERDICT_DISABLED:
    case VERDICT_UNCACHEABLE:
        return arena_printf(a, "not memoized: %s",
                            dec->note ? dec->note : "it declares neither outputs nor values");
    default:
        break;
    }
    if (dec->n_differences == 0) {
        return dec->note ? dec->note : "never ran";
    }
    const char *first = whole_reason(&dec->differences[0], a);
    return dec->n_differences == 1
               ? first
               : arena_printf(a, "%s, and %zu more", first, dec->n_differences - 1);
}
