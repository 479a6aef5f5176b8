/* SPDX-License-Identifier: Apache-2.0 */
/* A state as text, and hostile states. */
#include "base/err.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct proxy_server servers[2];
static struct proxy_backend backends[2];
static struct proxy_route routes[2];
static struct proxy_service services[2];
static struct proxy_state state;
static struct proxy_place place;
static struct proxy_tokens tokens[2];
static struct err err;

static void set_up(void)
{
    servers[0] = (struct proxy_server){.id = 1, .socket = "/run/wf/r1.sock"};
    servers[1] = (struct proxy_server){.id = 2, .port = 18001};
    backends[0] = (struct proxy_backend){.name = "s3g7_0",
                                         .check_path = "/v2/health/ready",
                                         .maxconn = 4,
                                         .maxqueue = 16,
                                         .n_servers = 2,
                                         .servers = servers};
    backends[1] = (struct proxy_backend){.name = "s3g7_1", .n_servers = 1, .servers = servers};
    routes[0] = (struct proxy_route){"mlp", "s3g7_0"};
    routes[1] = (struct proxy_route){"Soft.max-1_x", "s3g7_1"};
    services[0] = (struct proxy_service){.id = 3,
                                         .host = "127.0.0.1",
                                         .port = 8080,
                                         .backend = "s3g7_0",
                                         .n_routes = 2,
                                         .routes = routes};
    services[1] = (struct proxy_service){.id = 4, .host = "::1", .port = 8080};
    state = (struct proxy_state){
        .n_services = 2, .services = services, .n_backends = 2, .backends = backends};
    place = (struct proxy_place){.run_dir = "/run/user/1/wf-1", .threads = 2, .maxconn = 100};
    memset(tokens, 0, sizeof(tokens));
}

static void tear_down(void)
{
    proxy_tokens_done(&tokens[0]);
    proxy_tokens_done(&tokens[1]);
}

TestSuite(serve_proxy_render, .init = set_up, .fini = tear_down, .timeout = 30);

static struct proxy_text *render(void)
{
    const struct proxy_tokens *borrowed[2] = {&tokens[0], &tokens[1]};
    struct proxy_text *t = NULL;
    int rc = proxy_render(&state, borrowed, &place, &t, &err);
    cr_assert_eq(rc, 0, "%s", err.msg);
    return t;
}

static void refused(const char *why)
{
    const struct proxy_tokens *borrowed[2] = {&tokens[0], &tokens[1]};
    struct proxy_text *t = NULL;
    int rc = proxy_render(&state, borrowed, &place, &t, &err);
    cr_assert_eq(rc, -ERR_INVALID, "taken: %s", why);
    cr_assert_null(t);
    cr_assert(err.msg[0] != '\0');
    for (const char *p = err.msg; *p; p++) {
        cr_assert((unsigned char)*p >= ' ', "a message shows no control character: %s", why);
    }
}

static const char *value(const struct proxy_text *t, enum proxy_map map, const char *key)
{
    for (size_t i = 0; i < t->maps[map].len; i++) {
        if (strcmp(t->maps[map].items[i].key, key) == 0) {
            return t->maps[map].items[i].value;
        }
    }
    return NULL;
}

static int lines_with(const struct proxy_text *t, const char *text)
{
    int n = 0;
    for (const char *at = t->config.data; (at = strstr(at, text)); at++) {
        n++;
    }
    return n;
}

Test(serve_proxy_render, maps_and_servers)
{
    struct proxy_text *t = render();
    cr_assert_str_eq(value(t, MAP_ROUTES, "s3"), "s3g7_0");
    cr_assert_str_eq(value(t, MAP_ROUTES, "s3/mlp"), "s3g7_0");
    cr_assert_str_eq(value(t, MAP_ROUTES, "s3/Soft.max-1_x"), "s3g7_1");
    cr_assert_null(value(t, MAP_ROUTES, "s4"));
    cr_assert_eq(lines_with(t, "server r1 unix@/run/wf/r1.sock id 1 "), 2);
    cr_assert_eq(lines_with(t, "server r2 127.0.0.1:18001 id 2 "), 1);
    cr_assert_eq(lines_with(t, "    bind 127.0.0.1:8080\n"), 1);
    cr_assert_eq(lines_with(t, "    bind [::1]:8080\n"), 1);
    cr_assert_eq(lines_with(t, "{ queue ge 16 }"), 1);
    cr_assert_eq(lines_with(t, "maxconn 4\n"), 3); /* the default's line and two servers */
    cr_assert_eq(t->binds.len, 2);
    proxy_text_free(t);
}

