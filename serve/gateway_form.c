/* SPDX-License-Identifier: Apache-2.0 */
/* The two protocols' documents, read in place. A name that stands twice is refused: servers disagree about which one counts. */
#include "serve/gateway_form.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

/* More elements than any text can hold. */
#define ELEMENTS_MAX (INT64_C(1) << 40)

static const struct datatype {
    const char *name;
    enum tensor_kind kind;
} datatypes[] = {
    {"BOOL", TENSOR_BOOL},      {"UINT8", TENSOR_INTEGER},  {"UINT16", TENSOR_INTEGER},
    {"UINT32", TENSOR_INTEGER}, {"UINT64", TENSOR_INTEGER}, {"INT8", TENSOR_INTEGER},
    {"INT16", TENSOR_INTEGER},  {"INT32", TENSOR_INTEGER},  {"INT64", TENSOR_INTEGER},
    {"FP16", TENSOR_FLOAT},     {"BF16", TENSOR_FLOAT},     {"FP32", TENSOR_FLOAT},
    {"FP64", TENSOR_DOUBLE},    {"BYTES", TENSOR_BYTES},
};

struct reader {
    struct scan s;
    struct err *err;
};

static int unreadable(struct reader *r)
{
    return scan_fail(&r->s, r->err);
}

static int twice(struct reader *r, const char *name)
{
    return err_set(r->err, ERR_INVALID, 0, "\"%s\" stands twice", name);
}

/* Which of `names` (NULL-terminated) the key is; -1: none of them. */
static int key_of(struct slice key, const char *const *names)
{
    for (int i = 0; names[i]; i++) {
        if (scan_text_is(key, names[i])) {
            return i;
        }
    }
    return -1;
}

static int read_shape(struct reader *r, struct tensor *t)
{
    bool first = true;

    if (scan_kind(&r->s) != SCAN_LIST) {
        return err_set(r->err, ERR_INVALID, 0, "its \"shape\" is not a list of whole numbers");
    }
    scan_enter(&r->s);
    while (scan_item(&r->s, &first)) {
        struct slice text;
        if (t->n_dims == SCAN_DIMS) {
            return err_set(r->err, ERR_INVALID, 0, "its \"shape\" has more than %d dimensions",
                           SCAN_DIMS);
        }
        if (!scan_count(&r->s, &t->shape[t->n_dims], &text)) {
            return unreadable(r);
        }
        if (t->n_dims++ == 0) {
            t->first_dim = text;
        }
    }
    return r->s.wrong ? unreadable(r) : 0;
}

static int read_datatype(struct reader *r, struct tensor *t)
{
    struct slice text;

    if (scan_kind(&r->s) != SCAN_STRING) {
        return err_set(r->err, ERR_INVALID, 0, "its \"datatype\" is not a string");
    }
    if (!scan_string(&r->s, &text)) {
        return unreadable(r);
    }
    for (size_t i = 0; i < ARRAY_LEN(datatypes); i++) {
        if (scan_text_is(text, datatypes[i].name)) {
            t->datatype = datatypes[i].name;
            t->kind = datatypes[i].kind;
            return 0;
        }
    }
    return err_set(r->err, ERR_INVALID, 0,
                   "its \"datatype\" is %.*s, not BOOL, UINT8 to UINT64, INT8 to INT64, FP16, "
                   "BF16, FP32, FP64 or BYTES",
                   text.len > 40 ? 40 : (int)text.len, text.data);
}

uint64_t tensor_elements(const struct tensor *t)
{
    int64_t n = 1;

    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->shape[i] != 0 && n > ELEMENTS_MAX / t->shape[i]) {
            return UINT64_MAX;
        }
        n *= t->shape[i];
    }
    return (uint64_t)n;
}

