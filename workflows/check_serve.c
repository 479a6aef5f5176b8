/* SPDX-License-Identifier: Apache-2.0 */
/* Services with all steps there: what they serve from, who answers where, and who follows their promotions. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/check_internal.h"

#include <string.h>

/* --- what a service serves --- */

static const struct step *select_of(const struct loader *l, const struct step *serve)
{
    uint32_t from = serve->serve->from;
    const struct step *s = from != NONE ? &l->wf->steps[from] : NULL;
    return s != NULL && s->kind == KIND_SELECT && s->select != NULL ? s : NULL;
}

static void check_serve_from(struct loader *l, const struct step *s, const struct step_facts *f)
{
    if (s->serve->from == NONE)
        return;
    const struct step *from = &l->wf->steps[s->serve->from], *chosen = select_of(l, s);
    if (chosen == NULL) {
        diag_error(l->d, facts_place(s, f, "from"), "bad-value",
                   "step '%s' serves from '%s', which is of kind %s: it must be a select step",
                   s->name, from->name, step_kind_names[from->kind]);
        if (from->kind == KIND_TRAIN)
            diag_hint(l->d, "add one: {kind: select, from: %.60s, metric: …}", from->name);
    } else if (s->serve->address == ADDRESS_FIXED && chosen->select->top > 1) {
        diag_error(l->d, facts_place(s, f, "address"), "bad-value",
                   "step '%s' insists on port %u: it can serve one model, and '%s' keeps %u",
                   s->name, s->serve->fixed_port, chosen->name, chosen->select->top);
    } else if (s->serve->scales && s->serve->scale_min == 0 && chosen->select->top > 1) {
        diag_error(l->d, facts_place(s, f, "scale"), "bad-value",
                   "only a service of one model scales from zero, and '%s' keeps %u", chosen->name,
                   chosen->select->top);
        diag_hint(l->d, "write min: 1, or top: 1 in step '%.60s'", chosen->name);
    }
}

static void check_online(struct loader *l, struct step *s, const struct step_facts *f)
{
    const struct aggregate_options *o = s->aggregate;
    struct span at = facts_place(s, f, "from");
    const struct step *from = o->n_from == 1 ? &l->wf->steps[o->from[0]] : NULL;
    s->uncacheable = arena_strdup(l->a, "a service is never memoized");
    if (from == NULL || from->kind != KIND_SERVE) {
        if (o->n_from > 1)
            diag_error(l->d, at, "bad-value",
                       "step '%s' combines the answers of one serve step, and names %u steps",
                       s->name, o->n_from);
        return;
    }
    if (from->serve != NULL && from->serve->scales && from->serve->scale_min == 0) {
        diag_error(l->d, at, "bad-value",
                   "step '%s' asks the models of '%s' itself, so that one of each must be there: "
                   "'%s' scales from zero",
                   s->name, from->name, from->name);
        diag_hint(l->d, "write min: 1 there; from zero is for callers of '%.60s' itself",
                  from->name);
    }
    const struct step *chosen = from->serve != NULL ? select_of(l, from) : NULL;
    uint32_t models = chosen != NULL ? chosen->select->top : 1;
    if (o->quorum > models) {
        diag_error(l->d, facts_place(s, f, "quorum"), "bad-value",
                   "a quorum of %u can never answer: step '%s' serves %u model%s", o->quorum,
                   from->name, models, models == 1 ? "" : "s");
        if (chosen != NULL)
            diag_hint(l->d, "'top' of step '%.60s' says how many are kept", chosen->name);
    }
}

/* A service has no files: what takes files cannot take from it. */
static void check_batch_from(struct loader *l, const struct step *s, const struct step_facts *f)
{
    const struct aggregate_options *o = s->aggregate;
    for (uint32_t i = 0; i < o->n_from; i++) {
        const struct step *from = &l->wf->steps[o->from[i]];
        if (from->kind != KIND_SERVE && step_is_service(from)) {
            diag_error(l->d, facts_place(s, f, "from"), "bad-value",
                       "step '%s' combines '%s', which combines a service itself", s->name,
                       from->name);
            diag_hint(l->d, "name the serve step");
        }
    }
}

