/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy as serve/proxy drives it, with callers that must not notice. */
#include "base/fs.h"
#include "base/mem.h"
#include "base/units.h"
#include "proxy_rig.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;
static struct proxy_server one[1], two[2], three[3];
static struct proxy_backend backends[3];
static struct proxy_service services[2];
static struct proxy_state state;

/* Backend b<i> with the replicas first … first + count - 1 under the ids 1 + index. */
static void put_backend(int i, struct proxy_server *servers, int first, uint32_t count)
{
    backends[i] = (struct proxy_backend){
        .check_path = "/v2/health/ready", .n_servers = count, .servers = servers};
    (void)snprintf(backends[i].name, sizeof(backends[i].name), "b%d", i);
    for (uint32_t k = 0; k < count; k++) {
        servers[k] = (struct proxy_server){.id = (uint32_t)first + k + 1,
                                           .socket = rig.socket[first + (int)k]};
    }
}

static void set_up(void)
{
    rig_open(&rig);
    rig_start_replica(&rig, 0);
    rig_start_replica(&rig, 1);
    put_backend(0, one, 0, 1);
    put_backend(1, two, 1, 1);
    services[0] =
        (struct proxy_service){.id = 3, .host = "127.0.0.1", .port = rig.port, .backend = "b0"};
    state = (struct proxy_state){
        .n_services = 1, .services = services, .n_backends = 2, .backends = backends};
}

static void tear_down(void)
{
    rig_close(&rig);
}

TestSuite(proxy, .init = set_up, .fini = tear_down, .timeout = 120);

static void apply(void)
{
    cr_assert(rig_apply(&rig, &state), "%s", rig.err.msg);
}

static bool all_up(struct rig *r)
{
    for (uint32_t i = 0; i < state.n_backends; i++) {
        const struct rig_look *l = rig_seen(r, backends[i].name, 0);
        if (!l || !l->up) {
            return false;
        }
        for (uint32_t k = 0; k < backends[i].n_servers; k++) {
            l = rig_seen(r, backends[i].name, backends[i].servers[k].id);
            if (!backends[i].servers[k].drain && (!l || !l->up)) {
                return false;
            }
        }
    }
    return true;
}

static void apply_up(void)
{
    apply();
    rig_until(&rig, all_up, "all servers to be up");
}

static void expect_body(uint16_t port, const char *path, const char *body)
{
    struct reply got = rig_get(port, path);
    cr_assert(got.status == 200 && strcmp(got.body, body) == 0, "%s: %d %s", path, got.status,
              got.body);
}

static void use(char to[32], const char *backend)
{
    (void)snprintf(to, 32, "%s", backend);
}

Test(proxy, switches_and_routes_by_maps)
{
    static struct proxy_route routes[] = {{"mlp", "b1"}, {"soft.max-1", "b0"}};
    services[0].routes = routes;
    services[0].n_routes = 2;
    apply_up();
    pid_t worker = rig_worker(&rig);
    expect_body(rig.port, "/", "r0\n");
    expect_body(rig.port, "/v2/models/mlp/infer", "r1\n");
    expect_body(rig.port, "/v2/models/mlp", "r1\n");
    expect_body(rig.port, "/v1/models/mlp:predict", "r1\n");
    expect_body(rig.port, "/v2/models/soft.max-1/ready", "r0\n");
    expect_body(rig.port, "/v2/models/other/infer", "r0\n");
    use(services[0].backend, "b1");
    services[0].n_routes = 1;
    use(routes[0].backend, "b0");
    apply();
    expect_body(rig.port, "/", "r1\n");
    expect_body(rig.port, "/v2/models/mlp/infer", "r0\n");
    expect_body(rig.port, "/v2/models/soft.max-1/ready", "r1\n");
    cr_assert_eq(rig_worker(&rig), worker, "no reload for maps");
}

