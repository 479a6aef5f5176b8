/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys against the naive model: the last instance that took a key and still has it. */
#include "engine/keys.h"

#include <criterion/criterion.h>
#include <string.h>

enum { N = 600, KEYS = 97, STEPS = 20000 };

static struct digest key_of(unsigned k)
{
    struct digest d = {{0}};

    /* Many share their first bytes' low bits, so that slots collide. */
    d.bytes[0] = (unsigned char)(k % 5 + 1);
    d.bytes[9] = (unsigned char)k;
    d.bytes[10] = (unsigned char)(k >> 8);
    return d;
}

Test(engine_keys, behaves_as_the_naive_model)
{
    static uint32_t owner[KEYS]; /* UINT32_MAX: none */
    static unsigned has[N];      /* KEYS: none */
    struct keys k = {.n = N};
    unsigned seed = 99;

    memset(owner, 0xff, sizeof(owner));
    for (int i = 0; i < N; i++) {
        has[i] = KEYS;
    }
    for (int s = 0; s < STEPS; s++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t i = (seed >> 8) % N;
        unsigned key = (seed >> 20) % KEYS;
        struct digest d = key_of(key);
        if (has[i] != KEYS && has[i] != key && owner[has[i]] == i) {
            owner[has[i]] = UINT32_MAX;
        }
        keys_put(&k, &d, i);
        owner[key] = i;
        has[i] = key;
        unsigned look = (seed >> 4) % KEYS;
        d = key_of(look);
        cr_assert_eq(keys_find(&k, &d), owner[look], "step %d", s);
        cr_assert_eq(keys_same(&k, i, &d), look == key);
    }
    keys_done(&k);
}

Test(engine_keys, nobody_waits_at_first)
{
    struct keys k = {.n = 3};
    struct digest d = key_of(1);

    cr_expect_eq(keys_find(&k, &d), UINT32_MAX);
    cr_expect_not(keys_waited_for(&k, 2));
    keys_waiters(&k, 1)->head = 0;
    cr_expect(keys_waited_for(&k, 1));
    cr_expect_not(keys_waited_for(&k, 2));
    keys_done(&k);
}
