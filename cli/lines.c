/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/explain.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/differences.h"
#include "cli/out.h"
#include "cli/tail.h"
#include "engine/run.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const event_names[EVENT_TYPE_COUNT] = {[EVENT_STARTED] = "started",
                                                          [EVENT_HIT] = "cached",
                                                          [EVENT_SUCCEEDED] = "succeeded",
                                                          [EVENT_FAILED] = "failed",
                                                          [EVENT_RETRY] = "retry",
                                                          [EVENT_SKIPPED] = "skipped",
                                                          [EVENT_CANCELLED] = "cancelled",
                                                          [EVENT_PUBLISH] = "publish",
                                                          [EVENT_RUN_STARTED] = "run_started",
                                                          [EVENT_RUN_STOPPING] = "run_stopping",
                                                          [EVENT_RUN_ENDED] = "run_ended",
                                                          [EVENT_WARNING] = "warning",
                                                          [EVENT_WAITING] = "waiting",
                                                          [EVENT_PROMOTION] = "promotion",
                                                          [EVENT_SERVING] = "serving",
                                                          [EVENT_AGAIN] = "again"};

static json_t *payload_of(const struct event *e)
{
    json_t *j = NULL;
    if (e->payload && e->payload_len && e->type != EVENT_HIT) {
        json_read(e->payload, e->payload_len, 64u << 20, &j, NULL);
    }
    return j;
}

static const char *member(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    return text ? text : "";
}

static void add_status(const struct cli *c, struct str *out, enum tone tone, const char *word,
                       const char *name)
{
    sb_printf(out, "%s%-9s%s %s", tone_on(c->colour, tone), word, tone_off(c->colour), name);
}

enum { DIFFERENCES_SHOWN = 20 };

/* What made the step run, each on a line, with the way to its root. */
static void add_differences(struct str *out, const json_t *started)
{
    const json_t *why = json_object_get(started, "why");
    const char *note = member(started, "note"), *verdict = member(started, "verdict");
    struct arena *a = arena_new();
    size_t n = json_array_size(why), found = 0;
    struct difference *list = arena_calloc(a, n + 1, sizeof(*list));
    if (text_eq(verdict, "refreshed") && !*note) {
        note = "--refresh";
    }
    if (*note) {
        sb_printf(out, "          because %s\n", note);
    }
    for (size_t i = 0; i < n; i++) {
        found += difference_read(json_array_get(why, i), a, &list[found]);
    }
    differences_text(list, found, DIFFERENCES_SHOWN, "          ", "because ", out);
    arena_free(a);
}

enum { LOG_SHOWN = 1 << 20 };

static void add_log_lines(const char *text, size_t len, struct str *out)
{
    for (size_t at = 0; at < len;) {
        const char *nl = memchr(text + at, '\n', len - at);
        size_t n = nl ? (size_t)(nl - (text + at)) : len - at;
        sb_puts(out, "  | ");
        sb_add(out, text + at, n);
        sb_putc(out, '\n');
        at += n + 1;
    }
}

/* A finished step's whole log; one that is too long for a display is only named. */
static void add_log(int read, const struct str *log, const char *name, struct str *out)
{
    if (read >= 0) {
        add_log_lines(log->data, log->len, out);
    } else {
        sb_printf(out, "  | (longer than 1 MiB or gone: wf logs '%s')\n", name);
    }
}

static void add_log_object(struct store *s, const struct result *r, const char *name,
                           struct str *out)
{
    CLEANUP(sb_done) struct str log = {0};
    if (r && r->has_log) {
        add_log(objects_read(s, &r->log, LOG_SHOWN, &log, NULL), &log, name, out);
    }
}

static void add_log_file(struct store *s, const char *file, const char *name, struct str *out)
{
    CLEANUP(cleanup_free) char *path = file[0] == '/' ? xstrdup(file) : store_path(s, file);
    CLEANUP(sb_done) struct str log = {0};
    add_log(fs_read_file(path, LOG_SHOWN, &log, NULL), &log, name, out);
}