/* The shape says whether a reload is needed: not for servers, maps, canaries. */
Test(serve_proxy_render, the_shape_is_all_but_servers_and_maps)
{
    struct proxy_text *first = render();
    strcpy(services[0].backend, "s3g7_1");
    strcpy(services[0].canary, "s3g7_0");
    services[0].canary_percent = 5;
    services[0].n_routes = 1;
    backends[0].n_servers = 1;
    servers[0].drain = true;
    struct proxy_text *same = render();
    cr_assert_str_eq(first->shape.all, same->shape.all);
    cr_assert_str_eq(value(same, MAP_CANARY, "s3"), "s3g7_0");
    cr_assert_str_eq(value(same, MAP_SHARE, "s3"), "5");
    cr_assert_eq(lines_with(same, "server r1 "), 0, "one that drains is not started with");
    cr_assert(strstr(same->config.data, same->shape.all));
    backends[1].balance = BALANCE_LEAST_CONNECTIONS;
    struct proxy_text *other = render();
    cr_assert_str_neq(first->shape.all, other->shape.all);
    proxy_text_free(first);
    proxy_text_free(same);
    proxy_text_free(other);
}

/* A backend more than is wanted may stay until the next reload. */
Test(serve_proxy_render, a_shape_covers_what_has_less)
{
    struct proxy_text *both = render();
    state.n_backends = 1;
    services[0].n_routes = 1;
    struct proxy_text *less = render();
    cr_assert(proxy_shape_covers(&both->shape, &less->shape));
    cr_assert(proxy_shape_covers(&both->shape, &both->shape));
    cr_assert_not(proxy_shape_covers(&less->shape, &both->shape));
    cr_assert_str_neq(less->shape.all, both->shape.all);
    backends[0].timeout_ms = 1000;
    struct proxy_text *other = render();
    cr_assert_not(proxy_shape_covers(&both->shape, &other->shape));
    set_up();
    state.n_services = 1;
    struct proxy_text *closed = render();
    cr_assert_not(proxy_shape_covers(&both->shape, &closed->shape), "an address is given up");
    proxy_text_free(both);
    proxy_text_free(less);
    proxy_text_free(other);
    proxy_text_free(closed);
}

Test(serve_proxy_render, balance)
{
    backends[0].balance = BALANCE_HASH;
    backends[1].shard_header = "X-'Odd`!#$%&*+.^_|~-1";
    struct proxy_text *t = render();
    cr_assert_eq(lines_with(t, "    balance source\n    hash-type consistent\n"), 1);
    cr_assert_eq(lines_with(t, "    balance 'hdr(X-'\\''Odd`!#$%&*+.^_|~-1)'\n"), 1);
    proxy_text_free(t);
    backends[0].shard_uri = true;
    t = render();
    cr_assert_eq(lines_with(t, "    balance uri\n    hash-type consistent\n"), 1);
    proxy_text_free(t);
}

Test(serve_proxy_render, rates)
{
    services[0].rate_anonymous = 20;
    services[1].rate_anonymous = 0.5;
    struct proxy_text *t = render();
    cr_assert_eq(lines_with(t, "gpc0_rate(1s)"), 1);
    cr_assert_eq(lines_with(t, "sc1_gpc0_rate(s3.anonymous) ge 20 }"), 1);
    cr_assert_eq(lines_with(t, "gpc0_rate(10s)"), 1);
    cr_assert_eq(lines_with(t, "sc1_gpc0_rate(s4.anonymous) ge 5 }"), 1);
    services[0].rate_anonymous = 1000.0 / 3600;
    struct proxy_text *slow = render();
    cr_assert_eq(lines_with(slow, "sc1_gpc0_rate(s3.anonymous) ge 167 }"), 1);
    cr_assert_eq(lines_with(slow, "gpc0_rate(600s)"), 1);
    proxy_text_free(slow);
    cr_assert_eq(lines_with(t, "type ipv6"), 2, "IPv4's table would not count IPv6's callers");
    proxy_text_free(t);
}

Test(serve_proxy_render, tokens_stand_there_as_digests)
{
    const char text[] = "# who may\n\nsecret-1 alice\n\tsecret-2\tbob 150/m\r\n";
    int rc = proxy_tokens_parse("tokens", text, strlen(text), &tokens[0], &err);
    cr_assert_eq(rc, 0, "%s", err.msg);
    services[0].tokens_file = "/x/tokens";
    services[0].rate_authenticated = 10;
    struct proxy_text *t = render();
    cr_assert_eq(t->maps[MAP_TOKENS].len, 2);
    /* printf secret-1 | sha256sum, in capitals */
    const char *limit =
        value(t, MAP_TOKENS, "s3/F7E7C36E458E80E6B6A2C67D0A9EC09BD718DADD7BFA8D6BF6E7AD526E46C2F7");
    cr_assert(limit && strcmp(limit, "100") == 0);
    cr_assert_eq(lines_with(t, "secret"), 0);
    CLEANUP(sb_done) struct str map = {0};
    proxy_map_text(t, MAP_TOKENS, &map);
    cr_assert_not(strstr(map.data, "secret") || strstr(map.data, "alice"));
    /* 2.5 in a second: 25 in 10; and the other one by the same measure */
    cr_assert(strstr(map.data, " 25\n") && strstr(map.data, " 100\n"), "%s", map.data);
    proxy_text_free(t);
}

