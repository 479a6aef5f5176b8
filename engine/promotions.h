/* SPDX-License-Identifier: Apache-2.0 */
/* Promotions: a select step's choices, numbered per workflow and step across runs and never reused (the table `promotions`). A choice equal to the newest one that stands makes none.
 * One is withdrawn when it was rolled back; the models that a rollback took away are barred: no candidates until promotion_allow(). */
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
    bool withdrawn;        /* rolled back */
    uint32_t n_models;
    const struct promoted_model *models; /* best first */
};
/* The models are kept (files in models/) of the newest PROMOTIONS_KEPT of a step and of what is live (serve/models.h). */
enum { PROMOTIONS_KEPT = 5 };

/* --- in a write transaction (writer thread) --- */
enum promotion_outcome {
    PROMOTION_NEW,
    PROMOTION_SAME, /* the newest that stands has this content: *ret_number is that one's */
    PROMOTION_STALE /* the newest that stands is not `after` any more, or a model of it was barred: nothing was written, decide anew */
};
/* Gives the number (p->number is ignored). `after`: the newest that stood when p was decided, 0: none.
 * ERR_BUSY: the newest was made by a run that started later than p->run. */
int promotion_add(struct db *db, const struct promotion *p, uint32_t after, uint32_t *ret_number,
                  enum promotion_outcome *ret, struct err *err);
/* A new promotion with the models of `to`. `from`, the newest that stands, is withdrawn and its models that are not in `to` are barred; those in `to` are not any more. ERR_BUSY: `from` is not the newest that stands any more. */
int promotion_rollback(struct db *db, const struct promotion *from, const struct promotion *to,
                       int64_t at_ms, uint32_t *ret_number, struct err *err);
/* Is it there, and not withdrawn? */
int promotion_stands(struct db *db, const char *workflow, const char *step, uint32_t number,
                     bool *ret, struct err *err);
/* Barred models may be chosen again; name NULL: all of them. *ret_count: how many. */
int promotion_allow(struct db *db, const char *workflow, const char *step, const char *name,
                    uint32_t *ret_count, struct err *err);

/* --- reading (the caller's connection); what is returned lives in `a` --- */
/* The newest that is not withdrawn. 1: there is none. */
int promotion_newest(struct store *s, const char *workflow, const char *step, struct arena *a,
                     struct promotion *ret, struct err *err);
/* 1: there is none. */
int promotion_find(struct store *s, const char *workflow, const char *step, uint32_t number,
                   struct arena *a, struct promotion *ret, struct err *err);
/* Newest first; workflow and step may be NULL. What fn returns other than 0 ends it and is returned; so below. */
int promotions_each(struct store *s, const char *workflow, const char *step, struct arena *a,
                    int (*fn)(const struct promotion *p, void *arg), void *arg, struct err *err);
/* Those that stand before `number`, newest first. */
int promotions_before(struct store *s, const char *workflow, const char *step, uint32_t number,
                      struct arena *a, int (*fn)(const struct promotion *p, void *arg), void *arg,
                      struct err *err);
/* Those that a run made, by step and number; rollbacks are not among them. */
int promotions_of_run(struct store *s, const char *workflow, const char *run, struct arena *a,
                      int (*fn)(const struct promotion *p, void *arg), void *arg, struct err *err);
/* The select steps that have promotions. Borrowed for the call. */
int promotion_steps_each(struct store *s,
                         int (*fn)(const char *workflow, const char *step, void *arg), void *arg,
                         struct err *err);
void promoted_model_json(const struct promoted_model *m, struct jsonw *w);

struct barred_model {
    const char *workflow, *step, *name;
    struct digest model;
    uint32_t number; /* of the promotion that was rolled back */
};
/* workflow and step may be NULL. Borrowed for the call. */
int barred_each(struct store *s, const char *workflow, const char *step,
                int (*fn)(const struct barred_model *b, void *arg), void *arg, struct err *err);

#endif
