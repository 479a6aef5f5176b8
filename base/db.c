/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that knows SQLite's C interface: connections, cached statements, errors in words.
 * Each statement is prepared at first use and kept (a slot); a slot lends its one row to a running
 * query, and a query of the same statement inside it gets a statement of its own.
 * A connection belongs to one thread (opened without SQLite's mutexes). */
#include "base/db.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUSY_TIMEOUT_MS = 10000, PARAMETERS_MAX = 100, WAL_HEADER = 32 /* bytes */ };

struct db_row {
    struct db *db;
    const char *name;
    sqlite3_stmt *stmt;
    int parameters;
    bool read_only;
    bool running; /* lent to a query */
    bool owned;   /* on the heap with a statement of its own, not a slot's */
};

/* The connection's own statements stand behind the caller's. */
enum own_statement { OWN_BEGIN, OWN_COMMIT, OWN_ROLLBACK, OWN_COUNT };
static const struct db_statement own_statements[OWN_COUNT] = {
    [OWN_BEGIN] = {"begin", "BEGIN IMMEDIATE"},
    [OWN_COMMIT] = {"commit", "COMMIT"},
    [OWN_ROLLBACK] = {"rollback", "ROLLBACK"},
};

struct db {
    sqlite3 *handle;
    const struct db_statement *statements;
    size_t count;
    struct db_row *slots; /* count + OWN_COUNT */
    enum db_mode mode;
    char *path, *wal_path;
};

/* Errors */

static int fail_disk_full(const struct db *db, const char *what, struct err *err)
{
    return err_set(err, ERR_IO, ENOSPC, "the disk is full: cannot write '%s' (%s); free some space",
                   db->path, what);
}

static int fail_access(const struct db *db, int rc, const char *what, struct err *err)
{
    if (db->mode == DB_READ && rc == SQLITE_READONLY) {
        return err_set(err, ERR_DENIED, 0, "the database '%s' is open read-only (%s)", db->path,
                       what);
    }
    if (db->mode == DB_READ) {
        return err_set(err, ERR_DENIED, 0,
                       "the database '%s' cannot be opened for reading (%s: %s); its folder must "
                       "be readable and, for the -wal and -shm files beside it, writable",
                       db->path, what, sqlite3_errstr(rc));
    }
    return err_set(err, ERR_DENIED, 0,
                   "the database '%s' is not writable (%s: %s); check the permissions of the file "
                   "and of its folder",
                   db->path, what, db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc));
}

/* Turns SQLite's answer to `what` (a statement's name) into our error. */
static int db_fail(const struct db *db, int rc, const char *what, struct err *err)
{
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);
    int sys = db->handle ? sqlite3_system_errno(db->handle) : 0;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return fail_disk_full(db, what, err);
    case SQLITE_IOERR:
        if (sys == ENOSPC || sys == EDQUOT) {
            return fail_disk_full(db, what, err);
        }
        return err_set(err, ERR_IO, sys, "cannot read or write the database '%s' (%s: %s, code %d)",
                       db->path, what, text, rc);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return fail_access(db, rc, what, err);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(err, ERR_CORRUPT, 0,
                       "'%s' is damaged or not a database (%s: %s); move it away and run again",
                       db->path, what, text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_BUSY, 0,
                       "the database '%s' is held by another process (%s: %s); try again when it "
                       "has finished",
                       db->path, what, text);
    case SQLITE_CONSTRAINT: {
        bool exists = rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
                      rc == SQLITE_CONSTRAINT_ROWID;
        return err_set(err, exists ? ERR_EXISTS : ERR_INTERNAL, 0, "database '%s': %s: %s",
                       db->path, what, text);
    }
    case SQLITE_INTERRUPT:
        return err_set(err, ERR_CANCELLED, 0, "database '%s': %s was interrupted", db->path, what);
    default:
        return err_set(err, ERR_INTERNAL, 0, "database '%s': %s: %s (code %d)", db->path, what,
                       text, rc);
    }
}

/* Opening */

static int pragma(struct db *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_fail(db, rc, sql, err);
}

/* WAL is a property of the file; asking for it also reads the file's header, so that what is no
 * database is found here and not at the first statement. */
static int use_wal(struct db *db, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    const char *sql = db->mode == DB_READ ? "PRAGMA schema_version" : "PRAGMA journal_mode=WAL";
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    bool wal =
        rc == SQLITE_ROW && sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    int result = 0;
    if (rc != SQLITE_ROW) {
        result = db_fail(db, rc, "open", err);
    } else if (!wal && db->mode != DB_READ) {
        result = err_set(err, ERR_UNSUPPORTED, 0,
                         "the file system of '%s' cannot hold a write-ahead log; put the database "
                         "on a local disk",
                         db->path);
    }
    sqlite3_finalize(stmt);
    return result;
}

