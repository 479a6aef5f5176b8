/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/rig.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/store.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool writes(void *arg)
{
    const struct rig *r = arg;

    return store_pending(r->store) > 0;
}

void rig_scripts(struct rig *r, const struct mock_script *scripts, size_t count)
{
    struct err err = {0};

    if (r->mock) {
        r->mock->ops->close(r->mock);
    }
    cr_assert_eq(mock_executor_open(r->loop, scripts, count, &r->mock, &err), 0, "%s", err.msg);
    if (r->writes_first) {
        mock_wait_for(r->mock, writes, r);
    }
}

void rig_open(struct rig *r, const struct mock_script *scripts, size_t count)
{
    struct err err = {0};
    CLEANUP(cleanup_free) char *dir = NULL;

    memset(r, 0, sizeof(*r));
    (void)snprintf(r->dir, sizeof(r->dir), "/tmp/wf-rig-XXXXXX");
    cr_assert_not_null(mkdtemp(r->dir));
    dir = fs_join(r->dir, "store");
    r->loop = loop_new();
    r->err = xcalloc(1, sizeof(*r->err));
    struct store_options o = {.dir = dir, .loop = r->loop};
    cr_assert_eq(store_open(&o, &r->store, &err), 0, "%s", err.msg);
    rig_scripts(r, scripts, count);
}

void rig_close(struct rig *r)
{
    r->mock->ops->close(r->mock);
    store_close(r->store);
    loop_free(r->loop);
    (void)fs_remove_tree(r->dir, NULL);
    sb_done(&r->log);
    sb_done(&r->states);
    free(r->err);
}

void rig_file(struct rig *r, const char *name, const char *text)
{
    CLEANUP(cleanup_free) char *path = fs_join(r->dir, name);
    CLEANUP(cleanup_free) char *dir = fs_dirname(path);

    cr_assert_eq(fs_mkdirs(dir, 0755, NULL), 0);
    cr_assert_eq(fs_write_file(path, text, strlen(text), 0644, false, NULL), 0);
}

static void add_member(struct rig *r, const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);

    if (json_is_string(v)) {
        sb_printf(&r->log, " %s", json_string_value(v));
    } else if (json_is_integer(v)) {
        sb_printf(&r->log, " %lld", (long long)json_integer_value(v));
    }
}

static void add_models(struct rig *r, const json_t *models)
{
    size_t i;
    json_t *m;

    json_array_foreach(models, i, m)
    {
        sb_printf(&r->log, " %s %g", json_string_value(json_object_get(m, "slug")),
                  json_number_value(json_object_get(m, "metric")));
    }
}

static void on_event(struct run *run, const struct event *e, void *arg)
{
    static const char *const names[EVENT_TYPE_COUNT] = {
        [EVENT_STARTED] = "started",     [EVENT_HIT] = "hit",
        [EVENT_SUCCEEDED] = "succeeded", [EVENT_FAILED] = "failed",
        [EVENT_RETRY] = "retry",         [EVENT_SKIPPED] = "skipped",
        [EVENT_CANCELLED] = "cancelled", [EVENT_PUBLISH] = "publish",
        [EVENT_RUN_STARTED] = "begin",   [EVENT_RUN_STOPPING] = "stopping",
        [EVENT_RUN_ENDED] = "end",       [EVENT_WARNING] = "warning",
        [EVENT_WAITING] = "waiting",     [EVENT_PROMOTION] = "promotion",
        [EVENT_SERVING] = "serving",
    };
    static const char *const members[] = {"attempt", "verdict",  "note",    "kind",
                                          "error",   "delay_ms", "because", "status",
                                          "text",    "number",   "reason",  "state"};
    struct rig *r = arg;
    const char *name = e->instance == UINT32_MAX ? "-" : run_plan(run)->instances[e->instance].name;
    CLEANUP(cleanup_json) json_t *j = NULL;

    sb_printf(&r->log, "%s %s", names[e->type], name);
    if (e->payload_len > 0 && e->type != EVENT_HIT) {
        cr_assert_eq(json_read(e->payload, e->payload_len, 1 << 20, &j, r->err), 0, "%s: %.*s",
                     r->err->msg, (int)e->payload_len, e->payload);
        for (size_t k = 0; k < ARRAY_LEN(members); k++) {
            add_member(r, j, members[k]);
        }
        add_models(r, json_object_get(j, "models"));
    }
    sb_putc(&r->log, '\n');
    if (r->hook) {
        r->hook(r, run, e, name);
    }
}

