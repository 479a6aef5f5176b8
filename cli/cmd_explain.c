/* SPDX-License-Identifier: Apache-2.0 */
/* wf explain FILE STEP: which parts of the step's action differ from its newest earlier one. */
#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/dry_setup.h"
#include "cli/out.h"

#include <string.h>

struct explaining {
    const struct cli *cli;
    const struct dry_setup *s;
    struct arena *arena;
    struct jsonw *json; /* NULL: text */
    struct str *out;
};

static void explain_one(uint32_t instance, void *arg)
{
    struct explaining *x = arg;
    const struct plan *p = x->s->setup.plan;
    if (x->json) {
        dry_json(p, x->s->dry, instance, x->json);
        return;
    }
    const struct dry_step *d = dry_of(x->s->dry, instance);
    bool colour = x->cli->colour;
    bool said = d->why && d->n_differences == 0; /* else it only sums up the list */
    sb_printf(x->out, "%s%s%s: %s%s%s\n", tone_on(colour, TONE_BOLD), p->instances[instance].name,
              tone_off(colour), dry_verdict_names[d->verdict], said ? ", " : "",
              said ? d->why : "");
    for (size_t i = 0; i < d->n_differences; i++) {
        sb_printf(x->out, "  %s\n", difference_sentence(&d->differences[i], x->arena));
    }
}

static int unknown_step(const struct cli *c, const struct plan *p, const char *word)
{
    bool branch = strchr(word, '[') != NULL;
    uint32_t n = branch ? p->n : p->wf->n_steps;
    const char **words = xcalloc((size_t)n + 1, sizeof(char *));
    for (uint32_t i = 0; i < n; i++) {
        words[i] = branch ? p->instances[i].name : p->wf->steps[i].name;
    }
    const char *near = suggest_nearest(word, words, n);
    int code = near ? cli_usage(c, "there is no step '%s' (did you mean '%s'?)", word, near)
                    : cli_usage(c, "there is no step '%s'", word);
    cleanup_free(&words);
    return code;
}

static int run(struct cli *c, const struct args *a)
{
    struct dry_setup s;
    int code = dry_setup_open(c, a, a->positional[0], &s);
    if (code != EXIT_OK) {
        return code;
    }
    struct str out = {0};
    struct jsonw w;
    jw_init(&w, &out, true);
    bool json = opt_given(a, "json");
    struct explaining x = {c, &s, arena_new(), json ? &w : NULL, &out};
    if (json) {
        jw_array(&w);
    }
    uint32_t n = plan_match(s.setup.plan, a->positional[1], explain_one, &x);
    if (json) {
        jw_end_array(&w);
        sb_putc(&out, '\n');
    }
    if (n == 0) {
        code = unknown_step(c, s.setup.plan, a->positional[1]);
    } else {
        out_str(&out);
    }
    sb_done(&out);
    arena_free(x.arena);
    dry_setup_close(&s);
    return code;
}

static const struct opt opts[] = {
    OPT_PARAMS,
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_explain = {
    .name = "explain",
    .synopsis = "FILE STEP",
    .summary = "Shows why a step would run or be reused",
    .text = "Compares the step's action now with its newest earlier one and names each difference, "
            "old and new.\n"
            "STEP is a step's name (all branches) or one branch: 'train[model=mlp]'.",
    .example = "  wf explain pipeline.yaml train",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .min_args = 2,
    .max_args = 2,
    .run = run};
