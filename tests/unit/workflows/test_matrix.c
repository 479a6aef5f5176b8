/* SPDX-License-Identifier: Apache-2.0 */
#include "expr_fixture.h"
#include "workflows/matrix.h"
#include "workflows/yaml.h"

#include <criterion/criterion.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
    fixture_param(&f, "models", fixture_json(&f, "\"[\\\"a\\\",\\\"b\\\"]\""));
    fixture_param(&f, "missing", value_null());
}

static void teardown(void)
{
    fixture_done(&f);
}

TestSuite(workflows_matrix, .init = setup, .fini = teardown);

static struct step step;

static bool expand(const char *yaml)
{
    diags_done(&f.diags);
    diags_init(&f.diags, "w.yaml");
    diags_set_text(&f.diags, yaml, strlen(yaml));
    struct node *n = yaml_parse(yaml, strlen(yaml), f.arena, &f.diags);
    cr_assert(n, "%s", yaml);
    step = (struct step){.name = "s"};
    return matrix_expand(&step, n, &f.scope, f.arena, &f.diags);
}

/* The branches' names in a line, or the first message. */
static const char *rows(const char *yaml)
{
    if (!expand(yaml))
        return f.diags.len ? f.diags.items[0].message : "no diagnostic";
    const char *all = "";
    for (uint32_t i = 0; i < step.n_rows; i++)
        all = arena_printf(f.arena, "%s%s%s", all, i ? " " : "", step.rows[i].name);
    return all;
}

#define ROWS(yaml, expected) cr_assert_str_eq(rows(yaml), expected)
#define REFUSED(yaml, part)                                                                        \
    do {                                                                                           \
        const char *got = rows(yaml);                                                              \
        cr_assert(strstr(got, part), "%s", got);                                                   \
        cr_assert_gt(f.diags.errors, 0);                                                           \
    } while (0)

Test(workflows_matrix, no_matrix_is_one_branch)
{
    step = (struct step){.name = "s"};
    cr_assert(matrix_expand(&step, NULL, &f.scope, f.arena, &f.diags));
    cr_assert_eq(step.n_rows, 1);
    cr_assert_str_eq(step.rows[0].name, "s");
    cr_assert_not(step.is_matrix);
}

Test(workflows_matrix, products)
{
    ROWS("model: [a, b]", "s[model=a] s[model=b]");
    ROWS("x: [1, 2]\ny: [a, b]\n", "s[x=1,y=a] s[x=1,y=b] s[x=2,y=a] s[x=2,y=b]");
    cr_assert(step.is_matrix);
    cr_assert_eq(step.rows[3].n, 2);
    cr_assert_str_eq(step.rows[3].axes[1], "y");
    cr_assert_str_eq(fixture_show(&f, &step.rows[3].values[0]), "2");
    ROWS("x: []", "");
    ROWS("x: [1]\ny: []", "");
}

Test(workflows_matrix, names_are_as_written)
{
    ROWS("lr: [1.10, 1e-3, 007, true]", "s[lr=1.10] s[lr=1e-3] s[lr=007] s[lr=true]");
    ROWS("v: ['', a b, \"it's\", a/b:c+d@e-f_g.h]",
         "s[v=\"\"] s[v=\"a b\"] s[v=\"it's\"] s[v=a/b:c+d@e-f_g.h]");
    ROWS("v: ['a\"b', 'é', 'a,b', 'a]', 'a=b']",
         "s[v=\"a\\\"b\"] s[v=\"é\"] s[v=\"a,b\"] s[v=\"a]\"] s[v=\"a=b\"]");
    char yaml[200], want[200];
    snprintf(yaml, sizeof(yaml), "v: [%064d, x%064d]", 1, 1);
    snprintf(want, sizeof(want), "s[v=%064d] s[v=\"x%064d\"]", 1, 1);
    ROWS(yaml, want);
}

