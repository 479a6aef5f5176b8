/* SPDX-License-Identifier: Apache-2.0 */
/* The journal tells where a running attempt writes ("live_log" of its started event); once it ended, the log lies elsewhere: the bytes already printed are passed over there. The run belongs to another process, so that
 * looking again is all there is to wait for. */
#include "cli/follow.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/out.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_AGAIN_MS = 200 };

/* What was printed of one instance. */
struct seen {
    off_t printed;      /* bytes of the current attempt's log */
    int attempt;        /* which attempt that is */
    bool ended;         /* its last byte was printed */
    struct str partial; /* a line begun, when several steps are followed */
};

struct follower {
    const struct cli *cli;
    struct past *past;
    const char *word;
    bool prefixed;
    struct seen *seen; /* by index in the run */
    struct str out;
};

static void print_bytes(struct follower *f, const char *name, struct seen *s, const char *data,
                        size_t len)
{
    if (!f->prefixed) {
        out_write(data, len);
        return;
    }
    for (size_t at = 0; at < len;) {
        const char *nl = memchr(data + at, '\n', len - at);
        size_t n = nl ? (size_t)(nl - (data + at)) : len - at;
        sb_add(&s->partial, data + at, n);
        at += n + (nl ? 1 : 0);
        if (nl) {
            sb_printf(&f->out, "%s%s%s | %s\n", tone_on(f->cli->colour, TONE_DIM), name,
                      tone_off(f->cli->colour), sb_text(&s->partial));
            sb_clear(&s->partial);
        }
    }
    out_str(&f->out);
}

static void print_file(struct follower *f, const char *name, struct seen *s, const char *path)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char buf[65536];
    ssize_t n;
    while (fd >= 0 && (n = pread(fd, buf, sizeof(buf), s->printed)) > 0) {
        print_bytes(f, name, s, buf, (size_t)n);
        s->printed += n;
    }
}

/* Where a step's bytes are now; owned by the caller, NULL: nowhere. */
static char *log_path(struct follower *f, const struct past_step *step)
{
    if (!instance_ended((enum instance_state)step->status.state)) {
        json_t *j = NULL;
        char *path = NULL;
        if (step->started &&
            json_read(step->started, strlen(step->started), 64u << 20, &j, NULL) >= 0) {
            const char *live = json_string_value(json_object_get(j, "live_log"));
            path = live ? store_path(f->past->store, live) : NULL;
        }
        json_decref(j);
        return path;
    }
    if (step->log_file) {
        return xstrdup(step->log_file);
    }
    return step->result && step->result->has_log ? objects_path(f->past->store, &step->result->log)
                                                 : NULL;
}

static void print_step(struct follower *f, uint32_t index)
{
    const struct past_step *step = &f->past->run.steps[index];
    struct seen *s = &f->seen[index];
    if (s->ended || step->status.state == INSTANCE_QUEUED) {
        return;
    }
    if (step->status.attempts != s->attempt) {
        s->attempt = step->status.attempts;
        s->printed = 0;
    }
    CLEANUP(cleanup_free) char *path = log_path(f, step);
    if (path) {
        print_file(f, step->name, s, path);
    }
    s->ended = instance_ended((enum instance_state)step->status.state);
    if (s->ended && s->partial.len > 0) {
        print_bytes(f, step->name, s, "\n", 1);
    }
}

static void print_all(struct follower *f)
{
    for (uint32_t i = 0; i < f->past->run.n; i++) {
        const struct past_step *step = &f->past->run.steps[i];
        if (!f->word || text_eq(step->name, f->word) || text_eq(step->step, f->word)) {
            print_step(f, i);
        }
    }
}

static int look_again(struct follower *f)
{
    struct err err = {0};
    struct arena *a = arena_new();
    struct past_run run;
    if (history_load(f->past->store, f->past->run.row.id, a, &run, &err) < 0) {
        arena_free(a);
        return cli_fail(f->cli, &err);
    }
    arena_free(f->past->arena);
    f->past->arena = a;
    f->past->run = run;
    return EXIT_OK;
}

int follow_logs(const struct cli *c, struct past *p, const char *word)
{
    uint32_t n = p->run.n;
    struct follower f = {
        .cli = c, .past = p, .word = word, .seen = xcalloc((size_t)n + 1, sizeof(struct seen))};
    f.prefixed = !word || past_match(&p->run, word, NULL, NULL) > 1;
    int code = EXIT_OK;
    for (;;) {
        bool live = text_eq(p->run.row.status, "running");
        print_all(&f);
        if (!live || code != EXIT_OK) {
            break;
        }
        struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};
        nanosleep(&pause, NULL);
        code = look_again(&f);
    }
    for (uint32_t i = 0; i < n; i++) {
        sb_done(&f.seen[i].partial);
    }
    free(f.seen);
    sb_done(&f.out);
    return code;
}
