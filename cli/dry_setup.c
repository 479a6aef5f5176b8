/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dry_setup.h"

#include "base/err.h"
#include "base/mem.h"
#include "steps/container.h"

#include <stdlib.h>

int dry_setup_open(const struct cli *c, const struct args *a, const char *file,
                   struct dry_setup *ret)
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

void dry_setup_close(struct dry_setup *s)
{
    dry_close(s->dry);
    if (s->containers) {
        s->containers->ops->close(s->containers);
    }
    free(s->refresh);
    setup_close(&s->setup);
}
