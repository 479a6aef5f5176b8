/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/redact.h"

#include <criterion/criterion.h>

Test(base_redact, users_and_passwords_of_urls)
{
    static const struct {
        const char *text, *shown; /* NULL: nothing to hide */
    } cases[] = {
        {"", NULL},
        {"plain text, me@example.org", NULL},
        {"https://h.org/p?q=a@b", NULL},
        {"https://h.org me@b", NULL},
        {"ssh://git@h/r.git", NULL},
        {"://x:y@h", NULL},
        {"https://@h/p", NULL},
        {"https://me:pw@h.org:8/p", "https://***@h.org:8/p"},
        {"https://token@h/p", "https://***@h/p"},
        {"git+https://token@h/r@main:x", "git+https://***@h/r@main:x"},
        {"postgres://me:p@w@db/x", "postgres://***@db/x"},
        {"https://me:pw@h", "https://***@h"},
        {"curl 'http://a:b@h/1' \"http://c:d@h/2\" http://h/3",
         "curl 'http://***@h/1' \"http://***@h/2\" http://h/3"},
        {"{\"a\":\"http://h\",\"b\":\"x@y\",\"c\":\"http://a:b@h\"}",
         "{\"a\":\"http://h\",\"b\":\"x@y\",\"c\":\"http://***@h\"}"},
        {"http://a:b://c@h", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP(sb_done) struct str out = {0};
        bool any = redact_urls(cases[i].text, &out);
        cr_expect_eq(any, cases[i].shown != NULL, "%s", cases[i].text);
        cr_expect_str_eq(sb_text(&out), cases[i].shown ? cases[i].shown : "");
    }
}

Test(base_redact, two_sides_of_a_difference)
{
    CLEANUP(sb_done) struct str a = {0}, b = {0};
    const char *old = "https://me:one@h/p", *now = "https://me:two@h/p";
    redact_pair(&old, &now, &a, &b);
    cr_expect_str_eq(old, "https://***@h/p");
    cr_expect_str_eq(now, "https://***@h/p, with another user or password");
    const char *none = NULL, *made = "https://me:one@h/p";
    redact_pair(&none, &made, &a, &b);
    cr_expect_null(none);
    cr_expect_str_eq(made, "https://***@h/p");
    const char *x = "x", *y = "y";
    redact_pair(&x, &y, &a, &b);
    cr_expect_str_eq(x, "x");
    cr_expect_str_eq(y, "y");
}
