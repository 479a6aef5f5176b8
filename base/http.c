/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface on the loop: its sockets are watches, its one timer is a timer. libcurl
 * must not be called from its own callbacks, and on_data/on_headers run in such ones: while `depth`
 * is not 0, starting, aborting and closing only take note, and settle() does it afterwards.
 * http_call.c holds what one request is. */
#include "base/http.h"

#include "base/err.h"
#include "base/http_call.h"
#include "base/loop.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void settle(struct http *h);

/* What libcurl asks of us */

static void drive(struct http *h, curl_socket_t socket, int mask)
{
    int running = 0;
    h->depth++;
    h->curl->curl_multi_socket_action_(h->multi, socket, mask, &running);
    h->depth--;
    settle(h);
}

/* One socket that libcurl waits for. The watch is on a descriptor of our own: libcurl may have closed its own before it says so, and where a child that was just started still holds the socket,
 * nothing would end the watching then. */
struct http_socket {
    struct http *http;
    curl_socket_t fd;
    int own;
    struct watch *watch;
    int events;
};

static void on_socket(int events, void *arg)
{
    const struct http_socket *s = arg;
    drive(s->http, s->fd,
          (events & WATCH_READ ? CURL_CSELECT_IN : 0) |
              (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0));
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socketp)
{
    struct http *h = arg;
    struct http_socket *s = socketp;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            watch_free(s->watch);
            if (s->own >= 0) {
                close(s->own);
            }
            free(s);
        }
        return 0;
    }
    int events = (what & CURL_POLL_IN ? WATCH_READ : 0) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0);
    if (!s) {
        s = xcalloc(1, sizeof(*s));
        s->http = h;
        s->fd = fd;
        s->own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        h->curl->curl_multi_assign_(h->multi, fd, s);
    }
    if (!s->watch || s->events != events) {
        watch_free(s->watch);
        s->events = events;
        s->watch = watch_new(h->loop, s->own, events, on_socket, s);
    }
    return s->watch ? 0 : -1;
}

static void on_timer(void *arg)
{
    drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct http *h = arg;
    (void)multi;
    if (timeout_ms < 0) {
        timer_stop(h->timer);
    } else {
        timer_start(h->timer, timeout_ms, 0);
    }
    return 0;
}

/* The list of calls */

static void link_call(struct http_call *c)
{
    struct http *h = c->http;
    c->next = h->calls;
    c->prev = NULL;
    if (c->next) {
        c->next->prev = c;
    }
    h->calls = c;
}

static void drop_call(struct http_call *c)
{
    struct http *h = c->http;
    if (c->added) {
        h->curl->curl_multi_remove_handle_(h->multi, c->easy);
    }
    *(c->prev ? &c->prev->next : &h->calls) = c->next;
    if (c->next) {
        c->next->prev = c->prev;
    }
    http_call_free(c);
}

/* Settling what callbacks have left undone */

/* Hands one finished call to its owner; false when none has finished. */
static bool finish_one(struct http *h)
{
    int left = 0;
    const CURLMsg *message = h->curl->curl_multi_info_read_(h->multi, &left);
    if (!message) {
        return false;
    }
    char *private = NULL;
    CURLcode result = message->data.result;
    h->curl->curl_easy_getinfo_(message->easy_handle, CURLINFO_PRIVATE, &private);
    struct http_call *c = (struct http_call *)(void *)private;
    h->curl->curl_multi_remove_handle_(h->multi, c->easy);
    c->added = false;
    if (!c->aborted) {
        http_call_finish(c, result);
        c->finishing = true;
        c->on_done(c, &c->response, c->arg);
    }
    drop_call(c);
    return true;
}

static void add_call(struct http_call *c)
{
    CURLMcode rc = c->http->curl->curl_multi_add_handle_(c->http->multi, c->easy);
    WF_ASSERT(rc == CURLM_OK);
    c->added = true;
}

static void clear_list(struct http *h)
{
    for (struct http_call *c = h->calls, *next; c; c = next) {
        next = c->next;
        if (c->aborted) {
            drop_call(c);
        } else if (!c->added && !h->closing) {
            add_call(c);
        }
    }
    h->untidy = false;
}

static void destroy(struct http *h)
{
    while (h->calls) {
        drop_call(h->calls);
    }
    if (h->multi) {
        h->curl->curl_multi_cleanup_(h->multi); /* gives the sockets back: want_socket(REMOVE) */
    }
    timer_free(h->timer);
    free(h);
}

static void settle(struct http *h)
{
    if (h->depth) {
        return;
    }
    h->depth++; /* on_done may start, abort and close */
    while (!h->closing && finish_one(h)) {
    }
    h->depth--;
    if (h->closing) {
        destroy(h);
    } else if (h->untidy) {
        clear_list(h);
    }
}

/* The caller's side */

int http_open(struct loop *l, struct http **ret, struct err *err)
{
    const struct curl_api *api = NULL;
    int rc = curl_api_open(&api, err);
    if (rc < 0) {
        return rc;
    }
    struct http *h = xcalloc(1, sizeof(*h));
    h->curl = api;
    h->loop = l;
    h->timer = timer_new(l, on_timer, h);
    h->multi = api->curl_multi_init_();
    if (!h->multi) {
        destroy(h);
        return err_set(err, ERR_INTERNAL, 0, "libcurl does not start");
    }
    api->curl_multi_setopt_(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    api->curl_multi_setopt_(h->multi, CURLMOPT_SOCKETDATA, h);
    api->curl_multi_setopt_(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    api->curl_multi_setopt_(h->multi, CURLMOPT_TIMERDATA, h);
    http_bound(h, HTTP_PER_HOST);
    *ret = h;
    return 0;
}

void http_bound(struct http *h, unsigned per_host)
{
    h->curl->curl_multi_setopt_(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)per_host);
}

void http_close(struct http *h)
{
    if (!h) {
        return;
    }
    h->closing = true;
    for (struct http_call *c = h->calls; c; c = c->next) {
        c->aborted = true;
    }
    if (h->depth == 0) {
        destroy(h);
    }
}

int http_start(struct http *h, const struct http_request *req, http_fn on_done, void *arg,
               struct http_call **ret, struct err *err)
{
    struct http_call *c = NULL;
    int rc = http_call_new(h, req, &c, err);
    if (rc < 0) {
        return rc;
    }
    c->on_done = on_done;
    c->arg = arg;
    link_call(c);
    if (h->depth) {
        h->untidy = true;
    } else {
        add_call(c);
    }
    if (ret) {
        *ret = c;
    }
    return 0;
}

void http_abort(struct http_call *c)
{
    if (!c || c->finishing) {
        return; /* on_done runs: it is freed after that */
    }
    c->aborted = true;
    if (c->http->depth) {
        c->http->untidy = true;
    } else {
        drop_call(c);
    }
}
