/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/manifest_list.h"

#include "base/arena.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static struct manifest_entry *add(struct manifest_list *l, char kind, const char *name)
{
    struct manifest_entry *e = vec_push(&l->entries);
    size_t len = strlen(name);

    *e = (struct manifest_entry){
        .kind = kind, .name = arena_strndup(l->arena, name, len), .name_len = len};
    return e;
}

/* `name` comes next in a depth-first walk: was the folder before it empty? */
static void settle_folder(struct manifest_list *l, const char *name)
{
    const char *folder = l->folder;

    if (!folder) {
        return;
    }
    l->folder = NULL;
    size_t len = strlen(folder);
    if (!name || strncmp(name, folder, len) != 0 || name[len] != '/') {
        add(l, 'd', folder);
    }
}

void manifest_list_folder(struct manifest_list *l, const char *name)
{
    settle_folder(l, name);
    l->folder = arena_strdup(l->arena, name);
}

void manifest_list_file(struct manifest_list *l, const char *name, bool executable,
                        const struct digest *d, uint64_t bytes)
{
    settle_folder(l, name);
    struct manifest_entry *e = add(l, executable ? 'x' : 'f', name);
    e->digest = *d;
    e->bytes = bytes;
    l->bytes += bytes;
    l->files++;
}

void manifest_list_link(struct manifest_list *l, const char *name, const char *link)
{
    settle_folder(l, name);
    struct manifest_entry *e = add(l, 'l', name);
    e->link_len = strlen(link);
    e->link = arena_strndup(l->arena, link, e->link_len);
}

static int compare(const void *a, const void *b)
{
    const struct manifest_entry *x = a, *y = b;
    size_t least = x->name_len < y->name_len ? x->name_len : y->name_len;
    int order = memcmp(x->name, y->name, least);

    return order != 0 ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

void manifest_list_write(struct manifest_list *l, struct str *out)
{
    settle_folder(l, NULL);
    if (l->entries.len > 1) {
        qsort(l->entries.items, l->entries.len, sizeof(*l->entries.items), compare);
    }
    manifest_begin(out);
    for (size_t i = 0; i < l->entries.len; i++) {
        manifest_add(out, &l->entries.items[i]);
    }
    vec_clear(&l->entries);
}

void manifest_list_done(struct manifest_list *l)
{
    vec_done(&l->entries);
}
