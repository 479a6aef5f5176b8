/* SPDX-License-Identifier: Apache-2.0 */
/* The mock executor. Its clock stands still while the loop has anything to do and jumps to the next
 * event when it has not: two turns of the loop in a row without a call of ours, and no pool work
 * under way. Jobs are known by token, and outlive the handle their submit did not return. */
#include "steps/mock.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { QUIET_TURNS = 2, DEFAULT_TAKES_MS = 1 };

struct job_handle {
    char *token;
    job_fn on_end; /* NULL: nobody listens (an unknown submit, or released) */
    void *arg;
    bool released, over, delivered, submit_unknown;
    bool stopping;
    int64_t kill_at;
    struct mock_script script;
    struct job_end end;
};

struct event {
    int64_t at;
    uint64_t seq;
    struct job_handle *h;
};

struct mock {
    struct executor x;
    struct loop *loop;
    struct timer *turn;
    int quiet;
    bool turning; /* inside on_turn() */
    struct mock_script *scripts;
    size_t n_scripts;
    int64_t now;
    uint64_t seq;
    VEC(struct event) heap; /* smallest (at, seq) first */
    VEC(struct job_handle *) jobs;
    struct map by_token;
    struct map starts; /* step -> struct counter */
    uint32_t running, peak;
    bool (*busy)(void *arg);
    void *busy_arg;
};

struct counter {
    uint32_t n;
    char step[];
};

static struct mock *mock_of(struct executor *x)
{
    return CONTAINER_OF(x, struct mock, x);
}

/* The heap */

static bool before(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void swap_events(struct event *a, struct event *b)
{
    struct event t = *a;
    *a = *b;
    *b = t;
}

static void post_event(struct mock *m, struct job_handle *h, int64_t at)
{
    *vec_push(&m->heap) = (struct event){.at = at, .seq = m->seq++, .h = h};
    struct event *e = m->heap.items;
    for (size_t i = m->heap.len - 1; i > 0 && before(&e[i], &e[(i - 1) / 2]); i = (i - 1) / 2) {
        swap_events(&e[i], &e[(i - 1) / 2]);
    }
    m->quiet = 0;
    if (!m->turning) {
        timer_start(m->turn, m->busy ? 1 : 0, 0);
    }
}

static struct event pop_event(struct mock *m)
{
    struct event *e = m->heap.items;
    struct event first = e[0];
    e[0] = e[--m->heap.len];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++) {
            if (child < m->heap.len && before(&e[child], &e[least])) {
                least = child;
            }
        }
        if (least == i) {
            return first;
        }
        swap_events(&e[i], &e[least]);
        i = least;
    }
}

/* Ends */

static void deliver(struct mock *m, struct job_handle *h)
{
    if (!h->on_end || h->released) {
        return; /* kept for `find` */
    }
    h->delivered = true;
    h->on_end(&h->end, h->arg);
    if (h->script.ends_twice && !h->released) {
        h->on_end(&h->end, h->arg);
    }
    (void)m;
}

static void end_job(struct mock *m, struct job_handle *h)
{
    if (h->over) {
        if (!h->delivered) {
            deliver(m, h); /* taken up by `find` after its end */
        }
        return;
    }
    h->over = true;
    h->end.ended_at_ms = m->now;
    m->running--;
    deliver(m, h);
}

static void on_turn(void *arg)
{
    struct mock *m = arg;
    if (m->heap.len == 0) {
        return;
    }
    /* Work on the pool takes real time; the virtual clock waits for it. */
    bool working = loop_uv(m->loop)->active_reqs.count > 0 || (m->busy && m->busy(m->busy_arg));
    m->quiet = working ? 0 : m->quiet + 1;
    if (m->quiet >= QUIET_TURNS) {
        m->turning = true;
        struct event e = pop_event(m);
        m->now = e.at > m->now ? e.at : m->now;
        end_job(m, e.h);
        m->turning = false;
        m->quiet = 0;
    }
    if (m->heap.len > 0) {
        timer_start(m->turn, working || m->busy ? 1 : 0, 0); /* 0: in the same turn of the loop */
    }
}

