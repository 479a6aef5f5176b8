/* SPDX-License-Identifier: Apache-2.0 */
/* wf run FILE */
#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/gc.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/lines.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/setup.h"
#include "cli/shared.h"
#include "engine/history.h"
#include "engine/promotions.h"
#include "engine/run.h"
#include "engine/used.h"
#include "serve/models.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAIL_LINES = 12, SWEEP_MS = 100 };

/* One `wf run` under way. */
struct show {
    const struct cli *cli;
    const struct args *args;
    struct setup setup;
    struct config config;
    struct run *run;
    struct progress *progress; /* NULL: plain lines */
    bool quiet, verbose, json;
    int signal; /* the last one received */
    int broken; /* errno of the output, once it could not be written */
    bool done;
    bool promoted;
    bool keeping; /* the run is over, its services stay up */
    struct str out;
};

/* Prints what was collected. When nobody can read it any more, the run is stopped like by a second signal: nothing may stay behind. */
static void flush(struct show *s)
{
    if (!s->broken && s->out.len > 0) {
        s->broken = out_try(s->out.data, s->out.len);
        if (s->broken && !s->done) {
            run_interrupt(s->run, "its output can no longer be written", true);
        }
    }
    sb_clear(&s->out);
}

static void say(struct show *s)
{
    if (s->out.len > 0 && s->progress) {
        progress_say(s->progress, &s->out);
    } else {
        flush(s);
    }
}

/* A step that --only, --from or --until left out. */
static bool outside(const struct event *e)
{
    static const char because[] = "{\"because\":\"outside of this run ";
    size_t len = strlen(because);

    return e->type == EVENT_SKIPPED && e->payload_len >= len &&
           memcmp(e->payload, because, len) == 0;
}

static void on_event(struct run *r, const struct event *e, void *arg)
{
    struct show *s = arg;
    s->promoted |= e->type == EVENT_PROMOTION;
    if (s->json) {
        lines_json(r, e, &s->out);
        if (s->out.len > 65536 || e->type != EVENT_HIT) {
            flush(s);
        }
        return;
    }
    if (e->type == EVENT_RUN_STOPPING && s->signal && !s->quiet) {
        return; /* said when the signal came */
    }
    if (outside(e) && !s->verbose) {
        return; /* the closing table counts them */
    }
    bool bad = e->type == EVENT_FAILED || e->type == EVENT_WARNING || e->type == EVENT_RUN_STOPPING;
    if (s->quiet && !bad) {
        return;
    }
    lines_event(s->cli, r, s->setup.store, e, s->verbose, &s->out);
    if (e->type == EVENT_FAILED) {
        lines_log_tail(s->cli, r, s->setup.store, e, TAIL_LINES, &s->out);
    }
    if (s->out.len > 65536 || e->type != EVENT_HIT) {
        say(s);
    }
}

static void on_done(struct run *r, void *arg)
{
    struct show *s = arg;
    (void)r;
    s->done = true;
    loop_stop(s->setup.loop);
}

static void on_signal(int signum, void *arg)
{
    struct show *s = arg;
    bool again = s->signal != 0;
    if (s->keeping) {
        if (!s->json) {
            sb_puts(&s->out, again ? "the services are being ended\n" : "ending the services\n");
            flush(s);
        }
        s->signal = signum;
        run_interrupt(s->run, "interrupted", true);
        return;
    }
    if (run_state_of(s->run)->ended) { /* what it came to stands; only uploads are left */
        run_interrupt(s->run, "interrupted", true);
        return;
    }
    s->signal = signum;
    if (!again && !s->quiet && !s->json) {
        sb_printf(&s->out, "stopping: running steps may finish; %s again to end them\n",
                  signum == SIGINT ? "press Ctrl-C" : "send SIGTERM");
        say(s);
    }
    run_interrupt(s->run, signum == SIGINT ? "interrupted" : "terminated", again);
}

/* --summary and --junit read the run back from the journal, as `wf show` would. */
static int write_reports(struct show *s)
{
    const char *summary = opt_text(s->args, "summary"), *junit = opt_text(s->args, "junit");
    if (!summary && !junit) {
        return EXIT_OK;
    }
    struct err err = {0};
    int r = 0;
    if (summary && !text_ends(summary, ".md")) {
        r = report_summary_json(s->setup.store, s->run, summary, &err);
        summary = NULL;
    }
    if (r >= 0 && (summary || junit)) {
        struct arena *a = arena_new();
        struct past_run past;
        r = history_load(s->setup.store, run_id(s->run), a, &past, &err);
        if (r >= 0 && summary) {
            r = report_summary(&past, summary, &err);
        }
        if (r >= 0 && junit) {
            r = report_junit(&past, junit, &err);
        }
        arena_free(a);
    }
    return r < 0 ? cli_fail(s->cli, &err) : EXIT_OK;
}

