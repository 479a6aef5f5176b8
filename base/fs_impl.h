/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind fs.h share. Nobody else includes this. */
#ifndef WF_BASE_FS_IMPL_H
#define WF_BASE_FS_IMPL_H

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stddef.h>

/* Fills err from an errno: its code, "cannot <action> '<path>': <reason>" and, where there is one, what to do. */
int fs_fail(struct err *err, int sys, const char *action, const char *path);

/* The names in one folder. */
struct fs_names {
    struct str memory; /* the names, each with its NUL */
    VEC(size_t) at;    /* offsets into memory */
};
/* Reads the folder open at dir_fd (which stays open, and at its end). 0, or -1 with errno. */
int fs_names_read(struct fs_names *n, int dir_fd);
void fs_names_sort(struct fs_names *n); /* by bytes */
void fs_names_done(struct fs_names *n);
static inline const char *fs_names_get(const struct fs_names *n, size_t i)
{
    return n->memory.data + n->at.items[i];
}

#endif
