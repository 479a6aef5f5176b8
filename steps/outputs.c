/* SPDX-License-Identifier: Apache-2.0 */
/* After a step succeeded: its outputs go into the store, its values and metrics are read, its inputs and the copies it read are looked at again, its log is kept. Touches nothing but
 * the attempt and the file system: any thread. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "steps/asker.h"
#include "steps/attempt_impl.h"
#include "steps/values.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- log --- */

/* Asked only when nobody writes to it any more: once is enough. */
static uint64_t log_size(struct attempt *a)
{
    struct stat st;

    if (!a->log_known) {
        bool there = a->slot && a->slot->log_fd >= 0 && fstat(a->slot->log_fd, &st) == 0;
        a->log_bytes = there ? (uint64_t)st.st_size : 0;
        a->log_known = true;
    }
    return a->log_bytes;
}

/* The file gets its name; the slot opens another next time. */
static void log_moved(struct attempt *a)
{
    close(a->slot->log_fd);
    a->slot->log_fd = -1;
    a->log_bytes = 0;
}

static void name_log(struct attempt *a)
{
    struct slots *s = a->slots;
    CLEANUP(cleanup_free)
    char *path = xasprintf("%s/%u.%u.log", s->logs_dir, a->i.index, a->number);

    if (rename(a->slot->log_path, path) != 0 &&
        (fs_mkdirs(s->logs_dir, 0700, NULL) != 0 || rename(a->slot->log_path, path) != 0)) {
        return; /* the log is lost, the step is not */
    }
    a->log = arena_printf(a->arena, "logs/%s/%u.%u.log", a->w->run, a->i.index, a->number);
}

void keep_log_file(struct attempt *a)
{
    if (!a->log && log_size(a) > 0) {
        log_moved(a);
        name_log(a);
    }
}

/* A file that somebody could still write to is no object: ours is closed first. */
static void keep_log_object(struct attempt *a)
{
    struct result *r = &a->result;

    if (log_size(a) == 0) {
        return;
    }
    log_moved(a);
    /* Another step that is being started may still hold our side of it: then a copy does. */
    const char *path = a->slot->log_path;
    r->has_log = objects_put_file(a->w->store, path, true, &r->log, &r->log_bytes, NULL) == 0;
    if (!r->has_log) {
        r->has_log =
            objects_put_file(a->w->store, path, false, &r->log, &r->log_bytes, NULL) == 0 &&
            unlink(path) == 0;
    }
    if (!r->has_log) {
        name_log(a);
    }
}

/* --- outputs --- */

static int check_output(const struct output *o, const struct result_output *made, struct err *err)
{
    struct digest want;

    if (o->non_empty && made->bytes == 0) {
        return err_set(err, ERR_INVALID, 0,
                       "output '%s' (%s) is empty, and must not be (`non_empty`)", o->name,
                       made->path);
    }
    if (o->sha256 && digest_parse(o->sha256, strlen(o->sha256), &want) &&
        !digest_eq(&want, &made->digest)) {
        char hex[DIGEST_HEX + 1];
        digest_hex(&made->digest, hex);
        return err_set(err, ERR_INVALID, 0, "output '%s' (%s) has the sha256 %s, and must have %s",
                       o->name, made->path, hex, o->sha256);
    }
    return 0;
}

/* The text of a metrics file, read before the file goes into the store; NULL: it is none. */
static int read_metrics(struct attempt *a, const char *path, struct err *err)
{
    CLEANUP(cleanup_free) char *full = xasprintf("%s/%s", a->out_dir, path);
    CLEANUP(sb_done) struct str text = {0};
    struct err why = {0};
    struct stat st;

    if (stat(full, &st) != 0 || !S_ISREG(st.st_mode)) {
        return 0; /* its being taken will say */
    }
    int rc = fs_read_file(full, METRICS_MAX, &text, &why);
    rc = rc == 0 ? metrics_parse(sb_text(&text), text.len, a->arena, &a->result.metrics, &why) : rc;
    if (rc != 0 && a->step->kind == KIND_TRAIN) {
        return err_set(err, ERR_INVALID, 0, "output 'metrics' (%s) cannot be read: %s", path,
                       why.msg);
    }
    return 0;
}

static int take_output(struct attempt *a, uint32_t n, struct err *err)
{
    const struct output *o = &a->step->outputs[n];
    struct result_output *made = &a->result.outputs[n];
    const char *path = a->job.outputs[n];
    int rc = strcmp(o->name, "metrics") == 0 ? read_metrics(a, path, err) : 0;

    made->name = o->name;
    made->path = path;
    if (rc != 0) {
        return rc;
    }
    struct err why = {0};
    rc = objects_take(a->w->store, a->out_dir, path, false, made, &why);
    made->name = o->name;
    made->path = path;
    if (rc == -ERR_NOT_FOUND) {
        return err_set(err, ERR_NOT_FOUND, 0, "output '%s' (%s) was not made", o->name, path);
    }
    if (rc != 0) {
        bool named = strcmp(o->name, path) == 0 && text_starts(why.msg, "output '");
        return named ? err_set(err, why.code, 0, "%s", why.msg)
                     : err_set(err, why.code, 0, "output '%s': %s", o->name, why.msg);
    }
    return check_output(o, made, err);
}

