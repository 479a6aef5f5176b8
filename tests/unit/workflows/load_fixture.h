/* SPDX-License-Identifier: Apache-2.0 */
/* Loading texts in tests. */
#ifndef WF_TESTS_UNIT_LOAD_FIXTURE_H
#define WF_TESTS_UNIT_LOAD_FIXTURE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "workflows/diag.h"
#include "workflows/load.h"
#include "workflows/model.h"

#include <string.h>

struct loaded {
    struct arena *arena;
    struct diags d;
    struct err err;
    struct workflow *wf;
    struct str text; /* rendered diagnostics */
    int rc;
};

static inline void loaded_done(struct loaded *l)
{
    diags_done(&l->d);
    sb_done(&l->text);
    arena_free(l->arena);
}

/* Loads in `arena` (taken over; NULL: a new one). */
static inline struct loaded load_with(const char *text, struct load_options o, struct arena *arena)
{
    struct loaded l = {.arena = arena != NULL ? arena : arena_new()};
    if (o.file == NULL)
        o.file = "w.yaml";
    diags_init(&l.d, o.file);
    l.rc = workflow_load(text, strlen(text), &o, l.arena, &l.d, &l.wf, &l.err);
    diags_render(&l.d, false, &l.text);
    return l;
}

static inline struct loaded load_text(const char *text)
{
    return load_with(text, (struct load_options){.want_warnings = true}, NULL);
}

#endif
