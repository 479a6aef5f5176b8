/* SPDX-License-Identifier: Apache-2.0 */
/* A commit's folder or file. A repository of this machine is read where it lies; of one elsewhere a bare copy is kept below the store (`sources/`), so that the next commit costs only what
 * is new. libgit2 blocks and cannot be interrupted while it waits for a server, so it works on a thread of its own that is left behind when nothing comes for a minute, or the run ends:
 * The job belongs to both sides and goes with the last. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/repo.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/sources.h"
#include "steps/fetch_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 1000
#define LOOK_AGAIN_US 20000
/* More tracked files than this are not looked through just to tell whether one of them changed. */
#define DIRTY_FILES 50000

/* What both threads have. `lock` guards waker, done and abandoned; the rest is the worker's until done. */
struct git_job {
    pthread_mutex_t lock;
    struct waker *waker;
    bool done, abandoned;
    atomic_int owners;
    atomic_llong alive_ms; /* when something last came */

    struct arena *arena;
    struct git_url url;
    const char *public_url, *to, *mirrors, *commit, *sha256;
    struct source_facts known, facts;
    bool has_known, head_only, look_only;
    int stall_ms;
    struct err err;
    int rc;
};

struct git_fetch {
    struct source_fetch fetch; /* first */
    struct git_job *s;
    struct timer *timer;
    struct waker *waker;
    source_fn on_done;
    void *arg;
    bool in_done, freed;
};

static void unref(struct git_job *s)
{
    if (atomic_fetch_sub(&s->owners, 1) == 1) {
        pthread_mutex_destroy(&s->lock);
        arena_free(s->arena);
        free(s);
    }
}

/* --- on the worker's thread --- */

static bool go_on(void *arg)
{
    struct git_job *s = arg;

    atomic_store(&s->alive_ms, mono_us() / 1000);
    pthread_mutex_lock(&s->lock);
    bool yes = !s->abandoned;
    pthread_mutex_unlock(&s->lock);
    return yes;
}

/* Its name tells repositories apart; the credentials are no part of it. */
static char *mirror_of(const struct git_job *s)
{
    char hex[DIGEST_HEX + 1];
    struct digest d;

    digest_of(s->url.name, strlen(s->url.name), &d);
    digest_hex(&d, hex);
    return xasprintf("%s/%.32s.git", s->mirrors, hex);
}

/* Another step or wf may be fetching into it. */
static int lock_mirror(struct git_job *s, const char *name, int *ret_fd, struct err *err)
{
    int rc;

    while ((rc = sources_lock(name, ret_fd, err)) == -ERR_BUSY && go_on(s)) {
        usleep(LOOK_AGAIN_US);
    }
    return rc;
}

static void take_found(struct git_job *s, const struct repo_found *found)
{
    struct source_facts *f = &s->facts;

    f->commit = arena_strdup(s->arena, found->commit);
    f->tree = arena_strdup(s->arena, found->id);
    f->kind = found->kind;
    f->exec = found->exec;
    source_tree_digest(f->tree, f->kind, f->exec, &f->digest);
    f->have_digest = true;
}

/* Of what lies at `repo`: the facts, and the files where they are wanted. */
static int read_repo(struct git_job *s, const char *repo, const char *revision, struct err *err)
{
    struct repo_found found;
    int rc = repo_find(repo, s->url.name, revision, s->url.path, &found, err);

    if (rc < 0) {
        return rc;
    }
    take_found(s, &found);
    if (s->head_only) {
        return 0;
    }
    if (s->sha256 && found.kind == 'd') {
        return err_set(err, ERR_INVALID, 0,
                       "`sha256` is for a file, and %s is a folder: pin it by a whole commit id "
                       "(@%.10s…)",
                       s->public_url, found.commit);
    }
    rc = fs_remove_tree(s->to, err);
    rc = rc < 0 ? rc : repo_check_out(repo, &found, s->to, err);
    rc = rc < 0 ? rc : source_count(s->to, true, &s->facts, err);
    if (rc == 0) {
        s->facts.exec = found.exec;
    }
    if (rc == 0 && s->sha256) {
        struct source_facts file = {.url = s->public_url};
        CLEANUP(cleanup_close) int fd = open(s->to, O_RDONLY | O_CLOEXEC);
        uint64_t size;
        rc = fd < 0 ? err_set(err, ERR_IO, errno, "cannot read '%s'", s->to)
                    : digest_fd(fd, &file.digest, &size, err);
        rc = rc < 0 ? rc : fetch_check_digest(&file, s->sha256, err);
    }
    return rc;
}

