/* SPDX-License-Identifier: Apache-2.0 */
/* Files below objects/ that no row names: what a killed process left. Only those older than every live run: a younger one may be named by a commit that is still to come. Their own
 * time is fixed, so the inode's change time tells their age. */
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SLACK_MS = 50, /* the kernel's coarse clock lags behind ours */
    FOLDERS = 256,
    AGAIN_MS = 7 * 86400 * 1000, /* by itself */
    TMP_AGE_MS = 3600 * 1000,
};

struct stray {
    struct digest digest;
    uint64_t bytes;
};

struct sweep {
    struct write write;
    struct gc *gc;
    VEC(struct stray) found;
    size_t from, to;
    uint64_t files, bytes; /* of one slice */
};

/* 1: no row names it, 0: one does. */
static int unnamed(struct db *db, const struct digest *d, struct err *err)
{
    for (int kind = OBJECT_FILE; kind <= OBJECT_TREE; kind++) {
        CLEANUP(db_row_done) struct db_row *row = NULL;
        int rc =
            db_query(db, SQL_OBJECT_REFS, &row, err, "i", object_head(d, (enum object_kind)kind));
        rc = rc < 0 ? rc : db_step(row, err);
        if (rc != 0) {
            return rc < 0 ? rc : 0;
        }
    }
    return 1;
}

