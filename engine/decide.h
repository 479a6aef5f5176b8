/* SPDX-License-Identifier: Apache-2.0 */
/* May an answered question be spared its attempt? The one decision that a run and `wf plan` share. Reads only, but for the entries whose objects are damaged, which it has dropped. */
#ifndef WF_ENGINE_DECIDE_H
#define WF_ENGINE_DECIDE_H

#include "base/map.h"
#include "cache/explain.h"
#include "engine/causes.h"
#include "engine/prior.h"
#include "steps/question.h"

#include <stdbool.h>
#include <stdint.h>

enum verdict {
    VERDICT_HIT,
    VERDICT_MISS,
    VERDICT_REFRESHED,
    VERDICT_DISABLED,
    VERDICT_UNCACHEABLE,
    VERDICT_COUNT
};
extern const char *const verdict_names[VERDICT_COUNT];

/* Why an instance runs, in one word: what `cache stats` counts. Its code stands in the `started` record. */
enum reason {
    REASON_NEVER,      /* never ran before, as far as is known */
    REASON_FAILED,     /* its last attempt failed or was cut off: nothing is kept of it */
    REASON_NOT_STORED, /* it ran, but its result was not kept */
    REASON_INPUT,      /* an input's content or a source's */
    REASON_STEP,       /* the output or value of a step */
    REASON_PARAM,      /* a param, or an expression's value */
    REASON_ENV,        /* environment and secrets */
    REASON_WORK,       /* script, command, program, declared outputs and the like */
    REASON_IMAGE,      /* image or platform */
    REASON_TTL,        /* older than its ttl */
    REASON_MEASURE,    /* the measure of a source */
    REASON_VERSION,    /* cache.version */
    REASON_GONE,       /* an entry or its files are no more */
    REASON_REFRESHED,  /* --refresh */
    REASON_OFF,        /* --no-cache, cache: false */
    REASON_UNFIT,      /* cannot be memoized */
    REASON_OTHER,      /* not recorded, or by another version */
    REASON_COUNT
};
extern const char *const reason_names[REASON_COUNT]; /* words for people, and for `--json` */
extern const char *const reason_codes[REASON_COUNT];

struct decider {
    struct store *store;
    const struct plan *plan;
    struct prior *prior; /* owned */
    struct arena *arena; /* owned: entries found by key */
    bool off;            /* --no-cache */
    bool read_only;      /* nothing is dropped */
    bool refresh_all;
    bool *refresh; /* per instance; owned; NULL: none */
    /* For decide_why() alone: */
    struct causes *causes;     /* owned */
    struct lookback *lookback; /* owned; NULL: not needed so far */
    struct map by_name;        /* instances; empty: not needed so far */
    uint32_t looked_up;        /* chains followed through the store */
};
struct decision {
    enum verdict verdict;
    const struct entry *entry; /* of a hit; lives as long as the decider */
    const char *
        note; /* the evidence in words where there is some: "never ran", "made 15d ago, fresh for 14d", why it is not memoized. Arena or static */
    enum reason reason;             /* of a miss only known after decide_why() */
    const char *warning;            /* what had to be dropped; NULL */
    struct difference *differences; /* of a miss, only by decide_why() */
    size_t n_differences;
    int64_t against; /* the entry they were found against; 0: none */
};

/* Words: step or instance names; an unknown one is ERR_USAGE. */
int decider_init(struct decider *d, struct store *s, const struct plan *p, bool off,
                 bool refresh_all, const char *const *refresh, size_t n_refresh, struct err *err);
void decider_done(struct decider *d);
/* `a` receives texts. Negative: the store cannot be read. */
int decide(struct decider *d, uint32_t instance, const struct question *q, struct arena *a,
           struct decision *ret, struct err *err);
/* Why no answer would be taken whatever the question turns out to be: --no-cache, `cache: false`, --refresh. NULL: it depends. */
const char *decide_blind(const struct decider *d, uint32_t instance);
/* Of what is about to run: fills differences and note of a miss, against what this instance used last, with the way from each to its root, and tells d->causes for those that depend on it (why.c). Best
 * effort, and only for what runs: a hit never comes here. With d->read_only whatever it costs; else it reads little. */
void decide_why(struct decider *d, uint32_t instance, const struct question *q,
                const struct world *w, struct arena *a, struct decision *dec);
/* Of one whose question cannot be asked yet: differences of its work alone, against the same. Without any the decision stays as it is. */
void decide_known(struct decider *d, uint32_t instance, struct arena *a, struct decision *dec);
/* The reason in one line: "--refresh", "never ran", "input a.csv: content changed (…), and 2 more". In `a`, or static. */
const char *decision_reason(const struct decision *dec, struct arena *a);

#endif
