/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping plans. The tag covers the build (its linker's build id), because an image holds structs as this very program lays them out. */
#include "engine/compiled.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FORMAT = 1,
    KEPT_PLANS = 50,
    KEPT_SOURCES = 10000,
    KEPT_SOURCES_S = 60 * 86400,
    PARAMS_MAX = 64 << 20,
};
#define KEPT_BYTES ((uint64_t)512 << 20)

/* --- the tag --- */

static bool read_build_note(const struct dl_phdr_info *info, const ElfW(Phdr) * h, struct str *out)
{
    const char *at = (const char *)(info->dlpi_addr + h->p_vaddr); // NOLINT
    size_t left = h->p_memsz;

    while (left >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        size_t name, desc;
        memcpy(&note, at, sizeof(note));
        name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
        desc = ((size_t)note.n_descsz + 3) & ~(size_t)3;
        if (sizeof(note) + name + desc > left) {
            return false;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(at + sizeof(note), "GNU", 4) == 0) {
            sb_add(out, at + sizeof(note) + name, note.n_descsz);
            return true;
        }
        at += sizeof(note) + name + desc;
        left -= sizeof(note) + name + desc;
    }
    return false;
}

/* The first object is the program itself. */
static int on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_NOTE &&
            read_build_note(info, &info->dlpi_phdr[i], arg)) {
            return 1;
        }
    }
    return 2;
}

static void add_build(struct str *out)
{
    struct stat st;

    if (dl_iterate_phdr(on_object, out) != 1 && stat("/proc/self/exe", &st) == 0) {
        sb_printf(out, "%llu %lld %lld.%ld", (unsigned long long)st.st_ino, (long long)st.st_size,
                  (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    }
    sb_printf(out, "%c%d%c", 0, FORMAT, 0);
}

/* Each part with its length before it, so that no two lists of parts read alike. */
static void add_part(struct str *out, const char *data, size_t len)
{
    sb_u64(out, len);
    sb_putc(out, ':');
    sb_add(out, data, len);
}

static int add_params(const struct load_options *o, struct str *out, struct err *err)
{
    for (size_t i = 0; i < o->n_params; i++) {
        add_part(out, o->params[i].name, strlen(o->params[i].name));
        add_part(out, o->params[i].value, strlen(o->params[i].value));
    }
    if (o->params_file) {
        CLEANUP(sb_done) struct str bytes = {0};
        int rc = fs_read_file(o->params_file, PARAMS_MAX, &bytes, err);
        if (rc < 0) {
            return rc;
        }
        sb_puts(out, "file ");
        add_part(out, sb_text(&bytes), bytes.len);
    }
    return 0;
}

int compiled_tag(const struct load_options *o, const char *text, size_t len, struct digest *ret,
                 struct err *err)
{
    CLEANUP(sb_done) struct str head = {0};
    CLEANUP(cleanup_free) char *real = fs_real(o->file, err);
    struct digest_ctx *c;
    int rc;

    if (!real) {
        return -ERR_NOT_FOUND;
    }
    add_build(&head);
    add_part(&head, o->file, strlen(o->file));
    add_part(&head, real, strlen(real));
    sb_printf(&head, "%d%d", o->allow_missing_params, o->want_warnings);
    rc = add_params(o, &head, err);
    if (rc < 0) {
        return rc;
    }
    c = digest_new();
    digest_begin(c);
    digest_add(c, sb_text(&head), head.len);
    digest_add(c, text, len);
    digest_end(c, ret);
    digest_free(c);
    return 0;
}

/* --- the files --- */

static char *plan_path(struct store *s, const struct digest *tag)
{
    char hex[DIGEST_HEX + 1], name[DIGEST_HEX + 20];

    digest_hex(tag, hex);
    (void)snprintf(name, sizeof(name), "plans/%s.plan", hex);
    return store_path(s, name);
}

int compiled_load(struct store *s, const struct digest *tag, struct arena **ret_arena,
                  struct plan **ret)
{
    CLEANUP(cleanup_free) char *path = plan_path(s, tag);
    struct err err = {0};
    void *root;
    int rc = arena_image_load(path, tag->bytes, ret_arena, &root, &err);

    if (rc < 0) {
        log_debug("plan", "%s", err.msg);
    }
    if (rc != 0) {
        return 1;
    }
    *ret = root;
    return 0;
}

/* What lies in plans/: compiled plans, and beside them what was learnt of URLs (steps/question_work.c). A small memory must not go because many plans came, nor a plan because of many URLs. */
enum lying { LYING_PLAN, LYING_SOURCE, LYING_COUNT };
static const struct {
    size_t most;
    uint64_t bytes;
    int64_t age_s; /* since it was made, or used; 0: no bound */
} bounds[LYING_COUNT] = {
    [LYING_PLAN] = {KEPT_PLANS, KEPT_BYTES, 0},
    [LYING_SOURCE] = {KEPT_SOURCES, KEPT_BYTES, KEPT_SOURCES_S},
};

struct kept {
    char *name;
    int64_t mtime_ns;
    uint64_t bytes;
};
struct kepts {
    struct kept *items;
    size_t len, cap;
};

static int by_age(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;

    return x->mtime_ns > y->mtime_ns ? -1 : x->mtime_ns < y->mtime_ns;
}

static void prune_kind(int dir, enum lying kind, struct kept *all, size_t n, const char *own)
{
    int64_t oldest_ns = (now_ms() / 1000 - bounds[kind].age_s) * 1000000000;
    uint64_t bytes = 0;

    if (n > 0) {
        qsort(all, n, sizeof(*all), by_age);
    }
    for (size_t i = 0; i < n; i++) {
        bytes += all[i].bytes;
        bool old = bounds[kind].age_s > 0 && all[i].mtime_ns < oldest_ns;
        if ((i >= bounds[kind].most || bytes > bounds[kind].bytes || old) &&
            !text_eq(all[i].name, own)) {
            (void)unlinkat(dir, all[i].name, 0);
        }
        free(all[i].name);
    }
}

/* `own`: the plan just written stays, whatever the clock says of the others. */
static void prune(struct store *s, const char *own)
{
    CLEANUP(cleanup_free) char *dir = store_path(s, "plans");
    struct kepts kinds[LYING_COUNT] = {0};
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d) {
        return;
    }
    while ((e = readdir(d)) != NULL) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        *vec_push(&kinds[text_ends(e->d_name, ".source") ? LYING_SOURCE : LYING_PLAN]) =
            (struct kept){.name = xstrdup(e->d_name),
                          .mtime_ns = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
                          .bytes = (uint64_t)st.st_size};
    }
    for (int k = 0; k < LYING_COUNT; k++) {
        prune_kind(dirfd(d), (enum lying)k, kinds[k].items, kinds[k].len, own);
        vec_done(&kinds[k]);
    }
    (void)closedir(d);
}

void compiled_save(struct store *s, struct plan *p)
{
    struct arena *a = p->unsaved;
    CLEANUP(cleanup_free) char *path = NULL;
    struct err err = {0};
    int rc;

    if (!a) {
        return;
    }
    p->unsaved = NULL; /* an image must not point outside itself */
    path = plan_path(s, &p->digest);
    rc = arena_image_save(a, p, p->digest.bytes, path, &err);
    if (rc < 0) {
        log_debug("plan", "%s", err.msg);
    } else if (rc > 0) {
        log_debug("plan", "the compiled plan points outside itself and was not kept");
    } else {
        prune(s, strrchr(path, '/') + 1);
    }
}
