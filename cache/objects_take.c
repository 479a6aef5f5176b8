/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs come into the store. The hot path is one small file: open, fstat, lease, hash, fstat, fchmod, futimens, rename; nothing is asked that the rename would tell. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/failpoint.h"
#include "cache/manifest_list.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct take {
    struct store *store; /* NULL: only hashed */
    const char *path;    /* below root, for messages */
    bool keep;
};

struct taken {
    struct digest digest;
    uint64_t bytes;
    bool executable;
};

static int not_an_output(const char *what, const char *kind, struct err *err)
{
    return err_set(err, ERR_INVALID, 0,
                   "output '%s' is %s: only files, folders and links that stay inside can be kept",
                   what, kind);
}

static const char *kind_word(mode_t mode)
{
    return S_ISFIFO(mode)   ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISLNK(mode)  ? "a link that leads out of $WF_OUT"
                            : "a device";
}

/* Nobody has it open for writing: the kernel grants a read lease only then. Where leases are unknown, or the file is somebody else's, fstat alone must do. */
static bool open_for_writing(int fd)
{
    /* Should somebody open it at this very moment, the kernel tells us by a signal: one that is ignored by default, not SIGIO, which kills. */
    fcntl(fd, F_SETSIG, SIGURG);
    if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0) {
        return errno == EAGAIN;
    }
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

static bool same_content(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_ino == b->st_ino &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int changed(const char *name, struct err *err)
{
    return err_set(err, ERR_BUSY, 0, "output '%s' changed while it was read", name);
}

/* A file that others may still name (hard links), or that is not ours to seal: a copy goes in. */
static int take_copy(const struct take *t, const char *full, const char *name, int fd,
                     const struct stat *before, struct taken *ret, struct err *err)
{
    struct stat after;
    int rc = object_copy_in(t->store, full, ret->executable, &ret->digest, &ret->bytes, err);

    if (rc < 0) {
        return rc;
    }
    /* The time of the last change moves with the number of links too; the content's does not. */
    if (fstat(fd, &after) != 0 || after.st_size != before->st_size ||
        after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != before->st_mtim.tv_nsec) {
        return changed(name, err);
    }
    if (!t->keep && unlink(full) != 0) {
        return err_set(err, ERR_IO, errno, "cannot remove %s", full);
    }
    return 0;
}

/* The regular file open at fd. `name`: for messages. */
static int take_open_file(const struct take *t, const char *full, const char *name, int fd,
                          const struct stat *before, struct taken *ret, struct err *err)
{
    struct stat after;

    ret->executable = (before->st_mode & 0111) != 0;
    if (open_for_writing(fd)) {
        return err_set(err, ERR_BUSY, 0, "output '%s' is still open for writing by some process",
                       name);
    }
    if (t->store && before->st_nlink > 1) {
        return take_copy(t, full, name, fd, before, ret, err);
    }
    int rc = digest_fd(fd, &ret->digest, &ret->bytes, err);
    if (rc < 0) {
        return err_wrap(err, "output '%s'", name);
    }
    if (fstat(fd, &after) != 0 || !same_content(before, &after) ||
        (uint64_t)after.st_size != ret->bytes) {
        return changed(name, err);
    }
    if (!t->store) {
        return 0;
    }
    rc = object_seal(fd, ret->executable);
    if (rc < 0) {
        return take_copy(t, full, name, fd, before, ret, err);
    }
    return object_install(t->store, full, &ret->digest, ret->bytes, t->keep, err);
}

/* --- folders --- */

struct tree {
    const struct take *take;
    struct manifest_list list;
};

static int take_link(struct tree *t, const char *path, const char *rel, struct err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0) {
        return err_set(err, ERR_IO, errno, "cannot read the link %s", path);
    }
    target[n] = '\0';
    if (!manifest_link_inside(rel, target)) {
        return err_set(err, ERR_INVALID, 0,
                       "output '%s': the link '%s' leads out of the folder (to '%s'): a link in an "
                       "output must stay inside it",
                       t->take->path, rel, target);
    }
    manifest_list_link(&t->list, rel, target);
    return 0;
}

static int take_entry(const char *path, const char *rel, const struct stat *st, void *arg,
                      struct err *err)
{
    struct tree *t = arg;
    struct stat before;
    struct taken taken;

    if (S_ISDIR(st->st_mode)) {
        manifest_list_folder(&t->list, rel);
        return 0;
    }
    if (S_ISLNK(st->st_mode)) {
        return take_link(t, path, rel, err);
    }
    CLEANUP(cleanup_free) char *name = xasprintf("%s/%s", t->take->path, rel);
    if (!S_ISREG(st->st_mode)) {
        return not_an_output(name, kind_word(st->st_mode), err);
    }
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &before) != 0 || !S_ISREG(before.st_mode)) {
        return err_set(err, ERR_IO, errno, "cannot read output '%s'", name);
    }
    int rc = take_open_file(t->take, path, name, fd, &before, &taken, err);
    if (rc == 0) {
        manifest_list_file(&t->list, rel, taken.executable, &taken.digest, taken.bytes);
    }
    return rc;
}

