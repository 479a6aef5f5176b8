/* SPDX-License-Identifier: Apache-2.0 */
/* The replicas of one model. A slot whose replica ended without being asked to starts another one, ever later while that does not help. Before it serves its step's `retry` says how often; after that there is no limit. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/store.h"
#include "serve/supervisor_impl.h"
#include "steps/mask.h"

#include <stdlib.h>
#include <string.h>

enum {
    BACK_FIRST_MS = 100,
    BACK_LAST_MS = 10000,
    CALM_US = 60000000, /* up for so long: earlier failures are forgotten */
    HUNG_GRACE_MS = 2000,
    SECRET_WAIT_MS = 250,
    SECRET_MAX = 1 << 20,
};

struct digest model_key(const struct service_spec *s, const struct spec_model *m)
{
    CLEANUP(sb_done) struct str text = {0};
    struct digest d;
    sb_add(&text, &m->content, sizeof(m->content));
    sb_printf(&text, " %d %u %s", (int)s->address, s->fixed_port,
              m->program.image ? m->program.image : "");
    digest_of(text.data, text.len, &d);
    return d;
}

static const struct spec_model *model_of(const struct group *g)
{
    return &g->want->spec.models[g->model];
}

static void slot_start(struct slot *s);

static bool serves(const struct group *g)
{
    return want_has(g->service->live, g);
}

/* --- secrets --- */

static const char *known_secret(const struct supervisor *u, const char *run, const char *name)
{
    for (size_t i = u->secrets.len; i-- > 0;) {
        if (text_eq(u->secrets.items[i].run, run) && text_eq(u->secrets.items[i].name, name)) {
            return u->secrets.items[i].value;
        }
    }
    return NULL;
}

/* NAME=value of each. 1: the run will say it in a moment. */
static int read_secrets(const struct group *g, struct arena *a, const char *const **ret,
                        struct err *err)
{
    const struct spec_program *p = &model_of(g)->program;
    const char *run = g->want->spec.run;
    const char **values = arena_calloc(a, (size_t)p->n_secrets + 1, sizeof(*values));
    for (uint32_t i = 0; i < p->n_secrets; i++) {
        const struct spec_secret *s = &p->secrets[i];
        CLEANUP(sb_done) struct str text = {0};
        const char *value = s->env ? known_secret(g->service->sup, run, s->env) : NULL;
        if (s->file) {
            int rc = fs_read_file(s->file, SECRET_MAX, &text, err);
            if (rc < 0) {
                return rc;
            }
            while (text.len > 0 && text.data[text.len - 1] == '\n') {
                sb_truncate(&text, text.len - 1);
            }
            value = sb_text(&text);
        }
        if (!value && run && !control_has_run(g->service->sup->control, run) &&
            store_is_live(g->service->sup->store, run)) {
            return 1;
        }
        if (!value) {
            return err_set(err, ERR_NOT_FOUND, 0,
                           "cannot start: its secret '%s' is known only while the run that brought "
                           "it is connected; run the workflow again",
                           s->name);
        }
        values[i] = arena_printf(a, "%s=%s", s->name, value);
    }
    *ret = values;
    return 0;
}

/* A program's last words, without the secrets it was given. */
static char *last_words(const struct group *g, const struct replica *r)
{
    const struct supervisor *u = g->service->sup;
    CLEANUP(cleanup_free) char *words = replica_last_words(r);
    CLEANUP(cleanup_free) const char **values = xcalloc(u->secrets.len + 1, sizeof(*values));
    struct str out = {0};

    if (!words) {
        return NULL;
    }
    for (size_t i = 0; i < u->secrets.len; i++) {
        values[i] = u->secrets.items[i].value;
    }
    struct masker *m = masker_new(values, u->secrets.len);
    masker_add(m, words, strlen(words), &out);
    masker_end(m, &out);
    masker_free(m);
    return sb_take(&out);
}

/* --- failures --- */

static int64_t back_off(unsigned failures)
{
    int64_t ms = BACK_FIRST_MS;
    while (failures-- > 0 && ms < BACK_LAST_MS) {
        ms *= 2;
    }
    return ms < BACK_LAST_MS ? ms : BACK_LAST_MS;
}

static int64_t retry_delay(const struct retry *r, unsigned failures)
{
    double ms = r->delay_ms > 0 ? (double)r->delay_ms : BACK_FIRST_MS;
    double max = r->max_delay_ms > 0 ? (double)r->max_delay_ms : 60000;
    for (unsigned i = 1; i < failures && ms < max; i++) {
        ms *= r->backoff > 1 ? r->backoff : 1;
    }
    return (int64_t)(ms < max ? ms : max);
}

