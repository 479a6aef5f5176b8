/* SPDX-License-Identifier: Apache-2.0 */
/* The version of the store on disk: looked at without SQLite, made, migrated.
 * user_version of wf.db is the format; it is checkpointed into the file's own header before anybody counts on it, and it is the last thing written: a store whose making or
 * migration was interrupted is simply taken up again. Making is done under the writer lock, a migration also under store.lock taken exclusively. */
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cache/failpoint.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* SQLite's file header (sqlite.org/fileformat.html). */
enum { HEADER_SIZE = 100, PAGES_AT = 28, USER_VERSION_AT = 60, APPLICATION_ID_AT = 68 };

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int store_refuse_newer(const char *dir, int64_t found, int newest, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, 0,
                   "the store %s was made by a newer wf (format %" PRId64
                   ", this wf knows %d): use "
                   "that wf, or give another folder with --store; nothing was changed",
                   dir, found, newest);
}

static int refuse_foreign(const char *dir, struct err *err)
{
    return err_set(err, ERR_CORRUPT, 0,
                   "%s/wf.db is damaged or not a store of wf: move the folder away (mv %s "
                   "%s.damaged) and run again; what was cached is then made anew",
                   dir, dir, dir);
}

int store_peek(const char *dir, int newest, enum store_state *ret, struct err *err)
{
    unsigned char head[HEADER_SIZE];
    CLEANUP(cleanup_free) char *path = fs_join(dir, "wf.db");
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        if (errno == ENOENT) {
            *ret = STORE_ABSENT;
            return 0;
        }
        return err_set(err, errno == EACCES ? ERR_DENIED : ERR_IO, errno,
                       "cannot read the store %s: give a folder of your own with --store", path);
    }
    ssize_t n = pread(fd, head, sizeof(head), 0);
    if (n < 0) {
        return err_set(err, ERR_IO, errno, "cannot read %s", path);
    }
    if (n == 0) {
        *ret = STORE_UNMADE;
        return 0;
    }
    if (n < HEADER_SIZE || memcmp(head, "SQLite format 3", 16) != 0) {
        return refuse_foreign(dir, err);
    }
    uint32_t version = big_endian(head + USER_VERSION_AT);
    uint32_t application = big_endian(head + APPLICATION_ID_AT);
    if (application != STORE_APPLICATION_ID && (application != 0 || version != 0)) {
        return refuse_foreign(dir, err);
    }
    if (version > (uint32_t)newest) {
        return store_refuse_newer(dir, version, newest, err);
    }
    /* Until the tables are checkpointed together with the version, only the log has them. A database that has tables and no version is somebody else's. */
    if (version == 0 && big_endian(head + PAGES_AT) <= 1) {
        *ret = STORE_UNMADE;
    } else {
        *ret = version == (uint32_t)newest ? STORE_CURRENT : STORE_OLDER;
    }
    return 0;
}

static int one_number(struct db *db, int statement, int64_t *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    int rc = db_query(db, statement, &row, err, "");
    if (rc < 0) {
        return rc;
    }
    rc = db_step(row, err);
    if (rc < 0) {
        return rc;
    }
    *ret = db_i64(row, 0);
    return 0;
}

int store_version(struct db *db, int64_t *ret, struct err *err)
{
    return one_number(db, SQL_STORE_FORMAT, ret, err);
}

static int apply_migrations(struct db *db, int64_t from, const struct migration *list, size_t count,
                            struct err *err)
{
    int rc = db_begin(db, err);

    for (size_t i = 0; i < count && rc == 0; i++) {
        if (list[i].format > from) {
            rc = db_exec(db, list[i].sql, err);
            FAILPOINT("store.migrate");
        }
    }
    if (rc == 0) {
        char sql[120];
        snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                 STORE_APPLICATION_ID, list[count - 1].format);
        rc = db_exec(db, sql, err);
    }
    if (rc == 0) {
        FAILPOINT("store.migrated");
        rc = db_commit(db, err);
    }
    if (rc < 0) {
        db_rollback(db);
    }
    return rc;
}

