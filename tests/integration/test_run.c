/* SPDX-License-Identifier: Apache-2.0 */
/* Runs on the mock executor: order, slots, skipping, failing, retrying, stopping. */
#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "cache/store.h"
#include "engine/history.h"
#include "tests/integration/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define FAILS                                                                                      \
    {                                                                                              \
        .outcome = JOB_EXITED, .exit_code = 3                                                      \
    }
#define LOG sb_text(&rig.log)

static const struct mock_script works[] = {{.step = "*", .takes_ms = 5, .writes_outputs = true}};
static struct rig rig;

static void close_rig(void)
{
    rig_close(&rig);
}

static void open_works(void)
{
    rig_open(&rig, works, 1);
}

TestSuite(run, .init = open_works, .fini = close_rig);

Test(run, one_after_the_other)
{
    rig_run(&rig,
            "steps:\n"
            "  a: {run: x, outputs: {o: o}}\n"
            "  b: {run: 'y ${{ steps.a.outputs.o }}', outputs: {o: o}}\n"
            "  c: {run: z, needs: b}\n",
            NULL);
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect(rig_before(&rig, "succeeded a", "started b"), "%s", LOG);
    cr_expect(rig_before(&rig, "succeeded b", "started c"), "%s", LOG);
    cr_expect_eq(rig.counts[INSTANCE_SUCCEEDED], 3);
}

Test(run, fans_out_and_in_again)
{
    rig_run(&rig,
            "steps:\n"
            "  a: {run: x}\n"
            "  b: {run: 'y ${{ matrix.k }}', needs: a, matrix: {k: [1, 2, 3, 4, 5]}}\n"
            "  c: {run: z, needs: b}\n",
            &(struct run_options){.max_parallel = 3});
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_eq(mock_peak(rig.mock), 3);
    cr_expect(rig_before(&rig, "succeeded b[k=5]", "started c"), "%s", LOG);
    cr_expect_eq(rig_count(&rig, "started b["), 5);
}

Test(run, a_matrix_bounds_its_own_branches)
{
    rig_run(&rig,
            "steps:\n"
            "  b: {run: 'y ${{ matrix.k }}', max_parallel: 1, matrix: {k: [1, 2, 3, 4]}}\n"
            "  c: {run: z}\n",
            &(struct run_options){.max_parallel = 4});
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_eq(mock_peak(rig.mock), 2, "%s", LOG);
    cr_expect(rig_before(&rig, "succeeded b[k=1]", "started b[k=2]"), "%s", LOG);
    cr_expect(rig_before(&rig, "succeeded b[k=3]", "started b[k=4]"), "%s", LOG);
}

Test(run, resources_are_admitted_and_nobody_starves)
{
    rig_run(&rig,
            "steps:\n"
            "  b: {run: 'y ${{ matrix.k }}', resources: {cpu: 700m}, matrix: {k: [1, 2, 3, 4]}}\n"
            "  c: {run: z}\n",
            &(struct run_options){.max_parallel = 64});
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "succeeded b["), 4);
}

Test(run, what_never_fits_is_an_error_before_anything_runs)
{
    int rc = rig_run(&rig, "steps:\n  a: {run: x, resources: {memory: 900TiB}}\n", NULL);

    cr_expect_eq(rc, -ERR_USAGE);
    cr_expect(strstr(rig.err->msg, "'a'") && strstr(rig.err->msg, "memory"), "%s", rig.err->msg);
}

Test(run, missing_inputs_and_secrets_are_errors_before_anything_runs)
{
    cr_expect_lt(rig_run(&rig, "steps:\n  a: {run: x, inputs: {d: no/such.csv}}\n", NULL), 0);
    cr_expect(strstr(rig.err->msg, "no/such.csv"), "%s", rig.err->msg);
    cr_expect_lt(rig_run(&rig,
                         "secrets: {TOKEN: {env: WF_TEST_NOT_SET}}\n"
                         "steps:\n  a: {run: x, secrets: [TOKEN]}\n",
                         NULL),
                 0);
    cr_expect(strstr(rig.err->msg, "WF_TEST_NOT_SET"), "%s", rig.err->msg);
    cr_expect_eq(rig_count(&rig, ""), 0);
}

