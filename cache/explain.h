/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two actions, part by part, in words a user knows. Everything named here was read from the two documents (and, of folders, from the lists of their files): nothing is guessed. */
#ifndef WF_CACHE_EXPLAIN_H
#define WF_CACHE_EXPLAIN_H

#include "base/digest.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct err;
struct store;
struct str;

/* A step on the way from a difference to its root. */
struct why_link {
    const char *step; /* an instance's name */
    const char *verb; /* "ran", "will run", "may run" */
    const char *run;  /* the earlier run it ran in, NULL: this one */
    const char *why;  /* of the last one: its reason in words; NULL: not known */
    size_t between;   /* links left out before this one */
};
struct difference {
    const char *
        part; /* "input", "param", "env", "image", "script", "output", "step" (a needed step's output), "value", "policy", "measure", "version", "program", "platform", … */
    const char *name; /* "train.csv", "lr"; NULL where the part says it all */
    const char
        *path; /* of an input or source that is called by a name: where it lies; NULL: not told */
    const char *old, *now; /* NULL: was not there / is no more */
    const char *
        from; /* the step or instance it comes from ("train[model=mlp]"), NULL: no step, or not told */
    bool folder; /* both sides are folders whose content differs */
    /* Of a folder, after explain_inside(): its files that differ ("file", the path below the folder), and how many there are besides those listed. None: not known. */
    const struct difference *inside;
    size_t n_inside, more_inside;
    /* Of what comes from a step: why that one ran, from step to step to the root. */
    const struct why_link *chain;
    size_t n_chain;
};
/* Both sides: action JSON and the work JSON it names. All differences; they live in `a`. Scripts are compared by line ("line 3", of the new text; "old line 3" for one that is gone). A byte of a name that
 * is no UTF-8 reads \xE9. */
int explain_diff(const char *old_action, const char *old_work, const char *new_action,
                 const char *new_work, struct arena *a, struct difference **ret, size_t *ret_count,
                 struct err *err);
/* Names what changed inside the folders among `d`, where both lists of files are kept (folder_list.h); `look` (may be NULL) is asked for one that is not: 0 and the manifest, or 1. At most 1,000 files of a
 * folder are listed. Changes nothing in the store. */
void explain_inside(struct store *s, struct difference *d, size_t count, struct arena *a,
                    int (*look)(const struct digest *d, struct str *out, void *arg), void *arg);
/* "input train.csv: content changed (sha256:12ab… → 9f03…)", "param lr: 0.1 → 0.2", "input data: 2 files differ (b.csv changed, c.csv new)". Arena string, one line. */
const char *difference_sentence(const struct difference *d, struct arena *a);
/* "features ran because ingest ran because input a.csv: content changed (…)"; "" without links. Arena string. */
const char *chain_sentence(const struct why_link *chain, size_t count, struct arena *a);
/* [{"step":…,"run":…,"between":N,"why":…},…]; run, between and why where there are any. */
void chain_json(const struct why_link *chain, size_t count, struct jsonw *w);
/* {"part":…,"name":…,"path":…,"old":…,"new":…,"from":…,"folder":true,"inside":[{"name":…,"old":…,"new":…},…],"more":N,"because":[links]}; "path", and what stands behind "new", is left out where there is none. */
void difference_json(const struct difference *d, struct jsonw *w);
/* The same read back; false: it is none. */
bool difference_read(const json_t *j, struct arena *a, struct difference *ret);

#endif
