/* SPDX-License-Identifier: Apache-2.0 */
#include "base/db.h"
#include "cache/failpoint.h"
#include "cache/gc.h"
#include "fixture.h"

#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

TestSuite(cache_store, .init = setup, .fini = teardown);

static const char *store_file(const char *name)
{
    return arena_printf(f.arena, "%s/%s", f.store, name);
}

static int open_code(const char *dir, struct err *err)
{
    struct store_options o = {.dir = dir, .loop = f.loop};
    struct store *s = NULL;
    int rc = store_open(&o, &s, err);

    store_close(s);
    return rc;
}

/* --- a write that counts --- */

struct put {
    struct write write;
    char name[40];
    bool fail;
    int applied, done, failed;
    int *order, *counter;
};

static int apply_put(struct write *w, struct db *db, struct err *err)
{
    struct put *p = CONTAINER_OF(w, struct put, write);

    p->applied++;
    if (p->fail) {
        return err_set(err, ERR_INVALID, 0, "as wished");
    }
    int64_t rc = db_run(db, SQL_META_PUT, err, "tt", p->name, "1");
    return rc < 0 ? (int)rc : 0;
}

static void done_put(struct write *w, const struct err *err)
{
    struct put *p = CONTAINER_OF(w, struct put, write);

    p->done++;
    p->failed += err != NULL;
    if (p->order) {
        *p->order = (*p->counter)++;
    }
}

static struct put new_put(const char *name)
{
    struct put p = {.write = {.apply = apply_put, .done = done_put}};

    snprintf(p.name, sizeof(p.name), "%s", name);
    return p;
}

static int64_t metas(const char *like)
{
    return sql_number(
        arena_printf(f.arena, "SELECT COUNT(*) FROM meta WHERE name LIKE '%s'", like));
}

/* --- opening --- */