Test(run, an_empty_workflow_of_skipped_steps_succeeds)
{
    rig_run(&rig, "steps:\n  a: {run: x, if: false}\n  b: {run: y, needs: a}\n", NULL);
    cr_expect_str_eq(rig.status, "succeeded");
    cr_expect_str_eq(rig_state(&rig, "a"), "skipped");
    cr_expect_str_eq(rig_state(&rig, "b"), "skipped", "%s", LOG);
}

Test(run, if_and_else_meet_again)
{
    rig_run(&rig,
            "params: {fast: true}\n"
            "steps:\n"
            "  a: {run: x, if: params.fast}\n"
            "  b: {run: y, if: '!params.fast'}\n"
            "  join: {run: z, needs: [a, b]}\n",
            NULL);
    cr_expect_str_eq(rig_state(&rig, "a"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "b"), "skipped");
    cr_expect_str_eq(rig_state(&rig, "join"), "succeeded", "%s", LOG);
}

Test(run, reading_a_skipped_output_skips_unless_default_covers_it)
{
    rig_run(&rig,
            "steps:\n"
            "  a: {run: x, if: false, outputs: {o: o}}\n"
            "  b: {run: 'y ${{ steps.a.outputs.o }}'}\n"
            "  c: {run: \"y ${{ default(steps.a.outputs.o, 'none') }}\"}\n",
            NULL);
    cr_expect_str_eq(rig_state(&rig, "b"), "skipped", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "succeeded", "%s", LOG);
}

static const struct mock_script b_fails[] = {
    {.step = "b", .takes_ms = 5, .end = FAILS},
    {.step = "b[k=2]", .takes_ms = 5, .end = FAILS},
    {.step = "*", .takes_ms = 10, .writes_outputs = true},
};

Test(run, a_failure_skips_what_depends_on_it_and_lets_the_rest_go_on)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig,
            "steps:\n"
            "  a: {run: x}\n"
            "  b: {run: y}\n"
            "  c: {run: z, needs: b}\n"
            "  d: {run: z, needs: c}\n"
            "  e: {run: z, needs: a}\n"
            "  f: {run: z, needs: c, if: failure()}\n",
            NULL);
    cr_expect_str_eq(rig.status, "failed");
    cr_expect_str_eq(rig.first_failure, "b");
    cr_expect_str_eq(rig_state(&rig, "c"), "skipped");
    cr_expect_str_eq(rig_state(&rig, "d"), "skipped", "failures are seen transitively");
    cr_expect_str_eq(rig_state(&rig, "e"), "succeeded");
    cr_expect_str_eq(rig_state(&rig, "f"), "succeeded", "%s", LOG);
}

Test(run, status_of_a_failed_step_orders_only)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig,
            "steps:\n"
            "  b: {run: y}\n"
            "  c: {run: z, if: \"steps.b.status == 'failed'\"}\n",
            NULL);
    cr_expect_str_eq(rig_state(&rig, "c"), "succeeded", "%s", LOG);
}

Test(run, tolerated_failures_do_not_fail_the_run)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig,
            "steps:\n"
            "  b: {run: y, continue_on_error: true, outputs: {o: o}}\n"
            "  c: {run: z, needs: b}\n"
            "  d: {run: 'z ${{ steps.b.outputs.o }}'}\n",
            NULL);
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "b"), "failed");
    cr_expect_str_eq(rig_state(&rig, "c"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "d"), "skipped", "%s", LOG);
    cr_expect_str_eq(rig.first_failure, "");
}

