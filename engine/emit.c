/* SPDX-License-Identifier: Apache-2.0 */
/* Events of a run: applied to the state, journalled, told to subscribers, in that order. Nothing else changes run->state. */
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/run_impl.h"

#include <string.h>

static bool apply(struct run *r, const struct event *e)
{
    if (state_apply(&r->state, e) < 0) {
        log_debug("run", "event %d of instance %u is not allowed now", (int)e->type, e->instance);
        return false;
    }
    return true;
}

static void tell(struct run *r, const struct event *e)
{
    if (r->o.on_event && !r->closing) {
        r->o.on_event(r, e, r->o.arg);
    }
}

void emit(struct run *r, enum event_type type, uint32_t instance, const char *payload, size_t len)
{
    struct event e = {.type = type,
                      .instance = instance,
                      .at_us = now_us(),
                      .payload = payload,
                      .payload_len = (uint32_t)len};

    if (apply(r, &e)) {
        journal_event(r->journal, &e);
        tell(r, &e);
    }
}

static void emit_text(struct run *r, enum event_type type, uint32_t instance, const char *key,
                      const char *text)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_text(&w, key, text);
    jw_end_object(&w);
    emit(r, type, instance, sb_text(&out), out.len);
}

void emit_because(struct run *r, enum event_type type, uint32_t instance, const char *because)
{
    emit_text(r, type, instance, "because", because);
}

void emit_warning(struct run *r, uint32_t instance, const char *text)
{
    emit_text(r, EVENT_WARNING, instance, "text", text);
}

void emit_late(struct run *r, uint32_t instance, const char *text)
{
    CLEANUP(sb_done) struct str out = {0};
    struct event e = {.type = EVENT_WARNING, .instance = instance, .at_us = now_us()};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_text(&w, "text", text);
    jw_end_object(&w);
    e.payload = sb_text(&out);
    e.payload_len = (uint32_t)out.len;
    tell(r, &e);
}

/* What is told of a hit beyond its entry, as a document; empty: nothing. */
static void hit_document(struct run *r, uint32_t instance, const char *note, struct str *out)
{
    struct jsonw w;
    uint64_t bytes;
    bool shared = shared_fetched(r, instance, &bytes);

    if (!shared && !note) {
        return;
    }
    jw_init(&w, out, false);
    jw_object(&w);
    if (shared) {
        jw_kv_bool(&w, "shared", true);
        jw_kv_i64(&w, "fetched_bytes", (int64_t)bytes);
    }
    if (note) {
        jw_kv_text(&w, "note", note);
    }
    jw_end_object(&w);
}

void emit_hit(struct run *r, uint32_t instance, const struct entry *entry, const char *note,
              bool keep)
{
    CLEANUP(sb_done) struct str document = {0};
    struct event e = {.type = EVENT_HIT,
                      .instance = instance,
                      .at_us = now_us(),
                      .payload = (const char *)&entry->id,
                      .payload_len = sizeof(entry->id),
                      .entry = entry->id};

    if (!apply(r, &e)) {
        return;
    }
    r->instances[instance].entry = entry;
    r->instances[instance].committed = true;
    r->saved_ms += entry->duration_ms;
    hit_document(r, instance, keep || r->o.want_hits ? note : NULL, &document);
    if (document.len > 0) {
        e.payload = sb_text(&document);
        e.payload_len = (uint32_t)document.len;
    }
    if (document.len > 0 && (keep || !note)) {
        journal_event(r->journal, &e);
    } else {
        journal_hit(r->journal, instance, entry->id, e.at_us);
    }
    if (r->o.want_hits) {
        tell(r, &e);
    }
}

void emit_success(struct run *r, struct success *s)
{
    struct event e = {.type = EVENT_SUCCEEDED,
                      .instance = s->instance,
                      .at_us = now_us(),
                      .payload = s->payload,
                      .payload_len = s->payload_len};

    if (!apply(r, &e)) {
        arena_free(s->arena);
        return;
    }
    s->at_us = e.at_us;
    if (s->publish) {
        struct event intent = {.type = EVENT_PUBLISH, .instance = s->instance, .at_us = e.at_us};
        (void)apply(r, &intent); /* journalled in the success' own transaction */
    }
    journal_success(r->journal, s);
    tell(r, &e);
}
