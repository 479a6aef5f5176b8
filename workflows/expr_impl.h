/* SPDX-License-Identifier: Apache-2.0 */
/* What the expression files share: tokens, the parser's entry, the functions. */
#ifndef WF_WORKFLOWS_EXPR_IMPL_H
#define WF_WORKFLOWS_EXPR_IMPL_H

#include "workflows/expr.h"
#include "workflows/place.h"

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_OPERATOR /* op holds it */
};
/* Operators are named by their characters: '.', '[', … and these for two. */
enum { OP_EQ = 256, OP_NE, OP_LE, OP_GE, OP_AND, OP_OR };

struct token {
    enum token_kind kind;
    int op;
    size_t begin, end; /* in the source */
    struct slice text; /* a string without its quotes and escapes, in the arena */
    struct span span;
};

/* Reads one expression, source[at…end). */
struct lexer {
    const char *source; /* of the whole text, in the arena */
    size_t at, end;
    size_t last_end; /* where the token before the current one ended */
    struct place *place;
    struct arena *arena;
    struct diags *diags;
    struct token token; /* the current one */
    bool failed;        /* a diagnostic was made */
};

void lexer_next(struct lexer *l);

/* Parses source[begin…end) as one expression; NULL: diagnostics were made. */
struct expr *expr_parse_range(const char *source, size_t begin, size_t end, struct place *place,
                              struct arena *a, struct diags *d);

struct function_info {
    const char *name;
    uint32_t min_args, max_args;
};
extern const struct function_info expr_functions[FN_COUNT];

/* No string grows larger: nested format() and toJSON() could double it at each level. */
#define STRING_MAX ((size_t)64 << 20)

/* Calls a function other than default(), whose argument is lazy. */
int expr_call(const struct expr *e, const struct scope *s, struct value *args, struct value *ret,
              struct err *err);
/* Puts texts[i] for {i}; `out` NULL only checks. */
int format_apply(struct slice format, const struct slice *texts, uint32_t count, struct str *out,
                 struct err *err);

/* A value for a message: "a string ('abc')", shortened. */
struct described {
    char text[96];
};
struct described describe(const struct value *v);
/* Notes that a result depends on how a path reads. */
void note_path(const struct scope *s, const struct value *v);

#endif