static void on_upload(struct run *r, uint32_t waiting, void *arg)
{
    struct show *s = arg;
    (void)r;
    if (!s->quiet && !s->json) {
        sb_printf(&s->out, "sending %u result%s to the shared cache; Ctrl-C leaves the rest\n",
                  waiting, waiting == 1 ? "" : "s");
        say(s);
    }
}

static int finish(struct show *s, int64_t began_us)
{
    if (s->progress) {
        progress_free(s->progress);
        s->progress = NULL;
    }
    if (!s->json && (!s->quiet || !run_succeeded(s->run))) {
        report_end(s->cli, s->run, s->promoted ? s->setup.store : NULL,
                   (mono_us() - began_us) / 1000, &s->out);
    }
    flush(s);
    int code = write_reports(s);
    if (s->signal) {
        return 128 + s->signal;
    }
    if (s->broken) {
        return out_problem(s->broken);
    }
    if (code != EXIT_OK) {
        return code;
    }
    if (run_store_problem(s->run) || (run_engine_problem(s->run) && !run_succeeded(s->run))) {
        return EXIT_SYSTEM;
    }
    return run_succeeded(s->run) ? EXIT_OK : EXIT_RUN_FAILED;
}

static int read_options(struct show *s, struct run_options *o, const char **refresh, size_t max)
{
    const struct args *a = s->args;
    struct err err = {0};
    long parallel;
    struct shared_choice shared;
    int code = config_open(s->cli, &s->config);
    if (code != EXIT_OK) {
        return code;
    }
    shared_choose(a, &s->config, &shared);
    o->remote = shared.url;
    o->remote_token = shared.token;
    o->remote_readonly = shared.read_only;
    if (opt_number(a, "max-parallel", 1, 0, &parallel, &err) < 0) {
        return cli_usage(s->cli, "%s", err.msg);
    }
    o->max_parallel = (uint32_t)parallel;
    o->cache = opt_given(a, "no-cache") ? RUN_CACHE_OFF : RUN_CACHE_USE;
    o->keep_serving = opt_given(a, "keep-serving");
    o->only = opt_text(a, "only");
    o->from = opt_text(a, "from");
    o->until = opt_text(a, "until");
    if ((o->only != NULL) + (o->from != NULL) + (o->until != NULL) > 1) {
        return cli_usage(s->cli, "--only, --from and --until exclude each other");
    }
    if (o->cache == RUN_CACHE_OFF && opt_given(a, "refresh")) {
        return cli_usage(s->cli, "--no-cache and --refresh exclude each other: one stores nothing, "
                                 "the other stores anew");
    }
    size_t n = opt_all(a, "refresh", refresh, max);
    for (size_t i = 0; i < n && i < max; i++) {
        if (!*refresh[i]) {
            o->refresh_all = true;
        } else {
            refresh[o->n_refresh++] = refresh[i];
        }
    }
    o->refresh = refresh;
    return EXIT_OK;
}

static void on_kept_over(struct run *r, const char *why, void *arg)
{
    struct show *s = arg;
    (void)r;
    if (!s->signal && !s->json) {
        sb_printf(&s->out, "%s\n", why);
        flush(s);
    }
    loop_stop(s->setup.loop);
}

/* --keep-serving: the reports are written, the exit code is known; until a signal, or until somebody else takes the services over. */
static void keep_serving(struct show *s)
{
    if (!run_serve(s->run, on_kept_over, s)) {
        return;
    }
    s->keeping = true;
    if (!s->json) {
        sb_puts(&s->out, "Ctrl-C ends the services\n");
        flush(s);
    }
    loop_run(s->setup.loop);
}

static int start(struct show *s, const struct run_options *o)
{
    struct err err = {0};
    int64_t began_us = mono_us();
    if (run_open(o, &s->run, &err) < 0) {
        return cli_fail(s->cli, &err);
    }
    struct signal_watch *on_int = signal_new(s->setup.loop, SIGINT, on_signal, s);
    struct signal_watch *on_term = signal_new(s->setup.loop, SIGTERM, on_signal, s);
    if (s->cli->out_tty && s->cli->err_tty && !s->quiet && !s->json) {
        s->progress = progress_new(s->cli, s->setup.loop, s->run);
    }
    run_start(s->run);
    if (!s->done) {
        loop_run(s->setup.loop);
    }
    int code = finish(s, began_us);
    if (!s->signal && !s->broken) {
        keep_serving(s);
    }
    signal_free(on_int);
    signal_free(on_term);
    run_close(s->run);
    if (!s->signal && !s->broken) {
        struct tidy_options tidy = {.max_size = s->config.max_size,
                                    .max_entries = s->config.max_entries,
                                    .unused_for_ms = s->config.unused_for_ms,
                                    .runs_for_ms = s->config.keep_for_ms,
                                    .kept_runs = s->config.keep_runs,
                                    .live_entries = used_by_run};
        cache_tidy(s->setup.store, &tidy);
        if (s->promoted) {
            (void)models_sweep(s->setup.store, PROMOTIONS_KEPT, SWEEP_MS, NULL, NULL);
        }
    }
    return code;
}

