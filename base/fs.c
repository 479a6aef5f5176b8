/* SPDX-License-Identifier: Apache-2.0 */
/* Single files: reading, writing, copying, locking. */
#include "base/fs.h"

#include "base/err.h"
#include "base/fs_impl.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

static enum err_code code_of(int sys)
{
    switch (sys) {
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case EBUSY:
    case ETXTBSY:
        return ERR_BUSY;
    default:
        return ERR_IO;
    }
}

/* What a user can do about it, in place of the system's word. NULL: the system's word says enough. */
static const char *advice(int sys)
{
    switch (sys) {
    case ENOSPC:
        return "the disk is full; free some space and try again";
    case EDQUOT:
        return "the disk is full for you (your quota is used up); free some space and try again";
    case EACCES:
        return "permission denied; check the permissions of it and of the folders above it";
    case EROFS:
        return "the file system is mounted read-only";
    case ENOENT:
        return "it does not exist";
    case EMFILE:
    case ENFILE:
        return "too many files are open; raise the limit (ulimit -n)";
    default:
        return NULL;
    }
}

int fs_fail(struct err *err, int sys, const char *action, const char *path)
{
    const char *text = advice(sys);
    int rc = text ? err_set(err, code_of(sys), 0, "cannot %s '%s': %s", action, path, text)
                  : err_set(err, code_of(sys), sys, "cannot %s '%s'", action, path);

    if (err) {
        err->sys = sys;
    }
    return rc;
}

static int not_regular(struct err *err, const char *path, mode_t mode)
{
    return err_set(err, ERR_INVALID, 0, "'%s' is %s, not a regular file", path,
                   S_ISDIR(mode) ? "a folder" : "a device, pipe or socket");
}

/* Opens a regular file without ever blocking on a pipe's other end. */
static int open_regular(const char *path, struct stat *ret_st, int *ret_fd, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, ret_st) != 0) {
        return fs_fail(err, errno, "read", path);
    }
    if (!S_ISREG(ret_st->st_mode)) {
        return not_regular(err, path, ret_st->st_mode);
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

static int larger_than(struct err *err, const char *path, size_t max)
{
    CLEANUP(sb_done) struct str size = {0};

    add_size(&size, max);
    return err_set(err, ERR_INVALID, 0, "'%s' is larger than %s", path, sb_text(&size));
}

int fs_read_file(const char *path, size_t max, struct str *ret, struct err *err)
{
    CLEANUP(cleanup_close) int fd = -1;
    CLEANUP(sb_done) struct str text = {0};
    struct stat st;

    int rc = open_regular(path, &st, &fd, err);
    if (rc != 0) {
        return rc;
    }
    if ((uint64_t)st.st_size > max) {
        return larger_than(err, path, max);
    }
    /* The size is a hint only: files in /proc have none, and others grow. */
    sb_reserve(&text, (size_t)st.st_size + 1);
    for (;;) {
        sb_reserve(&text, 1);
        ssize_t n = read(fd, text.data + text.len, text.cap - 1 - text.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fs_fail(err, errno, "read", path);
        }
        text.len += (size_t)n;
        text.data[text.len] = '\0';
        if (text.len > max) {
            return larger_than(err, path, max);
        }
        if (n == 0) {
            break;
        }
    }
    sb_done(ret);
    *ret = text;
    text = (struct str){0};
    return 0;
}

/* 0, or -1 with errno. */
static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int fs_write_all(int fd, const void *data, size_t len, struct err *err)
{
    if (write_all(fd, data, len) == 0) {
        return 0;
    }
    int sys = errno;
    const char *text = advice(sys);
    int rc = text ? err_set(err, code_of(sys), 0, "cannot write: %s", text)
                  : err_set(err, code_of(sys), sys, "cannot write");
    if (err) {
        err->sys = sys;
    }
    return rc;
}

enum { NAME_TRIES = 100 };

/* A name that nobody else takes, in the folder of `path`. */
static char *temporary_name(const char *path)
{
    CLEANUP(cleanup_free) char *dir = fs_dirname(path);
    unsigned long long salt = 0;

    while (getrandom(&salt, sizeof(salt), 0) != (ssize_t)sizeof(salt)) {
    }
    return xasprintf("%s/.wf-tmp-%016llx", dir, salt);
}

/* A new file under such a name. -1 with errno. */
static int open_temporary(const char *path, mode_t mode, char **ret_name)
{
    for (int tries = 0; tries < NAME_TRIES; tries++) {
        CLEANUP(cleanup_free) char *name = temporary_name(path);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd >= 0) {
            *ret_name = take_ptr(name);
            return fd;
        }
        if (errno != EEXIST) {
            return -1;
        }
    }
    errno = EEXIST;
    return -1;
}

