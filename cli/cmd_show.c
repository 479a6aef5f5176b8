/* SPDX-License-Identifier: Apache-2.0 */
/* wf show [RUN]: one run with its steps. */
#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/past.h"
#include "cli/report.h"

static void add_head(const struct cli *c, const struct past_run *p, struct str *out)
{
    char at[32];
    format_time_local(p->row.started_ms, at);
    sb_printf(out, "%s%s%s  %s  %s%s%s\n", tone_on(c->colour, TONE_BOLD), p->row.id,
              tone_off(c->colour), p->row.workflow,
              tone_on(c->colour, tone_of_status(p->row.status)), p->row.status,
              tone_off(c->colour));
    sb_printf(out, "file     %s\nstarted  %s", p->row.file, at);
    if (p->row.ended_ms) {
        sb_puts(out, ", took ");
        add_duration(out, p->row.ended_ms - p->row.started_ms);
    }
    sb_putc(out, '\n');
    if (p->row.saved_ms > 0) {
        sb_puts(out, "saved    ");
        add_duration(out, p->row.saved_ms);
        sb_putc(out, '\n');
    }
    if (p->row.params && !text_eq(p->row.params, "{}")) {
        sb_printf(out, "params   %s\n", p->row.params);
    }
    if (p->row.git) {
        sb_printf(out, "git      %s\n", p->row.git);
    }
    for (size_t i = 0; i < p->n_warnings; i++) {
        sb_printf(out, "%swarning%s  %s\n", tone_on(c->colour, TONE_WARN), tone_off(c->colour),
                  p->warnings[i]);
    }
    if (p->first_failure != UINT32_MAX) {
        sb_printf(out, "first failure: %s\n", p->steps[p->first_failure].name);
    }
    sb_putc(out, '\n');
}

static int run(struct cli *c, const struct args *a)
{
    struct past p;
    int code = past_open(c, a->n_positional ? a->positional[0] : "latest", &p);
    if (code != EXIT_OK) {
        return code;
    }
    struct str out = {0};
    if (opt_given(a, "json")) {
        struct jsonw w;
        jw_init(&w, &out, true);
        history_json(&p.run, &w);
        sb_putc(&out, '\n');
    } else {
        add_head(c, &p.run, &out);
        report_table(c, &p.run, &out);
        report_promotions(c, &p.run, &out);
    }
    out_str(&out);
    sb_done(&out);
    past_close(&p);
    return EXIT_OK;
}

static const struct opt opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};

const struct command cmd_show = {.name = "show",
                                 .synopsis = "[RUN]",
                                 .summary = "Shows one run with its steps (default: the latest)",
                                 .text = "RUN is an id, the beginning of one, or 'latest'.",
                                 .example = "  wf show\n  wf show 01JA2 --json | jq .counts",
                                 .opts = opts,
                                 .n_opts = ARRAY_LEN(opts),
                                 .min_args = 0,
                                 .max_args = 1,
                                 .run = run};
