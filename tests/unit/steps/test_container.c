/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs in real containers, whichever engine the machine has. */
#include "base/child.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cache/store.h"
#include "container_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(steps_container, .init = fixture_open, .fini = fixture_close, .timeout = 120);

static void expect_exit(int code)
{
    cr_expect_eq(fx.got.ends, 1);
    cr_expect_eq(fx.got.outcome, JOB_EXITED, "%d %s", fx.got.outcome, fx.got.message);
    cr_expect_eq(fx.got.exit_code, code, "%d %s", fx.got.exit_code, fx.got.message);
}

static void expect_log(const char *text)
{
    CLEANUP(sb_done) struct str log = {0};
    read_log(&log);
    cr_expect_str_eq(sb_text(&log), text);
}

static void next_job(void)
{
    static char tokens[8][48];
    static int n;
    snprintf(tokens[n], sizeof(tokens[n]), "%s-%d", fx.token, n);
    fx.job.token = tokens[n++];
}

Test(steps_container, exit_codes)
{
    run_shell("exit 0");
    expect_exit(0);
    next_job();
    run_shell("exit 42");
    expect_exit(42);
    next_job();
    run_shell("kill -SEGV $$");
    expect_exit(139);
}

Test(steps_container, environment_and_folder)
{
    static const char *const env[] = {"PATH=/bin", "A=b c", "N=\"'\\\n", NULL};
    fx.job.env = env;
    fx.job.workdir = "/bin";
    run_shell("busybox printf '%s|%s|%s\\n' \"$A\" \"$N\" \"$(busybox pwd)\"");
    expect_exit(0);
    expect_log("b c|\"'\\\n|/bin\n");
}

Test(steps_container, entrypoint_is_used_only_without_a_command)
{
    run_job(NULL);
    expect_exit(0);
    expect_log("entry cmd\n");
    next_job();
    static const char *const argv[] = {"/bin/busybox", "echo", "mine", NULL};
    run_job(argv);
    expect_log("entry cmd\nmine\n");
}

Test(steps_container, binary_log_is_exact)
{
    enum { SIZE = 10 << 20 };
    CLEANUP(cleanup_free) char *data = xmalloc(SIZE);
    CLEANUP(cleanup_free) char *path = fs_join(fx.dir, "data");
    uint32_t x = 12345;
    for (size_t i = 0; i < SIZE; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (char)(x >> 24);
    }
    cr_assert_eq(fs_write_file(path, data, SIZE, 0644, false, NULL), 0);
    struct mount mount = {.host = path, .inner = "/in/data"};
    fx.job.mounts = &mount;
    fx.job.n_mounts = 1;
    run_shell("exec busybox cat /in/data");
    expect_exit(0);
    CLEANUP(sb_done) struct str log = {0};
    read_log(&log);
    cr_assert_eq(log.len, SIZE);
    cr_expect_eq(memcmp(log.data, data, SIZE), 0);
}

struct pipe_reader {
    int fd;
    struct str text;
    struct watch *watch;
};

static void on_readable(int events, void *arg)
{
    struct pipe_reader *p = arg;
    char buf[4096];
    (void)events;
    ssize_t n = read(p->fd, buf, sizeof(buf));
    if (n > 0) {
        sb_add(&p->text, buf, (size_t)n);
    }
}

Test(steps_container, log_into_a_pipe_read_by_the_same_loop)
{
    int fds[2];
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    struct pipe_reader p = {.fd = fds[0]};
    p.watch = watch_new(fx.loop, fds[0], WATCH_READ, on_readable, &p);
    fx.job.log_fd = fds[1];
    run_shell("busybox yes 0123456789 | busybox head -c 1100000");
    expect_exit(0);
    close(fds[1]);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    for (size_t before = SIZE_MAX; before != p.text.len;) {
        before = p.text.len;
        on_readable(WATCH_READ, &p);
    }
    cr_expect_eq(p.text.len, 1100000);
    watch_free(p.watch);
    close(fds[0]);
    sb_done(&p.text);
}

