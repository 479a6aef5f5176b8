/* SPDX-License-Identifier: Apache-2.0 */
/* Documents made into one. */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "room.h"
#include "steps/aggregate.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"a", "b", "c"};

static void combine(enum method m, const char *const *docs, size_t count, const char *want)
{
    struct slice s[3];
    struct str out = {0};
    struct err err = {0};
    for (size_t k = 0; k < count; k++) {
        s[k] = slice_str(docs[k]);
    }
    int rc = aggregate_combine(m, s, names, count, &out, &err);
    if (rc != 0) {
        cr_assert(strstr(err.msg, want), "%s", err.msg);
    } else {
        cr_assert_str_eq(sb_text(&out), want);
    }
    sb_done(&out);
}

Test(steps_aggregate, mean)
{
    const char *const docs[] = {"{\"p\":[[0.25,1],[2,3]],\"id\":\"x\"}",
                                "{\"id\":\"x\",\"p\":[[0.75,2],[4,5]]}"};
    combine(METHOD_MEAN, docs, 2, "{\"p\":[[0.5,1.5],[3,4]],\"id\":\"x\"}\n");
    const char *const shorter[] = {"[1,2]", "[1]"};
    combine(METHOD_MEAN, shorter, 2,
            "differ in shape at $: lists of different length in 'a' and 'b'");
    const char *const words[] = {"[\"x\"]", "[\"y\"]"};
    combine(METHOD_MEAN, words, 2, "no mean at $[0]");
    const char *const types[] = {"{\"k\":1}", "{\"k\":[]}"};
    combine(METHOD_MEAN, types, 2, "at $.k: different types");
    const char *const bad[] = {"[1]", "nope"};
    combine(METHOD_MEAN, bad, 2, "'b' is not JSON");
}

/* A mean of one: what is written is read back as that float, whichever way it is read. */
Test(steps_aggregate, single_floats)
{
    struct str doc = {0}, out = {0};
    struct err err = {0};
    float want[20000];
    uint32_t bits = 1;
    sb_putc(&doc, '[');
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        do {
            bits = bits * 1664525 + 1013904223;
            uint32_t use = i % 2 ? bits : (bits & 0x80FFFFFF) | 0x3C000000; /* 0.008 to 2 */
            memcpy(&want[i], &use, sizeof(use));
        } while (!isfinite(want[i]));
        sb_printf(&doc, "%s%.17g", i ? "," : "", (double)want[i]);
    }
    sb_putc(&doc, ']');
    struct slice s = slice_of(doc.data, doc.len);
    cr_assert_eq(aggregate_combine_single(METHOD_MEAN, &s, names, 1, &out, &err), 0, "%s", err.msg);
    const char *at = out.data;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        char *end;
        cr_assert_eq(strtof(++at, NULL), want[i], "%.20s for %.9g", at, (double)want[i]);
        cr_assert_eq((float)strtod(at, &end), want[i], "%.20s for %.9g", at, (double)want[i]);
        cr_assert(i % 2 || end - at <= 13, "%.20s", at);
        at = end;
    }
    const char *const large[] = {"[1e39]", "[1e300]"};
    struct slice two[] = {slice_str(large[0]), slice_str(large[1])};
    cr_assert_lt(aggregate_combine_single(METHOD_MEAN, two, names, 1, &out, &err), 0);
    cr_assert_eq(aggregate_combine(METHOD_MEAN, two, names, 2, &out, &err), 0);
    two[0] = slice_str("[1e999]");
    cr_assert_lt(aggregate_combine(METHOD_MEAN, two, names, 2, &out, &err), 0);
    sb_done(&doc);
    sb_done(&out);
}

Test(steps_aggregate, vote_union_concat)
{
    const char *const labels[] = {"[1,2,\"x\"]", "[1,3,\"y\"]", "[2,3,\"z\"]"};
    combine(METHOD_VOTE, labels, 3, "[1,3,\"x\"]\n");
    combine(METHOD_CONCAT, labels, 2, "[1,2,\"x\",1,3,\"y\"]\n");
    combine(METHOD_UNION, labels, 3, "[1,2,\"x\",3,\"y\",\"z\"]\n");
    const char *const object[] = {"{}", "[]"};
    combine(METHOD_UNION, object, 2, "'a' holds an object");
}

Test(steps_aggregate, over_steps)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  p: {matrix: {i: [1, 3]}, run: 'echo \"[${{ matrix.i }}]\" > ${{ outputs.p "
                  "}}', outputs: {p: p.json}}\n"
                  "  mean: {kind: aggregate, from: p, method: mean}\n");
    cr_assert_eq(room_run(&r, "p[i=1]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "p[i=3]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "mean"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert(r.stored, "%s", r.why_not);
    cr_assert_eq(r.result->n_outputs, 1);
    cr_assert_str_eq(r.result->outputs[0].path, "result.json");
    cr_assert_str_eq(room_output(&r, r.result, r.result->outputs[0].name), "[2]\n");
    room_close(&r);
}

Test(steps_aggregate, with_a_command_of_its_own)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  p: {matrix: {i: [1, 3]}, run: 'echo ${{ matrix.i }} | tee ${{ outputs.p }} > "
                  "${{ outputs.q }}', outputs: {p: p, q: q}}\n"
                  "  sum:\n"
                  "    kind: aggregate\n"
                  "    from: p\n"
                  "    run: grep -o '\"output\":\"[pq]\"' $WF_INPUTS | wc -l > ${{ outputs.n }}\n"
                  "    outputs: {n: n}\n");
    cr_assert_eq(room_run(&r, "p[i=1]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "p[i=3]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "sum"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "n"), "4\n");
    cr_assert(strstr(r.q.action, "steps.p.outputs.q"), "%s", r.q.action);
    room_close(&r);
}
