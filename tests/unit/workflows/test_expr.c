/* SPDX-License-Identifier: Apache-2.0 */
#include "expr_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct fixture f;

static struct value path_text(const char *text)
{
    struct value v = value_text(text);
    v.path = true;
    return v;
}

static struct value axis_values[2];
static const char *const axis_names[] = {"model", "learning-rate"};
static struct matrix_row row = {.n = 2, .axes = axis_names, .values = axis_values};

static void setup(void)
{
    fixture_init(&f);
    fixture_add(&f, "a", "s", value_text("abc"));
    fixture_add(&f, "a", "n", value_text("10"));
    fixture_add(&f, "a", "no", value_text("false"));
    fixture_add(&f, "a", "p", path_text("/x/y.bin"));
    fixture_add(&f, "a", "",
                fixture_json(&f, "{\"acc\":0.90,\"runs\":[{\"id\":1},{\"id\":2}],"
                                 "\"l\":[[1,2],[3]],\"o\":{\"x\":[5],\"y\":[6]}}"));
    fixture_add(&f, "train[model=mlp]", "model", path_text("/m/mlp"));
    fixture_add(&f, "env", "HOME", value_text("/h"));
    fixture_add(&f, "list", "l", fixture_json(&f, "[\"a\",\"b c\",3,true]"));
    f.names[f.n_names++] = (struct fixture_name){.step = "gone", .member = "x", .absent = true};
    axis_values[0] = value_text("mlp");
    axis_values[1] = value_number_text(slice_str("1e-3"));
    f.scope.row = &row;
}

static void teardown(void)
{
    fixture_done(&f);
}

TestSuite(workflows_expr, .init = setup, .fini = teardown);

/* `expected` is the JSON of the result, or, beginning with '!', a part of the message. */
struct expectation {
    const char *source, *expected;
};

static void check(const struct expectation *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *got = fixture_eval(&f, cases[i].source);
        if (cases[i].expected[0] == '!')
            cr_assert(strstr(got, cases[i].expected + 1), "%s: %s", cases[i].source, got);
        else
            cr_assert_str_eq(got, cases[i].expected, "%s", cases[i].source);
    }
}
#define CHECK(...)                                                                                 \
    do {                                                                                           \
        static const struct expectation cases[] = {__VA_ARGS__};                                   \
        check(cases, ARRAY_LEN(cases));                                                            \
    } while (0)

Test(workflows_expr, literals)
{
    CHECK({"1.10", "1.10"}, {"-1e-3", "-1e-3"}, {"true", "true"}, {"null", "null"},
          {"'it''s'", "\"it's\""}, {"''", "\"\""}, {"''''", "\"'\""}, {" 'a\nb' ", "\"a\\nb\""},
          {"${{ 'x' }}", "\"x\""}, {"${{ '}}' }}", "\"}}\""}, {"('x')", "\"x\""});
}

Test(workflows_expr, names)
{
    CHECK({"params.lr", "1.10"}, {"params['lr']", "1.10"}, {"params.name", "\"it's\""},
          {"params", "{\"lr\":1.10,\"name\":\"it's\",\"flag\":true,\"epochs\":7}"},
          {"params[matrix.model]", "!no member 'mlp', only lr, name, flag, epochs"},
          {"matrix.model", "\"mlp\""}, {"matrix.learning-rate", "1e-3"},
          {"matrix", "{\"model\":\"mlp\",\"learning-rate\":1e-3}"}, {"steps.a.values.s", "\"abc\""},
          {"steps['a']['values']['s']", "\"abc\""}, {"env.HOME", "\"/h\""},
          {"steps['train[model=mlp]'].outputs.model", "\"/m/mlp\""},
          {"steps.a.metrics.acc", "0.90"}, {"steps.a.metrics['acc']", "0.90"},
          {"params.nope", "!there is no param 'nope'"},
          {"matrix.nope", "!this branch's matrix has no 'nope', only model, learning-rate"},
          {"env.NOPE", "!${{ env.NOPE }}: no env.NOPE"});
    cr_assert(f.used[0] && f.used[1]);
}

