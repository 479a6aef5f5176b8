/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy is started, waited for until it answers, and started again when it died. Also here: servers that are to go once their last connection has. */
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "serve/proxy_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    UP_TIMEOUT_MS = 10000,
    POLL_MS = 4,
    REVIVE_MAX_MS = 5000,
    SWEEP_MS = 250,
    SWEEPS_MAX = 240,
    END_MS = 1000, /* of a process that was killed */
};

/* Starting, and waiting until it answers */

int proxy_launch(struct proxy *p, struct err *err)
{
    CLEANUP(cleanup_free) char *master = proxy_socket(p, true);
    CLEANUP(cleanup_free) char *master_at = xasprintf("%s,mode,600", master);
    const char *const argv[] = {p->program, "-W", "-db",         "-S",
                                master_at,  "-f", "haproxy.cfg", NULL};
    CLEANUP(cleanup_close) int log = proxy_log_open(p, err);
    if (log < 0) {
        return -ERR_IO;
    }
    int rc = proxy_process_start(p->loop, p->program, argv, p->dir, log, proxy_ended, p,
                                 &p->process, err);
    if (rc < 0) {
        return err_wrap(err, "cannot start HAProxy");
    }
    rc = proxy_pid_write(p, err);
    if (rc < 0) {
        proxy_process_kill(p->process);
        (void)proxy_process_wait(p->process, END_MS);
        proxy_process_free(p->process);
        p->process = NULL;
    }
    return rc;
}

static void up_end(struct proxy *p, const struct err *err)
{
    proxy_up_fn fn = p->up.fn;
    void *arg = p->up.arg;
    proxy_ask_cancel(p->up.ask);
    p->up.ask = NULL;
    p->up.fn = NULL;
    timer_stop(p->up.timer);
    if (fn) {
        fn(err, arg);
    }
}

static void up_failed(struct proxy *p, const char *what)
{
    struct err err = {0};
    CLEANUP(sb_done) struct str alert = {0};
    proxy_log_alert(p, p->up.log_from, &alert);
    (void)err_set(&err, ERR_IO, 0, "HAProxy %s%s%s; its log is %s/haproxy.log", what,
                  alert.len ? ": " : "", sb_text(&alert), p->dir);
    up_end(p, &err);
}

static void up_again(struct proxy *p)
{
    if (mono_us() > p->up.until_us) {
        up_failed(p, "does not answer");
    } else {
        timer_start(p->up.timer, POLL_MS, 0);
    }
}

/* A reload that failed leaves the worker as it was; only the master knows. */
static void on_master_list(const struct err *err, struct slice answer, void *arg)
{
    struct proxy *p = arg;
    static const char mark[] = "[failed: ";
    p->up.ask = NULL;
    const char *at = err ? NULL : memmem(answer.data, answer.len, mark, sizeof(mark) - 1);
    if (at && at[sizeof(mark) - 1] != '0') {
        up_failed(p, "could not be reloaded");
    } else {
        up_again(p);
    }
}

static void on_up_info(const struct err *err, struct slice answer, void *arg)
{
    struct proxy *p = arg;
    struct slice pid = proxy_info(answer, "Pid"), shape = proxy_info(answer, "description");
    char want[32];
    (void)snprintf(want, sizeof(want), "wf-%s", p->up.shape);
    p->up.ask = NULL;
    if (!err && pid.len > 0 && strtol(pid.data, NULL, 10) != p->up.not_pid &&
        (p->up.shape[0] == '\0' || slice_eq(shape, slice_str(want)))) {
        up_end(p, NULL);
    } else if (p->up.not_pid && ++p->up.polls % 16 == 0) {
        p->up.ask = proxy_ask(p, true, "show proc", on_master_list, p);
    } else {
        up_again(p);
    }
}

void proxy_up_poll(void *arg)
{
    struct proxy *p = arg;
    p->up.ask = proxy_ask(p, false, "show info", on_up_info, p);
}