static int take_outputs(struct attempt *a, struct err *err)
{
    uint32_t count = a->step->n_outputs;
    int rc = 0;

    a->result.n_outputs = count;
    a->result.outputs = arena_calloc(a->arena, count + 1, sizeof(*a->result.outputs));
    for (uint32_t n = 0; n < count && rc == 0; n++) {
        rc = take_output(a, n, err);
    }
    return rc;
}

/* --- values --- */

static int read_fd(int fd, size_t max, struct str *out, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || (size_t)st.st_size > max) {
        return err_set(err, ERR_INVALID, 0,
                       "more than 1 MiB was written as values: write an "
                       "output file instead");
    }
    sb_reserve(out, (size_t)st.st_size + 1);
    for (size_t at = 0; at < (size_t)st.st_size;) {
        char buf[8192];
        ssize_t n = pread(fd, buf, sizeof(buf), (off_t)at);
        if (n <= 0) {
            break;
        }
        sb_add(out, buf, (size_t)n);
        at += (size_t)n;
    }
    return 0;
}

static int read_values(struct attempt *a, struct err *err)
{
    struct str text = {0}, out = {0};
    struct stat st;
    int rc = 0;

    if (a->step->n_values == 0 &&
        (!a->host || fstat(a->slot->values_fd, &st) != 0 || st.st_size == 0)) {
        return 0;
    }
    /* By its name: what a step moved there counts. */
    CLEANUP(cleanup_close) int fd = open(a->values_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        rc = read_fd(fd, VALUES_MAX, &text, err);
    }
    if (rc == 0 && a->stdout_fd >= 0) {
        rc = read_fd(a->stdout_fd, VALUES_MAX, &out, err);
    }
    rc = rc == 0 ? values_parse(a->step, sb_text(&text), text.len,
                                a->stdout_fd >= 0 ? sb_text(&out) : NULL, out.len, a->arena,
                                &a->result.values, &a->result.n_values, err)
                 : rc;
    sb_done(&text);
    sb_done(&out);
    return rc;
}

/* --- is it to be stored? --- */

static void look_again(struct attempt *a)
{
    enum recheck how = RECHECK_SAME;
    const char *changed = question_recheck(a->k, a->q, &how);

    a->store = a->keep && a->q->memoized;
    if (!a->q->memoized) {
        a->why_not = a->q->why_not;
    }
    if (changed) {
        a->store = false;
        a->why_not = arena_printf(a->arena,
                                  how == RECHECK_TOUCHED
                                      ? "input %s was touched while the step ran, which may have "
                                        "read something else"
                                      : "input %s changed while the step ran",
                                  changed);
    }
    if (a->have_source && ingest_moved_on(a)) {
        a->store = false;
        a->why_not = INGEST_MOVED_ON;
    }
    for (size_t n = 0; n < a->uses.len; n++) {
        if (!copy_unchanged(&a->uses.items[n])) {
            a->store = false;
            a->why_not = arena_printf(a->arena,
                                      "%s was altered while the step ran: a step must not write to "
                                      "what it reads of others",
                                      a->uses.items[n].path);
            a->uses.items[n].sum = UINT64_MAX; /* for attempt.c: renew it */
            a->uses.items[n].st.st_ino = 0;
        }
    }
}

bool collect_is_large(struct attempt *a)
{
    struct stat st;

    if (a->job.n_mounts > 0 || log_size(a) > SMALL_FILE || a->q->n_inputs > 64 ||
        a->q->n_globs > 0 || a->uses.len > 64 || a->have_source) {
        return true;
    }
    for (uint32_t n = 0; n < a->q->n_inputs; n++) {
        if (a->q->inputs[n].kind == 'd' && a->q->inputs[n].path) {
            return true;
        }
    }
    for (size_t n = 0; n < a->uses.len; n++) {
        if (a->uses.items[n].copy->kind == OBJECT_TREE) {
            return true;
        }
    }
    for (uint32_t n = 0; n < a->step->n_outputs; n++) {
        if (fstatat(a->slot->out_fd, a->job.outputs[n], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            (!S_ISREG(st.st_mode) || st.st_size > SMALL_FILE)) {
            return true;
        }
    }
    return false;
}

int collect(struct attempt *a, struct err *err)
{
    int rc = read_values(a, err);

    rc = rc == 0 ? take_outputs(a, err) : rc;
    rc = rc == 0 ? secrets_check(a, err) : rc;
    if (rc != 0) {
        return rc;
    }
    look_again(a);
    if (a->store) {
        keep_log_object(a);
    } else {
        keep_log_file(a);
    }
    return 0;
}
