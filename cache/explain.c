/* SPDX-License-Identifier: Apache-2.0 */
/* Two actions side by side (their form: steps/action.h). Lists become mappings by name first, so that only one comparison is needed; a member that is not known here by name is still
 * compared and shown as it is. */
#include "cache/explain.h"

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/redact.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/explain_script.h"

#include <stdlib.h>
#include <string.h>

enum { ACTION_MAX = 256 << 20 };

struct diff {
    struct arena *arena;
    VEC(struct difference) found;
    bool old_place,
        new_place; /* the source's digest stands for where it lies, not for what it holds */
};

/* A byte of a name that is no UTF-8 was read as a character between U+EF80 and U+EFFF (unescape_bytes()). */
static const char *shown(struct arena *a, const char *text)
{
    CLEANUP(sb_done) struct str s = {0};

    if (!text || !strstr(text, "\xee\xbe") /* U+EF80 to U+EFBF */) {
        const char *more = text ? strstr(text, "\xee\xbf") : NULL; /* to U+EFFF */
        if (!more) {
            return text ? arena_strdup(a, text) : NULL;
        }
    }
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (c[0] == 0xee && (c[1] == 0xbe || c[1] == 0xbf) && c[2] != 0) {
            sb_printf(&s, "\\x%02X", (unsigned)((c[1] & 0x3) << 6 | (c[2] & 0x3f)));
            c += 2;
        } else {
            sb_putc(&s, (char)*c);
        }
    }
    return arena_strndup(a, sb_text(&s), s.len);
}

static struct difference *add(struct diff *d, const char *part, const char *name, const char *old,
                              const char *now)
{
    struct difference *made = vec_push(&d->found);
    CLEANUP(sb_done) struct str a = {0}, b = {0};

    redact_pair(&old, &now, &a, &b);
    *made = (struct difference){
        .part = arena_strdup(d->arena, part),
        .name = shown(d->arena, name),
        .old = shown(d->arena, old),
        .now = shown(d->arena, now),
    };
    return made;
}

/* "steps.train.outputs.model" -> train, with the branch in brackets behind it where there is one. NULL: it names no step. */
static const char *step_of_ref(struct arena *a, const char *ref, const char *branch)
{
    size_t len = 0;
    int depth = 0;

    if (!text_starts(ref, "steps.")) {
        return NULL;
    }
    for (ref += strlen("steps."); ref[len] && (ref[len] != '.' || depth > 0); len++) {
        depth += ref[len] == '[' ? 1 : ref[len] == ']' ? -1 : 0;
    }
    return branch ? arena_printf(a, "%.*s[%s]", (int)len, ref, branch) : arena_strndup(a, ref, len);
}

/* --- values as text --- */

/* Strings as they are, all else as JSON; NULL for NULL. Owned by the caller. */
static char *plain(const json_t *v)
{
    if (!v) {
        return NULL;
    }
    if (json_is_string(v)) {
        return xstrdup(json_string_value(v));
    }
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    char *copy = xstrdup(text ? text : "");
    free(text);
    return copy;
}

/* What a file or folder is: its digest, or that it is not there. */
static char *content(const json_t *v)
{
    const char *digest = json_string_value(json_object_get(v, "digest"));
    const char *kind = json_string_value(json_object_get(v, "kind"));

    if (!v) {
        return NULL;
    }
    if (!digest) {
        return kind ? xstrdup(kind) : plain(v);
    }
    return xasprintf("%s%s", digest,
                     json_is_true(json_object_get(v, "exec")) ? " (executable)" : "");
}

static void add_values(struct diff *d, const char *part, const char *name, const json_t *old,
                       const json_t *now)
{
    CLEANUP(cleanup_free) char *o = plain(old);
    CLEANUP(cleanup_free) char *n = plain(now);

    add(d, part, name, o, n);
}

static bool is_tree(const json_t *v)
{
    const char *kind = json_string_value(json_object_get(v, "kind"));

    return kind && strcmp(kind, "tree") == 0 && json_object_get(v, "digest");
}

static const char *text_of(const json_t *v, const char *key)
{
    return json_string_value(json_object_get(v, key));
}

static const char *place_of(const char *path)
{
    return path ? path : "an absolute path, or one outside the workflow's folder";
}

/* Under `time` and `change` nothing is said of a source's content. False: it is no such source. */
static bool add_source(struct diff *d, const char *part, const char *name, const json_t *old,
                       const json_t *now)
{
    const char *was = text_of(old, "path"), *is = text_of(now, "path");

    if (strcmp(name, "source") != 0 || !old || !now || !(d->old_place || d->new_place)) {
        return false;
    }
    if (d->old_place != d->new_place) {
        add(d, part, name, d->old_place ? "where it lies" : "what it holds",
            d->new_place ? "where it lies" : "what it holds");
    } else if (!text_eq(was, is)) {
        add(d, part, "source (its path)", place_of(was), place_of(is));
    } else {
        add(d, part, name, "another place", "this one");
    }
    return true;
}

