/* SPDX-License-Identifier: Apache-2.0 */
/* aggregate over steps: JSON documents of equal shape made into one (semantics 32). All methods walk the documents side by side; depth is bounded by the JSON reader's. */
#include "steps/aggregate.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct combine {
    enum method method;
    bool single; /* means are written as 32-bit floats */
    const char *const *names;
    size_t count;
    struct arena *arena;
    struct jsonw out;
    struct str path; /* where in the documents, for messages */
    struct err *err;
};

static int walk(struct combine *c, const struct value *const *vs);

static int differ(struct combine *c, size_t which, const char *what)
{
    return err_set(c->err, ERR_INVALID, 0,
                   "the documents differ in shape at $%s: %s in '%s' and '%s'", sb_text(&c->path),
                   what, c->names[0], c->names[which]);
}

static void text_of(const struct value *v, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, false);
    value_json(v, &w);
}

/* As JSON has it: 1 and 1.0 differ. */
static bool equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type) {
        return false;
    }
    if (a->type == VALUE_NUMBER || a->type == VALUE_STRING) {
        return slice_eq(a->text, b->text);
    }
    CLEANUP(sb_done) struct str left = {0}, right = {0};
    text_of(a, &left);
    text_of(b, &right);
    return left.len == right.len && memcmp(sb_text(&left), sb_text(&right), left.len) == 0;
}

