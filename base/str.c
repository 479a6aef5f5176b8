/* SPDX-License-Identifier: Apache-2.0 */
/* Growable strings, UTF-8 and the hash of the tables in memory. */
#include "base/str.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sb_init(struct str *s)
{
    *s = (struct str){0};
}

void sb_done(struct str *s)
{
    free(s->data);
    *s = (struct str){0};
}

void sb_clear(struct str *s)
{
    sb_truncate(s, 0);
}

void sb_truncate(struct str *s, size_t len)
{
    if (len < s->len) {
        s->len = len;
    }
    if (s->data) {
        s->data[s->len] = '\0';
    }
}

void sb_grow(struct str *s, size_t more)
{
    WF_ASSERT(more < SIZE_MAX / 4 && s->len < SIZE_MAX / 4);
    size_t need = s->len + more + 1;
    size_t cap = s->cap < 32 ? 32 : s->cap * 2;

    if (cap < need) {
        cap = need;
    }
    s->data = xrealloc(s->data, cap);
    s->data[s->len] = '\0';
    s->cap = cap;
}

void sb_add(struct str *s, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    sb_reserve(s, len);
    memcpy(s->data + s->len, data, len);
    s->len += len;
    s->data[s->len] = '\0';
}

void sb_puts(struct str *s, const char *text)
{
    sb_add(s, text, strlen(text));
}

void sb_printf(struct str *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sb_vprintf(s, fmt, ap);
    va_end(ap);
}

void sb_vprintf(struct str *s, const char *fmt, va_list ap)
{
    va_list again;

    va_copy(again, ap);
    sb_reserve(s, 1);
    size_t room = s->cap - s->len;
    int n = vsnprintf(s->data + s->len, room, fmt, ap);
    WF_ASSERT(n >= 0);
    if ((size_t)n >= room) {
        s->data[s->len] = '\0';
        sb_reserve(s, (size_t)n);
        n = vsnprintf(s->data + s->len, s->cap - s->len, fmt, again);
        WF_ASSERT(n >= 0);
    }
    va_end(again);
    s->len += (size_t)n;
}

void sb_u64(struct str *s, uint64_t v)
{
    char buf[20];
    size_t at = sizeof(buf);

    do {
        buf[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    sb_add(s, buf + at, sizeof(buf) - at);
}

void sb_i64(struct str *s, int64_t v)
{
    uint64_t magnitude = (uint64_t)v;

    if (v < 0) {
        sb_putc(s, '-');
        magnitude = 0 - magnitude;
    }
    sb_u64(s, magnitude);
}

char *sb_take(struct str *s)
{
    char *data = s->data ? s->data : xstrdup("");

    *s = (struct str){0};
    return data;
}

void sb_shell_quote(struct str *s, const char *text, size_t len)
{
    sb_reserve(s, len + 2);
    sb_putc(s, '\'');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\'') {
            sb_add(s, "'\\''", 4);
        } else {
            sb_putc(s, text[i]);
        }
    }
    sb_putc(s, '\'');
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

struct slice slice_str(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

bool text_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool text_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *s, const char *suffix)
{
    size_t len = strlen(s), tail = strlen(suffix);

    return len >= tail && memcmp(s + len - tail, suffix, tail) == 0;
}

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t utf8_sequence(const char *data, size_t len)
{
    const unsigned char *p = (const unsigned char *)data;

    if (len == 0) {
        return 0;
    }
    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        return len >= 2 && is_tail(p[1]) ? 2 : 0;
    }
    if ((p[0] & 0xf0) == 0xe0) {
        bool ok = len >= 3 && is_tail(p[1]) && is_tail(p[2]) &&
                  !(p[0] == 0xe0 && p[1] < 0xa0) && /* longer than need be */
                  !(p[0] == 0xed && p[1] >= 0xa0);  /* a surrogate */
        return ok ? 3 : 0;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        bool ok = len >= 4 && is_tail(p[1]) && is_tail(p[2]) && is_tail(p[3]) &&
                  !(p[0] == 0xf0 && p[1] < 0x90) && !(p[0] == 0xf4 && p[1] > 0x8f);
        return ok ? 4 : 0;
    }
    return 0;
}

bool utf8_valid(const char *data, size_t len, size_t *ret_bad_offset)
{
    size_t at = 0;

    while (at < len) {
        uint64_t word;
        if (len - at >= sizeof(word)) {
            memcpy(&word, data + at, sizeof(word));
            if (!(word & 0x8080808080808080u)) {
                at += sizeof(word);
                continue;
            }
        }
        size_t step = utf8_sequence(data + at, len - at);
        if (step == 0) {
            if (ret_bad_offset) {
                *ret_bad_offset = at;
            }
            return false;
        }
        at += step;
    }
    return true;
}

size_t utf8_count(const char *data, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; i++) {
        count += !is_tail((unsigned char)data[i]);
    }
    return count;
}

uint64_t hash_bytes(const void *data, size_t len)
{
    /* FNV-1a's constants over words of eight bytes, with a shift that brings the high bits (where the product's
     * entropy is) down to those the tables use. */
    const uint64_t prime = 0x100000001b3u;
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u ^ (len * 0x9e3779b97f4a7c15u);
    uint64_t word;

    for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    for (; len > 0; len--, p++) {
        h = (h ^ *p) * prime;
    }
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}
