/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens -> tree, by recursive descent: || over && over one comparison over ! over members. Two caps hold together: the parser's own nesting and the depth of
 * the tree, so that every walk over a tree may recurse. Chains of && and of || are one node each. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "workflows/expr_impl.h"

#include <string.h>

struct parser {
    struct lexer lexer;
    unsigned nesting;
};

typedef VEC(struct expr *) exprs;

static struct expr *parse_or(struct parser *p);

/* Only the first problem of an expression is told: what follows it is guesswork. */
__attribute__((format(printf, 3, 4))) static struct expr *fail(struct parser *p, struct span at,
                                                               const char *fmt, ...)
{
    struct lexer *l = &p->lexer;
    if (!l->failed) {
        CLEANUP(sb_done) struct str message = {0};
        va_list ap;
        va_start(ap, fmt);
        sb_vprintf(&message, fmt, ap);
        va_end(ap);
        diag_error(l->diags, at, "expression", "%s", sb_text(&message));
    }
    l->failed = true;
    return NULL;
}

static bool at_operator(const struct parser *p, int op)
{
    return p->lexer.token.kind == TOKEN_OPERATOR && p->lexer.token.op == op;
}

static bool take_operator(struct parser *p, int op)
{
    if (!at_operator(p, op))
        return false;
    lexer_next(&p->lexer);
    return true;
}

/* What stands there instead, for "expected …, found …". */
static const char *found(const struct parser *p)
{
    const struct lexer *l = &p->lexer;
    if (l->token.kind == TOKEN_END)
        return "the end of the expression";
    return arena_printf(l->diags->arena, "%.*s", (int)(l->token.end - l->token.begin),
                        l->source + l->token.begin);
}

static struct expr *new_expr(struct parser *p, enum expr_op op, struct span span)
{
    struct expr *e = arena_calloc(p->lexer.arena, 1, sizeof(*e));
    e->op = op;
    e->span = span;
    e->depth = 1;
    return e;
}

static void set_args(struct parser *p, struct expr *e, struct expr **args, size_t count)
{
    e->n_args = (uint32_t)count;
    if (!count)
        return;
    e->args = arena_memdup(p->lexer.arena, args, count * sizeof(struct expr *));
    for (size_t i = 0; i < count; i++) {
        if (args[i]->depth >= e->depth)
            e->depth = (uint8_t)(args[i]->depth + 1);
    }
}

/* Gives a finished node its source and span, from source[begin] to the last token taken; NULL when it is too deep. */
static struct expr *finish(struct parser *p, struct expr *e, size_t begin)
{
    struct lexer *l = &p->lexer;
    e->source = slice_of(l->source + begin, l->last_end - begin);
    e->span.len = (uint32_t)utf8_count(e->source.data, e->source.len);
    if (e->depth > EXPR_MAX_DEPTH)
        return fail(p, e->span, "nested deeper than %d levels", EXPR_MAX_DEPTH);
    return e;
}

static struct expr *literal(struct parser *p, struct value v)
{
    struct expr *e = new_expr(p, EXPR_LITERAL, p->lexer.token.span);
    size_t begin = p->lexer.token.begin;
    e->literal = v;
    lexer_next(&p->lexer);
    return finish(p, e, begin);
}

/* A name's text, kept NUL-terminated for those who read it later. */
static const char *keep(struct parser *p, struct slice s)
{
    char *copy = arena_alloc(p->lexer.arena, s.len + 1);
    memcpy(copy, s.data, s.len);
    return copy;
}

/* .name or ['name'] at the current token; NULL: neither stands there, or it is malformed. */
static const char *take_member(struct parser *p, struct span *ret_span)
{
    struct lexer *l = &p->lexer;
    if (at_operator(p, '.')) {
        struct lexer before = *l;
        struct place place = *l->place;
        lexer_next(l);
        if (l->token.kind == TOKEN_NAME) {
            const char *name = keep(p, l->token.text);
            *ret_span = l->token.span;
            lexer_next(l);
            return name;
        }
        if (!l->failed) { /* .* or a slip: the caller's matter */
            *l = before;
            *l->place = place;
        }
        return NULL;
    }
    if (!at_operator(p, '['))
        return NULL;
    size_t next = l->at;
    while (next < l->end && (l->source[next] == ' ' || l->source[next] == '\n'))
        next++;
    if (next == l->end || l->source[next] != '\'')
        return NULL;
    lexer_next(l);
    struct token t = l->token;
    if (t.kind != TOKEN_STRING)
        return NULL;
    lexer_next(l);
    if (!take_operator(p, ']')) {
        fail(p, l->token.span, "expected ']' after %.*s, found %s", (int)(t.end - t.begin),
             l->source + t.begin, found(p));
        return NULL;
    }
    if (memchr(t.text.data, '\0', t.text.len)) {
        fail(p, t.span, "a name cannot hold a NUL");
        return NULL;
    }
    *ret_span = t.span;
    return keep(p, t.text);
}

