/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/policy.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* As a user would say it: 14d, 36h, 90s. */
static void add_exact(struct str *s, int64_t ms)
{
    static const struct {
        int64_t unit;
        const char *name;
    } units[] = {{DAY, "d"}, {HOUR, "h"}, {MINUTE, "m"}, {SECOND, "s"}, {1, "ms"}};

    for (size_t i = 0;; i++) {
        if (ms % units[i].unit == 0 && (ms != 0 || units[i].unit == SECOND)) {
            sb_i64(s, ms / units[i].unit);
            sb_puts(s, units[i].name);
            return;
        }
    }
}

/* An age, in the largest unit that says enough. */
static void add_age(struct str *s, int64_t ms)
{
    int64_t unit = ms >= 2 * (int64_t)DAY      ? DAY
                   : ms >= 2 * (int64_t)HOUR   ? HOUR
                   : ms >= 2 * (int64_t)MINUTE ? MINUTE
                                               : SECOND;

    add_exact(s, ms - ms % unit);
}

static bool older_than_ttl(const struct policy *p, int64_t now_ms, int64_t made_at_ms,
                           struct str *why)
{
    if (made_at_ms > now_ms) {
        sb_puts(why, "made in the future by this machine's clock");
        return true;
    }
    int64_t age = now_ms - made_at_ms;
    if (p->ttl_ms <= 0 || age < p->ttl_ms) {
        return false;
    }
    sb_puts(why, "made ");
    add_age(why, age);
    sb_puts(why, " ago, fresh for ");
    add_exact(why, p->ttl_ms);
    return true;
}

/* A plain decimal number and nothing else. */
static bool number(const char *text, double *ret)
{
    char *end;

    if (*text == '\0' || text[strspn(text, "0123456789.+-eE")] != '\0') {
        return false;
    }
    *ret = strtod(text, &end);
    return *end == '\0' && end != text && isfinite(*ret);
}

/* 10120 -> 10,120. */
static void add_grouped(struct str *s, const char *text)
{
    size_t len = strlen(text);

    if (strspn(text, "0123456789") != len) {
        sb_puts(s, text);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            sb_putc(s, ',');
        }
        sb_putc(s, text[i]);
    }
}

static bool compare_numbers(const struct policy *p, const char *what, const char *baseline,
                            const char *measure, double before, double now, struct str *why)
{
    if (before == 0) {
        sb_printf(why, "%s was 0, to which nothing compares", what);
        return false;
    }
    double change = fabs(now - before) / fabs(before);
    bool fresh = change < p->threshold || (change == 0 && p->threshold == 0);
    sb_printf(why, "%s%s ", fresh ? "reused: " : "", what);
    add_grouped(why, measure);
    sb_puts(why, " vs ");
    add_grouped(why, baseline);
    sb_printf(why, ", %.4g%% %s %.4g%%", change * 100,
              change < p->threshold    ? "<"
              : change == p->threshold ? "="
                                       : ">",
              p->threshold * 100);
    return fresh;
}

static bool little_change(const struct policy *p, const char *what, const char *baseline,
                          const char *measure, struct str *why)
{
    double before, now;

    if (!measure && strcmp(what, "etag") == 0) {
        sb_puts(why, "the server sent no ETag: measure something else, such as bytes");
        return false;
    }
    if (!measure && strcmp(what, "git") == 0) {
        sb_puts(why, "the source is not just what git has: something is not committed, or git "
                     "does not know it");
        return false;
    }
    if (!measure && p->unknown) {
        sb_printf(why, "%s cannot be taken: %s", what, p->unknown);
        return false;
    }
    if (!measure) {
        sb_printf(why, "%s is not known now", what);
        return false;
    }
    if (!baseline) {
        sb_printf(why, "%s was not known then", what);
        return false;
    }
    bool same = strcmp(baseline, measure) == 0;
    /* Without a threshold any change counts, also one past the digits that a double holds. */
    if (number(baseline, &before) && number(measure, &now) &&
        (p->threshold > 0 || same || before != now)) {
        return compare_numbers(p, what, baseline, measure, before, now, why);
    }
    if (same) {
        sb_printf(why, "reused: %s unchanged (%s)", what, measure);
    } else {
        sb_printf(why, "%s changed (%s \xe2\x86\x92 %s)", what, baseline, measure);
    }
    return same;
}

static bool decide(const struct policy *p, int64_t now_ms, int64_t made_at_ms, const char *what,
                   const char *baseline, const char *measure, struct str *why)
{
    if (p->kind == POLICY_TIME && p->ttl_ms <= 0) {
        sb_puts(why, "no ttl says how long it is fresh");
        return false;
    }
    bool dated = p->ttl_ms > 0 || p->kind == POLICY_CHANGE;
    if (dated && older_than_ttl(p, now_ms, made_at_ms, why)) {
        return false;
    }
    if (p->kind == POLICY_CHANGE) {
        return little_change(p, what ? what : "measure", baseline, measure, why);
    }
    if (p->ttl_ms <= 0) {
        sb_puts(why, "reused: nothing it depends on changed");
        return true;
    }
    sb_puts(why, "reused: ");
    add_age(why, now_ms - made_at_ms);
    sb_puts(why, " old, fresh for ");
    add_exact(why, p->ttl_ms);
    return true;
}

bool policy_fresh(const struct policy *p, int64_t now_ms, int64_t made_at_ms, const char *what,
                  const char *baseline, const char *measure, struct str *why)
{
    struct str unused = {0};
    bool fresh = decide(p, now_ms, made_at_ms, what, baseline, measure, why ? why : &unused);

    sb_done(&unused);
    return fresh;
}