Test(proxy, adds_drains_and_removes_replicas)
{
    apply_up();
    pid_t worker = rig_worker(&rig);
    put_backend(0, two, 0, 2);
    state.n_backends = 1;
    put_backend(1, one, 0, 1);
    /* Both replicas answer. */
    state.n_backends = 2;
    apply_up();
    struct load *l =
        load_start(&(struct load_options){.port = rig.port, .path = "/", .threads = 4});
    struct load_result got;
    rig_run_ms(&rig, 200);
    /* One drains while callers go on, then is gone. */
    two[0].drain = true;
    apply();
    rig_run_ms(&rig, 50);
    backends[0].servers = two + 1;
    backends[0].n_servers = 1;
    apply();
    rig_kill_replica(&rig, 0);
    rig_run_ms(&rig, 200);
    load_end(l, &got);
    cr_assert_eq(got.failed, 0, "%s", got.first_failure);
    cr_assert(got.by_name[0] > 10 && got.by_name[1] > 10);
    cr_assert_eq(rig_worker(&rig), worker, "no reload for servers");
    rig_look_now(&rig);
    cr_assert_not(rig_seen(&rig, "b0", 1));
    expect_body(rig.port, "/", "r1\n");
}

static bool server_two_is_idle(struct rig *r)
{
    const struct rig_look *l = rig_seen(r, "b0", 2);
    return l && l->sessions == 0;
}

static bool server_two_works(struct rig *r)
{
    const struct rig_look *l = rig_seen(r, "b0", 2);
    return l && l->sessions == 1;
}

Test(proxy, tells_when_a_server_is_drained)
{
    put_backend(0, two, 1, 1);
    state.n_backends = 1;
    apply_up();
    struct load *l =
        load_start(&(struct load_options){.port = rig.port, .path = "/slow/700", .threads = 1});
    rig_until(&rig, server_two_works, "a request to be under way");
    two[0].drain = true;
    apply();
    rig_look_now(&rig);
    cr_assert_eq(rig_seen(&rig, "b0", 2)->sessions, 1);
    int64_t begun = mono_us();
    rig_until(&rig, server_two_is_idle, "the request to end");
    cr_assert(mono_us() - begun > 100000);
    struct load_result got;
    load_end(l, &got);
}

Test(proxy, keeps_old_workers_in_sight)
{
    put_backend(0, two, 1, 1);
    state.n_backends = 1;
    apply_up();
    struct load *l =
        load_start(&(struct load_options){.port = rig.port, .path = "/slow/900", .threads = 1});
    rig_until(&rig, server_two_works, "a request to be under way");
    pid_t worker = rig_worker(&rig);
    state.n_backends = 2;
    put_backend(1, one, 0, 1);
    use(services[0].backend, "b1"); /* a new backend: a reload */
    apply();
    cr_assert_neq(rig_worker(&rig), worker);
    rig_look_now(&rig);
    cr_assert_eq(rig_seen(&rig, "b0", 2)->sessions, 1, "the old worker's request counts");
    two[0].drain = true;
    apply();
    rig_look_now(&rig);
    cr_assert_eq(rig_seen(&rig, "b0", 2)->sessions, 1);
    struct load_result got;
    load_end(l, &got);
    cr_assert_eq(got.failed, 0, "%s", got.first_failure);
    rig_until(&rig, server_two_is_idle, "the old worker to end");
}

Test(proxy, reloads_under_load)
{
    struct load_result got[3];
    put_backend(0, two, 0, 2);
    apply_up();
    struct load *l[3] = {
        load_start(&(struct load_options){.port = rig.port, .path = "/", .threads = 4}),
        load_start(
            &(struct load_options){.port = rig.port, .path = "/", .threads = 2, .fresh = true}),
        /* Idle most of the time: a reload must not cut such a connection as its next request comes. */
        load_start(&(struct load_options){
            .port = rig.port, .path = "/size", .threads = 4, .body_len = 3000, .think_us = 2000})};
    for (int i = 0; i < 8; i++) {
        state.n_services = 1 + (uint32_t)(i & 1);
        services[1] = services[0];
        services[1].id = 4;
        services[1].port = rig.port2;
        pid_t worker = rig_worker(&rig);
        apply();
        cr_assert(i == 0 || rig_worker(&rig) != worker);
        rig_run_ms(&rig, 50);
    }
    for (int i = 0; i < 3; i++) {
        load_end(l[i], &got[i]);
        cr_assert(got[i].requests > 100);
        cr_assert_eq(got[i].failed, 0, "load %d: %lu of %lu failed; %s", i, got[i].failed,
                     got[i].requests, got[i].first_failure);
    }
}

