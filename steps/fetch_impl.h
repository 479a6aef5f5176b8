/* SPDX-License-Identifier: Apache-2.0 */
/* Inside source_fetch(): one way of fetching per kind of source. Nobody else includes this. */
#ifndef WF_STEPS_FETCH_IMPL_H
#define WF_STEPS_FETCH_IMPL_H

#include "steps/source.h"

/* The first member of each. */
struct source_fetch {
    void (*free)(struct source_fetch *f);
};

/* What breaks off is tried so often; the wait before the n-th further try: 0.5, 1, 2, 4 s. A stall is less than 1 KiB/s. Who only looks (one_try) is not kept waiting. */
enum {
    FETCH_TRIES = 5,
    FETCH_WAIT_MS = 250, /* doubled before each further try */
    FETCH_STALL_MS = 60000,
    LOOK_CONNECT_MS = 3000,
    LOOK_STALL_MS = 10000,
};
/* A status that may be another the next time. */
bool fetch_may_pass(int status);

/* One file over HTTP, or one S3 object. */
int fetch_file(struct loop *l, struct http *h, const struct fetch_request *r, source_fn on_done,
               void *arg, struct source_fetch **ret, struct err *err);
/* All S3 objects below a prefix. */
int fetch_s3_folder(struct loop *l, struct http *h, const struct fetch_request *r,
                    source_fn on_done, void *arg, struct source_fetch **ret, struct err *err);
int fetch_git(struct loop *l, const struct fetch_request *r, source_fn on_done, void *arg,
              struct source_fetch **ret, struct err *err);
/* ERR_INVALID: the digest is not what `sha256` says. NULL: nothing is said. */
int fetch_check_digest(const struct source_facts *f, const char *sha256, struct err *err);

#endif
