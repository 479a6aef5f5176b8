/* SPDX-License-Identifier: Apache-2.0 */
/* `params`: definitions, and reading a text by a param's type (semantics 3). */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/load_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_words[PARAM_TYPE_COUNT] = {"a string", "an integer", "a number",
                                                         "true or false"};

/* --- values by type --- */

static struct value text_value(struct loader *l, const char *text)
{
    return value_slice(slice_str(arena_strdup(l->a, text)));
}

static struct value number_value(struct loader *l, const char *text)
{
    struct value v = text_value(l, text);
    v.type = VALUE_NUMBER;
    v.number = strtod(text, NULL);
    return v;
}

static bool is_integer(const char *text)
{
    const char *p = text + (*text == '-' || *text == '+');
    size_t digits = strspn(p, "0123456789");
    return digits > 0 && digits <= 15 && p[digits] == '\0';
}

static bool is_number(const char *text)
{
    char *end = NULL;
    double v = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(v) && strpbrk(text, "xXnN \t\n") == NULL;
}

static bool read_typed(struct loader *l, enum param_type type, const char *text, struct value *ret)
{
    switch (type) {
    case PARAM_STRING:
        *ret = text_value(l, text);
        return true;
    case PARAM_INTEGER:
        if (!is_integer(text))
            return false;
        *ret = number_value(l, text);
        return true;
    case PARAM_NUMBER:
        if (!is_number(text))
            return false;
        *ret = number_value(l, text);
        return true;
    case PARAM_BOOLEAN:
    default:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return false;
        *ret = value_bool(text[0] == 't');
        return true;
    }
}

static bool same_value(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == VALUE_BOOL)
        return a->boolean == b->boolean;
    if (a->type == VALUE_NUMBER)
        return a->number == b->number;
    return slice_eq(a->text, b->text);
}

static const char *outside(struct loader *l, const struct param *p, const struct value *v)
{
    if (p->has_min && v->type == VALUE_NUMBER && v->number < p->min)
        return arena_printf(l->tmp, "must be at least %.15g", p->min);
    if (p->has_max && v->type == VALUE_NUMBER && v->number > p->max)
        return arena_printf(l->tmp, "must be at most %.15g", p->max);
    if (!p->is_enum)
        return NULL;
    CLEANUP(sb_done) struct str list = {0};
    for (uint32_t i = 0; i < p->n_enum; i++) {
        if (same_value(&p->choices[i], v))
            return NULL;
        sb_puts(&list, i > 0 ? ", " : "");
        value_interpolate(&p->choices[i], &list);
    }
    return arena_printf(l->tmp, "must be one of: %s", sb_text(&list));
}

const char *param_read(struct loader *l, const struct param *p, const char *text, struct value *ret)
{
    struct value v;
    if (!read_typed(l, p->type, text, &v))
        return arena_printf(l->tmp, "must be %s", type_words[p->type]);
    const char *wrong = outside(l, p, &v);
    if (wrong == NULL)
        *ret = v;
    return wrong;
}

/* --- definitions --- */

/* Where the parts of a param's long form stand. */
struct parts {
    struct param *param;
    const struct node *fallback, *choices;
    bool typed;
};

static enum param_type node_type(const struct node *n)
{
    if (n->type == SCALAR_BOOL)
        return PARAM_BOOLEAN;
    if (n->type == SCALAR_NUMBER)
        return is_integer(n->text) ? PARAM_INTEGER : PARAM_NUMBER;
    return PARAM_STRING;
}

static bool is_plain_value(struct loader *l, const struct node *n, const char *name)
{
    if (n->kind != NODE_SCALAR || n->type == SCALAR_NULL) {
        load_expected_as(l, n, name, "a string, a number or true/false");
        return false;
    }
    if (strstr(n->text, "${{") != NULL) {
        diag_error(l->d, n->span, "bad-place", "a param's default cannot hold ${{ }}");
        return false;
    }
    return true;
}

/* A value in the file: `true` is written True as well. */
static bool read_node(struct loader *l, const struct param *p, const struct node *n,
                      const char *what, struct value *ret)
{
    if (!is_plain_value(l, n, what))
        return false;
    const char *text = n->text;
    if (n->type == SCALAR_BOOL && p->type == PARAM_BOOLEAN)
        text = text[0] == 't' || text[0] == 'T' ? "true" : "false";
    const char *wrong = param_read(l, p, text, ret);
    if (wrong == NULL)
        return true;
    diag_error(l->d, n->span, "bad-param", "%s of param '%s' %s, not '%.60s'", what, p->name, wrong,
               n->text);
    return false;
}

