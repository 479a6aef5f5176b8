/* SPDX-License-Identifier: Apache-2.0 */
/* For which steps do the processes work that this one descends from? WF_RUN and WF_STEP tell it where they are handed down; `env -i`, sudo and the like wipe them from our own environment, but not from that of
 * the processes above. */
#ifndef WF_ENGINE_ANCESTORS_H
#define WF_ENGINE_ANCESTORS_H

#include "base/id.h"
#include "base/vec.h"

enum { ANCESTOR_STEP = 112 };
struct ancestor {
    char run[ID_LEN + 1];
    char step
        [ANCESTOR_STEP]; /* cut to what fits; "": it is the wf of this run, and the step is not known */
};
struct ancestors {
    VEC(struct ancestor) v;
};

/* Reads /proc, some 0.1 ms per process above; what cannot be read is left out. ret->v: vec_done() by the caller. */
void ancestors_find(struct ancestors *ret);

#endif
