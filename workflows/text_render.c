/* SPDX-License-Identifier: Apache-2.0 */
/* Texts as shell scripts and as argument lists. A script's values never become code: each is assigned to a variable, single-quoted, in front of the script, and
 * the variable stands, quoted for its place, where the reference stood. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/vec.h"
#include "workflows/expr_impl.h"
#include "workflows/value_impl.h"

#include <stdlib.h>
#include <string.h>

/* One distinct reference of a script. */
struct variable {
    struct value value;
    bool evaluated;
    bool joined;   /* wf_N is needed */
    bool expanded; /* wf_N_0, wf_N_1 … are needed */
};

static int fail(const struct expr *e, struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID, 0, "${{ %.*s }} %s", (int)e->source.len, e->source.data, what);
}

static bool is_scalar(const struct value *v)
{
    return v->type != VALUE_LIST && v->type != VALUE_OBJECT;
}

static bool has_nul(const struct value *v)
{
    return v->text.len && memchr(v->text.data, '\0', v->text.len);
}

/* What may go into a script or an argument: scalars, and lists of scalars. */
static int check_value(const struct expr *e, const struct value *v, struct err *err)
{
    if (v->type == VALUE_OBJECT)
        return fail(e, err, "is an object: use toJSON(), or name one of its members");
    if (has_nul(v))
        return fail(e, err, "holds a NUL byte");
    for (uint32_t i = 0; v->type == VALUE_LIST && i < v->count; i++) {
        if (!is_scalar(&v->items[i]))
            return fail(e, err, "is a list of lists or objects: use toJSON()");
        if (has_nul(&v->items[i]))
            return fail(e, err, "holds a NUL byte");
    }
    return 0;
}

/* How a variable is needed at one place, and whether its value may stand there. */
static int note_use(const struct text_part *part, struct variable *v, struct err *err)
{
    bool list = v->value.type == VALUE_LIST;
    if (part->quote == QUOTE_NUMBER && !value_is_number(&v->value))
        return fail(part->expr, err,
                    "stands in shell arithmetic, where only a number can: a shell would evaluate "
                    "anything else");
    if (list && part->quote == QUOTE_NONE && !part->word)
        return fail(part->expr, err,
                    "is a list and touches other text: put blanks around it for one word per "
                    "element, or double quotes for one word in all");
    if (list && part->quote == QUOTE_NONE)
        v->expanded = true;
    else
        v->joined = true;
    return 0;
}

static int eval_variables(const struct text *t, const struct scope *s, struct variable *variables,
                          struct err *err)
{
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const struct text_part *part = &t->parts[i];
        if (!part->expr)
            continue;
        struct variable *v = &variables[part->variable];
        int rc = 0;
        if (!v->evaluated)
            rc = expr_eval(part->expr, s, &v->value, err);
        if (!rc && !v->evaluated)
            rc = check_value(part->expr, &v->value, err);
        v->evaluated = true;
        if (!rc)
            rc = note_use(part, v, err);
        if (rc)
            return rc;
    }
    return 0;
}

static void add_joined(const struct value *v, struct str *out)
{
    if (v->type != VALUE_LIST) {
        value_interpolate(v, out);
        return;
    }
    for (uint32_t i = 0; i < v->count; i++) {
        if (i)
            sb_putc(out, ' ');
        value_interpolate(&v->items[i], out);
    }
}

static void add_assignments(const struct variable *v, uint32_t number, struct str *out)
{
    CLEANUP(sb_done) struct str text = {0};
    if (v->joined) {
        add_joined(&v->value, &text);
        sb_printf(out, "wf_%u=", number);
        sb_shell_quote(out, sb_text(&text), text.len);
        sb_putc(out, '\n');
    }
    for (uint32_t i = 0; v->expanded && i < v->value.count; i++) {
        sb_clear(&text);
        value_interpolate(&v->value.items[i], &text);
        sb_printf(out, "wf_%u_%u=", number, i);
        sb_shell_quote(out, sb_text(&text), text.len);
        sb_putc(out, '\n');
    }
}