static int take_tree(const struct take *t, const char *full, struct result_output *ret,
                     struct err *err)
{
    struct tree tree = {.take = t, .list = {.arena = arena_new()}};
    CLEANUP(sb_done) struct str text = {0};
    struct digest d;

    int rc = fs_walk(full, take_entry, &tree, err);
    if (rc == 0) {
        manifest_list_write(&tree.list, &text);
        FAILPOINT("objects.tree");
        if (t->store) {
            rc = objects_put_bytes(t->store, sb_text(&text), text.len, &d, err);
        } else {
            digest_of(sb_text(&text), text.len, &d);
        }
    }
    if (rc == 0 && t->store && !t->keep) {
        rc = fs_remove_tree(full, err); /* folders and links: the attempt's folder is used again */
    }
    if (rc == 0) {
        ret->kind = OBJECT_TREE;
        ret->executable = false;
        ret->digest = d;
        ret->bytes = tree.list.bytes;
        ret->object_bytes = text.len;
    }
    manifest_list_done(&tree.list);
    arena_free(tree.list.arena);
    return rc;
}

/* --- one output --- */

static int missing(const char *path, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, 0, "output '%s' was not made", path);
}

/* Is the real path below the real root? Only asked where a link or a folder of the declared path could lead elsewhere. */
static char *real_below(const char *root, const char *full)
{
    CLEANUP(cleanup_free) char *real_root = realpath(root, NULL);
    CLEANUP(cleanup_free) char *real = realpath(full, NULL);

    if (!real_root || !real) {
        return NULL;
    }
    size_t len = strlen(real_root);
    return strncmp(real, real_root, len) == 0 && real[len] == '/' ? take_ptr(real) : NULL;
}

static int take_opened(const struct take *t, const char *full, int fd, struct result_output *ret,
                       struct err *err)
{
    struct stat st;
    struct taken taken;

    if (fstat(fd, &st) != 0) {
        return err_set(err, ERR_IO, errno, "cannot look at output '%s'", t->path);
    }
    if (S_ISDIR(st.st_mode)) {
        return take_tree(t, full, ret, err);
    }
    if (!S_ISREG(st.st_mode)) {
        return not_an_output(t->path, kind_word(st.st_mode), err);
    }
    int rc = take_open_file(t, full, t->path, fd, &st, &taken, err);
    if (rc == 0) {
        ret->kind = OBJECT_FILE;
        ret->executable = taken.executable;
        ret->digest = taken.digest;
        ret->bytes = ret->object_bytes = taken.bytes;
    }
    return rc;
}

int objects_take(struct store *s, const char *root, const char *path, bool keep,
                 struct result_output *ret, struct err *err)
{
    struct take t = {s, path, keep};
    char full[PATH_MAX];
    CLEANUP(cleanup_free) char *real = NULL;
    const char *at = full;

    if ((size_t)snprintf(full, sizeof(full), "%s/%s", root, path) >= sizeof(full)) {
        return err_set(err, ERR_INVALID, ENAMETOOLONG, "output '%s'", path);
    }
    const char *short_path = full;
    int dir = store_at(s, &short_path);
    CLEANUP(cleanup_close)
    int fd = openat(dir, short_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int sys = errno;
    if ((fd < 0 && sys == ELOOP) || (fd >= 0 && strchr(path, '/'))) {
        real = real_below(root, full);
        if (!real) {
            struct stat st;
            return stat(full, &st) != 0 ? missing(path, err)
                                        : not_an_output(path, kind_word(S_IFLNK), err);
        }
        if (fd < 0) { /* a link to a neighbour, which may be an output itself: that one stays */
            t.keep = true;
            at = real;
            fd = open(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
            sys = errno;
        }
    }
    if (fd < 0) {
        return sys == ENOENT || sys == ENOTDIR ? missing(path, err)
               : sys == ENXIO                  ? not_an_output(path, "a socket", err)
                              : err_set(err, sys == EACCES ? ERR_DENIED : ERR_IO, sys,
                                        "cannot read output '%s'", path);
    }
    int rc = take_opened(&t, at, fd, ret, err);
    if (rc == 0 && real && t.keep && !keep && s) {
        unlink(full);
    }
    return rc;
}

int objects_put_file(struct store *s, const char *path, bool move, struct digest *ret,
                     uint64_t *ret_bytes, struct err *err)
{
    struct take t = {s, path, !move};
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    struct taken taken = {0};

    if (fd < 0 || fstat(fd, &st) != 0) {
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot read %s",
                       path);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, ERR_INVALID, 0, "%s is not a regular file", path);
    }
    taken.executable = (st.st_mode & 0111) != 0;
    /* What is not moved stays its owner's, who may go on writing to it: never linked. */
    int rc = move ? take_open_file(&t, path, path, fd, &st, &taken, err)
                  : take_copy(&t, path, path, fd, &st, &taken, err);
    if (rc == 0) {
        *ret = taken.digest;
        *ret_bytes = taken.bytes;
    }
    return rc;
}
