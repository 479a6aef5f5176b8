/* SPDX-License-Identifier: Apache-2.0 */
/* What the store holds, in numbers and as a list. */
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "cache/gc_internal.h"
#include "cache/sources.h"
#include "cache/store_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t file_bytes(const struct store *s, const char *name)
{
    CLEANUP(cleanup_free) char *path = store_path(s, name);
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int read_content(struct store *s, struct cache_stats *st, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *total = NULL;
    CLEANUP(db_row_done) struct db_row *entries = NULL;

    int rc = db_query(s->db, SQL_TOTAL_GET, &total, err, "");
    rc = rc < 0 ? rc : db_step(total, err);
    rc = rc < 0 ? rc : db_query(s->db, SQL_ENTRY_BOUNDS, &entries, err, "");
    rc = rc < 0 ? rc : db_step(entries, err);
    if (rc < 0) {
        return rc;
    }
    st->entries = (uint64_t)db_i64(total, 0);
    st->objects = (uint64_t)db_i64(total, 1);
    st->object_bytes = (uint64_t)db_i64(total, 2);
    st->oldest_ms = db_i64(entries, 0);
    st->newest_ms = db_i64(entries, 1);
    return 0;
}

int cache_stats(struct store *s, struct cache_stats *ret, struct err *err)
{
    struct cache_stats st = {0};
    int rc = 0;

    if (s->db) {
        rc = read_content(s, &st, err);
        struct sources_size copies;
        sources_measure(s, &copies);
        st.sources = copies.copies;
        st.source_bytes = copies.bytes;
        st.database_bytes = file_bytes(s, "wf.db") + file_bytes(s, "wf.db-wal");
    }
    if (rc == 0) {
        *ret = st;
    }
    return rc;
}

/* --- the list --- */

static int add_bytes(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    (void)d;
    (void)kind;
    *(uint64_t *)arg += bytes;
    return 0;
}

int cache_list(struct store *s, const char *workflow, const char *step, uint32_t limit,
               bool (*fn)(const struct cache_row *r, void *arg), void *arg, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    char hex[DIGEST_HEX + 1];
    size_t len;

    if (!s->db) {
        return 0;
    }
    /* 0: no limit. */
    int rc = db_query(s->db, SQL_ENTRY_LIST, &row, err, "tti", workflow, step,
                      limit ? (int64_t)limit : INT64_MAX);
    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        struct digest key = {{0}};
        const void *data = db_blob(row, 1, &len);
        if (data && len == DIGEST_SIZE) {
            memcpy(key.bytes, data, DIGEST_SIZE);
        }
        digest_hex(&key, hex);
        struct cache_row r = {
            .id = db_i64(row, 0),
            .key = hex,
            .workflow = db_text(row, 2),
            .step = db_text(row, 3),
            .made_at_ms = db_i64(row, 4),
            .last_hit_ms = db_i64(row, 5),
            .duration_ms = db_i64(row, 6),
            .pinned = !db_is_null(row, 8),
            .pin = db_text(row, 8),
        };
        data = db_blob(row, 7, &len);
        result_each_object(data ? data : "", data ? len : 0, add_bytes, &r.bytes, NULL);
        if (!fn(&r, arg)) {
            return 0;
        }
    }
    return rc;
}