Test(run, on_failure_stop_cancels_what_runs_and_what_waits)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig,
            "on_failure: stop\n"
            "steps:\n"
            "  a: {run: x}\n"
            "  b: {run: y}\n"
            "  c: {run: z}\n"
            "finally:\n"
            "  last: {run: l}\n",
            NULL);
    cr_expect_str_eq(rig.status, "failed");
    cr_expect_str_eq(rig_state(&rig, "a"), "cancelled", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "cancelled");
    cr_expect_str_eq(rig_state(&rig, "last"), "succeeded", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "cancelled c b failed"), 1, "%s", LOG);
}

Test(run, fail_fast_cancels_the_other_branches)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig,
            "steps:\n"
            "  b: {run: 'y ${{ matrix.k }}', fail_fast: true, matrix: {k: [1, 2, 3, 4]}}\n"
            "  a: {run: x}\n",
            NULL);
    cr_expect_str_eq(rig.status, "failed");
    cr_expect_str_eq(rig_state(&rig, "b[k=2]"), "failed");
    cr_expect_str_eq(rig_state(&rig, "b[k=1]"), "cancelled", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "b[k=4]"), "cancelled", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "a"), "succeeded", "%s", LOG);
}

Test(run, without_fail_fast_the_other_branches_go_on)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig, "steps:\n  b: {run: 'y ${{ matrix.k }}', matrix: {k: [1, 2, 3, 4]}}\n", NULL);
    cr_expect_eq(rig.counts[INSTANCE_SUCCEEDED], 3, "%s", LOG);
    cr_expect_eq(rig.counts[INSTANCE_FAILED], 1);
}

static const struct mock_script flaky[] = {
    {.step = "b", .attempt = 1, .takes_ms = 1, .end = FAILS},
    {.step = "b", .attempt = 2, .takes_ms = 1, .end = FAILS},
    {.step = "*", .takes_ms = 1, .writes_outputs = true},
};

Test(run, retries_wait_longer_each_time_and_free_their_slot)
{
    rig_scripts(&rig, flaky, 3);
    rig_run(&rig,
            "steps:\n"
            "  b: {run: y, retry: {limit: 3, delay: 10ms, backoff: 3, max_delay: 25ms}}\n"
            "  c: {run: z}\n",
            &(struct run_options){.max_parallel = 1});
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_eq(mock_started(rig.mock, "b"), 3);
    cr_expect_eq(rig_count(&rig, "retry b 10"), 1, "%s", LOG);
    cr_expect_eq(rig_count(&rig, "retry b 25"), 1, "%s", LOG);
    cr_expect(rig_before(&rig, "started c", "started b 2"), "%s", LOG);
    cr_expect_str_eq(rig.first_failure, "");
}

Test(run, retries_end_at_their_limit)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig, "steps:\n  b: {run: y, retry: {limit: 2, delay: 1ms}}\n", NULL);
    cr_expect_str_eq(rig.status, "failed");
    cr_expect_eq(mock_started(rig.mock, "b"), 3);
}

Test(run, retry_on_other_codes_does_not_retry)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig, "steps:\n  b: {run: y, retry: {limit: 2, delay: 1ms, on: [7, timeout]}}\n", NULL);
    cr_expect_eq(mock_started(rig.mock, "b"), 1);
    rig_run(&rig, "steps:\n  b: {run: y, retry: {limit: 2, delay: 1ms, on: ['2-5']}}\n", NULL);
    cr_expect_eq(mock_started(rig.mock, "b"), 4);
}

static const struct mock_script lost[] = {
    {.step = "b", .takes_ms = 1, .end = {.outcome = JOB_LOST, .exit_code = -1}},
    {.step = "*", .takes_ms = 1, .writes_outputs = true},
};

Test(run, lost_is_not_failed)
{
    rig_scripts(&rig, lost, 2);
    rig_run(&rig, "steps:\n  b: {run: y}\n  c: {run: z, needs: b}\n", NULL);
    cr_expect_str_eq(rig.status, "failed");
    cr_expect_str_eq(rig_state(&rig, "b"), "lost", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "skipped");
}

