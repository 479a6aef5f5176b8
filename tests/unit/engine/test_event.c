/* SPDX-License-Identifier: Apache-2.0 */
/* Events through their bytes and back; damaged bytes are refused. */
#include "base/err.h"
#include "base/str.h"
#include "engine/state.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SEEN = 64 };
struct seen {
    struct event events[MAX_SEEN];
    char payloads[MAX_SEEN][64];
    size_t n;
};

static int see(const struct event *e, void *arg)
{
    struct seen *s = arg;

    cr_assert_lt(s->n, MAX_SEEN);
    cr_assert_lt(e->payload_len, sizeof(s->payloads[0]));
    s->events[s->n] = *e;
    memcpy(s->payloads[s->n], e->payload ? e->payload : "", e->payload_len);
    s->n++;
    return 0;
}

static int count(const struct event *e, void *arg)
{
    (void)e;
    ++*(size_t *)arg;
    return 0;
}

static int stop_at_two(const struct event *e, void *arg)
{
    (void)e;
    return ++*(size_t *)arg == 2 ? -5 : 0;
}

static void fill(struct str *out)
{
    const uint32_t instances[] = {3, 1, UINT32_MAX - 1};
    const int64_t entries[] = {1, INT64_MAX, 42};
    struct event e = {.type = EVENT_FAILED,
                      .instance = 9,
                      .at_us = -1,
                      .payload = "{\"error\":\"x\"}",
                      .payload_len = 13,
                      .entry = 5};

    event_encode(&e, out);
    event_encode_hits(instances, entries, 3, 1234567890123456, out);
    e = (struct event){.type = EVENT_RUN_ENDED, .instance = UINT32_MAX, .at_us = INT64_MAX};
    event_encode(&e, out);
}

Test(engine_event, come_back_as_they_were)
{
    struct str out = {0};
    struct seen s = {0};
    struct err err = {0};

    fill(&out);
    cr_assert_eq(event_decode_each(out.data, out.len, see, &s, &err), 0, "%s", err.msg);
    cr_assert_eq(s.n, 5);
    cr_expect_eq(s.events[0].type, EVENT_FAILED);
    cr_expect_eq(s.events[0].instance, 9);
    cr_expect_eq(s.events[0].at_us, -1);
    cr_expect_eq(s.events[0].entry, 5);
    cr_expect_str_eq(s.payloads[0], "{\"error\":\"x\"}");
    cr_expect_eq(s.events[1].type, EVENT_HIT);
    cr_expect_eq(s.events[1].instance, 3);
    cr_expect_eq(s.events[2].entry, INT64_MAX);
    cr_expect_eq(s.events[3].instance, UINT32_MAX - 1);
    cr_expect_eq(s.events[3].at_us, 1234567890123456);
    cr_expect_eq(s.events[4].type, EVENT_RUN_ENDED);
    cr_expect_eq(s.events[4].instance, UINT32_MAX);
    sb_done(&out);
}

Test(engine_event, every_cut_is_refused_or_whole_records)
{
    struct str out = {0};

    fill(&out);
    for (size_t len = 0; len < out.len; len++) {
        /* A buffer of exactly this size, so that a sanitizer sees a read beyond it. */
        char *cut = malloc(len ? len : 1);
        size_t n = 0;
        memcpy(cut, out.data, len);
        int rc = event_decode_each(cut, len, count, &n, NULL);
        cr_expect_eq(rc == 0, len == 0 || len == 41 || len == 41 + 16 + 36, "cut at %zu: %d", len,
                     rc);
        free(cut);
    }
    sb_done(&out);
}

Test(engine_event, unknown_types_are_refused)
{
    struct str out = {0};
    size_t n = 0;

    fill(&out);
    out.data[0] = EVENT_TYPE_COUNT;
    cr_expect_eq(event_decode_each(out.data, out.len, count, &n, NULL), -ERR_CORRUPT);
    out.data[0] = 0;
    cr_expect_eq(event_decode_each(out.data, out.len, count, &n, NULL), -ERR_CORRUPT);
    cr_expect_eq(n, 0);
    sb_done(&out);
}

Test(engine_event, the_callback_stops_even_within_packed_hits)
{
    struct str out = {0};
    size_t n = 0;

    fill(&out);
    cr_expect_eq(event_decode_each(out.data, out.len, stop_at_two, &n, NULL), -5);
    cr_expect_eq(n, 2);
    sb_done(&out);
}
