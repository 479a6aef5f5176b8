/* SPDX-License-Identifier: Apache-2.0 */
/* The one writing connection and its thread. Posted writes wait at most 20 ms, or until 256 are there, or one is urgent; then they are one transaction under the lock
 * `wf.db-writer`, which every process takes around each transaction and checkpoint. So nobody polls for SQLite's own lock, and no commit runs during a checkpoint of
 * somebody else.
 * Threads: the queue and the list of ends are guarded by `mutex`; db, lock_fd and the batch belong to whoever commits (the thread; in a store without one, the caller). */
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cache/failpoint.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    DELAY_MS = 20,
    FULL = 256,     /* writes that make a batch full */
    LARGEST = 2048, /* writes in one transaction: a bound on how long others wait */
    WAL_BYTES = 16 << 20,
    SMALL_WAL_BYTES = 1 << 20,
    REST_BYTES = 1 << 20, /* a longer log is not left behind: who opens it first reads it all */
};

/* Writes that ended alike, in order. */
struct ended {
    struct write *first;
    size_t count;
    struct err *err; /* NULL: committed */
};

struct writer {
    struct store *store;
    struct loop *loop;
    struct waker *waker;
    pthread_t thread, loop_thread;
    bool started;

    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    struct write *head, **tail;
    size_t queued;
    size_t urgent; /* of those queued */
    bool hurry, stop;
    struct timespec since; /* when the first of those queued was posted */
    VEC(struct ended) ends;
    size_t ends_seen;          /* of `ends`, those before are over */
    uint64_t posted, finished; /* finished: `done` is called */
    bool referenced;           /* the waker keeps the loop running; loop thread only */

    struct db *db;
    int lock_fd;
    int64_t batch;
    bool batch_new;     /* inserted by the transaction under way */
    bool batch_checked; /* by the transaction under way */
};

/* --- the committing side --- */

int writer_lock(const struct store *s, int *ret_fd, struct err *err)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "wf.db-writer");

    store_make_private(path);
    return fs_lock(path, true, true, ret_fd, err);
}

static int writer_begin(struct writer *w, struct err *err)
{
    if (w->lock_fd < 0) {
        CLEANUP(cleanup_free) char *path = store_path(w->store, "wf.db-writer");
        w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (w->lock_fd < 0) {
            return err_set(err, errno == EACCES || errno == EROFS ? ERR_DENIED : ERR_IO, errno,
                           "cannot open %s for writing", path);
        }
    }
    while (flock(w->lock_fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            return err_set(err, ERR_IO, errno, "cannot lock %s/wf.db-writer", w->store->dir);
        }
    }
    if (!w->db) {
        CLEANUP(cleanup_free) char *path = store_path(w->store, "wf.db");
        int rc = db_open(path, DB_WRITE, store_statements, SQL_COUNT, &w->db, err);
        /* A checkpointed WAL shrinks to half the mark, so that its size tells when the next is due. */
        if (rc == 0) {
            rc = db_exec(w->db,
                         w->store->small_checkpoints ? "PRAGMA journal_size_limit = 1048576"
                                                     : "PRAGMA journal_size_limit = 8388608",
                         err);
        }
        if (rc < 0) {
            db_close(take_ptr(w->db));
            return rc;
        }
    }
    w->batch_checked = false;
    FAILPOINT("writer.begin");
    return db_begin(w->db, err);
}

static void writer_unlock(struct writer *w)
{
    if (w->lock_fd >= 0) {
        flock(w->lock_fd, LOCK_UN);
    }
}

static void checkpoint_if_due(struct writer *w)
{
    struct err err = {0};

    if (db_wal_bytes(w->db) <= (w->store->small_checkpoints ? SMALL_WAL_BYTES : WAL_BYTES)) {
        return;
    }
    FAILPOINT("writer.checkpoint");
    if (db_checkpoint(w->db, &err) < 0) {
        log_debug("store", "checkpoint: %s", err.msg);
    }
}

