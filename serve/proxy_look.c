/* SPDX-License-Identifier: Apache-2.0 */
/* How servers and backends stand: the present worker's `show stat` at the admin socket, and through the master's that of workers which a reload left behind and which still answer what they have.
 *
 * A worker's counters begin at 0. So that they rise over a reload, what the last one had counted is carried over (proxy_count_keep); what an old worker answers after that is not counted, and
 * neither is what came after the last look when HAProxy was killed. */
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAT_BACKEND = 1, STAT_SERVER = 2, COLUMNS_MAX = 160 };

/* The columns that are read; found by their names, for later versions add some. */
enum column {
    COL_PROXY,
    COL_NAME,
    COL_QUEUED,
    COL_SESSIONS,
    COL_STATUS,
    COL_TYPE,
    COL_CHECK,
    COL_1XX,
    COL_2XX,
    COL_3XX,
    COL_4XX,
    COL_5XX,
    COL_OTHER,
    COLUMN_COUNT
};
static const char *const column_names[COLUMN_COUNT] = {
    "pxname",   "svname",   "qcur",     "scur",     "status",   "type",      "check_status",
    "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"};

struct row {
    char backend[32];
    uint32_t server;
    bool up;
    uint32_t sessions, idle, queued;
    uint64_t requests, errors;
};
struct table {
    VEC(struct row) rows;
    struct map index; /* "backend/server" -> row + 1 */
    VEC(char *) keys;
    uint64_t callers; /* connections of callers to this worker */
};

struct proxy_looking {
    struct proxy *p;
    struct proxy_looking *next, **link; /* in p->looks */
    void (*fn)(const struct proxy_look *l, void *arg);
    void (*on_done)(const struct err *err, void *arg);
    void *arg;
    struct proxy_ask *ask;
    struct table table; /* of the present worker, others' sessions added */
    pid_t worker;
    VEC(pid_t) old;
    size_t next_old;
};

static void table_done(struct table *t)
{
    for (size_t i = 0; i < t->keys.len; i++) {
        free(t->keys.items[i]);
    }
    vec_done(&t->keys);
    vec_done(&t->rows);
    map_done(&t->index);
}

static void looking_free(struct proxy_looking *k)
{
    *k->link = k->next;
    if (k->next) {
        k->next->link = k->link;
    }
    proxy_ask_cancel(k->ask);
    table_done(&k->table);
    vec_done(&k->old);
    free(k);
}

void proxy_look_close(struct proxy *p)
{
    while (p->looks) {
        looking_free(p->looks);
    }
}

/* Reading CSV. No value that is read here has quotes or commas. */

static size_t split(struct slice line, struct slice out[COLUMNS_MAX])
{
    size_t n = 0, at = 0;
    while (n < COLUMNS_MAX && at <= line.len) {
        const char *comma = memchr(line.data + at, ',', line.len - at);
        size_t end = comma ? (size_t)(comma - line.data) : line.len;
        out[n++] = slice_of(line.data + at, end - at);
        at = end + 1;
    }
    return n;
}

static uint64_t number(struct slice s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++) {
        n = n * 10 + (uint64_t)(s.data[i] - '0');
    }
    return n;
}

static bool begins(struct slice s, const char *with)
{
    size_t n = strlen(with);
    return s.len >= n && memcmp(s.data, with, n) == 0;
}

/* By a check that was made: right after its start HAProxy takes a server for up. */
static bool is_up(struct slice status, struct slice check, bool server)
{
    if (!server) {
        return begins(status, "UP");
    }
    return memmem(check.data, check.len, "OK", 2) &&
           (begins(status, "UP") || begins(status, "DRAIN"));
}

static void add_row(struct table *t, const struct slice cell[COLUMN_COUNT])
{
    bool server = number(cell[COL_TYPE]) == STAT_SERVER;
    struct slice backend = cell[COL_PROXY], name = cell[COL_NAME];
    struct row r = {.up = is_up(cell[COL_STATUS], cell[COL_CHECK], server),
                    .sessions = (uint32_t)number(cell[COL_SESSIONS]),
                    .queued = (uint32_t)number(cell[COL_QUEUED])};
    if (backend.len >= sizeof(r.backend) || memchr(backend.data, '.', backend.len) ||
        backend.data[0] == '<') {
        return; /* not one of the caller's */
    }
    memcpy(r.backend, backend.data, backend.len);
    r.server = server ? (uint32_t)number(slice_of(name.data + 1, name.len - 1)) : 0;
    for (int c = COL_1XX; c <= COL_OTHER; c++) {
        r.requests += number(cell[c]);
    }
    r.errors = number(cell[COL_5XX]);
    char *key = xasprintf("%s/%u", r.backend, r.server);
    *vec_push(&t->keys) = key;
    *vec_push(&t->rows) = r;
    (void)map_put_text(&t->index, key,
                       (void *)(uintptr_t)t->rows.len); // NOLINT(performance-no-int-to-ptr)
}