Test(proxy, hides_the_death_of_a_replica)
{
    struct load_result got[2];
    put_backend(0, two, 0, 2);
    state.n_backends = 1;
    apply_up();
    struct load *l[2] = {
        load_start(&(struct load_options){.port = rig.port, .path = "/", .threads = 4}),
        load_start(&(struct load_options){
            .port = rig.port, .path = "/size", .threads = 4, .body_len = 100000})};
    for (int i = 0; i < 3; i++) {
        rig_run_ms(&rig, 100);
        rig_kill_replica(&rig, 0);
        rig_run_ms(&rig, 100);
        rig_start_replica(&rig, 0);
        rig_until(&rig, all_up, "the replica to be up again");
    }
    for (int i = 0; i < 2; i++) {
        load_end(l[i], &got[i]);
        cr_assert_eq(got[i].failed, 0, "load %d: %lu of %lu failed; %s", i, got[i].failed,
                     got[i].requests, got[i].first_failure);
    }
}

static bool restarted(struct rig *r)
{
    return r->restarts > 0;
}

Test(proxy, comes_back_when_killed)
{
    state.n_backends = 1;
    apply_up();
    put_backend(0, two, 1, 1); /* by commands: must be in the file as well */
    apply_up();
    rig_kill_replica(&rig, 0);
    kill(rig_master(&rig), SIGKILL);
    int64_t begun = mono_us();
    while (!restarted(&rig)) {
        cr_assert(mono_us() - begun < 1000000, "not back within a second");
        rig_run_ms(&rig, 5);
    }
    expect_body(rig.port, "/", "r1\n");
    cr_assert_eq(rig.restarts, 1);
    cr_assert_eq(rig.restart_failures, 0, "%s", rig.restart_error);
    apply_up();
}

Test(proxy, comes_back_when_its_worker_is_killed)
{
    apply_up();
    kill(rig_worker(&rig), SIGKILL);
    for (int i = 0; i < 400 && !restarted(&rig); i++) {
        rig_run_ms(&rig, 5);
    }
    cr_assert_eq(rig.restarts, 1);
    expect_body(rig.port, "/", "r0\n");
}

Test(proxy, takes_a_backend_away_without_a_reload)
{
    apply_up();
    pid_t worker = rig_worker(&rig);
    state.n_backends = 1;
    apply_up();
    rig_look_now(&rig);
    cr_assert_not(rig_seen(&rig, "b1", 2) || rig_seen(&rig, "b1", 0));
    cr_assert_eq(rig_worker(&rig), worker);
    state.n_backends = 2;
    use(services[0].backend, "b1");
    apply_up();
    expect_body(rig.port, "/", "r1\n");
    cr_assert_eq(rig_worker(&rig), worker);
    backends[0].timeout_ms = 5000;
    apply_up();
    cr_assert_neq(rig_worker(&rig), worker);
}

Test(proxy, is_adopted_without_its_pid_file)
{
    apply_up();
    pid_t master = rig_master(&rig);
    char path[128];
    proxy_close(rig.proxy);
    (void)snprintf(path, sizeof(path), "%s/haproxy.pid", rig.store);
    cr_assert(unlink(path) == 0);
    rig_open_proxy(&rig);
    use(services[0].backend, "b1");
    apply();
    expect_body(rig.port, "/", "r1\n");
    cr_assert_eq(rig_master(&rig), master);
}

Test(proxy, is_adopted)
{
    apply_up();
    pid_t master = rig_master(&rig), worker = rig_worker(&rig);
    proxy_close(rig.proxy);
    expect_body(rig.port, "/", "r0\n");
    rig_open_proxy(&rig);
    use(services[0].backend, "b1");
    apply_up();
    expect_body(rig.port, "/", "r1\n");
    cr_assert_eq(rig_master(&rig), master);
    cr_assert_eq(rig_worker(&rig), worker, "an equal shape needs no reload");
    services[1] = services[0];
    services[1].id = 4;
    services[1].port = rig.port2;
    state.n_services = 2; /* a reload, while the first address is ours already */
    apply_up();
    expect_body(rig.port2, "/", "r1\n");
    cr_assert_eq(rig_master(&rig), master);
    kill(master, SIGKILL);
    for (int i = 0; i < 400 && !restarted(&rig); i++) {
        rig_run_ms(&rig, 5);
    }
    cr_assert_eq(rig.restarts, 1);
    expect_body(rig.port2, "/", "r1\n");
}

