/* SPDX-License-Identifier: Apache-2.0 */
/* A result as bytes. Numbers are LEB128 (signed ones zigzag), a text is its length, its bytes and a NUL, so that a decoded one points into the copy:
 *
 *   version   1
 *   flags     METRICS 1 · LOG 2 · RUN 4 · SOURCE 8 · MEASURE 16 · ORIGIN 32 · ADOPTED 64
 *   objects   n, then each: kind (0 file, 1 tree) + 2 if executable · 32 bytes digest · bytes · object_bytes (of a tree only)
 *   log       (LOG) 32 bytes digest · bytes
 *   names     of each output: name · path (empty: the same as the name)
 *   values    n, then each: name · text
 *   times     began_at (signed) · duration (signed) · cpu_us · max_rss_kib
 *   texts     metrics, run, source, measure, origin, adopted: those flagged
 * The objects stand first: result_each_object() reads no further. */
#include "cache/result.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

#include <string.h>

enum { RESULT_VERSION = 1 };
enum {
    HAS_METRICS = 1,
    HAS_LOG = 2,
    HAS_RUN = 4,
    HAS_SOURCE = 8,
    HAS_MEASURE = 16,
    HAS_ORIGIN = 32,
    HAS_ADOPTED = 64,
    HAS_ALL = 127,
};
enum { KIND_TREE = 1, KIND_EXECUTABLE = 2, KIND_ALL = 3 };

/* --- encoding --- */

static void put_u64(struct str *out, uint64_t v)
{
    char buf[10];
    size_t n = 0;

    do {
        buf[n++] = (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v != 0);
    sb_add(out, buf, n);
}

static void put_i64(struct str *out, int64_t v)
{
    put_u64(out, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

static void put_text(struct str *out, const char *text)
{
    size_t len = strlen(text);

    put_u64(out, len);
    sb_add(out, text, len + 1);
}

static void put_objects(struct str *out, const struct result *r)
{
    put_u64(out, r->n_outputs);
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        const struct result_output *o = &r->outputs[i];
        sb_putc(out, (char)((o->kind == OBJECT_TREE ? KIND_TREE : 0) |
                            (o->executable ? KIND_EXECUTABLE : 0)));
        sb_add(out, o->digest.bytes, DIGEST_SIZE);
        put_u64(out, o->bytes);
        if (o->kind == OBJECT_TREE) {
            put_u64(out, o->object_bytes);
        }
    }
    if (r->has_log) {
        sb_add(out, r->log.bytes, DIGEST_SIZE);
        put_u64(out, r->log_bytes);
    }
}

void result_encode(const struct result *r, struct str *out)
{
    sb_reserve(out, 160);
    sb_putc(out, RESULT_VERSION);
    sb_putc(out, (char)((r->metrics ? HAS_METRICS : 0) | (r->has_log ? HAS_LOG : 0) |
                        (r->run ? HAS_RUN : 0) | (r->source ? HAS_SOURCE : 0) |
                        (r->measure ? HAS_MEASURE : 0) | (r->origin ? HAS_ORIGIN : 0) |
                        (r->adopted ? HAS_ADOPTED : 0)));
    put_objects(out, r);
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        const struct result_output *o = &r->outputs[i];
        put_text(out, o->name);
        put_text(out, o->path && strcmp(o->path, o->name) != 0 ? o->path : "");
    }
    put_u64(out, r->n_values);
    for (uint32_t i = 0; i < r->n_values; i++) {
        put_text(out, r->values[i].name);
        put_text(out, r->values[i].text);
    }
    put_i64(out, r->began_at_ms);
    put_i64(out, r->duration_ms);
    put_u64(out, r->cpu_us);
    put_u64(out, r->max_rss_kib);
    const char *const texts[] = {r->metrics, r->run, r->source, r->measure, r->origin, r->adopted};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i]) {
            put_text(out, texts[i]);
        }
    }
}

/* --- decoding --- */

/* What is left to read. `bad` sticks: the reads after it give zeros. */
struct reader {
    const unsigned char *at, *end;
    bool bad;
};