static int configure(struct db *db, struct err *err)
{
    int keep_wal = 1;
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    int rc = 0;
    if (db->mode == DB_CREATE) { /* only an empty file takes it: what is freed can be given back */
        rc = pragma(db, "PRAGMA auto_vacuum=INCREMENTAL", err);
    }
    rc = rc < 0 ? rc : use_wal(db, err);
    if (rc < 0) {
        return rc;
    }
    if (db->mode != DB_READ && sqlite3_db_readonly(db->handle, "main") == 1) {
        return fail_access(db, SQLITE_READONLY, "open", err);
    }
    sqlite3_wal_autocheckpoint(db->handle, 0);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &keep_wal);
    /* What is mapped counts as ours: a pass over a large store must not take its size. */
    rc = pragma(db,
                "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY;"
                "PRAGMA mmap_size=16777216",
                err);
    if (rc == 0 && db->mode != DB_READ) {
        rc = pragma(db, "PRAGMA cache_size=-8192", err);
    }
    return rc;
}

static int refuse_network(const char *path, struct err *err)
{
    CLEANUP(cleanup_free) char *dir = fs_dirname(path);
    if (fs_kind_of(dir) != FS_NETWORK) {
        return 0;
    }
    return err_set(err, ERR_UNSUPPORTED, 0,
                   "'%s' is on a network file system, where SQLite's write-ahead log is not safe; "
                   "put the database on a local disk",
                   path);
}

static int no_chown(int fd, uid_t uid, gid_t gid)
{
    (void)fd;
    (void)uid;
    (void)gid;
    return 0;
}

/* The name to open a database by for DB_LOOK. Owned by the caller. The first connection to a database builds the index of its log anew, in the -shm file unless that may only be read; and where we are root SQLite
 * gives the files beside a database the owner they have already, which changes a time of theirs. Without a -shm file nobody can read the log but by making one. */
static char *look_name(const char *path)
{
    static const char hex[] = "0123456789ABCDEF";
    CLEANUP(cleanup_free) char *shm = xasprintf("%s-shm", path), *wal = xasprintf("%s-wal", path);
    struct stat st;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    struct str uri = {0};

    /* Whoever was killed between the header of the log and its first page leaves the header alone. SQLite takes that for a log that somebody replaces just now, and waits 10 seconds for the end of
     * it, where it may not build the index in the -shm file. */
    bool header_alone = stat(wal, &st) == 0 && st.st_size == WAL_HEADER;
    if (access(shm, F_OK) != 0 || header_alone) {
        return xstrdup(path);
    }
    if (vfs && vfs->iVersion >= 3 && geteuid() == 0) {
        vfs->xSetSystemCall(vfs, "fchown", (sqlite3_syscall_ptr)no_chown);
    }
    sb_puts(&uri, "file:");
    for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
        if (isalnum(*c) || strchr("/-._~", *c)) {
            sb_putc(&uri, (char)*c);
        } else {
            sb_putc(&uri, '%');
            sb_putc(&uri, hex[*c >> 4]);
            sb_putc(&uri, hex[*c & 0xf]);
        }
    }
    sb_puts(&uri, "?readonly_shm=1");
    return sb_take(&uri);
}

/* Nobody asks how much memory SQLite holds; counting takes a lock at each allocation. Before its first use, which is ours. */
static void set_up(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int db_open(const char *path, enum db_mode mode, const struct db_statement *statements,
            size_t count, struct db **ret, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bool look = mode == DB_LOOK;
    int flags = SQLITE_OPEN_NOMUTEX | (look ? SQLITE_OPEN_URI : 0);
    mode = look ? DB_READ : mode;
    flags |= mode == DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= mode == DB_CREATE ? SQLITE_OPEN_CREATE : 0;
    pthread_once(&once, set_up);
    int rc = refuse_network(path, err);
    if (rc < 0) {
        return rc;
    }
    if (mode != DB_CREATE && access(path, F_OK) < 0 && errno == ENOENT) {
        return err_set(err, ERR_NOT_FOUND, 0, "there is no database at '%s'", path);
    }
    struct db *db = xcalloc(1, sizeof(*db));
    db->path = xstrdup(path);
    db->wal_path = xasprintf("%s-wal", path);
    db->mode = mode;
    db->statements = statements;
    db->count = count;
    db->slots = xcalloc(count + OWN_COUNT, sizeof(*db->slots));
    CLEANUP(cleanup_free) char *name = look ? look_name(path) : xstrdup(path);
    int opened = sqlite3_open_v2(name, &db->handle, flags, NULL);
    rc = opened == SQLITE_OK ? configure(db, err) : db_fail(db, opened, "open", err);
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    *ret = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db) {
        return;
    }
    db_rollback(db);
    for (size_t i = 0; i < db->count + OWN_COUNT; i++) {
        sqlite3_finalize(db->slots[i].stmt);
    }
    /* A row the caller still holds keeps its statement: v2 waits for it instead of failing. */
    sqlite3_close_v2(db->handle);
    free(db->slots);
    free(db->wal_path);
    free(db->path);
    free(db);
}

