/* SPDX-License-Identifier: Apache-2.0 */
/* wf runs: history. */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/out.h"
#include "engine/history.h"

static void row_json(struct jsonw *w, const struct run_row *r)
{
    jw_object(w);
    jw_kv_text(w, "run", r->id);
    jw_kv_text(w, "workflow", r->workflow);
    jw_kv_text(w, "file", r->file);
    jw_kv_text(w, "status", r->status);
    jw_kv_text(w, "trigger", r->trigger);
    jw_kv_time(w, "started_at", r->started_ms);
    jw_kv_time(w, "ended_at", r->ended_ms);
    jw_key(w, "counts");
    jw_object(w);
    for (int i = 0; i < INSTANCE_STATE_COUNT; i++) {
        jw_kv_i64(w, instance_state_names[i], r->counts[i]);
    }
    jw_end_object(w);
    jw_key(w, "saved_seconds");
    jw_real(w, (double)r->saved_ms / 1000.0);
    jw_end_object(w);
}

static bool add_row(const struct run_row *r, void *arg)
{
    struct listing *l = arg;
    if (l->json) {
        row_json(l->json, r);
        return true;
    }
    struct str started = {0}, took = {0};
    add_ago(&started, r->started_ms);
    if (r->ended_ms) {
        add_duration(&took, r->ended_ms - r->started_ms);
    }
    table_cell(l->table, TONE_NONE, "%s", r->id);
    table_cell(l->table, TONE_NONE, "%s", r->workflow);
    table_cell(l->table, tone_of_status(r->status), "%s", r->status);
    table_cell(l->table, TONE_NONE, "%s", sb_text(&started));
    table_cell(l->table, TONE_NONE, "%s", sb_text(&took));
    table_cell(l->table, TONE_NONE, "%u", r->counts[INSTANCE_SUCCEEDED]);
    table_cell(l->table, TONE_NONE, "%u", r->counts[INSTANCE_CACHED]);
    table_cell(l->table, TONE_NONE, "%u", r->counts[INSTANCE_FAILED]);
    sb_done(&started);
    sb_done(&took);
    return true;
}

static int run(struct cli *c, const struct args *a)
{
    static const char *const titles[] = {"RUN",  "WORKFLOW", "STATUS", "STARTED",
                                         "TOOK", "RAN",      "REUSED", "FAILED"};
    struct err err = {0};
    struct listing l;
    int code = listing_open(c, a, titles, ARRAY_LEN(titles), 20, &l);
    if (code != EXIT_OK) {
        return code;
    }
    int r = history_list(l.store, opt_text(a, "workflow"), l.limit, add_row, &l, &err);
    return listing_close(&l, r, &err);
}

static const struct opt opts[] = {
    {"workflow", 'w', OPT_TEXT, "NAME", "Only runs of this workflow"},
    {"limit", 'n', OPT_TEXT, "N", "At most so many (default 20), newest first"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_runs = {.name = "runs",
                                 .synopsis = "",
                                 .summary = "Lists past and running runs",
                                 .example = "  wf runs -w fashion-mnist -n 5",
                                 .opts = opts,
                                 .n_opts = ARRAY_LEN(opts),
                                 .min_args = 0,
                                 .max_args = 0,
                                 .run = run};
