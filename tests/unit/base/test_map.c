/* SPDX-License-Identifier: Apache-2.0 */
/* The map against a naive model: an array searched from the beginning. */
#include "base/map.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

Test(base_map, behaves_as_the_naive_model)
{
    enum { KEYS = 700, STEPS = 20000 };
    static char keys[KEYS][16];
    static void *values[KEYS]; /* NULL: absent */
    static int order[KEYS];
    static char pool[STEPS];
    int known = 0;
    struct map m = {0};
    unsigned seed = 4711;

    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "key-%d", i * 7);
    }
    for (int step = 0; step < STEPS; step++) {
        int k = (int)(next_random(&seed) % KEYS);
        if (next_random(&seed) % 2) {
            bool is_new = map_put_text(&m, keys[k], &pool[step]);
            cr_assert_eq(is_new, values[k] == NULL);
            if (is_new) {
                order[known++] = k;
            }
            values[k] = &pool[step];
        } else {
            cr_assert_eq(map_get_text(&m, keys[k]), values[k]);
        }
        cr_assert_eq(m.len, (size_t)known);
    }
    for (int i = 0; i < known; i++) {
        cr_assert_str_eq(m.items[i].key, keys[order[i]]);
        cr_assert_eq(m.items[i].value, values[order[i]]);
        cr_assert_eq(map_find(&m, keys[order[i]], strlen(keys[order[i]])), i);
    }
    map_done(&m);
    cr_assert_eq(m.len, 0);
    cr_assert_null(map_get_text(&m, keys[0]));
}

Test(base_map, an_empty_map_finds_nothing)
{
    struct map m = {0};

    cr_assert_null(map_get_text(&m, "a"));
    cr_assert_eq(map_find(&m, "a", 1), -1);
    map_done(&m);
}

Test(base_map, keys_are_bytes)
{
    struct map m = {0};
    int a, b, c, d;

    cr_assert(map_put(&m, "x\0y", 3, &a));
    cr_assert(map_put(&m, "x\0z", 3, &b));
    cr_assert(map_put(&m, "x", 1, &c));
    cr_assert(map_put(&m, "", 0, &d));
    cr_assert_eq(map_get(&m, "x\0y", 3), &a);
    cr_assert_eq(map_get(&m, "x\0z", 3), &b);
    cr_assert_eq(map_get(&m, "x", 1), &c);
    cr_assert_eq(map_get(&m, NULL, 0), &d);
    cr_assert_null(map_get(&m, "x\0", 2));
    map_done(&m);
}

Test(base_map, a_null_value_is_found_by_index)
{
    struct map m = {0};

    cr_assert(map_put_text(&m, "a", NULL));
    cr_assert(!map_put_text(&m, "a", NULL));
    cr_assert_eq(map_find(&m, "a", 1), 0);
    map_done(&m);
}

Test(base_map, many_keys_stay_spread)
{
    enum { COUNT = 200000 };
    static char keys[COUNT][8];
    struct map m = {0};

    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%d", i);
        cr_assert(map_put_text(&m, keys[i], keys[i]));
    }
    /* Linear probing of well-spread hashes looks at few slots. */
    size_t probes = 0, mask = m.slot_count - 1;
    for (size_t i = 0; i < m.len; i++) {
        for (size_t at = (size_t)m.items[i].hash & mask; m.slots[at] != i + 1;
             at = (at + 1) & mask) {
            probes++;
        }
    }
    cr_assert_lt(probes / m.len, 3);
    map_done(&m);
}
