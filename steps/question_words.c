/* SPDX-License-Identifier: Apache-2.0 */
/* Host steps see the file system (semantics 19): what their text names and exists below the workflow's folder is an input. Also finding programs, and the table of what was
 * looked at a moment ago. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "steps/asker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

void asker_begin(struct asker *k)
{
    k->now_us = mono_us();
    k->epoch = k->w->epoch ? k->w->epoch(k->w->arg) : 0;
}

/* The slot for a key: the one that holds it and is fresh, or an emptied one. */
static struct memo *slot_of(struct asker *k, struct memo *table, const char *key, size_t len,
                            bool *ret_fresh)
{
    struct memo *m = &table[hash_bytes(key, len) % MEMO_SLOTS];

    *ret_fresh = m->key && m->key_len == len && memcmp(m->key, key, len) == 0 &&
                 m->epoch == k->epoch && k->now_us <= m->until_us;
    if (*ret_fresh) {
        return m;
    }
    if (!m->key) {
        m->next = k->filled;
        k->filled = m;
    }
    if (m->key_cap <= len) {
        m->key_cap = len + 64;
        m->key = xrealloc(m->key, m->key_cap);
    }
    memcpy(m->key, key, len);
    m->key[len] = '\0';
    m->key_len = len;
    m->epoch = k->epoch;
    m->until_us = k->now_us + MEMO_US;
    m->have_digest = false;
    return m;
}

struct memo *memo_look(struct asker *k, const char *path, size_t len)
{
    bool fresh;
    struct memo *m = slot_of(k, k->memos, path, len, &fresh);

    if (!fresh) {
        const char *dir = k->w->wf->dir;
        bool below = k->dir_fd >= 0 && len > k->dir_len + 1 && m->key[k->dir_len] == '/' &&
                     m->key[k->dir_len + 1] != '/' && memcmp(m->key, dir, k->dir_len) == 0;
        m->exists = fstatat(below ? k->dir_fd : AT_FDCWD, m->key + (below ? k->dir_len + 1 : 0),
                            &m->st, 0) == 0;
    }
    return m;
}

const char *program_find(struct asker *k, const char *name, const char *cwd, const char *path_env)
{
    bool fresh;

    sb_clear(&k->text);
    sb_puts(&k->text, name);
    sb_putc(&k->text, '\n');
    sb_puts(&k->text, strchr(name, '/') ? cwd : path_env ? path_env : "");
    struct memo *m = slot_of(k, k->programs, k->text.data, k->text.len, &fresh);
    if (!fresh) {
        free(m->found);
        m->found = fs_find_program(name, cwd, path_env);
    }
    return m->found;
}

const char *shell_find(struct asker *k, const char *name, const char *cwd, const char *path_env)
{
    static const char *const own[] = {"sh", "dash", "bash"};
    bool kept = false;

    for (size_t n = 0; n < ARRAY_LEN(own); n++) {
        kept = kept || strcmp(own[n], name) == 0;
    }
    if (!kept) {
        return program_find(k, name, cwd, path_env);
    }
    CLEANUP(sb_done) struct str key = {0};
    sb_puts(&key, name);
    sb_putc(&key, '\n');
    sb_puts(&key, cwd);
    sb_putc(&key, '\n');
    sb_puts(&key, path_env ? path_env : "");
    const char *found = map_get(&k->shells, key.data, key.len);
    if (!found && (found = program_find(k, name, cwd, path_env))) {
        char *value = arena_strdup(k->arena, found);
        map_put(&k->shells, arena_strndup(k->arena, key.data, key.len), key.len, value);
        found = value;
    }
    return found;
}

/* --- published paths --- */

static void add_published(struct asker *k, const struct step *s, const struct text *t)
{
    struct arena *arena = arena_new();
    uint32_t rows = t->n_parts == 0 || s->n_rows == 0 ? 1 : s->n_rows;

    for (uint32_t row = 0; row < rows; row++) {
        CLEANUP(sb_done) struct str path = {0}, clean = {0};
        struct scope scope = {.arena = arena,
                              .wf = k->w->wf,
                              .step = s,
                              .params = k->w->params,
                              .row = s->n_rows ? &s->rows[row] : NULL};
        if (text_eval_string(t, &scope, &path, NULL) == 0 &&
            fs_clean_relative(sb_text(&path), &clean)) {
            char *key = arena_strdup(k->arena, sb_text(&clean));
            map_put_text(&k->published, key, key);
        }
    }
    arena_free(arena);
}

bool is_published(struct asker *k, const char *rel)
{
    const struct workflow *wf = k->w->wf;

    if (!k->published_made) {
        k->published_made = true;
        for (uint32_t n = 0; n < wf->n_steps; n++) {
            for (uint32_t o = 0; o < wf->steps[n].n_outputs; o++) {
                if (wf->steps[n].outputs[o].publish) {
                    add_published(k, &wf->steps[n], wf->steps[n].outputs[o].publish);
                }
            }
        }
    }
    if (k->published.len == 0) {
        return false;
    }
    for (size_t len = strlen(rel); len > 0; len--) {
        if ((rel[len] == '\0' || rel[len] == '/') && map_get(&k->published, rel, len)) {
            return true;
        }
    }
    return false;
}

/* --- words --- */

struct hunt {
    struct asker *k;
    struct arena *a;
    struct specs *specs;
    size_t declared; /* specs of declared inputs */
    const char *workdir;
};

