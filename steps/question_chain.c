/* SPDX-License-Identifier: Apache-2.0 */
/* What an expression takes out of another step's list or object: of `steps.select.models[0].path` one output enters the key, not all that could have been taken.
 * The chain is evaluated with numbered placeholders for paths; which of them are left in its value tells the outputs that it reads. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/vec.h"
#include "steps/asker.h"

#include <string.h>

/* Values are deep as JSON is (64), with the list of branches and a model's outputs around them. */
#define MAX_DEPTH 80

/* A placeholder: this, and the number of the output it stands for. */
static const char numbered[] = "/wf/path/";

struct taking {
    struct arena *arena;
    VEC(struct output_ref) placed; /* by number */
    VEC(struct chain_output) read;
    struct str where; /* the chain's text and the way down to the value at hand */
};

static int on_place(void *arg, const struct output_ref *ref, const char **ret, struct err *err)
{
    struct taking *t = arg;

    (void)err;
    *ret = arena_printf(t->arena, "%s%zu", numbered, t->placed.len);
    *vec_push(&t->placed) = *ref;
    return 0;
}

/* A path in the value: notes its output, and leaves a text that is the same in every run. */
static int take_path(struct taking *t, const struct value *v, struct value *ret)
{
    const size_t len = sizeof(numbered) - 1;
    size_t number = 0;

    if (v->type != VALUE_STRING || v->text.len <= len || memcmp(v->text.data, numbered, len) != 0) {
        return -ERR_UNSUPPORTED;
    }
    for (size_t k = len; k < v->text.len; k++) {
        number = number * 10 + (size_t)(v->text.data[k] - '0');
    }
    if (number >= t->placed.len) {
        return -ERR_UNSUPPORTED;
    }
    *vec_push(&t->read) = (struct chain_output){.ref = arena_strdup(t->arena, sb_text(&t->where)),
                                                .output = t->placed.items[number]};
    *ret = value_text("/wf/path");
    return 0;
}

static int take(struct taking *t, const struct value *v, int depth, struct value *ret)
{
    bool whole = v->type == VALUE_LIST || v->type == VALUE_OBJECT;
    size_t len = t->where.len;
    int rc = 0;

    if (depth > MAX_DEPTH) {
        return -ERR_UNSUPPORTED;
    }
    *ret = *v;
    if (!whole) {
        return v->path ? take_path(t, v, ret) : 0;
    }
    ret->items = arena_calloc(t->arena, v->count ? v->count : 1, sizeof(*ret->items));
    for (uint32_t k = 0; k < v->count && rc == 0; k++) {
        if (v->type == VALUE_LIST) {
            sb_printf(&t->where, "[%u]", k);
        } else {
            sb_putc(&t->where, '.');
            sb_add(&t->where, v->keys[k].data, v->keys[k].len);
        }
        rc = take(t, &v->items[k], depth + 1, &ret->items[k]);
        sb_truncate(&t->where, len);
    }
    return rc;
}

static void give(struct taking *t, const struct value *v, struct chain_read *ret)
{
    CLEANUP(sb_done) struct str json = {0};
    struct jsonw w;

    ret->n_outputs = t->read.len;
    ret->outputs = arena_memdup(t->arena, t->read.items, t->read.len * sizeof(*t->read.items));
    ret->json = NULL;
    if (v->type != VALUE_STRING || t->read.len == 0) {
        jw_init(&w, &json, false);
        value_json(v, &w);
        ret->json = arena_memdup(t->arena, sb_text(&json), json.len + 1);
    }
}

int chain_read(struct step_scope *s, const struct expr *chain, struct chain_read *ret)
{
    struct taking t = {.arena = s->scope.arena};
    struct step_scope own = *s;
    struct value v, canonical;

    own.scope.arg = &own;
    own.place = on_place;
    own.hash_files = NULL;
    own.arg = &t;
    int rc = expr_eval(chain, &own.scope, &v, NULL);
    if (rc == 0) {
        sb_add(&t.where, chain->source.data, chain->source.len);
        rc = take(&t, &v, 0, &canonical);
    }
    if (rc == 0) {
        ret->text = arena_strndup(t.arena, chain->source.data, chain->source.len);
        give(&t, &canonical, ret);
    }
    vec_done(&t.placed);
    vec_done(&t.read);
    sb_done(&t.where);
    return rc;
}
