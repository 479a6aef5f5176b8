/* SPDX-License-Identifier: Apache-2.0 */
#include "container_fixture.h"

#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIMIT_MS = 60000, TAR_BLOCK = 512 };

struct fixture fx;

/* --- the loop --- */

static void on_limit(void *arg)
{
    (void)arg;
    fx.too_late = true;
    loop_stop(fx.loop);
}

static void on_tick(void *arg)
{
    (void)arg;
    loop_stop(fx.loop);
}

void run_until(const bool *flag)
{
    struct timer *limit = timer_new(fx.loop, on_limit, NULL);
    timer_start(limit, LIMIT_MS, 0);
    while (!*flag && !fx.too_late) {
        loop_run(fx.loop);
    }
    timer_free(limit);
    cr_assert(!fx.too_late, "no end after %d s", LIMIT_MS / 1000);
}

void on_job_end(const struct job_end *end, void *arg)
{
    struct outcome *o = arg;
    o->ends++;
    o->outcome = end->outcome;
    o->exit_code = end->exit_code;
    snprintf(o->message, sizeof(o->message), "%s", end->message ? end->message : "");
    loop_stop(fx.loop);
}

void wait_end(struct outcome *o)
{
    struct timer *limit = timer_new(fx.loop, on_limit, NULL);
    timer_start(limit, LIMIT_MS, 0);
    while (o->ends == 0 && !fx.too_late) {
        loop_run(fx.loop);
    }
    timer_free(limit);
    cr_assert(!fx.too_late, "no end after %d s", LIMIT_MS / 1000);
}

/* --- the image --- */