Test(steps_container, mounts_are_read_only_unless_said)
{
    CLEANUP(cleanup_free) char *in = fs_join(fx.dir, "in: put");
    CLEANUP(cleanup_free) char *out = fs_join(fx.dir, "out");
    mkdir(in, 0755);
    mkdir(out, 0777);
    struct mount mounts[] = {
        {.host = in, .inner = "/wf/in/a"},
        {.host = out, .inner = "/wf/out", .writable = true},
    };
    fx.job.mounts = mounts;
    fx.job.n_mounts = 2;
    run_shell("echo x > /wf/out/y; echo x > /wf/in/a/y");
    expect_exit(1);
    CLEANUP(cleanup_free) char *kept = fs_join(out, "y");
    CLEANUP(cleanup_free) char *refused = fs_join(in, "y");
    cr_expect_eq(access(kept, F_OK), 0);
    cr_expect_neq(access(refused, F_OK), 0);
}

Test(steps_container, missing_mount_source_is_named_and_not_made)
{
    CLEANUP(cleanup_free) char *gone = fs_join(fx.dir, "gone");
    struct mount mount = {.host = gone, .inner = "/in"};
    fx.job.mounts = &mount;
    fx.job.n_mounts = 1;
    run_shell("true");
    cr_expect_eq(fx.got.outcome, JOB_NOT_STARTED);
    cr_expect_not_null(strstr(fx.got.message, gone));
    cr_expect_neq(access(gone, F_OK), 0);
}

Test(steps_container, network_none_has_only_loopback)
{
    run_shell("busybox ls /sys/class/net");
    expect_exit(0);
    expect_log("lo\n");
}

Test(steps_container, no_new_privileges)
{
    run_shell("busybox grep NoNewPrivs /proc/self/status");
    expect_log("NoNewPrivs:\t1\n");
}

Test(steps_container, missing_program_is_a_sentence)
{
    static const char *const argv[] = {"/bin/nosuch", "x", NULL};
    run_job(argv);
    cr_expect_eq(fx.got.outcome, JOB_NOT_STARTED, "%d", fx.got.outcome);
    cr_expect_not_null(strstr(fx.got.message, "/bin/nosuch"), "%s", fx.got.message);
    cr_expect_not_null(strstr(fx.got.message, TEST_IMAGE), "%s", fx.got.message);
    next_job();
    static const char *const plain[] = {"/bin/plain", NULL};
    run_job(plain);
    cr_expect_eq(fx.got.outcome, JOB_NOT_STARTED, "%d", fx.got.outcome);
    cr_expect_not_null(strstr(fx.got.message, "chmod +x"), "%s", fx.got.message);
}

Test(steps_container, missing_program_without_init)
{
    fx.c->no_init = true;
    static const char *const argv[] = {"/bin/nosuch", "x", NULL};
    run_job(argv);
    cr_expect_eq(fx.got.outcome, JOB_NOT_STARTED, "%d", fx.got.outcome);
    cr_expect_not_null(strstr(fx.got.message, "was not found in image"), "%s", fx.got.message);
}

Test(steps_container, a_step_that_itself_exits_127_failed)
{
    run_shell("nosuch");
    expect_exit(127);
}

Test(steps_container, missing_image)
{
    struct image_answer a;
    ask_image("localhost/wf-nosuch:1", PULL_MISSING, &a);
    cr_assert(a.failed);
    cr_expect_not_null(strstr(a.message, "not on this machine"), "%s", a.message);
    cr_expect_not_null(strstr(a.message, "build -t localhost/wf-nosuch:1 ."), "%s", a.message);
    ask_image("wf-nosuch:1", PULL_NEVER, &a);
    cr_assert(a.failed);
    cr_expect_not_null(strstr(a.message, "pull: never"), "%s", a.message);
    ask_image("127.0.0.1:1/wf-nosuch", PULL_MISSING, &a);
    cr_assert(a.failed);
    cr_expect_not_null(strstr(a.message, "could not be pulled"), "%s", a.message);
}

