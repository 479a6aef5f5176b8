/* SPDX-License-Identifier: Apache-2.0 */
/* Globs and words. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "steps/inputs.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(steps_inputs, one_component)
{
    cr_assert(glob_match("*.csv", "a.csv"));
    cr_assert_not(glob_match("*.csv", ".csv"), "no dot files");
    cr_assert(glob_match(".*", ".hidden"));
    cr_assert(glob_match("a?c", "abc"));
    cr_assert_not(glob_match("a?c", "ac"));
    cr_assert(glob_match("[a-c]x[!0-9]", "bxy"));
    cr_assert_not(glob_match("[a-c]x[!0-9]", "bx1"));
    cr_assert(glob_match("a[]]b", "a]b"));
    cr_assert(glob_match("a[b", "a[b"), "an open bracket stands for itself");
    cr_assert(glob_match("*a*b*c", "xxaxxbxxc"));
    cr_assert_not(glob_match("*a*b*c", "xxaxxbxx"));
}

static char dir[64];

static void touch(const char *rel)
{
    struct err err = {0};
    char *path = xasprintf("%s/%s", dir, rel), *parent = fs_dirname(path);
    cr_assert_eq(fs_mkdirs(parent, 0755, &err), 0, "%s", err.msg);
    cr_assert_eq(fs_write_file(path, "x", 1, 0644, false, &err), 0, "%s", err.msg);
    free(path);
    free(parent);
}

static void expand(const char *pattern, const char *want)
{
    struct arena *a = arena_new();
    struct paths found = {0};
    struct str got = {0};
    struct err err = {0};
    cr_assert_eq(glob_expand(dir, pattern, a, &found, &err), 0, "%s", err.msg);
    for (size_t k = 0; k < found.v.len; k++) {
        sb_printf(&got, "%s%s", k ? " " : "", found.v.items[k]);
    }
    cr_assert_str_eq(sb_text(&got), want, "%s", pattern);
    sb_done(&got);
    vec_done(&found.v);
    arena_free(a);
}

Test(steps_inputs, folders)
{
    strcpy(dir, "/tmp/wf-glob-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    const char *const files[] = {"a.csv",     "B.csv",      "d/c.csv",  "d/e/f.csv",
                                 "d/e/g.txt", ".git/x.csv", ".h/y.csv", "d/.z.csv"};
    for (size_t k = 0; k < ARRAY_LEN(files); k++) {
        touch(files[k]);
    }
    expand("*.csv", "B.csv a.csv");
    expand("**/*.csv", "B.csv a.csv d/c.csv d/e/f.csv");
    expand("d/**", "d/c.csv d/e/f.csv d/e/g.txt");
    expand("**/e/*", "d/e/f.csv d/e/g.txt");
    expand("**/**/f.csv", "d/e/f.csv");
    expand(".h/*", ".h/y.csv");
    expand(".git/*", "");
    expand("d/.*.csv", "d/.z.csv");
    expand("*/e", "d/e");
    expand("nothing/*", "");
    char *absolute = xasprintf("%s/d/*.csv", dir), *want = xasprintf("%s/d/c.csv", dir);
    expand(absolute, want);
    free(absolute);
    free(want);
    cr_assert_eq(fs_remove_tree(dir, NULL), 0);
}

static struct str words;

static void on_word(const char *word, size_t len, void *arg)
{
    (void)arg;
    sb_putc(&words, '<');
    sb_add(&words, word, len);
    sb_putc(&words, '>');
}

static void expect_words(const char *text, const char *want)
{
    sb_clear(&words);
    words_each(text, strlen(text), on_word, NULL);
    cr_assert_str_eq(sb_text(&words), want, "%s", text);
}

Test(steps_inputs, words)
{
    expect_words("python train.py --data=in.csv >out", "<python><train.py><in.csv><out>");
    expect_words("cat a;b|c&&d<e", "<cat><a><b><c><d><e>");
    expect_words("cat 'my file' \"x\"", "<cat><my file><my><file><x>");
    expect_words("cat $HOME/x ${D}/y", "<cat><D>");
    expect_words("a\x01"
                 "b c\x02"
                 "d",
                 "<c\x02"
                 "d>");
    sb_done(&words);
}
