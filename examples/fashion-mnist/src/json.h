/* SPDX-License-Identifier: Apache-2.0 */
/* As much JSON as the report reads: members of an object, and a list of equally long lists of numbers. Each ends the program, naming `path`, when the text is something else. */
#ifndef FASHION_JSON_H
#define FASHION_JSON_H

#include <stddef.h>

double json_number(const char *text, const char *key, const char *path);
/* A string member without escapes; owned by the caller. */
char *json_text(const char *text, const char *key, const char *path);
/* [[…], …] with `columns` numbers a row; owned by the caller. */
float *json_table(const char *text, size_t columns, const char *path, size_t *ret_rows);

#endif