Test(cache_store, is_made_private_and_kept)
{
    struct stat st;
    char id[ID_LEN + 1];

    cr_assert_eq(stat(f.store, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0700);
    cr_expect(exists(store_file("objects/00")) && exists(store_file("objects/ff")));
    cr_expect_eq(strlen(store_id(f.s)), ID_LEN);
    strcpy(id, store_id(f.s));
    reopen();
    cr_expect_str_eq(store_id(f.s), id);
    cr_expect_null(store_notes(f.s));
}

Test(cache_store, read_only_makes_nothing)
{
    struct store_options o = {.dir = at("nowhere"), .read_only = true};
    struct store *s;
    struct err err = {0};

    cr_assert_eq(store_open(&o, &s, &err), 0, "%s", err.msg);
    cr_expect_null(store_db(s));
    cr_expect_eq(store_pending(s), 0);
    store_flush(s);
    cr_expect_eq(store_sync(s, &err), 0);
    store_close(s);
    cr_expect_not(exists(at("nowhere")));
}

static void content_of(const char *path, struct str *out)
{
    struct err err = {0};

    cr_assert_eq(fs_read_file(path, 1 << 30, out, &err), 0, "%s", err.msg);
}

Test(cache_store, newer_is_refused_and_untouched)
{
    CLEANUP(sb_done) struct str before = {0};
    CLEANUP(sb_done) struct str after = {0};
    struct err err = {0};
    struct stat st, st2;

    store_close(take_ptr(f.s));
    sql("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)");
    unlink(store_file("wf.db-shm"));
    content_of(store_file("wf.db"), &before);
    stat(store_file("wf.db"), &st);
    cr_expect_eq(open_code(f.store, &err), -(int)ERR_UNSUPPORTED);
    cr_expect_not_null(strstr(err.msg, "newer wf"), "%s", err.msg);
    cr_expect_not_null(strstr(err.msg, f.store), "%s", err.msg);
    content_of(store_file("wf.db"), &after);
    stat(store_file("wf.db"), &st2);
    cr_expect(before.len == after.len && memcmp(before.data, after.data, after.len) == 0);
    cr_expect_eq(st.st_mtim.tv_nsec, st2.st_mtim.tv_nsec);
    cr_expect_not(exists(store_file("wf.db-shm")));
}

Test(cache_store, newer_in_the_log_only_is_refused)
{
    struct err err = {0};

    sql("PRAGMA user_version = 99"); /* our open connection keeps the log from being folded in */
    cr_expect_eq(open_code(f.store, &err), -(int)ERR_UNSUPPORTED);
}

Test(cache_store, damaged_or_foreign_says_what_to_do)
{
    struct err err = {0};

    store_close(take_ptr(f.s));
    write_file("store/wf.db", "this is no database, but it is long enough to hold a header of one "
                              "hundred bytes, and then some more of it to be sure of that");
    cr_expect_eq(open_code(f.store, &err), -(int)ERR_CORRUPT);
    cr_expect_not_null(strstr(err.msg, "move the folder away"), "%s", err.msg);

    mkdir(at("other"), 0755);
    snprintf(f.store, sizeof(f.store), "%s/other", f.dir);
    sql("PRAGMA application_id = 7; PRAGMA user_version = 3; CREATE TABLE t(x)");
    cr_expect_eq(open_code(f.store, &err), -(int)ERR_CORRUPT);
    cr_expect_not_null(strstr(err.msg, "not a store"), "%s", err.msg);
}

Test(cache_store, damaged_inside_says_what_to_do)
{
    struct err err = {0};

    store_close(take_ptr(f.s));
    unlink(store_file("wf.db-wal"));
    unlink(store_file("wf.db-shm"));
    int fd = open(store_file("wf.db"), O_RDWR);
    char junk[4096 - 100];
    memset(junk, 'x', sizeof(junk));
    cr_assert_eq(pwrite(fd, junk, sizeof(junk), 100), (ssize_t)sizeof(junk));
    close(fd);
    cr_expect_eq(open_code(f.store, &err), -(int)ERR_CORRUPT);
    cr_expect_not_null(strstr(err.msg, "move the folder away"), "%s", err.msg);
}

Test(cache_store, unwritable_says_what_to_do)
{
    struct err err = {0};

    cr_expect_lt(open_code("/proc/no-such-place/store", &err), 0);
    cr_expect_not_null(strstr(err.msg, "--store"), "%s", err.msg);
    store_close(take_ptr(f.s));
    chmod(f.dir, 0755);
    chmod(f.store, 0555);
    if (geteuid() == 0) {
        cr_assert_eq(seteuid(65534), 0);
    }
    err = (struct err){0};
    int rc = open_code(f.store, &err);
    if (getuid() == 0) {
        cr_assert_eq(seteuid(0), 0);
    }
    chmod(f.store, 0700);
    cr_expect_eq(rc, -(int)ERR_DENIED, "%s", err.msg);
    cr_expect_not_null(strstr(err.msg, "--store"), "%s", err.msg);
}

Test(cache_store, half_made_is_taken_up)
{
    store_close(take_ptr(f.s));
    unlink(store_file("wf.db"));
    unlink(store_file("wf.db-wal"));
    unlink(store_file("wf.db-shm"));
    close(open(store_file("wf.db"), O_CREAT | O_WRONLY, 0600));
    open_store();
    cr_expect_eq(sql_number("PRAGMA user_version"), STORE_FORMAT);
}

Test(cache_store, lost_parts_are_made_again)
{
    char id[ID_LEN + 1];

    strcpy(id, store_id(f.s));
    unlink(store_file("id"));
    rmdir(store_file("tmp"));
    reopen();
    cr_expect_eq(strlen(store_id(f.s)), ID_LEN);
    cr_expect_str_neq(store_id(f.s), id);
    cr_expect(exists(store_file("tmp")));
}

Test(cache_store, folder_comes_from_the_environment)
{
    struct store *s;
    struct store_options o = {.read_only = true};
    struct err err = {0};

    setenv("XDG_STATE_HOME", at("state"), 1);
    unsetenv("WF_STORE");
    cr_assert_eq(store_open(&o, &s, &err), 0);
    cr_expect_str_eq(store_dir(s), at("state/wf"));
    store_close(s);
    setenv("WF_STORE", at("mine/"), 1);
    cr_assert_eq(store_open(&o, &s, &err), 0);
    cr_expect_str_eq(store_dir(s), at("mine"));
    store_close(s);
}

/* --- migration --- */

static const struct migration two[] = {
    {1, "A new store", "CREATE TABLE never(x)"},
    {2, "The store now has a table more", "CREATE TABLE more(x); INSERT INTO more VALUES(7)"},
};

Test(cache_store, migration_keeps_a_backup_and_says_so)
{
    struct err err = {0};

    add_entry("kept", "x", 1);
    cr_assert_eq(store_prepare(f.s, two, 2, &err), 0, "%s", err.msg);
    cr_expect_eq(sql_number("SELECT x FROM more"), 7);
    cr_expect_eq(sql_number("PRAGMA user_version"), 2);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM entries"), 1);
    cr_expect_not_null(strstr(store_notes(f.s), "a table more"));
    cr_expect(exists(store_file("wf.db.format-1")));
    struct err newer = {0};
    cr_expect_eq(open_code(f.store, &newer), -(int)ERR_UNSUPPORTED);
}

Test(cache_store, migration_waits_for_nobody_but_says_who)
{
    struct err err = {0};
    int fd = open(store_file("store.lock"), O_RDWR);

    cr_assert_eq(flock(fd, LOCK_SH), 0); /* another wf */
    cr_expect_eq(store_prepare(f.s, two, 2, &err), -(int)ERR_BUSY);
    cr_expect_eq(sql_number("PRAGMA user_version"), 1);
    close(fd);
}

static void die_in_migration(void)
{
    struct err err;

    store_prepare(f.s, two, 2, &err);
}

Test(cache_store, migration_that_died_is_done_again)
{
    static const char *const points[] = {"store.backup:kill", "store.migrate:kill",
                                         "store.migrated:kill", "store.prepared:kill"};
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        failpoint_set(points[i]);
        int status = in_child(die_in_migration);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", points[i]);
        int64_t version = sql_number("PRAGMA user_version");
        cr_expect_eq(version, i < 3 ? 1 : 2, "%s", points[i]);
        if (i == 0) {
            unlink(store_file("wf.db.format-1"));
        }
    }
    failpoint_set(NULL);
    cr_assert_eq(store_prepare(f.s, two, 2, &err), 0, "%s", err.msg);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM more"), 1);
}

