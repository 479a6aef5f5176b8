/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing HAProxy to agree with a state:
 *
 *   ask it -- same shape --> write files -> compare -- differs --> commands --+
 *     |                                      ^  |                            |
 *     | none runs, or another shape          |  '-- agrees: done             |
 *     v                                      |                               |
 *   judge (haproxy -c) -> addresses free? -> write files -> start or reload  |
 *                                            ^-------------------------------'
 *
 * Files are written before HAProxy is told anything, so that a start at any time has the present state; where the change fails they are put back. */
#include "base/child.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "serve/proxy_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ROUNDS_MAX = 4,     /* of commands, before a reload is tried */
    DEATHS_MAX = 3,     /* of HAProxy while one state is applied */
    FAILURES_MAX = 5,   /* questions without an answer */
    PORT_WAIT_MS = 300, /* an old worker lets go of its addresses within that */
    PORT_POLL_MS = 10,
    CHUNK = 8000, /* bytes of one line of commands; its buffer holds far more */
    OUTPUT_MAX = 64 << 10,
};

struct proxy_apply {
    struct proxy *p;
    const struct proxy_text *text;
    size_t upto;  /* this many wants end with it */
    pid_t worker; /* that answered last */
    int64_t ports_until_us;
    unsigned rounds, reloads, deaths, failures;
    bool wrote;
    struct proxy_files saved;
    struct child *judge;
    int judge_fd;
    struct timer *timer;
    struct proxy_ask *ask;
    struct proxy_diff diff;
    size_t next; /* of diff.commands */
    char complaint[256];
};

static void begin(struct proxy_apply *a);
static void judge(struct proxy_apply *a);
static void compare(struct proxy_apply *a);

/* Ending */

static void cancel(struct proxy_apply *a)
{
    proxy_ask_cancel(a->ask);
    a->ask = NULL;
    child_free(a->judge);
    a->judge = NULL;
    timer_stop(a->timer);
    proxy_diff_done(&a->diff);
    a->diff = (struct proxy_diff){0};
}

static void apply_free(struct proxy_apply *a)
{
    cancel(a);
    timer_free(a->timer);
    if (a->judge_fd >= 0) {
        close(a->judge_fd);
    }
    proxy_files_done(&a->saved);
    free(a);
}

static void finish(struct proxy_apply *a, const struct err *err)
{
    struct proxy *p = a->p;
    struct proxy_want *ended = xcalloc(a->upto, sizeof(*ended));
    size_t n = a->upto;
    memcpy(ended, p->wants.items, n * sizeof(*ended));
    p->wants.len -= n;
    memmove(p->wants.items, p->wants.items + n, p->wants.len * sizeof(*ended));
    if (!err) {
        proxy_sweep_later(p, &a->diff.sweep);
        proxy_text_free(p->text);
        p->text = take_ptr(ended[n - 1].text);
        proxy_hold(p, p->text);
    }
    apply_free(a);
    p->apply = NULL;
    p->doing = PROXY_IDLE;
    if (!p->process && p->died) {
        proxy_revive_later(p);
    }
    for (size_t i = 0; i < n; i++) {
        proxy_text_free(ended[i].text);
        ended[i].on_done(ended[i].err.code ? &ended[i].err : err, ended[i].arg);
    }
    free(ended);
    loop_idle_post(p->idle);
}

static void give_up(struct proxy_apply *a, const struct err *why)
{
    struct err err = *why;
    if (a->wrote) {
        (void)proxy_files_restore(a->p, &a->saved, NULL);
    }
    finish(a, &err);
}

/* Files */

static bool write_files(struct proxy_apply *a)
{
    struct err err;
    if (!a->wrote) {
        proxy_files_save(a->p, &a->saved);
        a->wrote = true;
    }
    if (proxy_files_write(a->p, "", a->text, &err) < 0) {
        give_up(a, &err);
        return false;
    }
    return true;
}

/* It did not answer: is it there at all? */
static void ask_anew(struct proxy_apply *a, const struct err *err)
{
    if (++a->failures > FAILURES_MAX) {
        give_up(a, err);
    } else {
        begin(a);
    }
}

