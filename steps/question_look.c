/* SPDX-License-Identifier: Apache-2.0 */
/* Working out what an instance reads, and looking at it: on the loop thread what a stat answers, on the pool what must be read, walked or counted. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/folder_list.h"
#include "cache/manifest.h"
#include "cache/statcache.h"
#include "steps/asker.h"

#include <stdlib.h>
#include <string.h>

/* --- what there is to look at --- */

static const char *join(struct arena *a, const char *dir, const char *rel, const char **ret_rel)
{
    size_t len = strlen(dir), more = strlen(rel);
    char *path = arena_alloc(a, len + more + 2);

    memcpy(path, dir, len);
    path[len] = '/';
    memcpy(path + len + 1, rel, more);
    *ret_rel = path + len + 1;
    return path;
}

/* An optional input whose path a skipped step would have told. */
static bool reads_nothing(struct step_scope *s, const struct input *in)
{
    CLEANUP(sb_done) struct str text = {0};

    return in->optional && (in->path->uses & USES_STEPS) &&
           text_eval_string(in->path, &s->scope, &text, NULL) > 0;
}

/* An ordinary declared path: absolute, or below the workflow's folder, or (named) above it. */
static int add_path(struct asker *k, struct step_scope *s, uint32_t index, struct specs *ret,
                    struct err *err)
{
    const struct input *in = &s->step->inputs[index];
    struct arena *a = s->scope.arena;
    const char *text = NULL;

    if (reads_nothing(s, in)) {
        *vec_push(&ret->v) = (struct spec){
            .kind = SPEC_KNOWN, .input = index, .name = in->name, .looked = {.done = true}};
        return 0;
    }
    int rc = scope_text(s, in->path, &text, err);
    if (rc != 0) {
        return rc;
    }
    struct spec spec = {
        .kind = SPEC_PATH, .input = index, .name = in->name, .optional = in->optional};
    if (*text == '\0') {
        return err_set(err, ERR_INVALID, 0, "input '%s' has an empty path",
                       in->name ? in->name : in->path->source);
    }
    bool glob = in->path->n_parts == 0 ? in->glob : glob_is_pattern(text);
    CLEANUP(sb_done) struct str clean = {0};
    if (glob) {
        spec.kind = SPEC_GLOB;
        spec.path = text;
    } else if (text[0] == '/') {
        spec.path = text;
    } else if (fs_clean_relative(text, &clean)) {
        const char *rel = clean.len > 0 ? sb_text(&clean) : ".";
        spec.path = join(a, k->w->wf->dir, rel, &spec.rel);
    } else {
        const char *ignored;
        spec.path = join(a, k->w->wf->dir, text, &ignored);
    }
    *vec_push(&ret->v) = spec;
    return 0;
}

static int add_input(struct asker *k, struct step_scope *s, uint32_t index, struct specs *ret,
                     struct err *err)
{
    const struct input *in = &s->step->inputs[index];
    struct part_ref part;
    int rc = (in->path->uses & USES_STEPS) ? part_resolve(s, in, &part, err) : 1;

    if (rc == 1) {
        return add_path(k, s, index, ret, err);
    }
    if (rc == 0) {
        *vec_push(&ret->v) = (struct spec){.kind = SPEC_KNOWN,
                                           .input = index,
                                           .name = in->name,
                                           .looked = {.done = true,
                                                      .exists = part.kind != 'a',
                                                      .kind = part.kind,
                                                      .exec = part.exec,
                                                      .digest = part.digest}};
    }
    return rc;
}

/* A measuring command starts in the workflow's folder: the same words elsewhere (`./count.sh`) are another measure. */
static void add_folder(const char *dir, struct digest *d)
{
    CLEANUP(cleanup_free) char *real = fs_real(dir, NULL);
    CLEANUP(sb_done) struct str text = {0};

    digest_hex_add(&text, d);
    sb_puts(&text, real ? real : dir);
    digest_of(text.data, text.len, d);
}

