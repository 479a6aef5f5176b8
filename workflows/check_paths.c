/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of outputs and of what is published (semantics 20, 22): they stay in their folder, do not meet, and what is published is not read by its path. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "workflows/load_internal.h"

#include <fnmatch.h>
#include <string.h>

/* A published path. */
struct published {
    const char *path; /* cleaned, in l->tmp */
    const struct step *step;
    const struct output *output;
};
struct paths {
    struct loader *l;
    VEC(struct published) list;
    struct map exact;     /* path -> index in list */
    struct map ancestors; /* a folder above a published path -> index in list */
};

/* --- evaluating --- */

/* A path as the row has it, cleaned, in l->tmp. NULL: reported, or not known yet. `report` false: only looks. */
static const char *clean_path(struct loader *l, const struct text *t, struct span at,
                              const struct step *s, const struct matrix_row *row, const char *what,
                              const char *below, bool report)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(sb_done) struct str clean = {0};
    if (t->n_parts == 0) {
        sb_add(&text, t->source, t->len);
    } else {
        struct scope scope = load_scope(l);
        scope.step = s;
        scope.row = row;
        if (text_eval_string(t, &scope, &text, NULL) != 0)
            return NULL; /* names are reported elsewhere; the rest shows when the branch starts */
    }
    bool inside =
        text.len > 0 && sb_text(&text)[0] != '/' && fs_clean_relative(sb_text(&text), &clean);
    if (inside && clean.len > 0 && strcmp(sb_text(&clean), ".") != 0)
        return arena_strndup(l->tmp, sb_text(&clean), clean.len);
    if (report && text.len > 0 && sb_text(&text)[0] == '/')
        diag_error(l->d, at, "bad-path", "%s '%.80s' must be a relative path below %s", what,
                   sb_text(&text), below);
    else if (report && text.len > 0 && !inside)
        diag_error(l->d, at, "bad-path", "%s '%.80s' leaves %s", what, sb_text(&text), below);
    else if (report)
        diag_error(l->d, at, "bad-path", "%s must name something below %s", what, below);
    return NULL;
}

/* Calls fn for every proper ancestor of a clean path until it says true. */
static bool any_ancestor(const char *path, bool (*fn)(void *arg, const char *path, size_t len),
                         void *arg)
{
    for (const char *p = strchr(path, '/'); p != NULL; p = strchr(p + 1, '/')) {
        if (fn(arg, path, (size_t)(p - path)))
            return true;
    }
    return false;
}

/* --- outputs --- */

static bool is_in_map(void *map, const char *path, size_t len)
{
    return map_find(map, path, len) >= 0;
}

static void check_row_outputs(struct loader *l, const struct step *s, const struct matrix_row *row)
{
    struct map seen = {0};
    const char **paths = xcalloc(s->n_outputs, sizeof(*paths));
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        const struct output *o = &s->outputs[i];
        paths[i] = clean_path(l, o->path, o->span, s, row, "the output", "$WF_OUT", true);
        if (paths[i] != NULL && s->n_outputs > 1 && !map_put_text(&seen, paths[i], NULL))
            diag_error(l->d, o->span, "same-path", "two outputs of step '%s' have the path '%.80s'",
                       s->name, paths[i]);
    }
    for (uint32_t i = 0; s->n_outputs > 1 && i < s->n_outputs; i++) {
        if (paths[i] != NULL && any_ancestor(paths[i], is_in_map, &seen)) {
            diag_error(l->d, s->outputs[i].span, "same-path",
                       "the output '%.80s' lies inside another output of step '%s'", paths[i],
                       s->name);
            diag_hint(l->d,
                      "keep the outer one; a part of it can be an input: ${{ steps.%s.outputs.NAME "
                      "}}/part",
                      s->name);
        }
    }
    map_done(&seen);
    cleanup_free(&paths);
}

static bool varies(const struct step *s)
{
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        if ((s->outputs[i].path->uses & USES_MATRIX) != 0)
            return true;
    }
    return false;
}

