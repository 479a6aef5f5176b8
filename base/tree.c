/* SPDX-License-Identifier: Apache-2.0 */
/* Whose is an orphan? In this order:
 *  - it is a live leader of ours: leave it, its owner waits for it;
 *  - it is in our own process group: not a step's (steps have groups of their own) but some
 *    library's child: leave it, even dead;
 *  - it is dead: reap it, it was re-parented to us and nobody else will;
 *  - it is in the group of the tree being cleared, or carries its token: end it;
 *  - it carries another token: another step's, which is still running;
 *  - it carries none (a cleared or overwritten environment): end it if only the tree being cleared
 *    can have started it, else leave it.
 * Re-parenting happens before a leader can be waited for, so nothing is missed. Only this process
 * takes entries off its list of children (by reaping), so one reading of the list is whole; what a
 * listed process left to us by dying since is found by the next one. */
#include "base/tree.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BUCKETS = 256,
    PAGE = 4096,
    ENVIRON_MAX = 4 << 20,
    GROUP_ROUNDS =
        2000, /* about 10 s: a zombie of the group can be held by a parent outside of it */
    STRANGE_ROUNDS = 50,
    KERNEL_PF_EXITING = 0x4,
};
static const char token_prefix[] = "WF_TOKEN=";

/* What is true of the whole process: who its live children are, and what /proc says of them. There
 * is one such truth per process, and so one table. */
static struct {
    pthread_mutex_t lock;
    /* ground.self is 0: not set up; another pid: we are a fork of the one that was. */
    struct spawn_ground ground;
    int children_fd; /* /proc/self/task/PID/children, or -1 */
    struct tree *live[BUCKETS];
    size_t live_count;
    bool untokened; /* a leader without a token was started once: its orphans have none either */
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .ground.null_fd = -1, .children_fd = -1};

/* Set-up */

static int check_kernel(struct err *err)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (fd < 0) {
        return err_set(err, ERR_UNSUPPORTED, errno,
                       "this kernel cannot watch processes (pidfd_open); Linux 5.4 or newer is "
                       "needed, and a container's seccomp profile must allow it");
    }
    close(fd);
    return 0;
}

static int set_up_locked(struct err *err)
{
    int rc = check_kernel(err);
    if (rc < 0) {
        return rc;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        return err_set(err, ERR_IO, errno, "cannot become the reaper of orphaned processes");
    }
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        return err_set(err, ERR_IO, errno, "cannot open /dev/null");
    }
    /* What our own caller left open is not for steps to inherit. */
    close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    CLEANUP(cleanup_free) char *path = xasprintf("/proc/self/task/%d/children", (int)getpid());
    world.children_fd = open(path, O_RDONLY | O_CLOEXEC);
    world.ground.null_fd = null_fd;
    spawn_find_unusual(&world.ground.unusual);
    memset(world.live, 0, sizeof(world.live));
    world.live_count = 0;
    world.untokened = false;
    world.ground.self = getpid();
    return 0;
}

int tree_setup(const struct spawn_ground **ret_ground, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&world.lock);
    if (world.ground.self != getpid()) {
        rc = set_up_locked(err);
    }
    if (rc == 0) {
        *ret_ground = &world.ground;
    }
    pthread_mutex_unlock(&world.lock);
    return rc;
}

/* The table of live leaders */

static struct tree **bucket(pid_t pid)
{
    return &world.live[(unsigned)pid % BUCKETS];
}

static bool is_live(pid_t pid)
{
    const struct tree *t = *bucket(pid);
    while (t && t->leader != pid) {
        t = t->next;
    }
    return t;
}

static uint64_t ticks_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
    return (uint64_t)now.tv_sec * per_second + (uint64_t)now.tv_nsec * per_second / 1000000000;
}

