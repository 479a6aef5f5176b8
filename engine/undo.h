/* SPDX-License-Identifier: Apache-2.0 */
/* A canary that had too many errors: its promotion is rolled back in the registry, as `wf models rollback` would (semantics 31), and the service wants what it serves. */
#ifndef WF_ENGINE_UNDO_H
#define WF_ENGINE_UNDO_H

#include "serve/spec.h"

#include <stdbool.h>

struct store;

/* From the promotion of `tried` back to that of `live`, unless another one stands by now. Both are borrowed for the call. Loop thread of a store with a writer; done(arg) from the loop when that is written, or cannot be. False: there is nothing to do, and done is not called. */
bool undo_canary(struct store *s, const struct service_spec *tried, const struct service_spec *live,
                 void (*done)(void *arg), void *arg);

#endif
