/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON writer. A bit per open level says whether something was written in it; after a key the bit is set again, so
 * that the value which follows adds no comma. */
#include "base/json.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LEVELS 63

/* What becomes of a byte that is no UTF-8. */
enum bad_bytes { BAD_REPLACE, BAD_SURROGATE };

void jw_init(struct jsonw *w, struct str *out, bool pretty)
{
    *w = (struct jsonw){.out = out, .pretty = pretty};
}

static void new_line(struct jsonw *w)
{
    static const char blanks[] = "                                ";
    size_t count = 2 * (size_t)w->depth;

    sb_putc(w->out, '\n');
    for (; count >= sizeof(blanks); count -= sizeof(blanks) - 1) {
        sb_add(w->out, blanks, sizeof(blanks) - 1);
    }
    sb_add(w->out, blanks, count);
}

/* The comma and the line break before an element or a key. */
static void separate(struct jsonw *w)
{
    uint64_t bit = UINT64_C(1) << w->depth;

    if (!(w->first & bit)) {
        sb_putc(w->out, ',');
    }
    w->first &= ~bit;
    if (w->pretty) {
        new_line(w);
    }
}

/* What stands before a value: nothing at the top and after a key, else as before any element. */
static void before_value(struct jsonw *w)
{
    if (w->depth == 0) {
        return;
    }
    uint64_t bit = UINT64_C(1) << w->depth;
    char last = w->out->data[w->out->len - 1];
    if ((w->first & bit) && last != '[') {
        w->first &= ~bit;
    } else {
        separate(w);
    }
}

static void open_level(struct jsonw *w, char bracket)
{
    before_value(w);
    WF_ASSERT(w->depth < MAX_LEVELS);
    w->depth++;
    w->first |= UINT64_C(1) << w->depth;
    sb_putc(w->out, bracket);
}

static void close_level(struct jsonw *w, char bracket)
{
    WF_ASSERT(w->depth > 0);
    bool empty = (w->first >> w->depth) & 1;

    w->depth--;
    if (w->pretty && !empty) {
        new_line(w);
    }
    sb_putc(w->out, bracket);
}

void jw_object(struct jsonw *w)
{
    open_level(w, '{');
}

void jw_end_object(struct jsonw *w)
{
    close_level(w, '}');
}

void jw_array(struct jsonw *w)
{
    open_level(w, '[');
}

void jw_end_array(struct jsonw *w)
{
    close_level(w, ']');
}

/* Whether any of the eight bytes is a control character, a quote, a backslash or not ASCII. */
static bool word_needs_care(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
    uint64_t found =
        word | (word - ones * 0x20) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);

    return (found & highs) != 0;
}

