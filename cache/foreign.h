/* SPDX-License-Identifier: Apache-2.0 */
/* A result that was made elsewhere: what an archive or a shared cache brought. Its key and its objects are proven by digests; here is asked what no digest proves: is it a result that wf would have
 * stored for this work? */
#ifndef WF_CACHE_FOREIGN_H
#define WF_CACHE_FOREIGN_H

#include "cache/manifest.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct result;
struct store;

/* UTF-8 without control characters: can be shown on a terminal. NULL is. */
bool foreign_text(const char *text);

/* Its outputs and values are those that the work (JSON, steps/action.h) declares, each once, with the declared paths and checks; paths stay below their folder, texts can be shown, JSON is JSON,
 * times are believable. ERR_CORRUPT with words that follow upon "the result of X". */
int foreign_check(const struct result *r, const char *work, size_t work_len, struct err *err);

/* The lists of its folders, which must be in the store: laid out they stay inside, and hold as many bytes as the result says. ERR_CORRUPT as above; ERR_NOT_FOUND, ERR_IO: one cannot be read. */
int foreign_check_folders(struct store *s, const struct result *r, struct err *err);

#endif
