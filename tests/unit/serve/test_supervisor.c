/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor as a process of its own, with real model servers (tests/servers/model.py) and HAProxy. */
#include "base/arena.h"
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/id.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tree.h"
#include "base/units.h"
#include "cache/store.h"
#include "serve/client.h"
#include "serve/proxy.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { SERVICES_MAX = 16, WAIT_MS = 30000 };

static struct {
    char dir[64];
    struct loop *loop;
    struct store *store;
    struct arena *arena;
    struct http *http;
    struct serve_client *client;
    char run[ID_LEN + 1];
    int live_fd;
    struct service_row rows[SERVICES_MAX]; /* by id */
    struct str notes;
    bool failed_to_end;
} t;

/* --- the run's side --- */

static void on_event(const struct serve_event *e, void *arg)
{
    (void)arg;
    if (e->news == NEWS_NOTE) {
        sb_printf(&t.notes, "%s\n", e->text);
    } else if (e->service > 0 && e->service < SERVICES_MAX) {
        struct service_row *r = &t.rows[e->service];
        *r = e->row;
        r->endpoint = e->row.endpoint ? arena_strdup(t.arena, e->row.endpoint) : NULL;
        r->error = e->row.error ? arena_strdup(t.arena, e->row.error) : NULL;
    }
}

static void connect_run(void)
{
    struct serve_client_options o = {
        .loop = t.loop, .store = t.store, .run = t.run, .on_event = on_event};
    struct err err = {0};
    cr_assert_eq(serve_client_open(&o, &t.client, &err), 0, "%s", err.msg);
}

static void begin_run(void)
{
    struct err err = {0};
    id_new(t.run);
    cr_assert_eq(store_live(t.store, t.run, &t.live_fd, &err), 0, "%s", err.msg);
    connect_run();
}

static void end_run(void)
{
    serve_client_close(t.client);
    t.client = NULL;
    store_unlive(t.store, t.run, t.live_fd);
}

static void setup(void)
{
    struct err err = {0};
    CLEANUP(cleanup_free) char *version = NULL;
    CLEANUP(cleanup_free) char *haproxy = proxy_find(&version);
    if (!getenv("WF_SUPERVISOR") || !getenv("WF_MODEL_SERVER") || !haproxy ||
        access("/usr/bin/python3", X_OK) != 0) {
        cr_skip_test("HAProxy and python3 are needed, and WF_SUPERVISOR");
    }
    snprintf(t.dir, sizeof(t.dir), "/tmp/wf-supervise-XXXXXX");
    cr_assert_not_null(mkdtemp(t.dir));
    CLEANUP(cleanup_free) char *path = xasprintf("%s/store", t.dir);
    t.loop = loop_new();
    t.arena = arena_new();
    struct store_options o = {.dir = path, .loop = t.loop};
    cr_assert_eq(store_open(&o, &t.store, &err), 0, "%s", err.msg);
    cr_assert_eq(http_open(t.loop, &t.http, &err), 0, "%s", err.msg);
    begin_run();
}

static void on_tick(void *arg)
{
    *(bool *)arg = true;
}

/* Lets the loop work for at most ms, until `done` holds. */
static bool wait_for(bool (*done)(void *arg), void *arg, int64_t ms)
{
    int64_t until = mono_us() + ms * 1000;
    bool tick = false;
    struct timer *timer = timer_new(t.loop, on_tick, &tick);
    timer_start(timer, 10, 10);
    bool good;
    while (!(good = done(arg)) && mono_us() < until) {
        uv_run(loop_uv(t.loop), UV_RUN_ONCE);
    }
    timer_free(timer);
    return good;
}

struct write_wish {
    struct write write;
    const struct service_spec *spec;
    int64_t id, generation;
    bool down, done;
};

static int apply_wish(struct write *w, struct db *db, struct err *err)
{
    struct write_wish *p = (struct write_wish *)w;
    return p->down ? desired_down(db, p->id, NULL, err)
                   : desired_want(db, p->spec, &p->id, &p->generation, err);
}

