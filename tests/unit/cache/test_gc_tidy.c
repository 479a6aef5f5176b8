/* SPDX-License-Identifier: Apache-2.0 */
/* What housekeeping spares besides what is in use, what else it clears, and its work by itself. */
#include "cache/gc_internal.h"
#include "fixture.h"

TestSuite(cache_gc_tidy, .init = setup, .fini = teardown);

#define DAY INT64_C(86400000)

static struct gc_report collect(struct gc_options o)
{
    struct gc_report r;
    struct err err = {0};

    cr_assert_eq(cache_gc(f.s, &o, &r, &err), 0, "%s", err.msg);
    return r;
}

static bool there(int64_t id)
{
    struct entry e;

    return entry_get(f.s, id, f.arena, &e, NULL) == 0;
}

static int64_t aged(const char *name, int64_t days)
{
    return add_entry(name, name, now_ms() - days * DAY);
}

static const char *used_hex(const int64_t *ids, size_t count)
{
    CLEANUP(sb_done) struct str hex = {0};

    for (size_t i = 0; i < count * 8; i++) {
        sb_printf(&hex, "%02x", (unsigned)(ids[i / 8] >> (8 * (i % 8))) & 0xff);
    }
    return arena_strdup(f.arena, sb_text(&hex));
}

/* A run of plan `plan` that began so many days ago, by its row and by its id. */
static const char *add_run(const char *status, int64_t days, int64_t plan, const int64_t *ids,
                           size_t count)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    static unsigned counter;
    int64_t ms = now_ms() - days * DAY;
    char *id = arena_alloc(f.arena, ID_LEN + 1);

    snprintf(id, ID_LEN + 1, "0000000000%016u", ++counter);
    for (int i = 9; i >= 0; i--, ms >>= 5) {
        id[i] = digits[ms & 31];
    }
    cr_assert_leq(llabs(id_time_ms(id) - (now_ms() - days * DAY)), 5000);
    sql(arena_printf(f.arena,
                     "INSERT INTO runs(id, workflow, plan, status, started_at, ended_at, owner,"
                     " used) VALUES('%s', 'w', %lld, '%s', %lld, %lld, 1, x'%s')",
                     id, (long long)plan, status, (long long)(now_ms() - days * DAY),
                     (long long)(now_ms() - days * DAY + 1000), used_hex(ids, count)));
    return id;
}

/* --- what is spared --- */

Test(cache_gc_tidy, what_the_newest_success_published_stays)
{
    int64_t first[2] = {aged("published", 100), aged("between", 100)};

    /* Two instances; the first publishes. */
    sql("INSERT INTO plans(id, digest, names) VALUES(7, x'07', x'0200000080006100620000')");
    add_run("succeeded", 90, 7, first, 2);
    struct gc_report r = collect((struct gc_options){.unused_for_ms = 30 * DAY});
    cr_expect_eq(r.entries_removed, 1);
    cr_expect(there(first[0]) && !there(first[1]));
    /* A failed one changes nothing; nor does one that left the step aside. */
    int64_t second[2] = {aged("newer", 80), 0}, none[2] = {0, 0};
    add_run("failed", 70, 7, second, 2);
    add_run("succeeded", 65, 7, none, 2);
    collect((struct gc_options){.unused_for_ms = 30 * DAY});
    cr_expect(there(first[0]) && !there(second[0]));
    int64_t third[2] = {aged("newest", 60), 0};
    add_run("succeeded", 60, 7, third, 2);
    collect((struct gc_options){.unused_for_ms = 30 * DAY, .max_entries = 1});
    cr_expect(there(third[0]) && !there(first[0]), "and only the newest");
}

static int64_t told;

static int tell_used(struct store *s, const char *run, int64_t *seq,
                     void (*add)(int64_t entry, void *arg), void *arg, struct err *err)
{
    (void)s;
    (void)run;
    (void)err;
    ++*seq;
    add(told, arg);
    return 0;
}

Test(cache_gc_tidy, what_a_live_run_says_it_used_stays)
{
    int64_t old = aged("reused just now", 100), other = aged("not reused", 100);
    const char *run = add_run("running", 0, 1, NULL, 0);
    struct err err;
    int fd;

    told = old;
    cr_assert_eq(store_live(f.s, run, &fd, &err), 0);
    collect((struct gc_options){.unused_for_ms = 30 * DAY, .live_entries = tell_used});
    cr_expect(there(old) && !there(other));
    store_unlive(f.s, run, fd);
    collect((struct gc_options){.unused_for_ms = 30 * DAY, .live_entries = tell_used});
    cr_expect_not(there(old));
}

/* --- the history --- */

