/* SPDX-License-Identifier: Apache-2.0 */
/* A serve step's command, script, environment and mounts for one model. */
#include "steps/program.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "steps/asker.h"
#include "steps/container.h"

#include <stdlib.h>
#include <string.h>

struct build {
    const struct program_options *o;
    const struct step *step;
    struct arena *a;
    struct step_scope scope;
    VEC(struct mount) mounts;
    bool host;
};

/* --- other steps' outputs --- */

static int place(void *arg, const struct output_ref *ref, const char **ret, struct err *err)
{
    struct build *b = arg;
    const char *path = NULL;
    int rc = b->o->place(b->o->arg, ref, &path, err);

    if (rc != 0 || b->host) {
        *ret = path;
        return rc;
    }
    for (size_t n = 0; n < b->mounts.len; n++) {
        if (strcmp(b->mounts.items[n].host, path) == 0) {
            *ret = b->mounts.items[n].inner;
            return 0;
        }
    }
    const char *inner =
        arena_printf(b->a, "/wf/in/%zu/%s", b->mounts.len, fs_basename(ref->output->path));
    *vec_push(&b->mounts) = (struct mount){path, inner, false};
    *ret = inner;
    return 0;
}

static void begin(struct build *b, const struct program_options *o, struct arena *a)
{
    *b = (struct build){.o = o, .step = &o->w->wf->steps[o->i->step], .a = a};
    b->host = b->step->executor == EXECUTOR_PROCESS;
    step_scope_init(&b->scope, o->w, o->i, b->host ? PATHS_HOST : PATHS_CONTAINER, a);
    b->scope.inputs = o->q->inputs;
    b->scope.n_inputs = o->q->n_inputs;
    b->scope.model = o->model;
    b->scope.replica = o->replica;
    b->scope.place = place;
    b->scope.arg = b;
}

/* --- what is run --- */

static int absent(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, 0,
                   "it reads what a skipped step would have made; cover it with default()");
}

static int script(struct build *b, const struct text *t, const char **ret, struct err *err)
{
    CLEANUP(sb_done) struct str out = {0};
    int rc = 0;

    if (t->n_parts == 0) {
        sb_add(&out, t->source, t->len);
    } else {
        rc = text_eval_script(t, &b->scope.scope, step_shell_is_posix(b->step), &out, err);
    }
    if (rc == 0) {
        *ret = arena_memdup(b->a, sb_text(&out), out.len + 1);
    }
    return rc > 0 ? absent(err) : rc;
}

const char *const *step_shell(const struct step *s, const char *script, struct arena *a)
{
    const char **argv = arena_calloc(a, s->n_shell + 6, sizeof(*argv));
    size_t n = 0;

    for (; n < s->n_shell; n++) {
        argv[n] = s->shell_args[n];
    }
    if (n == 0) {
        argv[n++] = s->shell ? s->shell : "sh";
        if (s->shell && strcmp(s->shell, "bash") == 0) {
            argv[n++] = "-euo";
            argv[n++] = "pipefail";
        } else if (step_shell_is_posix(s)) {
            argv[n++] = "-eu";
        }
    }
    argv[n] = script;
    return argv;
}

static int command(struct build *b, struct program *ret, struct err *err)
{
    char **argv = NULL;
    uint32_t count = 0;
    int rc = text_eval_args((const struct text *const *)b->step->command, b->step->n_command,
                            &b->scope.scope, &argv, &count, err);

    if (rc != 0) {
        return rc < 0 ? rc : absent(err);
    }
    const char **full = arena_calloc(b->a, count + 1, sizeof(*full));
    for (uint32_t n = 0; n < count; n++) {
        full[n] = argv[n];
    }
    ret->argv = full;
    return 0;
}

/* --- its environment --- */

struct env {
    struct arena *a;
    const char **items;
    size_t count;
};

static void set_env(struct env *e, const char *name, const char *value)
{
    size_t len = strlen(name);
    const char *text = arena_printf(e->a, "%s=%s", name, value);

    for (size_t k = 0; k < e->count; k++) {
        if (strncmp(e->items[k], text, len + 1) == 0) {
            e->items[k] = text;
            return;
        }
    }
    e->items[e->count++] = text;
}