void store_log_to_disk(const struct store *s)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "wf.db-wal");
    struct stat st;

    if (stat(path, &st) != 0 || st.st_size <= SMALL_WAL_BYTES / 2) {
        return;
    }
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)(fd >= 0 && fdatasync(fd) != 0);
}

/* At the end, where nobody else writes just now. */
static void leave_short_log(struct writer *w)
{
    struct err err = {0};

    if (!w->db || db_wal_bytes(w->db) <= REST_BYTES || flock(w->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return;
    }
    FAILPOINT("writer.checkpoint");
    if (db_empty_log(w->db, &err) < 0) {
        log_debug("store", "checkpoint: %s", err.msg);
    }
    writer_unlock(w);
}

static int apply_all(struct writer *w, struct write *first, size_t count, struct err *err)
{
    struct write *one = first;

    for (size_t i = 0; i < count; i++, one = one->next) {
        int rc = one->apply(one, w->db, err);
        if (rc < 0) {
            return rc;
        }
        FAILPOINT("writer.apply");
    }
    FAILPOINT("writer.commit");
    if (FAILPOINT_ERR("writer.full")) {
        return err_set(err, ERR_IO, errno, "cannot write %s/wf.db", w->store->dir);
    }
    return db_commit(w->db, err);
}

static void tell_committed(struct write *first, size_t count)
{
    struct write *one = first;

    for (size_t i = 0; i < count; i++, one = one->next) {
        if (one->committed) {
            one->committed(one);
        }
    }
}

/* One transaction. The writes are still linked afterwards. */
static int commit(struct writer *w, struct write *first, size_t count, struct err *err)
{
    int rc = writer_begin(w, err);

    if (rc == 0) {
        rc = apply_all(w, first, count, err);
        if (rc < 0) {
            db_rollback(w->db);
            if (w->batch_new) {
                w->batch = 0;
            }
        }
        w->batch_new = false;
        FAILPOINT("writer.committed");
        if (rc == 0) {
            tell_committed(first, count);
            checkpoint_if_due(w);
        }
    }
    writer_unlock(w);
    if (rc < 0 && err) {
        store_advise(w->store, err);
    }
    return rc;
}

/* Still open? Whoever syncs closes the batches of all: what is written from then on belongs to a later one. */
static bool batch_open(struct writer *w, struct db *db)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;

    return db_query(db, SQL_BATCH_STATE, &row, NULL, "i", w->batch) == 0 &&
           db_step(row, NULL) == 1 && db_i64(row, 0) == 0;
}

int64_t store_batch(struct store *s, struct db *db)
{
    struct writer *w = s->writer;

    if (w->batch != 0 && !w->batch_checked && !batch_open(w, db)) {
        w->batch = 0;
    }
    w->batch_checked = true;
    if (w->batch == 0) {
        if (db_run(db, SQL_BATCH_INSERT, NULL, "t", s->boot) < 0) {
            return 0;
        }
        w->batch = db_last_id(db);
        w->batch_new = true;
    }
    return w->batch;
}

/* --- the thread --- */

static void add_ended(struct writer *w, struct write *first, size_t count, const struct err *err)
{
    struct err *kept = err ? xmemdup(err, sizeof(*err)) : NULL;

    pthread_mutex_lock(&w->mutex);
    *vec_push(&w->ends) = (struct ended){first, count, kept};
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->mutex);
}

/* Commits `count` linked writes; when that fails, each alone, so that one does not take the others with it. */
static void commit_or_each(struct writer *w, struct write *first, size_t count)
{
    struct err err = {0};

    if (commit(w, first, count, &err) == 0) {
        add_ended(w, first, count, NULL);
        return;
    }
    if (count == 1) {
        add_ended(w, first, 1, &err);
        return;
    }
    struct write *one = first;
    for (size_t i = 0; i < count; i++) {
        struct write *next = one->next; /* its owner may free it as soon as it has ended */
        err = (struct err){0};
        bool good = commit(w, one, 1, &err) == 0;
        add_ended(w, one, 1, good ? NULL : &err);
        one = next;
    }
}

