/* SPDX-License-Identifier: Apache-2.0 */
/* Expression source -> tokens. */
#include "base/arena.h"
#include "workflows/expr_impl.h"
#include "workflows/value_impl.h"

#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->end ? l->source[l->at + ahead] : '\0';
}

static void fail_at(struct lexer *l, size_t begin, size_t len, const char *message)
{
    l->failed = true;
    l->at = l->end;
    diag_error(l->diags, place_at(l->place, begin, len), "expression", "%s", message);
}

/* A string keeps its doubled quotes in the source; what it stands for is copied only if there are any. */
static void lex_string(struct lexer *l)
{
    size_t begin = l->at++;
    size_t doubled = 0;
    for (;; l->at++) {
        const char *close = memchr(l->source + l->at, '\'', l->end - l->at);
        if (!close) {
            fail_at(l, begin, 1, "this string has no closing quote");
            return;
        }
        l->at = (size_t)(close - l->source) + 1;
        if (peek(l, 0) != '\'')
            break;
        doubled++;
    }
    const char *from = l->source + begin + 1;
    size_t len = l->at - begin - 2;
    l->token.kind = TOKEN_STRING;
    l->token.text = slice_of(from, len);
    if (!doubled)
        return;
    char *text = arena_alloc(l->arena, len - doubled + 1), *out = text;
    for (size_t i = 0; i < len; i++) {
        *out++ = from[i];
        i += from[i] == '\'';
    }
    l->token.text = slice_of(text, len - doubled);
}

static void lex_number(struct lexer *l)
{
    size_t begin = l->at;
    for (l->at++;; l->at++) {
        char c = peek(l, 0), before = l->source[l->at - 1];
        bool exponent_sign = (c == '+' || c == '-') && (before == 'e' || before == 'E');
        if (!is_digit(c) && !is_letter(c) && c != '.' && !exponent_sign)
            break;
    }
    l->token.kind = TOKEN_NUMBER;
    l->token.text = slice_of(l->source + begin, l->at - begin);
    if (!number_is_json(l->token.text))
        fail_at(l, begin, l->at - begin, "malformed number (numbers are written as in JSON)");
}

static void lex_operator(struct lexer *l)
{
    static const struct {
        char text[3];
        int op;
    } pairs[] = {{"==", OP_EQ}, {"!=", OP_NE},  {"<=", OP_LE},
                 {">=", OP_GE}, {"&&", OP_AND}, {"||", OP_OR}};
    char c = peek(l, 0), next = peek(l, 1);
    l->token.kind = TOKEN_OPERATOR;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (c == pairs[i].text[0] && next == pairs[i].text[1]) {
            l->token.op = pairs[i].op;
            l->at += 2;
            return;
        }
    }
    l->token.op = (unsigned char)c;
    if (c && strchr(".*[](),!<>", c)) {
        l->at++;
        return;
    }
    if (c == '"') {
        fail_at(l, l->at, 1, "strings stand in single quotes here: 'text'");
    } else if (c == '=' || c == '&' || c == '|') {
        fail_at(l, l->at, 1,
                c == '=' ? "'=' alone means nothing: write == to compare"
                         : "a single & or | means nothing: write && or ||");
    } else if (strchr("+-/%^~?", c) && c) {
        fail_at(l, l->at, 1, "expressions do not calculate: there is no such operator");
    } else {
        fail_at(l, l->at, 1, "this character does not belong in an expression");
    }
}

void lexer_next(struct lexer *l)
{
    l->last_end = l->token.end;
    while (l->at < l->end && strchr(" \t\r\n", l->source[l->at]) && l->source[l->at])
        l->at++;
    size_t begin = l->at;
    l->token = (struct token){.begin = begin};
    char c = peek(l, 0);
    if (l->failed || l->at == l->end) {
        l->token.kind = TOKEN_END;
    } else if (is_letter(c)) {
        do {
            l->at++;
            c = peek(l, 0);
        } while (is_letter(c) || is_digit(c) || c == '-');
        l->token.kind = TOKEN_NAME;
        l->token.text = slice_of(l->source + begin, l->at - begin);
    } else if (is_digit(c) || (c == '-' && is_digit(peek(l, 1)))) {
        lex_number(l);
    } else if (c == '\'') {
        lex_string(l);
    } else {
        lex_operator(l);
    }
    if (l->failed)
        l->token.kind = TOKEN_END;
    l->token.end = l->at;
    if (!l->failed)
        l->token.span = place_at(l->place, begin, utf8_count(l->source + begin, l->at - begin));
}
