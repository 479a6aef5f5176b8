/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop (libuv): one per program, everything on its thread but pure work. */
#ifndef WF_BASE_LOOP_H
#define WF_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct loop;
struct uv_loop_s;

struct loop *loop_new(void);
/* Closes and frees the objects below that are left (do not touch them afterwards), waits for work under way without
 * calling its `done`, drops work not begun. Handles made by others through loop_uv() are closed before by them. */
void loop_free(struct loop *l);
struct uv_loop_s *loop_uv(struct loop *l);
/* Runs until loop_stop() or nothing is left to wait for. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Called once at the end of the turn of the loop, before it would block: for batching. Calling again before it ran is harmless. */
struct loop_idle; /* owned by the caller */
struct loop_idle *loop_idle_new(struct loop *l, void (*fn)(void *arg), void *arg);
void loop_idle_post(struct loop_idle *i); /* loop thread only */
void loop_idle_free(struct loop_idle *i);

/* One-shot or repeating timer; starting again replaces. Freed timers never fire. */
struct timer;
struct timer *timer_new(struct loop *l, void (*fn)(void *arg), void *arg);
void timer_start(struct timer *t, int64_t after_ms, int64_t repeat_ms); /* repeat 0: once */
void timer_stop(struct timer *t);
void timer_free(struct timer *t);

/* Readable/writable descriptor; NULL when fd cannot be waited for (a regular file). An error or hang-up counts as what was asked for. The watcher is stopped before the caller closes fd (a vfork child may still hold it). */
struct watch;
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch *watch_new(struct loop *l, int fd, int events, void (*fn)(int events, void *arg),
                        void *arg);
void watch_free(struct watch *w); /* stops; the fd is the caller's to close, after this */

/* Signals as callbacks on the loop; they alone do not keep it running. */
struct signal_watch;
struct signal_watch *signal_new(struct loop *l, int signum, void (*fn)(int signum, void *arg),
                                void *arg);
void signal_free(struct signal_watch *s);

/* Pure work on a pool thread, then `done` on the loop thread. `work` touches nothing shared. Any number may be posted; as many run as there
 * are processors. */
void loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* Wakes the loop from any thread; fn runs on the loop thread (several posts may be folded into one call). */
struct waker;
struct waker *waker_new(struct loop *l, void (*fn)(void *arg), void *arg);
void waker_wake(struct waker *w);              /* any thread */
void waker_unref(struct waker *w, bool unref); /* unref: it alone does not keep the loop running */
void waker_free(struct waker *w);

#endif
