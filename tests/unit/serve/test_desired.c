/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/store.h"
#include "serve/desired.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define EARLY "01J00000000000000000000000"
#define LATE "01K00000000000000000000000"

static char dir[64];
static struct store *store;
static struct arena *arena;

static void setup(void)
{
    struct err err = {0};
    snprintf(dir, sizeof(dir), "/tmp/wf-desired-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    CLEANUP(cleanup_free) char *path = xasprintf("%s/store", dir);
    struct store_options o = {.dir = path};
    cr_assert_eq(store_open(&o, &store, &err), 0, "%s", err.msg);
    arena = arena_new();
}

static void teardown(void)
{
    struct err err;
    store_close(store);
    arena_free(arena);
    fs_remove_tree(dir, &err);
}

TestSuite(serve_desired, .init = setup, .fini = teardown);

struct wish {
    struct write write;
    const struct service_spec *spec;
    const struct service_row *status;
    const char *run;
    int64_t id, generation;
    int rc;
    struct err err;
};

static int apply_want(struct write *w, struct db *db, struct err *err)
{
    struct wish *p = (struct wish *)w;
    (void)err;
    p->rc = desired_want(db, p->spec, &p->id, &p->generation, &p->err);
    return 0;
}

static int apply_down(struct write *w, struct db *db, struct err *err)
{
    const struct wish *p = (struct wish *)w;
    return desired_down(db, p->id, p->run, err);
}

static int apply_status(struct write *w, struct db *db, struct err *err)
{
    return desired_status(db, ((struct wish *)w)->status, err);
}

static struct wish want(const struct service_spec *s)
{
    struct wish p = {.write = {.apply = apply_want}, .spec = s};
    cr_assert_eq(store_write_now(store, &p.write, NULL), 0);
    return p;
}

static void down(int64_t id, const char *run)
{
    struct wish p = {.write = {.apply = apply_down}, .id = id, .run = run};
    cr_assert_eq(store_write_now(store, &p.write, NULL), 0);
}

static struct service_row find(const char *step)
{
    struct service_row row;
    struct err err = {0};
    cr_assert_eq(desired_find(store, "flow", step, arena, &row, &err), 0, "%s", err.msg);
    return row;
}

Test(serve_desired, the_first_wish_makes_a_row)
{
    struct service_spec s = {.workflow = "flow", .step = "serve", .run = EARLY, .keep = true};
    struct service_row none;
    cr_assert_eq(desired_find(store, "flow", "serve", arena, &none, NULL), 1);
    struct wish p = want(&s);
    struct service_row row = find("serve");
    cr_assert_eq(p.rc, 0);
    cr_assert_eq(row.id, p.id);
    cr_assert_eq(row.generation, 1);
    cr_assert_eq(row.state, SERVICE_DOWN);
    cr_assert_str_eq(row.run, EARLY);
    cr_assert(row.keep && row.wanted);
    cr_assert_eq(row.port, 0);
    cr_assert_null(row.endpoint);
}

Test(serve_desired, the_generation_rises_with_content_run_or_promotion)
{
    struct service_spec s = {.workflow = "flow", .step = "serve", .run = EARLY};
    cr_assert_eq(want(&s).generation, 1);
    cr_assert_eq(want(&s).generation, 1);
    s.replicas = 2;
    cr_assert_eq(want(&s).generation, 2);
    s.promotion = 1;
    cr_assert_eq(want(&s).generation, 3);
    s.run = LATE;
    cr_assert_eq(want(&s).generation, 4);
    cr_assert_eq(want(&s).generation, 4);
    cr_assert_eq(find("serve").generation, 4);
}

Test(serve_desired, an_earlier_run_never_replaces_a_later_one)
{
    struct service_spec late = {.workflow = "flow", .step = "serve", .run = LATE};
    struct service_spec early = {.workflow = "flow", .step = "serve", .run = EARLY, .replicas = 2};
    struct wish first = want(&late), second = want(&early);
    cr_assert_eq(second.rc, -(int)ERR_BUSY);
    cr_assert_eq(second.err.code, ERR_BUSY);
    cr_assert_str_eq(find("serve").run, LATE);
    down(first.id, NULL);
    cr_assert_eq(want(&early).rc, 0); /* nobody wants the later one any more */
}

Test(serve_desired, only_its_owner_takes_it_down)
{
    struct service_spec s = {.workflow = "flow", .step = "serve", .run = LATE, .listen.port = 8080};
    struct wish p = want(&s);
    down(p.id, EARLY);
    cr_assert_not_null(find("serve").wanted);
    down(p.id, LATE);
    cr_assert_null(find("serve").wanted);
    cr_assert_eq(find("serve").port, 8080); /* the address stays */
    s.listen.port = 0;
    cr_assert_eq(want(&s).generation, 2);
    cr_assert_eq(find("serve").port, 8080);
    down(p.id, NULL);
    cr_assert_null(find("serve").wanted);
}

Test(serve_desired, the_supervisor_says_how_it_stands)
{
    struct service_spec s = {.workflow = "flow", .step = "serve", .run = LATE};
    struct wish p = want(&s);
    struct service_row row = {.id = p.id,
                              .port = 4711,
                              .state = SERVICE_FAILED,
                              .state_generation = 1,
                              .live_generation = 0,
                              .live_promotion = 3,
                              .endpoint = "http://127.0.0.1:4711",
                              .error = "why",
                              .changed_at_ms = 5};
    struct wish status = {.write = {.apply = apply_status}, .status = &row};
    cr_assert_eq(store_write_now(store, &status.write, NULL), 0);
    struct service_row got = find("serve");
    cr_assert_eq(got.state, SERVICE_FAILED);
    cr_assert_eq(got.port, 4711);
    cr_assert_eq(got.live_promotion, 3);
    cr_assert_str_eq(got.endpoint, row.endpoint);
    cr_assert_str_eq(got.error, "why");
    cr_assert_str_eq(got.run, LATE);
    cr_assert_not_null(got.wanted);
}

static int count_row(const struct service_row *row, void *arg)
{
    struct str *names = arg;
    sb_printf(names, "%s/%s ", row->workflow, row->step);
    return 0;
}

Test(serve_desired, rows_are_listed_by_name)
{
    struct service_spec b = {.workflow = "flow", .step = "b", .run = LATE},
                        a = {.workflow = "flow", .step = "a", .run = LATE};
    struct str names = {0};
    want(&b);
    want(&a);
    cr_assert_eq(desired_each(store, arena, count_row, &names, NULL), 0);
    cr_assert_str_eq(sb_text(&names), "flow/a flow/b ");
    sb_done(&names);
}
