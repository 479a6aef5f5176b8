/* SPDX-License-Identifier: Apache-2.0 */
/* Reading entries: by key, by row id (one or a hundred thousand), by identity. */
#include "cache/entries.h"

#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/entries_internal.h"
#include "cache/objects.h"
#include "cache/pack.h"
#include "cache/store_internal.h"

#include <stdlib.h>
#include <string.h>

static const char key_prefix[] = "wf-action-1"; /* and its NUL */

void action_key(const char *action, size_t len, struct digest *ret)
{
    char small[4096];

    if (len <= sizeof(small) - sizeof(key_prefix)) {
        memcpy(small, key_prefix, sizeof(key_prefix));
        memcpy(small + sizeof(key_prefix), action, len);
        digest_of(small, sizeof(key_prefix) + len, ret);
        return;
    }
    struct digest_ctx *c = digest_new();
    digest_begin(c);
    digest_add(c, key_prefix, sizeof(key_prefix));
    digest_add(c, action, len);
    digest_end(c, ret);
    digest_free(c);
}

int64_t digest_head(const struct digest *d)
{
    int64_t head;

    memcpy(&head, d->bytes, sizeof(head));
    return head;
}

/* --- rows --- */

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static bool doubtful(const struct store *s, int64_t batch)
{
    return s->doubtful_count > 0 && bsearch(&batch, s->doubtful, s->doubtful_count,
                                            sizeof(*s->doubtful), compare_ids) != NULL;
}

/* Columns of all queries here: id, key, batch, made_at, duration, result. False: the row is damaged. */
static bool read_row(const struct store *s, struct db_row *row, struct arena *a, struct entry *ret)
{
    size_t key_len, len;
    const void *key = db_blob(row, 1, &key_len);
    const void *data = db_blob(row, 5, &len);

    if (!key || key_len != DIGEST_SIZE || !data) {
        return false;
    }
    *ret = (struct entry){
        .id = db_i64(row, 0),
        .verify = s->doubtful_count > 0 && !db_is_null(row, 2) && doubtful(s, db_i64(row, 2)),
        .data = arena_memdup(a, data, len),
        .data_len = len,
        .made_at_ms = db_i64(row, 3),
        .duration_ms = db_i64(row, 4),
    };
    memcpy(ret->key.bytes, key, DIGEST_SIZE);
    return true;
}

int entry_find(struct store *s, const struct digest *key, struct arena *a, struct entry *ret,
               struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    size_t len;

    if (!s->db) {
        return 1;
    }
    int rc = db_query(s->db, SQL_ENTRY_FIND, &row, err, "i", digest_head(key));
    if (rc < 0) {
        return rc;
    }
    while ((rc = db_step(row, err)) == 1) {
        const void *found = db_blob(row, 1, &len);
        if (found && len == DIGEST_SIZE && memcmp(found, key->bytes, DIGEST_SIZE) == 0) {
            return read_row(s, row, a, ret) ? 0 : 1;
        }
    }
    return rc < 0 ? rc : 1;
}

int entry_get(struct store *s, int64_t id, struct arena *a, struct entry *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!s->db || id <= 0) {
        return 1;
    }
    int rc = db_query(s->db, SQL_ENTRY_GET, &row, err, "i", id);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc <= 0) {
        return rc < 0 ? rc : 1;
    }
    return read_row(s, row, a, ret) ? 0 : 1;
}

int entry_newest(struct store *s, const struct digest *identity, struct arena *a, struct entry *ret,
                 struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    if (!s->db) {
        return 1;
    }
    int rc =
        db_query(s->db, SQL_ENTRY_NEWEST, &row, err, "b", identity->bytes, (size_t)DIGEST_SIZE);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc <= 0) {
        return rc < 0 ? rc : 1;
    }
    return entry_get(s, db_i64(row, 0), a, ret, err);
}

/* --- many --- */

struct wanted {
    int64_t id;
    size_t at;
};

static int compare_wanted(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* The ids asked for, ascending; owned by the caller. They mostly are already: a run's entries were inserted as it went. */
static struct wanted *sort_wanted(const int64_t *ids, size_t count, size_t *ret_count)
{
    struct wanted *w = xcalloc(count ? count : 1, sizeof(*w));
    bool sorted = true;
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        if (ids[i] <= 0) {
            continue;
        }
        w[n] = (struct wanted){ids[i], i};
        sorted = sorted && (n == 0 || w[n - 1].id <= w[n].id);
        n++;
    }
    if (!sorted) {
        qsort(w, n, sizeof(*w), compare_wanted);
    }
    *ret_count = n;
    return w;
}

/* One pass over the range that holds them, where they lie close together. */
static int get_range(struct store *s, const struct wanted *w, size_t n, struct arena *a,
                     struct entry *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    size_t at = 0;
    int rc = db_query(s->db, SQL_ENTRY_RANGE, &row, err, "ii", w[0].id, w[n - 1].id);

    while (rc >= 0 && at < n && (rc = db_step(row, err)) == 1) {
        int64_t id = db_i64(row, 0);
        while (at < n && w[at].id < id) {
            at++;
        }
        for (const struct entry *first = NULL; at < n && w[at].id == id; at++) {
            if (first) { /* two steps that did the same work */
                ret[w[at].at] = *first;
            } else if (read_row(s, row, a, &ret[w[at].at])) {
                first = &ret[w[at].at];
            }
        }
    }
    return rc < 0 ? rc : 0;
}

