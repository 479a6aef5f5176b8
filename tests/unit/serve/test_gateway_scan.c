/* SPDX-License-Identifier: Apache-2.0 */
/* JSON looked at in place. */
#include "base/str.h"
#include "serve/gateway_scan.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

static bool valid(const char *text)
{
    struct scan s = scan_of(slice_str(text));
    return scan_value(&s, NULL) && scan_finish(&s);
}

static const char *const good[] = {
    "0",
    "-0",
    "1.5e+10",
    "[]",
    "{}",
    " [ 1 , 2 ] ",
    "{\"a\":{\"b\":[null,true,false]}}",
    "\"\\u00e4\\ud83d\\ude00\"",
    "\"a\\\\\\\"b\"",
    "[[[[]]]]",
    "[{},[],\"\",0]",
    "\"\xc3\xa4\"",
    "-1.25E-3",
    "[[],{}]",
};
static const char *const bad[] = {
    "",        "01",          "1.",          ".5",          "-",          "1e",        "+1",
    "[1,]",    "[,1]",        "{\"a\"}",     "{\"a\":}",    "{\"a\":1,}", "{a:1}",     "[1 2]",
    "\"\\x\"", "\"\\ud800\"", "\"\\ude00\"", "\"\n\"",      "\"\xff\"",   "nul",       "tru",
    "[1}",     "{\"a\":1]",   "1 2",         "\"open",      "[",          "{\"a\":[}", "NaN",
    "]",       "{\"a\" 1}",   "{1:2}",       "\"\\u12g4\"", "\"\\",       "--1",
};

Test(serve_gateway_scan, as_json_is)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_assert(valid(good[i]), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert(!valid(bad[i]), "%s", bad[i]);
        json_t *v = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        cr_assert_null(v, "%s", bad[i]);
    }
}

Test(serve_gateway_scan, depth)
{
    char text[200];
    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    struct scan s = scan_of(slice_of(text + 36, 128));
    cr_assert(scan_value(&s, NULL));
    s = scan_of(slice_of(text + 35, 130));
    cr_assert_not(scan_value(&s, NULL));
    cr_assert_str_eq(s.wrong, "nested deeper than 64 levels");
}

static bool leaves(const char *text, uint32_t n, const int64_t *shape, struct scan_leaves *ret)
{
    struct scan s = scan_of(slice_str(text));
    return scan_leaves(&s, shape, n, ret) && scan_finish(&s);
}

Test(serve_gateway_scan, leaves)
{
    static const int64_t shape[] = {2, 3};
    static const int64_t none[] = {2, 0};
    struct scan_leaves f;
    cr_assert(leaves("[1,2,3,4.5,-5,6]", 2, shape, &f));
    cr_assert_eq(f.count, 6);
    cr_assert_eq(f.kinds, 1U << SCAN_NUMBER);
    cr_assert_not(f.nested);
    cr_assert(leaves(" [ [1,2, 3],[4,\"x\",6] ]", 2, shape, &f));
    cr_assert_eq(f.count, 6);
    cr_assert_eq(f.kinds, 1U << SCAN_NUMBER | 1U << SCAN_STRING);
    cr_assert(f.nested);
    cr_assert(leaves("[[],[ ]]", 2, none, &f));
    cr_assert_eq(f.count, 0);
    cr_assert(leaves("[]", 2, none, &f));
    cr_assert_not(leaves("[[1,2,3],[4,5]]", 2, shape, &f));
    cr_assert_not(leaves("[[1,2,3]]", 2, shape, &f));
    cr_assert_not(leaves("[[[1],2,3],[4,5,6]]", 2, shape, &f));
    cr_assert_not(leaves("[[1,2,3],4]", 2, shape, &f));
    cr_assert_not(leaves("[1,[2]]", 2, shape, &f));
    cr_assert_not(leaves("[{}]", 2, shape, &f));
    cr_assert_not(leaves("[1,2", 2, shape, &f));
    cr_assert_not(leaves("[[1,2,3],[4,5,6]", 2, shape, &f));
    cr_assert_not(leaves("[[1]]", 0, NULL, &f));
}

Test(serve_gateway_scan, flatten_and_cut)
{
    struct str out = {0};
    scan_flatten(slice_str("[[1, 2],\n[\"a,]\\\"b\", 4]]"), &out);
    cr_assert_str_eq(sb_text(&out), "1,2,\"a,]\\\"b\",4");
    sb_clear(&out);
    scan_flatten(slice_str("[[],[]]"), &out);
    cr_assert_eq(out.len, 0);
    const char *cuts[4];
    const char *text = "[ [1,2],[\"],\"], {\"a\":[1,2]},4,5 ]";
    size_t n = scan_cuts(slice_str(text), 2, cuts, 3);
    cr_assert_eq(n, 4);
    cr_assert(strncmp(cuts[0], "[1,2],[\"],\"],", 13) == 0 && cuts[1] == cuts[0] + 13);
    cr_assert(strncmp(cuts[1], " {\"a\":[1,2]},4,", 15) == 0 && cuts[2] == cuts[1] + 15);
    cr_assert(strncmp(cuts[2], "5", 1) == 0 && cuts[3] == cuts[2] + 1);
    cr_assert_eq(scan_cuts(slice_str("[ ]"), 2, cuts, 3), 0);
    sb_done(&out);
}

Test(serve_gateway_scan, texts_and_counts)
{
    cr_assert(scan_text_is(slice_str("\"inputs\""), "inputs"));
    cr_assert(scan_text_is(slice_str("\"\\u0069nputs\""), "inputs"));
    cr_assert_not(scan_text_is(slice_str("\"inputs2\""), "inputs"));
    cr_assert_not(scan_text_is(slice_str("\"inputs\\u0000\""), "inputs"));
    int64_t v = 0;
    struct scan s = scan_of(slice_str("123"));
    cr_assert(scan_count(&s, &v, NULL) && v == 123);
    static const char *const no[] = {"-1", "1.0", "1e3", "99999999999999999999", "\"1\"", "null"};
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        s = scan_of(slice_str(no[i]));
        cr_assert_not(scan_count(&s, &v, NULL), "%s", no[i]);
    }
}
