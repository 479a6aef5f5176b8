/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/failpoint.h"
#include "fixture.h"

#include <signal.h>

TestSuite(cache_entries, .init = setup, .fini = teardown);

static int find(const char *name, struct entry *ret)
{
    struct made m = make_entry(name, NULL, 1);
    struct err err = {0};
    int rc = entry_find(f.s, &m.e.key, f.arena, ret, &err);

    cr_assert_geq(rc, 0, "%s", err.msg);
    return rc;
}

static int64_t refs_of_text(const char *text)
{
    struct digest d = digest_text(text);

    return sql_number(arena_printf(f.arena, "SELECT refs FROM objects WHERE head = %lld",
                                   (long long)digest_head(&d)));
}

Test(cache_entries, the_key_is_as_described)
{
    CLEANUP(sb_done) struct str text = {0};
    struct digest key, want;
    char *big = xmalloc(10000);

    action_key("{}", 2, &key);
    digest_of("wf-action-1\0{}", 14, &want);
    cr_expect(digest_eq(&key, &want));
    memset(big, 'x', 10000);
    sb_add(&text, "wf-action-1", 12);
    sb_add(&text, big, 10000);
    action_key(big, 10000, &key);
    digest_of(text.data, text.len, &want);
    cr_expect(digest_eq(&key, &want), "long ones by another way");
    free(big);
}

Test(cache_entries, what_is_stored_is_found)
{
    struct made m = make_entry("train", "weights", 1000);
    struct entry e, g;
    struct result r;
    struct err err = {0};
    const char *action, *work;

    cr_expect_eq(find("train", &e), 1);
    int64_t id = store_made(&m);
    cr_assert_gt(id, 0);
    cr_assert_eq(find("train", &e), 0);
    cr_expect(e.id == id && e.made_at_ms == 1000 && e.duration_ms == 10 && !e.verify);
    cr_expect(digest_eq(&e.key, &m.e.key));
    cr_assert_eq(result_decode(e.data, e.data_len, f.arena, &r, &err), 0, "%s", err.msg);
    cr_expect_str_eq(r.outputs[0].path, "out.txt");
    cr_assert_eq(entry_get(f.s, id, f.arena, &g, &err), 0);
    cr_expect_eq(g.id, id);
    cr_expect_eq(entry_get(f.s, id + 1, f.arena, &g, &err), 1);
    cr_expect_eq(entry_get(f.s, 0, f.arena, &g, &err), 1);
    cr_assert_eq(entry_action(f.s, id, f.arena, &action, &work, &err), 0);
    cr_expect_str_eq(action, m.e.action);
    cr_expect_str_eq(work, m.e.work);
    cr_expect_eq(entry_action(f.s, id + 1, f.arena, &action, &work, &err), 1);
    struct digest bad;
    cr_expect_eq(entry_check_objects(f.s, &e, &bad), OBJECT_GOOD);
}

Test(cache_entries, an_empty_read_only_store_has_none)
{
    struct store_options o = {.dir = at("none"), .read_only = true};
    struct store *s, *mine = f.s;
    struct entry e;
    int64_t ids[2] = {1, 2};
    struct entry many[2];
    struct digest d = {{0}};
    const char *a, *w;

    cr_assert_eq(store_open(&o, &s, NULL), 0);
    f.s = s;
    cr_expect_eq(entry_find(s, &d, f.arena, &e, NULL), 1);
    cr_expect_eq(entry_newest(s, &d, f.arena, &e, NULL), 1);
    cr_expect_eq(entry_get_many(s, ids, 2, f.arena, many, NULL), 0);
    cr_expect_eq(many[0].id, 0);
    cr_expect_eq(entry_action(s, 1, f.arena, &a, &w, NULL), 1);
    entry_drop(s, 1);
    store_close(s);
    f.s = mine;
}

