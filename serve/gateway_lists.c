/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that have been checked, taken apart: here brackets close and strings end. */
#include "serve/gateway_scan.h"

#include <string.h>

/* Behind the closing quote of a string that has been checked. */
static const char *past_string(const char *at)
{
    for (at++; *at != '"'; at++) {
        at += *at == '\\';
    }
    return at + 1;
}

static bool blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

void scan_flatten(struct slice list, struct str *out)
{
    const char *end = list.data + list.len;

    /* Commas stay: between lists they are between their scalars too. Empty lists never hold company: then the shape has a 0, and there are no scalars at all. */
    bool any = false;
    for (const char *at = list.data; at < end; at++) {
        any = any || (*at != '[' && *at != ']' && *at != ',' && !blank(*at));
    }
    for (const char *at = list.data; any && at < end;) {
        if (*at == '"') {
            const char *past = past_string(at);
            sb_add(out, at, (size_t)(past - at));
            at = past;
        } else if (*at == '[' || *at == ']' || blank(*at)) {
            at++;
        } else {
            size_t n = 1;
            while (at + n < end && !strchr("[]\" \n\r\t", at[n])) {
                n++;
            }
            sb_add(out, at, n);
            at += n;
        }
    }
}

struct slice scan_inner(struct slice list)
{
    const char *from = list.data + 1, *to = list.data + list.len - 1;

    while (from < to && blank(*from)) {
        from++;
    }
    while (from < to && blank(to[-1])) {
        to--;
    }
    return slice_of(from, (size_t)(to - from));
}

size_t scan_cuts(struct slice list, uint64_t every, const char **ret, size_t max)
{
    struct slice inner = scan_inner(list);
    const char *end = inner.data + inner.len;
    uint64_t items = 0;
    size_t n = 0, depth = 0;

    if (inner.len == 0) {
        return 0;
    }
    ret[n++] = inner.data;
    for (const char *at = inner.data; at < end;) {
        if (*at == '"') {
            at = past_string(at);
            continue;
        }
        depth += *at == '[' || *at == '{';
        depth -= *at == ']' || *at == '}';
        at++;
        if (at[-1] == ',' && depth == 0 && ++items % every == 0 && n < max) {
            ret[n++] = at;
        }
    }
    ret[n++] = end;
    return n;
}
