/* SPDX-License-Identifier: Apache-2.0 */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/units.h"
#include "temp.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INSERT, ALL, BY_NAME, BY_ID, RAISE, WRONG, COUNT };
static const struct db_statement statements[COUNT] = {
    [INSERT] = {"insert thing", "INSERT INTO thing(id, name, data, size) VALUES(?1, ?2, ?3, ?4)"},
    [ALL] = {"all things", "SELECT id, name, data, size FROM thing ORDER BY id"},
    [BY_NAME] = {"thing by name", "SELECT id FROM thing WHERE name = ?1 AND data = ?2"},
    [BY_ID] = {"thing by id", "SELECT name FROM thing WHERE id = ?1"},
    [RAISE] = {"raise all", "UPDATE thing SET size = size + ?1"},
    [WRONG] = {"wrong statement", "SELECT missing FROM nowhere"},
};
static const char schema[] =
    "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT, data BLOB, size REAL) STRICT;";

static char *dir;
static char *path;
static struct db *db;
static struct err err;

static struct db *open_db(const char *at, enum db_mode mode)
{
    struct db *opened = NULL;
    cr_assert_eq(db_open(at, mode, statements, COUNT, &opened, &err), 0, "%s", err.msg);
    return opened;
}

static void set_up(void)
{
    dir = temp_new();
    path = xstrdup(below(dir, "things.db"));
    db = open_db(path, DB_CREATE);
    cr_assert_eq(db_exec(db, schema, &err), 0, "%s", err.msg);
}

static void tear_down(void)
{
    db_close(db);
    temp_done(dir);
    free(path);
}

TestSuite(base_db, .init = set_up, .fini = tear_down, .timeout = 30);

static void insert(int64_t id, const char *name)
{
    cr_assert_eq(db_run(db, INSERT, &err, "itbd", id, name, "b\0c", (size_t)3, 0.5), 1, "%s",
                 err.msg);
}

static void fill(int count)
{
    cr_assert_eq(db_begin(db, &err), 0);
    for (int i = 1; i <= count; i++) {
        insert(i, "name");
    }
    cr_assert_eq(db_commit(db, &err), 0, "%s", err.msg);
}

static int64_t count_rows(struct db *of)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int64_t count = 0;
    cr_assert_eq(db_query(of, ALL, &row, &err, ""), 0, "%s", err.msg);
    while (db_step(row, &err) == 1) {
        count++;
    }
    return count;
}

Test(base_db, values_come_back)
{
    struct db_row *row = NULL;
    size_t len = 0;
    cr_assert_eq(db_begin(db, &err), 0);
    insert(7, "seven");
    cr_assert_eq(db_last_id(db), 7);
    cr_assert_eq(db_run(db, INSERT, &err, "itbn", (int64_t)8, NULL, NULL, (size_t)0), 1);
    cr_assert_eq(db_run(db, INSERT, &err, "itbn", (int64_t)9, "", "", (size_t)0), 1);
    cr_assert(db_in_transaction(db));
    cr_assert_eq(db_commit(db, &err), 0);
    cr_assert(!db_in_transaction(db));

    cr_assert_eq(db_query(db, ALL, &row, &err, ""), 0);
    cr_assert_eq(db_step(row, &err), 1);
    cr_assert_eq(db_i64(row, 0), 7);
    cr_assert_str_eq(db_text(row, 1), "seven");
    cr_assert_eq(memcmp(db_blob(row, 2, &len), "b\0c", 3), 0);
    cr_assert_eq(len, 3);
    cr_assert_eq(db_f64(row, 3), 0.5);
    cr_assert_eq(db_step(row, &err), 1);
    cr_assert(db_is_null(row, 1));
    cr_assert_null(db_text(row, 1));
    cr_assert_null(db_blob(row, 2, &len));
    cr_assert(db_is_null(row, 3));
    cr_assert_eq(db_step(row, &err), 1);
    cr_assert_str_eq(db_text(row, 1), "");
    cr_assert_not_null(db_blob(row, 2, &len)); /* empty is not NULL */
    cr_assert_eq(len, 0);
    cr_assert_eq(db_step(row, &err), 0);
    db_row_done(&row);
    cr_assert_null(row);
}

Test(base_db, run_counts_changes)
{
    fill(5);
    cr_assert_eq(db_begin(db, &err), 0);
    cr_assert_eq(db_run(db, RAISE, &err, "d", 1.0), 5);
    cr_assert_eq(db_commit(db, &err), 0);
}