Test(serve_proxy_render, tokens_that_are_refused)
{
    static const char *const bad[] = {
        "lonely\n",         "token name rate\n", "token name 1 more\n", "token name -1\n",
        "token name nan\n", "token name 0x10\n", "token name 1e99\n",   "token name 5/d\n",
        "token name /s\n",  "to,ken name\n",     "to\"ken name\n",      "t\xc3\xb6ken name\n",
        "same a\nsame b\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct proxy_tokens t = {0};
        cr_assert_eq(proxy_tokens_parse("the-file", bad[i], strlen(bad[i]), &t, &err), -ERR_INVALID,
                     "taken: %s", bad[i]);
        cr_assert(strstr(err.msg, "the-file"));
        cr_assert_not(strstr(err.msg, "same") || strstr(err.msg, "lonely"), "it names a token");
    }
}

/* Each stands for a way out of its place: the end of a word, of a line, of a quotation, of a command, of a map's entry. */
static const char *const hostile[] = {"a b",
                                      "a\nb",
                                      "a\rb",
                                      "a\tb",
                                      "a\"b",
                                      "a\\b",
                                      "a;b",
                                      "a\x01z",
                                      "a\x7f",
                                      "\xc3\xa9",
                                      "a<b",
                                      "a{b",
                                      "",
                                      "x\n    server evil 10.0.0.1:80",
                                      "x\nbackend evil"};

Test(serve_proxy_render, hostile_texts_are_refused)
{
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "/%s", hostile[i]);
        bool plain_path = strcmp(path, "/") == 0 || strcmp(path, "/a;b") == 0;
        set_up();
        backends[0].shard_header = hostile[i];
        refused(hostile[i]);
        set_up();
        routes[1].slug = hostile[i];
        refused(hostile[i]);
        set_up();
        services[0].host = hostile[i];
        refused(hostile[i]);
        set_up();
        backends[0].check_path = path;
        if (!plain_path) {
            refused(path);
        }
        set_up();
        servers[0].socket = path;
        if (strcmp(path, "/") != 0) {
            refused(path);
        }
        set_up();
        services[0].activator = path;
        if (strcmp(path, "/") != 0) {
            refused(path);
        }
        set_up();
        place.run_dir = path;
        if (strcmp(path, "/") != 0) {
            refused(path);
        }
        set_up();
        (void)snprintf(backends[1].name, sizeof(backends[1].name), "%.31s", hostile[i]);
        refused(hostile[i]);
        set_up();
        (void)snprintf(services[0].canary, sizeof(services[0].canary), "%.31s", hostile[i]);
        if (hostile[i][0]) {
            refused(hostile[i]);
        }
    }
}

Test(serve_proxy_render, quotes_in_a_path_stay_in_it)
{
    backends[0].check_path = "/it's#x"; /* # is no letter of a path */
    refused("#");
    backends[0].check_path = "/it's?$HOME=%20&(x)";
    struct proxy_text *t = render();
    cr_assert_eq(lines_with(t, "uri '/it'\\''s?$HOME=%20&(x)' ver HTTP/1.1"), 1);
    proxy_text_free(t);
}

Test(serve_proxy_render, slugs_and_hosts)
{
    static const char *const bad_slugs[] = {"a/b", "a:b", "..%2f", "a,b", "a(b)", "$x", "a'b"};
    static const char *const bad_hosts[] = {
        "localhost", "example.org", "*",      "127.0.0.1:80",  "127.0.0.1,:81", "[::1]",
        "::1%lo",    "1.2.3",       "0x7f.1", "127.0.0.1 ssl", "unix@/x",       "::ffff:1.2.3.4.5"};
    for (size_t i = 0; i < ARRAY_LEN(bad_slugs); i++) {
        routes[0].slug = bad_slugs[i];
        refused(bad_slugs[i]);
    }
    char long_slug[66];
    memset(long_slug, 'a', 65);
    long_slug[65] = '\0';
    routes[0].slug = long_slug;
    refused("a slug of 65");
    routes[0].slug = long_slug + 1;
    proxy_text_free(render());
    for (size_t i = 0; i < ARRAY_LEN(bad_hosts); i++) {
        services[1].host = bad_hosts[i];
        refused(bad_hosts[i]);
    }
}

Test(serve_proxy_render, contradictions_are_refused)
{
    services[1].host = "127.0.0.1";
    refused("one address twice");
    services[1].host = "0.0.0.0";
    refused("an address and all");
    set_up();
    services[1].id = 3;
    refused("one id twice");
    set_up();
    routes[1].slug = "mlp";
    refused("one slug twice");
    set_up();
    servers[1].id = 1;
    refused("one server twice");
    set_up();
    strcpy(backends[1].name, "s3g7_0");
    refused("one backend twice");
    set_up();
    strcpy(services[0].backend, "nobody");
    refused("an unknown backend");
    set_up();
    memset(backends[1].name, 'a', sizeof(backends[1].name));
    refused("a name without an end");
    set_up();
    services[0].port = 0;
    refused("no port");
    set_up();
    services[0].rate_anonymous = NAN;
    refused("not a number");
    set_up();
    services[0].rate_authenticated = -1;
    refused("a negative rate");
    set_up();
    services[0].canary_percent = 101;
    refused("more than all");
    set_up();
    servers[1].port = 0;
    refused("a server without address");
}
