/* SPDX-License-Identifier: Apache-2.0 */
/* One request: its options, its answer, its failure in words. */
#include "base/http_call.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    BODY_MAX = 64 << 20,
    CONNECT_TIMEOUT_MS = 10000,
    REDIRECTS_MAX = 10,
    STATUS_SWITCHING = 101,
    STALL_BYTES = 1024,          /* per second */
    EXPECT_TIMEOUT_MS = 300,     /* for a server that does not know "Expect: 100-continue" */
    TRANSFER_BUFFER = 256 << 10, /* of bulk transfers */
};

/* Bodies to be sent */

static size_t give_body(char *buffer, size_t size, size_t count, void *arg)
{
    struct http_call *c = arg;
    uint64_t left = c->out.size - c->out.at;
    size_t want = size * count < left ? size * count : (size_t)left;
    if (c->aborted) {
        return CURL_READFUNC_ABORT;
    }
    if (c->out.data) {
        memcpy(buffer, c->out.data + c->out.at, want);
    } else if (want > 0) {
        ssize_t n;
        do {
            n = pread(c->out.fd, buffer, want, (off_t)c->out.at);
        } while (n < 0 && errno == EINTR);
        if (n <= 0) {
            c->out.sys = n < 0 ? errno : ENODATA;
            return CURL_READFUNC_ABORT;
        }
        want = (size_t)n;
    }
    c->out.at += want;
    return want;
}

/* Sent once more: after a redirect, or on a connection that turned out dead. */
static int rewind_body(void *arg, curl_off_t offset, int origin)
{
    struct http_call *c = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > c->out.size) {
        return CURL_SEEKFUNC_FAIL;
    }
    c->out.at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* Answers */

static void forget_answer(struct http_call *c)
{
    for (size_t i = 0; i < c->answer.len; i++) {
        free(c->answer.items[i]);
    }
    vec_clear(&c->answer);
    c->headers_done = false;
}

static bool is_redirect(const struct http_call *c)
{
    return c->follow && c->status >= 300 && c->status < 400 && c->status != 304 &&
           http_header(c, "Location");
}

/* The empty line: false when on_headers does not want the rest. */
static bool end_of_headers(struct http_call *c)
{
    bool final = (c->status >= 200 || c->status == STATUS_SWITCHING) && !is_redirect(c);
    if (!final || c->headers_done) {
        return true; /* of an interim answer, or of trailers */
    }
    c->headers_done = true;
    if (c->on_headers && !c->on_headers(c, c->arg)) {
        c->refused = true;
    }
    return !c->refused && !c->aborted;
}

static size_t on_header_line(char *line, size_t size, size_t count, void *arg)
{
    struct http_call *c = arg;
    size_t len = size * count, trimmed = len;
    if (c->aborted) {
        return 0;
    }
    while (trimmed > 0 && isspace((unsigned char)line[trimmed - 1])) {
        trimmed--;
    }
    if (trimmed == 0) {
        return end_of_headers(c) ? len : 0;
    }
    if (strncmp(line, "HTTP/", 5) == 0 && !c->headers_done) {
        const char *space = memchr(line, ' ', trimmed);
        forget_answer(c);
        c->status = space ? (int)strtol(space, NULL, 10) : 0;
        return len;
    }
    *vec_push(&c->answer) = xstrndup(line, trimmed);
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *c = arg;
    size_t len = size * count;
    if (c->aborted) {
        return 0;
    }
    if (c->stream) {
        if (c->on_data && !c->on_data(data, len, c->arg)) {
            c->refused = true;
        }
        return c->refused || c->aborted ? 0 : len;
    }
    if (len > c->max_body - c->response.body.len) {
        c->too_large = true;
        return 0;
    }
    sb_add(&c->response.body, data, len);
    return len;
}

const char *http_header(const struct http_call *c, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = c->answer.len; i-- > 0;) {
        const char *line = c->answer.items[i];
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

int http_status(const struct http_call *c)
{
    return c->status;
}

/* Failures */

static enum err_code code_of(CURLcode result, long sys)
{
    if (sys == EACCES || sys == EPERM) {
        return ERR_DENIED;
    }
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return ERR_USAGE;
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
        return ERR_INVALID;
    default:
        return ERR_NET;
    }
}

static void describe_failure(struct http_call *c, CURLcode result)
{
    const struct curl_api *curl = c->http->curl;
    long sys = 0;
    const char *text = c->detail[0] ? c->detail : curl->curl_easy_strerror_(result);
    if (c->refused) {
        err_set(&c->err, ERR_CANCELLED, 0, "'%s': the transfer was broken off", c->name);
        return;
    }
    if (c->out.sys) {
        err_set(&c->err, ERR_IO, c->out.sys, "'%s': the file to be sent cannot be read", c->name);
        return;
    }
    if (c->too_large) {
        err_set(&c->err, ERR_INVALID, 0, "'%s': the answer is larger than %zu bytes", c->name,
                c->max_body);
        return;
    }
    if (result == CURLE_COULDNT_CONNECT) {
        curl->curl_easy_getinfo_(c->easy, CURLINFO_OS_ERRNO, &sys);
        if (c->unix_socket) {
            err_set(&c->err, code_of(result, sys), (int)sys, "cannot connect to the socket '%s'",
                    c->unix_socket);
            return;
        }
    }
    err_set(&c->err, code_of(result, sys), 0, "'%s': %s", c->name, text);
}

