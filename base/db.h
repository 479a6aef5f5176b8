/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite behind one file. Statements are known by id, prepared at first use and kept; a connection belongs to one thread. */
#ifndef WF_BASE_DB_H
#define WF_BASE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct db;
struct db_row; /* a running statement */

struct db_statement {
    const char *name; /* for messages */
    const char *sql;
};
/* DB_LOOK: reads, and leaves the -wal and -shm files beside the database as they are, to their times; only in a process that opens the same database in no other way meanwhile. */
enum db_mode { DB_READ, DB_WRITE, DB_CREATE, DB_LOOK };

/* Opens with WAL, synchronous=NORMAL, foreign_keys off, wal_autocheckpoint 0, no checkpoint on close, busy_timeout 10 s. `statements` (count) is borrowed
 * for the life of the connection; ids are indices into it. A file that is not a database, cannot be read or written, is on a full disk: one clear sentence. */
int db_open(const char *path, enum db_mode mode, const struct db_statement *statements,
            size_t count, struct db **ret, struct err *err);
void db_close(struct db *db);

int db_exec(struct db *db, const char *sql,
            struct err *err);                 /* several statements, no parameters */
int db_begin(struct db *db, struct err *err); /* BEGIN IMMEDIATE */
int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db); /* harmless outside a transaction */
bool db_in_transaction(const struct db *db);
/* Binds by format and runs to the end. Types: i int64_t · u uint64_t/uint32_t as int64_t (pass int64_t) · d double · t const char * (NULL -> NULL) ·
 * b const void *, size_t (NULL -> NULL) · n (no argument) NULL. Writes outside a transaction are a WF_ASSERT. Returns the number of rows changed, or negative. */
int64_t db_run(struct db *db, int statement, struct err *err, const char *types, ...);
int64_t db_last_id(struct db *db);
/* Starts a query: *ret is owned by the caller, db_row_done() ends it (fits CLEANUP(db_row_done)). Borrowed values live until the next step. */
int db_query(struct db *db, int statement, struct db_row **ret, struct err *err, const char *types,
             ...);
/* 1: a row, 0: no more, negative: error. */
int db_step(struct db_row *row, struct err *err);
int64_t db_i64(struct db_row *row, int column);
double db_f64(struct db_row *row, int column);
const char *db_text(struct db_row *row, int column); /* borrowed, NULL for NULL */
const void *db_blob(struct db_row *row, int column, size_t *ret_len);
bool db_is_null(struct db_row *row, int column);
void db_row_done(struct db_row **row);
int db_checkpoint(struct db *db, struct err *err); /* PASSIVE */
/* As db_checkpoint(), and empties the log, so that the next who opens has nothing to read through. Never waits: 1, somebody reads from it and it stays. */
int db_empty_log(struct db *db, struct err *err);
int64_t db_wal_bytes(struct db *db);                             /* size of the -wal file now */
int db_backup(struct db *db, const char *path, struct err *err); /* VACUUM INTO */
const char *db_library_version(void);

#endif