static void on_slot_timer(void *arg)
{
    slot_start(arg);
}

static void slot_start_in(struct slot *s, int64_t ms)
{
    if (!s->timer) {
        s->timer = timer_new(s->group->service->sup->loop, on_slot_timer, s);
    }
    timer_start(s->timer, ms, 0);
}

static void set_problem(struct group *g, const char *text, const char *log, char *words)
{
    free(g->problem);
    g->problem = xasprintf("%s %s%s%s%s%s", model_of(g)->name, text, words ? "; it said: " : "",
                           words ? words : "", log ? "; its log: " : "", log ? log : "");
    free(words);
}

/* It failed to start, or ended before it was ready. */
static void start_failed(struct slot *s, const struct replica *r, const char *text)
{
    struct group *g = s->group;
    const struct retry *retry = &g->want->spec.retry;
    g->failures++;
    if (g->failures > retry->limit) {
        set_problem(g, text, r ? r->log : NULL, r ? last_words(g, r) : NULL);
        return;
    }
    slot_start_in(s, retry_delay(retry, g->failures));
}

static void slot_remove(struct slot *s)
{
    struct group *g = s->group;
    for (size_t i = 0; i < g->slots.len; i++) {
        if (g->slots.items[i] == s) {
            g->slots.items[i] = g->slots.items[--g->slots.len];
            break;
        }
    }
    timer_free(s->timer);
    replica_free(s->replica);
    free(s);
}

static void changed(struct group *g)
{
    struct service *svc = g->service;
    view_changed(svc);
    gateways_sync(svc);
    service_run(svc); /* may free g */
}

static void on_gone(struct slot *s)
{
    struct group *g = s->group;
    struct replica *r = s->replica;
    bool was_up = r->was_ready;
    if (s->leaving || g->retired) {
        slot_remove(s);
        changed(g);
        return;
    }
    const char *how = r->problem ? r->problem : "ended";
    if (!serves(g)) {
        start_failed(s, r, how);
    } else {
        if (was_up && mono_us() - r->ready_at_us > CALM_US) {
            s->failures = 0;
        }
        int64_t after = back_off(s->failures++);
        CLEANUP(cleanup_free) char *words = last_words(g, r);
        supervisor_note(g->service->sup, g->service->id,
                        "%s: %s (replica %u) %s%s%s; it is started again", service_name(g->service),
                        model_of(g)->name, s->index, how, words ? "; it said: " : "",
                        words ? words : "");
        slot_start_in(s, after);
    }
    s->replica = NULL;
    replica_free(r);
    changed(g);
}

/* --- the replica's news --- */

static void on_change(struct replica *r, void *arg)
{
    struct slot *s = arg;
    struct group *g = s->group;
    if (r->state == REPLICA_GONE) {
        on_gone(s);
        return;
    }
    if (r->state == REPLICA_STARTING && r->problem) {
        if (!serves(g)) {
            set_problem(g, r->problem, r->log, last_words(g, r));
        }
        replica_stop(r, -1); /* once gone, another one is started where that helps */
    } else if (r->state == REPLICA_READY && r->problem) {
        replica_stop(r, HUNG_GRACE_MS);
    }
    changed(g);
}

/* --- slots --- */

static struct replica_plan make_plan(const struct group *g, uint32_t index)
{
    const struct service_spec *spec = &g->want->spec;
    const struct spec_model *m = model_of(g);
    return (struct replica_plan){.program = &m->program,
                                 .address = spec->address,
                                 .fixed_port = spec->fixed_port,
                                 .ready_path = spec->ready_path,
                                 .ready_script = m->ready_script,
                                 .ready_timeout_ms = spec->ready_timeout_ms,
                                 .grace_ms = spec->grace_ms,
                                 .name = m->name,
                                 .slug = m->slug,
                                 .service = g->service->id,
                                 .key = g->key,
                                 .backend = g->backend,
                                 .index = index};
}

static void on_prepared(struct replica *r, void *arg)
{
    struct slot *s = arg;
    gateway_begin(s->group->service, r);
}

