/* SPDX-License-Identifier: Apache-2.0 */
/* The schema. What is indexed, and why:
 *  - entries by `keys`: the first eight bytes of the key as an integer, a quarter of the index that the whole key would need; the key itself is compared in the row. It is no index of SQLite's, so
 *    that housekeeping need not touch it where it removes an entry: what it points to may be gone.
 *  - given_up: entries housekeeping removed whose names, and counts of objects, are still to be cleared, in the order of heads (gc_queue.c). Empty but for a gc that was cut short.
 *  - objects and works have such a head as their row id: no index at all. Two that share a head share a count: at worst a file stays longer than needed. The head of a
 *    tree has its lowest bit flipped, so that a file with a manifest's content is counted apart.
 *  - identities only for entries under the policies `time` and `change`.
 *  - totals is one row: what all entries and objects rows come to, kept in each transaction that adds or removes some, so that nobody counts ten million rows.
 *  - actions are packed (pack.h), against the first action of the work document that many share.
 *  - hits lies beside entries, so that housekeeping walks 12 bytes an entry, not the entry. `entry` never repeats (AUTOINCREMENT): runs name entries by it.
 *  - promotions are few, and never removed: their numbers are not used again. `content` is the digest of their models'; barred names models that a rollback took away.
 *  - services: what is wanted and how it stands (serve/desired.h). service_specs: how each of the last promotions was wanted, for a rollback; chosen_by is the select step.
 * The last columns of `runs` are the large ones: what stands before them is read without walking their overflow pages. */
#include "cache/statements.h"

const struct db_statement store_statements[SQL_COUNT] = {
#define X(id, sql) [SQL_##id] = {#id, sql},
#include "cache/statements.def"
#undef X
};

static const char schema_1[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE batches(id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL,"
    " synced INTEGER NOT NULL) STRICT;"
    "CREATE TABLE works(head INTEGER PRIMARY KEY, refs INTEGER NOT NULL, json BLOB NOT NULL,"
    " sample BLOB) STRICT;"
    "CREATE TABLE objects(head INTEGER PRIMARY KEY, refs INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL) STRICT;"
    "CREATE TABLE totals(entries INTEGER NOT NULL, objects INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL) STRICT;"
    "INSERT INTO totals VALUES(0, 0, 0);"
    "CREATE TABLE entries(id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, batch INTEGER, "
    "made_at INTEGER NOT NULL, duration INTEGER NOT NULL,"
    " result BLOB NOT NULL, work INTEGER NOT NULL, workflow TEXT, step TEXT, identity BLOB,"
    " action BLOB NOT NULL) STRICT;"
    "CREATE TABLE keys(head INTEGER NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY(head, entry))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE given_up(id INTEGER PRIMARY KEY, entry INTEGER NOT NULL, key BLOB NOT NULL,"
    " result BLOB NOT NULL) STRICT;"
    "CREATE TABLE identities(identity BLOB NOT NULL, entry INTEGER NOT NULL,"
    " PRIMARY KEY(identity, entry)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE hits(entry INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;"
    "CREATE TABLE pins(entry INTEGER PRIMARY KEY, why TEXT NOT NULL) STRICT;"
    "CREATE TABLE stat_pages(folder BLOB PRIMARY KEY, day INTEGER NOT NULL, page BLOB NOT NULL)"
    " STRICT;"
    "CREATE TABLE plans(id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, names BLOB) STRICT;"
    "CREATE TABLE runs(id TEXT PRIMARY KEY, workflow TEXT NOT NULL, file TEXT, plan INTEGER,"
    " status TEXT NOT NULL, trigger TEXT, params TEXT, git TEXT, started_at INTEGER NOT NULL,"
    " ended_at INTEGER, owner INTEGER NOT NULL, summary TEXT, wf_version TEXT, text BLOB,"
    " used BLOB) STRICT;"
    "CREATE INDEX runs_workflow ON runs(workflow, id);"
    "CREATE INDEX runs_plan ON runs(plan, id);"
    "CREATE INDEX runs_unfinished ON runs(id) WHERE status = 'running';"
    "CREATE TABLE promotions(workflow TEXT NOT NULL, step TEXT NOT NULL, number INTEGER NOT NULL,"
    " at INTEGER NOT NULL, run TEXT NOT NULL, reason TEXT NOT NULL, content BLOB NOT NULL,"
    " withdrawn INTEGER NOT NULL, models TEXT NOT NULL, PRIMARY KEY(workflow, step, number))"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX promotions_run ON promotions(run);"
    "CREATE TABLE barred(workflow TEXT NOT NULL, step TEXT NOT NULL, model BLOB NOT NULL,"
    " name TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY(workflow, step, model))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE services(id INTEGER PRIMARY KEY, workflow TEXT NOT NULL, step TEXT NOT NULL,"
    " generation INTEGER NOT NULL, wanted TEXT, run TEXT, keep INTEGER NOT NULL,"
    " port INTEGER NOT NULL, state INTEGER NOT NULL, state_generation INTEGER NOT NULL,"
    " live_generation INTEGER NOT NULL, live_promotion INTEGER NOT NULL, endpoint TEXT, error TEXT,"
    " changed_at INTEGER NOT NULL, UNIQUE(workflow, step)) STRICT;"
    "CREATE TABLE service_specs(service INTEGER NOT NULL, promotion INTEGER NOT NULL,"
    " chosen_by TEXT NOT NULL, spec TEXT NOT NULL, PRIMARY KEY(service, promotion))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE events(run TEXT NOT NULL, seq INTEGER NOT NULL, records BLOB NOT NULL,"
    " PRIMARY KEY(run, seq)) STRICT;";

const struct migration store_migrations[] = {
    {1, "A new store", schema_1},
};
const size_t store_migration_count = sizeof(store_migrations) / sizeof(store_migrations[0]);
