/* SPDX-License-Identifier: Apache-2.0 */
#include "room.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/objects.h"
#include "cache/statcache.h"
#include "cache/store.h"
#include "steps/scope.h"
#include "workflows/diag.h"
#include "workflows/load.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_branch(void *arg, uint32_t step, uint32_t row, struct branch_view *ret)
{
    struct room *r = arg;

    *ret = r->views[step][row];
}

static bool on_status(void *arg, uint32_t step, enum expr_function which)
{
    struct room *r = arg;

    (void)step;
    return which == FN_SUCCESS ? !r->refuse_success : which == FN_ALWAYS;
}

static const char *on_run_status(void *arg)
{
    (void)arg;
    return "succeeded";
}

static uint64_t on_epoch(void *arg)
{
    return ((struct room *)arg)->epoch;
}

static void load(struct room *r, const char *yaml)
{
    struct diags d;
    struct str text = {0};
    char *file = room_path(r, "flow.yaml");
    struct load_options o = {.file = file};

    diags_init(&d, file);
    diags_set_text(&d, yaml, strlen(yaml));
    int rc = workflow_load(yaml, strlen(yaml), &o, r->arena, &d, &r->wf, &r->err);
    diags_render(&d, false, &text);
    cr_assert_eq(rc, 0, "%s%s", sb_text(&text), r->err.msg);
    sb_done(&text);
    diags_done(&d);
}

static void make_world(struct room *r)
{
    r->params = arena_calloc(r->arena, r->wf->n_params + 1, sizeof(*r->params));
    for (uint32_t k = 0; k < r->wf->n_params; k++) {
        r->params[k] = r->wf->params[k].value;
    }
    r->views = arena_calloc(r->arena, r->wf->n_steps + 1, sizeof(*r->views));
    for (uint32_t k = 0; k < r->wf->n_steps; k++) {
        r->views[k] = arena_calloc(r->arena, r->wf->steps[k].n_rows + 1, sizeof(**r->views));
        for (uint32_t row = 0; row < r->wf->steps[k].n_rows; row++) {
            r->views[k][row].row = &r->wf->steps[k].rows[row];
        }
    }
    char *work = store_path(r->store, "work/RUN1");
    cr_assert_eq(fs_mkdirs(work, 0700, &r->err), 0, "%s", r->err.msg);
    r->world = (struct world){.loop = r->loop,
                              .store = r->store,
                              .statcache = r->statcache,
                              .wf = r->wf,
                              .params = r->params,
                              .run = "01RUN",
                              .trigger = "manual",
                              .work_dir = arena_strdup(r->arena, work),
                              .path_env = "/usr/bin:/bin",
                              .secrets = r->secrets,
                              .branch = on_branch,
                              .status = on_status,
                              .run_status = on_run_status,
                              .epoch = on_epoch,
                              .arg = r};
    r->world.executors[EXECUTOR_PROCESS] = r->process;
    free(work);
}

void room_open(struct room *r, const char *yaml)
{
    room_open_with(r, yaml, NULL, NULL);
}

void room_open_with(struct room *r, const char *yaml, struct loop *l, struct executor *container)
{
    memset(r, 0, sizeof(*r));
    strcpy(r->dir, "/tmp/wf-steps-XXXXXX");
    cr_assert_not_null(mkdtemp(r->dir));
    r->arena = arena_new();
    r->flow = arena_printf(r->arena, "%s/flow", r->dir);
    cr_assert_eq(fs_mkdirs(r->flow, 0755, &r->err), 0);
    r->borrowed_loop = l != NULL;
    r->loop = l ? l : loop_new();
    struct store_options o = {.dir = arena_printf(r->arena, "%s/store", r->dir), .loop = r->loop};
    cr_assert_eq(store_open(&o, &r->store, &r->err), 0, "%s", r->err.msg);
    r->statcache = statcache_new(r->store);
    cr_assert_eq(process_executor_open(r->loop, &r->process, &r->err), 0, "%s", r->err.msg);
    room_write(r, "flow.yaml", yaml);
    load(r, yaml);
    make_world(r);
    r->world.executors[EXECUTOR_CONTAINER] = container;
    r->asker = asker_new(&r->world);
    r->slots = slots_new(&r->world);
}

void room_close(struct room *r)
{
    attempt_free(r->running);
    slots_free(r->slots);
    asker_free(r->asker);
    r->process->ops->close(r->process);
    statcache_free(r->statcache);
    store_close(r->store);
    if (!r->borrowed_loop) {
        loop_free(r->loop);
    }
    arena_free(r->qa);
    arena_free(r->arena);
    cr_assert_eq(fs_remove_tree(r->dir, &r->err), 0, "%s", r->err.msg);
}

char *room_path(struct room *r, const char *rel)
{
    return arena_printf(r->arena, "%s/%s", r->flow, rel);
}