enum { PROC_NAME = 32 };

static void name_in_proc(int fd, char name[PROC_NAME])
{
    (void)snprintf(name, PROC_NAME, "/proc/self/fd/%d", fd);
}

/* A file without a name, which is given one through /proc in the end. -1: not here. */
static int open_unnamed(const char *path, mode_t mode)
{
    CLEANUP(cleanup_free) char *dir = fs_dirname(path);
    CLEANUP(cleanup_close) int fd = open(dir, O_WRONLY | O_TMPFILE | O_CLOEXEC, mode);
    char name[PROC_NAME];

    if (fd < 0) {
        return -1;
    }
    name_in_proc(fd, name);
    return access(name, F_OK) == 0 ? take_fd(&fd) : -1;
}

/* A link never replaces: what is there already gives way by a rename, at once. 0, or -1 with errno. */
static int give_name(int fd, const char *path)
{
    char from[PROC_NAME];

    name_in_proc(fd, from);
    if (linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0) {
        return 0;
    }
    for (int tries = 0; tries < NAME_TRIES && errno == EEXIST; tries++) {
        CLEANUP(cleanup_free) char *name = temporary_name(path);
        if (linkat(AT_FDCWD, from, AT_FDCWD, name, AT_SYMLINK_FOLLOW) != 0) {
            continue;
        }
        if (rename(name, path) == 0) {
            return 0;
        }
        int sys = errno;
        unlink(name);
        errno = sys;
        return -1;
    }
    return -1;
}

static bool is_open_as(int fd, const struct stat *st)
{
    struct stat own;

    return fstat(fd, &own) == 0 && own.st_dev == st->st_dev && own.st_ino == st->st_ino;
}

/* A device, a FIFO or a link (/dev/stdout) is what it is, and must not give way to a file: it is written to. -1 with errno. */
static int open_in_place(const char *path, mode_t mode)
{
    /* A FIFO that nobody reads is an error, not a wait. */
    CLEANUP(cleanup_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        return -1;
    }
    bool shared = is_open_as(STDOUT_FILENO, &st) || is_open_as(STDERR_FILENO, &st);
    if (fcntl(fd, F_SETFL, S_ISREG(st.st_mode) && shared ? O_APPEND : 0) != 0 ||
        (S_ISREG(st.st_mode) && !shared && ftruncate(fd, 0) != 0)) {
        return -1;
    }
    int made = fd;
    fd = -1;
    return made;
}

static int open_new(const char *path, mode_t mode, bool at_once, struct new_file *ret,
                    struct err *err)
{
    struct new_file f = {.path = path, .fd = -1};
    struct stat st;

    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        f.fd = open_in_place(path, mode);
    } else {
        f.fd = at_once ? -1 : open_unnamed(path, mode);
        f.unnamed = f.fd >= 0;
        f.fd = f.unnamed ? f.fd : open_temporary(path, mode, &f.name);
    }
    if (f.fd < 0) {
        return fs_fail(err, errno, "write", path);
    }
    *ret = f;
    return 0;
}

int new_file_open(const char *path, mode_t mode, struct new_file *ret, struct err *err)
{
    return open_new(path, mode, false, ret, err);
}

void new_file_add(struct new_file *f, const void *data, size_t len)
{
    if (f->sys == 0 && write_all(f->fd, data, len) != 0) {
        f->sys = errno;
    }
}

int new_file_end(struct new_file *f, bool sync, bool drop, struct err *err)
{
    CLEANUP(cleanup_free) char *name = f->name;

    if (f->sys == 0 && sync && !drop && (name || f->unnamed) && fdatasync(f->fd) != 0) {
        f->sys = errno;
    }
    if (f->sys == 0 && !drop && f->unnamed && give_name(f->fd, f->path) != 0) {
        f->sys = errno;
    }
    /* Some file systems tell of a full disk only now. */
    if (close(f->fd) != 0 && f->sys == 0 && errno != EINTR) {
        f->sys = errno;
    }
    if (f->sys == 0 && !drop && name && rename(name, f->path) != 0) {
        f->sys = errno;
    }
    if (name && (drop || f->sys != 0)) {
        unlink(name);
    }
    return drop || f->sys == 0 ? 0 : fs_fail(err, f->sys, "write", f->path);
}

