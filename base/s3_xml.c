/* SPDX-License-Identifier: Apache-2.0 */
/* What S3 answers in XML: lists and refusals. Servers write them without attributes, comments and CDATA around what is of interest here, and names stand at fixed depths; so an element is
 * found by its tags. Anything else is not such an answer. */
#include "base/err.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static const char *find(const char *at, const char *end, const char *text)
{
    return at < end ? memmem(at, (size_t)(end - at), text, strlen(text)) : NULL;
}

/* The inside of the first <name> from *at on, which then stands behind it. */
static bool next_element(const char **at, const char *end, const char *name, struct slice *ret)
{
    char open[64], close[64];
    snprintf(open, sizeof(open), "<%s>", name);
    snprintf(close, sizeof(close), "</%s>", name);
    const char *begin = find(*at, end, open);
    const char *stop = begin ? find(begin, end, close) : NULL;
    if (!stop) {
        return false;
    }
    begin += strlen(open);
    *ret = slice_of(begin, (size_t)(stop - begin));
    *at = stop + strlen(close);
    return true;
}

static bool element(struct slice in, const char *name, struct slice *ret)
{
    const char *at = in.data;
    return next_element(&at, in.data + in.len, name, ret);
}

/* &amp; and its like; a number only below 128, as servers write quotes. What is not known stays. */
static void add_text(struct str *out, struct slice text)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    const char *at = text.data, *end = text.data + text.len;
    while (at < end) {
        size_t i = 0, used = 1;
        char c = *at;
        for (; c == '&' && i < ARRAY_LEN(entities); i++) {
            size_t len = strlen(entities[i].name);
            if ((size_t)(end - at) >= len && memcmp(at, entities[i].name, len) == 0) {
                c = entities[i].c;
                used = len;
                break;
            }
        }
        if (c == '&' && used == 1 && end - at > 3 && at[1] == '#') {
            char number[8] = "", *stop = NULL;
            snprintf(number, sizeof(number), "%.*s", end - at > 8 ? 6 : (int)(end - at - 2),
                     at + 2);
            unsigned long code =
                number[0] == 'x' ? strtoul(number + 1, &stop, 16) : strtoul(number, &stop, 10);
            if (*stop == ';' && code > 0 && code < 128) {
                c = (char)code;
                used = 3 + (size_t)(stop - number);
            }
        }
        sb_putc(out, c);
        at += used;
    }
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *found = c ? strchr(digits, c) : NULL;
    return found ? (int)((found - digits) % 16) : -1;
}

/* %XX in place, as encoding-type=url has it; some servers write a blank as +. False: a NUL. */
static bool unescape(struct str *s)
{
    size_t to = 0;
    for (size_t i = 0; i < s->len; i++, to++) {
        char c = s->data[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%' && i + 2 < s->len && hex_digit(s->data[i + 1]) >= 0 &&
                   hex_digit(s->data[i + 2]) >= 0) {
            c = (char)(hex_digit(s->data[i + 1]) * 16 + hex_digit(s->data[i + 2]));
            i += 2;
        }
        if (c == '\0') {
            return false;
        }
        s->data[to] = c;
    }
    sb_truncate(s, to);
    return true;
}

static bool number(struct slice text, uint64_t *ret)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9 || n > (UINT64_MAX - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *ret = n;
    return text.len > 0;
}

static int not_a_list(struct err *err)
{
    return err_set(err, ERR_INVALID, 0, "the server's answer is not a list of S3 objects");
}

static int read_item(struct slice in, bool escaped,
                     int (*fn)(const struct s3_item *i, void *arg, struct err *err), void *arg,
                     struct err *err)
{
    CLEANUP(sb_done) struct str key = {0}, etag = {0};
    struct slice text;
    uint64_t size = 0;
    if (!element(in, "Key", &text)) {
        return not_a_list(err);
    }
    add_text(&key, text);
    if ((escaped && !unescape(&key)) || !element(in, "Size", &text) || !number(text, &size)) {
        return not_a_list(err);
    }
    if (element(in, "ETag", &text)) {
        add_text(&etag, text);
    }
    struct s3_item item = {.key = sb_text(&key), .etag = sb_text(&etag), .size = size};
    return fn(&item, arg, err);
}

int s3_list_read(const char *xml, size_t len,
                 int (*fn)(const struct s3_item *i, void *arg, struct err *err), void *arg,
                 char **ret_token, struct err *err)
{
    const char *root = find(xml, xml + len, "<ListBucketResult"), *at;
    const char *end = root ? find(root, xml + len, "</ListBucketResult>") : NULL;
    struct slice all, text;
    if (!end) {
        return not_a_list(err);
    }
    all = slice_of(root, (size_t)(end - root));
    bool escaped = element(all, "EncodingType", &text) && slice_eq(text, slice_str("url"));
    for (at = root; next_element(&at, end, "Contents", &text);) {
        int rc = read_item(text, escaped, fn, arg, err);
        if (rc < 0) {
            return rc;
        }
    }
    *ret_token = NULL;
    if (element(all, "IsTruncated", &text) && slice_eq(text, slice_str("true"))) {
        CLEANUP(sb_done) struct str token = {0};
        if (!element(all, "NextContinuationToken", &text) || text.len == 0) {
            return not_a_list(err);
        }
        add_text(&token, text);
        *ret_token = sb_take(&token);
    }
    return 0;
}

void s3_refusal(const char *xml, size_t len, struct str *out)
{
    struct slice in = {xml, len}, error, text;
    if (len == 0 || !element(in, "Error", &error) || !element(error, "Code", &text)) {
        return;
    }
    add_text(out, text);
    if (element(error, "Message", &text) && text.len > 0) {
        sb_puts(out, ": ");
        add_text(out, text);
    }
}
