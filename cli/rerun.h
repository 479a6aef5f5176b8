/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache verify --rerun FILE STEP: runs a step twice and names what came out otherwise. */
#ifndef WF_CLI_RERUN_H
#define WF_CLI_RERUN_H

struct args;
struct cli;

/* Returns the exit code: 0 both alike, 1 they differ or a run failed. */
int rerun(struct cli *c, const struct args *a);

#endif
