/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct loop *loop;

static void set_up(void)
{
    loop = loop_new();
}

static void tear_down(void)
{
    loop_free(loop);
}

TestSuite(base_loop, .init = set_up, .fini = tear_down, .timeout = 30);

struct count {
    int calls;
    int stop_after; /* stops the loop with this call */
};

static void count_call(void *arg)
{
    struct count *c = arg;
    if (++c->calls == c->stop_after) {
        loop_stop(loop);
    }
}

Test(base_loop, ends_when_nothing_is_left)
{
    struct timer *unused = timer_new(loop, count_call, NULL);
    loop_run(loop);
    timer_free(unused);
}

Test(base_loop, timers)
{
    struct count once = {0}, often = {.stop_after = 3}, never = {0};
    struct timer *a = timer_new(loop, count_call, &once);
    struct timer *b = timer_new(loop, count_call, &often);
    struct timer *c = timer_new(loop, count_call, &never);
    timer_start(a, 0, 0);
    timer_start(b, 1, 1);
    timer_start(c, 0, 0);
    timer_stop(c);
    loop_run(loop);
    cr_assert_eq(once.calls, 1);
    cr_assert_eq(often.calls, 3);
    cr_assert_eq(never.calls, 0);
    timer_start(c, 0, 0);
    timer_free(c); /* freed timers never fire */
    timer_free(b);
    timer_start(a, 0, 0);
    loop_run(loop);
    cr_assert_eq(once.calls, 2);
    cr_assert_eq(never.calls, 0);
    timer_free(a);
}

/* Posts twice in a timer; the call posts itself once more. */
struct posting {
    struct loop_idle *idle;
    int calls, again;
};

static void on_idle(void *arg)
{
    struct posting *p = arg;
    p->calls++;
    if (p->again-- > 0) {
        loop_idle_post(p->idle);
    }
}

static void post_twice(void *arg)
{
    struct posting *p = arg;
    loop_idle_post(p->idle);
    loop_idle_post(p->idle);
}

Test(base_loop, idle_runs_once_for_many_posts)
{
    struct posting p = {0};
    p.idle = loop_idle_new(loop, on_idle, &p);
    struct timer *t = timer_new(loop, post_twice, &p);
    timer_start(t, 0, 0);
    loop_run(loop);
    cr_assert_eq(p.calls, 1);
    p.again = 1;
    timer_start(t, 0, 0);
    loop_run(loop);
    cr_assert_eq(p.calls, 3);
    timer_free(t);
    loop_idle_free(p.idle);
}

Test(base_loop, idle_runs_before_the_loop_blocks)
{
    struct posting p = {.again = 5};
    struct count late = {.stop_after = 1};
    struct timer *t = timer_new(loop, count_call, &late);
    p.idle = loop_idle_new(loop, on_idle, &p);
    timer_start(t, 100, 0);
    loop_idle_post(p.idle);
    loop_run(loop); /* would block 100 ms: all six calls come before that */
    cr_assert_eq(p.calls, 6);
    timer_free(t);
    loop_idle_free(p.idle);
}

Test(base_loop, freed_idle_does_not_run)
{
    struct posting p = {0};
    p.idle = loop_idle_new(loop, on_idle, &p);
    loop_idle_post(p.idle);
    loop_idle_free(p.idle);
    loop_run(loop);
    cr_assert_eq(p.calls, 0);
}

struct reading {
    int fd, events;
    char byte;
    struct watch *watch;
};

static void on_readable(int events, void *arg)
{
    struct reading *r = arg;
    r->events = events;
    cr_assert_eq(read(r->fd, &r->byte, 1), 1);
    watch_free(r->watch); /* from its own callback */
}

