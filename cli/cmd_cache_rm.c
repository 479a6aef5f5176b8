/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache rm */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/pick.h"
#include "cache/remove.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/named.h"
#include "cli/out.h"
#include "engine/used.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct removing {
    const struct cli *cli;
    const struct args *args;
    struct store *store;
    struct pick pick;
    struct named named;
    bool by_rule; /* not by keys alone: asked before */
    bool dry_run;
};

static bool add_picked(const struct picked *e, void *arg)
{
    struct removing *r = arg;

    *vec_push(&r->named) = e->id;
    return !interrupt_code();
}

static bool tell(uint64_t done, uint64_t removed, void *arg)
{
    const struct cli *c = arg;

    if (c->err_tty) {
        fprintf(stderr, "\r%" PRIu64 " entries seen, %" PRIu64 " removed\x1b[K", done, removed);
        fflush(stderr);
    }
    return !interrupt_code();
}

static int read_age(const struct removing *r, const char *name, int64_t *ret)
{
    const char *text = opt_text(r->args, name);
    struct err err = {0};
    int64_t ms;

    if (text && parse_duration(text, &ms, &err) < 0) {
        return cli_usage(r->cli, "option '--%s': %s", name, err.msg);
    }
    if (text) {
        *ret = now_ms() - ms;
    }
    return EXIT_OK;
}

static int read_rules(struct removing *r)
{
    const struct args *a = r->args;

    r->dry_run = opt_given(a, "dry-run");
    r->pick.workflow = opt_text(a, "workflow");
    r->pick.step = opt_text(a, "step");
    int code = read_age(r, "older-than", &r->pick.made_before_ms);
    code = code == EXIT_OK ? read_age(r, "unused-for", &r->pick.used_before_ms) : code;
    if (code != EXIT_OK) {
        return code;
    }
    r->by_rule =
        r->pick.workflow || r->pick.step || r->pick.made_before_ms || r->pick.used_before_ms;
    if (!r->by_rule && a->n_positional == 0) {
        return cli_usage(r->cli,
                         "wf cache rm needs to know what: a KEY, --workflow, --step, "
                         "--older-than or --unused-for (`wf cache gc` keeps the store small)");
    }
    if (r->by_rule && a->n_positional > 0) {
        return cli_usage(r->cli, "wf cache rm takes keys, or --workflow, --step, --older-than and "
                                 "--unused-for, not both");
    }
    return EXIT_OK;
}

static int find(struct removing *r)
{
    struct err err = {0};

    for (size_t i = 0; i < r->args->n_positional; i++) {
        int code = named_add(r->cli, r->store, r->args->positional[i], false, &r->named);
        if (code != EXIT_OK) {
            return code;
        }
    }
    if (!r->by_rule) {
        return EXIT_OK;
    }
    int rc = r->pick.used_before_ms ? cache_fold_hits(r->store, &err) : 0;
    rc = rc < 0 ? rc : cache_pick(r->store, &r->pick, add_picked, r, &err);
    return rc < 0 ? cli_fail_store(r->cli, &err) : interrupt_code();
}

static int ask(const struct removing *r)
{
    if (!r->by_rule || r->dry_run || opt_given(r->args, "yes") || r->named.len == 0) {
        return EXIT_OK;
    }
    CLEANUP(cleanup_free)
    char *question =
        xasprintf("remove %zu entries from the store %s?", r->named.len, store_dir(r->store));
    int said = confirm(r->cli, question);
    if (said < 0) {
        return cli_usage(r->cli,
                         "%zu entries would be removed: say --yes where nobody can be asked "
                         "(--dry-run shows what would go)",
                         r->named.len);
    }
    return said ? EXIT_OK : cli_usage(r->cli, "nothing was removed");
}

static void add_stays(struct str *out, uint64_t n, const char *why)
{
    if (n > 0) {
        sb_printf(out, "; %" PRIu64 " %s", n, why);
    }
}

