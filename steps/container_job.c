/* SPDX-License-Identifier: Apache-2.0 */
/* A job's way through the engine:
 *   create -> attach -> start -> read the log to its end -> wait -> (OOM?) -> end; the removal follows by itself.
 * The log's end tells that the container ended, `wait` with which code. Each call's lack of an answer leads
 * to PHASE_FIND (container_resume.c): what is true is asked of the engine, never guessed.
 * At most one of `call` and one `stream` are under way; a kill is sent beside them. */
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "steps/container_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOSSES_MAX = 5,
    RECREATED_MAX = 3,
    KILL_LIMIT_MS = 60000, /* an engine that does not end a container for this long after KILL */
    EXIT_OF_CATATONIT = 1,
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127,
    EXIT_KILLED = 128 + SIGKILL,
    INSPECT_MS = 60000,
    EARLY_END_MS = 2000,
};

/* --- the end --- */

static void abort_calls(struct job_handle *h)
{
    api_abort(h->call);
    api_abort(h->stream);
    api_abort(h->kill);
    h->call = h->stream = h->kill = NULL;
}

static void tell_end(struct job_handle *h)
{
    h->phase = PHASE_ENDED;
    if (h->log.failed && !h->message) {
        h->message = xasprintf("the step's log could not be written: %s", strerror(h->log.failed));
    }
    h->end.started_at_ms = h->started_at_ms;
    h->end.ended_at_ms = now_ms();
    h->end.message = h->message;
    joblog_done(&h->log);
    h->job = NULL;
    h->on_end(&h->end, h->arg); /* may release h */
}

static void on_tell(void *arg)
{
    struct job_handle *h = arg;
    h->defer = false;
    if (joblog_flushed(&h->log)) {
        tell_end(h);
    }
}

static void on_log_flushed(void *arg)
{
    struct job_handle *h = arg;
    if (h->phase == PHASE_FLUSH && !h->defer) {
        tell_end(h);
    }
}

void job_finish(struct job_handle *h, enum job_outcome outcome, int code, char *message)
{
    abort_calls(h);
    engine_forget(&h->need);
    timer_free(h->timer);
    timer_free(h->slow);
    h->timer = h->slow = NULL;
    if (h->maybe_created) {
        reap_remove(h->c, h->name);
    }
    h->end = (struct job_end){.outcome = outcome, .exit_code = code};
    h->message = message;
    h->phase = PHASE_FLUSH;
    if (h->defer) {
        h->timer = timer_new(h->c->loop, on_tell, h);
        timer_start(h->timer, 0, 0);
    } else if (joblog_flushed(&h->log)) {
        tell_end(h);
    }
}

static void finish_stopped(struct job_handle *h)
{
    job_finish(h, JOB_NOT_STARTED, -1, xstrdup("it was stopped before it had started"));
}

/* The engine refuses. After it was lost it may stumble over its own half-made container: one that was never
 * to be started is made anew; whether another one ran is not known. */
static void finish_refused(struct job_handle *h, const char *message)
{
    if (h->losses > 0 && h->start_sent) {
        job_finish(
            h, JOB_LOST, -1,
            xasprintf("the container engine was restarted as the step began, and says: %.600s",
                      message));
        return;
    }
    if (h->losses > 0 && h->maybe_created && h->recreated < RECREATED_MAX) {
        job_recreate(h);
        return;
    }
    job_finish(h, JOB_NOT_STARTED, -1, spec_explain(h->c, h->job, message));
}

/* --- stopping --- */

static void on_kill(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    (void)r; /* ended before it: 409, or 500 from podman; no answer: the log's stream tells */
    h->kill = NULL;
}

static void send_signal(struct job_handle *h, const char *name)
{
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s/kill?signal=%s", h->name, name);
    struct api_request r = {.method = "POST", .path = sb_text(&path), .timeout_ms = KILL_LIMIT_MS};
    api_abort(h->kill);
    h->kill = api_start(h->c, &r, on_kill, h);
}

static void send_kill(struct job_handle *h)
{
    h->kill_sent = true;
    if (h->started && h->phase != PHASE_FIND && h->phase < PHASE_FLUSH) {
        send_signal(h, "KILL");
    }
    timer_start(h->timer, KILL_LIMIT_MS, 0);
}

