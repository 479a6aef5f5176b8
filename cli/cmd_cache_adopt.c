/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache adopt FILE STEP: shows what differs, asks, and lets the earlier result stand. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/adopt.h"
#include "cache/entries.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/differences.h"
#include "cli/dry_setup.h"
#include "cli/out.h"
#include "engine/history.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct candidate {
    uint32_t instance;
    int64_t entry;
    const char *refused; /* why it cannot be adopted; NULL: it can */
};
struct adopting {
    const struct cli *cli;
    const struct args *args;
    struct dry_setup dry;
    struct arena *arena;
    VEC(struct candidate) list;
    VEC(struct adoption) kept; /* what is to be stored; texts live in the arena */
    size_t reused, wanted;     /* hits already; those that can be adopted */
    char *folder;
    struct str out;
};

static const char *name_of(const struct adopting *x, uint32_t instance)
{
    return x->dry.setup.plan->instances[instance].name;
}

/* NULL: it can be adopted. */
static const char *refusal(struct adopting *x, uint32_t instance, int64_t entry)
{
    const struct dry_step *d = dry_of(x->dry.dry, instance);
    struct store *s = x->dry.setup.store;
    const char *action, *work;
    struct err err = {0};

    if (d->verdict == DRY_SKIP || d->verdict == DRY_UNDECIDED) {
        return arena_printf(x->arena, "%s, %s", dry_verdict_names[d->verdict], d->why);
    }
    if (!d->question || !d->question->memoized) {
        return d->why ? d->why : "it is not memoized";
    }
    if (d->question->has_identity) {
        return "its policy goes by age or change, not by content: there is nothing to adopt";
    }
    if (entry == 0) {
        return x->folder ? NULL : "it has no earlier result: name a folder with --from, or run it";
    }
    if (entry_action(s, entry, x->arena, &action, &work, &err) != 0) {
        return "what it made before is no longer kept: it must run";
    }
    return adopt_fits(work, d->question->work_json, &err) < 0 ? arena_strdup(x->arena, err.msg)
                                                              : NULL;
}

static void consider(uint32_t instance, void *arg)
{
    struct adopting *x = arg;
    struct err err = {0};
    struct candidate c = {.instance = instance};
    struct entry e;

    if (dry_of(x->dry.dry, instance)->verdict == DRY_HIT) {
        x->reused++;
        return;
    }
    c.entry = history_last_entry(x->dry.setup.store, x->dry.setup.plan->wf->name,
                                 name_of(x, instance), &err);
    if (c.entry < 0 ||
        (x->folder && entry_get(x->dry.setup.store, c.entry, x->arena, &e, &err) != 0)) {
        c.entry = 0;
    }
    c.refused = refusal(x, instance, c.entry);
    x->wanted += !c.refused;
    *vec_push(&x->list) = c;
}

/* What the user answers for: every difference, and whose result it is. */
static void show(struct adopting *x, const struct candidate *c, struct str *out)
{
    const struct dry_step *d = dry_of(x->dry.dry, c->instance);
    struct entry e;

    sb_printf(out, "%s%s%s: ", tone_on(x->cli->err_colour, TONE_BOLD), name_of(x, c->instance),
              tone_off(x->cli->err_colour));
    if (c->refused) {
        sb_printf(out, "not adopted: %s\n", c->refused);
        return;
    }
    if (x->folder) {
        sb_printf(out, "the outputs in %s would stand", x->folder);
    } else if (entry_get(x->dry.setup.store, c->entry, x->arena, &e, NULL) == 0) {
        sb_puts(out, "what was made ");
        add_ago(out, e.made_at_ms);
        sb_puts(out, " would stand (entry ");
        add_short_digest(out, e.key.bytes);
        sb_putc(out, ')');
    }
    sb_puts(out, d->n_differences ? ", although\n" : "\n");
    differences_text(d->differences, d->n_differences, 0, "  ", "", out);
}

static int ask(struct adopting *x)
{
    CLEANUP(sb_done) struct str text = {0};

    for (size_t i = 0; i < x->list.len; i++) {
        show(x, &x->list.items[i], &text);
    }
    fputs(sb_text(&text), stderr);
    if (x->wanted == 0 || opt_given(x->args, "yes")) {
        return EXIT_OK;
    }
    int said = confirm(x->cli, "let it stand, on your word?");
    if (said < 0) {
        return cli_usage(x->cli, "nothing was adopted: say --yes where nobody can be asked");
    }
    return said ? EXIT_OK : cli_usage(x->cli, "nothing was adopted");
}

/* Who answers for it. Owned by the caller. */
static char *who(void)
{
    const struct passwd *p = getpwuid(geteuid());
    char host[256] = "";

    if (gethostname(host, sizeof(host) - 1) != 0) {
        host[0] = '\0';
    }
    return p ? xasprintf("%s@%s", p->pw_name, host)
             : xasprintf("uid %ld@%s", (long)geteuid(), host);
}

