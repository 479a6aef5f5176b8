/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in kinds that read other steps' branches: select (semantics 28) and aggregate (semantics 32). */
#ifndef WF_STEPS_AGGREGATE_H
#define WF_STEPS_AGGREGATE_H

#include "base/str.h"
#include "cache/result.h"
#include "steps/world.h"

#include <stdint.h>

struct arena;
struct err;

/* The branches under `from`, in order: of a select step the chosen models, best first; else in matrix order. */
struct from_item {
    uint32_t step, row;
    const struct result *result;        /* NULL: it did not succeed (select only) */
    const struct result_output *output; /* aggregate: what is combined; NULL: all of them */
};
struct from_list {
    struct from_item *items;
    size_t count;
    uint32_t failed; /* branches without a result */
};
int from_collect(const struct world *w, const struct instance_ref *i, struct arena *a,
                 struct from_list *ret, struct err *err);

/* The choice as the value `models`: JSON in `out`. */
int select_choose(const struct world *w, const struct instance_ref *i, const struct from_list *from,
                  struct arena *a, struct str *out, struct err *err);
/* The metric of a candidate with these metrics (a JSON object; NULL: none). False: it has no usable one, or one beyond the thresholds. `a`: for what is read on the way. */
bool select_metric(const struct select_options *o, const char *metrics, struct arena *a,
                   double *ret);
/* Why a candidate with these metrics counts as failed ("has no metric 'accuracy', only acc, loss"), owned by the caller; NULL: it does not. */
char *select_unusable(const struct select_options *o, const char *metrics);
/* Combines documents (JSON texts, in order) by a method other than best. `names` are for messages. Pure; any thread. */
int aggregate_combine(enum method method, const struct slice *documents, const char *const *names,
                      size_t count, struct str *out, struct err *err);

/* The same for numbers that are 32-bit floats: a mean is one too, and written with as few digits as tell which. */
int aggregate_combine_single(enum method method, const struct slice *documents,
                             const char *const *names, size_t count, struct str *out,
                             struct err *err);

#endif
