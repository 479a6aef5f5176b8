/* SPDX-License-Identifier: Apache-2.0 */
/* child_run: a helper program from start to end, blocking, on any thread. */
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The largest pipe an ordinary user can have holds 1 MiB. */
enum { PIECE = 16 << 10, DRAIN_PIECES = (1 << 20) / PIECE };

/* The ends that we hold; -1: closed or never there. */
struct run {
    const char *program;
    pid_t pid;
    int pidfd;
    int input_fd;
    const char *input; /* what is left of it */
    size_t input_len;
    struct reader {
        int fd;
        struct str *into;
    } readers[2];
    size_t max;
    int64_t deadline; /* 0: none */
    bool exited;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_end(int *fd)
{
    cleanup_close(fd);
    *fd = -1;
}

/* Reads what is there; false: nothing for now. Past `max` it goes on reading, for the program to go
 * on, and keeps nothing. */
static bool read_some(struct run *r, struct reader *from)
{
    char buf[PIECE];
    ssize_t n = read(from->fd, buf, sizeof(buf));
    if (n > 0) {
        size_t room = r->max > from->into->len ? r->max - from->into->len : 0;
        sb_add(from->into, buf, (size_t)n < room ? (size_t)n : room);
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_end(&from->fd);
    }
    return false;
}

static void write_some(struct run *r)
{
    /* A socket, so that a reader that has gone is an error here and not a SIGPIPE. */
    ssize_t n = send(r->input_fd, r->input, r->input_len, MSG_NOSIGNAL);
    if (n > 0) {
        r->input += n;
        r->input_len -= (size_t)n;
    }
    if (r->input_len == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close_end(&r->input_fd);
    }
}

static int wait_for(struct run *r, struct err *err)
{
    struct pollfd p[4] = {
        {.fd = r->pidfd, .events = POLLIN},
        {.fd = r->input_fd, .events = POLLOUT},
        {.fd = r->readers[0].fd, .events = POLLIN},
        {.fd = r->readers[1].fd, .events = POLLIN},
    };
    int64_t left = r->deadline ? r->deadline - now_ms() : -1;
    if (r->deadline && left <= 0) {
        return err_set(err, ERR_TIMEOUT, 0, "'%s' took too long and was ended", r->program);
    }
    int n = poll(p, ARRAY_LEN(p), left > INT32_MAX ? INT32_MAX : (int)left);
    if (n < 0) {
        return errno == EINTR ? 0 : err_set(err, ERR_IO, errno, "cannot wait for '%s'", r->program);
    }
    r->exited = p[0].revents != 0;
    if (p[1].revents) {
        write_some(r);
    }
    for (size_t i = 0; i < ARRAY_LEN(r->readers); i++) {
        if (p[2 + i].revents) {
            read_some(r, &r->readers[i]);
        }
    }
    return 0;
}

static int pump(struct run *r, struct err *err)
{
    int rc = 0;
    while (rc == 0 && !r->exited) {
        rc = wait_for(r, err);
    }
    return rc;
}

/* Takes what stands in the pipes after the end, without waiting for others that may hold them; a
 * bounded amount, for such a one may write for ever. */
static void drain(struct run *r)
{
    for (size_t i = 0; i < ARRAY_LEN(r->readers); i++) {
        int pieces = DRAIN_PIECES;
        while (r->readers[i].fd >= 0 && pieces-- > 0 && read_some(r, &r->readers[i])) {
        }
    }
}

static int open_ends(struct run *r, struct child_spec *spec, struct err *err)
{
    int pair[2];
    if (r->input) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
            return err_set(err, ERR_IO, errno, "cannot make a pipe for '%s'", r->program);
        }
        r->input_fd = pair[0];
        spec->stdin_fd = pair[1];
        shutdown(pair[1], SHUT_WR);
        fcntl(r->input_fd, F_SETFL, O_NONBLOCK);
    }
    int *ends[] = {&spec->stdout_fd, &spec->stderr_fd};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (!r->readers[i].into) {
            continue;
        }
        if (pipe2(pair, O_CLOEXEC) < 0) {
            return err_set(err, ERR_IO, errno, "cannot make a pipe for '%s'", r->program);
        }
        r->readers[i].fd = pair[0];
        *ends[i] = pair[1];
        fcntl(pair[0], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static void close_ends(struct run *r)
{
    close_end(&r->pidfd);
    close_end(&r->input_fd);
    close_end(&r->readers[0].fd);
    close_end(&r->readers[1].fd);
}

/* Runs the started process to its end, which it reaches on an error too. */
static int run_to_end(struct run *r, const char *const *envp, int *ret_status, struct err *err)
{
    struct tree tree;
    int status = 0;
    tree_enter(&tree, r->pid, envp);
    r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
    int rc = r->pidfd < 0
                 ? err_set(err, ERR_IO, errno, "cannot watch the process of '%s'", r->program)
                 : pump(r, err);
    if (rc < 0) {
        kill(-r->pid, SIGKILL);
    }
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR) {
    }
    tree_leader_gone(&tree);
    kill(-r->pid, SIGKILL); /* what it left in its group; a helper's daemons are not ours to end */
    tree_done(&tree);
    if (rc == 0) {
        drain(r);
        *ret_status = status;
    }
    return rc;
}

static char *find_program(const char *name, struct err *err)
{
    char *program = fs_find_program(name, ".", getenv("PATH"));
    if (!program) {
        err_set(err, ERR_NOT_FOUND, 0, "cannot run '%s': there is no such program in PATH", name);
    }
    return program;
}

int child_run(const char *const *argv, const char *input, size_t max, struct str *out,
              struct str *errout, int *ret_status, int64_t timeout_ms, struct err *err)
{
    const struct spawn_ground *ground = NULL;
    int rc = tree_setup(&ground, err);
    CLEANUP(cleanup_free) char *program = rc < 0 ? NULL : find_program(argv[0], err);
    if (!program) {
        return rc < 0 ? rc : -ERR_NOT_FOUND;
    }
    union {
        char **in;
        const char *const *out;
    } env = {.in = environ};
    struct child_spec spec = {.program = program,
                              .argv = argv,
                              .envp = env.out,
                              .stdin_fd = -1,
                              .stdout_fd = -1,
                              .stderr_fd = -1,
                              .extra_fd = -1};
    struct run r = {.program = argv[0],
                    .pidfd = -1,
                    .input_fd = -1,
                    .input = input,
                    .input_len = input ? strlen(input) : 0,
                    .readers = {{-1, out}, {-1, errout}},
                    .max = max,
                    .deadline = timeout_ms > 0 ? now_ms() + timeout_ms : 0};
    rc = open_ends(&r, &spec, err);
    if (rc == 0) {
        rc = spawn_process(&spec, ground, &r.pid, err);
    }
    cleanup_close(&spec.stdin_fd);
    cleanup_close(&spec.stdout_fd);
    cleanup_close(&spec.stderr_fd);
    if (rc == 0) {
        rc = run_to_end(&r, env.out, ret_status, err);
    }
    close_ends(&r);
    return rc;
}
