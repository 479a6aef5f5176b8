/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a child on the loop: RUNNING (a pidfd is watched) -> ENDING (the leader is reaped,
 * its tree is cleared away in rounds) -> ENDED (on_exit was called). spawn.c starts, tree.c clears. */
#include "base/child.h"

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/tree.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum child_state { CHILD_RUNNING, CHILD_ENDING, CHILD_ENDED };
enum { ROUND_MS_MAX = 5 };

struct child {
    struct loop *loop;
    child_fn on_exit;
    void *arg;
    pid_t pid;
    int pidfd;
    enum child_state state;
    struct watch *watch; /* of pidfd */
    struct timer *timer; /* made when needed: the grace, and rounds after the first */
    bool stopping;
    int64_t kill_at; /* when stopping: KILL not before, on now_ms()'s clock */
    int64_t round_ms;
    struct child_exit how;
    struct tree tree;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_timer(void *arg);

static void start_timer(struct child *c, int64_t after_ms)
{
    if (!c->timer) {
        c->timer = timer_new(c->loop, on_timer, c);
    }
    timer_start(c->timer, after_ms, 0);
}

/* KILL for the leader and its group; what has left the group is cleared away after the leader. */
static void kill_group(struct child *c)
{
    if (c->state == CHILD_RUNNING) {
        syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
        kill(-c->pid, SIGKILL);
    }
}

/* The end of the leader */

static uint64_t cpu_us(const struct rusage *ru)
{
    return (uint64_t)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1000000 +
           (uint64_t)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec);
}

/* False when the leader still runs. */
static bool reap_leader(struct child *c, int options)
{
    int status = 0;
    struct rusage ru = {0};
    pid_t pid;
    do {
        pid = wait4(c->pid, &status, options, &ru);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0) {
        return false;
    }
    WF_ASSERT(pid == c->pid); /* somebody else took its status: nobody can tell how it ended */
    c->how.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    c->how.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    c->how.cpu_us = cpu_us(&ru);
    c->how.max_rss_kib = (uint64_t)ru.ru_maxrss;
    tree_leader_gone(&c->tree);
    /* Out of the loop's epoll set before it is closed: a vfork child may still hold it. */
    watch_free(c->watch);
    c->watch = NULL;
    close(c->pidfd);
    c->pidfd = -1;
    c->state = CHILD_ENDING;
    return true;
}

static bool may_kill(const struct child *c)
{
    return !c->stopping || now_ms() >= c->kill_at;
}

static void clear_round(struct child *c)
{
    if (!tree_clear(&c->tree, may_kill(c))) {
        c->round_ms = c->round_ms < ROUND_MS_MAX ? c->round_ms + 1 : ROUND_MS_MAX;
        start_timer(c, c->round_ms);
        return;
    }
    c->state = CHILD_ENDED;
    c->how.stragglers = c->tree.stragglers;
    struct child_exit how = c->how; /* for those who read it after they freed c */
    c->on_exit(&how, c->arg);
}

static void on_leader_exit(int events, void *arg)
{
    struct child *c = arg;
    (void)events;
    if (reap_leader(c, WNOHANG)) {
        clear_round(c);
    }
}

static void on_timer(void *arg)
{
    struct child *c = arg;
    if (c->state == CHILD_RUNNING) {
        kill_group(c); /* the grace is over */
    } else if (c->state == CHILD_ENDING) {
        clear_round(c);
    }
}

/* The caller's side */

int child_setup(struct err *err)
{
    const struct spawn_ground *ground;
    return tree_setup(&ground, err);
}

/* A process that cannot be watched is not kept. */
static int fail_watch(struct child *c, const char *program, int sys, struct err *err)
{
    c->pidfd = -1;
    kill(c->pid, SIGKILL);
    reap_leader(c, 0);
    child_free(c);
    return err_set(err, ERR_IO, sys, "cannot watch the process of '%s'", program);
}

int child_spawn(struct loop *l, const struct child_spec *spec, child_fn on_exit, void *arg,
                struct child **ret, struct err *err)
{
    const struct spawn_ground *ground = NULL;
    pid_t pid = 0;
    int rc = tree_setup(&ground, err);
    if (rc == 0) {
        rc = spawn_process(spec, ground, &pid, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct child *c = xcalloc(1, sizeof(*c));
    c->loop = l;
    c->on_exit = on_exit;
    c->arg = arg;
    c->pid = pid;
    tree_enter(&c->tree, pid, spec->envp);
    c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (c->pidfd < 0) {
        return fail_watch(c, spec->program, errno, err);
    }
    c->watch = watch_new(l, c->pidfd, WATCH_READ, on_leader_exit, c);
    WF_ASSERT(c->watch);
    *ret = c;
    return 0;
}

pid_t child_pid(const struct child *c)
{
    return c->pid;
}

uint64_t child_start_time(const struct child *c)
{
    struct proc_stat st;
    return c->state == CHILD_RUNNING && proc_stat_read(c->pid, &st) ? st.started : 0;
}

void child_signal(struct child *c, int signum)
{
    /* While ENDING, the group's number stays taken as long as anybody is in it. */
    if (c->state != CHILD_ENDED) {
        kill(-c->pid, signum);
    }
}

void child_stop(struct child *c, int64_t grace_ms)
{
    if (c->state == CHILD_ENDED) {
        return;
    }
    int64_t kill_at = now_ms() + (grace_ms > 0 ? grace_ms : 0);
    if (!c->stopping) {
        c->kill_at = kill_at;
        c->stopping = true;
        if (grace_ms > 0) {
            child_signal(c, SIGTERM);
            child_signal(c, SIGCONT); /* a stopped process gets its TERM only then */
        }
    } else if (kill_at < c->kill_at) {
        c->kill_at = kill_at;
    }
    if (c->state != CHILD_RUNNING) {
        return; /* the next round looks at kill_at */
    }
    if (grace_ms <= 0) {
        kill_group(c);
    } else {
        start_timer(c, c->kill_at - now_ms());
    }
}

void child_free(struct child *c)
{
    if (!c) {
        return;
    }
    if (c->state == CHILD_RUNNING) {
        kill_group(c);
        reap_leader(c, 0);
    }
    while (c->state == CHILD_ENDING && !tree_clear(&c->tree, true)) {
        poll(NULL, 0, 1);
    }
    timer_free(c->timer);
    tree_done(&c->tree);
    free(c);
}
