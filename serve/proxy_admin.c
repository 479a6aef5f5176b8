/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy's runtime API: one line to a unix socket, an answer up to the end of the stream. Nothing blocks; a HAProxy that is stopped or hangs costs a time-out. */
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "serve/proxy_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ASK_TIMEOUT_MS = 5000,
    ANSWER_MAX = 64 << 20,
    MASTER_WAIT_MS = 2000, /* a master that has just started or reloaded is deaf for some 30 ms */
    MASTER_POLL_MS = 5,
};

struct proxy_ask {
    struct proxy *p;
    struct proxy_ask *next, **link; /* in p->asks */
    int fd;
    struct watch *watch;
    struct timer *timer;
    struct str command, answer;
    size_t sent;
    bool master;
    int64_t until_us; /* a deaf master is asked again until then */
    struct err err;
    proxy_answer_fn fn;
    void *arg;
};

void proxy_ask_cancel(struct proxy_ask *a)
{
    if (!a) {
        return;
    }
    *a->link = a->next;
    if (a->next) {
        a->next->link = a->link;
    }
    watch_free(a->watch);
    timer_free(a->timer);
    if (a->fd >= 0) {
        close(a->fd);
    }
    sb_done(&a->command);
    sb_done(&a->answer);
    free(a);
}

static void end(struct proxy_ask *a)
{
    proxy_answer_fn fn = a->fn;
    void *arg = a->arg;
    struct err err = a->err;
    CLEANUP(sb_done) struct str answer = a->answer;
    a->answer = (struct str){0};
    proxy_ask_cancel(a);
    fn(err.code ? &err : NULL, slice_of(sb_text(&answer), answer.len), arg);
}

static void fail(struct proxy_ask *a, enum err_code code, int sys)
{
    (void)err_set(&a->err, code, sys, "HAProxy does not answer at its %s socket",
                  a->master ? "master's" : "admin");
    end(a);
}

static void ask(struct proxy_ask *a);

static void on_time(void *arg)
{
    struct proxy_ask *a = arg;
    if (a->fd < 0 && a->master && mono_us() < a->until_us) {
        ask(a);
    } else if (a->err.code) {
        end(a);
    } else {
        fail(a, ERR_TIMEOUT, ETIMEDOUT);
    }
}

static void on_input(int events, void *arg);

/* A master that starts itself anew drops those who wait: ask again. Not after `reload`, whose answer that is. */
static bool again(struct proxy_ask *a)
{
    if (!a->master || a->answer.len > 0 || mono_us() >= a->until_us ||
        text_starts(a->command.data, "reload")) {
        return false;
    }
    watch_free(a->watch);
    a->watch = NULL;
    close(a->fd);
    a->fd = -1;
    a->sent = 0;
    (void)err_set(&a->err, ERR_NET, 0, "HAProxy's master does not answer");
    timer_start(a->timer, MASTER_POLL_MS, 0);
    return true;
}

/* True when all is sent. */
static bool send_some(struct proxy_ask *a)
{
    while (a->sent < a->command.len) {
        ssize_t n = send(a->fd, a->command.data + a->sent, a->command.len - a->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        a->sent += (size_t)n;
    }
    return true;
}

static void on_output(int events, void *arg)
{
    struct proxy_ask *a = arg;
    (void)events;
    if (!send_some(a)) {
        int sys = errno;
        if (sys != EAGAIN && !again(a)) {
            fail(a, ERR_NET, sys);
        }
        return;
    }
    /* The master's side is a conversation: it ends when we have no more to say. */
    shutdown(a->fd, SHUT_WR);
    watch_free(a->watch);
    a->watch = watch_new(a->p->loop, a->fd, WATCH_READ, on_input, a);
}

static void on_input(int events, void *arg)
{
    struct proxy_ask *a = arg;
    (void)events;
    for (;;) {
        char part[16384];
        ssize_t n = recv(a->fd, part, sizeof(part), 0);
        if (n > 0 && a->answer.len < ANSWER_MAX) {
            sb_add(&a->answer, part, (size_t)n);
        } else if (n == 0) {
            if (!again(a)) {
                end(a);
            }
            return;
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (n > 0 || errno != EINTR) {
            int sys = n > 0 ? EFBIG : errno;
            if (n > 0 || !again(a)) {
                fail(a, ERR_NET, sys);
            }
            return;
        }
    }
}

static int dial(struct proxy_ask *a)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_free) char *path = proxy_socket(a->p, a->master);
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (strlen(path) >= sizeof(at.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(at.sun_path, path, strlen(path));
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        return -errno;
    }
    a->fd = take_fd(&fd);
    return 0;
}

/* Its failure comes from the loop, as everything does. */
static void ask(struct proxy_ask *a)
{
    int rc = dial(a);
    if (rc < 0) {
        (void)err_set(&a->err, ERR_NET, -rc, "HAProxy does not answer at its %s socket",
                      a->master ? "master's" : "admin");
        timer_start(a->timer, a->master ? MASTER_POLL_MS : 0, 0);
        return;
    }
    a->err = (struct err){0};
    timer_start(a->timer, ASK_TIMEOUT_MS, 0);
    a->watch = watch_new(a->p->loop, a->fd, WATCH_WRITE, on_output, a);
}

struct proxy_ask *proxy_ask(struct proxy *p, bool master, const char *command, proxy_answer_fn fn,
                            void *arg)
{
    struct proxy_ask *a = xcalloc(1, sizeof(*a));
    *a = (struct proxy_ask){.p = p, .fd = -1, .master = master, .fn = fn, .arg = arg};
    a->until_us = mono_us() + MASTER_WAIT_MS * INT64_C(1000);
    a->link = &p->asks;
    a->next = p->asks;
    if (a->next) {
        a->next->link = &a->next;
    }
    p->asks = a;
    sb_puts(&a->command, command);
    sb_putc(&a->command, '\n');
    a->timer = timer_new(p->loop, on_time, a);
    ask(a);
    return a;
}

struct slice proxy_info(struct slice answer, const char *name)
{
    size_t len = strlen(name);
    for (size_t at = 0; at < answer.len;) {
        const char *line = answer.data + at;
        const char *nl = memchr(line, '\n', answer.len - at);
        size_t n = nl ? (size_t)(nl - line) : answer.len - at;
        if (n > len + 2 && memcmp(line, name, len) == 0 && memcmp(line + len, ": ", 2) == 0) {
            return slice_of(line + len + 2, n - len - 2);
        }
        at += n + 1;
    }
    return slice_of("", 0);
}
