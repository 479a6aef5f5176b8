/* SPDX-License-Identifier: Apache-2.0 */
/* select, once all candidates have ended: ranks them by a metric and keeps the best (semantics 28). Also finding the branches under `from`, for select and aggregate. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "steps/aggregate.h"
#include "steps/scope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- from --- */

static int pick_output(const struct world *w, const struct aggregate_options *o,
                       struct from_item *item, struct err *err)
{
    const char *name = w->wf->steps[item->step].rows[item->row].name;

    item->output = o->of                          ? result_output_find(item->result, o->of)
                   : item->result->n_outputs == 1 ? &item->result->outputs[0]
                                                  : result_main_output(item->result);
    if (!item->output && !o->of && o->method == METHOD_COMMAND) {
        return 0; /* its command gets them all */
    }
    if (!item->output && o->of) {
        return err_set(err, ERR_NOT_FOUND, 0, "'%s' made no output '%s'", name, o->of);
    }
    if (!item->output) {
        return err_set(err, ERR_INVALID, 0,
                       "'%s' has several outputs: say under `of` which one is combined", name);
    }
    return 0;
}

static int add_item(const struct world *w, const struct step *s, uint32_t step, uint32_t row,
                    struct from_list *ret, struct err *err)
{
    struct from_item item = {.step = step, .row = row};
    struct branch_view view;

    if (scope_branch(w, step, row, &view)) {
        item.result = view.result;
    } else {
        ret->failed++;
        if (s->aggregate) {
            return 0; /* what failed, tolerated, is left out */
        }
    }
    int rc = s->aggregate && item.result ? pick_output(w, s->aggregate, &item, err) : 0;
    if (rc == 0) {
        ret->items[ret->count++] = item;
    }
    return rc;
}

/* The chosen models of a select step, best first. `room`: for what may follow. */
static int add_chosen(const struct world *w, const struct step *s, uint32_t select, size_t room,
                      struct arena *a, struct from_list *ret, struct err *err)
{
    struct branch_view view;
    struct value models;
    const char *text = NULL;

    if (!scope_branch(w, select, 0, &view) || !(text = result_value_find(view.result, "models"))) {
        ret->failed++;
        return 0;
    }
    int rc = value_parse_json(text, strlen(text), a, &models, err);
    if (rc != 0) {
        return rc;
    }
    struct from_item *items = arena_calloc(a, ret->count + models.count + room, sizeof(*items));
    if (ret->count > 0) {
        memcpy(items, ret->items, ret->count * sizeof(*items));
    }
    ret->items = items;
    for (uint32_t n = 0; rc == 0 && n < models.count; n++) {
        const struct value *name = value_member(&models.items[n], "name", 4);
        uint32_t step, row;
        if (!name || !scope_find_instance(w->wf, arena_strndup(a, name->text.data, name->text.len),
                                          &step, &row)) {
            return err_set(err, ERR_CORRUPT, 0, "the stored choice of models cannot be read");
        }
        rc = add_item(w, s, step, row, ret, err);
    }
    return rc;
}

int from_collect(const struct world *w, const struct instance_ref *i, struct arena *a,
                 struct from_list *ret, struct err *err)
{
    const struct step *s = &w->wf->steps[i->step];
    uint32_t n_from = s->select ? s->select->n_from : s->aggregate->n_from;
    const uint32_t *from = s->select ? s->select->from : s->aggregate->from;
    size_t room = 0;
    int rc = 0;

