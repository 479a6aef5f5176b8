/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and methods, and the answers that need no model server. */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "serve/gateway_http.h"
#include "serve/gateway_impl.h"

#include <string.h>

enum place {
    PLACE_NONE,
    PLACE_SERVER,
    PLACE_LIVE,
    PLACE_READY,
    PLACE_MODELS,
    PLACE_MODEL,
    PLACE_MODEL_READY,
    PLACE_INFER,
    PLACE_V1_MODELS,
    PLACE_V1_MODEL,
    PLACE_PREDICT,
    PLACE_GENERATION,
};

/* Fixed paths; a slash at the end does not matter. */
static const struct {
    const char *path;
    enum place place;
} fixed[] = {
    {"/v2", PLACE_SERVER},
    {"/v2/health/live", PLACE_LIVE},
    {"/v2/health/ready", PLACE_READY},
    {"/v2/models", PLACE_MODELS},
    {"/v1/models", PLACE_V1_MODELS},
    {"/wf/generation", PLACE_GENERATION},
};

/* *ret_name: the model that is asked for, where it is not ours. */
static enum place model_place(const char *rest, bool v1, const char *ours, struct slice *ret_name)
{
    size_t len = strlen(ours), n = strcspn(rest, "/:");

    *ret_name = slice_of(rest, n);
    /* A name may hold what separates, so it is compared as a whole first. */
    if (strncmp(rest, ours, len) == 0 && (rest[len] == '\0' || strchr("/:", rest[len]))) {
        rest += len;
        *ret_name = slice_of(NULL, 0);
    } else {
        rest += n;
    }
    if (*rest == '\0') {
        return v1 ? PLACE_V1_MODEL : PLACE_MODEL;
    }
    if (v1) {
        return text_eq(rest, ":predict") ? PLACE_PREDICT : PLACE_NONE;
    }
    return text_eq(rest, "/ready")   ? PLACE_MODEL_READY
           : text_eq(rest, "/infer") ? PLACE_INFER
                                     : PLACE_NONE;
}

static enum place place_of(const char *path, const char *ours, struct slice *ret_name)
{
    size_t len = strlen(path);

    *ret_name = slice_of(NULL, 0);
    len -= len > 1 && path[len - 1] == '/';
    CLEANUP(cleanup_free) char *p = xstrndup(path, len);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        if (text_eq(p, fixed[i].path)) {
            return fixed[i].place;
        }
    }
    bool v1 = text_starts(p, "/v1/models/");
    if (!v1 && !text_starts(p, "/v2/models/")) {
        return PLACE_NONE;
    }
    enum place place = model_place(p + strlen("/v2/models/"), v1, ours, ret_name);
    if (ret_name->data) { /* the caller's text, not our copy's */
        ret_name->data = path + (ret_name->data - p);
    }
    return place;
}

static void put_server(struct jsonw *w)
{
    jw_kv_text(w, "name", "wf");
    jw_kv_text(w, "version", WF_VERSION);
    jw_key(w, "extensions");
    jw_array(w);
    jw_end_array(w);
}

static void put_names(struct jsonw *w, const struct ensemble *s)
{
    jw_key(w, "models");
    jw_array(w);
    jw_text(w, s->config.name);
    jw_end_array(w);
}

static void put_ready(struct jsonw *w, const struct ensemble *s)
{
    jw_kv_text(w, "name", s->config.name);
    jw_kv_bool(w, "ready", ensemble_ready(s));
}

/* Returns the status. */
static int answer_now(const struct ensemble *s, enum place place, struct str *out)
{
    bool ready = ensemble_ready(s);
    struct jsonw w;

    if (place == PLACE_GENERATION) {
        sb_i64(out, s->config.generation);
        sb_putc(out, ' ');
        sb_i64(out, ensemble_oldest(s));
        sb_putc(out, '\n');
        return 200;
    }
    jw_init(&w, out, false);
    jw_object(&w);
    if (place == PLACE_SERVER) {
        put_server(&w);
    } else if (place == PLACE_LIVE) {
        jw_kv_bool(&w, "live", true);
    } else if (place == PLACE_READY) {
        jw_kv_bool(&w, "ready", ready);
    } else if (place == PLACE_MODELS || place == PLACE_V1_MODELS) {
        put_names(&w, s);
    } else {
        put_ready(&w, s);
    }
    jw_end_object(&w);
    sb_putc(out, '\n');
    return !ready && (place == PLACE_READY || place == PLACE_MODEL_READY) ? 503 : 200;
}

