/* SPDX-License-Identifier: Apache-2.0 */
/* hashFiles(): one digest over all files that patterns match below the workflow's folder, with their names. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/statcache.h"
#include "steps/asker.h"
#include "steps/attempt_impl.h"

#include <string.h>
#include <sys/stat.h>

int hash_patterns(const struct world *w, struct arena *a, const struct value *patterns,
                  uint32_t count, struct value *ret, struct err *err)
{
    struct paths found = {0};
    CLEANUP(sb_done) struct str list = {0};
    char hex[DIGEST_HEX + 1];
    struct digest all;
    int rc = 0;

    for (uint32_t n = 0; n < count && rc == 0; n++) {
        rc = patterns[n].type != VALUE_STRING
                 ? err_set(err, ERR_INVALID, 0, "hashFiles() takes patterns as strings")
                 : glob_expand(w->wf->dir,
                               arena_strndup(a, patterns[n].text.data, patterns[n].text.len), a,
                               &found, err);
    }
    for (size_t n = 0; n < found.v.len && rc == 0; n++) {
        const char *rel = found.v.items[n];
        CLEANUP(cleanup_free)
        char *path = *rel == '/' ? xstrdup(rel) : xasprintf("%s/%s", w->wf->dir, rel);
        struct stat st;
        struct digest d;
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            rc = statcache_digest(w->statcache, path, &d, &st, err);
            digest_hex_add(&list, &d);
            sb_printf(&list, " %s\n", rel);
        }
    }
    vec_done(&found.v);
    if (rc == 0) {
        digest_of(sb_text(&list), list.len, &all);
        digest_hex(&all, hex);
        *ret = value_text(list.len > 0 ? arena_strdup(a, hex) : "");
    }
    return rc;
}

int hash_files_now(void *arg, const struct value *patterns, uint32_t count, struct value *ret,
                   struct err *err)
{
    struct attempt *a = arg;

    return hash_patterns(a->w, a->arena, patterns, count, ret, err);
}
