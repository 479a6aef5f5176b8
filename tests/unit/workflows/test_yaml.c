/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/yaml.h"

#include <criterion/criterion.h>
#include <string.h>

struct parsed {
    struct arena *arena;
    struct diags d;
    struct node *root;
};

static struct parsed parse_bytes(const char *text, size_t len)
{
    struct parsed p = {.arena = arena_new()};
    diags_init(&p.d, "t.yaml");
    p.root = yaml_parse(text, len, p.arena, &p.d);
    return p;
}

static struct parsed parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void done(struct parsed *p)
{
    diags_done(&p->d);
    arena_free(p->arena);
}

static void expect_code(const char *text, const char *code)
{
    struct parsed p = parse(text);
    cr_expect_null(p.root, "%s", text);
    cr_assert_geq(p.d.len, 1, "%s", text);
    cr_expect_str_eq(p.d.items[0].code, code, "%s: %s", text, p.d.items[0].message);
    done(&p);
}

Test(workflows_yaml, core_types)
{
    static const struct {
        const char *text;
        enum scalar_type type;
    } cases[] = {
        {"null", SCALAR_NULL},    {"~", SCALAR_NULL},
        {"Null", SCALAR_NULL},    {"nULL", SCALAR_STRING},
        {"true", SCALAR_BOOL},    {"False", SCALAR_BOOL},
        {"yes", SCALAR_STRING},   {"on", SCALAR_STRING},
        {"1", SCALAR_NUMBER},     {"-1.5", SCALAR_NUMBER},
        {"+1", SCALAR_NUMBER},    {"1e3", SCALAR_NUMBER},
        {"1E-3", SCALAR_NUMBER},  {".5", SCALAR_NUMBER},
        {"1.", SCALAR_NUMBER},    {"0x1F", SCALAR_NUMBER},
        {"0o17", SCALAR_NUMBER},  {"0o18", SCALAR_STRING},
        {"007", SCALAR_NUMBER},   {"1e", SCALAR_STRING},
        {".", SCALAR_STRING},     {"-", SCALAR_STRING},
        {"1.2.3", SCALAR_STRING}, {"3:30", SCALAR_STRING},
        {"1_000", SCALAR_STRING}, {"2026-01-05", SCALAR_STRING},
        {"'1'", SCALAR_STRING},   {"\"true\"", SCALAR_STRING},
        {"0x", SCALAR_STRING},    {"+", SCALAR_STRING},
        {"e3", SCALAR_STRING},    {"truely", SCALAR_STRING},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(cleanup_free)
        char *text =
            xasprintf("- %s%s\n", strcmp(cases[i].text, "-") == 0 ? "a" : "", cases[i].text);
        struct parsed p = parse(text);
        cr_assert_not_null(p.root, "%s", text);
        cr_expect_eq(p.root->items[0]->type, cases[i].type, "%s", text);
        done(&p);
    }
}

Test(workflows_yaml, places_are_one_based_and_count_code_points)
{
    struct parsed p = parse("é: 'ü'\nlist:\n  - \"a\"\n  - b\n");
    cr_assert_not_null(p.root);
    cr_expect_eq(p.root->pairs[0].key_span.line, 1);
    cr_expect_eq(p.root->pairs[0].key_span.col, 1);
    cr_expect_eq(p.root->pairs[0].value->span.col, 5, "the text begins after its quote");
    const struct node *list = node_get(p.root, "list");
    cr_expect_eq(list->items[0]->span.line, 3);
    cr_expect_eq(list->items[0]->span.col, 6);
    cr_expect_eq(list->items[1]->span.col, 5);
    done(&p);
}

Test(workflows_yaml, block_scalars_know_their_indentation)
{
    struct parsed p = parse("a: |\n\n    one\n      two\nb: >-\n  x\n  y\n");
    cr_assert_not_null(p.root);
    const struct node *a = node_get(p.root, "a"), *b = node_get(p.root, "b");
    cr_expect(a->block && !a->folded);
    cr_expect_eq(a->indent, 4);
    cr_expect_str_eq(a->text, "\none\n  two\n");
    cr_expect(b->block && b->folded);
    cr_expect_eq(b->indent, 2);
    cr_expect_str_eq(b->text, "x y");
    done(&p);
}

Test(workflows_yaml, a_bom_is_no_column)
{
    struct parsed p = parse("\xef\xbb\xbf"
                            "a: 1\nb: 2\n");
    cr_assert_not_null(p.root);
    cr_expect_eq(p.root->len, 2);
    cr_expect_eq(p.root->pairs[0].key_span.col, 1);
    done(&p);
}

Test(workflows_yaml, merge_own_keys_win_then_earlier_maps)
{
    struct parsed p =
        parse("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  c: 3\n  <<: [*x, *y]\n  d: 3\n");
    cr_assert_not_null(p.root);
    const struct node *z = node_get(p.root, "z");
    cr_expect_eq(z->len, 4);
    cr_expect_str_eq(node_get(z, "a")->text, "1");
    cr_expect_str_eq(node_get(z, "b")->text, "1");
    cr_expect_str_eq(node_get(z, "c")->text, "3");
    cr_expect_str_eq(node_get(z, "d")->text, "3");
    cr_expect_null(node_get(z, "<<"));
    done(&p);
}

Test(workflows_yaml, a_quoted_merge_key_is_a_key)
{
    struct parsed p = parse("\"<<\": {a: 1}\n");
    cr_assert_not_null(p.root);
    cr_expect_not_null(node_get(p.root, "<<"));
    done(&p);
}

