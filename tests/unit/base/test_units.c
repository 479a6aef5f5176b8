/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t duration(const char *text)
{
    int64_t ms = -1;

    return parse_duration(text, &ms, NULL) == 0 ? ms : -1;
}

Test(base_units, durations)
{
    cr_assert_eq(duration("0s"), 0);
    cr_assert_eq(duration("500ms"), 500);
    cr_assert_eq(duration("30s"), 30000);
    cr_assert_eq(duration("5m"), 300000);
    cr_assert_eq(duration("1h30m"), 5400000);
    cr_assert_eq(duration("2w1d1h1m1s1ms"), 1209600000 + 86400000 + 3600000 + 60000 + 1000 + 1);
    cr_assert_eq(duration("14d"), 14 * 86400000LL);
    cr_assert_eq(duration("0.1s"), 100);
    cr_assert_eq(duration("1.5h"), 5400000);
    cr_assert_eq(duration("9223372036854775807ms"), INT64_MAX);
    static const char *const bad[] = {"",
                                      "5",
                                      "-5s",
                                      "+5s",
                                      "5x",
                                      "s",
                                      "5 s",
                                      " 5s",
                                      "5s ",
                                      "1m1h",
                                      "1s1s",
                                      "1h30",
                                      ".5s",
                                      "5.s",
                                      "1e3s",
                                      "5S",
                                      "1.1.1s",
                                      "0.0000000001s",
                                      "9223372036854775808ms",
                                      "99999999999999999999s",
                                      "15250284453w",
                                      "99999999999999999999999999999999999999999s"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        int64_t ms = 77;
        cr_assert_eq(parse_duration(bad[i], &ms, &err), -ERR_INVALID, "%s", bad[i]);
        cr_assert_eq(ms, 77);
        cr_assert_not_null(strstr(err.msg, "expected a duration such as 30s, 5m or 1h30m"));
    }
}

Test(base_units, sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0B", 0},
                {"512B", 512},
                {"10kB", 10000},
                {"2MB", 2000000},
                {"1GB", 1000000000},
                {"1TB", 1000000000000},
                {"4KiB", 4096},
                {"2MiB", 2097152},
                {"8GiB", 8589934592},
                {"1TiB", 1099511627776},
                {"1.5GB", 1500000000},
                {"0.5KiB", 512},
                {"18446744073709551615B", UINT64_MAX}};
    static const char *const bad[] = {"",
                                      "512",
                                      "-1B",
                                      "1 B",
                                      "1b",
                                      "1K",
                                      "1KB",
                                      "1Gi",
                                      "1gb",
                                      "B",
                                      "1BB",
                                      "1kBx",
                                      "1.B",
                                      "16777216TiB",
                                      "18446744073709551616B",
                                      "18446744073709552kB"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t bytes = 77;
        cr_assert_eq(parse_size(good[i].text, &bytes, NULL), 0, "%s", good[i].text);
        cr_assert_eq(bytes, good[i].bytes, "%s", good[i].text);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        uint64_t bytes = 77;
        cr_assert_eq(parse_size(bad[i], &bytes, &err), -ERR_INVALID, "%s", bad[i]);
        cr_assert_eq(bytes, 77);
        cr_assert_not_null(strstr(err.msg, "expected a size"));
    }
}

Test(base_units, processors)
{
    uint32_t milli = 0;

    cr_assert(parse_cpu("2", &milli, NULL) == 0 && milli == 2000);
    cr_assert(parse_cpu("0.5", &milli, NULL) == 0 && milli == 500);
    cr_assert(parse_cpu("0.001", &milli, NULL) == 0 && milli == 1);
    cr_assert(parse_cpu("500m", &milli, NULL) == 0 && milli == 500);
    cr_assert(parse_cpu("4294967295m", &milli, NULL) == 0 && milli == UINT32_MAX);
    static const char *const bad[] = {"",   "m",   "-1",          "0.0001", "0.5m",
                                      "2x", "1e3", "4294967296m", "4294968"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(parse_cpu(bad[i], &milli, NULL), -ERR_INVALID, "%s", bad[i]);
    }
}

