/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#include <criterion/criterion.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <string.h>

static void write_sample(struct jsonw *w)
{
    jw_object(w);
    jw_kv_text(w, "a", "x");
    jw_key(w, "list");
    jw_array(w);
    jw_i64(w, 1);
    jw_array(w);
    jw_end_array(w);
    jw_object(w);
    jw_end_object(w);
    jw_text(w, NULL);
    jw_end_array(w);
    jw_kv_bool(w, "b", true);
    jw_key(w, "o");
    jw_object(w);
    jw_kv_i64(w, "n", -5);
    jw_end_object(w);
    jw_kv_time(w, "t", 0);
    jw_kv_time(w, "u", 1767582000000);
    jw_key(w, "raw");
    jw_raw(w, "1.50", 4);
    jw_end_object(w);
}

Test(base_json, compact)
{
    CLEANUP(sb_done) struct str s = {0};
    struct jsonw w;

    jw_init(&w, &s, false);
    write_sample(&w);
    cr_assert_str_eq(s.data, "{\"a\":\"x\",\"list\":[1,[],{},null],\"b\":true,\"o\":{\"n\":-5},"
                             "\"t\":null,\"u\":\"2026-01-05T03:00:00.000Z\",\"raw\":1.50}");
    cr_assert_eq(w.depth, 0);
}

Test(base_json, pretty)
{
    CLEANUP(sb_done) struct str s = {0};
    struct jsonw w;

    jw_init(&w, &s, true);
    write_sample(&w);
    cr_assert_str_eq(s.data,
                     "{\n  \"a\": \"x\",\n  \"list\": [\n    1,\n    [],\n    {},\n    null\n  ],\n"
                     "  \"b\": true,\n  \"o\": {\n    \"n\": -5\n  },\n  \"t\": null,\n"
                     "  \"u\": \"2026-01-05T03:00:00.000Z\",\n  \"raw\": 1.50\n}");
}

Test(base_json, appends_to_what_is_there)
{
    CLEANUP(sb_done) struct str s = {0};
    struct jsonw w;

    sb_add(&s, "head[", 5);
    jw_init(&w, &s, false);
    jw_bool(&w, false);
    cr_assert_str_eq(s.data, "head[false");
}

Test(base_json, sixty_levels)
{
    CLEANUP(sb_done) struct str s = {0};
    struct jsonw w;
    json_t *v = NULL;

    jw_init(&w, &s, true);
    for (int i = 0; i < 60; i++) {
        jw_array(&w);
        jw_i64(&w, i);
    }
    for (int i = 0; i < 60; i++) {
        jw_end_array(&w);
    }
    cr_assert_eq(json_read(s.data, s.len, s.len, &v, NULL), 0);
    json_decref(v);
}

static void expect_string(const char *data, size_t len, const char *want)
{
    CLEANUP(sb_done) struct str s = {0};

    jw_string_add(&s, data, len);
    cr_assert_str_eq(s.data, want, "%s, not %s", s.data, want);
}