/* Scripts */

static struct mock_script script_of(const struct mock *m, const struct job *job)
{
    struct mock_script best = {.takes_ms = DEFAULT_TAKES_MS};
    int best_rank = -1;
    for (size_t i = 0; i < m->n_scripts; i++) {
        const struct mock_script *s = &m->scripts[i];
        bool any = strcmp(s->step, "*") == 0;
        if ((!any && strcmp(s->step, job->step) != 0) ||
            (s->attempt != 0 && s->attempt != job->attempt)) {
            continue;
        }
        int rank = (any ? 0 : 2) + (s->attempt ? 1 : 0);
        if (rank > best_rank) {
            best = *s;
            best_rank = rank;
        }
    }
    return best;
}

/* Where the step's $WF_OUT is for us; NULL: it has none. Borrowed from the job. */
static const char *out_folder(const struct job *job)
{
    const char *out = NULL;
    for (size_t i = 0; job->env && job->env[i]; i++) {
        if (text_starts(job->env[i], "WF_OUT=")) {
            out = job->env[i] + strlen("WF_OUT=");
        }
    }
    for (size_t i = 0; out && i < job->n_mounts; i++) {
        if (strcmp(job->mounts[i].inner, out) == 0) {
            return job->mounts[i].host;
        }
    }
    return out;
}

