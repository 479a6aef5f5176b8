/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/diff.h"

#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/redact.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/entries.h"
#include "cache/explain_script.h"
#include "cache/statements.h"
#include "cache/store.h"
#include "engine/past_why.h"

#include <stdlib.h>
#include <string.h>

enum { JSON_MAX = 16 << 20, LINES_MAX = 2000, ARENA_MAX = 1 << 20 };

typedef VEC(struct difference) differences;

struct run_diff {
    struct store *store;
    struct arena *arena;
    struct past_run old, now;
    differences head;
    struct map by_name; /* steps of the old run */
    bool *seen;         /* of them */
};

/* --- pieces --- */

static void add(differences *list, struct arena *a, const char *part, const char *name,
                const char *old, const char *now)
{
    CLEANUP(sb_done) struct str x = {0}, y = {0};

    redact_pair(&old, &now, &x, &y);
    *vec_push(list) = (struct difference){.part = part,
                                          .name = name ? arena_strdup(a, name) : NULL,
                                          .old = old ? arena_strdup(a, old) : NULL,
                                          .now = now ? arena_strdup(a, now) : NULL};
}

static void add_if(differences *list, struct arena *a, const char *part, const char *name,
                   const char *old, const char *now)
{
    if (!text_eq(old, now)) {
        add(list, a, part, name, old, now);
    }
}

static json_t *read_json(const char *text)
{
    json_t *j = NULL;

    return text && json_read(text, strlen(text), JSON_MAX, &j, NULL) == 0 ? j : NULL;
}

/* A string as it is, a number in its shortest form, all else as JSON; owned by the caller. */
static char *plain(const json_t *v)
{
    CLEANUP(sb_done) struct str s = {0};

    if (!v) {
        return NULL;
    }
    if (json_is_string(v)) {
        return xstrdup(json_string_value(v));
    }
    if (json_is_real(v)) {
        struct jsonw w;
        jw_init(&w, &s, false);
        jw_real(&w, json_real_value(v));
        return sb_take(&s);
    }
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    char *copy = xstrdup(text ? text : "");
    free(text);
    return copy;
}

/* Two JSON objects, member by member. */
static void add_members(differences *list, struct arena *a, const char *part, const char *old,
                        const char *now)
{
    CLEANUP(cleanup_json) json_t *x = read_json(old);
    CLEANUP(cleanup_json) json_t *y = read_json(now);
    const char *key;
    json_t *value;

    json_object_foreach(x, key, value)
    {
        CLEANUP(cleanup_free) char *before = plain(value);
        CLEANUP(cleanup_free) char *after = plain(json_object_get(y, key));
        add_if(list, a, part, key, before, after);
    }
    json_object_foreach(y, key, value)
    {
        if (!json_object_get(x, key)) {
            CLEANUP(cleanup_free) char *after = plain(value);
            add(list, a, part, key, NULL, after);
        }
    }
}

/* --- the runs --- */

/* Owned by the caller; NULL: it is not kept. */
static char *text_of_run(struct store *s, const char *run)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    size_t len = 0;

    if (!store_db(s) || db_query(store_db(s), SQL_RUN_TEXT, &row, NULL, "t", run) < 0 ||
        db_step(row, NULL) != 1) {
        return NULL;
    }
    const void *text = db_blob(row, 0, &len);
    return text ? xstrndup(text, len) : NULL;
}

static void add_line(const struct line_change *c, void *arg)
{
    struct run_diff *d = arg;
    CLEANUP(cleanup_free) char *old = c->old_line ? xstrndup(c->old.data, c->old.len) : NULL;
    CLEANUP(cleanup_free) char *now = c->new_line ? xstrndup(c->now.data, c->now.len) : NULL;
    CLEANUP(cleanup_free)
    char *name =
        c->new_line ? xasprintf("line %zu", c->new_line) : xasprintf("old line %zu", c->old_line);

    if (d->head.len < LINES_MAX) {
        add(&d->head, d->arena, "workflow", name, old, now);
    }
}

