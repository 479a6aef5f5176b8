/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/archive.h"
#include "cache/failpoint.h"
#include "cache/manifest.h"
#include "fixture.h"

#include <signal.h>

TestSuite(cache_archive, .init = setup, .fini = teardown);

static const struct archive_options none = {.wf_version = "1"};

/* An entry as wf makes them: its action names its work. */
static int64_t add_whole(const char *name, const char *content)
{
    struct made m = make_entry(name, content, now_ms());
    CLEANUP(sb_done) struct str hex = {0};

    digest_hex_add(&hex, &m.e.work_digest);
    m.e.action = arena_printf(f.arena, "{\"values\":{\"name\":\"%s\"},\"work\":\"sha256:%s\"}",
                              name, sb_text(&hex));
    m.e.action_len = strlen(m.e.action);
    action_key(m.e.action, m.e.action_len, &m.e.key);
    return store_made(&m);
}

static struct archive_report export_ids(const int64_t *ids, size_t n, const char *path)
{
    struct archive_report r = {0};
    struct err err = {0};

    cr_assert_eq(archive_export(f.s, ids, n, path, -1, &none, &r, &err), 0, "%s", err.msg);
    return r;
}

/* Another store, made anew. */
static void move_on(void)
{
    store_close(f.s);
    snprintf(f.store, sizeof(f.store), "%s/other", f.dir);
    open_store();
}

static int import(const char *path, struct archive_report *r, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    *r = (struct archive_report){0};
    return archive_import(f.s, fd, path, &none, r, err);
}

Test(cache_archive, goes_there_and_back)
{
    int64_t ids[] = {add_whole("a", "alpha"), add_whole("b", "beta"), add_whole("c", "alpha"), 99};
    const char *path = at("a.tar.zst");
    struct archive_report r = export_ids(ids, 4, path);
    struct err err = {0};

    cr_expect(r.entries == 3 && r.objects == 2 && r.bytes == 9 && r.gone == 1);
    move_on();
    cr_assert_eq(import(path, &r, &err), 0, "%s", err.msg);
    cr_expect(r.entries == 3 && r.objects == 2 && r.known == 0 && r.broken == 0);
    cr_assert_eq(import(path, &r, &err), 0, "%s", err.msg);
    cr_expect(r.entries == 0 && r.objects == 0 && r.known == 3);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM entries"), 3);
    cr_expect_eq(sql_number("SELECT SUM(refs) FROM objects"), 3);
}

Test(cache_archive, every_cut_is_an_error_and_leaves_the_store_whole)
{
    int64_t ids[] = {add_whole("a", "alpha"), add_whole("b", "beta")};
    const char *path = at("a.tar.zst"), *cut = at("cut");
    CLEANUP(sb_done) struct str text = {0};
    struct archive_report r = export_ids(ids, 2, path);
    struct err err = {0};

    cr_assert_eq(fs_read_file(path, 1 << 20, &text, &err), 0);
    move_on();
    for (size_t len = 0; len < text.len; len += 1 + text.len / 97) {
        cr_assert_eq(fs_write_file(cut, sb_text(&text), len, 0644, false, &err), 0);
        err = (struct err){0};
        cr_expect_lt(import(cut, &r, &err), 0, "cut at %zu", len);
        cr_expect_eq(err.code, ERR_CORRUPT, "%s", err.msg);
        cr_expect_eq(sql_number("SELECT COUNT(*) FROM objects o WHERE refs < 1"), 0);
    }
    for (size_t i = 0; i < text.len; i += 1 + text.len / 89) { /* other bytes: never believed */
        CLEANUP(cleanup_free) char *copy = xmemdup(sb_text(&text), text.len);
        copy[i] ^= 0x20;
        cr_assert_eq(fs_write_file(cut, copy, text.len, 0644, false, &err), 0);
        (void)import(cut, &r, &err);
    }
    cr_expect_leq(sql_number("SELECT COUNT(*) FROM entries"), 2);
    cr_assert_eq(import(path, &r, &err), 0, "%s", err.msg);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM entries"), 2);
}

Test(cache_archive, what_is_of_this_machine_stays)
{
    struct made m = make_entry("fresh", "alpha", now_ms());

    m.e.has_identity = true;
    m.e.identity = digest_text("where it is");
    int64_t ids[] = {store_made(&m)};
    struct archive_report r = export_ids(ids, 1, at("a.tar.zst"));
    cr_expect(r.entries == 0 && r.bound == 1);
}

Test(cache_archive, a_missing_object_costs_its_entry_a_damaged_one_the_archive)
{
    int64_t ids[] = {add_whole("a", "alpha"), add_whole("b", "beta")};
    struct digest a = digest_text("alpha"), b = digest_text("beta");
    struct archive_report r;
    struct err err = {0};

    unlink(object_at(&a));
    r = export_ids(ids, 2, at("a.tar.zst"));
    cr_expect(r.entries == 1 && r.broken == 1);
    int fd = open(object_at(&b), O_RDONLY);
    cr_assert_geq(fd, 0);
    fchmod(fd, 0644);
    int out = open(object_at(&b), O_WRONLY);
    cr_assert_eq(write(out, "BETA", 4), 4);
    close(out);
    object_seal(fd, false);
    close(fd);
    cr_expect_lt(archive_export(f.s, ids, 2, at("b.tar.zst"), -1, &none, &r, &err), 0);
    cr_expect_eq(err.code, ERR_CORRUPT);
    cr_expect_not(exists(at("b.tar.zst")));
}

static const char manifest_head[] = "wf-tree-1\n";

static int check(const char *lines)
{
    const char *text = arena_printf(f.arena, "%s%s", manifest_head, lines);

    return manifest_check(text, strlen(text), NULL);
}

Test(cache_archive, a_folders_list_from_elsewhere_stays_inside)
{
    const char *d = "0123456789012345678901234567890123456789012345678901234567890123";

    cr_expect_eq(check("d - 0 1 a\n"), 0);
    cr_expect_eq(check(arena_printf(f.arena, "l - 0 1 a 1 b\nf %s 1 3 a.b\nf %s 1 2 ab\n", d, d)),
                 0);
    cr_expect_lt(check("l - 0 1 a 4 /etc\n"), 0);
    cr_expect_lt(check("l - 0 1 a 5 ../..\n"), 0);
    /* below a link, also when something else stands between them */
    cr_expect_lt(check(arena_printf(f.arena, "l - 0 1 a 1 b\nf %s 1 3 a/b\n", d)), 0);
    cr_expect_lt(check(arena_printf(f.arena, "l - 0 1 a 1 b\nf %s 1 3 a.b\nf %s 1 3 a/b\n", d, d)),
                 0);
    cr_expect_lt(check(arena_printf(f.arena, "f %s 1 1 a\nd - 0 3 a/b\n", d)), 0);
    cr_expect_lt(check("garbage"), 0);
}
