/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings: what is surely a slip. One that fires on ordinary files would be worse than none. */
#include "base/mem.h"
#include "base/str.h"
#include "workflows/check_internal.h"

#include <string.h>

static void unused_names(struct loader *l)
{
    for (uint32_t i = 0; i < l->wf->n_params; i++) {
        if (!l->param_used[i])
            diag_warn(l->d, l->wf->params[i].span, "unused-param", "param '%s' is not used",
                      l->wf->params[i].name);
    }
    for (uint32_t i = 0; i < l->wf->n_secrets; i++) {
        if (!l->secret_used[i])
            diag_warn(l->d, l->wf->secrets[i].span, "unused-secret",
                      "secret '%s' is not handed to any step", l->wf->secrets[i].name);
    }
}

/* --- scripts of memoized steps --- */

static bool names_word(const struct step *s, const char *word)
{
    if (s->run != NULL && check_has_word(s->run, word))
        return true;
    for (uint32_t i = 0; i < s->n_command; i++) {
        if (check_has_word(s->command[i], word))
            return true;
    }
    return false;
}

static struct span process_place(struct loader *l, uint32_t i)
{
    const struct step *s = &l->wf->steps[i];
    return facts_place(s, &l->facts[i], s->run != NULL ? "run" : "command");
}

static void attempt_names(struct loader *l, uint32_t i)
{
    const struct step *s = &l->wf->steps[i];
    if (!check_memoized(s) || (s->run == NULL && s->command == NULL))
        return;
    if (s->uncacheable != NULL) {
        diag_warn(l->d, process_place(l, i), "not-memoized", "step '%s' is never reused: it %s",
                  s->name, s->uncacheable);
        diag_hint(l->d, "write cache: false if that is meant");
    } else if (names_word(s, "WF_STEP")) {
        diag_warn(l->d, process_place(l, i), "memoized-name",
                  "step '%s' names WF_STEP: under another name it would not be reused", s->name);
    }
}

/* --- an output that is used behind wf's back --- */

static bool is_read(const struct step *reader, uint32_t step, uint32_t output)
{
    for (uint32_t i = 0; i < reader->n_reads; i++) {
        const struct expr_name *n = reader->reads[i];
        if (n->root == ROOT_STEPS && n->step == step && n->field == FIELD_OUTPUTS &&
            n->member == output)
            return true;
    }
    return false;
}

/* A step that only needs another, but names the file which that one makes: it would look for it in the wrong folder. */
static void unread_outputs(struct loader *l, uint32_t i)
{
    const struct step *s = &l->wf->steps[i];
    for (uint32_t k = 0; k < s->n_needs; k++) {
        if (!s->needs[k].declared)
            continue;
        const struct step *from = &l->wf->steps[s->needs[k].step];
        for (uint32_t o = 0; o < from->n_outputs && o < 16; o++) {
            const struct output *out = &from->outputs[o];
            bool plain = out->publish == NULL && out->path->n_parts == 0 &&
                         strchr(out->path->source, '.') != NULL;
            if (!plain || is_read(s, s->needs[k].step, o) || !names_word(s, out->path->source))
                continue;
            diag_warn(l->d, process_place(l, i), "unread-output",
                      "step '%s' names '%s', which step '%s' makes in a folder of its own", s->name,
                      out->path->source, from->name);
            diag_hint(l->d, "refer to it: ${{ steps.%s.outputs.%s }}", from->name, out->name);
        }
    }
}

/* --- a host step whose surroundings are not in its key (engine: host steps) --- */

static bool has_env_refs(const struct step *s)
{
    uint32_t uses = s->run != NULL ? s->run->uses : 0;
    for (uint32_t i = 0; i < s->n_command; i++)
        uses |= s->command[i]->uses;
    for (uint32_t i = 0; i < s->n_env; i++)
        uses |= s->env[i].value->uses;
    return uses != 0;
}

/* Programs of an interpreter read further files; a script that only calls tools mostly reads none. */
static bool runs_program_file(const struct step *s)
{
    static const char *const endings[] = {".py", ".sh", ".R", ".jl", ".pl", ".rb", ".js"};
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        for (uint32_t k = 0; k < s->n_command; k++) {
            if (text_ends(s->command[k]->source, endings[i]))
                return true;
        }
        const char *p = s->run != NULL ? strstr(s->run->source, endings[i]) : NULL;
        if (p != NULL && strchr(" \t\n\"'", p[strlen(endings[i])]) != NULL)
            return true;
    }
    return false;
}

static void hidden_inputs(struct loader *l, uint32_t i)
{
    const struct step *s = &l->wf->steps[i];
    bool process = s->run != NULL || s->command != NULL;
    if (!process || s->executor != EXECUTOR_PROCESS || !check_memoized(s) || s->cache.stated)
        return;
    if (s->n_inputs > 0 || s->n_reads > 0 || s->source != NULL || has_env_refs(s) ||
        !runs_program_file(s))
        return;
    diag_warn(l->d, process_place(l, i), "no-inputs",
              "step '%s' is reused as long as its command and program stay the same, whatever else "
              "it reads",
              s->name);
    diag_hint(l->d, "name what it reads under inputs, or say cache: true");
}

/* It would wait until all have ended. */
static void vain_wait(struct loader *l, uint32_t i)
{
    const struct step *s = &l->wf->steps[i];
    uint64_t candidates = 0;
    bool known = true;
    if (s->select == NULL || s->select->wait_for == 0)
        return;
    for (uint32_t k = 0; k < s->select->n_from; k++) {
        const struct step *from = &l->wf->steps[s->select->from[k]];
        candidates += from->n_rows;
        known = known && from->n_rows > 0;
    }
    if (known && s->select->wait_for > candidates)
        diag_warn(l->d, facts_place(s, &l->facts[i], "wait"), "vain-wait",
                  "step '%s' waits for %u candidates, and there are %llu", s->name,
                  s->select->wait_for, (unsigned long long)candidates);
}

void check_warnings(struct loader *l)
{
    unused_names(l);
    for (uint32_t i = 0; i < l->wf->n_steps; i++) {
        attempt_names(l, i);
        unread_outputs(l, i);
        vain_wait(l, i);
        if (l->o->allow_missing_params)
            hidden_inputs(l, i);
    }
    check_branches_warn(l);
}
