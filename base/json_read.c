/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON with jansson, and writing its values in the canonical form. */
#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"

#include <stdlib.h>
#include <string.h>

void cleanup_json(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}

int json_read(const char *data, size_t len, size_t max_bytes, json_t **ret, struct err *err)
{
    json_error_t why;

    if (len > max_bytes) {
        struct str size = {0};
        add_size(&size, max_bytes);
        int rc =
            err_set(err, ERR_INVALID, 0, "the JSON document is larger than %s", sb_text(&size));
        sb_done(&size);
        return rc;
    }
    json_t *v = json_loadb(len ? data : "", len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!v) {
        return err_set(err, ERR_INVALID, 0, "line %d, column %d: %s", why.line, why.column,
                       why.text);
    }
    *ret = v;
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;

    return strcmp(*left, *right);
}

static void write_value(struct jsonw *w, const json_t *v);

static void write_object(struct jsonw *w, const json_t *v)
{
    size_t count = json_object_size(v), at = 0;
    CLEANUP(cleanup_free) char *memory = xcalloc(count + 1, sizeof(const char *));
    const char **keys = (const char **)(void *)memory;

    /* jansson's iterators take a mutable object and do not change it. */
    json_t *object = (json_t *)(uintptr_t)v;
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        keys[at++] = json_object_iter_key(i);
    }
    qsort(keys, count, sizeof(*keys), compare_keys);
    sb_putc(w->out, '{');
    for (size_t k = 0; k < count; k++) {
        if (k > 0) {
            sb_putc(w->out, ',');
        }
        jw_string_add(w->out, keys[k], strlen(keys[k]));
        sb_putc(w->out, ':');
        write_value(w, json_object_get(object, keys[k]));
    }
    sb_putc(w->out, '}');
}

/* Recursive: jansson reads no document deeper than 2048 levels. `w` stays at the top level and only lends its
 * functions for single values. */
static void write_value(struct jsonw *w, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        write_object(w, v);
        break;
    case JSON_ARRAY:
        sb_putc(w->out, '[');
        for (size_t i = 0; i < json_array_size(v); i++) {
            if (i > 0) {
                sb_putc(w->out, ',');
            }
            write_value(w, json_array_get(v, i));
        }
        sb_putc(w->out, ']');
        break;
    case JSON_STRING:
        jw_bytes(w, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        jw_i64(w, json_integer_value(v));
        break;
    case JSON_REAL:
        jw_real(w, json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        jw_bool(w, json_is_true(v));
        break;
    case JSON_NULL:
        jw_null(w);
        break;
    }
}

void json_write_canonical(const json_t *v, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, false);
    write_value(&w, v);
}
