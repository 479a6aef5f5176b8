/* SPDX-License-Identifier: Apache-2.0 */
/* wf diff [RUN [RUN]]: what differs between two past runs. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/differences.h"
#include "cli/out.h"
#include "cli/setup.h"
#include "engine/diff.h"

#include <string.h>

enum { SHOWN = 20, NAMED = 20, OUT_MAX = 1 << 20 };

struct diffing {
    const struct cli *cli;
    struct run_diff *diff;
    struct arena *arena;
    struct jsonw *json; /* NULL: text */
    struct str *out;
    struct str only_old, only_new;
    uint32_t n_same, n_differ, n_only_old, n_only_new;
};

/* --- text --- */

static void add_run(const struct diffing *x, const char *word, const struct past_run *r)
{
    char at[32];
    format_time_local(r->row.started_ms, at);
    sb_printf(x->out, "%s  %s%s%s  %s  %s  %s%s%s\n", word, tone_on(x->cli->colour, TONE_BOLD),
              r->row.id, tone_off(x->cli->colour), r->row.workflow, at,
              tone_on(x->cli->colour, tone_of_status(r->row.status)), r->row.status,
              tone_off(x->cli->colour));
}

static void add_head(const struct diffing *x)
{
    size_t n;
    const struct difference *head = run_diff_head(x->diff, &n);
    add_run(x, "old", run_diff_old(x->diff));
    add_run(x, "new", run_diff_new(x->diff));
    differences_text(head, n, SHOWN, "  ", "", x->out);
}

static const char *word_of(const struct past_step *s)
{
    return instance_state_names[s->status.state];
}

static void add_times(const struct step_diff *s, struct str *out)
{
    if (s->old->duration_ms > 0 || s->new_verdict) {
        sb_puts(out, ", ");
        add_duration(out, s->old->duration_ms);
        sb_puts(out, " \xe2\x86\x92 ");
        add_duration(out, s->now->duration_ms);
    }
}

static void add_step(const struct diffing *x, const struct step_diff *s)
{
    bool colour = x->cli->colour;
    sb_printf(x->out, "\n%s%s%s: %s", tone_on(colour, TONE_BOLD), s->now->name, tone_off(colour),
              word_of(s->old));
    if (s->old->status.state != s->now->status.state) {
        sb_printf(x->out, " \xe2\x86\x92 %s", word_of(s->now));
    }
    add_times(s, x->out);
    sb_putc(x->out, '\n');
    differences_text(s->inputs, s->n_inputs, SHOWN, "  ", "", x->out);
    if (s->inputs_note) {
        sb_printf(x->out, "  %s\n", s->inputs_note);
    }
    /* The status stands in the line above. */
    size_t skip = s->n_results > 0 && text_eq(s->results[0].part, "status") ? 1 : 0;
    if (s->n_results > skip) {
        differences_text(s->results + skip, s->n_results - skip, SHOWN, "  ", "", x->out);
    }
}

static void add_name(struct str *names, uint32_t n, const char *name)
{
    if (n <= NAMED) {
        sb_printf(names, "%s%s", n > 1 ? ", " : "", name);
    } else if (n == NAMED + 1) {
        sb_puts(names, ", \xe2\x80\xa6");
    }
}

static void add_counts(const struct diffing *x)
{
    sb_printf(x->out, "\n%u step%s, %u the same", x->n_differ,
              x->n_differ == 1 ? " differs" : "s differ", x->n_same);
    if (x->n_only_old > 0) {
        sb_printf(x->out, "\nonly in the old run: %u (%s)", x->n_only_old, sb_text(&x->only_old));
    }
    if (x->n_only_new > 0) {
        sb_printf(x->out, "\nonly in the new run: %u (%s)", x->n_only_new, sb_text(&x->only_new));
    }
    sb_putc(x->out, '\n');
}

/* --- JSON --- */

static void list_json(struct jsonw *w, const char *key, const struct difference *d, size_t n)
{
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < n; i++) {
        difference_json(&d[i], w);
    }
    jw_end_array(w);
}

static void run_json(struct jsonw *w, const char *key, const struct past_run *r)
{
    jw_key(w, key);
    jw_object(w);
    jw_kv_text(w, "run", r->row.id);
    jw_kv_text(w, "workflow", r->row.workflow);
    jw_kv_text(w, "status", r->row.status);
    jw_kv_time(w, "started_at", r->row.started_ms);
    jw_kv_time(w, "ended_at", r->row.ended_ms);
    jw_end_object(w);
}

