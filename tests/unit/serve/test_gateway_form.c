/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers of the two protocols: read, cut, joined. */
#include "base/err.h"
#include "base/str.h"
#include "serve/gateway_form.h"

#include <criterion/criterion.h>
#include <string.h>

/* What is wrong with it; NULL: nothing. */
static const char *told(const char *text, bool v1, struct err *err)
{
    struct form f;
    int rc = form_read(slice_str(text), v1, FORM_REQUEST, "the request", &f, err);
    if (rc == 0) {
        form_done(&f);
    }
    return rc ? err->msg : NULL;
}

#define INPUT(shape, type, data)                                                                   \
    "{\"inputs\":[{\"name\":\"x\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":" data    \
    "}]}"

#define DATA_FIRST                                                                                 \
    "{\"inputs\":[{\"data\":[[1],[2]],\"datatype\":\"INT8\",\"shape\":[2,1],\"name\":\"x\"}]}"

Test(serve_gateway_form, valid)
{
    static const char *const fine[] = {
        INPUT("[2,2]", "FP32", "[1,2,3,4]"),
        INPUT("[2,2]", "FP32", "[[1,2],[3,4]]"),
        INPUT("[2]", "BYTES", "[\"a\",\"b\"]"),
        INPUT("[2]", "BOOL", "[true,0]"),
        INPUT("[]", "INT64", "[5]"),
        INPUT("[0,3]", "FP64", "[]"),
        "{\"inputs\":[]}",
        "{\"id\":\"7\",\"inputs\":[],\"outputs\":[{\"name\":\"y\"}],\"parameters\":{\"a\":1}}",
        DATA_FIRST,
    };
    struct err err = {0};
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        cr_assert_null(told(fine[i], false, &err), "%s: %s", fine[i], err.msg);
    }
    cr_assert_null(told("{\"instances\":[]}", true, &err));
    cr_assert_null(told("{\"signature_name\":\"s\",\"instances\":[1,[2],{\"a\":3}]}", true, &err));
}

