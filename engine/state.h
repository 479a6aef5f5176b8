/* SPDX-License-Identifier: Apache-2.0 */
/* States by event: a source posts an event -> it is journalled -> apply() (pure, table-driven, the only writer of state) -> act (looks at the state, does what is missing) -> subscribers. Replaying a
 * journal is apply() over its events: `wf show` of a past or dead run is just that. */
#ifndef WF_ENGINE_STATE_H
#define WF_ENGINE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct str;

enum instance_state {
    INSTANCE_QUEUED,
    INSTANCE_RUNNING,
    INSTANCE_RETRYING /* waits for its next attempt, holds no slot */,
    INSTANCE_SUCCEEDED,
    INSTANCE_CACHED,
    INSTANCE_FAILED,
    INSTANCE_SKIPPED,
    INSTANCE_CANCELLED,
    INSTANCE_LOST,
    INSTANCE_STATE_COUNT
};
extern const char *const instance_state_names[INSTANCE_STATE_COUNT];
bool instance_ended(enum instance_state s);

enum event_type {
    EVENT_STARTED =
        1, /* an attempt begins: {"attempt":n,"executor":…,"token":…,"key":…,"verdict":…,"why":[…]} */
    EVENT_HIT, /* reused: packed, the entry's row id; of a few a document: {"shared":true,"fetched_bytes":…,"note":…} */
    EVENT_SUCCEEDED, /* {"duration_ms":…,"entry":ID or 0,"outputs":…,"values":…,"metrics":…,"stored":false,"note":…,"log_file":…} */
    EVENT_FAILED, /* {"exit_code":…,"signal":…,"error":…,"kind":"failed|timeout|oom|lost|refused","log_file":…,"tolerated":…} */
    EVENT_RETRY,  /* after FAILED: {"delay_ms":…} */
    EVENT_SKIPPED,   /* {"because":…} */
    EVENT_CANCELLED, /* {"because":…} */
    EVENT_PUBLISH,   /* intent, in the success transaction */
    EVENT_RUN_STARTED,
    EVENT_RUN_STOPPING /* first signal, stop on failure: {"because":…} */,
    EVENT_RUN_ENDED /* {"status":…} */,
    EVENT_WARNING, /* {"text":…}: a cache that could not be written, an unfinished earlier run … */
    EVENT_WAITING, /* {"on":{"run":…,"workflow":…,"step":…},"because":…}: another run works on the same key */
    EVENT_PROMOTION, /* of a select: {"number":…,"reason":"early|final","models":[{"name":…,"slug":…,"metric":…}]} */
    EVENT_SERVING, /* of a service: {"state":"live|failed|…","endpoint":…,"promotion":…,"error":…} */
    EVENT_AGAIN, /* on_promotion: each, once more: {"promotion":…} */
    EVENT_TYPE_COUNT
};
/* One event. `payload` is JSON (or 8 bytes of entry id for EVENT_HIT), borrowed. */
struct event {
    enum event_type type;
    uint32_t instance; /* UINT32_MAX: the run itself */
    int64_t at_us;     /* wall clock */
    const char *payload;
    uint32_t payload_len;
    int64_t entry; /* of HIT and SUCCEEDED */
};
struct instance_status {
    uint8_t state;    /* enum instance_state; written by state_apply() alone */
    uint8_t attempts; /* saturates at 255 */
    bool tolerated;
    int64_t started_us, ended_us;
    int64_t entry; /* the cache entry used or made, 0: none */
};
struct run_state {
    uint32_t n;
    struct instance_status *instances;
    uint32_t counts[INSTANCE_STATE_COUNT];
    bool started, stopping, ended;
    char status[16]; /* "running", "succeeded", "failed", "cancelled" */
};
void state_init(struct run_state *s, uint32_t n);
void state_done(struct run_state *s);
/* Pure. Negative: the event is not allowed in this state (ignored; our bug or a duplicate from outside). */
int state_apply(struct run_state *s, const struct event *e);
/* The table as a Graphviz picture (docs, `wf graph --states`). */
void state_dot(struct str *out);

/* Of an EVENT_HIT: the payload is a document, not the 8 bytes of the entry's id (which may begin with any byte). */
static inline bool event_hit_has_document(const struct event *e)
{
    return e->payload_len > sizeof(int64_t);
}

/* Records of a batch: u8 type, u8[3] 0, u32 instance, i64 at_us, i64 entry, u32 payload length, payload. Little-endian. HITs of one turn share one record: u8 EVENT_HIT, u8 1 (packed), count, at_us, then count x {u32 instance, i64 entry}. */
void event_encode(const struct event *e, struct str *out);
void event_encode_hits(const uint32_t *instances, const int64_t *entries, uint32_t count,
                       int64_t at_us, struct str *out);
int event_decode_each(const void *data, size_t len, int (*fn)(const struct event *e, void *arg),
                      void *arg, struct err *err);

#endif
