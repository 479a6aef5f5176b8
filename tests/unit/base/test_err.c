/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/str.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(base_err, set_returns_the_negative_code_and_fills_the_message)
{
    struct err err = {0};

    cr_assert_eq(err_set(&err, ERR_NOT_FOUND, 0, "no step '%s'", "train"), -ERR_NOT_FOUND);
    cr_assert_eq(err.code, ERR_NOT_FOUND);
    cr_assert_eq(err.sys, 0);
    cr_assert_str_eq(err.msg, "no step 'train'");
}

Test(base_err, set_without_an_err_still_returns_the_code)
{
    cr_assert_eq(err_set(NULL, ERR_IO, EIO, "x"), -ERR_IO);
    cr_assert_eq(err_wrap(NULL, "x"), -ERR_INTERNAL);
}

Test(base_err, the_system_reason_is_appended_and_errno_is_kept)
{
    struct err err = {0};

    errno = EXDEV;
    err_set(&err, ERR_IO, ENOENT, "cannot open '%s'", "a");
    cr_assert_str_eq(err.msg, "cannot open 'a': No such file or directory");
    cr_assert_eq(err.sys, ENOENT);
    cr_assert_eq(errno, EXDEV);
}

Test(base_err, a_long_message_ends_in_an_ellipsis_behind_a_whole_character)
{
    struct err err = {0};
    char text[3000];

    for (size_t shift = 0; shift < 3; shift++) {
        size_t at = 0;
        memset(text, 'x', shift);
        for (at = shift; at + 3 < sizeof(text); at += 3) {
            memcpy(text + at, "\xe2\x82\xac", 3);
        }
        text[at] = '\0';
        err_set(&err, ERR_IO, 0, "%s", text);
        size_t len = strlen(err.msg);
        cr_assert_lt(len, sizeof(err.msg));
        cr_assert_gt(len, sizeof(err.msg) - 8);
        cr_assert(utf8_valid(err.msg, len, NULL));
        cr_assert(text_ends(err.msg, "\xe2\x80\xa6"));
    }
    err_set(&err, ERR_IO, EIO, "%s", text);
    cr_assert(text_ends(err.msg, "\xe2\x80\xa6: Input/output error"));
}

Test(base_err, a_message_of_exactly_the_room_is_not_cut)
{
    struct err err = {0};
    char text[sizeof(err.msg)];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    err_set(&err, ERR_IO, 0, "%s", text);
    cr_assert_str_eq(err.msg, text);
}

Test(base_err, a_message_may_be_made_from_the_old_one)
{
    struct err err = {0};

    err_set(&err, ERR_IO, 0, "inner");
    err_set(&err, ERR_NET, 0, "outer (%s)", err.msg);
    cr_assert_str_eq(err.msg, "outer (inner)");
}

Test(base_err, wrap_prefixes_and_keeps_code_and_reason)
{
    struct err err = {0};

    err_set(&err, ERR_DENIED, EACCES, "inner");
    cr_assert_eq(err_wrap(&err, "step '%s'", "a"), -ERR_DENIED);
    cr_assert_str_eq(err.msg, "step 'a': inner: Permission denied");
    cr_assert_eq(err.sys, EACCES);
}

Test(base_err, wrapping_nothing_is_an_internal_error)
{
    struct err err = {0};

    cr_assert_eq(err_wrap(&err, "text"), -ERR_INTERNAL);
    cr_assert_str_eq(err.msg, "text");
}

Test(base_err, every_code_has_a_name_of_its_own)
{
    for (int i = 0; i < ERR_CODE_COUNT; i++) {
        cr_assert_not_null(err_code_name((enum err_code)i));
        for (int j = 0; j < i; j++) {
            cr_assert_str_neq(err_code_name((enum err_code)i), err_code_name((enum err_code)j));
        }
    }
    cr_assert_str_eq(err_code_name(ERR_CODE_COUNT), "unknown");
}
