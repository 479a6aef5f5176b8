/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/fs.h"
#include "base/str.h"
#include "tests/unit/base/temp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
    struct err err = {0};

    cr_assert_eq(fs_write_file(path, text, strlen(text), 0644, false, &err), 0, "%s", err.msg);
}

static void expect_content(const char *path, const char *want)
{
    CLEANUP(sb_done) struct str s = {0};

    cr_assert_eq(fs_read_file(path, 1 << 20, &s, NULL), 0);
    cr_assert_str_eq(sb_text(&s), want);
}

/* The number of names in a folder. */
static int count_cb(const char *path, const char *rel, const struct stat *st, void *arg,
                    struct err *err)
{
    (void)path, (void)rel, (void)st, (void)err;
    ++*(int *)arg;
    return 0;
}

static int count_entries(const char *dir)
{
    int n = 0;

    cr_assert_eq(fs_walk(dir, count_cb, &n, NULL), 0);
    return n;
}

Test(base_fs, reads_whole_files_up_to_a_limit)
{
    char *dir = temp_new();
    CLEANUP(sb_done) struct str s = {0};
    struct err err = {0};

    put(below(dir, "f"), "12345");
    sb_puts(&s, "old");
    cr_assert_eq(fs_read_file(below(dir, "f"), 5, &s, &err), 0);
    cr_assert_str_eq(s.data, "12345");
    cr_assert_eq(s.len, 5);
    cr_assert_eq(fs_read_file(below(dir, "f"), 4, &s, &err), -ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "larger than 4 B"), "%s", err.msg);
    cr_assert_str_eq(s.data, "12345", "written only on success");
    cr_assert_eq(fs_read_file(below(dir, "g"), 4, &s, &err), -ERR_NOT_FOUND);
    cr_assert_not_null(strstr(err.msg, "/g'"));
    cr_assert_eq(fs_read_file(dir, 4, &s, &err), -ERR_INVALID);
    cr_assert_eq(mkfifo(below(dir, "pipe"), 0600), 0);
    cr_assert_eq(fs_read_file(below(dir, "pipe"), 4, &s, &err), -ERR_INVALID, "does not wait");
    put(below(dir, "empty"), "");
    cr_assert_eq(fs_read_file(below(dir, "empty"), 0, &s, &err), 0);
    cr_assert_eq(s.len, 0);
    cr_assert_not_null(s.data);
    /* A file that says it has no size. */
    cr_assert_eq(fs_read_file("/proc/self/status", 1 << 20, &s, &err), 0);
    cr_assert_gt(s.len, 100);
    cr_assert_eq(fs_read_file("/proc/self/status", 10, &s, &err), -ERR_INVALID);
    temp_done(dir);
}

