/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an archive as it streams by. Objects come in under the name their content has; entries are gathered and committed some at a time. The process counts as a live run meanwhile, so that housekeeping
 * leaves the objects that no entry names yet. */
#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/archive.h"
#include "cache/archive_api.h"
#include "cache/entries_internal.h"
#include "cache/failpoint.h"
#include "cache/foreign.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    PIECE = 256 * 1024,
    LINE_MAX_BYTES = 64 * 1024,
    DOCUMENT_MAX = 64 << 20, /* an action names each input: far above what any step has */
    PER_SLICE = 256,
    SLICE_BYTES = 16 << 20,
    ROOM_ASKED = 1 << 20, /* a smaller object is just written */
};

struct incoming {
    struct entry_new e;
    struct result result;
    bool added, broken;
};
struct import {
    struct store *store;
    const struct archive_api *api;
    struct archive *archive;
    const char *name;
    const struct archive_options *o;
    struct archive_report report;
    struct digest_ctx *hash;
    char *piece;
    char origin[ID_LEN + 1];                   /* the store that wrote it; "": this one */
    uint64_t members_entries, members_objects; /* seen so far */
    bool ended;
    struct write write; /* of the slice */
    struct arena *arena;
    struct incoming slice[PER_SLICE];
    size_t count, bytes;
};

static int bad(const struct import *m, struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, 0,
                   "%s %s; what came before it is kept (`wf cache export` writes it anew)", m->name,
                   what);
}

/* libarchive's own words, where the reading of it fails. */
static int unreadable(const struct import *m, struct err *err)
{
    int sys = m->api->archive_errno_(m->archive);
    const char *text = m->api->archive_error_string_(m->archive);

    if (sys == EIO || sys == EISDIR || sys == EACCES) {
        return err_set(err, ERR_IO, sys, "cannot read %s", m->name);
    }
    return err_set(err, ERR_CORRUPT, 0, "%s is cut off or damaged (%s); what came before is kept",
                   m->name, text ? text : "no further word");
}

/* --- a slice of entries --- */

static int apply_slice(struct write *w, struct db *db, struct err *err)
{
    struct import *m = CONTAINER_OF(w, struct import, write);

    for (size_t i = 0; i < m->count; i++) {
        struct incoming *n = &m->slice[i];
        struct err own = {0};
        int64_t id = 0;
        n->e.result = &n->result;
        n->added = n->broken = false;
        int rc = entry_insert(m->store, db, &n->e, &id, &own);
        if (rc == -(int)ERR_CORRUPT) {
            n->broken = true;
            continue;
        }
        /* Used now, whatever its making's time: the next housekeeping is not to take it at once. */
        int64_t hit = rc < 0 ? rc : db_run(db, SQL_HIT_RAISE, &own, "ii", id, now_ms());
        if (rc < 0 || hit < 0) {
            if (err) {
                *err = own;
            }
            return rc < 0 ? rc : (int)hit;
        }
        n->added = true;
        FAILPOINT("archive.entry");
    }
    return 0;
}

static int commit_slice(struct import *m, struct err *err)
{
    m->write = (struct write){.apply = apply_slice, .urgent = true};
    int rc = m->count > 0 ? store_write_now(m->store, &m->write, err) : 0;

    for (size_t i = 0; i < m->count && rc == 0; i++) {
        m->report.entries += m->slice[i].added;
        m->report.broken += m->slice[i].broken;
    }
    m->count = m->bytes = 0;
    arena_free(m->arena);
    m->arena = arena_new();
    return rc;
}

/* --- members --- */

/* A small member as a whole. */
static int read_document(struct import *m, struct archive_entry *e, size_t max, struct str *ret,
                         struct err *err)
{
    la_int64_t size = m->api->archive_entry_size_(e);

