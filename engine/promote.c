/* SPDX-License-Identifier: Apache-2.0 */
/* Promotion (semantics 28-30): a select step whose choice is served decides again after each candidate (`promote: early`), and once more when it has ended. A choice that differs becomes a numbered promotion: its models are
 * placed (on the pool), then the row is written, then the event is told and the services hear of it. One at a time per select: what comes meanwhile only leads to another decision. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/store.h"
#include "engine/git.h"
#include "engine/history.h"
#include "engine/promotions.h"
#include "engine/run_impl.h"
#include "serve/desired.h"
#include "serve/models.h"
#include "steps/aggregate.h"
#include "steps/scope.h"

#include <stdlib.h>
#include <string.h>

struct promoter {
    struct run *run;
    uint32_t step, instance; /* the select */
    struct promoter *next;
    bool dirty; /* to be decided again */
    bool over;  /* the select has ended: what is decided now is final */
    bool told;  /* the services know that it is final */
    bool busy;  /* models are being placed, or the row is being written */
    bool loaded, waited;
    int64_t first_us; /* when the first candidate passed */
    struct timer *timer;
    struct arena *arena; /* of incumbents */
    struct promotion incumbents;
    VEC(struct arena *)
    arenas; /* of this run's promotions: services may still be writing what an earlier one was */
    struct promotion current; /* n_models 0: this run has promoted nothing */
    /* While busy: */
    struct write write;
    struct arena *next_arena;
    struct promotion wanted;
    struct err err;
    int rc;
    uint32_t number;
    bool is_new;
};

/* --- models --- */

static bool is_main(const struct result_output *o)
{
    return strcmp(o->name, "metrics") != 0;
}

static struct digest content_of(const struct result *r)
{
    struct digest_ctx *c = digest_new();
    struct digest d;

    digest_begin(c);
    for (uint32_t n = 0; n < r->n_outputs;
         n++) { /* in the order of the file, equal for equal steps */
        if (is_main(&r->outputs[n])) {
            digest_add(c, r->outputs[n].name, strlen(r->outputs[n].name) + 1);
            digest_add(c, &r->outputs[n].digest, sizeof(struct digest));
        }
    }
    digest_end(c, &d);
    digest_free(c);
    return d;
}

/* The axes' values, else the step's name, in the alphabet of URLs. */
static const char *slug_of(const struct step *s, uint32_t row, struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    const struct matrix_row *m = &s->rows[row];

    for (uint32_t n = 0; n < m->n; n++) {
        sb_puts(&out, n > 0 ? "-" : "");
        value_interpolate(&m->values[n], &out);
    }
    if (out.len == 0) {
        sb_puts(&out, s->name);
    }
    sb_truncate(&out, out.len > 60 ? 60 : out.len);
    for (size_t k = 0; k < out.len; k++) {
        char c = out.data[k];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '.' || c == '_' || c == '-';
        out.data[k] = plain ? c : '_';
    }
    if (out.data[0] == '.') { /* no ".." in a path */
        out.data[0] = '_';
    }
    return arena_strdup(a, sb_text(&out));
}

static void unique_slugs(struct promoted_model *models, uint32_t count, struct arena *a)
{
    for (uint32_t n = 1; n < count; n++) {
        const char *slug = models[n].slug;
        for (uint32_t k = 0, tries = 1; k < n; k++) {
            if (strcmp(models[k].slug, models[n].slug) == 0) {
                models[n].slug = arena_printf(a, "%s-%u", slug, ++tries);
                k = UINT32_MAX; /* from the beginning */
            }
        }
    }
}

static const char *matrix_json(const struct matrix_row *row, struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    for (uint32_t n = 0; n < row->n; n++) {
        jw_key(&w, row->axes[n]);
        value_json(&row->values[n], &w);
    }
    jw_end_object(&w);
    return arena_strdup(a, sb_text(&out));
}