static uint64_t get_u64(struct reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70 && r->at < r->end; shift += 7) {
        unsigned char byte = *r->at++;
        if (shift == 63 && byte > 1) {
            break;
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return v;
        }
    }
    r->bad = true;
    return 0;
}

static int64_t get_i64(struct reader *r)
{
    uint64_t v = get_u64(r);

    return (int64_t)((v >> 1) ^ (v & 1 ? UINT64_MAX : 0));
}

static unsigned get_byte(struct reader *r)
{
    if (r->at >= r->end) {
        r->bad = true;
        return 0;
    }
    return *r->at++;
}

static void get_digest(struct reader *r, struct digest *ret)
{
    if ((size_t)(r->end - r->at) < DIGEST_SIZE) {
        r->bad = true;
        memset(ret, 0, sizeof(*ret));
        return;
    }
    memcpy(ret->bytes, r->at, DIGEST_SIZE);
    r->at += DIGEST_SIZE;
}

/* Borrowed from what is read; "" when bad. */
static const char *get_text(struct reader *r)
{
    uint64_t len = get_u64(r);

    if (r->bad || len >= (uint64_t)(r->end - r->at) || memchr(r->at, 0, len + 1) != r->at + len) {
        r->bad = true;
        return "";
    }
    const char *text = (const char *)r->at;
    r->at += len + 1;
    return text;
}

