/* SPDX-License-Identifier: Apache-2.0 */
/* Gateways go straight to the replicas of the service they are over. So their configuration is written anew whenever those change, and no replica is ended before they said that new requests go by it. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/store.h"
#include "serve/folder.h"
#include "serve/gateway.h"
#include "serve/supervisor_impl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ASK_FIRST_MS = 5,
    ASK_LAST_MS = 100,
    ANSWER_MS = 2000,
    TELL_AGAIN_US = 500000,
    NAME_SIZE = 4096,
};

/* --- the gateway as a model of its own --- */

/* Where we are; the path may have another file in it by now. */
static const char *own_program(struct arena *a)
{
    char path[NAME_SIZE];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0) {
        return "/proc/self/exe";
    }
    path[n] = '\0';
    return fs_executable(path) ? arena_strdup(a, path) : "/proc/self/exe";
}

static const char *const *own_environment(struct arena *a)
{
    static const char *const names[] = {"PATH", "HOME", "LANG", "TMPDIR"};
    const char **env = arena_calloc(a, ARRAY_LEN(names) + 1, sizeof(*env));
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = getenv(names[i]);
        if (value) {
            env[n++] = arena_printf(a, "%s=%s", names[i], value);
        }
    }
    return env;
}

void want_make_gateway(struct want *w, struct store *s, int64_t service)
{
    static const char what[] = "gateway";
    struct service_spec *spec = &w->spec;
    if (!spec->aggregate) {
        return;
    }
    CLEANUP(cleanup_free)
    char *below = xasprintf("serve/gateways/%lld.json", (long long)service);
    CLEANUP(cleanup_free) char *config = store_path(s, below);
    const char **argv = arena_calloc(w->arena, 4, sizeof(*argv));
    argv[0] = own_program(w->arena);
    argv[1] = "gateway";
    argv[2] = arena_strdup(w->arena, config);
    struct spec_model *m = arena_alloc(w->arena, sizeof(*m));
    m->name = arena_printf(w->arena, "the gateway of %s", spec->step);
    m->slug = what;
    digest_of(what, sizeof(what), &m->content);
    m->program.argv = argv;
    m->program.env = own_environment(w->arena);
    m->program.workdir = "/";
    spec->models = m;
    spec->n_models = 1;
    spec->replicas = 1;
    spec->ready_path = "/v2/health/live";
    spec->ready_timeout_ms = 60000;
    spec->retry = (struct retry){.limit = 3, .delay_ms = 100, .backoff = 2};
}

/* --- the configuration --- */

static const struct replica *running(const struct service *s)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        const struct group *g = s->groups.items[i];
        for (size_t k = 0; k < g->slots.len; k++) {
            const struct replica *r = g->slots.items[k]->replica;
            if (r && !g->slots.items[k]->leaving && r->state <= REPLICA_READY) {
                return r;
            }
        }
    }
    return NULL;
}

static uint32_t put_replicas(const struct group *g, struct gateway_replica *to)
{
    uint32_t n = 0;
    for (size_t i = 0; i < g->slots.len; i++) {
        const struct slot *s = g->slots.items[i];
        if (s->replica && s->replica->state == REPLICA_READY && !s->leaving) {
            to[n++] = (struct gateway_replica){s->replica->socket, s->replica->port};
        }
    }
    return n;
}

static void put_members(struct service *over, struct arena *a, struct gateway_config *c)
{
    const struct want *w = over ? over->live : NULL;
    if (!w) {
        return;
    }
    struct gateway_member *members = arena_calloc(a, w->spec.n_models, sizeof(*members));
    for (uint32_t i = 0; i < w->spec.n_models; i++) {
        const struct spec_model *m = &w->spec.models[i];
        struct digest key = model_key(&w->spec, m);
        const struct group *g = service_group(over, &key);
        if (!g) {
            continue;
        }
        struct gateway_replica *replicas = arena_calloc(a, g->slots.len, sizeof(*replicas));
        struct gateway_member *to = &members[c->n_members];
        *to = (struct gateway_member){
            .slug = m->slug, .name = m->name, .metric = m->metric, .replicas = replicas};
        to->n_replicas = put_replicas(g, replicas);
        c->n_members += to->n_replicas > 0;
    }
    c->members = members;
}

