/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/1 answer, byte by byte where lines are read, in large pieces where a body is. */
#include "serve/gateway_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { INTERIM_MAX = 8, DIGITS_MAX = 15 };

static void wrong(struct answer *a, const char *why)
{
    a->state = ANSWER_WRONG;
    a->wrong = why;
    a->keep = false;
}

/* What the header says about the body. */
struct facts {
    bool has_length, chunked, close, keep_alive, minor_0;
    uint64_t length;
};

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (*s.data == ' ' || *s.data == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 &&
           (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t' || s.data[s.len - 1] == '\r')) {
        s.len--;
    }
    return s;
}

static bool same(struct slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.data, word, s.len) == 0;
}

/* Words between commas. */
static bool names(struct slice list, const char *word)
{
    while (list.len > 0) {
        const char *comma = memchr(list.data, ',', list.len);
        size_t n = comma ? (size_t)(comma - list.data) : list.len;
        if (same(trim(slice_of(list.data, n)), word)) {
            return true;
        }
        n += comma != NULL;
        list.data += n;
        list.len -= n;
    }
    return false;
}

static bool read_length(struct slice v, uint64_t *ret)
{
    uint64_t n = 0;

    if (v.len == 0 || v.len > DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] < '0' || v.data[i] > '9') {
            return false;
        }
        n = n * 10 + (uint64_t)(v.data[i] - '0');
    }
    *ret = n;
    return true;
}

static const char *read_header(struct slice line, struct facts *f)
{
    const char *colon = memchr(line.data, ':', line.len);

    if (!colon || colon == line.data || *line.data == ' ' || *line.data == '\t') {
        return "a malformed header";
    }
    struct slice name = slice_of(line.data, (size_t)(colon - line.data));
    struct slice value = trim(slice_of(colon + 1, line.len - name.len - 1));
    if (same(name, "Content-Length")) {
        uint64_t n;
        if (!read_length(value, &n) || (f->has_length && n != f->length)) {
            return "a malformed Content-Length";
        }
        f->has_length = true;
        f->length = n;
    } else if (same(name, "Transfer-Encoding")) {
        if (!same(value, "chunked") || f->chunked) {
            return "a Transfer-Encoding other than chunked";
        }
        f->chunked = true;
    } else if (same(name, "Content-Encoding")) {
        if (!same(value, "identity")) {
            return "a compressed answer, which was not asked for";
        }
    } else if (same(name, "Connection")) {
        f->close = f->close || names(value, "close");
        f->keep_alive = f->keep_alive || names(value, "keep-alive");
    }
    return NULL;
}

/* "HTTP/1.1 200 OK" */
static bool read_status(struct slice line, int *ret, bool *ret_minor_0)
{
    if (line.len < 12 || memcmp(line.data, "HTTP/1.", 7) != 0 || line.data[8] != ' ' ||
        (line.data[7] != '0' && line.data[7] != '1') || (line.len > 12 && line.data[12] != ' ')) {
        return false;
    }
    int status = 0;
    for (int i = 9; i < 12; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return false;
        }
        status = status * 10 + (line.data[i] - '0');
    }
    *ret = status;
    *ret_minor_0 = line.data[7] == '0';
    return status >= 100 && status <= 599;
}

static void begin_body(struct answer *a, const struct facts *f)
{
    /* Both: which of them counts is a matter of opinion, so nothing more is read from there. */
    a->keep = !f->close && (!f->minor_0 || f->keep_alive) && !(f->chunked && f->has_length);
    if (a->status == 204 || a->status == 304) {
        a->state = ANSWER_DONE;
    } else if (f->chunked) {
        a->state = ANSWER_CHUNK_SIZE;
    } else if (!f->has_length) {
        a->keep = false;
        a->state = ANSWER_UNTIL_END;
    } else if (f->length > a->max_body) {
        wrong(a, "an answer larger than allowed");
    } else {
        a->left = f->length;
        a->state = f->length ? ANSWER_BODY : ANSWER_DONE;
        sb_reserve(&a->body, f->length < (1 << 20) ? f->length : 1 << 20);
    }
    sb_clear(&a->head);
}

static void read_head(struct answer *a)
{
    struct facts f = {0};
    const char *at = a->head.data, *end = a->head.data + a->head.len;
    bool status_line = true;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = newline ? (size_t)(newline - at) : (size_t)(end - at);
        struct slice line = slice_of(at, n);
        at += n + (newline != NULL);
        if (line.len > 0 && line.data[line.len - 1] == '\r') {
            line.len--;
        }
        if (status_line) {
            if (!read_status(line, &a->status, &f.minor_0)) {
                wrong(a, "no HTTP/1 answer");
                return;
            }
            status_line = false;
        } else if (line.len > 0) {
            const char *why = read_header(line, &f);
            if (why) {
                wrong(a, why);
                return;
            }
        }
    }
    if (a->status == 101 || (a->status < 200 && ++a->interim > INTERIM_MAX)) {
        wrong(a, "an interim answer that was not asked for");
    } else if (a->status < 200) {
        sb_clear(&a->head); /* 100 Continue and its like: the answer follows */
    } else {
        begin_body(a, &f);
    }
}