static void check_outputs(struct loader *l, const struct step *s)
{
    uint32_t rows = s->n_outputs > 0 ? s->n_rows : 0;
    if (rows > 1 && !varies(s))
        rows = 1;
    for (uint32_t r = 0; r < rows; r++)
        check_row_outputs(l, s, &s->rows[r]);
}

/* --- publish --- */

struct axis_search {
    const char *axis;
    bool found;
};

static void on_publish_name(struct expr *e, bool in_default, void *arg)
{
    struct axis_search *a = arg;
    (void)in_default;
    if (e->name.root == ROOT_MATRIX && (e->name.text == NULL || strcmp(e->name.text, a->axis) == 0))
        a->found = true;
}

/* One branch would replace what another one published. */
static bool holds_axes(struct loader *l, const struct step *s, const struct output *o)
{
    for (uint32_t i = 0; s->n_rows > 1 && i < s->rows[0].n; i++) {
        struct axis_search search = {.axis = s->rows[0].axes[i]};
        text_each_name(o->publish, on_publish_name, &search);
        if (!search.found) {
            diag_error(l->d, o->publish->span, "publish-matrix",
                       "every branch of step '%s' would be published at this path: it must hold "
                       "${{ matrix.%s }}",
                       s->name, search.axis);
            return false;
        }
    }
    return true;
}

static void publish_path(struct paths *p, const char *path, const struct step *s,
                         const struct output *o)
{
    ptrdiff_t at = map_find(&p->exact, path, strlen(path));
    if (at >= 0) {
        diag_error(p->l->d, o->publish->span, "publish-twice",
                   "'%.80s' is published by step '%s' already", path, p->list.items[at].step->name);
        return;
    }
    map_put_text(&p->exact, path, NULL);
    *vec_push(&p->list) = (struct published){path, s, o};
}

static void gather_published(struct paths *p)
{
    struct loader *l = p->l;
    for (uint32_t i = 0; i < l->wf->n_steps; i++) {
        const struct step *s = &l->wf->steps[i];
        for (uint32_t k = 0; k < s->n_outputs; k++) {
            const struct output *o = &s->outputs[k];
            if (o->publish == NULL || !holds_axes(l, s, o))
                continue;
            for (uint32_t r = 0; r < s->n_rows; r++) {
                const char *path = clean_path(l, o->publish, o->publish->span, s, &s->rows[r],
                                              "the published path", "the workflow's folder", true);
                if (path != NULL)
                    publish_path(p, path, s, o);
            }
        }
    }
}

struct above {
    struct paths *paths;
    size_t index;
};

static bool add_ancestor(void *arg, const char *path, size_t len)
{
    struct above *a = arg;
    if (map_find(&a->paths->ancestors, path, len) < 0)
        map_put(&a->paths->ancestors, path, len, &a->paths->list.items[a->index]);
    return false;
}

static void check_nested(struct paths *p)
{
    for (size_t i = 0; i < p->list.len; i++)
        any_ancestor(p->list.items[i].path, add_ancestor, &(struct above){p, i});
    for (size_t i = 0; i < p->list.len; i++) {
        const struct published *outer = &p->list.items[i];
        const struct published *inner = map_get_text(&p->ancestors, outer->path);
        if (inner == NULL)
            continue;
        diag_error(p->l->d, inner->output->publish->span, "publish-twice",
                   "'%.80s' lies inside '%.80s', which step '%s' publishes as a whole", inner->path,
                   outer->path, outer->step->name);
    }
}

/* --- inputs that are published --- */

