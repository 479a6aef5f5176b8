/* SPDX-License-Identifier: Apache-2.0 */
/* Where other steps' outputs lie for a step: noted as its texts are evaluated, laid out before it starts. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cache/objects.h"
#include "steps/asker.h"
#include "steps/attempt_impl.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* --- other steps' outputs --- */

static const char *box_path(struct attempt *a, const struct output_ref *ref, const char *root)
{
    const struct step *s = &a->w->wf->steps[ref->step];
    const char *base = fs_basename(ref->output->path);

    return s->is_matrix
               ? arena_printf(a->arena, "%s/%s.%u/%s/%s", root, s->name, ref->row,
                              ref->output->name, base)
               : arena_printf(a->arena, "%s/%s/%s/%s", root, s->name, ref->output->name, base);
}

int attempt_place(void *arg, const struct output_ref *ref, const char **ret, struct err *err)
{
    struct attempt *a = arg;

    (void)err;
    /* One script names few outputs; a list asks for each of its branches once. Looking back a little finds repetitions without making long lists quadratic. */
    for (size_t n = a->places.len; n > 0 && a->places.len - n < 8; n--) {
        const struct place *p = &a->places.items[n - 1];
        if (p->ref.output == ref->output && p->ref.step == ref->step && p->ref.row == ref->row) {
            *ret = p->path;
            return 0;
        }
    }
    struct place place = {.ref = *ref};
    if (a->host) {
        place.copy = copy_get(a->slots, ref);
        place.path = place.copy->path;
    } else {
        place.host = box_path(a, ref, arena_printf(a->arena, "%s/in", a->box));
        place.path = box_path(a, ref, "/wf/in");
    }
    *vec_push(&a->places) = place;
    *ret = place.path;
    return 0;
}

static int lay_out_box(struct attempt *a, struct place *p, struct err *err)
{
    struct stat st;

    if (lstat(p->host, &st) == 0) {
        return 0; /* named twice */
    }
    CLEANUP(cleanup_free) char *dir = fs_dirname(p->host);
    int rc = fs_mkdirs(dir, 0755, err);
    return rc == 0 ? objects_place(a->w->store, &p->ref.output->digest, p->ref.output->kind,
                                   p->ref.output->executable, PLACE_READ_ONLY, p->host, err)
                   : rc;
}

int lay_out(struct attempt *a, bool folders, struct err *err)
{
    int rc = 0;
    bool left = false;

    if (folders) {
        pthread_mutex_lock(&a->slots->copying);
    }
    for (size_t n = 0; n < a->places.len && rc == 0; n++) {
        struct place *p = &a->places.items[n];
        bool folder = p->ref.output->kind == OBJECT_TREE;
        if (folder != folders) {
            left = left || (folder && !(p->copy && p->copy->made));
        } else {
            rc = p->copy ? copy_make(a->slots, p->copy, err) : lay_out_box(a, p, err);
        }
    }
    if (folders) {
        pthread_mutex_unlock(&a->slots->copying);
    }
    return rc == 0 && left ? 1 : rc;
}

/* --- inputs that are other steps' outputs --- */

struct gather {
    struct attempt *a;
    const char *dir;  /* a list: the folder with one entry a branch */
    const char *seen; /* as the step sees it */
    const char *name;
    uint32_t count;
};

/* An entry's name: the branch, with what a file name cannot hold replaced. */
static const char *entry_name(struct gather *g, const struct output_ref *ref)
{
    const char *branch = row_branch(&g->a->w->wf->steps[ref->step], ref->row, g->a->arena);
    char *name = arena_strdup(g->a->arena, branch ? branch : g->a->w->wf->steps[ref->step].name);

    if (strlen(name) > 200) { /* a file's name has 255 bytes at most */
        return arena_printf(g->a->arena, "%u", ref->row);
    }
    for (char *c = name; *c; c++) {
        *c = (char)(*c == '/' ? '_' : *c);
    }
    return name;
}

static int on_branch(const struct output_ref *ref, void *arg, struct err *err)
{
    struct gather *g = arg;
    const char *name = entry_name(g, ref);
    const char *path = arena_printf(g->a->arena, "%s/%s", g->dir, name);
    struct stat st;

    if (lstat(path, &st) == 0) { /* two values that differ only in a slash */
        path = arena_printf(g->a->arena, "%s.%u", path, ref->row);
    }
    g->count++;
    return objects_place(g->a->w->store, &ref->output->digest, ref->output->kind,
                         ref->output->executable, g->a->host ? PLACE_HOST : PLACE_READ_ONLY, path,
                         err);
}

static int gather_list(struct attempt *a, const struct input *in, const char *dir, struct err *err)
{
    struct gather g = {.a = a, .dir = dir};
    int rc = fs_mkdirs(dir, 0755, err);

    return rc == 0 ? part_each(&a->scope, in, on_branch, &g, err) : rc;
}

/* Gives an input that is (a part of) another step's output its path; *ret: as the step sees it. */
static int place_part(struct attempt *a, const struct seen_input *seen, const char **ret_host,
                      const char **ret, struct err *err)
{
    const struct input *in = &a->step->inputs[seen->input];
    struct part_ref part;
    int rc = part_resolve(&a->scope, in, &part, err);

    if (rc != 0) {
        return rc > 0 ? err_set(err, ERR_INTERNAL, 0, "input '%s' changed its meaning",
                                in->path->source)
                      : rc;
    }
    if (part.list) {
        const char *dir = a->host ? slots_new_name(a->slots, 'i', a->arena)
                                  : arena_printf(a->arena, "%s/list-%s", a->box, in->name);
        *ret = *ret_host = dir;
        return gather_list(a, in, dir, err);
    }
    const char *path = NULL;
    rc = attempt_place(a, &part.one, &path, err);
    const char *host = a->host ? path : a->places.items[a->places.len - 1].host;
    *ret = part.sub ? arena_printf(a->arena, "%s/%s", path, part.sub) : path;
    *ret_host = part.sub ? arena_printf(a->arena, "%s/%s", host, part.sub) : host;
    return rc;
}

/* The question's inputs with paths in place of what was known by digest only. */
int place_inputs(struct attempt *a, struct err *err)
{
    uint32_t count = a->q->n_inputs;
    struct seen_input *inputs = NULL;

    for (uint32_t n = 0; n < count; n++) {
        const struct seen_input *seen = &a->q->inputs[n];
        if (seen->path || seen->input == NONE || seen->kind == 'a') {
            continue;
        }
        if (!inputs) {
            inputs = arena_memdup(a->arena, a->q->inputs, count * sizeof(*inputs));
        }
        const char *host = NULL, *path = NULL;
        int rc = place_part(a, seen, &host, &path, err);
        if (rc != 0) {
            return rc;
        }
        inputs[n].path = path; /* in a container: below /wf/in already, or a folder to mount */
        if (!a->host && path == host) {
            inputs[n].path = arena_printf(a->arena, "/inputs/%s", seen->name);
            *vec_push(&a->mounts) = (struct mount){host, inputs[n].path, false};
        }
    }
    a->scope.inputs = inputs ? inputs : a->q->inputs;
    a->scope.n_inputs = count;
    return 0;
}
