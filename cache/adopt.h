/* SPDX-License-Identifier: Apache-2.0 */
/* A result taken over: what a step made before, or what lies in a folder, becomes the answer to the question the step asks now. Somebody has looked at what differs and answers for it. */
#ifndef WF_CACHE_ADOPT_H
#define WF_CACHE_ADOPT_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;
struct store;
struct str;

struct adoption {
    /* What is asked now. */
    struct digest key, work_digest;
    const char *action, *work;
    size_t action_len, work_len;
    const char *workflow, *step; /* the instance, for listings */
    /* What answers it. */
    int64_t entry; /* the earlier result; 0: there is none */
    const char *
        folder; /* outputs are taken from here, by their declared paths; NULL: those of the entry */
    const char *by; /* who answers for it */
};
/* Both declare the same: kind, outputs with their paths and checks, values. ERR_USAGE names what differs. */
int adopt_fits(const char *old_work, const char *new_work, struct err *err);
/* Stores the new entry, in one transaction, on a store without a loop. Objects are looked at, files of a folder are copied. ERR_NOT_FOUND: the earlier result or a declared output is not there; ERR_USAGE:
 * it does not fit what is declared. */
int adopt_store(struct store *s, const struct adoption *a, int64_t *ret_id, struct err *err);
/* "adopted 2026-01-05T… by ada@host from 9f03ab12cd34" of the record in a result; arena string. NULL: not adopted, or cannot be read. */
const char *adopt_sentence(const void *result, size_t len, struct arena *a);
/* The same of the record itself (`adopted` of struct result). */
const char *adopt_words(const char *record, struct arena *a);

#endif
