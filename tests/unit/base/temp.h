/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of its own for one test; the test removes it at its end. */
#ifndef WF_TESTS_UNIT_BASE_TEMP_H
#define WF_TESTS_UNIT_BASE_TEMP_H

#include "base/fs.h"
#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline char *temp_new(void)
{
    char *path = xstrdup("/tmp/wf-unit-XXXXXX");

    cr_assert_not_null(mkdtemp(path));
    return path;
}

static inline void temp_done(char *path)
{
    cr_assert_eq(fs_remove_tree(path, NULL), 0);
    free(path);
}

/* A path below the folder, in one of a few buffers used in turn. */
static inline const char *below(const char *dir, const char *name)
{
    static char paths[8][4096];
    static unsigned next;
    char *out = paths[next++ % 8];

    snprintf(out, sizeof(paths[0]), "%s/%s", dir, name);
    return out;
}

#endif
