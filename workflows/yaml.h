/* SPDX-License-Identifier: Apache-2.0 */
/* YAML 1.2 core text -> nodes with places, through libyaml's events. Refused with a diagnostic: duplicate keys, non-string keys, tags, several documents,
 * tabs, NUL bytes, non-UTF-8, unknown and self-referring aliases, alias bombs (expanded nodes over 4 million), depth over 64, files over 64 MiB,
 * an empty file. CRLF and a BOM are fine. Merge keys (<<) are resolved here (own keys win, earlier maps of a list win). Aliases share nodes. */
#ifndef WF_WORKFLOWS_YAML_H
#define WF_WORKFLOWS_YAML_H

#include "workflows/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };
enum scalar_type {
    SCALAR_NULL,
    SCALAR_BOOL,
    SCALAR_NUMBER,
    SCALAR_STRING
}; /* plain scalars by YAML 1.2 core; quoted and block ones are strings */

/* 32 bytes: a file of 100,000 steps has a million of them. */
struct node {
    enum node_kind kind : 8;
    enum scalar_type type : 8; /* of a scalar */
    bool block;                /* a scalar written as | or >, at span; its text begins below */
    bool plain : 1;            /* a scalar without quotes */
    bool folded : 1;           /* a block scalar written as >: its line breaks became blanks */
    struct span span;          /* of a scalar: where its text begins */
    uint32_t indent;           /* of a block scalar: its indentation */
    uint32_t len;              /* bytes of text; items of a list; pairs of a map */
    union {
        const char *text; /* of a scalar: NUL-terminated, as written after YAML's own unescaping */
        struct node **items;     /* of a list */
        struct node_pair *pairs; /* of a map */
    };
};
struct node_pair {
    const char *key;
    uint32_t key_len;
    struct span key_span;
    bool merge; /* `<<`; none is left in a finished map */
    struct node *value;
};

/* NULL when there are errors (all of them in d). Nodes live in `a`. */
struct node *yaml_parse(const char *text, size_t len, struct arena *a, struct diags *d);
/* The same, but what could be read in spite of errors (duplicate keys, tags, bad aliases) is returned: the caller goes on looking for more to say,
 * and looks at d->errors. NULL: nothing can be read. */
struct node *yaml_parse_partial(const char *text, size_t len, struct arena *a, struct diags *d);
struct node *node_get(const struct node *map, const char *key); /* NULL: absent */

#endif
