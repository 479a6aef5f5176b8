/* SPDX-License-Identifier: Apache-2.0 */
/* What a question has to wait for: an image's identity, a fetched source, files hashed and folders walked on the pool. One after the other; the answers wait in the asker. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/store.h"
#include "steps/action.h"
#include "steps/asker.h"
#include "steps/container.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct work_job {
    struct asker *k;
    struct instance_ref i; /* its name is borrowed */
    question_fn on_ready;
    void *arg;
    struct prepared *prepared;
    const struct source_facts *fetched;
    struct source_fetch *fetch;
    char *image;
    struct err err;
    int rc;
};

int asker_http(struct asker *k, struct http **ret, struct err *err)
{
    int rc = k->http ? 0 : http_open(k->w->loop, &k->http, err);

    *ret = k->http;
    return rc;
}

const struct source_facts *fetched_find(const struct asker *k, uint32_t instance)
{
    const struct fetched *f =
        k->fetched.len ? map_get(&k->fetched, (const char *)&instance, sizeof(instance)) : NULL;

    return f ? &f->facts : NULL;
}

int image_find(struct asker *k, struct step_scope *s, const struct image **ret, struct err *err)
{
    const char *name = NULL;
    int rc = scope_text(s, s->step->image, &name, err);

    if (rc != 0) {
        return rc;
    }
    if (!k->w->executors[EXECUTOR_CONTAINER]) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "it needs the image '%s', and no container engine "
                       "can be used here; `wf doctor` says why",
                       name);
    }
    const struct image *found = map_get_text(&k->images, name);
    if (!found) {
        return 1;
    }
    *ret = found;
    return 0;
}

/* --- the end --- */

static void finish(struct work_job *j)
{
    if (j->prepared && j->rc == 0) {
        struct prepared *old = prepared_find(j->k, j->i.index);
        if (old) {
            prepared_drop(j->k, old);
        }
        map_put(&j->k->prepared, (const char *)&j->prepared->index, sizeof(j->prepared->index),
                j->prepared);
        j->k->n_prepared++;
    } else if (j->prepared) {
        vec_done(&j->prepared->specs.v);
        arena_free(j->prepared->arena);
    }
    j->on_ready(j->rc == 0 ? NULL : &j->err, j->arg);
    source_fetch_free(j->fetch);
    free(j->image);
    free(j);
}

static void on_pool(void *arg)
{
    struct work_job *j = arg;

    j->rc = specs_look_blocking(j->k, &j->prepared->specs, &j->k->w->wf->steps[j->i.step],
                                j->fetched, j->prepared->arena, &j->err);
}

static void on_pool_done(void *arg)
{
    struct work_job *j = arg;

    asker_begin(j->k);
    finish(j);
}

static void nothing(void *arg)
{
    (void)arg;
}

/* Ends later, from the loop. */
static void finish_later(struct work_job *j)
{
    loop_work(j->k->w->loop, nothing, on_pool_done, j);
}

/* --- the source --- */

static struct spec *source_spec(const struct work_job *j)
{
    for (size_t n = 0; n < j->prepared->specs.v.len; n++) {
        if (j->prepared->specs.v.items[n].kind == SPEC_SOURCE) {
            return &j->prepared->specs.v.items[n];
        }
    }
    return NULL;
}

/* What was learnt of a URL by an earlier run, for a conditional request: a small file beside the compiled plans, which like them may be deleted at will. Owned by the caller. */
static char *memory_of(struct work_job *j, const char *url)
{
    CLEANUP(cleanup_free) char *plans = store_path(j->k->w->store, "plans");
    char hex[DIGEST_HEX + 1];
    struct digest where;

    location_digest(url, &where);
    digest_hex(&where, hex);
    return xasprintf("%s/%s.source", plans, hex);
}

/* Its time is that of its last use: the oldest go first. */
static bool earlier_fetch(struct work_job *j, const char *url, struct source_facts *ret)
{
    CLEANUP(cleanup_free) char *path = memory_of(j, url);
    CLEANUP(sb_done) struct str json = {0};

    if (fs_read_file(path, 1 << 20, &json, NULL) != 0) {
        return false;
    }
    if (!j->k->w->look_only) {
        (void)utimensat(AT_FDCWD, path, NULL, 0);
    }
    return source_read_json(sb_text(&json), j->prepared->arena, ret);
}

