/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: the masking thread owns the reading end and the masker; it ends at the pipe's end or when told through `stop`, then wakes the loop. */
#include "steps/mask.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A line of a secret of several lines is hidden on its own from this length on; shorter ones ("}", "--") are everywhere. */
#define SHORTEST_LINE 4

struct masker {
    VEC(char *) secrets; /* longest first */
    bool first[256];     /* a secret begins with this byte */
    size_t longest;
    struct str held;
};

static void add_secret(struct masker *m, const char *text, size_t len)
{
    if (len == 0) {
        return;
    }
    *vec_push(&m->secrets) = xstrndup(text, len);
    m->first[(unsigned char)text[0]] = true;
    m->longest = len > m->longest ? len : m->longest;
}

static int by_length(const void *a, const void *b)
{
    size_t left = strlen(*(char *const *)a), right = strlen(*(char *const *)b);

    return left < right ? 1 : left > right ? -1 : 0;
}

struct masker *masker_new(const char *const *secrets, size_t count)
{
    struct masker *m = xcalloc(1, sizeof(*m));

    for (size_t k = 0; k < count; k++) {
        const char *s = secrets[k];
        size_t len = s ? strlen(s) : 0;
        add_secret(m, s, len);
        while (len > 0 && (s[len - 1] == '\n' || s[len - 1] == '\r')) {
            len--; /* the file it came from ended in a line end; what is printed may not */
        }
        if (s && s[len]) {
            add_secret(m, s, len);
        }
        for (const char *line = s; line && strchr(line, '\n');) {
            size_t n = strcspn(line, "\n");
            if (n >= SHORTEST_LINE) {
                add_secret(m, line, n);
            }
            line += n + (line[n] == '\n');
        }
    }
    if (m->secrets.len > 1) {
        qsort(m->secrets.items, m->secrets.len, sizeof(char *), by_length);
    }
    return m;
}

void masker_free(struct masker *m)
{
    if (!m) {
        return;
    }
    for (size_t k = 0; k < m->secrets.len; k++) {
        explicit_bzero(m->secrets.items[k], strlen(m->secrets.items[k]));
        free(m->secrets.items[k]);
    }
    vec_done(&m->secrets);
    sb_done(&m->held);
    free(m);
}

/* What begins at `p`: the length of a secret; 0: none; SIZE_MAX: perhaps one, more must come. */
static size_t secret_at(const struct masker *m, const char *p, size_t left)
{
    for (size_t k = 0; k < m->secrets.len; k++) {
        size_t len = strlen(m->secrets.items[k]);
        if (memcmp(m->secrets.items[k], p, len < left ? len : left) == 0) {
            return len <= left ? len : SIZE_MAX;
        }
    }
    return 0;
}

static void scan(struct masker *m, bool last, struct str *out)
{
    const char *data = sb_text(&m->held);
    size_t len = m->held.len, at = 0, plain = 0;

    while (at < len) {
        size_t found = m->first[(unsigned char)data[at]] ? secret_at(m, data + at, len - at) : 0;
        if (found == SIZE_MAX && !last) {
            break;
        }
        if (found == 0 || found == SIZE_MAX) {
            at++;
            continue;
        }
        sb_add(out, data + plain, at - plain);
        sb_add(out, "***", 3);
        at += found;
        plain = at;
    }
    sb_add(out, data + plain, at - plain);
    memmove(m->held.data, data + at, len - at);
    sb_truncate(&m->held, len - at);
}

void masker_add(struct masker *m, const char *data, size_t len, struct str *out)
{
    sb_add(&m->held, data, len);
    if (m->held.len > 0) {
        scan(m, false, out);
    }
}

void masker_end(struct masker *m, struct str *out)
{
    /* At the end the longest may be cut off while a shorter secret stands there in full. */
    while (m->held.len > 0) {
        size_t best = 0;
        for (size_t k = 0; k < m->secrets.len; k++) {
            size_t len = strlen(m->secrets.items[k]);
            if (len > best && len <= m->held.len &&
                memcmp(m->secrets.items[k], m->held.data, len) == 0) {
                best = len;
            }
        }
        if (best > 0) {
            sb_add(out, "***", 3);
        } else {
            sb_putc(out, m->held.data[0]);
            best = 1;
        }
        memmove(m->held.data, m->held.data + best, m->held.len - best);
        sb_truncate(&m->held, m->held.len - best);
    }
}