/* Where its data come from: the sources of the ingest steps above it. */
static const char *provenance(struct run *r, uint32_t step, struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    CLEANUP(cleanup_free) uint32_t *stack = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*stack));
    CLEANUP(cleanup_free) bool *seen = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*seen));
    struct jsonw w;
    uint32_t depth = 0;

    jw_init(&w, &out, false);
    jw_array(&w);
    stack[depth++] = step;
    seen[step] = true;
    while (depth > 0) {
        uint32_t at = stack[--depth];
        const struct step *s = &r->wf->steps[at];
        const struct result *made =
            s->kind == KIND_INGEST && s->n_rows > 0 ? run_result(r, r->plan->first[at]) : NULL;
        if (made) {
            jw_object(&w);
            jw_kv_text(&w, "step", s->name);
            jw_key(&w, "source");
            if (made->source) {
                jw_raw(&w, made->source, strlen(made->source));
            } else {
                jw_null(&w);
            }
            if (made->n_outputs > 0) {
                jw_key(&w, "digest");
                jw_digest(&w, &made->outputs[0].digest);
            }
            jw_end_object(&w);
        }
        for (uint32_t k = 0; k < s->n_needs; k++) {
            if (!seen[s->needs[k].step]) {
                seen[s->needs[k].step] = true;
                stack[depth++] = s->needs[k].step;
            }
        }
    }
    jw_end_array(&w);
    return arena_strdup(a, sb_text(&out));
}

static struct promoted_model make_model(struct run *r, const struct ranked *c, struct arena *a)
{
    const struct step *s = &r->wf->steps[c->step];
    uint32_t instance = r->plan->first[c->step] + c->row;
    struct result_output *outputs =
        arena_calloc(a, (size_t)c->result->n_outputs + 1, sizeof(*outputs));
    char commit[65];

    for (uint32_t n = 0; n < c->result->n_outputs; n++) {
        outputs[n] = c->result->outputs[n];
        outputs[n].name = arena_strdup(a, outputs[n].name);
        outputs[n].path = arena_strdup(a, outputs[n].path);
    }
    struct promoted_model m = {.name = arena_strdup(a, s->rows[c->row].name),
                               .slug = slug_of(s, c->row, a),
                               .matrix_json = matrix_json(&s->rows[c->row], a),
                               .metrics_json = arena_strdup(a, c->metrics_json),
                               .metric = c->metric,
                               .n_outputs = c->result->n_outputs,
                               .outputs = outputs,
                               .content = content_of(c->result),
                               .entry = r->state.instances[instance].entry,
                               .run = c->result->run ? arena_strdup(a, c->result->run) : r->id,
                               .provenance_json = provenance(r, c->step, a)};
    if (strcmp(m.run, r->id) == 0) {
        m.git_json = git_commit_of(r->wf->dir, commit)
                         ? arena_printf(a, "{\"commit\":\"%s\"}", commit)
                         : NULL;
    } else {
        m.git_json = history_git_of(r->o.store, m.run, a);
    }
    return m;
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

static struct digest content_of_all(const struct promoted_model *models, uint32_t count)
{
    CLEANUP(cleanup_free) struct digest *all = xcalloc((size_t)count + 1, sizeof(*all));
    struct digest_ctx *c = digest_new();
    struct digest d;

