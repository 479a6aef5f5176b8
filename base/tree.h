/* SPDX-License-Identifier: Apache-2.0 */
/* Inside base/child: ending what a process leaves behind. When a leader has gone, others may live
 * on: in its process group, or (after setsid) anywhere, re-parented to us because we are a
 * subreaper. Those are known by the environment variable WF_TOKEN=… that the leader was given. */
#ifndef WF_BASE_TREE_H
#define WF_BASE_TREE_H

#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct spawn_ground;

struct tree {
    pid_t leader;       /* and process group */
    char *token;        /* "WF_TOKEN=…", or NULL */
    uint64_t started;   /* clock ticks since boot, as in /proc/PID/stat */
    int stragglers;     /* how many had to be killed */
    bool group_killed;  /* KILL was sent to the group */
    int group_rounds;   /* left before a group that cannot be ended is given up */
    int strange_rounds; /* left for exiting strangers: whose they are cannot be seen any more */
    VEC(pid_t) killed;  /* by us, outside of the group */
    struct tree *next;  /* in the table of live leaders */
};

/* Once per process: makes us a subreaper. *ret_ground is for spawn_process(), and constant. */
int tree_setup(const struct spawn_ground **ret_ground, struct err *err);
/* A leader lives: its status is its owner's, nobody else reaps it. Any thread. */
void tree_enter(struct tree *t, pid_t leader, const char *const *envp);
/* To be called when the leader has been reaped. */
void tree_leader_gone(struct tree *t);
/* One round of clearing away, after tree_leader_gone(): kills (if allowed) and reaps what is left.
 * True when nothing is left; else call again in a few milliseconds. With nothing to do it costs two
 * system calls. */
bool tree_clear(struct tree *t, bool may_kill);
void tree_done(struct tree *t);

/* Of /proc/PID/stat. */
struct proc_stat {
    char state;
    unsigned long flags; /* the kernel's PF_… */
    uint64_t started;    /* clock ticks since boot */
};
bool proc_stat_read(pid_t pid, struct proc_stat *ret); /* false: there is no such process */

#endif