static void on_wish(struct write *w, const struct err *err)
{
    cr_assert_null(err, "%s", err ? err->msg : "");
    ((struct write_wish *)w)->done = true;
}

static struct write_wish want(const struct service_spec *s)
{
    struct write_wish p = {.write = {.apply = apply_wish, .done = on_wish, .urgent = true},
                           .spec = s};
    store_post(t.store, &p.write);
    store_flush(t.store);
    serve_client_look(t.client);
    return p;
}

static void down(int64_t id)
{
    struct write_wish p = {
        .write = {.apply = apply_wish, .done = on_wish, .urgent = true}, .id = id, .down = true};
    store_post(t.store, &p.write);
    store_flush(t.store);
    serve_client_look(t.client);
}

/* --- waiting --- */

struct expected {
    int64_t id, generation;
    enum service_state state;
};

static bool is_so(void *arg)
{
    const struct expected *e = arg;
    const struct service_row *r = &t.rows[e->id];
    return r->id == e->id && r->state == e->state &&
           (e->generation == 0 || r->state_generation == e->generation);
}

static void expect_state(int64_t id, int64_t generation, enum service_state state)
{
    struct expected e = {id, generation, state};
    const struct service_row *r = &t.rows[id];
    cr_assert(wait_for(is_so, &e, WAIT_MS), "%s of %lld, not %s of %lld: %s\n%s",
              service_state_names[r->state], (long long)r->state_generation,
              service_state_names[state], (long long)generation, r->error ? r->error : "",
              sb_text(&t.notes));
}

static bool supervisor_is_gone(void *arg)
{
    (void)arg;
    return !serve_alive(t.store);
}

static bool has_note(void *arg)
{
    return strstr(sb_text(&t.notes), arg) != NULL;
}

static void expect_note(const char *words)
{
    cr_assert(wait_for(has_note, (void *)(uintptr_t)words, WAIT_MS), "no '%s' in: %s", words,
              sb_text(&t.notes));
}

/* --- what a caller sees --- */

struct got {
    bool done;
    int status;
    char *body;
};

static void on_answer(struct http_call *c, const struct http_response *r, void *arg)
{
    struct got *g = arg;
    (void)c;
    g->done = true;
    g->status = r->status;
    g->body = arena_strdup(t.arena, sb_text(&r->body));
}

static bool is_answered(void *arg)
{
    return ((struct got *)arg)->done;
}

static struct got get(int64_t id, const char *path)
{
    struct got g = {0};
    struct http_call *call;
    struct err err = {0};
    const char *endpoint = t.rows[id].endpoint;
    cr_assert_not_null(endpoint);
    /* A connection of its own: one that is kept may lead to a worker of HAProxy's from before. */
    static const char *const headers[] = {"Connection: close", NULL};
    struct http_request q = {.url = arena_printf(t.arena, "%s%s", endpoint, path),
                             .headers = headers,
                             .timeout_ms = 20000};
    cr_assert_eq(http_start(t.http, &q, on_answer, &g, &call, &err), 0, "%s", err.msg);
    cr_assert(wait_for(is_answered, &g, WAIT_MS));
    return g;
}

static double number_of(const struct got *g, const char *key)
{
    json_t *o = NULL;
    struct err err = {0};
    cr_assert_eq(g->status, 200, "%d %s", g->status, g->body);
    cr_assert_eq(json_read(g->body, strlen(g->body), 1 << 20, &o, &err), 0, "%s", err.msg);
    double v = json_number_value(json_object_get(o, key));
    json_decref(o);
    return v;
}

/* The process that answers for a model. */
static pid_t pid_of(int64_t id, const char *slug)
{
    struct got g = get(id, arena_printf(t.arena, "/v2/models/%s", slug));
    return (pid_t)number_of(&g, "pid");
}

static double bias_of(int64_t id, const char *slug)
{
    struct got g = get(id, arena_printf(t.arena, "/v2/models/%s", slug));
    return number_of(&g, "bias");
}

static bool is_dead(void *arg)
{
    struct proc_stat st;
    return !proc_stat_read(*(pid_t *)arg, &st) || st.state == 'Z';
}

