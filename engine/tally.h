/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache did in the newest runs: reuse, why steps ran all the same, what was saved and what it cost, step by step. Read from the journal alone. */
#ifndef WF_ENGINE_TALLY_H
#define WF_ENGINE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;
struct tally;

/* Why an instance ran. */
enum tally_reason {
    REASON_NEVER,     /* never ran before, or nothing is left of it */
    REASON_INPUT,     /* an input's content or a source's */
    REASON_STEP,      /* the output or value of a step */
    REASON_PARAM,     /* a param, or an expression's value */
    REASON_ENV,       /* environment and secrets */
    REASON_WORK,      /* script, command, program, declared outputs and the like */
    REASON_IMAGE,     /* image or platform */
    REASON_TTL,       /* older than its ttl */
    REASON_MEASURE,   /* the measure of a source */
    REASON_VERSION,   /* cache.version */
    REASON_GONE,      /* an entry or its files are no more */
    REASON_REFRESHED, /* --refresh */
    REASON_OFF,       /* --no-cache, cache: false */
    REASON_NOT_KEPT,  /* cannot be memoized */
    REASON_OTHER,
    REASON_COUNT
};
extern const char *const tally_reason_names[REASON_COUNT];

struct tally_count {
    uint64_t hits, misses[REASON_COUNT], failed, stored;
    int64_t saved_ms;     /* what the hits took when they ran */
    uint64_t saved_bytes; /* outputs of hits: not made again */
    int64_t ran_ms;
    int64_t storing_us; /* hashing and storing what was made */
};
struct tally_step {
    const char *workflow, *step;
    struct tally_count count;
};
/* Of at most `runs` of the newest runs (of `workflow`, NULL: all), fewer where they are large. */
int tally_open(struct store *s, const char *workflow, uint32_t runs, struct tally **ret,
               struct err *err);
void tally_free(struct tally *t);
uint32_t tally_runs(const struct tally *t);
const struct tally_count *tally_all(const struct tally *t);
/* By what was saved, most first; borrowed. */
const struct tally_step *tally_steps(const struct tally *t, size_t *ret_count);
uint64_t tally_misses(const struct tally_count *c); /* all reasons */
/* Storing its results took longer than reusing them saved, over several attempts. */
bool tally_costs_more(const struct tally_count *c);

#endif
