/* SPDX-License-Identifier: Apache-2.0 */
/* Two actions side by side (their form: steps/action.h). Lists become mappings by name first, so that only one comparison is needed; a member that is not known here by name is still
 * compared and shown as it is. */
#include "cache/explain.h"

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/explain_script.h"

#include <stdlib.h>
#include <string.h>

enum { ACTION_MAX = 256 << 20 };

struct diff {
    struct arena *arena;
    VEC(struct difference) found;
};

static void add(struct diff *d, const char *part, const char *name, const char *old,
                const char *now)
{
    *vec_push(&d->found) = (struct difference){
        .part = arena_strdup(d->arena, part),
        .name = name ? arena_strdup(d->arena, name) : NULL,
        .old = old ? arena_strdup(d->arena, old) : NULL,
        .now = now ? arena_strdup(d->arena, now) : NULL,
    };
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

static void add_contents(struct diff *d, const char *part, const char *name, const json_t *old,
                         const json_t *now)
{
    CLEANUP(cleanup_free) char *o = content(old);
    CLEANUP(cleanup_free) char *n = content(now);

    if (text_eq(o, n)) { /* the same content under another path */
        add_values(d, part, name, old, now);
    } else {
        add(d, part, name, o, n);
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

/* A list of things as a mapping by what they are called; owned by the caller. */
static json_t *by_name(const json_t *list, const char *first, const char *second)
{
    json_t *map = json_object();
    size_t i;
    json_t *v;

    json_array_foreach(list, i, v)
    {
        const char *a =
            json_is_string(v) ? json_string_value(v) : json_string_value(json_object_get(v, first));
        const char *b = second ? json_string_value(json_object_get(v, second)) : NULL;
        if (!a && !b) {
            continue;
        }
        /* `ref` with `branch` makes one name; `name` stands before `path`. */
        CLEANUP(cleanup_free)
        char *name =
            a && b && strcmp(first, "ref") == 0 ? xasprintf("%s[%s]", a, b) : xstrdup(a ? a : b);
        json_object_set(map, name, v);
    }
    return map;
}

static void compare_lists(struct diff *d, const char *part, const json_t *old, const json_t *now,
                          const char *first, const char *second, differ_fn fn)
{
    CLEANUP(cleanup_json) json_t *o = by_name(old, first, second);
    CLEANUP(cleanup_json) json_t *n = by_name(now, first, second);
    size_t before = d->found.len;

    compare_maps(d, part, o, n, fn);
    /* The same things in another order, or one of them twice. */
    if (d->found.len == before && old && now && !json_equal(old, now)) {
        add_values(d, part, NULL, old, now);
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
        add_values(d, part, name, old, now);
    }
}

static void named_only(struct diff *d, const char *part, const char *name, const json_t *old,
                       const json_t *now)
{
    add(d, part, name, old ? "declared" : NULL, now ? "declared" : NULL);
}

/* --- members --- */

static void script_line(const char *name, const char *old, const char *now, void *arg)
{
    add(arg, "script", name, old, now);
}

static void compare_scripts(struct diff *d, const json_t *old, const json_t *now)
{
    if (json_is_string(old) && json_is_string(now)) {
        explain_script(json_string_value(old), json_string_value(now), script_line, d);
    } else {
        add_values(d, "script", NULL, old, now);
    }
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
    {"options", "option", NULL, NULL, add_values},
    {"outputs", "output", "name", NULL, add_values},
    {"program", "program", NULL, NULL, NULL},
    {"secrets", "secret", "name", NULL, named_only},
    {"steps", "step", "ref", "branch", add_contents},
    {"value_names", "value", "name", NULL, named_only},
    {"values", "value", NULL, NULL, expression},
    {"wf_env", "env", NULL, NULL, add_values},
};

static void compare_member(struct diff *d, const char *name, const json_t *old, const json_t *now)
{
    if (strcmp(name, "work") == 0 || (old && now && json_equal(old, now))) {
        return;
    }
    if (strcmp(name, "script") == 0) {
        compare_scripts(d, old, now);
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

/* A name's byte that is no UTF-8 is written \udcXX, which JSON readers refuse: shown as the character XX here. */
static void unescape_bytes(struct str *text)
{
    for (size_t i = 0; i + 5 < text->len; i++) {
        if (text->data[i] != '\\') {
            continue;
        }
        if (memcmp(text->data + i + 1, "udc", 3) == 0) {
            memcpy(text->data + i + 2, "00", 2);
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
    compare_documents(&d, old_static, new_static);
    compare_documents(&d, old, now);
    *ret_count = d.found.len;
    *ret =
        d.found.len ? arena_memdup(a, d.found.items, d.found.len * sizeof(*d.found.items)) : NULL;
    vec_done(&d.found);
    return 0;
}

/* --- in words --- */

enum { SHORT_DIGEST = 8, SHORT_VALUE = 80 };

static bool is_digest(const char *text)
{
    return text && strncmp(text, "sha256:", 7) == 0 && strlen(text) >= 7 + DIGEST_HEX;
}

/* Short enough for a line; line breaks are shown as blanks. */
static void add_short(struct str *s, const char *text, bool prefix)
{
    if (is_digest(text)) {
        sb_printf(s, "%s%.*s\xe2\x80\xa6", prefix ? "sha256:" : "", (int)SHORT_DIGEST, text + 7);
        sb_puts(s, text + 7 + DIGEST_HEX);
        return;
    }
    size_t len = strlen(text), cut = len;
    if (len > SHORT_VALUE) {
        cut = SHORT_VALUE;
        while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80) {
            cut--;
        }
    }
    if (len == 0) {
        sb_puts(s, "''");
    }
    for (size_t i = 0; i < cut; i++) {
        sb_putc(s, (unsigned char)text[i] < ' ' ? ' ' : text[i]);
    }
    if (cut < len) {
        sb_puts(s, "\xe2\x80\xa6");
    }
}

const char *difference_sentence(const struct difference *d, struct arena *a)
{
    CLEANUP(sb_done) struct str s = {0};

    bool says_it = d->name && strcmp(d->part, "step") == 0 && text_starts(d->name, "steps.");
    if (!says_it) {
        sb_puts(&s, d->part);
    }
    if (d->name) {
        sb_puts(&s, says_it ? "" : " ");
        sb_puts(&s, d->name);
    }
    sb_puts(&s, ": ");
    bool contents = is_digest(d->old) && is_digest(d->now) && d->name;
    if (contents) {
        sb_puts(&s, "content changed (");
    }
    if (!d->old) {
        sb_puts(&s, "new");
    } else if (!d->now) {
        sb_puts(&s, "no longer there");
    } else {
        add_short(&s, d->old, true);
        sb_puts(&s, " \xe2\x86\x92 ");
        add_short(&s, d->now, !contents);
    }
    if (contents) {
        sb_putc(&s, ')');
    }
    if (!d->old && d->now && !is_digest(d->now) && strcmp(d->now, "declared") != 0) {
        sb_puts(&s, " (");
        add_short(&s, d->now, true);
        sb_putc(&s, ')');
    }
    return arena_strndup(a, sb_text(&s), s.len);
}