static int get_each(struct store *s, const struct wanted *w, size_t n, struct arena *a,
                    struct entry *ret, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        int rc = entry_get(s, w[i].id, a, &ret[w[i].at], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int entry_get_many(struct store *s, const int64_t *ids, size_t count, struct arena *a,
                   struct entry *ret, struct err *err)
{
    size_t n;
    CLEANUP(cleanup_free) struct wanted *w = sort_wanted(ids, count, &n);

    memset(ret, 0, count * sizeof(*ret));
    if (!s->db || n == 0) {
        return 0;
    }
    uint64_t span = (uint64_t)w[n - 1].id - (uint64_t)w[0].id;
    if (span / 4 <= n) {
        return get_range(s, w, n, a, ret, err);
    }
    /* One snapshot, so that the file is locked once and not for each. */
    bool own = !db_in_transaction(s->db) && db_exec(s->db, "BEGIN", NULL) == 0;
    int rc = get_each(s, w, n, a, ret, err);
    if (own) {
        db_rollback(s->db);
    }
    return rc;
}

int entry_after(struct store *s, int64_t after, size_t max, struct arena *a, struct entry *ret,
                size_t *ret_count, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    size_t n = 0;
    int rc = db_query(s->db, SQL_ENTRY_AFTER, &row, err, "ii", after, (int64_t)max);

    while (rc >= 0 && n < max && (rc = db_step(row, err)) == 1) {
        if (!read_row(s, row, a, &ret[n])) { /* without a result there is nothing to trust */
            ret[n] = (struct entry){.id = db_i64(row, 0), .verify = true, .data = ""};
        }
        n++;
    }
    *ret_count = n;
    return rc < 0 ? rc : 0;
}

int entry_action(struct store *s, int64_t id, struct arena *a, const char **ret_action,
                 const char **ret_work, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(sb_done) struct str text = {0};
    struct slice packed, work, sample;
    struct digest key;
    size_t len;

    if (!s->db) {
        return 1;
    }
    int rc = db_query(s->db, SQL_ENTRY_ACTION, &row, err, "i", id);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc <= 0) {
        return rc < 0 ? rc : 1;
    }
    packed.data = db_blob(row, 0, &packed.len);
    work.data = db_blob(row, 1, &work.len);
    sample.data = db_blob(row, 2, &sample.len);
    rc = action_unpack(packed, work, sample, &text, err);
    if (rc < 0) {
        return rc;
    }
    const void *stored = db_blob(row, 3, &len);
    action_key(sb_text(&text), text.len, &key);
    if (!stored || len != DIGEST_SIZE || memcmp(stored, key.bytes, DIGEST_SIZE) != 0) {
        return err_set(err, ERR_CORRUPT, 0, "the action of entry %lld is not what its key says",
                       (long long)id);
    }
    *ret_action = arena_strndup(a, sb_text(&text), text.len);
    *ret_work = work.data ? arena_strndup(a, work.data, work.len) : "{}";
    return 0;
}

/* --- objects --- */

struct check {
    struct store *store;
    bool verify;
    enum object_state state;
    struct digest bad;
};

static int check_object(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    struct check *c = arg;

    c->state = objects_check(c->store, d, bytes, kind, c->verify);
    c->bad = *d;
    return c->state == OBJECT_GOOD ? 0 : 1;
}

/* A write about one entry that nobody waits for. */
struct note_write {
    struct write write;
    struct store *store;
    int64_t id;
};

static void done_note(struct write *w, const struct err *err)
{
    (void)err; /* at worst the same is found out again */
    free(CONTAINER_OF(w, struct note_write, write));
}

static void post_note(struct store *s, int64_t id,
                      int (*apply)(struct write *w, struct db *db, struct err *err))
{
    if (!store_has_thread(s)) {
        return;
    }
    struct note_write *n = xcalloc(1, sizeof(*n));
    n->write = (struct write){.apply = apply, .done = done_note};
    n->store = s;
    n->id = id;
    store_post(s, &n->write);
}

static int apply_verified(struct write *w, struct db *db, struct err *err)
{
    struct note_write *n = CONTAINER_OF(w, struct note_write, write);
    int64_t rc = db_run(db, SQL_ENTRY_VERIFIED, err, "i", n->id);

    return rc < 0 ? (int)rc : 0;
}

static int apply_drop(struct write *w, struct db *db, struct err *err)
{
    struct note_write *n = CONTAINER_OF(w, struct note_write, write);
    /* Its files stay for gc: the step that runs again may be making the same content just now. */
    int rc = entry_remove(n->store, db, n->id, NULL, err);

    return rc < 0 ? rc : 0;
}

void entry_drop(struct store *s, int64_t id)
{
    post_note(s, id, apply_drop);
}

static enum object_state check_all(struct store *s, const struct entry *e, bool verify,
                                   struct digest *ret_bad)
{
    struct check c = {s, verify, OBJECT_GOOD, {{0}}};
    int rc = result_each_object(e->data, e->data_len, check_object, &c, NULL);

    if (rc < 0) { /* the result itself cannot be read */
        memset(ret_bad, 0, sizeof(*ret_bad));
        return OBJECT_DAMAGED;
    }
    if (c.state != OBJECT_GOOD) {
        *ret_bad = c.bad;
    }
    return c.state;
}

enum object_state entry_check_hashed(struct store *s, const struct entry *e, struct digest *ret_bad)
{
    return check_all(s, e, true, ret_bad);
}

enum object_state entry_check_objects(struct store *s, const struct entry *e,
                                      struct digest *ret_bad)
{
    enum object_state state = check_all(s, e, e->verify, ret_bad);

    if (state == OBJECT_GOOD && e->verify) {
        post_note(s, e->id, apply_verified);
    }
    return state;
}
