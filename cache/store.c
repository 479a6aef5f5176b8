/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing a store. An existing one is opened with a handful of system calls and no statement prepared. */
#include "cache/store.h"

#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/failpoint.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Owned by the caller; absolute. */
static char *choose_dir(const char *given, struct err *err)
{
    const char *env = getenv("WF_STORE");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    CLEANUP(cleanup_free) char *dir = NULL;

    if (given && *given) {
        dir = xstrdup(given);
    } else if (env && *env) {
        dir = xstrdup(env);
    } else if (state && *state == '/') {
        dir = fs_join(state, "wf");
    } else if (home && *home) {
        dir = fs_join(home, ".local/state/wf");
    } else {
        err_set(err, ERR_USAGE, 0, "there is no HOME to keep the store in: give one with --store");
        return NULL;
    }
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/') {
        dir[--len] = '\0';
    }
    if (dir[0] == '/') {
        return take_ptr(dir);
    }
    CLEANUP(cleanup_free) char *cwd = getcwd(NULL, 0);
    if (!cwd) {
        err_set(err, ERR_IO, errno, "cannot tell the current folder");
        return NULL;
    }
    return fs_join(cwd, dir);
}

static int refuse_unfit(const char *dir, struct err *err)
{
    if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0) {
        return err_set(err, errno == EACCES || errno == EROFS ? ERR_DENIED : ERR_IO, errno,
                       "cannot write the store %s (give a folder of your own with --store)", dir);
    }
    if (fs_kind_of(dir) == FS_NETWORK) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "the store %s is on a network file system, where its database could be "
                       "damaged: give a folder on a local disk with --store (or WF_STORE)",
                       dir);
    }
    return 0;
}

static int make_dir(const char *dir, struct err *err)
{
    struct err own = {0};

    if (fs_mkdirs(dir, 0700, &own) == 0) {
        return 0;
    }
    return err_set(err, own.code, 0, "cannot make the store %s (give a folder with --store): %s",
                   dir, own.msg);
}

static int take_store_lock(struct store *s, struct err *err)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "store.lock");

    if (s->read_only && access(path, R_OK) != 0) {
        return 0; /* nothing is made here; a migration would be seen in the format */
    }
    if (!s->read_only) {
        store_make_private(path);
    }
    return fs_lock(path, false, true, &s->lock_fd, err);
}

static void read_id(struct store *s)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "id");
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && read(fd, s->id, ID_LEN) != ID_LEN) {
        s->id[0] = '\0';
    }
}

/* Content written by an earlier boot and never synced is not trusted until it was hashed again (engine.md 12). */
static int read_doubtful(struct store *s, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    VEC(int64_t) ids = {0};
    int rc = db_query(s->db, SQL_BATCH_DOUBTFUL, &row, err, "t", s->boot);

    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        *vec_push(&ids) = db_i64(row, 0);
    }
    s->doubtful = ids.items;
    s->doubtful_count = ids.len;
    s->unclean = ids.len > 0;
    return rc;
}

/* The file's header is behind the log where a newer wf was killed right after its migration. */
static int refuse_newer(struct store *s, struct err *err)
{
    int64_t version = 0;
    int rc = store_version(s->db, &version, err);

    return rc == 0 && version > STORE_FORMAT
               ? store_refuse_newer(s->dir, version, STORE_FORMAT, err)
               : rc;
}

static int open_parts(struct store *s, struct loop *loop, struct err *err)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "wf.db");
    CLEANUP(cleanup_free) char *objects = store_path(s, "objects");

    boot_id(s->boot);
    id_new(s->tmp_name);
    s->objects_fd = open(objects, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->objects_fd < 0) {
        return err_set(err, ERR_IO, errno, "cannot open the folder %s of the store", objects);
    }
    s->dir_fd = open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc =
        db_open(path, s->read_only ? DB_LOOK : DB_READ, store_statements, SQL_COUNT, &s->db, err);
    rc = rc < 0 ? rc : refuse_newer(s, err);
    rc = rc < 0 ? rc : read_doubtful(s, err);
    if (rc < 0 || s->read_only) {
        return rc;
    }
    s->writer = writer_new(s, loop, err);
    return s->writer ? 0 : -(int)ERR_IO;
}

static int open_store(struct store *s, struct loop *loop, struct err *err)
{
    enum store_state state;
    int rc = store_peek(s->dir, STORE_FORMAT, &state, err);

    if (rc < 0) {
        return rc;
    }
    if (s->read_only && state != STORE_CURRENT) {
        if (state == STORE_ABSENT || state == STORE_UNMADE) {
            return 0; /* no run or entry is written before the format is in the file */
        }
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "the store %s was made by an older wf: the next `wf run` brings it up to "
                       "date",
                       s->dir);
    }
    if (!s->read_only) {
        rc = state == STORE_ABSENT ? make_dir(s->dir, err) : 0;
        rc = rc < 0 ? rc : refuse_unfit(s->dir, err);
    }
    rc = rc < 0 ? rc : take_store_lock(s, err);
    if (rc == 0 && state != STORE_CURRENT) {
        rc = store_prepare(s, store_migrations, store_migration_count, err);
    } else if (rc == 0) {
        /* Again under the lock: it may have been migrated while we waited for it. */
        rc = store_peek(s->dir, STORE_FORMAT, &state, err);
    }
    if (rc == 0) {
        read_id(s);
    }
    if (rc == 0 && s->id[0] == '\0' && !s->read_only) { /* lost: the rest may be too */
        rc = store_prepare(s, store_migrations, store_migration_count, err);
        read_id(s);
    }
    if (rc == 0 && !s->read_only) {
        store_close_to_others(s); /* made by an earlier wf, or copied */
    }
    return rc < 0 ? rc : open_parts(s, loop, err);
}

int store_open(const struct store_options *o, struct store **ret, struct err *err)
{
    struct err own = {0};
    struct store *s = xcalloc(1, sizeof(*s));

    s->lock_fd = s->objects_fd = s->dir_fd = -1;
    s->read_only = o->read_only;
    s->dir = choose_dir(o->dir, &own);
    int rc = s->dir ? open_store(s, o->loop, &own) : -(int)own.code;
    if (rc < 0) {
        if (s->dir) {
            rc = store_advise(s, &own);
        }
        if (err) {
            *err = own;
        }
        store_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s) {
        return;
    }
    if (s->writer) {
        store_flush(s);
        writer_free(s->writer);
    }
    db_close(s->db);
    if (s->objects_fd >= 0) {
        close(s->objects_fd);
    }
    if (s->dir_fd >= 0) {
        close(s->dir_fd);
    }
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    free(s->doubtful);
    free(s->notes);
    free(s->dir);
    free(s);
}
