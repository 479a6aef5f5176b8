/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in a log become ***: what a step writes goes through a pipe, a thread of its own replaces every secret value, also across the borders of what is read at once, and writes the
 * rest to the log. (A thread, since an executor may itself write to the pipe on the loop's.) */
#ifndef WF_STEPS_MASK_H
#define WF_STEPS_MASK_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;

/* The replacing alone. */
struct masker;
struct masker *masker_new(const char *const *secrets,
                          size_t count); /* copies; empty ones are left out */
void masker_free(struct masker *m);
/* Adds `data` and appends to `out` what is certain by now. */
void masker_add(struct masker *m, const char *data, size_t len, struct str *out);
void masker_end(struct masker *m, struct str *out); /* what was held back */

struct mask;
/* log_fd is borrowed until on_done; *ret_fd, for the step to write to, belongs to the mask. */
int mask_open(struct loop *l, const char *const *secrets, size_t count, int log_fd,
              struct mask **ret, int *ret_fd, struct err *err);
/* The step has ended: reads what is left, for limit_ms at most, then calls on_done from the loop. */
void mask_finish(struct mask *m, int64_t limit_ms, void (*on_done)(void *arg), void *arg);
void mask_free(struct mask *m); /* before on_done: stops at once, never calls it */

#endif
