/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are not ours: the nearest word, or what other tools' words are called here. */
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "workflows/load_internal.h"

#include <string.h>

/* Words of make-like tools, CI systems and workflow engines. */
static const struct foreign {
    const char *word, *ours;
} foreign_words[] = {
    {"depends_on", "needs"},
    {"dependsOn", "needs"},
    {"depends", "needs"},
    {"dependencies", "needs"},
    {"after", "needs"},
    {"requires", "needs"},
    {"upstream", "needs"},
    {"script", "run"},
    {"scripts", "run"},
    {"shell_command", "run"},
    {"bash", "run"},
    {"cmd", "command"},
    {"args", "command"},
    {"entrypoint", "command"},
    {"exec", "command"},
    {"environment", "env"},
    {"envs", "env"},
    {"variables", "env"},
    {"vars", "env"},
    {"deps", "inputs"},
    {"sources", "inputs"},
    {"input", "inputs"},
    {"files", "inputs"},
    {"outs", "outputs"},
    {"output", "outputs"},
    {"artifacts", "outputs"},
    {"targets", "outputs"},
    {"results", "outputs"},
    {"when", "if"},
    {"condition", "if"},
    {"only_if", "if"},
    {"container", "image"},
    {"docker", "image"},
    {"docker_image", "image"},
    {"strategy", "matrix"},
    {"foreach", "matrix"},
    {"with_items", "matrix"},
    {"for_each", "matrix"},
    {"retries", "retry"},
    {"retry_limit", "retry"},
    {"timeout-minutes", "timeout"},
    {"timeout_seconds", "timeout"},
    {"continue-on-error", "continue_on_error"},
    {"allow_failure", "continue_on_error"},
    {"working-directory", "workdir"},
    {"working_directory", "workdir"},
    {"working_dir", "workdir"},
    {"workingDir", "workdir"},
    {"cwd", "workdir"},
    {"runs-on", "executor"},
    {"runs_on", "executor"},
    {"type", "kind"},
    {"readiness", "ready"},
    {"readinessProbe", "ready"},
    {"healthcheck", "ready"},
    {"health_check", "ready"},
    {"health", "ready"},
    {"port", "listen"},
    {"ports", "listen"},
    {"endpoint", "listen"},
    {"bind", "listen"},
    {"instances", "replicas"},
    {"autoscale", "scale"},
    {"autoscaling", "scale"},
    {"load_balancing", "balance"},
    {"lb", "balance"},
    {"rate_limit", "limits"},
    {"quotas", "limits"},
    {"minReplicas", "min"},
    {"maxReplicas", "max"},
    {"memoize", "cache"},
    {"caching", "cache"},
    {"fail-fast", "fail_fast"},
    {"max-parallel", "max_parallel"},
    {"concurrency", "max_parallel"},
    {"jobs", "steps"},
    {"tasks", "steps"},
    {"stages", "steps"},
    {"nodes", "steps"},
    {"dag", "steps"},
    {"parameters", "params"},
    {"arguments", "params"},
    {"vars_files", "params"},
    {"mem", "memory"},
    {"ram", "memory"},
    {"cpus", "cpu"},
    {"cores", "cpu"},
    {"gpus", "gpu"},
};

/* What has no counterpart of its own: in a workflow, in a step. */
static const struct foreign top_hints[] = {
    {"on", "wf starts nothing by itself: run `wf run` from cron, a timer or CI"},
    {"schedule", "wf starts nothing by itself: run `wf run` from cron, a timer or CI"},
    {"x", "a key of your own begins with x-, as in x-anchors"},
};
static const struct foreign step_hints[] = {
    {"uses", "a step runs a script (run), an argument list (command) or an image; there are no "
             "actions to use"},
    {"with", "hand values over with env, or write them into run as ${{ params.x }}"},
    {"id", "a step's name is its key under steps"},
    {"name", "a step's name is its key under steps; use description for more words"},
};

