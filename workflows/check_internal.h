/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that look at all steps together. */
#ifndef WF_WORKFLOWS_CHECK_INTERNAL_H
#define WF_WORKFLOWS_CHECK_INTERNAL_H

#include "base/vec.h"
#include "workflows/load_internal.h"

/* Where a text stands: which names are known there. */
enum place {
    PLACE_RUN,
    PLACE_COMMAND,
    PLACE_ENV,
    PLACE_IMAGE,
    PLACE_WORKDIR,
    PLACE_SOURCE,
    PLACE_INPUT,
    PLACE_OUTPUT,
    PLACE_PUBLISH,
    PLACE_READY,
    PLACE_TOKENS,
    PLACE_IF,
    PLACE_COUNT
};

/* The step that is looked at, and what is gathered for it. */
struct check {
    struct loader *l;
    struct step *step;
    struct step_facts *facts;
    uint32_t index;
    enum place place;
    bool chosen;   /* a name in the text became one of a select step's models */
    bool may_miss; /* the text is an optional input's: what it reads may be absent */
    /* Which needed steps were seen, without clearing between steps: stamp[i] == index + 1, then slot[i] is its place in `needs`. */
    uint32_t *stamp, *slot;
    VEC(struct need) needs;
    VEC(struct expr_name *) reads;
    struct map read_keys; /* once there are many */
    VEC(char *) read_texts;
};

/* Resolves one name (what expr_each_name() calls). */
void check_name_in(struct expr *e, bool in_default, void *check);
/* Adds an edge to `needs`. */
void check_add_need(struct check *c, uint32_t step, bool declared, bool order_only);
void check_needs_key(struct check *c); /* `needs` and `from` */
/* Keeps `name` as read by what makes the action, once. */
void check_add_read(struct check *c, struct expr_name *name);
/* A shell that is not a POSIX one gets no free texts by ${{ }} (semantics 1). */
void check_foreign_shell(struct check *c, const struct text *script);

/* Whether the step's results are kept for later runs. */
bool check_memoized(const struct step *s);
/* Whether `word` stands in the text on its own, not as part of a longer name. */
bool check_has_word(const struct text *t, const char *word);

#endif
