/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"
#include "cache/failpoint.h"
#include "cache/gc.h"
#include "cache/id_map.h"
#include "fixture.h"

#include <signal.h>
#include <time.h>

TestSuite(cache_gc, .init = setup, .fini = teardown);

#define DAY INT64_C(86400000)

static int64_t now;

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

/* An entry that was made so many days ago, with an output of its own. */
static int64_t aged(const char *name, int64_t days)
{
    now = now_ms();
    return add_entry(name, name, now - days * DAY);
}

/* A run that began so many days ago and used these entries; its id. */
static const char *add_run(const char *status, int64_t days, const int64_t *ids, size_t count)
{
    char *id = arena_alloc(f.arena, ID_LEN + 1);
    CLEANUP(sb_done) struct str hex = {0};

    id_new(id);
    for (size_t i = 0; i < count; i++) {
        for (int k = 0; k < 8; k++) {
            sb_printf(&hex, "%02x", (unsigned)(ids[i] >> (8 * k)) & 0xff);
        }
    }
    sql(arena_printf(f.arena,
                     "INSERT INTO runs(id, workflow, plan, status, started_at, ended_at, owner,"
                     " used) VALUES('%s', 'w', 1, '%s', %lld, %lld, 1, %s%s%s)",
                     id, status, (long long)(now_ms() - days * DAY),
                     (long long)(now_ms() - days * DAY + 1000), count ? "x'" : "NULL",
                     sb_text(&hex), count ? "'" : ""));
    return id;
}

/* --- by age --- */

Test(cache_gc, what_was_unused_for_long_goes)
{
    int64_t old = aged("old", 100), young = aged("young", 5);
    struct digest d = digest_text("old"), k = digest_text("young");
    struct gc_report r = collect((struct gc_options){.unused_for_ms = 30 * DAY});

    cr_expect(r.complete);
    cr_expect(r.entries_removed == 1 && r.entries_kept == 1);
    cr_expect(r.objects_removed == 1 && r.bytes_removed == 3 && r.bytes_kept == 5);
    cr_expect_not(there(old));
    cr_expect(there(young));
    cr_expect_not(exists(object_at(&d)));
    cr_expect(exists(object_at(&k)));
}

Test(cache_gc, without_bounds_only_strays_go)
{
    aged("old", 10000);
    struct gc_report r = collect((struct gc_options){0});

    cr_expect(r.entries_removed == 0 && r.entries_kept == 1 && r.complete);
}

Test(cache_gc, a_hit_keeps_an_entry)
{
    int64_t ids[3] = {aged("hit", 100), 0, aged("hit too", 100)};
    int64_t old = aged("not hit", 100);

    add_run("succeeded", 3, ids, 3);
    struct gc_report r = collect((struct gc_options){.unused_for_ms = 30 * DAY});
    cr_expect_eq(r.entries_removed, 1);
    cr_expect(there(ids[0]) && there(ids[2]) && !there(old));
    cr_expect_gt(sql_number("SELECT MIN(at) FROM hits"), now - 4 * DAY);
    /* Folded once: a second time nothing is read again, and nothing is lowered. */
    collect((struct gc_options){0});
    cr_expect_gt(sql_number("SELECT MIN(at) FROM hits"), now - 4 * DAY);
}

Test(cache_gc, a_run_that_outlasts_a_gc_is_folded_later)
{
    int64_t ids[1] = {aged("slow", 100)};
    struct err err;
    int fd;
    const char *run = add_run("running", 3, NULL, 0);
    const char *later = add_run("succeeded", 1, NULL, 0);

    cr_assert_eq(store_live(f.s, run, &fd, &err), 0);
    collect((struct gc_options){0});
    cr_expect_eq(sql_number(arena_printf(
                     f.arena, "SELECT value = '%s' FROM meta WHERE name = 'gc.runs'", later)),
                 1);
    sql(arena_printf(
        f.arena,
        "UPDATE runs SET status = 'succeeded', used = x'%02x00000000000000' WHERE id = '%s'",
        (unsigned)ids[0], run));
    store_unlive(f.s, run, fd);
    collect((struct gc_options){.unused_for_ms = 30 * DAY});
    cr_expect(there(ids[0]));
}

/* --- who is spared --- */