static const char *our_word(const struct schema_table *t, const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(foreign_words); i++) {
        if (strcmp(foreign_words[i].word, word) == 0 &&
            schema_find(t, foreign_words[i].ours) != NULL)
            return foreign_words[i].ours;
    }
    return NULL;
}

static void unknown_key(struct loader *l, const struct schema_table *t, const struct node_pair *p,
                        const char *what)
{
    diag_error(l->d, p->key_span, "unknown-key", "'%.60s' is not a key of %s", p->key, what);
    const char *ours = our_word(t, p->key);
    if (ours != NULL) {
        diag_hint(l->d, "here it is called '%s'", ours);
        return;
    }
    const struct foreign *hints = t == &schema_step ? step_hints : top_hints;
    size_t n = t == &schema_step  ? ARRAY_LEN(step_hints)
               : t == &schema_top ? ARRAY_LEN(top_hints)
                                  : 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(hints[i].word, p->key) == 0) {
            diag_hint(l->d, "%s", hints[i].ours);
            return;
        }
    }
    VEC(const char *) words = {0};
    for (size_t i = 0; i < t->count; i++)
        *vec_push(&words) = t->keys[i].name;
    diag_did_you_mean(l->d, suggest_nearest(p->key, words.items, words.len));
    vec_done(&words);
}

const struct schema_key *load_key(struct loader *l, const struct schema_table *t,
                                  const struct node_pair *p, const char *what)
{
    const struct schema_key *key = schema_find(t, p->key);
    if (key == NULL) {
        unknown_key(l, t, p, what);
        return NULL;
    }
    if (key->state == KEY_PLANNED) {
        diag_error(l->d, p->key_span, "not-supported", "'%s' is not supported yet", p->key);
        return NULL;
    }
    return key;
}

bool load_mapping(struct loader *l, const struct node *n, const struct schema_table *t,
                  const char *what, void (*fn)(struct loader *l, const struct entry *e, void *arg),
                  void *arg)
{
    if (n->kind != NODE_MAP) {
        load_expected_as(l, n, what, "a mapping");
        return false;
    }
    for (uint32_t i = 0; i < n->len; i++) {
        const struct node_pair *p = &n->pairs[i];
        struct entry e = {.key = load_key(l, t, p, what), .value = p->value, .at = p->key_span};
        if (e.key != NULL)
            fn(l, &e, arg);
    }
    return true;
}

void suggest_from_map(struct loader *l, const char *word, const struct map *names)
{
    VEC(const char *) words = {0};
    for (size_t i = 0; i < names->len; i++)
        *vec_push(&words) = names->items[i].key;
    diag_did_you_mean(l->d, suggest_nearest(word, words.items, words.len));
    vec_done(&words);
}

uint32_t load_step_index(struct loader *l, const char *name)
{
    ptrdiff_t i = map_find(&l->step_names, name, strlen(name));
    return i >= 0 ? (uint32_t)i : NONE;
}

uint32_t load_step_ref(struct loader *l, const struct node *n, const char *by, const char *verb)
{
    if (n->kind != NODE_SCALAR || n->type == SCALAR_NULL) {
        load_expected_as(l, n, verb, "a step name or a list of step names");
        return NONE;
    }
    if (strstr(n->text, "${{") != NULL) {
        diag_error(l->d, n->span, "bad-place", "'%s' takes step names as they are, no ${{ }}",
                   verb);
        return NONE;
    }
    uint32_t i = load_step_index(l, n->text);
    if (i != NONE)
        return i;
    if (strcmp(verb, "from") == 0)
        diag_error(l->d, n->span, "unknown-step",
                   "step '%s' takes from '%.60s', which is not a step", by, n->text);
    else
        diag_error(l->d, n->span, "unknown-step", "step '%s' needs '%.60s', which is not a step",
                   by, n->text);
    const char *bracket = strchr(n->text, '[');
    if (bracket != NULL)
        diag_hint(l->d, "name the whole step, or one branch in an expression: steps['%.60s']",
                  n->text);
    else
        suggest_from_map(l, n->text, &l->step_names);
    return NONE;
}
