/* SPDX-License-Identifier: Apache-2.0 */
/* Units are read with whole numbers throughout: "0.1s" is 100 ms and not what a binary fraction makes of it. */
#include "base/units.h"

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* "12.5": digits = 125, decimals = 1. */
struct number {
    uint64_t digits;
    unsigned decimals;
    bool overflow;
};

#define MAX_DECIMALS 9

/* Digits with at most one point between them; returns what follows, or NULL when there is no number. */
static const char *read_number(const char *text, struct number *ret)
{
    struct number n = {0};
    const char *p = text;
    bool point = false;

    for (;; p++) {
        if (*p == '.' && !point && p > text) {
            point = true;
            continue;
        }
        if (*p < '0' || *p > '9') {
            break;
        }
        if (point && ++n.decimals > MAX_DECIMALS) {
            return NULL;
        }
        if (__builtin_mul_overflow(n.digits, 10u, &n.digits) ||
            __builtin_add_overflow(n.digits, (uint64_t)(*p - '0'), &n.digits)) {
            n.overflow = true;
        }
    }
    if (p == text || p[-1] == '.') {
        return NULL;
    }
    *ret = n;
    return p;
}

static uint64_t power_of_ten(unsigned exponent)
{
    uint64_t v = 1;

    while (exponent-- > 0) {
        v *= 10;
    }
    return v;
}

/* n x factor, rounded down; false on overflow. */
static bool scale(const struct number *n, uint64_t factor, uint64_t *ret)
{
    __extension__ unsigned __int128 product = (unsigned __int128)n->digits * factor;

    product /= power_of_ten(n->decimals);
    if (n->overflow || product > UINT64_MAX) {
        return false;
    }
    *ret = (uint64_t)product;
    return true;
}

static int expected(struct err *err, const char *what, const char *text)
{
    return err_set(err, ERR_INVALID, 0, "expected %s, not '%s'", what, text);
}

int parse_duration(const char *text, int64_t *ret_ms, struct err *err)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"w", 604800000}, {"d", 86400000}, {"h", 3600000},
                 {"m", 60000},     {"s", 1000},     {"ms", 1}};
    static const char *const what = "a duration such as 30s, 5m or 1h30m";
    const size_t count = sizeof(units) / sizeof(units[0]);
    const char *p = text;
    uint64_t total = 0;
    size_t next = 0; /* units go from large to small, each once */

    while (*p || next == 0) {
        struct number n;
        uint64_t ms;
        p = read_number(p, &n);
        if (!p) {
            return expected(err, what, text);
        }
        size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        while (next < count &&
               (strlen(units[next].name) != len || memcmp(units[next].name, p, len) != 0)) {
            next++;
        }
        if (next == count) {
            return expected(err, what, text);
        }
        if (!scale(&n, units[next].ms, &ms) || __builtin_add_overflow(total, ms, &total) ||
            total > INT64_MAX) {
            return err_set(err, ERR_INVALID, 0, "'%s' is too long; expected %s", text, what);
        }
        next++;
        p += len;
    }
    *ret_ms = (int64_t)total;
    return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes, struct err *err)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        {"B", 1},
        {"kB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"TB", 1000000000000},
        {"KiB", 1ull << 10},
        {"MiB", 1ull << 20},
        {"GiB", 1ull << 30},
        {"TiB", 1ull << 40},
    };
    static const char *const what =
        "a size such as 512B, 10MB or 2GiB (units: B kB MB GB TB KiB MiB GiB TiB)";
    struct number n;
    const char *p = read_number(text, &n);

    for (size_t i = 0; p && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(p, units[i].name) != 0) {
            continue;
        }
        if (!scale(&n, units[i].bytes, ret_bytes)) {
            return err_set(err, ERR_INVALID, 0, "'%s' is too large; expected %s", text, what);
        }
        return 0;
    }
    return expected(err, what, text);
}

int parse_cpu(const char *text, uint32_t *ret_milli, struct err *err)
{
    static const char *const what = "a number of processors such as 2, 0.5 or 500m";
    struct number n;
    const char *p = read_number(text, &n);
    uint64_t milli;

    if (!p || (strcmp(p, "") != 0 && strcmp(p, "m") != 0) ||
        (strcmp(p, "m") == 0 ? n.decimals > 0 : n.decimals > 3)) {
        return expected(err, what, text);
    }
    if (!scale(&n, *p ? 1 : 1000, &milli) || milli > UINT32_MAX) {
        return err_set(err, ERR_INVALID, 0, "'%s' is too large; expected %s", text, what);
    }
    *ret_milli = (uint32_t)milli;
    return 0;
}

