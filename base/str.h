/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte string, always NUL-terminated (the NUL is not counted). An all-zero struct is an empty string. */
#ifndef WF_BASE_STR_H
#define WF_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    char *data; /* NULL only while nothing was ever added; use sb_text() for a never-NULL view */
    size_t len, cap;
};

/* Bytes owned by somebody else. */
struct slice {
    const char *data;
    size_t len;
};

void sb_init(struct str *s);
void sb_done(struct str *s);  /* frees; the struct is empty again. Fits CLEANUP(sb_done) */
void sb_clear(struct str *s); /* keeps the memory */
void sb_grow(struct str *s, size_t more); /* sb_reserve() where there is too little room */
static inline void sb_reserve(struct str *s, size_t more)
{
    /* `cap` counts the NUL's byte too. */
    if (more >= s->cap - s->len) {
        sb_grow(s, more);
    }
}
void sb_add(struct str *s, const void *data, size_t len);
void sb_puts(struct str *s, const char *text);
void sb_printf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sb_vprintf(struct str *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void sb_u64(struct str *s, uint64_t v); /* decimal; faster than printf */
void sb_i64(struct str *s, int64_t v);
void sb_truncate(struct str *s, size_t len);
char *sb_take(struct str *s); /* owned by the caller; never NULL; the struct is empty again */
static inline void sb_putc(struct str *s, char c)
{
    if (s->cap - s->len < 2) {
        sb_reserve(s, 1);
    }
    s->data[s->len++] = c;
    s->data[s->len] = '\0';
}
static inline const char *sb_text(const struct str *s)
{
    return s->data ? s->data : "";
}

/* Appends `text` single-quoted for a POSIX shell ('…', with '\'' inside). */
void sb_shell_quote(struct str *s, const char *text, size_t len);

bool slice_eq(struct slice a, struct slice b);
static inline struct slice slice_of(const char *data, size_t len)
{
    return (struct slice){data, len};
}
struct slice slice_str(const char *text);   /* strlen */
bool text_eq(const char *a, const char *b); /* NULL equals only NULL */
bool text_starts(const char *s, const char *prefix);
bool text_ends(const char *s, const char *suffix);
bool utf8_valid(const char *data, size_t len, size_t *ret_bad_offset); /* ret may be NULL */
/* The length (1 to 4) of the valid UTF-8 sequence that `data` begins with; 0: it begins with none. */
size_t utf8_sequence(const char *data, size_t len);
/* The number of code points in valid UTF-8 (terminal columns, roughly: combining marks count too). */
size_t utf8_count(const char *data, size_t len);

/* FNV-1a style 64-bit hash for tables in memory; never stored. */
uint64_t hash_bytes(const void *data, size_t len);

#endif
