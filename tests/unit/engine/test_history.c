/* SPDX-License-Identifier: Apache-2.0 */
/* History of a store that holds nothing yet, and the JSON of a run made up by hand. Whole runs through the journal and back: tests/integration. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cache/store.h"
#include "engine/git.h"
#include "engine/history.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool never(const struct run_row *r, void *arg)
{
    (void)r;
    (void)arg;
    cr_expect_fail("there is no run");
    return true;
}

Test(engine_history, an_empty_store_has_none)
{
    char dir[] = "/tmp/wf-history-XXXXXX", id[32];
    struct err err = {0};
    struct store *s;
    struct past_run run;

    cr_assert_not_null(mkdtemp(dir));
    CLEANUP(cleanup_free) char *path = fs_join(dir, "store");
    for (int read_only = 1; read_only >= 0; read_only--) {
        struct store_options o = {.dir = path, .read_only = read_only};
        struct arena *a = arena_new();
        cr_assert_eq(store_open(&o, &s, &err), 0, "%s", err.msg);
        cr_expect_eq(history_list(s, NULL, 10, never, NULL, &err), 0);
        cr_expect_eq(history_resolve(s, "latest", id, &err), -ERR_NOT_FOUND);
        cr_expect_eq(history_resolve(s, "01", id, &err), -ERR_NOT_FOUND);
        cr_expect_eq(history_resolve(s, "", id, &err), -ERR_NOT_FOUND);
        cr_expect_eq(history_load(s, "01ARZ3NDEKTSV4RRFFQ69G5FAV", a, &run, &err), -ERR_NOT_FOUND);
        cr_expect_eq(history_last_entry(s, "w", "a", &err), 0);
        cr_expect_eq(history_expected(s, "w", "a"), 0);
        cr_expect_eq(history_unfinished(s, NULL, id, &err), 1);
        arena_free(a);
        store_close(s);
    }
    (void)fs_remove_tree(dir, NULL);
}

Test(engine_history, json_of_a_run)
{
    struct result_output out = {.name = "o", .path = "o", .bytes = 5};
    struct result result = {
        .n_outputs = 1, .outputs = &out, .metrics = "{\"acc\":0.5}", .run = "R0"};
    struct past_step steps[] = {
        {.name = "a[k=p,v=\"x,\\\"y]\"]",
         .step = "a",
         .kind = "train",
         .executor = "process",
         .status = {.state = INSTANCE_CACHED, .started_us = 5000000, .ended_us = 5000000},
         .result = &result},
        {.name = "b",
         .step = "b",
         .kind = "command",
         .executor = "process",
         .status = {.state = INSTANCE_FAILED, .attempts = 2, .started_us = 1, .ended_us = 2},
         .started = "{\"verdict\":\"miss\",\"why\":[{\"part\":\"script\",\"name\":null}]}",
         .ended = "{\"exit_code\":3,\"error\":\"it \\\"failed\\\"\",\"kind\":\"failed\"}",
         .duration_ms = 1500}};
    struct past_run run = {
        .row = {.id = "R1", .workflow = "w", .status = "failed", .params = "{\"n\":1}"},
        .n = 2,
        .steps = steps,
        .first_failure = 1};
    struct str text = {0};
    struct jsonw w;
    struct err err = {0};
    CLEANUP(cleanup_json) json_t *j = NULL;

    run.row.counts[INSTANCE_FAILED] = 1;
    jw_init(&w, &text, true);
    history_json(&run, &w);
    cr_assert_eq(json_read(text.data, text.len, 1 << 20, &j, &err), 0, "%s\n%s", err.msg,
                 text.data);
    cr_expect_str_eq(json_string_value(json_object_get(j, "first_failure")), "b");
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(j, "counts"), "failed")), 1);
    json_t *a = json_array_get(json_object_get(j, "steps"), 0);
    json_t *b = json_array_get(json_object_get(j, "steps"), 1);
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(a, "matrix"), "v")),
                     "x,\"y]");
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(a, "matrix"), "k")), "p");
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(a, "cache"), "verdict")),
                     "hit");
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(a, "cache"), "made_by")),
                     "R0");
    cr_expect_eq(json_real_value(json_object_get(json_object_get(a, "metrics"), "acc")), 0.5);
    cr_expect_eq(json_integer_value(json_object_get(b, "exit_code")), 3);
    cr_expect_str_eq(json_string_value(json_object_get(b, "error")), "it \"failed\"");
    cr_expect_eq(json_real_value(json_object_get(b, "duration_seconds")), 1.5);
    sb_done(&text);
}

static void put(const char *dir, const char *name, const char *text)
{
    CLEANUP(cleanup_free) char *path = fs_join(dir, name);
    CLEANUP(cleanup_free) char *up = fs_dirname(path);

    cr_assert_eq(fs_mkdirs(up, 0755, NULL), 0);
    cr_assert_eq(fs_write_file(path, text, strlen(text), 0644, false, NULL), 0);
}

#define C1 "1111111111111111111111111111111111111111"
#define C2 "2222222222222222222222222222222222222222"

Test(engine_history, the_commit_is_read_without_git)
{
    char dir[] = "/tmp/wf-git-XXXXXX", commit[65];

    cr_assert_not_null(mkdtemp(dir));
    CLEANUP(cleanup_free) char *below = fs_join(dir, "repo/sub/deep");
    CLEANUP(cleanup_free) char *tree = fs_join(dir, "tree");
    cr_assert_eq(fs_mkdirs(below, 0755, NULL), 0);
    put(dir, "repo/.git/HEAD", "ref: refs/heads/main\n");
    cr_expect_not(git_commit_of(below, commit), "unborn");
    put(dir, "repo/.git/packed-refs", "# pack-refs\n" C1 " refs/heads/main\n");
    cr_assert(git_commit_of(below, commit));
    cr_expect_str_eq(commit, C1);
    put(dir, "repo/.git/refs/heads/main", C2 "\n");
    cr_assert(git_commit_of(below, commit));
    cr_expect_str_eq(commit, C2);
    put(dir, "repo/.git/HEAD", C1 "\n");
    cr_assert(git_commit_of(below, commit));
    cr_expect_str_eq(commit, C1);
    /* A worktree: .git is a file, its refs lie in the main repository. */
    put(dir, "tree/.git", "gitdir: ../repo/.git/worktrees/t\n");
    put(dir, "repo/.git/worktrees/t/HEAD", "ref: refs/heads/main\n");
    put(dir, "repo/.git/worktrees/t/commondir", "../..\n");
    cr_assert(git_commit_of(tree, commit));
    cr_expect_str_eq(commit, C2);
    put(dir, "repo/.git/HEAD", "ref: ../../../etc/passwd\n");
    cr_expect_not(git_commit_of(below, commit));
    (void)fs_remove_tree(dir, NULL);
}
