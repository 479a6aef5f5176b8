/* SPDX-License-Identifier: Apache-2.0 */
/* Requests from libmicrohttpd to jobs, and their answers back. A body that is too large is read to its end as far as that is bearable and not kept, so that its sender hears why. */
#include "serve/gateway_http.h"

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "serve/gateway_impl.h"
#include "serve/gateway_mhd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS = 4000,
    CONNECTION_MEMORY =
        32 << 10, /* of a connection, cleared for each request: headers, and pieces of a body */
    QUIET_S = 75, /* a connection on which nothing moves is closed */
    DRAIN_MAX = 64 << 20, /* of a body that is refused */
};
/* More bodies than this are not held at once, whoever sends them. */
#define HELD_MAX (UINT64_C(1) << 30)

struct web {
    const struct mhd_api *api;
    struct web_options o;
    struct MHD_Daemon *daemon;
    struct watch *watch;
    struct timer *timer;
    struct loop_idle *post; /* after answers */
    uint32_t requests;
    uint64_t held; /* bodies of all requests */
    bool running, stopping;
};

struct request {
    struct web *web;
    struct MHD_Connection *connection;
    struct route route;
    struct str body, out;
    uint64_t max_body, held, drained;
    int refused; /* 0, or the status with which it will be answered */
    bool suspended, replied;
};

static void run(struct web *w);

static void on_post(void *arg)
{
    run(arg);
}

static void on_readable(int events, void *arg)
{
    (void)events;
    run(arg);
}

static void arm(struct web *w)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;

    if (w->api->MHD_get_timeout(w->daemon, &ms) != MHD_YES) {
        timer_stop(w->timer);
    } else if (ms == 0) {
        loop_idle_post(w->post);
    } else {
        timer_start(w->timer, (int64_t)ms, 0);
    }
}

static void run(struct web *w)
{
    w->running = true;
    w->api->MHD_run(w->daemon);
    if (w->stopping && w->requests == 0) {
        w->api->MHD_run(w->daemon); /* what came meanwhile on connections that are kept */
    }
    w->running = false;
    arm(w);
    if (w->stopping && w->requests == 0) {
        w->o.on_idle(w->o.arg);
    }
}

/* Answers */

static void put_header(struct web *w, struct MHD_Response *r, const char *name, const char *value)
{
    if (value) {
        w->api->MHD_add_response_header(r, name, value);
    }
}

static enum MHD_Result respond(struct request *q, const struct reply *r, const char *allow)
{
    struct web *w = q->web;
    size_t len = r->body->len;
    /* Freed by the library. */
    struct MHD_Response *response =
        w->api->MHD_create_response_from_buffer(len, sb_take(r->body), MHD_RESPMEM_MUST_FREE);

    q->replied = true;
    if (!response) {
        return MHD_NO;
    }
    put_header(w, response, "Content-Type", "application/json");
    put_header(w, response, "X-Wf-Members", r->members);
    put_header(w, response, "Allow", allow);
    put_header(w, response, "Retry-After", r->retry_after ? "1" : NULL);
    put_header(w, response, "Connection", w->stopping ? "close" : NULL);
    enum MHD_Result rc = w->api->MHD_queue_response(q->connection, (unsigned)r->status, response);
    w->api->MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result respond_now(struct request *q)
{
    struct reply r = {
        .status = q->route.status, .body = &q->out, .retry_after = q->route.retry_after};

    return respond(q, &r, q->route.allow);
}

static enum MHD_Result respond_refused(struct request *q)
{
    CLEANUP(cleanup_free) char *text = NULL;

    if (q->refused == 413) {
        text = xasprintf("the request's body is larger than the %llu bytes that are taken",
                         (unsigned long long)q->max_body);
    } else {
        text = xstrdup("too many large requests at once; try again");
    }
    sb_clear(&q->out);
    combine_error(text, &q->out);
    q->route.status = q->refused;
    q->route.retry_after = q->refused == 503;
    return respond_now(q);
}

static void on_reply(const struct reply *r, void *arg)
{
    struct request *q = arg;

    respond(q, r, NULL);
    if (q->suspended) {
        q->suspended = false;
        q->web->api->MHD_resume_connection(q->connection);
        loop_idle_post(q->web->post);
    }
}

/* Requests */

static struct request *request_new(struct web *w, struct MHD_Connection *connection,
                                   const char *method, const char *path)
{
    struct request *q = xcalloc(1, sizeof(*q));

    struct ensemble *e = w->o.ensemble(w->o.arg);
    *q = (struct request){.web = w, .connection = connection, .max_body = e->config.max_body};
    q->route = route_find(e, method, path, &q->out);
    w->requests++;
    return q;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **ctx,
                         enum MHD_RequestTerminationCode how)
{
    struct web *w = arg;
    struct request *q = *ctx;