/* Takes bytes up to the empty line; lines end with \n, with or without \r. */
static size_t feed_head(struct answer *a, const char *data, size_t len)
{
    for (size_t i = 0; i < len;) {
        const char *newline = memchr(data + i, '\n', len - i);
        size_t n = newline ? (size_t)(newline - data) + 1 - i : len - i;
        if (a->head.len + n > ANSWER_HEAD_MAX) {
            wrong(a, "a header larger than 32 KiB");
            return i;
        }
        sb_add(&a->head, data + i, n);
        i += n;
        if (!newline) {
            return i;
        }
        size_t h = a->head.len;
        const char *t = a->head.data;
        bool empty = h == 1 || (h == 2 && t[0] == '\r') || (h >= 2 && t[h - 2] == '\n') ||
                     (h >= 3 && t[h - 2] == '\r' && t[h - 3] == '\n');
        if (empty) {
            read_head(a);
            return i;
        }
    }
    return len;
}

/* Appends up to the end of a line to `head`; true: it is complete, without its end. */
static bool feed_line(struct answer *a, const char *data, size_t len, size_t *ret_taken)
{
    const char *newline = memchr(data, '\n', len);
    size_t n = newline ? (size_t)(newline - data) + 1 : len;

    *ret_taken = n;
    if (a->head.len + n > ANSWER_LINE_MAX) {
        wrong(a, "a line that is too long between chunks");
        return false;
    }
    sb_add(&a->head, data, n);
    if (!newline) {
        return false;
    }
    sb_truncate(&a->head, a->head.len - 1);
    if (a->head.len > 0 && a->head.data[a->head.len - 1] == '\r') {
        sb_truncate(&a->head, a->head.len - 1);
    }
    return true;
}

static void chunk_size(struct answer *a)
{
    uint64_t n = 0;
    size_t i = 0;

    for (; i < a->head.len && i < DIGITS_MAX; i++) {
        char c = a->head.data[i];
        if (c >= '0' && c <= '9') {
            n = n * 16 + (uint64_t)(c - '0');
        } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
            n = n * 16 + (uint64_t)((c | 32) - 'a') + 10;
        } else {
            break;
        }
    }
    bool ends = i == a->head.len || (a->head.data[i] && strchr("; \t", a->head.data[i]));
    if (i == 0 || !ends) {
        wrong(a, "a malformed chunk");
    } else if (n > a->max_body || a->body.len + n > a->max_body) {
        wrong(a, "an answer larger than allowed");
    } else {
        a->left = n;
        a->state = n ? ANSWER_CHUNK : ANSWER_TRAILER;
    }
    sb_clear(&a->head);
}

/* A line of the chunked form is complete. */
static void end_line(struct answer *a)
{
    if (a->state == ANSWER_CHUNK_SIZE) {
        chunk_size(a);
    } else if (a->state == ANSWER_CHUNK_END) {
        if (a->head.len > 0) {
            wrong(a, "a malformed chunk");
        } else {
            a->state = ANSWER_CHUNK_SIZE;
        }
    } else if (a->head.len == 0) {
        a->state = ANSWER_DONE;
    } else if (++a->interim > 64) {
        wrong(a, "too many trailers");
    }
    sb_clear(&a->head);
}

static size_t feed_body(struct answer *a, const char *data, size_t len)
{
    size_t n = len < a->left ? len : (size_t)a->left;

    sb_add(&a->body, data, n);
    a->left -= n;
    if (a->left == 0) {
        a->state = a->state == ANSWER_BODY ? ANSWER_DONE : ANSWER_CHUNK_END;
    }
    return n;
}

static size_t feed_until_end(struct answer *a, const char *data, size_t len)
{
    if (a->body.len + len > a->max_body) {
        wrong(a, "an answer larger than allowed");
        return 0;
    }
    sb_add(&a->body, data, len);
    return len;
}

size_t answer_feed(struct answer *a, const char *data, size_t len)
{
    size_t taken = 0;

    while (taken < len && a->state < ANSWER_DONE) {
        size_t n = 0;
        if (a->state == ANSWER_HEAD) {
            n = feed_head(a, data + taken, len - taken);
        } else if (a->state == ANSWER_BODY || a->state == ANSWER_CHUNK) {
            n = feed_body(a, data + taken, len - taken);
        } else if (a->state == ANSWER_UNTIL_END) {
            n = feed_until_end(a, data + taken, len - taken);
        } else if (feed_line(a, data + taken, len - taken, &n)) {
            end_line(a);
        }
        taken += n;
    }
    return taken;
}

void answer_end(struct answer *a)
{
    if (a->state == ANSWER_UNTIL_END) {
        a->state = ANSWER_DONE;
    } else if (a->state < ANSWER_DONE) {
        wrong(a, "the connection was closed before the end of the answer");
    }
    a->keep = false;
}

void answer_clear(struct answer *a)
{
    sb_clear(&a->head);
    sb_clear(&a->body);
    *a = (struct answer){.head = a->head, .body = a->body, .max_body = a->max_body};
}

void answer_done(struct answer *a)
{
    sb_done(&a->head);
    sb_done(&a->body);
}
