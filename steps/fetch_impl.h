/* SPDX-License-Identifier: Apache-2.0 */
/* Inside source_fetch(): one way of fetching per kind of source. Nobody else includes this. */
#ifndef WF_STEPS_FETCH_IMPL_H
#define WF_STEPS_FETCH_IMPL_H

#include "steps/source.h"

/* The first member of each. */
struct source_fetch {
    void (*free)(struct source_fetch *f);
};

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