    if (size < 0 || (uint64_t)size > max) {
        return bad(m, err, "holds a document that is larger than any wf writes");
    }
    while (ret->len < (size_t)size) {
        size_t left = (size_t)size - ret->len;
        la_ssize_t n =
            m->api->archive_read_data_(m->archive, m->piece, left < PIECE ? left : PIECE);
        if (n <= 0) {
            return n < 0 ? unreadable(m, err) : bad(m, err, "is cut off");
        }
        sb_add(ret, m->piece, (size_t)n);
    }
    return 0;
}

static int read_json(struct import *m, const char *text, size_t len, json_t **ret, struct err *err)
{
    if (json_read(text, len, LINE_MAX_BYTES, ret, NULL) < 0 || !json_is_object(*ret)) {
        return bad(m, err, "holds a line that is not what wf writes");
    }
    return 0;
}

static int write_content(struct import *m, int fd, const char *tmp, uint64_t size,
                         const struct digest *d, struct err *err)
{
    struct digest found;
    uint64_t got = 0;

    digest_begin(m->hash);
    for (;;) {
        la_ssize_t n = m->api->archive_read_data_(m->archive, m->piece, PIECE);
        if (n == 0) {
            break;
        }
        if (n < 0) {
            return unreadable(m, err);
        }
        got += (uint64_t)n;
        if (got > size) {
            break;
        }
        digest_add(m->hash, m->piece, (size_t)n);
        if (FAILPOINT_ERR("archive.content")) {
            return err_set(err, ERR_IO, ENOSPC, "cannot write %s", tmp);
        }
        int rc = fs_write_all(fd, m->piece, (size_t)n, err);
        if (rc < 0) {
            return rc;
        }
        if (m->o->progress &&
            !m->o->progress(m->report.entries, m->report.bytes + got, m->o->arg)) {
            return err_set(err, ERR_CANCELLED, 0, "interrupted: what came before is kept");
        }
    }
    digest_end(m->hash, &found);
    return got == size && digest_eq(&found, d)
               ? 0
               : bad(m, err, "holds an object that is not what its name says");
}

/* A few bytes of an archive can stand for more than any disk holds: known before the disk is full. */
static int check_room(struct import *m, uint64_t size, struct err *err)
{
    struct statvfs fs;

    if (size < ROOM_ASKED || statvfs(store_dir(m->store), &fs) != 0 ||
        size <= (uint64_t)fs.f_bavail * fs.f_frsize) {
        return 0;
    }
    return err_set(
        err, ERR_IO, ENOSPC,
        "%s holds an object of %llu bytes, for which the disk that holds the store %s has "
        "no room; what came before it is kept",
        m->name, (unsigned long long)size, store_dir(m->store));
}

static int take_object(struct import *m, struct archive_entry *e, const struct digest *d,
                       struct err *err)
{
    uint64_t size = (uint64_t)m->api->archive_entry_size_(e);

    if (object_there(m->store, d, size, OBJECT_FILE)) {
        m->report.known_objects++;
        return m->api->archive_read_data_skip_(m->archive) == ARCHIVE_OK ? 0 : unreadable(m, err);
    }
    int rc = check_room(m, size, err);
    if (rc < 0) {
        return rc;
    }
    CLEANUP(cleanup_free) char *tmp = store_tmp(m->store);
    CLEANUP(cleanup_close) int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set(err, ERR_IO, errno, "cannot make %s", tmp);
    }
    rc = write_content(m, fd, tmp, size, d, err);
    int sys = rc < 0 ? 0 : object_seal(fd, (m->api->archive_entry_perm_(e) & 0111) != 0);
    rc = sys < 0 ? err_set(err, ERR_IO, -sys, "cannot seal %s", tmp) : rc;
    FAILPOINT("archive.sealed");
    rc = rc < 0 ? rc : object_install(m->store, tmp, d, size, false, err);
    if (rc < 0) {
        unlink(tmp);
        return err->code == ERR_IO ? store_advise(m->store, err) : rc;
    }
    m->report.objects++;
    m->report.bytes += size;
    return 0;
}

/* --- entries --- */

