/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "steps/mock.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX = 16 };

static struct loop *loop;
static struct executor *x;
static struct str order; /* "step@time " of each end */

struct seen {
    const char *step;
    int ends;
    struct job_end end;
    struct job_handle *h;
};
static struct seen seen[MAX];

static void set_up(void)
{
    loop = loop_new();
    memset(seen, 0, sizeof(seen));
    sb_init(&order);
}

static void tear_down(void)
{
    if (x) {
        x->ops->close(x);
    }
    loop_free(loop);
    sb_done(&order);
}

TestSuite(steps_mock, .init = set_up, .fini = tear_down, .timeout = 30);

static void open_mock(const struct mock_script *scripts, size_t n)
{
    cr_assert_eq(mock_executor_open(loop, scripts, n, &x, NULL), 0);
}

static void on_end(const struct job_end *end, void *arg)
{
    struct seen *s = arg;
    s->ends++;
    s->end = *end;
    sb_printf(&order, "%s@%lld ", s->step, (long long)mock_now(x));
}

static struct job job_of(const char *step, uint32_t attempt, char token[64])
{
    snprintf(token, 64, "%s-%u", step, attempt);
    return (struct job){.token = token, .step = step, .attempt = attempt, .log_fd = -1};
}

static int submit(int i, const char *step, uint32_t attempt, struct err *err)
{
    char token[64];
    struct job job = job_of(step, attempt, token);
    seen[i].step = step;
    return x->ops->submit(x, &job, on_end, &seen[i], &seen[i].h, err);
}

Test(steps_mock, time_jumps_and_orders_ends)
{
    static const struct mock_script scripts[] = {
        {.step = "long", .takes_ms = 3600000},
        {.step = "short", .takes_ms = 10},
        {.step = "alike", .takes_ms = 10, .end = {.exit_code = 3}},
    };
    open_mock(scripts, ARRAY_LEN(scripts));
    int64_t before = mono_us();
    submit(0, "long", 1, NULL);
    submit(1, "short", 1, NULL);
    submit(2, "alike", 1, NULL);
    submit(3, "unscripted", 1, NULL);
    cr_expect_eq(order.len, 0);
    loop_run(loop);
    cr_expect_str_eq(sb_text(&order), "unscripted@1 short@10 alike@10 long@3600000 ");
    cr_expect_lt(mono_us() - before, 5000000);
    cr_expect_eq(seen[2].end.exit_code, 3);
    cr_expect_eq(seen[0].end.ended_at_ms, 3600000);
    cr_expect_eq(mock_peak(x), 4);
    cr_expect_eq(mock_started(x, "long"), 1);
    cr_expect_eq(mock_started(x, "other"), 0);
}

static void work(void *arg)
{
    int64_t until = mono_us() + 30000;
    while (mono_us() < until) {
    }
    *(bool *)arg = true;
}

static void submit_next(void *arg)
{
    (void)arg;
    submit(1, "second", 1, NULL);
}

Test(steps_mock, the_clock_waits_for_pool_work)
{
    static const struct mock_script scripts[] = {{.step = "first", .takes_ms = 100},
                                                 {.step = "second", .takes_ms = 10}};
    bool worked = false;
    open_mock(scripts, ARRAY_LEN(scripts));
    submit(0, "first", 1, NULL);
    loop_work(loop, work, submit_next, &worked);
    loop_run(loop);
    cr_expect_str_eq(sb_text(&order), "second@10 first@100 ");
}

Test(steps_mock, the_most_exact_script_counts)
{
    static const struct mock_script scripts[] = {
        {.step = "*", .end = {.exit_code = 1}},
        {.step = "*", .attempt = 2, .end = {.exit_code = 2}},
        {.step = "a", .end = {.exit_code = 3}},
        {.step = "a", .attempt = 2, .end = {.exit_code = 4}},
    };
    open_mock(scripts, ARRAY_LEN(scripts));
    submit(0, "b", 1, NULL);
    submit(1, "b", 2, NULL);
    submit(2, "a", 1, NULL);
    submit(3, "a", 2, NULL);
    loop_run(loop);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(seen[i].end.exit_code, i + 1);
    }
}

Test(steps_mock, stop_and_ignored_term)
{
    static const struct mock_script scripts[] = {
        {.step = "good", .takes_ms = -1},
        {.step = "bad", .takes_ms = -1, .ignores_term = true},
    };
    open_mock(scripts, ARRAY_LEN(scripts));
    submit(0, "good", 1, NULL);
    submit(1, "bad", 1, NULL);
    x->ops->stop(x, seen[0].h, 500);
    x->ops->stop(x, seen[1].h, 500);
    x->ops->stop(x, seen[1].h, 900); /* shortens only */
    loop_run(loop);
    cr_expect_str_eq(sb_text(&order), "good@0 bad@500 ");
    cr_expect_eq(seen[0].end.signal, SIGTERM);
    cr_expect_eq(seen[1].end.signal, SIGKILL);
    cr_expect_eq(seen[1].ends, 1);
}

