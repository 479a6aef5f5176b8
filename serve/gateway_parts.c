/* SPDX-License-Identifier: Apache-2.0 */
/* Large requests cut into parts, and the parts' answers made into one. All is text: numbers stay as they were written. */
#include "base/err.h"
#include "base/mem.h"
#include "serve/gateway_form.h"

#include <stdlib.h>
#include <string.h>

uint64_t form_rows(const struct form *f)
{
    uint64_t rows = 0;

    if (f->v1) {
        return f->items;
    }
    for (size_t i = 0; i < f->tensors.len; i++) {
        const struct tensor *t = &f->tensors.items[i];
        if (t->n_dims == 0 || tensor_elements(t) == 0 || (i > 0 && (uint64_t)t->shape[0] != rows)) {
            return 0;
        }
        rows = (uint64_t)t->shape[0];
    }
    return rows;
}

static size_t list_count(const struct form *f)
{
    return f->v1 ? 1 : f->tensors.len;
}

int form_cut(const struct form *f, uint64_t rows, struct form_parts *ret, struct err *err)
{
    uint64_t total = form_rows(f), count = (total + rows - 1) / rows;

    if (count > FORM_PARTS) {
        return err_set(err, ERR_INVALID, 0,
                       "%llu instances are more than %d parts of %llu; send fewer at once",
                       (unsigned long long)total, FORM_PARTS, (unsigned long long)rows);
    }
    struct form_parts p = {.form = f, .total = total, .rows = rows, .count = (uint32_t)count};
    size_t lists = list_count(f), row = p.count + 1;
    p.cuts = xcalloc(lists, row * sizeof(*p.cuts));
    for (size_t i = 0; i < lists; i++) {
        const struct tensor *t = f->v1 ? NULL : &f->tensors.items[i];
        /* Of nested lists the outermost holds the rows. */
        uint64_t per_row = !t || t->nested ? 1 : tensor_elements(t) / total;
        size_t n = scan_cuts(t ? t->data : f->list, per_row * rows, p.cuts + i * row, p.count);
        WF_ASSERT(n == row);
    }
    *ret = p;
    return 0;
}

static void add_list(const struct form_parts *p, size_t list, uint32_t part, struct str *out)
{
    const char *const *cuts = p->cuts + list * (p->count + 1) + part;
    size_t len = (size_t)(cuts[1] - cuts[0]) - (part + 1 < p->count); /* a comma ends it */

    sb_putc(out, '[');
    sb_add(out, cuts[0], len);
    sb_putc(out, ']');
}

/* What is replaced in the text. */
struct edit {
    struct slice old;
    ptrdiff_t list; /* -1: the number of rows */
};

static int by_place(const void *a, const void *b)
{
    const struct edit *x = a, *y = b;

    return x->old.data < y->old.data ? -1 : x->old.data > y->old.data;
}

void form_part(const struct form_parts *p, uint32_t part, struct str *out)
{
    const struct form *f = p->form;
    uint64_t from = part * p->rows, rows = p->total - from < p->rows ? p->total - from : p->rows;
    VEC(struct edit) edits = {0};
    const char *at = f->text.data;

    for (size_t i = 0; i < list_count(f); i++) {
        const struct tensor *t = f->v1 ? NULL : &f->tensors.items[i];
        if (t) {
            *vec_push(&edits) = (struct edit){t->first_dim, -1};
        }
        *vec_push(&edits) = (struct edit){t ? t->data : f->list, (ptrdiff_t)i};
    }
    qsort(edits.items, edits.len, sizeof(*edits.items), by_place);
    for (size_t i = 0; i < edits.len; i++) {
        const struct edit *e = &edits.items[i];
        sb_add(out, at, (size_t)(e->old.data - at));
        if (e->list < 0) {
            sb_u64(out, rows);
        } else {
            add_list(p, (size_t)e->list, part, out);
        }
        at = e->old.data + e->old.len;
    }
    sb_add(out, at, (size_t)(f->text.data + f->text.len - at));
    vec_done(&edits);
}

