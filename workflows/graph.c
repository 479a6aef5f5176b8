/* SPDX-License-Identifier: Apache-2.0 */
/* A topological order by depth-first search with a stack of its own: a step comes after all it needs, else as in the file. */
#include "workflows/graph.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/diag.h"
#include "workflows/model.h"

#include <stdlib.h>

enum mark { UNSEEN, OPEN, DONE };

struct visit {
    uint32_t step, next_need;
};
struct search {
    const struct workflow *wf;
    struct diags *d;
    unsigned char *marks;
    struct visit *stack;
    uint32_t depth;
    uint32_t *order;
    uint32_t n_order;
    bool cyclic;
};

/* The cycle is what lies on the stack from `step` upwards; it is told from its first step in the file on. */
static void report_cycle(struct search *s, uint32_t step)
{
    uint32_t from = s->depth;
    while (s->stack[from - 1].step != step)
        from--;
    from--;
    uint32_t len = s->depth - from, first = 0;
    for (uint32_t i = 1; i < len; i++) {
        if (s->stack[from + i].step < s->stack[from + first].step)
            first = i;
    }
    CLEANUP(sb_done) struct str text = {0};
    for (uint32_t i = 0; i <= len; i++) {
        const struct visit *v = &s->stack[from + (first + i) % len];
        sb_printf(&text, "%s%s", i > 0 ? " -> " : "", s->wf->steps[v->step].name);
    }
    const struct step *at = &s->wf->steps[s->stack[from + first].step];
    diag_error(s->d, at->span, "cycle", "steps need each other in a circle: %s", sb_text(&text));
    s->cyclic = true;
}

static void push(struct search *s, uint32_t step)
{
    s->marks[step] = OPEN;
    s->stack[s->depth++] = (struct visit){.step = step};
}

static void visit_from(struct search *s, uint32_t root)
{
    push(s, root);
    while (s->depth > 0) {
        struct visit *v = &s->stack[s->depth - 1];
        const struct step *step = &s->wf->steps[v->step];
        if (v->next_need == step->n_needs) {
            s->marks[v->step] = DONE;
            s->order[s->n_order++] = v->step;
            s->depth--;
            continue;
        }
        uint32_t need = step->needs[v->next_need++].step;
        if (s->marks[need] == UNSEEN)
            push(s, need);
        else if (s->marks[need] == OPEN)
            report_cycle(s, need);
    }
}

bool graph_order(struct workflow *wf, struct arena *a, struct diags *d)
{
    size_t n = wf->n_steps;
    struct search s = {.wf = wf,
                       .d = d,
                       .marks = xcalloc(n + 1, 1),
                       .stack = xcalloc(n + 1, sizeof(*s.stack)),
                       .order = arena_calloc(a, n + 1, sizeof(*s.order))};
    for (uint32_t i = 0; i < wf->n_steps; i++) {
        if (s.marks[i] == UNSEEN)
            visit_from(&s, i);
    }
    free(s.marks);
    free(s.stack);
    if (s.cyclic)
        return false;
    wf->order = s.order;
    wf->n_order = s.n_order;
    return true;
}