/* Bytewise * ? [] within a part, ** over parts; both split at '/'. */
static bool glob_matches(const char *glob, const char *path)
{
    const char *star = NULL, *again = NULL;
    char part[256], name[256];
    while (*path != '\0') {
        size_t g = strcspn(glob, "/"), n = strcspn(path, "/");
        if (g == 2 && glob[0] == '*' && glob[1] == '*') {
            star = glob + g + (glob[g] == '/');
            again = path;
            glob = star;
            continue;
        }
        bool fits = *glob != '\0' && g < sizeof(part) && n < sizeof(name);
        if (fits) {
            memcpy(part, glob, g);
            part[g] = '\0';
            memcpy(name, path, n);
            name[n] = '\0';
            fits = fnmatch(part, name, FNM_PERIOD) == 0;
        }
        if (fits) {
            glob += g + (glob[g] == '/');
            path += n + (path[n] == '/');
            if (*glob == '\0' && *path != '\0')
                fits = false;
        }
        if (!fits) {
            if (star == NULL)
                return false;
            again += strcspn(again, "/");
            again += *again == '/';
            path = again;
            glob = star;
        }
    }
    return *glob == '\0';
}

static bool published_above(void *arg, const char *path, size_t len)
{
    struct above *a = arg;
    ptrdiff_t at = map_find(&a->paths->exact, path, len);
    if (at < 0)
        return false;
    a->index = (size_t)at;
    return true;
}

/* What the input covers of what is published, or lies in; NULL: nothing. */
static const struct published *covered(struct paths *p, const char *path, bool glob)
{
    if (glob) {
        for (size_t i = 0; i < p->list.len; i++) {
            if (glob_matches(path, p->list.items[i].path))
                return &p->list.items[i];
        }
        return NULL;
    }
    ptrdiff_t at = map_find(&p->exact, path, strlen(path));
    if (at >= 0)
        return &p->list.items[at];
    struct above above = {.paths = p};
    if (any_ancestor(path, published_above, &above))
        return &p->list.items[above.index];
    return map_get_text(&p->ancestors, path);
}

static void check_input(struct paths *p, const struct step *s, const struct input *in,
                        struct map *globs)
{
    struct loader *l = p->l;
    if ((in->path->uses & ~(uint32_t)USES_PARAMS) != 0)
        return;
    const char *path = clean_path(l, in->path, in->span, s, NULL, "", "", false);
    if (path == NULL)
        return;
    /* Equal globs are looked at once: each goes over all that is published. */
    if (in->glob && !map_put_text(globs, path, NULL))
        return;
    const struct published *hit = covered(p, path, in->glob);
    if (hit == NULL)
        return;
    diag_error(l->d, in->span, "published-input",
               "the input '%.80s' covers what step '%s' publishes at '%.80s'", path,
               hit->step->name, hit->path);
    diag_hint(l->d, "refer to it: ${{ steps.%s.outputs.%s }}", hit->step->name, hit->output->name);
}

/* What needs_name() of the loader could not see: a path that params make up. */
static void check_input_places(struct loader *l)
{
    for (uint32_t i = 0; i < l->wf->n_steps; i++) {
        const struct step *s = &l->wf->steps[i];
        for (uint32_t k = 0; k < s->n_inputs; k++) {
            const struct input *in = &s->inputs[k];
            bool params_only =
                in->path->n_parts > 0 && (in->path->uses & ~(uint32_t)USES_PARAMS) == 0;
            if (in->name == NULL && params_only)
                clean_path(l, in->path, in->span, s, NULL, "an input without a name",
                           "the workflow's folder", true);
        }
    }
}

static void check_inputs(struct paths *p)
{
    struct map globs = {0};
    for (uint32_t i = 0; i < p->l->wf->n_steps; i++) {
        const struct step *s = &p->l->wf->steps[i];
        for (uint32_t k = 0; k < s->n_inputs; k++)
            check_input(p, s, &s->inputs[k], &globs);
    }
    map_done(&globs);
}

void check_paths(struct loader *l)
{
    for (uint32_t i = 0; i < l->wf->n_steps; i++)
        check_outputs(l, &l->wf->steps[i]);
    check_input_places(l);
    struct paths p = {.l = l};
    gather_published(&p);
    if (p.list.len > 0) {
        check_nested(&p);
        check_inputs(&p);
    }
    map_done(&p.exact);
    map_done(&p.ancestors);
    vec_done(&p.list);
}