Test(base_db, a_statement_runs_inside_itself)
{
    CLEANUP(db_row_done) struct db_row *outer = NULL;
    int64_t pairs = 0;
    fill(3);
    cr_assert_eq(db_query(db, ALL, &outer, &err, ""), 0);
    while (db_step(outer, &err) == 1) {
        pairs += count_rows(db);
    }
    cr_assert_eq(pairs, 9);
}

Test(base_db, bound_values_need_not_stay)
{
    struct db_row *row = NULL;
    char name[] = "name", data[] = "b\0c";
    fill(1);
    cr_assert_eq(db_query(db, BY_NAME, &row, &err, "tb", name, data, (size_t)3), 0);
    memset(name, '?', sizeof(name) - 1);
    memset(data, '?', sizeof(data));
    cr_assert_eq(db_step(row, &err), 1);
    cr_assert_eq(db_i64(row, 0), 1);
    db_row_done(&row);
}

Test(base_db, rollback_is_harmless_outside)
{
    db_rollback(db);
    cr_assert_eq(db_begin(db, &err), 0);
    insert(1, "gone");
    db_rollback(db);
    db_rollback(db);
    cr_assert_eq(count_rows(db), 0);
}

Test(base_db, close_rolls_back)
{
    cr_assert_eq(db_begin(db, &err), 0);
    insert(1, "gone");
    db_close(db);
    db = open_db(path, DB_WRITE);
    cr_assert_eq(count_rows(db), 0);
}

Test(base_db, write_outside_a_transaction_aborts, .signal = SIGABRT)
{
    insert(1, "never");
}

Test(base_db, wrong_number_of_values_aborts, .signal = SIGABRT)
{
    struct db_row *row = NULL;
    db_query(db, BY_ID, &row, &err, "");
}

Test(base_db, errors_name_the_statement)
{
    struct db_row *row = NULL;
    cr_assert_eq(db_query(db, WRONG, &row, &err, ""), -ERR_INTERNAL);
    cr_assert(strstr(err.msg, "wrong statement"), "%s", err.msg);
    cr_assert(strstr(err.msg, "nowhere"), "%s", err.msg);
    fill(1);
    cr_assert_eq(db_begin(db, &err), 0);
    cr_assert_eq(db_run(db, INSERT, &err, "itbd", (int64_t)1, "a", "b", (size_t)1, 0.0),
                 -ERR_EXISTS);
    cr_assert(strstr(err.msg, "insert thing"), "%s", err.msg);
    cr_assert(strstr(err.msg, "thing.id"), "%s", err.msg);
    db_rollback(db);
}

Test(base_db, the_log_stays_until_a_checkpoint)
{
    struct stat before, after;
    fill(1000);
    int64_t wal = db_wal_bytes(db);
    cr_assert_gt(wal, 10000);
    cr_assert_eq(stat(path, &before), 0);
    db_close(db);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(after.st_size, before.st_size); /* no checkpoint on close */
    db = open_db(path, DB_WRITE);
    cr_assert_eq(db_wal_bytes(db), wal);
    cr_assert_eq(count_rows(db), 1000);
    cr_assert_eq(db_checkpoint(db, &err), 0, "%s", err.msg);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_gt(after.st_size, before.st_size);
}

Test(base_db, readers_read_while_one_writes)
{
    struct db *reader = open_db(path, DB_READ);
    fill(2);
    cr_assert_eq(db_begin(db, &err), 0);
    insert(3, "not yet");
    cr_assert_eq(count_rows(reader), 2);
    cr_assert_eq(db_commit(db, &err), 0);
    cr_assert_eq(count_rows(reader), 3);
    db_begin(reader, &err);
    cr_assert_eq(db_run(reader, RAISE, &err, "d", 1.0), -ERR_DENIED);
    cr_assert(strstr(err.msg, path), "%s", err.msg);
    cr_assert(strstr(err.msg, "read-only"), "%s", err.msg);
    db_rollback(reader);
    db_close(reader);
}