static int add_source(struct asker *k, struct step_scope *s, struct specs *ret, struct err *err)
{
    const char *text = NULL, *ignored;
    int rc = scope_text(s, s->step->source, &text, err);

    rc = rc == 0 ? source_check(text, err) : rc;
    if (rc != 0) {
        return rc;
    }
    struct spec spec = {.kind = SPEC_SOURCE, .input = NONE, .name = "source"};
    CLEANUP(sb_done) struct str clean = {0};
    if (text_starts(text, "git+file://") && text[strlen("git+file://")] != '/') {
        spec.path = arena_printf(s->scope.arena, "git+file://%s/%s", k->w->wf->dir,
                                 text + strlen("git+file://"));
    } else if (source_is_url(text) || text[0] == '/') {
        spec.path = text;
    } else if (fs_clean_relative(text, &clean) && clean.len > 0) {
        spec.path = join(s->scope.arena, k->w->wf->dir, sb_text(&clean), &spec.rel);
    } else {
        spec.path = join(s->scope.arena, k->w->wf->dir, text, &ignored);
    }
    enum cache_policy policy = s->step->cache.policy;
    if (policy == CACHE_TIME || policy == CACHE_CHANGE) {
        spec.located = true;
        spec.looked = (struct looked){.done = policy == CACHE_TIME, .exists = true, .kind = 'f'};
        location_digest(spec.path, &spec.looked.digest);
        if (policy == CACHE_CHANGE && s->step->cache.measure == MEASURE_COMMAND) {
            add_folder(k->w->wf->dir, &spec.looked.digest);
        }
    }
    *vec_push(&ret->v) = spec;
    return 0;
}

/* By real paths: a folder reached in two ways is one place. A bucket's name means something only together with its server. */
void location_digest(const char *source, struct digest *ret)
{
    struct arena *a = arena_new();
    struct git_url git = {0};
    enum source_kind kind = source_kind_of(source);
    bool local = kind == SOURCE_GIT && git_url_parse(source, "/", a, &git, NULL) == 0 && git.repo;
    CLEANUP(cleanup_free)
    char *real = kind == SOURCE_PATH ? fs_real(source, NULL)
                 : local             ? fs_real(git.repo, NULL)
                                     : NULL;
    const char *where = kind == SOURCE_PATH ? (real ? real : source) : source_public_url(source, a);

    if (local && real) {
        where = arena_printf(a, "git+file://%s@%s:%s", real, git.ref ? git.ref : "",
                             git.path ? git.path : "");
    }
    CLEANUP(cleanup_free) char *server = kind == SOURCE_S3 ? s3_named_endpoint() : NULL;
    if (server) {
        where = arena_printf(a, "%s at %s", where, server);
    }
    digest_of(where, strlen(where), ret);
    arena_free(a);
}

int step_cwd(struct step_scope *s, const char **ret, struct err *err)
{
    const char *text = NULL, *ignored;

    *ret = s->w->wf->dir;
    if (!s->step->workdir) {
        return 0;
    }
    int rc = scope_text(s, s->step->workdir, &text, err);
    if (rc == 0) {
        *ret = text[0] == '/' ? text : join(s->scope.arena, s->w->wf->dir, text, &ignored);
    }
    return rc;
}

const char *step_path_env(struct step_scope *s)
{
    for (uint32_t n = 0; n < s->step->n_env; n++) {
        const char *text = NULL;
        if (strcmp(s->step->env[n].name, "PATH") == 0 &&
            scope_text(s, s->step->env[n].value, &text, NULL) == 0) {
            return text;
        }
    }
    return s->w->path_env;
}

/* The program behind a host step's command; a script's shell is its machine's and not in the key. */
static int add_program(struct asker *k, struct step_scope *s, struct specs *ret, struct err *err)
{
    const char *name = NULL, *cwd = NULL;
    int rc = step_cwd(s, &cwd, err);

    rc = rc == 0 ? scope_text(s, s->step->command[0], &name, err) : rc;
    if (rc != 0) {
        return rc;
    }
    const char *found = program_find(k, name, cwd, step_path_env(s));
    if (found) {
        *vec_push(&ret->v) = (struct spec){.kind = SPEC_PROGRAM,
                                           .input = NONE,
                                           .name = name,
                                           .path = arena_strdup(s->scope.arena, found)};
    }
    return 0;
}

int specs_build(struct asker *k, const struct facts *f, struct step_scope *s, struct specs *ret,
                struct err *err)
{
    int rc = 0;

    ret->epoch = k->epoch;
    for (uint32_t n = 0; n < s->step->n_inputs && rc == 0; n++) {
        rc = add_input(k, s, n, ret, err);
    }
    if (rc == 0 && s->step->source) {
        rc = add_source(k, s, ret, err);
    }
    if (rc == 0 && f->host) {
        words_find(k, s, ret);
    }
    /* What a step's output names ("${{ steps.build.outputs.tool }}") is no program of this machine: its digest is in the key already. */
    bool own = s->step->n_command > 0 &&
               !(s->step->command[0]->uses & (USES_STEPS | USES_OUTPUTS | USES_INPUTS));
    if (rc == 0 && f->host && own) {
        rc = add_program(k, s, ret, err);
    }
    return rc;
}

/* --- looking --- */

