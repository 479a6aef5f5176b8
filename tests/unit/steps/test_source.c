/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing data in: paths, and URLs from a small server of our own. */
#include "base/arena.h"
#include "base/child.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "room.h"
#include "steps/source.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

Test(steps_source, a_file_becomes_the_output_with_its_facts)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  in: {kind: ingest, source: data.csv, outputs: {data: data}}\n");
    room_write(&r, "data.csv", "a\nb\nc");
    cr_assert_eq(room_run(&r, "in"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert(r.stored, "%s", r.why_not);
    cr_assert_str_eq(room_output(&r, r.result, "data"), "a\nb\nc");
    cr_assert_str_eq(r.result->source, "{\"bytes\":5,\"files\":1,\"records\":3}");
    char one[65], two[65];
    room_key(&r, "in", one);
    room_write(&r, "data.csv", "other");
    room_key(&r, "in", two);
    cr_assert_str_neq(one, two);
    cr_assert(room_reads(&r, room_path(&r, "data.csv"), "other"), "the source stays where it is");
    room_close(&r);
}

Test(steps_source, a_folder_and_a_command)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  in:\n"
                  "    kind: ingest\n"
                  "    source: raw\n"
                  "    run: cat ${{ source.path }}/* > ${{ outputs.all }}\n"
                  "    outputs: {all: all}\n"
                  "  whole: {kind: ingest, source: raw, outputs: {data: data}}\n");
    room_write(&r, "raw/1", "one\n");
    room_write(&r, "raw/2", "two\n");
    cr_assert_eq(room_run(&r, "in"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "all"), "one\ntwo\n");
    cr_assert(strstr(r.result->source, "\"files\":2,\"records\":2"), "%s", r.result->source);
    cr_assert_eq(room_run(&r, "whole"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(r.result->outputs[0].kind, OBJECT_TREE);
    room_close(&r);
}

Test(steps_source, time_and_change_stand_for_the_place)
{
    struct room r;
    char one[65], two[65];
    room_open(
        &r,
        "steps:\n"
        "  t: {kind: ingest, source: raw, outputs: {data: data}, cache: {policy: time, ttl: 1d}}\n"
        "  c: {kind: ingest, source: raw, outputs: {data: data}, cache: {policy: change, measure: "
        "records, threshold: 20%}}\n"
        "  m: {kind: ingest, source: raw, outputs: {data: data}, cache: {policy: change, measure: "
        "'wc -c < \"$WF_SOURCE\"', threshold: 20%}}\n");
    room_write(&r, "raw", "1\n2\n");
    room_key(&r, "t", one);
    cr_assert(r.q.has_identity);
    room_write(&r, "raw", "1\n2\n3\n");
    room_key(&r, "t", two);
    cr_assert_str_eq(one, two);
    cr_assert_eq(room_ask(&r, "c"), 0, "%s", r.err.msg);
    cr_assert_str_eq(r.q.measure, "3");
    cr_assert_eq(room_ask(&r, "m"), 0, "%s", r.err.msg);
    cr_assert_str_eq(r.q.measure, "6");
    cr_assert_eq(room_run(&r, "c"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(r.result->measure, "3");
    room_close(&r);
}

Test(steps_source, a_measure_that_fails_says_why)
{
    static const struct {
        const char *step, *why;
    } cases[] = {
        {"code", "its command failed with exit code 3 (no such table)"},
        {"mute", "its command printed nothing"},
        {"dead", "its command was ended by signal 9"},
        {"good", NULL},
    };
    struct room r;

    room_open(&r, "steps:\n"
                  "  code: {kind: ingest, source: raw, outputs: {data: data}, cache: {policy: "
                  "change, measure: 'echo first >&2; echo no such table >&2; echo >&2; exit 3'}}\n"
                  "  mute: {kind: ingest, source: raw, outputs: {data: data}, cache: {policy: "
                  "change, measure: 'echo a word >&2'}}\n"
                  "  dead: {kind: ingest, source: raw, outputs: {data: data}, cache: {policy: "
                  "change, measure: 'kill -9 $$'}}\n"
                  "  good: {kind: ingest, source: raw, outputs: {data: data}, cache: {policy: "
                  "change, measure: 'echo 1; echo fine >&2'}}\n");
    room_write(&r, "raw", "1\n");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_assert_eq(room_ask(&r, cases[i].step), 0, "%s", r.err.msg);
        cr_expect_eq(r.q.measure == NULL, cases[i].why != NULL, "%s", cases[i].step);
        cr_expect(text_eq(r.q.measure_why, cases[i].why), "%s: %s", cases[i].step,
                  r.q.measure_why ? r.q.measure_why : "-");
    }
    room_close(&r);
}

/* Nobody is asked for these keys. */
Test(steps_source, a_bucket_belongs_to_its_server)
{
    static const char *const endpoints[] = {NULL, "https://one.example",
                                            "https://two.example:9000"};
    struct room r;
    char keys[3][65], again[65];
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_S3");
    for (int i = 0; i < 3; i++) {
        if (endpoints[i]) {
            setenv("AWS_ENDPOINT_URL", endpoints[i], 1);
        }
        room_open(&r, "steps:\n"
                      "  s: {kind: ingest, source: 's3://data/x', outputs: {data: data}, cache: "
                      "{policy: time, ttl: 1d}}\n");
        room_key(&r, "s", keys[i]);
        room_close(&r);
    }
    cr_assert_str_neq(keys[0], keys[1]);
    cr_assert_str_neq(keys[1], keys[2]);
    setenv("AWS_ENDPOINT_URL_S3", "https://one.example/", 1);
    setenv("AWS_REGION", "eu-west-1", 1);
    room_open(&r, "steps:\n"
                  "  s: {kind: ingest, source: 's3://data/x', outputs: {data: data}, cache: "
                  "{policy: time, ttl: 1d}}\n");
    room_key(&r, "s", again);
    cr_assert_str_eq(again, keys[1], "the same server, by its other variable");
    room_close(&r);
}

Test(steps_source, what_is_refused)
{
    struct room r;
    room_open(&r, "params: {from: 'gs://bucket/x'}\n"
                  "steps:\n"
                  "  s3: {kind: ingest, source: '${{ params.from }}', outputs: {data: data}}\n"
                  "  gone: {kind: ingest, source: nowhere.csv, outputs: {data: data}}\n");
    cr_assert_lt(room_ask(&r, "s3"), 0);
    cr_assert(strstr(r.err.msg, "a source of gs:// is not supported"), "%s", r.err.msg);
    cr_assert_lt(room_ask(&r, "gone"), 0);
    cr_assert(strstr(r.err.msg, "the source 'nowhere.csv' does not exist"), "%s", r.err.msg);
    room_close(&r);
}

Test(steps_source, a_url_without_its_credentials)
{
    struct arena *a = arena_new();
    cr_assert_str_eq(source_public_url("https://me:pw@h.org:8/p?q=a@b#f", a),
                     "https://h.org:8/p?q=a@b");
    cr_assert_str_eq(source_public_url("http://h/p", a), "http://h/p");
    cr_assert_str_eq(source_public_url("https://h/p?a=1&X-Amz-Signature=s&sig=t", a),
                     "https://h/p?a=1");
    cr_assert_str_eq(source_public_url("https://h/p?Signature=s", a), "https://h/p");
    const char *one = source_public_url("https://h/p?token=one&b=2", a);
    cr_assert(strstr(one, "?token=sha256-") && strstr(one, "&b=2"), "%s", one);
    cr_assert_str_neq(one, source_public_url("https://h/p?token=two&b=2", a));
    cr_assert_str_eq(source_public_url("git+https://me:pw@h/r.git@main:a#b", a),
                     "git+https://h/r.git@main:a#b");
    arena_free(a);
}

Test(steps_source, the_parts_of_a_git_source)
{
    static const struct {
        const char *source, *url, *name, *repo, *ref, *path, *user, *password;
    } cases[] = {
        {"git+https://h/r.git", "https://h/r.git", "https://h/r.git", NULL, NULL, NULL, NULL, NULL},
        {"git+https://h/r@v1:a/b", "https://h/r", "https://h/r", NULL, "v1", "a/b", NULL, NULL},
        {"git+https://me:p%40w@h:8/r@feature/x", "https://h:8/r", "https://h:8/r", NULL,
         "feature/x", NULL, "me", "p@w"},
        {"git+ssh://git@h/~u/r.git@:data", "ssh://git@h/~u/r.git", "ssh://h/~u/r.git", NULL, NULL,
         "data", "git", NULL},
        {"git+file:///srv/r@main", "file:///srv/r", "/srv/r", "/srv/r", "main", NULL, NULL, NULL},
        {"git+https://h/r@main:d/a@b.csv", "https://h/r", "https://h/r", NULL, "main", "d/a@b.csv",
         NULL, NULL},
        {"git+file:///srv/me@h/r@main:x:y@z", "file:///srv/me@h/r", "/srv/me@h/r", "/srv/me@h/r",
         "main", "x:y@z", NULL, NULL},
        {"git+file://../r@main:x", "file://../r", "/w/../r", "/w/../r", "main", "x", NULL, NULL},
    };
    struct arena *a = arena_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct git_url u;
        cr_assert_eq(git_url_parse(cases[i].source, "/w", a, &u, NULL), 0, "%s", cases[i].source);
        cr_expect_str_eq(u.url, cases[i].url);
        cr_expect_str_eq(u.name, cases[i].name);
        cr_expect(text_eq(u.repo, cases[i].repo), "%s", u.repo);
        cr_expect(text_eq(u.ref, cases[i].ref), "%s", u.ref);
        cr_expect(text_eq(u.path, cases[i].path), "%s", u.path);
        cr_expect(text_eq(u.user, cases[i].user), "%s", u.user);
        cr_expect(text_eq(u.password, cases[i].password), "%s", u.password);
    }
    struct git_url u;
    struct err err = {0};
    cr_expect_lt(git_url_parse("git+https://h", "/w", a, &u, &err), 0);
    cr_expect(strstr(err.msg, "names no repository"), "%s", err.msg);
    cr_expect_lt(git_url_parse("git+file://", "/w", a, &u, NULL), 0);
    arena_free(a);
}

/* --- a server: one answer per connection --- */

struct server {
    int fd;
    uint16_t port;
    pthread_t thread;
    const char *body;
    const char *length; /* a Content-Length that is not true; NULL */
    bool breaks_once;   /* the first whole answer ends half way */
    const char *
        then; /* what it has from then on, as another version; ranges are answered whatever If-Range says. NULL: the same */
    int requests, not_modified, ranges;
    char last[2048];
};

static void answer(struct server *s, int fd)
{
    char buf[2048] = "", head[512];
    size_t have = 0, len = strlen(s->body), from = 0;
    while (!strstr(buf, "\r\n\r\n") && have < sizeof(buf) - 1) {
        ssize_t n = read(fd, buf + have, sizeof(buf) - 1 - have);
        if (n <= 0) {
            return;
        }
        have += (size_t)n;
        buf[have] = '\0';
    }
    s->requests++;
    if (strstr(buf, "If-None-Match: \"v1\"")) {
        s->not_modified++;
        dprintf(fd, "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nConnection: close\r\n\r\n");
        return;
    }
    const char *range = strcasestr(buf, "Range: bytes=");
    const char *tag = s->then && !s->breaks_once ? "v2" : "v1";
    if (range && (s->then || strcasestr(buf, "If-Range: \"v1\""))) {
        from = strtoul(range + 13, NULL, 10);
        s->ranges++;
        snprintf(head, sizeof(head),
                 "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-%zu/%zu\r\n", from,
                 len - 1, len);
    } else {
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n");
    }
    char said[64];
    snprintf(said, sizeof(said), "%zu", len - from);
    dprintf(fd, "%sContent-Length: %s\r\nETag: \"%s\"\r\nConnection: close\r\n\r\n", head,
            s->length ? s->length : said, tag);
    size_t upto = s->breaks_once ? len / 2 : len;
    if (write(fd, s->body + from, upto - from) < 0) {
        return;
    }
    if (s->breaks_once && s->then) {
        s->body = s->then;
    }
    s->breaks_once = false;
}

static void *serve(void *arg)
{
    struct server *s = arg;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        answer(s, fd);
        close(fd);
    }
}

