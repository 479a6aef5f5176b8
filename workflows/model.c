/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the model's enums, and finding by name. */
#include "workflows/model.h"

#include <string.h>

const char *const step_kind_names[KIND_COUNT] = {
    [KIND_COMMAND] = "command",   [KIND_INGEST] = "ingest",   [KIND_TRAIN] = "train",
    [KIND_SELECT] = "select",     [KIND_SERVE] = "serve",     [KIND_AGGREGATE] = "aggregate",
    [KIND_WORKFLOW] = "workflow", [KIND_APPROVE] = "approve",
};
const char *const executor_kind_names[EXECUTOR_COUNT] = {
    [EXECUTOR_AUTO] = "auto",
    [EXECUTOR_PROCESS] = "process",
    [EXECUTOR_CONTAINER] = "container",
    [EXECUTOR_SLURM] = "slurm",
    [EXECUTOR_KUBERNETES] = "kubernetes",
};
const char *const pull_policy_names[PULL_COUNT] = {
    [PULL_MISSING] = "missing", [PULL_ALWAYS] = "always", [PULL_NEVER] = "never"};
const char *const network_mode_names[NETWORK_COUNT] = {
    [NETWORK_HOST] = "host", [NETWORK_NONE] = "none"};
const char *const failure_mode_names[FAILURE_COUNT] = {
    [FAILURE_CONTINUE] = "continue", [FAILURE_STOP] = "stop"};
const char *const cache_policy_names[CACHE_POLICY_COUNT] = {[CACHE_CONTENT] = "content",
                                                            [CACHE_TIME] = "time",
                                                            [CACHE_CHANGE] = "change",
                                                            [CACHE_OFF] = "off"};
const char *const measure_names[MEASURE_COUNT] = {
    [MEASURE_RECORDS] = "records", [MEASURE_BYTES] = "bytes", [MEASURE_FILES] = "files",
    [MEASURE_ETAG] = "etag",       [MEASURE_GIT] = "git",     [MEASURE_COMMAND] = "command"};
const char *const method_names[METHOD_COUNT] = {
    [METHOD_MEAN] = "mean",     [METHOD_VOTE] = "vote", [METHOD_UNION] = "union",
    [METHOD_CONCAT] = "concat", [METHOD_BEST] = "best", [METHOD_COMMAND] = "command"};
const char *const balance_names[BALANCE_COUNT] = {[BALANCE_ROUND_ROBIN] = "round_robin",
                                                  [BALANCE_LEAST_CONNECTIONS] = "least_connections",
                                                  [BALANCE_HASH] = "hash"};
const char *const on_promotion_names[ON_PROMOTION_COUNT] = {
    [ON_PROMOTION_LAST] = "last", [ON_PROMOTION_FIRST] = "first", [ON_PROMOTION_EACH] = "each"};
const char *const need_mode_names[NEED_MODE_COUNT] = {
    [NEED_ALL] = "all", [NEED_ANY] = "any", [NEED_EACH] = "each", [NEED_COUNTED] = "count"};
const char *const param_type_names[PARAM_TYPE_COUNT] = {[PARAM_STRING] = "string",
                                                        [PARAM_INTEGER] = "integer",
                                                        [PARAM_NUMBER] = "number",
                                                        [PARAM_BOOLEAN] = "boolean"};

uint32_t workflow_find_step(const struct workflow *wf, const char *name, size_t len)
{
    for (uint32_t i = 0; i < wf->n_steps; i++) {
        const char *s = wf->steps[i].name;
        if (strncmp(s, name, len) == 0 && s[len] == '\0')
            return i;
    }
    return NONE;
}

bool step_shell_is_posix(const struct step *step)
{
    static const char *const shells[] = {"sh", "dash", "bash", "ksh", "zsh"};
    const char *name = step->n_shell > 0 ? step->shell_args[0] : step->shell;
    if (name == NULL)
        return true;
    const char *slash = strrchr(name, '/');
    name = slash != NULL ? slash + 1 : name;
    for (size_t i = 0; i < sizeof(shells) / sizeof(*shells); i++) {
        if (strcmp(name, shells[i]) == 0)
            return true;
    }
    return false;
}