static void from_stat(struct looked *l, const struct stat *st)
{
    l->done = l->exists = true;
    l->st = *st;
    l->kind = S_ISDIR(st->st_mode) ? 'd' : S_ISREG(st->st_mode) ? 'f' : '?';
    l->exec = S_ISREG(st->st_mode) && (st->st_mode & 0111) != 0;
    l->bytes = (uint64_t)st->st_size;
    l->files = 1;
}

static int look_now(struct asker *k, struct spec *s, struct err *err)
{
    struct memo *m = memo_look(k, s->path, strlen(s->path));

    if (!m->exists) {
        s->looked = (struct looked){.done = true};
        return 0;
    }
    if (S_ISDIR(m->st.st_mode)) {
        return 1;
    }
    from_stat(&s->looked, &m->st);
    if (!S_ISREG(m->st.st_mode)) {
        return 0;
    }
    if (!m->have_digest) {
        if (!statcache_get(k->w->statcache, s->path, &m->st, &m->digest)) {
            if (m->st.st_size > SMALL_FILE) {
                s->looked.done = false;
                return 1;
            }
            int rc = statcache_hash(k->w->statcache, s->path, &m->digest, &m->st, err);
            if (rc != 0) {
                return rc;
            }
            from_stat(&s->looked, &m->st);
        }
        m->have_digest = true;
    }
    s->looked.digest = m->digest;
    return 0;
}

int spec_check(const struct spec *s, const char *path, const struct looked *l, struct err *err)
{
    const char *shown = s->rel ? s->rel : path;
    const char *what = s->kind == SPEC_SOURCE ? "the source" : "input";

    if (!l->exists && !s->optional && s->kind != SPEC_WORD && s->kind != SPEC_PROGRAM) {
        return err_set(err, ERR_NOT_FOUND, 0, "%s '%s' does not exist; put it there%s", what, shown,
                       s->kind == SPEC_SOURCE ? "" : ", or mark it `optional: true`");
    }
    if (l->exists && l->kind == '?') {
        return err_set(err, ERR_INVALID, 0,
                       "%s '%s' is neither a file nor a folder (a FIFO, a socket or a device)",
                       what, shown);
    }
    return 0;
}

/* A source whose content is in the key and that lies on this machine can be looked at like an input. */
static bool plain_source(const struct spec *s)
{
    return s->kind == SPEC_SOURCE && !s->located && !source_is_url(s->path);
}

int specs_look(struct asker *k, struct specs *specs, struct err *err)
{
    bool later = false;

    for (size_t n = 0; n < specs->v.len; n++) {
        struct spec *s = &specs->v.items[n];
        if (s->looked.done || s->kind == SPEC_KNOWN) {
            continue;
        }
        if (s->kind == SPEC_GLOB || (s->kind == SPEC_SOURCE && !plain_source(s))) {
            later = true;
            continue;
        }
        int rc = look_now(k, s, err);
        if (rc < 0) {
            return rc;
        }
        later = later || rc > 0;
    }
    return later;
}

/* --- on the pool --- */

/* A folder that is being walked, or was a moment ago. */
struct walk {
    struct walk *next;
    char *path;
    bool running;
    int waiters;
    int64_t began_us, until_us;
    uint64_t epoch;
    struct looked looked;
    struct err err;
};

static void walk_folder(struct statcache *sc, const char *path, struct walk *w)
{
    CLEANUP(sb_done) struct str text = {0};

    if (manifest_stamped(path, sc, &text, &w->looked.bytes, &w->looked.files, &w->looked.stamp,
                         &w->err) == 0) {
        digest_of(sb_text(&text), text.len, &w->looked.digest);
        w->looked.kind = 'd';
        w->looked.done = w->looked.exists = true;
    } else if (w->err.code == ERR_NONE) {
        w->err.code = ERR_IO;
    }
}

/* Under the lock: forgets walks that nobody can use any more. */
static void forget_walks(struct asker *k, int64_t now)
{
    for (struct walk **at = &k->walks; *at;) {
        struct walk *w = *at;
        if (!w->running && w->waiters == 0 && now > w->until_us) {
            *at = w->next;
            free(w->path);
            free(w);
        } else {
            at = &w->next;
        }
    }
}

void asker_forget_walks(struct asker *k)
{
    forget_walks(k, INT64_MAX);
}

