/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to S3. libcurl up to 7.88 signs the path and the query as they stand in the URL, so both are written here as the signature wants them: every byte but
 * A-Z a-z 0-9 - . _ ~ as %XX, queries sorted by name and each with "=". It neither sends nor signs x-amz-content-sha256 by itself, without which servers refuse. */
#include "base/s3.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct s3 {
    char *endpoint; /* without a slash at its end */
    char *sigv4;    /* "aws:amz:REGION:s3" */
    char *key, *secret, *token;
};

enum { HEADERS_MAX = 16 };

/* Where and as whom */

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static char *copy_env(const char *name)
{
    const char *value = env(name);
    return value ? xstrdup(value) : NULL;
}

static bool is_name(const char *text)
{
    return text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")] ==
           '\0';
}

static const char *endpoint_variable(void)
{
    return env("AWS_ENDPOINT_URL_S3") ? "AWS_ENDPOINT_URL_S3" : "AWS_ENDPOINT_URL";
}

static void trim_slashes(char *url)
{
    for (size_t len = strlen(url); len > 0 && url[len - 1] == '/';) {
        url[--len] = '\0';
    }
}

char *s3_named_endpoint(void)
{
    const char *given = env(endpoint_variable());
    char *url = given ? http_public_url(given) : NULL;

    if (url) {
        trim_slashes(url);
    }
    return url;
}

static int choose_endpoint(struct s3 *s, const char *region, struct err *err)
{
    const char *name = endpoint_variable();
    const char *given = env(name);
    if (!given) {
        s->endpoint = xasprintf("https://s3.%s.amazonaws.com", region);
        return 0;
    }
    if ((strncasecmp(given, "http://", 7) != 0 && strncasecmp(given, "https://", 8) != 0) ||
        strpbrk(given, "?#@ ")) {
        return err_set(err, ERR_USAGE, 0,
                       "%s must be a URL like https://s3.example.org, without user and query",
                       name);
    }
    s->endpoint = xstrdup(given);
    trim_slashes(s->endpoint);
    return 0;
}

static int fill(struct s3 *s, struct err *err)
{
    const char *region = env("AWS_REGION");
    region = region ? region : env("AWS_DEFAULT_REGION");
    region = region ? region : "us-east-1";
    if (!is_name(region)) {
        return err_set(err, ERR_USAGE, 0, "AWS_REGION is '%s', which is not the name of a region",
                       region);
    }
    s->sigv4 = xasprintf("aws:amz:%s:s3", region);
    s->key = copy_env("AWS_ACCESS_KEY_ID");
    s->secret = copy_env("AWS_SECRET_ACCESS_KEY");
    s->token = copy_env("AWS_SESSION_TOKEN");
    if (!s->key != !s->secret) {
        return err_set(err, ERR_USAGE, 0, "%s is set, but %s is not: S3 needs both or none",
                       s->key ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                       s->key ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    }
    return choose_endpoint(s, region, err);
}

int s3_new(struct s3 **ret, struct err *err)
{
    struct s3 *s = xcalloc(1, sizeof(*s));
    int rc = fill(s, err);
    if (rc < 0) {
        s3_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

static void forget(char *secret)
{
    if (secret) {
        explicit_bzero(secret, strlen(secret));
    }
    free(secret);
}

void s3_free(struct s3 *s)
{
    if (!s) {
        return;
    }
    free(s->endpoint);
    free(s->sigv4);
    free(s->key);
    forget(s->secret);
    forget(s->token);
    free(s);
}

const char *s3_endpoint(const struct s3 *s)
{
    return s->endpoint;
}

bool s3_signs(const struct s3 *s)
{
    return s->key != NULL;
}

int s3_parse(const char *url, char **ret_bucket, char **ret_key, struct err *err)
{
    const char *bucket = url + 5;
    if (strncasecmp(url, "s3://", 5) != 0 || *bucket == '\0' || *bucket == '/') {
        return err_set(err, ERR_USAGE, 0, "'%s' is not of the form s3://bucket/key", url);
    }
    size_t len = strcspn(bucket, "/");
    CLEANUP(cleanup_free) char *name = xstrndup(bucket, len);
    for (const char *c = name; *c; c++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *c)) {
            return err_set(err, ERR_USAGE, 0, "'%s': '%s' is not the name of a bucket", url, name);
        }
    }
    const char *key = bucket + len;
    key += strspn(key, "/");
    *ret_bucket = take_ptr(name);
    *ret_key = xstrdup(key);
    return 0;
}

/* Requests */

static void encode(struct str *out, const char *text, bool path)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     strchr("-._~", c) || (path && c == '/');
        if (plain) {
            sb_putc(out, (char)c);
        } else {
            sb_putc(out, '%');
            sb_putc(out, hex[c >> 4]);
            sb_putc(out, hex[c & 15]);
        }
    }
}

