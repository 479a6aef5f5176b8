/* SPDX-License-Identifier: Apache-2.0 */
/* Runs and the cache: what is reused, what is not, and what is told about it. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cache/entries.h"
#include "cache/store.h"
#include "engine/history.h"
#include "tests/integration/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG sb_text(&rig.log)

static const struct mock_script works[] = {{.step = "*", .takes_ms = 5, .writes_outputs = true}};
static struct rig rig;

static void close_rig(void)
{
    rig_close(&rig);
}

static void open_works(void)
{
    rig_open(&rig, works, 1);
}

TestSuite(memo, .init = open_works, .fini = close_rig);

static const char chain[] = "steps:\n"
                            "  a: {run: x, inputs: {d: data.csv}, outputs: {o: o}}\n"
                            "  b: {run: 'y ${{ steps.a.outputs.o }}', outputs: {o: o}}\n"
                            "  c: {run: z, outputs: {o: o}}\n";

Test(memo, the_second_run_is_wholly_reused)
{
    rig_file(&rig, "data.csv", "1\n");
    rig_run(&rig, chain, NULL);
    cr_expect_eq(rig.counts[INSTANCE_SUCCEEDED], 3, "%s", LOG);
    cr_expect_eq(rig_count(&rig, "started a 1 miss never ran"), 1, "%s", LOG);
    rig_run(&rig, chain, NULL);
    cr_expect_str_eq(rig.status, "succeeded");
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 3, "%s", LOG);
    cr_expect_eq(rig_count(&rig, "hit "), 3);
    cr_expect_eq(rig_count(&rig, "started"), 0);
    cr_expect_eq(mock_started(rig.mock, "a"), 1);
}

Test(memo, a_changed_input_runs_what_reads_it)
{
    rig_file(&rig, "data.csv", "1\n");
    rig_run(&rig, chain, NULL);
    rig_file(&rig, "data.csv", "22\n");
    rig_run(&rig, chain, NULL);
    cr_expect_str_eq(rig_state(&rig, "a"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "cached", "%s", LOG);
    /* The mock writes the same output again: b's key is what it was. */
    cr_expect_str_eq(rig_state(&rig, "b"), "cached", "%s", LOG);
    rig_file(&rig, "data.csv", "1\n");
    rig_run(&rig, chain, NULL);
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 3, "an older entry answers too:\n%s", LOG);
}

Test(memo, another_text_reuses_the_steps_that_did_not_change)
{
    rig_run(&rig, "steps:\n  a: {run: x, outputs: {o: o}}\n  c: {run: z, outputs: {o: o}}\n", NULL);
    rig_run(&rig,
            "steps:\n  n: {run: n, outputs: {o: o}}\n  a: {run: x, outputs: {o: o}}\n"
            "  c: {run: zz, outputs: {o: o}}\n",
            NULL);
    cr_expect_str_eq(rig_state(&rig, "a"), "cached", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "n"), "succeeded");
}

Test(memo, refresh_runs_again_and_stores_anew)
{
    const char *words[] = {"c"};

    rig_file(&rig, "data.csv", "1\n");
    rig_run(&rig, chain, NULL);
    rig_run(&rig, chain, &(struct run_options){.refresh = words, .n_refresh = 1});
    cr_expect_eq(rig_count(&rig, "started c 1 refreshed"), 1, "%s", LOG);
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 2);
    rig_run(&rig, chain, &(struct run_options){.refresh_all = true});
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 0, "%s", LOG);
    rig_run(&rig, chain, NULL);
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 3, "%s", LOG);
    words[0] = "nobody";
    cr_expect_eq(rig_run(&rig, chain, &(struct run_options){.refresh = words, .n_refresh = 1}),
                 -ERR_USAGE);
}

Test(memo, no_cache_neither_asks_nor_stores)
{
    rig_file(&rig, "data.csv", "1\n");
    rig_run(&rig, chain, &(struct run_options){.cache = RUN_CACHE_OFF});
    cr_expect_eq(rig_count(&rig, "started a 1 disabled"), 1, "%s", LOG);
    rig_run(&rig, chain, NULL);
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 0, "%s", LOG);
    rig_run(&rig, chain, &(struct run_options){.cache = RUN_CACHE_OFF});
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 0, "%s", LOG);
}

Test(memo, cache_false_is_never_reused)
{
    const char *yaml = "steps:\n  a: {run: x, outputs: {o: o}, cache: false}\n";

    rig_run(&rig, yaml, NULL);
    rig_run(&rig, yaml, NULL);
    cr_expect_eq(rig_count(&rig, "started a 1 disabled"), 1, "%s", LOG);
}