static void expect_dead(pid_t pid)
{
    cr_assert(wait_for(is_dead, &pid, WAIT_MS), "process %d is alive", (int)pid);
}

static size_t starts(const char *file)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", t.dir, file);
    size_t n = 0;
    if (fs_read_file(path, 1 << 20, &text, NULL) == 0) {
        for (size_t i = 0; i < text.len; i++) {
            n += text.data[i] == '\n';
        }
    }
    return n;
}

/* --- services --- */

static struct spec_model model_with(const char *slug, const char *line, const char *fault)
{
    struct err err = {0};
    const char *path = arena_printf(t.arena, "%s/%s-%s.model", t.dir, slug, fault);
    const char **argv = arena_calloc(t.arena, 3, sizeof(*argv)),
               **env = arena_calloc(t.arena, 8, sizeof(*env));
    CLEANUP(cleanup_free) char *all = xasprintf("%s %s %s", slug, line, fault);
    struct spec_model m = {.name = arena_printf(t.arena, "train[model=%s]", slug),
                           .slug = arena_strdup(t.arena, slug)};
    cr_assert_eq(fs_write_file(path, line, strlen(line), 0644, false, &err), 0, "%s", err.msg);
    argv[0] = "/usr/bin/python3";
    argv[1] = getenv("WF_MODEL_SERVER");
    env[0] = "PATH=/usr/bin:/bin";
    env[1] = arena_printf(t.arena, "WF_MODEL=%s", path);
    env[2] = arena_printf(t.arena, "WF_MODEL_NAME=%s", slug);
    env[3] = arena_printf(t.arena, "MODEL_FAULT=%s", fault);
    env[4] = arena_printf(t.arena, "MODEL_COUNT=%s/starts", t.dir);
    digest_of(all, strlen(all), &m.content);
    m.program = (struct spec_program){.argv = argv, .env = env, .workdir = "/"};
    return m;
}

static struct spec_model model(const char *slug, int bias)
{
    return model_with(slug, arena_printf(t.arena, "bias %d\n", bias), "");
}

static struct service_spec serve(const struct spec_model *models, uint32_t n)
{
    return (struct service_spec){.workflow = "flow",
                                 .step = "serve",
                                 .run = t.run,
                                 .promotion = 1,
                                 .keep = true,
                                 .n_models = n,
                                 .models = models,
                                 .replicas = 1,
                                 .ready_path = "/v2/health/ready",
                                 .ready_timeout_ms = 20000,
                                 .grace_ms = 2000};
}

static pid_t supervisor_pid(void)
{
    /* It holds the lock: named by /proc/locks with the file's inode. */
    CLEANUP(cleanup_free) char *lock = store_path(t.store, "live/serve.lock");
    CLEANUP(cleanup_file) FILE *f = fopen("/proc/locks", "r");
    struct stat st;
    char line[256];
    cr_assert_eq(stat(lock, &st), 0);
    while (f && fgets(line, sizeof(line), f)) {
        int pid = 0;
        unsigned long inode = 0;
        if (sscanf(line, "%*d: FLOCK %*s WRITE %d %*x:%*x:%lu", &pid, &inode) == 2 &&
            inode == st.st_ino) {
            return pid;
        }
    }
    return 0;
}

static void teardown(void)
{
    struct err err;
    if (!t.store) {
        return;
    }
    for (int64_t id = 1; id < SERVICES_MAX; id++) {
        if (t.rows[id].id) {
            down(id);
        }
    }
    for (int64_t id = 1; id < SERVICES_MAX; id++) {
        if (t.rows[id].id) {
            expect_state(id, 0, SERVICE_DOWN);
        }
    }
    end_run();
    cr_expect(wait_for(supervisor_is_gone, NULL, WAIT_MS), "the supervisor stays");
    http_close(t.http);
    store_close(t.store);
    loop_free(t.loop);
    arena_free(t.arena);
    fs_remove_tree(t.dir, &err);
}

TestSuite(serve_supervisor, .init = setup, .fini = teardown, .timeout = 120);

/* --- what it does --- */

