/* SPDX-License-Identifier: Apache-2.0 */
/* Combining by method. The elements themselves are combined by what aggregates documents too (steps/aggregate.h); here are the tensors around them. */
#include "serve/gateway_combine.h"

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/vec.h"
#include "steps/aggregate.h"

#include <string.h>

/* The tensors of one name, one from each member, and what becomes of them. */
struct joint {
    const struct combine_input *c;
    const struct tensor **tensors;
    struct tensor out; /* data stands in `data` */
    struct str data;
    struct err *err;
};

static void put_members(struct jsonw *w, const struct combine_input *c, uint32_t used)
{
    jw_key(w, "members");
    jw_array(w);
    for (uint32_t k = 0; k < used; k++) {
        jw_text(w, c->slugs[k]);
    }
    jw_end_array(w);
}

static void put_slice(struct jsonw *w, const char *key, struct slice json)
{
    jw_key(w, key);
    jw_raw(w, json.data, json.len);
}

static void put_tensor(struct jsonw *w, const struct tensor *t, struct slice data)
{
    jw_object(w);
    put_slice(w, "name", t->name);
    jw_key(w, "shape");
    jw_array(w);
    for (uint32_t i = 0; i < t->n_dims; i++) {
        jw_i64(w, t->shape[i]);
    }
    jw_end_array(w);
    jw_kv_text(w, "datatype", t->datatype);
    if (t->parameters.data) {
        put_slice(w, "parameters", t->parameters);
    }
    put_slice(w, "data", data);
    jw_end_object(w);
}

/* A document as it came, or as it was put together from parts. */
static void put_answer(struct jsonw *w, const char *model, const struct form *f)
{
    jw_object(w);
    if (f->v1) {
        put_slice(w, "predictions", f->list);
    } else {
        jw_kv_text(w, "model_name", model);
        jw_key(w, "outputs");
        jw_array(w);
        for (size_t i = 0; i < f->tensors.len; i++) {
            put_tensor(w, &f->tensors.items[i], f->tensors.items[i].data);
        }
        jw_end_array(w);
    }
    jw_end_object(w);
}

static int misfit(const struct joint *j, uint32_t which, const char *how)
{
    struct slice name = j->out.name;

    return err_set(
        j->err, ERR_INVALID, 0, "the answers of '%s' and '%s' do not fit together: output %.*s %s",
        j->c->slugs[0], j->c->slugs[which], name.len > 80 ? 80 : (int)name.len, name.data, how);
}

static bool joins_lists(enum method m)
{
    return m == METHOD_UNION || m == METHOD_CONCAT;
}

static int find_tensors(struct joint *j, size_t index)
{
    const struct combine_input *c = j->c;

    for (uint32_t k = 1; k < c->n_members; k++) {
        const struct form *f = c->answers[k];
        const struct tensor *found = NULL;
        for (size_t i = 0; i < f->tensors.len && !found; i++) {
            /* As a rule it stands at the same place. */
            const struct tensor *t = &f->tensors.items[(index + i) % f->tensors.len];
            found = slice_eq(t->name, j->out.name) ? t : NULL;
        }
        if (!found) {
            return misfit(j, k, "is missing in the second");
        }
        if (found->n_dims != j->out.n_dims ||
            (!joins_lists(c->method) &&
             memcmp(found->shape, j->out.shape, found->n_dims * sizeof(*found->shape)) != 0)) {
            return misfit(j, k, "has another shape");
        }
        if ((found->kind == TENSOR_BYTES) != (j->out.kind == TENSOR_BYTES)) {
            return misfit(j, k, "has another datatype");
        }
        j->tensors[k] = found;
    }
    return 0;
}

static const char single_float[] = "FP32";

