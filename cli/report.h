/* SPDX-License-Identifier: Apache-2.0 */
/* What is said at a run's end, and the files that programs read: --summary (JSON, or Markdown by its name) and --junit. */
#ifndef WF_CLI_REPORT_H
#define WF_CLI_REPORT_H

#include <stdint.h>

struct cli;
struct diags;
struct err;
struct past_run;
struct run;
struct store;
struct str;

/* The closing lines: outcome, counts, time saved, what was promoted and which services stay up, the first failure. `promoted`: the store where the run promoted; NULL: it did not. */
void report_end(const struct cli *c, struct run *r, struct store *promoted, int64_t took_ms,
                struct str *out);
/* "promoted  select 2: mlp 0.889, forest 0.875", a line for each. */
void report_promotions(const struct cli *c, const struct past_run *p, struct str *out);
/* The steps of a run as a table (wf show). */
void report_table(const struct cli *c, const struct past_run *p, struct str *out);
/* --summary FILE: as `wf show --json`; below as Markdown, when the name ends in .md. */
int report_summary_json(struct store *s, struct run *run, const char *file, struct err *err);
int report_summary(const struct past_run *p, const char *file, struct err *err);
/* --junit FILE: one testcase per step: cached = passed; skipped, cancelled = skipped. */
int report_junit(const struct past_run *p, const char *file, struct err *err);
/* --junit FILE for a workflow that could not be loaded: each diagnostic is an error. */
int report_junit_diags(const struct diags *d, const char *file, struct err *err);

#endif
