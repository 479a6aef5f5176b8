/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics of a user's YAML: a list with positions, all at once. Rendered here and nowhere else. */
#ifndef WF_WORKFLOWS_DIAG_H
#define WF_WORKFLOWS_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct str;
struct jsonw;

/* A place in a source file; 1-based, columns in code points; line 0: no place. */
struct span {
    uint32_t line, col;
    uint32_t len;     /* code points to underline, 0: one caret */
    uint32_t padding; /* by name, as in struct value */
};

enum severity { SEVERITY_ERROR, SEVERITY_WARNING };
struct diag {
    enum severity severity;
    struct span span;
    const char *code;    /* stable, e.g. "unknown-key"; lives in the list's arena */
    const char *message; /* one sentence, no full stop; lives in the list's arena */
    const char *hint;    /* "did you mean 'ingest'?" or NULL */
};

/* All diagnostics of one file. Kept sorted by place when rendered; after 50 errors only counted. */
struct diags {
    struct arena *arena; /* owned */
    char *file;          /* as the user named it; owned */
    char *text;          /* the source, for the caret lines; owned; NULL: none */
    size_t text_len;
    uint32_t
        *lines; /* where each line of text begins; made at first use by place.h, in the arena */
    size_t n_lines;
    uint32_t seen_line, seen_col; /* the place looked up last, and its byte offset */
    size_t seen_at;
    struct diag *items;
    size_t len, cap;
    size_t errors, warnings;
    bool deaf; /* the newest one was not kept: hints for it go nowhere */
};

void diags_init(struct diags *d, const char *file);
void diags_done(struct diags *d);
void diags_set_text(struct diags *d, const char *text, size_t len); /* copies */
void diag_error(struct diags *d, struct span at, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void diag_warn(struct diags *d, struct span at, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds a hint to the newest diagnostic: "did you mean 'x'?" when `nearest` is not NULL. */
void diag_did_you_mean(struct diags *d, const char *nearest);
void diag_hint(struct diags *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "file:14:9: error: … (did you mean 'x'?)\n  source line\n        ^~~~\n" for each, sorted by place, and a closing count. Tabs and wide
 * lines are kept readable (a long source line is cut around the caret). */
void diags_render(const struct diags *d, bool colour, struct str *out);
void diags_json(const struct diags *d, struct jsonw *w); /* an array of objects */

#endif