Test(base_units, percentages)
{
    double f = 0;

    cr_assert(parse_percent("20%", &f, NULL) == 0 && f == 0.2);
    cr_assert(parse_percent("0.5%", &f, NULL) == 0 && f == 0.005);
    cr_assert(parse_percent("0%", &f, NULL) == 0 && f == 0.0);
    cr_assert(parse_percent("100%", &f, NULL) == 0 && f == 1.0);
    static const char *const bad[] = {"", "20", "%", "-1%", "101%", "100.1%", "20%%", "0.2"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(parse_percent(bad[i], &f, NULL), -ERR_INVALID, "%s", bad[i]);
    }
}

static void expect_duration(int64_t ms, const char *want)
{
    CLEANUP(sb_done) struct str s = {0};

    add_duration(&s, ms);
    cr_assert_str_eq(sb_text(&s), want, "%lld is %s, not %s", (long long)ms, sb_text(&s), want);
}

Test(base_units, durations_for_people)
{
    expect_duration(0, "0s");
    expect_duration(4, "0.004s");
    expect_duration(999, "0.999s");
    expect_duration(1000, "1.0s");
    expect_duration(1249, "1.2s");
    expect_duration(59949, "59.9s");
    expect_duration(59950, "1m00s");
    expect_duration(65000, "1m05s");
    expect_duration(3599499, "59m59s");
    expect_duration(3599500, "1h00m");
    expect_duration(7380000, "2h03m");
    expect_duration(86369999, "23h59m");
    expect_duration(86370000, "1d0h");
    expect_duration(273600000, "3d4h");
    expect_duration(-1200, "-1.2s");
}

static void expect_size(uint64_t bytes, const char *want)
{
    CLEANUP(sb_done) struct str s = {0};

    add_size(&s, bytes);
    cr_assert_str_eq(sb_text(&s), want, "%s, not %s", sb_text(&s), want);
}

Test(base_units, sizes_for_people)
{
    expect_size(0, "0 B");
    expect_size(317, "317 B");
    expect_size(999, "999 B");
    expect_size(1000, "1.0 kB");
    expect_size(31400, "31.4 kB");
    expect_size(999949, "999.9 kB");
    expect_size(999950, "1.0 MB");
    expect_size(2100000000, "2.1 GB");
    expect_size(UINT64_MAX, "18.4 EB");
}

Test(base_units, times_agree_with_the_c_library)
{
    char got[32], want[64];

    for (int64_t day = -719528; day < 2932896; day += 97) {
        int64_t ms = day * 86400000 + (day % 86400) * 997;
        time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
        struct tm tm;
        if (!gmtime_r(&seconds, &tm) || tm.tm_year + 1900 < 0) {
            continue;
        }
        snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)(ms - (int64_t)seconds * 1000));
        format_time(ms, got);
        cr_assert_str_eq(got, want);
    }
    format_time(1767582000000, got);
    cr_assert_str_eq(got, "2026-01-05T03:00:00.000Z");
    format_time(951782400000, got);
    cr_assert_str_eq(got, "2000-02-29T00:00:00.000Z");
    format_time(INT64_MAX, got);
    cr_assert_str_eq(got, "9999-12-31T23:59:59.999Z");
    format_time(INT64_MIN, got);
    cr_assert_str_eq(got, "0000-01-01T00:00:00.000Z");
}

Test(base_units, local_times)
{
    char got[32];

    setenv("TZ", "UTC-1", 1);
    tzset();
    format_time_local(1767582000000, got);
    cr_assert_str_eq(got, "2026-01-05 04:00:00");
}

Test(base_units, clocks_go_forward)
{
    int64_t before = mono_us();

    cr_assert_leq(before, mono_us());
    cr_assert_gt(now_ms(), 1700000000000);
    cr_assert_leq(now_us() / 1000 - now_ms(), 1);
}
