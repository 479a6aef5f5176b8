/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/explain.h"
#include "cache/explain_script.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct arena *arena;

static void setup(void)
{
    arena = arena_new();
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(cache_explain, .init = setup, .fini = teardown);

#define A64 "12ab34cdaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "9f03bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* All differences as lines. */
static void expect(const char *old_action, const char *old_work, const char *new_action,
                   const char *new_work, const char *lines)
{
    CLEANUP(sb_done) struct str all = {0};
    struct difference *d;
    size_t n;
    struct err err = {0};

    cr_assert_eq(explain_diff(old_action, old_work, new_action, new_work, arena, &d, &n, &err), 0,
                 "%s", err.msg);
    for (size_t i = 0; i < n; i++) {
        sb_puts(&all, difference_sentence(&d[i], arena));
        sb_putc(&all, '\n');
    }
    cr_expect_str_eq(sb_text(&all), lines);
}

static void actions(const char *old, const char *now, const char *lines)
{
    expect(old, "{}", now, "{}", lines);
}

static void works(const char *old, const char *now, const char *lines)
{
    expect("{}", old, "{}", now, lines);
}

/* By `time` and `change` its digest is that of a place: nobody looked at what it holds. */
Test(cache_explain, a_source_that_is_known_by_its_place)
{
#define SOURCE(digest, path)                                                                       \
    "{\"inputs\":[{\"digest\":\"sha256:" digest "\",\"kind\":\"file\",\"name\":\"source\"" path    \
    "}]}"
    const char *content = "{}", *place = "{\"options\":{\"policy\":\"time\"}}";
    const char *a = SOURCE(A64, ""), *b = SOURCE(B64, "");

    expect(a, place, b, place, "input source: another place \xe2\x86\x92 this one\n");
    expect(SOURCE(A64, ",\"path\":\"a\""), place, SOURCE(B64, ",\"path\":\"b\""), place,
           "input source (its path): a \xe2\x86\x92 b\n");
    expect(a, content, b, place,
           "policy: new (time)\n"
           "input source: what it holds \xe2\x86\x92 where it lies\n");
    expect(a, content, b, content,
           "input source: content changed (sha256:12ab34cd\xe2\x80\xa6 \xe2\x86\x92 "
           "9f03bbbb\xe2\x80\xa6)\n");
#undef SOURCE
}

Test(cache_explain, nothing_differs)
{
    expect("{\"work\":\"sha256:1\"}", "{\"a\":1}", "{\"work\":\"sha256:2\"}", "{\"a\":1}", "");
    expect("", NULL, "{}", "", "");
}

Test(cache_explain, inputs)
{
    actions(
        "{\"inputs\":[{\"digest\":\"sha256:" A64 "\",\"kind\":\"file\",\"path\":\"train.csv\"}]}",
        "{\"inputs\":[{\"digest\":\"sha256:" B64 "\",\"kind\":\"file\",\"path\":\"train.csv\"}]}",
        "input train.csv: content changed (sha256:12ab34cd… → 9f03bbbb…)\n");
    actions("{\"inputs\":[{\"digest\":\"sha256:" A64 "\",\"kind\":\"file\",\"path\":\"a\"}]}",
            "{\"inputs\":[{\"digest\":\"sha256:" A64
            "\",\"exec\":true,\"kind\":\"file\",\"path\":\"a\"}]}",
            "input a: content changed (sha256:12ab34cd… → 12ab34cd… (executable))\n");
    actions("{\"inputs\":[{\"kind\":\"absent\",\"name\":\"x\",\"path\":\"a\"}]}",
            "{\"inputs\":[{\"digest\":\"sha256:" A64
            "\",\"kind\":\"file\",\"name\":\"x\",\"path\":\"a\"}]}",
            "input x (a): absent → sha256:12ab34cd…\n");
    actions("{\"inputs\":[{\"digest\":\"sha256:" A64
            "\",\"kind\":\"file\",\"name\":\"x\",\"path\":\"a\"},{\"digest\":\"sha256:" A64
            "\",\"kind\":\"file\",\"name\":\"x\",\"path\":\"b\"}]}",
            "{\"inputs\":[{\"digest\":\"sha256:" B64
            "\",\"kind\":\"file\",\"name\":\"x\",\"path\":\"a\"},{\"digest\":\"sha256:" A64
            "\",\"kind\":\"file\",\"name\":\"x\",\"path\":\"b\"}]}",
            "input x a: content changed (sha256:12ab34cd… → 9f03bbbb…)\n");
    actions("{\"inputs\":[{\"digest\":\"sha256:" A64 "\",\"kind\":\"file\",\"name\":\"x\"}]}",
            "{\"inputs\":[{\"digest\":\"sha256:" A64 "\",\"kind\":\"tree\",\"name\":\"x\"}]}",
            "input x: a file → a folder\n");
    actions("{\"inputs\":[{\"digest\":\"sha256:" A64 "\",\"kind\":\"file\",\"path\":\"a\"}]}",
            "{\"inputs\":[{\"digest\":\"sha256:" A64 "\",\"kind\":\"file\",\"path\":\"b\"}]}",
            "input a: no longer there\ninput b: new\n");
    actions("{\"image\":\"sha256:" A64 "\"}", "{\"image\":\"sha256:" B64 "\"}",
            "image: sha256:12ab34cd… → sha256:9f03bbbb…\n");
}

Test(cache_explain, steps_and_values)
{
    actions("{\"steps\":[{\"branch\":\"model=mlp\",\"digest\":\"sha256:" A64
            "\",\"kind\":\"file\",\"path\":\"m\",\"ref\":\"steps.train.outputs.model\"}],"
            "\"values\":{\"steps.count.values.n\":\"12\"}}",
            "{\"steps\":[{\"branch\":\"model=mlp\",\"digest\":\"sha256:" B64
            "\",\"kind\":\"file\",\"path\":\"m\",\"ref\":\"steps.train.outputs.model\"}],"
            "\"values\":{\"steps.count.values.n\":\"13\"}}",
            "steps.train.outputs.model[model=mlp]: content changed (sha256:12ab34cd… → "
            "9f03bbbb…)\nvalue steps.count.values.n: 12 → 13\n");
}

Test(cache_explain, params_env_and_the_rest)
{
    works("{\"values\":{\"matrix.model\":\"mlp\",\"params.lr\":\"0.1\"}}",
          "{\"values\":{\"matrix.model\":\"cnn\",\"params.lr\":\"0.2\"}}",
          "matrix model: mlp → cnn\nparam lr: 0.1 → 0.2\n");
    works("{\"env\":{\"A\":\"1\",\"B\":\"\"}}", "{\"env\":{\"B\":\"x\",\"C\":\"y\"}}",
          "env A: no longer there (was: 1)\nenv B: '' → x\nenv C: new (y)\n");
    works("{\"version\":\"1\"}", "{\"version\":\"2\"}", "version: 1 → 2\n");
    works("{\"kind_version\":1,\"network\":\"host\"}", "{\"kind_version\":2,\"network\":\"none\"}",
          "kind version: 1 → 2\nnetwork: host → none\n");
    works("{\"secrets\":[\"A\",\"B\"]}", "{\"secrets\":[\"B\",\"C\"]}",
          "secret A: no longer there\nsecret C: new\n");
    works("{\"secrets\":[\"A\",\"B\"]}", "{\"secrets\":[\"B\",\"A\"]}",
          "secret: [\"A\",\"B\"] → [\"B\",\"A\"]\n");
    works("{\"outputs\":[{\"name\":\"m\",\"path\":\"a\"}]}",
          "{\"outputs\":[{\"name\":\"m\",\"path\":\"b\"}]}", "output m (path): a → b\n");
    works("{\"command\":[\"a\"]}", "{\"command\":[\"b\"]}", "command word 1: a → b\n");
    works("{\"command\":[\"a\"]}", "{\"script\":\"a\"}",
          "command: no longer there (was: [\"a\"])\nscript: new (a)\n");
    works("{\"something_later\":1}", "{}", "something_later: no longer there (was: 1)\n");
}

Test(cache_explain, scripts_by_line)
{
    works("{\"script\":\"one\\ntwo\\nthree\\n\"}", "{\"script\":\"one\\n2\\nthree\\n\"}",
          "script line 2: two → 2\n");
    works("{\"script\":\"a\\nb\\n\"}", "{\"script\":\"a\\nx\\nb\\n\"}", "script line 2: new (x)\n");
    works("{\"script\":\"a\\nx\\nb\"}", "{\"script\":\"a\\nb\"}",
          "script old line 2: no longer there (was: x)\n");
    works("{\"script\":\"a\"}", "{\"script\":\"a\\n\"}",
          "script end: as it was → a line break more or less\n");
}

Test(cache_explain, each_edit_of_a_script_is_found)
{
    works("{\"script\":\"a\\nb\\nc\\nd\\ne\\nf\\n\"}",
          "{\"script\":\"new\\na\\nb\\nc\\nX\\ne\\n\"}",
          "script line 1: new (new)\nscript line 5: d → X\nscript old line 6: no longer there "
          "(was: f)\n");
    works("{\"script\":\"\"}", "{\"script\":\"a\\nb\\n\"}",
          "script line 1: new (a)\nscript line 2: new (b)\n");
    works("{\"script\":\"x\\ny\\n\"}", "{\"script\":\"y\\nx\\n\"}",
          "script old line 1: no longer there (was: x)\nscript line 2: new (x)\n");
}

/* Both texts again from the changes and one of them. */
struct rebuilt {
    struct str out;
    const char *at;
};

static void copy_until(struct rebuilt *r, const char *end)
{
    while (r->at < end) {
        sb_putc(&r->out, *r->at++);
    }
}

static void on_change(const struct line_change *c, void *arg)
{
    struct rebuilt *r = arg;

    if (c->old_line) {
        copy_until(r, c->old.data);
        r->at = c->old.data + c->old.len + 1;
    }
    if (c->new_line) {
        /* The lines that stand before it are copied first. */
        size_t lines = 0;
        for (size_t i = 0; i < r->out.len; i++) {
            lines += r->out.data[i] == '\n';
        }
        while (lines + 1 < c->new_line) {
            const char *end = strchr(r->at, '\n');
            cr_assert_not_null(end);
            copy_until(r, end + 1);
            lines++;
        }
        sb_add(&r->out, c->now.data, c->now.len);
        sb_putc(&r->out, '\n');
    }
}

Test(cache_explain, changes_lead_from_one_text_to_the_other)
{
    srand(7);
    for (int round = 0; round < 3000; round++) {
        CLEANUP(sb_done) struct str a = {0};
        CLEANUP(sb_done) struct str b = {0};
        for (int i = rand() % 12; i > 0; i--) {
            sb_printf(&a, "%c\n", 'a' + rand() % 4);
        }
        for (int i = rand() % 12; i > 0; i--) {
            sb_printf(&b, "%c\n", 'a' + rand() % 4);
        }
        struct rebuilt r = {.at = sb_text(&a)};
        explain_lines(sb_text(&a), sb_text(&b), on_change, &r);
        copy_until(&r, sb_text(&a) + a.len);
        cr_assert_str_eq(sb_text(&r.out), sb_text(&b), "from '%s'", sb_text(&a));
        sb_done(&r.out);
    }
}

static void count_change(const struct line_change *c, void *arg)
{
    (void)c;
    ++*(size_t *)arg;
}

Test(cache_explain, texts_that_have_nothing_in_common_take_bounded_time)
{
    CLEANUP(sb_done) struct str a = {0};
    CLEANUP(sb_done) struct str b = {0};
    size_t n = 0;

    for (int i = 0; i < 50000; i++) {
        sb_printf(&a, "a%d\n", i);
        sb_printf(&b, "b%d\n", i);
    }
    explain_lines(a.data, b.data, count_change, &n);
    cr_expect_eq(n, 50000);
}

Test(cache_explain, names_that_are_no_utf8)
{
    actions("{\"inputs\":[{\"kind\":\"absent\",\"path\":\"a\\udcff\"}]}", "{}",
            "input a\\xFF: no longer there (was: absent)\n");
    actions("{\"inputs\":[{\"kind\":\"absent\",\"path\":\"a\\udce9\"}]}",
            "{\"inputs\":[{\"kind\":\"absent\",\"path\":\"a\xc3\xa9\"}]}",
            "input a\\xE9: no longer there (was: absent)\ninput a\xc3\xa9: new (absent)\n");
    works("{\"env\":{\"A\":\"\\\\udcff\"}}", "{}", "env A: no longer there (was: \\udcff)\n");
}

Test(cache_explain, values_are_shortened_and_stay_on_one_line)
{
    struct difference d = {.part = "env", .name = "A", .old = "x\ny"};
    char text[300];

    memset(text, 'z', sizeof(text));
    text[299] = '\0';
    d.now = text;
    const char *s = difference_sentence(&d, arena);
    cr_expect_eq(strncmp(s, "env A: x y → zzz", strlen("env A: x y → zzz")), 0, "%s", s);
    cr_expect_lt(strlen(s), 120);
}

Test(cache_explain, what_is_damaged_is_refused)
{
    struct difference *d;
    size_t n;
    struct err err = {0};

    cr_expect_lt(explain_diff("{", "{}", "{}", "{}", arena, &d, &n, &err), 0);
    cr_expect_lt(explain_diff("[]", "{}", "{}", "{}", arena, &d, &n, &err), 0);
}
