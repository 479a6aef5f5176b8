/* SPDX-License-Identifier: Apache-2.0 */
/* Two lists of a folder's files side by side. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/explain.h"
#include "cache/folder_list.h"
#include "cache/manifest.h"

#include <stdlib.h>
#include <string.h>

enum { INSIDE_MAX = 1000 };

struct listing {
    VEC(struct manifest_entry) entries;
};

static int take_entry(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct listing *l = arg;

    (void)err;
    *vec_push(&l->entries) = *e;
    return 0;
}

static bool read_listing(struct store *s, const char *text, struct str *out, struct listing *ret,
                         int (*look)(const struct digest *d, struct str *out, void *arg), void *arg)
{
    struct digest d;

    if (!digest_parse(text + strlen("sha256:"), DIGEST_HEX, &d)) {
        return false;
    }
    if (folder_list_get(s, &d, out) != 0 && (!look || look(&d, out, arg) != 0)) {
        return false;
    }
    return manifest_each(sb_text(out), out->len, take_entry, ret, NULL) == 0;
}

static int compare_names(const struct manifest_entry *x, const struct manifest_entry *y)
{
    size_t least = x->name_len < y->name_len ? x->name_len : y->name_len;
    int order = memcmp(x->name, y->name, least);

    return order != 0 ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* A file's digest, a link's text. */
static const char *entry_text(const struct manifest_entry *e, struct arena *a)
{
    char hex[DIGEST_HEX + 1];

    if (!e) {
        return NULL;
    }
    if (e->kind == 'l') {
        return arena_printf(a, "a link to %.*s", (int)e->link_len, e->link);
    }
    if (e->kind == 'd') {
        return "an empty folder";
    }
    digest_hex(&e->digest, hex);
    return arena_printf(a, "sha256:%s%s", hex, e->kind == 'x' ? " (executable)" : "");
}

/* Bytes that are no UTF-8 as \xXX. */
static const char *entry_name(const struct manifest_entry *e, struct arena *a)
{
    CLEANUP(sb_done) struct str s = {0};

    for (size_t i = 0; i < e->name_len;) {
        size_t n = utf8_sequence(e->name + i, e->name_len - i);
        if (n == 0) {
            sb_printf(&s, "\\x%02X", (unsigned)(unsigned char)e->name[i]);
        } else {
            sb_add(&s, e->name + i, n);
        }
        i += n ? n : 1;
    }
    return arena_strndup(a, sb_text(&s), s.len);
}

static bool same_entry(const struct manifest_entry *x, const struct manifest_entry *y)
{
    return x->kind == y->kind && digest_eq(&x->digest, &y->digest) && x->link_len == y->link_len &&
           (x->link_len == 0 || memcmp(x->link, y->link, x->link_len) == 0);
}

/* Both are sorted by name. */
static void compare_listings(const struct listing *old, const struct listing *now, struct arena *a,
                             struct difference *ret)
{
    VEC(struct difference) found = {0};
    size_t i = 0, k = 0;

    while (i < old->entries.len || k < now->entries.len) {
        const struct manifest_entry *x = i < old->entries.len ? &old->entries.items[i] : NULL;
        const struct manifest_entry *y = k < now->entries.len ? &now->entries.items[k] : NULL;
        int order = !x ? 1 : !y ? -1 : compare_names(x, y);
        i += order <= 0;
        k += order >= 0;
        if (order == 0 && same_entry(x, y)) {
            continue;
        }
        if (found.len == INSIDE_MAX) {
            ret->more_inside++;
            continue;
        }
        *vec_push(&found) = (struct difference){.part = "file",
                                                .name = entry_name(order <= 0 ? x : y, a),
                                                .old = entry_text(order <= 0 ? x : NULL, a),
                                                .now = entry_text(order >= 0 ? y : NULL, a)};
    }
    ret->n_inside = found.len;
    ret->inside = found.len ? arena_memdup(a, found.items, found.len * sizeof(*found.items)) : NULL;
    vec_done(&found);
}

void explain_inside(struct store *s, struct difference *d, size_t count, struct arena *a,
                    int (*look)(const struct digest *d, struct str *out, void *arg), void *arg)
{
    for (size_t i = 0; i < count; i++) {
        if (!d[i].folder || d[i].n_inside > 0) {
            continue;
        }
        CLEANUP(sb_done) struct str before = {0};
        CLEANUP(sb_done) struct str after = {0};
        struct listing old = {0}, now = {0};
        if (read_listing(s, d[i].old, &before, &old, NULL, NULL) &&
            read_listing(s, d[i].now, &after, &now, look, arg)) {
            compare_listings(&old, &now, a, &d[i]);
        }
        vec_done(&old.entries);
        vec_done(&now.entries);
    }
}
