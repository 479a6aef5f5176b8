/* SPDX-License-Identifier: Apache-2.0 */
/* Texts as they may be shown and kept for people: without the users and passwords of URLs in them. */
#ifndef WF_BASE_REDACT_H
#define WF_BASE_REDACT_H

#include "base/str.h"

#include <stdbool.h>

/* True: `out` got the text with *** before the '@' of each URL that names a password, or of http(s) anybody at all (tokens stand there). False: there is nothing to hide, and nothing was written. Works
 * on any text, JSON too: a URL's user ends at blanks, quotes, '/', '?' and '#'. */
bool redact_urls(const char *text, struct str *out);
/* The same of what was and what is (either may be NULL); that they differ stays told. The new texts lie in a and b. */
void redact_pair(const char **old, const char **now, struct str *a, struct str *b);

#endif
