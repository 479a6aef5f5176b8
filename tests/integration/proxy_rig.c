/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy_rig.h"

#include "base/child.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { WAIT_MS = 10000, POLL_MS = 5 };

static void on_restart(const struct err *err, void *arg)
{
    struct rig *r = arg;
    if (err) {
        r->restart_failures++;
        (void)snprintf(r->restart_error, sizeof(r->restart_error), "%.190s", err->msg);
    } else {
        r->restarts++;
    }
}

uint16_t rig_free_port(const char *host)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    socklen_t len = sizeof(v4);
    inet_pton(AF_INET, host, &v4.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(fd, (struct sockaddr *)&v4, len) == 0);
    cr_assert(getsockname(fd, (struct sockaddr *)&v4, &len) == 0);
    close(fd);
    return ntohs(v4.sin_port);
}

void rig_open_proxy(struct rig *r)
{
    struct err err;
    struct proxy_options o = {.loop = r->loop,
                              .dir = r->store,
                              .run_dir = r->run_dir,
                              .on_restart = on_restart,
                              .arg = r};
    int rc = proxy_open(&o, &r->proxy, &err);
    cr_assert(rc == 0, "%s", err.msg);
}

void rig_open(struct rig *r)
{
    struct err err;
    memset(r, 0, sizeof(*r));
    cr_assert(getenv("WF_TEST_REPLICA"), "it names the program of tests/servers/replica.c");
    (void)snprintf(r->dir, sizeof(r->dir), "/tmp/wf-proxy-XXXXXX");
    cr_assert(mkdtemp(r->dir));
    (void)snprintf(r->run_dir, sizeof(r->run_dir), "%s/run", r->dir);
    (void)snprintf(r->store, sizeof(r->store), "%s/a store", r->dir);
    cr_assert(mkdir(r->run_dir, 0700) == 0);
    for (int i = 0; i < RIG_REPLICAS; i++) {
        (void)snprintf(r->socket[i], sizeof(r->socket[i]), "%s/r%d.sock", r->run_dir, i);
    }
    cr_assert(child_setup(&err) == 0, "%s", err.msg);
    r->loop = loop_new();
    r->port = rig_free_port("127.0.0.1");
    r->port2 = rig_free_port("127.0.0.1");
    rig_open_proxy(r);
}

void rig_close(struct rig *r)
{
    if (!r->loop) {
        return;
    }
    if (r->proxy) {
        proxy_stop(r->proxy, 200);
        proxy_close(r->proxy);
    }
    for (int i = 0; i < RIG_REPLICAS; i++) {
        child_free(r->replica[i]);
    }
    loop_free(r->loop);
    (void)fs_remove_tree(r->dir, NULL);
    memset(r, 0, sizeof(*r));
}

/* Replicas */

static void on_replica_exit(const struct child_exit *how, void *arg)
{
    (void)how;
    (void)arg;
}

