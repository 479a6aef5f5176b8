/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of a tree against a scope. Trees are at most EXPR_MAX_DEPTH deep (the parser's promise), and so is the recursion here. Results are 0, 1 (absent:
 * it goes up until a default() absorbs it) or negative. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/vec.h"
#include "workflows/expr_impl.h"
#include "workflows/model.h"
#include "workflows/value_impl.h"

#include <stdlib.h>
#include <string.h>

/* Names listed in a message about an unknown one. */
#define NAMES_LISTED 10
/* Bytes of a string shown in a message. */
#define TEXT_SHOWN 40
/* Arguments kept on the stack. */
#define FEW_ARGS 4

static int eval(const struct expr *e, const struct scope *s, struct value *ret, struct err *err);

/* At most `max` bytes of s, never half a character. */
static int shown_length(struct slice s, size_t max)
{
    if (s.len <= max)
        return (int)s.len;
    while (max && ((unsigned char)s.data[max] & 0xC0) == 0x80)
        max--;
    return (int)max;
}

struct described describe(const struct value *v)
{
    struct described d;
    const char *type = value_type_name(v->type);
    int n = shown_length(v->text, TEXT_SHOWN);
    const char *more = (size_t)n < v->text.len ? "…" : "";
    if (v->type == VALUE_STRING)
        snprintf(d.text, sizeof(d.text), "%s ('%.*s%s')", type, n, n ? v->text.data : "", more);
    else if (v->type == VALUE_NUMBER)
        snprintf(d.text, sizeof(d.text), "%s (%.*s%s)", type, n, v->text.data, more);
    else if (v->type == VALUE_BOOL)
        snprintf(d.text, sizeof(d.text), "%s (%s)", type, v->boolean ? "true" : "false");
    else
        snprintf(d.text, sizeof(d.text), "%s", type);
    return d;
}

void note_path(const struct scope *s, const struct value *v)
{
    if (s->path_dependent && !*s->path_dependent && value_has_path(v))
        *s->path_dependent = true;
}

static int one_param(const struct scope *s, uint32_t i, struct value *ret, struct err *err)
{
    if (s->used_params)
        s->used_params[i] = true;
    *ret = s->params[i];
    if (ret->type == VALUE_NULL)
        return err_set(err, ERR_USAGE, 0, "param '%s' has no value: give one with -p %s=…",
                       s->wf->params[i].name, s->wf->params[i].name);
    return 0;
}

static int all_params(const struct scope *s, struct value *ret, struct err *err)
{
    uint32_t n = s->wf->n_params;
    struct value v = {.type = VALUE_OBJECT, .count = n};
    v.items = arena_calloc(s->arena, n ? n : 1, sizeof(*v.items));
    v.keys = arena_calloc(s->arena, n ? n : 1, sizeof(*v.keys));
    for (uint32_t i = 0; i < n; i++) {
        v.keys[i] = slice_str(s->wf->params[i].name);
        int rc = one_param(s, i, &v.items[i], err);
        if (rc)
            return rc;
    }
    *ret = v;
    return 0;
}

static int param_value(const struct expr_name *name, const struct scope *s, struct value *ret,
                       struct err *err)
{
    if (!s->params || !s->wf)
        return err_set(err, ERR_INVALID, 0, "params are not known here");
    if (name->member != UINT32_MAX)
        return one_param(s, name->member, ret, err);
    if (!name->text)
        return all_params(s, ret, err);
    for (uint32_t i = 0; i < s->wf->n_params; i++) {
        if (text_eq(s->wf->params[i].name, name->text))
            return one_param(s, i, ret, err);
    }
    return err_set(err, ERR_INVALID, 0, "there is no param '%s'", name->text);
}

static void list_names(struct str *out, const struct slice *names, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < NAMES_LISTED; i++)
        sb_printf(out, "%s%.*s", i ? ", " : "", shown_length(names[i], TEXT_SHOWN), names[i].data);
    if (count > NAMES_LISTED)
        sb_puts(out, ", …");
}

static int matrix_value(const struct expr_name *name, const struct scope *s, struct value *ret,
                        struct err *err)
{
    const struct matrix_row *row = s->row;
    if (!row)
        return err_set(err, ERR_INVALID, 0, "matrix is not known here");
    struct value all = {.type = VALUE_OBJECT, .count = row->n, .items = row->values};
    all.keys = arena_calloc(s->arena, row->n ? row->n : 1, sizeof(*all.keys));
    for (uint32_t i = 0; i < row->n; i++) {
        if (name->text && text_eq(row->axes[i], name->text)) {
            *ret = row->values[i];
            return 0;
        }
        all.keys[i] = slice_str(row->axes[i]);
    }
    if (!name->text) {
        *ret = all;
        return 0;
    }
    CLEANUP(sb_done) struct str names = {0};
    list_names(&names, all.keys, all.count);
    return err_set(err, ERR_INVALID, 0, "this branch's matrix has no '%s'%s%s", name->text,
                   all.count ? ", only " : "", sb_text(&names));
}

