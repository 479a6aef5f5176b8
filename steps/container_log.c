/* SPDX-License-Identifier: Apache-2.0 */
/* The engine sends a container's output in frames: one byte stream number, three zeros, four bytes length
 * (big-endian), then the bytes. They go to the job's log as they are. A file is written to directly; a pipe,
 * whose reader may be on our own thread, only as far as it takes, the rest is kept until it takes more. */
#include "base/loop.h"
#include "steps/container_impl.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void joblog_init(struct job_log *g, struct loop *l, int fd, void (*on_flushed)(void *arg),
                 void *arg)
{
    struct stat st;
    memset(g, 0, sizeof(*g));
    g->loop = l;
    g->fd = fd;
    g->is_pipe = fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
    g->on_flushed = on_flushed;
    g->arg = arg;
}

void joblog_begin(struct job_log *g)
{
    g->head_len = 0;
    g->left = 0;
    memset(g->seen, 0, sizeof(g->seen));
}

bool joblog_flushed(const struct job_log *g)
{
    return g->pending_at == g->pending.len;
}

void joblog_done(struct job_log *g)
{
    watch_free(g->watch);
    g->watch = NULL;
    sb_done(&g->pending);
    g->pending_at = 0;
}

static size_t write_file(struct job_log *g, int fd, const char *data, size_t len)
{
    size_t at = 0;
    while (at < len && !g->failed) {
        ssize_t n = write(fd, data + at, len - at);
        if (n >= 0) {
            at += (size_t)n;
        } else if (errno != EINTR) {
            g->failed = errno;
        }
    }
    return len;
}

/* How much went without waiting: a pipe that is writable takes PIPE_BUF bytes. */
static size_t write_pipe(struct job_log *g, const char *data, size_t len)
{
    size_t at = 0;
    while (at < len && !g->failed) {
        struct pollfd p = {.fd = g->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) <= 0) {
            return at;
        }
        if (!(p.revents & POLLOUT) || p.revents & POLLERR) {
            g->failed = EPIPE; /* nobody reads any more; writing would raise SIGPIPE */
            break;
        }
        ssize_t n = write(g->fd, data + at, len - at < PIPE_BUF ? len - at : PIPE_BUF);
        if (n >= 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN) {
            return at;
        } else if (errno != EINTR) {
            g->failed = errno;
        }
    }
    return len;
}

static void on_writable(int events, void *arg)
{
    struct job_log *g = arg;
    (void)events;
    g->pending_at += write_pipe(g, g->pending.data + g->pending_at, g->pending.len - g->pending_at);
    if (joblog_flushed(g)) {
        joblog_done(g);
        g->on_flushed(g->arg);
    }
}

static void write_log(struct job_log *g, const char *data, size_t len)
{
    if (g->first_len < FIRST_WORDS) {
        size_t room = FIRST_WORDS - g->first_len;
        size_t n = len < room ? len : room;
        memcpy(g->first + g->first_len, data, n);
        g->first_len += n;
    }
    if (g->failed || g->fd < 0) {
        return;
    }
    size_t done = 0;
    if (joblog_flushed(g)) {
        done = g->is_pipe ? write_pipe(g, data, len) : write_file(g, g->fd, data, len);
    }
    if (done < len) {
        sb_add(&g->pending, data + done, len - done);
        if (!g->watch) {
            g->watch = watch_new(g->loop, g->fd, WATCH_WRITE, on_writable, g);
        }
        if (!g->watch) { /* cannot be waited for */
            g->pending_at = g->pending.len;
            g->failed = EIO;
        }
    }
}

/* Bytes of a stream that were written before the engine was lost come again: they are passed over. */
static void write_payload(struct job_log *g, const char *data, size_t len)
{
    uint64_t *seen = &g->seen[g->stream], *kept = &g->kept[g->stream];
    uint64_t again = *kept > *seen ? *kept - *seen : 0;
    size_t skip = again < len ? (size_t)again : len;
    *seen += len;
    *kept += len - skip;
    if (skip < len && g->stream == 1 && g->stdout_fd > 0) {
        write_file(g, g->stdout_fd, data + skip, len - skip);
    } else if (skip < len) {
        write_log(g, data + skip, len - skip);
    }
}

void joblog_data(struct job_log *g, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        if (g->left == 0) {
            size_t want = FRAME_HEAD - g->head_len;
            size_t n = len < want ? len : want;
            memcpy(g->head + g->head_len, p, n);
            g->head_len += n;
            p += n;
            len -= n;
            if (g->head_len == FRAME_HEAD) {
                const unsigned char *b = g->head;
                g->left = (uint32_t)b[4] << 24 | (uint32_t)b[5] << 16 | (uint32_t)b[6] << 8 | b[7];
                g->stream = b[0] < STREAM_COUNT ? b[0] : 0;
                g->head_len = 0;
            }
            continue;
        }
        size_t n = len < g->left ? len : g->left;
        write_payload(g, p, n);
        g->left -= (uint32_t)n;
        p += n;
        len -= n;
    }
}