/* The word as a path below the workflow's folder, in k->text behind that folder; NULL: it is none. */
static const char *below_folder(struct hunt *h, const char *word, size_t len, size_t *ret_dir)
{
    const char *dir = h->k->w->wf->dir;
    size_t dir_len = strlen(dir);
    struct str *text = &h->k->text;
    CLEANUP(sb_done) struct str raw = {0};
    char small[256];

    if (len + (h->workdir ? strlen(h->workdir) : 0) + 2 > sizeof(small)) {
        sb_reserve(&raw, len + (h->workdir ? strlen(h->workdir) : 0) + 2);
    }
    char *path = raw.data ? raw.data : small;
    size_t at = 0;
    if (word[0] == '/') {
        if (len <= dir_len + 1 || memcmp(word, dir, dir_len) != 0 || word[dir_len] != '/') {
            return NULL;
        }
        word += dir_len + 1;
        len -= dir_len + 1;
    } else if (h->workdir) {
        at = strlen(h->workdir);
        memcpy(path, h->workdir, at);
        path[at++] = '/';
    }
    for (size_t n = 0; n < len; n++) {
        path[at++] = (char)(word[n] == 2 ? ' ' : word[n]);
    }
    path[at] = '\0';
    sb_clear(text);
    sb_add(text, dir, dir_len);
    sb_putc(text, '/');
    *ret_dir = text->len;
    if (at > 0 && path[0] != '/' && path[0] != '.' && !strstr(path, "/.") && !strstr(path, "//")) {
        sb_add(text, path, at);
        return text->data + *ret_dir;
    }
    CLEANUP(sb_done) struct str clean = {0};
    if (!fs_clean_relative(path, &clean) || clean.len == 0) {
        return NULL;
    }
    sb_add(text, clean.data, clean.len);
    return text->data + *ret_dir;
}

static void on_word(const char *word, size_t len, void *arg)
{
    struct hunt *h = arg;
    size_t dir;
    const char *rel = below_folder(h, word, len, &dir);

    if (!rel) {
        return;
    }
    for (size_t n = 0; n < h->specs->v.len; n++) {
        const struct spec *s = &h->specs->v.items[n];
        if (s->rel && s->kind != SPEC_GLOB && strcmp(s->rel, rel) == 0) {
            return;
        }
    }
    struct memo *m = memo_look(h->k, h->k->text.data, h->k->text.len);
    if (!m->exists || !S_ISREG(m->st.st_mode) || is_published(h->k, m->key + dir)) {
        return;
    }
    char *path = arena_memdup(h->a, m->key, m->key_len + 1);
    *vec_push(&h->specs->v) =
        (struct spec){.kind = SPEC_WORD, .input = NONE, .path = path, .rel = path + dir};
}

/* The text with the values of params and axes in it; other references spoil their word. */
static void words_of(struct hunt *h, struct step_scope *s, const struct text *t)
{
    CLEANUP(sb_done) struct str flat = {0};

    if (t->n_parts == 0) {
        words_each(t->source, t->len, on_word, h);
        return;
    }
    const struct text_part *only = t->n_parts == 1 ? t->parts : NULL;
    if (only && !only->literal &&
        (expr_uses(only->expr) & ~(uint32_t)(USES_PARAMS | USES_MATRIX))) {
        return; /* a reference alone, as most words of a command are */
    }
    for (uint32_t n = 0; n < t->n_parts; n++) {
        const struct text_part *p = &t->parts[n];
        struct value v;
        if (p->literal) {
            sb_add(&flat, p->literal, p->len);
        } else if ((expr_uses(p->expr) & ~(uint32_t)(USES_PARAMS | USES_MATRIX)) ||
                   expr_eval(p->expr, &s->scope, &v, NULL) != 0) {
            sb_putc(&flat, 1);
        } else {
            size_t at = flat.len;
            value_interpolate(&v, &flat);
            for (; at < flat.len; at++) {
                flat.data[at] = (char)(flat.data[at] == ' ' ? 2 : flat.data[at]);
            }
        }
    }
    words_each(sb_text(&flat), flat.len, on_word, h);
}

static int by_rel(const void *a, const void *b)
{
    return strcmp(((const struct spec *)a)->rel, ((const struct spec *)b)->rel);
}

void words_find(struct asker *k, struct step_scope *s, struct specs *specs)
{
    const struct step *step = s->step;
    struct hunt h = {.k = k, .a = s->scope.arena, .specs = specs, .declared = specs->v.len};

    if (step->workdir && scope_text(s, step->workdir, &h.workdir, NULL) != 0) {
        return; /* the attempt will say why */
    }
    size_t dir_len = strlen(k->w->wf->dir);
    if (h.workdir && h.workdir[0] == '/') {
        bool inside = strncmp(h.workdir, k->w->wf->dir, dir_len) == 0 &&
                      (h.workdir[dir_len] == '/' || h.workdir[dir_len] == '\0');
        h.workdir = inside ? h.workdir + dir_len + (h.workdir[dir_len] == '/') : "..";
    }
    if (h.workdir && h.workdir[0] == '\0') {
        h.workdir = NULL;
    }
    if (step->run) {
        words_of(&h, s, step->run);
    }
    for (uint32_t n = 0; n < step->n_command; n++) {
        const struct text *t = step->command[n];
        if (t->n_parts == 0 && t->len < 4096 && t->source[0] != '-') {
            on_word(t->source, t->len, &h); /* whole, whatever it holds */
        }
        words_of(&h, s, t);
    }
    if (specs->v.len > h.declared + 1) {
        qsort(specs->v.items + h.declared, specs->v.len - h.declared, sizeof(struct spec), by_rel);
    }
}
