/* SPDX-License-Identifier: Apache-2.0 */
/* Names of models in URLs: [A-Za-z0-9._-]{1,64}, never beginning with a dot. */
#ifndef WF_STEPS_SLUG_H
#define WF_STEPS_SLUG_H

#include "workflows/model.h"

#include <stdint.h>

struct arena;

/* The values of the branch's axes joined by "-", else the step's name; every other character is "_". Arena text. */
const char *model_slug(const struct step *step, uint32_t row, struct arena *a);
/* Gives those that are there already "-2", "-3", …; the first keeps its own. */
void slugs_make_unique(const char **slugs, uint32_t count, struct arena *a);

#endif
