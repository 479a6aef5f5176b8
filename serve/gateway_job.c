/* SPDX-License-Identifier: Apache-2.0 */
/* One request: read and checked, sent to all members at once, answered when all have answered, failed or run out of time. `best` answers as soon as nothing better can come. */
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "serve/gateway_impl.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

static void job_step(struct job *j);

/* Deadlines: a list in their order. All jobs of a configuration have the same time, so a new one belongs at the end as a rule. */

static void arm(struct jobs *js)
{
    uint64_t now = uv_now(loop_uv(js->loop));

    if (!js->first) {
        timer_stop(js->timer);
    } else {
        timer_start(js->timer, js->first->deadline > now ? (int64_t)(js->first->deadline - now) : 0,
                    0);
    }
}

static void enlist(struct jobs *js, struct job *j)
{
    struct job *after = js->last;

    while (after && after->deadline > j->deadline) {
        after = after->prev;
    }
    j->prev = after;
    j->next = after ? after->next : js->first;
    *(j->next ? &j->next->prev : &js->last) = j;
    *(after ? &after->next : &js->first) = j;
    if (js->first == j) {
        arm(js);
    }
}

/* The timer is left as it is: when it comes too early it is set anew, which is cheaper than each time. */
static void delist(struct jobs *js, struct job *j)
{
    *(j->prev ? &j->prev->next : &js->first) = j->next;
    *(j->next ? &j->next->prev : &js->last) = j->prev;
    j->prev = j->next = NULL;
    if (!js->first) {
        timer_stop(js->timer);
    }
}

/* May free it. */
static void stop_asks(struct job *j, bool timeout)
{
    j->busy++; /* it stays until we are through */
    for (uint32_t i = 0; j->asks && i < j->ensemble->config.n_members; i++) {
        ask_stop(&j->asks[i], timeout);
    }
    j->busy--;
    job_step(j);
}

static void on_deadline(void *arg)
{
    struct jobs *js = arg;
    uint64_t now = uv_now(loop_uv(js->loop));

    while (js->first && js->first->deadline <= now) {
        struct job *j = js->first;
        delist(js, j);
        j->deadline = UINT64_MAX;
        stop_asks(j, true);
    }
    arm(js);
}

void jobs_drop(struct jobs *js)
{
    for (struct job *j = js->first, *next; j; j = next) {
        next = j->next;
        if (j->replied) {
            stop_asks(j, false);
        }
    }
}

void jobs_init(struct jobs *js, struct loop *l)
{
    *js = (struct jobs){.loop = l, .commands = commands_new(l)};
    js->timer = timer_new(l, on_deadline, js);
}

void jobs_done(struct jobs *js)
{
    WF_ASSERT(js->count == 0);
    timer_free(js->timer);
    commands_free(js->commands);
}

static void job_free(struct job *j)
{
    struct jobs *js = j->jobs;

    if (j->deadline != UINT64_MAX) {
        delist(js, j);
    }
    for (uint32_t i = 0; j->asks && i < j->ensemble->config.n_members; i++) {
        ask_done(&j->asks[i]);
    }
    free(j->asks);
    form_parts_done(&j->cut);
    form_done(&j->form);
    sb_done(&j->text);
    sb_done(&j->out);
    sb_done(&j->names);
    cleanup_free(&j->input.slugs);
    cleanup_free(&j->input.answers);
    ensemble_unref(j->ensemble);
    free(j);
    js->count--;
}

/* With j->status and j->out. */
static void answer(struct job *j)
{
    struct reply r = {.status = j->status,
                      .body = &j->out,
                      .members = j->status == 200 ? sb_text(&j->names) : NULL,
                      .retry_after = j->status == 503};

    j->replied = true;
    j->on_reply(&r, j->arg);
}

static void answer_error(struct job *j, int status, const char *text)
{
    sb_clear(&j->out);
    combine_error(text, &j->out);
    j->status = status;
    answer(j);
}

/* Combining */

static void name_members(struct job *j, uint32_t used)
{
    for (uint32_t k = 0; k < used; k++) {
        sb_printf(&j->names, "%s%s", k ? "," : "", j->input.slugs[k]);
    }
}

/* Pure. */
static void combine(void *arg)
{
    struct job *j = arg;
    struct err err = {0};
    uint32_t used = 0;

    if (combine_answers(&j->input, &j->out, &used, &err) == 0) {
        j->status = 200;
        name_members(j, used);
        return;
    }
    sb_clear(&j->out);
    combine_error(err.msg, &j->out);
    j->status = 502;
}

static void on_combined(void *arg)
{
    struct job *j = arg;

    j->busy--;
    answer(j);
    job_step(j);
}

static void on_command(struct str *printed, bool timeout, const char *why, void *arg)
{
    struct job *j = arg;
    struct err err = {0};

    j->busy--;
    sb_clear(&j->out);
    if (!printed) {
        answer_error(j, timeout ? 504 : 502, why);
    } else if (combine_printed(&j->input, slice_of(sb_text(printed), printed->len), &j->out,
                               &err) != 0) {
        answer_error(j, 502, err.msg);
    } else {
        j->status = 200;
        name_members(j, j->input.n_members);
        answer(j);
    }
    job_step(j);
}