    *ret = (struct from_list){0};
    for (uint32_t n = 0; n < n_from; n++) {
        room += w->wf->steps[from[n]].n_rows;
    }
    ret->items = arena_calloc(a, room + 1, sizeof(*ret->items));
    for (uint32_t n = 0; rc == 0 && n < n_from; n++) {
        const struct step *other = &w->wf->steps[from[n]];
        struct ref_rows rows = {0, other->n_rows, true};
        if (s->aggregate && other->kind == KIND_SELECT) {
            rc = add_chosen(w, s, from[n], room + 1, a, ret, err);
            continue;
        }
        if (s->aggregate) {
            rc = scope_rows(w, i, from[n], NULL, &rows, err);
        }
        for (uint32_t row = rows.first; rc == 0 && row < rows.end; row++) {
            rc = add_item(w, s, from[n], row, ret, err);
        }
    }
    return rc;
}

/* --- choosing --- */

struct candidate {
    const struct from_item *item;
    struct value metrics;
    const struct value *metric;
    size_t order;
    bool min;
};

/* The literal key first, then by dots. */
static const struct value *find_metric(const struct value *metrics, const char *name)
{
    const struct value *v = value_member(metrics, name, strlen(name));

    for (const char *part = name; !v && metrics; part++) {
        size_t len = strcspn(part, ".");
        metrics = metrics->type == VALUE_OBJECT ? value_member(metrics, part, len) : NULL;
        part += len;
        if (*part == '\0') {
            return metrics;
        }
    }
    return v;
}

static bool usable(const struct value *v)
{
    return v && v->type == VALUE_NUMBER && isfinite(v->number);
}

static bool within(const struct select_options *o, double v)
{
    return (!o->has_at_least || v >= o->at_least) && (!o->has_at_most || v <= o->at_most);
}

static int by_metric(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    double l = left->metric->number, r = right->metric->number;

    if (l != r) {
        return (l < r) != left->min ? 1 : -1;
    }
    return left->order < right->order ? -1 : 1;
}

static void write_model(const struct world *w, const struct candidate *c, struct jsonw *out)
{
    const struct matrix_row *row = &w->wf->steps[c->item->step].rows[c->item->row];

    jw_object(out);
    jw_kv_text(out, "name", row->name);
    jw_key(out, "matrix");
    jw_object(out);
    for (uint32_t n = 0; n < row->n; n++) {
        jw_key(out, row->axes[n]);
        value_json(&row->values[n], out);
    }
    jw_end_object(out);
    jw_key(out, "metrics");
    value_json(&c->metrics, out);
    jw_key(out, "metric");
    value_json(c->metric, out);
    jw_key(out, "outputs");
    jw_array(out);
    for (uint32_t n = 0; n < c->item->result->n_outputs; n++) {
        jw_text(out, c->item->result->outputs[n].name);
    }
    jw_end_array(out);
    jw_end_object(out);
}

/* How many passed, how many failed and who failed first, for messages. */
struct tally {
    uint32_t failed, passed;
    const char *first_failed;
    const char *best; /* of those that a threshold left out; NULL: none */
    double best_metric;
};

static size_t collect(const struct world *w, const struct select_options *o,
                      const struct from_list *from, struct arena *a, struct candidate *ret,
                      struct tally *tally)
{
    size_t count = 0;

    for (size_t n = 0; n < from->count; n++) {
        const struct from_item *item = &from->items[n];
        struct candidate c = {.item = item, .order = n, .min = o->min};
        const char *metrics = item->result ? item->result->metrics : NULL;
        bool read = metrics && value_parse_json(metrics, strlen(metrics), a, &c.metrics, NULL) == 0;
        ret[count] = c;
        ret[count].metric = read ? find_metric(&ret[count].metrics, o->metric) : NULL;
        if (!usable(ret[count].metric)) {
            if (tally->failed++ == 0) {
                tally->first_failed = w->wf->steps[item->step].rows[item->row].name;
            }
            continue;
        }
        double v = ret[count].metric->number;
        if (within(o, v)) {
            count++;
            tally->passed++;
        } else if (!tally->best || (o->min ? v < tally->best_metric : v > tally->best_metric)) {
            tally->best = w->wf->steps[item->step].rows[item->row].name;
            tally->best_metric = v;
        }
    }
    return count;
}

