/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/worktree.h"

#include "base/loop.h"
#include "base/mem.h"
#include "base/repo.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

/* A work tree is compared at some 100,000 files a second, while the steps run. */
enum { FILES_MAX = 20000, WAIT_NS = 200000000, SECOND_NS = 1000000000 };

struct worktree {
    pthread_mutex_t lock;
    pthread_cond_t looked;
    char *dir;
    const char *word;
    bool done;           /* under the lock */
    bool on_pool, freed; /* loop thread */
};

static void really_free(struct worktree *t)
{
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->looked);
    free(t->dir);
    free(t);
}

static void look(void *arg)
{
    struct worktree *t = arg;
    bool dirty = false;
    int rc = repo_dirty(t->dir, FILES_MAX, &dirty, NULL);

    pthread_mutex_lock(&t->lock);
    t->word = rc != 0 ? NULL : dirty ? "true" : "false";
    t->done = true;
    pthread_cond_signal(&t->looked);
    pthread_mutex_unlock(&t->lock);
}

static void on_looked(void *arg)
{
    struct worktree *t = arg;

    t->on_pool = false;
    if (t->freed) {
        really_free(t);
    }
}

struct worktree *worktree_look(struct loop *l, const char *dir)
{
    struct worktree *t = xcalloc(1, sizeof(*t));
    pthread_condattr_t attr;

    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->looked, &attr);
    pthread_condattr_destroy(&attr);
    t->dir = xstrdup(dir);
    t->on_pool = true;
    loop_work(l, look, on_looked, t);
    return t;
}

const char *worktree_dirty(struct worktree *t)
{
    struct timespec until;

    if (!t) {
        return NULL;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_NS;
    until.tv_sec += until.tv_nsec / SECOND_NS;
    until.tv_nsec %= SECOND_NS;
    pthread_mutex_lock(&t->lock);
    while (!t->done && pthread_cond_timedwait(&t->looked, &t->lock, &until) == 0) {
    }
    const char *word = t->word;
    pthread_mutex_unlock(&t->lock);
    return word;
}

void worktree_free(struct worktree *t)
{
    if (t && t->on_pool) {
        t->freed = true; /* the pool still has it */
    } else if (t) {
        really_free(t);
    }
}
