/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache gc */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/gc.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/out.h"
#include "engine/promotions.h"
#include "engine/used.h"
#include "serve/models.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool tell(uint64_t seen, uint64_t removed, void *arg)
{
    const struct cli *c = arg;
    if (c->err_tty) {
        fprintf(stderr, "\r%" PRIu64 " entries seen, %" PRIu64 " removed\x1b[K", seen, removed);
        fflush(stderr);
    }
    return true;
}

/* What was written in config.yaml, where no bound is given here. */
static int read_config(const struct cli *c, struct gc_options *o, bool entries, bool runs)
{
    struct config f;
    int code = config_open(c, &f);

    if (code == EXIT_OK && runs) {
        o->runs_for_ms = f.keep_for_ms == CONFIG_NO_AGE ? 0
                         : f.keep_for_ms > 0            ? f.keep_for_ms
                                                        : TIDY_RUNS_MS;
    }
    if (code == EXIT_OK) {
        o->kept_runs = f.keep_runs;
    }
    if (code == EXIT_OK && entries) {
        o->max_size = f.max_size == CONFIG_NO_SIZE ? 0 : f.max_size;
        o->max_entries = f.max_entries == CONFIG_NO_SIZE ? 0 : f.max_entries;
        o->unused_for_ms = f.unused_for_ms == CONFIG_NO_AGE ? 0 : f.unused_for_ms;
    }
    config_done(&f);
    return code;
}

static int read_options(const struct cli *c, const struct args *a, struct gc_options *o)
{
    struct err err = {0};
    const char *unused = opt_text(a, "unused-for"), *size = opt_text(a, "max-size");
    const char *runs = opt_text(a, "runs-for");
    long entries;
    if (unused && parse_duration(unused, &o->unused_for_ms, &err) < 0) {
        return cli_usage(c, "option '--unused-for': %s", err.msg);
    }
    if (size && parse_size(size, &o->max_size, &err) < 0) {
        return cli_usage(c, "option '--max-size': %s", err.msg);
    }
    if (runs && parse_duration(runs, &o->runs_for_ms, &err) < 0) {
        return cli_usage(c, "option '--runs-for': %s", err.msg);
    }
    if (opt_number(a, "max-entries", 1, 0, &entries, &err) < 0) {
        return cli_usage(c, "%s", err.msg);
    }
    o->max_entries = (uint64_t)entries;
    /* Zero is no bound for housekeeping; whoever writes it means all. */
    o->unused_for_ms = unused && o->unused_for_ms == 0 ? 1 : o->unused_for_ms;
    o->runs_for_ms = runs && o->runs_for_ms == 0 ? 1 : o->runs_for_ms;
    return read_config(c, o, !unused && !size && entries == 0, !runs);
}

static void report_text(const struct gc_report *r, uint64_t models, bool dry_run, struct str *out)
{
    uint64_t objects = r->objects_removed + r->stray_objects;
    sb_printf(out, "%s %" PRIu64 " %s, %" PRIu64 " object%s (",
              dry_run ? "would remove" : "removed", r->entries_removed,
              r->entries_removed == 1 ? "entry" : "entries", objects, objects == 1 ? "" : "s");
    add_size(out, r->bytes_removed);
    sb_printf(out, "); %s %" PRIu64 " %s (", dry_run ? "would keep" : "kept", r->entries_kept,
              r->entries_kept == 1 ? "entry" : "entries");
    add_size(out, r->bytes_kept);
    sb_puts(out, ")\n");
    if (r->runs_removed > 0) {
        sb_printf(out, "%s %" PRIu64 " old run%s\n", dry_run ? "would forget" : "forgot",
                  r->runs_removed, r->runs_removed == 1 ? "" : "s");
    }
    if (r->sources_removed > 0) {
        sb_printf(out, "%s %" PRIu64 " unused git source%s (", dry_run ? "would remove" : "removed",
                  r->sources_removed, r->sources_removed == 1 ? "" : "s");
        add_size(out, r->source_bytes_removed);
        sb_puts(out, ")\n");
    }
    if (models > 0) {
        sb_puts(out, "models of promotions that are not kept any more: ");
        add_size(out, models);
        sb_putc(out, '\n');
    }
    if (r->database_freed > 0) {
        sb_puts(out, "the database is smaller by ");
        add_size(out, r->database_freed);
        sb_putc(out, '\n');
    }
}

