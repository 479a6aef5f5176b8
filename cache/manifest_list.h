/* SPDX-License-Identifier: Apache-2.0 */
/* Entries gathered in the order of a walk, then written as a manifest. For the two files that make one. */
#ifndef WF_CACHE_MANIFEST_LIST_H
#define WF_CACHE_MANIFEST_LIST_H

#include "base/vec.h"
#include "cache/manifest.h"

struct arena;

/* All-zero but for the arena, which holds names and links. */
struct manifest_list {
    struct arena *arena;
    VEC(struct manifest_entry) entries;
    const char *folder; /* seen last, and nothing in it so far */
    uint64_t bytes, files;
};
/* A folder: becomes an entry only if nothing follows that lies in it. Names are copied. */
void manifest_list_folder(struct manifest_list *l, const char *name);
void manifest_list_file(struct manifest_list *l, const char *name, bool executable,
                        const struct digest *d, uint64_t bytes);
void manifest_list_link(struct manifest_list *l, const char *name, const char *link);
/* Sorts and writes; the list is empty afterwards. */
void manifest_list_write(struct manifest_list *l, struct str *out);
void manifest_list_done(struct manifest_list *l);

#endif
