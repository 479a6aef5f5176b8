/* SPDX-License-Identifier: Apache-2.0 */
/* Where promoted models' files lie, putting them there, and removing those that nothing names any more. */
#include "serve/models.h"

#include "base/db.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/objects.h"
#include "cache/statements.h"
#include "cache/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *models_path(const struct store *s, const struct result_output *o)
{
    char hex[DIGEST_HEX + 1], below[DIGEST_HEX + 16];

    digest_hex(&o->digest, hex);
    (void)snprintf(below, sizeof(below), "models/%s%s", hex,
                   o->kind == OBJECT_TREE ? ".d"
                   : o->executable        ? ".x"
                                          : "");
    return store_path(s, below);
}

static int sync_one(const char *path, const char *rel, const struct stat *st, void *arg,
                    struct err *err)
{
    (void)rel;
    (void)arg;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) {
        return 0;
    }
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fsync(fd) != 0) {
        return err_set(err, ERR_IO, errno, "cannot bring %s to disk", path);
    }
    return 0;
}

/* What is there is whole, also after the power failed: what it holds is on disk before it has its name. */
static int sync_all(const char *path, struct err *err)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        return err_set(err, ERR_IO, errno, "cannot look at %s", path);
    }
    int rc = S_ISDIR(st.st_mode) ? fs_walk(path, sync_one, NULL, err) : 0;
    return rc < 0 ? rc : sync_one(path, "", &st, NULL, err);
}

int models_place(struct store *s, const struct result_output *o, char **ret_path, struct err *err)
{
    CLEANUP(cleanup_free) char *folder = store_path(s, "models");
    char *path = models_path(s, o);
    CLEANUP(cleanup_free) char *partial = xasprintf("%s.%d.new", path, (int)getpid());
    struct stat st;
    int rc = 0;

    if (lstat(path, &st) != 0) {
        rc = fs_mkdirs(folder, 0700, err);
        store_discard(s, partial);
        rc = rc < 0
                 ? rc
                 : objects_place(s, &o->digest, o->kind, o->executable, PLACE_HOST, partial, err);
        rc = rc < 0 ? rc : sync_all(partial, err);
        if (rc == 0 && rename(partial, path) != 0 && lstat(path, &st) != 0) {
            rc = err_set(err, ERR_IO, errno, "cannot put a model at %s", path);
        }
    }
    if (rc < 0) {
        free(path);
        return rc;
    }
    *ret_path = path;
    return 0;
}

/* --- sweeping --- */

int models_hold(struct store *s, int *ret_fd, struct err *err)
{
    CLEANUP(cleanup_free) char *folder = store_path(s, "models");
    CLEANUP(cleanup_free) char *lock = store_path(s, "models/lock");
    int rc = fs_mkdirs(folder, 0700, err);

    return rc < 0 ? rc : fs_lock(lock, false, true, ret_fd, err);
}

struct sweep {
    struct write write;
    struct store *store;
    uint32_t keep;
    int64_t until_us; /* 0: no end */
    uint64_t bytes;
    VEC(struct digest) kept;
};

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

/* All that looks like the name of a model or the digest of an output: what is kept too much is only kept. */
static void keep_named(struct sweep *w, const char *text)
{
    static const char *const marks[] = {"sha256:", "models/"};

    for (size_t k = 0; text && k < ARRAY_LEN(marks); k++) {
        for (const char *at = text; (at = strstr(at, marks[k]));) {
            struct digest d;
            at += strlen(marks[k]);
            if (strnlen(at, DIGEST_HEX) == DIGEST_HEX && digest_parse(at, DIGEST_HEX, &d)) {
                *vec_push(&w->kept) = d;
            }
        }
    }
}

static int keep_rows(struct sweep *w, struct db_row *row, struct err *err)
{
    int rc;

    while ((rc = db_step(row, err)) > 0) {
        keep_named(w, db_text(row, 0));
    }
    return rc;
}

static int keep_all(struct sweep *w, struct db *db, int statement, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, statement, &row, err, "");

    return rc < 0 ? rc : keep_rows(w, row, err);
}

