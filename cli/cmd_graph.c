/* SPDX-License-Identifier: Apache-2.0 */
/* wf graph FILE: the steps and their edges as a picture. */
#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/setup.h"
#include "engine/history.h"
#include "workflows/graph.h"

/* A step's state in a past run: the worst of its branches. */
struct colours {
    const struct workflow *wf;
    struct map states; /* step name -> state name */
};

static int severity_of(enum instance_state s)
{
    static const int order[INSTANCE_STATE_COUNT] = {
        [INSTANCE_FAILED] = 9,    [INSTANCE_LOST] = 8,     [INSTANCE_CANCELLED] = 7,
        [INSTANCE_RUNNING] = 6,   [INSTANCE_RETRYING] = 5, [INSTANCE_QUEUED] = 4,
        [INSTANCE_SUCCEEDED] = 3, [INSTANCE_CACHED] = 2,   [INSTANCE_SKIPPED] = 1};
    return order[s];
}

static const char *state_of(unsigned step, void *arg)
{
    const struct colours *k = arg;
    const struct past_step *s = map_get_text(&k->states, k->wf->steps[step].name);
    return s ? instance_state_names[s->status.state] : NULL;
}

static int load_colours(struct cli *c, const char *word, struct arena *a, struct colours *k)
{
    struct store *store;
    struct err err = {0};
    int code = setup_store(c, &store);
    if (code != EXIT_OK) {
        return code;
    }
    char id[32];
    struct past_run past;
    int r = history_resolve(store, word, id, &err);
    if (r >= 0) {
        r = history_load(store, id, a, &past, &err);
    }
    for (uint32_t i = 0; r >= 0 && i < past.n; i++) {
        const struct past_step *seen = map_get_text(&k->states, past.steps[i].step);
        if (!seen || severity_of(past.steps[i].status.state) > severity_of(seen->status.state)) {
            map_put_text(&k->states, past.steps[i].step, &past.steps[i]);
        }
    }
    store_close(store);
    return r < 0 ? cli_fail(c, &err) : EXIT_OK;
}

static int draw(struct cli *c, const struct args *a, const struct workflow *wf,
                graph_state_fn state, void *arg)
{
    const char *format = opt_text(a, "format");
    struct str out = {0};
    if (!format || text_eq(format, "text")) {
        graph_text(wf, &out);
    } else if (text_eq(format, "dot")) {
        graph_dot(wf, state, arg, &out);
    } else if (text_eq(format, "mermaid")) {
        graph_mermaid(wf, state, arg, &out);
    } else if (text_eq(format, "json")) {
        graph_json(wf, state, arg, &out);
    } else {
        return cli_usage(c, "option '--format' is text, dot, mermaid or json, not '%s'", format);
    }
    out_str(&out);
    sb_done(&out);
    return EXIT_OK;
}

static int run(struct cli *c, const struct args *a)
{
    struct err err = {0};
    struct str text = {0};
    struct diags d;
    diags_init(&d, a->positional[0]);
    struct arena *arena = arena_new();
    struct workflow *wf = NULL;
    struct param_override *params = NULL;
    size_t n_params = 0;
    int code = setup_params(c, a, &params, &n_params);
    if (code == EXIT_OK) {
        struct load_options o = {.file = a->positional[0],
                                 .params = params,
                                 .n_params = n_params,
                                 .params_file = opt_text(a, "params-file"),
                                 .allow_missing_params = true};
        int r = load_read(a->positional[0], &text, &err);
        r = r < 0 ? r
                  : workflow_load(text.data ? text.data : "", text.len, &o, arena, &d, &wf, &err);
        if (r < 0) {
            code = cli_fail(c, &err);
        } else if (r == 1) {
            struct str out = {0};
            diags_render(&d, c->colour, &out);
            out_str(&out);
            sb_done(&out);
            code = EXIT_WORKFLOW;
        }
    }
    struct colours k = {.wf = wf};
    const char *of_run = opt_text(a, "run");
    if (code == EXIT_OK && of_run) {
        code = load_colours(c, of_run, arena, &k);
    }
    if (code == EXIT_OK) {
        code = draw(c, a, wf, of_run ? state_of : NULL, &k);
    }
    map_done(&k.states);
    setup_params_free(params, n_params);
    arena_free(arena);
    sb_done(&text);
    diags_done(&d);
    return code;
}

static const struct opt opts[] = {
    OPT_PARAMS,
    {"format", 0, OPT_TEXT, "FORMAT", "text (default), dot, mermaid or json"},
    {"run", 0, OPT_TEXT, "RUN", "Colours the steps by their outcome in this run"},
};

const struct command cmd_graph = {
    .name = "graph",
    .synopsis = "FILE",
    .summary = "Draws the steps and what they need",
    .example = "  wf graph pipeline.yaml --format dot | dot -Tsvg > graph.svg\n  wf graph "
               "pipeline.yaml --format mermaid --run latest",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .min_args = 1,
    .max_args = 1,
    .run = run};
