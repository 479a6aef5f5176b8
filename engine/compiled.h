/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled plans: model and plan as one image (base/arena.h) in the store's plans/, named by the digest of all that went into them. Never trusted beyond that digest, deleted at will. */
#ifndef WF_ENGINE_COMPILED_H
#define WF_ENGINE_COMPILED_H

#include "base/digest.h"
#include "engine/plan.h"

#include <stddef.h>

/* The digest of {build, format, file name and folder, text, params, what was asked of the loader}. Reads the params file. */
int compiled_tag(const struct load_options *o, const char *text, size_t len, struct digest *ret,
                 struct err *err);
/* 0: *ret_arena (owned by the caller) and *ret are set; 1: there is none that can be used. Blocking. */
int compiled_load(struct store *s, const struct digest *tag, struct arena **ret_arena,
                  struct plan **ret);
/* Writes the compiled form of a plan that plan_open() parsed (p->unsaved), and keeps plans/ within its bounds (the newest 50 plans, 512 MB; what was learnt of
 * URLs, the 10,000 last used, 60 days). Harmless when there is nothing to write or it
 * cannot be written. Blocking; for any thread, one at a time, while nobody frees the plan. */
void compiled_save(struct store *s, struct plan *p);

#endif
