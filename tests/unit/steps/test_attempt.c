/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts on the host: surroundings, outputs, failures in one sentence, and what must not be stored. */
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "room.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Test(steps_attempt, a_script_makes_its_output_and_is_stored)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  hello:\n"
                  "    run: echo \"hello $WHO\" > ${{ outputs.text }}; echo said\n"
                  "    env: {WHO: world}\n"
                  "    outputs: {text: a/b.txt}\n");
    cr_assert_eq(room_run(&r, "hello"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert(r.stored, "%s", r.why_not);
    cr_assert_str_eq(room_output(&r, r.result, "text"), "hello world\n");
    cr_assert(r.result->has_log);
    cr_assert_eq(r.result->log_bytes, 5);
    cr_assert_eq(r.exit_code, 0);
    room_close(&r);
}

Test(steps_attempt, a_command_runs_as_it_is)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  copy:\n"
                  "    command: [cp, in.txt, \"${{ outputs.o }}\"]\n"
                  "    outputs: {o: out.txt}\n");
    room_write(&r, "in.txt", "data");
    for (int k = 0; k < 3; k++) { /* a slot used again shows nothing of the last time */
        cr_assert_eq(room_run(&r, "copy"), ATTEMPT_SUCCEEDED, "%s", r.error);
        cr_assert_str_eq(room_output(&r, r.result, "o"), "data");
        cr_assert_not(r.result->has_log);
    }
    room_close(&r);
}

Test(steps_attempt, the_environment_is_what_is_promised)
{
    struct room r;
    setenv("PASSED", "yes", 1);
    setenv("HIDDEN", "no", 1);
    room_open(
        &r,
        "steps:\n"
        "  env:\n"
        "    matrix: {rate-of: [3]}\n"
        "    run: |\n"
        "      echo \"$LANG $TZ $PASSED ${HIDDEN:-none} $WF_STEP $WF_MATRIX_RATE_OF\" > $WF_OUT/o\n"
        "      test -n \"$WF_RUN$WF_ATTEMPT$WF_VALUES\"\n"
        "    pass_env: [PASSED]\n"
        "    env: {TZ: Europe/Paris}\n"
        "    outputs: {o: o}\n");
    cr_assert_eq(room_run(&r, "env[rate-of=3]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "o"),
                     "C.UTF-8 Europe/Paris yes none env[rate-of=3] 3\n");
    room_close(&r);
}

Test(steps_attempt, failures_are_one_sentence)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  code: {run: exit 3}\n"
                  "  signal: {run: 'kill -9 $$'}\n"
                  "  missing: {run: 'true', outputs: {model: model.bin}}\n"
                  "  empty: {run: ': > $WF_OUT/m', outputs: {m: {path: m, non_empty: true}}}\n"
                  "  nowhere: {command: [no-such-program-at-all]}\n");
    cr_assert_eq(room_run(&r, "code"), ATTEMPT_FAILED);
    cr_assert_str_eq(r.error, "step 'code' exited with code 3");
    cr_assert_eq(r.exit_code, 3);
    cr_assert_eq(room_run(&r, "signal"), ATTEMPT_FAILED);
    cr_assert(strstr(r.error, "killed by signal 9"), "%s", r.error);
    cr_assert_eq(room_run(&r, "missing"), ATTEMPT_FAILED);
    cr_assert(strstr(r.error, "output 'model' (model.bin) was not made"), "%s", r.error);
    cr_assert_eq(room_run(&r, "empty"), ATTEMPT_FAILED);
    cr_assert(strstr(r.error, "is empty"), "%s", r.error);
    cr_assert_eq(room_run(&r, "nowhere"), ATTEMPT_REFUSED);
    cr_assert(strstr(r.error, "'no-such-program-at-all' was not found"), "%s", r.error);
    room_close(&r);
}