int fs_write_file(const char *path, const void *data, size_t len, mode_t mode, bool sync,
                  struct err *err)
{
    struct new_file f;
    int rc = open_new(path, mode, true, &f, err); /* a moment, and two system calls fewer */

    if (rc < 0) {
        return rc;
    }
    new_file_add(&f, data, len);
    return new_file_end(&f, sync, false, err);
}

enum { SMALL_COPY = 16 * 1024 };

/* By read and write, from where both descriptors stand to the end. 0, or -1 with errno. */
static int copy_by_hand(int from, int to)
{
    enum { SIZE = 256 * 1024 };
    CLEANUP(cleanup_free) char *buf = xmalloc(SIZE);

    for (;;) {
        ssize_t n = read(from, buf, SIZE);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return (int)n;
        }
        if (write_all(to, buf, (size_t)n) != 0) {
            return -1;
        }
    }
}

/* A few blocks are copied at once: sharing them would save nothing. 0, or -1 with errno; 1: the size is another by now, the rest is left. */
static int copy_small(int from, int to, const struct stat *st)
{
    char buf[SMALL_COPY];
    ssize_t n;

    do {
        n = read(from, buf, sizeof(buf));
    } while (n < 0 && errno == EINTR);
    if (n < 0 || (n > 0 && write_all(to, buf, (size_t)n) != 0)) {
        return -1;
    }
    return n == st->st_size && n < (ssize_t)sizeof(buf) ? 0 : 1;
}

static bool is_full(int sys)
{
    return sys == ENOSPC || sys == EDQUOT;
}

/* 0, or -1 with errno. */
static int copy_content(int from, int to, const struct stat *st, enum fs_copied *ret_how)
{
    *ret_how = FS_COPIED;
    if (st->st_size < SMALL_COPY) {
        int rc = copy_small(from, to, st);
        return rc <= 0 ? rc : copy_by_hand(from, to);
    }
    *ret_how = FS_REFLINKED;
    if (st->st_size > 0 && ioctl(to, FICLONE, from) == 0) {
        return 0;
    }
    if (st->st_size > 0 && is_full(errno)) {
        return -1;
    }
    *ret_how = FS_COPIED;
    for (off_t left = st->st_size; left > 0;) {
        size_t chunk = left < (off_t)1 << 30 ? (size_t)left : (size_t)1 << 30;
        ssize_t n = copy_file_range(from, NULL, to, NULL, chunk, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (is_full(errno) || errno == EIO)) {
            return -1;
        }
        /* Not supported between these two, or a file system that pretends there is nothing: the rest by hand. */
        if (n <= 0) {
            break;
        }
        left -= n;
    }
    return copy_by_hand(from, to);
}

int fs_copy_file(const char *from, const char *to, mode_t mode, enum fs_copied *ret_how,
                 struct err *err)
{
    CLEANUP(cleanup_close) int in = -1;
    enum fs_copied how;
    struct stat st;

    int rc = open_regular(from, &st, &in, err);
    if (rc != 0) {
        return rc;
    }
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (out < 0) {
        return fs_fail(err, errno, "create", to);
    }
    rc = copy_content(in, out, &st, &how);
    struct stat made;
    if (rc == 0 && (fstat(out, &made) != 0 || (made.st_mode & 07777) != mode)) {
        rc = fchmod(out, mode); /* our umask took something of it */
    }
    int sys = errno;
    if (close(out) != 0 && rc == 0 && errno != EINTR) {
        rc = -1;
        sys = errno;
    }
    if (rc != 0) {
        unlink(to);
        CLEANUP(cleanup_free) char *action = xasprintf("copy '%s' to", from);
        return fs_fail(err, sys, action, to);
    }
    if (ret_how) {
        *ret_how = how;
    }
    return 0;
}

int fs_lock(const char *path, bool exclusive, bool wait, int *ret_fd, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0 && !exclusive && (errno == EACCES || errno == EROFS)) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0) {
        return fs_fail(err, errno, "open the lock file", path);
    }
    while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB)) != 0) {
        if (errno == EWOULDBLOCK) {
            return err_set(err, ERR_BUSY, 0, "'%s' is locked by another process", path);
        }
        if (errno != EINTR) {
            return fs_fail(err, errno, "lock", path);
        }
    }
    *ret_fd = take_fd(&fd);
    return 0;
}
