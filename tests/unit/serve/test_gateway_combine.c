/* SPDX-License-Identifier: Apache-2.0 */
/* Members' answers made into one. */
#include "base/err.h"
#include "base/str.h"
#include "serve/gateway_combine.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const slugs[] = {"a", "b", "c"};

/* "outputs" or "predictions" of the answer, or what is wrong. */
static void combine(enum method m, bool v1, const char *const *texts, uint32_t n, const char *want)
{
    struct form forms[3];
    const struct form *answers[3];
    struct str out = {0};
    struct err err = {0};
    uint32_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        cr_assert_eq(form_read(slice_str(texts[i]), v1, FORM_ANSWER, "a", &forms[i], &err), 0, "%s",
                     err.msg);
        answers[i] = &forms[i];
    }
    struct combine_input c = {.model = "e",
                              .method = m,
                              .v1 = v1,
                              .id = slice_str("\"7\""),
                              .n_members = n,
                              .slugs = slugs,
                              .answers = answers};
    int rc = combine_answers(&c, &out, &used, &err);
    if (rc) {
        cr_assert(strstr(err.msg, want), "%s", err.msg);
    } else {
        cr_assert_str_eq(sb_text(&out), want);
        cr_assert_eq(used, m == METHOD_BEST ? 1 : n);
    }
    for (uint32_t i = 0; i < n; i++) {
        form_done(&forms[i]);
    }
    sb_done(&out);
}

#define ONE(shape, type, data)                                                                     \
    "{\"outputs\":[{\"name\":\"y\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":" data   \
    "}]}"
#define ANSWER(shape, type, data, members)                                                         \
    "{\"model_name\":\"e\",\"id\":\"7\",\"outputs\":[{\"name\":\"y\",\"shape\":" shape             \
    ",\"datatype\":\"" type "\",\"data\":" data "}],\"parameters\":{\"members\":[" members "]}}\n"

Test(serve_gateway_combine, mean)
{
    combine(METHOD_MEAN, false,
            (const char *[]){ONE("[2]", "FP32", "[1,2]"), ONE("[2]", "FP32", "[2,4]")}, 2,
            ANSWER("[2]", "FP32", "[1.5,3]", "\"a\",\"b\""));
    combine(METHOD_MEAN, false,
            (const char *[]){ONE("[2]", "INT64", "[1,2]"), ONE("[2]", "INT64", "[2,2]")}, 2,
            ANSWER("[2]", "FP64", "[1.5,2]", "\"a\",\"b\""));
    combine(METHOD_MEAN, false,
            (const char *[]){ONE("[1]", "FP32", "[1]"), ONE("[1]", "FP64", "[2]")}, 2,
            ANSWER("[1]", "FP64", "[1.5]", "\"a\",\"b\""));
    /* one member: its numbers as it wrote them */
    combine(METHOD_MEAN, false, (const char *[]){ONE("[2]", "FP32", "[1.10,0.3]")}, 1,
            ANSWER("[2]", "FP32", "[1.10,0.3]", "\"a\""));
    combine(METHOD_MEAN, false, (const char *[]){ONE("[1]", "INT8", "[3]")}, 1,
            ANSWER("[1]", "FP64", "[3]", "\"a\""));
    /* nested in one, flat in the other */
    combine(METHOD_MEAN, false,
            (const char *[]){ONE("[1,2]", "FP32", "[[1,2]]"), ONE("[1,2]", "FP32", "[3,4]")}, 2,
            ANSWER("[1,2]", "FP32", "[2,3]", "\"a\",\"b\""));
    /* labels that agree */
    combine(METHOD_MEAN, false,
            (const char *[]){ONE("[1]", "BYTES", "[\"cat\"]"), ONE("[1]", "BYTES", "[\"cat\"]")}, 2,
            ANSWER("[1]", "BYTES", "[\"cat\"]", "\"a\",\"b\""));
    combine(METHOD_MEAN, false,
            (const char *[]){ONE("[1]", "BYTES", "[\"cat\"]"), ONE("[1]", "BYTES", "[\"dog\"]")}, 2,
            "output \"y\": there is no mean");
}

Test(serve_gateway_combine, misfits)
{
    combine(METHOD_MEAN, false,
            (const char *[]){ONE("[2]", "FP32", "[1,2]"), ONE("[1]", "FP32", "[2]")}, 2,
            "the answers of 'a' and 'b' do not fit together: output \"y\" has another shape");
    combine(METHOD_MEAN, false, (const char *[]){ONE("[1]", "FP32", "[1]"), "{\"outputs\":[]}"}, 2,
            "they have 1 and 0 outputs");
    combine(METHOD_VOTE, false,
            (const char *[]){ONE("[1]", "FP32", "[1]"), ONE("[1]", "BYTES", "[\"1\"]")}, 2,
            "another datatype");
    combine(
        METHOD_MEAN, false,
        (const char *[]){
            ONE("[1]", "FP32", "[1]"),
            "{\"outputs\":[{\"name\":\"z\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}]}"},
        2, "is missing in the second");
    combine(METHOD_VOTE, true, (const char *[]){"{\"predictions\":[1]}", "{\"predictions\":[]}"}, 2,
            "they have 1 and 0 predictions");
}

