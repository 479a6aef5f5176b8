/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/switch.h"

const char *const phase_names[PHASE_COUNT] = {
    [PHASE_REST] = "rest",         [PHASE_CLEAR] = "clear",
    [PHASE_START] = "start",       [PHASE_UP] = "up",
    [PHASE_CANARY] = "canary",     [PHASE_MOVE] = "move",
    [PHASE_GATEWAYS] = "gateways",
};

/* Phase + 1; 0: no such way. */
#define TO(phase) (PHASE_##phase + 1)
static const unsigned char ways[PHASE_COUNT][SWITCH_EVENT_COUNT] = {
    [PHASE_REST] = {[SWITCH_BESIDE] = TO(START), [SWITCH_INSTEAD] = TO(CLEAR)},
    [PHASE_CLEAR] = {[SWITCH_BESIDE] = TO(START),
                     [SWITCH_INSTEAD] = TO(CLEAR),
                     [SWITCH_WITHDRAWN] = TO(REST),
                     [SWITCH_CLEARED] = TO(START)},
    [PHASE_START] = {[SWITCH_BESIDE] = TO(START),
                     [SWITCH_INSTEAD] = TO(CLEAR),
                     [SWITCH_WITHDRAWN] = TO(REST),
                     [SWITCH_READY] = TO(UP),
                     [SWITCH_FAILED] = TO(REST)},
    [PHASE_UP] = {[SWITCH_BESIDE] = TO(START),
                  [SWITCH_INSTEAD] = TO(CLEAR),
                  [SWITCH_WITHDRAWN] = TO(REST),
                  [SWITCH_UP] = TO(MOVE),
                  [SWITCH_TRY] = TO(CANARY),
                  [SWITCH_FAILED] = TO(REST)},
    [PHASE_CANARY] = {[SWITCH_BESIDE] = TO(START),
                      [SWITCH_INSTEAD] = TO(CLEAR),
                      [SWITCH_WITHDRAWN] = TO(REST),
                      [SWITCH_GOOD] = TO(MOVE),
                      [SWITCH_FAILED] = TO(REST)},
    [PHASE_MOVE] = {[SWITCH_APPLIED] = TO(GATEWAYS), [SWITCH_FAILED] = TO(REST)},
    [PHASE_GATEWAYS] = {[SWITCH_AGREED] = TO(REST)},
};

bool switch_step(enum phase *phase, enum switch_event event)
{
    unsigned char to = ways[*phase][event];
    if (!to) {
        return false;
    }
    *phase = (enum phase)(to - 1);
    return true;
}
