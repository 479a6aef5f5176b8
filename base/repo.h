/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of git repositories, through libgit2, which is opened (dlopen) at first use. Everything here blocks and may be called on any thread. Nothing is ever written to a repository
 * but to a mirror of our own; no hook, filter or credential helper is run. */
#ifndef WF_BASE_REPO_H
#define WF_BASE_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define REPO_ID_LEN 40

/* A repository elsewhere. Texts borrowed. */
struct repo_remote {
    const char *url;  /* https://…, ssh://…, git://…, file://…; without a password */
    const char *name; /* the URL for messages */
    const char *ref;  /* a branch, a tag, a full ref, a whole commit id; NULL: what HEAD is there */
    const char *user, *password; /* NULL: none. ssh: the agent's keys, then ~/.ssh/id_* */
    /* Called while something is received; false breaks off (ERR_CANCELLED). May be NULL. */
    bool (*go_on)(void *arg);
    void *arg;
};
/* The commit that the ref names now. Nothing is fetched. A ref that is a whole commit id is not asked for. */
int repo_ask(const struct repo_remote *r, char ret_commit[REPO_ID_LEN + 1], struct err *err);
/* Brings that commit into the bare repository `mirror` (made where it is not there), unless it is there: without history where this libgit2 can. One caller at a time per mirror. */
int repo_fetch(const struct repo_remote *r, const char *commit, const char *mirror,
               struct err *err);

/* A commit's folder or file. */
struct repo_found {
    char commit[REPO_ID_LEN + 1];
    char id[REPO_ID_LEN + 1]; /* of the tree or blob at the path: equal ids, equal content */
    char kind;                /* 'd' 'f' */
    bool exec;
};
/* In the repository at `repo` (its folder, or a folder in its work tree): what the revision holds at `path` (NULL or "": all of it). ERR_NOT_FOUND: no such revision or path.
 * ERR_UNSUPPORTED: something of it is kept by Git LFS, and what git holds is no data. */
int repo_find(const char *repo, const char *name, const char *revision, const char *path,
              struct repo_found *ret, struct err *err);
/* Writes it below or as `to`, which must not exist, the bytes as the repository has them: no line endings converted, no filters, submodules as empty folders. */
int repo_check_out(const char *repo, const struct repo_found *f, const char *to, struct err *err);

/* Is something that git tracks at or below `path` (in a work tree) changed against HEAD? Files it does not track do not count. More than max_files in the index: it is not looked at.
 * 0: told. 1: no work tree, or not looked at. Negative: error. */
int repo_dirty(const char *path, size_t max_files, bool *ret, struct err *err);
/* The same without a bound, and files that git does not track or ignores count: does the work tree hold at `path` just what HEAD does? Only what is no part of any folder here (__pycache__, .ipynb_checkpoints) may be ignored. */
int repo_changed(const char *path, bool *ret, struct err *err);
/* The path below the work tree that it lies in ("" is the root), owned by the caller; NULL: no work tree. */
char *repo_path_in(const char *path);
const char *repo_library_version(void); /* of the headers: the one that will be opened */

#endif