/* --- the pipe --- */

struct mask {
    struct masker *masker;
    pthread_t thread;
    bool joined;
    int read_fd, write_fd, log_fd, stop_fd;
    struct waker *ended;
    struct timer *limit;
    bool has_ended; /* loop thread */
    void (*on_done)(void *arg);
    void *arg;
};

static void *run(void *arg)
{
    struct mask *m = arg;
    CLEANUP(cleanup_free) char *buf = xmalloc(65536);
    CLEANUP(sb_done) struct str out = {0};
    struct pollfd fds[2] = {{.fd = m->read_fd, .events = POLLIN},
                            {.fd = m->stop_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            break;
        }
        if (fds[1].revents) {
            break;
        }
        ssize_t n = fds[0].revents ? read(m->read_fd, buf, 65536) : -1;
        if (n == 0) {
            break;
        }
        if (n > 0) {
            sb_clear(&out);
            masker_add(m->masker, buf, (size_t)n, &out);
            fs_write_all(m->log_fd, sb_text(&out), out.len, NULL);
        }
    }
    sb_clear(&out);
    masker_end(m->masker, &out);
    fs_write_all(m->log_fd, sb_text(&out), out.len, NULL);
    waker_wake(m->ended);
    return NULL;
}

static void tell_stop(struct mask *m)
{
    uint64_t one = 1;

    if (write(m->stop_fd, &one, sizeof(one)) < 0) {
        return; /* told already */
    }
}

static void on_limit(void *arg)
{
    tell_stop(arg);
}

static void finished(struct mask *m)
{
    void (*fn)(void *) = m->on_done;

    m->on_done = NULL;
    if (fn) {
        timer_stop(m->limit);
        fn(m->arg);
    }
}

static void on_ended(void *arg)
{
    struct mask *m = arg;

    m->has_ended = true;
    finished(m);
}

int mask_open(struct loop *l, const char *const *secrets, size_t count, int log_fd,
              struct mask **ret, int *ret_fd, struct err *err)
{
    struct mask *m = xcalloc(1, sizeof(*m));
    int fds[2];

    m->read_fd = m->write_fd = m->stop_fd = -1;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        free(m);
        return err_set(err, ERR_IO, errno, "cannot make a pipe for the log");
    }
    m->read_fd = fds[0];
    m->write_fd = fds[1];
    fcntl(m->read_fd, F_SETFL, O_NONBLOCK);
    m->stop_fd = eventfd(0, EFD_CLOEXEC);
    m->log_fd = log_fd;
    m->masker = masker_new(secrets, count);
    m->ended = waker_new(l, on_ended, m);
    m->limit = timer_new(l, on_limit, m);
    int failed = m->stop_fd < 0 ? errno : pthread_create(&m->thread, NULL, run, m);
    if (failed) {
        m->joined = true;
        mask_free(m);
        return err_set(err, ERR_IO, failed, "cannot start a thread for the log");
    }
    *ret = m;
    *ret_fd = m->write_fd;
    return 0;
}

void mask_finish(struct mask *m, int64_t limit_ms, void (*on_done)(void *arg), void *arg)
{
    m->on_done = on_done;
    m->arg = arg;
    if (m->write_fd >= 0) {
        close(m->write_fd);
        m->write_fd = -1;
    }
    timer_start(m->limit, m->has_ended ? 0 : limit_ms, 0);
    if (m->has_ended) {
        waker_wake(m->ended);
    }
}

void mask_free(struct mask *m)
{
    if (!m) {
        return;
    }
    if (!m->joined) {
        tell_stop(m);
        pthread_join(m->thread, NULL);
    }
    waker_free(m->ended);
    timer_free(m->limit);
    masker_free(m->masker);
    int fds[] = {m->read_fd, m->write_fd, m->stop_fd};
    for (size_t k = 0; k < ARRAY_LEN(fds); k++) {
        if (fds[k] >= 0) {
            close(fds[k]);
        }
    }
    free(m);
}