Test(cache_entries, many_by_id)
{
    enum { COUNT = 300 };
    int64_t ids[COUNT + 4];
    struct entry ret[COUNT + 4];
    struct err err = {0};

    for (int i = 0; i < COUNT; i++) {
        ids[i] = add_entry(arena_printf(f.arena, "e%d", i), NULL, i);
    }
    ids[COUNT] = 0;
    ids[COUNT + 1] = ids[5];
    ids[COUNT + 2] = INT64_MAX;
    ids[COUNT + 3] = -3;
    /* A wide range is read one by one, a narrow one in one pass. */
    for (int pass = 0; pass < 2; pass++) {
        ids[COUNT + 2] = pass == 0 ? INT64_MAX : ids[COUNT - 1] + 1;
        cr_assert_eq(entry_get_many(f.s, ids, COUNT + 4, f.arena, ret, &err), 0, "%s", err.msg);
        for (int i = 0; i < COUNT; i++) {
            cr_assert_eq(ret[i].id, ids[i]);
            cr_assert_eq(ret[i].made_at_ms, i);
        }
        cr_expect_eq(ret[COUNT].id, 0);
        cr_expect(ret[COUNT + 1].id == ids[5] && ret[COUNT + 1].made_at_ms == 5);
        cr_expect_eq(ret[COUNT + 2].id, 0);
        cr_expect_eq(ret[COUNT + 3].id, 0);
    }
    int64_t backwards[3] = {ids[9], ids[1], ids[4]};
    cr_assert_eq(entry_get_many(f.s, backwards, 3, f.arena, ret, &err), 0);
    cr_expect(ret[0].made_at_ms == 9 && ret[1].made_at_ms == 1 && ret[2].made_at_ms == 4);
}

Test(cache_entries, the_newest_of_an_identity)
{
    struct digest identity = {{5}}, other = {{6}};
    struct entry e;

    for (int i = 0; i < 3; i++) {
        struct made m = make_entry(arena_printf(f.arena, "fetch%d", i), NULL, 1000 * (i + 1));
        m.e.has_identity = true;
        m.e.identity = identity;
        store_made(&m);
    }
    cr_assert_eq(entry_newest(f.s, &identity, f.arena, &e, NULL), 0);
    cr_expect_eq(e.made_at_ms, 3000);
    cr_expect_eq(entry_newest(f.s, &other, f.arena, &e, NULL), 1);
    entry_drop(f.s, e.id);
    store_flush(f.s);
    cr_assert_eq(entry_newest(f.s, &identity, f.arena, &e, NULL), 0);
    cr_expect_eq(e.made_at_ms, 2000);
}

/* --- the same key twice --- */

Test(cache_entries, made_meanwhile_the_first_is_kept)
{
    struct made a = make_entry("same", "A", 1000), b = make_entry("same", "B", 1005);
    struct entry e;

    int64_t first = store_made(&a);
    cr_expect_eq(store_made(&b), first);
    cr_assert_eq(find("same", &e), 0);
    cr_expect_eq(e.id, first);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM entries"), 1);
    cr_expect_eq(refs_of_text("B"), -1, "nothing was counted for what was not stored");
}

Test(cache_entries, made_again_later_the_new_one_counts)
{
    struct entry e;
    int64_t first = add_entry("again", "A", 1000);
    int64_t second = add_entry("again", "B", 5000); /* refreshed */

    cr_expect_neq(first, second);
    cr_assert_eq(find("again", &e), 0);
    cr_expect_eq(e.id, second);
    /* One from the future does not hold the place for ever. */
    int64_t future = add_entry("clock", "A", 9000000);
    cr_expect_neq(add_entry("clock", "B", 5000), future);
    cr_assert_eq(find("clock", &e), 0);
    cr_expect_eq(e.made_at_ms, 5000);
}

Test(cache_entries, row_ids_never_repeat)
{
    int64_t first = add_entry("one", NULL, 1);

    entry_drop(f.s, first);
    store_flush(f.s);
    cr_expect_gt(add_entry("two", NULL, 1), first);
}

/* --- objects --- */

