/* SPDX-License-Identifier: Apache-2.0 */
/* Services, promotions, and needs by any, each and a number: what the model holds. Each wrong form has its golden case in tests/data/invalid. */
#include "base/arena.h"
#include "base/mem.h"
#include "load_fixture.h"
#include "workflows/graph.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#define TRAIN                                                                                      \
    "  train: {kind: train, matrix: {m: [a, b, c]}, run: t, outputs: {model: m, metrics: j}}\n"    \
    "  select: {kind: select, from: train, metric: acc, top: 2, promote: early}\n"

static const struct step *step_of(const struct loaded *l, const char *name)
{
    cr_assert_eq(l->rc, 0, "%s", sb_text(&l->text));
    uint32_t i = workflow_find_step(l->wf, name, strlen(name));
    cr_assert_neq(i, NONE, "%s", name);
    return &l->wf->steps[i];
}

static const struct need *need_of(const struct loaded *l, const char *step, const char *of)
{
    const struct step *s = step_of(l, step);
    for (uint32_t i = 0; i < s->n_needs; i++) {
        if (strcmp(l->wf->steps[s->needs[i].step].name, of) == 0)
            return &s->needs[i];
    }
    cr_assert_fail("%s does not need %s", step, of);
    return NULL;
}

/* --- serve --- */

Test(workflows_serve, a_serve_step_with_nothing_said)
{
    struct loaded l = load_text("steps:\n  s: {kind: serve, run: serve}\n");
    const struct step *s = step_of(&l, "s");
    const struct serve_options *o = s->serve;
    cr_assert_not_null(o);
    cr_expect_eq(o->from, NONE);
    cr_expect_eq(o->replicas, 1);
    cr_expect_null(o->ready_path);
    cr_expect_null(o->ready_run);
    cr_expect_eq(o->ready_timeout_ms, 300000);
    cr_expect_null(o->listen.host);
    cr_expect_eq(o->listen.port, 0);
    cr_expect_eq(o->address, ADDRESS_SOCKET);
    cr_expect_eq(o->balance, BALANCE_ROUND_ROBIN);
    cr_expect_eq(o->limits.concurrent, 0);
    cr_expect_eq(o->canary_share, 0);
    cr_expect(!o->scales && !o->keep && !o->first_stop);
    cr_expect(step_is_service(s));
    cr_expect_eq(s->n_outputs, 0);
    loaded_done(&l);
}

static struct listen_options listen_of(const char *written)
{
    CLEANUP(cleanup_free)
    char *text = xasprintf("steps:\n  s: {kind: serve, run: x, listen: %s}\n", written);
    struct loaded l = load_text(text);
    struct listen_options o = step_of(&l, "s")->serve->listen;
    static char host[64];
    if (o.host) {
        cr_assert_lt(strlen(o.host), sizeof(host));
        o.host = strcpy(host, o.host);
    }
    loaded_done(&l);
    return o;
}

Test(workflows_serve, hosts_lose_their_brackets_and_ports_stand_alone)
{
    struct listen_options o = listen_of("8080");
    cr_expect_null(o.host);
    cr_expect_eq(o.port, 8080);
    o = listen_of("'[fe80::1]:65535'");
    cr_expect_str_eq(o.host, "fe80::1");
    cr_expect_eq(o.port, 65535);
    o = listen_of("0.0.0.0:0");
    cr_expect_str_eq(o.host, "0.0.0.0");
    cr_expect_eq(o.port, 0);
    o = listen_of("localhost:1");
    cr_expect_str_eq(o.host, "localhost");
}

Test(workflows_serve, nothing_but_addresses_and_tokens_gets_into_a_configuration)
{
    static const char *const bad[] = {
        "listen: 'a b:80'",
        "listen: \"127.0.0.1\\n:80\"",
        "listen: '[::1 ]:80'",
        "listen: '::1'",
        "listen: '127.1:80'",
        "listen: '+1'",
        "listen: '1 '",
        "shard_by: 'header:X-A,B'",
        "shard_by: 'header:X-A:'",
        "shard_by: \"header:X\\0\"",
        "shard_by: \"header:X-\\u00e4\"",
        "shard_by: 'Header:X'",
        "shard_by: 'cookie:X'",
        "ready: '//a b'",
        "ready: \"/a\\r\\nHost: x\"",
        "ready: '/a#b'",
        "ready: '/a\\b'",
        "address: '80 81'",
        "address: -1",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(cleanup_free)
        char *text = xasprintf("steps:\n  s: {kind: serve, run: x, %s}\n", bad[i]);
        struct loaded l = load_text(text);
        cr_expect_eq(l.rc, 1, "%s", bad[i]);
        cr_expect_geq(l.d.errors, 1, "%s", bad[i]);
        loaded_done(&l);
    }
}