Test(proxy, replaces_one_that_hangs)
{
    apply_up();
    kill(rig_worker(&rig), SIGSTOP);
    use(services[0].backend, "b1");
    apply();
    expect_body(rig.port, "/", "r1\n");
}

Test(proxy, names_a_port_that_is_taken)
{
    char expected[64];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 1) == 0);
    cr_assert(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    (void)snprintf(expected, sizeof(expected), "127.0.0.1:%u is taken", ntohs(at.sin_port));
    apply_up();
    services[1] = services[0];
    services[1].id = 4;
    services[1].port = ntohs(at.sin_port);
    use(services[1].backend, "b1");
    state.n_services = 2;
    cr_assert_not(rig_apply(&rig, &state));
    cr_assert(strstr(rig.err.msg, expected), "%s", rig.err.msg);
    expect_body(rig.port, "/", "r0\n");
    /* What HAProxy would start with is what it had. */
    kill(rig_master(&rig), SIGKILL);
    for (int i = 0; i < 400 && !restarted(&rig); i++) {
        rig_run_ms(&rig, 5);
    }
    expect_body(rig.port, "/", "r0\n");
    close(fd);
    apply();
    expect_body(services[1].port, "/", "r1\n");
}

Test(proxy, keeps_what_it_has_when_a_configuration_is_refused)
{
    char script[128], flag[96];
    char *version = NULL, *program = proxy_find(&version);
    (void)snprintf(flag, sizeof(flag), "%s/refuse", rig.dir);
    (void)snprintf(script, sizeof(script), "%s/haproxy", rig.dir);
    CLEANUP(cleanup_free)
    char *text = xasprintf(
        "#!/bin/sh\nif [ \"$1\" = -c ] && [ -e %s ]; then\n"
        "  echo '[ALERT]    (1) : config : nobody likes it' >&2\n  exit 1\nfi\nexec %s \"$@\"\n",
        flag, program);
    cr_assert(fs_write_file(script, text, strlen(text), 0700, false, NULL) == 0);
    setenv("WF_HAPROXY", script, 1);
    proxy_close(rig.proxy);
    rig_open_proxy(&rig);
    apply_up();
    cr_assert(fs_write_file(flag, "", 0, 0600, false, NULL) == 0);
    backends[1].balance = BALANCE_LEAST_CONNECTIONS;
    use(services[0].backend, "b1");
    cr_assert_not(rig_apply(&rig, &state));
    cr_assert(strstr(rig.err.msg, "nobody likes it"), "%s", rig.err.msg);
    expect_body(rig.port, "/", "r0\n");
    kill(rig_master(&rig), SIGKILL);
    for (int i = 0; i < 400 && !restarted(&rig); i++) {
        rig_run_ms(&rig, 5);
    }
    expect_body(rig.port, "/", "r0\n");
    unlink(flag);
    apply();
    expect_body(rig.port, "/", "r1\n");
    free(program);
    free(version);
}

Test(proxy, answers_while_nothing_is_served)
{
    services[0].backend[0] = '\0';
    state.n_backends = 0;
    apply();
    struct reply got = rig_get(rig.port, "/");
    cr_assert_eq(got.status, 503);
    cr_assert(strcasestr(got.text, "retry-after: 1") && strstr(got.body, "{\"error\":\""), "%s",
              got.text);
    cr_assert(strcasestr(got.text, "content-type: application/json"));
    /* A backend without a living server answers likewise. */
    state.n_backends = 1;
    use(services[0].backend, "b0");
    backends[0].n_servers = 0;
    apply();
    got = rig_get(rig.port, "/");
    cr_assert_eq(got.status, 503);
    cr_assert(strcasestr(got.text, "retry-after: 1") && strstr(got.body, "{\"error\":\""));
    /* … unless somebody starts one. That is a reload, and the earlier worker may still take a connection. */
    services[0].activator = rig.socket[1];
    apply();
    for (int i = 0; i < 100 && rig_get(rig.port, "/").status != 200; i++) {
        (void)usleep(20000);
    }
    expect_body(rig.port, "/", "r1\n");
    backends[0].n_servers = 1;
    apply_up();
    expect_body(rig.port, "/", "r0\n");
}

