/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a service: its row, to those who are connected, and to who asks. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/store.h"
#include "serve/supervisor_impl.h"
#include "serve/wire.h"

#include <stdlib.h>
#include <string.h>

void service_describe(const struct service *s, struct jsonw *w)
{
    const struct want *by = s->live ? s->live : s->next;
    uint64_t requests = 0, errors = 0;
    uint32_t up = 0, wanted = 0;
    jw_object(w);
    jw_kv_i64(w, "id", s->id);
    jw_kv_text(w, "phase", phase_names[s->phase]);
    jw_key(w, "models");
    jw_array(w);
    for (size_t i = 0; by && i < s->groups.len; i++) {
        const struct group *g = s->groups.items[i];
        if (!want_has(by, g)) {
            continue;
        }
        const struct spec_model *m = &g->want->spec.models[g->model];
        jw_object(w);
        jw_kv_text(w, "name", m->name);
        jw_kv_text(w, "slug", m->slug);
        jw_kv_i64(w, "up", group_up(g));
        jw_kv_i64(w, "wanted", g->target);
        jw_kv_i64(w, "requests", (int64_t)g->requests);
        jw_kv_i64(w, "errors", (int64_t)g->errors);
        jw_kv_text(w, "log",
                   g->slots.len && g->slots.items[0]->replica ? g->slots.items[0]->replica->log
                                                              : NULL);
        jw_end_object(w);
        requests += g->requests;
        errors += g->errors;
        up += group_up(g);
        wanted += g->target;
    }
    jw_end_array(w);
    jw_kv_i64(w, "replicas_up", up);
    jw_kv_i64(w, "replicas_wanted", wanted);
    jw_kv_i64(w, "requests", (int64_t)requests);
    jw_kv_i64(w, "errors", (int64_t)errors);
    jw_end_object(w);
}

const char *service_name(const struct service *s)
{
    return s->name;
}

bool service_serves(const struct service *s)
{
    return s->live && (s->phase == PHASE_REST || s->phase == PHASE_GATEWAYS);
}

static const struct service *over(const struct service *s)
{
    return s->wanted && s->wanted->spec.aggregate
               ? supervisor_find(s->sup, s->workflow, s->wanted->spec.over)
               : NULL;
}

static enum service_state state_now(const struct service *s)
{
    if (!s->wanted) {
        return s->groups.len == 0 ? SERVICE_DOWN : s->row.state;
    }
    if (s->failed_generation == s->wanted->generation) {
        return SERVICE_FAILED;
    }
    if (!s->live) {
        return SERVICE_STARTING;
    }
    if (s->phase != PHASE_REST || s->live->generation != s->wanted->generation) {
        return SERVICE_SWITCHING;
    }
    if (s->wanted->spec.aggregate) {
        const struct service *o = over(s);
        bool live = o && o->live && s->config_written && s->config_agreed == s->config_written;
        return live ? SERVICE_LIVE : SERVICE_STARTING;
    }
    return SERVICE_LIVE;
}

struct status_write {
    struct write write; /* first */
    struct supervisor *sup;
    struct service_row row;
    char *endpoint, *error, *workflow, *step, *run;
};

static int apply_status(struct write *w, struct db *db, struct err *err)
{
    return desired_status(db, &((struct status_write *)w)->row, err);
}

static void on_status(struct write *w, const struct err *err)
{
    struct status_write *p = (struct status_write *)w;
    struct supervisor *u = p->sup;
    CLEANUP(sb_done) struct str text = {0};
    if (err) {
        log_write(LOG_WARN, "serve", "%s", err->msg);
    }
    wire_state(&p->row, &text);
    control_tell(u->control, text.data, text.len);
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        s->written =
            s->written || (s->id == p->row.id && s->row.changed_at_ms == p->row.changed_at_ms);
    }
    u->writes--;
    free(p->endpoint);
    free(p->error);
    free(p->workflow);
    free(p->step);
    free(p->run);
    free(p);
    supervisor_soon(u);
}

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static void write_row(struct service *s)
{
    struct status_write *p = xcalloc(1, sizeof(*p));
    *p = (struct status_write){.write = {.apply = apply_status, .done = on_status, .urgent = true},
                               .sup = s->sup,
                               .row = s->row,
                               .endpoint = copy(s->row.endpoint),
                               .error = copy(s->row.error),
                               .workflow = xstrdup(s->workflow),
                               .step = xstrdup(s->step),
                               .run = copy(s->run)};
    p->row.endpoint = p->endpoint;
    p->row.error = p->error;
    p->row.workflow = p->workflow;
    p->row.step = p->step;
    p->row.run = p->run;
    s->written = false;
    s->sup->writes++;
    store_post(s->sup->store, &p->write);
}

static char *make_endpoint(const struct service *s)
{
    const struct view *v = s->accepted;
    if (!v || !v->listens) {
        return NULL;
    }
    const char *host = v->service.host;
    bool any = text_eq(host, "0.0.0.0") || text_eq(host, "::") || text_eq(host, "*");
    return strchr(host, ':') && !any
               ? xasprintf("http://[%s]:%u", host, v->service.port)
               : xasprintf("http://%s:%u", any ? "127.0.0.1" : host, v->service.port);
}

void service_publish(struct service *s)
{
    const struct service *o = over(s);
    const struct want *live = o ? (s->live ? o->live : NULL) : s->live;
    CLEANUP(cleanup_free) char *endpoint = make_endpoint(s);
    struct service_row now = {
        .id = s->id,
        .generation = s->wanted ? s->wanted->generation : s->row.generation,
        .keep = s->keep,
        .port = s->port,
        .state = state_now(s),
        .live_generation = s->live ? s->live->generation : 0,
        .live_promotion = live ? live->spec.promotion : 0,
    };
    now.state_generation = now.generation;
    now.error = now.state == SERVICE_FAILED ? s->error : NULL;
    struct service_row *was = &s->row;
    if (was->changed_at_ms && was->generation == now.generation && was->port == now.port &&
        was->state == now.state && was->live_generation == now.live_generation &&
        was->live_promotion == now.live_promotion && text_eq(was->endpoint, endpoint) &&
        text_eq(was->error, now.error)) {
        return;
    }
    char *old_endpoint = (char *)(uintptr_t)was->endpoint,
         *old_error = (char *)(uintptr_t)was->error;
    now.error = copy(now.error);
    now.endpoint = copy(endpoint);
    now.changed_at_ms = now_ms();
    now.changed_at_ms += now.changed_at_ms == was->changed_at_ms;
    *was = now;
    free(old_endpoint);
    free(old_error);
    write_row(s);
}
