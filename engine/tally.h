/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache did in the newest runs: reuse, why steps ran all the same, what was saved and what it cost, step by step. Read from the journal alone. */
#ifndef WF_ENGINE_TALLY_H
#define WF_ENGINE_TALLY_H

#include "engine/decide.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;
struct tally;

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
