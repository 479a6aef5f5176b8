/* SPDX-License-Identifier: Apache-2.0 */
/* What HAProxy is to know of each service, offered to it one service at a time beside what it has already taken of the others: so a refusal (a port that is taken) is the fault of one, and hits that one alone. */
#include "base/arena.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "serve/supervisor_impl.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AGAIN_MS = 1000 };

void view_free(struct view *v)
{
    if (v) {
        arena_free(v->arena);
    }
}

/* --- building one --- */

/* By what requests are led now. */
static struct want *routed(const struct service *s)
{
    return s->phase == PHASE_MOVE && s->next ? s->next : s->live;
}

/* Not when it failed and nothing of it serves. */
static bool listens(const struct service *s)
{
    return s->wanted && (s->live || s->next || s->failed_generation != s->wanted->generation);
}

static const char *host_of(const struct service_spec *spec)
{
    return spec->listen.host ? spec->listen.host : "127.0.0.1";
}

static bool shows(const struct replica *r, bool serving)
{
    return r && (r->state == REPLICA_READY || (r->state == REPLICA_STARTING && !serving));
}

static void put_servers(const struct group *g, bool serving, struct arena *a,
                        struct proxy_backend *b)
{
    struct proxy_server *servers = arena_calloc(a, g->slots.len, sizeof(*servers));
    for (size_t i = 0; i < g->slots.len; i++) {
        const struct replica *r = g->slots.items[i]->replica;
        if (shows(r, serving)) {
            servers[b->n_servers++] =
                (struct proxy_server){.id = r->server,
                                      .socket = r->socket ? arena_strdup(a, r->socket) : NULL,
                                      .port = r->port,
                                      .drain = r->drain};
        }
    }
    b->servers = servers;
}

static const char *copy(struct arena *a, const char *text)
{
    return text ? arena_strdup(a, text) : NULL;
}

static void put_backend(const struct service *s, const struct group *g, struct arena *a,
                        struct proxy_backend *b)
{
    const struct service_spec *spec = &g->want->spec;
    *b = (struct proxy_backend){.balance = spec->balance,
                                .shard_header = copy(a, spec->shard_header),
                                .shard_uri = spec->shard_uri,
                                .check_path = copy(a, spec->ready_path),
                                .maxconn = spec->limits.concurrent,
                                .maxqueue = spec->limits.queue};
    memcpy(b->name, g->backend, sizeof(b->name));
    put_servers(g, want_has(s->live, g), a, b);
}

static const struct group *group_of(const struct service *s, const struct want *w, uint32_t model)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        struct digest key = model_key(&w->spec, &w->spec.models[model]);
        if (digest_eq(&s->groups.items[i]->key, &key)) {
            return s->groups.items[i];
        }
    }
    return NULL;
}

static void put_routes(const struct service *s, const struct want *w, struct arena *a,
                       struct proxy_service *p)
{
    struct proxy_route *routes = arena_calloc(a, w->spec.n_models, sizeof(*routes));
    for (uint32_t i = 0; i < w->spec.n_models; i++) {
        const struct group *g = group_of(s, w, i);
        if (!g) {
            continue;
        }
        if (!p->backend[0]) {
            memcpy(p->backend, g->backend, sizeof(p->backend));
        }
        if (!w->spec.aggregate) {
            struct proxy_route *r = &routes[p->n_routes++];
            r->slug = arena_strdup(a, w->spec.models[i].slug);
            memcpy(r->backend, g->backend, sizeof(r->backend));
        }
    }
    p->routes = routes;
}

static void put_canary(const struct service *s, struct proxy_service *p)
{
    const struct group *g =
        s->phase == PHASE_CANARY && s->next->spec.n_models ? group_of(s, s->next, 0) : NULL;
    if (g && strcmp(g->backend, p->backend) != 0) {
        memcpy(p->canary, g->backend, sizeof(p->canary));
        p->canary_percent = (uint32_t)lround(s->next->spec.canary_share * 100);
    }
}

static struct view *build(const struct service *s)
{
    struct arena *a = arena_new();
    struct view *v = arena_alloc(a, sizeof(*v));
    const struct want *by = routed(s), *listen = by ? by : s->wanted;
    v->arena = a;
    if (listens(s) && listen) {
        const struct service_spec *spec = &listen->spec;
        v->listens = true;
        v->service = (struct proxy_service){.id = s->id,
                                            .host = arena_strdup(a, host_of(spec)),
                                            .port = s->port,
                                            .rate_anonymous = spec->limits.rate_anonymous,
                                            .rate_authenticated = spec->limits.rate_authenticated,
                                            .tokens_file = copy(a, spec->tokens_file)};
        if (by) {
            put_routes(s, by, a, &v->service);
            put_canary(s, &v->service);
        }
        if (s->activator) {
            v->service.activator = arena_strdup(a, activator_path(s->activator));
        }
    }
    v->backends = arena_calloc(a, s->groups.len, sizeof(*v->backends));
    for (size_t i = 0; i < s->groups.len; i++) {
        put_backend(s, s->groups.items[i], a, &v->backends[v->n_backends++]);
    }
    return v;
}

/* --- the address --- */

