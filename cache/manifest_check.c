/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest that was made elsewhere. Reading one checks each line by itself; here is what must hold between them so that laying it out stays inside its folder. */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/manifest.h"

#include <string.h>

/* Nothing lies below what is listed itself: a file, a link, an empty folder. Entries come in the order of their bytes, where "a.b" stands between "a" and "a/b": so all names are kept that the present one
 * begins with, shortest first. */
static int check_entry(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct str *open = arg; /* each with its NUL */
    size_t keep = 0;

    for (size_t at = 0; at < open->len;) {
        const char *name = open->data + at;
        size_t len = strlen(name);
        bool begins = e->name_len >= len && memcmp(e->name, name, len) == 0;
        if (begins && (e->name_len == len || e->name[len] == '/')) {
            return err_set(
                err, ERR_CORRUPT, 0,
                "a folder's list of files has something below '%.200s', which holds nothing", name);
        }
        if (!begins) {
            break; /* what is longer does not either */
        }
        at += len + 1;
        keep = at;
    }
    sb_truncate(open, keep);
    if (e->kind == 'l') {
        CLEANUP(cleanup_free) char *name = xstrndup(e->name, e->name_len);
        CLEANUP(cleanup_free) char *link = xstrndup(e->link, e->link_len);
        if (!manifest_link_inside(name, link)) {
            return err_set(err, ERR_CORRUPT, 0,
                           "a folder's list of files has a link '%.200s' that leads out", name);
        }
    }
    sb_add(open, e->name, e->name_len);
    sb_add(open, "", 1);
    return 0;
}

int manifest_check(const char *text, size_t len, struct err *err)
{
    CLEANUP(sb_done) struct str open = {0};

    return manifest_each(text, len, check_entry, &open, err);
}