Test(serve_supervisor, serves_and_takes_down)
{
    struct spec_model m = model("mlp", 5);
    struct service_spec s = serve(&m, 1);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    cr_assert_eq(t.rows[p.id].live_promotion, 1);
    cr_assert_eq(bias_of(p.id, "mlp"), 5);
    pid_t pid = pid_of(p.id, "mlp");
    uint16_t port = t.rows[p.id].port;
    down(p.id);
    expect_state(p.id, 0, SERVICE_DOWN);
    expect_dead(pid);
    cr_assert_eq(starts("starts"), 1);
    want(&s);
    expect_state(p.id, 2, SERVICE_LIVE);
    cr_assert_eq(t.rows[p.id].port, port); /* its address is its own */
}

Test(serve_supervisor, nothing_promoted_yet_answers_503)
{
    struct service_spec s = serve(NULL, 0);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    cr_assert_eq(get(p.id, "/v2/health/ready").status, 503);
}

Test(serve_supervisor, another_model_takes_over_and_equal_ones_stay)
{
    struct spec_model a[] = {model("a", 1)}, ab[] = {model("b", 2), a[0]};
    struct service_spec s = serve(a, 1);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t old = pid_of(p.id, "a");
    s = serve(ab, 2);
    s.promotion = 2;
    want(&s);
    expect_state(p.id, 2, SERVICE_LIVE);
    cr_assert_eq(t.rows[p.id].live_promotion, 2);
    cr_assert_eq(pid_of(p.id, "a"), old); /* not started again */
    cr_assert_eq(bias_of(p.id, "b"), 2);
    s = serve(ab, 1);
    s.promotion = 3;
    want(&s);
    expect_state(p.id, 3, SERVICE_LIVE);
    expect_dead(old);
    cr_assert_eq(starts("starts"), 2);
}

static void refuses(const char *line, const char *fault, const char *words)
{
    struct spec_model good = model("good", 1), bad = model_with("bad", line, fault);
    struct service_spec s = serve(&good, 1);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t pid = pid_of(p.id, "good");
    s = serve(&bad, 1);
    s.promotion = 2;
    s.ready_timeout_ms = 1500;
    want(&s);
    expect_state(p.id, 2, SERVICE_FAILED);
    cr_assert(strstr(t.rows[p.id].error, words), "%s", t.rows[p.id].error);
    cr_assert_eq(t.rows[p.id].live_generation, 1);
    cr_assert_eq(t.rows[p.id].live_promotion, 1);
    cr_assert_eq(pid_of(p.id, "good"), pid);
}

Test(serve_supervisor, a_corrupt_model_leaves_the_old_one)
{
    refuses("rubbish", "", "the model file is corrupt");
}

Test(serve_supervisor, a_silent_server_leaves_the_old_one)
{
    refuses("bias 2\n", "silent", "was not ready within 1.5s");
}

Test(serve_supervisor, one_that_answers_500_leaves_the_old_one)
{
    refuses("bias 2\n", "error", "status 500");
}

Test(serve_supervisor, a_failing_smoke_test_leaves_the_old_one)
{
    struct spec_model good = model("good", 1), other = model("other", 2);
    struct service_spec s = serve(&good, 1);
    good.ready_script = other.ready_script =
        "test -S \"$WF_SOCKET\" && test '" SPEC_SOCKET "' = \"$WF_SOCKET\" && "
        "grep -q 'bias 1' \"$WF_MODEL\"";
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    s.models = &other;
    s.ready_timeout_ms = 1500;
    want(&s);
    expect_state(p.id, 2, SERVICE_FAILED);
    cr_assert(strstr(t.rows[p.id].error, "smoke test"), "%s", t.rows[p.id].error);
    cr_assert_eq(bias_of(p.id, "good"), 1);
}

Test(serve_supervisor, a_program_that_is_not_there_is_named)
{
    struct spec_model m = model("m", 1);
    const char *const argv[] = {"no-such-server", NULL};
    m.program.argv = argv;
    struct service_spec s = serve(&m, 1);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_FAILED);
    cr_assert(strstr(t.rows[p.id].error, "no-such-server"), "%s", t.rows[p.id].error);
}

