/* SPDX-License-Identifier: Apache-2.0 */
/* The expansion of a matrix: product of its axes, less `exclude`, then `include` by GitHub's rule. Entries of exclude and include are looked up by hash, grouped
 * by which axes they name, so that long lists of them stay linear. Values are equal when they are written the same. */
#include "workflows/matrix.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "workflows/matrix_impl.h"
#include "workflows/model.h"

#include <stdlib.h>
#include <string.h>

#define BRANCHES_MAX 100000
/* Values of all branches together: some 300 MB. */
#define VALUES_MAX 4000000
/* One bit each in a group's mask. */
#define AXES_MAX 64

struct axis {
    const char *name;
    const struct value *values;
    uint32_t count;
};

/* An entry of exclude or include. */
struct entry {
    const struct value *v;
    const struct node *node;
    uint64_t mask;      /* the axes it names */
    struct entry *next; /* with the same values of the same axes */
    bool matched;
};
struct group {
    uint64_t mask;
    struct map entries; /* joined values -> first struct entry */
};

struct expander {
    struct matrix_reader r;
    struct step *step;
    VEC(struct axis) axes;
    VEC(struct matrix_row) rows;
    uint64_t n_values;
    struct map names;     /* of axes and added keys; values: the kept name */
    struct map env_names; /* WF_MATRIX_… without its beginning -> the name */
};

__attribute__((format(printf, 3, 4))) static void fail(struct expander *x, const struct node *at,
                                                       const char *fmt, ...)
{
    CLEANUP(sb_done) struct str message = {0};
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&message, fmt, ap);
    va_end(ap);
    diag_error(x->r.diags, at->span, "matrix", "%s", sb_text(&message));
    x->r.failed = true;
}

static bool valid_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i && ((c >= '0' && c <= '9') || c == '-')))
            return false;
    }
    return s.len != 0;
}