static const struct mock_script odd[] = {
    {.step = "unknown", .takes_ms = 5, .submit_unknown = true, .writes_outputs = true},
    {.step = "twice", .takes_ms = 1, .ends_twice = true, .writes_outputs = true},
    {.step = "refused", .submit_fails = true},
    {.step = "*", .takes_ms = 1, .writes_outputs = true},
};

Test(run, a_duplicate_end_counts_once)
{
    rig_scripts(&rig, odd, 4);
    rig_run(&rig, "steps:\n  twice: {run: y}\n  c: {run: z, needs: twice}\n", NULL);
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "succeeded twice"), 1);
}

Test(run, an_unknown_submit_is_looked_for_not_repeated)
{
    rig_scripts(&rig, odd, 4);
    rig_run(&rig, "steps:\n  unknown: {run: y, retry: {limit: 2, delay: 1ms}}\n", NULL);
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_eq(mock_started(rig.mock, "unknown"), 1, "%s", LOG);
}

Test(run, a_refused_submit_is_a_failure)
{
    rig_scripts(&rig, odd, 4);
    rig_run(&rig, "steps:\n  refused: {run: y}\n  c: {run: z}\n", NULL);
    cr_expect_str_eq(rig.status, "failed", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "refused"), "failed");
    cr_expect_str_eq(rig_state(&rig, "c"), "succeeded");
}

static const struct mock_script stuck[] = {
    {.step = "b", .takes_ms = -1},
    {.step = "*", .takes_ms = 1, .writes_outputs = true},
};

Test(run, a_timeout_ends_one_attempt)
{
    rig_scripts(&rig, stuck, 2);
    rig_run(&rig, "steps:\n  b: {run: y, timeout: 20ms, grace: 5ms}\n  c: {run: z}\n", NULL);
    cr_expect_str_eq(rig.status, "failed", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "failed b timeout"), 1, "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "succeeded");
}

Test(run, the_runs_own_timeout_stops_it)
{
    rig_scripts(&rig, stuck, 2);
    rig_run(&rig, "timeout: 30ms\nsteps:\n  b: {run: y, grace: 5ms}\n  d: {run: z, needs: b}\n",
            NULL);
    cr_expect_str_eq(rig.status, "failed", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "b"), "cancelled", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "d"), "cancelled", "%s", LOG);
}

static void interrupt_once(struct rig *r, struct run *run, const struct event *e, const char *name)
{
    (void)r;
    if (e->type == EVENT_STARTED && strcmp(name, "a") == 0) {
        run_interrupt(run, "interrupted", false);
    }
}

Test(run, the_first_signal_lets_running_steps_finish)
{
    rig.hook = interrupt_once;
    rig_run(&rig,
            "steps:\n  a: {run: x}\n  c: {run: y, needs: a}\n"
            "finally:\n  last: {run: z}\n",
            NULL);
    cr_expect_str_eq(rig.status, "cancelled", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "a"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "cancelled");
    cr_expect_str_eq(rig_state(&rig, "last"), "succeeded", "%s", LOG);
}

static void interrupt_twice(struct rig *r, struct run *run, const struct event *e, const char *name)
{
    (void)r;
    if (e->type == EVENT_STARTED && strcmp(name, "b") == 0) {
        run_interrupt(run, "interrupted", false);
        run_interrupt(run, "interrupted", false);
    }
}

Test(run, the_second_signal_ends_what_runs_and_skips_finally)
{
    rig_scripts(&rig, stuck, 2);
    rig.hook = interrupt_twice;
    rig_run(&rig,
            "steps:\n  b: {run: x, grace: 5ms}\n"
            "finally:\n  last: {run: z}\n",
            NULL);
    cr_expect_str_eq(rig.status, "cancelled", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "b"), "cancelled", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "last"), "cancelled", "%s", LOG);
}

static void interrupt_hard(struct rig *r, struct run *run, const struct event *e, const char *name)
{
    (void)r;
    if (e->type == EVENT_STARTED && strcmp(name, "b") == 0) {
        run_interrupt(run, "terminated", true);
    }
}