static void on_grace_over(void *arg)
{
    struct job_handle *h = arg;
    if (!h->kill_sent) {
        send_kill(h);
        return;
    }
    job_finish(
        h, JOB_LOST, -1,
        xstrdup("the container engine did not end the container after KILL; see `wf doctor`"));
}

void job_stop(struct job_handle *h, int64_t grace_ms)
{
    int64_t kill_at = mono_us() + grace_ms * 1000;
    if (h->phase >= PHASE_FLUSH || h->kill_sent || (h->stopping && kill_at >= h->kill_at_us)) {
        return;
    }
    bool first = !h->stopping;
    h->stopping = true;
    if (h->phase == PHASE_ENGINE) {
        h->defer = true;
        finish_stopped(h);
        return;
    }
    h->kill_at_us = kill_at;
    if (!h->timer) {
        h->timer = timer_new(h->c->loop, on_grace_over, h);
    }
    if (grace_ms <= 0) {
        send_kill(h);
        return;
    }
    if (first && h->started) {
        send_signal(h, "TERM");
    }
    timer_start(h->timer, grace_ms, 0);
}

/* After start was answered or the container was found running: what was asked meanwhile. */
void job_signal_again(struct job_handle *h)
{
    if (h->stopping) {
        send_signal(h, h->kill_sent ? "KILL" : "TERM");
    }
}

/* --- no answer --- */

static void on_engine(const struct err *err, void *arg);

void job_no_answer(struct job_handle *h)
{
    abort_calls(h);
    engine_lost(h->c, h->epoch);
    if (h->losses++ >= LOSSES_MAX) {
        job_finish(h, JOB_LOST, -1,
                   xstrdup("the container engine stopped answering again and again; whether the "
                           "step ended is not known; see `wf doctor`"));
        return;
    }
    h->phase = h->maybe_created ? PHASE_FIND : PHASE_ENGINE;
    engine_need(h->c, &h->need);
}

static void on_engine(const struct err *err, void *arg)
{
    struct job_handle *h = arg;
    if (err) {
        bool never = !h->maybe_created;
        job_finish(h, never ? JOB_NOT_STARTED : JOB_LOST, -1, xstrdup(err->msg));
        return;
    }
    h->epoch = h->c->epoch;
    if (h->phase == PHASE_FIND) {
        job_find(h);
        return;
    }
    char *why = spec_refusal(h->c, h->job);
    if (why) {
        job_finish(h, JOB_NOT_STARTED, -1, why);
        return;
    }
    job_create(h);
}

/* --- create --- */

static void on_created(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    h->call = NULL;
    bool in_use = r->status == 409 || strstr(r->message, "already in use");
    if (r->status == 0) {
        job_no_answer(h);
    } else if (r->status == 201) {
        h->created = true;
        job_attach(h);
    } else if (in_use && h->recreated < RECREATED_MAX) {
        /* An earlier create of ours, whose answer did not reach us. */
        h->phase = PHASE_FIND;
        job_find(h);
    } else if (!h->c->no_init && r->status >= 500 &&
               (strstr(r->message, "init binary") || strstr(r->message, "catatonit") ||
                strstr(r->message, "docker-init"))) {
        h->c->no_init = true;
        job_create(h);
    } else {
        h->maybe_created = false;
        finish_refused(h, r->message);
    }
}

static void on_cleared(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    h->call = NULL;
    if (r->status == 0) {
        job_no_answer(h);
    } else {
        job_create(h);
    }
}

void job_recreate(struct job_handle *h)
{
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s?force=1&v=1&t=0", h->name);
    struct api_request r = {.method = "DELETE", .path = sb_text(&path)};
    abort_calls(h);
    h->recreated++;
    h->phase = PHASE_CREATE;
    h->created = false;
    h->call = api_start(h->c, &r, on_cleared, h);
}

void job_create(struct job_handle *h)
{
    if (h->stopping) {
        finish_stopped(h);
        return;
    }
    CLEANUP(sb_done) struct str path = {0}, body = {0};
    sb_printf(&path, "/containers/create?name=%s", h->name);
    spec_write(h->c, h->job, &body);
    struct api_request r = {.method = "POST", .path = sb_text(&path), .body = &body};
    h->phase = PHASE_CREATE;
    h->maybe_created = true;
    h->call = api_start(h->c, &r, on_created, h);
}

/* --- attach and start --- */

