/* SPDX-License-Identifier: Apache-2.0 */
/* The file of callers' tokens. Tokens leave this file only as digests: HAProxy digests what a caller sends and looks that up. */
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_FILE_MAX = 4 << 20, TOKEN_MAX_LEN = 1024 };

void proxy_tokens_done(struct proxy_tokens *t)
{
    vec_done(&t->list);
}

/* RFC 6750: b64token. */
static bool is_token(struct slice w)
{
    if (w.len == 0 || w.len > TOKEN_MAX_LEN) {
        return false;
    }
    for (size_t i = 0; i < w.len; i++) {
        char c = w.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("-._~+/=", c)))) {
            return false;
        }
    }
    return true;
}

/* "50", "50/s", "600/m", "1000/h" -> per second. */
static bool read_rate(struct slice w, double *ret)
{
    char text[32], *end;
    double seconds = 1;
    if (w.len > 2 && w.data[w.len - 2] == '/') {
        char unit = w.data[w.len - 1];
        seconds = unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : 0;
        w.len -= 2;
    }
    if (w.len == 0 || w.len >= sizeof(text) || seconds <= 0) {
        return false;
    }
    memcpy(text, w.data, w.len);
    text[w.len] = '\0';
    *ret = strtod(text, &end) / seconds;
    return *end == '\0' && isfinite(*ret) && *ret >= 0 && *ret <= 1e9 &&
           strspn(text, "0123456789.") == w.len;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line; empty: none. */
static struct slice next_word(struct slice *line)
{
    while (line->len > 0 && blank(line->data[0])) {
        line->data++, line->len--;
    }
    struct slice w = {line->data, 0};
    while (line->len > 0 && !blank(line->data[0])) {
        line->data++, line->len--, w.len++;
    }
    return w;
}

static void upper_hex(struct slice token, char out[DIGEST_HEX + 1])
{
    struct digest d;
    digest_of(token.data, token.len, &d);
    digest_hex(&d, out);
    for (char *p = out; *p; p++) {
        if (*p >= 'a' && *p <= 'f') {
            *p = (char)(*p - 'a' + 'A');
        }
    }
}

static int parse_line(struct slice line, struct proxy_tokens *t, const char *path, size_t number,
                      struct err *err)
{
    struct slice token = next_word(&line);
    if (token.len == 0 || token.data[0] == '#') {
        return 0;
    }
    struct slice name = next_word(&line), rate = next_word(&line), more = next_word(&line);
    struct proxy_token one = {.rate = -1};
    if (!is_token(token) || name.len == 0 || more.len > 0 ||
        (rate.len > 0 && !read_rate(rate, &one.rate))) {
        return err_set(err, ERR_INVALID, 0,
                       "%s, line %zu: expected \"TOKEN NAME\" or \"TOKEN NAME RATE\": the token of "
                       "letters, digits and -._~+/=, the rate such as 10/s or 600/m",
                       path, number);
    }
    upper_hex(token, one.hex);
    *vec_push(&t->list) = one;
    return 0;
}

static int by_hex(const void *a, const void *b)
{
    return strcmp(((const struct proxy_token *)a)->hex, ((const struct proxy_token *)b)->hex);
}

static int parse_all(const char *path, const char *text, size_t len, struct proxy_tokens *t,
                     struct err *err)
{
    size_t number = 1;
    for (size_t at = 0; at < len; number++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - text) - at : len - at;
        int rc = parse_line(slice_of(text + at, n), t, path, number, err);
        if (rc < 0) {
            return rc;
        }
        at += n + 1;
    }
    if (t->list.len > 1) {
        qsort(t->list.items, t->list.len, sizeof(*t->list.items), by_hex);
    }
    for (size_t i = 1; i < t->list.len; i++) {
        if (by_hex(&t->list.items[i - 1], &t->list.items[i]) == 0) {
            return err_set(err, ERR_INVALID, 0, "%s: a token stands there twice", path);
        }
    }
    return 0;
}

int proxy_tokens_parse(const char *path, const char *text, size_t len, struct proxy_tokens *ret,
                       struct err *err)
{
    struct proxy_tokens t = {0};
    int rc = parse_all(path, text, len, &t, err);
    if (rc < 0) {
        proxy_tokens_done(&t);
        return rc;
    }
    *ret = t;
    return 0;
}

int proxy_tokens_read(const char *path, struct proxy_tokens *ret, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    int rc = fs_read_file(path, TOKENS_FILE_MAX, &text, err);
    if (rc == 0) {
        rc = proxy_tokens_parse(path, sb_text(&text), text.len, ret, err);
    }
    if (text.data) {
        explicit_bzero(text.data, text.len);
    }
    return rc;
}
