/* SPDX-License-Identifier: Apache-2.0 */
/* A past run named on the command line, loaded. */
#ifndef WF_CLI_PAST_H
#define WF_CLI_PAST_H

#include "cli/setup.h"
#include "engine/history.h"

struct past {
    struct store *store;
    struct arena *arena;
    struct past_run run;
};
int past_open(const struct cli *c, const char *word,
              struct past *ret); /* an exit code; prints errors */
void past_close(struct past *p);
/* "[RUN] [STEP…]": run ids begin with a digit (or are "latest", "latest~N", "previous"), steps never do. *ret_rest: where the steps begin. */
int past_open_args(const struct cli *c, const struct args *a, struct past *ret, size_t *ret_rest);
/* The instances a word means: all branches of a step, or one. Returns how many; fn may be NULL. */
size_t past_match(const struct past_run *r, const char *word,
                  void (*fn)(const struct past_step *s, void *arg), void *arg);
/* The error for a word that means none, with the nearest step. */
int past_unknown_step(const struct cli *c, const struct past_run *r, const char *word);

#endif
