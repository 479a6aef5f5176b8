/* SPDX-License-Identifier: Apache-2.0 */
/* Edges between steps: order, cycles (named in full), and pictures. Iterative: no recursion over the graph. */
#ifndef WF_WORKFLOWS_GRAPH_H
#define WF_WORKFLOWS_GRAPH_H

#include <stdbool.h>

struct arena;
struct diags;
struct str;
struct workflow;

/* Fills wf->order (arena) or reports the cycles: "a -> b -> a". */
bool graph_order(struct workflow *wf, struct arena *a, struct diags *d);

/* Pictures of the steps and their edges; `state` (may be NULL) gives a step's state name for colour. */
typedef const char *(*graph_state_fn)(unsigned step, void *arg);
void graph_text(
    const struct workflow *wf,
    struct str *out); /* an indented tree for terminals: each step once, with what it needs */
void graph_dot(const struct workflow *wf, graph_state_fn state, void *arg, struct str *out);
void graph_mermaid(const struct workflow *wf, graph_state_fn state, void *arg, struct str *out);
void graph_json(const struct workflow *wf, graph_state_fn state, void *arg, struct str *out);

#endif