/* A repository of this machine. What is only in its work tree is not part of any commit; where that is surely what somebody looks at just now, it is told. */
static int fetch_here(struct git_job *s, struct err *err)
{
    const char *revision = s->commit ? s->commit : s->url.ref ? s->url.ref : "HEAD";
    struct repo_found head;
    int rc = read_repo(s, s->url.repo, revision, err);

    if (rc == 0 && repo_find(s->url.repo, s->url.name, "HEAD", s->url.path, &head, NULL) == 0 &&
        strcmp(head.commit, s->facts.commit) == 0) {
        CLEANUP(cleanup_free)
        char *path = s->url.path ? fs_join(s->url.repo, s->url.path) : xstrdup(s->url.repo);
        (void)repo_dirty(path, DIRTY_FILES, &s->facts.dirty, NULL);
    }
    return rc;
}

static int fetch_there(struct git_job *s, struct err *err)
{
    struct repo_remote r = {.url = s->url.url,
                            .name = s->url.name,
                            .ref = s->url.ref,
                            .user = s->url.user,
                            .password = s->url.password,
                            .go_on = go_on,
                            .arg = s};
    CLEANUP(cleanup_free) char *mirror = mirror_of(s);
    CLEANUP(cleanup_free) char *name = xasprintf("%s.lock", mirror);
    CLEANUP(cleanup_close) int lock = -1;
    char commit[REPO_ID_LEN + 1];
    int rc = 0;

    if (s->commit) {
        snprintf(commit, sizeof(commit), "%s", s->commit);
    } else {
        rc = repo_ask(&r, commit, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (s->head_only && s->has_known && text_eq(s->known.commit, commit)) {
        int64_t began = s->facts.began_at_ms;
        s->facts = s->known;
        s->facts.began_at_ms = began;
        s->facts.url = s->public_url;
        s->facts.path = NULL;
        return 0;
    }
    if (s->look_only) {
        return err_set(err, ERR_BUSY, 0, "%s has a commit that was not fetched yet", s->public_url);
    }
    rc = fs_mkdirs(s->mirrors, 0700, err);
    rc = rc < 0 ? rc : lock_mirror(s, name, &lock, err);
    rc = rc < 0 ? rc : repo_fetch(&r, commit, mirror, err);
    if (rc < 0) {
        return rc;
    }
    (void)futimens(lock, NULL); /* its last use, for housekeeping */
    return read_repo(s, mirror, commit, err);
}

static void *work(void *arg)
{
    struct git_job *s = arg;

    s->rc = s->url.repo ? fetch_here(s, &s->err) : fetch_there(s, &s->err);
    pthread_mutex_lock(&s->lock);
    s->done = true;
    if (!s->abandoned) {
        waker_wake(s->waker);
    }
    pthread_mutex_unlock(&s->lock);
    unref(s);
    return NULL;
}

/* --- on the loop's --- */

static void leave(struct git_fetch *f)
{
    pthread_mutex_lock(&f->s->lock);
    f->s->abandoned = true;
    pthread_mutex_unlock(&f->s->lock);
    timer_free(f->timer);
    waker_free(f->waker);
    unref(f->s);
    free(f);
}

static void drop(struct source_fetch *base)
{
    struct git_fetch *f = (struct git_fetch *)base;

    f->on_done = NULL;
    f->freed = true;
    if (!f->in_done) {
        leave(f);
    }
}

static void end(struct git_fetch *f, const struct err *err)
{
    source_fn fn = f->on_done;

    f->on_done = NULL;
    timer_stop(f->timer);
    if (fn) {
        f->in_done = true;
        fn(err ? NULL : &f->s->facts, err, f->arg);
        f->in_done = false;
    }
    if (f->freed) {
        leave(f);
    }
}

static void on_wake(void *arg)
{
    struct git_fetch *f = arg;

    pthread_mutex_lock(&f->s->lock);
    bool done = f->s->done;
    pthread_mutex_unlock(&f->s->lock);
    if (done && f->on_done) {
        end(f, f->s->rc < 0 ? &f->s->err : NULL);
    }
}

static void on_tick(void *arg)
{
    struct git_fetch *f = arg;
    struct err err;

    if (mono_us() / 1000 - atomic_load(&f->s->alive_ms) < f->s->stall_ms || f->s->url.repo) {
        return;
    }
    err_set(&err, ERR_TIMEOUT, 0, "cannot fetch %s: nothing came for %d s", f->s->public_url,
            f->s->stall_ms / 1000);
    end(f, &err);
}

static int prepare(struct git_job *s, const struct fetch_request *r, struct err *err)
{
    struct arena *a = s->arena;
    int rc = git_url_parse(r->url, arena_strdup(a, r->dir), a, &s->url, err);

    if (rc < 0) {
        return rc;
    }
    s->public_url = source_public_url(r->url, a);
    s->to = r->to ? arena_strdup(a, r->to) : NULL;
    s->mirrors = r->mirrors ? arena_strdup(a, r->mirrors) : NULL;
    s->commit = r->commit ? arena_strdup(a, r->commit) : NULL;
    s->sha256 = r->sha256 ? arena_strdup(a, r->sha256) : NULL;
    s->head_only = r->head_only;
    s->look_only = r->look_only;
    s->stall_ms = r->one_try ? LOOK_STALL_MS : FETCH_STALL_MS;
    if (r->auth.token && !s->url.password) {
        s->url.user = s->url.user ? s->url.user : "oauth2"; /* any will do for a token */
        s->url.password = arena_strdup(a, r->auth.token);
    }
    if (r->auth.password) {
        s->url.user = r->auth.user ? arena_strdup(a, r->auth.user) : s->url.user;
        s->url.password = arena_strdup(a, r->auth.password);
    }
    if (r->known) {
        s->has_known = true;
        source_copy_facts(r->known, a, &s->known);
    }
    s->facts = (struct source_facts){.url = s->public_url, .kind = 'd', .began_at_ms = now_ms()};
    return 0;
}

int fetch_git(struct loop *l, const struct fetch_request *r, source_fn on_done, void *arg,
              struct source_fetch **ret, struct err *err)
{
    struct git_job *s = xcalloc(1, sizeof(*s));
    pthread_attr_t detached;
    pthread_t thread;

    s->arena = arena_new();
    pthread_mutex_init(&s->lock, NULL);
    atomic_store(&s->owners, 1);
    atomic_store(&s->alive_ms, mono_us() / 1000);
    int rc = prepare(s, r, err);
    if (rc < 0) {
        unref(s);
        return rc;
    }
    struct git_fetch *f = xcalloc(1, sizeof(*f));
    *f = (struct git_fetch){.fetch = {drop}, .s = s, .on_done = on_done, .arg = arg};
    f->timer = timer_new(l, on_tick, f);
    f->waker = waker_new(l, on_wake, f);
    s->waker = f->waker;
    atomic_store(&s->owners, 2);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int sys = pthread_create(&thread, &detached, work, s);
    pthread_attr_destroy(&detached);
    if (sys != 0) {
        atomic_store(&s->owners, 1);
        leave(f);
        return err_set(err, ERR_INTERNAL, sys, "cannot start a thread for the git repository");
    }
    timer_start(f->timer, TICK_MS, TICK_MS);
    *ret = &f->fetch;
    return 0;
}
