/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/slug.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

/* With what slugs_make_unique() adds there are at most 64. */
enum { SLUG_MAX = 53 };

const char *model_slug(const struct step *step, uint32_t row, struct arena *a)
{
    CLEANUP(sb_done) struct str out = {0};
    const struct matrix_row *m = &step->rows[row];

    for (uint32_t n = 0; n < m->n; n++) {
        sb_puts(&out, n > 0 ? "-" : "");
        value_interpolate(&m->values[n], &out);
    }
    if (out.len == 0) {
        sb_puts(&out, step->name);
    }
    sb_truncate(&out, out.len > SLUG_MAX ? SLUG_MAX : out.len);
    for (size_t k = 0; k < out.len; k++) {
        char c = out.data[k];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '.' || c == '_' || c == '-';
        out.data[k] = plain ? c : '_';
    }
    if (out.data[0] == '.') { /* no ".." in a path */
        out.data[0] = '_';
    }
    return arena_strdup(a, sb_text(&out));
}

void slugs_make_unique(const char **slugs, uint32_t count, struct arena *a)
{
    struct map seen = {0}; /* slug -> the last number that was added to it */
    uint32_t *last = arena_calloc(a, count ? count : 1, sizeof(*last));

    for (uint32_t n = 0; n < count; n++) {
        const char *wanted = slugs[n];
        uint32_t *tries = map_get_text(&seen, wanted);
        last[n] = 1;
        while (map_get_text(&seen, slugs[n])) {
            slugs[n] = arena_printf(a, "%s-%u", wanted, ++*tries);
        }
        map_put_text(&seen, slugs[n], &last[n]);
    }
    map_done(&seen);
}