Test(workflows_serve, rates_are_per_second)
{
    struct loaded l = load_text(
        "steps:\n  s: {kind: serve, run: x, limits: {concurrent: 3, queue: 4, rate: {anonymous: "
        "0.5/s, authenticated: 120/m, tokens: t}}}\n  h: {kind: serve, run: x, limits: {rate: "
        "{anonymous: 3600/h}}}\n");
    const struct limit_options *o = &step_of(&l, "s")->serve->limits;
    cr_expect_eq(o->concurrent, 3);
    cr_expect_eq(o->queue, 4);
    cr_expect_float_eq(o->rate_anonymous, 0.5, 1e-12);
    cr_expect_float_eq(o->rate_authenticated, 2, 1e-12);
    cr_expect_str_eq(o->tokens->source, "t");
    cr_expect_float_eq(step_of(&l, "h")->serve->limits.rate_anonymous, 1, 1e-12);
    loaded_done(&l);
}

Test(workflows_serve, equal_keys_mean_a_hash_and_an_own_port_means_stop_first)
{
    struct loaded l = load_text("steps:\n  a: {kind: serve, run: x, shard_by: header:X-User}\n"
                                "  b: {kind: serve, run: x, address: 8086}\n");
    const struct serve_options *a = step_of(&l, "a")->serve, *b = step_of(&l, "b")->serve;
    cr_expect_eq(a->balance, BALANCE_HASH);
    cr_expect_str_eq(a->shard_header, "X-User");
    cr_expect_eq(b->address, ADDRESS_FIXED);
    cr_expect_eq(b->fixed_port, 8086);
    cr_expect(b->first_stop);
    loaded_done(&l);
}

Test(workflows_serve, params_settle_what_is_served)
{
    struct param_override over[] = {{"port", "9999"}, {"n", "5"}};
    struct load_options o = {.params = over, .n_params = ARRAY_LEN(over)};
    struct loaded l = load_with("params: {port: 1, n: 1}\nsteps:\n  s: {kind: serve, run: x, "
                                "listen: '127.0.0.1:${{ params.port }}', replicas: '${{ params.n "
                                "}}'}\n",
                                o, NULL);
    cr_expect_eq(step_of(&l, "s")->serve->listen.port, 9999);
    cr_expect_eq(step_of(&l, "s")->serve->replicas, 5);
    loaded_done(&l);
}

Test(workflows_serve, steps_of_one_kind_do_not_share_what_one_of_them_says)
{
    struct loaded l = load_text("defaults: {serve: {replicas: 3, limits: {concurrent: 2}}}\n"
                                "steps:\n  a: {kind: serve, run: x, replicas: 1, limits: null}\n"
                                "  b: {kind: serve, run: x}\n");
    cr_expect_eq(step_of(&l, "a")->serve->replicas, 1);
    cr_expect_eq(step_of(&l, "a")->serve->limits.concurrent, 0);
    cr_expect_eq(step_of(&l, "b")->serve->replicas, 3);
    cr_expect_eq(step_of(&l, "b")->serve->limits.concurrent, 2);
    loaded_done(&l);
}

/* --- online aggregates, endpoints, promotions --- */

Test(workflows_serve, an_aggregate_of_a_serve_step_answers_and_has_no_files)
{
    struct loaded l = load_text("steps:\n" TRAIN "  ens: {kind: aggregate, from: serve, method: "
                                "vote, listen: 8080, quorum: 2, split: 7}\n"
                                "  files: {kind: aggregate, from: train, of: model, method: vote}\n"
                                "  serve: {kind: serve, from: select, run: x}\n");
    const struct step *e = step_of(&l, "ens"), *f = step_of(&l, "files");
    cr_expect(e->aggregate->online && step_is_service(e));
    cr_expect_eq(e->n_outputs, 0);
    cr_expect_eq(e->aggregate->quorum, 2);
    cr_expect_eq(e->aggregate->split, 7);
    cr_expect_eq(e->aggregate->listen.port, 8080);
    cr_expect_not_null(e->uncacheable);
    cr_expect(!f->aggregate->online && !step_is_service(f));
    cr_expect_eq(f->n_outputs, 1);
    cr_expect_null(f->uncacheable);
    cr_expect_eq(step_of(&l, "serve")->serve->from, workflow_find_step(l.wf, "select", 6));
    loaded_done(&l);
}

