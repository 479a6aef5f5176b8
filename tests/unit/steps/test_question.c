/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the key and what is not. */
#include "base/fs.h"
#include "base/str.h"
#include "room.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Does the key change when `rel` gets this text? */
static bool key_moves(struct room *r, const char *name, const char *rel, const char *text)
{
    char before[65], after[65];
    room_key(r, name, before);
    room_write(r, rel, text);
    room_key(r, name, after);
    return strcmp(before, after) != 0;
}

Test(steps_question, declared_inputs_by_content)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  s: {inputs: [data, '*.csv', {path: maybe.txt, optional: true}], run: 'true', "
                  "outputs: {o: o}}\n");
    room_write(&r, "data/x", "1");
    room_write(&r, "a.csv", "1");
    cr_assert(key_moves(&r, "s", "a.csv", "2"));
    cr_assert_not(key_moves(&r, "s", "a.csv", "2"), "only the content counts");
    cr_assert(key_moves(&r, "s", "b.csv", "2"), "another match of the glob");
    cr_assert(key_moves(&r, "s", "data/sub/y", "1"));
    cr_assert(key_moves(&r, "s", "maybe.txt", ""));
    cr_assert_not(key_moves(&r, "s", "elsewhere", "1"));
    cr_assert_not(key_moves(&r, "s", "data/.git/x", "1"));
    chmod(room_path(&r, "a.csv"), 0755);
    char before[65], after[65];
    room_key(&r, "s", before);
    chmod(room_path(&r, "a.csv"), 0644);
    r.epoch++;
    room_key(&r, "s", after);
    cr_assert_str_neq(before, after, "the execute bit counts");
    room_close(&r);
}

Test(steps_question, files_named_in_the_text_are_found)
{
    struct room r;
    room_open(&r,
              "params: {file: p.txt}\n"
              "steps:\n"
              "  s: {run: 'cat in.txt ./d/e.txt ${{ params.file }} --x=opt.txt', outputs: {o: o}}\n"
              "  c: {command: [cat, 'with blank.txt', '${{ params.file }}'], outputs: {o: o}}\n"
              "  w: {run: cat in.txt, workdir: d, outputs: {o: o}}\n");
    room_write(&r, "in.txt", "1");
    room_write(&r, "d/e.txt", "1");
    room_write(&r, "p.txt", "1");
    cr_assert(key_moves(&r, "s", "in.txt", "2"));
    cr_assert(key_moves(&r, "s", "d/e.txt", "2"));
    cr_assert(key_moves(&r, "s", "p.txt", "2"));
    cr_assert(key_moves(&r, "s", "opt.txt", "2"));
    cr_assert(key_moves(&r, "c", "with blank.txt", "2"));
    cr_assert(key_moves(&r, "c", "p.txt", "3"));
    cr_assert_not(key_moves(&r, "w", "in.txt", "3"), "it starts in another folder");
    cr_assert(key_moves(&r, "w", "d/in.txt", "3"));
    room_close(&r);
}

Test(steps_question, what_the_workflow_publishes_is_no_input)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  make: {run: 'true', outputs: {o: o}, publish: {o: out/result.txt}}\n"
                  "  s: {run: 'echo see out/result.txt', outputs: {o: o}}\n");
    cr_assert_not(key_moves(&r, "s", "out/result.txt", "1"));
    room_close(&r);
}

Test(steps_question, a_program_by_its_content)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  s: {command: [./tool], outputs: {o: o}}\n"
                  "  p: {command: [mytool], env: {PATH: '/nowhere'}, outputs: {o: o}}\n");
    room_write(&r, "tool", "#!/bin/sh\nexit 0\n");
    chmod(room_path(&r, "tool"), 0755);
    char before[65], after[65];
    room_key(&r, "s", before);
    cr_assert(strstr(r.q.action, "\"program\":"), "%s", r.q.action);
    room_write(&r, "tool", "#!/bin/sh\nexit 1\n");
    chmod(room_path(&r, "tool"), 0755);
    room_key(&r, "s", after);
    cr_assert_str_neq(before, after);
    room_key(&r, "p", before);
    cr_assert_null(r.q.program);
    room_close(&r);
}