/* The action hashes to the key, and names this work. */
static int check_action(struct import *m, const struct entry_new *e, struct err *err)
{
    CLEANUP(cleanup_json) json_t *action = NULL;
    CLEANUP(cleanup_json) json_t *work = NULL;
    struct digest key;

    action_key(e->action, e->action_len, &key);
    if (!digest_eq(&key, &e->key)) {
        return bad(m, err, "holds an entry that is not of the key it claims");
    }
    if (json_read(e->action, e->action_len, DOCUMENT_MAX, &action, NULL) < 0 ||
        json_read(e->work, e->work_len, DOCUMENT_MAX, &work, NULL) < 0) {
        return bad(m, err, "holds an action that is no JSON");
    }
    const char *named = json_string_value(json_object_get(action, "work"));
    struct digest d;
    if (!named || !text_starts(named, "sha256:") ||
        !digest_parse(named + 7, strlen(named + 7), &d) || !digest_eq(&d, &e->work_digest)) {
        return bad(m, err, "holds an entry whose action names another work");
    }
    return 0;
}

/* Objects come before the entry that names them: a folder whose list is not here by now costs its entry. */
static int check_result(struct import *m, struct incoming *n, struct err *err)
{
    struct err why = {0};
    int rc = foreign_check(&n->result, n->e.work, n->e.work_len, &why);

    rc = rc < 0 ? rc : foreign_check_folders(m->store, &n->result, &why);
    if (rc == 0 || (rc < 0 && why.code != ERR_CORRUPT)) {
        n->broken = rc < 0;
        return 0;
    }
    return err_set(err, ERR_CORRUPT, 0,
                   "%s holds an entry of the step '%.200s' whose result %s; what came before it is "
                   "kept",
                   m->name, n->e.step ? n->e.step : "?", why.msg);
}

/* A member of the line of JSON as a count of bytes. */
static bool get_bytes(const json_t *line, const char *name, size_t *ret)
{
    const json_t *v = json_object_get(line, name);

    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) > (json_int_t)DOCUMENT_MAX) {
        return false;
    }
    *ret = (size_t)json_integer_value(v);
    return true;
}

/* All bytes, whatever they are, and a NUL. */
static const char *copy_bytes(struct arena *a, const char *data, size_t len)
{
    char *copy = arena_alloc(a, len + 1);

    memcpy(copy, data, len);
    return copy;
}

static int parse_entry(struct import *m, const struct str *text, const struct digest *key,
                       struct incoming *ret, struct err *err)
{
    const char *end = memchr(sb_text(text), '\n', text->len);
    CLEANUP(cleanup_json) json_t *line = NULL;
    size_t action = 0, result = 0, work = 0;

    if (!end || (size_t)(end - text->data) > LINE_MAX_BYTES) {
        return bad(m, err, "holds an entry without its first line");
    }
    int rc = read_json(m, text->data, (size_t)(end - text->data), &line, err);
    if (rc < 0) {
        return rc;
    }
    const char *at = end + 1;
    if (!get_bytes(line, "action", &action) || !get_bytes(line, "result", &result) ||
        !get_bytes(line, "work", &work) ||
        action + result + work != text->len - (size_t)(at - text->data)) {
        return bad(m, err, "holds an entry whose parts do not fit");
    }
    const char *workflow = json_string_value(json_object_get(line, "workflow"));
    const char *step = json_string_value(json_object_get(line, "step"));
    if (!foreign_text(workflow) || !foreign_text(step)) {
        return bad(m, err, "holds an entry whose names cannot be shown");
    }
    *ret = (struct incoming){0};
    struct entry_new *e = &ret->e;
    e->key = *key;
    e->workflow = workflow ? arena_strdup(m->arena, workflow) : NULL;
    e->step = step ? arena_strdup(m->arena, step) : NULL;
    e->action = copy_bytes(m->arena, at, action);
    e->action_len = action;
    e->work = copy_bytes(m->arena, at + action + result, work);
    e->work_len = work;
    digest_of(e->work, work, &e->work_digest);
    if (result_decode(at + action, result, m->arena, &ret->result, NULL) < 0) {
        return bad(m, err, "holds a result that cannot be read");
    }
    if (!ret->result.origin && m->origin[0]) {
        ret->result.origin = m->origin;
    } else if (text_eq(ret->result.origin, store_id(m->store))) {
        ret->result.origin = NULL;
    }
    rc = check_action(m, e, err);
    return rc < 0 ? rc : check_result(m, ret, err);
}

