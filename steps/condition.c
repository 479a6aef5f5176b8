/* SPDX-License-Identifier: Apache-2.0 */
/* `if` of a step, once its needs have ended (semantics 13). */
#include "base/arena.h"
#include "base/err.h"
#include "steps/attempt.h"
#include "steps/scope.h"

static int as_boolean(const struct value *v, const struct step *s, bool *ret, struct err *err)
{
    if (v->type == VALUE_BOOL) {
        *ret = v->boolean;
        return 0;
    }
    if (v->type == VALUE_STRING && slice_eq(v->text, slice_str("true"))) {
        *ret = true;
        return 0;
    }
    if (v->type == VALUE_STRING && slice_eq(v->text, slice_str("false"))) {
        *ret = false;
        return 0;
    }
    return err_set(err, ERR_INVALID, 0, "step '%s': `if` must be true or false, and is %s", s->name,
                   value_type_name(v->type));
}

int step_condition(const struct world *w, const struct instance_ref *i, bool *ret, struct err *err)
{
    const struct step *s = &w->wf->steps[i->step];
    struct step_scope scope;
    struct value v;

    if (!s->condition_has_status && !w->status(w->arg, i->step, FN_SUCCESS)) {
        *ret = false;
        return 0;
    }
    if (!s->condition) {
        *ret = true;
        return 0;
    }
    struct arena *a = arena_new();
    step_scope_init(&scope, w, i, PATHS_KEY, a);
    int rc = expr_eval(s->condition, &scope.scope, &v, err);
    if (rc == 0) {
        rc = as_boolean(&v, s, ret, err);
    } else if (rc > 0) {
        *ret = false; /* it reads what a skipped step would have made: skipped too */
        rc = 0;
    }
    arena_free(a);
    return rc;
}
