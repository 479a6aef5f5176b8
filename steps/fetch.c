/* SPDX-License-Identifier: Apache-2.0 */
/* One file over HTTP, or one object of S3: a conditional request where an earlier fetch allows it, tried again where it failed for a while, taken up where the connection broke (only what is
 * surely the same, by If-Range), digested and counted on the pool. States: asking -> (broken -> waiting -> asking)* -> reading -> done. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"
#include "base/units.h"
#include "steps/fetch_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A Last-Modified says nothing about changes within the same second, or on a slow clock (RFC 9110, 8.8.2.2). */
#define SETTLED_S 60
/* A server that names a time is waited for so long at most. */
#define ASKED_TO_WAIT_MAX_MS 30000
#define PAGE_MAX 8192

struct file_fetch {
    struct source_fetch fetch; /* first */
    struct loop *loop;
    struct http *http;
    struct http_call *call;
    struct timer *timer;
    struct arena *arena;
    char *url, *to, *bearer;
    struct s3 *s3; /* NULL: HTTP */
    char *bucket, *key;
    const char *sha256, *user, *password;
    struct source_facts known, facts;
    bool has_known, head_only, one_try, not_modified, write_failed, freed, reading;
    bool other_range; /* the server went on somewhere else than asked */
    bool has_length;
    int fd, tries, status;
    int64_t wait_ms; /* as the server asked */
    uint64_t have;   /* bytes of the file so far */
    uint64_t length; /* of the whole, where the server said so */
    struct str page; /* what an error's answer says */
    source_fn on_done;
    void *arg;
    struct err err;
};

static void ask(struct file_fetch *f);

static void really_free(struct file_fetch *f)
{
    timer_free(f->timer);
    if (f->fd >= 0) {
        close(f->fd);
    }
    arena_free(f->arena);
    s3_free(f->s3);
    sb_done(&f->page);
    free(f->bearer);
    free(f->bucket);
    free(f->key);
    free(f->url);
    free(f->to);
    free(f);
}