/* A decimal of 6 to 9 digits that is read back as `f`, by way of a double or not, for numbers of ordinary size. */
static bool put_digits(struct str *out, float f)
{
    static const double tens[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    double v = (double)f < 0 ? -(double)f : (double)f;
    int whole = 0; /* digits before the point; of 0.00… as many zeros less */

    if (!(v >= 1e-4 && v < 1e9)) {
        return false;
    }
    while (whole < 9 && v >= tens[whole]) {
        whole++;
    }
    for (double low = 0.1; v < low; low /= 10) {
        whole--;
    }
    for (int digits = 6; digits <= 9; digits++) {
        int point = digits - whole;
        if (point < 0 || point >= (int)ARRAY_LEN(tens)) {
            continue;
        }
        uint64_t n = (uint64_t)(v * tens[point] + 0.5), bits;
        double back = (double)n / tens[point]; /* rounded once: both are exact */
        memcpy(&bits, &back, sizeof(bits));
        bool between = (bits & 0x1FFFFFFF) == 0x10000000; /* two floats: readers differ */
        if ((float)back != (float)v || between) {
            continue;
        }
        while (point > 0 && n % 10 == 0) {
            n /= 10;
            point--;
        }
        char text[32];
        uint64_t unit = (uint64_t)tens[point];
        int len = point
                      ? snprintf(text, sizeof(text), "%llu.%0*llu", (unsigned long long)(n / unit),
                                 point, (unsigned long long)(n % unit))
                      : snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
        sb_puts(out, f < 0 ? "-" : "");
        sb_add(out, text, (size_t)len);
        return true;
    }
    return false;
}

static void put_single(struct jsonw *w, float f)
{
    CLEANUP(sb_done) struct str text = {0};

    if (put_digits(&text, f)) {
        jw_raw(w, text.data, text.len);
    } else {
        jw_real(w, (double)f);
    }
}

static int mean_leaf(struct combine *c, const struct value *const *vs)
{
    double sum = 0;

    for (size_t k = 0; k < c->count; k++) {
        if (vs[k]->type == VALUE_NUMBER) {
            sum += vs[k]->number;
        } else if (!equal(vs[0], vs[k])) {
            return err_set(c->err, ERR_INVALID, 0,
                           "there is no mean at $%s: '%s' and '%s' differ, and are no numbers",
                           sb_text(&c->path), c->names[0], c->names[k]);
        }
    }
    double mean = sum / (double)c->count;
    if (vs[0]->type == VALUE_NUMBER && !isfinite(c->single ? (double)(float)mean : mean)) {
        return err_set(c->err, ERR_INVALID, 0, "there is no mean at $%s: the numbers are too large",
                       sb_text(&c->path));
    }
    if (vs[0]->type == VALUE_NUMBER && c->single) {
        put_single(&c->out, (float)mean);
    } else if (vs[0]->type == VALUE_NUMBER) {
        jw_real(&c->out, mean);
    } else {
        value_json(vs[0], &c->out);
    }
    return 0;
}

/* The most frequent; of equally frequent ones the first. */
static int vote_leaf(struct combine *c, const struct value *const *vs)
{
    size_t best = 0, best_votes = 0;

    for (size_t k = 0; k < c->count; k++) {
        size_t votes = 0;
        for (size_t m = 0; m < c->count; m++) {
            votes += equal(vs[k], vs[m]);
        }
        if (votes > best_votes) {
            best = k;
            best_votes = votes;
        }
    }
    value_json(vs[best], &c->out);
    return 0;
}

static int walk_list(struct combine *c, const struct value *const *vs)
{
    const struct value **items = xcalloc(c->count, sizeof(*items));
    size_t at = c->path.len;
    int rc = 0;

    for (size_t k = 1; k < c->count && rc == 0; k++) {
        rc = vs[k]->count == vs[0]->count ? 0 : differ(c, k, "lists of different length");
    }
    jw_array(&c->out);
    for (uint32_t n = 0; n < vs[0]->count && rc == 0; n++) {
        for (size_t k = 0; k < c->count; k++) {
            items[k] = &vs[k]->items[n];
        }
        sb_putc(&c->path, '[');
        sb_u64(&c->path, n);
        sb_putc(&c->path, ']');
        rc = walk(c, items);
        sb_truncate(&c->path, at);
    }
    jw_end_array(&c->out);
    cleanup_free(&items);
    return rc;
}

static int walk_object(struct combine *c, const struct value *const *vs)
{
    const struct value **items = xcalloc(c->count, sizeof(*items));
    size_t at = c->path.len;
    int rc = 0;

    for (size_t k = 1; k < c->count && rc == 0; k++) {
        rc = vs[k]->count == vs[0]->count ? 0 : differ(c, k, "objects with other members");
    }
    jw_object(&c->out);
    for (uint32_t n = 0; n < vs[0]->count && rc == 0; n++) {
        struct slice key = vs[0]->keys[n];
        const char *name = arena_strndup(c->arena, key.data, key.len);
        sb_putc(&c->path, '.');
        sb_puts(&c->path, name);
        for (size_t k = 0; k < c->count && rc == 0; k++) {
            items[k] = value_member(vs[k], key.data, key.len);
            rc = items[k] ? 0 : differ(c, k, "objects with other members");
        }
        if (rc == 0) {
            jw_key(&c->out, name);
            rc = walk(c, items);
        }
        sb_truncate(&c->path, at);
    }
    jw_end_object(&c->out);
    cleanup_free(&items);
    return rc;
}

static int walk(struct combine *c, const struct value *const *vs)
{
    for (size_t k = 1; k < c->count; k++) {
        bool leaf = c->method == METHOD_VOTE && vs[0]->type != VALUE_LIST &&
                    vs[0]->type != VALUE_OBJECT && vs[k]->type != VALUE_LIST &&
                    vs[k]->type != VALUE_OBJECT;
        if (vs[k]->type != vs[0]->type && !leaf) {
            return differ(c, k, "different types");
        }
    }
    if (vs[0]->type == VALUE_LIST) {
        return walk_list(c, vs);
    }
    if (vs[0]->type == VALUE_OBJECT) {
        return walk_object(c, vs);
    }
    return c->method == METHOD_VOTE ? vote_leaf(c, vs) : mean_leaf(c, vs);
}

/* Lists one after the other; of a union each element once. */
static int join_lists(struct combine *c, const struct value *const *vs)
{
    struct map seen = {0};
    int rc = 0;

    jw_array(&c->out);
    for (size_t k = 0; k < c->count && rc == 0; k++) {
        if (vs[k]->type != VALUE_LIST) {
            rc = err_set(c->err, ERR_INVALID, 0, "'%s' holds %s where a list is needed for %s",
                         c->names[k], value_type_name(vs[k]->type), method_names[c->method]);
        }
        for (uint32_t n = 0; n < vs[k]->count && rc == 0; n++) {
            if (c->method == METHOD_UNION) {
                CLEANUP(sb_done) struct str text = {0};
                text_of(&vs[k]->items[n], &text);
                char *key = arena_memdup(c->arena, sb_text(&text), text.len + 1);
                if (!map_put(&seen, key, text.len, key)) {
                    continue;
                }
            }
            value_json(&vs[k]->items[n], &c->out);
        }
    }
    jw_end_array(&c->out);
    map_done(&seen);
    return rc;
}

static int combine(enum method method, bool single, const struct slice *documents,
                   const char *const *names, size_t count, struct str *out, struct err *err)
{
    struct combine c = {.method = method,
                        .single = single,
                        .names = names,
                        .count = count,
                        .arena = arena_new(),
                        .err = err};
    struct value *values = arena_calloc(c.arena, count + 1, sizeof(*values));
    const struct value **vs = arena_calloc(c.arena, count + 1, sizeof(*vs));
    size_t before = out->len;
    int rc = count > 0
                 ? 0
                 : err_set(err, ERR_INVALID, 0, "there is nothing to combine: no branch succeeded");

    for (size_t k = 0; k < count && rc == 0; k++) {
        rc = value_parse_json(documents[k].data, documents[k].len, c.arena, &values[k], err);
        rc = rc == 0 ? 0 : err_wrap(err, "the output of '%s' is not JSON", names[k]);
        vs[k] = &values[k];
    }
    jw_init(&c.out, out, false);
    if (rc == 0 && (method == METHOD_UNION || method == METHOD_CONCAT)) {
        rc = join_lists(&c, vs);
    } else if (rc == 0) {
        rc = walk(&c, vs);
    }
    if (rc == 0) {
        sb_putc(out, '\n');
    } else {
        sb_truncate(out, before);
    }
    sb_done(&c.path);
    arena_free(c.arena);
    return rc;
}

int aggregate_combine(enum method method, const struct slice *documents, const char *const *names,
                      size_t count, struct str *out, struct err *err)
{
    return combine(method, false, documents, names, count, out, err);
}

int aggregate_combine_single(enum method method, const struct slice *documents,
                             const char *const *names, size_t count, struct str *out,
                             struct err *err)
{
    return combine(method, true, documents, names, count, out, err);
}
