/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/used.h"

#include "base/err.h"
#include "base/mem.h"
#include "cache/statements.h"
#include "cache/store.h"
#include "engine/state.h"

struct telling {
    void (*add)(int64_t entry, void *arg);
    void *arg;
};

static int tell(const struct event *e, void *arg)
{
    struct telling *t = arg;

    if ((e->type == EVENT_HIT || e->type == EVENT_SUCCEEDED) && e->entry > 0) {
        t->add(e->entry, t->arg);
    }
    return 0;
}

int used_by_run(struct store *s, const char *run, int64_t *seq,
                void (*add)(int64_t entry, void *arg), void *arg, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct telling t = {add, arg};
    int rc = db_query(store_db(s), SQL_EVENT_LIST, &row, err, "ti", run, *seq);

    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        size_t len;
        const void *records = db_blob(row, 1, &len);
        rc = event_decode_each(records, len, tell, &t, err);
        *seq = db_i64(row, 0);
    }
    return rc < 0 ? rc : 0;
}