enum recheck folder_recheck(struct statcache *sc, struct store *keep, const char *path,
                            const struct digest *d, uint64_t stamp)
{
    CLEANUP(sb_done) struct str text = {0};
    struct digest now;
    uint64_t bytes, files, stamp_now;

    if (manifest_stamped(path, sc, &text, &bytes, &files, &stamp_now, NULL) != 0) {
        return RECHECK_CHANGED;
    }
    digest_of(sb_text(&text), text.len, &now);
    if (!digest_eq(&now, d)) {
        return RECHECK_CHANGED;
    }
    if (stamp_now != stamp) {
        return RECHECK_TOUCHED;
    }
    if (keep) {
        folder_list_keep(keep, d, sb_text(&text), text.len);
    }
    return RECHECK_SAME;
}

static int look_folder(struct asker *k, uint64_t epoch, const char *path, struct looked *ret,
                       struct err *err)
{
    int64_t now = mono_us();
    struct walk *w;

    pthread_mutex_lock(&k->lock);
    forget_walks(k, now);
    for (w = k->walks; w; w = w->next) {
        if (strcmp(w->path, path) == 0 && w->epoch == epoch && now <= w->until_us) {
            break;
        }
    }
    if (w) {
        w->waiters++;
        while (w->running) {
            pthread_cond_wait(&k->walked, &k->lock);
        }
        w->waiters--;
    } else {
        w = xcalloc(1, sizeof(*w));
        *w = (struct walk){.next = k->walks,
                           .path = xstrdup(path),
                           .running = true,
                           .began_us = now,
                           .until_us = now + MEMO_US,
                           .epoch = epoch};
        k->walks = w;
        pthread_mutex_unlock(&k->lock);
        walk_folder(k->w->statcache, path, w);
        pthread_mutex_lock(&k->lock);
        w->running = false;
        pthread_cond_broadcast(&k->walked);
    }
    struct looked looked = w->looked;
    struct err failed = w->err;
    pthread_mutex_unlock(&k->lock);
    if (failed.code != ERR_NONE) {
        return err_set(err, failed.code, 0, "%s", failed.msg);
    }
    struct stat st = ret->st;
    *ret = looked;
    ret->st = st;
    return 0;
}

static int look_path(struct asker *k, uint64_t epoch, const char *path, struct looked *ret,
                     struct err *err)
{
    struct stat st;

    *ret = (struct looked){.done = true};
    if (stat(path, &st) != 0) {
        return 0;
    }
    from_stat(ret, &st);
    if (S_ISDIR(st.st_mode)) {
        return look_folder(k, epoch, path, ret, err);
    }
    if (S_ISREG(st.st_mode)) {
        int rc = statcache_digest(k->w->statcache, path, &ret->digest, &st, err);
        if (rc == 0) {
            struct digest d = ret->digest;
            from_stat(ret, &st);
            ret->digest = d;
        }
        return rc;
    }
    return 0;
}

static int look_glob(struct asker *k, uint64_t epoch, struct spec *s, struct arena *a,
                     struct err *err)
{
    struct paths found = {0};
    int rc = glob_expand(k->w->wf->dir, s->path, a, &found, err);

    s->n_matches = found.v.len;
    s->matches = arena_memdup(a, found.v.items, found.v.len * sizeof(*found.v.items));
    s->match_looked = arena_calloc(a, found.v.len + 1, sizeof(*s->match_looked));
    for (size_t n = 0; n < found.v.len && rc == 0; n++) {
        const char *ignored, *path = s->matches[n];
        path = path[0] == '/' ? path : join(a, k->w->wf->dir, path, &ignored);
        rc = look_path(k, epoch, path, &s->match_looked[n], err);
        rc = rc == 0 ? spec_check(s, path, &s->match_looked[n], err) : rc;
    }
    vec_done(&found.v);
    if (rc == 0 && s->n_matches == 0 && !s->optional) {
        rc = err_set(err, ERR_NOT_FOUND, 0, "input '%s' matches no file", s->path);
    }
    s->looked = (struct looked){.done = true, .exists = s->n_matches > 0};
    return rc;
}

int specs_look_blocking(struct asker *k, struct specs *specs, const struct step *step,
                        const struct source_facts *fetched, struct arena *a, struct err *err)
{
    int rc = 0;

    for (size_t n = 0; n < specs->v.len && rc == 0; n++) {
        struct spec *s = &specs->v.items[n];
        if (s->looked.done || s->kind == SPEC_KNOWN) {
            continue;
        }
        if (s->kind == SPEC_GLOB) {
            rc = look_glob(k, specs->epoch, s, a, err);
        } else if (s->kind == SPEC_SOURCE && s->located) {
            s->measure = source_measure(step, fetched, s->path, k->w->wf->dir, a, &s->measure_why);
            s->looked.done = true;
        } else if (s->kind != SPEC_SOURCE || plain_source(s)) {
            rc = look_path(k, specs->epoch, s->path, &s->looked, err);
        }
    }
    return rc;
}