static int junit_of_invalid(struct cli *c, const struct args *a, int code)
{
    /* a workflow that cannot be loaded is an error of the report too (semantics: on every exit but 2) */
    const char *junit = opt_text(a, "junit");
    if (!junit || code != EXIT_WORKFLOW) {
        return code;
    }
    struct diags d;
    struct str text = {0};
    struct err err = {0};
    diags_init(&d, a->positional[0]);
    struct arena *arena = arena_new();
    struct param_override *params = NULL;
    size_t n_params = 0;
    struct workflow *wf;
    if (setup_params(c, a, &params, &n_params) == EXIT_OK &&
        load_read(a->positional[0], &text, &err) >= 0) {
        struct load_options o = {.file = a->positional[0],
                                 .params = params,
                                 .n_params = n_params,
                                 .params_file = opt_text(a, "params-file")};
        workflow_load(text.data, text.len, &o, arena, &d, &wf, &err);
        if (report_junit_diags(&d, junit, &err) < 0) {
            cli_fail(c, &err);
        }
    }
    setup_params_free(params, n_params);
    arena_free(arena);
    sb_done(&text);
    diags_done(&d);
    return code;
}

static int run(struct cli *c, const struct args *a)
{
    struct show s = {.cli = c,
                     .args = a,
                     .quiet = opt_given(a, "quiet"),
                     .verbose = opt_given(a, "verbose"),
                     .json = opt_given(a, "json")};
    size_t max = opt_all(a, "refresh", NULL, 0) + 1;
    CLEANUP(cleanup_free) const char **refresh = xcalloc(max, sizeof(char *));
    struct run_options o = {.trigger = "manual",
                            .on_event = on_event,
                            .on_done = on_done,
                            .on_upload = on_upload,
                            .arg = &s};
    int code = read_options(&s, &o, refresh, max);
    if (code != EXIT_OK) {
        config_done(&s.config);
        return code;
    }
    code = setup_open(c, a, a->positional[0], true, false, &s.setup);
    if (code != EXIT_OK) {
        config_done(&s.config);
        return junit_of_invalid(c, a, code);
    }
    o.plan = s.setup.plan;
    o.text = s.setup.text;
    o.text_len = s.setup.text_len;
    o.store = s.setup.store;
    o.loop = s.setup.loop;
    o.want_hits = !s.quiet && (s.json || !c->out_tty || s.verbose);
    code = start(&s, &o);
    setup_close(&s.setup);
    config_done(&s.config);
    sb_done(&s.out);
    return code;
}

static const struct opt opts[] = {
    OPT_PARAMS,
    {"only", 0, OPT_TEXT, "STEP", "Runs this step alone; what it needs comes from earlier results"},
    {"from", 0, OPT_TEXT, "STEP", "Runs this step and all that needs it"},
    {"until", 0, OPT_TEXT, "STEP", "Runs this step and all it needs"},
    {"refresh", 0, OPT_OPTIONAL, "STEP",
     "Runs again, everything or this step, and stores the new results; repeatable"},
    {"no-cache", 0, OPT_FLAG, NULL, "Neither asks the cache nor stores results"},
    OPT_REMOTE,
    {"keep-serving", 0, OPT_FLAG, NULL,
     "Leaves services up after the run, until Ctrl-C or another run takes them over"},
    {"max-parallel", 0, OPT_TEXT, "N",
     "Steps at once (default: the workflow's, else the processors)"},
    {"summary", 0, OPT_TEXT, "FILE",
     "Writes the run as `wf show --json` prints it; Markdown when FILE ends in .md"},
    {"junit", 0, OPT_TEXT, "FILE", "Writes a JUnit report for CI"},
    {"json", 0, OPT_FLAG, NULL, "Prints one JSON object per event"},
    {"quiet", 'q', OPT_FLAG, NULL, "Prints failures only"},
    {"verbose", 'v', OPT_FLAG, NULL, "Also says why a step runs, and shows what each step wrote"},
};

const struct command cmd_run = {.name = "run",
                                .synopsis = "FILE",
                                .summary = "Runs a workflow",
                                .text = "Steps whose work is already done are reused. The first "
                                        "Ctrl-C lets running steps finish, the second ends them.\n"
                                        "Exit codes: 0 succeeded, 1 a step failed, 2 usage, 3 the "
                                        "workflow is invalid, 4 the store, disk or engine failed,\n"
                                        "130 or 143 interrupted.",
                                .example = "  wf run pipeline.yaml -p epochs=3\n  wf run "
                                           "pipeline.yaml --refresh=train --summary run.json",
                                .opts = opts,
                                .n_opts = ARRAY_LEN(opts),
                                .min_args = 1,
                                .max_args = 1,
                                .run = run};