/* --- writes --- */

Test(cache_store, writes_end_on_the_loop_in_order)
{
    enum { COUNT = 1000 };
    static struct put puts[COUNT];
    int order[COUNT], counter = 0;

    for (int i = 0; i < COUNT; i++) {
        puts[i] = new_put(arena_printf(f.arena, "n%d", i));
        puts[i].order = &order[i];
        puts[i].counter = &counter;
        store_post(f.s, &puts[i].write);
    }
    cr_expect_eq(store_pending(f.s), COUNT);
    loop_run(f.loop); /* ends by itself: nothing else keeps it */
    cr_expect_eq(store_pending(f.s), 0);
    cr_expect_eq(metas("n%"), COUNT);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(order[i], i);
        cr_assert_eq(puts[i].applied, 1);
        cr_assert_eq(puts[i].failed, 0);
    }
}

Test(cache_store, flush_works_while_the_loop_does_not_run)
{
    struct put p = new_put("flushed");

    store_post(f.s, &p.write);
    store_flush(f.s);
    cr_expect_eq(p.done, 1);
    cr_expect_eq(metas("flushed"), 1);
}

Test(cache_store, a_failure_takes_nobody_along)
{
    struct put a = new_put("fa"), bad = new_put("bad"), b = new_put("fb");

    bad.fail = true;
    store_post(f.s, &a.write);
    store_post(f.s, &bad.write);
    store_post(f.s, &b.write);
    store_flush(f.s);
    cr_expect(a.done == 1 && b.done == 1 && bad.done == 1);
    cr_expect(a.failed == 0 && b.failed == 0 && bad.failed == 1);
    cr_expect_eq(metas("f_"), 2);
    cr_expect_eq(metas("bad"), 0);
}

static struct put chained;

static void done_and_flush(struct write *w, const struct err *err)
{
    done_put(w, err);
    store_post(f.s, &chained.write);
    store_flush(f.s);
    cr_expect_eq(chained.done, 1);
}

Test(cache_store, a_done_may_post_and_flush)
{
    struct put p = new_put("outer"), q = new_put("other");

    chained = new_put("inner");
    p.write.done = done_and_flush;
    store_post(f.s, &p.write);
    store_post(f.s, &q.write);
    store_flush(f.s);
    cr_expect(p.done == 1 && q.done == 1);
    cr_expect_eq(metas("%er"), 3);
}