static bool is_free(const char *host, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
        return true; /* HAProxy will tell */
    }
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return true;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static const struct service *other_at(const struct service *s, uint16_t port)
{
    const struct supervisor *u = s->sup;
    for (size_t i = 0; i < u->services.len; i++) {
        const struct service *o = u->services.items[i];
        if (o != s && o->accepted && o->accepted->listens && o->accepted->service.port == port) {
            return o;
        }
    }
    return NULL;
}

/* The port that was asked for, or one of its own that stays. */
static int choose_port(struct service *s, struct err *err)
{
    const struct want *w = routed(s) ? routed(s) : s->wanted;
    uint16_t asked = w ? w->spec.listen.port : 0;
    bool listening = s->accepted && s->accepted->listens;
    if (!w || !listens(s)) {
        return 0;
    }
    if (asked) {
        const struct service *o = other_at(s, asked);
        if (o) {
            return err_set(err, ERR_BUSY, 0,
                           "port %u is the address of service %s/%s; give this one another port "
                           "(listen), or stop that one (wf services stop %s/%s)",
                           asked, o->workflow, o->step, o->workflow, o->step);
        }
        s->port = asked;
        return 0;
    }
    if (s->port &&
        (listening || s->live || (is_free(host_of(&w->spec), s->port) && !other_at(s, s->port)))) {
        return 0;
    }
    return replica_find_port(&s->port, err);
}

/* --- offering --- */

struct gathered {
    VEC(struct proxy_service) services;
    VEC(struct proxy_backend) backends;
};

static void gather(const struct view *v, struct gathered *g)
{
    if (!v) {
        return;
    }
    if (v->listens) {
        *vec_push(&g->services) = v->service;
    }
    for (uint32_t i = 0; i < v->n_backends; i++) {
        *vec_push(&g->backends) = v->backends[i];
    }
}

static void offer(struct supervisor *u, struct gathered *g,
                  void (*on_done)(const struct err *err, void *arg))
{
    struct proxy_state state = {.n_services = (uint32_t)g->services.len,
                                .services = g->services.items,
                                .n_backends = (uint32_t)g->backends.len,
                                .backends = g->backends.items};
    proxy_apply(u->proxy, &state, on_done, u);
    vec_done(&g->services);
    vec_done(&g->backends);
}

static void on_again(void *arg)
{
    struct service *s = arg;
    view_changed(s);
}

/* A refusal while nothing is being switched: HAProxy itself cannot work. It is tried again. */
static void refused(struct service *s)
{
    if (s->phase != PHASE_REST) {
        return;
    }
    if (!s->told_refused) {
        s->told_refused = true;
        supervisor_note(s->sup, s->id, "%s: %s; it is tried again", service_name(s),
                        s->refused.msg);
    }
    if (!s->view_again) {
        s->view_again = timer_new(s->sup->loop, on_again, s);
    }
    timer_start(s->view_again, AGAIN_MS, 0);
}

static void settle(struct service *s, struct view *v, uint64_t number, const struct err *err)
{
    s->view_done = number;
    if (err) {
        s->refused = *err;
        view_free(v);
        refused(s);
    } else {
        s->refused = (struct err){0};
        s->told_refused = false;
        view_free(s->accepted);
        s->accepted = v;
    }
}

static void on_applied(const struct err *err, void *arg)
{
    struct supervisor *u = arg;
    struct service *s = u->applying;
    u->applying = NULL;
    log_debug("serve", "%s: view %llu %s", s->name, (unsigned long long)u->offered_view,
              err ? err->msg : "is taken");
    settle(s, u->offered, u->offered_view, err);
    u->offered = NULL;
    service_run(s);
    supervisor_soon(u);
}

void views_apply(struct supervisor *u)
{
    if (u->applying || u->applying_all) {
        return;
    }
    struct service *s = NULL;
    for (size_t i = 0; i < u->services.len && !s; i++) {
        struct service *o = u->services.items[i];
        s = o->view_done != o->view_wanted ? o : NULL;
    }
    if (!s) {
        return;
    }
    struct err err = {0};
    if (choose_port(s, &err) < 0) {
        settle(s, NULL, s->view_wanted, &err);
        service_run(s);
        supervisor_soon(u);
        return;
    }
    struct gathered g = {0};
    u->applying = s;
    u->offered = build(s);
    u->offered_view = s->view_wanted;
    for (size_t i = 0; i < u->services.len; i++) {
        gather(u->services.items[i] == s ? u->offered : u->services.items[i]->accepted, &g);
    }
    offer(u, &g, on_applied);
}

static void on_all_applied(const struct err *err, void *arg)
{
    struct supervisor *u = arg;
    u->applying_all = false;
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        if (err) { /* one by one then, to see whose fault it is */
            view_free(s->accepted);
            s->accepted = NULL;
            view_changed(s);
        } else {
            service_run(s);
        }
    }
    supervisor_soon(u);
}

void views_apply_all(struct supervisor *u)
{
    struct gathered g = {0};
    bool any = false;
    for (size_t i = 0; i < u->services.len; i++) {
        struct service *s = u->services.items[i];
        if (!s->live) {
            continue;
        }
        any = true;
        s->accepted = build(s);
        s->view_done = s->view_wanted;
        gather(s->accepted, &g);
    }
    if (any) {
        u->applying_all = true;
        offer(u, &g, on_all_applied);
    }
}

void view_changed(struct service *s)
{
    s->view_wanted++;
    supervisor_soon(s->sup);
}

bool view_is_done(const struct service *s)
{
    return s->view_done == s->view_wanted;
}
