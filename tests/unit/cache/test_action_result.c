/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/mem.h"
#include "cache/action_result.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cache_action_result, .timeout = 60);

struct seen {
    size_t count;
    struct action_file files[8];
};

static int see(const struct action_file *f, void *arg, struct err *err)
{
    struct seen *s = arg;
    (void)err;
    if (s->count < ARRAY_LEN(s->files)) {
        s->files[s->count] = *f;
    }
    s->count++;
    return 0;
}

static int read_all(const void *data, size_t len, struct seen *s, struct slice *worker)
{
    memset(s, 0, sizeof(*s));
    return action_result_read(data, len, see, s, worker, NULL);
}

static void write_two(struct str *out)
{
    struct action_file a = {.path = slice_str("out/a"), .bytes = 300};
    struct action_file b = {.path = slice_of("wf/\xff\nü", 7),
                            .executable = true,
                            .inlined = true,
                            .contents = slice_of("\0xyz", 4)};
    digest_of("a", 1, &a.digest);
    digest_of("b", 1, &b.digest);
    action_result_file(out, &a);
    action_result_file(out, &b);
    action_result_end(out, "wf/me");
}

Test(cache_action_result, round_trip)
{
    CLEANUP(sb_done) struct str out = {0};
    struct seen s;
    struct slice worker;
    struct digest a;
    write_two(&out);
    cr_assert_eq(read_all(out.data, out.len, &s, &worker), 0);
    cr_assert_eq(s.count, 2);
    cr_assert(slice_eq(worker, slice_str("wf/me")));
    digest_of("a", 1, &a);
    cr_assert(digest_eq(&s.files[0].digest, &a));
    cr_assert(slice_eq(s.files[0].path, slice_str("out/a")));
    cr_assert_eq(s.files[0].bytes, 300);
    cr_assert_not(s.files[0].executable);
    cr_assert_not(s.files[0].inlined);
    cr_assert(slice_eq(s.files[1].path, slice_str("wf/%FF%0Aü"))); /* UTF-8 and no controls */
    cr_assert_eq(s.files[1].bytes, 0);
    cr_assert(s.files[1].executable);
    cr_assert(s.files[1].inlined);
    cr_assert(slice_eq(s.files[1].contents, slice_of("\0xyz", 4)));
}

/* As protoc encodes it: output_files {path: "a" digest {hash: "00…" size_bytes: 300} is_executable: true} exit_code: 0 execution_metadata {worker: "w"} */
Test(cache_action_result, bytes)
{
    CLEANUP(sb_done) struct str out = {0}, want = {0};
    struct action_file f = {.path = slice_str("a"), .bytes = 300, .executable = true};
    action_result_file(&out, &f);
    action_result_end(&out, "w");
    sb_add(&want, "\x12\x4c\x0a\x01\x61\x12\x45\x0a\x40", 9);
    for (int i = 0; i < 64; i++) {
        sb_putc(&want, '0');
    }
    sb_add(&want, "\x10\xac\x02\x20\x01\x4a\x03\x0a\x01w", 10);
    cr_assert_eq(out.len, want.len);
    cr_assert_eq(memcmp(out.data, want.data, want.len), 0);
}

Test(cache_action_result, other_fields_are_passed_over)
{
    CLEANUP(sb_done) struct str out = {0};
    struct seen s;
    struct slice worker;
    /* stdout_raw, an int64, a fixed64, a fixed32, a field number of four bytes */
    sb_add(&out, "\x2a\x02hi\x50\x07\x59\x01\x02\x03\x04\x05\x06\x07\x08\x65\x01\x02\x03\x04", 20);
    sb_add(&out, "\xf8\xff\xff\x0f\x01", 5);
    write_two(&out);
    cr_assert_eq(read_all(out.data, out.len, &s, &worker), 0);
    cr_assert_eq(s.count, 2);
}

Test(cache_action_result, refused)
{
    const struct slice bad[] = {
        {"", 0},
        {"<html>", 6},
        {"\x20\x01", 2},                                      /* exit_code 1 */
        {"\x12\x00", 2},                                      /* a file without anything */
        {"\x12\x03\x0a\x01\x61", 5},                          /* without a digest */
        {"\x12\xff\xff\xff\xff\x0f", 6},                      /* longer than all of it */
        {"\x00\x01", 2},                                      /* field 0 */
        {"\x13", 1},                                          /* a group */
        {"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11}, /* more than 64 bits */
        {"\x20", 1},
    };
    struct seen s;
    struct slice worker;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(read_all(bad[i].data, bad[i].len, &s, &worker), -ERR_INVALID, "%zu", i);
    }
}

/* Cut off anywhere and with any byte altered it is refused or read, within its bounds (the sanitizers look). */
Test(cache_action_result, damaged)
{
    CLEANUP(sb_done) struct str out = {0};
    struct seen s;
    struct slice worker;
    write_two(&out);
    for (size_t len = 0; len < out.len; len++) {
        CLEANUP(cleanup_free) char *copy = xmalloc(len ? len : 1);
        memcpy(copy, out.data, len);
        (void)read_all(copy, len, &s, &worker);
        cr_assert_leq(s.count, 2);
    }
    for (size_t at = 0; at < out.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            CLEANUP(cleanup_free) char *copy = xmalloc(out.len);
            memcpy(copy, out.data, out.len);
            copy[at] = (char)(copy[at] ^ (1 << bit));
            (void)read_all(copy, out.len, &s, &worker);
        }
    }
}
