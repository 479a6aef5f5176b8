/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions (language.md "Expressions", semantics 1-6): parsing with names resolved at load time, evaluation against a scope, and texts with `${{ }}` in them.
 * All of it lives in the workflow's arena and points only into it (the arena may be an image). */
#ifndef WF_WORKFLOWS_EXPR_H
#define WF_WORKFLOWS_EXPR_H

#include "workflows/diag.h"
#include "workflows/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;
struct workflow;
struct step;

#define EXPR_MAX_DEPTH 64

/* What a name begins with. */
enum expr_root {
    ROOT_PARAMS,
    ROOT_ENV,
    ROOT_MATRIX,
    ROOT_INPUTS,
    ROOT_OUTPUTS,
    ROOT_STEPS,
    ROOT_SOURCE,
    ROOT_MODEL,
    ROOT_REPLICA,
    ROOT_RUN,
    ROOT_COUNT
};
/* steps.<name>.<field> */
enum step_field {
    FIELD_OUTPUTS,
    FIELD_VALUES,
    FIELD_METRICS,
    FIELD_STATUS,
    FIELD_CACHED,
    FIELD_MODELS,
    FIELD_ENDPOINT,
    FIELD_COUNT
};

enum expr_op {
    EXPR_LITERAL, /* value */
    EXPR_NAME, /* name: resolved reference; further .x and [x] are EXPR_MEMBER / EXPR_INDEX around it */
    EXPR_MEMBER, /* args[0] . text */
    EXPR_INDEX,  /* args[0] [ args[1] ] */
    EXPR_EACH,   /* args[0] .* ; what follows maps over the list */
    EXPR_CALL,   /* function (args) */
    EXPR_NOT,
    EXPR_EQ,
    EXPR_NE,
    EXPR_LT,
    EXPR_LE,
    EXPR_GT,
    EXPR_GE,
    EXPR_AND,
    EXPR_OR,
    EXPR_OP_COUNT
};
enum expr_function {
    FN_SUCCESS,
    FN_FAILURE,
    FN_CANCELLED,
    FN_ALWAYS,
    FN_CONTAINS,
    FN_STARTS_WITH,
    FN_ENDS_WITH,
    FN_JOIN,
    FN_FORMAT,
    FN_FROM_JSON,
    FN_TO_JSON,
    FN_LENGTH,
    FN_DEFAULT,
    FN_BASENAME,
    FN_HASH_FILES,
    FN_COUNT
};

/* A resolved name. `member` is an index where the root has a table (params, inputs, outputs, a step's outputs/values), else UINT32_MAX with `text`.
 * As the parser leaves it: root, and for steps the field (an unknown root or field, or a missing one, is the parser's error); `branch` is the step as written
 * ("train", "train[model=mlp]"), `text` the member's name (NULL: none), `step` and `member` UINT32_MAX. x['k'] with a literal is the same as x.k. The loader
 * (check.c) finds step and member and clears `branch` where it names a whole step. Its span covers the whole name as written, and in a text of several lines
 * columns of later lines count from `at.col`, as in a block scalar. Params not yet resolved are evaluated by text (a matrix is expanded before names are checked). */
struct expr_name {
    enum expr_root root;
    enum step_field field; /* of ROOT_STEPS */
    uint32_t step;         /* of ROOT_STEPS: index into workflow.steps */
    uint32_t member;       /* param, input, output or value index; UINT32_MAX: none, or by text */
    const char *
        branch; /* steps['train[model=mlp]']: the one branch's instance name; NULL: all of the step's */
    const char *text; /* matrix axis, env name, source/model/replica/run member; NULL: none */
    bool covered;     /* of ROOT_STEPS: inside default(), so that it may be absent */
};
struct expr {
    enum expr_op op;
    struct span span;
    enum expr_function function;
    bool mapped;   /* holds .* outside parentheses: what follows maps over its items */
    uint8_t depth; /* of the tree below, at most EXPR_MAX_DEPTH */
    uint32_t n_args;
    struct expr **args;
    struct value literal;
    struct expr_name name;
    struct slice source; /* as written, trimmed */
};

/* What an expression or text uses, as a set. */
enum {
    USES_PARAMS = 1 << ROOT_PARAMS,
    USES_ENV = 1 << ROOT_ENV,
    USES_MATRIX = 1 << ROOT_MATRIX,
    USES_INPUTS = 1 << ROOT_INPUTS,
    USES_OUTPUTS = 1 << ROOT_OUTPUTS,
    USES_STEPS = 1 << ROOT_STEPS,
    USES_SOURCE = 1 << ROOT_SOURCE,
    USES_MODEL = 1 << ROOT_MODEL,
    USES_REPLICA = 1 << ROOT_REPLICA,
    USES_RUN = 1 << ROOT_RUN,
    USES_STATUS = 1 << 16, /* success() … */
    USES_FILES = 1 << 17   /* hashFiles */
};