static int check_data(struct reader *r, const struct tensor *t, const struct scan_leaves *found)
{
    static const unsigned allowed[] = {
        [TENSOR_BOOL] = 1U << SCAN_BOOL | 1U << SCAN_NUMBER,
        [TENSOR_INTEGER] = 1U << SCAN_NUMBER,
        [TENSOR_FLOAT] = 1U << SCAN_NUMBER,
        [TENSOR_DOUBLE] = 1U << SCAN_NUMBER,
        [TENSOR_BYTES] = 1U << SCAN_STRING,
    };

    if (found->count != tensor_elements(t)) {
        CLEANUP(sb_done) struct str shape = {0};
        for (uint32_t i = 0; i < t->n_dims; i++) {
            sb_printf(&shape, "%s%lld", i ? "," : "", (long long)t->shape[i]);
        }
        return err_set(r->err, ERR_INVALID, 0,
                       "its \"data\" holds %llu elements, its \"shape\" [%s] stands for %llu",
                       (unsigned long long)found->count, sb_text(&shape),
                       (unsigned long long)tensor_elements(t));
    }
    if (found->kinds & ~allowed[t->kind]) {
        return err_set(r->err, ERR_INVALID, 0,
                       "its \"data\" holds other things than the %s that its \"datatype\" %s "
                       "stands for",
                       t->kind == TENSOR_BYTES  ? "strings"
                       : t->kind == TENSOR_BOOL ? "true and false"
                                                : "numbers",
                       t->datatype);
    }
    return 0;
}

/* `data` stands after `shape` as a rule, and is then read once. */
static int read_leaves(struct reader *r, struct tensor *t, struct scan_leaves *found)
{
    if (scan_kind(&r->s) != SCAN_LIST) {
        return err_set(r->err, ERR_INVALID, 0, "its \"data\" is not a list");
    }
    const char *start = r->s.at;
    if (!scan_leaves(&r->s, t->shape, t->n_dims, found)) {
        return unreadable(r);
    }
    t->data = slice_of(start, (size_t)(r->s.at - start));
    t->nested = found->nested;
    return 0;
}

enum { KEY_NAME, KEY_SHAPE, KEY_DATATYPE, KEY_DATA, KEY_PARAMETERS };
static const char *const tensor_keys[] = {"name", "shape", "datatype", "data", "parameters", NULL};

struct tensor_reading {
    unsigned seen;
    struct slice later; /* data that stands before its shape */
    struct scan_leaves leaves;
};

static int read_tensor_member(struct reader *r, int key, struct tensor_reading *g, struct tensor *t)
{
    switch (key) {
    case KEY_NAME:
        if (scan_kind(&r->s) != SCAN_STRING) {
            return err_set(r->err, ERR_INVALID, 0, "its \"name\" is not a string");
        }
        return scan_string(&r->s, &t->name) ? 0 : unreadable(r);
    case KEY_SHAPE:
        return read_shape(r, t);
    case KEY_DATATYPE:
        return read_datatype(r, t);
    case KEY_DATA:
        if (g->seen & 1U << KEY_SHAPE) {
            return read_leaves(r, t, &g->leaves);
        }
        return scan_value(&r->s, &g->later) ? 0 : unreadable(r);
    case KEY_PARAMETERS:
        if (scan_kind(&r->s) != SCAN_OBJECT) {
            return err_set(r->err, ERR_INVALID, 0, "its \"parameters\" is not an object");
        }
        return scan_value(&r->s, &t->parameters) ? 0 : unreadable(r);
    default:
        return scan_value(&r->s, NULL) ? 0 : unreadable(r);
    }
}

static int read_tensor(struct reader *r, struct tensor *t)
{
    struct tensor_reading g = {0};
    bool first = true;
    struct slice key;

    if (scan_kind(&r->s) != SCAN_OBJECT) {
        return err_set(r->err, ERR_INVALID, 0, "it is not an object");
    }
    scan_enter(&r->s);
    while (scan_member(&r->s, &first, &key)) {
        int which = key_of(key, tensor_keys);
        if (which >= 0 && g.seen & 1U << which) {
            return twice(r, tensor_keys[which]);
        }
        int rc = read_tensor_member(r, which, &g, t);
        if (rc) {
            return rc;
        }
        g.seen |= which >= 0 ? 1U << which : 0;
    }
    if (r->s.wrong) {
        return unreadable(r);
    }
    for (int i = KEY_NAME; i <= KEY_DATA; i++) {
        if (!(g.seen & 1U << i)) {
            return err_set(r->err, ERR_INVALID, 0, "it has no \"%s\"", tensor_keys[i]);
        }
    }
    if (g.later.data) {
        struct reader back = {.s = r->s, .err = r->err};
        back.s.at = g.later.data;
        int rc = read_leaves(&back, t, &g.leaves);
        if (rc) {
            return rc;
        }
    }
    return check_data(r, t, &g.leaves);
}