int parse_percent(const char *text, double *ret_fraction, struct err *err)
{
    struct number n;
    const char *p = read_number(text, &n);

    if (!p || strcmp(p, "%") != 0 || n.overflow || n.digits > 100 * power_of_ten(n.decimals)) {
        return expected(err, "a percentage from 0% to 100%, such as 20%", text);
    }
    *ret_fraction = (double)n.digits / (double)(100 * power_of_ten(n.decimals));
    return 0;
}

void add_duration(struct str *s, int64_t ms)
{
    uint64_t v = (uint64_t)ms;

    if (ms < 0) {
        sb_putc(s, '-');
        v = 0 - v;
    }
    /* Each step rounds to what it shows before it decides: 59.96 s is "1m00s", not "60.0s". */
    uint64_t tenths = (v + 50) / 100, seconds = (v + 500) / 1000;
    uint64_t minutes = (v + 30000) / 60000, hours = (v + 1800000) / 3600000;
    if (v == 0) {
        sb_puts(s, "0s");
    } else if (v < 1000) {
        sb_printf(s, "0.%03us", (unsigned)v);
    } else if (tenths < 600) {
        sb_printf(s, "%u.%us", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
    } else if (seconds < 3600) {
        sb_printf(s, "%um%02us", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
    } else if (minutes < 1440) {
        sb_printf(s, "%uh%02um", (unsigned)(minutes / 60), (unsigned)(minutes % 60));
    } else {
        sb_u64(s, hours / 24);
        sb_printf(s, "d%uh", (unsigned)(hours % 24));
    }
}

void add_size(struct str *s, uint64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    uint64_t factor = 1000;
    size_t unit = 0;

    if (bytes < 1000) {
        sb_u64(s, bytes);
        sb_puts(s, " B");
        return;
    }
    /* In tenths of the unit, rounded; 999,950 is "1.0 MB". */
    uint64_t tenths = bytes / (factor / 10) + (bytes % (factor / 10) >= factor / 20);
    while (tenths >= 10000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        unit++;
        factor *= 1000;
        tenths = bytes / (factor / 10) + (bytes % (factor / 10) >= factor / 20);
    }
    sb_u64(s, tenths / 10);
    sb_putc(s, '.');
    sb_u64(s, tenths % 10);
    sb_putc(s, ' ');
    sb_puts(s, units[unit]);
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t now_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000;
}

int64_t now_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

int64_t mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static char *put_digits(char *out, unsigned value, unsigned width)
{
    for (unsigned i = width; i-- > 0;) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + width;
}

void format_time(int64_t ms, char out[32])
{
    /* 0000-01-01 to 9999-12-31: what RFC 3339 can say. */
    const int64_t first = -62167219200000, last = 253402300799999;

    ms = ms < first ? first : ms > last ? last : ms;
    uint64_t since = (uint64_t)(ms - first);
    unsigned in_day = (unsigned)(since % 86400000);
    /* Days since 1 March 0000 in eras of 400 years (Howard Hinnant's days_from_civil, turned round). 0000-01-01 is 60
     * days before; one era is added so that nothing is negative. */
    uint64_t z = since / 86400000 + 146097 - 60;
    uint64_t era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint64_t mp = (5 * doy + 2) / 153;
    unsigned day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    unsigned year = (unsigned)(yoe + era * 400 - 400 + (month <= 2));
    char *p = put_digits(out, year, 4);
    *p++ = '-';
    p = put_digits(p, month, 2);
    *p++ = '-';
    p = put_digits(p, day, 2);
    *p++ = 'T';
    p = put_digits(p, in_day / 3600000, 2);
    *p++ = ':';
    p = put_digits(p, in_day / 60000 % 60, 2);
    *p++ = ':';
    p = put_digits(p, in_day / 1000 % 60, 2);
    *p++ = '.';
    p = put_digits(p, in_day % 1000, 3);
    *p++ = 'Z';
    *p = '\0';
}

void format_time_local(int64_t ms, char out[32])
{
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm tm;

    if (!localtime_r(&seconds, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        memcpy(out, "?", 2);
    }
}