static void drop(struct source_fetch *base)
{
    struct file_fetch *f = (struct file_fetch *)base;

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

static void end(struct file_fetch *f, bool ok)
{
    source_fn fn = f->on_done;

    f->on_done = NULL;
    if (fn) {
        fn(ok ? &f->facts : NULL, ok ? NULL : &f->err, f->arg);
    }
}

/* --- the file is complete --- */

int fetch_check_digest(const struct source_facts *f, const char *sha256, struct err *err)
{
    struct digest want;

    if (sha256 && digest_parse(sha256, strlen(sha256), &want) && !digest_eq(&want, &f->digest)) {
        char hex[DIGEST_HEX + 1];
        digest_hex(&f->digest, hex);
        return err_set(err, ERR_INVALID, 0, "%s has the sha256 %s, and `sha256` says %s", f->url,
                       hex, sha256);
    }
    return 0;
}

static void on_pool(void *arg)
{
    struct file_fetch *f = arg;
    uint64_t size = 0;

    if (lseek(f->fd, 0, SEEK_SET) != 0 || digest_fd(f->fd, &f->facts.digest, &size, &f->err) != 0 ||
        source_count(f->to, true, &f->facts, &f->err) != 0) {
        return;
    }
    f->facts.size_unknown = false;
    f->facts.have_digest = true;
    fetch_check_digest(&f->facts, f->sha256, &f->err);
}

static void on_pool_done(void *arg)
{
    struct file_fetch *f = arg;

    f->reading = false;
    close(f->fd); /* what somebody could still write to is not taken as an output */
    f->fd = -1;
    if (f->freed) {
        really_free(f);
        return;
    }
    end(f, f->err.code == ERR_NONE);
}

/* --- an answer --- */

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

/* What a whole answer says of the content. */
static void take_headers(struct file_fetch *f, const struct http_call *c)
{
    const char *etag = http_header(c, "ETag"), *modified = http_header(c, "Last-Modified");
    const char *length = http_header(c, "Content-Length");
    int64_t at = http_time(modified), date = http_time(http_header(c, "Date"));
    bool settled = at >= 0 && date >= at + SETTLED_S;

    f->facts.etag = etag ? arena_strdup(f->arena, etag) : NULL;
    f->facts.last_modified = settled ? arena_strdup(f->arena, modified) : NULL;
    f->has_length = length != NULL;
    f->length = length ? strtoull(length, NULL, 10) : 0;
    f->facts.bytes = f->length;
    f->facts.size_unknown = !f->has_length;
    f->facts.files = 1;
}

/* Many servers answer a range without a look at If-Range: what they say of the whole must be what was said at its beginning. */
static bool of_the_same(const struct file_fetch *f, const struct http_call *c)
{
    const char *etag = http_header(c, "ETag"), *modified = http_header(c, "Last-Modified");

    return strong(f->facts.etag) ? !etag || text_eq(etag, f->facts.etag)
                                 : !modified || text_eq(modified, f->facts.last_modified);
}

/* "bytes 100-199/200" goes on where we are. */
static bool goes_on(const struct file_fetch *f, const struct http_call *c)
{
    const char *range = http_header(c, "Content-Range");
    char *end;

    if (f->have == 0 || !range || strncmp(range, "bytes ", 6) != 0 || !of_the_same(f, c)) {
        return false;
    }
    uint64_t from = strtoull(range + 6, &end, 10);
    const char *whole = strchr(range, '/');
    return *end == '-' && from == f->have &&
           (!f->has_length || !whole || whole[1] == '*' ||
            strtoull(whole + 1, NULL, 10) == f->length);
}

static int64_t asked_to_wait(const struct http_call *c)
{
    const char *text = http_header(c, "Retry-After");
    int64_t ms = text ? strtoll(text, NULL, 10) * 1000 : 0;

    return ms < 0 ? 0 : ms > ASKED_TO_WAIT_MAX_MS ? ASKED_TO_WAIT_MAX_MS : ms;
}

/* Only now: what an earlier fetch left there is good as long as the server says that nothing changed. */
static int begin_file(struct file_fetch *f)
{
    if (f->fd < 0) {
        f->fd = open(f->to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    }
    return f->fd >= 0 && ftruncate(f->fd, 0) == 0 && lseek(f->fd, 0, SEEK_SET) == 0
               ? 0
               : err_set(&f->err, ERR_IO, errno, "cannot write '%s'", f->to);
}

static bool on_headers(const struct http_call *c, void *arg)
{
    struct file_fetch *f = arg;

    f->status = http_status(c);
    f->not_modified = f->status == 304;
    f->wait_ms = asked_to_wait(c);
    if (f->status == 206 && !goes_on(f, c)) {
        f->other_range = true;
        return false;
    }
    if (f->status == 200) {
        take_headers(f, c);
        f->have = 0;
        f->write_failed = !f->head_only && begin_file(f) < 0;
    }
    return !f->write_failed;
}

static bool on_data(const void *data, size_t len, void *arg)
{
    struct file_fetch *f = arg;

    if (f->status != 200 && f->status != 206) {
        if (f->page.len + len <= PAGE_MAX) {
            sb_add(&f->page, data, len);
        }
        return true;
    }
    if (fs_write_all(f->fd, data, len, &f->err) != 0) {
        f->write_failed = true;
        return false;
    }
    f->have += len;
    return true;
}

/* --- what an answer means --- */

bool fetch_may_pass(int status)
{
    return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
           status == 503 || status == 504;
}

/* What is here is the beginning of what a further answer would go on with. */
static bool can_go_on(const struct file_fetch *f)
{
    return f->have > 0 && (strong(f->facts.etag) || f->facts.last_modified);
}

/* libcurl takes a length that it cannot read for none, and the end of the connection for the end of the file. */
static bool of_other_length(const struct file_fetch *f)
{
    return !f->head_only && (f->status == 200 || f->status == 206) && f->has_length &&
           f->have != f->length;
}

/* True: it is tried again. */
static bool try_again(struct file_fetch *f, const struct http_response *r)
{
    bool net = r->err ? r->err->code == ERR_NET || r->err->code == ERR_TIMEOUT : of_other_length(f);

    if (!(net || f->other_range || fetch_may_pass(f->status) ||
          (f->status == 416 && f->have > 0)) ||
        f->one_try || ++f->tries >= FETCH_TRIES) {
        return false;
    }
    if (f->other_range || f->status == 416 || !can_go_on(f)) {
        f->have = 0;
    }
    int64_t wait = (int64_t)FETCH_WAIT_MS << f->tries;
    f->other_range = false;
    timer_start(f->timer, wait > f->wait_ms ? wait : f->wait_ms, 0);
    return true;
}

/* Nothing new: what was learnt earlier holds. */
static void take_known(struct file_fetch *f)
{
    const char *url = f->facts.url;
    int64_t began = f->facts.began_at_ms;

    f->facts = f->known;
    f->facts.url = url;
    f->facts.began_at_ms = began;
    f->facts.path = NULL;
}

static void refused(struct file_fetch *f)
{
    CLEANUP(sb_done) struct str words = {0};
    bool denied = f->status == 401 || f->status == 403;

    if (f->s3) {
        s3_refusal(sb_text(&f->page), f->page.len, &words);
    }
    err_set(&f->err,
            f->status == 404 ? ERR_NOT_FOUND
            : denied         ? ERR_DENIED
                             : ERR_NET,
            0, "cannot fetch %s: the server answered %d%s%s%s", f->facts.url, f->status,
            words.len > 0 ? ", " : "", sb_text(&words),
            !denied ? ""
            : f->s3 ? "; the keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            : f->bearer || f->user ? ""
                                   : "; hand a token to the step as the secret SOURCE_TOKEN");
    end(f, false);
}

static void on_answer(struct http_call *c, const struct http_response *r, void *arg)
{
    struct file_fetch *f = arg;

    (void)c;
    f->call = NULL;
    if (f->write_failed) {
        if (f->err.code == ERR_NONE) {
            err_set(&f->err, ERR_IO, 0, "cannot write '%s'", f->to);
        }
        end(f, false);
    } else if (try_again(f, r)) {
        return;
    } else if (r->err) {
        err_set(&f->err, r->err->code, 0, "cannot fetch %s: %s", f->facts.url, r->reason);
        end(f, false);
    } else if (of_other_length(f)) {
        err_set(
            &f->err, ERR_NET, 0,
            "cannot fetch %s: the server sent %llu bytes, and its Content-Length says otherwise",
            f->facts.url, (unsigned long long)f->have);
        end(f, false);
    } else if (f->not_modified && f->has_known) {
        take_known(f);
        end(f, true);
    } else if (f->status != 200 && f->status != 206) {
        refused(f);
    } else if (f->head_only) {
        if (f->has_known && strong(f->known.etag) && text_eq(f->known.etag, f->facts.etag)) {
            take_known(f);
        }
        end(f, true);
    } else {
        f->reading = true;
        loop_work(f->loop, on_pool, on_pool_done, f);
    }
}

/* --- one request --- */

static size_t conditions(struct file_fetch *f, const char **headers)
{
    size_t n = 0;

    if (f->have > 0) {
        headers[n++] = arena_printf(f->arena, "If-Range: %s",
                                    strong(f->facts.etag) ? f->facts.etag : f->facts.last_modified);
    } else if (f->has_known && strong(f->known.etag)) {
        headers[n++] = arena_printf(f->arena, "If-None-Match: %s", f->known.etag);
    } else if (f->has_known && !f->known.etag && f->known.last_modified) {
        headers[n++] = arena_printf(f->arena, "If-Modified-Since: %s", f->known.last_modified);
    }
    if (f->bearer) {
        headers[n++] = f->bearer;
    }
    return n;
}

static void ask(struct file_fetch *f)
{
    const char *headers[4] = {NULL}, *method = f->head_only ? "HEAD" : "GET";
    struct s3_call s3 = {0};
    struct http_request r = {
        .url = f->url, .user = f->user, .password = f->password, .follow = true};
    int rc = 0;

    f->status = 0;
    f->not_modified = false;
    sb_clear(&f->page);
    (void)conditions(f, headers);
    if (f->s3) {
        rc = s3_object(f->s3, method, f->bucket, f->key, NULL, headers, &s3, &f->err);
        r = s3.http;
    } else {
        r.headers = headers;
    }
    r.method = method;
    r.resume_from = f->have;
    r.connect_timeout_ms = f->one_try ? LOOK_CONNECT_MS : 0;
    r.stall_timeout_ms = f->one_try ? LOOK_STALL_MS : FETCH_STALL_MS;
    r.stream = true;
    r.on_data = on_data;
    r.on_headers = on_headers;
    rc = rc == 0 ? http_start(f->http, &r, on_answer, f, &f->call, &f->err) : rc;
    s3_call_done(&s3);
    if (rc != 0) {
        end(f, false);
    }
}

static void set_auth(struct file_fetch *f, const struct source_auth *auth)
{
    f->user = auth->user;
    f->password = auth->password;
    if (auth->token && !f->user) {
        f->bearer = xasprintf("Authorization: Bearer %s", auth->token);
    }
}

static int open_s3(struct file_fetch *f, const struct fetch_request *r, struct err *err)
{
    int rc = s3_parse(r->url, &f->bucket, &f->key, err);

    return rc < 0 ? rc : s3_new(&f->s3, err);
}

int fetch_file(struct loop *l, struct http *h, const struct fetch_request *r, source_fn on_done,
               void *arg, struct source_fetch **ret, struct err *err)
{
    struct file_fetch *f = xcalloc(1, sizeof(*f));

    f->fetch.free = drop;
    f->loop = l;
    f->http = h;
    f->arena = arena_new();
    f->url = xstrdup(r->url);
    f->to = r->to ? xstrdup(r->to) : NULL;
    f->sha256 = r->sha256 ? arena_strdup(f->arena, r->sha256) : NULL;
    f->head_only = r->head_only;
    f->one_try = r->one_try;
    f->on_done = on_done;
    f->arg = arg;
    f->fd = -1;
    f->timer = timer_new(l, on_timer, f);
    set_auth(f, &r->auth);
    f->facts = (struct source_facts){
        .url = source_public_url(r->url, f->arena), .kind = 'f', .began_at_ms = now_ms()};
    if (r->known) {
        f->has_known = true;
        source_copy_facts(r->known, f->arena, &f->known);
    }
    int rc = source_kind_of(r->url) == SOURCE_S3 ? open_s3(f, r, err) : 0;
    if (rc < 0) {
        really_free(f);
        return rc;
    }
    *ret = &f->fetch;
    timer_start(f->timer, 0, 0);
    return 0;
}

/* --- all kinds --- */

static bool is_s3_folder(const char *url)
{
    const char *key = strchr(url + strlen("s3://"), '/');

    return !key || key[1] == '\0' || text_ends(url, "/");
}

int source_fetch(struct loop *l, struct http *h, const struct fetch_request *r, source_fn on_done,
                 void *arg, struct source_fetch **ret, struct err *err)
{
    switch (source_kind_of(r->url)) {
    case SOURCE_GIT:
        return fetch_git(l, r, on_done, arg, ret, err);
    case SOURCE_S3:
        return is_s3_folder(r->url) ? fetch_s3_folder(l, h, r, on_done, arg, ret, err)
                                    : fetch_file(l, h, r, on_done, arg, ret, err);
    default:
        return fetch_file(l, h, r, on_done, arg, ret, err);
    }
}

void source_fetch_free(struct source_fetch *f)
{
    if (f) {
        f->free(f);
    }
}
