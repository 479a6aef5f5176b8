/* SPDX-License-Identifier: Apache-2.0 */
/* What a select step promotes, when, and what it never does (semantics 28-30). No service runs: where one matters, its row in the store is made by hand. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/store.h"
#include "engine/promotions.h"
#include "serve/desired.h"
#include "serve/models.h"
#include "tests/integration/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG sb_text(&rig.log)

static struct rig rig;

/* name, ends at, metrics: of the branches of `train`. Each has a model of its own. */
struct branch {
    const char *name;
    int64_t ends_at;
    const char *metrics;
};

static struct mock_script scripts[8];

static void branches(const struct branch *b, size_t count)
{
    static char names[8][32], texts[8][64];

    for (size_t n = 0; n < count; n++) {
        (void)snprintf(names[n], sizeof(names[n]), "train[m=%s]", b[n].name);
        (void)snprintf(texts[n], sizeof(texts[n]), "model %s %s", b[n].name, b[n].metrics);
        scripts[n] = (struct mock_script){.step = names[n],
                                          .takes_ms = b[n].ends_at,
                                          .writes_outputs = true,
                                          .metrics = b[n].metrics,
                                          .text = texts[n]};
    }
    rig_scripts(&rig, scripts, count);
}

static void open_rig(void)
{
    rig_open(&rig, NULL, 0);
    rig.writes_first = true;
}

static void close_rig(void)
{
    rig_close(&rig);
}

TestSuite(promote, .init = open_rig, .fini = close_rig);

/* `version`: another one is another training. */
static void run_serving(const char *version, const char *select, const char *more)
{
    struct run_options o = {.max_parallel = 4};
    CLEANUP(cleanup_free)
    char *text = xasprintf("name: w\n"
                           "steps:\n"
                           "  train: {kind: train, matrix: {m: [a, b, c, d]}, run: 'train %s', "
                           "outputs: {model: model.bin, metrics: metrics.json}}\n"
                           "  select: {kind: select, from: train, metric: accuracy, %s}\n%s",
                           version, select, more);
    cr_assert_eq(rig_run(&rig, text, &o), 0, "%s", rig.err->msg);
}

static void run(const char *version, const char *select)
{
    run_serving(version, select, "");
}

/* The promotions that were told, one line each: "2 b 0.6 a 0.5". Whether the last candidate's is early or final is a matter of milliseconds. */
static const char *promoted(void)
{
    static char all[1000];
    const char *line = LOG, *const mark = "promotion select ";

    all[0] = '\0';
    while (*line) {
        const char *end = strchr(line, '\n') + 1;
        if (strncmp(line, mark, strlen(mark)) == 0) {
            const char *number = line + strlen(mark), *reason = strchr(number, ' ') + 1;
            const char *models = strchr(reason, ' ');
            size_t len = strlen(all);
            (void)snprintf(all + len, sizeof(all) - len, "%.*s%.*s", (int)(reason - number - 1),
                           number, (int)(end - models), models);
        }
        line = end;
    }
    return all;
}

#define PROMOTED(text) cr_expect_str_eq(promoted(), text, "%s", LOG)

static const struct branch four[] = {{"a", 10, "{\"accuracy\": 0.5}"},
                                     {"b", 20, "{\"accuracy\": 0.6}"},
                                     {"c", 30, "{\"accuracy\": 0.55}"},
                                     {"d", 40, "{\"accuracy\": 0.7}"}};
/* The same at four times as much: 0.125, 0.25, 0.5, 0.375 */
static const struct branch lower[] = {{"a", 10, "{\"accuracy\": 0.125}"},
                                      {"b", 20, "{\"accuracy\": 0.25}"},
                                      {"c", 30, "{\"accuracy\": 0.5}"},
                                      {"d", 40, "{\"accuracy\": 0.375}"}};

