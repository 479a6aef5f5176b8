/* SPDX-License-Identifier: Apache-2.0 */
/* wf services, wf services stop */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/setup.h"
#include "serve/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MS = 2000 };

/* --- the list --- */

struct list {
    struct table *table;
    struct jsonw *json;
    const json_t *answer; /* of the supervisor; NULL: none is alive */
    bool all;
};

static const json_t *find_answer(const struct list *l, int64_t id)
{
    size_t i;
    json_t *o;
    json_array_foreach(l->answer, i, o)
    {
        if (json_integer_value(json_object_get(o, "id")) == id) {
            return o;
        }
    }
    return NULL;
}

static int64_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void row_json(struct jsonw *w, const struct service_row *r, const json_t *more)
{
    jw_object(w);
    jw_kv_text(w, "workflow", r->workflow);
    jw_kv_text(w, "step", r->step);
    jw_kv_text(w, "state", service_state_names[r->state]);
    jw_kv_text(w, "endpoint", r->endpoint);
    jw_kv_bool(w, "keep", r->keep);
    jw_kv_text(w, "run", r->run);
    jw_kv_i64(w, "generation", r->generation);
    jw_kv_i64(w, "live_generation", r->live_generation);
    jw_key(w, "promotion");
    if (r->live_promotion) {
        jw_i64(w, r->live_promotion);
    } else {
        jw_null(w);
    }
    jw_kv_text(w, "error", r->error);
    jw_kv_time(w, "changed_at", r->changed_at_ms);
    jw_kv_bool(w, "supervised", more != NULL);
    jw_kv_i64(w, "replicas_up", number(more, "replicas_up"));
    jw_kv_i64(w, "replicas_wanted", number(more, "replicas_wanted"));
    jw_kv_i64(w, "requests", number(more, "requests"));
    jw_kv_i64(w, "errors", number(more, "errors"));
    jw_key(w, "models");
    jw_array(w);
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(more, "models"), i, m)
    {
        jw_object(w);
        jw_kv_text(w, "name", json_string_value(json_object_get(m, "name")));
        jw_kv_text(w, "slug", json_string_value(json_object_get(m, "slug")));
        jw_kv_i64(w, "up", number(m, "up"));
        jw_kv_i64(w, "wanted", number(m, "wanted"));
        jw_kv_i64(w, "requests", number(m, "requests"));
        jw_kv_i64(w, "errors", number(m, "errors"));
        jw_kv_text(w, "log", json_string_value(json_object_get(m, "log")));
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static enum tone tone_of(enum service_state s)
{
    return s == SERVICE_LIVE ? TONE_GOOD : s == SERVICE_FAILED ? TONE_BAD : TONE_WARN;
}

static int add_row(const struct service_row *r, void *arg)
{
    struct list *l = arg;
    const json_t *more = find_answer(l, r->id);
    if (r->state == SERVICE_DOWN && !r->wanted && !l->all) {
        return 0;
    }
    if (l->json) {
        row_json(l->json, r, more);
        return 0;
    }
    table_cell(l->table, TONE_NONE, "%s", r->workflow);
    table_cell(l->table, TONE_NONE, "%s", r->step);
    table_cell(l->table, tone_of(r->state), "%s", service_state_names[r->state]);
    table_cell(l->table, TONE_NONE, "%s", r->endpoint ? r->endpoint : "-");
    if (r->live_promotion) {
        table_cell(l->table, TONE_NONE, "%u", r->live_promotion);
    } else {
        table_cell(l->table, TONE_DIM, "-");
    }
    if (more) {
        int64_t up = number(more, "replicas_up"), wanted = number(more, "replicas_wanted");
        table_cell(l->table, up < wanted ? TONE_WARN : TONE_NONE, "%lld/%lld", (long long)up,
                   (long long)wanted);
        table_cell(l->table, TONE_NONE, "%lld", (long long)number(more, "requests"));
    } else {
        table_cell(l->table, TONE_DIM, "-");
        table_cell(l->table, TONE_DIM, "-");
    }
    table_cell(l->table, TONE_BAD, "%s", r->error ? r->error : "");
    return 0;
}

static int list(struct cli *c, const struct args *a)
{
    static const char *const titles[] = {"WORKFLOW",  "STEP",     "STATE",    "ENDPOINT",
                                         "PROMOTION", "REPLICAS", "REQUESTS", "PROBLEM"};
    struct store *s;
    struct err err = {0};
    struct jsonw w;
    CLEANUP(sb_done) struct str out = {0};
    int code = setup_store(c, &s);
    if (code != EXIT_OK) {
        return code;
    }
    CLEANUP(cleanup_json) json_t *answer = store_db(s) ? serve_ask(s, ANSWER_MS) : NULL;
    struct list l = {.answer = answer, .all = opt_given(a, "all")};
    if (opt_given(a, "json")) {
        jw_init(&w, &out, true);
        l.json = &w;
        jw_array(&w);
    } else {
        l.table = table_new(ARRAY_LEN(titles), titles);
    }
    struct arena *arena = arena_new();
    int rc = desired_each(s, arena, add_row, &l, &err);
    arena_free(arena);
    if (rc < 0) {
        code = cli_fail_store(c, &err);
    } else if (l.json) {
        jw_end_array(&w);
        sb_putc(&out, '\n');
        out_str(&out);
    } else {
        table_print(l.table, c->colour, c->out_tty ? c->width : 0, &out);
        out_str(&out);
    }
    table_free(l.table);
    store_close(s);
    return code;
}

/* --- stop --- */

struct stop {
    const struct cli *cli;
    struct loop *loop;
    struct store *store;
    struct arena *arena;
    VEC(struct service_row) rows; /* that are to go down */
    size_t left;
    struct serve_client *client;
    const char *word;
};

static bool matches(const struct service_row *r, const char *word)
{
    size_t len = strlen(r->workflow);
    return text_eq(r->step, word) || (strncmp(word, r->workflow, len) == 0 && word[len] == '/' &&
                                      text_eq(word + len + 1, r->step));
}

static int pick(const struct service_row *r, void *arg)
{
    struct stop *t = arg;
    if (matches(r, t->word) && (r->wanted || r->state != SERVICE_DOWN)) {
        for (size_t i = 0; i < t->rows.len; i++) {
            if (t->rows.items[i].id == r->id) {
                return 0;
            }
        }
        *vec_push(&t->rows) = *r;
    }
    return 0;
}

/* How they stand is read where it is written: a supervisor that has nothing of one to end tells nothing of it. */
static int count_left(const struct service_row *r, void *arg)
{
    struct stop *t = arg;
    for (size_t i = 0; i < t->rows.len; i++) {
        t->left += t->rows.items[i].id == r->id && !r->wanted && r->state != SERVICE_DOWN;
    }
    return 0;
}

static void check_left(struct stop *t)
{
    struct arena *a = arena_new();
    struct err err = {0};
    t->left = 0;
    if (desired_each(t->store, a, count_left, t, &err) < 0) {
        cli_fail(t->cli, &err);
        t->left = 1;
        loop_stop(t->loop);
    } else if (t->left == 0) {
        loop_stop(t->loop);
    }
    arena_free(a);
}

static void on_event(const struct serve_event *e, void *arg)
{
    struct stop *t = arg;
    if (e->news == NEWS_NOTE) {
        fprintf(stderr, "wf: %s\n", e->text);
    } else if (e->row.state == SERVICE_DOWN) {
        check_left(t);
    }
}

struct down {
    struct write write; /* first */
    const struct stop *stop;
    struct err problem;
};

static int apply_down(struct write *w, struct db *db, struct err *err)
{
    const struct stop *t = ((struct down *)w)->stop;
    int rc = 0;
    for (size_t i = 0; i < t->rows.len && rc == 0; i++) {
        rc = desired_down(db, t->rows.items[i].id, NULL, err);
    }
    return rc;
}

static void on_written(struct write *w, const struct err *err)
{
    struct down *d = (struct down *)w;
    if (err) {
        d->problem = *err;
    }
}

/* What is wanted is said first; the supervisor, if need be a new one, then carries it out. */
static int take_down(struct stop *t)
{
    struct err err = {0};
    struct serve_client_options o = {
        .loop = t->loop, .store = t->store, .on_event = on_event, .arg = t};
    struct down down = {.write = {.apply = apply_down, .done = on_written, .urgent = true},
                        .stop = t};
    store_post(t->store, &down.write);
    store_flush(t->store);
    if (down.problem.code != ERR_NONE) {
        return cli_fail_store(t->cli, &down.problem);
    }
    check_left(t);
    if (t->left == 0) {
        return EXIT_OK;
    }
    if (serve_client_open(&o, &t->client, &err) < 0) {
        return cli_fail(t->cli, &err);
    }
    loop_run(t->loop);
    serve_client_close(t->client);
    return t->left == 0 ? EXIT_OK : EXIT_SYSTEM;
}

static int find_all(struct stop *t, const struct args *a)
{
    struct err err = {0};
    for (size_t i = 0; i < a->n_positional; i++) {
        size_t before = t->rows.len;
        t->word = a->positional[i];
        if (desired_each(t->store, t->arena, pick, t, &err) < 0) {
            return cli_fail_store(t->cli, &err);
        }
        if (t->rows.len == before) {
            return cli_usage(t->cli, "no service '%s' is up; `wf services` lists those that are",
                             t->word);
        }
        if (t->rows.len > before + 1) {
            return cli_usage(t->cli,
                             "several workflows have a service '%s'; write WORKFLOW/%s, as `wf "
                             "services` shows them",
                             t->word, t->word);
        }
    }
    return EXIT_OK;
}

static int stop(struct cli *c, const struct args *a)
{
    struct stop t = {.cli = c, .loop = loop_new(), .arena = arena_new()};
    struct store_options o = {.dir = c->store_dir, .loop = t.loop};
    struct err err = {0};
    int code = EXIT_OK;
    if (store_open(&o, &t.store, &err) < 0) {
        code = cli_fail_store(c, &err);
    }
    code = code == EXIT_OK ? find_all(&t, a) : code;
    code = code == EXIT_OK ? take_down(&t) : code;
    for (size_t i = 0; i < t.rows.len && code == EXIT_OK; i++) {
        CLEANUP(sb_done) struct str out = {0};
        sb_printf(&out, "stopped %s/%s\n", t.rows.items[i].workflow, t.rows.items[i].step);
        out_str(&out);
    }
    vec_done(&t.rows);
    store_close(t.store);
    loop_free(t.loop);
    arena_free(t.arena);
    return code;
}

static const struct opt list_opts[] = {
    {"all", 'a', OPT_FLAG, NULL, "Those that are down too"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_services = {.name = "services",
                                     .synopsis = "",
                                     .summary = "Lists what is served, and how it stands",
                                     .example = "  wf services --json",
                                     .opts = list_opts,
                                     .n_opts = ARRAY_LEN(list_opts),
                                     .max_args = 0,
                                     .run = list};
const struct command cmd_services_stop = {
    .name = "services stop",
    .synopsis = "STEP|WORKFLOW/STEP…",
    .summary = "Takes services down",
    .text =
        "They get no new requests, finish those they have, and end; the command waits for that. "
        "Their addresses stay theirs:\nthe next run of the workflow serves at the same ones.",
    .example = "  wf services stop fashion-mnist/serve",
    .min_args = 1,
    .max_args = SIZE_MAX,
    .run = stop};
