/* SPDX-License-Identifier: Apache-2.0 */
/* live/claims: the last 8 bytes of the id of the run that came last, and nothing else; its locks are all that counts. A run makes live/RUN, writes its mark, then looks who else is in live/: of two
 * that come at once each either sees the other there or finds another mark than its own. The head of a key, cut to 62 bits, is the byte that is locked; two keys that share it only wait for each other.
 * live/RUN: records of 256 bytes. The first is the run's: workflow, and the run and step that started it, if any; each other one is a claim: head, when it was taken, name. A record is not wiped when its claim ends, only used
 * again: of several with one head the youngest is the holder's, because the lock had one owner at a time. One with a negative head is a wait for that claim, and wiped when it ends. */
#include "engine/claims.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/failpoint.h"
#include "cache/store.h"
#include "engine/ancestors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    MARK = 8,
    MAX_RECORDS = 1 << 16, /* of a run: what stands behind them is not looked at */
    MAX_DEPTH = 32,        /* of runs that were started by steps */
    MAX_CIRCLE = 256,      /* claims on the way of a circle of waits */
};

struct claim_record {
    int64_t head;     /* 0: none; negative: waited for */
    int64_t taken_us; /* of the machine's clock that never goes back */
    char name[CLAIM_TEXT];
};
/* The first record. A workflow's name is cut to what is left. */
struct run_record {
    char parent[ID_LEN + 6]; /* the run whose step started this one; "": nobody */
    char parent_step[112], workflow[112];
};
_Static_assert(sizeof(struct claim_record) == 256, "records have one size");
_Static_assert(sizeof(struct run_record) == 256, "records have one size");

struct held {
    int64_t head; /* 0: free; negative: waited for */
    uint32_t instance;
};
struct claims {
    struct store *store;
    char run[ID_LEN + 1];
    struct run_record self;
    int fd, live_fd;  /* fd -1: there are no locks here, and everything is taken */
    const char *mark; /* live/claims, mapped; NULL: not */
    bool accompanied;
    bool have_ancestors; /* they are looked for once, by the first that has to wait */
    struct ancestors ancestors;
    VEC(struct held) held; /* by record - 1 */
};

static int64_t head_of(const struct digest *d)
{
    uint64_t h;

    memcpy(&h, d->bytes, sizeof(h));
    h &= (UINT64_C(1) << 62) - 1;
    return h ? (int64_t)h : 1; /* byte 0 is never locked */
}

/* A name that is too long is cut between two characters. */
static void copy_cut(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);

    if (n >= size) {
        n = size - 1;
        while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    memset(to, 0, size);
    memcpy(to, from, n);
}

/* --- coming --- */

static bool others_here(const struct claims *c)
{
    CLEANUP(cleanup_free) char *path = store_path(c->store, "live");
    DIR *live = opendir(path);
    bool found = false;

    for (struct dirent *e; live && !found && (e = readdir(live)) != NULL;) {
        found = strlen(e->d_name) == ID_LEN && id_time_ms(e->d_name) >= 0 &&
                strcmp(e->d_name, c->run) != 0;
    }
    if (live) {
        closedir(live);
    }
    return found || !live;
}

static void set_parent(struct run_record *self, const char *run)
{
    const char *parent = getenv("WF_RUN"), *step = getenv("WF_STEP");

    if (parent && step && strlen(parent) == ID_LEN && id_time_ms(parent) >= 0 &&
        strcmp(parent, run) != 0) {
        copy_cut(self->parent, sizeof(self->parent), parent);
        copy_cut(self->parent_step, sizeof(self->parent_step), step);
    }
}

static bool map_mark(struct claims *c)
{
    void *at = mmap(NULL, MARK, PROT_READ, MAP_SHARED, c->fd, 0);

    c->mark = at != MAP_FAILED ? at : NULL;
    return c->mark != NULL;
}

