/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    MAX_HEAD = 16 << 10,
    STACK = 256 << 10,
    BACKLOG = 1024,
    KEPT_ROOM = 1 << 20, /* that an idle connection holds on to */
    PATIENCE_S = 30,     /* of a request that has begun, and of an answer that is not read */
};

struct server {
    http_handler *handler;
    void *arg;
    size_t max_body;
    int stop; /* an eventfd, readable once the server ends */
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    size_t connections;
};
struct connection {
    struct server *server;
    int fd;
    bool close;     /* after this answer */
    struct text in; /* what has been read and not been used */
};
/* What of a request's head matters here. */
struct head {
    char method[16], path[1024];
    size_t len, body; /* bytes of the head, and of the body behind it */
    bool expects;     /* 100-continue */
    int refused;      /* a status; 0: none */
};

/* --- sockets --- */

static int listen_on(int fd, const struct sockaddr *address, socklen_t len, const char *name)
{
    if (fd < 0 || bind(fd, address, len) != 0 || listen(fd, BACKLOG) != 0)
        die("cannot listen on '%s': %s", name, strerror(errno));
    return fd;
}

int http_listen_path(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        die("the path of the socket is longer than %zu bytes: '%s'", sizeof(a.sun_path) - 1, path);
    memcpy(a.sun_path, path, strlen(path));
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(probe, (struct sockaddr *)&a, sizeof(a)) == 0)
            die("another server listens on '%s'", path);
        close(probe);
        unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return listen_on(fd, (struct sockaddr *)&a, sizeof(a), path);
}

int http_listen_port(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char name[32];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    snprintf(name, sizeof(name), "127.0.0.1:%u", (unsigned)port);
    return listen_on(fd, (struct sockaddr *)&a, sizeof(a), name);
}

/* --- one request --- */

/* False: the client is gone, or too slow. */
static bool read_more(struct connection *c)
{
    char some[64 << 10];
    ssize_t n = recv(c->fd, some, sizeof(some), 0);
    if (n <= 0)
        return false;
    text_add(&c->in, some, (size_t)n);
    return true;
}

/* Idle until the next request begins. False: there is none, or the server ends first. */
static bool wait_for_request(struct connection *c)
{
    if (c->in.len > 0)
        return true;
    struct pollfd fds[] = {{.fd = c->fd, .events = POLLIN},
                           {.fd = c->server->stop, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR)
            return false;
    }
    return fds[0].revents != 0;
}

/* Bytes of the head with its empty line; 0: not all of it is there. */
static size_t head_length(const struct text *in)
{
    const char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end + 4 - in->data) : 0;
}

static const char *value_of(const char *line, const char *name)
{
    size_t len = strlen(name);
    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    return line + len + 1 + strspn(line + len + 1, " \t");
}

static void read_header(struct head *h, const char *line, bool *close, size_t max_body,
                        bool *has_length)
{
    const char *v;
    if ((v = value_of(line, "Content-Length"))) {
        char *end = NULL;
        errno = 0;
        unsigned long long n = strtoull(v, &end, 10);
        if (*has_length || *v < '0' || *v > '9' || *(end + strspn(end, " \t")) != '\0')
            h->refused = 400;
        else if (errno != 0 || n > max_body)
            h->refused = 413;
        h->body = (size_t)n;
        *has_length = true;
    } else if (value_of(line, "Transfer-Encoding")) {
        h->refused = 411;
    } else if ((v = value_of(line, "Connection"))) {
        *close = strcasestr(v, "close") ? true : strcasestr(v, "keep-alive") ? false : *close;
    } else if ((v = value_of(line, "Expect"))) {
        h->expects = strncasecmp(v, "100-continue", 12) == 0;
    }
}

/* Reads the head at the front of the connection's text and cuts it into lines there. */
static void parse_head(struct connection *c, size_t len, struct head *h)
{
    char version = 0, *at = c->in.data, *end = at + len - 2;
    bool has_length = false;
    *h = (struct head){.len = len};
    for (char *line = at, *stop; line < end; line = stop + 2) {
        stop = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        *stop = '\0';
        if (line != at)
            read_header(h, line, &c->close, c->server->max_body, &has_length);
        else if (sscanf(line, "%15[A-Z] %1023[^ ] HTTP/1.%c", h->method, h->path, &version) != 3)
            h->refused = 400;
        else
            c->close = version == '0';
    }
    h->path[strcspn(h->path, "?")] = '\0';
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    default:
        return "Error";
    }
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