/* Those that answered, best first. Returns the size of their answers. */
static size_t gather(struct job *j)
{
    uint32_t n = j->ensemble->config.n_members;
    const char **slugs = xcalloc(n, sizeof(*slugs));
    const struct form **answers = xcalloc(n, sizeof(*answers));
    size_t size = 0;

    j->input = (struct combine_input){.model = j->ensemble->config.name,
                                      .method = j->ensemble->config.method,
                                      .v1 = j->v1,
                                      .id = j->form.id,
                                      .slugs = slugs,
                                      .answers = answers};
    for (uint32_t i = 0; i < n; i++) {
        const struct ask *a = &j->asks[i];
        if (a->state == ASK_ANSWERED) {
            slugs[j->input.n_members] = a->member->is->slug;
            answers[j->input.n_members++] = a->answer;
            size += a->store.len + a->bodies[0].len;
        }
    }
    return size;
}

static void finish(struct job *j)
{
    size_t size = gather(j);

    j->finishing = true;
    if (j->input.n_members < j->ensemble->config.quorum) {
        reply_too_few(j, &j->out, &j->status);
        answer(j);
    } else if (j->ensemble->config.method == METHOD_COMMAND) {
        CLEANUP(sb_done) struct str list = {0};
        combine_list(&j->input, &list);
        j->busy++;
        command_start(j->jobs->commands, &j->ensemble->config, &list, on_command, j);
    } else if (size > COMBINE_ON_POOL) {
        j->busy++;
        loop_work(j->jobs->loop, combine, on_combined, j);
    } else {
        combine(j);
        answer(j);
    }
}

/* Can anything still change the answer? */
static bool decided(const struct job *j)
{
    uint32_t answered = 0;
    bool best = false, open = false;

    if (j->pending == 0) {
        return true;
    }
    for (uint32_t i = 0; i < j->ensemble->config.n_members; i++) {
        const struct ask *a = &j->asks[i];
        best = best || (a->state == ASK_ANSWERED && !open);
        open = open || (!a->doubtful && a->state != ASK_ANSWERED && a->state != ASK_FAILED);
        answered += a->state == ASK_ANSWERED;
    }
    return answered >= j->ensemble->config.quorum &&
           (!open || (best && j->ensemble->config.method == METHOD_BEST));
}

static void job_step(struct job *j)
{
    if (!j->finishing && !j->replied && j->asks && decided(j)) {
        finish(j);
    }
    if (j->replied && j->pending == 0 && j->busy == 0) {
        job_free(j);
    }
}

void job_ask_ended(struct job *j)
{
    j->pending--;
    job_step(j);
}

/* Reading the request */

static void ask_all(struct job *j)
{
    const struct gateway_config *c = &j->ensemble->config;
    struct err err = {0};
    uint32_t sure = 0;

    if (c->split && form_rows(&j->form) > c->split &&
        form_cut(&j->form, c->split, &j->cut, &err) != 0) {
        answer_error(j, 413, err.msg);
        return;
    }
    j->asks = xcalloc(c->n_members, sizeof(*j->asks));
    j->pending = c->n_members;
    for (uint32_t i = 0; i < c->n_members; i++) {
        struct member *m = &j->ensemble->members[i];
        j->asks[i] = (struct ask){.job = j, .member = m, .doubtful = member_hangs(m)};
        sure += !j->asks[i].doubtful;
    }
    for (uint32_t i = 0; i < c->n_members && sure < c->quorum; i++) {
        j->asks[i].doubtful = false; /* without them it is nothing */
    }
    for (uint32_t i = 0; i < c->n_members; i++) {
        ask_start(&j->asks[i]);
    }
}

/* Pure; j->status 0: it is fine. */
static void read_request(void *arg)
{
    struct job *j = arg;
    struct err err = {0};

    if (form_read(slice_of(sb_text(&j->text), j->text.len), j->v1, FORM_REQUEST, "the request",
                  &j->form, &err) != 0) {
        combine_error(err.msg, &j->out);
        j->status = 400;
    }
}

static void after_reading(struct job *j)
{
    if (j->status) {
        answer(j);
    } else if (j->deadline == UINT64_MAX) {
        answer_error(j, 504, "reading the request took too long; try again, or send less at once");
    } else {
        ask_all(j);
    }
}

static void on_request_read(void *arg)
{
    struct job *j = arg;

    after_reading(j);
    j->busy--;
    job_step(j);
}

void job_start(struct jobs *js, struct ensemble *s, bool v1, struct str *text, reply_fn on_reply,
               void *arg)
{
    struct job *j = xcalloc(1, sizeof(*j));

    *j = (struct job){.jobs = js,
                      .ensemble = ensemble_ref(s),
                      .v1 = v1,
                      .text = *text,
                      .on_reply = on_reply,
                      .arg = arg,
                      .deadline = uv_now(loop_uv(js->loop)) + (uint64_t)s->config.timeout_ms};
    *text = (struct str){0};
    js->count++;
    enlist(js, j);
    j->busy++;
    if (s->config.n_members < s->config.quorum) {
        reply_too_few(j, &j->out, &j->status);
        answer(j);
    } else if (j->text.len > READ_ON_POOL) {
        loop_work(js->loop, read_request, on_request_read, j);
        return;
    } else {
        read_request(j);
        after_reading(j);
    }
    j->busy--;
    job_step(j);
}