Test(steps_question, references_by_digest_and_values_by_text)
{
    struct room r;
    char one[65], two[65];
    room_open(&r, "params: {n: 1}\n"
                  "steps:\n"
                  "  make: {run: 'cat src > $WF_OUT/o; echo v=$(cat src) >> $WF_VALUES; date +%N > "
                  "$WF_OUT/t', outputs: {o: o, t: t}, values: [v]}\n"
                  "  file: {run: 'cat ${{ steps.make.outputs.o }} > $WF_OUT/o', outputs: {o: o}}\n"
                  "  text: {run: 'echo ${{ steps.make.values.v }} > $WF_OUT/o', outputs: {o: o}}\n"
                  "  part: {inputs: {t: '${{ steps.make.outputs.o }}'}, run: 'cat ${{ inputs.t }} "
                  "> $WF_OUT/o', outputs: {o: o}}\n");
    room_write(&r, "src", "1");
    cr_assert_eq(room_run(&r, "make"), ATTEMPT_SUCCEEDED, "%s", r.error);
    room_key(&r, "file", one);
    cr_assert(strstr(r.q.action, "\"ref\":\"steps.make.outputs.o\""), "%s", r.q.action);
    cr_assert_null(strstr(r.q.action, r.dir));
    room_key(&r, "text", one);
    cr_assert(strstr(r.q.action, "\"values\":{\"steps.make.values.v\":\"\\\"1\\\"\"}"), "%s",
              r.q.action);
    room_key(&r, "part", one);
    cr_assert_eq(room_run(&r, "make"), ATTEMPT_SUCCEEDED, "%s", r.error);
    room_key(&r, "part", two);
    cr_assert_str_eq(one, two, "another output of that step changed, not this one");
    room_write(&r, "src", "2");
    cr_assert_eq(room_run(&r, "make"), ATTEMPT_SUCCEEDED, "%s", r.error);
    room_key(&r, "part", two);
    cr_assert_str_neq(one, two);
    room_close(&r);
}

Test(steps_question, what_is_not_memoized_says_why)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  nothing: {run: 'true'}\n"
                  "  asked: {run: 'true', cache: true}\n"
                  "  off: {run: 'true', outputs: {o: o}, cache: false}\n"
                  "  run: {run: 'echo ${{ run.id }}', outputs: {o: o}}\n"
                  "  reads: {run: 'echo ${{ length(outputs.o) }}', outputs: {o: o}}\n"
                  "  plain: {run: 'echo ${{ basename(outputs.o) }}', outputs: {o: o}}\n");
    cr_assert_eq(room_ask(&r, "nothing"), 0);
    cr_assert_not(r.q.memoized);
    cr_assert_str_eq(r.q.why_not, "it declares no outputs or values");
    cr_assert_eq(room_ask(&r, "asked"), 0);
    cr_assert(r.q.memoized, "%s", r.q.why_not);
    cr_assert_eq(room_ask(&r, "off"), 0);
    cr_assert_not(r.q.memoized);
    cr_assert_eq(room_ask(&r, "run"), 0);
    cr_assert_str_eq(r.q.why_not, "names run.id");
    cr_assert_eq(room_ask(&r, "reads"), 0);
    cr_assert_not(r.q.memoized);
    cr_assert_eq(room_ask(&r, "plain"), 0);
    cr_assert(r.q.memoized, "%s", r.q.why_not);
    room_close(&r);
}

