/* SPDX-License-Identifier: Apache-2.0 */
/* One request to the shared cache: waits for a place, is sent, and its answer judged. What is fetched is hashed as it comes and never longer than it was said to be. */
#include "base/err.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"
#include "cache/failpoint.h"
#include "cache/objects_internal.h"
#include "cache/remote_internal.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CALL_MS = 60000,     /* for any request */
    SLOWEST = 64 << 10,  /* and a second for so many bytes of it */
    REASON_BYTES = 2000, /* of a refusal's text */
};

struct transfer *transfer_new(struct remote *r, enum transfer_kind kind, const char *folder,
                              const struct digest *d, uint64_t bytes)
{
    struct transfer *t = xcalloc(1, sizeof(*t));
    char hex[DIGEST_HEX + 1];

    digest_hex(d, hex);
    (void)snprintf(t->name, sizeof(t->name), "%s/%s", folder, hex);
    t->remote = r;
    t->kind = kind;
    t->digest = *d;
    t->bytes = bytes;
    t->fd = -1;
    return t;
}

static void unlink_active(struct transfer *t)
{
    struct remote *r = t->remote;

    *(t->prev ? &t->prev->next : &r->active) = t->next;
    if (t->next) {
        t->next->prev = t->prev;
    }
    t->active = false;
    r->n_active--;
}

static void transfer_free(struct transfer *t)
{
    if (t->fd >= 0) {
        close(t->fd);
    }
    if (t->tmp) {
        unlink(t->tmp);
    }
    digest_free(t->ctx);
    free(t->tmp);
    free(t);
}

/* --- an answer as it comes --- */

static bool on_data(const void *data, size_t len, void *arg)
{
    struct transfer *t = arg;
    struct err err = {0};

    if (len > t->bytes - t->got) {
        t->too_much = true;
        return false;
    }
    if (fs_write_all(t->fd, data, len, &err) < 0) {
        t->sys = err.sys ? err.sys : EIO;
        return false;
    }
    digest_add(t->ctx, data, len);
    t->got += len;
    FAILPOINT("remote.fetching");
    return true;
}

/* What a server says beside an error is not kept, and what is no content is not written. */
static bool on_headers(const struct http_call *c, void *arg)
{
    (void)arg;
    return http_status(c) == 200;
}

/* --- an answer judged --- */

static void add_reason(const struct transfer *t, const struct http_response *resp, struct str *out)
{
    CLEANUP(sb_done) struct str said = {0};

    if (resp->err && (resp->status == 0 || resp->status / 100 == 2)) {
        /* Without the URL before it: the cache is named by who tells it. */
        const char *text = resp->err->msg, *behind = strstr(text, "': ");
        sb_puts(out, text[0] == '\'' && behind ? behind + 3 : text);
        return;
    }
    sb_printf(out, "HTTP status %d", resp->status);
    if (t->remote->s3 && resp->body.len > 0) {
        s3_refusal(resp->body.data, resp->body.len, &said);
    }
    if (said.len > 0) {
        sb_truncate(&said, said.len < REASON_BYTES ? said.len : REASON_BYTES);
        sb_printf(out, ", %s", sb_text(&said));
    }
    if (resp->status == 401 || resp->status == 403) {
        sb_puts(out, t->remote->s3 ? "; are the keys right, and do they allow to list the bucket?"
                                   : "; is the password or the token right?");
    }
}

static enum answer wrong(const struct transfer *t, const char *how)
{
    CLEANUP(cleanup_free) char *what = xasprintf("%.16s… %s", t->name, how);

    remote_know(t->remote, &t->digest, CAS_WRONG);
    remote_lied(t->remote, what);
    return ANSWER_WRONG;
}

static enum answer judge_content(struct transfer *t, const struct http_response *resp)
{
    struct digest found;

    if (t->any) {
        return ANSWER_GOOD; /* judged by who asked */
    }
    if (t->kind == GET_OBJECT) {
        digest_end(t->ctx, &found);
    } else {
        t->got = resp->body.len;
        digest_of(sb_text(&resp->body), resp->body.len, &found);
    }
    if (t->got != t->bytes) {
        return wrong(t, "has another size");
    }
    return digest_eq(&found, &t->digest) ? ANSWER_GOOD : wrong(t, "has another content");
}

