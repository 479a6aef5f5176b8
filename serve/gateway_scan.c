/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in place. No recursion: open brackets are bits of one word. */
#include "serve/gateway_scan.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

struct scan scan_of(struct slice text)
{
    return (struct scan){.start = text.data, .at = text.data, .end = text.data + text.len};
}

static bool wrong(struct scan *s, const char *why)
{
    if (!s->wrong) {
        s->wrong = why;
    }
    return false;
}

static inline void blanks(struct scan *s)
{
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t')) {
        s->at++;
    }
}

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

enum scan_kind scan_kind(struct scan *s)
{
    blanks(s);
    if (s->at == s->end || s->wrong) {
        return SCAN_NONE;
    }
    switch (*s->at) {
    case '{':
        return SCAN_OBJECT;
    case '[':
        return SCAN_LIST;
    case '"':
        return SCAN_STRING;
    case 't':
    case 'f':
        return SCAN_BOOL;
    case 'n':
        return SCAN_NULL;
    case '-':
        return SCAN_NUMBER;
    default:
        return is_digit(*s->at) ? SCAN_NUMBER : SCAN_NONE;
    }
}

/* What a request of some size consists of: its place is kept in a register. */
static inline const char *digits(const char *at, const char *end)
{
    while (at < end && is_digit(*at)) {
        at++;
    }
    return at;
}

static bool malformed(struct scan *s, const char *at)
{
    s->at = at;
    return wrong(s, "malformed number");
}

static inline bool number(struct scan *s)
{
    const char *at = s->at, *end = s->end;

    at += *at == '-';
    if (at == end || !is_digit(*at)) {
        return malformed(s, at);
    }
    at = *at == '0' ? at + 1 : digits(at, end);
    if (at < end && *at == '.') {
        at++;
        if (at == end || !is_digit(*at)) {
            return malformed(s, at);
        }
        at = digits(at, end);
    }
    if (at < end && (*at | 32) == 'e') {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        if (at == end || !is_digit(*at)) {
            return malformed(s, at);
        }
        at = digits(at, end);
    }
    s->at = at;
    return at < end && is_digit(*at) ? malformed(s, at) : true; /* 01 */
}

static bool hex4(struct scan *s, uint32_t *ret)
{
    uint32_t v = 0;

    if (s->end - s->at < 4) {
        return wrong(s, "the text ends within a string");
    }
    for (int i = 0; i < 4; i++) {
        char c = s->at[i];
        if (c >= '0' && c <= '9') {
            v = v * 16 + (uint32_t)(c - '0');
        } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
            v = v * 16 + (uint32_t)((c | 32) - 'a') + 10;
        } else {
            return wrong(s, "expected four hexadecimal digits");
        }
    }
    s->at += 4;
    *ret = v;
    return true;
}

/* Behind the backslash. */
static bool escape(struct scan *s)
{
    uint32_t c, low;

    if (s->at == s->end) {
        return wrong(s, "the text ends within a string");
    }
    if (*s->at != 'u') {
        if (!*s->at || !strchr("\"\\/bfnrt", *s->at)) {
            return wrong(s, "unknown escape in a string");
        }
        s->at++;
        return true;
    }
    s->at++;
    if (!hex4(s, &c)) {
        return false;
    }
    if (c >= 0xDC00 && c <= 0xDFFF) {
        return wrong(s, "half of a surrogate pair");
    }
    if (c < 0xD800 || c > 0xDBFF) {
        return true;
    }
    if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u') {
        return wrong(s, "half of a surrogate pair");
    }
    s->at += 2;
    if (!hex4(s, &low)) {
        return false;
    }
    return low >= 0xDC00 && low <= 0xDFFF ? true : wrong(s, "half of a surrogate pair");
}

/* At the opening quote. */
static bool quoted(struct scan *s)
{
    for (s->at++; s->at < s->end;) {
        unsigned char c = (unsigned char)*s->at;
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c == '\\') {
            s->at++;
            if (!escape(s)) {
                return false;
            }
        } else if (c < 0x20) {
            return wrong(s, "a control character within a string");
        } else if (c < 0x80) {
            s->at++;
        } else {
            size_t n = utf8_sequence(s->at, (size_t)(s->end - s->at));
            if (n == 0) {
                return wrong(s, "a string is not valid UTF-8");
            }
            s->at += n;
        }
    }
    return wrong(s, "the text ends within a string");
}

