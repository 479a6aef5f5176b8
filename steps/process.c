/* SPDX-License-Identifier: Apache-2.0 */
/* Host processes. The step writes its log straight into the attempt's log file and dies with us; no
 * process and no file exists beyond the step's own. Memory and cpu limits are not enforced here. */
#include "base/child.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "steps/executor.h"

#include <errno.h>
#include <stdlib.h>

struct processes {
    struct executor x;
    struct loop *loop;
};

struct job_handle {
    struct child *child;  /* NULL: it could not be started */
    struct timer *failed; /* delivers JOB_NOT_STARTED from the loop */
    job_fn on_end;
    void *arg;
    int64_t started_at_ms;
    char *problem;
};

static void process_probe(struct executor *x, struct capabilities *ret)
{
    (void)x;
    *ret = (struct capabilities){.shares_files = true, .live_log = true};
}

static void on_exit_of_child(const struct child_exit *how, void *arg)
{
    struct job_handle *h = arg;
    struct job_end end = {
        .outcome = how->signal ? JOB_SIGNALLED : JOB_EXITED,
        .exit_code = how->exit_code,
        .signal = how->signal,
        .cpu_us = how->cpu_us,
        .max_rss_kib = how->max_rss_kib,
        .started_at_ms = h->started_at_ms,
        .ended_at_ms = now_ms(),
        .stragglers = how->stragglers,
    };
    h->on_end(&end, h->arg); /* may release h */
}

static void on_failed(void *arg)
{
    struct job_handle *h = arg;
    struct job_end end = {
        .outcome = JOB_NOT_STARTED,
        .exit_code = -1,
        .started_at_ms = h->started_at_ms,
        .ended_at_ms = now_ms(),
        .message = h->problem,
    };
    h->on_end(&end, h->arg);
}

/* Why this job cannot run as a host process at all; NULL: it can. Owned by the caller. */
static char *refusal(const struct job *job)
{
    if (job->network == NETWORK_NONE) {
        return xstrdup("network: none needs a container; give the step an image, or remove "
                       "'network: none'");
    }
    if (!job->argv || !job->argv[0]) {
        return xstrdup("there is no command to run; give the step 'run' or 'command'");
    }
    if (!job->program) {
        return xasprintf("program '%s' was not found; install it, correct its name, or see that "
                         "PATH leads to it",
                         job->argv[0]);
    }
    return NULL;
}

static int process_submit(struct executor *x, const struct job *job, job_fn on_end, void *arg,
                          struct job_handle **ret, struct err *err)
{
    (void)err;
    struct processes *p = CONTAINER_OF(x, struct processes, x);
    struct job_handle *h = xcalloc(1, sizeof(*h));
    h->on_end = on_end;
    h->arg = arg;
    h->started_at_ms = now_ms();
    h->problem = refusal(job);
    struct err why = {0};
    struct child_spec spec = {
        .program = job->program,
        .argv = job->argv,
        .envp = job->env,
        .cwd = job->workdir,
        .stdin_fd = -1,
        .stdout_fd = job->stdout_fd > 0 ? job->stdout_fd : job->log_fd,
        .stderr_fd = job->log_fd,
        .extra_fd = -1,
        .survive = false,
    };
    if (!h->problem && child_spawn(p->loop, &spec, on_exit_of_child, h, &h->child, &why) < 0) {
        h->problem = xstrdup(why.msg);
    }
    if (h->problem) {
        h->failed = timer_new(p->loop, on_failed, h);
        timer_start(h->failed, 0, 0);
    }
    *ret = h;
    return 0;
}

static void process_stop(struct executor *x, struct job_handle *h, int64_t grace_ms)
{
    (void)x;
    if (h->child) {
        child_stop(h->child, grace_ms);
    }
}

static void process_release(struct executor *x, struct job_handle *h)
{
    (void)x;
    if (!h) {
        return;
    }
    child_free(h->child);
    timer_free(h->failed);
    free(h->problem);
    free(h);
}

static void process_drain(struct executor *x, int64_t limit_ms)
{
    (void)x;
    (void)limit_ms; /* a child's end includes the clearing of its tree: nothing is left to do */
}

static void process_close(struct executor *x)
{
    free(CONTAINER_OF(x, struct processes, x));
}

static const struct executor_ops process_ops = {
    .name = "process",
    .probe = process_probe,
    .submit = process_submit,
    .stop = process_stop,
    .release = process_release,
    .drain = process_drain,
    .close = process_close,
};

int process_executor_open(struct loop *l, struct executor **ret, struct err *err)
{
    int rc = child_setup(err);
    if (rc < 0) {
        return rc;
    }
    struct processes *p = xcalloc(1, sizeof(*p));
    p->x.ops = &process_ops;
    p->loop = l;
    *ret = &p->x;
    return 0;
}
