/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds that wf works out itself: select, aggregate without a command. Begun on the loop thread (looking at branches), worked on the pool. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cache/objects.h"
#include "steps/aggregate.h"
#include "steps/attempt_impl.h"

#include <stdlib.h>
#include <string.h>

/* A document larger than this is data: combine it in a program of your own. */
#define DOCUMENT_MAX ((size_t)1 << 30)

static void one_output(struct attempt *a, const char *name, const char *path)
{
    const struct step *s = a->step;

    a->result.outputs = arena_calloc(a->arena, 1, sizeof(*a->result.outputs));
    a->result.n_outputs = 1;
    a->result.outputs[0].name = name;
    a->result.outputs[0].path = path;
    if (s->n_outputs > 0) {
        a->result.outputs[0].name = s->outputs[0].name;
        a->result.outputs[0].path = a->job.outputs[0];
    }
}

static int begin_select(struct attempt *a, struct err *err)
{
    struct from_list list;
    struct str out = {0};
    int rc = from_collect(a->w, &a->i, a->arena, &list, err);

    rc = rc == 0 ? select_choose(a->w, &a->i, &list, a->arena, &out, err) : rc;
    if (rc == 0) {
        a->result.values = arena_calloc(a->arena, 1, sizeof(*a->result.values));
        a->result.values[0].name = "models";
        a->result.values[0].text = arena_strndup(a->arena, sb_text(&out), out.len);
        a->result.n_values = 1;
    }
    sb_done(&out);
    return rc;
}

static int begin_aggregate(struct attempt *a, struct err *err)
{
    const struct aggregate_options *o = a->step->aggregate;

    a->from = arena_calloc(a->arena, 1, sizeof(*a->from));
    int rc = from_collect(a->w, &a->i, a->arena, a->from, err);
    if (rc == 0 && a->from->count == 0) {
        rc = err_set(err, ERR_NOT_FOUND, 0,
                     "there is nothing to combine: no branch under `from` "
                     "succeeded");
    }
    bool ranked = o->n_from == 1 && a->w->wf->steps[o->from[0]].kind == KIND_SELECT;
    if (rc == 0 && o->method == METHOD_BEST && !ranked && a->from->count > 1) {
        rc = err_set(err, ERR_INVALID, 0,
                     "method: best needs a ranking: put a `select` step under "
                     "`from`");
    }
    if (rc == 0) {
        one_output(a, "result", "result.json");
    }
    return rc;
}

int builtin_begin(struct attempt *a, struct err *err)
{
    a->store = a->keep && a->q->memoized;
    a->why_not = a->q->why_not;
    return a->step->kind == KIND_SELECT      ? begin_select(a, err)
           : a->step->kind == KIND_AGGREGATE ? begin_aggregate(a, err)
                                             : ingest_begin(a, err);
}

static int read_documents(struct attempt *a, struct str *texts, struct slice *documents,
                          const char **names, struct err *err)
{
    int rc = 0;

    for (size_t n = 0; n < a->from->count && rc == 0; n++) {
        const struct from_item *item = &a->from->items[n];
        names[n] = a->w->wf->steps[item->step].rows[item->row].name;
        if (item->output->kind != OBJECT_FILE) {
            return err_set(err, ERR_INVALID, 0, "output '%s' of '%s' is a folder, not a JSON file",
                           item->output->name, names[n]);
        }
        rc = objects_read(a->w->store, &item->output->digest, DOCUMENT_MAX, &texts[n], err);
        documents[n] = slice_of(sb_text(&texts[n]), texts[n].len);
    }
    return rc;
}

static int combine(struct attempt *a, struct err *err)
{
    size_t count = a->from->count;
    struct str *texts = xcalloc(count, sizeof(*texts)), out = {0};
    struct slice *documents = xcalloc(count, sizeof(*documents));
    const char **names = xcalloc(count, sizeof(*names));
    struct result_output *made = &a->result.outputs[0];
    int rc = read_documents(a, texts, documents, names, err);

    rc = rc == 0 ? aggregate_combine(a->step->aggregate->method, documents, names, count, &out, err)
                 : rc;
    rc = rc == 0 ? objects_put_bytes(a->w->store, out.data, out.len, &made->digest, err) : rc;
    made->kind = OBJECT_FILE;
    made->bytes = made->object_bytes = out.len;
    for (size_t n = 0; n < count; n++) {
        sb_done(&texts[n]);
    }
    sb_done(&out);
    free(texts);
    free(documents);
    free(names);
    return rc;
}

int builtin_work(struct attempt *a, struct err *err)
{
    if (a->step->kind == KIND_SELECT) {
        return 0;
    }
    if (a->step->kind == KIND_INGEST) {
        return ingest_work(a, err);
    }
    if (a->step->aggregate->method == METHOD_BEST) {
        struct result_output *made = &a->result.outputs[0];
        const struct result_output *best = a->from->items[0].output;
        const char *name = made->name, *path = made->path;
        *made = *best;
        made->name = name;
        made->path = path;
        return 0;
    }
    return combine(a, err);
}