static void side_json(struct jsonw *w, const char *key, const struct past_step *s,
                      const char *verdict)
{
    jw_key(w, key);
    if (!s) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_kv_text(w, "status", word_of(s));
    jw_kv_text(w, "verdict", verdict);
    jw_key(w, "duration_seconds");
    jw_real(w, (double)s->duration_ms / 1000);
    if (!digest_is_zero(&s->key)) {
        jw_key(w, "key");
        jw_digest(w, &s->key);
    }
    jw_end_object(w);
}

static void step_json(struct jsonw *w, const struct step_diff *s)
{
    jw_object(w);
    jw_kv_text(w, "name", s->now ? s->now->name : s->old->name);
    side_json(w, "old", s->old, s->old_verdict);
    side_json(w, "new", s->now, s->new_verdict);
    list_json(w, "inputs", s->inputs, s->n_inputs);
    if (s->inputs_note) {
        jw_kv_text(w, "inputs_note", s->inputs_note);
    }
    list_json(w, "results", s->results, s->n_results);
    jw_end_object(w);
}

/* --- the walk --- */

static int on_step(const struct step_diff *s, void *arg)
{
    struct diffing *x = arg;
    if (s->same) {
        x->n_same++;
        return 0;
    }
    if (!s->now) {
        add_name(&x->only_old, ++x->n_only_old, s->old->name);
    } else if (!s->old) {
        add_name(&x->only_new, ++x->n_only_new, s->now->name);
    } else {
        x->n_differ++;
    }
    if (x->json) {
        step_json(x->json, s);
    } else if (s->old && s->now) {
        add_step(x, s);
    }
    return 0;
}

static int show(struct diffing *x, struct err *err)
{
    struct jsonw *w = x->json;
    size_t n;
    if (!w) {
        add_head(x);
        int rc = run_diff_each(x->diff, on_step, x, err);
        add_counts(x);
        return rc;
    }
    const struct difference *head = run_diff_head(x->diff, &n);
    jw_object(w);
    run_json(w, "old", run_diff_old(x->diff));
    run_json(w, "new", run_diff_new(x->diff));
    list_json(w, "differences", head, n);
    jw_key(w, "steps");
    jw_array(w);
    int rc = run_diff_each(x->diff, on_step, x, err);
    jw_end_array(w);
    jw_key(w, "counts");
    jw_object(w);
    jw_kv_i64(w, "differ", x->n_differ);
    jw_kv_i64(w, "same", x->n_same);
    jw_kv_i64(w, "only_old", x->n_only_old);
    jw_kv_i64(w, "only_new", x->n_only_new);
    jw_end_object(w);
    jw_end_object(w);
    sb_putc(x->out, '\n');
    return rc;
}

static int run(struct cli *c, const struct args *a)
{
    struct store *store;
    int code = setup_store(c, &store);
    if (code != EXIT_OK) {
        return code;
    }
    const char *old_word = a->n_positional > 0 ? a->positional[0] : "previous";
    const char *new_word = a->n_positional > 1 ? a->positional[1] : "latest";
    struct str out = {0};
    struct jsonw w;
    struct err err = {0};
    char old_id[32], new_id[32];
    jw_init(&w, &out, true);
    struct diffing x = {.cli = c, .out = &out, .json = opt_given(a, "json") ? &w : NULL};
    int r = history_resolve(store, old_word, old_id, &err);
    r = r < 0 ? r : history_resolve(store, new_word, new_id, &err);
    r = r < 0 ? r : run_diff_open(store, old_id, new_id, &x.diff, &err);
    r = r < 0 ? r : show(&x, &err);
    if (r < 0) {
        code = cli_fail(c, &err);
    } else {
        out_str(&out);
    }
    run_diff_close(x.diff);
    sb_done(&x.only_old);
    sb_done(&x.only_new);
    sb_done(&out);
    store_close(store);
    return code;
}

static const struct opt opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};

const struct command cmd_diff = {
    .name = "diff",
    .synopsis = "[RUN [RUN]]",
    .summary = "Shows what differs between two runs (default: the latest and the one before it)",
    .text = "Names what differs in the workflow's text, params and git commit, and, step by step, "
            "in what went into it and what came of it.\n"
            "RUN is an id, the beginning of one, 'latest', or 'previous': the run before the "
            "latest, of the same workflow. ~N behind it counts further back.",
    .example = "  wf diff\n  wf diff latest~3 latest --json | jq .differences",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .min_args = 0,
    .max_args = 2,
    .run = run};