/* How a part stands in a shell script, for quoting. Here-documents and comments count as QUOTE_DOUBLE; QUOTE_NUMBER is shell arithmetic, where only numbers may
 * go in (a shell would evaluate anything else). */
enum quote { QUOTE_NONE, QUOTE_DOUBLE, QUOTE_SINGLE, QUOTE_NUMBER };
struct text_part {
    const char *literal; /* NULL: an expression */
    uint32_t len;
    enum quote quote; /* of an expression in a script: inside which quotes it stands */
    bool word;        /* of an expression in a script: a whole word, so that a list may expand */
    uint32_t
        variable; /* of an expression: number of the distinct reference (equal sources are one) */
    struct expr *expr;
};
/* A string with ${{ }} in it. Constant texts have no parts. */
struct text {
    const char *source; /* as written, NUL-terminated */
    uint32_t len;
    uint32_t uses;        /* USES_* */
    uint32_t n_variables; /* distinct references */
    uint32_t n_parts;
    struct text_part *parts;
    struct span span;
};

/* What an expression sees. `resolve` answers every name but params and matrix: 0 ok, 1 absent (a skipped or tolerated failed step: only default() absorbs it),
 * negative error. `status` answers success() failure() cancelled(). `hash_files` answers hashFiles(). NULL callbacks: names are errors. */
struct scope {
    struct arena *arena; /* results live here */
    const struct workflow *wf;
    const struct step *step;      /* NULL at top level */
    const struct value *params;   /* by param index */
    const struct matrix_row *row; /* NULL: no matrix */
    int (*resolve)(void *arg, const struct expr_name *name, struct value *ret, struct err *err);
    int (*status)(void *arg, enum expr_function which, bool *ret, struct err *err);
    int (*hash_files)(void *arg, const struct value *patterns, uint32_t count, struct value *ret,
                      struct err *err);
    void *arg;
    bool *
        path_dependent; /* set to true when a result depends on how a path of this machine reads (compared, measured, parsed): not to be memoized. NULL: unasked */
    bool *used_params;  /* by param index: set to true when read. NULL: unasked */
};

/* Evaluates. 0; 1: absent (see above); negative: err says what, naming the expression. */
int expr_eval(const struct expr *e, const struct scope *s, struct value *ret, struct err *err);
/* A text as one string. A text that is one whole ${{ }} keeps its type in ret (semantics 3). 0, 1, negative as above. */
int text_eval(const struct text *t, const struct scope *s, struct value *ret, struct err *err);
int text_eval_string(const struct text *t, const struct scope *s, struct str *out, struct err *err);
bool text_is_constant(const struct text *t);

/* Renders a script for the shell (semantics 1): assignments `wf_0='…'` first (one per distinct reference; a list outside quotes becomes one variable per
 * element), a newline, then the text with each reference replaced by its variable, quoted for its place. With `posix` false (another shell) values go in as they
 * are; the loader has refused all but numbers, booleans, enums and paths there. */
int text_eval_script(const struct text *t, const struct scope *s, bool posix, struct str *out,
                     struct err *err);
/* An argument list (semantics 1): an element that is one whole list expands. Appends to *ret_args, which may hold *ret_count already (both zero: none); the result
 * is a new array with a NULL at its end, it and the strings in the scope's arena. */
int text_eval_args(const struct text *const *elements, uint32_t count, const struct scope *s,
                   char ***ret_args, uint32_t *ret_count, struct err *err);

/* --- for the loader --- */
/* Parses a text found at `at` (a node's span; places inside are found by reading d's source text along with it, whatever the scalar's style); problems go to d.
 * `script`: quotes are tracked as a POSIX shell reads them; false for all other texts and for scripts of other shells. Copies the source into `a`. Returns NULL on
 * errors. Names are left unresolved (see struct expr_name), since steps may stand later in the file. */
struct text *text_parse(const char *source, size_t len, struct span at, bool script,
                        struct arena *a, struct diags *d);
/* An `if`: bare or within ${{ }}. */
struct expr *expr_parse_bare(const char *source, size_t len, struct span at, struct arena *a,
                             struct diags *d);
/* Calls fn for every EXPR_NAME below (in_default: covered by default()); iterative. */
void expr_each_name(struct expr *e, void (*fn)(struct expr *name, bool in_default, void *arg),
                    void *arg);
void text_each_name(struct text *t, void (*fn)(struct expr *name, bool in_default, void *arg),
                    void *arg);
uint32_t expr_uses(const struct expr *e); /* USES_* of all below */
const char *expr_function_name(enum expr_function f);
const char *expr_root_name(enum expr_root r);
const char *step_field_name(enum step_field f);

#endif
