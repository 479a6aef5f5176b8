/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache ls | show | stats */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/entries.h"
#include "cache/gc.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/setup.h"

#include <inttypes.h>
#include <string.h>

struct listing {
    struct table *table;
    struct jsonw *json;
};

static bool add_row(const struct cache_row *r, void *arg)
{
    struct listing *l = arg;
    if (l->json) {
        struct jsonw *w = l->json;
        jw_object(w);
        jw_kv_i64(w, "entry", r->id);
        jw_kv_text(w, "key", r->key);
        jw_kv_text(w, "workflow", r->workflow);
        jw_kv_text(w, "step", r->step);
        jw_kv_time(w, "made_at", r->made_at_ms);
        jw_kv_time(w, "last_hit_at", r->last_hit_ms);
        jw_key(w, "duration_seconds");
        jw_real(w, (double)r->duration_ms / 1000.0);
        jw_kv_i64(w, "bytes", (int64_t)r->bytes);
        jw_kv_bool(w, "pinned", r->pinned);
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
    sb_done(&made);
    sb_done(&took);
    sb_done(&size);
    return true;
}

static int list(struct cli *c, const struct args *a)
{
    struct err err = {0};
    long limit;
    if (opt_number(a, "limit", 1, 50, &limit, &err) < 0) {
        return cli_usage(c, "%s", err.msg);
    }
    struct store *store;
    int code = setup_store(c, &store);
    if (code != EXIT_OK) {
        return code;
    }
    static const char *const titles[] = {"KEY", "WORKFLOW", "STEP", "MADE", "TOOK", "SIZE"};
    struct str out = {0};
    struct jsonw w;
    jw_init(&w, &out, true);
    bool json = opt_given(a, "json");
    struct listing l = {table_new(ARRAY_LEN(titles), titles), json ? &w : NULL};
    if (json) {
        jw_array(&w);
    }
    int r = cache_list(store, opt_text(a, "workflow"), opt_text(a, "step"), (uint32_t)limit,
                       add_row, &l, &err);
    if (json) {
        jw_end_array(&w);
        sb_putc(&out, '\n');
    } else {
        table_print(l.table, c->colour, c->out_tty ? c->width : 0, &out);
    }
    if (r < 0) {
        code = cli_fail(c, &err);
    } else {
        out_str(&out);
    }
    table_free(l.table);
    sb_done(&out);
    store_close(store);
    return code;
}

/* Finds the entry whose key begins with `prefix` among the listed ones. */
struct finding {
    const char *prefix;
    int64_t id;
    size_t found;
    char *step, *workflow;
};

static bool match_key(const struct cache_row *r, void *arg)
{
    struct finding *f = arg;
    const char *hex = text_starts(r->key, "sha256:") ? r->key + 7 : r->key;
    if (text_starts(hex, f->prefix)) {
        if (f->found++ == 0) {
            f->id = r->id;
            f->step = xstrdup(r->step);
            f->workflow = xstrdup(r->workflow);
        }
    }
    return f->found < 2;
}

static int show_entry(struct cli *c, struct store *store, const struct finding *f)
{
    struct err err = {0};
    struct arena *arena = arena_new();
    struct entry e;
    struct result result;
    const char *action, *work;
    int r = entry_get(store, f->id, arena, &e, &err);
    if (r == 0) {
        r = result_decode(e.data, e.data_len, arena, &result, &err);
    }
    if (r == 0) {
        r = entry_action(store, f->id, arena, &action, &work, &err);
    }
    if (r != 0) {
        arena_free(arena);
        return r < 0 ? cli_fail(c, &err) : cli_usage(c, "that entry was removed just now");
    }
    struct str out = {0};
    struct jsonw w;
    jw_init(&w, &out, true);
    jw_object(&w);
    jw_key(&w, "key");
    jw_digest(&w, &e.key);
    jw_kv_text(&w, "workflow", f->workflow);
    jw_kv_text(&w, "step", f->step);
    jw_kv_time(&w, "made_at", e.made_at_ms);
    jw_key(&w, "action");
    jw_raw(&w, action, strlen(action));
    jw_key(&w, "work");
    jw_raw(&w, work, strlen(work));
    jw_key(&w, "result");
    jw_object(&w);
    result_json(&result, &w);
    jw_end_object(&w);
    jw_end_object(&w);
    sb_putc(&out, '\n');
    out_str(&out);
    sb_done(&out);
    arena_free(arena);
    return EXIT_OK;
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
        code = show_entry(c, store, &f);
    }
    cleanup_free(&f.step);
    cleanup_free(&f.workflow);
    store_close(store);
    return code;
}

