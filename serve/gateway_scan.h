/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: JSON looked at in place. Requests and answers of a hundred thousand numbers are checked in one pass and forwarded as they stand; nothing is built of them. Strict RFC 8259: UTF-8,
 * escapes, numbers, at most SCAN_DEPTH levels. What is found points into the text. Pure; any thread. */
#ifndef WF_SERVE_GATEWAY_SCAN_H
#define WF_SERVE_GATEWAY_SCAN_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { SCAN_DEPTH = 64, SCAN_DIMS = 16 };
enum scan_kind {
    SCAN_NONE, /* the text ends, or something else stands there */
    SCAN_NULL,
    SCAN_BOOL,
    SCAN_NUMBER,
    SCAN_STRING,
    SCAN_LIST,
    SCAN_OBJECT
};

/* The functions return false when the text is no JSON at `at`; `wrong` then says why, and they go on returning false. */
struct scan {
    const char *start, *at, *end;
    const char *wrong;
};
struct scan scan_of(struct slice text);
/* After white space. */
enum scan_kind scan_kind(struct scan *s);
/* Any value. ret may be NULL. */
bool scan_value(struct scan *s, struct slice *ret);
/* A string, quotes included. */
bool scan_string(struct scan *s, struct slice *ret);
/* scan_enter() at '{' or '['; then scan_member() or scan_item() before each value, which the caller reads, until they return false: at the end (with `wrong` NULL), behind the bracket. */
bool scan_enter(struct scan *s);
bool scan_member(struct scan *s, bool *first, struct slice *ret_key);
bool scan_item(struct scan *s, bool *first);
/* Nothing but white space is left. */
bool scan_finish(struct scan *s);
/* A whole number between 0 and 2^53. */
bool scan_count(struct scan *s, int64_t *ret, struct slice *ret_text);

/* A tensor's data: a list of scalars, or lists in lists as `shape` has it. */
struct scan_leaves {
    uint64_t count; /* scalars */
    unsigned kinds; /* 1 << scan_kind of each that was seen */
    bool nested;
};
/* `shape`: of nested lists, checked. */
bool scan_leaves(struct scan *s, const int64_t *shape, uint32_t n_dims, struct scan_leaves *ret);
/* The scalars of a list that has been checked, appended with commas between them and no brackets. */
void scan_flatten(struct slice list, struct str *out);
/* Of a list that has been checked: where each `every`-th element of the outermost level begins (the first one's included), and behind the last one where the list ends: at most `max` + 1 places; returns how many. */
size_t scan_cuts(struct slice list, uint64_t every, const char **ret, size_t max);
/* What stands between the brackets of a list, without white space around it. */
struct slice scan_inner(struct slice list);

/* Does this string (quotes included) stand for `text`? Escapes are undone. */
bool scan_text_is(struct slice string, const char *text);
/* ERR_INVALID: "line 1, column 7: expected ':'". */
int scan_fail(const struct scan *s, struct err *err);

#endif