static int environment(struct build *b, struct program *ret, struct err *err)
{
    static const char *const passed[] = {"HOME", "TMPDIR"};
    const struct world *w = b->o->w;
    const struct step *s = b->step;
    struct env e = {
        .a = b->a,
        .items = arena_calloc(b->a, (size_t)s->n_env + s->n_pass_env + 12, sizeof(*e.items))};
    int rc = 0;

    if (b->host) {
        set_env(&e, "PATH", w->path_env ? w->path_env : "/usr/bin:/bin");
        for (size_t k = 0; k < ARRAY_LEN(passed); k++) {
            const char *value = getenv(passed[k]);
            if (value) {
                set_env(&e, passed[k], value);
            }
        }
    }
    set_env(&e, "LANG", "C.UTF-8");
    set_env(&e, "TZ", "UTC");
    for (uint32_t n = 0; n < s->n_env && rc == 0; n++) {
        const char *value = NULL;
        rc = scope_text(&b->scope, s->env[n].value, &value, err);
        if (rc == 0) {
            set_env(&e, s->env[n].name, value);
        }
    }
    for (uint32_t n = 0; n < s->n_pass_env; n++) {
        const char *value = getenv(s->pass_env[n]);
        if (value) {
            set_env(&e, s->pass_env[n], value);
        }
    }
    set_env(&e, "WF_STEP", b->o->i->name);
    ret->env = e.items;
    return rc;
}

/* --- where it runs --- */

static void mount_inputs(struct build *b)
{
    for (uint32_t n = 0; n < b->o->q->n_inputs; n++) {
        const struct seen_input *in = &b->o->q->inputs[n];
        if (in->path && in->kind != 'a' && in->input != NONE) {
            const char *inner = in->rel
                                    ? arena_printf(b->a, "/workspace/%s", in->rel)
                                    : arena_printf(b->a, "/inputs/%s", in->name ? in->name : "");
            *vec_push(&b->mounts) = (struct mount){arena_strdup(b->a, in->path), inner, false};
        }
    }
}

static int folder(struct build *b, struct program *ret, struct err *err)
{
    const struct image *image = NULL;
    const char *workdir = NULL;
    int rc = 0;

    if (b->host) {
        return step_cwd(&b->scope, &ret->workdir, err);
    }
    if (b->step->workdir) {
        rc = scope_text(&b->scope, b->step->workdir, &workdir, err);
    }
    ret->workdir = !workdir            ? "/workspace"
                   : workdir[0] == '/' ? workdir
                                       : arena_printf(b->a, "/workspace/%s", workdir);
    rc = rc == 0 ? image_find(b->o->asker, &b->scope, &image, err) : rc;
    if (rc > 0) {
        rc = err_set(err, ERR_INTERNAL, 0, "its image was not looked up");
    }
    if (rc == 0) {
        ret->image = arena_strdup(b->a, image->id);
        mount_inputs(b);
    }
    return rc;
}

static void take_mounts(struct build *b, struct program *ret)
{
    struct mount *mounts = arena_calloc(b->a, b->mounts.len + 1, sizeof(*mounts));

    for (size_t n = 0; n < b->mounts.len; n++) {
        mounts[n] = b->mounts.items[n];
    }
    ret->mounts = mounts;
    ret->n_mounts = b->mounts.len;
}

int program_build(const struct program_options *o, struct arena *a, struct program *ret,
                  struct err *err)
{
    struct build b;
    struct program made = {0};

    begin(&b, o, a);
    int rc = folder(&b, &made, err);
    if (rc == 0 && b.step->run) {
        rc = script(&b, b.step->run, &made.script, err);
        made.argv = step_shell(b.step, NULL, a);
    } else if (rc == 0 && b.step->n_command > 0) {
        rc = command(&b, &made, err);
    }
    rc = rc == 0 ? environment(&b, &made, err) : rc;
    if (rc == 0) {
        take_mounts(&b, &made);
        *ret = made;
    }
    vec_done(&b.mounts);
    return rc;
}

int program_script(const struct program_options *o, const struct text *t, struct arena *a,
                   const char **ret, struct err *err)
{
    struct build b;

    begin(&b, o, a);
    b.host = true; /* a smoke test runs beside us, whatever the replica is */
    b.scope.form = PATHS_HOST;
    int rc = script(&b, t, ret, err);
    vec_done(&b.mounts);
    return rc;
}
