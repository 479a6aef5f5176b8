/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/str.h"
#include "cache/policy.h"

#include <criterion/criterion.h>

#define DAY INT64_C(86400000)

TestSuite(cache_policy);

/* The answer and its evidence. */
static void expect(const struct policy *p, int64_t now, int64_t made, const char *baseline,
                   const char *measure, bool fresh, const char *words)
{
    CLEANUP(sb_done) struct str why = {0};

    cr_expect_eq(policy_fresh(p, now, made, "records", baseline, measure, &why), fresh, "%s",
                 sb_text(&why));
    cr_expect_str_eq(sb_text(&why), words);
    cr_expect_eq(policy_fresh(p, now, made, "records", baseline, measure, NULL), fresh);
}

Test(cache_policy, content_asks_nothing_else)
{
    struct policy p = {.kind = POLICY_CONTENT};

    expect(&p, 1000, 0, NULL, NULL, true, "reused: nothing it depends on changed");
    expect(&p, 1000, 5000, NULL, NULL, true, "reused: nothing it depends on changed");
}

Test(cache_policy, ttl_bounds_every_policy)
{
    static const enum policy_kind kinds[] = {POLICY_CONTENT, POLICY_TIME, POLICY_CHANGE};

    for (size_t i = 0; i < 3; i++) {
        struct policy p = {.kind = kinds[i], .ttl_ms = 14 * DAY, .threshold = 0.2};
        expect(&p, 15 * DAY, 0, "1", "1", false, "made 15d ago, fresh for 14d");
        cr_expect_not(policy_fresh(&p, 14 * DAY, 0, "n", "1", "1", NULL), "exactly: too old");
        cr_expect(policy_fresh(&p, 14 * DAY - 1, 0, "n", "1", "1", NULL));
    }
}

Test(cache_policy, time_tells_its_age)
{
    struct policy p = {.kind = POLICY_TIME, .ttl_ms = 14 * DAY};

    expect(&p, 3 * DAY + 5000, 0, NULL, NULL, true, "reused: 3d old, fresh for 14d");
    expect(&p, 36 * DAY / 24, 0, NULL, NULL, true, "reused: 36h old, fresh for 14d");
    expect(&p, 100, 0, NULL, NULL, true, "reused: 0s old, fresh for 14d");
    p.ttl_ms = 90 * 1000;
    expect(&p, 119000, 0, NULL, NULL, false, "made 119s ago, fresh for 90s");
    p.ttl_ms = 1500;
    expect(&p, 1000, 0, NULL, NULL, true, "reused: 1s old, fresh for 1500ms");
    p.ttl_ms = 0;
    expect(&p, 100, 0, NULL, NULL, false, "no ttl says how long it is fresh");
}

Test(cache_policy, a_baseline_of_the_future_is_none)
{
    struct policy p = {.kind = POLICY_CHANGE, .threshold = 0.2};

    expect(&p, 1, 2, "5", "5", false, "made in the future by this machine's clock");
}

/* As numbers of nanoseconds or ids: more digits than a double holds. */
Test(cache_policy, without_a_threshold_the_last_digit_counts)
{
    struct policy p = {.kind = POLICY_CHANGE};

    expect(&p, 1, 0, "1732161083123456789", "1732161083123456790", false,
           "records changed (1732161083123456789 \xe2\x86\x92 1732161083123456790)");
    expect(&p, 1, 0, "5", "4", false, "records 4 vs 5, 20% > 0%");
    expect(&p, 1, 0, "5", "5", true, "reused: records 5 vs 5, 0% = 0%");
}

Test(cache_policy, the_future_is_stale)
{
    struct policy p = {.kind = POLICY_TIME, .ttl_ms = DAY};

    expect(&p, 1000, 1001, NULL, NULL, false, "made in the future by this machine's clock");
    cr_expect(policy_fresh(&p, 1000, 1000, "n", NULL, NULL, NULL));
}

Test(cache_policy, change_compares_with_the_baseline)
{
    struct policy p = {.kind = POLICY_CHANGE, .threshold = 0.2};

    expect(&p, 1, 0, "10000", "10120", true, "reused: records 10,120 vs 10,000, 1.2% < 20%");
    expect(&p, 1, 0, "10000", "12500", false, "records 12,500 vs 10,000, 25% > 20%");
    expect(&p, 1, 0, "10", "12", false, "records 12 vs 10, 20% = 20%");
    expect(&p, 1, 0, "10000", "8001", true, "reused: records 8,001 vs 10,000, 19.99% < 20%");
    expect(&p, 1, 0, "100", "100", true, "reused: records 100 vs 100, 0% < 20%");
    expect(&p, 1, 0, "-100", "-110", true, "reused: records -110 vs -100, 10% < 20%");
    expect(&p, 1, 0, "1.5", "1.6", true, "reused: records 1.6 vs 1.5, 6.667% < 20%");
}

Test(cache_policy, nothing_compares_to_zero_or_to_nothing)
{
    struct policy p = {.kind = POLICY_CHANGE, .threshold = 0.2};

    expect(&p, 1, 0, "0", "0", false, "records was 0, to which nothing compares");
    expect(&p, 1, 0, NULL, "5", false, "records was not known then");
    expect(&p, 1, 0, "5", NULL, false, "records is not known now");
    p.unknown = "its command failed with exit code 3 (no such file)";
    expect(&p, 1, 0, "5", NULL, false,
           "records cannot be taken: its command failed with exit code 3 (no such file)");
    expect(&p, 1, 0, "5", "5", true, "reused: records 5 vs 5, 0% < 20%");
}

Test(cache_policy, an_etag_that_did_not_come_is_named)
{
    struct policy p = {.kind = POLICY_CHANGE};
    CLEANUP(sb_done) struct str why = {0};

    cr_expect_not(policy_fresh(&p, 1, 0, "etag", NULL, NULL, &why));
    cr_expect_str_eq(sb_text(&why),
                     "the server sent no ETag: measure something else, such as bytes");
}

Test(cache_policy, words_are_the_same_or_not)
{
    struct policy p = {.kind = POLICY_CHANGE, .threshold = 0.2};

    expect(&p, 1, 0, "\"abc\"", "\"abc\"", true, "reused: records unchanged (\"abc\")");
    expect(&p, 1, 0, "abc", "abd", false, "records changed (abc \xe2\x86\x92 abd)");
    expect(&p, 1, 0, "12", "12a", false, "records changed (12 \xe2\x86\x92 12a)");
    expect(&p, 1, 0, "nan", "nan", true, "reused: records unchanged (nan)");
    expect(&p, 1, 0, "1e999", "1e999", true, "reused: records unchanged (1e999)");
    expect(&p, 1, 0, "", "", true, "reused: records unchanged ()");
}

Test(cache_policy, without_a_threshold_any_change_counts)
{
    struct policy p = {.kind = POLICY_CHANGE};

    cr_expect(policy_fresh(&p, 1, 0, NULL, "10", "10", NULL));
    cr_expect_not(policy_fresh(&p, 1, 0, NULL, "1000000", "1000001", NULL));
}
