/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share about values, beyond value.h. */
#ifndef WF_WORKFLOWS_VALUE_IMPL_H
#define WF_WORKFLOWS_VALUE_IMPL_H

#include "workflows/value.h"

#define VALUE_MAX_DEPTH 64

bool number_is_json(struct slice s);         /* by JSON's own grammar */
double number_read(struct slice s);          /* of a JSON or YAML number */
bool value_is_number(const struct value *v); /* a number, or a string that reads as a JSON number */
bool value_read_bool(const struct value *v, bool *ret);      /* a boolean, 'true' or 'false' */
bool value_has_path(const struct value *v);                  /* itself or anything in it */
void value_add_json(const struct value *v, struct str *out); /* compact */

#endif