Test(steps_container, identity_is_of_the_content)
{
    struct image_answer a, b;
    ask_image(TEST_IMAGE, PULL_MISSING, &a);
    cr_assert_eq(
        call_engine("POST", "/images/" TEST_IMAGE "/tag?repo=localhost/wf-unit-b&tag=2", NULL),
        201);
    ask_image("localhost/wf-unit-b:2", PULL_MISSING, &b);
    cr_assert(!a.failed && !b.failed, "%s%s", a.message, b.message);
    cr_expect(digest_eq(&a.digest, &b.digest));
    cr_expect(!digest_is_zero(&a.digest));
    cr_expect(a.has_entrypoint);
    cr_expect_str_eq(a.id, b.id);
    cr_expect(text_starts(a.id, "sha256:"));
    call_engine("DELETE", "/images/localhost/wf-unit-b:2", NULL);
}

Test(steps_container, out_of_memory)
{
    struct capabilities can;
    fx.x->ops->probe(fx.x, &can);
    if (!can.memory_limit) {
        cr_skip_test("this engine cannot limit memory");
    }
    fx.job.resources.memory = 32 << 20;
    run_shell("a=x; while :; do a=$a$a; done");
    cr_expect_eq(fx.got.outcome, JOB_OOM, "%d %s", fx.got.outcome, fx.got.message);
    cr_expect_not_null(strstr(fx.got.message, "memory"), "%s", fx.got.message);
}

Test(steps_container, term_is_obeyed)
{
    struct job_handle *h = start_shell("trap 'echo bye; exit 5' TERM; echo ready; "
                                       "while :; do busybox sleep 0.05; done");
    wait_log("ready");
    fx.x->ops->stop(fx.x, h, 30000);
    wait_end(&fx.got);
    expect_exit(5);
    fx.x->ops->release(fx.x, h);
    expect_log("ready\nbye\n");
}

Test(steps_container, term_ignored_is_killed_after_the_grace)
{
    fx.job.resources.memory = 64 << 20; /* our own kill is not taken for a lack of memory */
    struct job_handle *h =
        start_shell("trap '' TERM; echo ready; while :; do busybox sleep 1; done");
    wait_log("ready");
    fx.x->ops->stop(fx.x, h, 200);
    wait_end(&fx.got);
    expect_exit(137);
    fx.x->ops->release(fx.x, h);
}

Test(steps_container, stopped_before_its_start)
{
    struct job_handle *h = start_shell("echo ran");
    fx.x->ops->stop(fx.x, h, 1000);
    wait_end(&fx.got);
    cr_expect_eq(fx.got.ends, 1);
    cr_expect_eq(fx.got.outcome, JOB_NOT_STARTED);
    fx.x->ops->release(fx.x, h);
    expect_log("");
}

Test(steps_container, release_before_the_end_kills)
{
    struct job_handle *h =
        start_shell("trap '' TERM; echo ready; while :; do busybox sleep 1; done");
    wait_log("ready");
    fx.x->ops->release(fx.x, h);
    fx.x->ops->drain(fx.x, 60000);
    cr_expect_eq(fx.got.ends, 0);
    cr_expect_eq(containers_left(), 0);
}

Test(steps_container, find_takes_up_what_runs)
{
    struct outcome second = {0};
    struct job_handle *b = NULL;
    cr_expect_eq(fx.x->ops->find(fx.x, &fx.job, on_job_end, &second, &b, NULL), 1);
    struct job_handle *a = start_shell("echo one; while [ ! -e /w/go ]; do busybox sleep 0.05; "
                                       "done; echo two; exit 9");
    fx.x->ops->stop(fx.x, a, 0);
    wait_end(&fx.got);
    fx.x->ops->release(fx.x, a);

    next_job();
    struct mount mount = {.host = fx.dir, .inner = "/w"};
    fx.job.mounts = &mount;
    fx.job.n_mounts = 1;
    a = start_shell(
        "echo one; while [ ! -e /w/go ]; do busybox sleep 0.05; done; echo two; exit 9");
    wait_log("one");
    struct job job = fx.job;
    job.log_fd = -1;
    cr_assert_eq(fx.x->ops->find(fx.x, &job, on_job_end, &second, &b, NULL), 0);
    CLEANUP(cleanup_free) char *go = fs_join(fx.dir, "go");
    fs_write_file(go, "", 0, 0644, false, NULL);
    wait_end(&fx.got);
    wait_end(&second);
    expect_exit(9);
    /* The first to see the end removed it; the other must not call that a failure. */
    cr_expect((second.outcome == JOB_EXITED && second.exit_code == 9) ||
              second.outcome == JOB_LOST);
    fx.x->ops->release(fx.x, a);
    fx.x->ops->release(fx.x, b);
}