static uint64_t count_status(const struct request *q, int n, int status)
{
    uint64_t count = 0;
    for (int i = 0; i < n; i++) {
        count += rig_ask(q).status == status;
    }
    return count;
}

Test(proxy, limits_rates)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/tokens", rig.dir);
    const char tokens[] = "# callers\nalice-secret alice\nbob-secret  bob 20/s\n";
    cr_assert(fs_write_file(path, tokens, strlen(tokens), 0600, false, NULL) == 0);
    services[0].tokens_file = path;
    services[0].rate_anonymous = 5;
    services[0].rate_authenticated = 10;
    apply_up();
    struct request nobody = {.port = rig.port, .path = "/"};
    struct request alice = {
        .port = rig.port, .path = "/", .headers = "Authorization: Bearer alice-secret\r\n"};
    struct request bob = {
        .port = rig.port, .path = "/", .headers = "authorization: bearer bob-secret\r\n"};
    struct request mallory = {
        .port = rig.port, .path = "/", .headers = "Authorization: Bearer alice\r\n"};
    /* Each at once, far faster than a second; one more may pass as the window slides. */
    uint64_t n = count_status(&nobody, 40, 200);
    cr_assert(n >= 5 && n <= 7, "%lu", n);
    n = count_status(&alice, 40, 200);
    cr_assert(n >= 10 && n <= 13, "%lu", n);
    n = count_status(&bob, 60, 200);
    cr_assert(n >= 20 && n <= 25, "%lu", n);
    struct reply got = rig_ask(&nobody);
    cr_assert(got.status == 429 && strcasestr(got.text, "retry-after:") &&
                  strstr(got.body, "{\"error\":\""),
              "%s", got.text);
    got = rig_ask(&mallory);
    cr_assert(got.status == 401 && strstr(got.body, "{\"error\":\""), "%s", got.text);
    /* What was refused does not count: a second later it passes again. */
    usleep(1100000);
    cr_assert_eq(rig_ask(&nobody).status, 200);
    /* A token more needs no reload, and none lies in HAProxy's files. */
    pid_t worker = rig_worker(&rig);
    const char more[] = "alice dave 100\n";
    cr_assert(fs_write_file(path, more, strlen(more), 0600, false, NULL) == 0);
    apply();
    cr_assert_eq(rig_worker(&rig), worker);
    cr_assert_eq(rig_ask(&mallory).status, 200);
    cr_assert_eq(rig_ask(&bob).status, 401);
    CLEANUP(sb_done) struct str map = {0};
    CLEANUP(cleanup_free) char *file = fs_join(rig.store, "tokens.map");
    cr_assert(fs_read_file(file, 1 << 20, &map, NULL) == 0);
    cr_assert(!strstr(map.data, "alice") && strlen(map.data) > 64);
}

Test(proxy, sends_a_share_to_the_canary)
{
    use(services[0].canary, "b1");
    services[0].canary_percent = 20;
    apply_up();
    struct load_result got;
    struct load *l =
        load_start(&(struct load_options){.port = rig.port, .path = "/", .threads = 4});
    rig_run_ms(&rig, 500);
    load_end(l, &got);
    double share = (double)got.by_name[1] / (double)got.requests;
    cr_assert(got.requests > 500 && share > 0.15 && share < 0.25, "%f of %lu", share, got.requests);
    services[0].canary_percent = 100;
    apply();
    expect_body(rig.port, "/", "r1\n");
    services[0].canary[0] = '\0';
    apply();
    expect_body(rig.port, "/", "r0\n");
}

enum { KEYS = 120 };

static void shards(int ret[KEYS])
{
    for (int i = 0; i < KEYS; i++) {
        char header[64];
        (void)snprintf(header, sizeof(header), "X-User: key-%d\r\n", i);
        struct reply got =
            rig_ask(&(struct request){.port = rig.port, .path = "/", .headers = header});
        cr_assert_eq(got.status, 200);
        ret[i] = got.body[1] - '0';
    }
}

