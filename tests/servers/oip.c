/* SPDX-License-Identifier: Apache-2.0 */
/* A model server for tests: v2 and v1 of the Open Inference Protocol over a unix socket or a port, one thread per connection, made to misbehave on demand.
 *   oip ADDRESS [NAME=VALUE…]      ADDRESS: a path with a slash, or a port
 * What it answers to POST …/infer and …:predict:
 *   answer=cheap    a fixed answer, nothing is read of the request (the default)
 *   answer=echo     each input as an output of the same name, v1: the instances as predictions
 *   answer=rows     one output "y" with one value per instance: `value`; v1 the same
 *   answer=FILE     the file's content (a path with a slash)
 * v1=0: 404 at v1. value=2.5  datatype=FP32  delay=MS  status=500 with body=TEXT
 * bad=close (before any byte), bad=half (a part of the answer), bad=garbage, bad=hang, bad=huge (a Content-Length that is never sent)
 * chunked=1, once=1 (Connection: close), log=FILE (a line for each request: path and length) */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
    const char *answer, *value, *datatype, *bad, *body;
    int delay_ms, status, v1, chunked, once, log_fd;
    char *file;
    size_t file_len;
} o = {.answer = "cheap", .value = "1", .datatype = "FP32", .bad = "", .v1 = 1, .log_fd = -1};

struct connection {
    int fd;
    char *data;
    size_t len, cap;
};

static int fill(struct connection *c)
{
    if (c->len + 65536 + 1 > c->cap) {
        c->cap = c->cap ? c->cap * 2 : 131072;
        c->data = realloc(c->data, c->cap);
    }
    ssize_t n = read(c->fd, c->data + c->len, c->cap - c->len - 1);
    if (n <= 0) {
        return 0;
    }
    c->len += (size_t)n;
    c->data[c->len] = '\0';
    return 1;
}

static int send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return 0;
        }
        data += n;
        len -= (size_t)n;
    }
    return 1;
}

static char *rows(int v1, json_t *request)
{
    json_t *inputs = json_object_get(request, "inputs");
    json_int_t n = v1 ? (json_int_t)json_array_size(json_object_get(request, "instances"))
                      : json_integer_value(
                            json_array_get(json_object_get(json_array_get(inputs, 0), "shape"), 0));
    size_t size = (strlen(o.value) + 1) * (size_t)n + 200;
    char *out = malloc(size), *at = out;
    at += v1 ? sprintf(at, "{\"predictions\":[")
             : sprintf(at,
                       "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"shape\":[%lld],"
                       "\"datatype\":\"%s\",\"data\":[",
                       (long long)n, o.datatype);
    for (json_int_t i = 0; i < n; i++) {
        at += sprintf(at, "%s%s", i ? "," : "", o.value);
    }
    sprintf(at, v1 ? "]}" : "]}]}");
    return out;
}

static char *echo(int v1, json_t *request)
{
    json_t *answer =
        v1 ? json_pack("{s:O}", "predictions", json_object_get(request, "instances"))
           : json_pack("{s:s, s:O*, s:O}", "model_name", "m", "id", json_object_get(request, "id"),
                       "outputs", json_object_get(request, "inputs"));
    char *text = json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(answer);
    return text;
}

static char *make_answer(int v1, const char *body, size_t len)
{
    if (o.file) {
        return strndup(o.file, o.file_len);
    }
    if (strcmp(o.answer, "cheap") == 0) {
        return strdup(v1 ? "{\"predictions\":[1]}"
                         : "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"shape\":[1],"
                           "\"datatype\":\"FP32\",\"data\":[1.5]}]}");
    }
    json_t *request = json_loadb(body, len, 0, NULL);
    if (!request) {
        return NULL;
    }
    char *text = strcmp(o.answer, "echo") == 0 ? echo(v1, request) : rows(v1, request);
    json_decref(request);
    return text;
}

static int send_answer(int fd, int status, const char *body, size_t len)
{
    char head[256];
    int n = o.chunked
                ? snprintf(head, sizeof(head),
                           "HTTP/1.1 %d Told\r\nTransfer-Encoding: chunked\r\n%s\r\n", status,
                           o.once ? "Connection: close\r\n" : "")
                : snprintf(head, sizeof(head), "HTTP/1.1 %d Told\r\nContent-Length: %zu\r\n%s\r\n",
                           status, len, o.once ? "Connection: close\r\n" : "");
    char *all = malloc((size_t)n + len + 64);
    size_t at = (size_t)n;
    memcpy(all, head, at);
    if (o.chunked) { /* two chunks */
        size_t half = len / 2;
        if (half) {
            at += (size_t)sprintf(all + at, "%zx;a=b\r\n", half);
            memcpy(all + at, body, half);
            at += half;
            at += (size_t)sprintf(all + at, "\r\n");
        }
        at += (size_t)sprintf(all + at, "%zX\r\n", len - half);
        memcpy(all + at, body + half, len - half);
        at += len - half;
        at += (size_t)sprintf(all + at, "\r\n0\r\nX-Trailer: yes\r\n\r\n");
    } else {
        memcpy(all + at, body, len);
        at += len;
    }
    int fine = send_all(fd, all, strcmp(o.bad, "half") == 0 ? at - len / 2 - 3 : at);
    free(all);
    return fine && !o.once && strcmp(o.bad, "half") != 0;
}

