/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "serve/spec.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const argv[] = {"python3", "server.py", "--socket=" SPEC_SOCKET, NULL};
static const char *const env[] = {"A=1", "B=\"zwei\"\n", "N=" SPEC_INDEX, NULL};
static const struct spec_secret secrets[] = {{"TOKEN", "MY_TOKEN", NULL}, {"KEY", NULL, "/k"}};
static const struct spec_mount mounts[] = {{"/store/models/ab", "/models/m"}};

static struct spec_model model(void)
{
    struct spec_model m = {.name = "train[model=mlp]",
                           .slug = "mlp",
                           .metric = 0.8751,
                           .ready_script = "test -S $WF_SOCKET"};
    memset(&m.content, 0x5a, sizeof(m.content));
    m.program = (struct spec_program){.argv = argv,
                                      .script = "#!/bin/sh\nexec serve\n",
                                      .env = env,
                                      .n_secrets = 2,
                                      .secrets = secrets,
                                      .workdir = "/w",
                                      .image = "sha256:1",
                                      .network = NETWORK_NONE,
                                      .resources = {500, 1 << 30, 1},
                                      .n_mounts = 1,
                                      .mounts = mounts};
    return m;
}

static struct service_spec serve(const struct spec_model *m)
{
    return (struct service_spec){.workflow = "flow",
                                 .step = "serve",
                                 .run = "01J00000000000000000000000",
                                 .promotion = 7,
                                 .listen = {"127.0.0.1", 8080},
                                 .limits = {.concurrent = 4, .queue = 9, .rate_anonymous = 2.5},
                                 .tokens_file = "/tokens",
                                 .keep = true,
                                 .n_models = 1,
                                 .models = m,
                                 .replicas = 2,
                                 .ready_path = "/v2/health/ready",
                                 .ready_timeout_ms = 1000,
                                 .grace_ms = 50,
                                 .retry = {.limit = 3, .delay_ms = 10, .backoff = 1.5},
                                 .address = ADDRESS_FIXED,
                                 .fixed_port = 65535,
                                 .balance = BALANCE_HASH,
                                 .shard_header = "X-User",
                                 .shard_uri = true,
                                 .canary_share = 0.1,
                                 .canary_max_errors = 0.01,
                                 .canary_for_ms = 900000,
                                 .scales = true,
                                 .scale_min = 1,
                                 .scale_max = 4,
                                 .scale_target = 8,
                                 .first_stop = true};
}

/* Encoded, decoded and encoded again. */
static void check_round(const struct service_spec *s, struct service_spec *ret, struct arena *a)
{
    struct str one = {0}, two = {0};
    struct err err = {0};
    spec_encode(s, &one);
    cr_assert_eq(spec_decode(one.data, one.len, a, ret, &err), 0, "%s", err.msg);
    spec_encode(ret, &two);
    cr_assert_str_eq(sb_text(&one), sb_text(&two));
    sb_done(&one);
    sb_done(&two);
}

Test(serve_spec, comes_back_as_it_went)
{
    struct arena *a = arena_new();
    struct spec_model m = model();
    struct service_spec s = serve(&m), r;
    check_round(&s, &r, a);
    cr_assert_str_eq(r.models[0].program.argv[2], argv[2]);
    cr_assert_str_eq(r.models[0].program.env[1], env[1]);
    cr_assert_null(r.models[0].program.env[3]);
    cr_assert_str_eq(r.models[0].program.secrets[0].env, "MY_TOKEN");
    cr_assert_null(r.models[0].program.secrets[0].file);
    cr_assert_str_eq(r.models[0].program.secrets[1].file, "/k");
    cr_assert_str_eq(r.models[0].program.mounts[0].inner, "/models/m");
    cr_assert_eq(r.models[0].program.resources.memory, 1 << 30);
    cr_assert(digest_eq(&r.models[0].content, &m.content));
    cr_assert_eq(r.models[0].metric, 0.8751);
    cr_assert_eq(r.fixed_port, 65535);
    cr_assert_eq(r.canary_share, 0.1);
    cr_assert_eq(r.limits.rate_anonymous, 2.5);
    cr_assert_eq(r.retry.limit, 3);
    cr_assert(r.keep && r.shard_uri && r.scales && r.first_stop);
    arena_free(a);
}

Test(serve_spec, an_aggregate_comes_back)
{
    static const char *const command[] = {"combine", NULL};
    struct arena *a = arena_new();
    struct service_spec s = {.aggregate = true,
                             .workflow = "flow",
                             .step = "all",
                             .over = "serve",
                             .method = METHOD_COMMAND,
                             .command = command,
                             .command_env = env,
                             .command_script = "x",
                             .quorum = 2,
                             .split = 64},
                        r;
    check_round(&s, &r, a);
    cr_assert(r.aggregate);
    cr_assert_str_eq(r.over, "serve");
    cr_assert_eq(r.method, METHOD_COMMAND);
    cr_assert_str_eq(r.command[0], "combine");
    cr_assert_eq(r.split, 64);
    arena_free(a);
}

Test(serve_spec, nothing_promoted_yet_comes_back)
{
    struct arena *a = arena_new();
    struct service_spec s = {.workflow = "flow", .step = "serve"}, r;
    check_round(&s, &r, a);
    cr_assert_eq(r.n_models, 0);
    arena_free(a);
}

Test(serve_spec, content_leaves_out_run_and_promotion_alone)
{
    struct spec_model m = model();
    struct service_spec s = serve(&m), other = s;
    struct digest a = spec_content(&s), b;
    other.run = "01K";
    other.promotion = 8;
    b = spec_content(&other);
    cr_assert(digest_eq(&a, &b));
    other.replicas = 3;
    b = spec_content(&other);
    cr_assert_not(digest_eq(&a, &b));
    other = s;
    m.content.bytes[0] ^= 1;
    b = spec_content(&other);
    cr_assert_not(digest_eq(&a, &b));
}

Test(serve_spec, what_is_not_ours_is_refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"workflow\":1,\"step\":\"s\"}",
        "{\"workflow\":\"w\",\"step\":\"s\",\"port\":65536}",
        "{\"workflow\":\"w\",\"step\":\"s\",\"balance\":99}",
        "{\"workflow\":\"w\",\"step\":\"s\",\"replicas\":-1}",
        "{\"workflow\":\"w\",\"step\":\"s\",\"models\":{}}",
        "{\"workflow\":\"w\",\"step\":\"s\",\"models\":[{\"content\":\"sha256:1\"}]}",
        "{\"workflow\":\"w\",\"step\":\"s\",\"models\":[1]}",
        "{\"workflow\":\"w\",\"step\":\"s\"",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct arena *a = arena_new();
        struct service_spec r;
        struct err err = {0};
        cr_assert_lt(spec_decode(bad[i], strlen(bad[i]), a, &r, &err), 0, "%s", bad[i]);
        cr_assert_eq(err.code, ERR_CORRUPT);
        arena_free(a);
    }
}
