/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy's master process. Unlike a child (base/child.h) it is not ended with us, and after our restart it is another's child: so it is known by number and start time, and watched by a pidfd. Its
 * workers are in its process group and end with it. */
#include "base/child.h"
#include "base/err.h"
#include "base/id.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/tree.h"
#include "base/units.h"
#include "serve/proxy_impl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLEAR_ROUNDS = 300 };

struct proxy_process {
    pid_t pid;
    uint64_t started;
    int pidfd;
    bool
        ours; /* our child: in the table of leaders, so that nobody else takes it for a straggler */
    struct tree tree;
    struct watch *watch;
    void (*on_exit)(void *arg);
    void *arg;
};

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, WNOHANG) > 0) {
    }
}

/* Workers end when their master is gone, but not those that are stopped or hang; they would keep the addresses. */
static void clear_away(struct proxy_process *c)
{
    reap(c->pid);
    if (c->ours) {
        tree_leader_gone(&c->tree);
        for (int i = 0; i < CLEAR_ROUNDS && !tree_clear(&c->tree, true); i++) {
            poll(NULL, 0, 1);
        }
        tree_done(&c->tree);
        c->ours = false;
        return;
    }
    for (int i = 0; i < CLEAR_ROUNDS && kill(-c->pid, SIGKILL) == 0; i++) {
        reap(-c->pid);
        poll(NULL, 0, 1);
    }
    reap(-c->pid);
}

static void on_readable(int events, void *arg)
{
    struct proxy_process *c = arg;
    (void)events;
    watch_free(c->watch);
    c->watch = NULL;
    clear_away(c);
    c->on_exit(c->arg); /* may free c */
}

static struct proxy_process *watch_process(struct loop *l, pid_t pid, uint64_t started,
                                           void (*on_exit)(void *arg), void *arg)
{
    struct proxy_process *c = xcalloc(1, sizeof(*c));
    *c = (struct proxy_process){.pid = pid, .started = started, .on_exit = on_exit, .arg = arg};
    c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (c->pidfd < 0) {
        free(c);
        return NULL;
    }
    c->watch = watch_new(l, c->pidfd, WATCH_READ, on_readable, c);
    return c;
}

uint64_t proxy_process_born(pid_t pid)
{
    struct proc_stat st;
    return proc_stat_read(pid, &st) && st.state != 'Z' && st.state != 'X' ? st.started : 0;
}

int proxy_process_start(struct loop *l, const char *program, const char *const *argv,
                        const char *cwd, int log_fd, void (*on_exit)(void *arg), void *arg,
                        struct proxy_process **ret, struct err *err)
{
    const struct spawn_ground *ground = NULL;
    pid_t pid = 0;
    char token[ID_LEN + 16] = "WF_TOKEN=";
    id_new(token + strlen(token));
    /* Nothing of our environment: HAPROXY_… of another one would mislead it. Its large buffers come from malloc() and go back with each request; without these thresholds each would be mapped, cleared
     * and unmapped by the kernel, which costs three quarters of the throughput. */
    const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                "MALLOC_MMAP_THRESHOLD_=67108864",
                                "MALLOC_TRIM_THRESHOLD_=268435456", token, NULL};
    struct child_spec spec = {.program = program,
                              .argv = argv,
                              .envp = envp,
                              .cwd = cwd,
                              .stdin_fd = -1,
                              .stdout_fd = log_fd,
                              .stderr_fd = log_fd,
                              .extra_fd = -1,
                              .survive = true};
    int rc = tree_setup(&ground, err);
    if (rc == 0) {
        rc = spawn_process(&spec, ground, &pid, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct proxy_process *c = watch_process(l, pid, proxy_process_born(pid), on_exit, arg);
    if (!c) {
        int sys = errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return err_set(err, ERR_IO, sys, "cannot watch HAProxy's process");
    }
    tree_enter(&c->tree, pid, envp);
    c->ours = true;
    *ret = c;
    return 0;
}

int proxy_process_adopt(struct loop *l, pid_t pid, uint64_t started, void (*on_exit)(void *arg),
                        void *arg, struct proxy_process **ret, struct err *err)
{
    struct proxy_process *c = pid > 1 ? watch_process(l, pid, started, on_exit, arg) : NULL;
    /* Looked at after the pidfd was taken: from then on it is this process and no later one. */
    if (!c || proxy_process_born(pid) != started || started == 0) {
        proxy_process_free(c);
        return err_set(err, ERR_NOT_FOUND, 0, "process %ld is gone", (long)pid);
    }
    *ret = c;
    return 0;
}

pid_t proxy_process_pid(const struct proxy_process *c)
{
    return c->pid;
}

uint64_t proxy_process_started(const struct proxy_process *c)
{
    return c->started;
}

void proxy_process_signal(struct proxy_process *c, int signum)
{
    syscall(SYS_pidfd_send_signal, c->pidfd, signum, NULL, 0);
}

void proxy_process_kill(struct proxy_process *c)
{
    proxy_process_signal(c, SIGKILL);
}

bool proxy_process_wait(struct proxy_process *c, int64_t timeout_ms)
{
    int64_t until = mono_us() / 1000 + timeout_ms;
    for (;;) {
        int64_t left = until - mono_us() / 1000;
        struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
        if (poll(&p, 1, left > 0 ? (int)(left < INT32_MAX ? left : INT32_MAX) : 0) == 1) {
            clear_away(c);
            return true;
        }
        if (left <= 0) {
            return false;
        }
    }
}

void proxy_process_free(struct proxy_process *c)
{
    if (c) {
        watch_free(c->watch);
        close(c->pidfd);
        if (c->ours) {
            tree_leader_gone(&c->tree);
            tree_done(&c->tree);
        }
        free(c);
    }
}