Test(workflows_matrix, exclude)
{
    ROWS("x: [1, 2]\ny: [a, b]\nexclude: [{x: 1, y: b}]", "s[x=1,y=a] s[x=2,y=a] s[x=2,y=b]");
    ROWS("x: [1, 2]\ny: [a, b]\nexclude: [{x: 1}, {y: b}]", "s[x=2,y=a]");
    ROWS("exclude: [{x: 1}]\nx: [1]", "");
    ROWS("x: [1, 1.0]\nexclude: [{x: 1.0}, {x: '1.0'}]", "s[x=1]");
    cr_assert_eq(f.diags.warnings, 0);
    ROWS("x: [1, 2]\nexclude: [{x: 1.0}]", "s[x=1] s[x=2]");
    cr_assert_eq(f.diags.warnings, 1);
    REFUSED("model: [1]\nexclude: [{modle: 1}]", "'exclude' names 'modle'");
    cr_assert(strstr(f.diags.items[0].hint, "model"));
    REFUSED("x: [1]\nexclude: {x: 1}", "'exclude' must be a list");
    REFUSED("x: [1]\nexclude: [1]", "each entry of 'exclude'");
    REFUSED("x: [1]\nexclude: [{}]", "each entry of 'exclude'");
}

Test(workflows_matrix, include_by_githubs_example)
{
    ROWS("fruit: [apple, pear]\nanimal: [cat, dog]\n"
         "include:\n  - color: green\n  - {color: pink, animal: cat}\n"
         "  - {fruit: apple, shape: circle}\n  - fruit: banana\n  - {fruit: banana, animal: cat}\n",
         "s[fruit=apple,animal=cat,color=pink,shape=circle] "
         "s[fruit=apple,animal=dog,color=green,shape=circle] "
         "s[fruit=pear,animal=cat,color=pink] s[fruit=pear,animal=dog,color=green] "
         "s[fruit=banana] s[fruit=banana,animal=cat]");
}

Test(workflows_matrix, include)
{
    ROWS("include: [{a: 1}, {a: 2, b: x}]", "s[a=1] s[a=2,b=x]");
    ROWS("- {a: 1}\n- {b: 2}", "s[a=1] s[b=2]");
    ROWS("x: [1, 2]\ninclude: [{x: 1}]", "s[x=1] s[x=2]");
    ROWS("x: [1, 2]\nexclude: [{x: 2}]\ninclude: [{x: 2, y: 3}]", "s[x=1] s[x=2,y=3]");
    ROWS("x: []\ninclude: [{x: 2}]", "s[x=2]");
    REFUSED("x: [1]\ninclude: [{x: 2}, {x: 2}]", "are the same: s[x=2]");
    REFUSED("x: [1, 1]", "are the same: s[x=1]");
    REFUSED("x: [1]\ninclude: [{y: [1]}]", "a value of 'y' is a list");
}

Test(workflows_matrix, expressions)
{
    ROWS("model: ${{ fromJSON(params.models) }}\nlr: ['${{ params.lr }}', 2]",
         "s[model=a,lr=1.10] s[model=a,lr=2] s[model=b,lr=1.10] s[model=b,lr=2]");
    cr_assert(f.used[0] && f.used[4] && !f.used[1]);
    ROWS("${{ fromJSON('{\"a\":[1,2],\"exclude\":[{\"a\":1}]}') }}", "s[a=2]");
    ROWS("${{ fromJSON('[{\"a\":1},{\"a\":2}]') }}", "s[a=1] s[a=2]");
    ROWS("${{ fromJSON('[]') }}", "");
    ROWS("${{ fromJSON('{}') }}", "");
    ROWS("x: ['v${{ params.epochs }}']", "s[x=v007]");
    ROWS("include: ${{ fromJSON('[{\"a\":1}]') }}", "s[a=1]");
    ROWS("x: ['${{ params.missing }}']", "");
    REFUSED("${{ 1 }}", "this is a number");
    REFUSED("x: ${{ params.lr }}", "axis 'x' must be a list of values");
    REFUSED("x: ['${{ fromJSON(params.models) }}']", "a value of 'x' is a list");
    REFUSED("x: ${{ fromJSON(steps.a.values.x) }}", "not supported yet");
    REFUSED("x: ['${{ matrix.y }}']", "'matrix' is not known in a matrix");
    REFUSED("x: ['${{ params.nome }}']", "there is no param 'nome'");
    cr_assert(strstr(f.diags.items[0].hint, "name"));
    cr_assert_eq(f.diags.items[0].span.col, 10);
    REFUSED("x: ['${{ 1 == ''a'' }}']", "cannot compare");
    REFUSED("x: ['${{ 1 + }}']", "do not calculate");
}