Test(promote, each_better_candidate_is_promoted_as_it_ends)
{
    branches(four, 4);
    run("1", "promote: early");
    cr_expect_str_eq(rig.status, "succeeded");
    PROMOTED("1 a 0.5\n2 b 0.6\n3 d 0.7\n");
    cr_expect_eq(rig_count(&rig, "promotion select 2 early"), 1, "%s", LOG);
    cr_expect(rig_before(&rig, "promotion select 1", "succeeded train[m=b]"), "%s", LOG);
}

Test(promote, the_best_two_best_first)
{
    branches(four, 4);
    run("1", "promote: early, top: 2");
    PROMOTED("1 a 0.5\n2 b 0.6 a 0.5\n3 b 0.6 c 0.55\n4 d 0.7 b 0.6\n");
}

Test(promote, less_is_better_where_it_is_said)
{
    branches(lower, 4);
    run("1", "promote: early, mode: min, top: 2");
    PROMOTED("1 a 0.125\n2 a 0.125 b 0.25\n");
}

Test(promote, without_early_and_without_a_service_nothing_is_promoted)
{
    branches(four, 4);
    run("1", "top: 2");
    cr_expect_str_eq(rig.status, "succeeded");
    PROMOTED("");
}

static const char serve[] = "  serve: {kind: serve, from: select, run: serve, if: false}\n";

Test(promote, without_early_a_service_gets_one_promotion_at_the_end)
{
    branches(four, 4);
    run_serving("1", "top: 2", serve);
    PROMOTED("1 d 0.7 b 0.6\n");
    cr_expect_eq(rig_count(&rig, "promotion select 1 final"), 1, "%s", LOG);
}

Test(promote, an_unchanged_choice_makes_none)
{
    branches(four, 4);
    run("1", "promote: early");
    run("1", "promote: early");
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 5, "%s", LOG);
    PROMOTED("");
}

Test(promote, what_the_cache_had_is_one_promotion)
{
    branches(four, 4);
    run("1", "top: 2");
    run("1", "promote: early, top: 2");
    cr_expect_eq(rig_count(&rig, "promotion"), 1, "%s", LOG);
    cr_expect(strstr(promoted(), "d 0.7 b 0.6") != NULL, "%s", LOG);
}

Test(promote, who_has_no_usable_metric_is_no_candidate)
{
    static const struct branch odd[] = {{"a", 10, "{\"accuracy\": NaN}"},
                                        {"b", 20, "{\"loss\": 0.6}"},
                                        {"c", 30, "{\"accuracy\": \"0.9\"}"},
                                        {"d", 40, "{\"accuracy\": 0.1}"}};
    branches(odd, 4);
    run("1", "promote: early, top: 4");
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    PROMOTED("1 d 0.1\n");
}

Test(promote, metrics_that_are_not_json_fail_their_step_alone)
{
    static const struct branch odd[] = {{"a", 10, "accuracy 0.9"},
                                        {"b", 20, "{\"accuracy\": 0.6}"},
                                        {"c", 30, "{\"accuracy\": Infinity}"},
                                        {"d", 40, "[1]"}};
    branches(odd, 4);
    run("1", "promote: early");
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "train[m=a]"), "failed");
    cr_expect_str_eq(rig_state(&rig, "train[m=d]"), "failed");
    PROMOTED("1 b 0.6\n");
}

Test(promote, nobody_passes)
{
    branches(four, 4);
    run("1", "promote: early, at_least: 0.9");
    cr_expect_str_eq(rig.status, "failed", "%s", LOG);
    PROMOTED("");
}

Test(promote, a_select_that_fails_promotes_nothing_more)
{
    static const struct branch odd[] = {{"a", 10, "{\"accuracy\": 0.5}"},
                                        {"b", 20, "{}"},
                                        {"c", 30, "{}"},
                                        {"d", 40, "{\"accuracy\": 0.7}"}};
    branches(odd, 4);
    run("1", "promote: early, tolerate: 1");
    cr_expect_str_eq(rig.status, "failed", "%s", LOG);
    cr_expect(strcmp(promoted(), "1 a 0.5\n") == 0 || strcmp(promoted(), "1 a 0.5\n2 d 0.7\n") == 0,
              "%s", LOG);
    cr_expect_eq(rig_count(&rig, "promotion select 1 early"), 1);
    cr_expect(strstr(LOG, " final ") == NULL, "%s", LOG);
}

