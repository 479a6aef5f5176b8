/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/pack.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(cache_pack);

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char work[] = "{\"command\":[\"true\"]}";

/* The packed length; the text must come back byte by byte. */
static size_t sample_trip(const char *text, size_t len, struct slice sample)
{
    CLEANUP(sb_done) struct str packed = {0};
    CLEANUP(sb_done) struct str again = {0};
    struct digest d;
    struct err err = {0};

    digest_of(work, strlen(work), &d);
    action_pack(text, len, &d, sample, &packed);
    cr_assert_eq(
        action_unpack(slice_of(packed.data, packed.len), slice_str(work), sample, &again, &err), 0,
        "%s", err.msg);
    cr_assert_eq(again.len, len);
    cr_assert(len == 0 || memcmp(again.data, text, len) == 0);
    return packed.len;
}

static size_t round_trip(const char *text, size_t len)
{
    return sample_trip(text, len, (struct slice){0});
}

static size_t text_trip(const char *text)
{
    return round_trip(text, strlen(text));
}

Test(cache_pack, an_action_becomes_a_third)
{
    CLEANUP(sb_done) struct str text = {0};
    struct digest d;

    digest_of(work, strlen(work), &d);
    sb_puts(
        &text,
        "{\"image\":\"sha256:" HEX "\",\"inputs\":["
        "{\"digest\":\"sha256:" HEX
        "\",\"kind\":\"file\",\"name\":\"script\",\"path\":\"train.py\"},"
        "{\"digest\":\"sha256:" HEX "\",\"exec\":true,\"kind\":\"tree\",\"path\":\"data\"}],"
        "\"steps\":[{\"branch\":\"k=1\",\"digest\":\"sha256:" HEX
        "\",\"kind\":\"file\",\"path\":\"o\","
        "\"ref\":\"steps.split.outputs.o\"}],\"values\":{\"steps.count.values.n\":\"\\\"12\\\"\"},"
        "\"work\":\"sha256:");
    digest_hex_add(&text, &d);
    sb_puts(&text, "\"}");
    size_t n = text_trip(sb_text(&text));
    cr_expect_lt(n * 5, text.len * 2, "%zu of %zu bytes", n, text.len);
}

Test(cache_pack, what_only_looks_like_a_digest_comes_back)
{
    cr_expect_eq(text_trip("\"sha256:" HEX "\""), 34);
    cr_expect_gt(
        text_trip("\"sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\""),
        64, "capitals stay as they are");
    text_trip("\"sha256:00\"");
    text_trip("\"sha256:" HEX);
    text_trip("sha256:" HEX "\"");
    text_trip("");
    text_trip("\"");
    text_trip("{\"digest\"");
    text_trip("\xc3\xa4\xf0\x9f\x8d\x8e\x7f\xff");
}

Test(cache_pack, bytes_that_stand_for_something_come_back)
{
    char text[300];

    for (int i = 0; i < 256; i++) {
        text[i] = (char)i;
    }
    for (int i = 0; i < 256; i++) {
        round_trip(text + i, 1);
    }
    round_trip(text, 256);
    text_trip("{\"digest\":\x03\"sha256:" HEX "\"");
}

Test(cache_pack, of_alike_actions_only_what_differs_is_told)
{
    CLEANUP(sb_done) struct str first = {0};
    struct digest d;
    char text[600];
    size_t len = 0;

    digest_of(work, strlen(work), &d);
    for (int i = 0; i < 50; i++) {
        len = (size_t)snprintf(text, sizeof(text),
                               "{\"inputs\":[{\"digest\":\"sha256:" HEX
                               "\",\"kind\":\"file\",\"path\":\"data/%d.csv\"},"
                               "{\"digest\":\"sha256:" HEX
                               "\",\"kind\":\"tree\",\"path\":\"src\"}],\"values\":{\"n\":\"%d\"}}",
                               i * i, i);
        if (i == 0) {
            cr_assert(action_shorten(text, len, &d, &first));
        }
        size_t n = sample_trip(text, len, slice_of(first.data, first.len));
        cr_expect_lt(n, 24, "%d: %zu bytes", i, n);
    }
    /* Nothing in common, nothing at all, and the sample cut short. */
    sample_trip("xyz", 3, slice_of(first.data, first.len));
    sample_trip("", 0, slice_of(first.data, first.len));
    for (size_t cut = 0; cut < first.len; cut++) {
        sample_trip(text, len, slice_of(first.data, cut));
    }
}

Test(cache_pack, any_mixture_of_pieces_comes_back)
{
    static const char *const pieces[] = {
        "\"",
        "{",
        ",",
        ".",
        "\\",
        "{\"digest\":",
        "\"sha256:" HEX "\"",
        ",\"kind\":\"file\",\"path\":\"",
        ",\"kind\":\"file\"",
        "\"work\":",
        ".outputs.",
        "\":\"\\\"",
        "x",
        "\xe2\x82\xac",
        "\"sha256:",
        HEX,
    };
    uint64_t seed = 42;
    char text[4096], before[4096];
    size_t before_len = 0;

    for (int round = 0; round < 20000; round++) {
        size_t len = 0;
        for (int i = 0; i < 12; i++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            const char *p = pieces[(seed >> 33) % (sizeof(pieces) / sizeof(pieces[0]))];
            memcpy(text + len, p, strlen(p));
            len += strlen(p);
        }
        round_trip(text, len);
        sample_trip(text, len, slice_of(before, before_len));
        memcpy(before, text, len);
        before_len = len;
    }
}

Test(cache_pack, a_damaged_row_is_told)
{
    static const struct slice bad[] = {
        {"", 0},
        {"\x03", 1},
        {"\x01\x01short", 7},
        {"\x01x\x1f", 3},
        {"\x01\x61\x00", 3},
        {"\x02\x05x", 3},
        {"\x02\x00\x7f\x00", 4},
        {"\x02\x00\x01\x05", 4},
        {"\x02\xff", 2},
    };
    struct err err;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CLEANUP(sb_done) struct str out = {0};
        err = (struct err){0};
        cr_expect_lt(action_unpack(bad[i], (struct slice){0}, slice_str("sample"), &out, &err), 0,
                     "%zu", i);
        cr_expect_eq(err.code, ERR_CORRUPT);
    }
}
