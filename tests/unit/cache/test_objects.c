/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/failpoint.h"
#include "cache/manifest.h"
#include "fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

TestSuite(cache_objects, .init = setup, .fini = teardown);

static int take(const char *path, bool keep, struct result_output *out, struct err *err)
{
    memset(out, 0, sizeof(*out));
    return objects_take(f.s, at("out"), path, keep, out, err);
}

static void must_take(const char *path, struct result_output *out)
{
    struct err err = {0};

    cr_assert_eq(take(path, false, out, &err), 0, "%s", err.msg);
}

/* After the suite's own. */
static void out_folder(void)
{
    cr_assert_eq(mkdir(at("out"), 0755), 0);
}

static void same_text(const char *path, const char *text)
{
    CLEANUP(sb_done) struct str content = {0};
    struct err err = {0};

    cr_assert_eq(fs_read_file(path, 1 << 20, &content, &err), 0, "%s", err.msg);
    cr_expect_str_eq(sb_text(&content), text);
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    cr_assert_eq(lstat(path, &st), 0, "%s", path);
    return st.st_mode & 07777;
}

/* --- taking --- */

Test(cache_objects, a_file_moves_in, .init = out_folder)
{
    struct result_output out;
    struct stat st;
    struct digest d = digest_text("hello");

    write_file("out/a.txt", "hello");
    must_take("a.txt", &out);
    cr_expect(out.kind == OBJECT_FILE && !out.executable && out.bytes == 5 &&
              out.object_bytes == 5);
    cr_expect(digest_eq(&out.digest, &d));
    cr_expect_not(exists(at("out/a.txt")));
    cr_assert_eq(stat(object_at(&d), &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0444);
    cr_expect(st.st_mtim.tv_sec == OBJECT_TIME && st.st_mtim.tv_nsec == 0);
    same_text(object_at(&d), "hello");
}

Test(cache_objects, the_same_again_and_the_execute_bit, .init = out_folder)
{
    struct result_output out;

    for (int i = 0; i < 3; i++) {
        write_file("out/run.sh", "#!/bin/sh\n");
        chmod(at("out/run.sh"), 04755);
        must_take("run.sh", &out);
        cr_expect(out.executable);
        cr_expect_not(exists(at("out/run.sh")));
    }
    cr_expect_eq(mode_of(object_at(&out.digest)), 0555);
}

Test(cache_objects, kept_or_only_hashed, .init = out_folder)
{
    struct result_output out, again;
    struct err err = {0};

    write_file("out/a", "text");
    cr_assert_eq(objects_take(NULL, at("out"), "a", false, &out, &err), 0, "%s", err.msg);
    cr_expect(exists(at("out/a")));
    cr_expect_not(exists(object_at(&out.digest)));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(take("a", true, &again, &err), 0, "%s", err.msg);
        cr_expect(digest_eq(&out.digest, &again.digest));
        cr_expect(exists(at("out/a")));
        cr_expect(exists(object_at(&out.digest)));
    }
}

Test(cache_objects, a_file_with_other_names_is_copied, .init = out_folder)
{
    struct result_output out;
    struct stat st;

    write_file("elsewhere", "shared");
    cr_assert_eq(link(at("elsewhere"), at("out/a")), 0);
    must_take("a", &out);
    cr_assert_eq(stat(object_at(&out.digest), &st), 0);
    cr_expect_eq(st.st_nlink, 1);
    cr_expect_eq(mode_of(at("elsewhere")), 0644);
    cr_expect_not(exists(at("out/a")));
}

