/* SPDX-License-Identifier: Apache-2.0 */
/* What a remote does by itself, against a thread that gives one answer to all. What travels is shown by the stories with real servers. */
#include "cache/remote.h"
#include "fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

static int listener;
static pthread_t thread;
static char url[64];
static const char *reply; /* before the first connection, then fixed until the next */
static unsigned requests;

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        char request[4096];
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        if (read(fd, request, sizeof(request)) > 0) {
            __atomic_add_fetch(&requests, 1, __ATOMIC_SEQ_CST);
            (void)!write(fd, reply, strlen(reply));
        }
        close(fd);
    }
}

static void begin(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);

    setup();
    signal(SIGPIPE, SIG_IGN);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(listen(listener, 16), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(a.sin_port));
    pthread_create(&thread, NULL, serve, NULL);
}

static void end(void)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    teardown();
}

TestSuite(cache_remote, .init = begin, .fini = end, .timeout = 60);

static unsigned warnings;
static char warning[1000];

static void on_warning(const char *text, void *arg)
{
    (void)arg;
    warnings++;
    snprintf(warning, sizeof(warning), "%s", text);
}

static struct remote *open_remote(const char *at_url, int64_t pause_ms)
{
    struct remote_options o = {.url = at_url,
                               .store = f.s,
                               .loop = f.loop,
                               .pause_ms = pause_ms,
                               .on_warning = on_warning};
    struct remote *r = NULL;
    struct err err = {0};

    cr_assert_eq(remote_open(&o, &r, &err), 0, "%s", err.msg);
    return r;
}

static int answers;

static void on_answer(const struct remote_found *found, void *arg)
{
    (void)arg;
    cr_assert_null(found);
    answers++;
    loop_stop(f.loop);
}

/* Asks for an action of that name; false: not asked at all. */
static bool ask(struct remote *r, const char *name)
{
    struct made m = make_entry(name, NULL, 1);
    struct remote_question q = {.key = m.e.key,
                                .work_digest = m.e.work_digest,
                                .action = m.e.action,
                                .action_len = m.e.action_len,
                                .work = m.e.work,
                                .work_len = m.e.work_len,
                                .workflow = "w",
                                .step = name};
    int before = answers;

    if (!remote_ask(r, &q, on_answer, NULL)) {
        return false;
    }
    cr_assert_eq(answers, before, "never from within");
    loop_run(f.loop);
    cr_assert_eq(answers, before + 1);
    return true;
}

Test(cache_remote, urls)
{
    const char *const bad[] = {
        "",      "cache.example.org", "ftp://x/",        "http://x/?a=b",   "http:///x",
        "s3://", "http://u:p@/",      "http://u:p/x@h/", "http://u:p?x@h/", "s3://u:p@b/x"};
    struct remote *r = NULL;
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct remote_options o = {.url = bad[i], .store = f.s, .loop = f.loop};
        cr_expect_eq(remote_open(&o, &r, &err), -ERR_USAGE, "%s", bad[i]);
        cr_expect_null(strstr(err.msg, "u:p"), "%s", err.msg);
    }
    struct remote_options both = {
        .url = "http://u:p@x/", .token = "t", .store = f.s, .loop = f.loop};
    cr_expect_eq(remote_open(&both, &r, &err), -ERR_USAGE);
    r = open_remote("https://user:pass@host:1/a/", 0);
    cr_expect_str_eq(remote_name(r), "https://host:1/a/");
    remote_close(r);
}

Test(cache_remote, only_the_action_of_the_key_is_asked_for)
{
    struct made m = make_entry("a", NULL, 1), other = make_entry("b", NULL, 1);
    struct remote *r = open_remote(url, 0);
    struct remote_question q = {.key = other.e.key,
                                .work_digest = m.e.work_digest,
                                .action = m.e.action,
                                .action_len = m.e.action_len,
                                .work = m.e.work,
                                .work_len = m.e.work_len,
                                .workflow = "w",
                                .step = "s"};

    cr_expect_null(remote_ask(r, &q, on_answer, NULL), "another key");
    q.key = m.e.key;
    q.work_digest = m.e.key;
    cr_expect_null(remote_ask(r, &q, on_answer, NULL), "another work");
    remote_close(r);
}

Test(cache_remote, a_miss_is_silent)
{
    struct remote *r = open_remote(url, 0);

    reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    cr_expect(ask(r, "a"));
    cr_expect(ask(r, "b"));
    cr_expect_eq(requests, 2);
    cr_expect_eq(warnings, 0);
    remote_close(r);
}

Test(cache_remote, after_an_outage_it_is_left_alone_for_a_while)
{
    struct remote *r = open_remote(url, 200);

    reply = "HTTP/1.1 503 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    cr_expect(ask(r, "a"));
    cr_expect_eq(warnings, 1);
    cr_expect(strstr(warning, "503"), "%s", warning);
    cr_expect_not(ask(r, "b"));
    int64_t until = mono_us() + 5000000;
    while (!ask(r, "b") && mono_us() < until) {
        usleep(20000);
    }
    cr_expect_eq(requests, 2);
    cr_expect_eq(warnings, 1, "told once");
    remote_close(r);
}

Test(cache_remote, who_lies_three_times_is_asked_no_more)
{
    struct remote *r = open_remote(url, 1);

    reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    cr_expect(ask(r, "a"));
    cr_expect(ask(r, "b"));
    cr_expect(ask(r, "c"));
    cr_expect_not(ask(r, "d"));
    cr_expect_eq(requests, 3);
    cr_expect_eq(warnings, 1);
    remote_close(r);
}

Test(cache_remote, probe)
{
    CLEANUP(sb_done) struct str text = {0};
    struct remote *r = open_remote(url, 0);
    struct err err = {0};

    reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    cr_expect_eq(remote_probe(r, &text, &err), 0, "%s", err.msg);
    cr_expect(text_starts(sb_text(&text), url));
    reply = "HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    cr_expect_lt(remote_probe(r, &text, &err), 0);
    cr_expect(strstr(err.msg, "401"), "%s", err.msg);
    remote_close(r);
}

/* Closed with a question under way, and with one that is being told. */
Test(cache_remote, close_is_silent)
{
    struct made m = make_entry("a", NULL, 1);
    struct remote *r = open_remote(url, 0);
    struct remote_question q = {.key = m.e.key,
                                .work_digest = m.e.work_digest,
                                .action = m.e.action,
                                .action_len = m.e.action_len,
                                .work = m.e.work,
                                .work_len = m.e.work_len,
                                .workflow = "w",
                                .step = "s"};

    reply = "";
    cr_expect_not_null(remote_ask(r, &q, on_answer, NULL));
    remote_close(r);
    r = open_remote(url, 0);
    cr_expect_not_null(remote_ask(r, &q, on_answer, NULL));
    remote_give_up_asking(r);
    remote_close(r);
    cr_expect_eq(answers, 0);
}
