/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories are made by git itself: skipped where it is not installed. */
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/repo.h"
#include "base/str.h"
#include "temp.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A script in `dir`; what it prints, without the last newline. */
static void run(const char *dir, const char *script, struct str *out)
{
    static const char settings[] =
        "export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@x "
        "GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@x\n";
    CLEANUP(cleanup_free) char *all = xasprintf("%s%s", settings, script);
    const char *const argv[] = {"/bin/sh", "-eu", "-c", all, NULL};
    struct err err = {0};
    struct str said = {0};
    int status = 0;

    cr_assert_eq(chdir(dir), 0);
    sb_clear(out);
    cr_assert_eq(child_run(argv, NULL, 1 << 20, out, &said, &status, 30000, &err), 0, "%s",
                 err.msg);
    cr_assert_eq(status, 0, "%s", sb_text(&said));
    sb_truncate(out, strcspn(sb_text(out), "\n"));
    sb_done(&said);
}

static bool holds(const char *dir, const char *name, const char *text)
{
    CLEANUP(cleanup_free) char *path = fs_join(dir, name);
    CLEANUP(sb_done) struct str is = {0};

    return fs_read_file(path, 4096, &is, NULL) == 0 && strcmp(sb_text(&is), text) == 0;
}

Test(base_repo, a_commit_is_found_and_written_out)
{
    CLEANUP(sb_done) struct str id = {0};
    char *dir = temp_new();
    struct repo_found f;
    struct stat st;
    struct err err = {0};
    bool dirty = true;
    run(dir,
        "git init -q -b main . && mkdir -p d/e && printf 'a\\r\\n' >d/a && echo x >d/e/x && chmod "
        "+x d/e/x && "
        "ln -s a d/l && echo '* text=auto eol=crlf' >.gitattributes && git add -A >/dev/null 2>&1 "
        "&& git "
        "commit -qm one && "
        "git rev-parse HEAD:d",
        &id);
    cr_assert_eq(repo_find(dir, "r", "HEAD", "d", &f, &err), 0, "%s", err.msg);
    cr_assert_str_eq(f.id, sb_text(&id));
    cr_assert_eq(f.kind, 'd');
    CLEANUP(cleanup_free) char *to = fs_join(dir, "out");
    cr_assert_eq(repo_check_out(dir, &f, to, &err), 0, "%s", err.msg);
    cr_assert(holds(to, "a", "a\n"), "as the repository has it, whatever attributes say");
    cr_assert(holds(to, "e/x", "x\n"));
    cr_assert(holds(to, "l", "a\n"));
    CLEANUP(cleanup_free) char *program = fs_join(to, "e/x");
    cr_assert(stat(program, &st) == 0 && (st.st_mode & 0111));
    cr_assert_eq(repo_find(dir, "r", "HEAD", "d/e/x", &f, &err), 0, "%s", err.msg);
    cr_assert(f.kind == 'f' && f.exec);
    cr_assert_eq(repo_find(dir, "r", "HEAD", NULL, &f, &err), 0, "%s", err.msg);
    cr_assert_eq(f.kind, 'd');
    cr_assert_eq(repo_dirty(to, 100, &dirty, &err), 0, "%s", err.msg);
    cr_assert_not(dirty, "what git does not track does not count");
    cr_assert_eq(repo_dirty(dir, 1, &dirty, &err), 1, "too many to look at");
    cr_assert_eq(repo_changed(dir, &dirty, &err), 0);
    cr_assert(dirty, "but it is not what HEAD has");
    run(dir,
        "rm -rf out; mkdir d/__pycache__; echo 1 >d/__pycache__/x.pyc; "
        "printf '*.pyc\\n*.csv\\n' >.git/info/exclude",
        &id);
    CLEANUP(cleanup_free) char *data = fs_join(dir, "d");
    cr_assert_eq(repo_changed(data, &dirty, &err), 0);
    cr_assert_not(dirty, "what is no part of a folder may be ignored");
    run(dir, "echo 1 >d/ignored.csv", &id);
    cr_assert_eq(repo_changed(data, &dirty, &err), 0);
    cr_assert(dirty, "an ignored file is there as well");
    static const char *const wrong[][2] = {
        {"HEAD", "nosuch"}, {"nosuch", "d"}, {"HEAD", "../d"}, {"HEAD", "d/l"}, {"HEAD:d", ""}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        cr_expect_lt(repo_find(dir, "r", wrong[i][0], wrong[i][1], &f, &err), 0, "%s", wrong[i][1]);
    }
    temp_done(dir);
}

/* Trees that git would not make: nothing is written outside of the folder. */
Test(base_repo, trees_that_lead_out_are_refused)
{
    static const char *const trees[] = {
        /* a link and a folder of one name */
        "printf '120000 a\\0'; unhex $link; printf '40000 a\\0'; unhex $sub",
        "printf '40000 ..\\0'; unhex $sub",
        "printf '40000 .git\\0'; unhex $sub",
        "printf '40000 .\\0'; unhex $sub",
        "printf '100644 x/../../evil\\0'; unhex $file",
    };
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
        CLEANUP(sb_done) struct str id = {0};
        struct repo_found f;
        char *dir = temp_new();
        CLEANUP(cleanup_free)
        char *script = xasprintf(
            "git init -q -b main r && mkdir outside && cd r\n"
            "unhex() { python3 -c \"import sys; sys.stdout.buffer.write(bytes.fromhex('$1'))\"; }\n"
            "file=$(echo evil | git hash-object -w --stdin)\n"
            "link=$(printf ../outside | git hash-object -w --stdin)\n"
            "sub=$(printf '100644 blob %%s\\tevil\\n' $file | git mktree)\n"
            "tree=$({ %s; } | git hash-object -t tree --literally -w --stdin)\n"
            "git update-ref HEAD $(git commit-tree -m x $tree) && echo $tree",
            trees[i]);
        run(dir, script, &id);
        CLEANUP(cleanup_free) char *repo = fs_join(dir, "r");
        CLEANUP(cleanup_free) char *to = fs_join(dir, "out");
        int rc = repo_find(repo, "r", "HEAD", "", &f, &err);
        rc = rc < 0 ? rc : repo_check_out(repo, &f, to, &err);
        cr_expect_lt(rc, 0, "tree %zu is written", i);
        CLEANUP(cleanup_free) char *evil = fs_join(dir, "outside/evil");
        CLEANUP(cleanup_free) char *above = fs_join(dir, "evil");
        cr_expect_neq(access(evil, F_OK), 0, "tree %zu", i);
        cr_expect_neq(access(above, F_OK), 0, "tree %zu", i);
        temp_done(dir);
    }
}