/* Halves and single floats stay floats; a mean of whole numbers, or of doubles among others, is a double. */
static void set_datatype(struct joint *j)
{
    bool floats = true, same = true;

    for (uint32_t k = 0; k < j->c->n_members; k++) {
        floats = floats && j->tensors[k]->kind == TENSOR_FLOAT;
        same = same && j->tensors[k]->datatype == j->out.datatype;
    }
    if (j->out.kind == TENSOR_BYTES || j->out.kind == TENSOR_BOOL) {
        return;
    }
    if (j->c->method == METHOD_MEAN || (!same && j->out.kind != TENSOR_INTEGER)) {
        j->out.datatype = floats ? single_float : "FP64";
    }
}

/* Each element for itself: mean and vote. */
static int combine_elements(struct joint *j)
{
    uint32_t n = j->c->n_members;
    CLEANUP(cleanup_free) struct slice *data = xcalloc(n, sizeof(*data));
    CLEANUP(cleanup_free) struct str *flat = xcalloc(n, sizeof(*flat));
    bool flatten = false;

    for (uint32_t k = 0; k < n; k++) {
        flatten = flatten || j->tensors[k]->nested != j->out.nested;
        data[k] = j->tensors[k]->data;
    }
    for (uint32_t k = 0; k < n && flatten; k++) {
        sb_putc(&flat[k], '[');
        scan_flatten(j->tensors[k]->data, &flat[k]);
        sb_putc(&flat[k], ']');
        data[k] = slice_of(flat[k].data, flat[k].len);
    }
    set_datatype(j);
    bool single = text_eq(j->out.datatype, single_float);
    int rc = (single ? aggregate_combine_single
                     : aggregate_combine)(j->c->method, data, j->c->slugs, n, &j->data, j->err);
    for (uint32_t k = 0; k < n; k++) {
        sb_done(&flat[k]);
    }
    if (rc) {
        return err_wrap(j->err, "output %.*s", (int)j->out.name.len, j->out.name.data);
    }
    sb_truncate(&j->data, j->data.len - 1); /* the newline */
    return 0;
}

/* Rows of a tensor as texts without brackets. */
struct rows {
    struct str flat;
    const char **cuts;
    size_t count;
};

static void rows_init(struct rows *r, const struct tensor *t)
{
    size_t n = t->n_dims ? (size_t)t->shape[0] : 1;
    uint64_t elements = tensor_elements(t);

    *r = (struct rows){.count = elements ? n : 0};
    sb_putc(&r->flat, '[');
    scan_flatten(t->data, &r->flat);
    sb_putc(&r->flat, ']');
    if (r->count) {
        r->cuts = xcalloc(r->count + 1, sizeof(*r->cuts));
        scan_cuts(slice_of(r->flat.data, r->flat.len), elements / n, r->cuts, r->count);
    }
}

static void rows_done(struct rows *r)
{
    sb_done(&r->flat);
    cleanup_free(&r->cuts);
}

static void add_row(const struct rows *r, size_t i, struct str *out)
{
    sb_putc(out, '[');
    if (i < r->count) {
        sb_add(out, r->cuts[i], (size_t)(r->cuts[i + 1] - r->cuts[i]) - (i + 1 < r->count));
    }
    sb_putc(out, ']');
}

static int64_t list_length(struct slice list)
{
    struct scan s = scan_of(list);
    struct scan_leaves found;

    return scan_leaves(&s, NULL, 0, &found) ? (int64_t)found.count : -1;
}

