/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets never reach a log, however the bytes come. */
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/objects.h"
#include "room.h"
#include "steps/mask.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Masks `text` in pieces of `step` bytes. */
static char *masked(const char *const *secrets, size_t count, const char *text, size_t step)
{
    struct masker *m = masker_new(secrets, count);
    struct str out = {0};
    size_t len = strlen(text);

    for (size_t k = 0; k < len; k += step) {
        masker_add(m, text + k, step < len - k ? step : len - k, &out);
    }
    masker_end(m, &out);
    masker_free(m);
    return sb_take(&out);
}

static void expect(const char *const *secrets, size_t count, const char *text, const char *want)
{
    for (size_t step = 1; step < strlen(text) + 2; step++) {
        char *got = masked(secrets, count, text, step);
        cr_assert_str_eq(got, want, "in pieces of %zu", step);
        free(got);
    }
}

Test(steps_mask, across_all_borders)
{
    const char *const s[] = {"s3cr3t", "", "s3cr3t-longer"};
    expect(s, 3, "a s3cr3t b", "a *** b");
    expect(s, 3, "s3cr3t-longer", "***");
    expect(s, 3, "s3cr3t-long", "***-long");
    expect(s, 3, "s3cr3ts3cr3t", "******");
    expect(s, 3, "s3cr3 s3cr", "s3cr3 s3cr");
    expect(s, 3, "ss3cr3t", "s***");
}

Test(steps_mask, overlapping_beginnings)
{
    const char *const s[] = {"aab"};
    expect(s, 1, "aaab aab aa", "a*** *** aa");
}

Test(steps_mask, a_secret_from_a_file_and_its_lines)
{
    const char *const s[] = {"first line\nsecond line\n"};
    expect(s, 1, "x second line y", "x *** y");
    expect(s, 1, "first line\nsecond line.", "***.");
}

Test(steps_mask, in_the_log_of_a_step)
{
    struct room r;
    room_open(&r, "secrets: {token: {env: TOKEN}}\n"
                  "steps:\n"
                  "  s:\n"
                  "    secrets: {MY: token}\n"
                  "    run: echo \"it is $MY\"; test ${#MY} = 11; printf %s \"${MY}\" >&2; echo o "
                  "> $WF_OUT/o\n"
                  "    outputs: {o: o}\n");
    r.secrets[0] = "correctHors";
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_SUCCEEDED, "%s", r.error);
    struct str log = {0};
    cr_assert(r.result->has_log);
    cr_assert_eq(objects_read(r.store, &r.result->log, 1000, &log, &r.err), 0, "%s", r.err.msg);
    cr_assert_str_eq(sb_text(&log), "it is ***\n***");
    cr_assert_null(strstr(r.q.action, "correctHors"));
    cr_assert_null(strstr(r.q.work_json, "correctHors"));
    sb_done(&log);
    room_close(&r);
}

Test(steps_mask, a_missing_secret_is_said)
{
    struct room r;
    room_open(&r, "secrets: {token: {env: TOKEN}}\n"
                  "steps:\n"
                  "  s: {secrets: [token], run: 'true'}\n");
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_REFUSED);
    cr_assert(strstr(r.error, "the secret 'token' is not there"), "%s", r.error);
    room_close(&r);
}
