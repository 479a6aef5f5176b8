/* SPDX-License-Identifier: Apache-2.0 */
/* Lines alike at the beginning and at the end are put aside; those between are shown side by side. Linear, and good enough to say where somebody edited. */
#include "cache/explain_script.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 20 };

struct lines {
    VEC(struct slice) at;
};

static void split(struct lines *l, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        *vec_push(&l->at) = slice_of(text, len);
        text += len + (text[len] == '\n');
    }
}

void explain_script(const char *old, const char *now,
                    void (*fn)(const char *name, const char *old, const char *now, void *arg),
                    void *arg)
{
    struct lines a = {0}, b = {0};
    size_t head = 0, tail = 0, shown = 0;
    char name[64];

    split(&a, old);
    split(&b, now);
    size_t n = a.at.len, m = b.at.len, least = n < m ? n : m;
    while (head < least && slice_eq(a.at.items[head], b.at.items[head])) {
        head++;
    }
    while (tail < least - head && slice_eq(a.at.items[n - 1 - tail], b.at.items[m - 1 - tail])) {
        tail++;
    }
    size_t old_lines = n - head - tail, new_lines = m - head - tail;
    size_t count = old_lines > new_lines ? old_lines : new_lines;
    for (size_t i = 0; i < count; i++) {
        struct slice x = i < old_lines ? a.at.items[head + i] : slice_of(NULL, 0);
        struct slice y = i < new_lines ? b.at.items[head + i] : slice_of(NULL, 0);
        if (x.data && y.data && slice_eq(x, y)) {
            continue;
        }
        if (++shown > SHOWN) {
            snprintf(name, sizeof(name), "line %zu and on", head + i + 1);
            fn(name, "as it was", "more lines differ", arg);
            break;
        }
        CLEANUP(cleanup_free) char *before = x.data ? xstrndup(x.data, x.len) : NULL;
        CLEANUP(cleanup_free) char *after = y.data ? xstrndup(y.data, y.len) : NULL;
        snprintf(name, sizeof(name), "line %zu", head + i + 1);
        fn(name, before, after, arg);
    }
    if (count == 0 && strcmp(old, now) != 0) {
        fn("end", "as it was", "a line break more or less", arg);
    }
    vec_done(&a.at);
    vec_done(&b.at);
}