/* By commands */

static void send_commands(struct proxy_apply *a);

/* What a command says of itself is not relied upon: HAProxy is asked again. It is kept for a message. */
static void on_commands(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_apply *a = arg;
    a->ask = NULL;
    if (err) {
        ask_anew(a, err);
        return;
    }
    for (size_t at = 0; at < answer.len; at++) {
        size_t n = strcspn(answer.data + at, "\n");
        if (n > 0 && !memmem(answer.data + at, n, "registered", 10) &&
            !memmem(answer.data + at, n, "deleted", 7)) {
            (void)snprintf(a->complaint, sizeof(a->complaint), "%.*s", (int)(n < 200 ? n : 200),
                           answer.data + at);
        }
        at += n;
    }
    send_commands(a);
}

static void send_commands(struct proxy_apply *a)
{
    CLEANUP(sb_done) struct str line = {0};
    while (a->next < a->diff.commands.len && line.len < CHUNK) {
        sb_printf(&line, "%s%s", line.len ? ";" : "", a->diff.commands.items[a->next++]);
    }
    if (line.len == 0) {
        compare(a);
        return;
    }
    a->ask = proxy_ask(a->p, false, line.data, on_commands, a);
}

static void not_taken(struct proxy_apply *a)
{
    struct err err = {0};
    if (a->reloads == 0) {
        judge(a);
        return;
    }
    (void)err_set(&err, ERR_INTERNAL, 0, "HAProxy does not take over what is wanted%s%s",
                  a->complaint[0] ? ": " : "", a->complaint);
    give_up(a, &err);
}

static void on_live(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_apply *a = arg;
    struct err why = {0};
    a->ask = NULL;
    if (err) {
        ask_anew(a, err);
        return;
    }
    proxy_diff_done(&a->diff);
    a->diff = (struct proxy_diff){0};
    a->next = 0;
    if (proxy_diff(a->text, answer.data, &a->diff, &why) < 0) {
        (void)snprintf(a->complaint, sizeof(a->complaint), "%.200s", why.msg);
        not_taken(a);
    } else if (a->diff.commands.len == 0) {
        finish(a, NULL);
    } else if (a->rounds++ >= ROUNDS_MAX) {
        not_taken(a);
    } else {
        send_commands(a);
    }
}

static void compare(struct proxy_apply *a)
{
    CLEANUP(sb_done) struct str question = {0};
    proxy_diff_question(a->text, &question);
    a->ask = proxy_ask(a->p, false, question.data, on_live, a);
}

/* By a start or a reload */

static void on_up(const struct err *err, void *arg)
{
    struct proxy_apply *a = arg;
    if (err) {
        struct proxy *p = a->p;
        struct err why = *err;
        if (!p->process && a->worker != 0) { /* it ended in its reload */
            proxy_apply_died(p);
            return;
        }
        if (p->process && a->worker == 0) { /* started by us, and of no use */
            proxy_process_kill(p->process);
            (void)proxy_process_wait(p->process, 1000);
            proxy_process_free(p->process);
            p->process = NULL;
        }
        give_up(a, &why);
        return;
    }
    a->rounds = 0;
    proxy_hold(a->p, a->text);
    proxy_shape_copy(&a->p->has, &a->text->shape);
    proxy_revived(a->p);
    compare(a);
}

static void on_reload_sent(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_apply *a = arg;
    (void)answer;
    (void)err; /* it may go without a word: it starts itself anew */
    a->ask = NULL;
    proxy_await(a->p, a->text->shape.all, a->worker, on_up, a);
}

/* The master listens, and stays as it is until it is told. */
static void on_master(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_apply *a = arg;
    (void)answer;
    a->ask = NULL;
    if (err) {
        ask_anew(a, err);
    } else if (write_files(a)) {
        a->reloads++;
        a->p->up.log_from = proxy_log_size(a->p);
        a->ask = proxy_ask(a->p, true, "reload", on_reload_sent, a);
    }
}

