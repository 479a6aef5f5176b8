/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/out.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *tone_on(bool colour, enum tone t)
{
    static const char *const escapes[] = {
        [TONE_NONE] = "",          [TONE_GOOD] = "\x1b[32m", [TONE_BAD] = "\x1b[31m",
        [TONE_WARN] = "\x1b[33m",  [TONE_DIM] = "\x1b[2m",   [TONE_BOLD] = "\x1b[1m",
        [TONE_REUSED] = "\x1b[36m"};
    return colour ? escapes[t] : "";
}

const char *tone_off(bool colour)
{
    return colour ? "\x1b[0m" : "";
}

enum tone tone_of_status(const char *status)
{
    static const struct {
        const char *status;
        enum tone tone;
    } tones[] = {{"succeeded", TONE_GOOD}, {"cached", TONE_REUSED}, {"failed", TONE_BAD},
                 {"lost", TONE_BAD},       {"running", TONE_BOLD},  {"interrupted", TONE_WARN},
                 {"cancelled", TONE_WARN}, {"skipped", TONE_DIM},   {"queued", TONE_DIM}};
    for (size_t i = 0; i < ARRAY_LEN(tones); i++) {
        if (text_eq(status, tones[i].status)) {
            return tones[i].tone;
        }
    }
    return TONE_NONE;
}

struct cell {
    char *text;
    enum tone tone;
    size_t width;
};
struct table {
    size_t columns;
    VEC(struct cell) cells;
};

struct table *table_new(size_t columns, const char *const *titles)
{
    struct table *t = xcalloc(1, sizeof(*t));
    t->columns = columns;
    for (size_t i = 0; titles && i < columns; i++) {
        table_cell(t, TONE_DIM, "%s", titles[i]);
    }
    return t;
}

void table_cell(struct table *t, enum tone tone, const char *fmt, ...)
{
    struct str s = {0};
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&s, fmt, ap);
    va_end(ap);
    size_t width = utf8_count(sb_text(&s), s.len);
    *vec_push(&t->cells) = (struct cell){sb_take(&s), tone, width};
}

/* The bytes of the first `columns` code points. */
static size_t cut(const char *text, size_t columns)
{
    size_t i = 0;
    while (text[i] && columns > 0) {
        i++;
        while (((unsigned char)text[i] & 0xc0) == 0x80) {
            i++;
        }
        columns--;
    }
    return i;
}

void table_print(struct table *t, bool colour, int width, struct str *out)
{
    size_t *widths = xcalloc(t->columns, sizeof(size_t));
    for (size_t i = 0; i < t->cells.len; i++) {
        size_t column = i % t->columns;
        widths[column] =
            t->cells.items[i].width > widths[column] ? t->cells.items[i].width : widths[column];
    }
    size_t at = 0;
    for (size_t i = 0; i < t->cells.len; i++) {
        const struct cell *c = &t->cells.items[i];
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns;
        size_t len = strlen(c->text), shown = c->width;
        if (last && width > 0 && at + shown > (size_t)width && (size_t)width > at + 8) {
            shown = (size_t)width - at - 1;
            len = cut(c->text, shown);
        }
        sb_puts(out, tone_on(colour, c->tone));
        sb_add(out, c->text, len);
        if (len < strlen(c->text)) {
            sb_puts(out, "…");
        }
        sb_puts(out, c->tone == TONE_NONE ? "" : tone_off(colour));
        if (last) {
            while (out->len > 0 && out->data[out->len - 1] == ' ') {
                out->data[--out->len] = '\0'; /* the pad before an empty last cell */
            }
            sb_putc(out, '\n');
            at = 0;
            continue;
        }
        for (size_t pad = shown; pad < widths[column] + 2; pad++) {
            sb_putc(out, ' ');
        }
        at += widths[column] + 2;
    }
    free(widths);
}

void table_free(struct table *t)
{
    if (!t) {
        return;
    }
    for (size_t i = 0; i < t->cells.len; i++) {
        free(t->cells.items[i].text);
    }
    vec_done(&t->cells);
    free(t);
}

int out_try(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n >= 0) {
            data += n;
            len -= (size_t)n;
        } else if (errno != EINTR && errno != EAGAIN) {
            return errno;
        }
    }
    return 0;
}

int out_problem(int problem)
{
    if (problem == EPIPE) {
        return 141; /* as a shell reports SIGPIPE: the reader has seen enough */
    }
    fprintf(stderr, "wf: cannot write the output: %s\n", strerror(problem));
    return 4;
}

void out_write(const char *data, size_t len)
{
    int problem = out_try(data, len);
    if (problem != 0) {
        _exit(out_problem(problem));
    }
}

void out_str(struct str *s)
{
    out_write(sb_text(s), s->len);
    sb_clear(s);
}

void add_ago(struct str *s, int64_t ms)
{
    int64_t age = now_ms() - ms;
    if (ms <= 0) {
        sb_puts(s, "-");
    } else if (age < 60000) {
        sb_puts(s, "just now");
    } else if (age < 3600000) {
        sb_printf(s, "%dm ago", (int)(age / 60000));
    } else if (age < 48 * 3600000LL) {
        sb_printf(s, "%dh ago", (int)(age / 3600000));
    } else {
        char text[32];
        format_time_local(ms, text);
        sb_add(s, text, 16);
    }
}

void add_short_digest(struct str *s, const unsigned char *bytes)
{
    for (int i = 0; i < 6; i++) {
        sb_printf(s, "%02x", bytes[i]);
    }
}
