/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing many objects on several threads. Jobs are taken by number; a thread touches nothing but its job and the counters. */
#include "base/err.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"
#include "cache/verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, TELL_MS = 100 };

struct pool {
    struct verify *verify;
    atomic_size_t next;
    atomic_bool stop;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    size_t busy; /* threads still at work; by mutex */
    _Atomic uint64_t bytes, objects;
};

void verify_hash(struct store *s, struct hashing *h)
{
    char name[OBJECT_NAME + 1];
    struct digest found;
    struct stat st;

    object_name(&h->digest, name);
    CLEANUP(cleanup_close)
    int fd = openat(s->objects_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    h->bytes = 0;
    if (fd < 0) {
        h->sys = errno;
        h->state = object_unreadable(h->sys)               ? HASH_UNREADABLE
                   : h->sys == ENOENT || h->sys == ENOTDIR ? HASH_MISSING
                                                           : HASH_DAMAGED;
        return;
    }
    struct err err = {0};
    if (fstat(fd, &st) != 0 ||
        (S_ISREG(st.st_mode) && digest_fd(fd, &found, &h->bytes, &err) < 0)) {
        h->sys = err.sys != 0 ? err.sys : EIO;
        h->state = HASH_UNREADABLE;
        return;
    }
    if (!S_ISREG(st.st_mode) || !digest_eq(&found, &h->digest)) {
        h->state = HASH_DAMAGED;
        return;
    }
    mode_t mode = st.st_mode & 07777;
    bool sealed = object_stat_good(&st, h->bytes) && (mode == 0444 || mode == 0555);
    h->state = sealed ? HASH_GOOD : HASH_UNSEALED;
}

static void work(struct pool *p)
{
    struct verify *v = p->verify;
    size_t i;

    while (!atomic_load(&p->stop) && (i = atomic_fetch_add(&p->next, 1)) < v->jobs.len) {
        verify_hash(v->store, &v->jobs.items[i]);
        atomic_fetch_add(&p->bytes, v->jobs.items[i].bytes);
        atomic_fetch_add(&p->objects, 1);
    }
}

static void *thread(void *arg)
{
    struct pool *p = arg;

    work(p);
    pthread_mutex_lock(&p->mutex);
    p->busy--;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* Counters are brought into the report now and then, so that progress shows large objects too. */
static void wait_for_all(struct pool *p)
{
    struct verify_report *r = &p->verify->report;
    uint64_t bytes = r->bytes, objects = r->objects;

    pthread_mutex_lock(&p->mutex);
    while (p->busy > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TELL_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&p->ended, &p->mutex, &until);
        pthread_mutex_unlock(&p->mutex);
        r->bytes = bytes + atomic_load(&p->bytes);
        r->objects = objects + atomic_load(&p->objects);
        if (verify_stop(p->verify)) {
            atomic_store(&p->stop, true);
        }
        pthread_mutex_lock(&p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    r->bytes = bytes + atomic_load(&p->bytes);
    r->objects = objects + atomic_load(&p->objects);
}

void verify_hash_all(struct verify *v, void (*on_done)(struct verify *v, const struct hashing *h))
{
    struct pool p = {.verify = v};
    pthread_t threads[THREADS_MAX];
    long processors = v->o->threads ? (long)v->o->threads : sysconf(_SC_NPROCESSORS_ONLN);
    size_t most = processors < 1 ? 1 : processors > THREADS_MAX ? THREADS_MAX : (size_t)processors;
    size_t started = 0;

    pthread_mutex_init(&p.mutex, NULL);
    pthread_cond_init(&p.ended, NULL);
    most = most < v->jobs.len ? most : v->jobs.len;
    pthread_mutex_lock(&p.mutex);
    while (started < most && pthread_create(&threads[started], NULL, thread, &p) == 0) {
        started++;
    }
    p.busy = started;
    pthread_mutex_unlock(&p.mutex);
    if (started == 0) { /* none to be had */
        work(&p);
    }
    wait_for_all(&p);
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&p.mutex);
    pthread_cond_destroy(&p.ended);
    for (size_t i = 0; i < v->jobs.len && !v->stopped; i++) {
        on_done(v, &v->jobs.items[i]);
    }
    vec_clear(&v->jobs);
}
