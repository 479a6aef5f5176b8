/* SPDX-License-Identifier: Apache-2.0 */
/* Where in the user's file a byte of a scalar's text stands. YAML's unescaping and folding lose that, so the file's text is read along with the scalar's. */
#ifndef WF_WORKFLOWS_PLACE_H
#define WF_WORKFLOWS_PLACE_H

#include "workflows/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct place {
    const char *text; /* the scalar's, after unescaping */
    size_t len, offset;
    const char *raw, *raw_end; /* the file's; NULL: lost, lines of `text` are counted instead */
    uint32_t line, col, first_col;
    char quote; /* the scalar's style: '"', '\'' or 0 */
};

/* `at`: where the scalar begins: its first byte, its opening quote, or the | or > of a block. */
void place_init(struct place *p, const char *text, size_t len, struct span at, struct diags *d);
/* The place of text[offset]; `len` code points long. Offsets must not decrease from call to call. */
struct span place_at(struct place *p, size_t offset, size_t len);

#endif