/* libcurl takes "." and ".." out of a path, and would ask for another object than the one meant. */
static bool has_dot_part(const char *key)
{
    for (const char *part = key;;) {
        size_t len = strcspn(part, "/");
        if ((len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.')) {
            return true;
        }
        if (part[len] == '\0') {
            return false;
        }
        part += len + 1;
    }
}

static void set_headers(const struct s3 *s, const struct digest *payload, const char *const *extra,
                        struct s3_call *c)
{
    struct digest nothing;
    char hex[DIGEST_HEX + 1];
    size_t n = 0;
    if (!payload) {
        digest_of("", 0, &nothing);
        payload = &nothing;
    }
    digest_hex(payload, hex);
    c->headers = xcalloc(HEADERS_MAX + 1, sizeof(*c->headers));
    if (s->key) {
        c->hash = xasprintf("x-amz-content-sha256: %s", hex);
        c->headers[n++] = c->hash;
    }
    if (s->key && s->token) {
        c->token = xasprintf("x-amz-security-token: %s", s->token);
        c->headers[n++] = c->token;
    }
    for (size_t i = 0; extra && extra[i]; i++) {
        WF_ASSERT(n < HEADERS_MAX);
        c->headers[n++] = extra[i];
    }
    c->http.headers = c->headers;
}

static void make(const struct s3 *s, const char *method, struct str *url,
                 const struct digest *payload, const char *const *extra, struct s3_call *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->url = sb_take(url);
    ret->http.url = ret->url;
    ret->http.method = method;
    ret->http.user = s->key;
    ret->http.password = s->secret;
    ret->http.aws_sigv4 = s->key ? s->sigv4 : NULL;
    set_headers(s, payload, extra, ret);
}

int s3_object(const struct s3 *s, const char *method, const char *bucket, const char *key,
              const struct digest *payload, const char *const *extra, struct s3_call *ret,
              struct err *err)
{
    CLEANUP(sb_done) struct str url = {0};
    if (*key == '\0' || has_dot_part(key)) {
        return err_set(err, ERR_USAGE, 0,
                       "'s3://%s/%s' does not name an object that can be asked for", bucket, key);
    }
    sb_printf(&url, "%s/", s->endpoint);
    encode(&url, bucket, false);
    sb_putc(&url, '/');
    encode(&url, key, true);
    make(s, method, &url, payload, extra, ret);
    return 0;
}

int s3_list(const struct s3 *s, const char *bucket, const char *prefix, const char *token,
            struct s3_call *ret, struct err *err)
{
    CLEANUP(sb_done) struct str url = {0};
    if (has_dot_part(bucket)) {
        return err_set(err, ERR_USAGE, 0, "'%s' is not the name of a bucket", bucket);
    }
    sb_printf(&url, "%s/", s->endpoint);
    encode(&url, bucket, false);
    sb_puts(&url, "/?");
    if (token) {
        sb_puts(&url, "continuation-token=");
        encode(&url, token, false);
        sb_putc(&url, '&');
    }
    sb_puts(&url, "encoding-type=url&list-type=2&prefix=");
    encode(&url, prefix, false);
    make(s, "GET", &url, NULL, NULL, ret);
    return 0;
}

void s3_call_done(struct s3_call *c)
{
    free(c->url);
    free(c->hash);
    forget(c->token);
    free(c->headers);
    memset(c, 0, sizeof(*c));
}
