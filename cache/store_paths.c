/* SPDX-License-Identifier: Apache-2.0 */
/* Names below the store, what is thrown away, and who is alive. */
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/failpoint.h"
#include "cache/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *store_dir(const struct store *s)
{
    return s->dir;
}

const char *store_id(const struct store *s)
{
    return s->id;
}

struct db *store_db(struct store *s)
{
    return s->db;
}

const char *store_notes(const struct store *s)
{
    return s->notes;
}

void store_note(struct store *s, const char *text)
{
    char *all = xasprintf("%s%s\n", s->notes ? s->notes : "", text);

    free(s->notes);
    s->notes = all;
}

char *store_path(const struct store *s, const char *below)
{
    size_t dir = strlen(s->dir), len = strlen(below);
    char *path = xmalloc(dir + len + 2);

    memcpy(path, s->dir, dir);
    path[dir] = '/';
    memcpy(path + dir + 1, below, len + 1);
    return path;
}

char *store_tmp(struct store *s)
{
    return xasprintf("%s/tmp/%s.%u", s->dir, s->tmp_name, atomic_fetch_add(&s->tmp_count, 1));
}

int store_make_folders(const char *dir, struct err *err)
{
    static const char *const names[] = {"objects", "work", "logs", "plans", "trash", "live", "tmp"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP(cleanup_free) char *path = fs_join(dir, names[i]);
        int rc = fs_mkdirs(path, 0700, err);
        if (rc < 0) {
            return rc;
        }
    }
    /* All folders of objects at once: storing one never asks for its folder. */
    for (unsigned i = 0; i < 256; i++) {
        CLEANUP(cleanup_free) char *path = xasprintf("%s/objects/%02x", dir, i);
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            return err_set(err, ERR_IO, errno, "cannot make the folder %s", path);
        }
    }
    return 0;
}

void store_make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
    }
}

void store_close_to_others(const struct store *s)
{
    static const char *const names[] = {"wf.db",        "wf.db-wal",  "wf.db-shm",
                                        "wf.db-writer", "store.lock", "id"};
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP(cleanup_free) char *path = store_path(s, names[i]);
        /* By its name: opening and closing a database's file would give up the locks this process has on it. */
        if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
            (st.st_mode & 077) != 0 && chmod(path, st.st_mode & 0700) != 0) {
            log_debug("store", "%s stays open to others: %s", path, strerror(errno));
        }
    }
}

int store_at(const struct store *s, const char **path)
{
    size_t len = s && s->dir_fd >= 0 ? strlen(s->dir) : 0;

    if (len == 0 || strncmp(*path, s->dir, len) != 0 || (*path)[len] != '/' ||
        (*path)[len + 1] == '/') {
        return AT_FDCWD;
    }
    *path += len + 1;
    return s->dir_fd;
}

void store_discard(struct store *s, const char *path)
{
    CLEANUP(cleanup_free)
    char *to = xasprintf("%s/trash/%s.%u", s->dir, s->tmp_name, atomic_fetch_add(&s->tmp_count, 1));

    FAILPOINT("store.discard");
    if (rename(path, to) != 0 && errno != ENOENT) {
        struct err err;
        /* On another file system, or trash/ is gone: then at once. */
        if (fs_remove_tree(path, &err) < 0) {
            log_debug("store", "%s", err.msg);
        }
    }
}

void store_sweep(struct store *s)
{
    CLEANUP(cleanup_free) char *trash = store_path(s, "trash");
    DIR *dir = s->read_only ? NULL : opendir(trash);
    struct dirent *e;

    while (dir && (e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        CLEANUP(cleanup_free) char *path = fs_join(trash, e->d_name);
        struct err err;
        if (fs_remove_tree(path, &err) < 0) {
            log_debug("store", "%s", err.msg);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

/* --- ownership --- */

static char *live_path(const struct store *s, const char *run)
{
    return xasprintf("%s/live/%s", s->dir, run);
}

/* Locked, and still what the path names. 0, 1 busy, 2 unlinked meanwhile, negative. */
static int try_live(const char *path, int *ret_fd, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat here, there;

    if (fd < 0) {
        return err_set(err, ERR_IO, errno, "cannot make %s", path);
    }
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return 1;
        }
        if (errno != EINTR) {
            return err_set(err, ERR_IO, errno, "cannot lock %s", path);
        }
    }
    if (fstat(fd, &here) != 0 || stat(path, &there) != 0 || here.st_ino != there.st_ino) {
        return 2;
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

int store_live(struct store *s, const char *run, int *ret_fd, struct err *err)
{
    CLEANUP(cleanup_free) char *path = live_path(s, run);

    /* store_is_live() of somebody else holds the lock for some microseconds: not at once "busy". */
    for (int i = 0; i < 20; i++) {
        int rc = try_live(path, ret_fd, err);
        if (rc <= 0) {
            return rc;
        }
        struct timespec pause = {.tv_nsec = 2000000};
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_BUSY, 0, "run %s belongs to another wf that is still at work on it",
                   run);
}

void store_unlive(struct store *s, const char *run, int fd)
{
    CLEANUP(cleanup_free) char *path = live_path(s, run);

    unlink(path);
    if (fd >= 0) {
        close(fd);
    }
}

void store_settle(struct store *s)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "wf.db-writer");
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && flock(fd, LOCK_SH) != 0 && errno == EINTR) {
    }
}

bool store_is_live(struct store *s, const char *run)
{
    CLEANUP(cleanup_free) char *path = live_path(s, run);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) { /* who cannot look must not take a run for dead */
        return errno != ENOENT && errno != ENOTDIR;
    }
    return flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}