Test(cache_entries, an_object_that_is_gone_makes_no_entry)
{
    struct made m = make_entry("gone", "content", 1);
    struct digest d = digest_text("content");
    struct entry e;

    unlink(object_at(&d));
    cr_expect_eq(store_made(&m), 0);
    cr_expect_eq(m.rc, -(int)ERR_CORRUPT);
    cr_expect_not_null(strstr(m.err.msg, "sha256:"), "%s", m.err.msg);
    cr_expect_eq(find("gone", &e), 1);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM works"), 0, "nothing half is left");
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM objects"), 0);
}

Test(cache_entries, a_bad_object_is_named)
{
    int64_t id = add_entry("bad", "content", 1);
    struct digest d = digest_text("content"), bad;
    struct entry e;

    cr_assert_eq(entry_get(f.s, id, f.arena, &e, NULL), 0);
    unlink(object_at(&d));
    cr_expect_eq(entry_check_objects(f.s, &e, &bad), OBJECT_MISSING);
    cr_expect(digest_eq(&d, &bad));
    e.data = "?";
    e.data_len = 1;
    cr_expect_eq(entry_check_objects(f.s, &e, &bad), OBJECT_DAMAGED);
}

Test(cache_entries, an_object_lives_as_long_as_somebody_names_it)
{
    struct digest d = digest_text("shared");
    int64_t a = add_entry("a", "shared", 1), b = add_entry("b", "shared", 1);

    cr_expect_eq(refs_of_text("shared"), 2);
    cr_expect_eq(sql_number("SELECT refs FROM works"), 2);
    entry_drop(f.s, a);
    store_flush(f.s);
    cr_expect(exists(object_at(&d)));
    cr_expect_eq(refs_of_text("shared"), 1);
    entry_drop(f.s, a); /* twice is once */
    entry_drop(f.s, b);
    store_flush(f.s);
    cr_expect(exists(object_at(&d)), "a dropped entry's files are left to gc");
    cr_expect_eq(sql_number("SELECT (SELECT COUNT(*) FROM objects) + (SELECT COUNT(*) FROM works)"
                            " + (SELECT COUNT(*) FROM hits) + (SELECT COUNT(*) FROM entries)"),
                 0);
}

static struct made make_tree_entry(const char *name)
{
    struct made m = make_entry(name, NULL, 1);
    struct err err = {0};

    mkdir(at("out"), 0755);
    mkdir(at("out/t"), 0755);
    write_file("out/t/x", "in the tree");
    write_file("out/t/y", "in the tree");
    write_file("out/t/z", "also alone");
    cr_assert_eq(objects_take(f.s, at("out"), "t", false, &m.out[0], &err), 0, "%s", err.msg);
    m.out[0].name = m.out[0].path = "t";
    m.r.n_outputs = 1;
    return m;
}

Test(cache_entries, a_tree_counts_its_files_once)
{
    struct made m = make_tree_entry("tree"), n = make_tree_entry("tree2");
    struct digest tree = m.out[0].digest, x = digest_text("in the tree");

    m.r.n_outputs = 2; /* and names it twice */
    m.out[1] = m.out[0];
    int64_t a = store_made(&m), b = store_made(&n), c = add_entry("alone", "also alone", 1);
    cr_expect_eq(refs_of_text("in the tree"), 2);
    cr_expect_eq(refs_of_text("also alone"), 2);
    entry_drop(f.s, a);
    store_flush(f.s);
    cr_expect(exists(object_at(&x)) && exists(object_at(&tree)));
    entry_drop(f.s, b);
    store_flush(f.s);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM objects"), 1, "only what stands alone is named");
    cr_expect_eq(refs_of_text("also alone"), 1);
    entry_drop(f.s, c);
    store_flush(f.s);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM objects"), 0);
}

Test(cache_entries, a_file_with_a_lists_content_is_counted_apart)
{
    CLEANUP(sb_done) struct str text = {0};
    struct made m = make_tree_entry("tree");

    cr_assert_eq(objects_read(f.s, &m.out[0].digest, 1 << 20, &text, NULL), 0);
    int64_t file = add_entry("file", arena_strdup(f.arena, sb_text(&text)), 1);
    int64_t tree = store_made(&m);
    cr_expect_eq(refs_of_text("in the tree"), 2);
    entry_drop(f.s, tree);
    store_flush(f.s);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM objects"), 1, "the file entry still names it");
    entry_drop(f.s, file);
    store_flush(f.s);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM objects"), 0);
}

