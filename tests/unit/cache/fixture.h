/* SPDX-License-Identifier: Apache-2.0 */
/* A folder and a store of a test's own, and short words for what every test here does. */
#ifndef WF_TESTS_CACHE_FIXTURE_H
#define WF_TESTS_CACHE_FIXTURE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/entries.h"
#include "cache/objects.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    char dir[200];   /* removed at the end */
    char store[240]; /* below dir */
    struct loop *loop;
    struct store *s;
    struct arena *arena;
};

static struct fixture f;

__attribute__((unused)) static void open_store(void)
{
    struct store_options o = {.dir = f.store, .loop = f.loop};
    struct err err = {0};

    cr_assert_eq(store_open(&o, &f.s, &err), 0, "%s", err.msg);
}

/* $TMPDIR, else memory where there is enough of it: hundreds of stores are made here. */
static const char *tmp_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    struct statvfs v;

    if (tmp && *tmp) {
        return tmp;
    }
    bool roomy = statvfs("/dev/shm", &v) == 0 && access("/dev/shm", W_OK | X_OK) == 0 &&
                 (uint64_t)v.f_bavail * v.f_frsize > UINT64_C(256) << 20;
    return roomy ? "/dev/shm" : "/tmp";
}

static void setup_dir(void)
{
    snprintf(f.dir, sizeof(f.dir), "%s/wf-cache-XXXXXX", tmp_folder());
    cr_assert_not_null(mkdtemp(f.dir));
    snprintf(f.store, sizeof(f.store), "%s/store", f.dir);
    f.loop = loop_new();
    f.arena = arena_new();
}

__attribute__((unused)) static void setup(void)
{
    setup_dir();
    open_store();
}

static void teardown(void)
{
    struct err err;

    store_close(f.s);
    loop_free(f.loop);
    arena_free(f.arena);
    fs_remove_tree(f.dir, &err);
}

__attribute__((unused)) static void reopen(void)
{
    store_close(f.s);
    f.s = NULL;
    open_store();
}

/* An absolute path below the test's folder; lives in the arena. */
__attribute__((unused)) static const char *at(const char *below)
{
    return arena_printf(f.arena, "%s/%s", f.dir, below);
}

__attribute__((unused)) static const char *write_file(const char *below, const char *text)
{
    const char *path = at(below);
    struct err err = {0};

    cr_assert_eq(fs_write_file(path, text, strlen(text), 0644, false, &err), 0, "%s", err.msg);
    return path;
}

__attribute__((unused)) static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

__attribute__((unused)) static struct digest digest_text(const char *text)
{
    struct digest d;

    digest_of(text, strlen(text), &d);
    return d;
}

__attribute__((unused)) static struct digest put_text(const char *text)
{
    struct digest d;
    struct err err = {0};

    cr_assert_eq(objects_put_bytes(f.s, text, strlen(text), &d, &err), 0, "%s", err.msg);
    return d;
}

__attribute__((unused)) static const char *object_at(const struct digest *d)
{
    CLEANUP(cleanup_free) char *path = objects_path(f.s, d);

    return arena_strdup(f.arena, path);
}

/* SQL past the product, on a connection of its own. */
__attribute__((unused)) static void sql(const char *text)
{
    sqlite3 *db;
    char *msg = NULL;
    const char *path = arena_printf(f.arena, "%s/wf.db", f.store);

    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, text, NULL, NULL, &msg), SQLITE_OK, "%s: %s", text, msg);
    sqlite3_close(db);
}

__attribute__((unused)) static int64_t sql_number(const char *text)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    const char *path = arena_printf(f.arena, "%s/wf.db", f.store);

    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK, "%s", text);
    int64_t n = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return n;
}

/* --- entries --- */

struct made {
    struct write write;
    struct entry_new e;
    struct result r;
    struct result_output out[2];
    struct err err;
    int64_t id;
    int rc;
};

static int apply_made(struct write *w, struct db *db, struct err *err)
{
    struct made *m = CONTAINER_OF(w, struct made, write);

    (void)err;
    m->rc = entry_insert(f.s, db, &m->e, &m->id, &m->err);
    return m->rc == -(int)ERR_CORRUPT ? 0 : m->rc;
}

/* An entry whose action is `name` and whose only output is `content`; made at `began`. Stored by store_made(). */
__attribute__((unused)) static struct made make_entry(const char *name, const char *content,
                                                      int64_t began)
{
    struct made m = {.write = {.apply = apply_made, .urgent = true}};

    m.e = (struct entry_new){.workflow = "w", .step = arena_strdup(f.arena, name)};
    m.e.action =
        arena_printf(f.arena, "{\"values\":{\"name\":\"%s\"},\"work\":\"sha256:00\"}", name);
    m.e.action_len = strlen(m.e.action);
    action_key(m.e.action, m.e.action_len, &m.e.key);
    m.e.work =
        content ? "{\"command\":[\"true\"],\"outputs\":[{\"name\":\"out\",\"path\":\"out.txt\"}]}"
                : "{\"command\":[\"true\"]}";
    m.e.work_len = strlen(m.e.work);
    digest_of(m.e.work, m.e.work_len, &m.e.work_digest);
    m.out[0] = (struct result_output){.name = "out", .path = "out.txt"};
    if (content) {
        m.r.n_outputs = 1;
        m.out[0].digest = put_text(content);
        m.out[0].bytes = m.out[0].object_bytes = strlen(content);
    }
    m.r.began_at_ms = began;
    m.r.duration_ms = 10;
    m.r.run = "01J00000000000000000000000";
    return m;
}

__attribute__((unused)) static int64_t store_made(struct made *m)
{
    struct err err = {0};

    m->r.outputs = m->out;
    m->e.result = &m->r;
    cr_assert_eq(store_write_now(f.s, &m->write, &err), 0, "%s", err.msg);
    return m->rc == 0 ? m->id : 0;
}

__attribute__((unused)) static int64_t add_entry(const char *name, const char *content,
                                                 int64_t began)
{
    struct made m = make_entry(name, content, began);

    return store_made(&m);
}

/* --- processes --- */

/* Runs fn in a child; its wait status. */
__attribute__((unused)) static int in_child(void (*fn)(void))
{
    int status;
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        fn();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

#endif