Test(cache_objects, what_is_no_output_is_named, .init = out_folder)
{
    struct result_output out;
    struct err err = {0};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    cr_expect_eq(take("none", false, &out, &err), -(int)ERR_NOT_FOUND);
    cr_expect_not_null(strstr(err.msg, "'none'"));
    cr_assert_eq(mkfifo(at("out/pipe"), 0644), 0);
    cr_expect_eq(take("pipe", false, &out, &err), -(int)ERR_INVALID);
    cr_expect_not_null(strstr(err.msg, "FIFO"), "%s", err.msg);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at("out/sock"));
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_expect_eq(take("sock", false, &out, &err), -(int)ERR_INVALID);
    close(fd);
    cr_assert_eq(symlink("/etc/passwd", at("out/link")), 0);
    cr_expect_eq(take("link", false, &out, &err), -(int)ERR_INVALID);
    cr_expect_not_null(strstr(err.msg, "link"), "%s", err.msg);
    cr_assert_eq(symlink("/etc", at("out/etc")), 0);
    cr_expect_eq(take("etc/passwd", false, &out, &err), -(int)ERR_INVALID);
}

Test(cache_objects, a_link_to_a_neighbour_is_followed, .init = out_folder)
{
    struct result_output out;

    write_file("out/v3.bin", "weights");
    cr_assert_eq(symlink("v3.bin", at("out/model.bin")), 0);
    must_take("model.bin", &out);
    cr_expect_eq(out.bytes, 7);
    must_take("v3.bin", &out);
    same_text(object_at(&out.digest), "weights");
    cr_expect_not(exists(at("out/model.bin")));
}

Test(cache_objects, open_for_writing_is_refused, .init = out_folder)
{
    struct result_output out;
    struct err err = {0};
    const char *path = write_file("out/log", "text");
    int fd = open(path, O_WRONLY);

    cr_expect_eq(take("log", false, &out, &err), -(int)ERR_BUSY);
    cr_expect_not_null(strstr(err.msg, "open for writing"), "%s", err.msg);
    cr_expect(exists(path));
    close(fd);
    must_take("log", &out);
}

/* --- folders --- */

static void make_tree(void)
{
    mkdir(at("out/t"), 0755);
    mkdir(at("out/t/a"), 0755);
    mkdir(at("out/t/a/deep"), 0755);
    mkdir(at("out/t/empty"), 0755);
    write_file("out/t/a/x", "one");
    write_file("out/t/a-b", "two");
    write_file("out/t/a/deep/same", "one");
    chmod(at("out/t/a-b"), 0755);
    cr_assert_eq(symlink("../a-b", at("out/t/a/link")), 0);
}

Test(cache_objects, a_folder_comes_back_as_it_was, .init = out_folder)
{
    CLEANUP(sb_done) struct str text = {0};
    struct result_output out;
    struct err err = {0};
    char target[20] = "";

    make_tree();
    must_take("t", &out);
    cr_expect(out.kind == OBJECT_TREE && out.bytes == 9);
    cr_expect_not(exists(at("out/t")));
    cr_assert_eq(objects_read(f.s, &out.digest, 1 << 20, &text, &err), 0, "%s", err.msg);
    cr_expect_eq(text.len, out.object_bytes);
    cr_expect_eq(objects_check(f.s, &out.digest, out.object_bytes, OBJECT_TREE, true), OBJECT_GOOD);
    for (int how = PLACE_HOST; how <= PLACE_OWN; how++) {
        const char *to = at(arena_printf(f.arena, "placed%d", how));
        cr_assert_eq(
            objects_place(f.s, &out.digest, OBJECT_TREE, false, (enum placing)how, to, &err), 0,
            "%s", err.msg);
        same_text(arena_printf(f.arena, "%s/a/x", to), "one");
        same_text(arena_printf(f.arena, "%s/a/deep/same", to), "one");
        same_text(arena_printf(f.arena, "%s/a/link", to), "two");
        cr_expect_gt(readlink(arena_printf(f.arena, "%s/a/link", to), target, 20), 0);
        cr_expect_str_eq(target, "../a-b");
        cr_expect_eq(rmdir(arena_printf(f.arena, "%s/empty", to)), 0);
        cr_expect_eq(mode_of(arena_printf(f.arena, "%s/a-b", to)), how == PLACE_OWN ? 0755 : 0555);
    }
    /* The folder made anew has the same digest. */
    struct result_output again;
    make_tree();
    must_take("t", &again);
    cr_expect(digest_eq(&out.digest, &again.digest));
}

