/* SPDX-License-Identifier: Apache-2.0 */
/* All S3 objects below a prefix, as a folder. First the list: each object's key, size and ETag say what there is, so their digest stands for the content and nothing is read to learn that
 * nothing changed. Then the objects, a few at a time, each only if it still has its ETag. States: listing (page by page) -> fetching -> counting -> done. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "steps/fetch_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    AT_ONCE = 8,
    PAGE_MAX = 8 << 20,
    OBJECTS_MAX = 1000000,
};

struct object {
    const char *key, *etag;
    uint64_t size;
};
struct s3_fetch;
struct transfer {
    struct s3_fetch *f;
    struct http_call *call;
    struct timer *timer;
    const struct object *object; /* NULL: idle */
    int fd, tries;
    bool write_failed;
};
struct s3_fetch {
    struct source_fetch fetch; /* first */
    struct loop *loop;
    struct http *http;
    struct s3 *s3;
    struct arena *arena;
    char *bucket, *prefix, *token;
    const char *to;
    VEC(struct object) objects;
    size_t next, left; /* objects to begin, to end */
    struct http_call *listing;
    struct timer *timer;
    int tries;
    struct transfer transfers[AT_ONCE];
    struct source_facts facts;
    bool head_only, one_try, freed, counting, beginning;
    source_fn on_done;
    void *arg;
    struct err err;
};

static void list_page(struct s3_fetch *f);
static void begin_next(struct transfer *t);

/* --- life --- */

static void stop_transfer(struct transfer *t)
{
    if (t->call) {
        http_abort(t->call);
        t->call = NULL;
    }
    if (t->timer) {
        timer_stop(t->timer);
    }
    if (t->fd >= 0) {
        close(t->fd);
        t->fd = -1;
    }
    t->object = NULL;
}

static void really_free(struct s3_fetch *f)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        timer_free(f->transfers[i].timer);
    }
    timer_free(f->timer);
    vec_done(&f->objects);
    s3_free(f->s3);
    free(f->bucket);
    free(f->prefix);
    free(f->token);
    arena_free(f->arena);
    free(f);
}

static void drop(struct source_fetch *base)
{
    struct s3_fetch *f = (struct s3_fetch *)base;

    f->freed = true;
    f->on_done = NULL;
    if (f->listing) {
        http_abort(f->listing);
        f->listing = NULL;
    }
    for (size_t i = 0; i < AT_ONCE; i++) {
        stop_transfer(&f->transfers[i]);
    }
    if (!f->counting && !f->beginning) { /* the pool, or listed(), still has it otherwise */
        really_free(f);
    }
}

static void end(struct s3_fetch *f, bool ok)
{
    source_fn fn = f->on_done;

    f->on_done = NULL;
    for (size_t i = 0; !ok && i < AT_ONCE; i++) {
        stop_transfer(&f->transfers[i]);
    }
    if (fn) {
        fn(ok ? &f->facts : NULL, ok ? NULL : &f->err, f->arg);
    }
}

static bool passing(const struct http_response *r)
{
    return r->err ? r->err->code == ERR_NET || r->err->code == ERR_TIMEOUT
                  : fetch_may_pass(r->status);
}

