/* SPDX-License-Identifier: Apache-2.0 */
/* Against a server thread that answers one connection after the other, by path. */
#include "base/err.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "temp.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_MAX = 65536 };

static struct loop *loop;
static struct http *http;
static char *dir;
static char base_url[64], socket_path[128];
static int listeners[2]; /* TCP, unix */
static pthread_t threads[2];
static char last_request[REQUEST_MAX]; /* as the server got it; read after the call has ended */

/* The server */

static void say(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

static void answer_with(int fd, const char *status, const char *headers, const char *body)
{
    char head[1024];
    snprintf(head, sizeof(head),
             "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status, headers,
             strlen(body));
    say(fd, head);
    say(fd, body);
}

static void answer(int fd, const char *path)
{
    char headers[128];
    if (strcmp(path, "/hello") == 0) {
        answer_with(fd, "200 OK", "X-Twice: one\r\nx-tWICE:  two \r\n", "hello");
    } else if (strcmp(path, "/moved") == 0) {
        answer_with(fd, "302 Found", "X-Old: yes\r\nLocation: /hello\r\n", "moved");
    } else if (strcmp(path, "/away") == 0) {
        answer_with(fd, "302 Found", "Location: file:///etc/passwd\r\n", "");
    } else if (strcmp(path, "/circle") == 0) {
        answer_with(fd, "302 Found", "Location: /circle\r\n", "");
    } else if (strcmp(path, "/zipped") == 0) {
        answer_with(fd, "200 OK", "Content-Encoding: gzip\r\n", "as it is");
    } else if (strcmp(path, "/short") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nonly this");
    } else if (strcmp(path, "/raw") == 0) { /* a body without an end but that of the connection */
        say(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n");
        say(fd, "one,");
        say(fd, "two");
    } else if (strcmp(path, "/upgrade") == 0) {
        say(fd, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
        say(fd, "raw,");
        say(fd, "frames");
    } else if (strcmp(path, "/endless") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\n\r\nbegin");
        while (write(fd, "more", 4) == 4) { /* until the client goes */
        }
    } else if (strcmp(path, "/silent") == 0) {
        char byte;
        while (read(fd, &byte, 1) > 0) { /* until the client goes */
        }
    } else {
        snprintf(headers, sizeof(headers), "X-Path: %.90s\r\n", path);
        answer_with(fd, "404 Not Found", headers, "nothing here");
    }
}

/* Reads one request, head and body (by Content-Length). */
static bool read_request(int fd, char *request)
{
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, request + len, REQUEST_MAX - 1 - len);
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        request[len] = '\0';
        const char *end = strstr(request, "\r\n\r\n");
        if (!end) {
            continue;
        }
        const char *length = strcasestr(request, "\r\nContent-Length:");
        size_t body = length && length < end ? (size_t)atol(length + 17) : 0;
        if (len >= (size_t)(end + 4 - request) + body) {
            return true;
        }
    }
}

static void *serve(void *arg)
{
    int listener = *(int *)arg;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char path[256] = "";
        if (fd < 0) {
            return NULL;
        }
        if (read_request(fd, last_request) && sscanf(last_request, "%*s %255[^ ?]", path) == 1) {
            answer(fd, path);
        }
        close(fd);
    }
}

static void listen_on(int which, const struct sockaddr *address, socklen_t len)
{
    listeners[which] = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listeners[which], address, len), 0);
    cr_assert_eq(listen(listeners[which], 16), 0);
    pthread_create(&threads[which], NULL, serve, &listeners[which]);
}

static void set_up(void)
{
    struct err err = {0};
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(tcp);
    signal(SIGPIPE, SIG_IGN);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    dir = temp_new();
    snprintf(socket_path, sizeof(socket_path), "%s/s", dir);
    memcpy(un.sun_path, socket_path, strlen(socket_path));
    listen_on(0, (struct sockaddr *)&tcp, sizeof(tcp));
    listen_on(1, (struct sockaddr *)&un, sizeof(un));
    cr_assert_eq(getsockname(listeners[0], (struct sockaddr *)&tcp, &len), 0);
    snprintf(base_url, sizeof(base_url), "http://127.0.0.1:%d", ntohs(tcp.sin_port));
    loop = loop_new();
    cr_assert_eq(http_open(loop, &http, &err), 0, "%s", err.msg);
}