static void add_variable(const struct text_part *part, const struct variable *v, struct str *out)
{
    static const char *const before[] = {
        [QUOTE_NONE] = "\"", [QUOTE_DOUBLE] = "", [QUOTE_SINGLE] = "'\"", [QUOTE_NUMBER] = ""};
    static const char *const after[] = {
        [QUOTE_NONE] = "\"", [QUOTE_DOUBLE] = "", [QUOTE_SINGLE] = "\"'", [QUOTE_NUMBER] = ""};
    if (v->value.type == VALUE_LIST && part->quote == QUOTE_NONE) {
        for (uint32_t i = 0; i < v->value.count; i++)
            sb_printf(out, "%s\"${wf_%u_%u}\"", i ? " " : "", part->variable, i);
        return;
    }
    sb_printf(out, "%s${wf_%u}%s", before[part->quote], part->variable, after[part->quote]);
}

/* Another program's script: the loader let only harmless values in. */
static int eval_plain(const struct text *t, const struct scope *s, struct str *out, struct err *err)
{
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const struct text_part *part = &t->parts[i];
        struct value v;
        if (!part->expr) {
            sb_add(out, part->literal, part->len);
            continue;
        }
        int rc = expr_eval(part->expr, s, &v, err);
        if (!rc)
            rc = check_value(part->expr, &v, err);
        if (rc)
            return rc;
        add_joined(&v, out);
    }
    return 0;
}

int text_eval_script(const struct text *t, const struct scope *s, bool posix, struct str *out,
                     struct err *err)
{
    if (!t->n_parts) {
        sb_add(out, t->source, t->len);
        return 0;
    }
    size_t before = out->len;
    if (!posix) {
        int rc = eval_plain(t, s, out, err);
        if (rc)
            sb_truncate(out, before);
        return rc;
    }
    CLEANUP(cleanup_free) struct variable *variables = xcalloc(t->n_variables, sizeof(*variables));
    int rc = eval_variables(t, s, variables, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < t->n_variables; i++)
        add_assignments(&variables[i], i, out);
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const struct text_part *part = &t->parts[i];
        if (part->expr)
            add_variable(part, &variables[part->variable], out);
        else
            sb_add(out, part->literal, part->len);
    }
    return 0;
}

typedef VEC(char *) words;

static void add_word(words *list, const struct value *v, const struct scope *s)
{
    CLEANUP(sb_done) struct str text = {0};
    value_interpolate(v, &text);
    *vec_push(list) = arena_strndup(s->arena, sb_text(&text), text.len);
}

static int add_element(words *list, const struct text *t, const struct scope *s, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    struct value v;
    if (t->n_parts != 1 || !t->parts[0].expr) {
        int rc = text_eval_string(t, s, &text, err);
        if (!rc)
            *vec_push(list) = arena_strndup(s->arena, sb_text(&text), text.len);
        return rc;
    }
    const struct expr *e = t->parts[0].expr;
    int rc = expr_eval(e, s, &v, err);
    if (!rc)
        rc = check_value(e, &v, err);
    if (rc)
        return rc;
    if (v.type != VALUE_LIST)
        add_word(list, &v, s);
    for (uint32_t i = 0; v.type == VALUE_LIST && i < v.count; i++)
        add_word(list, &v.items[i], s);
    return 0;
}

int text_eval_args(const struct text *const *elements, uint32_t count, const struct scope *s,
                   char ***ret_args, uint32_t *ret_count, struct err *err)
{
    words list = {0};
    int rc = 0;
    for (uint32_t i = 0; i < *ret_count; i++)
        *vec_push(&list) = (*ret_args)[i];
    for (uint32_t i = 0; i < count && !rc; i++)
        rc = add_element(&list, elements[i], s, err);
    if (!rc) {
        *ret_count = (uint32_t)list.len;
        *vec_push(&list) = NULL;
        *ret_args = arena_memdup(s->arena, list.items, list.len * sizeof(char *));
    }
    vec_done(&list);
    return rc;
}