Test(promote, thresholds_hold_for_each_decision)
{
    branches(four, 4);
    run("1", "promote: early, at_least: 0.55, at_most: 0.65");
    PROMOTED("1 b 0.6\n");
}

Test(promote, of_equals_who_serves_stays)
{
    static const struct branch equal[] = {{"a", 40, "{\"accuracy\": 0.5}"},
                                          {"b", 30, "{\"accuracy\": 0.5}"},
                                          {"c", 20, "{\"accuracy\": 0.5}"},
                                          {"d", 10, "{\"accuracy\": 0.4}"}};
    branches(equal, 4);
    run("1", "promote: early");
    PROMOTED("1 d 0.4\n2 c 0.5\n");
}

Test(promote, of_equals_the_first_in_the_matrix)
{
    static const struct branch equal[] = {{"a", 10, "{\"accuracy\": 0.4}"},
                                          {"b", 20, "{\"accuracy\": 0.5}"},
                                          {"c", 30, "{\"accuracy\": 0.5}"},
                                          {"d", 40, "{\"accuracy\": 0.5}"}};
    branches(equal, 4);
    run("1", "top: 3");
    run("1", "promote: early, top: 2");
    cr_expect(strstr(promoted(), "b 0.5 c 0.5\n") != NULL, "%s", LOG);
}

Test(promote, equal_models_are_one)
{
    static struct mock_script same[] = {{.step = "*",
                                         .takes_ms = 5,
                                         .writes_outputs = true,
                                         .metrics = "{\"accuracy\": 0.5}",
                                         .text = "x"}};
    rig_scripts(&rig, same, 1);
    run("1", "promote: early, top: 3");
    PROMOTED("1 a 0.5\n");
}

Test(promote, better_by_min_delta_or_not_at_all)
{
    static const struct branch close[] = {{"a", 10, "{\"accuracy\": 0.80}"},
                                          {"b", 20, "{\"accuracy\": 0.84}"},
                                          {"c", 30, "{\"accuracy\": 0.85}"},
                                          {"d", 40, "{\"accuracy\": 0.8999}"}};
    branches(close, 4);
    run("1", "promote: early, min_delta: 0.05");
    PROMOTED("1 a 0.8\n2 c 0.85\n"); /* 0.85 - 0.8 is less than 0.05 in binary */
}

Test(promote, the_first_promotion_waits_for_so_many)
{
    branches(four, 4);
    run("1", "promote: early, wait: {for: 3}");
    PROMOTED("1 b 0.6\n2 d 0.7\n");
    cr_expect(rig_before(&rig, "succeeded train[m=c]", "promotion select 1"), "%s", LOG);
}

Test(promote, only_those_that_pass_are_waited_for)
{
    branches(four, 4);
    run("1", "promote: early, at_least: 0.55, wait: {for: 3}");
    PROMOTED("1 d 0.7\n");
}

Test(promote, when_all_have_ended_nothing_is_waited_for)
{
    branches(four, 4);
    run("1", "promote: early, wait: {for: 9, at_most: 1h}");
    PROMOTED("1 d 0.7\n");
}

static void stop_at_promotion(struct rig *r, struct run *run, const struct event *e,
                              const char *name)
{
    (void)r;
    (void)name;
    if (e->type == EVENT_PROMOTION) {
        run_interrupt(run, "enough", true);
    }
}

Test(promote, it_waits_no_longer_than_at_most)
{
    static const struct branch slow[] = {
        {"a", 10, "{\"accuracy\": 0.5}"}, {"b", -1, "{}"}, {"c", -1, "{}"}, {"d", -1, "{}"}};
    branches(slow, 4);
    rig.hook = stop_at_promotion;
    run("1", "promote: early, wait: {for: 2, at_most: 50ms}");
    PROMOTED("1 a 0.5\n");
}