Test(cache_objects, a_link_out_of_a_folder_is_refused, .init = out_folder)
{
    struct result_output out;
    struct err err = {0};

    mkdir(at("out/t"), 0755);
    cr_assert_eq(symlink("../secret", at("out/t/up")), 0);
    cr_expect_eq(take("t", false, &out, &err), -(int)ERR_INVALID);
    cr_expect_not_null(strstr(err.msg, "'up'"), "%s", err.msg);
    unlink(at("out/t/up"));
    mkfifo(at("out/t/pipe"), 0644);
    cr_expect_eq(take("t", false, &out, &err), -(int)ERR_INVALID);
    cr_expect_not_null(strstr(err.msg, "t/pipe"), "%s", err.msg);
}

static int place_manifest(const char *text, const char *to)
{
    struct digest d = put_text(text);
    struct err err = {0};

    return objects_place(f.s, &d, OBJECT_TREE, false, PLACE_OWN, to, &err);
}

Test(cache_objects, a_forged_list_does_not_write_outside, .init = out_folder)
{
    char hex[DIGEST_HEX + 1];
    struct digest d = put_text("evil");

    digest_hex(&d, hex);
    mkdir(at("victim"), 0755);
    cr_expect_lt(
        place_manifest(
            arena_printf(f.arena, "wf-tree-1\nl - 0 1 x 9 ../victim\nf %s 4 6 x/evil\n", hex),
            at("p1")),
        0);
    cr_expect_lt(
        place_manifest(arena_printf(f.arena, "wf-tree-1\nl - 0 1 x 1 .\nf %s 4 6 x/evil\n", hex),
                       at("p2")),
        0, "not through a link that stays inside either");
    cr_expect_lt(
        place_manifest(arena_printf(f.arena, "wf-tree-1\nf %s 4 9 ../victim/e\n", hex), at("p3")),
        0);
    cr_expect_not(exists(at("victim/evil")));
}

/* --- damage --- */

static void spoil(const char *path, const char *text)
{
    int fd;

    chmod(path, 0644);
    fd = open(path, O_WRONLY);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

Test(cache_objects, a_damaged_one_is_found_and_moved_away)
{
    struct digest d = put_text("hello");

    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, false), OBJECT_GOOD);
    spoil(object_at(&d), "hellO");
    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, false), OBJECT_DAMAGED);
    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, false), OBJECT_MISSING);
    put_text("hello");
    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, true), OBJECT_GOOD);
}

Test(cache_objects, writing_through_a_hard_link_is_found)
{
    struct digest d = put_text("hello");
    struct err err = {0};

    cr_assert_eq(objects_place(f.s, &d, OBJECT_FILE, false, PLACE_READ_ONLY, at("in"), &err), 0);
    struct stat a, b;
    stat(at("in"), &a);
    stat(object_at(&d), &b);
    cr_assert_eq(a.st_ino, b.st_ino, "a hard link, or this tests nothing");
    spoil(at("in"), "HELLO");
    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, false), OBJECT_DAMAGED);
}

Test(cache_objects, a_changed_time_alone_is_put_right)
{
    struct digest d = put_text("hello");
    struct stat st;

    utimensat(AT_FDCWD, object_at(&d), NULL, 0);
    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, false), OBJECT_GOOD);
    stat(object_at(&d), &st);
    cr_expect_eq(st.st_mtim.tv_sec, OBJECT_TIME);
}

Test(cache_objects, verify_sees_what_the_time_hides)
{
    struct digest d = put_text("hello");
    struct timespec times[2] = {{.tv_sec = OBJECT_TIME}, {.tv_sec = OBJECT_TIME}};

    spoil(object_at(&d), "hellO");
    utimensat(AT_FDCWD, object_at(&d), times, 0);
    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, false), OBJECT_GOOD);
    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, true), OBJECT_DAMAGED);
}

Test(cache_objects, a_wrong_size_is_found)
{
    struct digest d = put_text("hello");
    struct timespec times[2] = {{.tv_sec = OBJECT_TIME}, {.tv_sec = OBJECT_TIME}};

    cr_assert_eq(truncate(object_at(&d), 0), 0);
    utimensat(AT_FDCWD, object_at(&d), times, 0);
    cr_expect_eq(objects_check(f.s, &d, 5, OBJECT_FILE, false), OBJECT_DAMAGED);
}