/* The members' i-th rows made into one list; its elements are appended to the output's. */
static int join_row(struct joint *j, const struct rows *rows, size_t i, int64_t *ret_length)
{
    uint32_t n = j->c->n_members;
    CLEANUP(cleanup_free) struct slice *lists = xcalloc(n, sizeof(*lists));
    CLEANUP(sb_done) struct str texts = {0}, joined = {0};
    CLEANUP(cleanup_free) size_t *ends = xcalloc(n + 1, sizeof(*ends));

    for (uint32_t k = 0; k < n; k++) {
        add_row(&rows[k], i, &texts);
        ends[k + 1] = texts.len;
    }
    for (uint32_t k = 0; k < n; k++) {
        lists[k] = slice_of(texts.data + ends[k], ends[k + 1] - ends[k]);
    }
    int rc = aggregate_combine(j->c->method, lists, j->c->slugs, n, &joined, j->err);
    if (rc) {
        return rc;
    }
    struct slice list = slice_of(joined.data, joined.len);
    while (list.len > 0 && list.data[list.len - 1] != ']') {
        list.len--; /* the newline */
    }
    *ret_length = list_length(list);
    struct slice inner = scan_inner(list);
    if (i > 0 && inner.len > 0) {
        sb_putc(&j->data, ',');
    }
    sb_add(&j->data, inner.data, inner.len);
    return 0;
}

/* [n, k] and [n, l] become [n, k+l]; [n] and [n] become [n, 2]. Further dimensions stay, of concat; a union has none. */
static int combine_rows(struct joint *j)
{
    uint32_t n = j->c->n_members, dims = j->out.n_dims;
    size_t count = dims ? (size_t)j->out.shape[0] : 1;
    CLEANUP(cleanup_free) struct rows *rows = xcalloc(n, sizeof(*rows));
    int64_t length = 0, per_row = 1;
    int rc = 0;

    for (uint32_t k = 1; k < n && rc == 0; k++) {
        for (uint32_t d = 0; d < dims; d++) {
            if (d != 1 && j->tensors[k]->shape[d] != j->out.shape[d]) {
                rc = misfit(j, k, "has another shape");
            }
        }
    }
    if (rc == 0 && dims > 2 && j->c->method == METHOD_UNION) {
        rc = misfit(j, n - 1, "has more than two dimensions, and so no union");
    }
    if (rc) {
        return rc;
    }
    for (uint32_t k = 0; k < n; k++) {
        rows_init(&rows[k], j->tensors[k]);
    }
    sb_putc(&j->data, '[');
    for (size_t i = 0; i < count && rc == 0; i++) {
        int64_t now = 0;
        rc = join_row(j, rows, i, &now);
        if (rc == 0 && i > 0 && now != length) {
            rc = misfit(
                j, n - 1,
                "has a union of another length for each instance, which is no tensor; ask v1");
        }
        length = now;
    }
    sb_putc(&j->data, ']');
    for (uint32_t k = 0; k < n; k++) {
        rows_done(&rows[k]);
    }
    for (uint32_t d = 2; d < dims; d++) {
        per_row *= j->out.shape[d];
    }
    j->out.shape[1] = per_row ? length / per_row : 0;
    j->out.shape[0] = dims ? j->out.shape[0] : 1;
    j->out.n_dims = dims < 2 ? 2 : dims;
    j->out.nested = false;
    return rc;
}

static int combine_tensor(const struct combine_input *c, size_t index, struct jsonw *w,
                          struct err *err)
{
    CLEANUP(cleanup_free)
    const struct tensor **tensors = xcalloc(c->n_members, sizeof(*tensors));
    struct joint j = {
        .c = c, .tensors = tensors, .out = c->answers[0]->tensors.items[index], .err = err};
    tensors[0] = &c->answers[0]->tensors.items[index];
    int rc = find_tensors(&j, index);

    if (rc == 0 && c->n_members == 1 && c->method == METHOD_MEAN) {
        set_datatype(&j);
        put_tensor(w, &j.out, j.out.data);
    } else if (rc == 0 && c->n_members == 1 && !joins_lists(c->method)) {
        put_tensor(w, &j.out, j.out.data);
    } else if (rc == 0) {
        rc = joins_lists(c->method) ? combine_rows(&j) : combine_elements(&j);
        if (rc == 0) {
            put_tensor(w, &j.out, slice_of(sb_text(&j.data), j.data.len));
        }
    }
    sb_done(&j.data);
    return rc;
}

