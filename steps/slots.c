/* SPDX-License-Identifier: Apache-2.0 */
/* What attempts reuse. On ext4 making and deleting files is most of what a short step costs us, so nothing is deleted per step: an emptied output folder is renamed for the next
 * attempt, the script and the list of inputs are rewritten in place and only where they differ, a log that stayed empty is used again. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "steps/attempt_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *pair(struct arena *a, const char *name, const char *value)
{
    return arena_printf(a, "%s=%s", name, value);
}

static void make_env(struct slots *s)
{
    const char **e = s->base_env = arena_calloc(s->arena, 8, sizeof(*e));
    static const char *const passed[] = {"HOME", "TMPDIR"};

    *e++ = pair(s->arena, "PATH", s->w->path_env ? s->w->path_env : "/usr/bin:/bin");
    for (size_t k = 0; k < ARRAY_LEN(passed); k++) {
        const char *value = getenv(passed[k]);
        if (value) {
            *e++ = pair(s->arena, passed[k], value);
        }
    }
    *e++ = "LANG=C.UTF-8";
    *e++ = "TZ=UTC";
    *e++ = "PYTHONDONTWRITEBYTECODE=1";
    e = s->box_env = arena_calloc(s->arena, 3, sizeof(*e));
    *e++ = "LANG=C.UTF-8";
    *e++ = "TZ=UTC";
}

struct slots *slots_new(const struct world *w)
{
    struct slots *s = xcalloc(1, sizeof(*s));

    s->w = w;
    s->arena = arena_new();
    s->work_fd = -1;
    s->work_len = strlen(w->work_dir);
    pthread_mutex_init(&s->copying, NULL);
    make_env(s);
    CLEANUP(cleanup_free) char *logs = store_path(w->store, "logs");
    s->logs_dir = xasprintf("%s/%s", logs, w->run);
    return s;
}

static void close_all(struct slot *slot)
{
    int *fds[] = {&slot->out_fd, &slot->log_fd, &slot->script_fd, &slot->values_fd,
                  &slot->inputs_fd};

    for (size_t k = 0; k < ARRAY_LEN(fds); k++) {
        cleanup_close(fds[k]);
        *fds[k] = -1;
    }
}

static void slot_free(struct slot *slot)
{
    close_all(slot);
    free(slot->dir);
    free(slot->out);
    free(slot->log_path);
    free(slot->script_path);
    free(slot->values_path);
    free(slot->inputs_path);
    sb_done(&slot->script);
    sb_done(&slot->inputs);
    free(slot);
}

void slots_free(struct slots *s)
{
    if (!s) {
        return;
    }
    while (s->free) {
        struct slot *slot = s->free;
        s->free = slot->next;
        slot_free(slot);
    }
    map_done(&s->copies);
    pthread_mutex_destroy(&s->copying);
    cleanup_close(&s->work_fd);
    free(s->logs_dir);
    arena_free(s->arena);
    free(s);
}

const char *slots_new_name(struct slots *s, char letter, struct arena *a)
{
    return arena_printf(a, "%s/%c%llu", s->w->work_dir, letter, (unsigned long long)++s->last_name);
}

static char *next_out(struct slots *s)
{
    return xasprintf("%s/o%llu", s->w->work_dir, (unsigned long long)++s->last_name);
}

/* For openat() and its like: *path, which lies below WORK, becomes what follows it. */
static int at_work(const struct slots *s, const char **path)
{
    if (s->work_fd < 0) {
        return AT_FDCWD;
    }
    *path += s->work_len + 1;
    return s->work_fd;
}

static struct inode inode_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? (struct inode){st.st_dev, st.st_ino} : (struct inode){0};
}

static int make_out(struct slots *s, struct slot *slot, struct err *err)
{
    free(slot->out);
    slot->out = next_out(s);
    slot->used = false;
    if (mkdir(slot->out, 0755) != 0) {
        return err_set(err, ERR_IO, errno, "cannot make the output folder '%s'", slot->out);
    }
    slot->out_fd = open(slot->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    slot->out_is = inode_of(slot->out_fd);
    return slot->out_fd >= 0
               ? 0
               : err_set(err, ERR_IO, errno, "cannot open the output folder '%s'", slot->out);
}

static int open_file(const char *path, int *ret, struct inode *ret_is, struct err *err)
{
    *ret = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_TRUNC, 0644);
    *ret_is = inode_of(*ret);
    return *ret >= 0 ? 0 : err_set(err, ERR_IO, errno, "cannot write '%s'", path);
}

