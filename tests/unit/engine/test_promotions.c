/* SPDX-License-Identifier: Apache-2.0 */
/* The table of promotions: numbers, what makes none, whose choice stays, rollbacks, and what is swept. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/store.h"
#include "engine/promotions.h"
#include "serve/desired.h"
#include "serve/models.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    char dir[64];
    struct store *s;
    struct arena *a;
} f;

static void set_up(void)
{
    struct err err = {0};

    (void)snprintf(f.dir, sizeof(f.dir), "/tmp/wf-promotions.XXXXXX");
    cr_assert(mkdtemp(f.dir));
    struct store_options o = {.dir = f.dir};
    cr_assert_eq(store_open(&o, &f.s, &err), 0, "%s", err.msg);
    f.a = arena_new();
}

static void tear_down(void)
{
    arena_free(f.a);
    store_close(f.s);
    (void)fs_remove_tree(f.dir, NULL);
}

TestSuite(engine_promotions, .init = set_up, .fini = tear_down, .timeout = 20);

/* --- writing --- */

struct change {
    struct write write;
    struct promotion p, to;
    uint32_t after, number, count;
    const char *name;
    enum promotion_outcome outcome;
    bool stands;
    struct service_spec spec;
    int64_t id, generation;
    struct service_row row;
};

static int apply_add(struct write *w, struct db *db, struct err *err)
{
    struct change *c = CONTAINER_OF(w, struct change, write);

    return promotion_add(db, &c->p, c->after, &c->number, &c->outcome, err);
}

static int apply_rollback(struct write *w, struct db *db, struct err *err)
{
    struct change *c = CONTAINER_OF(w, struct change, write);

    return promotion_rollback(db, &c->p, &c->to, 7, &c->number, err);
}

static int apply_allow(struct write *w, struct db *db, struct err *err)
{
    struct change *c = CONTAINER_OF(w, struct change, write);

    return promotion_allow(db, "w", "s", c->name, &c->count, err);
}

static int apply_stands(struct write *w, struct db *db, struct err *err)
{
    struct change *c = CONTAINER_OF(w, struct change, write);

    return promotion_stands(db, "w", "s", c->number, &c->stands, err);
}

static int apply_want(struct write *w, struct db *db, struct err *err)
{
    struct change *c = CONTAINER_OF(w, struct change, write);

    return desired_want(db, &c->spec, &c->id, &c->generation, err);
}

static int apply_status(struct write *w, struct db *db, struct err *err)
{
    struct change *c = CONTAINER_OF(w, struct change, write);

    return desired_status(db, &c->row, err);
}

static int change(struct change *c, int (*apply)(struct write *w, struct db *db, struct err *err),
                  struct err *err)
{
    c->write.apply = apply;
    return store_write_now(f.s, &c->write, err);
}

/* A promotion of one model whose content and file are `x`. */
static struct promotion of(const char *run, unsigned char x)
{
    struct promoted_model *m = arena_calloc(f.a, 1, sizeof(*m));
    struct result_output *o = arena_calloc(f.a, 1, sizeof(*o));

    *o = (struct result_output){.name = "model",
                                .path = "m \"1\"\n",
                                .kind = x % 2 ? OBJECT_FILE : OBJECT_TREE,
                                .bytes = x};
    o->digest.bytes[0] = x;
    *m = (struct promoted_model){.name = arena_printf(f.a, "train[m=%u]", x),
                                 .slug = arena_printf(f.a, "%u", x),
                                 .matrix_json = "{\"m\":1.10}",
                                 .metrics_json = "{\"acc\":0.889,\"\\\"\":[1e-3,null]}",
                                 .metric = 0.889,
                                 .n_outputs = 1,
                                 .outputs = o,
                                 .entry = 12,
                                 .run = run,
                                 .git_json = "{\"commit\":\"ab\",\"dirty\":null}"};
    m->content.bytes[0] = x;
    struct promotion p = {.workflow = "w",
                          .step = "s",
                          .run = run,
                          .at_ms = 5,
                          .reason = PROMOTED_EARLY,
                          .n_models = 1,
                          .models = m};
    p.content.bytes[0] = x;
    return p;
}

