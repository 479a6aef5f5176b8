/* SPDX-License-Identifier: Apache-2.0 */
/* A job whose engine was lost, or that is taken up: its container is looked for by name, and goes on from
 * the state it is in. What the engine kept of its log is read from the beginning; what was written before
 * is passed over. Containers do not depend on the engine's service, so most steps end as if nothing was. */
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "steps/container_impl.h"

#include <stdlib.h>
#include <string.h>

static bool on_old_output(const void *data, size_t len, void *arg)
{
    struct job_handle *h = arg;
    joblog_data(&h->log, data, len);
    return true;
}

static void on_logs_end(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    h->stream = NULL;
    h->stream_over = true;
    if (r->status == 0) {
        job_no_answer(h);
    } else {
        job_wait(h);
    }
}

void job_read_log(struct job_handle *h, bool follow)
{
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s/logs?stdout=1&stderr=1%s", h->name, follow ? "&follow=1" : "");
    struct api_request r = {.path = sb_text(&path), .on_data = on_old_output};
    h->phase = PHASE_RUN;
    h->stream_over = false;
    joblog_begin(&h->log);
    h->stream = api_start(h->c, &r, on_logs_end, h);
}

static void not_there(struct job_handle *h)
{
    if (h->start_sent || h->adopted) {
        h->maybe_created = false;
        job_finish(h, JOB_LOST, -1,
                   xstrdup("the step's container is gone; whether the step ended is not known"));
    } else {
        /* Nothing of it ran. Its name may still be taken, by what a killed service left half-made. */
        job_recreate(h);
    }
}

/* created: whatever was lost happened before the start. */
static bool is_waiting(const char *status)
{
    return strcmp(status, "created") == 0 || strcmp(status, "configured") == 0 ||
           strcmp(status, "initialized") == 0;
}

static bool is_over(const char *status)
{
    return strcmp(status, "exited") == 0 || strcmp(status, "stopped") == 0 ||
           strcmp(status, "dead") == 0 || strcmp(status, "removing") == 0;
}

static void go_on(struct job_handle *h, const json_t *state)
{
    const char *status = json_text(state, "Status");
    const char *error = json_text(state, "Error");
    bool ever_ran = !text_starts(json_text(state, "StartedAt"), "0001-");
    if (is_waiting(status) || (is_over(status) && !ever_ran)) {
        if (h->start_sent && error[0]) {
            job_finish(h, JOB_NOT_STARTED, -1, spec_explain(h->c, h->job, error));
        } else if (h->adopted) {
            job_finish(h, JOB_NOT_STARTED, -1, xstrdup("its container was never started"));
        } else if (h->losses > 0 && !h->start_sent && h->created) {
            job_recreate(h); /* perhaps half-made */
        } else {
            h->created = true;
            job_attach(h);
        }
        return;
    }
    h->created = h->started = true;
    job_read_log(h, !is_over(status));
    if (!is_over(status)) {
        job_signal_again(h); /* it may have been lost with the engine */
    }
}

static void on_found(const struct api_reply *r, void *arg)
{
    struct job_handle *h = arg;
    h->call = NULL;
    if (r->status == 404) {
        not_there(h);
        return;
    }
    CLEANUP(cleanup_json) json_t *doc = r->status == 200 ? api_json(r->body, r->len) : NULL;
    const json_t *state = json_object_get(doc, "State");
    if (!state) {
        job_no_answer(h);
        return;
    }
    go_on(h, state);
}

void job_find(struct job_handle *h)
{
    CLEANUP(sb_done) struct str path = {0};
    sb_printf(&path, "/containers/%s/json", h->name);
    struct api_request r = {.path = sb_text(&path)};
    h->call = api_start(h->c, &r, on_found, h);
}
