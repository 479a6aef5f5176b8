/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of an input folder: what is left out, which links are followed, and no endless walk. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/manifest_list.h"
#include "cache/statcache.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IGNORE_MAX = 1 << 20, /* bytes of a .wfignore */
    FOLLOW_MAX = 16,      /* folders entered through links within each other */
};

struct pattern {
    const char *text;
    bool anchored; /* compared with the whole path below the folder, else with the name */
    bool folder_only;
};

struct input {
    struct statcache *sc;
    struct manifest_list list;
    uint64_t stamp; /* over names, inodes, sizes and times of all that was looked at */
    VEC(struct pattern) patterns;
    /* The walk at hand, of the folder itself or of one that a link led to. */
    const char *prefix; /* "" or "link/": where it lies in the manifest */
    int depth;
    struct {
        dev_t dev;
        ino_t ino;
    } inside[FOLLOW_MAX + 1]; /* folders being walked, so that a link back is seen */
};

/* --- what is left out --- */

static int add_pattern(struct input *in, char *line, const char *path, struct err *err)
{
    struct pattern p = {0};
    size_t len = strlen(line);

    while (len > 0 && strchr(" \t\r", line[len - 1])) {
        line[--len] = '\0';
    }
    if (len == 0 || *line == '#') {
        return 0;
    }
    if (text_starts(line, "**/")) {
        line += 3;
    }
    len = strlen(line);
    if (len > 3 && strcmp(line + len - 3, "/**") == 0) {
        line[len - 2] = '\0';
        len -= 2;
    }
    if (*line == '!' || strstr(line, "**")) {
        return err_set(err, ERR_INVALID, 0,
                       "%s/.wfignore: '%s' is not understood: write name, name/, *.ext or "
                       "/path/from/here",
                       path, line);
    }
    if (len > 0 && line[len - 1] == '/') {
        p.folder_only = true;
        line[--len] = '\0';
    }
    p.anchored = strchr(line, '/') != NULL;
    p.text = arena_strdup(in->list.arena, line + (*line == '/'));
    if (*p.text) {
        *vec_push(&in->patterns) = p;
    }
    return 0;
}

static int read_ignore(struct input *in, const char *path, struct err *err)
{
    CLEANUP(cleanup_free) char *file = fs_join(path, ".wfignore");
    CLEANUP(sb_done) struct str text = {0};
    char *rest, *line;

    if (access(file, F_OK) != 0) {
        return 0;
    }
    int rc = fs_read_file(file, IGNORE_MAX, &text, err);
    if (rc < 0) {
        return rc;
    }
    rest = text.data;
    while (rc == 0 && (line = strsep(&rest, "\n"))) {
        rc = add_pattern(in, line, path, err);
    }
    return rc;
}

static bool left_out(const struct input *in, const char *rel, bool folder)
{
    const char *name = fs_basename(rel);

    if (strcmp(name, ".git") == 0 || strcmp(name, "__pycache__") == 0 ||
        strcmp(name, ".ipynb_checkpoints") == 0) {
        return true;
    }
    for (size_t i = 0; i < in->patterns.len; i++) {
        const struct pattern *p = &in->patterns.items[i];
        if ((folder || !p->folder_only) &&
            (p->anchored ? fnmatch(p->text, rel, FNM_PATHNAME) : fnmatch(p->text, name, 0)) == 0) {
            return true;
        }
    }
    return false;
}

/* --- what is in it --- */

static void add_stamp(struct input *in, const char *name, const struct stat *st)
{
    struct {
        uint64_t before, name, inode, size;
        int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
    } all = {in->stamp,          hash_bytes(name, strlen(name)),
             st->st_ino,         (uint64_t)st->st_size,
             st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
             st->st_ctim.tv_sec, st->st_ctim.tv_nsec};

    in->stamp = hash_bytes(&all, sizeof(all));
}

static int visit(const char *path, const char *rel, const struct stat *st, void *arg,
                 struct err *err);

static int add_file(struct input *in, const char *path, const char *name, const struct stat *st,
                    struct err *err)
{
    struct digest d;
    struct stat now = *st;

    if (!in->sc || !statcache_get(in->sc, path, st, &d)) {
        int rc = statcache_digest(in->sc, path, &d, &now, err);
        if (rc < 0) {
            return rc;
        }
    }
    add_stamp(in, name, &now);
    manifest_list_file(&in->list, name, (now.st_mode & 0111) != 0, &d, (uint64_t)now.st_size);
    return 0;
}