static int open_log(struct slot *slot, struct err *err)
{
    slot->log_fd = open(slot->log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return slot->log_fd >= 0 ? 0 : err_set(err, ERR_IO, errno, "cannot write '%s'", slot->log_path);
}

static struct timespec written_at(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_mtim : (struct timespec){0};
}

/* Writes *now unless the file holds it already, and swaps the two. */
static int rewrite(int fd, const char *path, struct str *held, struct timespec *written,
                   struct str *now, struct err *err)
{
    if (held->len == now->len && memcmp(sb_text(held), sb_text(now), now->len) == 0) {
        return 0;
    }
    for (size_t at = 0; at < now->len;) {
        ssize_t n = pwrite(fd, now->data + at, now->len - at, (off_t)at);
        if (n < 0 && errno != EINTR) {
            sb_clear(held);
            return err_set(err, ERR_IO, errno, "cannot write '%s'", path);
        }
        at += n > 0 ? (size_t)n : 0;
    }
    if (now->len < held->len && ftruncate(fd, (off_t)now->len) != 0) {
        sb_clear(held);
        return err_set(err, ERR_IO, errno, "cannot write '%s'", path);
    }
    struct str swap = *held;
    *held = *now;
    *now = swap;
    *written = written_at(fd);
    return 0;
}

int slot_script(struct slot *slot, struct str *text, struct err *err)
{
    return rewrite(slot->script_fd, slot->script_path, &slot->script, &slot->script_at, text, err);
}

int slot_inputs(struct slot *slot, struct str *text, struct err *err)
{
    return rewrite(slot->inputs_fd, slot->inputs_path, &slot->inputs, &slot->inputs_at, text, err);
}

static int slot_new(struct slots *s, struct slot **ret, struct err *err)
{
    struct slot *slot = xcalloc(1, sizeof(*slot));

    slot->out_fd = slot->log_fd = slot->script_fd = slot->values_fd = slot->inputs_fd = -1;
    slot->dir = xasprintf("%s/s%llu", s->w->work_dir, (unsigned long long)++s->last_name);
    slot->log_path = xasprintf("%s/log", slot->dir);
    slot->script_path = xasprintf("%s/script", slot->dir);
    slot->values_path = xasprintf("%s/values", slot->dir);
    slot->inputs_path = xasprintf("%s/inputs.json", slot->dir);
    int rc = fs_mkdirs(slot->dir, 0755, err);
    if (rc == 0 && s->work_fd < 0) {
        s->work_fd = open(s->w->work_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    rc = rc == 0 ? make_out(s, slot, err) : rc;
    rc = rc == 0 ? open_file(slot->script_path, &slot->script_fd, &slot->script_is, err) : rc;
    rc = rc == 0 ? open_file(slot->values_path, &slot->values_fd, &slot->values_is, err) : rc;
    rc = rc == 0 ? open_file(slot->inputs_path, &slot->inputs_fd, &slot->inputs_is, err) : rc;
    if (rc != 0) {
        slot_free(slot);
        return rc;
    }
    slot->script_at = written_at(slot->script_fd);
    slot->inputs_at = written_at(slot->inputs_fd);
    *ret = slot;
    return 0;
}

const char *slots_next_log(struct slots *s)
{
    if (!s->free && slot_new(s, &s->free, NULL) != 0) {
        s->free = NULL;
        return NULL;
    }
    return s->free->log_path + strlen(store_dir(s->w->store)) + 1;
}

int slot_take(struct slots *s, struct slot **ret, struct err *err)
{
    struct slot *slot = s->free;
    int rc = 0;

    if (slot) {
        s->free = slot->next;
        slot->next = NULL;
    } else if ((rc = slot_new(s, &slot, err)) != 0) {
        return rc;
    }
    if (slot->out_fd < 0) {
        rc = make_out(s, slot, err);
    } else if (slot->used) {
        char *name = next_out(s);
        const char *from = slot->out, *to = name;
        int dir = at_work(s, &from);
        at_work(s, &to);
        if (renameat(dir, from, dir, to) != 0) {
            rc = err_set(err, ERR_IO, errno, "cannot rename the output folder '%s'", slot->out);
            free(name);
        } else {
            free(slot->out);
            slot->out = name;
        }
    }
    if (rc == 0 && slot->log_fd < 0) {
        rc = open_log(slot, err);
    }
    if (rc != 0) {
        slot_free(slot);
        return rc;
    }
    slot->used = true;
    *ret = slot;
    return 0;
}

/* True when nothing but . and .. lies in the folder. */
static bool is_empty(int fd)
{
    char buf[1024];

    if (lseek(fd, 0, SEEK_SET) != 0) {
        return false;
    }
    for (;;) {
        long n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
        if (n <= 0) {
            return n == 0;
        }
        for (long at = 0; at < n;) {
            const struct dirent64 *e = (const void *)(buf + at);
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
                return false;
            }
            at += e->d_reclen;
        }
    }
}

/* --- giving back --- */

static bool lies_there(const struct slots *s, const struct inode *is, const char *path,
                       struct stat *ret)
{
    int dir = at_work(s, &path);

    return fstatat(dir, path, ret, AT_SYMLINK_NOFOLLOW) == 0 && is->ino == ret->st_ino &&
           is->dev == ret->st_dev;
}

/* Under its name, held by nobody else under another, and where `held` is given as we wrote it. */
static bool is_ours(const struct slots *s, const struct inode *is, const char *path,
                    const struct str *held, const struct timespec *written, struct stat *ret)
{
    return lies_there(s, is, path, ret) && ret->st_nlink == 1 &&
           (!held || ((size_t)ret->st_size == held->len && ret->st_mtim.tv_sec == written->tv_sec &&
                      ret->st_mtim.tv_nsec == written->tv_nsec));
}

/* A step can move, link, remove or rewrite what it was handed. What is not as it was must reach no other step, nor may it be emptied: it may be somebody's file by now. The values a
 * step wrote are its own: emptied. */
static bool is_intact(const struct slots *s, struct slot *slot)
{
    struct stat st;

    return lies_there(s, &slot->out_is, slot->out, &st) &&
           is_ours(s, &slot->script_is, slot->script_path, &slot->script, &slot->script_at, &st) &&
           is_ours(s, &slot->inputs_is, slot->inputs_path, &slot->inputs, &slot->inputs_at, &st) &&
           is_ours(s, &slot->values_is, slot->values_path, NULL, NULL, &st) &&
           (st.st_size == 0 || ftruncate(slot->values_fd, 0) == 0);
}

static void slot_retire(struct slots *s, struct slot *slot)
{
    store_discard(s->w->store, slot->out);
    store_discard(s->w->store, slot->dir);
    slot_free(slot);
}

void slot_give(struct slots *s, struct slot *slot, bool whole)
{
    if (!is_intact(s, slot)) {
        slot_retire(s, slot);
        return;
    }
    if (!whole || !is_empty(slot->out_fd)) {
        close(slot->out_fd);
        slot->out_fd = -1;
        store_discard(s->w->store, slot->out);
    }
    struct stat st;
    if (!whole && slot->log_fd >= 0 && fstat(slot->log_fd, &st) == 0 && st.st_size > 0 &&
        ftruncate(slot->log_fd, 0) != 0) {
        close(slot->log_fd);
        slot->log_fd = -1;
        unlink(slot->log_path);
    }
    slot->next = s->free;
    s->free = slot;
}

/* --- copies --- */

static void name_path(struct slots *s, struct copy *c, const char *declared)
{
    const char *base = fs_basename(declared);
    char generation[16] = "";

    if (c->generation > 0) {
        snprintf(generation, sizeof(generation), "~%u", c->generation);
    }
    c->path = arena_printf(s->arena, "%s/in/%s%s/%s", s->w->work_dir, c->name, generation, base);
}

struct copy *copy_get(struct slots *s, const struct output_ref *ref)
{
    struct str key = {0};

    sb_u64(&key, ref->step);
    sb_putc(&key, '.');
    sb_u64(&key, ref->row);
    sb_putc(&key, '.');
    sb_puts(&key, ref->output->name);
    struct copy *c = map_get(&s->copies, key.data, key.len);
    if (!c) {
        c = arena_calloc(s->arena, 1, sizeof(*c));
        c->name = arena_strndup(s->arena, key.data, key.len);
        c->digest = ref->output->digest;
        c->object_bytes = ref->output->object_bytes;
        c->kind = ref->output->kind;
        c->executable = ref->output->executable;
        name_path(s, c, ref->output->path);
        map_put_text(&s->copies, c->name, c);
    }
    sb_done(&key);
    return c;
}

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
    return (sum ^ hash_bytes(data, len)) * UINT64_C(0x9E3779B97F4A7C15) + len;
}

static int on_below(const char *path, const char *rel, const struct stat *st, void *arg,
                    struct err *err)
{
    uint64_t *sum = arg;
    int64_t facts[6] = {(int64_t)st->st_ino, st->st_size,          st->st_mtim.tv_sec,
                        st->st_mtim.tv_nsec, (int64_t)st->st_mode, 0};

    (void)path;
    (void)err;
    if (st->st_nlink == 1) { /* the link count of a shared file changes without a change */
        facts[5] = st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
    }
    if (S_ISDIR(st->st_mode)) {
        facts[1] = 0;
        facts[5] = 0;
    }
    *sum = mix(mix(*sum, rel, strlen(rel)), facts, sizeof(facts));
    return 0;
}

static uint64_t folder_sum(const char *path)
{
    uint64_t sum = 1;

    return fs_walk(path, on_below, &sum, NULL) == 0 ? sum : 0;
}

int copy_make(struct slots *s, struct copy *c, struct err *err)
{
    CLEANUP(cleanup_free) char *dir = fs_dirname(c->path);

    if (c->made) {
        return 0;
    }
    const char *short_dir = dir, *path = c->path;
    int at = at_work(s, &short_dir);
    at_work(s, &path);
    if (mkdirat(at, short_dir, 0755) != 0) {
        int rc = errno == ENOENT ? fs_mkdirs(dir, 0755, err) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    int rc =
        objects_place(s->w->store, &c->digest, c->kind, c->executable, PLACE_HOST, c->path, err);
    if (rc == 0 && c->kind == OBJECT_TREE) {
        c->sum = folder_sum(c->path);
    } else if (rc == 0 && fstatat(at, path, &c->st, AT_SYMLINK_NOFOLLOW) != 0) {
        rc = err_set(err, ERR_IO, errno, "cannot read '%s'", c->path);
    }
    c->made = rc == 0;
    return rc;
}

bool copy_unchanged(const struct copy_use *u)
{
    struct stat st;

    if (u->copy->kind == OBJECT_TREE) {
        return folder_sum(u->path) == u->sum;
    }
    if (lstat(u->path, &st) != 0) {
        return false;
    }
    bool same = st.st_size == u->st.st_size && st.st_ino == u->st.st_ino &&
                st.st_mode == u->st.st_mode && st.st_mtim.tv_sec == u->st.st_mtim.tv_sec &&
                st.st_mtim.tv_nsec == u->st.st_mtim.tv_nsec;
    /* A hard link into the store changes its ctime with every other link. */
    bool alone = st.st_nlink == 1 && u->st.st_nlink == 1;
    return same && (!alone || (st.st_ctim.tv_sec == u->st.st_ctim.tv_sec &&
                               st.st_ctim.tv_nsec == u->st.st_ctim.tv_nsec));
}

void copy_renew(struct slots *s, const struct copy_use *u)
{
    struct copy *c = u->copy;

    if (c->generation != u->generation) {
        return; /* another reader found it out before */
    }
    /* Where it was a link, the store itself was written to: look at the object, which quarantines it if need be. */
    objects_check(s->w->store, &c->digest, c->object_bytes, c->kind, true);
    c->generation++;
    c->made = false;
    const char *declared = arena_strdup(s->arena, fs_basename(c->path));
    name_path(s, c, declared);
}
