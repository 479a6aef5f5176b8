/* SPDX-License-Identifier: Apache-2.0 */
/* What HAProxy has, and the commands to what is wanted. */
#include "base/err.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct proxy_server servers[3];
static struct proxy_backend backend;
static struct proxy_route route;
static struct proxy_service service;
static struct proxy_text *text;
static struct err err;

static void render(void)
{
    struct proxy_place place = {.run_dir = "/run/wf", .threads = 1, .maxconn = 10};
    struct proxy_state s = {
        .n_services = 1, .services = &service, .n_backends = 1, .backends = &backend};
    static const struct proxy_tokens none;
    const struct proxy_tokens *tokens[] = {&none};
    proxy_text_free(text);
    text = NULL;
    cr_assert_eq(proxy_render(&s, tokens, &place, &text, &err), 0, "%s", err.msg);
}

static void set_up(void)
{
    for (uint32_t i = 0; i < 3; i++) {
        servers[i] = (struct proxy_server){.id = i + 1, .port = (uint16_t)(9001 + i)};
    }
    backend = (struct proxy_backend){.name = "b", .n_servers = 2, .servers = servers};
    route = (struct proxy_route){"mlp", "b"};
    service = (struct proxy_service){
        .id = 7, .host = "127.0.0.1", .port = 80, .backend = "b", .n_routes = 1, .routes = &route};
    render();
}

static void tear_down(void)
{
    proxy_text_free(text);
}

TestSuite(serve_proxy_diff, .init = set_up, .fini = tear_down, .timeout = 30);

#define HEAD                                                                                       \
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight "        \
    "srv_iweight more\n"
#define ACTIVATOR "9 s7.activator 1 a - 2 0 1 1 5 6\n"
#define MAPS "0x1 s7 b\n0x2 s7/mlp b\n\n\n\n"

/* All commands, one per line; sweeping ones behind a line "--". */
static char commands[4096];
static const char *diff(const char *answers)
{
    struct proxy_diff d = {0};
    int rc = proxy_diff(text, answers, &d, &err);
    cr_assert_eq(rc, 0, "%s", err.msg);
    commands[0] = '\0';
    for (size_t i = 0; i < d.commands.len; i++) {
        strcat(strcat(commands, d.commands.items[i]), "\n");
    }
    for (size_t i = 0; i < d.sweep.len; i++) {
        strcat(strcat(strcat(commands, i ? "" : "--\n"), d.sweep.items[i]), "\n");
    }
    proxy_diff_done(&d);
    return commands;
}

Test(serve_proxy_diff, question)
{
    CLEANUP(sb_done) struct str q = {0};
    proxy_diff_question(text, &q);
    cr_assert_str_eq(
        q.data, "show servers state;show map routes.map;show map canary.map;show map share.map");
}

Test(serve_proxy_diff, agrees)
{
    cr_assert_str_eq(diff(HEAD "4 b 1 r1 - 2 0 1 1\n4 b 2 r2 - 0 0 1 1\n" ACTIVATOR "\n" MAPS), "");
}

Test(serve_proxy_diff, adds_before_it_switches)
{
    const char *got = diff(HEAD "4 b 1 r1 - 2 0 1 1\n\n0x1 s7 old\n0x3 s7/gone old\n\n\n\n");
    cr_assert_eq(strncmp(got, "add server b/r2 127.0.0.1:9002 id 2 check ", 42), 0, "%s", got);
    const char *rest = strchr(got, '\n') + 1;
    cr_assert_str_eq(rest, "enable health b/r2\nset server b/r2 state ready\n"
                           "set map routes.map s7 b\nadd map routes.map s7/mlp b\n"
                           "del map routes.map s7/gone\n");
}

Test(serve_proxy_diff, finishes_what_was_begun)
{
    /* Added, but never enabled; and one that drained and is wanted again. */
    cr_assert_str_eq(diff(HEAD "4 b 1 r1 - 0 1 1 1\n4 b 2 r2 - 2 8 1 1\n\n" MAPS),
                     "enable health b/r1\nset server b/r1 state ready\n"
                     "set server b/r2 state ready\n");
}