static void add_contents(struct diff *d, const char *part, const char *name, const json_t *old,
                         const json_t *now)
{
    CLEANUP(cleanup_free) char *o = content(old);
    CLEANUP(cleanup_free) char *n = content(now);
    const char *ref = text_of(old ? old : now, "ref");
    const char *was = text_of(old, "path"), *is = text_of(now, "path");
    struct difference *made;

    if (!ref && add_source(d, part, name, old, now)) {
        return;
    }
    if (old && now && is_tree(old) != is_tree(now) && text_of(old, "digest") &&
        text_of(now, "digest")) {
        made = add(d, part, name, is_tree(old) ? "a folder" : "a file",
                   is_tree(now) ? "a folder" : "a file");
    } else if (!text_eq(o, n)) {
        made = add(d, part, name, o, n);
        made->folder = old && now && is_tree(old) && is_tree(now);
    } else if (!text_eq(was, is)) { /* the same content under another path */
        CLEANUP(cleanup_free) char *path = xasprintf("%s (its path)", name);
        made = add(d, part, path, place_of(was), place_of(is));
    } else {
        add_values(d, part, name, old, now);
        made = &d->found.items[d->found.len - 1];
    }
    if (!ref && text_eq(was ? was : is, is ? is : was) && !text_eq(was ? was : is, name)) {
        made->path = shown(d->arena, is ? is : was);
    }
    if (ref) {
        made->from = step_of_ref(d->arena, ref, text_of(old ? old : now, "branch"));
    }
}

/* Of an output's declaration each member that differs: "output model (path)". */
static void add_output(struct diff *d, const char *part, const char *name, const json_t *old,
                       const json_t *now)
{
    static const char *const members[] = {"path", "non_empty", "sha256"};
    size_t before = d->found.len;

    if (!old || !now) {
        add(d, part, name, old ? "declared" : NULL, now ? "declared" : NULL);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const json_t *x = json_object_get(old, members[i]), *y = json_object_get(now, members[i]);
        if (x != y && !(x && y && json_equal(x, y))) {
            CLEANUP(cleanup_free) char *what = xasprintf("%s (%s)", name, members[i]);
            add_values(d, part, what, x, y);
        }
    }
    if (d->found.len == before) {
        add_values(d, part, name, old, now);
    }
}

/* --- mappings --- */

typedef void (*differ_fn)(struct diff *d, const char *part, const char *name, const json_t *old,
                          const json_t *now);

static void compare_maps(struct diff *d, const char *part, const json_t *old, const json_t *now,
                         differ_fn fn)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)old, key, value)
    {
        const json_t *other = json_object_get(now, key);
        if (!other || !json_equal(value, other)) {
            fn(d, part, key, value, other);
        }
    }
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        if (!json_object_get(old, key)) {
            fn(d, part, key, NULL, value);
        }
    }
}

/* What a thing of a list is called: `ref` with `branch` makes one name; `name` stands before `path`. Owned by the caller; NULL: nothing. */
static char *called(const json_t *v, const char *first, const char *second)
{
    const char *a = json_is_string(v) ? json_string_value(v) : text_of(v, first);
    const char *b = second ? text_of(v, second) : NULL;

    if (!a && !b) {
        return NULL;
    }
    return a && b && strcmp(first, "ref") == 0 ? xasprintf("%s[%s]", a, b) : xstrdup(a ? a : b);
}

/* Names that stand more than once in a list: the matches of a pattern share the name of their input. */
static void find_shared(const json_t *list, const char *first, const char *second, json_t *shared)
{
    CLEANUP(cleanup_json) json_t *seen = json_object();
    size_t i;
    json_t *v;

    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        CLEANUP(cleanup_free) char *name = called(v, first, second);
        if (name && json_object_get(seen, name)) {
            json_object_set_new(shared, name, json_true());
        } else if (name) {
            json_object_set_new(seen, name, json_true());
        }
    }
}

/* A list of things as a mapping by what they are called; owned by the caller. Of a shared name each is told apart by its path, or, without one, by its content. */
static json_t *by_name(const json_t *list, const char *first, const char *second,
                       const json_t *shared)
{
    json_t *map = json_object();
    size_t i;
    json_t *v;

    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        CLEANUP(cleanup_free) char *name = called(v, first, second);
        if (!name) {
            continue;
        }
        if (json_object_get(shared, name)) {
            const char *path = text_of(v, "path"), *digest = text_of(v, "digest");
            const char *apart = path ? path : digest ? digest : "";
            CLEANUP(cleanup_free)
            char *longer =
                path ? xasprintf("%s %s", name, apart) : xasprintf("%s (%.15s)", name, apart);
            json_object_set(map, longer, v);
        } else {
            json_object_set(map, name, v);
        }
    }
    return map;
}