static void tear_down(void)
{
    http_close(http);
    loop_free(loop);
    for (int i = 0; i < 2; i++) {
        shutdown(listeners[i], SHUT_RDWR); /* accept() returns */
        pthread_join(threads[i], NULL);
        close(listeners[i]);
    }
    temp_done(dir);
}

TestSuite(base_http, .init = set_up, .fini = tear_down, .timeout = 30);

/* The client */

struct seen {
    int calls, status, header_calls, data_calls;
    enum err_code code;
    struct str body, streamed;
    char message[1000], reason[1000], header[100];
    const char *want_header;
    int pieces_wanted; /* on_data says no after so many; 0: never */
    struct http_call *call;
    bool abort_in_data;
};

static bool on_headers(const struct http_call *c, void *arg)
{
    struct seen *s = arg;
    s->header_calls++;
    s->status = http_status(c);
    return true;
}

static bool on_data(const void *data, size_t len, void *arg)
{
    struct seen *s = arg;
    s->data_calls++;
    sb_add(&s->streamed, data, len);
    if (s->abort_in_data) {
        http_abort(s->call);
        loop_stop(loop);
    }
    return s->pieces_wanted == 0 || s->data_calls < s->pieces_wanted;
}

static void on_done(struct http_call *c, const struct http_response *r, void *arg)
{
    struct seen *s = arg;
    const char *header = s->want_header ? http_header(c, s->want_header) : NULL;
    s->calls++;
    s->status = r->status;
    s->code = r->err ? r->err->code : ERR_NONE;
    snprintf(s->message, sizeof(s->message), "%s", r->err ? r->err->msg : "");
    snprintf(s->reason, sizeof(s->reason), "%s", r->reason ? r->reason : "");
    snprintf(s->header, sizeof(s->header), "%s", header ? header : "(none)");
    sb_add(&s->body, r->body.data, r->body.len);
    http_abort(c); /* harmless here */
    loop_stop(loop);
}

static void start(struct http_request *req, const char *path, struct seen *s)
{
    struct err err = {0};
    CLEANUP(cleanup_free)
    char *url = xasprintf("%s%s", req->unix_socket ? "http://engine" : base_url, path);
    req->url = url;
    req->on_headers = on_headers;
    req->on_data = on_data;
    cr_assert_eq(http_start(http, req, on_done, s, &s->call, &err), 0, "%s", err.msg);
    cr_assert_eq(s->calls, 0);
}

static void fetch(struct http_request *req, const char *path, struct seen *s)
{
    start(req, path, s);
    loop_run(loop);
    cr_assert_eq(s->calls, 1);
}

static void seen_done(struct seen *s)
{
    sb_done(&s->body);
    sb_done(&s->streamed);
}

Test(base_http, get)
{
    CLEANUP(seen_done) struct seen s = {.want_header = "X-TWICE"};
    struct http_request req = {0};
    fetch(&req, "/hello", &s);
    cr_assert_eq(s.status, 200);
    cr_assert_eq(s.code, ERR_NONE, "%s", s.message);
    cr_assert_str_eq(sb_text(&s.body), "hello");
    cr_assert_str_eq(s.header, "two"); /* the last one, trimmed */
    cr_assert_eq(s.header_calls, 1);
    cr_assert_eq(s.data_calls, 0);
    cr_assert(text_starts(last_request, "GET /hello HTTP/1.1\r\n"), "%s", last_request);
    cr_assert_gt(strlen(http_library_version()), 0);
}

