/* SPDX-License-Identifier: Apache-2.0 */
/* Writing an archive. One pass: an object is hashed while it is written, and what is not what its name says ends the export before anything appears under the name asked for. */
#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/archive.h"
#include "cache/archive_api.h"
#include "cache/entries_internal.h"
#include "cache/failpoint.h"
#include "cache/id_map.h"
#include "cache/manifest.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 256 * 1024 };

struct export
{
    struct store *store;
    const struct archive_api *api;
    struct archive *archive;
    struct archive_entry *header;
    struct digest_ctx *hash;
    char *piece;
    const char *name; /* of the file, for messages */
    const struct archive_options *o;
    struct archive_report report;
    struct id_map written; /* heads of objects */
};

static int failed(const struct export *x, struct err *err)
{
    int sys = x->api->archive_errno_(x->archive);
    const char *text = x->api->archive_error_string_(x->archive);

    if (sys == ENOSPC || sys == EDQUOT) {
        return err_set(err, ERR_IO, sys, "cannot write %s: its disk is full", x->name);
    }
    return err_set(err, ERR_IO, 0, "cannot write %s: %s", x->name, text ? text : "unknown error");
}

static int begin_member(struct export *x, const char *name, uint64_t bytes, unsigned mode,
                        struct err *err)
{
    const struct archive_api *api = x->api;

    api->archive_entry_clear_(x->header);
    api->archive_entry_set_pathname_(x->header, name);
    api->archive_entry_set_size_(x->header, (la_int64_t)bytes);
    api->archive_entry_set_filetype_(x->header, AE_IFREG);
    api->archive_entry_set_perm_(x->header, (__LA_MODE_T)mode);
    /* Equal entries make equal archives. */
    api->archive_entry_set_mtime_(x->header, OBJECT_TIME, 0);
    if (FAILPOINT_ERR("archive.write")) {
        return err_set(err, ERR_IO, ENOSPC, "cannot write %s: its disk is full", x->name);
    }
    return api->archive_write_header_(x->archive, x->header) == ARCHIVE_OK ? 0 : failed(x, err);
}

static int add_data(struct export *x, const void *data, size_t len, struct err *err)
{
    return x->api->archive_write_data_(x->archive, data, len) == (la_ssize_t)len ? 0
                                                                                 : failed(x, err);
}

static int add_text(struct export *x, const char *name, const struct str *text, struct err *err)
{
    int rc = begin_member(x, name, text->len, 0444, err);

    return rc < 0 ? rc : add_data(x, sb_text(text), text->len, err);
}

static int go_on(struct export *x, struct err *err)
{
    if (x->o->progress && !x->o->progress(x->report.entries, x->report.bytes, x->o->arg)) {
        return err_set(err, ERR_CANCELLED, 0, "interrupted: %s was not written", x->name);
    }
    return 0;
}

/* --- objects --- */

static int not_whole(const char *hex, struct err *err)
{
    return err_set(err, ERR_CORRUPT, 0,
                   "the object sha256:%.12s… is damaged or was removed meanwhile: `wf cache verify "
                   "--repair`, then export again",
                   hex);
}

static int add_content(struct export *x, int fd, const struct digest *d, uint64_t bytes,
                       const char *hex, struct err *err)
{
    struct digest found;
    uint64_t left = bytes;

    digest_begin(x->hash);
    while (left > 0) {
        ssize_t n = read(fd, x->piece, left < PIECE ? (size_t)left : PIECE);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return not_whole(hex, err);
        }
        digest_add(x->hash, x->piece, (size_t)n);
        int rc = add_data(x, x->piece, (size_t)n, err);
        x->report.bytes += (uint64_t)n;
        rc = rc < 0 ? rc : go_on(x, err);
        if (rc < 0) {
            return rc;
        }
        left -= (uint64_t)n;
    }
    digest_end(x->hash, &found);
    return digest_eq(&found, d) ? 0 : not_whole(hex, err);
}

