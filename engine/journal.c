/* SPDX-License-Identifier: Apache-2.0 */
/* Batches. A batch is one struct write: `records` (events in order), then its successes, whose records are made by the writer thread, because only there their entries' row ids are known.
 * What comes after a success of the same instance (nothing but its publication's warning) never depends on that order. */
#include "engine/journal.h"

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cache/statements.h"
#include "cache/store.h"
#include "engine/git.h"
#include "engine/plan.h"
#include "engine/prior.h"

#include <stdlib.h>
#include <string.h>

enum {
    DELAY_MS = 20,
    FULL_EVENTS = 256,
    FULL_HITS = 4096,
    OWNER = 1, /* a run that was never taken over */
};

struct ending {
    const char *status;
    int64_t at_ms;
    void *used;
    size_t used_len;
    char *summary;
    const char *dirty; /* "true", "false" or NULL */
};
struct batch {
    struct write write; /* first */
    struct journal *journal;
    int64_t seq;
    struct str records;
    VEC(struct success) successes;
    bool first; /* records the run itself */
    struct ending *ending;
};
struct journal {
    struct store *store;
    struct timer *timer;
    char run[ID_LEN + 1];
    struct journal_run row;
    struct journal_calls calls;
    struct batch *open; /* being gathered; NULL: nothing */
    uint32_t events;    /* in it */
    int64_t seq;
    uint32_t under_way;
    bool broken, told, made_entries, timer_on, closing;
    uint32_t n_hits;
    int64_t hits_at_us;
    uint32_t *hit_instances;
    int64_t *hit_entries;
};

/* --- the writer thread --- */

static int plan_row(struct journal *j, struct db *db, int64_t *ret, bool *ret_new, struct err *err)
{
    const struct plan *p = j->row.plan;
    CLEANUP(db_row_done) struct db_row *found = NULL;
    CLEANUP(db_row_done) struct db_row *made = NULL;
    CLEANUP(sb_done) struct str names = {0};
    int rc = db_query(db, SQL_PLAN_FIND, &found, err, "b", p->digest.bytes, sizeof(p->digest));

    if (rc < 0 || (rc = db_step(found, err)) < 0) {
        return rc;
    }
    *ret_new = rc == 0;
    if (rc == 1) {
        *ret = db_i64(found, 0);
        return 0;
    }
    names_encode(p, &names);
    rc = db_query(db, SQL_PLAN_INSERT, &made, err, "bb", p->digest.bytes, sizeof(p->digest),
                  sb_text(&names), names.len);
    if (rc < 0 || (rc = db_step(made, err)) < 0) {
        return rc;
    }
    *ret = db_i64(made, 0);
    /* Run to its end, so that the row is there for good. */
    rc = db_step(made, err);
    return rc < 0 ? rc : 0;
}

/* The text is kept with the first run of its plan alone: later ones would only repeat it. */
static int insert_run(struct journal *j, struct db *db, struct err *err)
{
    const struct workflow *wf = j->row.plan->wf;
    char commit[65], git[120];
    CLEANUP(cleanup_free) char *file = fs_join(wf->dir, fs_basename(wf->file));
    bool has_git = git_commit_of(wf->dir, commit), is_new;
    int64_t plan;
    int rc = plan_row(j, db, &plan, &is_new, err);

    if (rc < 0) {
        return rc;
    }
    if (has_git) {
        (void)snprintf(git, sizeof(git), "{\"commit\":\"%s\",\"dirty\":null}", commit);
    }
    int64_t n = db_run(db, SQL_RUN_INSERT, err,
                       "tttitttt"
                       "itb",
                       j->run, wf->name, file, plan, "running", j->row.trigger, j->row.params,
                       has_git ? git : NULL, j->row.started_ms, WF_VERSION,
                       is_new ? j->row.text : NULL, is_new ? j->row.text_len : 0);
    return n < 0 ? (int)n : 0;
}

