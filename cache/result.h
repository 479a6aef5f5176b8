/* SPDX-License-Identifier: Apache-2.0 */
/* The result of an attempt that succeeded: what a cache entry answers. Encoded as compact bytes (format at the top of result.c), shown as JSON. */
#ifndef WF_CACHE_RESULT_H
#define WF_CACHE_RESULT_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;
struct jsonw;
struct str;

enum object_kind { OBJECT_FILE, OBJECT_TREE /* the object is a manifest */ };

struct result_output {
    const char *name;
    const char *path; /* as declared, below $WF_OUT */
    enum object_kind kind;
    bool executable;
    struct digest digest;
    uint64_t bytes;        /* of a tree: the sum of its files */
    uint64_t object_bytes; /* of the object itself (a tree's manifest) */
};
struct result_value {
    const char *name;
    const char *text;
};
struct result {
    uint32_t n_outputs;
    struct result_output *outputs;
    uint32_t n_values;
    struct result_value *values;
    const char *metrics; /* JSON object text, NULL: none */
    bool has_log;
    struct digest log;
    uint64_t log_bytes;
    int64_t began_at_ms; /* when the attempt (for an ingest: the fetch) began */
    int64_t duration_ms;
    uint64_t cpu_us, max_rss_kib;
    const char *run; /* the run that made it */
    const char *
        origin; /* the id of the store that made it, where it came from a shared cache or an archive; NULL: this one */
    const char *adopted; /* JSON: from which entry, when and by whom it was taken over; NULL */
    const char *
        source; /* JSON about what was fetched (url, etag, last_modified, bytes, files, records), NULL */
    const char *measure; /* the baseline of `change`: a number or a word, NULL */
};

void result_encode(const struct result *r, struct str *out);
/* Everything lives in `a`. ERR_CORRUPT on anything unexpected: bounds are checked. */
int result_decode(const void *data, size_t len, struct arena *a, struct result *ret,
                  struct err *err);
/* The objects a result names, without a full decode: calls fn for each (outputs, log). */
int result_each_object(const void *data, size_t len,
                       int (*fn)(const struct digest *d, uint64_t object_bytes,
                                 enum object_kind kind, void *arg),
                       void *arg, struct err *err);
/* Was it taken over from another entry? By its flags alone. */
bool result_is_adopted(const void *data, size_t len);
void result_json(const struct result *r,
                 struct jsonw *w); /* outputs, values, metrics … as members of an open object */

#endif
