/* SPDX-License-Identifier: Apache-2.0 */
/* Types of plain scalars by YAML 1.2's core schema, and places in a text. */
#include "base/str.h"
#include "workflows/yaml_internal.h"

#include <string.h>

size_t yaml_break_len(const char *p, const char *end)
{
    if (*p == '\n')
        return 1;
    if (*p == '\r')
        return p + 1 < end && p[1] == '\n' ? 2 : 1;
    if (end - p >= 2 && memcmp(p, "\xc2\x85", 2) == 0)
        return 2;
    if (end - p >= 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0))
        return 3;
    return 0;
}

struct span yaml_place(const char *text, size_t len, size_t offset)
{
    struct span s = {.line = 1, .col = 1};
    size_t i = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (i < len && i < offset) {
        size_t b = yaml_break_len(text + i, text + len);
        if (b > 0) {
            s.line++;
            s.col = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            s.col++;
        }
        i += b > 0 ? b : 1;
    }
    return s;
}

static bool one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

/* 0o17 and 0x1F. */
static bool is_based(const char *p)
{
    const char *digits = p[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
    return p[0] == '0' && (p[1] == 'o' || p[1] == 'x') && p[2] != '\0' &&
           p[2 + strspn(p + 2, digits)] == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_decimal(const char *p)
{
    p += *p == '-' || *p == '+';
    const char *whole = skip_digits(p);
    bool digits = whole > p;
    p = whole;
    if (*p == '.') {
        const char *fraction = skip_digits(p + 1);
        digits = digits || fraction > p + 1;
        p = fraction;
    }
    if (!digits)
        return false;
    if (*p == 'e' || *p == 'E') {
        p += p[1] == '-' || p[1] == '+' ? 2 : 1;
        const char *end = skip_digits(p);
        if (end == p)
            return false;
        p = end;
    }
    return *p == '\0';
}

bool yaml_is_special_number(const char *text, size_t len)
{
    static const char *const words[] = {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", NULL};
    if (len < 4 || len > 5)
        return false;
    return one_of(text + (len == 5 && (text[0] == '-' || text[0] == '+')), words);
}

enum scalar_type yaml_plain_type(const char *text, size_t len)
{
    static const char *const nulls[] = {"null", "Null", "NULL", "~", NULL};
    static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    if (len == 0)
        return SCALAR_NULL;
    if (strchr("+-.0123456789", text[0]) != NULL)
        return is_decimal(text) || is_based(text) || yaml_is_special_number(text, len)
                   ? SCALAR_NUMBER
                   : SCALAR_STRING;
    if (strchr("nN~", text[0]) != NULL && one_of(text, nulls))
        return SCALAR_NULL;
    if (strchr("tTfF", text[0]) != NULL && one_of(text, booleans))
        return SCALAR_BOOL;
    return SCALAR_STRING;
}