static uint32_t add(const char *run, unsigned char x, uint32_t after, enum promotion_outcome *ret)
{
    struct change c = {.p = of(run, x), .after = after};
    struct err err = {0};

    cr_assert_eq(change(&c, apply_add, &err), 0, "%s", err.msg);
    *ret = c.outcome;
    return c.number;
}

#define ADD(run, x, after, number, expected)                                                       \
    do {                                                                                           \
        enum promotion_outcome outcome_;                                                           \
        cr_expect_eq(add(run, x, after, &outcome_), number);                                       \
        cr_expect_eq(outcome_, expected);                                                          \
    } while (0)

static uint32_t newest(void)
{
    struct promotion p;
    struct err err = {0};
    int rc = promotion_newest(f.s, "w", "s", f.a, &p, &err);

    cr_assert_geq(rc, 0, "%s", err.msg);
    return rc == 1 ? 0 : p.number;
}

static uint32_t roll_back(uint32_t from, uint32_t to)
{
    struct change c = {0};
    struct err err = {0};

    cr_assert_eq(promotion_find(f.s, "w", "s", from, f.a, &c.p, &err), 0);
    cr_assert_eq(promotion_find(f.s, "w", "s", to, f.a, &c.to, &err), 0);
    return change(&c, apply_rollback, &err) < 0 ? 0 : c.number;
}

/* --- numbers --- */

Test(engine_promotions, numbers_rise_and_equal_choices_make_none)
{
    cr_expect_eq(newest(), 0);
    ADD("1", 1, 0, 1, PROMOTION_NEW);
    ADD("1", 1, 1, 1, PROMOTION_SAME);
    ADD("1", 2, 1, 2, PROMOTION_NEW);
    ADD("2", 2, 0, 2, PROMOTION_SAME);
    ADD("2", 1, 2, 3, PROMOTION_NEW);
    cr_expect_eq(newest(), 3);
}

Test(engine_promotions, what_was_decided_against_something_else_is_not_written)
{
    ADD("1", 1, 0, 1, PROMOTION_NEW);
    ADD("2", 2, 0, 0, PROMOTION_STALE);
    cr_expect_eq(newest(), 1);
}

Test(engine_promotions, an_earlier_run_does_not_replace_a_later_one)
{
    struct change c = {.p = of("1", 1)};
    struct err err = {0};

    ADD("2", 2, 0, 1, PROMOTION_NEW);
    c.after = 1;
    cr_expect_eq(change(&c, apply_add, &err), -(int)ERR_BUSY);
    cr_expect(strstr(err.msg, "run 2, which started later") != NULL, "%s", err.msg);
    ADD("1", 2, 1, 1, PROMOTION_SAME);
}

static int count(const struct promotion *p, void *arg)
{
    uint32_t *all = arg;

    *all = *all * 10 + p->number;
    return 0;
}

Test(engine_promotions, each_select_step_counts_for_itself)
{
    struct change c = {.p = of("1", 1)};
    struct err err = {0};
    uint32_t all = 0;

    ADD("1", 1, 0, 1, PROMOTION_NEW);
    ADD("1", 2, 1, 2, PROMOTION_NEW);
    c.p.step = "other";
    cr_assert_eq(change(&c, apply_add, &err), 0);
    cr_expect_eq(c.number, 1);
    c.p.workflow = "x";
    cr_assert_eq(change(&c, apply_add, &err), 0);
    cr_expect_eq(c.number, 1);
    cr_assert_eq(promotions_of_run(f.s, "w", "1", f.a, count, &all, &err), 0);
    cr_expect_eq(all, 112); /* other's 1, then 1 and 2 of s */
}

Test(engine_promotions, what_is_read_is_what_was_written)
{
    struct promotion p;
    struct err err = {0};

    ADD("1", 3, 0, 1, PROMOTION_NEW);
    cr_assert_eq(promotion_find(f.s, "w", "s", 1, f.a, &p, &err), 0, "%s", err.msg);
    cr_expect_eq(p.reason, PROMOTED_EARLY);
    cr_expect_eq(p.at_ms, 5);
    cr_expect_eq(p.n_models, 1);
    const struct promoted_model *m = &p.models[0];
    cr_expect_str_eq(m->name, "train[m=3]");
    cr_expect_str_eq(m->matrix_json, "{\"m\":1.10}", "numbers stay as they were written");
    cr_expect_str_eq(m->metrics_json, "{\"acc\":0.889,\"\\\"\":[1e-3,null]}");
    cr_expect_float_eq(m->metric, 0.889, 0);
    cr_expect_str_eq(m->git_json, "{\"commit\":\"ab\",\"dirty\":null}");
    cr_expect_null(m->provenance_json);
    cr_expect_eq(m->entry, 12);
    cr_expect_eq(m->content.bytes[0], 3);
    cr_expect_str_eq(m->outputs[0].path, "m \"1\"\n");
    cr_expect_eq(m->outputs[0].digest.bytes[0], 3);
    cr_expect_eq(promotion_find(f.s, "w", "s", 2, f.a, &p, &err), 1);
}

