/* SPDX-License-Identifier: Apache-2.0 */
/* Two runs of one step in a row, each as `wf run --only STEP --refresh=STEP` would be. A step whose outputs differ from run to run makes all that follows run again whenever it does: the place to look when the
 * cache never answers. */
#include "cli/rerun.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/manifest.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/dry_setup.h"
#include "cli/lines.h"
#include "cli/out.h"
#include "cli/setup.h"
#include "engine/run.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { FOLDER_MAX = 256 << 20, FILES_NAMED = 20 };

struct rerunning {
    const struct cli *cli;
    struct setup setup;
    struct run *run;
    VEC(uint32_t) instances;
    VEC(struct str) first; /* the encoded result of each in the first run */
    int signal;
    bool done;
    struct jsonw writer, *json; /* NULL: text */
    struct str out;
    size_t differences;
};

static void add_instance(uint32_t instance, void *arg)
{
    struct rerunning *x = arg;

    *vec_push(&x->instances) = instance;
}

/* --- one run --- */

static void on_event(struct run *r, const struct event *e, void *arg)
{
    struct rerunning *x = arg;
    CLEANUP(sb_done) struct str text = {0};

    /* That its inputs changed meanwhile stands with the success. */
    bool odd = e->type == EVENT_SUCCEEDED &&
               memmem(e->payload, e->payload_len, "\"stored\":false", 14) != NULL;
    if (e->type == EVENT_FAILED || e->type == EVENT_WARNING || odd) {
        lines_event(x->cli, r, x->setup.store, e, false, &text);
        fputs(sb_text(&text), stderr);
    }
}

static void on_done(struct run *r, void *arg)
{
    struct rerunning *x = arg;

    (void)r;
    x->done = true;
    loop_stop(x->setup.loop);
}

static void on_signal(int signum, void *arg)
{
    struct rerunning *x = arg;

    run_interrupt(x->run, signum == SIGINT ? "interrupted" : "terminated", x->signal != 0);
    x->signal = signum;
}

/* EXIT_OK: it succeeded; x->run is open in any case but a negative start. */
static int run_once(struct rerunning *x, const char *step)
{
    struct run_options o = {.plan = x->setup.plan,
                            .text = x->setup.text,
                            .text_len = x->setup.text_len,
                            .store = x->setup.store,
                            .loop = x->setup.loop,
                            .refresh = &step,
                            .n_refresh = 1,
                            .only = step,
                            .trigger = "manual",
                            .on_event = on_event,
                            .on_done = on_done,
                            .arg = x};
    struct err err = {0};

    x->done = false;
    if (run_open(&o, &x->run, &err) < 0) {
        return cli_fail(x->cli, &err);
    }
    struct signal_watch *on_int = signal_new(x->setup.loop, SIGINT, on_signal, x);
    struct signal_watch *on_term = signal_new(x->setup.loop, SIGTERM, on_signal, x);
    run_start(x->run);
    if (!x->done) {
        loop_run(x->setup.loop);
    }
    signal_free(on_int);
    signal_free(on_term);
    if (x->signal) {
        return 128 + x->signal;
    }
    return run_store_problem(x->run) ? EXIT_SYSTEM
           : run_succeeded(x->run)   ? EXIT_OK
                                     : EXIT_RUN_FAILED;
}

/* --- what differs --- */

/* For people a digest is shown by its beginning. */
static void add_side(const char *text, struct str *out)
{
    enum { SHORT = 7 + 12 };
    bool digest = text && text_starts(text, "sha256:") && strlen(text) >= 7 + DIGEST_HEX;

    if (digest) {
        sb_printf(out, "%.*s\xe2\x80\xa6%.40s", SHORT, text, text + 7 + DIGEST_HEX);
    } else {
        sb_printf(out, "%.80s", text ? text : "nothing");
    }
}

static void differs(struct rerunning *x, const char *step, const char *part, const char *name,
                    const char *file, const char *one, const char *two)
{
    x->differences++;
    if (x->json) {
        jw_object(x->json);
        jw_kv_text(x->json, "step", step);
        jw_kv_text(x->json, "part", part);
        jw_kv_text(x->json, "name", name);
        jw_kv_text(x->json, "file", file);
        jw_kv_text(x->json, "first", one);
        jw_kv_text(x->json, "second", two);
        jw_end_object(x->json);
        return;
    }
    sb_printf(&x->out, "%s: the %s %s%s%s differs: ", step, part, name, file ? ", file " : "",
              file ? file : "");
    add_side(one, &x->out);
    sb_puts(&x->out, ", then ");
    add_side(two, &x->out);
    sb_putc(&x->out, '\n');
}

struct listing {
    struct map files; /* name -> digest or link as text */
    struct arena *arena;
};

static int list_one(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct listing *l = arg;
    char hex[DIGEST_HEX + 1];
    const char *name = arena_strndup(l->arena, e->name, e->name_len);

    (void)err;
    digest_hex(&e->digest, hex);
    map_put_text(&l->files, name,
                 e->kind == 'l' ? arena_strndup(l->arena, e->link, e->link_len)
                                : arena_printf(l->arena, "sha256:%s%s", hex,
                                               e->kind == 'x'   ? " (executable)"
                                               : e->kind == 'd' ? " (empty folder)"
                                                                : ""));
    return 0;
}