void tree_enter(struct tree *t, pid_t leader, const char *const *envp)
{
    memset(t, 0, sizeof(*t));
    t->leader = leader;
    t->started = ticks_now() - 1; /* it was started a moment ago */
    for (; *envp && !t->token; envp++) {
        if (text_starts(*envp, token_prefix)) {
            t->token = xstrdup(*envp);
        }
    }
    pthread_mutex_lock(&world.lock);
    struct tree **at = bucket(leader);
    t->next = *at;
    *at = t;
    world.live_count++;
    world.untokened = world.untokened || !t->token;
    pthread_mutex_unlock(&world.lock);
}

void tree_leader_gone(struct tree *t)
{
    t->group_rounds = GROUP_ROUNDS;
    t->strange_rounds = STRANGE_ROUNDS;
    pthread_mutex_lock(&world.lock);
    struct tree **at = bucket(t->leader);
    while (*at && *at != t) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = t->next;
        world.live_count--;
    }
    pthread_mutex_unlock(&world.lock);
}

void tree_done(struct tree *t)
{
    free(t->token);
    t->token = NULL;
    vec_done(&t->killed);
}

/* Looking at a process */

static ssize_t read_proc(pid_t pid, const char *file, char *buf, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    while (fd >= 0 && len < size) {
        ssize_t n = read(fd, buf + len, size - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return fd < 0 ? -1 : (ssize_t)len;
}

bool proc_stat_read(pid_t pid, struct proc_stat *ret)
{
    char buf[1024];
    ssize_t len = read_proc(pid, "stat", buf, sizeof(buf) - 1);
    if (len <= 0) {
        return false;
    }
    buf[len] = '\0';
    /* The name (field 2) may hold anything, ") " included: the last one closes it. */
    const char *rest = strrchr(buf, ')');
    unsigned long flags = 0;
    unsigned long long started = 0;
    char state = 0;
    if (!rest || sscanf(rest + 1,
                        " %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %llu",
                        &state, &flags, &started) != 3) {
        return false;
    }
    *ret = (struct proc_stat){.state = state, .flags = flags, .started = started};
    return true;
}

/* The first WF_TOKEN=… of an environment block, or NULL. */
static const char *find_token(const char *block, size_t len)
{
    for (const char *p = block, *end = block + len; p < end;
         p += strnlen(p, (size_t)(end - p)) + 1) {
        if ((size_t)(end - p) >= sizeof(token_prefix) - 1 &&
            memcmp(p, token_prefix, sizeof(token_prefix) - 1) == 0) {
            return p;
        }
    }
    return NULL;
}

enum owner { OWNER_THIS, OWNER_OTHER, OWNER_UNKNOWN, OWNER_EXITING /* or cannot be told yet */ };

static bool only_this_can_own(const struct tree *t, const struct proc_stat *st)
{
    pthread_mutex_lock(&world.lock);
    bool alone = world.live_count == 0 && !world.untokened;
    pthread_mutex_unlock(&world.lock);
    return alone && st->started >= t->started;
}

/* While a process executes another program its environment reads as empty: one that began within the last second is looked at again. */
static bool is_young(const struct proc_stat *st)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t up = (uint64_t)now.tv_sec * ticks + (uint64_t)now.tv_nsec / (1000000000U / ticks);
    return up < st->started + ticks;
}

static enum owner owner_of(const struct tree *t, pid_t pid)
{
    size_t size = 64 << 10;
    CLEANUP(cleanup_free) char *block = xmalloc(size + 1);
    ssize_t len = read_proc(pid, "environ", block, size);
    if (len == (ssize_t)size) {
        size = ENVIRON_MAX;
        block = xrealloc(block, size + 1);
        len = read_proc(pid, "environ", block, size);
    }
    if (len > 0) {
        block[len] = '\0';
        const char *token = find_token(block, (size_t)len);
        if (token) {
            return t->token && strcmp(token, t->token) == 0 ? OWNER_THIS : OWNER_OTHER;
        }
    }
    struct proc_stat st;
    if (!proc_stat_read(pid, &st) || st.state == 'Z' || st.flags & KERNEL_PF_EXITING) {
        return OWNER_EXITING;
    }
    if (t->token && only_this_can_own(t, &st)) {
        return OWNER_THIS;
    }
    return is_young(&st) ? OWNER_EXITING : OWNER_UNKNOWN;
}

/* One round */

typedef VEC(pid_t) pids;

/* Our children that are nobody's leaders. */
static void list_strangers(pids *ret)
{
    char buf[2 * PAGE];
    off_t at = 0;
    pid_t pid = 0;
    ssize_t n;
    if (world.children_fd < 0) {
        return;
    }
    pthread_mutex_lock(&world.lock);
    do {
        n = pread(world.children_fd, buf, sizeof(buf), at);
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] >= '0' && buf[i] <= '9') {
                pid = pid * 10 + (buf[i] - '0');
                continue;
            }
            if (pid && !is_live(pid)) {
                *vec_push(ret) = pid;
            }
            pid = 0;
        }
        at += n;
        /* The kernel fills a page; where room for a number was left, there was none. */
    } while (n > PAGE - 16);
    pthread_mutex_unlock(&world.lock);
}

