/* SPDX-License-Identifier: Apache-2.0 */
/* .git may be a folder, or a file that names one (worktrees, submodules); HEAD holds a commit or a ref; a ref lies in a file of its own or in packed-refs. */
#include "engine/git.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALL = 64 << 10, PACKED_MAX = 16 << 20 };

static bool read_line(const char *dir, const char *name, struct str *ret)
{
    CLEANUP(cleanup_free) char *path = fs_join(dir, name);

    sb_clear(ret);
    if (fs_read_file(path, SMALL, ret, NULL) < 0) {
        return false;
    }
    sb_truncate(ret, strcspn(sb_text(ret), "\r\n"));
    return ret->len > 0;
}

static bool take_commit(const char *text, char ret[65])
{
    size_t len = strspn(text, "0123456789abcdef");

    if (len != 40 && len != 64) {
        return false;
    }
    memcpy(ret, text, len);
    ret[len] = '\0';
    return true;
}

static bool find_packed(const char *git, const char *ref, char ret[65])
{
    CLEANUP(sb_done) struct str all = {0};
    CLEANUP(cleanup_free) char *path = fs_join(git, "packed-refs");
    size_t ref_len = strlen(ref);

    if (fs_read_file(path, PACKED_MAX, &all, NULL) < 0) {
        return false;
    }
    for (const char *line = sb_text(&all); *line;) {
        size_t len = strcspn(line, "\r\n");
        const char *blank = memchr(line, ' ', len);
        if (blank && (size_t)(line + len - blank - 1) == ref_len &&
            memcmp(blank + 1, ref, ref_len) == 0) {
            return take_commit(line, ret);
        }
        line += len;
        line += strspn(line, "\r\n");
    }
    return false;
}

static bool read_head(const char *git, char ret[65])
{
    CLEANUP(sb_done) struct str line = {0};
    CLEANUP(sb_done) struct str common = {0};
    CLEANUP(cleanup_free) char *shared = NULL;
    CLEANUP(cleanup_free) char *ref = NULL;

    if (!read_line(git, "HEAD", &line)) {
        return false;
    }
    if (!text_starts(sb_text(&line), "ref: ")) {
        return take_commit(sb_text(&line), ret);
    }
    ref = xstrdup(sb_text(&line) + 5);
    if (strstr(ref, "..") || ref[0] == '/') {
        return false;
    }
    /* A worktree keeps its refs in the repository it belongs to. */
    shared = read_line(git, "commondir", &common) ? fs_join(git, sb_text(&common)) : xstrdup(git);
    if (read_line(git, ref, &line) || read_line(shared, ref, &line)) {
        return take_commit(sb_text(&line), ret);
    }
    return find_packed(shared, ref, ret);
}

bool git_commit_of(const char *dir, char ret[65])
{
    CLEANUP(cleanup_free) char *at = xstrdup(dir);

    for (;;) {
        CLEANUP(cleanup_free) char *git = fs_join(at, ".git");
        CLEANUP(sb_done) struct str line = {0};
        struct stat st;
        if (stat(git, &st) == 0) {
            if (S_ISDIR(st.st_mode)) {
                return read_head(git, ret);
            }
            if (read_line(at, ".git", &line) && text_starts(sb_text(&line), "gitdir: ")) {
                CLEANUP(cleanup_free) char *real = fs_join(at, sb_text(&line) + 8);
                return read_head(real, ret);
            }
            return false;
        }
        if (strcmp(at, "/") == 0 || strcmp(at, ".") == 0) {
            return false;
        }
        char *up = fs_dirname(at);
        free(at);
        at = up;
    }
}
