/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes: spawned with vfork's cost in their own process group, watched by pidfd, reaped exactly once.
 * Completion = the leader has exited and its whole process tree is gone: what is left in its group, or was re-parented to
 * us from its session (we are a subreaper), is ended with KILL and counted in `stragglers`. The latter are known by the variable
 * WF_TOKEN: give each child one of its own in envp; without it only the group is ended. Spawn on the main thread. */
#ifndef WF_BASE_CHILD_H
#define WF_BASE_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct loop;
struct child;

struct child_spec {
    const char *
        program; /* an absolute or relative path: execve, no PATH search (fs_find_program before) */
    const char *const *argv;  /* NULL-terminated */
    const char *const *envp;  /* NULL-terminated, complete */
    const char *cwd;          /* NULL: ours */
    int stdin_fd;             /* -1: /dev/null */
    int stdout_fd, stderr_fd; /* -1: /dev/null; borrowed for the call */
    int extra_fd;             /* -1, or an fd the child gets as number 3 */
    bool survive;             /* false: killed by the kernel when we die (PR_SET_PDEATHSIG) */
};
struct child_exit {
    int exit_code;   /* >= 0, or -1 when it died of a signal */
    int signal;      /* 0, or the signal's number */
    uint64_t cpu_us; /* user + system, the leader and its waited-for children */
    uint64_t max_rss_kib;
    int stragglers; /* processes that were still there and were killed */
};
typedef void (*child_fn)(const struct child_exit *how, void *arg);

/* Once per program, before the first spawn: subreaper, /dev/null opened. Idempotent. */
int child_setup(struct err *err);
/* Spawns; on_exit is called once, on the loop thread, from the loop (never before this returns). Standard signals are reset in the child,
 * umask 022. ERR_NOT_FOUND / ERR_DENIED / ERR_INVALID (bad executable format) / ERR_IO (E2BIG, EAGAIN…) when exec itself fails: no child then. */
int child_spawn(struct loop *l, const struct child_spec *spec, child_fn on_exit, void *arg,
                struct child **ret, struct err *err);
pid_t child_pid(const struct child *c);
uint64_t child_start_time(
    const struct child *c); /* field 22 of /proc/PID/stat, read on demand; 0 when gone */
void child_signal(struct child *c, int signum); /* to the whole group; harmless when it ended */
/* TERM to the group now, KILL to the whole tree after grace_ms (0: KILL at once). Repeating shortens the grace only.
 * When the leader obeys, the rest of its group has what is left of the grace. */
void child_stop(struct child *c, int64_t grace_ms);
/* After on_exit, or instead of it: kills the tree, waits, never calls on_exit. */
void child_free(struct child *c);

/* Runs a program to its end and collects its output (stdout, and stderr unless NULL), at most `max` bytes each. Blocking, for short helper programs, on any thread.
 * argv[0] is looked for in PATH, the environment is ours. What it leaves in its group is ended, what it daemonized is not.
 * ret_status: the wait status. */
struct str;
int child_run(const char *const *argv, const char *input, size_t max, struct str *out,
              struct str *errout, int *ret_status, int64_t timeout_ms, struct err *err);

#endif
