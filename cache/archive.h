/* SPDX-License-Identifier: Apache-2.0 */
/* Entries with their objects as one file (wf cache export, import): a tar archive behind zstd, through libarchive, which is opened at first use.
 *
 * Members, all regular files, in this order:
 *
 *   wf-cache        first: {"format":1,"store":ID,"wf":"VERSION"} in one line
 *   objects/HEX     content by SHA-256, mode 0444 or 0555; before the first entry that names it, once
 *   entries/HEX     by key: a line of JSON {"action":BYTES,"result":BYTES,"step":…,"work":BYTES,"workflow":…}, then the action, the encoded result (result.c) and the work, without anything between
 *   wf-end          last: {"entries":N,"objects":N} in one line
 *
 * What an archive says is never believed: an object counts when its content hashes to its name, an entry when its action hashes to its key, names its work by digest, and all its objects are there. But
 * which result belongs to an action is its maker's word: import only what you would run. Entries of the policies time and change stay where they are: their age is of this machine's clock. */
#ifndef WF_CACHE_ARCHIVE_H
#define WF_CACHE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

#define ARCHIVE_FORMAT 1

struct archive_options {
    const char *wf_version; /* of an export */
    /* Now and then; false: stop, which is ERR_CANCELLED. May be NULL. */
    bool (*progress)(uint64_t entries, uint64_t bytes, void *arg);
    void *arg;
};
struct archive_report {
    uint64_t entries, objects, bytes; /* written, or new in the store; bytes of objects */
    uint64_t known, known_objects;    /* import: were there already */
    uint64_t bound;                   /* export: left out, they are of this machine only */
    uint64_t broken;                  /* left out: objects are missing or damaged */
    uint64_t gone;                    /* export: removed meanwhile */
};
/* Writes the entries to `path` (temporary name, then rename) or, when it is NULL, to fd. Blocking. */
int archive_export(struct store *s, const int64_t *ids, size_t count, const char *path, int fd,
                   const struct archive_options *o, struct archive_report *ret, struct err *err);
/* Reads an archive from fd; `name` is for messages. On a store without a loop. What was read whole before something failed stays; the rest is as if it had never come. Importing again is harmless. ERR_CORRUPT: not an
 * archive of ours, cut off, or damaged; ERR_UNSUPPORTED: written by a newer wf. */
int archive_import(struct store *s, int fd, const char *name, const struct archive_options *o,
                   struct archive_report *ret, struct err *err);

#endif