static void compare_lists(struct diff *d, const char *part, const json_t *old, const json_t *now,
                          const char *first, const char *second, differ_fn fn)
{
    CLEANUP(cleanup_json) json_t *shared = json_object();
    find_shared(old, first, second, shared);
    find_shared(now, first, second, shared);
    CLEANUP(cleanup_json) json_t *o = by_name(old, first, second, shared);
    CLEANUP(cleanup_json) json_t *n = by_name(now, first, second, shared);
    size_t before = d->found.len;

    compare_maps(d, part, o, n, fn);
    /* The same things in another order, or one of them twice. */
    if (d->found.len == before && old && now && !json_equal(old, now)) {
        add_values(d, part, NULL, old, now);
    }
}

/* A step's value stands in the action as JSON, so that a text differs from a list that reads like it: a text is shown as a user wrote it, unless that would hide the difference. */
static void add_json_texts(struct diff *d, const char *part, const char *name, const json_t *old,
                           const json_t *now)
{
    const char *texts[2] = {json_string_value(old), json_string_value(now)};
    CLEANUP(cleanup_json) json_t *first = NULL;
    CLEANUP(cleanup_json) json_t *second = NULL;

    if (texts[0] && json_read(texts[0], strlen(texts[0]), ACTION_MAX, &first, NULL) == 0 &&
        json_is_string(first)) {
        texts[0] = json_string_value(first);
    }
    if (texts[1] && json_read(texts[1], strlen(texts[1]), ACTION_MAX, &second, NULL) == 0 &&
        json_is_string(second)) {
        texts[1] = json_string_value(second);
    }
    if (text_eq(texts[0], texts[1])) {
        add_values(d, part, name, old, now);
    } else {
        add(d, part, name, texts[0], texts[1]);
    }
}

/* "params.lr" is what a user calls param lr. */
static void expression(struct diff *d, const char *part, const char *name, const json_t *old,
                       const json_t *now)
{
    if (text_starts(name, "params.")) {
        add_values(d, "param", name + 7, old, now);
    } else if (text_starts(name, "matrix.")) {
        add_values(d, "matrix", name + 7, old, now);
    } else if (text_starts(name, "expression.")) {
        add_values(d, "expression", name + 11, old, now);
    } else {
        add_json_texts(d, part, name, old, now);
        d->found.items[d->found.len - 1].from = step_of_ref(d->arena, name, NULL);
    }
}

/* Options under which a result stays fresh are called by their own names. */
static void option(struct diff *d, const char *part, const char *name, const json_t *old,
                   const json_t *now)
{
    if (strcmp(name, "policy") == 0 || strcmp(name, "measure") == 0) {
        add_values(d, name, NULL, old, now);
    } else {
        add_values(d, part, name, old, now);
    }
}

static void named_only(struct diff *d, const char *part, const char *name, const json_t *old,
                       const json_t *now)
{
    add(d, part, name, old ? "declared" : NULL, now ? "declared" : NULL);
}

/* --- members --- */

static void script_line(const struct line_change *c, void *arg)
{
    CLEANUP(cleanup_free) char *old = c->old_line ? xstrndup(c->old.data, c->old.len) : NULL;
    CLEANUP(cleanup_free) char *now = c->new_line ? xstrndup(c->now.data, c->now.len) : NULL;
    CLEANUP(cleanup_free)
    char *name =
        c->new_line ? xasprintf("line %zu", c->new_line) : xasprintf("old line %zu", c->old_line);

    add(arg, "script", name, old, now);
}

static void compare_scripts(struct diff *d, const json_t *old, const json_t *now)
{
    size_t before = d->found.len;

    if (!json_is_string(old) || !json_is_string(now)) {
        add_values(d, "script", NULL, old, now);
        return;
    }
    explain_lines(json_string_value(old), json_string_value(now), script_line, d);
    if (d->found.len == before) {
        add(d, "script", "end", "as it was", "a line break more or less");
    }
}

/* Word by word where there are as many: "command word 3". */
static void compare_commands(struct diff *d, const json_t *old, const json_t *now)
{
    size_t n = json_array_size(old);

    if (n == 0 || n != json_array_size(now)) {
        add_values(d, "command", NULL, old, now);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!json_equal(json_array_get(old, i), json_array_get(now, i))) {
            CLEANUP(cleanup_free) char *name = xasprintf("word %zu", i + 1);
            add_values(d, "command", name, json_array_get(old, i), json_array_get(now, i));
        }
    }
}

