/* SPDX-License-Identifier: Apache-2.0 */
/* One store per user: wf.db (SQLite, WAL), objects/, work/, logs/, plans/, sources/, live/, trash/, tmp/. Shared by every workflow and any number of `wf` processes.
 *
 * Layout          wf.db            the database (statements.h holds the schema and every SQL statement of the product)
 *                 wf.db-writer     flock: held exclusively around every write transaction and checkpoint of any process
 *                 store.lock       flock: shared by all who use the store, exclusive for a migration
 *                 id               the store's own identity (a ULID), in the labels of containers
 *                 synced, tidied   empty; their times say when the store was last brought to disk, and last tidied
 *                 live/RUN         flock: held by the process that owns that run; what it works on, for people (engine/claims.h). Imports and adoptions too
 *                 live/claims      locks on keys that are worked on just now
 *                 live/gc          flock: one housekeeping at a time
 *                 live/verify      flock: one repair at a time
 *                 objects/ab/cd…   content by SHA-256, 0444 or 0555, mtime 1 Jan 2000
 *                 work/RUN/        attempt folders and materialised outputs of a live run
 *                 logs/RUN/        logs of attempts that are not kept as objects
 *                 plans/HEX.plan   compiled plans: deleted at will
 *                 plans/HEX.source what was learnt of a URL, for a conditional request: deleted at will
 *                 folders/HEX      what was in folders that steps read, for explanations alone (folder_list.h): deleted at will
 *                 sources/HEX.git  bare copies of git repositories that steps read, each with a .lock beside it (sources.h)
 *                 trash/           what is being removed
 *                 tmp/             what is being written
 *
 * Threads: one loop thread (reads through store_db(), all callbacks), one writer thread with the only writing connection. */
#ifndef WF_CACHE_STORE_H
#define WF_CACHE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct err;
struct loop;
struct store;

struct store_options {
    const char *dir; /* NULL: $WF_STORE, else $XDG_STATE_HOME/wf, else ~/.local/state/wf */
    struct loop *
        loop; /* NULL: no writer thread (listings, `wf plan`): store_post() is then an error of ours */
    bool
        read_only; /* never creates or changes anything; a store that is not there opens as empty (store_db() NULL) */
};
/* ERR_IO/ERR_DENIED: not writable, disk full, network file system; ERR_UNSUPPORTED: made by a newer wf (nothing is touched); ERR_CORRUPT. Each message says what to do.
 * Migrates an older store after a backup beside it, telling so through `note` lines (store_notes()). */
int store_open(const struct store_options *o, struct store **ret, struct err *err);
void store_close(struct store *s); /* waits for posted writes */
/* Lines for the user about what opening did (a migration, its backup); NULL: nothing. Borrowed. */
const char *store_notes(const struct store *s);
const char *store_dir(const struct store *s);
const char *store_id(const struct store *s);
struct db *store_db(
    struct store *s); /* the loop thread's reading connection; NULL for an empty read-only store */
/* "objects", "work", …: path below the store; owned by the caller. */
char *store_path(const struct store *s, const char *below);
/* Moves a path into trash/ (one rename), to be removed by store_sweep(). Harmless when it is not there. */
void store_discard(struct store *s, const char *path);
void store_sweep(struct store *s); /* removes what lies in trash/; blocking, best effort */

/* --- writes --- */
/* One write: embedded first in the poster's struct. `apply` runs on the writer thread inside a transaction that may hold other writes too; it touches only its
 * own struct and the db. `done` runs on the loop thread after the commit (err NULL) or after its failure; it owns the struct from then on. Writes are applied in the
 * order they were posted. A write that fails is retried alone, so that it never takes others with it.
 * `committed`, where there is one, runs where `apply` did, after the commit and still under the writer's lock: for what must not happen unless the rows say so, such as unlinking what none of them
 * names any more. No write comes behind such a one in its transaction. */
struct write {
    int (*apply)(struct write *w, struct db *db, struct err *err);
    void (*committed)(struct write *w);
    void (*done)(struct write *w, const struct err *err);
    struct write *next;
    bool urgent; /* an effect waits for it: commit at once, else within 20 ms or 256 writes */
};
void store_post(struct store *s, struct write *w);
size_t store_pending(const struct store *s);
/* Blocks the loop thread until everything posted so far is committed and its `done` was called. */
void store_flush(struct store *s);
/* Commits one write synchronously on a store without a loop (cache gc, rm …), under the writer lock. */
int store_write_now(struct store *s, struct write *w, struct err *err);
/* The batch row that new rows name (engine.md 12); marked synced by store_sync(). Writer thread only. */
int64_t store_batch(struct store *s, struct db *db);
int store_sync(struct store *s, struct err *err); /* syncfs, then the batch is marked; blocking */

/* --- ownership --- */
/* Takes live/RUN. ERR_BUSY: another process owns that run. *ret_fd is owned by the caller; closing it releases; store_unlive() also removes the file. */
int store_live(struct store *s, const char *run, int *ret_fd, struct err *err);
void store_unlive(struct store *s, const char *run, int fd);
/* After store_live(), before anything of the store is relied on: waits for the write transaction that is under way, if any. Whoever removes files looks, at the beginning of its transaction, whether
 * runs are alive; those that come later know by this that it has ended. Blocking, for milliseconds. */
void store_settle(struct store *s);
/* Somebody (maybe we) holds it, or it cannot be told (no free descriptor). */
bool store_is_live(struct store *s, const char *run);

#endif
