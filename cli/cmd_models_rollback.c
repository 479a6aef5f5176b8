/* SPDX-License-Identifier: Apache-2.0 */
/* wf models rollback, wf models allow. A rollback is one transaction: the new promotion, what it takes away, and what the services are to serve. Then it waits until they do. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/units.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/out.h"
#include "serve/client.h"
#include "serve/models.h"

#include <stdlib.h>
#include <string.h>

/* Beyond the time a model server may take to get ready. */
enum { WAIT_MS = 60000 };

/* A service that is to follow. */
struct follower {
    const struct serving *serving;
    struct service_spec spec;
    int64_t id, generation;
    bool live, failed;
    const char *endpoint, *error;
};
struct rollback {
    const struct cli *cli;
    struct write write;
    struct loop *loop;
    struct store *store;
    struct arena *arena;
    struct registry registry;
    struct promotion from, to;
    uint32_t number; /* of the new one */
    struct follower *followers;
    size_t n_followers;
    int models_fd;
    bool json, late;
    struct err err;
    int rc;
    struct str out;
};

/* --- what to go back to --- */

struct looking {
    const struct rollback *r;
    struct promotion *ret;
};

static bool any_barred(const struct registry *r, const struct promotion *p)
{
    for (uint32_t n = 0; n < p->n_models; n++) {
        if (registry_is_barred(r, p, &p->models[n])) {
            return true;
        }
    }
    return false;
}

static int take_other(const struct promotion *p, void *arg)
{
    const struct looking *l = arg;

    if (digest_eq(&p->content, &l->r->from.content) || any_barred(&l->r->registry, p)) {
        return 0;
    }
    *l->ret = *p;
    return 1;
}

static int find_before(struct rollback *r)
{
    const struct promotion *from = &r->from;
    struct looking l = {r, &r->to};
    int rc = promotions_before(r->store, from->workflow, from->step, from->number, r->arena,
                               take_other, &l, &r->err);

    if (rc == 0) {
        return cli_usage(
            r->cli,
            "there is nothing to go back to: no earlier promotion of %s/%s stands that "
            "has other models than %u; `wf models %s/%s` lists them, and --to N takes "
            "any of them",
            from->workflow, from->step, from->number, from->workflow, from->step);
    }
    return rc < 0 ? cli_fail(r->cli, &r->err) : EXIT_OK;
}

static int find_numbered(struct rollback *r, uint32_t number)
{
    const struct promotion *from = &r->from;
    int rc =
        promotion_find(r->store, from->workflow, from->step, number, r->arena, &r->to, &r->err);

    if (rc < 0) {
        return cli_fail(r->cli, &r->err);
    }
    if (rc == 1) {
        return cli_usage(r->cli, "%s/%s has no promotion %u; `wf models %s/%s` lists them",
                         from->workflow, from->step, number, from->workflow, from->step);
    }
    if (digest_eq(&r->to.content, &from->content)) {
        return cli_usage(r->cli, "promotion %u of %s/%s stands, and it has the models of %u",
                         from->number, from->workflow, from->step, number);
    }
    return EXIT_OK;
}

static int find_both(struct rollback *r, const char *word, uint32_t to)
{
    const char *workflow, *step;
    uint32_t number;
    int code = registry_name(r->cli, r->store, word, r->arena, &workflow, &step, &number);

    if (code != EXIT_OK) {
        return code;
    }
    if (number > 0) {
        return cli_usage(r->cli, "write `wf models rollback %s/%s --to %u`", workflow, step,
                         number);
    }
    int rc = promotion_newest(r->store, workflow, step, r->arena, &r->from, &r->err);
    if (rc < 0) {
        return cli_fail(r->cli, &r->err);
    }
    if (rc == 1) {
        return cli_usage(r->cli, "every promotion of %s/%s was rolled back", workflow, step);
    }
    return to > 0 ? find_numbered(r, to) : find_before(r);
}

/* --- the services --- */

/* What the program of a model needs is as it was; address, limits and size are as they are now. It gets all requests at once. */
static void build_spec(const struct service_spec *was, struct service_spec *ret)
{
    ret->models = was->models;
    ret->n_models = was->n_models;
    ret->ready_path = was->ready_path;
    ret->ready_timeout_ms = was->ready_timeout_ms;
    ret->grace_ms = was->grace_ms;
    ret->retry = was->retry;
    ret->address = was->address;
    ret->fixed_port = was->fixed_port;
    ret->first_stop = was->first_stop;
    ret->canary_share = 0;
}