static void remember_fetch(struct work_job *j, const char *url, const struct source_facts *facts)
{
    CLEANUP(cleanup_free) char *path = memory_of(j, url);
    CLEANUP(sb_done) struct str json = {0};

    source_json(facts, &json);
    fs_write_file(path, sb_text(&json), json.len, 0600, false, NULL); /* losing it costs a fetch */
}

static void keep_fetched(struct work_job *j, const struct source_facts *facts)
{
    struct arena *a = j->k->arena;
    struct fetched *f = arena_calloc(a, 1, sizeof(*f));

    const struct source_facts *before = fetched_find(j->k, j->i.index);

    f->index = j->i.index;
    source_copy_facts(facts, a, &f->facts);
    if (!f->facts.path && before && before->path && before->have_digest && facts->have_digest &&
        digest_eq(&before->digest, &facts->digest)) {
        f->facts.path = before->path; /* not modified since this run fetched it */
    }
    map_put(&j->k->fetched, (const char *)&f->index, sizeof(f->index), f);
    j->fetched = &f->facts;
}

/* What `change` measures is known without the content itself. */
static bool measured_by_head(const struct work_job *j)
{
    const struct cache_options *c = &j->k->w->wf->steps[j->i.step].cache;
    const struct spec *s = source_spec(j);
    bool git = source_kind_of(s->path) == SOURCE_GIT;

    return s->located && (c->measure == MEASURE_COMMAND || c->measure == MEASURE_GIT ||
                          (!git && (c->measure == MEASURE_ETAG || c->measure == MEASURE_BYTES ||
                                    c->measure == MEASURE_FILES)));
}

static void give_up(struct work_job *j, const struct err *err)
{
    j->err = *err;
    j->rc = -(int)err->code;
    finish_later(j);
}

/* Of what may be told of the content without fetching it nothing says what it is. */
static void cannot_tell(struct work_job *j, const struct spec *s)
{
    struct err err;

    err_set(&err, ERR_BUSY, 0, "only fetching %s tells whether it changed",
            source_public_url(s->path, j->prepared->arena));
    give_up(j, &err);
}

static void on_fetched(const struct source_facts *facts, const struct err *err, void *arg)
{
    struct work_job *j = arg;
    struct spec *s = source_spec(j);

    if (!facts && (!s->located || err->code == ERR_BUSY)) {
        give_up(j, err);
        return;
    }
    if (facts && !facts->have_digest && j->k->w->look_only && !measured_by_head(j)) {
        cannot_tell(j, s);
        return;
    }
    if (facts) { /* under `change` a measure that fails means run */
        keep_fetched(j, facts);
        if (facts->have_digest && !j->k->w->look_only) {
            remember_fetch(j, s->path, facts);
        }
    }
    if (facts && !s->located) {
        s->looked = (struct looked){.done = true,
                                    .exists = true,
                                    .kind = facts->kind,
                                    .exec = facts->exec,
                                    .digest = facts->digest,
                                    .bytes = facts->bytes,
                                    .files = facts->files};
    }
    loop_work(j->k->w->loop, on_pool, on_pool_done, j);
}

char *source_target(struct asker *k, uint32_t instance)
{
    CLEANUP(cleanup_free) char *dir = xasprintf("%s/source", k->w->work_dir);

    fs_mkdirs(dir, 0700, NULL);
    return xasprintf("%s/%u", dir, instance);
}

/* The content itself is wanted now, when only it says what the key needs, or what is measured. */
static bool head_is_enough(const struct work_job *j, const struct spec *s)
{
    enum source_kind kind = source_kind_of(s->path);
    bool listed = kind == SOURCE_GIT || (kind == SOURCE_S3 && text_ends(s->path, "/"));

    return j->k->w->look_only || (s->located ? measured_by_head(j) : listed);
}

