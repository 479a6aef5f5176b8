/* SPDX-License-Identifier: Apache-2.0 */
/* Asking: the answer below ac/, wf's encoded result, the objects that are not here, the entry. Each part begins when the one before has brought what it was asked for; the first that did not ends it. */
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/action_result.h"
#include "cache/entries_internal.h"
#include "cache/failpoint.h"
#include "cache/foreign.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/remote_internal.h"
#include "cache/store_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* An object of the result that the store does not hold. */
struct wanted {
    struct digest digest;
    uint64_t bytes;
    enum object_kind kind;
    bool executable;
};
/* A document that the answer names. */
struct document {
    bool there, inlined;
    struct digest digest;
    uint64_t bytes;
    struct slice contents; /* while the answer is read */
};
struct remote_ask {
    struct write write; /* first */
    struct remote *remote;
    struct remote_ask *prev, *next; /* in remote->asks; by next in remote->ended */
    struct remote_question q;
    struct arena *arena;
    remote_fn fn;
    void *arg;
    struct document action, work, encoded;
    const char *maker; /* the store that made it */
    struct result result;
    VEC(struct wanted) wanted;
    struct id_map seen; /* objects looked at */
    uint64_t room;      /* bytes free for what is still to be wanted */
    size_t at;          /* of wanted: the next to be asked for */
    unsigned in_flight; /* transfers */
    bool inserting, over, has_found;
    struct remote_found found;
};

/* --- the end --- */

static void unlink_ask(struct remote_ask *k)
{
    *(k->prev ? &k->prev->next : &k->remote->asks) = k->next;
    if (k->next) {
        k->next->prev = k->prev;
    }
}

static void end(struct remote_ask *k, bool found)
{
    struct remote *r = k->remote;

    if (k->over) {
        return;
    }
    k->over = true;
    k->has_found = found;
    r->progress.found += found;
    transfer_drop_all(r, k);
    unlink_ask(k);
    k->next = r->ended;
    r->ended = k;
    loop_idle_post(r->idle);
}

/* For maintainers: what the user is told is the remote's to say. */
static void miss(struct remote_ask *k, const char *why)
{
    if (!k->over) {
        log_debug("remote", "%s: %s", k->q.step, why);
    }
    end(k, false);
}

static void lie(struct remote_ask *k, const char *what)
{
    CLEANUP(cleanup_free) char *text = xasprintf("the result of %s %s", k->q.step, what);

    if (!k->over) {
        remote_lied(k->remote, text);
        end(k, false);
    }
}

static void ask_free(struct remote_ask *k)
{
    vec_done(&k->wanted);
    id_map_done(&k->seen);
    arena_free(k->arena);
    free(k);
}

void asks_tell(struct remote *r)
{
    while (r->ended) {
        struct remote_ask *k = r->ended;
        r->ended = k->next;
        k->fn(k->has_found ? &k->found : NULL, k->arg);
        ask_free(k);
    }
}

void asks_give_up(struct remote *r)
{
    for (struct remote_ask *k = r->asks, *next; k; k = next) {
        next = k->next;
        if (!k->inserting) { /* else it is about to end by itself */
            miss(k, "given up");
        }
    }
}

const struct remote_ask *asks_next(const struct remote_ask *k)
{
    return k->next;
}

void remote_give_up_asking(struct remote *r)
{
    asks_give_up(r);
}

void asks_close(struct remote *r)
{
    asks_give_up(r);
    if (r->asks) {
        store_flush(r->o.store); /* entries under way: inserted() ends them */
    }
    while (r->ended) {
        struct remote_ask *k = r->ended;
        r->ended = k->next;
        ask_free(k);
    }
}

/* --- the entry --- */

static int apply_insert(struct write *w, struct db *db, struct err *err)
{
    struct remote_ask *k = (struct remote_ask *)w;
    struct entry_new e = {.key = k->q.key,
                          .workflow = k->q.workflow,
                          .step = k->q.step,
                          .action = k->q.action,
                          .action_len = k->q.action_len,
                          .work_digest = k->q.work_digest,
                          .work = k->q.work,
                          .work_len = k->q.work_len,
                          .result = &k->result};

    FAILPOINT("remote.insert");
    return entry_insert(k->remote->o.store, db, &e, &k->found.entry, err);
}

static void inserted(struct write *w, const struct err *err)
{
    struct remote_ask *k = (struct remote_ask *)w;

    k->inserting = false;
    if (err) {
        miss(k, err->msg);
    } else {
        end(k, true);
    }
}

static void insert(struct remote_ask *k)
{
    struct err err = {0};

    if (foreign_check_folders(k->remote->o.store, &k->result, &err) < 0) {
        err.code == ERR_CORRUPT ? lie(k, err.msg) : miss(k, err.msg);
        return;
    }
    k->inserting = true;
    k->write = (struct write){.apply = apply_insert, .done = inserted, .urgent = true};
    store_post(k->remote->o.store, &k->write);
}

