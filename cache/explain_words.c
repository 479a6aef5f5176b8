/* SPDX-License-Identifier: Apache-2.0 */
/* Differences as sentences and as JSON. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/explain.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_DIGEST = 8, SHORT_VALUE = 80, FILES_NAMED = 3 };

static bool is_digest(const char *text)
{
    return text && strncmp(text, "sha256:", 7) == 0 && strlen(text) >= 7 + DIGEST_HEX;
}

/* Short enough for a line; line breaks are shown as blanks. */
static void add_short(struct str *s, const char *text, bool prefix)
{
    if (is_digest(text)) {
        sb_printf(s, "%s%.*s\xe2\x80\xa6", prefix ? "sha256:" : "", (int)SHORT_DIGEST, text + 7);
        sb_puts(s, text + 7 + DIGEST_HEX);
        return;
    }
    size_t len = strlen(text), cut = len;
    if (len > SHORT_VALUE) {
        cut = SHORT_VALUE;
        while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80) {
            cut--;
        }
    }
    if (len == 0) {
        sb_puts(s, "''");
    }
    for (size_t i = 0; i < cut; i++) {
        sb_putc(s, (unsigned char)text[i] < ' ' ? ' ' : text[i]);
    }
    if (cut < len) {
        sb_puts(s, "\xe2\x80\xa6");
    }
}

static const char *fate(const struct difference *d)
{
    return !d->old ? "new" : !d->now ? "gone" : "changed";
}

/* "2 files differ (b.csv changed, c.csv new)" */
static void add_inside(struct str *s, const struct difference *d)
{
    size_t all = d->n_inside + d->more_inside;
    size_t named = d->n_inside < FILES_NAMED ? d->n_inside : FILES_NAMED;

    if (all == 1) {
        add_short(s, d->inside[0].name, true);
        sb_printf(s, " in it %s%s", strcmp(fate(d->inside), "changed") == 0 ? "" : "is ",
                  fate(d->inside));
        return;
    }
    sb_printf(s, "%zu files differ (", all);
    for (size_t i = 0; i < named; i++) {
        sb_puts(s, i > 0 ? ", " : "");
        add_short(s, d->inside[i].name, true);
        sb_printf(s, " %s", fate(&d->inside[i]));
    }
    if (all > named) {
        sb_printf(s, ", %zu more", all - named);
    }
    sb_putc(s, ')');
}

static void add_name(struct str *s, const struct difference *d)
{
    bool says_it = d->name && strcmp(d->part, "step") == 0 && text_starts(d->name, "steps.");

    if (!says_it) {
        sb_puts(s, d->part);
    }
    if (d->name) {
        sb_puts(s, says_it ? "" : " ");
        add_short(s, d->name, true);
    }
    if (d->path && !(d->name && text_ends(d->name, d->path))) {
        sb_puts(s, " (");
        add_short(s, d->path, true);
        sb_putc(s, ')');
    }
    sb_puts(s, ": ");
}

/* What was there is worth a word where nothing else names it. */
static bool tells_itself(const char *value)
{
    return !is_digest(value) && strcmp(value, "declared") != 0;
}

const char *difference_sentence(const struct difference *d, struct arena *a)
{
    CLEANUP(sb_done) struct str s = {0};
    bool contents = is_digest(d->old) && is_digest(d->now) && d->name;

    add_name(&s, d);
    if (d->n_inside > 0) {
        add_inside(&s, d);
        return arena_strndup(a, sb_text(&s), s.len);
    }
    if (contents) {
        sb_puts(&s, "content changed (");
    }
    if (d->old && d->now) {
        add_short(&s, d->old, true);
        sb_puts(&s, " \xe2\x86\x92 ");
        add_short(&s, d->now, !contents);
        sb_puts(&s, contents ? ")" : "");
    } else {
        const char *value = d->old ? d->old : d->now;
        sb_puts(&s, d->old ? "no longer there" : "new");
        if (value && tells_itself(value)) {
            sb_puts(&s, d->old ? " (was: " : " (");
            add_short(&s, value, true);
            sb_putc(&s, ')');
        }
    }
    return arena_strndup(a, sb_text(&s), s.len);
}

/* A reason stands alone elsewhere ("never ran"); behind "because" it needs its subject. */
static void add_because(struct str *s, const char *why)
{
    static const struct {
        const char *begin, *before;
    } known[] = {{"never ran", "it "},
                 {"not memoized", "it is "},
                 {"made ", "it was "},
                 {"--", "of "},
                 {"cache: false", "of "}};

    sb_puts(s, " because ");
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (text_starts(why, known[i].begin)) {
            sb_puts(s, known[i].before);
        }
    }
    sb_puts(s, why);
}