static bool find_columns(struct slice line, size_t at[COLUMN_COUNT])
{
    struct slice names[COLUMNS_MAX];
    size_t n = split(slice_of(line.data + 2, line.len - 2), names), found = 0;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        for (size_t i = 0; i < n; i++) {
            if (slice_eq(names[i], slice_str(column_names[c]))) {
                at[c] = i;
                found++;
                break;
            }
        }
    }
    return found == COLUMN_COUNT;
}

static void read_line(struct table *t, struct slice line, const size_t at[COLUMN_COUNT])
{
    struct slice cells[COLUMNS_MAX], cell[COLUMN_COUNT];
    size_t n = split(line, cells);
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (at[c] >= n) {
            return;
        }
        cell[c] = cells[at[c]];
    }
    uint64_t type = number(cell[COL_TYPE]);
    if (type == STAT_BACKEND || type == STAT_SERVER) {
        if (cell[COL_PROXY].len > 0 && cell[COL_NAME].len > 0) {
            add_row(t, cell);
        }
    } else if (slice_eq(cell[COL_NAME], slice_str("FRONTEND"))) {
        t->callers += number(cell[COL_SESSIONS]);
    }
}

/* False: there is no table in it. */
static bool read_table(struct slice text, struct table *t)
{
    size_t at[COLUMN_COUNT];
    bool headed = false;
    for (size_t i = 0; i < text.len;) {
        const char *nl = memchr(text.data + i, '\n', text.len - i);
        size_t n = nl ? (size_t)(nl - text.data) - i : text.len - i;
        struct slice line = {text.data + i, n};
        i += n + 1;
        if (begins(line, "# pxname")) {
            headed = find_columns(line, at);
        } else if (headed && n > 0) {
            read_line(t, line, at);
        }
    }
    return headed;
}

static struct row *find_row(const struct table *t, const char *key)
{
    uintptr_t i = (uintptr_t)map_get_text(&t->index, key);
    return i ? &t->rows.items[i - 1] : NULL;
}

/* Counters over workers */

static struct proxy_count *find_count(struct proxy *p, const struct row *r)
{
    for (size_t i = 0; i < p->counts.len; i++) {
        struct proxy_count *c = &p->counts.items[i];
        if (c->server == r->server && strcmp(c->backend, r->backend) == 0) {
            return c;
        }
    }
    struct proxy_count *c = vec_push(&p->counts);
    *c = (struct proxy_count){.server = r->server};
    memcpy(c->backend, r->backend, sizeof(c->backend));
    return c;
}

/* Another worker begins at 0: what was seen of the last one is kept. */
static void count_worker(struct proxy *p, pid_t worker)
{
    if (worker == p->counts_pid) {
        return;
    }
    p->counts_pid = worker;
    for (size_t i = 0; i < p->counts.len; i++) {
        struct proxy_count *c = &p->counts.items[i];
        c->carried_requests += c->requests;
        c->carried_errors += c->errors;
        c->requests = c->errors = 0;
    }
}

static void count_row(struct proxy *p, struct row *r)
{
    struct proxy_count *c = find_count(p, r);
    c->requests = r->requests;
    c->errors = r->errors;
    r->requests += c->carried_requests;
    r->errors += c->carried_errors;
}

/* Those of backends that are no more are forgotten. */
static void count_forget(struct proxy *p, const struct table *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->counts.len; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "%s/0", p->counts.items[i].backend);
        if (find_row(t, key)) {
            p->counts.items[kept++] = p->counts.items[i];
        }
    }
    p->counts.len = kept;
}

static void count_all(struct proxy *p, struct table *t, pid_t worker)
{
    count_worker(p, worker);
    for (size_t i = 0; i < t->rows.len; i++) {
        count_row(p, &t->rows.items[i]);
    }
    count_forget(p, t);
}

void proxy_count_keep(struct proxy *p, struct slice answer)
{
    struct table t = {0};
    if (read_table(answer, &t)) {
        count_all(p, &t, (pid_t)number(proxy_info(answer, "Pid")));
    }
    table_done(&t);
}

/* A look */

/* A backend that is not wanted any more may stay with HAProxy until its next reload; it is told of while somebody is still answered there. */
static bool is_wanted(const struct proxy *p, const struct row *r)
{
    if (!p->text || r->sessions > 0) {
        return true;
    }
    for (size_t i = 0; i < p->text->shape.backends.len; i++) {
        if (strcmp(p->text->shape.backends.items[i].name, r->backend) == 0) {
            return true;
        }
    }
    return false;
}

/* Servers that drain are left behind by a reload: they are told of until they are no longer wanted. */
static void tell_drained(const struct proxy_looking *k)
{
    const struct proxy_text *t = k->p->text;
    for (size_t i = 0; t && i < t->servers.len; i++) {
        const struct text_server *s = &t->servers.items[i];
        char key[64];
        (void)snprintf(key, sizeof(key), "%s/%u", s->backend, s->id);
        if (s->drain && !find_row(&k->table, key)) {
            struct proxy_look l = {.backend = s->backend, .server = s->id};
            k->fn(&l, k->arg);
        }
    }
}