static int keep_promotions(struct sweep *w, struct db *db, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *steps = NULL;
    int rc = db_query(db, SQL_PROMOTION_STEPS, &steps, err, "");

    while (rc >= 0 && (rc = db_step(steps, err)) > 0) {
        CLEANUP(db_row_done) struct db_row *row = NULL;
        rc = db_query(db, SQL_PROMOTION_KEPT, &row, err, "tti", db_text(steps, 0),
                      db_text(steps, 1), (int64_t)w->keep);
        rc = rc < 0 ? rc : keep_rows(w, row, err);
    }
    return rc;
}

static int collect(struct write *write, struct db *db, struct err *err)
{
    struct sweep *w = CONTAINER_OF(write, struct sweep, write);
    int64_t n = db_run(db, SQL_SERVICE_SPEC_TRIM, err, "i", (int64_t)w->keep);
    int rc = n < 0 ? (int)n : keep_promotions(w, db, err);

    w->kept.len = n < 0 ? 0 : w->kept.len;
    rc = rc < 0 ? rc : keep_all(w, db, SQL_PROMOTION_LIVE, err);
    rc = rc < 0 ? rc : keep_all(w, db, SQL_SERVICE_WANTED, err);
    return rc < 0 ? rc : keep_all(w, db, SQL_SERVICE_SPEC_LIST, err);
}

static int add_bytes(const char *path, const char *rel, const struct stat *st, void *arg,
                     struct err *err)
{
    uint64_t *bytes = arg;

    (void)path;
    (void)rel;
    (void)err;
    if (S_ISREG(st->st_mode) && st->st_nlink == 1) { /* else an object of the cache has it too */
        *bytes += (uint64_t)st->st_size;
    }
    return 0;
}

static void look_at(struct sweep *w, const char *folder, const char *name)
{
    CLEANUP(cleanup_free) char *path = fs_join(folder, name);
    struct digest d;
    struct stat st;

    if (strnlen(name, DIGEST_HEX) < DIGEST_HEX || !digest_parse(name, DIGEST_HEX, &d)) {
        return;
    }
    if (!text_ends(name, ".new") && w->kept.len > 0 &&
        bsearch(&d, w->kept.items, w->kept.len, sizeof(d), by_digest)) {
        return;
    }
    if (lstat(path, &st) != 0) {
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        (void)fs_walk(path, add_bytes, &w->bytes, NULL);
    } else {
        (void)add_bytes(path, name, &st, &w->bytes, NULL);
    }
    store_discard(w->store, path);
}

static void sweep(struct sweep *w, const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *e;

    if (w->kept.len > 0) {
        qsort(w->kept.items, w->kept.len, sizeof(*w->kept.items), by_digest);
    }
    while (dir && (e = readdir(dir)) && (w->until_us == 0 || mono_us() < w->until_us)) {
        look_at(w, folder, e->d_name);
    }
    if (dir) {
        (void)closedir(dir);
    }
}

int models_sweep(struct store *s, uint32_t keep, int64_t limit_ms, uint64_t *ret_bytes,
                 struct err *err)
{
    CLEANUP(cleanup_free) char *folder = store_path(s, "models");
    CLEANUP(cleanup_free) char *lock = store_path(s, "models/lock");
    CLEANUP(cleanup_close) int fd = -1;
    struct sweep w = {.write = {.apply = collect}, .store = s, .keep = keep};

    w.until_us = limit_ms > 0 ? mono_us() + limit_ms * 1000 : 0;
    if (ret_bytes) {
        *ret_bytes = 0;
    }
    if (access(lock, F_OK) != 0 || fs_lock(lock, true, false, &fd, NULL) != 0) {
        return 0;
    }
    int rc = store_write_now(s, &w.write, err);
    if (rc == 0) {
        sweep(&w, folder);
        store_sweep(s);
        if (ret_bytes) {
            *ret_bytes = w.bytes;
        }
    }
    vec_done(&w.kept);
    return rc;
}
