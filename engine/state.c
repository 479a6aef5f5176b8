/* SPDX-License-Identifier: Apache-2.0 */
/* The transition table of instances and of the run, and the one function that follows it. A cell holds the next state + 1; 0 means the event is not allowed there. What has ended stays as it
 * is, with two exceptions: a failure (or a loss) that is tried again, and a step that runs once per promotion. */
#include "engine/state.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

const char *const instance_state_names[INSTANCE_STATE_COUNT] = {
    [INSTANCE_QUEUED] = "queued",     [INSTANCE_RUNNING] = "running",
    [INSTANCE_RETRYING] = "retrying", [INSTANCE_SUCCEEDED] = "succeeded",
    [INSTANCE_CACHED] = "cached",     [INSTANCE_FAILED] = "failed",
    [INSTANCE_SKIPPED] = "skipped",   [INSTANCE_CANCELLED] = "cancelled",
    [INSTANCE_LOST] = "lost",
};

static const char *const event_names[EVENT_TYPE_COUNT] = {
    [EVENT_STARTED] = "started",
    [EVENT_HIT] = "hit",
    [EVENT_SUCCEEDED] = "succeeded",
    [EVENT_FAILED] = "failed",
    [EVENT_RETRY] = "retry",
    [EVENT_SKIPPED] = "skipped",
    [EVENT_CANCELLED] = "cancelled",
    [EVENT_PUBLISH] = "publish",
    [EVENT_RUN_STARTED] = "run started",
    [EVENT_RUN_STOPPING] = "run stopping",
    [EVENT_RUN_ENDED] = "run ended",
    [EVENT_WARNING] = "warning",
    [EVENT_WAITING] = "waiting",
    [EVENT_PROMOTION] = "promotion",
    [EVENT_SERVING] = "serving",
    [EVENT_AGAIN] = "again",
};

#define TO(state) ((state) + 1)
static const uint8_t transitions[INSTANCE_STATE_COUNT][EVENT_TYPE_COUNT] = {
    [INSTANCE_QUEUED] =
        {
            [EVENT_STARTED] = TO(INSTANCE_RUNNING),
            [EVENT_HIT] = TO(INSTANCE_CACHED),
            [EVENT_FAILED] = TO(INSTANCE_FAILED), /* refused before an attempt */
            [EVENT_SKIPPED] = TO(INSTANCE_SKIPPED),
            [EVENT_CANCELLED] = TO(INSTANCE_CANCELLED),
            [EVENT_WAITING] = TO(INSTANCE_QUEUED),
            [EVENT_PROMOTION] = TO(INSTANCE_QUEUED), /* early, before all candidates have ended */
        },
    [INSTANCE_RUNNING] =
        {
            [EVENT_PROMOTION] = TO(INSTANCE_RUNNING),
            [EVENT_SERVING] = TO(INSTANCE_RUNNING),
            [EVENT_SUCCEEDED] = TO(INSTANCE_SUCCEEDED),
            [EVENT_FAILED] = TO(INSTANCE_FAILED),
            [EVENT_CANCELLED] = TO(INSTANCE_CANCELLED),
        },
    [INSTANCE_RETRYING] =
        {
            [EVENT_STARTED] = TO(INSTANCE_RUNNING),
            [EVENT_HIT] = TO(INSTANCE_CACHED),
            [EVENT_FAILED] = TO(INSTANCE_FAILED),
            [EVENT_CANCELLED] = TO(INSTANCE_CANCELLED),
            [EVENT_WAITING] = TO(INSTANCE_RETRYING),
        },
    [INSTANCE_SUCCEEDED] = {[EVENT_PUBLISH] = TO(INSTANCE_SUCCEEDED),
                            [EVENT_PROMOTION] = TO(INSTANCE_SUCCEEDED),
                            [EVENT_AGAIN] = TO(INSTANCE_QUEUED)},
    [INSTANCE_CACHED] =
        {[EVENT_PUBLISH] = TO(INSTANCE_CACHED), [EVENT_PROMOTION] = TO(INSTANCE_CACHED)},
    [INSTANCE_FAILED] =
        {[EVENT_RETRY] = TO(INSTANCE_RETRYING), [EVENT_AGAIN] = TO(INSTANCE_QUEUED)},
    [INSTANCE_LOST] = {[EVENT_RETRY] = TO(INSTANCE_RETRYING)},
};

bool instance_ended(enum instance_state s)
{
    return s >= INSTANCE_SUCCEEDED && s < INSTANCE_STATE_COUNT;
}

