/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of the steps and their edges: an indented tree, Graphviz, Mermaid, JSON. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/graph.h"
#include "workflows/model.h"

#include <stdlib.h>
#include <string.h>

/* --- text --- */

/* A step's tree stands below the last of its needs in the order, so that each step stands once and below something it waits for. */
struct tree {
    uint32_t *first_child, *next_sibling; /* NONE: none */
    uint32_t roots;                       /* the first one */
};

static void build_tree(const struct workflow *wf, struct tree *t)
{
    uint32_t n = wf->n_steps;
    uint32_t *rank = xcalloc((size_t)n + 1, sizeof(*rank));
    t->first_child = xmalloc(((size_t)n + 1) * sizeof(uint32_t));
    t->next_sibling = xmalloc(((size_t)n + 1) * sizeof(uint32_t));
    memset(t->first_child, 0xff, ((size_t)n + 1) * sizeof(uint32_t));
    memset(t->next_sibling, 0xff, ((size_t)n + 1) * sizeof(uint32_t));
    t->roots = NONE;
    for (uint32_t i = 0; i < wf->n_order; i++)
        rank[wf->order[i]] = i;
    for (uint32_t i = n; i-- > 0;) { /* backwards: children come out in file order */
        const struct step *s = &wf->steps[i];
        uint32_t parent = NONE;
        for (uint32_t k = 0; k < s->n_needs; k++) {
            if (parent == NONE || rank[s->needs[k].step] > rank[parent])
                parent = s->needs[k].step;
        }
        uint32_t *head = parent == NONE ? &t->roots : &t->first_child[parent];
        t->next_sibling[i] = *head;
        *head = i;
    }
    free(rank);
}

static void add_step_line(const struct workflow *wf, uint32_t i, uint32_t depth, struct str *out)
{
    const struct step *s = &wf->steps[i];
    /* Deep chains stay readable: past this they no longer indent. */
    for (uint32_t k = 0; k < depth && k < 40; k++)
        sb_puts(out, "  ");
    sb_puts(out, s->name);
    if (s->is_matrix)
        sb_printf(out, " × %u", s->n_rows);
    if (s->kind != KIND_COMMAND)
        sb_printf(out, " (%s)", step_kind_names[s->kind]);
    if (s->finally)
        sb_puts(out, " (finally)");
    if (s->n_needs > 1) {
        sb_puts(out, " ← ");
        for (uint32_t k = 0; k < s->n_needs; k++) {
            if (k == 20) {
                sb_printf(out, " … (%u in all)", s->n_needs);
                break;
            }
            sb_printf(out, "%s%s", k > 0 ? ", " : "", wf->steps[s->needs[k].step].name);
        }
    }
    sb_putc(out, '\n');
}

void graph_text(const struct workflow *wf, struct str *out)
{
    struct tree t;
    build_tree(wf, &t);
    struct frame {
        uint32_t step, depth;
    } *stack = xcalloc((size_t)wf->n_steps + 1, sizeof(*stack));
    uint32_t len = 0;
    if (t.roots != NONE)
        stack[len++] = (struct frame){t.roots, 0};
    while (len > 0) {
        struct frame f = stack[--len];
        add_step_line(wf, f.step, f.depth, out);
        if (t.next_sibling[f.step] != NONE)
            stack[len++] = (struct frame){t.next_sibling[f.step], f.depth};
        if (t.first_child[f.step] != NONE)
            stack[len++] = (struct frame){t.first_child[f.step], f.depth + 1};
    }
    free(stack);
    free(t.first_child);
    free(t.next_sibling);
}

/* --- dot and mermaid --- */

static const struct colour {
    const char *state, *fill;
} colours[] = {
    {"succeeded", "#b7e4c7"}, {"cached", "#d8f3dc"},  {"failed", "#f4acb7"},
    {"lost", "#f4acb7"},      {"running", "#a9d6e5"}, {"cancelled", "#ffe5b4"},
    {"skipped", "#e9ecef"},   {"queued", "#ffffff"},
};

static const char *fill_of(const char *state)
{
    for (size_t i = 0; state != NULL && i < ARRAY_LEN(colours); i++) {
        if (strcmp(colours[i].state, state) == 0)
            return colours[i].fill;
    }
    return NULL;
}

static void add_label(const struct step *s, const char *line_break, struct str *out)
{
    sb_puts(out, s->name);
    if (s->is_matrix)
        sb_printf(out, " × %u", s->n_rows);
    if (s->kind != KIND_COMMAND)
        sb_printf(out, "%s%s", line_break, step_kind_names[s->kind]);
}

