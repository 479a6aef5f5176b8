/* SPDX-License-Identifier: Apache-2.0 */
/* The action: one canonical JSON document that states all that can change a step's result (engine.md 13, cache.md). It has two parts, so that 100,000 alike steps share the larger one:
 *
 * work (static: the same for every run of this text with these params; kept once by digest), members sorted:
 *   {"command":[…] | "script":"…",          argv or script as written, `${{ }}` included
 *    "env":{"NAME":"text as written",…},"format":1,
 *    "kind":"train","kind_version":1,         the version of wf's own code for the kind
 *    "network":"host","options":{…},          of select, aggregate, ingest: all that changes the result, and of `time` and `change` the policy and the measure
 *    "outputs":[{"name":…,"non_empty":true,"path":…,"sha256":…},…],"platform":"linux/amd64" (host steps),
 *    "secrets":["TOKEN"],"shell":…,"values":{"params.lr":"0.1","matrix.model":"mlp",…},  expressions' text and value, paths left out; one that
 *                                             computes ("expression.matrix.model == 'forest' && params.trees") counts by what it gives
 *    "value_names":[…],"version":…,"wf_env":{"WF_MATRIX_MODEL":"mlp"},"workdir":…}
 * action (what a run adds), members sorted; those without content are left out:
 *   {"image":"sha256:…","inputs":[{"digest":"sha256:…","exec":true,"kind":"file|tree|absent","name":…,"path":…},…],
 *    "program":"sha256:…",                    of a host step: command[0], where it is a file
 *    "steps":[{"branch":"model=mlp","digest":…,"exec":true,"kind":"file|tree","path":"model.bin","ref":"steps.train.outputs.model"},…],
 *    "values":{"steps.count.values.n":"\"12\""},"work":"sha256:…"}   each as JSON, so that a list and a string that reads like it differ
 * key = SHA-256("wf-action-1\0" + action). No path of this machine, host, time, run id, executor or step name is in it. */
#ifndef WF_STEPS_ACTION_H
#define WF_STEPS_ACTION_H

#include "base/digest.h"
#include "base/str.h"
#include "cache/result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct matrix_row;
struct step;
struct workflow;
struct scope;

#define ACTION_FORMAT 1

/* select, and aggregate or ingest without a command: worked out by wf itself, no program runs. */
bool step_is_builtin(const struct step *s);

/* The work document of one branch. `s`: scope with params and row only. */
int action_work(const struct workflow *wf, const struct step *step, const struct matrix_row *row,
                struct str *out, struct err *err);

/* One thing the action reads. Texts are borrowed for the call. */
struct action_input {
    const char *name, *path; /* as declared; path NULL for absolute and .. ones */
    int kind;                /* 'f' file, 'd' tree, 'a' absent (optional) */
    bool exec;
    struct digest digest;
};
struct action_step {
    const char *ref, *branch; /* branch NULL: not a matrix */
    const char *path;
    enum object_kind kind;
    bool exec;
    struct digest digest;
};
struct action_value {
    const char *text;
    const char *value;
};
struct action_parts {
    const struct digest *image, *program; /* NULL: none */
    const struct action_input *inputs;
    size_t n_inputs;
    const struct action_step *steps;
    size_t n_steps;
    const struct action_value *values;
    size_t n_values;
    struct digest work;
};
/* An object of texts by name, sorted, equal names once. */
void action_values(struct str *out, const struct action_value *values, size_t count);
/* Writes the action JSON. Fast: some hundred bytes without an allocation once `out` has its size. */
void action_write(const struct action_parts *p, struct str *out);

#endif