Test(serve_supervisor, retries_before_it_was_ready)
{
    struct spec_model m = model_with("m", "rubbish", "");
    struct service_spec s = serve(&m, 1);
    s.retry = (struct retry){.limit = 2, .delay_ms = 10};
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_FAILED);
    cr_assert_eq(starts("starts"), 3);
}

static bool answers_anew(void *arg)
{
    pid_t *pid = arg;
    struct got g = get(1, "/v2/models/m");
    return g.status == 200 && (pid_t)number_of(&g, "pid") != *pid;
}

Test(serve_supervisor, a_killed_replica_is_started_again)
{
    struct spec_model m = model("m", 1);
    struct service_spec s = serve(&m, 1);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t pid = pid_of(p.id, "m");
    kill(pid, SIGKILL);
    expect_note("is started again");
    cr_assert(wait_for(answers_anew, &pid, WAIT_MS));
    cr_assert_eq(t.rows[p.id].state, SERVICE_LIVE);
}

Test(serve_supervisor, one_that_hangs_is_started_again)
{
    struct spec_model m = model_with("m", "bias 1\n", "");
    struct service_spec s = serve(&m, 1);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t pid = pid_of(p.id, "m");
    get(p.id, "/hang");
    cr_assert(wait_for(has_note, (void *)(uintptr_t) "does not answer any more", 60000), "%s",
              sb_text(&t.notes));
    expect_dead(pid);
    cr_assert(wait_for(answers_anew, &pid, WAIT_MS));
}

/* --- its own death --- */

static void kill_supervisor(void)
{
    pid_t pid = supervisor_pid();
    cr_assert_gt(pid, 0);
    kill(pid, SIGKILL);
    for (size_t i = 0; i < SERVICES_MAX; i++) { /* what was told before counts no more */
        t.rows[i].state = SERVICE_STARTING;
        t.rows[i].state_generation = -1;
    }
}

static bool has_five_starts(void *arg)
{
    (void)arg;
    return starts("starts") == 5;
}

Test(serve_supervisor, a_killed_supervisor_is_followed_by_one_that_adopts_all)
{
    struct spec_model m[] = {model("a", 1), model("b", 2)};
    struct service_spec s = serve(m, 2);
    s.replicas = 2;
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t a = pid_of(p.id, "a"), old = supervisor_pid();
    for (int i = 0; i < 3; i++) {
        kill_supervisor();
        expect_state(p.id, 1, SERVICE_LIVE);
        cr_assert_neq(supervisor_pid(), old);
        cr_assert_eq(bias_of(p.id, "b"), 2);
    }
    cr_assert_eq(starts("starts"), 4); /* none was doubled */
    kill(a, SIGKILL);                  /* an adopted one is watched too */
    expect_note("is started again");
    cr_assert(wait_for(has_five_starts, NULL, WAIT_MS));
    down(p.id);
    expect_state(p.id, 0, SERVICE_DOWN);
    cr_assert_eq(starts("starts"), 5);
}

Test(serve_supervisor, a_store_that_is_removed_takes_its_services_along)
{
    struct spec_model m = model("m", 1);
    struct service_spec s = serve(&m, 1);
    struct write_wish p = want(&s);
    struct err err;
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t pid = pid_of(p.id, "m"), supervisor = supervisor_pid();
    serve_client_close(
        t.client); /* which would start another supervisor, and make the store again */
    t.client = NULL;
    CLEANUP(cleanup_free) char *store = xasprintf("%s/store", t.dir);
    cr_assert_eq(fs_remove_tree(store, &err), 0);
    expect_dead(pid);
    expect_dead(supervisor);
    memset(t.rows, 0, sizeof(t.rows));
}

