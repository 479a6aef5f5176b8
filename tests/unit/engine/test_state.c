/* SPDX-License-Identifier: Apache-2.0 */
/* Every (state, event) pair, against the table of the documentation written out once more. */
#include "base/mem.h"
#include "base/str.h"
#include "engine/state.h"

#include <criterion/criterion.h>
#include <string.h>

static struct event event_of(enum event_type type, uint32_t instance, const char *payload)
{
    return (struct event){.type = type,
                          .instance = instance,
                          .at_us = 1000,
                          .payload = payload,
                          .payload_len = payload ? (uint32_t)strlen(payload) : 0,
                          .entry = 7};
}

static int apply(struct run_state *s, enum event_type type, uint32_t instance, const char *payload)
{
    struct event e = event_of(type, instance, payload);

    return state_apply(s, &e);
}

/* Brings instance 0 of a fresh state into `state` by events alone. */
static void bring(struct run_state *s, enum instance_state state)
{
    state_init(s, 1);
    cr_assert_eq(apply(s, EVENT_RUN_STARTED, UINT32_MAX, NULL), 0);
    switch (state) {
    case INSTANCE_QUEUED:
        return;
    case INSTANCE_CACHED:
        apply(s, EVENT_HIT, 0, NULL);
        return;
    case INSTANCE_SKIPPED:
        apply(s, EVENT_SKIPPED, 0, NULL);
        return;
    case INSTANCE_CANCELLED:
        apply(s, EVENT_CANCELLED, 0, NULL);
        return;
    default:
        break;
    }
    apply(s, EVENT_STARTED, 0, NULL);
    if (state == INSTANCE_SUCCEEDED) {
        apply(s, EVENT_SUCCEEDED, 0, NULL);
    } else if (state == INSTANCE_FAILED || state == INSTANCE_RETRYING) {
        apply(s, EVENT_FAILED, 0, "{\"kind\":\"failed\"}");
    } else if (state == INSTANCE_LOST) {
        apply(s, EVENT_FAILED, 0, "{\"kind\":\"lost\"}");
    }
    if (state == INSTANCE_RETRYING) {
        apply(s, EVENT_RETRY, 0, NULL);
    }
}

/* -1: not allowed. */
static int expected(enum instance_state s, enum event_type e)
{
    switch (e) {
    case EVENT_STARTED:
        return s == INSTANCE_QUEUED || s == INSTANCE_RETRYING ? INSTANCE_RUNNING : -1;
    case EVENT_HIT:
        return s == INSTANCE_QUEUED || s == INSTANCE_RETRYING ? INSTANCE_CACHED : -1;
    case EVENT_SUCCEEDED:
        return s == INSTANCE_RUNNING ? INSTANCE_SUCCEEDED : -1;
    case EVENT_FAILED:
        return s == INSTANCE_QUEUED || s == INSTANCE_RETRYING || s == INSTANCE_RUNNING
                   ? INSTANCE_FAILED
                   : -1;
    case EVENT_RETRY:
        return s == INSTANCE_FAILED || s == INSTANCE_LOST ? INSTANCE_RETRYING : -1;
    case EVENT_SKIPPED:
        return s == INSTANCE_QUEUED ? INSTANCE_SKIPPED : -1;
    case EVENT_CANCELLED:
        return s == INSTANCE_QUEUED || s == INSTANCE_RETRYING || s == INSTANCE_RUNNING
                   ? INSTANCE_CANCELLED
                   : -1;
    case EVENT_PUBLISH:
        return s == INSTANCE_SUCCEEDED || s == INSTANCE_CACHED ? (int)s : -1;
    case EVENT_WARNING:
        return (int)s;
    case EVENT_WAITING:
        return s == INSTANCE_QUEUED || s == INSTANCE_RETRYING ? (int)s : -1;
    case EVENT_PROMOTION:
        return s == INSTANCE_QUEUED || s == INSTANCE_RUNNING || s == INSTANCE_SUCCEEDED ||
                       s == INSTANCE_CACHED
                   ? (int)s
                   : -1;
    case EVENT_SERVING:
        return s == INSTANCE_RUNNING ? (int)s : -1;
    case EVENT_AGAIN:
        return s == INSTANCE_SUCCEEDED || s == INSTANCE_FAILED ? INSTANCE_QUEUED : -1;
    default:
        return -1;
    }
}

