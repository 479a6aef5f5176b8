/* SPDX-License-Identifier: Apache-2.0 */
/* wf models, wf models show: what was promoted, where it comes from and where it serves. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/entries.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/models.h"
#include "cli/out.h"
#include "engine/history.h"
#include "serve/models.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- both --- */

/* live: some service serves it. current: the newest that stands, and none does. */
static const char *state_of(const struct registry *r, const struct promotion *p, bool newest)
{
    return registry_is_live(r, p) ? "live"
           : p->withdrawn         ? "withdrawn"
           : newest               ? "current"
                                  : "past";
}

static bool is_newest(const struct registry *r, const struct promotion *p)
{
    struct promotion newest;

    return promotion_newest(r->store, p->workflow, p->step, r->arena, &newest, NULL) == 0 &&
           newest.number == p->number;
}

static void head_json(const struct registry *r, const struct promotion *p, struct jsonw *w)
{
    const struct serving *s;
    size_t at = 0;

    jw_kv_text(w, "workflow", p->workflow);
    jw_kv_text(w, "step", p->step);
    jw_kv_i64(w, "number", p->number);
    jw_kv_time(w, "at", p->at_ms);
    jw_kv_text(w, "run", p->run);
    jw_kv_text(w, "reason", promotion_reason_names[p->reason]);
    jw_kv_text(w, "state", state_of(r, p, is_newest(r, p)));
    jw_key(w, "serving");
    jw_array(w);
    while ((s = registry_serves(r, p, &at))) {
        jw_object(w);
        jw_kv_text(w, "step", s->row.step);
        jw_kv_text(w, "endpoint", s->row.endpoint);
        jw_kv_text(w, "state", service_state_names[s->row.state]);
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* --- the list --- */

struct list {
    struct listing listing;
    struct registry registry;
    uint32_t left;
};

static void row_json(struct list *l, const struct promotion *p)
{
    struct jsonw *w = l->listing.json;

    jw_object(w);
    head_json(&l->registry, p, w);
    jw_key(w, "models");
    jw_array(w);
    for (uint32_t n = 0; n < p->n_models; n++) {
        const struct promoted_model *m = &p->models[n];
        jw_object(w);
        jw_kv_text(w, "name", m->name);
        jw_kv_text(w, "slug", m->slug);
        jw_key(w, "metric");
        jw_real(w, m->metric);
        jw_kv_bool(w, "barred", registry_is_barred(&l->registry, p, m));
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static void row_text(struct list *l, const struct promotion *p)
{
    CLEANUP(sb_done) struct str when = {0}, models = {0}, serves = {0};
    const char *state = state_of(&l->registry, p, is_newest(&l->registry, p));
    struct table *t = l->listing.table;
    const struct serving *s;
    size_t at = 0;

    add_ago(&when, p->at_ms);
    add_models(&models, p);
    while ((s = registry_serves(&l->registry, p, &at))) {
        sb_printf(&serves, "%s%s", serves.len ? ", " : "",
                  s->row.endpoint ? s->row.endpoint : s->row.step);
    }
    table_cell(t, TONE_NONE, "%s", p->workflow);
    table_cell(t, TONE_NONE, "%s", p->step);
    table_cell(t, TONE_NONE, "%u", p->number);
    table_cell(t, TONE_NONE, "%s", sb_text(&when));
    table_cell(t, TONE_NONE, "%s", p->run);
    table_cell(t, TONE_NONE, "%s", promotion_reason_names[p->reason]);
    table_cell(t,
               text_eq(state, "live")        ? TONE_GOOD
               : text_eq(state, "withdrawn") ? TONE_BAD
                                             : TONE_DIM,
               "%s", state);
    table_cell(t, TONE_NONE, "%s", sb_text(&serves));
    table_cell(t, TONE_NONE, "%s", sb_text(&models));
}

static int add_row(const struct promotion *p, void *arg)
{
    struct list *l = arg;

    if (l->left-- == 0) {
        return 1;
    }
    if (l->listing.json) {
        row_json(l, p);
    } else {
        row_text(l, p);
    }
    return 0;
}

static void add_barred(const struct registry *r, const char *workflow, const char *step,
                       struct str *out)
{
    for (size_t n = 0; n < r->n_barred; n++) {
        const struct barred_model *b = &r->barred[n];
        if ((!workflow || text_eq(workflow, b->workflow)) && (!step || text_eq(step, b->step))) {
            sb_printf(out,
                      "%s of %s/%s is not promoted again: promotion %u was rolled back (`wf models "
                      "allow %s/%s %s`)\n",
                      b->name, b->workflow, b->step, b->number, b->workflow, b->step, b->name);
        }
    }
}

static int list(struct cli *c, const struct args *a)
{
    static const char *const titles[] = {"WORKFLOW", "STEP",  "N",      "WHEN",  "RUN",
                                         "REASON",   "STATE", "SERVES", "MODELS"};
    const char *workflow = NULL, *step = NULL;
    struct list l = {0};
    struct err err = {0};
    int code = listing_open(c, a, titles, ARRAY_LEN(titles), 20, &l.listing);

    if (code != EXIT_OK) {
        return code;
    }
    struct arena *arena = arena_new();
    CLEANUP(sb_done) struct str barred = {0};
    l.left = l.listing.limit;
    code = a->n_positional
               ? registry_filter(c, l.listing.store, a->positional[0], arena, &workflow, &step)
               : EXIT_OK;
    int rc = 0;
    if (code == EXIT_OK) {
        rc = registry_read(l.listing.store, arena, &l.registry, &err);
        rc = rc < 0 ? rc
                    : promotions_each(l.listing.store, workflow, step, arena, add_row, &l, &err);
        add_barred(&l.registry, workflow, step, &barred);
        code = listing_close(&l.listing, rc, &err);
        if (code == EXIT_OK && !l.listing.json) {
            out_str(&barred);
        }
    } else {
        table_free(l.listing.table);
        sb_done(&l.listing.out);
        store_close(l.listing.store);
    }
    arena_free(arena);
    return code;
}

/* --- one --- */

static void add_json_line(struct str *out, const char *title, const char *json)
{
    if (json) {
        sb_printf(out, "  %-9s %s\n", title, json);
    }
}

/* "train: 3f0a… of run 01J…" */
static void add_provenance(struct str *out, const char *json)
{
    CLEANUP(cleanup_json) json_t *list = NULL;
    size_t i, len = json ? strlen(json) : 0;
    json_t *it;

    if (!json || json_read(json, len, len, &list, NULL) < 0) {
        return;
    }
    json_array_foreach(list, i, it)
    {
        const char *digest = json_string_value(json_object_get(it, "digest"));
        const json_t *source = json_object_get(it, "source");
        const char *url = json_string_value(json_object_get(source, "url"));
        char *text = url || !json_is_object(source)
                         ? NULL
                         : json_dumps(source, JSON_COMPACT | JSON_ENCODE_ANY);
        sb_printf(out, "  %-9s %s %s %s\n", "data", json_string_value(json_object_get(it, "step")),
                  url    ? url
                  : text ? text
                         : "",
                  digest ? digest : "");
        free(text);
    }
}

/* The key of its cache entry; false: it is gone. */
static bool entry_key(const struct registry *r, const struct promoted_model *m, char hex[65])
{
    struct entry e;

    if (m->entry == 0 || entry_get(r->store, m->entry, r->arena, &e, NULL) != 0) {
        return false;
    }
    digest_hex(&e.key, hex);
    return true;
}

static void model_text(const struct registry *r, const struct promotion *p,
                       const struct promoted_model *m, struct str *out)
{
    char hex[DIGEST_HEX + 1];
    const char *git = m->run ? history_git_of(r->store, m->run, r->arena) : NULL;

    sb_printf(out, "\n%s  (%s)%s\n  %-9s %.10g\n", m->name, m->slug,
              registry_is_barred(r, p, m) ? "  barred" : "", "metric", m->metric);
    add_json_line(out, "metrics", m->metrics_json);
    add_json_line(out, "matrix", m->matrix_json);
    sb_printf(out, "  %-9s by run %s\n", "trained", m->run ? m->run : "?");
    add_json_line(out, "git", git ? git : m->git_json);
    add_provenance(out, m->provenance_json);
    if (entry_key(r, m, hex)) {
        sb_printf(out, "  %-9s sha256:%s\n", "entry", hex);
    }
    for (uint32_t n = 0; n < m->n_outputs; n++) {
        const struct result_output *o = &m->outputs[n];
        CLEANUP(cleanup_free) char *path = models_path(r->store, o);
        digest_hex(&o->digest, hex);
        sb_printf(out, "  %-9s %s ", "output", o->name);
        add_size(out, o->bytes);
        sb_printf(out, " sha256:%s%s%s\n", hex, access(path, F_OK) == 0 ? " " : "",
                  access(path, F_OK) == 0 ? path : "");
    }
}

static void show_text(const struct registry *r, const struct promotion *p, struct str *out)
{
    const struct serving *s;
    size_t at = 0;

    sb_printf(out, "promotion %s/%s@%u (%s)\nmade      ", p->workflow, p->step, p->number,
              state_of(r, p, is_newest(r, p)));
    add_ago(out, p->at_ms);
    if (p->reason == PROMOTED_ROLLBACK) {
        sb_printf(out, ", a rollback to what run %s had promoted\n", p->run);
    } else {
        sb_printf(out, " by run %s (%s)\n", p->run, promotion_reason_names[p->reason]);
    }
    while ((s = registry_serves(r, p, &at))) {
        sb_printf(out, "serves    %s %s\n", s->row.step, s->row.endpoint ? s->row.endpoint : "");
    }
    for (uint32_t n = 0; n < p->n_models; n++) {
        model_text(r, p, &p->models[n], out);
    }
}

static void model_json(const struct registry *r, const struct promotion *p,
                       const struct promoted_model *m, struct jsonw *w)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_json) json_t *all = NULL;
    struct jsonw plain;
    char hex[DIGEST_HEX + 1];
    const char *git = m->run ? history_git_of(r->store, m->run, r->arena) : NULL;
    json_t *outputs, *it;
    size_t n;

    jw_init(&plain, &text, false);
    promoted_model_json(m, &plain);
    if (json_read(text.data, text.len, text.len, &all, NULL) < 0) {
        jw_null(w);
        return;
    }
    json_object_set_new(all, "barred", json_boolean(registry_is_barred(r, p, m)));
    json_object_set_new(all, "key",
                        entry_key(r, m, hex) ? json_sprintf("sha256:%s", hex) : json_null());
    if (git) {
        json_object_set_new(all, "git", json_loads(git, JSON_DECODE_ANY, NULL));
    }
    outputs = json_object_get(all, "outputs");
    json_array_foreach(outputs, n, it)
    {
        CLEANUP(cleanup_free) char *path = models_path(r->store, &m->outputs[n]);
        json_object_set_new(it, "file", access(path, F_OK) == 0 ? json_string(path) : json_null());
    }
    char *done = json_dumps(all, JSON_COMPACT);
    jw_raw(w, done ? done : "null", done ? strlen(done) : 4);
    free(done);
}

static void show_json(const struct registry *r, const struct promotion *p, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, true);
    jw_object(&w);
    head_json(r, p, &w);
    jw_key(&w, "models");
    jw_array(&w);
    for (uint32_t n = 0; n < p->n_models; n++) {
        model_json(r, p, &p->models[n], &w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    sb_putc(out, '\n');
}

static int take_first(const struct promotion *p, void *arg)
{
    *(struct promotion *)arg = *p;
    return 1;
}

/* The promotion that `word` means; without a number the newest that stands. */
static int find_promotion(const struct cli *c, struct store *s, const char *word, struct arena *a,
                          struct promotion *ret)
{
    const char *workflow, *step;
    struct err err = {0};
    uint32_t number;

    if (text_eq(word, "latest")) {
        int rc = promotions_each(s, NULL, NULL, a, take_first, ret, &err);
        return rc < 0    ? cli_fail(c, &err)
               : rc == 0 ? cli_usage(c, "nothing has been promoted in this store yet")
                         : EXIT_OK;
    }
    int code = registry_name(c, s, word, a, &workflow, &step, &number);
    if (code != EXIT_OK) {
        return code;
    }
    int rc = number > 0 ? promotion_find(s, workflow, step, number, a, ret, &err)
                        : promotion_newest(s, workflow, step, a, ret, &err);
    if (rc == 1 && number > 0) {
        return cli_usage(c, "%s/%s has no promotion %u; `wf models %s/%s` lists them", workflow,
                         step, number, workflow, step);
    }
    return rc < 0    ? cli_fail(c, &err)
           : rc == 1 ? cli_usage(c, "every promotion of %s/%s was rolled back", workflow, step)
                     : EXIT_OK;
}

static int show(struct cli *c, const struct args *a)
{
    struct registry registry;
    struct promotion p;
    struct store *store;
    struct err err = {0};
    struct str out = {0};
    int code = setup_store(c, &store);

    if (code != EXIT_OK) {
        return code;
    }
    struct arena *arena = arena_new();
    code = find_promotion(c, store, a->n_positional ? a->positional[0] : "latest", arena, &p);
    if (code == EXIT_OK && registry_read(store, arena, &registry, &err) < 0) {
        code = cli_fail(c, &err);
    }
    if (code == EXIT_OK) {
        (opt_given(a, "json") ? show_json : show_text)(&registry, &p, &out);
        out_str(&out);
        sb_done(&out);
    }
    arena_free(arena);
    store_close(store);
    return code;
}

static const struct opt list_opts[] = {
    {"limit", 'n', OPT_TEXT, "N", "At most so many (default 20), newest first"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};
static const struct opt show_opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};

const struct command cmd_models = {
    .name = "models",
    .synopsis = "[WORKFLOW[/STEP]]",
    .summary = "Lists promoted models, newest first, and where they serve",
    .text = "Each changed choice of a select step that promotes is a promotion, with a number that "
            "is never used again. STATE is live (a service serves it), current (the newest, and "
            "none serves it), past, or withdrawn (it was rolled back).",
    .example = "  wf models fashion-mnist\n  wf models --json | jq '.[0].models'",
    .opts = list_opts,
    .n_opts = ARRAY_LEN(list_opts),
    .min_args = 0,
    .max_args = 1,
    .run = list};
const struct command cmd_models_show = {
    .name = "models show",
    .synopsis = "[WORKFLOW/]STEP[@N] | latest",
    .summary = "Shows one promotion: metrics, files, who trained it from what, where it serves",
    .text = "Without @N the newest promotion of STEP that stands; `latest` (also without a word): "
            "the newest of all.",
    .example = "  wf models show select\n  wf models show fashion-mnist/select@3 --json",
    .opts = show_opts,
    .n_opts = ARRAY_LEN(show_opts),
    .min_args = 0,
    .max_args = 1,
    .run = show};