Test(memo, two_steps_with_the_same_work_are_one_attempt)
{
    rig_run(&rig,
            "steps:\n"
            "  a: {run: x, outputs: {o: o}}\n"
            "  b: {run: x, outputs: {o: o}}\n"
            "  c: {run: x, outputs: {o: o}}\n",
            &(struct run_options){.max_parallel = 3});
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "started"), 1, "%s", LOG);
    cr_expect_eq(rig.counts[INSTANCE_CACHED], 2, "%s", LOG);
}

static const struct mock_script first_fails[] = {
    {.step = "a", .takes_ms = 2, .end = {.outcome = JOB_EXITED, .exit_code = 1}},
    {.step = "*", .takes_ms = 2, .writes_outputs = true},
};

Test(memo, where_the_first_of_the_same_work_fails_the_next_one_tries)
{
    rig_scripts(&rig, first_fails, 2);
    rig_run(&rig,
            "steps:\n"
            "  a: {run: x, outputs: {o: o}}\n"
            "  b: {run: x, outputs: {o: o}}\n"
            "  c: {run: x, outputs: {o: o}}\n",
            &(struct run_options){.max_parallel = 3});
    cr_expect_str_eq(rig_state(&rig, "a"), "failed", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "b"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "cached", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "started"), 2, "%s", LOG);
}

Test(memo, failures_are_never_stored)
{
    const char *yaml = "steps:\n  a: {run: x, outputs: {o: o}}\n";

    rig_scripts(&rig, first_fails, 2);
    rig_run(&rig, yaml, NULL);
    rig_scripts(&rig, works, 1);
    rig_run(&rig, yaml, NULL);
    cr_expect_str_eq(rig_state(&rig, "a"), "succeeded", "%s", LOG);
}

Test(memo, partial_runs_take_the_rest_from_the_cache)
{
    cr_expect_eq(rig_run(&rig, chain, &(struct run_options){.only = "b"}), -ERR_USAGE);
    rig_file(&rig, "data.csv", "1\n");
    cr_expect_eq(rig_run(&rig, chain, &(struct run_options){.only = "b"}), -ERR_USAGE);
    cr_expect(strstr(rig.err->msg, "--until a"), "%s", rig.err->msg);
    cr_expect_eq(rig_run(&rig, chain, &(struct run_options){.until = "a"}), 0, "%s", rig.err->msg);
    cr_expect_str_eq(rig_state(&rig, "a"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "b"), "skipped", "%s", LOG);
    cr_expect_eq(rig_run(&rig, chain, &(struct run_options){.from = "b"}), 0, "%s", rig.err->msg);
    cr_expect_str_eq(rig_state(&rig, "a"), "cached", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "b"), "succeeded", "%s", LOG);
    cr_expect_str_eq(rig_state(&rig, "c"), "skipped", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "warning"), 0);
    rig_file(&rig, "data.csv", "333\n");
    cr_expect_eq(rig_run(&rig, chain, &(struct run_options){.only = "b"}), 0, "%s", rig.err->msg);
    cr_expect_str_eq(rig_state(&rig, "a"), "cached", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "warning a stale: a"), 1, "%s", LOG);
}

static const struct past_step *past(const struct past_run *run, const char *name)
{
    for (uint32_t i = 0; i < run->n; i++) {
        if (strcmp(run->steps[i].name, name) == 0) {
            return &run->steps[i];
        }
    }
    cr_assert_fail("%s is not in the history", name);
    abort();
}

/* The same for the first and the third instance; nothing for the second. */
static const struct entry *entry_at_hand(uint32_t instance, void *arg)
{
    return instance == 1 ? NULL : arg;
}