/* There already, with all its objects? */
static int known(struct import *m, const struct digest *key, struct err *err)
{
    struct arena *a = arena_new();
    struct entry e;
    struct digest object;
    int rc = entry_find(m->store, key, a, &e, err);

    if (rc == 0) {
        rc = entry_check_objects(m->store, &e, &object) == OBJECT_GOOD ? 0 : 1;
    }
    arena_free(a);
    return rc;
}

static int take_entry(struct import *m, struct archive_entry *header, const struct digest *key,
                      struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    int rc = read_document(m, header, DOCUMENT_MAX, &text, err);

    rc = rc < 0 ? rc : parse_entry(m, &text, key, &m->slice[m->count], err);
    if (rc == 0 && m->slice[m->count].broken) {
        m->report.broken++;
        return 0;
    }
    rc = rc < 0 ? rc : known(m, key, err);
    if (rc <= 0) {
        m->report.known += rc == 0;
        return rc;
    }
    m->count++;
    m->bytes += text.len;
    return m->count == PER_SLICE || m->bytes >= SLICE_BYTES ? commit_slice(m, err) : 0;
}

/* --- the course --- */

static int take_end(struct import *m, struct archive_entry *header, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_json) json_t *line = NULL;
    int rc = read_document(m, header, LINE_MAX_BYTES, &text, err);

    rc = rc < 0 ? rc : read_json(m, sb_text(&text), text.len, &line, err);
    if (rc < 0) {
        return rc;
    }
    const json_t *entries = json_object_get(line, "entries");
    const json_t *objects = json_object_get(line, "objects");
    if ((uint64_t)json_integer_value(entries) != m->members_entries ||
        (uint64_t)json_integer_value(objects) != m->members_objects) {
        return bad(m, err, "does not hold what its end counts");
    }
    m->ended = true;
    return 0;
}

/* "objects/HEX": nothing else is a name here. */
static bool named(const char *path, const char *folder, struct digest *ret)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && strlen(path + len) == DIGEST_HEX &&
           digest_parse(path + len, DIGEST_HEX, ret);
}

static int take_member(struct import *m, struct archive_entry *e, struct err *err)
{
    const char *path = m->api->archive_entry_pathname_(e);
    struct digest d;

    if (!path || m->api->archive_entry_filetype_(e) != AE_IFREG ||
        m->api->archive_entry_hardlink_(e) || m->api->archive_entry_sparse_count_(e) > 0 ||
        !m->api->archive_entry_size_is_set_(e) || m->api->archive_entry_size_(e) < 0 || m->ended) {
        return bad(m, err, "holds something that wf does not write");
    }
    if (named(path, "objects/", &d)) {
        m->members_objects++;
        return take_object(m, e, &d, err);
    }
    if (named(path, "entries/", &d)) {
        m->members_entries++;
        return take_entry(m, e, &d, err);
    }
    return strcmp(path, "wf-end") == 0 ? take_end(m, e, err)
                                       : bad(m, err, "holds something that wf does not write");
}

/* 1: a member, 0: the end. */
static int next_member(struct import *m, struct archive_entry **ret, struct err *err)
{
    int rc = m->api->archive_read_next_header_(m->archive, ret);

    if (rc == ARCHIVE_EOF) {
        return 0;
    }
    return rc == ARCHIVE_OK || rc == ARCHIVE_WARN ? 1 : unreadable(m, err);
}

