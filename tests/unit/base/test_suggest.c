/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/suggest.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const words[] = {"ingest", "train",      "Train2", "serve",
                                    "image",  "on_failure", "gpu"};

static const char *nearest(const char *word)
{
    return suggest_nearest(word, words, ARRAY_LEN(words));
}

Test(base_suggest, one_slip_is_understood)
{
    cr_assert_str_eq(nearest("ingset"), "ingest");
    cr_assert_str_eq(nearest("ingst"), "ingest");
    cr_assert_str_eq(nearest("inggest"), "ingest");
    cr_assert_str_eq(nearest("trein"), "train");
    cr_assert_str_eq(nearest("on-failure"), "on_failure");
}

Test(base_suggest, another_case_is_always_near)
{
    cr_assert_str_eq(nearest("GPU"), "gpu");
    cr_assert_str_eq(nearest("Serve"), "serve");
}

Test(base_suggest, the_nearest_wins_and_then_the_first)
{
    static const char *const both[] = {"cat", "bat"};

    cr_assert_str_eq(nearest("train2"), "Train2");
    cr_assert_str_eq(suggest_nearest("rat", both, 2), "cat");
    cr_assert_str_eq(suggest_nearest("bat", both, 2), "bat");
}

Test(base_suggest, nothing_near_is_null)
{
    char longer[200];

    cr_assert_null(nearest("deploy"));
    cr_assert_null(nearest(""));
    cr_assert_null(nearest("g"));
    cr_assert_null(suggest_nearest("train", NULL, 0));
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    cr_assert_null(nearest(longer));
}
