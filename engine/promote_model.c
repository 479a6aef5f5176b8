/* SPDX-License-Identifier: Apache-2.0 */
/* What a promotion records of a model: its name in URLs, its content, its metrics, and where it comes from. */
#include "base/arena.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/git.h"
#include "engine/history.h"
#include "engine/promote_impl.h"
#include "steps/aggregate.h"
#include "steps/slug.h"

#include <stdlib.h>
#include <string.h>

bool model_is_main(const struct result_output *o)
{
    return strcmp(o->name, "metrics") != 0;
}

/* Whatever makes no file but its metrics is its name and them. */
struct digest model_content(const struct result *r, const char *name)
{
    struct digest_ctx *c = digest_new();
    struct digest d;
    bool any = false;

    digest_begin(c);
    for (uint32_t n = 0; n < r->n_outputs;
         n++) { /* in the order of the file, equal for equal steps */
        if (model_is_main(&r->outputs[n])) {
            any = true;
            digest_add(c, r->outputs[n].name, strlen(r->outputs[n].name) + 1);
            digest_add(c, &r->outputs[n].digest, sizeof(struct digest));
        }
    }
    if (!any) {
        digest_add(c, name, strlen(name) + 1);
        digest_add(c, r->metrics ? r->metrics : "", r->metrics ? strlen(r->metrics) : 0);
    }
    digest_end(c, &d);
    digest_free(c);
    return d;
}

void models_unique_slugs(struct promoted_model *models, uint32_t count, struct arena *a)
{
    const char **slugs = arena_calloc(a, count ? count : 1, sizeof(*slugs));

    for (uint32_t n = 0; n < count; n++) {
        slugs[n] = models[n].slug;
    }
    slugs_make_unique(slugs, count, a);
    for (uint32_t n = 0; n < count; n++) {
        models[n].slug = slugs[n];
    }
}

static const char *matrix_json(const struct matrix_row *row, struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, false);
    jw_object(&w);
    for (uint32_t n = 0; n < row->n; n++) {
        jw_key(&w, row->axes[n]);
        value_json(&row->values[n], &w);
    }
    jw_end_object(&w);
    return arena_strdup(a, sb_text(&out));
}

/* Where its data come from: the sources of the ingest steps above it. */
static const char *provenance(struct run *r, uint32_t step, struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    CLEANUP(cleanup_free) uint32_t *stack = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*stack));
    CLEANUP(cleanup_free) bool *seen = xcalloc((size_t)r->wf->n_steps + 1, sizeof(*seen));
    struct jsonw w;
    uint32_t depth = 0;

    jw_init(&w, &out, false);
    jw_array(&w);
    stack[depth++] = step;
    seen[step] = true;
    while (depth > 0) {
        uint32_t at = stack[--depth];
        const struct step *s = &r->wf->steps[at];
        const struct result *made =
            s->kind == KIND_INGEST && s->n_rows > 0 ? run_result(r, r->plan->first[at]) : NULL;
        if (made) {
            jw_object(&w);
            jw_kv_text(&w, "step", s->name);
            jw_key(&w, "source");
            if (made->source) {
                jw_raw(&w, made->source, strlen(made->source));
            } else {
                jw_null(&w);
            }
            if (made->n_outputs > 0) {
                jw_key(&w, "digest");
                jw_digest(&w, &made->outputs[0].digest);
            }
            jw_end_object(&w);
        }
        for (uint32_t k = 0; k < s->n_needs; k++) {
            if (!seen[s->needs[k].step]) {
                seen[s->needs[k].step] = true;
                stack[depth++] = s->needs[k].step;
            }
        }
    }
    jw_end_array(&w);
    return arena_strdup(a, sb_text(&out));
}

/* As it is stored: the metrics in one line. */
static const char *metrics_json(const char *metrics, struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    struct value v;
    struct jsonw w;

    if (!metrics || value_parse_json(metrics, strlen(metrics), a, &v, NULL) != 0) {
        return NULL;
    }
    jw_init(&w, &out, false);
    value_json(&v, &w);
    return arena_strdup(a, sb_text(&out));
}

void model_of_candidate(struct run *r, const struct candidate *c, struct arena *a,
                        struct promoted_model *ret)
{
    const struct step *s = &r->wf->steps[c->step];
    uint32_t instance = r->plan->first[c->step] + c->row;
    const struct result *result = run_result(r, instance);
    struct result_output *outputs =
        arena_calloc(a, (size_t)result->n_outputs + 1, sizeof(*outputs));
    char commit[65];

    for (uint32_t n = 0; n < result->n_outputs; n++) {
        outputs[n] = result->outputs[n];
        outputs[n].name = arena_strdup(a, outputs[n].name);
        outputs[n].path = arena_strdup(a, outputs[n].path);
    }
    *ret = (struct promoted_model){.name = arena_strdup(a, s->rows[c->row].name),
                                   .slug = model_slug(s, c->row, a),
                                   .matrix_json = matrix_json(&s->rows[c->row], a),
                                   .metrics_json = metrics_json(result->metrics, a),
                                   .metric = c->metric,
                                   .n_outputs = result->n_outputs,
                                   .outputs = outputs,
                                   .content = c->content,
                                   .entry = r->state.instances[instance].entry,
                                   .run = result->run ? arena_strdup(a, result->run) : r->id,
                                   .provenance_json = provenance(r, c->step, a)};
    if (strcmp(ret->run, r->id) != 0) {
        ret->git_json = history_git_of(r->o.store, ret->run, a);
    } else if (git_commit_of(r->wf->dir, commit)) {
        ret->git_json = arena_printf(a, "{\"commit\":\"%s\",\"dirty\":null}", commit);
    }
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

struct digest models_content(const struct promoted_model *models, uint32_t count)
{
    CLEANUP(cleanup_free) struct digest *all = xcalloc((size_t)count + 1, sizeof(*all));
    struct digest_ctx *c = digest_new();
    struct digest d;

    for (uint32_t n = 0; n < count; n++) {
        all[n] = models[n].content;
    }
    qsort(all, count, sizeof(*all), by_digest);
    digest_begin(c);
    digest_add(c, all, count * sizeof(*all));
    digest_end(c, &d);
    digest_free(c);
    return d;
}
