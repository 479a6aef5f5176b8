/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pick.h"

#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "cache/entries.h"
#include "cache/statements.h"
#include "cache/store.h"

#include <string.h>

enum { WALK = 1024 }; /* rows of one query: no snapshot is held for long */

static int pick_some(struct db *db, const struct pick *p, int64_t *at, bool *ret_stop,
                     bool (*fn)(const struct picked *e, void *arg), void *arg, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int n = 0;
    int rc = db_query(db, SQL_ENTRY_PICK, &row, err, "itttiii", *at, p->key, p->workflow, p->step,
                      p->made_before_ms ? p->made_before_ms : INT64_MAX,
                      p->used_before_ms ? p->used_before_ms : INT64_MAX, (int64_t)WALK);

    while (rc >= 0 && !*ret_stop && (rc = db_step(row, err)) == 1) {
        size_t len;
        const void *key = db_blob(row, 1, &len);
        struct picked e = {.id = db_i64(row, 0),
                           .workflow = db_text(row, 2),
                           .step = db_text(row, 3),
                           .made_at_ms = db_i64(row, 4),
                           .used_at_ms = db_i64(row, 5),
                           .pinned = db_i64(row, 6) != 0};
        if (key && len == DIGEST_SIZE) {
            memcpy(e.key.bytes, key, DIGEST_SIZE);
        }
        *at = e.id;
        *ret_stop = !fn(&e, arg);
        n++;
    }
    return rc < 0 ? rc : n;
}

int cache_pick(struct store *s, const struct pick *p, bool (*fn)(const struct picked *e, void *arg),
               void *arg, struct err *err)
{
    struct db *db = store_db(s);
    bool stop = false;
    int64_t at = 0;
    int n = db ? WALK : 0;

    while (n == WALK && !stop) {
        n = pick_some(db, p, &at, &stop, fn, arg, err);
    }
    return n < 0 ? n : 0;
}

struct finding {
    int64_t id;
    struct digest key;
    int keys;
};

static bool on_found(const struct picked *e, void *arg)
{
    struct finding *f = arg;

    if (f->keys == 0 || !digest_eq(&f->key, &e->key)) {
        f->keys++;
    }
    f->key = e->key;
    f->id = e->id;
    return f->keys < 2;
}

int cache_pick_key(struct store *s, const char *hex, int64_t *ret_id, struct digest *ret_key,
                   struct err *err)
{
    struct finding f = {0};
    struct pick p = {.key = hex};
    int rc = 0;

    if (strlen(hex) == DIGEST_HEX && digest_parse(hex, DIGEST_HEX, &f.key)) { /* by the index */
        struct arena *a = arena_new();
        struct entry e;
        rc = entry_find(s, &f.key, a, &e, err);
        f.id = rc == 0 ? e.id : 0;
        f.keys = rc == 0;
        arena_free(a);
    } else {
        rc = cache_pick(s, &p, on_found, &f, err);
    }
    if (rc < 0 || f.keys != 1) {
        return rc < 0 ? rc : f.keys == 0 ? 1 : 2;
    }
    *ret_id = f.id;
    *ret_key = f.key;
    return 0;
}
