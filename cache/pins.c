/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pins.h"

#include "base/db.h"
#include "base/mem.h"
#include "cache/failpoint.h"
#include "cache/statements.h"
#include "cache/store.h"

struct pinning {
    struct write write;
    const int64_t *ids;
    size_t count;
    const char *why; /* NULL: unpinned */
    size_t changed;
};

static int apply_pins(struct write *w, struct db *db, struct err *err)
{
    struct pinning *p = CONTAINER_OF(w, struct pinning, write);

    p->changed = 0;
    for (size_t i = 0; i < p->count; i++) {
        int64_t n = p->why ? db_run(db, SQL_PIN_PUT, err, "it", p->ids[i], p->why)
                           : db_run(db, SQL_PIN_FORGET, err, "i", p->ids[i]);
        if (n < 0) {
            return (int)n;
        }
        p->changed += (size_t)n;
    }
    FAILPOINT("pins.applied");
    return 0;
}

static int write_pins(struct store *s, const int64_t *ids, size_t count, const char *why,
                      size_t *ret_count, struct err *err)
{
    struct pinning p = {
        .write = {.apply = apply_pins, .urgent = true}, .ids = ids, .count = count, .why = why};
    int rc = store_write_now(s, &p.write, err);

    if (rc == 0) {
        *ret_count = p.changed;
    }
    return rc;
}

int pins_set(struct store *s, const int64_t *ids, size_t count, const char *why, size_t *ret_count,
             struct err *err)
{
    return write_pins(s, ids, count, why, ret_count, err);
}

int pins_clear(struct store *s, const int64_t *ids, size_t count, size_t *ret_count,
               struct err *err)
{
    return write_pins(s, ids, count, NULL, ret_count, err);
}
