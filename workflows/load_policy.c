/* SPDX-License-Identifier: Apache-2.0 */
/* `retry` and `resources`. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "workflows/load_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- retry --- */

static const char *read_code(const char *p, uint8_t *ret)
{
    char *end = NULL;
    if (*p < '0' || *p > '9')
        return NULL;
    unsigned long v = strtoul(p, &end, 10);
    if (v < 1 || v > 255)
        return NULL;
    *ret = (uint8_t)v;
    return end;
}

static void add_on(struct loader *l, struct retry *r, const struct node *n)
{
    static const char *const expected =
        "an exit code (1 to 255), a range such as 2-255, timeout, lost or oom";
    const char *word = n->kind == NODE_SCALAR ? n->text : "";
    uint8_t from = 0, to = 0;
    const char *p = read_code(word, &from);
    if (strcmp(word, "timeout") == 0) {
        r->on_timeout = true;
    } else if (strcmp(word, "lost") == 0) {
        r->on_lost = true;
    } else if (strcmp(word, "oom") == 0) {
        r->on_oom = true;
    } else if (p != NULL && *p == '\0') {
        r->codes[r->n_codes].from = from;
        r->codes[r->n_codes++].to = from;
    } else if (p != NULL && *p == '-' && (p = read_code(p + 1, &to)) != NULL && *p == '\0' &&
               from <= to) {
        r->codes[r->n_codes].from = from;
        r->codes[r->n_codes++].to = to;
    } else {
        load_expected_as(l, n, "on", expected);
    }
}

static void load_on(struct loader *l, struct retry *r, const struct entry *e)
{
    const struct node *n = e->value;
    if (n->kind != NODE_LIST || n->len == 0) {
        load_expected(l, e);
        return;
    }
    r->on_any = false;
    r->codes = arena_calloc(l->a, n->len, sizeof(*r->codes));
    for (uint32_t i = 0; i < n->len; i++)
        add_on(l, r, n->items[i]);
}

static void on_retry_key(struct loader *l, const struct entry *e, void *arg)
{
    struct retry *r = arg;
    const char *key = e->key->name;
    if (strcmp(key, "limit") == 0) {
        load_count(l, e, 0, &r->limit);
    } else if (strcmp(key, "delay") == 0) {
        load_duration(l, e, &r->delay_ms);
    } else if (strcmp(key, "max_delay") == 0) {
        load_duration(l, e, &r->max_delay_ms);
    } else if (strcmp(key, "backoff") == 0) {
        if (load_number(l, e, &r->backoff) && r->backoff < 1)
            load_expected(l, e);
    } else {
        load_on(l, r, e);
    }
}

void load_retry(struct loader *l, struct step *s, const struct entry *e)
{
    struct step blank;
    load_blank_step(&blank, s->kind);
    struct retry r = blank.retry;
    if (e->value->kind != NODE_MAP) {
        load_expected(l, e);
        if (e->value->kind == NODE_SCALAR && e->value->type == SCALAR_NUMBER)
            diag_hint(l->d, "write {limit: %.20s}", e->value->text);
        return;
    }
    load_mapping(l, e->value, &schema_retry, "retry", on_retry_key, &r);
    if (node_get(e->value, "limit") == NULL) {
        diag_error(l->d, e->at, "missing-key", "retry needs a limit: how many further attempts");
        diag_hint(l->d, "for example {limit: 2}");
    }
    s->retry = r;
}

/* --- resources --- */

static void on_resources_key(struct loader *l, const struct entry *e, void *arg)
{
    struct resources *r = arg;
    const char *key = e->key->name;
    if (strcmp(key, "gpu") == 0) {
        load_count(l, e, 0, &r->gpu);
        return;
    }
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return;
    bool fine = strcmp(key, "cpu") == 0
                    ? parse_cpu(text, &r->cpu_milli, NULL) == 0 && r->cpu_milli > 0
                    : parse_size(text, &r->memory, NULL) == 0 && r->memory > 0;
    if (!fine)
        load_expected(l, e);
}

void load_resources(struct loader *l, struct step *s, const struct entry *e)
{
    struct resources r = {0};
    if (e->value->kind != NODE_MAP) {
        load_expected(l, e);
        return;
    }
    load_mapping(l, e->value, &schema_resources, "resources", on_resources_key, &r);
    s->resources = r;
}
