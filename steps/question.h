/* SPDX-License-Identifier: Apache-2.0 */
/* The question an instance puts to the cache before each attempt: its inputs looked at now, its action, its key. */
#ifndef WF_STEPS_QUESTION_H
#define WF_STEPS_QUESTION_H

#include "base/digest.h"
#include "base/str.h"
#include "steps/world.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct arena;
struct asker;
struct err;

/* A file or folder that the step reads, as it was when the step became ready. */
struct seen_input {
    uint32_t
        input; /* index into step->inputs; UINT32_MAX: found in the text (semantics 19) or the source */
    const char *path; /* absolute host path (as resolved) */
    const char *rel;  /* declared or found path below the workflow's folder; NULL: absolute or .. */
    const char *name; /* NULL: unnamed */
    char kind;        /* 'f' 'd' 'a' */
    bool exec;
    bool source;           /* the `source` of an ingest step */
    struct stat st;        /* of a file */
    struct digest digest;  /* of the content; a folder's manifest */
    uint64_t bytes, files; /* of a folder */
    uint64_t stamp;        /* of a folder, in place of st */
};
/* A pattern; what it matched are the inputs with the same index, in this order. */
struct seen_glob {
    uint32_t input;
    const char *pattern;
};
struct question {
    bool memoized; /* false: never asked nor stored; why_not says why in words */
    const char *why_not;
    struct digest key;
    const char *action;
    size_t action_len;
    struct digest work;
    const char *work_json;
    size_t work_len;
    bool has_identity;
    struct digest identity; /* of time and change */
    uint32_t n_inputs;
    struct seen_input *inputs;
    uint32_t n_globs;
    struct seen_glob *globs;
    const char
        *program; /* host: resolved absolute program of command[0], or the shell; NULL: not found */
    const char *measure;     /* of `change`: taken now, NULL: failed or not asked */
    const char *measure_why; /* why it failed; NULL: it did not, or is not known */
    const char *warning;     /* a sentence for the user, whatever the answer is; NULL */
    struct arena *arena;     /* where all of it lives; owned by the question's owner */
};

/* One per run: memo of programs and words already looked up. */
struct asker *asker_new(const struct world *w);
void asker_free(struct asker *a);

/* Builds the question on the loop thread. 0: complete. 1: something must be read first (hashing a file the stat cache does not know and that is larger than 64 KiB, a folder, a glob, a measure,
 * a fetched source, an image to resolve): call question_work() — it finishes on the pool and through the loop and calls on_ready(err) — and then question_ask() again, which then answers 0.
 * hashFiles() is the exception: which files it means is known only as its expression is
 * evaluated, so they are hashed right here, whatever their size (once: the stat cache remembers them); large data belongs under `inputs`. Negative: the step cannot run (an input is missing, an
 * expression fails); err is the step's error. `image` is the resolved image, NULL on the host. `a` receives everything. */
int question_ask(struct asker *k, const struct instance_ref *i, struct arena *a,
                 struct question *ret, struct err *err);
typedef void (*question_fn)(const struct err *err, void *arg);
void question_work(struct asker *k, const struct instance_ref *i, question_fn on_ready, void *arg);
/* After the attempt: compares each input with what was seen. By size, mtime, ctime and inode, a folder's with those of all in it: an equal content does not tell what the step read, for it may have been another
 * for a while, so a touched input counts as changed too (its digest only decides how it is told). What was touched before the question was asked does not matter. A pattern that matches other files now counts too. Returns what the user calls the first, or NULL.
 * Blocking; files are read only where they differ. */
enum recheck { RECHECK_SAME, RECHECK_TOUCHED, RECHECK_CHANGED };
const char *question_recheck(struct asker *k, const struct question *q, enum recheck *ret_how);

#endif