Test(cache_gc, what_a_live_run_may_use_stays)
{
    int64_t before[1] = {aged("used before", 100)};
    int64_t lost = aged("lost", 100);
    struct err err;
    int fd;

    add_run("succeeded", 90, before, 1); /* of the same workflow */
    const char *run = add_run("running", 1, NULL, 0);
    cr_assert_eq(store_live(f.s, run, &fd, &err), 0);
    int64_t made = add_entry("made by it", "x", now_ms());
    struct gc_report r = collect((struct gc_options){.unused_for_ms = 30 * DAY, .max_entries = 1});
    cr_expect_eq(r.entries_removed, 1);
    cr_expect(there(before[0]) && there(made) && !there(lost));
    store_unlive(f.s, run, fd);
    r = collect((struct gc_options){.unused_for_ms = 30 * DAY});
    cr_expect_not(there(before[0]), "and not a day longer");
}

Test(cache_gc, what_is_pinned_stays)
{
    int64_t id = aged("pinned", 100);

    sql(arena_printf(f.arena, "INSERT INTO pins VALUES(%lld, 'test')", (long long)id));
    struct gc_report r = collect((struct gc_options){.unused_for_ms = DAY});
    cr_expect(r.entries_removed == 0 && there(id) && r.complete);
    r = collect((struct gc_options){.max_size = 1});
    cr_expect(r.entries_removed == 0 && there(id) && r.complete, "and the caps end all the same");
}

/* --- caps --- */

Test(cache_gc, the_least_recently_used_go_until_the_entries_fit)
{
    int64_t ids[10];

    for (int i = 0; i < 10; i++) {
        ids[i] = aged(arena_printf(f.arena, "e%d", i), 20 - i);
    }
    int64_t hit[1] = {ids[0]};
    add_run("succeeded", 1, hit, 1);
    struct gc_report r = collect((struct gc_options){.max_entries = 4});
    cr_expect_eq(r.entries_removed, 6);
    cr_expect(there(ids[0]));
    cr_expect_not(there(ids[1]) || there(ids[6]));
    cr_expect(there(ids[7]) && there(ids[9]));
}

Test(cache_gc, the_least_recently_used_go_until_the_size_fits)
{
    char text[1001];
    int64_t ids[40];

    memset(text, 'x', 1000);
    text[1000] = '\0';
    for (int i = 0; i < 40; i++) {
        memcpy(text, arena_printf(f.arena, "%04d", i), 4);
        ids[i] = add_entry(arena_printf(f.arena, "e%d", i), text, now_ms() - (50 - i) * DAY);
    }
    struct gc_report r = collect((struct gc_options){.max_size = 10000});
    cr_expect(r.bytes_kept <= 10000 && r.bytes_kept > 1000, "%llu",
              (unsigned long long)r.bytes_kept);
    cr_expect(there(ids[39]) && !there(ids[0]));
    cr_expect_eq(r.entries_kept, r.bytes_kept / 1000);
}

/* --- strays --- */

static void wait_past_change(const char *path)
{
    struct stat st;

    cr_assert_eq(stat(path, &st), 0);
    while (now_ms() <= (int64_t)st.st_ctim.tv_sec * 1000 + st.st_ctim.tv_nsec / 1000000 + 60) {
        struct timespec t = {.tv_nsec = 5000000};
        nanosleep(&t, NULL);
    }
}

Test(cache_gc, files_that_nobody_names_go_if_older_than_every_run)
{
    struct digest stray = put_text("stray"), named = digest_text("named");
    struct err err;
    int fd;

    aged("named", 1);
    write_file("store/objects/00/README", "not ours");
    const char *run = add_run("running", 1, NULL, 0);
    cr_assert_eq(store_live(f.s, run, &fd, &err), 0);
    wait_past_change(object_at(&stray));
    struct gc_report r = collect((struct gc_options){0});
    cr_expect(r.stray_objects == 0 && exists(object_at(&stray)));
    store_unlive(f.s, run, fd);
    r = collect((struct gc_options){.dry_run = true});
    cr_expect(r.stray_objects == 1 && exists(object_at(&stray)));
    r = collect((struct gc_options){0});
    cr_expect(r.stray_objects == 1 && r.bytes_removed == 5);
    cr_expect_not(exists(object_at(&stray)));
    cr_expect(exists(object_at(&named)));
    cr_expect(exists(at("store/objects/00/README")));
}

/* --- dry run --- */

