/* SPDX-License-Identifier: Apache-2.0 */
/* A step's `matrix` -> its branches (semantics 8, 9): product of the axes, minus `exclude`, then `include` by GitHub's rule; instance names. */
#ifndef WF_WORKFLOWS_MATRIX_H
#define WF_WORKFLOWS_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct diags;
struct node;
struct scope;
struct step;

/* Fills step->rows from the YAML node (NULL: no matrix, one row named as the step). Expressions in it may use params (s); a reference to steps is refused as
 * not supported yet. Problems (non-scalar values, unknown axes in exclude, equal names, over 100,000 branches) go to d. */
bool matrix_expand(struct step *step, const struct node *matrix, const struct scope *s,
                   struct arena *a, struct diags *d);

#endif
