/* SPDX-License-Identifier: Apache-2.0 */
/* What became of steps in the newest runs of their workflow, for explanations. Read once, when somebody asks; loop thread only, blocking. */
#ifndef WF_ENGINE_LOOKBACK_H
#define WF_ENGINE_LOOKBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct lookback;
struct plan;
struct store;

/* `far`: the newest ten runs and up to 64 MB of their journals (for commands that explain); else three and 8 MB (within a run, which should go on). Never fails: what cannot be read is not known. */
struct lookback *lookback_open(struct store *s, const struct plan *p, bool far);
void lookback_free(struct lookback *l);
/* The newest entry the instance used or made; 0: none in the runs looked at. */
int64_t lookback_entry(const struct lookback *l, uint32_t instance);
/* Why there is no result of it: "its last attempt failed (run 01J…), and nothing is kept of a failure"; NULL: no run looked at began it. In `a`. *ret_failed: it
 * ended badly or not at all; false: it ended well, and was not stored. */
const char *lookback_note(const struct lookback *l, uint32_t instance, struct arena *a,
                          bool *ret_failed);
/* The entry that an instance used or made in one run; 0: none, or the run is gone. */
int64_t lookback_used(struct store *s, const char *run, const char *instance);

#endif
