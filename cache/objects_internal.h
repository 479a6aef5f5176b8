/* SPDX-License-Identifier: Apache-2.0 */
/* What the files objects*.c and housekeeping share. */
#ifndef WF_CACHE_OBJECTS_INTERNAL_H
#define WF_CACHE_OBJECTS_INTERNAL_H

#include "cache/objects.h"

#include <time.h>

/* 1 Jan 2000: every object's time; any write moves it. */
#define OBJECT_TIME ((time_t)946684800)

enum { OBJECT_NAME = DIGEST_HEX + 1 }; /* "ab/cdef…", without its NUL */

/* "ab/cdef…": the name below objects/. */
void object_name(const struct digest *d, char out[OBJECT_NAME + 1]);
/* Size and time are an object's own. */
bool object_stat_good(const struct stat *st, uint64_t bytes);
/* Of an errno: the system did not let us look, and nothing is known of what is there. */
bool object_unreadable(int sys);
/* Moves the inode's change time, by which gc tells how long nobody has needed a file that no row names. False: it is gone. */
bool object_renew(struct store *s, const char *name);
/* What stands behind the open descriptor becomes an object's: mode and time. 0 or -errno. */
int object_seal(int fd, bool executable);
/* Names a sealed file `path` as the object `d`. A good one that is there already stays (then `path` is removed); a bad one is replaced. `keep`: `path` stays and shares the inode. */
int object_install(struct store *s, const char *path, const struct digest *d, uint64_t bytes,
                   bool keep, struct err *err);
/* A copy of an open file as an object, hashed while it is read from the copy. */
int object_copy_in(struct store *s, const char *path, bool executable, struct digest *ret,
                   uint64_t *ret_bytes, struct err *err);
/* The text of a tree's manifest, its digest checked. */
int object_manifest(struct store *s, const struct digest *d, struct str *ret, struct err *err);

enum { MANIFEST_MAX = 1 << 30 };

#endif