Test(workflows_serve, an_endpoint_is_a_need_and_no_part_of_a_result)
{
    struct loaded l =
        load_text("steps:\n  s: {kind: serve, run: x}\n"
                  "  a: {run: 'x ${{ steps.s.endpoint }}', outputs: {o: o}}\n"
                  "  b: {run: 'x ${{ default(steps.s.endpoint, 1) }}', outputs: {o: o}}\n"
                  "  c: {run: x, needs: s, outputs: {o: o}}\n");
    cr_expect_str_eq(step_of(&l, "a")->uncacheable, "names an endpoint");
    cr_expect_eq(step_of(&l, "a")->n_reads, 0);
    cr_expect(!need_of(&l, "a", "s")->order_only);
    cr_expect(need_of(&l, "b", "s")->order_only, "default() covers it");
    cr_expect_null(step_of(&l, "c")->uncacheable, "needs alone is order");
    loaded_done(&l);
}

Test(workflows_serve, early_promotion)
{
    struct loaded l = load_text(
        "steps:\n" TRAIN
        "  all: {kind: select, from: train, metric: acc, promote: complete, min_delta: 0.5}\n"
        "  wait: {kind: select, from: train, metric: acc, promote: early, wait: {for: 2, at_most: "
        "90s}}\n");
    cr_expect(step_of(&l, "select")->select->early);
    cr_expect(!step_of(&l, "all")->select->early);
    cr_expect_float_eq(step_of(&l, "all")->select->min_delta, 0.5, 1e-12);
    cr_expect_eq(step_of(&l, "wait")->select->wait_for, 2);
    cr_expect_eq(step_of(&l, "wait")->select->wait_at_most_ms, 90000);
    loaded_done(&l);
}

Test(workflows_serve, who_follows_a_service)
{
    struct loaded l = load_text("defaults: {on_promotion: each}\n"
                                "steps:\n" TRAIN "  serve: {kind: serve, from: select, run: x}\n"
                                "  ens: {kind: aggregate, from: serve, method: mean}\n"
                                "  each: {run: 'x ${{ steps.ens.endpoint }}'}\n"
                                "  first: {run: x, needs: serve, on_promotion: first}\n"
                                "  last: {run: x, needs: serve, on_promotion: null}\n"
                                "  apart: {run: x, needs: train}\n");
    cr_expect_eq(step_of(&l, "each")->on_promotion, ON_PROMOTION_EACH);
    cr_expect_eq(step_of(&l, "first")->on_promotion, ON_PROMOTION_FIRST);
    cr_expect_eq(step_of(&l, "last")->on_promotion, ON_PROMOTION_LAST);
    cr_expect_eq(step_of(&l, "apart")->on_promotion, ON_PROMOTION_LAST);
    cr_expect_eq(step_of(&l, "ens")->on_promotion, ON_PROMOTION_LAST);
    loaded_done(&l);
}

/* --- needs --- */

Test(workflows_serve, needs_keep_their_mode_when_they_are_read_too)
{
    struct loaded l = load_text("steps:\n" TRAIN
                                "  any: {run: 'x ${{ steps.train.outputs.model }}', needs: {train: "
                                "any}}\n"
                                "  two: {run: x, needs: {train: 2, select: all}}\n"
                                "  each: {run: x, needs: {train: each}}\n"
                                "  lone: {run: x, needs: {any: each, two: 1}}\n");
    cr_expect_eq(need_of(&l, "any", "train")->mode, NEED_ANY);
    cr_expect_eq(need_of(&l, "two", "train")->mode, NEED_COUNTED);
    cr_expect_eq(need_of(&l, "two", "train")->count, 2);
    cr_expect_eq(need_of(&l, "two", "select")->mode, NEED_ALL);
    cr_expect_eq(need_of(&l, "each", "train")->mode, NEED_EACH);
    cr_expect_eq(need_of(&l, "lone", "any")->mode, NEED_ALL, "one branch: each is all");
    cr_expect_eq(need_of(&l, "lone", "two")->mode, NEED_ALL);
    cr_expect_eq(step_of(&l, "lone")->n_rows, 1);
    cr_expect(!step_of(&l, "lone")->is_matrix);
    loaded_done(&l);
}

