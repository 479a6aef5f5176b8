/* SPDX-License-Identifier: Apache-2.0 */
/* What a step finds around it: its environment, script, list of inputs, other steps' outputs, and in a container the mounts (engine.md 5, semantics 23). */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "steps/aggregate.h"
#include "steps/asker.h"
#include "steps/attempt_impl.h"
#include "steps/container.h"
#include "steps/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One argument or variable may be this long (MAX_ARG_STRLEN), all together a quarter of the stack: checked so that the sentence names the way out. */
#define LONGEST_ARGUMENT ((size_t)128 * 1024)
#define ALL_ARGUMENTS ((size_t)1536 * 1024)

/* --- environment --- */

struct env {
    struct arena *a;
    const char **items;
    size_t count, base;
};

static void set_env(struct env *e, const char *name, const char *value)
{
    size_t len = strlen(name), more = strlen(value);
    char *text = arena_alloc(e->a, len + more + 2), *p = text;

    p = mempcpy(p, name, len);
    *p++ = '=';
    memcpy(p, value, more);
    for (size_t k = 0; k < e->base; k++) { /* replaces what is the same for all steps */
        if (strncmp(e->items[k], text, len + 1) == 0) {
            e->items[k] = text;
            return;
        }
    }
    e->items[e->count++] = text;
}

static void set_axes(struct env *e, const struct matrix_row *row)
{
    for (uint32_t n = 0; row && n < row->n; n++) {
        CLEANUP(sb_done) struct str value = {0};
        char *name = arena_printf(e->a, "WF_MATRIX_%s", row->axes[n]);
        for (char *c = name; *c; c++) {
            *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        }
        value_interpolate(&row->values[n], &value);
        set_env(e, name, sb_text(&value));
    }
}

static int set_secrets(struct attempt *a, struct env *e, struct err *err)
{
    for (uint32_t n = 0; n < a->step->n_secrets; n++) {
        const struct secret_use *use = &a->step->secrets[n];
        const char *value = a->w->secrets ? a->w->secrets[use->secret] : NULL;
        if (!value) {
            const struct secret *s = &a->w->wf->secrets[use->secret];
            return err_set(err, ERR_USAGE, 0,
                           "the secret '%s' is not there: set the variable or write the file (%s) "
                           "that `secrets` names",
                           s->name,
                           s->env    ? s->env
                           : s->file ? s->file
                                     : "?");
        }
        set_env(e, use->env, value);
    }
    return 0;
}

int build_env(struct attempt *a, const char *inputs_path, const char *values_path, struct err *err)
{
    const char *const *base = a->host ? a->slots->base_env : a->slots->box_env;
    const struct matrix_row *row = a->scope.scope.row;
    struct env e = {.a = a->arena};
    char number[16];
    int rc;

    while (base[e.base]) {
        e.base++;
    }
    size_t room = e.base + a->step->n_env + a->step->n_pass_env + a->step->n_secrets +
                  (row ? row->n : 0) + 12;
    e.items = arena_calloc(a->arena, room, sizeof(*e.items));
    memcpy(e.items, base, e.base * sizeof(*base));
    e.count = e.base;
    for (uint32_t n = 0; n < a->step->n_env; n++) {
        const char *value = NULL;
        rc = scope_text(&a->scope, a->step->env[n].value, &value, err);
        if (rc != 0) {
            return rc;
        }
        set_env(&e, a->step->env[n].name, value);
    }
    for (uint32_t n = 0; n < a->step->n_pass_env; n++) {
        const char *value = getenv(a->step->pass_env[n]);
        if (value) {
            set_env(&e, a->step->pass_env[n], value);
        }
    }
    rc = set_secrets(a, &e, err);
    snprintf(number, sizeof(number), "%u", a->number);
    set_axes(&e, row);
    set_env(&e, "WF_OUT", a->scope.out_dir);
    set_env(&e, "WF_VALUES", values_path);
    set_env(&e, "WF_INPUTS", inputs_path);
    set_env(&e, "WF_RUN", a->w->run);
    set_env(&e, "WF_STEP", a->i.name);
    set_env(&e, "WF_ATTEMPT", number);
    set_env(&e, "WF_TOKEN", a->token);
    a->job.env = e.items;
    return rc;
}

/* --- the list of inputs --- */

