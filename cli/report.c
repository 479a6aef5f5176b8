/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/remote.h"
#include "cli/command.h"
#include "cli/models.h"
#include "cli/out.h"
#include "cli/shared.h"
#include "engine/history.h"
#include "engine/past_why.h"
#include "engine/run.h"
#include "steps/scope.h"

#include <string.h>

enum { NAMED_STEPS = 8 }; /* of an outcome, at a run's end */

/* How an outcome is called in the closing table. */
static const char *outcome_word(enum instance_state s)
{
    return s == INSTANCE_SUCCEEDED ? "ran"
           : s == INSTANCE_CACHED  ? "reused"
                                   : instance_state_names[s];
}

/* "ingest, train (3), select": the steps with branches in this state, the first few by name. */
static void add_steps(const struct run_state *s, const struct plan *p, enum instance_state state,
                      struct str *out)
{
    uint32_t named = 0, more = 0;
    for (uint32_t step = 0; step < p->wf->n_steps; step++) {
        uint32_t n = 0;
        for (uint32_t i = p->first[step]; i < p->first[step + 1]; i++) {
            n += s->instances[i].state == state;
        }
        if (n == 0) {
            continue;
        }
        if (named == NAMED_STEPS) {
            more += n;
            continue;
        }
        sb_printf(out, "%s%s", named++ ? ", " : "", p->wf->steps[step].name);
        if (p->wf->steps[step].is_matrix) {
            sb_printf(out, " (%u)", n);
        }
    }
    if (more > 0) {
        sb_printf(out, " and %u more", more);
    }
}

/* A line per outcome: how many, how much time that saved, which. */
static void add_outcomes(const struct cli *c, struct run *r, struct str *out)
{
    const struct run_state *s = run_state_of(r);
    struct table *t = table_new(3, NULL);
    for (int i = 0; i < INSTANCE_STATE_COUNT; i++) {
        if (s->counts[i] == 0) {
            continue;
        }
        struct str count = {0}, steps = {0};
        sb_u64(&count, s->counts[i]);
        if (i == INSTANCE_CACHED && run_saved_ms(r) > 0) {
            sb_puts(&count, ", saved ");
            add_duration(&count, run_saved_ms(r));
        }
        add_steps(s, run_plan(r), (enum instance_state)i, &steps);
        table_cell(t, tone_of_status(instance_state_names[i]), "  %s",
                   outcome_word((enum instance_state)i));
        table_cell(t, TONE_NONE, "%s", sb_text(&count));
        table_cell(t, TONE_DIM, "%s", sb_text(&steps));
        sb_done(&count);
        sb_done(&steps);
    }
    table_print(t, c->colour, c->out_tty ? c->width : 0, out);
    table_free(t);
}

/* --- promotions and services --- */

struct serving_lines {
    const struct cli *c;
    const struct plan *plan;
    struct str *out;
};

static void add_service(uint32_t instance, const char *endpoint, uint32_t promotion, void *arg)
{
    const struct serving_lines *l = arg;

    if (!endpoint) {
        return; /* not up any more */
    }
    sb_printf(l->out, "  %sserving%s  %s  %s", tone_on(l->c->colour, TONE_GOOD),
              tone_off(l->c->colour), l->plan->instances[instance].name, endpoint);
    if (promotion > 0) {
        sb_printf(l->out, " (promotion %u)", promotion);
    }
    sb_putc(l->out, '\n');
}

static void add_promotion(const struct cli *c, const struct promotion *p, struct str *out)
{
    sb_printf(out, "  %spromoted%s  %s %u: ", tone_on(c->colour, TONE_GOOD), tone_off(c->colour),
              p->step, p->number);
    add_models(out, p);
    sb_putc(out, '\n');
}

/* The last one of each select step; how many there were is in `wf show`. */
struct last {
    const struct cli *c;
    struct promotion p;
    struct str *out;
};

static int take_last(const struct promotion *p, void *arg)
{
    struct last *l = arg;

    if (l->p.step && !text_eq(l->p.step, p->step)) {
        add_promotion(l->c, &l->p, l->out);
    }
    l->p = *p;
    return 0;
}

