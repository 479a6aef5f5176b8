/* SPDX-License-Identifier: Apache-2.0 */
/* wf explain FILE STEP: which parts of the step's action differ from its newest earlier one, and where each comes from. wf explain --run RUN STEP: the same of a past run. */
#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/differences.h"
#include "cli/dry_setup.h"
#include "cli/out.h"
#include "cli/past.h"
#include "engine/past_why.h"

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
    dry_known(x->s->dry, instance);
    if (x->json) {
        dry_json(p, x->s->dry, instance, x->json);
        return;
    }
    const struct dry_step *d = dry_of(x->s->dry, instance);
    bool colour = x->cli->colour;
    /* Else it only sums up the list. */
    bool said = d->why && (d->n_differences == 0 || d->not_known);
    sb_printf(x->out, "%s%s%s: %s%s%s\n", tone_on(colour, TONE_BOLD), p->instances[instance].name,
              tone_off(colour), dry_verdict_names[d->verdict], said ? ", " : "",
              said ? d->why : "");
    differences_text(d->differences, d->n_differences, 0, "  ", "", x->out);
    if (d->not_known) {
        sb_printf(x->out, "  %s\n", d->not_known);
    }
}

/* --- a past run --- */

struct explaining_past {
    const struct cli *cli;
    const struct past *past;
    struct jsonw *json; /* NULL: text */
    struct str *out;
};

/* "reused: the result of run 01J…", "ran, by --refresh": what became of it, before the differences. */
static void add_past_head(const struct explaining_past *x, const struct past_step *s,
                          const struct past_why *w)
{
    const char *status = instance_state_names[s->status.state];
    sb_printf(x->out, "%s%s%s: %s", tone_on(x->cli->colour, TONE_BOLD), s->name,
              tone_off(x->cli->colour), status);
    if (text_eq(w->verdict, "disabled") || text_eq(w->verdict, "uncacheable")) {
        sb_printf(x->out, ", not memoized%s%s", w->note ? ": " : "", w->note ? w->note : "");
    } else if (w->note) {
        sb_printf(x->out, ", %s", w->note);
    }
    sb_putc(x->out, '\n');
}

static void add_past_json(const struct explaining_past *x, const struct past_step *s,
                          const struct past_why *w)
{
    jw_object(x->json);
    jw_kv_text(x->json, "name", s->name);
    jw_kv_text(x->json, "run", x->past->run.row.id);
    jw_kv_text(x->json, "status", instance_state_names[s->status.state]);
    jw_kv_text(x->json, "verdict", w->verdict);
    jw_kv_text(x->json, "why", w->note);
    if (w->made_by) {
        jw_kv_text(x->json, "made_by", w->made_by);
    }
    if (w->made_in) {
        jw_kv_text(x->json, "made_in", w->made_in);
    }
    if (s->status.state == INSTANCE_CACHED && s->result && s->result->adopted) {
        jw_key(x->json, "adopted");
        jw_raw(x->json, s->result->adopted, strlen(s->result->adopted));
    }
    if (!digest_is_zero(&s->key)) {
        jw_key(x->json, "key");
        jw_digest(x->json, &s->key);
    }
    jw_key(x->json, "differences");
    jw_array(x->json);
    for (size_t i = 0; i < w->n_differences; i++) {
        difference_json(&w->differences[i], x->json);
    }
    jw_end_array(x->json);
    if (w->more > 0) {
        jw_kv_i64(x->json, "differences_not_kept", (int64_t)w->more);
    }
    jw_end_object(x->json);
}

static void explain_past(const struct past_step *s, void *arg)
{
    const struct explaining_past *x = arg;
    struct arena *a = arena_new();
    struct past_why w;
    past_why(x->past->store, s, a, &w);
    if (x->json) {
        add_past_json(x, s, &w);
    } else {
        add_past_head(x, s, &w);
        differences_text(w.differences, w.n_differences, 0, "  ", "", x->out);
        if (w.more > 0) {
            sb_printf(x->out, "  and %zu more, which are not known any more\n", w.more);
        }
    }
    arena_free(a);
}

static int run_past(struct cli *c, const struct args *a)
{
    struct past p;
    if (a->n_positional != 1) {
        return cli_usage(c, "with --run, explain takes one STEP and no FILE");
    }
    int code = past_open(c, opt_text(a, "run"), &p);
    if (code != EXIT_OK) {
        return code;
    }
    struct str out = {0};
    struct jsonw w;
    jw_init(&w, &out, true);
    struct explaining_past x = {c, &p, opt_given(a, "json") ? &w : NULL, &out};
    if (x.json) {
        jw_array(&w);
    }
    if (past_match(&p.run, a->positional[0], explain_past, &x) == 0) {
        code = past_unknown_step(c, &p.run, a->positional[0]);
    } else {
        if (x.json) {
            jw_end_array(&w);
            sb_putc(&out, '\n');
        }
        out_str(&out);
    }
    sb_done(&out);
    past_close(&p);
    return code;
}

static int run_now(struct cli *c, const struct args *a)
{
    struct dry_setup s;
    int code = dry_setup_open(c, a, a->positional[0], a->positional[1], &s);
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
        code = dry_unknown_step(c, s.setup.plan, a->positional[1]);
    } else {
        out_str(&out);
    }
    sb_done(&out);
    arena_free(x.arena);
    dry_setup_close(&s);
    return code;
}

static int run(struct cli *c, const struct args *a)
{
    if (opt_given(a, "run")) {
        return run_past(c, a);
    }
    return a->n_positional == 2 ? run_now(c, a)
                                : cli_usage(c, "explain takes FILE STEP, or --run RUN STEP");
}

static const struct opt opts[] = {
    OPT_PARAMS,
    {"run", 0, OPT_TEXT, "RUN", "Explains why STEP ran in a past run; without FILE"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_explain = {
    .name = "explain",
    .synopsis = "[FILE] STEP",
    .summary = "Shows why a step would run or be reused",
    .text = "Compares the step's action now with its newest earlier one and names each difference, "
            "old and new, and why the step it comes from runs.\n"
            "With --run: why the step ran, or was reused, in that run.\n"
            "STEP is a step's name (all branches) or one branch: 'train[model=mlp]'.",
    .example = "  wf explain pipeline.yaml train\n  wf explain --run latest train",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .min_args = 1,
    .max_args = 2,
    .run = run};
