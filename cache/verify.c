/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over entries, some at a time: no snapshot is held while objects are hashed, so the log of the database does not grow. Each object is hashed once. What looks wrong is looked at again after
 * whoever was writing has ended: rows that were read here may be gone, and their files. */
#include "cache/verify.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/failpoint.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"
#include "cache/verify_internal.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { WALK = 256, JOBS = 4096, TELL_US = 100000 };

const char *const verify_kind_names[VERIFY_KIND_COUNT] = {
    [VERIFY_MISSING] = "missing",       [VERIFY_DAMAGED] = "damaged",
    [VERIFY_UNSEALED] = "unsealed",     [VERIFY_FOLDER] = "folder",
    [VERIFY_RESULT] = "result",         [VERIFY_ACTION] = "action",
    [VERIFY_UNREADABLE] = "unreadable", [VERIFY_COUNT] = "count",
    [VERIFY_DANGLING] = "dangling",     [VERIFY_TOTALS] = "totals",
};

bool verify_stop(struct verify *v)
{
    int64_t now = mono_us();

    if (!v->stopped && v->o->progress && now - v->told_us >= TELL_US) {
        v->told_us = now;
        v->stopped =
            !v->o->progress(v->report.entries, v->report.objects, v->report.bytes, v->o->arg);
    }
    return v->stopped;
}

void verify_found(struct verify *v, enum verify_kind kind, const struct entry *e,
                  const struct digest *object, bool repaired, const char *fmt, ...)
{
    CLEANUP(sb_done) struct str text = {0};
    va_list ap;

    va_start(ap, fmt);
    sb_vprintf(&text, fmt, ap);
    va_end(ap);
    struct verify_finding f = {.kind = kind,
                               .text = sb_text(&text),
                               .entry = e ? e->id : 0,
                               .key = e ? &e->key : NULL,
                               .object = object,
                               .repaired = repaired};
    v->report.findings++;
    v->report.repaired += repaired;
    v->report.unreadable += kind == VERIFY_UNREADABLE;
    if (v->o->on_finding) {
        v->o->on_finding(&f, v->o->arg);
    }
}

/* --- what is to be hashed --- */

static void ask(struct verify *v, const struct digest *d)
{
    int64_t head = object_head(d, OBJECT_FILE);
    int64_t *seen = head ? id_map_put(&v->seen, head) : NULL;

    if (!seen || *seen == 0) {
        if (seen) {
            *seen = SEEN_ASKED;
        }
        *vec_push(&v->jobs) = (struct hashing){.digest = *d};
    }
}

/* The content is good: only mode or time are not as wf leaves them. */
static bool seal(struct verify *v, const struct digest *d)
{
    char name[OBJECT_NAME + 1];
    struct stat st;

    object_name(d, name);
    CLEANUP(cleanup_close)
    int fd = openat(v->store->objects_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &st) == 0 && object_seal(fd, (st.st_mode & 0111) != 0) == 0;
}

static void on_hashed(struct verify *v, const struct hashing *h)
{
    int64_t head = object_head(&h->digest, OBJECT_FILE);
    bool good = h->state == HASH_GOOD || h->state == HASH_UNSEALED;
    char hex[DIGEST_HEX + 1];

    if (head) {
        *id_map_put(&v->seen, head) = good ? (int64_t)h->bytes + SEEN_BYTES : SEEN_BAD;
    }
    if (h->state == HASH_UNSEALED) {
        digest_hex(&h->digest, hex);
        verify_found(v, VERIFY_UNSEALED, NULL, &h->digest, v->o->repair && seal(v, &h->digest),
                     "the object sha256:%.12s… has another mode or time than wf gave it; its "
                     "content is good",
                     hex);
    }
}

static int ask_file(const struct manifest_entry *e, void *arg, struct err *err)
{
    (void)err;
    if (e->kind == 'f' || e->kind == 'x') {
        ask(arg, &e->digest);
    }
    return 0;
}