Test(proxy, keeps_shards_where_they_are)
{
    int before[KEYS], without[KEYS], after[KEYS], counts[3] = {0};
    rig_start_replica(&rig, 2);
    put_backend(0, three, 0, 3);
    backends[0].shard_header = "X-User";
    apply_up();
    shards(before);
    for (int i = 0; i < KEYS; i++) {
        counts[before[i]]++;
    }
    cr_assert(counts[0] > 10 && counts[1] > 10 && counts[2] > 10);
    struct proxy_server left[2] = {three[0], three[2]};
    backends[0].servers = left;
    backends[0].n_servers = 2;
    apply_up();
    shards(without);
    for (int i = 0; i < KEYS; i++) {
        cr_assert(before[i] == 1 ? without[i] != 1 : without[i] == before[i]);
    }
    backends[0].servers = three;
    backends[0].n_servers = 3;
    apply_up();
    shards(after);
    cr_assert_arr_eq(before, after, sizeof(before));
}

Test(proxy, limits_requests_at_once)
{
    backends[0].maxconn = 2;
    backends[0].maxqueue = 3;
    apply_up();
    struct load_result got;
    struct load *l =
        load_start(&(struct load_options){.port = rig.port, .path = "/slow/50", .threads = 12});
    rig_run_ms(&rig, 600);
    load_end(l, &got);
    cr_assert(got.failed > 0 && strstr(got.first_failure, "503 {\"error\":\""), "%s",
              got.first_failure);
    expect_body(rig.port, "/most", "2\n");
}

Test(proxy, counts_over_reloads)
{
    apply_up();
    for (int i = 0; i < 10; i++) {
        (void)rig_get(rig.port, i < 3 ? "/fail" : "/");
    }
    rig_look_now(&rig);
    cr_assert_eq(rig_seen(&rig, "b0", 0)->requests, 10);
    cr_assert_eq(rig_seen(&rig, "b0", 0)->errors, 3);
    backends[1].balance = BALANCE_LEAST_CONNECTIONS;
    apply_up();
    (void)rig_get(rig.port, "/fail");
    rig_look_now(&rig);
    cr_assert_eq(rig_seen(&rig, "b0", 0)->requests, 11);
    cr_assert_eq(rig_seen(&rig, "b0", 1)->errors, 4);
}

Test(proxy, listens_at_ipv6)
{
    services[0].host = "::1";
    if (!rig_apply(&rig, &state)) {
        cr_assert(strstr(rig.err.msg, "not an address of this machine"), "%s", rig.err.msg);
        cr_skip_test("this machine has no IPv6");
    }
    rig_until(&rig, all_up, "all servers to be up");
    struct reply got = rig_ask(&(struct request){.host = "::1", .port = rig.port, .path = "/"});
    cr_assert_eq(got.status, 200);
    services[0].rate_anonymous = 3;
    apply_up();
    uint64_t n =
        count_status(&(struct request){.host = "::1", .port = rig.port, .path = "/"}, 30, 200);
    cr_assert(n >= 3 && n <= 5, "%lu", n);
}

static int refused, applied;
static void on_many(const struct err *err, void *arg)
{
    (void)arg;
    refused += err != NULL;
    applied += err == NULL;
}

Test(proxy, takes_the_newest_of_many_states)
{
    apply_up();
    for (int i = 0; i < 5; i++) {
        use(services[0].backend, i & 1 ? "b0" : "b1");
        services[0].host = i == 2 ? "no host" : "127.0.0.1";
        proxy_apply(rig.proxy, &state, on_many, NULL);
    }
    for (int i = 0; i < 400 && applied + refused < 5; i++) {
        rig_run_ms(&rig, 5);
    }
    cr_assert(applied == 4 && refused == 1);
    expect_body(rig.port, "/", "r1\n");
}

/* Before any test: CTest takes 77 for skipped. */
ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    char *version = NULL, *program = proxy_find(&version);
    (void)tests;
    if (!program) {
        puts("SKIP: HAProxy is not installed");
        exit(77);
    }
    free(program);
    free(version);
}