/* Its command, with the file of its script behind it. */
static const char *const *command_of(const struct service *s, const struct service_spec *spec,
                                     struct arena *a)
{
    struct err err;
    size_t n = 0;
    while (spec->command && spec->command[n]) {
        n++;
    }
    if (!spec->command_script) {
        return spec->command;
    }
    const char **argv = arena_calloc(a, n + 2, sizeof(*argv));
    for (size_t i = 0; i < n; i++) {
        argv[i] = spec->command[i];
    }
    CLEANUP(cleanup_free) char *path = xasprintf("%s.script", s->config);
    if (fs_write_file(path, spec->command_script, strlen(spec->command_script), 0755, false, &err) <
        0) {
        log_write(LOG_WARN, "serve", "%s", err.msg);
    }
    argv[n] = arena_strdup(a, path);
    return argv;
}

static struct digest content_of(const struct gateway_config *c)
{
    CLEANUP(sb_done) struct str t = {0};
    struct digest d;
    sb_printf(&t, "%s %s %d %u %u\n", c->socket, c->name, (int)c->method, c->quorum, c->split);
    for (size_t i = 0; c->command && c->command[i]; i++) {
        sb_add(&t, c->command[i], strlen(c->command[i]) + 1);
    }
    for (size_t i = 0; c->env && c->env[i]; i++) {
        sb_add(&t, c->env[i], strlen(c->env[i]) + 1);
    }
    for (uint32_t i = 0; i < c->n_members; i++) {
        const struct gateway_member *m = &c->members[i];
        sb_printf(&t, "\n%s %s %.17g", m->slug, m->name, m->metric);
        for (uint32_t k = 0; k < m->n_replicas; k++) {
            sb_printf(&t, " %s:%u", m->replicas[k].socket ? m->replicas[k].socket : "",
                      m->replicas[k].port);
        }
    }
    digest_of(t.data, t.len, &d);
    return d;
}

/* True: it has changed. */
static bool write_config(struct service *s, const struct replica *r)
{
    const struct want *w = s->live ? s->live : s->next;
    struct arena *a = arena_new();
    struct err err = {0};
    CLEANUP(cleanup_free) char *folder = serve_folder_make(s->sup->store, "gateways", &err);
    if (!s->config) {
        s->config =
            xasprintf("%s/serve/gateways/%lld.json", store_dir(s->sup->store), (long long)s->id);
    }
    struct gateway_config c = {.socket = r->socket,
                               .name = s->step,
                               .method = w->spec.method,
                               .quorum = w->spec.quorum,
                               .split = w->spec.split,
                               .env = w->spec.command_env};
    c.command = command_of(s, &w->spec, a);
    put_members(supervisor_find(s->sup, s->workflow, w->spec.over), a, &c);
    struct digest content = content_of(&c);
    bool same = s->config_written && digest_eq(&content, &s->config_content);
    if (!same) {
        c.generation = now_us() > s->config_written ? now_us() : s->config_written + 1;
        int rc = folder ? gateway_write(s->config, &c, &err) : -1;
        if (rc == 0) {
            s->config_written = c.generation;
            s->config_content = content;
        } else {
            supervisor_note(s->sup, s->id, "%s: %s", service_name(s), err.msg);
            same = true;
        }
    }
    arena_free(a);
    return !same;
}

/* --- has it taken it? --- */

static void ask(struct service *s);

static void on_ask_again(void *arg)
{
    ask(arg);
}

static void ask_in(struct service *s, int64_t ms)
{
    if (!s->config_timer) {
        s->config_timer = timer_new(s->sup->loop, on_ask_again, s);
    }
    timer_start(s->config_timer, ms, 0);
}