void graph_dot(const struct workflow *wf, graph_state_fn state, void *arg, struct str *out)
{
    sb_puts(out, "digraph ");
    jw_string_add(out, wf->name, strlen(wf->name));
    sb_puts(out, " {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, "
                 "fontname=\"sans-serif\"];\n");
    for (uint32_t i = 0; i < wf->n_steps; i++) {
        const char *name = state != NULL ? state(i, arg) : NULL, *fill = fill_of(name);
        sb_printf(out, "  s%u [label=\"", i);
        add_label(&wf->steps[i], "\\n", out);
        sb_putc(out, '"');
        if (fill != NULL)
            sb_printf(out, ", fillcolor=\"%s\", tooltip=\"%s\"", fill, name);
        sb_puts(out, "];\n");
    }
    for (uint32_t i = 0; i < wf->n_steps; i++) {
        const struct step *s = &wf->steps[i];
        for (uint32_t k = 0; k < s->n_needs; k++)
            sb_printf(out, "  s%u -> s%u%s;\n", s->needs[k].step, i,
                      s->needs[k].order_only ? " [style=dashed]" : "");
    }
    sb_puts(out, "}\n");
}

void graph_mermaid(const struct workflow *wf, graph_state_fn state, void *arg, struct str *out)
{
    sb_puts(out, "flowchart LR\n");
    for (uint32_t i = 0; i < wf->n_steps; i++) {
        sb_printf(out, "  s%u[\"", i);
        add_label(&wf->steps[i], "<br/>", out);
        sb_puts(out, "\"]\n");
    }
    for (uint32_t i = 0; i < wf->n_steps; i++) {
        const struct step *s = &wf->steps[i];
        for (uint32_t k = 0; k < s->n_needs; k++)
            sb_printf(out, "  s%u %s s%u\n", s->needs[k].step,
                      s->needs[k].order_only ? "-.->" : "-->", i);
    }
    for (uint32_t i = 0; state != NULL && i < wf->n_steps; i++) {
        const char *fill = fill_of(state(i, arg));
        if (fill != NULL)
            sb_printf(out, "  style s%u fill:%s\n", i, fill);
    }
}

/* --- JSON --- */

/* What the author says of it: nothing of this has an effect. */
static void json_words(const char *description, const struct label *labels, uint32_t n_labels,
                       struct jsonw *w)
{
    if (description != NULL)
        jw_kv_text(w, "description", description);
    if (n_labels == 0)
        return;
    jw_key(w, "labels");
    jw_object(w);
    for (uint32_t i = 0; i < n_labels; i++)
        jw_kv_text(w, labels[i].name, labels[i].value);
    jw_end_object(w);
}

static void json_step(const struct workflow *wf, uint32_t i, const char *state, struct jsonw *w)
{
    const struct step *s = &wf->steps[i];
    jw_object(w);
    jw_kv_text(w, "name", s->name);
    jw_kv_text(w, "kind", step_kind_names[s->kind]);
    jw_kv_bool(w, "finally", s->finally);
    jw_kv_i64(w, "branches", s->n_rows);
    json_words(s->description, s->labels, s->n_labels, w);
    if (state != NULL)
        jw_kv_text(w, "status", state);
    jw_key(w, "needs");
    jw_array(w);
    for (uint32_t k = 0; k < s->n_needs; k++) {
        const struct need *n = &s->needs[k];
        jw_object(w);
        jw_kv_text(w, "step", wf->steps[n->step].name);
        jw_kv_bool(w, "declared", n->declared);
        if (n->mode == NEED_COUNTED)
            jw_kv_i64(w, "mode", n->count);
        else
            jw_kv_text(w, "mode", need_mode_names[n->mode]);
        jw_kv_bool(w, "order_only", n->order_only);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

void graph_json(const struct workflow *wf, graph_state_fn state, void *arg, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, true);
    jw_object(&w);
    jw_kv_text(&w, "workflow", wf->name);
    json_words(wf->description, wf->labels, wf->n_labels, &w);
    jw_key(&w, "steps");
    jw_array(&w);
    for (uint32_t i = 0; i < wf->n_steps; i++)
        json_step(wf, i, state != NULL ? state(i, arg) : NULL, &w);
    jw_end_array(&w);
    jw_end_object(&w);
    sb_putc(out, '\n');
}
