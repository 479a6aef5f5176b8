/* SPDX-License-Identifier: Apache-2.0 */
/* How a service goes from what is live to what is wanted: one table of phases and events. Pure; the supervisor does what a phase asks for, and can do it again from the phase's beginning at any time.
 *
 *   REST ──beside──▶ START ──ready──▶ UP ──up──▶ MOVE ──applied──▶ GATEWAYS ──agreed──▶ REST
 *     └──instead──▶ CLEAR ──cleared──▲      └──try──▶ CANARY ──good──▲
 * A failure or a withdrawal before MOVE leads back to REST with the old one serving; a newer wish begins anew. From MOVE on, what was begun is finished first. */
#ifndef WF_SERVE_SWITCH_H
#define WF_SERVE_SWITCH_H

#include <stdbool.h>

enum phase {
    PHASE_REST,
    PHASE_CLEAR,    /* the old replicas end before the new ones start */
    PHASE_START,    /* the new replicas start; their backends are made known to HAProxy */
    PHASE_UP,       /* they are ready by our probe; HAProxy's own check is waited for */
    PHASE_CANARY,   /* a share of the requests goes to them */
    PHASE_MOVE,     /* all requests go to them, as soon as HAProxy agrees */
    PHASE_GATEWAYS, /* the gateways over it leave the old ones */
    PHASE_COUNT
};
enum switch_event {
    SWITCH_BESIDE,    /* something else is wanted: it starts beside the old one */
    SWITCH_INSTEAD,   /* …after the old one has ended */
    SWITCH_WITHDRAWN, /* nothing else is wanted any more */
    SWITCH_CLEARED,
    SWITCH_READY,
    SWITCH_UP,
    SWITCH_TRY, /* up, and a canary is asked for */
    SWITCH_GOOD,
    SWITCH_APPLIED,
    SWITCH_AGREED,
    SWITCH_FAILED,
    SWITCH_EVENT_COUNT
};
extern const char *const phase_names[PHASE_COUNT];

/* False: the event means nothing in this phase; *phase stays. */
bool switch_step(enum phase *phase, enum switch_event event);

#endif
