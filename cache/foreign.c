/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/foreign.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/objects_internal.h"
#include "cache/result.h"

#include <string.h>

enum { FUTURE_MS = 24 * 3600 * 1000, JSON_MAX = 64 << 20 };

static int not_wfs(struct err *err)
{
    return err_set(err, ERR_CORRUPT, 0, "is not one of wf");
}

bool foreign_text(const char *text)
{
    if (!text) {
        return true;
    }
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return false;
        }
    }
    return utf8_valid(text, strlen(text), NULL);
}

static bool good_json(const char *text)
{
    CLEANUP(cleanup_json) json_t *j = NULL;

    return !text || (json_read(text, strlen(text), JSON_MAX, &j, NULL) == 0 && json_is_object(j));
}

static bool good_output(const struct result_output *o)
{
    CLEANUP(sb_done) struct str clean = {0};

    return *o->name && foreign_text(o->name) && fs_clean_relative(o->path, &clean) &&
           strcmp(sb_text(&clean), ".") != 0 && o->bytes <= INT64_MAX &&
           o->object_bytes <= INT64_MAX && (o->kind == OBJECT_TREE || o->bytes == o->object_bytes);
}

/* It cannot have ended later than now, but for clocks that are not alike. */
static bool good_times(const struct result *r)
{
    int64_t latest = now_ms() + FUTURE_MS;

    return r->began_at_ms >= 0 && r->began_at_ms <= latest && r->duration_ms >= 0 &&
           r->duration_ms <= latest - r->began_at_ms && r->cpu_us <= INT64_MAX / 1024 &&
           r->max_rss_kib <= INT64_MAX / 1024;
}

static bool good_form(const struct result *r)
{
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        if (!good_output(&r->outputs[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < r->n_values; i++) {
        const struct result_value *v = &r->values[i];
        if (!foreign_text(v->name) || !utf8_valid(v->text, strlen(v->text), NULL)) {
            return false;
        }
    }
    return (!r->has_log || r->log_bytes <= INT64_MAX) && foreign_text(r->run) &&
           foreign_text(r->measure) && foreign_text(r->origin) && good_json(r->metrics) &&
           good_json(r->source) && good_json(r->adopted) && good_times(r);
}

/* --- what is declared --- */

static const struct result_output *output_of(const struct result *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        if (strcmp(r->outputs[i].name, name) == 0) {
            return &r->outputs[i];
        }
    }
    return NULL;
}

static bool meets(const struct result_output *o, const json_t *declared)
{
    const char *path = json_string_value(json_object_get(declared, "path"));
    const char *sha256 = json_string_value(json_object_get(declared, "sha256"));
    struct digest d;

    return o && path && strcmp(o->path, path) == 0 &&
           !(json_is_true(json_object_get(declared, "non_empty")) && o->bytes == 0) &&
           (!sha256 || !digest_parse(sha256, strlen(sha256), &d) || digest_eq(&d, &o->digest));
}

/* As many as declared, and each declared one is there: so none is there twice, and no other. */
static bool outputs_fit(const struct result *r, const json_t *outputs)
{
    size_t i;
    const json_t *one;

    if (r->n_outputs != json_array_size(outputs)) {
        return false;
    }
    json_array_foreach(outputs, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (!name || !meets(output_of(r, name), one)) {
            return false;
        }
    }
    return true;
}

static bool has_value(const struct result *r, const char *name)
{
    static const char from_stdout[] = ": stdout"; /* how the work writes where it is taken from */
    size_t len = strlen(name), tail = sizeof(from_stdout) - 1;

    if (len > tail && strcmp(name + (len - tail), from_stdout) == 0) {
        len -= tail;
    }
    for (uint32_t i = 0; i < r->n_values; i++) {
        const char *have = r->values[i].name;
        if (strlen(have) == len && memcmp(have, name, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool values_fit(const struct result *r, const json_t *names, const char *kind)
{
    size_t i;
    const json_t *one;

    if (kind && strcmp(kind, "select") == 0) {
        return r->n_values == 1 && has_value(r, "models");
    }
    if (r->n_values != json_array_size(names)) {
        return false;
    }
    json_array_foreach(names, i, one)
    {
        if (!json_is_string(one) || !has_value(r, json_string_value(one))) {
            return false;
        }
    }
    return true;
}

int foreign_check(const struct result *r, const char *work, size_t work_len, struct err *err)
{
    CLEANUP(cleanup_json) json_t *j = NULL;

    if (!good_form(r) || json_read(work, work_len, JSON_MAX, &j, NULL) < 0 || !json_is_object(j)) {
        return not_wfs(err);
    }
    if (!outputs_fit(r, json_object_get(j, "outputs"))) {
        return err_set(err, ERR_CORRUPT, 0, "has other outputs than the step declares");
    }
    if (!values_fit(r, json_object_get(j, "value_names"),
                    json_string_value(json_object_get(j, "kind")))) {
        return err_set(err, ERR_CORRUPT, 0, "has other values than the step declares");
    }
    return 0;
}

/* --- folders --- */

static int add_bytes(const struct manifest_entry *e, void *arg, struct err *err)
{
    uint64_t *sum = arg;

    if (e->kind != 'f' && e->kind != 'x') {
        return 0;
    }
    if (e->bytes > INT64_MAX - *sum) {
        return not_wfs(err);
    }
    *sum += e->bytes;
    return 0;
}

int foreign_check_folders(struct store *s, const struct result *r, struct err *err)
{
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        const struct result_output *o = &r->outputs[i];
        CLEANUP(sb_done) struct str text = {0};
        uint64_t sum = 0;
        if (o->kind != OBJECT_TREE) {
            continue;
        }
        int rc = object_manifest(s, &o->digest, &text, err);
        if (rc < 0) {
            return rc;
        }
        struct err why = {0};
        rc = manifest_check(sb_text(&text), text.len, &why);
        if (rc < 0) {
            return err_set(err, ERR_CORRUPT, 0, "cannot be laid out: %s", why.msg);
        }
        rc = manifest_each(sb_text(&text), text.len, add_bytes, &sum, err);
        if (rc < 0 || sum != o->bytes || text.len != o->object_bytes) {
            return not_wfs(err);
        }
    }
    return 0;
}
