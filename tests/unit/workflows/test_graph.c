/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "load_fixture.h"
#include "workflows/graph.h"

#include <criterion/criterion.h>
#include <jansson.h>

static const char diamond[] =
    "steps:\n"
    "  d: {run: x, needs: [b, c]}\n"
    "  b: {run: x, needs: a}\n"
    "  c: {run: x, matrix: {m: [1, 2]}, if: \"steps.a.status == 'failed'\"}\n"
    "  a: {run: x}\n"
    "finally:\n  z: {run: x}\n";

Test(workflows_graph, order_puts_needs_first_and_keeps_the_file_order)
{
    struct loaded l = load_text(diamond);
    cr_assert_eq(l.rc, 0, "%s", sb_text(&l.text));
    static const uint32_t expected[] = {3, 1, 2, 0, 4};
    cr_assert_eq(l.wf->n_order, 5);
    cr_expect_arr_eq(l.wf->order, expected, sizeof(expected));
    loaded_done(&l);
}

Test(workflows_graph, text_shows_each_step_once)
{
    struct loaded l = load_text(diamond);
    CLEANUP(sb_done) struct str out = {0};
    graph_text(l.wf, &out);
    cr_expect_str_eq(sb_text(&out), "a\n  b\n  c × 2\n    d ← b, c\nz (finally)\n");
    loaded_done(&l);
}

static const char *state_of(unsigned step, void *arg)
{
    (void)arg;
    return step == 3 ? "failed" : "skipped";
}

Test(workflows_graph, dot_and_mermaid)
{
    struct loaded l = load_text(diamond);
    CLEANUP(sb_done) struct str out = {0};
    graph_dot(l.wf, state_of, NULL, &out);
    cr_expect(text_starts(sb_text(&out), "digraph \"w\" {"));
    cr_expect_not_null(strstr(sb_text(&out), "s3 -> s1;"));
    cr_expect_not_null(strstr(sb_text(&out), "s3 -> s2 [style=dashed];"));
    cr_expect_not_null(strstr(sb_text(&out), "s3 [label=\"a\", fillcolor=\"#f4acb7\""));
    sb_clear(&out);
    graph_mermaid(l.wf, NULL, NULL, &out);
    cr_expect_not_null(strstr(sb_text(&out), "s3 --> s1\n"));
    cr_expect_not_null(strstr(sb_text(&out), "s3 -.-> s2\n"));
    loaded_done(&l);
}

Test(workflows_graph, json_says_what_the_author_says)
{
    struct loaded l = load_text("description: all of it\nlabels: {team: a}\n"
                                "steps:\n  s: {run: x, description: one, labels: {n: 1}}\n");
    CLEANUP(sb_done) struct str out = {0};
    graph_json(l.wf, NULL, NULL, &out);
    json_t *doc = json_loadb(sb_text(&out), out.len, 0, NULL);
    const char *all, *team, *one, *n;
    cr_assert_eq(json_unpack(doc, "{s:s, s:{s:s}, s:[{s:s, s:{s:s}}]}", "description", &all,
                             "labels", "team", &team, "steps", "description", &one, "labels", "n",
                             &n),
                 0);
    cr_expect_str_eq(all, "all of it");
    cr_expect_str_eq(team, "a");
    cr_expect_str_eq(one, "one");
    cr_expect_str_eq(n, "1");
    json_decref(doc);
    loaded_done(&l);
}

Test(workflows_graph, json)
{
    struct loaded l = load_text(diamond);
    CLEANUP(sb_done) struct str out = {0};
    graph_json(l.wf, state_of, NULL, &out);
    json_t *doc = json_loadb(sb_text(&out), out.len, 0, NULL);
    cr_assert_not_null(doc);
    json_t *step = json_array_get(json_object_get(doc, "steps"), 2);
    cr_expect_str_eq(json_string_value(json_object_get(step, "name")), "c");
    cr_expect_str_eq(json_string_value(json_object_get(step, "status")), "skipped");
    cr_expect_eq(json_integer_value(json_object_get(step, "branches")), 2);
    json_decref(doc);
    loaded_done(&l);
}

Test(workflows_graph, a_chain_of_100000_steps)
{
    CLEANUP(sb_done) struct str text = {0}, out = {0};
    sb_puts(&text, "steps:\n");
    for (int i = 0; i < 100000; i++)
        sb_printf(&text, "  s%d: {command: [x], needs: s%d}\n", i, i + 1);
    sb_puts(&text, "  s100000: {command: [x]}\n");
    struct loaded l = load_text(sb_text(&text));
    cr_assert_eq(l.rc, 0);
    cr_expect_eq(l.wf->order[0], 100000);
    cr_expect_eq(l.wf->order[100000], 0);
    graph_text(l.wf, &out);
    cr_expect_gt(out.len, 100000);
    loaded_done(&l);
}

Test(workflows_graph, a_long_cycle_is_named_in_full)
{
    struct loaded l = load_text("steps:\n"
                                "  c: {run: x, needs: d}\n"
                                "  a: {run: x, needs: c}\n"
                                "  d: {run: x, needs: [e, a]}\n"
                                "  e: {run: x}\n");
    cr_expect_eq(l.rc, 1);
    cr_expect_not_null(strstr(sb_text(&l.text), "c -> d -> a -> c"), "%s", sb_text(&l.text));
    loaded_done(&l);
}
