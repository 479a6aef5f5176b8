/* SPDX-License-Identifier: Apache-2.0 */
/* Frames into a log, and jobs into documents: no engine needed. */
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "steps/container_impl.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/wf-unit.XXXXXX";
static int fd;
static struct loop *loop;
static struct job_log g;

static void on_flushed(void *arg)
{
    (void)arg;
}

static void set_up(void)
{
    loop = loop_new();
    fd = mkstemp(path);
    joblog_init(&g, loop, fd, on_flushed, NULL);
}

static void tear_down(void)
{
    joblog_done(&g);
    close(fd);
    unlink(path);
    loop_free(loop);
}

TestSuite(steps_container_log, .init = set_up, .fini = tear_down, .timeout = 30);

static void frame(struct str *s, int stream, const char *text)
{
    size_t len = strlen(text);
    char head[8] = {(char)stream,     0,        0, 0, (char)(len >> 24), (char)(len >> 16),
                    (char)(len >> 8), (char)len};
    sb_add(s, head, sizeof(head));
    sb_add(s, text, len);
}

static void expect(const char *text)
{
    CLEANUP(sb_done) struct str got = {0};
    cr_assert_eq(fs_read_file(path, 1 << 20, &got, NULL), 0);
    cr_expect_str_eq(sb_text(&got), text);
}

Test(steps_container_log, frames_may_be_cut_anywhere)
{
    CLEANUP(sb_done) struct str s = {0};
    frame(&s, 1, "one\n");
    frame(&s, 2, "");
    frame(&s, 2, "two");
    frame(&s, 1, "three\n");
    for (size_t i = 0; i < s.len; i++) {
        joblog_data(&g, s.data + i, 1);
    }
    joblog_begin(&g);
    expect("one\ntwothree\n");
}

Test(steps_container_log, what_was_written_is_passed_over)
{
    CLEANUP(sb_done) struct str s = {0};
    frame(&s, 1, "one\nhal");
    frame(&s, 2, "err");
    joblog_data(&g, s.data, s.len);
    sb_clear(&s);
    /* Read again from the beginning, in other pieces and another order. */
    joblog_begin(&g);
    frame(&s, 2, "error\n");
    frame(&s, 1, "one\n");
    frame(&s, 1, "half\n");
    frame(&s, 1, "end\n");
    joblog_data(&g, s.data, s.len);
    expect("one\nhalerror\nf\nend\n");
}

Test(steps_container_log, the_first_words_are_kept)
{
    CLEANUP(sb_done) struct str s = {0};
    frame(&s, 2, "ERROR (catatonit:6): failed\n");
    joblog_data(&g, s.data, s.len);
    cr_expect_eq(g.first_len, 28);
    cr_expect_eq(memcmp(g.first, "ERROR (catatonit:6): failed\n", 28), 0);
}

Test(steps_container_log, a_log_that_cannot_be_written_is_remembered)
{
    struct job_log full;
    CLEANUP(sb_done) struct str s = {0};
    int out = open("/dev/full", O_WRONLY | O_CLOEXEC);
    joblog_init(&full, loop, out, on_flushed, NULL);
    full.is_pipe = false; /* as a file on a full disk */
    frame(&s, 1, "one\n");
    joblog_data(&full, s.data, s.len);
    joblog_data(&full, s.data, s.len);
    cr_expect_eq(full.failed, ENOSPC);
    cr_expect(joblog_flushed(&full));
    joblog_done(&full);
    close(out);
}

Test(steps_container_log, a_reader_that_went_away_is_no_signal)
{
    int fds[2];
    struct job_log piped;
    CLEANUP(sb_done) struct str s = {0};
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    joblog_init(&piped, loop, fds[1], on_flushed, NULL);
    close(fds[0]);
    frame(&s, 1, "one\n");
    joblog_data(&piped, s.data, s.len);
    cr_expect_eq(piped.failed, EPIPE);
    joblog_done(&piped);
    close(fds[1]);
}

Test(steps_container_log, the_create_document)
{
    static const char *const argv[] = {"sh", "a \"b\"", NULL};
    static const char *const env[] = {"A=1", NULL};
    struct mount mounts[] = {{.host = "/h: x", .inner = "/in"},
                             {.host = "/o", .inner = "/wf/out", .writable = true}};
    struct job job = {
        .token = "T",
        .store_id = "S",
        .run = "R",
        .step = "train[a=\"b\"]",
        .attempt = 2,
        .argv = argv,
        .env = env,
        .workdir = "/workspace",
        .image = "sha256:0",
        .mounts = mounts,
        .n_mounts = 2,
        .network = NETWORK_NONE,
        .resources = {.cpu_milli = 500, .memory = 1 << 30},
    };
    struct containers c = {0};
    CLEANUP(sb_done) struct str got = {0};
    spec_write(&c, &job, &got);
    cr_expect_str_eq(
        sb_text(&got),
        "{\"Image\":\"sha256:0\",\"Entrypoint\":[\"sh\",\"a \\\"b\\\"\"],\"Cmd\":[],\"Env\":"
        "[\"A=1\"],\"WorkingDir\":\"/workspace\",\"Labels\":{\"wf.attempt\":\"2\",\"wf.run\":"
        "\"R\",\"wf.step\":\"train[a=\\\"b\\\"]\",\"wf.store\":\"S\"},\"AttachStdout\":true,"
        "\"AttachStderr\":true,\"HostConfig\":{\"Init\":true,\"LogConfig\":{\"Type\":"
        "\"json-file\"},\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/h: x\",\"Target\":\"/in\","
        "\"ReadOnly\":true},{\"Type\":\"bind\",\"Source\":\"/o\",\"Target\":\"/wf/out\","
        "\"ReadOnly\":false}],\"NetworkMode\":\"none\",\"SecurityOpt\":[\"no-new-privileges\","
        "\"label=disable\"],\"NanoCpus\":500000000,\"Memory\":1073741824,\"MemorySwap\":"
        "1073741824,\"PidsLimit\":-1}}");
}

Test(steps_container_log, without_a_command_and_limits)
{
    struct job job = {.token = "T",
                      .store_id = "S",
                      .run = "R",
                      .step = "s",
                      .image = "i",
                      .resources = {.cpu_milli = 1 << 30}};
    struct containers c = {.no_init = true};
    CLEANUP(sb_done) struct str got = {0};
    spec_write(&c, &job, &got);
    cr_expect_null(strstr(sb_text(&got), "Entrypoint"));
    cr_expect_null(strstr(sb_text(&got), "NanoCpus"), "as many processors as there are: no limit");
    cr_expect_null(strstr(sb_text(&got), "Memory"));
    cr_expect_not_null(strstr(sb_text(&got), "\"Init\":false"));
    cr_expect_not_null(strstr(sb_text(&got), "\"NetworkMode\":\"host\""));
}
