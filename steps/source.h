/* SPDX-License-Identifier: Apache-2.0 */
/* What an ingest step brings in: a path of this machine, a file over HTTP, an object or folder of S3, a commit's folder or file of a git repository. */
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
struct str;
struct world;

enum source_kind { SOURCE_PATH, SOURCE_HTTP, SOURCE_S3, SOURCE_GIT };

/* Facts about a source as it was looked at or fetched. Strings live in the arena it was made in. */
struct source_facts {
    const char *path; /* where the bytes lie; NULL: not fetched (a 304, or nothing was needed) */
    const char *url;  /* as source_public_url() gives it; NULL: a path */
    char kind;        /* 'f' or 'd' */
    bool exec, have_records;
    bool have_digest;  /* of a URL: `digest` stands for the content */
    bool size_unknown; /* the server did not say how much there is */
    bool dirty;        /* git: the work tree has changes that the commit has not */
    struct digest digest;
    uint64_t bytes, files, records;
    const char *etag, *last_modified;
    const char *commit, *tree; /* git; tree: the id of the folder or file at the path */
    int64_t began_at_ms;
};

enum source_kind source_kind_of(const char *source);
bool source_is_url(const char *source); /* anything but a path */
/* Refuses what is no source with a sentence. */
int source_check(const char *source, struct err *err);
/* The URL as it may be shown and kept: without user, password and fragment (of git: with @ref:path), signatures in its query left out, and values there that are secrets by their name as
 * digests. It still tells two sources apart. */
const char *source_public_url(const char *url, struct arena *a);

/* git+https://host/repo.git@ref:path in its parts, in `a`. */
struct git_url {
    const char
        *url; /* https://host/repo.git, without a password; of file:// an absolute path as such */
    const char *name;            /* the same for messages */
    const char *repo;            /* a repository of this machine: its folder; NULL: elsewhere */
    const char *ref;             /* NULL: HEAD */
    const char *path;            /* NULL: all of it */
    const char *user, *password; /* from the URL; NULL */
};
/* dir: what git+file:// without a leading slash is relative to. */
int git_url_parse(const char *source, const char *dir, struct arena *a, struct git_url *ret,
                  struct err *err);

/* Who asks for it, from the step's own secrets (SOURCE_TOKEN, or SOURCE_USER and SOURCE_PASSWORD). NULL: nobody in particular. Borrowed from the world. */
struct source_auth {
    const char *user, *password, *token;
    bool missing; /* it has such secrets, but nobody knows them here (wf plan) */
};
void source_auth_of(const struct world *w, const struct step *step, struct source_auth *ret);

/* Counts bytes, files and lines of a file or folder. Blocking. */
int source_count(const char *path, bool records, struct source_facts *ret, struct err *err);
/* Of a path in a git work tree: commit, tree and dirty; best effort, blocking. */
void source_look_in_git(const char *path, struct arena *a, struct source_facts *ret);
/* The JSON kept as result.source. */
void source_json(const struct source_facts *f, struct str *out);
/* What an earlier result.source says; false: nothing usable. */
bool source_read_json(const char *json, struct arena *a, struct source_facts *ret);
void source_copy_facts(const struct source_facts *f, struct arena *a, struct source_facts *ret);
/* The digest that stands for what a git tree or blob holds. */
void source_tree_digest(const char *tree, char kind, bool exec, struct digest *ret);
/* Under `change`: the measure as text; NULL: it cannot be taken, and *ret_why says why, if more is known than that (else NULL). Both in `a` or static. `f`: what a URL gave; NULL: `path` is a path of this machine. A measuring command starts in `cwd` and finds the path
 * or URL in $WF_SOURCE. Blocking where it counts lines or runs a command. */
const char *source_measure(const struct step *step, const struct source_facts *f, const char *path,
                           const char *cwd, struct arena *a, const char **ret_why);

/* Fetches a URL (not a path) to `to`, a file or folder that is made or replaced; what breaks off is tried again (five tries, waiting longer each time), and taken up where it broke where the
 * server lets it. on_done comes once from the loop: `facts` NULL on failure (err says why); facts->path NULL: not fetched (not modified, or not wanted). Both borrowed for the call. */
typedef void (*source_fn)(const struct source_facts *facts, const struct err *err, void *arg);
struct fetch_request {
    const char *url, *to;
    const char *dir;                  /* the workflow's folder */
    const char *mirrors;              /* git: the folder of our copies of repositories */
    const char *sha256;               /* what it must be; NULL */
    const struct source_facts *known; /* what an earlier fetch said; NULL. Borrowed for the call */
    const char *commit;               /* git: this one, whatever the ref names now; NULL */
    struct source_auth auth;          /* borrowed until the end */
    bool
        head_only; /* what can be told without the content: etag, last_modified, bytes, commit, tree; `digest` only where have_digest says so */
    bool look_only; /* nothing is kept on this machine, not even for a look */
    bool one_try;   /* with head_only: tried once, and not for long: somebody waits for a look */
};
int source_fetch(struct loop *l, struct http *h, const struct fetch_request *r, source_fn on_done,
                 void *arg, struct source_fetch **ret, struct err *err);
void source_fetch_free(struct source_fetch *f); /* before on_done: aborts */

#endif
