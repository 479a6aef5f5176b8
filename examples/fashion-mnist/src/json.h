/* SPDX-License-Identifier: Apache-2.0 */
/* A strict JSON reader without a tree: the caller walks the text in its order and takes what it wants. The first mistake stays: every later call returns false.
 *
 *     for (bool first = json_enter(&j, '['); json_more(&j, ']', &first);)
 *         json_number(&j, &x); */
#ifndef FASHION_JSON_H
#define FASHION_JSON_H

#include <stdbool.h>
#include <stddef.h>

struct json {
    const char *at, *end;
    const char *error; /* what is wrong at `at`; NULL: nothing so far */
};

void json_open(struct json *j, const char *text, size_t len); /* text[len] is 0; borrowed */
bool json_enter(struct json *j, char bracket);                /* takes a '[' or '{' */
/* Is there another element or member? Takes the comma before it, or the closing bracket. */
bool json_more(struct json *j, char bracket, bool *first);
char json_peek(struct json *j); /* the first character of what comes */
/* A string; longer ones are a mistake. */
bool json_string(struct json *j, char *ret, size_t room);
bool json_key(struct json *j, char *ret,
              size_t room); /* a member's name and its colon; a longer name is cut */
bool json_number(struct json *j, double *ret);
bool json_skip(struct json *j);                     /* any value */
bool json_end(struct json *j);                      /* nothing but blanks follows */
bool json_wrong(struct json *j, const char *error); /* false */
/* From the beginning of an object to the value of this member of it. */
bool json_find(struct json *j, const char *key);

#endif
