/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's complaints in a user's words: known traps get their mend. */
#include "base/str.h"
#include "workflows/yaml_internal.h"

#include <string.h>

static struct slice line_of(const char *text, size_t len, size_t line)
{
    const char *p = text, *end = text + len;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    while (line > 0 && p < end) {
        size_t b = yaml_break_len(p, end);
        p += b > 0 ? b : 1;
        line -= b > 0;
    }
    const char *start = p;
    while (p < end && yaml_break_len(p, end) == 0)
        p++;
    return slice_of(start, (size_t)(p - start));
}

static bool holds(struct slice line, const char *word)
{
    return memmem(line.data, line.len, word, strlen(word)) != NULL;
}

/* The column (1-based) of a tab in the line's indentation; 0: none. */
static uint32_t tab_indent(struct slice line)
{
    for (size_t i = 0; i < line.len && (line.data[i] == ' ' || line.data[i] == '\t'); i++) {
        if (line.data[i] == '\t')
            return (uint32_t)i + 1;
    }
    return 0;
}

/* How far a value goes that stands between braces or brackets: to the comma or the bracket that ends it. */
static size_t flow_length(const char *p, size_t len)
{
    size_t depth = 0, n = 0;
    char quote = '\0';

    for (; n < len; n++) {
        char c = p[n];
        if (quote != '\0') {
            quote = c == quote ? '\0' : quote;
        } else if (c == '\'' || c == '"') {
            quote = c;
        } else if (strchr("([{", c) != NULL) {
            depth++;
        } else if (strchr(")]}", c) != NULL && depth-- == 0) {
            break;
        } else if (c == ',' && depth == 0) {
            break;
        }
    }
    return n;
}

/* A value that starts with '!': `if: !cancelled() && x`, without a comment after it. */
static struct slice bang_value(struct slice line, bool flow)
{
    const char *p = memmem(line.data, line.len, ": !", 3);
    if (p == NULL)
        return slice_of(NULL, 0);
    p += 2;
    size_t len = line.len - (size_t)(p - line.data);
    len = flow ? flow_length(p, len) : len;
    const char *comment = memmem(p, len, " #", 2);
    len = comment != NULL ? (size_t)(comment - p) : len;
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    return slice_of(p, len);
}

static bool explain_line(struct slice line, struct span at, bool flow, const char *problem,
                         struct diags *d)
{
    uint32_t tab = tab_indent(line);
    struct slice bang = bang_value(line, flow);
    if (tab > 0) {
        diag_error(d, (struct span){.line = at.line, .col = tab, .len = 1}, "yaml-tab",
                   "a tab stands in the indentation; YAML is indented with blanks");
    } else if (bang.len > 0) {
        diag_error(d, at, "yaml-tag", "a value that begins with '!' reads as a YAML tag");
        const char *quote = flow ? "\"" : ""; /* without it the mapping ends at `}}` */
        diag_hint(d, "write %s${{ %.*s }}%s", quote, (int)(bang.len > 80 ? 80 : bang.len),
                  bang.data, quote);
    } else if (holds(line, "${{")) {
        diag_error(d, at, "yaml-syntax", "YAML cannot read this value with ${{ }} in it: %s",
                   problem);
        diag_hint(d, "quote it: \"${{ … }}\"");
    } else if (strstr(problem, "mapping values are not allowed") != NULL) {
        diag_error(d, at, "yaml-syntax",
                   "a second ': ' stands in this line, or its indentation is off");
        diag_hint(d, "quote a value that holds ': '");
    } else {
        return false;
    }
    return true;
}

void yaml_explain(const yaml_parser_t *p, const char *text, size_t len, struct diags *d)
{
    const char *problem = p->problem != NULL ? p->problem : "not YAML";
    struct span at = {.line = (uint32_t)p->problem_mark.line + 1,
                      .col = (uint32_t)p->problem_mark.column + 1};
    if (p->error == YAML_READER_ERROR) {
        struct span place = yaml_place(text, len, p->problem_offset);
        diag_error(d, place, "yaml-character", "a character that YAML does not allow: %s", problem);
        return;
    }
    if (explain_line(line_of(text, len, p->problem_mark.line), at, p->flow_level > 0, problem, d))
        return;
    /* The trap often lies where the broken value began. */
    if (p->context != NULL && p->context_mark.line != p->problem_mark.line) {
        struct span from = {.line = (uint32_t)p->context_mark.line + 1,
                            .col = (uint32_t)p->context_mark.column + 1};
        struct slice line = line_of(text, len, p->context_mark.line);
        if (holds(line, "${{") && explain_line(line, from, p->flow_level > 0, problem, d))
            return;
    }
    if (p->context != NULL && strstr(p->context, "quoted scalar") != NULL &&
        strstr(problem, "end of stream") != NULL) {
        struct span from = {.line = (uint32_t)p->context_mark.line + 1,
                            .col = (uint32_t)p->context_mark.column + 1};
        diag_error(d, from, "yaml-syntax", "the quote that opens here is not closed");
    } else if (strstr(problem, "did not find expected key") != NULL ||
               strstr(problem, "did not find expected '-' indicator") != NULL)
        diag_error(d, at, "yaml-syntax",
                   "this line does not fit what stands above it: look at its indentation");
    else if (p->context != NULL)
        diag_error(d, at, "yaml-syntax", "not YAML: %s %s, %s", p->context,
                   p->context_mark.line == p->problem_mark.line ? "in this line"
                                                                : "that began above",
                   problem);
    else
        diag_error(d, at, "yaml-syntax", "not YAML: %s", problem);
}