Test(workflows_expr, members_and_lists)
{
    CHECK({"steps.list.values.l[1]", "\"b c\""}, {"steps.list.values.l['0']", "\"a\""},
          {"steps.list.values.l[4]", "!there is no item 4: the list has 4"},
          {"steps.list.values.l[-1]", "!whole numbers from 0"},
          {"steps.list.values.l[1.5]", "!whole numbers from 0"},
          {"steps.list.values.l[99999999999999999999]", "!there is no item"},
          {"steps.list.values.l['x']", "!whole numbers from 0"},
          {"steps.a.metrics.runs.*.id", "[1,2]"}, {"steps.a.metrics.runs.*['id']", "[1,2]"},
          {"(steps.a.metrics.runs.*.id)[1]", "2"}, {"steps.a.metrics.l.*[0]", "[1,3]"},
          {"steps.a.metrics.l.*.*", "[1,2,3]"}, {"steps.a.metrics.o.*.*", "[5,6]"},
          {"steps.a.metrics.o.*", "[[5],[6]]"},
          {"steps.a.metrics.runs.*.nope", "!no member 'nope', only id"},
          {"steps.a.metrics.nope", "!no member 'nope', only acc, runs, l, o"},
          {"steps.a.values.s.x", "!'x' is asked of a string ('abc')"},
          {"params.lr.*", "!.* needs a list, found a number (1.10)"});
}

Test(workflows_expr, operators)
{
    CHECK({"1 == 1.0", "true"}, {"steps.a.values.n == 10", "true"},
          {"steps.a.values.n > 9", "true"}, {"steps.a.values.n < '9'", "false"},
          {"steps.a.values.no == false", "true"}, {"steps.a.values.s != 'abd'", "true"},
          {"'b' > 'a'", "true"}, {"1 <= 1 && 2 >= 2", "true"},
          {"steps.a.values.s == 1", "!== cannot compare a string ('abc') with a number (1)"},
          {"true < false", "!< cannot compare a boolean (true) with a boolean (false)"},
          {"null == null", "true"}, {"params.lr == null", "false"},
          {"null < 1", "!cannot compare null"}, {"false || 'x'", "\"x\""}, {"null && 'x'", "null"},
          {"'' && 'x'", "\"x\""}, {"0 || 1", "0"}, {"params.flag && 'a' || 'b'", "\"a\""},
          {"false && steps.no.values.x", "false"}, {"true || steps.no.values.x", "true"},
          {"!true", "false"}, {"!!true", "true"}, {"!steps.a.values.no", "true"}, {"!null", "true"},
          {"!steps.a.values.s", "!! needs true or false, found a string ('abc')"},
          {"false || false && true || true", "true"}, {"!(1 == 2)", "true"});
}

