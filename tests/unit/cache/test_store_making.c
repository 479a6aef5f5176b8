/* SPDX-License-Identifier: Apache-2.0 */
/* What readers see of a store while it is made: nothing, without a word, and then all of it for good. */
#include "base/db.h"
#include "fixture.h"

#include <stdatomic.h>
#include <sys/mman.h>

TestSuite(cache_store_making, .init = setup_dir, .fini = teardown);

enum { READERS = 3, MAKINGS = 20 };

static const char *store_file(const char *name)
{
    return arena_printf(f.arena, "%s/%s", f.store, name);
}

/* 0, and whether there is a database to read from. */
static int look(bool *ret_empty, struct err *err)
{
    struct store_options o = {.dir = f.store, .read_only = true};
    struct store *s = NULL;
    int rc = store_open(&o, &s, err);

    *ret_empty = rc == 0 && !store_db(s);
    store_close(s);
    return rc;
}

/* A store's folders as its maker leaves them right before the database. */
static void made_without_db(void)
{
    open_store();
    store_close(take_ptr(f.s));
    unlink(store_file("wf.db"));
    unlink(store_file("wf.db-wal"));
    unlink(store_file("wf.db-shm"));
}

static void look_at_half_made(const char *until)
{
    struct err err = {0};
    bool empty = false;

    cr_expect_eq(look(&empty, &err), 0, "%s: %s", until, err.msg);
    cr_expect(empty, "%s", until);
}

Test(cache_store_making, half_made_is_empty_to_a_reader)
{
    struct err err = {0};
    struct db *db;
    bool empty = true;

    made_without_db();
    look_at_half_made("no file");
    close(open(store_file("wf.db"), O_CREAT | O_WRONLY, 0600));
    look_at_half_made("a file of no bytes");
    cr_assert_eq(db_open(store_file("wf.db"), DB_CREATE, store_statements, SQL_COUNT, &db, &err), 0,
                 "%s", err.msg);
    look_at_half_made("a header");
    cr_assert_eq(db_begin(db, &err), 0);
    cr_assert_eq(db_exec(db, store_migrations[0].sql, &err), 0, "%s", err.msg);
    const char *mark = arena_printf(f.arena, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                                    STORE_APPLICATION_ID, STORE_FORMAT);
    cr_assert_eq(db_exec(db, mark, &err), 0, "%s", err.msg);
    look_at_half_made("tables nobody committed");
    cr_assert_eq(db_commit(db, &err), 0);
    look_at_half_made("tables in the log alone");
    db_close(db);
    open_store();
    cr_expect_eq(look(&empty, &err), 0, "%s", err.msg);
    cr_expect_not(empty);
}

Test(cache_store_making, tables_without_a_format_are_not_empty_to_a_reader)
{
    struct err err = {0};
    bool empty;

    made_without_db();
    sql("CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
    cr_expect_eq(look(&empty, &err), -(int)ERR_UNSUPPORTED);
}

/* Readers come and go while a store is made and first written to. Whoever begins after somebody saw
 * the row sees it. Exit code: 0, 1 a failure, 2 the row was lost. */
static int read_until_closed(int closed, atomic_bool *seen)
{
    char c;

    for (;;) {
        bool before = atomic_load(seen), ended = read(closed, &c, 1) == 0;
        struct store_options o = {.dir = f.store, .read_only = true};
        struct store *s;
        CLEANUP(db_row_done) struct db_row *row = NULL;
        int found = 0;

        if (store_open(&o, &s, NULL) < 0) {
            return 1;
        }
        if (store_db(s)) {
            found = db_query(store_db(s), SQL_META_GET, &row, NULL, "t", "it");
            found = found < 0 ? found : db_step(row, NULL);
        }
        db_row_done(&row);
        store_close(s);
        if (found < 0) {
            return 1;
        }
        if (found == 0 && (before || ended)) {
            return 2;
        }
        if (ended) {
            return 0;
        }
        if (found) {
            atomic_store(seen, true);
        }
    }
}

static int apply_put(struct write *w, struct db *db, struct err *err)
{
    (void)w;
    int64_t rc = db_run(db, SQL_META_PUT, err, "tt", "it", "1");
    return rc < 0 ? (int)rc : 0;
}

static void make_beside_readers(void)
{
    atomic_bool *seen =
        mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct write put = {.apply = apply_put};
    struct err err = {0};
    int closed[2], status;
    pid_t pid[READERS];

    atomic_init(seen, false);
    cr_assert_eq(pipe2(closed, O_NONBLOCK | O_CLOEXEC), 0);
    for (int i = 0; i < READERS; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            close(closed[1]);
            _exit(read_until_closed(closed[0], seen));
        }
    }
    open_store();
    cr_expect_eq(store_write_now(f.s, &put, &err), 0, "%s", err.msg);
    close(closed[1]);
    for (int i = 0; i < READERS; i++) {
        waitpid(pid[i], &status, 0);
        cr_expect_eq(status, 0, "a reader failed (256) or lost the row (512): %d", status);
    }
    close(closed[0]);
    munmap(seen, sizeof(*seen));
}

Test(cache_store_making, what_one_reader_saw_every_later_one_sees)
{
    for (int i = 0; i < MAKINGS; i++) {
        store_close(take_ptr(f.s));
        struct err err = {0};
        cr_assert_eq(fs_remove_tree(f.store, &err), 0, "%s", err.msg);
        make_beside_readers();
    }
}