Test(base_json, escapes)
{
    expect_string("", 0, "\"\"");
    expect_string(NULL, 0, "\"\"");
    expect_string("plain text that is long enough", 30, "\"plain text that is long enough\"");
    expect_string("\"\\/", 3, "\"\\\"\\\\/\"");
    expect_string("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
    expect_string("a\0b\x1f\x7f", 5, "\"a\\u0000b\\u001f\x7f\"");
    expect_string("\xe2\x82\xac\xf0\x9f\x98\x80", 7, "\"\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

Test(base_json, one_special_byte_at_every_place_of_a_word)
{
    static const char specials[] = {'"', '\\', '\n', 0x1f, 0};

    for (size_t len = 1; len < 40; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t k = 0; k < sizeof(specials); k++) {
                char text[40];
                CLEANUP(sb_done) struct str s = {0};
                memset(text, '~', len);
                text[at] = specials[k];
                jw_string_add(&s, text, len);
                json_t *v = json_loadb(s.data, s.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
                cr_assert_not_null(v, "%s", s.data);
                cr_assert_eq(json_string_length(v), len);
                cr_assert_arr_eq(json_string_value(v), text, len);
                json_decref(v);
            }
        }
    }
}

Test(base_json, invalid_utf8_is_replaced_or_kept_in_names)
{
    static const char bad[] = "a\xff\xe2\x82z\xed\xb2\x80";
    CLEANUP(sb_done) struct str s = {0};
    struct jsonw w;

    expect_string(bad, strlen(bad), "\"a\\ufffd\\ufffd\\ufffdz\\ufffd\\ufffd\\ufffd\"");
    jw_init(&w, &s, false);
    jw_name(&w, bad, strlen(bad));
    cr_assert_str_eq(s.data, "\"a\\udcff\\udce2\\udc82z\\udced\\udcb2\\udc80\"");
    sb_clear(&s);
    jw_name(&w, "\xe2\x82\xac", 3);
    cr_assert_str_eq(s.data, "\"\xe2\x82\xac\"");
}

static void expect_real(double v, const char *want)
{
    CLEANUP(sb_done) struct str s = {0};
    struct jsonw w;

    jw_init(&w, &s, false);
    jw_real(&w, v);
    cr_assert_str_eq(s.data, want, "%s, not %s", s.data, want);
}

Test(base_json, reals_are_short_and_read_back)
{
    expect_real(0, "0");
    expect_real(-0.0, "-0");
    expect_real(0.1, "0.1");
    expect_real(0.1 + 0.2, "0.30000000000000004");
    expect_real(1e300, "1e+300");
    expect_real(7, "7");
    expect_real(-7, "-7");
    expect_real(999999999999999.0, "999999999999999");
    expect_real(1e15, "1e+15");
    expect_real(DBL_MAX, "1.7976931348623157e+308");
    expect_real(5e-324, "4.94065645841247e-324");
    expect_real((double)NAN, "null");
    expect_real((double)INFINITY, "null");
    expect_real(-(double)INFINITY, "null");
}

Test(base_json, seconds_read_as_reals_do)
{
    static const int64_t ms[] = {0,         1,        10,           100,           999,
                                 1000,      1001,     1500,         12340,         86400000,
                                 -1,        -1500,    999999999999, 1000000000000, 1234567890123456,
                                 INT64_MAX, INT64_MIN};

    for (size_t i = 0; i < ARRAY_LEN(ms); i++) {
        CLEANUP(sb_done) struct str s = {0}, real = {0};
        struct jsonw w;
        jw_init(&w, &real, false);
        jw_real(&w, (double)ms[i] / 1000);
        jw_init(&w, &s, false);
        jw_seconds(&w, ms[i]);
        cr_expect_str_eq(s.data, real.data, "%lld", (long long)ms[i]);
    }
}

static void write_keys(struct jsonw *w, bool literal)
{
    jw_object(w);
    for (int i = 0; i < 2; i++) {
        if (literal) {
            JW_KEY(w, "a_key");
        } else {
            jw_key(w, "a_key");
        }
        jw_array(w);
        jw_object(w);
        jw_end_object(w);
        jw_object(w);
        if (literal) {
            JW_KEY(w, "b");
        } else {
            jw_key(w, "b");
        }
        jw_text(w, "c");
        jw_end_object(w);
        jw_end_array(w);
    }
    jw_end_object(w);
}

Test(base_json, literal_keys_are_keys)
{
    for (int pretty = 0; pretty < 2; pretty++) {
        CLEANUP(sb_done) struct str s = {0}, plain = {0};
        struct jsonw w;
        jw_init(&w, &s, pretty);
        write_keys(&w, true);
        jw_init(&w, &plain, pretty);
        write_keys(&w, false);
        cr_expect_str_eq(s.data, plain.data);
        cr_expect_eq(s.len, strlen(s.data));
    }
}

Test(base_json, reals_do_not_follow_the_locale)
{
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
        cr_skip_test("no locale with a decimal comma here");
    }
    expect_real(0.25, "0.25");
    expect_real(1.5e300, "1.5e+300");
}

Test(base_json, digests)
{
    CLEANUP(sb_done) struct str s = {0};
    struct digest d;
    struct jsonw w;

    digest_of("abc", 3, &d);
    jw_init(&w, &s, false);
    jw_digest(&w, &d);
    cr_assert_str_eq(s.data,
                     "\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"");
}

static int read_text(const char *text, struct err *err)
{
    CLEANUP(cleanup_json) json_t *v = NULL;

    return json_read(text, strlen(text), 100, &v, err);
}

Test(base_json, reading_is_strict)
{
    struct err err = {0};
    char longer[200];

    cr_assert_eq(read_text("{\"a\": [1, 2.5, \"x\"]}", NULL), 0);
    cr_assert_eq(read_text("7", NULL), 0);
    cr_assert_eq(read_text("", &err), -ERR_INVALID);
    cr_assert_eq(read_text("{\"a\":1,\"a\":2}", &err), -ERR_INVALID, "a key twice");
    cr_assert_eq(read_text("[1] x", &err), -ERR_INVALID);
    cr_assert_eq(read_text("[\"\xff\"]", &err), -ERR_INVALID);
    cr_assert_eq(read_text("[1,\n2,\nx]", &err), -ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "line 3, column 1"), "%s", err.msg);
    memset(longer, ' ', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    cr_assert_eq(read_text(longer, &err), -ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "larger than 100 B"), "%s", err.msg);
}

Test(base_json, the_canonical_form)
{
    static const char text[] =
        "{ \"b\": [1, true, false, null, {}], \"a\": {\"z\": \"\\u00e9\\n\", "
        "\"y\": -9223372036854775808}, \"ab\": [] }";
    CLEANUP(cleanup_json) json_t *v = NULL;
    CLEANUP(sb_done) struct str s = {0};

    cr_assert_eq(json_read(text, strlen(text), 1000, &v, NULL), 0);
    json_write_canonical(v, &s);
    cr_assert_str_eq(s.data, "{\"a\":{\"y\":-9223372036854775808,\"z\":\"\xc3\xa9\\n\"},\"ab\":[],"
                             "\"b\":[1,true,false,null,{}]}");
}

Test(base_json, members_are_found_without_reading)
{
    static const char *const keys[] = {"note", "why", "n", "gone"};
    struct json_slice got[4];
    const char *text =
        "{\"a\":{\"note\":1},\"note\":\"x\\\"},\",\"why\":[{\"n\":\"]\"}],\"n\":-12}";

    cr_assert(json_members(text, keys, 4, got));
    cr_assert_eq(got[0].len, strlen("\"x\\\"},\""));
    cr_assert_eq(strncmp(got[0].at, "\"x\\\"},\"", got[0].len), 0);
    cr_assert_eq(got[1].len, strlen("[{\"n\":\"]\"}]"));
    cr_assert_eq(strncmp(got[2].at, "-12", got[2].len), 0);
    cr_assert_null(got[3].at);
    cr_assert(json_members(" { \"n\" : true , \"note\" : \"\" } ", keys, 4, got));
    cr_assert_eq(strncmp(got[2].at, "true", got[2].len), 0);
    cr_assert_eq(got[0].len, 2);
    cr_assert(json_members("{}", keys, 4, got));
}

Test(base_json, what_is_no_object_has_no_members)
{
    static const char *const keys[] = {"n"};
    static const char *const bad[] = {
        NULL,          "",          "[]",        "{",        "{\"n\"",
        "{\"n\":",     "{\"n\":\"", "{\"n\":[",  "{\"n\":1", "{\"n\":\"a\\",
        "{\"n\":{\"}", "{\"n\" 1}", "{\"a\":,}", "{\"a\":1"};
    struct json_slice got;

    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        cr_expect_not(json_members(bad[k], keys, 1, &got), "%s", bad[k] ? bad[k] : "NULL");
    }
}
