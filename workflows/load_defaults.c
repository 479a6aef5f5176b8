/* SPDX-License-Identifier: Apache-2.0 */
/* `defaults` and the top-level `env` (semantics 7), worked into one prototype per kind that each step of the kind starts from. So
 * 100,000 steps share one parsed copy. What names a step's own inputs or outputs is kept as nodes and parsed for each step. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "workflows/load_internal.h"

#include <string.h>

static const char *const never[] = {"run",  "command", "outputs", "needs", "matrix",
                                    "kind", "publish", "values",  "from"};

static int kind_of(const char *word)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        if (strcmp(step_kind_names[i], word) == 0)
            return i;
    }
    return -1;
}

static bool may_default(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        if (strcmp(never[i], key) == 0)
            return false;
    }
    return true;
}

/* NULL: reported. */
static const struct schema_key *default_key(struct loader *l, const struct node_pair *p)
{
    const struct schema_key *key = load_key(l, &schema_step, p, "defaults");
    if (key == NULL)
        diag_did_you_mean(l->d, suggest_nearest(p->key, step_kind_names, KIND_COUNT));
    if (key == NULL || may_default(p->key))
        return key;
    diag_error(l->d, p->key_span, "bad-default", "'%s' cannot have a default", p->key);
    return NULL;
}

static void check_kind_defaults(struct loader *l, const struct node_pair *p)
{
    if (p->value->kind != NODE_MAP) {
        diag_error(l->d, p->value->span, "bad-default",
                   "'defaults.%s' must be a mapping of step keys for the steps of that kind",
                   p->key);
        return;
    }
    for (uint32_t i = 0; i < p->value->len; i++)
        default_key(l, &p->value->pairs[i]);
    load_prototype(
        l, (enum step_kind)kind_of(p->key)); /* for its mistakes, where no step is of the kind */
}

void load_defaults(struct loader *l)
{
    const struct node *n = l->defaults;
    if (n == NULL)
        return;
    if (n->kind != NODE_MAP) {
        load_expected_as(l, n, "defaults", "a mapping of step keys to values");
        l->defaults = NULL;
        return;
    }
    for (uint32_t i = 0; i < n->len; i++) {
        const struct node_pair *p = &n->pairs[i];
        if (kind_of(p->key) >= 0)
            check_kind_defaults(l, p);
        else
            default_key(l, p);
    }
    /* Their values are looked at for the kinds that steps have; once more here, so that a mistake is said where no step is left. */
    load_prototype(l, KIND_COMMAND);
}

/* --- the prototype of a kind --- */

static bool merges(const char *key)
{
    return strcmp(key, "env") == 0 || strcmp(key, "labels") == 0 || strcmp(key, "secrets") == 0;
}

/* Whether some scalar below holds an expression that may name the step's own inputs, outputs or model. Depth is capped by the reader. */
static bool names_own(const struct node *n)
{
    if (n->kind == NODE_SCALAR)
        return strstr(n->text, "${{") != NULL &&
               (strstr(n->text, "inputs") != NULL || strstr(n->text, "outputs") != NULL ||
                strstr(n->text, "model") != NULL);
    for (uint32_t i = 0; i < n->len; i++) {
        if (names_own(n->kind == NODE_LIST ? n->items[i] : n->pairs[i].value))
            return true;
    }
    return false;
}

static void add_default(struct prototype *p, const struct schema_key *key, const struct node *value)
{
    struct default_key *d = NULL;
    for (uint32_t i = 0; i < p->n_keys && d == NULL; i++) {
        if (p->keys[i].key == key)
            d = &p->keys[i];
    }
    if (d == NULL) {
        d = &p->keys[p->n_keys++];
        *d = (struct default_key){.key = key};
    }
    if (!merges(key->name) || is_null(value))
        d->n_nodes = 0;
    d->nodes[d->n_nodes++] = value;
    d->per_step = d->per_step || names_own(value);
}

static void add_defaults(struct prototype *p, enum step_kind kind, const struct node *map)
{
    for (uint32_t i = 0; map != NULL && map->kind == NODE_MAP && i < map->len; i++) {
        const struct node_pair *pair = &map->pairs[i];
        const struct schema_key *key = schema_find(&schema_step, pair->key);
        if (key == NULL || key->state != KEY_READY || !may_default(pair->key))
            continue;
        if ((key->kinds & (1u << kind)) != 0)
            add_default(p, key, pair->value);
    }
}

void load_blank_step(struct step *s, enum step_kind kind)
{
    *s = (struct step){.kind = kind, .grace_ms = 10000};
    s->retry.backoff = 1;
    s->retry.max_delay_ms = 10LL * 60 * 1000;
    s->retry.on_any = true;
}

static void first_step(struct loader *l, struct step *s, enum step_kind kind)
{
    load_blank_step(s, kind);
    s->shell = l->default_shell;
    if (kind == KIND_SELECT) {
        s->select = arena_alloc(l->a, sizeof(*s->select));
        s->select->top = 1;
        s->select->min_models = 1;
    }
    if (kind == KIND_AGGREGATE) {
        s->aggregate = arena_alloc(l->a, sizeof(*s->aggregate));
        s->aggregate->method = METHOD_COUNT;
        s->aggregate->quorum = 1;
    }
    if (kind == KIND_SERVE) {
        s->serve = arena_alloc(l->a, sizeof(*s->serve));
        load_blank_serve(s->serve);
    }
}

struct prototype *load_prototype(struct loader *l, enum step_kind kind)
{
    if (l->prototypes[kind] != NULL)
        return l->prototypes[kind];
    struct prototype *p = arena_alloc(l->tmp, sizeof(*p));
    first_step(l, &p->base, kind);
    const struct schema_key *env = schema_find(&schema_step, "env");
    if (l->env != NULL && (env->kinds & (1u << kind)) != 0)
        add_default(p, env, l->env);
    /* defaults.command is the kind, never the key. */
    add_defaults(p, kind, l->defaults);
    if (l->defaults != NULL)
        add_defaults(p, kind, node_get(l->defaults, step_kind_names[kind]));
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->n_keys; i++) {
        struct default_key d = p->keys[i];
        if (d.per_step) {
            p->keys[kept++] = d;
            continue;
        }
        for (uint32_t k = 0; k < d.n_nodes; k++) {
            struct entry e = {
                .key = d.key, .value = d.nodes[k], .at = d.nodes[k]->span, .inherited = true};
            load_step_key(l, &p->base, NULL, &e);
        }
    }
    p->n_keys = kept;
    l->prototypes[kind] = p;
    return p;
}
