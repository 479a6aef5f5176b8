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

/* A value that starts with '!': `if: !cancelled() && x`. */
static const char *bang_value(struct slice line, size_t *ret_len)
{
    const char *p = memmem(line.data, line.len, ": !", 3);
    if (p == NULL)
        return NULL;
    *ret_len = line.len - (size_t)(p + 2 - line.data);
    return p + 2;
}

static bool explain_line(struct slice line, struct span at, const char *problem, struct diags *d)
{
    uint32_t tab = tab_indent(line);
    size_t bang_len = 0;
    const char *bang = bang_value(line, &bang_len);
    if (tab > 0) {
        diag_error(d, (struct span){at.line, tab, 1}, "yaml-tab",
                   "a tab stands in the indentation; YAML is indented with blanks");
    } else if (bang != NULL) {
        diag_error(d, at, "yaml-tag", "a value that begins with '!' reads as a YAML tag");
        diag_hint(d, "write ${{ %.*s }}", (int)(bang_len > 80 ? 80 : bang_len), bang);
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
    if (explain_line(line_of(text, len, p->problem_mark.line), at, problem, d))
        return;
    /* The trap often lies where the broken value began. */
    if (p->context != NULL && p->context_mark.line != p->problem_mark.line) {
        struct span from = {.line = (uint32_t)p->context_mark.line + 1,
                            .col = (uint32_t)p->context_mark.column + 1};
        struct slice line = line_of(text, len, p->context_mark.line);
        if (holds(line, "${{") && explain_line(line, from, problem, d))
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