Test(cache_store, without_a_loop_writes_are_made_at_once)
{
    struct store_options o = {.dir = f.store};
    struct store *s;
    struct err err = {0};
    struct put p = new_put("direct");

    cr_assert_eq(store_open(&o, &s, &err), 0);
    cr_expect_eq(store_write_now(s, &p.write, &err), 0, "%s", err.msg);
    cr_expect_eq(metas("direct"), 1);
    p.fail = true;
    cr_expect_eq(store_write_now(s, &p.write, &err), -(int)ERR_INVALID);
    cr_expect_str_eq(err.msg, "as wished");
    store_close(s);
}

static char writer_name[40];

static void write_many(void)
{
    enum { COUNT = 3000 };
    static struct put puts[COUNT];
    struct store_options o = {.dir = f.store, .loop = loop_new()};
    struct store *s;
    struct err err = {0};

    if (store_open(&o, &s, &err) < 0) {
        _exit(1);
    }
    for (int i = 0; i < COUNT; i++) {
        puts[i] = new_put(writer_name);
        snprintf(puts[i].name + strlen(puts[i].name), 8, "%d", i);
        puts[i].write.urgent = i % 50 == 0;
        store_post(s, &puts[i].write);
    }
    store_close(s);
    for (int i = 0; i < COUNT; i++) {
        if (puts[i].done != 1 || puts[i].failed) {
            _exit(2);
        }
    }
}

Test(cache_store, two_processes_write_at_once)
{
    pid_t pid[2];
    int status;

    for (int i = 0; i < 2; i++) {
        snprintf(writer_name, sizeof(writer_name), "p%d-", i);
        pid[i] = fork();
        if (pid[i] == 0) {
            write_many();
            _exit(0);
        }
    }
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(waitpid(pid[i], &status, 0), pid[i]);
        cr_expect_eq(status, 0);
    }
    cr_expect_eq(metas("p0-%"), 3000);
    cr_expect_eq(metas("p1-%"), 3000);
}

Test(cache_store, two_processes_make_one_store)
{
    int status;
    pid_t pid[4];

    store_close(take_ptr(f.s));
    snprintf(f.store, sizeof(f.store), "%s/fresh", f.dir);
    for (int i = 0; i < 4; i++) {
        snprintf(writer_name, sizeof(writer_name), "m%d-", i);
        pid[i] = fork();
        if (pid[i] == 0) {
            write_many();
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        waitpid(pid[i], &status, 0);
        cr_expect_eq(status, 0);
    }
    cr_expect_eq(metas("m%"), 12000);
}

static void write_and_die(void)
{
    struct store_options o = {.dir = f.store};
    struct store *s;
    struct err err;
    struct put p = new_put("crash");

    if (store_open(&o, &s, &err) == 0) {
        store_write_now(s, &p.write, &err);
    }
}

Test(cache_store, a_killed_writer_leaves_all_or_nothing)
{
    static const struct {
        const char *point;
        int rows;
    } cases[] = {{"writer.begin:kill", 0},
                 {"writer.apply:kill", 0},
                 {"writer.commit:kill", 0},
                 {"writer.committed:kill", 1}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        failpoint_set(cases[i].point);
        int status = in_child(write_and_die);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", cases[i].point);
        cr_expect_eq(metas("crash"), cases[i].rows, "%s", cases[i].point);
    }
    failpoint_set(NULL);
    struct put p = new_put("after"); /* the lock died with its holder */
    store_post(f.s, &p.write);
    store_flush(f.s);
    cr_expect(p.done == 1 && p.failed == 0);
}

static void make_and_die(void)
{
    struct store_options o = {.dir = f.store};
    struct store *s;
    struct err err;

    store_open(&o, &s, &err);
}

Test(cache_store, a_killed_maker_leaves_what_can_be_opened)
{
    static const char *const points[] = {"store.folders:kill", "store.migrate:kill",
                                         "store.migrated:kill", "store.prepared:kill"};

    store_close(take_ptr(f.s));
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        struct err err = {0};
        fs_remove_tree(f.store, &err);
        failpoint_set(points[i]);
        int status = in_child(make_and_die);
        cr_expect(WIFSIGNALED(status), "%s", points[i]);
        failpoint_set(NULL);
        cr_expect_eq(open_code(f.store, &err), 0, "%s: %s", points[i], err.msg);
    }
    open_store();
}

