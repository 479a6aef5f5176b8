/* SPDX-License-Identifier: Apache-2.0 */
/* The decision in order: is it memoized at all, is it to be refreshed, is there an entry, is it fresh, are its objects there. */
#include "engine/decide.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/objects.h"
#include "cache/policy.h"
#include "engine/lookback.h"

#include <stdlib.h>
#include <string.h>

const char *const verdict_names[VERDICT_COUNT] = {
    [VERDICT_HIT] = "hit",
    [VERDICT_MISS] = "miss",
    [VERDICT_REFRESHED] = "refreshed",
    [VERDICT_DISABLED] = "disabled",
    [VERDICT_UNCACHEABLE] = "uncacheable",
};

const char *const reason_names[REASON_COUNT] = {
    [REASON_NEVER] = "never ran",
    [REASON_FAILED] = "failed before",
    [REASON_NOT_STORED] = "not stored",
    [REASON_INPUT] = "input changed",
    [REASON_STEP] = "step changed",
    [REASON_PARAM] = "param changed",
    [REASON_ENV] = "env changed",
    [REASON_WORK] = "work changed",
    [REASON_IMAGE] = "image changed",
    [REASON_TTL] = "ttl over",
    [REASON_MEASURE] = "measure",
    [REASON_VERSION] = "version changed",
    [REASON_GONE] = "gone",
    [REASON_REFRESHED] = "refreshed",
    [REASON_OFF] = "switched off",
    [REASON_UNFIT] = "not memoized",
    [REASON_OTHER] = "other",
};
const char *const reason_codes[REASON_COUNT] = {
    [REASON_NEVER] = "never", [REASON_FAILED] = "failed",       [REASON_NOT_STORED] = "unstored",
    [REASON_INPUT] = "input", [REASON_STEP] = "step",           [REASON_PARAM] = "param",
    [REASON_ENV] = "env",     [REASON_WORK] = "work",           [REASON_IMAGE] = "image",
    [REASON_TTL] = "ttl",     [REASON_MEASURE] = "measure",     [REASON_VERSION] = "version",
    [REASON_GONE] = "gone",   [REASON_REFRESHED] = "refreshed", [REASON_OFF] = "off",
    [REASON_UNFIT] = "unfit", [REASON_OTHER] = "other",
};

static void mark(uint32_t instance, void *arg)
{
    ((bool *)arg)[instance] = true;
}

int decider_init(struct decider *d, struct store *s, const struct plan *p, bool off,
                 bool refresh_all, const char *const *refresh, size_t n_refresh, struct err *err)
{
    int rc;

    memset(d, 0, sizeof(*d));
    d->store = s;
    d->plan = p;
    d->off = off;
    d->refresh_all = refresh_all;
    if (n_refresh > 0) {
        d->refresh = xcalloc(p->n ? p->n : 1, sizeof(*d->refresh));
    }
    for (size_t i = 0; i < n_refresh; i++) {
        if (plan_match(p, refresh[i], mark, d->refresh) == 0) {
            rc = plan_no_match(p, "refresh", refresh[i], err);
            decider_done(d);
            return rc;
        }
    }
    rc = prior_open(s, p, &d->prior, err);
    if (rc < 0) {
        decider_done(d);
        return rc;
    }
    d->arena = arena_new();
    d->causes = causes_new(p->n);
    return 0;
}

void decider_done(struct decider *d)
{
    prior_free(d->prior);
    if (d->arena) {
        arena_free(d->arena);
    }
    causes_free(d->causes);
    lookback_free(d->lookback);
    map_done(&d->by_name);
    free(d->refresh);
    memset(d, 0, sizeof(*d));
}

static const struct step *step_of(const struct decider *d, uint32_t instance)
{
    return &d->plan->wf->steps[d->plan->instances[instance].step];
}

/* A candidate found by key or identity, copied where it stays. */
static const struct entry *keep(struct decider *d, const struct entry *found)
{
    return arena_memdup(d->arena, found, sizeof(*found));
}

static int by_key(struct decider *d, uint32_t instance, const struct question *q,
                  const struct entry **ret, struct err *err)
{
    const struct entry *before = prior_entry(d->prior, instance);
    struct entry found = {0};
    int rc;

    if (before && digest_eq(&before->key, &q->key)) {
        *ret = before;
        return 0;
    }
    rc = store_db(d->store) ? entry_find(d->store, &q->key, d->arena, &found, err) : 1;
    if (rc == 0) {
        *ret = keep(d, &found);
    }
    return rc;
}

static int by_identity(struct decider *d, const struct question *q, const struct entry **ret,
                       struct err *err)
{
    struct entry found = {0};
    int rc = store_db(d->store) ? entry_newest(d->store, &q->identity, d->arena, &found, err) : 1;

    if (rc == 0) {
        *ret = keep(d, &found);
    }
    return rc;
}

