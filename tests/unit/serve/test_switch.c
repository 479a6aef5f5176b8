/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/switch.h"

#include <criterion/criterion.h>

static enum phase after(enum phase from, const enum switch_event *events, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cr_assert(switch_step(&from, events[i]), "event %d in phase %s", (int)events[i],
                  phase_names[from]);
    }
    return from;
}
#define AFTER(from, ...)                                                                           \
    after(from, (const enum switch_event[]){__VA_ARGS__},                                          \
          sizeof((const enum switch_event[]){__VA_ARGS__}) / sizeof(enum switch_event))

Test(serve_switch, goes_from_wish_to_rest)
{
    cr_assert_eq(
        AFTER(PHASE_REST, SWITCH_BESIDE, SWITCH_READY, SWITCH_UP, SWITCH_APPLIED, SWITCH_AGREED),
        PHASE_REST);
    cr_assert_eq(AFTER(PHASE_REST, SWITCH_INSTEAD, SWITCH_CLEARED, SWITCH_READY, SWITCH_UP),
                 PHASE_MOVE);
    cr_assert_eq(AFTER(PHASE_REST, SWITCH_BESIDE, SWITCH_READY, SWITCH_TRY, SWITCH_GOOD),
                 PHASE_MOVE);
}

Test(serve_switch, a_failure_before_the_move_leads_back)
{
    static const enum phase before[] = {PHASE_START, PHASE_UP, PHASE_CANARY, PHASE_MOVE};
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        enum phase p = before[i];
        cr_assert(switch_step(&p, SWITCH_FAILED));
        cr_assert_eq(p, PHASE_REST);
    }
}

Test(serve_switch, a_newer_wish_begins_anew_until_the_move)
{
    static const enum phase before[] = {PHASE_CLEAR, PHASE_START, PHASE_UP, PHASE_CANARY};
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        enum phase p = before[i];
        cr_assert(switch_step(&p, SWITCH_BESIDE));
        cr_assert_eq(p, PHASE_START);
        p = before[i];
        cr_assert(switch_step(&p, SWITCH_WITHDRAWN));
        cr_assert_eq(p, PHASE_REST);
    }
}

Test(serve_switch, what_was_moved_is_finished_first)
{
    for (enum phase from = PHASE_MOVE; from <= PHASE_GATEWAYS; from++) {
        enum phase p = from;
        cr_assert_not(switch_step(&p, SWITCH_BESIDE));
        cr_assert_not(switch_step(&p, SWITCH_INSTEAD));
        cr_assert_not(switch_step(&p, SWITCH_WITHDRAWN));
        cr_assert_eq(p, from);
    }
}

Test(serve_switch, no_traffic_without_being_up)
{
    for (enum phase from = 0; from < PHASE_COUNT; from++) {
        for (enum switch_event e = 0; e < SWITCH_EVENT_COUNT; e++) {
            enum phase p = from;
            if (switch_step(&p, e) && p == PHASE_MOVE) {
                cr_assert(from == PHASE_UP || from == PHASE_CANARY);
            }
        }
    }
}