static bool on_output(const void *data, size_t len, void *arg)
{
    struct job_handle *h = arg;
    joblog_data(&h->log, data, len);
    return true;
}

static void on_started(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    h->call = NULL;
    if (r->status == 0) {
        job_no_answer(h);
    } else if (r->status == 204 || r->status == 304) {
        h->started = true;
        h->phase = PHASE_RUN;
        job_signal_again(h);
        if (h->stream_over) {
            job_wait(h);
        }
    } else if (r->status == 404 && strstr(r->message, "no such container")) {
        job_finish(h, JOB_LOST, -1, xstrdup("the step's container was removed by somebody else"));
    } else {
        finish_refused(h, r->message);
    }
}

static void on_attached(int status, void *arg)
{
    struct job_handle *h = arg;
    (void)status;
    if (h->phase != PHASE_ATTACH) {
        return;
    }
    if (h->stopping) {
        h->defer = true; /* not out of the stream's own callback */
        finish_stopped(h);
        return;
    }
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s/start", h->name);
    struct api_request r = {.method = "POST", .path = sb_text(&path)};
    h->phase = PHASE_START;
    h->start_sent = true;
    h->started_at_ms = now_ms();
    h->call = api_start(h->c, &r, on_started, h);
}

static void on_output_end(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    h->stream = NULL;
    h->stream_over = true;
    if (h->phase == PHASE_ATTACH) {
        if (r->status == 0) {
            job_no_answer(h);
        } else {
            finish_refused(h, r->message);
        }
    } else if (h->phase == PHASE_RUN) {
        job_wait(h);
    }
}

void job_attach(struct job_handle *h)
{
    if (h->stopping) {
        finish_stopped(h);
        return;
    }
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s/attach?stream=1&stdout=1&stderr=1", h->name);
    struct api_request r = {
        .method = "POST",
        .path = sb_text(&path),
        .on_data = on_output,
        .on_open = on_attached,
    };
    h->phase = PHASE_ATTACH;
    h->stream_over = false;
    joblog_begin(&h->log);
    h->stream = api_start(h->c, &r, on_output_end, h);
}

/* --- wait --- */

/* Init starts whatever the step names. That there was nothing to start is told by its own only line. */
static bool finish_if_not_found(struct job_handle *h, int code)
{
    if (code != EXIT_NOT_FOUND && code != EXIT_NOT_EXECUTABLE && code != EXIT_OF_CATATONIT) {
        return false;
    }
    CLEANUP(cleanup_free) char *words = xstrndup(h->log.first, h->log.first_len);
    bool of_init = (text_starts(words, "ERROR (catatonit:") && strstr(words, "failed to exec")) ||
                   (text_starts(words, "[FATAL tini") && strstr(words, "] exec "));
    const char *newline = strchr(words, '\n');
    if (!of_init || !newline || newline[1] != '\0') {
        return false;
    }
    finish_refused(h, words);
    return true;
}

static void on_oom_answer(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    h->call = NULL;
    CLEANUP(cleanup_json) json_t *doc = r->status == 200 ? api_json(r->body, r->len) : NULL;
    const json_t *state = json_object_get(doc, "State");
    bool oom = json_is_true(json_object_get(state, "OOMKilled"));
    /* podman before 5 never says so. */
    if (!oom && !(h->c->engine.libpod && h->job->resources.memory > 0)) {
        job_finish(h, JOB_EXITED, EXIT_KILLED, NULL);
        return;
    }
    CLEANUP(sb_done) struct str text = {0};
    sb_puts(&text, oom ? "killed: out of memory" : "killed, probably out of memory");
    if (h->job->resources.memory > 0) {
        sb_puts(&text, " (the step's limit is ");
        add_size(&text, h->job->resources.memory);
        sb_puts(&text, "); give it more with resources: {memory: …}");
    }
    job_finish(h, JOB_OOM, EXIT_KILLED, sb_take(&text));
}

static void ask_oom(struct job_handle *h)
{
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s/json", h->name);
    struct api_request r = {.path = sb_text(&path), .timeout_ms = INSPECT_MS};
    h->phase = PHASE_OOM;
    h->call = api_start(h->c, &r, on_oom_answer, h);
}

