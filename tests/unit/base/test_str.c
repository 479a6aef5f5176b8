/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(base_str, an_empty_string_has_a_text_and_can_be_taken)
{
    struct str s = {0};

    cr_assert_str_eq(sb_text(&s), "");
    sb_add(&s, NULL, 0);
    sb_clear(&s);
    char *text = sb_take(&s);
    cr_assert_str_eq(text, "");
    free(text);
}

Test(base_str, adds_bytes_and_stays_terminated_while_it_grows)
{
    CLEANUP(sb_done) struct str s = {0};

    for (size_t i = 0; i < 10000; i++) {
        sb_putc(&s, (char)('a' + i % 26));
        cr_assert_eq(s.len, i + 1);
        cr_assert_eq(s.data[s.len], '\0');
        cr_assert_lt(s.len, s.cap);
    }
    for (size_t i = 0; i < 10000; i++) {
        cr_assert_eq(s.data[i], (char)('a' + i % 26));
    }
    sb_truncate(&s, 3);
    cr_assert_str_eq(s.data, "abc");
    sb_truncate(&s, 10);
    cr_assert_eq(s.len, 3);
}

Test(base_str, holds_nul_bytes)
{
    CLEANUP(sb_done) struct str s = {0};

    sb_add(&s, "a\0b", 3);
    sb_puts(&s, "c");
    cr_assert_eq(s.len, 4);
    cr_assert_arr_eq(s.data, "a\0bc", 5);
}

Test(base_str, printf_of_every_length_around_the_growth)
{
    char want[200];

    for (int n = 0; n < 150; n++) {
        CLEANUP(sb_done) struct str s = {0};
        sb_puts(&s, "<");
        sb_printf(&s, "%0*d", n, 7);
        snprintf(want, sizeof(want), "<%0*d", n, 7);
        cr_assert_str_eq(s.data, want);
        cr_assert_eq(s.len, strlen(want));
    }
}

Test(base_str, numbers)
{
    CLEANUP(sb_done) struct str s = {0};

    sb_u64(&s, 0);
    sb_putc(&s, ' ');
    sb_u64(&s, UINT64_MAX);
    sb_putc(&s, ' ');
    sb_i64(&s, INT64_MIN);
    sb_putc(&s, ' ');
    sb_i64(&s, INT64_MAX);
    sb_putc(&s, ' ');
    sb_i64(&s, -1);
    cr_assert_str_eq(s.data, "0 18446744073709551615 -9223372036854775808 9223372036854775807 -1");
}

Test(base_str, shell_quotes)
{
    CLEANUP(sb_done) struct str s = {0};

    sb_shell_quote(&s, "", 0);
    sb_shell_quote(&s, "it's $HOME", 10);
    cr_assert_str_eq(s.data, "'''it'\\''s $HOME'");
}

Test(base_str, text_comparisons)
{
    cr_assert(text_eq(NULL, NULL));
    cr_assert(!text_eq(NULL, ""));
    cr_assert(!text_eq("", NULL));
    cr_assert(text_eq("a", "a"));
    cr_assert(text_starts("abc", "") && text_starts("abc", "abc") && !text_starts("ab", "abc"));
    cr_assert(text_ends("abc", "") && text_ends("abc", "bc") && !text_ends("c", "bc"));
    cr_assert(slice_eq(slice_str(NULL), slice_str("")));
    cr_assert(!slice_eq(slice_str("a"), slice_str("b")));
}

static bool valid(const char *text, size_t *bad)
{
    return utf8_valid(text, strlen(text), bad);
}

Test(base_str, utf8_edges)
{
    size_t bad = 99;

    cr_assert(valid("", NULL));
    cr_assert(valid("plain text, long enough for the fast way", NULL));
    cr_assert(valid("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf", NULL));
    cr_assert(valid("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", NULL));
    cr_assert(!valid("\xc1\xbf", NULL), "overlong");
    cr_assert(!valid("\xe0\x9f\xbf", NULL), "overlong");
    cr_assert(!valid("\xf0\x8f\xbf\xbf", NULL), "overlong");
    cr_assert(!valid("\xed\xa0\x80", NULL), "surrogate");
    cr_assert(!valid("\xf4\x90\x80\x80", NULL), "above U+10FFFF");
    cr_assert(!valid("\xf5\x80\x80\x80", NULL));
    cr_assert(!valid("\x80", NULL), "a tail alone");
    cr_assert(!valid("twelve bytes\xe2\x82", &bad), "cut off");
    cr_assert_eq(bad, 12);
    cr_assert(!utf8_valid("\xe2\x82\xac", 2, NULL), "the length binds");
    cr_assert_eq(utf8_count("a\xe2\x82\xac\xf0\x9f\x98\x80", 8), 3);
}

Test(base_str, hashes_differ_by_every_byte_and_by_length)
{
    char data[40] = {0};
    uint64_t zero[sizeof(data) + 1];

    for (size_t len = 0; len <= sizeof(data); len++) {
        zero[len] = hash_bytes(data, len);
        for (size_t other = 0; other < len; other++) {
            cr_assert_neq(zero[len], zero[other]);
        }
        for (size_t i = 0; i < len; i++) {
            data[i] = 1;
            cr_assert_neq(hash_bytes(data, len), zero[len]);
            data[i] = 0;
        }
    }
}

Test(base_str, a_vector_grows_and_keeps_its_items)
{
    VEC(int) v = {0};

    for (int i = 0; i < 1000; i++) {
        *vec_push(&v) = i;
    }
    cr_assert_eq(v.len, 1000);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(v.items[i], i);
    }
    vec_done(&v);
    cr_assert_null(v.items);
    cr_assert_eq(v.len + v.cap, 0);
}

Test(base_str, taking_leaves_nothing_behind)
{
    char *p = xstrdup("x");
    int fd = 7;
    char *q = take_ptr(p);

    cr_assert_null(p);
    cr_assert_str_eq(q, "x");
    free(q);
    cr_assert_eq(take_fd(&fd), 7);
    cr_assert_eq(fd, -1);
}
