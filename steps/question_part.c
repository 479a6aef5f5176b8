/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of other steps as inputs: `inputs: {x: ${{ steps.y.outputs.z }}/sub}`. Of a folder only the part named enters the key; a list becomes a folder with one entry a branch. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/manifest.h"
#include "cache/objects.h"
#include "steps/asker.h"

#include <string.h>

/* A manifest larger than this is no list of files that a step could name a part of. */
#define MAX_MANIFEST ((size_t)1 << 30)

/* The reference that an input's path begins with; NULL: it is an ordinary path. */
static const struct expr_name *leading_output(const struct input *in)
{
    if (in->path->n_parts == 0 || in->path->parts[0].literal) {
        return NULL;
    }
    const struct expr *e = in->path->parts[0].expr;
    return e->op == EXPR_NAME && e->name.root == ROOT_STEPS && e->name.field == FIELD_OUTPUTS
               ? &e->name
               : NULL;
}

static const char *output_name(const struct workflow *wf, const struct expr_name *n)
{
    const struct step *s = &wf->steps[n->step];

    return n->member < s->n_outputs ? s->outputs[n->member].name : n->text;
}

/* What follows the reference, without slashes around it; NULL: nothing. */
static int rest_of(struct step_scope *s, const struct input *in, const char **ret, struct err *err)
{
    CLEANUP(sb_done) struct str out = {0}, clean = {0};

    *ret = NULL;
    for (uint32_t n = 1; n < in->path->n_parts; n++) {
        const struct text_part *p = &in->path->parts[n];
        struct value v;
        if (p->literal) {
            sb_add(&out, p->literal, p->len);
            continue;
        }
        int rc = expr_eval(p->expr, &s->scope, &v, err);
        if (rc != 0) {
            return rc < 0 ? rc
                          : err_set(err, ERR_NOT_FOUND, 0,
                                    "'%s' reads what a skipped step would have made",
                                    in->path->source);
        }
        value_interpolate(&v, &out);
    }
    if (out.len == 0) {
        return 0;
    }
    if (out.data[0] != '/' || !fs_clean_relative(out.data + 1, &clean)) {
        return err_set(err, ERR_INVALID, 0, "input '%s' must name a path inside of the output",
                       in->path->source);
    }
    *ret = clean.len > 0 ? arena_strdup(s->scope.arena, clean.data) : NULL;
    return 0;
}

/* Looks for one path in a folder's manifest: a file, or all that lies below it as a manifest of its own. */
struct part {
    const char *sub;
    size_t len;
    bool file, exec;
    struct digest digest;
    struct str below; /* of a folder */
    uint32_t entries;
};

static int on_entry(const struct manifest_entry *e, void *arg, struct err *err)
{
    struct part *p = arg;

    (void)err;
    if (e->name_len == p->len && memcmp(e->name, p->sub, p->len) == 0) {
        p->file = e->kind == 'f' || e->kind == 'x';
        p->exec = e->kind == 'x';
        p->digest = e->digest;
        p->entries += e->kind == 'd';
    } else if (e->name_len > p->len && memcmp(e->name, p->sub, p->len) == 0 &&
               e->name[p->len] == '/') {
        p->entries++;
        sb_printf(&p->below, "%c ", e->kind);
        if (e->kind == 'f' || e->kind == 'x') {
            digest_hex_add(&p->below, &e->digest);
        } else {
            sb_putc(&p->below, '-');
        }
        sb_printf(&p->below, " %llu %zu ", (unsigned long long)e->bytes, e->name_len - p->len - 1);
        sb_add(&p->below, e->name + p->len + 1, e->name_len - p->len - 1);
        if (e->kind == 'l') {
            sb_printf(&p->below, " %zu ", e->link_len);
            sb_add(&p->below, e->link, e->link_len);
        }
        sb_putc(&p->below, '\n');
    }
    return 0;
}

