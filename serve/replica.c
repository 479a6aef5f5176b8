/* SPDX-License-Identifier: Apache-2.0 */
/* A replica's life: STARTING -> READY -> STOPPING -> GONE; any of them may end in GONE by itself. Processes are ours (base/child) or were another supervisor's (a pidfd), containers are the engine's. */
#include "serve/replica.h"

#include "base/arena.h"
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/tree.h"
#include "base/units.h"
#include "cache/store.h"
#include "serve/folder.h"
#include "steps/container.h"
#include "steps/executor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEFAULT_GRACE_MS = 10000, DEFAULT_READY_MS = 300000, ENVIRON_MAX = 1 << 20 };

/* --- states --- */

void replica_set_problem(struct replica *r, char *problem)
{
    free(r->problem);
    r->problem = problem;
}

void replica_tell(struct replica *r)
{
    r->on_change(r, r->arg); /* may free r */
}

void replica_set_state(struct replica *r, enum replica_state state)
{
    r->state = state;
    if (state == REPLICA_READY) {
        r->ready_at_us = mono_us();
        if (!r->was_ready) {
            r->was_ready = true;
            replica_record_write(r);
        }
    }
}

/* Processes that carry its token: told by their environment. */
static void each_with_token(const char *token, void (*fn)(pid_t pid, void *arg), void *arg)
{
    CLEANUP(cleanup_free) char *mark = xasprintf("WF_TOKEN=%s", token);
    size_t len = strlen(mark);
    DIR *d = opendir("/proc");
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[300];
        CLEANUP(sb_done) struct str text = {0};
        if (e->d_name[0] < '1' || e->d_name[0] > '9') {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%s/environ", e->d_name);
        if (fs_read_file(path, ENVIRON_MAX, &text, NULL) < 0 || text.len < len) {
            continue;
        }
        const char *at = memmem(text.data, text.len, mark, len + 1);
        if (at && (at == text.data || at[-1] == '\0')) {
            fn((pid_t)strtol(e->d_name, NULL, 10), arg);
        }
    }
    if (d) {
        closedir(d);
    }
}

static void kill_one(pid_t pid, void *arg)
{
    (void)arg;
    kill(pid, SIGKILL);
}

static void gone(struct replica *r, char *problem)
{
    replica_probe_end(r);
    timer_free(r->kill_timer);
    r->kill_timer = NULL;
    if (!r->problem || r->state == REPLICA_READY) {
        replica_set_problem(r, problem);
    } else {
        free(problem);
    }
    r->state = REPLICA_GONE;
    replica_tell(r);
}

/* --- ends --- */

static void on_child_exit(const struct child_exit *how, void *arg)
{
    struct replica *r = arg;
    char *text = how->signal
                     ? xasprintf("was ended by signal %d (%s)", how->signal, strsignal(how->signal))
                     : xasprintf("ended with exit code %d", how->exit_code);
    gone(r, text);
}

static void on_job_end(const struct job_end *end, void *arg)
{
    struct replica *r = arg;
    char *text = end->message ? xstrdup(end->message)
                 : end->outcome == JOB_SIGNALLED
                     ? xasprintf("was ended by signal %d (%s)", end->signal, strsignal(end->signal))
                     : xasprintf("ended with exit code %d", end->exit_code);
    gone(r, text);
}

static void on_adopted_exit(int events, void *arg)
{
    struct replica *r = arg;
    (void)events;
    watch_free(r->watch);
    r->watch = NULL;
    close(r->pidfd);
    r->pidfd = -1;
    each_with_token(r->token, kill_one, NULL);
    gone(r, xstrdup("ended"));
}

static void on_not_begun(void *arg)
{
    struct replica *r = arg;
    timer_free(r->kill_timer);
    r->kill_timer = NULL;
    gone(r, NULL);
}

static void gone_soon(struct replica *r, char *problem)
{
    r->not_begun = true;
    replica_set_problem(r, problem);
    r->kill_timer = timer_new(r->ground->loop, on_not_begun, r);
    timer_start(r->kill_timer, 0, 0);
}

/* --- start --- */

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static char *log_path(struct replica_ground *g, const struct replica_plan *p)
{
    struct err err;
    CLEANUP(cleanup_free) char *dir = serve_folder_make(g->store, "logs", &err);
    CLEANUP(cleanup_free)
    char *name = xasprintf("%lld-%s.%u.log", (long long)p->service, p->slug, p->index);
    return dir ? fs_join(dir, name) : xstrdup("/dev/null");
}