static void write_when_full(void)
{
    struct store_options o = {.dir = f.store};
    struct store *s;
    struct err err = {0};
    struct put p = new_put("full");

    if (store_open(&o, &s, &err) < 0 || store_write_now(s, &p.write, &err) != -(int)ERR_IO ||
        !strstr(err.msg, "full")) {
        _exit(1);
    }
    if (store_write_now(s, &p.write, &err) != 0) { /* and on again when there is room */
        _exit(2);
    }
    store_close(s);
}

Test(cache_store, a_full_disk_is_said_and_survived)
{
    failpoint_set("writer.full:enospc");
    cr_expect_eq(in_child(write_when_full), 0);
    cr_expect_eq(metas("full"), 1);
}

static void fill_small_disk(void)
{
    struct store_options o = {.dir = at("disk/store")};
    struct store *s = NULL;
    struct err err = {0};
    struct digest d;
    char *data = xmalloc(1 << 20);
    int i;

    if (store_open(&o, &s, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(1);
    }
    memset(data, 'x', 1 << 20);
    for (i = 0; i < 100; i++) {
        memcpy(data, &i, sizeof(i));
        if (objects_put_bytes(s, data, 1 << 20, &d, &err) < 0) {
            break;
        }
    }
    if (i == 100 || !strstr(err.msg, "full") || !strstr(err.msg, "wf cache gc")) {
        fprintf(stderr, "%d %s\n", i, err.msg);
        _exit(2);
    }
    struct put p = new_put("full");
    char *rest = xmalloc(4096);
    int fd = open(at("disk/rest"), O_CREAT | O_WRONLY, 0600);
    while (write(fd, rest, 4096) > 0) {
    }
    bool failed = false;
    for (i = 0; i < 100 && !failed; i++) {
        snprintf(p.name, sizeof(p.name), "full%d", i);
        failed = store_write_now(s, &p.write, &err) < 0;
    }
    if (!failed || !strstr(err.msg, "full")) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(3);
    }
    close(fd);
    unlink(at("disk/rest"));
    if (store_write_now(s, &p.write, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(4);
    }
    store_close(s);
}

Test(cache_store, a_small_disk_fills_up)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        cr_skip("needs root to mount a small file system");
    }
    mkdir(at("disk"), 0755);
    cr_assert_eq(mount("tmpfs", at("disk"), "tmpfs", 0, "size=4m"), 0);
    int status = in_child(fill_small_disk);
    umount(at("disk"));
    cr_expect_eq(status, 0, "exit %d", WEXITSTATUS(status));
}

/* --- ownership --- */

static int ready[2];

static void hold_and_wait(void)
{
    struct err err;
    int fd;
    char ok = store_live(f.s, "R1", &fd, &err) == 0 ? 'y' : 'n';

    (void)!write(ready[1], &ok, 1);
    pause();
}

Test(cache_store, a_run_belongs_to_one_process_until_it_dies)
{
    struct err err = {0};
    int fd = -1, status;
    char ok = 0;

    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        hold_and_wait();
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &ok, 1), 1);
    cr_assert_eq(ok, 'y');
    cr_expect(store_is_live(f.s, "R1"));
    cr_expect_eq(store_live(f.s, "R1", &fd, &err), -(int)ERR_BUSY);
    cr_expect_not_null(strstr(err.msg, "R1"));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    cr_expect_not(store_is_live(f.s, "R1"));
    cr_assert_eq(store_live(f.s, "R1", &fd, &err), 0);
    cr_expect(store_is_live(f.s, "R1"), "also when it is us");
    store_unlive(f.s, "R1", fd);
    cr_expect_not(exists(store_file("live/R1")));
    cr_expect_not(store_is_live(f.s, "R1"));
}

Test(cache_store, what_is_discarded_goes_with_the_sweep)
{
    mkdir(at("store/work/R1"), 0755);
    write_file("store/work/R1/a", "x");
    store_discard(f.s, at("store/work/R1"));
    store_discard(f.s, at("store/work/none"));
    cr_expect_not(exists(at("store/work/R1")));
    store_sweep(f.s);
    cr_expect_neq(rmdir(at("store/trash")), -1, "trash is empty");
    mkdir(at("store/trash"), 0700);
}

