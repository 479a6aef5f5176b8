/* SPDX-License-Identifier: Apache-2.0 */
/* Model servers' HTTP answers. */
#include "base/str.h"
#include "serve/gateway_answer.h"

#include <criterion/criterion.h>
#include <string.h>

enum { MAX = 1000 };

/* Whole, byte by byte, and cut anywhere: always the same. */
static void read_all(const char *text, size_t len, struct answer *a)
{
    size_t taken = answer_feed(a, text, len);
    for (size_t step = 1; step < 8; step += 3) {
        struct answer b = {.max_body = MAX};
        size_t at = 0;
        while (at < len && b.state < ANSWER_DONE) {
            at += answer_feed(&b, text + at, len - at < step ? len - at : step);
        }
        cr_assert_eq(b.state, a->state, "%s: %s", text, b.wrong);
        cr_assert(b.body.len == a->body.len && b.keep == a->keep && b.status == a->status);
        cr_assert(b.state != ANSWER_DONE || at == taken);
        answer_done(&b);
    }
}

static void expect(const char *text, int status, const char *body, bool keep)
{
    struct answer a = {.max_body = MAX};
    read_all(text, strlen(text), &a);
    cr_assert_eq(a.state, ANSWER_DONE, "%s: %s", text, a.wrong);
    cr_assert_eq(a.status, status);
    cr_assert_str_eq(sb_text(&a.body), body);
    cr_assert_eq(a.keep, keep, "%s", text);
    answer_done(&a);
}

static void refuse(const char *text, const char *why)
{
    struct answer a = {.max_body = MAX};
    read_all(text, strlen(text), &a);
    cr_assert_eq(a.state, ANSWER_WRONG, "%s", text);
    cr_assert_str_eq(a.wrong, why, "%s: %s", text, a.wrong);
    cr_assert_not(a.keep);
    answer_done(&a);
}

Test(serve_gateway_answer, whole)
{
    expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", true);
    expect("HTTP/1.1 200\r\ncontent-length:2 \r\n\r\n{}", 200, "{}", true);
    expect("HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", 200, "{}", true);
    expect("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "", true);
    expect("HTTP/1.1 204 No\r\n\r\n", 204, "", true);
    expect("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false);
    expect("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", 200, "x",
           true);
    expect("HTTP/1.1 200 OK\r\nConnection: foo, close\r\nContent-Length: 1\r\n\r\nx", 200, "x",
           false);
    expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 "
           "OK\r\nContent-Length: 1\r\n\r\nx",
           200, "x", true);
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
           "chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
           200, "abc0123456789", true);
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n",
           200, "a", true);
    /* two opinions about the length */
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: "
           "5\r\n\r\n1\r\na\r\n0\r\n\r\n",
           200, "a", false);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 200, "x", true);
}

Test(serve_gateway_answer, refused)
{
    refuse("220 mail ESMTP\r\n\r\n", "no HTTP/1 answer");
    refuse("HTTP/2 200\r\n\r\n", "no HTTP/1 answer");
    refuse("HTTP/1.1 2000 OK\r\n\r\n", "no HTTP/1 answer");
    refuse("HTTP/1.1 999 OK\r\n\r\n", "no HTTP/1 answer");
    refuse("\r\n\r\n", "no HTTP/1 answer");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a malformed Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", "a malformed Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
           "a malformed Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
           "a malformed Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "an answer larger than allowed");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
           "a Transfer-Encoding other than chunked");
    refuse("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n",
           "a compressed answer, which was not asked for");
    refuse("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a malformed header");
    refuse("HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", "a malformed header");
    refuse("HTTP/1.1 101 Switching\r\n\r\n", "an interim answer that was not asked for");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "a malformed chunk");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "a malformed chunk");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "a malformed chunk");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
           "a malformed chunk");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n",
           "an answer larger than allowed");
}

Test(serve_gateway_answer, bounds)
{
    struct str text = {0};
    sb_puts(&text, "HTTP/1.1 200 OK\r\nX: ");
    for (int i = 0; i < ANSWER_HEAD_MAX; i++) {
        sb_putc(&text, 'a');
    }
    refuse(sb_text(&text), "a header larger than 32 KiB");
    sb_clear(&text);
    sb_puts(&text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    for (int i = 0; i < ANSWER_LINE_MAX; i++) {
        sb_putc(&text, 'a');
    }
    refuse(sb_text(&text), "a line that is too long between chunks");
    sb_clear(&text);
    sb_puts(&text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i <= MAX / 10; i++) {
        sb_puts(&text, "A\r\n0123456789\r\n");
    }
    refuse(sb_text(&text), "an answer larger than allowed");
    sb_done(&text);
}

Test(serve_gateway_answer, until_the_end)
{
    struct answer a = {.max_body = MAX};
    const char *text = "HTTP/1.0 200 OK\r\n\r\nabc";
    answer_feed(&a, text, strlen(text));
    cr_assert_eq(a.state, ANSWER_UNTIL_END);
    answer_end(&a);
    cr_assert_eq(a.state, ANSWER_DONE);
    cr_assert_str_eq(sb_text(&a.body), "abc");
    cr_assert_not(a.keep);
    answer_clear(&a);
    text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
    answer_feed(&a, text, strlen(text));
    answer_end(&a);
    cr_assert_eq(a.state, ANSWER_WRONG);
    answer_clear(&a);
    cr_assert_eq(a.max_body, MAX);
    text = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 ";
    cr_assert_eq(answer_feed(&a, text, strlen(text)), strlen(text) - 9);
    answer_done(&a);
}
