/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/models.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "cli/command.h"

#include <stdlib.h>
#include <string.h>

/* --- where they serve, and which are barred --- */

struct reading {
    struct arena *a;
    VEC(struct serving) serving;
    VEC(struct barred_model) barred;
};

static int take_row(const struct service_row *row, void *arg)
{
    struct reading *r = arg;
    struct service_spec spec;

    if (row->wanted && spec_decode(row->wanted, strlen(row->wanted), r->a, &spec, NULL) == 0 &&
        (spec.select || spec.over)) {
        *vec_push(&r->serving) =
            (struct serving){.row = *row, .select = spec.select, .over = spec.over};
    }
    return 0;
}

/* An aggregate serves what the service under it serves. */
static void find_selects(struct serving *all, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        for (size_t k = 0; k < count && all[n].over; k++) {
            if (!all[k].over && text_eq(all[k].row.step, all[n].over) &&
                text_eq(all[k].row.workflow, all[n].row.workflow)) {
                all[n].select = all[k].select;
            }
        }
    }
}

static int take_barred(const struct barred_model *b, void *arg)
{
    struct reading *r = arg;
    struct barred_model m = *b;

    m.workflow = arena_strdup(r->a, b->workflow);
    m.step = arena_strdup(r->a, b->step);
    m.name = arena_strdup(r->a, b->name);
    *vec_push(&r->barred) = m;
    return 0;
}

int registry_read(struct store *s, struct arena *a, struct registry *ret, struct err *err)
{
    struct reading r = {.a = a};
    int rc = desired_each(s, a, take_row, &r, err);

    rc = rc < 0 ? rc : barred_each(s, NULL, NULL, take_barred, &r, err);
    if (rc == 0) {
        *ret = (struct registry){
            .store = s, .arena = a, .n_serving = r.serving.len, .n_barred = r.barred.len};
        ret->serving = arena_calloc(a, r.serving.len + 1, sizeof(*ret->serving));
        ret->barred = arena_calloc(a, r.barred.len + 1, sizeof(*ret->barred));
        if (r.serving.len > 0) {
            memcpy(ret->serving, r.serving.items, r.serving.len * sizeof(*ret->serving));
        }
        find_selects(ret->serving, ret->n_serving);
        if (r.barred.len > 0) {
            memcpy(ret->barred, r.barred.items, r.barred.len * sizeof(*ret->barred));
        }
    }
    vec_done(&r.serving);
    vec_done(&r.barred);
    return rc;
}

const struct serving *registry_serves(const struct registry *r, const struct promotion *p,
                                      size_t *at)
{
    for (; *at < r->n_serving; (*at)++) {
        const struct serving *s = &r->serving[*at];
        if (s->row.live_promotion == p->number && s->row.live_generation > 0 &&
            text_eq(s->row.workflow, p->workflow) && text_eq(s->select, p->step)) {
            (*at)++;
            return s;
        }
    }
    return NULL;
}

bool registry_is_live(const struct registry *r, const struct promotion *p)
{
    size_t at = 0;

    return registry_serves(r, p, &at) != NULL;
}

bool registry_is_barred(const struct registry *r, const struct promotion *p,
                        const struct promoted_model *m)
{
    for (size_t n = 0; n < r->n_barred; n++) {
        const struct barred_model *b = &r->barred[n];
        if (digest_eq(&b->model, &m->content) && text_eq(b->workflow, p->workflow) &&
            text_eq(b->step, p->step)) {
            return true;
        }
    }
    return false;
}

/* --- names --- */

struct name {
    const char *workflow, *step, *both;
};
struct names {
    struct arena *a;
    VEC(struct name) items;
};

static int take_name(const char *workflow, const char *step, void *arg)
{
    struct names *n = arg;
    struct name name = {.workflow = arena_strdup(n->a, workflow), .step = arena_strdup(n->a, step)};

    name.both = arena_printf(n->a, "%s/%s", workflow, step);
    *vec_push(&n->items) = name;
    return 0;
}

static void names_done(struct names *n)
{
    vec_done(&n->items);
}

static int read_names(const struct cli *c, struct store *s, struct names *n)
{
    struct err err = {0};

    return promotion_steps_each(s, take_name, n, &err) < 0 ? cli_fail(c, &err) : EXIT_OK;
}