Test(steps_mock, failed_and_unknown_submits)
{
    static const struct mock_script scripts[] = {
        {.step = "refused", .submit_fails = true},
        {.step = "lost", .takes_ms = 50, .submit_unknown = true},
    };
    struct err err = {0};
    char token[64];
    open_mock(scripts, ARRAY_LEN(scripts));
    cr_expect_lt(submit(0, "refused", 1, &err), 0);
    struct job refused = job_of("refused", 1, token);
    cr_expect_eq(x->ops->find(x, &refused, on_end, &seen[0], &seen[0].h, NULL), 1);
    cr_expect_eq(submit(1, "lost", 1, &err), -ERR_TIMEOUT);
    cr_expect_eq(submit(2, "lost", 1, &err), -ERR_EXISTS);
    loop_run(loop); /* it ends while nobody listens */
    struct job lost = job_of("lost", 1, token);
    cr_assert_eq(x->ops->find(x, &lost, on_end, &seen[1], &seen[1].h, NULL), 0);
    cr_expect_eq(seen[1].ends, 0);
    loop_run(loop);
    cr_expect_eq(seen[1].ends, 1);
    cr_expect_eq(seen[1].end.ended_at_ms, 50);
    cr_expect_eq(mock_started(x, "lost"), 1);
}

Test(steps_mock, duplicate_end_and_release)
{
    static const struct mock_script scripts[] = {{.step = "twice", .ends_twice = true}};
    open_mock(scripts, ARRAY_LEN(scripts));
    submit(0, "twice", 1, NULL);
    submit(1, "gone", 1, NULL);
    x->ops->release(x, seen[1].h);
    loop_run(loop);
    cr_expect_eq(seen[0].ends, 2);
    cr_expect_eq(seen[1].ends, 0);
}

Test(steps_mock, writes_declared_outputs)
{
    static const struct mock_script scripts[] = {{.step = "*", .writes_outputs = true}};
    static const char *const outputs[] = {"model.bin", "sub/metrics.json", NULL};
    char dir[] = "/tmp/wf-unit.XXXXXX", token[64];
    cr_assert_not_null(mkdtemp(dir));
    open_mock(scripts, ARRAY_LEN(scripts));
    CLEANUP(cleanup_free) char *out = xasprintf("WF_OUT=%s", dir);
    const char *const env[] = {"PATH=/bin", out, NULL};
    struct job job = job_of("train", 2, token);
    job.env = env;
    job.outputs = outputs;
    cr_assert_eq(x->ops->submit(x, &job, on_end, &seen[0], &seen[0].h, NULL), 0);
    /* Of a container: $WF_OUT is a mount. */
    const char *const inner_env[] = {"WF_OUT=/wf/out", NULL};
    CLEANUP(cleanup_free) char *host = fs_join(dir, "c");
    struct mount mount = {.host = host, .inner = "/wf/out", .writable = true};
    struct job inner = job_of("inner", 1, token);
    inner.env = inner_env;
    inner.outputs = outputs;
    inner.mounts = &mount;
    inner.n_mounts = 1;
    cr_assert_eq(x->ops->submit(x, &inner, on_end, &seen[1], &seen[1].h, NULL), 0);
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_free) char *path = fs_join(dir, "sub/metrics.json");
    cr_assert_eq(fs_read_file(path, 100, &text, NULL), 0);
    cr_expect_str_eq(sb_text(&text), "train 2\n");
    CLEANUP(cleanup_free) char *in_mount = fs_join(dir, "c/model.bin");
    sb_clear(&text);
    cr_assert_eq(fs_read_file(in_mount, 100, &text, NULL), 0);
    cr_expect_str_eq(sb_text(&text), "inner 1\n");
    loop_run(loop);
    fs_remove_tree(dir, NULL);
}

Test(steps_mock, ten_thousand_jobs_are_quick)
{
    enum { N = 10000 };
    static struct seen many[N];
    static const struct mock_script scripts[] = {{.step = "*", .takes_ms = 5}};
    char token[64];
    open_mock(scripts, ARRAY_LEN(scripts));
    for (uint32_t i = 0; i < N; i++) {
        struct job job = job_of("s", i + 1, token);
        many[i].step = "s";
        cr_assert_eq(x->ops->submit(x, &job, on_end, &many[i], &many[i].h, NULL), 0);
    }
    loop_run(loop);
    for (uint32_t i = 0; i < N; i++) {
        cr_assert_eq(many[i].ends, 1);
    }
    cr_expect_eq(mock_now(x), 5);
    cr_expect_eq(mock_peak(x), N);
}