void proxy_await(struct proxy *p, const char *shape, pid_t not_pid, proxy_up_fn fn, void *arg)
{
    WF_ASSERT(!p->up.fn);
    p->up.fn = fn;
    p->up.arg = arg;
    p->up.not_pid = not_pid;
    p->up.polls = 0;
    p->up.until_us = mono_us() + UP_TIMEOUT_MS * INT64_C(1000);
    (void)snprintf(p->up.shape, sizeof(p->up.shape), "%s", shape);
    timer_start(p->up.timer, POLL_MS, 0);
}

/* Dying, and being started again */

void proxy_revived(struct proxy *p)
{
    p->revivals = 0;
    if (p->died) {
        p->died = false;
        if (p->on_restart) {
            p->on_restart(NULL, p->arg);
        }
    }
}

/* At once, then less and less often. */
void proxy_revive_later(struct proxy *p)
{
    int64_t wait = p->revivals == 0 ? 0 : 100;
    for (uint32_t i = 1; i < p->revivals && wait < REVIVE_MAX_MS; i++) {
        wait *= 2;
    }
    timer_start(p->revival, wait < REVIVE_MAX_MS ? wait : REVIVE_MAX_MS, 0);
}

static void revival_failed(struct proxy *p, const struct err *err)
{
    if (p->doing == PROXY_REVIVING) {
        p->doing = PROXY_IDLE;
    }
    if (p->process) {
        proxy_process_kill(p->process);
        (void)proxy_process_wait(p->process, END_MS);
        proxy_process_free(p->process);
        p->process = NULL;
    }
    if (p->revivals++ == 0 && p->on_restart) {
        p->on_restart(err, p->arg);
    }
    proxy_revive_later(p);
    loop_idle_post(p->idle);
}

static void on_revived(const struct err *err, void *arg)
{
    struct proxy *p = arg;
    if (err) {
        revival_failed(p, err);
        return;
    }
    p->doing = PROXY_IDLE;
    if (p->text) {
        proxy_shape_copy(&p->has, &p->text->shape);
    }
    proxy_revived(p);
    loop_idle_post(p->idle);
}

void proxy_revive(void *arg)
{
    struct proxy *p = arg;
    struct err err = {0};
    if (p->process || p->doing != PROXY_IDLE) {
        return; /* whoever works on it has started it, or will see to it */
    }
    p->doing = PROXY_REVIVING;
    p->up.log_from = proxy_log_size(p);
    if (proxy_launch(p, &err) < 0) {
        revival_failed(p, &err);
        return;
    }
    proxy_await(p, p->text ? p->text->shape.all : "", 0, on_revived, p);
}

void proxy_ended(void *arg)
{
    struct proxy *p = arg;
    proxy_process_free(p->process);
    p->process = NULL;
    p->died = p->died || !p->up.fn || p->up.not_pid;
    if (p->up.fn) {
        up_failed(p, "ended"); /* its caller starts it again or gives up */
        return;
    }
    if (p->doing == PROXY_APPLYING) {
        proxy_apply_died(p);
    } else {
        proxy_revive_later(p);
    }
}

/* Servers that are to go but still have connections. */

static void on_swept(const struct err *err, struct slice answer, void *arg)
{
    struct proxy *p = arg;
    if (!err && memmem(answer.data, answer.len, "still", 5) && ++p->sweeps < SWEEPS_MAX) {
        timer_start(p->sweeper, SWEEP_MS, 0);
    } else {
        proxy_lines_done(&p->sweep);
    }
}

void proxy_sweep(void *arg)
{
    struct proxy *p = arg;
    CLEANUP(sb_done) struct str line = {0};
    for (size_t i = 0; i < p->sweep.len && line.len < 8000; i++) {
        sb_printf(&line, "%s%s", i ? ";" : "", p->sweep.items[i]);
    }
    if (line.len > 0) {
        (void)proxy_ask(p, false, line.data, on_swept, p);
    }
}

void proxy_sweep_later(struct proxy *p, struct proxy_lines *lines)
{
    proxy_lines_done(&p->sweep);
    p->sweep = *lines;
    *lines = (struct proxy_lines){0};
    p->sweeps = 0;
    if (p->sweep.len > 0) {
        timer_start(p->sweeper, SWEEP_MS / 10, 0);
    } else {
        timer_stop(p->sweeper);
    }
}