/* --- where they answer --- */

static void take_port(struct loader *l, const struct step **by_port, uint16_t port,
                      const struct step *s, const struct step_facts *f, const char *key)
{
    const struct step *by = by_port[port];
    if (port == 0)
        return;
    if (by == s)
        diag_error(l->d, facts_place(s, f, key), "same-port",
                   "step '%s' answers at port %u, and its program insists on the same", s->name,
                   port);
    else if (by != NULL)
        diag_error(l->d, facts_place(s, f, key), "same-port",
                   "port %u is taken by step '%s' already", port, by->name);
    else
        by_port[port] = s;
}

static void check_ports(struct loader *l)
{
    const struct step **by_port = NULL;
    for (uint32_t i = 0; i < l->wf->n_steps; i++) {
        const struct step *s = &l->wf->steps[i];
        if (!step_is_service(s))
            continue;
        if (by_port == NULL)
            by_port = xcalloc(UINT16_MAX + 1, sizeof(*by_port));
        take_port(l, by_port, s->serve ? s->serve->listen.port : s->aggregate->listen.port, s,
                  &l->facts[i], "listen");
        if (s->serve)
            take_port(l, by_port, s->serve->fixed_port, s, &l->facts[i], "address");
    }
    cleanup_free(&by_port);
}

/* --- who follows them --- */

/* A service that the step needs; those with promotions first. NULL: none. */
static const struct step *followed(const struct loader *l, const struct step *s, bool *ret_promotes)
{
    const struct step *found = NULL;
    *ret_promotes = false;
    for (uint32_t i = 0; i < s->n_needs && !*ret_promotes; i++) {
        const struct step *of = &l->wf->steps[s->needs[i].step], *serve = of;
        if (!step_is_service(of))
            continue;
        found = of;
        if (of->aggregate != NULL)
            serve = of->aggregate->n_from == 1 ? &l->wf->steps[of->aggregate->from[0]] : of;
        *ret_promotes = serve->serve != NULL && serve->serve->from != NONE;
    }
    return found;
}

static void check_follower(struct loader *l, struct step *s, const struct step_facts *f)
{
    if (s->on_promotion == ON_PROMOTION_LAST && !facts_own_name(f, "on_promotion"))
        return;
    struct span at = facts_place(s, f, "on_promotion");
    const char *word = on_promotion_names[s->on_promotion];
    bool promotes = false;
    const struct step *service = followed(l, s, &promotes);
    if (!facts_own_name(f, "on_promotion")) {
        /* A default for those that follow a service. */
        if (step_is_service(s) || !promotes)
            s->on_promotion = ON_PROMOTION_LAST;
    } else if (step_is_service(s)) {
        diag_error(l->d, at, "bad-value", "step '%s' is a service and follows promotions by itself",
                   s->name);
    } else if (service == NULL) {
        diag_error(l->d, at, "bad-value",
                   "'on_promotion' is for a step that needs a service, and '%s' needs none",
                   s->name);
        diag_hint(l->d, "read steps.NAME.endpoint, or name the serve step under needs");
    } else if (!promotes && s->on_promotion != ON_PROMOTION_LAST) {
        diag_error(l->d, at, "bad-value",
                   "'on_promotion: %s' needs promotions, and step '%s' serves from no select step",
                   word, service->name);
    }
    if (s->on_promotion == ON_PROMOTION_EACH && s->is_matrix)
        diag_error(l->d, at, "bad-value",
                   "step '%s' fans out already: with on_promotion: each it can have no branches of "
                   "its own",
                   s->name);
}

void check_services(struct loader *l)
{
    for (uint32_t i = 0; i < l->wf->n_steps; i++) {
        struct step *s = &l->wf->steps[i];
        const struct step_facts *f = &l->facts[i];
        if (s->serve != NULL)
            check_serve_from(l, s, f);
        else if (s->aggregate != NULL && s->aggregate->online)
            check_online(l, s, f);
        else if (s->aggregate != NULL)
            check_batch_from(l, s, f);
        check_follower(l, s, f);
    }
    check_ports(l);
}