    for (uint32_t n = 0; n < count; n++) {
        all[n] = models[n].content;
    }
    qsort(all, count, sizeof(*all), by_digest);
    digest_begin(c);
    digest_add(c, all, count * sizeof(*all));
    digest_end(c, &d);
    digest_free(c);
    return d;
}

/* --- who was there before --- */

static bool is_served(struct run *r, uint32_t select)
{
    bool served = false;

    for (uint32_t s = 0; s < r->wf->n_steps && !served; s++) {
        const struct step *m = &r->wf->steps[s];
        if (m->serve && m->serve->from == select) {
            struct arena *a = arena_new();
            struct service_row row;
            served = desired_find(r->o.store, r->wf->name, m->name, a, &row, NULL) == 0 &&
                     row.wanted != NULL;
            arena_free(a);
        }
    }
    return served;
}

static void load_incumbents(struct promoter *p)
{
    struct run *r = p->run;
    struct err err = {0};

    if (p->loaded) {
        return;
    }
    p->loaded = true;
    p->arena = arena_new();
    if (is_served(r, p->step) &&
        promotion_newest(r->o.store, r->wf->name, r->wf->steps[p->step].name, p->arena,
                         &p->incumbents, &err) != 0) {
        p->incumbents.n_models = 0;
        if (err.code != ERR_NONE) {
            emit_warning(r, p->instance, err.msg);
        }
    }
}

/* --- the choice --- */

struct choice {
    struct promoted_model *models;
    uint32_t count;
};

static bool better(const struct select_options *o, double a, double b, double by)
{
    double ahead = o->min ? b - a : a - b;

    return ahead > 0 && ahead >= by;
}

static void sort_choice(const struct select_options *o, struct choice *c)
{
    for (uint32_t n = 1; n < c->count; n++) { /* few, and ties stay in order */
        struct promoted_model m = c->models[n];
        uint32_t k = n;
        for (; k > 0 && better(o, m.metric, c->models[k - 1].metric, 0); k--) {
            c->models[k] = c->models[k - 1];
        }
        c->models[k] = m;
    }
}

static bool has_model(const struct choice *c, const struct digest *content)
{
    for (uint32_t n = 0; n < c->count; n++) {
        if (digest_eq(&c->models[n].content, content)) {
            return true;
        }
    }
    return false;
}

/* Adds, or takes the place of the worst where it is better by min_delta. `c` is sorted. */
static void consider(const struct select_options *o, struct choice *c, uint32_t top,
                     const struct promoted_model *m)
{
    if (has_model(c, &m->content)) {
        return;
    }
    if (c->count < top) {
        c->models[c->count++] = *m;
    } else if (better(o, m->metric, c->models[c->count - 1].metric, o->min_delta)) {
        c->models[c->count - 1] = *m;
    }
    sort_choice(o, c);
}

/* Who serves: what this run promoted, else what an earlier one did. */
static const struct promotion *serving(const struct promoter *p)
{
    return p->current.n_models > 0 ? &p->current : &p->incumbents;
}

static int candidates(struct promoter *p, struct arena *a, struct choice *ret, struct err *err)
{
    struct run *r = p->run;
    const struct instance_ref *ref = &r->plan->instances[p->instance];
    struct ranked *list = NULL;
    size_t count = 0;
    int rc = select_rank(&r->world, ref, a, &list, &count, err);

    ret->models = arena_calloc(a, count + 1, sizeof(*ret->models));
    for (size_t n = 0; n < count && rc == 0; n++) {
        struct promoted_model m = make_model(r, &list[n], a);
        bool barred = false;
        rc = promotion_barred(r->o.store, r->wf->name, r->wf->steps[p->step].name, &m.content,
                              &barred, err);
        if (rc == 0 && !barred) {
            ret->models[ret->count++] = m;
        }
    }
    return rc;
}

/* Of equal candidates the one that serves is taken, and what serves stays unless something better came: with min_delta also at the end. */
static void choose(struct promoter *p, const struct choice *from, struct arena *a,
                   struct choice *ret)
{
    const struct select_options *o = p->run->wf->steps[p->step].select;
    const struct promotion *before = serving(p);
    uint32_t top = o->top > 0 ? o->top : 1;