/* --- what stands --- */

struct row {
    struct write write;
    struct service_spec spec;
    int64_t id, generation;
};

static int apply_row(struct write *w, struct db *db, struct err *err)
{
    struct row *r = CONTAINER_OF(w, struct row, write);

    return desired_want(db, &r->spec, &r->id, &r->generation, err);
}

static void expect_written(struct write *w, const struct err *err)
{
    (void)w;
    cr_expect(err == NULL, "%s", err ? err->msg : "");
}

/* As an earlier run has left it up. */
static void service_is_up(void)
{
    static struct row row;

    row = (struct row){.write = {.apply = apply_row, .done = expect_written, .urgent = true},
                       .spec = {.workflow = "w", .step = "serve", .run = "0", .promotion = 1}};
    store_post(rig.store, &row.write);
    store_flush(rig.store);
}

Test(promote, who_serves_gives_way_to_a_better_one_until_all_have_ended)
{
    branches(four, 4);
    run_serving("1", "promote: early", serve);
    PROMOTED("1 a 0.5\n2 b 0.6\n3 d 0.7\n");
    service_is_up();
    branches(lower, 4);
    run_serving("2", "promote: early", serve);
    PROMOTED("4 c 0.5\n");
}

Test(promote, nobody_serves_and_the_first_one_is_promoted)
{
    branches(four, 4);
    run_serving("1", "promote: early", serve);
    branches(lower, 4);
    run_serving("2", "promote: early", serve);
    PROMOTED("4 a 0.125\n5 b 0.25\n6 c 0.5\n");
}

Test(promote, with_min_delta_who_serves_stays_at_the_end_too)
{
    branches(four, 4);
    run_serving("1", "promote: early, min_delta: 0.01", serve);
    PROMOTED("1 a 0.5\n2 b 0.6\n3 d 0.7\n");
    service_is_up();
    branches(lower, 4);
    run_serving("2", "promote: early, min_delta: 0.01", serve);
    PROMOTED("");
    cr_expect_str_eq(rig.status, "succeeded");
}

Test(promote, a_better_one_takes_over_early)
{
    branches(lower, 4);
    run_serving("1", "promote: early, top: 2", serve);
    service_is_up();
    branches(four, 4);
    run_serving("2", "promote: early, top: 2", serve);
    /* 0.5 c stays beside 0.5 a of this run, because who serves stays among equals */
    PROMOTED("5 c 0.5 a 0.5\n6 b 0.6 c 0.5\n7 b 0.6 c 0.55\n8 d 0.7 b 0.6\n");
}

struct back {
    struct write write;
    struct promotion from, to;
    struct arena *arena;
    uint32_t number;
};

static int apply_back(struct write *w, struct db *db, struct err *err)
{
    struct back *b = CONTAINER_OF(w, struct back, write);

    return promotion_rollback(db, &b->from, &b->to, 1, &b->number, err);
}

static struct back back;

static void post_rollback(struct store *s, uint32_t to)
{
    struct err err = {0};

    back = (struct back){.arena = arena_new()};
    back.write = (struct write){.apply = apply_back, .done = expect_written, .urgent = true};
    cr_assert_eq(promotion_newest(s, "w", "select", back.arena, &back.from, &err), 0);
    cr_assert_eq(promotion_find(s, "w", "select", to, back.arena, &back.to, &err), 0);
    store_post(s, &back.write);
}

Test(promote, what_was_rolled_back_is_not_promoted_again)
{
    branches(four, 4);
    run("1", "promote: early");
    post_rollback(rig.store, 2);
    store_flush(rig.store);
    cr_expect_eq(back.number, 4);
    run("1", "promote: early");
    cr_expect_str_eq(rig.status, "succeeded");
    PROMOTED(""); /* b stands */
    arena_free(back.arena);
}

static void roll_back_2(struct rig *r, struct run *run, const struct event *e, const char *name)
{
    (void)run;
    (void)name;
    if (e->type == EVENT_PROMOTION && strstr(e->payload, "\"number\":2")) {
        post_rollback(r->store, 1);
    }
}

