/* SPDX-License-Identifier: Apache-2.0 */
/* The container executor's operations, capabilities and facts. */
#include "steps/container.h"

#include "base/child.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "steps/container_impl.h"

#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <uv.h>

enum { FIND_MS = 30000, CLOSE_DRAIN_MS = 20000, FACTS_MS = 30000 };

static struct containers *of(struct executor *x)
{
    return CONTAINER_OF(x, struct containers, x);
}

/* --- what works --- */

static bool is_rootless(const struct containers *c)
{
    struct stat st;
    if (c->state == ENGINE_READY && stat(c->engine.socket, &st) == 0) {
        return st.st_uid != 0;
    }
    return geteuid() != 0;
}

/* Engines of ordinary users cannot set limits where control groups are of version 1, and do not say so. */
static bool limits_work(const struct containers *c)
{
    struct statfs fs;
    bool v2 = statfs("/sys/fs/cgroup", &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC;
    return v2 || !is_rootless(c);
}

static void container_probe(struct executor *x, struct capabilities *ret)
{
    bool limits = limits_work(of(x));
    *ret = (struct capabilities){
        .shares_files = true,
        .read_only_mounts = true,
        .images = true,
        .cpu_limit = limits,
        .memory_limit = limits,
        .live_log = true,
        .survives_us = true,
        .network_none = true,
    };
}

struct facts_wait {
    bool done;
    struct err err;
};

static void on_facts_engine(const struct err *err, void *arg)
{
    struct facts_wait *w = arg;
    w->done = true;
    if (err) {
        w->err = *err;
    }
}

void container_facts(struct executor *x, struct engine_facts *ret)
{
    struct containers *c = of(x);
    struct facts_wait wait = {0};
    struct waiter need = {.fn = on_facts_engine, .arg = &wait};
    memset(ret, 0, sizeof(*ret));
    link_init(&need.link);
    engine_need(c, &need);
    while (!wait.done) {
        uv_run(loop_uv(c->loop), UV_RUN_ONCE);
    }
    if (wait.err.code != ERR_NONE) {
        snprintf(ret->problem, sizeof(ret->problem), "%.590s", wait.err.msg);
        return;
    }
    ret->found = true;
    ret->started_by_us = c->service_starts > 0;
    ret->rootless = is_rootless(c);
    ret->memory_limit = limits_work(c);
    snprintf(ret->name, sizeof(ret->name), "%s", c->engine.libpod ? "podman" : "docker");
    snprintf(ret->version, sizeof(ret->version), "%s", c->engine.version);
    snprintf(ret->socket, sizeof(ret->socket), "%s", c->engine.socket);
}

/* --- jobs --- */

static int container_submit(struct executor *x, const struct job *job, job_fn on_end, void *arg,
                            struct job_handle **ret, struct err *err)
{
    return job_submit(of(x), job, on_end, arg, false, ret, err);
}

static int container_find(struct executor *x, const struct job *job, job_fn on_end, void *arg,
                          struct job_handle **ret, struct err *err)
{
    struct containers *c = of(x);
    if (c->state == ENGINE_READY) {
        CLEANUP(sb_done) struct str path = {0}, head = {0}, body = {0};
        int status = 0;
        sb_printf(&path, "%s/containers/wf-%s/json", c->engine.compat, job->token);
        int rc =
            api_get_now(c->engine.socket, sb_text(&path), FIND_MS, &status, &head, &body, NULL);
        if (rc == 0 && status == 404) {
            return 1;
        }
    }
    return job_submit(c, job, on_end, arg, true, ret, err);
}

static void container_stop(struct executor *x, struct job_handle *h, int64_t grace_ms)
{
    (void)x;
    job_stop(h, grace_ms);
}

static void container_release(struct executor *x, struct job_handle *h)
{
    (void)x;
    job_release(h);
}

/* --- clean-up --- */

static void container_reap(struct executor *x, struct store *s)
{
    reap_orphans(of(x), s);
}

static void on_limit(void *arg)
{
    *(bool *)arg = true;
}

static void container_drain(struct executor *x, int64_t limit_ms)
{
    struct containers *c = of(x);
    bool late = false;
    struct timer *limit = timer_new(c->loop, on_limit, &late);
    timer_start(limit, limit_ms > 0 ? limit_ms : 0, 0);
    while (reap_busy(c) && !late) {
        uv_run(loop_uv(c->loop), UV_RUN_ONCE);
    }
    timer_free(limit);
}

static void container_close(struct executor *x)
{
    struct containers *c = of(x);
    while (c->jobs.next != &c->jobs) {
        job_release(CONTAINER_OF(c->jobs.next, struct job_handle, link));
    }
    image_close(c);
    if (reap_busy(c)) {
        container_drain(x, CLOSE_DRAIN_MS);
    }
    reap_close(c);
    engine_close(c);
    free(c->host);
    free(c);
}

static const struct executor_ops container_ops = {
    .name = "container",
    .probe = container_probe,
    .submit = container_submit,
    .find = container_find,
    .stop = container_stop,
    .release = container_release,
    .reap = container_reap,
    .drain = container_drain,
    .close = container_close,
};

int container_executor_open(struct loop *l, struct store *s, const struct container_options *o,
                            struct executor **ret, struct err *err)
{
    int rc = child_setup(err);
    if (rc < 0) {
        return rc;
    }
    struct containers *c = xcalloc(1, sizeof(*c));
    c->x.ops = &container_ops;
    c->loop = l;
    (void)
        s; /* reap is told the store; our service's folder needs a shorter path than the store's */
    c->host = o && o->host ? xstrdup(o->host) : NULL;
    c->service_lock = -1;
    link_init(&c->needs);
    link_init(&c->jobs);
    link_init(&c->removals);
    link_init(&c->images);
    link_init(&c->reaps);
    *ret = &c->x;
    return 0;
}
