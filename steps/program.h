/* SPDX-License-Identifier: Apache-2.0 */
/* What a replica of a service runs: a serve step's texts evaluated for one model, with no attempt around it (attempt.h) and no executor yet. What only its start decides stays as the caller's `replica` members say. */
#ifndef WF_STEPS_PROGRAM_H
#define WF_STEPS_PROGRAM_H

#include "steps/executor.h"
#include "steps/question.h"
#include "steps/scope.h"

struct arena;
struct err;

struct program {
    const char *const *
        argv; /* NULL: the image's own entrypoint; with `script` its path is to be appended. NULL-terminated */
    const char *script;     /* NULL: none */
    const char *const *env; /* NAME=value without secrets; NULL-terminated */
    const char *workdir;    /* as the program sees it */
    const char *image;      /* id; NULL: a process of this machine */
    size_t n_mounts;
    const struct mount *mounts; /* inputs, read-only; and what `place` added */
};
struct program_options {
    const struct world *w;
    struct asker *asker;
    const struct instance_ref *i;
    const struct question *q;            /* answered */
    const struct value *model, *replica; /* objects; model NULL: none */
    /* Where another step's output lies on this machine, for good; for a container it is mounted. Arena text. */
    int (*place)(void *arg, const struct output_ref *ref, const char **ret, struct err *err);
    void *arg;
};
/* All of it lives in `a`. */
int program_build(const struct program_options *o, struct arena *a, struct program *ret,
                  struct err *err);
/* The shell's words (semantics 2) with the script's path behind them; NULL: none yet. */
const char *const *step_shell(const struct step *s, const char *script, struct arena *a);
/* A script of the step (`ready`) evaluated likewise. */
int program_script(const struct program_options *o, const struct text *t, struct arena *a,
                   const char **ret, struct err *err);

#endif
