/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's life. It may be killed at any time: what it knows is in the store, what it started goes on. */
#include "base/arena.h"
#include "base/child.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/store.h"
#include "serve/client.h"
#include "serve/folder.h"
#include "serve/supervisor_impl.h"
#include "serve/wire.h"
#include "steps/executor.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STOP_GRACE_MS = 1000,  /* nothing is served any more */
    FIRST_CALL_MS = 10000, /* who started us has so long to say what for */
    HOLD_MS = 60000,       /* a request that waits for the first replica */
    DRAIN_LIMIT_MS = 10000,
    REMOVED_GRACE_MS = 1000,
};

/* --- services --- */

struct service *service_new(struct supervisor *u, const struct service_row *row)
{
    struct service *s = xcalloc(1, sizeof(*s));
    struct err err = {0};
    *s = (struct service){.sup = u,
                          .id = row->id,
                          .workflow = xstrdup(row->workflow),
                          .step = xstrdup(row->step),
                          .run = row->run ? xstrdup(row->run) : NULL,
                          .name = xasprintf("%s/%s", row->workflow, row->step),
                          .keep = row->keep,
                          .port = row->port};
    s->row =
        (struct service_row){.id = row->id, .generation = row->generation, .state = row->state};
    s->wanted = row->wanted ? want_read(row->wanted, row->generation, &err) : NULL;
    if (s->wanted) {
        want_make_gateway(s->wanted, u->store, s->id);
    } else if (row->wanted) {
        supervisor_note(u, s->id, "%s: %s", s->name, err.msg);
    }
    if (row->state == SERVICE_FAILED && row->state_generation == row->generation) {
        s->failed_generation = row->generation;
        s->error = row->error ? xstrdup(row->error) : NULL;
    }
    *vec_push(&u->services) = s;
    return s;
}

void service_free(struct service *s)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        group_free(s->groups.items[i]);
    }
    vec_done(&s->groups);
    want_drop(s->wanted);
    want_drop(s->live);
    want_drop(s->next);
    view_free(s->accepted);
    timer_free(s->view_again);
    timer_free(s->config_timer);
    timer_free(s->linger);
    if (s->config_call) {
        http_abort(s->config_call);
    }
    activator_free(s->activator);
    free((char *)(uintptr_t)s->row.endpoint);
    free((char *)(uintptr_t)s->row.error);
    free(s->workflow);
    free(s->step);
    free(s->run);
    free(s->name);
    free(s->error);
    free(s->config);
    free(s);
}

struct service *supervisor_find(struct supervisor *u, const char *workflow, const char *step)
{
    for (size_t i = 0; step && i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        if (text_eq(s->workflow, workflow) && text_eq(s->step, step)) {
            return s;
        }
    }
    return NULL;
}

void supervisor_log(const char *fmt, ...)
{
    CLEANUP(sb_done) struct str text = {0};
    va_list ap;
    char at[32];

    va_start(ap, fmt);
    sb_vprintf(&text, fmt, ap);
    va_end(ap);
    format_time(now_ms(), at);
    fprintf(stderr, "%s %s\n", at, sb_text(&text));
}

void supervisor_note(struct supervisor *u, int64_t service, const char *fmt, ...)
{
    CLEANUP(sb_done) struct str text = {0}, line = {0};
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&text, fmt, ap);
    va_end(ap);
    supervisor_log("%s", sb_text(&text));
    wire_note(service, sb_text(&text), &line);
    if (u->control) {
        control_tell(u->control, line.data, line.len);
    }
}

/* --- the activator --- */

static void on_wait(void *arg)
{
    struct service *s = arg;
    if (!s->live || s->live->spec.n_models == 0) {
        return;
    }
    struct digest key = model_key(&s->live->spec, &s->live->spec.models[0]);
    struct group *g = service_group(s, &key);
    if (g && g->target == 0) {
        g->calm_since_us = 0;
        group_resize(g, 1);
    }
}

static const struct replica *any_ready(struct service *s)
{
    struct digest key = model_key(&s->live->spec, &s->live->spec.models[0]);
    const struct group *g = service_group(s, &key);
    for (size_t i = 0; g && i < g->slots.len; i++) {
        const struct slot *slot = g->slots.items[i];
        if (slot->replica && slot->replica->state == REPLICA_READY && !slot->leaving) {
            return slot->replica;
        }
    }
    return NULL;
}

