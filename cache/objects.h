/* SPDX-License-Identifier: Apache-2.0 */
/* Content-addressed files. Blocking, thread-safe (they only touch the file system). Rows are written by entries.h in the transaction that names them. */
#ifndef WF_CACHE_OBJECTS_H
#define WF_CACHE_OBJECTS_H

#include "cache/result.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct err;
struct store;
struct str;

/* Takes one declared output from an attempt's folder into the store: a regular file is hashed and renamed in (linked if `keep`), a folder becomes a manifest and each of its
 * files an object, a link that stays inside is kept as text in the manifest, one that leaves it, a FIFO, socket or device is ERR_INVALID naming it. Refuses files that
 * somebody still has open for writing (read lease) and files that change while hashed. `root` is the output folder, `path` the output below it.
 * Fills kind, executable, digest, bytes, object_bytes of ret. ERR_NOT_FOUND: there is no such output. `s` NULL: nothing is moved (an unmemoized run still needs the digest). */
int objects_take(struct store *s, const char *root, const char *path, bool keep,
                 struct result_output *ret, struct err *err);
/* Bytes (a log, a built-in step's document) as an object. */
int objects_put_bytes(struct store *s, const void *data, size_t len, struct digest *ret,
                      struct err *err);
/* A whole file as an object; `move` renames it in. */
int objects_put_file(struct store *s, const char *path, bool move, struct digest *ret,
                     uint64_t *ret_bytes, struct err *err);

/* objects/ab/cdef… ; owned by the caller. */
char *objects_path(const struct store *s, const struct digest *d);

/* OBJECT_UNREADABLE: the system did not let us look (permissions, too many open files, a disk's error): nothing is known of it, so nothing may be removed for it. */
enum object_state { OBJECT_GOOD, OBJECT_MISSING, OBJECT_DAMAGED, OBJECT_UNREADABLE };
/* One stat: size and the fixed time. A difference is hashed again; damaged content is moved to trash/ (quarantine) and OBJECT_DAMAGED returned; a changed time with good content is
 * put right. For OBJECT_TREE the files the manifest names are checked too. `verify`: hash in any case. */
enum object_state objects_check(struct store *s, const struct digest *d, uint64_t object_bytes,
                                enum object_kind kind, bool verify);

enum placing {
    PLACE_HOST, /* for a host step: reflink, else a copy up to 1 MiB, else a hard link (check it after the step) */
    PLACE_READ_ONLY, /* for a read-only mount: hard link (reflink or copy across file systems) */
    PLACE_OWN /* for a user (`wf outputs --to`, publish): reflink or copy, writable, never a link */
};
/* Puts an output at `to` (which must not exist; its folder must). Trees are laid out in full. */
int objects_place(struct store *s, const struct digest *d, enum object_kind kind, bool executable,
                  enum placing how, const char *to, struct err *err);
/* Reads a small object (at most max bytes). */
int objects_read(struct store *s, const struct digest *d, size_t max, struct str *ret,
                 struct err *err);

#endif