/* After `steps`. */
static struct expr *step_name(struct parser *p, struct expr *e, size_t begin)
{
    struct span at = e->span;
    e->name.branch = take_member(p, &at);
    if (!e->name.branch)
        return fail(p, e->span,
                    "name a step after 'steps': steps.NAME or steps['NAME[axis=value]']");
    const char *field = take_member(p, &at);
    if (!field) {
        return fail(p, at,
                    "say what is wanted of step '%s': steps.%s.outputs.NAME, .values.NAME, "
                    ".metrics, .status, .cached, .models or .endpoint",
                    e->name.branch, e->name.branch);
    }
    const char *fields[FIELD_COUNT];
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        fields[i] = step_field_name((enum step_field)i);
        if (text_eq(field, fields[i]))
            e->name.field = (enum step_field)i;
    }
    if (p->lexer.failed)
        return NULL;
    if (!text_eq(field, fields[e->name.field])) {
        const char *nearest = suggest_nearest(field, fields, FIELD_COUNT);
        fail(p, at,
             "a step has no '%s', only outputs, values, metrics, status, cached, models and "
             "endpoint",
             field);
        diag_did_you_mean(p->lexer.diags, nearest);
        return NULL;
    }
    if (e->name.field == FIELD_OUTPUTS || e->name.field == FIELD_VALUES) {
        e->name.text = take_member(p, &at);
        if (!e->name.text) {
            return fail(p, at, "name one of the step's %s: steps.%s.%s.NAME", field, e->name.branch,
                        field);
        }
    }
    return finish(p, e, begin);
}

static struct expr *unknown_root(struct parser *p, const struct token *t, const char *word)
{
    if (p->lexer.failed)
        return NULL;
    const char *words[ROOT_COUNT];
    for (size_t i = 0; i < ROOT_COUNT; i++)
        words[i] = expr_root_name((enum expr_root)i);
    if (text_eq(word, "secrets")) {
        return fail(p, t->span,
                    "secrets are handed to a step under 'secrets:' and read from its "
                    "environment, never written into text");
    }
    fail(p, t->span,
         "'%s' is not known here: names begin with params, env, matrix, inputs, outputs, "
         "steps, source, model, replica or run; strings stand in single quotes",
         word);
    diag_did_you_mean(p->lexer.diags, suggest_nearest(word, words, ROOT_COUNT));
    return NULL;
}

static struct expr *parse_name(struct parser *p, const struct token *t)
{
    const char *word = keep(p, t->text);
    struct expr *e = new_expr(p, EXPR_NAME, t->span);
    enum expr_root root = 0;
    while (root < ROOT_COUNT && !text_eq(word, expr_root_name(root)))
        root++;
    if (root == ROOT_COUNT)
        return unknown_root(p, t, word);
    e->name = (struct expr_name){.root = root, .step = UINT32_MAX, .member = UINT32_MAX};
    if (root == ROOT_STEPS)
        return step_name(p, e, t->begin);
    struct span at;
    e->name.text = take_member(p, &at);
    if (!e->name.text && root != ROOT_PARAMS && root != ROOT_MATRIX)
        return fail(p, t->span, "'%s' cannot stand alone: write %s.NAME", word, word);
    return finish(p, e, t->begin);
}

static bool check_format(struct parser *p, const struct expr *e)
{
    const struct expr *format = e->args[0];
    struct err err = {0};
    if (format->op != EXPR_LITERAL || format->literal.type != VALUE_STRING ||
        !format_apply(format->literal.text, NULL, e->n_args - 1, NULL, &err))
        return true;
    fail(p, format->span, "%s", err.msg);
    return false;
}

static bool check_count(struct parser *p, const struct expr *e)
{
    const struct function_info *f = &expr_functions[e->function];
    if (e->n_args >= f->min_args && e->n_args <= f->max_args)
        return e->function != FN_FORMAT || check_format(p, e);
    const char *bound = f->min_args == f->max_args ? ""
                        : e->n_args < f->min_args  ? "at least "
                                                   : "at most ";
    uint32_t wanted = e->n_args < f->min_args ? f->min_args : f->max_args;
    fail(p, e->span, "%s() takes %s%u argument%s, here are %u", f->name, bound, wanted,
         wanted == 1 ? "" : "s", e->n_args);
    return false;
}

