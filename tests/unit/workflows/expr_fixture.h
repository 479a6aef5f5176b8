/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow of a few params, and a resolver that answers other names from a table, for the tests of expressions, texts and the matrix. */
#ifndef WF_TESTS_EXPR_FIXTURE_H
#define WF_TESTS_EXPR_FIXTURE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/diag.h"
#include "workflows/expr.h"
#include "workflows/model.h"

#include <stdio.h>
#include <string.h>

#define FIXTURE_NAMES 128
struct fixture_name {
    const char *step, *member; /* member: output, value, env name … ("" none) */
    struct value value;
    bool absent;
};
struct fixture {
    struct arena *arena;
    struct diags diags;
    struct workflow wf;
    struct param params[8];
    struct value values[8];
    bool used[8];
    bool path_dependent;
    struct fixture_name names[FIXTURE_NAMES];
    size_t n_names;
    struct scope scope;
};

static inline int fixture_resolve(void *arg, const struct expr_name *name, struct value *ret,
                                  struct err *err)
{
    struct fixture *f = arg;
    const char *step = name->branch ? name->branch : expr_root_name(name->root);
    for (size_t i = 0; i < f->n_names; i++) {
        const struct fixture_name *n = &f->names[i];
        if (!text_eq(n->step, step) || !text_eq(n->member, name->text ? name->text : ""))
            continue;
        if (n->absent)
            return 1;
        *ret = n->value;
        return 0;
    }
    return err_set(err, ERR_NOT_FOUND, 0, "no %s.%s", step, name->text ? name->text : "");
}

static inline int fixture_status(void *arg, enum expr_function which, bool *ret, struct err *err)
{
    (void)arg;
    (void)err;
    *ret = which == FN_SUCCESS;
    return 0;
}

static inline int fixture_hash(void *arg, const struct value *patterns, uint32_t count,
                               struct value *ret, struct err *err)
{
    struct fixture *f = arg;
    struct str text = {0};
    (void)err;
    for (uint32_t i = 0; i < count; i++)
        sb_printf(&text, "<%.*s>", (int)patterns[i].text.len, patterns[i].text.data);
    *ret = value_text(arena_strdup(f->arena, sb_text(&text)));
    sb_done(&text);
    return 0;
}

static inline struct value fixture_json(struct fixture *f, const char *json)
{
    struct value v = {0};
    struct err err = {0};
    if (value_parse_json(json, strlen(json), f->arena, &v, &err))
        fprintf(stderr, "%s: %s\n", json, err.msg);
    return v;
}

static inline void fixture_add(struct fixture *f, const char *step, const char *member,
                               struct value v)
{
    f->names[f->n_names++] = (struct fixture_name){.step = step, .member = member, .value = v};
}

static inline void fixture_param(struct fixture *f, const char *name, struct value v)
{
    uint32_t i = f->wf.n_params++;
    f->params[i].name = name;
    f->values[i] = v;
}

static inline void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->arena = arena_new();
    diags_init(&f->diags, "w.yaml");
    f->wf.params = f->params;
    fixture_param(f, "lr", value_number_text(slice_str("1.10")));
    fixture_param(f, "name", value_text("it's"));
    fixture_param(f, "flag", value_bool(true));
    fixture_param(f, "epochs", value_number_text(slice_str("007")));
    f->scope = (struct scope){.arena = f->arena,
                              .wf = &f->wf,
                              .params = f->values,
                              .resolve = fixture_resolve,
                              .status = fixture_status,
                              .hash_files = fixture_hash,
                              .arg = f,
                              .path_dependent = &f->path_dependent,
                              .used_params = f->used};
}

static inline void fixture_done(struct fixture *f)
{
    diags_done(&f->diags);
    arena_free(f->arena);
}

/* A value as JSON, in the fixture's arena. */
static inline const char *fixture_show(struct fixture *f, const struct value *v)
{
    struct str text = {0};
    struct jsonw w;
    jw_init(&w, &text, false);
    value_json(v, &w);
    const char *copy = arena_strdup(f->arena, sb_text(&text));
    sb_done(&text);
    return copy;
}

/* Parses and evaluates: JSON, "absent", or the message of the load or run error. */
static inline const char *fixture_eval(struct fixture *f, const char *source)
{
    struct err err = {0};
    struct value v;
    /* One list per text: equal problems at equal places are told once. */
    diags_done(&f->diags);
    diags_init(&f->diags, "w.yaml");
    struct expr *e = expr_parse_bare(
        source, strlen(source), (struct span){.line = 1, .col = 1, .len = 0}, f->arena, &f->diags);
    if (!e)
        return f->diags.len ? f->diags.items[0].message : "no diagnostic";
    int rc = expr_eval(e, &f->scope, &v, &err);
    return rc == 1 ? "absent" : rc ? arena_strdup(f->arena, err.msg) : fixture_show(f, &v);
}

#endif