void service_activate(struct service *s)
{
    bool wanted = s->live && s->live->spec.scales && s->live->spec.scale_min == 0 &&
                  s->live->spec.n_models == 1 && !s->live->spec.aggregate;
    struct err err = {0};
    if (!wanted) {
        activator_free(s->activator);
        s->activator = NULL;
        return;
    }
    if (!s->activator) {
        CLEANUP(cleanup_free)
        char *path = xasprintf("%s/a%lld", s->sup->run_dir, (long long)s->id);
        if (activator_new(s->sup->loop, path, HOLD_MS, on_wait, s, &s->activator, &err) < 0) {
            supervisor_note(s->sup, s->id, "%s: %s", s->name, err.msg);
            return;
        }
        view_changed(s);
    }
    const struct replica *r = any_ready(s);
    activator_open(s->activator, r ? r->socket : NULL, r ? r->port : 0);
}

/* --- runs that are gone --- */

struct down {
    struct write write; /* first */
    struct supervisor *sup;
    int64_t id;
    char *run;
};

static int apply_down(struct write *w, struct db *db, struct err *err)
{
    const struct down *d = (struct down *)w;
    return desired_down(db, d->id, d->run, err);
}

static void on_down(struct write *w, const struct err *err)
{
    struct down *d = (struct down *)w;
    struct supervisor *u = d->sup;
    if (err) {
        log_write(LOG_WARN, "serve", "%s", err->msg);
    }
    u->writes--;
    free(d->run);
    free(d);
    supervisor_look(u);
}

static void on_linger(void *arg)
{
    struct service *s = arg;
    if (!s->wanted || s->keep || !s->run || control_has_run(s->sup->control, s->run)) {
        return;
    }
    if (store_is_live(s->sup->store, s->run)) {
        timer_start(s->linger, LINGER_MS, 0); /* it is there, and will connect again */
        return;
    }
    supervisor_note(s->sup, s->id, "%s: its run %s is gone; it is taken down", s->name, s->run);
    struct down *d = xcalloc(1, sizeof(*d));
    *d = (struct down){.write = {.apply = apply_down, .done = on_down, .urgent = true},
                       .sup = s->sup,
                       .id = s->id,
                       .run = xstrdup(s->run)};
    s->sup->writes++;
    store_post(s->sup->store, &d->write);
}

static void watch_run(struct service *s)
{
    bool alone = s->wanted && !s->keep && s->run && !control_has_run(s->sup->control, s->run);
    if (!alone) {
        timer_free(s->linger);
        s->linger = NULL;
    } else if (!s->linger) {
        s->linger = timer_new(s->sup->loop, on_linger, s);
        timer_start(s->linger, LINGER_MS, 0);
    }
}

static void watch_runs(struct supervisor *u)
{
    for (size_t i = 0; i < u->services.len; i++) {
        watch_run(u->services.items[i]);
    }
}

static void forget_secrets(struct supervisor *u, const char *run)
{
    for (size_t i = 0; i < u->services.len; i++) {
        if (u->services.items[i]->wanted && text_eq(u->services.items[i]->run, run)) {
            return;
        }
    }
    for (size_t i = u->secrets.len; i-- > 0;) {
        struct secret_value *v = &u->secrets.items[i];
        if (text_eq(v->run, run)) {
            explicit_bzero(v->value, strlen(v->value));
            free(v->run);
            free(v->name);
            free(v->value);
            *v = u->secrets.items[--u->secrets.len];
        }
    }
}

void supervisor_hello(struct supervisor *u, const char *run)
{
    (void)run;
    watch_runs(u);
}

void supervisor_bye(struct supervisor *u, const char *run)
{
    if (!control_has_run(u->control, run)) {
        forget_secrets(u, run);
    }
    watch_runs(u);
}

/* --- rows --- */

static struct service *by_id(struct supervisor *u, int64_t id)
{
    for (size_t i = 0; i < u->services.len; i++) {
        if (u->services.items[i]->id == id) {
            return u->services.items[i];
        }
    }
    return NULL;
}

/* A run whose service ended before anybody looked, or before the run could listen, waits for this. */
static void tell_down(struct supervisor *u, const struct service_row *row)
{
    CLEANUP(sb_done) struct str text = {0};
    if (row->state == SERVICE_DOWN && row->run && control_has_run(u->control, row->run)) {
        wire_state(row, &text);
        control_tell(u->control, text.data, text.len);
    }
}