static bool find_function(struct parser *p, const struct token *t, enum expr_function *ret)
{
    const char *names[FN_COUNT];
    const char *word = keep(p, t->text);
    for (size_t i = 0; i < FN_COUNT; i++) {
        names[i] = expr_functions[i].name;
        if (text_eq(word, names[i])) {
            *ret = (enum expr_function)i;
            return true;
        }
    }
    fail(p, t->span, "there is no function '%s'", word);
    diag_did_you_mean(p->lexer.diags, suggest_nearest(word, names, FN_COUNT));
    return false;
}

static bool parse_args(struct parser *p, exprs *args)
{
    if (take_operator(p, ')'))
        return true;
    for (;;) {
        struct expr *arg = parse_or(p);
        if (!arg)
            return false;
        *vec_push(args) = arg;
        if (take_operator(p, ')'))
            return true;
        if (!take_operator(p, ',')) {
            fail(p, p->lexer.token.span, "expected ',' or ')', found %s", found(p));
            return false;
        }
    }
}

/* At the opening parenthesis after `t`. */
static struct expr *parse_call(struct parser *p, const struct token *t)
{
    struct expr *e = new_expr(p, EXPR_CALL, t->span);
    exprs args = {0};
    if (!find_function(p, t, &e->function))
        return NULL;
    lexer_next(&p->lexer);
    if (parse_args(p, &args)) {
        set_args(p, e, args.items, args.len);
        e = finish(p, e, t->begin);
        if (e && !check_count(p, e))
            e = NULL;
    } else {
        e = NULL;
    }
    vec_done(&args);
    return e;
}

static struct expr *parse_group(struct parser *p)
{
    struct span open = p->lexer.token.span;
    size_t begin = p->lexer.token.begin;
    lexer_next(&p->lexer);
    struct expr *e = parse_or(p);
    if (!e)
        return NULL;
    if (!take_operator(p, ')'))
        return fail(p, open, "this '(' is not closed");
    e->mapped = false;
    e->span = open;
    return finish(p, e, begin);
}

static struct expr *parse_primary(struct parser *p)
{
    struct token t = p->lexer.token;
    switch (t.kind) {
    case TOKEN_NUMBER:
        return literal(p, value_number_text(t.text));
    case TOKEN_STRING:
        return literal(p, value_slice(t.text));
    case TOKEN_NAME:
        if (slice_eq(t.text, slice_of("true", 4)) || slice_eq(t.text, slice_of("false", 5)))
            return literal(p, value_bool(t.text.len == 4));
        if (slice_eq(t.text, slice_of("null", 4)))
            return literal(p, value_null());
        lexer_next(&p->lexer);
        return at_operator(p, '(') ? parse_call(p, &t) : parse_name(p, &t);
    case TOKEN_OPERATOR:
        if (t.op == '(')
            return parse_group(p);
        break;
    case TOKEN_END:
        break;
    }
    return fail(p, t.span, "expected a value, found %s", found(p));
}

static struct expr *parse_index(struct parser *p, struct expr *of, size_t begin)
{
    struct span open = p->lexer.token.span;
    struct expr *args[2] = {of};
    lexer_next(&p->lexer);
    args[1] = parse_or(p);
    if (!args[1])
        return NULL;
    if (!take_operator(p, ']'))
        return fail(p, open, "this '[' is not closed");
    struct expr *e = new_expr(p, EXPR_INDEX, of->span);
    e->mapped = of->mapped;
    set_args(p, e, args, 2);
    return finish(p, e, begin);
}

static struct expr *parse_member(struct parser *p, struct expr *of, size_t begin)
{
    lexer_next(&p->lexer);
    struct token t = p->lexer.token;
    bool each = at_operator(p, '*');
    if (!each && t.kind != TOKEN_NAME)
        return fail(p, t.span,
                    "expected a name after '.', found %s (other keys: ['key'], items: [0])",
                    found(p));
    struct expr *e = new_expr(p, each ? EXPR_EACH : EXPR_MEMBER, of->span);
    e->mapped = each || of->mapped;
    if (!each)
        e->literal = value_slice(t.text);
    lexer_next(&p->lexer);
    set_args(p, e, &of, 1);
    return finish(p, e, begin);
}