static int add_follower(struct rollback *r, const struct serving *s, struct follower *f)
{
    const struct service_row *row = &s->row;
    struct service_spec was;
    const char *text = NULL;
    int rc = desired_spec(r->store, row->id, r->to.step, r->to.number, r->arena, &text, &r->err);

    if (rc == 1) {
        return cli_usage(r->cli,
                         "service '%s' has not served promotion %u, or that is not kept any more: "
                         "`wf services stop %s/%s` first, then a run serves what stands",
                         row->step, r->to.number, row->workflow, row->step);
    }
    *f = (struct follower){.serving = s};
    rc = rc < 0 ? rc : spec_decode(row->wanted, strlen(row->wanted), r->arena, &f->spec, &r->err);
    uint32_t wants = f->spec.promotion;
    rc = rc < 0 ? rc : spec_decode(text, strlen(text), r->arena, &was, &r->err);
    if (rc < 0) {
        return cli_fail(r->cli, &r->err);
    }
    bool moving = row->state == SERVICE_STARTING || row->state == SERVICE_SWITCHING ||
                  row->state_generation < row->generation;
    bool promoting = wants != r->from.number && store_is_live(r->store, r->from.run);
    bool switching =
        moving && !(f->spec.canary_share > 0) && row->run && store_is_live(r->store, row->run);
    if (promoting || switching) {
        return cli_usage(
            r->cli,
            "run %s is promoting: '%s' is being switched to promotion %u just now; roll "
            "back when that is done (`wf services` shows it)",
            promoting ? r->from.run : row->run, row->step, promoting ? r->from.number : wants);
    }
    build_spec(&was, &f->spec);
    f->spec.run = row->run ? row->run : r->from.run;
    f->spec.keep = row->keep;
    return EXIT_OK;
}

static int find_followers(struct rollback *r)
{
    int code = EXIT_OK;

    r->followers = arena_calloc(r->arena, r->registry.n_serving + 1, sizeof(*r->followers));
    for (size_t n = 0; n < r->registry.n_serving && code == EXIT_OK; n++) {
        const struct serving *s = &r->registry.serving[n];
        if (!s->over && text_eq(s->row.workflow, r->to.workflow) &&
            text_eq(s->select, r->to.step)) {
            code = add_follower(r, s, &r->followers[r->n_followers++]);
        }
    }
    return code;
}

/* --- doing it --- */

static int place(struct rollback *r)
{
    int rc = models_hold(r->store, &r->models_fd, &r->err);

    if (rc < 0) {
        return cli_fail_store(r->cli, &r->err);
    }
    for (uint32_t n = 0; n < r->to.n_models; n++) {
        for (uint32_t k = 0; k < r->to.models[n].n_outputs && rc == 0; k++) {
            CLEANUP(cleanup_free) char *path = NULL;
            const struct result_output *o = &r->to.models[n].outputs[k];
            if (!text_eq(o->name, "metrics")) {
                rc = models_place(r->store, o, &path, &r->err);
            }
        }
    }
    if (rc < 0) {
        (void)err_wrap(&r->err,
                       "the models of promotion %u are not kept any more (those of the last "
                       "%d are)",
                       r->to.number, PROMOTIONS_KEPT);
        return cli_fail(r->cli, &r->err);
    }
    return EXIT_OK;
}

static int apply(struct write *w, struct db *db, struct err *err)
{
    struct rollback *r = CONTAINER_OF(w, struct rollback, write);
    int rc = promotion_rollback(db, &r->from, &r->to, now_ms(), &r->number, err);

    for (size_t n = 0; n < r->n_followers && rc == 0; n++) {
        struct follower *f = &r->followers[n];
        f->spec.promotion = r->number;
        rc = desired_want(db, &f->spec, &f->id, &f->generation, err);
    }
    return rc;
}

static void applied(struct write *w, const struct err *err)
{
    struct rollback *r = CONTAINER_OF(w, struct rollback, write);

    if (err) {
        r->rc = -(int)err->code;
        r->err = *err;
    }
}

/* --- waiting --- */

static bool is_done(const struct rollback *r)
{
    for (size_t n = 0; n < r->n_followers; n++) {
        if (!r->followers[n].live && !r->followers[n].failed) {
            return false;
        }
    }
    return true;
}

static void on_event(const struct serve_event *e, void *arg)
{
    struct rollback *r = arg;

    for (size_t n = 0; n < r->n_followers && e->news == NEWS_STATE; n++) {
        struct follower *f = &r->followers[n];
        const struct service_row *row = &e->row;
        if (row->id != f->id || row->state_generation < f->generation || f->live || f->failed) {
            continue;
        }
        f->live = row->state == SERVICE_LIVE;
        f->failed = row->state == SERVICE_FAILED || row->state == SERVICE_DOWN;
        f->endpoint = row->endpoint ? arena_strdup(r->arena, row->endpoint) : NULL;
        f->error = row->error ? arena_strdup(r->arena, row->error) : NULL;
    }
    if (is_done(r)) {
        loop_stop(r->loop);
    }
}

