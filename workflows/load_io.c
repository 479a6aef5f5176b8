/* SPDX-License-Identifier: Apache-2.0 */
/* What a step reads and makes: inputs, outputs, values, publish. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "workflows/load_internal.h"

#include <string.h>

/* --- inputs --- */

struct input_parts {
    struct input *input;
    const struct node *path;
};

static void on_input_key(struct loader *l, const struct entry *e, void *arg)
{
    struct input_parts *p = arg;
    if (strcmp(e->key->name, "path") == 0)
        p->path = e->value;
    else
        load_bool(l, e, &p->input->optional);
}

/* Whether the written part of a path (not what expressions give) holds a glob. */
static bool is_glob(const struct text *t)
{
    if (t->n_parts == 0)
        return strpbrk(t->source, "*?[") != NULL;
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const char *lit = t->parts[i].literal;
        for (uint32_t k = 0; lit != NULL && k < t->parts[i].len; k++) {
            if (strchr("*?[", lit[k]) != NULL && lit[k] != '\0')
                return true;
        }
    }
    return false;
}

static bool needs_name(const char *path)
{
    CLEANUP(sb_done) struct str clean = {0};
    return path[0] == '/' || (strstr(path, "..") != NULL && !fs_clean_relative(path, &clean));
}

static bool load_input(struct loader *l, struct input *in, const char *name, const struct node *n)
{
    struct input_parts p = {.input = in, .path = n};
    *in = (struct input){.name = name != NULL ? arena_strdup(l->a, name) : NULL, .span = n->span};
    if (n->kind == NODE_MAP) {
        p.path = NULL;
        load_mapping(l, n, &schema_input, "an input", on_input_key, &p);
        if (p.path == NULL) {
            diag_error(l->d, n->span, "missing-key", "an input needs a path");
            return false;
        }
    }
    in->path = load_text_of(l, p.path, name != NULL ? name : "inputs", "a path or a glob", false);
    if (in->path == NULL)
        return false;
    if (in->path->len == 0) {
        diag_error(l->d, n->span, "bad-path", "an input's path is empty");
        return false;
    }
    in->glob = is_glob(in->path);
    if (name == NULL && in->path->n_parts == 0 && needs_name(in->path->source)) {
        diag_error(l->d, n->span, "bad-path",
                   "the input '%.80s' lies outside the workflow's folder and needs a name",
                   in->path->source);
        diag_hint(l->d, "write inputs as a mapping: {name: %.80s}", in->path->source);
    }
    return true;
}

void load_inputs(struct loader *l, struct step *s, const struct entry *e)
{
    const struct node *n = e->value;
    if (n->kind == NODE_SCALAR) {
        load_expected(l, e);
        if (n->type != SCALAR_NULL)
            diag_hint(l->d, "write [%.60s]", n->text);
        return;
    }
    struct input *list = arena_calloc(l->a, n->len, sizeof(*list));
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->len; i++) {
        const char *name = n->kind == NODE_MAP ? n->pairs[i].key : NULL;
        if (name != NULL)
            check_name(l, n->pairs[i].key_span, "an input", name);
        count += load_input(l, &list[count], name,
                            n->kind == NODE_MAP ? n->pairs[i].value : n->items[i]);
    }
    s->inputs = list;
    s->n_inputs = count;
}

/* --- outputs --- */

struct output_parts {
    struct output *output;
    const struct node *path;
};

static void on_output_key(struct loader *l, const struct entry *e, void *arg)
{
    struct output_parts *p = arg;
    if (strcmp(e->key->name, "path") == 0)
        p->path = e->value;
    else if (strcmp(e->key->name, "non_empty") == 0)
        load_bool(l, e, &p->output->non_empty);
    else
        load_sha256(l, e, &p->output->sha256);
}

