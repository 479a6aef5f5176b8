/* SPDX-License-Identifier: Apache-2.0 */
#include "expr_fixture.h"

#include <criterion/criterion.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
}

static void teardown(void)
{
    fixture_done(&f);
}

TestSuite(workflows_value, .init = setup, .fini = teardown);

Test(workflows_value, numbers_keep_their_text)
{
    struct str out = {0};
    struct value v = value_number_text(slice_str("1.10"));
    value_interpolate(&v, &out);
    cr_assert_str_eq(sb_text(&out), "1.10");
    sb_clear(&out);
    v = value_number_text(slice_str("007"));
    value_interpolate(&v, &out);
    cr_assert_str_eq(sb_text(&out), "007");
    cr_assert_eq(v.number, 7);
    sb_done(&out);
}

Test(workflows_value, numbers_are_valid_json)
{
    static const struct {
        const char *source, *json;
    } cases[] = {{"1.10", "1.10"},     {"007", "7"},       {"+5", "5"},    {".5", "0.5"},
                 {"5.", "5"},          {"-007.5", "-7.5"}, {"0x1F", "31"}, {"0o17", "15"},
                 {"1e-3", "1e-3"},     {"0", "0"},         {"00", "0"},    {"-0", "-0"},
                 {"+.5e+3", "0.5e+3"}, {"12.e4", "12e4"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct value v = value_number_text(slice_str(cases[i].source));
        cr_assert_str_eq(fixture_show(&f, &v), cases[i].json, "%s", cases[i].source);
    }
}

Test(workflows_value, made_numbers_read_back)
{
    struct value v = value_number(3, f.arena);
    cr_assert_str_eq(fixture_show(&f, &v), "3");
    v = value_number(0.1, f.arena);
    cr_assert_str_eq(fixture_show(&f, &v), "0.1");
    v = value_number(-1e300, f.arena);
    cr_assert_str_eq(fixture_show(&f, &v), "-1e+300");
}

Test(workflows_value, json_goes_round)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-1.50e+07",
        "\"\"",
        "[]",
        "{}",
        "[1,[2,{\"a\":null}]]",
        "{\"b\":1.10,\"a\":\"x\\ny\"}",
        "\"\\u0000\"",
        "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct value v = fixture_json(&f, texts[i]);
        cr_assert_str_eq(fixture_show(&f, &v), texts[i]);
    }
    struct value v = fixture_json(&f, " { \"k\" : \"\\ud83d\\ude00\\u00e9\\/\" } ");
    cr_assert_str_eq(fixture_show(&f, &v), "{\"k\":\"😀é/\"}");
}

Test(workflows_value, bad_json_is_refused)
{
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\n\"",
        "[1,]",
        "[1",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1,\"a\":2}",
        "1 2",
        "\"\xff\"",
        "{\"\\u0000\":1}",
        "[\"\\u123",
        "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"i\":1}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct value v;
        struct err err = {0};
        cr_assert_lt(value_parse_json(texts[i], strlen(texts[i]), f.arena, &v, &err), 0, "%s",
                     texts[i]);
        cr_assert(strstr(err.msg, "not valid JSON: line "), "%s", err.msg);
    }
}

Test(workflows_value, json_depth_is_bounded)
{
    char deep[200] = {0};
    struct value v;
    struct err err;
    memset(deep, '[', 64);
    memset(deep + 64, ']', 64);
    cr_assert_eq(value_parse_json(deep, 128, f.arena, &v, &err), 0);
    struct value list = {.type = VALUE_LIST, .items = &v, .count = 1};
    cr_assert_eq(strlen(fixture_show(&f, &list)), 130);
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    cr_assert_lt(value_parse_json(deep, 130, f.arena, &v, &err), 0);
    cr_assert(strstr(err.msg, "64 levels"));
}

static const char *compare(const char *a, const char *b)
{
    struct value x = fixture_json(&f, a), y = fixture_json(&f, b);
    int order;
    bool comparable;
    value_compare(&x, &y, &order, &comparable);
    return !comparable ? "?" : order < 0 ? "<" : order > 0 ? ">" : "=";
}

Test(workflows_value, comparisons)
{
    static const struct {
        const char *a, *op, *b;
    } cases[] = {
        {"1", "=", "1.0"},
        {"2", "<", "10"},
        {"-2", ">", "-10"},
        {"-0", "=", "0"},
        {"9007199254740993", ">", "9007199254740992"},
        {"\"1.0\"", "=", "1"},
        {"\"0.5\"", "<", "1"},
        {"\"007\"", "?", "7"},
        {"\"true\"", "=", "true"},
        {"\"false\"", "<", "true"},
        {"\"1\"", "?", "true"},
        {"\"abc\"", "?", "1"},
        {"true", "?", "1"},
        {"\"\"", "?", "0"},
        {"\"a\"", "<", "\"b\""},
        {"\"a\"", "<", "\"ab\""},
        {"\"9\"", "<", "\"10\""},
        {"\"1.0\"", ">", "\"1\""}, /* not equal: strings are equal by their bytes */
        {"null", "=", "null"},
        {"null", "<", "\"\""},
        {"[1]", "?", "[1]"},
        {"[1]", "?", "1"},
        {"{}", ">", "null"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_assert_str_eq(compare(cases[i].a, cases[i].b), cases[i].op, "%s %s", cases[i].a,
                         cases[i].b);
}

Test(workflows_value, truth)
{
    struct value v = value_bool(false);
    cr_assert_not(value_truthy(&v));
    v = value_null();
    cr_assert_not(value_truthy(&v));
    v = value_text("");
    cr_assert(value_truthy(&v));
    v = value_number_text(slice_str("0"));
    cr_assert(value_truthy(&v));
}