static void end(struct proxy_looking *k, const struct err *err)
{
    void (*on_done)(const struct err *, void *) = k->on_done;
    void *arg = k->arg;
    struct err copy = {0};
    if (err) {
        copy = *err;
    }
    for (size_t i = 0; !err && i < k->table.rows.len; i++) {
        const struct row *r = &k->table.rows.items[i];
        if (!is_wanted(k->p, r)) {
            continue;
        }
        struct proxy_look l = {.backend = r->backend,
                               .server = r->server,
                               .up = r->up,
                               .sessions = r->sessions,
                               .idle = r->idle,
                               .queued = r->queued,
                               .requests = r->requests,
                               .errors = r->errors};
        k->fn(&l, k->arg);
    }
    if (!err) {
        tell_drained(k);
    }
    looking_free(k);
    on_done(err ? &copy : NULL, arg);
}

/* A caller's connection to an old worker may bring it one more request, which goes where that worker's maps say: its servers are not yet without work. */
static void add_old(struct proxy_looking *k, const struct table *old)
{
    for (size_t i = 0; i < old->rows.len; i++) {
        struct row r = old->rows.items[i];
        if (old->callers > 0 && r.sessions == 0) {
            r.sessions = r.idle = 1;
        }
        struct row *have = find_row(&k->table, old->keys.items[i]);
        if (have) {
            have->sessions += r.sessions;
            have->idle += r.idle;
            have->queued += r.queued;
        } else if (r.sessions > 0) {
            r.up = false;
            r.requests = r.errors = 0;
            *vec_push(&k->table.keys) = xstrdup(old->keys.items[i]);
            *vec_push(&k->table.rows) = r;
            (void)map_put_text(
                &k->table.index, k->table.keys.items[k->table.keys.len - 1],
                (void *)(uintptr_t)k->table.rows.len); // NOLINT(performance-no-int-to-ptr)
        }
    }
}

static void ask_old(struct proxy_looking *k);

static void on_old(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_looking *k = arg;
    struct table t = {0};
    k->ask = NULL;
    if (!err && read_table(answer, &t)) { /* else it has ended meanwhile */
        add_old(k, &t);
    }
    table_done(&t);
    ask_old(k);
}

static void ask_old(struct proxy_looking *k)
{
    char line[64];
    if (k->next_old == k->old.len) {
        end(k, NULL);
        return;
    }
    (void)snprintf(line, sizeof(line), "@!%ld show stat -1 7 -1",
                   (long)k->old.items[k->next_old++]);
    k->ask = proxy_ask(k->p, true, line, on_old, k);
}

/* "23744   worker   [was: 1]   0d00h00m28s   2.6.12"; workers of the present and of the past alike */
static void on_processes(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_looking *k = arg;
    k->ask = NULL;
    if (err) {
        end(k, err);
        return;
    }
    for (size_t i = 0; i < answer.len;) {
        const char *line = answer.data + i, *nl = memchr(line, '\n', answer.len - i);
        size_t n = nl ? (size_t)(nl - line) : answer.len - i;
        pid_t pid = (pid_t)number(slice_of(line, n));
        i += n + 1;
        if (pid > 0 && pid != k->worker && memmem(line, n, "worker", 6)) {
            *vec_push(&k->old) = pid;
        }
    }
    ask_old(k);
}

static void on_present(const struct err *err, struct slice answer, void *arg)
{
    struct proxy_looking *k = arg;
    struct err why = {0};
    k->ask = NULL;
    if (err) {
        /* Without a process nobody is connected: what is to go need not wait for one. */
        end(k, k->p->process ? err : NULL);
        return;
    }
    if (!read_table(answer, &k->table)) {
        (void)err_set(&why, ERR_INVALID, 0, "HAProxy's table of servers cannot be read");
        end(k, &why);
        return;
    }
    proxy_log_trim(k->p);
    k->worker = (pid_t)number(proxy_info(answer, "Pid"));
    count_all(k->p, &k->table, k->worker);
    k->ask = proxy_ask(k->p, true, "show proc", on_processes, k);
}

void proxy_look(struct proxy *p, void (*fn)(const struct proxy_look *l, void *arg),
                void (*on_done)(const struct err *err, void *arg), void *arg)
{
    struct proxy_looking *k = xcalloc(1, sizeof(*k));
    *k = (struct proxy_looking){.p = p, .fn = fn, .on_done = on_done, .arg = arg};
    k->link = &p->looks;
    k->next = p->looks;
    if (k->next) {
        k->next->link = &k->next;
    }
    p->looks = k;
    k->ask = proxy_ask(p, false, PROXY_COUNT_QUESTION, on_present, k);
}