/* A count of things that take at least `least` bytes each. */
static uint32_t get_count(struct reader *r, size_t least)
{
    uint64_t n = get_u64(r);

    if (r->bad || n > (uint64_t)(r->end - r->at) / least || n > UINT32_MAX) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

static unsigned get_head(struct reader *r)
{
    unsigned version = get_byte(r);
    unsigned flags = get_byte(r);

    r->bad = r->bad || version != RESULT_VERSION || (flags & ~(unsigned)HAS_ALL) != 0;
    return flags;
}

static void get_object(struct reader *r, struct result_output *o)
{
    unsigned kind = get_byte(r);

    r->bad = r->bad || (kind & ~(unsigned)KIND_ALL) != 0;
    o->kind = kind & KIND_TREE ? OBJECT_TREE : OBJECT_FILE;
    o->executable = (kind & KIND_EXECUTABLE) != 0;
    get_digest(r, &o->digest);
    o->bytes = get_u64(r);
    o->object_bytes = o->kind == OBJECT_TREE ? get_u64(r) : o->bytes;
}

static int damaged(struct err *err)
{
    return err_set(err, ERR_CORRUPT, 0, "a result in the store is damaged");
}

static void get_names(struct reader *r, struct result *res)
{
    for (uint32_t i = 0; i < res->n_outputs && !r->bad; i++) {
        res->outputs[i].name = get_text(r);
        const char *path = get_text(r);
        res->outputs[i].path = *path ? path : res->outputs[i].name;
    }
}

static void get_values(struct reader *r, struct arena *a, struct result *res)
{
    res->n_values = get_count(r, 4);
    if (res->n_values > 0) {
        res->values = arena_calloc(a, res->n_values, sizeof(*res->values));
    }
    for (uint32_t i = 0; i < res->n_values && !r->bad; i++) {
        res->values[i].name = get_text(r);
        res->values[i].text = get_text(r);
    }
}

int result_decode(const void *data, size_t len, struct arena *a, struct result *ret,
                  struct err *err)
{
    if (len < 2) {
        return damaged(err);
    }
    const unsigned char *copy = arena_memdup(a, data, len);
    struct reader r = {copy, copy + len, false};
    struct result res = {0};
    unsigned flags = get_head(&r);

    res.n_outputs = get_count(&r, 2 + DIGEST_SIZE);
    if (res.n_outputs > 0) {
        res.outputs = arena_calloc(a, res.n_outputs, sizeof(*res.outputs));
    }
    for (uint32_t i = 0; i < res.n_outputs && !r.bad; i++) {
        get_object(&r, &res.outputs[i]);
    }
    res.has_log = (flags & HAS_LOG) != 0;
    if (res.has_log) {
        get_digest(&r, &res.log);
        res.log_bytes = get_u64(&r);
    }
    get_names(&r, &res);
    get_values(&r, a, &res);
    res.began_at_ms = get_i64(&r);
    res.duration_ms = get_i64(&r);
    res.cpu_us = get_u64(&r);
    res.max_rss_kib = get_u64(&r);
    res.metrics = flags & HAS_METRICS ? get_text(&r) : NULL;
    res.run = flags & HAS_RUN ? get_text(&r) : NULL;
    res.source = flags & HAS_SOURCE ? get_text(&r) : NULL;
    res.measure = flags & HAS_MEASURE ? get_text(&r) : NULL;
    res.origin = flags & HAS_ORIGIN ? get_text(&r) : NULL;
    res.adopted = flags & HAS_ADOPTED ? get_text(&r) : NULL;
    if (r.bad || r.at != r.end) {
        return damaged(err);
    }
    *ret = res;
    return 0;
}

int result_each_object(const void *data, size_t len,
                       int (*fn)(const struct digest *d, uint64_t object_bytes,
                                 enum object_kind kind, void *arg),
                       void *arg, struct err *err)
{
    const unsigned char *bytes = data;
    struct reader r = {bytes, bytes + len, false};
    unsigned flags = get_head(&r);
    uint32_t n = get_count(&r, 2 + DIGEST_SIZE);

    for (uint32_t i = 0; i < n && !r.bad; i++) {
        struct result_output o;
        get_object(&r, &o);
        int rc = r.bad ? 0 : fn(&o.digest, o.object_bytes, o.kind, arg);
        if (rc != 0) {
            return rc;
        }
    }
    if (!r.bad && flags & HAS_LOG) {
        struct digest log;
        get_digest(&r, &log);
        uint64_t log_bytes = get_u64(&r);
        int rc = r.bad ? 0 : fn(&log, log_bytes, OBJECT_FILE, arg);
        if (rc != 0) {
            return rc;
        }
    }
    return r.bad ? damaged(err) : 0;
}

bool result_is_adopted(const void *data, size_t len)
{
    const unsigned char *bytes = data;

    return len >= 2 && bytes[0] == RESULT_VERSION && (bytes[1] & HAS_ADOPTED) != 0;
}

/* --- for people and programs --- */

static void json_outputs(const struct result *r, struct jsonw *w)
{
    jw_key(w, "outputs");
    jw_object(w);
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        const struct result_output *o = &r->outputs[i];
        jw_key(w, o->name);
        jw_object(w);
        jw_kv_text(w, "path", o->path ? o->path : o->name);
        jw_kv_text(w, "kind", o->kind == OBJECT_TREE ? "folder" : "file");
        jw_key(w, "digest");
        jw_digest(w, &o->digest);
        jw_kv_i64(w, "bytes", (int64_t)o->bytes);
        jw_kv_bool(w, "executable", o->executable);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void json_raw(struct jsonw *w, const char *key, const char *json)
{
    jw_key(w, key);
    if (json) {
        jw_raw(w, json, strlen(json));
    } else {
        jw_null(w);
    }
}

void result_json(const struct result *r, struct jsonw *w)
{
    json_outputs(r, w);
    jw_key(w, "values");
    jw_object(w);
    for (uint32_t i = 0; i < r->n_values; i++) {
        jw_kv_text(w, r->values[i].name, r->values[i].text);
    }
    jw_end_object(w);
    json_raw(w, "metrics", r->metrics);
    jw_key(w, "log");
    if (r->has_log) {
        jw_object(w);
        jw_key(w, "digest");
        jw_digest(w, &r->log);
        jw_kv_i64(w, "bytes", (int64_t)r->log_bytes);
        jw_end_object(w);
    } else {
        jw_null(w);
    }
    jw_kv_time(w, "began_at", r->began_at_ms);
    jw_kv_i64(w, "duration_ms", r->duration_ms);
    jw_kv_i64(w, "cpu_us", (int64_t)r->cpu_us);
    jw_kv_i64(w, "max_rss_kib", (int64_t)r->max_rss_kib);
    jw_kv_text(w, "run", r->run);
    json_raw(w, "source", r->source);
    jw_kv_text(w, "measure", r->measure);
    if (r->origin) {
        jw_kv_text(w, "origin", r->origin);
    }
    if (r->adopted) {
        json_raw(w, "adopted", r->adopted);
    }
}