static int combine_v2(const struct combine_input *c, struct jsonw *w, struct err *err)
{
    int rc = 0;

    for (uint32_t k = 1; k < c->n_members; k++) {
        if (c->answers[k]->tensors.len != c->answers[0]->tensors.len) {
            return err_set(err, ERR_INVALID, 0,
                           "the answers of '%s' and '%s' do not fit together: they have %zu and "
                           "%zu outputs",
                           c->slugs[0], c->slugs[k], c->answers[0]->tensors.len,
                           c->answers[k]->tensors.len);
        }
    }
    jw_kv_text(w, "model_name", c->model);
    if (c->id.data) {
        put_slice(w, "id", c->id);
    }
    jw_key(w, "outputs");
    jw_array(w);
    for (size_t i = 0; i < c->answers[0]->tensors.len && rc == 0; i++) {
        rc = combine_tensor(c, i, w, err);
    }
    jw_end_array(w);
    return rc;
}

/* The i-th item of each member's list, as lists. */
static int join_predictions(const struct combine_input *c, struct jsonw *w, struct err *err)
{
    CLEANUP(cleanup_free) struct scan *scans = xcalloc(c->n_members, sizeof(*scans));
    CLEANUP(cleanup_free) struct slice *lists = xcalloc(c->n_members, sizeof(*lists));
    CLEANUP(cleanup_free) struct str *own = xcalloc(c->n_members, sizeof(*own));
    int rc = 0;

    for (uint32_t k = 0; k < c->n_members; k++) {
        scans[k] = scan_of(c->answers[k]->list);
        scan_enter(&scans[k]);
    }
    jw_array(w);
    for (uint64_t i = 0; i < c->answers[0]->items && rc == 0; i++) {
        CLEANUP(sb_done) struct str joined = {0};
        for (uint32_t k = 0; k < c->n_members; k++) {
            bool first = i == 0;
            scan_item(&scans[k], &first);
            bool list = scan_kind(&scans[k]) == SCAN_LIST;
            scan_value(&scans[k], &lists[k]);
            if (!list) { /* what is no list counts as a list of one */
                sb_clear(&own[k]);
                sb_putc(&own[k], '[');
                sb_add(&own[k], lists[k].data, lists[k].len);
                sb_putc(&own[k], ']');
                lists[k] = slice_of(own[k].data, own[k].len);
            }
        }
        rc = aggregate_combine(c->method, lists, c->slugs, c->n_members, &joined, err);
        jw_raw(w, sb_text(&joined), joined.len - (rc == 0));
    }
    jw_end_array(w);
    for (uint32_t k = 0; k < c->n_members; k++) {
        sb_done(&own[k]);
    }
    return rc;
}

static int combine_v1(const struct combine_input *c, struct jsonw *w, struct err *err)
{
    CLEANUP(sb_done) struct str joined = {0};

    for (uint32_t k = 1; k < c->n_members; k++) {
        if (c->answers[k]->items != c->answers[0]->items) {
            return err_set(err, ERR_INVALID, 0,
                           "the answers of '%s' and '%s' do not fit together: they have %llu and "
                           "%llu predictions",
                           c->slugs[0], c->slugs[k], (unsigned long long)c->answers[0]->items,
                           (unsigned long long)c->answers[k]->items);
        }
    }
    jw_key(w, "predictions");
    if (joins_lists(c->method)) {
        return join_predictions(c, w, err);
    }
    if (c->n_members == 1) {
        jw_raw(w, c->answers[0]->list.data, c->answers[0]->list.len);
        return 0;
    }
    CLEANUP(cleanup_free) struct slice *lists = xcalloc(c->n_members, sizeof(*lists));
    for (uint32_t k = 0; k < c->n_members; k++) {
        lists[k] = c->answers[k]->list;
    }
    int rc = aggregate_combine(c->method, lists, c->slugs, c->n_members, &joined, err);
    if (rc == 0) {
        jw_raw(w, joined.data, joined.len - 1); /* without the newline */
    }
    return rc;
}