static enum answer judge_get(struct transfer *t, const struct http_response *resp)
{
    if (t->too_much || (resp->status == 200 && resp->err && resp->err->code == ERR_INVALID)) {
        return wrong(t, "is larger than it may be");
    }
    if (t->sys || (resp->err && resp->status == 200)) {
        return ANSWER_NONE;
    }
    if (resp->status == 200) {
        return judge_content(t, resp);
    }
    return resp->err || resp->status == 0 || resp->status >= 400
               ? ANSWER_NONE
               : wrong(t, "came with a strange status");
}

/* Sent by somebody else meanwhile: as good. */
static bool taken(int status)
{
    return status / 100 == 2 || status == 409 || status == 412;
}

static enum answer judge_put(struct transfer *t, const struct http_response *resp)
{
    CLEANUP(sb_done) struct str why = {0};

    if (resp->status == 0 || (resp->err && resp->err->code == ERR_IO)) {
        return ANSWER_NONE;
    }
    if (taken(resp->status)) { /* even if the connection broke after it */
        return ANSWER_GOOD;
    }
    add_reason(t, resp, &why);
    remote_upload_refused(t->remote, resp->status, sb_text(&why));
    return ANSWER_WRONG;
}

static enum answer judge_head(const struct http_call *c, struct transfer *t,
                              const struct http_response *resp)
{
    const char *length = http_header(c, "Content-Length");

    if (resp->status != 200) {
        return resp->status / 100 == 2 ? ANSWER_ABSENT : ANSWER_NONE;
    }
    /* One of another size is sent again. */
    return length && strtoull(length, NULL, 10) != t->bytes ? ANSWER_ABSENT : ANSWER_GOOD;
}

/* A bucket that is not there is no cache without a result. */
static bool no_bucket(const struct transfer *t, const struct http_response *resp)
{
    CLEANUP(sb_done) struct str said = {0};

    if (t->remote->s3 && resp->body.len > 0) {
        s3_refusal(resp->body.data, resp->body.len, &said);
    }
    return text_starts(sb_text(&said), "NoSuchBucket");
}

static enum answer judge(const struct http_call *c, struct transfer *t,
                         const struct http_response *resp)
{
    bool puts = t->kind == PUT_OBJECT || t->kind == PUT_ANSWER;

    if (puts) {
        return judge_put(t, resp);
    }
    if (resp->status == 404 || resp->status == 410) {
        return no_bucket(t, resp) ? ANSWER_NONE : ANSWER_ABSENT;
    }
    return t->kind == HEAD_OBJECT ? judge_head(c, t, resp) : judge_get(t, resp);
}

static void on_done(struct http_call *c, const struct http_response *resp, void *arg)
{
    struct transfer *t = arg;
    struct remote *r = t->remote;
    CLEANUP(sb_done) struct str why = {0};
    enum answer a = judge(c, t, resp);
    bool ours = t->sys || (resp->err && resp->err->code == ERR_IO);

    unlink_active(t);
    t->call = NULL;
    if (a == ANSWER_GOOD && t->kind != HEAD_OBJECT && t->kind <= GET_OBJECT) {
        r->progress.fetched_bytes += t->kind == GET_OBJECT ? t->got : resp->body.len;
    }
    if (a == ANSWER_NONE && ours) {
        sb_puts(&why, t->sys ? strerror(t->sys) : resp->err->msg);
        remote_disk_problem(r, sb_text(&why));
    } else if (a == ANSWER_NONE) {
        add_reason(t, resp, &why);
    }
    t->done(t, a, &resp->body);
    transfer_free(t);
    if (a == ANSWER_NONE && !ours) {
        remote_outage(r, sb_text(&why));
    }
    loop_idle_post(r->idle);
}

/* --- sending --- */

