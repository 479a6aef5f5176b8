/* SPDX-License-Identifier: Apache-2.0 */
/* Inside base/child: starting one process by vfork. */
#ifndef WF_BASE_SPAWN_H
#define WF_BASE_SPAWN_H

#include <sys/types.h>

struct err;
struct child_spec;

/* Starts spec's program as the leader of its own process group. null_fd stands in for -1. The
 * caller's thread is held until the program runs or has failed to. Any thread. Errors as
 * child_spawn's; no process is left then. */
int spawn_process(const struct child_spec *spec, int null_fd, pid_t *ret_pid, struct err *err);

#endif
