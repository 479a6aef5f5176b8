/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/mem.h"
#include "steps/slug.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *slug(const char *name, uint32_t n, const char *const *values, struct arena *a)
{
    static const char *const axes[] = {"x", "y"};
    struct value vs[2] = {{0}};
    for (uint32_t k = 0; k < n; k++)
        vs[k] = value_text(values[k]);
    struct matrix_row row = {.name = name, .n = n, .axes = axes, .values = vs};
    struct step step = {.name = name, .n_rows = 1, .rows = &row};
    return model_slug(&step, 0, a);
}

static bool fits(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && n <= 64 && s[n] == '\0' && s[0] != '.';
}

Test(steps_slug, axes_values_joined_or_the_step)
{
    struct arena *a = arena_new();
    cr_expect_str_eq(slug("train", 0, NULL, a), "train");
    cr_expect_str_eq(slug("train", 1, (const char *[]){"mlp"}, a), "mlp");
    cr_expect_str_eq(slug("train", 2, (const char *[]){"mlp", "0.1"}, a), "mlp-0.1");
    cr_expect_str_eq(slug("train", 1, (const char *[]){""}, a), "train");
    arena_free(a);
}

Test(steps_slug, nothing_gets_out_of_its_place_in_a_url)
{
    struct arena *a = arena_new();
    static const char *const hostile[] = {"../../etc", ".",   "..", "a/b?c#d", "a b\r\nHost: x",
                                          "\xc3\xa9",  "%2f", "\"", "{a}",     "\x01"};
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
        cr_expect(fits(slug("t", 1, &hostile[i], a)), "%s", slug("t", 1, &hostile[i], a));
    char wide[1001];
    memset(wide, 'w', sizeof(wide) - 1);
    wide[1000] = '\0';
    const char *value = wide, *many[300];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = slug("t", 1, &value, a);
    slugs_make_unique(many, ARRAY_LEN(many), a);
    cr_expect(fits(many[0]));
    cr_expect(fits(many[299]));
    arena_free(a);
}

Test(steps_slug, equal_ones_are_numbered_and_stay_apart)
{
    struct arena *a = arena_new();
    const char *slugs[] = {"a", "a-2", "a", "b", "a", "a-2"};
    slugs_make_unique(slugs, ARRAY_LEN(slugs), a);
    cr_expect_str_eq(slugs[0], "a");
    cr_expect_str_eq(slugs[1], "a-2");
    cr_expect_str_eq(slugs[2], "a-3");
    cr_expect_str_eq(slugs[3], "b");
    for (size_t i = 0; i < ARRAY_LEN(slugs); i++) {
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(slugs[i], slugs[k]);
    }
    arena_free(a);
}
