/* SPDX-License-Identifier: Apache-2.0 */
/* Why instances run, followed from step to step down to the root. One per run or dry run; loop thread only. Each answer costs the links it shows, however long the way is. */
#ifndef WF_ENGINE_CAUSES_H
#define WF_ENGINE_CAUSES_H

#include "cache/explain.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct causes;

enum { CHAIN_SHOWN = 8 };

struct causes *causes_new(uint32_t n); /* n: instances. Takes memory only when something is told */
void causes_free(struct causes *c);
/* The instance runs because `from` does (UINT32_MAX: for a reason of its own). `text`: that reason, copied; of one with a `from` NULL. `verb`: "ran", "will run", "may run"; static. Told in the order of the
 * graph: what is told of `from` must not change afterwards. */
void causes_set(struct causes *c, uint32_t instance, uint32_t from, const char *verb,
                const char *text);
bool causes_known(const struct causes *c, uint32_t instance);
/* The way from an instance to the root: itself first, the root last; at most CHAIN_SHOWN links, those left out between the last two counted. `name` gives instances' names. In `a`. */
size_t causes_chain(const struct causes *c, uint32_t instance,
                    const char *(*name)(uint32_t instance, const void *arg), const void *arg,
                    struct arena *a, struct why_link **ret);

#endif
