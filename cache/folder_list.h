/* SPDX-License-Identifier: Apache-2.0 */
/* What was in the folders that steps read, for explanations alone: folders/HEX below the store holds the manifest (manifest.h) whose SHA-256 is HEX. No entry names such a list and no answer depends on it:
 * it can be deleted at will, and the oldest go by themselves (about 4,096 lists, 256 MiB). Blocking; any thread. */
#ifndef WF_CACHE_FOLDER_LIST_H
#define WF_CACHE_FOLDER_LIST_H

#include "base/digest.h"

#include <stddef.h>

struct store;
struct str;

/* Keeps a folder's manifest, or marks the one kept as used now. Best effort: one above 16 MiB (some 130,000 files) is not kept. */
void folder_list_keep(struct store *s, const struct digest *d, const char *text, size_t len);
/* 0: *out gets the manifest, checked by digest, from folders/ or, of a step's output, from objects/. 1: it is not kept. Changes nothing. */
int folder_list_get(struct store *s, const struct digest *d, struct str *out);

#endif
