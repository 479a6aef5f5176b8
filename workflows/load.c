/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow file from text to model: the top level, and the order in which the parts are read. Names are looked up when all steps are
 * there, so that a file's order means nothing. */
#include "workflows/load.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/graph.h"
#include "workflows/load_internal.h"

#include <string.h>

enum { MAX_FILE = 64 << 20 };

int load_read(const char *file, struct str *ret_text, struct err *err)
{
    return fs_read_file(file, MAX_FILE, ret_text, err);
}

/* --- top level --- */

/* Keys that other functions read from the root, in an order of their own. */
static const char *const read_elsewhere[] = {"params",   "env",   "secrets",
                                             "defaults", "steps", "finally"};

static void load_workflow_timeout(struct loader *l, const struct entry *e)
{
    if (load_duration(l, e, &l->wf->timeout_ms) && l->wf->timeout_ms == 0)
        load_expected_as(l, e->value, "timeout", "longer than nothing");
}

static void load_name(struct loader *l, const struct entry *e)
{
    const char *name = load_words(l, e);
    if (name == NULL)
        return;
    bool fine = *name != '\0' && strlen(name) <= 200;
    for (const char *p = name; *p != '\0'; p++)
        fine = fine && (unsigned char)*p >= 0x20;
    if (fine)
        l->wf->name = name;
    else
        load_expected_as(l, e->value, "name", "one line of at most 200 bytes");
}

static void on_top_key(struct loader *l, const struct entry *e)
{
    struct workflow *wf = l->wf;
    const char *key = e->key->name;
    uint32_t choice = 0;
    for (size_t i = 0; i < ARRAY_LEN(read_elsewhere); i++) {
        if (strcmp(key, read_elsewhere[i]) == 0)
            return;
    }
    if (strcmp(key, "name") == 0) {
        load_name(l, e);
    } else if (strcmp(key, "description") == 0) {
        wf->description = load_words(l, e);
    } else if (strcmp(key, "labels") == 0) {
        load_labels(l, e, &wf->n_labels, &wf->labels);
    } else if (strcmp(key, "max_parallel") == 0) {
        load_count(l, e, 1, &wf->max_parallel);
    } else if (strcmp(key, "on_failure") == 0) {
        if (load_choice(l, e, failure_mode_names, FAILURE_COUNT, &choice))
            wf->on_failure = (enum failure_mode)choice;
    } else if (strcmp(key, "timeout") == 0) {
        load_workflow_timeout(l, e);
    }
}

static void load_top(struct loader *l)
{
    for (uint32_t i = 0; i < l->root->len; i++) {
        const struct node_pair *p = &l->root->pairs[i];
        if (text_starts(p->key, "x-"))
            continue;
        struct entry e = {
            .key = load_key(l, &schema_top, p, "a workflow"), .value = p->value, .at = p->key_span};
        if (e.key != NULL)
            on_top_key(l, &e);
    }
}

/* The file's name without folder and ending. */
static const char *stem(struct loader *l, const char *file)
{
    const char *base = fs_basename(file);
    const char *dot = strrchr(base, '.');
    size_t len = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
    return arena_strndup(l->a, base, len);
}

static int load_place(struct loader *l, struct err *err)
{
    const char *file = l->o->file;
    CLEANUP(cleanup_free) char *dir = fs_dirname(file);
    CLEANUP(cleanup_free) char *real = fs_real(dir, err);
    if (real == NULL)
        return err_wrap(err, "the folder of %s", file);
    l->wf->file = arena_strdup(l->a, file);
    l->wf->dir = arena_strdup(l->a, real);
    l->wf->name = stem(l, file);
    return 0;
}

/* --- all of it --- */

static void begin_steps(struct loader *l)
{
    static const char always[] = "always()";
    l->default_shell = arena_strdup(l->a, "sh");
    l->always = expr_parse_bare(always, strlen(always), (struct span){0}, l->a, l->d);
    l->env = node_get(l->root, "env");
    l->defaults = node_get(l->root, "defaults");
    if (l->env != NULL && l->env->kind != NODE_MAP) {
        load_expected_as(l, l->env, "env", "a mapping of names to values");
        l->env = NULL;
    }
    load_defaults(l);
}

static void check_any_step(struct loader *l, const struct node *steps)
{
    if (steps == NULL || is_null(steps) || (steps->kind == NODE_MAP && steps->len == 0)) {
        diag_error(l->d, steps != NULL ? steps->span : l->root->span, "missing-key",
                   "the workflow has no steps");
        diag_hint(l->d, "the smallest one: steps: {hello: {run: echo hello}}");
    }
}

static int load_model(struct loader *l, struct err *err)
{
    load_params(l, node_get(l->root, "params"));
    int rc = load_overrides(l, err);
    if (rc < 0)
        return rc;
    l->param_used = arena_calloc(l->tmp, l->wf->n_params + 1, sizeof(bool));
    load_secrets(l, node_get(l->root, "secrets"));
    l->secret_used = arena_calloc(l->tmp, l->wf->n_secrets + 1, sizeof(bool));
    load_top(l);
    const struct node *steps = node_get(l->root, "steps");
    check_any_step(l, steps);
    begin_steps(l);
    load_steps(l, steps != NULL && is_null(steps) ? NULL : steps, node_get(l->root, "finally"));
    load_each(l);
    check_names(l);
    check_kinds(l);
    check_services(l);
    check_paths(l);
    check_branches(l);
    if (graph_order(l->wf, l->a, l->d) && l->d->errors == 0 && l->o->want_warnings)
        check_warnings(l);
    return l->d->errors > 0 ? 1 : 0;
}

static int load_text_model(struct loader *l, const char *text, size_t len, struct err *err)
{
    int rc = load_place(l, err);
    if (rc < 0)
        return rc;
    l->root = yaml_parse_partial(text, len, l->tmp, l->d);
    if (l->root == NULL)
        return 1;
    if (l->root->kind != NODE_MAP) {
        if (is_null(l->root))
            diag_error(l->d, l->root->span, "yaml-empty", "the file is empty");
        else
            diag_error(l->d, l->root->span, "bad-value", "a workflow is a mapping with 'steps'");
        diag_hint(l->d, "the smallest workflow: steps: {hello: {run: echo hello}}");
        return 1;
    }
    /* What is wrong with the file is said before what is missing on the command line. */
    rc = load_model(l, err);
    return rc < 0 && l->d->errors > 0 ? 1 : rc;
}

int workflow_load(const char *text, size_t len, const struct load_options *o, struct arena *a,
                  struct diags *d, struct workflow **ret, struct err *err)
{
    struct loader *l = xcalloc(1, sizeof(*l));
    l->a = a;
    l->tmp = arena_new();
    l->d = d;
    l->o = o;
    l->wf = arena_alloc(a, sizeof(*l->wf));
    if (d->text == NULL)
        diags_set_text(d, text, len);
    int rc = load_text_model(l, text, len, err);
    if (rc == 0)
        *ret = l->wf;
    map_done(&l->step_names);
    map_done(&l->param_names);
    map_done(&l->secret_names);
    arena_free(l->tmp);
    cleanup_free(&l);
    return rc;
}