static void stats_text(const struct cache_stats *s, struct str *out)
{
    sb_printf(out, "entries    %" PRIu64 "\nobjects    %" PRIu64 " (", s->entries, s->objects);
    add_size(out, s->object_bytes);
    sb_puts(out, ")\ndatabase   ");
    add_size(out, s->database_bytes);
    sb_printf(out, "\nruns       %" PRIu64 "\nhits       %" PRIu64 "\nmisses     %" PRIu64 "\n",
              s->runs, s->hits, s->misses);
    if (s->hits + s->misses > 0) {
        sb_printf(out, "hit rate   %.1f%%\n",
                  100.0 * (double)s->hits / (double)(s->hits + s->misses));
    }
    sb_puts(out, "saved      ");
    add_duration(out, s->saved_ms);
    sb_putc(out, '\n');
    if (s->entries > 0) {
        sb_puts(out, "oldest     ");
        add_ago(out, s->oldest_ms);
        sb_puts(out, "\nnewest     ");
        add_ago(out, s->newest_ms);
        sb_putc(out, '\n');
    }
}

static void stats_json(const struct cache_stats *s, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, true);
    jw_object(&w);
    jw_kv_i64(&w, "entries", (int64_t)s->entries);
    jw_kv_i64(&w, "objects", (int64_t)s->objects);
    jw_kv_i64(&w, "object_bytes", (int64_t)s->object_bytes);
    jw_kv_i64(&w, "database_bytes", (int64_t)s->database_bytes);
    jw_kv_time(&w, "oldest_at", s->oldest_ms);
    jw_kv_time(&w, "newest_at", s->newest_ms);
    jw_kv_i64(&w, "runs", (int64_t)s->runs);
    jw_kv_i64(&w, "hits", (int64_t)s->hits);
    jw_kv_i64(&w, "misses", (int64_t)s->misses);
    jw_key(&w, "saved_seconds");
    jw_real(&w, (double)s->saved_ms / 1000.0);
    jw_end_object(&w);
    sb_putc(out, '\n');
}

static int stats(struct cli *c, const struct args *a)
{
    struct store *store;
    struct err err = {0};
    int code = setup_store(c, &store);
    if (code != EXIT_OK) {
        return code;
    }
    struct cache_stats s = {0};
    struct str out = {0};
    if (cache_stats(store, &s, &err) < 0) {
        code = cli_fail(c, &err);
    } else if (opt_given(a, "json")) {
        stats_json(&s, &out);
    } else {
        stats_text(&s, &out);
    }
    out_str(&out);
    sb_done(&out);
    store_close(store);
    return code;
}

static const struct opt ls_opts[] = {
    {"workflow", 'w', OPT_TEXT, "NAME", "Only what this workflow made"},
    {"step", 's', OPT_TEXT, "STEP", "Only what this step made"},
    {"limit", 'n', OPT_TEXT, "N", "At most so many (default 50), newest first"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};
static const struct opt stats_opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};
static const struct opt show_opts[] = {
    {"json", 0, OPT_FLAG, NULL, "Accepted for symmetry: it always prints a JSON document"}};

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
const struct command cmd_cache_stats = {.name = "cache stats",
                                        .synopsis = "",
                                        .summary = "Shows what the cache holds and what it saved",
                                        .example = "  wf cache stats --json",
                                        .opts = stats_opts,
                                        .n_opts = ARRAY_LEN(stats_opts),
                                        .run = stats};
