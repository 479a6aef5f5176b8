/* SPDX-License-Identifier: Apache-2.0 */
/* What the keys of a service say together, once all of them are read. */
#include "base/mem.h"
#include "base/str.h"
#include "workflows/load_internal.h"

#include <string.h>

static void refuse(struct loader *l, const struct step *s, const struct step_facts *f,
                   const char *key, const char *why)
{
    diag_error(l->d, facts_place(s, f, key), "bad-value", "%s", why);
}

/* Said on the step itself, and not to take a default away. */
static bool says(const struct step_facts *f, const char *key)
{
    const struct node *n = facts_own_name(f, key) ? node_get(f->node, key) : NULL;
    return n != NULL && !is_null(n);
}

/* Who answers on one port cannot be there twice. */
static void check_fixed_port(struct loader *l, struct step *s, const struct step_facts *f)
{
    struct serve_options *o = s->serve;
    bool several = o->scales ? o->scale_max > 1 : o->replicas > 1;
    if (several)
        diag_error(l->d, facts_place(s, f, o->scales ? "scale" : "replicas"), "bad-value",
                   "step '%s' insists on port %u: it can have one replica", s->name, o->fixed_port);
    if (says(f, "replace") && !o->first_stop)
        diag_error(l->d, facts_place(s, f, "replace"), "bad-value",
                   "step '%s' insists on port %u: nothing can start beside it", s->name,
                   o->fixed_port);
    o->first_stop = true;
}

static void check_scale(struct loader *l, struct step *s, const struct step_facts *f)
{
    struct serve_options *o = s->serve;
    bool scale = says(f, "scale"), replicas = says(f, "replicas");
    if (!o->scales)
        return;
    if (scale && replicas)
        refuse(l, s, f, "replicas", "a step has either replicas or scale");
    else if (replicas) /* nearer than the default */
        o->scales = false;
}

static void check_canary(struct loader *l, struct step *s, const struct step_facts *f)
{
    struct serve_options *o = s->serve;
    if (o->canary_share <= 0)
        return;
    if (!says(f, "canary")) {
        if (f->from == NULL || o->first_stop) /* a default for those that can */
            o->canary_share = 0;
    } else if (f->from == NULL) {
        refuse(l, s, f, "canary", "canary is for a step that serves from a select step");
    } else if (o->first_stop) {
        refuse(l, s, f, "canary", "a canary needs the old promotion beside the new one");
    }
}

static void check_balance(struct loader *l, struct step *s, const struct step_facts *f)
{
    struct serve_options *o = s->serve;
    if (!o->shard_uri && o->shard_header == NULL)
        return;
    if (facts_own_name(f, "balance") && facts_own_name(f, "shard_by") && o->balance != BALANCE_HASH)
        refuse(l, s, f, "balance", "shard_by decides which replica answers: leave balance out");
    o->balance = BALANCE_HASH;
}

void finish_serve(struct loader *l, struct step *s, const struct step_facts *f)
{
    struct serve_options *o = s->serve;
    bool process = facts_own_name(f, "run") || facts_own_name(f, "command");
    if (!process && s->image == NULL && !facts_own_name(f, "image") && !f->unknown_keys) {
        diag_error(l->d, s->span, "missing-key",
                   "step '%s' of kind serve needs run, command or image", s->name);
        diag_hint(l->d, "without run and command the image's own entrypoint is started");
    }
    if (s->finally)
        diag_error(l->d, facts_place(s, f, "kind"), "bad-place",
                   "a service cannot stand under finally: services end after it");
    check_scale(l, s, f);
    if (o->address == ADDRESS_FIXED)
        check_fixed_port(l, s, f);
    check_canary(l, s, f);
    check_balance(l, s, f);
    if (s->network == NETWORK_NONE && o->address != ADDRESS_SOCKET) {
        bool own = facts_own_name(f, "network");
        diag_error(l->d, facts_place(s, f, own ? "network" : "address"), "bad-value",
                   "with network: none no port of step '%s' can be reached", s->name);
        diag_hint(l->d, "leave address out: its replicas are handed a socket");
    }
}

/* What an aggregate that answers requests cannot have: nothing of it ends with files. */
static void refuse_batch_keys(struct loader *l, struct step *s, const struct step_facts *f)
{
    static const char *const keys[] = {"of",        "outputs", "values",       "publish",
                                       "matrix",    "timeout", "max_parallel", "fail_fast",
                                       "resources", "retry",   "secrets"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (facts_own_name(f, keys[i]))
            diag_error(l->d, facts_place(s, f, keys[i]), "kind-key",
                       "'%s' is for an aggregate of files; step '%s' combines the answers of a "
                       "service",
                       keys[i], s->name);
    }
    if (facts_own_name(f, "cache")) {
        diag_error(l->d, facts_place(s, f, "cache"), "kind-key",
                   "step '%s' is a service and takes no 'cache'", s->name);
        diag_hint(l->d, "services are never memoized");
    }
    s->timeout_ms = 0;
    s->n_secrets = 0;
    s->cache = (struct cache_options){0};
}

void finish_online(struct loader *l, struct step *s, const struct step_facts *f)
{
    static const char *const keys[] = {"listen", "limits", "quorum", "split"};
    if (!s->aggregate->online) {
        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            if (!facts_own_name(f, keys[i]))
                continue;
            diag_error(l->d, facts_place(s, f, keys[i]), "kind-key",
                       "'%s' is for an aggregate of a serve step, and step '%s' combines files",
                       keys[i], s->name);
        }
        return;
    }
    refuse_batch_keys(l, s, f);
    if (s->finally)
        diag_error(l->d, facts_place(s, f, "kind"), "bad-place",
                   "a service cannot stand under finally: services end after it");
    if (s->image != NULL) {
        bool own = facts_own_name(f, "image");
        diag_error(l->d, own ? facts_place(s, f, "image") : s->span, "bad-value",
                   "the script that combines the answers for step '%s' runs on this machine, not "
                   "in a container",
                   s->name);
        diag_hint(l->d, own ? "leave image out" : "image: null removes the default");
    }
}
