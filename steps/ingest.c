/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a source in: what the question has fetched already is used, else it is fetched now; without a command it becomes the output itself. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/objects.h"
#include "cache/statcache.h"
#include "cache/store.h"
#include "steps/asker.h"
#include "steps/attempt_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void take_facts(struct attempt *a, const struct source_facts *f)
{
    source_copy_facts(f, a->arena, &a->source);
    a->have_source = true;
}

static void on_fetched(const struct source_facts *facts, const struct err *err, void *arg)
{
    struct attempt *a = arg;

    if (facts) {
        take_facts(a, facts);
        attempt_go_on(a);
    } else {
        a->err = *err;
        attempt_fail(a, ATTEMPT_FAILED);
    }
}

/* 0: the source is here. 1: attempt_go_on() or attempt_fail() will be called. */
int ingest_begin(struct attempt *a, struct err *err)
{
    const char *text = NULL;
    int rc = scope_text(&a->scope, a->step->source, &text, err);

    rc = rc == 0 ? source_check(text, err) : rc;
    if (rc != 0) {
        return rc;
    }
    a->source.began_at_ms = now_ms();
    if (!source_is_url(text)) {
        a->source.path =
            text[0] == '/' ? text : arena_printf(a->arena, "%s/%s", a->w->wf->dir, text);
        a->have_source = true;
        return 0;
    }
    const struct source_facts *looked = fetched_find(a->k, a->i.index);
    const struct source_facts *found = a->number == 1 ? looked : NULL;
    if (found && found->path && access(found->path, R_OK) == 0) {
        take_facts(a, found);
        return 0;
    }
    CLEANUP(cleanup_free) char *to = source_target(a->k, a->i.index);
    CLEANUP(cleanup_free) char *mirrors = store_path(a->w->store, "sources");
    struct fetch_request r = {.url = text,
                              .to = to,
                              .dir = a->w->wf->dir,
                              .mirrors = mirrors,
                              .sha256 = a->step->source_sha256,
                              .commit = looked ? looked->commit : NULL};
    struct http *h = NULL;
    source_auth_of(a->w, a->step, &r.auth);
    rc = source_kind_of(text) == SOURCE_GIT ? 0 : asker_http(a->k, &h, err);
    rc = rc == 0 ? source_fetch(a->w->loop, h, &r, on_fetched, a, &a->fetch, err) : rc;
    return rc == 0 ? 1 : rc;
}

bool ingest_moved_on(const struct attempt *a)
{
    for (uint32_t n = 0; a->source.url && !a->q->has_identity && n < a->q->n_inputs; n++) {
        const struct seen_input *in = &a->q->inputs[n];
        if (in->input == NONE && text_eq(in->name, "source")) {
            return !a->source.have_digest || !digest_eq(&in->digest, &a->source.digest);
        }
    }
    return false;
}

static int check_local(struct attempt *a, struct err *err)
{
    struct digest want;
    struct stat st;

    if (!a->step->source_sha256 || a->source.url) {
        return 0;
    }
    if (a->source.kind != 'f') {
        return err_set(err, ERR_INVALID, 0, "`sha256` is for a file, and '%s' is a folder",
                       a->source.path);
    }
    int rc = statcache_digest(a->w->statcache, a->source.path, &a->source.digest, &st, err);
    if (rc == 0 && digest_parse(a->step->source_sha256, strlen(a->step->source_sha256), &want) &&
        !digest_eq(&want, &a->source.digest)) {
        char hex[DIGEST_HEX + 1];
        digest_hex(&a->source.digest, hex);
        rc = err_set(err, ERR_INVALID, 0, "'%s' has the sha256 %s, and `sha256` says %s",
                     a->source.path, hex, a->step->source_sha256);
    }
    return rc;
}

int ingest_facts(struct attempt *a, struct err *err)
{
    struct str json = {0};
    int rc = 0;

    if (!a->source.url) {
        rc = source_count(a->source.path, true, &a->source, err);
        rc = rc == 0 ? check_local(a, err) : rc;
        source_look_in_git(a->source.path, a->arena, &a->source);
    }
    if (rc == 0) {
        source_json(&a->source, &json);
        a->result.source = arena_strndup(a->arena, sb_text(&json), json.len);
    }
    sb_done(&json);
    return rc;
}

/* --- without a command: what was brought in is the output --- */

static int copy_below(const char *path, const char *rel, const struct stat *st, void *arg,
                      struct err *err)
{
    CLEANUP(cleanup_free) char *to = xasprintf("%s/%s", (const char *)arg, rel);
    enum fs_copied how;
    char link[4096];

    if (S_ISDIR(st->st_mode)) {
        return strcmp(fs_basename(rel), ".git") == 0 ? 1 : fs_mkdirs(to, 0755, err);
    }
    if (S_ISLNK(st->st_mode)) {
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = '\0';
        return n > 0 && symlink(link, to) == 0
                   ? 0
                   : err_set(err, ERR_IO, errno, "cannot copy the link '%s'", path);
    }
    if (!S_ISREG(st->st_mode)) {
        return err_set(err, ERR_INVALID, 0, "'%s' is neither a file nor a folder", path);
    }
    return fs_copy_file(path, to, st->st_mode & 0111 ? 0755 : 0644, &how, err);
}

int ingest_work(struct attempt *a, struct err *err)
{
    const char *name = a->step->n_outputs > 0 ? a->step->outputs[0].name : "data";
    const char *path = a->step->n_outputs > 0 ? a->job.outputs[0] : "data";
    const char *folder = a->box; /* an empty folder of this attempt */
    CLEANUP(cleanup_free) char *to = xasprintf("%s/%s", folder, path);
    CLEANUP(cleanup_free) char *dir = fs_dirname(to);
    enum fs_copied how;
    int rc = ingest_facts(a, err);

    rc = rc == 0 ? fs_mkdirs(dir, 0755, err) : rc;
    if (rc == 0 && a->source.url) {
        rc = rename(a->source.path, to) == 0
                 ? 0
                 : err_set(err, ERR_IO, errno, "cannot move what was fetched");
    } else if (rc == 0 && a->source.kind == 'd') {
        rc = fs_mkdirs(to, 0755, err);
        rc = rc == 0 ? fs_walk(a->source.path, copy_below, to, err) : rc;
    } else if (rc == 0) {
        rc = fs_copy_file(a->source.path, to, a->source.exec ? 0755 : 0644, &how, err);
    }
    a->result.outputs = arena_calloc(a->arena, 1, sizeof(*a->result.outputs));
    a->result.n_outputs = 1;
    rc = rc == 0 ? objects_take(a->w->store, folder, path, false, &a->result.outputs[0], err) : rc;
    a->result.outputs[0].name = name;
    a->result.outputs[0].path = path;
    enum recheck recheck = RECHECK_SAME;
    const char *changed = rc == 0 ? question_recheck(a->k, a->q, &recheck) : NULL;
    if (changed) {
        a->store = false;
        a->why_not = recheck == RECHECK_TOUCHED
                         ? "the source was touched while it was read, and may have been another"
                         : "the source changed while it was read";
    } else if (rc == 0 && ingest_moved_on(a)) {
        a->store = false;
        a->why_not = INGEST_MOVED_ON;
    }
    return rc;
}