Test(steps_container, engine_killed_while_a_step_runs)
{
    if (!fx.c->service) {
        cr_skip_test("the engine here is not ours to kill");
    }
    struct mount mount = {.host = fx.dir, .inner = "/w"};
    fx.job.mounts = &mount;
    fx.job.n_mounts = 1;
    struct job_handle *h = start_shell("echo one; echo err >&2; while [ ! -e /w/go ]; do "
                                       "busybox sleep 0.05; done; echo two; exit 7");
    wait_log("one");
    wait_log("err");
    wait_running(h);
    kill(child_pid(fx.c->service), SIGKILL);
    uint64_t epoch = fx.c->epoch;
    CLEANUP(cleanup_free) char *go = fs_join(fx.dir, "go");
    fs_write_file(go, "", 0, 0644, false, NULL);
    wait_end(&fx.got);
    expect_exit(7);
    cr_expect_gt(fx.c->epoch, epoch);
    fx.x->ops->release(fx.x, h);
    CLEANUP(sb_done) struct str log = {0};
    read_log(&log);
    cr_expect_eq(log.len, strlen("one\nerr\ntwo\n"), "%s", sb_text(&log));
    cr_expect_not_null(strstr(sb_text(&log), "two\n"));
}

struct killer {
    struct job_handle *h;
    enum job_phase phase;
    struct timer *tick;
};

static void on_killer_tick(void *arg)
{
    struct killer *k = arg;
    if (k->h->phase >= k->phase && fx.c->service) {
        kill(child_pid(fx.c->service), SIGKILL);
        timer_stop(k->tick);
    }
}

/* Whenever the engine's service dies: the step runs once and ends as it does, or is lost; it never fails. */
static void kill_engine_in(enum job_phase phase)
{
    if (!fx.c->service) {
        cr_skip_test("the engine here is not ours to kill");
    }
    struct killer k = {.h = start_shell("echo once; exit 3"), .phase = phase};
    k.tick = timer_new(fx.loop, on_killer_tick, &k);
    timer_start(k.tick, 1, 1);
    wait_end(&fx.got);
    timer_free(k.tick);
    cr_expect_eq(fx.got.ends, 1);
    if (fx.got.outcome != JOB_LOST) {
        expect_exit(3);
        expect_log("once\n");
    }
    fx.x->ops->release(fx.x, k.h);
}

Test(steps_container, engine_killed_in_create)
{
    kill_engine_in(PHASE_CREATE);
}

Test(steps_container, engine_killed_in_attach)
{
    kill_engine_in(PHASE_ATTACH);
}

Test(steps_container, engine_killed_in_start)
{
    kill_engine_in(PHASE_START);
}

Test(steps_container, engine_killed_in_wait)
{
    kill_engine_in(PHASE_WAIT);
}

Test(steps_container, a_create_whose_answer_was_lost)
{
    CLEANUP(sb_done) struct str path = {0}, body = {0};
    static const char *const argv[] = {"/bin/busybox", "echo", "once", NULL};
    fx.job.argv = argv;
    sb_printf(&path, "/containers/create?name=wf-%s", fx.job.token);
    spec_write(fx.c, &fx.job, &body);
    cr_assert_eq(call_engine("POST", sb_text(&path), sb_text(&body)), 201);
    run_job(argv);
    expect_exit(0);
    expect_log("once\n");
}

Test(steps_container, image_gone_since_it_was_resolved)
{
    fx.job.image = "localhost/wf-nosuch:1";
    run_shell("true");
    cr_expect_eq(fx.got.outcome, JOB_NOT_STARTED);
    cr_expect_not_null(strstr(fx.got.message, "wf-nosuch:1"), "%s", fx.got.message);
    cr_expect_not_null(strstr(fx.got.message, "build or pull it"), "%s", fx.got.message);
}

Test(steps_container, a_step_that_closes_its_output_and_goes_on)
{
    run_shell("echo early; exec >/dev/null 2>&1; busybox sleep 2.5; exit 6");
    expect_exit(6);
    expect_log("early\n");
}

