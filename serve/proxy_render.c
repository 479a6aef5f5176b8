/* SPDX-License-Identifier: Apache-2.0 */
/* A state as text: configuration (its sections: proxy_config.c), maps, servers, and the shape, by which is seen what needs a reload. Pure: the same state gives the same text. */
#include "base/arena.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <stdlib.h>
#include <string.h>

const char *const proxy_map_names[PROXY_MAP_COUNT] = {"routes.map", "canary.map", "share.map",
                                                      "tokens.map"};

/* Servers and maps */

static int by_server_id(const void *a, const void *b)
{
    uint32_t x = (*(const struct proxy_server *const *)a)->id;
    uint32_t y = (*(const struct proxy_server *const *)b)->id;
    return x < y ? -1 : x > y;
}

static void take_servers(struct proxy_text *t, const struct proxy_backend *b)
{
    CLEANUP(sb_done) struct str options = {0};
    CLEANUP(cleanup_free)
    const struct proxy_server **sorted = xcalloc(b->n_servers ? b->n_servers : 1, sizeof(*sorted));
    for (uint32_t i = 0; i < b->n_servers; i++) {
        sorted[i] = &b->servers[i];
    }
    if (b->n_servers > 1) {
        qsort(sorted, b->n_servers, sizeof(*sorted), by_server_id);
    }
    proxy_add_server_options(&options, b);
    const char *name = arena_strdup(t->arena, b->name);
    const char *kept = arena_strdup(t->arena, options.data);
    for (uint32_t i = 0; i < b->n_servers; i++) {
        const struct proxy_server *s = sorted[i];
        *vec_push(&t->servers) = (struct text_server){
            .backend = name,
            .id = s->id,
            .address = s->socket ? arena_printf(t->arena, "unix@%s", s->socket)
                                 : arena_printf(t->arena, "127.0.0.1:%u", s->port),
            .options = kept,
            .drain = s->drain,
        };
    }
}

static void add_servers(struct str *out, const struct proxy_text *t, const char *backend)
{
    for (size_t i = 0; i < t->servers.len; i++) {
        const struct text_server *s = &t->servers.items[i];
        /* One that drains gets nothing new: a new worker need not know it. */
        if (!s->drain && strcmp(s->backend, backend) == 0) {
            sb_printf(out, "    server r%u %s id %u %s\n", s->id, s->address, s->id, s->options);
        }
    }
    sb_putc(out, '\n');
}

static void put(struct proxy_text *t, enum proxy_map map, const char *key, const char *value)
{
    *vec_push(&t->maps[map]) = (struct text_entry){key, value};
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct text_entry *)a)->key, ((const struct text_entry *)b)->key);
}

static void take_maps(struct proxy_text *t, const struct proxy_service *v,
                      const struct proxy_tokens *tokens)
{
    struct arena *a = t->arena;
    long long id = v->id;
    const char *self = arena_printf(a, "s%lld", id);
    if (v->backend[0] != '\0') {
        put(t, MAP_ROUTES, self, arena_strdup(a, v->backend));
    }
    for (uint32_t i = 0; i < v->n_routes; i++) {
        put(t, MAP_ROUTES, arena_printf(a, "s%lld/%s", id, v->routes[i].slug),
            arena_strdup(a, v->routes[i].backend));
    }
    if (v->canary[0] != '\0' && v->canary_percent > 0) {
        put(t, MAP_CANARY, self, arena_strdup(a, v->canary));
        put(t, MAP_SHARE, self, arena_printf(a, "%u", v->canary_percent));
    }
    t->map_used[MAP_ROUTES] = t->map_used[MAP_CANARY] = t->map_used[MAP_SHARE] = true;
    if (!v->tokens_file) {
        return;
    }
    t->map_used[MAP_TOKENS] = true;
    uint32_t period = proxy_callers_period(v, tokens);
    for (size_t i = 0; i < tokens->list.len; i++) {
        const struct proxy_token *one = &tokens->list.items[i];
        double rate = one->rate >= 0 ? one->rate : v->rate_authenticated;
        put(t, MAP_TOKENS, arena_printf(a, "s%lld/%s", id, one->hex),
            arena_printf(a, "%llu", (unsigned long long)proxy_count_of(rate, period)));
    }
}

void proxy_map_text(const struct proxy_text *t, enum proxy_map map, struct str *out)
{
    for (size_t i = 0; i < t->maps[map].len; i++) {
        sb_printf(out, "%s %s\n", t->maps[map].items[i].key, t->maps[map].items[i].value);
    }
}

/* Shapes */