static int ask_object(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    (void)bytes;
    (void)kind;
    ask(arg, d);
    return 0;
}

/* The files of a folder that was not looked into yet. Its list itself is hashed. */
static int ask_tree(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    struct verify *v = arg;
    CLEANUP(sb_done) struct str text = {0};

    (void)bytes;
    if (kind == OBJECT_FILE || id_map_get(&v->seen, object_head(d, OBJECT_TREE)) != NULL ||
        object_manifest(v->store, d, &text, NULL) < 0) {
        return 0;
    }
    (void)manifest_each(sb_text(&text), text.len, ask_file, v, NULL);
    if (v->jobs.len >= JOBS) {
        verify_hash_all(v, on_hashed);
    }
    return v->stopped;
}

/* --- what came of it --- */

struct judging {
    struct verify *v;
    bool afresh; /* hash now, do not believe what was seen */
    enum verify_kind kind;
    struct digest bad;
    int sys; /* of VERIFY_UNREADABLE */
};

static int judge_file(struct judging *j, const struct digest *d, uint64_t bytes)
{
    const int64_t *seen = id_map_get(&j->v->seen, object_head(d, OBJECT_FILE));
    struct hashing h = {.digest = *d};

    if (seen && !j->afresh && *seen >= SEEN_BYTES && (uint64_t)(*seen - SEEN_BYTES) == bytes) {
        return 0;
    }
    verify_hash(j->v->store, &h);
    bool good = h.state == HASH_GOOD || h.state == HASH_UNSEALED;
    if (good && h.bytes == bytes) {
        return 0;
    }
    j->kind = h.state == HASH_MISSING      ? VERIFY_MISSING
              : h.state == HASH_UNREADABLE ? VERIFY_UNREADABLE
                                           : VERIFY_DAMAGED;
    j->sys = h.sys;
    j->bad = *d;
    return 1;
}

static int judge_listed(const struct manifest_entry *e, void *arg, struct err *err)
{
    (void)err;
    return (e->kind == 'f' || e->kind == 'x') && judge_file(arg, &e->digest, e->bytes) == 1
               ? -(int)ERR_EXISTS
               : 0;
}

static int judge_object(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    struct judging *j = arg;
    CLEANUP(sb_done) struct str text = {0};
    int64_t head = object_head(d, OBJECT_TREE);
    const int64_t *seen = id_map_get(&j->v->seen, head);

    if (judge_file(j, d, bytes) == 1) {
        return 1;
    }
    if (kind == OBJECT_FILE || (seen && *seen == SEEN_GOOD && !j->afresh)) {
        return 0;
    }
    j->kind = VERIFY_FOLDER;
    j->bad = *d;
    if (object_manifest(j->v->store, d, &text, NULL) < 0 ||
        manifest_each(sb_text(&text), text.len, judge_listed, j, NULL) < 0) {
        return 1;
    }
    if (head) {
        *id_map_put(&j->v->seen, head) = SEEN_GOOD;
    }
    return 0;
}

/* 1: something is wrong, `j` says what; 0: all is good. */
static int judge_objects(struct judging *j, const struct entry *e)
{
    int rc = result_each_object(e->data, e->data_len, judge_object, j, NULL);

    if (rc < 0) {
        j->kind = VERIFY_RESULT;
    }
    return rc != 0;
}

/* The action hashes to the key and names the work that lies beside it. 1: it does not. */
static int judge_action(struct judging *j, const struct entry *e)
{
    struct arena *a = arena_new();
    CLEANUP(cleanup_json) json_t *json = NULL;
    const char *action = NULL, *work = NULL;
    struct digest key, named;
    int rc = entry_action(j->v->store, e->id, a, &action, &work, NULL);
    bool good = rc == 0;

    if (good) {
        action_key(action, strlen(action), &key);
        good = digest_eq(&key, &e->key) &&
               json_read(action, strlen(action), SIZE_MAX, &json, NULL) == 0;
        const char *text = json_string_value(json_object_get(json, "work"));
        digest_of(work, strlen(work), &key);
        good = good && text && text_starts(text, "sha256:") &&
               digest_parse(text + 7, strlen(text + 7), &named) && digest_eq(&named, &key);
    }
    arena_free(a);
    j->kind = VERIFY_ACTION;
    return (rc == 0 || rc == -(int)ERR_CORRUPT) &&
           !good; /* a row that cannot be read just now is no finding */
}

