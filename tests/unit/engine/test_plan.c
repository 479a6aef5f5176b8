/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: instances, edges, words, and their compiled form. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/store.h"
#include "engine/compiled.h"
#include "engine/plan.h"
#include "engine/prior.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] =
    "params: {n: 1}\n"
    "steps:\n"
    "  a: {run: x}\n"
    "  b: {run: 'y ${{ matrix.k }}', needs: a, matrix: {k: [p, q], v: ['1', 'a,b']}}\n"
    "  c: {kind: train, command: [prog, '${{ params.n }}'], needs: [a, b],\n"
    "      outputs: {metrics: m.json}}\n"
    "finally:\n"
    "  last: {run: z}\n";

static char dir[64];
static char *file;
static struct store *store;

static void setup(void)
{
    struct err err = {0};

    (void)snprintf(dir, sizeof(dir), "/tmp/wf-plan-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    file = fs_join(dir, "w.yaml");
    cr_assert_eq(fs_write_file(file, text, strlen(text), 0644, false, NULL), 0);
    CLEANUP(cleanup_free) char *s = fs_join(dir, "store");
    struct store_options o = {.dir = s};
    cr_assert_eq(store_open(&o, &store, &err), 0, "%s", err.msg);
}

static void teardown(void)
{
    store_close(store);
    free(file);
    (void)fs_remove_tree(dir, NULL);
}

TestSuite(engine_plan, .init = setup, .fini = teardown);

struct opened {
    struct arena *arena;
    struct plan *plan;
    struct diags d;
};

static void open_with(struct opened *p, const struct param_override *params, size_t n, bool keep)
{
    struct plan_options o = {.load = {.file = file, .params = params, .n_params = n},
                             .store = keep ? store : NULL};
    struct err err = {0};

    diags_init(&p->d, file);
    int rc = plan_open(&o, &p->d, &p->arena, &p->plan, NULL, NULL, &err);
    if (rc == 1) {
        struct str out = {0};
        diags_render(&p->d, false, &out);
        cr_assert_fail("%s", sb_text(&out));
    }
    cr_assert_eq(rc, 0, "%s", err.msg);
}

static void close_plan(struct opened *p)
{
    diags_done(&p->d);
    arena_free(p->arena);
}

static void collect(uint32_t index, void *arg)
{
    sb_printf(arg, "%u ", index);
}

static void expect_match(const struct plan *p, const char *word, const char *want)
{
    struct str out = {0};

    plan_match(p, word, collect, &out);
    cr_expect_str_eq(sb_text(&out), want, "%s -> %s", word, sb_text(&out));
    sb_done(&out);
}

Test(engine_plan, instances_edges_and_words)
{
    struct opened o;

    open_with(&o, NULL, 0, false);
    const struct plan *p = o.plan;
    cr_assert_eq(p->n, 7);
    cr_expect_str_eq(p->instances[1].name, "b[k=p,v=1]");
    cr_expect_str_eq(p->instances[2].name, "b[k=p,v=\"a,b\"]");
    cr_expect_eq(p->instances[5].step, 2);
    cr_expect_eq(p->waits[2], 2);
    cr_expect_eq(p->follower_start[1] - p->follower_start[0], 2, "a is needed by b and c");
    cr_expect_eq(p->followers[p->follower_start[1]], 2);
    cr_expect_eq(plan_find(p, "b[k=q,v=1]"), 3);
    cr_expect_eq(plan_find(p, "b"), UINT32_MAX, "four branches");
    cr_expect_eq(plan_find(p, "c"), 5);
    cr_expect_eq(plan_find(p, "nobody"), UINT32_MAX);
    expect_match(p, "b", "1 2 3 4 ");
    expect_match(p, "b[k=q]", "3 4 ");
    expect_match(p, "b[v=\"a,b\"]", "2 4 ");
    expect_match(p, "b[v=\"a,b\",k=p]", "2 ");
    expect_match(p, "b[k=z]", "");
    expect_match(p, "b[k", "");
    expect_match(p, "", "");
    close_plan(&o);
}

Test(engine_plan, names_go_through_their_blob)
{
    struct opened o;
    struct str blob = {0};
    struct names n;

    open_with(&o, NULL, 0, false);
    names_encode(o.plan, &blob);
    cr_assert(names_decode(blob.data, blob.len, &n));
    cr_expect_eq(n.n, 7);
    cr_expect_eq(n.tags[5] & 0xf, KIND_TRAIN);
    cr_expect_eq(n.tags[5] >> 4, EXECUTOR_PROCESS);
    cr_expect_str_eq(n.text, "a");
    cr_expect_eq(n.len, o.plan->names_len);
    for (size_t len = 0; len < 4 + 7; len++) {
        cr_expect_not(names_decode(blob.data, len, &n));
    }
    cr_expect_not(names_decode(blob.data, blob.len - 1, &n), "a name without its end");
    sb_done(&blob);
    close_plan(&o);
}

Test(engine_plan, alike_branches_share_their_work)
{
    struct opened o;

    open_with(&o, NULL, 0, false);
    const struct instance_ref *i = o.plan->instances;
    cr_expect_not(digest_is_zero(&i[0].work));
    cr_expect_not(digest_eq(&i[1].work, &i[2].work));
    cr_expect(strstr(i[5].work_json, "\"kind\":\"train\""), "%s", i[5].work_json);
    close_plan(&o);
}

Test(engine_plan, the_compiled_form_is_the_same_plan)
{
    struct opened first, again;
    struct str names = {0};

    open_with(&first, NULL, 0, true);
    cr_assert_not_null(first.plan->unsaved, "an image could not be made");
    struct digest digest = first.plan->digest, work = first.plan->instances[5].work;
    sb_add(&names, first.plan->names, first.plan->names_len);
    compiled_save(store, first.plan);
    cr_expect_null(first.plan->unsaved);
    close_plan(&first);

    open_with(&again, NULL, 0, true);
    cr_expect_null(again.plan->unsaved, "it was parsed again");
    arena_image_forget(again.plan);
    cr_expect_eq(again.plan->n, 7);
    cr_expect(digest_eq(&again.plan->digest, &digest));
    cr_expect(digest_eq(&again.plan->instances[5].work, &work));
    cr_expect_eq(again.plan->names_len, names.len);
    cr_expect_eq(memcmp(again.plan->names, names.data, names.len), 0);
    cr_expect_str_eq(again.plan->wf->steps[2].name, "c");
    close_plan(&again);
    sb_done(&names);
}

Test(engine_plan, other_params_or_text_are_another_plan)
{
    const struct param_override params[] = {{"n", "2"}};
    struct opened one, two, three;

    open_with(&one, NULL, 0, false);
    open_with(&two, params, 1, false);
    cr_expect_not(digest_eq(&one.plan->digest, &two.plan->digest));
    cr_expect_not(digest_eq(&one.plan->instances[5].work, &two.plan->instances[5].work));
    cr_expect(digest_eq(&one.plan->instances[0].work, &two.plan->instances[0].work));
    CLEANUP(cleanup_free) char *more = xasprintf("%s# a comment\n", text);
    cr_assert_eq(fs_write_file(file, more, strlen(more), 0644, false, NULL), 0);
    open_with(&three, NULL, 0, false);
    cr_expect_not(digest_eq(&one.plan->digest, &three.plan->digest));
    cr_expect(digest_eq(&one.plan->instances[5].work, &three.plan->instances[5].work));
    close_plan(&one);
    close_plan(&two);
    close_plan(&three);
}

Test(engine_plan, a_damaged_compiled_plan_is_parsed_again)
{
    struct opened first, again;
    char hex[DIGEST_HEX + 1];

    open_with(&first, NULL, 0, true);
    digest_hex(&first.plan->digest, hex);
    compiled_save(store, first.plan);
    close_plan(&first);
    CLEANUP(cleanup_free) char *name = xasprintf("plans/%s.plan", hex);
    CLEANUP(cleanup_free) char *path = store_path(store, name);
    FILE *f = fopen(path, "r+");
    cr_assert_not_null(f);
    cr_assert_eq(fseek(f, -9, SEEK_END), 0);
    cr_assert_neq(fputc('!', f), EOF);
    cr_assert_eq(fclose(f), 0);
    open_with(&again, NULL, 0, true);
    cr_expect_not_null(again.plan->unsaved);
    cr_expect_eq(again.plan->n, 7);
    close_plan(&again);
}

static void put(const char *name, int64_t age_s)
{
    CLEANUP(cleanup_free) char *below = xasprintf("plans/%s", name);
    CLEANUP(cleanup_free) char *path = store_path(store, below);
    int64_t then = now_ms() / 1000 - age_s;
    struct timespec times[2] = {{.tv_sec = then}, {.tv_sec = then}};

    cr_assert_eq(fs_write_file(path, "x", 1, 0600, false, NULL), 0);
    cr_assert_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool there(const char *name)
{
    CLEANUP(cleanup_free) char *below = xasprintf("plans/%s", name);
    CLEANUP(cleanup_free) char *path = store_path(store, below);

    return access(path, F_OK) == 0;
}

Test(engine_plan, plans_and_memories_of_urls_have_bounds_of_their_own)
{
    struct opened p;
    char hex[DIGEST_HEX + 1], name[DIGEST_HEX + 20];

    for (int i = 0; i < 60; i++) {
        (void)snprintf(name, sizeof(name), "%d.source", i);
        put(name, i);
        (void)snprintf(name, sizeof(name), "%d.plan", i);
        put(name, i - 1000); /* the clock of their making was ahead */
    }
    put("long-ago.source", INT64_C(61) * 86400);
    open_with(&p, NULL, 0, true);
    digest_hex(&p.plan->digest, hex);
    compiled_save(store, p.plan);
    close_plan(&p);
    for (int i = 0; i < 60; i++) {
        (void)snprintf(name, sizeof(name), "%d.source", i);
        cr_expect(there(name), "%s", name);
        (void)snprintf(name, sizeof(name), "%d.plan", i);
        cr_expect_eq(there(name), i < 50, "%s", name);
    }
    cr_expect_not(there("long-ago.source"));
    (void)snprintf(name, sizeof(name), "%s.plan", hex);
    cr_expect(there(name), "the one just made");
}

Test(engine_plan, a_file_that_is_not_there)
{
    struct plan_options o = {.load = {.file = "/no/such.yaml"}};
    struct err err = {0};
    struct diags d;
    struct arena *a;
    struct plan *p;

    diags_init(&d, "/no/such.yaml");
    cr_expect_lt(plan_open(&o, &d, &a, &p, NULL, NULL, &err), 0);
    cr_expect(strstr(err.msg, "/no/such.yaml"), "%s", err.msg);
    diags_done(&d);
}