static int read_exit_code(const struct containers *c, const struct api_reply *r)
{
    if (c->engine.libpod) {
        char text[32];
        char *end = NULL;
        snprintf(text, sizeof(text), "%.*s", (int)(r->len < 31 ? r->len : 31), r->body);
        long code = strtol(text, &end, 10);
        return end == text || code < 0 || code > 255 ? -1 : (int)code;
    }
    CLEANUP(cleanup_json) json_t *doc = api_json(r->body, r->len);
    const json_t *code = json_object_get(doc, "StatusCode");
    return json_is_integer(code) ? (int)json_integer_value(code) : -1;
}

static void on_waited(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    h->call = NULL;
    int code = r->status == 200 ? read_exit_code(h->c, r) : -1;
    if (r->status == 0) {
        job_no_answer(h);
    } else if (r->status == 404) {
        job_finish(h, JOB_LOST, -1, xstrdup("the step's container was removed by somebody else"));
    } else if (code < 0) {
        job_finish(h, JOB_LOST, -1,
                   xasprintf("the container engine does not know how the step ended%s%.300s",
                             r->message[0] ? ": " : "", r->message));
    } else if (!h->log_checked && mono_us() - h->wait_from_us > EARLY_END_MS * 1000) {
        /* The container outlived its log's stream, which may have been broken. */
        h->log_checked = true;
        job_read_log(h, false);
    } else if (finish_if_not_found(h, code)) {
        return;
    } else if (code == EXIT_KILLED && !h->kill_sent) {
        ask_oom(h);
    } else {
        job_finish(h, JOB_EXITED, code, NULL);
    }
}

static void send_wait(struct job_handle *h, const char *interval)
{
    /* podman's compatible wait takes a whole processor while it waits; its own looks at intervals. */
    bool native = h->c->engine.libpod;
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s/wait", h->name);
    if (native) {
        sb_printf(&path, "?interval=%s", interval);
    }
    struct api_request r = {.method = "POST", .path = sb_text(&path), .native = native};
    h->call = api_start(h->c, &r, on_waited, h);
}

/* The step closed its output and goes on: looking every few milliseconds would cost too much. */
static void on_slow(void *arg)
{
    struct job_handle *h = arg;
    if (h->phase == PHASE_WAIT && h->c->engine.libpod) {
        api_abort(h->call);
        send_wait(h, "250ms");
    }
}

void job_wait(struct job_handle *h)
{
    h->phase = PHASE_WAIT;
    h->wait_from_us = mono_us();
    if (!h->slow) {
        h->slow = timer_new(h->c->loop, on_slow, h);
    }
    timer_start(h->slow, EARLY_END_MS, 0);
    send_wait(h, "5ms");
}

/* --- the caller's side --- */

int job_submit(struct containers *c, const struct job *job, job_fn on_end, void *arg, bool adopt,
               struct job_handle **ret, struct err *err)
{
    struct job_handle *h = xcalloc(1, sizeof(*h));
    int len = snprintf(h->name, sizeof(h->name), "wf-%s", job->token);
    if (len < 0 || (size_t)len >= sizeof(h->name)) {
        free(h);
        return err_set(err, ERR_INTERNAL, 0, "the token '%s' is too long", job->token);
    }
    h->c = c;
    h->job = job;
    h->on_end = on_end;
    h->arg = arg;
    h->adopted = h->maybe_created = adopt;
    h->phase = adopt ? PHASE_FIND : PHASE_ENGINE;
    h->need = (struct waiter){.fn = on_engine, .arg = h};
    h->started_at_ms = now_ms();
    link_init(&h->need.link);
    joblog_init(&h->log, c->loop, job->log_fd, on_log_flushed, h);
    h->log.stdout_fd = job->stdout_fd;
    link_add(&c->jobs, &h->link);
    *ret = h;
    h->defer = true; /* on_end is never called before we return */
    engine_need(c, &h->need);
    h->defer = h->phase == PHASE_FLUSH;
    return 0;
}

void job_release(struct job_handle *h)
{
    if (!h) {
        return;
    }
    if (h->phase < PHASE_FLUSH && h->maybe_created) {
        reap_remove(h->c, h->name); /* kills it */
    }
    abort_calls(h);
    engine_forget(&h->need);
    timer_free(h->timer);
    timer_free(h->slow);
    joblog_done(&h->log);
    link_remove(&h->link);
    free(h->message);
    free(h);
}
