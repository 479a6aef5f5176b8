/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's configuration, and where paths lead. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "serve/gateway_config.h"
#include "serve/gateway_http.h"
#include "serve/gateway_impl.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct gateway_replica replicas[] = {{.socket = "/run/r1"}, {.port = 18001}};
static const struct gateway_member members[] = {
    {.slug = "mlp",
     .name = "train[model=\"mlp\"]",
     .metric = 0.88,
     .n_replicas = 2,
     .replicas = replicas},
    {.slug = "soft_max", .name = "t", .metric = -1, .n_replicas = 0},
};
static const char *const command[] = {"sh", "-c", "cat\n", NULL};
static const struct gateway_config full = {.generation = INT64_C(1) << 60,
                                           .socket = "/run/g",
                                           .name = "my \"e\"",
                                           .method = METHOD_COMMAND,
                                           .quorum = 2,
                                           .split = 10,
                                           .max_body = 1000,
                                           .timeout_ms = 5,
                                           .command = command,
                                           .env = command,
                                           .n_members = 2,
                                           .members = members};

static char *file(void)
{
    char *path = xstrdup("/tmp/wf-gateway.XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    return path;
}

Test(serve_gateway_config, written_and_read)
{
    CLEANUP(cleanup_free) char *path = file();
    struct arena *a = arena_new();
    struct gateway_config c;
    struct err err = {0};
    cr_assert_eq(gateway_write(path, &full, &err), 0, "%s", err.msg);
    cr_assert_eq(gateway_read(path, a, &c, &err), 0, "%s", err.msg);
    cr_assert(c.generation == full.generation && c.method == METHOD_COMMAND && c.quorum == 2 &&
              c.split == 10 && c.max_body == 1000 && c.timeout_ms == 5);
    cr_assert_str_eq(c.name, full.name);
    cr_assert_str_eq(c.command[2], "cat\n");
    cr_assert_null(c.command[3]);
    cr_assert_eq(c.n_members, 2);
    cr_assert_str_eq(c.members[0].name, members[0].name);
    cr_assert_str_eq(c.members[0].replicas[0].socket, "/run/r1");
    cr_assert(!c.members[0].replicas[1].socket && c.members[0].replicas[1].port == 18001);
    cr_assert_eq(c.members[0].metric, 0.88);
    cr_assert_eq(c.members[1].n_replicas, 0);
    struct gateway_config least = {.socket = "/s", .name = "n"};
    cr_assert_eq(gateway_write(path, &least, &err), 0, "%s", err.msg);
    cr_assert_eq(gateway_read(path, a, &c, &err), 0, "%s", err.msg);
    cr_assert(c.quorum == 1 && c.max_body == GATEWAY_MAX_BODY &&
              c.timeout_ms == GATEWAY_TIMEOUT_MS && c.n_members == 0 && !c.command[0]);
    unlink(path);
    arena_free(a);
}

Test(serve_gateway_config, refused)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "line 1"},
        {"[]", "no JSON object"},
        {"{\"name\":\"n\",\"method\":\"mean\",\"members\":[]}", "\"socket\" is not a text"},
        {"{\"socket\":\"/s\",\"name\":\"n\",\"method\":\"median\",\"members\":[]}",
         "\"method\" is not mean"},
        {"{\"socket\":\"/s\",\"name\":\"n\",\"method\":\"command\",\"members\":[]}",
         "\"command\" is not there"},
        {"{\"socket\":\"/s\",\"name\":\"n\",\"method\":\"mean\",\"quorum\":-1,\"members\":[]}",
         "\"quorum\""},
        {"{\"socket\":\"/s\",\"name\":\"n\",\"method\":\"mean\"}", "\"members\" is not a list"},
        {"{\"socket\":\"/s\",\"name\":\"n\",\"method\":\"mean\",\"members\":[{\"slug\":\"a/"
         "b\",\"name\":\"x\",\"replicas\":[]}]}",
         "\"slug\""},
        {"{\"socket\":\"/s\",\"name\":\"n\",\"method\":\"mean\",\"members\":[{\"slug\":\"a\\r\\nX: "
         "y\",\"name\":\"x\",\"replicas\":[]}]}",
         "\"slug\""},
        {"{\"socket\":\"/"
         "s\",\"name\":\"n\",\"method\":\"mean\",\"members\":[{\"slug\":\"a\",\"name\":\"x\","
         "\"replicas\":[{}]}]}",
         "\"replicas\""},
        {"{\"socket\":\"/"
         "s\",\"name\":\"n\",\"method\":\"mean\",\"members\":[{\"slug\":\"a\",\"name\":\"x\","
         "\"replicas\":[{\"port\":70000}]}]}",
         "\"port\""},
        {"{\"socket\":\"/"
         "s\",\"name\":\"n\",\"method\":\"mean\",\"members\":[{\"slug\":\"a\",\"name\":\"x\","
         "\"replicas\":[]},{\"slug\":\"a\",\"name\":\"y\",\"replicas\":[]}]}",
         "two members"},
    };
    CLEANUP(cleanup_free) char *path = file();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena *a = arena_new();
        struct gateway_config c;
        struct err err = {0};
        cr_assert_eq(fs_write_file(path, cases[i].text, strlen(cases[i].text), 0600, false, &err),
                     0);
        cr_assert_lt(gateway_read(path, a, &c, &err), 0, "%s", cases[i].text);
        cr_assert(strstr(err.msg, cases[i].says) && strstr(err.msg, path), "%s", err.msg);
        arena_free(a);
    }
    unlink(path);
}

