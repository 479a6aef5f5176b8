/* SPDX-License-Identifier: Apache-2.0 */
/* Dry runs ask each URL once. Nobody is known there (secrets are a run's), and only headers are wanted, so one answer serves all steps. A server that keeps silent costs one wait, not one for each
 * step: whatever else is asked of it ends with that. */
#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/vec.h"
#include "steps/asker.h"

#include <string.h>

struct wanting {
    source_fn on_done;
    void *arg;
};
struct asked {
    struct asker *k;
    const char *url, *public_url, *host;
    struct source_fetch *fetch;
    bool done, good;
    struct source_facts facts;
    struct err err;
    VEC(struct wanting) wanting;
};

/* The server; all of S3 is one. */
static const char *host_of(const char *public_url, struct arena *a)
{
    const char *host = strstr(public_url, "://");

    return !host || source_kind_of(public_url) == SOURCE_S3
               ? "s3"
               : arena_strndup(a, host + 3, strcspn(host + 3, "/?#"));
}

static void tell(const struct asked *q, const struct wanting *w)
{
    w->on_done(q->good ? &q->facts : NULL, q->good ? NULL : &q->err, w->arg);
}

/* To one who comes when the answer is known: from the loop, as to all others. */
struct late {
    const struct asked *q;
    struct wanting wanting;
};

static void nothing(void *arg)
{
    (void)arg;
}

static void tell_late(void *arg)
{
    const struct late *l = arg;

    tell(l->q, &l->wanting);
}

static void tell_soon(struct asked *q, const struct wanting *w)
{
    struct late *l = arena_alloc(q->k->arena, sizeof(*l));

    *l = (struct late){q, *w};
    loop_work(q->k->w->loop, nothing, tell_late, l);
}

static void end(struct asked *q)
{
    q->done = true;
    for (size_t n = 0; n < q->wanting.len; n++) {
        tell(q, &q->wanting.items[n]);
    }
    vec_done(&q->wanting);
}

static void keeps_silent(struct asked *q)
{
    err_set(&q->err, ERR_BUSY, 0, "%s does not answer; a run would wait longer for it",
            q->public_url);
}

static void give_up_host(struct asker *k, const char *host)
{
    map_put_text(&k->silent, host, k);
    for (size_t n = 0; n < k->asked.len; n++) {
        struct asked *q = k->asked.items[n].value;
        if (!q->done && strcmp(q->host, host) == 0) {
            source_fetch_free(take_ptr(q->fetch));
            keeps_silent(q);
            end(q);
        }
    }
}

static void on_answer(const struct source_facts *facts, const struct err *err, void *arg)
{
    struct asked *q = arg;

    if (facts) {
        q->good = true;
        source_copy_facts(facts, q->k->arena, &q->facts);
    } else {
        q->err = *err;
    }
    if (!facts && err->code == ERR_TIMEOUT && q->k->w->one_try) {
        keeps_silent(q);
        end(q);
        give_up_host(q->k, q->host);
    } else {
        end(q);
    }
}

static int begin(struct asked *q, const struct fetch_request *r, struct err *err)
{
    struct asker *k = q->k;
    struct http *h = NULL;
    int rc = source_kind_of(r->url) == SOURCE_GIT ? 0 : asker_http(k, &h, err);

    return rc == 0 ? source_fetch(k->w->loop, h, r, on_answer, q, &q->fetch, err) : rc;
}

int look_once(struct asker *k, const struct fetch_request *r, source_fn on_done, void *arg,
              struct err *err)
{
    struct asked *q = map_get_text(&k->asked, r->url);
    struct wanting w = {on_done, arg};

    if (q && q->done) {
        tell_soon(q, &w);
        return 0;
    }
    if (!q) {
        q = arena_calloc(k->arena, 1, sizeof(*q));
        q->k = k;
        q->url = arena_strdup(k->arena, r->url);
        q->public_url = source_public_url(r->url, k->arena);
        q->host = host_of(q->public_url, k->arena);
        if (map_get_text(&k->silent, q->host)) {
            keeps_silent(q);
            q->done = true;
            tell_soon(q, &w);
            map_put_text(&k->asked, q->url, q);
            return 0;
        }
        int rc = begin(q, r, err);
        if (rc < 0) {
            return rc;
        }
        map_put_text(&k->asked, q->url, q);
    }
    *vec_push(&q->wanting) = w;
    return 0;
}

void looks_free(struct asker *k)
{
    for (size_t n = 0; n < k->asked.len; n++) {
        struct asked *q = k->asked.items[n].value;
        source_fetch_free(q->fetch);
        vec_done(&q->wanting);
    }
    map_done(&k->asked);
    map_done(&k->silent);
}