Test(run, a_hard_interrupt_ends_what_runs_but_finally_runs)
{
    rig_scripts(&rig, stuck, 2);
    rig.hook = interrupt_hard;
    rig_run(&rig, "steps:\n  b: {run: x, grace: 5ms}\nfinally:\n  last: {run: z}\n", NULL);
    cr_expect_str_eq(rig.status, "cancelled", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "last"), "succeeded", "%s", LOG);
}

Test(run, finally_runs_after_a_failure_and_sees_it)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig,
            "steps:\n  b: {run: x}\n"
            "finally:\n"
            "  bad: {run: z, if: failure()}\n"
            "  good: {run: z, if: success()}\n"
            "  after: {run: z, needs: bad}\n",
            NULL);
    cr_expect_str_eq(rig.status, "failed");
    cr_expect_str_eq(rig_state(&rig, "bad"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "good"), "skipped", "%s", LOG);
    cr_expect(rig_before(&rig, "succeeded bad", "started after"), "%s", LOG);
    cr_expect(rig_before(&rig, "failed b", "started bad"), "%s", LOG);
}

Test(run, a_failing_finally_fails_the_run)
{
    rig_scripts(&rig, b_fails, 3);
    rig_run(&rig, "steps:\n  a: {run: x}\nfinally:\n  b: {run: z}\n", NULL);
    cr_expect_str_eq(rig.status, "failed", "%s", LOG);
}

Test(run, a_closed_run_leaves_nothing_behind)
{
    rig_scripts(&rig, stuck, 2);
    rig_run(&rig, "steps:\n  c: {run: z}\n", NULL);
    char id[32];
    cr_expect_eq(history_resolve(rig.store, "latest", id, rig.err), 0, "%s", rig.err->msg);
    cr_expect_not(store_is_live(rig.store, id));
}

static void close_at_start(struct rig *r, struct run *run, const struct event *e, const char *name)
{
    (void)run;
    (void)name;
    if (e->type == EVENT_SUCCEEDED) {
        r->done = true;
        loop_stop(r->loop);
    }
}

Test(run, closing_early_ends_what_runs)
{
    rig_scripts(&rig, stuck, 2);
    rig.hook = close_at_start;
    rig_run(&rig, "steps:\n  b: {run: x}\n  c: {run: y}\n  d: {run: z, needs: b}\n", NULL);
    cr_expect_str_eq(rig_state(&rig, "b"), "running");
    char id[32];
    /* Its owner is gone without an end: a run that others may take up. */
    cr_expect_eq(history_unfinished(rig.store, NULL, id, rig.err), 0);
}

Test(run, a_thousand_branches_in_order)
{
    struct str yaml = {0};

    sb_puts(&yaml, "steps:\n  b:\n    run: 'y ${{ matrix.k }}'\n    matrix:\n      k: [0");
    for (int i = 1; i < 1000; i++) {
        sb_printf(&yaml, ", %d", i);
    }
    sb_puts(&yaml, "]\n  c: {run: z, needs: b}\n");
    rig_run(&rig, sb_text(&yaml), &(struct run_options){.max_parallel = 7});
    cr_expect_str_eq(rig.status, "succeeded");
    cr_expect_eq(rig.counts[INSTANCE_SUCCEEDED], 1001);
    cr_expect_eq(mock_peak(rig.mock), 7);
    cr_expect(rig_before(&rig, "started b[k=41]", "started b[k=42]"));
    sb_done(&yaml);
}

Test(run, an_empty_matrix_has_succeeded)
{
    rig_run(&rig,
            "steps:\n"
            "  b: {run: 'y ${{ matrix.k }}', matrix: {k: [1], exclude: [{k: 1}]}}\n"
            "  c: {run: z, needs: b}\n",
            NULL);
    cr_expect_str_eq(rig.status, "succeeded");
    cr_expect_str_eq(rig_state(&rig, "c"), "succeeded", "%s", LOG);
}
