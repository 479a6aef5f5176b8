/* SPDX-License-Identifier: Apache-2.0 */
/* Between yaml.c (events), yaml_scalar.c (types of plain scalars), yaml_map.c (duplicate and merge keys) and yaml_explain.c
 * (libyaml's complaints in a user's words). */
#ifndef WF_WORKFLOWS_YAML_INTERNAL_H
#define WF_WORKFLOWS_YAML_INTERNAL_H

#include "base/err.h"
#include "workflows/yaml.h"

#include <yaml.h>

/* Bytes of the line break at p as libyaml counts them (LF, CRLF, CR, NEL, LS, PS); 0: none. */
size_t yaml_break_len(const char *p, const char *end);
/* Line and column of a byte offset. */
struct span yaml_place(const char *text, size_t len, size_t offset);

enum scalar_type yaml_plain_type(const char *text, size_t len);
bool yaml_is_special_number(const char *text, size_t len); /* .nan, .inf */

/* Fills a map from its pairs as written: refuses duplicates, resolves `<<`. */
void yaml_close_map(struct node *map, struct node_pair *pairs, size_t count, struct arena *a,
                    struct diags *d);

/* Says why libyaml gave up, with the mend where it is a known trap. */
void yaml_explain(const yaml_parser_t *p, const char *text, size_t len, struct diags *d);

#endif
