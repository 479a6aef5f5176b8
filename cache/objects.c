/* SPDX-License-Identifier: Apache-2.0 */
/* What an object is on disk, and whether it still is: a regular file objects/ab/cdef… with the content its name says, mode 0444 or 0555 and the time 1 Jan 2000. Whoever
 * writes to it, root through a hard link included, moves the time; so one stat tells. */
#include "cache/objects.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/failpoint.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void object_name(const struct digest *d, char out[OBJECT_NAME + 1])
{
    char hex[DIGEST_HEX + 1];

    digest_hex(d, hex);
    out[0] = hex[0];
    out[1] = hex[1];
    out[2] = '/';
    memcpy(out + 3, hex + 2, DIGEST_HEX - 1);
}

char *objects_path(const struct store *s, const struct digest *d)
{
    char name[OBJECT_NAME + 1];

    object_name(d, name);
    return xasprintf("%s/objects/%s", s->dir, name);
}

bool object_stat_good(const struct stat *st, uint64_t bytes)
{
    return S_ISREG(st->st_mode) && (uint64_t)st->st_size == bytes &&
           st->st_mtim.tv_sec == OBJECT_TIME && st->st_mtim.tv_nsec == 0;
}

int object_seal(int fd, bool executable)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = OBJECT_TIME}};

    if (fchmod(fd, executable ? 0555 : 0444) != 0 || futimens(fd, times) != 0) {
        return -errno;
    }
    return 0;
}

