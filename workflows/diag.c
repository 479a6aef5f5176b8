/* SPDX-License-Identifier: Apache-2.0 */
/* The list of diagnostics of one file and how it is shown. */
#include "workflows/diag.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/yaml_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    DIAGS_SHOWN = 50, /* errors kept; a reader fixes the first ones anyway */
    LINE_SHOWN = 120, /* code points of a source line around the caret */
    LINE_BEFORE = 60, /* of these at most so many before the caret */
};

void diags_init(struct diags *d, const char *file)
{
    *d = (struct diags){.arena = arena_new(), .file = xstrdup(file)};
}

void diags_done(struct diags *d)
{
    if (d == NULL)
        return;
    arena_free(d->arena);
    free(d->file);
    free(d->text);
    free(d->items);
    *d = (struct diags){0};
}

void diags_set_text(struct diags *d, const char *text, size_t len)
{
    free(d->text);
    d->text = xmalloc(len + 1); /* the text may hold NULs: they are refused later */
    if (len)
        memcpy(d->text, text, len);
    d->text[len] = '\0';
    d->text_len = len;
    d->lines = NULL;
    d->n_lines = 0;
    d->seen_line = 0;
}

static bool same_diag(const struct diag *a, struct span at, const char *message)
{
    return a->span.line == at.line && a->span.col == at.col && strcmp(a->message, message) == 0;
}

/* The same sentence about the same place is said once: a default is looked at for every step. */
__attribute__((format(printf, 5, 0))) static void diag_add(struct diags *d, enum severity severity,
                                                           struct span at, const char *code,
                                                           const char *fmt, va_list ap)
{
    size_t *counter = severity == SEVERITY_ERROR ? &d->errors : &d->warnings;
    struct str text = {0};
    sb_vprintf(&text, fmt, ap);
    for (size_t i = 0; i < d->len; i++) {
        if (same_diag(&d->items[i], at, sb_text(&text))) {
            sb_done(&text);
            d->deaf = true;
            return;
        }
    }
    (*counter)++;
    d->deaf = *counter > DIAGS_SHOWN;
    if (!d->deaf) {
        if (d->len == d->cap) {
            d->cap = d->cap ? 2 * d->cap : 16;
            d->items = xreallocarray(d->items, d->cap, sizeof(*d->items));
        }
        d->items[d->len++] = (struct diag){.severity = severity,
                                           .span = at,
                                           .code = arena_strdup(d->arena, code),
                                           .message = arena_strdup(d->arena, sb_text(&text))};
    }
    sb_done(&text);
}

void diag_error(struct diags *d, struct span at, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_add(d, SEVERITY_ERROR, at, code, fmt, ap);
    va_end(ap);
}

void diag_warn(struct diags *d, struct span at, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_add(d, SEVERITY_WARNING, at, code, fmt, ap);
    va_end(ap);
}

/* NULL when there is none, or when the newest one was only counted. */
static struct diag *newest(struct diags *d)
{
    if (d->len == 0 || d->deaf)
        return NULL;
    return &d->items[d->len - 1];
}

void diag_did_you_mean(struct diags *d, const char *nearest)
{
    if (nearest != NULL)
        diag_hint(d, "did you mean '%s'?", nearest);
}

void diag_hint(struct diags *d, const char *fmt, ...)
{
    struct diag *last = newest(d);
    if (last == NULL || last->hint != NULL)
        return;
    va_list ap;
    va_start(ap, fmt);
    struct str text = {0};
    sb_vprintf(&text, fmt, ap);
    va_end(ap);
    last->hint = arena_strdup(d->arena, sb_text(&text));
    sb_done(&text);
}

/* --- order --- */

static int by_place(const void *pa, const void *pb)
{
    const struct diag *const *a = pa, *const *b = pb;
    if ((*a)->span.line != (*b)->span.line)
        return (*a)->span.line < (*b)->span.line ? -1 : 1;
    if ((*a)->span.col != (*b)->span.col)
        return (*a)->span.col < (*b)->span.col ? -1 : 1;
    return *a < *b ? -1 : *a > *b; /* as they came */
}

/* Owned by the caller. */
static const struct diag **sorted(const struct diags *d)
{
    const struct diag **list = xcalloc(d->len + 1, sizeof(*list));
    for (size_t i = 0; i < d->len; i++)
        list[i] = &d->items[i];
    qsort((void *)list, d->len, sizeof(*list), by_place);
    return list;
}

/* --- source lines --- */

/* Goes on from a known line start: diagnostics come sorted, so all lines together cost one pass. */
struct line_cursor {
    const char *at, *end;
    uint32_t line;
};

static struct slice source_line(struct line_cursor *c, uint32_t line)
{
    while (c->line < line && c->at < c->end) {
        size_t n = yaml_break_len(c->at, c->end);
        c->at += n > 0 ? n : 1;
        c->line += n > 0;
    }
    if (c->line != line)
        return slice_of("", 0);
    const char *p = c->at;
    while (p < c->end && yaml_break_len(p, c->end) == 0)
        p++;
    return slice_of(c->at, (size_t)(p - c->at));
}