Test(base_http, this_machine_is_spoken_with_directly)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* where nobody listens */
    static const char *const given[] = {NULL, "", "example.org", "*"};
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        CLEANUP(seen_done) struct seen s = {.want_header = "X-TWICE"};
        struct http_request req = {0};
        unsetenv("NO_PROXY");
        given[i] ? setenv("no_proxy", given[i], 1) : unsetenv("no_proxy");
        fetch(&req, "/hello", &s);
        cr_expect_eq(s.status, 200, "no_proxy %s: %s", given[i] ? given[i] : "unset", s.message);
    }
    unsetenv("no_proxy");
    unsetenv("http_proxy");
}

Test(base_http, status_is_no_error)
{
    CLEANUP(seen_done) struct seen s = {.want_header = "x-path"};
    struct http_request req = {.unix_socket = socket_path};
    fetch(&req, "/nowhere", &s);
    cr_assert_eq(s.status, 404);
    cr_assert_eq(s.code, ERR_NONE);
    cr_assert_str_eq(s.header, "/nowhere");
    cr_assert_str_eq(sb_text(&s.body), "nothing here");
}

Test(base_http, request_line_headers_and_body)
{
    CLEANUP(seen_done) struct seen s = {0}, t = {0}, u = {0};
    const char *headers[] = {"Content-Type: application/json", "X-Empty:", NULL};
    struct http_request req = {
        .method = "POST", .headers = headers, .body = "{\"a\":1}", .body_len = 7};
    fetch(&req, "/hello", &s);
    cr_assert(text_starts(last_request, "POST /hello "), "%s", last_request);
    cr_assert(text_ends(last_request, "\r\n\r\n{\"a\":1}"), "%s", last_request);
    cr_assert(strstr(last_request, "\r\nContent-Type: application/json\r\n"), "%s", last_request);
    cr_assert(strstr(last_request, "\r\nX-Empty:\r\n"), "%s", last_request);
    struct http_request empty = {.method = "POST"};
    fetch(&empty, "/hello", &t);
    cr_assert(strstr(last_request, "\r\nContent-Length: 0\r\n"), "%s", last_request);
    cr_assert(!strcasestr(last_request, "Content-Type"), "%s", last_request);
    struct http_request gone = {.method = "DELETE"};
    fetch(&gone, "/hello", &u);
    cr_assert(text_starts(last_request, "DELETE /hello "), "%s", last_request);
}

Test(base_http, body_from_a_file)
{
    CLEANUP(seen_done) struct seen s = {0}, t = {0}, u = {0};
    CLEANUP(cleanup_free) char *path = xasprintf("%s/body", dir);
    FILE *f = fopen(path, "w+");
    cr_assert(f);
    cr_assert_eq(fputs("from a file", f), 1);
    cr_assert_eq(fflush(f), 0);
    struct http_request req = {
        .method = "PUT", .upload = true, .upload_fd = fileno(f), .upload_size = 11};
    fetch(&req, "/hello", &s);
    cr_assert_eq(s.code, ERR_NONE, "%s", s.message);
    cr_assert(text_starts(last_request, "PUT /hello "), "%s", last_request);
    cr_assert(strstr(last_request, "\r\nContent-Length: 11\r\n"), "%s", last_request);
    cr_assert(text_ends(last_request, "\r\n\r\nfrom a file"), "%s", last_request);
    cr_assert(!strcasestr(last_request, "Expect"), "%s", last_request);
    req.upload_size = 12; /* shorter than said */
    fetch(&req, "/hello", &t);
    cr_assert_eq(t.code, ERR_IO, "%s", t.message);
    struct http_request memory = {.method = "PUT", .body = "abc", .body_len = 3};
    fetch(&memory, "/hello", &u);
    cr_assert(text_ends(last_request, "\r\n\r\nabc"), "%s", last_request);
    fclose(f);
}

