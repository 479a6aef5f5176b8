/* SPDX-License-Identifier: Apache-2.0 */
/* Making and removing entries, inside a transaction of the writer. Objects are counted: a row says how many entries (or trees) name it; the file goes after the row. So a file is
 * unlinked only under the writer lock, where entry_insert() looks whether it is there. A tree counts its files once, when its own row is made, and gives them up with it. */
#include "base/db.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/entries_internal.h"
#include "cache/failpoint.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/pack.h"
#include "cache/store_internal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int64_t object_head(const struct digest *d, enum object_kind kind)
{
    return digest_head(d) ^ (kind == OBJECT_TREE ? 1 : 0);
}

bool object_there(struct store *s, const struct digest *d, uint64_t bytes, enum object_kind kind)
{
    char name[OBJECT_NAME + 1];
    struct stat st;

    object_name(d, name);
    return (fstatat(s->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            object_stat_good(&st, bytes)) ||
           objects_check(s, d, bytes, kind, false) == OBJECT_GOOD;
}

/* How many name it; 0: nobody, negative: error. */
static int64_t refs_of(struct db *db, int64_t head, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_OBJECT_REFS, &row, err, "i", head);

    rc = rc < 0 ? rc : db_step(row, err);
    return rc <= 0 ? rc : db_i64(row, 0);
}

/* --- insert --- */

struct named {
    struct digest digest;
    uint64_t bytes;
    enum object_kind kind;
};
struct insertion {
    struct store *store;
    struct db *db;
    VEC(struct named) objects; /* every row to be counted up */
};

static int gone(const struct digest *d, struct err *err)
{
    char hex[DIGEST_HEX + 1];

    digest_hex(d, hex);
    return err_set(err, ERR_CORRUPT, 0, "the object sha256:%.12s… is gone from the store", hex);
}

static int need_object(struct insertion *in, const struct digest *d, uint64_t bytes,
                       enum object_kind kind, struct err *err)
{
    if (!object_there(in->store, d, bytes, kind)) {
        return gone(d, err);
    }
    *vec_push(&in->objects) = (struct named){*d, bytes, kind};
    return 0;
}

static int need_file(const struct manifest_entry *e, void *arg, struct err *err)
{
    return e->kind == 'f' || e->kind == 'x'
               ? need_object(arg, &e->digest, e->bytes, OBJECT_FILE, err)
               : 0;
}

static int need_output(struct insertion *in, const struct result_output *o, struct err *err)
{
    int rc = need_object(in, &o->digest, o->object_bytes, o->kind, err);

    if (rc < 0 || o->kind == OBJECT_FILE) {
        return rc;
    }
    int64_t refs = refs_of(in->db, object_head(&o->digest, OBJECT_TREE), err);
    if (refs != 0) {
        return refs < 0 ? (int)refs : 0;
    }
    CLEANUP(sb_done) struct str text = {0};
    rc = object_manifest(in->store, &o->digest, &text, err);
    return rc < 0 ? rc : manifest_each(sb_text(&text), text.len, need_file, in, err);
}

/* Everything the result names is there: looked at before anything is written. A tree named twice by one result would count its files twice: the second time is left out. */
static int need_objects(struct insertion *in, const struct result *r, struct err *err)
{
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        const struct result_output *o = &r->outputs[i];
        bool again = false;
        for (uint32_t k = 0; o->kind == OBJECT_TREE && k < i && !again; k++) {
            again =
                r->outputs[k].kind == OBJECT_TREE && digest_eq(&r->outputs[k].digest, &o->digest);
        }
        int rc = again ? need_object(in, &o->digest, o->object_bytes, o->kind, err)
                       : need_output(in, o, err);
        if (rc < 0) {
            return rc;
        }
    }
    return r->has_log ? need_object(in, &r->log, r->log_bytes, OBJECT_FILE, err) : 0;
}

