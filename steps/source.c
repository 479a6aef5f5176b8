/* SPDX-License-Identifier: Apache-2.0 */
/* Sources of ingest steps as facts: where they lie, how much there is, what a measure says. Fetching is in fetch.c. */
#include "steps/source.h"

#include "base/arena.h"
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEASURE_LIMIT_MS 60000

bool source_is_url(const char *source)
{
    return text_starts(source, "http://") || text_starts(source, "https://");
}

int source_check(const char *source, struct err *err)
{
    const char *scheme = strstr(source, "://");

    if (*source == '\0') {
        return err_set(err, ERR_INVALID, 0, "`source` is empty: give a path or a URL");
    }
    if (scheme && !source_is_url(source)) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "a source of %.*s:// is not supported yet: use a path, http:// or https://",
                       (int)(scheme - source), source);
    }
    return 0;
}

const char *source_public_url(const char *url, struct arena *a)
{
    const char *host = strstr(url, "://");
    size_t end = strcspn(url, "#");

    if (!host) {
        return arena_strdup(a, url);
    }
    host += 3;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    if (!at) {
        return arena_strndup(a, url, end);
    }
    size_t scheme = (size_t)(host - url);
    return arena_printf(a, "%.*s%.*s", (int)scheme, url, (int)(url + end - at - 1), at + 1);
}

/* --- counting --- */

struct count {
    struct source_facts *f;
    bool records;
};

static int count_lines(const char *path, uint64_t *ret, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_free) char *buf = xmalloc(1 << 18);
    char last = '\n';
    ssize_t n = 0;

    while (fd >= 0 && (n = read(fd, buf, 1 << 18)) > 0) {
        for (const char *p = buf; (p = memchr(p, '\n', (size_t)(buf + n - p))); p++) {
            (*ret)++;
        }
        last = buf[n - 1];
    }
    if (fd < 0 || n < 0) {
        return err_set(err, ERR_IO, 0, "cannot read '%s'", path);
    }
    *ret += last != '\n';
    return 0;
}

static int on_file(const char *path, const char *rel, const struct stat *st, void *arg,
                   struct err *err)
{
    struct count *c = arg;

    (void)rel;
    if (!S_ISREG(st->st_mode)) {
        return 0;
    }
    c->f->files++;
    c->f->bytes += (uint64_t)st->st_size;
    return c->records ? count_lines(path, &c->f->records, err) : 0;
}

int source_count(const char *path, bool records, struct source_facts *ret, struct err *err)
{
    struct count c = {ret, records};
    struct stat st;

    if (stat(path, &st) != 0) {
        return err_set(err, ERR_NOT_FOUND, 0, "the source '%s' does not exist", path);
    }
    ret->path = path;
    ret->kind = S_ISDIR(st.st_mode) ? 'd' : 'f';
    ret->exec = S_ISREG(st.st_mode) && (st.st_mode & 0111);
    ret->bytes = ret->files = ret->records = 0;
    ret->have_records = records;
    return S_ISDIR(st.st_mode) ? fs_walk(path, on_file, &c, err) : on_file(path, "", &st, &c, err);
}

/* --- as JSON --- */

void source_json(const struct source_facts *f, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, false);
    jw_object(&w);
    jw_kv_i64(&w, "bytes", (int64_t)f->bytes);
    if (f->etag) {
        jw_kv_text(&w, "etag", f->etag);
    }
    jw_kv_i64(&w, "files", (int64_t)f->files);
    if (f->last_modified) {
        jw_kv_text(&w, "last_modified", f->last_modified);
    }
    if (f->have_records) {
        jw_kv_i64(&w, "records", (int64_t)f->records);
    }
    if (f->url) {
        jw_key(&w, "sha256");
        jw_digest(&w, &f->digest);
        jw_kv_text(&w, "url", f->url);
    }
    jw_end_object(&w);
}

static const char *text_of(const json_t *doc, const char *key, struct arena *a)
{
    const char *text = json_string_value(json_object_get(doc, key));

    return text ? arena_strdup(a, text) : NULL;
}

static uint64_t number_of(const json_t *doc, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(doc, key));

    return n > 0 ? (uint64_t)n : 0;
}

bool source_read_json(const char *json, struct arena *a, struct source_facts *ret)
{
    CLEANUP(cleanup_json) json_t *doc = NULL;

    if (json_read(json, strlen(json), 1 << 20, &doc, NULL) != 0 || !json_is_object(doc)) {
        return false;
    }
    const char *digest = json_string_value(json_object_get(doc, "sha256"));
    *ret = (struct source_facts){.kind = 'f',
                                 .url = text_of(doc, "url", a),
                                 .etag = text_of(doc, "etag", a),
                                 .last_modified = text_of(doc, "last_modified", a),
                                 .bytes = number_of(doc, "bytes"),
                                 .files = number_of(doc, "files"),
                                 .records = number_of(doc, "records"),
                                 .have_records = json_object_get(doc, "records") != NULL};
    return digest && text_starts(digest, "sha256:") &&
           digest_parse(digest + 7, strlen(digest + 7), &ret->digest);
}

/* --- measures --- */

/* What a command prints, without white space around it; NULL when it fails or prints nothing. */
static const char *measure_by_command(const char *command, const char *path, const char *cwd,
                                      struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    CLEANUP(cleanup_free)
    char *script = xasprintf("cd \"$1\" || exit 1\nexport WF_SOURCE=\"$2\"\n%s\n", command);
    const char *const argv[] = {"/bin/sh", "-eu", "-c", script, "sh", cwd, path, NULL};
    int status = 0;

    if (child_run(argv, NULL, 65536, &out, NULL, &status, MEASURE_LIMIT_MS, NULL) != 0 ||
        status != 0) {
        return NULL;
    }
    char *text = arena_strndup(a, sb_text(&out), out.len);
    text += strspn(text, " \t\r\n");
    for (size_t len = strlen(text); len > 0 && strchr(" \t\r\n", text[len - 1]);) {
        text[--len] = '\0';
    }
    return *text ? text : NULL;
}

const char *source_measure(const struct step *step, const struct source_facts *f, const char *path,
                           const char *cwd, struct arena *a)
{
    struct source_facts counted;
    enum measure m = step->cache.measure;

    if (m == MEASURE_COMMAND) {
        return measure_by_command(step->cache.measure_command, path, cwd, a);
    }
    if (m == MEASURE_ETAG) {
        return f ? f->etag : NULL;
    }
    if (!f && source_is_url(path)) {
        return NULL; /* it could not be fetched */
    }
    if (!f) {
        counted = (struct source_facts){0};
        if (source_count(path, m == MEASURE_RECORDS, &counted, NULL) != 0) {
            return NULL;
        }
        f = &counted;
    }
    switch (m) {
    case MEASURE_RECORDS:
        return f->have_records ? arena_printf(a, "%llu", (unsigned long long)f->records) : NULL;
    case MEASURE_BYTES:
        return arena_printf(a, "%llu", (unsigned long long)f->bytes);
    case MEASURE_FILES:
        return arena_printf(a, "%llu", (unsigned long long)f->files);
    default:
        return NULL;
    }
}