/* Statements */

static int prepare(struct db *db, const struct db_statement *s, unsigned flags, struct db_row *row,
                   struct err *err)
{
    int rc = sqlite3_prepare_v3(db->handle, s->sql, -1, flags, &row->stmt, NULL);
    if (rc != SQLITE_OK) {
        return db_fail(db, rc, s->name, err);
    }
    row->db = db;
    row->name = s->name;
    row->parameters = sqlite3_bind_parameter_count(row->stmt);
    row->read_only = sqlite3_stmt_readonly(row->stmt) != 0;
    return 0;
}

/* Lends the slot's statement, or one of its own when the slot's is running. */
static int borrow(struct db *db, size_t id, struct db_row **ret, struct err *err)
{
    WF_ASSERT(id < db->count + OWN_COUNT);
    struct db_row *row = &db->slots[id];
    const struct db_statement *s =
        id < db->count ? &db->statements[id] : &own_statements[id - db->count];
    if (!row->stmt) {
        int rc = prepare(db, s, SQLITE_PREPARE_PERSISTENT, row, err);
        if (rc < 0) {
            return rc;
        }
    } else if (row->running) {
        row = xcalloc(1, sizeof(*row));
        row->owned = true;
        int rc = prepare(db, s, 0, row, err);
        if (rc < 0) {
            free(row);
            return rc;
        }
    }
    row->running = true;
    *ret = row;
    return 0;
}

void db_row_done(struct db_row **rowp)
{
    struct db_row *row = *rowp;
    *rowp = NULL;
    if (!row) {
        return;
    }
    if (row->owned) {
        sqlite3_finalize(row->stmt);
        free(row);
        return;
    }
    sqlite3_reset(row->stmt);
    row->running = false;
}

static int bind_one(sqlite3_stmt *stmt, int at, char type, va_list *ap,
                    sqlite3_destructor_type life)
{
    switch (type) {
    case 'i':
    case 'u':
        return sqlite3_bind_int64(stmt, at, va_arg(*ap, int64_t));
    case 'd':
        return sqlite3_bind_double(stmt, at, va_arg(*ap, double));
    case 't':
        return sqlite3_bind_text(stmt, at, va_arg(*ap, const char *), -1, life);
    case 'b': {
        const void *data = va_arg(*ap, const void *);
        size_t len = va_arg(*ap, size_t);
        return sqlite3_bind_blob64(stmt, at, data, len, life);
    }
    case 'n':
        return sqlite3_bind_null(stmt, at);
    default:
        WF_ASSERT(type == 'n'); /* a letter of `types` nobody knows */
        return SQLITE_MISUSE;
    }
}

static int bind_all(struct db_row *row, const char *types, va_list *ap,
                    sqlite3_destructor_type life, struct err *err)
{
    int at = 0;
    for (const char *t = types; *t; t++) {
        int rc = bind_one(row->stmt, ++at, *t, ap, life);
        if (rc != SQLITE_OK) {
            return db_fail(row->db, rc, row->name, err);
        }
    }
    WF_ASSERT(at == row->parameters);
    return 0;
}

static int64_t run_to_end(struct db_row *row, struct err *err)
{
    int rc;
    do {
        rc = sqlite3_step(row->stmt);
    } while (rc == SQLITE_ROW);
    if (rc != SQLITE_DONE) {
        return db_fail(row->db, rc, row->name, err);
    }
    return row->read_only ? 0 : sqlite3_changes64(row->db->handle);
}