/* The dead child that `what` and `id` describe, or 0. It stays to be reaped with WNOWAIT. */
static pid_t dead_child(idtype_t what, pid_t id, int options)
{
    siginfo_t info = {0};
    int rc;
    do {
        rc = waitid(what, (id_t)id, &info, WEXITED | WNOHANG | options);
    } while (rc < 0 && errno == EINTR);
    return rc == 0 ? info.si_pid : 0;
}

static bool reap(pid_t pid)
{
    return dead_child(P_PID, pid, 0) != 0;
}

/* Reaps one dead member of the group; a live leader that moved into it is its owner's to reap. */
static bool reap_member(pid_t group)
{
    pid_t pid = dead_child(P_PGID, group, WNOWAIT);
    pthread_mutex_lock(&world.lock);
    bool ours = pid != 0 && !is_live(pid);
    pthread_mutex_unlock(&world.lock);
    return ours && reap(pid);
}

static bool was_killed(const struct tree *t, pid_t pid)
{
    for (size_t i = 0; i < t->killed.len; i++) {
        if (t->killed.items[i] == pid) {
            return true;
        }
    }
    return false;
}

/* Whether there is still reason to wait for this stranger, or to look again. Counts living members of the group. */
static bool clear_stranger(struct tree *t, pid_t pid, bool may_kill, int *group_members)
{
    pid_t group = getpgid(pid);
    if (group < 0 || group == getpgrp()) {
        return false;
    }
    if (reap(pid)) {
        return true; /* it may have died after the list was read, and left children to us that are not on it */
    }
    if (group == t->leader) {
        ++*group_members;
        return false; /* tree_clear() asks for the group itself */
    }
    if (was_killed(t, pid)) {
        return true;
    }
    switch (owner_of(t, pid)) {
    case OWNER_THIS:
        if (may_kill) {
            if (kill(pid, SIGKILL) < 0) {
                return false; /* it became another user's */
            }
            *vec_push(&t->killed) = pid;
            t->stragglers++;
        }
        return true;
    case OWNER_EXITING:
        return t->strange_rounds-- > 0;
    case OWNER_OTHER:
    case OWNER_UNKNOWN:
    default:
        return false;
    }
}

/* Whether anything of the group is left, the dead of it reaped. */
static bool group_lives(const struct tree *t)
{
    while (kill(-t->leader, 0) == 0) {
        if (!reap_member(t->leader)) {
            return true;
        }
    }
    return false; /* ESRCH; or EPERM: it became another user's, and is out of our hands */
}

bool tree_clear(struct tree *t, bool may_kill)
{
    bool group = group_lives(t) && t->group_rounds > 0;
    bool waiting = false;
    int members = 0;
    pids strangers = {0};
    list_strangers(&strangers);
    for (size_t i = 0; i < strangers.len; i++) {
        waiting |= clear_stranger(t, strangers.items[i], may_kill, &members);
    }
    vec_done(&strangers);
    if (group && may_kill) {
        if (!t->group_killed) {
            t->stragglers += members > 0 ? members : 1;
        }
        t->group_killed = true;
        t->group_rounds--;
        kill(-t->leader, SIGKILL);
    }
    return !group && !waiting;
}
