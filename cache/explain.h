/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two actions, part by part, in words a user knows. */
#ifndef WF_CACHE_EXPLAIN_H
#define WF_CACHE_EXPLAIN_H

#include <stddef.h>

struct arena;
struct err;

struct difference {
    const char *
        part; /* "input", "param", "env", "image", "script", "output", "step" (a needed step's output), "value", "policy", "version", "program", "platform", … */
    const char *name;      /* "train.csv", "lr"; NULL where the part says it all */
    const char *old, *now; /* NULL: was not there / is no more */
};
/* Both sides: action JSON and the work JSON it names. Differences live in `a`. Scripts are compared by line ("script line 3"). */
int explain_diff(const char *old_action, const char *old_work, const char *new_action,
                 const char *new_work, struct arena *a, struct difference **ret, size_t *ret_count,
                 struct err *err);
/* "input train.csv: content changed (sha256:12ab… → 9f03…)", "param lr: 0.1 → 0.2". Arena string. */
const char *difference_sentence(const struct difference *d, struct arena *a);

#endif
