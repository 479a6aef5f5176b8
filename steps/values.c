/* SPDX-License-Identifier: Apache-2.0 */
/* Reading $WF_VALUES: `name=value` to the end of the line, or `name<<WORD` and the lines up to WORD. */
#include "steps/values.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

struct reader {
    const struct step *step;
    const char *at, *end;
    struct arena *a;
    struct result_value *values; /* by index in step->values */
    struct err *err;
};

/* The next line without its end; false: no more. */
static bool next_line(struct reader *r, struct slice *ret)
{
    if (r->at >= r->end) {
        return false;
    }
    const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    size_t len = (size_t)((stop ? stop : r->end) - r->at);

    *ret = slice_of(r->at, len > 0 && r->at[len - 1] == '\r' ? len - 1 : len);
    r->at = stop ? stop + 1 : r->end;
    return true;
}

static int set_value(struct reader *r, struct slice name, const char *value, size_t len)
{
    for (uint32_t k = 0; k < r->step->n_values; k++) {
        const struct step_value *v = &r->step->values[k];
        if (v->from_stdout || !slice_eq(name, slice_str(v->name))) {
            continue;
        }
        if (r->values[k].name) {
            return err_set(r->err, ERR_INVALID, 0, "value '%s' was written twice to $WF_VALUES",
                           v->name);
        }
        r->values[k] = (struct result_value){v->name, arena_strndup(r->a, value, len)};
        return 0;
    }
    return err_set(r->err, ERR_INVALID, 0,
                   "value '%.*s' was written to $WF_VALUES and is not declared: list it under "
                   "`values`",
                   (int)(name.len > 200 ? 200 : name.len), name.data);
}

/* The lines up to the closing word, joined by line ends. */
static int block(struct reader *r, struct slice name, struct slice word)
{
    const char *from = r->at, *to = r->at;
    struct slice line;

    while (next_line(r, &line)) {
        if (slice_eq(line, word)) {
            size_t len = (size_t)(to - from);
            return set_value(r, name, from, len > 0 ? len - 1 : 0);
        }
        to = r->at;
    }
    return err_set(r->err, ERR_INVALID, 0, "value '%.*s' in $WF_VALUES has no closing line '%.*s'",
                   (int)(name.len > 200 ? 200 : name.len), name.data,
                   (int)(word.len > 200 ? 200 : word.len), word.data);
}

static int one(struct reader *r, struct slice line)
{
    const char *equals = memchr(line.data, '=', line.len);
    const char *here = memmem(line.data, line.len, "<<", 2);

    if (here && (!equals || here < equals)) {
        size_t name = (size_t)(here - line.data);
        return block(r, slice_of(line.data, name), slice_of(here + 2, line.len - name - 2));
    }
    if (!equals) {
        return err_set(r->err, ERR_INVALID, 0,
                       "a line in $WF_VALUES is not of the form name=value: '%.*s'",
                       (int)(line.len > 80 ? 80 : line.len), line.data);
    }
    size_t name = (size_t)(equals - line.data);
    return set_value(r, slice_of(line.data, name), equals + 1, line.len - name - 1);
}

static int check_text(const char *text, size_t len, const char *what, struct err *err)
{
    if (len > VALUES_MAX) {
        return err_set(err, ERR_INVALID, 0,
                       "%s holds more than 1 MiB: write an output file instead", what);
    }
    if (memchr(text, '\0', len) || !utf8_valid(text, len, NULL)) {
        return err_set(err, ERR_INVALID, 0, "%s is not UTF-8 text", what);
    }
    return 0;
}

int values_parse(const struct step *step, const char *text, size_t len, const char *out,
                 size_t out_len, struct arena *a, struct result_value **ret, uint32_t *ret_count,
                 struct err *err)
{
    struct reader r = {.step = step, .at = text, .end = text + len, .a = a, .err = err};
    struct slice line;
    int rc = len > 0 ? check_text(text, len, "$WF_VALUES", err) : 0;

    r.values = arena_calloc(a, step->n_values + 1, sizeof(*r.values));
    while (rc == 0 && len > 0 && next_line(&r, &line)) {
        rc = line.len > 0 ? one(&r, line) : 0;
    }
    for (uint32_t k = 0; rc == 0 && k < step->n_values; k++) {
        const struct step_value *v = &step->values[k];
        if (v->from_stdout && out) {
            size_t n = out_len > 0 && out[out_len - 1] == '\n' ? out_len - 1 : out_len;
            rc = check_text(out, n, "the standard output", err);
            r.values[k] = (struct result_value){v->name, arena_strndup(a, out, n)};
        } else if (!r.values[k].name) {
            rc = err_set(err, ERR_NOT_FOUND, 0,
                         "value '%s' was not written: the step must add a line %s=… to $WF_VALUES",
                         v->name, v->name);
        }
    }
    if (rc == 0) {
        *ret = r.values;
        *ret_count = step->n_values;
    }
    return rc;
}