static int begin_fetch(struct work_job *j, struct spec *s, struct err *err)
{
    const struct step *step = &j->k->w->wf->steps[j->i.step];
    CLEANUP(cleanup_free) char *to = j->k->w->look_only ? NULL : source_target(j->k, j->i.index);
    CLEANUP(cleanup_free) char *mirrors = store_path(j->k->w->store, "sources");
    struct source_facts known = {0};
    struct http *h = NULL;
    bool found = earlier_fetch(j, s->path, &known);
    struct fetch_request r = {.url = s->path,
                              .to = to,
                              .dir = j->k->w->wf->dir,
                              .mirrors = mirrors,
                              .sha256 = step->source_sha256,
                              .known = found ? &known : NULL,
                              .head_only = head_is_enough(j, s),
                              .look_only = j->k->w->look_only,
                              .one_try = j->k->w->one_try};

    source_auth_of(j->k->w, step, &r.auth);
    if (r.auth.missing) {
        return err_set(err, ERR_BUSY, 0, "its source needs secrets, which only a run reads");
    }
    if (j->k->w->look_only) {
        return look_once(j->k, &r, on_fetched, j, err);
    }
    int rc = source_kind_of(s->path) == SOURCE_GIT ? 0 : asker_http(j->k, &h, err);
    return rc == 0 ? source_fetch(j->k->w->loop, h, &r, on_fetched, j, &j->fetch, err) : rc;
}

/* With the image known: works out what is to be looked at, and looks. */
static void look(struct work_job *j)
{
    struct asker *k = j->k;
    struct step_scope s;

    asker_begin(k);
    struct arena *a = arena_new();
    struct prepared *p = arena_calloc(a, 1, sizeof(*p));
    j->prepared = p;
    *p = (struct prepared){.index = j->i.index, .arena = a};
    step_scope_init(&s, k->w, &j->i, PATHS_KEY, a);
    const struct facts *f = facts_get(k, &j->i, a);
    j->rc = specs_build(k, f, &s, &p->specs, &j->err);
    if (j->rc < 0) {
        finish_later(j);
        return;
    }
    struct spec *source = source_spec(j);
    if (source && !source->looked.done && source_is_url(source->path)) {
        j->rc = begin_fetch(j, source, &j->err);
        if (j->rc < 0) {
            finish_later(j);
        }
        return;
    }
    loop_work(k->w->loop, on_pool, on_pool_done, j);
}

/* --- the image --- */

static void on_image(const struct image *image, const struct err *err, void *arg)
{
    struct work_job *j = arg;

    if (err) {
        j->err = *err;
        j->rc = -(int)err->code;
        finish_later(j);
        return;
    }
    struct image *kept = arena_memdup(j->k->arena, image, sizeof(*image));
    kept->name = arena_strdup(j->k->arena, j->image);
    kept->user = image->user ? arena_strdup(j->k->arena, image->user) : NULL;
    map_put_text(&j->k->images, kept->name, kept);
    look(j);
}

/* The image that is still to be resolved; NULL: none. */
static char *image_wanted(struct asker *k, const struct instance_ref *i, struct err *err)
{
    const struct step *step = &k->w->wf->steps[i->step];
    struct arena *a = arena_new();
    const struct image *found;
    const char *name = NULL;
    struct step_scope s;
    char *wanted = NULL;

    step_scope_init(&s, k->w, i, PATHS_KEY, a);
    if (step->image && !step_is_builtin(step) && step->executor != EXECUTOR_PROCESS &&
        image_find(k, &s, &found, err) == 1 && scope_text(&s, step->image, &name, err) == 0) {
        wanted = xstrdup(name);
    }
    arena_free(a);
    return wanted;
}

void question_work(struct asker *k, const struct instance_ref *i, question_fn on_ready, void *arg)
{
    struct work_job *j = xcalloc(1, sizeof(*j));

    *j = (struct work_job){.k = k, .i = *i, .on_ready = on_ready, .arg = arg};
    j->image = image_wanted(k, i, &j->err);
    if (j->err.code != ERR_NONE) {
        j->rc = -(int)j->err.code;
        finish_later(j);
    } else if (j->image) {
        container_image(k->w->executors[EXECUTOR_CONTAINER], j->image,
                        k->w->wf->steps[i->step].pull, on_image, j);
    } else {
        look(j);
    }
}
