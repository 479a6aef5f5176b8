/* SPDX-License-Identifier: Apache-2.0 */
/* Is it ready, and later: does it still answer? Its path answers 2xx (or it accepts a connection), then its smoke test ends with 0. */
#include "base/arena.h"
#include "base/child.h"
#include "base/err.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "serve/line.h"
#include "serve/replica.h"
#include "steps/executor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FIRST_MS = 50,
    LAST_MS = 500,
    ANSWER_MS = 2000, /* of one probe while it starts */
    LIVE_EVERY_MS = 5000,
    LIVE_ANSWER_MS = 5000,
    LIVE_AGAIN_MS = 1000,
    LIVE_MISSES = 3,
    SCRIPT_AGAIN_MS = 500,
    URL_MAX_LEN = 2048,
};

static void on_timer(void *arg);

static void start_timer(struct replica *r, int64_t after_ms)
{
    if (!r->timer) {
        r->timer = timer_new(r->ground->loop, on_timer, r);
    }
    timer_start(r->timer, after_ms, 0);
}

static int64_t left_ms(const struct replica *r)
{
    return r->ready_timeout_ms - (mono_us() - r->started_at_us) / 1000;
}

/* --- results --- */

static void say_late(struct replica *r)
{
    CLEANUP(sb_done) struct str s = {0};
    sb_puts(&s, "was not ready within ");
    add_duration(&s, r->ready_timeout_ms);
    if (r->path_ok) {
        sb_puts(&s, ": its smoke test kept failing");
    } else if (r->answer) {
        sb_printf(&s, ": %s", r->answer);
    }
    replica_set_problem(r, sb_take(&s));
    replica_probe_end(r);
    replica_tell(r);
}

static void again(struct replica *r, int64_t after_ms)
{
    int64_t left = left_ms(r);
    if (left <= 0) {
        say_late(r);
        return;
    }
    start_timer(r, after_ms < left ? after_ms : left);
}

static void missed(struct replica *r, char *answer)
{
    free(r->answer);
    r->answer = answer;
    if (r->state == REPLICA_STARTING) {
        again(r, r->wait_ms);
        r->wait_ms = r->wait_ms * 5 / 4 > LAST_MS ? LAST_MS : r->wait_ms * 5 / 4;
        return;
    }
    if (++r->misses < LIVE_MISSES) {
        start_timer(r, LIVE_AGAIN_MS);
        return;
    }
    replica_set_problem(r, xasprintf("does not answer any more (%s)", r->answer));
    replica_probe_end(r);
    replica_tell(r);
}

static void ready(struct replica *r)
{
    r->misses = 0;
    start_timer(r, LIVE_EVERY_MS);
    replica_set_state(r, REPLICA_READY);
    replica_tell(r);
}

/* --- the smoke test --- */

/* WF_MODEL as a path of this machine, where the replica is a container that sees it elsewhere. */
static const char *host_path(const struct replica *r, const char *inner)
{
    for (size_t i = 0; i < r->job->n_mounts; i++) {
        const struct mount *m = &r->job->mounts[i];
        size_t len = strlen(m->inner);
        if (strncmp(inner, m->inner, len) == 0 && (inner[len] == '\0' || inner[len] == '/')) {
            return arena_printf(r->arena, "%s%s", m->host, inner + len);
        }
    }
    return inner;
}

static const char *const *script_env(const struct replica *r)
{
    size_t n = 0, at = 0;
    while (r->job->env && r->job->env[n]) {
        n++;
    }
    const char **env = arena_calloc(r->arena, n + 3, sizeof(*env));
    const char *path = getenv("PATH");
    for (size_t i = 0; i < n; i++) {
        const char *v = r->job->env[i];
        if (text_starts(v, "WF_MODEL=") && r->container) {
            v = arena_printf(r->arena, "WF_MODEL=%s", host_path(r, v + strlen("WF_MODEL=")));
        }
        bool inner = r->container && (text_starts(v, "PATH=") || text_starts(v, "WF_SOCKET="));
        if (!inner && !text_starts(v, "WF_TOKEN=")) {
            env[at++] = v;
        }
    }
    if (r->container) {
        env[at++] = arena_printf(r->arena, "PATH=%s", path ? path : "/usr/local/bin:/usr/bin:/bin");
        if (r->socket) {
            env[at++] = arena_printf(r->arena, "WF_SOCKET=%s", r->socket);
        }
    }
    return env;
}