static void add_promoted(const struct cli *c, struct run *r, struct store *s, struct str *out)
{
    struct last l = {.c = c, .out = out};
    struct arena *a = arena_new();

    if (s && promotions_of_run(s, run_plan(r)->wf->name, run_id(r), a, take_last, &l, NULL) == 0 &&
        l.p.step) {
        add_promotion(c, &l.p, out);
    }
    arena_free(a);
    struct serving_lines lines = {c, run_plan(r), out};
    run_each_service(r, add_service, &lines);
}

void report_promotions(const struct cli *c, const struct past_run *p, struct str *out)
{
    for (size_t n = 0; n < p->n_promotions; n++) {
        sb_printf(out, "%spromoted%s  %s %u: ", tone_on(c->colour, TONE_GOOD), tone_off(c->colour),
                  p->promotions[n].step, p->promotions[n].number);
        add_models(out, &p->promotions[n]);
        sb_putc(out, '\n');
    }
}

void report_end(const struct cli *c, struct run *r, struct store *promoted, int64_t took_ms,
                struct str *out)
{
    const struct run_state *s = run_state_of(r);
    enum tone tone = run_succeeded(r) ? TONE_GOOD : TONE_BAD;
    sb_printf(out, "%s%s%s in ", tone_on(c->colour, tone), s->status, tone_off(c->colour));
    add_duration(out, took_ms);
    sb_putc(out, '\n');
    add_outcomes(c, r, out);
    add_promoted(c, r, promoted, out);
    struct remote_progress shared;
    run_shared(r, &shared);
    shared_report(&shared, out);
    uint32_t first = run_first_failure(r);
    if (first != UINT32_MAX) {
        sb_printf(out, "first failure: %s   (wf show %s)\n", run_plan(r)->instances[first].name,
                  run_id(r));
    }
}

/* One string member of a payload, "" when absent. Small payloads only: a step's own events. */
static char *payload_text(const char *payload, const char *key)
{
    json_t *j = NULL;
    if (!payload || json_read(payload, strlen(payload), 64u << 20, &j, NULL) < 0) {
        return xstrdup("");
    }
    const char *text = json_string_value(json_object_get(j, key));
    char *copy = xstrdup(text ? text : "");
    json_decref(j);
    return copy;
}

/* "train[model=mlp] 0.8712, train[model=forest] 0.86": what a select step chose, best first. */
static void add_chosen(const struct past_step *s, struct str *out)
{
    const char *text = result_value_find(s->result, "models");
    CLEANUP(cleanup_json) json_t *models = NULL;
    size_t i;
    json_t *m;
    if (!text || json_read(text, strlen(text), 16u << 20, &models, NULL) < 0) {
        return;
    }
    json_array_foreach(models, i, m)
    {
        const char *name = json_string_value(json_object_get(m, "name"));
        sb_printf(out, "%s%s %.4g", i > 0 ? ", " : "", name ? name : "",
                  json_number_value(json_object_get(m, "metric")));
    }
}

/* "saved 0.523s, made by run 01M7…": what reusing it spared, and whose result it is. */
static void add_reuse(const struct past_step *s, struct arena *a, struct str *out)
{
    const char *words = past_reuse(s, a);
    if (s->result && s->result->duration_ms > 0) {
        sb_puts(out, "saved ");
        add_duration(out, s->result->duration_ms);
        sb_puts(out, *words ? ", " : "");
    }
    sb_puts(out, words);
}

static void note_cell(struct table *t, const struct past_step *s, struct arena *a)
{
    struct str text = {0};
    json_t *j = NULL;
    const char *key;
    json_t *value;
    if (s->result && s->result->metrics &&
        json_read(s->result->metrics, strlen(s->result->metrics), 16u << 20, &j, NULL) >= 0) {
        int shown = 0;
        json_object_foreach(j, key, value)
        {
            if (json_is_number(value) && shown++ < 3) {
                sb_printf(&text, "%s%s %.4g", text.len ? ", " : "", key, json_number_value(value));
            }
        }
        json_decref(j);
    }
    if (s->result && text_eq(s->kind, "select")) {
        add_chosen(s, &text);
    }
    if (s->status.state == INSTANCE_CACHED) {
        sb_puts(&text, text.len > 0 ? "; " : "");
        add_reuse(s, a, &text);
    }
    CLEANUP(cleanup_free) char *error = payload_text(s->ended, "error");
    CLEANUP(cleanup_free) char *because = payload_text(s->ended, "because");
    table_cell(t, TONE_NONE, "%s", *error ? error : *because ? because : sb_text(&text));
    sb_done(&text);
}

