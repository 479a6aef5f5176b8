/* SPDX-License-Identifier: Apache-2.0 */
/* Where promoted models' files lie, and putting them there. */
#include "serve/models.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cache/objects.h"
#include "cache/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char *models_path(const struct store *s, const struct result_output *o)
{
    char hex[DIGEST_HEX + 1], below[DIGEST_HEX + 16];

    digest_hex(&o->digest, hex);
    (void)snprintf(below, sizeof(below), "models/%s%s", hex,
                   o->kind == OBJECT_TREE ? ".d"
                   : o->executable        ? ".x"
                                          : "");
    return store_path(s, below);
}

int models_place(struct store *s, const struct result_output *o, char **ret_path, struct err *err)
{
    CLEANUP(cleanup_free) char *folder = store_path(s, "models");
    char *path = models_path(s, o);
    CLEANUP(cleanup_free) char *partial = xasprintf("%s.%d.new", path, (int)getpid());
    struct stat st;
    int rc = 0;

    if (lstat(path, &st) != 0) {
        rc = fs_mkdirs(folder, 0700, err);
        store_discard(s, partial);
        rc = rc < 0
                 ? rc
                 : objects_place(s, &o->digest, o->kind, o->executable, PLACE_HOST, partial, err);
        if (rc == 0 && rename(partial, path) != 0 && lstat(path, &st) != 0) {
            rc = err_set(err, ERR_IO, errno, "cannot put a model at %s", path);
        }
    }
    if (rc < 0) {
        free(path);
        return rc;
    }
    *ret_path = path;
    return 0;
}