static int judge(struct judging *j, const struct entry *e)
{
    struct arena *a = arena_new();
    struct result r;
    int rc = result_decode(e->data, e->data_len, a, &r, NULL) < 0;

    arena_free(a);
    j->kind = VERIFY_RESULT;
    return rc == 1 || judge_objects(j, e) || judge_action(j, e);
}

/* Whoever writes just now has ended; nothing is changed by that. */
static void let_writer_end(struct verify *v)
{
    CLEANUP(cleanup_close) int fd = -1;

    (void)writer_lock(v->store, &fd, NULL); /* where there is nothing to lock, nobody writes */
}

static void tell(struct verify *v, const struct judging *j, const struct entry *e)
{
    static const char *const sentences[VERIFY_KIND_COUNT] = {
        [VERIFY_MISSING] = "is missing",
        [VERIFY_DAMAGED] = "does not hold what it was stored with",
        [VERIFY_FOLDER] = "is a folder's list of files that cannot be read",
    };
    char hex[DIGEST_HEX + 1], key[DIGEST_HEX + 1], made[32]; /* several may have one key */

    format_time_local(e->made_at_ms, made);
    digest_hex(&j->bad, hex);
    digest_hex(&e->key, key);
    if (j->kind == VERIFY_UNREADABLE) {
        verify_found(v, j->kind, e, &j->bad, false,
                     "entry %.12s, made %s: the object sha256:%.12s… cannot be read (%s): whether "
                     "it is good is not known, and nothing is changed for it",
                     key, made, hex, strerror(j->sys));
    } else if (sentences[j->kind]) {
        verify_found(v, j->kind, e, &j->bad, v->o->repair,
                     "entry %.12s, made %s: the object sha256:%.12s… %s", key, made, hex,
                     sentences[j->kind]);
    } else {
        verify_found(v, j->kind, e, NULL, v->o->repair, "entry %.12s, made %s: %s", key, made,
                     j->kind == VERIFY_RESULT ? "its result cannot be read"
                                              : "its action is not that of its key");
    }
}

/* --- repair --- */

/* Unless its content is good and only the entry told another size. */
static void set_aside(struct verify *v, const struct digest *d)
{
    struct hashing h = {.digest = *d};

    verify_hash(v->store, &h);
    if (h.state == HASH_DAMAGED) {
        CLEANUP(cleanup_free) char *path = objects_path(v->store, d);
        store_discard(v->store, path);
    }
}

struct dropping {
    struct write write;
    struct verify *v;
    int64_t ids[WALK];
    size_t count;
    uint64_t dropped;
};

static int apply_drop(struct write *w, struct db *db, struct err *err)
{
    struct dropping *d = CONTAINER_OF(w, struct dropping, write);

    d->dropped = 0;
    for (size_t i = 0; i < d->count; i++) {
        /* Files stay for gc, as with any damaged entry: its step may be making them anew just now. */
        int rc = entry_remove(d->v->store, db, d->ids[i], NULL, err);
        if (rc < 0) {
            return rc;
        }
        d->dropped += (uint64_t)rc;
        FAILPOINT("verify.drop");
    }
    return 0;
}

/* --- some entries --- */