static void server_open(struct server *s, const char *body)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    memset(s, 0, sizeof(*s));
    s->body = body;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(s->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(s->fd, 8), 0);
    getsockname(s->fd, (struct sockaddr *)&at, &len);
    s->port = ntohs(at.sin_port);
    cr_assert_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_close(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static void open_url(struct room *r, const struct server *s, const char *more)
{
    char yaml[600];
    snprintf(yaml, sizeof(yaml),
             "steps:\n  in: {kind: ingest, source: 'http://127.0.0.1:%u/data.csv', outputs: {data: "
             "data}%s}\n",
             s->port, more);
    room_open(r, yaml);
}

Test(steps_source, over_http_and_not_twice)
{
    struct server s;
    struct room r;
    char one[65], two[65];
    server_open(&s, "x,y\n1,2\n");
    open_url(&r, &s, "");
    room_key(&r, "in", one);
    cr_assert_eq(room_run(&r, "in"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "data"), "x,y\n1,2\n");
    cr_assert(strstr(r.result->source, "\"etag\":\"\\\"v1\\\"\""), "%s", r.result->source);
    cr_assert_geq(s.not_modified, 1, "asked again, the server only says that it is the same");
    room_key(&r, "in", two);
    cr_assert_str_eq(one, two);
    room_close(&r);
    server_close(&s);
}

Test(steps_source, a_broken_download_is_taken_up_again)
{
    struct server s;
    struct room r;
    server_open(&s, "0123456789abcdefghij");
    s.breaks_once = true;
    open_url(&r, &s, "");
    cr_assert_eq(room_run(&r, "in"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(s.ranges, 1);
    cr_assert_str_eq(room_output(&r, r.result, "data"), "0123456789abcdefghij");
    room_close(&r);
    server_close(&s);
}

/* Two halves of two versions would be a file that never was. */
Test(steps_source, a_download_is_not_taken_up_in_another_version)
{
    struct server s;
    struct room r;
    server_open(&s, "0123456789abcdefghij");
    s.breaks_once = true;
    s.then = "ABCDEFGHIJ9876543210";
    open_url(&r, &s, "");
    cr_assert_eq(room_run(&r, "in"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_geq(s.ranges, 1, "it was tried");
    cr_assert_str_eq(room_output(&r, r.result, "data"), s.then);
    room_close(&r);
    server_close(&s);
}

Test(steps_source, a_length_that_is_not_kept_is_no_whole_file)
{
    struct server s;
    struct room r;
    server_open(&s, "0123456789");
    s.length = "99999999999999999999999999";
    open_url(&r, &s, "");
    cr_assert_lt(room_ask(&r, "in"), 0);
    cr_assert(strstr(r.err.msg, "Content-Length says otherwise"), "%s", r.err.msg);
    room_close(&r);
    server_close(&s);
}

Test(steps_source, the_digest_is_checked)
{
    struct server s;
    struct room r;
    server_open(&s, "data");
    open_url(&r, &s, ", sha256: 0000000000000000000000000000000000000000000000000000000000000000");
    cr_assert_lt(room_ask(&r, "in"), 0);
    cr_assert(strstr(r.err.msg, "`sha256` says"), "%s", r.err.msg);
    room_close(&r);
    server_close(&s);
}
