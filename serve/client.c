/* SPDX-License-Identifier: Apache-2.0 */
/* Connects to the socket that live/serve.lock names. Where nobody answers, a supervisor is started in its own session and the file is looked at again, every few milliseconds at first. Two
 * clients may start two: the lock decides, and the other one ends at once. */
#include "serve/client.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/store.h"
#include "serve/folder.h"
#include "serve/line.h"
#include "serve/proxy.h"
#include "serve/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FIRST_WAIT_MS = 10,
    LAST_WAIT_MS = 1000,
    WORRY_MS = 10000, /* so long without a supervisor is told */
    STEADY_MS = 5000, /* one that was there for less may end again as soon */
    SOCKET_NAME_MAX = 256,
    LINE_MAX_BYTES = 8 << 20,
};

struct serve_client {
    struct loop *loop;
    struct store *store;
    char *run;
    struct str hello;
    void (*on_event)(const struct serve_event *e, void *arg);
    void *arg;
    struct line *line; /* NULL: not connected */
    struct timer *timer;
    int64_t wait_ms, lost_at_us, connected_at_us;
    bool worried;
    pid_t started; /* a supervisor of ours that nobody has waited for yet; 0: none */
    char *program; /* NULL: ourselves */
};

/* --- finding and starting --- */

/* The socket of the supervisor there was last. Owned by the caller; NULL. */
static char *find_socket(struct store *s)
{
    CLEANUP(cleanup_free) char *lock = store_path(s, "live/" SERVE_LOCK);
    CLEANUP(sb_done) struct str text = {0};
    if (fs_read_file(lock, SOCKET_NAME_MAX, &text, NULL) < 0 || text.len == 0) {
        return NULL;
    }
    return sb_take(&text);
}

/* What would make a long-lived process act as a step of the run that started it stays behind. */
static char **make_environment(void)
{
    static const char *const kept[] = {
        "WF_HAPROXY=", "WF_CONTAINER_HOST=", "WF_STORE=", "WF_FAILPOINT=", "WF_SUPERVISOR="};
    size_t n = 0, out = 0;
    while (environ[n]) {
        n++;
    }
    char **env = xcalloc(n + 1, sizeof(*env));
    for (size_t i = 0; i < n; i++) {
        bool keep = !text_starts(environ[i], "WF_");
        for (size_t k = 0; k < ARRAY_LEN(kept); k++) {
            keep = keep || text_starts(environ[i], kept[k]);
        }
        if (keep) {
            env[out++] = environ[i];
        }
    }
    return env;
}

