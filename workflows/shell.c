/* SPDX-License-Identifier: Apache-2.0 */
/* A reader of shell syntax that knows just enough to tell contexts apart. It never builds a tree: a stack of what is open, at most SHELL_MAX_DEPTH deep. Where
 * shells disagree it says so instead of guessing. */
#include "workflows/shell.h"

#include "base/err.h"

#include <string.h>

void shell_init(struct shell *s, const char *src, size_t len)
{
    *s = (struct shell){.src = src, .len = len, .depth = 1, .command_start = true};
}

void shell_done(struct shell *s)
{
    vec_done(&s->heredocs);
}

static struct shell_frame *top(struct shell *s)
{
    return &s->frames[s->depth - 1];
}

static char peek(const struct shell *s, size_t ahead)
{
    return s->at + ahead < s->len ? s->src[s->at + ahead] : '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool ends_word(char c)
{
    return !c || is_blank(c) || (c != '\0' && strchr("\n;&|()<>", c));
}

static void push(struct shell *s, enum shell_context kind)
{
    if (s->depth == SHELL_MAX_DEPTH) {
        s->lost = "the script is nested too deeply before this reference: assign it to a variable "
                  "at the script's beginning, and use that";
        return;
    }
    s->frames[s->depth++] = (struct shell_frame){.kind = kind};
    if (kind <= SHELL_BACKTICK) {
        s->in_word = false;
        s->command_start = true;
    }
}

/* What was open is closed; the word it stood in goes on. */
static void pop(struct shell *s)
{
    s->depth--;
    s->in_word = true;
    s->plain = false;
}

static bool word_is(const struct shell *s, const char *word)
{
    size_t n = s->at - s->word_begin;
    return s->plain && strlen(word) == n && !memcmp(s->src + s->word_begin, word, n);
}

/* A word ended at s->at. Reserved words count only where a command begins. */
static void end_word(struct shell *s)
{
    static const char *const go_on[] = {"then",  "do",    "else", "elif", "if",
                                        "while", "until", "!",    "time", "{"};
    if (!s->in_word)
        return;
    bool start = s->command_start && !s->redirect;
    s->in_word = s->redirect = s->command_start = false;
    s->after_for = start && word_is(s, "for");
    if (!start || !s->plain)
        return;
    for (size_t i = 0; i < sizeof(go_on) / sizeof(go_on[0]); i++)
        s->command_start |= word_is(s, go_on[i]);
    char next = peek(s, 0);
    if (word_is(s, "case") && (is_blank(next) || next == '\n')) {
        push(s, SHELL_CASE);
        s->command_start = false;
    } else if (word_is(s, "esac") && top(s)->kind == SHELL_CASE) {
        s->depth--;
    }
}

static void begin_word(struct shell *s, bool plain)
{
    if (!s->in_word) {
        s->word_begin = s->at;
        s->plain = true;
    }
    s->in_word = true;
    s->plain &= plain;
}

/* Behind "${": what follows the name decides how the rest is read. */
static void read_param_head(struct shell *s, bool quoted)
{
    push(s, SHELL_PARAM);
    if (s->lost)
        return;
    struct shell_frame *f = top(s);
    f->quoted = quoted;
    if (peek(s, 0) == '#' || peek(s, 0) == '!')
        s->at++;
    if (is_name(peek(s, 0))) {
        while (is_name(peek(s, 0)))
            s->at++;
    } else if (peek(s, 0) && strchr("@*?$-", peek(s, 0))) {
        s->at++;
    }
    bool colon = peek(s, 0) == ':';
    char op = peek(s, colon);
    f->word_op = op && strchr("-=+?", op);
    f->pattern_op = !colon && (op == '#' || op == '%');
    if (f->word_op || f->pattern_op)
        s->at += (size_t)colon + 1;
    f->odd = !f->word_op && !f->pattern_op && op != '}';
}

/* At a $. */
static void read_dollar(struct shell *s, bool quoted, size_t to)
{
    char next = peek(s, 1);
    begin_word(s, false);
    if (s->at + 1 == to) {
        s->dollar = true;
        s->at++;
    } else if (next == '(' && peek(s, 2) == '(') {
        s->at += 3;
        push(s, SHELL_ARITH);
    } else if (next == '(') {
        s->at += 2;
        push(s, SHELL_SUBST);
    } else if (next == '{') {
        s->at += 2;
        read_param_head(s, quoted);
    } else if (next == '\'' && !quoted) {
        s->at += 2;
        push(s, SHELL_ANSI);
    } else {
        /* $$ $# $? …: the second byte is not a $ or # of its own. */
        s->at += next && strchr("$#?!*@-", next) ? 2 : 1;
    }
}

static void read_backtick(struct shell *s)
{
    if (top(s)->kind == SHELL_CASE && word_is(s, "esac"))
        end_word(s);
    s->at++;
    if (top(s)->kind == SHELL_BACKTICK) {
        end_word(s);
        pop(s);
    } else {
        begin_word(s, false);
        push(s, SHELL_BACKTICK);
    }
}

/* Within backticks a backslash is read twice, and what it then escapes depends on what is around. */
static void read_backslash(struct shell *s)
{
    for (unsigned i = 0; i < s->depth; i++) {
        if (s->frames[i].kind == SHELL_BACKTICK)
            s->frames[i].odd = true;
    }
    s->at += 2;
}

/* Behind "<<": the delimiter; the body begins after this line. */
static void read_heredoc_head(struct shell *s, size_t to)
{
    struct shell_heredoc h = {0};
    if (peek(s, 0) == '-') {
        h.strip_tabs = true;
        s->at++;
    }
    while (is_blank(peek(s, 0)))
        s->at++;
    h.begin = s->at;
    for (char quote = '\0'; s->at < s->len; s->at++) {
        char c = s->src[s->at];
        if (quote) {
            quote = c == quote ? '\0' : quote;
        } else if (c == '\'' || c == '"') {
            quote = c;
            h.quoted = true;
        } else if (c == '\\') {
            h.quoted = true;
            s->at++;
        } else if (ends_word(c)) {
            break;
        }
    }
    if (s->at > s->len)
        s->at = s->len;
    if (s->at > to)
        s->lost = "a reference cannot be a here-document's delimiter: write a fixed word there";
    h.end = s->at;
    if (h.end > h.begin)
        *vec_push(&s->heredocs) = h;
}

/* At a newline between commands: the bodies of the here-documents named on this line follow, the first one first. */
static void begin_heredocs(struct shell *s)
{
    for (size_t i = s->heredocs.len; i-- > s->heredocs_begun;) {
        push(s, SHELL_HEREDOC);
        if (s->lost)
            return;
        top(s)->heredoc = i;
        top(s)->queued = i > s->heredocs_begun;
        s->line_start = true;
    }
    s->heredocs_begun = s->heredocs.len;
}

/* Does the line at s->at end the here-document? Compares with the delimiter less its quotes. */
static bool at_delimiter(const struct shell *s, const struct shell_heredoc *h, size_t *ret_end)
{
    size_t i = s->at;
    while (h->strip_tabs && i < s->len && s->src[i] == '\t')
        i++;
    char quote = '\0';
    for (size_t k = h->begin; k < h->end; k++) {
        char c = s->src[k];
        if (quote ? c == quote : c == '\'' || c == '"') {
            quote = quote ? '\0' : c;
            continue;
        }
        if (c == '\\' && !quote && ++k < h->end)
            c = s->src[k];
        if (i == s->len || s->src[i++] != c)
            return false;
    }
    if (i < s->len && s->src[i] != '\n')
        return false;
    *ret_end = i;
    return true;
}

static void step_heredoc(struct shell *s, size_t to)
{
    const struct shell_heredoc *h = &s->heredocs.items[top(s)->heredoc];
    size_t end;
    if (s->line_start && at_delimiter(s, h, &end)) {
        s->depth--;
        top(s)->queued = false;
        s->at = end < s->len ? end + 1 : end;
        s->in_word = false;
        s->command_start = s->line_start = true;
        return;
    }
    char c = peek(s, 0);
    s->line_start = c == '\n';
    if (c == '\\' && !h->quoted)
        read_backslash(s);
    else if (c == '$' && !h->quoted)
        read_dollar(s, true, to);
    else if (c == '`' && !h->quoted)
        read_backtick(s);
    else
        s->at++;
}

static void step_paren(struct shell *s)
{
    end_word(s);
    bool arithmetic = peek(s, 1) == '(' && (s->command_start || s->after_for);
    s->at += arithmetic ? 2 : 1;
    push(s, arithmetic ? SHELL_ARITH : SHELL_PAREN);
}

static void step_close(struct shell *s)
{
    end_word(s);
    s->at++;
    if (top(s)->kind == SHELL_SUBST)
        pop(s);
    else if (top(s)->kind == SHELL_PAREN)
        s->depth--;
    s->command_start = true;
}

static void step_operator(struct shell *s, char c, size_t to)
{
    switch (c) {
    case '(':
        step_paren(s);
        return;
    case ')':
        step_close(s);
        return;
    case '<':
    case '>':
        end_word(s);
        s->at++;
        s->redirect = true;
        if (c == '<' && peek(s, 0) == '<') {
            s->at++;
            if (peek(s, 0) == '<')
                s->at++; /* a here-string: one word follows */
            else
                read_heredoc_head(s, to);
        }
        return;
    case '\n':
        end_word(s);
        s->at++;
        s->command_start = true;
        s->redirect = s->after_for = false;
        begin_heredocs(s);
        return;
    default: /* ; & | */
        end_word(s);
        s->at++;
        s->command_start = true;
        s->redirect = s->after_for = false;
    }
}

static void step_command(struct shell *s, size_t to)
{
    char c = peek(s, 0);
    if (is_blank(c)) {
        end_word(s);
        s->at++;
    } else if (ends_word(c)) {
        step_operator(s, c, to);
    } else if (c == '#' && !s->in_word) {
        push(s, SHELL_COMMENT);
    } else if (c == '\\') {
        if (peek(s, 1) != '\n')
            begin_word(s, false);
        read_backslash(s);
    } else if (c == '\'' || c == '"') {
        begin_word(s, false);
        s->at++;
        push(s, c == '"' ? SHELL_DOUBLE : SHELL_SINGLE);
    } else if (c == '$') {
        read_dollar(s, false, to);
    } else if (c == '`') {
        read_backtick(s);
    } else {
        begin_word(s, true);
        s->at++;
    }
}

static void step_double(struct shell *s, size_t to)
{
    char c = peek(s, 0);
    if (c == '"') {
        s->at++;
        pop(s);
    } else if (c == '\\') {
        read_backslash(s);
    } else if (c == '$') {
        read_dollar(s, true, to);
    } else if (c == '`') {
        read_backtick(s);
    } else {
        s->at++;
    }
}

static void step_param(struct shell *s, size_t to)
{
    struct shell_frame *f = top(s);
    char c = peek(s, 0);
    bool quotes = !(f->quoted && f->word_op); /* do quotes inside quote? */
    if (c == '}') {
        s->at++;
        pop(s);
    } else if (c == '\\') {
        read_backslash(s);
    } else if (c == '$') {
        read_dollar(s, f->quoted, to);
    } else if (c == '`') {
        read_backtick(s);
    } else if ((c == '"' || c == '\'') && quotes) {
        s->at++;
        push(s, c == '"' ? SHELL_DOUBLE : SHELL_SINGLE);
    } else {
        f->odd |= c == '"'; /* "${x:-"y"}": shells differ in what is quoted now */
        s->at++;
    }
}

static void step_arith(struct shell *s, size_t to)
{
    struct shell_frame *f = top(s);
    char c = peek(s, 0);
    if (c == '\\') {
        read_backslash(s);
    } else if (c == '$') {
        read_dollar(s, true, to);
    } else if (c == '`') {
        read_backtick(s);
    } else if (c == '(') {
        f->parens++;
        s->at++;
    } else if (c == ')' && f->parens) {
        f->parens--;
        s->at++;
    } else if (c == ')' && peek(s, 1) == ')') {
        s->at += 2;
        pop(s);
    } else if (c == ')') {
        /* It was $( ( … ) … ) after all, a command within a command. */
        s->at++;
        f->kind = SHELL_SUBST;
        s->in_word = false;
        s->command_start = true;
    } else {
        s->at++;
    }
}

/* A delimiter within a command within the here-document: bash ends it there, dash does not. */
static bool ends_outer_heredoc(const struct shell *s)
{
    size_t end;
    if (!s->heredocs_begun || !s->at || s->src[s->at - 1] != '\n')
        return false;
    for (unsigned i = 0; i + 1 < s->depth; i++) {
        const struct shell_frame *f = &s->frames[i];
        if (f->kind == SHELL_HEREDOC && !f->queued &&
            at_delimiter(s, &s->heredocs.items[f->heredoc], &end))
            return true;
    }
    return false;
}

static void step(struct shell *s, size_t to)
{
    char c = peek(s, 0);
    s->dollar = false;
    if (ends_outer_heredoc(s)) {
        s->lost = "shells do not agree where a here-document before this reference ends, since its "
                  "delimiter also stands within a command in it: use another delimiter";
        return;
    }
    switch (top(s)->kind) {
    case SHELL_DOUBLE:
        step_double(s, to);
        return;
    case SHELL_SINGLE:
        s->at++;
        if (c == '\'')
            pop(s);
        return;
    case SHELL_ANSI:
        s->at += c == '\\' ? 2 : 1;
        if (c == '\'')
            pop(s);
        return;
    case SHELL_PARAM:
        step_param(s, to);
        return;
    case SHELL_ARITH:
        step_arith(s, to);
        return;
    case SHELL_HEREDOC:
        step_heredoc(s, to);
        return;
    case SHELL_COMMENT:
        if (c == '\n' || (c == '`' && s->frames[s->depth - 2].kind == SHELL_BACKTICK))
            s->depth--;
        else
            s->at++;
        return;
    default:
        step_command(s, to);
    }
}

static const char *in_param(const struct shell_frame *f, enum quote *ret)
{
    if (f->odd || (!f->word_op && !f->pattern_op))
        return "shells do not agree on the quoting within this ${…}: assign the reference to a "
               "variable first, and use that";
    *ret = f->quoted && f->word_op ? QUOTE_DOUBLE : QUOTE_NONE;
    return NULL;
}

/* The quoting at s->at. */
static const char *context(struct shell *s, enum quote *ret)
{
    for (unsigned i = 0; i < s->depth; i++) {
        if (s->frames[i].kind == SHELL_BACKTICK && s->frames[i].odd)
            return "a reference cannot follow a backslash within backticks: write $( … ) instead "
                   "of ` … `";
    }
    const struct shell_frame *f = top(s);
    switch (f->kind) {
    case SHELL_DOUBLE:
    case SHELL_COMMENT:
        *ret = QUOTE_DOUBLE;
        return NULL;
    case SHELL_SINGLE:
        *ret = QUOTE_SINGLE;
        return NULL;
    case SHELL_ANSI:
        return "a reference cannot stand within $'…': close the quotes before it";
    case SHELL_PARAM:
        return in_param(f, ret);
    case SHELL_ARITH:
        *ret = QUOTE_NUMBER;
        return NULL;
    case SHELL_HEREDOC:
        if (s->heredocs.items[f->heredoc].quoted)
            return "a here-document with a quoted delimiter expands nothing: write the delimiter "
                   "without quotes, or hand the value over under 'env'";
        *ret = QUOTE_DOUBLE;
        return NULL;
    default:
        *ret = QUOTE_NONE;
        return NULL;
    }
}

const char *shell_reference(struct shell *s, size_t to, size_t end, enum quote *ret_quote,
                            bool *ret_word)
{
    s->dollar = false;
    while (s->at < to && !s->lost)
        step(s, to);
    if (s->lost)
        return s->lost;
    const char *problem = context(s, ret_quote);
    enum shell_context kind = top(s)->kind;
    bool literal = kind == SHELL_SINGLE || kind == SHELL_COMMENT;
    if (!problem && s->at > to)
        problem = "remove the backslash before the reference: its value is never read as code, and "
                  "cannot be escaped";
    if (!problem && s->dollar && !literal)
        problem = "write \\$ for a dollar sign right before a reference";
    char next = end < s->len ? s->src[end] : '\0';
    bool ends = ends_word(next) || (next == '`' && kind == SHELL_BACKTICK);
    *ret_word = kind <= SHELL_BACKTICK && !s->in_word && !s->redirect && ends;
    if (kind <= SHELL_BACKTICK)
        begin_word(s, false);
    s->line_start = false;
    s->at = end;
    return problem;
}
