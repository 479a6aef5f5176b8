/* SPDX-License-Identifier: Apache-2.0 */
/* Values and metrics as steps write them. */
#include "base/arena.h"
#include "base/err.h"
#include "steps/values.h"

#include <criterion/criterion.h>
#include <string.h>

static struct step_value declared[] = {{.name = "a"}, {.name = "b"}};
static const struct step two = {.n_values = 2, .values = declared};

struct given {
    struct arena *arena;
    struct result_value *values;
    uint32_t count;
    struct err err;
};

static int parse(struct given *g, const struct step *s, const char *text, size_t len)
{
    memset(g, 0, sizeof(*g));
    g->arena = arena_new();
    return values_parse(s, text, len, NULL, 0, g->arena, &g->values, &g->count, &g->err);
}

static void refused(const char *text, const char *why)
{
    struct given g;
    cr_assert_lt(parse(&g, &two, text, strlen(text)), 0, "%s", text);
    cr_assert(strstr(g.err.msg, why), "%s: %s", text, g.err.msg);
    arena_free(g.arena);
}

Test(steps_values, lines_and_blocks)
{
    struct given g;
    const char *text = "b=x=y\r\n\na<<END\nline 1\n\nline 3\nEND\n";
    cr_assert_eq(parse(&g, &two, text, strlen(text)), 0, "%s", g.err.msg);
    cr_assert_eq(g.count, 2);
    cr_assert_str_eq(g.values[0].name, "a");
    cr_assert_str_eq(g.values[0].text, "line 1\n\nline 3");
    cr_assert_str_eq(g.values[1].text, "x=y");
    arena_free(g.arena);
}

Test(steps_values, no_last_line_end_and_empty_values)
{
    struct given g;
    cr_assert_eq(parse(&g, &two, "a=\nb=1", 6), 0, "%s", g.err.msg);
    cr_assert_str_eq(g.values[0].text, "");
    cr_assert_str_eq(g.values[1].text, "1");
    arena_free(g.arena);
}

Test(steps_values, what_is_refused_is_named)
{
    refused("a=1\n", "value 'b' was not written");
    refused("a=1\nb=2\na=3\n", "value 'a' was written twice");
    refused("a=1\nb=2\nc=3\n", "value 'c'");
    refused("a=1\nb\n", "name=value");
    refused("a=1\nb<<E\nx\n", "no closing line 'E'");
    refused("a=1\nb=\xff\n", "UTF-8");
}

Test(steps_values, more_than_a_mebibyte_is_refused)
{
    struct given g;
    static char text[VALUES_MAX + 2];
    memset(text, 'x', sizeof(text));
    cr_assert_lt(parse(&g, &two, text, sizeof(text)), 0);
    cr_assert(strstr(g.err.msg, "1 MiB"));
    arena_free(g.arena);
}

Test(steps_values, standard_output_without_its_last_line_end)
{
    static struct step_value one[] = {{.name = "ids", .from_stdout = true}};
    const struct step s = {.n_values = 1, .values = one};
    struct arena *a = arena_new();
    struct result_value *v = NULL;
    uint32_t count = 0;
    struct err err = {0};
    cr_assert_eq(values_parse(&s, "", 0, "1\n2\n\n", 5, a, &v, &count, &err), 0, "%s", err.msg);
    cr_assert_str_eq(v[0].text, "1\n2\n");
    arena_free(a);
}

Test(steps_values, metrics_keep_their_numbers_and_lose_nan)
{
    struct arena *a = arena_new();
    const char *m = NULL;
    struct err err = {0};
    const char *text =
        " { \"accuracy\" : 0.10 , \"loss\": NaN, \"x\": -Infinity, \"s\": \"NaN \\\" inf\" } ";
    cr_assert_eq(metrics_parse(text, strlen(text), a, &m, &err), 0, "%s", err.msg);
    cr_assert_str_eq(m, "{\"accuracy\":0.10,\"loss\":null,\"x\":null,\"s\":\"NaN \\\" inf\"}");
    cr_assert_lt(metrics_parse("[1]", 3, a, &m, &err), 0);
    cr_assert(strstr(err.msg, "object"), "%s", err.msg);
    arena_free(a);
}
