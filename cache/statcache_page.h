/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of the files of one folder. An all-zero page is empty. Not thread-safe. */
#ifndef WF_CACHE_STATCACHE_PAGE_H
#define WF_CACHE_STATCACHE_PAGE_H

#include "base/digest.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stat_record {
    uint64_t hash;                              /* of the name; from when it is entered */
    uint64_t device, inode, size, mtime, ctime; /* times in nanoseconds */
    struct digest digest;
    uint32_t name, name_len; /* in the page's names */
    uint32_t day;            /* last in use, days since 1970 */
    bool changed;            /* not saved */
};
struct stat_page {
    VEC(struct stat_record) records;
    struct str names;
    uint32_t *slots; /* index + 1 into records, open addressing */
    size_t slot_count;
    size_t
        entered; /* records that are in it: of a page that was read none, until one is asked for out of turn */
    size_t
        next; /* the record behind the last one found: files are mostly asked for in the same order */
};

void stat_page_done(struct stat_page *p);
/* NULL: none. Valid until the next put. */
struct stat_record *stat_page_get(struct stat_page *p, const char *name, size_t len);
/* The record of this name, new ones zeroed but for the name. */
struct stat_record *stat_page_put(struct stat_page *p, const char *name, size_t len);
/* False: damaged; the page is then empty. */
bool stat_page_read(struct stat_page *p, const void *data, size_t len);
/* Records last used before `oldest` are left out. */
void stat_page_write(const struct stat_page *p, uint32_t oldest, struct str *out);
void stat_page_merge(struct stat_page *p, const struct stat_page *newer);
/* Copies the changed records into the empty page `to`; they count as saved then. */
void stat_page_take_changed(struct stat_page *p, struct stat_page *to);

#endif
