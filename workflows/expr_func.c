/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of expressions. A result made from a path of this machine stays marked as one; where only part of its text decides (contains, length, …) that
 * is noted instead. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "workflows/expr_impl.h"
#include "workflows/value_impl.h"

#include <string.h>

/* What a function was called with. */
struct call {
    const struct expr *e;
    const struct scope *s;
    struct value *args;
    uint32_t n;
    const char *name;
};

static struct slice take_string(const struct call *c, struct str *text)
{
    struct slice kept =
        slice_of(arena_memdup(c->s->arena, sb_text(text), text->len + 1), text->len);
    sb_done(text);
    return kept;
}

static bool is_scalar(const struct value *v)
{
    return v->type != VALUE_LIST && v->type != VALUE_OBJECT;
}

/* A scalar as its text. */
static struct slice text_of(const struct call *c, const struct value *v)
{
    if (v->type == VALUE_STRING || v->type == VALUE_NUMBER)
        return v->text.data ? v->text : slice_of("", 0);
    struct str text = {0};
    value_interpolate(v, &text);
    return take_string(c, &text);
}

static int want_scalars(const struct call *c, struct err *err)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (!is_scalar(&c->args[i]))
            return err_set(err, ERR_INVALID, 0, "%s() needs strings, found %s", c->name,
                           describe(&c->args[i]).text);
    }
    return 0;
}

static int too_long(const struct call *c, struct err *err)
{
    return err_set(err, ERR_INVALID, 0, "%s() makes a string of more than 64 MiB", c->name);
}

static int call_status(const struct call *c, struct value *ret, struct err *err)
{
    bool is = true;
    if (c->e->function != FN_ALWAYS) {
        if (!c->s->status)
            return err_set(err, ERR_INVALID, 0, "%s() is only known in an 'if'", c->name);
        int rc = c->s->status(c->s->arg, c->e->function, &is, err);
        if (rc)
            return rc;
    }
    *ret = value_bool(is);
    return 0;
}

static int call_contains(const struct call *c, struct value *ret, struct err *err)
{
    const struct value *in = &c->args[0], *what = &c->args[1];
    bool found = false;
    note_path(c->s, in);
    note_path(c->s, what);
    if (in->type == VALUE_LIST) {
        for (uint32_t i = 0; i < in->count && !found; i++) {
            int order;
            bool comparable;
            value_compare(&in->items[i], what, &order, &comparable);
            found = comparable && order == 0;
        }
    } else if (in->type == VALUE_OBJECT || !is_scalar(what)) {
        return err_set(err, ERR_INVALID, 0,
                       "contains() looks in a list or a string for a string, found %s and %s",
                       describe(in).text, describe(what).text);
    } else {
        struct slice a = text_of(c, in), b = text_of(c, what);
        found = memmem(a.data, a.len, b.data, b.len) != NULL;
    }
    *ret = value_bool(found);
    return 0;
}

static int call_affix(const struct call *c, struct value *ret, struct err *err)
{
    int rc = want_scalars(c, err);
    if (rc)
        return rc;
    note_path(c->s, &c->args[0]);
    note_path(c->s, &c->args[1]);
    struct slice a = text_of(c, &c->args[0]), b = text_of(c, &c->args[1]);
    size_t from = c->e->function == FN_ENDS_WITH && b.len <= a.len ? a.len - b.len : 0;
    *ret = value_bool(b.len <= a.len && slice_eq(slice_of(a.data + from, b.len), b));
    return 0;
}

static int call_join(const struct call *c, struct value *ret, struct err *err)
{
    const struct value *list = &c->args[0];
    struct slice separator = slice_of(",", 1);
    if (list->type == VALUE_OBJECT)
        return err_set(err, ERR_INVALID, 0, "join() needs a list, found an object");
    if (c->n > 1 && !is_scalar(&c->args[1]))
        return err_set(err, ERR_INVALID, 0, "join() needs a string as separator, found %s",
                       describe(&c->args[1]).text);
    if (c->n > 1)
        separator = text_of(c, &c->args[1]);
    struct str text = {0};
    uint32_t count = list->type == VALUE_LIST ? list->count : 1;
    const struct value *items = list->type == VALUE_LIST ? list->items : list;
    for (uint32_t i = 0; i < count && text.len <= STRING_MAX; i++) {
        if (i)
            sb_add(&text, separator.data, separator.len);
        value_interpolate(&items[i], &text);
    }
    if (text.len > STRING_MAX) {
        sb_done(&text);
        return too_long(c, err);
    }
    *ret = value_slice(take_string(c, &text));
    ret->path = value_has_path(list) || (c->n > 1 && c->args[1].path);
    return 0;
}

/* Reads "{12}" at format.data[*at], which holds the brace; moves behind it. */
static int placeholder(struct slice format, size_t *at, uint32_t count, uint32_t *ret,
                       struct err *err)
{
    size_t i = *at + 1;
    uint32_t n = 0;
    while (i < format.len && format.data[i] >= '0' && format.data[i] <= '9' && n < 100000000)
        n = n * 10 + (uint32_t)(format.data[i++] - '0');
    if (i == *at + 1 || i == format.len || format.data[i] != '}')
        return err_set(err, ERR_INVALID, 0,
                       "a '{' in format() begins a number in braces such as {0}; write {{ for the "
                       "character itself");
    if (n >= count)
        return err_set(err, ERR_INVALID, 0,
                       "format() has no argument for {%u}: %u follow%s the text", n, count,
                       count == 1 ? "s" : "");
    *at = i;
    *ret = n;
    return 0;
}

