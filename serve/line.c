/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/line.h"

#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { TEXT_MAX = 4 << 20, WAITING_MAX = 16 << 20, READ_SIZE = 64 << 10, BACKLOG = 64 };

struct line {
    struct loop *loop;
    struct line_calls calls;
    int fd;
    struct watch *watch;
    bool writing; /* the watch waits for room too */
    bool over;
    struct str in, out;
    size_t sent; /* of out */
    bool *freed; /* set by line_free() inside a callback */
};

static void on_ready(int events, void *arg);

static void watch_again(struct line *n, bool writing)
{
    watch_free(n->watch);
    n->writing = writing;
    n->watch = watch_new(n->loop, n->fd, WATCH_READ | (writing ? WATCH_WRITE : 0), on_ready, n);
}

static void end(struct line *n)
{
    watch_free(n->watch);
    n->watch = NULL;
    n->over = true;
    n->calls.on_end(n->calls.arg);
}

/* False: the other end is gone. */
static bool flush(struct line *n)
{
    while (n->sent < n->out.len) {
        ssize_t got = send(n->fd, n->out.data + n->sent, n->out.len - n->sent, MSG_NOSIGNAL);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno == EAGAIN;
        }
        n->sent += (size_t)got;
    }
    sb_clear(&n->out);
    n->sent = 0;
    return true;
}

enum told { TOLD, TOLD_FREED /* n is gone */, TOLD_TOO_LONG };

static enum told tell_lines(struct line *n)
{
    bool freed = false;
    size_t from = 0;
    const char *newline;
    n->freed = &freed;
    while ((newline = memchr(n->in.data + from, '\n', n->in.len - from))) {
        size_t len = (size_t)(newline - (n->in.data + from));
        n->in.data[from + len] = '\0';
        n->calls.on_text(n->in.data + from, len, n->calls.arg);
        if (freed) {
            return TOLD_FREED;
        }
        from += len + 1;
    }
    n->freed = NULL;
    memmove(n->in.data, n->in.data + from, n->in.len - from);
    sb_truncate(&n->in, n->in.len - from);
    return n->in.len <= TEXT_MAX ? TOLD : TOLD_TOO_LONG;
}

static void on_ready(int events, void *arg)
{
    struct line *n = arg;
    if (events & WATCH_WRITE) {
        if (!flush(n)) {
            end(n);
            return;
        }
        if (n->out.len == 0 && n->writing) {
            watch_again(n, false);
        }
    }
    if (!(events & WATCH_READ)) {
        return;
    }
    sb_reserve(&n->in, READ_SIZE);
    ssize_t got = recv(n->fd, n->in.data + n->in.len, READ_SIZE, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        end(n);
        return;
    }
    n->in.len += (size_t)got;
    n->in.data[n->in.len] = '\0';
    if (tell_lines(n) == TOLD_TOO_LONG) {
        end(n);
    }
}

struct line *line_new(struct loop *l, int fd, const struct line_calls *calls)
{
    struct line *n = xcalloc(1, sizeof(*n));
    *n = (struct line){.loop = l, .calls = *calls, .fd = fd};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    watch_again(n, false);
    return n;
}

void line_send(struct line *n, const char *text, size_t len)
{
    if (n->over || n->out.len > WAITING_MAX) {
        return; /* who does not read for so long is heard of when it reads again, or ends */
    }
    sb_add(&n->out, text, len);
    sb_putc(&n->out, '\n');
    if (n->out.len > WAITING_MAX) {
        shutdown(n->fd, SHUT_RDWR); /* the watch tells */
        return;
    }
    if (flush(n) && n->out.len > 0 && !n->writing) {
        watch_again(n, true);
    }
}

void line_free(struct line *n)
{
    if (!n) {
        return;
    }
    if (n->freed) {
        *n->freed = true;
    }
    watch_free(n->watch);
    close(n->fd);
    sb_done(&n->in);
    sb_done(&n->out);
    free(n);
}

/* --- sockets --- */

static int open_unix(const char *path, struct sockaddr_un *ret)
{
    size_t len = strlen(path);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len >= sizeof(ret->sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(ret->sun_path, path, len + 1);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int unix_connect(const char *path)
{
    struct sockaddr_un to;
    int fd = open_unix(path, &to);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        int sys = errno;
        close(fd);
        errno = sys;
        return -1;
    }
    return fd;
}

int unix_listen(const char *path)
{
    struct sockaddr_un at;
    int fd = open_unix(path, &at);
    if (fd < 0) {
        return -1;
    }
    mode_t mask = umask(0177);
    int rc = bind(fd, (struct sockaddr *)&at, sizeof(at));
    int sys = errno;
    umask(mask);
    if (rc == 0 && listen(fd, BACKLOG) == 0) {
        return fd;
    }
    sys = rc == 0 ? errno : sys;
    close(fd);
    errno = sys;
    return -1;
}
