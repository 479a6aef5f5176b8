/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/causes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { N = 100000, NONE = UINT32_MAX };

static struct causes *causes;
static struct arena *arena;
static char names[N][8];

static void setup(void)
{
    causes = causes_new(N);
    arena = arena_new();
    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "s%u", i);
    }
}

static void teardown(void)
{
    causes_free(causes);
    arena_free(arena);
}

TestSuite(engine_causes, .init = setup, .fini = teardown, .timeout = 30);

static const char *name_of(uint32_t instance, const void *arg)
{
    (void)arg;
    return names[instance];
}

static const char *sentence(uint32_t instance)
{
    struct why_link *chain = NULL;
    size_t n = causes_chain(causes, instance, name_of, NULL, arena, &chain);

    return chain_sentence(chain, n, arena);
}

Test(engine_causes, nothing_told)
{
    cr_expect_str_eq(sentence(3), "");
    cr_expect_not(causes_known(causes, 3));
}

Test(engine_causes, from_step_to_step)
{
    char text[] = "input a: content changed";

    causes_set(causes, 0, NONE, "will run", text);
    memset(text, 'x', sizeof(text) - 1); /* it was copied */
    causes_set(causes, 1, 0, "may run", NULL);
    causes_set(causes, 2, 1, "may run", NULL);
    cr_expect_str_eq(sentence(0), "s0 will run because input a: content changed");
    cr_expect_str_eq(sentence(2),
                     "s2 may run because s1 may run because s0 will run because input a: content "
                     "changed");
    causes_set(causes, 5, 4, "ran", "never ran"); /* of 4 nothing is known: it is a root itself */
    cr_expect_str_eq(sentence(5), "s5 ran because it never ran");
    causes_set(causes, 6, NONE, "ran", "--refresh");
    cr_expect_str_eq(sentence(6), "s6 ran because of --refresh");
}

Test(engine_causes, long_ways_are_cut_and_end_at_the_root)
{
    struct why_link *chain = NULL;
    size_t links = 0;

    causes_set(causes, 0, NONE, "ran", "param p: 1 → 2");
    for (uint32_t i = 1; i < N; i++) {
        causes_set(causes, i, i - 1, "ran", NULL);
    }
    for (uint32_t i = 0; i < N; i++) {
        links = causes_chain(causes, i, name_of, NULL, arena, &chain);
    }
    cr_assert_eq(links, (size_t)CHAIN_SHOWN);
    cr_expect_str_eq(chain[0].step, "s99999");
    cr_expect_str_eq(chain[CHAIN_SHOWN - 1].step, "s0");
    cr_expect_eq(chain[CHAIN_SHOWN - 1].between, (size_t)N - CHAIN_SHOWN);
    cr_expect_str_eq(chain[CHAIN_SHOWN - 1].why, "param p: 1 → 2");
}
