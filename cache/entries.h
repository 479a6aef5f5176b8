/* SPDX-License-Identifier: Apache-2.0 */
/* Cache entries: action key -> result. Entries are immutable; reading is on the loop thread (store_db), writing through store_post(). */
#ifndef WF_CACHE_ENTRIES_H
#define WF_CACHE_ENTRIES_H

#include "cache/result.h"
#include "cache/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/* --- keys --- */
/* key = SHA-256 of "wf-action-1\0" + action JSON. The action names its static part by digest ("work":"sha256:…"), which is stored once in `works`. */
void action_key(const char *action, size_t len, struct digest *ret);

struct entry {
    int64_t id;
    struct digest key;
    bool
        verify; /* written by an earlier boot and never synced: its objects count only after their digests were verified */
    const void *data; /* the encoded result, in the arena given */
    size_t data_len;
    int64_t made_at_ms; /* = began_at of the result */
    int64_t duration_ms;
};
/* 0 found, 1 none, negative error. Data is copied into `a`. */
int entry_find(struct store *s, const struct digest *key, struct arena *a, struct entry *ret,
               struct err *err);
int entry_get(struct store *s, int64_t id, struct arena *a, struct entry *ret, struct err *err);
/* Many by id in one pass (ids[i] 0: skipped, ret[i].id stays 0). Entries that are gone leave id 0. */
int entry_get_many(struct store *s, const int64_t *ids, size_t count, struct arena *a,
                   struct entry *ret, struct err *err);
/* The newest entry of an identity (policies time and change). 0, 1 none, negative. */
int entry_newest(struct store *s, const struct digest *identity, struct arena *a, struct entry *ret,
                 struct err *err);
/* The action JSON and the work JSON of an entry, for explain; arena strings. */
int entry_action(struct store *s, int64_t id, struct arena *a, const char **ret_action,
                 const char **ret_work, struct err *err);

struct entry_new {
    struct digest key;
    bool has_identity;
    struct digest identity;
    const char *workflow, *step; /* who made it first, for listings (instance name) */
    const char *action;
    size_t action_len;
    struct digest work_digest;
    const char *work;
    size_t work_len;
    const struct result *result;
};
/* Inside a write's apply (any writer): inserts work, entry and objects' rows; an equal key made meanwhile by another process is kept and its id returned. Looks again whether every object the
 * result names is there (ERR_CORRUPT when one is gone: the caller then does without the entry). Returns the row id. */
int entry_insert(struct store *s, struct db *db, const struct entry_new *e, int64_t *ret_id,
                 struct err *err);
/* Posts the removal of an entry whose objects are gone or damaged; fire and forget. Its other files stay for gc: its step, run again, may be making them at this moment. */
void entry_drop(struct store *s, int64_t id);
/* All objects of a result good (by stat)? Otherwise *ret_bad names the first bad one and its state. */
enum object_state entry_check_objects(struct store *s, const struct entry *e,
                                      struct digest *ret_bad);

#endif
