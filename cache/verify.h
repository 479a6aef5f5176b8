/* SPDX-License-Identifier: Apache-2.0 */
/* Is all that the store names there, and what it says? Everything is hashed again, on several threads, beside running workflows: what goes away meanwhile because somebody removed it is no finding. */
#ifndef WF_CACHE_VERIFY_H
#define WF_CACHE_VERIFY_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

enum verify_kind {
    VERIFY_MISSING, /* an object that an entry names is not there */
    VERIFY_DAMAGED, /* … does not hold what its name says, or has another size than the entry says */
    VERIFY_UNREADABLE, /* … cannot be read: whether it is good is not known, and no repair touches it */
    VERIFY_UNSEALED, /* … is good, but has another mode or time than wf gives it */
    VERIFY_FOLDER,   /* a folder's list of files cannot be read */
    VERIFY_RESULT,   /* an entry's result cannot be read */
    VERIFY_ACTION, /* an entry's action is not that of its key, or its work not that of its action */
    VERIFY_COUNT,  /* a count of references is off */
    VERIFY_DANGLING, /* a row names an entry that is not there, or one that an entry needs is not */
    VERIFY_TOTALS,   /* the sums of the store are off */
    VERIFY_KIND_COUNT
};
extern const char *const verify_kind_names[VERIFY_KIND_COUNT];

struct verify_finding {
    enum verify_kind kind;
    const char *text;            /* one sentence; borrowed for the call */
    int64_t entry;               /* 0: of none */
    const struct digest *key;    /* of the entry; NULL: of none */
    const struct digest *object; /* NULL: of none */
    bool repaired;
};
struct verify_options {
    const int64_t *ids; /* only these entries, and no counts; NULL: everything */
    size_t n_ids;
    bool repair;      /* needs a store opened for writing, without a loop */
    unsigned threads; /* 0: one for each processor */
    /* Called about ten times a second, on the caller's thread; false: stop. May be NULL. */
    bool (*progress)(uint64_t entries, uint64_t objects, uint64_t bytes, void *arg);
    void (*on_finding)(const struct verify_finding *f, void *arg);
    void *arg;
};
struct verify_report {
    uint64_t entries, objects, bytes; /* looked at */
    uint64_t findings, repaired;
    uint64_t unreadable; /* findings of that kind */
    uint64_t dropped;    /* entries removed by the repair */
    bool complete;
};
/* Repair: what is damaged is set aside and the entries that name it are dropped, other modes and times are put right, counts and rows mended. ERR_BUSY: another repair is at work. */
int cache_verify(struct store *s, const struct verify_options *o, struct verify_report *ret,
                 struct err *err);

#endif