static int eval_name(const struct expr *e, const struct scope *s, struct value *ret,
                     struct err *err)
{
    if (e->name.root == ROOT_PARAMS)
        return param_value(&e->name, s, ret, err);
    if (e->name.root == ROOT_MATRIX)
        return matrix_value(&e->name, s, ret, err);
    if (!s->resolve)
        return err_set(err, ERR_INVALID, 0, "%s is not known here", expr_root_name(e->name.root));
    return s->resolve(s->arg, &e->name, ret, err);
}

static int member_of(const struct value *of, struct slice key, struct value *ret, struct err *err)
{
    if (of->type != VALUE_OBJECT)
        return err_set(err, ERR_INVALID, 0, "'%.*s' is asked of %s: only objects have members",
                       (int)key.len, key.data, describe(of).text);
    const struct value *v = value_member(of, key.data, key.len);
    if (!v) {
        CLEANUP(sb_done) struct str names = {0};
        list_names(&names, of->keys, of->count);
        return err_set(err, ERR_INVALID, 0, "there is no member '%.*s'%s%s", (int)key.len, key.data,
                       of->count ? ", only " : ": the object is empty", sb_text(&names));
    }
    bool path = of->path;
    *ret = *v;
    ret->path |= path;
    return 0;
}

/* An index or a key. */
static int at_index(const struct value *of, const struct value *index, struct value *ret,
                    struct err *err)
{
    if (of->type == VALUE_OBJECT && (index->type == VALUE_STRING || index->type == VALUE_NUMBER))
        return member_of(of, index->text, ret, err);
    if (of->type != VALUE_LIST)
        return err_set(err, ERR_INVALID, 0, "[%s] is asked of %s", describe(index).text,
                       describe(of).text);
    char *end = NULL;
    char digits[24] = {0};
    if (value_is_number(index) && index->text.len < sizeof(digits))
        memcpy(digits, index->text.data, index->text.len);
    unsigned long i = strtoul(digits, &end, 10);
    if (end == digits || *end || digits[0] == '-')
        return err_set(err, ERR_INVALID, 0, "a list is indexed by whole numbers from 0, found %s",
                       describe(index).text);
    if (i >= of->count)
        return err_set(err, ERR_INVALID, 0, "there is no item %lu: the list has %u", i, of->count);
    bool path = of->path;
    *ret = of->items[i];
    ret->path |= path;
    return 0;
}

/* `x.*`: the items of a list, the values of an object; of a mapped list, those of each of its items, in one list. */
static int each_of(const struct value *of, bool mapped, const struct scope *s, struct value *ret,
                   struct err *err)
{
    const struct value *from = mapped ? of->items : of;
    uint32_t n = mapped ? of->count : 1;
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (from[i].type != VALUE_LIST && from[i].type != VALUE_OBJECT)
            return err_set(err, ERR_INVALID, 0, ".* needs a list, found %s",
                           describe(&from[i]).text);
        total += from[i].count;
    }
    if (total > UINT32_MAX / sizeof(struct value))
        return err_set(err, ERR_INVALID, 0, ".* makes a list of more than 50 million items");
    struct value list = {.type = VALUE_LIST, .path = of->path};
    list.items = arena_calloc(s->arena, total ? (size_t)total : 1, sizeof(*list.items));
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < from[i].count; k++) {
            list.items[list.count] = from[i].items[k];
            list.items[list.count++].path |= from[i].path;
        }
    }
    *ret = list;
    return 0;
}

/* One member or item of a value; `index` for x[…], else the member's name in e. */
static int pick(const struct expr *e, const struct value *of, const struct value *index,
                struct value *ret, struct err *err)
{
    return index ? at_index(of, index, ret, err) : member_of(of, e->literal.text, ret, err);
}

static int eval_pick(const struct expr *e, const struct scope *s, struct value *ret,
                     struct err *err)
{
    struct value of, index, *by = NULL;
    int rc = eval(e->args[0], s, &of, err);
    if (!rc && e->op == EXPR_INDEX) {
        by = &index;
        rc = eval(e->args[1], s, &index, err);
        if (!rc)
            note_path(s, &index);
    }
    if (rc)
        return rc;
    if (e->op == EXPR_EACH)
        return each_of(&of, e->args[0]->mapped, s, ret, err);
    if (!e->args[0]->mapped)
        return pick(e, &of, by, ret, err);
    struct value list = {.type = VALUE_LIST, .path = of.path, .count = of.count};
    list.items = arena_calloc(s->arena, of.count ? of.count : 1, sizeof(*list.items));
    for (uint32_t i = 0; i < of.count; i++) {
        rc = pick(e, &of.items[i], by, &list.items[i], err);
        if (rc)
            return rc;
    }
    *ret = list;
    return 0;
}