Test(cache_gc, a_dry_run_tells_and_does_nothing)
{
    int64_t a = aged("a", 100);
    struct made shared = make_entry("b", "a", now_ms() - 90 * DAY); /* the same content as a's */
    int64_t b = store_made(&shared);
    struct digest d = digest_text("a");
    struct gc_options o = {.unused_for_ms = 30 * DAY, .dry_run = true};
    struct gc_report dry = collect(o);

    cr_expect(there(a) && there(b) && exists(object_at(&d)));
    o.dry_run = false;
    struct gc_report real = collect(o);
    cr_expect_eq(dry.entries_removed, 2);
    cr_expect_eq(dry.entries_removed, real.entries_removed);
    cr_expect_eq(dry.objects_removed, 1);
    cr_expect_eq(dry.objects_removed, real.objects_removed);
    cr_expect_eq(dry.bytes_removed, real.bytes_removed);
    cr_expect_not(there(a) || exists(object_at(&d)));
}

Test(cache_gc, a_dry_run_works_on_a_read_only_store)
{
    struct store_options o = {.dir = f.store, .read_only = true};
    struct gc_options g = {.unused_for_ms = DAY, .dry_run = true};
    struct gc_report r;
    struct store *s;
    struct err err = {0};

    aged("a", 100);
    cr_assert_eq(store_open(&o, &s, &err), 0);
    cr_assert_eq(cache_gc(s, &g, &r, &err), 0, "%s", err.msg);
    cr_expect_eq(r.entries_removed, 1);
    g.dry_run = false;
    cr_expect_eq(cache_gc(s, &g, &r, &err), -(int)ERR_DENIED);
    store_close(s);
}

/* --- bounds and interruption --- */

static bool stop_after(uint64_t seen, uint64_t removed, void *arg)
{
    (void)seen;
    return removed < *(uint64_t *)arg;
}

/* Of entries, whatever was cut off in between. */
static void expect_nothing_left(void)
{
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM objects"), 0);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM keys"), 0);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM works"), 0);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM given_up"), 0);
    cr_expect_eq(sql_number("SELECT entries + objects + bytes FROM totals"), 0);
}

Test(cache_gc, can_be_stopped_and_goes_on)
{
    uint64_t limit = 100;
    struct gc_options o = {.unused_for_ms = DAY, .progress = stop_after, .arg = &limit};

    for (int i = 0; i < 400; i++) {
        aged(arena_printf(f.arena, "e%d", i), 10);
    }
    struct gc_report r = collect(o);
    cr_expect(!r.complete && r.entries_removed >= 100);
    limit = 1000;
    struct gc_report rest = collect(o);
    cr_expect(rest.complete && r.entries_removed + rest.entries_removed == 400);
    cr_expect_eq(r.objects_removed + rest.objects_removed, 400);
    expect_nothing_left();
}

Test(cache_gc, only_one_at_a_time)
{
    struct gc_options o = {0};
    struct gc_report r;
    struct err err = {0};
    int fd;

    cr_assert_eq(store_live(f.s, "gc", &fd, &err), 0);
    cr_expect_eq(cache_gc(f.s, &o, &r, &err), -(int)ERR_BUSY);
    cr_expect_not_null(strstr(err.msg, "another"), "%s", err.msg);
    store_unlive(f.s, "gc", fd);
    collect(o);
}

static void collect_and_die(void)
{
    struct store_options so = {.dir = f.store};
    struct gc_options o = {.unused_for_ms = DAY};
    struct gc_report r;
    struct err err;

    store_open(&so, &f.s, NULL);
    cache_gc(f.s, &o, &r, &err);
}

Test(cache_gc, killed_anywhere_it_harms_nothing)
{
    static const char *const points[] = {
        "gc.fold:kill",  "objects.unlink:kill:2", "gc.remove:kill:3",  "writer.commit:kill:3",
        "gc.walk:kill",  "gc.release:kill",       "gc.release:kill:4", "gc.queue:kill",
        "gc.empty:kill", "gc.stray:kill"};

    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        int64_t ids[1] = {aged(arena_printf(f.arena, "kept%zu", i), 100)};
        for (int k = 0; k < 5; k++) {
            aged(arena_printf(f.arena, "gone%zu-%d", i, k), 100);
        }
        struct digest stray = put_text(arena_printf(f.arena, "stray%zu", i));
        wait_past_change(object_at(&stray));
        add_run("succeeded", 0, ids, 1);
        failpoint_set(points[i]);
        int status = in_child(collect_and_die);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", points[i]);
        failpoint_set(NULL);
        cr_expect(there(ids[0]), "%s", points[i]);
        struct entry e;
        struct digest bad;
        entry_get(f.s, ids[0], f.arena, &e, NULL);
        cr_expect_eq(entry_check_objects(f.s, &e, &bad), OBJECT_GOOD, "%s", points[i]);
        struct gc_report r = collect((struct gc_options){.unused_for_ms = DAY});
        cr_expect(r.complete && r.entries_kept == i + 1, "%s", points[i]);
        cr_expect_not(exists(object_at(&stray)), "%s", points[i]);
    }
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM objects"), ARRAY_LEN(points));
    sql("UPDATE hits SET at = 0");
    failpoint_set("gc.queue:kill");
    in_child(collect_and_die);
    failpoint_set(NULL);
    cr_expect_gt(sql_number("SELECT COUNT(*) FROM given_up"), 0);
    collect((struct gc_options){.unused_for_ms = DAY});
    expect_nothing_left();
}

