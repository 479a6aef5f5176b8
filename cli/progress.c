/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/remote.h"
#include "cli/command.h"
#include "cli/out.h"
#include "engine/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHOWN_STEPS = 8, REDRAW_MS = 100 };

struct progress {
    const struct cli *cli;
    struct run *run;
    struct timer *timer;
    int lines; /* drawn now, to be wiped before the next text */
};

/* What is collected about the running steps for one drawing. */
struct drawing {
    struct progress *p;
    struct str *out;
    int shown, hidden;
    int64_t longest_us;
    int longest_fd;
};

static void wipe(struct progress *p, struct str *out)
{
    for (; p->lines > 0; p->lines--) {
        sb_puts(out, "\x1b[1A\x1b[2K");
    }
}

static void draw_running(uint32_t instance, int64_t since_us, int log_fd, int64_t expected_ms,
                         void *arg)
{
    struct drawing *d = arg;
    int64_t elapsed_us = mono_us() - since_us;
    if (log_fd >= 0 && elapsed_us > d->longest_us) {
        d->longest_us = elapsed_us;
        d->longest_fd = log_fd;
    }
    if (d->shown == SHOWN_STEPS) {
        d->hidden++;
        return;
    }
    d->shown++;
    struct str line = {0};
    sb_printf(&line, "%.*s", d->p->cli->width - 24, run_plan(d->p->run)->instances[instance].name);
    sb_puts(&line, "  ");
    add_duration(&line, elapsed_us / 1000 / 100 * 100);
    if (expected_ms > 0) {
        sb_puts(&line, " of ~");
        add_duration(&line, expected_ms);
    }
    bool colour = d->p->cli->err_colour;
    sb_printf(d->out, "  %s%s%s\n", tone_on(colour, TONE_BOLD), sb_text(&line), tone_off(colour));
    sb_done(&line);
    d->p->lines++;
}

static void draw_waiting(uint32_t instance, const char *because, void *arg)
{
    struct drawing *d = arg;
    if (d->shown == SHOWN_STEPS) {
        d->hidden++;
        return;
    }
    d->shown++;
    const char *name = run_plan(d->p->run)->instances[instance].name;
    bool colour = d->p->cli->err_colour;
    int room = d->p->cli->width - 4, used;
    struct str line = {0};
    sb_printf(&line, "%.*s  %s", room / 2, name, because);
    used = (int)line.len < room ? (int)line.len : room;
    while (used > 0 && used < (int)line.len && ((unsigned char)line.data[used] & 0xc0) == 0x80) {
        used--;
    }
    sb_printf(d->out, "  %s%.*s%s\n", tone_on(colour, TONE_DIM), used, sb_text(&line),
              tone_off(colour));
    sb_done(&line);
    d->p->lines++;
}

/* The log's last whole or begun line, printable bytes only. */
static void draw_last_line(struct drawing *d)
{
    char buf[512];
    struct stat st;
    if (d->longest_fd < 0 || fstat(d->longest_fd, &st) != 0 || st.st_size == 0) {
        return;
    }
    off_t from = st.st_size > (off_t)sizeof(buf) ? st.st_size - (off_t)sizeof(buf) : 0;
    ssize_t n = pread(d->longest_fd, buf, sizeof(buf), from);
    while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == '\r')) {
        n--;
    }
    ssize_t begin = n;
    while (begin > 0 && buf[begin - 1] != '\n' && buf[begin - 1] != '\r') {
        begin--;
    }
    int room = d->p->cli->width - 4;
    if (n <= begin) {
        return;
    }
    bool colour = d->p->cli->err_colour;
    sb_printf(d->out, "  %s", tone_on(colour, TONE_DIM));
    for (ssize_t i = begin; i < n && room > 0; i++) {
        unsigned char ch = (unsigned char)buf[i];
        sb_putc(d->out, ch >= 0x20 && ch != 0x7f ? (char)ch : ' ');
        room -= (ch & 0xc0) != 0x80;
    }
    sb_printf(d->out, "%s\n", tone_off(colour));
    d->p->lines++;
}

/* What is on its way from or to the shared cache. */
static void draw_shared(struct progress *p, struct str *out)
{
    struct remote_progress s;
    run_shared(p->run, &s);
    if (s.asking == 0 && (s.waiting == 0 || !run_state_of(p->run)->ended)) {
        return; /* what is sent beside the steps is of no interest */
    }
    sb_printf(out, "  %sshared cache: ", tone_on(p->cli->err_colour, TONE_DIM));
    if (s.asking > 0) {
        sb_printf(out, "asking for %u, ", s.asking);
        add_size(out, s.fetched_bytes);
        sb_puts(out, " fetched");
    } else {
        sb_printf(out, "%u to send, ", s.waiting);
        add_size(out, s.sent_bytes);
        sb_puts(out, " sent");
    }
    sb_printf(out, "%s\n", tone_off(p->cli->err_colour));
    p->lines++;
}

static void draw_counts(struct progress *p, struct str *out)
{
    const struct run_state *s = run_state_of(p->run);
    static const enum instance_state shown[] = {
        INSTANCE_SUCCEEDED, INSTANCE_CACHED, INSTANCE_RUNNING,
        INSTANCE_RETRYING,  INSTANCE_FAILED, INSTANCE_SKIPPED,
        INSTANCE_CANCELLED, INSTANCE_LOST,   INSTANCE_QUEUED};
    bool colour = p->cli->err_colour;
    const char *between = "";
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        uint32_t n = s->counts[shown[i]];
        if (n > 0) {
            const char *name = instance_state_names[shown[i]];
            sb_printf(out, "%s%s%u %s%s", between, tone_on(colour, tone_of_status(name)), n, name,
                      tone_off(colour));
            between = " · ";
        }
    }
    sb_putc(out, '\n');
    p->lines++;
}

static void draw(void *arg)
{
    struct progress *p = arg;
    struct str out = {0};
    wipe(p, &out);
    struct drawing d = {.p = p, .out = &out, .longest_fd = -1};
    run_each_running(p->run, draw_running, &d);
    run_each_waiting(p->run, draw_waiting, &d);
    if (d.hidden > 0) {
        sb_printf(&out, "  and %d more\n", d.hidden);
        p->lines++;
    }
    draw_last_line(&d);
    draw_shared(p, &out);
    draw_counts(p, &out);
    fwrite(sb_text(&out), 1, out.len, stderr);
    fflush(stderr);
    sb_done(&out);
}

struct progress *progress_new(const struct cli *c, struct loop *l, struct run *r)
{
    struct progress *p = xcalloc(1, sizeof(*p));
    p->cli = c;
    p->run = r;
    p->timer = timer_new(l, draw, p);
    timer_start(p->timer, REDRAW_MS, REDRAW_MS);
    return p;
}

void progress_say(struct progress *p, struct str *text)
{
    struct str out = {0};
    bool drawn = p->lines > 0;
    wipe(p, &out);
    fwrite(sb_text(&out), 1, out.len, stderr);
    fflush(stderr);
    sb_done(&out);
    out_str(text);
    if (drawn) {
        draw(p); /* at once: until the timer's next turn the display would be gone, and flicker */
    }
}

void progress_free(struct progress *p)
{
    if (!p) {
        return;
    }
    timer_free(p->timer);
    struct str out = {0};
    wipe(p, &out);
    fwrite(sb_text(&out), 1, out.len, stderr);
    fflush(stderr);
    sb_done(&out);
    free(p);
}