void form_parts_done(struct form_parts *p)
{
    free(p->cuts);
    *p = (struct form_parts){0};
}

/* Joining. The texts are appended to `store`, which may move: places are offsets until the end. */

static void add_inner(struct slice list, bool flatten, bool *any, struct str *store)
{
    struct slice inner = scan_inner(list);

    if (inner.len == 0) {
        return;
    }
    if (*any) {
        sb_putc(store, ',');
    }
    *any = true;
    if (flatten) {
        scan_flatten(list, store);
    } else {
        sb_add(store, inner.data, inner.len);
    }
}

static const struct tensor *tensor_named(const struct form *f, struct slice name)
{
    for (size_t i = 0; i < f->tensors.len; i++) {
        if (slice_eq(f->tensors.items[i].name, name)) {
            return &f->tensors.items[i];
        }
    }
    return NULL;
}

static bool rows_alike(const struct tensor *a, const struct tensor *b)
{
    return a->n_dims == b->n_dims && a->n_dims > 0 && a->datatype == b->datatype &&
           memcmp(a->shape + 1, b->shape + 1, (a->n_dims - 1) * sizeof(*a->shape)) == 0;
}

/* Appends the joined data of one tensor; `t` is the first part's copy. */
static int join_tensor(const struct form *parts, uint32_t count, const char *what,
                       struct str *store, struct tensor *t, struct err *err)
{
    bool flatten = false, any = false;
    struct slice first_data = t->data;
    int64_t rows = t->shape[0];

    for (uint32_t k = 1; k < count; k++) {
        const struct tensor *other = tensor_named(&parts[k], t->name);
        if (!other || parts[k].tensors.len != parts[0].tensors.len || !rows_alike(t, other)) {
            return err_set(err, ERR_INVALID, 0,
                           "%s: the answers to the parts of the request do not fit together: "
                           "output %.*s",
                           what, t->name.len > 80 ? 80 : (int)t->name.len, t->name.data);
        }
        flatten = flatten || other->nested != t->nested;
        rows += other->shape[0];
    }
    sb_putc(store, '[');
    add_inner(first_data, flatten && t->nested, &any, store);
    for (uint32_t k = 1; k < count; k++) {
        const struct tensor *other = tensor_named(&parts[k], t->name);
        add_inner(other->data, flatten && other->nested, &any, store);
    }
    sb_putc(store, ']');
    t->shape[0] = rows;
    t->nested = t->nested && !flatten;
    return 0;
}

static int join_tensors(const struct form *parts, uint32_t count, const char *what,
                        struct str *store, struct form *f, struct err *err)
{
    size_t n = parts[0].tensors.len;
    CLEANUP(cleanup_free) size_t *ends = xcalloc(n + 1, sizeof(*ends));
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++) {
        *vec_push(&f->tensors) = parts[0].tensors.items[i];
        rc = join_tensor(parts, count, what, store, &f->tensors.items[i], err);
        ends[i + 1] = store->len;
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        f->tensors.items[i].data = slice_of(store->data + ends[i], ends[i + 1] - ends[i]);
    }
    return rc;
}

int form_join(const struct form *parts, uint32_t count, const char *what, struct str *store,
              struct form *ret, struct err *err)
{
    struct form f = {.v1 = parts[0].v1, .text = parts[0].text, .id = parts[0].id};
    bool any = false;
    int rc = 0;

    sb_clear(store);
    if (f.v1) {
        sb_putc(store, '[');
        for (uint32_t k = 0; k < count; k++) {
            add_inner(parts[k].list, false, &any, store);
            f.items += parts[k].items;
        }
        sb_putc(store, ']');
        f.list = slice_of(store->data, store->len);
    } else {
        rc = join_tensors(parts, count, what, store, &f, err);
    }
    if (rc) {
        form_done(&f);
        return rc;
    }
    *ret = f;
    return 0;
}
