/* SPDX-License-Identifier: Apache-2.0 */
/* A model -> its instances and the edges between its steps. All of it lives in the model's arena and points only into it, because that may be an image. */
#include "engine/plan.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "engine/compiled.h"
#include "steps/action.h"

#include <stdlib.h>
#include <string.h>

/* --- works: alike branches share one document --- */

struct works {
    struct map by_digest; /* digest bytes -> struct work, all in the arena */
    struct str text;
};
struct work {
    struct digest digest;
    const char *json;
    size_t len;
};

static void add_work(struct works *w, const struct workflow *wf, const struct matrix_row *row,
                     struct instance_ref *i, struct arena *a)
{
    struct digest d;
    struct work *known;

    sb_clear(&w->text);
    /* What cannot be said yet is said (or found wrong) when the instance becomes ready. */
    if (action_work(wf, &wf->steps[i->step], row, &w->text, NULL) < 0) {
        return;
    }
    digest_of(sb_text(&w->text), w->text.len, &d);
    known = map_get(&w->by_digest, (const char *)d.bytes, sizeof(d.bytes));
    if (!known) {
        known = arena_alloc(a, sizeof(*known));
        known->digest = d;
        known->json = arena_strndup(a, sb_text(&w->text), w->text.len);
        known->len = w->text.len;
        map_put(&w->by_digest, (const char *)known->digest.bytes, sizeof(d.bytes), known);
    }
    i->work = d;
    i->work_json = known->json;
    i->work_len = known->len;
}

/* --- building --- */

static int count_instances(const struct workflow *wf, uint32_t *ret, struct err *err)
{
    uint64_t n = 0;

    for (uint32_t s = 0; s < wf->n_steps; s++) {
        n += wf->steps[s].n_rows;
    }
    if (n >= UINT32_MAX / 2) {
        return err_set(err, ERR_INVALID, 0, "%s expands to %llu steps; the limit is %u", wf->file,
                       (unsigned long long)n, UINT32_MAX / 2);
    }
    *ret = (uint32_t)n;
    return 0;
}

static void add_instances(struct plan *p, struct arena *a)
{
    const struct workflow *wf = p->wf;
    struct works works = {0};
    struct str names = {0};
    uint32_t at = 0;

    for (uint32_t s = 0; s < wf->n_steps; s++) {
        p->first[s] = at;
        for (uint32_t r = 0; r < wf->steps[s].n_rows; r++, at++) {
            const struct matrix_row *row = &wf->steps[s].rows[r];
            struct instance_ref *i = &p->instances[at];
            i->step = s;
            i->row = r;
            i->index = at;
            i->name = row->name;
            sb_add(&names, row->name, strlen(row->name) + 1);
            add_work(&works, wf, row, i, a);
        }
    }
    p->first[wf->n_steps] = at;
    p->names = arena_memdup(a, sb_text(&names), names.len);
    p->names_len = names.len;
    sb_done(&names);
    sb_done(&works.text);
    map_done(&works.by_digest);
}

static void add_edges(struct plan *p, struct arena *a)
{
    const struct workflow *wf = p->wf;
    uint32_t *fill;
    uint64_t edges = 0;

    for (uint32_t s = 0; s < wf->n_steps; s++) {
        p->waits[s] = wf->steps[s].n_needs;
        for (uint32_t k = 0; k < wf->steps[s].n_needs; k++) {
            p->follower_start[wf->steps[s].needs[k].step + 1]++;
            edges++;
        }
    }
    for (uint32_t s = 0; s < wf->n_steps; s++) {
        p->follower_start[s + 1] += p->follower_start[s];
    }
    p->followers = arena_calloc(a, edges ? edges : 1, sizeof(*p->followers));
    fill = xcalloc(wf->n_steps + 1, sizeof(*fill));
    for (uint32_t s = 0; s < wf->n_steps; s++) {
        for (uint32_t k = 0; k < wf->steps[s].n_needs; k++) {
            uint32_t need = wf->steps[s].needs[k].step;
            p->followers[p->follower_start[need] + fill[need]++] = s;
        }
    }
    free(fill);
}

static int build(const struct workflow *wf, struct arena *a, struct plan **ret, struct err *err)
{
    struct plan *p = arena_alloc(a, sizeof(*p));
    int rc = count_instances(wf, &p->n, err);

    if (rc < 0) {
        return rc;
    }
    p->wf = wf;
    p->instances = arena_calloc(a, p->n ? p->n : 1, sizeof(*p->instances));
    p->first = arena_calloc(a, (size_t)wf->n_steps + 1, sizeof(*p->first));
    p->waits = arena_calloc(a, (size_t)wf->n_steps + 1, sizeof(*p->waits));
    p->follower_start = arena_calloc(a, (size_t)wf->n_steps + 1, sizeof(*p->follower_start));
    add_instances(p, a);
    add_edges(p, a);
    *ret = p;
    return 0;
}

/* --- opening --- */

static int parse(const struct plan_options *o, const char *text, size_t len,
                 const struct digest *tag, struct diags *d, struct arena **ret_arena,
                 struct plan **ret, struct err *err)
{
    bool keep = o->store && !o->always_parse;
    struct arena *a = keep ? arena_new_image() : NULL;
    struct workflow *wf;
    int rc;

