/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders. Everything here blocks and may be called on any thread; messages name the path and what to do. */
#ifndef WF_BASE_FS_H
#define WF_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct err;
struct str;

/* Reads a whole regular file; more than `max` bytes is ERR_INVALID "larger than …". The result is NUL-terminated (not counted). */
int fs_read_file(const char *path, size_t max, struct str *ret, struct err *err);
/* Temporary name in the same folder, then rename; a device, a FIFO or a link there is written to instead. `sync`: fdatasync before. mode e.g. 0644. */
int fs_write_file(const char *path, const void *data, size_t len, mode_t mode, bool sync,
                  struct err *err);
/* The same in parts; it appears under its name at the end. What fails is said there. Until then it has no name where the file system can do that, so that a killed process leaves nothing. */
struct new_file {
    const char *path; /* the caller's */
    char *name;       /* until then; NULL: none, or written in place */
    bool unnamed;
    int fd, sys; /* sys: the first failure */
};
int new_file_open(const char *path, mode_t mode, struct new_file *ret, struct err *err);
void new_file_add(struct new_file *f, const void *data, size_t len);
/* `drop`: nothing is to appear (then always 0). */
int new_file_end(struct new_file *f, bool sync, bool drop, struct err *err);
int fs_write_all(int fd, const void *data, size_t len, struct err *err); /* retries short writes */
int fs_mkdirs(const char *path, mode_t mode, struct err *err); /* and parents; existing is fine */
/* Removes a file or a whole tree (never follows links, makes folders writable first); absent is fine. */
int fs_remove_tree(const char *path, struct err *err);

/* How a copy came to be. */
enum fs_copied { FS_REFLINKED, FS_COPIED, FS_LINKED };
/* Copies the regular file at `from` to `to` (which must not exist) with `mode`: by reflink (FICLONE), else by bytes (copy_file_range). */
int fs_copy_file(const char *from, const char *to, mode_t mode, enum fs_copied *ret_how,
                 struct err *err);

/* "a/b" + "c" -> "a/b/c"; an absolute second part replaces. Owned by the caller. */
char *fs_join(const char *dir, const char *name);
char *fs_real(const char *path,
              struct err *err); /* realpath; owned by the caller; NULL + err on failure */
const char *fs_basename(const char *path); /* borrowed from path */
char *fs_dirname(const char *path);        /* owned by the caller; "." when there is none */
/* Normalises "a/./b//c/../d" by text; true when the result is relative and does not leave its start ("." is the start
 * itself). *ret is replaced in any case: what leads out keeps its leading "..", an absolute path its "/". An empty path is false. */
bool fs_clean_relative(const char *path, struct str *ret);

/* Walks a tree depth-first, names of each folder sorted by bytes, links never followed. `rel` is relative to root ("" is the root itself, not visited).
 * The callback returns 0 to go on, 1 not to enter this folder, negative to stop with that result (having filled err). */
typedef int (*fs_walk_fn)(const char *path, const char *rel, const struct stat *st, void *arg,
                          struct err *err);
int fs_walk(const char *root, fs_walk_fn fn, void *arg, struct err *err);

/* The kind of file system below path, by statfs: whether mtime and inode can be trusted there. */
enum fs_kind {
    FS_LOCAL,
    FS_NETWORK /* nfs cifs ceph lustre gpfs … */,
    FS_FOREIGN /* squashfs erofs iso9660 vfat fuse 9p overlayfs-less */
};
enum fs_kind fs_kind_of(const char *path);
bool fs_executable(const char *path); /* a regular file with any execute bit */
/* Finds `name` as execvp would (a name with a slash is taken relative to `dir`); owned by the caller, NULL: not found. */
char *fs_find_program(const char *name, const char *dir, const char *path_env);

/* Advisory locks on a file (flock, close-on-exec). fd owned by the caller; closing releases. */
int fs_lock(const char *path, bool exclusive, bool wait, int *ret_fd,
            struct err *err); /* ERR_BUSY when held and !wait */

#endif