static int read_head(struct import *m, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_json) json_t *line = NULL;
    struct archive_entry *e = NULL;
    int rc = next_member(m, &e, NULL);

    if (rc != 1 || !text_eq(m->api->archive_entry_pathname_(e), "wf-cache") ||
        read_document(m, e, LINE_MAX_BYTES, &text, NULL) < 0 ||
        read_json(m, sb_text(&text), text.len, &line, NULL) < 0) {
        return err_set(err, ERR_CORRUPT, 0,
                       "%s is not an archive that `wf cache export` wrote: nothing was imported",
                       m->name);
    }
    json_int_t format = json_integer_value(json_object_get(line, "format"));
    if (format != ARCHIVE_FORMAT) {
        const char *by = json_string_value(json_object_get(line, "wf"));
        return err_set(
            err, ERR_UNSUPPORTED, 0,
            "%s has the format %lld (written by wf %.40s); this wf reads %d: use a newer "
            "wf, nothing was imported",
            m->name, (long long)format, by && foreign_text(by) ? by : "?", ARCHIVE_FORMAT);
    }
    const char *store = json_string_value(json_object_get(line, "store"));
    if (!store || strlen(store) != ID_LEN || id_time_ms(store) < 0) {
        return bad(m, err, "does not say which store wrote it");
    }
    if (!text_eq(store, store_id(m->store))) {
        memcpy(m->origin, store, ID_LEN);
    }
    return 0;
}

static int read_all(struct import *m, struct err *err)
{
    struct archive_entry *e = NULL;
    int rc = read_head(m, err);
    int more = 1;

    while (rc == 0 && (more = next_member(m, &e, err)) == 1) {
        rc = take_member(m, e, err);
        if (rc == 0 && m->o->progress &&
            !m->o->progress(m->report.entries, m->report.bytes, m->o->arg)) {
            rc = err_set(err, ERR_CANCELLED, 0, "interrupted: what came before is kept");
        }
    }
    rc = rc < 0 ? rc : more;
    struct err own = {0};
    int last = commit_slice(m, rc < 0 ? &own : err); /* what is whole counts in any case */
    rc = rc < 0 ? rc : last;
    return rc == 0 && !m->ended ? bad(m, err, "is cut off") : rc;
}

int archive_import(struct store *s, int fd, const char *name, const struct archive_options *o,
                   struct archive_report *ret, struct err *err)
{
    struct import *m = xcalloc(1, sizeof(*m));
    struct err local = {0};
    char id[ID_LEN + 1];
    int live = -1;

    err = err ? err : &local;
    *m = (struct import){.store = s, .name = name, .o = o};
    id_new(id);
    int rc = archive_api_open(&m->api, err);
    rc = rc < 0 ? rc : store_live(s, id, &live, err);
    if (rc == 0) {
        store_settle(s); /* what a removal under way takes is gone before we look what is there */
        m->archive = m->api->archive_read_new_();
        m->hash = digest_new();
        m->piece = xmalloc(PIECE);
        m->arena = arena_new();
        if (m->api->archive_read_support_filter_zstd_(m->archive) < ARCHIVE_WARN ||
            m->api->archive_read_support_format_tar_(m->archive) != ARCHIVE_OK) {
            rc = unreadable(m, err);
        } else if (m->api->archive_read_open_fd_(m->archive, fd, 64 * 1024) != ARCHIVE_OK) {
            rc = err_set(err, ERR_CORRUPT, 0,
                         "%s is not an archive that `wf cache export` wrote: nothing was imported",
                         name);
        }
        rc = rc < 0 ? rc : read_all(m, err);
        struct err own = {0};
        int sync = store_sync(s, rc < 0 ? &own : err);
        rc = rc < 0 ? rc : sync;
        m->api->archive_read_free_(m->archive);
        digest_free(m->hash);
        cleanup_free(&m->piece);
        arena_free(m->arena);
        store_unlive(s, id, live);
    }
    if (rc == 0) {
        *ret = m->report;
    }
    cleanup_free(&m);
    return rc;
}