static void succeeded_line(const struct cli *c, const char *name, const json_t *p, struct str *out)
{
    add_status(c, out, TONE_GOOD, "done", name);
    sb_putc(out, ' ');
    add_duration(out, json_integer_value(json_object_get(p, "duration_ms")));
    const char *note = member(p, "note");
    if (*note) {
        sb_printf(out, "  (not stored: %s)", note);
    }
    sb_putc(out, '\n');
}

/* The error is a sentence of its own ("step 'a' failed: …"); behind the step's name its first words are left out. */
static const char *without_name(const char *error, const char *name)
{
    size_t len = strlen(name);
    if (text_starts(error, "step '") && text_starts(error + 6, name) &&
        text_starts(error + 6 + len, "' ")) {
        error += 6 + len + 2;
        error += text_starts(error, "failed: ") ? strlen("failed: ") : 0;
    }
    return error;
}

static void failed_line(const struct cli *c, const char *name, const json_t *p, struct str *out)
{
    add_status(c, out, TONE_BAD, "failed", name);
    sb_printf(out, ": %s%s\n", without_name(member(p, "error"), name),
              json_is_true(json_object_get(p, "tolerated")) ? " (tolerated)" : "");
}

static bool has_document(const struct event *e)
{
    return e->type == EVENT_HIT ? event_hit_has_document(e) : e->payload_len > 0;
}

/* Where it came from, and on request why it was reused. */
static void add_hit_words(const struct event *e, bool verbose, struct str *out)
{
    CLEANUP(cleanup_json) json_t *j = NULL;
    if (!has_document(e) || json_read(e->payload, e->payload_len, 1 << 20, &j, NULL) < 0) {
        return;
    }
    if (json_is_true(json_object_get(j, "shared"))) {
        sb_puts(out, "  from the shared cache, ");
        add_size(out, (uint64_t)json_integer_value(json_object_get(j, "fetched_bytes")));
    }
    const char *note = member(j, "note"), *word = "reused: ";
    if (verbose && *note) {
        note += text_starts(note, word) ? strlen(word) : 0;
        sb_printf(out, "\n          because %s", note);
    }
}

/* "promoted 2: mlp 0.889, forest 0.875" */
static void promotion_line(const struct cli *c, const char *name, json_t *p, struct str *out)
{
    const json_t *models = json_object_get(p, "models"), *m;
    size_t i;

    add_status(c, out, TONE_GOOD, "promoted", name);
    sb_printf(out, "  %lld:", (long long)json_integer_value(json_object_get(p, "number")));
    json_array_foreach(models, i, m)
    {
        sb_printf(out, "%s %s %.6g", i > 0 ? "," : "",
                  json_string_value(json_object_get(m, "slug")),
                  json_number_value(json_object_get(m, "metric")));
    }
    sb_putc(out, '\n');
}

static void serving_line(const struct cli *c, const char *name, json_t *p, struct str *out)
{
    long long number = json_integer_value(json_object_get(p, "promotion"));

    if (strcmp(member(p, "state"), "live") != 0) {
        return; /* a failure or a warning follows */
    }
    add_status(c, out, TONE_GOOD, "serving", name);
    sb_printf(out, "  %s", member(p, "endpoint"));
    if (number > 0) {
        sb_printf(out, " (promotion %lld)", number);
    }
    sb_putc(out, '\n');
}

