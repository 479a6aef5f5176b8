/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy's life: found, adopted after our restart, started, watched by a pidfd, started again when it died, stopped. */
#include "serve/proxy.h"

#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "serve/proxy_impl.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    STOP_MS = 1000, /* between TERM and KILL */
    THREADS_MAX = 8,
    CONNECTIONS_MAX = 4000,
};

/* Finding it */

static char *find_program(void)
{
    const char *named = getenv("WF_HAPROXY");
    char *path = fs_find_program(named && named[0] ? named : "haproxy", NULL, getenv("PATH"));
    if (!path && !(named && named[0])) {
        path = fs_find_program("haproxy", NULL, "/usr/sbin:/usr/local/sbin");
    }
    return path;
}

/* "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://…" */
static int ask_version(const char *program, char **ret, struct err *err)
{
    const char *const argv[] = {program, "-v", NULL};
    CLEANUP(sb_done) struct str out = {0};
    int status = 0;
    int rc = child_run(argv, NULL, 65536, &out, NULL, &status, 5000, err);
    if (rc < 0) {
        return rc;
    }
    const char *at = strstr(sb_text(&out), "version ");
    if (status != 0 || !at) {
        return err_set(err, ERR_NOT_FOUND, 0, "%s is not HAProxy: it does not tell its version",
                       program);
    }
    at += strlen("version ");
    *ret = xstrndup(at, strcspn(at, " \n"));
    return 0;
}

char *proxy_find(char **ret_version)
{
    char *program = find_program(), *version = NULL;
    if (program && ask_version(program, &version, NULL) < 0) {
        free(program);
        return NULL;
    }
    if (program) {
        *ret_version = version;
    }
    return program;
}

static int check_version(const char *program, struct err *err)
{
    CLEANUP(cleanup_free) char *version = NULL;
    int major = 0, minor = 0, rc = ask_version(program, &version, err);
    if (rc < 0) {
        return rc;
    }
    if (sscanf(version, "%d.%d", &major, &minor) != 2 || major * 1000 + minor < 2006) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "%s is HAProxy %s; serving needs version 2.6 or later", program, version);
    }
    return 0;
}

/* Addresses it listens on */

void proxy_unhold(struct proxy *p)
{
    for (size_t i = 0; i < p->held.len; i++) {
        free((char *)(uintptr_t)p->held.items[i].host); // NOLINT(performance-no-int-to-ptr)
    }
    vec_clear(&p->held);
}

void proxy_hold(struct proxy *p, const struct proxy_text *t)
{
    proxy_unhold(p);
    for (size_t i = 0; i < t->binds.len; i++) {
        struct text_bind b = {xstrdup(t->binds.items[i].host), t->binds.items[i].port};
        *vec_push(&p->held) = b;
    }
}

bool proxy_holds(const struct proxy *p, const struct text_bind *b)
{
    for (size_t i = 0; i < p->held.len; i++) {
        if (p->held.items[i].port == b->port && strcmp(p->held.items[i].host, b->host) == 0) {
            return true;
        }
    }
    return false;
}

char *proxy_socket(const struct proxy *p, bool master)
{
    return xasprintf("%s/%s.sock", p->run_dir, master ? "m" : "a");
}

/* Opening and closing */

static void on_idle(void *arg)
{
    proxy_apply_next(arg);
}

static void find_limits(struct proxy *p)
{
    struct rlimit files = {0};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t max = CONNECTIONS_MAX;
    p->place.threads = processors < 1             ? 1
                       : processors > THREADS_MAX ? THREADS_MAX
                                                  : (uint32_t)processors;
    /* Two descriptors for a request, some for checks and HAProxy itself. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY &&
        files.rlim_max < 2 * CONNECTIONS_MAX + 400) {
        max = files.rlim_max > 600 ? (uint32_t)((files.rlim_max - 400) / 2) : 100;
    }
    p->place.maxconn = max;
    p->place.run_dir = p->run_dir;
}

/* Who listens at our socket, where the pid file is missing: we were killed just as we had started it. */
static pid_t who_listens(const struct proxy *p)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    CLEANUP(cleanup_free) char *path = proxy_socket(p, true);
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || strlen(path) >= sizeof(at.sun_path)) {
        return 0;
    }
    memcpy(at.sun_path, path, strlen(path));
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0) {
        return 0;
    }
    return who.pid;
}