static bool fresh(const struct decider *d, uint32_t instance, const struct question *q,
                  const struct entry *e, struct arena *a, struct decision *ret)
{
    const struct cache_options *o = &step_of(d, instance)->cache;
    CLEANUP(sb_done) struct str why = {0};
    struct policy p = {.ttl_ms = o->ttl_ms, .threshold = o->threshold};
    struct result r = {0};
    const char *what = NULL;
    int64_t now = now_ms();
    bool yes;

    if (!q->has_identity && o->ttl_ms == 0) {
        return true; /* content alone: an entry is an answer */
    }
    p.kind = !q->has_identity          ? POLICY_CONTENT
             : o->policy == CACHE_TIME ? POLICY_TIME
                                       : POLICY_CHANGE;
    if (p.kind == POLICY_CHANGE) {
        what = o->measure == MEASURE_COMMAND ? "measure" : measure_names[o->measure];
        p.unknown = q->measure_why;
        if (result_decode(e->data, e->data_len, a, &r, NULL) < 0) {
            ret->reason = REASON_GONE;
            return false;
        }
    }
    yes = policy_fresh(&p, now, e->made_at_ms, what, r.measure, q->measure, &why);
    if (!yes) { /* a ttl counts beside the measure, and before it */
        struct policy age = {.kind = POLICY_TIME, .ttl_ms = o->ttl_ms};
        bool young =
            p.kind == POLICY_CHANGE &&
            (o->ttl_ms <= 0 || policy_fresh(&age, now, e->made_at_ms, NULL, NULL, NULL, NULL));
        ret->reason = young ? REASON_MEASURE : REASON_TTL;
    }
    ret->note = why.len > 0 ? arena_strdup(a, sb_text(&why)) : NULL;
    return yes;
}

/* What is wrong with what was kept, and whether the entry goes for it: what only cannot be read just now stays. */
static void tell_lost(const struct decider *d, uint32_t instance, enum object_state state,
                      const struct digest *bad, struct arena *a, struct decision *ret)
{
    const char *name = d->plan->instances[instance].name;
    char hex[DIGEST_HEX + 1];

    digest_hex(bad, hex);
    ret->reason = REASON_GONE;
    if (state == OBJECT_UNREADABLE) {
        ret->note =
            arena_printf(a, "what was kept of it cannot be read (object sha256:%.12s)", hex);
        ret->warning = arena_printf(a,
                                    "what is kept of %s cannot be read (object sha256:%s), so that "
                                    "it runs again: see whose files the store's are",
                                    name, hex);
    } else if (digest_is_zero(bad)) {
        ret->note = "what was kept of it is damaged (the entry's own record)";
        ret->warning =
            arena_printf(a, "the cache entry of %s was dropped: its record is damaged", name);
    } else {
        const char *how = state == OBJECT_MISSING ? "gone" : "damaged";
        ret->note = arena_printf(a, "what was kept of it is %s (object sha256:%.12s)", how, hex);
        ret->warning = arena_printf(
            a, "the cache entry of %s was dropped: its object sha256:%s is %s", name, hex, how);
    }
}

static bool objects_good(struct decider *d, uint32_t instance, const struct entry *e,
                         struct arena *a, struct decision *ret)
{
    struct digest bad;
    enum object_state state = entry_check_objects(d->store, e, &bad);

    if (state == OBJECT_GOOD) {
        return true;
    }
    tell_lost(d, instance, state, &bad, a, ret);
    if (!d->read_only && state != OBJECT_UNREADABLE) {
        entry_drop(d->store, e->id);
    }
    if (!d->read_only) {
        prior_forget(d->prior, instance);
    }
    return false;
}

int decide(struct decider *d, uint32_t instance, const struct question *q, struct arena *a,
           struct decision *ret, struct err *err)
{
    const struct entry *e = NULL;
    int rc;

    memset(ret, 0, sizeof(*ret));
    if (d->off || step_of(d, instance)->cache.policy == CACHE_OFF) {
        ret->verdict = VERDICT_DISABLED;
        ret->reason = REASON_OFF;
        ret->note = d->off                          ? "--no-cache"
                    : step_of(d, instance)->finally ? "it stands under finally"
                                                    : "cache: false";
        return 0;
    }
    if (!q->memoized) {
        ret->verdict = VERDICT_UNCACHEABLE;
        ret->reason = REASON_UNFIT;
        ret->note = q->why_not;
        return 0;
    }
    if (d->refresh_all || (d->refresh && d->refresh[instance])) {
        ret->verdict = VERDICT_REFRESHED;
        ret->reason = REASON_REFRESHED;
        return 0;
    }
    ret->verdict = VERDICT_MISS;
    rc = q->has_identity ? by_identity(d, q, &e, err) : by_key(d, instance, q, &e, err);
    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    if (fresh(d, instance, q, e, a, ret) && objects_good(d, instance, e, a, ret)) {
        ret->verdict = VERDICT_HIT;
        ret->entry = e;
    }
    return 0;
}

const char *decide_blind(const struct decider *d, uint32_t instance)
{
    if (d->off) {
        return "not memoized: --no-cache";
    }
    if (step_of(d, instance)->cache.policy == CACHE_OFF) {
        return "not memoized: cache: false";
    }
    return d->refresh_all || (d->refresh && d->refresh[instance]) ? "--refresh" : NULL;
}