Test(memo, history_uses_entries_at_hand)
{
    struct arena *a = arena_new();
    struct past_run run;
    struct entry e;
    char id[32];

    rig_file(&rig, "data.csv", "1\n");
    rig_run(&rig, chain, NULL);
    rig_run(&rig, chain, NULL);
    cr_assert_eq(history_resolve(rig.store, "latest", id, rig.err), 0, "%s", rig.err->msg);
    cr_assert_eq(history_load_bare(rig.store, id, a, &run, rig.err), 0, "%s", rig.err->msg);
    cr_assert_eq(entry_get(rig.store, run.steps[2].status.entry, a, &e, rig.err), 0, "%s",
                 rig.err->msg);
    struct digest right = e.key;
    e.key.bytes[0] ^= 1; /* so that it can be told from what is read */
    const struct history_known known = {entry_at_hand, &e};
    cr_assert_eq(history_fill(rig.store, &run, 0, run.n, &known, a, rig.err), 0, "%s",
                 rig.err->msg);
    cr_expect(digest_eq(&run.steps[2].key, &e.key));
    cr_expect_not(digest_eq(&run.steps[0].key, &e.key));
    cr_expect_not(digest_is_zero(&run.steps[0].key));
    cr_expect_not(digest_eq(&run.steps[0].key, &right));
    cr_expect_not(digest_is_zero(&run.steps[1].key));
    for (uint32_t i = 0; i < run.n; i++) {
        cr_assert_not_null(run.steps[i].result);
        cr_expect_eq(run.steps[i].result->n_outputs, 1);
    }
    arena_free(a);
}

Test(memo, history_is_the_run_again)
{
    struct arena *a = arena_new();
    struct past_run run;
    char id[32];

    rig_file(&rig, "data.csv", "1\n");
    rig_run(&rig, chain, NULL);
    rig_file(&rig, "data.csv", "22\n");
    rig_run(&rig, chain, NULL);
    cr_assert_eq(history_resolve(rig.store, "latest", id, rig.err), 0, "%s", rig.err->msg);
    cr_assert_eq(history_load(rig.store, id, a, &run, rig.err), 0, "%s", rig.err->msg);
    cr_expect_str_eq(run.row.status, "succeeded");
    cr_expect_eq(run.n, 3);
    cr_expect(memcmp(run.row.counts, rig.counts, sizeof(rig.counts)) == 0);
    cr_expect_eq(past(&run, "a")->status.state, INSTANCE_SUCCEEDED);
    cr_expect_eq(past(&run, "c")->status.state, INSTANCE_CACHED);
    cr_assert_not_null(past(&run, "c")->result);
    cr_expect_str_neq(past(&run, "c")->result->run, id);
    cr_expect_str_eq(past(&run, "a")->result->run, id);
    cr_expect_eq(past(&run, "c")->result->n_outputs, 1);
    cr_expect_eq(history_last_entry(rig.store, run.row.workflow, "c", rig.err),
                 past(&run, "c")->status.entry);

    struct str out = {0};
    struct jsonw w;
    CLEANUP(cleanup_json) json_t *j = NULL;
    jw_init(&w, &out, false);
    history_json(&run, &w);
    cr_assert_eq(json_read(out.data, out.len, 1 << 20, &j, rig.err), 0, "%s\n%s", rig.err->msg,
                 out.data);
    json_t *step = json_array_get(json_object_get(j, "steps"), 0);
    json_t *cache = json_object_get(step, "cache");
    cr_expect_str_eq(json_string_value(json_object_get(cache, "verdict")), "miss");
    json_t *why = json_array_get(json_object_get(cache, "why"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(why, "part")), "input", "%s", out.data);

    /* Written in parts it reads the same. */
    CLEANUP(cleanup_free) char *file = xasprintf("%s/summary.json", store_dir(rig.store));
    CLEANUP(sb_done) struct str text = {0};
    struct new_file f;
    cr_assert_eq(new_file_open(file, 0644, &f, rig.err), 0, "%s", rig.err->msg);
    cr_assert_eq(history_write(rig.store, id, NULL, &f, rig.err), 0, "%s", rig.err->msg);
    cr_assert_eq(access(file, F_OK), -1, "it appears when it is whole");
    cr_assert_eq(new_file_end(&f, false, false, rig.err), 0, "%s", rig.err->msg);
    cr_assert_eq(fs_read_file(file, 1 << 20, &text, rig.err), 0, "%s", rig.err->msg);
    sb_putc(&out, '\n');
    cr_expect_str_eq(text.data, out.data);
    sb_done(&out);
    arena_free(a);
}

Test(memo, words_for_runs)
{
    char id[32], other[32];

    cr_expect_eq(history_resolve(rig.store, "latest", id, rig.err), -ERR_NOT_FOUND);
    rig_run(&rig, "steps:\n  a: {run: x}\n", NULL);
    cr_assert_eq(history_resolve(rig.store, "latest", id, rig.err), 0);
    rig_run(&rig, "steps:\n  a: {run: x}\n", NULL);
    cr_expect_eq(history_resolve(rig.store, id, other, rig.err), 0, "%s", rig.err->msg);
    cr_expect_str_eq(id, other);
    id[4] = '\0';
    cr_expect_eq(history_resolve(rig.store, id, other, rig.err), -ERR_USAGE);
    cr_expect_eq(history_resolve(rig.store, "9ZZZ", other, rig.err), -ERR_NOT_FOUND);
    cr_expect_eq(history_unfinished(rig.store, NULL, other, rig.err), 1);
}

