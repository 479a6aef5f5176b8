/* SPDX-License-Identifier: Apache-2.0 */
/* The process: its socket, its signals, its end. */
#include "serve/gateway.h"

#include "base/child.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "serve/gateway_http.h"
#include "serve/gateway_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, HURRY_MS = 10000, SOON_MS = 50 };

struct gateway {
    const char *path;
    struct loop *loop;
    struct upstream *upstream;
    struct ensemble *ensemble;
    struct jobs jobs;
    struct web *web;
    struct timer
        *hurry; /* after TERM: who has not sent all of a request by then is not waited for */
};

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    memcpy(a.sun_path, path, strlen(path)); /* its length has been checked */
    return a;
}

/* A socket file that nobody listens on is what a killed gateway left behind. */
static int clear_way(const char *path, struct err *err)
{
    struct sockaddr_un a = address_of(path);
    struct stat st;

    if (lstat(path, &st) != 0) {
        return 0;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return err_set(err, ERR_EXISTS, 0, "%s exists and is not a socket", path);
    }
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 && errno == ECONNREFUSED) {
        unlink(path);
        return 0;
    }
    return err_set(err, ERR_BUSY, 0, "somebody listens on %s already", path);
}

static int listen_on(const char *path, int *ret_fd, struct err *err)
{
    struct sockaddr_un a = address_of(path);
    int rc = clear_way(path, err);

    if (rc) {
        return rc;
    }
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(0177);
    rc = fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, BACKLOG) != 0;
    int sys = errno;
    umask(before);
    if (rc) {
        return err_set(err, ERR_IO, sys, "the socket %s cannot be made", path);
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

static struct ensemble *current(void *arg)
{
    struct gateway *g = arg;

    return g->ensemble;
}

static void on_hup(int signum, void *arg)
{
    struct gateway *g = arg;
    struct ensemble *s;
    struct err err = {0};

    (void)signum;
    if (ensemble_open(g->path, g->upstream, g->ensemble, &s, &err) != 0) {
        log_write(LOG_ERROR, "gateway", "the new configuration is refused, the old one goes on: %s",
                  err.msg);
        return;
    }
    if (!text_eq(s->config.socket, g->ensemble->config.socket)) {
        log_write(LOG_ERROR, "gateway",
                  "the new configuration is refused, the old one goes on: %s: another \"socket\" "
                  "needs another gateway",
                  g->path);
        ensemble_unref(s);
        return;
    }
    ensemble_unref(g->ensemble);
    g->ensemble = s;
}

static void on_idle(void *arg)
{
    struct gateway *g = arg;

    jobs_drop(&g->jobs);
    if (g->jobs.count == 0) {
        loop_stop(g->loop);
    } else {
        timer_start(g->hurry, SOON_MS, SOON_MS); /* work on the pool, a slow model server */
    }
}

static void on_term(int signum, void *arg)
{
    struct gateway *g = arg;

    (void)signum;
    web_stop(g->web);
    timer_start(g->hurry, HURRY_MS, 0);
}

/* Each request may hold some descriptors. */
static void raise_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max < 65536 ? l.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int serve(struct gateway *g, struct err *err)
{
    int fd = -1;
    int rc = child_setup(err);

    rc = rc ? rc : ensemble_open(g->path, g->upstream, NULL, &g->ensemble, err);
    rc = rc ? rc : listen_on(g->ensemble->config.socket, &fd, err);
    if (rc) {
        return rc;
    }
    struct web_options o = {.loop = g->loop,
                            .jobs = &g->jobs,
                            .listen_fd = fd,
                            .ensemble = current,
                            .on_idle = on_idle,
                            .arg = g};
    rc = web_open(&o, &g->web, err);
    if (rc == 0) {
        loop_run(g->loop);
    }
    unlink(g->ensemble->config.socket);
    return rc;
}

int gateway_run(const char *path)
{
    struct gateway g = {.path = path, .loop = loop_new()};
    struct err err = {0};

    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    g.upstream = upstream_new(g.loop);
    jobs_init(&g.jobs, g.loop);
    g.hurry = timer_new(g.loop, on_idle, &g);
    /* Whoever sees the process may send one already. */
    struct signal_watch *watches[] = {signal_new(g.loop, SIGHUP, on_hup, &g),
                                      signal_new(g.loop, SIGTERM, on_term, &g),
                                      signal_new(g.loop, SIGINT, on_term, &g)};
    int rc = serve(&g, &err);
    for (size_t i = 0; i < ARRAY_LEN(watches); i++) {
        signal_free(watches[i]);
    }
    if (rc) {
        fprintf(stderr, "wf: %s\n", err.msg);
    }
    web_free(g.web);
    timer_free(g.hurry);
    ensemble_unref(g.ensemble);
    jobs_done(&g.jobs);
    upstream_free(g.upstream);
    loop_free(g.loop);
    return rc ? 4 : 0; /* EXIT_SYSTEM */
}
