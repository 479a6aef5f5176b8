/* SPDX-License-Identifier: Apache-2.0 */
/* Objects go out: to a step or to a user. A folder is laid out from its manifest. */
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/failpoint.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A copy up to this size costs less than what a step could break through a hard link. */
enum { COPY_BYTES = 1 << 20 };

struct placement {
    struct store *store;
    enum placing how;
};

static mode_t mode_of(const struct placement *p, bool executable)
{
    return (executable ? 0555 : 0444) | (p->how == PLACE_OWN ? 0200 : 0);
}

/* 1: the file system cannot. Otherwise 0 or negative. */
static int reflink(const struct placement *p, const char *from, const char *to, mode_t mode)
{
    if (atomic_load_explicit(&p->store->no_reflink, memory_order_relaxed)) {
        return 1;
    }
    CLEANUP(cleanup_close) int in = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_close)
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) {
        return 1; /* the other ways meet the same failure and name it */
    }
    if (ioctl(out, FICLONE, in) == 0 && fchmod(out, mode) == 0) {
        return 0;
    }
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL) {
        atomic_store_explicit(&p->store->no_reflink, true, memory_order_relaxed);
    }
    unlink(to);
    return 1;
}

/* A link has the object's own mode: only where that is the wanted one. */
static bool linked(const char *from, const char *to, const struct stat *st, bool executable)
{
    return ((st->st_mode & 0111) != 0) == executable && link(from, to) == 0;
}

static int place_file(const struct placement *p, const struct digest *d, bool executable,
                      const char *to, struct err *err)
{
    CLEANUP(cleanup_free) char *from = objects_path(p->store, d);
    mode_t mode = mode_of(p, executable);
    struct stat st;

    FAILPOINT("objects.place");
    if (stat(from, &st) != 0) {
        return err_set(err, errno == ENOENT ? ERR_CORRUPT : ERR_IO, errno,
                       "the cached content of '%s' is gone from the store", to);
    }
    if (p->how == PLACE_READ_ONLY && linked(from, to, &st, executable)) {
        return 0;
    }
    int rc = reflink(p, from, to, mode);
    if (rc <= 0) {
        return rc;
    }
    if (p->how == PLACE_HOST && st.st_size > COPY_BYTES && linked(from, to, &st, executable)) {
        return 0;
    }
    return fs_copy_file(from, to, mode, NULL, err);
}

/* --- folders --- */

struct layout {
    const struct placement *p;
    struct str path;  /* of the entry at hand */
    size_t root;      /* length of the folder's own path in it */
    struct str above; /* the folder made last, below root */
};

/* Makes the folders above an entry. Each must be a folder of ours, not a link that an entry before put there. */
static int make_above(struct layout *l, const char *name, size_t len, struct err *err)
{
    size_t known = l->above.len;

    while (len > 0 && name[len - 1] != '/') {
        len--;
    }
    if (len == 0 || (len == known && memcmp(l->above.data, name, len) == 0)) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        struct stat st;
        if (name[i] != '/' || (i < known && memcmp(l->above.data, name, i + 1) == 0)) {
            continue;
        }
        sb_truncate(&l->path, l->root);
        sb_putc(&l->path, '/');
        sb_add(&l->path, name, i);
        if (mkdir(sb_text(&l->path), 0755) != 0 &&
            (errno != EEXIST || lstat(sb_text(&l->path), &st) != 0 || !S_ISDIR(st.st_mode))) {
            return err_set(err, ERR_IO, errno, "cannot make the folder %s", sb_text(&l->path));
        }
    }
    sb_clear(&l->above);
    sb_add(&l->above, name, len);
    return 0;
}

static int lay_out(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct layout *l = arg;
    int rc = make_above(l, e->name, e->name_len, err);

    if (rc < 0) {
        return rc;
    }
    sb_truncate(&l->path, l->root);
    sb_putc(&l->path, '/');
    sb_add(&l->path, e->name, e->name_len);
    const char *to = sb_text(&l->path);
    if (e->kind == 'f' || e->kind == 'x') {
        return place_file(l->p, &e->digest, e->kind == 'x', to, err);
    }
    if (e->kind == 'd') {
        rc = mkdir(to, 0755);
        return rc == 0 ? 0 : err_set(err, ERR_IO, errno, "cannot make the folder %s", to);
    }
    CLEANUP(cleanup_free) char *link_text = xstrndup(e->link, e->link_len);
    CLEANUP(cleanup_free) char *name = xstrndup(e->name, e->name_len);
    if (!manifest_link_inside(name, link_text)) {
        return err_set(err, ERR_CORRUPT, 0, "a stored link leads out of its folder: %s", name);
    }
    rc = symlink(link_text, to);
    return rc == 0 ? 0 : err_set(err, ERR_IO, errno, "cannot make the link %s", to);
}

static int place_tree(const struct placement *p, const struct digest *d, const char *to,
                      struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    struct layout l = {.p = p};

    int rc = object_manifest(p->store, d, &text, err);
    if (rc < 0) {
        return rc;
    }
    if (mkdir(to, 0755) != 0) {
        return err_set(err, ERR_IO, errno, "cannot make the folder %s", to);
    }
    sb_puts(&l.path, to);
    l.root = l.path.len;
    rc = manifest_each(sb_text(&text), text.len, lay_out, &l, err);
    sb_done(&l.path);
    sb_done(&l.above);
    return rc;
}

int objects_place(struct store *s, const struct digest *d, enum object_kind kind, bool executable,
                  enum placing how, const char *to, struct err *err)
{
    struct placement p = {s, how};

    return kind == OBJECT_TREE ? place_tree(&p, d, to, err)
                               : place_file(&p, d, executable, to, err);
}