static int on_row(const struct service_row *row, void *arg)
{
    struct supervisor *u = arg;
    struct service *s = by_id(u, row->id);
    struct err err = {0};
    if (!s && !row->wanted) {
        tell_down(u, row);
        return 0;
    }
    if (!s) {
        s = service_new(u, row);
        view_changed(s);
    }
    free(s->run);
    s->run = row->run ? xstrdup(row->run) : NULL;
    s->keep = row->keep;
    bool same = row->wanted ? s->wanted && s->wanted->generation == row->generation : !s->wanted;
    if (!same) {
        want_drop(s->wanted);
        s->wanted = row->wanted ? want_read(row->wanted, row->generation, &err) : NULL;
        if (s->wanted) {
            want_make_gateway(s->wanted, u->store, s->id);
        } else if (row->wanted) {
            supervisor_note(u, s->id, "%s: %s", s->name, err.msg);
        }
    }
    watch_run(s);
    return 0;
}

void supervisor_look(struct supervisor *u)
{
    if (u->closing) {
        return;
    }
    struct arena *a = arena_new();
    struct err err = {0};
    if (desired_each(u->store, a, on_row, u, &err) < 0) {
        log_write(LOG_WARN, "serve", "%s", err.msg);
    }
    arena_free(a);
    for (size_t i = 0; i < u->services.len; i++) {
        service_run(u->services.items[i]);
    }
    supervisor_soon(u);
}

/* --- the end --- */

static void sweep_services(struct supervisor *u)
{
    for (size_t i = u->services.len; i-- > 0;) {
        struct service *s = u->services.items[i];
        if (service_is_over(s)) {
            u->services.items[i] = u->services.items[--u->services.len];
            if (s->run) {
                forget_secrets(u, s->run);
            }
            service_free(s);
        }
    }
}

static void on_idle(void *arg)
{
    struct supervisor *u = arg;
    views_apply(u);
    sweep_services(u);
    bool busy = u->services.len > 0 || u->writes > 0 || u->orphans > 0 || u->applying ||
                u->applying_all || u->looking || control_in_use(u->control);
    if (!busy && !u->expected && !u->ended) {
        u->ended = true;
        loop_stop(u->loop);
    }
}

void supervisor_soon(struct supervisor *u)
{
    if (u->idle && !u->ended) {
        loop_idle_post(u->idle);
    }
}

static void on_first_call(void *arg)
{
    struct supervisor *u = arg;
    u->expected = false;
    supervisor_soon(u);
}

static void on_haproxy_restart(const struct err *err, void *arg)
{
    supervisor_note(arg, 0, "%s", err ? err->msg : "HAProxy had ended and was started again");
}

/* What runs goes on, as if we had been killed; the next supervisor takes it up. */
static void on_term(int signum, void *arg)
{
    (void)signum;
    (void)arg;
    _exit(0);
}

/* --- the store is removed --- */

static void on_time_to_end(void *arg)
{
    struct supervisor *u = arg;
    u->ended = true;
    loop_stop(u->loop);
}

/* Nothing can be written or read any more: what runs is ended, and nobody is told. */
static void on_lock(int events, void *arg)
{
    struct supervisor *u = arg;
    struct stat st;
    char buf[4096];
    (void)events;
    (void)!read(u->inotify_fd, buf, sizeof(buf));
    if (u->end_timer || fstat(u->lock_fd, &st) != 0 || st.st_nlink > 0) {
        return;
    }
    supervisor_log("the store %s was removed: everything is ended", store_dir(u->store));
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        for (size_t k = 0; k < s->groups.len; k++) {
            group_retire(s->groups.items[k]);
        }
    }
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        for (size_t k = 0; k < s->groups.len; k++) {
            struct group *g = s->groups.items[k];
            for (size_t n = 0; n < g->slots.len; n++) {
                replica_stop(g->slots.items[n]->replica, REMOVED_GRACE_MS);
            }
        }
    }
    u->end_timer = timer_new(u->loop, on_time_to_end, u);
    timer_start(u->end_timer, 2 * (int64_t)REMOVED_GRACE_MS, 0);
}

static void watch_store(struct supervisor *u)
{
    CLEANUP(cleanup_free) char *path = store_path(u->store, "live/" SERVE_LOCK);
    u->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (u->inotify_fd >= 0 && inotify_add_watch(u->inotify_fd, path, IN_ATTRIB) >= 0) {
        u->lock_watch = watch_new(u->loop, u->inotify_fd, WATCH_READ, on_lock, u);
    }
}