Test(promote, a_rollback_while_the_run_goes_on_stays)
{
    branches(four, 4);
    rig.hook = roll_back_2;
    run("1", "promote: early");
    /* 3 is the rollback to a; b is barred, c and d are not */
    PROMOTED("1 a 0.5\n2 b 0.6\n4 c 0.55\n5 d 0.7\n");
    arena_free(back.arena);
}

Test(promote, when_all_were_rolled_back_the_run_says_so)
{
    branches(four, 4);
    run("1", "promote: early, at_least: 0.65");                /* 1: d */
    run("1", "promote: early, at_least: 0.55, at_most: 0.65"); /* 2: b */
    post_rollback(rig.store, 1);
    store_flush(rig.store);
    run("1", "promote: early, at_least: 0.59, at_most: 0.65");
    PROMOTED("");
    cr_expect_eq(rig_count(&rig, "warning select only 0 of its models may be promoted"), 1, "%s",
                 LOG);
    arena_free(back.arena);
}

struct adding {
    struct write write;
    struct promotion p;
    uint32_t number;
    enum promotion_outcome outcome;
};

static int apply_add(struct write *w, struct db *db, struct err *err)
{
    struct adding *a = CONTAINER_OF(w, struct adding, write);

    return promotion_add(db, &a->p, 0, &a->number, &a->outcome, err);
}

Test(promote, the_choice_of_a_run_that_started_later_stays)
{
    static struct promoted_model model = {.name = "train[m=z]", .slug = "z", .metric = 0.1};
    static struct adding adding;

    adding = (struct adding){.write = {.apply = apply_add, .done = expect_written, .urgent = true},
                             .p = {.workflow = "w",
                                   .step = "select",
                                   .run = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
                                   .n_models = 1,
                                   .models = &model,
                                   .content = {{1}}}};
    store_post(rig.store, &adding.write);
    store_flush(rig.store);
    branches(four, 4);
    run("1", "promote: early");
    PROMOTED("");
    cr_expect_str_eq(rig.status, "succeeded");
    cr_expect_eq(
        rig_count(&rig, "warning select run 7ZZZZZZZZZZZZZZZZZZZZZZZZZ, which started later"), 1,
        "%s", LOG);
}

Test(promote, its_files_stay_where_they_are_named)
{
    struct arena *a = arena_new();
    struct promotion p;
    struct err err = {0};

    branches(four, 4);
    run("1", "promote: early");
    cr_assert_eq(promotion_newest(rig.store, "w", "select", a, &p, &err), 0, "%s", err.msg);
    cr_expect_eq(p.number, 3);
    cr_expect_str_eq(p.models[0].name, "train[m=d]");
    cr_expect_str_eq(p.models[0].matrix_json, "{\"m\":\"d\"}");
    cr_expect_str_eq(p.models[0].metrics_json, "{\"accuracy\":0.7}");
    for (uint32_t n = 0; n < p.models[0].n_outputs; n++) {
        CLEANUP(cleanup_free) char *path = models_path(rig.store, &p.models[0].outputs[n]);
        cr_expect_eq(access(path, F_OK) == 0, strcmp(p.models[0].outputs[n].name, "model") == 0,
                     "%s", path);
    }
    arena_free(a);
}

Test(promote, a_partial_run_without_the_select_promotes_nothing)
{
    struct run_options o = {.max_parallel = 4, .only = "train"};

    branches(four, 4);
    cr_assert_eq(
        rig_run(&rig,
                "name: w\nsteps:\n"
                "  train: {kind: train, matrix: {m: [a, b, c, d]}, run: x, outputs: "
                "{model: model.bin, metrics: metrics.json}}\n"
                "  select: {kind: select, from: train, metric: accuracy, promote: early}\n",
                &o),
        0, "%s", rig.err->msg);
    cr_expect_eq(rig_count(&rig, "succeeded train"), 4, "%s", LOG);
    PROMOTED("");
}
