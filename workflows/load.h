/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow file (and params) -> checked model, or diagnostics. The only reader of YAML. */
#ifndef WF_WORKFLOWS_LOAD_H
#define WF_WORKFLOWS_LOAD_H

#include "workflows/diag.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct err;
struct str;
struct workflow;

struct param_override {
    const char *name;
    const char *value;
}; /* text as given with -p; read by the param's type, never as YAML */

struct load_options {
    const char *file; /* as the user named it; "-" is not a file */
    const struct param_override *params;
    size_t n_params;
    const char *params_file;   /* YAML or JSON mapping, NULL */
    bool allow_missing_params; /* `wf check`: a required param without a value is no error */
    bool want_warnings;        /* `wf check`, `wf run`: also make the warnings */
};

/* Reads the bytes of the file (ERR_NOT_FOUND, ERR_IO, larger than 64 MiB: ERR_INVALID). Separate, so that a caller can digest them before parsing. */
int load_read(const char *file, struct str *ret_text, struct err *err);
/* text -> model in `a`. 0: *ret is set. 1: there are errors in d (rendered by the caller). Negative: -p names an unknown param or an ill-typed value,
 * or the params file cannot be read (ERR_USAGE). */
int workflow_load(const char *text, size_t len, const struct load_options *o, struct arena *a,
                  struct diags *d, struct workflow **ret, struct err *err);

#endif