/* --- rollbacks --- */

static bool stands(uint32_t number)
{
    struct change c = {.number = number};
    struct err err = {0};

    cr_assert_eq(change(&c, apply_stands, &err), 0);
    return c.stands;
}

Test(engine_promotions, a_rollback_is_a_promotion_and_takes_models_away)
{
    struct err err = {0};
    uint32_t all = 0;

    ADD("1", 1, 0, 1, PROMOTION_NEW);
    ADD("1", 2, 1, 2, PROMOTION_NEW);
    cr_expect_eq(roll_back(2, 1), 3);
    cr_expect_eq(newest(), 3);
    cr_expect(stands(1) && !stands(2) && stands(3) && !stands(4));
    ADD("1", 1, 3, 3, PROMOTION_SAME);
    ADD("1", 2, 3, 0, PROMOTION_STALE); /* decided before it was barred */
    ADD("1", 3, 3, 4, PROMOTION_NEW);
    cr_assert_eq(promotions_of_run(f.s, "w", "1", f.a, count, &all, &err), 0);
    cr_expect_eq(all, 124, "a rollback is not the run's");
    cr_expect_eq(roll_back(3, 1), 0, "4 stands by now");
}

Test(engine_promotions, an_earlier_run_may_replace_what_a_rollback_brought_back)
{
    ADD("2", 1, 0, 1, PROMOTION_NEW);
    ADD("3", 2, 1, 2, PROMOTION_NEW);
    cr_expect_eq(roll_back(2, 1), 3);
    ADD("1", 4, 3, 4, PROMOTION_NEW);
}

static int count_barred(const struct barred_model *b, void *arg)
{
    struct str *out = arg;

    sb_printf(out, "%s %u;", b->name, b->number);
    return 0;
}

static void expect_barred(const char *text)
{
    CLEANUP(sb_done) struct str out = {0};
    struct err err = {0};

    cr_assert_eq(barred_each(f.s, "w", "s", count_barred, &out, &err), 0);
    cr_expect_str_eq(sb_text(&out), text);
}

Test(engine_promotions, barred_models_are_allowed_by_name_and_by_going_back_to_them)
{
    struct change c = {.name = "train[m=2]"};
    struct err err = {0};

    ADD("1", 1, 0, 1, PROMOTION_NEW);
    ADD("1", 2, 1, 2, PROMOTION_NEW);
    ADD("1", 3, 2, 3, PROMOTION_NEW);
    cr_expect_eq(roll_back(3, 2), 4);
    expect_barred("train[m=3] 3;");
    cr_expect_eq(roll_back(4, 1), 5);
    expect_barred("train[m=2] 4;train[m=3] 3;");
    cr_assert_eq(change(&c, apply_allow, &err), 0);
    cr_expect_eq(c.count, 1);
    expect_barred("train[m=3] 3;");
    cr_expect_eq(roll_back(5, 3), 6, "also to one that was withdrawn");
    expect_barred("train[m=1] 5;");
    c.name = NULL;
    cr_assert_eq(change(&c, apply_allow, &err), 0);
    expect_barred("");
}

/* --- services and files --- */

static int64_t want(uint32_t promotion, const char *argument)
{
    static const char *argv[2];
    struct spec_model m = {.name = "m", .slug = "m", .program = {.argv = argv, .env = argv + 1}};
    struct change c = {.spec = {.workflow = "w",
                                .step = "serve",
                                .run = "1",
                                .promotion = promotion,
                                .select = "s",
                                .replicas = 1,
                                .n_models = 1,
                                .models = &m}};
    struct err err = {0};

    argv[0] = argument;
    cr_assert_eq(change(&c, apply_want, &err), 0, "%s", err.msg);
    return c.id;
}