int format_apply(struct slice format, const struct slice *texts, uint32_t count, struct str *out,
                 struct err *err)
{
    for (size_t i = 0; i < format.len; i++) {
        char c = format.data[i];
        bool brace = c == '{' || c == '}';
        if (brace && i + 1 < format.len && format.data[i + 1] == c) {
            i++;
        } else if (c == '}') {
            return err_set(err, ERR_INVALID, 0,
                           "a '}' in format() stands alone; write }} for the character itself");
        } else if (c == '{') {
            uint32_t n = 0;
            int rc = placeholder(format, &i, count, &n, err);
            if (rc)
                return rc;
            if (out && out->len + texts[n].len > STRING_MAX)
                return err_set(err, ERR_INVALID, 0, "format() makes a string of more than 64 MiB");
            if (out)
                sb_add(out, texts[n].data, texts[n].len);
            continue;
        }
        if (out)
            sb_putc(out, c);
    }
    return 0;
}

static int call_format(const struct call *c, struct value *ret, struct err *err)
{
    int rc = want_scalars(c, err);
    if (rc)
        return rc;
    struct slice *texts = arena_calloc(c->s->arena, c->n, sizeof(*texts));
    bool path = false;
    for (uint32_t i = 0; i < c->n; i++) {
        texts[i] = text_of(c, &c->args[i]);
        path |= c->args[i].path;
    }
    struct str out = {0};
    rc = format_apply(texts[0], texts + 1, c->n - 1, &out, err);
    if (rc) {
        sb_done(&out);
        return rc;
    }
    *ret = value_slice(take_string(c, &out));
    ret->path = path;
    return 0;
}

static int call_from_json(const struct call *c, struct value *ret, struct err *err)
{
    int rc = want_scalars(c, err);
    if (rc)
        return rc;
    note_path(c->s, &c->args[0]);
    struct slice text = text_of(c, &c->args[0]);
    rc = value_parse_json(text.data, text.len, c->s->arena, ret, err);
    if (rc)
        err_wrap(err, "fromJSON() of %s", describe(&c->args[0]).text);
    return rc;
}

static int call_to_json(const struct call *c, struct value *ret, struct err *err)
{
    struct str out = {0};
    bool path = value_has_path(&c->args[0]);
    value_add_json(&c->args[0], &out);
    if (out.len > STRING_MAX) {
        sb_done(&out);
        return too_long(c, err);
    }
    *ret = value_slice(take_string(c, &out));
    ret->path = path;
    return 0;
}

static int call_length(const struct call *c, struct value *ret, struct err *err)
{
    const struct value *v = &c->args[0];
    size_t n = v->count;
    if (v->type == VALUE_STRING) {
        n = utf8_count(v->text.data, v->text.len);
        note_path(c->s, v);
    } else if (is_scalar(v)) {
        return err_set(err, ERR_INVALID, 0,
                       "length() needs a list, an object or a string, found %s", describe(v).text);
    }
    *ret = value_number((double)n, c->s->arena);
    return 0;
}

static int call_basename(const struct call *c, struct value *ret, struct err *err)
{
    int rc = want_scalars(c, err);
    if (rc)
        return rc;
    struct slice path = text_of(c, &c->args[0]);
    while (path.len > 1 && path.data[path.len - 1] == '/')
        path.len--;
    const char *slash = path.len > 1 ? memrchr(path.data, '/', path.len) : NULL;
    if (slash)
        path = slice_of(slash + 1, path.len - (size_t)(slash + 1 - path.data));
    *ret = value_slice(path);
    ret->path = c->args[0].path;
    return 0;
}

/* A list among the patterns stands for its items. */
static int call_hash_files(const struct call *c, struct value *ret, struct err *err)
{
    size_t count = 0;
    if (!c->s->hash_files)
        return err_set(err, ERR_INVALID, 0, "hashFiles() is not known here");
    for (uint32_t i = 0; i < c->n; i++)
        count += c->args[i].type == VALUE_LIST ? c->args[i].count : 1;
    struct value *patterns = arena_calloc(c->s->arena, count ? count : 1, sizeof(*patterns));
    count = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        bool list = c->args[i].type == VALUE_LIST;
        for (uint32_t k = 0; k < (list ? c->args[i].count : 1); k++)
            patterns[count++] = list ? c->args[i].items[k] : c->args[i];
    }
    for (size_t i = 0; i < count; i++) {
        if (patterns[i].type != VALUE_STRING)
            return err_set(err, ERR_INVALID, 0, "hashFiles() needs paths or globs, found %s",
                           describe(&patterns[i]).text);
    }
    return c->s->hash_files(c->s->arg, patterns, (uint32_t)count, ret, err);
}

int expr_call(const struct expr *e, const struct scope *s, struct value *args, struct value *ret,
              struct err *err)
{
    typedef int (*function)(const struct call *, struct value *, struct err *);
    static const function functions[FN_COUNT] = {
        [FN_SUCCESS] = call_status,    [FN_FAILURE] = call_status,
        [FN_CANCELLED] = call_status,  [FN_ALWAYS] = call_status,
        [FN_CONTAINS] = call_contains, [FN_STARTS_WITH] = call_affix,
        [FN_ENDS_WITH] = call_affix,   [FN_JOIN] = call_join,
        [FN_FORMAT] = call_format,     [FN_FROM_JSON] = call_from_json,
        [FN_TO_JSON] = call_to_json,   [FN_LENGTH] = call_length,
        [FN_BASENAME] = call_basename, [FN_HASH_FILES] = call_hash_files,
    };
    WF_ASSERT(functions[e->function]);
    struct call c = {
        .e = e, .s = s, .args = args, .n = e->n_args, .name = expr_functions[e->function].name};
    return functions[e->function](&c, ret, err);
}