void room_write(struct room *r, const char *rel, const char *text)
{
    char *path = room_path(r, rel), *dir = fs_dirname(path);

    cr_assert_eq(fs_mkdirs(dir, 0755, &r->err), 0, "%s", r->err.msg);
    cr_assert_eq(fs_write_file(path, text, strlen(text), 0644, false, &r->err), 0, "%s",
                 r->err.msg);
    free(dir);
    r->epoch++;
}

bool room_reads(struct room *r, const char *path, const char *text)
{
    struct str got = {0};
    bool same = fs_read_file(path, 1 << 20, &got, &r->err) == 0 && strcmp(sb_text(&got), text) == 0;

    sb_done(&got);
    return same;
}

struct instance_ref room_instance(struct room *r, const char *name)
{
    struct instance_ref i = {.name = name};

    cr_assert(scope_find_instance(r->wf, name, &i.step, &i.row), "no instance %s", name);
    for (uint32_t k = 0; k < i.step; k++) {
        i.index += r->wf->steps[k].n_rows;
    }
    i.index += i.row;
    return i;
}

struct wait {
    struct room *r;
    bool failed;
};

static void on_ready(const struct err *err, void *arg)
{
    struct wait *w = arg;

    w->failed = err != NULL;
    if (err) {
        w->r->err = *err;
    }
    loop_stop(w->r->loop);
}

int room_ask(struct room *r, const char *name)
{
    struct instance_ref i = room_instance(r, name);

    arena_free(r->qa);
    r->qa = arena_new();
    memset(&r->q, 0, sizeof(r->q));
    for (int tries = 0; tries < 5; tries++) {
        int rc = question_ask(r->asker, &i, r->qa, &r->q, &r->err);
        struct wait w = {.r = r};
        if (rc <= 0) {
            return rc;
        }
        question_work(r->asker, &i, on_ready, &w);
        loop_run(r->loop);
        if (w.failed) {
            return -(int)r->err.code;
        }
    }
    cr_assert_fail("question_ask() never answers for %s", name);
    return -1;
}

static void copy_result(struct room *r, const struct result *from)
{
    struct str bytes = {0};
    struct result *copy = arena_calloc(r->arena, 1, sizeof(*copy));

    result_encode(from, &bytes);
    cr_assert_eq(result_decode(bytes.data, bytes.len, r->arena, copy, &r->err), 0, "%s",
                 r->err.msg);
    sb_done(&bytes);
    r->result = copy;
}

static void on_end(struct attempt *a, const struct attempt_end *e, void *arg)
{
    struct room *r = arg;

    (void)a;
    r->epoch++;
    r->ended = true;
    r->outcome = e->outcome;
    r->exit_code = e->exit_code;
    r->signal = e->signal;
    r->stored = e->store;
    snprintf(r->error, sizeof(r->error), "%s", e->error ? e->error : "");
    snprintf(r->why_not, sizeof(r->why_not), "%s", e->why_not ? e->why_not : "");
    snprintf(r->log, sizeof(r->log), "%s", e->log ? e->log : "");
    r->result = NULL;
    if (e->result) {
        copy_result(r, e->result);
    }
    loop_stop(r->loop);
}

void room_begin(struct room *r, const char *name)
{
    struct instance_ref i = room_instance(r, name);

    r->ended = false;
    cr_assert_eq(room_ask(r, name), 0, "%s", r->err.msg);
    attempt_free(r->running);
    r->running = NULL;
    cr_assert_eq(attempt_start(&r->world, r->slots, r->asker, &i, 1, &r->q, true, on_end, r,
                               &r->running, &r->err),
                 0, "%s", r->err.msg);
}

enum attempt_outcome room_wait(struct room *r)
{
    while (!r->ended) {
        loop_run(r->loop);
    }
    return r->outcome;
}

enum attempt_outcome room_run(struct room *r, const char *name)
{
    struct instance_ref i = room_instance(r, name);

    room_begin(r, name);
    room_wait(r);
    struct branch_view *v = &r->views[i.step][i.row];
    v->status = r->outcome == ATTEMPT_SUCCEEDED ? BRANCH_SUCCEEDED : BRANCH_FAILED;
    v->result = r->result;
    attempt_free(r->running);
    r->running = NULL;
    return r->outcome;
}

const char *room_output(struct room *r, const struct result *result, const char *name)
{
    const struct result_output *o = result_output_find(result, name);
    struct str text = {0};

    cr_assert_not_null(o, "no output %s", name);
    cr_assert_eq(objects_read(r->store, &o->digest, 1 << 20, &text, &r->err), 0, "%s", r->err.msg);
    const char *copy = arena_strndup(r->arena, sb_text(&text), text.len);
    sb_done(&text);
    return copy;
}

void room_key(struct room *r, const char *name, char hex[65])
{
    cr_assert_eq(room_ask(r, name), 0, "%s", r->err.msg);
    digest_hex(&r->q.key, hex);
}
