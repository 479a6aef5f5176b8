/* SPDX-License-Identifier: Apache-2.0 */
/* A thin layer over libuv. Every object here holds one or two libuv handles and outlives its free()
 * until libuv has closed them: `free` stops the handle, so that no callback comes any more, and the
 * memory goes in the close callback. loop_free() closes and frees the objects nobody freed. */
#include "base/loop.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

struct work_item {
    uv_work_t req;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
    struct work_item *next;
};

struct loop {
    uv_loop_t uv;
    /* Work not yet handed to libuv, oldest first; `work_running` of `work_max` are with libuv. The
     * cap keeps libuv's own queue short: what is posted for other purposes (name look-ups) does not
     * wait behind 100,000 of ours. */
    struct work_item *work_head, **work_tail;
    unsigned work_running, work_max;
    bool closing;
    uv_poll_t epoll; /* of epoll_fd, in which the watches are */
    int epoll_fd;
    bool dispatching;
    struct watch *watches, *dead;
};

static void open_epoll(struct loop *l);

/* Pool threads: one for each processor, at least two. libuv reads the variable at first use. */
static unsigned pool_size(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    char text[32];
    snprintf(text, sizeof(text), "%ld", processors < 2 ? 2 : processors);
    setenv("UV_THREADPOOL_SIZE", text, 0);
    const char *value = getenv("UV_THREADPOOL_SIZE");
    long size = value ? strtol(value, NULL, 10) : 0;
    return size < 1 ? 1 : size > 1024 ? 1024 : (unsigned)size; /* libuv's own limits */
}

struct loop *loop_new(void)
{
    struct loop *l = xcalloc(1, sizeof(*l));
    l->work_max = pool_size();
    l->work_tail = &l->work_head;
    int rc = uv_loop_init(&l->uv);
    WF_ASSERT(rc == 0);
    l->uv.data = l;
    open_epoll(l);
    return l;
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

/* Handles: `data` is the object to free; an idle object has two handles and counts them. */

struct loop_idle {
    uv_prepare_t prepare; /* runs just before the loop would block */
    uv_idle_t no_block;   /* active while posted, for a post out of the call itself */
    void (*fn)(void *arg);
    void *arg;
    int open;
};

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_idle_closed(uv_handle_t *h)
{
    struct loop_idle *i = h->data;
    if (--i->open == 0) {
        free(i);
    }
}

static bool is_idle_part(const uv_handle_t *h)
{
    return h->type == UV_PREPARE || h->type == UV_IDLE;
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h)) {
        uv_close(h, is_idle_part(h) ? on_idle_closed : on_closed);
    }
}

static void close_left(uv_handle_t *h, void *arg)
{
    (void)arg;
    close_handle(h);
}

void loop_free(struct loop *l)
{
    if (!l) {
        return;
    }
    l->closing = true;
    while (l->work_head) {
        struct work_item *w = l->work_head;
        l->work_head = w->next;
        free(w);
    }
    while (l->watches) {
        watch_free(l->watches);
    }
    uv_walk(&l->uv, close_left, NULL);
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0) {
        /* stopped before: the closing goes on */
    }
    int rc = uv_loop_close(&l->uv);
    WF_ASSERT(rc == 0);
    close(l->epoll_fd);
    free(l);
}

/* Idle calls */

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop_idle *i = prepare->data;
    uv_prepare_stop(&i->prepare);
    uv_idle_stop(&i->no_block);
    i->fn(i->arg);
}

static void on_no_block(uv_idle_t *idle)
{
    (void)idle;
}

struct loop_idle *loop_idle_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct loop_idle *i = xcalloc(1, sizeof(*i));
    uv_prepare_init(&l->uv, &i->prepare);
    uv_idle_init(&l->uv, &i->no_block);
    i->prepare.data = i->no_block.data = i;
    i->fn = fn;
    i->arg = arg;
    i->open = 2;
    return i;
}