static void on_done(struct run *run, void *arg)
{
    struct rig *r = arg;

    (void)run;
    r->done = true;
    loop_stop(r->loop);
}

static void take_states(struct rig *r)
{
    const struct run_state *s = run_state_of(r->run);
    uint32_t first = run_first_failure(r->run);

    sb_clear(&r->states);
    for (uint32_t i = 0; i < s->n; i++) {
        sb_printf(&r->states, "%s=%s\n", run_plan(r->run)->instances[i].name,
                  instance_state_names[s->instances[i].state]);
    }
    memcpy(r->counts, s->counts, sizeof(r->counts));
    (void)snprintf(r->status, sizeof(r->status), "%s", s->status);
    (void)snprintf(r->first_failure, sizeof(r->first_failure), "%s",
                   first == UINT32_MAX ? "" : run_plan(r->run)->instances[first].name);
    r->saved_ms = run_saved_ms(r->run);
}

int rig_run(struct rig *r, const char *yaml, const struct run_options *given)
{
    CLEANUP(cleanup_free) char *file = fs_join(r->dir, "wf.yaml");
    CLEANUP(cleanup_free) char *text = NULL;
    struct plan_options po = {.load = {.file = file}, .store = r->store};
    struct run_options o = given ? *given : (struct run_options){0};
    struct diags d;
    struct arena *arena;
    struct plan *plan;
    size_t len;
    int rc;

    rig_file(r, "wf.yaml", yaml);
    diags_init(&d, file);
    rc = plan_open(&po, &d, &arena, &plan, &text, &len, r->err);
    if (rc == 1) {
        struct str out = {0};
        diags_render(&d, false, &out);
        cr_assert_fail("%s", sb_text(&out));
    }
    cr_assert_eq(rc, 0, "%s", r->err->msg);
    o.plan = plan;
    o.text = text;
    o.text_len = len;
    o.store = r->store;
    o.loop = r->loop;
    o.mock = r->mock;
    o.want_hits = true;
    o.on_event = on_event;
    o.on_done = on_done;
    o.arg = r;
    o.trigger = "manual";
    o.max_parallel = o.max_parallel ? o.max_parallel : 2;
    sb_clear(&r->log);
    r->done = false;
    rc = run_open(&o, &r->run, r->err);
    if (rc == 0) {
        run_start(r->run);
        loop_run(r->loop);
        cr_assert(r->done, "the loop ended before the run did:\n%s", sb_text(&r->log));
        take_states(r);
        run_close(r->run);
        r->run = NULL;
    }
    diags_done(&d);
    arena_free(arena);
    return rc;
}

const char *rig_state(struct rig *r, const char *instance)
{
    static _Thread_local char state[32];
    CLEANUP(cleanup_free) char *line = xasprintf("\n%s=", instance);
    CLEANUP(cleanup_free) char *all = xasprintf("\n%s", sb_text(&r->states));
    const char *at = strstr(all, line);

    if (!at) {
        return "?";
    }
    at += strlen(line);
    (void)snprintf(state, sizeof(state), "%.*s", (int)strcspn(at, "\n"), at);
    return state;
}

uint32_t rig_count(struct rig *r, const char *line_start)
{
    uint32_t n = 0;
    const char *line = sb_text(&r->log);

    while (*line) {
        n += text_starts(line, line_start);
        line = strchr(line, '\n') + 1;
    }
    return n;
}

bool rig_before(struct rig *r, const char *first, const char *then)
{
    const char *a = strstr(sb_text(&r->log), first), *b = strstr(sb_text(&r->log), then);

    return a && b && a < b;
}
