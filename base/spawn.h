/* SPDX-License-Identifier: Apache-2.0 */
/* Inside base/child: starting one process by vfork. */
#ifndef WF_BASE_SPAWN_H
#define WF_BASE_SPAWN_H

#include <signal.h>
#include <sys/types.h>

struct err;
struct child_spec;

/* What is the same for all children of this process. */
struct spawn_ground {
    pid_t self;
    int null_fd;      /* stands in for -1 in a spec */
    sigset_t unusual; /* signals that were not at their default at set-up: reset in each child */
};

/* Starts spec's program as the leader of its own process group. The caller's thread is held until
 * the program runs or has failed to. Any thread. Errors as child_spawn's; no process is left then. */
int spawn_process(const struct child_spec *spec, const struct spawn_ground *ground, pid_t *ret_pid,
                  struct err *err);
void spawn_find_unusual(sigset_t *ret);

#endif