void state_init(struct run_state *s, uint32_t n)
{
    memset(s, 0, sizeof(*s));
    s->n = n;
    s->instances = xcalloc(n ? n : 1, sizeof(*s->instances));
    s->counts[INSTANCE_QUEUED] = n;
}

void state_done(struct run_state *s)
{
    free(s->instances);
    memset(s, 0, sizeof(*s));
}

/* Whether a payload has this member with this value. Inside a JSON string each quote stands behind a backslash, so that what a user's text says is never taken for a member. */
static bool payload_has(const struct event *e, const char *member)
{
    return e->payload && memmem(e->payload, e->payload_len, member, strlen(member)) != NULL;
}

static void take_status(struct run_state *s, const struct event *e)
{
    static const char *const known[] = {"succeeded", "failed", "cancelled"};
    char member[40];

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        (void)snprintf(member, sizeof(member), "\"status\":\"%s\"", known[i]);
        if (payload_has(e, member)) {
            (void)snprintf(s->status, sizeof(s->status), "%s", known[i]);
            return;
        }
    }
    (void)snprintf(s->status, sizeof(s->status), "failed");
}

static int apply_run(struct run_state *s, const struct event *e)
{
    switch (e->type) {
    case EVENT_RUN_STARTED:
        if (s->started) {
            return -ERR_INVALID;
        }
        s->started = true;
        (void)snprintf(s->status, sizeof(s->status), "running");
        return 0;
    case EVENT_RUN_STOPPING:
        if (!s->started || s->ended) {
            return -ERR_INVALID;
        }
        s->stopping = true;
        return 0;
    case EVENT_RUN_ENDED:
        if (!s->started || s->ended) {
            return -ERR_INVALID;
        }
        s->ended = true;
        take_status(s, e);
        return 0;
    case EVENT_WARNING:
        return 0;
    default:
        return -ERR_INVALID;
    }
}

static void apply_times(struct instance_status *i, const struct event *e, uint8_t next)
{
    if (e->type == EVENT_STARTED) {
        i->started_us = e->at_us;
        i->ended_us = 0;
        i->tolerated = false;
        i->attempts = (uint8_t)(i->attempts < UINT8_MAX ? i->attempts + 1 : UINT8_MAX);
    }
    if (next == INSTANCE_RETRYING) {
        i->tolerated = false;
        i->ended_us = 0;
    } else if (instance_ended(next) && e->type != EVENT_PUBLISH) {
        i->ended_us = e->at_us;
        if (i->started_us == 0) {
            i->started_us = e->at_us;
        }
    }
}

int state_apply(struct run_state *s, const struct event *e)
{
    struct instance_status *i;
    uint8_t cell, next;

    if (e->type < EVENT_STARTED || e->type >= EVENT_TYPE_COUNT) {
        return -ERR_INVALID;
    }
    if (e->instance == UINT32_MAX || e->type == EVENT_WARNING) {
        return apply_run(s, e);
    }
    if (e->instance >= s->n || s->ended) {
        return -ERR_INVALID;
    }
    i = &s->instances[e->instance];
    cell = transitions[i->state][e->type];
    if (cell == 0) {
        return -ERR_INVALID;
    }
    next = (uint8_t)(cell - 1);
    if (e->type == EVENT_FAILED && payload_has(e, "\"kind\":\"lost\"")) {
        next = INSTANCE_LOST;
    }
    apply_times(i, e, next);
    if (e->type == EVENT_FAILED) {
        i->tolerated = payload_has(e, "\"tolerated\":true");
    }
    if (e->type == EVENT_HIT || e->type == EVENT_SUCCEEDED) {
        i->entry = e->entry;
    }
    s->counts[i->state]--;
    s->counts[next]++;
    i->state = next;
    return 0;
}

void state_dot(struct str *out)
{
    sb_puts(out, "digraph states {\n    rankdir=LR;\n    node [shape=box, style=rounded];\n");
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        if (instance_ended((enum instance_state)s)) {
            sb_printf(out, "    %s [peripheries=2];\n", instance_state_names[s]);
        }
    }
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        for (int e = EVENT_STARTED; e < EVENT_TYPE_COUNT; e++) {
            int next = transitions[s][e] - 1;
            if (next < 0) {
                continue;
            }
            sb_printf(out, "    %s -> %s [label=\"%s\"];\n", instance_state_names[s],
                      instance_state_names[next], event_names[e]);
            if (s == INSTANCE_RUNNING && e == EVENT_FAILED) {
                sb_puts(out, "    running -> lost [label=\"failed (lost)\"];\n");
            }
        }
    }
    sb_puts(out, "}\n");
}
