/* SPDX-License-Identifier: Apache-2.0 */
/* A page per folder: in memory a hash map by name, in the database one row. The folder of the last call is remembered, so that a call costs one comparison of the folder's path, one
 * hash of the name and one of six numbers. The page format is in statcache_page.c.
 * Threads: one mutex over everything; hashing itself is done outside it. */
#include "cache/statcache.h"

#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/statcache_page.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REST_MS = 2000,   /* younger files may change again within the same time stamp */
    TOUCH_DAYS = 7,   /* a record in use is stamped again after so long */
    FORGET_DAYS = 60, /* and forgotten when it was not for so long */
};

struct folder {
    struct stat_page page;
    char *path;
    size_t path_len;
    uint64_t device;
    bool trusted; /* its file system keeps times and inodes */
    bool dirty;
};

struct statcache {
    struct store *store;
    struct db *db;   /* the pool's, opened at its first folder */
    pthread_t owner; /* the thread of the store's own connection */
    bool no_db;
    pthread_mutex_t mutex;
    struct map folders; /* path -> struct folder */
    struct folder *last;
    uint32_t today;
};

struct statcache *statcache_new(struct store *s)
{
    struct statcache *c = xcalloc(1, sizeof(*c));

    c->store = s;
    c->owner = pthread_self();
    c->today = (uint32_t)(now_ms() / 86400000);
    pthread_mutex_init(&c->mutex, NULL);
    return c;
}

void statcache_free(struct statcache *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < c->folders.len; i++) {
        struct folder *f = c->folders.items[i].value;
        stat_page_done(&f->page);
        free(f->path);
        free(f);
    }
    map_done(&c->folders);
    db_close(c->db);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

/* --- folders --- */

/* The store's connection where that is this thread's: to open another costs a small run a twentieth of its time. */
static struct db *connection(struct statcache *c)
{
    if (c->store && c->store->db && pthread_equal(pthread_self(), c->owner)) {
        return c->store->db;
    }
    if (!c->db && !c->no_db) {
        CLEANUP(cleanup_free) char *path = c->store ? store_path(c->store, "wf.db") : NULL;
        struct err err;
        /* An empty read-only store has no database: everything is hashed. */
        c->no_db = !c->store || !c->store->db ||
                   db_open(path, c->store->read_only ? DB_LOOK : DB_READ, store_statements,
                           SQL_COUNT, &c->db, &err) < 0;
    }
    return c->db;
}

static void read_page(struct statcache *c, struct folder *f)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct db *db = connection(c);
    size_t len;

    if (!db || db_query(db, SQL_STAT_GET, &row, NULL, "b", f->path, f->path_len) < 0 ||
        db_step(row, NULL) != 1) {
        return;
    }
    const void *data = db_blob(row, 0, &len);
    if (!stat_page_read(&f->page, data, len)) {
        log_debug("statcache", "the page of %s is damaged; it is made anew", f->path);
    }
}

static struct folder *new_folder(struct statcache *c, const char *path, size_t len)
{
    struct folder *f = xcalloc(1, sizeof(*f));
    struct stat st;

    f->path = xstrndup(path, len);
    f->path_len = len;
    const char *dir = len > 0 ? f->path : "/";
    f->trusted = stat(dir, &st) == 0 && fs_kind_of(dir) == FS_LOCAL;
    f->device = f->trusted ? (uint64_t)st.st_dev : 0;
    map_put(&c->folders, f->path, len, f);
    read_page(c, f);
    return f;
}

/* The folder of `path` (its text before the last slash); mutex held. */
static struct folder *folder_of(struct statcache *c, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');

    if (!slash) {
        return NULL;
    }
    size_t len = (size_t)(slash - path);
    *ret_name = slash + 1;
    if (!c->last || c->last->path_len != len || memcmp(c->last->path, path, len) != 0) {
        struct folder *f = map_get(&c->folders, path, len);
        c->last = f ? f : new_folder(c, path, len);
    }
    return c->last;
}

/* --- asking --- */

