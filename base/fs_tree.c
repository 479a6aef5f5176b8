/* SPDX-License-Identifier: Apache-2.0 */
/* Folders and trees. Everything is iterative: how deep a tree is was decided by somebody's program. */
#include "base/err.h"
#include "base/fs.h"
#include "base/fs_impl.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* Not by opendir(), which costs four more system calls and a large block of memory: most folders hold few names. */
int fs_names_read(struct fs_names *n, int dir_fd)
{
    char buf[8192] __attribute__((aligned(_Alignof(struct dirent64))));

    sb_clear(&n->memory);
    vec_clear(&n->at);
    if (lseek(dir_fd, 0, SEEK_SET) != 0) {
        return -1;
    }
    for (;;) {
        ssize_t got = getdents64(dir_fd, buf, sizeof(buf));
        if (got <= 0) {
            return got < 0 ? -1 : 0;
        }
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(buf + at);
            const char *name = entry->d_name;
            if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
                *vec_push(&n->at) = n->memory.len;
                sb_add(&n->memory, name, strlen(name) + 1);
            }
            at += entry->d_reclen;
        }
    }
}

static int compare_names(const void *a, const void *b, void *memory)
{
    const size_t *left = a, *right = b;
    const char *text = memory;

    return strcmp(text + *left, text + *right);
}

void fs_names_sort(struct fs_names *n)
{
    if (n->at.len > 1) {
        qsort_r(n->at.items, n->at.len, sizeof(*n->at.items), compare_names, n->memory.data);
    }
}

void fs_names_done(struct fs_names *n)
{
    sb_done(&n->memory);
    vec_done(&n->at);
}

/* One folder. 0: it is there now; -1 with errno. */
static int make_folder(const char *path, mode_t mode)
{
    struct stat st;

    if (mkdir(path, mode) == 0) {
        return 0;
    }
    int sys = errno;
    /* Not only EEXIST: an existing folder on a read-only file system is fine too. */
    if (sys != ENOENT && stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            return 0;
        }
        sys = EEXIST;
    }
    errno = sys;
    return -1;
}

int fs_mkdirs(const char *path, mode_t mode, struct err *err)
{
    CLEANUP(cleanup_free) char *at = xstrdup(path);
    size_t len = strlen(at), end = len;

    /* Back to the deepest folder that exists, then forward again. */
    while (make_folder(at, mode) != 0) {
        int sys = errno;
        size_t cut = strlen(at);
        while (cut > 0 && at[cut - 1] != '/') {
            cut--;
        }
        while (cut > 0 && at[cut - 1] == '/') {
            cut--;
        }
        if (sys == EEXIST) {
            return err_set(err, ERR_EXISTS, 0,
                           "cannot create the folder '%s': '%s' is in the way and is not a folder",
                           path, at);
        }
        if (sys != ENOENT || cut == 0) {
            return fs_fail(err, sys, "create the folder", path);
        }
        at[cut] = '\0';
    }
    for (;;) {
        end = strlen(at);
        if (end == len) {
            return 0;
        }
        at[end] = '/';
        if (make_folder(at, mode) != 0) {
            return fs_fail(err, errno, "create the folder", path);
        }
    }
}

/* A folder that is being emptied. Only the innermost one is open; its parent is reached by "..", and is checked to be the one
 * we came from, so that a folder moved meanwhile does not lead us elsewhere. */
struct removal {
    struct fs_names names;
    size_t next;
    dev_t dev;
    ino_t ino;
    int rounds;
};
struct removals {
    VEC(struct removal) stack;
    int fd; /* the innermost folder */
};

enum { MAX_ROUNDS = 10 }; /* for a folder that somebody fills while we empty it */

/* Reads the folder open at fd into a new frame (takes ownership of fd on success). */
static int removal_enter(struct removals *r, int fd)
{
    struct removal frame = {0};
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return -1;
    }
    if ((st.st_mode & 0700) != 0700) {
        (void)!fchmod(fd, (st.st_mode & 07777) | 0700); /* not ours: unlinkat will tell */
    }
    frame.dev = st.st_dev;
    frame.ino = st.st_ino;
    if (fs_names_read(&frame.names, fd) != 0) {
        int sys = errno;
        fs_names_done(&frame.names);
        errno = sys;
        return -1;
    }
    cleanup_close(&r->fd);
    r->fd = fd;
    *vec_push(&r->stack) = frame;
    return 0;
}

/* Opens the folder `name`, made readable if need be. */
static int open_to_remove(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, OPEN_FOLDER | O_NOFOLLOW);

    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, AT_SYMLINK_NOFOLLOW) == 0) {
        fd = openat(dir_fd, name, OPEN_FOLDER | O_NOFOLLOW);
    }
    return fd;
}