static void compare_texts(struct run_diff *d)
{
    CLEANUP(cleanup_free) char *old = text_of_run(d->store, d->old.row.id);
    CLEANUP(cleanup_free) char *now = text_of_run(d->store, d->now.row.id);

    if (old && now) {
        explain_lines(old, now, add_line, d);
    } else {
        add_if(&d->head, d->arena, "workflow", NULL, old ? "its text is kept" : "not kept",
               now ? "its text is kept" : "not kept");
    }
}

static void compare_heads(struct run_diff *d)
{
    const struct run_row *x = &d->old.row, *y = &d->now.row;

    add_if(&d->head, d->arena, "name", NULL, x->workflow, y->workflow);
    add_if(&d->head, d->arena, "file", NULL, x->file, y->file);
    compare_texts(d);
    add_members(&d->head, d->arena, "param", x->params, y->params);
    add_members(&d->head, d->arena, "git", x->git, y->git);
    add_if(&d->head, d->arena, "wf", NULL, x->wf_version, y->wf_version);
    add_if(&d->head, d->arena, "status", NULL, x->status, y->status);
}

int run_diff_open(struct store *s, const char *old_id, const char *new_id, struct run_diff **ret,
                  struct err *err)
{
    struct run_diff *d = xcalloc(1, sizeof(*d));

    d->store = s;
    d->arena = arena_new();
    int rc = history_load_bare(s, old_id, d->arena, &d->old, err);
    rc = rc < 0 ? rc : history_load_bare(s, new_id, d->arena, &d->now, err);
    if (rc < 0) {
        run_diff_close(d);
        return rc;
    }
    d->seen = xcalloc(d->old.n ? d->old.n : 1, sizeof(*d->seen));
    for (uint32_t i = 0; i < d->old.n; i++) {
        map_put_text(&d->by_name, d->old.steps[i].name, &d->old.steps[i]);
    }
    compare_heads(d);
    *ret = d;
    return 0;
}

void run_diff_close(struct run_diff *d)
{
    if (d) {
        vec_done(&d->head);
        map_done(&d->by_name);
        arena_free(d->arena);
        free(d->seen);
        free(d);
    }
}

const struct past_run *run_diff_old(const struct run_diff *d)
{
    return &d->old;
}

const struct past_run *run_diff_new(const struct run_diff *d)
{
    return &d->now;
}

const struct difference *run_diff_head(const struct run_diff *d, size_t *ret_count)
{
    *ret_count = d->head.len;
    return d->head.items;
}

/* --- a step --- */

static const char *verdict_of(const struct past_step *s, struct arena *a)
{
    static const char member[] = "\"verdict\":\"";

    if (!s) {
        return NULL;
    }
    if (s->status.state == INSTANCE_CACHED) {
        return "hit";
    }
    const char *at = s->started ? strstr(s->started, member) : NULL; /* ours; no text before it */
    size_t len = at ? strcspn(at + strlen(member), "\"") : 0;
    return at ? arena_strndup(a, at + strlen(member), len) : NULL;
}

static const char *error_of(const struct past_step *s, struct arena *a)
{
    CLEANUP(cleanup_json)
    json_t *j = s->ended && s->status.state != INSTANCE_SUCCEEDED ? read_json(s->ended) : NULL;
    const char *text = json_string_value(json_object_get(j, "error"));

    text = text ? text : json_string_value(json_object_get(j, "because"));
    return text ? arena_strdup(a, text) : NULL;
}

/* Reused or run: both are a success. */
static const char *status_of(const struct past_step *s)
{
    return instance_state_names[s->status.state == INSTANCE_CACHED ? INSTANCE_SUCCEEDED
                                                                   : s->status.state];
}

static const struct result_output *output_of(const struct result *r, const char *name)
{
    for (uint32_t i = 0; r && i < r->n_outputs; i++) {
        if (strcmp(r->outputs[i].name, name) == 0) {
            return &r->outputs[i];
        }
    }
    return NULL;
}