/* From now on nobody is asked, and nobody is told. */
static void go_alone(struct claims *c)
{
    if (c->mark) {
        munmap((void *)(uintptr_t)c->mark, MARK);
        c->mark = NULL;
    }
    if (c->fd >= 0) {
        close(take_fd(&c->fd));
    }
}

struct claims *claims_new(struct store *s, const char *run, const char *workflow, int live_fd)
{
    struct claims *c = xcalloc(1, sizeof(*c));
    CLEANUP(cleanup_free) char *path = store_path(s, "live/claims");

    c->store = s;
    c->live_fd = live_fd;
    (void)snprintf(c->run, sizeof(c->run), "%s", run);
    set_parent(&c->self, run);
    copy_cut(c->self.workflow, sizeof(c->self.workflow), workflow);
    c->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->fd < 0 || pwrite(live_fd, &c->self, sizeof(c->self), 0) != sizeof(c->self) ||
        pwrite(c->fd, c->run + ID_LEN - MARK, MARK, 0) != MARK || !map_mark(c)) {
        log_debug("claims", "no claims in %s: %s", path, strerror(errno));
        go_alone(c);
    }
    atomic_thread_fence(memory_order_seq_cst);
    c->accompanied = others_here(c);
    return c;
}

void claims_free(struct claims *c)
{
    if (!c) {
        return;
    }
    go_alone(c);
    vec_done(&c->held);
    vec_done(&c->ancestors.v);
    free(c);
}

bool claims_alone(struct claims *c)
{
    /* A claim that was taken just now is seen by whoever comes after this. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!c->accompanied && c->mark && memcmp(c->mark, c->run + ID_LEN - MARK, MARK) != 0) {
        c->accompanied = true;
    }
    return !c->accompanied;
}

/* --- taking --- */

/* 0: done; 1: another has it. */
static int lock(struct claims *c, int cmd, short type, int64_t head)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = head, .l_len = 1};

    while (fcntl(c->fd, cmd, &l) != 0) {
        if (errno == EAGAIN || errno == EACCES) {
            return 1;
        }
        if (errno != EINTR) {
            /* The file system has no locks: from now on everybody works alone. */
            log_debug("claims", "no locks in live/claims: %s", strerror(errno));
            go_alone(c);
            return 0;
        }
    }
    return cmd == F_OFD_GETLK && l.l_type != F_UNLCK;
}

static void write_record(struct claims *c, size_t at, const struct claim_record *r)
{
    off_t offset = (off_t)((at + 1) * sizeof(*r));

    if (pwrite(c->live_fd, r, sizeof(*r), offset) != (ssize_t)sizeof(*r)) {
        log_debug("claims", "cannot write live/%s: %s", c->run, strerror(errno));
    }
}

static void note(struct claims *c, int64_t head, uint32_t instance, const char *name)
{
    struct claim_record r = {.head = head, .taken_us = mono_us()};
    size_t at = 0;

    while (at < c->held.len && c->held.items[at].head != 0) {
        at++;
    }
    if (at == c->held.len) {
        (void)vec_push(&c->held);
    }
    c->held.items[at] = (struct held){head, instance};
    copy_cut(r.name, sizeof(r.name), name);
    write_record(c, at, &r);
}

bool claims_take(struct claims *c, const struct digest *key, uint32_t instance, const char *name)
{
    int64_t head = head_of(key);

    if (c->fd < 0) {
        return true;
    }
    for (size_t i = 0; i < c->held.len; i++) {
        if (c->held.items[i].head == head) {
            return true; /* one lock has one owner: the instance that took it first */
        }
    }
    if (lock(c, F_OFD_SETLK, F_WRLCK, head) != 0) {
        return false;
    }
    note(c, head, instance, name);
    FAILPOINT("claims.taken");
    return true;
}