/* The one kept copy of an axis' name; NULL: it is no name, or its variable is another's. */
static const char *intern(struct expander *x, struct slice key, const struct node *at)
{
    const char *known = map_get(&x->names, key.data, key.len);
    if (known)
        return known;
    if (!valid_name(key)) {
        fail(x, at,
             "'%.*s' cannot name an axis: letters, digits, _ and -, not beginning with a digit",
             (int)(key.len > 64 ? 64 : key.len), key.data);
        return NULL;
    }
    char *name = arena_strndup(x->r.arena, key.data, key.len);
    char *env = arena_strndup(x->r.scope.arena, key.data, key.len);
    for (char *c = env; *c; c++)
        *c = (char)(*c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    const char *other = map_get_text(&x->env_names, env);
    if (other) {
        fail(x, at, "axes '%s' and '%s' would share the variable WF_MATRIX_%s: rename one", other,
             name, env);
        return NULL;
    }
    map_put_text(&x->env_names, env, name);
    map_put(&x->names, name, key.len, name);
    return name;
}

static bool is_scalar(const struct value *v)
{
    return v->type == VALUE_BOOL || v->type == VALUE_NUMBER || v->type == VALUE_STRING;
}

static bool check_scalar(struct expander *x, const struct value *v, const struct node *at,
                         const char *axis)
{
    if (is_scalar(v))
        return true;
    fail(x, at, "a value of '%s' is %s: only strings, numbers and booleans can be%s", axis,
         value_type_name(v->type), v->type == VALUE_NULL ? " (write '' for an empty one)" : "");
    return false;
}

static void add_axis(struct expander *x, struct slice key, const struct value *v,
                     const struct node *at)
{
    const char *name = intern(x, key, at);
    if (!name)
        return;
    if (v->type != VALUE_LIST) {
        fail(x, at, "axis '%s' must be a list of values, such as [a, b]; this is %s", name,
             value_type_name(v->type));
        return;
    }
    for (uint32_t i = 0; i < v->count; i++)
        check_scalar(x, &v->items[i], matrix_part(at, i), name);
    if (x->axes.len == AXES_MAX) {
        fail(x, at, "a matrix has at most %d axes", AXES_MAX);
        return;
    }
    *vec_push(&x->axes) = (struct axis){.name = name, .values = v->items, .count = v->count};
}

static ptrdiff_t find_axis(const struct expander *x, struct slice key)
{
    for (size_t i = 0; i < x->axes.len; i++) {
        if (slice_eq(slice_str(x->axes.items[i].name), key))
            return (ptrdiff_t)i;
    }
    return -1;
}

/* The values of the axes in `mask`, as one key that no other values have. */
static void add_key_value(struct str *key, struct str *text, const struct value *v)
{
    sb_clear(text);
    value_interpolate(v, text);
    sb_u64(key, text->len);
    sb_putc(key, ':');
    sb_add(key, sb_text(text), text->len);
}

static void row_key(const struct matrix_row *row, uint64_t mask, struct str *key, struct str *text)
{
    sb_clear(key);
    for (uint32_t i = 0; mask >> i; i++) {
        if (mask >> i & 1)
            add_key_value(key, text, &row->values[i]);
        if (i == AXES_MAX - 1)
            break;
    }
}

static void entry_key(const struct expander *x, const struct entry *e, struct str *key,
                      struct str *text)
{
    sb_clear(key);
    for (size_t i = 0; i < x->axes.len; i++) {
        if (!(e->mask >> i & 1))
            continue;
        const char *name = x->axes.items[i].name;
        add_key_value(key, text, value_member(e->v, name, strlen(name)));
    }
}

typedef VEC(struct group) groups;

static struct group *find_group(groups *all, uint64_t mask)
{
    for (size_t i = 0; i < all->len; i++) {
        if (all->items[i].mask == mask)
            return &all->items[i];
    }
    struct group *g = vec_push(all);
    *g = (struct group){.mask = mask};
    return g;
}

/* Puts entries into groups by the axes they name. Chains keep the entries' order reversed: `from` goes down. */
static void group_entries(const struct expander *x, struct entry *entries, uint32_t count,
                          groups *all)
{
    CLEANUP(sb_done) struct str key = {0};
    CLEANUP(sb_done) struct str text = {0};
    for (uint32_t i = count; i-- > 0;) {
        struct group *g = find_group(all, entries[i].mask);
        entry_key(x, &entries[i], &key, &text);
        entries[i].next = map_get(&g->entries, sb_text(&key), key.len);
        /* The key stays the first one's; it lives in the scratch arena. */
        map_put(&g->entries, arena_memdup(x->r.scope.arena, sb_text(&key), key.len + 1), key.len,
                &entries[i]);
    }
}

static void free_groups(groups *all)
{
    for (size_t i = 0; i < all->len; i++)
        map_done(&all->items[i].entries);
    vec_done(all);
}

/* Checks the entries of exclude or include; NULL: nothing usable. */
static struct entry *read_entries(struct expander *x, const char *what, const struct value *list,
                                  const struct node *at)
{
    if (list->type != VALUE_LIST) {
        fail(x, at, "'%s' must be a list of mappings from axis to value; this is %s", what,
             value_type_name(list->type));
        return NULL;
    }
    struct entry *entries =
        arena_calloc(x->r.scope.arena, list->count ? list->count : 1, sizeof(*entries));
    for (uint32_t i = 0; i < list->count; i++) {
        struct entry *e = &entries[i];
        e->v = &list->items[i];
        e->node = matrix_part(at, i);
        if (e->v->type != VALUE_OBJECT || !e->v->count) {
            fail(x, e->node, "each entry of '%s' is a mapping from axis to value; this is %s", what,
                 e->v->type == VALUE_OBJECT ? "empty" : value_type_name(e->v->type));
            continue;
        }
        for (uint32_t k = 0; k < e->v->count; k++) {
            const char *name = intern(x, e->v->keys[k], e->node);
            if (!name || !check_scalar(x, &e->v->items[k], matrix_part(e->node, k), name))
                continue;
            ptrdiff_t axis = find_axis(x, e->v->keys[k]);
            if (axis >= 0)
                e->mask |= UINT64_C(1) << axis;
        }
    }
    return entries;
}

static void check_excluded_axes(struct expander *x, const struct entry *e)
{
    for (uint32_t k = 0; k < e->v->count; k++) {
        if (find_axis(x, e->v->keys[k]) >= 0)
            continue;
        const char *names[AXES_MAX];
        for (size_t i = 0; i < x->axes.len; i++)
            names[i] = x->axes.items[i].name;
        char *key = arena_strndup(x->r.scope.arena, e->v->keys[k].data, e->v->keys[k].len);
        fail(x, e->node, "'exclude' names '%s', which is not an axis of this matrix", key);
        diag_did_you_mean(x->r.diags, suggest_nearest(key, names, x->axes.len));
    }
}

static void make_product(struct expander *x, const struct node *at)
{
    uint64_t count = x->axes.len ? 1 : 0;
    for (size_t i = 0; i < x->axes.len && count <= BRANCHES_MAX; i++)
        count *= x->axes.items[i].count;
    for (size_t i = 0; i < x->axes.len; i++)
        count = x->axes.items[i].count ? count : 0;
    if (count > BRANCHES_MAX || count * x->axes.len > VALUES_MAX) {
        fail(x, at, "the matrix has more than %d branches", BRANCHES_MAX);
        return;
    }
    if (!count)
        return;
    uint32_t n = (uint32_t)x->axes.len;
    const char **names = arena_calloc(x->r.arena, n, sizeof(*names));
    for (uint32_t i = 0; i < n; i++)
        names[i] = x->axes.items[i].name;
    for (uint64_t r = 0; r < count; r++) {
        struct value *values = arena_calloc(x->r.arena, n, sizeof(*values));
        uint64_t rest = r;
        for (uint32_t i = n; i-- > 0;) { /* the last axis changes fastest */
            values[i] = x->axes.items[i].values[rest % x->axes.items[i].count];
            rest /= x->axes.items[i].count;
        }
        *vec_push(&x->rows) = (struct matrix_row){.n = n, .axes = names, .values = values};
    }
    x->n_values = count * n;
}

static void apply_exclude(struct expander *x, const struct value *list, const struct node *at)
{
    struct entry *entries = read_entries(x, "exclude", list, at);
    for (uint32_t i = 0; entries && !x->r.failed && i < list->count; i++)
        check_excluded_axes(x, &entries[i]);
    if (!entries || x->r.failed)
        return;
    groups all = {0};
    CLEANUP(sb_done) struct str key = {0};
    CLEANUP(sb_done) struct str text = {0};
    group_entries(x, entries, list->count, &all);
    size_t kept = 0;
    for (size_t r = 0; r < x->rows.len; r++) {
        bool excluded = false;
        for (size_t g = 0; g < all.len; g++) {
            row_key(&x->rows.items[r], all.items[g].mask, &key, &text);
            struct entry *e = map_get(&all.items[g].entries, sb_text(&key), key.len);
            excluded |= e != NULL;
            for (; e && !e->matched; e = e->next)
                e->matched = true;
        }
        if (!excluded)
            x->rows.items[kept++] = x->rows.items[r];
    }
    x->rows.len = kept;
    free_groups(&all);
    for (uint32_t i = 0; i < list->count; i++) {
        if (!entries[i].matched)
            diag_warn(x->r.diags, entries[i].node->span, "matrix",
                      "this entry of 'exclude' excludes nothing: values match as they are written");
    }
}

/* A row that grows, in arrays of its own once it does. */
struct growing {
    const char **axes;
    struct value *values;
    uint32_t n, cap;
};

static void grow(struct expander *x, struct growing *g, const struct matrix_row *row)
{
    uint32_t cap = g->cap ? 2 * g->cap : row->n + 4;
    const char **axes = arena_calloc(x->r.arena, cap, sizeof(*axes));
    struct value *values = arena_calloc(x->r.arena, cap, sizeof(*values));
    if (!g->cap)
        g->n = row->n;
    for (uint32_t i = 0; i < g->n; i++) {
        axes[i] = g->cap ? g->axes[i] : row->axes[i];
        values[i] = g->cap ? g->values[i] : row->values[i];
    }
    g->axes = axes;
    g->values = values;
    g->cap = cap;
}

static void set_value(struct expander *x, struct growing *g, const struct matrix_row *row,
                      const char *name, const struct value *v)
{
    for (uint32_t i = 0; i < g->n; i++) {
        if (g->axes[i] == name) { /* interned */
            g->values[i] = *v;
            return;
        }
    }
    if (!g->cap || g->n == g->cap)
        grow(x, g, row);
    g->axes[g->n] = name;
    g->values[g->n++] = *v;
    x->n_values++;
}

/* Adds what an entry says beyond the axes; all of it when the entry is a branch of its own. */
static void extend(struct expander *x, struct growing *g, const struct matrix_row *row,
                   const struct entry *e, bool whole)
{
    for (uint32_t k = 0; k < e->v->count && x->n_values <= VALUES_MAX; k++) {
        struct slice key = e->v->keys[k];
        if (whole || find_axis(x, key) < 0)
            set_value(x, g, row, map_get(&x->names, key.data, key.len), &e->v->items[k]);
    }
}

static void keep_row(struct matrix_row *row, const struct growing *g)
{
    if (!g->cap)
        return;
    row->n = g->n;
    row->axes = g->axes;
    row->values = g->values;
}

static int by_address(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

/* All entries that fit a row, in the order they stand in the file. */
static void extend_row(struct expander *x, struct matrix_row *row, groups *all)
{
    CLEANUP(sb_done) struct str key = {0};
    CLEANUP(sb_done) struct str text = {0};
    VEC(struct entry *) fitting = {0};
    struct growing growing = {0};
    for (size_t g = 0; g < all->len; g++) {
        row_key(row, all->items[g].mask, &key, &text);
        struct entry *e = map_get(&all->items[g].entries, sb_text(&key), key.len);
        for (; e; e = e->next)
            *vec_push(&fitting) = e;
    }
    if (fitting.len > 1)
        qsort(fitting.items, fitting.len, sizeof(*fitting.items), by_address);
    for (size_t i = 0; i < fitting.len; i++) {
        fitting.items[i]->matched = true;
        extend(x, &growing, row, fitting.items[i], false);
    }
    keep_row(row, &growing);
    vec_done(&fitting);
}

static void apply_include(struct expander *x, const struct value *list, const struct node *at)
{
    struct entry *entries = read_entries(x, "include", list, at);
    if (!entries || x->r.failed)
        return;
    groups all = {0};
    group_entries(x, entries, list->count, &all);
    for (size_t r = 0; r < x->rows.len && x->n_values <= VALUES_MAX; r++)
        extend_row(x, &x->rows.items[r], &all);
    free_groups(&all);
    for (uint32_t i = 0; i < list->count && x->n_values <= VALUES_MAX; i++) {
        if (entries[i].matched)
            continue;
        struct matrix_row row = {0};
        struct growing growing = {0};
        extend(x, &growing, &row, &entries[i], true);
        keep_row(&row, &growing);
        *vec_push(&x->rows) = row;
    }
    if (x->rows.len > BRANCHES_MAX || x->n_values > VALUES_MAX)
        fail(x, at, "the matrix has more than %d branches, or more than %d values in all",
             BRANCHES_MAX, VALUES_MAX);
}

static void name_rows(struct expander *x, const struct node *at)
{
    CLEANUP(sb_done) struct str name = {0};
    struct map seen = {0};
    for (size_t i = 0; i < x->rows.len; i++) {
        sb_clear(&name);
        matrix_row_name(x->step->name, &x->rows.items[i], &name);
        char *kept = arena_strndup(x->r.arena, sb_text(&name), name.len);
        x->rows.items[i].name = kept;
        if (!map_put(&seen, kept, name.len, kept)) {
            fail(x, at, "two branches of this matrix are the same: %s", kept);
            break;
        }
    }
    map_done(&seen);
}

static void expand_map(struct expander *x, const struct value *v, const struct node *at)
{
    const struct value *include = NULL, *exclude = NULL;
    const struct node *include_at = at, *exclude_at = at;
    for (uint32_t i = 0; i < v->count; i++) {
        const struct node *part = matrix_part(at, i);
        if (slice_eq(v->keys[i], slice_of("include", 7))) {
            include = &v->items[i];
            include_at = part;
        } else if (slice_eq(v->keys[i], slice_of("exclude", 7))) {
            exclude = &v->items[i];
            exclude_at = part;
        } else {
            add_axis(x, v->keys[i], &v->items[i], part);
        }
    }
    if (!x->r.failed && !x->axes.len && !include && at->kind == NODE_MAP)
        fail(x, at, "a matrix needs an axis, such as model: [a, b], or 'include'");
    if (!x->r.failed)
        make_product(x, at);
    if (!x->r.failed && exclude)
        apply_exclude(x, exclude, exclude_at);
    if (!x->r.failed && include)
        apply_include(x, include, include_at);
}

static void expand(struct expander *x, const struct node *matrix)
{
    struct value v;
    if (!matrix_read(&x->r, matrix, &v) || x->r.failed)
        return;
    if (v.type == VALUE_OBJECT)
        expand_map(x, &v, matrix);
    else if (v.type == VALUE_LIST && !(v.count > 0 && is_scalar(&v.items[0])))
        apply_include(x, &v, matrix);
    else
        fail(x, matrix,
             "a matrix is a mapping of axes, such as model: [a, b], or an expression that "
             "gives one; this is %s",
             v.type == VALUE_LIST ? "a list without an axis" : value_type_name(v.type));
    if (!x->r.failed)
        name_rows(x, matrix);
}

static void set_rows(struct step *step, struct arena *a, const struct matrix_row *rows, size_t n)
{
    step->n_rows = (uint32_t)n;
    step->rows = n ? arena_memdup(a, rows, n * sizeof(*rows)) : NULL;
}

bool matrix_expand(struct step *step, const struct node *matrix, const struct scope *s,
                   struct arena *a, struct diags *d)
{
    if (!matrix) {
        struct matrix_row row = {.name = arena_strdup(a, step->name)};
        set_rows(step, a, &row, 1);
        return true;
    }
    struct expander x = {.step = step, .r = {.scope = *s, .arena = a, .diags = d}};
    x.r.scope.arena = arena_new();
    expand(&x, matrix);
    bool ok = !x.r.failed;
    if (ok) {
        step->is_matrix = true;
        set_rows(step, a, x.rows.items, x.r.unknown ? 0 : x.rows.len);
    }
    arena_free(x.r.scope.arena);
    map_done(&x.names);
    map_done(&x.env_names);
    vec_done(&x.axes);
    vec_done(&x.rows);
    return ok;
}