Test(steps_container, output_of_another_user)
{
    static const char *const argv[] = {"/bin/sh", "-c", "echo x > /wf/out/y", NULL};
    CLEANUP(cleanup_free) char *out = fs_join(fx.dir, "out");
    mkdir(out, 0777);
    chmod(out, 0777);
    struct mount mount = {.host = out, .inner = "/wf/out", .writable = true};
    fx.job.mounts = &mount;
    fx.job.n_mounts = 1;
    run_job(argv);
    expect_exit(0);
    CLEANUP(cleanup_free) char *kept = fs_join(out, "y");
    struct stat st;
    cr_assert_eq(stat(kept, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0644);
}

static int make_container(const char *name, const char *store, const char *run)
{
    CLEANUP(sb_done) struct str path = {0}, body = {0};
    sb_printf(&path, "/containers/create?name=%s", name);
    sb_printf(&body,
              "{\"Image\":\"%s\",\"Entrypoint\":[\"/bin/busybox\",\"sleep\",\"600\"],"
              "\"Labels\":{\"wf.store\":\"%s\",\"wf.run\":\"%s\"},"
              "\"HostConfig\":{\"NetworkMode\":\"none\"}}",
              fx.image_id, store, run);
    int status = call_engine("POST", sb_text(&path), sb_text(&body));
    sb_clear(&path);
    sb_printf(&path, "/containers/%s/start", name);
    return status == 201 ? call_engine("POST", sb_text(&path), NULL) : status;
}

static bool is_there(const char *name)
{
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s/json", name);
    return call_engine("GET", sb_text(&path), NULL) == 200;
}

Test(steps_container, what_a_killed_run_left_is_removed)
{
    enum { DEAD, LIVE, FOREIGN, N };
    static const char *const runs[N] = {"01ARZ3NDEKTSV4RRFFQ69G5FA0", "01ARZ3NDEKTSV4RRFFQ69G5FA1",
                                        "01ARZ3NDEKTSV4RRFFQ69G5FA0"};
    CLEANUP(cleanup_free) char *dir = fs_join(fx.dir, "store");
    struct store_options o = {.dir = dir};
    struct store *s = NULL;
    struct err err = {0};
    cr_assert_eq(store_open(&o, &s, &err), 0, "%s", err.msg);
    int live = -1;
    cr_assert_eq(store_live(s, runs[LIVE], &live, &err), 0, "%s", err.msg);
    char names[N][64];
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof(names[i]), "wf-unit-%s-%d", fx.token, i);
        const char *store = i == FOREIGN ? fx.token : store_id(s);
        cr_assert_eq(make_container(names[i], store, runs[i]), 204);
    }
    fx.x->ops->reap(fx.x, s);
    fx.x->ops->drain(fx.x, 60000);
    cr_expect(!is_there(names[DEAD]));
    cr_expect(is_there(names[LIVE]));
    cr_expect(is_there(names[FOREIGN]));
    store_unlive(s, runs[LIVE], live);
    fx.x->ops->reap(fx.x, s);
    fx.x->ops->drain(fx.x, 60000);
    cr_expect(!is_there(names[LIVE]));
    reap_remove(fx.c, names[FOREIGN]);
    fx.x->ops->drain(fx.x, 60000);
    cr_expect(!is_there(names[FOREIGN]));
    store_close(s);
}

Test(steps_container, many_at_once)
{
    enum { N = 8 };
    struct job jobs[N];
    char tokens[N][48];
    struct outcome got[N] = {0};
    struct job_handle *h[N];
    static const char *const argv[] = {"/bin/sh", "-c", "exit 3", NULL};
    for (int i = 0; i < N; i++) {
        snprintf(tokens[i], sizeof(tokens[i]), "%s-m%d", fx.token, i);
        jobs[i] = fx.job;
        jobs[i].token = tokens[i];
        jobs[i].argv = argv;
        cr_assert_eq(fx.x->ops->submit(fx.x, &jobs[i], on_job_end, &got[i], &h[i], NULL), 0);
    }
    for (int i = 0; i < N; i++) {
        wait_end(&got[i]);
        cr_expect_eq(got[i].outcome, JOB_EXITED, "%s", got[i].message);
        cr_expect_eq(got[i].exit_code, 3);
        fx.x->ops->release(fx.x, h[i]);
    }
}
