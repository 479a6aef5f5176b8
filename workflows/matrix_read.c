/* SPDX-License-Identifier: Apache-2.0 */
/* A matrix's YAML -> values, with expressions over params evaluated; and how branches are named. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "workflows/matrix_impl.h"
#include "workflows/model.h"

#include <stdlib.h>
#include <string.h>

/* Values longer than this are quoted in names. */
#define PLAIN_VALUE_MAX 64

const struct node *matrix_part(const struct node *n, uint32_t i)
{
    return n->kind == NODE_LIST ? n->items[i] : n->kind == NODE_MAP ? n->pairs[i].value : n;
}

static struct slice keep(struct matrix_reader *r, struct slice s)
{
    char *copy = arena_alloc(r->arena, s.len + 1);
    if (s.len)
        memcpy(copy, s.data, s.len);
    return slice_of(copy, s.len);
}

/* An evaluated value may point anywhere; the model's may point into its arena only. Values are at most 64 levels deep. */
static struct value keep_value(struct matrix_reader *r, const struct value *v)
{
    struct value copy = *v;
    copy.items = NULL;
    copy.keys = NULL;
    copy.text = (struct slice){0};
    if (v->type == VALUE_STRING || v->type == VALUE_NUMBER)
        copy.text = keep(r, v->text);
    if (!v->count || (v->type != VALUE_LIST && v->type != VALUE_OBJECT))
        return copy;
    copy.items = arena_calloc(r->arena, v->count, sizeof(*copy.items));
    if (v->type == VALUE_OBJECT)
        copy.keys = arena_calloc(r->arena, v->count, sizeof(*copy.keys));
    for (uint32_t i = 0; i < v->count; i++) {
        copy.items[i] = keep_value(r, &v->items[i]);
        if (copy.keys)
            copy.keys[i] = keep(r, v->keys[i]);
    }
    return copy;
}

static void unknown_param(struct matrix_reader *r, const struct expr *e)
{
    const struct workflow *wf = r->scope.wf;
    uint32_t n = wf ? wf->n_params : 0;
    const char **names = xcalloc(n ? n : 1, sizeof(*names));
    for (uint32_t i = 0; i < n; i++)
        names[i] = wf->params[i].name;
    diag_error(r->diags, e->span, "unknown-name", "there is no param '%s'", e->name.text);
    diag_did_you_mean(r->diags, suggest_nearest(e->name.text, names, n));
    free(names);
    r->failed = true;
}

static void check_param(struct matrix_reader *r, const struct expr *e)
{
    const struct workflow *wf = r->scope.wf;
    bool found = !e->name.text;
    for (uint32_t i = 0; wf && i < wf->n_params; i++) {
        if (e->name.text && !text_eq(wf->params[i].name, e->name.text))
            continue;
        found = true;
        if (r->scope.params && r->scope.params[i].type == VALUE_NULL)
            r->unknown = true;
    }
    if (!found)
        unknown_param(r, e);
}

static void check_name(struct expr *e, bool in_default, void *arg)
{
    struct matrix_reader *r = arg;
    (void)in_default;
    if (e->name.root == ROOT_PARAMS) {
        check_param(r, e);
        return;
    }
    r->failed = true;
    if (e->name.root == ROOT_STEPS)
        diag_error(r->diags, e->span, "not-supported",
                   "a matrix made from a step's results is not supported yet: only params can be "
                   "used here");
    else
        diag_error(r->diags, e->span, "unknown-name",
                   "'%s' is not known in a matrix: only params can be used here",
                   expr_root_name(e->name.root));
}

static bool read_text(struct matrix_reader *r, const struct node *n, struct value *ret)
{
    struct err err = {0};
    struct value v;
    struct text *t = text_parse(n->text, n->len, n->span, false, r->scope.arena, r->diags);
    if (!t) {
        r->failed = true;
        return false;
    }
    bool failed = r->failed;
    r->failed = false;
    text_each_name(t, check_name, r);
    bool bad = r->failed || r->unknown;
    r->failed |= failed;
    if (bad)
        return false;
    if (text_eval(t, &r->scope, &v, &err)) {
        diag_error(r->diags, n->span, "matrix", "%s", err.msg);
        r->failed = true;
        return false;
    }
    *ret = keep_value(r, &v);
    return true;
}

static bool read_scalar(struct matrix_reader *r, const struct node *n, struct value *ret)
{
    struct slice text = {n->text, n->len};
    switch (n->type) {
    case SCALAR_NULL:
        *ret = value_null();
        return true;
    case SCALAR_BOOL:
        *ret = value_bool(n->len && (n->text[0] | 32) == 't');
        return true;
    case SCALAR_NUMBER:
        *ret = value_number_text(keep(r, text));
        return true;
    case SCALAR_STRING:
        break;
    }
    if (memmem(text.data, text.len, "${{", 3))
        return read_text(r, n, ret);
    *ret = value_slice(keep(r, text));
    return true;
}

/* YAML is at most 64 levels deep, and so is the recursion. */
bool matrix_read(struct matrix_reader *r, const struct node *n, struct value *ret)
{
    if (n->kind == NODE_SCALAR)
        return read_scalar(r, n, ret);
    bool map = n->kind == NODE_MAP, ok = true;
    struct value v = {.type = map ? VALUE_OBJECT : VALUE_LIST, .count = n->len};
    if (n->len) {
        v.items = arena_calloc(r->arena, n->len, sizeof(*v.items));
        if (map)
            v.keys = arena_calloc(r->arena, n->len, sizeof(*v.keys));
    }
    for (uint32_t i = 0; i < n->len; i++) {
        if (map)
            v.keys[i] = keep(r, slice_of(n->pairs[i].key, n->pairs[i].key_len));
        ok = matrix_read(r, matrix_part(n, i), &v.items[i]) && ok;
    }
    *ret = v;
    return ok;
}

static bool is_plain(struct slice s)
{
    if (!s.len || s.len > PLAIN_VALUE_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !(c && strchr("._/+:@-", c)))
            return false;
    }
    return true;
}

void matrix_row_name(const char *step, const struct matrix_row *row, struct str *out)
{
    CLEANUP(sb_done) struct str text = {0};
    sb_puts(out, step);
    for (uint32_t i = 0; i < row->n; i++) {
        sb_clear(&text);
        value_interpolate(&row->values[i], &text);
        sb_putc(out, i ? ',' : '[');
        sb_puts(out, row->axes[i]);
        sb_putc(out, '=');
        if (is_plain(slice_of(sb_text(&text), text.len)))
            sb_add(out, text.data, text.len);
        else
            jw_string_add(out, sb_text(&text), text.len);
    }
    if (row->n)
        sb_putc(out, ']');
}
