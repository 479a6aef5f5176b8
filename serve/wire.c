/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/wire.h"

#include "base/arena.h"
#include "base/json.h"
#include "serve/client.h"

void wire_hello(const char *run, const struct serve_secret *secrets, size_t n, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, false);
    jw_object(&w);
    jw_key(&w, "hello");
    jw_object(&w);
    jw_kv_text(&w, "run", run);
    jw_key(&w, "secrets");
    jw_object(&w);
    for (size_t i = 0; i < n; i++) {
        jw_kv_text(&w, secrets[i].name, secrets[i].value);
    }
    jw_end_object(&w);
    jw_end_object(&w);
    jw_end_object(&w);
}

void wire_state(const struct service_row *row, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, false);
    jw_object(&w);
    jw_key(&w, "state");
    jw_object(&w);
    jw_kv_i64(&w, "id", row->id);
    jw_kv_text(&w, "workflow", row->workflow);
    jw_kv_text(&w, "step", row->step);
    jw_kv_i64(&w, "generation", row->generation);
    jw_kv_text(&w, "run", row->run);
    jw_kv_bool(&w, "keep", row->keep);
    jw_kv_i64(&w, "port", row->port);
    jw_kv_i64(&w, "state", row->state);
    jw_kv_i64(&w, "state_generation", row->state_generation);
    jw_kv_i64(&w, "live_generation", row->live_generation);
    jw_kv_i64(&w, "live_promotion", row->live_promotion);
    jw_kv_text(&w, "endpoint", row->endpoint);
    jw_kv_text(&w, "error", row->error);
    jw_kv_i64(&w, "changed_at_ms", row->changed_at_ms);
    jw_end_object(&w);
    jw_end_object(&w);
}

void wire_note(int64_t service, const char *text, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, false);
    jw_object(&w);
    jw_kv_text(&w, "note", text);
    jw_kv_i64(&w, "service", service);
    jw_end_object(&w);
}

static const char *text(const json_t *o, const char *key, struct arena *a)
{
    const char *t = json_string_value(json_object_get(o, key));
    return t ? arena_strdup(a, t) : NULL;
}

static int64_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

bool wire_read_state(const json_t *o, struct arena *a, struct service_row *ret)
{
    int64_t state = number(o, "state");
    if (!json_is_object(o) || state < 0 || state >= SERVICE_STATE_COUNT) {
        return false;
    }
    *ret = (struct service_row){
        .id = number(o, "id"),
        .workflow = text(o, "workflow", a),
        .step = text(o, "step", a),
        .generation = number(o, "generation"),
        .run = text(o, "run", a),
        .keep = json_is_true(json_object_get(o, "keep")),
        .port = (uint16_t)number(o, "port"),
        .state = (enum service_state)state,
        .state_generation = number(o, "state_generation"),
        .live_generation = number(o, "live_generation"),
        .live_promotion = (uint32_t)number(o, "live_promotion"),
        .endpoint = text(o, "endpoint", a),
        .error = text(o, "error", a),
        .changed_at_ms = number(o, "changed_at_ms"),
    };
    return ret->workflow && ret->step;
}