/* --- objects --- */

static bool there(struct remote_ask *k, const struct digest *d, uint64_t bytes)
{
    struct store *s = k->remote->o.store;

    return objects_check(s, d, bytes, OBJECT_FILE, s->unclean) == OBJECT_GOOD;
}

static void want(struct remote_ask *k, const struct digest *d, uint64_t bytes,
                 enum object_kind kind, bool executable);

static int want_file(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct remote_ask *k = arg;

    (void)err;
    if (e->kind == 'f' || e->kind == 'x') {
        want(k, &e->digest, e->bytes, OBJECT_FILE, e->kind == 'x');
    }
    return k->over ? -(int)ERR_CANCELLED : 0;
}

/* The files of a folder whose list is here. */
static void want_files(struct remote_ask *k, const struct digest *d)
{
    CLEANUP(sb_done) struct str text = {0};
    struct err err = {0};

    if (objects_read(k->remote->o.store, d, REMOTE_DOCUMENT_MAX, &text, &err) < 0) {
        miss(k, err.msg);
    } else if (manifest_each(sb_text(&text), text.len, want_file, k, &err) < 0) {
        lie(k, err.msg); /* whose digest is right; ended already where a file was too much */
    }
}

static void want(struct remote_ask *k, const struct digest *d, uint64_t bytes,
                 enum object_kind kind, bool executable)
{
    int64_t head = object_head(d, kind), *seen = id_map_put(&k->seen, head ? head : 1);

    if (*seen) {
        return;
    }
    *seen = 1;
    if (there(k, d, bytes)) {
        if (kind == OBJECT_TREE) {
            want_files(k, d);
        }
        return;
    }
    if (kind == OBJECT_TREE && bytes > REMOTE_DOCUMENT_MAX) {
        miss(k, "the list of a folder's files is too long");
        return;
    }
    if (bytes > k->room) {
        remote_disk_problem(k->remote, "there is not enough space");
        miss(k, "no space");
        return;
    }
    k->room -= bytes;
    *vec_push(&k->wanted) = (struct wanted){*d, bytes, kind, executable};
}

static void advance(struct remote_ask *k);

static void fetched(struct transfer *t, enum answer a, const struct str *body)
{
    struct remote_ask *k = t->owner;
    const struct wanted w = k->wanted.items[t->tag];
    struct err err = {0};

    (void)body;
    k->in_flight--;
    if (a != ANSWER_GOOD) {
        miss(k, "an object could not be fetched");
        return;
    }
    FAILPOINT("remote.fetched");
    int sys = object_seal(t->fd, w.executable);
    int rc = sys < 0 ? err_set(&err, ERR_IO, -sys, "cannot seal %s", t->tmp)
                     : object_install(k->remote->o.store, t->tmp, &w.digest, w.bytes, false, &err);
    if (rc < 0) {
        remote_disk_problem(k->remote, err.msg);
        miss(k, err.msg);
        return;
    }
    free(take_ptr(t->tmp)); /* it has its name */
    remote_know(k->remote, &w.digest, CAS_THERE);
    k->found.bytes += w.bytes;
    if (w.kind == OBJECT_TREE) {
        want_files(k, &w.digest);
    }
    advance(k);
}

static void advance(struct remote_ask *k)
{
    while (!k->over && k->in_flight < REMOTE_EACH_MAX && k->at < k->wanted.len) {
        const struct wanted *w = &k->wanted.items[k->at];
        struct transfer *t = transfer_new(k->remote, GET_OBJECT, "cas", &w->digest, w->bytes);
        t->tag = k->at++;
        t->done = fetched;
        t->owner = k;
        k->in_flight++;
        transfer_queue(t);
    }
    if (!k->over && k->in_flight == 0) {
        insert(k);
    }
}