void lines_event(const struct cli *c, struct run *r, struct store *s, const struct event *e,
                 bool verbose, struct str *out)
{
    const char *name = e->instance != UINT32_MAX ? run_plan(r)->instances[e->instance].name : "";
    json_t *p = payload_of(e);
    switch (e->type) {
    case EVENT_STARTED: {
        long long attempt = json_integer_value(json_object_get(p, "attempt"));
        add_status(c, out, TONE_BOLD, "start", name);
        if (attempt > 1) {
            sb_printf(out, " (attempt %lld)", attempt);
        }
        sb_putc(out, '\n');
        if (verbose) {
            add_differences(out, p);
        }
        break;
    }
    case EVENT_HIT: {
        const struct result *result = run_result(r, e->instance);
        add_status(c, out, TONE_REUSED, "cached", name);
        if (result && result->duration_ms > 0) {
            sb_puts(out, "  saved ");
            add_duration(out, result->duration_ms);
        }
        add_hit_words(e, verbose, out);
        sb_putc(out, '\n');
        if (verbose) {
            add_log_object(s, result, name, out);
        }
        break;
    }
    case EVENT_SUCCEEDED:
        succeeded_line(c, name, p, out);
        if (verbose) {
            if (*member(p, "log_file")) {
                add_log_file(s, member(p, "log_file"), name, out);
            } else {
                add_log_object(s, run_result(r, e->instance), name, out);
            }
        }
        break;
    case EVENT_FAILED:
        failed_line(c, name, p, out);
        break;
    case EVENT_RETRY:
        add_status(c, out, TONE_WARN, "retry", name);
        sb_puts(out, " in ");
        add_duration(out, json_integer_value(json_object_get(p, "delay_ms")));
        sb_putc(out, '\n');
        break;
    case EVENT_SKIPPED:
    case EVENT_CANCELLED:
        add_status(c, out, e->type == EVENT_SKIPPED ? TONE_DIM : TONE_WARN, event_names[e->type],
                   name);
        if (*member(p, "because")) {
            sb_printf(out, "  %s", member(p, "because"));
        }
        sb_putc(out, '\n');
        break;
    case EVENT_WAITING:
        add_status(c, out, TONE_DIM, event_names[e->type], name);
        sb_printf(out, "  %s\n", member(p, "because"));
        break;
    case EVENT_WARNING:
        sb_printf(out, "%swarning%s   %s\n", tone_on(c->colour, TONE_WARN), tone_off(c->colour),
                  member(p, "text"));
        break;
    case EVENT_RUN_STOPPING:
        sb_printf(out, "%sstopping%s  %s\n", tone_on(c->colour, TONE_WARN), tone_off(c->colour),
                  member(p, "because"));
        break;
    case EVENT_PROMOTION:
        promotion_line(c, name, p, out);
        break;
    case EVENT_SERVING:
        serving_line(c, name, p, out);
        break;
    case EVENT_AGAIN:
        add_status(c, out, TONE_DIM, event_names[e->type], name);
        sb_printf(out, "  for promotion %lld\n",
                  (long long)json_integer_value(json_object_get(p, "promotion")));
        break;
    case EVENT_PUBLISH:
    case EVENT_RUN_STARTED:
    case EVENT_RUN_ENDED:
    case EVENT_TYPE_COUNT:
        break;
    }
    json_decref(p);
}

void lines_json(struct run *r, const struct event *e, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, false);
    jw_object(&w);
    jw_kv_text(&w, "event", event_names[e->type]);
    jw_kv_time(&w, "at", e->at_us / 1000);
    jw_kv_text(&w, "run", run_id(r));
    if (e->instance != UINT32_MAX) {
        jw_kv_text(&w, "step", run_plan(r)->instances[e->instance].name);
    }
    if (has_document(e)) {
        jw_key(&w, "data");
        jw_raw(&w, e->payload, e->payload_len);
    }
    jw_end_object(&w);
    sb_putc(out, '\n');
}

void lines_log_tail(const struct cli *c, struct run *r, struct store *s, const struct event *e,
                    int count, struct str *out)
{
    json_t *p = payload_of(e);
    const char *log = member(p, "log_file");
    if (*log) {
        CLEANUP(cleanup_free) char *path = log[0] == '/' ? xstrdup(log) : store_path(s, log);
        CLEANUP(sb_done) struct str tail = {0};
        tail_file(path, count, &tail);
        add_log_lines(sb_text(&tail), tail.len, out);
        sb_printf(out, "  %sthe whole log: wf logs %s '%s'%s\n", tone_on(c->colour, TONE_DIM),
                  run_id(r), run_plan(r)->instances[e->instance].name, tone_off(c->colour));
    }
    json_decref(p);
}