void claims_release(struct claims *c, uint32_t instance)
{
    for (size_t i = 0; i < c->held.len; i++) {
        struct held *h = &c->held.items[i];
        if (h->head > 0 && h->instance == instance) {
            if (c->fd >= 0) {
                (void)lock(c, F_OFD_SETLK, F_UNLCK, h->head);
            }
            h->head = 0;
            return;
        }
    }
}

static bool head_held(struct claims *c, int64_t head)
{
    return c->fd >= 0 && lock(c, F_OFD_GETLK, F_WRLCK, head) != 0;
}

bool claims_held(struct claims *c, const struct digest *key)
{
    return head_held(c, head_of(key));
}

void claims_wait(struct claims *c, const struct digest *key, uint32_t instance, const char *name)
{
    if (c->fd >= 0) {
        note(c, -head_of(key), instance, name);
    }
}

void claims_unwait(struct claims *c, uint32_t instance)
{
    static const struct claim_record none = {0};

    for (size_t i = 0; i < c->held.len; i++) {
        struct held *h = &c->held.items[i];
        if (h->head < 0 && h->instance == instance) {
            h->head = 0;
            write_record(c, i, &none);
            return;
        }
    }
}

/* --- who --- */

static bool read_run(const struct claims *c, const char *run, int *ret_fd, struct run_record *ret)
{
    CLEANUP(cleanup_free) char *below = xasprintf("live/%s", run);
    CLEANUP(cleanup_free) char *path = store_path(c->store, below);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || pread(fd, ret, sizeof(*ret), 0) != sizeof(*ret)) {
        return false;
    }
    ret->parent[sizeof(ret->parent) - 1] = '\0';
    ret->parent_step[sizeof(ret->parent_step) - 1] = '\0';
    ret->workflow[sizeof(ret->workflow) - 1] = '\0';
    if (ret_fd) {
        *ret_fd = take_fd(&fd);
    }
    return true;
}

/* Whether this run took the key last, of those looked at so far. */
static bool claim_in(const struct claims *c, const char *run, int64_t head, int64_t *youngest_us,
                     struct claim_holder *ret)
{
    CLEANUP(cleanup_close) int fd = -1;
    struct run_record self;
    struct claim_record r;
    bool found = false;

    /* One that is not live left its records behind as it died. */
    if (!store_is_live(c->store, run) || !read_run(c, run, &fd, &self)) {
        return false;
    }
    for (off_t at = 1;
         at < MAX_RECORDS && pread(fd, &r, sizeof(r), at * (off_t)sizeof(r)) == sizeof(r); at++) {
        if (r.head == head && r.taken_us > *youngest_us) {
            r.name[sizeof(r.name) - 1] = '\0';
            *youngest_us = r.taken_us;
            copy_cut(ret->run, sizeof(ret->run), run);
            copy_cut(ret->workflow, sizeof(ret->workflow), self.workflow);
            copy_cut(ret->step, sizeof(ret->step), r.name);
            found = true;
        }
    }
    return found;
}

/* The other runs that lie in live/. */
static void each_run(const struct claims *c, void (*fn)(const char *run, void *arg), void *arg)
{
    CLEANUP(cleanup_free) char *path = store_path(c->store, "live");
    DIR *live = opendir(path);

    for (struct dirent *e; live && (e = readdir(live)) != NULL;) {
        if (strlen(e->d_name) == ID_LEN && id_time_ms(e->d_name) >= 0 &&
            strcmp(e->d_name, c->run) != 0) {
            fn(e->d_name, arg);
        }
    }
    if (live) {
        closedir(live);
    }
}

struct asked {
    const struct claims *c;
    int64_t head, youngest_us;
    struct claim_holder *ret;
    bool found;
};

static void look_for_holder(const char *run, void *arg)
{
    struct asked *x = arg;

    x->found |= claim_in(x->c, run, x->head, &x->youngest_us, x->ret);
}