static int check_owner(struct journal *j, struct db *db, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_RUN_OWNER, &row, err, "t", j->run);

    if (rc < 0 || (rc = db_step(row, err)) < 0) {
        return rc;
    }
    if (rc == 0 || db_i64(row, 0) != OWNER) {
        return err_set(err, ERR_BUSY, 0, "run %s was taken over by another wf", j->run);
    }
    return 0;
}

static void insert_entry(struct journal *j, struct db *db, struct success *s)
{
    struct err err = {0};

    s->ret_entry = 0;
    s->ret_problem = NULL;
    if (!s->keep) {
        return;
    }
    /* A result that cannot be stored costs one warning, not the step. */
    if (entry_insert(j->store, db, &s->entry, &s->ret_entry, &err) < 0) {
        s->ret_entry = 0;
        s->ret_problem = arena_strdup(s->arena, err.msg);
    }
}

static void encode_success(const struct success *s, struct str *out)
{
    struct event e = {.type = EVENT_SUCCEEDED,
                      .instance = s->instance,
                      .at_us = s->at_us,
                      .payload = s->payload,
                      .payload_len = s->payload_len,
                      .entry = s->ret_entry};

    event_encode(&e, out);
    if (s->publish) {
        e = (struct event){.type = EVENT_PUBLISH, .instance = s->instance, .at_us = s->at_us};
        event_encode(&e, out);
    }
}

static int end_run(struct journal *j, struct db *db, const struct ending *e, struct err *err)
{
    char dirty[24];

    (void)snprintf(dirty, sizeof(dirty), "\"dirty\":%s", e->dirty ? e->dirty : "null");
    int64_t n = db_run(db, SQL_RUN_END, err, "tibttti", e->status, e->at_ms, e->used, e->used_len,
                       e->summary, dirty, j->run, (int64_t)OWNER);

    return n < 0 ? (int)n : 0;
}

static int batch_apply(struct write *w, struct db *db, struct err *err)
{
    struct batch *b = (struct batch *)w;
    struct journal *j = b->journal;
    CLEANUP(sb_done) struct str records = {0};
    int rc = b->first ? insert_run(j, db, err) : check_owner(j, db, err);

    if (rc < 0) {
        return rc;
    }
    sb_add(&records, sb_text(&b->records), b->records.len);
    for (size_t i = 0; i < b->successes.len; i++) {
        insert_entry(j, db, &b->successes.items[i]);
        encode_success(&b->successes.items[i], &records);
    }
    if (records.len > 0) {
        int64_t n = db_run(db, SQL_EVENT_INSERT, err, "tib", j->run, b->seq, sb_text(&records),
                           records.len);
        if (n < 0) {
            return (int)n;
        }
    }
    return b->ending ? end_run(j, db, b->ending, err) : 0;
}

/* --- the loop thread --- */

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->successes.len; i++) {
        arena_free(b->successes.items[i].arena);
    }
    vec_done(&b->successes);
    sb_done(&b->records);
    if (b->ending) {
        free(b->ending->used);
        free(b->ending->summary);
        free(b->ending);
    }
    free(b);
}

static void batch_done(struct write *w, const struct err *err)
{
    struct batch *b = (struct batch *)w;
    struct journal *j = b->journal;

    j->under_way--;
    if (err) {
        j->broken = true;
    }
    for (size_t i = 0; i < b->successes.len && !j->closing; i++) {
        if (err) {
            b->successes.items[i].ret_entry = 0;
        }
        j->made_entries |= b->successes.items[i].ret_entry != 0;
        j->calls.on_success(&b->successes.items[i], j->calls.arg);
    }
    batch_free(b);
    if (j->closing) {
        return;
    }
    if (err && !j->told) {
        j->told = true;
        j->calls.on_broken(err, j->calls.arg);
    }
    if (journal_quiet(j)) {
        j->calls.on_quiet(j->calls.arg);
    }
}

static void flush_hits(struct journal *j)
{
    if (j->n_hits > 0) {
        uint32_t n = j->n_hits;
        j->n_hits = 0;
        event_encode_hits(j->hit_instances, j->hit_entries, n, j->hits_at_us, &j->open->records);
    }
}