static int dial_unix(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void rig_start_replica(struct rig *r, int i)
{
    struct err err;
    char name[8];
    const char *program = getenv("WF_TEST_REPLICA");
    (void)snprintf(name, sizeof(name), "r%d", i);
    const char *const argv[] = {program, r->socket[i], name, NULL};
    const char *const envp[] = {NULL};
    struct child_spec spec = {.program = program,
                              .argv = argv,
                              .envp = envp,
                              .stdin_fd = -1,
                              .stdout_fd = -1,
                              .stderr_fd = -1,
                              .extra_fd = -1};
    child_free(r->replica[i]);
    cr_assert(child_spawn(r->loop, &spec, on_replica_exit, r, &r->replica[i], &err) == 0, "%s",
              err.msg);
    for (int n = 0; n < WAIT_MS; n++) {
        int fd = dial_unix(r->socket[i]);
        if (fd >= 0) {
            close(fd);
            return;
        }
        poll(NULL, 0, 1);
    }
    cr_assert_fail("replica %d does not listen", i);
}

void rig_kill_replica(struct rig *r, int i)
{
    child_free(r->replica[i]); /* KILL */
    r->replica[i] = NULL;
}

/* The proxy, blocking */

static void on_time_over(void *arg)
{
    cr_assert_fail("still waiting for %s", (const char *)arg);
}

static void run_until_done(struct rig *r, const char *what)
{
    struct timer *limit = timer_new(r->loop, on_time_over, (void *)(uintptr_t)what);
    timer_start(limit, 3 * WAIT_MS, 0);
    while (!r->done) {
        loop_run(r->loop);
    }
    timer_free(limit);
}

static void on_done(const struct err *err, void *arg)
{
    struct rig *r = arg;
    r->err = err ? *err : (struct err){0};
    r->done = true;
    loop_stop(r->loop);
}

bool rig_apply(struct rig *r, const struct proxy_state *s)
{
    r->done = false;
    proxy_apply(r->proxy, s, on_done, r);
    run_until_done(r, "a state to be applied");
    return r->err.code == ERR_NONE;
}

static void on_look(const struct proxy_look *l, void *arg)
{
    struct rig *r = arg;
    cr_assert(r->n_looks < RIG_LOOKS);
    struct rig_look *to = &r->looks[r->n_looks++];
    *to = (struct rig_look){.server = l->server,
                            .up = l->up,
                            .sessions = l->sessions,
                            .queued = l->queued,
                            .requests = l->requests,
                            .errors = l->errors};
    (void)snprintf(to->backend, sizeof(to->backend), "%s", l->backend);
}

void rig_look_now(struct rig *r)
{
    r->done = false;
    r->n_looks = 0;
    proxy_look(r->proxy, on_look, on_done, r);
    run_until_done(r, "a look");
}

const struct rig_look *rig_seen(const struct rig *r, const char *backend, uint32_t server)
{
    for (size_t i = 0; i < r->n_looks; i++) {
        if (r->looks[i].server == server && strcmp(r->looks[i].backend, backend) == 0) {
            return &r->looks[i];
        }
    }
    return NULL;
}

static void stop(void *arg)
{
    loop_stop(((struct rig *)arg)->loop);
}

void rig_run_ms(struct rig *r, int64_t ms)
{
    struct timer *t = timer_new(r->loop, stop, r);
    timer_start(t, ms, 0);
    loop_run(r->loop);
    timer_free(t);
}

void rig_until(struct rig *r, bool (*fn)(struct rig *r), const char *what)
{
    int64_t until = mono_us() + WAIT_MS * INT64_C(1000);
    for (;;) {
        rig_look_now(r);
        if (fn(r)) {
            return;
        }
        cr_assert(mono_us() < until, "still waiting for %s", what);
        rig_run_ms(r, POLL_MS);
    }
}

pid_t rig_master(const struct rig *r)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_free) char *path = fs_join(r->store, "haproxy.pid");
    cr_assert(fs_read_file(path, 4096, &text, NULL) == 0);
    return (pid_t)strtol(text.data, NULL, 10);
}

pid_t rig_worker(const struct rig *r)
{
    char path[128], text[16384];
    size_t len = 0;
    (void)snprintf(path, sizeof(path), "%s/a.sock", r->run_dir);
    int fd = dial_unix(path);
    cr_assert(fd >= 0);
    cr_assert(write(fd, "show info\n", 10) == 10);
    for (ssize_t n;
         len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0;) {
        len += (size_t)n;
    }
    text[len] = '\0';
    close(fd);
    const char *pid = strstr(text, "\nPid: ");
    cr_assert(pid);
    return (pid_t)strtol(pid + 6, NULL, 10);
}

/* Callers */

