/* SPDX-License-Identifier: Apache-2.0 */
/* What outlives a supervisor: serve/services/ID says what is live and under which names HAProxy knows it, written before anything old is ended; records say which replicas run. From both a new supervisor takes up where the last one
 * stood; what was under way beyond that begins anew. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/store.h"
#include "serve/folder.h"
#include "serve/supervisor_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20 };

/* --- the file of a service --- */

static char *file_of(const struct service *s)
{
    CLEANUP(cleanup_free) char *below = xasprintf("serve/services/%lld", (long long)s->id);
    return store_path(s->sup->store, below);
}

void service_save(struct service *s)
{
    CLEANUP(sb_done) struct str out = {0};
    CLEANUP(cleanup_free) char *path = file_of(s);
    struct err err = {0};
    struct jsonw w;
    CLEANUP(cleanup_free) char *folder = serve_folder_make(s->sup->store, "services", &err);
    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_i64(&w, "generation", s->live->generation);
    jw_kv_text(&w, "wanted", s->live->json);
    jw_key(&w, "groups");
    jw_array(&w);
    for (size_t i = 0; i < s->groups.len; i++) {
        const struct group *g = s->groups.items[i];
        if (want_has(s->live, g)) {
            jw_object(&w);
            jw_key(&w, "key");
            jw_digest(&w, &g->key);
            jw_kv_text(&w, "backend", g->backend);
            jw_kv_i64(&w, "next_server", g->next_server);
            jw_end_object(&w);
        }
    }
    jw_end_array(&w);
    jw_end_object(&w);
    if (!folder || fs_write_file(path, out.data, out.len, 0600, true, &err) < 0) {
        supervisor_note(s->sup, s->id, "%s: %s", service_name(s), err.msg);
    }
}

void service_unsave(struct service *s)
{
    CLEANUP(cleanup_free) char *path = file_of(s);
    unlink(path);
    if (s->config) { /* of its gateway */
        CLEANUP(cleanup_free) char *script = xasprintf("%s.script", s->config);
        unlink(s->config);
        unlink(script);
    }
}

static bool read_key(const json_t *o, struct digest *ret)
{
    static const char prefix[] = "sha256:";
    const char *key = json_string_value(json_object_get(o, "key"));
    return key && text_starts(key, prefix) &&
           digest_parse(key + sizeof(prefix) - 1, strlen(key) - (sizeof(prefix) - 1), ret);
}

/* The model of `w` with this key; -1: it has none. */
static int64_t model_with(const struct want *w, const struct digest *key)
{
    for (uint32_t i = 0; w && i < w->spec.n_models; i++) {
        struct digest k = model_key(&w->spec, &w->spec.models[i]);
        if (digest_eq(&k, key)) {
            return i;
        }
    }
    return -1;
}

static void take_groups(struct service *s, const json_t *list)
{
    size_t i;
    json_t *o;
    json_array_foreach(list, i, o)
    {
        struct digest key;
        const char *backend = json_string_value(json_object_get(o, "backend"));
        int64_t model = read_key(o, &key) ? model_with(s->live, &key) : -1;
        if (model >= 0 && backend && !service_group(s, &key)) {
            struct group *g = group_new(s, s->live, (uint32_t)model, backend);
            g->next_server = (uint32_t)json_integer_value(json_object_get(o, "next_server"));
        }
    }
}

static void take_file(struct service *s)
{
    CLEANUP(cleanup_free) char *path = file_of(s);
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_json) json_t *o = NULL;
    struct err err = {0};
    if (access(path, F_OK) != 0) {
        return;
    }
    if (fs_read_file(path, FILE_MAX, &text, &err) < 0 ||
        json_read(text.data, text.len, FILE_MAX, &o, &err) < 0) {
        log_write(LOG_WARN, "serve", "%s", err.msg);
        return;
    }
    const char *wanted = json_string_value(json_object_get(o, "wanted"));
    s->live = wanted ? want_read(wanted, json_integer_value(json_object_get(o, "generation")), &err)
                     : NULL;
    if (s->live) {
        want_make_gateway(s->live, s->sup->store, s->id);
        take_groups(s, json_object_get(o, "groups"));
    }
}

/* --- records --- */

/* Nobody knows what it belongs to any more. */
static void on_orphan(struct replica *r, void *arg)
{
    struct supervisor *u = arg;
    if (r->state == REPLICA_GONE) {
        replica_free(r);
        u->orphans--;
        supervisor_soon(u);
    }
}

static void end_orphan(struct supervisor *u, const struct replica_record *rec)
{
    struct replica_plan p = {.name = "a replica of a service that is gone",
                             .slug = "gone",
                             .service = rec->service,
                             .key = rec->key,
                             .backend = rec->backend,
                             .server = rec->server,
                             .index = rec->index};
    u->orphans++;
    replica_stop(replica_adopt(&u->ground, rec, &p, on_orphan, u), -1);
}

static struct service *by_id(struct supervisor *u, int64_t id)
{
    for (size_t i = 0; i < u->services.len; i++) {
        if (u->services.items[i]->id == id) {
            return u->services.items[i];
        }
    }
    return NULL;
}

static int take_record(const struct replica_record *rec, void *arg)
{
    struct supervisor *u = arg;
    struct service *s = by_id(u, rec->service);
    struct group *g = s && s->wanted ? service_group(s, &rec->key) : NULL;
    if (!g && s && s->wanted) {
        int64_t model = model_with(s->wanted, &rec->key);
        if (model >= 0) { /* it was being prepared */
            g = group_new(s, s->wanted, (uint32_t)model, rec->backend);
        }
    }
    if (g && strcmp(g->backend, rec->backend) == 0) {
        group_adopt(g, rec);
    } else {
        end_orphan(u, rec);
    }
    return 0;
}

/* --- all of it --- */

static int take_row(const struct service_row *row, void *arg)
{
    struct supervisor *u = arg;
    if (row->wanted || row->state != SERVICE_DOWN || row->state_generation != row->generation) {
        struct service *s = service_new(u, row);
        if (s->wanted) {
            take_file(s);
        }
    }
    return 0;
}

int supervisor_take(struct supervisor *u, struct err *err)
{
    struct arena *a = arena_new();
    int rc = desired_each(u->store, a, take_row, u, err);
    rc = rc < 0 ? rc : replica_records_each(u->store, a, take_record, u, err);
    arena_free(a);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        for (uint32_t k = 0; s->live && k < s->live->spec.n_models; k++) {
            struct digest key = model_key(&s->live->spec, &s->live->spec.models[k]);
            struct group *g = service_group(s, &key);
            g = g ? g : group_new(s, s->live, k, NULL);
            uint32_t n = s->live->spec.replicas > 0 ? s->live->spec.replicas : 1;
            if (s->live->spec.scales) {
                n = g->target < s->live->spec.scale_min ? s->live->spec.scale_min : g->target;
            }
            group_resize(g, n);
        }
    }
    views_apply_all(u);
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        gateways_sync(s);
        service_run(s);
    }
    return 0;
}
