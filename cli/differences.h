/* SPDX-License-Identifier: Apache-2.0 */
/* Differences for people, each on a line, with what is behind it below. */
#ifndef WF_CLI_DIFFERENCES_H
#define WF_CLI_DIFFERENCES_H

#include "cache/explain.h"

struct str;

/* At most `max` of them (0: all), each line behind `indent` and `word` ("because "). The files of a folder that differ stand below it, at most `max`, and so does the way to the root, unless the line before has
 * told the same. */
void differences_text(const struct difference *d, size_t count, size_t max, const char *indent,
                      const char *word, struct str *out);

#endif