static int read_tensors(struct reader *r, const char *list, struct form *f)
{
    bool first = true;

    if (scan_kind(&r->s) != SCAN_LIST) {
        return err_set(r->err, ERR_INVALID, 0, "\"%s\" is not a list", list);
    }
    scan_enter(&r->s);
    while (scan_item(&r->s, &first)) {
        struct tensor *t = vec_push(&f->tensors);
        *t = (struct tensor){0};
        int rc = read_tensor(r, t);
        if (rc && t->name.data) {
            return err_wrap(r->err, "%s %.*s", list, t->name.len > 80 ? 80 : (int)t->name.len,
                            t->name.data);
        }
        if (rc) {
            return err_wrap(r->err, "%s[%zu]", list, f->tensors.len - 1);
        }
    }
    return r->s.wrong ? unreadable(r) : 0;
}

static int read_list(struct reader *r, const char *list, struct form *f)
{
    bool first = true;

    if (scan_kind(&r->s) != SCAN_LIST) {
        return err_set(r->err, ERR_INVALID, 0, "\"%s\" is not a list", list);
    }
    const char *start = r->s.at;
    scan_enter(&r->s);
    while (scan_item(&r->s, &first)) {
        if (!scan_value(&r->s, NULL)) {
            return unreadable(r);
        }
        f->items++;
    }
    f->list = slice_of(start, (size_t)(r->s.at - start));
    return r->s.wrong ? unreadable(r) : 0;
}

static int read_member(struct reader *r, struct slice key, const char *list, bool *seen,
                       struct form *f)
{
    if (scan_text_is(key, list)) {
        if (*seen) {
            return twice(r, list);
        }
        *seen = true;
        return f->v1 ? read_list(r, list, f) : read_tensors(r, list, f);
    }
    if (!f->v1 && scan_text_is(key, "id")) {
        if (f->id.data) {
            return twice(r, "id");
        }
        if (scan_kind(&r->s) == SCAN_NULL) { /* as many servers write that there is none */
            return scan_value(&r->s, NULL) ? 0 : unreadable(r);
        }
        if (scan_kind(&r->s) != SCAN_STRING) {
            return err_set(r->err, ERR_INVALID, 0, "\"id\" is not a string");
        }
        return scan_string(&r->s, &f->id) ? 0 : unreadable(r);
    }
    return scan_value(&r->s, NULL) ? 0 : unreadable(r);
}

static int read_document(struct reader *r, const char *list, struct form *f)
{
    bool first = true, seen = false;
    struct slice key;

    if (scan_kind(&r->s) != SCAN_OBJECT) {
        r->s.wrong = r->s.at == r->s.end ? "it is empty" : "expected an object";
        return unreadable(r);
    }
    scan_enter(&r->s);
    while (scan_member(&r->s, &first, &key)) {
        int rc = read_member(r, key, list, &seen, f);
        if (rc) {
            return rc;
        }
    }
    if (!scan_finish(&r->s)) {
        return unreadable(r);
    }
    return seen ? 0 : err_set(r->err, ERR_INVALID, 0, "it has no \"%s\"", list);
}

int form_read(struct slice text, bool v1, enum form_side side, const char *what, struct form *ret,
              struct err *err)
{
    static const char *const lists[2][2] = {{"inputs", "outputs"}, {"instances", "predictions"}};
    struct reader r = {.s = scan_of(text), .err = err};
    struct form f = {.v1 = v1, .text = text};
    int rc = read_document(&r, lists[v1][side], &f);

    if (rc) {
        form_done(&f);
        return err_wrap(err, "%s", what);
    }
    *ret = f;
    return 0;
}

void form_done(struct form *f)
{
    vec_done(&f->tensors);
    *f = (struct form){0};
}