Test(steps_question, what_is_missing_or_no_file_is_an_error)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  gone: {inputs: [data.csv], run: 'true'}\n"
                  "  none: {inputs: ['x/*.csv'], run: 'true'}\n"
                  "  pipe: {inputs: [fifo], run: 'true'}\n");
    cr_assert_lt(room_ask(&r, "gone"), 0);
    cr_assert(strstr(r.err.msg, "input 'data.csv' does not exist"), "%s", r.err.msg);
    cr_assert_lt(room_ask(&r, "none"), 0);
    cr_assert(strstr(r.err.msg, "matches no file"), "%s", r.err.msg);
    cr_assert_eq(mkfifo(room_path(&r, "fifo"), 0600), 0);
    cr_assert_lt(room_ask(&r, "pipe"), 0);
    cr_assert(strstr(r.err.msg, "neither a file nor a folder"), "%s", r.err.msg);
    room_close(&r);
}

Test(steps_question, hash_files)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  s: {run: \"echo ${{ hashFiles('locks/*.lock') }} > ${{ outputs.o }}\", "
                  "outputs: {o: o}}\n");
    room_write(&r, "locks/a.lock", "1");
    cr_assert(key_moves(&r, "s", "locks/a.lock", "2"));
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(strlen(room_output(&r, r.result, "o")), 65);
    cr_assert(r.stored, "%s", r.why_not);
    room_close(&r);
}

Test(steps_question, branches_share_their_step_and_differ_by_value)
{
    struct room r;
    char one[65], two[65];
    room_open(&r, "steps:\n"
                  "  s: {matrix: {i: [1, 2]}, run: 'cat in${{ matrix.i }}', outputs: {o: o}}\n"
                  "  t: {needs: s, run: 'true', outputs: {o: o}}\n"
                  "  u: {run: 'true', outputs: {o: o}}\n");
    room_key(&r, "s[i=1]", one);
    room_key(&r, "s[i=2]", two);
    cr_assert_str_neq(one, two);
    cr_assert(key_moves(&r, "s[i=1]", "in1", "x"));
    cr_assert_not(key_moves(&r, "s[i=2]", "in1", "y"));
    room_key(&r, "t", one);
    room_key(&r, "u", two);
    cr_assert_str_eq(one, two, "order alone and a step's name are not in the key");
    room_close(&r);
}

Test(steps_question, a_file_seen_a_moment_ago_is_looked_at_again_after_an_attempt)
{
    struct room r;
    char one[65], two[65];
    room_open(&r, "steps:\n"
                  "  w: {run: echo new > shared.txt}\n"
                  "  s: {inputs: [shared.txt], run: 'true', outputs: {o: o}}\n");
    room_write(&r, "shared.txt", "old");
    room_key(&r, "s", one);
    room_run(&r, "w");
    room_key(&r, "s", two);
    cr_assert_str_neq(one, two);
    room_close(&r);
}

/* Of a list only what an expression takes of it is in the key. */
static const char models_yaml[] =
    "steps:\n"
    "  t:\n"
    "    kind: train\n"
    "    matrix: {m: [a, b]}\n"
    "    run: 'cat ${{ matrix.m }}.json > ${{ outputs.metrics }}; cat ${{ matrix.m }}.bin > ${{ "
    "outputs.model }}'\n"
    "    outputs: {model: model, metrics: metrics}\n"
    "  s: {kind: select, from: t, metric: accuracy, top: 2}\n"
    "  first: {run: 'cat ${{ steps.s.models[0].path }} > $WF_OUT/o', outputs: {o: o}}\n"
    "  word: {run: 'echo ${{ steps.s.models.*.matrix.m }} > $WF_OUT/o', outputs: {o: o}}\n"
    "  all: {run: 'cat ${{ steps.s.models.*.outputs.model }} > $WF_OUT/o', outputs: {o: o}}\n"
    "  branch: {run: 'cat ${{ steps.t.outputs.model[1] }} > $WF_OUT/o', outputs: {o: o}}\n"
    "  metric: {run: 'echo ${{ steps.t.metrics[0].accuracy }} > $WF_OUT/o', outputs: {o: o}}\n"
    "  either: {run: \"echo ${{ steps.t.metrics[0].accuracy > 0.5 && 'x' || 'y' }} > $WF_OUT/o\", "
    "outputs: {o: o}}\n";

enum { FIRST, WORD, ALL, BRANCH, METRIC, EITHER, READERS };

