/* SPDX-License-Identifier: Apache-2.0 */
/* A run's journal: events and the cache entries of what succeeded, gathered for 20 ms (or 256 events, or until an effect waits) and committed as one write each. One transaction holds a success and its cache
 * entry (engine.md 9). Each write first looks whether the run is still ours. Loop thread only; what is handed over is read by the writer thread until it is committed. */
#ifndef WF_ENGINE_JOURNAL_H
#define WF_ENGINE_JOURNAL_H

#include "base/str.h"
#include "cache/entries.h"
#include "engine/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;
struct journal;
struct loop;
struct plan;
struct store;

/* An attempt that succeeded. Strings live in `arena` or longer. */
struct success {
    uint32_t instance;
    int64_t at_us;
    const char *payload;
    uint32_t payload_len;
    bool publish; /* the intent is journalled with it */
    bool keep;    /* `entry` goes into the cache */
    struct entry_new entry;
    struct arena *arena; /* owned: freed after on_success */
    /* After the commit: */
    int64_t ret_entry;       /* 0: none */
    const char *ret_problem; /* why there is no entry although it was wanted; NULL */
};
struct journal_calls {
    /* After the commit. `s` is borrowed for the call. */
    void (*on_success)(const struct success *s, void *arg);
    /* Everything handed over so far is committed. */
    void (*on_quiet)(void *arg);
    /* A write failed; nothing is written any more. Called once. */
    void (*on_broken)(const struct err *err, void *arg);
    void *arg;
};
struct journal_run { /* what RUN_INSERT records */
    const struct plan *plan;
    const char *trigger;
    const char *params; /* JSON */
    const char *text;
    size_t text_len;
    int64_t started_ms;
};

/* Records the run itself with the first commit. Everything in `run` is borrowed until then. */
struct journal *journal_new(struct store *s, struct loop *l, const char *run_id,
                            const struct journal_run *run, const struct journal_calls *calls);
/* Waits for what is under way (blocking only then). */
void journal_free(struct journal *j);
void journal_event(struct journal *j, const struct event *e);
void journal_hit(struct journal *j, uint32_t instance, int64_t entry, int64_t at_us);
/* Takes ownership of s->arena; copies s. */
void journal_success(struct journal *j, const struct success *s);
/* Hands over now instead of in 20 ms. */
void journal_hurry(struct journal *j);
bool journal_quiet(const struct journal *j); /* nothing gathered, nothing under way */
bool journal_broken(const struct journal *j);
bool journal_made_entries(const struct journal *j);
/* The last write: RUN_ENDED and the row's end. Takes ownership of `used` (malloc) and `summary` (malloc); dirty (static): what worktree_dirty() said. on_quiet follows. */
void journal_end(struct journal *j, const struct event *ended, const char *status, void *used,
                 size_t used_len, char *summary, const char *dirty);

#endif
