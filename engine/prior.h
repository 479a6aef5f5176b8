/* SPDX-License-Identifier: Apache-2.0 */
/* What earlier runs used: per instance of a plan the row id of a cache entry, and those entries, read by id in slices (engine.md 10). Loop thread only. */
#ifndef WF_ENGINE_PRIOR_H
#define WF_ENGINE_PRIOR_H

#include "cache/entries.h"
#include "engine/plan.h"

#include <stdint.h>

struct prior;

/* The ids of the newest run of the same plan; instances it has none for (and all of them when the workflow's text or params changed) get theirs by name from the newest few runs of the workflow. */
int prior_open(struct store *s, const struct plan *p, struct prior **ret, struct err *err);
void prior_free(struct prior *p);
int64_t prior_id(const struct prior *p, uint32_t instance); /* 0: never made, or long ago */
/* The entry behind it; NULL: none, or it is gone. Lives as long as the prior. */
const struct entry *prior_entry(struct prior *p, uint32_t instance);

/* Its entry is no answer any more: its objects are gone. */
void prior_forget(struct prior *p, uint32_t instance);

/* Runs' `used`: an int64_t per instance, little-endian, in plan order; 0: none. */
int64_t used_get(const void *used, uint32_t instance);
/* Plans' `names` as the store keeps them: u32 count, a byte per instance (kind | executor << 4 | NAMES_PUBLISHES), the names NUL-separated. */
#define NAMES_PUBLISHES 0x80U /* gc reads it too (cache/gc_live.c): what is published is kept */
void names_encode(const struct plan *p, struct str *out);
struct names {
    uint32_t n;
    const unsigned char *tags;
    const char *text; /* n names, each with its NUL */
    size_t len;
};
bool names_decode(const void *blob, size_t len, struct names *ret); /* borrowed from blob */

#endif