/* No step or workflow is called so. */
static int unknown(const struct cli *c, const struct names *n, const char *word, bool workflows)
{
    CLEANUP(cleanup_free) const char **words = xcalloc(3 * n->items.len + 1, sizeof(*words));
    size_t count = 0;

    for (size_t i = 0; i < n->items.len; i++) {
        words[count++] = n->items.items[i].step;
        words[count++] = n->items.items[i].both;
        if (workflows) {
            words[count++] = n->items.items[i].workflow;
        }
    }
    if (workflows) {
        static const char *const commands_of_ours[] = {"show", "rollback", "allow"};
        const char *meant = suggest_nearest(word, commands_of_ours, ARRAY_LEN(commands_of_ours));
        if (meant) {
            return cli_usage(c, "wf models has no command '%s' (did you mean '%s'?)", word, meant);
        }
    }
    const char *near = suggest_nearest(word, words, count);
    if (near) {
        return cli_usage(c, "nothing has been promoted by '%s' (did you mean '%s'?)", word, near);
    }
    if (count == 0) {
        return cli_usage(c, "nothing has been promoted in this store yet: a select step with "
                            "`promote: early`, or one that a serve step takes its models from, "
                            "promotes");
    }
    return cli_usage(c, "nothing has been promoted by '%s'; `wf models` lists what has been", word);
}

/* The one that `word` means; several: says which. */
static int find_name(const struct cli *c, const struct names *n, const char *word,
                     const struct name **ret)
{
    CLEANUP(sb_done) struct str all = {0};
    const struct name *found = NULL;
    size_t count = 0;

    for (size_t i = 0; i < n->items.len; i++) {
        const struct name *it = &n->items.items[i];
        if (text_eq(it->both, word)) {
            *ret = it;
            return EXIT_OK;
        }
        if (text_eq(it->step, word)) {
            sb_printf(&all, "%s%s", count++ ? ", " : "", it->both);
            found = it;
        }
    }
    if (count > 1) {
        return cli_usage(c, "'%s' is a step of several workflows: say which (%s)", word,
                         sb_text(&all));
    }
    if (!found) {
        return unknown(c, n, word, false);
    }
    *ret = found;
    return EXIT_OK;
}

int registry_name(const struct cli *c, struct store *s, const char *word, struct arena *a,
                  const char **ret_workflow, const char **ret_step, uint32_t *ret_number)
{
    CLEANUP(names_done) struct names n = {.a = a};
    const char *at = strrchr(word, '@');
    const struct name *found = NULL;
    unsigned long number = 0;
    char *end;
    int code = read_names(c, s, &n);

    if (at && at[1] >= '0' && at[1] <= '9') {
        number = strtoul(at + 1, &end, 10);
        if (*end != '\0' || number == 0 || number > UINT32_MAX) {
            return cli_usage(c, "'%s': behind @ stands a promotion's number", word);
        }
        word = arena_strndup(a, word, (size_t)(at - word));
    }
    code = code == EXIT_OK ? find_name(c, &n, word, &found) : code;
    if (code == EXIT_OK) {
        *ret_workflow = found->workflow;
        *ret_step = found->step;
        *ret_number = (uint32_t)number;
    }
    return code;
}

int registry_filter(const struct cli *c, struct store *s, const char *word, struct arena *a,
                    const char **ret_workflow, const char **ret_step)
{
    CLEANUP(names_done) struct names n = {.a = a};
    int code = read_names(c, s, &n);

    for (size_t i = 0; i < n.items.len && code == EXIT_OK; i++) {
        const struct name *it = &n.items.items[i];
        bool both = text_eq(it->both, word), workflow = text_eq(it->workflow, word);
        if (both || workflow || text_eq(it->step, word)) {
            *ret_workflow = both || workflow ? it->workflow : NULL;
            *ret_step = workflow ? NULL : it->step;
            return EXIT_OK;
        }
    }
    return code == EXIT_OK ? unknown(c, &n, word, true) : code;
}

void add_models(struct str *out, const struct promotion *p)
{
    for (uint32_t n = 0; n < p->n_models; n++) {
        sb_printf(out, "%s%s %.6g", n ? ", " : "", p->models[n].slug, p->models[n].metric);
    }
}