static bool byte_needs_care(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

/* The number of bytes at the beginning that are written as they are. */
static size_t plain_run(const char *data, size_t len)
{
    size_t at = 0;
    uint64_t word;

    while (len - at >= sizeof(word)) {
        memcpy(&word, data + at, sizeof(word));
        if (word_needs_care(word)) {
            break;
        }
        at += sizeof(word);
    }
    while (at < len && !byte_needs_care((unsigned char)data[at])) {
        at++;
    }
    return at;
}

static void add_unit(struct str *out, unsigned unit)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {
        '\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};

    sb_add(out, text, sizeof(text));
}

static void add_escape(struct str *out, unsigned char c)
{
    static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = c ? strchr(names, c) : NULL;

    if (found) {
        char text[2] = {'\\', letters[found - names]};
        sb_add(out, text, sizeof(text));
    } else {
        add_unit(out, c);
    }
}

static void add_string(struct str *out, const char *data, size_t len, enum bad_bytes bad)
{
    size_t at = 0;

    sb_reserve(out, len + 2);
    size_t run = plain_run(data, len);
    if (run == len) { /* nearly all */
        char *to = out->data + out->len;
        to[0] = '"';
        memcpy(to + 1, data, len);
        to[len + 1] = '"';
        to[len + 2] = '\0';
        out->len += len + 2;
        return;
    }
    sb_putc(out, '"');
    for (;; run = plain_run(data + at, len - at)) {
        sb_add(out, data + at, run);
        at += run;
        if (at == len) {
            break;
        }
        unsigned char c = (unsigned char)data[at];
        if (c < 0x80) {
            add_escape(out, c);
            at++;
            continue;
        }
        size_t step = utf8_sequence(data + at, len - at);
        if (step > 0) {
            sb_add(out, data + at, step);
            at += step;
        } else {
            add_unit(out, bad == BAD_SURROGATE ? 0xdc00u + c : 0xfffdu);
            at++;
        }
    }
    sb_putc(out, '"');
}

void jw_string_add(struct str *out, const char *data, size_t len)
{
    add_string(out, len ? data : "", len, BAD_REPLACE);
}

void jw_key(struct jsonw *w, const char *key)
{
    size_t len = strlen(key);

    separate(w);
    if (plain_run(key, len) == len) {
        sb_reserve(w->out, len + 3);
        sb_putc(w->out, '"');
        sb_add(w->out, key, len);
        sb_add(w->out, "\":", 2);
    } else {
        add_string(w->out, key, len, BAD_REPLACE);
        sb_putc(w->out, ':');
    }
    if (w->pretty) {
        sb_putc(w->out, ' ');
    }
    w->first |= UINT64_C(1) << w->depth;
}

void jw_text(struct jsonw *w, const char *text)
{
    if (text) {
        jw_bytes(w, text, strlen(text));
    } else {
        jw_null(w);
    }
}

void jw_bytes(struct jsonw *w, const char *data, size_t len)
{
    before_value(w);
    jw_string_add(w->out, data, len);
}

void jw_name(struct jsonw *w, const char *data, size_t len)
{
    before_value(w);
    add_string(w->out, len ? data : "", len, BAD_SURROGATE);
}

void jw_i64(struct jsonw *w, int64_t v)
{
    before_value(w);
    sb_i64(w->out, v);
}

void jw_bool(struct jsonw *w, bool v)
{
    jw_raw(w, v ? "true" : "false", v ? 4 : 5);
}

void jw_null(struct jsonw *w)
{
    jw_raw(w, "null", 4);
}

/* Whatever the locale's decimal point is, it becomes '.'. */
static void add_number(struct str *out, const char *text)
{
    size_t whole = strspn(text, "-0123456789");
    size_t point = strcspn(text + whole, "0123456789e");

    sb_add(out, text, whole);
    if (point > 0) {
        sb_putc(out, '.');
    }
    sb_puts(out, text + whole + point);
}

void jw_real(struct jsonw *w, double v)
{
    char text[64];

    if (!isfinite(v)) {
        jw_null(w);
        return;
    }
    before_value(w);
    if (v > -1e15 && v < 1e15 && v == floor(v) && !signbit(v)) {
        sb_u64(w->out, (uint64_t)v);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        double back = strtod(text, NULL);
        if (memcmp(&back, &v, sizeof(v)) == 0) {
            break;
        }
    }
    add_number(w->out, text);
}

void jw_seconds(struct jsonw *w, int64_t ms)
{
    char digits[3] = {(char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10),
                      (char)('0' + ms % 10)};
    size_t len = 3;

    if (ms < 0 || ms >= INT64_C(1000000000000)) {
        jw_real(w, (double)ms / 1000);
        return;
    }
    before_value(w);
    sb_u64(w->out, (uint64_t)ms / 1000);
    while (len > 0 && digits[len - 1] == '0') {
        len--;
    }
    if (len > 0) {
        sb_putc(w->out, '.');
        sb_add(w->out, digits, len);
    }
}

void jw_raw(struct jsonw *w, const char *json, size_t len)
{
    before_value(w);
    sb_add(w->out, json, len);
}

void jw_digest(struct jsonw *w, const struct digest *d)
{
    before_value(w);
    sb_reserve(w->out, DIGEST_HEX + 9);
    char *at = w->out->data + w->out->len;
    memcpy(at, "\"sha256:", 8);
    digest_hex(d, at + 8);
    memcpy(at + 8 + DIGEST_HEX, "\"", 2);
    w->out->len += DIGEST_HEX + 9;
}

void jw_kv_text(struct jsonw *w, const char *key, const char *text)
{
    jw_key(w, key);
    jw_text(w, text);
}

void jw_kv_i64(struct jsonw *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_i64(w, v);
}

void jw_kv_bool(struct jsonw *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

void jw_time(struct jsonw *w, int64_t ms)
{
    char text[32];

    if (ms == 0) {
        jw_null(w);
    } else {
        format_time(ms, text);
        jw_text(w, text);
    }
}

void jw_kv_time(struct jsonw *w, const char *key, int64_t ms)
{
    jw_key(w, key);
    jw_time(w, ms);
}