Test(workflows_expr, functions)
{
    CHECK({"success()", "true"}, {"failure()", "false"}, {"always()", "true"},
          {"contains(steps.list.values.l, 'b c')", "true"},
          {"contains(steps.list.values.l, '3')", "true"},
          {"contains(steps.list.values.l, 'b')", "false"}, {"contains('abc', 'b')", "true"},
          {"contains('abc', '')", "true"}, {"contains(params, 'x')", "!found an object"},
          {"startsWith('abc', 'ab')", "true"}, {"startsWith('a', 'ab')", "false"},
          {"endsWith('abc', 'bc')", "true"}, {"endsWith('c', 'bc')", "false"},
          {"join(steps.list.values.l, ' ')", "\"a b c 3 true\""},
          {"join(fromJSON('[1,2]'))", "\"1,2\""}, {"join('x', '-')", "\"x\""},
          {"join(params)", "!join() needs a list"},
          {"format('{1} {0}', 'a', params.lr)", "\"1.10 a\""}, {"format('{{{0}}}', 1)", "\"{1}\""},
          {"format('{0}')", "!no argument for {0}"}, {"format(params.name, 1)", "\"it's\""},
          {"format('{')", "!begins a number in braces"}, {"format('}')", "!stands alone"},
          {"format('{x}', 1)", "!begins a number"},
          {"format('{0}', params)", "!needs strings, found an object"},
          {"fromJSON('{\"a\":[1.50]}').a[0]", "1.50"},
          {"fromJSON('[1')", "!${{ fromJSON('[1') }}: fromJSON() of"},
          {"toJSON(steps.list.values.l)", "\"[\\\"a\\\",\\\"b c\\\",3,true]\""},
          {"toJSON('x')", "\"\\\"x\\\"\""}, {"length(steps.list.values.l)", "4"},
          {"length('né')", "2"}, {"length(params)", "4"}, {"length(1)", "!length() needs a list"},
          {"basename('/a/b.c')", "\"b.c\""}, {"basename('/a/b/')", "\"b\""},
          {"basename('b')", "\"b\""}, {"basename('/')", "\"/\""},
          {"hashFiles('a', fromJSON('[\"b\",\"c\"]'))", "\"<a><b><c>\""},
          {"hashFiles(1)", "!needs paths or globs"});
}

Test(workflows_expr, default_absorbs_absence_only)
{
    CHECK({"steps.gone.values.x", "absent"}, {"default(steps.gone.values.x, 'd')", "\"d\""},
          {"default(join(steps.gone.values.x), 'd')", "\"d\""},
          {"steps.gone.values.x == 1", "absent"},
          {"default(steps.a.values.s, steps.nope.values.x)", "\"abc\""},
          {"default(null, 1)", "null"}, {"default(steps.nope.values.x, 1)", "!no nope.x"},
          {"default(default(steps.gone.values.x, steps.gone.values.x), 2)", "2"},
          {"true || steps.gone.values.x", "true"}, {"false || steps.gone.values.x", "absent"});
}

Test(workflows_expr, load_errors)
{
    CHECK({"", "!there is no expression"}, {"${{ }}", "!there is no expression"},
          {"${{ 1", "!not closed"}, {"${{ 1 }} && 2", "!a condition is one expression"},
          {"1 2", "!expected an operator"}, {"a == 1", "!'a' is not known here"},
          {"parms.x", "!'parms' is not known here"}, {"secrets.T", "!never written into text"},
          {"env", "!cannot stand alone"}, {"steps", "!name a step"},
          {"steps.a", "!say what is wanted of step 'a'"},
          {"steps.a.output.x", "!a step has no 'output'"},
          {"steps.a.outputs", "!name one of the step's outputs"},
          {"startWith('a','b')", "!there is no function 'startWith'"},
          {"length()", "!length() takes 1 argument, here are 0"},
          {"contains('a')", "!contains() takes 2 arguments, here are 1"},
          {"join(1,2,3)", "!join() takes at most 2"},
          {"hashFiles()", "!hashFiles() takes at least 1 argument"},
          {"format('{1}', 1)", "!no argument for {1}: 1 follows"}, {"\"x\"", "!single quotes"},
          {"'x", "!no closing quote"}, {"1 = 2", "!write =="}, {"1 & 2", "!write && or ||"},
          {"1 + 2", "!do not calculate"}, {"(1", "!'(' is not closed"},
          {"params.x[1", "!'[' is not closed"}, {"1 == 2 == 3", "!do not chain"},
          {"true and false", "!write &&"}, {"params.", "!"}, {"params.1", "!"},
          {"01", "!malformed number"}, {"1.", "!malformed number"}, {"1x", "!malformed number"},
          {"?", "!calculate"}, {"#", "!does not belong"}, {"\xc3\xa9", "!does not belong"},
          {"length(", "!expected a value, found the end"},
          {"length(1 2)", "!expected ',' or ')', found 2"}, {"!", "!expected a value"},
          {"&& 1", "!expected a value, found &&"});
}

