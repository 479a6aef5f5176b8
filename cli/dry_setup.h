/* SPDX-License-Identifier: Apache-2.0 */
/* What `wf plan` and `wf explain` share: a decided dry run of a file. */
#ifndef WF_CLI_DRY_SETUP_H
#define WF_CLI_DRY_SETUP_H

#include "cli/setup.h"
#include "engine/dry.h"

struct executor;
struct jsonw;

struct dry_setup {
    struct setup setup;
    struct executor *containers;
    struct dry *dry;
    const char **refresh;
};
/* only: a step or branch, which alone is asked for; NULL: all. */
int dry_setup_open(const struct cli *c, const struct args *a, const char *file, const char *only,
                   struct dry_setup *ret);
/* The same, and the questions are kept. */
int dry_setup_open_questions(const struct cli *c, const struct args *a, const char *file,
                             struct dry_setup *ret);
/* The error for a word that means no step of the plan, with the nearest one. */
int dry_unknown_step(const struct cli *c, const struct plan *p, const char *word);
void dry_setup_close(struct dry_setup *s);
/* One step's decision as a JSON object (cmd_plan.c). */
void dry_json(const struct plan *p, const struct dry *d, uint32_t instance, struct jsonw *w);

#endif
