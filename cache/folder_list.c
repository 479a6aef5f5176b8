/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/folder_list.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/objects.h"
#include "cache/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LIST_MAX = 16 << 20,
    LISTS_KEPT = 4096,
    BYTES_KEPT = 256 << 20,
    PRUNE_EVERY = 64, /* new lists, by chance of their digests; large ones each time */
    LARGE = 1 << 20,
};

static char *list_path(const struct store *s, const struct digest *d)
{
    char hex[DIGEST_HEX + 1], name[DIGEST_HEX + 20];

    digest_hex(d, hex);
    (void)snprintf(name, sizeof(name), "folders/%s", hex);
    return store_path(s, name);
}

struct kept {
    char *name;
    int64_t used_ns;
    uint64_t bytes;
};

static int by_use(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;

    return x->used_ns > y->used_ns ? -1 : x->used_ns < y->used_ns;
}

static void prune(const char *dir)
{
    VEC(struct kept) all = {0};
    uint64_t bytes = 0;
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d) {
        return;
    }
    while ((e = readdir(d)) != NULL) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
            *vec_push(&all) =
                (struct kept){.name = xstrdup(e->d_name),
                              .used_ns = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
                              .bytes = (uint64_t)st.st_size};
        }
    }
    if (all.len > 0) {
        qsort(all.items, all.len, sizeof(*all.items), by_use);
    }
    for (size_t i = 0; i < all.len; i++) {
        bytes += all.items[i].bytes;
        if (i >= LISTS_KEPT || bytes > BYTES_KEPT) {
            (void)unlinkat(dirfd(d), all.items[i].name, 0);
        }
        free(all.items[i].name);
    }
    vec_done(&all);
    (void)closedir(d);
}

void folder_list_keep(struct store *s, const struct digest *d, const char *text, size_t len)
{
    CLEANUP(cleanup_free) char *dir = store_path(s, "folders");
    CLEANUP(cleanup_free) char *path = list_path(s, d);
    struct err err = {0};

    if (len > LIST_MAX || utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0) {
        return;
    }
    if (fs_mkdirs(dir, 0700, &err) < 0 || fs_write_file(path, text, len, 0600, false, &err) < 0) {
        log_debug("folders", "%s", err.msg); /* only an explanation is lost */
        return;
    }
    if (len > LARGE || d->bytes[0] % PRUNE_EVERY == 0) {
        prune(dir);
    }
}

static bool is_it(const struct digest *d, const struct str *text)
{
    struct digest now;

    digest_of(sb_text(text), text->len, &now);
    return digest_eq(&now, d);
}

int folder_list_get(struct store *s, const struct digest *d, struct str *out)
{
    CLEANUP(cleanup_free) char *path = list_path(s, d);
    CLEANUP(sb_done) struct str text = {0};

    bool found = fs_read_file(path, LIST_MAX, &text, NULL) == 0 && is_it(d, &text);
    if (!found) {
        sb_clear(&text);
        found = objects_read(s, d, LIST_MAX, &text, NULL) == 0 && is_it(d, &text);
    }
    if (!found) {
        return 1;
    }
    sb_add(out, text.data, text.len);
    return 0;
}