static bool continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The byte offset of the n-th code point (0-based), at most len. */
static size_t code_point(struct slice s, size_t n)
{
    size_t i = 0;
    while (i < s.len && n > 0) {
        i++;
        while (i < s.len && continuation(s.data[i]))
            i++;
        n--;
    }
    return i;
}

/* Tabs as one blank and other control characters as '?', so that the caret stands right and a terminal is not steered. */
static void add_visible(struct str *out, const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        sb_putc(out, c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '?' : p[i]);
    }
}

static void add_caret(const struct diag *g, struct slice line, bool colour, struct str *out)
{
    size_t points = utf8_count(line.data, line.len);
    size_t col = g->span.col > 0 ? g->span.col - 1 : 0;
    if (col > points)
        col = points;
    size_t first = points > LINE_SHOWN && col > LINE_BEFORE ? col - LINE_BEFORE : 0;
    size_t last = points - first > LINE_SHOWN ? first + LINE_SHOWN : points;
    size_t from = code_point(line, first), to = code_point(line, last);
    sb_puts(out, first > 0 ? "  …" : "  ");
    add_visible(out, line.data + from, to - from);
    sb_puts(out, last < points ? "…\n  " : "\n  ");
    for (size_t i = 0; i < col - first + (first > 0); i++)
        sb_putc(out, ' ');
    if (colour)
        sb_puts(out, "\x1b[32m");
    sb_putc(out, '^');
    for (size_t i = 1; i < g->span.len && col + i < last; i++)
        sb_putc(out, '~');
    sb_puts(out, colour ? "\x1b[0m\n" : "\n");
}

static void add_diag(const struct diags *d, const struct diag *g, bool colour,
                     struct line_cursor *cursor, struct str *out)
{
    bool error = g->severity == SEVERITY_ERROR;
    if (g->span.line > 0)
        sb_printf(out, "%s:%u:%u: ", d->file, g->span.line, g->span.col);
    else
        sb_printf(out, "%s: ", d->file);
    if (colour)
        sb_puts(out, error ? "\x1b[1;31m" : "\x1b[1;33m");
    sb_puts(out, error ? "error:" : "warning:");
    sb_puts(out, colour ? "\x1b[0m " : " ");
    add_visible(out, g->message, strlen(g->message));
    if (g->hint != NULL) {
        sb_puts(out, " (");
        add_visible(out, g->hint, strlen(g->hint));
        sb_putc(out, ')');
    }
    sb_putc(out, '\n');
    if (d->text == NULL || g->span.line == 0)
        return;
    struct slice line = source_line(cursor, g->span.line);
    if (line.len > 0 && utf8_valid(line.data, line.len, NULL))
        add_caret(g, line, colour, out);
}

static void add_count(struct str *out, size_t n, const char *what)
{
    sb_printf(out, "%zu %s%s", n, what, n == 1 ? "" : "s");
}

void diags_render(const struct diags *d, bool colour, struct str *out)
{
    if (d->errors + d->warnings == 0)
        return;
    const struct diag **list = sorted(d);
    struct line_cursor cursor = {
        .at = d->text, .end = d->text ? d->text + d->text_len : NULL, .line = 1};
    if (d->text != NULL && d->text_len >= 3 && memcmp(d->text, "\xef\xbb\xbf", 3) == 0)
        cursor.at += 3;
    for (size_t i = 0; i < d->len; i++)
        add_diag(d, list[i], colour, &cursor, out);
    free((void *)list);
    sb_printf(out, "%s: ", d->file);
    if (d->errors > 0)
        add_count(out, d->errors, "error");
    if (d->errors > 0 && d->warnings > 0)
        sb_puts(out, ", ");
    if (d->warnings > 0)
        add_count(out, d->warnings, "warning");
    size_t hidden = d->errors + d->warnings - d->len;
    if (hidden > 0)
        sb_printf(out, " (%zu not shown)", hidden);
    sb_putc(out, '\n');
}

void diags_json(const struct diags *d, struct jsonw *w)
{
    const struct diag **list = sorted(d);
    jw_array(w);
    for (size_t i = 0; i < d->len; i++) {
        jw_object(w);
        jw_kv_text(w, "file", d->file);
        jw_kv_i64(w, "line", list[i]->span.line);
        jw_kv_i64(w, "column", list[i]->span.col);
        jw_kv_i64(w, "length", list[i]->span.len);
        jw_kv_text(w, "severity", list[i]->severity == SEVERITY_ERROR ? "error" : "warning");
        jw_kv_text(w, "code", list[i]->code);
        jw_kv_text(w, "message", list[i]->message);
        jw_kv_text(w, "hint", list[i]->hint);
        jw_end_object(w);
    }
    jw_end_array(w);
    free((void *)list);
}
