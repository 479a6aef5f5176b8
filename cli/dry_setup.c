/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dry_setup.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "steps/container.h"

#include <stdlib.h>
#include <string.h>

static int open_dry(const struct cli *c, const struct args *a, const char *file, const char *only,
                    bool questions, struct dry_setup *ret)
{
    *ret = (struct dry_setup){0};
    int code = setup_open(c, a, file, false, false, &ret->setup);
    if (code != EXIT_OK) {
        return code;
    }
    struct err err = {0};
    size_t n = opt_all(a, "refresh", NULL, 0);
    ret->refresh = xcalloc(n + 1, sizeof(char *));
    opt_all(a, "refresh", ret->refresh, n);
    struct dry_options o = {.plan = ret->setup.plan,
                            .store = ret->setup.store,
                            .loop = ret->setup.loop,
                            .no_cache = opt_given(a, "no-cache"),
                            .want_questions = questions,
                            .one_try = true,
                            .only = only,
                            .refresh = ret->refresh};
    for (size_t i = 0; i < n; i++) {
        if (!*ret->refresh[i]) {
            o.refresh_all = true;
        } else {
            ret->refresh[o.n_refresh++] = ret->refresh[i];
        }
    }
    struct container_options options = {0};
    int r = container_executor_open(ret->setup.loop, ret->setup.store, &options, &ret->containers,
                                    &err);
    o.containers = ret->containers;
    if (r >= 0) {
        r = dry_open(&o, &ret->dry, &err);
    }
    if (r < 0) {
        code = cli_fail(c, &err);
        dry_setup_close(ret);
    }
    return code;
}

int dry_setup_open(const struct cli *c, const struct args *a, const char *file, const char *only,
                   struct dry_setup *ret)
{
    return open_dry(c, a, file, only, false, ret);
}

int dry_setup_open_questions(const struct cli *c, const struct args *a, const char *file,
                             struct dry_setup *ret)
{
    return open_dry(c, a, file, NULL, true, ret);
}

int dry_unknown_step(const struct cli *c, const struct plan *p, const char *word)
{
    bool branch = strchr(word, '[') != NULL;
    uint32_t n = branch ? p->n : p->wf->n_steps;
    const char **words = xcalloc((size_t)n + 1, sizeof(char *));
    for (uint32_t i = 0; i < n; i++) {
        words[i] = branch ? p->instances[i].name : p->wf->steps[i].name;
    }
    const char *near = suggest_nearest(word, words, n);
    int code =
        near ? cli_usage(c, "%s has no step '%s' (did you mean '%s'?)", p->wf->file, word, near)
             : cli_usage(c, "%s has no step '%s' (`wf graph %s` shows all)", p->wf->file, word,
                         p->wf->file);
    cleanup_free(&words);
    return code;
}

void dry_setup_close(struct dry_setup *s)
{
    dry_close(s->dry);
    if (s->containers) {
        s->containers->ops->close(s->containers);
    }
    free(s->refresh);
    setup_close(&s->setup);
}
