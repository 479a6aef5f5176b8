/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache stats */
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
#include "cli/setup.h"
#include "engine/tally.h"

#include <inttypes.h>

enum { RUNS = 1000, STEPS_SHOWN = 15 };

struct stats {
    struct cache_stats store;
    const struct tally *tally;
    size_t limit; /* steps */
};

static double rate(const struct tally_count *c)
{
    uint64_t all = c->hits + tally_misses(c);

    return all > 0 ? (double)c->hits / (double)all : 0;
}

/* --- for people --- */

static void cell_duration(struct table *t, int64_t ms)
{
    struct str text = {0};

    add_duration(&text, ms);
    table_cell(t, TONE_NONE, "%s", sb_text(&text));
    sb_done(&text);
}

static void cell_size(struct table *t, uint64_t bytes)
{
    struct str text = {0};

    add_size(&text, bytes);
    table_cell(t, TONE_NONE, "%s", sb_text(&text));
    sb_done(&text);
}

static void text_store(const struct cache_stats *s, struct str *out)
{
    sb_printf(out, "entries    %" PRIu64 "\nobjects    %" PRIu64 " (", s->entries, s->objects);
    add_size(out, s->object_bytes);
    sb_puts(out, ")\ndatabase   ");
    add_size(out, s->database_bytes);
    sb_putc(out, '\n');
    if (s->sources > 0) {
        sb_printf(out, "sources    %" PRIu64 " (", s->sources);
        add_size(out, s->source_bytes);
        sb_puts(out, ")\n");
    }
    if (s->entries > 0) {
        sb_puts(out, "oldest     ");
        add_ago(out, s->oldest_ms);
        sb_puts(out, "\nnewest     ");
        add_ago(out, s->newest_ms);
        sb_putc(out, '\n');
    }
}

static void text_sum(const struct tally *t, struct str *out)
{
    const struct tally_count *c = tally_all(t);
    const char *sep = " (";

    sb_printf(out, "\nruns       %" PRIu32 "\nhits       %" PRIu64 "\nmisses     %" PRIu64,
              tally_runs(t), c->hits, tally_misses(c));
    for (int i = 0; i < REASON_COUNT; i++) {
        if (c->misses[i] > 0) {
            sb_printf(out, "%s%s %" PRIu64, sep, reason_names[i], c->misses[i]);
            sep = ", ";
        }
    }
    sb_puts(out, tally_misses(c) > 0 ? ")\n" : "\n");
    if (c->hits + tally_misses(c) > 0) {
        sb_printf(out, "hit rate   %.1f%%\n", 100.0 * rate(c));
    }
    sb_puts(out, "saved      ");
    add_duration(out, c->saved_ms);
    sb_puts(out, " of work, ");
    add_size(out, c->saved_bytes);
    sb_puts(out, " of results\nspent      ");
    add_duration(out, c->ran_ms);
    sb_puts(out, " of work, of it ");
    add_duration(out, c->storing_us / 1000);
    sb_puts(out, " on storing results\n");
}

static void text_steps(const struct cli *c, const struct stats *s, struct str *out)
{
    static const char *const titles[] = {"STEP",  "HITS", "RATE",    "SAVED",
                                         "BYTES", "RAN",  "STORING", "WORKFLOW"};
    size_t n;
    const struct tally_step *steps = tally_steps(s->tally, &n);
    struct table *t = table_new(ARRAY_LEN(titles), titles);

    for (size_t i = 0; i < n && i < s->limit; i++) {
        const struct tally_count *k = &steps[i].count;
        table_cell(t, TONE_NONE, "%s", steps[i].step);
        table_cell(t, TONE_NONE, "%" PRIu64, k->hits);
        table_cell(t, TONE_NONE, "%.0f%%", 100.0 * rate(k));
        cell_duration(t, k->saved_ms);
        cell_size(t, k->saved_bytes);
        cell_duration(t, k->ran_ms);
        cell_duration(t, k->storing_us / 1000);
        table_cell(t, TONE_NONE, "%s", steps[i].workflow);
    }
    if (n > 0) {
        sb_putc(out, '\n');
        table_print(t, c->colour, c->out_tty ? c->width : 0, out);
    }
    table_free(t);
    if (n > s->limit) {
        sb_printf(out, "and %zu more steps (--limit)\n", n - s->limit);
    }
}

/* The steps that would be better off without. */
static void text_costly(const struct tally *tally, struct str *out)
{
    size_t n;
    const struct tally_step *steps = tally_steps(tally, &n);

    for (size_t i = 0; i < n; i++) {
        const struct tally_count *k = &steps[i].count;
        if (tally_costs_more(k)) {
            sb_printf(out, "\n%s of %s costs more than it saves: storing took ", steps[i].step,
                      steps[i].workflow);
            add_duration(out, k->storing_us / 1000);
            sb_puts(out, ", reuse spared ");
            add_duration(out, k->saved_ms);
            sb_puts(out, " (`cache: false` would spare it)");
        }
    }
    sb_puts(out, sb_text(out)[out->len - 1] == '\n' ? "" : "\n");
}

