/* SPDX-License-Identifier: Apache-2.0 */
/* Where an engine is looked for; no engine needed. */
#include "container_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

Test(steps_container_find, a_named_engine_that_is_not_there)
{
    struct container_options o = {.host = "unix:///nonexistent/engine.sock"};
    struct loop *loop = loop_new();
    struct executor *x = NULL;
    struct engine_facts facts;
    cr_assert_eq(container_executor_open(loop, NULL, &o, &x, NULL), 0);
    container_facts(x, &facts);
    cr_expect(!facts.found);
    cr_expect_not_null(strstr(facts.problem, "/nonexistent/engine.sock"), "%s", facts.problem);
    cr_expect_not_null(strstr(facts.problem, "wf doctor"), "%s", facts.problem);
    x->ops->close(x);
    o.host = "tcp://127.0.0.1:2375";
    cr_assert_eq(container_executor_open(loop, NULL, &o, &x, NULL), 0);
    container_facts(x, &facts);
    cr_expect(!facts.found);
    cr_expect_not_null(strstr(facts.problem, "unix:///"), "%s", facts.problem);
    /* A job of a workflow sees the same sentence, from the loop. */
    struct job job = {.token = "t", .step = "s", .log_fd = -1};
    struct outcome got = {0};
    struct job_handle *h = NULL;
    fx.loop = loop;
    cr_assert_eq(x->ops->submit(x, &job, on_job_end, &got, &h, NULL), 0);
    cr_expect_eq(got.ends, 0);
    loop_run(loop);
    cr_expect_eq(got.ends, 1);
    cr_expect_eq(got.outcome, JOB_NOT_STARTED);
    cr_expect_str_eq(got.message, facts.problem);
    x->ops->release(x, h);
    x->ops->close(x);
    loop_free(loop);
}