static bool old_enough(const struct gc *g, const struct digest *d, uint64_t *ret_bytes)
{
    char name[OBJECT_NAME + 1];
    struct stat st;

    object_name(d, name);
    if (fstatat(g->store->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(st.st_mode)) {
        return false;
    }
    *ret_bytes = (uint64_t)st.st_size;
    return (int64_t)st.st_ctim.tv_sec * 1000 + st.st_ctim.tv_nsec / 1000000 <
           g->oldest_live - SLACK_MS;
}

/* Looked at again where nobody can name it meanwhile. */
static int apply_sweep(struct write *w, struct db *db, struct err *err)
{
    struct sweep *s = CONTAINER_OF(w, struct sweep, write);
    int64_t began = mono_us();

    s->files = s->bytes = 0;
    for (s->to = s->from; s->to < s->found.len && !gc_slice_full(began); s->to++) {
        struct stray *stray = &s->found.items[s->to];
        char name[OBJECT_NAME + 1];
        int rc = unnamed(db, &stray->digest, err);
        if (rc < 0) {
            return rc;
        }
        object_name(&stray->digest, name);
        FAILPOINT("gc.stray");
        if (rc == 1 && old_enough(s->gc, &stray->digest, &stray->bytes) &&
            unlinkat(s->gc->store->objects_fd, name, 0) == 0) {
            s->files++;
            s->bytes += stray->bytes;
        }
    }
    return 0;
}

static int sweep_found(struct sweep *s, struct err *err)
{
    struct gc *g = s->gc;
    int rc = 0;

    for (s->from = 0; rc == 0 && s->from < s->found.len; s->from = s->to) {
        if (g->o->dry_run) {
            s->to = s->from + 1;
            s->files = 1;
            s->bytes = s->found.items[s->from].bytes;
        } else {
            rc = gc_slice(g, &s->write, err);
        }
        g->report.stray_objects += s->files;
        g->report.bytes_removed += s->bytes;
    }
    return rc;
}

static int gather(struct sweep *s, unsigned folder, struct err *err)
{
    char hex[3], name[DIGEST_HEX + 1];
    struct dirent *e;
    int rc = 0;

    hex[0] = "0123456789abcdef"[folder >> 4];
    hex[1] = "0123456789abcdef"[folder & 15];
    hex[2] = '\0';
    CLEANUP(cleanup_free) char *path = xasprintf("%s/objects/%s", s->gc->store->dir, hex);
    DIR *dir = opendir(path);
    while (dir && rc >= 0 && (e = readdir(dir))) {
        struct stray stray = {0};
        if (strlen(e->d_name) != DIGEST_HEX - 2) {
            continue;
        }
        memcpy(name, hex, 2);
        memcpy(name + 2, e->d_name, DIGEST_HEX - 1);
        if (!digest_parse(name, DIGEST_HEX, &stray.digest)) {
            continue;
        }
        rc = unnamed(store_db(s->gc->store), &stray.digest, err);
        if (rc == 1 && old_enough(s->gc, &stray.digest, &stray.bytes)) {
            *vec_push(&s->found) = stray;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return rc < 0 ? rc : 0;
}

/* Half-written files of processes that were killed. */
static void clear_tmp(struct gc *g)
{
    CLEANUP(cleanup_free) char *path = store_path(g->store, "tmp");
    DIR *dir = opendir(path);
    struct dirent *e;
    struct stat st;

    while (dir && (e = readdir(dir))) {
        if (e->d_name[0] != '.' && fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) &&
            (int64_t)st.st_ctim.tv_sec * 1000 < g->oldest_live - TMP_AGE_MS) {
            unlinkat(dirfd(dir), e->d_name, 0);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

/* The lock's file of an import or an adoption that was killed: nobody holds it, and no run is known by that name or left a folder. What runs left, the next run ends with their processes. */
static bool live_of_nobody(struct gc *g, const char *id, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    CLEANUP(cleanup_free) char *work = xasprintf("%s/work/%s", g->store->dir, id);
    struct stat st;

    if (strlen(id) != ID_LEN || id_time_ms(id) < 0 || store_is_live(g->store, id) ||
        lstat(work, &st) == 0) {
        return false;
    }
    int rc = db_query(store_db(g->store), SQL_GC_LIVE, &row, err, "t", id);
    return rc == 0 && db_step(row, err) == 0;
}

void gc_clear_live(struct gc *g)
{
    CLEANUP(cleanup_free) char *path = store_path(g->store, "live");
    DIR *dir = opendir(path);
    struct err err = {0};
    struct dirent *e;
    int fd;

    while (dir && (e = readdir(dir))) {
        if (live_of_nobody(g, e->d_name, &err) && store_live(g->store, e->d_name, &fd, &err) == 0) {
            store_unlive(g->store, e->d_name, fd);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

/* Where time is bounded: the folder to go on with, 256: nothing is to be done yet. */
static int where_to_go_on(struct gc *g, unsigned *ret, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    int rc = gc_meta_get(g->store, "gc.strays", &text, err);
    char *rest = NULL;
    unsigned long folder = strtoul(sb_text(&text), &rest, 10);
    int64_t ended = strtoll(rest, NULL, 10), now = now_ms();

    *ret = folder < FOLDERS ? (unsigned)folder : 0;
    if (folder == 0 && ended <= now && now - ended < AGAIN_MS) {
        *ret = FOLDERS;
    }
    return rc;
}

static int leave_at(struct gc *g, unsigned folder, struct err *err)
{
    char text[48];

    snprintf(text, sizeof(text), "%u %" PRId64, folder % FOLDERS, now_ms());
    return gc_meta_put_now(g, "gc.strays", text, err);
}

int gc_strays(struct gc *g, struct err *err)
{
    struct sweep s = {.write = {.apply = apply_sweep, .urgent = true}, .gc = g};
    unsigned folder = 0;
    int rc = g->deadline_us > 0 ? where_to_go_on(g, &folder, err) : 0;
    bool any = folder < FOLDERS;

    for (; folder < FOLDERS && rc == 0 && !gc_stop(g); folder++) {
        vec_clear(&s.found);
        rc = gather(&s, folder, err);
        rc = rc < 0 ? rc : sweep_found(&s, err);
    }
    vec_done(&s.found);
    if (rc == 0 && any && !g->o->dry_run) {
        if (folder == FOLDERS) {
            clear_tmp(g);
        }
        rc = leave_at(g, folder, err);
    }
    return rc;
}
