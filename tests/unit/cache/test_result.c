/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/result.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct arena *arena;

static void setup(void)
{
    arena = arena_new();
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(cache_result, .init = setup, .fini = teardown);

static struct result_output outputs[] = {
    {"model", "model.bin", OBJECT_FILE, true, {{1, 2, 3}}, 1234567890123, 1234567890123},
    {"data", "data", OBJECT_TREE, false, {{9, 8, 7}}, 5000, 333},
};
static struct result_value values[] = {{"n", "12"}, {"text", "two\nlines \xc3\xa4"}};

static struct result full(void)
{
    return (struct result){
        .n_outputs = 2,
        .outputs = outputs,
        .n_values = 2,
        .values = values,
        .metrics = "{\"loss\":0.5}",
        .has_log = true,
        .log = {{4}},
        .log_bytes = 77,
        .began_at_ms = 1700000000123,
        .duration_ms = 0,
        .cpu_us = UINT64_MAX,
        .max_rss_kib = 1,
        .run = "01J00000000000000000000000",
        .source = "{\"url\":\"https://example.com\"}",
        .measure = "10000",
    };
}

static void same_output(const struct result_output *a, const struct result_output *b)
{
    cr_expect_str_eq(a->name, b->name);
    cr_expect_str_eq(a->path, b->path);
    cr_expect_eq(a->kind, b->kind);
    cr_expect_eq(a->executable, b->executable);
    cr_expect(digest_eq(&a->digest, &b->digest));
    cr_expect_eq(a->bytes, b->bytes);
    cr_expect_eq(a->object_bytes, b->object_bytes);
}

Test(cache_result, what_is_encoded_is_decoded)
{
    CLEANUP(sb_done) struct str data = {0};
    struct result r = full(), d;
    struct err err = {0};

    result_encode(&r, &data);
    cr_assert_eq(result_decode(data.data, data.len, arena, &d, &err), 0, "%s", err.msg);
    sb_clear(&data);
    memset(data.data, 'x', data.cap); /* nothing points into what was given */
    cr_assert_eq(d.n_outputs, 2);
    same_output(&d.outputs[0], &outputs[0]);
    same_output(&d.outputs[1], &outputs[1]);
    cr_assert_eq(d.n_values, 2);
    cr_expect_str_eq(d.values[1].name, "text");
    cr_expect_str_eq(d.values[1].text, values[1].text);
    cr_expect_str_eq(d.metrics, r.metrics);
    cr_expect(d.has_log && digest_eq(&d.log, &r.log) && d.log_bytes == 77);
    cr_expect_eq(d.began_at_ms, r.began_at_ms);
    cr_expect_eq(d.duration_ms, 0);
    cr_expect_eq(d.cpu_us, UINT64_MAX);
    cr_expect_eq(d.max_rss_kib, 1);
    cr_expect_str_eq(d.run, r.run);
    cr_expect_str_eq(d.source, r.source);
    cr_expect_str_eq(d.measure, r.measure);
}

Test(cache_result, an_empty_one_too)
{
    CLEANUP(sb_done) struct str data = {0};
    struct result r = {.began_at_ms = -5}, d;

    result_encode(&r, &data);
    cr_assert_eq(result_decode(data.data, data.len, arena, &d, NULL), 0);
    cr_expect_eq(d.began_at_ms, -5);
    cr_expect_eq(d.n_outputs, 0);
    cr_expect_null(d.metrics);
    cr_expect_null(d.run);
    cr_expect_not(d.has_log);
}

static int count_object(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    uint64_t *sum = arg;

    *sum += bytes * 10 + (kind == OBJECT_TREE) + d->bytes[0] * 100000000000000;
    return 0;
}

static int stop_at_once(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    (void)d;
    (void)bytes;
    (void)kind;
    ++*(int *)arg;
    return 7;
}

Test(cache_result, each_object_is_named_without_decoding)
{
    CLEANUP(sb_done) struct str data = {0};
    struct result r = full();
    uint64_t sum = 0;
    int calls = 0;

    result_encode(&r, &data);
    cr_assert_eq(result_each_object(data.data, data.len, count_object, &sum, NULL), 0);
    cr_expect_eq(sum, (1234567890123 + 333 + 77) * 10 + 1 + (1 + 9 + 4) * 100000000000000);
    cr_expect_eq(result_each_object(data.data, data.len, stop_at_once, &calls, NULL), 7);
    cr_expect_eq(calls, 1);
}

Test(cache_result, every_truncation_is_refused)
{
    CLEANUP(sb_done) struct str data = {0};
    struct result r = full(), d;
    uint64_t sum;

    result_encode(&r, &data);
    for (size_t len = 0; len < data.len; len++) {
        char *copy = xmalloc(len + 1); /* exact, so that a sanitizer sees a read behind it */
        char *exact = realloc(copy, len ? len : 1);
        memcpy(exact, data.data, len);
        struct err err = {0};
        cr_assert_eq(result_decode(exact, len, arena, &d, &err), -(int)ERR_CORRUPT, "at %zu", len);
        result_each_object(exact, len, count_object, &sum, NULL);
        free(exact);
    }
    sb_putc(&data, 0);
    cr_expect_eq(result_decode(data.data, data.len, arena, &d, NULL), -(int)ERR_CORRUPT);
}

static uint64_t random_state = 88172645463325252U;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* What came out must be readable to its last byte. */
static size_t read_all(const struct result *d)
{
    size_t sum = d->n_outputs + d->n_values;

    for (uint32_t i = 0; i < d->n_outputs; i++) {
        sum += strlen(d->outputs[i].name) + strlen(d->outputs[i].path);
    }
    for (uint32_t i = 0; i < d->n_values; i++) {
        sum += strlen(d->values[i].name) + strlen(d->values[i].text);
    }
    return sum + (d->metrics ? strlen(d->metrics) : 0) + (d->run ? strlen(d->run) : 0) +
           (d->source ? strlen(d->source) : 0) + (d->measure ? strlen(d->measure) : 0);
}

Test(cache_result, random_bytes_do_no_harm)
{
    CLEANUP(sb_done) struct str good = {0};
    struct result r = full(), d;
    size_t sum = 0, decoded = 0;

    result_encode(&r, &good);
    for (int i = 0; i < 200000; i++) {
        size_t len = i % 2 ? good.len : next_random() % 120;
        unsigned char *data = xmalloc(len ? len : 1);
        if (i % 2) { /* a good one with some bytes changed */
            memcpy(data, good.data, len);
            for (uint64_t k = next_random() % 4; k < 4; k++) {
                data[next_random() % len] = (unsigned char)next_random();
            }
        } else {
            for (size_t k = 0; k < len; k++) {
                data[k] = (unsigned char)(k == 0 ? 1 : next_random() >> (next_random() % 8));
            }
        }
        uint64_t unused = 0;
        struct arena *a = i % 1000 == 0 ? (arena_free(arena), arena = arena_new()) : arena;
        if (result_decode(data, len, a, &d, NULL) == 0) {
            sum += read_all(&d);
            decoded++;
        }
        result_each_object(data, len, count_object, &unused, NULL);
        free(data);
    }
    cr_expect_gt(decoded, 100, "the changed ones are not all refused, or the test is blind");
    cr_expect_gt(sum, 0);
}

Test(cache_result, json_is_json)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_json) json_t *v = NULL;
    struct result r = full();
    struct jsonw w;
    struct err err = {0};

    for (int i = 0; i < 2; i++) {
        sb_clear(&text);
        jw_init(&w, &text, false);
        jw_object(&w);
        result_json(&r, &w);
        jw_end_object(&w);
        cr_assert_eq(json_read(text.data, text.len, 1 << 20, &v, &err), 0, "%s", err.msg);
        if (i == 0) {
            json_t *out = json_object_get(json_object_get(v, "outputs"), "model");
            cr_expect_str_eq(json_string_value(json_object_get(out, "path")), "model.bin");
            cr_expect_str_eq(json_string_value(json_object_get(json_object_get(v, "values"), "n")),
                             "12");
        } else {
            cr_expect(json_is_null(json_object_get(v, "log")));
        }
        json_decref(take_ptr(v));
        r = (struct result){0};
    }
}