    (void)connection;
    (void)how;
    if (q) {
        *ctx = NULL;
        sb_done(&q->body);
        sb_done(&q->out);
        w->held -= q->held;
        free(q);
        w->requests--;
    }
}

static const char *header_of(struct request *q, const char *name)
{
    return q->web->api->MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

static bool wants_body(const struct request *q)
{
    return q->route.kind == ROUTE_INFER || q->route.kind == ROUTE_PREDICT;
}

/* The header is there. Who waits for leave to send a body that is refused, or sends far too much, is answered now; the library closes the connection then. */
static enum MHD_Result begin(struct request *q)
{
    const char *length = header_of(q, "Content-Length");
    uint64_t announced = length ? strtoull(length, NULL, 10) : 0;
    bool waits = header_of(q, "Expect") != NULL;

    if (wants_body(q)) {
        q->refused = announced > q->max_body ? 413 : 0;
        if (q->refused && (waits || announced > q->max_body + DRAIN_MAX)) {
            return respond_refused(q);
        }
    } else if (length && (waits || announced > DRAIN_MAX) && q->route.kind == ROUTE_NOW) {
        return respond_now(q);
    }
    return MHD_YES;
}

static enum MHD_Result take(struct request *q, const char *data, size_t len)
{
    struct web *w = q->web;

    if (wants_body(q) && !q->refused) {
        q->refused = q->body.len + len > q->max_body ? 413 : w->held + len > HELD_MAX ? 503 : 0;
    }
    if (wants_body(q) && !q->refused) {
        sb_add(&q->body, data, len);
        q->held += len;
        w->held += len;
        return MHD_YES;
    }
    sb_done(&q->body);
    w->held -= q->held;
    q->held = 0;
    q->drained += len;
    return q->drained > q->max_body + DRAIN_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result complete(struct request *q)
{
    struct web *w = q->web;

    if (q->route.kind == ROUTE_NOW) {
        return respond_now(q);
    }
    if (q->refused) {
        return respond_refused(q);
    }
    struct ensemble *e = w->o.ensemble(w->o.arg);
    if (q->route.kind == ROUTE_ABOUT) {
        about_start(w->o.jobs, e, on_reply, q);
    } else {
        job_start(w->o.jobs, e, q->route.kind == ROUTE_PREDICT, &q->body, on_reply, q);
    }
    if (!q->replied) {
        q->suspended = true;
        w->api->MHD_suspend_connection(q->connection);
    }
    return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **ctx)
{
    struct request *q = *ctx;

    (void)version;
    if (!q) {
        *ctx = q = request_new(arg, connection, method, path);
        return begin(q);
    }
    if (*len > 0) {
        size_t n = *len;
        *len = 0;
        return take(q, data, n);
    }
    return q->replied ? MHD_NO : complete(q);
}

static void on_log(void *arg, const char *format, va_list ap)
{
    CLEANUP(sb_done) struct str text = {0};

    (void)arg;
    if (log_level_now() >= LOG_DEBUG) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        sb_vprintf(&text, format, ap);
#pragma GCC diagnostic pop
        log_debug("gateway", "%.*s", (int)strcspn(sb_text(&text), "\n"), sb_text(&text));
    }
}

int web_open(const struct web_options *o, struct web **ret, struct err *err)
{
    CLEANUP(cleanup_close) int fd = o->listen_fd;
    const struct mhd_api *api;
    int rc = mhd_api_open(&api, err);

    if (rc) {
        return rc;
    }
    struct web *w = xcalloc(1, sizeof(*w));
    *w = (struct web){.api = api, .o = *o};
    w->daemon = api->MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, w,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)QUIET_S,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, w, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        w->daemon ? api->MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        free(w);
        return err_set(err, ERR_IO, 0, "libmicrohttpd does not start");
    }
    take_fd(&fd);
    w->timer = timer_new(o->loop, on_post, w);
    w->post = loop_idle_new(o->loop, on_post, w);
    w->watch = watch_new(o->loop, info->epoll_fd, WATCH_READ, on_readable, w);
    arm(w);
    *ret = w;
    return 0;
}

void web_stop(struct web *w)
{
    if (w->stopping) {
        return;
    }
    w->stopping = true;
    int fd = w->api->MHD_quiesce_daemon(w->daemon);
    if (fd >= 0) {
        close(fd);
    }
    loop_idle_post(w->post);
}

void web_free(struct web *w)
{
    if (w) {
        watch_free(w->watch);
        timer_free(w->timer);
        loop_idle_free(w->post);
        w->api->MHD_stop_daemon(w->daemon);
        free(w);
    }
}
