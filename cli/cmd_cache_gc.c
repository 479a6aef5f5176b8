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
#include "cli/out.h"

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

static int read_options(const struct cli *c, const struct args *a, struct gc_options *o)
{
    struct err err = {0};
    const char *unused = opt_text(a, "unused-for"), *size = opt_text(a, "max-size");
    long entries;
    if (unused && parse_duration(unused, &o->unused_for_ms, &err) < 0) {
        return cli_usage(c, "option '--unused-for': %s", err.msg);
    }
    if (size && parse_size(size, &o->max_size, &err) < 0) {
        return cli_usage(c, "option '--max-size': %s", err.msg);
    }
    if (opt_number(a, "max-entries", 1, 0, &entries, &err) < 0) {
        return cli_usage(c, "%s", err.msg);
    }
    o->max_entries = (uint64_t)entries;
    return EXIT_OK;
}

static void report_text(const struct gc_report *r, bool dry_run, struct str *out)
{
    sb_printf(out, "%s %" PRIu64 " entries, %" PRIu64 " objects (",
              dry_run ? "would remove" : "removed", r->entries_removed, r->objects_removed);
    add_size(out, r->bytes_removed);
    sb_printf(out, "); %s %" PRIu64 " entries (", dry_run ? "would keep" : "kept", r->entries_kept);
    add_size(out, r->bytes_kept);
    sb_puts(out, ")\n");
}

static void report_json(const struct gc_report *r, bool dry_run, struct str *out)
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
    jw_kv_bool(&w, "complete", r->complete);
    jw_end_object(&w);
    sb_putc(out, '\n');
}

static int run(struct cli *c, const struct args *a)
{
    struct gc_options o = {.dry_run = opt_given(a, "dry-run"), .progress = tell, .arg = c};
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
    if (c->err_tty) {
        fputs("\r\x1b[K", stderr);
    }
    if (r < 0) {
        code = cli_fail(c, &err);
    } else if (opt_given(a, "json")) {
        report_json(&report, o.dry_run, &out);
    } else {
        report_text(&report, o.dry_run, &out);
    }
    out_str(&out);
    sb_done(&out);
    store_close(store);
    return code;
}

static const struct opt opts[] = {
    {"unused-for", 0, OPT_TEXT, "DURATION", "Removes entries no run has used for so long (30d)"},
    {"max-size", 0, OPT_TEXT, "SIZE", "Then the least recently used until the objects fit (20GB)"},
    {"max-entries", 0, OPT_TEXT, "N", "Then the least recently used until at most N are left"},
    {"dry-run", 0, OPT_FLAG, NULL, "Tells what it would do; changes nothing"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_cache_gc = {
    .name = "cache gc",
    .synopsis = "",
    .summary = "Removes cache entries nobody uses, and objects nobody names",
    .text = "Works beside running workflows and can be interrupted anywhere. Never takes what a "
            "running run uses.\n"
            "Without bounds it removes only objects that nobody names.",
    .example = "  wf cache gc --unused-for 30d --max-size 20GB --dry-run",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .run = run};