static int spawn_supervisor(struct serve_client *c, struct err *err)
{
    CLEANUP(cleanup_free) char *folder = serve_folder_make(c->store, "", err);
    if (!folder) {
        return -(int)ERR_IO;
    }
    CLEANUP(cleanup_free) char *log = fs_join(folder, "supervisor.log");
    CLEANUP(cleanup_free) char *dir = xstrdup(store_dir(c->store));
    CLEANUP(cleanup_free) char **env = make_environment();
    char wf[] = "wf", supervise[] = "supervise", option[] = "--store";
    char *argv[] = {wf, supervise, option, dir, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(
        &how, (short)(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    int sys = posix_spawn(&c->started, c->program ? c->program : "/proc/self/exe", &files, &how,
                          argv, env);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    if (sys) {
        c->started = 0;
        return err_set(err, ERR_IO, sys, "the supervisor of services cannot be started");
    }
    return 0;
}

static bool is_starting(struct serve_client *c)
{
    if (c->started && waitpid(c->started, NULL, WNOHANG) != 0) {
        c->started = 0;
    }
    return c->started != 0;
}

/* --- the line --- */

static void tell_note(struct serve_client *c, int64_t service, const char *text)
{
    struct serve_event e = {.news = NEWS_NOTE, .service = service, .text = text};
    c->on_event(&e, c->arg);
}

static void on_text(const char *text, size_t len, void *arg)
{
    struct serve_client *c = arg;
    CLEANUP(cleanup_json) json_t *o = NULL;
    if (json_read(text, len, LINE_MAX_BYTES, &o, NULL) < 0) {
        return;
    }
    const char *note = json_string_value(json_object_get(o, "note"));
    const json_t *state = json_object_get(o, "state");
    if (note) {
        tell_note(c, json_integer_value(json_object_get(o, "service")), note);
    } else if (state) {
        struct arena *a = arena_new();
        struct serve_event e = {.news = NEWS_STATE};
        if (wire_read_state(state, a, &e.row)) {
            e.service = e.row.id;
            c->on_event(&e, c->arg);
        }
        arena_free(a);
    }
}

static void on_end(void *arg)
{
    struct serve_client *c = arg;
    line_free(c->line);
    c->line = NULL;
    bool steady = mono_us() - c->connected_at_us > STEADY_MS * INT64_C(1000);
    if (steady) {
        c->wait_ms = FIRST_WAIT_MS;
        c->lost_at_us = mono_us();
        c->worried = false;
    }
    timer_start(c->timer, steady || c->wait_ms == FIRST_WAIT_MS ? 0 : c->wait_ms, 0);
}

static bool try_connect(struct serve_client *c)
{
    CLEANUP(cleanup_free) char *path = find_socket(c->store);
    int fd = path ? unix_connect(path) : -1;
    if (fd < 0) {
        return false;
    }
    struct line_calls calls = {.on_text = on_text, .on_end = on_end, .arg = c};
    c->line = line_new(c->loop, fd, &calls);
    line_send(c->line, c->hello.data, c->hello.len);
    line_send(c->line, "{\"look\":true}", strlen("{\"look\":true}"));
    c->connected_at_us = mono_us();
    return true;
}

static void on_timer(void *arg)
{
    struct serve_client *c = arg;
    struct err err = {0};
    if (try_connect(c)) {
        return;
    }
    if (!is_starting(c) && spawn_supervisor(c, &err) < 0 && !c->worried) {
        c->worried = true;
        tell_note(c, 0, err.msg);
    }
    if (!c->worried && mono_us() - c->lost_at_us > WORRY_MS * 1000) {
        CLEANUP(cleanup_free)
        char *text = xasprintf("the supervisor of services does not come up; why should stand in "
                               "%s/serve/supervisor.log",
                               store_dir(c->store));
        c->worried = true;
        tell_note(c, 0, text);
    }
    timer_start(c->timer, c->wait_ms, 0);
    c->wait_ms = c->wait_ms * 3 / 2 > LAST_WAIT_MS ? LAST_WAIT_MS : c->wait_ms * 3 / 2;
}

/* --- the caller's side --- */

int serve_client_open(const struct serve_client_options *o, struct serve_client **ret,
                      struct err *err)
{
    CLEANUP(cleanup_free) char *version = NULL;
    CLEANUP(cleanup_free) char *haproxy = proxy_find(&version);
    const char *named = getenv("WF_HAPROXY");
    if (!haproxy && named && *named) {
        return err_set(
            err, ERR_NOT_FOUND, 0,
            "serving needs HAProxy, which is not installed where WF_HAPROXY says ('%s'); "
            "correct it, or unset it to use the one in PATH",
            named);
    }
    if (!haproxy) {
        return err_set(
            err, ERR_NOT_FOUND, 0,
            "serving needs HAProxy, which is not installed; install it (Debian, Ubuntu: "
            "apt-get install haproxy; Fedora: dnf install haproxy), or set WF_HAPROXY to "
            "its path");
    }
    struct serve_client *c = xcalloc(1, sizeof(*c));
    const char *program = getenv("WF_SUPERVISOR"); /* tests, which are not wf themselves */
    *c = (struct serve_client){.loop = o->loop,
                               .store = o->store,
                               .run = o->run ? xstrdup(o->run) : NULL,
                               .on_event = o->on_event,
                               .arg = o->arg,
                               .wait_ms = FIRST_WAIT_MS,
                               .lost_at_us = mono_us(),
                               .program = program && *program ? xstrdup(program) : NULL};
    wire_hello(c->run, o->secrets, o->n_secrets, &c->hello);
    c->timer = timer_new(c->loop, on_timer, c);
    timer_start(c->timer, 0, 0); /* events come from the loop alone */
    *ret = c;
    return 0;
}

void serve_client_look(struct serve_client *c)
{
    if (c && c->line) {
        line_send(c->line, "{\"look\":true}", strlen("{\"look\":true}"));
    } /* else the hello brings a look with it */
}

void serve_client_close(struct serve_client *c)
{
    if (!c) {
        return;
    }
    line_free(c->line);
    timer_free(c->timer);
    is_starting(c);
    sb_done(&c->hello);
    free(c->run);
    free(c->program);
    free(c);
}

bool serve_alive(struct store *s)
{
    return store_is_live(s, SERVE_LOCK);
}

/* --- one question --- */

static bool read_line(int fd, int64_t limit_ms, struct str *out)
{
    int64_t until = mono_us() + limit_ms * 1000;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = (until - mono_us()) / 1000;
        if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
            return false;
        }
        sb_reserve(out, 4096);
        ssize_t n = recv(fd, out->data + out->len, 4096, 0);
        if (n <= 0 || out->len > LINE_MAX_BYTES) {
            return false;
        }
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (memchr(out->data, '\n', out->len)) {
            return true;
        }
    }
}

json_t *serve_ask(struct store *s, int64_t limit_ms)
{
    static const char question[] = "{\"ask\":true}\n";
    CLEANUP(cleanup_free) char *path = serve_alive(s) ? find_socket(s) : NULL;
    CLEANUP(cleanup_close) int fd = path ? unix_connect(path) : -1;
    CLEANUP(sb_done) struct str text = {0};
    json_t *o = NULL;
    if (fd < 0 || send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0 ||
        !read_line(fd, limit_ms, &text) ||
        json_read(text.data, text.len, LINE_MAX_BYTES, &o, NULL) < 0) {
        return NULL;
    }
    json_t *answer = json_incref(json_object_get(o, "answer"));
    json_decref(o);
    return answer;
}
