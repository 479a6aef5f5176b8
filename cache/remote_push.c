/* SPDX-License-Identifier: Apache-2.0 */
/* Sending an entry: first everything it names below cas/, what is not there yet; then, when all of it is there, the answer below ac/. Entries wait by their row ids alone and are read when their turn comes. */
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/action_result.h"
#include "cache/entries_internal.h"
#include "cache/failpoint.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/remote_internal.h"
#include "cache/store_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    PUSHES_MAX = 8,        /* entries at once */
    HEAD_BYTES = 16 << 10, /* asking costs less than sending from here on */
    INLINE_MAX = 64 << 10,
};

struct blob {
    struct digest digest;
    uint64_t bytes;
    const void *data; /* NULL: an object of the store */
};
struct push {
    struct remote *remote;
    struct push *prev, *next;
    struct arena *arena;
    struct digest key;
    struct str answer; /* the ActionResult */
    VEC(struct blob) blobs;
    size_t at;
    unsigned in_flight;
    bool answering;
};

/* --- what is to be sent --- */

static void add_blob(struct push *p, const char *path, size_t path_len, const struct digest *d,
                     uint64_t bytes, bool executable, const void *data)
{
    struct action_file f = {
        .path = slice_of(path, path_len), .digest = *d, .bytes = bytes, .executable = executable};

    if (data && bytes <= INLINE_MAX && strcmp(path, REMOTE_RESULT) == 0) {
        f.inlined = true; /* spares who asks one turn */
        f.contents = slice_of(data, (size_t)bytes);
    }
    action_result_file(&p->answer, &f);
    *vec_push(&p->blobs) = (struct blob){*d, bytes, data};
}

static void add_document(struct push *p, const char *path, const char *data, size_t len)
{
    struct digest d;

    digest_of(data, len, &d);
    add_blob(p, path, strlen(path), &d, len, false, data);
}

struct folder {
    struct push *push;
    struct str path;
    size_t root;
};

static int add_file(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct folder *f = arg;

    if (e->kind != 'f' && e->kind != 'x') {
        return 0;
    }
    if (f->push->answer.len > REMOTE_DOCUMENT_MAX) {
        return err_set(err, ERR_UNSUPPORTED, 0, "its folders hold too many files");
    }
    sb_truncate(&f->path, f->root);
    sb_putc(&f->path, '/');
    sb_add(&f->path, e->name, e->name_len);
    add_blob(f->push, sb_text(&f->path), f->path.len, &e->digest, e->bytes, e->kind == 'x', NULL);
    return 0;
}

static int add_output(struct push *p, const struct result_output *o, struct err *err)
{
    CLEANUP(sb_done) struct str list = {0};
    struct folder f = {.push = p};
    int rc;

    size_t len = strlen(o->path);
    while (len > 0 && o->path[len - 1] == '/') { /* of a folder */
        len--;
    }
    sb_printf(&f.path, "%s/%.*s", o->kind == OBJECT_TREE ? "wf/folders" : "out", (int)len, o->path);
    add_blob(p, sb_text(&f.path), f.path.len, &o->digest, o->object_bytes, o->executable, NULL);
    if (o->kind != OBJECT_TREE) {
        sb_done(&f.path);
        return 0;
    }
    sb_clear(&f.path);
    sb_printf(&f.path, "out/%.*s", (int)len, o->path);
    f.root = f.path.len;
    rc = objects_read(p->remote->o.store, &o->digest, REMOTE_DOCUMENT_MAX, &list, err);
    rc = rc < 0 ? rc : manifest_each(sb_text(&list), list.len, add_file, &f, err);
    sb_done(&f.path);
    return rc;
}

static int gather(struct push *p, int64_t id, struct err *err)
{
    struct store *s = p->remote->o.store;
    CLEANUP(cleanup_free) char *worker = xasprintf("%s%s", REMOTE_WORKER, store_id(s));
    const char *action, *work;
    struct entry e;
    struct result res;
    int rc = entry_get(s, id, p->arena, &e, err);

    rc = rc != 0 ? rc : entry_action(s, id, p->arena, &action, &work, err);
    if (rc != 0) {
        return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, 0, "its entry is gone");
    }
    p->key = e.key;
    rc = result_decode(e.data, e.data_len, p->arena, &res, err);
    if (rc < 0) {
        return rc;
    }
    if (res.adopted) { /* somebody's word for this machine alone */
        return err_set(err, ERR_UNSUPPORTED, 0, "it was adopted");
    }
    add_document(p, REMOTE_ACTION, action, strlen(action));
    add_document(p, REMOTE_WORK, work, strlen(work));
    add_document(p, REMOTE_RESULT, e.data, e.data_len);
    for (uint32_t i = 0; i < res.n_outputs && rc >= 0; i++) {
        rc = add_output(p, &res.outputs[i], err);
    }
    if (rc >= 0 && res.has_log) {
        add_blob(p, "log", 3, &res.log, res.log_bytes, false, NULL);
    }
    action_result_end(&p->answer, worker);
    return rc < 0 ? rc : 0;
}