static void on_timer(void *arg)
{
    struct journal *j = arg;

    j->timer_on = false;
    journal_hurry(j);
}

static struct batch *open_batch(struct journal *j)
{
    if (!j->open) {
        j->open = xcalloc(1, sizeof(*j->open));
        j->open->journal = j;
        j->open->write.apply = batch_apply;
        j->open->write.done = batch_done;
        j->events = 0;
    }
    if (!j->timer_on) {
        j->timer_on = true;
        timer_start(j->timer, DELAY_MS, 0);
    }
    return j->open;
}

struct journal *journal_new(struct store *s, struct loop *l, const char *run_id,
                            const struct journal_run *run, const struct journal_calls *calls)
{
    struct journal *j = xcalloc(1, sizeof(*j));

    j->store = s;
    (void)snprintf(j->run, sizeof(j->run), "%s", run_id);
    j->row = *run;
    j->calls = *calls;
    j->timer = timer_new(l, on_timer, j);
    j->hit_instances = xcalloc(FULL_HITS, sizeof(*j->hit_instances));
    j->hit_entries = xcalloc(FULL_HITS, sizeof(*j->hit_entries));
    open_batch(j)->first = true;
    return j;
}

void journal_free(struct journal *j)
{
    if (!j) {
        return;
    }
    j->closing = true;
    journal_hurry(j); /* a run that is closed before its end leaves behind what happened */
    if (j->under_way > 0) {
        store_flush(j->store);
    }
    timer_free(j->timer);
    free(j->hit_instances);
    free(j->hit_entries);
    free(j);
}

void journal_hurry(struct journal *j)
{
    struct batch *b = j->open;

    if (!b) {
        return;
    }
    flush_hits(j);
    j->open = NULL;
    if (j->timer_on) {
        j->timer_on = false;
        timer_stop(j->timer);
    }
    b->seq = ++j->seq;
    b->write.urgent = true;
    j->under_way++;
    if (j->broken) {
        struct err err = {.code = ERR_IO, .msg = "the store could not be written"};
        batch_done(&b->write, &err);
        return;
    }
    store_post(j->store, &b->write);
}

static void count_event(struct journal *j)
{
    if (++j->events >= FULL_EVENTS) {
        journal_hurry(j);
    }
}

void journal_event(struct journal *j, const struct event *e)
{
    struct batch *b = open_batch(j);

    if (e->instance == UINT32_MAX) {
        flush_hits(j); /* the run's own events stand where they happened */
    }
    event_encode(e, &b->records);
    count_event(j);
}

void journal_hit(struct journal *j, uint32_t instance, int64_t entry, int64_t at_us)
{
    (void)open_batch(j);
    if (j->n_hits == 0) {
        j->hits_at_us = at_us;
    }
    j->hit_instances[j->n_hits] = instance;
    j->hit_entries[j->n_hits] = entry;
    if (++j->n_hits == FULL_HITS) {
        flush_hits(j);
        count_event(j);
    }
}

void journal_success(struct journal *j, const struct success *s)
{
    struct batch *b = open_batch(j);

    *vec_push(&b->successes) = *s;
    count_event(j);
}

bool journal_quiet(const struct journal *j)
{
    return !j->open && j->under_way == 0;
}

bool journal_broken(const struct journal *j)
{
    return j->broken;
}

bool journal_made_entries(const struct journal *j)
{
    return j->made_entries;
}

void journal_end(struct journal *j, const struct event *ended, const char *status, void *used,
                 size_t used_len, char *summary, const char *dirty)
{
    struct batch *b;

    journal_hurry(j); /* successes stand before the end */
    b = open_batch(j);
    event_encode(ended, &b->records);
    b->ending = xcalloc(1, sizeof(*b->ending));
    *b->ending = (struct ending){.status = status,
                                 .at_ms = ended->at_us / 1000,
                                 .used = used,
                                 .used_len = used_len,
                                 .summary = summary,
                                 .dirty = dirty};
    journal_hurry(j);
}
