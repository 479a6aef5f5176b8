/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the engine: over the loop's HTTP client, and, for the look for an engine, a small blocking one. */
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "steps/container_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { JSON_MAX = 64 << 20, MESSAGE_MAX = 600 };

struct api_call {
    struct containers *c;
    struct http_call *http; /* NULL: it could not be begun; `failed` says so from the loop */
    struct timer *failed;
    struct str body;
    bool (*on_data)(const void *data, size_t len, void *arg);
    void (*on_open)(int status, void *arg);
    api_fn fn;
    void *arg;
    int status;
    struct str text; /* of a stream that is an error */
};

static void call_free(struct api_call *call)
{
    timer_free(call->failed);
    sb_done(&call->body);
    sb_done(&call->text);
    free(call);
}

json_t *api_json(const char *body, size_t len)
{
    json_t *doc = NULL;
    if (json_read(body, len, JSON_MAX, &doc, NULL) < 0) {
        return NULL;
    }
    if (!json_is_object(doc)) {
        json_decref(doc);
        return NULL;
    }
    return doc;
}

const char *json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* {"message":"…"} as one line. */
static void read_message(const char *body, size_t len, struct str *out)
{
    CLEANUP(cleanup_json) json_t *doc = api_json(body, len);
    const char *text = doc ? json_text(doc, "message") : body;
    size_t n = doc ? strlen(text) : len;
    for (size_t i = 0; i < n && out->len < MESSAGE_MAX; i++) {
        unsigned char ch = (unsigned char)text[i];
        if (ch >= ' ') {
            sb_putc(out, text[i]);
        } else if (out->len > 0 && out->data[out->len - 1] != ' ') {
            sb_putc(out, ' ');
        }
    }
    while (out->len > 0 && out->data[out->len - 1] == ' ') {
        sb_truncate(out, out->len - 1);
    }
}

static void finish_call(struct api_call *call, int status, const char *body, size_t len)
{
    CLEANUP(sb_done) struct str message = {0};
    if (status >= 400) {
        read_message(body ? body : "", len, &message);
    }
    struct api_reply reply = {
        .status = status, .body = body ? body : "", .len = len, .message = sb_text(&message)};
    call->fn(&reply, call->arg);
    call_free(call);
}

static void on_done(struct http_call *http, const struct http_response *r, void *arg)
{
    struct api_call *call = arg;
    (void)http;
    if (call->on_data) {
        /* A stream that breaks off is one that ended: what it means is asked of the engine. */
        finish_call(call, call->status, sb_text(&call->text), call->text.len);
    } else {
        finish_call(call, r->err ? 0 : r->status, r->body.data, r->body.len);
    }
}

static bool on_headers(const struct http_call *http, void *arg)
{
    struct api_call *call = arg;
    call->status = http_status(http);
    if (call->on_open && call->status < 400) {
        call->on_open(call->status, call->arg);
    }
    return true;
}

static bool on_stream_data(const void *data, size_t len, void *arg)
{
    struct api_call *call = arg;
    if (call->status >= 400) {
        if (call->text.len < JSON_MAX) {
            sb_add(&call->text, data, len);
        }
        return true;
    }
    return call->on_data(data, len, call->arg);
}

static void on_failed(void *arg)
{
    finish_call(arg, 0, NULL, 0);
}

struct api_call *api_start(struct containers *c, const struct api_request *r, api_fn fn, void *arg)
{
    static const char *const json_headers[] = {"Content-Type: application/json", NULL};
    struct api_call *call = xcalloc(1, sizeof(*call));
    call->c = c;
    call->fn = fn;
    call->arg = arg;
    call->on_data = r->on_data;
    call->on_open = r->on_open;
    if (r->body) {
        call->body = *r->body;
        sb_init(r->body);
    }
    CLEANUP(sb_done) struct str url = {0};
    sb_puts(&url, "http://engine");
    sb_puts(&url, r->native ? c->engine.native : c->engine.compat);
    sb_puts(&url, r->path);
    struct http_request req = {
        .method = r->method,
        .url = sb_text(&url),
        .unix_socket = c->engine.socket,
        .headers = call->body.len ? json_headers : NULL,
        .body = call->body.data,
        .body_len = call->body.len,
        .timeout_ms = r->timeout_ms,
        .stream = r->on_data != NULL,
        .on_data = r->on_data ? on_stream_data : NULL,
        .on_headers = on_headers,
    };
    if (http_start(c->http, &req, on_done, call, &call->http, NULL) < 0) {
        call->failed = timer_new(c->loop, on_failed, call);
        timer_start(call->failed, 0, 0);
    }
    return call;
}

