/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/failpoint.h"
#include "cache/statcache.h"
#include "cache/statcache_page.h"
#include "fixture.h"

TestSuite(cache_statcache, .init = setup, .fini = teardown);

static const char *real_folder; /* of the test, without links */

/* A file as old as wanted, by our clock: statcache_put() is told when reading began. */
static const char *some_file(const char *name, const char *text, struct stat *st)
{
    CLEANUP(cleanup_free) char *real = realpath(f.dir, NULL);

    real_folder = arena_strdup(f.arena, real);
    write_file(name, text);
    const char *path = arena_printf(f.arena, "%s/%s", real_folder, name);
    cr_assert_eq(stat(path, st), 0);
    return path;
}

Test(cache_statcache, only_what_was_at_rest)
{
    struct statcache *c = statcache_new(f.s);
    struct digest d = {{1}}, got;
    struct stat st;
    const char *path = some_file("a", "x", &st);
    int64_t changed = (int64_t)st.st_ctim.tv_sec * 1000 + st.st_ctim.tv_nsec / 1000000;

    statcache_put(c, path, &st, changed + 1999, &d);
    cr_expect_not(statcache_get(c, path, &st, &got), "too young");
    statcache_put(c, path, &st, changed - 5000, &d);
    cr_expect_not(statcache_get(c, path, &st, &got), "from the future");
    statcache_put(c, path, &st, changed + 2000, &d);
    cr_assert(statcache_get(c, path, &st, &got));
    cr_expect(digest_eq(&d, &got));
    /* An old modification time does not help when the change time is young. */
    st.st_mtim.tv_sec -= 1000;
    const char *other = arena_printf(f.arena, "%s/b", real_folder);
    statcache_put(c, other, &st, changed + 1000, &d);
    cr_expect_not(statcache_get(c, other, &st, &got));
    statcache_free(c);
}

Test(cache_statcache, each_number_counts)
{
    struct statcache *c = statcache_new(f.s);
    struct digest d = {{1}}, got;
    struct stat st;
    const char *path = some_file("a", "x", &st);

    statcache_put(c, path, &st, now_ms() + 5000, &d);
    cr_assert(statcache_get(c, path, &st, &got));
    struct stat other = st;
    other.st_size++;
    cr_expect_not(statcache_get(c, path, &other, &got));
    other = st;
    other.st_ino++;
    cr_expect_not(statcache_get(c, path, &other, &got));
    other = st;
    other.st_dev++;
    cr_expect_not(statcache_get(c, path, &other, &got));
    other = st;
    other.st_mtim.tv_nsec ^= 1;
    cr_expect_not(statcache_get(c, path, &other, &got));
    other = st;
    other.st_ctim.tv_nsec ^= 1;
    cr_expect_not(statcache_get(c, path, &other, &got));
    cr_expect_not(statcache_get(c, arena_printf(f.arena, "%s/aa", real_folder), &st, &got));
    cr_expect_not(statcache_get(c, "no-slash", &st, &got));
    statcache_free(c);
}

Test(cache_statcache, a_foreign_file_system_is_not_trusted)
{
    struct statcache *c = statcache_new(f.s);
    struct digest d = {{1}}, got;
    struct stat st;
    const char *path = "/proc/self/status";

    if (fs_kind_of(path) == FS_LOCAL) {
        cr_skip("there is no other kind of file system at hand");
    }
    some_file("a", "x", &st);
    statcache_put(c, path, &st, now_ms() + 5000, &d);
    cr_expect_not(statcache_get(c, path, &st, &got));
    statcache_free(c);
}

Test(cache_statcache, what_is_saved_is_read_by_another)
{
    struct statcache *c = statcache_new(f.s), *other = statcache_new(f.s);
    struct digest d = {{1}}, e = {{2}}, g = {{3}}, got;
    struct stat st;
    const char *a = some_file("a", "x", &st);
    const char *b = arena_printf(f.arena, "%s/b", real_folder);
    const char *z = arena_printf(f.arena, "%s/store/z", real_folder);

    statcache_put(c, a, &st, now_ms() + 5000, &d);
    statcache_put(c, z, &st, now_ms() + 5000, &g);
    statcache_put(other, b, &st, now_ms() + 5000, &e); /* read the page before c saved */
    statcache_save(c);
    statcache_save(c); /* nothing new: nothing is written */
    cr_expect_eq(store_pending(f.s), 2);
    store_flush(f.s);
    statcache_save(other);
    store_flush(f.s);
    statcache_free(c);
    statcache_free(other);
    reopen();
    c = statcache_new(f.s);
    cr_expect(statcache_get(c, a, &st, &got) && digest_eq(&d, &got));
    cr_expect(statcache_get(c, b, &st, &got) && digest_eq(&e, &got), "merged, not overwritten");
    cr_expect(statcache_get(c, z, &st, &got) && digest_eq(&g, &got));
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM stat_pages"), 2);
    statcache_free(c);
}

Test(cache_statcache, a_damaged_page_is_no_page)
{
    struct statcache *c = statcache_new(f.s);
    struct digest d = {{1}}, got;
    struct stat st;
    const char *a = some_file("a", "x", &st);

    statcache_put(c, a, &st, now_ms() + 5000, &d);
    statcache_save(c);
    store_flush(f.s);
    statcache_free(c);
    sql("UPDATE stat_pages SET page = CAST(substr(page, 1, 60) || x'ff' || substr(page, 62) AS "
        "BLOB)");
    c = statcache_new(f.s);
    cr_expect_not(statcache_get(c, a, &st, &got));
    statcache_put(c, a, &st, now_ms() + 5000, &d);
    statcache_save(c);
    store_flush(f.s);
    statcache_free(c);
    c = statcache_new(f.s);
    cr_expect(statcache_get(c, a, &st, &got), "and can be made anew");
    statcache_free(c);
}