Test(memo, an_input_that_is_gone_stops_the_run_before_anything_runs)
{
    const char *yaml = "steps:\n"
                       "  c: {run: z, outputs: {o: o}, inputs: {d: other.csv}}\n"
                       "  a: {run: x, inputs: {d: data.csv}, outputs: {o: o}}\n";
    char path[128];

    rig_file(&rig, "data.csv", "1\n");
    rig_file(&rig, "other.csv", "1\n");
    rig_run(&rig, yaml, NULL);
    rig_file(&rig, "other.csv", "22\n"); /* c would run … */
    (void)snprintf(path, sizeof(path), "%s/data.csv", rig.dir);
    cr_assert_eq(remove(path), 0); /* … and a cannot */
    rig_run(&rig, yaml, NULL);
    cr_expect_str_eq(rig.status, "failed", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "started"), 0, "%s", LOG);
    cr_expect(strstr(LOG, "data.csv"), "%s", LOG);
}

static const struct mock_script slow[] = {
    {.step = "a", .takes_ms = 5, .writes_outputs = true},
    {.step = "*", .takes_ms = 5, .writes_outputs = true},
};

static void change_input(struct rig *r, struct run *run, const struct event *e, const char *name)
{
    (void)run;
    (void)name;
    if (e->type == EVENT_STARTED) {
        rig_file(r, "data.csv", "changed while it runs\n");
    }
}

Test(memo, an_input_that_changes_while_the_step_runs_is_not_stored)
{
    rig_scripts(&rig, slow, 2);
    rig_file(&rig, "data.csv", "1\n");
    rig.hook = change_input;
    rig_run(&rig, "steps:\n  a: {run: x, inputs: {d: data.csv}, outputs: {o: o}}\n", NULL);
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_expect(strstr(LOG, "succeeded a input data.csv changed while the step ran"), "%s", LOG);
    rig.hook = NULL;
    rig_run(&rig, "steps:\n  a: {run: x, inputs: {d: data.csv}, outputs: {o: o}}\n", NULL);
    cr_expect_str_eq(rig_state(&rig, "a"), "succeeded", "%s", LOG);
}

Test(memo, publish_is_made_by_runs_and_by_hits)
{
    const char *yaml = "steps:\n  a: {run: x, outputs: {o: o}, publish: {o: out/model.bin}}\n";
    char path[128];

    rig_run(&rig, yaml, NULL);
    (void)snprintf(path, sizeof(path), "%s/out/model.bin", rig.dir);
    cr_expect_str_eq(rig.status, "succeeded", "%s", LOG);
    cr_assert_eq(remove(path), 0, "%s was not published:\n%s", path, LOG);
    rig_run(&rig, yaml, NULL);
    cr_expect_str_eq(rig_state(&rig, "a"), "cached", "%s", LOG);
    cr_expect_eq(remove(path), 0, "a hit publishes too");
}

Test(memo, a_damaged_object_is_a_miss_and_said)
{
    const char *yaml = "steps:\n  a: {run: x, outputs: {o: o}}\n";
    struct arena *a = arena_new();
    struct past_run run;
    char id[32], hex[DIGEST_HEX + 1];

    rig_run(&rig, yaml, NULL);
    cr_assert_eq(history_resolve(rig.store, "latest", id, rig.err), 0);
    cr_assert_eq(history_load(rig.store, id, a, &run, rig.err), 0);
    digest_hex(&run.steps[0].result->outputs[0].digest, hex);
    CLEANUP(cleanup_free) char *path = xasprintf("%s/store/objects/%.2s/%s", rig.dir, hex, hex + 2);
    cr_assert_eq(remove(path), 0, "%s", path);
    rig_run(&rig, yaml, NULL);
    cr_expect_str_eq(rig_state(&rig, "a"), "succeeded", "%s", LOG);
    cr_expect_eq(rig_count(&rig, "warning a"), 1, "%s", LOG);
    rig_run(&rig, yaml, NULL);
    cr_expect_str_eq(rig_state(&rig, "a"), "cached", "%s", LOG);
    arena_free(a);
}