Test(serve_supervisor, killed_while_it_switches_it_goes_on)
{
    struct spec_model a = model("a", 1), b = model_with("b", "bias 2\n", "late");
    struct service_spec s = serve(&a, 1);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t old = pid_of(p.id, "a");
    s.models = &b;
    want(&s);
    expect_state(p.id, 2, SERVICE_SWITCHING);
    for (int i = 0; i < 3; i++) {
        kill_supervisor();
        struct expected e = {p.id, 2, SERVICE_LIVE};
        wait_for(is_so, &e, 700);
    }
    expect_state(p.id, 2, SERVICE_LIVE);
    cr_assert_eq(bias_of(p.id, "b"), 2);
    expect_dead(old);
    cr_assert_eq(starts("starts"), 2);
}

Test(serve_supervisor, a_new_run_takes_over_without_a_restart)
{
    struct spec_model m = model("m", 1);
    struct service_spec s = serve(&m, 1);
    s.keep = false;
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t pid = pid_of(p.id, "m");
    end_run();
    usleep(2000);
    begin_run();
    want(&s);
    expect_state(p.id, 2, SERVICE_LIVE);
    cr_assert_eq(pid_of(p.id, "m"), pid);
    cr_assert_eq(starts("starts"), 1);
}

/* --- addresses --- */

Test(serve_supervisor, a_port_that_is_taken_is_named)
{
    struct spec_model m = model("m", 1);
    struct service_spec s = serve(&m, 1);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    s.listen.port = ntohs(a.sin_port);
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_FAILED);
    CLEANUP(cleanup_free) char *port = xasprintf("%u", s.listen.port);
    cr_assert(strstr(t.rows[p.id].error, port), "%s", t.rows[p.id].error);
    close(fd);
    s.promotion = 2;
    want(&s);
    expect_state(p.id, 2, SERVICE_LIVE);
    cr_assert_eq(t.rows[p.id].port, s.listen.port);
}

Test(serve_supervisor, two_services_do_not_share_a_port)
{
    struct spec_model m = model("m", 1);
    struct service_spec s = serve(&m, 1), other = s;
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    other.step = "other";
    other.listen.port = t.rows[p.id].port;
    struct write_wish q = want(&other);
    expect_state(q.id, 1, SERVICE_FAILED);
    cr_assert(strstr(t.rows[q.id].error, "flow/serve"), "%s", t.rows[q.id].error);
    cr_assert_eq(t.rows[p.id].state, SERVICE_LIVE);
}

Test(serve_supervisor, a_program_may_listen_at_a_port)
{
    struct spec_model m = model("m", 7);
    struct service_spec s = serve(&m, 1);
    s.address = ADDRESS_PORT;
    s.replicas = 2;
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    cr_assert_eq(bias_of(p.id, "m"), 7);
}

static bool is_back(void *arg)
{
    struct got g = get(*(int64_t *)arg, "/v2/models/b");
    return g.status == 200 && number_of(&g, "bias") == 2;
}

Test(serve_supervisor, first_stop_ends_the_old_one_before)
{
    struct spec_model a = model("a", 1), b = model("b", 2);
    struct service_spec s = serve(&a, 1);
    s.first_stop = true;
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t old = pid_of(p.id, "a");
    s.models = &b;
    want(&s);
    expect_state(p.id, 2, SERVICE_LIVE);
    expect_dead(old);
    struct spec_model bad = model_with("bad", "rubbish", "");
    s.models = &bad;
    want(&s);
    expect_state(p.id, 3, SERVICE_FAILED);
    cr_assert(strstr(t.rows[p.id].error, "is started again"), "%s", t.rows[p.id].error);
    cr_assert(wait_for(is_back, &p.id, WAIT_MS));
}

/* --- from nothing --- */

Test(serve_supervisor, the_first_request_waits_for_the_first_replica)
{
    struct spec_model m = model("m", 3);
    struct service_spec s = serve(&m, 1);
    s.scales = true;
    s.scale_max = 2;
    s.scale_target = 4;
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    pid_t pid = pid_of(p.id, "m");
    cr_assert(wait_for(is_dead, &pid, 60000), "it is calm, and nothing ends");
    cr_assert_eq(t.rows[p.id].state, SERVICE_LIVE);
    cr_assert_eq(bias_of(p.id, "m"), 3);
    cr_assert_eq(starts("starts"), 2);
}

/* --- canaries --- */

