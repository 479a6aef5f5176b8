/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing among branches. */
#include "base/str.h"
#include "room.h"

#include <criterion/criterion.h>
#include <string.h>

#define TRAIN                                                                                      \
    "steps:\n"                                                                                     \
    "  train:\n"                                                                                   \
    "    kind: train\n"                                                                            \
    "    matrix: {m: [a, b, c, d]}\n"                                                              \
    "    run: |\n"                                                                                 \
    "      case $WF_MATRIX_M in a) v=0.7;; b) v=0.9;; c) v=0.9;; d) exit 1;; esac\n"               \
    "      echo \"{\\\"eval\\\": {\\\"acc\\\": $v}, \\\"x.y\\\": $v}\" > ${{ outputs.metrics }}\n" \
    "      echo $WF_MATRIX_M > ${{ outputs.model }}\n"                                             \
    "    outputs: {metrics: metrics.json, model: model.bin}\n"

static void train_all(struct room *r)
{
    cr_assert_eq(room_run(r, "train[m=a]"), ATTEMPT_SUCCEEDED, "%s", r->error);
    cr_assert_eq(room_run(r, "train[m=b]"), ATTEMPT_SUCCEEDED, "%s", r->error);
    cr_assert_eq(room_run(r, "train[m=c]"), ATTEMPT_SUCCEEDED, "%s", r->error);
    cr_assert_eq(room_run(r, "train[m=d]"), ATTEMPT_FAILED);
}

Test(steps_select, the_best_two_and_their_files)
{
    struct room r;
    room_open(
        &r, TRAIN
        "  pick: {kind: select, from: train, metric: eval.acc, top: 2, at_least: 0.8}\n"
        "  use:\n"
        "    run: |\n"
        "      for f in ${{ steps.pick.models.*.path }}; do cat \"$f\"; done > ${{ outputs.o }}\n"
        "      echo ${{ steps.pick.models[0].name }} ${{ steps.pick.models[0].metric }} >> ${{ "
        "outputs.o }}\n"
        "    outputs: {o: o}\n");
    train_all(&r);
    cr_assert_eq(room_run(&r, "pick"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert(r.stored, "%s", r.why_not);
    cr_assert_eq(r.result->n_values, 1);
    cr_assert_str_eq(r.result->values[0].name, "models");
    cr_assert(text_starts(r.result->values[0].text,
                          "[{\"name\":\"train[m=b]\",\"matrix\":{\"m\":\"b\"},\"metrics\":{"),
              "%s", r.result->values[0].text);
    cr_assert_null(strstr(r.result->values[0].text, r.dir), "no paths are stored");
    cr_assert_eq(room_run(&r, "use"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "o"), "b\nc\ntrain[m=b] 0.9\n");
    cr_assert(r.stored, "%s", r.why_not);
    room_close(&r);
}

Test(steps_select, the_literal_key_first_and_min)
{
    struct room r;
    room_open(&r, TRAIN "  pick: {kind: select, from: train, metric: x.y, mode: min}\n");
    train_all(&r);
    cr_assert_eq(room_run(&r, "pick"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert(text_starts(r.result->values[0].text, "[{\"name\":\"train[m=a]\""), "%s",
              r.result->values[0].text);
    room_close(&r);
}

Test(steps_select, too_few_and_too_many_failed)
{
    struct room r;
    room_open(&r, TRAIN "  none: {kind: select, from: train, metric: eval.acc, at_least: 0.95}\n"
                        "  strict: {kind: select, from: train, metric: eval.acc, tolerate: 0}\n"
                        "  absent: {kind: select, from: train, metric: nothing}\n");
    train_all(&r);
    cr_assert_eq(room_run(&r, "none"), ATTEMPT_FAILED);
    cr_assert(strstr(r.error, "0 of 4 candidates passed"), "%s", r.error);
    cr_assert_eq(room_run(&r, "strict"), ATTEMPT_FAILED);
    cr_assert(strstr(r.error, "`tolerate` allows 0"), "%s", r.error);
    cr_assert(strstr(r.error, "train[m=d]"), "%s", r.error);
    cr_assert_eq(room_run(&r, "absent"), ATTEMPT_FAILED);
    room_close(&r);
}

Test(steps_select, the_key_follows_the_candidates)
{
    struct room r;
    char before[65], same[65], after[65];
    room_open(&r, TRAIN "  pick: {kind: select, from: train, metric: eval.acc}\n");
    cr_assert_eq(room_run(&r, "train[m=a]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    room_key(&r, "pick", before);
    room_key(&r, "pick", same);
    cr_assert_str_eq(before, same);
    cr_assert_eq(room_run(&r, "train[m=b]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    room_key(&r, "pick", after);
    cr_assert_str_neq(before, after);
    room_close(&r);
}