static bool word(struct scan *s, const char *text, size_t len)
{
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0) {
        return wrong(s, "expected a value");
    }
    s->at += len;
    return true;
}

/* What is no list and no object. */
static inline bool scalar(struct scan *s, enum scan_kind kind)
{
    switch (kind) {
    case SCAN_NUMBER:
        return number(s);
    case SCAN_STRING:
        return quoted(s);
    case SCAN_NULL:
        return word(s, "null", 4);
    case SCAN_BOOL:
        return *s->at == 't' ? word(s, "true", 4) : word(s, "false", 5);
    default:
        return wrong(s, s->at == s->end ? "the text ends where a value is expected"
                                        : "expected a value");
    }
}

static bool key(struct scan *s, struct slice *ret)
{
    if (!scan_string(s, ret)) {
        return false;
    }
    blanks(s);
    if (s->at == s->end || *s->at != ':') {
        return wrong(s, "expected ':'");
    }
    s->at++;
    return true;
}

/* Behind a value: closes what ends here. True with *ret_more: another value follows. */
static bool close_levels(struct scan *s, uint64_t *objects, unsigned *depth, bool *ret_more)
{
    *ret_more = false;
    while (*depth > 0) {
        bool object = *objects >> (*depth - 1) & 1;
        blanks(s);
        if (s->at == s->end) {
            return wrong(s, object ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        if (*s->at == ',') {
            s->at++;
            *ret_more = true;
            return object ? key(s, NULL) : true;
        }
        if (*s->at != (object ? '}' : ']')) {
            return wrong(s, object ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        s->at++;
        *depth -= 1;
    }
    return true;
}

/* At a bracket. *ret_empty: it is closed already. */
static bool open_level(struct scan *s, uint64_t *objects, unsigned *depth, bool *ret_empty)
{
    bool object = *s->at == '{';

    if (*depth == SCAN_DEPTH) {
        return wrong(s, "nested deeper than 64 levels");
    }
    s->at++;
    blanks(s);
    *ret_empty = s->at < s->end && *s->at == (object ? '}' : ']');
    if (*ret_empty) {
        s->at++;
        return true;
    }
    *objects = (*objects & ~(UINT64_C(1) << *depth)) | (uint64_t)object << *depth;
    *depth += 1;
    return object ? key(s, NULL) : true;
}

bool scan_value(struct scan *s, struct slice *ret)
{
    uint64_t objects = 0;
    unsigned depth = 0;
    bool more = true;

    blanks(s);
    const char *start = s->at;
    while (more && !s->wrong) {
        enum scan_kind kind = scan_kind(s);
        bool empty = true;
        if (kind == SCAN_OBJECT || kind == SCAN_LIST) {
            if (!open_level(s, &objects, &depth, &empty)) {
                return false;
            }
        } else if (!scalar(s, kind)) {
            return false;
        }
        if (empty && !close_levels(s, &objects, &depth, &more)) {
            return false;
        }
    }
    if (!s->wrong && ret) {
        *ret = slice_of(start, (size_t)(s->at - start));
    }
    return !s->wrong;
}

bool scan_string(struct scan *s, struct slice *ret)
{
    if (scan_kind(s) != SCAN_STRING) {
        return wrong(s, "expected a string");
    }
    const char *start = s->at;
    if (!quoted(s)) {
        return false;
    }
    if (ret) {
        *ret = slice_of(start, (size_t)(s->at - start));
    }
    return true;
}

bool scan_enter(struct scan *s)
{
    enum scan_kind kind = scan_kind(s);

    if (kind != SCAN_LIST && kind != SCAN_OBJECT) {
        return wrong(s, "expected a list or an object");
    }
    s->at++;
    return true;
}

static bool next(struct scan *s, bool *first, char close)
{
    blanks(s);
    if (s->wrong || s->at == s->end) {
        return wrong(s, "the text ends too early");
    }
    if (*s->at == close) {
        s->at++;
        return false;
    }
    if (!*first) {
        if (*s->at != ',') {
            return wrong(s, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        s->at++;
    }
    *first = false;
    return true;
}

bool scan_member(struct scan *s, bool *first, struct slice *ret_key)
{
    return next(s, first, '}') && key(s, ret_key);
}

bool scan_item(struct scan *s, bool *first)
{
    return next(s, first, ']');
}

bool scan_finish(struct scan *s)
{
    blanks(s);
    return s->wrong ? false : s->at == s->end ? true : wrong(s, "something follows the value");
}

bool scan_count(struct scan *s, int64_t *ret, struct slice *ret_text)
{
    int64_t v = 0;
    struct slice text;

    if (scan_kind(s) != SCAN_NUMBER || !scan_value(s, &text)) {
        return wrong(s, "expected a whole number");
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || v >= INT64_C(1) << 53) {
            s->at = text.data;
            return wrong(s, "expected a whole number");
        }
        v = v * 10 + (text.data[i] - '0');
    }
    *ret = v;
    if (ret_text) {
        *ret_text = text;
    }
    return true;
}

/* Lists in lists, and how much each open one holds. */
struct nest {
    const int64_t *shape;
    uint32_t n_dims, depth;
    int64_t seen[SCAN_DIMS];
};

/* Closes what ends behind an element of the list at `depth`. */
static bool close_lists(struct scan *s, struct nest *n)
{
    while (n->depth > 0) {
        blanks(s);
        if (s->at == s->end) {
            return wrong(s, "expected ',' or ']'");
        }
        if (*s->at == ',') {
            s->at++;
            return true;
        }
        if (*s->at != ']') {
            return wrong(s, "expected ',' or ']'");
        }
        if (n->seen[n->depth - 1] != n->shape[n->depth - 1]) {
            return wrong(s, "nested lists are not as long as the shape says");
        }
        s->at++;
        n->depth--;
    }
    return true;
}

static bool nested_leaves(struct scan *s, struct nest *n, struct scan_leaves *ret)
{
    do {
        enum scan_kind kind = scan_kind(s);
        if (n->depth > 0) {
            n->seen[n->depth - 1]++;
        }
        if (kind != SCAN_LIST) {
            if (n->depth != n->n_dims) {
                return wrong(s, "nested lists are not as deep as the shape says");
            }
            ret->kinds |= 1U << kind;
            ret->count++;
            if (!scalar(s, kind)) {
                return false;
            }
        } else if (n->depth == n->n_dims) {
            return wrong(s, "nested lists are deeper than the shape says");
        } else {
            s->at++;
            n->seen[n->depth++] = 0;
            if (scan_kind(s) != SCAN_NONE || s->at == s->end || *s->at != ']') {
                continue; /* the first element */
            }
        }
        if (!close_lists(s, n)) {
            return false;
        }
    } while (n->depth > 0);
    return true;
}

static bool flat_leaves(struct scan *s, struct scan_leaves *ret)
{
    bool first = true;

    s->at++;
    while (scan_item(s, &first)) {
        if (s->at < s->end && is_digit(*s->at)) { /* as a rule */
            ret->kinds |= 1U << SCAN_NUMBER;
            ret->count++;
            if (!number(s)) {
                return false;
            }
            continue;
        }
        enum scan_kind kind = scan_kind(s);
        ret->kinds |= 1U << kind;
        ret->count++;
        if (kind == SCAN_LIST || kind == SCAN_OBJECT) {
            return wrong(s, "expected scalars only, or lists nested as the shape says");
        }
        if (!scalar(s, kind)) {
            return false;
        }
    }
    return !s->wrong;
}

bool scan_leaves(struct scan *s, const int64_t *shape, uint32_t n_dims, struct scan_leaves *ret)
{
    struct nest n = {.shape = shape, .n_dims = n_dims};

    *ret = (struct scan_leaves){0};
    if (scan_kind(s) != SCAN_LIST) {
        return wrong(s, "expected a list");
    }
    const char *start = s->at++;
    ret->nested = scan_kind(s) == SCAN_LIST;
    s->at = start;
    return ret->nested ? nested_leaves(s, &n, ret) : flat_leaves(s, ret);
}

bool scan_text_is(struct slice string, const char *text)
{
    size_t len = strlen(text);

    if (!memchr(string.data, '\\', string.len)) {
        return string.len == len + 2 && memcmp(string.data + 1, text, len) == 0;
    }
    json_t *v = json_loadb(string.data, string.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool same = v && json_string_length(v) == len && memcmp(json_string_value(v), text, len) == 0;
    json_decref(v);
    return same;
}

int scan_fail(const struct scan *s, struct err *err)
{
    size_t line = 1, column = 1;

    for (const char *p = s->start; p < s->at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++;
        }
    }
    return err_set(err, ERR_INVALID, 0, "line %zu, column %zu: %s", line, column,
                   s->wrong ? s->wrong : "unreadable");
}