static int add_file(struct export *x, const struct digest *d, uint64_t bytes, struct err *err)
{
    char object[OBJECT_NAME + 1], hex[DIGEST_HEX + 1], name[DIGEST_HEX + 16];
    struct stat st;
    int64_t head = digest_head(d);

    if (head != 0) { /* 0 is no key of a map: written as often as it is named, which import bears */
        int64_t *seen = id_map_put(&x->written, head);
        if (*seen) {
            return 0;
        }
        *seen = 1;
    }
    digest_hex(d, hex);
    object_name(d, object);
    CLEANUP(cleanup_close)
    int fd = openat(x->store->objects_fd, object, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != bytes) {
        return not_whole(hex, err);
    }
    snprintf(name, sizeof(name), "objects/%s", hex);
    int rc = begin_member(x, name, bytes, st.st_mode & 0111 ? 0555 : 0444, err);
    rc = rc < 0 ? rc : add_content(x, fd, d, bytes, hex, err);
    x->report.objects += rc == 0;
    FAILPOINT("archive.object");
    return rc;
}

static int add_listed(const struct manifest_entry *e, void *arg, struct err *err)
{
    return e->kind == 'f' || e->kind == 'x' ? add_file(arg, &e->digest, e->bytes, err) : 0;
}

struct adding {
    struct export *x;
    struct err *err;
};

/* The list of a folder first: whoever reads the archive needs its files no earlier than the entry. */
static int add_object(const struct digest *d, uint64_t bytes, enum object_kind kind, void *arg)
{
    struct adding *a = arg;
    CLEANUP(sb_done) struct str text = {0};
    int rc = add_file(a->x, d, bytes, a->err);

    if (rc < 0 || kind == OBJECT_FILE) {
        return rc;
    }
    rc = object_manifest(a->x->store, d, &text, a->err);
    return rc < 0 ? rc : manifest_each(sb_text(&text), text.len, add_listed, a->x, a->err);
}

/* --- entries --- */

struct about {
    const char *workflow, *step;
    bool bound;
};

/* 1: there, 0: gone. */
static int look_up(struct export *x, int64_t id, struct arena *a, struct about *ret,
                   struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(store_db(x->store), SQL_ENTRY_ABOUT, &row, err, "i", id);

    rc = rc < 0 ? rc : db_step(row, err);
    if (rc == 1) {
        const char *workflow = db_text(row, 0), *step = db_text(row, 1);
        *ret = (struct about){workflow ? arena_strdup(a, workflow) : NULL,
                              step ? arena_strdup(a, step) : NULL, !db_is_null(row, 2)};
    }
    return rc;
}

static int add_document(struct export *x, const struct entry *e, const struct about *about,
                        const char *action, const char *work, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    char hex[DIGEST_HEX + 1], name[DIGEST_HEX + 16];
    struct jsonw w;

    jw_init(&w, &text, false);
    jw_object(&w);
    jw_kv_i64(&w, "action", (int64_t)strlen(action));
    jw_kv_i64(&w, "result", (int64_t)e->data_len);
    jw_kv_text(&w, "step", about->step);
    jw_kv_i64(&w, "work", (int64_t)strlen(work));
    jw_kv_text(&w, "workflow", about->workflow);
    jw_end_object(&w);
    sb_putc(&text, '\n');
    sb_puts(&text, action);
    sb_add(&text, e->data, e->data_len);
    sb_puts(&text, work);
    digest_hex(&e->key, hex);
    snprintf(name, sizeof(name), "entries/%s", hex);
    return add_text(x, name, &text, err);
}

