/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/past.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "cache/store.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int past_open(const struct cli *c, const char *word, struct past *ret)
{
    *ret = (struct past){0};
    int code = setup_store(c, &ret->store);
    if (code != EXIT_OK) {
        return code;
    }
    struct err err = {0};
    char id[32];
    ret->arena = arena_new();
    if (history_resolve(ret->store, word, id, &err) < 0 ||
        history_load(ret->store, id, ret->arena, &ret->run, &err) < 0) {
        code = cli_fail(c, &err);
        past_close(ret);
    }
    return code;
}

void past_close(struct past *p)
{
    arena_free(p->arena);
    store_close(p->store);
    *p = (struct past){0};
}

int past_open_args(const struct cli *c, const struct args *a, struct past *ret, size_t *ret_rest)
{
    const char *word = a->n_positional ? a->positional[0] : "latest";
    bool names_run = isdigit((unsigned char)word[0]) || text_eq(word, "latest") ||
                     text_starts(word, "latest~") || text_eq(word, "previous");
    *ret_rest = names_run && a->n_positional ? 1 : 0;
    return past_open(c, names_run ? word : "latest", ret);
}

size_t past_match(const struct past_run *r, const char *word,
                  void (*fn)(const struct past_step *s, void *arg), void *arg)
{
    size_t n = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct past_step *s = &r->steps[i];
        if (text_eq(s->name, word) || text_eq(s->step, word)) {
            n++;
            if (fn) {
                fn(s, arg);
            }
        }
    }
    return n;
}

int past_unknown_step(const struct cli *c, const struct past_run *r, const char *word)
{
    const char **words = xcalloc((size_t)r->n + 1, sizeof(char *));
    for (uint32_t i = 0; i < r->n; i++) {
        words[i] = strchr(word, '[') ? r->steps[i].name : r->steps[i].step;
    }
    const char *near = suggest_nearest(word, words, r->n);
    int code =
        near ? cli_usage(c, "run %s has no step '%s' (did you mean '%s'?)", r->row.id, word, near)
             : cli_usage(c, "run %s has no step '%s'", r->row.id, word);
    free(words);
    return code;
}
