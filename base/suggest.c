/* SPDX-License-Identifier: Apache-2.0 */
/* Optimal string alignment over bytes, counted in halves: an edit costs two, another case of the same letter one. */
#include "base/suggest.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define MAX_WORD 64 /* nobody mistypes longer names; also keeps the table on the stack */
#define EDIT 2

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static int letter_cost(char a, char b)
{
    return a == b ? 0 : lower(a) == lower(b) ? 1 : EDIT;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int rows[3][MAX_WORD + 1];
    int *above2 = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_len; j++) {
        above[j] = (int)j * EDIT;
        above2[j] = 0; /* read from the second row on only */
    }
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = (int)i * EDIT;
        for (size_t j = 1; j <= b_len; j++) {
            int cost = above[j - 1] + letter_cost(a[i - 1], b[j - 1]);
            cost = least(cost, least(above[j], row[j - 1]) + EDIT);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                cost = least(cost, above2[j - 2] + EDIT);
            }
            row[j] = cost;
        }
        int *spare = above2;
        above2 = above;
        above = row;
        row = spare;
    }
    return above[b_len];
}

const char *suggest_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    int best_cost = INT_MAX;
    size_t len = strnlen(word, MAX_WORD + 1);

    for (size_t i = 0; i < count && len <= MAX_WORD; i++) {
        size_t other = strnlen(words[i], MAX_WORD + 1);
        size_t longer = len > other ? len : other, shorter = len > other ? other : len;
        if (longer > MAX_WORD || (int)(longer - shorter) * EDIT >= best_cost) {
            continue;
        }
        int cost = distance(word, len, words[i], other);
        bool near = (size_t)cost * 3 <= longer * EDIT || strcasecmp(word, words[i]) == 0;
        if (cost < best_cost && near) {
            best_cost = cost;
            best = words[i];
        }
    }
    return best;
}
