/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pack.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>
#include <string.h>

enum form { AS_IT_IS, SHORTENED, BY_SAMPLE };
enum { OTHER_DIGEST = 1, WORK_DIGEST, FIRST_FRAGMENT, BELOW_TEXT = 0x20 };
enum {
    LEAST = 4 /* bytes of the sample that are worth being named */,
    SAMPLE_MAX = 1 << 15,
    HASHES = 1024
};

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

bool action_shorten(const char *action, size_t len, const struct digest *work, struct str *out)
{
    size_t before = out->len;

    sb_reserve(out, len);
    for (size_t i = 0; i < len;) {
        struct digest d;
        char code;
        size_t n;
        if ((unsigned char)action[i] < BELOW_TEXT) {
            sb_truncate(out, before);
            return false;
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
    return true;
}

/* --- by a sample --- */

static void put_number(struct str *out, uint64_t v)
{
    while (v >= 0x80) {
        sb_putc(out, (char)(v | 0x80));
        v >>= 7;
    }
    sb_putc(out, (char)v);
}

static bool get_number(const unsigned char **at, const unsigned char *end, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 63 && *at < end; shift += 7) {
        unsigned char byte = *(*at)++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static unsigned hash_of(const char *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return (v * 2654435761U) >> 22;
}

/* How far both go on alike. */
static size_t alike(const char *a, size_t a_left, const char *b, size_t b_left)
{
    size_t n = a_left < b_left ? a_left : b_left, i = 0;

    while (i < n && a[i] == b[i]) {
        i++;
    }
    return i;
}

/* Pieces of the sample where `text` has them too; first looked for where the last piece would go on. */
static void tell_by_sample(const char *text, size_t len, struct slice sample, struct str *out)
{
    uint16_t known[HASHES] = {0}; /* place + 1 */
    size_t from = 0, next = 0;    /* of the new bytes; of the sample, where the last piece ended */

    for (size_t k = sample.len - LEAST + 1; k-- > 0;) {
        known[hash_of(sample.data + k)] = (uint16_t)(k + 1);
    }
    for (size_t i = 0; i + LEAST <= len;) {
        size_t place = next + (i - from), n = 0;
        if (place < sample.len) {
            n = alike(text + i, len - i, sample.data + place, sample.len - place);
        }
        uint16_t other = n < LEAST ? known[hash_of(text + i)] : 0;
        if (other > 0) {
            place = other - 1U;
            n = alike(text + i, len - i, sample.data + place, sample.len - place);
        }
        if (n < LEAST) {
            i++;
            continue;
        }
        int64_t off = (int64_t)place - (int64_t)(next + (i - from));
        put_number(out, i - from);
        sb_add(out, text + from, i - from);
        put_number(out, n);
        put_number(out, off < 0 ? ((uint64_t)-off << 1) - 1 : (uint64_t)off << 1);
        i += n;
        from = i;
        next = place + n;
    }
    if (from < len) {
        put_number(out, len - from);
        sb_add(out, text + from, len - from);
    }
}

static bool read_by_sample(struct slice packed, struct slice sample, struct str *out)
{
    const unsigned char *at = (const unsigned char *)packed.data, *end = at + packed.len;
    uint64_t next = 0, len, off;

    while (at < end) {
        if (!get_number(&at, end, &len) || len > (uint64_t)(end - at)) {
            return false;
        }
        sb_add(out, at, len);
        at += len;
        next += len;
        if (at == end) {
            break;
        }
        if (!get_number(&at, end, &len) || !get_number(&at, end, &off)) {
            return false;
        }
        next = off & 1 ? next - ((off + 1) >> 1) : next + (off >> 1);
        if (next > sample.len || len > sample.len - next) {
            return false;
        }
        sb_add(out, sample.data + next, len);
        next += len;
    }
    return true;
}

void action_pack(const char *action, size_t len, const struct digest *work, struct slice sample,
                 struct str *out)
{
    CLEANUP(sb_done) struct str text = {0};

    if (!action_shorten(action, len, work, &text)) {
        sb_putc(out, AS_IT_IS);
        sb_add(out, action, len);
    } else if (sample.len < LEAST || sample.len > SAMPLE_MAX) {
        sb_putc(out, SHORTENED);
        sb_add(out, sb_text(&text), text.len);
    } else {
        sb_putc(out, BY_SAMPLE);
        tell_by_sample(sb_text(&text), text.len, sample, out);
    }
}

/* --- and back --- */

static void put_digest(struct str *out, const struct digest *d)
{
    sb_add(out, "\"sha256:", 8);
    digest_hex_add(out, d);
    sb_putc(out, '"');
}

static bool lengthen(const void *data, size_t len, struct slice work, struct str *out)
{
    const unsigned char *at = data, *end = at + len;
    struct digest d;

    for (; at < end; at++) {
        if (*at >= BELOW_TEXT) {
            sb_putc(out, (char)*at);
        } else if (*at == OTHER_DIGEST && end - at > DIGEST_SIZE) {
            memcpy(d.bytes, at + 1, DIGEST_SIZE);
            put_digest(out, &d);
            at += DIGEST_SIZE;
        } else if (*at == WORK_DIGEST) {
            digest_of(work.data, work.len, &d);
            put_digest(out, &d);
        } else if (*at >= FIRST_FRAGMENT && *at < FIRST_FRAGMENT + N_FRAGMENTS) {
            const struct slice *f = &fragments[*at - FIRST_FRAGMENT];
            sb_add(out, f->data, f->len);
        } else {
            return false;
        }
    }
    return true;
}

int action_unpack(struct slice packed, struct slice work, struct slice sample, struct str *out,
                  struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    struct slice rest = {packed.data + 1, packed.len > 0 ? packed.len - 1 : 0};
    bool good = packed.len > 0;

    if (good && packed.data[0] == AS_IT_IS) {
        sb_add(out, rest.data, rest.len);
    } else if (good && packed.data[0] == SHORTENED) {
        good = lengthen(rest.data, rest.len, work, out);
    } else {
        good = good && packed.data[0] == BY_SAMPLE && read_by_sample(rest, sample, &text) &&
               lengthen(sb_text(&text), text.len, work, out);
    }
    return good ? 0 : err_set(err, ERR_CORRUPT, 0, "an action in the store is damaged");
}