static const char *without_url(const struct http_call *c)
{
    size_t len = strlen(c->name);
    const char *text = c->err.msg;
    bool named = text[0] == '\'' && strncmp(text + 1, c->name, len) == 0 &&
                 text_starts(text + 1 + len, "': ");

    return named ? text + len + strlen("'': ") : text;
}

void http_call_finish(struct http_call *c, CURLcode result)
{
    c->response.status = c->status;
    c->response.err = NULL;
    c->response.reason = NULL;
    if (result != CURLE_OK) {
        describe_failure(c, result);
        c->response.err = &c->err;
        c->response.reason = without_url(c);
    }
}

/* Requests */

char *http_public_url(const char *url)
{
    const char *colon = strstr(url, "://");
    size_t scheme = colon ? (size_t)(colon + 3 - url) : 0;
    size_t authority = strcspn(url + scheme, "/?#");
    size_t end = scheme + strcspn(url + scheme, "?#");
    size_t host = scheme;
    for (size_t i = scheme; i < scheme + authority; i++) {
        if (url[i] == '@') {
            host = i + 1;
        }
    }
    return xasprintf("%.*s%.*s", (int)scheme, url, (int)(end - host), url + host);
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

static int check_request(const struct http_request *req, struct err *err)
{
    if (strncasecmp(req->url, "http://", 7) != 0 && strncasecmp(req->url, "https://", 8) != 0) {
        return err_set(err, ERR_USAGE, 0, "'%s' is not a URL that begins with http:// or https://",
                       req->url);
    }
    if (has_control(req->url)) {
        return err_set(err, ERR_USAGE, 0, "a URL holds a control character; write it as %%XX");
    }
    for (const char *m = req->method; m && *m; m++) {
        if (!isalpha((unsigned char)*m)) {
            return err_set(err, ERR_USAGE, 0, "'%s' is not an HTTP method", req->method);
        }
    }
    for (const char *const *h = req->headers; h && *h; h++) {
        if (has_control(*h) || !strchr(*h, ':')) {
            /* Its value may be a secret: not shown. */
            return err_set(err, ERR_USAGE, 0,
                           "a request header must be one line of the form 'Name: value'");
        }
    }
    return 0;
}

static bool named(const struct http_request *req, const char *name)
{
    size_t len = strlen(name);
    for (const char *const *h = req->headers; h && *h; h++) {
        if (strncasecmp(*h, name, len) == 0 && (*h)[len] == ':') {
            return true;
        }
    }
    return false;
}

static void add_header(struct http_call *c, const char *line)
{
    struct curl_slist *longer = c->http->curl->curl_slist_append_(c->headers, line);
    WF_ASSERT(longer);
    c->headers = longer;
}

/* libcurl says by "Name:" that a header of its own is not wanted. */
static void set_headers(struct http_call *c, const struct http_request *req)
{
    for (const char *const *h = req->headers; h && *h; h++) {
        const char *value = strchr(*h, ':') + 1;
        if (value[strspn(value, " \t")] == '\0') {
            /* "Name:" would remove it, "Name;" sends it with nothing. */
            CLEANUP(cleanup_free) char *empty = xasprintf("%.*s;", (int)(value - 1 - *h), *h);
            add_header(c, empty);
        } else {
            add_header(c, *h);
        }
    }
    if (req->aws_sigv4) {
        return; /* libcurl signs also what is not sent, and the server finds another signature */
    }
    if (!named(req, "Content-Type")) {
        add_header(c, "Content-Type:"); /* not that of a form */
    }
    if (!named(req, "Expect")) {
        add_header(c, "Expect:"); /* servers without it cost a second of waiting */
    }
}

#define SET(option, value)                                                                         \
    do {                                                                                           \
        CURLcode rc_ = curl->curl_easy_setopt_(c->easy, option, value);                            \
        WF_ASSERT(rc_ == CURLE_OK || rc_ == CURLE_OUT_OF_MEMORY);                                  \
    } while (0)

static void set_method(struct http_call *c, const struct http_request *req)
{
    const struct curl_api *curl = c->http->curl;
    const char *method = req->method ? req->method : "GET";
    bool body = req->body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
                strcmp(method, "PATCH") == 0;
    if (strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
        return;
    }
    if (strcmp(method, "PUT") == 0 || req->upload) {
        c->out.data = req->upload ? NULL : req->body ? req->body : "";
        c->out.fd = req->upload_fd;
        c->out.size = req->upload ? req->upload_size : req->body ? req->body_len : 0;
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->out.size);
        SET(CURLOPT_READFUNCTION, give_body);
        SET(CURLOPT_READDATA, c);
        SET(CURLOPT_SEEKFUNCTION, rewind_body);
        SET(CURLOPT_SEEKDATA, c);
        SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)TRANSFER_BUFFER);
        SET(CURLOPT_EXPECT_100_TIMEOUT_MS, (long)EXPECT_TIMEOUT_MS);
        if (strcmp(method, "PUT") != 0) {
            SET(CURLOPT_CUSTOMREQUEST, method);
        }
        return;
    }
    if (body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(req->body ? req->body_len : 0));
        SET(CURLOPT_POSTFIELDS, req->body ? req->body : "");
    }
    /* Not said for POST and GET: a redirect may then turn a POST into a GET, as it must. */
    if (strcmp(method, body ? "POST" : "GET") != 0) {
        SET(CURLOPT_CUSTOMREQUEST, method);
    }
}