static void report_json(const struct gc_report *r, uint64_t models, bool dry_run, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, true);
    jw_object(&w);
    jw_kv_bool(&w, "dry_run", dry_run);
    jw_kv_i64(&w, "entries_removed", (int64_t)r->entries_removed);
    jw_kv_i64(&w, "objects_removed", (int64_t)r->objects_removed);
    jw_kv_i64(&w, "bytes_removed", (int64_t)r->bytes_removed);
    jw_kv_i64(&w, "stray_objects", (int64_t)r->stray_objects);
    jw_kv_i64(&w, "entries_kept", (int64_t)r->entries_kept);
    jw_kv_i64(&w, "bytes_kept", (int64_t)r->bytes_kept);
    jw_kv_i64(&w, "runs_removed", (int64_t)r->runs_removed);
    jw_kv_i64(&w, "plans_removed", (int64_t)r->plans_removed);
    jw_kv_i64(&w, "sources_removed", (int64_t)r->sources_removed);
    jw_kv_i64(&w, "source_bytes_removed", (int64_t)r->source_bytes_removed);
    jw_kv_i64(&w, "model_bytes_removed", (int64_t)models);
    jw_kv_i64(&w, "database_freed", (int64_t)r->database_freed);
    jw_kv_bool(&w, "complete", r->complete);
    jw_end_object(&w);
    sb_putc(out, '\n');
}

static int run(struct cli *c, const struct args *a)
{
    struct gc_options o = {.dry_run = opt_given(a, "dry-run"),
                           .live_entries = used_by_run,
                           .progress = tell,
                           .arg = c};
    int code = read_options(c, a, &o);
    if (code != EXIT_OK) {
        return code;
    }
    struct err err = {0};
    struct store *store;
    struct store_options so = {.dir = c->store_dir, .read_only = o.dry_run};
    if (store_open(&so, &store, &err) < 0) {
        return cli_fail(c, &err);
    }
    struct gc_report report = {0};
    struct str out = {0};
    int r = cache_gc(store, &o, &report, &err);
    uint64_t models = 0;
    if (r >= 0 && !o.dry_run) {
        r = models_sweep(store, PROMOTIONS_KEPT, 0, &models, &err);
    }
    if (c->err_tty) {
        fputs("\r\x1b[K", stderr);
    }
    if (r < 0) {
        code = cli_fail(c, &err);
    } else if (opt_given(a, "json")) {
        report_json(&report, models, o.dry_run, &out);
    } else {
        report_text(&report, models, o.dry_run, &out);
    }
    out_str(&out);
    sb_done(&out);
    store_close(store);
    return code;
}

static const struct opt opts[] = {
    {"unused-for", 0, OPT_TEXT, "DURATION",
     "Removes entries and git copies unused for so long (30d)"},
    {"max-size", 0, OPT_TEXT, "SIZE", "Then the least recently used until the objects fit (20GB)"},
    {"max-entries", 0, OPT_TEXT, "N", "Then the least recently used until at most N are left"},
    {"runs-for", 0, OPT_TEXT, "DURATION",
     "Forgets runs older than this (default 90d), but the newest 20 of each workflow"},
    {"dry-run", 0, OPT_FLAG, NULL, "Tells what it would do; changes nothing"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_cache_gc = {
    .name = "cache gc",
    .synopsis = "",
    .summary = "Removes cache entries nobody uses, and objects nobody names",
    .text = "Works beside running workflows and can be interrupted anywhere. Never takes what a "
            "running run uses, what is\n"
            "pinned, and what the newest successful run of a workflow published. Without bounds "
            "those of\n"
            "config.yaml count; without these only files that nobody names and old runs go.",
    .example = "  wf cache gc --unused-for 30d --max-size 20GB --dry-run",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .run = run};
