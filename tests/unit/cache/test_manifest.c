/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/manifest.h"
#include "cache/statcache.h"
#include "fixture.h"

TestSuite(cache_manifest, .init = setup, .fini = teardown);

#define HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" /* "hello" */

static int list(const char *path, struct statcache *sc, struct str *names, uint64_t *bytes,
                uint64_t *files, struct err *err);

static int add_line(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct str *out = arg;

    (void)err;
    sb_printf(out, "%c:%.*s", e->kind, (int)e->name_len, e->name);
    if (e->kind == 'l') {
        sb_printf(out, ">%.*s", (int)e->link_len, e->link);
    }
    sb_putc(out, ' ');
    return 0;
}

/* "f:name x:name l:name>text " of a folder. */
static int list(const char *path, struct statcache *sc, struct str *names, uint64_t *bytes,
                uint64_t *files, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    int rc = manifest_of_input(path, sc, &text, bytes, files, err);

    if (rc == 0) {
        rc = manifest_each(sb_text(&text), text.len, add_line, names, err);
    }
    return rc;
}

static void expect_list(const char *words)
{
    CLEANUP(sb_done) struct str names = {0};
    uint64_t bytes, files;
    struct err err = {0};

    cr_assert_eq(list(at("in"), NULL, &names, &bytes, &files, &err), 0, "%s", err.msg);
    cr_expect_str_eq(sb_text(&names), words);
}

/* After the suite's own. */
static void in_folder(void)
{
    cr_assert_eq(mkdir(at("in"), 0755), 0);
}

/* --- input folders --- */

Test(cache_manifest, names_are_sorted_by_bytes, .init = in_folder)
{
    mkdir(at("in/a"), 0755);
    write_file("in/a/z", "1");
    write_file("in/a-b", "22");
    write_file("in/B", "333");
    mkdir(at("in/c"), 0755);
    mkdir(at("in/c/d"), 0755);
    mkdir(at("in/e"), 0755);
    write_file("in/e/f", "");
    chmod(at("in/B"), 0700);
    write_file("in/.hidden", "h");
    expect_list("f:.hidden x:B f:a-b f:a/z d:c/d f:e/f ");
    CLEANUP(sb_done) struct str names = {0};
    uint64_t bytes, files;
    cr_assert_eq(list(at("in"), NULL, &names, &bytes, &files, NULL), 0);
    cr_expect_eq(bytes, 7);
    cr_expect_eq(files, 5);
}

Test(cache_manifest, the_text_is_as_described, .init = in_folder)
{
    CLEANUP(sb_done) struct str text = {0};
    uint64_t bytes, files;

    write_file("in/a b", "hello");
    cr_assert_eq(symlink("a b", at("in/l")), 0);
    mkdir(at("in/none"), 0755);
    cr_assert_eq(manifest_of_input(at("in"), NULL, &text, &bytes, &files, NULL), 0);
    cr_expect_str_eq(sb_text(&text), "wf-tree-1\nf " HEX " 5 3 a b\nl - 0 1 l 3 a b\n"
                                     "d - 0 4 none\n");
}

Test(cache_manifest, what_never_counts_and_what_wfignore_names, .init = in_folder)
{
    mkdir(at("in/.git"), 0755);
    write_file("in/.git/HEAD", "x");
    mkdir(at("in/sub"), 0755);
    mkdir(at("in/sub/__pycache__"), 0755);
    write_file("in/sub/__pycache__/a.pyc", "x");
    mkdir(at("in/.ipynb_checkpoints"), 0755);
    write_file("in/keep.txt", "x");
    write_file("in/a.log", "x");
    write_file("in/sub/b.log", "x");
    mkdir(at("in/build"), 0755);
    write_file("in/build/x", "x");
    write_file("in/sub/build", "a file, not a folder");
    write_file("in/top", "x");
    write_file("in/sub/top", "x");
    write_file("in/.wfignore", "# comment\r\n\n*.log\nbuild/\n/top  \nsub/none\n**/deep\nx/**\n");
    expect_list("f:.wfignore f:keep.txt f:sub/build f:sub/top ");
}

Test(cache_manifest, a_pattern_that_is_not_understood_is_named, .init = in_folder)
{
    CLEANUP(sb_done) struct str names = {0};
    uint64_t bytes, files;
    struct err err = {0};

    write_file("in/.wfignore", "*.log\n!keep.log\n");
    cr_expect_eq(list(at("in"), NULL, &names, &bytes, &files, &err), -(int)ERR_INVALID);
    cr_expect_not_null(strstr(err.msg, "!keep.log"), "%s", err.msg);
}

Test(cache_manifest, links_inside_are_text_and_others_are_followed, .init = in_folder)
{
    mkdir(at("in/sub"), 0755);
    write_file("in/file", "x");
    cr_assert_eq(symlink("../file", at("in/sub/inside")), 0);
    cr_assert_eq(symlink("nowhere", at("in/dangling")), 0);
    mkdir(at("far"), 0755);
    mkdir(at("far/deep"), 0755);
    write_file("far/deep/data", "12345");
    write_file("far/tool", "x");
    chmod(at("far/tool"), 0755);
    cr_assert_eq(symlink("deep/data", at("far/short")), 0);
    cr_assert_eq(symlink(at("far"), at("in/far")), 0);
    cr_assert_eq(symlink("../far/tool", at("in/tool")), 0);
    expect_list("l:dangling>nowhere f:far/deep/data l:far/short>deep/data x:far/tool f:file "
                "l:sub/inside>../file x:tool ");
}