static bool load_output(struct loader *l, struct output *o, const struct node_pair *pair)
{
    const struct node *n = pair->value;
    struct output_parts p = {.output = o, .path = n};
    *o = (struct output){.span = pair->key_span};
    check_name(l, pair->key_span, "an output", pair->key);
    if (n->kind == NODE_MAP) {
        p.path = NULL;
        load_mapping(l, n, &schema_output, "an output", on_output_key, &p);
        if (p.path == NULL) {
            diag_error(l->d, n->span, "missing-key", "output '%.60s' needs a path", pair->key);
            return false;
        }
    }
    o->path = load_text_of(l, p.path, pair->key, "a path below $WF_OUT", false);
    o->span = p.path->span;
    o->name = load_shared_name(l, pair->key, pair->key_len);
    return o->path != NULL;
}

void load_outputs(struct loader *l, struct step *s, const struct entry *e)
{
    const struct node *n = e->value;
    if (n->kind != NODE_MAP) {
        load_expected(l, e);
        if (n->kind == NODE_LIST)
            diag_hint(l->d, "write name: path, for example {model: model.bin}");
        return;
    }
    struct output *list = arena_calloc(l->a, n->len, sizeof(*list));
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->len; i++)
        count += load_output(l, &list[count], &n->pairs[i]);
    s->outputs = list;
    s->n_outputs = count;
}

/* --- values --- */

static void load_value_name(struct loader *l, struct step *s, const char *name, struct span at,
                            bool from_stdout)
{
    check_name(l, at, "a value", name);
    for (uint32_t i = 0; i < s->n_values; i++) {
        if (strcmp(s->values[i].name, name) == 0) {
            diag_error(l->d, at, "duplicate-key", "the value '%.60s' is named a second time", name);
            return;
        }
    }
    s->values[s->n_values++] =
        (struct step_value){.name = arena_strdup(l->a, name), .from_stdout = from_stdout};
}

void load_values(struct loader *l, struct step *s, const struct entry *e)
{
    const struct node *n = e->value;
    if (n->kind == NODE_SCALAR) {
        load_expected(l, e);
        return;
    }
    s->values = arena_calloc(l->a, n->len, sizeof(*s->values));
    s->n_values = 0;
    uint32_t from_stdout = 0;
    for (uint32_t i = 0; i < n->len; i++) {
        const struct node *v = n->kind == NODE_MAP ? n->pairs[i].value : n->items[i];
        if (v->kind != NODE_SCALAR || (n->kind == NODE_LIST && v->type == SCALAR_NULL)) {
            load_expected_as(l, v, "values", e->key->type);
        } else if (n->kind == NODE_LIST) {
            load_value_name(l, s, v->text, v->span, false);
        } else if (strcmp(v->text, "stdout") != 0) {
            load_expected_as(l, v, n->pairs[i].key,
                             "stdout, or left to $WF_VALUES by writing values as a list");
        } else {
            load_value_name(l, s, n->pairs[i].key, n->pairs[i].key_span, true);
            if (++from_stdout == 2)
                diag_error(l->d, v->span, "bad-value",
                           "one value at most takes the standard output");
        }
    }
}

/* --- publish --- */

static struct output *find_output(struct step *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        if (strcmp(s->outputs[i].name, name) == 0)
            return &s->outputs[i];
    }
    return NULL;
}

static void unknown_output(struct loader *l, const struct step *s, const struct node_pair *p)
{
    diag_error(l->d, p->key_span, "unknown-output", "'%.60s' is not an output of step '%s'", p->key,
               s->name);
    VEC(const char *) words = {0};
    for (uint32_t i = 0; i < s->n_outputs; i++)
        *vec_push(&words) = s->outputs[i].name;
    diag_did_you_mean(l->d, suggest_nearest(p->key, words.items, words.len));
    vec_done(&words);
}

void load_publish(struct loader *l, struct step *s, const struct node *n)
{
    if (n->kind != NODE_MAP) {
        load_expected_as(l, n, "publish", "a mapping of output names to paths");
        return;
    }
    for (uint32_t i = 0; i < n->len; i++) {
        const struct node_pair *p = &n->pairs[i];
        struct output *o = find_output(s, p->key);
        if (o == NULL)
            unknown_output(l, s, p);
        else
            o->publish =
                load_placed_text(l, p->value, p->key, "a path below the workflow's folder");
    }
}