static void on_counts(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_apply *a = arg;
    if (!err) {
        proxy_count_keep(a->p, answer);
    }
    a->ask = proxy_ask(a->p, true, "show proc", on_master, a);
}

static void start_or_reload(struct proxy_apply *a)
{
    struct proxy *p = a->p;
    struct err err;
    if (p->process) {
        a->ask = proxy_ask(p, false, PROXY_COUNT_QUESTION, on_counts, a);
        return;
    }
    if (!write_files(a)) {
        return;
    }
    a->worker = 0;
    a->reloads++;
    p->up.log_from = proxy_log_size(p);
    if (proxy_launch(p, &err) < 0) {
        give_up(a, &err);
        return;
    }
    proxy_await(p, a->text->shape.all, 0, on_up, a);
}

static void try_ports(void *arg)
{
    struct proxy_apply *a = arg;
    for (size_t i = 0; i < a->text->binds.len; i++) {
        const struct text_bind *b = &a->text->binds.items[i];
        struct err err;
        int rc = a->p->process && proxy_holds(a->p, b) ? 0 : proxy_port_try(b->host, b->port, &err);
        if (rc == -ERR_BUSY && mono_us() < a->ports_until_us) {
            timer_start(a->timer, PORT_POLL_MS, 0);
            return;
        }
        if (rc < 0) {
            give_up(a, &err);
            return;
        }
    }
    start_or_reload(a);
}

static void on_judged(const struct child_exit *how, void *arg)
{
    struct proxy_apply *a = arg;
    char *text = xmalloc(OUTPUT_MAX);
    ssize_t n = pread(a->judge_fd, text, OUTPUT_MAX, 0);
    CLEANUP(sb_done) struct str alert = {0};
    if (n > 0) {
        proxy_alert(slice_of(text, (size_t)n), &alert);
    }
    free(text);
    child_free(a->judge);
    a->judge = NULL;
    if (how->exit_code != 0) {
        struct err err = {0};
        (void)err_set(&err, ERR_INVALID, 0, "HAProxy refuses its configuration%s%s",
                      alert.len ? ": " : "", sb_text(&alert));
        give_up(a, &err);
        return;
    }
    a->ports_until_us = mono_us() + PORT_WAIT_MS * INT64_C(1000);
    try_ports(a);
}

static void judge(struct proxy_apply *a)
{
    struct proxy *p = a->p;
    struct err err;
    CLEANUP(cleanup_free) char *dir = proxy_path(p, "check");
    const char *const argv[] = {p->program, "-c", "-f", "haproxy.cfg", NULL};
    const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    int rc = proxy_files_write(p, "check/", a->text, &err);
    if (a->judge_fd >= 0) {
        close(a->judge_fd);
    }
    a->judge_fd = memfd_create("haproxy", MFD_CLOEXEC);
    if (rc == 0 && a->judge_fd < 0) {
        rc = err_set(&err, ERR_IO, errno, "cannot keep what HAProxy says");
    }
    if (rc == 0) {
        struct child_spec spec = {.program = p->program,
                                  .argv = argv,
                                  .envp = envp,
                                  .cwd = dir,
                                  .stdin_fd = -1,
                                  .stdout_fd = a->judge_fd,
                                  .stderr_fd = a->judge_fd,
                                  .extra_fd = -1};
        rc = child_spawn(p->loop, &spec, on_judged, a, &a->judge, &err);
    }
    if (rc < 0) {
        give_up(a, &err);
    }
}

/* The beginning */

/* It lives and does not answer: a new one is better than none. */
static void replace(struct proxy_apply *a)
{
    struct proxy *p = a->p;
    proxy_process_kill(p->process);
    (void)proxy_process_wait(p->process, 1000);
    proxy_process_free(p->process);
    p->process = NULL;
    p->died = true;
    proxy_apply_died(p);
}

static bool is_shape(struct slice description, const char *shape)
{
    return shape[0] && description.len == strlen("wf-") + strlen(shape) &&
           memcmp(description.data + strlen("wf-"), shape, strlen(shape)) == 0;
}

