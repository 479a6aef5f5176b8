/* SPDX-License-Identifier: Apache-2.0 */
/* The new entry says of itself where it comes from (result.c, `adopted`): {"at":TIME,"by":WHO,"folder":PATH or null,"from":KEY or null}. Its time of making stays that of the earlier result, so that a ttl
 * goes on counting; its last use is now. */
#include "cache/adopt.h"

#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/entries_internal.h"
#include "cache/failpoint.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { DOCUMENT_MAX = 64 << 20 };

int adopt_fits(const char *old_work, const char *new_work, struct err *err)
{
    static const struct {
        const char *member, *word;
    } must[] = {{"kind", "kind"}, {"outputs", "outputs"}, {"value_names", "values"}};
    CLEANUP(cleanup_json) json_t *old = NULL;
    CLEANUP(cleanup_json) json_t *now = NULL;

    int rc = json_read(old_work, strlen(old_work), DOCUMENT_MAX, &old, err);
    rc = rc < 0 ? rc : json_read(new_work, strlen(new_work), DOCUMENT_MAX, &now, err);
    for (size_t i = 0; i < ARRAY_LEN(must) && rc == 0; i++) {
        const json_t *a = json_object_get(old, must[i].member);
        const json_t *b = json_object_get(now, must[i].member);
        if ((a || b) && !(a && b && json_equal(a, b))) {
            rc = err_set(err, ERR_USAGE, 0,
                         "its %s are declared otherwise than when the result was made: that cannot "
                         "be adopted, the step must run",
                         must[i].word);
        }
    }
    return rc;
}

/* --- outputs from a folder --- */

struct copying {
    const char *to;
};

static int copy_one(const char *path, const char *rel, const struct stat *st, void *arg,
                    struct err *err)
{
    const struct copying *c = arg;
    CLEANUP(cleanup_free) char *to = *rel ? fs_join(c->to, rel) : xstrdup(c->to);
    char link[PATH_MAX];

    if (S_ISDIR(st->st_mode)) {
        return fs_mkdirs(to, 0755, err);
    }
    if (S_ISLNK(st->st_mode)) {
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        link[n < 0 ? 0 : n] = '\0';
        return n >= 0 && symlink(link, to) == 0
                   ? 0
                   : err_set(err, ERR_IO, errno, "cannot copy the link %s", path);
    }
    if (!S_ISREG(st->st_mode)) {
        return err_set(err, ERR_INVALID, 0, "%s is neither a file nor a folder", path);
    }
    return fs_copy_file(path, to, st->st_mode & 0111 ? 0755 : 0644, NULL, err);
}

/* The user's files stay the user's: a copy goes into the store. */
static int copy_in(const char *from, const char *to, struct err *err)
{
    CLEANUP(cleanup_free) char *parent = fs_dirname(to);
    CLEANUP(cleanup_free) char *real = realpath(from, NULL);
    struct copying c = {to};
    struct stat st;

    if (!real || stat(real, &st) != 0) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "the declared output %s is not there: what is adopted must be whole", from);
    }
    int rc = fs_mkdirs(parent, 0755, err);
    rc = rc < 0 ? rc : copy_one(real, "", &st, &c, err);
    return rc == 0 && S_ISDIR(st.st_mode) ? fs_walk(real, copy_one, &c, err) : rc;
}

static int check_output(const json_t *declared, const struct result_output *o, struct err *err)
{
    const char *sha256 = json_string_value(json_object_get(declared, "sha256"));
    char hex[DIGEST_HEX + 1];

    digest_hex(&o->digest, hex);
    if (json_is_true(json_object_get(declared, "non_empty")) && o->bytes == 0) {
        return err_set(err, ERR_USAGE, 0, "output '%s' is empty and must not be", o->name);
    }
    if (sha256 && strcasecmp(sha256, hex) != 0) {
        return err_set(err, ERR_USAGE, 0, "output '%s' has the digest %s; %s is declared", o->name,
                       hex, sha256);
    }
    return 0;
}

static int take_output(struct store *s, const struct adoption *a, const char *tmp,
                       const json_t *declared, struct arena *arena, struct result_output *ret,
                       struct err *err)
{
    const char *name = json_string_value(json_object_get(declared, "name"));
    const char *path = json_string_value(json_object_get(declared, "path"));

    if (!name || !path) {
        return err_set(err, ERR_CORRUPT, 0, "an output of the step cannot be read");
    }
    *ret = (struct result_output){.name = arena_strdup(arena, name),
                                  .path = arena_strdup(arena, path)};
    CLEANUP(cleanup_free) char *from = fs_join(a->folder, path);
    CLEANUP(cleanup_free) char *to = fs_join(tmp, path);
    int rc = copy_in(from, to, err);
    rc = rc < 0 ? rc : objects_take(s, tmp, path, false, ret, err);
    return rc < 0 ? rc : check_output(declared, ret, err);
}

static int take_outputs(struct store *s, const struct adoption *a, struct arena *arena,
                        struct result *r, struct err *err)
{
    CLEANUP(cleanup_json) json_t *work = NULL;
    CLEANUP(cleanup_free) char *tmp = store_tmp(s);
    int rc = json_read(a->work, a->work_len, DOCUMENT_MAX, &work, err);