static int dial(const char *host, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct timeval limit = {.tv_sec = 20};
    bool six = host && strchr(host, ':');
    inet_pton(AF_INET, host && !six ? host : "127.0.0.1", &v4.sin_addr);
    inet_pton(AF_INET6, six ? host : "::1", &v6.sin6_addr);
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    const struct sockaddr *at = six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    if (connect(fd, at, six ? sizeof(v6) : sizeof(v4)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_request(int fd, const struct request *q)
{
    char head[4096];
    int n =
        snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n",
                 q->body_len ? "POST" : "GET", q->path, q->headers ? q->headers : "", q->body_len);
    if (!send_all(fd, head, (size_t)n)) {
        return false;
    }
    char part[8192];
    memset(part, 'x', sizeof(part));
    for (size_t left = q->body_len; left > 0;) {
        size_t k = left < sizeof(part) ? left : sizeof(part);
        if (!send_all(fd, part, k)) {
            return false;
        }
        left -= k;
    }
    return true;
}

/* One answer with a Content-Length, into `ret`. */
static bool read_answer(int fd, struct reply *ret)
{
    size_t len = 0, want = 0;
    const char *body = NULL;
    while (!body || len < want) {
        ssize_t n = len < sizeof(ret->text) - 1
                        ? recv(fd, ret->text + len, sizeof(ret->text) - 1 - len, 0)
                        : 0;
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        ret->text[len] = '\0';
        if (!body && (body = strstr(ret->text, "\r\n\r\n"))) {
            const char *length = strcasestr(ret->text, "content-length:");
            want = (size_t)(body + 4 - ret->text) + (length ? strtoul(length + 15, NULL, 10) : 0);
        }
    }
    ret->status = (int)strtol(ret->text + 9, NULL, 10);
    (void)snprintf(ret->body, sizeof(ret->body), "%s", body + 4);
    return true;
}

struct reply rig_ask(const struct request *q)
{
    struct reply ret = {0};
    int fd = dial(q->host, q->port);
    if (fd >= 0) {
        (void)!send_request(fd, q);
        if (!read_answer(fd, &ret)) {
            ret.status = 0;
        }
        close(fd);
    }
    return ret;
}

struct reply rig_get(uint16_t port, const char *path)
{
    return rig_ask(&(struct request){.port = port, .path = path});
}

struct load {
    struct load_options o;
    _Atomic bool over;
    pthread_t thread[RIG_THREADS];
    struct load_result result[RIG_THREADS];
};
struct caller {
    struct load *load;
    int index;
};

static void note(struct load_result *to, const struct reply *got, const char *what)
{
    to->requests++;
    if (got && got->status == 200) {
        int i = got->body[0] == 'r' ? got->body[1] - '0' : -1;
        if (i >= 0 && i < RIG_REPLICAS) {
            to->by_name[i]++;
        }
        return;
    }
    if (to->failed++ == 0) {
        (void)snprintf(to->first_failure, sizeof(to->first_failure), "%s: %d %.150s", what,
                       got ? got->status : 0, got ? got->body : "");
    }
}

static void *call(void *arg)
{
    struct caller c = *(struct caller *)arg;
    struct load *l = c.load;
    struct load_result *to = &l->result[c.index];
    struct request q = {.port = l->o.port, .path = l->o.path, .body_len = l->o.body_len};
    int fd = -1;
    free(arg);
    while (!l->over) {
        struct reply got = {0};
        if (fd < 0) {
            fd = dial(NULL, q.port);
        }
        if (fd < 0) {
            note(to, NULL, "refused");
            poll(NULL, 0, 1);
            continue;
        }
        bool sent = send_request(fd, &q), ok = read_answer(fd, &got);
        note(to, ok ? &got : NULL, sent ? "no answer" : "cannot send");
        if (!ok || l->o.fresh || strcasestr(got.text, "connection: close")) {
            close(fd);
            fd = -1;
        }
        if (l->o.think_us > 0) {
            usleep((useconds_t)l->o.think_us);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

struct load *load_start(const struct load_options *o)
{
    struct load *l = xcalloc(1, sizeof(*l));
    l->o = *o;
    for (int i = 0; i < o->threads; i++) {
        struct caller *c = xcalloc(1, sizeof(*c));
        *c = (struct caller){l, i};
        cr_assert(pthread_create(&l->thread[i], NULL, call, c) == 0);
    }
    return l;
}

void load_end(struct load *l, struct load_result *ret)
{
    memset(ret, 0, sizeof(*ret));
    l->over = true;
    for (int i = 0; i < l->o.threads; i++) {
        pthread_join(l->thread[i], NULL);
        const struct load_result *one = &l->result[i];
        ret->requests += one->requests;
        if (one->failed > 0 && ret->failed == 0) {
            memcpy(ret->first_failure, one->first_failure, sizeof(ret->first_failure));
        }
        ret->failed += one->failed;
        for (int k = 0; k < RIG_REPLICAS; k++) {
            ret->by_name[k] += one->by_name[k];
        }
    }
    free(l);
}
