/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway is sent. The first byte chooses: a model server's HTTP answer, in pieces of different sizes with the same result; JSON, which must be what jansson takes for JSON; or a request, whose parts must be requests that
 * hold the same, and answers made into one, which must be an answer. */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "serve/gateway_answer.h"
#include "serve/gateway_combine.h"
#include "serve/gateway_form.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer_in_pieces(const char *text, size_t len)
{
    enum { MAX = 4096 };
    struct answer whole = {.max_body = MAX}, pieces = {.max_body = MAX};
    size_t taken = answer_feed(&whole, text, len), at = 0;

    WF_ASSERT(taken <= len && (taken == len || whole.state >= ANSWER_DONE));
    for (size_t n = 1; at < len && pieces.state < ANSWER_DONE; n = n * 5 % 13 + 1) {
        size_t want = len - at < n ? len - at : n;
        at += answer_feed(&pieces, text + at, want);
    }
    WF_ASSERT(whole.state == pieces.state && whole.body.len <= MAX);
    WF_ASSERT(whole.state == ANSWER_WRONG || at == taken);
    WF_ASSERT(whole.state != ANSWER_DONE ||
              (whole.status == pieces.status && whole.keep == pieces.keep &&
               whole.body.len == pieces.body.len &&
               memcmp(sb_text(&whole.body), sb_text(&pieces.body), whole.body.len) == 0));
    WF_ASSERT((whole.state == ANSWER_WRONG) == (whole.wrong != NULL));
    answer_end(&whole);
    WF_ASSERT(whole.state >= ANSWER_DONE && !whole.keep);
    answer_done(&whole);
    answer_done(&pieces);
}

/* jansson knows bounds of numbers, takes a NUL for the end, and what is nested deeper. */
static void as_jansson_has_it(const char *text, size_t len)
{
    struct scan s = scan_of(slice_of(text, len));
    json_error_t error;
    bool ours = scan_value(&s, NULL) && scan_finish(&s);
    json_t *theirs = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    enum json_error_code code = theirs ? json_error_unknown : json_error_code(&error);

    WF_ASSERT(ours || !theirs || memchr(text, '\0', len) || strstr(s.wrong, "nested deeper"));
    WF_ASSERT(!ours || theirs || code == json_error_numeric_overflow ||
              code == json_error_null_byte_in_key);
    json_decref(theirs);
}

static void same_kind(const struct form *a, const struct form *b)
{
    WF_ASSERT(a->tensors.len == b->tensors.len);
    for (size_t i = 0; i < a->tensors.len; i++) {
        WF_ASSERT(a->tensors.items[i].n_dims == b->tensors.items[i].n_dims);
        WF_ASSERT(a->tensors.items[i].nested == b->tensors.items[i].nested ||
                  tensor_elements(&b->tensors.items[i]) == 0);
    }
}

static void cut_request(const struct form *f, uint64_t rows)
{
    struct form_parts p;
    uint64_t seen = 0;

    if (form_rows(f) <= rows || form_cut(f, rows, &p, NULL) != 0) {
        return;
    }
    for (uint32_t i = 0; i < p.count; i++) {
        CLEANUP(sb_done) struct str text = {0};
        struct form part;
        struct err err = {0};
        form_part(&p, i, &text);
        int rc = form_read(slice_of(text.data, text.len), f->v1, FORM_REQUEST, "part", &part, &err);
        WF_ASSERT(rc == 0);
        same_kind(f, &part);
        WF_ASSERT(form_rows(&part) <= rows && form_rows(&part) > 0);
        seen += form_rows(&part);
        form_done(&part);
    }
    WF_ASSERT(seen == form_rows(f));
    form_parts_done(&p);
}

static void check_output(const struct combine_input *c)
{
    CLEANUP(sb_done) struct str out = {0};
    struct err err = {0};
    struct form f;
    uint32_t used = 0;

    if (combine_answers(c, &out, &used, &err) != 0) {
        WF_ASSERT(err.msg[0]);
        return;
    }
    WF_ASSERT(used >= 1 && used <= c->n_members);
    /* A mean of numbers that have none (1e999) is null, and no tensor any more. */
    int rc = form_read(slice_of(out.data, out.len), c->v1, FORM_ANSWER, "answer", &f, &err);
    WF_ASSERT(rc == 0 || strstr(err.msg, "other things than") || strstr(err.msg, "nested deeper"));
    if (rc == 0) {
        form_done(&f);
    }
}

/* Documents between NULs are the members' answers. */
static void combine(bool v1, const char *text, size_t len)
{
    static const char *const slugs[] = {"a", "b", "c"};
    struct form forms[3], joined;
    const struct form *answers[3];
    CLEANUP(sb_done) struct str store = {0};
    uint32_t n = 0;

    for (size_t at = 0; at <= len && n < 3;) {
        const char *nul = memchr(text + at, '\0', len - at);
        size_t size = nul ? (size_t)(nul - text) - at : len - at;
        if (form_read(slice_of(text + at, size), v1, FORM_ANSWER, "a", &forms[n], NULL) == 0) {
            answers[n] = &forms[n];
            n++;
        }
        at += size + 1;
    }
    for (int m = 0; m < METHOD_COMMAND && n > 0; m++) {
        struct combine_input c = {.model = "m",
                                  .method = (enum method)m,
                                  .v1 = v1,
                                  .n_members = n,
                                  .slugs = slugs,
                                  .answers = answers};
        check_output(&c);
    }
    if (n > 1 && form_join(forms, n, "a", &store, &joined, NULL) == 0) {
        const struct form *one[] = {&joined};
        struct combine_input c = {.model = "m",
                                  .method = METHOD_BEST,
                                  .v1 = v1,
                                  .n_members = 1,
                                  .slugs = slugs,
                                  .answers = one};
        check_output(&c);
        form_done(&joined);
    }
    for (uint32_t i = 0; i < n; i++) {
        form_done(&forms[i]);
    }
}

static void read_request(bool v1, uint64_t rows, const char *text, size_t len)
{
    struct form f;
    struct err err = {0};

    if (form_read(slice_of(text, len), v1, FORM_REQUEST, "the request", &f, &err) != 0) {
        WF_ASSERT(strncmp(err.msg, "the request: ", 13) == 0);
        return;
    }
    cut_request(&f, rows);
    form_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    /* A copy of its own size: every overrun is seen. */
    CLEANUP(cleanup_free) char *text = xmemdup(data + 1, size - 1);
    bool v1 = *data & 8;
    switch (*data % 4) {
    case 0:
        answer_in_pieces(text, size - 1);
        break;
    case 1:
        as_jansson_has_it(text, size - 1);
        break;
    case 2:
        read_request(v1, 1U + *data / 64, text, size - 1);
        break;
    default:
        combine(v1, text, size - 1);
    }
    return 0;
}