static struct expr *parse_postfix(struct parser *p)
{
    size_t begin = p->lexer.token.begin;
    struct expr *e = parse_primary(p);
    while (e && !p->lexer.failed) {
        if (at_operator(p, '.'))
            e = parse_member(p, e, begin);
        else if (at_operator(p, '['))
            e = parse_index(p, e, begin);
        else
            break;
    }
    return p->lexer.failed ? NULL : e;
}

static struct expr *parse_unary(struct parser *p)
{
    if (!at_operator(p, '!'))
        return parse_postfix(p);
    struct token t = p->lexer.token;
    if (++p->nesting > EXPR_MAX_DEPTH)
        return fail(p, t.span, "nested deeper than %d levels", EXPR_MAX_DEPTH);
    lexer_next(&p->lexer);
    struct expr *arg = parse_unary(p);
    p->nesting--;
    if (!arg)
        return NULL;
    struct expr *e = new_expr(p, EXPR_NOT, t.span);
    set_args(p, e, &arg, 1);
    return finish(p, e, t.begin);
}

static enum expr_op comparison(const struct parser *p)
{
    if (p->lexer.token.kind != TOKEN_OPERATOR)
        return EXPR_OP_COUNT;
    switch (p->lexer.token.op) {
    case OP_EQ:
        return EXPR_EQ;
    case OP_NE:
        return EXPR_NE;
    case '<':
        return EXPR_LT;
    case OP_LE:
        return EXPR_LE;
    case '>':
        return EXPR_GT;
    case OP_GE:
        return EXPR_GE;
    default:
        return EXPR_OP_COUNT;
    }
}

static struct expr *parse_comparison(struct parser *p)
{
    size_t begin = p->lexer.token.begin;
    struct expr *args[2];
    args[0] = parse_unary(p);
    enum expr_op op = comparison(p);
    if (!args[0] || op == EXPR_OP_COUNT)
        return args[0];
    lexer_next(&p->lexer);
    args[1] = parse_unary(p);
    if (!args[1])
        return NULL;
    if (comparison(p) != EXPR_OP_COUNT)
        return fail(p, p->lexer.token.span,
                    "comparisons do not chain: join two of them by &&, or use parentheses");
    struct expr *e = new_expr(p, op, args[0]->span);
    set_args(p, e, args, 2);
    return finish(p, e, begin);
}

/* operand (op operand)*, as one node. */
static struct expr *parse_chain(struct parser *p, struct expr *(*operand)(struct parser *), int op,
                                enum expr_op node)
{
    size_t begin = p->lexer.token.begin;
    struct expr *first = operand(p);
    if (!first || !at_operator(p, op))
        return first;
    exprs args = {0};
    struct expr *e = NULL;
    *vec_push(&args) = first;
    while (take_operator(p, op)) {
        struct expr *next = operand(p);
        if (!next)
            break;
        *vec_push(&args) = next;
    }
    if (!p->lexer.failed) {
        e = new_expr(p, node, first->span);
        set_args(p, e, args.items, args.len);
        e = finish(p, e, begin);
    }
    vec_done(&args);
    return e;
}

static struct expr *parse_and(struct parser *p)
{
    return parse_chain(p, parse_comparison, OP_AND, EXPR_AND);
}

static struct expr *parse_or(struct parser *p)
{
    if (++p->nesting > EXPR_MAX_DEPTH)
        return fail(p, p->lexer.token.span, "nested deeper than %d levels", EXPR_MAX_DEPTH);
    struct expr *e = parse_chain(p, parse_and, OP_OR, EXPR_OR);
    p->nesting--;
    return e;
}

struct expr *expr_parse_range(const char *source, size_t begin, size_t end, struct place *place,
                              struct arena *a, struct diags *d)
{
    struct parser p = {.lexer = {.source = source,
                                 .at = begin,
                                 .end = end,
                                 .last_end = begin,
                                 .place = place,
                                 .arena = a,
                                 .diags = d}};
    lexer_next(&p.lexer);
    if (p.lexer.token.kind == TOKEN_END && !p.lexer.failed)
        return fail(&p, p.lexer.token.span, "there is no expression between '${{' and '}}'");
    struct expr *e = parse_or(&p);
    if (p.lexer.failed)
        return NULL;
    if (p.lexer.token.kind != TOKEN_END) {
        const struct token *t = &p.lexer.token;
        bool word = t->kind == TOKEN_NAME;
        if (word && (slice_eq(t->text, slice_of("and", 3)) || slice_eq(t->text, slice_of("or", 2))))
            return fail(&p, t->span, "write %s", t->text.len == 3 ? "&&" : "||");
        return fail(&p, t->span, "expected an operator or the end of the expression, found %s",
                    found(&p));
    }
    return e;
}