static bool answer(struct connection *c, const struct head *h, int status, const struct text *body)
{
    struct text out = {0};
    text_print(&out,
               "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
               status, reason(status), body->len, c->close ? "Connection: close\r\n" : "");
    if (strcmp(h->method, "HEAD") != 0)
        text_add(&out, body->data, body->len);
    bool sent = send_all(c->fd, out.data, out.len);
    text_done(&out);
    return sent;
}

static bool handle(struct connection *c, const struct head *h)
{
    struct text body = {0};
    struct http_request r = {h->method, h->path, c->in.data + h->len, h->body};
    char behind = c->in.data[h->len + h->body]; /* of the next request, if it is there already */
    c->in.data[h->len + h->body] = '\0';
    int status = h->refused;
    if (status == 0)
        status = c->server->handler(&r, &body, c->server->arg);
    else
        text_print(&body, "{\"error\":\"%s\"}", reason(status));
    c->in.data[h->len + h->body] = behind;
    bool sent = answer(c, h, status, &body);
    text_done(&body);
    return sent;
}

/* True: the connection stays open for another. */
static bool serve_request(struct connection *c)
{
    struct head h;
    size_t len;
    while ((len = head_length(&c->in)) == 0) {
        if (c->in.len > MAX_HEAD || !read_more(c))
            return false;
    }
    parse_head(c, len, &h);
    if (h.refused) { /* where the next request would begin is not known */
        c->close = true;
        h.body = 0;
    }
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (h.expects && !h.refused && c->in.len == len && !send_all(c->fd, go_on, sizeof(go_on) - 1))
        return false;
    while (c->in.len < len + h.body) {
        if (!read_more(c))
            return false;
    }
    struct pollfd stop = {.fd = c->server->stop, .events = POLLIN};
    if (poll(&stop, 1, 0) == 1)
        c->close = true;
    if (!handle(c, &h) || c->close)
        return false;
    c->in.len -= len + h.body;
    memmove(c->in.data, c->in.data + len + h.body, c->in.len);
    if (c->in.len == 0 && c->in.room > KEPT_ROOM)
        text_done(&c->in);
    return true;
}

/* --- connections --- */

static void *serve_connection(void *arg)
{
    struct connection *c = arg;
    struct server *s = c->server;
    while (wait_for_request(c) && serve_request(c))
        ;
    /* What the client still sends is read, or the kernel would take back the answer to a request that was refused. */
    shutdown(c->fd, SHUT_WR);
    char rest[4096];
    for (int i = 0; i < 256 && c->close && recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
        ;
    close(c->fd);
    text_done(&c->in);
    free(c);
    pthread_mutex_lock(&s->lock);
    s->connections--;
    pthread_cond_signal(&s->fewer);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void start_connection(struct server *s, int fd, const pthread_attr_t *attributes)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on a unix socket */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    struct connection *c = xcalloc(1, sizeof(*c));
    *c = (struct connection){.server = s, .fd = fd};
    pthread_mutex_lock(&s->lock);
    s->connections++;
    pthread_mutex_unlock(&s->lock);
    pthread_t thread;
    if (pthread_create(&thread, attributes, serve_connection, c) != 0)
        serve_connection(c); /* no more threads: this one, and those that wait go on waiting */
}

static void take_connections(struct server *s, int listener, const pthread_attr_t *attributes)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        start_connection(s, fd, attributes);
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        poll(NULL, 0, 100); /* until a connection has ended */
}

/* The only way from a signal's handler to the server: what a blocked signal would need, all threads' consent, OpenBLAS' own threads do not give. */
static int stop_event = -1;

static void on_signal(int signal)
{
    (void)signal;
    int before = errno;
    eventfd_write(stop_event, 1);
    errno = before;
}

void http_serve(int listener, size_t max_body, http_handler *handler, void *arg)
{
    stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_event < 0)
        die("cannot wait for signals: %s", strerror(errno));
    struct server s = {.handler = handler,
                       .arg = arg,
                       .max_body = max_body,
                       .stop = stop_event,
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .fewer = PTHREAD_COND_INITIALIZER};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    struct pollfd fds[] = {{.fd = listener, .events = POLLIN}, {.fd = s.stop, .events = POLLIN}};
    while (fds[1].revents == 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            die("cannot wait for connections: %s", strerror(errno));
        take_connections(&s, listener,
                         &attributes); /* after a signal those that wait are taken too */
    }
    close(listener);
    pthread_mutex_lock(&s.lock);
    while (s.connections > 0)
        pthread_cond_wait(&s.fewer, &s.lock);
    pthread_mutex_unlock(&s.lock);
    pthread_attr_destroy(&attributes);
}