    if (!a) {
        a = arena_new();
    }
    diags_set_text(d, text, len);
    rc = workflow_load(text, len, &o->load, a, d, &wf, err);
    if (rc == 0) {
        rc = build(wf, a, ret, err);
    }
    if (rc != 0) {
        arena_free(a);
        return rc;
    }
    (*ret)->digest = *tag;
    /* Warnings are not part of the image: a file that has some is read again each time. */
    (*ret)->unsaved = keep && arena_is_image(a) && d->len == 0 ? a : NULL;
    *ret_arena = a;
    return 0;
}

int plan_open(const struct plan_options *o, struct diags *d, struct arena **ret_arena,
              struct plan **ret_plan, char **ret_text, size_t *ret_text_len, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    struct digest tag;
    int rc = load_read(o->load.file, &text, err);

    if (rc < 0) {
        return rc;
    }
    rc = compiled_tag(&o->load, sb_text(&text), text.len, &tag, err);
    if (rc < 0) {
        return rc;
    }
    rc = o->store && !o->always_parse ? compiled_load(o->store, &tag, ret_arena, ret_plan) : 1;
    if (rc != 0) {
        rc = parse(o, sb_text(&text), text.len, &tag, d, ret_arena, ret_plan, err);
    }
    if (rc == 0 && ret_text) {
        *ret_text_len = text.len;
        *ret_text = sb_take(&text);
    }
    return rc;
}

/* --- names --- */

static uint32_t step_of_word(const struct plan *p, const char *word)
{
    const char *bracket = strchr(word, '[');

    return workflow_find_step(p->wf, word, bracket ? (size_t)(bracket - word) : strlen(word));
}

uint32_t plan_find(const struct plan *p, const char *name)
{
    uint32_t s = step_of_word(p, name);

    if (s == NONE) {
        return NONE;
    }
    for (uint32_t i = p->first[s]; i < p->first[s + 1]; i++) {
        if (strcmp(p->instances[i].name, name) == 0) {
            return i;
        }
    }
    return !strchr(name, '[') && p->first[s + 1] - p->first[s] == 1 ? p->first[s] : NONE;
}

/* Cuts "[a=b,c=d]" into its parts: the end of the part that begins at `at`. Values outside the plain letters are JSON strings, which may hold commas and brackets. */
static const char *part_end(const char *at)
{
    bool quoted = false;

    for (; *at; at++) {
        if (quoted && *at == '\\' && at[1]) {
            at++;
        } else if (*at == '"') {
            quoted = !quoted;
        } else if (!quoted && (*at == ',' || *at == ']')) {
            break;
        }
    }
    return at;
}

/* Whether a name has the part [part, part + len) among its axes. */
static bool has_part(const char *name, const char *part, size_t len)
{
    const char *at = strchr(name, '[');

    while (at && *at && *at != ']') {
        const char *end = part_end(++at);
        if ((size_t)(end - at) == len && memcmp(at, part, len) == 0) {
            return true;
        }
        at = end;
    }
    return false;
}

/* "train[model=mlp]" means every branch that has all of the axes written. */
static bool word_means(const char *word, const char *name)
{
    const char *at = strchr(word, '[');

    while (at && *at && *at != ']') {
        const char *end = part_end(++at);
        if (!has_part(name, at, (size_t)(end - at))) {
            return false;
        }
        at = end;
    }
    return true;
}

uint32_t plan_match(const struct plan *p, const char *word, void (*fn)(uint32_t index, void *arg),
                    void *arg)
{
    uint32_t s = step_of_word(p, word), count = 0;

    if (s == NONE) {
        return 0;
    }
    for (uint32_t i = p->first[s]; i < p->first[s + 1]; i++) {
        if (word_means(word, p->instances[i].name)) {
            fn(i, arg);
            count++;
        }
    }
    return count;
}

bool *plan_needed(const struct plan *p, const char *word)
{
    const struct workflow *wf = p->wf;
    bool *needed = xcalloc((size_t)wf->n_steps + 1, sizeof(*needed));
    uint32_t named = step_of_word(p, word);

    if (named == NONE) {
        return needed;
    }
    needed[named] = true;
    for (uint32_t k = wf->n_steps; k-- > 0;) { /* what needs others stands behind them */
        uint32_t s = wf->order ? wf->order[k] : k;
        for (uint32_t n = 0; needed[s] && n < wf->steps[s].n_needs; n++) {
            needed[wf->steps[s].needs[n].step] = true;
        }
    }
    return needed;
}

int plan_no_match(const struct plan *p, const char *option, const char *word, struct err *err)
{
    bool branch = strchr(word, '[') != NULL;
    uint32_t n = branch ? p->n : p->wf->n_steps;
    CLEANUP(cleanup_free) const char **words = xcalloc((size_t)n + 1, sizeof(*words));

    for (uint32_t i = 0; i < n; i++) {
        words[i] = branch ? p->instances[i].name : p->wf->steps[i].name;
    }
    const char *near = suggest_nearest(word, words, n);
    return near ? err_set(err, ERR_USAGE, 0,
                          "--%s=%s: there is no such step in %s (did you mean '%s'?)", option, word,
                          p->wf->file, near)
                : err_set(err, ERR_USAGE, 0,
                          "--%s=%s: there is no such step in %s; `wf graph %s` lists its steps",
                          option, word, p->wf->file, p->wf->file);
}
