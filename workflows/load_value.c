/* SPDX-License-Identifier: Apache-2.0 */
/* Scalars of the language: each with one sentence when it is not what was expected. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/units.h"
#include "workflows/load_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 60 }; /* bytes of a wrong value in a message */

bool is_null(const struct node *n)
{
    return n->kind == NODE_SCALAR && n->type == SCALAR_NULL;
}

void load_expected_as(struct loader *l, const struct node *n, const char *name, const char *what)
{
    if (n->kind != NODE_SCALAR)
        diag_error(l->d, n->span, "bad-value", "'%s' must be %s, not %s%s", name, what,
                   n->len == 0 ? "an empty " : "a ", n->kind == NODE_LIST ? "list" : "mapping");
    else if (n->type == SCALAR_NULL)
        diag_error(l->d, n->span, "bad-value", "'%s' must be %s, and has no value", name, what);
    else
        diag_error(l->d, n->span, "bad-value", "'%s' must be %s, not '%.*s'", name, what, SHOWN,
                   n->text);
}

void load_expected(struct loader *l, const struct entry *e)
{
    load_expected_as(l, e->value, e->key->name, e->key->type);
}

void load_wrong_text(struct loader *l, const struct entry *e, const char *text)
{
    if (text == e->value->text)
        load_expected(l, e);
    else
        diag_error(l->d, e->value->span, "bad-value", "'%s' must be %s, and is '%.*s' here",
                   e->key->name, e->key->type, SHOWN, text);
}

struct scope load_scope(struct loader *l)
{
    return (struct scope){.arena = l->a, .wf = l->wf, .params = l->param_values};
}

/* --- evaluated while loading --- */

struct now {
    struct loader *l;
    const char *key;
    bool refused, missing;
};

static void on_now_name(struct expr *e, bool in_default, void *arg)
{
    struct now *n = arg;
    struct loader *l = n->l;
    (void)in_default;
    if (e->name.root != ROOT_PARAMS || e->name.text == NULL) {
        diag_error(l->d, e->span, "bad-place",
                   "'%s' is settled before anything runs and can use params only", n->key);
        n->refused = true;
        return;
    }
    ptrdiff_t i = map_find(&l->param_names, e->name.text, strlen(e->name.text));
    if (i < 0) {
        diag_error(l->d, e->span, "unknown-param", "'%s' is not a param", e->name.text);
        suggest_from_map(l, e->name.text, &l->param_names);
        n->refused = true;
        return;
    }
    e->name.member = (uint32_t)i;
    l->param_used[i] = true;
    if (l->param_values[i].type == VALUE_NULL)
        n->missing = true;
}

static const char *evaluate_now(struct loader *l, const struct entry *e, enum scalar_type *ret_type)
{
    struct text *t = load_text_of(l, e->value, e->key->name, e->key->type, false);
    if (t == NULL)
        return NULL;
    struct now now = {.l = l, .key = e->key->name};
    text_each_name(t, on_now_name, &now);
    if (now.refused || now.missing)
        return NULL;
    struct scope scope = load_scope(l);
    struct value v;
    struct err err = {0};
    if (text_eval(t, &scope, &v, &err) != 0) {
        diag_error(l->d, e->value->span, "bad-value", "'%s': %s", e->key->name, err.msg);
        return NULL;
    }
    CLEANUP(sb_done) struct str out = {0};
    value_interpolate(&v, &out);
    *ret_type = v.type == VALUE_BOOL     ? SCALAR_BOOL
                : v.type == VALUE_NUMBER ? SCALAR_NUMBER
                                         : SCALAR_STRING;
    return arena_strndup(l->a, sb_text(&out), out.len);
}

const char *load_now(struct loader *l, const struct entry *e, enum scalar_type *ret_type)
{
    enum scalar_type type = e->value->type;
    if (e->value->kind != NODE_SCALAR || type == SCALAR_NULL) {
        load_expected(l, e);
        return NULL;
    }
    const char *text = e->value->text;
    if (strstr(text, "${{") != NULL)
        text = evaluate_now(l, e, &type);
    if (ret_type != NULL)
        *ret_type = type;
    return text;
}

/* --- types --- */

const char *load_words(struct loader *l, const struct entry *e)
{
    const struct node *n = e->value;
    if (n->kind != NODE_SCALAR || n->type == SCALAR_NULL) {
        load_expected(l, e);
        return NULL;
    }
    if (strstr(n->text, "${{") != NULL) {
        diag_error(l->d, n->span, "bad-place", "'%s' cannot hold ${{ }}", e->key->name);
        return NULL;
    }
    return arena_strndup(l->a, n->text, n->len);
}

bool load_bool(struct loader *l, const struct entry *e, bool *ret)
{
    enum scalar_type type = SCALAR_NULL;
    const char *text = load_now(l, e, &type);
    if (text == NULL)
        return false;
    bool yes = strcasecmp(text, "true") == 0;
    /* A param of type string may carry the word. */
    bool word = type == SCALAR_BOOL || (type == SCALAR_STRING && text != e->value->text);
    if (!word || (!yes && strcasecmp(text, "false") != 0)) {
        load_wrong_text(l, e, text);
        if (strcasecmp(text, "yes") == 0 || strcasecmp(text, "on") == 0)
            diag_hint(l->d, "write true");
        else if (strcasecmp(text, "no") == 0 || strcasecmp(text, "off") == 0)
            diag_hint(l->d, "write false");
        else if (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0)
            diag_hint(l->d, "write it without quotes");
        return false;
    }
    *ret = yes;
    return true;
}

static bool parse_whole(const char *text, uint32_t *ret)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long long v = strtoull(text, &end, 10);
    if (*end != '\0' || v > UINT32_MAX - 1)
        return false;
    *ret = (uint32_t)v;
    return true;
}