const char *chain_sentence(const struct why_link *chain, size_t count, struct arena *a)
{
    CLEANUP(sb_done) struct str s = {0};

    for (size_t i = 0; i < count; i++) {
        const struct why_link *l = &chain[i];
        sb_puts(&s, i > 0 ? " because " : "");
        if (l->between > 0) {
            sb_printf(&s, "%zu steps further up ", l->between);
        }
        sb_printf(&s, "%s %s", l->step, l->verb ? l->verb : "ran");
        if (l->run) {
            sb_printf(&s, " in run %s", l->run);
        }
    }
    if (count > 0 && chain[count - 1].why) {
        add_because(&s, chain[count - 1].why);
    }
    return arena_strndup(a, sb_text(&s), s.len);
}

void chain_json(const struct why_link *chain, size_t count, struct jsonw *w)
{
    jw_array(w);
    for (size_t i = 0; i < count; i++) {
        jw_object(w);
        jw_kv_text(w, "step", chain[i].step);
        if (chain[i].run) {
            jw_kv_text(w, "run", chain[i].run);
        }
        if (chain[i].between > 0) {
            jw_kv_i64(w, "between", (int64_t)chain[i].between);
        }
        if (chain[i].why) {
            jw_kv_text(w, "why", chain[i].why);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
}

void difference_json(const struct difference *d, struct jsonw *w)
{
    jw_object(w);
    jw_kv_text(w, "part", d->part);
    jw_kv_text(w, "name", d->name);
    if (d->path) {
        jw_kv_text(w, "path", d->path);
    }
    jw_kv_text(w, "old", d->old);
    jw_kv_text(w, "new", d->now);
    if (d->from) {
        jw_kv_text(w, "from", d->from);
    }
    if (d->folder) {
        jw_kv_bool(w, "folder", true);
    }
    if (d->n_inside > 0) {
        jw_key(w, "inside");
        jw_array(w);
        for (size_t i = 0; i < d->n_inside; i++) {
            jw_object(w);
            jw_kv_text(w, "name", d->inside[i].name);
            jw_kv_text(w, "old", d->inside[i].old);
            jw_kv_text(w, "new", d->inside[i].now);
            jw_end_object(w);
        }
        jw_end_array(w);
    }
    if (d->more_inside > 0) {
        jw_kv_i64(w, "more", (int64_t)d->more_inside);
    }
    if (d->n_chain > 0) {
        jw_key(w, "because");
        chain_json(d->chain, d->n_chain, w);
    }
    jw_end_object(w);
}

static const char *member(const json_t *j, const char *key, struct arena *a)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text ? arena_strdup(a, text) : NULL;
}

static void read_one(const json_t *j, struct arena *a, struct difference *ret)
{
    *ret = (struct difference){.part = member(j, "part", a),
                               .name = member(j, "name", a),
                               .path = member(j, "path", a),
                               .old = member(j, "old", a),
                               .now = member(j, "new", a),
                               .from = member(j, "from", a),
                               .folder = json_is_true(json_object_get(j, "folder"))};
}

static void read_chain(const json_t *links, struct arena *a, struct difference *ret)
{
    size_t n = json_array_size(links);
    struct why_link *list = n > 0 ? arena_calloc(a, n, sizeof(*list)) : NULL;

    for (size_t i = 0; i < n; i++) {
        const json_t *l = json_array_get(links, i);
        const char *step = member(l, "step", a);
        list[i] = (struct why_link){
            .step = step ? step : "a step",
            .verb = "ran",
            .run = member(l, "run", a),
            .why = member(l, "why", a),
            .between = (size_t)json_integer_value(json_object_get(l, "between")),
        };
    }
    ret->chain = list;
    ret->n_chain = n;
}

bool difference_read(const json_t *j, struct arena *a, struct difference *ret)
{
    const json_t *inside = json_object_get(j, "inside");
    size_t n = json_array_size(inside);

    if (!json_string_value(json_object_get(j, "part"))) {
        return false;
    }
    read_one(j, a, ret);
    read_chain(json_object_get(j, "because"), a, ret);
    if (n > 0) {
        struct difference *list = arena_calloc(a, n, sizeof(*list));
        for (size_t i = 0; i < n; i++) {
            read_one(json_array_get(inside, i), a, &list[i]);
            list[i].part = "file";
            list[i].name = list[i].name ? list[i].name : "";
        }
        ret->inside = list;
        ret->n_inside = n;
        ret->more_inside = (size_t)json_integer_value(json_object_get(j, "more"));
    }
    return true;
}
