/* SPDX-License-Identifier: Apache-2.0 */
/* The cache entries a run has used so far, from its journal: what housekeeping must not take from a run that lives. */
#ifndef WF_ENGINE_USED_H
#define WF_ENGINE_USED_H

#include <stdint.h>

struct err;
struct store;

/* Calls add for each entry that was reused or made, in the journal's records after *seq, which it moves on (gc_live_entries of cache/gc.h). */
int used_by_run(struct store *s, const char *run, int64_t *seq,
                void (*add)(int64_t entry, void *arg), void *arg, struct err *err);

#endif
