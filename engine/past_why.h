/* SPDX-License-Identifier: Apache-2.0 */
/* Why a step ran in a past run: what its journal tells, and, where that was cut short, the stored actions once more. */
#ifndef WF_ENGINE_PAST_WHY_H
#define WF_ENGINE_PAST_WHY_H

#include "cache/explain.h"
#include "engine/history.h"

#include <stdint.h>

struct past_why {
    const char
        *verdict; /* "hit", "miss", "refreshed", "disabled", "uncacheable"; NULL: it never began */
    const char *
        note; /* "never ran", "made 15d ago, fresh for 14d", why it is not memoized, why it was skipped, why it was reused; NULL */
    const char *made_by; /* of a hit: the run of this store whose result it is; NULL: not known */
    const char *made_in; /* of a hit: the id of the other store that made it; NULL: this one */
    struct difference *differences;
    size_t n_differences;
    size_t more; /* differences that are not known any more: one of the two actions is gone */
};
/* `step` is filled (history_fill). Everything lives in `a`. Best effort: what cannot be read is left out. */
void past_why(struct store *s, const struct past_step *step, struct arena *a, struct past_why *ret);
/* Of one that was reused (and is filled), in few words: "made by run 01M7…", "made in another store", "adopted 2026-…", "7m old, fresh for 14d; made by run 01M7…". In `a`, or static. */
const char *past_reuse(const struct past_step *step, struct arena *a);

#endif
