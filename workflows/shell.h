/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a shell script a place stands, as a POSIX shell (and bash's additions) would read it: inside which quotes, expansion or here-document. So that a
 * reference there can be written as a quoted variable whose value comes out whole. */
#ifndef WF_WORKFLOWS_SHELL_H
#define WF_WORKFLOWS_SHELL_H

#include "base/vec.h"
#include "workflows/expr.h"

#include <stdbool.h>
#include <stddef.h>

enum shell_context {
    SHELL_COMMAND,  /* words and operators: the whole script, … */
    SHELL_SUBST,    /* … $( … ) … */
    SHELL_PAREN,    /* … ( … ) … */
    SHELL_CASE,     /* … case … esac, where ) ends a pattern … */
    SHELL_BACKTICK, /* … and ` … ` */
    SHELL_DOUBLE,
    SHELL_SINGLE,
    SHELL_ANSI,  /* $'…' */
    SHELL_PARAM, /* ${ … } */
    SHELL_ARITH, /* $(( … )) and (( … )) */
    SHELL_HEREDOC,
    SHELL_COMMENT
};

#define SHELL_MAX_DEPTH 64

struct shell_frame {
    enum shell_context kind;
    bool quoted;     /* SHELL_PARAM: within double quotes or a here-document */
    bool word_op;    /* SHELL_PARAM: ${x:-…} and its like, whose rest is a word */
    bool pattern_op; /* SHELL_PARAM: ${x#…} ${x%…} */
    bool odd;        /* something was seen that shells read differently: no reference may follow */
    uint32_t parens; /* SHELL_ARITH: open ones */
    size_t heredoc;  /* SHELL_HEREDOC: index */
    bool queued;     /* SHELL_HEREDOC: its body follows that of the one above */
};
struct shell_heredoc {
    size_t begin, end; /* of the delimiter as written, in the source */
    bool quoted, strip_tabs;
};

struct shell {
    const char *src;
    size_t len, at;
    struct shell_frame frames[SHELL_MAX_DEPTH];
    unsigned depth; /* frames in use; frames[0] is SHELL_COMMAND */
    VEC(struct shell_heredoc) heredocs;
    size_t heredocs_begun; /* those whose body has begun */
    bool in_word, plain;   /* within a word; it is made of plain letters alone */
    size_t word_begin;
    bool command_start; /* a word here would be a command's name or a reserved word */
    bool after_for, redirect;
    bool line_start;  /* of a here-document's body */
    bool dollar;      /* the last byte read is an unescaped $ */
    const char *lost; /* why nothing is known from here on */
};

void shell_init(struct shell *s, const char *src, size_t len);
void shell_done(struct shell *s);
/* Reads on up to src[to], where a reference stands that ends at src[end]. NULL: *ret_quote and *ret_word are set; else why no reference can stand there, a
 * sentence with what to write instead. Then goes on behind the reference. */
const char *shell_reference(struct shell *s, size_t to, size_t end, enum quote *ret_quote,
                            bool *ret_word);

#endif
