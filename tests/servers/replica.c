/* SPDX-License-Identifier: Apache-2.0 */
/* A model server for tests: HTTP/1.1 on a unix socket, a thread per connection, every answer is its name.
 *
 *   replica SOCKET NAME
 *
 * GET /v2/health/ready: 200, or 503 after SIGUSR1, which toggles. /slow/MS: answers after MS milliseconds. /fail: 500. /die: ends without an answer.
 * /most: the most requests it ever had at once. /size: the length of the request's body. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEAD_MAX = 65536 };

static const char *name;
static atomic_int present, most;
static atomic_bool unready;

static void toggle(int signum)
{
    (void)signum;
    atomic_store(&unready, !atomic_load(&unready));
}

struct connection {
    int fd;
    size_t len; /* of what is buffered */
    char buf[HEAD_MAX + 1];
};

static bool fill(struct connection *c)
{
    ssize_t n = recv(c->fd, c->buf + c->len, HEAD_MAX - c->len, 0);
    if (n <= 0) {
        return false;
    }
    c->len += (size_t)n;
    c->buf[c->len] = '\0';
    return true;
}

static void drop(struct connection *c, size_t n)
{
    c->len -= n;
    memmove(c->buf, c->buf + n, c->len);
    c->buf[c->len] = '\0';
}

static bool skip_body(struct connection *c, size_t left)
{
    while (left > 0) {
        if (c->len == 0 && !fill(c)) {
            return false;
        }
        size_t n = c->len < left ? c->len : left;
        drop(c, n);
        left -= n;
    }
    return true;
}

static void act(const char *path, size_t body, int *ret_status, char *text, size_t size)
{
    *ret_status = 200;
    (void)snprintf(text, size, "%s\n", name);
    if (strncmp(path, "/v2/health/", 11) == 0) {
        *ret_status = atomic_load(&unready) ? 503 : 200;
    } else if (strncmp(path, "/slow/", 6) == 0) {
        usleep((useconds_t)strtoul(path + 6, NULL, 10) * 1000);
    } else if (strncmp(path, "/fail", 5) == 0) {
        *ret_status = 500;
    } else if (strncmp(path, "/die", 4) == 0) {
        _exit(1);
    } else if (strncmp(path, "/most", 5) == 0) {
        (void)snprintf(text, size, "%d\n", atomic_load(&most));
    } else if (strncmp(path, "/size", 5) == 0) {
        (void)snprintf(text, size, "%zu\n", body);
    }
}

static bool answer(struct connection *c)
{
    char *end;
    while (!(end = strstr(c->buf, "\r\n\r\n"))) {
        if (c->len == HEAD_MAX || !fill(c)) {
            return false;
        }
    }
    char path[256] = "", text[256], out[512];
    size_t head = (size_t)(end + 4 - c->buf), body = 0;
    (void)sscanf(c->buf, "%*s %255s", path);
    for (char *line = strstr(c->buf, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, "content-length:", 15) == 0) {
            body = strtoul(line + 17, NULL, 10);
        }
    }
    drop(c, head);
    bool work = strncmp(path, "/v2/health/", 11) != 0;
    int now = atomic_fetch_add(&present, work) + work, was = atomic_load(&most);
    while (now > was && !atomic_compare_exchange_weak(&most, &was, now)) {
    }
    int status = 0;
    bool ok = skip_body(c, body);
    if (ok) {
        act(path, body, &status, text, sizeof(text));
        int n =
            snprintf(out, sizeof(out),
                     "HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                     status, strlen(text), text);
        ok = send(c->fd, out, (size_t)n, MSG_NOSIGNAL) == n;
    }
    atomic_fetch_sub(&present, work);
    return ok;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    while (answer(c)) {
    }
    close(c->fd);
    free(c);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    pthread_attr_t attr;
    if (argc != 3 || strlen(argv[1]) >= sizeof(at.sun_path)) {
        fputs("usage: replica SOCKET NAME\n", stderr);
        return 2;
    }
    name = argv[2];
    signal(SIGUSR1, toggle);
    memcpy(at.sun_path, argv[1], strlen(argv[1]));
    (void)unlink(argv[1]);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1024) < 0) {
        perror(argv[1]);
        return 1;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (;;) {
        struct connection *c = calloc(1, sizeof(*c));
        pthread_t thread;
        if (!c) {
            return 1;
        }
        c->fd = accept(fd, NULL, NULL);
        if (c->fd < 0 || pthread_create(&thread, &attr, serve, c) != 0) {
            if (c->fd >= 0) {
                close(c->fd);
            }
            free(c);
        }
    }
}