static const char *digest_text(const struct result_output *o, struct arena *a)
{
    char hex[DIGEST_HEX + 1];

    if (!o) {
        return NULL;
    }
    digest_hex(&o->digest, hex);
    return arena_printf(a, "sha256:%s%s", hex, o->executable ? " (executable)" : "");
}

static void compare_outputs(differences *list, const struct result *x, const struct result *y,
                            struct arena *a)
{
    for (uint32_t i = 0; x && i < x->n_outputs; i++) {
        const struct result_output *o = &x->outputs[i], *n = output_of(y, o->name);
        size_t before = list->len;
        add_if(list, a, "output", o->name, digest_text(o, a), digest_text(n, a));
        if (list->len > before) {
            list->items[before].folder = n && o->kind == OBJECT_TREE && n->kind == OBJECT_TREE;
        }
    }
    for (uint32_t i = 0; y && i < y->n_outputs; i++) {
        if (!output_of(x, y->outputs[i].name)) {
            add(list, a, "output", y->outputs[i].name, NULL, digest_text(&y->outputs[i], a));
        }
    }
}

static const char *value_of(const struct result *r, const char *name)
{
    for (uint32_t i = 0; r && i < r->n_values; i++) {
        if (strcmp(r->values[i].name, name) == 0) {
            return r->values[i].text;
        }
    }
    return NULL;
}

static void compare_results(const struct past_step *old, const struct past_step *now,
                            struct arena *a, differences *list)
{
    const struct result *x = old->result, *y = now->result;

    add_if(list, a, "status", NULL, status_of(old), status_of(now));
    add_if(list, a, "error", NULL, error_of(old, a), error_of(now, a));
    if (!x || !y) {
        return; /* the status says it; or what came of it is no longer kept */
    }
    compare_outputs(list, x, y, a);
    for (uint32_t i = 0; i < x->n_values; i++) {
        add_if(list, a, "value", x->values[i].name, x->values[i].text,
               value_of(y, x->values[i].name));
    }
    for (uint32_t i = 0; i < y->n_values; i++) {
        if (!value_of(x, y->values[i].name)) {
            add(list, a, "value", y->values[i].name, NULL, y->values[i].text);
        }
    }
    if (!text_eq(x->metrics, y->metrics)) {
        add_members(list, a, "metric", x->metrics, y->metrics);
    }
}

static const char *no_action(const struct past_step *s, bool has_entry)
{
    return has_entry                               ? "removed from the store since"
           : s->status.state == INSTANCE_SUCCEEDED ? "its result was not stored"
                                                   : "nothing is kept of what did not succeed";
}

/* Of what did not succeed no action is kept, but its journal holds the differences from the entry used before: if that is the old run's, they are what is asked for. */
static bool told_by_journal(struct run_diff *d, const struct past_step *old,
                            const struct past_step *now, struct arena *a, struct step_diff *ret)
{
    CLEANUP(cleanup_json) json_t *started = read_json(now->started);
    struct past_why why;

    if (old->status.entry <= 0 ||
        json_integer_value(json_object_get(started, "against")) != old->status.entry) {
        return false;
    }
    past_why(d->store, now, a, &why);
    ret->inputs = why.differences;
    ret->n_inputs = why.n_differences;
    return why.more == 0 && why.n_differences > 0;
}