Test(base_http, credentials)
{
    CLEANUP(seen_done) struct seen s = {0}, t = {0};
    struct http_request basic = {.user = "me:too", .password = "pass:word"};
    fetch(&basic, "/hello", &s);
    cr_assert(strstr(last_request, "\r\nAuthorization: Basic bWU6dG9vOnBhc3M6d29yZA==\r\n"), "%s",
              last_request);
    const char *headers[] = {"x-amz-content-sha256: abc", NULL};
    struct http_request sign = {.method = "PUT",
                                .user = "AK",
                                .password = "SK",
                                .aws_sigv4 = "aws:amz:region:s3",
                                .headers = headers};
    fetch(&sign, "/hello", &t);
    cr_assert(strstr(last_request, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AK/"), "%s",
              last_request);
    cr_assert(!strstr(last_request, "expect") && !strstr(last_request, "content-type"), "%s",
              last_request); /* nothing is signed that is not sent */
}

Test(base_http, public_url)
{
    const char *const pairs[][2] = {
        {"http://u:p@h:1/a?b#c", "http://h:1/a"},
        {"https://h", "https://h"},
        {"http://a@b@c/x@y", "http://c/x@y"},
        {"u:p@h/x", "h/x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        CLEANUP(cleanup_free) char *url = http_public_url(pairs[i][0]);
        cr_assert_str_eq(url, pairs[i][1]);
    }
}

Test(base_http, stall)
{
    CLEANUP(seen_done) struct seen s = {0};
    struct http_request req = {.stall_timeout_ms = 900};
    fetch(&req, "/silent", &s);
    cr_assert_eq(s.code, ERR_TIMEOUT, "%s", s.message);
}

Test(base_http, head_has_no_body)
{
    CLEANUP(seen_done) struct seen s = {.want_header = "Content-Length"};
    struct http_request req = {.method = "HEAD"};
    fetch(&req, "/hello", &s);
    cr_assert_eq(s.code, ERR_NONE, "%s", s.message);
    cr_assert_str_eq(s.header, "5");
    cr_assert_eq(s.body.len, 0);
}

Test(base_http, redirects)
{
    CLEANUP(seen_done)
    struct seen s = {.want_header = "X-Old"}, t = {.want_header = "X-Old"}, u = {0}, v = {0};
    struct http_request stay = {0}, follow = {.follow = true};
    fetch(&stay, "/moved", &s);
    cr_assert_eq(s.status, 302);
    cr_assert_str_eq(s.header, "yes");
    cr_assert_eq(s.header_calls, 1);
    fetch(&follow, "/moved", &t);
    cr_assert_eq(t.status, 200);
    cr_assert_str_eq(sb_text(&t.body), "hello");
    cr_assert_str_eq(t.header, "(none)"); /* of the last answer only */
    cr_assert_eq(t.header_calls, 1);
    fetch(&follow, "/circle", &u);
    cr_assert_eq(u.code, ERR_INVALID, "the same another time: %s", u.message);
    cr_expect(strstr(u.message, "/circle': "), "%s", u.message);
    cr_expect(strstr(u.reason, "redirects") && !strstr(u.reason, "/circle"), "%s", u.reason);
    fetch(&follow, "/away", &v);
    cr_assert_neq(v.code, ERR_NONE); /* http and https only */
    cr_assert_eq(v.body.len, 0);
}

Test(base_http, resume_is_a_range)
{
    CLEANUP(seen_done) struct seen s = {0};
    struct http_request req = {.resume_from = 5000000000};
    fetch(&req, "/hello", &s);
    cr_assert_eq(s.code, ERR_NONE, "%s", s.message); /* a 200 is the caller's to judge */
    cr_assert(strstr(last_request, "\r\nRange: bytes=5000000000-\r\n"), "%s", last_request);
}

Test(base_http, body_is_not_unpacked)
{
    CLEANUP(seen_done) struct seen s = {0};
    struct http_request req = {0};
    fetch(&req, "/zipped", &s);
    cr_assert_eq(s.code, ERR_NONE, "%s", s.message);
    cr_assert_str_eq(sb_text(&s.body), "as it is");
}

Test(base_http, too_large_and_too_short)
{
    CLEANUP(seen_done) struct seen s = {0}, t = {0}, u = {0};
    struct http_request small = {.max_body = 4}, exact = {.max_body = 5}, any = {0};
    fetch(&small, "/hello", &s);
    cr_assert_eq(s.code, ERR_INVALID, "%s", s.message);
    fetch(&exact, "/hello", &t);
    cr_assert_eq(t.code, ERR_NONE, "%s", t.message);
    fetch(&any, "/short", &u);
    cr_assert_eq(u.code, ERR_NET, "%s", u.message);
}

Test(base_http, raw_stream_until_close)
{
    CLEANUP(seen_done) struct seen s = {0};
    struct http_request req = {.method = "POST", .unix_socket = socket_path, .stream = true};
    fetch(&req, "/raw", &s);
    cr_assert_eq(s.status, 200);
    cr_assert_eq(s.code, ERR_NONE, "%s", s.message);
    cr_assert_str_eq(sb_text(&s.streamed), "one,two");
    cr_assert_eq(s.body.len, 0);
}

Test(base_http, upgraded_stream_until_close)
{
    CLEANUP(seen_done) struct seen s = {0};
    const char *headers[] = {"Connection: Upgrade", "Upgrade: tcp", NULL};
    struct http_request req = {
        .method = "POST", .unix_socket = socket_path, .stream = true, .headers = headers};
    fetch(&req, "/upgrade", &s);
    cr_assert_eq(s.status, 101);
    cr_assert_eq(s.header_calls, 1);
    cr_assert_eq(s.code, ERR_NONE, "%s", s.message);
    cr_assert_str_eq(sb_text(&s.streamed), "raw,frames");
}

Test(base_http, endless_stream_can_be_left)
{
    CLEANUP(seen_done) struct seen s = {.pieces_wanted = 3}, t = {.abort_in_data = true};
    struct http_request req = {.stream = true};
    fetch(&req, "/endless", &s);
    cr_assert_eq(s.code, ERR_CANCELLED, "%s", s.message);
    cr_assert_eq(s.data_calls, 3);
    start(&req, "/endless", &t);
    loop_run(loop);
    cr_assert_eq(t.data_calls, 1);
    cr_assert_eq(t.calls, 0); /* aborted by us: not told */
}

Test(base_http, timeout)
{
    CLEANUP(seen_done) struct seen s = {0};
    struct http_request req = {.timeout_ms = 50};
    fetch(&req, "/silent", &s);
    cr_assert_eq(s.code, ERR_TIMEOUT, "%s", s.message);
    cr_assert_eq(s.status, 0);
}

Test(base_http, abort_and_close_are_silent)
{
    CLEANUP(seen_done) struct seen s = {0}, t = {0}, u = {0};
    struct http_request silent = {.unix_socket = socket_path}, hello = {0};
    start(&silent, "/silent", &s);
    start(&silent, "/silent", &t);
    fetch(&hello, "/hello", &u);
    http_abort(s.call);
    http_close(http); /* with `t` under way */
    http = NULL;
    loop_run(loop);
    cr_assert_eq(s.calls + t.calls, 0);
}

Test(base_http, no_connection)
{
    CLEANUP(seen_done) struct seen s = {0}, t = {0};
    char missing[200];
    struct err err = {0};
    snprintf(missing, sizeof(missing), "%s/none", dir);
    struct http_request req = {.unix_socket = missing};
    fetch(&req, "/hello", &s);
    cr_assert_eq(s.code, ERR_NET);
    cr_assert(strstr(s.message, missing), "%s", s.message);
    struct http_request tcp = {.url = "http://user:secret@127.0.0.1:1/x?token=secret"};
    cr_assert_eq(http_start(http, &tcp, on_done, &t, NULL, &err), 0);
    loop_run(loop);
    cr_assert_eq(t.code, ERR_NET);
    cr_assert(strstr(t.message, "http://127.0.0.1:1/x"), "%s", t.message);
    cr_assert(!strstr(t.message, "secret"), "%s", t.message);
}

Test(base_http, refused_requests)
{
    struct err err = {0};
    const char *two_lines[] = {"X: a\r\nY: b", NULL};
    const struct http_request bad[] = {
        {.url = "file:///etc/passwd"},
        {.url = "no url"},
        {.url = "http://x/\r\nHost: y"},
        {.url = "http://x/", .method = "GET / HTTP/1.1\r\nX: y"},
        {.url = "http://x/", .headers = two_lines},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(http_start(http, &bad[i], on_done, NULL, NULL, &err), -ERR_USAGE, "%zu", i);
    }
}

/* A call that is started from within another one's callbacks. */
static struct seen second;

static bool start_another(const struct http_call *c, void *arg)
{
    static struct http_request req;
    (void)arg;
    if (http_status(c) == 200 && !second.call) {
        start(&req, "/nowhere", &second);
    }
    return true;
}

static void on_first_done(struct http_call *c, const struct http_response *r, void *arg)
{
    (void)c;
    *(int *)arg = r->status;
}

Test(base_http, start_inside_a_callback)
{
    struct err err = {0};
    int status = 0;
    CLEANUP(cleanup_free) char *url = xasprintf("%s/hello", base_url);
    struct http_request req = {.url = url, .on_headers = start_another};
    cr_assert_eq(http_start(http, &req, on_first_done, &status, NULL, &err), 0);
    loop_run(loop);
    cr_assert_eq(status, 200);
    cr_assert_eq(second.calls, 1);
    cr_assert_eq(second.status, 404);
    seen_done(&second);
}

/* How many come at once */

enum { CROWD = 20, QUIET_MS = 200 };

/* Answers those who came only when nobody else comes for a while. */
static void *crowd(void *arg)
{
    int listener = *(int *)arg, fds[CROWD], open_now = 0, answered = 0;
    static int most;

    most = 0;
    while (answered < CROWD) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        if (open_now < CROWD && poll(&p, 1, QUIET_MS) == 1) {
            fds[open_now++] = accept(listener, NULL, NULL);
            most = open_now > most ? open_now : most;
            continue;
        }
        for (; open_now > 0; answered++) {
            char request[REQUEST_MAX];
            int fd = fds[--open_now];
            cr_assert(read_request(fd, request));
            say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            close(fd);
        }
    }
    return &most;
}

static void on_one_of_crowd(struct http_call *c, const struct http_response *r, void *arg)
{
    int *left = arg;

    (void)c;
    cr_expect_eq(r->status, 200, "%s", r->err ? r->err->msg : "");
    if (--*left == 0) {
        loop_stop(loop);
    }
}

static int most_at_once(void)
{
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(tcp);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), left = CROWD;
    struct http_call *call;
    char url[100];
    /* Waiting for one's turn is no connecting: no reason to give up. */
    struct http_request req = {.url = url, .connect_timeout_ms = QUIET_MS * 3 / 2};
    struct err err = {0};
    pthread_t thread;
    void *most;

    cr_assert_eq(bind(listener, (struct sockaddr *)&tcp, len), 0);
    cr_assert_eq(listen(listener, CROWD), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&tcp, &len), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(tcp.sin_port));
    pthread_create(&thread, NULL, crowd, &listener);
    for (int i = 0; i < CROWD; i++) {
        cr_assert_eq(http_start(http, &req, on_one_of_crowd, &left, &call, &err), 0, "%s", err.msg);
    }
    loop_run(loop);
    pthread_join(thread, &most);
    close(listener);
    return *(int *)most;
}

Test(base_http, connections_to_one_host_are_bounded)
{
    cr_expect_eq(most_at_once(), HTTP_PER_HOST);
}

Test(base_http, a_bound_can_be_lifted)
{
    http_bound(http, 0);
    cr_expect_eq(most_at_once(), CROWD);
}