Test(serve_gateway_form, invalid)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "it is empty"},
        {"[]", "expected an object"},
        {"{}", "it has no \"inputs\""},
        {"{\"inputs\":{}}", "\"inputs\" is not a list"},
        {"{\"inputs\":[1]}", "inputs[0]: it is not an object"},
        {"{\"inputs\":[{}]}", "inputs[0]: it has no \"name\""},
        {"{\"inputs\":[{\"name\":\"x\"}]}", "inputs \"x\": it has no \"shape\""},
        {INPUT("[2]", "FP32", "[1]"),
         "its \"data\" holds 1 elements, its \"shape\" [2] stands for 2"},
        {INPUT("[4294967296,4294967296]", "FP32", "[1]"), "its \"shape\""},
        {INPUT("[-1]", "FP32", "[1]"), "expected a whole number"},
        {INPUT("3", "FP32", "[1]"), "its \"shape\" is not a list"},
        {INPUT("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "FP32", "[1]"), "more than 16 dimensions"},
        {INPUT("[1]", "FLOAT", "[1]"), "its \"datatype\" is \"FLOAT\""},
        {INPUT("[1]", "FP32", "[\"1\"]"), "other things than the numbers"},
        {INPUT("[1]", "FP32", "[null]"), "other things than the numbers"},
        {INPUT("[1]", "BYTES", "[1]"), "other things than the strings"},
        {INPUT("[1]", "BOOL", "[\"true\"]"), "other things than the true and false"},
        {INPUT("[1]", "FP32", "1"), "its \"data\" is not a list"},
        {INPUT("[2,2]", "FP32", "[[1,2],[3]]"), "nested lists"},
        {"{\"inputs\":[],\"inputs\":[]}", "\"inputs\" stands twice"},
        {"{\"inputs\":[],\"\\u0069nputs\":[]}", "\"inputs\" stands twice"},
        {"{\"inputs\":[{\"name\":\"x\",\"name\":\"y\"}]}", "\"name\" stands twice"},
        {"{\"inputs\":[],\"id\":5}", "\"id\" is not a string"},
        {"{\"inputs\":[]} x", "something follows"},
        {"{\"inputs\":[{\"name\":\"x\",\"data\":[1],\"shape\":[2],\"datatype\":\"FP32\"}]}",
         "stands for 2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        const char *says = told(cases[i].text, false, &err);
        cr_assert(says && strstr(says, cases[i].says) && strncmp(says, "the request: ", 13) == 0,
                  "%s: %s", cases[i].text, says ? says : "fine");
    }
    struct err err = {0};
    cr_assert(strstr(told("{\"instances\":1}", true, &err), "\"instances\" is not a list"));
    cr_assert(strstr(told("{\"inputs\":[]}", true, &err), "it has no \"instances\""));
}

static void cut(const char *text, bool v1, uint64_t rows, const char *const *want, uint32_t count)
{
    struct form f;
    struct form_parts p;
    struct err err = {0};
    cr_assert_eq(form_read(slice_str(text), v1, FORM_REQUEST, "r", &f, &err), 0, "%s", err.msg);
    cr_assert_eq(form_cut(&f, rows, &p, &err), 0, "%s", err.msg);
    cr_assert_eq(p.count, count);
    for (uint32_t i = 0; i < count; i++) {
        struct str out = {0};
        form_part(&p, i, &out);
        cr_assert_str_eq(sb_text(&out), want[i]);
        cr_assert_null(told(sb_text(&out), v1, &err), "%s", err.msg);
        sb_done(&out);
    }
    form_parts_done(&p);
    form_done(&f);
}

Test(serve_gateway_form, cut)
{
    static const char *const v1[] = {"{\"a\":1,\"instances\":[1,[2,3]] }",
                                     "{\"a\":1,\"instances\":[ \"x,]\" , {}] }",
                                     "{\"a\":1,\"instances\":[5] }"};
    cut("{\"a\":1,\"instances\":[1,[2,3], \"x,]\" , {},5 ] }", true, 2, v1, 3);
    static const char *const v2[] = {
        "{\"inputs\":[{\"data\":[1,2],\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\"},{"
        "\"name\":\"y\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"[\"]}],\"id\":\"q\"}",
        "{\"inputs\":[{\"data\":[3,4],\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\"},{"
        "\"name\":\"y\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\",\"]}],\"id\":\"q\"}"};
    cut("{\"inputs\":[{\"data\":[1,2,3,4],\"name\":\"x\",\"shape\":[2,2],\"datatype\":\"FP32\"},{"
        "\"name\":\"y\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"[\",\",\"]}],\"id\":"
        "\"q\"}",
        false, 1, v2, 2);
    static const char *const nested[] = {INPUT("[2,2]", "FP32", "[[1,2],[3,4]]"),
                                         INPUT("[1,2]", "FP32", "[[5,6]]")};
    cut(INPUT("[3,2]", "FP32", "[[1,2],[3,4],[5,6]]"), false, 2, nested, 2);
}

Test(serve_gateway_form, rows)
{
    static const struct {
        const char *text;
        uint64_t rows;
    } cases[] = {
        {INPUT("[3,1]", "FP32", "[1,2,3]"), 3},
        {INPUT("[]", "FP32", "[1]"), 0},
        {INPUT("[0]", "FP32", "[]"), 0},
        {INPUT("[3,0]", "FP32", "[]"), 0},
        {"{\"inputs\":[]}", 0},
        {"{\"inputs\":[{\"name\":\"a\",\"shape\":[2],\"datatype\":\"INT8\",\"data\":[1,2]},{"
         "\"name\":\"b\",\"shape\":[1],\"datatype\":\"INT8\",\"data\":[1]}]}",
         0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct form f;
        cr_assert_eq(form_read(slice_str(cases[i].text), false, FORM_REQUEST, "r", &f, NULL), 0);
        cr_assert_eq(form_rows(&f), cases[i].rows, "%s", cases[i].text);
        form_done(&f);
    }
    struct form f;
    struct form_parts p;
    struct str big = {0};
    struct err err = {0};
    sb_puts(&big, "{\"instances\":[0");
    for (int i = 0; i < FORM_PARTS; i++) {
        sb_puts(&big, ",1");
    }
    sb_puts(&big, "]}");
    cr_assert_eq(form_read(slice_of(big.data, big.len), true, FORM_REQUEST, "r", &f, NULL), 0);
    cr_assert_lt(form_cut(&f, 1, &p, &err), 0);
    cr_assert(strstr(err.msg, "more than 4096 parts"), "%s", err.msg);
    form_done(&f);
    sb_done(&big);
}

static int join(const char *const *texts, uint32_t n, bool v1, struct str *store, struct form *ret,
                struct err *err)
{
    struct form parts[4];
    for (uint32_t i = 0; i < n; i++) {
        cr_assert_eq(form_read(slice_str(texts[i]), v1, FORM_ANSWER, "a", &parts[i], err), 0, "%s",
                     err->msg);
    }
    int rc = form_join(parts, n, "the answer", store, ret, err);
    for (uint32_t i = 0; i < n; i++) {
        form_done(&parts[i]);
    }
    return rc;
}

#define OUTPUT(shape, data)                                                                        \
    "{\"outputs\":[{\"name\":\"y\",\"shape\":" shape ",\"datatype\":\"FP32\",\"data\":" data "}]}"

Test(serve_gateway_form, join)
{
    struct form f;
    struct str store = {0};
    struct err err = {0};
    static const char *const flat[] = {OUTPUT("[2,1]", "[ 1.10, 2 ]"), OUTPUT("[0,1]", "[]"),
                                       OUTPUT("[1,1]", "[3]")};
    cr_assert_eq(join(flat, 3, false, &store, &f, &err), 0);
    cr_assert_eq(f.tensors.items[0].shape[0], 3);
    cr_assert(slice_eq(f.tensors.items[0].data, slice_str("[1.10, 2,3]")));
    form_done(&f);
    static const char *const mixed[] = {OUTPUT("[1,2]", "[[1,2]]"), OUTPUT("[1,2]", "[3,4]")};
    cr_assert_eq(join(mixed, 2, false, &store, &f, &err), 0);
    cr_assert(slice_eq(f.tensors.items[0].data, slice_str("[1,2,3,4]")));
    cr_assert_not(f.tensors.items[0].nested);
    form_done(&f);
    static const char *const lists[] = {"{\"predictions\":[1,[2]]}", "{\"predictions\":[{}]}"};
    cr_assert_eq(join(lists, 2, true, &store, &f, &err), 0);
    cr_assert(slice_eq(f.list, slice_str("[1,[2],{}]")));
    cr_assert_eq(f.items, 3);
    form_done(&f);
    static const char *const other[] = {OUTPUT("[1,2]", "[1,2]"), OUTPUT("[1,1]", "[3]")};
    cr_assert_lt(join(other, 2, false, &store, &f, &err), 0);
    cr_assert(strstr(err.msg, "do not fit together: output \"y\""), "%s", err.msg);
    sb_done(&store);
}
