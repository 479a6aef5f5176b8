/* SPDX-License-Identifier: Apache-2.0 */
/* Single flight over all runs on a store, of any process: who works on a key holds a claim on it, and the others wait for what it makes.
 *
 * A claim is a kernel lock (F_OFD_SETLK) on one byte of the file live/claims, whose offset is the key's head: taking it is atomic, so that exactly one wins; no lease, no clock, no process id,
 * no commit to wait for; a holder that dies has let go in that moment, and one that is stopped goes on holding. What a holder works on stands in its own file live/RUN, for people: the claim
 * itself never depends on it.
 *
 * The rule that makes it whole: the cache is asked *after* the claim is taken (whoever had it before committed first, then let go). A run that was alone all the while may spare itself that.
 * No waiter can be waited for by whom it waits for: a claim is held by a running attempt alone, which needs no other claim to end. The exception, a step that starts `wf` itself on this store, is
 * found by claims_ours(), and two such steps whose runs wait for each other's by claims_circle(). It saves work and is never needed for truth: where locks cannot be had, everything is "taken". Loop thread only; nothing here blocks. */
#ifndef WF_ENGINE_CLAIMS_H
#define WF_ENGINE_CLAIMS_H

#include "base/digest.h"
#include "base/id.h"

#include <stdbool.h>
#include <stdint.h>

struct claims;
struct store;

enum { CLAIM_TEXT = 240 }; /* a longer name is cut */
struct claim_holder {
    char run[ID_LEN + 1];
    char workflow[CLAIM_TEXT], step[CLAIM_TEXT];
};

/* `live_fd`: of this run's live/RUN (store_live()), borrowed for as long as the claims live. Never fails. */
struct claims *claims_new(struct store *s, const char *run, const char *workflow, int live_fd);
void claims_free(struct claims *c); /* lets go of all */

/* Nobody else was here at any time since claims_new(): reads eight bytes of memory that all runs share. */
bool claims_alone(struct claims *c);
/* False: another run works on the key. True: it is ours until claims_release() (or, where another instance of this run has it, it is left with that one). */
bool claims_take(struct claims *c, const struct digest *key, uint32_t instance, const char *name);
void claims_release(struct claims *c, uint32_t instance); /* harmless without one */
/* Another run works on the key now. */
bool claims_held(struct claims *c, const struct digest *key);
/* Who does. False: not to be seen (it has just begun or just ended). Reads live/: for display. */
bool claims_who(struct claims *c, const struct digest *key, struct claim_holder *ret);
/* The holder is a step that this very run was started by, at any depth: waiting for it would never end. Told by WF_RUN and WF_STEP, or where those were wiped, by the processes above. */
bool claims_ours(struct claims *c, const struct digest *key);
/* An instance waits for another's claim: told to those that may wait for us, until claims_unwait(). */
void claims_wait(struct claims *c, const struct digest *key, uint32_t instance, const char *name);
void claims_unwait(struct claims *c, uint32_t instance); /* harmless without one */
/* The holder has started a run that waits, directly or through others, for a step that this very run was started by: none of them would ever end. Of those in the circle at least the one that asks last, after its
 * claims_wait(), is told so. Reads live/. */
bool claims_circle(struct claims *c, const struct digest *key);

#endif