Test(engine_state, every_pair_is_as_documented)
{
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        for (int e = EVENT_STARTED; e < EVENT_TYPE_COUNT; e++) {
            struct run_state st;
            bring(&st, (enum instance_state)s);
            cr_assert_eq(st.instances[0].state, s, "cannot reach %s", instance_state_names[s]);
            int want = expected((enum instance_state)s, (enum event_type)e);
            int rc = apply(&st, (enum event_type)e, 0, NULL);
            cr_expect_eq(rc < 0, want < 0, "%s + event %d: rc %d", instance_state_names[s], e, rc);
            cr_expect_eq(st.instances[0].state, want < 0 ? s : want, "%s + event %d -> %s",
                         instance_state_names[s], e, instance_state_names[st.instances[0].state]);
            uint32_t sum = 0;
            for (int k = 0; k < INSTANCE_STATE_COUNT; k++) {
                sum += st.counts[k];
            }
            cr_expect_eq(sum, 1);
            cr_expect_eq(st.counts[st.instances[0].state], 1);
            state_done(&st);
        }
    }
}

Test(engine_state, what_a_users_text_says_is_no_member)
{
    struct run_state s;

    state_init(&s, 1);
    apply(&s, EVENT_RUN_STARTED, UINT32_MAX, NULL);
    apply(&s, EVENT_STARTED, 0, NULL);
    /* As JSON writes the text: "kind":"lost","tolerated":true */
    apply(&s, EVENT_FAILED, 0,
          "{\"error\":\"\\\"kind\\\":\\\"lost\\\",\\\"tolerated\\\":true\",\"kind\":\"failed\"}");
    cr_expect_eq(s.instances[0].state, INSTANCE_FAILED);
    cr_expect_not(s.instances[0].tolerated);
    state_done(&s);
}

Test(engine_state, attempts_and_entries_are_kept)
{
    struct run_state s;

    state_init(&s, 2);
    apply(&s, EVENT_RUN_STARTED, UINT32_MAX, NULL);
    for (int k = 0; k < 300; k++) {
        cr_assert_eq(apply(&s, EVENT_STARTED, 0, NULL), 0);
        cr_assert_eq(apply(&s, EVENT_FAILED, 0, "{\"kind\":\"failed\",\"tolerated\":true}"), 0);
        cr_expect(s.instances[0].tolerated);
        cr_assert_eq(apply(&s, EVENT_RETRY, 0, NULL), 0);
        cr_expect_not(s.instances[0].tolerated);
    }
    cr_expect_eq(s.instances[0].attempts, 255);
    apply(&s, EVENT_HIT, 1, NULL);
    cr_expect_eq(s.instances[1].entry, 7);
    cr_expect_eq(s.instances[1].ended_us, 1000);
    cr_expect_lt(apply(&s, EVENT_HIT, 2, NULL), 0);
    state_done(&s);
}

Test(engine_state, a_run_ends_once_and_then_nothing_moves)
{
    struct run_state s;

    state_init(&s, 1);
    cr_expect_lt(apply(&s, EVENT_RUN_ENDED, UINT32_MAX, NULL), 0);
    cr_expect_eq(apply(&s, EVENT_RUN_STARTED, UINT32_MAX, NULL), 0);
    cr_expect_lt(apply(&s, EVENT_RUN_STARTED, UINT32_MAX, NULL), 0);
    cr_expect_eq(apply(&s, EVENT_RUN_STOPPING, UINT32_MAX, NULL), 0);
    cr_expect(s.stopping);
    cr_expect_eq(apply(&s, EVENT_RUN_ENDED, UINT32_MAX, "{\"status\":\"cancelled\"}"), 0);
    cr_expect_str_eq(s.status, "cancelled");
    cr_expect_lt(apply(&s, EVENT_RUN_ENDED, UINT32_MAX, NULL), 0);
    cr_expect_lt(apply(&s, EVENT_STARTED, 0, NULL), 0);
    state_done(&s);
}

Test(engine_state, the_picture_names_every_state)
{
    struct str out = {0};

    state_dot(&out);
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        cr_expect(strstr(sb_text(&out), instance_state_names[s]) != NULL);
    }
    sb_done(&out);
}
