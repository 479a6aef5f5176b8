/* SPDX-License-Identifier: Apache-2.0 */
/* Sources as texts: what kind they are, how they are shown, what a git source is made of, who asks. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "steps/source.h"
#include "steps/world.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *scheme;
    enum source_kind kind;
} schemes[] = {
    {"http://", SOURCE_HTTP},     {"https://", SOURCE_HTTP},   {"s3://", SOURCE_S3},
    {"git+https://", SOURCE_GIT}, {"git+http://", SOURCE_GIT}, {"git+ssh://", SOURCE_GIT},
    {"git+git://", SOURCE_GIT},   {"git+file://", SOURCE_GIT},
};

enum source_kind source_kind_of(const char *source)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (text_starts(source, schemes[i].scheme)) {
            return schemes[i].kind;
        }
    }
    return SOURCE_PATH;
}

bool source_is_url(const char *source)
{
    return source_kind_of(source) != SOURCE_PATH;
}

int source_check(const char *source, struct err *err)
{
    const char *scheme = strstr(source, "://");

    if (*source == '\0') {
        return err_set(err, ERR_INVALID, 0, "`source` is empty: give a path or a URL");
    }
    if (scheme && !source_is_url(source) && !memchr(source, '/', (size_t)(scheme - source))) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "a source of %.*s:// is not supported: use a path, http(s)://, s3:// or "
                       "git+https://",
                       (int)(scheme - source), source);
    }
    return 0;
}

/* --- what may be shown --- */