static int add_entry(struct export *x, int64_t id, struct arena *a, struct err *err)
{
    struct entry e;
    struct about about = {0};
    struct digest bad;
    const char *action, *work;
    int there = look_up(x, id, a, &about, err);
    int rc = there == 1 ? entry_get(x->store, id, a, &e, err) : there;

    rc = rc < 0 || there == 0 || rc == 1 ? rc : entry_action(x->store, id, a, &action, &work, err);
    if (rc < 0) {
        return rc;
    }
    if (there == 0 || rc == 1) {
        x->report.gone++;
        return 0;
    }
    if (about.bound) {
        x->report.bound++;
        return 0;
    }
    /* By stat, so that what is plainly not there costs its entry only. */
    if (entry_check_objects(x->store, &e, &bad) != OBJECT_GOOD) {
        x->report.broken++;
        return 0;
    }
    struct adding adding = {x, err};
    rc = result_each_object(e.data, e.data_len, add_object, &adding, err);
    rc = rc < 0 ? rc : add_document(x, &e, &about, action, work, err);
    x->report.entries += rc == 0;
    return rc < 0 ? rc : go_on(x, err);
}

static int add_all(struct export *x, const int64_t *ids, size_t count, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};

    sb_printf(&text, "{\"format\":%d,\"store\":\"%s\",\"wf\":", ARCHIVE_FORMAT, store_id(x->store));
    jw_string_add(&text, x->o->wf_version, strlen(x->o->wf_version));
    sb_puts(&text, "}\n");
    int rc = add_text(x, "wf-cache", &text, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct arena *a = arena_new();
        rc = add_entry(x, ids[i], a, err);
        arena_free(a);
    }
    sb_clear(&text);
    sb_printf(&text, "{\"entries\":%llu,\"objects\":%llu}\n", (unsigned long long)x->report.entries,
              (unsigned long long)x->report.objects);
    return rc < 0 ? rc : add_text(x, "wf-end", &text, err);
}

static int write_archive(struct export *x, int fd, const int64_t *ids, size_t count,
                         struct err *err)
{
    const struct archive_api *api = x->api;

    x->archive = api->archive_write_new_();
    x->header = api->archive_entry_new_();
    x->hash = digest_new();
    x->piece = xmalloc(PIECE);
    int rc = 0;
    if (api->archive_write_set_format_pax_restricted_(x->archive) != ARCHIVE_OK ||
        api->archive_write_add_filter_zstd_(x->archive) != ARCHIVE_OK ||
        api->archive_write_set_bytes_in_last_block_(x->archive, 1) != ARCHIVE_OK ||
        api->archive_write_open_fd_(x->archive, fd) != ARCHIVE_OK) {
        rc = failed(x, err);
    }
    rc = rc < 0 ? rc : add_all(x, ids, count, err);
    if (rc == 0 && api->archive_write_close_(x->archive) != ARCHIVE_OK) {
        rc = failed(x, err);
    }
    if (rc < 0) { /* the member under way is not filled up; closing frees what failing leaves */
        (void)api->archive_write_fail_(x->archive);
        (void)api->archive_write_close_(x->archive);
    }
    api->archive_write_free_(x->archive);
    api->archive_entry_free_(x->header);
    digest_free(x->hash);
    cleanup_free(&x->piece);
    id_map_done(&x->written);
    return rc;
}

int archive_export(struct store *s, const int64_t *ids, size_t count, const char *path, int fd,
                   const struct archive_options *o, struct archive_report *ret, struct err *err)
{
    struct export x = {.store = s, .o = o, .name = path ? path : "the output"};
    struct new_file file;
    char id[ID_LEN + 1];
    int live = -1;
    int rc = archive_api_open(&x.api, err);

    if (rc < 0) {
        return rc;
    }
    if (path) {
        rc = new_file_open(path, 0644, &file, err);
        fd = rc == 0 ? file.fd : -1;
    }
    if (rc < 0) {
        return rc;
    }
    /* As a live run, for whose sake no file goes while it is read. Where that cannot be said (a store that is only read) it goes well in nearly all cases. */
    id_new(id);
    if (store_live(s, id, &live, NULL) == 0) {
        store_settle(s);
    }
    rc = write_archive(&x, fd, ids, count, err);
    if (live >= 0) {
        store_unlive(s, id, live);
    }
    if (path) {
        FAILPOINT("archive.rename");
        int end = new_file_end(&file, true, rc < 0, rc < 0 ? NULL : err);
        rc = rc < 0 ? rc : end;
    }
    if (rc == 0) {
        *ret = x.report;
    }
    return rc;
}