Test(serve_gateway_combine, vote_and_best)
{
    combine(METHOD_VOTE, false,
            (const char *[]){ONE("[3]", "INT64", "[1,2,5]"), ONE("[3]", "INT64", "[3,4,6]"),
                             ONE("[3]", "INT64", "[3,2,7]")},
            3, ANSWER("[3]", "INT64", "[3,2,5]", "\"a\",\"b\",\"c\""));
    combine(METHOD_BEST, false,
            (const char *[]){ONE("[1]", "INT64", "[1]"), ONE("[2]", "FP32", "[3,4]")}, 2,
            ANSWER("[1]", "INT64", "[1]", "\"a\""));
    combine(METHOD_VOTE, true,
            (const char *[]){"{\"predictions\":[\"x\",\"y\"]}", "{\"predictions\":[\"z\",\"y\"]}"},
            2, "{\"predictions\":[\"x\",\"y\"],\"members\":[\"a\",\"b\"]}\n");
    combine(METHOD_BEST, true,
            (const char *[]){"{\"predictions\":[1.50]}", "{\"predictions\":[2,3]}"}, 2,
            "{\"predictions\":[1.50],\"members\":[\"a\"]}\n");
    combine(
        METHOD_MEAN, true,
        (const char *[]){"{\"predictions\":[{\"p\":[1,2]}]}", "{\"predictions\":[{\"p\":[3,4]}]}"},
        2, "{\"predictions\":[{\"p\":[2,3]}],\"members\":[\"a\",\"b\"]}\n");
}

Test(serve_gateway_combine, lists)
{
    combine(METHOD_CONCAT, false,
            (const char *[]){ONE("[2]", "INT64", "[1,2]"), ONE("[2]", "INT64", "[3,4]")}, 2,
            ANSWER("[2,2]", "INT64", "[1,3,2,4]", "\"a\",\"b\""));
    combine(METHOD_CONCAT, false,
            (const char *[]){ONE("[2,2]", "BYTES", "[[\"a\",\"b\"],[\"c\",\"d\"]]"),
                             ONE("[2,1]", "BYTES", "[\"e\",\"f\"]")},
            2, ANSWER("[2,3]", "BYTES", "[\"a\",\"b\",\"e\",\"c\",\"d\",\"f\"]", "\"a\",\"b\""));
    combine(METHOD_CONCAT, false,
            (const char *[]){ONE("[1,1,2]", "INT8", "[1,2]"), ONE("[1,2,2]", "INT8", "[3,4,5,6]")},
            2, ANSWER("[1,3,2]", "INT8", "[1,2,3,4,5,6]", "\"a\",\"b\""));
    combine(METHOD_UNION, false,
            (const char *[]){ONE("[1,2]", "INT64", "[1,2]"), ONE("[1,3]", "INT64", "[2,3,3]")}, 2,
            ANSWER("[1,3]", "INT64", "[1,2,3]", "\"a\",\"b\""));
    combine(METHOD_UNION, false,
            (const char *[]){ONE("[2,1]", "INT64", "[1,2]"), ONE("[2,1]", "INT64", "[1,3]")}, 2,
            "is no tensor; ask v1");
    combine(METHOD_UNION, false,
            (const char *[]){ONE("[1,1,2]", "INT8", "[1,2]"), ONE("[1,1,2]", "INT8", "[3,4]")}, 2,
            "more than two dimensions");
    combine(METHOD_CONCAT, false,
            (const char *[]){ONE("[2]", "INT64", "[1,2]"), ONE("[1]", "INT64", "[3]")}, 2,
            "another shape");
    combine(METHOD_UNION, true,
            (const char *[]){"{\"predictions\":[[1,2],\"x\"]}", "{\"predictions\":[[2,3],\"y\"]}"},
            2, "{\"predictions\":[[1,2,3],[\"x\",\"y\"]],\"members\":[\"a\",\"b\"]}\n");
    combine(METHOD_CONCAT, true,
            (const char *[]){"{\"predictions\":[[1],{\"k\":1}]}", "{\"predictions\":[[1],2]}"}, 2,
            "{\"predictions\":[[1,1],[{\"k\":1},2]],\"members\":[\"a\",\"b\"]}\n");
}

Test(serve_gateway_combine, own_command)
{
    struct form f;
    const struct form *answers[] = {&f};
    struct str out = {0};
    struct err err = {0};
    struct combine_input c = {.model = "e",
                              .method = METHOD_COMMAND,
                              .id = slice_str("\"7\""),
                              .n_members = 1,
                              .slugs = slugs,
                              .answers = answers};
    cr_assert_eq(
        form_read(slice_str(ONE("[1]", "FP32", "[1.50]")), false, FORM_ANSWER, "a", &f, &err), 0);
    combine_list(&c, &out);
    cr_assert_str_eq(sb_text(&out),
                     "[{\"member\":\"a\",\"answer\":{\"model_name\":\"a\",\"outputs\":[{\"name\":"
                     "\"y\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1.50]}]}}]\n");
    sb_clear(&out);
    const char *printed = "{\"id\":\"other\",\"parameters\":{\"k\":1,\"members\":[9]},\"extra\":0."
                          "10,\"outputs\":[]}\n";
    cr_assert_eq(combine_printed(&c, slice_str(printed), &out, &err), 0, "%s", err.msg);
    cr_assert_str_eq(sb_text(&out), "{\"model_name\":\"e\",\"id\":\"7\",\"extra\":0.10,\"outputs\":"
                                    "[],\"parameters\":{\"members\":[\"a\"],\"k\":1}}\n");
    sb_clear(&out);
    c.v1 = true;
    cr_assert_eq(combine_printed(&c, slice_str("{\"predictions\":[1],\"members\":3}"), &out, &err),
                 0);
    cr_assert_str_eq(sb_text(&out), "{\"predictions\":[1],\"members\":[\"a\"]}\n");
    cr_assert_lt(combine_printed(&c, slice_str("hello"), &out, &err), 0);
    cr_assert(strstr(err.msg, "what the command printed: "), "%s", err.msg);
    cr_assert_lt(combine_printed(&c, slice_str("{\"outputs\":[]}"), &out, &err), 0);
    form_done(&f);
    sb_done(&out);
}