/* Requests until the service stands so. */
static void load_until(struct expected *e, const char *path)
{
    int64_t until = mono_us() + INT64_C(1000) * WAIT_MS;
    while (!is_so(e) && mono_us() < until) {
        get(e->id, path);
    }
    cr_assert(is_so(e), "%s", sb_text(&t.notes));
}

static void try_canary(const char *path, enum service_state state)
{
    struct spec_model a = model("a", 1), b = model("b", 2);
    struct service_spec s = serve(&a, 1);
    s.canary_share = 0.5;
    s.canary_for_ms = 1500;
    s.canary_max_errors = 0.1;
    struct write_wish p = want(&s);
    expect_state(p.id, 1, SERVICE_LIVE);
    s.models = &b;
    s.promotion = 2;
    want(&s);
    expect_state(p.id, 2, SERVICE_SWITCHING);
    struct expected e = {p.id, 2, state};
    load_until(&e, path);
}

Test(serve_supervisor, a_good_canary_gets_all_requests)
{
    try_canary("/v2/health/ready", SERVICE_LIVE);
    cr_assert_eq(t.rows[1].live_promotion, 2);
    cr_assert_eq(bias_of(1, "b"), 2);
}

Test(serve_supervisor, a_bad_canary_is_rolled_back)
{
    try_canary("/fail", SERVICE_FAILED);
    cr_assert(strstr(t.rows[1].error, "canary"), "%s", t.rows[1].error);
    cr_assert_eq(t.rows[1].live_promotion, 1);
    cr_assert_eq(bias_of(1, "a"), 1);
}

/* --- gateways --- */

static double infer(int64_t id, const char *name)
{
    static const char body[] = "{\"inputs\":[{\"name\":\"in\",\"datatype\":\"FP64\",\"shape\":[1],"
                               "\"data\":[10]}]}";
    struct got g = {0};
    struct http_call *call;
    struct err err = {0};
    static const char *const headers[] = {"Connection: close", NULL};
    struct http_request q = {
        .method = "POST",
        .headers = headers,
        .url = arena_printf(t.arena, "%s/v2/models/%s/infer", t.rows[id].endpoint, name),
        .body = body,
        .body_len = sizeof(body) - 1,
        .timeout_ms = 20000};
    cr_assert_eq(http_start(t.http, &q, on_answer, &g, &call, &err), 0, "%s", err.msg);
    cr_assert(wait_for(is_answered, &g, WAIT_MS));
    cr_assert_eq(g.status, 200, "%d %s", g.status, g.body);
    json_t *o = NULL;
    cr_assert_eq(json_read(g.body, strlen(g.body), 1 << 20, &o, &err), 0, "%s", err.msg);
    const json_t *out = json_array_get(json_object_get(o, "outputs"), 0);
    double v = json_number_value(json_array_get(json_object_get(out, "data"), 0));
    json_decref(o);
    return v;
}

Test(serve_supervisor, a_gateway_follows_the_models_under_it)
{
    struct spec_model m[] = {model("a", 2), model("b", 4)}, c = model("c", 10);
    struct service_spec s = serve(m, 2), g = {.aggregate = true,
                                              .workflow = "flow",
                                              .step = "ensemble",
                                              .run = t.run,
                                              .keep = true,
                                              .over = "serve",
                                              .method = METHOD_MEAN,
                                              .quorum = 1};
    struct write_wish p = want(&s), q = want(&g);
    expect_state(p.id, 1, SERVICE_LIVE);
    expect_state(q.id, 1, SERVICE_LIVE);
    cr_assert_eq(t.rows[q.id].live_promotion, 1);
    cr_assert_eq(infer(q.id, "ensemble"), 13);
    s = serve(&c, 1);
    s.promotion = 2;
    want(&s);
    expect_state(p.id, 2, SERVICE_LIVE);
    cr_assert_eq(infer(q.id, "ensemble"), 20);
    kill_supervisor();
    expect_state(q.id, 1, SERVICE_LIVE);
    cr_assert_eq(infer(q.id, "ensemble"), 20);
    cr_assert_eq(t.rows[q.id].live_promotion, 2);
}