static struct replica *make(struct replica_ground *g, const struct replica_plan *p,
                            void (*on_change)(struct replica *r, void *arg), void *arg)
{
    struct replica *r = xcalloc(1, sizeof(*r));
    *r = (struct replica){
        .ground = g,
        .on_change = on_change,
        .arg = arg,
        .arena = arena_new(),
        .backend = xstrdup(p->backend),
        .server = p->server,
        .index = p->index,
        .service = p->service,
        .key = p->key,
        .name = xstrdup(p->name),
        .ready_path = copy(p->ready_path),
        .ready_script = copy(p->ready_script),
        .ready_timeout_ms = p->ready_timeout_ms > 0 ? p->ready_timeout_ms : DEFAULT_READY_MS,
        .grace_ms = p->grace_ms > 0 ? p->grace_ms : DEFAULT_GRACE_MS,
        .log = log_path(g, p),
        .log_fd = -1,
        .pidfd = -1,
        .started_at_us = mono_us(),
    };
    r->job = arena_alloc(r->arena, sizeof(*r->job));
    return r;
}

static void name_job(struct replica *r)
{
    *r->job = (struct job){.token = r->token,
                           .store_id = store_id(r->ground->store),
                           .run = "serve",
                           .step = r->name,
                           .attempt = 1,
                           .log_fd = -1};
    CLEANUP(cleanup_free) char *below = xasprintf("serve/replicas/%s", r->token);
    r->record = store_path(r->ground->store, below);
}

static int run_process(struct replica *r, struct err *err)
{
    struct child_spec spec = {
        .program = r->job->program,
        .argv = r->job->argv,
        .envp = r->job->env,
        .cwd = r->job->workdir ? r->job->workdir : "/",
        .stdin_fd = -1,
        .stdout_fd = r->log_fd,
        .stderr_fd = r->log_fd,
        .extra_fd = -1,
        .survive = true,
    };
    int rc = child_spawn(r->ground->loop, &spec, on_child_exit, r, &r->child, err);
    if (rc == 0) {
        r->pid = child_pid(r->child);
        r->start_time = child_start_time(r->child);
    }
    return rc;
}

/* The engine is looked for when the first container is to start; one executor for all. */
static int need_containers(struct replica_ground *g, struct err *err)
{
    return g->containers ? 0
                         : container_executor_open(g->loop, g->store, NULL, &g->containers, err);
}

static int run_container(struct replica *r, bool find, struct err *err)
{
    int rc = need_containers(r->ground, err);
    struct executor *x = r->ground->containers;
    if (rc < 0) {
        return rc;
    }
    return find ? x->ops->find(x, r->job, on_job_end, r, &r->handle, err)
                : x->ops->submit(x, r->job, on_job_end, r, &r->handle, err);
}

struct replica *replica_start(struct replica_ground *g, const struct replica_plan *p,
                              void (*on_change)(struct replica *r, void *arg), void *arg)
{
    struct replica *r = make(g, p, on_change, arg);
    struct err err = {0};
    CLEANUP(cleanup_free) char *folder = serve_folder_make(g->store, "replicas", &err);
    id_new(r->token);
    name_job(r);
    r->container = p->program->image != NULL;
    int rc = folder ? replica_prepare(r, p, &err) : -1;
    if (rc == 0) {
        if (p->on_prepared) {
            p->on_prepared(r, arg);
        }
        replica_record_write(r);
        rc = r->container ? run_container(r, false, &err) : run_process(r, &err);
    }
    if (rc < 0) {
        gone_soon(r, xstrdup(err.msg));
        return r;
    }
    if (!r->container) {
        replica_record_write(r);
    }
    replica_probe_begin(r);
    return r;
}

/* --- adoption --- */

struct found {
    pid_t pid;
};

static void note_first(pid_t pid, void *arg)
{
    struct found *f = arg;
    if (!f->pid || pid < f->pid) {
        f->pid = pid;
    }
}

static bool watch_process(struct replica *r, pid_t pid, uint64_t start_time)
{
    struct proc_stat st;
    r->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (r->pidfd < 0 || !proc_stat_read(pid, &st) || st.state == 'Z' ||
        (start_time && st.started != start_time)) {
        return false;
    }
    r->pid = pid;
    r->start_time = st.started;
    r->watch = watch_new(r->ground->loop, r->pidfd, WATCH_READ, on_adopted_exit, r);
    return r->watch != NULL;
}