    if (rc < 0) {
        return rc;
    }
    const json_t *outputs = json_object_get(work, "outputs");
    size_t n = json_array_size(outputs);
    if (a->entry == 0 && json_array_size(json_object_get(work, "value_names")) > 0) {
        return err_set(err, ERR_USAGE, 0,
                       "the step declares values, and no earlier result says what they are: it "
                       "must run");
    }
    r->outputs = arena_calloc(arena, n + 1, sizeof(*r->outputs));
    r->n_outputs = (uint32_t)n;
    rc = fs_mkdirs(tmp, 0700, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = take_output(s, a, tmp, json_array_get(outputs, i), arena, &r->outputs[i], err);
    }
    store_discard(s, tmp);
    return rc;
}

/* --- the entry --- */

struct storing {
    struct write write;
    struct store *store;
    struct entry_new e;
    int64_t id;
};

static int apply_adoption(struct write *w, struct db *db, struct err *err)
{
    struct storing *x = CONTAINER_OF(w, struct storing, write);
    int rc = entry_insert(x->store, db, &x->e, &x->id, err);

    FAILPOINT("adopt.stored");
    int64_t n = rc < 0 ? rc : db_run(db, SQL_HIT_RAISE, err, "ii", x->id, now_ms());
    return n < 0 ? (int)n : 0;
}

/* The earlier result, whose objects are all there. */
static int read_earlier(struct store *s, const struct adoption *a, struct arena *arena,
                        struct entry *e, struct result *r, struct err *err)
{
    struct digest bad;
    int rc = entry_get(s, a->entry, arena, e, err);

    rc = rc == 0 ? result_decode(e->data, e->data_len, arena, r, err) : rc;
    if (rc < 0) {
        return rc;
    }
    if (rc == 1 || (!a->folder && entry_check_objects(s, e, &bad) != OBJECT_GOOD)) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "what the step made before is no longer kept: it must run");
    }
    return 0;
}

static const char *record(const struct adoption *a, const struct entry *e, struct arena *arena)
{
    CLEANUP(sb_done) struct str text = {0};
    struct jsonw w;

    jw_init(&w, &text, false);
    jw_object(&w);
    jw_kv_time(&w, "at", now_ms());
    jw_kv_text(&w, "by", a->by);
    jw_kv_text(&w, "folder", a->folder);
    jw_key(&w, "from");
    if (a->entry) {
        jw_digest(&w, &e->key);
    } else {
        jw_null(&w);
    }
    jw_end_object(&w);
    return arena_strdup(arena, sb_text(&text));
}

int adopt_store(struct store *s, const struct adoption *a, int64_t *ret_id, struct err *err)
{
    struct arena *arena = arena_new();
    struct result r = {.began_at_ms = now_ms()};
    struct entry e = {0};
    char id[ID_LEN + 1];
    int live = -1;

    id_new(id); /* as a live run: gc leaves the files that are not yet named */
    int rc = store_live(s, id, &live, err);
    if (rc == 0) {
        store_settle(s); /* what a removal under way takes is gone before we look what is there */
    }
    if (rc == 0 && a->entry) {
        rc = read_earlier(s, a, arena, &e, &r, err);
    }
    if (rc == 0 && a->folder) {
        r.has_log = false;
        r.began_at_ms = now_ms();
        rc = take_outputs(s, a, arena, &r, err);
    }
    if (rc == 0) {
        r.adopted = record(a, &e, arena);
        struct storing x = {.write = {.apply = apply_adoption, .urgent = true},
                            .store = s,
                            .e = {.key = a->key,
                                  .workflow = a->workflow,
                                  .step = a->step,
                                  .action = a->action,
                                  .action_len = a->action_len,
                                  .work_digest = a->work_digest,
                                  .work = a->work,
                                  .work_len = a->work_len,
                                  .result = &r}};
        rc = store_write_now(s, &x.write, err);
        *ret_id = rc == 0 ? x.id : *ret_id;
    }
    if (live >= 0) {
        store_unlive(s, id, live);
    }
    arena_free(arena);
    return rc;
}

const char *adopt_sentence(const void *result, size_t len, struct arena *a)
{
    struct result r;

    return result_is_adopted(result, len) && result_decode(result, len, a, &r, NULL) == 0
               ? adopt_words(r.adopted, a)
               : NULL;
}

const char *adopt_words(const char *record, struct arena *a)
{
    CLEANUP(cleanup_json) json_t *j = NULL;

    if (json_read(record, strlen(record), DOCUMENT_MAX, &j, NULL) < 0) {
        return NULL;
    }
    const char *at = json_string_value(json_object_get(j, "at"));
    const char *by = json_string_value(json_object_get(j, "by"));
    const char *from = json_string_value(json_object_get(j, "from"));
    const char *folder = json_string_value(json_object_get(j, "folder"));
    const char *key = from && text_starts(from, "sha256:") ? from + 7 : from;
    return arena_printf(a, "adopted %s by %s from %s%.*s", at ? at : "?", by ? by : "?",
                        folder ? "the folder "
                        : key  ? "the entry "
                               : "?",
                        folder ? INT_MAX : 12,
                        folder ? folder
                        : key  ? key
                               : "");
}
