/* SPDX-License-Identifier: Apache-2.0 */
/* -p name=value and --params-file: values for params, read by the param's type, never as YAML. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "workflows/load_internal.h"

#include <string.h>

static int unknown(struct loader *l, const char *name, const char *from, struct err *err)
{
    VEC(const char *) words = {0};
    for (uint32_t i = 0; i < l->wf->n_params; i++)
        *vec_push(&words) = l->wf->params[i].name;
    const char *near = suggest_nearest(name, words.items, words.len);
    int rc = err_set(err, ERR_USAGE, 0, "%s: the workflow has no param '%.80s'%s%s%s", from, name,
                     near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    vec_done(&words);
    return rc;
}

static int override(struct loader *l, const char *name, const char *value, const char *from,
                    struct err *err)
{
    ptrdiff_t i = map_find(&l->param_names, name, strlen(name));
    if (i < 0)
        return unknown(l, name, from, err);
    struct param *p = &l->wf->params[i];
    if (!utf8_valid(value, strlen(value), NULL))
        return err_set(err, ERR_USAGE, 0, "%s: the value of param '%s' is not UTF-8", from, name);
    const char *wrong = param_read(l, p, value, &p->value);
    if (wrong != NULL)
        return err_set(err, ERR_USAGE, 0, "%s: param '%s' %s, not '%.100s'", from, name, wrong,
                       value);
    return 0;
}

/* The first thing that is wrong with a params file, as one sentence. */
static int bad_file(const struct diags *d, const char *file, struct err *err)
{
    const struct diag *first = d->len > 0 ? &d->items[0] : NULL;
    if (first == NULL)
        return err_set(err, ERR_USAGE, 0, "%s: not a mapping of param names to values", file);
    return err_set(err, ERR_USAGE, 0, "%s:%u:%u: %s", file, first->span.line, first->span.col,
                   first->message);
}

static int override_node(struct loader *l, const struct node_pair *p, const char *file,
                         struct err *err)
{
    const struct node *n = p->value;
    if (n->kind != NODE_SCALAR || n->type == SCALAR_NULL)
        return err_set(err, ERR_USAGE, 0,
                       "%s:%u: param '%.80s' must be a string, a number or true/false", file,
                       p->key_span.line, p->key);
    const char *text = n->text;
    if (n->type == SCALAR_BOOL)
        text = text[0] == 't' || text[0] == 'T' ? "true" : "false";
    return override(l, p->key, text, file, err);
}

static int override_file(struct loader *l, const char *file, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    if (load_read(file, &text, err) < 0)
        return err_set(err, ERR_USAGE, 0, "the params file cannot be read: %s",
                       err != NULL ? err->msg : file);
    struct diags d;
    diags_init(&d, file);
    const struct node *n = yaml_parse(sb_text(&text), text.len, l->tmp, &d);
    int rc = n == NULL || n->kind != NODE_MAP ? bad_file(&d, file, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < n->len; i++)
        rc = override_node(l, &n->pairs[i], file, err);
    diags_done(&d);
    return rc;
}

static int check_required(struct loader *l, struct err *err)
{
    for (uint32_t i = 0; i < l->wf->n_params && !l->o->allow_missing_params; i++) {
        const struct param *p = &l->wf->params[i];
        if (p->required && p->value.type == VALUE_NULL)
            return err_set(err, ERR_USAGE, 0, "param '%s' needs a value: -p %s=…%s%s", p->name,
                           p->name, p->description ? " — " : "",
                           p->description ? p->description : "");
    }
    return 0;
}

int load_overrides(struct loader *l, struct err *err)
{
    const struct load_options *o = l->o;
    int rc = o->params_file != NULL ? override_file(l, o->params_file, err) : 0;
    for (size_t i = 0; rc == 0 && i < o->n_params; i++)
        rc = override(l, o->params[i].name, o->params[i].value, "-p", err);
    if (rc == 0)
        rc = check_required(l, err);
    l->param_values = arena_calloc(l->a, l->wf->n_params + 1, sizeof(struct value));
    for (uint32_t i = 0; i < l->wf->n_params; i++)
        l->param_values[i] = l->wf->params[i].value;
    return rc;
}
