/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration and the replicas it names. A replica's connections outlive a change of the configuration that keeps it. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "serve/gateway_impl.h"

#include <stdlib.h>

static void open_member(struct ensemble *s, struct upstream *u, uint32_t index)
{
    struct member *m = &s->members[index];
    static const char rest[] = " HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n";
    static const char type[] = "Content-Type: application/json\r\n";

    m->is = &s->config.members[index];
    m->replicas = arena_calloc(s->arena, m->is->n_replicas + 1, sizeof(*m->replicas));
    for (uint32_t i = 0; i < m->is->n_replicas; i++) {
        m->replicas[i] = upstream_server(u, &m->is->replicas[i]);
    }
    m->paths[0] = arena_printf(s->arena, "/v2/models/%s/infer", m->is->slug);
    m->paths[1] = arena_printf(s->arena, "/v1/models/%s:predict", m->is->slug);
    for (int i = 0; i < 2; i++) {
        m->heads[i] = arena_printf(s->arena, "POST %s%s%s", m->paths[i], rest, type);
    }
    m->about = arena_printf(s->arena, "GET /v2/models/%s%s", m->is->slug, rest);
}

int ensemble_open(const char *path, struct upstream *u, struct ensemble *before,
                  struct ensemble **ret, struct err *err)
{
    struct arena *a = arena_new();
    struct gateway_config c;
    int rc = gateway_read(path, a, &c, err);

    if (rc) {
        arena_free(a);
        return rc;
    }
    struct ensemble *s = arena_alloc(a, sizeof(*s));
    *s = (struct ensemble){.refs = 1, .older = before, .arena = a, .config = c};
    if (before) {
        before->newer = s;
    }
    s->members = arena_calloc(a, c.n_members + 1, sizeof(*s->members));
    for (uint32_t i = 0; i < c.n_members; i++) {
        open_member(s, u, i);
    }
    *ret = s;
    return 0;
}

struct ensemble *ensemble_ref(struct ensemble *s)
{
    s->refs++;
    return s;
}

void ensemble_unref(struct ensemble *s)
{
    if (!s || --s->refs > 0) {
        return;
    }
    if (s->older) {
        s->older->newer = s->newer;
    }
    if (s->newer) {
        s->newer->older = s->older;
    }
    for (uint32_t i = 0; i < s->config.n_members; i++) {
        for (uint32_t k = 0; k < s->members[i].is->n_replicas; k++) {
            server_unref(s->members[i].replicas[k]);
        }
    }
    arena_free(s->arena);
}

/* Smaller is better. */
static uint64_t badness(const struct server *r, const struct server *except)
{
    return (uint64_t)(r == except) << 34 | (uint64_t)server_failing(r) << 33 | server_load(r);
}

struct server *member_pick(struct member *m, const struct server *except)
{
    uint32_t n = m->is->n_replicas, best = 0;

    if (n == 0) {
        return NULL;
    }
    uint32_t first = m->next++ % n;
    best = first;
    for (uint32_t i = 1; i < n; i++) {
        uint32_t at = (first + i) % n;
        if (badness(m->replicas[at], except) < badness(m->replicas[best], except)) {
            best = at;
        }
    }
    return m->replicas[best];
}

bool member_up(const struct member *m)
{
    for (uint32_t i = 0; i < m->is->n_replicas; i++) {
        if (!server_failing(m->replicas[i])) {
            return true;
        }
    }
    return false;
}

bool ensemble_ready(const struct ensemble *s)
{
    uint32_t up = 0;

    for (uint32_t i = 0; i < s->config.n_members; i++) {
        up += member_up(&s->members[i]);
    }
    return up >= s->config.quorum;
}

int64_t ensemble_oldest(const struct ensemble *s)
{
    while (s->older) {
        s = s->older;
    }
    return s->config.generation;
}

bool member_hangs(const struct member *m)
{
    for (uint32_t i = 0; i < m->is->n_replicas; i++) {
        if (!server_hangs(m->replicas[i])) {
            return false;
        }
    }
    return m->is->n_replicas > 0;
}

bool member_busy(const struct member *m)
{
    for (uint32_t i = 0; i < m->is->n_replicas; i++) {
        if (server_load(m->replicas[i]) == 0) {
            return false;
        }
    }
    return true;
}
