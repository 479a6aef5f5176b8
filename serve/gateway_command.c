/* SPDX-License-Identifier: Apache-2.0 */
/* Own commands that combine answers: the list on standard input, the answer on standard output, standard error is ours. */
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/vec.h"
#include "serve/gateway_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PRINTED_MAX = 256 << 20 };

struct command {
    struct commands *all;
    struct command *next; /* waiting */
    const struct gateway_config *config;
    struct str input, printed;
    struct child *child;
    struct watch *watch;
    struct timer *timer;
    int out; /* our end of its standard output */
    bool timeout, too_much, exited;
    command_fn on_done;
    void *arg;
};

struct commands {
    struct loop *loop;
    struct command *waiting, **end;
    unsigned running, max;
    struct loop_idle *start;
};

static void end(struct command *c, const char *why)
{
    struct commands *all = c->all;

    watch_free(c->watch);
    if (c->out >= 0) {
        close(c->out);
    }
    timer_free(c->timer);
    child_free(c->child);
    c->on_done(why ? NULL : &c->printed, c->timeout, why, c->arg);
    sb_done(&c->input);
    sb_done(&c->printed);
    free(c);
    all->running--;
    if (all->waiting) {
        loop_idle_post(all->start);
    }
}

/* False: nothing for now, or the end. */
static bool read_some(struct command *c)
{
    char buffer[64 << 10];
    ssize_t n = read(c->out, buffer, sizeof(buffer));

    if (n < 0 && errno == EINTR) {
        return true;
    }
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            watch_free(c->watch);
            c->watch = NULL;
        }
        return false;
    }
    if (c->printed.len + (size_t)n > PRINTED_MAX) {
        c->too_much = true;
        if (!c->exited) {
            child_stop(c->child, 0);
        }
        watch_free(c->watch);
        c->watch = NULL;
        return false;
    }
    sb_add(&c->printed, buffer, (size_t)n);
    return true;
}

static void on_output(int events, void *arg)
{
    (void)events;
    read_some(arg);
}

static void on_exit_of(const struct child_exit *how, void *arg)
{
    struct command *c = arg;
    const char *name = fs_basename(c->config->command[0]);
    CLEANUP(cleanup_free) char *why = NULL;

    c->exited = true;
    while (c->watch && read_some(c)) {
    }
    if (c->timeout) {
        why = xasprintf("the command %s that combines the answers took longer than %g s", name,
                        (double)c->config->timeout_ms / 1000);
    } else if (c->too_much) {
        why = xasprintf("the command %s that combines the answers printed more than 256 MiB", name);
    } else if (how->signal) {
        why = xasprintf("the command %s that combines the answers was ended by signal %d", name,
                        how->signal);
    } else if (how->exit_code) {
        why = xasprintf("the command %s that combines the answers failed with exit code %d", name,
                        how->exit_code);
    }
    end(c, why);
}

static void on_time(void *arg)
{
    struct command *c = arg;

    c->timeout = true;
    child_stop(c->child, 0);
}

static int input_file(const struct str *input, int *ret, struct err *err)
{
    CLEANUP(cleanup_close) int fd = memfd_create("wf-answers", MFD_CLOEXEC);

    if (fd < 0) {
        return err_set(err, ERR_IO, errno, "no memory file");
    }
    int rc = fs_write_all(fd, input->data, input->len, err);
    if (rc == 0 && lseek(fd, 0, SEEK_SET) != 0) {
        rc = err_set(err, ERR_IO, errno, "memory file");
    }
    if (rc == 0) {
        *ret = take_fd(&fd);
    }
    return rc;
}

static int spawn(struct command *c, struct err *err)
{
    const struct gateway_config *g = c->config;
    const char *path = NULL;
    VEC(const char *) env = {0};
    CLEANUP(cleanup_close) int in = -1, theirs = -1;
    char id[ID_LEN + 1];
    int ends[2];

    for (const char *const *e = g->env; *e; e++) {
        *vec_push(&env) = *e;
        path = strncmp(*e, "PATH=", 5) == 0 ? *e + 5 : path;
    }
    id_new(id);
    CLEANUP(cleanup_free) char *token = xasprintf("WF_TOKEN=%s", id);
    *vec_push(&env) = token;
    *vec_push(&env) = NULL;
    CLEANUP(cleanup_free) char *program = fs_find_program(g->command[0], NULL, path);
    int rc = input_file(&c->input, &in, err);
    sb_done(&c->input);
    if (rc == 0 && !program) {
        rc = err_set(err, ERR_NOT_FOUND, 0, "%s: not found", g->command[0]);
    }
    if (rc == 0 && pipe2(ends, O_CLOEXEC) != 0) {
        rc = err_set(err, ERR_IO, errno, "no pipe");
    }
    if (rc == 0) {
        c->out = ends[0];
        theirs = ends[1];
        fcntl(c->out, F_SETFL, O_NONBLOCK);
        struct child_spec spec = {.program = program,
                                  .argv = g->command,
                                  .envp = env.items,
                                  .stdin_fd = in,
                                  .stdout_fd = theirs,
                                  .stderr_fd = STDERR_FILENO,
                                  .extra_fd = -1};
        rc = child_spawn(c->all->loop, &spec, on_exit_of, c, &c->child, err);
    }
    vec_done(&env);
    return rc;
}

static void run(struct command *c)
{
    struct err err = {0};

    c->all->running++;
    if (spawn(c, &err) != 0) {
        CLEANUP(cleanup_free)
        char *why =
            xasprintf("the command that combines the answers cannot be started: %s", err.msg);
        end(c, why);
        return;
    }
    c->watch = watch_new(c->all->loop, c->out, WATCH_READ, on_output, c);
    c->timer = timer_new(c->all->loop, on_time, c);
    timer_start(c->timer, c->config->timeout_ms, 0);
}

static void start_waiting(void *arg)
{
    struct commands *all = arg;

    while (all->waiting && all->running < all->max) {
        struct command *c = all->waiting;
        all->waiting = c->next;
        if (!all->waiting) {
            all->end = &all->waiting;
        }
        run(c);
    }
}

void command_start(struct commands *all, const struct gateway_config *config, struct str *input,
                   command_fn on_done, void *arg)
{
    struct command *c = xcalloc(1, sizeof(*c));

    *c = (struct command){
        .all = all, .config = config, .input = *input, .out = -1, .on_done = on_done, .arg = arg};
    *input = (struct str){0};
    *all->end = c;
    all->end = &c->next;
    loop_idle_post(all->start);
}

struct commands *commands_new(struct loop *l)
{
    struct commands *all = xcalloc(1, sizeof(*all));
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    all->loop = l;
    all->end = &all->waiting;
    all->max = n < 2 ? 4 : (unsigned)n * 2;
    all->start = loop_idle_new(l, start_waiting, all);
    return all;
}

void commands_free(struct commands *all)
{
    if (all) {
        WF_ASSERT(!all->waiting && !all->running);
        loop_idle_free(all->start);
        free(all);
    }
}
