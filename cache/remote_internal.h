/* SPDX-License-Identifier: Apache-2.0 */
/* What the files remote*.c share: a remote, and a transfer (one request to it). */
#ifndef WF_CACHE_REMOTE_INTERNAL_H
#define WF_CACHE_REMOTE_INTERNAL_H

#include "base/http.h"
#include "base/vec.h"
#include "cache/id_map.h"
#include "cache/remote.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest_ctx;
struct loop_idle;
struct push;
struct s3;
struct timer;
struct transfer;

/* The names of wf's own documents in an ActionResult. */
#define REMOTE_ACTION "wf/action.json"
#define REMOTE_WORK "wf/work.json"
#define REMOTE_RESULT "wf/result"
#define REMOTE_WORKER "wf/" /* and the store's id: who made it */

enum {
    REMOTE_DOCUMENT_MAX = 32 << 20, /* an ActionResult, an encoded result, a folder's list */
    REMOTE_ACTIVE_MAX = 16,         /* transfers at once */
    REMOTE_EACH_MAX = 6,            /* of one entry */
};

struct remote {
    struct remote_options o;
    char *name;
    /* HTTP: */
    char *base; /* without user, password and the last slash */
    char *user, *password, *bearer;
    /* S3: */
    struct s3 *s3;
    char *bucket, *prefix; /* prefix: "", or with a slash at its end */

    struct http *http; /* opened at the first transfer */
    struct transfer *queue, *queue_tail, *active;
    unsigned n_active;
    struct loop_idle *idle; /* tells what has ended; fills free places */

    int64_t off_until_us; /* monotonic; left alone until then */
    unsigned lies;
    bool told_outage, told_lie, told_upload, told_disk;
    bool no_uploads, closing;
    struct str *probe; /* during remote_probe(): what went wrong */

    struct remote_ask *asks, *ended;
    VEC(int64_t) to_push;
    size_t pushed; /* how many of to_push were begun */
    struct push *pushes;
    unsigned n_pushes;
    bool push_idle_due;
    struct id_map known; /* by digest_head(): what cas/ holds; CAS_… */
    struct remote_progress progress;
};
enum { CAS_THERE = 1, CAS_WRONG = 2 /* another content was served: to be sent in any case */ };

/* --- remote.c --- */
bool remote_off(const struct remote *r);
/* The server could not be spoken with: nothing is asked or sent for a while, what is under way ends. */
void remote_outage(struct remote *r, const char *why);
void remote_lied(struct remote *r, const char *what);
/* status: what it answered with; of 5xx its own log says more than we can. */
void remote_upload_refused(struct remote *r, int status, const char *why);
void remote_disk_problem(struct remote *r, const char *why);
void remote_know(struct remote *r, const struct digest *d, int what);
int remote_knows(const struct remote *r, const struct digest *d); /* 0: nothing */

/* --- remote_transfer.c --- */
enum transfer_kind { GET_DOCUMENT, GET_OBJECT, HEAD_OBJECT, PUT_OBJECT, PUT_ANSWER };
enum answer {
    ANSWER_GOOD,   /* of GET: size and digest are as asked for */
    ANSWER_ABSENT, /* 404 */
    ANSWER_WRONG,  /* not what was asked for; told by remote_lied() already */
    ANSWER_NONE, /* no answer that could be used; remote_outage() follows, if it was the server's fault */
};
struct transfer {
    struct remote *remote;
    struct transfer *next, *prev;
    enum transfer_kind kind;
    char name[72];        /* "cas/HEX" */
    struct digest digest; /* of cas/: asked for, or sent */
    bool any;             /* of ac/: its content is not known before */
    uint64_t bytes;       /* asked for or sent; of an answer: at most */
    const void *data;     /* what is sent; NULL: the store's object */
    /* What came for GET_OBJECT lies in the file `tmp` in the store, open as `fd`; removed with the transfer unless it was moved. */
    char *tmp;
    int fd;
    struct digest_ctx *ctx;
    uint64_t got;
    int sys; /* a local failure */
    bool too_much, active;
    struct http_call *call;
    /* Called once; the transfer is freed after it. `body` is what a GET_DOCUMENT brought. */
    void (*done)(struct transfer *t, enum answer a, const struct str *body);
    void *owner;
    size_t tag; /* the owner's */
};
/* For an answer below ac/ (`d`: the key) or an object below cas/. Fill in data, done, owner; then queue. */
struct transfer *transfer_new(struct remote *r, enum transfer_kind kind, const char *folder,
                              const struct digest *d, uint64_t bytes);
void transfer_queue(struct transfer *t);
/* Aborts and frees those of one owner (NULL: all). */
void transfer_drop_all(struct remote *r, const void *owner);
void transfer_fill(struct remote *r); /* starts what has a place */

/* --- remote_request.c: the seam between the two kinds of servers --- */
/* A request with headers that live until request_done(). */
struct request {
    struct http_request http;
    struct s3_call *s3;
    char *url;
    const char *headers[3];
};
int remote_parse(struct remote *r, const char *url, struct err *err);
int request_make(struct remote *r, const struct transfer *t, struct request *ret, struct err *err);
void request_done(struct request *q);

/* --- remote_ask.c, remote_push.c --- */
void asks_give_up(struct remote *r);
const struct remote_ask *asks_next(const struct remote_ask *k);
void asks_tell(struct remote *r);
void asks_close(struct remote *r);
void pushes_fill(struct remote *r);
void pushes_give_up(struct remote *r);

#endif
