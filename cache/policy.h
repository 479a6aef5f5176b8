/* SPDX-License-Identifier: Apache-2.0 */
/* May this entry be reused? Pure decisions over facts the caller gathered (cache.md "Policies", engine.md 17). */
#ifndef WF_CACHE_POLICY_H
#define WF_CACHE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct str;

enum policy_kind { POLICY_CONTENT, POLICY_TIME, POLICY_CHANGE };
struct policy {
    enum policy_kind kind;
    int64_t ttl_ms;   /* 0: none */
    double threshold; /* of POLICY_CHANGE */
    const char *
        unknown; /* of POLICY_CHANGE: why there is no measure now ("its command …"); NULL: not told */
};
/* now and made_at in ms since 1970; baseline and measure: a number or a word as text (NULL: unknown). True: reuse. `why` (may be NULL) gets the evidence either way:
 * "reused: 3d old, fresh for 14d", "reused: records 10,120 vs 10,000, 1.2% < 20%", "made 15d ago, fresh for 14d". An entry from the future is stale; a baseline of 0 or a failed measure means run. */
bool policy_fresh(const struct policy *p, int64_t now_ms, int64_t made_at_ms, const char *what,
                  const char *baseline, const char *measure, struct str *why);

#endif
