/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/diag.h"

#include <criterion/criterion.h>
#include <string.h>

static void render_is(struct diags *d, const char *expected)
{
    CLEANUP(sb_done) struct str out = {0};
    diags_render(d, false, &out);
    cr_expect_str_eq(sb_text(&out), expected);
}

static struct diags new_diags(const char *text)
{
    struct diags d;
    diags_init(&d, "f.yaml");
    if (text != NULL)
        diags_set_text(&d, text, strlen(text));
    return d;
}

Test(workflows_diag, nothing_to_say)
{
    struct diags d = new_diags("a");
    render_is(&d, "");
    diags_done(&d);
}

Test(workflows_diag, sorted_with_carets_and_a_count)
{
    struct diags d = new_diags("one: 1\n  töw: 2\n");
    diag_warn(&d, (struct span){.line = 2, .col = 3, .len = 3}, "c", "the %s", "second");
    diag_error(&d, (struct span){.line = 1, .col = 6, .len = 0}, "c", "first");
    diag_did_you_mean(&d, "2");
    diag_error(&d, (struct span){0}, "c", "nowhere");
    render_is(&d, "f.yaml: error: nowhere\n"
                  "f.yaml:1:6: error: first (did you mean '2'?)\n"
                  "  one: 1\n"
                  "       ^\n"
                  "f.yaml:2:3: warning: the second\n"
                  "    töw: 2\n"
                  "    ^~~\n"
                  "f.yaml: 2 errors, 1 warning\n");
    diags_done(&d);
}

Test(workflows_diag, the_same_is_said_once_and_keeps_its_hint)
{
    struct diags d = new_diags(NULL);
    diag_error(&d, (struct span){.line = 1, .col = 1, .len = 0}, "c", "x");
    diag_error(&d, (struct span){.line = 2, .col = 1, .len = 0}, "c", "y");
    diag_error(&d, (struct span){.line = 1, .col = 1, .len = 0}, "c", "x");
    diag_hint(&d, "lost");
    cr_expect_eq(d.errors, 2);
    cr_expect_eq(d.len, 2);
    cr_expect_null(d.items[1].hint);
    diag_error(&d, (struct span){.line = 3, .col = 1, .len = 0}, "c", "z");
    diag_hint(&d, "kept");
    diag_hint(&d, "too late");
    cr_expect_str_eq(d.items[2].hint, "kept");
    diag_did_you_mean(&d, NULL);
    diags_done(&d);
}

Test(workflows_diag, past_fifty_only_counted)
{
    struct diags d = new_diags(NULL);
    for (uint32_t i = 1; i <= 60; i++) {
        diag_error(&d, (struct span){.line = i, .col = 1, .len = 0}, "c", "error %u", i);
        diag_hint(&d, "hint %u", i);
    }
    cr_expect_eq(d.errors, 60);
    cr_expect_eq(d.len, 50);
    cr_expect_str_eq(d.items[49].hint, "hint 50");
    CLEANUP(sb_done) struct str out = {0};
    diags_render(&d, false, &out);
    cr_expect(text_ends(sb_text(&out), "f.yaml: 60 errors (10 not shown)\n"));
    diags_done(&d);
}

Test(workflows_diag, long_lines_are_cut_around_the_caret)
{
    CLEANUP(sb_done) struct str text = {0};
    for (int i = 0; i < 300; i++)
        sb_puts(&text, "é");
    struct diags d = new_diags(sb_text(&text));
    diag_error(&d, (struct span){.line = 1, .col = 200, .len = 500}, "c", "here");
    CLEANUP(sb_done) struct str out = {0};
    diags_render(&d, false, &out);
    char *line = strchr(sb_text(&out), '\n');
    cr_assert_not_null(line);
    char *caret = strchr(line + 1, '\n');
    cr_assert_not_null(caret);
    cr_expect_eq(utf8_count(line + 1, (size_t)(caret - line - 1)), 2 + 1 + 120 + 1);
    cr_expect_eq(strcspn(caret + 1, "^"), 2 + 1 + 60);
    diags_done(&d);
}

Test(workflows_diag, control_characters_do_not_reach_a_terminal)
{
    struct diags d = new_diags("\tx: \x1b[31m\n");
    diag_error(&d, (struct span){.line = 1, .col = 2, .len = 1}, "c", "bad '\x1b'");
    render_is(&d, "f.yaml:1:2: error: bad '?'\n   x: ?[31m\n   ^\nf.yaml: 1 error\n");
    diags_done(&d);
}

Test(workflows_diag, crlf_and_a_bom)
{
    struct diags d = new_diags("\xef\xbb\xbf"
                               "a: 1\r\nb: 2\r\n");
    diag_error(&d, (struct span){.line = 1, .col = 1, .len = 1}, "c", "x");
    diag_error(&d, (struct span){.line = 2, .col = 4, .len = 1}, "c", "y");
    render_is(&d, "f.yaml:1:1: error: x\n  a: 1\n  ^\nf.yaml:2:4: error: y\n  b: 2\n     "
                  "^\nf.yaml: 2 errors\n");
    diags_done(&d);
}

Test(workflows_diag, colour_frames_the_word_and_the_caret)
{
    struct diags d = new_diags("a\n");
    diag_error(&d, (struct span){.line = 1, .col = 1, .len = 1}, "c", "x");
    CLEANUP(sb_done) struct str out = {0};
    diags_render(&d, true, &out);
    cr_expect_not_null(strstr(sb_text(&out), "\x1b[1;31merror:\x1b[0m x"));
    diags_done(&d);
}

Test(workflows_diag, json_says_all_of_it)
{
    struct diags d = new_diags(NULL);
    diag_warn(&d, (struct span){.line = 3, .col = 4, .len = 5}, "unused-param",
              "param 'x' is not used");
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;
    jw_init(&w, &out, false);
    diags_json(&d, &w);
    cr_expect_str_eq(
        sb_text(&out),
        "[{\"file\":\"f.yaml\",\"line\":3,\"column\":4,\"length\":5,\"severity\":\"warning\","
        "\"code\":\"unused-param\",\"message\":\"param 'x' is not used\",\"hint\":null}]");
    diags_done(&d);
}