Test(workflows_matrix, refused)
{
    REFUSED("{}", "a matrix needs an axis");
    REFUSED("5", "this is a number");
    REFUSED("x: 5", "axis 'x' must be a list");
    REFUSED("x: [null]", "a value of 'x' is null");
    REFUSED("x: [[1]]", "a value of 'x' is a list");
    REFUSED("x: [{a: 1}]", "a value of 'x' is an object");
    REFUSED("'1x': [1]", "cannot name an axis");
    REFUSED("'a b': [1]", "cannot name an axis");
    REFUSED("a-b: [1]\nA_B: [1]", "share the variable WF_MATRIX_A_B");
    REFUSED("lr: [1]\ninclude: [{LR: 1}]", "share the variable WF_MATRIX_LR");
    REFUSED("x: [1, null]\ny: 3\n", "null");
    cr_assert_eq(f.diags.errors, 2);
}

static const char *numbers(const char *axis, int count)
{
    struct str s = {0};
    sb_printf(&s, "%s: [", axis);
    for (int i = 0; i < count; i++)
        sb_printf(&s, "%s%d", i ? "," : "", i);
    sb_puts(&s, "]\n");
    const char *text = arena_strdup(f.arena, s.data);
    sb_done(&s);
    return text;
}

Test(workflows_matrix, size)
{
    cr_assert(expand(arena_printf(f.arena, "%s%s", numbers("a", 1000), numbers("b", 100))));
    cr_assert_eq(step.n_rows, 100000);
    cr_assert_str_eq(step.rows[99999].name, "s[a=999,b=99]");
    cr_assert_not(expand(arena_printf(f.arena, "%s%s", numbers("a", 1000), numbers("b", 101))));
    cr_assert(strstr(f.diags.items[0].message, "more than 100000 branches"));
    cr_assert_not(expand(numbers("a", 100001)));
    /* A product that overflows, and one that an empty axis makes none. */
    const char *wide = "";
    for (int i = 0; i < 30; i++)
        wide = arena_printf(f.arena, "%s%s", wide, numbers(arena_printf(f.arena, "a%d", i), 10));
    cr_assert_not(expand(wide));
    cr_assert(expand(arena_printf(f.arena, "%sz: []\n", wide)));
    cr_assert_eq(step.n_rows, 0);
}

Test(workflows_matrix, long_lists_of_exceptions_stay_quick)
{
    struct str s = {0};
    sb_puts(&s, numbers("a", 20000));
    sb_puts(&s, "exclude:\n");
    for (int i = 0; i < 10000; i++)
        sb_printf(&s, "- {a: %d}\n", i);
    sb_puts(&s, "include:\n");
    for (int i = 0; i < 20000; i++)
        sb_printf(&s, "- {a: %d, b: %d}\n", i, i);
    cr_assert(expand(s.data));
    cr_assert_eq(step.n_rows, 20000);
    cr_assert_str_eq(step.rows[0].name, "s[a=10000,b=10000]");
    cr_assert_str_eq(step.rows[19999].name, "s[a=9999,b=9999]");
    sb_done(&s);
}