/* The files of two folders that differ; false: one cannot be read any more. */
static bool folders_differ(struct rerunning *x, const char *step, const char *name,
                           const struct digest *one, const struct digest *two)
{
    struct arena *a = arena_new();
    struct listing l[2] = {{.arena = a}, {.arena = a}};
    bool good = true;
    size_t named = 0;

    for (int i = 0; i < 2; i++) {
        CLEANUP(sb_done) struct str text = {0};
        good = good && objects_read(x->setup.store, i ? two : one, FOLDER_MAX, &text, NULL) == 0 &&
               manifest_each(sb_text(&text), text.len, list_one, &l[i], NULL) == 0;
    }
    for (int i = 0; good && i < 2; i++) { /* what the first has, then what only the second has */
        for (size_t k = 0; k < l[i].files.len && named < FILES_NAMED; k++) {
            const struct map_item *item = &l[i].files.items[k];
            const char *other = map_get_text(&l[1 - i].files, item->key);
            if (i == 0 ? !text_eq(item->value, other) : !other) {
                differs(x, step, "output", name, item->key, i ? NULL : item->value,
                        i ? item->value : other);
                named++;
            }
        }
    }
    map_done(&l[0].files);
    map_done(&l[1].files);
    arena_free(a);
    return good && named > 0;
}

static void compare_outputs(struct rerunning *x, const char *step, const struct result *one,
                            const struct result *two)
{
    for (uint32_t i = 0; i < one->n_outputs && i < two->n_outputs; i++) {
        const struct result_output *a = &one->outputs[i], *b = &two->outputs[i];
        char left[DIGEST_HEX + 8], right[DIGEST_HEX + 8];
        if (digest_eq(&a->digest, &b->digest) && a->kind == b->kind &&
            a->executable == b->executable) {
            continue;
        }
        if (a->kind == OBJECT_TREE && b->kind == OBJECT_TREE &&
            folders_differ(x, step, a->name, &a->digest, &b->digest)) {
            continue;
        }
        memcpy(left, "sha256:", 7);
        memcpy(right, "sha256:", 7);
        digest_hex(&a->digest, left + 7);
        digest_hex(&b->digest, right + 7);
        differs(x, step, "output", a->name, NULL, left, right);
    }
}

static void compare(struct rerunning *x, uint32_t instance, const struct str *first)
{
    struct arena *a = arena_new();
    const struct result *two = run_result(x->run, instance);
    const char *step = x->setup.plan->instances[instance].name;
    struct result one;

    if (two && first->len > 0 && result_decode(first->data, first->len, a, &one, NULL) == 0) {
        compare_outputs(x, step, &one, two);
        for (uint32_t i = 0; i < one.n_values && i < two->n_values; i++) {
            if (!text_eq(one.values[i].text, two->values[i].text)) {
                differs(x, step, "value", one.values[i].name, NULL, one.values[i].text,
                        two->values[i].text);
            }
        }
        if (!text_eq(one.metrics, two->metrics)) {
            differs(x, step, "part", "metrics", NULL, one.metrics, two->metrics);
        }
    }
    arena_free(a);
}

static void remember(struct rerunning *x)
{
    for (size_t i = 0; i < x->instances.len; i++) {
        const struct result *r = run_result(x->run, x->instances.items[i]);
        struct str *s = vec_push(&x->first);
        *s = (struct str){0};
        if (r) {
            result_encode(r, s);
        }
    }
}

static void report(struct rerunning *x)
{
    for (size_t i = 0; i < x->instances.len; i++) {
        compare(x, x->instances.items[i], &x->first.items[i]);
    }
    if (x->json) {
        jw_end_array(x->json);
        sb_putc(&x->out, '\n');
    } else if (x->differences == 0) {
        sb_puts(&x->out, "ran twice, and made the same\n");
    }
    out_str(&x->out);
}

static int run_twice(struct rerunning *x, const char *step)
{
    int code = EXIT_OK;

    for (int i = 0; i < 2 && code == EXIT_OK; i++) {
        code = run_once(x, step);
        if (code == EXIT_OK && i == 0) {
            remember(x);
        } else if (code == EXIT_OK) {
            report(x);
        }
        run_close(x->run);
        x->run = NULL;
    }
    return code != EXIT_OK ? code : x->differences ? EXIT_RUN_FAILED : EXIT_OK;
}

int rerun(struct cli *c, const struct args *a)
{
    struct rerunning x = {.cli = c};
    int code = setup_open(c, a, a->positional[0], true, false, &x.setup);

    if (code != EXIT_OK) {
        return code;
    }
    if (opt_given(a, "json")) {
        x.json = &x.writer;
        jw_init(x.json, &x.out, true);
        jw_array(x.json);
    }
    code = plan_match(x.setup.plan, a->positional[1], add_instance, &x) == 0
               ? dry_unknown_step(c, x.setup.plan, a->positional[1])
               : run_twice(&x, a->positional[1]);
    for (size_t i = 0; i < x.first.len; i++) {
        sb_done(&x.first.items[i]);
    }
    vec_done(&x.first);
    vec_done(&x.instances);
    sb_done(&x.out);
    setup_close(&x.setup);
    return code;
}