Test(cache_objects, a_file_missing_from_a_folder_is_found, .init = out_folder)
{
    struct result_output out;
    struct digest one = digest_text("one");

    make_tree();
    must_take("t", &out);
    unlink(object_at(&one));
    cr_expect_eq(objects_check(f.s, &out.digest, out.object_bytes, OBJECT_TREE, false),
                 OBJECT_MISSING);
}

Test(cache_objects, a_damaged_one_is_replaced_by_what_is_taken, .init = out_folder)
{
    struct result_output out;
    struct digest d = put_text("hello");

    spoil(object_at(&d), "hellO");
    write_file("out/a", "hello");
    must_take("a", &out);
    same_text(object_at(&d), "hello");
    spoil(object_at(&d), "hellO");
    struct err err = {0};
    write_file("out/a", "hello");
    cr_assert_eq(take("a", true, &out, &err), 0, "%s", err.msg);
    same_text(object_at(&d), "hello");
}

/* --- placing --- */

Test(cache_objects, each_way_of_placing)
{
    struct err err = {0};
    struct stat a, b;
    char *big = xmalloc((2 << 20) + 1);
    struct digest d;

    memset(big, 'b', 2 << 20);
    cr_assert_eq(objects_put_bytes(f.s, big, 2 << 20, &d, &err), 0);
    free(big);
    stat(object_at(&d), &a);
    cr_assert_eq(objects_place(f.s, &d, OBJECT_FILE, false, PLACE_OWN, at("own"), &err), 0);
    stat(at("own"), &b);
    cr_expect_neq(a.st_ino, b.st_ino, "never a link");
    cr_expect_eq(b.st_mode & 0777, 0644);
    cr_assert_eq(objects_place(f.s, &d, OBJECT_FILE, true, PLACE_READ_ONLY, at("exec"), &err), 0);
    stat(at("exec"), &b);
    cr_expect_eq(b.st_mode & 0777, 0555);
    stat(object_at(&d), &a);
    cr_expect_eq(a.st_mode & 0777, 0444, "the object keeps its own");
    cr_assert_eq(objects_place(f.s, &d, OBJECT_FILE, false, PLACE_HOST, at("host"), &err), 0);
    cr_expect_eq(mode_of(at("host")), 0444);
    struct digest small = put_text("small");
    cr_assert_eq(objects_place(f.s, &small, OBJECT_FILE, false, PLACE_HOST, at("small"), &err), 0);
    stat(object_at(&small), &a);
    stat(at("small"), &b);
    cr_expect_neq(a.st_ino, b.st_ino, "a small one is copied");
}

Test(cache_objects, what_is_gone_or_in_the_way_is_said)
{
    struct err err = {0};
    struct digest none = digest_text("never stored"), d = put_text("x");

    cr_expect_eq(objects_place(f.s, &none, OBJECT_FILE, false, PLACE_OWN, at("p"), &err),
                 -(int)ERR_CORRUPT);
    write_file("taken", "mine");
    cr_expect_eq(objects_place(f.s, &d, OBJECT_FILE, false, PLACE_OWN, at("taken"), &err),
                 -(int)ERR_EXISTS);
    same_text(at("taken"), "mine");
}

Test(cache_objects, files_and_bytes)
{
    CLEANUP(sb_done) struct str text = {0};
    struct err err = {0};
    struct digest d;
    uint64_t bytes;

    write_file("doc", "content");
    cr_assert_eq(objects_put_file(f.s, at("doc"), false, &d, &bytes, &err), 0, "%s", err.msg);
    cr_expect_eq(bytes, 7);
    cr_expect(exists(at("doc")));
    struct stat a, b;
    stat(at("doc"), &a);
    stat(object_at(&d), &b);
    cr_expect_neq(a.st_ino, b.st_ino);
    cr_assert_eq(objects_put_file(f.s, at("doc"), true, &d, &bytes, &err), 0, "%s", err.msg);
    cr_expect_not(exists(at("doc")));
    cr_expect_eq(objects_read(f.s, &d, 3, &text, &err), -(int)ERR_INVALID);
    cr_assert_eq(objects_read(f.s, &d, 7, &text, &err), 0);
    cr_expect_str_eq(sb_text(&text), "content");
    cr_expect_eq(objects_put_file(f.s, at("doc"), true, &d, &bytes, &err), -(int)ERR_NOT_FOUND);
}

