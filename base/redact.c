/* SPDX-License-Identifier: Apache-2.0 */
#include "base/redact.h"

#include <ctype.h>
#include <string.h>

static bool in_scheme(char c)
{
    return isalnum((unsigned char)c) || c == '+' || c == '-' || c == '.';
}

static bool is_web(const char *scheme, size_t len)
{
    return (len >= 4 && memcmp(scheme + len - 4, "http", 4) == 0) ||
           (len >= 5 && memcmp(scheme + len - 5, "https", 5) == 0);
}

/* Where the host begins, behind somebody to be hidden; NULL: nobody. `from`: how far back a scheme may begin. */
static const char *hidden_until(const char *from, const char *colon)
{
    const char *user = colon + strlen("://"), *scheme = colon;
    size_t len = strcspn(user, "/?# \t\r\n\"'`<>\\");
    const char *at = memrchr(user, '@', len);

    while (scheme > from && in_scheme(scheme[-1])) {
        scheme--;
    }
    if (!at || scheme == colon || at == user) {
        return NULL;
    }
    bool tells = memchr(user, ':', (size_t)(at - user)) || is_web(scheme, (size_t)(colon - scheme));
    return tells ? at : NULL;
}

bool redact_urls(const char *text, struct str *out)
{
    const char *from = text;
    bool any = false;

    for (const char *p = strstr(text, "://"); p; p = strstr(p + 3, "://")) {
        const char *at = hidden_until(from, p);
        if (at) {
            sb_add(out, from, (size_t)(p + 3 - from));
            sb_puts(out, "***");
            from = at;
            any = true;
        }
    }
    if (any) {
        sb_puts(out, from);
    }
    return any;
}

static bool hide(const char **text, struct str *keep)
{
    sb_clear(keep);
    if (!*text || !redact_urls(*text, keep)) {
        return false;
    }
    *text = sb_text(keep);
    return true;
}

void redact_pair(const char **old, const char **now, struct str *a, struct str *b)
{
    bool hidden = hide(old, a);

    if (hide(now, b) && hidden && strcmp(*old, *now) == 0) {
        sb_puts(b, ", with another user or password");
        *now = sb_text(b);
    }
}