static void refused(struct s3_fetch *f, const char *what, const struct http_response *r)
{
    CLEANUP(sb_done) struct str words = {0};

    if (r->err) {
        err_set(&f->err, r->err->code, 0, "cannot fetch %s: %s", what, r->reason);
    } else {
        s3_refusal(sb_text(&r->body), r->body.len, &words);
        err_set(&f->err, r->status == 403 ? ERR_DENIED : ERR_NET, 0,
                "cannot fetch %s: the server answered %d%s%s%s", what, r->status,
                words.len > 0 ? ", " : "", sb_text(&words),
                r->status == 412 ? ": it changed while it was fetched"
                : r->status == 403
                    ? "; the keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    : "");
    }
    end(f, false);
}

/* --- the objects --- */

static void count(void *arg)
{
    struct s3_fetch *f = arg;

    (void)source_count(f->to, true, &f->facts, &f->err);
}

static void on_counted(void *arg)
{
    struct s3_fetch *f = arg;

    f->counting = false;
    if (f->freed) {
        really_free(f);
    } else {
        end(f, f->err.code == ERR_NONE);
    }
}

static bool on_data(const void *data, size_t len, void *arg)
{
    struct transfer *t = arg;

    t->write_failed = http_status(t->call) == 200 && fs_write_all(t->fd, data, len, &t->f->err) < 0;
    return !t->write_failed;
}

static void on_object(struct http_call *c, const struct http_response *r, void *arg)
{
    struct transfer *t = arg;
    struct s3_fetch *f = t->f;

    (void)c;
    t->call = NULL;
    if (t->write_failed) {
        end(f, false);
    } else if (passing(r) && ++t->tries < FETCH_TRIES) {
        timer_start(t->timer, (int64_t)FETCH_WAIT_MS << t->tries, 0);
    } else if (r->err || r->status != 200) {
        CLEANUP(cleanup_free) char *name = xasprintf("s3://%s/%s", f->bucket, t->object->key);
        refused(f, name, r);
    } else {
        close(take_fd(&t->fd));
        t->object = NULL;
        f->left--;
        begin_next(t);
    }
}

static void ask_object(void *arg)
{
    struct transfer *t = arg;
    struct s3_fetch *f = t->f;
    CLEANUP(cleanup_free) char *same = xasprintf("If-Match: %s", t->object->etag);
    const char *extra[] = {same, NULL};
    struct s3_call c;

    if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) != 0) {
        err_set(&f->err, ERR_IO, errno, "cannot write below '%s'", f->to);
        end(f, false);
        return;
    }
    int rc = s3_object(f->s3, "GET", f->bucket, t->object->key, NULL, extra, &c, &f->err);
    if (rc == 0) {
        c.http.stream = true;
        c.http.on_data = on_data;
        c.http.stall_timeout_ms = FETCH_STALL_MS;
        rc = http_start(f->http, &c.http, on_object, t, &t->call, &f->err);
        s3_call_done(&c);
    }
    if (rc < 0) {
        end(f, false);
    }
}

static int open_object(struct s3_fetch *f, const struct object *o, int *ret_fd)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", f->to, o->key + strlen(f->prefix));
    CLEANUP(cleanup_free) char *dir = fs_dirname(path);

    if (fs_mkdirs(dir, 0755, &f->err) < 0) {
        return -1;
    }
    *ret_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return *ret_fd >= 0 ? 0
                        : err_set(&f->err, ERR_IO, errno,
                                  "cannot write '%s': two objects need this name", path);
}

static void begin_next(struct transfer *t)
{
    struct s3_fetch *f = t->f;

    if (f->left == 0) {
        f->counting = true;
        loop_work(f->loop, count, on_counted, f);
    } else if (f->next < f->objects.len) {
        t->object = &f->objects.items[f->next++];
        t->tries = 0;
        if (open_object(f, t->object, &t->fd) < 0) {
            end(f, false);
        } else {
            ask_object(t);
        }
    }
}

/* --- the list --- */

static void sum_up(struct s3_fetch *f)
{
    CLEANUP(sb_done) struct str text = {0};
    char hex[DIGEST_HEX + 1];

    sb_puts(&text, "wf-s3-1\n");
    f->facts.bytes = 0;
    for (size_t i = 0; i < f->objects.len; i++) {
        const struct object *o = &f->objects.items[i];
        sb_printf(&text, "%s %llu %zu %s\n", o->etag, (unsigned long long)o->size, strlen(o->key),
                  o->key + strlen(f->prefix));
        f->facts.bytes += o->size;
    }
    f->facts.files = f->objects.len;
    digest_of(sb_text(&text), text.len, &f->facts.digest);
    f->facts.have_digest = true;
    digest_hex(&f->facts.digest, hex);
    f->facts.etag = arena_printf(f->arena, "\"%s\"", hex);
}

static void listed(struct s3_fetch *f)
{
    if (f->objects.len == 0) {
        err_set(&f->err, ERR_NOT_FOUND, 0, "%s holds nothing", f->facts.url);
        end(f, false);
        return;
    }
    sum_up(f);
    if (f->head_only) {
        end(f, true);
        return;
    }
    if (fs_remove_tree(f->to, &f->err) < 0 || fs_mkdirs(f->to, 0755, &f->err) < 0) {
        end(f, false);
        return;
    }
    f->left = f->objects.len;
    f->beginning = true;
    for (size_t i = 0; i < AT_ONCE && f->on_done && f->next < f->objects.len; i++) {
        begin_next(&f->transfers[i]);
    }
    f->beginning = false;
    if (f->freed) {
        really_free(f);
    }
}