static void tar_add(struct str *tar, const char *name, const char *mode, const void *data,
                    size_t len)
{
    static const char zeros[TAR_BLOCK];
    char head[TAR_BLOCK] = {0};
    snprintf(head, 100, "%s", name);
    snprintf(head + 100, 8, "%s", mode);
    snprintf(head + 108, 8, "%07o", 0);
    snprintf(head + 116, 8, "%07o", 0);
    snprintf(head + 124, 12, "%011zo", len);
    snprintf(head + 136, 12, "%011o", 0);
    memset(head + 148, ' ', 8);
    head[156] = '0';
    memcpy(head + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        sum += (unsigned char)head[i];
    }
    snprintf(head + 148, 8, "%06o", sum);
    sb_add(tar, head, TAR_BLOCK);
    sb_add(tar, data, len);
    sb_add(tar, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

struct http_answer {
    bool done;
    int status;
    struct str body;
};

static void on_http(struct http_call *c, const struct http_response *r, void *arg)
{
    struct http_answer *a = arg;
    (void)c;
    a->done = true;
    a->status = r->status;
    sb_add(&a->body, r->body.data, r->body.len);
    loop_stop(fx.loop);
}

static int send_request(const char *method, const char *path, const char *type, const void *body,
                        size_t len, struct str *ret)
{
    CLEANUP(sb_done) struct str url = {0}, header = {0};
    struct http_answer a = {0};
    struct err err = {0};
    struct http_call *call = NULL;
    sb_printf(&url, "http://engine%s%s", fx.c->engine.compat, path);
    sb_printf(&header, "Content-Type: %s", type);
    const char *headers[] = {sb_text(&header), NULL};
    struct http_request r = {
        .method = method,
        .url = sb_text(&url),
        .unix_socket = fx.c->engine.socket,
        .headers = headers,
        .body = body,
        .body_len = len,
    };
    cr_assert_eq(http_start(fx.c->http, &r, on_http, &a, &call, &err), 0, "%s", err.msg);
    run_until(&a.done);
    if (ret) {
        sb_add(ret, sb_text(&a.body), a.body.len);
    }
    sb_done(&a.body);
    return a.status;
}

int call_engine(const char *method, const char *path, const char *json)
{
    return send_request(method, path, "application/json", json, json ? strlen(json) : 0, NULL);
}

static void on_image(const struct image *image, const struct err *err, void *arg)
{
    struct image_answer *a = arg;
    a->done = true;
    a->failed = err != NULL;
    if (err) {
        snprintf(a->message, sizeof(a->message), "%s", err->msg);
    } else {
        a->digest = image->digest;
        a->has_entrypoint = image->has_entrypoint;
        snprintf(a->id, sizeof(a->id), "%s", image->id);
    }
    loop_stop(fx.loop);
}

void ask_image(const char *name, enum pull_policy pull, struct image_answer *ret)
{
    memset(ret, 0, sizeof(*ret));
    container_image(fx.x, name, pull, on_image, ret);
    run_until(&ret->done);
}

static const char recipe[] = "FROM scratch\n"
                             "COPY busybox /bin/busybox\n"
                             "COPY busybox /bin/sh\n"
                             "COPY plain /bin/plain\n"
                             "ENV PATH=/bin\n"
                             "ENTRYPOINT [\"/bin/busybox\", \"echo\", \"entry\"]\n"
                             "CMD [\"cmd\"]\n";

static void build_image(void)
{
    CLEANUP(sb_done) struct str busybox = {0}, tar = {0}, answer = {0};
    struct err err = {0};
    if (fs_read_file("/bin/busybox", 16 << 20, &busybox, &err) < 0) {
        cr_skip_test("no static busybox to make an image of (apt install busybox-static)");
    }
    tar_add(&tar, "Containerfile", "0000644", recipe, strlen(recipe));
    tar_add(&tar, "busybox", "0000755", busybox.data, busybox.len);
    tar_add(&tar, "plain", "0000644", "not a program\n", 14);
    static const char zeros[2 * TAR_BLOCK];
    sb_add(&tar, zeros, sizeof(zeros));
    int status = send_request("POST", "/build?dockerfile=Containerfile&t=" TEST_IMAGE,
                              "application/x-tar", tar.data, tar.len, &answer);
    cr_assert_eq(status, 200, "%d %s", status, sb_text(&answer));
}

static void need_image(void)
{
    CLEANUP(sb_done) struct str path = {0}, head = {0}, body = {0};
    int status = 0;
    sb_printf(&path, "%s/images/%s/json", fx.c->engine.compat, TEST_IMAGE);
    cr_assert_eq(
        api_get_now(fx.c->engine.socket, sb_text(&path), 60000, &status, &head, &body, NULL), 0);
    if (status == 404) {
        build_image();
    }
    struct image_answer a;
    ask_image(TEST_IMAGE, PULL_NEVER, &a);
    cr_assert(!a.failed, "%s", a.message);
    snprintf(fx.image_id, sizeof(fx.image_id), "%s", a.id);
}

/* --- the fixture --- */

void fixture_open(void)
{
    static const char *const env[] = {"PATH=/bin", "LANG=C.UTF-8", NULL};
    struct err err = {0};
    struct engine_facts facts;
    memset(&fx, 0, sizeof(fx));
    fx.loop = loop_new();
    cr_assert_eq(container_executor_open(fx.loop, NULL, NULL, &fx.x, &err), 0, "%s", err.msg);
    fx.c = CONTAINER_OF(fx.x, struct containers, x);
    container_facts(fx.x, &facts);
    if (!facts.found) {
        cr_skip_test("no container engine: %s", facts.problem);
    }
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/wf-unit.XXXXXX");
    cr_assert_not_null(mkdtemp(fx.dir));
    snprintf(fx.log_path, sizeof(fx.log_path), "%s/log", fx.dir);
    fx.log_fd = open(fx.log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    id_new(fx.token);
    id_new(fx.store_id);
    need_image();
    fx.job = (struct job){
        .token = fx.token,
        .store_id = fx.store_id,
        .run = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        .step = "train[model=mlp]",
        .attempt = 1,
        .env = env,
        .workdir = "/",
        .image = fx.image_id,
        .network = NETWORK_NONE,
        .log_fd = fx.log_fd,
    };
}

int containers_left(void)
{
    CLEANUP(sb_done) struct str filter = {0}, path = {0}, head = {0}, body = {0};
    int status = 0;
    sb_printf(&filter, "{\"label\":[\"wf.store=%s\"]}", fx.store_id);
    sb_printf(&path, "%s/containers/json?all=1&filters=", fx.c->engine.compat);
    api_escape(&path, sb_text(&filter), "");
    cr_assert_eq(
        api_get_now(fx.c->engine.socket, sb_text(&path), 60000, &status, &head, &body, NULL), 0);
    cr_assert_eq(status, 200);
    json_t *list = NULL;
    cr_assert_eq(json_read(body.data, body.len, 1 << 20, &list, NULL), 0);
    int n = (int)json_array_size(list);
    json_decref(list);
    return n;
}

void fixture_close(void)
{
    if (fx.x && fx.c->state == ENGINE_READY) {
        fx.x->ops->drain(fx.x, LIMIT_MS);
        cr_expect_eq(containers_left(), 0, "a container was left behind");
    }
    if (fx.x) {
        fx.x->ops->close(fx.x);
    }
    loop_free(fx.loop);
    if (fx.dir[0]) {
        close(fx.log_fd);
        fs_remove_tree(fx.dir, NULL);
    }
}

/* --- jobs --- */

static void start_job(const char *const *argv, struct job_handle **ret)
{
    struct err err = {0};
    fx.job.argv = argv;
    fx.got = (struct outcome){0};
    cr_assert_eq(fx.x->ops->submit(fx.x, &fx.job, on_job_end, &fx.got, ret, &err), 0, "%s",
                 err.msg);
    cr_assert_eq(fx.got.ends, 0, "the end was told before submit returned");
}

void run_job(const char *const *argv)
{
    struct job_handle *h = NULL;
    start_job(argv, &h);
    wait_end(&fx.got);
    fx.x->ops->release(fx.x, h);
}

static const char *shell_argv[] = {"/bin/sh", "-c", NULL, NULL};

void run_shell(const char *script)
{
    shell_argv[2] = script;
    run_job(shell_argv);
}

struct job_handle *start_shell(const char *script)
{
    struct job_handle *h = NULL;
    shell_argv[2] = script;
    start_job(shell_argv, &h);
    return h;
}

void read_log(struct str *ret)
{
    struct err err = {0};
    sb_clear(ret);
    cr_assert_eq(fs_read_file(fx.log_path, 256 << 20, ret, &err), 0, "%s", err.msg);
}

void wait_log(const char *text)
{
    CLEANUP(sb_done) struct str log = {0};
    struct timer *limit = timer_new(fx.loop, on_limit, NULL);
    struct timer *tick = timer_new(fx.loop, on_tick, NULL);
    timer_start(limit, LIMIT_MS, 0);
    timer_start(tick, 5, 5);
    for (read_log(&log); !strstr(sb_text(&log), text) && !fx.too_late; read_log(&log)) {
        loop_run(fx.loop);
    }
    timer_free(tick);
    timer_free(limit);
    cr_assert(!fx.too_late, "'%s' did not come; the log: %s; the job: %s", text, sb_text(&log),
              fx.got.message);
}

void wait_running(struct job_handle *h)
{
    struct timer *limit = timer_new(fx.loop, on_limit, NULL);
    struct timer *tick = timer_new(fx.loop, on_tick, NULL);
    timer_start(limit, LIMIT_MS, 0);
    timer_start(tick, 5, 5);
    while (h->phase < PHASE_RUN && !fx.too_late) {
        loop_run(fx.loop);
    }
    timer_free(tick);
    timer_free(limit);
    cr_assert(!fx.too_late, "the job does not run: %s", fx.got.message);
}