Test(serve_proxy_diff, drains)
{
    servers[1].drain = true;
    render();
    cr_assert_str_eq(diff(HEAD "4 b 1 r1 - 2 0 1 1\n4 b 2 r2 - 2 0 1 1\n\n" MAPS),
                     "set server b/r2 state drain\n");
    cr_assert_str_eq(diff(HEAD "4 b 1 r1 - 2 0 1 1\n4 b 2 r2 - 2 8 1 1\n\n" MAPS), "");
    cr_assert_str_eq(diff(HEAD "4 b 1 r1 - 2 0 1 1\n\n" MAPS), "", "a new worker need not know it");
}

Test(serve_proxy_diff, removes)
{
    cr_assert_str_eq(
        diff(HEAD "4 b 1 r1 - 2 0 1 1\n4 b 2 r2 - 2 0 1 1\n4 b 3 r3 - 2 8 1 1\n\n" MAPS),
        "set server b/r3 state maint\ndisable health b/r3\ndel server b/r3\n");
    cr_assert_str_eq(
        diff(HEAD "4 b 1 r1 - 2 0 1 1\n4 b 2 r2 - 2 0 1 1\n4 b 3 r3 - 0 1 1 1\n\n" MAPS),
        "--\ndel server b/r3\n");
}

Test(serve_proxy_diff, doubled_entries)
{
    cr_assert_str_eq(diff(HEAD "4 b 1 r1 - 2 0 1 1\n4 b 2 r2 - 2 0 1 1\n\n"
                               "0x1 s7 b\n0x2 s7/mlp b\n0x3 x a\n0x4 x b\n\n\n\n"),
                     "del map routes.map x\n");
}

Test(serve_proxy_diff, answers_that_are_none)
{
    static const char *const bad[] = {
        "", "Unknown command\n", "1\n\n",
        HEAD "4 b 1 r1 - 2 0 1 1\n\nUnknown map identifier. Please use #<id> or <file>.\n\n\n\n",
        HEAD "\n0x1 lonely\n\n\n\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct proxy_diff d = {0};
        cr_assert_eq(proxy_diff(text, bad[i], &d, &err), -ERR_INVALID, "taken: %s", bad[i]);
    }
}

Test(serve_proxy_diff, thousands)
{
    enum { MANY = 5000 };
    struct proxy_server *many = calloc(MANY, sizeof(*many));
    for (uint32_t i = 0; i < MANY; i++) {
        many[i] = (struct proxy_server){.id = i + 1, .port = 9000};
    }
    CLEANUP(sb_done) struct str answers = {0};
    backend.servers = many;
    backend.n_servers = 2;
    render();
    sb_puts(&answers, HEAD);
    for (int i = 0; i < MANY; i++) {
        sb_printf(&answers, "4 b %d r%d - 2 0 1 1\n", i + 1, i + 1);
    }
    sb_puts(&answers, "\n" MAPS);
    struct proxy_diff d = {0};
    cr_assert_eq(proxy_diff(text, answers.data, &d, &err), 0);
    cr_assert_eq(d.commands.len, (MANY - 2) * 3);
    proxy_diff_done(&d);
    free(many);
}

Test(serve_proxy_diff, alerts)
{
    static const char log[] =
        "[NOTICE]   (1) : haproxy version is 2.6.12\n"
        "[ALERT]    (1) : config : parsing [h:3] : unknown keyword 'x'\n"
        "[ALERT]    (1) : config : Error(s) found in configuration file : h\n";
    CLEANUP(sb_done) struct str out = {0};
    proxy_alert((struct slice){log, strlen(log)}, &out);
    cr_assert_str_eq(out.data, "config : parsing [h:3] : unknown keyword 'x'");
}