static const char *operator_text(enum expr_op op)
{
    static const char *const texts[EXPR_OP_COUNT] = {
        [EXPR_EQ] = "==", [EXPR_NE] = "!=", [EXPR_LT] = "<",
        [EXPR_LE] = "<=", [EXPR_GT] = ">",  [EXPR_GE] = ">="};
    return texts[op] ? texts[op] : "";
}

static bool has_order(const struct value *v)
{
    return v->type == VALUE_NUMBER || v->type == VALUE_STRING;
}

static int eval_comparison(const struct expr *e, const struct scope *s, struct value *ret,
                           struct err *err)
{
    struct value a, b;
    int order;
    bool comparable;
    int rc = eval(e->args[0], s, &a, err);
    if (!rc)
        rc = eval(e->args[1], s, &b, err);
    if (rc)
        return rc;
    note_path(s, &a);
    note_path(s, &b);
    value_compare(&a, &b, &order, &comparable);
    bool equality = e->op == EXPR_EQ || e->op == EXPR_NE;
    if (!comparable || (!equality && !(has_order(&a) && has_order(&b)))) {
        return err_set(err, ERR_INVALID, 0, "%s cannot compare %s with %s", operator_text(e->op),
                       describe(&a).text, describe(&b).text);
    }
    bool result = e->op == EXPR_EQ   ? order == 0
                  : e->op == EXPR_NE ? order != 0
                  : e->op == EXPR_LT ? order < 0
                  : e->op == EXPR_LE ? order <= 0
                  : e->op == EXPR_GT ? order > 0
                                     : order >= 0;
    *ret = value_bool(result);
    return 0;
}

static int eval_logic(const struct expr *e, const struct scope *s, struct value *ret,
                      struct err *err)
{
    struct value v = value_null();
    for (uint32_t i = 0; i < e->n_args; i++) {
        int rc = eval(e->args[i], s, &v, err);
        if (rc)
            return rc;
        if (value_truthy(&v) == (e->op == EXPR_OR))
            break;
    }
    *ret = v;
    return 0;
}

/* A step's values are strings, so 'false' must not count as true here without a word. */
static int eval_not(const struct expr *e, const struct scope *s, struct value *ret, struct err *err)
{
    struct value v;
    bool b = false;
    int rc = eval(e->args[0], s, &v, err);
    if (rc)
        return rc;
    note_path(s, &v);
    if (v.type != VALUE_NULL && !value_read_bool(&v, &b))
        return err_set(err, ERR_INVALID, 0, "! needs true or false, found %s", describe(&v).text);
    *ret = value_bool(!b);
    return 0;
}

static int eval_call(const struct expr *e, const struct scope *s, struct value *ret,
                     struct err *err)
{
    struct value few[FEW_ARGS];
    struct value *args = few;
    if (e->function == FN_DEFAULT) {
        int rc = eval(e->args[0], s, ret, err);
        return rc == 1 ? eval(e->args[1], s, ret, err) : rc;
    }
    if (e->n_args > FEW_ARGS)
        args = arena_calloc(s->arena, e->n_args, sizeof(*args));
    for (uint32_t i = 0; i < e->n_args; i++) {
        int rc = eval(e->args[i], s, &args[i], err);
        if (rc)
            return rc;
    }
    return expr_call(e, s, args, ret, err);
}

static int eval(const struct expr *e, const struct scope *s, struct value *ret, struct err *err)
{
    switch (e->op) {
    case EXPR_LITERAL:
        *ret = e->literal;
        return 0;
    case EXPR_NAME:
        return eval_name(e, s, ret, err);
    case EXPR_MEMBER:
    case EXPR_INDEX:
    case EXPR_EACH:
        return eval_pick(e, s, ret, err);
    case EXPR_CALL:
        return eval_call(e, s, ret, err);
    case EXPR_NOT:
        return eval_not(e, s, ret, err);
    case EXPR_AND:
    case EXPR_OR:
        return eval_logic(e, s, ret, err);
    default:
        return eval_comparison(e, s, ret, err);
    }
}

int expr_eval(const struct expr *e, const struct scope *s, struct value *ret, struct err *err)
{
    struct value v;
    int rc = eval(e, s, &v, err);
    if (rc < 0) {
        /* The expression is named on one line, however it was written. */
        int n = shown_length(e->source, 2 * TEXT_SHOWN);
        err_wrap(err, "${{ %.*s%s }}", n, e->source.data, (size_t)n < e->source.len ? "…" : "");
        return rc;
    }
    if (!rc)
        *ret = v;
    return rc;
}