    ret->models = arena_calloc(a, (size_t)top + before->n_models + 1, sizeof(*ret->models));
    for (uint32_t n = 0; n < before->n_models; n++) {
        bool mine = has_model(from, &before->models[n].content);
        if (mine || !p->over || o->min_delta > 0) {
            consider(o, ret, top, &before->models[n]);
        }
    }
    for (uint32_t n = 0; n < from->count; n++) {
        consider(o, ret, top, &from->models[n]);
    }
    /* What is told of a model of this run is this run's. */
    for (uint32_t n = 0; n < ret->count; n++) {
        for (uint32_t k = 0; k < from->count; k++) {
            if (digest_eq(&ret->models[n].content, &from->models[k].content)) {
                ret->models[n] = from->models[k];
            }
        }
    }
    unique_slugs(ret->models, ret->count, a);
}

/* --- carrying it out --- */

static void place_models(void *arg)
{
    struct promoter *p = arg;

    for (uint32_t n = 0; n < p->wanted.n_models && p->rc == 0; n++) {
        const struct promoted_model *m = &p->wanted.models[n];
        for (uint32_t k = 0; k < m->n_outputs && p->rc == 0; k++) {
            CLEANUP(cleanup_free) char *path = NULL;
            if (is_main(&m->outputs[k])) {
                p->rc = models_place(p->run->o.store, &m->outputs[k], &path, &p->err);
            }
        }
    }
}

static void tell_event(struct promoter *p)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_i64(&w, "number", p->current.number);
    jw_kv_text(&w, "reason", promotion_reason_names[p->current.reason]);
    jw_key(&w, "models");
    jw_array(&w);
    for (uint32_t n = 0; n < p->current.n_models; n++) {
        jw_object(&w);
        jw_kv_text(&w, "name", p->current.models[n].name);
        jw_kv_text(&w, "slug", p->current.models[n].slug);
        jw_key(&w, "metric");
        jw_real(&w, p->current.models[n].metric);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    emit(p->run, EVENT_PROMOTION, p->instance, sb_text(&out), out.len);
}

static void failed(struct promoter *p, const char *text)
{
    emit_warning(p->run, p->instance, text);
    if (p->over && !p->told) {
        p->told = true;
        services_unpromoted(p->run, p->step, text);
    }
}

static void finished(struct promoter *p)
{
    struct run *r = p->run;

    p->busy = false;
    r->promoting--;
    if (r->closing) {
        return;
    }
    if (p->rc < 0) {
        arena_free(take_ptr(p->next_arena));
        failed(p, p->err.msg);
    } else {
        *vec_push(&p->arenas) = take_ptr(p->next_arena);
        p->current = p->wanted;
        p->current.number = p->number;
        if (p->is_new) {
            tell_event(p);
        }
        p->told = p->over && !p->dirty;
        services_promoted(r, p->step, &p->current, p->told);
    }
    sched_wake(r);
}

static int apply_promotion(struct write *w, struct db *db, struct err *err)
{
    struct promoter *p = CONTAINER_OF(w, struct promoter, write);

    return promotion_add(db, &p->wanted, &p->number, &p->is_new, err);
}

static void written(struct write *w, const struct err *err)
{
    struct promoter *p = CONTAINER_OF(w, struct promoter, write);

    if (err) {
        p->rc = -(int)err->code;
        p->err = *err;
    }
    finished(p);
}

static void placed(void *arg)
{
    struct promoter *p = arg;

    if (p->rc < 0 || p->run->closing) {
        finished(p);
        return;
    }
    p->write = (struct write){.apply = apply_promotion, .done = written, .urgent = true};
    store_post(p->run->o.store, &p->write);
}

static void promote(struct promoter *p, const struct choice *c, struct arena *a)
{
    struct run *r = p->run;

    p->wanted = (struct promotion){.workflow = r->wf->name,
                                   .step = r->wf->steps[p->step].name,
                                   .at_ms = now_ms(),
                                   .run = r->id,
                                   .reason = p->over ? PROMOTED_FINAL : PROMOTED_EARLY,
                                   .content = content_of_all(c->models, c->count),
                                   .n_models = c->count,
                                   .models = c->models};
    p->next_arena = a;
    p->rc = 0;
    p->err = (struct err){0};
    p->busy = true;
    r->promoting++;
    loop_work(r->o.loop, place_models, placed, p);
}

/* --- when --- */

static void on_waited(void *arg)
{
    struct promoter *p = arg;

    p->waited = p->dirty = true;
    sched_wake(p->run);
}

/* Semantics 30: the first promotion waits. */
static bool must_wait(struct promoter *p, uint32_t passed)
{
    const struct select_options *o = p->run->wf->steps[p->step].select;

    if (p->over || p->waited || p->current.n_models > 0 ||
        (o->wait_for == 0 && o->wait_at_most_ms == 0) ||
        (o->wait_for > 0 && passed >= o->wait_for)) {
        return false;
    }
    if (passed > 0 && p->first_us == 0) {
        p->first_us = mono_us();
        if (o->wait_at_most_ms > 0) {
            p->timer = timer_new(p->run->o.loop, on_waited, p);
            timer_start(p->timer, o->wait_at_most_ms, 0);
        }
    }
    return true;
}

/* What is found in the cache at the start is taken together; and what is promoted is in the store. */
static bool is_settled(struct promoter *p)
{
    struct run *r = p->run;
    const struct select_options *o = r->wf->steps[p->step].select;

    for (uint32_t k = 0; k < o->n_from; k++) {
        for (uint32_t i = r->plan->first[o->from[k]]; i < r->plan->first[o->from[k] + 1]; i++) {
            uint8_t phase = r->instances[i].phase, state = r->state.instances[i].state;
            if (phase == PHASE_TO_ASK || phase == PHASE_ASKING) {
                return false;
            }
            if (state == INSTANCE_SUCCEEDED && !r->instances[i].committed) {
                journal_hurry(r->journal);
                return false;
            }
        }
    }
    return true;
}

static void decide_now(struct promoter *p)
{
    struct arena *a = arena_new();
    struct choice from = {0}, chosen = {0};
    struct err err = {0};

    load_incumbents(p);
    if (candidates(p, a, &from, &err) < 0) {
        arena_free(a);
        failed(p, err.msg);
        return;
    }
    if (from.count == 0 || must_wait(p, from.count)) {
        arena_free(a);
        if (p->over) {
            failed(p, "every model it could choose was rolled back; `wf models allow` makes them "
                      "candidates again");
        }
        return;
    }
    choose(p, &from, a, &chosen);
    struct digest content = content_of_all(chosen.models, chosen.count);
    if (p->current.n_models > 0 && digest_eq(&content, &p->current.content)) {
        arena_free(a);
        if (p->over && !p->told) {
            p->told = true;
            services_promoted(p->run, p->step, &p->current, true);
        }
        return;
    }
    if (!p->over && digest_eq(&content, &p->incumbents.content) && p->incumbents.n_models > 0) {
        arena_free(a); /* the incumbents are still the best */
        return;
    }
    promote(p, &chosen, a);
}

void promote_turn(struct run *r)
{
    for (struct promoter *p = r->promoters; p; p = p->next) {
        if (p->dirty && !p->busy && is_settled(p)) {
            p->dirty = false;
            decide_now(p);
        }
    }
}

void promote_over(struct run *r, uint32_t instance)
{
    uint32_t step = r->plan->instances[instance].step;
    uint8_t state = r->state.instances[instance].state;
    bool good = state == INSTANCE_SUCCEEDED || state == INSTANCE_CACHED;

    for (struct promoter *p = r->promoters; p; p = p->next) {
        const struct select_options *o = r->wf->steps[p->step].select;
        if (p->instance == instance) {
            p->over = true;
            p->dirty = good;
            if (!good) {
                CLEANUP(cleanup_free)
                char *text =
                    xasprintf("%s %s%s", r->plan->instances[instance].name,
                              state == INSTANCE_FAILED ? "" : "was ", instance_state_names[state]);
                p->told = true;
                services_unpromoted(r, p->step, text);
            }
        }
        for (uint32_t k = 0; good && o->early && !p->over && k < o->n_from; k++) {
            p->dirty |= o->from[k] == step;
        }
    }
}

/* --- opening and closing --- */

void promote_open(struct run *r, uint32_t step)
{
    struct promoter *p;

    if (r->plan->first[step] == r->plan->first[step + 1]) {
        return;
    }
    for (p = r->promoters; p; p = p->next) {
        if (p->step == step) {
            return;
        }
    }
    p = xcalloc(1, sizeof(*p));
    p->run = r;
    p->step = step;
    p->instance = r->plan->first[step];
    p->next = r->promoters;
    r->promoters = p;
}

bool promote_busy(const struct run *r)
{
    for (const struct promoter *p = r->promoters; p; p = p->next) {
        if (p->busy || p->dirty) {
            return true;
        }
    }
    return false;
}

void promote_close(struct run *r)
{
    for (struct promoter *p = r->promoters, *next; p; p = next) {
        next = p->next;
        timer_free(p->timer);
        if (p->arena) {
            arena_free(p->arena);
        }
        for (size_t n = 0; n < p->arenas.len; n++) {
            arena_free(p->arenas.items[n]);
        }
        vec_done(&p->arenas);
        if (p->next_arena) {
            arena_free(p->next_arena);
        }
        free(p);
    }
    r->promoters = NULL;
}