/* An entry of the same key whose making overlapped with ours: 1 and its id. An older one is being replaced (refreshed, too old, from the future). */
static int made_meanwhile(struct db *db, const struct entry_new *e, int64_t *ret_id,
                          struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int64_t began = e->result->began_at_ms, ended = began + e->result->duration_ms;
    int rc = db_query(db, SQL_ENTRY_SAME, &row, err, "i", digest_head(&e->key));
    size_t len;

    while (rc >= 0 && (rc = db_step(row, err)) == 1) {
        const void *key = db_blob(row, 1, &len);
        int64_t other = db_i64(row, 2);
        if (key && len == DIGEST_SIZE && memcmp(key, e->key.bytes, DIGEST_SIZE) == 0 &&
            other <= ended && other + db_i64(row, 3) >= began) {
            *ret_id = db_i64(row, 0);
            return 1;
        }
    }
    return rc;
}

/* Rows of all that is named; with them what the whole store holds. */
static int insert_objects(const struct insertion *in, struct err *err)
{
    int64_t added = 0, bytes = 0;

    for (size_t i = 0; i < in->objects.len; i++) {
        CLEANUP(db_row_done) struct db_row *row = NULL;
        const struct named *n = &in->objects.items[i];
        int rc = db_query(in->db, SQL_OBJECT_ADD, &row, err, "ii", object_head(&n->digest, n->kind),
                          (int64_t)n->bytes);
        rc = rc < 0 ? rc : db_step(row, err);
        if (rc < 0) {
            return rc;
        }
        if (db_i64(row, 0) == 1) {
            added++;
            bytes += (int64_t)n->bytes;
        }
    }
    return store_totals(in->db, 1, added, bytes, err);
}

/* The work document, and the action as its row holds it. */
static int insert_work(const struct insertion *in, const struct entry_new *e, struct str *action,
                       struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(sb_done) struct str first = {0};
    struct slice sample;
    int64_t head = digest_head(&e->work_digest);
    int rc = db_query(in->db, SQL_WORK_AGAIN, &row, err, "i", head);

    rc = rc < 0 ? rc : db_step(row, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == 1) {
        sample.data = db_blob(row, 0, &sample.len);
        action_pack(e->action, e->action_len, &e->work_digest, sample, action);
        return 0;
    }
    (void)action_shorten(e->action, e->action_len, &e->work_digest, &first);
    int64_t n =
        db_run(in->db, SQL_WORK_ADD, err, "ibb", head, e->work, e->work_len, first.data, first.len);
    sample = (struct slice){sb_text(&first), first.len};
    action_pack(e->action, e->action_len, &e->work_digest, sample, action);
    return n < 0 ? (int)n : 0;
}

static int insert_rows(const struct insertion *in, const struct entry_new *e, int64_t *ret_id,
                       struct err *err)
{
    CLEANUP(sb_done) struct str data = {0};
    CLEANUP(sb_done) struct str action = {0};
    struct db *db = in->db;
    int64_t rc = insert_work(in, e, &action, err);

    rc = rc < 0 ? rc : insert_objects(in, err);
    if (rc < 0) {
        return (int)rc;
    }
    result_encode(e->result, &data);
    rc = db_run(db, SQL_ENTRY_INSERT, err, "biiibittbb", e->key.bytes, (size_t)DIGEST_SIZE,
                store_batch(in->store, db), e->result->began_at_ms, e->result->duration_ms,
                sb_text(&data), data.len, digest_head(&e->work_digest), e->workflow, e->step,
                e->has_identity ? e->identity.bytes : NULL, (size_t)DIGEST_SIZE, sb_text(&action),
                action.len);
    if (rc < 0) {
        return (int)rc;
    }
    int64_t id = db_last_id(db);
    rc = db_run(db, SQL_HIT_ADD, err, "ii", id, e->result->began_at_ms + e->result->duration_ms);
    rc = rc < 0 ? rc : db_run(db, SQL_KEY_ADD, err, "ii", digest_head(&e->key), id);
    if (rc >= 0 && e->has_identity) {
        rc = db_run(db, SQL_IDENTITY_ADD, err, "bi", e->identity.bytes, (size_t)DIGEST_SIZE, id);
    }
    if (rc < 0) {
        return (int)rc;
    }
    FAILPOINT("entries.inserted");
    *ret_id = id;
    return 0;
}