Test(base_fs, writes_by_renaming)
{
    char *dir = temp_new();
    struct err err = {0};
    struct stat st;

    umask(022);
    put(below(dir, "f"), "one");
    int old = open(below(dir, "f"), O_RDONLY);
    cr_assert_eq(fs_write_file(below(dir, "f"), "two", 3, 0600, true, &err), 0);
    expect_content(below(dir, "f"), "two");
    char text[4] = "";
    cr_assert_eq(read(old, text, 3), 3);
    cr_assert_str_eq(text, "one", "who reads the old one goes on reading it");
    close(old);
    cr_assert_eq(stat(below(dir, "f"), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(fs_write_file(below(dir, "no/f"), "x", 1, 0644, false, &err), -ERR_NOT_FOUND);
    cr_assert_eq(mkdir(below(dir, "d"), 0755), 0);
    cr_assert_lt(fs_write_file(below(dir, "d"), "x", 1, 0644, false, &err), 0);
    cr_assert_eq(count_entries(dir), 2, "no temporary file is left");
    temp_done(dir);
}

Test(base_fs, a_file_in_parts_appears_whole_or_not_at_all)
{
    char *dir = temp_new();
    struct err err = {0};
    struct new_file f;
    char path[4096];

    snprintf(path, sizeof(path), "%s/f", dir); /* kept until the end */
    put(path, "old");
    cr_assert_eq(new_file_open(path, 0644, &f, &err), 0, "%s", err.msg);
    new_file_add(&f, "ne", 2);
    expect_content(below(dir, "f"), "old");
    new_file_add(&f, "w", 1);
    cr_assert_eq(new_file_end(&f, false, false, &err), 0, "%s", err.msg);
    expect_content(below(dir, "f"), "new");
    cr_assert_eq(new_file_open(path, 0644, &f, &err), 0);
    new_file_add(&f, "dropped", 7);
    cr_assert_eq(new_file_end(&f, false, true, &err), 0);
    expect_content(below(dir, "f"), "new");
    cr_assert_eq(count_entries(dir), 1, "no temporary file is left");
    temp_done(dir);
}

Test(base_fs, what_is_cut_off_leaves_nothing)
{
    char *dir = temp_new();
    struct err err = {0};
    struct new_file f;
    struct stat st;
    char path[4096];
    int fd = open(dir, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);

    if (fd < 0) {
        temp_done(dir);
        cr_skip("this file system has no files without a name");
    }
    close(fd);
    snprintf(path, sizeof(path), "%s/f", dir);
    cr_assert_eq(new_file_open(path, 0640, &f, &err), 0, "%s", err.msg);
    new_file_add(&f, "first", 5);
    cr_assert_eq(count_entries(dir), 0, "it has no name");
    cr_assert_eq(new_file_end(&f, true, false, &err), 0, "%s", err.msg);
    expect_content(path, "first");
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640 && st.st_nlink == 1);
    /* in place of another, which somebody holds open: that one keeps what it has */
    fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(new_file_open(path, 0600, &f, &err), 0, "%s", err.msg);
    new_file_add(&f, "second", 6);
    cr_assert_eq(count_entries(dir), 1);
    cr_assert_eq(new_file_end(&f, false, false, &err), 0, "%s", err.msg);
    expect_content(path, "second");
    char was[8] = "";
    cr_assert_eq(read(fd, was, sizeof(was)), 5);
    cr_assert_str_eq(was, "first");
    close(fd);
    cr_assert_eq(count_entries(dir), 1, "no temporary file is left");
    /* its folder goes meanwhile */
    cr_assert_eq(new_file_open(path, 0600, &f, &err), 0);
    cr_assert(unlink(path) == 0 && rmdir(dir) == 0);
    cr_assert_eq(new_file_end(&f, false, false, &err), -ERR_NOT_FOUND);
    cr_assert_eq(mkdir(dir, 0700), 0);
    temp_done(dir);
}

Test(base_fs, a_full_disk_is_called_so)
{
    struct err err = {0};
    int fd = open("/dev/full", O_WRONLY);

    cr_assert_geq(fd, 0);
    cr_assert_eq(fs_write_all(fd, "x", 1, &err), -ERR_IO);
    cr_assert_eq(err.sys, ENOSPC);
    cr_assert_not_null(strstr(err.msg, "the disk is full"), "%s", err.msg);
    close(fd);
}

Test(base_fs, makes_folders_with_their_parents)
{
    char *dir = temp_new();
    struct err err = {0};
    struct stat st;

    cr_assert_eq(fs_mkdirs(below(dir, "a/b//c/"), 0755, &err), 0, "%s", err.msg);
    cr_assert(stat(below(dir, "a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
    cr_assert_eq(fs_mkdirs(below(dir, "a/b/c"), 0755, &err), 0);
    cr_assert_eq(fs_mkdirs("/", 0755, &err), 0);
    put(below(dir, "a/f"), "");
    cr_assert_eq(fs_mkdirs(below(dir, "a/f"), 0755, &err), -ERR_EXISTS);
    cr_assert_lt(fs_mkdirs(below(dir, "a/f/x/y"), 0755, &err), 0);
    cr_assert_eq(fs_mkdirs("", 0755, &err), -ERR_NOT_FOUND);
    cr_assert_eq(chdir(dir), 0);
    cr_assert_eq(fs_mkdirs("r/s/t", 0755, &err), 0, "%s", err.msg);
    cr_assert(stat(below(dir, "r/s/t"), &st) == 0 && S_ISDIR(st.st_mode));
    temp_done(dir);
}

Test(base_fs, removes_trees_and_follows_no_links)
{
    char *dir = temp_new();
    struct err err = {0};

    cr_assert_eq(fs_mkdirs(below(dir, "keep"), 0755, NULL), 0);
    put(below(dir, "keep/f"), "x");
    cr_assert_eq(fs_mkdirs(below(dir, "t/a/b"), 0755, NULL), 0);
    cr_assert_eq(fs_mkdirs(below(dir, "t/c"), 0755, NULL), 0);
    put(below(dir, "t/a/f"), "x");
    put(below(dir, "t/a/b/g"), "x");
    put(below(dir, "t/c/h"), "x");
    cr_assert_eq(symlink(below(dir, "keep"), below(dir, "t/link")), 0);
    cr_assert_eq(symlink("/nonexistent", below(dir, "t/dead")), 0);
    cr_assert_eq(chmod(below(dir, "t/a/b"), 0), 0);
    cr_assert_eq(chmod(below(dir, "t/a"), 0500), 0);
    cr_assert_eq(fs_remove_tree(below(dir, "t"), &err), 0, "%s", err.msg);
    cr_assert_neq(access(below(dir, "t"), F_OK), 0);
    expect_content(below(dir, "keep/f"), "x");
    cr_assert_eq(fs_remove_tree(below(dir, "t"), &err), 0, "absent is fine");
    cr_assert_eq(fs_remove_tree(below(dir, "keep/f/x"), &err), 0);
    cr_assert_eq(symlink("keep", below(dir, "link")), 0);
    cr_assert_eq(fs_remove_tree(below(dir, "link"), &err), 0);
    cr_assert_eq(fs_remove_tree(below(dir, "keep/f"), &err), 0);
    cr_assert_eq(count_entries(dir), 1);
    temp_done(dir);
}

Test(base_fs, removes_a_tree_deeper_than_a_path_can_be_long)
{
    enum { DEPTH = 3000 };
    char *dir = temp_new();
    struct err err = {0};

    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < DEPTH; i++) {
        cr_assert_eq(mkdirat(fd, "deep", 0755), 0);
        int next = openat(fd, "deep", O_RDONLY | O_DIRECTORY);
        cr_assert_geq(next, 0);
        close(fd);
        fd = next;
    }
    close(fd);
    cr_assert_eq(fs_remove_tree(below(dir, "deep"), &err), 0, "%s", err.msg);
    cr_assert_eq(count_entries(dir), 0);
    temp_done(dir);
}

Test(base_fs, copies_files)
{
    static const size_t sizes[] = {0, 1, 100000, 3 << 20};
    char *dir = temp_new();
    struct err err = {0};
    struct stat st;

    umask(077);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        CLEANUP(sb_done) struct str data = {0};
        CLEANUP(sb_done) struct str got = {0};
        enum fs_copied how = FS_LINKED;
        while (data.len < sizes[i]) {
            sb_u64(&data, data.len);
        }
        cr_assert_eq(fs_write_file(below(dir, "f"), sb_text(&data), data.len, 0600, false, NULL),
                     0);
        cr_assert_eq(fs_copy_file(below(dir, "f"), below(dir, "g"), 0555, &how, &err), 0, "%s",
                     err.msg);
        cr_assert(how == FS_COPIED || how == FS_REFLINKED);
        cr_assert_eq(fs_read_file(below(dir, "g"), 1 << 30, &got, NULL), 0);
        cr_assert_eq(got.len, data.len);
        cr_assert(data.len == 0 || memcmp(got.data, data.data, data.len) == 0);
        cr_assert_eq(stat(below(dir, "g"), &st), 0);
        cr_assert_eq(st.st_mode & 07777, 0555, "whatever the umask is");
        cr_assert_eq(unlink(below(dir, "g")), 0);
    }
    temp_done(dir);
}

Test(base_fs, a_copy_that_fails_leaves_nothing_and_overwrites_nothing)
{
    char *dir = temp_new();
    struct err err = {0};

    put(below(dir, "f"), "new");
    put(below(dir, "g"), "old");
    cr_assert_eq(symlink("nowhere", below(dir, "link")), 0);
    cr_assert_eq(fs_copy_file(below(dir, "f"), below(dir, "g"), 0644, NULL, &err), -ERR_EXISTS);
    expect_content(below(dir, "g"), "old");
    cr_assert_eq(fs_copy_file(below(dir, "f"), below(dir, "link"), 0644, NULL, &err), -ERR_EXISTS);
    cr_assert_eq(fs_copy_file(below(dir, "h"), below(dir, "i"), 0644, NULL, &err), -ERR_NOT_FOUND);
    cr_assert_eq(fs_copy_file(dir, below(dir, "i"), 0644, NULL, &err), -ERR_INVALID);
    /* /proc/self/mem is a regular file whose first page cannot be read. */
    cr_assert_eq(fs_copy_file("/proc/self/mem", below(dir, "i"), 0644, NULL, &err), -ERR_IO);
    cr_assert_not_null(strstr(err.msg, "/i'"), "%s", err.msg);
    cr_assert_eq(count_entries(dir), 3);
    /* No size and yet content. */
    cr_assert_eq(fs_copy_file("/proc/self/status", below(dir, "i"), 0644, NULL, &err), 0);
    struct stat st;
    cr_assert(stat(below(dir, "i"), &st) == 0 && st.st_size > 100);
    temp_done(dir);
}

static void expect_join(const char *a, const char *b, const char *want)
{
    CLEANUP(cleanup_free) char *got = fs_join(a, b);

    cr_assert_str_eq(got, want);
}

static void expect_dir(const char *path, const char *want)
{
    CLEANUP(cleanup_free) char *got = fs_dirname(path);

    cr_assert_str_eq(got, want);
}

Test(base_fs, paths_as_text)
{
    expect_join("a/b", "c", "a/b/c");
    expect_join("a/b/", "c", "a/b/c");
    expect_join("/", "c", "/c");
    expect_join("a", "/c", "/c");
    expect_join("", "c", "c");
    expect_join("a", "", "a");
    expect_dir("a/b", "a");
    expect_dir("a//b", "a");
    expect_dir("a/b/", "a");
    expect_dir("/a", "/");
    expect_dir("/", "/");
    expect_dir("a", ".");
    expect_dir("", ".");
    cr_assert_str_eq(fs_basename("a/b"), "b");
    cr_assert_str_eq(fs_basename("b"), "b");
    cr_assert_str_eq(fs_basename("/b"), "b");
}

Test(base_fs, clean_relative)
{
    static const struct {
        const char *path, *want;
        bool below;
    } cases[] = {
        {"a", "a", true},
        {"a/./b//c/../d", "a/b/d", true},
        {"./a/", "a", true},
        {".", ".", true},
        {"a/..", ".", true},
        {"a/../b", "b", true},
        {"...", "...", true},
        {"..a/b..", "..a/b..", true},
        {"..", "..", false},
        {"../a", "../a", false},
        {"a/../../b", "../b", false},
        {"../../a/..", "../..", false},
        {"../a/../..", "../..", false},
        {"../a", "../a", false},
        {"/", "/", false},
        {"/a/../b/", "/b", false},
        {"/../a", "/a", false},
        {"/a/..", "/", false},
        {"", ".", false},
    };
    CLEANUP(sb_done) struct str s = {0};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_assert_eq(fs_clean_relative(cases[i].path, &s), cases[i].below, "%s", cases[i].path);
        cr_assert_str_eq(sb_text(&s), cases[i].want, "'%s' is '%s', not '%s'", cases[i].path,
                         sb_text(&s), cases[i].want);
    }
}

struct seen {
    struct str text;
    const char *skip, *stop;
};

static int see(const char *path, const char *rel, const struct stat *st, void *arg, struct err *err)
{
    struct seen *seen = arg;
    struct stat own;

    cr_assert(lstat(path, &own) == 0 && own.st_ino == st->st_ino);
    cr_assert(text_ends(path, rel));
    sb_printf(&seen->text, "%s%s ", rel,
              S_ISDIR(st->st_mode)   ? "/"
              : S_ISLNK(st->st_mode) ? "@"
                                     : "");
    if (text_eq(rel, seen->stop)) {
        return err_set(err, ERR_CANCELLED, 0, "stopped");
    }
    return text_eq(rel, seen->skip) ? 1 : 0;
}

static void expect_walk(const char *root, const char *skip, const char *stop, int rc,
                        const char *want)
{
    struct seen seen = {.skip = skip, .stop = stop};
    struct err err = {0};

    cr_assert_eq(fs_walk(root, see, &seen, &err), rc, "%s", err.msg);
    cr_assert_str_eq(sb_text(&seen.text), want);
    sb_done(&seen.text);
}

Test(base_fs, walks_in_order_and_follows_no_links)
{
    char *dir = temp_new();

    cr_assert_eq(fs_mkdirs(below(dir, "b/x"), 0755, NULL), 0);
    cr_assert_eq(fs_mkdirs(below(dir, "B"), 0755, NULL), 0);
    put(below(dir, "b-"), "");
    put(below(dir, "b/z"), "");
    put(below(dir, "b/x/1"), "");
    put(below(dir, ".hidden"), "");
    put(below(dir, "\xc3\xa9"), "");
    cr_assert_eq(symlink("b", below(dir, "a")), 0);
    cr_assert_eq(symlink("..", below(dir, "b/loop")), 0);
    static const char all[] = ".hidden B/ a@ b/ b/loop@ b/x/ b/x/1 b/z b- \xc3\xa9 ";
    expect_walk(dir, NULL, NULL, 0, all);
    expect_walk(below(dir, ""), NULL, NULL, 0, all);
    expect_walk(below(dir, "a"), NULL, NULL, 0, "loop@ x/ x/1 z ");
    expect_walk(dir, "b", NULL, 0, ".hidden B/ a@ b/ b- \xc3\xa9 ");
    expect_walk(dir, NULL, "b/x", -ERR_CANCELLED, ".hidden B/ a@ b/ b/loop@ b/x/ ");
    expect_walk(below(dir, "B"), NULL, NULL, 0, "");
    expect_walk(below(dir, "none"), NULL, NULL, -ERR_NOT_FOUND, "");
    expect_walk(below(dir, "b-"), NULL, NULL, -ERR_NOT_FOUND, "");
    temp_done(dir);
}

Test(base_fs, finds_programs_as_execvp_does)
{
    char *dir = temp_new();
    char path_env[4096];

    cr_assert_eq(fs_mkdirs(below(dir, "one"), 0755, NULL), 0);
    cr_assert_eq(fs_mkdirs(below(dir, "two/prog"), 0755, NULL), 0);
    cr_assert_eq(fs_mkdirs(below(dir, "three"), 0755, NULL), 0);
    put(below(dir, "one/prog"), "#!/bin/sh\n"); /* not executable */
    put(below(dir, "three/prog"), "#!/bin/sh\n");
    cr_assert_eq(chmod(below(dir, "three/prog"), 0755), 0);
    snprintf(path_env, sizeof(path_env), "%s/one:%s/two:%s/three", dir, dir, dir);
    CLEANUP(cleanup_free) char *a = fs_find_program("prog", NULL, path_env);
    cr_assert_str_eq(a, below(dir, "three/prog"));
    CLEANUP(cleanup_free) char *b = fs_find_program("three/prog", dir, "/bin");
    cr_assert_str_eq(b, below(dir, "three/prog"));
    CLEANUP(cleanup_free) char *c = fs_find_program("prog", below(dir, "three"), "/nonexistent:");
    cr_assert_str_eq(c, below(dir, "three/prog"), "an empty part is the current folder");
    CLEANUP(cleanup_free) char *d = fs_find_program("prog", dir, "three");
    cr_assert_str_eq(d, below(dir, "three/prog"));
    cr_assert_null(fs_find_program("one/prog", dir, path_env));
    cr_assert_null(fs_find_program("prog", dir, "/nonexistent"));
    cr_assert_null(fs_find_program("", dir, path_env));
    CLEANUP(cleanup_free) char *sh = fs_find_program("sh", NULL, NULL);
    cr_assert_not_null(sh);
    cr_assert(!fs_executable(below(dir, "two/prog")), "a folder");
    temp_done(dir);
}

Test(base_fs, locks_exclude_each_other)
{
    char *dir = temp_new();
    struct err err = {0};
    int a = -1, b = -1, c = -1;

    cr_assert_eq(fs_lock(below(dir, "lock"), true, false, &a, &err), 0, "%s", err.msg);
    cr_assert_eq(fs_lock(below(dir, "lock"), false, false, &b, &err), -ERR_BUSY);
    cr_assert_eq(b, -1);
    cr_assert_neq(fcntl(a, F_GETFD) & FD_CLOEXEC, 0);
    close(a);
    cr_assert_eq(fs_lock(below(dir, "lock"), false, false, &b, &err), 0);
    cr_assert_eq(fs_lock(below(dir, "lock"), false, true, &c, &err), 0);
    cr_assert_eq(fs_lock(below(dir, "lock"), true, false, &a, &err), -ERR_BUSY);
    close(b);
    close(c);
    cr_assert_lt(fs_lock(below(dir, "no/lock"), true, false, &a, &err), 0);
    temp_done(dir);
}

Test(base_fs, kinds_of_file_systems)
{
    char *dir = temp_new();

    cr_assert_eq(fs_kind_of("/proc"), FS_FOREIGN);
    cr_assert_eq(fs_kind_of(below(dir, "not/yet")), fs_kind_of(dir));
    cr_assert_eq(fs_kind_of("/dev/shm"), FS_LOCAL);
    temp_done(dir);
}

Test(base_fs, real_paths)
{
    char *dir = temp_new();
    struct err err = {0};

    cr_assert_eq(symlink(".", below(dir, "l")), 0);
    CLEANUP(cleanup_free) char *real = fs_real(below(dir, "l/l/./l"), &err);
    CLEANUP(cleanup_free) char *want = fs_real(dir, &err);
    cr_assert_str_eq(real, want);
    cr_assert_null(fs_real(below(dir, "none"), &err));
    cr_assert_eq(err.code, ERR_NOT_FOUND);
    temp_done(dir);
}
