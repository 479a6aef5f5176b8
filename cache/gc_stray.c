/* SPDX-License-Identifier: Apache-2.0 */
/* Files below objects/ that no row names: what a killed process left. Only those older than every live run: a younger one may be named by a commit that is still to come. Their own
 * time is fixed, so the inode's change time tells their age. */
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/failpoint.h"
#include "cache/gc_internal.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SLACK_MS = 50, /* the kernel's coarse clock lags behind ours */
    PER_SLICE = 256,
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
    size_t from;
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
    struct gc_report *report = &s->gc->report;
    size_t to = s->from + PER_SLICE < s->found.len ? s->from + PER_SLICE : s->found.len;

    for (size_t i = s->from; i < to; i++) {
        struct stray *stray = &s->found.items[i];
        char name[OBJECT_NAME + 1];
        int rc = unnamed(db, &stray->digest, err);
        if (rc < 0) {
            return rc;
        }
        object_name(&stray->digest, name);
        FAILPOINT("gc.stray");
        if (rc == 1 && old_enough(s->gc, &stray->digest, &stray->bytes) &&
            unlinkat(s->gc->store->objects_fd, name, 0) == 0) {
            report->stray_objects++;
            report->bytes_removed += stray->bytes;
        }
    }
    return 0;
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

int gc_strays(struct gc *g, struct err *err)
{
    struct sweep s = {.write = {.apply = apply_sweep, .urgent = true}, .gc = g};
    int rc = 0;

    for (unsigned folder = 0; folder < 256 && rc == 0 && !gc_stop(g); folder++) {
        vec_clear(&s.found);
        rc = gather(&s, folder, err);
        for (s.from = 0; rc == 0 && s.from < s.found.len; s.from += PER_SLICE) {
            if (!g->o->dry_run) {
                rc = gc_slice(g, &s.write, err);
                continue;
            }
            for (size_t i = s.from; i < s.found.len && i < s.from + PER_SLICE; i++) {
                g->report.stray_objects++;
                g->report.bytes_removed += s.found.items[i].bytes;
            }
        }
    }
    vec_done(&s.found);
    if (rc == 0 && !g->stopped && !g->o->dry_run) {
        clear_tmp(g);
    }
    return rc;
}
