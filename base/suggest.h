/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest known word (Damerau-Levenshtein, optimal string alignment), for "did you mean". */
#ifndef WF_BASE_SUGGEST_H
#define WF_BASE_SUGGEST_H

#include <stddef.h>

/* Borrowed from `words`, or NULL when nothing is near (more than a third of the letters differ; case counts half, and
 * a word that differs by case alone is always near). Words longer than 64 bytes are never suggested. */
const char *suggest_nearest(const char *word, const char *const *words, size_t count);

#endif