static int misbehave(int fd)
{
    if (strcmp(o.bad, "close") == 0) {
        return 0;
    }
    if (strcmp(o.bad, "garbage") == 0) {
        send_all(fd, "220 mail.example ESMTP\r\n\r\n", 26);
        return 0;
    }
    if (strcmp(o.bad, "huge") == 0) {
        send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{", 49);
        return 0;
    }
    if (strcmp(o.bad, "hang") == 0) {
        pause();
    }
    return 1;
}

static int serve(struct connection *c, size_t head, size_t len)
{
    char path[512] = "", method[16] = "";
    sscanf(c->data, "%15s %511s", method, path);
    int v1 = strncmp(path, "/v1/", 4) == 0;
    if (o.log_fd >= 0) {
        dprintf(o.log_fd, "%s %s %zu\n", method, path, len);
    }
    if (strcmp(method, "POST") != 0) {
        static const char about[] =
            "{\"name\":\"m\",\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,2]}],"
            "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1]}]}";
        return send_answer(c->fd, 200, about, sizeof(about) - 1);
    }
    if (!misbehave(c->fd)) {
        return 0;
    }
    if (o.delay_ms) {
        usleep((useconds_t)o.delay_ms * 1000);
    }
    if (v1 && !o.v1) {
        return send_answer(c->fd, 404, "no such thing", 13);
    }
    if (o.status) {
        const char *body = o.body ? o.body : "{\"error\":\"it broke\"}";
        return send_answer(c->fd, o.status, body, strlen(body));
    }
    char *text = make_answer(v1, c->data + head, len);
    int fine = text ? send_answer(c->fd, 200, text, strlen(text))
                    : send_answer(c->fd, 400, "{\"error\":\"not JSON\"}", 20);
    free(text);
    return fine;
}

static void *on_connection(void *arg)
{
    struct connection c = {.fd = (int)(intptr_t)arg};
    int fine = 1;

    while (fine) {
        char *end;
        while (!c.len || !(end = strstr(c.data, "\r\n\r\n"))) {
            if (!fill(&c)) {
                goto out;
            }
        }
        size_t head = (size_t)(end - c.data) + 4, len = 0;
        char *length = strcasestr(c.data, "content-length:");
        if (length && length < end) {
            len = strtoull(length + 15, NULL, 10);
        }
        while (c.len < head + len) {
            if (!fill(&c)) {
                goto out;
            }
        }
        fine = serve(&c, head, len);
        memmove(c.data, c.data + head + len, c.len - head - len + 1);
        c.len -= head + len;
    }
out:
    close(c.fd);
    free(c.data);
    return NULL;
}

static void read_option(const char *text)
{
    const char *v = strchr(text, '=');
    size_t n = v ? (size_t)(v - text) : 0;
#define IS(name) (n == strlen(name) && strncmp(text, name, n) == 0)
    v += v != NULL;
    if (IS("answer")) {
        o.answer = v;
    } else if (IS("value")) {
        o.value = v;
    } else if (IS("datatype")) {
        o.datatype = v;
    } else if (IS("bad")) {
        o.bad = v;
    } else if (IS("body")) {
        o.body = v;
    } else if (IS("delay")) {
        o.delay_ms = atoi(v);
    } else if (IS("status")) {
        o.status = atoi(v);
    } else if (IS("v1")) {
        o.v1 = atoi(v);
    } else if (IS("chunked")) {
        o.chunked = atoi(v);
    } else if (IS("once")) {
        o.once = atoi(v);
    } else if (IS("log")) {
        o.log_fd = open(v, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    } else {
        fprintf(stderr, "oip: unknown option %s\n", text);
        exit(2);
    }
}

static int listen_at(const char *address)
{
    int one = 1, fd;
    if (strchr(address, '/')) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        strncpy(a.sun_path, address, sizeof(a.sun_path) - 1);
        unlink(address);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        return bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1024) ? -1 : fd;
    }
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(address)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    return bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1024) ? -1 : fd;
}

int main(int argc, char **argv)
{
    pthread_attr_t attr;

    for (int i = 2; i < argc; i++) {
        read_option(argv[i]);
    }
    if (strchr(o.answer, '/')) {
        FILE *f = fopen(o.answer, "r");
        o.file = malloc(64 << 20);
        o.file_len = f ? fread(o.file, 1, 64 << 20, f) : 0;
    }
    int fd = argc > 1 ? listen_at(argv[1]) : -1;
    if (fd < 0) {
        perror("oip");
        return 1;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 << 10);
    for (;;) {
        pthread_t t;
        int one = 1, c = accept(fd, NULL, NULL);
        if (c >= 0) {
            setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            pthread_create(&t, &attr, on_connection, (void *)(intptr_t)c);
        }
    }
}
