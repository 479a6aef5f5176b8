/* SPDX-License-Identifier: Apache-2.0 */
/* After the attempt: are the inputs what the question saw? */
#include "base/arena.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/statcache.h"
#include "steps/asker.h"

#include <sys/stat.h>

static bool same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static enum recheck recheck(struct asker *k, const struct question *q, const struct seen_input *in)
{
    struct stat st;
    struct digest now;

    if (!in->path || source_is_url(in->path)) {
        return RECHECK_SAME; /* another step's output, whose copy the attempt checks; or fetched, once */
    }
    if (stat(in->path, &st) != 0) {
        return in->kind != 'a' ? RECHECK_CHANGED : RECHECK_SAME;
    }
    if (in->kind == 'f' && same_stat(&st, &in->st)) {
        return RECHECK_SAME;
    }
    if (in->kind == 'f' && S_ISREG(st.st_mode)) {
        bool exec = (st.st_mode & 0111) != 0;
        bool same = statcache_digest(k->w->statcache, in->path, &now, &st, NULL) == 0 &&
                    digest_eq(&now, &in->digest) && exec == in->exec;
        return same ? RECHECK_TOUCHED : RECHECK_CHANGED;
    }
    return in->kind != 'd' || !S_ISDIR(st.st_mode)
               ? RECHECK_CHANGED
               : folder_recheck(k->w->statcache, q->memoized ? k->w->store : NULL, in->path,
                                &in->digest, in->stamp);
}

/* Does the pattern still match just what it matched? Their content is looked at one by one. */
static bool matches_same(struct asker *k, const struct question *q, const struct seen_glob *g)
{
    struct arena *a = arena_new();
    struct paths now = {0};
    size_t at = 0;
    bool same = glob_expand(k->w->wf->dir, g->pattern, a, &now, NULL) == 0;

    for (uint32_t n = 0; n < q->n_inputs && same; n++) {
        const struct seen_input *in = &q->inputs[n];
        if (in->input == g->input) {
            same = at < now.v.len && text_eq(now.v.items[at], in->rel ? in->rel : in->path);
            at++;
        }
    }
    same = same && at == now.v.len;
    vec_done(&now.v);
    arena_free(a);
    return same;
}

const char *question_recheck(struct asker *k, const struct question *q, enum recheck *ret_how)
{
    for (uint32_t n = 0; n < q->n_inputs; n++) {
        const struct seen_input *in = &q->inputs[n];
        enum recheck how = recheck(k, q, in);
        if (how != RECHECK_SAME) {
            *ret_how = how;
            return in->rel ? in->rel : in->name ? in->name : in->path;
        }
    }
    for (uint32_t n = 0; n < q->n_globs; n++) {
        if (!matches_same(k, q, &q->globs[n])) {
            *ret_how = RECHECK_CHANGED;
            return q->globs[n].pattern;
        }
    }
    return NULL;
}