/* --- unclean start --- */

static void other_boot(void)
{
    sql("UPDATE batches SET boot = 'another boot'");
    reopen();
}

Test(cache_entries, after_an_unclean_start_objects_are_verified)
{
    struct digest d = digest_text("content"), bad;
    struct timespec times[2] = {{.tv_sec = OBJECT_TIME}, {.tv_sec = OBJECT_TIME}};
    struct entry e;
    int64_t id = add_entry("old", "content", 1), good = add_entry("good", "other", 1);

    other_boot();
    cr_assert_eq(entry_get(f.s, id, f.arena, &e, NULL), 0);
    cr_expect(e.verify);
    /* What a power loss can leave: the size and the time are right, the content is not. */
    chmod(object_at(&d), 0644);
    int fd = open(object_at(&d), O_WRONLY);
    cr_assert_eq(write(fd, "\0\0\0\0\0\0\0", 7), 7);
    close(fd);
    utimensat(AT_FDCWD, object_at(&d), times, 0);
    cr_expect_eq(entry_check_objects(f.s, &e, &bad), OBJECT_DAMAGED);
    cr_assert_eq(entry_get(f.s, good, f.arena, &e, NULL), 0);
    cr_expect(e.verify);
    cr_expect_eq(entry_check_objects(f.s, &e, &bad), OBJECT_GOOD);
    store_flush(f.s);
    cr_assert_eq(entry_get(f.s, good, f.arena, &e, NULL), 0);
    cr_expect_not(e.verify, "once is enough");
}

Test(cache_entries, after_an_unclean_start_what_is_there_is_not_trusted)
{
    struct digest d = digest_text("content");
    struct timespec times[2] = {{.tv_sec = OBJECT_TIME}, {.tv_sec = OBJECT_TIME}};

    add_entry("old", "content", 1);
    other_boot();
    chmod(object_at(&d), 0644);
    int fd = open(object_at(&d), O_WRONLY);
    cr_assert_eq(write(fd, "\0\0\0\0\0\0\0", 7), 7);
    close(fd);
    utimensat(AT_FDCWD, object_at(&d), times, 0);
    put_text("content");
    cr_expect_eq(objects_check(f.s, &d, 7, OBJECT_FILE, true), OBJECT_GOOD);
}

Test(cache_entries, what_was_synced_needs_no_proof)
{
    struct entry e;
    struct err err = {0};
    int64_t id = add_entry("synced", "content", 1);

    cr_assert_eq(store_sync(f.s, &err), 0, "%s", err.msg);
    int64_t late = add_entry("late", "content", 1);
    other_boot();
    cr_assert_eq(entry_get(f.s, id, f.arena, &e, NULL), 0);
    cr_expect_not(e.verify);
    cr_assert_eq(entry_get(f.s, late, f.arena, &e, NULL), 0);
    cr_expect(e.verify);
    int64_t own = add_entry("own", NULL, 1);
    cr_assert_eq(entry_get(f.s, own, f.arena, &e, NULL), 0);
    cr_expect_not(e.verify, "of this boot");
}

/* --- crash --- */

static void insert_and_die(void)
{
    struct store_options o = {.dir = f.store};

    store_open(&o, &f.s, NULL); /* the parent's threads are not ours */
    add_entry("crash", "content", 1);
}

Test(cache_entries, a_killed_insert_is_whole_or_a_miss)
{
    static const struct {
        const char *point;
        bool there;
    } cases[] = {{"entries.insert:kill", false},
                 {"entries.inserted:kill", false},
                 {"writer.commit:kill", false},
                 {"writer.committed:kill", true}};
    struct entry e;
    struct digest bad;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        failpoint_set(cases[i].point);
        int status = in_child(insert_and_die);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", cases[i].point);
        cr_expect_eq(find("crash", &e), cases[i].there ? 0 : 1, "%s", cases[i].point);
    }
    cr_expect_eq(entry_check_objects(f.s, &e, &bad), OBJECT_GOOD);
}
