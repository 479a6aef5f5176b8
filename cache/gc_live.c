/* SPDX-License-Identifier: Apache-2.0 */
/* What running runs use is not touched. A live run's own blob is written at its end; until then it may use what the runs before it of the same plan and workflow used, and all that
 * was made or hit since it began. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "cache/gc_internal.h"
#include "cache/store_internal.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

int64_t gc_used_id(const void *used, size_t index)
{
    const unsigned char *p = (const unsigned char *)used + index * 8;
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return (int64_t)v;
}

static void keep_used(struct gc *g, struct db_row *row, int column)
{
    size_t len;
    const void *used = db_blob(row, column, &len);

    for (size_t i = 0; used && i < len / 8; i++) {
        int64_t id = gc_used_id(used, i);
        if (id != 0) {
            *id_map_put(&g->live, id) = 1;
        }
    }
}

static int keep_all(struct gc *g, struct db_row *row, struct err *err)
{
    int rc;

    while ((rc = db_step(row, err)) == 1) {
        keep_used(g, row, 0);
    }
    return rc;
}

static int keep_of_run(struct gc *g, const char *run, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(db_row_done) struct db_row *plan = NULL;
    CLEANUP(db_row_done) struct db_row *workflow = NULL;
    struct db *db = store_db(g->store);

    int rc = db_query(db, SQL_GC_LIVE, &row, err, "t", run);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc <= 0) { /* just begun: not written yet */
        return rc;
    }
    int64_t started = db_i64(row, 2);
    if (started < g->oldest_live) {
        g->oldest_live = started;
    }
    rc = db_query(db, SQL_GC_USED_PLAN, &plan, err, "i", db_i64(row, 1));
    rc = rc < 0 ? rc : keep_all(g, plan, err);
    rc = rc < 0 ? rc : db_query(db, SQL_GC_USED_WORKFLOW, &workflow, err, "t", db_text(row, 0));
    return rc < 0 ? rc : keep_all(g, workflow, err);
}

int gc_find_live(struct gc *g, struct err *err)
{
    CLEANUP(cleanup_free) char *path = store_path(g->store, "live");
    DIR *dir = opendir(path);
    struct dirent *e;
    int rc = 0;

    while (dir && rc >= 0 && (e = readdir(dir))) {
        if (strlen(e->d_name) != ID_LEN || !store_is_live(g->store, e->d_name)) {
            continue;
        }
        g->any_live = true;
        int64_t began = id_time_ms(e->d_name);
        if (began >= 0 && began < g->oldest_live) {
            g->oldest_live = began;
        }
        rc = keep_of_run(g, e->d_name, err);
    }
    if (dir) {
        closedir(dir);
    }
    return rc < 0 ? rc : 0;
}
