/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts in real containers: what a step finds there. Skipped where there is no engine. */
#include "cache/objects.h"
#include "container_fixture.h"
#include "room.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(steps_box, .init = fixture_open, .fini = fixture_close, .timeout = 120);

#define BUSY                                                                                       \
    "    image: " TEST_IMAGE "\n    shell: [/bin/busybox, sh, -eu]\n    env: {PATH: /bin}\n"

Test(steps_box, paths_are_always_the_same)
{
    struct room r;
    room_open_with(
        &r,
        "steps:\n"
        "  make:\n"
        "    matrix: {i: [1, 2]}\n"
        "    run: 'echo ${{ matrix.i }} > $WF_OUT/sub/n'\n"
        "    outputs: {n: sub/n}\n"
        "  s:\n" BUSY
        "    inputs: {x: data/x.txt, far: ../far, all: '${{ steps.make.outputs.n }}'}\n"
        "    run: |\n"
        "      echo ${{ inputs.far }} ${{ outputs.o }} ${{ steps.make.outputs.n }} > $WF_OUT/o\n"
        "      busybox cat data/x.txt /inputs/far/f ${{ steps.make.outputs.n }} >> $WF_OUT/o\n"
        "      busybox cat ${{ inputs.all }}/i=2 >> $WF_OUT/o\n"
        "      busybox pwd >> $WF_OUT/o\n"
        "      echo v=1 >> $WF_VALUES\n"
        "      if (echo x > data/x.txt) 2>/dev/null; then exit 9; fi\n"
        "      if (echo x > /wf/in/make.0/n/n) 2>/dev/null; then exit 8; fi\n"
        "      busybox test -s $WF_INPUTS\n"
        "      busybox ls >> $WF_OUT/o\n"
        "    outputs: {o: o}\n"
        "    values: [v]\n",
        fx.loop, fx.x);
    room_write(&r, "data/x.txt", "data\n");
    room_write(&r, "data/hidden", "no\n");
    room_write(&r, "../far/f", "far\n");
    cr_assert_eq(room_run(&r, "make[i=1]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "make[i=2]"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert(r.stored, "%s", r.why_not);
    cr_assert_str_eq(room_output(&r, r.result, "o"),
                     "/inputs/far /wf/out/o /wf/in/make.0/n/n /wf/in/make.1/n/n\n"
                     "data\nfar\n1\n2\n2\n/workspace\ndata\n");
    cr_assert(strstr(r.q.action, "\"image\":\"sha256:"), "%s", r.q.action);
    cr_assert_null(strstr(r.q.action, r.dir), "%s", r.q.action);
    room_close(&r);
}

Test(steps_box, failure_log_secrets_and_stdout)
{
    struct room r;
    room_open_with(&r,
                   "secrets: {token: {env: T}}\n"
                   "steps:\n"
                   "  bad:\n" BUSY "    run: echo oops; exit 3\n"
                   "  secret:\n" BUSY "    secrets: {T: token}\n"
                   "    run: echo it is $T; echo x > $WF_OUT/o\n"
                   "    outputs: {o: o}\n"
                   "  out:\n" BUSY "    run: echo value; echo log >&2\n"
                   "    values: {v: stdout}\n",
                   fx.loop, fx.x);
    r.secrets[0] = "hunter22";
    cr_assert_eq(room_run(&r, "bad"), ATTEMPT_FAILED);
    cr_assert_str_eq(r.error, "step 'bad' exited with code 3");
    cr_assert(r.log[0]);
    cr_assert_eq(room_run(&r, "secret"), ATTEMPT_SUCCEEDED, "%s", r.error);
    struct str log = {0};
    cr_assert_eq(objects_read(r.store, &r.result->log, 1000, &log, &r.err), 0, "%s", r.err.msg);
    cr_assert_str_eq(sb_text(&log), "it is ***\n");
    sb_done(&log);
    cr_assert_eq(room_run(&r, "out"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_str_eq(r.result->values[0].text, "value");
    cr_assert_eq(r.result->log_bytes, 4);
    room_close(&r);
}