int64_t db_run(struct db *db, int statement, struct err *err, const char *types, ...)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    WF_ASSERT(statement >= 0 && (size_t)statement < db->count);
    int rc = borrow(db, (size_t)statement, &row, err);
    if (rc < 0) {
        return rc;
    }
    WF_ASSERT(row->read_only || db_in_transaction(db));
    va_list ap;
    va_start(ap, types);
    /* The arguments outlive this call and the statement ends in it: no copies. */
    rc = bind_all(row, types, &ap, SQLITE_STATIC, err);
    va_end(ap);
    return rc < 0 ? rc : run_to_end(row, err);
}

int64_t db_last_id(struct db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

int db_query(struct db *db, int statement, struct db_row **ret, struct err *err, const char *types,
             ...)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    WF_ASSERT(statement >= 0 && (size_t)statement < db->count);
    int rc = borrow(db, (size_t)statement, &row, err);
    if (rc < 0) {
        return rc;
    }
    WF_ASSERT(row->read_only || db_in_transaction(db));
    va_list ap;
    va_start(ap, types);
    rc = bind_all(row, types, &ap, SQLITE_TRANSIENT, err);
    va_end(ap);
    if (rc == 0) {
        *ret = take_ptr(row);
    }
    return rc;
}

int db_step(struct db_row *row, struct err *err)
{
    int rc = sqlite3_step(row->stmt);
    if (rc == SQLITE_ROW) {
        return 1;
    }
    return rc == SQLITE_DONE ? 0 : db_fail(row->db, rc, row->name, err);
}

int64_t db_i64(struct db_row *row, int column)
{
    return sqlite3_column_int64(row->stmt, column);
}

double db_f64(struct db_row *row, int column)
{
    return sqlite3_column_double(row->stmt, column);
}

const char *db_text(struct db_row *row, int column)
{
    return (const char *)sqlite3_column_text(row->stmt, column);
}

const void *db_blob(struct db_row *row, int column, size_t *ret_len)
{
    const void *data = sqlite3_column_blob(row->stmt, column);
    if (ret_len) {
        *ret_len = (size_t)sqlite3_column_bytes(row->stmt, column);
    }
    /* SQLite gives NULL for a blob of no bytes; only the SQL NULL may look like that. */
    return !data && !db_is_null(row, column) ? "" : data;
}

bool db_is_null(struct db_row *row, int column)
{
    return sqlite3_column_type(row->stmt, column) == SQLITE_NULL;
}

/* Transactions and upkeep */

int db_exec(struct db *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_fail(db, rc, "exec", err);
}

static int run_own(struct db *db, enum own_statement which, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = borrow(db, db->count + which, &row, err);
    if (rc < 0) {
        return rc;
    }
    int64_t changed = run_to_end(row, err);
    return changed < 0 ? (int)changed : 0;
}

int db_begin(struct db *db, struct err *err)
{
    return run_own(db, OWN_BEGIN, err);
}

int db_commit(struct db *db, struct err *err)
{
    return run_own(db, OWN_COMMIT, err);
}

void db_rollback(struct db *db)
{
    if (db->handle && db_in_transaction(db)) {
        run_own(db, OWN_ROLLBACK, NULL);
    }
}

bool db_in_transaction(const struct db *db)
{
    return sqlite3_get_autocommit(db->handle) == 0;
}

int db_checkpoint(struct db *db, struct err *err)
{
    int rc = sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_fail(db, rc, "checkpoint", err);
}

int db_empty_log(struct db *db, struct err *err)
{
    sqlite3_busy_timeout(db->handle, 0);
    int rc = sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED) {
        return 1;
    }
    return rc == SQLITE_OK ? 0 : db_fail(db, rc, "checkpoint", err);
}

int64_t db_wal_bytes(struct db *db)
{
    struct stat st;
    return stat(db->wal_path, &st) == 0 ? (int64_t)st.st_size : 0;
}

int db_backup(struct db *db, const char *path, struct err *err)
{
    static const struct db_statement vacuum = {"backup", "VACUUM INTO ?1"};
    struct db_row row = {0};
    if (access(path, F_OK) == 0) {
        return err_set(err, ERR_EXISTS, 0, "the backup '%s' exists already; move it away", path);
    }
    int rc = prepare(db, &vacuum, 0, &row, err);
    if (rc < 0) {
        return rc;
    }
    sqlite3_bind_text(row.stmt, 1, path, -1, SQLITE_STATIC);
    int64_t changed = run_to_end(&row, err);
    sqlite3_finalize(row.stmt);
    return changed < 0 ? (int)changed : 0;
}

const char *db_library_version(void)
{
    return sqlite3_libversion();
}