void report_table(const struct cli *c, const struct past_run *p, struct str *out)
{
    static const char *const titles[] = {"STEP", "STATUS", "TIME", "TRIES", ""};
    struct table *t = table_new(ARRAY_LEN(titles), titles);
    struct arena *a = arena_new();
    for (uint32_t i = 0; i < p->n; i++) {
        const struct past_step *s = &p->steps[i];
        const char *status = instance_state_names[s->status.state];
        struct str took = {0};
        if (s->duration_ms > 0 || s->status.state == INSTANCE_SUCCEEDED) {
            add_duration(&took, s->duration_ms);
        }
        table_cell(t, TONE_NONE, "%s", s->name);
        table_cell(t, tone_of_status(status), "%s%s", status,
                   s->status.tolerated ? " (tolerated)" : "");
        table_cell(t, TONE_NONE, "%s", sb_text(&took));
        table_cell(t, TONE_NONE, "%d", s->status.attempts);
        note_cell(t, s, a);
        sb_done(&took);
    }
    arena_free(a);
    table_print(t, c->colour, c->out_tty ? c->width : 0, out);
    table_free(t);
}

/* Markdown's own characters in a table cell. */
static void add_markdown(struct str *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("|\\`*_<>[]", *text)) {
            sb_putc(out, '\\');
        }
        sb_putc(out, *text == '\n' ? ' ' : *text);
    }
}

static void summary_markdown(const struct past_run *p, struct str *out)
{
    sb_puts(out, "## ");
    add_markdown(out, p->row.workflow);
    sb_printf(out, ": %s\n\nRun `%s`, ", p->row.status, p->row.id);
    add_duration(out, p->row.ended_ms - p->row.started_ms);
    if (p->row.saved_ms > 0) {
        sb_puts(out, ", saved ");
        add_duration(out, p->row.saved_ms);
    }
    sb_puts(out, "\n\n| step | status | time | |\n| --- | --- | --- | --- |\n");
    for (uint32_t i = 0; i < p->n; i++) {
        const struct past_step *s = &p->steps[i];
        CLEANUP(cleanup_free) char *error = payload_text(s->ended, "error");
        CLEANUP(cleanup_free) char *because = payload_text(s->ended, "because");
        sb_puts(out, "| ");
        add_markdown(out, s->name);
        sb_printf(out, " | %s | ", instance_state_names[s->status.state]);
        add_duration(out, s->duration_ms);
        sb_puts(out, " | ");
        add_markdown(out, *error ? error : because);
        sb_puts(out, " |\n");
    }
    for (size_t i = 0; i < p->n_promotions; i++) {
        CLEANUP(sb_done) struct str models = {0};
        add_models(&models, &p->promotions[i]);
        sb_puts(out, i == 0 ? "\n| promoted | | models |\n| --- | --- | --- |\n| " : "| ");
        add_markdown(out, p->promotions[i].step);
        sb_printf(out, " | %u | ", p->promotions[i].number);
        add_markdown(out, sb_text(&models));
        sb_puts(out, " |\n");
    }
}

static const struct entry *known_entry(uint32_t instance, void *arg)
{
    return run_entry(arg, instance);
}

int report_summary_json(struct store *s, struct run *run, const char *file, struct err *err)
{
    const struct history_known known = {known_entry, run};
    struct new_file f;
    int r = new_file_open(file, 0644, &f, err);
    if (r < 0) {
        return r;
    }
    r = history_write(s, run_id(run), &known, &f, err);
    int end = new_file_end(&f, false, r < 0, err);
    return r < 0 ? r : end;
}

int report_summary(const struct past_run *p, const char *file, struct err *err)
{
    struct str out = {0};
    summary_markdown(p, &out);
    int r = fs_write_file(file, sb_text(&out), out.len, 0644, false, err);
    sb_done(&out);
    return r;
}