static int write_outputs(const struct job *job, const struct mock_script *script, struct err *err)
{
    const char *out = out_folder(job);
    if (!out || !job->outputs) {
        return 0;
    }
    CLEANUP(cleanup_free)
    char *text = xasprintf("%s %u\n", job->step, (unsigned)job->attempt);
    for (size_t i = 0; job->outputs[i]; i++) {
        CLEANUP(cleanup_free) char *path = fs_join(out, job->outputs[i]);
        CLEANUP(cleanup_free) char *dir = fs_dirname(path);
        int rc = fs_mkdirs(dir, 0777, err);
        const char *given =
            text_ends(path, "metrics.json") && script->metrics ? script->metrics : script->text;
        given = given ? given : text;
        if (rc == 0) {
            rc = fs_write_file(path, given, strlen(given), 0644, false, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static void count_start(struct mock *m, const char *step)
{
    struct counter *c = map_get_text(&m->starts, step);
    if (!c) {
        size_t size = strlen(step) + 1;
        c = xcalloc(1, sizeof(*c) + size);
        memcpy(c->step, step, size);
        map_put_text(&m->starts, c->step, c);
    }
    c->n++;
    m->running++;
    m->peak = m->running > m->peak ? m->running : m->peak;
}

/* The operations */

static void mock_probe(struct executor *x, struct capabilities *ret)
{
    (void)x;
    *ret = (struct capabilities){
        .shares_files = true,
        .read_only_mounts = true,
        .images = true,
        .cpu_limit = true,
        .memory_limit = true,
        .live_log = true,
        .survives_us = true,
        .network_none = true,
    };
}

static int mock_submit(struct executor *x, const struct job *job, job_fn on_end, void *arg,
                       struct job_handle **ret, struct err *err)
{
    struct mock *m = mock_of(x);
    struct mock_script script = script_of(m, job);
    if (script.submit_fails) {
        return err_set(err, ERR_IO, 0, "the mock refuses to start '%s'", job->step);
    }
    if (map_get_text(&m->by_token, job->token)) {
        return err_set(err, ERR_EXISTS, 0, "a job with the token '%s' was submitted before",
                       job->token);
    }
    int rc = script.writes_outputs ? write_outputs(job, &script, err) : 0;
    if (rc < 0) {
        return rc;
    }
    struct job_handle *h = xcalloc(1, sizeof(*h));
    h->token = xstrdup(job->token);
    h->on_end = on_end;
    h->arg = arg;
    h->script = script;
    h->end = script.end;
    h->end.started_at_ms = m->now;
    *vec_push(&m->jobs) = h;
    map_put_text(&m->by_token, h->token, h);
    count_start(m, job->step);
    if (script.takes_ms >= 0) {
        post_event(m, h, m->now + script.takes_ms);
    }
    if (script.submit_unknown) {
        h->on_end = NULL;
        return err_set(err, ERR_TIMEOUT, 0, "the mock did not say whether '%s' was started",
                       job->step);
    }
    *ret = h;
    return 0;
}

static int mock_find(struct executor *x, const struct job *job, job_fn on_end, void *arg,
                     struct job_handle **ret, struct err *err)
{
    (void)err;
    struct mock *m = mock_of(x);
    struct job_handle *h = map_get_text(&m->by_token, job->token);
    if (!h || h->released) {
        return 1;
    }
    h->on_end = on_end;
    h->arg = arg;
    if (h->over) {
        post_event(m, h, m->now);
    }
    *ret = h;
    return 0;
}

static void mock_stop(struct executor *x, struct job_handle *h, int64_t grace_ms)
{
    struct mock *m = mock_of(x);
    bool kill = grace_ms <= 0 || h->script.ignores_term;
    int64_t at = m->now + (h->script.ignores_term && grace_ms > 0 ? grace_ms : 0);
    if (h->over || (h->stopping && at >= h->kill_at)) {
        return;
    }
    h->stopping = true;
    h->kill_at = at;
    h->end = (struct job_end){
        .outcome = JOB_SIGNALLED,
        .exit_code = -1,
        .signal = kill ? SIGKILL : SIGTERM,
        .started_at_ms = h->end.started_at_ms,
    };
    post_event(m, h, at);
}

static void mock_release(struct executor *x, struct job_handle *h)
{
    struct mock *m = mock_of(x);
    if (!h) {
        return;
    }
    h->released = true;
    h->on_end = NULL;
    if (!h->over) {
        h->over = true;
        m->running--;
    }
}

static void mock_drain(struct executor *x, int64_t limit_ms)
{
    (void)x;
    (void)limit_ms;
}

static void mock_close(struct executor *x)
{
    struct mock *m = mock_of(x);
    timer_free(m->turn);
    for (size_t i = 0; i < m->jobs.len; i++) {
        free(m->jobs.items[i]->token);
        free(m->jobs.items[i]);
    }
    for (size_t i = 0; i < m->starts.len; i++) {
        free(m->starts.items[i].value);
    }
    vec_done(&m->jobs);
    vec_done(&m->heap);
    map_done(&m->by_token);
    map_done(&m->starts);
    free(m->scripts);
    free(m);
}

static const struct executor_ops mock_ops = {
    .name = "mock",
    .probe = mock_probe,
    .submit = mock_submit,
    .find = mock_find,
    .stop = mock_stop,
    .release = mock_release,
    .drain = mock_drain,
    .close = mock_close,
};

int mock_executor_open(struct loop *l, const struct mock_script *scripts, size_t count,
                       struct executor **ret, struct err *err)
{
    (void)err;
    struct mock *m = xcalloc(1, sizeof(*m));
    m->x.ops = &mock_ops;
    m->loop = l;
    m->turn = timer_new(l, on_turn, m);
    m->scripts = xcalloc(count ? count : 1, sizeof(*scripts));
    if (count) {
        memcpy(m->scripts, scripts, count * sizeof(*scripts));
    }
    m->n_scripts = count;
    *ret = &m->x;
    return 0;
}

void mock_wait_for(struct executor *x, bool (*busy)(void *arg), void *arg)
{
    struct mock *m = mock_of(x);

    m->busy = busy;
    m->busy_arg = arg;
}

int64_t mock_now(struct executor *x)
{
    return mock_of(x)->now;
}

uint32_t mock_started(struct executor *x, const char *step)
{
    const struct counter *c = map_get_text(&mock_of(x)->starts, step);
    return c ? c->n : 0;
}

uint32_t mock_peak(struct executor *x)
{
    return mock_of(x)->peak;
}
