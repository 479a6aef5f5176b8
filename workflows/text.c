/* SPDX-License-Identifier: Apache-2.0 */
/* Texts with ${{ }} in them: parsing, and evaluation to a value or a string. Scripts and argument lists are text_render.c. */
#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "workflows/expr_impl.h"
#include "workflows/shell.h"

#include <string.h>

/* Distinct references are looked for by comparing up to so many, else by a hash map. */
#define FEW_VARIABLES 8

struct text_parser {
    struct text *text;
    struct place place;
    struct arena *arena;
    struct diags *diags;
    struct shell *shell; /* NULL: not a script */
    VEC(struct text_part) parts;
    struct map variables; /* expression source -> number + 1 */
    bool failed;
};

/* memmem() is slower than this on the short texts without any $ that most are. */
static const char *find_open(const char *at, const char *end)
{
    while (at < end && (at = memchr(at, '$', (size_t)(end - at)))) {
        if (end - at >= 3 && at[1] == '{' && at[2] == '{')
            return at;
        at++;
    }
    return NULL;
}

/* The closing }} outside single quotes; NULL: there is none. */
static const char *find_close(const char *at, const char *end)
{
    for (; at + 1 < end; at++) {
        if (*at == '\'') {
            at = memchr(at + 1, '\'', (size_t)(end - at - 1));
            if (!at)
                return NULL;
        } else if (at[0] == '}' && at[1] == '}') {
            return at;
        }
    }
    return NULL;
}

static void add_literal(struct text_parser *p, const char *from, const char *to)
{
    if (from < to)
        *vec_push(&p->parts) = (struct text_part){.literal = from, .len = (uint32_t)(to - from)};
}

static uint32_t variable_number(struct text_parser *p, struct slice source)
{
    struct text *t = p->text;
    if (t->n_variables <= FEW_VARIABLES) {
        for (size_t i = 0; i < p->parts.len; i++) {
            const struct text_part *part = &p->parts.items[i];
            if (part->expr && slice_eq(part->expr->source, source))
                return part->variable;
        }
    } else {
        if (!p->variables.len) {
            for (size_t i = 0; i < p->parts.len; i++) {
                struct text_part *part = &p->parts.items[i];
                if (part->expr)
                    map_put(&p->variables, part->expr->source.data, part->expr->source.len,
                            part->expr);
            }
        }
        ptrdiff_t found = map_find(&p->variables, source.data, source.len);
        if (found >= 0)
            return (uint32_t)found;
        map_put(&p->variables, source.data, source.len, t);
    }
    return t->n_variables++;
}

/* A reference from `open` to `close`. */
static void add_reference(struct text_parser *p, const char *open, const char *close)
{
    const char *source = p->text->source;
    size_t from = (size_t)(open - source), to = (size_t)(close - source);
    struct text_part part = {0};
    struct span at = place_at(&p->place, from, utf8_count(open, to + 2 - from));
    part.expr = expr_parse_range(source, from + 3, to, &p->place, p->arena, p->diags);
    if (p->shell) {
        const char *problem = shell_reference(p->shell, from, to + 2, &part.quote, &part.word);
        if (problem) {
            p->failed = true;
            diag_error(p->diags, at, "quoting", "%s", problem);
        }
    }
    if (!part.expr) {
        p->failed = true;
        return;
    }
    part.variable = variable_number(p, part.expr->source);
    p->text->uses |= expr_uses(part.expr);
    *vec_push(&p->parts) = part;
}

static void parse_parts(struct text_parser *p, const char *open)
{
    const char *at = p->text->source, *end = at + p->text->len;
    while (open) {
        const char *close = find_close(open + 3, end);
        if (!close) {
            size_t offset = (size_t)(open - p->text->source);
            diag_error(
                p->diags, place_at(&p->place, offset, 3), "expression",
                "'${{' is not closed: '}}' is missing (write ${{ '${{' }} for the characters "
                "themselves)");
            p->failed = true;
            return;
        }
        add_literal(p, at, open);
        add_reference(p, open, close);
        at = close + 2;
        open = find_open(at, end);
    }
    add_literal(p, at, end);
}

