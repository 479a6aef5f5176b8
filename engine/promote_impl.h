/* SPDX-License-Identifier: Apache-2.0 */
/* Promotion from inside: promote.c (when, and carrying it out), promote_choice.c (who is chosen), promote_model.c (what is recorded of a model). Loop thread. */
#ifndef WF_ENGINE_PROMOTE_IMPL_H
#define WF_ENGINE_PROMOTE_IMPL_H

#include "engine/promotions.h"
#include "engine/run_impl.h"

struct arena;

/* A branch under `from`. */
struct candidate {
    uint32_t step, row;
    bool seen;   /* it succeeded, and its result was looked at */
    bool passes; /* has a usable metric, within the thresholds */
    double metric;
    struct digest content;
};

struct candidates {
    struct run *run;
    uint32_t select;
    struct candidate *all; /* in matrix order */
    uint32_t n;
    uint32_t *first;  /* of each step under `from`: in `all` */
    bool *asked;      /* of each: all its branches were asked for once */
    uint32_t *passed; /* in `all`: those that pass, best first; of equals in matrix order */
    uint32_t n_passed;
    uint32_t *fresh; /* ended, and not looked at yet */
    uint32_t n_fresh;
};

/* --- promote_choice.c --- */
void candidates_open(struct candidates *c, struct run *r, uint32_t select);
void candidates_close(struct candidates *c);
void candidates_note(struct candidates *c, uint32_t instance); /* it succeeded */
void candidates_note_all(struct candidates *c);                /* whoever succeeded by now */
/* Was the cache asked for all branches of the steps that have begun? `all`: and is what succeeded in the store? */
bool candidates_settled(const struct candidates *c, bool all);
/* At the results of those noted that are in the store. True: there was one. */
bool candidates_look(struct candidates *c);

struct choice {
    struct promoted_model *models; /* best first */
    uint32_t count;
    uint32_t passed; /* candidates that might have been chosen */
};
/* `before`: who serves, and stays unless a better one came; NULL: nobody. `over`: no other candidate comes. Lives in `a`. */
int choose(const struct candidates *c, const struct promotion *before, bool over, struct arena *a,
           struct choice *ret, struct err *err);

/* --- promote_model.c --- */
bool model_is_main(const struct result_output *o); /* all but the metrics */
struct digest model_content(const struct result *r, const char *name);
struct digest models_content(const struct promoted_model *models, uint32_t count);
void model_of_candidate(struct run *r, const struct candidate *c, struct arena *a,
                        struct promoted_model *ret);
void models_unique_slugs(struct promoted_model *models, uint32_t count, struct arena *a);

#endif
