/* SPDX-License-Identifier: Apache-2.0 */
/* Sources of ingest steps as facts: how much there is, what git says of them, what a measure says. Fetching is in fetch*.c. */
#include "steps/source.h"

#include "base/arena.h"
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/repo.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEASURE_LIMIT_MS 60000
/* More tracked files than this are not looked through just to say whether one of them changed. */
#define PROVENANCE_FILES 20000

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

/* --- a path in a git work tree --- */

void source_look_in_git(const char *path, struct arena *a, struct source_facts *ret)
{
    CLEANUP(cleanup_free) char *below = repo_path_in(path);
    struct repo_found found;
    bool dirty = false;

    if (!below || repo_find(path, path, "HEAD", below, &found, NULL) != 0 ||
        repo_dirty(path, PROVENANCE_FILES, &dirty, NULL) != 0) {
        return;
    }
    ret->commit = arena_strdup(a, found.commit);
    ret->tree = arena_strdup(a, found.id);
    ret->dirty = dirty;
}

void source_tree_digest(const char *tree, char kind, bool exec, struct digest *ret)
{
    CLEANUP(sb_done) struct str text = {0};

    sb_printf(&text, "wf-git-1 %c %s", kind == 'f' && exec ? 'x' : kind, tree);
    digest_of(sb_text(&text), text.len, ret);
}

/* --- as JSON --- */

void source_json(const struct source_facts *f, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, false);
    jw_object(&w);
    jw_kv_i64(&w, "bytes", (int64_t)f->bytes);
    if (f->commit) {
        jw_kv_text(&w, "commit", f->commit);
        jw_kv_bool(&w, "dirty", f->dirty);
    }
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
    if (f->url && !f->tree && f->kind == 'f' && f->have_digest) {
        jw_key(&w, "sha256");
        jw_digest(&w, &f->digest);
    }
    if (f->tree) {
        jw_kv_text(&w, "tree", f->tree);
    }
    if (f->url) {
        jw_kv_text(&w, "kind", f->kind == 'd' ? "folder" : f->exec ? "program" : "file");
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
    const char *kind = json_string_value(json_object_get(doc, "kind"));
    *ret = (struct source_facts){.kind = text_eq(kind, "folder") ? 'd' : 'f',
                                 .exec = text_eq(kind, "program"),
                                 .url = text_of(doc, "url", a),
                                 .etag = text_of(doc, "etag", a),
                                 .last_modified = text_of(doc, "last_modified", a),
                                 .commit = text_of(doc, "commit", a),
                                 .tree = text_of(doc, "tree", a),
                                 .bytes = number_of(doc, "bytes"),
                                 .files = number_of(doc, "files"),
                                 .records = number_of(doc, "records"),
                                 .have_records = json_object_get(doc, "records") != NULL};
    if (ret->tree) {
        source_tree_digest(ret->tree, ret->kind, ret->exec, &ret->digest);
        ret->have_digest = true;
    } else {
        ret->have_digest = digest && text_starts(digest, "sha256:") &&
                           digest_parse(digest + 7, strlen(digest + 7), &ret->digest);
    }
    return ret->have_digest;
}

static const char *copied(const char *text, struct arena *a)
{
    return text ? arena_strdup(a, text) : NULL;
}

void source_copy_facts(const struct source_facts *f, struct arena *a, struct source_facts *ret)
{
    *ret = *f;
    ret->path = copied(f->path, a);
    ret->url = copied(f->url, a);
    ret->etag = copied(f->etag, a);
    ret->last_modified = copied(f->last_modified, a);
    ret->commit = copied(f->commit, a);
    ret->tree = copied(f->tree, a);
}

/* --- measures --- */

static const char blank[] = " \t\r\n";

static void trim(char *text)
{
    for (size_t len = strlen(text); len > 0 && strchr(blank, text[len - 1]);) {
        text[--len] = '\0';
    }
}

