/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/folder.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cache/store.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { RUNTIME_DIR_MAX = 64, ID_END = 8, ACL_VERSION = 2, ACL_ALL = 7, ACL_NO_ID = -1 };

/* A private folder of ours, made now or before. 1: it is somebody else's, or open to others. */
static int take_private(const char *path, struct err *err)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return err_set(err, ERR_IO, errno, "cannot make the folder %s for the services' sockets",
                       path);
    }
    if (lstat(path, &st) != 0) {
        return err_set(err, ERR_IO, errno, "cannot look at %s", path);
    }
    return !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0;
}

static bool is_ours(const char *dir)
{
    struct stat st;
    return dir && dir[0] == '/' && strlen(dir) <= RUNTIME_DIR_MAX && stat(dir, &st) == 0 &&
           S_ISDIR(st.st_mode) && st.st_uid == geteuid() && access(dir, W_OK | X_OK) == 0;
}

int run_folder_make(const struct store *s, char **ret, struct err *err)
{
    const char *id = store_id(s), *runtime = getenv("XDG_RUNTIME_DIR");
    size_t len = strlen(id);
    const char *end = len > ID_END ? id + len - ID_END : id;
    char *path = is_ours(runtime) ? xasprintf("%s/wf-%s", runtime, end)
                                  : xasprintf("/tmp/wf-%u-%s", (unsigned)geteuid(), end);
    int rc = take_private(path, err);
    if (rc > 0) {
        rc =
            err_set(err, ERR_DENIED, 0,
                    "the folder %s, where services' sockets would lie, belongs to somebody else or "
                    "is open to others; remove it, or set XDG_RUNTIME_DIR to a folder of your own",
                    path);
    }
    if (rc < 0) {
        free(path);
        return rc;
    }
    *ret = path;
    return 0;
}

char *serve_folder_make(const struct store *s, const char *name, struct err *err)
{
    CLEANUP(cleanup_free) char *below = xasprintf("serve%s%s", *name ? "/" : "", name);
    char *path = store_path(s, below);
    if (fs_mkdirs(path, 0700, err) < 0) {
        free(path);
        return NULL;
    }
    return path;
}

/* The default ACL that takes the place of the umask for what is made in the folder (linux/posix_acl_xattr.h). */
static void let_all_connect(const char *path)
{
    enum { USER = 0x01, GROUP = 0x04, OTHER = 0x20 };
    const struct {
        uint32_t version;
        struct {
            uint16_t tag, perm;
            int32_t id;
        } entry[3];
    } acl = {
        ACL_VERSION,
        {{USER, ACL_ALL, ACL_NO_ID}, {GROUP, ACL_ALL, ACL_NO_ID}, {OTHER, ACL_ALL, ACL_NO_ID}}};
    /* A file system without ACLs: then a program of another user must open its socket itself. */
    (void)setxattr(path, "system.posix_acl_default", &acl, sizeof(acl), 0);
}

int socket_folder_make(const char *path, struct err *err)
{
    if ((mkdir(path, 0700) != 0 && errno != EEXIST) || chmod(path, 0777) != 0) {
        return err_set(err, ERR_IO, errno, "cannot make the folder %s for a service's socket",
                       path);
    }
    let_all_connect(path);
    return 0;
}
