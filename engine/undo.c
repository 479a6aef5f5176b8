/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/undo.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/store.h"
#include "engine/promotions.h"
#include "serve/desired.h"

#include <stdlib.h>

struct undo {
    struct write write;
    struct arena *arena;
    struct promotion from, to;
    struct service_spec spec;
    void (*done)(void *arg);
    void *arg;
};

static void undo_free(struct undo *u)
{
    arena_free(u->arena);
    free(u);
}

static int apply(struct write *w, struct db *db, struct err *err)
{
    struct undo *u = CONTAINER_OF(w, struct undo, write);
    int64_t id, generation;
    int rc = promotion_rollback(db, &u->from, &u->to, now_ms(), &u->spec.promotion, err);

    return rc < 0 ? rc : desired_want(db, &u->spec, &id, &generation, err);
}

static void written(struct write *w, const struct err *err)
{
    struct undo *u = CONTAINER_OF(w, struct undo, write);

    if (err) {
        log_write(LOG_WARN, "serve", "promotion %u of %s stays in the registry: %s", u->from.number,
                  u->from.step, err->msg);
    }
    u->done(u->arg);
    undo_free(u);
}

bool undo_canary(struct store *s, const struct service_spec *tried, const struct service_spec *live,
                 void (*done)(void *arg), void *arg)
{
    CLEANUP(sb_done) struct str text = {0};
    struct undo *u = xcalloc(1, sizeof(*u));
    struct err err = {0};

    u->arena = arena_new();
    u->done = done;
    u->arg = arg;
    spec_encode(live, &text);
    if (!tried->select || !text_eq(tried->select, live->select) ||
        tried->promotion == live->promotion ||
        promotion_find(s, tried->workflow, tried->select, tried->promotion, u->arena, &u->from,
                       &err) != 0 ||
        promotion_find(s, live->workflow, live->select, live->promotion, u->arena, &u->to, &err) !=
            0 ||
        spec_decode(sb_text(&text), text.len, u->arena, &u->spec, &err) < 0) {
        undo_free(u);
        return false;
    }
    u->spec.run = tried->run ? arena_strdup(u->arena, tried->run) : NULL;
    u->spec.keep = tried->keep;
    u->spec.canary_share = 0; /* it serves already */
    u->write = (struct write){.apply = apply, .done = written, .urgent = true};
    store_post(s, &u->write);
    return true;
}