static void want_objects(struct remote_ask *k)
{
    const struct result *res = &k->result;
    struct statvfs fs;

    k->room = statvfs(store_dir(k->remote->o.store), &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize
                                                               : UINT64_MAX;
    for (uint32_t i = 0; i < res->n_outputs && !k->over; i++) {
        const struct result_output *o = &res->outputs[i];
        want(k, &o->digest, o->object_bytes, o->kind, o->executable);
    }
    if (res->has_log && !k->over) {
        want(k, &res->log, res->log_bytes, OBJECT_FILE, false);
    }
    advance(k);
}

/* --- the result --- */

static void use_result(struct remote_ask *k, const char *data, size_t len)
{
    struct err err = {0};

    if (result_decode(data, len, k->arena, &k->result, &err) < 0 || k->result.adopted) {
        lie(k, "is not one of wf");
        return;
    }
    if (foreign_check(&k->result, k->q.work, k->q.work_len, &err) < 0) {
        lie(k, err.msg);
        return;
    }
    k->result.origin = text_eq(k->maker, store_id(k->remote->o.store)) ? NULL : k->maker;
    if (k->q.not_before_ms > 0 && k->result.began_at_ms < k->q.not_before_ms) {
        miss(k, "too old");
        return;
    }
    want_objects(k);
}

static void encoded_came(struct transfer *t, enum answer a, const struct str *body)
{
    struct remote_ask *k = t->owner;

    k->in_flight--;
    if (a != ANSWER_GOOD) {
        miss(k, "its encoded result could not be fetched");
        return;
    }
    use_result(k, sb_text(body), body->len);
}

static void get_encoded(struct remote_ask *k)
{
    const struct document *d = &k->encoded;
    struct digest found;

    if (d->inlined) {
        digest_of(d->contents.data, d->contents.len, &found);
        if (d->contents.len == d->bytes && digest_eq(&found, &d->digest)) {
            use_result(k, d->contents.data, d->contents.len);
        } else {
            lie(k, "holds another document than it says");
        }
        return;
    }
    struct transfer *t = transfer_new(k->remote, GET_DOCUMENT, "cas", &d->digest, d->bytes);
    t->done = encoded_came;
    t->owner = k;
    k->in_flight++;
    transfer_queue(t);
}

/* --- the answer --- */

static int take_document(const struct action_file *f, void *arg, struct err *err)
{
    struct remote_ask *k = arg;
    struct document *d = slice_eq(f->path, slice_str(REMOTE_ACTION))   ? &k->action
                         : slice_eq(f->path, slice_str(REMOTE_WORK))   ? &k->work
                         : slice_eq(f->path, slice_str(REMOTE_RESULT)) ? &k->encoded
                                                                       : NULL;

    (void)err;
    if (d) {
        *d = (struct document){true, f->inlined, f->digest, f->bytes, f->contents};
    }
    return 0;
}

static const char *maker_of(struct remote_ask *k, struct slice worker)
{
    size_t head = strlen(REMOTE_WORKER);

    if (worker.len != head + ID_LEN || memcmp(worker.data, REMOTE_WORKER, head) != 0) {
        return "unknown";
    }
    const char *id = arena_strndup(k->arena, worker.data + head, ID_LEN);
    return id_time_ms(id) >= 0 ? id : "unknown";
}

static bool names(const struct document *d, const struct digest *digest, size_t bytes)
{
    return d->there && digest_eq(&d->digest, digest) && d->bytes == bytes;
}

static void answered(struct transfer *t, enum answer a, const struct str *body)
{
    struct remote_ask *k = t->owner;
    struct digest action;
    struct slice worker;

    k->in_flight--;
    if (a != ANSWER_GOOD) {
        miss(k, a == ANSWER_ABSENT ? "not there" : "no answer");
        return;
    }
    if (action_result_read(sb_text(body), body->len, take_document, k, &worker, NULL) < 0 ||
        !k->encoded.there) {
        lie(k, "is not an ActionResult of wf");
        return;
    }
    /* Of the action of this key, and no other: then neither it nor the work is fetched, they are here. */
    digest_of(k->q.action, k->q.action_len, &action);
    if (!names(&k->action, &action, k->q.action_len) ||
        !names(&k->work, &k->q.work_digest, k->q.work_len)) {
        lie(k, "is that of another action");
        return;
    }
    if (k->encoded.bytes > REMOTE_DOCUMENT_MAX) {
        lie(k, "is too large");
        return;
    }
    k->maker = maker_of(k, worker);
    get_encoded(k);
}

/* --- the beginning --- */

struct remote_ask *remote_ask(struct remote *r, const struct remote_question *q, remote_fn fn,
                              void *arg)
{
    struct digest key, work;
    struct remote_ask *k;
    struct transfer *t;

    action_key(q->action, q->action_len, &key);
    digest_of(q->work, q->work_len, &work);
    if (remote_off(r) || !digest_eq(&key, &q->key) || !digest_eq(&work, &q->work_digest)) {
        return NULL;
    }
    k = xcalloc(1, sizeof(*k));
    k->remote = r;
    k->arena = arena_new();
    k->q = *q;
    k->q.action = arena_strndup(k->arena, q->action, q->action_len);
    k->q.work = arena_strndup(k->arena, q->work, q->work_len);
    k->fn = fn;
    k->arg = arg;
    k->next = r->asks;
    if (k->next) {
        k->next->prev = k;
    }
    r->asks = k;
    t = transfer_new(r, GET_DOCUMENT, "ac", &q->key, REMOTE_DOCUMENT_MAX);
    t->any = true;
    t->done = answered;
    t->owner = k;
    k->in_flight++;
    transfer_queue(t);
    return k;
}
