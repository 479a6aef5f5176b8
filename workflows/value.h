/* SPDX-License-Identifier: Apache-2.0 */
/* What an expression evaluates to. Plain data; everything it points to lives in the evaluation's arena or outlives it. */
#ifndef WF_WORKFLOWS_VALUE_H
#define WF_WORKFLOWS_VALUE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct jsonw;
struct err;

enum value_type {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_NUMBER,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_OBJECT,
    VALUE_TYPE_COUNT
};

struct value {
    enum value_type type;
    /* Made from a path of this machine (an input, an output, another step's output, directly or by join/format/basename/toJSON/indexing): it stands in
     * the cache key by its expression's text only; the digests of what it names are there on their own. */
    bool path;
    bool boolean;
    double number;
    struct slice text;   /* a string; a number as written ("1.10", "1e-3", "007") */
    struct value *items; /* list items, or object members' values */
    struct slice *keys;  /* object members' names */
    uint32_t count;
    uint32_t
        padding; /* by name, so that a copy brings no leftovers that look like pointers (images) */
};

struct value value_null(void);
struct value value_bool(bool b);
struct value value_text(const char *text); /* borrowed */
struct value value_slice(struct slice s);
struct value value_number(double d, struct arena *a); /* integers without a fraction */
struct value
value_number_text(struct slice source); /* source must be a JSON-like number; keeps it as written */
const char *value_type_name(enum value_type t); /* "a string", "a list" … */

/* How a value stands in text: numbers as written, booleans true/false, null as "", lists and objects as JSON. */
void value_interpolate(const struct value *v, struct str *out);
void value_json(const struct value *v, struct jsonw *w); /* numbers as their source text */
/* JSON text -> value in `a`. Numbers keep their source text. Depth at most 64. */
int value_parse_json(const char *text, size_t len, struct arena *a, struct value *ret,
                     struct err *err);
const struct value *value_member(const struct value *object, const char *name,
                                 size_t len); /* NULL: absent */
/* Semantics 3: equal compares strings that read as JSON numbers/true/false with numbers and booleans. */
int value_compare(const struct value *a, const struct value *b, int *ret_order,
                  bool *ret_comparable);
bool value_truthy(const struct value *v); /* only false and null are false */

#endif