int entry_insert(struct store *s, struct db *db, const struct entry_new *e, int64_t *ret_id,
                 struct err *err)
{
    struct insertion in = {.store = s, .db = db};
    int rc = made_meanwhile(db, e, ret_id, err);

    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    rc = need_objects(&in, e->result, err);
    if (rc == 0) {
        FAILPOINT("entries.insert");
        rc = insert_rows(&in, e, ret_id, err);
    }
    vec_done(&in.objects);
    return rc;
}

/* --- remove --- */

struct release {
    struct store *store;
    struct db *db;
    struct freed *freed;
    struct err *err;
    int64_t objects, bytes; /* rows that go, whether or not their files do */
};

/* The other kind of the same content may still be named. */
static int unlink_unnamed(struct release *r, const struct digest *d, uint64_t bytes,
                          enum object_kind kind)
{
    char name[OBJECT_NAME + 1];
    enum object_kind other = kind == OBJECT_TREE ? OBJECT_FILE : OBJECT_TREE;
    int64_t refs = refs_of(r->db, object_head(d, other), r->err);

    if (refs != 0 || !r->freed) {
        return refs < 0 ? (int)refs : 0;
    }
    if (r->freed->spare) {
        object_name(d, name);
        object_renew(r->store, name);
        return 0;
    }
    *vec_push(&r->freed->files) = (struct freed_file){*d, bytes};
    r->freed->objects++;
    r->freed->bytes += bytes;
    return 0;
}

void freed_begin(struct freed *f, bool spare)
{
    f->objects = f->bytes = 0;
    f->rows = f->row_bytes = 0;
    f->spare = spare;
    vec_clear(&f->files);
}

void freed_unlink(struct store *s, struct freed *f)
{
    for (size_t i = 0; i < f->files.len; i++) {
        char name[OBJECT_NAME + 1];
        object_name(&f->files.items[i].digest, name);
        FAILPOINT("objects.unlink");
        if (unlinkat(s->objects_fd, name, 0) != 0) {
            f->objects--;
            f->bytes -= f->files.items[i].bytes;
        }
    }
    vec_clear(&f->files);
}

void freed_done(struct freed *f)
{
    vec_done(&f->files);
}

static int release_file(const struct manifest_entry *e, void *arg, struct err *err);

/* The files of a tree whose own row went. */
static int release_tree(struct release *r, const struct digest *d)
{
    CLEANUP(sb_done) struct str text = {0};
    struct err err = {0};
    int rc = object_manifest(r->store, d, &text, &err);

    rc = rc < 0 ? rc : manifest_each(sb_text(&text), text.len, release_file, r, &err);
    /* A damaged list cannot be followed: its files stay until somebody looks after them. */
    if (rc < 0 && err.code != ERR_CORRUPT && err.code != ERR_NOT_FOUND) {
        if (r->err) {
            *r->err = err;
        }
        return rc;
    }
    return 0;
}

/* One name less. The last takes the row along, and the file once that is certain. */
static int release_object(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    struct release *r = arg;
    int64_t head = object_head(d, kind);
    int64_t gone = db_run(r->db, SQL_OBJECT_FORGET, r->err, "i", head);

    if (gone <= 0) {
        int64_t rc = gone < 0 ? gone : db_run(r->db, SQL_OBJECT_RELEASE, r->err, "i", head);
        return rc < 0 ? (int)rc : 0;
    }
    r->objects++;
    r->bytes += (int64_t)bytes;
    int rc = kind == OBJECT_TREE ? release_tree(r, d) : 0;
    return rc < 0 ? rc : unlink_unnamed(r, d, bytes, kind);
}