/* --- the beginning --- */

static int say_where(struct supervisor *u, struct err *err)
{
    const char *path = control_path(u->control);
    if (ftruncate(u->lock_fd, 0) != 0 ||
        pwrite(u->lock_fd, path, strlen(path), 0) != (ssize_t)strlen(path)) {
        return err_set(err, ERR_IO, 0, "the supervisor cannot say where it listens");
    }
    return 0;
}

static int open_parts(struct supervisor *u, struct err *err)
{
    u->dir = serve_folder_make(u->store, "", err);
    int rc = u->dir ? child_setup(err) : -(int)ERR_IO;
    rc = rc < 0 ? rc : run_folder_make(u->store, &u->run_dir, err);
    rc = rc < 0 ? rc : http_open(u->loop, &u->ground.http, err);
    if (rc < 0) {
        return rc;
    }
    http_bound(u->ground.http, 0);
    u->ground.loop = u->loop;
    u->ground.store = u->store;
    u->ground.run_dir = u->run_dir;
    u->idle = loop_idle_new(u->loop, on_idle, u);
    struct proxy_options o = {.loop = u->loop,
                              .dir = u->dir,
                              .run_dir = u->run_dir,
                              .on_restart = on_haproxy_restart,
                              .arg = u};
    rc = proxy_open(&o, &u->proxy, err);
    rc = rc < 0 ? rc : control_open(u, &u->control, err);
    rc = rc < 0 ? rc : supervisor_take(u, err);
    return rc < 0 ? rc : say_where(u, err);
}

static void close_parts(struct supervisor *u)
{
    u->closing = true;
    store_flush(u->store);     /* what is under way ends while we are there */
    control_close(u->control); /* who comes now waits for the next supervisor */
    u->control = NULL;
    if (u->proxy) {
        if (u->ended) {
            proxy_stop(u->proxy, STOP_GRACE_MS);
        }
        proxy_close(u->proxy);
    }
    for (size_t i = 0; i < u->services.len; i++) {
        service_free(u->services.items[i]);
    }
    vec_done(&u->services);
    vec_done(&u->secrets);
    if (u->ground.containers) {
        if (u->ended) {
            u->ground.containers->ops->drain(u->ground.containers, DRAIN_LIMIT_MS);
        }
        u->ground.containers->ops->close(u->ground.containers);
    }
    http_close(u->ground.http);
    timer_free(u->look_timer);
    timer_free(u->end_timer);
    watch_free(u->lock_watch);
    if (u->inotify_fd >= 0) {
        close(u->inotify_fd);
    }
    loop_idle_free(u->idle);
    if (u->ended && u->run_dir) {
        fs_remove_tree(u->run_dir, NULL);
    }
    free(u->run_dir);
    free(u->dir);
}

int supervise(const struct supervise_options *o)
{
    struct store *s = o->store;
    struct loop *l = o->loop;
    struct supervisor u = {
        .loop = l, .store = s, .options = o, .lock_fd = -1, .inotify_fd = -1, .expected = true};
    struct err err = {0};
    if (store_live(s, SERVE_LOCK, &u.lock_fd, &err) < 0) {
        if (err.code == ERR_BUSY) {
            return 0; /* another one is there */
        }
        fprintf(stderr, "wf: %s\n", err.msg);
        return 4;
    }
    struct signal_watch *term = signal_new(l, SIGTERM, on_term, NULL);
    struct signal_watch *interrupt = signal_new(l, SIGINT, on_term, NULL);
    struct signal_watch *hangup = signal_new(l, SIGHUP, on_term, NULL);
    int rc = open_parts(&u, &err);
    if (rc < 0) {
        fprintf(stderr, "wf: %s\n", err.msg);
    } else {
        struct timer *first = timer_new(l, on_first_call, &u);
        timer_start(first, FIRST_CALL_MS, 0);
        watch_store(&u);
        watch_runs(&u);
        supervisor_soon(&u);
        loop_run(l);
        timer_free(first);
    }
    close_parts(&u);
    signal_free(term);
    signal_free(interrupt);
    signal_free(hangup);
    store_unlive(s, SERVE_LOCK, u.lock_fd);
    return rc < 0 ? 4 : 0;
}