static const char *hint_of(const char *source)
{
    fixture_eval(&f, source);
    const char *hint = f.diags.items[f.diags.len - 1].hint;
    return hint ? hint : "";
}

Test(workflows_expr, near_words)
{
    cr_assert(strstr(hint_of("parms.x"), "'params'"));
    cr_assert(strstr(hint_of("steps.a.output.x"), "'outputs'"));
    cr_assert(strstr(hint_of("startWith('a', 'b')"), "'startsWith'"));
    cr_assert(strstr(hint_of("fromJson('1')"), "'fromJSON'"));
}

Test(workflows_expr, depth_is_bounded)
{
    struct str s = {0};
    for (int i = 0; i < 60; i++)
        sb_putc(&s, '(');
    sb_putc(&s, '1');
    for (int i = 0; i < 60; i++)
        sb_putc(&s, ')');
    cr_assert_str_eq(fixture_eval(&f, s.data), "1");
    static const char *const deep[] = {"(", "!", "length(", "params[", "1 == (", "fromJSON('1')[("};
    for (size_t i = 0; i < ARRAY_LEN(deep); i++) {
        sb_clear(&s);
        for (int k = 0; k < 100000; k++)
            sb_puts(&s, deep[i]);
        cr_assert(strstr(fixture_eval(&f, s.data), "deeper than 64"), "%s", deep[i]);
    }
    sb_clear(&s);
    sb_puts(&s, "params");
    for (int k = 0; k < 100000; k++)
        sb_puts(&s, ".a");
    cr_assert(strstr(fixture_eval(&f, s.data), "deeper than 64"));
    /* Chains are not depth. */
    sb_clear(&s);
    sb_puts(&s, "true");
    for (int k = 0; k < 10000; k++)
        sb_puts(&s, k % 2 ? " && true" : " || false");
    cr_assert_str_eq(fixture_eval(&f, s.data), "true");
    sb_done(&s);
}

Test(workflows_expr, strings_do_not_explode)
{
    struct str s = {0};
    for (int i = 0; i < 40; i++)
        sb_puts(&s, "format('{0}{0}',");
    sb_puts(&s, "'x'");
    for (int i = 0; i < 40; i++)
        sb_putc(&s, ')');
    cr_assert(strstr(fixture_eval(&f, s.data), "more than 64 MiB"));
    sb_clear(&s);
    for (int i = 0; i < 40; i++)
        sb_puts(&s, "toJSON(");
    sb_puts(&s, "'\\'");
    for (int i = 0; i < 40; i++)
        sb_putc(&s, ')');
    cr_assert(strstr(fixture_eval(&f, s.data), "more than 64 MiB"));
    sb_done(&s);
}

static bool is_path(const char *source, bool *ret_dependent)
{
    struct err err = {0};
    struct value v = {0};
    struct expr *e = expr_parse_bare(
        source, strlen(source), (struct span){.line = 1, .col = 1, .len = 0}, f.arena, &f.diags);
    cr_assert(e, "%s", source);
    f.path_dependent = false;
    cr_assert_eq(expr_eval(e, &f.scope, &v, &err), 0, "%s", err.msg);
    *ret_dependent = f.path_dependent;
    return v.path;
}