void loop_idle_post(struct loop_idle *i)
{
    uv_prepare_start(&i->prepare, on_prepare);
    uv_idle_start(&i->no_block, on_no_block);
}

void loop_idle_free(struct loop_idle *i)
{
    if (i) {
        close_handle((uv_handle_t *)&i->prepare);
        close_handle((uv_handle_t *)&i->no_block);
    }
}

/* Timers */

struct timer {
    uv_timer_t uv;
    void (*fn)(void *arg);
    void *arg;
};

static void on_timer(uv_timer_t *uv)
{
    struct timer *t = uv->data;
    t->fn(t->arg);
}

struct timer *timer_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct timer *t = xcalloc(1, sizeof(*t));
    uv_timer_init(&l->uv, &t->uv);
    t->uv.data = t;
    t->fn = fn;
    t->arg = arg;
    return t;
}

void timer_start(struct timer *t, int64_t after_ms, int64_t repeat_ms)
{
    /* The loop's clock stands still in a turn; after a long callback the timer would be early. */
    uv_update_time(t->uv.loop);
    uv_timer_start(&t->uv, on_timer, after_ms < 0 ? 0 : (uint64_t)after_ms,
                   repeat_ms < 0 ? 0 : (uint64_t)repeat_ms);
}

void timer_stop(struct timer *t)
{
    uv_timer_stop(&t->uv);
}

void timer_free(struct timer *t)
{
    if (t) {
        close_handle((uv_handle_t *)&t->uv);
    }
}

/* Descriptors. Not libuv's polls, which cost six system calls for a short-lived descriptor (the
 * pidfd of a child) where two will do: an epoll set of our own, which libuv watches. */

struct watch {
    struct loop *loop;
    struct watch *prev, *next; /* in loop->watches or, freed in a dispatch, in loop->dead (next) */
    void (*fn)(int events, void *arg);
    void *arg;
    int fd, wanted;
    bool freed;
};

static void dispatch(uv_poll_t *uv, int status, int ready)
{
    struct loop *l = uv->loop->data;
    struct epoll_event events[64];
    (void)status;
    (void)ready;
    int count = epoll_wait(l->epoll_fd, events, (int)ARRAY_LEN(events), 0);
    l->dispatching = true;
    for (int i = 0; i < count; i++) {
        struct watch *w = events[i].data.ptr;
        uint32_t seen = events[i].events;
        if (w->freed) {
            continue; /* by one of this batch before it */
        }
        /* An error or hang-up: whoever reads or writes next is told which. */
        int told = (seen & EPOLLIN ? WATCH_READ : 0) | (seen & EPOLLOUT ? WATCH_WRITE : 0);
        w->fn(seen & (EPOLLERR | EPOLLHUP) ? w->wanted : told, w->arg);
    }
    l->dispatching = false;
    while (l->dead) {
        struct watch *w = l->dead;
        l->dead = w->next;
        free(w);
    }
}

static void open_epoll(struct loop *l)
{
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    WF_ASSERT(l->epoll_fd >= 0);
    int rc = uv_poll_init(&l->uv, &l->epoll, l->epoll_fd);
    WF_ASSERT(rc == 0);
    uv_poll_start(&l->epoll, UV_READABLE, dispatch);
    uv_unref((uv_handle_t *)&l->epoll); /* as long as it holds nothing */
}

struct watch *watch_new(struct loop *l, int fd, int events, void (*fn)(int events, void *arg),
                        void *arg)
{
    struct watch *w = xcalloc(1, sizeof(*w));
    struct epoll_event event = {.data.ptr = w};
    event.events = (events & WATCH_READ ? EPOLLIN : 0U) | (events & WATCH_WRITE ? EPOLLOUT : 0U);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(w);
        return NULL;
    }
    *w = (struct watch){.loop = l, .fn = fn, .arg = arg, .fd = fd, .wanted = events};
    if (!l->watches) {
        uv_ref((uv_handle_t *)&l->epoll);
    } else {
        l->watches->prev = w;
    }
    w->next = l->watches;
    l->watches = w;
    return w;
}