Test(cache_manifest, a_link_that_leads_back_ends, .init = in_folder)
{
    CLEANUP(sb_done) struct str names = {0};
    uint64_t bytes, files;
    struct err err = {0};

    mkdir(at("far"), 0755);
    cr_assert_eq(symlink(at("in"), at("far/back")), 0);
    cr_assert_eq(symlink(at("far"), at("in/far")), 0);
    cr_expect_eq(list(at("in"), NULL, &names, &bytes, &files, &err), -(int)ERR_INVALID);
    cr_expect_not_null(strstr(err.msg, "contains it"), "%s", err.msg);
}

Test(cache_manifest, what_cannot_be_read_is_named, .init = in_folder)
{
    CLEANUP(sb_done) struct str names = {0};
    uint64_t bytes, files;
    struct err err = {0};

    cr_expect_eq(list(at("none"), NULL, &names, &bytes, &files, &err), -(int)ERR_NOT_FOUND);
    write_file("file", "x");
    cr_expect_eq(list(at("file"), NULL, &names, &bytes, &files, &err), -(int)ERR_INVALID);
    mkfifo(at("in/pipe"), 0644);
    cr_expect_eq(list(at("in"), NULL, &names, &bytes, &files, &err), -(int)ERR_INVALID);
    cr_expect_not_null(strstr(err.msg, "pipe"), "%s", err.msg);
    unlink(at("in/pipe"));
    cr_assert_eq(symlink("/no/such/file", at("in/gone")), 0);
    cr_expect_eq(list(at("in"), NULL, &names, &bytes, &files, &err), -(int)ERR_NOT_FOUND);
}

Test(cache_manifest, the_stat_cache_is_asked, .init = in_folder)
{
    CLEANUP(sb_done) struct str text = {0};
    struct statcache *sc = statcache_new(f.s);
    struct digest lie = {{7}};
    struct stat st;
    uint64_t bytes, files;
    char hex[DIGEST_HEX + 1];
    CLEANUP(cleanup_free) char *real = realpath(write_file("in/a", "hello"), NULL);

    stat(real, &st);
    statcache_put(sc, real, &st, now_ms() + 10000, &lie);
    cr_assert_eq(manifest_of_input(at("in"), sc, &text, &bytes, &files, NULL), 0);
    digest_hex(&lie, hex);
    cr_expect_not_null(strstr(sb_text(&text), hex));
    statcache_free(sc);
}

/* --- links --- */

Test(cache_manifest, which_links_stay_inside)
{
    cr_expect(manifest_link_inside("a", "b"));
    cr_expect(manifest_link_inside("a/b/c", "../../x"));
    cr_expect(manifest_link_inside("a/b", ".././x/y"));
    cr_expect(manifest_link_inside("a", "."));
    cr_expect(manifest_link_inside("a/b", ".."));
    cr_expect_not(manifest_link_inside("a", ".."));
    cr_expect_not(manifest_link_inside("a/b", "../../x"));
    cr_expect_not(manifest_link_inside("a", "/x"));
    cr_expect_not(manifest_link_inside("a", ""));
    cr_expect_not(manifest_link_inside("a/b", "c/../../.."), "c may itself be a link");
    cr_expect_not(manifest_link_inside("a", "b/.."));
}

/* --- reading --- */

static int read_text(const char *text)
{
    CLEANUP(sb_done) struct str out = {0};

    return manifest_each(text, strlen(text), add_line, &out, NULL);
}

Test(cache_manifest, what_is_malformed_is_refused)
{
    static const char *const bad[] = {
        "",
        "wf-tree-2\n",
        "wf-tree-1",
        "wf-tree-1\nf " HEX " 5 1 a", /* no end */
        "wf-tree-1\nf " HEX " 5 2 a\n",
        "wf-tree-1\nf " HEX " 05 1 a\n",
        "wf-tree-1\nf " HEX " 99999999999999999999 1 a\n",
        "wf-tree-1\nf " HEX " 5 99999999999 a\n",
        "wf-tree-1\nf - 5 1 a\n",
        "wf-tree-1\nd " HEX " 0 1 a\n",
        "wf-tree-1\nq - 0 1 a\n",
        "wf-tree-1\nl - 0 1 a\n",
        "wf-tree-1\nl - 0 1 a 0 \n",
        "wf-tree-1\nd - 0 2 ..\n",
        "wf-tree-1\nd - 0 4 a/..\n",
        "wf-tree-1\nd - 0 4 a//b\n",
        "wf-tree-1\nd - 0 2 /a\n",
        "wf-tree-1\nd - 0 2 a/\n",
        "wf-tree-1\nd - 0 3 a/.\n",
        "wf-tree-1\nd - 0 1 b\nd - 0 1 a\n",
        "wf-tree-1\nd - 0 1 a\nd - 0 1 a\n",
        "wf-tree-1\n\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_expect_eq(read_text(bad[i]), -(int)ERR_CORRUPT, "%s", bad[i]);
    }
    cr_expect_eq(read_text("wf-tree-1\n"), 0);
    cr_expect_eq(read_text("wf-tree-1\nf " HEX " 5 3 a\nb\nl - 0 1 b 2 .a\n"), 0,
                 "a line break is a byte like any other");
}

Test(cache_manifest, a_name_with_a_zero_is_refused)
{
    static const char text[] = "wf-tree-1\nd - 0 3 a\0b\n";
    CLEANUP(sb_done) struct str out = {0};

    cr_expect_eq(manifest_each(text, sizeof(text) - 1, add_line, &out, NULL), -(int)ERR_CORRUPT);
}
