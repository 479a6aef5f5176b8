/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a scalar's text and the file side by side. Blanks match blanks however many (folding, indentation); an escape is one step. On the first
 * disagreement the file is let go, and lines are counted in the text. */
#include "workflows/place.h"

#include "base/arena.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

static void index_lines(struct diags *d)
{
    size_t count = 1;
    for (const char *p = d->text, *end = d->text + d->text_len;
         (p = memchr(p, '\n', (size_t)(end - p))); p++)
        count++;
    d->lines = arena_calloc(d->arena, count, sizeof(*d->lines));
    d->n_lines = 1;
    for (size_t i = 0; d->n_lines < count; i++) {
        if (d->text[i] == '\n')
            d->lines[d->n_lines++] = (uint32_t)(i + 1);
    }
}

static void step_raw(struct place *p)
{
    char c = *p->raw++;
    if (c == '\n') {
        p->line++;
        p->col = 1;
    } else if (p->raw == p->raw_end || !is_continuation(*p->raw)) {
        p->col++;
    }
}

/* A block's header ("|2- # why") ends its line; anything else that begins with | or > is text. */
static bool at_block_header(const struct place *p)
{
    const char *c = p->raw;
    if (*c != '|' && *c != '>')
        return false;
    for (c++; c < p->raw_end && (*c == '+' || *c == '-' || (*c >= '1' && *c <= '9')); c++)
        ;
    while (c < p->raw_end && (*c == ' ' || *c == '\t'))
        c++;
    return c < p->raw_end && (*c == '\n' || *c == '\r' || *c == '#');
}

static void enter_scalar(struct place *p, const char *begin)
{
    if (p->raw > begin && (p->raw[-1] == '"' || p->raw[-1] == '\'')) {
        p->quote = p->raw[-1];
    } else if (*p->raw == '"' || *p->raw == '\'') {
        p->quote = *p->raw;
        step_raw(p);
    } else if (at_block_header(p)) {
        while (p->raw < p->raw_end && *p->raw != '\n')
            step_raw(p);
    }
}

void place_init(struct place *p, const char *text, size_t len, struct span at, struct diags *d)
{
    *p = (struct place){
        .text = text, .len = len, .line = at.line, .col = at.col, .first_col = at.col};
    if (!d->text || !d->arena || !at.line)
        return;
    if (!d->lines)
        index_lines(d);
    if (at.line > d->n_lines)
        return;
    const char *begin = d->text + d->lines[at.line - 1];
    const char *end = d->text + d->text_len;
    const char *raw = begin;
    uint32_t col = 1;
    /* A generated file may be one long line: go on from where the scalar before began. */
    if (d->seen_line == at.line && d->seen_col <= at.col) {
        raw = d->text + d->seen_at;
        col = d->seen_col;
    }
    for (; raw < end && *raw != '\n' && col < at.col; col++) {
        do {
            raw++;
        } while (raw < end && is_continuation(*raw));
    }
    d->seen_line = at.line;
    d->seen_col = col;
    d->seen_at = (size_t)(raw - d->text);
    if (raw == end)
        return;
    p->raw = raw;
    p->raw_end = end;
    enter_scalar(p, begin);
}

static size_t escape_length(const struct place *p)
{
    if (p->raw_end - p->raw < 2)
        return 0;
    char c = p->raw[1];
    size_t n = c == 'x' ? 4 : c == 'u' ? 6 : c == 'U' ? 10 : 2;
    return (size_t)(p->raw_end - p->raw) < n ? 0 : n;
}

static void step_text(struct place *p)
{
    do {
        p->offset++;
    } while (p->offset < p->len && is_continuation(p->text[p->offset]));
}

static void skip_raw_blanks(struct place *p)
{
    while (p->raw < p->raw_end && is_blank(*p->raw))
        step_raw(p);
}

/* One step along both; false: they disagree. */
static bool step_both(struct place *p)
{
    char c = p->text[p->offset];
    if (p->raw == p->raw_end)
        return false;
    if (p->quote == '"' && *p->raw == '\\') {
        size_t n = escape_length(p);
        if (!n)
            return false;
        bool joins = p->raw[1] == '\n' || p->raw[1] == '\r';
        while (n--)
            step_raw(p);
        if (joins)
            skip_raw_blanks(p);
        else
            step_text(p);
        return true;
    }
    if (is_blank(*p->raw)) {
        skip_raw_blanks(p);
        while (p->offset < p->len && is_blank(p->text[p->offset]))
            p->offset++;
        return true;
    }
    if (*p->raw != c)
        return false;
    if (c == '\'' && p->quote == '\'')
        step_raw(p);
    if (p->raw == p->raw_end)
        return false;
    step_raw(p);
    p->offset++;
    return true;
}

static void step_counting(struct place *p)
{
    if (p->text[p->offset++] == '\n') {
        p->line++;
        p->col = p->first_col;
    } else if (p->offset == p->len || !is_continuation(p->text[p->offset])) {
        p->col++;
    }
}

struct span place_at(struct place *p, size_t offset, size_t len)
{
    while (p->offset < offset) {
        if (p->raw && !step_both(p))
            p->raw = NULL;
        if (!p->raw)
            step_counting(p);
    }
    /* A block's text begins below its header, and folded text may go on with a line of its own. */
    if (p->raw && offset < p->len && !is_blank(p->text[offset]))
        skip_raw_blanks(p);
    return (struct span){.line = p->line, .col = p->col, .len = (uint32_t)len};
}