/* Waits until a batch is due; takes it. 0: to stop, and nothing is left. Called and left with the mutex held. */
static size_t next_batch(struct writer *w, struct write **ret_first)
{
    while (!w->head && !w->stop) {
        pthread_cond_wait(&w->work, &w->mutex);
    }
    if (!w->head) {
        return 0;
    }
    struct timespec until = w->since;
    until.tv_nsec += DELAY_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    while (!w->stop && !w->hurry && w->urgent == 0 && w->queued < FULL) {
        if (pthread_cond_timedwait(&w->work, &w->mutex, &until) == ETIMEDOUT) {
            break;
        }
    }
    size_t count = 0;
    struct write **end = &w->head;
    bool last = false; /* what comes later must see what `committed` does */
    while (*end && count < LARGEST && !last) {
        last = (*end)->committed != NULL;
        w->urgent -= (*end)->urgent;
        end = &(*end)->next;
        count++;
    }
    *ret_first = w->head;
    w->head = *end;
    *end = NULL;
    w->queued -= count;
    if (!w->head) {
        w->tail = &w->head;
        w->hurry = false;
    }
    return count;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct write *first;
    size_t count;

    pthread_mutex_lock(&w->mutex);
    while ((count = next_batch(w, &first)) > 0) {
        pthread_mutex_unlock(&w->mutex);
        commit_or_each(w, first, count);
        waker_wake(w->waker);
        pthread_mutex_lock(&w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* --- the loop's side --- */

/* The loop goes on running while writes are under way. Loop thread only. */
static void refer(struct writer *w, bool keep)
{
    if (w->referenced != keep) {
        w->referenced = keep;
        waker_unref(w->waker, !keep);
    }
}

/* Takes one write that ended. False: there is none. */
static bool take_ended(struct writer *w, struct write **ret, struct err *ret_err, bool *ret_failed)
{
    bool found = false;

    pthread_mutex_lock(&w->mutex);
    if (w->ends_seen < w->ends.len) {
        struct ended *e = &w->ends.items[w->ends_seen];
        *ret = e->first;
        e->first = e->first->next;
        *ret_failed = e->err != NULL;
        if (e->err) {
            *ret_err = *e->err;
        }
        if (--e->count == 0) {
            free(e->err);
            w->ends_seen++;
        }
        w->finished++;
        found = true;
    } else {
        vec_clear(&w->ends);
        w->ends_seen = 0;
    }
    pthread_mutex_unlock(&w->mutex);
    return found;
}

/* Calls `done` for all that ended, one by one: a `done` may itself flush. Loop thread. */
static void drain(struct writer *w)
{
    struct write *one;
    struct err err;
    bool failed;

    while (take_ended(w, &one, &err, &failed)) {
        one->next = NULL;
        if (one->done) {
            one->done(one, failed ? &err : NULL);
        }
    }
    pthread_mutex_lock(&w->mutex);
    bool idle = w->finished == w->posted;
    pthread_mutex_unlock(&w->mutex);
    if (idle) {
        refer(w, false);
    }
}

static void on_wake(void *arg)
{
    drain(arg);
}

void store_post(struct store *s, struct write *one)
{
    struct writer *w = s->writer;

    WF_ASSERT(w != NULL && w->started);
    one->next = NULL;
    pthread_mutex_lock(&w->mutex);
    bool first = w->head == NULL;
    *w->tail = one;
    w->tail = &one->next;
    w->queued++;
    w->posted++;
    w->urgent += one->urgent;
    if (first) {
        clock_gettime(CLOCK_MONOTONIC, &w->since);
    }
    if (first || one->urgent || w->queued == FULL) {
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->mutex);
    /* Also posted from pool threads (what a check found out): those alone do not keep the loop. */
    if (pthread_equal(pthread_self(), w->loop_thread)) {
        refer(w, true);
    }
}

bool store_has_thread(const struct store *s)
{
    return s->writer && s->writer->started;
}

size_t store_pending(const struct store *s)
{
    struct writer *w = s->writer;

    if (!w) {
        return 0;
    }
    pthread_mutex_lock(&w->mutex);
    size_t n = (size_t)(w->posted - w->finished);
    pthread_mutex_unlock(&w->mutex);
    return n;
}

void store_flush(struct store *s)
{
    struct writer *w = s->writer;

    if (!w || !w->started) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    uint64_t target = w->posted;
    while (w->finished < target) {
        w->hurry = w->head != NULL;
        pthread_cond_signal(&w->work);
        while (w->ends_seen == w->ends.len) {
            pthread_cond_wait(&w->done, &w->mutex);
        }
        pthread_mutex_unlock(&w->mutex);
        drain(w);
        pthread_mutex_lock(&w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
}

/* A synchronous write on a store that has the thread: posted, then waited for. */
struct now_write {
    struct write write;
    struct write *inner;
    struct err err;
    bool failed;
};

static int apply_now(struct write *one, struct db *db, struct err *err)
{
    struct now_write *n = CONTAINER_OF(one, struct now_write, write);

    return n->inner->apply(n->inner, db, err);
}

static void committed_now(struct write *one)
{
    struct now_write *n = CONTAINER_OF(one, struct now_write, write);

    n->inner->committed(n->inner);
}

static void done_now(struct write *one, const struct err *err)
{
    struct now_write *n = CONTAINER_OF(one, struct now_write, write);

    n->failed = err != NULL;
    if (err) {
        n->err = *err;
    }
}

int store_write_now(struct store *s, struct write *one, struct err *err)
{
    if (s->read_only) {
        return err_set(err, ERR_DENIED, 0, "the store %s was opened for reading only", s->dir);
    }
    if (!s->writer->started) {
        struct err own = {0};
        one->next = NULL;
        int rc = commit(s->writer, one, 1, &own);
        if (rc < 0 && err) {
            *err = own;
        }
        return rc;
    }
    struct now_write n = {.write = {.apply = apply_now,
                                    .committed = one->committed ? committed_now : NULL,
                                    .done = done_now,
                                    .urgent = true},
                          .inner = one};
    store_post(s, &n.write);
    store_flush(s);
    if (n.failed && err) {
        *err = n.err;
    }
    return n.failed ? -(int)n.err.code : 0;
}

/* --- life --- */

static int start_thread(struct writer *w, struct err *err)
{
    sigset_t all, old;

    /* Signals are the loop thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&w->thread, NULL, writer_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        return err_set(err, ERR_IO, rc, "cannot start the store's writing thread");
    }
    w->started = true;
    return 0;
}

struct writer *writer_new(struct store *s, struct loop *loop, struct err *err)
{
    struct writer *w = xcalloc(1, sizeof(*w));
    pthread_condattr_t attr;

    w->store = s;
    w->loop = loop;
    w->lock_fd = -1;
    w->tail = &w->head;
    w->loop_thread = pthread_self();
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, &attr);
    pthread_cond_init(&w->done, &attr);
    pthread_condattr_destroy(&attr);
    if (loop) {
        w->waker = waker_new(loop, on_wake, w);
        waker_unref(w->waker, true);
        if (start_thread(w, err) < 0) {
            writer_free(w);
            return NULL;
        }
    }
    return w;
}

/* All that was posted has ended (store_flush()). */
void writer_free(struct writer *w)
{
    if (!w) {
        return;
    }
    if (w->started) {
        pthread_mutex_lock(&w->mutex);
        w->stop = true;
        pthread_cond_signal(&w->work);
        pthread_mutex_unlock(&w->mutex);
        pthread_join(w->thread, NULL);
    }
    if (w->waker) {
        waker_free(w->waker);
    }
    vec_done(&w->ends);
    leave_short_log(w);
    db_close(w->db);
    if (w->lock_fd >= 0) {
        close(w->lock_fd);
    }
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}