Test(cache_statcache, works_without_a_writer_and_without_a_store)
{
    struct store_options o = {.dir = f.store};
    struct store *s;
    struct digest d = {{1}}, got;
    struct stat st;
    const char *a = some_file("a", "x", &st);

    cr_assert_eq(store_open(&o, &s, NULL), 0);
    struct statcache *c = statcache_new(s);
    statcache_put(c, a, &st, now_ms() + 5000, &d);
    statcache_save(c);
    statcache_free(c);
    store_close(s);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM stat_pages"), 1);
    o = (struct store_options){.dir = at("none"), .read_only = true};
    cr_assert_eq(store_open(&o, &s, NULL), 0);
    c = statcache_new(s);
    statcache_put(c, a, &st, now_ms() + 5000, &d);
    cr_expect(statcache_get(c, a, &st, &got));
    statcache_save(c);
    statcache_free(c);
    store_close(s);
}

Test(cache_statcache, digest_hashes_once)
{
    struct statcache *c = statcache_new(f.s);
    struct digest want = digest_text("hello"), got, lie = {{9}};
    struct stat st, seen;
    struct err err = {0};
    const char *a = some_file("a", "hello", &st);

    cr_assert_eq(statcache_digest(c, a, &got, &seen, &err), 0, "%s", err.msg);
    cr_expect(digest_eq(&want, &got) && seen.st_size == 5);
    cr_expect_not(statcache_get(c, a, &st, &got), "just written: not remembered");
    statcache_put(c, a, &st, now_ms() + 5000, &lie);
    cr_assert_eq(statcache_digest(c, a, &got, &seen, &err), 0);
    cr_expect(digest_eq(&lie, &got), "asked, not hashed");
    cr_assert_eq(statcache_digest(NULL, a, &got, &seen, &err), 0);
    cr_expect(digest_eq(&want, &got));
    statcache_free(c);
}

Test(cache_statcache, digest_says_what_is_wrong)
{
    struct statcache *c = statcache_new(f.s);
    struct digest got;
    struct stat st;
    struct err err = {0};

    some_file("a", "x", &st);
    cr_expect_eq(statcache_digest(c, at("none"), &got, &st, &err), -(int)ERR_NOT_FOUND);
    cr_expect_eq(statcache_digest(c, f.dir, &got, &st, &err), -(int)ERR_INVALID);
    mkfifo(at("pipe"), 0644);
    cr_expect_eq(statcache_digest(c, at("pipe"), &got, &st, &err), -(int)ERR_INVALID);
    cr_assert_eq(symlink("a", at("link")), 0);
    cr_expect_eq(statcache_digest(c, at("link"), &got, &st, &err), 0, "links are followed");
    statcache_free(c);
}

/* --- pages --- */

Test(cache_statcache, pages_hold_many_and_forget_the_old)
{
    CLEANUP(sb_done) struct str out = {0};
    struct stat_page p = {0}, q = {0};

    for (uint32_t i = 0; i < 5000; i++) {
        const char *name = arena_printf(f.arena, "file-%u", i);
        struct stat_record *r = stat_page_put(&p, name, strlen(name));
        r->size = i;
        r->day = i < 1000 ? 10 : 100;
    }
    cr_expect_eq(stat_page_put(&p, "file-7", 6)->size, 7, "the same name is the same record");
    stat_page_write(&p, 50, &out);
    cr_assert(stat_page_read(&q, out.data, out.len));
    cr_expect_eq(q.records.len, 4000);
    cr_expect_null(stat_page_get(&q, "file-7", 6));
    cr_expect_eq(stat_page_get(&q, "file-4999", 9)->size, 4999);
    stat_page_done(&q);
    for (size_t len = 0; len < out.len; len += 97) {
        cr_assert_not(stat_page_read(&q, out.data, len));
        stat_page_done(&q);
    }
    stat_page_done(&p);
}

/* A page that was read is asked in its own order, in another, and is added to. */
Test(cache_statcache, page_in_any_order)
{
    static const uint32_t steps[] = {1, 7, 999, 0}; /* each visits all of a thousand */
    CLEANUP(sb_done) struct str out = {0};
    struct stat_page p = {0};
    char name[32];

    for (uint32_t i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        struct stat_record *r = stat_page_put(&p, name, strlen(name));
        r->size = i;
        r->day = 100;
    }
    stat_page_write(&p, 0, &out);
    stat_page_done(&p);
    for (size_t k = 0; steps[k] > 0; k++) {
        cr_assert(stat_page_read(&p, out.data, out.len));
        for (uint32_t i = 0, at = 0; i < 1000; i++, at = (at + steps[k]) % 1000) {
            (void)snprintf(name, sizeof(name), "f%u", at);
            struct stat_record *r = stat_page_get(&p, name, strlen(name));
            cr_assert_not_null(r, "%s", name);
            cr_assert_eq(r->size, at);
        }
        cr_expect_null(stat_page_get(&p, "f1000", 5));
        cr_expect_null(stat_page_get(&p, "f", 1));
        stat_page_done(&p);
    }
    cr_assert(stat_page_read(&p, out.data, out.len));
    cr_expect_eq(stat_page_get(&p, "f0", 2)->size, 0);
    cr_expect_eq(stat_page_put(&p, "f5", 2)->size, 5, "the same name is the same record");
    stat_page_put(&p, "new", 3)->size = 4711;
    cr_expect_eq(p.records.len, 1001);
    cr_expect_eq(stat_page_get(&p, "new", 3)->size, 4711);
    cr_expect_eq(stat_page_get(&p, "f999", 4)->size, 999);
    cr_expect_eq(stat_page_get(&p, "new", 3)->size, 4711);
    stat_page_done(&p);
}