static int release_file(const struct manifest_entry *e, void *arg, struct err *err)
{
    (void)err;
    return e->kind == 'f' || e->kind == 'x' ? release_object(&e->digest, e->bytes, OBJECT_FILE, arg)
                                            : 0;
}

int store_totals(struct db *db, int64_t entries, int64_t objects, int64_t bytes, struct err *err)
{
    int64_t n = db_run(db, SQL_TOTAL_ADD, err, "iii", entries, objects, bytes);

    return n < 0 ? (int)n : 0;
}

int object_release(struct store *s, struct db *db, const struct digest *d, uint64_t bytes,
                   enum object_kind kind, struct freed *freed, struct err *err)
{
    struct release r = {.store = s, .db = db, .freed = freed, .err = err};
    int rc = release_object(d, bytes, kind, &r);

    freed->rows += r.objects;
    freed->row_bytes += r.bytes;
    return rc;
}

void entry_taken_done(struct entry_taken *e)
{
    sb_done(&e->result);
}

/* Takes the row out. 1: it was there, 0: there is none. */
static int take_row(struct db *db, int64_t id, struct entry_taken *ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    size_t len;
    int rc = db_query(db, SQL_ENTRY_DELETE, &row, err, "i", id);

    rc = rc < 0 ? rc : db_step(row, err);
    if (rc <= 0) {
        return rc;
    }
    const void *data = db_blob(row, 0, &len);
    sb_clear(&ret->result);
    sb_add(&ret->result, data ? data : "", data ? len : 0);
    ret->work = db_i64(row, 1);
    const void *identity = db_blob(row, 2, &len);
    ret->has_identity = identity && len == DIGEST_SIZE;
    if (ret->has_identity) {
        memcpy(ret->identity.bytes, identity, DIGEST_SIZE);
    }
    const void *key = db_blob(row, 3, &len);
    memset(&ret->key, 0, sizeof(ret->key));
    if (key && len == DIGEST_SIZE) {
        memcpy(ret->key.bytes, key, DIGEST_SIZE);
    }
    return 1;
}

int entry_take(struct db *db, int64_t id, struct entry_taken *ret, struct err *err)
{
    int found = take_row(db, id, ret, err);
    int64_t rc = found;

    if (found <= 0) {
        return found;
    }
    rc = db_run(db, SQL_HIT_FORGET, err, "i", id);
    rc = rc < 0 ? rc : db_run(db, SQL_PIN_FORGET, err, "i", id);
    rc = rc < 0 ? rc : db_run(db, SQL_WORK_FORGET, err, "i", ret->work);
    if (rc == 0) {
        rc = db_run(db, SQL_WORK_RELEASE, err, "i", ret->work);
    }
    if (rc >= 0 && ret->has_identity) {
        rc = db_run(db, SQL_IDENTITY_FORGET, err, "bi", ret->identity.bytes, (size_t)DIGEST_SIZE,
                    id);
    }
    return rc < 0 ? (int)rc : 1;
}

int entry_remove(struct store *s, struct db *db, int64_t id, struct freed *freed, struct err *err)
{
    struct release r = {.store = s, .db = db, .freed = freed, .err = err};
    CLEANUP(entry_taken_done) struct entry_taken e = {0};
    int rc = entry_take(db, id, &e, err);

    if (rc <= 0) {
        return rc;
    }
    int64_t n = db_run(db, SQL_KEY_FORGET, err, "ii", digest_head(&e.key), id);
    if (n < 0) {
        return (int)n;
    }
    struct err own = {0};
    rc = result_each_object(sb_text(&e.result), e.result.len, release_object, &r, &own);
    if (rc < 0 && own.code == ERR_CORRUPT) {
        log_debug("store", "entry %lld: %s", (long long)id, own.msg);
        rc = 0;
    }
    if (rc < 0) {
        return rc;
    }
    rc = store_totals(db, -1, -r.objects, -r.bytes, err);
    return rc < 0 ? rc : 1;
}