static void write_seen(struct attempt *a, struct jsonw *w, const struct seen_input *in)
{
    const char *path = in->path ? in->path : "";

    if (!a->host && in->rel) {
        path = arena_printf(a->arena, "/workspace/%s", in->rel);
    } else if (!a->host && in->path && in->path == a->q->inputs[in - a->scope.inputs].path) {
        path = arena_printf(a->arena, "/inputs/%s", in->name ? in->name : "");
    }
    jw_object(w);
    jw_kv_text(w, "name", in->name);
    jw_key(w, "path");
    jw_name(w, path, strlen(path));
    jw_kv_text(w, "kind", in->kind == 'd' ? "folder" : in->kind == 'f' ? "file" : "absent");
    if (in->kind != 'a') {
        jw_key(w, "digest");
        jw_digest(w, &in->digest);
    }
    jw_end_object(w);
}

static void write_place(struct attempt *a, struct jsonw *w, const struct place *p)
{
    const struct step *s = &a->w->wf->steps[p->ref.step];

    jw_object(w);
    jw_kv_text(w, "name", s->rows[p->ref.row].name);
    jw_kv_text(w, "output", p->ref.output->name);
    jw_kv_text(w, "path", p->path);
    jw_kv_text(w, "kind", p->ref.output->kind == OBJECT_TREE ? "folder" : "file");
    jw_key(w, "digest");
    jw_digest(w, &p->ref.output->digest);
    jw_end_object(w);
}

void write_inputs(struct attempt *a, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, false);
    jw_object(&w);
    jw_key(&w, "inputs");
    jw_array(&w);
    for (uint32_t n = 0; n < a->scope.n_inputs; n++) {
        write_seen(a, &w, &a->scope.inputs[n]);
    }
    jw_end_array(&w);
    jw_key(&w, "steps");
    jw_array(&w);
    for (size_t n = 0; n < a->places.len; n++) {
        write_place(a, &w, &a->places.items[n]);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    sb_putc(out, '\n');
}

/* --- what is run --- */

static int check_arguments(const struct attempt *a, struct err *err)
{
    size_t all = 0, longest = 0;

    for (size_t n = 0; a->job.argv && a->job.argv[n]; n++) {
        size_t len = strlen(a->job.argv[n]) + 1;
        all += len + sizeof(char *);
        longest = len > longest ? len : longest;
    }
    for (size_t n = 0; a->job.env[n]; n++) {
        size_t len = strlen(a->job.env[n]) + 1;
        all += len + sizeof(char *);
        longest = len > longest ? len : longest;
    }
    if (longest >= LONGEST_ARGUMENT || all >= ALL_ARGUMENTS) {
        return err_set(err, ERR_INVALID, 0,
                       "its argument list is too long for the system (%zu bytes): hand many files "
                       "over as a folder, under `inputs: {name: ${{ steps.x.outputs.y }}}`",
                       all);
    }
    return 0;
}

int build_command(struct attempt *a, struct err *err)
{
    char **argv = NULL;
    uint32_t count = 0;
    int rc = text_eval_args((const struct text *const *)a->step->command, a->step->n_command,
                            &a->scope.scope, &argv, &count, err);

    if (rc != 0) {
        return rc < 0 ? rc
                      : err_set(err, ERR_NOT_FOUND, 0,
                                "the command reads what a skipped step would "
                                "have made; cover it with default()");
    }
    const char **full = arena_calloc(a->arena, count + 1, sizeof(*full));
    for (uint32_t n = 0; n < count; n++) {
        full[n] = argv[n];
    }
    a->job.argv = full;
    return 0;
}

int script_text(struct attempt *a, struct str *out, struct err *err)
{
    const struct text *t = a->step->run;

    if (t->n_parts == 0) {
        sb_add(out, t->source, t->len);
        return 0;
    }
    int rc = text_eval_script(t, &a->scope.scope, step_shell_is_posix(a->step), out, err);
    return rc > 0 ? err_set(err, ERR_NOT_FOUND, 0,
                            "the script reads what a skipped step would have "
                            "made; cover it with default()")
                  : rc;
}

/* The branches under `from` of an aggregate with a command are there even where no reference names them. */
int place_from(struct attempt *a, struct err *err)
{
    struct from_list list;
    const char *ignored;

    if (!a->step->aggregate) {
        return 0;
    }
    int rc = from_collect(a->w, &a->i, a->arena, &list, err);
    for (size_t n = 0; rc == 0 && n < list.count; n++) {
        const struct from_item *item = &list.items[n];
        struct output_ref ref = {item->step, item->row, item->output};
        for (uint32_t k = 0; rc == 0 && !item->output && k < item->result->n_outputs; k++) {
            ref.output = &item->result->outputs[k];
            rc = attempt_place(a, &ref, &ignored, err);
        }
        rc = rc == 0 && item->output ? attempt_place(a, &ref, &ignored, err) : rc;
    }
    return rc;
}