/* At the end of an answer. */
static void put_end(struct jsonw *w, const struct combine_input *c, uint32_t used)
{
    if (c->v1) {
        put_members(w, c, used);
    } else {
        jw_key(w, "parameters");
        jw_object(w);
        put_members(w, c, used);
        jw_end_object(w);
    }
    jw_end_object(w);
    sb_putc(w->out, '\n');
}

int combine_answers(const struct combine_input *input, struct str *out, uint32_t *ret_used,
                    struct err *err)
{
    struct combine_input c = *input;
    struct jsonw w;

    if (c.method == METHOD_BEST) {
        c.n_members = 1;
    }
    jw_init(&w, out, false);
    jw_object(&w);
    int rc = c.v1 ? combine_v1(&c, &w, err) : combine_v2(&c, &w, err);
    put_end(&w, &c, c.n_members);
    if (rc == 0) {
        *ret_used = c.n_members;
    }
    return rc;
}

void combine_list(const struct combine_input *c, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, false);
    jw_array(&w);
    for (uint32_t k = 0; k < c->n_members; k++) {
        jw_object(&w);
        jw_kv_text(&w, "member", c->slugs[k]);
        jw_key(&w, "answer");
        put_answer(&w, c->slugs[k], c->answers[k]);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    sb_putc(out, '\n');
}

/* Members of a printed object that are not ours to set. */
static int copy_members(struct slice object, const char *const *ours, struct jsonw *w,
                        struct slice *ret_parameters, struct err *err)
{
    struct scan s = scan_of(object);
    struct slice key, value;
    bool first = true;

    scan_enter(&s);
    while (scan_member(&s, &first, &key) && scan_value(&s, &value)) {
        bool set = false;
        for (int i = 0; ours[i]; i++) {
            set = set || scan_text_is(key, ours[i]);
        }
        if (ret_parameters && scan_text_is(key, "parameters")) {
            *ret_parameters = value;
        } else if (!set) {
            CLEANUP(cleanup_free) char *name = xstrndup(key.data + 1, key.len - 2);
            if (strchr(name, '\\')) {
                return err_set(err, ERR_INVALID, 0, "a member's name is written with escapes");
            }
            put_slice(w, name, value);
        }
    }
    return 0;
}

int combine_printed(const struct combine_input *c, struct slice printed, struct str *out,
                    struct err *err)
{
    static const char *const ours_v1[] = {"members", NULL},
                             *const ours_v2[] = {"model_name", "id", NULL},
                             *const ours_parameters[] = {"members", NULL};
    struct slice parameters = {0};
    struct form f;
    struct jsonw w;

    int rc = form_read(printed, c->v1, FORM_ANSWER, "what the command printed", &f, err);
    if (rc) {
        return rc;
    }
    form_done(&f);
    jw_init(&w, out, false);
    jw_object(&w);
    if (!c->v1) {
        jw_kv_text(&w, "model_name", c->model);
    }
    if (!c->v1 && c->id.data) {
        put_slice(&w, "id", c->id);
    }
    rc = copy_members(printed, c->v1 ? ours_v1 : ours_v2, &w, c->v1 ? NULL : &parameters, err);
    if (c->v1) {
        put_end(&w, c, c->n_members);
        return rc;
    }
    jw_key(&w, "parameters");
    jw_object(&w);
    put_members(&w, c, c->n_members);
    if (rc == 0 && parameters.data && *parameters.data == '{') {
        rc = copy_members(parameters, ours_parameters, &w, NULL, err);
    }
    jw_end_object(&w);
    jw_end_object(&w);
    sb_putc(out, '\n');
    return rc;
}

void combine_error(const char *text, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, false);
    jw_object(&w);
    jw_kv_text(&w, "error", text);
    jw_end_object(&w);
    sb_putc(out, '\n');
}
