/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_S = 60 };

static int connect_path(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        die("the path of the socket is too long: '%s'", path);
    memcpy(a.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        die("cannot connect to '%s': %s", path, strerror(errno));
    return fd;
}

static int connect_host(const char *url)
{
    char host[64] = "", rest = '\0';
    unsigned port = 80;
    int n = sscanf(url, "http://%63[^:/]:%5u%c", host, &port, &rest);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool found =
        inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &a.sin_addr) == 1;
    if (n < 1 || !found || port < 1 || port > 65535 || (n == 3 && rest != '/'))
        die("'%s' is not http://ADDRESS[:PORT] or unix:PATH", url);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        die("cannot connect to '%s': %s", url, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void connect_to(struct http_client *c)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    bool path = strncmp(c->url, "unix:", 5) == 0;
    c->fd = path ? connect_path(c->url + 5) : connect_host(c->url);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

void http_client_open(struct http_client *c, const char *url)
{
    *c = (struct http_client){.url = url, .fd = -1};
}

void http_client_close(struct http_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* A header's value; NULL: it is not there. */
static const char *header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) : NULL;
}

/* Reads one answer; leaves its body in `answer`. 0: the connection ended before its first byte. */
static int read_answer(struct http_client *c, struct text *answer)
{
    char some[64 << 10];
    char *end = NULL;
    size_t head = 0, body = 0;
    int status = 0;
    bool last = false;
    answer->len = 0;
    while (head == 0 || answer->len < head + body) {
        ssize_t n = recv(c->fd, some, sizeof(some), 0);
        if (n <= 0 && answer->len == 0 && (n == 0 || errno != EAGAIN))
            return 0;
        if (n <= 0)
            die("'%s' did not answer to the end: %s", c->url,
                n == 0 ? "the connection was closed" : strerror(errno));
        text_add(answer, some, (size_t)n);
        if (head > 0 || !(end = strstr(answer->data, "\r\n\r\n")))
            continue;
        head = (size_t)(end + 4 - answer->data);
        end[2] = '\0';
        const char *length = header(answer->data, "\r\nContent-Length:");
        if (sscanf(answer->data, "HTTP/1.%*c %3d", &status) != 1 || !length)
            die("'%s' does not answer in HTTP/1.1 with a Content-Length", c->url);
        body = strtoul(length, NULL, 10);
        const char *after = header(answer->data, "\r\nConnection:");
        last = after && strncasecmp(after + strspn(after, " "), "close", 5) == 0;
    }
    if (answer->len > head + body)
        die("'%s' sent more than its answer", c->url);
    memmove(answer->data, answer->data + head, body + 1);
    answer->len = body;
    if (last)
        http_client_close(c);
    return status;
}

int http_call(struct http_client *c, const char *method, const char *path, const struct text *body,
              struct text *answer)
{
    struct text out = {0};
    int status = 0;
    text_print(&out,
               "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
               "application/json\r\nContent-Length: %zu\r\n\r\n",
               method, path, body ? body->len : 0);
    if (body)
        text_add(&out, body->data, body->len);
    /* A connection that was kept may have ended meanwhile: then once more, on a new one. */
    for (bool kept = c->fd >= 0; status == 0; kept = false) {
        if (c->fd < 0)
            connect_to(c);
        status = send_all(c->fd, out.data, out.len) ? read_answer(c, answer) : 0;
        if (status == 0 && !kept)
            die("'%s' closed the connection without an answer", c->url);
        if (status == 0)
            http_client_close(c);
    }
    text_done(&out);
    return status;
}
