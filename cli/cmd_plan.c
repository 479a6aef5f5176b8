/* SPDX-License-Identifier: Apache-2.0 */
/* wf plan FILE: what a run would do now. Changes nothing. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/dry_setup.h"
#include "cli/out.h"

#include <stdlib.h>
#include <string.h>

static enum tone verdict_tone(enum dry_verdict v)
{
    static const enum tone tones[DRY_VERDICT_COUNT] = {[DRY_HIT] = TONE_REUSED,
                                                       [DRY_RUN] = TONE_BOLD,
                                                       [DRY_UNDECIDED] = TONE_WARN,
                                                       [DRY_SKIP] = TONE_DIM};
    return tones[v];
}

/* In a list where each step has its own line: what a step waits for and where that begins, without the steps between them, and without the words of a first run, which would stand on every line. */
static const char *short_why(const struct dry_step *s, struct arena *a)
{
    if (s->n_chain == 0) {
        return s->why ? s->why : "";
    }
    struct why_link links[2] = {s->chain[0], s->chain[s->n_chain - 1]};
    struct why_link *root = &links[s->n_chain > 1];
    root->between = 0;
    root->why = text_eq(root->why, "never ran") ? NULL : root->why;
    const char *sentence = chain_sentence(links, s->n_chain > 1 ? 2 : 1, a);
    size_t len = strlen(links[0].step);
    return arena_printf(a, "it depends on %s, which%s", links[0].step, sentence + len);
}

static void add_text(const struct cli *c, const struct plan *p, const struct dry *d, bool verbose,
                     struct str *out)
{
    uint32_t counts[DRY_VERDICT_COUNT] = {0};
    struct table *t = table_new(3, NULL);
    struct arena *a = arena_new();
    for (uint32_t i = 0; i < p->n; i++) {
        const struct dry_step *s = dry_of(d, i);
        counts[s->verdict]++;
        table_cell(t, verdict_tone(s->verdict), "%s", dry_verdict_names[s->verdict]);
        table_cell(t, TONE_NONE, "%s", p->instances[i].name);
        table_cell(t, TONE_DIM, "%s", short_why(s, a));
        for (uint32_t k = 0; verbose && k < s->n_inputs; k++) {
            const struct seen_input *in = &s->inputs[k];
            table_cell(t, TONE_NONE, "%s", "");
            table_cell(t, TONE_NONE, "%s", "");
            table_cell(t, TONE_DIM, "reads %s%s",
                       in->rel    ? in->rel
                       : in->path ? in->path
                                  : in->name,
                       in->input != UINT32_MAX ? ""
                       : in->source            ? " (its source)"
                                               : " (found in its text)");
        }
    }
    table_print(t, c->colour, c->out_tty ? c->width : 0, out);
    table_free(t);
    arena_free(a);
    const char *between = "";
    for (int v = 0; v < DRY_VERDICT_COUNT; v++) {
        if (counts[v]) {
            sb_printf(out, "%s%u %s", between, counts[v], dry_verdict_names[v]);
            between = ", ";
        }
    }
    sb_putc(out, '\n');
}

static void add_differences(struct jsonw *w, const struct dry_step *s)
{
    jw_key(w, "differences");
    jw_array(w);
    for (size_t i = 0; i < s->n_differences; i++) {
        difference_json(&s->differences[i], w);
    }
    jw_end_array(w);
}

static void add_inputs(struct jsonw *w, const struct dry_step *s)
{
    jw_key(w, "inputs");
    jw_array(w);
    for (uint32_t i = 0; i < s->n_inputs; i++) {
        const struct seen_input *in = &s->inputs[i];
        jw_object(w);
        jw_kv_text(w, "name", in->name);
        jw_kv_text(w, "path", in->rel ? in->rel : in->path);
        jw_kv_bool(w, "found", in->input == UINT32_MAX && !in->source);
        if (in->kind != 'a') {
            jw_key(w, "digest");
            jw_digest(w, &in->digest);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
}

void dry_json(const struct plan *p, const struct dry *d, uint32_t instance, struct jsonw *w)
{
    const struct dry_step *s = dry_of(d, instance);
    jw_object(w);
    jw_kv_text(w, "name", p->instances[instance].name);
    jw_kv_text(w, "verdict", dry_verdict_names[s->verdict]);
    jw_kv_text(w, "why", s->why);
    if (s->has_key) {
        jw_key(w, "key");
        jw_digest(w, &s->key);
    }
    add_differences(w, s);
    if (s->not_known) {
        jw_kv_text(w, "not_known", s->not_known);
    }
    if (s->n_chain > 0) {
        jw_key(w, "because");
        chain_json(s->chain, s->n_chain, w);
    }
    add_inputs(w, s);
    jw_end_object(w);
}

static int run(struct cli *c, const struct args *a)
{
    struct dry_setup s;
    int code = dry_setup_open(c, a, a->positional[0], NULL, &s);
    if (code != EXIT_OK) {
        return code;
    }
    struct str out = {0};
    if (opt_given(a, "json")) {
        struct jsonw w;
        jw_init(&w, &out, true);
        jw_object(&w);
        jw_kv_text(&w, "workflow", s.setup.plan->wf->name);
        jw_key(&w, "steps");
        jw_array(&w);
        for (uint32_t i = 0; i < s.setup.plan->n; i++) {
            dry_json(s.setup.plan, s.dry, i, &w);
        }
        jw_end_array(&w);
        jw_end_object(&w);
        sb_putc(&out, '\n');
    } else {
        add_text(c, s.setup.plan, s.dry, opt_given(a, "verbose"), &out);
    }
    out_str(&out);
    sb_done(&out);
    dry_setup_close(&s);
    return EXIT_OK;
}

static const struct opt opts[] = {
    OPT_PARAMS,
    {"refresh", 0, OPT_OPTIONAL, "STEP", "As in `wf run`: shows what it would run"},
    {"no-cache", 0, OPT_FLAG, NULL, "As in `wf run`"},
    {"verbose", 'v', OPT_FLAG, NULL, "Also lists the files each step reads"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_plan = {.name = "plan",
                                 .synopsis = "FILE",
                                 .summary = "Shows what a run would do now, and why",
                                 .text =
                                     "hit: reused. run: would run. undecided: depends on a step "
                                     "that will run. skip: its `if` is false.\nNothing is changed.",
                                 .example = "  wf plan pipeline.yaml -p epochs=3",
                                 .opts = opts,
                                 .n_opts = ARRAY_LEN(opts),
                                 .min_args = 1,
                                 .max_args = 1,
                                 .run = run};
