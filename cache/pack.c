/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pack.h"

#include "base/err.h"
#include "base/str.h"

#include <string.h>

enum { AS_IT_IS = 0, OTHER_DIGEST = 1, WORK_DIGEST = 2, FIRST_FRAGMENT = 3, BELOW_TEXT = 0x20 };

#define FRAGMENT(text)                                                                             \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
/* Where one begins like another the longer stands first. */
static const struct slice fragments[] = {
    FRAGMENT("{\"digest\":"),
    FRAGMENT(",\"kind\":\"file\",\"name\":\""),
    FRAGMENT(",\"kind\":\"file\",\"path\":\""),
    FRAGMENT(",\"kind\":\"tree\",\"name\":\""),
    FRAGMENT(",\"kind\":\"tree\",\"path\":\""),
    FRAGMENT(",\"exec\":true"),
    FRAGMENT("\",\"path\":\""),
    FRAGMENT("\",\"ref\":\"steps."),
    FRAGMENT("{\"branch\":\""),
    FRAGMENT("\",\"digest\":"),
    FRAGMENT("{\"image\":"),
    FRAGMENT("\"inputs\":["),
    FRAGMENT("\"program\":"),
    FRAGMENT("\"steps\":["),
    FRAGMENT("\"values\":{"),
    FRAGMENT("\"work\":"),
    FRAGMENT(".outputs."),
    FRAGMENT("\"steps."),
    FRAGMENT(".values."),
    FRAGMENT("\":\"\\\""),
    FRAGMENT("\\\"\""),
};
enum { N_FRAGMENTS = sizeof(fragments) / sizeof(fragments[0]) };
_Static_assert(FIRST_FRAGMENT + N_FRAGMENTS <= BELOW_TEXT, "each has a byte below 0x20");

enum { QUOTED_DIGEST = 1 + 7 + DIGEST_HEX + 1 };

/* Written as we write digests: only those come back as they were. */
static bool quoted_digest(const char *at, size_t left, struct digest *ret)
{
    if (left < QUOTED_DIGEST || memcmp(at, "\"sha256:", 8) != 0 || at[QUOTED_DIGEST - 1] != '"') {
        return false;
    }
    for (size_t i = 8; i < QUOTED_DIGEST - 1; i++) {
        if (at[i] >= 'A' && at[i] <= 'F') {
            return false;
        }
    }
    return digest_parse(at + 8, DIGEST_HEX, ret);
}

/* The length of the fragment that stands here, and its byte; 0: none. */
static size_t fragment_at(const char *at, size_t left, char *ret)
{
    for (size_t i = 0; i < N_FRAGMENTS; i++) {
        const struct slice *f = &fragments[i];
        if (f->len <= left && f->data[0] == *at && memcmp(at, f->data, f->len) == 0) {
            *ret = (char)(FIRST_FRAGMENT + i);
            return f->len;
        }
    }
    return 0;
}

static bool may_begin(char c)
{
    return c == '"' || c == ',' || c == '{' || c == '.' || c == '\\';
}

void action_pack(const char *action, size_t len, const struct digest *work, struct str *out)
{
    size_t before = out->len;

    sb_reserve(out, len + 1);
    for (size_t i = 0; i < len;) {
        struct digest d;
        char code;
        size_t n;
        if ((unsigned char)action[i] < BELOW_TEXT) {
            sb_truncate(out, before);
            sb_putc(out, AS_IT_IS);
            sb_add(out, action, len);
            return;
        }
        if (!may_begin(action[i])) {
            sb_putc(out, action[i++]);
        } else if (action[i] == '"' && quoted_digest(action + i, len - i, &d)) {
            bool own = digest_eq(&d, work);
            sb_putc(out, own ? WORK_DIGEST : OTHER_DIGEST);
            sb_add(out, d.bytes, own ? 0 : DIGEST_SIZE);
            i += QUOTED_DIGEST;
        } else if ((n = fragment_at(action + i, len - i, &code)) > 0) {
            sb_putc(out, code);
            i += n;
        } else {
            sb_putc(out, action[i++]);
        }
    }
}

static void put_digest(struct str *out, const struct digest *d)
{
    sb_add(out, "\"sha256:", 8);
    digest_hex_add(out, d);
    sb_putc(out, '"');
}

int action_unpack(const void *data, size_t len, const char *work, size_t work_len, struct str *out,
                  struct err *err)
{
    const unsigned char *at = data, *end = at + len;
    struct digest d;

    if (len > 0 && *at == AS_IT_IS) {
        sb_add(out, at + 1, len - 1);
        return 0;
    }
    for (; at < end; at++) {
        if (*at >= BELOW_TEXT) {
            sb_putc(out, (char)*at);
        } else if (*at == OTHER_DIGEST && end - at > DIGEST_SIZE) {
            memcpy(d.bytes, at + 1, DIGEST_SIZE);
            put_digest(out, &d);
            at += DIGEST_SIZE;
        } else if (*at == WORK_DIGEST && work) {
            digest_of(work, work_len, &d);
            put_digest(out, &d);
        } else if (*at >= FIRST_FRAGMENT && *at < FIRST_FRAGMENT + N_FRAGMENTS) {
            const struct slice *f = &fragments[*at - FIRST_FRAGMENT];
            sb_add(out, f->data, f->len);
        } else {
            return err_set(err, ERR_CORRUPT, 0, "an action in the store is damaged");
        }
    }
    return 0;
}