/* A folder that a link leads to: its content stands in the link's place. */
static int follow_folder(struct input *in, const char *real, const char *name,
                         const struct stat *st, struct err *err)
{
    for (int i = 0; i <= in->depth; i++) {
        if (in->inside[i].dev == st->st_dev && in->inside[i].ino == st->st_ino) {
            return err_set(
                err, ERR_INVALID, 0,
                "the link '%s' leads to %s, which contains it: leave it out by .wfignore", name,
                real);
        }
    }
    if (in->depth == FOLLOW_MAX) {
        return err_set(err, ERR_INVALID, 0,
                       "too many links lead on from one folder to the next (%s)", real);
    }
    const char *before = in->prefix;
    CLEANUP(cleanup_free) char *prefix = xasprintf("%s/", name);
    manifest_list_folder(&in->list, name);
    add_stamp(in, name, st);
    in->prefix = prefix;
    in->depth++;
    in->inside[in->depth].dev = st->st_dev;
    in->inside[in->depth].ino = st->st_ino;
    int rc = fs_walk(real, visit, in, err);
    in->depth--;
    in->prefix = before;
    return rc;
}

static int add_link(struct input *in, const char *path, const char *rel, const char *name,
                    struct err *err)
{
    char target[PATH_MAX];
    struct stat st;
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (lstat(path, &st) == 0) {
        add_stamp(in, name, &st);
    }
    if (n < 0) {
        return err_set(err, ERR_IO, errno, "cannot read the link %s", path);
    }
    target[n] = '\0';
    if (manifest_link_inside(rel, target)) {
        manifest_list_link(&in->list, name, target);
        return 0;
    }
    CLEANUP(cleanup_free) char *real = realpath(path, NULL);
    if (!real || stat(real, &st) != 0) {
        return err_set(err, ERR_NOT_FOUND, errno, "the link %s leads to '%s'", path, target);
    }
    if (S_ISDIR(st.st_mode)) {
        return follow_folder(in, real, name, &st, err);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, ERR_INVALID, 0, "the link %s leads to '%s', which is not a file", path,
                       target);
    }
    return add_file(in, real, name, &st, err);
}

static int visit(const char *path, const char *rel, const struct stat *st, void *arg,
                 struct err *err)
{
    struct input *in = arg;
    CLEANUP(cleanup_free) char *owned = *in->prefix ? xasprintf("%s%s", in->prefix, rel) : NULL;
    const char *name = owned ? owned : rel;

    if (left_out(in, name, S_ISDIR(st->st_mode))) {
        return 1;
    }
    if (S_ISDIR(st->st_mode)) {
        manifest_list_folder(&in->list, name);
        add_stamp(in, name, st);
        return 0;
    }
    if (S_ISLNK(st->st_mode)) {
        return add_link(in, path, rel, name, err);
    }
    if (!S_ISREG(st->st_mode)) {
        return err_set(err, ERR_INVALID, 0,
                       "%s is neither a file nor a folder nor a link (a FIFO, socket or device "
                       "cannot be an input): leave it out by .wfignore",
                       path);
    }
    return add_file(in, path, name, st, err);
}

int manifest_of_input(const char *path, struct statcache *sc, struct str *ret_text,
                      uint64_t *ret_bytes, uint64_t *ret_files, struct err *err)
{
    uint64_t stamp;

    return manifest_stamped(path, sc, ret_text, ret_bytes, ret_files, &stamp, err);
}

int manifest_stamped(const char *path, struct statcache *sc, struct str *ret_text,
                     uint64_t *ret_bytes, uint64_t *ret_files, uint64_t *ret_stamp, struct err *err)
{
    CLEANUP(cleanup_free) char *real = fs_real(path, err);
    struct stat st;

    if (!real) {
        return err ? -(int)err->code : -(int)ERR_NOT_FOUND;
    }
    if (stat(real, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return err_set(err, ERR_INVALID, 0, "%s is not a folder", path);
    }
    struct input in = {.sc = sc, .list = {.arena = arena_new()}, .prefix = ""};
    in.inside[0].dev = st.st_dev;
    in.inside[0].ino = st.st_ino;
    add_stamp(&in, "", &st);
    int rc = read_ignore(&in, real, err);
    rc = rc < 0 ? rc : fs_walk(real, visit, &in, err);
    if (rc >= 0) {
        manifest_list_write(&in.list, ret_text);
        *ret_bytes = in.list.bytes;
        *ret_files = in.list.files;
        *ret_stamp = in.stamp;
        rc = 0;
    }
    vec_done(&in.patterns);
    manifest_list_done(&in.list);
    arena_free(in.list.arena);
    return rc;
}
