/* SPDX-License-Identifier: Apache-2.0 */
/* Against power loss: entries name the batch they were written in, and a batch counts after a reboot only when it was synced. A batch is open (0), closing (2) or synced (1). One
 * process' sync serves all of this boot, the killed ones too: it closes every open batch, brings the file system to disk, and marks those it closed. A writer looks in each
 * transaction whether its batch is still open, so nothing gets into a closed one. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "cache/failpoint.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <unistd.h>

struct sync_write {
    struct write write;
    const struct store *store;
    int64_t last; /* the newest batch closed */
};

static int newest_unsynced(const struct store *s, struct db *db, int64_t *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_BATCH_UNSYNCED, &row, err, "t", s->boot);

    rc = rc < 0 ? rc : db_step(row, err);
    if (rc < 0) {
        return rc;
    }
    *ret = db_i64(row, 0);
    return 0;
}

static int apply_close(struct write *one, struct db *db, struct err *err)
{
    struct sync_write *y = CONTAINER_OF(one, struct sync_write, write);
    int64_t rc = db_run(db, SQL_BATCH_CLOSE, err, "t", y->store->boot);

    return rc < 0 ? (int)rc : newest_unsynced(y->store, db, &y->last, err);
}

static int apply_mark(struct write *one, struct db *db, struct err *err)
{
    struct sync_write *y = CONTAINER_OF(one, struct sync_write, write);
    int64_t rc = db_run(db, SQL_BATCH_SYNCED, err, "ti", y->store->boot, y->last);

    return rc < 0 ? (int)rc : 0;
}

int store_sync(struct store *s, struct err *err)
{
    struct sync_write y = {.write = {.apply = apply_close, .urgent = true}, .store = s};

    if (s->read_only) {
        return 0;
    }
    store_flush(s);
    int rc = newest_unsynced(s, s->db, &y.last, err);
    if (rc < 0 || y.last == 0) { /* nothing was written since the last time */
        return rc;
    }
    rc = store_write_now(s, &y.write, err);
    if (rc < 0) {
        return rc;
    }
    FAILPOINT("store.sync");
    if (syncfs(s->objects_fd) != 0) {
        return err_set(err, ERR_IO, errno, "cannot bring the store %s to disk", s->dir);
    }
    y.write.apply = apply_mark;
    return store_write_now(s, &y.write, err);
}