static bool take_up(struct replica *r, const struct replica_record *rec, struct err *err)
{
    if (rec->container) {
        /* The engine tells all of its log again. */
        if (r->log_fd >= 0 && ftruncate(r->log_fd, 0) == 0) {
            r->log_from = 0;
        }
        return run_container(r, true, err) == 0;
    }
    char boot[40];
    boot_id(boot);
    struct found f = {.pid = (pid_t)rec->pid};
    if (!text_eq(boot, rec->boot)) {
        return false;
    }
    if (!f.pid) {
        each_with_token(r->token, note_first, &f);
    }
    return f.pid && watch_process(r, f.pid, rec->pid ? rec->start_time : 0);
}

struct replica *replica_adopt(struct replica_ground *g, const struct replica_record *rec,
                              const struct replica_plan *p,
                              void (*on_change)(struct replica *r, void *arg), void *arg)
{
    struct replica *r = make(g, p, on_change, arg);
    struct err err = {0};
    memcpy(r->token, rec->token, sizeof(r->token));
    name_job(r);
    r->adopted = true;
    r->container = rec->container;
    r->socket = copy(rec->socket);
    r->folder = copy(rec->folder);
    r->port = rec->port;
    r->was_ready = rec->ready;
    r->log_from = rec->log_from;
    free(r->log);
    r->log = xstrdup(rec->log);
    replica_open_log(r, &err);
    r->job->log_fd = r->log_fd;
    r->job->image = rec->container ? "?" : NULL;
    if (!take_up(r, rec, &err)) {
        each_with_token(r->token, kill_one, NULL);
        gone_soon(r, xstrdup("ended while nobody watched"));
        return r;
    }
    r->state = r->was_ready ? REPLICA_READY : REPLICA_STARTING;
    r->ready_at_us = mono_us();
    replica_record_write(r);
    replica_probe_begin(r);
    return r;
}

/* --- the end --- */

static void on_kill(void *arg)
{
    struct replica *r = arg;
    kill(-r->pid, SIGKILL);
    syscall(SYS_pidfd_send_signal, r->pidfd, SIGKILL, NULL, 0);
}

static void stop_adopted(struct replica *r, int64_t grace_ms)
{
    int64_t at = mono_us() + grace_ms * 1000;
    bool first = !r->kill_timer;
    if (!first && at >= r->kill_at_us) {
        return;
    }
    r->kill_at_us = at;
    if (first) {
        r->kill_timer = timer_new(r->ground->loop, on_kill, r);
    }
    if (first && grace_ms > 0) {
        kill(-r->pid, SIGTERM);
        kill(-r->pid, SIGCONT);
    }
    timer_start(r->kill_timer, grace_ms, 0);
}

void replica_stop(struct replica *r, int64_t grace_ms)
{
    if (r->state == REPLICA_GONE) {
        return;
    }
    r->state = REPLICA_STOPPING;
    replica_probe_end(r);
    int64_t grace = grace_ms < 0 ? r->grace_ms : grace_ms;
    if (r->child) {
        child_stop(r->child, grace);
    } else if (r->handle) {
        r->ground->containers->ops->stop(r->ground->containers, r->handle, grace);
    } else if (!r->not_begun) {
        stop_adopted(r, grace);
    }
}

void replica_free(struct replica *r)
{
    if (!r) {
        return;
    }
    replica_probe_end(r);
    watch_free(r->watch);
    if (r->pidfd >= 0) {
        close(r->pidfd);
    }
    timer_free(r->kill_timer);
    if (r->state == REPLICA_GONE) {
        child_free(r->child);
        if (r->handle) {
            r->ground->containers->ops->release(r->ground->containers, r->handle);
        }
        if (r->folder) {
            fs_remove_tree(r->folder, NULL);
        }
        if (r->script_file) {
            unlink(r->script_file);
        }
        unlink(r->record);
    } /* else child and handle stay: freeing them would end what runs */
    if (r->log_fd >= 0) {
        close(r->log_fd);
    }
    arena_free(r->arena);
    free(r->socket);
    free(r->folder);
    free(r->backend);
    free(r->problem);
    free(r->log);
    free(r->name);
    free(r->record);
    free(r->script_file);
    free(r->ready_path);
    free(r->ready_script);
    free(r->answer);
    free(r);
}