void api_abort(struct api_call *call)
{
    if (!call) {
        return;
    }
    if (call->http) {
        http_abort(call->http);
    }
    call_free(call);
}

void api_escape(struct str *out, const char *text, const char *also_safe)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool safe = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || strchr("-._~", *p) || strchr(also_safe, *p);
        if (safe) {
            sb_putc(out, (char)*p);
        } else {
            sb_putc(out, '%');
            sb_putc(out, hex[*p >> 4]);
            sb_putc(out, hex[*p & 15]);
        }
    }
}

/* The blocking call: HTTP/1.0, so that the answer ends with the connection and is never chunked. */

static int connect_now(const char *socket_path, int64_t timeout_ms, int *ret_fd, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(socket_path);
    if (len >= sizeof(addr.sun_path)) {
        return err_set(err, ERR_INVALID, 0, "the socket path '%s' is longer than %zu characters",
                       socket_path, sizeof(addr.sun_path) - 1);
    }
    memcpy(addr.sun_path, socket_path, len + 1);
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_set(err, ERR_IO, errno, "cannot make a socket");
    }
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        enum err_code code = errno == EACCES || errno == EPERM ? ERR_DENIED
                             : errno == ENOENT                 ? ERR_NOT_FOUND
                                                               : ERR_NET;
        return err_set(err, code, errno, "cannot connect to '%s'", socket_path);
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

static int read_answer(int fd, const char *socket_path, struct str *out, struct err *err)
{
    char buf[16384];
    while (out->len < JSON_MAX) {
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            bool late = errno == EAGAIN; /* as EWOULDBLOCK */
            return err_set(err, late ? ERR_TIMEOUT : ERR_NET, late ? 0 : errno,
                           late ? "no answer from '%s' in time" : "cannot read from '%s'",
                           socket_path);
        }
        if (n == 0) {
            return 0;
        }
        sb_add(out, buf, (size_t)n);
    }
    return err_set(err, ERR_INVALID, 0, "the answer from '%s' is too long", socket_path);
}

int api_get_now(const char *socket_path, const char *path, int64_t timeout_ms, int *ret_status,
                struct str *head, struct str *body, struct err *err)
{
    CLEANUP(cleanup_close) int fd = -1;
    CLEANUP(sb_done) struct str text = {0};
    int rc = connect_now(socket_path, timeout_ms, &fd, err);
    if (rc < 0) {
        return rc;
    }
    sb_printf(&text, "GET %s HTTP/1.0\r\nHost: engine\r\n\r\n", path);
    if (send(fd, text.data, text.len, MSG_NOSIGNAL) != (ssize_t)text.len) {
        return err_set(err, ERR_NET, errno, "cannot write to '%s'", socket_path);
    }
    sb_clear(&text);
    rc = read_answer(fd, socket_path, &text, err);
    if (rc < 0) {
        return rc;
    }
    const char *end = memmem(sb_text(&text), text.len, "\r\n\r\n", 4);
    int status = 0;
    if (!end || sscanf(text.data, "HTTP/1.%*d %d", &status) != 1) {
        return err_set(err, ERR_NET, 0, "what answers at '%s' does not speak HTTP", socket_path);
    }
    sb_add(head, text.data, (size_t)(end - text.data) + 2);
    sb_add(body, end + 4, text.len - (size_t)(end + 4 - text.data));
    *ret_status = status;
    return 0;
}
