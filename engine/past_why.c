/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/past_why.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/adopt.h"
#include "cache/entries.h"

#include <string.h>

enum { PAYLOAD_MAX = 8 << 20 };

static json_t *read_payload(const char *text)
{
    json_t *j = NULL;

    return text && json_read(text, strlen(text), PAYLOAD_MAX, &j, NULL) == 0 ? j : NULL;
}

static const char *text_of(const json_t *j, const char *key, struct arena *a)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text ? arena_strdup(a, text) : NULL;
}

static void take_differences(const json_t *started, struct arena *a, struct past_why *ret)
{
    const json_t *why = json_object_get(started, "why");
    size_t n = json_array_size(why);

    ret->differences = arena_calloc(a, n + 1, sizeof(*ret->differences));
    for (size_t i = 0; i < n; i++) {
        if (difference_read(json_array_get(why, i), a, &ret->differences[ret->n_differences])) {
            ret->n_differences++;
        }
    }
    ret->more = (size_t)json_integer_value(json_object_get(started, "why_more"));
}

/* All of them, from the two actions; what the journal tells of the first (the way to the root) is taken over. */
static void find_all(struct store *s, int64_t was, int64_t is, struct arena *a,
                     struct past_why *ret)
{
    const char *old = NULL, *old_work = NULL, *now = NULL, *now_work = NULL;
    struct difference *all;
    size_t n;

    if (was <= 0 || is <= 0 || entry_action(s, was, a, &old, &old_work, NULL) != 0 || !old ||
        entry_action(s, is, a, &now, &now_work, NULL) != 0 || !now ||
        explain_diff(old, old_work, now, now_work, a, &all, &n, NULL) < 0 ||
        n < ret->n_differences) {
        return;
    }
    for (size_t i = 0; i < ret->n_differences; i++) {
        const struct difference *told = &ret->differences[i];
        if (strcmp(told->part, all[i].part) == 0 && text_eq(told->name, all[i].name)) {
            all[i] = *told;
        }
    }
    ret->differences = all;
    ret->n_differences = n;
    ret->more = 0;
}

/* --- reused --- */

struct reuse {
    const char *adopted;      /* when, by whom and from what; NULL: not */
    const char *note;         /* what its policy said; NULL: its key alone decided */
    const char *run, *origin; /* who made it; NULL */
    bool shared;              /* it was fetched for this run */
};

static void read_reuse(const struct past_step *s, struct arena *a, struct reuse *ret)
{
    static const char word[] = "reused: ";
    CLEANUP(cleanup_json) json_t *ended = read_payload(s->ended);
    const struct result *r = s->result;

    *ret = (struct reuse){.note = text_of(ended, "note", a),
                          .shared = json_is_true(json_object_get(ended, "shared"))};
    if (ret->note && text_starts(ret->note, word)) {
        ret->note += strlen(word);
    }
    if (r) {
        ret->adopted = r->adopted ? adopt_words(r->adopted, a) : NULL;
        ret->origin = r->origin;
        ret->run = r->origin ? NULL : r->run; /* no run of this store is called so */
    }
}

/* "made by run 01M7…", "made in another store"; NULL: not known. */
static const char *maker(const struct reuse *u, struct arena *a)
{
    return u->origin ? "made in another store"
           : u->run  ? arena_printf(a, "made by run %s", u->run)
                     : NULL;
}

const char *past_reuse(const struct past_step *step, struct arena *a)
{
    struct reuse u;

    read_reuse(step, a, &u);
    const char *made = maker(&u, a);
    if (u.adopted) {
        return u.adopted;
    }
    if (u.note) {
        return made ? arena_printf(a, "%s; %s", u.note, made) : u.note;
    }
    return made ? made : step->result ? "" : "its result is no longer in the store";
}

static const char *reuse_sentence(const struct past_step *step, struct arena *a)
{
    struct reuse u;

    read_reuse(step, a, &u);
    const char *made = maker(&u, a), *from = u.shared ? "from the shared cache: " : "";
    if (u.adopted) {
        return made ? arena_printf(a, "%s (%s)", u.adopted, made) : u.adopted;
    }
    if (u.note) {
        return arena_printf(a, "%s%s%s%s", from, u.note, made ? "; " : "", made ? made : "");
    }
    if (u.run) {
        return arena_printf(a, "%snothing it depends on had changed since run %s made it", from,
                            u.run);
    }
    return arena_printf(a, "%snothing it depends on had changed%s", from,
                        u.origin       ? " since it was made in another store"
                        : step->result ? ""
                                       : "; its result is no longer in the store");
}

void past_why(struct store *s, const struct past_step *step, struct arena *a, struct past_why *ret)
{
    CLEANUP(cleanup_json) json_t *started = read_payload(step->started);
    CLEANUP(cleanup_json) json_t *ended = read_payload(step->ended);

    *ret = (struct past_why){0};
    if (step->status.state == INSTANCE_CACHED) {
        ret->verdict = "hit";
        ret->note = reuse_sentence(step, a);
        ret->made_in = step->result ? step->result->origin : NULL;
        ret->made_by = step->result && !ret->made_in ? step->result->run : NULL;
        return;
    }
    if (!started) {
        ret->note = text_of(ended, "because", a);
        ret->note = ret->note ? ret->note : text_of(ended, "error", a);
        return;
    }
    ret->verdict = text_of(started, "verdict", a);
    ret->note = text_of(started, "note", a);
    if (!ret->note && text_eq(ret->verdict, "refreshed")) {
        ret->note = "--refresh";
    }
    take_differences(started, a, ret);
    if (ret->more > 0) {
        find_all(s, json_integer_value(json_object_get(started, "against")), step->status.entry, a,
                 ret);
    }
    explain_inside(s, ret->differences, ret->n_differences, a, NULL, NULL);
}