Test(base_loop, watch)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    struct reading r = {.fd = ends[0]};
    r.watch = watch_new(loop, ends[0], WATCH_READ, on_readable, &r);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    loop_run(loop);
    cr_assert_eq(r.events, WATCH_READ);
    cr_assert_eq(r.byte, 'x');
    /* The same number again at once, while the old watcher is still closing. */
    r.byte = 0;
    r.watch = watch_new(loop, ends[0], WATCH_READ, on_readable, &r);
    watch_free(r.watch);
    r.watch = watch_new(loop, ends[0], WATCH_READ, on_readable, &r);
    cr_assert_eq(write(ends[1], "y", 1), 1);
    loop_run(loop);
    cr_assert_eq(r.byte, 'y');
    close(ends[0]);
    close(ends[1]);
}

Test(base_loop, watch_of_a_regular_file_is_refused)
{
    FILE *f = tmpfile();
    cr_assert_null(watch_new(loop, fileno(f), WATCH_READ, on_readable, NULL));
    fclose(f);
}

static void on_signal(int signum, void *arg)
{
    *(int *)arg = signum;
    loop_stop(loop);
}

Test(base_loop, signals)
{
    int seen = 0;
    struct count keep = {0};
    struct timer *t = timer_new(loop, count_call, &keep);
    timer_start(t, 20000, 0);
    struct signal_watch *s = signal_new(loop, SIGUSR1, on_signal, &seen);
    raise(SIGUSR1);
    loop_run(loop);
    cr_assert_eq(seen, SIGUSR1);
    signal_free(s);
    timer_free(t);
}

enum { JOBS = 1000 };
struct jobs {
    atomic_int now, most, worked;
    pthread_t loop_thread;
    int done;
};

static void job_work(void *arg)
{
    struct jobs *j = arg;
    int now = atomic_fetch_add(&j->now, 1) + 1;
    int most = atomic_load(&j->most);
    while (now > most && !atomic_compare_exchange_weak(&j->most, &most, now)) {
    }
    cr_assert(!pthread_equal(pthread_self(), j->loop_thread));
    atomic_fetch_add(&j->worked, 1);
    atomic_fetch_sub(&j->now, 1);
}

static void job_done(void *arg)
{
    struct jobs *j = arg;
    cr_assert(pthread_equal(pthread_self(), j->loop_thread));
    j->done++;
}

Test(base_loop, work)
{
    struct jobs j = {.loop_thread = pthread_self()};
    for (int i = 0; i < JOBS; i++) {
        loop_work(loop, job_work, job_done, &j);
    }
    loop_run(loop);
    cr_assert_eq(j.done, JOBS);
    cr_assert_eq(atomic_load(&j.worked), JOBS);
    cr_assert_leq(atomic_load(&j.most), atoi(getenv("UV_THREADPOOL_SIZE")));
}

Test(base_loop, work_is_dropped_when_the_loop_is_freed)
{
    struct jobs j = {.loop_thread = pthread_self()};
    struct loop *other = loop_new();
    for (int i = 0; i < JOBS; i++) {
        loop_work(other, job_work, job_done, &j);
    }
    loop_free(other);
    cr_assert_eq(j.done, 0);
    cr_assert_lt(atomic_load(&j.worked), JOBS);
}

static void *wake_from_outside(void *arg)
{
    waker_wake(arg);
    return NULL;
}

Test(base_loop, waker)
{
    struct count woken = {.stop_after = 1};
    pthread_t thread;
    struct waker *w = waker_new(loop, count_call, &woken);
    pthread_create(&thread, NULL, wake_from_outside, w);
    loop_run(loop);
    pthread_join(thread, NULL);
    cr_assert_eq(woken.calls, 1);
    waker_unref(w, true);
    loop_run(loop); /* it alone does not keep the loop running */
    waker_free(w);
}

Test(base_loop, free_takes_what_is_left)
{
    struct loop *other = loop_new();
    struct posting p = {0};
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    timer_start(timer_new(other, count_call, NULL), 0, 1);
    loop_idle_post(loop_idle_new(other, on_idle, &p));
    watch_new(other, ends[0], WATCH_READ, on_readable, NULL);
    signal_new(other, SIGUSR2, on_signal, NULL);
    waker_wake(waker_new(other, count_call, NULL));
    loop_stop(other);
    loop_free(other);
    cr_assert_eq(p.calls, 0);
    close(ends[0]);
    close(ends[1]);
}
