/* SPDX-License-Identifier: Apache-2.0 */
/* File digests remembered by (path, device, inode, size, mtime, ctime) like git's index, only for files that were at rest (engine.md 16). Kept per folder: one row holds all of a
 * folder's files, read at first use; so a run of 100,000 steps asks the database once per folder. Thread-safe (one mutex). Losing it costs time, never truth. */
#ifndef WF_CACHE_STATCACHE_H
#define WF_CACHE_STATCACHE_H

#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct err;
struct statcache;
struct store;

/* s: for reading pages, through its own connection on the thread that calls this, which is the one that has opened the store; through another one on others. */
struct statcache *statcache_new(struct store *s);
void statcache_free(struct statcache *c);
/* `path` is absolute and real-pathed as far as its folder. True: *ret is the content's digest. */
bool statcache_get(struct statcache *c, const char *path, const struct stat *st,
                   struct digest *ret);
/* `st` was taken before reading and agreed with another after it; `read_at_ms` when reading began. */
void statcache_put(struct statcache *c, const char *path, const struct stat *st, int64_t read_at_ms,
                   const struct digest *d);
/* Posts changed pages to the writer (merged there with what others wrote). */
void statcache_save(struct statcache *c);
/* stat + get, else open, hash, fstat again (retrying while it changes, thrice), put. Follows links. Blocking. *ret_st is what was hashed. */
int statcache_digest(struct statcache *c, const char *path, struct digest *ret, struct stat *ret_st,
                     struct err *err);
/* The same for what statcache_get() has just said it does not know: not asked again. */
int statcache_hash(struct statcache *c, const char *path, struct digest *ret, struct stat *ret_st,
                   struct err *err);

#endif