static void on_info(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_apply *a = arg;
    struct proxy_shape *has = &a->p->has;
    struct slice shape = proxy_info(answer, "description"), pid = proxy_info(answer, "Pid");
    a->ask = NULL;
    if (err || pid.len == 0) {
        replace(a);
        return;
    }
    a->worker = (pid_t)strtol(pid.data, NULL, 10);
    if (is_shape(shape, a->text->shape.all)) {
        proxy_shape_copy(has, &a->text->shape);
    } else if (!is_shape(shape, has->all) || !proxy_shape_covers(has, &a->text->shape)) {
        judge(a);
        return;
    }
    if (write_files(a)) {
        compare(a);
    }
}

static void begin(struct proxy_apply *a)
{
    struct proxy *p = a->p;
    if (p->process) {
        a->ask = proxy_ask(p, false, "show info", on_info, a);
    } else if (a->text->binds.len == 0) {
        if (write_files(a)) {
            p->died = false; /* nothing to serve needs no HAProxy */
            finish(a, NULL);
        }
    } else {
        judge(a);
    }
}

void proxy_apply_died(struct proxy *p)
{
    struct proxy_apply *a = p->apply;
    struct err err = {0};
    cancel(a);
    if (++a->deaths < DEATHS_MAX) {
        begin(a);
        return;
    }
    (void)err_set(&err, ERR_IO, 0, "HAProxy ended %u times in a row; its log is %s/haproxy.log",
                  a->deaths, p->dir);
    give_up(a, &err);
}

void proxy_apply_next(struct proxy *p)
{
    while (p->doing == PROXY_IDLE && p->wants.len > 0) {
        size_t upto = p->wants.len;
        while (upto > 0 && p->wants.items[upto - 1].err.code) {
            upto--;
        }
        if (upto > 0) {
            struct proxy_apply *a = xcalloc(1, sizeof(*a));
            *a = (struct proxy_apply){
                .p = p, .text = p->wants.items[upto - 1].text, .upto = upto, .judge_fd = -1};
            a->timer = timer_new(p->loop, try_ports, a);
            p->apply = a;
            p->doing = PROXY_APPLYING;
            timer_stop(p->revival);
            begin(a);
            continue;
        }
        struct proxy_want bad = p->wants.items[0];
        p->wants.len--;
        memmove(p->wants.items, p->wants.items + 1, p->wants.len * sizeof(bad));
        bad.on_done(&bad.err, bad.arg);
    }
}

static int read_tokens(const struct proxy_state *s, struct proxy_tokens *tokens,
                       const struct proxy_tokens **ret, struct err *err)
{
    for (uint32_t i = 0; i < s->n_services; i++) {
        ret[i] = &tokens[i];
        if (s->services[i].tokens_file) {
            int rc = proxy_tokens_read(s->services[i].tokens_file, &tokens[i], err);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

void proxy_apply(struct proxy *p, const struct proxy_state *s,
                 void (*on_done)(const struct err *err, void *arg), void *arg)
{
    struct proxy_want w = {.on_done = on_done, .arg = arg};
    size_t n = s->n_services ? s->n_services : 1;
    struct proxy_tokens *tokens = xcalloc(n, sizeof(*tokens));
    const struct proxy_tokens **borrowed = xcalloc(n, sizeof(*borrowed));
    if (read_tokens(s, tokens, borrowed, &w.err) == 0 &&
        proxy_render(s, borrowed, &p->place, &w.text, &w.err) == 0) {
        w.err.code = ERR_NONE;
    }
    for (uint32_t i = 0; i < s->n_services; i++) {
        proxy_tokens_done(&tokens[i]);
    }
    free(tokens);
    free(borrowed);
    *vec_push(&p->wants) = w;
    loop_idle_post(p->idle);
}

void proxy_apply_close(struct proxy *p)
{
    if (p->apply) {
        apply_free(p->apply);
        p->apply = NULL;
    }
    for (size_t i = 0; i < p->wants.len; i++) {
        proxy_text_free(p->wants.items[i].text);
    }
    vec_done(&p->wants);
}