/* Removes an entry of the innermost folder, or enters it. */
static int removal_step(struct removals *r, const char *name)
{
    if (unlinkat(r->fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    /* A folder: EISDIR on Linux, EPERM as POSIX has it. */
    if (errno != EISDIR && errno != EPERM) {
        return -1;
    }
    int sys = errno;
    if (unlinkat(r->fd, name, AT_REMOVEDIR) == 0) {
        return 0;
    }
    int fd = open_to_remove(r->fd, name);
    if (fd < 0) {
        errno = errno == ENOTDIR ? sys : errno;
        return -1;
    }
    if (removal_enter(r, fd) != 0) {
        sys = errno;
        close(fd);
        errno = sys;
        return -1;
    }
    return 0;
}

/* The innermost folder is empty: back to its parent, whose next name is this folder's. */
static int removal_leave(struct removals *r)
{
    struct removal *parent = &r->stack.items[r->stack.len - 2];
    struct stat st;
    int up = openat(r->fd, "..", OPEN_FOLDER);

    if (up < 0) {
        return -1;
    }
    cleanup_close(&r->fd);
    r->fd = up;
    if (fstat(up, &st) != 0) {
        return -1;
    }
    if (st.st_dev != parent->dev || st.st_ino != parent->ino) {
        errno = EBUSY; /* moved while we were in it */
        return -1;
    }
    const char *name = fs_names_get(&parent->names, parent->next);
    fs_names_done(&r->stack.items[--r->stack.len].names);
    if (unlinkat(up, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        parent->next++;
        return 0;
    }
    /* Filled again meanwhile: the parent's loop comes to the same name once more, so many times. */
    return errno == ENOTEMPTY && parent->rounds++ < MAX_ROUNDS ? 0 : -1;
}

static int remove_below(struct removals *r)
{
    for (;;) {
        struct removal *top = &r->stack.items[r->stack.len - 1];
        if (top->next < top->names.at.len) {
            size_t depth = r->stack.len;
            if (removal_step(r, fs_names_get(&top->names, top->next)) != 0) {
                return -1;
            }
            if (r->stack.len == depth) {
                r->stack.items[depth - 1].next++;
            }
        } else if (r->stack.len == 1) {
            return 0;
        } else if (removal_leave(r) != 0) {
            return -1;
        }
    }
}

/* 0, or -1 with errno. */
static int remove_folder(const char *path)
{
    struct removals r = {.fd = -1};
    int rc = -1;

    for (int rounds = 0; rounds < MAX_ROUNDS; rounds++) {
        int fd = open_to_remove(AT_FDCWD, path);
        rc = fd < 0 ? -1 : removal_enter(&r, fd);
        if (rc == 0) {
            rc = remove_below(&r);
        } else if (fd >= 0) {
            int sys = errno;
            close(fd);
            errno = sys;
        }
        int sys = errno;
        while (r.stack.len > 0) {
            fs_names_done(&r.stack.items[--r.stack.len].names);
        }
        cleanup_close(&r.fd);
        errno = sys;
        if (rc == 0) {
            rc = rmdir(path);
        }
        if (rc == 0 || errno != ENOTEMPTY) {
            break;
        }
    }
    int sys = errno;
    vec_done(&r.stack);
    errno = sys;
    return rc;
}

int fs_remove_tree(const char *path, struct err *err)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? 0 : fs_fail(err, errno, "remove", path);
    }
    int rc = S_ISDIR(st.st_mode) ? remove_folder(path) : unlink(path);
    return rc == 0 || errno == ENOENT ? 0 : fs_fail(err, errno, "remove", path);
}

struct walk_frame {
    struct fs_names names;
    size_t next;
    size_t path_len; /* of the folder itself */
};
struct walk {
    VEC(struct walk_frame) stack;
    struct str path;
};

static int walk_enter(struct walk *w, int flags, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(sb_text(&w->path), OPEN_FOLDER | flags);
    struct walk_frame frame = {.path_len = w->path.len};

    if (fd < 0 || fs_names_read(&frame.names, fd) != 0) {
        int rc = fs_fail(err, errno, "read the folder", sb_text(&w->path));
        fs_names_done(&frame.names);
        return rc;
    }
    fs_names_sort(&frame.names);
    *vec_push(&w->stack) = frame;
    return 0;
}

/* Visits the next name of the innermost folder. */
static int walk_step(struct walk *w, size_t rel_at, fs_walk_fn fn, void *arg, struct err *err)
{
    struct walk_frame *top = &w->stack.items[w->stack.len - 1];
    struct stat st;

    sb_truncate(&w->path, top->path_len);
    if (w->path.len == 0 || w->path.data[w->path.len - 1] != '/') {
        sb_putc(&w->path, '/');
    }
    sb_puts(&w->path, fs_names_get(&top->names, top->next++));
    if (lstat(w->path.data, &st) != 0) {
        /* Gone since the folder was read. */
        return errno == ENOENT ? 0 : fs_fail(err, errno, "look at", w->path.data);
    }
    int rc = fn(w->path.data, w->path.data + rel_at, &st, arg, err);
    if (rc == 0 && S_ISDIR(st.st_mode)) {
        return walk_enter(w, O_NOFOLLOW, err);
    }
    return rc < 0 ? rc : 0;
}

int fs_walk(const char *root, fs_walk_fn fn, void *arg, struct err *err)
{
    struct walk w = {0};
    size_t len = strlen(root);

    while (len > 1 && root[len - 1] == '/') {
        len--;
    }
    sb_add(&w.path, root, len);
    const size_t rel_at = len == 1 && root[0] == '/' ? 1 : len + 1;
    int rc = walk_enter(&w, 0, err);
    while (rc == 0 && w.stack.len > 0) {
        struct walk_frame *top = &w.stack.items[w.stack.len - 1];
        if (top->next < top->names.at.len) {
            rc = walk_step(&w, rel_at, fn, arg, err);
        } else {
            fs_names_done(&top->names);
            w.stack.len--;
        }
    }
    while (w.stack.len > 0) {
        fs_names_done(&w.stack.items[--w.stack.len].names);
    }
    vec_done(&w.stack);
    sb_done(&w.path);
    return rc;
}
