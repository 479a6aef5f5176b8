/* SPDX-License-Identifier: Apache-2.0 */
/* The text form: writing and reading. manifest_input.c makes one of an input folder, objects_take.c of an output. */
#include "cache/manifest.h"

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <string.h>

static const char first_line[] = "wf-tree-1\n";

void manifest_begin(struct str *out)
{
    sb_puts(out, first_line);
}

void manifest_add(struct str *out, const struct manifest_entry *e)
{
    sb_putc(out, e->kind);
    sb_putc(out, ' ');
    if (e->kind == 'f' || e->kind == 'x') {
        digest_hex_add(out, &e->digest);
    } else {
        sb_putc(out, '-');
    }
    sb_putc(out, ' ');
    sb_u64(out, e->bytes);
    sb_putc(out, ' ');
    sb_u64(out, e->name_len);
    sb_putc(out, ' ');
    sb_add(out, e->name, e->name_len);
    if (e->kind == 'l') {
        sb_putc(out, ' ');
        sb_u64(out, e->link_len);
        sb_putc(out, ' ');
        sb_add(out, e->link, e->link_len);
    }
    sb_putc(out, '\n');
}

bool manifest_link_inside(const char *name, const char *link)
{
    size_t depth = 0;
    bool named = false;

    if (*link == '/' || *link == '\0') {
        return false;
    }
    for (const char *p = name; *p; p++) {
        depth += *p == '/';
    }
    while (*link) {
        size_t len = strcspn(link, "/");
        if (len == 2 && memcmp(link, "..", 2) == 0) {
            if (named || depth == 0) {
                return false;
            }
            depth--;
        } else if (len > 0 && !(len == 1 && *link == '.')) {
            named = true;
        }
        link += len;
        link += strspn(link, "/");
    }
    return true;
}

/* --- reading --- */

struct reader {
    const char *at, *end;
};

static bool get_char(struct reader *r, char c)
{
    if (r->at >= r->end || *r->at != c) {
        return false;
    }
    r->at++;
    return true;
}

/* A decimal number without leading zeros, as it is written. */
static bool get_number(struct reader *r, uint64_t *ret)
{
    const char *from = r->at;
    uint64_t v = 0;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        unsigned digit = (unsigned)(*r->at - '0');
        if (v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
        r->at++;
    }
    *ret = v;
    return r->at > from && (*from != '0' || r->at == from + 1);
}

/* LEN SP BYTES */
static bool get_bytes(struct reader *r, const char **ret, size_t *ret_len)
{
    uint64_t len;

    if (!get_number(r, &len) || !get_char(r, ' ') || len > (uint64_t)(r->end - r->at) || len == 0 ||
        memchr(r->at, 0, (size_t)len)) {
        return false;
    }
    *ret = r->at;
    *ret_len = (size_t)len;
    r->at += len;
    return true;
}

/* Relative, and no part of it is empty, "." or "..". */
static bool name_good(const char *name, size_t len)
{
    size_t from = 0;

    for (size_t i = 0; i <= len; i++) {
        if (i < len && name[i] != '/') {
            continue;
        }
        size_t part = i - from;
        if (part == 0 || (part == 1 && name[from] == '.') ||
            (part == 2 && memcmp(name + from, "..", 2) == 0)) {
            return false;
        }
        from = i + 1;
    }
    return true;
}

static bool get_digest(struct reader *r, char kind, struct digest *ret)
{
    if (kind == 'd' || kind == 'l') {
        memset(ret, 0, sizeof(*ret));
        return get_char(r, '-');
    }
    if (r->end - r->at < DIGEST_HEX || !digest_parse(r->at, DIGEST_HEX, ret)) {
        return false;
    }
    r->at += DIGEST_HEX;
    return true;
}

static bool get_entry(struct reader *r, struct manifest_entry *e)
{
    memset(e, 0, sizeof(*e));
    if (r->at >= r->end || !strchr("fxdl", *r->at) || *r->at == '\0') {
        return false;
    }
    e->kind = *r->at++;
    if (!get_char(r, ' ') || !get_digest(r, e->kind, &e->digest) || !get_char(r, ' ') ||
        !get_number(r, &e->bytes) || !get_char(r, ' ') || !get_bytes(r, &e->name, &e->name_len) ||
        !name_good(e->name, e->name_len)) {
        return false;
    }
    if (e->kind == 'l' && (!get_char(r, ' ') || !get_bytes(r, &e->link, &e->link_len))) {
        return false;
    }
    return get_char(r, '\n');
}

static bool in_order(const struct manifest_entry *before, const struct manifest_entry *e)
{
    size_t least = before->name_len < e->name_len ? before->name_len : e->name_len;
    int order = memcmp(before->name, e->name, least);

    return order < 0 || (order == 0 && before->name_len < e->name_len);
}

int manifest_each(const char *text, size_t len,
                  int (*fn)(const struct manifest_entry *e, void *arg, struct err *err), void *arg,
                  struct err *err)
{
    size_t head = sizeof(first_line) - 1;
    struct reader r = {text, text + len};
    struct manifest_entry before = {.name = ""}, e;

    if (len < head || memcmp(text, first_line, head) != 0) {
        return err_set(err, ERR_CORRUPT, 0, "a folder's list of files is damaged at its beginning");
    }
    r.at += head;
    while (r.at < r.end) {
        const char *line = r.at;
        if (!get_entry(&r, &e) || !in_order(&before, &e)) {
            return err_set(err, ERR_CORRUPT, 0, "a folder's list of files is damaged at byte %zu",
                           (size_t)(line - text));
        }
        int rc = fn(&e, arg, err);
        if (rc < 0) {
            return rc;
        }
        before = e;
    }
    return 0;
}
