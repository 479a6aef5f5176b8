/* SPDX-License-Identifier: Apache-2.0 */
/* Members of an object without reading the document: one pass over the text, no memory. */
#include "base/json.h"

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Past the closing quote; NULL: there is none. `at` stands behind the opening one. */
static const char *skip_string(const char *at)
{
    for (;;) {
        at += strcspn(at, "\"\\");
        if (*at == '"') {
            return at + 1;
        }
        if (!*at || !at[1]) {
            return NULL;
        }
        at += 2;
    }
}

static const char *skip_nested(const char *at)
{
    size_t depth = 0;

    do {
        at += strcspn(at, "\"{}[]");
        if (*at == '"') {
            at = skip_string(at + 1);
        } else if (*at) {
            depth += *at == '{' || *at == '[' ? 1 : SIZE_MAX;
            at++;
        } else {
            at = NULL;
        }
    } while (at && depth > 0);
    return at;
}

static const char *skip_value(const char *at)
{
    if (*at == '"') {
        return skip_string(at + 1);
    }
    if (*at == '{' || *at == '[') {
        return skip_nested(at);
    }
    size_t len = strcspn(at, ",]} \t\r\n\"");
    return len > 0 ? at + len : NULL;
}

static struct json_slice *slice_for(const char *key, size_t len, const char *const *keys, size_t n,
                                    struct json_slice *slices)
{
    for (size_t k = 0; k < n; k++) {
        if (strncmp(keys[k], key, len) == 0 && keys[k][len] == '\0') {
            return &slices[k];
        }
    }
    return NULL;
}

bool json_members(const char *text, const char *const *keys, size_t n, struct json_slice *ret)
{
    memset(ret, 0, n * sizeof(*ret));
    const char *at = text ? skip_space(text) : NULL;
    if (!at || *at != '{') {
        return false;
    }
    at = skip_space(at + 1);
    while (*at == '"') {
        const char *key = at + 1;
        const char *end = skip_string(key);
        if (!end) {
            return false;
        }
        const char *value = skip_space(end);
        if (*value != ':') {
            return false;
        }
        value = skip_space(value + 1);
        at = skip_value(value);
        if (!at) {
            return false;
        }
        struct json_slice *slice = slice_for(key, (size_t)(end - 1 - key), keys, n, ret);
        if (slice) {
            *slice = (struct json_slice){value, (size_t)(at - value)};
        }
        at = skip_space(at);
        if (*at == ',') {
            at = skip_space(at + 1);
        } else {
            break;
        }
    }
    return *at == '}';
}