Test(workflows_serve, each_goes_along_a_chain_and_multiplies)
{
    /* In any order of the file. */
    struct loaded l = load_text(
        "steps:\n"
        "  c: {run: 'x ${{ matrix.set }} ${{ matrix.n }}', needs: {b: each}, matrix: {n: [1, 2]}}\n"
        "  b: {run: 'x ${{ matrix.set }}', needs: {a: each}, max_parallel: 1}\n"
        "  a: {run: x, matrix: {set: [p, q]}}\n");
    const struct step *b = step_of(&l, "b"), *c = step_of(&l, "c");
    cr_assert_eq(b->n_rows, 2);
    cr_expect_str_eq(b->rows[1].name, "b[set=q]");
    cr_expect(b->is_matrix);
    static const char *const names[] = {"c[set=p,n=1]", "c[set=p,n=2]", "c[set=q,n=1]",
                                        "c[set=q,n=2]"};
    cr_assert_eq(c->n_rows, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        cr_expect_str_eq(c->rows[i].name, names[i]);
    loaded_done(&l);
}

Test(workflows_serve, two_of_each_join_however_their_axes_stand)
{
    struct loaded l = load_text("steps:\n"
                                "  a: {run: x, matrix: {s: [1, 2], t: [u, v]}}\n"
                                "  b: {run: x, matrix: {t: [v, u], s: [2, 1]}}\n"
                                "  c: {run: x, needs: {b: each, a: each}}\n");
    const struct step *c = step_of(&l, "c");
    cr_assert_eq(c->n_rows, 4);
    cr_expect_str_eq(c->rows[0].name, "c[s=1,t=u]", "as the first of them in the file has it");
    loaded_done(&l);
}

Test(workflows_serve, each_of_a_choice_is_a_branch_per_model_that_may_be_chosen)
{
    struct loaded l =
        load_text("defaults: {env: {M: '${{ model.slug }}'}}\n"
                  "steps:\n" TRAIN "  few: {kind: select, from: train, metric: acc, top: 9}\n"
                  "  a: {run: 'x ${{ model.path }}', needs: {select: each}, outputs: {o: o}}\n"
                  "  b: {run: 'x ${{ model.path }}', needs: {few: each}, if: always()}\n"
                  "  t: {run: x, env: null}\n");
    cr_expect_eq(l.rc, 1, "the default names a model, and t and train have none");
    loaded_done(&l);
    l = load_text("steps:\n" TRAIN "  few: {kind: select, from: train, metric: acc, top: 9}\n"
                  "  a: {run: 'x ${{ model.path }}', needs: {select: each}, outputs: {o: o}}\n"
                  "  b: {run: 'x ${{ model.path }}', needs: {few: each}, if: always()}\n");
    const struct step *a = step_of(&l, "a"), *b = step_of(&l, "b");
    cr_assert_eq(a->n_rows, 2, "top");
    cr_expect_str_eq(a->rows[1].name, "a[choice=1]");
    cr_expect_eq(b->n_rows, 3, "candidates");
    cr_expect_not_null(a->condition);
    cr_expect(!a->condition_has_status);
    cr_expect_eq(b->condition->op, EXPR_AND);
    cr_expect(b->condition_has_status);
    /* What it reads is what steps.select.models[matrix.choice].path would be. */
    cr_assert_eq(a->n_reads, 1);
    cr_expect_eq(a->reads[0]->field, FIELD_MODELS);
    cr_expect_eq(a->run->uses & USES_MODEL, 0);
    cr_expect_neq(a->run->uses & USES_STEPS, 0);
    cr_expect_eq(need_of(&l, "a", "select")->mode, NEED_ALL);
    cr_expect(!need_of(&l, "a", "select")->order_only);
    loaded_done(&l);
}

Test(workflows_serve, a_matrix_without_branches_leaves_none)
{
    struct loaded l = load_text("steps:\n"
                                "  a: {run: x, matrix: {s: []}}\n"
                                "  b: {run: x, needs: {a: each}}\n"
                                "  c: {run: x, needs: {a: 3}}\n");
    cr_expect_eq(step_of(&l, "b")->n_rows, 0);
    cr_expect(step_of(&l, "b")->is_matrix);
    loaded_done(&l);
}

Test(workflows_serve, a_matrix_that_hangs_on_a_missing_param_is_not_judged)
{
    static const char text[] = "params: {list: {type: string}}\n"
                               "steps:\n"
                               "  a: {run: x, matrix: {s: '${{ fromJSON(params.list) }}'}}\n"
                               "  b: {run: x, matrix: {s: [1, 2]}}\n"
                               "  c: {run: 'x ${{ matrix.s }}', needs: {a: each, b: each}}\n"
                               "  d: {run: 'x ${{ matrix.s }}', needs: {b: each, a: each}}\n";
    struct loaded l = load_with(text, (struct load_options){.allow_missing_params = true}, NULL);
    cr_expect_eq(step_of(&l, "c")->n_rows, 0);
    cr_expect_eq(step_of(&l, "d")->n_rows, 0);
    cr_expect(step_of(&l, "d")->is_matrix);
    loaded_done(&l);
    struct param_override given = {"list", "[1]"};
    l = load_with(text, (struct load_options){.params = &given, .n_params = 1}, NULL);
    cr_expect_eq(l.rc, 1);
    cr_expect_not_null(strstr(sb_text(&l.text), "no branch of 'a' belongs to b[s=2]"), "%s",
                       sb_text(&l.text));
    loaded_done(&l);
    given.value = "[]";
    l = load_with(text, (struct load_options){.params = &given, .n_params = 1}, NULL);
    cr_expect_eq(l.rc, 1, "none of one, two of the other");
    loaded_done(&l);
}

Test(workflows_serve, a_long_chain_of_each_is_followed_without_recursion)
{
    CLEANUP(sb_done) struct str text = {0};
    sb_puts(&text, "steps:\n");
    for (int i = 20000; i > 0; i--)
        sb_printf(&text, "  s%d: {run: x, needs: {s%d: each}}\n", i, i - 1);
    sb_puts(&text, "  s0: {run: x, matrix: {m: [1, 2]}}\n");
    struct loaded l = load_text(sb_text(&text));
    cr_expect_str_eq(step_of(&l, "s20000")->rows[1].name, "s20000[m=2]");
    loaded_done(&l);
}

Test(workflows_serve, the_graph_says_how_a_need_is_met)
{
    struct loaded l = load_text("steps:\n" TRAIN "  any: {run: x, needs: {train: any}}\n"
                                "  two: {run: x, needs: {train: 2}}\n");
    CLEANUP(sb_done) struct str out = {0};
    cr_assert_eq(l.rc, 0, "%s", sb_text(&l.text));
    graph_json(l.wf, NULL, NULL, &out);
    json_t *doc = json_loadb(sb_text(&out), out.len, 0, NULL);
    json_t *steps = json_object_get(doc, "steps");
    json_t *any = json_array_get(json_object_get(json_array_get(steps, 2), "needs"), 0);
    json_t *two = json_array_get(json_object_get(json_array_get(steps, 3), "needs"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(any, "mode")), "any");
    cr_expect_eq(json_integer_value(json_object_get(two, "mode")), 2);
    json_decref(doc);
    loaded_done(&l);
}

/* --- the whole model --- */

Test(workflows_serve, a_model_with_services_fits_an_image)
{
    struct arena *image = arena_new_image();
    if (image == NULL)
        cr_skip_test("no image arenas here");
    struct loaded l = load_with(
        "params: {port: 8080, path: /ready}\n"
        "steps:\n" TRAIN
        "  serve: {kind: serve, from: select, run: 'x ${{ model.path }} ${{ replica.socket }}', "
        "ready: {path: '${{ params.path }}', run: 'y ${{ replica.socket }}'}, shard_by: "
        "header:X-User, listen: '[::1]:${{ params.port }}', limits: {rate: {anonymous: 1/s, "
        "tokens: t}}}\n"
        "  ens: {kind: aggregate, from: serve, method: mean, listen: localhost:0}\n"
        "  each: {run: 'x ${{ steps.ens.endpoint }}', on_promotion: each}\n"
        "  along: {run: 'x ${{ steps.train.outputs.model }}', needs: {train: each}, matrix: {k: "
        "[1]}}\n"
        "  chosen: {run: 'x ${{ model.path }}', needs: {select: each}, if: always()}\n"
        "  any: {run: x, needs: {train: any}}\n",
        (struct load_options){.want_warnings = true}, image);
    cr_assert_eq(l.rc, 0, "%s %s", sb_text(&l.text), l.err.msg);
    char file[] = "/tmp/wf-image-XXXXXX";
    int fd = mkstemp(file);
    cr_assert_geq(fd, 0);
    close(fd);
    static const unsigned char tag[32] = {1};
    struct err err = {0};
    cr_expect_eq(arena_image_save(image, l.wf, tag, file, &err), 0,
                 "everything in the model points into it: %s", err.msg);
    unlink(file);
    loaded_done(&l);
}