/* --- sending --- */

static void push_free(struct push *p)
{
    vec_done(&p->blobs);
    sb_done(&p->answer);
    arena_free(p->arena);
    free(p);
}

static void push_end(struct push *p, const char *why_not)
{
    struct remote *r = p->remote;

    if (why_not) {
        log_debug("remote", "an entry was not sent: %s", why_not);
        r->progress.failed++;
    } else {
        r->progress.sent++;
    }
    transfer_drop_all(r, p);
    *(p->prev ? &p->prev->next : &r->pushes) = p->next;
    if (p->next) {
        p->next->prev = p->prev;
    }
    r->n_pushes--;
    push_free(p);
    loop_idle_post(r->idle);
}

static void advance(struct push *p);

static void sent(struct transfer *t, enum answer a, const struct str *body)
{
    struct push *p = t->owner;

    (void)body;
    p->in_flight--;
    if (a != ANSWER_GOOD) {
        push_end(p, "a part of it could not be sent");
        return;
    }
    p->remote->progress.sent_bytes += t->bytes;
    FAILPOINT("remote.sent");
    if (t->kind == PUT_ANSWER) {
        push_end(p, NULL);
        return;
    }
    remote_know(p->remote, &t->digest, CAS_THERE);
    advance(p);
}

static void queue(struct push *p, enum transfer_kind kind, size_t tag,
                  void (*done)(struct transfer *t, enum answer a, const struct str *body))
{
    const struct blob *b = &p->blobs.items[tag];
    struct transfer *t = transfer_new(p->remote, kind, "cas", &b->digest, b->bytes);

    t->data = b->data;
    t->tag = tag;
    t->done = done;
    t->owner = p;
    p->in_flight++;
    transfer_queue(t);
}

static void looked(struct transfer *t, enum answer a, const struct str *body)
{
    struct push *p = t->owner;

    (void)body;
    p->in_flight--;
    if (a == ANSWER_ABSENT) {
        queue(p, PUT_OBJECT, t->tag, sent);
    } else if (a == ANSWER_GOOD) {
        remote_know(p->remote, &t->digest, CAS_THERE);
        advance(p);
    } else {
        push_end(p, "no answer");
    }
}

static void send_answer(struct push *p)
{
    struct transfer *t = transfer_new(p->remote, PUT_ANSWER, "ac", &p->key, p->answer.len);

    /* The name is the key; what is signed is the content. */
    digest_of(sb_text(&p->answer), p->answer.len, &t->digest);
    t->data = sb_text(&p->answer);
    t->done = sent;
    t->owner = p;
    p->answering = true;
    p->in_flight++;
    transfer_queue(t);
}

static void advance(struct push *p)
{
    while (p->in_flight < REMOTE_EACH_MAX && p->at < p->blobs.len) {
        const struct blob *b = &p->blobs.items[p->at];
        int known = remote_knows(p->remote, &b->digest);
        if (known != CAS_THERE) {
            bool look = b->bytes >= HEAD_BYTES && known != CAS_WRONG;
            queue(p, look ? HEAD_OBJECT : PUT_OBJECT, p->at, look ? looked : sent);
        }
        p->at++;
    }
    if (p->in_flight == 0 && !p->answering) {
        send_answer(p);
    }
}

static void begin(struct remote *r, int64_t id)
{
    struct push *p = xcalloc(1, sizeof(*p));
    struct err err = {0};

    p->remote = r;
    p->arena = arena_new();
    p->next = r->pushes;
    if (p->next) {
        p->next->prev = p;
    }
    r->pushes = p;
    r->n_pushes++;
    if (gather(p, id, &err) < 0) {
        push_end(p, err.msg);
    } else {
        advance(p);
    }
}

void pushes_fill(struct remote *r)
{
    while (r->n_pushes < PUSHES_MAX && r->pushed < r->to_push.len) {
        begin(r, r->to_push.items[r->pushed++]);
    }
}

void pushes_give_up(struct remote *r)
{
    r->progress.failed += (uint32_t)(r->to_push.len - r->pushed);
    r->pushed = r->to_push.len;
    while (r->pushes) {
        push_end(r->pushes, "given up");
    }
}

void remote_give_up_pushing(struct remote *r)
{
    pushes_give_up(r);
}

void remote_push(struct remote *r, int64_t entry)
{
    if (r->o.read_only) {
        return;
    }
    if (r->no_uploads || remote_off(r)) {
        r->progress.failed++;
        return;
    }
    *vec_push(&r->to_push) = entry;
    r->push_idle_due = true;
    loop_idle_post(r->idle);
}
