/* SPDX-License-Identifier: Apache-2.0 */
/* sources/: bare copies of git repositories that steps read (steps/fetch_git.c). HEX.git is a copy; whoever works with it holds HEX.git.lock exclusively, and sets its time. */
#ifndef WF_CACHE_SOURCES_H
#define WF_CACHE_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;

struct sources_size {
    uint64_t copies, bytes;
};
/* What all of them take. Blocking: looks at every file. */
void sources_measure(struct store *s, struct sources_size *ret);
/* Puts those into trash/ that nobody works with and nobody used for so long, and their locks; `dry_run`: only tells which would go. Stops in time (deadline_us by mono_us(); 0: none). Best effort. */
void sources_clear(struct store *s, int64_t unused_for_ms, bool dry_run, int64_t deadline_us,
                   struct sources_size *ret_removed);
/* The lock of a copy, made where it is not there. -ERR_BUSY: somebody holds it, or it was just removed: try again. *ret_fd is owned by the caller. */
int sources_lock(const char *lock, int *ret_fd, struct err *err);

#endif
