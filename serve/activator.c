/* SPDX-License-Identifier: Apache-2.0 */
/* Holds connections while no replica runs: they are accepted and not read. When one is there, bytes go both ways until both sides have ended. */
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "serve/line.h"
#include "serve/supervisor_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIPE_SIZE = 64 << 10, HELD_MAX = 1024 };

struct end { /* of a pair: what is read here waits for the other one to be written */
    int fd;
    struct watch *watch;
    int watched;
    bool ended; /* nothing more to read */
    bool told;  /* the other one's end was passed on to it */
    size_t from, len;
    char *data;
};
struct pair {
    struct activator *owner;
    struct pair *next, *prev;
    struct end client, replica; /* replica.fd -1: it waits */
    int64_t since_us;
};
struct activator {
    struct loop *loop;
    char *path, *socket;
    uint16_t port;
    bool open;
    int64_t limit_ms;
    void (*on_wait)(void *arg);
    void *arg;
    int fd;
    struct watch *watch;
    struct timer *timer;
    struct pair *pairs;
    size_t waiting, held;
};

/* --- bytes --- */

static void pair_free(struct pair *p)
{
    struct activator *a = p->owner;
    *(p->prev ? &p->prev->next : &a->pairs) = p->next;
    if (p->next) {
        p->next->prev = p->prev;
    }
    a->waiting -= p->replica.fd < 0;
    a->held--;
    watch_free(p->client.watch);
    watch_free(p->replica.watch);
    close(p->client.fd);
    if (p->replica.fd >= 0) {
        close(p->replica.fd);
    }
    free(p->client.data);
    free(p->replica.data);
    free(p);
}

/* False: the pair is broken. */
static bool pump(struct end *from, struct end *to)
{
    for (;;) {
        while (from->len > 0) {
            ssize_t n = send(to->fd, from->data + from->from, from->len, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) {
                return true;
            }
            if (n < 0) {
                return false;
            }
            from->from += (size_t)n;
            from->len -= (size_t)n;
        }
        if (from->ended) {
            if (!to->told) {
                to->told = true;
                shutdown(to->fd, SHUT_WR);
            }
            return true;
        }
        from->data = from->data ? from->data : xmalloc(PIPE_SIZE);
        ssize_t n = recv(from->fd, from->data, PIPE_SIZE, MSG_DONTWAIT);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        from->from = 0;
        from->len = (size_t)n;
        from->ended = n == 0;
    }
}

static void on_client(int events, void *arg);
static void on_replica(int events, void *arg);

static void watch_end(struct pair *p, struct end *e, const struct end *other,
                      void (*fn)(int events, void *arg))
{
    int wanted = (!e->ended && e->len == 0 ? WATCH_READ : 0) | (other->len > 0 ? WATCH_WRITE : 0);
    if (wanted == e->watched) {
        return;
    }
    watch_free(e->watch);
    e->watch = wanted ? watch_new(p->owner->loop, e->fd, wanted, fn, p) : NULL;
    e->watched = wanted;
}

static void go_on(struct pair *p)
{
    if (!pump(&p->client, &p->replica) || !pump(&p->replica, &p->client) ||
        (p->client.ended && p->replica.ended && !p->client.len && !p->replica.len)) {
        pair_free(p);
        return;
    }
    watch_end(p, &p->client, &p->replica, on_client);
    watch_end(p, &p->replica, &p->client, on_replica);
}

static void on_client(int events, void *arg)
{
    (void)events;
    go_on(arg);
}

static void on_replica(int events, void *arg)
{
    (void)events;
    go_on(arg);
}

/* --- waiting --- */

static int connect_replica(const struct activator *a)
{
    if (a->socket) {
        return unix_connect(a->socket);
    }
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(a->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void refuse(struct pair *p)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n";
    (void)send(p->client.fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    pair_free(p);
}

static void forward(struct pair *p)
{
    int fd = connect_replica(p->owner);
    if (fd < 0) {
        return; /* it waits on */
    }
    p->replica.fd = fd;
    p->owner->waiting--;
    go_on(p);
}

static void on_timer(void *arg)
{
    struct activator *a = arg;
    int64_t now = mono_us(), next_ms = 0;
    for (struct pair *p = a->pairs, *next; p; p = next) {
        next = p->next;
        int64_t left = a->limit_ms - (now - p->since_us) / 1000;
        if (p->replica.fd >= 0) {
            continue;
        }
        if (left <= 0) {
            refuse(p);
        } else if (!next_ms || left < next_ms) {
            next_ms = left;
        }
    }
    if (next_ms) {
        timer_start(a->timer, next_ms, 0);
    }
}

static void on_connection(int events, void *arg)
{
    struct activator *a = arg;
    (void)events;
    int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    struct pair *p = xcalloc(1, sizeof(*p));
    *p = (struct pair){.owner = a,
                       .next = a->pairs,
                       .client = {.fd = fd},
                       .replica = {.fd = -1},
                       .since_us = mono_us()};
    if (a->pairs) {
        a->pairs->prev = p;
    }
    a->pairs = p;
    a->waiting++;
    if (++a->held > HELD_MAX) {
        refuse(p);
        return;
    }
    if (a->waiting == 1) {
        timer_start(a->timer, a->limit_ms, 0);
    }
    if (a->open) {
        forward(p);
    } else {
        a->on_wait(a->arg);
    }
}

/* --- the owner's side --- */

int activator_new(struct loop *l, const char *path, int64_t limit_ms, void (*on_wait)(void *arg),
                  void *arg, struct activator **ret, struct err *err)
{
    unlink(path);
    int fd = unix_listen(path);
    if (fd < 0) {
        return err_set(err, ERR_IO, errno, "the socket %s cannot be made", path);
    }
    struct activator *a = xcalloc(1, sizeof(*a));
    *a = (struct activator){.loop = l,
                            .path = xstrdup(path),
                            .limit_ms = limit_ms,
                            .on_wait = on_wait,
                            .arg = arg,
                            .fd = fd};
    a->timer = timer_new(l, on_timer, a);
    a->watch = watch_new(l, fd, WATCH_READ, on_connection, a);
    *ret = a;
    return 0;
}

const char *activator_path(const struct activator *a)
{
    return a->path;
}

void activator_open(struct activator *a, const char *socket, uint16_t port)
{
    a->open = socket || port;
    if (!text_eq(a->socket, socket)) {
        free(a->socket);
        a->socket = socket ? xstrdup(socket) : NULL;
    }
    a->port = port;
    for (struct pair *p = a->pairs, *next; a->open && p; p = next) {
        next = p->next;
        if (p->replica.fd < 0) {
            forward(p);
        }
    }
}

size_t activator_held(const struct activator *a)
{
    return a->held;
}

void activator_free(struct activator *a)
{
    if (!a) {
        return;
    }
    while (a->pairs) {
        pair_free(a->pairs);
    }
    unlink(a->path);
    watch_free(a->watch);
    timer_free(a->timer);
    close(a->fd);
    free(a->path);
    free(a->socket);
    free(a);
}
