/* SPDX-License-Identifier: Apache-2.0 */
/* Removing entries that a user names (wf cache rm). As housekeeping does it: in short transactions beside running workflows, never what a running run uses. */
#ifndef WF_CACHE_REMOVE_H
#define WF_CACHE_REMOVE_H

#include "cache/gc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

struct remove_options {
    bool force;                    /* pinned ones too */
    bool dry_run;                  /* a store opened for reading will do */
    gc_live_entries *live_entries; /* as in gc_options */
    /* After each slice; false: stop. May be NULL. */
    bool (*progress)(uint64_t done, uint64_t removed, void *arg);
    void *arg;
};
struct remove_report {
    uint64_t removed, objects, bytes; /* what went (would go) */
    uint64_t pinned, in_use, gone;    /* what stays, and why; what was not there any more */
    bool complete;
};
int cache_remove(struct store *s, const int64_t *ids, size_t count, const struct remove_options *o,
                 struct remove_report *ret, struct err *err);
/* Brings the last hits up to date that runs have noted. Blocking; 0 or negative. ERR_BUSY: housekeeping is at it already. */
int cache_fold_hits(struct store *s, struct err *err);

#endif
