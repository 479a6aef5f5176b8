/* SPDX-License-Identifier: Apache-2.0 */
/* A lock's file is removed only by who holds it; whoever gets a lock looks whether its file is still the one that has the name. */
#include "cache/sources.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/store.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char suffix[] = ".git.lock";

int sources_lock(const char *lock, int *ret_fd, struct err *err)
{
    CLEANUP(cleanup_close) int fd = -1;
    struct stat here, there;
    int rc = fs_lock(lock, true, false, &fd, err);

    if (rc < 0) {
        return rc;
    }
    if (fstat(fd, &here) != 0 || stat(lock, &there) != 0 || here.st_ino != there.st_ino) {
        return err_set(err, ERR_BUSY, 0, "%s was just removed", lock);
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

static int add_file(const char *path, const char *rel, const struct stat *st, void *arg,
                    struct err *err)
{
    (void)path;
    (void)rel;
    (void)err;
    *(uint64_t *)arg += S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
    return 0;
}

static uint64_t bytes_below(const char *path)
{
    uint64_t bytes = 0;

    (void)fs_walk(path, add_file, &bytes, NULL);
    return bytes;
}

void sources_measure(struct store *s, struct sources_size *ret)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "sources");
    DIR *dir = opendir(path);

    *ret = (struct sources_size){0};
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        if (text_ends(e->d_name, ".git")) {
            CLEANUP(cleanup_free) char *copy = fs_join(path, e->d_name);
            ret->copies++;
            ret->bytes += bytes_below(copy);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static bool unused(const char *lock, int64_t unused_for_ms)
{
    struct stat st;

    return stat(lock, &st) == 0 &&
           now_ms() - (st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000) >= unused_for_ms;
}

/* Asked once more with the lock in hand: somebody may just have used it. */
static void clear_one(struct store *s, const char *lock, int64_t unused_for_ms, bool dry_run,
                      struct sources_size *removed)
{
    CLEANUP(cleanup_free) char *copy = xstrndup(lock, strlen(lock) - strlen(".lock"));
    CLEANUP(cleanup_close) int fd = -1;

    if (!unused(lock, unused_for_ms) ||
        (!dry_run && (sources_lock(lock, &fd, NULL) != 0 || !unused(lock, unused_for_ms)))) {
        return;
    }
    if (access(copy, F_OK) == 0) {
        removed->copies++;
        removed->bytes += bytes_below(copy);
    }
    if (!dry_run) {
        store_discard(s, copy);
        (void)unlink(lock);
    }
}

void sources_clear(struct store *s, int64_t unused_for_ms, bool dry_run, int64_t deadline_us,
                   struct sources_size *ret_removed)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "sources");
    DIR *dir = unused_for_ms > 0 ? opendir(path) : NULL;

    *ret_removed = (struct sources_size){0};
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        if (deadline_us > 0 && mono_us() > deadline_us) {
            break;
        }
        if (text_ends(e->d_name, suffix)) {
            CLEANUP(cleanup_free) char *lock = fs_join(path, e->d_name);
            clear_one(s, lock, unused_for_ms, dry_run, ret_removed);
        }
    }
    if (dir) {
        closedir(dir);
    }
}
