/* SPDX-License-Identifier: Apache-2.0 */
/* What merges by name (semantics 7): env, labels, secrets. Merged lists are new arrays: the ones merged into are shared. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/load_internal.h"

#include <string.h>

static bool is_mapping(struct loader *l, const struct entry *e)
{
    if (e->value->kind == NODE_MAP)
        return true;
    load_expected(l, e);
    if (e->value->kind == NODE_LIST)
        diag_hint(l->d, "write name: value");
    return false;
}

/* --- env --- */

static bool check_variable(struct loader *l, const struct node_pair *p)
{
    if (!valid_variable(p->key)) {
        diag_error(l->d, p->key_span, "bad-name", "'%.60s' is not a name for a variable", p->key);
        diag_hint(l->d, "variables have letters, digits and _, and do not begin with a digit");
        return false;
    }
    if (text_starts(p->key, "WF_")) {
        diag_error(l->d, p->key_span, "bad-name", "'%.60s': names that begin with WF_ are wf's own",
                   p->key);
        return false;
    }
    return true;
}

static struct text *env_text(struct loader *l, const struct node_pair *p)
{
    if (is_null(p->value)) {
        diag_error(l->d, p->key_span, "bad-value", "variable '%s' has no value", p->key);
        diag_hint(l->d, "write \"\" for an empty one");
        return NULL;
    }
    return load_text_of(l, p->value, p->key, "a text", false);
}

void load_env(struct loader *l, struct step *s, const struct entry *e)
{
    if (!is_mapping(l, e))
        return;
    const struct node *n = e->value;
    struct env_item *items = arena_calloc(l->a, s->n_env + n->len, sizeof(*items));
    uint32_t count = s->n_env;
    if (count > 0)
        memcpy(items, s->env, count * sizeof(*items));
    struct map seen = {0};
    for (uint32_t i = 0; i < count; i++)
        map_put_text(&seen, items[i].name, NULL);
    for (uint32_t i = 0; i < n->len; i++) {
        struct text *t = check_variable(l, &n->pairs[i]) ? env_text(l, &n->pairs[i]) : NULL;
        if (t == NULL)
            continue;
        ptrdiff_t at = map_find(&seen, n->pairs[i].key, n->pairs[i].key_len);
        if (at >= 0)
            items[at].value = t;
        else
            items[count++] = (struct env_item){arena_strdup(l->a, n->pairs[i].key), t};
    }
    map_done(&seen);
    s->env = items;
    s->n_env = count;
}

/* --- labels --- */

void load_labels(struct loader *l, const struct entry *e, uint32_t *n_labels, struct label **labels)
{
    if (!is_mapping(l, e))
        return;
    const struct node *n = e->value;
    struct label *items = arena_calloc(l->a, *n_labels + n->len, sizeof(*items));
    uint32_t count = *n_labels;
    if (count > 0)
        memcpy(items, *labels, count * sizeof(*items));
    for (uint32_t i = 0; i < n->len; i++) {
        const struct node_pair *p = &n->pairs[i];
        struct entry value = {.key = e->key, .value = p->value};
        if (p->value->kind != NODE_SCALAR) {
            load_expected_as(l, p->value, p->key, "a text");
            continue;
        }
        const char *text = load_now(l, &value, NULL);
        if (text == NULL)
            continue;
        uint32_t at = 0;
        while (at < count && strcmp(items[at].name, p->key) != 0)
            at++;
        if (at == count)
            items[count++].name = arena_strdup(l->a, p->key);
        items[at].value = arena_strdup(l->a, text);
    }
    *labels = items;
    *n_labels = count;
}

/* --- secrets --- */

static void on_secret_key(struct loader *l, const struct entry *e, void *arg)
{
    struct secret *s = arg;
    if (strcmp(e->key->name, "env") == 0)
        s->env = load_words(l, e);
    else
        s->file = load_words(l, e);
}

void load_secrets(struct loader *l, const struct node *n)
{
    if (n == NULL)
        return;
    if (n->kind != NODE_MAP) {
        load_expected_as(l, n, "secrets", "a mapping of names to {env: VAR} or {file: path}");
        return;
    }
    struct workflow *wf = l->wf;
    wf->secrets = arena_calloc(l->a, n->len, sizeof(*wf->secrets));
    for (uint32_t i = 0; i < n->len; i++) {
        const struct node_pair *p = &n->pairs[i];
        struct secret *s = &wf->secrets[i];
        *s = (struct secret){.name = arena_strdup(l->a, p->key), .span = p->key_span};
        map_put_text(&l->secret_names, s->name, NULL);
        check_name(l, p->key_span, "a secret", s->name);
        if (p->value->kind != NODE_MAP) {
            load_expected_as(l, p->value, s->name,
                             "{env: VAR} or {file: path}: a secret does not stand in the file");
            continue;
        }
        load_mapping(l, p->value, &schema_secret, "a secret", on_secret_key, s);
        if ((node_get(p->value, "env") != NULL) == (node_get(p->value, "file") != NULL))
            diag_error(l->d, p->key_span, "bad-value", "secret '%s' takes either env or file",
                       s->name);
    }
    wf->n_secrets = n->len;
}

static void use_secret(struct loader *l, struct step *s, const char *variable, const struct node *n)
{
    if (n->kind != NODE_SCALAR || n->type == SCALAR_NULL) {
        load_expected_as(l, n, "secrets", "the name of a secret");
        return;
    }
    ptrdiff_t i = map_find(&l->secret_names, n->text, n->len);
    if (i < 0) {
        diag_error(l->d, n->span, "unknown-secret", "'%.60s' is not a secret of this workflow",
                   n->text);
        if (l->secret_names.len == 0)
            diag_hint(l->d, "say where it comes from at the top: secrets: {%.60s: {env: %.60s}}",
                      n->text, n->text);
        suggest_from_map(l, n->text, &l->secret_names);
        return;
    }
    l->secret_used[i] = true;
    if (!valid_variable(variable)) {
        diag_error(l->d, n->span, "bad-name", "'%.60s' is not a name for a variable", variable);
        diag_hint(l->d, "write {VARIABLE: %.60s}", n->text);
        return;
    }
    uint32_t at = 0;
    while (at < s->n_secrets && strcmp(s->secrets[at].env, variable) != 0)
        at++;
    if (at == s->n_secrets)
        s->secrets[s->n_secrets++].env = arena_strdup(l->a, variable);
    s->secrets[at].secret = (uint32_t)i;
}

void load_secret_uses(struct loader *l, struct step *s, const struct entry *e)
{
    const struct node *n = e->value;
    if (n->kind == NODE_SCALAR) {
        load_expected(l, e);
        return;
    }
    struct secret_use *uses = arena_calloc(l->a, s->n_secrets + n->len, sizeof(*uses));
    if (s->n_secrets > 0)
        memcpy(uses, s->secrets, s->n_secrets * sizeof(*uses));
    s->secrets = uses;
    for (uint32_t i = 0; i < n->len; i++) {
        if (n->kind == NODE_MAP)
            use_secret(l, s, n->pairs[i].key, n->pairs[i].value);
        else
            use_secret(l, s, n->items[i]->kind == NODE_SCALAR ? n->items[i]->text : "",
                       n->items[i]);
    }
}