static void on_late(void *arg)
{
    struct rollback *r = arg;

    r->late = true;
    loop_stop(r->loop);
}

static int wait_for_services(struct rollback *r)
{
    struct serve_client *client = NULL;
    struct serve_client_options o = {
        .loop = r->loop, .store = r->store, .on_event = on_event, .arg = r};
    int64_t limit_ms = 0;

    if (r->n_followers == 0) {
        return EXIT_OK;
    }
    if (serve_client_open(&o, &client, &r->err) < 0) {
        return cli_fail(r->cli, &r->err);
    }
    for (size_t n = 0; n < r->n_followers; n++) {
        int64_t ms = r->followers[n].spec.ready_timeout_ms;
        limit_ms = ms > limit_ms ? ms : limit_ms;
    }
    struct timer *timer = timer_new(r->loop, on_late, r);
    timer_start(timer, limit_ms + WAIT_MS, 0);
    serve_client_look(client);
    loop_run(r->loop);
    timer_free(timer);
    serve_client_close(client);
    return EXIT_OK;
}

/* --- telling --- */

static void report_json(struct rollback *r)
{
    struct jsonw w;

    jw_init(&w, &r->out, true);
    jw_object(&w);
    jw_kv_text(&w, "workflow", r->to.workflow);
    jw_kv_text(&w, "step", r->to.step);
    jw_kv_i64(&w, "number", r->number);
    jw_kv_i64(&w, "from", r->from.number);
    jw_kv_i64(&w, "to", r->to.number);
    jw_key(&w, "services");
    jw_array(&w);
    for (size_t n = 0; n < r->n_followers; n++) {
        const struct follower *f = &r->followers[n];
        jw_object(&w);
        jw_kv_text(&w, "step", f->spec.step);
        jw_kv_text(&w, "state", f->live ? "live" : f->failed ? "failed" : "switching");
        jw_kv_text(&w, "endpoint", f->endpoint);
        jw_kv_text(&w, "error", f->error);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    sb_putc(&r->out, '\n');
}

static void report_text(struct rollback *r)
{
    sb_printf(&r->out, "promotion %u of %s/%s has the models of %u: ", r->number, r->to.workflow,
              r->to.step, r->to.number);
    add_models(&r->out, &r->to);
    sb_printf(&r->out, "\n%u is withdrawn\n", r->from.number);
    for (size_t n = 0; n < r->n_followers; n++) {
        const struct follower *f = &r->followers[n];
        if (f->live) {
            sb_printf(&r->out, "%s serves promotion %u at %s\n", f->spec.step, r->number,
                      f->endpoint ? f->endpoint : "?");
        } else if (f->failed) {
            sb_printf(&r->out, "%s does not serve it: %s\n", f->spec.step,
                      f->error ? f->error : "it was stopped meanwhile");
        } else {
            sb_printf(&r->out, "%s does not serve it yet; `wf services` shows how it stands\n",
                      f->spec.step);
        }
    }
    if (r->n_followers == 0) {
        sb_puts(&r->out, "no service is up that takes its models from there\n");
    }
}

static int carry_out(struct rollback *r)
{
    int code = place(r);

    if (code != EXIT_OK) {
        return code;
    }
    r->write = (struct write){.apply = apply, .done = applied, .urgent = true};
    store_post(r->store, &r->write);
    store_flush(r->store);
    cleanup_close(&r->models_fd);
    if (r->rc < 0) {
        return r->err.code == ERR_BUSY ? cli_usage(r->cli, "%s", r->err.msg)
                                       : cli_fail(r->cli, &r->err);
    }
    code = wait_for_services(r);
    (r->json ? report_json : report_text)(r);
    out_str(&r->out);
    for (size_t n = 0; n < r->n_followers; n++) {
        code = code == EXIT_OK && !r->followers[n].live ? EXIT_RUN_FAILED : code;
    }
    return code;
}

static int rollback(struct cli *c, const struct args *a)
{
    struct rollback r = {.cli = c, .json = opt_given(a, "json"), .models_fd = -1};
    long to;

    if (opt_number(a, "to", 1, 0, &to, &r.err) < 0) {
        return cli_usage(c, "%s", r.err.msg);
    }
    r.loop = loop_new();
    struct store_options so = {.dir = c->store_dir, .loop = r.loop};
    if (store_open(&so, &r.store, &r.err) < 0) {
        loop_free(r.loop);
        return cli_fail_store(c, &r.err);
    }
    r.arena = arena_new();
    int code = EXIT_OK;
    if (registry_read(r.store, r.arena, &r.registry, &r.err) < 0) {
        code = cli_fail(c, &r.err);
    }
    code = code == EXIT_OK
               ? find_both(&r, a->positional[0], to > UINT32_MAX ? UINT32_MAX : (uint32_t)to)
               : code;
    code = code == EXIT_OK ? find_followers(&r) : code;
    code = code == EXIT_OK ? carry_out(&r) : code;
    cleanup_close(&r.models_fd);
    sb_done(&r.out);
    store_close(r.store);
    loop_free(r.loop);
    arena_free(r.arena);
    return code;
}

/* --- allow --- */

struct allow {
    struct write write;
    const char *workflow, *step, *name;
    uint32_t count;
};

static int apply_allow(struct write *w, struct db *db, struct err *err)
{
    struct allow *x = CONTAINER_OF(w, struct allow, write);

    return promotion_allow(db, x->workflow, x->step, x->name, &x->count, err);
}

/* Nothing was barred by that name. */
static int nothing_barred(const struct cli *c, const struct registry *r, const struct allow *x)
{
    CLEANUP(cleanup_free) const char **words = xcalloc(r->n_barred + 1, sizeof(*words));
    size_t count = 0;

    for (size_t n = 0; n < r->n_barred; n++) {
        if (text_eq(r->barred[n].workflow, x->workflow) && text_eq(r->barred[n].step, x->step)) {
            words[count++] = r->barred[n].name;
        }
    }
    const char *near = x->name ? suggest_nearest(x->name, words, count) : NULL;
    if (near) {
        return cli_usage(c, "no model '%s' of %s/%s was taken away (did you mean '%s'?)", x->name,
                         x->workflow, x->step, near);
    }
    return cli_usage(c, "no rollback of %s/%s took %s away%s", x->workflow, x->step,
                     x->name ? x->name : "a model",
                     count > 0 ? "; `wf models` names those that were" : "");
}

static int allow(struct cli *c, const struct args *a)
{
    struct allow x = {.write = {.apply = apply_allow},
                      .name = a->n_positional > 1 ? a->positional[1] : NULL};
    struct store_options so = {.dir = c->store_dir};
    struct registry registry;
    struct store *store;
    struct err err = {0};
    uint32_t number;

    if (store_open(&so, &store, &err) < 0) {
        return cli_fail_store(c, &err);
    }
    struct arena *arena = arena_new();
    int code = registry_name(c, store, a->positional[0], arena, &x.workflow, &x.step, &number);
    if (code == EXIT_OK && (registry_read(store, arena, &registry, &err) < 0 ||
                            store_write_now(store, &x.write, &err) < 0)) {
        code = cli_fail(c, &err);
    } else if (code == EXIT_OK && x.count == 0) {
        code = nothing_barred(c, &registry, &x);
    } else if (code == EXIT_OK) {
        CLEANUP(sb_done) struct str out = {0};
        sb_printf(&out, "%u %s of %s/%s may be promoted again\n", x.count,
                  x.count == 1 ? "model" : "models", x.workflow, x.step);
        out_str(&out);
    }
    arena_free(arena);
    store_close(store);
    return code;
}

static const struct opt rollback_opts[] = {
    {"to", 0, OPT_TEXT, "N",
     "The promotion to go back to (default: the one before with other models)"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_models_rollback = {
    .name = "models rollback",
    .synopsis = "[WORKFLOW/]STEP",
    .summary =
        "Goes back to an earlier promotion; services that are up switch without a lost request",
    .text =
        "Makes a new promotion with the models of an earlier one. The one that stood is withdrawn, "
        "and its models that are not in the other are not promoted again until `wf models allow`. "
        "Ends when the services serve it: exit code 1 where one does not.",
    .example = "  wf models rollback select\n  wf models rollback fashion-mnist/select --to 2",
    .opts = rollback_opts,
    .n_opts = ARRAY_LEN(rollback_opts),
    .min_args = 1,
    .max_args = 1,
    .run = rollback};
const struct command cmd_models_allow = {
    .name = "models allow",
    .synopsis = "[WORKFLOW/]STEP [MODEL]",
    .summary = "Lets models that a rollback took away be promoted again",
    .example = "  wf models allow select\n  wf models allow select 'train[model=mlp]'",
    .min_args = 1,
    .max_args = 2,
    .run = allow};
