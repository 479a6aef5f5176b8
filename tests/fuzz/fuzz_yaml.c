/* SPDX-License-Identifier: Apache-2.0 */
/* A whole workflow file: reading, checking, diagnostics in both forms, and for a good one its pictures. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/diag.h"
#include "workflows/graph.h"
#include "workflows/load.h"
#include "workflows/model.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void draw(const struct workflow *wf)
{
    CLEANUP(sb_done) struct str out = {0};
    graph_text(wf, &out);
    graph_dot(wf, NULL, NULL, &out);
    graph_mermaid(wf, NULL, NULL, &out);
    graph_json(wf, NULL, NULL, &out);
}

static void show(const struct diags *d)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;
    diags_render(d, true, &out);
    jw_init(&w, &out, false);
    diags_json(d, &w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct load_options o = {
        .file = "fuzz.yaml", .allow_missing_params = true, .want_warnings = true};
    struct diags d;
    struct err err = {0};
    struct workflow *wf = NULL;
    struct arena *arena = arena_new();
    CLEANUP(cleanup_free) char *text = xstrndup("", 0);
    if (size > 0) {
        cleanup_free(&text);
        text = xmemdup(data, size); /* no byte after it: an overrun is seen */
    }
    diags_init(&d, o.file);
    int rc = workflow_load(text, size, &o, arena, &d, &wf, &err);
    WF_ASSERT(rc == 0 ? wf != NULL && d.errors == 0 : rc < 0 || d.errors > 0);
    show(&d);
    if (rc == 0)
        draw(wf);
    diags_done(&d);
    arena_free(arena);
    return 0;
}
