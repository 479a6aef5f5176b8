/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "steps/executor.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop *loop;
static struct executor *x;
static char dir[64], log_path[96];
static int log_fd;
static struct {
    int ends;
    struct job_end end;
    char message[1000];
} got;
static struct job job;

static void set_up(void)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", "WF_TOKEN=T0KEN", "A=b c", NULL};
    loop = loop_new();
    cr_assert_eq(process_executor_open(loop, &x, NULL), 0);
    snprintf(dir, sizeof(dir), "/tmp/wf-unit.XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    memset(&got, 0, sizeof(got));
    job = (struct job){
        .token = "T0KEN",
        .step = "train",
        .attempt = 1,
        .env = env,
        .workdir = dir,
        .program = "/bin/sh",
        .log_fd = log_fd,
    };
}

static void tear_down(void)
{
    x->ops->drain(x, 1000);
    x->ops->close(x);
    loop_free(loop);
    close(log_fd);
    fs_remove_tree(dir, NULL);
}

TestSuite(steps_process, .init = set_up, .fini = tear_down, .timeout = 60);

static void on_end(const struct job_end *end, void *arg)
{
    (void)arg;
    got.ends++;
    got.end = *end;
    snprintf(got.message, sizeof(got.message), "%s", end->message ? end->message : "");
}

static struct job_handle *start(const char *script)
{
    static const char *argv[4] = {"sh", "-c"};
    struct job_handle *h = NULL;
    argv[2] = script;
    if (!job.argv) {
        job.argv = argv;
    }
    cr_assert_eq(x->ops->submit(x, &job, on_end, NULL, &h, NULL), 0);
    cr_assert_eq(got.ends, 0);
    return h;
}

static void run(const char *script)
{
    struct job_handle *h = start(script);
    loop_run(loop);
    cr_assert_eq(got.ends, 1);
    x->ops->release(x, h);
}

static void expect_log(const char *text)
{
    CLEANUP(sb_done) struct str log = {0};
    cr_assert_eq(fs_read_file(log_path, 1 << 20, &log, NULL), 0);
    cr_expect_str_eq(sb_text(&log), text);
}

Test(steps_process, exit_code_log_and_surroundings)
{
    run("echo out; echo err >&2; echo \"$A $WF_TOKEN\"; pwd; cat; exit 42");
    cr_expect_eq(got.end.outcome, JOB_EXITED);
    cr_expect_eq(got.end.exit_code, 42);
    cr_expect_gt(got.end.max_rss_kib, 0);
    cr_expect_leq(got.end.started_at_ms, got.end.ended_at_ms);
    CLEANUP(cleanup_free) char *want = xasprintf("out\nerr\nb c T0KEN\n%s\n", dir);
    expect_log(want);
}

Test(steps_process, signal)
{
    run("kill -SEGV $$");
    cr_expect_eq(got.end.outcome, JOB_SIGNALLED);
    cr_expect_eq(got.end.signal, SIGSEGV);
}

static void expect_not_started(const char *part)
{
    cr_expect_eq(got.end.outcome, JOB_NOT_STARTED);
    cr_expect_eq(got.end.exit_code, -1);
    cr_expect_not_null(strstr(got.message, part), "%s", got.message);
}

Test(steps_process, program_not_found)
{
    static const char *const argv[] = {"nosuch", NULL};
    job.argv = argv;
    job.program = NULL;
    run(NULL);
    expect_not_started("'nosuch'");
}

Test(steps_process, program_gone_since)
{
    job.program = "/nonexistent/x";
    run("true");
    expect_not_started("/nonexistent/x");
}

Test(steps_process, not_executable)
{
    CLEANUP(cleanup_free) char *path = fs_join(dir, "plain");
    fs_write_file(path, "#!/bin/sh\n", 10, 0644, false, NULL);
    job.program = path;
    run("true");
    expect_not_started("chmod +x");
}

Test(steps_process, no_program_format)
{
    CLEANUP(cleanup_free) char *path = fs_join(dir, "plain");
    fs_write_file(path, "\x01\x02\x03\x04 nothing\n", 13, 0755, false, NULL);
    job.program = path;
    run("true");
    expect_not_started(path);
}

Test(steps_process, missing_interpreter)
{
    CLEANUP(cleanup_free) char *path = fs_join(dir, "script");
    fs_write_file(path, "#!/nonexistent/sh\n", 18, 0755, false, NULL);
    job.program = path;
    run("true");
    expect_not_started("interpreter");
}

Test(steps_process, too_long_an_argument)
{
    size_t len = 4 << 20;
    CLEANUP(cleanup_free) char *text = xmalloc(len + 1);
    memset(text, 'a', len);
    text[len] = '\0';
    run(text);
    expect_not_started("too long");
}

Test(steps_process, network_none_needs_a_container)
{
    job.network = NETWORK_NONE;
    run("true");
    expect_not_started("container");
}

struct stopper {
    int fd;
    struct job_handle *h;
};

static void on_ready(int events, void *arg)
{
    struct stopper *s = arg;
    char buf[16];
    (void)events;
    if (read(s->fd, buf, sizeof(buf)) > 0) {
        x->ops->stop(x, s->h, 100);
    }
}

static void on_end_stop(const struct job_end *end, void *arg)
{
    on_end(end, arg);
    loop_stop(loop);
}

Test(steps_process, term_ignored_is_killed)
{
    CLEANUP(cleanup_free) char *path = fs_join(dir, "ready");
    cr_assert_eq(mkfifo(path, 0600), 0);
    struct stopper s = {.fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)};
    struct watch *w = watch_new(loop, s.fd, WATCH_READ, on_ready, &s);
    static const char *const argv[] = {
        "sh", "-c", "trap '' TERM; echo x > ready; while :; do sleep 1; done", NULL};
    job.argv = argv;
    cr_assert_eq(x->ops->submit(x, &job, on_end_stop, NULL, &s.h, NULL), 0);
    loop_run(loop);
    cr_expect_eq(got.end.outcome, JOB_SIGNALLED);
    cr_expect_eq(got.end.signal, SIGKILL);
    watch_free(w);
    close(s.fd);
    x->ops->release(x, s.h);
}

Test(steps_process, stragglers_are_ended_and_counted)
{
    run("sleep 1000 & sleep 1000 & exit 0");
    cr_expect_eq(got.end.outcome, JOB_EXITED);
    cr_expect_eq(got.end.exit_code, 0);
    cr_expect_geq(got.end.stragglers, 1);
}

Test(steps_process, release_before_the_end)
{
    struct job_handle *h = start("sleep 1000");
    x->ops->release(x, h);
    loop_run(loop);
    cr_expect_eq(got.ends, 0);
}

Test(steps_process, capabilities)
{
    struct capabilities can;
    x->ops->probe(x, &can);
    cr_expect(can.shares_files && can.live_log);
    cr_expect(!can.memory_limit && !can.network_none && !can.survives_us);
}