Test(cache_gc, doubt_of_an_unclean_start_ends)
{
    int64_t good = aged("good", 1), bad = aged("bad", 1);
    struct digest d = digest_text("bad"), stray = put_text("stray");
    struct timespec times[2] = {{.tv_sec = OBJECT_TIME}, {.tv_sec = OBJECT_TIME}};
    struct entry e;

    sql("UPDATE batches SET boot = 'another boot'");
    chmod(object_at(&d), 0644);
    int fd = open(object_at(&d), O_WRONLY);
    cr_assert_eq(write(fd, "\0\0\0", 3), 3);
    close(fd);
    utimensat(AT_FDCWD, object_at(&d), times, 0);
    wait_past_change(object_at(&stray));
    reopen();
    cr_expect(f.s->unclean);
    struct gc_report r = collect((struct gc_options){0});
    cr_expect(r.complete && r.entries_removed == 1 && r.stray_objects == 1);
    cr_expect_not(there(bad));
    reopen();
    cr_expect_not(f.s->unclean);
    cr_assert_eq(entry_get(f.s, good, f.arena, &e, NULL), 0);
    cr_expect_not(e.verify);
}

/* --- numbers --- */

Test(cache_gc, stats_count)
{
    struct cache_stats st;
    struct err err = {0};

    aged("a", 10);
    aged("b", 10);
    aged("c", 0);
    cr_assert_eq(cache_stats(f.s, &st, &err), 0, "%s", err.msg);
    cr_expect(st.entries == 3 && st.objects == 3 && st.object_bytes == 3);
    cr_expect_gt(st.database_bytes, 0);
    cr_expect(st.oldest_ms <= now - 10 * DAY && st.newest_ms >= now - DAY);
}

struct listed {
    struct str names;
    int stop_at;
};

static bool on_row(const struct cache_row *r, void *arg)
{
    struct listed *l = arg;

    sb_printf(&l->names, "%s ", r->step);
    cr_expect_eq(strlen(r->key), DIGEST_HEX);
    cr_expect_eq(r->bytes, strlen(r->step));
    cr_expect_geq(r->last_hit_ms, r->made_at_ms);
    return --l->stop_at != 0;
}

static void expect_list(const char *workflow, const char *step, uint32_t limit, int stop_at,
                        const char *names)
{
    struct listed l = {.stop_at = stop_at};
    struct err err = {0};

    cr_assert_eq(cache_list(f.s, workflow, step, limit, on_row, &l, &err), 0, "%s", err.msg);
    cr_expect_str_eq(sb_text(&l.names), names);
    sb_done(&l.names);
}

Test(cache_gc, entries_are_listed_newest_first)
{
    aged("train[a=1]", 3);
    aged("train[a=2]", 2);
    aged("trainer", 1);
    expect_list(NULL, NULL, 0, -1, "trainer train[a=2] train[a=1] ");
    expect_list("w", "train", 0, -1, "train[a=2] train[a=1] ");
    expect_list("w", "train[a=1]", 10, -1, "train[a=1] ");
    expect_list("other", NULL, 10, -1, "");
    expect_list(NULL, NULL, 2, -1, "trainer train[a=2] ");
    expect_list(NULL, NULL, 0, 1, "trainer ");
}

Test(cache_gc, numbers_by_number)
{
    struct id_map m = {0};

    cr_expect_null(id_map_get(&m, 5));
    for (int64_t i = 1; i <= 100000; i++) {
        *id_map_put(&m, i * 4096 - 50) = i;
    }
    for (int64_t i = 1; i <= 100000; i++) {
        cr_assert_eq(*id_map_get(&m, i * 4096 - 50), i);
    }
    cr_expect_eq(m.len, 100000);
    cr_expect_null(id_map_get(&m, 7));
    id_map_clear(&m);
    cr_expect_null(id_map_get(&m, 4046));
    id_map_done(&m);
}
