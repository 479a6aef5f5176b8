/* SPDX-License-Identifier: Apache-2.0 */
/* golden FOLDER: for each case below it (by name) the workflow in input.yaml is loaded, and what comes out (diagnostics, then the model) is compared
 * with `expected`. A case's `params` file, where there is one, holds name=value lines. With WF_UPDATE_GOLDEN set `expected` is written instead. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/data/dump.h"
#include "workflows/diag.h"
#include "workflows/load.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PARAMS = 32, MAX_FILE = 1 << 24 };

/* name=value lines in place; returns how many. */
static size_t read_params(char *text, struct param_override *list)
{
    size_t n = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL && n < MAX_PARAMS;
         line = strtok_r(NULL, "\n", &save)) {
        char *equals = strchr(line, '=');
        if (equals == NULL)
            continue;
        *equals = '\0';
        list[n++] = (struct param_override){line, equals + 1};
    }
    return n;
}

static void load_case(const char *dir, struct str *out)
{
    CLEANUP(cleanup_free) char *input = fs_join(dir, "input.yaml");
    CLEANUP(cleanup_free) char *params_file = fs_join(dir, "params");
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(sb_done) struct str params = {0};
    struct param_override list[MAX_PARAMS];
    struct err err = {0};
    if (load_read(input, &text, &err) < 0) {
        sb_printf(out, "wf: %s\n", err.msg);
        return;
    }
    size_t n = fs_read_file(params_file, MAX_FILE, &params, NULL) == 0
                   ? read_params(params.data, list)
                   : 0;
    struct load_options o = {.file = input,
                             .params = list,
                             .n_params = n,
                             .want_warnings = true,
                             .allow_missing_params = n == 0};
    struct diags d;
    diags_init(&d, "input.yaml");
    struct arena *arena = arena_new();
    struct workflow *wf = NULL;
    int rc = workflow_load(sb_text(&text), text.len, &o, arena, &d, &wf, &err);
    diags_render(&d, false, out);
    if (rc < 0)
        sb_printf(out, "wf: %s\n", err.msg);
    else if (rc == 0)
        dump_workflow(wf, out);
    arena_free(arena);
    diags_done(&d);
}

/* 0: as expected. */
static int run_case(const char *folder, const char *name, bool update)
{
    CLEANUP(cleanup_free) char *dir = fs_join(folder, name);
    CLEANUP(cleanup_free) char *expected_file = fs_join(dir, "expected");
    CLEANUP(sb_done) struct str out = {0};
    CLEANUP(sb_done) struct str expected = {0};
    struct err err = {0};
    load_case(dir, &out);
    if (update) {
        if (fs_write_file(expected_file, sb_text(&out), out.len, 0644, false, &err) == 0)
            return 0;
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (fs_read_file(expected_file, MAX_FILE, &expected, &err) < 0)
        fprintf(stderr, "%s\n", err.msg);
    if (expected.len == out.len && memcmp(sb_text(&expected), sb_text(&out), out.len) == 0)
        return 0;
    printf("--- %s: expected\n%s--- %s: found\n%s", name, sb_text(&expected), name, sb_text(&out));
    return 1;
}

static int is_case(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    struct dirent **cases = NULL;
    int failed = 0, n = argc == 2 ? scandir(argv[1], &cases, is_case, alphasort) : -1;
    if (n <= 0) {
        fprintf(stderr, "usage: golden FOLDER (with one folder per case)\n");
        return 2;
    }
    bool update = getenv("WF_UPDATE_GOLDEN") != NULL;
    for (int i = 0; i < n; i++) {
        failed += run_case(argv[1], cases[i]->d_name, update);
        free(cases[i]);
    }
    free(cases);
    printf("%d cases, %d differ\n", n, failed);
    return failed > 0;
}
