/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include "util.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct text *t, size_t more)
{
    if (t->room - t->len > more)
        return;
    t->room = (t->len + more + 1) * 2;
    t->data = realloc(t->data, t->room);
    if (!t->data)
        die("out of memory");
}

void text_add(struct text *t, const void *data, size_t len)
{
    reserve(t, len);
    memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void text_print(struct text *t, const char *format, ...)
{
    for (size_t room = 64;; room *= 8) {
        va_list args;
        reserve(t, room);
        va_start(args, format);
        int n = vsnprintf(t->data + t->len, t->room - t->len, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < t->room - t->len) {
            t->len += (size_t)n;
            return;
        }
    }
}

void text_quote(struct text *t, const char *s)
{
    text_add(t, "\"", 1);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            text_print(t, "\\%c", *s);
        else if ((unsigned char)*s < ' ')
            text_print(t, "\\u%04x", (unsigned)*s);
        else
            text_add(t, s, 1);
    }
    text_add(t, "\"", 1);
}

void text_done(struct text *t)
{
    free(t->data);
    *t = (struct text){0};
}
