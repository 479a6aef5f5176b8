/* SPDX-License-Identifier: Apache-2.0 */
/* wf check FILE…: all diagnostics. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/setup.h"

struct checking {
    struct cli *cli;
    const struct args *args;
    struct param_override *params;
    size_t n_params;
    bool strict;
    struct jsonw *json; /* NULL: text */
    struct str *out;
};

static int check_file(struct checking *k, const char *file)
{
    struct err err = {0};
    struct str text = {0};
    struct diags d;
    diags_init(&d, file);
    struct arena *arena = arena_new();
    struct workflow *wf = NULL;
    struct load_options o = {.file = file,
                             .params = k->params,
                             .n_params = k->n_params,
                             .params_file = opt_text(k->args, "params-file"),
                             .allow_missing_params = true,
                             .want_warnings = true};
    int r = load_read(file, &text, &err);
    if (r >= 0) {
        r = workflow_load(text.data ? text.data : "", text.len, &o, arena, &d, &wf, &err);
    }
    int code = EXIT_OK;
    if (r < 0) {
        code = cli_fail(k->cli, &err);
    } else if (d.errors > 0 || (k->strict && d.warnings > 0)) {
        code = EXIT_WORKFLOW;
    }
    if (k->json) {
        diags_json(&d, k->json);
    } else if (r >= 0) {
        diags_render(&d, k->cli->colour, k->out);
        if (code != EXIT_OK && d.errors == 0) {
            sb_printf(k->out, "%s: not valid: warnings are errors under --strict\n", file);
        } else if (d.errors == 0 && !opt_given(k->args, "quiet")) {
            sb_printf(k->out, "%s: %s%s%s\n", file, tone_on(k->cli->colour, TONE_GOOD),
                      d.warnings ? "valid, with warnings" : "valid", tone_off(k->cli->colour));
        }
    }
    arena_free(arena);
    diags_done(&d);
    sb_done(&text);
    return code;
}

static int run(struct cli *c, const struct args *a)
{
    struct str out = {0};
    struct jsonw w;
    jw_init(&w, &out, true);
    bool json = opt_given(a, "json");
    struct checking k = {.cli = c,
                         .args = a,
                         .strict = opt_given(a, "strict"),
                         .json = json ? &w : NULL,
                         .out = &out};
    int code = setup_params(c, a, &k.params, &k.n_params);
    if (code != EXIT_OK) {
        return code;
    }
    if (json) {
        jw_object(&w);
    }
    for (size_t i = 0; i < a->n_positional; i++) {
        if (json) {
            jw_key(&w, a->positional[i]);
        }
        int one = check_file(&k, a->positional[i]);
        code = one > code ? one : code;
    }
    if (json) {
        jw_end_object(&w);
        sb_putc(&out, '\n');
    }
    out_str(&out);
    sb_done(&out);
    setup_params_free(k.params, k.n_params);
    return code;
}

static const struct opt opts[] = {
    OPT_PARAMS,
    {"strict", 0, OPT_FLAG, NULL, "Warnings are errors"},
    {"quiet", 'q', OPT_FLAG, NULL, "Says nothing about valid files"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document: file -> list of diagnostics"},
};

const struct command cmd_check = {
    .name = "check",
    .synopsis = "FILE…",
    .summary = "Checks workflow files: all errors and warnings at once",
    .text = "Exit code 0: valid; 3: at least one file is not. Required params may be missing here.",
    .example = "  wf check --strict pipeline.yaml",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .min_args = 1,
    .max_args = 100000,
    .run = run};
