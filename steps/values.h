/* SPDX-License-Identifier: Apache-2.0 */
/* What a step leaves besides files: values (semantics 21) and metrics. Pure. */
#ifndef WF_STEPS_VALUES_H
#define WF_STEPS_VALUES_H

#include "cache/result.h"
#include "workflows/model.h"

#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;

#define VALUES_MAX ((size_t)1 << 20)
#define METRICS_MAX ((size_t)1 << 20)

/* The text of $WF_VALUES -> the step's values, in the order they are declared, in `a`. `out`: captured standard output for values from it, NULL: none captured. A missing, undeclared or
 * repeated name, text that is no UTF-8, more than 1 MiB: an error. */
int values_parse(const struct step *step, const char *text, size_t len, const char *out,
                 size_t out_len, struct arena *a, struct result_value **ret, uint32_t *ret_count,
                 struct err *err);
/* A metrics file -> one JSON object without white space, numbers as written; NaN and infinities, which are no JSON but which programs write, become null. In `a`. */
int metrics_parse(const char *text, size_t len, struct arena *a, const char **ret, struct err *err);

#endif