static uint64_t nanoseconds(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static bool matches(const struct stat_record *r, const struct stat *st)
{
    return r->size == (uint64_t)st->st_size && r->inode == (uint64_t)st->st_ino &&
           r->mtime == nanoseconds(st->st_mtim) && r->ctime == nanoseconds(st->st_ctim) &&
           r->device == (uint64_t)st->st_dev;
}

bool statcache_get(struct statcache *c, const char *path, const struct stat *st, struct digest *ret)
{
    const char *name;
    bool found = false;

    pthread_mutex_lock(&c->mutex);
    struct folder *f = folder_of(c, path, &name);
    struct stat_record *r = f ? stat_page_get(&f->page, name, strlen(name)) : NULL;
    if (r && matches(r, st)) {
        *ret = r->digest;
        found = true;
        if (c->today >= r->day + TOUCH_DAYS) {
            r->day = c->today;
            r->changed = f->dirty = true;
        }
    }
    pthread_mutex_unlock(&c->mutex);
    return found;
}

static int64_t milliseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void statcache_put(struct statcache *c, const char *path, const struct stat *st, int64_t read_at_ms,
                   const struct digest *d)
{
    const char *name;

    /* Also false for times in the future. */
    if (!S_ISREG(st->st_mode) || read_at_ms - milliseconds(st->st_mtim) < REST_MS ||
        read_at_ms - milliseconds(st->st_ctim) < REST_MS) {
        return;
    }
    pthread_mutex_lock(&c->mutex);
    struct folder *f = folder_of(c, path, &name);
    /* A file mounted into its folder lies on a file system of its own. */
    if (f && (f->device == (uint64_t)st->st_dev ? f->trusted : fs_kind_of(path) == FS_LOCAL)) {
        struct stat_record *r = stat_page_put(&f->page, name, strlen(name));
        r->device = (uint64_t)st->st_dev;
        r->inode = (uint64_t)st->st_ino;
        r->size = (uint64_t)st->st_size;
        r->mtime = nanoseconds(st->st_mtim);
        r->ctime = nanoseconds(st->st_ctim);
        r->digest = *d;
        r->day = c->today;
        r->changed = f->dirty = true;
    }
    pthread_mutex_unlock(&c->mutex);
}

/* --- saving --- */

struct save {
    struct write write;
    char *path;
    size_t path_len;
    struct stat_page page; /* the changed records only */
    uint32_t today;
};

/* What others wrote meanwhile stays; ours is newer. */
static int apply_save(struct write *w, struct db *db, struct err *err)
{
    struct save *v = CONTAINER_OF(w, struct save, write);
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(sb_done) struct str out = {0};
    struct stat_page merged = {0};
    size_t len;

    int rc = db_query(db, SQL_STAT_GET, &row, err, "b", v->path, v->path_len);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == 1) {
        const void *data = db_blob(row, 0, &len);
        stat_page_read(&merged, data, len);
    }
    db_row_done(&row);
    stat_page_merge(&merged, &v->page);
    stat_page_write(&merged, v->today > FORGET_DAYS ? v->today - FORGET_DAYS : 0, &out);
    stat_page_done(&merged);
    FAILPOINT("statcache.save");
    int64_t done = db_run(db, SQL_STAT_PUT, err, "bib", v->path, v->path_len, (int64_t)v->today,
                          sb_text(&out), out.len);
    return done < 0 ? (int)done : 0;
}

static void done_save(struct write *w, const struct err *err)
{
    struct save *v = CONTAINER_OF(w, struct save, write);

    if (err) {
        log_debug("statcache", "not saved: %s", err->msg);
    }
    stat_page_done(&v->page);
    free(v->path);
    free(v);
}

static struct save *new_save(struct statcache *c, struct folder *f)
{
    struct save *v = xcalloc(1, sizeof(*v));

    v->write = (struct write){.apply = apply_save, .done = done_save};
    v->path = xmemdup(f->path, f->path_len + 1);
    v->path_len = f->path_len;
    v->today = c->today;
    stat_page_take_changed(&f->page, &v->page);
    f->dirty = false;
    return v;
}

void statcache_save(struct statcache *c)
{
    if (!c->store || c->store->read_only) {
        return;
    }
    for (size_t i = 0;; i++) {
        struct save *v = NULL;
        pthread_mutex_lock(&c->mutex);
        bool more = i < c->folders.len;
        struct folder *f = more ? c->folders.items[i].value : NULL;
        if (more && f->dirty) {
            v = new_save(c, f);
        }
        pthread_mutex_unlock(&c->mutex);
        if (!more) {
            return;
        }
        if (!v) {
            continue;
        }
        if (store_has_thread(c->store)) {
            store_post(c->store, &v->write);
        } else {
            struct err err;
            int rc = store_write_now(c->store, &v->write, &err);
            done_save(&v->write, rc < 0 ? &err : NULL);
        }
    }
}

/* --- hashing --- */

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           nanoseconds(a->st_mtim) == nanoseconds(b->st_mtim) &&
           nanoseconds(a->st_ctim) == nanoseconds(b->st_ctim);
}

static int cannot_read(const char *path, struct err *err)
{
    enum err_code code = errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
                         : errno == EACCES                   ? ERR_DENIED
                                                             : ERR_IO;

    return err_set(err, code, errno, "cannot read %s", path);
}

/* 0 hashed, 1 it changed while it was read, negative. */
static int hash_once(const char *path, struct digest *ret, struct stat *ret_st,
                     int64_t *ret_read_at, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat before, after;
    uint64_t size;

    if (fd < 0 || fstat(fd, &before) != 0) {
        return cannot_read(path, err);
    }
    if (!S_ISREG(before.st_mode)) {
        return err_set(err, ERR_INVALID, 0, "%s is not a regular file", path);
    }
    *ret_read_at = now_ms();
    int rc = digest_fd(fd, ret, &size, err);
    if (rc < 0) {
        return err_wrap(err, "%s", path);
    }
    if (fstat(fd, &after) != 0 || !same(&before, &after) || size != (uint64_t)after.st_size) {
        return 1;
    }
    *ret_st = after;
    return 0;
}

int statcache_digest(struct statcache *c, const char *path, struct digest *ret, struct stat *ret_st,
                     struct err *err)
{
    struct stat st;

    if (c) {
        if (stat(path, &st) != 0) {
            return cannot_read(path, err);
        }
        if (statcache_get(c, path, &st, ret)) {
            *ret_st = st;
            return 0;
        }
    }
    return statcache_hash(c, path, ret, ret_st, err);
}

int statcache_hash(struct statcache *c, const char *path, struct digest *ret, struct stat *ret_st,
                   struct err *err)
{
    struct stat st;
    int64_t read_at;
    struct digest d;

    for (int i = 0; i < 3; i++) {
        int rc = hash_once(path, &d, &st, &read_at, err);
        if (rc < 0) {
            return rc;
        }
        if (rc == 0) {
            if (c) {
                statcache_put(c, path, &st, read_at, &d);
            }
            *ret = d;
            *ret_st = st;
            return 0;
        }
    }
    return err_set(err, ERR_BUSY, 0,
                   "%s keeps changing while it is read: wait until whoever writes it has ended",
                   path);
}
