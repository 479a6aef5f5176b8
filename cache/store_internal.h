/* SPDX-License-Identifier: Apache-2.0 */
/* The store from inside: for the files of this folder and its tests only. */
#ifndef WF_CACHE_STORE_INTERNAL_H
#define WF_CACHE_STORE_INTERNAL_H

#include "base/id.h"
#include "cache/statements.h"
#include "cache/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest;
struct waker;
struct writer;

struct store {
    char *dir;
    char *notes; /* lines for the user, NULL: none */
    char id[ID_LEN + 1];
    char boot[40];
    bool read_only;
    bool unclean;   /* batches of an earlier boot were never synced: content is not trusted */
    int lock_fd;    /* store.lock, shared */
    int objects_fd; /* the folder objects/; -1 in an empty read-only store */
    int dir_fd;     /* of `dir`, to reach what lies below without walking down to it; or -1 */
    struct db *db;  /* the loop thread's */
    struct writer *writer;
    int64_t *doubtful; /* unsynced batches of earlier boots, sorted */
    size_t doubtful_count;
    char tmp_name[ID_LEN + 1]; /* prefix of this process' names in tmp/ and trash/ */
    atomic_uint tmp_count;
    atomic_bool
        small_checkpoints;  /* housekeeping: many short ones, so that nobody waits long for one */
    atomic_bool no_reflink; /* the file system said so once */
};

/* --- writer.c --- */
struct writer *writer_new(struct store *s, struct loop *loop, struct err *err);
void writer_free(struct writer *w);
/* Writes are posted; else they are committed at once by whoever asks (store_write_now()). */
bool store_has_thread(const struct store *s);
/* What was written is on its way to the disk before a checkpoint has to wait for it under the lock. Harmless at any time. */
void store_log_to_disk(const struct store *s);
/* Holds the writer lock until the fd is closed. */
int writer_lock(const struct store *s, int *ret_fd, struct err *err);

/* --- store_format.c --- */
enum store_state {
    STORE_ABSENT,
    STORE_UNMADE, /* somebody makes it just now, or was cut off while making it: holds nothing yet */
    STORE_CURRENT,
    STORE_OLDER
};
/* Looks at the file without SQLite, so that a newer store is not touched. */
int store_peek(const char *dir, int newest, enum store_state *ret, struct err *err);
int store_version(struct db *db, int64_t *ret, struct err *err);
int store_refuse_newer(const char *dir, int64_t found, int newest, struct err *err);
/* Makes or migrates the database below s->dir up to the last of `list`. Needs s->lock_fd. */
int store_prepare(struct store *s, const struct migration *list, size_t count, struct err *err);
/* Adds the advice that fits the failure. Returns -err->code. */
int store_advise(const struct store *s, struct err *err);

/* --- store_paths.c --- */
/* A name in tmp/ that nobody else has; owned by the caller. */
char *store_tmp(struct store *s);
/* For openat() and its like: *path is shortened to what follows the store's folder, whose descriptor is returned. Elsewhere, and
 * without a store, AT_FDCWD and *path as it is. */
int store_at(const struct store *s, const char **path);
/* Below `dir`: made with mode 0700, existing is fine. */
int store_make_folders(const char *dir, struct err *err);
/* Makes the file where there is none, empty and for its user alone. What fails is said by whoever opens it next. */
void store_make_private(const char *path);
/* Takes from others what they may do with the store's files, those that are ours. */
void store_close_to_others(const struct store *s);
void store_note(struct store *s, const char *text);

/* --- entries --- */
int64_t digest_head(const struct digest *d);

#endif