static void keys_of_readers(struct room *r, char keys[READERS][65])
{
    static const char *const names[READERS] = {"first",  "word",   "all",
                                               "branch", "metric", "either"};

    cr_assert_eq(room_run(r, "t[m=a]"), ATTEMPT_SUCCEEDED, "%s", r->error);
    cr_assert_eq(room_run(r, "t[m=b]"), ATTEMPT_SUCCEEDED, "%s", r->error);
    cr_assert_eq(room_run(r, "s"), ATTEMPT_SUCCEEDED, "%s", r->error);
    for (int k = 0; k < READERS; k++) {
        room_key(r, names[k], keys[k]);
        cr_assert(r->q.memoized, "%s: %s", names[k], r->q.why_not);
        cr_assert_null(strstr(r->q.action, r->dir), "%s", r->q.action);
    }
}

/* Which keys differ, as bits. */
static unsigned moved(char old[READERS][65], char now[READERS][65])
{
    unsigned bits = 0;

    for (int k = 0; k < READERS; k++) {
        bits |= strcmp(old[k], now[k]) != 0 ? 1U << k : 0;
    }
    return bits;
}

Test(steps_question, only_what_is_taken_of_a_list_enters_the_key)
{
    struct room r;
    char one[READERS][65], two[READERS][65];
    room_open(&r, models_yaml);
    room_write(&r, "a.json", "{\"accuracy\": 0.9, \"seconds\": 1}");
    room_write(&r, "b.json", "{\"accuracy\": 0.8, \"seconds\": 1}");
    room_write(&r, "a.bin", "model a");
    room_write(&r, "b.bin", "model b");
    keys_of_readers(&r, one);

    room_write(&r, "a.json", "{\"accuracy\": 0.9, \"seconds\": 2}");
    keys_of_readers(&r, two);
    cr_assert_eq(moved(one, two), 0, "what nobody reads changed: %x", moved(one, two));

    memcpy(one, two, sizeof(one));
    room_write(&r, "b.bin", "another model b");
    keys_of_readers(&r, two);
    cr_assert_eq(moved(one, two), 1U << ALL | 1U << BRANCH, "%x", moved(one, two));

    memcpy(one, two, sizeof(one));
    room_write(&r, "a.json", "{\"accuracy\": 0.7, \"seconds\": 2}");
    keys_of_readers(&r, two);
    cr_assert_eq(moved(one, two),
                 1U << FIRST | 1U << WORD | 1U << ALL | 1U << METRIC | 1U << EITHER,
                 "the order changed: %x", moved(one, two));
    room_close(&r);
}

Test(steps_question, a_list_and_a_string_that_reads_like_it_are_two_values)
{
    struct room r;
    char one[65], two[65];
    room_open(&r,
              "steps:\n"
              "  a: {run: 'cp m.json $WF_OUT/m', outputs: {metrics: m}}\n"
              "  plain: {run: 'echo ${{ steps.a.metrics.x }} > $WF_OUT/o', outputs: {o: o}}\n"
              "  deep: {run: 'echo ${{ steps.a.metrics.y.z }} > $WF_OUT/o', outputs: {o: o}}\n");
    room_write(&r, "m.json", "{\"x\": [\"p\", \"q\"], \"y\": {\"z\": [1, 2]}}");
    cr_assert_eq(room_run(&r, "a"), ATTEMPT_SUCCEEDED, "%s", r.error);
    room_key(&r, "plain", one);
    room_key(&r, "deep", two);
    room_write(&r, "m.json", "{\"x\": \"[\\\"p\\\",\\\"q\\\"]\", \"y\": {\"z\": \"[1,2]\"}}");
    cr_assert_eq(room_run(&r, "a"), ATTEMPT_SUCCEEDED, "%s", r.error);
    char now[65];
    room_key(&r, "plain", now);
    cr_assert_str_neq(one, now);
    room_key(&r, "deep", now);
    cr_assert_str_neq(two, now);
    room_close(&r);
}