static void add_report(const struct removing *r, const struct remove_report *n, struct str *out)
{
    if (opt_given(r->args, "json")) {
        struct jsonw w;
        jw_init(&w, out, true);
        jw_object(&w);
        jw_kv_bool(&w, "dry_run", r->dry_run);
        jw_kv_i64(&w, "entries_removed", (int64_t)n->removed);
        jw_kv_i64(&w, "objects_removed", (int64_t)n->objects);
        jw_kv_i64(&w, "bytes_removed", (int64_t)n->bytes);
        jw_kv_i64(&w, "pinned", (int64_t)n->pinned);
        jw_kv_i64(&w, "in_use", (int64_t)n->in_use);
        jw_kv_bool(&w, "complete", n->complete);
        jw_end_object(&w);
        sb_putc(out, '\n');
        return;
    }
    sb_printf(out, "%s %" PRIu64 " %s, %" PRIu64 " objects (",
              r->dry_run ? "would remove" : "removed", n->removed,
              n->removed == 1 ? "entry" : "entries", n->objects);
    add_size(out, n->bytes);
    sb_putc(out, ')');
    add_stays(out, n->pinned, "pinned: stays (--force removes it)");
    add_stays(out, n->in_use, "in use by a running workflow: stays");
    add_stays(out, n->gone, "gone already");
    sb_putc(out, '\n');
}

static int remove_found(struct removing *r)
{
    struct remove_options o = {.force = opt_given(r->args, "force"),
                               .dry_run = r->dry_run,
                               .live_entries = used_by_run,
                               .progress = tell,
                               .arg = (void *)(uintptr_t)r->cli};
    struct remove_report report = {0};
    struct err err = {0};
    int rc = cache_remove(r->store, r->named.items, r->named.len, &o, &report, &err);

    if (r->cli->err_tty) {
        fputs("\r\x1b[K", stderr);
    }
    if (rc < 0) {
        return cli_fail_store(r->cli, &err);
    }
    CLEANUP(sb_done) struct str out = {0};
    add_report(r, &report, &out);
    out_str(&out);
    if (!report.complete) {
        return interrupt_code();
    }
    /* What was named one by one and stays is told by the exit code too. */
    return !r->by_rule && report.pinned + report.in_use > 0 ? EXIT_RUN_FAILED : EXIT_OK;
}

static int run(struct cli *c, const struct args *a)
{
    /* An older result must not come into force because the newest of its key is gone. */
    struct removing r = {.cli = c, .args = a, .named.every = true};
    struct err err = {0};
    int code = read_rules(&r);

    if (code != EXIT_OK) {
        return code;
    }
    struct store_options o = {.dir = c->store_dir, .read_only = r.dry_run};
    if (store_open(&o, &r.store, &err) < 0) {
        return cli_fail_store(c, &err);
    }
    code = find(&r);
    code = code == EXIT_OK ? ask(&r) : code;
    if (code == EXIT_OK) {
        interrupt_catch();
        code = remove_found(&r);
    }
    named_done(&r.named);
    store_close(r.store);
    return code;
}

static const struct opt opts[] = {
    {"workflow", 'w', OPT_TEXT, "NAME", "What this workflow made"},
    {"step", 's', OPT_TEXT, "STEP", "What this step made: all its branches, or one"},
    {"older-than", 0, OPT_TEXT, "DURATION", "What was made longer ago, such as 30d"},
    {"unused-for", 0, OPT_TEXT, "DURATION", "What no run has used for so long"},
    {"force", 0, OPT_FLAG, NULL, "Removes pinned ones too"},
    {"dry-run", 0, OPT_FLAG, NULL, "Tells what it would do; changes nothing"},
    {"yes", 'y', OPT_FLAG, NULL, "Does not ask"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_cache_rm = {
    .name = "cache rm",
    .synopsis = "[KEY…]",
    .summary = "Removes entries: by key, or by workflow, step and age",
    .text = "Of several rules all must hold. What a running workflow uses stays; pinned entries "
            "stay unless --force is given.\n"
            "Exit code 1: an entry named by its key stays.",
    .example = "  wf cache rm 9f03ab\n  wf cache rm -w fashion-mnist -s train --older-than 30d",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .max_args = SIZE_MAX,
    .run = run};
