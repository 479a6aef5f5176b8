/* SPDX-License-Identifier: Apache-2.0 */
/* Texts, scripts and conditions from arbitrary bytes, parsed and evaluated. Beyond not crashing: a script's rendering is the source with only its references
 * replaced, and evaluating twice gives the same. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/diag.h"
#include "workflows/expr.h"
#include "workflows/model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int resolve(void *arg, const struct expr_name *name, struct value *ret, struct err *err)
{
    struct arena *a = arg;
    static const char *const documents[] = {"[1,\"a b\",true]",
                                            "{\"a\":[{\"b\":1},{\"b\":2}],\"x\":\"y\"}",
                                            "\"it's $(x)\"", "1.10", "[[1,2],[3]]"};
    const char *text = name->text ? name->text : name->branch ? name->branch : "";
    if (text[0] == 'q')
        return 1;
    if (text[0] == 'z')
        return err_set(err, ERR_INVALID, 0, "no %s", text);
    const char *json = documents[(unsigned char)text[0] % ARRAY_LEN(documents)];
    int rc = value_parse_json(json, strlen(json), a, ret, err);
    if (!rc)
        ret->path = text[0] == 'p';
    return rc;
}

static int status(void *arg, enum expr_function which, bool *ret, struct err *err)
{
    (void)arg;
    (void)err;
    *ret = which == FN_SUCCESS;
    return 0;
}

static void render(const struct text *t, const struct scope *s)
{
    struct err err;
    CLEANUP(sb_done) struct str once = {0};
    CLEANUP(sb_done) struct str twice = {0};
    int rc = text_eval_script(t, s, true, &once, &err);
    if (text_eval_script(t, s, true, &twice, &err) != rc || once.len != twice.len)
        abort();
    if (rc)
        return;
    size_t literals = 0;
    for (uint32_t i = 0; i < t->n_parts; i++)
        literals += t->parts[i].literal ? t->parts[i].len : 0;
    if (once.len < (t->n_parts ? literals : t->len))
        abort();
}

static void evaluate(const struct text *t, const struct scope *s)
{
    struct err err;
    struct value v;
    char **args = NULL;
    uint32_t n = 0;
    CLEANUP(sb_done) struct str out = {0};
    text_eval(t, s, &v, &err);
    text_eval_string(t, s, &out, &err);
    text_eval_args(&t, 1, s, &args, &n, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct diags d;
    const char *text = (const char *)data;
    struct param param = {.name = "p"};
    struct value value = value_text("x");
    struct workflow wf = {.n_params = 1, .params = &param};
    bool dependent = false, used = false;
    struct scope s = {.arena = a,
                      .wf = &wf,
                      .params = &value,
                      .resolve = resolve,
                      .status = status,
                      .arg = a,
                      .path_dependent = &dependent,
                      .used_params = &used};
    diags_init(&d, "fuzz.yaml");
    diags_set_text(&d, text, size);
    struct err err;
    struct value v;
    struct span at = {.line = 1, .col = 1, .len = 0};
    struct text *t = text_parse(text, size, at, false, a, &d);
    if (t)
        evaluate(t, &s);
    t = text_parse(text, size, at, true, a, &d);
    if (t)
        render(t, &s);
    struct expr *e = expr_parse_bare(text, size, at, a, &d);
    if (e)
        expr_eval(e, &s, &v, &err);
    if (!t && !d.errors)
        abort();
    CLEANUP(sb_done) struct str shown = {0};
    diags_render(&d, false, &shown);
    diags_done(&d);
    arena_free(a);
    return 0;
}
