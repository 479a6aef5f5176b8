/* SPDX-License-Identifier: Apache-2.0 */
/* vfork + execve. Between the two the child runs on our memory while this thread is held: it makes
 * system calls only, and reports a failure by writing to our stack. All signals are blocked from
 * before vfork until the child has put every handler back: no handler of ours runs in it. */
#include "base/spawn.h"

#include "base/child.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXTRA_FD = 3, FD_COUNT = 4, LAST_STANDARD_SIGNAL = 31 };

/* Signals that programs like ours handle or ignore at some time, reset in every child. Resetting
 * all 31 would be a quarter of a spawn's cost to us; others are reset when found unusual. */
static const int usual_suspects[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE, SIGALRM, SIGTERM,
                                     SIGUSR1, SIGUSR2, SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN,
                                     SIGTTOU, SIGXCPU, SIGXFSZ, SIGWINCH};

enum stage { STAGE_NONE, STAGE_PREPARE, STAGE_FDS, STAGE_CHDIR, STAGE_EXEC };

/* Shared between the child (which writes `stage` and `sys`) and us. */
struct launch {
    const struct child_spec *spec;
    const struct spawn_ground *ground;
    int fds[FD_COUNT]; /* -1: none */
    pid_t parent;
    sigset_t mask; /* the child's own */
    volatile enum stage stage;
    volatile int sys;
};

static _Noreturn void child_failed(struct launch *l, enum stage stage)
{
    l->sys = errno;
    l->stage = stage;
    _exit(127);
}

static void reset_signals(const struct launch *l)
{
    struct sigaction plain;
    memset(&plain, 0, sizeof(plain));
    plain.sa_handler = SIG_DFL;
    for (size_t i = 0; i < ARRAY_LEN(usual_suspects); i++) {
        sigaction(usual_suspects[i], &plain, NULL);
    }
    if (!sigisemptyset(&l->ground->unusual)) {
        for (int s = 1; s <= LAST_STANDARD_SIGNAL; s++) {
            if (sigismember(&l->ground->unusual, s) == 1) {
                sigaction(s, &plain, NULL);
            }
        }
    }
    sigprocmask(SIG_SETMASK, &l->mask, NULL);
}

/* Puts fds[i] at number i. Sources that stand on a number to be written move out of the way. */
static void place_fds(struct launch *l)
{
    for (int i = 0; i < FD_COUNT; i++) {
        if (l->fds[i] >= 0 && l->fds[i] < FD_COUNT) {
            l->fds[i] = fcntl(l->fds[i], F_DUPFD_CLOEXEC, FD_COUNT);
            if (l->fds[i] < 0) {
                child_failed(l, STAGE_FDS);
            }
        }
    }
    for (int i = 0; i < FD_COUNT; i++) {
        if (l->fds[i] >= 0 && dup2(l->fds[i], i) < 0) {
            child_failed(l, STAGE_FDS);
        }
    }
}

static _Noreturn void run_child(struct launch *l)
{
    const struct child_spec *spec = l->spec;
    if (setpgid(0, 0) < 0) {
        child_failed(l, STAGE_PREPARE);
    }
    if (!spec->survive) {
        /* We may have died between vfork and prctl: then nobody would tell. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != l->parent) {
            child_failed(l, STAGE_PREPARE);
        }
    }
    place_fds(l);
    umask(022);
    if (spec->cwd && chdir(spec->cwd) < 0) {
        child_failed(l, STAGE_CHDIR);
    }
    reset_signals(l);
    /* execve takes pointers to non-const for historical reasons and writes to nothing. */
    union {
        const char *const *in;
        char *const *out;
    } argv = {.in = spec->argv}, envp = {.in = spec->envp};
    execve(spec->program, argv.out, envp.out);
    child_failed(l, STAGE_EXEC);
}

/* A function of its own, whose locals the child cannot spoil for anybody else. */
static __attribute__((noinline)) pid_t vfork_child(struct launch *l)
{
    pid_t pid = vfork();
    if (pid == 0) {
        run_child(l);
    }
    return pid;
}

static int fail_exec(const struct child_spec *spec, int sys, struct err *err)
{
    const char *program = spec->program;
    switch (sys) {
    case ENOENT:
    case ENOTDIR:
        if (access(program, F_OK) == 0) {
            return err_set(err, ERR_NOT_FOUND, 0,
                           "cannot run '%s': the interpreter that it names (in its first line, or "
                           "its dynamic loader) does not exist",
                           program);
        }
        return err_set(err, ERR_NOT_FOUND, 0, "cannot run '%s': there is no such program", program);
    case EACCES:
    case EPERM:
        return err_set(err, ERR_DENIED, 0,
                       "cannot run '%s': it is not executable; try chmod +x, and see that its "
                       "file system is not mounted noexec",
                       program);
    case ENOEXEC:
        return err_set(err, ERR_INVALID, 0,
                       "cannot run '%s': neither a program for this machine nor a script with a "
                       "first line like #!/bin/sh",
                       program);
    case E2BIG:
        return err_set(err, ERR_IO, sys,
                       "cannot run '%s': its arguments and environment are too long; pass them in "
                       "a file",
                       program);
    case ETXTBSY:
        return err_set(err, ERR_IO, sys, "cannot run '%s': somebody has it open for writing",
                       program);
    default:
        return err_set(err, ERR_IO, sys, "cannot run '%s'", program);
    }
}

static int fail_launch(const struct launch *l, struct err *err)
{
    const struct child_spec *spec = l->spec;
    switch (l->stage) {
    case STAGE_CHDIR:
        return err_set(err, l->sys == EACCES ? ERR_DENIED : ERR_NOT_FOUND, l->sys,
                       "cannot run '%s' in the folder '%s'", spec->program, spec->cwd);
    case STAGE_FDS:
        return err_set(err, ERR_IO, l->sys, "cannot give '%s' its input and output", spec->program);
    case STAGE_EXEC:
        return fail_exec(spec, l->sys, err);
    case STAGE_PREPARE:
    case STAGE_NONE:
    default:
        return err_set(err, ERR_IO, l->sys, "cannot start '%s'", spec->program);
    }
}

void spawn_find_unusual(sigset_t *ret)
{
    sigemptyset(ret);
    for (int s = 1; s <= LAST_STANDARD_SIGNAL; s++) {
        struct sigaction now;
        if (sigaction(s, NULL, &now) == 0 && now.sa_handler != SIG_DFL) {
            sigaddset(ret, s);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(usual_suspects); i++) {
        sigdelset(ret, usual_suspects[i]); /* reset anyway */
    }
}

int spawn_process(const struct child_spec *spec, const struct spawn_ground *ground, pid_t *ret_pid,
                  struct err *err)
{
    int null_fd = ground->null_fd;
    struct launch l = {.spec = spec, .ground = ground, .parent = ground->self, .stage = STAGE_NONE};
    l.fds[STDIN_FILENO] = spec->stdin_fd < 0 ? null_fd : spec->stdin_fd;
    l.fds[STDOUT_FILENO] = spec->stdout_fd < 0 ? null_fd : spec->stdout_fd;
    l.fds[STDERR_FILENO] = spec->stderr_fd < 0 ? null_fd : spec->stderr_fd;
    l.fds[EXTRA_FD] = spec->extra_fd;
    sigemptyset(&l.mask);

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork_child(&l);
    int sys = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        return err_set(err, ERR_IO, sys, "cannot start '%s': no new process can be made",
                       spec->program);
    }
    if (l.stage != STAGE_NONE) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return fail_launch(&l, err);
    }
    *ret_pid = pid;
    return 0;
}
