/* SPDX-License-Identifier: Apache-2.0 */
/* wf logs -f: prints what steps of a run write while it goes on, until it ended. */
#ifndef WF_CLI_FOLLOW_H
#define WF_CLI_FOLLOW_H

#include "cli/past.h"

/* `p` is the run as loaded; it is loaded anew while the run lives (p then holds the newest state). `word`: a step or NULL: all, each line with its step's name. Blocking; ends with the run, or
 * by a signal. Returns the exit code. */
int follow_logs(const struct cli *c, struct past *p, const char *word);

#endif
