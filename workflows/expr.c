/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader asks of parsed expressions: their names and what they use; and the words of the language. */
#include "workflows/expr.h"

#include "workflows/expr_impl.h"

const struct function_info expr_functions[FN_COUNT] = {
    [FN_SUCCESS] = {"success", 0, 0},
    [FN_FAILURE] = {"failure", 0, 0},
    [FN_CANCELLED] = {"cancelled", 0, 0},
    [FN_ALWAYS] = {"always", 0, 0},
    [FN_CONTAINS] = {"contains", 2, 2},
    [FN_STARTS_WITH] = {"startsWith", 2, 2},
    [FN_ENDS_WITH] = {"endsWith", 2, 2},
    [FN_JOIN] = {"join", 1, 2},
    [FN_FORMAT] = {"format", 1, UINT32_MAX},
    [FN_FROM_JSON] = {"fromJSON", 1, 1},
    [FN_TO_JSON] = {"toJSON", 1, 1},
    [FN_LENGTH] = {"length", 1, 1},
    [FN_DEFAULT] = {"default", 2, 2},
    [FN_BASENAME] = {"basename", 1, 1},
    [FN_HASH_FILES] = {"hashFiles", 1, UINT32_MAX},
};

static const char *const root_names[ROOT_COUNT] = {
    [ROOT_PARAMS] = "params", [ROOT_ENV] = "env",         [ROOT_MATRIX] = "matrix",
    [ROOT_INPUTS] = "inputs", [ROOT_OUTPUTS] = "outputs", [ROOT_STEPS] = "steps",
    [ROOT_SOURCE] = "source", [ROOT_MODEL] = "model",     [ROOT_REPLICA] = "replica",
    [ROOT_RUN] = "run",
};

static const char *const field_names[FIELD_COUNT] = {
    [FIELD_OUTPUTS] = "outputs",   [FIELD_VALUES] = "values", [FIELD_METRICS] = "metrics",
    [FIELD_STATUS] = "status",     [FIELD_CACHED] = "cached", [FIELD_MODELS] = "models",
    [FIELD_ENDPOINT] = "endpoint",
};

const char *expr_function_name(enum expr_function f)
{
    return expr_functions[f].name;
}

const char *expr_root_name(enum expr_root r)
{
    return root_names[r];
}

const char *step_field_name(enum step_field f)
{
    return field_names[f];
}

/* Trees are at most EXPR_MAX_DEPTH deep, and so is this. */
static void each_name(struct expr *e, bool in_default,
                      void (*fn)(struct expr *name, bool in_default, void *arg), void *arg)
{
    if (e->op == EXPR_NAME)
        fn(e, in_default, arg);
    for (uint32_t i = 0; i < e->n_args; i++) {
        bool covers = e->op == EXPR_CALL && e->function == FN_DEFAULT && i == 0;
        each_name(e->args[i], in_default || covers, fn, arg);
    }
}

void expr_each_name(struct expr *e, void (*fn)(struct expr *name, bool in_default, void *arg),
                    void *arg)
{
    each_name(e, false, fn, arg);
}

uint32_t expr_uses(const struct expr *e)
{
    uint32_t uses = 0;
    if (e->op == EXPR_NAME)
        uses = 1U << e->name.root;
    if (e->op == EXPR_CALL && e->function <= FN_ALWAYS)
        uses = USES_STATUS;
    if (e->op == EXPR_CALL && e->function == FN_HASH_FILES)
        uses = USES_FILES;
    for (uint32_t i = 0; i < e->n_args; i++)
        uses |= expr_uses(e->args[i]);
    return uses;
}