static bool holder_of(struct claims *c, int64_t head, struct claim_holder *ret)
{
    struct asked x = {.c = c, .head = head, .youngest_us = -1, .ret = ret};

    if (head_held(c, head)) {
        each_run(c, look_for_holder, &x);
    }
    return x.found;
}

bool claims_who(struct claims *c, const struct digest *key, struct claim_holder *ret)
{
    return holder_of(c, head_of(key), ret);
}

/* By what was handed down: was a run started by the holder's step, or by a run that was, and so on upwards? */
static bool below_by_name(const struct claims *c, struct run_record at,
                          const struct claim_holder *holder)
{
    char step[sizeof(at.parent_step)];

    copy_cut(step, sizeof(step), holder->step);
    for (int depth = 0; depth < MAX_DEPTH && at.parent[0]; depth++) {
        if (strcmp(at.parent, holder->run) == 0 && strcmp(at.parent_step, step) == 0) {
            return true;
        }
        if (id_time_ms(at.parent) < 0 || !read_run(c, at.parent, NULL, &at)) {
            return false;
        }
    }
    return false;
}

/* By the processes above, the nearest first. */
static bool ours_by_process(const struct claims *c, const struct claim_holder *holder)
{
    char step[ANCESTOR_STEP];

    copy_cut(step, sizeof(step), holder->step);
    for (size_t i = 0; i < c->ancestors.v.len; i++) {
        const struct ancestor *a = &c->ancestors.v.items[i];
        if (strcmp(a->run, holder->run) == 0) {
            return a->step[0] == '\0' || strcmp(a->step, step) == 0;
        }
    }
    return false;
}

/* Was this run started by a step at all? */
static bool is_below(struct claims *c)
{
    if (!c->have_ancestors) {
        c->have_ancestors = true;
        ancestors_find(&c->ancestors);
    }
    return c->self.parent[0] || c->ancestors.v.len > 0;
}

static bool ours(const struct claims *c, const struct claim_holder *holder)
{
    return below_by_name(c, c->self, holder) || ours_by_process(c, holder);
}

bool claims_ours(struct claims *c, const struct digest *key)
{
    struct claim_holder holder;

    return is_below(c) && claims_who(c, key, &holder) && ours(c, &holder);
}

/* --- circles --- */

struct circle {
    const struct claims *c;
    const struct claim_holder *holder;
    VEC(int64_t) heads; /* waited for, on the way */
};

static void add_head(struct circle *x, int64_t head)
{
    for (size_t i = 0; i < x->heads.len; i++) {
        if (x->heads.items[i] == head) {
            return;
        }
    }
    if (x->heads.len < MAX_CIRCLE) {
        *vec_push(&x->heads) = head;
    }
}

/* What a run waits for that the holder's step has started. */
static void add_waits(const char *run, void *arg)
{
    struct circle *x = arg;
    CLEANUP(cleanup_close) int fd = -1;
    struct run_record self;
    struct claim_record r;

    if (!store_is_live(x->c->store, run) || !read_run(x->c, run, &fd, &self) ||
        !below_by_name(x->c, self, x->holder)) {
        return;
    }
    for (off_t at = 1;
         at < MAX_RECORDS && pread(fd, &r, sizeof(r), at * (off_t)sizeof(r)) == sizeof(r); at++) {
        if (r.head < 0) {
            add_head(x, -r.head);
        }
    }
}

bool claims_circle(struct claims *c, const struct digest *key)
{
    struct claim_holder holder;
    struct circle x = {.c = c, .holder = &holder};
    bool found = false;

    if (c->fd < 0 || !is_below(c)) {
        return false; /* nobody's step waits for our end */
    }
    add_head(&x, head_of(key));
    for (size_t i = 0; i < x.heads.len && !found; i++) {
        if (holder_of(c, x.heads.items[i], &holder)) {
            found = ours(c, &holder);
            each_run(c, add_waits, &x);
        }
    }
    vec_done(&x.heads);
    return found;
}