/* One whose sockets lie elsewhere (another XDG_RUNTIME_DIR) cannot be spoken to: it ends softly, the next takes over. */
static void adopt(struct proxy *p)
{
    CLEANUP(cleanup_free) char *run_dir = NULL;
    uint64_t started = 0;
    pid_t pid = 0;
    if (proxy_pid_read(p, &pid, &started, &run_dir) != 0 ||
        proxy_process_adopt(p->loop, pid, started, proxy_ended, p, &p->process, NULL) < 0) {
        pid = who_listens(p);
        if (pid == 0 || proxy_process_adopt(p->loop, pid, proxy_process_born(pid), proxy_ended, p,
                                            &p->process, NULL) < 0) {
            return;
        }
        (void)proxy_pid_write(p, NULL);
    } else if (strcmp(run_dir, p->run_dir) != 0) {
        proxy_process_signal(p->process, SIGUSR1);
        proxy_process_free(p->process);
        p->process = NULL;
        return;
    }
    proxy_files_binds(p);
}

int proxy_open(const struct proxy_options *o, struct proxy **ret, struct err *err)
{
    CLEANUP(cleanup_free) char *program = find_program();
    if (!program) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "HAProxy is not installed, and serving needs it; install the package "
                       "haproxy (on Debian: apt-get install haproxy), or set WF_HAPROXY to its "
                       "program");
    }
    int rc = check_version(program, err);
    if (rc == 0) {
        rc = fs_mkdirs(o->dir, 0700, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct proxy *p = xcalloc(1, sizeof(*p));
    p->loop = o->loop;
    p->program = take_ptr(program);
    p->dir = xstrdup(o->dir);
    p->run_dir = xstrdup(o->run_dir);
    p->on_restart = o->on_restart;
    p->arg = o->arg;
    find_limits(p);
    p->idle = loop_idle_new(p->loop, on_idle, p);
    p->revival = timer_new(p->loop, proxy_revive, p);
    p->sweeper = timer_new(p->loop, proxy_sweep, p);
    p->up.timer = timer_new(p->loop, proxy_up_poll, p);
    adopt(p);
    *ret = p;
    return 0;
}

void proxy_close(struct proxy *p)
{
    if (!p) {
        return;
    }
    proxy_apply_close(p);
    proxy_look_close(p);
    while (p->asks) {
        proxy_ask_cancel(p->asks);
    }
    proxy_process_free(p->process);
    proxy_lines_done(&p->sweep);
    proxy_unhold(p);
    vec_done(&p->held);
    vec_done(&p->counts);
    proxy_text_free(p->text);
    proxy_shape_done(&p->has);
    loop_idle_free(p->idle);
    timer_free(p->revival);
    timer_free(p->sweeper);
    timer_free(p->up.timer);
    free(p->program);
    free(p->dir);
    free(p->run_dir);
    free(p);
}

void proxy_stop(struct proxy *p, int64_t grace_ms)
{
    struct proxy_process *c = p->process;
    /* Nothing is to be started again, and nobody hears of what was under way. */
    proxy_apply_close(p);
    proxy_look_close(p);
    p->up.fn = NULL;
    p->up.ask = NULL;
    while (p->asks) {
        proxy_ask_cancel(p->asks);
    }
    timer_stop(p->up.timer);
    timer_stop(p->revival);
    timer_stop(p->sweeper);
    if (c) {
        proxy_process_signal(c, SIGUSR1);
        if (!proxy_process_wait(c, grace_ms)) {
            proxy_process_signal(c, SIGTERM);
            if (!proxy_process_wait(c, STOP_MS)) {
                proxy_process_kill(c);
                (void)proxy_process_wait(c, STOP_MS);
            }
        }
        proxy_process_free(c);
        p->process = NULL;
    }
    proxy_files_remove(p);
    proxy_unhold(p);
    proxy_text_free(p->text);
    p->text = NULL;
    proxy_shape_done(&p->has);
    p->doing = PROXY_IDLE;
    p->died = false;
}