static void on_script_exit(const struct child_exit *how, void *arg)
{
    struct replica *r = arg;
    child_free(r->script);
    r->script = NULL;
    if (how->exit_code == 0) {
        ready(r);
    } else {
        again(r, SCRIPT_AGAIN_MS);
    }
}

static void run_script(struct replica *r)
{
    const char *const argv[] = {"sh", "-c", replica_fill(r, r->ready_script, true), NULL};
    struct child_spec spec = {.program = "/bin/sh",
                              .argv = argv,
                              .envp = script_env(r),
                              .cwd = "/",
                              .stdin_fd = -1,
                              .stdout_fd = r->log_fd,
                              .stderr_fd = r->log_fd,
                              .extra_fd = -1};
    struct err err = {0};
    if (r->job->workdir && !r->container) {
        spec.cwd = r->job->workdir;
    }
    if (child_spawn(r->ground->loop, &spec, on_script_exit, r, &r->script, &err) < 0) {
        missed(r, xstrdup(err.msg));
        return;
    }
    start_timer(r, left_ms(r) > 0 ? left_ms(r) : 0);
}

/* --- path or connection --- */

static void answered(struct replica *r)
{
    r->path_ok = true;
    if (r->state == REPLICA_READY) {
        r->misses = 0;
        start_timer(r, LIVE_EVERY_MS);
    } else if (r->ready_script && !r->tested) {
        run_script(r);
    } else {
        ready(r);
    }
}

static void on_answer(struct http_call *c, const struct http_response *res, void *arg)
{
    struct replica *r = arg;
    (void)c;
    r->call = NULL;
    r->last_status = res->status;
    if (res->status >= 200 && res->status < 300) {
        answered(r);
    } else if (res->status > 0) {
        missed(r, xasprintf("GET %s is answered with status %d", r->ready_path, res->status));
    } else {
        missed(r,
               xasprintf("GET %s: %.300s", r->ready_path, res->reason ? res->reason : "no answer"));
    }
}

static void ask_path(struct replica *r)
{
    char url[URL_MAX_LEN];
    struct err err = {0};
    if (r->socket) {
        snprintf(url, sizeof(url), "http://replica%s", r->ready_path);
    } else {
        snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", r->port, r->ready_path);
    }
    struct http_request q = {.url = url,
                             .unix_socket = r->socket,
                             .timeout_ms = r->state == REPLICA_READY ? LIVE_ANSWER_MS : ANSWER_MS};
    if (r->state == REPLICA_STARTING && left_ms(r) < q.timeout_ms) {
        q.timeout_ms = left_ms(r) > 1 ? left_ms(r) : 1;
    }
    /* Before the program made its socket there is nobody to ask. */
    if (r->socket && access(r->socket, F_OK) != 0) {
        missed(r, xstrdup("it has not made its socket ($WF_SOCKET)"));
    } else if (http_start(r->ground->http, &q, on_answer, r, &r->call, &err) < 0) {
        r->call = NULL;
        missed(r, xstrdup(err.msg));
    }
}

static bool connects(const struct replica *r)
{
    if (r->socket) {
        CLEANUP(cleanup_close) int fd = unix_connect(r->socket);
        return fd >= 0;
    }
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(r->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static void on_timer(void *arg)
{
    struct replica *r = arg;
    if (r->script) { /* the time is over */
        say_late(r);
    } else if (r->state == REPLICA_STARTING && left_ms(r) <= 0) {
        say_late(r);
    } else if (r->ready_path) {
        ask_path(r);
    } else if (connects(r)) {
        answered(r);
    } else {
        missed(r, xstrdup(r->socket ? "nobody accepts a connection at its socket ($WF_SOCKET)"
                                    : "nobody accepts a connection at its port"));
    }
}

void replica_probe_begin(struct replica *r)
{
    r->wait_ms = FIRST_MS;
    start_timer(r, r->state == REPLICA_READY ? 0 : FIRST_MS);
}

void replica_probe_end(struct replica *r)
{
    if (r->call) {
        http_abort(r->call);
        r->call = NULL;
    }
    child_free(r->script);
    r->script = NULL;
    timer_free(r->timer);
    r->timer = NULL;
}