Test(cache_objects, across_file_systems_copies_are_made)
{
    char other[] = "/tmp/wf-cache-XXXXXX";
    struct stat a, b;
    struct digest d;
    uint64_t bytes;
    struct err err = {0};

    cr_assert_not_null(mkdtemp(other));
    stat(other, &a);
    stat(f.dir, &b);
    if (a.st_dev == b.st_dev) {
        rmdir(other);
        cr_skip("there is only one file system at hand");
    }
    const char *path = arena_printf(f.arena, "%s/doc", other);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(fs_write_file(path, "far", 3, 0755, false, &err), 0);
        cr_assert_eq(objects_put_file(f.s, path, true, &d, &bytes, &err), 0, "%s", err.msg);
        cr_expect_not(exists(path));
        cr_expect_eq(objects_check(f.s, &d, 3, OBJECT_FILE, true), OBJECT_GOOD);
        cr_expect_eq(mode_of(object_at(&d)), 0555);
    }
    cr_assert_eq(objects_place(f.s, &d, OBJECT_FILE, true, PLACE_READ_ONLY, path, &err), 0, "%s",
                 err.msg);
    same_text(path, "far");
    fs_remove_tree(other, &err);
}

/* --- trouble --- */

Test(cache_objects, a_removed_folder_is_made_again, .init = out_folder)
{
    struct result_output out;

    for (int i = 0; i < 256; i++) {
        rmdir(arena_printf(f.arena, "%s/objects/%02x", f.store, (unsigned)i));
    }
    write_file("out/a", "hello");
    must_take("a", &out);
    same_text(object_at(&out.digest), "hello");
}

Test(cache_objects, a_full_disk_is_said)
{
    struct digest d;
    struct err err = {0};

    failpoint_set("objects.write:enospc");
    cr_expect_eq(objects_put_bytes(f.s, "x", 1, &d, &err), -(int)ERR_IO);
    cr_expect_not_null(strstr(err.msg, "full"), "%s", err.msg);
    cr_expect_eq(objects_put_bytes(f.s, "x", 1, &d, &err), 0);
    cr_expect_eq(rmdir(at("store/tmp")), 0, "no half file stays");
    mkdir(at("store/tmp"), 0700);
}

static void take_and_die(void)
{
    struct result_output out;
    struct err err;

    take("t", false, &out, &err);
}

Test(cache_objects, a_killed_taker_leaves_only_whole_objects, .init = out_folder)
{
    static const char *const points[] = {"objects.rename:kill:1", "objects.renamed:kill:2",
                                         "objects.tree:kill", "objects.renamed:kill:3"};
    struct result_output out;

    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        struct err err;
        struct digest one = digest_text("one"), two = digest_text("two");
        fs_remove_tree(at("out/t"), &err);
        unlink(object_at(&one));
        unlink(object_at(&two));
        make_tree();
        failpoint_set(points[i]);
        int status = in_child(take_and_die);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", points[i]);
        static const char *const texts[] = {"one", "two"};
        for (int k = 0; k < 2; k++) {
            struct digest d = digest_text(texts[k]);
            cr_expect_neq(objects_check(f.s, &d, 3, OBJECT_FILE, true), OBJECT_DAMAGED, "%s",
                          points[i]);
        }
    }
    failpoint_set(NULL);
    struct err err;
    fs_remove_tree(at("out/t"), &err);
    make_tree();
    must_take("t", &out);
    cr_expect_eq(objects_check(f.s, &out.digest, out.object_bytes, OBJECT_TREE, true), OBJECT_GOOD);
}