bool object_renew(struct store *s, const char *name)
{
    struct stat st;

    return fstatat(s->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           fchmodat(s->objects_fd, name, st.st_mode & 0555, 0) == 0;
}

/* --- naming --- */

/* rename() in any case; for what is known to be good. */
static int replace(struct store *s, const char *path, const char *name, bool keep, struct err *err)
{
    CLEANUP(cleanup_free) char *tmp = keep ? store_tmp(s) : NULL;

    if (keep && link(path, tmp) != 0) {
        return err_set(err, ERR_IO, errno, "cannot link %s into the store", path);
    }
    int rc = renameat(AT_FDCWD, keep ? tmp : path, s->objects_fd, name);
    int sys = errno;
    if (keep) {
        unlink(tmp); /* still there when both were one file already */
    }
    return rc == 0 ? 0 : err_set(err, ERR_IO, sys, "cannot move %s into the store", path);
}

static int install_once(struct store *s, const char *path, const char *name, bool keep)
{
    if (FAILPOINT_ERR("objects.rename")) {
        return -ENOSPC;
    }
    int at = store_at(s, &path);
    int rc = keep ? linkat(at, path, s->objects_fd, name, 0)
                  : renameat2(at, path, s->objects_fd, name, RENAME_NOREPLACE);
    if (rc != 0) {
        return -errno;
    }
    FAILPOINT("objects.renamed");
    return 0;
}

/* Somebody removed objects/ab: made again. */
static bool make_folder(struct store *s, const char *name)
{
    char folder[3] = {name[0], name[1], '\0'};

    return mkdirat(s->objects_fd, folder, 0700) == 0;
}

int object_install(struct store *s, const char *path, const struct digest *d, uint64_t bytes,
                   bool keep, struct err *err)
{
    char name[OBJECT_NAME + 1];
    struct stat st;

    object_name(d, name);
    int rc = install_once(s, path, name, keep);
    if (rc == -ENOENT && make_folder(s, name)) {
        rc = install_once(s, path, name, keep);
    }
    if (rc == -EINVAL) { /* a file system without RENAME_NOREPLACE */
        return replace(s, path, name, keep, err);
    }
    if (rc == -EEXIST) {
        bool good = !s->unclean && fstatat(s->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    object_stat_good(&st, bytes) && object_renew(s, name);
        if (!good) {
            return replace(s, path, name, keep, err);
        }
        const char *short_path = path;
        int at = store_at(s, &short_path);
        if (!keep && unlinkat(at, short_path, 0) != 0) {
            return err_set(err, ERR_IO, errno, "cannot remove %s", path);
        }
        return 0;
    }
    if (rc == -EXDEV || rc == -EMLINK || (keep && (rc == -EPERM || rc == -ENOTSUP))) {
        CLEANUP(cleanup_free) char *tmp = store_tmp(s);
        rc = fs_copy_file(path, tmp, 0600, NULL, err);
        CLEANUP(cleanup_close) int fd = rc == 0 ? open(tmp, O_RDONLY | O_CLOEXEC) : -1;
        if (rc == 0 && (fd < 0 || fstat(fd, &st) != 0 || stat(path, &st) != 0 ||
                        object_seal(fd, (st.st_mode & 0111) != 0) < 0)) {
            rc = err_set(err, ERR_IO, errno, "cannot copy %s into the store", path);
        }
        rc = rc < 0 ? rc : replace(s, tmp, name, false, err);
        if (rc == 0 && !keep) {
            unlink(path);
        }
        return rc;
    }
    if (rc < 0) {
        err_set(err, ERR_IO, -rc, "cannot move %s into the store", path);
        return err ? store_advise(s, err) : -(int)ERR_IO;
    }
    return 0;
}

int object_copy_in(struct store *s, const char *path, bool executable, struct digest *ret,
                   uint64_t *ret_bytes, struct err *err)
{
    CLEANUP(cleanup_free) char *tmp = store_tmp(s);

    FAILPOINT("objects.copy");
    int rc = fs_copy_file(path, tmp, 0600, NULL, err);
    CLEANUP(cleanup_close) int fd = rc == 0 ? open(tmp, O_RDONLY | O_CLOEXEC) : -1;
    if (rc == 0 && fd < 0) {
        rc = err_set(err, ERR_IO, errno, "cannot open %s", tmp);
    }
    struct digest d;
    uint64_t bytes = 0;
    rc = rc < 0 ? rc : digest_fd(fd, &d, &bytes, err);
    if (rc == 0) {
        int sys = object_seal(fd, executable);
        rc = sys < 0 ? err_set(err, ERR_IO, -sys, "cannot seal %s", tmp) : 0;
    }
    rc = rc < 0 ? rc : object_install(s, tmp, &d, bytes, false, err);
    if (rc < 0) {
        unlink(tmp);
        return err ? store_advise(s, err) : rc;
    }
    *ret = d;
    *ret_bytes = bytes;
    return 0;
}

int objects_put_bytes(struct store *s, const void *data, size_t len, struct digest *ret,
                      struct err *err)
{
    char name[OBJECT_NAME + 1];
    struct digest d;
    struct stat st;

    digest_of(data, len, &d);
    object_name(&d, name);
    if (!s->unclean && fstatat(s->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        object_stat_good(&st, len) && object_renew(s, name)) {
        *ret = d;
        return 0;
    }
    CLEANUP(cleanup_free) char *tmp = store_tmp(s);
    CLEANUP(cleanup_close) int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = fd < 0 ? err_set(err, ERR_IO, errno, "cannot make %s", tmp) : 0;
    if (rc == 0 && FAILPOINT_ERR("objects.write")) {
        rc = err_set(err, ERR_IO, errno, "cannot write %s", tmp);
    }
    rc = rc < 0 ? rc : fs_write_all(fd, data, len, err);
    if (rc == 0) {
        int sys = object_seal(fd, false);
        rc = sys < 0 ? err_set(err, ERR_IO, -sys, "cannot seal %s", tmp) : 0;
    }
    rc = rc < 0 ? rc : object_install(s, tmp, &d, len, false, err);
    if (rc < 0) {
        unlink(tmp);
        return err ? store_advise(s, err) : rc;
    }
    *ret = d;
    return 0;
}

/* --- checking --- */

bool object_unreadable(int sys)
{
    return sys != ENOENT && sys != ENOTDIR && sys != ELOOP && sys != ENXIO;
}

/* One file, by its content. */
static enum object_state rehash(struct store *s, const struct digest *d, const char *name,
                                const struct stat *st, uint64_t bytes)
{
    CLEANUP(cleanup_close) int fd = openat(s->objects_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct digest found;
    uint64_t size = 0;

    if (fd < 0 && object_unreadable(errno)) {
        return OBJECT_UNREADABLE;
    }
    if (fd < 0 && errno == ENOENT) {
        return OBJECT_MISSING;
    }
    bool file = fd >= 0 && S_ISREG(st->st_mode);
    if (file && digest_fd(fd, &found, &size, NULL) < 0) {
        return OBJECT_UNREADABLE;
    }
    if (file && size == bytes && digest_eq(&found, d)) {
        if (!object_stat_good(st, bytes)) {
            object_seal(fd, (st->st_mode & 0111) != 0);
        }
        return OBJECT_GOOD;
    }
    CLEANUP(cleanup_free) char *path = objects_path(s, d);
    log_debug("store", "the object %s does not hold what it was stored with; moved away", path);
    store_discard(s, path);
    return OBJECT_DAMAGED;
}

static enum object_state check_file(struct store *s, const struct digest *d, uint64_t bytes,
                                    bool verify)
{
    char name[OBJECT_NAME + 1];
    struct stat st;

    object_name(d, name);
    if (fstatat(s->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return object_unreadable(errno) ? OBJECT_UNREADABLE : OBJECT_MISSING;
    }
    if (!verify && object_stat_good(&st, bytes)) {
        return OBJECT_GOOD;
    }
    return rehash(s, d, name, &st, bytes);
}

struct check {
    struct store *store;
    bool verify;
    enum object_state state;
};

static int check_entry(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct check *c = arg;

    (void)err;
    if (e->kind == 'f' || e->kind == 'x') {
        c->state = check_file(c->store, &e->digest, e->bytes, c->verify);
    }
    return c->state == OBJECT_GOOD ? 0 : -(int)ERR_CORRUPT;
}

enum object_state objects_check(struct store *s, const struct digest *d, uint64_t object_bytes,
                                enum object_kind kind, bool verify)
{
    enum object_state state = check_file(s, d, object_bytes, verify);

    if (state != OBJECT_GOOD || kind == OBJECT_FILE) {
        return state;
    }
    CLEANUP(sb_done) struct str text = {0};
    struct check c = {s, verify, OBJECT_GOOD};
    struct err err = {0};
    if (object_manifest(s, d, &text, &err) < 0) {
        return err.sys != 0 && object_unreadable(err.sys) ? OBJECT_UNREADABLE : OBJECT_DAMAGED;
    }
    if (manifest_each(sb_text(&text), text.len, check_entry, &c, NULL) < 0 &&
        c.state == OBJECT_GOOD) {
        return OBJECT_DAMAGED;
    }
    return c.state;
}

int objects_read(struct store *s, const struct digest *d, size_t max, struct str *ret,
                 struct err *err)
{
    CLEANUP(cleanup_free) char *path = objects_path(s, d);
    CLEANUP(sb_done) struct str text = {0};
    struct digest found;

    int rc = fs_read_file(path, max, &text, err);
    if (rc < 0) {
        return rc;
    }
    digest_of(sb_text(&text), text.len, &found);
    if (!digest_eq(&found, d)) {
        return err_set(err, ERR_CORRUPT, 0, "the object %s does not hold what it was stored with",
                       path);
    }
    sb_add(ret, sb_text(&text), text.len);
    return 0;
}

int object_manifest(struct store *s, const struct digest *d, struct str *ret, struct err *err)
{
    return objects_read(s, d, MANIFEST_MAX, ret, err);
}