/* Nobody else uses the store, and it stands a second time beside itself. */
static int before_migration(struct store *s, struct db *db, int64_t from,
                            const struct migration *list, size_t count, struct err *err)
{
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return err_set(err, ERR_BUSY, 0,
                       "the store %s must be brought to format %d, but another wf is using it: "
                       "run again when it has ended",
                       s->dir, list[count - 1].format);
    }
    CLEANUP(cleanup_free) char *name = xasprintf("wf.db.format-%" PRId64, from);
    CLEANUP(cleanup_free) char *backup = store_path(s, name);
    CLEANUP(cleanup_free) char *half = xasprintf("%s.part", backup);
    if (access(backup, F_OK) != 0) {
        int rc = unlink(half) != 0 && errno != ENOENT
                     ? err_set(err, ERR_IO, errno, "cannot remove %s", half)
                     : db_backup(db, half, err);
        if (rc < 0) {
            return rc;
        }
        if (chmod(half, 0600) != 0) {
            return err_set(err, ERR_IO, errno, "cannot make %s private", half);
        }
        FAILPOINT("store.backup");
        if (rename(half, backup) != 0) {
            return err_set(err, ERR_IO, errno, "cannot name the backup %s", backup);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i].format > from) {
            store_note(s, list[i].sentence);
        }
    }
    CLEANUP(cleanup_free) char *kept = xasprintf("the store as it was is kept as %s", backup);
    store_note(s, kept);
    return 0;
}

static int prepare_db(struct store *s, struct db *db, const struct migration *list, size_t count,
                      struct err *err)
{
    int64_t from = 0;
    int rc = store_version(db, &from, err);

    if (rc < 0) {
        return rc;
    }
    if (from > list[count - 1].format) {
        return store_refuse_newer(s->dir, from, list[count - 1].format, err);
    }
    if (from == list[count - 1].format) { /* somebody else was faster */
        return db_checkpoint(db, err);
    }
    if (from ==
        0) { /* ours is made in one transaction: tables without a format are somebody else's */
        int64_t tables = 0;
        rc = one_number(db, SQL_STORE_TABLES, &tables, err);
        if (rc == 0 && tables > 0) {
            return refuse_foreign(s->dir, err);
        }
    } else {
        rc = before_migration(s, db, from, list, count, err);
    }
    if (rc == 0) {
        rc = apply_migrations(db, from, list, count, err);
    }
    if (rc == 0) {
        rc = db_checkpoint(db, err);
    }
    FAILPOINT("store.prepared");
    return rc;
}

int store_prepare(struct store *s, const struct migration *list, size_t count, struct err *err)
{
    CLEANUP(cleanup_close) int lock = -1;
    CLEANUP(cleanup_free) char *path = store_path(s, "wf.db");
    CLEANUP(cleanup_free) char *id_path = store_path(s, "id");
    struct db *db = NULL;

    int rc = writer_lock(s, &lock, err);
    if (rc == 0) {
        rc = store_make_folders(s->dir, err);
    }
    if (rc == 0 && access(id_path, F_OK) != 0) {
        char id[ID_LEN + 2];
        id_new(id);
        id[ID_LEN] = '\n';
        rc = fs_write_file(id_path, id, ID_LEN + 1, 0600, false, err);
    }
    FAILPOINT("store.folders");
    if (rc == 0) {
        store_make_private(path); /* what SQLite puts beside it has its mode */
        rc = db_open(path, DB_CREATE, store_statements, SQL_COUNT, &db, err);
    }
    if (rc == 0) {
        rc = prepare_db(s, db, list, count, err);
    }
    db_close(db);
    while (flock(s->lock_fd, LOCK_SH) != 0 && errno == EINTR) {
    }
    return rc;
}

int store_advise(const struct store *s, struct err *err)
{
    char text[sizeof(err->msg)];

    snprintf(text, sizeof(text), "%s", err->msg);
    if (strstr(text, "--store") || strstr(text, "the store ")) {
        return -(int)err->code;
    }
    if (err->code == ERR_CORRUPT && strstr(text, "wf.db")) {
        return refuse_foreign(s->dir, err);
    }
    if (err->sys == ENOSPC || err->sys == EDQUOT) {
        return err_set(err, ERR_IO, err->sys,
                       "the disk that holds the store %s is full: free some space (`wf cache gc` "
                       "removes what was long unused) or give another folder with --store",
                       s->dir);
    }
    if (err->code == ERR_DENIED || err->code == ERR_UNSUPPORTED) {
        err_set(err, err->code, 0,
                "cannot use the store %s: %s; give a folder of your own on a local disk with "
                "--store",
                s->dir, text);
    }
    return -(int)err->code;
}
