/* SPDX-License-Identifier: Apache-2.0 */
/* Two texts by line: scripts, and the texts of workflows. */
#ifndef WF_CACHE_EXPLAIN_SCRIPT_H
#define WF_CACHE_EXPLAIN_SCRIPT_H

#include "base/str.h"

#include <stddef.h>

/* A line that differs: replaced (both), new (old_line 0) or no longer there (new_line 0). Numbers count from 1, each in its own text. Slices point into the texts. */
struct line_change {
    size_t old_line, new_line;
    struct slice old, now;
};
/* Calls fn for each line that differs, in order, with as few of them as possible: up to 1,000 (beyond that, what stands between the common head and the common tail is compared line by line, so that
 * time and memory stay bounded). A missing line break at the very end is no difference here. */
void explain_lines(const char *old, const char *now,
                   void (*fn)(const struct line_change *c, void *arg), void *arg);

#endif