/* A proxy's own localhost is not ours: whatever stands in http_proxy, this machine is spoken with directly. */
static void set_no_proxy(struct http_call *c)
{
    const struct curl_api *curl = c->http->curl;
    const char *lower = getenv("no_proxy"), *given = lower ? lower : getenv("NO_PROXY");

    if (!given || strcmp(given, "*") != 0) {
        CLEANUP(cleanup_free)
        char *all = xasprintf("localhost,127.0.0.1,::1%s%s", given && *given ? "," : "",
                              given ? given : "");
        SET(CURLOPT_NOPROXY, all);
    }
}

static void set_limits(struct http_call *c, const struct http_request *req)
{
    const struct curl_api *curl = c->http->curl;
    int64_t connect = req->connect_timeout_ms > 0 ? req->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    /* No CURLOPT_ACCEPT_ENCODING: bodies are left as they were served. */
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    SET(CURLOPT_TIMEOUT_MS, (long)req->timeout_ms);
    if (req->stall_timeout_ms > 0) {
        SET(CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES);
        SET(CURLOPT_LOW_SPEED_TIME, (long)((req->stall_timeout_ms + 999) / 1000));
    }
    if (req->stream && !req->unix_socket) {
        SET(CURLOPT_BUFFERSIZE, (long)TRANSFER_BUFFER);
    }
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, req->follow ? 1L : 0L);
    SET(CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    if (req->resume_from) {
        /* As a header only: libcurl's own resuming fails on a 200, which is the caller's to judge. */
        char range[32];
        snprintf(range, sizeof(range), "%llu-", (unsigned long long)req->resume_from);
        SET(CURLOPT_RANGE, range);
    }
    if (req->unix_socket) {
        SET(CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
        SET(CURLOPT_PROXY, "");
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    }
}

static void set_credentials(struct http_call *c, const struct http_request *req)
{
    const struct curl_api *curl = c->http->curl;
    if (req->user) {
        /* Not CURLOPT_USERPWD: a user's name may hold a colon. */
        SET(CURLOPT_USERNAME, req->user);
        SET(CURLOPT_PASSWORD, req->password ? req->password : "");
    }
    if (req->aws_sigv4) {
        SET(CURLOPT_AWS_SIGV4, req->aws_sigv4);
    } else if (req->user) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    }
}

static void set_callbacks(struct http_call *c)
{
    const struct curl_api *curl = c->http->curl;
    SET(CURLOPT_PRIVATE, (char *)c);
    SET(CURLOPT_ERRORBUFFER, c->detail);
    SET(CURLOPT_HEADERFUNCTION, on_header_line);
    SET(CURLOPT_HEADERDATA, c);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, c);
    SET(CURLOPT_USERAGENT, "wf");
    SET(CURLOPT_HTTPHEADER, c->headers);
}

int http_call_new(struct http *h, const struct http_request *req, struct http_call **ret,
                  struct err *err)
{
    int rc = check_request(req, err);
    if (rc < 0) {
        return rc;
    }
    struct http_call *c = xcalloc(1, sizeof(*c));
    const struct curl_api *curl = h->curl;
    c->http = h;
    c->name = http_public_url(req->url);
    c->unix_socket = req->unix_socket ? xstrdup(req->unix_socket) : NULL;
    c->on_data = req->on_data;
    c->on_headers = req->on_headers;
    c->stream = req->stream;
    c->follow = req->follow;
    c->max_body = req->max_body ? req->max_body : BODY_MAX;
    c->easy = curl->curl_easy_init_();
    WF_ASSERT(c->easy);
    if (curl->curl_easy_setopt_(c->easy, CURLOPT_URL, req->url) != CURLE_OK ||
        (req->unix_socket && strlen(req->unix_socket) > 107)) {
        rc = err_set(err, ERR_USAGE, 0, "'%s': the %s is too long", c->name,
                     req->unix_socket ? "path of the socket" : "URL");
        http_call_free(c);
        return rc;
    }
    set_headers(c, req);
    set_method(c, req);
    set_limits(c, req);
    set_no_proxy(c);
    set_credentials(c, req);
    set_callbacks(c);
    *ret = c;
    return 0;
}

void http_call_free(struct http_call *c)
{
    const struct curl_api *curl = c->http->curl;
    curl->curl_easy_cleanup_(c->easy);
    curl->curl_slist_free_all_(c->headers);
    forget_answer(c);
    vec_done(&c->answer);
    sb_done(&c->response.body);
    free(c->unix_socket);
    free(c->name);
    free(c);
}