Test(workflows_expr, paths_are_followed)
{
    static const char *const paths[] = {
        "steps.a.outputs.p",           "format('--in {0}', steps.a.outputs.p)",
        "basename(steps.a.outputs.p)", "join(steps.a.outputs.p)",
        "toJSON(steps.a.outputs.p)",   "default(steps.a.outputs.p, 1)",
        "false || steps.a.outputs.p"};
    static const char *const dependent[] = {
        "steps.a.outputs.p == 'x'",           "contains(steps.a.outputs.p, 'x')",
        "startsWith(steps.a.outputs.p, '/')", "endsWith('x', steps.a.outputs.p)",
        "length(steps.a.outputs.p)",          "length(format('{0}', steps.a.outputs.p))",
        "fromJSON(toJSON(steps.a.outputs.p))"};
    static const char *const neither[] = {"steps.a.values.s", "steps.a.values.s == 'x'",
                                          "length('abc')"};
    bool is;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        cr_assert(is_path(paths[i], &is), "%s", paths[i]);
        cr_assert_not(is, "%s", paths[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(dependent); i++) {
        is_path(dependent[i], &is);
        cr_assert(is, "%s", dependent[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(neither); i++) {
        cr_assert_not(is_path(neither[i], &is), "%s", neither[i]);
        cr_assert_not(is, "%s", neither[i]);
    }
}

static void count_names(struct expr *name, bool in_default, void *arg)
{
    unsigned *counts = arg;
    (void)name;
    counts[in_default]++;
}

Test(workflows_expr, the_loader_sees_every_name)
{
    const char *source =
        "default(steps.a.outputs.p, params.lr) == env.X && success() && hashFiles('x')";
    struct expr *e = expr_parse_bare(
        source, strlen(source), (struct span){.line = 1, .col = 1, .len = 0}, f.arena, &f.diags);
    unsigned counts[2] = {0, 0};
    cr_assert(e);
    expr_each_name(e, count_names, counts);
    cr_assert_eq(counts[0], 2);
    cr_assert_eq(counts[1], 1);
    cr_assert_eq(expr_uses(e), USES_STEPS | USES_PARAMS | USES_ENV | USES_STATUS | USES_FILES);
}

static struct span place_of(const char *file, const char *text, struct span at)
{
    struct diags d;
    diags_init(&d, "w.yaml");
    diags_set_text(&d, file, strlen(file));
    struct text *t = text_parse(text, strlen(text), at, false, f.arena, &d);
    cr_assert_null(t);
    cr_assert_eq(d.len, 1);
    struct span span = d.items[0].span;
    diags_done(&d);
    return span;
}

#define PLACE(file, text, line_, col_, want_line, want_col)                                        \
    do {                                                                                           \
        struct span span =                                                                         \
            place_of(file, text, (struct span){.line = line_, .col = col_, .len = 0});             \
        cr_assert_eq(span.line, want_line, "%u:%u", span.line, span.col);                          \
        cr_assert_eq(span.col, want_col, "%u:%u", span.line, span.col);                            \
    } while (0)

Test(workflows_expr, places_in_every_style)
{
    PLACE("a: x é ${{ nope }}\n", "x é ${{ nope }}", 1, 4, 1, 12);
    PLACE("a: 'it''s ${{ nope }}'\n", "it's ${{ nope }}", 1, 4, 1, 15);
    PLACE("a: 'it''s ${{ nope }}'\n", "it's ${{ nope }}", 1, 5, 1, 15);
    PLACE("a: \"\\t\\u00e9\\\"${{ nope }}\"\n", "\té\"${{ nope }}", 1, 4, 1, 19);
    PLACE("k:\n  run: | # why\n\n    one\n      two ${{ nope }}\n", "\none\n  two ${{ nope }}\n", 2,
          8, 5, 15);
    PLACE("k:\n  run: >\n    one\n    two ${{\n    nope }}\n", "one two ${{ nope }}\n", 2, 8, 5, 5);
    PLACE("k:\n  run: >\n    one\n    two ${{ nope }}\n", "one two ${{ nope }}\n", 3, 5, 4, 13);
    PLACE("k: one\n  two ${{ nope }}\n", "one two ${{ nope }}", 1, 4, 2, 11);
    PLACE("k: \"one\\\n   two ${{ nope }}\"\n", "onetwo ${{ nope }}", 1, 4, 2, 12);
    /* The file is another one: lines are counted in the text. */
    PLACE("zzz\n", "a\nb ${{ nope }}", 1, 1, 2, 7);
    PLACE("", "a\nb ${{ nope }}", 7, 3, 8, 9);
}