/* By its times: nobody else is there, so that the log's index must be built anew. */
Test(base_db, who_looks_leaves_no_trace)
{
    static const char *const files[] = {"things.db", "things.db-wal", "things.db-shm"};
    struct stat before[ARRAY_LEN(files)], after;
    fill(50);
    db_close(db);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        cr_assert_eq(stat(below(dir, files[i]), &before[i]), 0);
    }
    db = open_db(path, DB_LOOK);
    cr_assert_eq(count_rows(db), 50);
    db_begin(db, &err);
    cr_assert_eq(db_run(db, RAISE, &err, "d", 1.0), -ERR_DENIED);
    db_rollback(db);
    db_close(db);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        cr_assert_eq(stat(below(dir, files[i]), &after), 0);
        cr_expect_eq(memcmp(&before[i].st_mtim, &after.st_mtim, sizeof(after.st_mtim)), 0);
        cr_expect_eq(memcmp(&before[i].st_ctim, &after.st_ctim, sizeof(after.st_ctim)), 0);
        cr_expect_eq(before[i].st_size, after.st_size);
    }
    db = open_db(path, DB_LOOK);
}

/* Killed in between: the log of a checkpointed database has its header and no page yet. */
Test(base_db, who_looks_does_not_wait_for_the_dead)
{
    fill(50);
    cr_assert_eq(db_checkpoint(db, &err), 0, "%s", err.msg);
    db_close(db);
    cr_assert_eq(truncate(below(dir, "things.db-wal"), 32), 0);
    int64_t began = mono_us();
    db = open_db(path, DB_LOOK);
    cr_assert_eq(count_rows(db), 50);
    cr_expect_lt(mono_us() - began, 5000000);
}

Test(base_db, what_is_no_database)
{
    const char *other = below(dir, "other.db");
    struct db *none = NULL;
    char junk[8192];
    memset(junk, 'j', sizeof(junk));
    cr_assert_eq(db_open(other, DB_READ, statements, COUNT, &none, &err), -ERR_NOT_FOUND);
    cr_assert_eq(db_open(other, DB_WRITE, statements, COUNT, &none, &err), -ERR_NOT_FOUND);
    cr_assert_eq(access(other, F_OK), -1);
    cr_assert_eq(fs_write_file(other, junk, sizeof(junk), 0644, false, &err), 0);
    cr_assert_eq(db_open(other, DB_READ, statements, COUNT, &none, &err), -ERR_CORRUPT);
    cr_assert_eq(db_open(other, DB_WRITE, statements, COUNT, &none, &err), -ERR_CORRUPT);
    cr_assert_eq(db_open(other, DB_CREATE, statements, COUNT, &none, &err), -ERR_CORRUPT);
    cr_assert(strstr(err.msg, other), "%s", err.msg);
    const char *nowhere = below(dir, "no/such/folder/x.db");
    cr_assert_eq(db_open(nowhere, DB_CREATE, statements, COUNT, &none, &err), -ERR_DENIED);
    cr_assert_null(none);
}

Test(base_db, unwritable_file)
{
    struct db *none = NULL;
    if (geteuid() == 0) { /* the privileges of root pass over permissions */
        cr_assert_eq(setegid(65534), 0);
        cr_assert_eq(chmod(dir, 0755), 0);
        cr_assert_eq(seteuid(65534), 0);
    } else {
        cr_assert_eq(chmod(path, 0444), 0);
    }
    int rc = db_open(path, DB_WRITE, statements, COUNT, &none, &err);
    if (geteuid() == 65534) {
        cr_assert_eq(seteuid(0), 0);
        cr_assert_eq(setegid(0), 0);
    }
    cr_assert_eq(rc, -ERR_DENIED, "%d %s", rc, err.msg);
    cr_assert(strstr(err.msg, "not writable"), "%s", err.msg);
}

Test(base_db, full_disk)
{
    /* A page limit is how SQLite says "full" without a disk that is. */
    cr_assert_eq(db_exec(db, "PRAGMA max_page_count=3", &err), 0);
    cr_assert_eq(db_begin(db, &err), 0);
    int64_t rc = 0;
    for (int i = 1; i < 10000 && rc >= 0; i++) {
        rc = db_run(db, INSERT, &err, "itbd", (int64_t)i, "name", "data", (size_t)4, 0.0);
    }
    cr_assert_eq(rc, -ERR_IO);
    cr_assert(strstr(err.msg, "the disk is full"), "%s", err.msg);
    db_rollback(db);
    cr_assert_eq(count_rows(db), 0);
}

Test(base_db, backup)
{
    const char *copy = below(dir, "copy.db");
    fill(10);
    cr_assert_eq(db_backup(db, copy, &err), 0, "%s", err.msg);
    cr_assert_eq(db_backup(db, copy, &err), -ERR_EXISTS);
    struct db *other = open_db(copy, DB_WRITE);
    cr_assert_eq(count_rows(other), 10);
    db_close(other);
    cr_assert_gt(strlen(db_library_version()), 0);
}
