/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text -> value. A reader of our own, since numbers must keep their source text ("1.10"), which jansson does not do. Depth is capped, so recursion is. */
#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "workflows/value.h"
#include "workflows/value_impl.h"

#include <stdlib.h>
#include <string.h>

/* Below this many members a duplicate is looked for by comparing, above by a hash map. */
#define FEW_MEMBERS 8

struct reader {
    const char *begin, *at, *end;
    struct arena *arena;
    struct err *err;
    unsigned depth;
};

static int fail(const struct reader *r, const char *what)
{
    size_t line = 1, col = 1;
    for (const char *p = r->begin; p < r->at; p++) {
        if (*p == '\n') {
            line++;
            col = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            col++;
        }
    }
    return err_set(r->err, ERR_INVALID, 0, "not valid JSON: line %zu, column %zu: %s", line, col,
                   what);
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

static int hex4(struct reader *r, uint32_t *ret)
{
    if (r->end - r->at < 4)
        return fail(r, "expected four hexadecimal digits");
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = r->at[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            digit = (uint32_t)((c | 32) - 'a') + 10;
        else
            return fail(r, "expected four hexadecimal digits");
        v = v * 16 + digit;
    }
    r->at += 4;
    *ret = v;
    return 0;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | (c >> 6));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | (c >> 12));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | (c >> 18));
        *out++ = (char)(0x80 | ((c >> 12) & 0x3F));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* After "\u". */
static int read_unicode(struct reader *r, char **out)
{
    uint32_t c = 0, low = 0;
    int rc = hex4(r, &c);
    if (rc)
        return rc;
    if (c >= 0xD800 && c < 0xDC00) {
        if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
            return fail(r, "half of a surrogate pair");
        r->at += 2;
        rc = hex4(r, &low);
        if (rc)
            return rc;
        if (low < 0xDC00 || low > 0xDFFF)
            return fail(r, "half of a surrogate pair");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    } else if (c >= 0xDC00 && c <= 0xDFFF) {
        return fail(r, "half of a surrogate pair");
    }
    *out = put_utf8(*out, c);
    return 0;
}

static int read_escape(struct reader *r, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (++r->at == r->end)
        return fail(r, "the text ends within a string");
    char c = *r->at++;
    if (c == 'u')
        return read_unicode(r, out);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return fail(r, "unknown escape in a string");
    *(*out)++ = to[known - from];
    return 0;
}

/* At the opening quote. */
static int read_string(struct reader *r, struct slice *ret)
{
    const char *start = ++r->at;
    bool escaped = false;
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        if ((unsigned char)*r->at < 0x20)
            return fail(r, "a control character within a string");
        if (*r->at == '\\') {
            escaped = true;
            if (++r->at == r->end)
                break;
        }
    }
    if (r->at >= r->end)
        return fail(r, "the text ends within a string");
    size_t len = (size_t)(r->at - start);
    const char *close = r->at;
    if (!utf8_valid(start, len, NULL))
        return fail(r, "a string is not valid UTF-8");
    if (!escaped) {
        *ret = slice_of(arena_strndup(r->arena, start, len), len);
        r->at++;
        return 0;
    }
    /* No escape is shorter than what it stands for. */
    char *text = arena_alloc(r->arena, len + 1), *out = text;
    for (r->at = start; r->at < close;) {
        if (*r->at != '\\') {
            *out++ = *r->at++;
            continue;
        }
        int rc = read_escape(r, &out);
        if (rc)
            return rc;
    }
    r->at = close + 1;
    *ret = slice_of(text, (size_t)(out - text));
    return 0;
}

static int read_number(struct reader *r, struct value *ret)
{
    const char *start = r->at;
    while (r->at < r->end && *r->at && strchr("+-.0123456789eE", *r->at))
        r->at++;
    struct slice text = slice_of(start, (size_t)(r->at - start));
    if (!number_is_json(text)) {
        r->at = start;
        return fail(r, "malformed number");
    }
    text.data = arena_strndup(r->arena, text.data, text.len);
    *ret = value_number_text(text);
    return 0;
}

static int read_word(struct reader *r, const char *word, struct value v, struct value *ret)
{
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return fail(r, "expected a value");
    r->at += len;
    *ret = v;
    return 0;
}

static int read_value(struct reader *r, struct value *ret);

typedef VEC(struct value) values;
typedef VEC(struct slice) slices;