Test(cache_gc_tidy, old_runs_go_but_the_newest_of_each_workflow)
{
    const char *oldest = NULL, *run = NULL;

    sql("INSERT INTO plans(id, digest, names) VALUES(1, x'01', x''), (2, x'02', x'')");
    for (int64_t i = 0; i < GC_KEPT_RUNS + 5; i++) {
        run = add_run("succeeded", 200 - i, i < 2 ? 2 : 1, NULL, 0);
        oldest = oldest ? oldest : run;
        sql(arena_printf(f.arena, "INSERT INTO events VALUES('%s', 1, x'00'), ('%s', 2, x'00')",
                         run, run));
        if (i == 0 || i == 2) {
            sql(arena_printf(f.arena, "UPDATE runs SET text = x'74' WHERE id = '%s'", run));
        }
    }
    const char *logs = arena_printf(f.arena, "%s/logs/%s", f.store, oldest);
    const char *kept = arena_printf(f.arena, "%s/logs/%s", f.store, run);
    const char *left = arena_printf(f.arena, "%s/work/%s", f.store, run);
    mkdir(logs, 0700);
    mkdir(kept, 0700);
    mkdir(left, 0700);
    struct gc_report r =
        collect((struct gc_options){.runs_for_ms = 90 * DAY, .kept_runs = 2, .dry_run = true});
    cr_expect_eq(r.runs_removed, GC_KEPT_RUNS + 3);
    r = collect((struct gc_options){.runs_for_ms = 90 * DAY, .dry_run = true});
    cr_expect_eq(r.runs_removed, 5);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM runs"), GC_KEPT_RUNS + 5);
    r = collect((struct gc_options){.runs_for_ms = 90 * DAY});
    cr_expect_eq(r.runs_removed, 5);
    cr_expect_eq(r.plans_removed, 1, "nobody names it any more");
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM runs"), GC_KEPT_RUNS);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM events"), 2 * GC_KEPT_RUNS);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM runs WHERE text = x'74'"), 1,
                 "handed on to the oldest that is left");
    cr_expect_not(exists(logs));
    cr_expect(exists(kept));
    cr_expect_not(exists(left), "of a run that is over nothing is worked on");
    cr_expect_eq(collect((struct gc_options){.runs_for_ms = 90 * DAY}).runs_removed, 0);
}

/* --- the database's own size --- */

Test(cache_gc_tidy, free_pages_are_given_back)
{
    sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)"
        " INSERT INTO events SELECT 'x', i, zeroblob(4000) FROM n");
    int64_t pages = sql_number("PRAGMA page_count");
    cr_assert_gt(pages, 9000);
    sql("DELETE FROM events");
    struct gc_report r = collect((struct gc_options){0});
    cr_expect_lt(sql_number("PRAGMA page_count"), pages / 2);
    cr_expect_gt(r.database_freed, 16 << 20);
}

/* --- rounds --- */

Test(cache_gc_tidy, a_walk_in_rounds_comes_to_the_cap)
{
    struct gc_options o = {.max_entries = 20};
    struct err err = {0};
    uint64_t removed = 0;

    for (int i = 0; i < 60; i++) {
        aged(arena_printf(f.arena, "e%d", i), 100 - i);
    }
    int64_t kept = aged("newest", 1);
    for (int round = 0; round < 3; round++) {
        struct gc g = {
            .store = f.s, .o = &o, .oldest_live = now_ms(), .looked_us = mono_us() + 1000000};
        cr_assert_eq(gc_total_get(&g, &g.before, &err), 0);
        cr_assert_eq(gc_remove_rounds(&g, &err), 0, "%s", err.msg);
        g.stopped = false;
        cr_assert_eq(gc_queue(&g, &err), 0, "%s", err.msg);
        removed += g.report.entries_removed;
        cr_expect_eq(g.report.entries_removed, round == 1 ? 41 : 0, "%d: %lu", round,
                     (unsigned long)g.report.entries_removed);
    }
    cr_expect_eq(removed, 41);
    cr_expect(there(kept));
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM entries"), 20);
    cr_expect_eq(sql_number("SELECT MIN(id) FROM entries"), 42, "the oldest went");
}

/* --- by itself --- */

static void tidied(int64_t seconds_ago)
{
    struct timespec t = {.tv_sec = now_ms() / 1000 - seconds_ago}, times[2] = {t, t};

    cr_assert_eq(utimensat(AT_FDCWD, at("store/tidied"), times, 0), 0);
}

Test(cache_gc_tidy, it_works_when_it_is_due)
{
    struct tidy_options o = {0}, off = {.max_size = UINT64_MAX, .unused_for_ms = INT64_MAX};
    int64_t old = aged("old", 31), young = aged("young", 29);

    cr_expect_not(cache_tidy(f.s, &off));
    cr_expect_not(exists(at("store/tidied")), "switched off it does nothing at all");
    cr_expect_not(cache_tidy(f.s, &o), "a new store has nothing to tidy");
    cr_expect(exists(at("store/tidied")));
    tidied(TIDY_EVERY_S - 60);
    cr_expect_not(cache_tidy(f.s, &o));
    cr_expect(there(old));
    tidied(TIDY_EVERY_S + 1);
    cr_expect(cache_tidy(f.s, &o));
    cr_expect(!there(old) && there(young));
    cr_expect_not(cache_tidy(f.s, &o), "done for now");
    chmod(at("store/tidied"), 0400);
    tidied(TIDY_AGAIN_S + 1);
    cr_expect(cache_tidy(f.s, &o), "where more was to do it goes on soon");
    cr_expect_not(cache_tidy(f.s, &o));
    struct tidy_options none = {.max_entries = 1, .unused_for_ms = INT64_MAX};
    aged("younger", 2);
    tidied(TIDY_EVERY_S + 1);
    cr_expect(cache_tidy(f.s, &none));
    cr_expect_not(there(young), "by the configured cap");
}