/* WF_MATRIX_MODEL says again what the difference of the axis says. */
static void own_variable(struct diff *d, const char *part, const char *name, const json_t *old,
                         const json_t *now)
{
    const char *was = json_string_value(old), *is = json_string_value(now);

    for (size_t i = 0; text_starts(name, "WF_MATRIX_") && i < d->found.len; i++) {
        const struct difference *f = &d->found.items[i];
        if (strcmp(f->part, "matrix") == 0 && text_eq(f->old, was) && text_eq(f->now, is)) {
            return;
        }
    }
    add_values(d, part, name, old, now);
}

static const struct {
    const char *member, *part;
    const char *first, *second; /* of a list: what its things are called by */
    differ_fn fn;               /* NULL: the whole member is compared */
} members[] = {
    {"env", "env", NULL, NULL, add_values},
    {"image", "image", NULL, NULL, NULL},
    {"inputs", "input", "name", "path", add_contents},
    {"kind_version", "kind version", NULL, NULL, NULL},
    {"options", "option", NULL, NULL, option},
    {"outputs", "output", "name", NULL, add_output},
    {"program", "program", NULL, NULL, NULL},
    {"secrets", "secret", "name", NULL, named_only},
    {"steps", "step", "ref", "branch", add_contents},
    {"value_names", "value", "name", NULL, named_only},
    {"values", "value", NULL, NULL, expression},
    {"wf_env", "env", NULL, NULL, own_variable},
};

static void compare_member(struct diff *d, const char *name, const json_t *old, const json_t *now)
{
    if (strcmp(name, "work") == 0 || (old && now && json_equal(old, now))) {
        return;
    }
    if (strcmp(name, "script") == 0 || strcmp(name, "command") == 0) {
        (*name == 's' ? compare_scripts : compare_commands)(d, old, now);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (strcmp(members[i].member, name) != 0) {
            continue;
        }
        if (!members[i].fn) {
            add_values(d, members[i].part, NULL, old, now);
        } else if (members[i].first) {
            compare_lists(d, members[i].part, old, now, members[i].first, members[i].second,
                          members[i].fn);
        } else {
            compare_maps(d, members[i].part, old, now, members[i].fn);
        }
        return;
    }
    add_values(d, name, NULL, old, now);
}

static void compare_documents(struct diff *d, const json_t *old, const json_t *now)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)old, key, value)
    {
        compare_member(d, key, value, json_object_get(now, key));
    }
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        if (!json_object_get(old, key)) {
            compare_member(d, key, NULL, value);
        }
    }
}

/* --- reading --- */

/* A name's byte that is no UTF-8 is written \udcXX, which JSON readers refuse: read as U+EFXX, of the characters that nobody uses, and shown as \xXX. */
static void unescape_bytes(struct str *text)
{
    for (size_t i = 0; i + 5 < text->len; i++) {
        if (text->data[i] != '\\') {
            continue;
        }
        if (memcmp(text->data + i + 1, "udc", 3) == 0) {
            memcpy(text->data + i + 2, "ef", 2);
        }
        i++; /* what is escaped is no escape itself */
    }
}

static int read_document(const char *text, json_t **ret, struct err *err)
{
    CLEANUP(sb_done) struct str copy = {0};

    sb_puts(&copy, text && *text ? text : "{}");
    unescape_bytes(&copy);
    int rc = json_read(copy.data, copy.len, ACTION_MAX, ret, err);
    if (rc == 0 && !json_is_object(*ret)) {
        json_decref(*ret);
        *ret = NULL;
        return err_set(err, ERR_CORRUPT, 0, "an action in the store is damaged");
    }
    return rc;
}

static bool by_place(const json_t *work)
{
    const char *policy = text_of(json_object_get(work, "options"), "policy");

    return policy && strcmp(policy, "content") != 0;
}

int explain_diff(const char *old_action, const char *old_work, const char *new_action,
                 const char *new_work, struct arena *a, struct difference **ret, size_t *ret_count,
                 struct err *err)
{
    CLEANUP(cleanup_json) json_t *old = NULL;
    CLEANUP(cleanup_json) json_t *now = NULL;
    CLEANUP(cleanup_json) json_t *old_static = NULL;
    CLEANUP(cleanup_json) json_t *new_static = NULL;
    struct diff d = {.arena = a};

    int rc = read_document(old_action, &old, err);
    rc = rc < 0 ? rc : read_document(new_action, &now, err);
    rc = rc < 0 ? rc : read_document(old_work, &old_static, err);
    rc = rc < 0 ? rc : read_document(new_work, &new_static, err);
    if (rc < 0) {
        return rc;
    }
    d.old_place = by_place(old_static);
    d.new_place = by_place(new_static);
    compare_documents(&d, old_static, new_static);
    compare_documents(&d, old, now);
    *ret_count = d.found.len;
    *ret =
        d.found.len ? arena_memdup(a, d.found.items, d.found.len * sizeof(*d.found.items)) : NULL;
    vec_done(&d.found);
    return 0;
}