/* --- batches --- */

Test(cache_store, sync_marks_the_batch_and_begins_another)
{
    struct err err = {0};

    add_entry("a", "x", 1);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM batches WHERE synced = 0"), 1);
    cr_assert_eq(store_sync(f.s, &err), 0, "%s", err.msg);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM batches WHERE synced <> 1"), 0);
    cr_assert_eq(store_sync(f.s, &err), 0);
    add_entry("b", "y", 1);
    cr_expect_eq(sql_number("SELECT COUNT(DISTINCT batch) FROM entries"), 2);
}

static void add_in_another_process(void)
{
    struct store_options o = {.dir = f.store};

    store_open(&o, &f.s, NULL);
    add_entry("theirs", "z", 1);
    _exit(0); /* without a sync, as when killed */
}

Test(cache_store, one_sync_serves_all_of_this_boot)
{
    struct err err = {0};

    add_entry("mine", "x", 1);
    cr_assert_eq(in_child(add_in_another_process), 0);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM batches WHERE synced = 0"), 2);
    sql("INSERT INTO batches(boot, synced) VALUES('another boot', 0)");
    cr_assert_eq(store_sync(f.s, &err), 0, "%s", err.msg);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM batches WHERE synced = 1"), 2);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM batches WHERE synced = 0"), 1);
    /* Closed by somebody else meanwhile: what is written now is not in it. */
    add_entry("open", "y", 1);
    sql("UPDATE batches SET synced = 2 WHERE id = (SELECT MAX(id) FROM batches)");
    add_entry("next", "y", 1);
    cr_expect_eq(sql_number("SELECT COUNT(DISTINCT batch) FROM entries WHERE step IN "
                            "('open', 'next')"),
                 2);
}

Test(cache_store, no_long_log_is_left_behind)
{
    enum { COUNT = 10 };
    struct made *m = xcalloc(COUNT, sizeof(*m));
    char *action = xmalloc(200001);
    struct stat st;

    memset(action, 'a', 200000);
    action[200000] = '\0';
    for (int i = 0; i < COUNT; i++) {
        m[i] = make_entry(arena_printf(f.arena, "big%d", i), NULL, 1);
        m[i].e.action = action;
        m[i].e.action_len = 200000;
        store_made(&m[i]);
    }
    cr_assert_eq(stat(store_file("wf.db-wal"), &st), 0);
    cr_assert_gt(st.st_size, 1 << 20);
    store_close(take_ptr(f.s));
    cr_assert_eq(stat(store_file("wf.db-wal"), &st), 0);
    cr_expect_eq(st.st_size, 0);
    open_store();
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM entries"), COUNT);
    free(action);
    free(m);
}

Test(cache_store, large_logs_are_checkpointed)
{
    enum { COUNT = 200 };
    struct made *m = xcalloc(COUNT, sizeof(*m));
    char *action = xmalloc(200001);

    memset(action, 'a', 200000);
    action[200000] = '\0';
    for (int i = 0; i < COUNT; i++) {
        m[i] = make_entry(arena_printf(f.arena, "big%d", i), NULL, 1);
        m[i].e.action = action;
        m[i].e.action_len = 200000;
        store_made(&m[i]);
    }
    struct stat st;
    cr_assert_eq(stat(store_file("wf.db-wal"), &st), 0);
    cr_expect_lt(st.st_size, 20 << 20);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM entries"), COUNT);
    free(action);
    free(m);
}

Test(cache_store, without_descriptors_nobody_is_taken_for_dead)
{
    struct gc_options o = {.unused_for_ms = 1};
    struct gc_report report;
    struct rlimit before, none;
    struct err err = {0};
    int fd;

    cr_assert_eq(store_live(f.s, "R1", &fd, &err), 0);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool live = store_is_live(f.s, "R1"), other = store_is_live(f.s, "R2");
    int rc = cache_gc(f.s, &o, &report, &err);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_expect(live && other);
    cr_expect_lt(rc, 0);
    cr_expect(store_is_live(f.s, "R1"));
    cr_expect_not(store_is_live(f.s, "R2"));
    store_unlive(f.s, "R1", fd);
}
