/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/desired.h"

#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/statements.h"
#include "cache/store.h"

#include <stdlib.h>
#include <string.h>

const char *const service_state_names[SERVICE_STATE_COUNT] = {
    [SERVICE_DOWN] = "down",           [SERVICE_STARTING] = "starting", [SERVICE_LIVE] = "live",
    [SERVICE_SWITCHING] = "switching", [SERVICE_FAILED] = "failed",
};

/* --- writing --- */

struct present {
    int64_t id, generation;
    char *wanted, *run;
};

static void present_done(struct present *p)
{
    free(p->wanted);
    free(p->run);
}

static int read_present(struct db *db, const struct service_spec *s, struct present *ret,
                        struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db_query(db, SQL_SERVICE_OWNER, &row, err, "tt", s->workflow, s->step);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc > 0) {
        const char *wanted = db_text(row, 2), *run = db_text(row, 3);
        *ret = (struct present){.id = db_i64(row, 0), .generation = db_i64(row, 1)};
        ret->wanted = wanted ? xstrdup(wanted) : NULL;
        ret->run = run ? xstrdup(run) : NULL;
    }
    return rc < 0 ? rc : rc == 0;
}

/* A row that cannot be read counts as another wish. */
static bool is_same(const struct present *p, const struct service_spec *s)
{
    struct arena *a = arena_new();
    struct service_spec old;
    bool same = spec_decode(p->wanted, strlen(p->wanted), a, &old, NULL) == 0 &&
                text_eq(old.run, s->run) && old.promotion == s->promotion;
    if (same) {
        struct digest was = spec_content(&old), is = spec_content(s);
        same = digest_eq(&was, &is);
    }
    arena_free(a);
    return same;
}

/* A rollback wants it again as it was. */
static int keep_spec(struct db *db, int64_t id, const struct service_spec *s, const char *json,
                     struct err *err)
{
    if (s->promotion == 0 || !s->select) {
        return 0;
    }
    int64_t n =
        db_run(db, SQL_SERVICE_SPEC_PUT, err, "iitt", id, (int64_t)s->promotion, s->select, json);
    return n < 0 ? (int)n : 0;
}

int desired_want(struct db *db, const struct service_spec *s, int64_t *ret_id,
                 int64_t *ret_generation, struct err *err)
{
    CLEANUP(present_done) struct present p = {0};
    CLEANUP(sb_done) struct str json = {0};
    int64_t port = s->listen.port, keep = s->keep;
    int rc = read_present(db, s, &p, err);
    if (rc < 0) {
        return rc;
    }
    spec_encode(s, &json);
    if (rc > 0) {
        int64_t n = db_run(db, SQL_SERVICE_ADD, err, "ttttiii", s->workflow, s->step,
                           sb_text(&json), s->run, keep, port, now_ms());
        if (n < 0) {
            return (int)n;
        }
        int64_t id = db_last_id(db);
        rc = keep_spec(db, id, s, sb_text(&json), err);
        if (rc == 0) {
            *ret_id = id;
            *ret_generation = 1;
        }
        return rc;
    }
    if (p.wanted && p.run && s->run && strcmp(s->run, p.run) < 0) {
        return err_set(err, ERR_BUSY, 0,
                       "service %s/%s belongs to run %s, which started later; its choice stays",
                       s->workflow, s->step, p.run);
    }
    if (p.wanted && is_same(&p, s)) {
        *ret_id = p.id;
        *ret_generation = p.generation;
        return 0;
    }
    int64_t n =
        db_run(db, SQL_SERVICE_WANT, err, "ittii", p.id, sb_text(&json), s->run, keep, port);
    rc = n < 0 ? (int)n : keep_spec(db, p.id, s, sb_text(&json), err);
    if (rc < 0) {
        return rc;
    }
    *ret_id = p.id;
    *ret_generation = p.generation + 1;
    return 0;
}

int desired_down(struct db *db, int64_t id, const char *run, struct err *err)
{
    int64_t n = db_run(db, SQL_SERVICE_DOWN, err, "it", id, run);
    return n < 0 ? (int)n : 0;
}

int desired_status(struct db *db, const struct service_row *row, struct err *err)
{
    int64_t n = db_run(db, SQL_SERVICE_STATUS, err, "iiiiiitti", row->id, (int64_t)row->port,
                       (int64_t)row->state, row->state_generation, row->live_generation,
                       (int64_t)row->live_promotion, row->endpoint, row->error, row->changed_at_ms);
    return n < 0 ? (int)n : 0;
}

/* --- reading --- */

static const char *copy(struct arena *a, const char *text)
{
    return text ? arena_strdup(a, text) : NULL;
}

static void read_row(struct db_row *row, struct arena *a, struct service_row *ret)
{
    int64_t state = db_i64(row, 8);
    *ret = (struct service_row){
        .id = db_i64(row, 0),
        .workflow = copy(a, db_text(row, 1)),
        .step = copy(a, db_text(row, 2)),
        .generation = db_i64(row, 3),
        .wanted = copy(a, db_text(row, 4)),
        .run = copy(a, db_text(row, 5)),
        .keep = db_i64(row, 6) != 0,
        .port = (uint16_t)db_i64(row, 7),
        .state =
            state >= 0 && state < SERVICE_STATE_COUNT ? (enum service_state)state : SERVICE_DOWN,
        .state_generation = db_i64(row, 9),
        .live_generation = db_i64(row, 10),
        .live_promotion = (uint32_t)db_i64(row, 11),
        .endpoint = copy(a, db_text(row, 12)),
        .error = copy(a, db_text(row, 13)),
        .changed_at_ms = db_i64(row, 14),
    };
}

int desired_find(struct store *s, const char *workflow, const char *step, struct arena *a,
                 struct service_row *ret, struct err *err)
{
    struct db *db = store_db(s);
    CLEANUP(db_row_done) struct db_row *row = NULL;
    if (!db) {
        return 1;
    }
    int rc = db_query(db, SQL_SERVICE_FIND, &row, err, "tt", workflow, step);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc > 0) {
        read_row(row, a, ret);
    }
    return rc < 0 ? rc : rc == 0;
}

int desired_each(struct store *s, struct arena *a,
                 int (*fn)(const struct service_row *row, void *arg), void *arg, struct err *err)
{
    struct db *db = store_db(s);
    CLEANUP(db_row_done) struct db_row *row = NULL;
    int rc = db ? db_query(db, SQL_SERVICE_LIST, &row, err, "") : 0;
    while (db && rc >= 0 && (rc = db_step(row, err)) > 0) {
        struct service_row r;
        read_row(row, a, &r);
        rc = fn(&r, arg);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

int desired_spec(struct store *s, int64_t id, const char *select, uint32_t promotion,
                 struct arena *a, const char **ret, struct err *err)
{
    CLEANUP(db_row_done) struct db_row *row = NULL;
    if (!store_db(s)) {
        return 1;
    }
    int rc = db_query(store_db(s), SQL_SERVICE_SPEC_GET, &row, err, "iit", id, (int64_t)promotion,
                      select);
    rc = rc < 0 ? rc : db_step(row, err);
    if (rc > 0) {
        *ret = arena_strdup(a, db_text(row, 0));
    }
    return rc < 0 ? rc : rc == 0;
}
