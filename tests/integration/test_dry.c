/* SPDX-License-Identifier: Apache-2.0 */
/* What a run would do now: the same answers as the run then gives, and nothing changed by asking. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cache/store.h"
#include "engine/dry.h"
#include "tests/integration/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

TestSuite(dry, .init = open_works, .fini = close_rig);

static const char yaml[] = "params: {go: true}\n"
                           "steps:\n"
                           "  a: {run: x, inputs: {d: data.csv}, outputs: {o: o}}\n"
                           "  b: {run: 'y ${{ steps.a.outputs.o }}', outputs: {o: o}}\n"
                           "  c: {run: z, outputs: {o: o}}\n"
                           "  d: {run: z2, outputs: {o: o}, if: '!params.go'}\n"
                           "  e: {run: w, needs: d}\n"
                           "  f: {run: free}\n";

/* "a=hit:reused\n…" of a dry run, with `w` refreshed where it is not NULL. */
static char *ask(const char *w)
{
    CLEANUP(cleanup_free) char *file = fs_join(rig.dir, "wf.yaml");
    struct plan_options po = {.load = {.file = file}, .store = rig.store};
    struct str out = {0};
    struct diags d;
    struct arena *arena;
    struct plan *plan;
    struct dry *dry;

    rig_file(&rig, "wf.yaml", yaml);
    diags_init(&d, file);
    cr_assert_eq(plan_open(&po, &d, &arena, &plan, NULL, NULL, rig.err), 0, "%s", rig.err->msg);
    struct dry_options o = {
        .plan = plan, .store = rig.store, .loop = rig.loop, .refresh = &w, .n_refresh = w ? 1 : 0};
    cr_assert_eq(dry_open(&o, &dry, rig.err), 0, "%s", rig.err->msg);
    for (uint32_t i = 0; i < plan->n; i++) {
        const struct dry_step *s = dry_of(dry, i);
        sb_printf(&out, "%s=%s:%s\n", plan->instances[i].name, dry_verdict_names[s->verdict],
                  s->why ? s->why : "");
    }
    dry_close(dry);
    diags_done(&d);
    arena_free(arena);
    return sb_take(&out);
}

static bool has(const char *all, const char *text)
{
    return strstr(all, text) != NULL;
}

Test(dry, before_any_run)
{
    rig_file(&rig, "data.csv", "1\n");
    CLEANUP(cleanup_free) char *all = ask(NULL);

    cr_expect(has(all, "a=run:never ran"), "%s", all);
    cr_expect(has(all, "b=undecided:it depends on a"), "%s", all);
    cr_expect(has(all, "c=run:never ran"), "%s", all);
    cr_expect(has(all, "d=skip:"), "%s", all);
    cr_expect(has(all, "e=skip:"), "%s", all);
    cr_expect(has(all, "f=run:not memoized"), "%s", all);
}

Test(dry, after_a_run_and_after_a_change)
{
    rig_file(&rig, "data.csv", "1\n");
    cr_assert_eq(rig_run(&rig, yaml, NULL), 0, "%s", rig.err->msg);
    CLEANUP(cleanup_free) char *all = ask(NULL);
    cr_expect(has(all, "a=hit") && has(all, "b=hit") && has(all, "c=hit"), "%s", all);
    rig_file(&rig, "data.csv", "22\n");
    CLEANUP(cleanup_free) char *changed = ask(NULL);
    cr_expect(has(changed, "a=run:input d"), "%s", changed);
    cr_expect(has(changed, "b=undecided") && has(changed, "c=hit"), "%s", changed);
    CLEANUP(cleanup_free) char *again = ask(NULL);
    cr_expect_str_eq(changed, again, "asking changes nothing");
    CLEANUP(cleanup_free) char *refreshed = ask("c");
    cr_expect(has(refreshed, "c=run:--refresh"), "%s", refreshed);
}

Test(dry, an_input_that_is_missing_is_told)
{
    CLEANUP(cleanup_free) char *all = ask(NULL);

    cr_expect(has(all, "a=run:it will fail: ") && has(all, "data.csv"), "%s", all);
}
