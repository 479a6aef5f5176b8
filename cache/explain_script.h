/* SPDX-License-Identifier: Apache-2.0 */
/* Two texts by line. */
#ifndef WF_CACHE_EXPLAIN_SCRIPT_H
#define WF_CACHE_EXPLAIN_SCRIPT_H

/* Calls fn for each line that differs ("line 3", numbered in the new text), old or now NULL where there is none; after 20 once more with the number of those left. */
void explain_script(const char *old, const char *now,
                    void (*fn)(const char *name, const char *old, const char *now, void *arg),
                    void *arg);

#endif