/* --- for programs --- */

static void seconds(struct jsonw *w, const char *name, double value)
{
    jw_key(w, name);
    jw_real(w, value);
}

static void json_count(const struct tally_count *c, struct jsonw *w)
{
    jw_kv_i64(w, "hits", (int64_t)c->hits);
    jw_kv_i64(w, "misses", (int64_t)tally_misses(c));
    jw_key(w, "reasons");
    jw_object(w);
    for (int i = 0; i < REASON_COUNT; i++) {
        if (c->misses[i] > 0) {
            jw_kv_i64(w, reason_names[i], (int64_t)c->misses[i]);
        }
    }
    jw_end_object(w);
    seconds(w, "hit_rate", rate(c));
    jw_kv_i64(w, "failed_attempts", (int64_t)c->failed);
    seconds(w, "saved_seconds", (double)c->saved_ms / 1000.0);
    jw_kv_i64(w, "saved_bytes", (int64_t)c->saved_bytes);
    seconds(w, "ran_seconds", (double)c->ran_ms / 1000.0);
    seconds(w, "storing_seconds", (double)c->storing_us / 1e6);
}

static void stats_json(const struct stats *s, struct str *out)
{
    struct jsonw w;
    size_t n;
    const struct tally_step *steps = tally_steps(s->tally, &n);

    jw_init(&w, out, true);
    jw_object(&w);
    jw_kv_i64(&w, "entries", (int64_t)s->store.entries);
    jw_kv_i64(&w, "objects", (int64_t)s->store.objects);
    jw_kv_i64(&w, "object_bytes", (int64_t)s->store.object_bytes);
    jw_kv_i64(&w, "database_bytes", (int64_t)s->store.database_bytes);
    jw_kv_i64(&w, "sources", (int64_t)s->store.sources);
    jw_kv_i64(&w, "source_bytes", (int64_t)s->store.source_bytes);
    jw_kv_time(&w, "oldest_at", s->store.oldest_ms);
    jw_kv_time(&w, "newest_at", s->store.newest_ms);
    jw_kv_i64(&w, "runs", tally_runs(s->tally));
    json_count(tally_all(s->tally), &w);
    jw_key(&w, "steps");
    jw_array(&w);
    for (size_t i = 0; i < n && i < s->limit; i++) {
        jw_object(&w);
        jw_kv_text(&w, "workflow", steps[i].workflow);
        jw_kv_text(&w, "step", steps[i].step);
        json_count(&steps[i].count, &w);
        jw_kv_bool(&w, "costs_more_than_it_saves", tally_costs_more(&steps[i].count));
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    sb_putc(out, '\n');
}

static int stats(struct cli *c, const struct args *a)
{
    struct store *store;
    struct tally *tally = NULL;
    struct err err = {0};
    long limit, runs;
    bool json = opt_given(a, "json");

    if (opt_number(a, "limit", 1, json ? INT32_MAX : STEPS_SHOWN, &limit, &err) < 0 ||
        opt_number(a, "runs", 1, RUNS, &runs, &err) < 0) {
        return cli_usage(c, "%s", err.msg);
    }
    int code = setup_store(c, &store);
    if (code != EXIT_OK) {
        return code;
    }
    struct stats s = {.limit = (size_t)limit};
    struct str out = {0};
    int rc = cache_stats(store, &s.store, &err);
    rc = rc < 0 ? rc
                : tally_open(store, opt_text(a, "workflow"),
                             runs > INT32_MAX ? INT32_MAX : (uint32_t)runs, &tally, &err);
    if (rc < 0) {
        code = cli_fail(c, &err);
    } else {
        s.tally = tally;
        if (json) {
            stats_json(&s, &out);
        } else {
            text_store(&s.store, &out);
            text_sum(tally, &out);
            text_steps(c, &s, &out);
            text_costly(tally, &out);
        }
    }
    out_str(&out);
    sb_done(&out);
    tally_free(tally);
    store_close(store);
    return code;
}

static const struct opt opts[] = {
    {"workflow", 'w', OPT_TEXT, "NAME", "Only the runs of this workflow"},
    {"runs", 0, OPT_TEXT, "N", "The newest N runs (default 1000)"},
    {"limit", 'n', OPT_TEXT, "N", "At most so many steps (default 15; with --json all)"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_cache_stats = {
    .name = "cache stats",
    .synopsis = "",
    .summary = "Shows what the cache holds, what it saved, and why steps ran all the same",
    .text = "What was saved is how long reused steps took when they ran. Of large runs fewer are "
            "looked at.",
    .example = "  wf cache stats -w fashion-mnist",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .run = stats};
