/* SPDX-License-Identifier: Apache-2.0 */
/* What the `wf models` commands share: select steps named on the command line, where promotions serve, which models are barred. */
#ifndef WF_CLI_MODELS_H
#define WF_CLI_MODELS_H

#include "engine/promotions.h"
#include "serve/desired.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct cli;
struct err;
struct store;
struct str;

/* A service whose models a select step chose, and how it stands; or one that combines the answers of such a service. */
struct serving {
    struct service_row row;
    const char *select;
    const char *over; /* the service it combines; NULL: it serves models */
};
struct registry {
    struct store *store;
    struct arena *arena;
    struct serving *serving; /* only those that are wanted */
    size_t n_serving;
    struct barred_model *barred;
    size_t n_barred;
};
int registry_read(struct store *s, struct arena *a, struct registry *ret, struct err *err);
/* The services where this promotion is live: the next at or after *at, which moves on; NULL: no more. */
const struct serving *registry_serves(const struct registry *r, const struct promotion *p,
                                      size_t *at);
bool registry_is_live(const struct registry *r, const struct promotion *p);
bool registry_is_barred(const struct registry *r, const struct promotion *p,
                        const struct promoted_model *m);

/* "[WORKFLOW/]STEP[@N]": the select step that is meant; *ret_number 0: none was named. Strings live in `a`. Prints what is wrong; returns EXIT_OK or the exit code to end with. */
int registry_name(const struct cli *c, struct store *s, const char *word, struct arena *a,
                  const char **ret_workflow, const char **ret_step, uint32_t *ret_number);
/* "WORKFLOW", "STEP" or "WORKFLOW/STEP" of a listing; what is not named is NULL. */
int registry_filter(const struct cli *c, struct store *s, const char *word, struct arena *a,
                    const char **ret_workflow, const char **ret_step);
/* "mlp 0.889, forest 0.875" */
void add_models(struct str *out, const struct promotion *p);

#endif
