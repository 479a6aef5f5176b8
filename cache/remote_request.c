/* SPDX-License-Identifier: Apache-2.0 */
/* The seam: what a transfer looks like as a request to an HTTP server or to S3. */
#include "base/err.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"
#include "cache/remote_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- the URL --- */

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "%40" -> "@"; owned by the caller. */
static char *unescape(const char *text, size_t len)
{
    struct str out = {0};

    for (size_t i = 0; i < len; i++) {
        int high = i + 2 < len ? digit_of(text[i + 1]) : -1;
        int low = high >= 0 ? digit_of(text[i + 2]) : -1;
        if (text[i] == '%' && low >= 0 && (high | low) != 0) {
            sb_putc(&out, (char)(high * 16 + low));
            i += 2;
        } else {
            sb_putc(&out, text[i]);
        }
    }
    return sb_take(&out);
}

static int parse_http(struct remote *r, const char *url, struct err *err)
{
    const char *authority = strstr(url, "://") + 3;
    size_t len = strcspn(authority, "/?#");
    const char *at = memrchr(authority, '@', len);

    if (strpbrk(authority, "?#")) {
        return err_set(err, ERR_USAGE, 0,
                       "the shared cache's URL %s must end with a path, without ? and #", r->name);
    }
    if (at) {
        const char *colon = memchr(authority, ':', (size_t)(at - authority));
        r->user = unescape(authority, (size_t)((colon ? colon : at) - authority));
        r->password = colon ? unescape(colon + 1, (size_t)(at - colon - 1)) : xstrdup("");
    }
    if (len == (size_t)(at ? at + 1 - authority : 0)) {
        return err_set(err, ERR_USAGE, 0, "the shared cache's URL %s names no host", r->name);
    }
    r->base = xstrdup(r->name);
    for (size_t n = strlen(r->base); n > 0 && r->base[n - 1] == '/';) {
        r->base[--n] = '\0';
    }
    if (r->o.token) {
        if (r->user) {
            return err_set(err, ERR_USAGE, 0,
                           "the shared cache %s is given both a user and a token: leave out "
                           "WF_REMOTE_TOKEN or the user in the URL",
                           r->name);
        }
        if (strpbrk(r->o.token, "\r\n")) {
            return err_set(err, ERR_USAGE, 0, "WF_REMOTE_TOKEN must be one line");
        }
        r->bearer = xasprintf("Authorization: Bearer %s", r->o.token);
    }
    return 0;
}

static int parse_s3(struct remote *r, const char *url, struct err *err)
{
    CLEANUP(cleanup_free) char *key = NULL;
    int rc = s3_parse(url, &r->bucket, &key, err);

    if (rc < 0) {
        return rc;
    }
    for (size_t n = strlen(key); n > 0 && key[n - 1] == '/';) {
        key[--n] = '\0';
    }
    r->prefix = *key ? xasprintf("%s/", key) : xstrdup("");
    return s3_new(&r->s3, err);
}

/* A password with / or ? or # in it ends the host's part too early, and its rest would be shown as a path: then there is an @ behind, and before it no port that is a number. */
static bool may_show_password(const char *url)
{
    const char *authority = strstr(url, "://");
    authority = authority ? authority + 3 : url;
    size_t len = strcspn(authority, "/?#");
    const char *colon = memchr(authority, ':', len);

    return strchr(authority + len, '@') && !memchr(authority, '@', len) && colon &&
           strspn(colon + 1, "0123456789") != (size_t)(authority + len - colon - 1);
}

int remote_parse(struct remote *r, const char *url, struct err *err)
{
    const char *end = strncasecmp(url, "s3://", 5) == 0 ? url + 5 + strcspn(url + 5, "/") : url;

    if (may_show_password(url)) {
        return err_set(
            err, ERR_USAGE, 0,
            "the shared cache's URL (not shown, it may hold a password) names no port: in "
            "a user and a password write / as %%2F, ? as %%3F, # as %%23, @ as %%40");
    }
    if (end > url && memchr(url, '@', (size_t)(end - url))) {
        return err_set(err, ERR_USAGE, 0,
                       "the shared cache's URL names a user before the bucket: the keys for s3:// "
                       "come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    }
    if (strncasecmp(url, "s3://", 5) == 0) {
        r->name = xstrdup(url);
        return parse_s3(r, url, err);
    }
    r->name = http_public_url(url);
    if (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0) {
        return parse_http(r, url, err);
    }
    return err_set(err, ERR_USAGE, 0,
                   "'%s' is not the URL of a shared cache: it begins with http://, https:// or "
                   "s3://",
                   r->name);
}

/* --- requests --- */

static const char *method_of(enum transfer_kind k)
{
    return k == PUT_OBJECT || k == PUT_ANSWER ? "PUT" : k == HEAD_OBJECT ? "HEAD" : "GET";
}

static int make_s3(struct remote *r, const struct transfer *t, struct request *q, struct err *err)
{
    CLEANUP(cleanup_free) char *key = xasprintf("%s%s", r->prefix, t->name);
    bool sends = t->kind == PUT_OBJECT || t->kind == PUT_ANSWER;

    q->s3 = xcalloc(1, sizeof(*q->s3));
    int rc = s3_object(r->s3, method_of(t->kind), r->bucket, key, sends ? &t->digest : NULL, NULL,
                       q->s3, err);
    if (rc == 0) {
        q->http = q->s3->http;
    }
    return rc;
}

static void make_http(struct remote *r, const struct transfer *t, struct request *q)
{
    q->url = xasprintf("%s/%s", r->base, t->name);
    q->http.url = q->url;
    q->http.method = method_of(t->kind);
    q->http.user = r->user;
    q->http.password = r->password;
    q->http.follow = t->kind != PUT_OBJECT && t->kind != PUT_ANSWER;
    q->headers[0] = r->bearer;
    q->http.headers = q->headers;
}

int request_make(struct remote *r, const struct transfer *t, struct request *ret, struct err *err)
{
    memset(ret, 0, sizeof(*ret));
    if (r->s3) {
        int rc = make_s3(r, t, ret, err);
        if (rc < 0) {
            request_done(ret);
        }
        return rc;
    }
    make_http(r, t, ret);
    return 0;
}

void request_done(struct request *q)
{
    if (q->s3) {
        s3_call_done(q->s3);
        free(q->s3);
    }
    free(q->url);
    memset(q, 0, sizeof(*q));
}
