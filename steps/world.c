/* SPDX-License-Identifier: Apache-2.0 */
/* Names of what a step sees of its run, and looking up branches and results. */
#include "steps/world.h"

#include "base/arena.h"
#include "base/err.h"
#include "steps/scope.h"

#include <string.h>

const char *const branch_status_names[] = {
    [BRANCH_PENDING] = "queued", [BRANCH_SUCCEEDED] = "succeeded", [BRANCH_CACHED] = "succeeded",
    [BRANCH_FAILED] = "failed",  [BRANCH_SKIPPED] = "skipped",     [BRANCH_CANCELLED] = "cancelled",
    [BRANCH_LOST] = "lost",
};

bool scope_branch(const struct world *w, uint32_t step, uint32_t row, struct branch_view *ret)
{
    *ret = (struct branch_view){0};
    w->branch(w->arg, step, row, ret);
    return (ret->status == BRANCH_SUCCEEDED || ret->status == BRANCH_CACHED) && ret->result;
}

bool scope_listed(const struct world *w, const struct instance_ref *by, uint32_t step, uint32_t row,
                  struct branch_view *ret)
{
    return (!w->sees || w->sees(w->arg, by->step, step, row)) && scope_branch(w, step, row, ret);
}

const struct result_output *result_output_find(const struct result *r, const char *name)
{
    for (uint32_t k = 0; k < r->n_outputs; k++) {
        if (strcmp(r->outputs[k].name, name) == 0) {
            return &r->outputs[k];
        }
    }
    return NULL;
}

const char *result_value_find(const struct result *r, const char *name)
{
    for (uint32_t k = 0; k < r->n_values; k++) {
        if (strcmp(r->values[k].name, name) == 0) {
            return r->values[k].text;
        }
    }
    return NULL;
}

const struct result_output *result_main_output(const struct result *r)
{
    const struct result_output *found = result_output_find(r, "model");
    uint32_t others = 0;

    if (found) {
        return found;
    }
    for (uint32_t k = 0; k < r->n_outputs; k++) {
        if (strcmp(r->outputs[k].name, "metrics") != 0) {
            found = &r->outputs[k];
            others++;
        }
    }
    return others == 1 ? found : NULL;
}

bool scope_find_instance(const struct workflow *wf, const char *name, uint32_t *ret_step,
                         uint32_t *ret_row)
{
    uint32_t step = workflow_find_step(wf, name, strcspn(name, "["));

    if (step == NONE) {
        return false;
    }
    for (uint32_t row = 0; row < wf->steps[step].n_rows; row++) {
        if (strcmp(wf->steps[step].rows[row].name, name) == 0) {
            *ret_step = step;
            *ret_row = row;
            return true;
        }
    }
    return false;
}

const char *row_branch(const struct step *step, uint32_t row, struct arena *a)
{
    if (row >= step->n_rows || step->rows[row].n == 0) {
        return NULL;
    }
    const char *open = strchr(step->rows[row].name, '[');
    return open ? arena_strndup(a, open + 1, strlen(open + 1) - 1) : NULL;
}

/* Two rows join under `each` when every axis they share has an equal value. */
static bool rows_join(const struct matrix_row *mine, const struct matrix_row *other)
{
    for (uint32_t k = 0; k < other->n; k++) {
        bool found = false;
        for (uint32_t m = 0; m < mine->n && !found; m++) {
            int order = 0;
            bool comparable = false;
            if (strcmp(mine->axes[m], other->axes[k]) == 0) {
                found = true;
                value_compare(&mine->values[m], &other->values[k], &order, &comparable);
                if (!comparable || order != 0) {
                    return false;
                }
            }
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool is_each(const struct step *step, uint32_t needed)
{
    for (uint32_t k = 0; k < step->n_needs; k++) {
        if (step->needs[k].step == needed) {
            return step->needs[k].mode == NEED_EACH;
        }
    }
    return false;
}

static int partner(const struct world *w, const struct instance_ref *i, uint32_t step,
                   struct ref_rows *ret, struct err *err)
{
    const struct step *own = &w->wf->steps[i->step], *other = &w->wf->steps[step];
    const struct matrix_row *mine = &own->rows[i->row];
    /* Equal matrices, or this one multiplied by own axes: the partner is nearly always here. */
    uint32_t guess =
        own->n_rows > 0 ? (uint32_t)((uint64_t)i->row * other->n_rows / own->n_rows) : 0;

    for (uint32_t k = 0; k < other->n_rows; k++) {
        uint32_t row = (guess + k) % other->n_rows;
        if (rows_join(mine, &other->rows[row])) {
            *ret = (struct ref_rows){.first = row, .end = row + 1};
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, 0, "step '%s' has no branch that belongs to '%s'", other->name,
                   i->name);
}

int scope_rows(const struct world *w, const struct instance_ref *i, uint32_t step,
               const char *branch, struct ref_rows *ret, struct err *err)
{
    const struct step *other = &w->wf->steps[step];

    if (branch) {
        for (uint32_t row = 0; row < other->n_rows; row++) {
            if (strcmp(other->rows[row].name, branch) == 0) {
                *ret = (struct ref_rows){.first = row, .end = row + 1};
                return 0;
            }
        }
        return err_set(err, ERR_INVALID, 0, "there is no branch '%s' of step '%s'", branch,
                       other->name);
    }
    if (!other->is_matrix) {
        *ret = (struct ref_rows){.first = 0, .end = 1};
        return 0;
    }
    if (is_each(&w->wf->steps[i->step], step)) {
        return partner(w, i, step, ret, err);
    }
    *ret = (struct ref_rows){.first = 0, .end = other->n_rows, .list = true};
    return 0;
}