void watch_free(struct watch *w)
{
    if (!w) {
        return;
    }
    struct loop *l = w->loop;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    *(w->prev ? &w->prev->next : &l->watches) = w->next;
    if (w->next) {
        w->next->prev = w->prev;
    }
    if (!l->watches) {
        uv_unref((uv_handle_t *)&l->epoll);
    }
    if (l->dispatching) {
        w->freed = true;
        w->next = l->dead;
        l->dead = w;
    } else {
        free(w);
    }
}

/* Signals */

struct signal_watch {
    uv_signal_t uv;
    void (*fn)(int signum, void *arg);
    void *arg;
};

static void on_signal(uv_signal_t *uv, int signum)
{
    struct signal_watch *s = uv->data;
    s->fn(signum, s->arg);
}

struct signal_watch *signal_new(struct loop *l, int signum, void (*fn)(int signum, void *arg),
                                void *arg)
{
    struct signal_watch *s = xcalloc(1, sizeof(*s));
    uv_signal_init(&l->uv, &s->uv);
    s->uv.data = s;
    s->fn = fn;
    s->arg = arg;
    int rc = uv_signal_start(&s->uv, on_signal, signum);
    WF_ASSERT(rc == 0);
    uv_unref((uv_handle_t *)&s->uv); /* waiting for a signal alone is no reason to run on */
    return s;
}

void signal_free(struct signal_watch *s)
{
    if (s) {
        uv_signal_stop(&s->uv);
        close_handle((uv_handle_t *)&s->uv);
    }
}

/* Work on the pool */

static void submit_work(struct loop *l);

static void run_work(uv_work_t *req)
{
    struct work_item *w = CONTAINER_OF(req, struct work_item, req);
    w->work(w->arg);
}

static void after_work(uv_work_t *req, int status)
{
    struct work_item *w = CONTAINER_OF(req, struct work_item, req);
    struct loop *l = req->loop->data;
    (void)status;
    l->work_running--;
    if (!l->closing) {
        submit_work(l);
        w->done(w->arg);
    }
    free(w);
}

static void submit_work(struct loop *l)
{
    while (l->work_head && l->work_running < l->work_max) {
        struct work_item *w = l->work_head;
        l->work_head = w->next;
        if (!l->work_head) {
            l->work_tail = &l->work_head;
        }
        l->work_running++;
        int rc = uv_queue_work(&l->uv, &w->req, run_work, after_work);
        WF_ASSERT(rc == 0);
    }
}

void loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct work_item *w = xcalloc(1, sizeof(*w));
    w->work = work;
    w->done = done;
    w->arg = arg;
    *l->work_tail = w;
    l->work_tail = &w->next;
    submit_work(l);
}

/* Wakers */

struct waker {
    uv_async_t uv;
    void (*fn)(void *arg);
    void *arg;
};

static void on_async(uv_async_t *uv)
{
    struct waker *w = uv->data;
    w->fn(w->arg);
}

struct waker *waker_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct waker *w = xcalloc(1, sizeof(*w));
    int rc = uv_async_init(&l->uv, &w->uv, on_async);
    WF_ASSERT(rc == 0);
    w->uv.data = w;
    w->fn = fn;
    w->arg = arg;
    return w;
}

void waker_wake(struct waker *w)
{
    uv_async_send(&w->uv);
}

void waker_unref(struct waker *w, bool unref)
{
    if (unref) {
        uv_unref((uv_handle_t *)&w->uv);
    } else {
        uv_ref((uv_handle_t *)&w->uv);
    }
}

void waker_free(struct waker *w)
{
    if (w) {
        close_handle((uv_handle_t *)&w->uv);
    }
}