Test(workflows_yaml, merged_big_maps_have_no_duplicates)
{
    CLEANUP(sb_done) struct str text = {0};
    sb_puts(&text, "x: &x\n");
    for (int i = 0; i < 100; i++)
        sb_printf(&text, "  k%d: %d\n", i, i);
    sb_puts(&text, "y:\n  <<: *x\n");
    for (int i = 50; i < 150; i++)
        sb_printf(&text, "  k%d: own\n", i);
    struct parsed p = parse(sb_text(&text));
    cr_assert_not_null(p.root);
    const struct node *y = node_get(p.root, "y");
    cr_expect_eq(y->len, 150);
    cr_expect_str_eq(node_get(y, "k60")->text, "own");
    cr_expect_str_eq(node_get(y, "k10")->text, "10");
    done(&p);
}

Test(workflows_yaml, aliases_share_nodes)
{
    struct parsed p = parse("a: &a [1]\nb: *a\n");
    cr_assert_not_null(p.root);
    cr_expect_eq(node_get(p.root, "a"), node_get(p.root, "b"));
    done(&p);
}

Test(workflows_yaml, refusals)
{
    expect_code("", "yaml-empty");
    expect_code("# only\n", "yaml-empty");
    expect_code("a: 1\na: 2\n", "duplicate-key");
    expect_code("1: a\n", "yaml-key");
    expect_code("~: a\n", "yaml-key");
    expect_code("? {a: b}\n: c\n", "yaml-key");
    expect_code("a: !x b\n", "yaml-tag");
    expect_code("a: !!int 3\n", "yaml-tag");
    expect_code("a: .inf\n", "yaml-number");
    expect_code("--- {a: 1}\n--- {b: 1}\n", "yaml-documents");
    expect_code("a: *b\n", "yaml-alias");
    expect_code("a: &a {b: *a}\n", "yaml-alias");
    expect_code("a:\n\tb: 1\n", "yaml-tab");
    expect_code("{a: ${{ b }}}\n", "yaml-syntax");
    expect_code("a: b: c\n", "yaml-syntax");
    expect_code("a: \xff\n", "yaml-utf8");
    expect_code("<<: 1\n", "yaml-merge");
}

Test(workflows_yaml, nul_bytes)
{
    struct parsed p = parse_bytes("a: b\0c\n", 7);
    cr_expect_null(p.root);
    cr_expect_str_eq(p.d.items[0].code, "yaml-nul");
    cr_expect_eq(p.d.items[0].span.col, 5);
    done(&p);
}

Test(workflows_yaml, all_errors_at_once)
{
    struct parsed p = parse("a: 1\na: 2\nb: !x y\n3: z\n");
    cr_expect_eq(p.d.errors, 3);
    done(&p);
}

Test(workflows_yaml, depth_is_bounded_at_64)
{
    CLEANUP(sb_done) struct str text = {0};
    for (int depth = 64; depth <= 65; depth++) {
        sb_clear(&text);
        for (int i = 0; i < depth; i++)
            sb_putc(&text, '[');
        for (int i = 0; i < depth; i++)
            sb_putc(&text, ']');
        struct parsed p = parse(sb_text(&text));
        cr_expect_eq(p.root != NULL, depth == 64);
        if (depth == 65)
            cr_expect_str_eq(p.d.items[0].code, "yaml-depth");
        done(&p);
    }
}

Test(workflows_yaml, alias_bombs_are_refused_and_many_small_aliases_are_not)
{
    CLEANUP(sb_done) struct str text = {0};
    sb_puts(&text, "x0: &x0 [1,1,1,1,1,1,1,1,1,1]\n");
    for (int i = 1; i < 20; i++) {
        sb_printf(&text, "x%d: &x%d [", i, i);
        for (int k = 0; k < 10; k++)
            sb_printf(&text, "%s*x%d", k ? ", " : "", i - 1);
        sb_puts(&text, "]\n");
    }
    struct parsed p = parse(sb_text(&text));
    cr_expect_null(p.root);
    cr_expect_str_eq(p.d.items[0].code, "yaml-bomb");
    done(&p);
    sb_clear(&text);
    sb_puts(&text, "x: &x {a: 1, b: 2}\nlist:\n");
    for (int i = 0; i < 100000; i++)
        sb_puts(&text, "- *x\n");
    p = parse(sb_text(&text));
    cr_expect_not_null(p.root);
    done(&p);
}

Test(workflows_yaml, files_over_64_mib_are_refused)
{
    size_t len = ((size_t)64 << 20) + 1;
    CLEANUP(cleanup_free) char *text = xmalloc(len);
    memset(text, '\n', len);
    struct parsed p = parse_bytes(text, len);
    cr_expect_null(p.root);
    cr_expect_str_eq(p.d.items[0].code, "yaml-size");
    done(&p);
}

Test(workflows_yaml, partial_results_survive_errors)
{
    struct parsed p = {.arena = arena_new()};
    const char *text = "a: 1\na: 2\nb: 3\n";
    diags_init(&p.d, "t.yaml");
    p.root = yaml_parse_partial(text, strlen(text), p.arena, &p.d);
    cr_assert_not_null(p.root);
    cr_expect_eq(p.d.errors, 1);
    cr_expect_str_eq(node_get(p.root, "a")->text, "1", "the first one holds");
    cr_expect_str_eq(node_get(p.root, "b")->text, "3");
    done(&p);
}
