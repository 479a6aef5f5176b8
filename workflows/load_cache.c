/* SPDX-License-Identifier: Apache-2.0 */
/* `cache`: how long a result is good for. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "workflows/load_internal.h"

#include <string.h>

static void load_measure(struct loader *l, struct cache_options *c, const struct entry *e)
{
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return;
    c->measure = MEASURE_COMMAND;
    for (int i = 0; i < MEASURE_COMMAND; i++) {
        if (strcmp(measure_names[i], text) == 0)
            c->measure = (enum measure)i;
    }
    if (c->measure != MEASURE_COMMAND)
        return;
    if (*text == '\0')
        load_expected(l, e);
    c->measure_command = arena_strdup(l->a, text);
}

static void on_cache_key(struct loader *l, const struct entry *e, void *arg)
{
    struct cache_options *c = arg;
    const char *key = e->key->name, *text;
    uint32_t choice = 0;
    if (strcmp(key, "policy") == 0) {
        if (load_choice(l, e, cache_policy_names, CACHE_OFF, &choice))
            c->policy = (enum cache_policy)choice;
    } else if (strcmp(key, "ttl") == 0) {
        if (load_duration(l, e, &c->ttl_ms) && c->ttl_ms == 0)
            load_expected(l, e);
    } else if (strcmp(key, "measure") == 0) {
        load_measure(l, c, e);
    } else if (strcmp(key, "threshold") == 0) {
        text = load_now(l, e, NULL);
        if (text != NULL && parse_percent(text, &c->threshold, NULL) != 0)
            load_expected(l, e);
    } else if (strcmp(key, "shared") == 0) {
        bool yes = false;
        load_bool(l, e, &yes);
        c->shared = yes ? SHARED_YES : SHARED_NO;
    } else {
        text = load_now(l, e, NULL);
        c->version = text != NULL ? arena_strdup(l->a, text) : NULL;
    }
}

static void check_keys(struct loader *l, const struct cache_options *c, const struct entry *e)
{
    const struct node *n = e->value;
    const char *policy = cache_policy_names[c->policy];
    if (c->policy == CACHE_TIME && node_get(n, "ttl") == NULL) {
        diag_error(l->d, e->at, "missing-key", "cache policy time needs a ttl");
        diag_hint(l->d, "for example {policy: time, ttl: 14d}");
    }
    if (c->policy == CACHE_CHANGE && node_get(n, "measure") == NULL) {
        diag_error(l->d, e->at, "missing-key", "cache policy change needs a measure");
        diag_hint(l->d, "for example {policy: change, measure: records, threshold: 20%%}");
    }
    static const char *const only_change[] = {"measure", "threshold"};
    for (size_t i = 0; i < ARRAY_LEN(only_change) && c->policy != CACHE_CHANGE; i++) {
        const struct node *v = node_get(n, only_change[i]);
        if (v != NULL && node_get(n, "policy") == NULL)
            diag_error(l->d, v->span, "bad-value", "'%s' is for policy: change", only_change[i]);
        else if (v != NULL)
            diag_error(l->d, v->span, "bad-value", "'%s' is for policy change, not %s",
                       only_change[i], policy);
    }
}

void load_cache(struct loader *l, struct step *s, const struct entry *e)
{
    struct cache_options c = {.stated = true};
    const struct node *n = e->value;
    if (n->kind == NODE_MAP) {
        load_mapping(l, n, &schema_cache, "cache", on_cache_key, &c);
        check_keys(l, &c, e);
    } else if (n->kind == NODE_SCALAR &&
               (n->type == SCALAR_BOOL || strstr(n->text, "${{") != NULL)) {
        bool on = true;
        load_bool(l, e, &on);
        c.policy = on ? CACHE_CONTENT : CACHE_OFF;
    } else {
        load_expected(l, e);
        if (n->kind == NODE_SCALAR && n->type == SCALAR_STRING)
            diag_hint(l->d, "write {policy: %.40s}", n->text);
        return;
    }
    s->cache = c;
}

/* A measure that this source can never have. */
static void check_measure(struct loader *l, const struct step *s, struct span at)
{
    const char *source = s->source->source;
    bool git = text_starts(source, "git+"), web = text_starts(source, "http");
    bool tagged = (web || text_starts(source, "s3://")) && strstr(source, "://") != NULL;
    if (s->cache.measure == MEASURE_ETAG && !tagged) {
        diag_error(l->d, at, "bad-value",
                   "the measure etag needs an http(s) or s3 source, and '%.60s' is a %s", source,
                   git ? "git repository" : "path");
        diag_hint(l->d, git ? "measure git" : "measure records, bytes or files, or give a command");
    } else if (s->cache.measure == MEASURE_GIT && tagged) {
        diag_error(l->d, at, "bad-value",
                   "the measure git needs a git repository, and '%.60s' is none", source);
        diag_hint(l->d, "measure etag");
    }
}

void finish_cache(struct loader *l, struct step *s, const struct step_facts *f)
{
    bool own = facts_own_name(f, "cache");
    bool sourced = s->kind == KIND_INGEST && s->source != NULL;
    if ((s->cache.policy == CACHE_TIME || s->cache.policy == CACHE_CHANGE) && !sourced) {
        if (own) {
            diag_error(l->d, facts_place(s, f, "cache"), "bad-value",
                       "cache policy %s is for a step with a source",
                       cache_policy_names[s->cache.policy]);
            diag_hint(l->d, "use {ttl: …} to bound how old a result may be");
        }
        /* A default for steps with a source is passed over here. */
        s->cache = (struct cache_options){0};
    }
    if (s->cache.policy == CACHE_CHANGE && s->source->n_parts == 0)
        check_measure(l, s, facts_place(s, f, own ? "cache" : "source"));
    if (!s->finally)
        return;
    if (own && s->cache.policy != CACHE_OFF)
        diag_error(l->d, facts_place(s, f, "cache"), "bad-value",
                   "steps under finally run every time: they take no cache");
    s->cache = (struct cache_options){.policy = CACHE_OFF};
}