struct text *text_parse(const char *source, size_t len, struct span at, bool script,
                        struct arena *a, struct diags *d)
{
    struct text *t = arena_alloc(a, sizeof(*t) + len + 1);
    char *copy = (char *)(t + 1);
    memcpy(copy, source, len);
    t->source = copy;
    t->len = (uint32_t)len;
    t->span = at;
    const char *open = find_open(copy, copy + len);
    if (!open)
        return t;
    struct shell shell;
    struct text_parser p = {.text = t, .arena = a, .diags = d, .shell = script ? &shell : NULL};
    place_init(&p.place, copy, len, at, d);
    if (script)
        shell_init(&shell, copy, len);
    parse_parts(&p, open);
    t->n_parts = (uint32_t)p.parts.len;
    if (p.parts.len)
        t->parts = arena_memdup(a, p.parts.items, p.parts.len * sizeof(*p.parts.items));
    if (script)
        shell_done(&shell);
    map_done(&p.variables);
    vec_done(&p.parts);
    return p.failed ? NULL : t;
}

struct expr *expr_parse_bare(const char *source, size_t len, struct span at, struct arena *a,
                             struct diags *d)
{
    char *copy = arena_alloc(a, len + 1);
    memcpy(copy, source, len);
    struct place place;
    place_init(&place, copy, len, at, d);
    size_t begin = 0, end = len;
    while (begin < end && strchr(" \t\r\n", copy[begin]))
        begin++;
    while (end > begin && strchr(" \t\r\n", copy[end - 1]))
        end--;
    if (end - begin < 3 || memcmp(copy + begin, "${{", 3) != 0)
        return expr_parse_range(copy, begin, end, &place, a, d);
    const char *close = find_close(copy + begin + 3, copy + end);
    if (!close || close + 2 != copy + end) {
        diag_error(d, place_at(&place, begin, 3), "expression",
                   close
                       ? "a condition is one expression: put all of it between '${{' and '}}', or "
                         "leave both out"
                       : "'${{' is not closed: '}}' is missing");
        return NULL;
    }
    return expr_parse_range(copy, begin + 3, (size_t)(close - copy), &place, a, d);
}

void text_each_name(struct text *t, void (*fn)(struct expr *name, bool in_default, void *arg),
                    void *arg)
{
    for (uint32_t i = 0; i < t->n_parts; i++) {
        if (t->parts[i].expr)
            expr_each_name(t->parts[i].expr, fn, arg);
    }
}

bool text_is_constant(const struct text *t)
{
    return t->n_parts == 0;
}

/* Appends one part's value; lists and objects have no one way to stand in text. */
static int add_part(const struct text_part *part, const struct scope *s, struct str *out,
                    bool *ret_path, struct err *err)
{
    struct value v;
    if (!part->expr) {
        sb_add(out, part->literal, part->len);
        return 0;
    }
    int rc = expr_eval(part->expr, s, &v, err);
    if (rc)
        return rc;
    if (v.type == VALUE_LIST || v.type == VALUE_OBJECT) {
        return err_set(err, ERR_INVALID, 0,
                       "${{ %.*s }} is %s and cannot stand in text: use %stoJSON()",
                       (int)part->expr->source.len, part->expr->source.data,
                       value_type_name(v.type), v.type == VALUE_LIST ? "join() or " : "");
    }
    value_interpolate(&v, out);
    *ret_path |= v.path;
    return 0;
}

static int add_parts(const struct text *t, const struct scope *s, struct str *out, bool *ret_path,
                     struct err *err)
{
    for (uint32_t i = 0; i < t->n_parts; i++) {
        int rc = add_part(&t->parts[i], s, out, ret_path, err);
        if (rc)
            return rc;
    }
    return 0;
}

int text_eval(const struct text *t, const struct scope *s, struct value *ret, struct err *err)
{
    if (!t->n_parts) {
        *ret = value_slice(slice_of(t->source, t->len));
        return 0;
    }
    if (t->n_parts == 1 && t->parts[0].expr)
        return expr_eval(t->parts[0].expr, s, ret, err);
    CLEANUP(sb_done) struct str out = {0};
    bool path = false;
    int rc = add_parts(t, s, &out, &path, err);
    if (rc)
        return rc;
    *ret = value_slice(slice_of(arena_memdup(s->arena, sb_text(&out), out.len + 1), out.len));
    ret->path = path;
    return 0;
}

int text_eval_string(const struct text *t, const struct scope *s, struct str *out, struct err *err)
{
    bool path = false;
    if (!t->n_parts) {
        sb_add(out, t->source, t->len);
        return 0;
    }
    size_t before = out->len;
    int rc = add_parts(t, s, out, &path, err);
    if (!rc && memchr(sb_text(out) + before, '\0', out->len - before))
        rc = err_set(err, ERR_INVALID, 0, "a value in this text holds a NUL byte");
    if (rc)
        sb_truncate(out, before);
    return rc;
}