Test(steps_attempt, a_failed_attempt_leaves_its_log_and_no_output_for_the_next)
{
    struct room r;
    room_open(&r,
              "steps:\n"
              "  bad: {run: 'echo half > $WF_OUT/o; echo oops >&2; exit 1', outputs: {o: o}}\n"
              "  good: {run: 'test ! -e $WF_OUT/o; echo whole > $WF_OUT/o', outputs: {o: o}}\n");
    cr_assert_eq(room_run(&r, "bad"), ATTEMPT_FAILED);
    cr_assert(text_starts(r.log, "logs/01RUN/"), "%s", r.log);
    char *log = store_path(r.store, r.log);
    cr_assert(room_reads(&r, log, "oops\n"));
    free(log);
    cr_assert_eq(room_run(&r, "good"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(r.result->has_log, false, "the next log begins empty");
    room_close(&r);
}

Test(steps_attempt, what_else_lies_in_the_output_folder_is_dropped)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  litter: {run: 'mkdir $WF_OUT/d; echo x > $WF_OUT/d/x; echo o > $WF_OUT/o', "
                  "outputs: {o: o}}\n"
                  "  after: {run: 'ls -A $WF_OUT > /dev/null; test -z \"$(ls -A $WF_OUT)\"; echo 1 "
                  "> $WF_OUT/o', outputs: {o: o}}\n");
    cr_assert_eq(room_run(&r, "litter"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "after"), ATTEMPT_SUCCEEDED, "%s", r.error);
    room_close(&r);
}

Test(steps_attempt, references_lead_to_copies_with_the_declared_name)
{
    struct room r;
    room_open(&r,
              "steps:\n"
              "  make: {run: 'echo 42 > $WF_OUT/sub/n.txt', outputs: {n: sub/n.txt}}\n"
              "  many:\n"
              "    matrix: {i: [1, 2]}\n"
              "    run: 'mkdir $WF_OUT/d; echo ${{ matrix.i }} > $WF_OUT/d/f'\n"
              "    outputs: {d: d}\n"
              "  read:\n"
              "    run: |\n"
              "      f=${{ steps.make.outputs.n }}\n"
              "      basename \"$f\" > $WF_OUT/o\n"
              "      cat \"$f\" >> $WF_OUT/o\n"
              "      for d in ${{ steps.many.outputs.d }}; do cat \"$d/f\" >> $WF_OUT/o; done\n"
              "      grep -c '\"path\"' \"$WF_INPUTS\" >> $WF_OUT/o\n"
              "    outputs: {o: o}\n"
              "  folder:\n"
              "    inputs: {all: '${{ steps.many.outputs.d }}'}\n"
              "    run: ls ${{ inputs.all }} > $WF_OUT/o; cat ${{ inputs.all }}/*/f >> $WF_OUT/o\n"
              "    outputs: {o: o}\n"
              "  part:\n"
              "    inputs: {f: \"${{ steps['many[i=2]'].outputs.d }}/f\"}\n"
              "    command: [cp, '${{ inputs.f }}', '${{ outputs.o }}']\n"
              "    outputs: {o: o}\n");
    cr_assert_eq(room_run(&r, "make"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "many[i=1]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "many[i=2]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "read"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "o"), "n.txt\n42\n1\n2\n1\n");
    cr_assert(r.stored, "%s", r.why_not);
    cr_assert_eq(room_run(&r, "folder"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "o"), "i=1\ni=2\n1\n2\n");
    cr_assert_eq(room_run(&r, "part"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "o"), "2\n");
    room_close(&r);
}

Test(steps_attempt, who_writes_to_what_it_reads_is_found_out)
{
    struct room r;
    room_open(
        &r,
        "steps:\n"
        "  make: {run: 'echo 42 > $WF_OUT/n', outputs: {n: n}}\n"
        "  spoil:\n"
        "    run: 'f=${{ steps.make.outputs.n }}; chmod u+w $f; echo 43 > $f; echo x > $WF_OUT/o'\n"
        "    outputs: {o: o}\n"
        "  read: {run: 'cp ${{ steps.make.outputs.n }} $WF_OUT/o', outputs: {o: o}}\n");
    cr_assert_eq(room_run(&r, "make"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "spoil"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_not(r.stored);
    cr_assert(strstr(r.why_not, "altered"), "%s", r.why_not);
    cr_assert_eq(room_run(&r, "read"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "o"), "42\n", "the copy was made anew");
    cr_assert(r.stored, "%s", r.why_not);
    room_close(&r);
}

Test(steps_attempt, an_input_that_changed_meanwhile_is_not_stored)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  s:\n"
                  "    inputs: [a.txt]\n"
                  "    run: cat a.txt > $WF_OUT/o; echo new > a.txt\n"
                  "    outputs: {o: o}\n"
                  "  touched:\n"
                  "    inputs: [b.txt]\n"
                  "    run: cp b.txt $WF_OUT/o; touch b.txt\n"
                  "    outputs: {o: o}\n");
    room_write(&r, "a.txt", "old\n");
    room_write(&r, "b.txt", "same\n");
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_not(r.stored);
    cr_assert_str_eq(r.why_not, "input a.txt changed while the step ran");
    cr_assert_eq(room_run(&r, "touched"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_not(r.stored, "it may have held something else for a while");
    cr_assert_str_eq(
        r.why_not,
        "input b.txt was touched while the step ran, which may have read something else");
    room_close(&r);
}

Test(steps_attempt, time_is_bounded_and_cancelling_works)
{
    struct room r;
    room_open(
        &r,
        "steps:\n"
        "  slow: {run: 'sleep 60', timeout: 100ms, grace: 100ms}\n"
        "  deaf: {run: \"trap '' TERM; sleep 60 & wait; sleep 60\", timeout: 100ms, grace: 100ms}\n"
        "  long: {run: 'sleep 60', grace: 1s}\n");
    cr_assert_eq(room_run(&r, "slow"), ATTEMPT_TIMED_OUT);
    cr_assert_str_eq(r.error, "step 'slow' ran longer than its timeout of 0.100s and was ended");
    cr_assert_eq(room_run(&r, "deaf"), ATTEMPT_TIMED_OUT);
    room_begin(&r, "long");
    attempt_cancel(r.running, false);
    cr_assert_eq(room_wait(&r), ATTEMPT_CANCELLED);
    room_begin(&r, "long");
    attempt_free(r.running); /* kills it */
    r.running = NULL;
    room_close(&r);
}

Test(steps_attempt, a_script_of_any_length_and_a_large_log)
{
    struct room r;
    struct str yaml = {0};
    sb_puts(&yaml, "steps:\n  long:\n    outputs: {o: o}\n    run: |\n");
    while (yaml.len < 300 * 1024) {
        sb_puts(&yaml, "      : some words that say nothing at all, again and again\n");
    }
    sb_puts(&yaml, "      echo end > $WF_OUT/o\n"
                   "  loud: {run: 'head -c 20000000 /dev/zero', outputs: {}, cache: true}\n");
    room_open(&r, yaml.data);
    cr_assert_eq(room_run(&r, "long"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(room_output(&r, r.result, "o"), "end\n");
    cr_assert_eq(room_run(&r, "loud"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert(r.stored, "%s", r.why_not);
    cr_assert_eq(r.result->log_bytes, 20000000);
    sb_done(&yaml);
    room_close(&r);
}

Test(steps_attempt, too_long_an_argument_list_names_the_folder_form)
{
    struct room r;
    room_open(
        &r,
        "steps:\n"
        "  s: {command: [echo, \"${{ format('{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}', "
        "join(fromJSON(env.BIG), 'x')) }}\"], env: {BIG: '[\"a\"]'}}\n");
    /* a value of 16 x 16 KiB */
    struct str big = {0};
    sb_puts(&big, "[\"");
    for (int k = 0; k < 16 * 1024; k++) {
        sb_putc(&big, 'a');
    }
    sb_puts(&big, "\"]");
    struct text *t = r.wf->steps[0].env[0].value;
    t->source = big.data;
    t->len = (uint32_t)big.len;
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_REFUSED, "%s", r.error);
    cr_assert(strstr(r.error, "under `inputs:"), "%s", r.error);
    sb_done(&big);
    room_close(&r);
}

Test(steps_attempt, conditions)
{
    struct room r;
    bool yes = false;
    room_open(&r, "params: {go: true, word: 'true', odd: maybe}\n"
                  "steps:\n"
                  "  a: {run: 'true'}\n"
                  "  b: {run: 'true', if: params.go}\n"
                  "  c: {run: 'true', if: '${{ !params.go }}'}\n"
                  "  d: {run: 'true', if: params.odd}\n"
                  "  e: {run: 'true', if: failure() || params.go}\n");
    struct instance_ref a = room_instance(&r, "a"), b = room_instance(&r, "b"),
                        c = room_instance(&r, "c"), d = room_instance(&r, "d"),
                        e = room_instance(&r, "e");
    cr_assert(step_condition(&r.world, &a, &yes, &r.err) == 0 && yes);
    cr_assert(step_condition(&r.world, &b, &yes, &r.err) == 0 && yes);
    cr_assert(step_condition(&r.world, &c, &yes, &r.err) == 0 && !yes);
    cr_assert_lt(step_condition(&r.world, &d, &yes, &r.err), 0);
    r.refuse_success = true;
    cr_assert(step_condition(&r.world, &b, &yes, &r.err) == 0 && !yes);
    cr_assert(step_condition(&r.world, &e, &yes, &r.err) == 0 && yes);
    room_close(&r);
}

Test(steps_attempt, what_cannot_be_kept_and_what_runs_on)
{
    struct room r;
    room_open(&r, "steps:\n"
                  "  fifo: {run: 'mkfifo $WF_OUT/p', outputs: {p: p}}\n"
                  "  away: {run: 'ln -s /etc/passwd $WF_OUT/l', outputs: {l: l}}\n"
                  "  left: {run: 'setsid sleep 60 & echo x > $WF_OUT/o', outputs: {o: o}}\n"
                  "  values: {run: 'echo a=1 >> $WF_VALUES'}\n"
                  "  stdout: {run: 'echo 1; echo 2', values: {v: stdout}}\n");
    cr_assert_eq(room_run(&r, "fifo"), ATTEMPT_FAILED);
    cr_assert(strstr(r.error, "output 'p' is a FIFO"), "%s", r.error);
    cr_assert_eq(room_run(&r, "away"), ATTEMPT_FAILED);
    cr_assert_eq(room_run(&r, "left"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "values"), ATTEMPT_FAILED);
    cr_assert(strstr(r.error, "value 'a' was written to $WF_VALUES and is not declared"), "%s",
              r.error);
    cr_assert_eq(room_run(&r, "stdout"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(r.result->values[0].text, "1\n2");
    room_close(&r);
}
