/* SPDX-License-Identifier: Apache-2.0 */
/* A cache shared by several stores: an HTTP server (http://…, https://…: nginx with WebDAV, bazel-remote, any that speaks Bazel's HTTP protocol) or a bucket (s3://bucket/prefix; base/s3.h says
 * from which variables its keys come). Below the URL lie, as Bazel's remote cache has them,
 *
 *   ac/KEY        what an action made: an ActionResult (action_result.h) that names every object below cas/ it needs, so that servers can check and keep it whole
 *   cas/DIGEST    content by SHA-256: outputs, the files of folders, logs, and wf's own documents (the encoded result, the action, the work)
 *
 * Nothing that comes back is believed: every byte is compared with the digest it was asked by before it counts, and the answer to a key names the action of that key. What is wrong, missing, late or too
 * large is a miss; it costs one warning and never fails a step. Who may write to the server decides what results are.
 *
 * Everything runs on the loop; nothing here blocks but for small files. */
#ifndef WF_CACHE_REMOTE_H
#define WF_CACHE_REMOTE_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct remote;
struct remote_ask;
struct store;
struct str;

struct remote_options {
    const char *url;   /* "http://user:password@host/path": the two are never shown */
    const char *token; /* sent as "Authorization: Bearer …" to an HTTP server; NULL: none */
    bool read_only;    /* nothing is ever sent there */
    struct store *store;
    struct loop *loop;
    /* 0: 2 s to connect, 10 s without progress, 60 s of silence after a failure. For tests. */
    int64_t connect_ms, stall_ms, pause_ms;
    /* One sentence for the user; at most one about outages, one about wrong answers, one about uploads. May be NULL. */
    void (*on_warning)(const char *text, void *arg);
    /* The last upload has ended, or was given up. May be NULL. */
    void (*on_idle)(void *arg);
    void *arg;
};
/* Opens no connection. ERR_USAGE: the URL or the environment is off; ERR_UNSUPPORTED: there is no libcurl. */
int remote_open(const struct remote_options *o, struct remote **ret, struct err *err);
/* Drops what is under way without a callback; half files are removed. */
void remote_close(struct remote *r);
/* The URL without user, password and query, as it may be shown. Borrowed. */
const char *remote_name(const struct remote *r);

/* --- reading --- */
struct remote_question {
    struct digest key, work_digest;
    const char *action, *work; /* key is the key of this action, which names work_digest; copied */
    size_t action_len, work_len;
    const char *workflow, *step; /* the entry's, for listings; live as long as the remote */
    int64_t not_before_ms;       /* results that began earlier are not wanted; 0: any */
};
struct remote_found {
    int64_t entry;  /* its row in the store: committed */
    uint64_t bytes; /* that came over the network for it */
};
/* found NULL: there is none, or not a whole one, or the server is left alone for a while. */
typedef void (*remote_fn)(const struct remote_found *found, void *arg);
/* Fetches the result, the objects of it that the store does not hold, and makes the entry; then calls `fn` once, from the loop, never from within. */
struct remote_ask *remote_ask(struct remote *r, const struct remote_question *q, remote_fn fn,
                              void *arg);
/* All that is being asked ends soon, as not found. */
void remote_give_up_asking(struct remote *r);

/* --- writing --- */
bool remote_writes(const struct remote *r); /* not read-only, and no upload was refused */
/* Sends the entry and what it names, in the background. */
void remote_push(struct remote *r, int64_t entry);
struct remote_progress {
    uint32_t asking;  /* questions under way */
    uint32_t waiting; /* entries not sent yet */
    uint32_t sent, failed;
    uint64_t sent_bytes, fetched_bytes; /* fetched: with what is still coming */
    uint32_t found;                     /* questions that were answered */
};
void remote_progress(const struct remote *r, struct remote_progress *ret);
/* What was not sent by now stays here. on_idle follows if something was. */
void remote_give_up_pushing(struct remote *r);

/* Does it answer? Runs the loop until it does, or the time for that is over. Text for `wf doctor` is appended to `out`; negative: it does not. */
int remote_probe(struct remote *r, struct str *out, struct err *err);

#endif
