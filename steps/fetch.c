/* SPDX-License-Identifier: Apache-2.0 */
/* One file over HTTP: a conditional request where an earlier fetch allows it, taken up again where the connection broke (only with a strong ETag, by If-Range), digested and counted
 * on the pool. States: asking -> (broken -> waiting -> asking)* -> reading -> done. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "steps/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TRIES 5
/* A Last-Modified says nothing about changes within the same second, or on a slow clock (RFC 9110, 8.8.2.2). */
#define SETTLED_S 60

struct source_fetch {
    struct loop *loop;
    struct http *http;
    struct http_call *call;
    struct timer *timer;
    struct arena *arena;
    char *url, *to;
    const char *sha256;
    struct source_facts known, facts;
    bool has_known, head_only, not_modified, write_failed, freed, reading;
    int fd, tries, status;
    uint64_t have; /* bytes of the file so far */
    source_fn on_done;
    void *arg;
    struct err err;
};

static void ask(struct source_fetch *f);

static void really_free(struct source_fetch *f)
{
    timer_free(f->timer);
    if (f->fd >= 0) {
        close(f->fd);
    }
    arena_free(f->arena);
    free(f->url);
    free(f->to);
    free(f);
}

void source_fetch_free(struct source_fetch *f)
{
    if (!f) {
        return;
    }
    if (f->call) {
        http_abort(f->call);
        f->call = NULL;
    }
    f->freed = true;
    f->on_done = NULL;
    if (!f->reading) { /* the pool still has it otherwise */
        really_free(f);
    }
}

static void end(struct source_fetch *f, bool ok)
{
    source_fn fn = f->on_done;

    f->on_done = NULL;
    if (fn) {
        fn(ok ? &f->facts : NULL, ok ? NULL : &f->err, f->arg);
    }
}

/* --- the file is complete --- */

static int check_digest(struct source_fetch *f)
{
    struct digest want;

    if (f->sha256 && digest_parse(f->sha256, strlen(f->sha256), &want) &&
        !digest_eq(&want, &f->facts.digest)) {
        char hex[DIGEST_HEX + 1];
        digest_hex(&f->facts.digest, hex);
        return err_set(&f->err, ERR_INVALID, 0, "%s has the sha256 %s, and `sha256` says %s",
                       f->facts.url, hex, f->sha256);
    }
    return 0;
}

static void on_pool(void *arg)
{
    struct source_fetch *f = arg;
    uint64_t size = 0;

    if (lseek(f->fd, 0, SEEK_SET) != 0 || digest_fd(f->fd, &f->facts.digest, &size, &f->err) != 0 ||
        source_count(f->to, true, &f->facts, &f->err) != 0) {
        return;
    }
    check_digest(f);
}

static void on_pool_done(void *arg)
{
    struct source_fetch *f = arg;

    f->reading = false;
    close(f->fd); /* what somebody could still write to is not taken as an output */
    f->fd = -1;
    if (f->freed) {
        really_free(f);
        return;
    }
    end(f, f->err.code == ERR_NONE);
}

/* --- one request --- */

static void on_timer(void *arg)
{
    ask(arg);
}

static bool strong(const char *etag)
{
    return etag && *etag == '"';
}

static int64_t http_time(const char *text)
{
    struct tm tm = {0};

    return text && strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) ? (int64_t)timegm(&tm) : -1;
}

static bool on_headers(const struct http_call *c, void *arg)
{
    struct source_fetch *f = arg;
    int status = http_status(c);

    f->status = status;
    f->not_modified = status == 304;
    if (status == 200 || f->head_only) {
        const char *etag = http_header(c, "ETag"), *modified = http_header(c, "Last-Modified");
        const char *length = http_header(c, "Content-Length");
        int64_t at = http_time(modified), date = http_time(http_header(c, "Date"));
        f->facts.etag = etag ? arena_strdup(f->arena, etag) : NULL;
        bool settled = at >= 0 && date >= at + SETTLED_S;
        f->facts.last_modified = settled ? arena_strdup(f->arena, modified) : NULL;
        f->facts.bytes = length ? strtoull(length, NULL, 10) : 0;
        f->facts.files = 1;
        f->have = 0;
        if (!f->head_only && (ftruncate(f->fd, 0) != 0 || lseek(f->fd, 0, SEEK_SET) != 0)) {
            f->write_failed = true;
        }
    }
    return !f->write_failed;
}

