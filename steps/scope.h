/* SPDX-License-Identifier: Apache-2.0 */
/* What a step's expressions see: a struct scope (workflows/expr.h) over a struct world. Paths come in three forms, by who reads them: the cache's question (placeholders: only
 * the text of an expression counts there), a host process, a container. */
#ifndef WF_STEPS_SCOPE_H
#define WF_STEPS_SCOPE_H

#include "steps/question.h"
#include "steps/world.h"
#include "workflows/expr.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct err;

enum path_form { PATHS_KEY, PATHS_HOST, PATHS_CONTAINER };

/* One output of one branch, as a reference finds it. */
struct output_ref {
    uint32_t step, row;
    const struct result_output *output;
};

struct step_scope {
    struct scope scope; /* scope.arg points back here */
    const struct world *w;
    const struct step *step;
    const struct instance_ref *i;
    enum path_form form;
    const struct seen_input *inputs; /* of the question */
    uint32_t n_inputs;
    const char *out_dir;     /* $WF_OUT as the step sees it */
    const char *source_path; /* what an ingest fetched, as the step sees it; NULL: not there */
    /* Of a serve step: objects whose members model.NAME and replica.NAME are; NULL: placeholders under PATHS_KEY, else an error. */
    const struct value *model, *replica;
    /* Where an output lies for the reader (makes it be there); NULL: placeholders. Arena or longer-lived text. */
    int (*place)(void *arg, const struct output_ref *ref, const char **ret, struct err *err);
    /* hashFiles(): NULL: refused. */
    int (*hash_files)(void *arg, const struct value *patterns, uint32_t count, struct value *ret,
                      struct err *err);
    void *arg; /* of both */
};

/* Fills everything but inputs, out_dir and the callbacks; the struct must not move afterwards. */
void step_scope_init(struct step_scope *s, const struct world *w, const struct instance_ref *i,
                     enum path_form form, struct arena *a);

/* A text as an arena string. An absent reference is an error naming it. */
int scope_text(struct step_scope *s, const struct text *t, const char **ret, struct err *err);

/* The rows of steps.<name> that a reference of instance i means: one branch (a plain step, a named branch, the partner under `each`), or all of a matrix. */
struct ref_rows {
    uint32_t first, end; /* rows [first, end) */
    bool list;           /* a matrix seen from outside: only its succeeded branches count */
};
int scope_rows(const struct world *w, const struct instance_ref *i, uint32_t step,
               const char *branch, struct ref_rows *ret, struct err *err);
/* A branch's view; true when it has a result. */
bool scope_branch(const struct world *w, uint32_t step, uint32_t row, struct branch_view *ret);
/* The same of a list's branch, where the reader may see it. */
bool scope_listed(const struct world *w, const struct instance_ref *by, uint32_t step, uint32_t row,
                  struct branch_view *ret);
/* NULL: the result has no such output. */
const struct result_output *result_output_find(const struct result *r, const char *name);
const char *result_value_find(const struct result *r, const char *name);
/* The row of an instance name as steps.select.models has it ("train[model=mlp]"); false: there is none. */
bool scope_find_instance(const struct workflow *wf, const char *name, uint32_t *ret_step,
                         uint32_t *ret_row);
/* "model=mlp" of "train[model=mlp]"; NULL where the row has no axes. Arena string. */
const char *row_branch(const struct step *step, uint32_t row, struct arena *a);
/* The output that a select or an aggregate means by a model's path: `model`, else the only one besides `metrics`; NULL. */
const struct result_output *result_main_output(const struct result *r);

#endif