static void agreed(struct service *s)
{
    struct service *o = s->live ? supervisor_find(s->sup, s->workflow, s->live->spec.over) : NULL;
    s->config_wait_ms = 0;
    service_run(s);
    if (o) {
        service_run(o);
    }
}

static void on_generation(struct http_call *c, const struct http_response *res, void *arg)
{
    struct service *s = arg;
    bool before = s->config_agreed == s->config_written;
    (void)c;
    s->config_call = NULL;
    if (res->status == 200) {
        char *end;
        s->config_agreed = strtoll(sb_text(&res->body), &end, 10);
        s->config_oldest = strtoll(end, NULL, 10);
    }
    if (s->config_agreed == s->config_written && !before) {
        agreed(s);
    }
    if (s->config_agreed == s->config_written && s->config_oldest >= s->config_written) {
        return;
    }
    int64_t next = s->config_wait_ms * 3 / 2 + 1;
    s->config_wait_ms = next > ASK_LAST_MS ? ASK_LAST_MS : next;
    ask_in(s, s->config_wait_ms);
}

static void ask(struct service *s)
{
    const struct replica *r = running(s);
    struct err err = {0};
    if (!r || r->state != REPLICA_READY || s->config_call) {
        return; /* its next start reads what is written */
    }
    if (s->config_agreed != s->config_written && mono_us() - s->config_told_us > TELL_AGAIN_US) {
        s->config_told_us = mono_us();
        kill(r->pid, SIGHUP);
    }
    struct http_request q = {
        .url = "http://gateway/wf/generation", .unix_socket = r->socket, .timeout_ms = ANSWER_MS};
    if (http_start(s->sup->ground.http, &q, on_generation, s, &s->config_call, &err) < 0) {
        s->config_call = NULL;
        ask_in(s, ASK_LAST_MS);
    }
}

/* --- the supervisor's side --- */

void gateway_begin(struct service *s, const struct replica *r)
{
    s->config_written = 0; /* another socket */
    s->config_agreed = s->config_oldest = 0;
    write_config(s, r);
}

void gateway_sync(struct service *s)
{
    const struct replica *r = running(s);
    if (!r || (!s->live && !s->next)) {
        return;
    }
    if (write_config(s, r)) {
        s->config_told_us = 0;
    }
    if (s->config_agreed != s->config_written && r->state == REPLICA_READY) {
        s->config_wait_ms = ASK_FIRST_MS;
        if (!s->config_told_us) { /* a new one: it is told at once */
            s->config_told_us = mono_us();
            kill(r->pid, SIGHUP);
        }
        ask_in(s, ASK_FIRST_MS);
    }
}

static bool is_over(const struct service *aggregate, const struct service *s)
{
    const struct want *w = aggregate->live ? aggregate->live : aggregate->next;
    return w && w->spec.aggregate && text_eq(aggregate->workflow, s->workflow) &&
           text_eq(w->spec.over, s->step);
}

void gateways_sync(struct service *s)
{
    for (size_t i = 0; i < s->sup->services.len; i++) {
        struct service *o = s->sup->services.items[i];
        if (is_over(o, s)) {
            gateway_sync(o);
        }
    }
    if (s->wanted && s->wanted->spec.aggregate) {
        gateway_sync(s); /* its own process is ready now */
    }
}

bool gateways_agree(const struct service *s)
{
    for (size_t i = 0; i < s->sup->services.len; i++) {
        const struct service *o = s->sup->services.items[i];
        const struct replica *r = is_over(o, s) ? running(o) : NULL;
        if (r && r->state == REPLICA_READY && o->config_agreed != o->config_written) {
            return false;
        }
    }
    return true;
}

bool gateways_left(const struct service *s)
{
    for (size_t i = 0; i < s->sup->services.len; i++) {
        const struct service *o = s->sup->services.items[i];
        const struct replica *r = is_over(o, s) ? running(o) : NULL;
        if (r && r->state == REPLICA_READY && o->config_oldest < o->config_written) {
            return false;
        }
    }
    return gateways_agree(s);
}