void proxy_shape_done(struct proxy_shape *s)
{
    vec_done(&s->backends);
    *s = (struct proxy_shape){0};
}

void proxy_shape_copy(struct proxy_shape *to, const struct proxy_shape *from)
{
    struct proxy_shape copy = {0};
    memcpy(copy.all, from->all, sizeof(copy.all));
    memcpy(copy.base, from->base, sizeof(copy.base));
    for (size_t i = 0; i < from->backends.len; i++) {
        *vec_push(&copy.backends) = from->backends.items[i];
    }
    proxy_shape_done(to);
    *to = copy;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct text_backend *)a)->name, ((const struct text_backend *)b)->name);
}

bool proxy_shape_covers(const struct proxy_shape *has, const struct proxy_shape *wanted)
{
    if (strcmp(has->base, wanted->base) != 0) {
        return false;
    }
    for (size_t i = 0, j = 0; i < wanted->backends.len; i++) {
        const struct text_backend *w = &wanted->backends.items[i];
        while (j < has->backends.len && by_name(&has->backends.items[j], w) < 0) {
            j++;
        }
        if (j == has->backends.len || by_name(&has->backends.items[j], w) != 0 ||
            strcmp(has->backends.items[j].shape, w->shape) != 0) {
            return false;
        }
    }
    return true;
}

static void short_digest(const char *data, size_t len, char ret[17])
{
    struct digest d;
    char hex[DIGEST_HEX + 1];
    digest_of(data, len, &d);
    digest_hex(&d, hex);
    memcpy(ret, hex, 16);
    ret[16] = '\0';
}

/* The whole */

void proxy_text_free(struct proxy_text *t)
{
    if (!t) {
        return;
    }
    for (int i = 0; i < PROXY_MAP_COUNT; i++) {
        vec_done(&t->maps[i]);
    }
    vec_done(&t->servers);
    vec_done(&t->binds);
    proxy_shape_done(&t->shape);
    sb_done(&t->config);
    arena_free(t->arena);
    free(t);
}

/* Without servers, whose coming and going changes no shape. */
static void find_shape(struct proxy_shape *ret, const struct proxy_state *s,
                       const struct proxy_tokens *const *tokens, const struct proxy_place *place)
{
    CLEANUP(sb_done) struct str text = {0};
    proxy_add_base(&text, s, tokens, place, "");
    short_digest(text.data, text.len, ret->base);
    for (uint32_t i = 0; i < s->n_backends; i++) {
        struct text_backend *b = vec_push(&ret->backends);
        memcpy(b->name, s->backends[i].name, sizeof(b->name));
        sb_clear(&text);
        proxy_add_backend(&text, &s->backends[i]);
        short_digest(text.data, text.len, b->shape);
    }
    if (ret->backends.len > 1) {
        qsort(ret->backends.items, ret->backends.len, sizeof(*ret->backends.items), by_name);
    }
    sb_clear(&text);
    sb_puts(&text, ret->base);
    for (size_t i = 0; i < ret->backends.len; i++) {
        sb_printf(&text, " %s %s", ret->backends.items[i].name, ret->backends.items[i].shape);
    }
    short_digest(text.data, text.len, ret->all);
}

static void take_all(struct proxy_text *t, const struct proxy_state *s,
                     const struct proxy_tokens *const *tokens)
{
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct proxy_service *v = &s->services[i];
        take_maps(t, v, tokens[i]);
        *vec_push(&t->binds) = (struct text_bind){arena_strdup(t->arena, v->host), v->port};
    }
    for (uint32_t i = 0; i < s->n_backends; i++) {
        take_servers(t, &s->backends[i]);
    }
    for (int i = 0; i < PROXY_MAP_COUNT; i++) {
        if (t->maps[i].len > 1) {
            qsort(t->maps[i].items, t->maps[i].len, sizeof(*t->maps[i].items), by_key);
        }
    }
}

int proxy_render(const struct proxy_state *s, const struct proxy_tokens *const *tokens,
                 const struct proxy_place *place, struct proxy_text **ret, struct err *err)
{
    int rc = proxy_state_check(s, place, err);
    if (rc < 0) {
        return rc;
    }
    struct proxy_text *t = xcalloc(1, sizeof(*t));
    t->arena = arena_new();
    take_all(t, s, tokens);
    find_shape(&t->shape, s, tokens, place);
    proxy_add_base(&t->config, s, tokens, place, t->shape.all);
    for (uint32_t i = 0; i < s->n_backends; i++) {
        proxy_add_backend(&t->config, &s->backends[i]);
        add_servers(&t->config, t, s->backends[i].name);
    }
    *ret = t;
    return 0;
}