/* What is needed of the dry run, which ends before the store is opened for writing. */
static void keep(struct adopting *x, const struct candidate *c, const char *by)
{
    const struct question *q = dry_of(x->dry.dry, c->instance)->question;

    *vec_push(&x->kept) =
        (struct adoption){.key = q->key,
                          .work_digest = q->work,
                          .action = arena_strndup(x->arena, q->action, q->action_len),
                          .work = arena_strndup(x->arena, q->work_json, q->work_len),
                          .action_len = q->action_len,
                          .work_len = q->work_len,
                          .workflow = arena_strdup(x->arena, x->dry.setup.plan->wf->name),
                          .step = arena_strdup(x->arena, name_of(x, c->instance)),
                          .entry = c->entry,
                          .folder = x->folder,
                          .by = by};
}

static int adopt_one(struct adopting *x, struct store *s, const struct adoption *a, struct jsonw *w,
                     struct err *err)
{
    int64_t id = 0;
    int rc = adopt_store(s, a, &id, err);

    if (rc < 0) {
        return err_wrap(err, "%s", a->step);
    }
    if (w) {
        jw_object(w);
        jw_kv_text(w, "step", a->step);
        jw_key(w, "key");
        jw_digest(w, &a->key);
        jw_kv_i64(w, "entry", id);
        jw_end_object(w);
    } else {
        sb_printf(&x->out, "adopted %s as ", a->step);
        add_short_digest(&x->out, a->key.bytes);
        sb_putc(&x->out, '\n');
    }
    return 0;
}

static int adopt_all(struct adopting *x)
{
    struct store_options so = {.dir = x->cli->store_dir};
    struct store *store = NULL;
    struct err err = {0};
    struct jsonw writer = {0};
    struct jsonw *w = opt_given(x->args, "json") ? &writer : NULL;
    int rc = x->kept.len ? store_open(&so, &store, &err) : 0;

    if (w) {
        jw_init(w, &x->out, true);
        jw_array(w);
    }
    for (size_t i = 0; i < x->kept.len && rc == 0; i++) {
        rc = adopt_one(x, store, &x->kept.items[i], w, &err);
    }
    if (w) {
        jw_end_array(w);
        sb_putc(&x->out, '\n');
    } else if (x->reused > 0 && rc == 0) {
        sb_printf(&x->out, "%zu reused as it is\n", x->reused);
    }
    out_str(&x->out);
    store_close(store);
    if (rc < 0) {
        return cli_fail(x->cli, &err);
    }
    return x->wanted < x->list.len ? EXIT_RUN_FAILED : EXIT_OK;
}

/* EXIT_OK: all that is wanted was confirmed and is kept. */
static int prepare(struct adopting *x, const char *step)
{
    uint32_t n = plan_match(x->dry.setup.plan, step, consider, x);

    if (n == 0) {
        return dry_unknown_step(x->cli, x->dry.setup.plan, step);
    }
    if (x->folder && n > 1) {
        return cli_usage(x->cli, "--from holds the outputs of one branch: name it, as in '%s'",
                         x->dry.setup.plan->instances[0].name);
    }
    int code = ask(x);
    CLEANUP(cleanup_free) char *by = who();
    const char *kept = arena_strdup(x->arena, by);
    for (size_t i = 0; i < x->list.len && code == EXIT_OK; i++) {
        if (!x->list.items[i].refused) {
            keep(x, &x->list.items[i], kept);
        }
    }
    return code;
}

static int run(struct cli *c, const struct args *a)
{
    struct adopting x = {.cli = c, .args = a, .arena = arena_new()};
    const char *from = opt_text(a, "from");
    struct err err = {0};
    int code = EXIT_OK;

    if (from && !(x.folder = fs_real(from, &err))) {
        code = cli_fail(c, &err);
    }
    code = code == EXIT_OK ? dry_setup_open_questions(c, a, a->positional[0], &x.dry) : code;
    if (code == EXIT_OK) {
        code = prepare(&x, a->positional[1]);
        dry_setup_close(&x.dry);
        code = code == EXIT_OK ? adopt_all(&x) : code;
    }
    vec_done(&x.list);
    vec_done(&x.kept);
    sb_done(&x.out);
    free(x.folder);
    arena_free(x.arena);
    return code;
}

static const struct opt opts[] = {
    OPT_PARAMS,
    {"from", 0, OPT_TEXT, "DIR", "Takes the outputs that lie in DIR, by their declared paths"},
    {"yes", 'y', OPT_FLAG, NULL, "Does not ask"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_cache_adopt = {
    .name = "cache adopt",
    .synopsis = "FILE STEP",
    .summary = "Lets a step's earlier result stand after a change that changes nothing",
    .text = "Shows each difference between the step now and its newest earlier result, asks, and "
            "stores that result under\nthe key the step has now. The new entry says from which it "
            "comes, when, and by whom. Outputs and values must be\ndeclared as they were.\n"
            "Exit code 1: a branch could not be adopted.",
    .example = "  wf cache adopt pipeline.yaml train\n  wf cache adopt pipeline.yaml "
               "'train[model=mlp]' --from out/",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .min_args = 2,
    .max_args = 2,
    .run = run};