/* "accuracy must be at least 0.9, and the best of the others has 0.85 (train[model=mlp])" */
static int too_few(const struct select_options *o, const struct tally *t, size_t candidates,
                   uint32_t least, struct err *err)
{
    CLEANUP(sb_done) struct str why = {0};

    sb_printf(&why, "%u of %zu candidates passed by '%s', and %u must", t->passed, candidates,
              o->metric, least);
    if (t->best) {
        sb_puts(&why, ": it has to be ");
        if (o->has_at_least) {
            sb_printf(&why, "at least %.10g", o->at_least);
        }
        if (o->has_at_most) {
            sb_printf(&why, "%sat most %.10g", o->has_at_least ? " and " : "", o->at_most);
        }
        sb_printf(&why, ", and the best that was left out has %.10g (%s)", t->best_metric, t->best);
    }
    if (t->failed > 0) {
        sb_printf(&why, "%s %s%s failed or %s no such metric", t->best ? ";" : ":", t->first_failed,
                  t->failed > 1 ? " and others" : "", t->failed > 1 ? "have" : "has");
    }
    return err_set(err, ERR_INVALID, 0, "%s", sb_text(&why));
}

int select_choose(const struct world *w, const struct instance_ref *i, const struct from_list *from,
                  struct arena *a, struct str *out, struct err *err)
{
    const struct select_options *o = w->wf->steps[i->step].select;
    struct candidate *all = arena_calloc(a, from->count + 1, sizeof(*all));
    struct tally tally = {0};
    struct jsonw json;
    size_t count = collect(w, o, from, a, all, &tally);

    if (o->has_tolerate && tally.failed > o->tolerate) {
        return err_set(err, ERR_INVALID, 0,
                       "%u of %zu candidates failed or have no usable metric '%s' (%s first), and "
                       "`tolerate` allows %u",
                       tally.failed, from->count, o->metric, tally.first_failed, o->tolerate);
    }
    uint32_t least = o->min_models > 0 ? o->min_models : 1;
    if (count < least) {
        return too_few(o, &tally, from->count, least, err);
    }
    qsort(all, count, sizeof(*all), by_metric);
    uint32_t top = o->top > 0 ? o->top : 1;
    jw_init(&json, out, false);
    jw_array(&json);
    for (size_t n = 0; n < count && n < top; n++) {
        write_model(w, &all[n], &json);
    }
    jw_end_array(&json);
    return 0;
}

/* --- for promotions --- */

bool select_metric(const struct select_options *o, const char *metrics, struct arena *a,
                   double *ret)
{
    struct value all;

    if (!metrics || value_parse_json(metrics, strlen(metrics), a, &all, NULL) != 0) {
        return false;
    }
    const struct value *v = find_metric(&all, o->metric);
    if (!usable(v) || !within(o, v->number)) {
        return false;
    }
    *ret = v->number;
    return true;
}

char *select_unusable(const struct select_options *o, const char *metrics)
{
    CLEANUP(sb_done) struct str names = {0};
    struct arena *a = arena_new();
    struct value all = {0};
    char *why = NULL;

    if (!metrics || value_parse_json(metrics, strlen(metrics), a, &all, NULL) != 0 ||
        all.type != VALUE_OBJECT) {
        why = xasprintf("has no metrics");
    } else {
        const struct value *v = find_metric(&all, o->metric);
        for (uint32_t n = 0; n < all.count && n < 20; n++) {
            sb_printf(&names, "%s%.*s", n > 0 ? ", " : "", (int)all.keys[n].len, all.keys[n].data);
        }
        if (!v) {
            why = xasprintf("has no metric '%s', only %s", o->metric,
                            all.count > 0 ? sb_text(&names) : "an empty list");
        } else if (!usable(v)) {
            why = xasprintf("has a metric '%s' that is no finite number", o->metric);
        }
    }
    arena_free(a);
    return why;
}
