/* SPDX-License-Identifier: Apache-2.0 */
/* The commit a workflow's folder stands at, read from .git by hand: no process, no library. */
#ifndef WF_ENGINE_GIT_H
#define WF_ENGINE_GIT_H

#include <stdbool.h>

/* The hex commit of the repository that holds `dir`; false: none, or unborn. Blocking; any thread. */
bool git_commit_of(const char *dir, char ret[65]);

#endif