static bool named(const char *param, size_t len, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t name = strlen(names[i]);
        bool begins = names[i][name - 1] == '-';
        if ((begins ? len > name : len == name) && strncasecmp(param, names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Signatures of ready-made links come and go without another content; a token may decide what is answered, so it stays told apart. */
static void add_param(const char *param, size_t len, const char *between, struct str *out)
{
    static const char *const signatures[] = {"x-amz-", "x-goog-", "signature", "sig"};
    static const char *const secrets[] = {"token",    "access_token", "api_key",
                                          "apikey",   "key",          "secret",
                                          "password", "auth",         "private_token"};
    size_t name = strcspn(param, "=&");
    struct digest d;
    char hex[DIGEST_HEX + 1];

    if (named(param, name, signatures, ARRAY_LEN(signatures))) {
        return;
    }
    sb_puts(out, out->data[out->len - 1] == '?' ? "" : between);
    if (name < len && named(param, name, secrets, ARRAY_LEN(secrets))) {
        digest_of(param + name + 1, len - name - 1, &d);
        digest_hex(&d, hex);
        sb_add(out, param, name + 1);
        sb_printf(out, "sha256-%.12s", hex);
    } else {
        sb_add(out, param, len);
    }
}

static void add_query(const char *query, size_t len, struct str *out)
{
    sb_putc(out, '?');
    for (size_t at = 0; at < len;) {
        const char *amp = memchr(query + at, '&', len - at);
        size_t n = amp ? (size_t)(amp - query) - at : len - at;
        add_param(query + at, n, "&", out);
        at += n + 1;
    }
    if (out->data[out->len - 1] == '?') {
        sb_truncate(out, out->len - 1);
    }
}

const char *source_public_url(const char *url, struct arena *a)
{
    const char *host = strstr(url, "://");
    bool web = source_kind_of(url) == SOURCE_HTTP;
    CLEANUP(sb_done) struct str out = {0};

    if (!host || source_kind_of(url) == SOURCE_S3) {
        return arena_strdup(a, url);
    }
    host += 3;
    size_t authority = strcspn(host, web ? "/?#" : "/");
    const char *at = memrchr(host, '@', authority);
    sb_add(&out, url, (size_t)(host - url));
    host = at ? at + 1 : host;
    size_t len = web ? strcspn(host, "?#") : strlen(host);
    sb_add(&out, host, len);
    if (host[len] == '?') {
        add_query(host + len + 1, strcspn(host + len + 1, "#"), &out);
    }
    return arena_strndup(a, sb_text(&out), out.len);
}

/* --- git --- */

static const char *decode(const char *text, size_t len, struct arena *a)
{
    char *out = arena_strndup(a, text, len), *to = out;

    for (const char *p = out; *p; p++) {
        unsigned v;
        if (*p == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]) &&
            sscanf(p + 1, "%2x", &v) == 1) {
            *to++ = (char)v;
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = '\0';
    return out;
}

/* user:password@ before the host; a password never stays in the URL, ssh's user does. */
static void split_user(const char *base, size_t head, bool ssh, struct arena *a,
                       struct git_url *ret)
{
    const char *host = base + head;
    size_t authority = strcspn(host, "/");
    const char *at = memrchr(host, '@', authority);

    ret->url = base;
    ret->name = at ? arena_printf(a, "%.*s%s", (int)head, base, at + 1) : base;
    if (!at) {
        return;
    }
    const char *colon = memchr(host, ':', (size_t)(at - host));
    size_t user = (size_t)((colon ? colon : at) - host);
    ret->user = user > 0 ? decode(host, user, a) : NULL;
    ret->password = colon ? decode(colon + 1, (size_t)(at - colon - 1), a) : NULL;
    ret->url = ssh && user > 0
                   ? arena_printf(a, "%.*s%.*s@%s", (int)head, base, (int)user, host, at + 1)
                   : ret->name;
}

/* The '@' before the ref: a ref holds no colon, but repository and path may hold another '@'. NULL: no ref is named. */
static const char *ref_mark(const char *path)
{
    for (const char *colon = strchr(path, ':'); colon; colon = strchr(colon + 1, ':')) {
        const char *at = memrchr(path, '@', (size_t)(colon - path));
        if (at) {
            return at;
        }
    }
    return strrchr(path, '@');
}

int git_url_parse(const char *source, const char *dir, struct arena *a, struct git_url *ret,
                  struct err *err)
{
    const char *base = source + strlen("git+"), *host = strstr(base, "://") + 3;
    bool file = text_starts(base, "file://");
    const char *path = file ? host : host + strcspn(host, "/");
    const char *at = ref_mark(path);
    struct git_url u = {0};

    if (at) {
        const char *colon = strchr(at + 1, ':');
        size_t ref = colon ? (size_t)(colon - at - 1) : strlen(at + 1);
        u.ref = ref > 0 ? arena_strndup(a, at + 1, ref) : NULL;
        u.path = colon && colon[1] ? arena_strdup(a, colon + 1) : NULL;
    }
    base = arena_strndup(a, base, at ? (size_t)(at - base) : strlen(base));
    if (path == host ? !file || *path == '\0' : *path == '\0') {
        return err_set(err, ERR_INVALID, 0,
                       "the source '%s' names no repository: write git+https://host/repository@ref",
                       source_public_url(source, a));
    }
    size_t head = (size_t)(strstr(base, "://") - base) + 3;
    if (file) {
        const char *folder = base + head;
        u.repo = *folder == '/' ? folder : arena_printf(a, "%s/%s", dir, folder);
        u.url = base;
        u.name = u.repo;
    } else {
        split_user(base, head, text_starts(base, "ssh://"), a, &u);
    }
    *ret = u;
    return 0;
}

/* --- who asks --- */

void source_auth_of(const struct world *w, const struct step *step, struct source_auth *ret)
{
    *ret = (struct source_auth){0};
    for (uint32_t n = 0; n < step->n_secrets; n++) {
        const char *env = step->secrets[n].env;
        const char **to = strcmp(env, "SOURCE_TOKEN") == 0      ? &ret->token
                          : strcmp(env, "SOURCE_USER") == 0     ? &ret->user
                          : strcmp(env, "SOURCE_PASSWORD") == 0 ? &ret->password
                                                                : NULL;
        if (to && w->secrets) {
            *to = w->secrets[step->secrets[n].secret];
        } else if (to) {
            ret->missing = true;
        }
    }
}