static int open_tmp(struct transfer *t, struct err *err)
{
    t->tmp = store_tmp(t->remote->o.store);
    t->fd = open(t->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (t->fd < 0) {
        int sys = errno;
        free(take_ptr(t->tmp));
        return err_set(err, ERR_IO, sys, "cannot make a file in the store");
    }
    t->ctx = digest_new();
    digest_begin(t->ctx);
    return 0;
}

static int open_object(struct transfer *t, struct err *err)
{
    CLEANUP(cleanup_free) char *path = objects_path(t->remote->o.store, &t->digest);
    struct stat st;

    t->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (t->fd < 0 || fstat(t->fd, &st) != 0 || !object_stat_good(&st, t->bytes)) {
        return err_set(err, ERR_IO, ENOENT, "%s", path);
    }
    return 0;
}

static int prepare(struct transfer *t, struct http_request *http, struct err *err)
{
    const struct remote_options *o = &t->remote->o;

    http->connect_timeout_ms = o->connect_ms;
    http->stall_timeout_ms = o->stall_ms;
    http->timeout_ms = CALL_MS + (int64_t)(t->bytes / SLOWEST) * 1000;
    switch (t->kind) {
    case GET_DOCUMENT:
        http->max_body = t->bytes > 0 ? (size_t)t->bytes : 1;
        return 0;
    case GET_OBJECT:
        http->stream = true;
        http->on_data = on_data;
        http->on_headers = on_headers;
        return open_tmp(t, err);
    case HEAD_OBJECT:
        return 0;
    default:
        if (t->data || t->bytes == 0) {
            http->body = t->data ? t->data : "";
            http->body_len = (size_t)t->bytes;
            return 0;
        }
        http->upload = true;
        http->upload_size = t->bytes;
        int rc = open_object(t, err);
        http->upload_fd = t->fd;
        return rc;
    }
}

static int start(struct transfer *t, struct err *err)
{
    struct remote *r = t->remote;
    struct request q;
    int rc = 0;

    if (!r->http) {
        rc = http_open(r->o.loop, &r->http, err);
        if (rc == 0) {
            http_bound(r->http, REMOTE_ACTIVE_MAX); /* what waits here is queued by us, untimed */
        }
    }
    rc = rc < 0 ? rc : request_make(r, t, &q, err);
    if (rc < 0) {
        return rc;
    }
    rc = prepare(t, &q.http, err);
    rc = rc < 0 ? rc : http_start(r->http, &q.http, on_done, t, &t->call, err);
    request_done(&q);
    return rc;
}

void transfer_queue(struct transfer *t)
{
    struct remote *r = t->remote;

    t->prev = r->queue_tail;
    t->next = NULL;
    *(r->queue_tail ? &r->queue_tail->next : &r->queue) = t;
    r->queue_tail = t;
    loop_idle_post(r->idle);
}

static void unlink_queued(struct transfer *t)
{
    struct remote *r = t->remote;

    *(t->prev ? &t->prev->next : &r->queue) = t->next;
    *(t->next ? &t->next->prev : &r->queue_tail) = t->prev;
}

/* Could not even be begun. An object that is gone from the store is nobody's fault: gc was here. */
static void failed(struct transfer *t, const struct err *err)
{
    struct remote *r = t->remote;
    struct str none = {0};
    bool sends = t->kind == PUT_OBJECT || t->kind == PUT_ANSWER;
    bool disk = err->code == ERR_IO;

    if (disk && !sends) {
        remote_disk_problem(r, err->msg);
    }
    t->done(t, ANSWER_NONE, &none);
    transfer_free(t);
    if (!disk) {
        remote_outage(r, err->msg);
    }
}

void transfer_fill(struct remote *r)
{
    while (r->n_active < REMOTE_ACTIVE_MAX && r->queue) {
        struct transfer *t = r->queue;
        struct err err = {0};
        unlink_queued(t);
        if (start(t, &err) < 0) {
            failed(t, &err);
            continue;
        }
        t->prev = NULL;
        t->next = r->active;
        if (t->next) {
            t->next->prev = t;
        }
        r->active = t;
        t->active = true;
        r->n_active++;
    }
}

void transfer_drop_all(struct remote *r, const void *owner)
{
    for (struct transfer *t = r->queue, *next; t; t = next) {
        next = t->next;
        if (!owner || t->owner == owner) {
            unlink_queued(t);
            transfer_free(t);
        }
    }
    for (struct transfer *t = r->active, *next; t; t = next) {
        next = t->next;
        if (!owner || t->owner == owner) {
            unlink_active(t);
            http_abort(t->call);
            transfer_free(t);
        }
    }
    loop_idle_post(r->idle);
}
