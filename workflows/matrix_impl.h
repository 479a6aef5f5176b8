/* SPDX-License-Identifier: Apache-2.0 */
/* Between reading a matrix from YAML and expanding it. */
#ifndef WF_WORKFLOWS_MATRIX_IMPL_H
#define WF_WORKFLOWS_MATRIX_IMPL_H

#include "workflows/diag.h"
#include "workflows/expr.h"
#include "workflows/yaml.h"

struct matrix_reader {
    struct scope scope; /* its arena is scratch */
    struct arena *arena;
    struct diags *diags;
    bool failed;
    bool unknown; /* a param it needs has no value (only `wf check` goes on then) */
};

/* The node with its expressions evaluated, in the reader's arena; false: failed or unknown is set. */
bool matrix_read(struct matrix_reader *r, const struct node *n, struct value *ret);
/* The node a part of a value came from: an expression's parts all come from its own. */
const struct node *matrix_part(const struct node *n, uint32_t i);
/* Appends an instance's name: step[axis=value,…]. */
struct matrix_row;
void matrix_row_name(const char *step, const struct matrix_row *row, struct str *out);

#endif
