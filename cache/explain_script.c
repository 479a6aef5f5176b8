/* SPDX-License-Identifier: Apache-2.0 */
/* Lines alike at the beginning and at the end are put aside; between them the shortest edit script is looked for (E. Myers, "An O(ND) difference algorithm", greedy form): `v` holds how far each
 * diagonal reaches, `trace` what it held before each round, and the way back through the rounds tells which lines were taken out and which put in. */
#include "cache/explain_script.h"

#include "base/mem.h"
#include "base/vec.h"

#include <stdlib.h>
#include <string.h>

enum { EDITS_MAX = 1000 };

struct lines {
    VEC(struct slice) at;
};
struct edits {
    const struct slice *a, *b;
    int n, m;
    bool *removed, *added; /* per line of a, of b */
};

static void split(struct lines *l, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        *vec_push(&l->at) = slice_of(text, len);
        text += len + (text[len] == '\n');
    }
}

/* How far round d reaches on diagonal k, from what round d - 1 left; v is centred. */
static int step_down(const int *v, int d, int k)
{
    return k == -d || (k != d && v[k - 1] < v[k + 1]) ? v[k + 1] : v[k - 1] + 1;
}

/* Returns the rounds it took, or -1: too many. trace gets 2d + 1 numbers of each round. */
static int search(const struct edits *e, int max, int *v, int **trace)
{
    for (int d = 0; d <= max; d++) {
        for (int k = -d; k <= d; k += 2) {
            int x = d == 0 ? 0 : step_down(v, d, k);
            while (x < e->n && x - k < e->m && slice_eq(e->a[x], e->b[x - k])) {
                x++;
            }
            v[k] = x;
            if (k == e->n - e->m && x >= e->n) {
                return d;
            }
        }
        trace[d] = xmalloc((size_t)(2 * d + 1) * sizeof(int));
        memcpy(trace[d], v - d, (size_t)(2 * d + 1) * sizeof(int));
    }
    return -1;
}

static void walk_back(const struct edits *e, int rounds, int *const *trace)
{
    int x = e->n, y = e->m;

    for (int d = rounds; d > 0; d--) {
        const int *v = trace[d - 1] + (d - 1); /* centred: diagonals -(d-1) to d-1 */
        int k = x - y;
        bool down = k == -d || (k != d && v[k - 1] < v[k + 1]);
        int from = down ? k + 1 : k - 1;
        int before = v[from];
        if (down) {
            e->added[before - from] = true;
        } else {
            e->removed[before] = true;
        }
        x = before;
        y = before - from;
    }
}

/* False: more edits than are looked for. */
static bool shortest(const struct edits *e)
{
    int max = e->n + e->m < EDITS_MAX ? e->n + e->m : EDITS_MAX;
    int *room = xcalloc((size_t)(2 * max + 3), sizeof(int));
    int **trace = xcalloc((size_t)max + 1, sizeof(*trace));
    int rounds = search(e, max, room + max + 1, trace);

    if (rounds >= 0) {
        walk_back(e, rounds, trace);
    }
    for (int d = 0; d <= max; d++) {
        free(trace[d]);
    }
    free(trace);
    free(room);
    return rounds >= 0;
}

/* Line by line: where both have the same line at the same place it is no difference. */
static void side_by_side(const struct edits *e)
{
    for (int i = 0; i < e->n || i < e->m; i++) {
        bool same = i < e->n && i < e->m && slice_eq(e->a[i], e->b[i]);
        if (i < e->n) {
            e->removed[i] = !same;
        }
        if (i < e->m) {
            e->added[i] = !same;
        }
    }
}

/* Neighbours taken out and put in are lines replaced, one by one. */
static void tell(const struct edits *e, size_t head,
                 void (*fn)(const struct line_change *c, void *arg), void *arg)
{
    int x = 0, y = 0;

    while (x < e->n || y < e->m) {
        bool out = x < e->n && e->removed[x], in = y < e->m && e->added[y];
        if (!out && !in) {
            x++;
            y++;
            continue;
        }
        struct line_change c = {0};
        if (out) {
            c.old = e->a[x];
            c.old_line = head + (size_t)++x;
        }
        if (in) {
            c.now = e->b[y];
            c.new_line = head + (size_t)++y;
        }
        fn(&c, arg);
    }
}

void explain_lines(const char *old, const char *now,
                   void (*fn)(const struct line_change *c, void *arg), void *arg)
{
    struct lines a = {0}, b = {0};
    size_t head = 0, tail = 0;

    split(&a, old);
    split(&b, now);
    size_t n = a.at.len, m = b.at.len, least = n < m ? n : m;
    while (head < least && slice_eq(a.at.items[head], b.at.items[head])) {
        head++;
    }
    while (tail < least - head && slice_eq(a.at.items[n - 1 - tail], b.at.items[m - 1 - tail])) {
        tail++;
    }
    n -= head + tail;
    m -= head + tail;
    if (n + m > 0) {
        struct edits e = {.a = n > 0 ? a.at.items + head : NULL,
                          .b = m > 0 ? b.at.items + head : NULL,
                          .n = (int)n,
                          .m = (int)m,
                          .removed = xcalloc(n + 1, sizeof(bool)),
                          .added = xcalloc(m + 1, sizeof(bool))};
        if (n == 0 || m == 0 || !shortest(&e)) {
            side_by_side(&e);
        }
        tell(&e, head, fn, arg);
        free(e.removed);
        free(e.added);
    }
    vec_done(&a.at);
    vec_done(&b.at);
}
