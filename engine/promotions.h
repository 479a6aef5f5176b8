/* SPDX-License-Identifier: Apache-2.0 */
/* Promotions: a select step's choices, numbered per workflow and step across runs and never reused (the table `promotions`). A choice equal to the newest one that stands makes none. */
#ifndef WF_ENGINE_PROMOTIONS_H
#define WF_ENGINE_PROMOTIONS_H

#include "base/digest.h"
#include "cache/result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct db;
struct err;
struct jsonw;
struct store;

struct promoted_model {
    const char *name;        /* train[model=mlp] */
    const char *slug;        /* in URLs: [A-Za-z0-9._-]{1,64}; unique within the promotion */
    const char *matrix_json; /* {"model":"mlp"} */
    const char *metrics_json;
    double metric;
    uint32_t n_outputs;
    const struct result_output *outputs;
    struct digest
        content;     /* over names and digests of its outputs but `metrics`: equal models are one */
    int64_t entry;   /* of the cache, 0: none */
    const char *run; /* that trained it */
    const char *git_json; /* commit and dirty of that run, NULL: unknown */
    const char
        *provenance_json; /* what data it comes from: [{"step":…,"source":…,"digest":…}], NULL */
};
enum promotion_reason { PROMOTED_EARLY, PROMOTED_FINAL, PROMOTED_ROLLBACK, PROMOTION_REASON_COUNT };
extern const char *const promotion_reason_names[PROMOTION_REASON_COUNT];
struct promotion {
    const char *workflow, *step; /* the select step */
    uint32_t number;             /* 1, 2, … */
    int64_t at_ms;
    const char *run; /* that made it; of a rollback the id of the promotion's run it went back to */
    enum promotion_reason reason;
    struct digest content; /* over the sorted contents of its models */
    bool withdrawn;        /* rolled back, or its models never got ready */
    uint32_t n_models;
    const struct promoted_model *models; /* best first */
};
/* The models are kept (files in models/) of the newest PROMOTIONS_KEPT of a step and of what is live. */
enum { PROMOTIONS_KEPT = 5 };

/* Inside a write transaction: gives the number (p->number is ignored), unless the newest that stands has this content: then *ret_number is that one's and *ret_new false.
 * ERR_BUSY: the newest was made by a run that started later than p->run. */
int promotion_add(struct db *db, const struct promotion *p, uint32_t *ret_number, bool *ret_new,
                  struct err *err);
/* The newest that is not withdrawn. 1: there is none. */
int promotion_newest(struct store *s, const char *workflow, const char *step, struct arena *a,
                     struct promotion *ret, struct err *err);
int promotion_find(struct store *s, const char *workflow, const char *step, uint32_t number,
                   struct arena *a, struct promotion *ret, struct err *err);
/* Newest first; workflow and step may be NULL. */
int promotions_each(struct store *s, const char *workflow, const char *step, struct arena *a,
                    int (*fn)(const struct promotion *p, void *arg), void *arg, struct err *err);
/* Those that a run made, by step and number. */
int promotions_of_run(struct store *s, const char *workflow, const char *run, struct arena *a,
                      int (*fn)(const struct promotion *p, void *arg), void *arg, struct err *err);
void promoted_model_json(const struct promoted_model *m, struct jsonw *w);
/* Was it taken away by a rollback? No candidate until promotion_allow(). */
int promotion_barred(struct store *s, const char *workflow, const char *step,
                     const struct digest *model, bool *ret, struct err *err);

#endif