/* The last line that says something, fit to stand in a sentence; NULL: there is none. */
static const char *last_line(const struct str *said, struct arena *a)
{
    enum { SHOWN = 200 };
    char *text = arena_strndup(a, sb_text(said), said->len);

    trim(text);
    const char *nl = strrchr(text, '\n');
    char *line = text + (nl ? nl + 1 - text : 0);
    line[strnlen(line, SHOWN)] = '\0';
    for (char *at = line; *at; at++) {
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? ' ' : *at;
    }
    return *line ? line : NULL;
}

static const char *how_it_failed(int status, const struct str *said, struct arena *a)
{
    const char *line = last_line(said, a);
    const char *how =
        WIFSIGNALED(status)
            ? arena_printf(a, "its command was ended by signal %d", WTERMSIG(status))
            : arena_printf(a, "its command failed with exit code %d", WEXITSTATUS(status));

    return line ? arena_printf(a, "%s (%s)", how, line) : how;
}

/* What a command prints, without white space around it; NULL when it fails or prints nothing. */
static const char *measure_by_command(const char *command, const char *path, const char *cwd,
                                      struct arena *a, const char **ret_why)
{
    CLEANUP(sb_done) struct str out = {0};
    CLEANUP(sb_done) struct str said = {0};
    CLEANUP(cleanup_free)
    char *script = xasprintf("cd \"$1\" || exit 1\nexport WF_SOURCE=\"$2\"\n%s\n", command);
    const char *const argv[] = {"/bin/sh", "-eu", "-c", script, "sh", cwd, path, NULL};
    struct err err = {0};
    int status = 0;
    int rc = child_run(argv, NULL, 65536, &out, &said, &status, MEASURE_LIMIT_MS, &err);

    if (rc != 0 || status != 0) {
        *ret_why = err.code == ERR_TIMEOUT ? "its command took longer than a minute and was ended"
                   : rc != 0               ? arena_strdup(a, err.msg)
                                           : how_it_failed(status, &said, a);
        return NULL;
    }
    char *text = arena_strndup(a, sb_text(&out), out.len);
    text += strspn(text, blank);
    trim(text);
    *ret_why = *text ? NULL : "its command printed nothing";
    return *text ? text : NULL;
}

/* The tree or file at the path that git has; NULL while the work tree has something else. */
static const char *measure_by_git(const struct source_facts *f, const char *path, struct arena *a)
{
    CLEANUP(cleanup_free) char *below = f ? NULL : repo_path_in(path);
    struct repo_found found;
    bool dirty = false;

    if (f) {
        return f->tree;
    }
    if (!below || repo_find(path, path, "HEAD", below, &found, NULL) != 0 ||
        repo_changed(path, &dirty, NULL) != 0 || dirty) {
        return NULL;
    }
    return arena_strdup(a, found.id);
}

const char *source_measure(const struct step *step, const struct source_facts *f, const char *path,
                           const char *cwd, struct arena *a, const char **ret_why)
{
    struct source_facts counted;
    enum measure m = step->cache.measure;
    struct err err = {0};

    *ret_why = NULL;
    if (m == MEASURE_COMMAND) {
        return measure_by_command(step->cache.measure_command, path, cwd, a, ret_why);
    }
    if (m == MEASURE_ETAG) {
        return f ? f->etag : NULL;
    }
    if (!f && source_is_url(path)) {
        *ret_why = "the source could not be fetched";
        return NULL;
    }
    if (m == MEASURE_GIT) {
        return measure_by_git(f, path, a);
    }
    if (!f) {
        counted = (struct source_facts){0};
        if (source_count(path, m == MEASURE_RECORDS, &counted, &err) != 0) {
            *ret_why = arena_strdup(a, err.msg);
            return NULL;
        }
        f = &counted;
    }
    switch (m) {
    case MEASURE_RECORDS:
        return f->have_records ? arena_printf(a, "%llu", (unsigned long long)f->records) : NULL;
    case MEASURE_BYTES:
        return f->size_unknown ? NULL : arena_printf(a, "%llu", (unsigned long long)f->bytes);
    case MEASURE_FILES:
        return arena_printf(a, "%llu", (unsigned long long)f->files);
    default:
        return NULL;
    }
}
