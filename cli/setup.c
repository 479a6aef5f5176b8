/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/setup.h"

#include "base/arena.h"
#include "base/child.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/store.h"
#include "cli/out.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

int setup_params(const struct cli *c, const struct args *a, struct param_override **ret,
                 size_t *ret_count)
{
    size_t n = opt_all(a, "param", NULL, 0);
    const char **texts = xcalloc(n + 1, sizeof(char *));
    struct param_override *params = xcalloc(n + 1, sizeof(*params));
    opt_all(a, "param", texts, n);
    int code = EXIT_OK;
    for (size_t i = 0; i < n && code == EXIT_OK; i++) {
        const char *equals = strchr(texts[i], '=');
        if (!equals || equals == texts[i]) {
            code = cli_usage(c, "-p needs NAME=VALUE, not '%s'", texts[i]);
        } else {
            params[i] = (struct param_override){xstrndup(texts[i], (size_t)(equals - texts[i])),
                                                equals + 1};
        }
    }
    free(texts);
    if (code != EXIT_OK) {
        setup_params_free(params, n);
        return code;
    }
    *ret = params;
    *ret_count = n;
    return EXIT_OK;
}

void setup_params_free(struct param_override *p, size_t n)
{
    for (size_t i = 0; p && i < n; i++) {
        free((void *)(uintptr_t)p[i].name);
    }
    free(p);
}

int setup_store(const struct cli *c, struct store **ret)
{
    struct err err = {0};
    struct store_options o = {.dir = c->store_dir, .read_only = true};
    return store_open(&o, ret, &err) < 0 ? cli_fail_store(c, &err) : EXIT_OK;
}

/* Prints what the loader found; EXIT_WORKFLOW when there were errors. */
static int print_diags(const struct cli *c, const struct diags *d)
{
    if (d->len > 0) {
        struct str s = {0};
        diags_render(d, c->err_colour, &s);
        fwrite(sb_text(&s), 1, s.len, stderr);
        sb_done(&s);
    }
    return d->errors > 0 ? EXIT_WORKFLOW : EXIT_OK;
}

static int open_plan(const struct cli *c, const struct args *a, const char *file, bool parse,
                     struct setup *s)
{
    struct err err = {0};
    struct plan_options o = {.load = {.file = file,
                                      .params = s->params,
                                      .n_params = s->n_params,
                                      .params_file = opt_text(a, "params-file"),
                                      .want_warnings = true},
                             .store = s->store,
                             .always_parse = parse};
    int r = plan_open(&o, &s->diags, &s->arena, &s->plan, &s->text, &s->text_len, &err);
    if (r < 0) {
        return cli_fail(c, &err);
    }
    int code = print_diags(c, &s->diags);
    return r == 1 ? EXIT_WORKFLOW : code;
}

enum { FILES_NEEDED = 64 }; /* beside those handed down to us: half of it for loop and store */

static long open_files(long limit)
{
    DIR *dir = opendir("/proc/self/fd");
    long n = dir ? -3 : errno == EMFILE ? limit : 0; /* ".", ".." and its own */

    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

int setup_check_files(const struct cli *c)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= (rlim_t)INT_MAX) {
        return EXIT_OK;
    }
    long open = open_files((long)limit.rlim_cur);
    if ((long)limit.rlim_cur >= open + FILES_NEEDED) {
        return EXIT_OK;
    }
    struct err err = {0};
    (void)err_set(&err, ERR_IO, 0,
                  "too few open files are allowed (%ld, of which %ld are taken): raise `ulimit -n` "
                  "to at least %ld",
                  (long)limit.rlim_cur, open, open + FILES_NEEDED);
    (void)cli_fail(c, &err);
    return EXIT_SYSTEM;
}

int setup_open(const struct cli *c, const struct args *a, const char *file, bool writes, bool parse,
               struct setup *ret)
{
    *ret = (struct setup){0};
    diags_init(&ret->diags, file);
    int code = setup_check_files(c);
    code = code == EXIT_OK ? setup_params(c, a, &ret->params, &ret->n_params) : code;
    struct err err = {0};
    if (code == EXIT_OK && child_setup(&err) < 0) {
        code = cli_fail(c, &err);
    }
    if (code == EXIT_OK) {
        ret->loop = loop_new();
        struct store_options o = {
            .dir = c->store_dir, .loop = writes ? ret->loop : NULL, .read_only = !writes};
        if (store_open(&o, &ret->store, &err) < 0) {
            code = cli_fail_store(c, &err);
        }
    }
    if (code == EXIT_OK) {
        code = open_plan(c, a, file, parse, ret);
    }
    if (code != EXIT_OK) {
        setup_close(ret);
    }
    return code;
}

void setup_close(struct setup *s)
{
    store_close(s->store);
    arena_free(s->arena);
    loop_free(s->loop);
    diags_done(&s->diags);
    free(s->text);
    setup_params_free(s->params, s->n_params);
    *s = (struct setup){0};
}