static bool on_data(const void *data, size_t len, void *arg)
{
    struct source_fetch *f = arg;

    if (f->status != 200 && f->status != 206) {
        return true; /* an error's page */
    }
    if (fs_write_all(f->fd, data, len, &f->err) != 0) {
        f->write_failed = true;
        return false;
    }
    f->have += len;
    return true;
}

static void on_answer(struct http_call *c, const struct http_response *r, void *arg)
{
    struct source_fetch *f = arg;

    (void)c;
    f->call = NULL;
    if (f->write_failed) {
        if (f->err.code == ERR_NONE) {
            err_set(&f->err, ERR_IO, 0, "cannot write '%s'", f->to);
        }
        end(f, false);
    } else if (r->err && f->have > 0 && strong(f->facts.etag) && ++f->tries < TRIES) {
        timer_start(f->timer, 500L << f->tries, 0);
    } else if (r->err) {
        err_set(&f->err, r->err->code, 0, "cannot fetch %s: %s", f->facts.url, r->err->msg);
        end(f, false);
    } else if (f->not_modified && f->has_known) {
        const char *url = f->facts.url;
        int64_t began = f->facts.began_at_ms;
        f->facts = f->known;
        f->facts.url = url;
        f->facts.began_at_ms = began;
        f->facts.path = NULL;
        end(f, true);
    } else if (f->status != 200 && f->status != 206) {
        err_set(&f->err, f->status == 404 ? ERR_NOT_FOUND : ERR_NET, 0,
                "cannot fetch %s: the server answered %d", f->facts.url, f->status);
        end(f, false);
    } else if (f->head_only) {
        end(f, true);
    } else {
        f->reading = true;
        loop_work(f->loop, on_pool, on_pool_done, f);
    }
}

static void ask(struct source_fetch *f)
{
    const char *headers[4] = {NULL};
    size_t n = 0;

    if (f->have > 0) {
        headers[n++] = arena_printf(f->arena, "If-Range: %s", f->facts.etag);
    } else if (f->has_known && strong(f->known.etag)) {
        headers[n++] = arena_printf(f->arena, "If-None-Match: %s", f->known.etag);
    } else if (f->has_known && !f->known.etag && f->known.last_modified) {
        headers[n++] = arena_printf(f->arena, "If-Modified-Since: %s", f->known.last_modified);
    }
    struct http_request r = {.method = f->head_only ? "HEAD" : "GET",
                             .url = f->url,
                             .headers = headers,
                             .follow = true,
                             .resume_from = f->have,
                             .stream = true,
                             .on_data = on_data,
                             .on_headers = on_headers};
    if (http_start(f->http, &r, on_answer, f, &f->call, &f->err) != 0) {
        end(f, false);
    }
}

int source_fetch(struct loop *l, struct http *h, const struct fetch_request *r, source_fn on_done,
                 void *arg, struct source_fetch **ret, struct err *err)
{
    struct source_fetch *f = xcalloc(1, sizeof(*f));

    f->loop = l;
    f->http = h;
    f->arena = arena_new();
    f->url = xstrdup(r->url);
    f->to = xstrdup(r->to);
    f->sha256 = r->sha256 ? arena_strdup(f->arena, r->sha256) : NULL;
    f->head_only = r->head_only;
    f->on_done = on_done;
    f->arg = arg;
    f->fd = -1;
    f->timer = timer_new(l, on_timer, f);
    f->facts = (struct source_facts){
        .url = source_public_url(r->url, f->arena), .kind = 'f', .began_at_ms = now_ms()};
    if (r->known) {
        f->has_known = true;
        f->known = *r->known;
        f->known.etag = r->known->etag ? arena_strdup(f->arena, r->known->etag) : NULL;
        f->known.last_modified =
            r->known->last_modified ? arena_strdup(f->arena, r->known->last_modified) : NULL;
    }
    if (!r->head_only) {
        f->fd = open(r->to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (f->fd < 0) {
            int rc = err_set(err, ERR_IO, errno, "cannot write '%s'", r->to);
            really_free(f);
            return rc;
        }
    }
    *ret = f;
    timer_start(f->timer, 0, 0);
    return 0;
}
