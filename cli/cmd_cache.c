/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache ls | show */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/redact.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/adopt.h"
#include "cache/entries.h"
#include "cache/gc.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ls {
    struct listing listing;
    bool pinned_only;
    uint32_t left; /* rows still to be shown */
};

static bool add_row(const struct cache_row *r, void *arg)
{
    struct ls *ls = arg;
    struct listing *l = &ls->listing;
    if (ls->pinned_only && !r->pinned) {
        return true;
    }
    if (ls->left-- == 0) {
        return false;
    }
    if (l->json) {
        struct jsonw *w = l->json;
        jw_object(w);
        jw_kv_i64(w, "entry", r->id);
        CLEANUP(cleanup_free)
        char *key = xasprintf("%s%s", text_starts(r->key, "sha256:") ? "" : "sha256:", r->key);
        jw_kv_text(w, "key", key);
        jw_kv_text(w, "workflow", r->workflow);
        jw_kv_text(w, "step", r->step);
        jw_kv_time(w, "made_at", r->made_at_ms);
        jw_kv_time(w, "last_hit_at", r->last_hit_ms);
        jw_key(w, "duration_seconds");
        jw_real(w, (double)r->duration_ms / 1000.0);
        jw_kv_i64(w, "bytes", (int64_t)r->bytes);
        jw_kv_bool(w, "pinned", r->pinned);
        jw_kv_text(w, "pin_reason", r->pin && *r->pin ? r->pin : NULL);
        jw_end_object(w);
        return true;
    }
    struct str made = {0}, took = {0}, size = {0};
    add_ago(&made, r->made_at_ms);
    add_duration(&took, r->duration_ms);
    add_size(&size, r->bytes);
    table_cell(l->table, TONE_NONE, "%.12s", text_starts(r->key, "sha256:") ? r->key + 7 : r->key);
    table_cell(l->table, TONE_NONE, "%s", r->workflow);
    table_cell(l->table, TONE_NONE, "%s", r->step);
    table_cell(l->table, TONE_NONE, "%s", sb_text(&made));
    table_cell(l->table, TONE_NONE, "%s", sb_text(&took));
    table_cell(l->table, TONE_NONE, "%s", sb_text(&size));
    table_cell(l->table, TONE_DIM, "%s", !r->pinned ? "" : *r->pin ? r->pin : "pinned");
    sb_done(&made);
    sb_done(&took);
    sb_done(&size);
    return true;
}

static int list(struct cli *c, const struct args *a)
{
    static const char *const titles[] = {"KEY", "WORKFLOW", "STEP", "MADE", "TOOK", "SIZE", "PIN"};
    struct err err = {0};
    struct ls ls = {.pinned_only = opt_given(a, "pinned")};
    int code = listing_open(c, a, titles, ARRAY_LEN(titles), 50, &ls.listing);
    if (code != EXIT_OK) {
        return code;
    }
    ls.left = ls.listing.limit;
    int r = cache_list(ls.listing.store, opt_text(a, "workflow"), opt_text(a, "step"),
                       ls.pinned_only ? 0 : ls.left, add_row, &ls, &err);
    return listing_close(&ls.listing, r, &err);
}

/* Finds the entry whose key begins with `prefix` among the listed ones; of one key's entries the newest. */
struct finding {
    const char *prefix;
    int64_t id;
    size_t found; /* different keys */
    char *key, *step, *workflow;
};

static bool match_key(const struct cache_row *r, void *arg)
{
    struct finding *f = arg;
    const char *hex = text_starts(r->key, "sha256:") ? r->key + 7 : r->key;
    if (text_starts(hex, f->prefix) && !text_eq(hex, f->key)) {
        if (f->found++ == 0) {
            f->id = r->id;
            f->key = xstrdup(hex);
            f->step = xstrdup(r->step);
            f->workflow = xstrdup(r->workflow);
        }
    }
    return f->found < 2;
}

/* One entry, read whole. */
struct shown {
    const struct finding *f;
    struct entry entry;
    struct result result;
    const char *action, *work;
};

static void shown_json(const struct shown *x, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, true);
    jw_object(&w);
    jw_key(&w, "key");
    jw_digest(&w, &x->entry.key);
    jw_kv_text(&w, "workflow", x->f->workflow);
    jw_kv_text(&w, "step", x->f->step);
    jw_kv_time(&w, "made_at", x->entry.made_at_ms);
    jw_key(&w, "action");
    jw_raw(&w, x->action, strlen(x->action));
    jw_key(&w, "work");
    jw_raw(&w, x->work, strlen(x->work));
    jw_key(&w, "result");
    jw_object(&w);
    result_json(&x->result, &w);
    jw_end_object(&w);
    jw_end_object(&w);
    sb_putc(out, '\n');
}

/* The members of a JSON object, one line each, indented. */
static void add_members(const char *title, const char *json, struct str *out)
{
    json_t *j = NULL;
    const char *key;
    json_t *value;
    if (json_read(json, strlen(json), 64u << 20, &j, NULL) < 0) {
        return;
    }
    sb_printf(out, "%s\n", title);
    json_object_foreach(j, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        sb_printf(out, "  %-12s %s\n", key, text ? text : "");
        free(text);
    }
    json_decref(j);
}