static void slot_start(struct slot *s)
{
    struct group *g = s->group;
    struct supervisor *u = g->service->sup;
    struct replica_plan p = make_plan(g, s->index);
    struct arena *a = arena_new();
    struct err err = {0};
    int rc = read_secrets(g, a, &p.secrets, &err);
    if (rc > 0) {
        slot_start_in(s, SECRET_WAIT_MS);
    } else if (rc < 0 && serves(g)) {
        supervisor_note(u, g->service->id, "%s: %s %s", service_name(g->service), p.name, err.msg);
        slot_start_in(s, BACK_LAST_MS);
    } else if (rc < 0) {
        set_problem(g, err.msg, NULL, NULL);
        service_run(g->service);
    } else {
        p.server = g->next_server++;
        p.on_prepared = g->want->spec.aggregate ? on_prepared : NULL;
        s->replica = replica_start(&u->ground, &p, on_change, s);
        s->replica->owner = s;
        view_changed(g->service);
    }
    arena_free(a);
}

static struct slot *slot_new(struct group *g, uint32_t index)
{
    struct slot *s = xcalloc(1, sizeof(*s));
    *s = (struct slot){.group = g, .index = index};
    *vec_push(&g->slots) = s;
    return s;
}

/* Out of traffic first, where it may have some. False: the slot is gone at once. */
static bool slot_leave(struct slot *s)
{
    struct replica *r = s->replica;
    if (!r) {
        slot_remove(s);
        return false;
    }
    if (s->leaving) {
        return true;
    }
    s->leaving = true;
    if (r->state == REPLICA_READY) {
        r->drain = true;
        r->drain_since_us = mono_us();
        looks_need(s->group->service->sup);
    } else {
        replica_stop(r, -1);
    }
    view_changed(s->group->service);
    return true;
}

void slot_stop(struct slot *s)
{
    replica_stop(s->replica, -1);
    view_changed(s->group->service);
}

/* --- the group --- */

struct group *group_new(struct service *s, struct want *w, uint32_t model, const char *backend)
{
    struct group *g = xcalloc(1, sizeof(*g));
    g->service = s;
    g->want = want_hold(w);
    g->model = model;
    g->key = model_key(&w->spec, &w->spec.models[model]);
    g->next_server = 1;
    if (backend) {
        snprintf(g->backend, sizeof(g->backend), "%s", backend);
    } else {
        snprintf(g->backend, sizeof(g->backend), "s%lldg%lld_%u", (long long)s->id,
                 (long long)w->generation, s->names++);
    }
    *vec_push(&s->groups) = g;
    view_changed(s);
    return g;
}

void group_use(struct group *g, struct want *w, uint32_t model)
{
    struct want *old = g->want;
    g->want = want_hold(w);
    g->model = model;
    want_drop(old);
}

static struct slot *at_index(const struct group *g, uint32_t index)
{
    for (size_t i = 0; i < g->slots.len; i++) {
        if (g->slots.items[i]->index == index && !g->slots.items[i]->leaving) {
            return g->slots.items[i];
        }
    }
    return NULL;
}

void group_resize(struct group *g, uint32_t target)
{
    g->target = target;
    g->retired = false;
    for (size_t i = g->slots.len; i-- > 0;) {
        if (g->slots.items[i]->index >= target) {
            slot_leave(g->slots.items[i]);
        }
    }
    for (uint32_t i = 0; i < target; i++) {
        if (!at_index(g, i)) {
            slot_start_in(slot_new(g, i), 0);
        }
    }
}

void group_retire(struct group *g)
{
    group_resize(g, 0);
    g->retired = true;
}

void group_adopt(struct group *g, const struct replica_record *rec)
{
    struct slot *s = slot_new(g, rec->index);
    struct replica_plan p = make_plan(g, rec->index);
    p.server = rec->server;
    if (rec->server >= g->next_server) {
        g->next_server = rec->server + 1;
    }
    if (rec->index >= g->target) {
        g->target = rec->index + 1;
    }
    s->replica = replica_adopt(&g->service->sup->ground, rec, &p, on_change, s);
    s->replica->owner = s;
}

void group_free(struct group *g)
{
    for (size_t i = 0; i < g->slots.len; i++) {
        timer_free(g->slots.items[i]->timer);
        replica_free(g->slots.items[i]->replica);
        free(g->slots.items[i]);
    }
    vec_done(&g->slots);
    want_drop(g->want);
    free(g->problem);
    free(g);
}

uint32_t group_up(const struct group *g)
{
    uint32_t n = 0;
    for (size_t i = 0; i < g->slots.len; i++) {
        const struct slot *s = g->slots.items[i];
        n += s->replica && s->replica->state == REPLICA_READY && !s->leaving;
    }
    return n;
}

bool group_ready(const struct group *g)
{
    return group_up(g) >= g->target;
}