static struct route not_found(const struct ensemble *s, const char *path, struct slice name,
                              struct str *out)
{
    CLEANUP(sb_done) struct str text = {0};

    if (name.data) {
        sb_printf(&text, "there is no model '%.*s' here, only '%s'",
                  name.len > 100 ? 100 : (int)name.len, name.data, s->config.name);
    } else {
        sb_printf(&text,
                  "there is nothing at %.200s; POST /v2/models/%s/infer or /v1/models/%s:predict "
                  "asks the models",
                  path, s->config.name, s->config.name);
    }
    combine_error(sb_text(&text), out);
    return (struct route){.kind = ROUTE_NOW, .status = 404};
}

struct route route_find(struct ensemble *s, const char *method, const char *path, struct str *out)
{
    struct slice name;
    enum place place = place_of(path, s->config.name, &name);
    bool post = place == PLACE_INFER || place == PLACE_PREDICT;
    bool get = text_eq(method, "GET") || text_eq(method, "HEAD");

    if (place == PLACE_NONE || name.data) {
        return not_found(s, path, place == PLACE_NONE ? slice_of(NULL, 0) : name, out);
    }
    if (post ? !text_eq(method, "POST") : !get) {
        CLEANUP(cleanup_free)
        char *text = xasprintf("%.200s takes %s only", path, post ? "POST" : "GET and HEAD");
        combine_error(text, out);
        return (struct route){
            .kind = ROUTE_NOW, .status = 405, .allow = post ? "POST" : "GET, HEAD"};
    }
    if (post) {
        return (struct route){.kind = place == PLACE_INFER ? ROUTE_INFER : ROUTE_PREDICT};
    }
    if (place == PLACE_MODEL) {
        return (struct route){.kind = ROUTE_ABOUT};
    }
    int status = answer_now(s, place, out);
    return (struct route){.kind = ROUTE_NOW, .status = status, .retry_after = status == 503};
}

/* A list of the member's own, or an empty one. */
static void put_list(struct jsonw *w, const char *key, const json_t *about)
{
    const json_t *list = json_object_get(about, key);
    char *text = json_is_array(list) ? json_dumps(list, JSON_COMPACT) : NULL;

    jw_key(w, key);
    jw_raw(w, text ? text : "[]", text ? strlen(text) : 2);
    cleanup_free(&text);
}

void route_about(const struct ensemble *s, const struct str *member, struct str *out)
{
    const struct gateway_config *c = &s->config;
    json_t *about = member ? json_loadb(sb_text(member), member->len, 0, NULL) : NULL;
    struct jsonw w;

    jw_init(&w, out, false);
    jw_object(&w);
    jw_kv_text(&w, "name", c->name);
    jw_key(&w, "versions");
    jw_array(&w);
    jw_end_array(&w);
    jw_kv_text(&w, "platform", "wf_aggregate");
    put_list(&w, "inputs", about);
    put_list(&w, "outputs", about);
    jw_key(&w, "parameters");
    jw_object(&w);
    jw_kv_text(&w, "method", method_names[c->method]);
    jw_kv_i64(&w, "quorum", c->quorum);
    jw_kv_i64(&w, "generation", c->generation);
    jw_key(&w, "members");
    jw_array(&w);
    for (uint32_t i = 0; i < c->n_members; i++) {
        jw_object(&w);
        jw_kv_text(&w, "member", c->members[i].slug);
        jw_kv_text(&w, "name", c->members[i].name);
        jw_key(&w, "metric");
        jw_real(&w, c->members[i].metric);
        jw_kv_bool(&w, "up", member_up(&s->members[i]));
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    jw_end_object(&w);
    sb_putc(out, '\n');
    json_decref(about);
}