bool load_count(struct loader *l, const struct entry *e, uint32_t min, uint32_t *ret)
{
    uint32_t v = 0;
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return false;
    if (!parse_whole(text, &v)) {
        load_wrong_text(l, e, text);
        return false;
    }
    if (v < min) {
        diag_error(l->d, e->value->span, "bad-value", "'%s' must be at least %u", e->key->name,
                   min);
        return false;
    }
    *ret = v;
    return true;
}

bool load_number(struct loader *l, const struct entry *e, double *ret)
{
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return false;
    char *end = NULL;
    double v = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(v) || strpbrk(text, "xXnN") != NULL) {
        load_wrong_text(l, e, text);
        return false;
    }
    *ret = v;
    return true;
}

bool load_duration(struct loader *l, const struct entry *e, int64_t *ret_ms)
{
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return false;
    if (parse_duration(text, ret_ms, NULL) == 0)
        return true;
    load_wrong_text(l, e, text);
    if (strspn(text, "0123456789") == strlen(text))
        diag_hint(l->d, "write %s%s for seconds", text, "s");
    return false;
}

/* "int": how others write it. The one name that goes on so; NULL: none, or several. */
static const char *begins_with(const char *text, const char *const *names, uint32_t count)
{
    const char *found = NULL;

    for (uint32_t i = 0; i < count && strlen(text) >= 3; i++) {
        if (text_starts(names[i], text)) {
            if (found)
                return NULL;
            found = names[i];
        }
    }
    return found;
}

bool load_choice(struct loader *l, const struct entry *e, const char *const *names, uint32_t count,
                 uint32_t *ret)
{
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = i;
            return true;
        }
    }
    load_wrong_text(l, e, text);
    const char *near = suggest_nearest(text, names, count);
    diag_did_you_mean(l->d, near ? near : begins_with(text, names, count));
    return false;
}

bool load_sha256(struct loader *l, const struct entry *e, const char **ret)
{
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return false;
    if (text_starts(text, "sha256:"))
        text += strlen("sha256:");
    if (strlen(text) != 64 || strspn(text, "0123456789abcdefABCDEF") != 64) {
        load_wrong_text(l, e, text);
        return false;
    }
    char *lower = arena_strdup(l->a, text);
    for (char *p = lower; *p != '\0'; p++)
        *p = (char)(*p >= 'A' && *p <= 'F' ? *p + ('a' - 'A') : *p);
    *ret = lower;
    return true;
}

/* --- texts --- */

/* Where a scalar begins for text_parse(): its first byte, its opening quote, or its | or >. */
static struct span text_place(const struct node *n)
{
    struct span at = n->span;
    if (!n->plain && !n->block)
        at.col--;
    return at;
}

/* Header and bytes in one piece: there are many of these. */
static struct text *new_constant(struct loader *l, const struct node *n)
{
    struct text *t = arena_alloc(l->a, sizeof(*t) + n->len + 1);
    memcpy((char *)(t + 1), n->text, n->len);
    t->source = (const char *)(t + 1);
    t->len = n->len;
    t->span = n->span;
    return t;
}

static struct text *shared_constant(struct loader *l, const struct node *n)
{
    if (n->len > SHARED_MAX)
        return new_constant(l, n);
    struct text **slot = &l->shared[hash_bytes(n->text, n->len) % SHARED_TEXTS];
    if (*slot == NULL || (*slot)->len != n->len || memcmp((*slot)->source, n->text, n->len) != 0)
        *slot = new_constant(l, n);
    return *slot;
}

static struct text *read_text(struct loader *l, const struct node *n, const char *name,
                              const char *type, bool script, bool share)
{
    if (n->kind != NODE_SCALAR || n->type == SCALAR_NULL) {
        load_expected_as(l, n, name, type);
        return NULL;
    }
    if (memmem(n->text, n->len, "${{", 3) != NULL)
        return text_parse(n->text, n->len, text_place(n), script, l->a, l->d);
    return share ? shared_constant(l, n) : new_constant(l, n);
}

struct text *load_text_of(struct loader *l, const struct node *n, const char *name,
                          const char *type, bool script)
{
    return read_text(l, n, name, type, script, true);
}

struct text *load_placed_text(struct loader *l, const struct node *n, const char *name,
                              const char *type)
{
    return read_text(l, n, name, type, false, false);
}

struct text *load_text(struct loader *l, const struct entry *e)
{
    return load_text_of(l, e->value, e->key->name, e->key->type, false);
}

/* --- names --- */

const char *load_shared_name(struct loader *l, const char *name, size_t len)
{
    const char **slot = &l->names[hash_bytes(name, len) % SHARED_NAMES];
    if (*slot == NULL || strlen(*slot) != len || memcmp(*slot, name, len) != 0)
        *slot = arena_strndup(l->a, name, len);
    return *slot;
}

static bool name_chars(const char *name, bool dash)
{
    if ((name[0] >= '0' && name[0] <= '9') || name[0] == '-' || name[0] == '\0')
        return false;
    for (const char *p = name; *p != '\0'; p++) {
        bool fine = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || *p == '_' || (dash && *p == '-');
        if (!fine)
            return false;
    }
    return true;
}

bool valid_name(const char *name)
{
    return name_chars(name, true);
}

bool valid_variable(const char *name)
{
    return name_chars(name, false);
}

bool check_name(struct loader *l, struct span at, const char *what, const char *name)
{
    if (valid_name(name))
        return true;
    diag_error(l->d, at, "bad-name", "'%.*s' is not a name for %s", SHOWN, name, what);
    diag_hint(l->d, "names have letters, digits, _ and -, and begin with a letter or _");
    return false;
}