Test(engine_promotions, how_a_service_was_wanted_is_known_for_each_promotion)
{
    struct err err = {0};
    const char *text = NULL;

    ADD("1", 1, 0, 1, PROMOTION_NEW);
    int64_t id = want(1, "one");
    cr_expect_eq(want(2, "two"), id);
    cr_assert_eq(desired_spec(f.s, id, "s", 1, f.a, &text, &err), 0);
    cr_expect(strstr(text, "\"one\"") != NULL, "%s", text);
    cr_assert_eq(desired_spec(f.s, id, "s", 2, f.a, &text, &err), 0);
    cr_expect(strstr(text, "\"two\"") != NULL, "%s", text);
    cr_expect_eq(desired_spec(f.s, id, "s", 3, f.a, &text, &err), 1);
    cr_expect_eq(desired_spec(f.s, id, "other", 1, f.a, &text, &err), 1);
}

static char *file_of(unsigned char x)
{
    struct promotion p = of("1", x);

    return models_path(f.s, &p.models[0].outputs[0]);
}

static void make_file(unsigned char x)
{
    CLEANUP(cleanup_free) char *path = file_of(x);
    CLEANUP(cleanup_free) char *inner = fs_join(path, "a");

    if (x % 2) {
        cr_assert_eq(fs_write_file(path, "12345", 5, 0444, false, NULL), 0);
    } else {
        cr_assert_eq(fs_mkdirs(path, 0755, NULL), 0);
        cr_assert_eq(fs_write_file(inner, "12345", 5, 0444, false, NULL), 0);
    }
}

static bool is_there(unsigned char x)
{
    CLEANUP(cleanup_free) char *path = file_of(x);

    return access(path, F_OK) == 0;
}

Test(engine_promotions, only_models_that_nothing_names_are_swept)
{
    CLEANUP(cleanup_close) int fd = -1;
    CLEANUP(cleanup_free) char *wanted = file_of(20);
    struct err err = {0};
    uint64_t bytes = 0;

    cr_assert_eq(models_sweep(f.s, 5, 0, &bytes, &err), 0, "there is nothing");
    cr_assert_eq(models_hold(f.s, &fd, &err), 0, "%s", err.msg);
    for (unsigned char x = 1; x <= 9; x++) {
        ADD("1", x, x - 1u, x, PROMOTION_NEW);
        make_file(x);
    }
    make_file(20);
    make_file(21);
    /* The service wants 20 (as an argument), and promotion 2 is live. */
    struct change c = {.row = {.id = want(9, wanted), .state = SERVICE_LIVE, .live_promotion = 2}};
    cr_assert_eq(change(&c, apply_status, &err), 0);
    cr_assert_eq(models_sweep(f.s, 5, 0, &bytes, &err), 0);
    cr_expect(is_there(1) && is_there(21), "somebody holds them");
    cleanup_close(&fd);
    fd = -1;
    cr_assert_eq(models_sweep(f.s, 5, 0, &bytes, &err), 0, "%s", err.msg);
    for (unsigned char x = 1; x <= 9; x++) {
        cr_expect_eq(is_there(x), x == 2 || x >= 5, "%u", x);
    }
    cr_expect(is_there(20) && !is_there(21));
    cr_expect_eq(bytes, 4 * 5, "1, 3, 4 and 21, and was %lu", (unsigned long)bytes);
}

Test(engine_promotions, a_withdrawn_one_takes_no_place_of_those_kept)
{
    CLEANUP(cleanup_close) int fd = -1;
    struct err err = {0};

    cr_assert_eq(models_hold(f.s, &fd, &err), 0);
    for (unsigned char x = 1; x <= 6; x++) {
        ADD("1", x, x - 1u, x, PROMOTION_NEW);
        make_file(x);
    }
    cr_expect_eq(roll_back(6, 5), 7); /* stand: 7, 5, 4, 3, 2 */
    cleanup_close(&fd);
    fd = -1;
    cr_assert_eq(models_sweep(f.s, 5, 0, NULL, &err), 0);
    cr_expect(!is_there(1) && is_there(2) && is_there(5) && !is_there(6));
}