/* Keys that cannot be names of files are refused; those that end in '/' only mark folders. */
static int on_item(const struct s3_item *i, void *arg, struct err *err)
{
    struct s3_fetch *f = arg;
    CLEANUP(sb_done) struct str clean = {0};
    const char *name;

    if (!text_starts(i->key, f->prefix)) {
        return err_set(err, ERR_INVALID, 0, "the list of %s names '%s', which is not below it",
                       f->facts.url, i->key);
    }
    name = i->key + strlen(f->prefix);
    if (*name == '\0' || text_ends(name, "/")) {
        return 0;
    }
    if (!fs_clean_relative(name, &clean) || strcmp(sb_text(&clean), name) != 0) {
        return err_set(err, ERR_INVALID, 0,
                       "the object '%s' of %s cannot be a file: name a prefix without it", i->key,
                       f->facts.url);
    }
    if (f->objects.len == OBJECTS_MAX) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "%s holds more than %d objects: name a longer prefix", f->facts.url,
                       OBJECTS_MAX);
    }
    *vec_push(&f->objects) = (struct object){.key = arena_strdup(f->arena, i->key),
                                             .etag = arena_strdup(f->arena, i->etag),
                                             .size = i->size};
    return 0;
}

static void on_page(struct http_call *c, const struct http_response *r, void *arg)
{
    struct s3_fetch *f = arg;
    char *token = NULL;

    (void)c;
    f->listing = NULL;
    if (passing(r) && !f->one_try && ++f->tries < FETCH_TRIES) {
        timer_start(f->timer, (int64_t)FETCH_WAIT_MS << f->tries, 0);
    } else if (r->err || r->status != 200) {
        refused(f, f->facts.url, r);
    } else if (s3_list_read(sb_text(&r->body), r->body.len, on_item, f, &token, &f->err) < 0) {
        end(f, false);
    } else {
        free(f->token);
        f->token = token;
        f->tries = 0;
        if (token) {
            list_page(f);
        } else {
            listed(f);
        }
    }
}

static void list_page(struct s3_fetch *f)
{
    struct s3_call c;
    int rc = s3_list(f->s3, f->bucket, f->prefix, f->token, &c, &f->err);

    if (rc == 0) {
        c.http.max_body = PAGE_MAX;
        c.http.connect_timeout_ms = f->one_try ? LOOK_CONNECT_MS : 0;
        c.http.stall_timeout_ms = f->one_try ? LOOK_STALL_MS : FETCH_STALL_MS;
        rc = http_start(f->http, &c.http, on_page, f, &f->listing, &f->err);
        s3_call_done(&c);
    }
    if (rc < 0) {
        end(f, false);
    }
}

static void on_timer(void *arg)
{
    list_page(arg);
}

int fetch_s3_folder(struct loop *l, struct http *h, const struct fetch_request *r,
                    source_fn on_done, void *arg, struct source_fetch **ret, struct err *err)
{
    struct s3_fetch *f = xcalloc(1, sizeof(*f));

    *f = (struct s3_fetch){.fetch = {drop},
                           .loop = l,
                           .http = h,
                           .arena = arena_new(),
                           .head_only = r->head_only,
                           .one_try = r->one_try};
    f->on_done = on_done;
    f->arg = arg;
    f->to = r->to ? arena_strdup(f->arena, r->to) : NULL;
    f->facts = (struct source_facts){
        .url = source_public_url(r->url, f->arena), .kind = 'd', .began_at_ms = now_ms()};
    f->timer = timer_new(l, on_timer, f);
    for (size_t i = 0; i < AT_ONCE; i++) {
        struct transfer *t = &f->transfers[i];
        *t = (struct transfer){.f = f, .fd = -1};
        t->timer = timer_new(l, ask_object, t);
    }
    int rc = s3_parse(r->url, &f->bucket, &f->prefix, err);
    rc = rc < 0 ? rc : s3_new(&f->s3, err);
    if (rc == 0 && r->sha256) {
        rc = err_set(err, ERR_INVALID, 0, "`sha256` is for a file, and %s is a folder",
                     f->facts.url);
    }
    if (rc < 0) {
        really_free(f);
        return rc;
    }
    *ret = &f->fetch;
    timer_start(f->timer, 0, 0);
    return 0;
}
