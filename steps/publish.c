/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing outputs into the workflow's folder (semantics 22): a temporary name beside the target, then one rename; folders are exchanged. Equal content is not touched. */
#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/manifest.h"
#include "cache/objects.h"
#include "cache/statcache.h"
#include "cache/store.h"
#include "steps/attempt.h"
#include "steps/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* False: it is neither file nor folder, or cannot be read. */
static bool digest_of_target(const struct world *w, const char *target, struct stat *st,
                             struct digest *ret)
{
    CLEANUP(sb_done) struct str text = {0};
    uint64_t bytes, files;

    if (S_ISREG(st->st_mode)) {
        return statcache_digest(w->statcache, target, ret, st, NULL) == 0;
    }
    if (!S_ISDIR(st->st_mode) ||
        manifest_of_input(target, w->statcache, &text, &bytes, &files, NULL) != 0) {
        return false;
    }
    digest_of(sb_text(&text), text.len, ret);
    return true;
}

/* Is it there already? Anything unreadable counts as different. */
static bool equal(const struct world *w, const char *target, const struct result_output *o)
{
    struct digest d;
    struct stat st;

    if (lstat(target, &st) != 0) {
        return false;
    }
    if (o->kind == OBJECT_TREE) {
        return S_ISDIR(st.st_mode) && digest_of_target(w, target, &st, &d) &&
               digest_eq(&d, &o->digest);
    }
    return S_ISREG(st.st_mode) && ((st.st_mode & 0111) != 0) == o->executable &&
           (uint64_t)st.st_size == o->bytes && digest_of_target(w, target, &st, &d) &&
           digest_eq(&d, &o->digest);
}

/* Does the target hold what nobody here made? What a run published stands among the objects, as long as the entry of `before` does; so no run's own result is taken for
 * a change, whichever run published last. */
static bool changed_since(const struct world *w, const char *target,
                          const struct result_output *before)
{
    struct digest d;
    struct stat st;

    if (!before || lstat(target, &st) != 0) {
        return false;
    }
    if (!digest_of_target(w, target, &st, &d)) {
        return true;
    }
    CLEANUP(cleanup_free) char *object = objects_path(w->store, &d);
    return !digest_eq(&d, &before->digest) && access(object, F_OK) != 0;
}

/* The target's folder, made if need be, must be real and inside of the workflow's. */
static int make_folder(const struct workflow *wf, const char *target, struct err *err)
{
    CLEANUP(cleanup_free) char *dir = fs_dirname(target);
    CLEANUP(cleanup_free) char *real = NULL;
    size_t len = strlen(wf->dir);
    int rc = fs_mkdirs(dir, 0777, err);

    if (rc != 0) {
        return rc;
    }
    real = fs_real(dir, err);
    if (!real) {
        return -ERR_IO;
    }
    if (strncmp(real, wf->dir, len) != 0 || (real[len] != '/' && real[len] != '\0')) {
        return err_set(err, ERR_DENIED, 0,
                       "'%s' leads out of the workflow's folder through a link: publish elsewhere",
                       target);
    }
    return 0;
}

/* On a file system that cannot exchange: aside, then in. 1: somebody else was there in between, try again. */
static int replace_in_turn(const char *temporary, const char *target)
{
    CLEANUP(cleanup_free) char *aside = xasprintf("%s.old", temporary);

    if (rename(target, aside) != 0) {
        return errno == ENOENT ? 1 : -1;
    }
    int rc = rename(temporary, target) == 0 ? 0 : errno == ENOTEMPTY || errno == EEXIST ? 1 : -1;
    int sys = errno;
    if (rc < 0) {
        (void)!rename(aside, target); /* as it was */
    } else {
        fs_remove_tree(aside, NULL);
    }
    errno = sys;
    return rc;
}

/* 0, 1: it changed under our hands, -1 with errno. */
static int replace_once(const char *temporary, const char *target)
{
    /* Over a file, an empty folder or nothing. */
    if (rename(temporary, target) == 0) {
        return 0;
    }
    if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR && errno != EISDIR) {
        return -1;
    }
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, target, RENAME_EXCHANGE) == 0) {
        fs_remove_tree(temporary, NULL);
        return 0;
    }
    bool unable = errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
    return errno == ENOENT ? 1 : unable ? replace_in_turn(temporary, target) : -1;
}

/* Other runs may publish there at the same time: the last one stays. */
static int replace(const char *temporary, const char *target, struct err *err)
{
    int rc = 1;

    for (int tries = 0; rc == 1 && tries < 100; tries++) {
        rc = replace_once(temporary, target);
    }
    return rc == 0 ? 0 : err_set(err, ERR_IO, errno, "cannot publish '%s'", target);
}

static int publish_one(const struct world *w, const char *target, const struct result_output *o,
                       const struct result_output *before, bool *ret_changed, struct err *err)
{
    if (equal(w, target, o)) {
        return 0;
    }
    *ret_changed = changed_since(w, target, before);
    int rc = make_folder(w->wf, target, err);
    if (rc != 0) {
        return rc;
    }
    char id[ID_LEN + 1];
    id_new(id);
    CLEANUP(cleanup_free) char *dir = fs_dirname(target);
    CLEANUP(cleanup_free) char *temporary = xasprintf("%s/.wf-%s", dir, id);
    rc = objects_place(w->store, &o->digest, o->kind, o->executable, PLACE_OWN, temporary, err);
    rc = rc == 0 ? replace(temporary, target, err) : rc;
    if (rc != 0) {
        fs_remove_tree(temporary, NULL);
    }
    return rc;
}

int step_publish(const struct world *w, const struct instance_ref *i, const struct result *r,
                 const struct result *before, struct str *ret_changed, struct err *err)
{
    const struct step *s = &w->wf->steps[i->step];
    struct arena *a = arena_new();
    int rc = 0;

    for (uint32_t n = 0; n < s->n_outputs && rc == 0; n++) {
        const struct output *out = &s->outputs[n];
        const struct result_output *made = out->publish ? result_output_find(r, out->name) : NULL;
        CLEANUP(sb_done) struct str path = {0}, clean = {0};
        struct scope scope = {.arena = a,
                              .wf = w->wf,
                              .step = s,
                              .params = w->params,
                              .row = i->row < s->n_rows ? &s->rows[i->row] : NULL};
        if (!made) {
            continue;
        }
        rc = text_eval_string(out->publish, &scope, &path, err);
        if (rc == 0 && (!fs_clean_relative(sb_text(&path), &clean) || clean.len == 0)) {
            rc = err_set(err, ERR_INVALID, 0,
                         "output '%s' cannot be published as '%s': the path must lie below the "
                         "workflow's folder",
                         out->name, sb_text(&path));
        }
        if (rc == 0) {
            CLEANUP(cleanup_free) char *target = xasprintf("%s/%s", w->wf->dir, sb_text(&clean));
            bool changed = false;
            rc = publish_one(w, target, made, before ? result_output_find(before, out->name) : NULL,
                             &changed, err);
            if (changed && rc == 0) {
                sb_printf(ret_changed, "%s%s", ret_changed->len > 0 ? ", " : "", sb_text(&clean));
            }
            rc = rc == 0 ? 0 : err_wrap(err, "output '%s'", out->name);
        }
    }
    arena_free(a);
    return rc > 0 ? err_set(err, ERR_INVALID, 0, "a path under `publish` cannot be known") : rc;
}
