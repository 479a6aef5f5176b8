/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/differences.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"

static void add_files(const struct difference *d, size_t max, const char *indent, struct arena *a,
                      struct str *out)
{
    size_t n = max > 0 && d->n_inside > max ? max : d->n_inside;

    if (d->n_inside + d->more_inside < 2) {
        return; /* its own line says it */
    }
    for (size_t i = 0; i < n; i++) {
        sb_printf(out, "%s    %s\n", indent, difference_sentence(&d->inside[i], a));
    }
    if (d->n_inside + d->more_inside > n) {
        sb_printf(out, "%s    … and %zu more\n", indent, d->n_inside + d->more_inside - n);
    }
}

void differences_text(const struct difference *d, size_t count, size_t max, const char *indent,
                      const char *word, struct str *out)
{
    struct arena *a = arena_new();
    size_t n = max > 0 && count > max ? max : count;
    const char *before = "";

    for (size_t i = 0; i < n; i++) {
        sb_printf(out, "%s%s%s\n", indent, word, difference_sentence(&d[i], a));
        add_files(&d[i], max, indent, a, out);
        if (d[i].folder && d[i].n_inside == 0) {
            sb_printf(out,
                      "%s    (which of its files is not known: what was in it then is not kept)\n",
                      indent);
        }
        const char *chain = chain_sentence(d[i].chain, d[i].n_chain, a);
        if (*chain && !text_eq(chain, before)) {
            sb_printf(out, "%s    %s\n", indent, chain);
            before = chain;
        }
    }
    if (count > n) {
        sb_printf(out, "%s%s%zu more differences\n", indent, word, count - n);
    }
    arena_free(a);
}
