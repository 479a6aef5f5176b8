/* SPDX-License-Identifier: Apache-2.0 */
/* What an ingest step brings in: a path of this machine, or a URL. */
#ifndef WF_STEPS_SOURCE_H
#define WF_STEPS_SOURCE_H

#include "base/digest.h"
#include "workflows/model.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct err;
struct http;
struct loop;
struct source_fetch;
struct statcache;
struct str;

/* Facts about a source as it was looked at or fetched. Strings live in the arena it was made in. */
struct source_facts {
    const char *path; /* where the bytes lie; NULL: not fetched (a 304, or nothing was needed) */
    const char *url;  /* without user and password; NULL: a path */
    char kind;        /* 'f' or 'd' */
    bool exec, have_records;
    struct digest digest;
    uint64_t bytes, files, records;
    const char *etag, *last_modified;
    int64_t began_at_ms;
};

bool source_is_url(const char *source);
/* Refuses what is not built yet (s3, git) with a sentence. */
int source_check(const char *source, struct err *err);
/* The URL without user and password, and its fragment. */
const char *source_public_url(const char *url, struct arena *a);

/* Counts bytes, files and lines of a file or folder. Blocking. */
int source_count(const char *path, bool records, struct source_facts *ret, struct err *err);
/* The JSON kept as result.source. */
void source_json(const struct source_facts *f, struct str *out);
/* What an earlier result.source says; false: nothing usable. */
bool source_read_json(const char *json, struct arena *a, struct source_facts *ret);
/* Under `change`: the measure as text; NULL: it cannot be taken. `f`: what a URL gave; NULL: `path` is a path of this machine. A measuring command starts in `cwd` and finds the path
 * or URL in $WF_SOURCE. Blocking where it counts lines or runs a command. */
const char *source_measure(const struct step *step, const struct source_facts *f, const char *path,
                           const char *cwd, struct arena *a);

/* Fetches over HTTP into the file `to` (resumed where the server lets it, five tries). `known`: what an earlier fetch said, for a conditional request; NULL: none. on_done comes once
 * from the loop: `facts` NULL on failure (err says why); facts->path NULL: not modified. Both borrowed for the call. */
typedef void (*source_fn)(const struct source_facts *facts, const struct err *err, void *arg);
struct fetch_request {
    const char *url, *to;
    const char *sha256;               /* what it must be; NULL */
    const struct source_facts *known; /* borrowed for the call */
    bool head_only;                   /* only headers: etag, last_modified, bytes */
};
int source_fetch(struct loop *l, struct http *h, const struct fetch_request *r, source_fn on_done,
                 void *arg, struct source_fetch **ret, struct err *err);
void source_fetch_free(struct source_fetch *f); /* before on_done: aborts */

#endif