static int find_part(struct step_scope *s, const struct input *in, struct part_ref *ret,
                     struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    struct part p = {.sub = ret->sub, .len = strlen(ret->sub)};

    if (ret->one.output->kind != OBJECT_TREE) {
        return err_set(err, ERR_NOT_FOUND, 0, "input '%s': that output is a file, not a folder",
                       in->path->source);
    }
    int rc = objects_read(s->w->store, &ret->one.output->digest, MAX_MANIFEST, &text, err);
    if (rc == 0) {
        sb_puts(&p.below, "wf-tree-1\n");
        rc = manifest_each(sb_text(&text), text.len, on_entry, &p, err);
    }
    bool absent = rc == 0 && !p.file && p.entries == 0;
    if (absent && in->optional) {
        ret->kind = 'a';
    } else if (absent) {
        rc = err_set(err, ERR_NOT_FOUND, 0, "input '%s': there is no '%s' in that output",
                     in->path->source, ret->sub);
    }
    if (rc == 0 && !absent) {
        ret->kind = p.file ? 'f' : 'd';
        ret->exec = p.exec;
        ret->digest = p.digest;
        if (!p.file) {
            digest_of(p.below.data, p.below.len, &ret->digest);
        }
    }
    sb_done(&p.below);
    return rc;
}

int part_each(struct step_scope *s, const struct input *in,
              int (*fn)(const struct output_ref *ref, void *arg, struct err *err), void *arg,
              struct err *err)
{
    const struct expr_name *name = leading_output(in);
    struct ref_rows rows;

    if (!name) {
        return err_set(err, ERR_INTERNAL, 0, "'%s' is no other step's output", in->path->source);
    }
    int rc = scope_rows(s->w, s->i, name->step, name->branch, &rows, err);
    const char *output = output_name(s->w->wf, name);

    for (uint32_t row = rows.first; rc == 0 && row < rows.end; row++) {
        struct branch_view view;
        if (!scope_listed(s->w, s->i, name->step, row, &view)) {
            continue;
        }
        struct output_ref ref = {name->step, row,
                                 output ? result_output_find(view.result, output) : NULL};
        if (!ref.output) {
            return err_set(err, ERR_NOT_FOUND, 0, "input '%s': step '%s' made no such output",
                           in->path->source, s->w->wf->steps[name->step].name);
        }
        rc = fn(&ref, arg, err);
    }
    return rc;
}

struct gather {
    struct step_scope *s;
    struct str list;
    struct output_ref first;
    uint32_t count;
};

static int on_branch(const struct output_ref *ref, void *arg, struct err *err)
{
    struct gather *g = arg;
    const char *branch = row_branch(&g->s->w->wf->steps[ref->step], ref->row, g->s->scope.arena);

    (void)err;
    if (g->count++ == 0) {
        g->first = *ref;
    }
    digest_hex_add(&g->list, &ref->output->digest);
    sb_printf(&g->list, " %d %d %s\n", (int)ref->output->kind, (int)ref->output->executable,
              branch ? branch : "");
    return 0;
}

int part_resolve(struct step_scope *s, const struct input *in, struct part_ref *ret,
                 struct err *err)
{
    const struct expr_name *name = leading_output(in);
    struct ref_rows rows;
    struct gather g = {.s = s};

    if (!name) {
        return 1;
    }
    *ret = (struct part_ref){0};
    int rc = scope_rows(s->w, s->i, name->step, name->branch, &rows, err);
    rc = rc == 0 ? rest_of(s, in, &ret->sub, err) : rc;
    rc = rc == 0 ? part_each(s, in, on_branch, &g, err) : rc;
    if (rc == 0 && rows.list && ret->sub) {
        rc = err_set(err, ERR_UNSUPPORTED, 0,
                     "input '%s' takes a part of every branch's output: name one branch",
                     in->path->source);
    } else if (rc == 0 && g.count == 0 && in->optional) {
        ret->kind = 'a';
    } else if (rc == 0 && rows.list) {
        ret->list = true;
        ret->kind = 'd';
        digest_of(sb_text(&g.list), g.list.len, &ret->digest);
    } else if (rc == 0 && g.count == 0) {
        rc = err_set(err, ERR_NOT_FOUND, 0, "input '%s' reads what a skipped step would have made",
                     in->path->source);
    } else if (rc == 0) {
        ret->one = g.first;
        ret->kind = g.first.output->kind == OBJECT_TREE ? 'd' : 'f';
        ret->exec = g.first.output->executable;
        ret->digest = g.first.output->digest;
        rc = ret->sub ? find_part(s, in, ret, err) : 0;
    }
    sb_done(&g.list);
    return rc;
}
