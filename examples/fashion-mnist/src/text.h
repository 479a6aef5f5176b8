/* SPDX-License-Identifier: Apache-2.0 */
/* A text that grows: request and answer bodies. Ends the program when there is no memory. */
#ifndef FASHION_TEXT_H
#define FASHION_TEXT_H

#include <stddef.h>

struct text { /* zeroed: empty */
    char *data;
    size_t len, room;
};
void text_add(struct text *t, const void *data, size_t len);
void text_print(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_quote(struct text *t, const char *s); /* as a JSON string */
void text_done(struct text *t);

#endif
