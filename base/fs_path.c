/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as text, and questions about what they name. */
#include "base/err.h"
#include "base/fs.h"
#include "base/fs_impl.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

char *fs_join(const char *dir, const char *name)
{
    size_t len = strlen(dir);

    if (name[0] == '/' || len == 0) {
        return xstrdup(name);
    }
    if (name[0] == '\0') {
        return xstrdup(dir);
    }
    return xasprintf("%s%s%s", dir, dir[len - 1] == '/' ? "" : "/", name);
}

char *fs_real(const char *path, struct err *err)
{
    char *real = realpath(path, NULL);

    if (!real) {
        fs_fail(err, errno, "find", path);
    }
    return real;
}

const char *fs_basename(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

char *fs_dirname(const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    if (len == 0) {
        return xstrdup(".");
    }
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return xstrndup(path, len);
}

/* Takes the last part of the text behind `start` away; false when there is none, or it is "..". */
static bool drop_last(struct str *s, size_t start)
{
    const char *text = sb_text(s);
    size_t at = s->len;

    while (at > start && text[at - 1] != '/') {
        at--;
    }
    if (s->len == start || (s->len - at == 2 && memcmp(text + at, "..", 2) == 0)) {
        return false;
    }
    sb_truncate(s, at > start ? at - 1 : start);
    return true;
}

bool fs_clean_relative(const char *path, struct str *ret)
{
    const bool absolute = path[0] == '/';
    const size_t start = absolute ? 1 : 0;
    bool below = !absolute && path[0] != '\0';

    sb_clear(ret);
    if (absolute) {
        sb_putc(ret, '/');
    }
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        bool here = len == 0 || (len == 1 && p[0] == '.');
        bool up = len == 2 && p[0] == '.' && p[1] == '.';
        bool dropped = up && drop_last(ret, start);
        if (up && !dropped) {
            below = false;
        }
        /* ".." stays where there was nothing to take away, but not above the root. */
        if (!here && !dropped && !(up && absolute)) {
            if (ret->len > start) {
                sb_putc(ret, '/');
            }
            sb_add(ret, p, len);
        }
        p += len;
        p += *p == '/';
    }
    if (ret->len == 0) {
        sb_putc(ret, '.');
    }
    return below;
}

enum fs_kind fs_kind_of(const char *path)
{
    /* Magic numbers of linux/magic.h and of the file systems outside of the kernel. What is not listed is not trusted. */
    static const unsigned long local[] = {
        0xef53 /* ext */,         0x58465342 /* xfs */,      0x9123683e /* btrfs */,
        0x01021994 /* tmpfs */,   0x858458f6 /* ramfs */,    0xf2f52010 /* f2fs */,
        0x794c7630 /* overlay */, 0x2fc12fc1 /* zfs */,      0xca451a4e /* bcachefs */,
        0x3153464a /* jfs */,     0x52654973 /* reiserfs */, 0x3434 /* nilfs */,
    };
    static const unsigned long network[] = {
        0x6969 /* nfs */,      0x517b /* smb */,        0xff534d42 /* cifs */,
        0xfe534d42 /* smb2 */, 0x00c36400 /* ceph */,   0x0bd00bd0 /* lustre */,
        0x47504653 /* gpfs */, 0x5346414f /* afs */,    0x6b414653 /* kafs */,
        0x73757245 /* coda */, 0x19830326 /* beegfs */, 0x7461636f /* ocfs2 */,
        0x01161970 /* gfs2 */, 0xaad7aaea /* panfs */,  0x20030528 /* orangefs */,
        0x564c /* ncp */,
    };
    CLEANUP(cleanup_free) char *at = xstrdup(path);
    struct statfs st;

    while (statfs(at, &st) != 0) {
        char *up = fs_dirname(at);
        bool end = errno != ENOENT || strcmp(up, at) == 0;
        free(at);
        at = up;
        if (end) {
            return FS_FOREIGN;
        }
    }
    unsigned long type = (unsigned long)st.f_type & 0xffffffff; /* some are sign-extended */
    for (size_t i = 0; i < ARRAY_LEN(local); i++) {
        if (type == local[i]) {
            return FS_LOCAL;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(network); i++) {
        if (type == network[i]) {
            return FS_NETWORK;
        }
    }
    return FS_FOREIGN;
}

bool fs_executable(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

static bool may_run(const char *path)
{
    return fs_executable(path) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

char *fs_find_program(const char *name, const char *dir, const char *path_env)
{
    if (!dir) {
        dir = "";
    }
    if (strchr(name, '/')) {
        CLEANUP(cleanup_free) char *path = fs_join(dir, name);
        return may_run(path) ? take_ptr(path) : NULL;
    }
    if (name[0] == '\0') {
        return NULL;
    }
    if (!path_env) {
        path_env = "/bin:/usr/bin"; /* as execvp has it */
    }
    for (const char *p = path_env;; p++) {
        size_t len = strcspn(p, ":");
        CLEANUP(cleanup_free) char *part = xstrndup(p, len);
        /* An empty part is the current folder; a relative one is relative to it. */
        CLEANUP(cleanup_free) char *folder = fs_join(dir, part);
        CLEANUP(cleanup_free) char *path = fs_join(folder[0] ? folder : ".", name);
        if (may_run(path)) {
            return take_ptr(path);
        }
        p += len;
        if (*p == '\0') {
            return NULL;
        }
    }
}