static void compare_inputs(struct run_diff *d, const struct past_step *old,
                           const struct past_step *now, struct arena *a, struct step_diff *ret)
{
    const char *was = NULL, *was_work = NULL, *is = NULL, *is_work = NULL;
    const struct past_step *lacks = NULL;

    if (digest_is_zero(&old->key) || digest_is_zero(&now->key)) {
        /* The key of what was reused went with its entry: two entries that are no more are not thereby alike. */
        bool old_gone = digest_is_zero(&old->key) && old->status.entry > 0;
        bool new_gone = digest_is_zero(&now->key) && now->status.entry > 0;
        if (old_gone || new_gone) {
            ret->inputs_note = arena_printf(a,
                                            "whether its inputs differ is not known: what %s used "
                                            "was removed from the store since",
                                            old_gone && new_gone ? "both runs"
                                            : old_gone           ? "the old run"
                                                                 : "the new run");
        }
        return; /* else not memoized, or never asked: there is nothing to compare */
    }
    if (digest_eq(&old->key, &now->key)) {
        return;
    }
    if (old->status.entry <= 0 ||
        entry_action(d->store, old->status.entry, a, &was, &was_work, NULL) != 0) {
        lacks = old;
    } else if (now->status.entry <= 0 ||
               entry_action(d->store, now->status.entry, a, &is, &is_work, NULL) != 0) {
        lacks = now;
    }
    if (lacks == now && told_by_journal(d, old, now, a, ret)) {
        return;
    }
    if (lacks || !was || !is ||
        explain_diff(was, was_work, is, is_work, a, &ret->inputs, &ret->n_inputs, NULL) < 0) {
        lacks = lacks ? lacks : old;
        ret->inputs_note =
            arena_printf(a, "its inputs differ, but the %s run's are not known: %s",
                         lacks == old ? "old" : "new", no_action(lacks, lacks->status.entry > 0));
        return;
    }
    explain_inside(d->store, ret->inputs, ret->n_inputs, a, NULL, NULL);
}

static bool one_result(const struct past_step *old, const struct past_step *now)
{
    return old->status.entry > 0 && old->status.entry == now->status.entry;
}

static int fill(struct run_diff *d, struct past_run *run, const struct past_step *s,
                struct arena *a, struct err *err)
{
    return history_fill(d->store, run, (uint32_t)(s - run->steps), 1, NULL, a, err);
}

static int compare_step(struct run_diff *d, const struct past_step *old,
                        const struct past_step *now, struct arena *a, struct step_diff *ret,
                        struct err *err)
{
    differences results = {0};

    *ret = (struct step_diff){.old = old,
                              .now = now,
                              .old_verdict = verdict_of(old, a),
                              .new_verdict = verdict_of(now, a)};
    if (old && now && one_result(old, now)) {
        ret->same = true;
        return 0;
    }
    int rc = old ? fill(d, &d->old, old, a, err) : 0;
    rc = rc == 0 && now ? fill(d, &d->now, now, a, err) : rc;
    if (rc < 0 || !old || !now) {
        return rc;
    }
    compare_inputs(d, old, now, a, ret);
    compare_results(old, now, a, &results);
    ret->n_results = results.len;
    ret->results =
        results.len ? arena_memdup(a, results.items, results.len * sizeof(*results.items)) : NULL;
    vec_done(&results);
    explain_inside(d->store, ret->results, ret->n_results, a, NULL, NULL);
    ret->same = ret->n_inputs == 0 && ret->n_results == 0 && !ret->inputs_note;
    return 0;
}

/* What was filled in lives in an arena that goes. */
static void forget(struct past_step *s)
{
    if (s) {
        s->result = NULL;
        s->log_file = NULL;
    }
}

int run_diff_each(struct run_diff *d, int (*fn)(const struct step_diff *s, void *arg), void *arg,
                  struct err *err)
{
    struct arena *a = arena_new();
    uint32_t all = d->now.n + d->old.n;
    int rc = 0;

    for (uint32_t i = 0; i < all && rc >= 0; i++) {
        struct past_step *now = i < d->now.n ? &d->now.steps[i] : NULL;
        struct past_step *old =
            now ? map_get_text(&d->by_name, now->name) : &d->old.steps[i - d->now.n];
        struct step_diff step;
        if (!now && d->seen[i - d->now.n]) {
            continue;
        }
        if (now && old) {
            d->seen[old - d->old.steps] = true;
        }
        rc = compare_step(d, old, now, a, &step, err);
        rc = rc < 0 ? rc : fn(&step, arg);
        forget(old);
        forget(now);
        if (arena_used(a) > ARENA_MAX) {
            arena_free(a);
            a = arena_new();
        }
    }
    arena_free(a);
    return rc < 0 ? rc : 0;
}