static int read_items(struct reader *r, values *items)
{
    skip_blanks(r);
    if (r->at < r->end && *r->at == ']') {
        r->at++;
        return 0;
    }
    for (;;) {
        struct value v;
        int rc = read_value(r, &v);
        if (rc)
            return rc;
        *vec_push(items) = v;
        skip_blanks(r);
        if (r->at < r->end && *r->at == ',') {
            r->at++;
        } else if (r->at < r->end && *r->at == ']') {
            r->at++;
            return 0;
        } else {
            return fail(r, "expected ',' or ']'");
        }
    }
}

static bool is_new_key(slices *keys, struct map *seen, struct slice key)
{
    if (keys->len < FEW_MEMBERS) {
        for (size_t i = 0; i < keys->len; i++) {
            if (slice_eq(keys->items[i], key))
                return false;
        }
        return true;
    }
    if (!seen->len) {
        for (size_t i = 0; i < keys->len; i++)
            map_put(seen, keys->items[i].data, keys->items[i].len, NULL);
    }
    return map_put(seen, key.data, key.len, NULL);
}

static int read_members(struct reader *r, slices *keys, struct map *seen, values *items)
{
    skip_blanks(r);
    if (r->at < r->end && *r->at == '}') {
        r->at++;
        return 0;
    }
    for (;;) {
        struct slice key;
        struct value v;
        skip_blanks(r);
        if (r->at == r->end || *r->at != '"')
            return fail(r, "expected a member's name in double quotes");
        int rc = read_string(r, &key);
        if (rc)
            return rc;
        if (memchr(key.data, '\0', key.len))
            return fail(r, "a member's name holds a NUL");
        if (!is_new_key(keys, seen, key))
            return fail(r, "a member's name stands twice");
        skip_blanks(r);
        if (r->at == r->end || *r->at++ != ':')
            return fail(r, "expected ':'");
        rc = read_value(r, &v);
        if (rc)
            return rc;
        *vec_push(keys) = key;
        *vec_push(items) = v;
        skip_blanks(r);
        if (r->at < r->end && *r->at == ',') {
            r->at++;
        } else if (r->at < r->end && *r->at == '}') {
            r->at++;
            return 0;
        } else {
            return fail(r, "expected ',' or '}'");
        }
    }
}

static int read_collection(struct reader *r, struct value *ret)
{
    values items = {0};
    slices keys = {0};
    struct map seen = {0};
    bool object = *r->at++ == '{';
    int rc;
    if (++r->depth > VALUE_MAX_DEPTH)
        rc = fail(r, "nested deeper than 64 levels");
    else
        rc = object ? read_members(r, &keys, &seen, &items) : read_items(r, &items);
    r->depth--;
    if (!rc) {
        *ret = (struct value){.type = object ? VALUE_OBJECT : VALUE_LIST,
                              .count = (uint32_t)items.len};
        if (items.len) {
            ret->items = arena_memdup(r->arena, items.items, items.len * sizeof(*items.items));
            if (object)
                ret->keys = arena_memdup(r->arena, keys.items, keys.len * sizeof(*keys.items));
        }
    }
    map_done(&seen);
    vec_done(&keys);
    vec_done(&items);
    return rc;
}

static int read_value(struct reader *r, struct value *ret)
{
    skip_blanks(r);
    if (r->at == r->end)
        return fail(r, "the text ends where a value is expected");
    switch (*r->at) {
    case '{':
    case '[':
        return read_collection(r, ret);
    case '"':
        *ret = (struct value){.type = VALUE_STRING};
        return read_string(r, &ret->text);
    case 't':
        return read_word(r, "true", value_bool(true), ret);
    case 'f':
        return read_word(r, "false", value_bool(false), ret);
    case 'n':
        return read_word(r, "null", value_null(), ret);
    default:
        if (*r->at == '-' || (*r->at >= '0' && *r->at <= '9'))
            return read_number(r, ret);
        return fail(r, "expected a value");
    }
}

int value_parse_json(const char *text, size_t len, struct arena *a, struct value *ret,
                     struct err *err)
{
    struct reader r = {.begin = text, .at = text, .end = text + len, .arena = a, .err = err};
    struct value v;
    int rc = read_value(&r, &v);
    if (rc)
        return rc;
    skip_blanks(&r);
    if (r.at != r.end)
        return fail(&r, "something follows the value");
    *ret = v;
    return 0;
}