static void shown_text(const struct shown *x, struct str *out)
{
    char hex[DIGEST_HEX + 1];
    digest_hex(&x->entry.key, hex);
    sb_printf(out, "key       sha256:%s\nworkflow  %s\nstep      %s\nmade      ", hex,
              x->f->workflow, x->f->step);
    add_ago(out, x->entry.made_at_ms);
    sb_printf(out, " by run %s, took ", x->result.run ? x->result.run : "?");
    add_duration(out, x->result.duration_ms);
    sb_putc(out, '\n');
    if (x->result.origin) {
        sb_printf(out, "from      elsewhere; made in the store %s\n", x->result.origin);
    }
    if (x->result.adopted) {
        struct arena *a = arena_new();
        const char *words = adopt_sentence(x->entry.data, x->entry.data_len, a);
        sb_printf(out, "adopted   %s\n", words ? words + strlen("adopted ") : "?");
        arena_free(a);
    }
    for (uint32_t i = 0; i < x->result.n_outputs; i++) {
        const struct result_output *o = &x->result.outputs[i];
        sb_printf(out, "output    %s (%s) ", o->name, o->path);
        add_size(out, o->bytes);
        digest_hex(&o->digest, hex);
        sb_printf(out, " sha256:%s\n", hex);
    }
    for (uint32_t i = 0; i < x->result.n_values; i++) {
        sb_printf(out, "value     %s=%s\n", x->result.values[i].name, x->result.values[i].text);
    }
    if (x->result.metrics) {
        sb_printf(out, "metrics   %s\n", x->result.metrics);
    }
    add_members("action: what this run added to the key", x->action, out);
    add_members("work: what the workflow's text says", x->work, out);
}

static int show_entry(struct cli *c, struct store *store, const struct finding *f, bool json)
{
    struct err err = {0};
    struct arena *arena = arena_new();
    struct shown x = {.f = f};
    int r = entry_get(store, f->id, arena, &x.entry, &err);
    if (r == 0) {
        r = result_decode(x.entry.data, x.entry.data_len, arena, &x.result, &err);
    }
    if (r == 0) {
        r = entry_action(store, f->id, arena, &x.action, &x.work, &err);
    }
    int code = EXIT_OK;
    if (r != 0) {
        code = r < 0 ? cli_fail(c, &err) : cli_usage(c, "that entry was removed just now");
    } else {
        CLEANUP(sb_done) struct str action = {0}, work = {0};
        struct str out = {0};
        x.action = redact_urls(x.action, &action) ? sb_text(&action) : x.action;
        x.work = redact_urls(x.work, &work) ? sb_text(&work) : x.work;
        (json ? shown_json : shown_text)(&x, &out);
        out_str(&out);
        sb_done(&out);
    }
    arena_free(arena);
    return code;
}

static int show(struct cli *c, const struct args *a)
{
    const char *word = a->positional[0];
    struct finding f = {.prefix = text_starts(word, "sha256:") ? word + 7 : word};
    struct store *store;
    struct err err = {0};
    int code = setup_store(c, &store);
    if (code != EXIT_OK) {
        return code;
    }
    if (cache_list(store, NULL, NULL, UINT32_MAX, match_key, &f, &err) < 0) {
        code = cli_fail(c, &err);
    } else if (f.found == 0) {
        code = cli_usage(c, "no entry's key begins with '%s'; `wf cache ls` lists them", f.prefix);
    } else if (f.found > 1) {
        code = cli_usage(c, "several entries' keys begin with '%s': give more of it", f.prefix);
    } else {
        code = show_entry(c, store, &f, opt_given(a, "json"));
    }
    cleanup_free(&f.key);
    cleanup_free(&f.step);
    cleanup_free(&f.workflow);
    store_close(store);
    return code;
}

static const struct opt ls_opts[] = {
    {"workflow", 'w', OPT_TEXT, "NAME", "Only what this workflow made"},
    {"step", 's', OPT_TEXT, "STEP", "Only what this step made"},
    {"pinned", 0, OPT_FLAG, NULL, "Only what is pinned"},
    {"limit", 'n', OPT_TEXT, "N", "At most so many (default 50), newest first"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};
static const struct opt show_opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};

const struct command cmd_cache_ls = {.name = "cache ls",
                                     .synopsis = "",
                                     .summary = "Lists cache entries, newest first",
                                     .example = "  wf cache ls -w fashion-mnist -s train",
                                     .opts = ls_opts,
                                     .n_opts = ARRAY_LEN(ls_opts),
                                     .run = list};
const struct command cmd_cache_show = {
    .name = "cache show",
    .synopsis = "KEY",
    .summary = "Shows one entry: its action (all that was in the key) and its result",
    .example = "  wf cache show 9f03ab",
    .opts = show_opts,
    .n_opts = ARRAY_LEN(show_opts),
    .min_args = 1,
    .max_args = 1,
    .run = show};
