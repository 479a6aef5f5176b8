/* SPDX-License-Identifier: Apache-2.0 */
/* The value below ac/: an ActionResult of Bazel's Remote Execution API (build/bazel/remote/execution/v2/remote_execution.proto), of which these fields are written and read:
 *
 *   ActionResult             2 output_files (OutputFile) · 4 exit_code · 9 execution_metadata (ExecutedActionMetadata)
 *   OutputFile               1 path · 2 digest (Digest) · 4 is_executable · 5 contents
 *   Digest                   1 hash (hex text) · 2 size_bytes
 *   ExecutedActionMetadata   1 worker
 *
 * Other fields are passed over. Protocol Buffers' wire format; bounds are checked. */
#ifndef WF_CACHE_ACTION_RESULT_H
#define WF_CACHE_ACTION_RESULT_H

#include "base/digest.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct action_file {
    struct slice path; /* relative, UTF-8 */
    struct digest digest;
    uint64_t bytes;
    bool executable;
    bool inlined; /* `contents` holds it as well */
    struct slice contents;
};
/* Appends one file, then the end: together a whole message. Bytes of a path that are no UTF-8, and controls, are written as %XX. */
void action_result_file(struct str *out, const struct action_file *f);
void action_result_end(struct str *out, const char *worker);

/* fn is called for each file, in order; slices are borrowed from `data`; negative stops. *ret_worker: borrowed, empty when there is none. ERR_INVALID: not such a message, or one of an action that failed. */
int action_result_read(const void *data, size_t len,
                       int (*fn)(const struct action_file *f, void *arg, struct err *err),
                       void *arg, struct slice *ret_worker, struct err *err);

#endif