static int judge_all(struct verify *v, const struct entry *rows, size_t n, struct err *err)
{
    struct dropping d = {.write = {.apply = apply_drop, .urgent = true}, .v = v};
    int rc = 0;

    for (size_t i = 0; i < n && !verify_stop(v); i++) {
        struct judging j = {.v = v};
        struct entry now;
        struct arena *a = arena_new();
        v->report.entries++;
        if (judge(&j, &rows[i])) {
            let_writer_end(v);
            j.afresh = true;
            rc = entry_get(v->store, rows[i].id, a, &now, err);
            if (rc == 0 && judge(&j, &rows[i])) {
                tell(v, &j, &rows[i]);
                if (v->o->repair && j.kind == VERIFY_DAMAGED) {
                    set_aside(v, &j.bad);
                }
                if (j.kind != VERIFY_UNREADABLE) {
                    d.ids[d.count++] = rows[i].id;
                }
            }
        }
        arena_free(a);
        if (rc < 0) {
            return rc;
        }
    }
    if (v->o->repair && d.count > 0) {
        rc = store_write_now(v->store, &d.write, err);
        v->report.dropped += rc < 0 ? 0 : d.dropped;
        return rc;
    }
    return 0;
}

static int look_at(struct verify *v, const struct entry *rows, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        (void)result_each_object(rows[i].data, rows[i].data_len, ask_object, v, NULL);
    }
    verify_hash_all(v, on_hashed);
    for (size_t i = 0; i < n && !v->stopped; i++) {
        (void)result_each_object(rows[i].data, rows[i].data_len, ask_tree, v, NULL);
    }
    if (!v->stopped) {
        verify_hash_all(v, on_hashed);
    }
    return v->stopped ? 0 : judge_all(v, rows, n, err);
}

static int walk_all(struct verify *v, struct err *err)
{
    CLEANUP(cleanup_free) struct entry *rows = xcalloc(WALK, sizeof(*rows));
    int64_t at = 0;
    size_t n = WALK;
    int rc = 0;

    while (rc == 0 && n == WALK && !verify_stop(v)) {
        struct arena *a = arena_new();
        rc = entry_after(v->store, at, WALK, a, rows, &n, err);
        at = rc == 0 && n > 0 ? rows[n - 1].id : at;
        rc = rc < 0 ? rc : look_at(v, rows, n, err);
        arena_free(a);
    }
    return rc;
}

static int walk_some(struct verify *v, struct err *err)
{
    CLEANUP(cleanup_free) struct entry *rows = xcalloc(WALK, sizeof(*rows));
    int rc = 0;

    for (size_t from = 0; rc >= 0 && from < v->o->n_ids && !verify_stop(v); from += WALK) {
        struct arena *a = arena_new();
        size_t n = 0;
        for (size_t i = from; i < v->o->n_ids && i < from + WALK && rc >= 0; i++) {
            rc = entry_get(v->store, v->o->ids[i], a, &rows[n], err);
            n += rc == 0;
        }
        rc = rc < 0 ? rc : look_at(v, rows, n, err);
        arena_free(a);
    }
    return rc < 0 ? rc : 0;
}

int cache_verify(struct store *s, const struct verify_options *o, struct verify_report *ret,
                 struct err *err)
{
    struct verify v = {.store = s, .o = o};
    int lock = -1;
    int rc = 0;

    if (!s->db) { /* a store that is not there is whole */
        *ret = (struct verify_report){.complete = true};
        return 0;
    }
    if (o->repair) {
        rc = store_live(s, "verify", &lock, err);
        if (rc < 0) {
            return err && err->code == ERR_BUSY
                       ? err_set(err, ERR_BUSY, 0,
                                 "another `wf cache verify --repair` is at work on the store %s: "
                                 "let it end",
                                 s->dir)
                       : rc;
        }
    }
    rc = o->ids ? walk_some(&v, err) : walk_all(&v, err);
    id_map_done(&v.seen);
    vec_done(&v.jobs);
    if (rc == 0 && !o->ids && !verify_stop(&v)) {
        rc = verify_rows(&v, err);
    }
    if (lock >= 0) {
        store_unlive(s, "verify", lock);
    }
    v.report.complete = !v.stopped;
    if (rc == 0) {
        *ret = v.report;
    }
    return rc;
}
