/* SPDX-License-Identifier: Apache-2.0 */
/* What removing an entry would free, after all that would have been removed before it: the counts given up so far are kept in memory, the database is only read. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/gc_internal.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

struct dry {
    struct gc *gc;
    struct freed *freed;
    struct err *err;
};

static int dry_release(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg);

static int dry_file(const struct manifest_entry *e, void *arg, struct err *err)
{
    (void)err;
    return e->kind == 'f' || e->kind == 'x' ? dry_release(&e->digest, e->bytes, OBJECT_FILE, arg)
                                            : 0;
}

static int dry_release(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    struct dry *r = arg;
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int64_t head = object_head(d, kind);

    int rc = db_query(store_db(r->gc->store), SQL_OBJECT_REFS, &row, r->err, "i", head);
    rc = rc < 0 ? rc : db_step(row, r->err);
    if (rc <= 0 || head == 0) {
        return rc < 0 ? rc : 0;
    }
    int64_t refs = db_i64(row, 0);
    int64_t *given = id_map_put(&r->gc->given_up, head);
    if (++*given != refs) {
        return 0;
    }
    r->freed->objects++;
    r->freed->bytes += bytes;
    if (kind == OBJECT_TREE) {
        CLEANUP(sb_done) struct str text = {0};
        if (object_manifest(r->gc->store, d, &text, NULL) == 0) {
            manifest_each(sb_text(&text), text.len, dry_file, r, NULL);
        }
    }
    return 0;
}

int gc_dry_remove(struct gc *g, int64_t id, struct freed *freed, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct dry r = {g, freed, err};
    size_t len;

    int rc = db_query(store_db(g->store), SQL_ENTRY_OF, &row, err, "i", id);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc <= 0) {
        return rc;
    }
    const void *data = db_blob(row, 0, &len);
    result_each_object(data ? data : "", data ? len : 0, dry_release, &r, NULL);
    return 1;
}
