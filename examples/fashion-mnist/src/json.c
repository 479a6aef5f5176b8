/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

bool json_wrong(struct json *j, const char *error)
{
    if (!j->error)
        j->error = error;
    return false;
}

void json_open(struct json *j, const char *text, size_t len)
{
    *j = (struct json){.at = text, .end = text + len};
}

char json_peek(struct json *j)
{
    while (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r')
        j->at++;
    return *j->at;
}

static bool take(struct json *j, char c, const char *error)
{
    if (j->error || json_peek(j) != c)
        return json_wrong(j, error);
    j->at++;
    return true;
}

bool json_enter(struct json *j, char bracket)
{
    return take(j, bracket, bracket == '[' ? "a list was expected" : "an object was expected");
}

bool json_more(struct json *j, char bracket, bool *first)
{
    bool begins = *first;
    *first = false;
    if (j->error)
        return false;
    if (json_peek(j) == bracket) {
        j->at++;
        return false;
    }
    return begins || take(j, ',', "a comma or a closing bracket was expected");
}

static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | c);
    return n;
}

/* The four digits of \uXXXX. */
static bool take_hex(struct json *j, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        static const char digits[] = "0123456789abcdef";
        const char *d = *j->at ? strchr(digits, *j->at | (*j->at >= 'A' ? 0x20 : 0)) : NULL;
        if (!d)
            return json_wrong(j, "\\u is followed by four hexadecimal digits");
        *ret = *ret << 4 | (uint32_t)(d - digits);
    }
    return true;
}

/* Behind a backslash: up to four bytes. */
static bool take_escape(struct json *j, char *out, size_t *ret_len)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *name = *j->at ? strchr(names, *j->at) : NULL;
    *ret_len = 1;
    if (name) {
        out[0] = meant[name - names];
        j->at++;
        return true;
    }
    if (*j->at++ != 'u')
        return json_wrong(j, "an unknown escape in a string");
    uint32_t c, low;
    if (!take_hex(j, &c))
        return false;
    if (c >> 10 == 0xd800 >> 10) {
        if (j->at[0] != '\\' || j->at[1] != 'u')
            return json_wrong(j, "half a surrogate pair in a string");
        j->at += 2;
        if (!take_hex(j, &low))
            return false;
        if (low >> 10 != 0xdc00 >> 10)
            return json_wrong(j, "half a surrogate pair in a string");
        c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
    } else if (c >> 10 == 0xdc00 >> 10 || c == 0) {
        return json_wrong(j, "a string with a character that is none");
    }
    *ret_len = put_utf8(c, out);
    return true;
}

/* `ret` NULL: only looked at. *ret_cut: it did not fit. */
static bool take_string(struct json *j, char *ret, size_t room, bool *ret_cut)
{
    size_t len = 0;
    *ret_cut = false;
    if (!take(j, '"', "a string was expected"))
        return false;
    while (*j->at != '"') {
        char some[4] = {*j->at};
        size_t n = 1;
        if ((unsigned char)*j->at < ' ')
            return json_wrong(j, j->at == j->end ? "a string does not end"
                                                 : "a control character in a string");
        bool escaped = *j->at++ == '\\';
        if (escaped && !take_escape(j, some, &n))
            return false;
        if (ret && len + n < room && !*ret_cut) {
            memcpy(ret + len, some, n);
            len += n;
        } else {
            *ret_cut = true;
        }
    }
    j->at++;
    if (ret)
        ret[len] = '\0';
    return true;
}

bool json_string(struct json *j, char *ret, size_t room)
{
    bool cut = false;
    if (!take_string(j, ret, room, &cut))
        return false;
    return cut ? json_wrong(j, "a string is too long") : true;
}

bool json_key(struct json *j, char *ret, size_t room)
{
    bool cut = false;
    return take_string(j, ret, room, &cut) && take(j, ':', "a colon was expected");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool json_number(struct json *j, double *ret)
{
    if (j->error)
        return false;
    char first = json_peek(j);
    const char *at = j->at, *start = at;
    uint64_t digits = 0;
    int count = 0, behind = 0; /* digits, and those behind the point */
    static const double powers[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    if (first == '-')
        at++;
    if (!is_digit(*at) || (at[0] == '0' && is_digit(at[1])))
        return json_wrong(j, "a number was expected");
    for (; is_digit(*at); at++, count++)
        digits = count < 16 ? digits * 10 + (uint64_t)(*at - '0') : digits;
    if (*at == '.') {
        at++;
        for (; is_digit(*at); at++, count++, behind++)
            digits = count < 16 ? digits * 10 + (uint64_t)(*at - '0') : digits;
        if (behind == 0)
            return json_wrong(j, "digits were expected behind the point of a number");
    }
    if (count <= 15 && *at != 'e' && *at != 'E') { /* exact: both fit a double's 53 bits */
        double v = (double)digits / powers[behind];
        *ret = first == '-' ? -v : v;
        j->at = at;
        return true;
    }
    if (*at == 'e' || *at == 'E') {
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        if (!is_digit(*at))
            return json_wrong(j, "digits were expected in the exponent of a number");
        at += strspn(at, "0123456789");
    }
    double v = strtod(start, NULL);
    if (!isfinite(v))
        return json_wrong(j, "a number is too large");
    *ret = v;
    j->at = at;
    return true;
}

static bool skip_scalar(struct json *j)
{
    static const char *const words[] = {"true", "false", "null"};
    char c = json_peek(j);
    bool cut;
    double number;
    if (c == '"')
        return take_string(j, NULL, 0, &cut);
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);
        if (c == words[i][0] && strncmp(j->at, words[i], len) == 0) {
            j->at += len;
            return true;
        }
    }
    return c == '-' || is_digit(c) ? json_number(j, &number)
                                   : json_wrong(j, "a value was expected");
}

bool json_skip(struct json *j)
{
    char open[MAX_DEPTH]; /* the closing brackets that are waited for */
    bool first[MAX_DEPTH];
    size_t depth = 0;
    do {
        bool inside = depth > 0;
        if (inside && !json_more(j, open[depth - 1], &first[depth - 1])) {
            depth--;
            continue;
        }
        char name[2];
        if (inside && open[depth - 1] == '}' && !json_key(j, name, sizeof(name)))
            return false;
        char c = json_peek(j);
        if (c != '[' && c != '{') {
            skip_scalar(j);
            continue;
        }
        if (depth == MAX_DEPTH)
            return json_wrong(j, "too many brackets inside each other");
        open[depth] = c == '[' ? ']' : '}';
        first[depth++] = true;
        j->at++;
    } while (depth > 0 && !j->error);
    return !j->error;
}

bool json_end(struct json *j)
{
    if (!j->error && (json_peek(j) != '\0' || j->at != j->end))
        json_wrong(j, "something follows its end");
    return !j->error;
}

bool json_find(struct json *j, const char *key)
{
    char name[64];
    for (bool first = json_enter(j, '{'); json_more(j, '}', &first);) {
        if (!json_key(j, name, sizeof(name)))
            return false;
        if (strcmp(name, key) == 0)
            return true;
        json_skip(j);
    }
    return json_wrong(j, "a member is missing");
}
