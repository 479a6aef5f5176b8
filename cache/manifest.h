/* SPDX-License-Identifier: Apache-2.0 */
/* A folder as one document: a line per entry, sorted by bytes. Format (the digest of a folder is the SHA-256 of this text):
 *   "wf-tree-1\n" then per entry  KIND SP DIGEST-or-"-" SP SIZE SP NAME-LEN SP NAME [SP LINK-LEN SP LINK] "\n"
 *   KIND: f file, x executable file, d empty folder, l link kept as text. NAME: the path below the folder, any bytes. */
#ifndef WF_CACHE_MANIFEST_H
#define WF_CACHE_MANIFEST_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct str;
struct statcache;

struct manifest_entry {
    char kind; /* f x d l */
    struct digest digest;
    uint64_t bytes;
    const char *name;
    size_t name_len;
    const char *link;
    size_t link_len;
};
/* Writing one: the first line, then entries in the order of their names' bytes. */
void manifest_begin(struct str *out);
void manifest_add(struct str *out, const struct manifest_entry *e);
/* Does a link at `name` (below the folder) with this text stay inside the folder, whatever other links that stay inside it passes? Relative, ".." only at its start. */
bool manifest_link_inside(const char *name, const char *link);
/* The manifest of an input folder (engine.md 15): .git, __pycache__, .ipynb_checkpoints and what .wfignore names (gitignore's simple patterns: name, name/, *.ext, /anchored) are left out;
 * a link that stays inside is text, one that leaves is followed; FIFO, socket, device: an error. Digests come from the stat cache (may be NULL) or are computed. Blocking, any thread. */
int manifest_of_input(const char *path, struct statcache *sc, struct str *ret_text,
                      uint64_t *ret_bytes, uint64_t *ret_files, struct err *err);
/* The same; *ret_stamp is another when a file or folder in it was changed or touched meanwhile, even if its content is what it was. */
int manifest_stamped(const char *path, struct statcache *sc, struct str *ret_text,
                     uint64_t *ret_bytes, uint64_t *ret_files, uint64_t *ret_stamp,
                     struct err *err);
/* Walks a manifest's text; ERR_CORRUPT on anything unexpected. fn: negative stops. */
int manifest_each(const char *text, size_t len,
                  int (*fn)(const struct manifest_entry *e, void *arg, struct err *err), void *arg,
                  struct err *err);
/* Of one that was made elsewhere (another machine's, an archive's): laid out, it stays inside its folder. ERR_CORRUPT: it would not, or cannot be read. */
int manifest_check(const char *text, size_t len, struct err *err);

#endif