void common_job(struct attempt *a)
{
    const char **outputs = arena_calloc(a->arena, a->step->n_outputs + 1, sizeof(*outputs));

    for (uint32_t n = 0; n < a->step->n_outputs; n++) {
        if (scope_text(&a->scope, a->step->outputs[n].path, &outputs[n], NULL) != 0) {
            outputs[n] = a->step->outputs[n].path->source;
        }
    }
    a->job.outputs = outputs;
    a->job.token = a->token;
    a->job.store_id = store_id(a->w->store);
    a->job.run = a->w->run;
    a->job.step = a->i.name;
    a->job.attempt = a->number;
    a->job.network = a->step->network;
    a->job.resources = a->step->resources;
}

/* --- host --- */

/* In a container an image's own user writes there, whatever our umask. */
static int make_parent(struct attempt *a, const char *path, size_t len, struct err *err)
{
    int rc = fs_mkdirs(arena_printf(a->arena, "%s/%.*s", a->out_dir, (int)len, path), 0755, err);

    for (size_t at = 1; rc == 0 && !a->host && at <= len; at++) {
        if (at == len || path[at] == '/') {
            const char *folder = arena_printf(a->arena, "%s/%.*s", a->out_dir, (int)at, path);
            rc = chmod(folder, 0777) == 0
                     ? 0
                     : err_set(err, ERR_IO, errno, "cannot open the folder '%s' to all", folder);
        }
    }
    return rc;
}

/* $WF_OUT is there; the folders of outputs below it are ours to make. */
int make_parents(struct attempt *a, struct err *err)
{
    int rc = 0;

    for (uint32_t n = 0; n < a->step->n_outputs && rc == 0; n++) {
        const char *slash = strrchr(a->job.outputs[n], '/');
        if (slash) {
            rc = make_parent(a, a->job.outputs[n], (size_t)(slash - a->job.outputs[n]), err);
        }
    }
    return rc;
}

static int surroundings_host(struct attempt *a, struct err *err)
{
    struct slot *slot = a->slot;
    struct str text = {0};
    int rc = place_inputs(a, err);

    a->out_dir = a->scope.out_dir = arena_strdup(a->arena, slot->out);
    a->values_path = slot->values_path;
    common_job(a);
    rc = rc == 0 ? make_parents(a, err) : rc;
    rc = rc == 0 ? place_from(a, err) : rc;
    if (rc == 0 && a->step->run) {
        rc = script_text(a, &text, err);
        rc = rc == 0 ? slot_script(slot, &text, err) : rc;
        a->job.argv = step_shell(a->step, slot->script_path, a->arena);
    } else if (rc == 0) {
        rc = build_command(a, err);
    }
    const char *cwd = NULL;
    rc = rc == 0 ? step_cwd(&a->scope, &cwd, err) : rc;
    a->job.workdir = cwd;
    rc = rc == 0 ? build_env(a, slot->inputs_path, slot->values_path, err) : rc;
    if (rc == 0) { /* references in `env` note places too, so the list of inputs comes last */
        sb_clear(&text);
        write_inputs(a, &text);
        rc = slot_inputs(slot, &text, err);
    }
    sb_done(&text);
    return rc;
}

int build_job(struct attempt *a, struct err *err)
{
    int rc = a->host ? surroundings_host(a, err) : surroundings_container(a, err);

    if (rc != 0) {
        return rc;
    }
    if (!a->host && a->places.len > 0) {
        *vec_push(&a->mounts) =
            (struct mount){arena_printf(a->arena, "%s/in", a->box), "/wf/in", false};
    }
    if (!a->host && a->have_source && a->source.path) {
        *vec_push(&a->mounts) = (struct mount){a->source.path, "/inputs/source", false};
    }
    a->job.mounts = a->mounts.items;
    a->job.n_mounts = a->mounts.len;
    a->job.program = a->host ? a->q->program : NULL;
    if (a->host && !a->job.program && a->job.argv[0][0] == '/') {
        a->job.program = a->job.argv[0]; /* another step's output */
    }
    return check_arguments(a, err);
}
