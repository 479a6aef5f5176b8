/* SPDX-License-Identifier: Apache-2.0 */
/* wf outputs [RUN] [STEP[.NAME]]: where a run's outputs lie, or copies of them. */
#include "base/digest.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/past.h"

#include <string.h>
#include <unistd.h>

struct printing {
    const struct cli *cli;
    struct store *store;
    const char *to;   /* --to, NULL */
    const char *only; /* output name, NULL: all */
    bool single;      /* one output asked for: its path alone */
    struct jsonw *json;
    struct str out;
    size_t printed;
    int code;
};

/* "train[model=mlp]" as a folder name. */
static char *folder_name(const char *step)
{
    char *name = xstrdup(step);
    for (char *c = name; *c; c++) {
        if (*c == '/') {
            *c = '_';
        }
    }
    return name;
}

/* Copies an output to TO/STEP/PATH; the copy's path is owned by the caller, NULL after an error was printed. */
static char *copy_out(struct printing *p, const struct past_step *s, const struct result_output *o)
{
    struct err err = {0};
    CLEANUP(cleanup_free) char *folder = folder_name(s->name);
    CLEANUP(cleanup_free) char *dir = fs_join(p->to, folder);
    char *target = fs_join(dir, o->path);
    CLEANUP(cleanup_free) char *parent = fs_dirname(target);
    int r = fs_mkdirs(parent, 0777, &err);
    if (r >= 0) {
        r = fs_remove_tree(target, &err);
    }
    if (r >= 0) {
        r = objects_place(p->store, &o->digest, o->kind, o->executable, PLACE_OWN, target, &err);
    }
    if (r < 0) {
        p->code = cli_fail(p->cli, &err);
        cleanup_free(&target);
        return NULL;
    }
    return target;
}

static void print_output(struct printing *p, const struct past_step *s,
                         const struct result_output *o)
{
    CLEANUP(cleanup_free)
    char *path = p->to ? copy_out(p, s, o) : objects_path(p->store, &o->digest);
    if (!path) {
        return;
    }
    p->printed++;
    if (p->json) {
        jw_object(p->json);
        jw_kv_text(p->json, "step", s->name);
        jw_kv_text(p->json, "name", o->name);
        jw_kv_text(p->json, "path", path);
        jw_kv_text(p->json, "kind", o->kind == OBJECT_TREE ? "folder" : "file");
        jw_key(p->json, "digest");
        jw_digest(p->json, &o->digest);
        jw_kv_i64(p->json, "bytes", (int64_t)o->bytes);
        jw_end_object(p->json);
    } else if (p->single) {
        sb_printf(&p->out, "%s\n", path);
    } else {
        sb_printf(&p->out, "%s.%s  %s%s\n", s->name, o->name, path,
                  o->kind == OBJECT_TREE && !p->to ? "  (a folder: copy it with --to)" : "");
    }
}

static void print_step(const struct past_step *s, void *arg)
{
    struct printing *p = arg;
    for (uint32_t i = 0; s->result && i < s->result->n_outputs; i++) {
        if (!p->only || text_eq(p->only, s->result->outputs[i].name)) {
            print_output(p, s, &s->result->outputs[i]);
        }
    }
}

/* STEP or STEP.NAME; step names hold no dots outside their brackets. */
static int print_word(struct printing *p, const struct past_run *r, const char *word)
{
    const char *bracket = strrchr(word, ']');
    const char *dot = strchr(bracket ? bracket : word, '.');
    CLEANUP(cleanup_free) char *step = dot ? xstrndup(word, (size_t)(dot - word)) : xstrdup(word);
    p->only = dot ? dot + 1 : NULL;
    size_t n = past_match(r, step, NULL, NULL);
    if (n == 0) {
        return past_unknown_step(p->cli, r, step);
    }
    p->single = n == 1 && p->only;
    past_match(r, step, print_step, p);
    if (p->printed == 0 && p->code == EXIT_OK) {
        return p->only
                   ? cli_usage(p->cli,
                               "step '%s' made no output '%s' in run %s; `wf outputs %s` lists all",
                               step, p->only, r->row.id, r->row.id)
                   : cli_usage(p->cli, "step '%s' made no outputs in run %s", step, r->row.id);
    }
    return p->code;
}

static int run(struct cli *c, const struct args *a)
{
    struct past p;
    size_t rest;
    int code = past_open_args(c, a, &p, &rest);
    if (code != EXIT_OK) {
        return code;
    }
    struct printing k = {.cli = c, .store = p.store, .to = opt_text(a, "to")};
    struct jsonw w;
    jw_init(&w, &k.out, true);
    if (opt_given(a, "json")) {
        k.json = &w;
        jw_array(&w);
    }
    if (rest < a->n_positional) {
        code = print_word(&k, &p.run, a->positional[rest]);
    } else {
        for (uint32_t i = 0; i < p.run.n; i++) {
            print_step(&p.run.steps[i], &k);
        }
        code = k.code;
    }
    if (k.json) {
        jw_end_array(&w);
        sb_putc(&k.out, '\n');
    }
    out_str(&k.out);
    sb_done(&k.out);
    past_close(&p);
    return code;
}

static const struct opt opts[] = {
    {"to", 0, OPT_TEXT, "DIR", "Copies the outputs to DIR/STEP/…"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_outputs = {
    .name = "outputs",
    .synopsis = "[RUN] [STEP[.NAME]]",
    .summary = "Shows where outputs lie, or copies them",
    .text = "The paths lie in the store and are read-only. RUN is an id, the beginning of one, or "
            "'latest' (the default).",
    .example = "  cat \"$(wf outputs report.table)\"\n  wf outputs latest --to results",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .min_args = 0,
    .max_args = 2,
    .run = run};