Test(serve_gateway_config, routes)
{
    static const struct {
        const char *method, *path;
        enum route_kind kind;
        int status;
    } cases[] = {
        {"GET", "/v2", ROUTE_NOW, 200},
        {"GET", "/v2/", ROUTE_NOW, 200},
        {"HEAD", "/v2/health/live", ROUTE_NOW, 200},
        {"GET", "/v2/health/ready", ROUTE_NOW, 503},
        {"GET", "/v2/models/my \"e\"", ROUTE_ABOUT, 0},
        {"GET", "/v2/models/my \"e\"/ready", ROUTE_NOW, 503},
        {"POST", "/v2/models/my \"e\"/infer", ROUTE_INFER, 0},
        {"POST", "/v1/models/my \"e\":predict", ROUTE_PREDICT, 0},
        {"GET", "/v1/models/my \"e\"", ROUTE_NOW, 200},
        {"GET", "/v1/models", ROUTE_NOW, 200},
        {"GET", "/wf/generation", ROUTE_NOW, 200},
        {"GET", "/v2/models/my \"e\"/infer", ROUTE_NOW, 405},
        {"POST", "/v2", ROUTE_NOW, 405},
        {"DELETE", "/v2/models/my \"e\"", ROUTE_NOW, 405},
        {"POST", "/v2/models/my \"e\"s/infer", ROUTE_NOW, 404},
        {"POST", "/v2/models/mlp/infer", ROUTE_NOW, 404},
        {"GET", "/v2/models/my \"e\"/else", ROUTE_NOW, 404},
        {"POST", "/v1/models/my \"e\":explain", ROUTE_NOW, 404},
        {"GET", "/", ROUTE_NOW, 404},
        {"GET", "", ROUTE_NOW, 404},
        {"GET", "/v2/models/", ROUTE_NOW, 200},
    };
    CLEANUP(cleanup_free) char *path = file();
    struct err err = {0};
    struct loop *l = loop_new();
    struct upstream *u = upstream_new(l);
    struct ensemble *e;
    cr_assert_eq(gateway_write(path, &full, &err), 0, "%s", err.msg);
    cr_assert_eq(ensemble_open(path, u, NULL, &e, &err), 0, "%s", err.msg);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str out = {0};
        struct route r = route_find(e, cases[i].method, cases[i].path, &out);
        cr_assert_eq(r.kind, cases[i].kind, "%s", cases[i].path);
        cr_assert(r.kind != ROUTE_NOW || r.status == cases[i].status, "%s: %d", cases[i].path,
                  r.status);
        cr_assert_eq(r.allow != NULL, r.status == 405);
        sb_done(&out);
    }
    ensemble_unref(e);
    upstream_free(u);
    loop_free(l);
    unlink(path);
}
