/* SPDX-License-Identifier: Apache-2.0 */
/* The edges of a step: `needs`, `from`, and what its texts refer to. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/check_internal.h"

#include <stdlib.h>
#include <string.h>

enum { FEW_READS = 24 }; /* up to here comparing beats hashing */

void check_add_need(struct check *c, uint32_t step, bool declared, bool order_only)
{
    if (c->stamp[step] == c->index + 1) {
        struct need *n = &c->needs.items[c->slot[step]];
        n->declared = n->declared || declared;
        n->order_only = n->order_only && order_only;
        return;
    }
    c->stamp[step] = c->index + 1;
    c->slot[step] = (uint32_t)c->needs.len;
    *vec_push(&c->needs) = (struct need){
        .step = step, .mode = NEED_ALL, .declared = declared, .order_only = order_only};
}

/* --- reads --- */

static bool same_name(const struct expr_name *a, const struct expr_name *b)
{
    return a->root == b->root && a->step == b->step && a->field == b->field &&
           a->member == b->member && a->covered == b->covered && text_eq(a->branch, b->branch) &&
           (a->member != NONE || text_eq(a->text, b->text));
}

/* The key of a name in `read_keys`; owned by the check. */
static char *name_key(struct check *c, const struct expr_name *n)
{
    char *key = xasprintf("%d.%u.%d.%u.%d.%s.%s", n->root, n->step, n->field, n->member, n->covered,
                          n->branch ? n->branch : "", n->member == NONE && n->text ? n->text : "");
    *vec_push(&c->read_texts) = key;
    return key;
}

void check_add_read(struct check *c, struct expr_name *name)
{
    if (c->reads.len < FEW_READS) {
        for (size_t i = 0; i < c->reads.len; i++) {
            if (same_name(c->reads.items[i], name))
                return;
        }
    } else {
        for (size_t i = c->read_keys.len; i < c->reads.len; i++)
            map_put_text(&c->read_keys, name_key(c, c->reads.items[i]), NULL);
        const char *key = name_key(c, name);
        if (map_find(&c->read_keys, key, strlen(key)) >= 0)
            return;
    }
    *vec_push(&c->reads) = name;
}

/* --- needs --- */

static void need_step(struct check *c, const struct node *n, enum need_mode mode, uint32_t count)
{
    uint32_t i = load_step_ref(c->l, n, c->step->name, "needs");
    if (i == NONE)
        return;
    const struct step *s = &c->l->wf->steps[i];
    if (s->finally && !c->step->finally) {
        diag_error(c->l->d, n->span, "bad-place",
                   "step '%s' stands under finally and runs after '%s'", s->name, c->step->name);
        return;
    }
    check_add_need(c, i, true, false);
    struct need *need = &c->needs.items[c->slot[i]];
    bool known = s->n_rows > 0; /* without a param's value it has none yet */
    if (mode == NEED_COUNTED && known && count > s->n_rows) {
        diag_error(c->l->d, n->span, "bad-value",
                   "step '%s' needs %u branches of '%s', which has %u", c->step->name, count,
                   s->name, s->n_rows);
        return;
    }
    /* Of a step without branches there is one to wait for, whatever is said. */
    need->mode = s->is_matrix ? mode : NEED_ALL;
    need->count = need->mode == NEED_COUNTED ? count : 0;
}

/* name: all | any | each | N */
static void need_mode(struct check *c, const struct node_pair *p)
{
    static const char *const words[] = {
        [NEED_ALL] = "all", [NEED_ANY] = "any", [NEED_EACH] = "each"};
    struct node name = {.kind = NODE_SCALAR,
                        .type = SCALAR_STRING,
                        .span = p->key_span,
                        .text = p->key,
                        .len = p->key_len};
    const struct node *v = p->value;
    const char *word = v->kind == NODE_SCALAR ? v->text : "";
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            need_step(c, &name, (enum need_mode)i, 0);
            return;
        }
    }
    size_t digits = strspn(word, "0123456789");
    unsigned long n =
        digits > 0 && digits < 7 && word[digits] == '\0' ? strtoul(word, NULL, 10) : 0;
    if (n == 0)
        load_expected_as(c->l, v, p->key, "all, any, each or a number");
    need_step(c, &name, n > 0 ? NEED_COUNTED : NEED_ALL, (uint32_t)n);
}

static void check_needs(struct check *c, const struct node *n)
{
    if (n->kind == NODE_SCALAR) {
        if (n->type == SCALAR_NULL)
            load_expected_as(c->l, n, "needs", "a step name, a list of step names, or a mapping");
        else
            need_step(c, n, NEED_ALL, 0);
        return;
    }
    for (uint32_t i = 0; i < n->len; i++) {
        if (n->kind == NODE_MAP)
            need_mode(c, &n->pairs[i]);
        else
            need_step(c, n->items[i], NEED_ALL, 0);
    }
}

/* --- from --- */

static void from_step(struct check *c, const struct node *n, uint32_t *list, uint32_t *count)
{
    uint32_t i = load_step_ref(c->l, n, c->step->name, "from");
    if (i == NONE)
        return;
    for (uint32_t k = 0; k < *count; k++) {
        if (list[k] == i) {
            diag_error(c->l->d, n->span, "duplicate-key", "'%s' is named a second time", n->text);
            return;
        }
    }
    if (c->l->wf->steps[i].finally && !c->step->finally) {
        diag_error(c->l->d, n->span, "bad-place",
                   "step '%s' stands under finally and runs after '%s'", n->text, c->step->name);
        return;
    }
    list[(*count)++] = i;
    /* A failed candidate is left out by select: it waits for the end, not for success. */
    check_add_need(c, i, false, c->step->kind == KIND_SELECT);
}

static void check_from(struct check *c, const struct node *n)
{
    struct loader *l = c->l;
    struct step *s = c->step;
    uint32_t count = 0,
             *list = arena_calloc(l->a, (n->kind == NODE_LIST ? n->len : 1) + 1, sizeof(*list));
    if (n->kind == NODE_SCALAR) {
        from_step(c, n, list, &count);
    } else if (n->kind == NODE_LIST && n->len > 0) {
        for (uint32_t i = 0; i < n->len; i++)
            from_step(c, n->items[i], list, &count);
    } else {
        load_expected_as(l, n, "from", "a step name or a list of step names");
    }
    if (s->select != NULL) {
        s->select->from = list;
        s->select->n_from = count;
    } else if (s->aggregate != NULL) {
        s->aggregate->from = list;
        s->aggregate->n_from = count;
    } else if (s->serve != NULL && count > 0) {
        s->serve->from = list[0];
        if (count > 1)
            diag_error(l->d, n->items[1]->span, "bad-value",
                       "step '%s' serves from one select step", s->name);
    }
}

void check_needs_key(struct check *c)
{
    if (c->facts->needs != NULL)
        check_needs(c, c->facts->needs);
    if (c->facts->from != NULL)
        check_from(c, c->facts->from);
}