static void on_param_key(struct loader *l, const struct entry *e, void *arg)
{
    struct parts *parts = arg;
    struct param *p = parts->param;
    const char *key = e->key->name;
    uint32_t choice = 0;
    if (strcmp(key, "default") == 0) {
        parts->fallback = e->value;
    } else if (strcmp(key, "enum") == 0) {
        parts->choices = e->value;
    } else if (strcmp(key, "type") == 0) {
        parts->typed = load_choice(l, e, param_type_names, PARAM_TYPE_COUNT, &choice);
        p->type = (enum param_type)choice;
    } else if (strcmp(key, "min") == 0) {
        p->has_min = load_number(l, e, &p->min);
    } else if (strcmp(key, "max") == 0) {
        p->has_max = load_number(l, e, &p->max);
    } else if (strcmp(key, "description") == 0) {
        p->description = load_words(l, e);
    } else {
        load_bool(l, e, &p->required);
    }
}

static void read_choices(struct loader *l, struct param *p, const struct node *n)
{
    if (n->kind != NODE_LIST || n->len == 0) {
        load_expected_as(l, n, "enum", "a list of values");
        return;
    }
    struct value *choices = arena_calloc(l->a, n->len, sizeof(*choices));
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->len; i++)
        count += read_node(l, p, n->items[i], "a choice", &choices[count]);
    p->choices = choices;
    p->n_enum = count;
    p->is_enum = count > 0;
}

static void long_form(struct loader *l, struct param *p, const struct node *n)
{
    struct parts parts = {.param = p};
    load_mapping(l, n, &schema_param, "a param", on_param_key, &parts);
    const struct node *model = parts.fallback;
    if (model == NULL && parts.choices != NULL && parts.choices->kind == NODE_LIST &&
        parts.choices->len > 0)
        model = parts.choices->items[0];
    if (!parts.typed && model != NULL && model->kind == NODE_SCALAR)
        p->type = node_type(model);
    if ((p->has_min || p->has_max) && (p->type == PARAM_STRING || p->type == PARAM_BOOLEAN))
        diag_error(l->d, p->span, "bad-param", "param '%s' is %s and can have no min or max",
                   p->name, type_words[p->type]);
    else if (p->has_min && p->has_max && p->min > p->max)
        diag_error(l->d, p->span, "bad-param", "param '%s' has a min above its max", p->name);
    if (parts.choices != NULL)
        read_choices(l, p, parts.choices);
    if (parts.fallback != NULL && !is_null(parts.fallback)) {
        read_node(l, p, parts.fallback, "the default", &p->fallback);
        if (p->required)
            diag_error(l->d, p->span, "bad-param",
                       "param '%s' is required and has a default: keep one of them", p->name);
    } else {
        p->required = true;
    }
}

static void load_param(struct loader *l, struct param *p, const struct node_pair *pair)
{
    const struct node *n = pair->value;
    *p = (struct param){.name = arena_strndup(l->a, pair->key, pair->key_len),
                        .span = pair->key_span};
    check_name(l, pair->key_span, "a param", p->name);
    if (n->kind == NODE_MAP) {
        long_form(l, p, n);
    } else if (n->kind == NODE_LIST) {
        load_expected_as(l, n, p->name,
                         "a default value or a mapping such as {default: 3, type: integer}");
    } else if (is_null(n)) {
        diag_error(l->d, pair->key_span, "bad-param", "param '%s' has no default", p->name);
        diag_hint(l->d, "write \"\" for an empty one, or {required: true}");
    } else {
        p->type = node_type(n);
        read_node(l, p, n, "the default", &p->fallback);
    }
    p->value = p->fallback;
}

void load_params(struct loader *l, const struct node *n)
{
    if (n == NULL)
        return;
    if (n->kind != NODE_MAP) {
        load_expected_as(l, n, "params", "a mapping of names to defaults");
        return;
    }
    struct workflow *wf = l->wf;
    wf->params = arena_calloc(l->a, n->len, sizeof(*wf->params));
    for (uint32_t i = 0; i < n->len; i++) {
        load_param(l, &wf->params[i], &n->pairs[i]);
        map_put_text(&l->param_names, wf->params[i].name, NULL);
    }
    wf->n_params = n->len;
}
