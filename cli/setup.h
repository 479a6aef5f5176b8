/* SPDX-License-Identifier: Apache-2.0 */
/* What several commands begin with: params from the command line, the store, a plan with its diagnostics. */
#ifndef WF_CLI_SETUP_H
#define WF_CLI_SETUP_H

#include "cli/command.h"
#include "engine/plan.h"
#include "workflows/diag.h"

struct arena;
struct loop;
struct store;

#define OPT_PARAMS                                                                                 \
    {"param", 'p', OPT_LIST, "NAME=VALUE", "Sets a param of the workflow; repeatable"},            \
    {                                                                                              \
        "params-file", 0, OPT_TEXT, "FILE", "Reads params from a YAML or JSON mapping"             \
    }

/* A file's plan and what it stands on. */
struct setup {
    struct loop *loop;
    struct store *store;
    struct arena *arena;
    struct plan *plan;
    struct diags diags;
    char *text;
    size_t text_len;
    struct param_override *params;
    size_t n_params;
};
/* `writes`: the store is opened for writing, with a loop. `parse`: never from a compiled plan. Prints diagnostics and errors; returns EXIT_OK or the exit code to end with. */
int setup_open(const struct cli *c, const struct args *a, const char *file, bool writes, bool parse,
               struct setup *ret);
void setup_close(struct setup *s);
/* "name=value" options -> overrides (owned by the caller; they point into argv copies that live as long). */
int setup_params(const struct cli *c, const struct args *a, struct param_override **ret,
                 size_t *ret_count);
void setup_params_free(struct param_override *p, size_t n);
/* Can a loop, a store and a few steps' pipes be opened? EXIT_OK, or it says which limit to raise. */
int setup_check_files(const struct cli *c);
/* Opens the store for reading only. */
int setup_store(const struct cli *c, struct store **ret);

#endif
